#!/usr/bin/env bash
# Installs the broker that Barnacle is measured beside.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

"$root/tools/setup/build.sh"
if ! have mosquitto; then
    need_package mosquitto
    install_packages
    # Debian starts it as a service, on the port that Barnacle uses; the comparison starts its own.
    if [ -d /run/systemd/system ]; then
        say "stopping the mosquitto service that the package has just started"
        "${as_root[@]}" systemctl disable --now --quiet mosquitto
    fi
fi
