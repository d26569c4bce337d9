#!/usr/bin/env bash
# Cargo's RUSTC_WORKSPACE_WRAPPER for the fuzz target `connection`: instrument.sh RUSTC ARGUMENTS...
#
# libFuzzer sees the broker and its store, and nothing else: what it takes to look at the counters of tokio, of the standard
# library and of the harness is more than a conversation takes. No comparisons are traced, since a script is made of choices and
# not of numbers that would have to be guessed.
set -euo pipefail
flags=()
for argument in "$@"; do
    case "$argument" in
    barnacle | barnacle_storage)
        flags=(
            -Cpasses=sancov-module
            -Cllvm-args=-sanitizer-coverage-level=3
            -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
            -Cllvm-args=-sanitizer-coverage-pc-table
            -Ccodegen-units=1
        )
        ;;
    esac
done
exec "$@" -Cdebug-assertions "${flags[@]}"
