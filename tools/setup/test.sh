#!/usr/bin/env bash
# Installs what the tests need beyond a build: the client libraries that real programs use (Paho Python 1.6 and 2.x, gmqtt,
# MQTT.js and Chromium, mosquitto_pub and mosquitto_sub, Paho C, a Java client), mosquitto, strace, fuse3 (mounts for users
# other than root), and cargo-deny. cargo-nextest is used where it is there; it is not worth minutes of compiling where it is
# not, since plain `cargo test` runs the same tests.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# The release that a machine without cargo-deny gets.
cargo_deny_version=0.20.2

packages() {
    have python3 && python3 -c 'import ensurepip, venv' 2>/dev/null || need_package python3-venv
    have node || need_package nodejs
    have npm || need_package npm
    have mosquitto_sub || need_package mosquitto-clients
    have strace || need_package strace
    # A C client's headers, a Java client and its compiler, a browser, and what ends the browser with the test that started it.
    [ -e /usr/include/MQTTAsync.h ] || need_package libpaho-mqtt-dev
    have paho_c_pub || need_package paho.mqtt.c-examples
    [ -e /usr/share/java/mqtt-client.jar ] || need_package libmqtt-client-java
    have javac || need_package default-jdk-headless
    have chromium || need_package chromium
    have setpriv || need_package util-linux
    have fusermount3 || need_package fuse3
    install_packages
    install_mosquitto
}

# A Python environment holds what its requirements file pins, by hash. It is named after the file's checksum, so that
# a changed file gets a new one.
python_environment() {
    local name="$1" module="$2" requirements="$root/tests/clients/$1/requirements.txt" place
    place="$cache/python/$name-$(cksum <"$requirements" | cut -d' ' -f1)"
    if [ ! -e "$place/ready" ] || ! "$place/bin/python" -c 'import sys, importlib; importlib.import_module(sys.argv[1])' "$module" 2>/dev/null; then
        say "making the Python environment $name"
        rm -rf "$place"
        python3 -m venv "$place"
        "$place/bin/python" -m pip install --quiet --disable-pip-version-check --use-pep517 --require-hashes -r "$requirements" >&2 ||
            fail "could not install $(cut -d' ' -f1 "$requirements") with pip"
        touch "$place/ready"
    fi
    ln -sfn "$place" "$cache/python/$name"
}

node_modules() {
    local place="$root/tests/clients/mqttjs"
    cmp -s "$place/package-lock.json" "$place/node_modules/.installed" && return 0
    say "installing MQTT.js"
    (cd "$place" && npm ci --no-audit --no-fund --loglevel=error >&2) || fail "could not install MQTT.js with npm"
    cp "$place/package-lock.json" "$place/node_modules/.installed"
}

cargo_deny() {
    have cargo-deny || build_tool cargo-deny "$cargo_deny_version"
}

"$root/tools/setup/build.sh"
lock_cache
packages
python_environment paho1 paho.mqtt.client
python_environment paho2 paho.mqtt.client
python_environment gmqtt gmqtt
node_modules
cargo_deny
