#!/usr/bin/env bash
# Runs fuzz targets one after the other: run.sh TARGET... With RUNS inputs each, or for SECONDS_EACH seconds; 0: no bound.
#
# No sanitizer: our own code is safe Rust, and so any toolchain will do. What libFuzzer collects on the way is kept in the target
# directory; what it finds wrong is written to tools/fuzz/corpus-regressions/TARGET, where `make test` takes it again.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../setup/common.sh"
cd "$root"

export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$root/target}/fuzz"

# Builds a target and says where it is. A whole broker is instrumented in part only, see instrument.sh, and so has a folder of
# its own.
build() {
    if [ "$1" = connection ]; then
        CARGO_TARGET_DIR="$CARGO_TARGET_DIR/conversations" RUSTC_WORKSPACE_WRAPPER="$root/tools/fuzz/instrument.sh" \
            cargo build --release -p barnacle-fuzz --features libfuzzer --bin connection >&2
        printf '%s' "$CARGO_TARGET_DIR/conversations/release/connection"
    else
        cargo fuzz build --fuzz-dir tools/fuzz --sanitizer none --features libfuzzer "$1" >&2
        printf '%s' "$CARGO_TARGET_DIR/$(rustc -vV | sed -n 's/^host: //p')/release/$1"
    fi
}

# A file of lines of hexadecimal digits, into a folder of files.
unpack() {
    rm -rf "$2"
    mkdir -p "$2"
    python3 - "$1" "$2" <<'PYTHON'
import pathlib
import sys

lines = pathlib.Path(sys.argv[1]).read_text().split()
for number, line in enumerate(lines):
    pathlib.Path(sys.argv[2], str(number)).write_bytes(bytes.fromhex(line))
PYTHON
}

failed=0
for target in "$@"; do
    found="$CARGO_TARGET_DIR/corpus/$target" wrong="tools/fuzz/corpus-regressions/$target"
    mkdir -p "$found" "$wrong"
    seeds="$CARGO_TARGET_DIR/seeds/$target"
    unpack "tools/fuzz/seeds/$([ "$target" = connection ] && echo connection || echo packets).txt" "$seeds"
    program="$(build "$target")"
    printf '\n== %s\n' "$target"
    # The binary itself: cargo-fuzz has its own mind about where inputs are kept.
    "$program" \
        -runs="$([ "${RUNS:-0}" -gt 0 ] && echo "$RUNS" || echo -1)" -max_total_time="${SECONDS_EACH:-60}" \
        -rss_limit_mb=1024 -malloc_limit_mb=64 -timeout=10 -max_len=512 -print_final_stats=1 -verbosity=1 \
        -artifact_prefix="$wrong/" "$found" "$seeds" 2>&1 |
        grep -vE '^#[0-9]+\s+(NEW|REDUCE|pulse)' || failed=1
    rmdir --ignore-fail-on-non-empty "$wrong"
done
exit "$failed"
