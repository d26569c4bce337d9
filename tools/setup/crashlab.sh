#!/usr/bin/env bash
# Installs what the crash lab needs beyond a build: mosquitto for the controls, fuse3 for mounts by users other than
# root. The other brokers that have profiles are installed by whoever wants to try them (rabbitmq-server, nats-server).
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

"$root/tools/setup/build.sh"
have fusermount3 || need_package fuse3
install_packages
install_mosquitto
