#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Boots Linux with four vCPUs again and again: each time all must come up, work at once and go
down.  Stops at the first failure, with what the serial port told.

    tests/guest/smp.py [-n TIMES] [--smp N] [--accel OPTIONS]
"""

import argparse
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True

import boots            # noqa: E402
import vm as machine    # noqa: E402


def once(smp, accel):
    with boots.linux(["-no-reboot", "-accel", accel, "-smp", str(smp)]) as vm:
        try:
            vm.wait_serial("BusyBox shell", 300)
            boots.expect(vm.shell("grep -c ^processor /proc/cpuinfo"), str(smp))
            boots.expect(vm.shell("for k in $(seq %d); do (seq 1 2000 | md5sum >/tmp/s$k) & done; "
                                  "wait; cat /tmp/s* | sort -u | wc -l" % (2 * smp), 120), r"(?m)^1\r?$")
            vm.send("poweroff -f\n")
            if vm.wait_exit(60) != 0:
                raise machine.Failed("exit status %d" % vm.proc.returncode)
        except machine.Failed as e:
            raise machine.Failed("%s\n%s" % (e, vm.log[-4000:].decode(errors="replace")))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("-n", type=int, default=50)
    p.add_argument("--smp", type=int, default=4)
    p.add_argument("--accel", default="tcg")
    a = p.parse_args()
    start = time.monotonic()
    for k in range(a.n):
        try:
            once(a.smp, a.accel)
        except machine.Failed as e:
            sys.exit("boot %d of %d: %s" % (k + 1, a.n, e))
    print("%d boots with %d vCPUs: %.0f s" % (a.n, a.smp, time.monotonic() - start))


if __name__ == "__main__":
    main()
