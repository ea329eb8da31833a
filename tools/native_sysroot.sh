#!/bin/sh
# Gathers the libraries that the native runner is linked with for another processor: tools/native_sysroot.sh arm64 DIR
# Their packages are downloaded from this system's own sources and unpacked into DIR; nothing is installed.
set -eu

arch=$1 sysroot=$2
packages="libpng-dev zlib1g-dev nlohmann-json3-dev libcli11-dev doctest-dev"
ready=$sysroot/edge-seg-ready # written last: what lies beside it is whole

if [ "$(cat "$ready" 2>/dev/null)" = "$packages" ]; then exit 0; fi
if ! command -v apt-get >/dev/null 2>&1; then
    echo "Error: no apt-get here. Put $arch builds of these into $sysroot/usr: libjpeg-turbo $packages" >&2
    exit 1
fi

echo "Gathering $arch libraries in $sysroot" >&2
rm -rf "$sysroot"
mkdir -p "$sysroot/apt/lists/partial" "$sysroot/apt/cache/archives/partial"
sysroot=$(cd "$sysroot" && pwd)
: >"$sysroot/apt/status"

# As apt-get on such a machine: lists and cache of its own, this system's sources, keys and proxies.
for_arch() {
    "$@" -o APT::Architecture="$arch" -o APT::Architectures="$arch" -o Dir::State::lists="$sysroot/apt/lists" \
        -o Dir::State::status="$sysroot/apt/status" -o Dir::Cache="$sysroot/apt/cache" -o APT::Sandbox::User=root
}

# Sources of others may have nothing for this processor: whether all is there shows in the next step.
for_arch apt-get update -qq >&2 || true
jpeg=libjpeg62-turbo-dev # Debian's name; Ubuntu's is the other
for_arch apt-cache show "$jpeg" >/dev/null 2>&1 || jpeg=libjpeg-turbo8-dev
cd "$sysroot/apt"
# shellcheck disable=SC2086 # a list of words
if ! for_arch apt-get download -qq $jpeg $packages >&2; then
    echo "Error: this system's package sources don't have $jpeg $packages for $arch." >&2
    echo "On Ubuntu they are on ports.ubuntu.com: add it to /etc/apt/sources.list.d for $arch." >&2
    exit 1
fi
for package in *.deb; do dpkg-deb --extract "$package" "$sysroot"; done
cd "$sysroot"
rm -r apt
cp -R usr/include/*-linux-gnu*/. usr/include # headers that differ between processors
printf '%s\n' "$packages" >"$sysroot/edge-seg-ready"
