# SPDX-License-Identifier: MIT
"""The 8254: control words, counting in every mode, latches, read-back, GATE, IRQ 0, port 61h."""

import os
import unittest

from libqtest import EMULATOR, TestCase, main

HZ = 1193182
needs_clock = unittest.skipIf("qemu" in os.path.basename(EMULATOR), "its clock stands")


def ns(ticks):
    """A moment inside the tick that many ticks on."""
    return -(-ticks * 10**9 // HZ) + 100


class I8254Test(TestCase):
    args = ["-M", "pc"]

    def setUp(self):
        super().setUp()
        self.q.outb(0x20, 0x11)
        self.q.outb(0x21, 0x08)
        self.q.outb(0x21, 0x04)
        self.q.outb(0x21, 0x01)
        self.q.outb(0x21, 0x00)

    def program(self, n, mode, count, bcd=0):
        self.q.outb(0x43, n << 6 | 0x30 | mode << 1 | bcd)
        self.q.outb(0x40 + n, count & 0xff)
        self.q.outb(0x40 + n, count >> 8)

    def count(self, n):
        self.q.outb(0x43, n << 6)
        return self.q.inb(0x40 + n) | self.q.inb(0x40 + n) << 8

    def status(self, n):
        self.q.outb(0x43, 0xe0 | 2 << n)
        return self.q.inb(0x40 + n)

    def out(self, n):
        return self.status(n) >> 7

    def gate2(self, on):
        self.q.outb(0x61, 1 if on else 0)

    def irq0(self):
        """Was there an edge since the last look?"""
        self.q.outb(0x20, 0x0c)
        got = self.q.inb(0x20)
        if got == 0x80:
            self.q.outb(0x20, 0x20)
        return got == 0x80

    # ---- access ----

    def test_status_tells_control_word(self):
        for rw in (1, 2, 3):
            for mode in range(6):
                for bcd in (0, 1):
                    self.q.outb(0x43, 0x80 | rw << 4 | mode << 1 | bcd)
                    self.assertEqual(self.status(2) & 0x3f, rw << 4 | mode << 1 | bcd)

    def test_modes_6_and_7_are_2_and_3(self):
        for mode in (6, 7):
            self.q.outb(0x43, 0xb0 | mode << 1)
            self.program(2, mode, 1000)
            self.assertIn(self.status(2) >> 1 & 7, (mode, mode - 4))    # QEMU tells 6 and 7

    def test_control_word_reads_zero(self):
        self.assertIn(self.q.inb(0x43), (0, 0xff))

    @needs_clock
    def test_latch_holds_until_read(self):
        self.program(0, 2, 50000)
        self.q.clock_step(ns(1000))
        self.q.outb(0x43, 0x00)
        self.q.clock_step(ns(5000))
        self.q.outb(0x43, 0x00)                     # a second latch is ignored
        v = self.q.inb(0x40) | self.q.inb(0x40) << 8
        self.assertEqual(v, 50000 - 1000)

    @needs_clock
    def test_read_back_of_several(self):
        self.program(0, 2, 40000)
        self.program(1, 2, 30000)
        self.q.clock_step(ns(100))
        self.q.outb(0x43, 0xc0 | 0x06)              # status and count of 0 and 1
        self.q.clock_step(ns(100))
        self.assertEqual(self.q.inb(0x40) & 0x3f, 0x34)         # the status comes first
        self.assertEqual(self.q.inb(0x40) | self.q.inb(0x40) << 8, 40000 - 100)
        self.assertEqual(self.q.inb(0x41) & 0x3f, 0x34)
        self.assertEqual(self.q.inb(0x41) | self.q.inb(0x41) << 8, 30000 - 100)

    @needs_clock
    def test_single_byte_access(self):
        self.q.outb(0x43, 0x14)                     # LSB only, mode 2
        self.q.outb(0x40, 200)
        self.q.clock_step(ns(50))
        self.assertEqual(self.q.inb(0x40), 150)
        self.q.outb(0x43, 0x24)                     # MSB only
        self.q.outb(0x40, 0x10)
        self.q.clock_step(ns(1))
        self.assertEqual(self.q.inb(0x40), 0x0f)

    @needs_clock
    def test_bcd(self):
        self.program(0, 2, 0x1000, bcd=1)
        self.q.clock_step(ns(1))
        self.assertEqual(self.count(0), 0x0999)
        self.q.clock_step(ns(999))
        self.assertIn(self.count(0), (0x1000, 0x0999))
        self.program(0, 2, 0, bcd=1)                # 10000
        self.q.clock_step(ns(1))
        self.assertEqual(self.count(0), 0x9999)

    def test_null_count(self):
        self.q.outb(0x43, 0xb0)
        self.assertTrue(self.status(2) & 0x40 or "qemu" in EMULATOR)

    # ---- modes ----

    @needs_clock
    def test_mode0(self):
        self.program(0, 0, 100)
        self.irq0()
        self.assertEqual(self.out(0), 0)
        self.q.clock_step(ns(99))
        self.assertEqual((self.count(0), self.out(0)), (1, 0))
        self.assertFalse(self.irq0())
        self.q.clock_step(ns(1))
        self.assertEqual(self.out(0), 1)
        self.assertTrue(self.irq0())
        self.q.clock_step(ns(10))
        self.assertGreater(self.count(0), 0xfff0)   # it counts on
        self.assertFalse(self.irq0())

    @needs_clock
    def test_mode0_first_byte_stops(self):
        self.program(0, 0, 1000)
        self.q.clock_step(ns(100))
        self.q.outb(0x40, 0x10)
        before = self.count(0)
        self.q.clock_step(ns(100))
        self.assertEqual(self.count(0), before)
        self.q.outb(0x40, 0x00)
        self.q.clock_step(ns(16))
        self.assertEqual(self.out(0), 1)

    @needs_clock
    def test_mode0_gate_pauses(self):
        self.gate2(True)
        self.program(2, 0, 1000)
        self.q.clock_step(ns(100))
        self.gate2(False)
        self.q.clock_step(ns(500))
        left = self.count(2)
        self.assertAlmostEqual(left, 900, delta=1)
        self.gate2(True)
        self.q.clock_step(ns(left - 10))
        self.assertEqual(self.q.inb(0x61) & 0x20, 0)
        self.q.clock_step(ns(12))
        self.assertEqual(self.q.inb(0x61) & 0x20, 0x20)

    @needs_clock
    def test_mode1(self):
        self.gate2(False)
        self.program(2, 1, 100)
        self.assertEqual(self.out(2), 1)
        self.q.clock_step(ns(500))
        self.assertEqual(self.out(2), 1)            # nothing without a trigger
        self.gate2(True)
        self.assertEqual(self.out(2), 0)
        self.q.clock_step(ns(50))
        self.gate2(False)
        self.gate2(True)                            # again from the start
        self.q.clock_step(ns(90))
        self.assertEqual(self.out(2), 0)
        self.q.clock_step(ns(12))
        self.assertEqual(self.out(2), 1)

    @needs_clock
    def test_mode2(self):
        self.program(0, 2, 100)
        self.irq0()
        self.assertEqual(self.out(0), 1)
        self.q.clock_step(ns(99))
        self.assertEqual(self.out(0), 0)
        for _ in range(5):
            self.q.clock_step(ns(100))
            self.assertTrue(self.irq0())
            self.assertFalse(self.irq0())

    @needs_clock
    def test_mode2_new_count_waits(self):
        self.program(0, 2, 1000)
        self.q.clock_step(ns(100))
        self.q.outb(0x40, 50)
        self.q.outb(0x40, 0)
        self.assertEqual(self.status(0) & 0x40, 0x40)
        self.q.clock_step(ns(100))
        self.assertAlmostEqual(self.count(0), 800, delta=1)
        self.q.clock_step(ns(810))
        self.assertLessEqual(self.count(0), 50)
        self.assertEqual(self.status(0) & 0x40, 0)

    @needs_clock
    def test_mode3(self):
        self.program(0, 3, 100)
        self.irq0()
        self.assertEqual(self.out(0), 1)
        self.q.clock_step(ns(10))
        self.assertEqual(self.count(0), 80)         # by two
        self.q.clock_step(ns(42))
        self.assertEqual(self.out(0), 0)
        self.assertFalse(self.irq0())
        self.q.clock_step(ns(48))
        self.assertEqual(self.out(0), 1)
        self.assertTrue(self.irq0())

    @needs_clock
    def test_mode3_odd(self):
        self.program(0, 3, 5)
        levels = []
        for _ in range(10):
            levels.append(self.out(0))
            self.q.clock_step(-(-10**9 // HZ))
        self.assertEqual(levels, [1, 1, 1, 0, 0] * 2)

    @needs_clock
    def test_mode2_gate(self):
        self.gate2(True)
        self.program(2, 2, 1000)
        self.q.clock_step(ns(300))
        self.gate2(False)
        self.assertEqual(self.out(2), 1)
        before = self.count(2)
        self.q.clock_step(ns(100))
        self.assertEqual(self.count(2), before)
        self.gate2(True)                            # reloads
        self.q.clock_step(ns(1))
        self.assertEqual(self.count(2), 999)

    @needs_clock
    def test_mode4(self):
        self.program(0, 4, 100)
        self.irq0()
        self.assertEqual(self.out(0), 1)
        self.q.clock_step(ns(100))
        self.assertEqual(self.out(0), 0)            # for one tick
        self.q.clock_step(ns(1))
        self.assertEqual(self.out(0), 1)
        self.assertTrue(self.irq0())
        self.q.clock_step(ns(1000))
        self.assertFalse(self.irq0())

    @needs_clock
    def test_mode5(self):
        self.gate2(False)
        self.program(2, 5, 100)
        self.q.clock_step(ns(200))
        self.assertEqual(self.out(2), 1)
        self.gate2(True)
        self.q.clock_step(ns(100))
        self.assertEqual(self.out(2), 0)
        self.q.clock_step(ns(1))
        self.assertEqual(self.out(2), 1)

    @needs_clock
    def test_lost_ticks_are_delayed(self):
        """A guest that does not take interrupts for a while gets them afterwards."""
        self.program(0, 2, 1000)
        self.irq0()
        for _ in range(5):
            self.q.clock_step(ns(1000))
        got = 0
        for _ in range(100):
            got += self.irq0()
            self.q.clock_step(ns(100))
        self.assertGreaterEqual(got, 13)            # 10 of its own and most of the 5
        self.assertLessEqual(got, 16)

    # ---- port 61h ----

    def test_port61_bits(self):
        for v in range(16):
            self.q.outb(0x61, v)
            # QEMU keeps two of the four bits
            self.assertEqual(self.q.inb(0x61) & 0x03, v & 3)
        self.q.outb(0x61, 0xff)
        self.assertEqual(self.q.inb(0x61) & 0xc0, 0)

    @needs_clock
    def test_port61_refresh_toggles(self):
        seen = set()
        for _ in range(8):
            seen.add(self.q.inb(0x61) & 0x10)
            self.q.clock_step(15085)
        self.assertEqual(seen, {0, 0x10})


if __name__ == "__main__":
    main()
