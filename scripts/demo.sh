#!/bin/sh
# SPDX-License-Identifier: MIT
# make demo: from a fresh Debian to a shell in the emulator, on this terminal.  Installs what
# is missing (as root; else says what to install), builds, fetches a kernel and BusyBox from
# Debian's packages, boots them.  Ctrl-a x leaves the emulator.
set -eu
cd "$(dirname "$0")/.."

sh scripts/install-packages.sh
apt-cache show busybox-static >/dev/null 2>&1 || [ "$(id -u)" != 0 ] || apt-get update -qq

[ -f build/config.mk ] || ./configure
make -j"$(nproc)" all
set -- $(python3 tests/guest/material.py kernel initramfs)

echo "Booting Debian's kernel. Ctrl-a x leaves the emulator, 'poweroff -f' the guest."
exec build/orrery-system-x86_64 -m 256 -nographic -no-reboot -kernel "$1" -initrd "$2" \
    -append "console=ttyS0 quiet mitigations=off ${DEMO_APPEND:-}" ${DEMO_ARGS:-}
