#!/usr/bin/env bash
# Installs what `make profile` needs beyond a benchmark: perf, heaptrack, and inferno, which draws flame graphs.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# The release that a machine without inferno gets.
inferno_version=0.12.8

"$root/tools/setup/bench.sh"
have perf || need_package linux-perf
have heaptrack || need_package heaptrack
install_packages
lock_cache
if ! have inferno-flamegraph; then
    build_tool inferno "$inferno_version"
fi
