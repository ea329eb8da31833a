#!/bin/sh
# Installs what the native runner is built with, from Debian or Ubuntu packages. Leaves at once when all is there.
#   tools/setup_native.sh          to build and test on this machine
#   tools/setup_native.sh cross    also to build for aarch64 and armhf, and to test under emulation
#   tools/setup_native.sh lint     also to check the C++ sources
#   tools/setup_native.sh fuzz     also to fuzz it
#   tools/setup_native.sh boards   also what stands in for boards in the tests: an ssh server, busybox's shell, adb
#   tools/setup_native.sh java     also a JDK, with which the tests call libedge_seg from Java as Android would
#   tools/setup_native.sh pages    also the browser in which the tests look at HTML pages
set -eu

packages="g++ cmake ninja-build nlohmann-json3-dev libcli11-dev doctest-dev libjpeg-dev libpng-dev libsodium-dev"
for wish in "$@"; do
    case $wish in
        cross) packages="$packages g++-aarch64-linux-gnu g++-arm-linux-gnueabihf qemu-user-static" ;;
        lint) packages="$packages cppcheck clang-format" ;;
        fuzz) # the sanitizers' package has the compiler's version in its name
            version=$(apt-cache depends clang 2>/dev/null | sed -n 's/.*Depends: clang-\([0-9]*\)$/\1/p')
            packages="$packages clang${version:+ libclang-rt-$version-dev}"
            ;;
        boards) packages="$packages openssh-server busybox-static adb" ;;
        java) packages="$packages default-jdk-headless" ;;
        pages) packages="$packages chromium" ;;
        *) echo "Error: $0: unknown argument $wish; expected cross, lint, fuzz, boards, java or pages" >&2; exit 2 ;;
    esac
done

if ! command -v dpkg-query >/dev/null 2>&1; then
    echo "Error: not a Debian or Ubuntu system. Install the counterparts of: $packages" >&2
    exit 1
fi

missing=
for package in $packages; do
    state=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)
    if [ "$state" != installed ]; then missing="$missing $package"; fi
done
if [ -z "$missing" ]; then exit 0; fi

if [ "$(id -u)" != 0 ]; then
    printf 'Error: packages are missing. Install them with\n  sudo apt-get install%s\nand run this again.\n' "$missing" >&2
    exit 1
fi
echo "Installing$missing" >&2
export DEBIAN_FRONTEND=noninteractive
# Another installation may hold the lock: it is waited for.
# shellcheck disable=SC2086 # a list of words
{ apt-get update -qq && apt-get install -o DPkg::Lock::Timeout=600 -y -qq --no-install-recommends $missing; } >&2
