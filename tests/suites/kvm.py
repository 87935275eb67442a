#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""-accel kvm beside QEMU's on this host: firmware, boot loader, memory test, Linux, and
kvm-unit-tests.

    tests/suites/kvm.py [-q QEMU] [--guests-only] [-t SECONDS]

Guests come as for tests/guest/run.py; kvm-unit-tests from KVM_UNIT_TESTS=DIR[:DIR...], as for
kut.py.  Without QEMU our column stands alone.  A case fails when QEMU comes through and we do not.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "guest"))
sys.dont_write_bytecode = True

import kvmhost          # noqa: E402

EMULATOR = os.environ.get("ORRERY", os.path.join(TOP, "build", "orrery-system-x86_64"))
PATIENCE = float(os.environ.get("ORRERY_PATIENCE", "1"))

GUESTS = (
    ("seabios_banner", "SeaBIOS to its banner"), ("grub_cdrom", "GRUB rescue CD to its menu"),
    ("memtest_ia32", "memtest86+ ia32, two tests"), ("memtest_x64", "memtest86+ x64, two tests"),
    ("linux_shell", "Debian's Linux to its shell"),
)


def run(emulator, test, limit):
    """(came through?, a cell of the table)"""
    begin = time.monotonic()
    env = dict(os.environ, ORRERY=emulator, ORRERY_ACCEL="kvm")
    p = subprocess.Popen([sys.executable, os.path.join(TOP, "tests/guest/run.py"), "-j1", test],
                         env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, start_new_session=True)
    try:
        out = p.communicate(timeout=limit * PATIENCE)[0].decode(errors="replace")
    except subprocess.TimeoutExpired:
        os.killpg(p.pid, 15)
        p.communicate()
        return False, "no end in %.0f s" % (limit * PATIENCE), ""
    seconds = time.monotonic() - begin
    if "skipped" in out.split():
        return None, "skipped", out
    return p.returncode == 0, "%s %.0f s" % ("ok" if p.returncode == 0 else "FAILED", seconds), out


def guests(qemu, limit):
    bad = 0
    print("%-30s %-20s %-20s" % ("guest", "QEMU", "here"))
    for test, title in GUESTS:
        ref = run(qemu, test, limit) if qemu else (None, "-", "")
        ours = run(EMULATOR, test, limit)
        worse = ours[0] is False and ref[0] is not False
        bad += worse
        print("%-30s %-20s %-20s %s" % (title, ref[1], ours[1], "WORSE" if worse else ""), flush=True)
        if worse:
            print("\n".join("    " + line for line in ours[2].rstrip().split("\n")))
            print("    again: ORRERY_ACCEL=kvm tests/guest/run.py " + test)
    return bad


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    ap.add_argument("-q", "--qemu", default=shutil.which("qemu-system-x86_64"))
    ap.add_argument("-t", "--time", type=float, default=300, help="limit for each guest, s [300]")
    ap.add_argument("--guests-only", action="store_true")
    a = ap.parse_args()
    if not kvmhost.usable():
        print("skipped: " + kvmhost.WHY_NOT)
        return 0
    bad = guests(a.qemu, a.time)
    if not a.guests_only:
        bad += subprocess.run([sys.executable, os.path.join(TOP, "tests/suites/kut.py"), "--accel", "kvm"]
                              + (["-q", a.qemu] if a.qemu else ["--alone"])).returncode
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
