#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Flash chips: where firmware in them is mapped, their commands, what is in the image, refusals."""

import json
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from libqtest import OptionTest, QTest, main                        # noqa: E402

FW_SIZE, VARS_SIZE = 256 << 10, 0x5000
FW = (1 << 32) - FW_SIZE
VARS = FW - VARS_SIZE
READY, BAD_ORDER = 0x80, 0xb0


def pattern(size, seed):
    return bytes((i * 7 + (i >> 8) + seed) & 0xff for i in range(size))


class Case(unittest.TestCase):
    def setUp(self):
        self.files = QTest(["-M", "none"])
        self.addCleanup(self.files.close)
        self.fw = self.file("fw", pattern(FW_SIZE, 1))
        self.vars = self.file("vars", pattern(VARS_SIZE, 2))

    def file(self, name, data):
        path = os.path.join(self.files.dir, name)
        with open(path, "wb") as f:
            f.write(data)
        return path

    def contents(self):
        with open(self.vars, "rb") as f:
            return f.read()

    def machine(self, *extra):
        return QTest(["-M", "pc", "-vga", "none",
                      "-drive", "if=pflash,format=raw,unit=0,readonly=on,file=" + self.fw,
                      "-drive", "if=pflash,format=raw,unit=1,file=" + self.vars, *extra])

    def start(self, *extra):
        q = self.machine(*extra)
        self.addCleanup(q.close)
        return q

    def program(self, q, at, value, command=0x40):
        q.writeb(VARS + at, command)
        q.writeb(VARS + at, value)
        status = q.readb(VARS + at)
        q.writeb(VARS, 0x50)
        return status


class Map(Case):
    def test_both_chips(self):
        q = self.start()
        self.assertEqual(q.read(FW, FW_SIZE), pattern(FW_SIZE, 1))
        self.assertEqual(q.read(VARS, VARS_SIZE), pattern(VARS_SIZE, 2))
        self.assertEqual(q.read(0xe0000, 0x20000), pattern(FW_SIZE, 1)[-0x20000:])

    def test_no_store_below_1_mib(self):
        q = self.start()
        q.writeb(0xf0000, 0x70)
        self.assertEqual(q.read(0xf0000, 4), pattern(FW_SIZE, 1)[-0x10000:][:4])

    def test_machine_properties(self):
        """As libvirt says it."""
        q = QTest(["-M", "pc,pflash0=fw,pflash1=vars", "-vga", "none",
                   "-blockdev", json.dumps({"driver": "file", "filename": self.fw, "node-name": "fw",
                                            "read-only": True}),
                   "-blockdev", json.dumps({"driver": "file", "filename": self.vars, "node-name": "vars"})])
        self.addCleanup(q.close)
        self.assertEqual(q.read(FW, 16), pattern(16, 1))
        self.program(q, 0x123, 0x5a)
        self.assertEqual(self.contents()[0x123], 0x5a)

    def test_one_chip(self):
        q = QTest(["-M", "pc", "-vga", "none", "-pflash", self.fw, "-snapshot"])
        self.addCleanup(q.close)
        self.assertEqual(q.read(FW, 64), pattern(64, 1))


