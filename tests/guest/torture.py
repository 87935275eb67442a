#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Linux to its shell, and the litmus tests, with each of the switches that make things scarce for
the engine, with all of them, and with both engines and all vCPUs in one thread.

    tests/guest/torture.py [WORD ...]       those with one of these words in their options
"""

import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True

import boots            # noqa: E402
import vm as machine    # noqa: E402


def all_options():
    switches = list(boots.TORTURE.values())
    for engine in "jit", "interp":
        for thread in "multi", "single":
            for some in [[s] for s in switches] + [switches]:
                yield ",".join(["tcg", "engine=" + engine, "thread=" + thread] + some)


def main():
    failed = 0
    for accel in all_options():
        if sys.argv[1:] and not any(w in accel for w in sys.argv[1:]):
            continue
        for name, test in ("litmus", boots.litmus), ("linux", boots.tortured):
            begin = time.monotonic()
            try:
                test(accel)
                result = "ok"
            except machine.Failed as e:
                result = "FAILED: %s" % e
                failed += 1
            print("%-6s %-90s %4.0f s  %s" % (name, accel, time.monotonic() - begin, result), flush=True)
    sys.exit(failed != 0)


if __name__ == "__main__":
    main()
