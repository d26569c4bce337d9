#!/usr/bin/env bash
# Installs the broker that Barnacle is measured beside.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

"$root/tools/setup/build.sh"
install_mosquitto
