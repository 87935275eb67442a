#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Boots real guests and looks at what they do.

    tests/guest/run.py              all tests, quick ones first
    tests/guest/run.py NAME ...     some of them; -l lists the names
    -j N                            how many at once (default 2)

Environment: ORRERY (the emulator), ORRERY_ACCEL (default tcg), ORRERY_SMP (vCPUs, default 1),
ORRERY_PATIENCE (factor on all time limits), ORRERY_GUESTS (where guest material is kept).
"""

import argparse
import concurrent.futures
import inspect
import os
import sys
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True

import boots            # noqa: E402
import cmdline          # noqa: E402
import disks            # noqa: E402
import fuzz             # noqa: E402
import graphics         # noqa: E402
import material         # noqa: E402
import network          # noqa: E402
import paravirt         # noqa: E402
import screens          # noqa: E402
import uefi             # noqa: E402
import vm               # noqa: E402
import vmware           # noqa: E402


def tests():
    found = []
    for module in (cmdline, fuzz, screens, graphics, vmware, network, paravirt, disks, uefi, boots):
        for name, fn in inspect.getmembers(module, inspect.isfunction):
            if name.startswith("test_") and fn.__module__ == module.__name__:
                found.append((getattr(fn, "weight", 5), name[5:], fn))
    return [(n, f) for _, n, f in sorted(found, key=lambda t: (t[0], t[1]))]


def run_one(name, fn):
    start = time.monotonic()
    try:
        fn()
        return name, "ok", "", time.monotonic() - start
    except vm.Failed as e:
        return name, "FAILED", str(e), time.monotonic() - start
    except vm.Skipped as e:
        return name, "skipped", str(e), time.monotonic() - start
    except material.Missing as e:
        if os.environ.get("ORRERY_OFFLINE"):
            return name, "skipped", str(e), time.monotonic() - start
        return name, "FAILED", str(e), time.monotonic() - start
    except Exception:
        return name, "FAILED", traceback.format_exc(), time.monotonic() - start


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("names", nargs="*")
    p.add_argument("-l", "--list", action="store_true")
    p.add_argument("-j", "--jobs", type=int, default=2)
    a = p.parse_args()
    known = tests()
    by_name = dict(known)
    if a.list:
        for n, f in known:
            print("%-24s %s" % (n, (f.__doc__ or "").strip().split("\n")[0]))
        return 0
    for n in a.names:
        if n not in by_name:
            sys.exit("run.py: no test '%s' (-l lists them)" % n)
    chosen = [(n, by_name[n]) for n in a.names] if a.names else known
    count = {"ok": 0, "FAILED": 0, "skipped": 0}
    with concurrent.futures.ThreadPoolExecutor(a.jobs) as pool:
        for done in concurrent.futures.as_completed([pool.submit(run_one, n, f) for n, f in chosen]):
            name, result, text, seconds = done.result()
            count[result] += 1
            print("%-8s guest/%s (%.1f s)" % (result, name, seconds), flush=True)
            if text:
                print("\n".join("    " + line for line in text.rstrip().split("\n")))
            if result == "FAILED":
                print("    again: python3 tests/guest/run.py %s" % name, flush=True)
    line = "%d passed, %d failed" % (count["ok"], count["FAILED"])
    print(line + (", %d skipped" % count["skipped"] if count["skipped"] else ""))
    return 1 if count["FAILED"] else 0


if __name__ == "__main__":
    sys.exit(main())
