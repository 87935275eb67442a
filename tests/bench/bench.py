#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures the emulator, beside QEMU's TCG and Bochs where they are installed.

    tests/bench/bench.py                    everything (half an hour where Bochs is installed)
    tests/bench/bench.py --quick            one short run
    tests/bench/bench.py -w fib,sieve,boot  some workloads (-l lists them)
    tests/bench/bench.py -e orrery,orrery:engine=interp,qemu

All engines boot the same CD with the same kernel and a program (tests/bench/guest) as init,
taking turns.  Rates come from the host's clock, as the times when the guest's lines arrive; the
guest's own clock must agree with it, except in Bochs, whose guests have a time of their own.
(With --cpu, rates are per second of CPU time that the emulator was given.)
Each workload's result must equal what the program computes on the host.
"""

import argparse
import fcntl
import gzip
import json
import math
import os
import re
import select
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
import tty

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(TOP, "tests", "guest"))
import material             # noqa: E402

EMULATOR = os.environ.get("ORRERY", os.path.join(TOP, "build", "orrery-system-x86_64"))
PATIENCE = float(os.environ.get("ORRERY_PATIENCE", "1"))
MEMORY = 256
DISK_SIZE = 33 * 16 * 63 * 512      # whole cylinders, as Bochs wants it
GUEST_ONLY, APPROXIMATE = 1, 2
BOCHS_DATA = "/usr/share/bochs"
MODULES = ["scsi_common", "scsi_mod", "crct10dif_generic", "crc-t10dif", "crc64", "crc64-rocksoft",
           "t10-pi", "libata", "ata_piix", "sd_mod"]

# What is measured from outside: name, unit, caption.
OUTSIDE = [
    ("start", "ms", "process start to its end, by a firmware of two instructions"),
    ("firmware", "s", "power-on to the boot loader's first line"),
    ("boot", "s", "boot loader's first line to the kernel's init"),
    ("idle", "% CPU", "host CPU time while the guest sleeps"),
    ("resident", "MiB", "resident memory of the process, guest idle (-m %d)" % MEMORY),
    ("beside", "MiB", "... of it, not the guest's RAM; what is mapped twice counts once"),
    ("empty", "MiB", "resident memory of a machine that has not started"),
]


class Trouble(Exception):
    pass


# ---- what is run ------------------------------------------------------------------------------

class Workload:
    def __init__(self, name, unit, units, flags):
        self.name, self.unit, self.units, self.flags = name, unit, units, flags


def compile_guest(out):
    cc = os.environ.get("CC", "cc")
    src = [os.path.join(HERE, "guest", f) for f in sorted(os.listdir(HERE + "/guest"))
           if f.endswith(".c")]
    try:
        r = subprocess.run([cc, "-O2", "-static", "-fno-tree-loop-distribute-patterns", "-I", TOP,
                            "-o", out] + src, stderr=subprocess.PIPE)
    except FileNotFoundError:
        raise Trouble("no C compiler '%s'" % cc)
    if r.returncode:
        raise Trouble("the benchmark program does not compile: %s"
                      % r.stderr.decode(errors="replace")[-600:])


def list_workloads(program):
    text = subprocess.run([program, "--list"], stdout=subprocess.PIPE, check=True).stdout.decode()
    return [Workload(n, u, int(k), int(f)) for n, u, k, f in
            (line.split("|") for line in text.split("\n") if line)]


def make_cd(out, program, names, ms, idle, more=""):
    c = material.Cpio()
    c.dir("dev")
    c.node("dev/console", "c", 5, 1)
    with open(program, "rb") as f:
        c.file("init", f.read())
    have = material.module_files(MODULES)
    for m, path in have:
        with open(path, "rb") as f:
            c.file("%s.ko" % m, f.read(), 0o644)
    c.file("modules", "".join("/%s.ko\n" % m for m, _ in have).encode(), 0o644)
    with tempfile.TemporaryDirectory() as d:
        with open(d + "/initrd", "wb") as f:
            f.write(gzip.compress(c.finish(), 6, mtime=0))
        append = ("initrd=/initrd console=ttyS0 quiet mitigations=off nokaslr bench=%s "
                  "bench.ms=%d" % (",".join(names) or "none", ms))
        if more:
            append += " " + more
        if idle:
            append += " bench.idle=%d" % idle
        material.make_isolinux_cd(out, "serial 0 115200\ndefault linux\nprompt 0\nlabel linux\n"
                                  "  kernel /vmlinuz\n  append %s\n" % append,
                                  {"vmlinuz": material.kernel(), "initrd": d + "/initrd"})


def make_disk(path):
    """Each sector begins with its number."""
    blob = bytearray(DISK_SIZE)
    for n in range(DISK_SIZE // 512):
        blob[n * 512:n * 512 + 8] = n.to_bytes(8, "little")
    with open(path, "wb") as f:
        f.write(blob)


def disk_read_check():
    """What the disk-read workload's check value must be (guest/io.c)."""
    total = 0
    for i in range(16):
        at = i * 65536 * 7 % (8 << 20)
        for k in range(0, 65536, 512):
            total = (total * 3 + (at + k) // 512) & (1 << 64) - 1
    return "%x" % total


def disk_written_well(path):
    with open(path, "rb") as f:
        f.seek(8 << 20)
        return all(f.read(65536) == bytes([0xa0 + i]) * 65536 for i in range(16))


# ---- engines ----------------------------------------------------------------------------------

class Engine:
    """An emulator: how to start it with a CD, a disk and a serial line to us."""
    own_time = False        # its guest's clock is not the host's

    def __init__(self, name, options):
        self.name = name
        self.options = options          # after the ':' of -e

    def start(self, d, cd, disk):
        """(process, descriptor of the serial line)"""
        path = d + "/serial"
        server = socket.socket(socket.AF_UNIX)
        server.bind(path)
        server.listen(1)
        cmd = self.command() + ["-cdrom", cd, "-drive", "file=%s,format=raw,if=ide" % disk,
                                "-boot", "d", "-chardev", "socket,id=s,path=%s" % path,
                                "-serial", "chardev:s"]
        with open(d + "/log", "wb") as log:
            p = subprocess.Popen(cmd, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        server.settimeout(20 * PATIENCE)
        try:
            conn, _ = server.accept()
        except OSError:
            p.kill()
            raise Trouble("%s did not start: %s" % (self.name, tail(d + "/log")))
        finally:
            server.close()
        return p, conn

    def command(self):
        return [self.program, "-accel", "tcg" + ("," + self.options if self.options else ""),
                "-m", str(MEMORY), "-display", "none", "-nodefaults", "-no-reboot"]

    def start_time(self):
        """Least milliseconds from the process's start to the end that the
        guest's first instructions bring about, None where that can't be had."""
        with tempfile.TemporaryDirectory() as d:
            image = bytearray(b"\xf4" * 65536)
            image[0xfff0:0xfff7] = b"\xba\xf4\x00\xb0\x00\xee\xf4"    # mov dx, F4h; mov al, 0; out dx, al
            with open(d + "/bios", "wb") as f:
                f.write(image)
            cmd = self.command() + ["-bios", d + "/bios", "-device",
                                    "isa-debug-exit,iobase=0xf4,iosize=1"]
            times = []
            for _ in range(8):
                begin = time.monotonic()
                if subprocess.run(cmd, stdin=subprocess.DEVNULL, timeout=60).returncode != 1:
                    raise Trouble("%s: the exit port was not written" % self.name)
                times.append(1000 * (time.monotonic() - begin))
            return min(times)

    def empty_size(self):
        """Resident MiB of a machine that has not started, None where that can't be had."""
        p = subprocess.Popen(self.command() + ["-vga", "std", "-S"], stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            time.sleep(1.5)
            return resident(p.pid)
        finally:
            p.kill()
            p.wait()


class Orrery(Engine):
    program = EMULATOR


class Qemu(Engine):
    program = shutil.which("qemu-system-x86_64")


class Bochs(Engine):
    program = shutil.which("bochs-bin") or shutil.which("bochs")
    own_time = True

    def start(self, d, cd, disk):
        master, slave = os.openpty()
        tty.setraw(slave)
        screen, screen_slave = os.openpty()
        fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack("HHHH", 60, 132, 0, 0))
        rc = d + "/bochsrc"
        with open(rc, "w") as f:
            f.write("display_library: term\n"
                    "cpu: model=core2_penryn_t9600, ips=100000000, reset_on_triple_fault=0\n"
                    "clock: sync=none\nmegs: %d\n"
                    "romimage: file=%s/BIOS-bochs-latest\n"
                    "vgaromimage: file=%s/VGABIOS-lgpl-latest\n"
                    "ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14\n"
                    "ata0-master: type=disk, path=%s, mode=flat\n"
                    "ata1: enabled=1, ioaddr1=0x170, ioaddr2=0x370, irq=15\n"
                    "ata1-master: type=cdrom, path=%s, status=inserted\n"
                    "boot: cdrom\ncom1: enabled=1, mode=term, dev=%s\n"
                    "sound: waveoutdrv=dummy\nlog: %s/log\npanic: action=fatal\n"
                    "error: action=ignore\n"
                    % (MEMORY, BOCHS_DATA, BOCHS_DATA, disk, cd, os.ttyname(slave), d))
        env = dict(os.environ, TERM="xterm", BXSHARE=BOCHS_DATA)
        p = subprocess.Popen([self.program, "-q", "-f", rc], stdin=screen_slave,
                             stdout=screen_slave, stderr=screen_slave, env=env, cwd=d)
        os.close(screen_slave)
        os.write(screen, b"c\n")        # builds with the debugger wait for "continue"
        self.screen, self.slave = screen, slave
        return p, os.fdopen(master, "rb", buffering=0)

    def pump(self):
        """Takes what the text display draws, or it would fill the pty and block."""
        try:
            while select.select([self.screen], [], [], 0)[0] and os.read(self.screen, 65536):
                pass
        except OSError:
            pass

    def close(self):
        os.close(self.screen)
        os.close(self.slave)

    def empty_size(self):
        return None

    def start_time(self):
        return None

    @classmethod
    def missing(cls):
        if not cls.program:
            return "not installed"
        plugins = subprocess.run(["find", "/usr/lib", "-name", "libbx_term_gui.so"],
                                 stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
        return None if plugins else "its text display is missing (Debian package: bochs-term)"


ENGINES = {"orrery": Orrery, "qemu": Qemu, "bochs": Bochs}


def tail(path):
    """The end of a log, from the last panic message on where there is one."""
    with open(path, "rb") as f:
        text = f.read().decode(errors="replace").strip()
    return text[max(text.rfind("PANIC"), 0):][:300] if "PANIC" in text else text[-300:]


def resident(pid):
    with open("/proc/%d/status" % pid) as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1)) / 1024


def beside_ram(pid):
    """Resident MiB without the guest's RAM (the first mapping of at least its size).  Memory that
    is mapped twice, as code may be, counts once."""
    total, ram, size, shared = 0, False, 0, False
    with open("/proc/%d/smaps" % pid) as f:
        for line in f:
            m = re.match(r"(Size|Rss|Pss):\s+(\d+) kB", line)
            if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
                shared = "memfd:" in line
            elif m and m.group(1) == "Size":
                size = int(m.group(2))
            elif m and m.group(1) == ("Pss" if shared else "Rss"):
                if not ram and size >= MEMORY << 10:
                    ram = True
                else:
                    total += int(m.group(2))
    return total / 1024


def cpu_seconds(pid):
    with open("/proc/%d/stat" % pid) as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cpu_time(pid):
    """Seconds of CPU time its threads have had, to the nanosecond."""
    total = 0
    for task in os.listdir("/proc/%d/task" % pid):
        try:
            with open("/proc/%d/task/%s/schedstat" % (pid, task)) as f:
                total += int(f.read().split()[0])
        except OSError:
            pass                # it has just ended
    return total / 1e9


# ---- one run ----------------------------------------------------------------------------------

class Lines:
    """Lines of a serial line with the time each began to arrive, by the given clock."""

    def __init__(self, conn, pump=None, clock=time.monotonic):
        self.conn, self.pump, self.clock = conn, pump, clock
        self.buf, self.ready = b"", []

    def next(self, timeout, alive):
        end = time.monotonic() + timeout
        while not self.ready:
            if self.pump:
                self.pump()
            if select.select([self.conn], [], [], 0.2)[0]:
                now = self.clock()
                try:
                    data = self.conn.recv(65536) if isinstance(self.conn, socket.socket) \
                        else self.conn.read(65536)
                except OSError:
                    data = b""
                if not data:
                    raise Trouble("the serial line was closed")
                self.buf += data
                *lines, self.buf = self.buf.split(b"\n")
                self.ready += [(now, x.decode(errors="replace").strip()) for x in lines]
            elif not alive():
                raise Trouble("it ended early")
            elif time.monotonic() > end:
                raise Trouble("nothing for %d s" % timeout)
        return self.ready.pop(0)


class Result:
    """What one boot of one engine gave."""

    def __init__(self):
        self.outside = {}
        self.rates = {}         # name: rounds per second of the host's clock
        self.clock = {}         # name: seconds on the guest's clock and on the host's
        self.checks = {}
        self.problems = []


def watch(engine, lines, p, begin, result):
    """Follows the guest's lines to @done."""
    started, idle, loader = {}, None, None
    while True:
        at, line = lines.next(300 * PATIENCE, lambda: p.poll() is None)
        if loader is None and "ISOLINUX" in line:
            loader = at
            result.outside["firmware"] = at - begin
        if "Kernel panic" in line:
            raise Trouble(line)
        m = re.search(r"@(\S+) ?(.*)", line)
        if not m:
            continue
        what, rest = m.group(1), m.group(2).split()
        if what == "init":
            result.outside["boot"] = at - (loader or begin)
        elif what == "begin":
            started[rest[0]] = at
        elif what == "end":
            name, rounds, ns, check = rest[0], int(rest[1]), int(rest[2]), rest[3]
            seconds = at - started[name]
            result.rates[name] = rounds / seconds
            result.clock[name] = ns / 1e9, seconds
            result.checks[name] = check
        elif what == "fail":
            result.problems.append(" ".join(rest))
        elif what == "idle-begin":
            idle = time.monotonic(), cpu_seconds(p.pid)
            result.outside["resident"] = resident(p.pid)
            if not engine.own_time:
                result.outside["beside"] = beside_ram(p.pid)
        elif what == "idle-end":
            result.outside["idle"] = 100 * (cpu_seconds(p.pid) - idle[1]) / (time.monotonic() - idle[0])
        elif what == "done":
            return


def run_engine(engine, cd, wrote, cpu=False):
    result = Result()
    with tempfile.TemporaryDirectory(prefix="orrery-bench-") as d:
        disk = d + "/disk.img"
        make_disk(disk)
        begin = 0 if cpu else time.monotonic()
        p, conn = engine.start(d, cd, disk)
        clock = (lambda: cpu_time(p.pid)) if cpu else time.monotonic
        try:
            watch(engine, Lines(conn, getattr(engine, "pump", None), clock), p, begin, result)
        except Trouble as e:
            result.problems.append("%s (%s)" % (e, tail(d + "/log")))
        finally:
            conn.close()
            # let it switch itself off, so that the disk is written out
            try:
                p.wait(5)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
            if hasattr(engine, "close"):
                engine.close()
        if wrote and "disk-write" in result.rates and not disk_written_well(disk):
            result.problems.append("disk-write: the disk does not hold what the guest wrote")
    return result


def run_native(program, names, ms):
    result = Result()
    out = subprocess.run([program, "--ms", str(ms)] + names, stdout=subprocess.PIPE).stdout.decode()
    for name, rounds, ns, check in re.findall(r"@end (\S+) (\d+) (\d+) (\S+)", out):
        result.rates[name] = int(rounds) / (int(ns) / 1e9)
        result.checks[name] = check
    return result


# ---- results ----------------------------------------------------------------------------------

def median(values):
    return statistics.median(values) if values else None


def figure(v):
    if v is None:
        return "-"
    for limit, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if v >= limit:
            return "%.3g%s" % (v / limit, suffix)
    return "%.3g" % v


def same(workload, a, b):
    if workload.flags & APPROXIMATE:
        return abs(int(a, 16) - int(b, 16)) <= 1000     # of units of 1e-9
    return a == b


def wrong_results(workloads, engine, runs, native, cpu):
    """Sentences about check values and clocks."""
    for w in workloads:
        want = disk_read_check() if w.name == "disk-read" else native.checks.get(w.name)
        for r in runs:
            got = r.checks.get(w.name)
            if got is not None and want is not None and not same(w, got, want):
                yield "%s: %s computed %s, the host %s" % (engine.name, w.name, got, want)
            guest, host = r.clock.get(w.name, (0, 0))
            # a line may be late when the host is busy with other things
            if not engine.own_time and not cpu and abs(guest - host) > 0.1 + 0.05 * host:
                yield "%s: %s: %.2f s on the guest's clock were %.2f s on the host's" \
                    % (engine.name, w.name, guest, host)


def print_table(workloads, engines, results, native, outside):
    names = [e.name for e in engines]
    ratios = [(names[0], n) for n in names[1:]]
    head = "%-15s %-13s %9s" % ("workload", "per second", "native")
    head += "".join(" %10s" % n[:10] for n in names)
    head += "".join(" %9s" % ("/" + b[:8]) for _, b in ratios)
    print(head + "\n" + "-" * len(head))
    logs = {b: [] for _, b in ratios}
    table = {}
    for w in workloads:
        rate = {n: median([r.rates[w.name] * w.units for r in results[n] if w.name in r.rates])
                for n in names}
        rate["native"] = native.rates[w.name] * w.units if w.name in native.rates else None
        line = "%-15s %-13s %9s" % (w.name, w.unit, figure(rate["native"]))
        line += "".join(" %10s" % figure(rate[n]) for n in names)
        for a, b in ratios:
            if rate[a] and rate[b]:
                logs[b].append(math.log(rate[a] / rate[b]))
                line += " %8.2fx" % (rate[a] / rate[b])
            else:
                line += " %9s" % "-"
        table[w.name] = rate
        print(line)
    if len(workloads) > 1 and any(logs.values()):
        print("%-39s%s%s" % ("geometric mean of the ratios", " " * 11 * len(names), "".join(
            " %8.2fx" % math.exp(statistics.mean(logs[b])) if logs[b] else " %9s" % "-"
            for _, b in ratios)))
    for name, unit, caption in OUTSIDE:
        value = {n: median([r.outside[name] for r in results[n] if name in r.outside])
                 for n in names}
        if name in outside and any(v is not None for v in value.values()):
            line = "%-15s %-13s %9s" % (name, unit, "")
            line += "".join(" %10s" % figure(value[n]) for n in names)
            for a, b in ratios:     # how many times better than b: less is better here
                line += " %8.2fx" % (value[b] / value[a]) if value[a] and value[b] else " %9s" % "-"
            print(line + "   " + caption)
            table[name] = value
    return table


def parse_arguments():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    ap.add_argument("-e", "--engines", help="orrery, qemu, bochs; orrery:OPTIONS of -accel tcg "
                    "[those installed]")
    ap.add_argument("-w", "--workloads", help="some of them (-l lists) [all]")
    ap.add_argument("-n", "--runs", type=int, default=3, help="boots of each engine [3]")
    ap.add_argument("--ms", type=int, default=1000, help="guest milliseconds a workload [1000]")
    ap.add_argument("--quick", action="store_true", help="one run, 150 ms")
    ap.add_argument("--cpu", action="store_true", help="by the emulators' CPU time instead of the "
                    "clock: for a host that is busy with other things")
    ap.add_argument("--json", help="write the figures there too")
    ap.add_argument("-l", "--list", action="store_true")
    return ap.parse_args()


def choose_engines(text):
    engines = []
    for spec in text.split(",") if text else ["orrery", "qemu", "bochs"]:
        kind, _, options = spec.partition(":")
        if kind not in ENGINES:
            raise Trouble("no engine '%s' (there are: %s)" % (kind, ", ".join(ENGINES)))
        cls = ENGINES[kind]
        why = cls.missing() if hasattr(cls, "missing") else \
            None if cls.program and os.path.exists(cls.program) else "not installed"
        if why and (text or kind == "orrery"):
            raise Trouble("%s: %s" % (kind, why))
        if why:
            print("without %s: %s" % (kind, why))
        else:
            engines.append(cls(spec, options))
    return engines


def choose_workloads(text, workloads):
    """(workloads inside the guest, names measured from outside)"""
    outside = [n for n, _, _ in OUTSIDE]
    if not text:
        return workloads, outside
    names = text.split(",")
    for n in names:
        if n not in outside and n not in [w.name for w in workloads]:
            raise Trouble("no workload '%s' (-l lists them)" % n)
    return [w for w in workloads if w.name in names], [n for n in outside if n in names]


def measure_all(a, engines, program, workloads, outside, d):
    names = [w.name for w in workloads]
    idle = 4 if {"idle", "resident", "beside"} & set(outside) else 0
    ms = 150 if a.quick else a.ms
    cd = d + "/bench.iso"
    make_cd(cd, program, names, ms, idle)
    user = [w.name for w in workloads if not w.flags & GUEST_ONLY]
    native = run_native(program, user, min(ms, 200)) if user else Result()
    results = {e.name: [] for e in engines}
    problems = []
    for n in range(1 if a.quick else a.runs):
        for e in engines:
            begin = time.monotonic()
            r = run_engine(e, cd, "disk-write" in names, a.cpu)
            for name, measure in ("empty", e.empty_size), ("start", e.start_time):
                value = measure() if name in outside else None
                if value:
                    r.outside[name] = value
            results[e.name].append(r)
            problems += ["%s: %s" % (e.name, x) for x in r.problems]
            print("run %d: %s took %.0f s" % (n + 1, e.name, time.monotonic() - begin), flush=True)
    for e in engines:
        problems += wrong_results(workloads, e, results[e.name], native, a.cpu)
    print()
    table = print_table(workloads, engines, results, native, outside)
    return table, problems


def main():
    a = parse_arguments()
    with tempfile.TemporaryDirectory(prefix="orrery-bench-") as d:
        program = d + "/bench"
        try:
            compile_guest(program)
            known = list_workloads(program)
            if a.list:
                for w in known:
                    print("%-15s %s per second" % (w.name, w.unit))
                for name, unit, caption in OUTSIDE:
                    print("%-15s %s: %s" % (name, unit, caption))
                return 0
            workloads, outside = choose_workloads(a.workloads, known)
            table, problems = measure_all(a, choose_engines(a.engines), program, workloads,
                                          outside, d)
        except (Trouble, material.Missing) as e:
            sys.exit("bench: %s" % e)
    if a.json:
        with open(a.json, "w") as f:
            json.dump(table, f, indent=1)
    for p in dict.fromkeys(problems):
        print("PROBLEM  %s" % p)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
