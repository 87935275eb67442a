#!/bin/sh
# SPDX-License-Identifier: MIT
# The Debian packages Orrery is built from, and with "tests" those its tests use: installs what
# is missing (as root), or says what to install and fails.
set -eu

build="gcc make pkg-config python3 libglib2.0-dev libpixman-1-dev zlib1g-dev libpng-dev
       libcapstone-dev libzstd-dev libslirp-dev seabios ipxe-qemu libgnutls28-dev
       libjpeg62-turbo-dev libsdl2-dev libncurses-dev libxkbcommon-dev libcurl4-openssl-dev
       libnbd-dev liburing-dev libsasl2-dev"
tests="xorriso e2fsprogs acpica-tools qemu-utils libnbd-bin openssl xvfb xdotool openbox mmdebstrap
       libdevmapper1.02.1 openssh-client gdb iperf3 tshark iproute2 libsasl2-modules
       sasl2-bin ovmf"       # libdevmapper is grub-mkimage's

want=$build
[ "${1:-}" = tests ] && want="$build $tests"
missing=
for p in $want; do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null || true)
    [ "$state" = installed ] || missing="$missing $p"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ]; then
    echo "These Debian packages are missing; install them and try again:" >&2
    echo "    apt-get install --no-install-recommends$missing" >&2
    exit 1
fi
echo "installing:$missing"
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    -o DPkg::Lock::Timeout=300 $missing >/dev/null
