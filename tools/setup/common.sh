# shellcheck shell=bash
# What the set-up scripts share: where things are kept, how packages come, how a missing one is named.
#
# Sourced, never run. Everything here is quick when nothing is missing: commands are looked for first, and the
# package lists are fetched only when something has to be installed.

# Tools and Python environments are kept outside the clone, so that a second clone finds them.
cache="${BARNACLE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/barnacle}"
# Debian keeps servers, mosquitto among them, where only root looks for commands.
export PATH="$cache/tools/bin:${CARGO_HOME:-$HOME/.cargo}/bin:$PATH:/usr/sbin"
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"

have() { command -v "$1" >/dev/null 2>&1; }

say() { printf 'setup: %s\n' "$*" >&2; }

fail() {
    say "$*"
    exit 1
}

# Remember the packages that are missing; `install_packages` fetches them together, as root or through sudo.
missing_packages=()
as_root=()
need_package() { missing_packages+=("$@"); }

install_packages() {
    [ ${#missing_packages[@]} -gt 0 ] || return 0
    local wanted=("${missing_packages[@]}")
    missing_packages=()
    have apt-get || fail "missing: ${wanted[*]} (names of Debian's packages). Install them with this system's package manager and try again."
    if [ "$(id -u)" -ne 0 ]; then
        if have sudo && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
            as_root=(sudo)
        else
            fail "missing: ${wanted[*]}. Install them as root and try again: apt-get install ${wanted[*]}"
        fi
    fi
    say "installing ${wanted[*]}"
    "${as_root[@]}" apt-get update -qq || say "apt-get update failed; trying with the package lists that are there"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${wanted[@]}" >&2 ||
        fail "could not install ${wanted[*]}"
}

# Builds a cargo tool into the cache: NAME VERSION. Without optimisation: it runs for a second or two, and the build is what
# takes the time.
build_tool() {
    say "building $1 $2 (once, some minutes)"
    CARGO_TARGET_DIR="$cache/tools/build" CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off \
        CARGO_PROFILE_RELEASE_DEBUG=0 CARGO_PROFILE_RELEASE_CODEGEN_UNITS=256 \
        cargo install --quiet --locked --root "$cache/tools" --version "$2" "$1" >&2 ||
        fail "$1 could not be built"
    rm -rf "$cache/tools/build"
}

# The broker that Barnacle is measured beside, and that the crash lab must see lose messages.
install_mosquitto() {
    have mosquitto && return 0
    need_package mosquitto
    install_packages
    # Debian starts it as a service, on the port that Barnacle uses; benchmarks and tests start their own.
    if [ -d /run/systemd/system ]; then
        say "stopping the mosquitto service that the package has just started"
        "${as_root[@]}" systemctl disable --now --quiet mosquitto
    fi
}

# One set-up at a time writes to the cache; another waits for it.
lock_cache() {
    mkdir -p "$cache"
    if have flock; then
        exec 9>"$cache/setup.lock"
        flock 9
    fi
}
