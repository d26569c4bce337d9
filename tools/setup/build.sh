#!/usr/bin/env bash
# Installs what building Barnacle needs: a C++ compiler, libclang (the RocksDB bindings are generated from its
# headers) and make. Rust itself is not installed: how it comes to a machine is its owner's choice.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# What the bindings are generated with: the library, and the headers of its own (stddef.h) beside it. clang-sys, which
# loads it, looks in these places. A libclang-cpp is another library.
have_libclang() {
    [ -n "${LIBCLANG_PATH:-}" ] && return 0
    any_file /usr/lib/llvm*/lib/libclang{.so*,-[0-9]*.so*} /usr/lib*/libclang{.so*,-[0-9]*.so*} \
        /usr/lib/*/libclang{.so*,-[0-9]*.so*} &&
        any_file /usr/lib/llvm*/lib/clang/*/include/stddef.h /usr/lib*/clang/*/include/stddef.h
}

any_file() {
    local file
    for file in "$@"; do [ -e "$file" ] && return 0; done
    return 1
}

have cargo || fail "cargo is missing. Install Rust 1.88 or newer (https://rustup.rs) and try again."
have g++ || have c++ || need_package g++
have_libclang || need_package libclang-dev
have make || need_package make
install_packages
