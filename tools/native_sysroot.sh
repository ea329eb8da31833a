#!/bin/sh
# Gathers the C library, the C++ library and the image libraries that the native runner is linked with for another
# processor: tools/native_sysroot.sh arm64 DIR
#
# The C and C++ libraries are Debian 11's (glibc 2.31, libstdc++ 10), so that the runner starts on boards with an older
# system than this one. The image libraries, which become part of the program, are Debian 12's with its security
# updates. Packages are downloaded and unpacked into DIR; nothing is installed. The address is this system's own Debian
# mirror; EDGE_SEG_DEBIAN_MIRROR names another.
set -eu

arch=$1 sysroot=$2
old=bullseye new=bookworm
system="libc6 libc6-dev libcrypt1 libcrypt-dev linux-libc-dev libgcc-s1 libgcc-10-dev libstdc++6 libstdc++-10-dev
    libgomp1"
images="libjpeg62-turbo-dev libpng-dev zlib1g-dev libsodium-dev nlohmann-json3-dev libcli11-dev doctest-dev"
ready=$sysroot/edge-seg-ready # written last: what lies beside it is whole
# shellcheck disable=SC2086 # without the line's end
wanted="$old $(echo $system) $new $images"

if [ "$(cat "$ready" 2>/dev/null)" = "$wanted" ]; then exit 0; fi
if ! command -v apt-get >/dev/null 2>&1; then
    echo "Error: no apt-get here. Unpack $arch packages into $sysroot: of Debian 11 $system, of Debian 12 $images" >&2
    exit 1
fi
# shellcheck disable=SC2016 # apt-get's own variables
sources=$(apt-get indextargets --format '$(ORIGIN) $(REPO_URI)' | sed -n 's/^Debian //p' | sort -u)
mirror=${EDGE_SEG_DEBIAN_MIRROR:-$(echo "$sources" | grep -v security | head -n 1)}
security=$(echo "$sources" | grep security | head -n 1)
if [ -z "$mirror" ]; then
    echo "Error: this system has no Debian mirror among its package sources." >&2
    echo "Install debian-archive-keyring, set EDGE_SEG_DEBIAN_MIRROR to a mirror's address, and run this again." >&2
    exit 1
fi

echo "Gathering $arch libraries in $sysroot" >&2
rm -rf "$sysroot"
mkdir -p "$sysroot/debs"
sysroot=$(cd "$sysroot" && pwd)

# download SUITE PACKAGE…: as apt-get on such a machine, with lists and cache of its own; this system's proxies.
download() {
    suite=$1 words=$*
    words=${words#"$suite"}
    for mirrors in "$mirror $suite main;$security $suite-security main" "$mirror $suite main"; do
        # Debian 11 gets no more security updates, and mirrors drop them.
        case $suite$mirrors in "$old"*\;* | *"; "*) continue ;; esac
        apt=$sysroot/apt
        rm -rf "$apt"
        mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
        : >"$apt/status"
        by='[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]'
        echo "$mirrors" | tr ';' '\n' | sed "s|^|deb $by |" >"$apt/sources.list"
        set -- -qq -o APT::Architecture="$arch" -o APT::Architectures="$arch" -o Dir::State::lists="$apt/lists" \
            -o Dir::State::status="$apt/status" -o Dir::Cache="$apt/cache" -o APT::Sandbox::User=root \
            -o Dir::Etc::SourceList="$apt/sources.list" -o Dir::Etc::SourceParts=/dev/null
        # shellcheck disable=SC2086 # a list of words
        if { apt-get update "$@" && cd "$sysroot/debs" && apt-get download $words "$@"; } >&2; then return; fi
        case $mirrors in *\;*) echo "Warning: trying again without the security updates" >&2 ;; esac
    done
    echo "Error: $mirror doesn't have all of these in $suite for $arch:$words" >&2
    echo "Set EDGE_SEG_DEBIAN_MIRROR to a mirror that carries $suite." >&2
    exit 1
}

# shellcheck disable=SC2086
download "$old" $system
# shellcheck disable=SC2086
download "$new" $images
for package in "$sysroot"/debs/*.deb; do dpkg-deb --extract "$package" "$sysroot"; done
# What a board has at least: the C library alone. The tests' emulated boards have no more.
dpkg-deb --extract "$sysroot"/debs/libc6_*.deb "$sysroot/board"
rm -r "$sysroot/board/usr" "$sysroot/board/etc"
cd "$sysroot"
rm -r apt debs
# Absolute links would lead to this machine's files.
find . -type l | while read -r link; do
    to=$(readlink "$link")
    case $to in /*) ln -sf "$(realpath -m --relative-to="$(dirname "$link")" ".$to")" "$link" ;; esac
done
printf '%s\n' "$wanted" >"$sysroot/edge-seg-ready"
