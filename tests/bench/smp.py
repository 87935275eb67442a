#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a second busy vCPU is worth, beside QEMU's TCG and the host.

    tests/bench/smp.py                      some workloads of tests/bench/guest
    tests/bench/smp.py -w fib,syscalls -n 5 these; one vCPU, the other, both: five times
    tests/bench/smp.py -e orrery:engine=interp,orrery

A guest with two vCPUs runs a process on each, in turn and both at once; the figure is what both
did per second over what one did alone, so 2 is perfect.  "worth" does not count the time that a
vCPU's thread wanted a processor of the host and another program had it, so that other work on the
host matters less; "clock" counts it.
"""

import argparse
import math
import os
import re
import statistics
import sys
import tempfile

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import bench                            # noqa: E402

WORKLOADS = "branch,sieve,sha256,sort,fib,pointers,double,atomics,syscalls,page-faults,fork,exec,fresh-code"


def delays(pid):
    """Nanoseconds that the threads of vCPUs 0 and 1 have waited for a processor."""
    found = {}
    for task in os.listdir("/proc/%d/task" % pid):
        base = "/proc/%d/task/%s/" % (pid, task)
        with open(base + "comm") as f:
            m = re.match(r"CPU (\d+)", f.read())
        if m:
            with open(base + "schedstat") as f:
                found[int(m.group(1))] = int(f.read().split()[1])
    return found


class Sums:
    """Rates of one workload, and what two at once were worth each time."""

    def __init__(self):
        self.alone, self.ratio, self.by_clock = [], [], []

    def add(self, one, two, both):
        """(rounds, ns, ns waited) of each alone, and of both at once."""
        def rate(d, waits=True):
            return d[0] / max(d[1] - (d[2] if waits else 0), 1)
        alone = (rate(one) + rate(two)) / 2
        self.alone.append(alone * 1e9)
        self.ratio.append(sum(map(rate, both)) / alone)
        self.by_clock.append(2 * sum(rate(d, False) for d in both) / (rate(one, False) + rate(two, False)))


class Pairs:
    """Follows the lines of pairs.c; waits(): of the threads behind the two processors, or None."""

    def __init__(self, waits):
        self.waits, self.sums, self.now, self.before, self.done = waits, {}, None, None, {}

    def line(self, text):
        m = re.search(r"@pair (\S+) (\d)", text)
        if m:
            self.now, self.before, self.got = int(m.group(2)), self.waits(), []
            return
        m = re.search(r"@paired (\S+) (\d) (\d+) (\d+) (\d+)", text)
        if not m:
            return
        name, k, rounds, ns, waited = m.group(1), *map(int, m.groups()[1:])
        if self.before is not None:
            waited = self.waits()[k] - self.before[k]
        self.got.append((rounds, ns, min(waited, ns * 0.95)))
        if len(self.got) == bin(self.now).count("1"):
            self.done[self.now] = self.got
            if self.now == 3 and 1 in self.done and 2 in self.done:
                self.sums.setdefault(name, Sums()).add(self.done[1][0], self.done[2][0], self.got)
                self.done = {}


def run_guest(engine, cd):
    with tempfile.TemporaryDirectory(prefix="orrery-bench-") as d:
        disk = d + "/disk.img"
        bench.make_disk(disk)
        p, conn = engine.start(d, cd, disk)
        pairs = Pairs(lambda: delays(p.pid))
        lines = bench.Lines(conn)
        try:
            while True:
                text = lines.next(300 * bench.PATIENCE, lambda: p.poll() is None)[1]
                if "@done" in text:
                    return pairs.sums
                if "@fail" in text or "Kernel panic" in text:
                    raise bench.Trouble(text)
                pairs.line(text)
        finally:
            conn.close()
            p.kill()
            p.wait()


def run_native(program, names, ms, times):
    pairs = Pairs(lambda: None)
    out = bench.subprocess.run([program, "--ms", str(ms), "--pairs", str(times)] + names,
                               stdout=bench.subprocess.PIPE).stdout.decode()
    for line in out.splitlines():
        pairs.line(line)
    return pairs.sums


def with_two(engine):
    command = engine.command
    extra = ["-smp", "2"] + (["-name", "bench,debug-threads=on"] if isinstance(engine, bench.Qemu) else [])
    engine.command = lambda: command() + extra
    return engine


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    ap.add_argument("-e", "--engines", help="orrery, qemu; orrery:OPTIONS of -accel tcg [orrery, and qemu "
                    "where it is installed]")
    ap.add_argument("-w", "--workloads", default=WORKLOADS)
    ap.add_argument("-n", type=int, default=5, help="times each [5]")
    ap.add_argument("--ms", type=int, default=200, help="guest milliseconds each time [200]")
    a = ap.parse_args()
    spec = a.engines or "orrery" + (",qemu" if bench.Qemu.program else "")
    with tempfile.TemporaryDirectory(prefix="orrery-bench-") as d:
        try:
            engines = [with_two(e) for e in bench.choose_engines(spec)]
            program, cd = d + "/bench", d + "/bench.iso"
            bench.compile_guest(program)
            known = bench.list_workloads(program)
            chosen = [w for w in known if w.name in a.workloads.split(",")]
            names = [w.name for w in chosen]
            bench.make_cd(cd, program, names, a.ms, 0, "bench.pairs=%d" % a.n)
            results = [("host", run_native(program, [w.name for w in chosen if not w.flags & bench.GUEST_ONLY],
                                           min(a.ms, 100), a.n))]
            results += [(e.name, run_guest(e, cd)) for e in engines]
        except (bench.Trouble, bench.material.Missing) as e:
            sys.exit("bench: %s" % e)
    head = "%-15s" % "workload" + "".join("  %22s" % n[:22] for n, _ in results)
    print(head + "\n%-15s" % "" + "".join("  %10s %5s %5s" % ("alone", "worth", "clock") for _ in results))
    print("-" * len(head))
    for w in chosen:
        line = "%-15s" % w.name
        for _, sums in results:
            s = sums.get(w.name)
            line += "  %10s %5.2f %5.2f" % (bench.figure(statistics.median(s.alone) * w.units),
                                            statistics.median(s.ratio), statistics.median(s.by_clock)) \
                if s else "  %22s" % "-"
        print(line)
    line = "%-15s" % "geometric mean"
    for _, sums in results:
        line += "  %10s %5.2f %5.2f" % ("", *(math.exp(statistics.mean(
            [math.log(statistics.median(getattr(s, what))) for s in sums.values()]))
            for what in ("ratio", "by_clock")))
    print(line)


if __name__ == "__main__":
    main()
