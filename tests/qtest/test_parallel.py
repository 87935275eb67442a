# SPDX-License-Identifier: MIT
"""The parallel port and the printer behind it."""

import os
import tempfile
import unittest

from libqtest import EMULATOR, TestCase, main

QEMU = "qemu" in os.path.basename(EMULATOR)
DATA, STATUS, CONTROL = 0x378, 0x379, 0x37a


class ParallelTest(TestCase):
    def setUp(self):
        self.paper = tempfile.NamedTemporaryFile(prefix="orrery-paper-")
        self.addCleanup(self.paper.close)
        self.args = ["-M", "pc", "-parallel", "file:" + self.paper.name]
        super().setUp()

    def ready(self):
        for _ in range(10):
            if self.q.inb(STATUS) & 0x80:
                return
            if not QEMU:
                self.q.clock_step(1000)
        self.fail("the printer stays busy")

    def printed(self):
        with open(self.paper.name, "rb") as f:
            return f.read()

    def put(self, c):
        self.ready()
        self.q.outb(DATA, c)
        self.q.outb(CONTROL, 0x0d)
        self.assertEqual(self.q.inb(STATUS) & 0x80, 0)
        self.q.outb(CONTROL, 0x0c)

    def test_registers(self):
        for v in (0x55, 0xaa):
            self.q.outb(DATA, v)
            self.assertEqual(self.q.inb(DATA), v)
        self.q.outb(CONTROL, 0x0c)
        self.assertEqual(self.q.inb(CONTROL), 0xcc)
        self.assertEqual(self.q.inb(STATUS) & 0xf8, 0xd8)

    def test_print(self):
        for c in b"Hello, printer\n":
            self.put(c)
        self.ready()
        self.assertEqual(self.printed(), b"Hello, printer\n")

    def test_one_byte_per_strobe(self):
        self.ready()
        self.q.outb(DATA, 0x41)
        self.q.outb(CONTROL, 0x0d)
        self.q.outb(CONTROL, 0x0d)
        self.q.outb(CONTROL, 0x0c)
        self.assertEqual(self.printed(), b"A")

    @unittest.skipIf(QEMU, "its clock stands")
    def test_acknowledge(self):
        self.q.outb(0x20, 0x11)
        for v in (8, 4, 1, 0):
            self.q.outb(0x21, v)
        self.q.outb(CONTROL, 0x1c)
        self.q.outb(DATA, 0x42)
        self.q.outb(CONTROL, 0x1d)
        self.q.outb(CONTROL, 0x1c)
        self.assertEqual(self.q.inb(STATUS) & 0xc0, 0x00)   # busy, acknowledging
        self.q.clock_step(5000)
        self.assertEqual(self.q.inb(STATUS) & 0xc0, 0xc0)
        self.q.outb(0x20, 0x0c)
        self.assertEqual(self.q.inb(0x20), 0x87)

    @unittest.skipIf(QEMU, "it takes bytes while initialised")
    def test_initialise_drops_a_byte(self):
        self.q.outb(CONTROL, 0x08)
        self.q.outb(DATA, 0x41)
        self.q.outb(CONTROL, 0x09)
        self.q.outb(CONTROL, 0x08)
        self.q.outb(CONTROL, 0x0c)
        self.ready()
        self.assertEqual(self.printed(), b"")


if __name__ == "__main__":
    main()
