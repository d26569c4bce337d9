#!/usr/bin/env bash
# Where a broker's processor time goes under a scenario of barnacle-load, by thread and by function, with a flame graph.
#
#     tools/profile.sh OUT queue --count 1000000
#
# writes OUT/threads.txt, OUT/functions.txt, OUT/flame.svg and OUT/load.txt, what the load saw. The broker is this build's with
# its defaults. Stacks need frame pointers or debug information of everything in them; where RocksDB has neither, they begin there.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/setup/common.sh"

[ $# -ge 2 ] || fail "usage: tools/profile.sh OUT SCENARIO [OPTION...]"
out=$1
shift
bin="${CARGO_TARGET_DIR:-$root/target}/release"
for program in barnacle barnacle-load; do
    [ -x "$bin/$program" ] || fail "$bin/$program is missing: cargo build --release --workspace --bins"
done
mkdir -p "$out"
work=$(mktemp -d)
broker=''
finish() {
    [ -z "$broker" ] || kill "$broker" 2>/dev/null || true
    wait
    rm -rf "$work"
}
trap finish EXIT

port=${PORT:-21883}
"$bin/barnacle" serve --data-dir "$work/data" --listen "mqtt://127.0.0.1:$port" >"$work/broker.log" 2>&1 &
broker=$!
until (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
    kill -0 "$broker" 2>/dev/null || fail "the broker did not start: $(tail -n 3 "$work/broker.log")"
    sleep 0.1
done

# Copying stacks costs the broker time: seldom, and not much of each.
perf record --quiet --freq 199 --call-graph dwarf,8192 --pid "$broker" --output "$work/perf.data" &
recorder=$!
"$bin/barnacle-load" "$@" --host 127.0.0.1 --port "$port" --pid "$broker" | tee "$out/load.txt" && failed=0 || failed=$?
kill -INT "$recorder"
wait "$recorder" || true

report() { perf report --input "$work/perf.data" --stdio --no-children --call-graph none "$@" 2>/dev/null; }
shares() { awk -v most="$1" '/^ +[0-9.]+%/ && ++lines <= most' | sed -E 's/[ -]+$//'; }
report --sort comm | shares 20 >"$out/threads.txt"
report --sort comm,symbol | shares 60 >"$out/functions.txt"
perf script --input "$work/perf.data" 2>/dev/null | inferno-collapse-perf 2>/dev/null |
    inferno-flamegraph --title "barnacle-load $*" >"$out/flame.svg"
echo
cat "$out/threads.txt"
say "$out has threads.txt, functions.txt, flame.svg and load.txt"
exit "$failed"
