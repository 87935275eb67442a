#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs kvm-unit-tests, and says where this emulator does worse than a reference.

    KVM_UNIT_TESTS=DIR[:DIR...] tests/suites/kut.py [options] [TEST ...]

Each DIR is a built checkout: x86/*.flat, x86/unittests.cfg, and config.mak, which says
whether it was built for i386 or x86_64.  Everything runs with -accel tcg unless --accel kvm
says otherwise; options the tests give themselves count last.
The reference is QEMU where it is installed (-q), or the results saved by an earlier run (-r).

A test fails here when the reference passes it and we do not; a part of a test (a PASS line)
which the reference has and we have not is listed too.
"""

import argparse
import concurrent.futures
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "guest"))
sys.dont_write_bytecode = True

import kvmhost          # noqa: E402

EMULATOR = os.environ.get("ORRERY", os.path.join(TOP, "build", "orrery-system-x86_64"))
PATIENCE = float(os.environ.get("ORRERY_PATIENCE", "1"))

# Groups of tests which want a hypervisor below or above them.
NESTED = {"svm", "vmx", "hyperv", "nested_exception", "pmu"}
# What an emulator says that has paused its machine.
GIVEN_UP = re.compile(rb"KVM internal error|KVM: entry failed|the machine is paused")
# What isa-debug-exit makes of the value a test writes there: 2 * value + 1.
VERDICTS = {1: "pass", 3: "FAIL", 77: "skip", 127: "abort"}


def read_config(path):
    """[(name, {key: value})] of a unittests.cfg."""
    tests = []
    with open(path) as f:
        for line in f:
            line = line.strip()
            if line.startswith("["):
                tests.append((line.strip("[]"), {}))
            elif line and not line.startswith("#") and "=" in line:
                key, value = line.split("=", 1)
                tests[-1][1][key.strip()] = value.strip()
    return tests


def arch_of(folder):
    try:
        with open(os.path.join(folder, "config.mak")) as f:
            m = re.search(r"^ARCH=(\S+)", f.read(), re.M)
            return m.group(1) if m else "x86_64"
    except FileNotFoundError:
        return "x86_64"


class Test:
    def __init__(self, folder, arch, name, cfg):
        self.name = name if arch == "x86_64" else "%s.%s" % (name, arch)
        self.flat = os.path.join(folder, "x86", cfg.get("file", ""))
        self.args = cfg.get("test_args", "").strip("'\"")
        self.args = self.args.replace("`date +%s`", "%d" % time.time())
        self.options = self.adapt(shlex.split(cfg.get("qemu_params", cfg.get("extra_params", ""))))
        # a number, or a shell expression of $MAX_SMP for which a few are enough
        self.smp = int(cfg["smp"]) if cfg.get("smp", "").isdigit() else 4 if "smp" in cfg else 1
        self.timeout = int(cfg.get("timeout", "90").rstrip("s"))
        self.groups = set(cfg.get("groups", "").split())
        self.accel = cfg.get("accel")
        self.arch = cfg.get("arch", arch)

    @staticmethod
    def adapt(options):
        """The options for a machine without KVM below it."""
        out = []
        for o in options:
            if o == "-enable-kvm":
                continue
            if out and out[-1] == "-cpu":
                parts = ["max" if p == "host" else p for p in o.split(",")
                         if not p.startswith(("host-phys-bits", "migratable", "hv_"))]
                o = ",".join(parts)
            out.append(o)
        return out

    accelerator = "tcg"
    least_smp = 1

    def why_not(self, arch):
        if self.arch != arch:
            return "for %s" % self.arch
        if self.accel == "kvm" and self.accelerator != "kvm":
            return "for KVM only"
        if self.groups & NESTED:
            return "needs " + "/".join(sorted(self.groups & NESTED))
        if "-M" in self.options or "-machine" in self.options and "q35" in " ".join(self.options):
            return "for another machine"
        if not os.path.exists(self.flat):
            return "not built"
        return None

    def command(self, emulator):
        cmd = [emulator, "-nodefaults", "-no-reboot", "-display", "none", "-accel", self.accelerator,
               "-device", "pc-testdev", "-device", "isa-debug-exit,iobase=0xf4,iosize=0x4",
               "-serial", "stdio", "-smp", str(max(self.smp, self.least_smp)), "-kernel", self.flat]
        return cmd + (["-append", self.args] if self.args else []) + self.options


def content(file):
    return os.pread(file.fileno(), 1 << 24, 0)


def wait(p, err_file, end):
    """The verdict on a process, which is gone then."""
    while True:
        try:
            p.wait(0.2)
            return VERDICTS.get(p.returncode, "exit %d" % p.returncode)
        except subprocess.TimeoutExpired:
            pass
        stopped = GIVEN_UP.search(content(err_file))
        if stopped or time.monotonic() > end:
            p.kill()
            p.wait()
            return "stopped" if stopped else "timeout"


def run(test, emulator, timeout):
    begin = time.monotonic()
    with tempfile.TemporaryFile() as out_file, tempfile.TemporaryFile() as err_file:
        p = subprocess.Popen(test.command(emulator), stdin=subprocess.DEVNULL, stdout=out_file,
                             stderr=err_file)
        verdict = wait(p, err_file, begin + timeout)
        out, err = content(out_file), content(err_file)
    if not out and verdict != "stopped":             # status 1 is also that of a wrong option
        out, verdict = err, "no start"
    text = out.decode(errors="replace").replace("\r", "")
    return {"verdict": verdict, "seconds": round(time.monotonic() - begin, 1),
            "passed": sorted(set(re.findall(r"^(?:PASS|XFAIL)[:\t ]+(.*)\n", text, re.M))),
            "failed": sorted(set(re.findall(r"^(?:FAIL|XPASS)[:\t ]+(.*)\n", text, re.M))),
            "tail": "\n".join(text.strip().split("\n")[-6:])}


def cell(r):
    if not r:
        return "-"
    counts = " %d/%d" % (len(r["passed"]), len(r["passed"]) + len(r["failed"])) \
        if r["passed"] or r["failed"] else ""
    return "%s%s %.1fs" % (r["verdict"], counts, r["seconds"])


def judge(ref, ours):
    """(worse?, remark)"""
    if ref is None:
        return ours["verdict"] != "pass", ""
    # the same line may carry addresses or measured figures: compare lines without digits
    plain = [re.sub(r"[0-9]+|0x[0-9a-f]+", "#", line) for line in ours["passed"]]
    lost = [line for line in ref["passed"] if re.sub(r"[0-9]+|0x[0-9a-f]+", "#", line) not in plain]
    if ref["verdict"] == "pass" and ours["verdict"] != "pass":
        return True, "WORSE"
    if lost:
        return False, "%d parts fewer" % len(lost)
    return False, "better" if ours["verdict"] == "pass" != ref["verdict"] else ""


def gather(dirs, names):
    """(tests to run, [(name, why skipped)])"""
    chosen, skipped = [], []
    for folder in dirs:
        arch = arch_of(folder)
        for name, cfg in read_config(os.path.join(folder, "x86", "unittests.cfg")):
            t = Test(folder, arch, name, cfg)
            if names and t.name not in names:
                continue
            why = t.why_not(arch) or ("by name only" if "nodefault" in t.groups and not names
                                      else None)
            if why:
                skipped.append((t.name, why))
            else:
                chosen.append(t)
    return chosen, skipped


def details(ref, ours):
    lines = ["    wrong: " + line for line in ours["failed"][:12]]
    if ref:
        lines += ["    lost:  " + line for line in ref["passed"]
                  if line not in ours["passed"] and line not in ours["failed"]][:12]
    if not lines:
        lines = ["    | " + line for line in ours["tail"].split("\n")]
    return "\n".join(lines)


def parse_arguments():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    ap.add_argument("tests", nargs="*", metavar="TEST")
    ap.add_argument("-j", "--jobs", type=int, default=2)
    ap.add_argument("-q", "--qemu", default=shutil.which("qemu-system-x86_64"),
                    help="the reference [qemu-system-x86_64 if installed]")
    ap.add_argument("-r", "--reference", help="results saved with -s, instead of running QEMU")
    ap.add_argument("-s", "--save", help="save the results of the last column as JSON")
    ap.add_argument("--accel", default="tcg", help="tcg or kvm, for both")
    ap.add_argument("--smp", type=int, default=1, help="at least so many vCPUs for every test")
    ap.add_argument("--alone", action="store_true", help="no reference")
    ap.add_argument("--timeout", type=float, default=1, help="factor on the time limits")
    return ap.parse_args()


def main():
    a = parse_arguments()
    Test.accelerator, Test.least_smp = a.accel, a.smp
    if a.accel == "kvm" and not kvmhost.usable():
        print("skipped: " + kvmhost.WHY_NOT)
        return 0
    dirs = [d for d in os.environ.get("KVM_UNIT_TESTS", "").split(":") if d]
    if not dirs:
        print("skipped: KVM_UNIT_TESTS does not name a folder with a built kvm-unit-tests")
        return 0
    for d in dirs:
        if not os.path.exists(os.path.join(d, "x86", "unittests.cfg")):
            sys.exit("kut.py: '%s' has no x86/unittests.cfg" % d)
    tests, skipped = gather(dirs, a.tests)
    known = {t.name for t in tests} | {n for n, _ in skipped}
    for name in a.tests:
        if name not in known:
            sys.exit("kut.py: no test '%s'" % name)
    saved = {}
    if a.reference:
        with open(a.reference) as f:
            saved = json.load(f)

    def both(t):
        limit = t.timeout * a.timeout * PATIENCE
        ref = saved.get(t.name) if a.reference else \
            None if a.alone or not a.qemu else run(t, a.qemu, limit)
        return t, ref, run(t, EMULATOR, limit)

    results, bad = {}, 0
    print("%-28s %-26s %-26s" % ("test", "reference", "here"))
    with concurrent.futures.ThreadPoolExecutor(a.jobs) as pool:
        for t, ref, ours in pool.map(both, tests):
            worse, remark = judge(ref, ours)
            results[t.name] = ours
            bad += worse
            print("%-28s %-26s %-26s %s" % (t.name, cell(ref), cell(ours), remark), flush=True)
            if worse or (ours["verdict"] != "pass" and a.tests) or "fewer" in remark:
                print(details(ref, ours))
            if worse:
                print("    again: KVM_UNIT_TESTS=%s tests/suites/kut.py %s"
                      % (os.environ["KVM_UNIT_TESTS"], t.name))
    for name, why in skipped:
        print("%-28s skipped: %s" % (name, why))
    if a.save:
        with open(a.save, "w") as f:
            json.dump(results, f, indent=1)
    print("%d passed, %d failed, %d skipped" % (len(tests) - bad, bad, len(skipped)))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
