#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Drivers without sense for the graphics cards and virtio's input devices: commands, blits and
settings made of values that mean something, lie at limits or are random; pictures are taken and
states saved and loaded in between.  Nothing may crash, hang or grow without bound.

    ORRERY_SEED=1 ORRERY_STEPS=100000 python3 tests/qtest/test_fuzz_display.py      a long run

A failure prints the seed; with it the same accesses come again.
"""

import os
import random
import struct
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from libqtest import Died, QTest, main                              # noqa: E402
import gpu                                                          # noqa: E402
import virtio                                                       # noqa: E402
from virtio import MEM, WRITE, VirtIO                               # noqa: E402

SEED = int(os.environ.get("ORRERY_SEED", "0")) or random.randrange(1 << 30)
STEPS = int(os.environ.get("ORRERY_STEPS", "1500"))
DEVFN = 4 << 3
COMMON = ["-M", "pc", "-m", "16", "-rtc", "clock=vm", "-no-shutdown"]
MAX_GROWTH = 48 << 20


def resident(pid):
    with open("/proc/%d/status" % pid) as f:
        return next(int(line.split()[1]) for line in f if line.startswith("RssAnon:")) * 1024


class Fuzz(unittest.TestCase):
    def run_steps(self, args, prepare, step, heads=1):
        """prepare(q, rng) makes the driver, step(driver, rng) takes a step."""
        q = QTest(COMMON + args)
        rng, before = random.Random(SEED), None
        try:
            with tempfile.TemporaryDirectory() as d:
                driver = prepare(q, rng)
                for n in range(STEPS):
                    step(driver, rng)
                    if rng.random() < 0.04:
                        which = {"device": "dut", "head": rng.randrange(heads)} if heads else None
                        if which:
                            q.qmp("screendump", filename=d + "/s.ppm", **which)
                    if rng.random() < 0.01:
                        q.command_line("vmstate_load " + q.command_line("vmstate_save"))
                    if rng.random() < 0.01:
                        q.clock_step(1000000)
                    if rng.random() < 0.003:
                        driver = prepare(q, rng)
                    if n == STEPS // 2:
                        before = resident(q.proc.pid)
            q.qmp("query-status")
            self.assertLess(resident(q.proc.pid) - before, MAX_GROWTH, "ORRERY_SEED=%d: the process grew" % SEED)
        except (Died, AssertionError, TimeoutError) as e:
            self.fail("ORRERY_SEED=%d ORRERY_STEPS=%d: %s" % (SEED, STEPS, e))
        finally:
            status, text = q.close()
        self.assertIn(status, (0, -15), "ORRERY_SEED=%d: %s" % (SEED, text[-4000:]))

    # ---- virtio-gpu ----

    @staticmethod
    def number(r):
        return r.choice((r.randrange(4), r.randrange(70), r.randrange(600), 16, 64, 0xffffffff, 1 << r.randrange(32),
                         (1 << r.randrange(32)) - 1, r.getrandbits(32)))

    def rect(self, r):
        if r.random() < 0.6:
            x, y = r.randrange(40), r.randrange(40)
            return x, y, r.randrange(16, 100), r.randrange(16, 100)
        return tuple(self.number(r) for _ in range(4))

    def entries(self, r, n):
        places = (r.randrange(16 << 20), 0x800000, MEM, 0xfffffff0, (16 << 20) - 8, 0xa0000, 0xfffffffffffff000, 0xc0000)
        return b"".join(struct.pack("<QII", r.choice(places), r.choice((4096, 16384, 65536, self.number(r))), 0)
                        for _ in range(n))

    def gpu_command(self, r):
        """(type, body)"""
        pack, number, n = struct.pack, self.number, r.randrange(7)
        kind = r.choice((gpu.CREATE_2D, gpu.CREATE_2D, gpu.UNREF, gpu.SET_SCANOUT, gpu.SET_SCANOUT, gpu.FLUSH, gpu.TRANSFER,
                         gpu.TRANSFER, gpu.ATTACH, gpu.ATTACH, gpu.DETACH, gpu.GET_EDID, gpu.CREATE_BLOB,
                         gpu.SET_SCANOUT_BLOB, gpu.GET_DISPLAY_INFO, r.getrandbits(32), r.randrange(0x100, 0x112)))
        count = r.randrange(12)
        told = count if r.random() < 0.9 else number(r)
        size = r.choice((4096, 65536, 1 << 20, number(r)))
        bodies = {
            gpu.CREATE_2D: pack("<4I", n, r.choice((1, 2, 67, 121, 134, number(r))), r.choice((64, 100, number(r))),
                                r.choice((64, 100, number(r)))),
            gpu.SET_SCANOUT: pack("<6I", *self.rect(r), r.randrange(4), n),
            gpu.FLUSH: pack("<6I", *self.rect(r), n, 0),
            gpu.TRANSFER: pack("<4IQII", *self.rect(r), r.choice((0, 4, 4096, r.getrandbits(64))), n, 0),
            gpu.ATTACH: pack("<II", n, told) + self.entries(r, count),
            gpu.CREATE_BLOB: pack("<4IQQ", n, r.choice((1, 1, 1, number(r))), 0, told, 0, size) + self.entries(r, count),
            gpu.SET_SCANOUT_BLOB: pack("<17I", *self.rect(r), r.randrange(4), n, r.choice((64, 100, number(r))),
                                       r.choice((64, 100, number(r))), r.choice((1, 2, 67, number(r))), 0,
                                       r.choice((256, 400, number(r))), 0, 0, 0, r.choice((0, 4, number(r))), 0, 0)
                                  + bytes(4),
        }
        body = bodies.get(kind, pack("<II", n, number(r)))
        return kind, body[:r.randrange(len(body) + 1)] if r.random() < 0.03 else body

    def gpu_step(self, g, r):
        g.next_memory = virtio.MEMORY
        if r.random() < 0.1:
            kind = r.choice((gpu.UPDATE_CURSOR, gpu.MOVE_CURSOR, self.number(r)))
            g.run(1, [struct.pack("<IIQII8I", kind, 0, 0, 0, 0, r.randrange(4), self.number(r), self.number(r), 0,
                                  r.randrange(7), self.number(r), self.number(r), 0)], [])
            return
        kind, body = self.gpu_command(r)
        data = struct.pack("<IIQII", kind, r.choice((0, 1, r.getrandbits(32))), r.getrandbits(64), 0, 0) + body
        cut = r.randrange(len(data))
        parts = [data[:cut], data[cut:]] if cut and r.random() < 0.2 else [data]
        parts = [(g.alloc(len(p), p), len(p), 0) for p in parts]
        size = r.choice((24, 1056, 408, r.randrange(1, 30)))
        parts.append((g.alloc(size), size, WRITE))
        g.queues[0].add(parts)
        g.kick(0)
        for _ in range(1000):                   # costly ones take turns
            if g.q.readw(g.queues[0].device + 2) != g.queues[0].used:
                break
            g.q.clock_step(1000)
        g.queues[0].get()

    def test_virtio_gpu(self):
        self.run_steps(["-vga", "none", "-device", "virtio-gpu-pci,id=dut,addr=4,max_outputs=2,blob=on,max_hostmem=8M"],
                       lambda q, r: gpu.GPU(q, DEVFN), self.gpu_step, heads=2)

    def test_virtio_vga(self):
        def step(g, r):
            if r.random() < 0.2:
                g.q.batch(["outw 0x%x 0x%x" % (r.choice((0x3c4, 0x3ce, 0x3d4, 0x1ce, 0x1d0)), r.getrandbits(16))
                           for _ in range(20)])
            self.gpu_step(g, r)
        self.run_steps(["-vga", "none", "-device", "virtio-vga,id=dut,addr=4,max_hostmem=8M"],
                       lambda q, r: gpu.GPU(q, DEVFN, vga=True), step)

    # ---- virtio-input ----

    def input_step(self, d, r):
        kind = r.randrange(4)
        d.next_memory = virtio.MEMORY
        if kind == 0:
            d.set_config(r.choice((0, 1, r.randrange(150))), r.randbytes(r.randrange(1, 4)))
            d.config(r.randrange(140), r.randrange(1, 20))
        elif kind == 1:
            size = r.choice((8, 8, 8, r.randrange(1, 20)))
            d.run(1, [struct.pack("<HHI", r.choice((0x11, 0x14, r.getrandbits(16))), r.choice((0, 1, 2, r.getrandbits(16))),
                                  r.getrandbits(32)).ljust(20, b"x")[:size]], [])
        elif kind == 2 and d.waiting < 60:
            size = r.choice((8, 8, 8, r.randrange(1, 16)))
            d.queues[0].add([(d.alloc(size), size, WRITE)])
            d.waiting += 1
            d.kick(0)
            return
        else:
            d.q.qmp("input-send-event", events=[r.choice((
                {"type": "key", "data": {"key": {"type": "qcode", "data": "a"}, "down": r.random() < 0.5}},
                {"type": "btn", "data": {"button": r.choice(("left", "wheel-up", "extra")), "down": r.random() < 0.5}},
                {"type": "rel", "data": {"axis": "x", "value": r.randrange(-1000, 1000)}},
                {"type": "abs", "data": {"axis": "y", "value": r.randrange(32768)}})) for _ in range(r.randrange(1, 40))])
        used = d.q.readw(d.queues[0].device + 2)
        d.waiting -= used - d.queues[0].used & 0xffff
        d.queues[0].used = used

    def test_virtio_input(self):
        def prepare(q, r):
            d = VirtIO(q, DEVFN)
            d.setup(0, (0, 1))
            d.waiting = 0
            return d
        for kind in ("keyboard", "mouse", "tablet"):
            self.run_steps(["-vga", "none", "-device", "virtio-%s-pci,addr=4" % kind], prepare, self.input_step, heads=0)

    # ---- cirrus ----

    def cirrus_step(self, q, r):
        lines = []

        def gr(n, v):
            lines.append("outw 0x3ce 0x%x" % (n | (v & 255) << 8))
        what = r.random()
        if what < 0.6:                          # a blit
            for n in range(0x20, 0x30):
                gr(n, r.choice((0, 255, r.getrandbits(8), r.getrandbits(3))))
            if r.random() < 0.8:                # mostly small ones
                gr(0x21, 0)
                gr(0x23, 0)
            gr(0x30, r.getrandbits(8))
            gr(0x32, r.choice((0, 5, 6, 9, 0xb, 0xd, 0xe, 0x50, 0x59, 0x6d, 0x90, 0x95, 0xad, 0xd0, 0xd6, 0xda, r.getrandbits(8))))
            gr(0x33, r.getrandbits(3))
            gr(0x31, r.choice((0, 4, 0x80)))
            gr(0x31, r.choice((2, 2, 2, 0x82, r.getrandbits(8))))
        elif what < 0.8:                        # data, accesses to the apertures
            for _ in range(r.randrange(60)):
                at = r.choice((0xa0000, 0xa8000, 0xb8000, 0xe0000000, 0xe1000000, 0xe03fff00)) + r.randrange(0x100)
                lines.append("writel 0x%x 0x%x" % (at, r.getrandbits(32)) if r.random() < 0.7 else "readl 0x%x" % at)
        else:                                   # modes
            for port, count in ((0x3c4, 32), (0x3ce, 16), (0x3d4, 0x28)):
                for _ in range(3):
                    lines.append("outw 0x%x 0x%x" % (port, r.randrange(count) | r.getrandbits(8) << 8 | (r.getrandbits(3) << 5 if port == 0x3c4 else 0)))
            lines.append("outw 0x3c4 0x%x" % (7 | r.choice((0, 1, 1, 3, 5, 7, 9, r.getrandbits(8))) << 8))
            lines.append("outw 0x3c4 0x%x" % (0x12 | r.getrandbits(3) << 8))
            lines.extend(["inb 0x3da", "outb 0x3c0 0x20"])
        for line, answer in zip(lines, q.batch(lines)):
            assert answer.startswith("OK"), (line, answer)

    def test_cirrus(self):
        def prepare(q, r):
            q.pci_writel(DEVFN, 0x10, 0xe0000000)
            q.pci_writel(DEVFN, 0x14, 0xe2000000)
            q.pci_writew(DEVFN, 4, 3)
            q.outb(0x3c2, 0x67)
            return q
        self.run_steps(["-vga", "none", "-device", "cirrus-vga,id=dut,addr=4"], prepare, self.cirrus_step)


if __name__ == "__main__":
    main()
