#!/usr/bin/env bash
# The long campaign of the crash lab; writes what it found to docs/crashlab/, and pages beside the program.
#
#   tools/crashlab.sh               1,000 kills, 500 power cuts, bad disks, stops, pauses, the network, the controls
#   KILLS=100 CUTS=50 tools/crashlab.sh    shorter
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/setup/common.sh"
cd "$root"

tools/setup/crashlab.sh
cargo build --release --workspace --bins
# A broker with a bug on purpose, which the controls must find.
BARNACLE_PLANTED_FAULTS=yes cargo build --release --workspace --features barnacle-mqtt/planted-faults --bin barnacle-planted
lab="${CARGO_TARGET_DIR:-target}/release/crashlab"
out="${OUT:-docs/crashlab}"
jobs="${JOBS:-2}"
mkdir -p "$out"
failures=0

# Runs one part; a part that fails does not stop the others, only the result.
part() {
    local name="$1"
    shift
    printf '\n== %s\n' "$name"
    "$lab" "$@" --jobs "$jobs" --json "$out/$name.json" --markdown "$out/$name.md" --html "$lab-$name.html" ||
        failures=$((failures + 1))
}

seed="${SEED:-20}"
part kills run --broker barnacle --fault kills --rounds "${KILLS:-1000}" --seed "$seed"
part power-cuts run --broker barnacle --fault power-cuts --rounds "${CUTS:-500}" --seed "$seed"
part disks run --broker barnacle --fault disk --rounds "${DISKS:-140}" --seed "$seed"
part network run --broker barnacle --fault terminate,pause,network --rounds "${NETWORK:-160}" --seed "$seed"
part controls controls --seed "$seed" --rounds 50

if [ "$failures" -gt 0 ]; then
    printf '%d parts failed\n' "$failures"
    exit 1
fi
printf 'all parts as they must be; the results are in %s\n' "$out"
