#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Small devices: debug console, exit port, kvm-unit-tests' device, panic notifier, port F0h."""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from libqtest import QTest, TestCase, main                          # noqa: E402


class DebugCon(unittest.TestCase):
    def test_output(self):
        with QTest(["-M", "pc", "-vga", "none"]) as probe:
            path = os.path.join(probe.dir, "out")
            with QTest(["-M", "pc", "-vga", "none", "-chardev", "file,id=c,path=" + path,
                        "-device", "isa-debugcon,iobase=0x402,chardev=c,readback=0x5a"]) as q:
                self.assertEqual(q.inb(0x402), 0x5a)
                for c in b"hello":
                    q.outb(0x402, c)
            with open(path, "rb") as f:
                self.assertEqual(f.read(), b"hello")

    def test_default_port(self):
        with QTest(["-M", "pc", "-vga", "none", "-debugcon", "null"]) as q:
            self.assertEqual(q.inb(0xe9), 0xe9)


class DebugExit(unittest.TestCase):
    def exit_status(self, command, *args):
        q = QTest(["-M", "pc", "-vga", "none", "-device", ",".join(("isa-debug-exit",) + args)])
        self.addCleanup(q.close)
        q._qtest.put(command.encode() + b"\n")
        return q.proc.wait(30)

    def test_status(self):
        self.assertEqual(self.exit_status("outb 0x501 0x10"), 33)
        self.assertEqual(self.exit_status("outl 0xf4 0x0", "iobase=0xf4", "iosize=4"), 1)


class TestDev(TestCase):
    args = ["-M", "pc", "-vga", "none", "-device", "pc-testdev"]

    def test_register(self):
        q = self.q
        q.outl(0xe0, 0x11223344)
        self.assertEqual(q.inl(0xe0), 0x11223344)
        self.assertEqual([q.inb(0xe0 + n) for n in range(4)], [0x44, 0x33, 0x22, 0x11])
        q.outw(0xe2, 0xabcd)
        self.assertEqual(q.inl(0xe0), 0xabcd3344)
        q.outb(0xe9, 0x77)
        self.assertEqual(q.inl(0xe8), 0xabcd7744)

    def test_interrupts(self):
        q = self.q
        q.irq_intercept_in("isa-i8259")
        for n in (3, 10, 14):
            q.outb(0x2000 + n, 1)
            self.assertTrue(q.get_irq(n))
            q.outb(0x2000 + n, 0)
            self.assertFalse(q.get_irq(n))

    def test_memory(self):
        q = self.q
        for size, put, get, v in ((1, q.writeb, q.readb, 0x12), (2, q.writew, q.readw, 0x1234),
                                  (4, q.writel, q.readl, 0x12345678),
                                  (8, q.writeq, q.readq, 0x123456789abcdef0)):
            put(0xff000000 + 16 * size, v)
            self.assertEqual(get(0xff000000 + 16 * size), v)
        q.writeq(0xff00fff8, 1)
        self.assertEqual(q.readq(0xff00fff8), 1)
        q.outl(0xe4, 0x100000)                  # flush a page


class PVPanic(unittest.TestCase):
    def test_panic(self):
        with QTest(["-M", "pc", "-vga", "none", "-device", "pvpanic", "-action", "panic=pause"]) as q:
            self.assertEqual(q.inb(0x505), 3)
            q.outb(0x505, 2)
            q.outb(0x505, 1)
            for _ in range(200):
                if q.qmp("query-status")["status"] == "guest-panicked":
                    break
            self.assertEqual(q.qmp("query-status")["status"], "guest-panicked")
            self.assertEqual([e["event"] for e in q.events if "GUEST" in e["event"]],
                             ["GUEST_CRASHLOADED", "GUEST_PANICKED"])

    def test_chosen_events(self):
        with QTest(["-M", "pc", "-vga", "none", "-device", "pvpanic,events=2,ioport=0x600"]) as q:
            self.assertEqual(q.inb(0x600), 2)
            q.outb(0x600, 1)
            self.assertNotEqual(q.qmp("query-status")["status"], "guest-panicked")


class Board(TestCase):
    args = ["-M", "pc", "-vga", "none"]

    def test_post_port(self):
        self.q.outb(0x80, 0x55)         # a page register without a channel
        self.assertEqual(self.q.inb(0x80), 0xff)

    def test_unassigned(self):
        self.assertEqual(self.q.inl(0x1234), 0xffffffff)
        self.assertEqual(self.q.readl(0xf0000000), 0xffffffff)
        self.assertEqual(self.q.readb(0xa0000), 0xff)


if __name__ == "__main__":
    main()
