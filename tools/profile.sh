#!/usr/bin/env bash
# Where a broker's processor time goes under a scenario of barnacle-load, by thread and by function, with a flame graph; or its memory.
#
#     tools/profile.sh OUT queue --count 1000000
#     tools/profile.sh OUT --heap memory --connections 0 --messages 0
#
# The first writes OUT/threads.txt, OUT/functions.txt and OUT/flame.svg, the second OUT/heap.txt, which says what was allocated at the
# peak, by the line of ours that asked for it, and OUT/heap.svg. Both write OUT/load.txt, what the load saw. The broker is this
# build's with its defaults. Stacks need frame pointers or debug information of everything in them; where RocksDB has neither, they
# begin there.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/setup/common.sh"

usage='usage: tools/profile.sh OUT [--heap] SCENARIO [OPTION...]'
[ $# -ge 2 ] || fail "$usage"
out=$1
shift
what=time
if [ "$1" = --heap ]; then
    what=heap
    shift
    [ $# -ge 1 ] || fail "$usage"
fi
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
# Starts the broker, under the program that is named, if one is; sets broker.
start_broker() {
    "$@" "$bin/barnacle" serve --data-dir "$work/data" --listen "mqtt://127.0.0.1:$port" >"$work/broker.log" 2>&1 &
    local started=$!
    until (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
        kill -0 "$started" 2>/dev/null || fail "the broker did not start: $(tail -n 3 "$work/broker.log")"
        sleep 0.1
    done
    broker=$(pgrep -x -P "$started" barnacle || echo "$started")
}

# Puts the broker under the load; sets failed.
put_under_load() {
    "$bin/barnacle-load" "$@" --host 127.0.0.1 --port "$port" --pid "$broker" | tee "$out/load.txt" && failed=0 || failed=$?
}

profile_time() {
    start_broker
    # Copying stacks costs the broker time: seldom, and not much of each.
    perf record --quiet --freq 199 --call-graph dwarf,8192 --pid "$broker" --output "$work/perf.data" &
    local recorder=$!
    put_under_load "$@"
    kill -INT "$recorder"
    wait "$recorder" || true
    report --sort comm | shares 20 >"$out/threads.txt"
    report --sort comm,symbol | shares 60 >"$out/functions.txt"
    perf script --input "$work/perf.data" 2>/dev/null | inferno-collapse-perf 2>/dev/null |
        inferno-flamegraph --title "barnacle-load $*" >"$out/flame.svg"
    echo
    cat "$out/threads.txt"
    say "$out has threads.txt, functions.txt, flame.svg and load.txt"
}
report() { perf report --input "$work/perf.data" --stdio --no-children --call-graph none "$@" 2>/dev/null; }
shares() { awk -v most="$1" '/^ +[0-9.]+%/ && ++lines <= most' | sed -E 's/[ -]+$//'; }

profile_heap() {
    start_broker heaptrack --output "$work/heap"
    put_under_load "$@"
    kill "$broker"
    wait
    broker=''
    heaptrack_print --file "$work"/heap.* --print-allocators 0 --print-temporary 0 --peak-limit 200 --sub-peak-limit 200 \
        --flamegraph-cost-type peak --print-flamegraph "$work/stacks.txt" >"$work/heap.txt" 2>/dev/null
    inferno-flamegraph --countname bytes --title "memory: barnacle-load $*" <"$work/stacks.txt" >"$out/heap.svg"
    by_line_of_ours <"$work/heap.txt" | sort -k1,1nr | head -n 40 >"$out/heap.txt"
    echo
    head -n 15 "$out/heap.txt"
    say "$out has heap.txt, heap.svg and load.txt"
}
# Sums up each stack's KiB at the first of its lines that is ours; those that never come to one under RocksDB, or as other.
by_line_of_ours() {
    awk -v files="$(git -C "$root" ls-files '*.rs')" '
        BEGIN { count = split(files, list, "\n"); for (at = 1; at <= count; at++) is_ours[list[at]] = 1 }
        function take() {
            if (bytes > 0) sum[ours != "" ? ours : rocksdb != "" ? "RocksDB" : "other"] += bytes
            bytes = 0; ours = ""; rocksdb = ""
        }
        / consumed over [0-9]+ calls/ {
            take()
            if ($0 ~ /peak memory consumed/) next
            unit = $1; sub(/^[0-9.]+/, "", unit)
            bytes = $1 * (unit ~ /^G/ ? 1e9 : unit ~ /^M/ ? 1e6 : unit ~ /^K/ ? 1e3 : 1)
            next
        }
        /^$/ { take() }
        bytes > 0 && ours == "" && / at .*:[0-9]+$/ {
            line = $0; sub(/^.* at /, "", line)
            path = line; sub(/:[0-9]+$/, "", path)
            if (path in is_ours) ours = line
        }
        bytes > 0 && /rocksdb::/ { rocksdb = "yes" }
        END { take(); for (line in sum) printf "%9.1f KiB  %s\n", sum[line] / 1024, line }'
}

"profile_$what" "$@"
exit "$failed"