class Commands(Case):
    def test_status_as_firmware_looks_for_it(self):
        q = self.start()
        q.writeb(VARS, 0x50)
        self.assertEqual(q.readb(VARS), pattern(1, 2)[0])
        q.writeb(VARS, 0x70)
        self.assertEqual(q.readb(VARS), 0)
        q.writeb(VARS, 0xff)
        self.assertEqual(q.readb(VARS), pattern(1, 2)[0])

    def test_program(self):
        q = self.start()
        for command, at, value in ((0x10, 5, 0x11), (0x40, VARS_SIZE - 1, 0x22)):
            self.assertEqual(self.program(q, at, value, command), READY)
            self.assertEqual(q.readb(VARS + at), value)
            self.assertEqual(self.contents()[at], value)

    def test_program_wide(self):
        q = self.start()
        q.writel(VARS + 8, 0x40)
        q.writel(VARS + 8, 0x11223344)
        q.writeb(VARS, 0xff)
        self.assertEqual(q.readl(VARS + 8), 0x11223344)
        self.assertEqual(self.contents()[8:12], b"\x44\x33\x22\x11")

    def test_erase(self):
        q = self.start()
        q.writeb(VARS + 0x2345, 0x20)
        q.writeb(VARS + 0x2345, 0xd0)
        self.assertEqual(q.readb(VARS), READY)
        q.writeb(VARS, 0xff)
        want = pattern(VARS_SIZE, 2)
        want = want[:0x2000] + b"\xff" * 0x1000 + want[0x3000:]
        self.assertEqual(q.read(VARS, VARS_SIZE), want)
        self.assertEqual(self.contents(), want)

    def test_buffer(self):
        q = self.start()
        q.writeb(VARS + 0x1000, 0xe8)
        self.assertEqual(q.readb(VARS + 0x1000), READY)
        q.writeb(VARS + 0x1000, 31)
        for n in range(32):
            q.writeb(VARS + 0x1000 + n, 0xa0 + n)
        self.assertEqual(self.contents(), pattern(VARS_SIZE, 2))
        q.writeb(VARS + 0x1000, 0xd0)
        self.assertEqual(q.readb(VARS + 0x1000), READY)
        self.assertEqual(self.contents()[0x1000:0x1020], bytes(range(0xa0, 0xc0)))
        q.writeb(VARS, 0xff)
        self.assertEqual(q.read(VARS + 0xfff, 34)[1:33], bytes(range(0xa0, 0xc0)))

    def test_buffer_at_the_end(self):
        """What would lie behind the chip is nowhere."""
        q = self.start()
        at = VARS + VARS_SIZE - 4
        q.writeb(at, 0xe8)
        q.writeb(at, 7)
        q.writel(at, 0x01020304)
        q.writel(at, 0x05060708)
        q.writeb(at, 0xd0)
        q.writeb(at, 0xff)
        self.assertEqual(q.readl(at), 0x05060708)
        self.assertEqual(q.read(FW, 4), pattern(4, 1))

    def test_wrong_orders(self):
        q = self.start()
        q.writeb(VARS, 0x20)
        q.writeb(VARS, 0x12)
        self.assertEqual(q.readb(VARS), BAD_ORDER)
        q.writeb(VARS, 0x50)
        q.writeb(VARS, 0xe8)
        q.writeb(VARS, 1)
        q.writeb(VARS, 1)
        q.writeb(VARS + 100, 2)                 # outside of the buffer
        self.assertEqual(q.readb(VARS), BAD_ORDER)
        q.writeb(VARS, 0xff)
        self.assertEqual(q.read(VARS, VARS_SIZE), pattern(VARS_SIZE, 2))
        self.assertEqual(self.contents(), pattern(VARS_SIZE, 2))

    def test_cfi(self):
        q = self.start()
        q.writeb(VARS + 0x55, 0x98)
        t = q.read(VARS, 0x40)
        self.assertEqual(t[0x10:0x13], b"QRY")
        self.assertEqual((t[0x13], t[0x14]), (1, 0))
        self.assertEqual(t[t[0x15]:][:3], b"PRI")
        self.assertEqual(1 << t[0x27], 0x8000)      # the next power of two
        blocks, size = t[0x2d] + 256 * t[0x2e] + 1, 256 * (t[0x2f] + 256 * t[0x30])
        self.assertEqual((t[0x2c], blocks, size), (1, 5, 4096))

    def test_identifier(self):
        q = self.start("-global", "driver=cfi.pflash01,property=id0,value=0x89",
                       "-global", "driver=cfi.pflash01,property=id1,value=0x18")
        q.writeb(VARS, 0x90)
        self.assertEqual(q.read(VARS, 4), b"\x89\x18\0\0")

    def test_reset_reads_the_array(self):
        q = self.start()
        q.writeb(VARS, 0x98)
        q.reset()
        self.assertEqual(q.read(VARS, 4), pattern(4, 2))

    def test_readonly(self):
        q = self.start()
        for command, second, status in ((0x40, 0, 0x90), (0x20, 0xd0, 0xa0)):
            q.writeb(FW, command)
            q.writeb(FW, second)
            self.assertEqual(q.readb(FW), status)
            q.writeb(FW, 0x50)
        self.assertEqual(q.read(FW, 16), pattern(16, 1))

    def test_secure(self):
        """Outside of system management mode it does not listen."""
        q = self.start("-global", "driver=cfi.pflash01,property=secure,value=on")
        q.writeb(VARS, 0x70)
        self.assertEqual(q.read(VARS, 4), pattern(4, 2))
        q.writeb(VARS, 0x40)
        q.writeb(VARS, 0x00)
        self.assertEqual(self.contents(), pattern(VARS_SIZE, 2))


class State(Case):
    def test_saved(self):
        """In the middle of a command; contents come with memory and reach another image."""
        with self.machine() as q:
            self.program(q, 0x200, 0x77)
            q.writeb(VARS, 0xe8)
            q.writeb(VARS, 1)
            q.writeb(VARS, 0x01)
            state = q.command_line("vmstate_save")
        with open(self.vars, "wb") as f:
            f.write(pattern(VARS_SIZE, 2))
        q = self.start()
        self.program(q, 0x300, 0x66)
        q.command_line("vmstate_load " + state)
        q.writeb(VARS + 1, 0x02)
        q.writeb(VARS, 0xd0)
        self.assertEqual(q.readb(VARS), READY)
        self.assertEqual(self.contents()[:2], b"\x01\x02")


class Refused(Case, OptionTest):
    def test_options(self):
        odd = self.file("odd", bytes(512 * 3))
        big = self.file("big", bytes(9 << 20))
        flash = "if=pflash,format=raw,unit=%d,file=%s"
        pc = ("-M", "pc")
        self.refused(["pflash1 requires pflash0"], *pc, "-drive", flash % (1, self.vars))
        self.refused(["pflash0", odd, "1536", "4096"], *pc, "-drive", flash % (0, odd))
        self.refused(["9437184", "max-fw-size"], *pc, "-drive", flash % (0, big))
        self.refused(["-bios", "pflash0"], *pc, "-bios", "bios.bin", "-drive", flash % (0, self.fw))
        self.refused(["pflash0=nobody"], "-M", "pc,pflash0=nobody")
        self.refused(["unit=2"], *pc, "-drive", flash % (0, self.fw), "-drive", flash % (2, self.vars))
        self.refused(["cfi.pflash01"], *pc, "-device", "cfi.pflash01")


if __name__ == "__main__":
    main()
