#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the tests of `make check` and says how to run a failed one alone.

A test is a program that ends with status 0 (77: it can't run on this host, which is reported):
  build/tests/unit/test-*      unit tests in C, made by the Makefile
  tests/*/test_*.py            everything else; tests/qtest/libqtest.py helps with devices
Longer ones, for `make check-NAME`, have other names.
"""

import argparse
import concurrent.futures
import glob
import os
import shlex
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SKIPPED = 77


def find(build, words):
    tests = []
    for path in sorted(glob.glob(os.path.join(build, "tests", "unit", "test-*"))):
        if os.access(path, os.X_OK) and "." not in os.path.basename(path):
            tests.append(("unit/" + os.path.basename(path), [path]))
    for path in sorted(glob.glob(os.path.join(TOP, "tests", "*", "test_*.py"))):
        name = os.path.relpath(path, os.path.join(TOP, "tests"))
        tests.append((name, [sys.executable, path]))
    return [t for t in tests if not words or any(w in t[0] for w in words)]


def run(test, env, limit):
    name, command = test
    begin = time.monotonic()
    with tempfile.TemporaryFile() as out:
        p = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=TOP,
                             env=env, start_new_session=True)
        try:
            status = p.wait(limit)
        except subprocess.TimeoutExpired:
            os.killpg(p.pid, 9)         # the test's own session: it and what it started
            p.wait()
            status = "no end within %d s" % limit
        out.seek(0)
        return name, command, status, time.monotonic() - begin, out.read().decode(errors="replace")


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    ap.add_argument("--build", default=os.path.join(TOP, "build"), help="build folder")
    ap.add_argument("-j", "--jobs", type=int, default=os.cpu_count(), help="tests at a time")
    ap.add_argument("-v", "--verbose", action="store_true", help="output of tests that pass, too")
    ap.add_argument("-l", "--list", action="store_true", help="only list the tests")
    ap.add_argument("--timeout", type=int, default=600, help="seconds a test may take")
    ap.add_argument("words", nargs="*", help="run the tests whose names contain one of these")
    args = ap.parse_args()
    build = os.path.abspath(args.build)
    tests = find(build, args.words)
    if args.list:
        print("\n".join(t[0] for t in tests))
        return 0
    if not tests:
        print("no such test")
        return 1
    env = dict(os.environ)
    env.setdefault("ORRERY", os.path.join(build, "orrery-system-x86_64"))
    failed = skipped = 0
    with concurrent.futures.ThreadPoolExecutor(max(args.jobs, 1)) as pool:
        for job in concurrent.futures.as_completed([pool.submit(run, t, env, args.timeout)
                                                    for t in tests]):
            name, command, status, seconds, output = job.result()
            word = "ok" if status == 0 else "skipped" if status == SKIPPED else "FAILED"
            print("%-8s %6.1fs  %s" % (word, seconds, name), flush=True)
            if word == "skipped":
                skipped += 1
                print("         " + (output.strip().splitlines() or [""])[-1])
            elif word == "FAILED":
                failed += 1
                print(output[-6000:])
                print("         status %s; alone: ORRERY=%s %s" % (
                    status, shlex.quote(env["ORRERY"]), shlex.join(command)), flush=True)
            elif args.verbose:
                print(output)
    print("%d tests, %d failed, %d skipped" % (len(tests), failed, skipped))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
