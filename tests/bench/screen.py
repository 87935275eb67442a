#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What watching a machine costs, beside QEMU where it is installed: pictures of a 1024x768 screen in
full motion over VNC, and processor time of an idle guest with a client that follows it.

    tests/bench/screen.py [--seconds N] [--rounds N] [--idle N] [--only-idle]

The engines take turns; each figure is the median of the rounds.
"""

import argparse
import os
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "guest"), os.path.join(HERE, "..", "ui")]
import material             # noqa: E402
import xserver              # noqa: E402

EMULATOR = os.environ.get("ORRERY", os.path.join(material.TOP, "build", "orrery-system-x86_64"))
ENCODINGS = {"raw": 0, "tight": 7, "zrle": 16}


class Counter:
    """A client that takes updates and looks at no pixel."""

    def __init__(self, path, encoding):
        end = time.monotonic() + 20
        while True:
            self.s = socket.socket(socket.AF_UNIX)
            try:
                self.s.connect(path)
                break
            except OSError:
                self.s.close()
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)
        self.s.settimeout(30)
        self.buf = memoryview(bytearray(1 << 22))
        self.bytes = self.pixels = 0
        self.take(12)
        self.s.sendall(b"RFB 003.008\n")
        self.take(self.take(1)[0])
        self.s.sendall(b"\1")
        self.take(4)
        self.s.sendall(b"\1")
        self.size = struct.unpack(">HH", self.take(4))
        self.take(16)
        self.take(struct.unpack(">I", self.take(4))[0])
        self.s.sendall(struct.pack(">BxH2i", 2, 2, encoding, -223))

    def take(self, n):
        """n bytes; the buffer is used again."""
        view = self.buf[:n]
        got = 0
        while got < n:
            k = self.s.recv_into(view[got:])
            if not k:
                raise EOFError
            got += k
        self.bytes += n
        return view

    def request(self, incremental=True):
        self.s.sendall(struct.pack(">BBHHHH", 3, incremental, 0, 0, *self.size))

    def length(self):
        n = self.take(1)[0]
        if n & 0x80:
            n = n & 0x7f | self.take(1)[0] << 7
            if n & 0x4000:
                n = n & 0x3fff | self.take(1)[0] << 14
        return n

    def tight(self, w, h):
        c = self.take(1)[0]
        if c & 0xf0 == 0x80:
            self.take(3)
        elif c & 0xf0 == 0x90:
            self.take(self.length())
        else:
            n = w * h * 3
            if c & 0x40:
                kind = self.take(1)[0]
                if kind == 1:
                    colours = self.take(1)[0] + 1
                    self.take(3 * colours)
                    n = (w + 7) // 8 * h if colours == 2 else w * h
            self.take(n if n < 12 else self.length())

    def update(self):
        kind = self.take(1)[0]
        while kind != 0:                        # a bell, cut text
            if kind == 3:
                self.take(3)
                self.take(struct.unpack(">I", self.take(4))[0])
            kind = self.take(1)[0]
        self.take(1)
        for _ in range(struct.unpack(">H", self.take(2))[0]):
            x, y, w, h, e = struct.unpack(">HHHHi", self.take(12))
            if e == 0:
                self.take(w * h * 4)
            elif e == 16:
                self.take(struct.unpack(">I", self.take(4))[0])
            elif e == 7:
                self.tight(w, h)
            elif e == -223:
                self.size = w, h
                continue
            self.pixels += w * h


def processor(pid):
    """Seconds its threads have run, exact to the nanosecond."""
    total = 0
    for task in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/schedstat" % (pid, task)) as f:
            total += int(f.read().split()[0])
    return total / 1e9


class Machine:
    def __init__(self, program, disk=None, env=None):
        self.dir = tempfile.mkdtemp(prefix="bench-screen-")
        self.path = self.dir + "/vnc"
        args = [program, "-M", "pc", "-m", "64", "-accel", "tcg", "-nodefaults", "-vga", "std"]
        args += ["-display", "sdl"] if env else ["-display", "none", "-vnc", "unix:" + self.path]
        if disk:
            args += ["-drive", "file=%s,format=raw,if=ide,snapshot=on" % disk]
        self.p = subprocess.Popen(args, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)

    def close(self):
        self.p.send_signal(signal.SIGTERM)
        self.p.wait()
        shutil.rmtree(self.dir)


def motion(program, disk, encoding, seconds):
    """Whole pictures a second."""
    m = Machine(program, disk)
    try:
        c = Counter(m.path, ENCODINGS[encoding])
        end = time.monotonic() + 30
        while c.size != (1024, 768):
            c.request()
            c.update()
            if time.monotonic() > end:
                raise SystemExit("the guest does not paint")
        c.pixels, begin = 0, time.monotonic()
        while time.monotonic() < begin + seconds:
            c.request()
            c.update()
        return c.pixels / (1024 * 768) / (time.monotonic() - begin)
    finally:
        m.close()


def idle(program, seconds):
    """Per cent of a processor, with a client that asks for what changes."""
    m = Machine(program)
    try:
        c = Counter(m.path, 0)
        begin = time.monotonic()
        c.s.settimeout(0.2)
        before, asked = None, False
        while time.monotonic() < begin + 6 + seconds:
            if time.monotonic() > begin + 6 and before is None:     # the firmware has given up
                before = processor(m.p.pid)
            try:
                if not asked:
                    c.request()
                asked = True
                c.update()
                asked = False
            except socket.timeout:
                pass
        return 100 * (processor(m.p.pid) - before) / seconds
    finally:
        m.close()


def idle_window(program, seconds):
    """The same with a window on an X server without a screen."""
    x = xserver.XServer()
    m = Machine(program, env=x.env)
    try:
        x.find_window()
        time.sleep(6)
        before = processor(m.p.pid)
        time.sleep(seconds)
        return 100 * (processor(m.p.pid) - before) / seconds
    finally:
        m.close()
        x.close()


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    ap.add_argument("--seconds", type=float, default=5)
    ap.add_argument("--rounds", type=int, default=3)
    ap.add_argument("--idle", type=float, default=20, metavar="SECONDS", help="how long a machine at rest is watched")
    ap.add_argument("--only-idle", action="store_true")
    a = ap.parse_args()
    engines = {"orrery": EMULATOR}
    qemu = shutil.which("qemu-system-x86_64")
    if qemu:
        engines["qemu"] = qemu
    with tempfile.TemporaryDirectory() as d:
        disk = d + "/disk"
        with open(material.assembled("motion"), "rb") as f, open(disk, "wb") as g:
            g.write(f.read().ljust(1 << 20, b"\0"))
        print("%-22s" % "" + "".join("%12s" % e for e in engines))
        for name in () if a.only_idle else ENCODINGS:
            found = {e: [] for e in engines}
            for _ in range(a.rounds):
                for e, program in engines.items():
                    found[e].append(motion(program, disk, name, a.seconds))
            print("%-22s" % (name + " pictures/s") + "".join("%12.1f" % statistics.median(found[e])
                                                             for e in engines), flush=True)
        found = {e: [idle(p, a.idle) for _ in range(a.rounds)] for e, p in engines.items()}
        print("%-22s" % "idle, % processor" + "".join("%12.2f" % statistics.median(found[e])
                                                      for e in engines))
        if not xserver.missing():
            print("%-22s%12.2f" % ("  in a window", statistics.median(
                [idle_window(EMULATOR, a.idle) for _ in range(a.rounds)])))


if __name__ == "__main__":
    main()
