#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The litmus tests (asm/litmus.c) for longer, with two and four vCPUs.

    tests/guest/litmus.py [ROUNDS]
"""

import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True

import boots            # noqa: E402
import vm as machine    # noqa: E402


def main():
    rounds = int(sys.argv[1]) if sys.argv[1:] else 300000
    failed = 0
    for accel in "tcg", "tcg,engine=interp", "tcg,kick=random":
        for cpus in 2, 4:
            begin = time.monotonic()
            try:
                boots.litmus(accel, cpus, rounds)
                result = "ok"
            except machine.Failed as e:
                result = "FAILED: %s" % e
                failed += 1
            print("%-20s %d vCPUs, %d rounds: %4.0f s  %s"
                  % (accel, cpus, rounds, time.monotonic() - begin, result), flush=True)
    sys.exit(failed != 0)


if __name__ == "__main__":
    main()
