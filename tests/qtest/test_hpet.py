# SPDX-License-Identifier: MIT
"""The HPET: counter, comparators in their modes, routing, legacy replacement."""

import os
import unittest

from libqtest import EMULATOR, TestCase, main

BASE = 0xfed00000
CAP, CONF, STATUS, COUNTER = 0x000, 0x010, 0x020, 0x0f0
QEMU = "qemu" in os.path.basename(EMULATOR)
needs_clock = unittest.skipIf(QEMU, "its clock stands")


def tn(n, reg):
    return 0x100 + 0x20 * n + {"conf": 0, "cmp": 8, "fsb": 16}[reg]


class HpetTest(TestCase):
    args = ["-M", "pc"]

    def setUp(self):
        super().setUp()
        for port, base, icw3 in ((0x20, 8, 4), (0xa0, 0x70, 2)):
            self.q.outb(port, 0x11)
            for v in (base, icw3, 1, 0x00):
                self.q.outb(port + 1, v)

    def r(self, reg):
        return self.q.readl(BASE + reg) | self.q.readl(BASE + reg + 4) << 32

    def w(self, reg, v):
        self.q.writel(BASE + reg, v & 0xffffffff)
        self.q.writel(BASE + reg + 4, v >> 32)

    def poll(self, port=0x20):
        self.q.outb(port, 0x0c)
        got = self.q.inb(port)
        if got & 0x80:
            self.q.outb(port, 0x20)
        return got & 0x87

    def test_identity(self):
        cap = self.r(CAP)
        self.assertEqual(cap >> 32, 10000000)       # fs: 100 MHz
        self.assertEqual(cap & 0xffffffff, 0x8086a201)

    def test_reset_values(self):
        self.assertEqual(self.r(CONF), 0)
        self.assertEqual(self.r(STATUS), 0)
        self.assertEqual(self.r(COUNTER), 0)
        for n in range(3):
            self.assertEqual(self.r(tn(n, "conf")) & 0xffffffff, 0x30)
            self.assertEqual(self.r(tn(n, "conf")) >> 32, 4)
            self.assertEqual(self.r(tn(n, "cmp")), 2**64 - 1)

    def test_counter_is_writable_while_halted(self):
        self.w(COUNTER, 0x123456789abcdef0)
        self.assertEqual(self.r(COUNTER), 0x123456789abcdef0)

    def test_conf_bits(self):
        self.w(tn(0, "conf"), 0xffffffffffffffff)
        # interrupt type, enable, periodic, 32 bits, route; the capabilities stay
        self.assertEqual(self.r(tn(0, "conf")) & 0x3fbf, 0x3f3e)
        self.assertEqual(self.r(tn(0, "conf")) >> 32, 4)

    def test_no_fourth_timer(self):
        self.assertEqual(self.q.readl(BASE + tn(3, "conf")), 0)

    @needs_clock
    def test_counter_runs(self):
        self.w(COUNTER, 1000)
        self.w(CONF, 1)
        self.q.clock_step(5000)
        self.assertEqual(self.r(COUNTER), 1500)
        self.assertEqual(self.q.readq(BASE + COUNTER), 1500)
        self.w(CONF, 0)
        self.q.clock_step(5000)
        self.assertEqual(self.r(COUNTER), 1500)

    @needs_clock
    def test_one_shot(self):
        self.w(CONF, 3)                             # legacy: timer 0 is IRQ 0
        self.w(tn(0, "conf"), 0x004)
        self.w(tn(0, "cmp"), 1000)
        self.q.clock_step(9000)
        self.assertEqual(self.poll(), 0)
        self.q.clock_step(1000)
        self.assertEqual(self.poll(), 0x80)
        self.q.clock_step(10**6)
        self.assertEqual(self.poll(), 0)

    @needs_clock
    def test_periodic(self):
        self.w(CONF, 3)
        self.w(tn(0, "conf"), 0x04c)                # interrupt, periodic, VAL_SET
        self.q.writel(BASE + tn(0, "cmp"), 5000)    # first match
        self.q.writel(BASE + tn(0, "cmp") + 4, 0)
        self.w(tn(0, "conf"), 0x04c)
        self.q.writel(BASE + tn(0, "cmp") + 4, 0)
        self.w(tn(0, "conf"), 0x00c)
        self.q.writel(BASE + tn(0, "cmp"), 10000)   # period
        self.q.writel(BASE + tn(0, "cmp") + 4, 0)
        got = []
        for _ in range(10):
            self.q.clock_step(50000)
            got.append(self.poll())
        self.assertEqual(got, [0x80, 0] * 5)

    @needs_clock
    def test_periodic_32_bit_as_linux_does(self):
        self.w(CONF, 3)
        self.q.writel(BASE + tn(0, "conf"), 0x14c)
        now = self.q.readl(BASE + COUNTER)
        self.q.writel(BASE + tn(0, "cmp"), now + 10000)
        self.q.writel(BASE + tn(0, "cmp"), 10000)
        hits = 0
        for _ in range(20):
            self.q.clock_step(50000)
            hits += self.poll() == 0x80
        self.assertEqual(hits, 10)

    @needs_clock
    def test_lost_ticks_are_delayed(self):
        """A guest that does not take interrupts for a while gets them afterwards; QEMU forgets them."""
        self.w(CONF, 3)
        self.q.writel(BASE + tn(0, "conf"), 0x14c)
        self.q.writel(BASE + tn(0, "cmp"), 10000)
        self.q.writel(BASE + tn(0, "cmp"), 10000)
        for _ in range(5):
            self.q.clock_step(100000)
        got = 0
        for _ in range(100):
            got += self.poll() == 0x80
            self.q.clock_step(10000)
        self.assertGreaterEqual(got, 13)            # 10 of its own and most of the 5
        self.assertLessEqual(got, 16)
        self.q.clock_step(10**8)                    # late by 1000
        got = [self.poll()]
        for _ in range(20):
            self.q.clock_step(50000)
            got.append(self.poll())
        self.assertEqual(got, [0x80] * 21)          # twice as many as without
        self.q.writel(BASE + tn(0, "cmp"), 10000)   # a new period: they are forgotten
        got = 0
        for _ in range(20):
            self.q.clock_step(50000)
            got += self.poll() == 0x80
        self.assertLessEqual(got, 11)

    @needs_clock
    def test_32_bit_wraps(self):
        self.w(COUNTER, 0xfffffff0)
        self.w(CONF, 3)
        self.q.writel(BASE + tn(0, "conf"), 0x104)
        self.q.writel(BASE + tn(0, "cmp"), 0x10)
        self.q.clock_step(310)
        self.assertEqual(self.poll(), 0)
        self.q.clock_step(20)
        self.assertEqual(self.poll(), 0x80)

    @needs_clock
    def test_level(self):
        self.w(CONF, 1)
        self.w(tn(1, "conf"), 5 << 9 | 0x006)       # IRQ 5, level
        self.w(tn(1, "cmp"), 100)
        self.q.clock_step(2000)
        self.assertEqual(self.r(STATUS), 0x02)
        self.q.outb(0x20, 0x0a)
        self.assertEqual(self.q.inb(0x20) & 0x20, 0x20)
        self.w(STATUS, 0x02)
        self.assertEqual(self.r(STATUS), 0)

    @needs_clock
    def test_legacy_silences_the_8254(self):
        self.q.outb(0x43, 0x34)
        self.q.outb(0x40, 0xe8)
        self.q.outb(0x40, 0x03)
        self.q.clock_step(10**6)
        self.assertEqual(self.poll(), 0x80)
        self.w(CONF, 3)
        self.poll()
        self.q.clock_step(10**6)
        self.assertEqual(self.poll(), 0)
        self.w(CONF, 0)
        self.q.clock_step(10**6)
        self.assertEqual(self.poll(), 0x80)

    @needs_clock
    def test_legacy_takes_irq8(self):
        self.w(CONF, 3)
        self.w(tn(1, "conf"), 0x004)
        self.w(tn(1, "cmp"), 100)
        self.q.clock_step(2000)
        self.assertEqual(self.poll(), 0x82)
        self.assertEqual(self.poll(0xa0), 0x80)
        # and the RTC's interrupt goes nowhere
        self.q.outb(0x70, 0x0b)
        self.q.outb(0x71, 0x42)
        self.q.clock_step(10**9)
        self.assertEqual(self.poll(), 0)

    @needs_clock
    def test_tiny_period_does_not_hang(self):
        self.w(CONF, 3)
        self.q.writel(BASE + tn(0, "conf"), 0x14c)
        self.q.writel(BASE + tn(0, "cmp"), 1)
        self.q.writel(BASE + tn(0, "cmp"), 1)
        self.q.clock_step(10**7)
        self.assertEqual(self.poll(), 0x80)


class HpetMsiTest(TestCase):
    args = ["-M", "pc", "-global", "hpet.msi=on"]

    @needs_clock
    def test_fsb(self):
        """The interrupt is a write to memory; to RAM it can be seen."""
        self.q.writel(BASE + CONF, 1)
        self.q.writel(BASE + tn(0, "fsb"), 0x5a5aa5a5)
        self.q.writel(BASE + tn(0, "fsb") + 4, 0x2000)
        self.q.writel(BASE + tn(0, "conf"), 0x4104)
        self.q.writel(BASE + tn(0, "cmp"), 100)
        self.q.clock_step(2000)
        self.assertEqual(self.q.readl(0x2000), 0x5a5aa5a5)


if __name__ == "__main__":
    main()
