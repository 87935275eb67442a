#!/bin/sh
# SPDX-License-Identifier: MIT
# make demo: from a fresh Debian to a shell in the emulator, on this terminal.  Installs what
# is missing (as root; else says what to install), builds, fetches a kernel and BusyBox from
# Debian's packages, boots them.  Ctrl-a x leaves the emulator.
set -eu
cd "$(dirname "$0")/.."

packages="gcc make pkg-config python3 libglib2.0-dev libpixman-1-dev zlib1g-dev libpng-dev
          libcapstone-dev seabios"

missing=
for p in $packages; do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null || true)
    [ "$state" = installed ] || missing="$missing $p"
done
if [ -n "$missing" ]; then
    if [ "$(id -u)" = 0 ]; then
        echo "installing:$missing"
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing \
            >/dev/null
    else
        echo "These Debian packages are missing; install them and run make demo again:" >&2
        echo "    apt-get install --no-install-recommends$missing" >&2
        exit 1
    fi
fi
apt-cache show busybox-static >/dev/null 2>&1 || [ "$(id -u)" != 0 ] || apt-get update -qq

[ -f build/config.mk ] || ./configure
make -j"$(nproc)" all
set -- $(python3 tests/guest/material.py kernel initramfs)

echo "Booting Debian's kernel. Ctrl-a x leaves the emulator, 'poweroff -f' the guest."
exec build/orrery-system-x86_64 -m 256 -nographic -no-reboot -kernel "$1" -initrd "$2" \
    -append "console=ttyS0 quiet mitigations=off ${DEMO_APPEND:-}" ${DEMO_ARGS:-}
