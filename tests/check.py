#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the tests of `make check` and says how to run a failed one alone.

    tests/check.py                  everything
    tests/check.py WORD ...         the tests with one of these words in their names
    tests/check.py -l               names only

What is a test, and where it comes from:
    unit/test-X:/path       a case of build/tests/unit/test-X (GLib tests in C)
    FOLDER/test_X.py:C.m    a method of a unittest.TestCase in tests/FOLDER/test_X.py
    guest/NAME              a test of tests/guest/run.py
    sanitized/...           some of them once more, in the build with sanitizers (--sanitized)
Longer ones, for `make check-NAME`, have other names.

Random tests run from the same seed each time, so that what fails is the change at hand:
ORRERY_SEED and DISK_SEED choose others, `make check-fuzz` a new one each time.

Environment: ORRERY (the emulator), ORRERY_PATIENCE (factor on all time limits).
"""

import argparse
import concurrent.futures
import glob
import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
import traceback
import unittest

sys.dont_write_bytecode = True
TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PATIENCE = float(os.environ.get("ORRERY_PATIENCE", "1"))
OK, FAILED, SKIPPED = "ok", "FAILED", "skipped"


class Case:
    """One test that has been run."""

    def __init__(self, name, result, text, again):
        self.name, self.result, self.text, self.again = name, result, text, again


def relative(path):
    short = os.path.relpath(path, TOP)
    return path if short.startswith("..") else short


def execute(command, limit, env=()):
    """(exit status or a sentence, output); ends whatever the command left running."""
    env = dict(os.environ, **dict(env))
    limit *= float(env.get("ORRERY_PATIENCE", "1"))
    with tempfile.TemporaryFile() as out:
        p = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=TOP,
                             start_new_session=True, env=env)
        try:
            status = p.wait(limit)
        except subprocess.TimeoutExpired:
            status = "no end within %d s" % limit
        try:
            os.killpg(p.pid, 9)         # the test's own session: it and what it started
        except ProcessLookupError:
            pass
        p.wait()
        out.seek(0)
        return status, out.read().decode(errors="replace")


# ---- unit tests in C ------------------------------------------------------------------------

class Job:
    """Tests that run together; env is what they need in their environment."""
    env = {}

    def execute(self, command, limit):
        return execute(command, limit, self.env)


class GTest(Job):
    """A GLib test program.  A case that crashes takes the program along: the others are run
    again without it."""

    TAP = re.compile(r"^(ok|not ok) \d+ (\S+)(.*)$", re.M)

    def __init__(self, path):
        self.path, self.name = path, "unit/" + os.path.basename(path)

    def run(self, limit):
        status, text = self.execute([self.path, "-l"], limit)
        names = [line for line in text.splitlines() if line.startswith("/")]
        if status != 0 or not names:
            return [Case(self.name, FAILED, "can't list its cases: status %s\n%s" % (status, text),
                         relative(self.path))]
        done = {}
        while len(done) < len(names):
            left = [n for n in names if n not in done]
            options = [o for n in left for o in ("-p", n)] if done else []
            status, text = self.execute([self.path, "--tap", "-k"] + options, limit)
            reported = self.take_results(text, left, done)
            left = [n for n in left if n not in done]
            if left and (status == 0 or not reported):
                status = status or "not run"
            if left:                    # the one after the last reported was at work
                done[left[0]] = self.case(left[0], FAILED, "status %s\n%s" % (status, text))
            elif status != 0 and all(c.result != FAILED for c in done.values()):
                done["(exit)"] = Case(self.name, FAILED, "status %s at exit\n%s" % (status, text),
                                      relative(self.path))
                break
        return list(done.values())

    def take_results(self, text, names, done):
        count = 0
        for m in self.TAP.finditer(text):
            if m.group(2) in names:
                result = FAILED if m.group(1) != "ok" else \
                    SKIPPED if "# SKIP" in m.group(3) else OK
                done[m.group(2)] = self.case(m.group(2), result,
                                             "" if result == OK else m.group(3) + "\n" + text)
                count += 1
        return count

    def case(self, name, result, text):
        return Case("%s:%s" % (self.name, name), result, text,
                    "%s -p %s" % (relative(self.path), name))


# ---- tests in Python ------------------------------------------------------------------------

class PyTest(Job):
    """A file of unittest.TestCases, run by this program in another process (run_file)."""

    def __init__(self, path):
        self.path, self.name = path, os.path.relpath(path, os.path.join(TOP, "tests"))

    def run(self, limit):
        with tempfile.NamedTemporaryFile("r") as results:
            status, text = self.execute([sys.executable, os.path.abspath(__file__), "--run-file",
                                    self.path, "--results", results.name], limit)
            found = [json.loads(line) for line in results.read().splitlines()]
        cases = [self.case(*f) for f in found]
        if status not in (0, 1) or not cases:
            cases.append(Case(self.name, FAILED, "status %s\n%s" % (status, text),
                              "python3 " + relative(self.path)))
        return cases

    def case(self, name, result, text):
        return Case("%s:%s" % (self.name, name), result, text,
                    "python3 %s %s" % (relative(self.path), name))


class Recorder(unittest.TestResult):
    """Writes each result down at once, so that a crash loses none."""

    def __init__(self, path):
        super().__init__()
        self.out = open(path, "w")

    def note(self, test, result, text=""):
        name = ".".join(test.id().split(".")[-2:])
        self.out.write(json.dumps([name, result, text]) + "\n")
        self.out.flush()

    def startTest(self, test):
        super().startTest(test)
        self.broken = ""

    def stopTest(self, test):
        super().stopTest(test)
        if self.broken is not None:
            self.note(test, FAILED if self.broken else OK, self.broken)

    def trouble(self, err):
        self.broken = (self.broken or "") + "".join(traceback.format_exception(*err))

    def addError(self, test, err):
        if isinstance(test, unittest.TestCase):
            self.trouble(err)
        else:                           # setUpClass or the module's
            self.note(test, FAILED, "".join(traceback.format_exception(*err)))

    def addFailure(self, test, err):
        self.trouble(err)

    def addSubTest(self, test, subtest, err):
        if err:
            self.broken = (self.broken or "") + str(subtest) + "\n"
            self.trouble(err)

    def addSkip(self, test, reason):
        self.note(test, SKIPPED, reason)
        self.broken = None

    def addUnexpectedSuccess(self, test):
        self.broken = "succeeded, but is marked as an expected failure"


def run_file(path, results):
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    spec = importlib.util.spec_from_file_location(os.path.basename(path)[:-3], path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    recorder = Recorder(results)
    try:
        spec.loader.exec_module(module)
    except unittest.SkipTest as e:
        recorder.out.write(json.dumps(["(all)", SKIPPED, str(e)]) + "\n")
        return 0
    unittest.defaultTestLoader.loadTestsFromModule(module).run(recorder)
    return 0


# ---- guests ---------------------------------------------------------------------------------

class Guest(Job):
    def __init__(self, name):
        self.guest, self.name = name, "guest/" + name

    def run(self, limit):
        command = [sys.executable, os.path.join(TOP, "tests/guest/run.py"), self.guest]
        status, text = self.execute(command, limit * 4)
        why = re.search(r"^skipped .*\n +(.*)", text, re.M) if status == 0 else None
        result = SKIPPED if why else OK if status == 0 else FAILED
        told = why.group(1) if why else "" if result == OK else "status %s\n%s" % (status, text)
        return [Case(self.name, result, told,
                     "python3 tests/guest/run.py " + self.guest)]


def guests():
    try:
        text = subprocess.run([sys.executable, os.path.join(TOP, "tests/guest/run.py"), "-l"],
                              stdout=subprocess.PIPE, check=True, universal_newlines=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return []
    return [Guest(line.split()[0]) for line in text.splitlines() if line.strip()]


# ---- all of it ------------------------------------------------------------------------------

def find(build):
    jobs = [GTest(p) for p in sorted(glob.glob(os.path.join(build, "tests", "unit", "test-*")))
            if os.access(p, os.X_OK) and "." not in os.path.basename(p)]
    jobs += [PyTest(p) for p in sorted(glob.glob(os.path.join(TOP, "tests", "*", "test_*.py")))]
    return jobs + guests()


# What hostile input reaches: devices under a guest that makes no sense, disk images, saved
# states, the protocols and the command line.
SANITIZED = ("qtest/", "qmp/", "disk/", "guest/fuzz", "guest/bad_options",
             "ui/test_vnc_fuzz", "ui/test_console")
# The quarantine of freed memory would hide how little a process grows.
SANITIZED_ENV = {"ORRERY_PATIENCE": str(4 * PATIENCE),
                 "ASAN_OPTIONS": "quarantine_size_mb=16",
                 "UBSAN_OPTIONS": "print_stacktrace=1"}


# A wrong command line ends the process in the middle of what it was doing.
ENDS_EARLY = ("guest/bad_options", "qtest/test_kernel.py")


def programs(build):
    """What names them to the tests."""
    return {"ORRERY": os.path.join(build, "orrery-system-x86_64"),
            "ORRERY_IMG": os.path.join(build, "orrery-img")}


def find_sanitized(build):
    jobs = [j for j in find(build) if isinstance(j, GTest) or j.name.startswith(SANITIZED)]
    for j in jobs:
        j.name = "sanitized/" + j.name
        j.env = dict(SANITIZED_ENV, **programs(build))
        if j.name.endswith(ENDS_EARLY):
            j.env["ASAN_OPTIONS"] += ":detect_leaks=0"
    return jobs


def timed_run(job, limit):
    begin = time.monotonic()
    try:
        cases = job.run(limit)
    except Exception:
        cases = [Case(job.name, FAILED, traceback.format_exc(), "tests/check.py " + job.name)]
    return job, cases, time.monotonic() - begin


def report(job, cases, seconds, number, total, verbose):
    bad = [c for c in cases if c.result == FAILED]
    skipped = [c for c in cases if c.result == SKIPPED]
    word = FAILED if bad else SKIPPED if len(skipped) == len(cases) else OK
    count = "%d tests" % len(cases) if len(cases) > 1 else "1 test"
    print("[%*d/%d] %-8s %s (%s%s, %.1f s)" % (
        len(str(total)), number, total, word, job.name, count,
        ", %d skipped" % len(skipped) if skipped else "", seconds), flush=True)
    for c in skipped:
        print("    skipped %s: %s" % (c.name, (c.text.strip().splitlines() or [""])[0]))
    for c in bad:
        print("    FAILED %s" % c.name)
        print("\n".join("        " + line for line in c.text.rstrip()[-6000:].splitlines()))
        env = "".join("%s=%s " % (k, shlex.quote(v)) for k, v in job.env.items())
        print("    again: %s%s" % (env, c.again), flush=True)
    if verbose:
        for c in cases:
            print("    %-8s %s" % (c.result, c.name))


def parse_arguments():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    ap.add_argument("--build", default=os.path.join(TOP, "build"), help="build folder")
    ap.add_argument("--sanitized", help="build folder with sanitizers")
    ap.add_argument("-j", "--jobs", type=int, default=2, help="programs at a time [2]")
    ap.add_argument("-v", "--verbose", action="store_true", help="name each case")
    ap.add_argument("-l", "--list", action="store_true", help="only list the tests")
    ap.add_argument("--timeout", type=int, default=600, help="seconds a program may take [600]")
    ap.add_argument("--run-file", help=argparse.SUPPRESS)
    ap.add_argument("--results", help=argparse.SUPPRESS)
    ap.add_argument("words", nargs="*", help="run the tests whose names contain one of these")
    return ap.parse_args()


def main():
    args = parse_arguments()
    if args.run_file:
        return run_file(args.run_file, args.results)
    for name in ("ORRERY_SEED", "DISK_SEED"):
        os.environ.setdefault(name, "1")
    build = os.path.abspath(args.build)
    if build != os.path.join(TOP, "build") or "ORRERY" in os.environ:
        Job.env = {k: os.environ.get(k, v) for k, v in programs(build).items()}
    jobs = find(build)
    if args.sanitized:
        jobs += find_sanitized(os.path.abspath(args.sanitized))
    jobs = [j for j in jobs if not args.words or any(w in j.name for w in args.words)]
    if args.list:
        print("\n".join(j.name for j in jobs))
        return 0
    if not jobs:
        print("no test has %s in its name" % " or ".join(args.words))
        return 1
    passed = failed = skipped = number = 0
    with concurrent.futures.ThreadPoolExecutor(max(args.jobs, 1)) as pool:
        running = [pool.submit(timed_run, j, args.timeout) for j in jobs]
        for done in concurrent.futures.as_completed(running):
            job, cases, seconds = done.result()
            number += 1
            report(job, cases, seconds, number, len(jobs), args.verbose)
            passed += sum(c.result == OK for c in cases)
            failed += sum(c.result == FAILED for c in cases)
            skipped += sum(c.result == SKIPPED for c in cases)
    print("%d passed, %d failed" % (passed, failed)
          + (", %d skipped" % skipped if skipped else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
