#!/usr/bin/env bash
# Runs everything that guards the project, part by part, and says at the end how long each took.
#
#   tools/test.sh                 every part
#   tools/test.sh tidy clients    these parts only: setup, build, lint, deny, unit, conformance, or a module
#                                 of tests/main.rs
#
# A part that fails does not stop the others, only the result; without a build nothing else is tried. Everything is
# built with the release profile, so that lint, tests and binary share one build of RocksDB.
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/setup/common.sh"
cd "$root" || exit 1

logs="$(mktemp -d)"
trap 'rm -rf "$logs"' EXIT
report=()
failures=0
seconds_in_all=0
[ -t 1 ] && export CARGO_TERM_COLOR=always

main() {
    local parts=("$@") part
    if [ ${#parts[@]} -eq 0 ]; then
        run setup part_setup
        run build part_build || finish
        mapfile -t parts < <(modules)
        [ ${#parts[@]} -gt 1 ] || fail "the integration binary lists no tests"
        parts=(lint deny unit conformance "${parts[@]}")
    fi
    for part in "${parts[@]}"; do
        case "$part" in
        setup | build | lint | deny | unit | conformance) run "$part" "part_$part" ;;
        *) run "$part" part_module "$part" ;;
        esac
    done
    finish
}

part_setup() { tools/setup/test.sh; }

part_build() { cargo test --release --workspace --lib --bins --tests --no-run; }

# The libraries without RocksDB, as the simulator and the fuzz targets have them, in a folder of their own: elsewhere the two
# kinds would build each other anew.
part_lint() {
    cargo fmt --all --check &&
        cargo clippy --release --workspace --all-targets -- -D warnings &&
        cargo clippy --release --no-default-features --lib -p barnacle-mqtt -p barnacle-storage \
            --target-dir "${CARGO_TARGET_DIR:-target}/without-rocksdb" -- -D warnings &&
        RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" cargo doc --release --workspace --no-deps --document-private-items
}

part_deny() { cargo deny check --hide-inclusion-graph bans licenses sources; }

# What each crate tests of itself, the store from outside and 10,000 seeds of the simulator included: its random histories
# take most of the time.
part_unit() {
    if have cargo-nextest; then
        cargo nextest run --release --workspace --lib --bins --test store --test file_system --test proxy
    else
        cargo test --release --workspace --lib --bins --test store --test file_system --test proxy --no-fail-fast
    fi
}

# The standard, statement by statement (docs/CONFORMANCE.md).
part_conformance() {
    if have cargo-nextest; then
        cargo nextest run --release --workspace --test conformance
    else
        cargo test --release --workspace --test conformance --no-fail-fast
    fi
}

# One module of the integration binary: everything below `name::`.
part_module() {
    if have cargo-nextest; then
        cargo nextest run --release --workspace --test integration -E "test(/^$1::/)"
    else
        cargo test --release --workspace --test integration -- "$1::" --show-output
    fi
}

# The modules of the integration binary, the quick and telling one first.
modules() {
    printf 'tidy\n'
    cargo test --release --workspace --test integration -- --list 2>/dev/null |
        sed -n 's/^\([a-z0-9_]*\)::.*: test$/\1/p' | sort -u | grep -vx tidy
}

# Runs one part, keeps its seconds and its counts.
run() {
    local name="$1" started=$SECONDS result=ok log="$logs/$1"
    shift
    printf '\n== %s\n' "$name"
    "$@" 2>&1 | tee "$log"
    if [ "${PIPESTATUS[0]}" -ne 0 ]; then
        result=FAILED
        failures=$((failures + 1))
    fi
    local seconds=$((SECONDS - started))
    seconds_in_all=$((seconds_in_all + seconds))
    report+=("$(printf '%-28s %7d  %-7s %s' "$name" "$seconds" "$result" "$(counts "$log")")")
    [ "$result" = ok ]
}

# `N passed, N failed` over a part's test binaries, from the closing lines of either runner.
counts() {
    sed 's/\x1b\[[0-9;]*m//g' "$1" | awk '
        /^ *Summary \[|^test result:/ {
            seen = 1
            for (i = 2; i <= NF; i++) {
                if ($i ~ /^passed/) passed += $(i - 1)
                if ($i ~ /^failed/) failed += $(i - 1)
                if ($i ~ /^timed/) failed += $(i - 1)
            }
        }
        END { if (seen) printf "%d passed, %d failed", passed, failed }'
}

finish() {
    printf '\n%-28s %7s  %-7s %s\n' part seconds result tests
    printf '%s\n' "${report[@]}"
    printf '%-28s %7d\n' total "$seconds_in_all"
    if [ "$failures" -gt 0 ]; then
        printf '%d of %d parts failed\n' "$failures" "${#report[@]}"
        exit 1
    fi
    printf 'all %d parts passed\n' "${#report[@]}"
    exit 0
}

main "$@"
