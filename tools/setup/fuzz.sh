#!/usr/bin/env bash
# Installs what `make fuzz` needs beyond a build: cargo-fuzz. The fuzz targets are built with the Rust that is there, whatever its
# channel, and without RocksDB.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# The release that a machine without cargo-fuzz gets.
cargo_fuzz_version=0.13.2

"$root/tools/setup/build.sh"
lock_cache
if ! have cargo-fuzz; then
    build_tool cargo-fuzz "$cargo_fuzz_version"
fi
