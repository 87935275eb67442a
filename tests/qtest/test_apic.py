# SPDX-License-Identifier: MIT
"""Local APIC, I/O APIC and messages between them, seen from CPU 0."""

import os
import unittest

from libqtest import EMULATOR, TestCase, main

LAPIC, IOAPIC = 0xfee00000, 0xfec00000
ID, VER, TPR, PPR, EOI, LDR, DFR, SVR = 0x20, 0x30, 0x80, 0xa0, 0xb0, 0xd0, 0xe0, 0xf0
ISR, TMR, IRR, ESR, ICR, ICR2 = 0x100, 0x180, 0x200, 0x280, 0x300, 0x310
TIMER, LINT0, LINT1, ERROR, INIT, CURRENT, DIVIDE = 0x320, 0x350, 0x360, 0x370, 0x380, 0x390, 0x3e0
MASKED = 0x10000
ours = unittest.skipIf("qemu" in os.path.basename(EMULATOR), "QEMU's answers only a running CPU")


class Base(TestCase):
    args = ["-M", "pc", "-serial", "null", "-smp", "2"]

    def r(self, reg):
        return self.q.readl(LAPIC + reg)

    def w(self, reg, v):
        self.q.writel(LAPIC + reg, v)

    def vectors(self, reg):
        return [v for v in range(256) if self.r(reg + (v >> 5) * 16) >> (v & 31) & 1]

    def io_r(self, n):
        self.q.writel(IOAPIC, n)
        return self.q.readl(IOAPIC + 0x10)

    def io_w(self, n, v):
        self.q.writel(IOAPIC, n)
        self.q.writel(IOAPIC + 0x10, v)

    def route(self, pin, low, dest=0):
        self.io_w(0x11 + 2 * pin, dest << 24)
        self.io_w(0x10 + 2 * pin, low)

    def com1(self, level):
        """IRQ 4."""
        self.q.outb(0x3f9, 2 if level else 0)


@ours
class LocalApicTest(Base):
    def setUp(self):
        super().setUp()
        self.w(SVR, 0x1ff)

    def test_reset_values(self):
        self.q.reset()
        self.assertEqual(self.r(ID), 0)
        self.assertEqual(self.r(VER) & 0xff00ff, 0x050014)
        self.assertEqual(self.r(SVR), 0xff)
        self.assertEqual(self.r(DFR), 0xffffffff)
        self.assertEqual(self.r(LDR), 0)
        for lvt in (TIMER, LINT1, ERROR):
            self.assertEqual(self.r(lvt), MASKED)
        self.assertEqual(self.r(LINT0), 0x700)      # the boot CPU listens to the 8259

    def test_writable_bits(self):
        self.w(TPR, 0xffffffff)
        self.assertEqual(self.r(TPR), 0xff)
        self.w(LDR, 0xffffffff)
        self.assertEqual(self.r(LDR), 0xff000000)
        self.w(DFR, 0)
        self.assertEqual(self.r(DFR), 0x0fffffff)
        self.w(TIMER, 0x000200ff)
        self.assertEqual(self.r(TIMER), 0x200ff)
        self.w(DIVIDE, 0xff)
        self.assertEqual(self.r(DIVIDE), 0x0b)
        self.w(ID, 0x05000000)
        self.assertEqual(self.r(ID), 0x05000000)

    def test_software_disable_masks(self):
        self.w(LINT1, 0x400)
        self.w(SVR, 0xff)
        self.assertEqual(self.r(LINT1), 0x10400)
        self.w(LINT1, 0x400)
        self.assertEqual(self.r(LINT1), 0x10400)

    def test_self_ipi(self):
        self.w(ICR, 0x40041)
        self.assertEqual(self.vectors(IRR), [0x41])
        self.w(ICR, 0x40099)
        self.assertEqual(self.vectors(IRR), [0x41, 0x99])

    def test_physical_and_logical_ipi(self):
        self.w(ICR2, 0)
        self.w(ICR, 0x42)
        self.w(ICR2, 0xff000000)
        self.w(ICR, 0x43)
        self.w(ICR2, 0x07000000)
        self.w(ICR, 0x44)                           # nobody has that id
        self.w(LDR, 0x02000000)
        self.w(ICR2, 0x06000000)
        self.w(ICR, 0x845)                          # flat: bit 1 is ours
        self.w(ICR2, 0x04000000)
        self.w(ICR, 0x846)
        self.assertEqual(self.vectors(IRR), [0x42, 0x43, 0x45])

    def test_cluster_mode(self):
        self.w(DFR, 0x0fffffff)
        self.w(LDR, 0x32000000)
        for dest, vector in ((0x32, 0x50), (0x34, 0x51), (0x22, 0x52), (0xff, 0x53)):
            self.w(ICR2, dest << 24)
            self.w(ICR, 0x800 | vector)
        self.assertEqual(self.vectors(IRR), [0x50, 0x53])

    def test_shorthand_all_but_self(self):
        self.w(ICR, 0xc0060)
        self.assertEqual(self.vectors(IRR), [])
        self.w(ICR, 0x80061)
        self.assertEqual(self.vectors(IRR), [0x61])

    def test_illegal_vectors(self):
        self.w(ICR, 0x40005)
        self.assertEqual(self.r(ESR), 0)            # latched by a write only
        self.w(ESR, 0)
        self.assertEqual(self.r(ESR), 0x20)
        self.w(ESR, 0)
        self.assertEqual(self.r(ESR), 0)
        self.q.writel(0xfee00000, 0x0005)           # a message with vector 5
        self.w(ESR, 0)
        self.assertEqual(self.r(ESR), 0x40)

    def test_error_interrupt(self):
        self.w(ERROR, 0xe1)
        self.w(ICR, 0x40005)
        self.assertEqual(self.vectors(IRR), [0xe1])

    def test_illegal_register(self):
        self.r(0x3f0)
        self.w(ESR, 0)
        self.assertEqual(self.r(ESR), 0x80)

    def test_msi(self):
        self.q.writel(0xfee00000, 0x0071)
        self.q.writel(0xfee0000c, 0x8072)           # logical to nobody
        self.q.writel(0xfee00000 | 0xff << 12, 0x8073)
        self.assertEqual(self.vectors(IRR), [0x71, 0x73])
        self.assertEqual(self.vectors(TMR), [0x73])

    def test_timer_one_shot(self):
        self.w(TIMER, 0x31)
        self.w(DIVIDE, 0x0b)                        # by 1: nanoseconds
        self.w(INIT, 1000000)
        self.q.clock_step(400000)
        self.assertEqual(self.r(CURRENT), 600000)
        self.assertEqual(self.vectors(IRR), [])
        self.q.clock_step(600000)
        self.assertEqual(self.r(CURRENT), 0)
        self.assertEqual(self.vectors(IRR), [0x31])

    def test_timer_divisor(self):
        for code, by in ((0, 2), (1, 4), (2, 8), (3, 16), (8, 32), (9, 64), (0xa, 128), (0xb, 1)):
            self.w(DIVIDE, code)
            self.w(INIT, 1000000)
            self.q.clock_step(12800)
            self.assertEqual(self.r(CURRENT), 1000000 - 12800 // by)

    def test_timer_periodic(self):
        self.w(TIMER, 0x20031)
        self.w(DIVIDE, 0x0b)
        self.w(INIT, 1000000)
        self.q.clock_step(1250000)
        self.assertEqual(self.r(CURRENT), 750000)
        self.assertEqual(self.vectors(IRR), [0x31])
        self.w(INIT, 0)
        self.assertEqual(self.r(CURRENT), 0)

    def test_timer_masked(self):
        self.w(TIMER, MASKED | 0x31)
        self.w(DIVIDE, 0x0b)
        self.w(INIT, 1000)
        self.q.clock_step(5000)
        self.assertEqual(self.vectors(IRR), [])

    def test_timer_tiny_period_does_not_hang(self):
        self.w(TIMER, 0x20031)
        self.w(DIVIDE, 0x0b)
        self.w(INIT, 1)
        self.q.clock_step(10**7)
        self.assertEqual(self.vectors(IRR), [0x31])


class IOApicTest(Base):
    def setUp(self):
        super().setUp()
        self.w(SVR, 0x1ff)

    def test_identity(self):
        self.io_w(0, 0xff000000)
        self.assertEqual(self.io_r(0), 0x0f000000)
        self.assertEqual(self.io_r(1), 0x00170020)
        self.assertEqual(self.io_r(2), 0x0f000000)

    def test_table_bits(self):
        for pin in range(24):
            self.assertEqual(self.io_r(0x10 + 2 * pin), MASKED)
            self.io_w(0x10 + 2 * pin, 0xffffffff)
            self.io_w(0x11 + 2 * pin, 0xffffffff)
            self.assertEqual(self.io_r(0x10 + 2 * pin) & 0x1afff, 0x1afff)
            self.assertEqual(self.io_r(0x11 + 2 * pin) >> 24, 0xff)

    def test_index_reads_back(self):
        self.q.writel(IOAPIC, 0x2a)
        self.assertEqual(self.q.readl(IOAPIC), 0x2a)

    def test_beyond_the_table(self):
        self.io_w(0x40, 0xffffffff)
        self.assertEqual(self.io_r(0x40), 0)

    @ours
    def test_edge(self):
        self.route(4, 0x30)
        self.com1(1)
        self.assertEqual(self.vectors(IRR), [0x30])
        self.assertEqual(self.vectors(TMR), [])

    @ours
    def test_masked_edge_is_lost(self):
        self.route(4, MASKED | 0x30)
        self.com1(1)
        self.route(4, 0x30)
        self.assertEqual(self.vectors(IRR), [])
        self.com1(0)
        self.com1(1)
        self.assertEqual(self.vectors(IRR), [0x30])

    @ours
    def test_level_and_eoi_register(self):
        self.route(4, 0x8030)
        self.com1(1)
        self.assertEqual(self.vectors(IRR), [0x30])
        self.assertEqual(self.vectors(TMR), [0x30])
        self.assertEqual(self.io_r(0x18) & 0x4000, 0x4000)
        self.com1(0)
        self.assertEqual(self.io_r(0x18) & 0x4000, 0x4000)
        self.q.writel(IOAPIC + 0x40, 0x30)
        self.assertEqual(self.io_r(0x18) & 0x4000, 0)

    @ours
    def test_level_sends_again_after_eoi(self):
        self.route(4, 0x8030)
        self.com1(1)
        self.q.writel(IOAPIC + 0x40, 0x30)
        self.assertEqual(self.io_r(0x18) & 0x4000, 0x4000)
        self.route(4, 0x0030)                       # edge: remote IRR goes
        self.assertEqual(self.io_r(0x18) & 0x4000, 0)

    @ours
    def test_masked_level_waits(self):
        self.route(4, MASKED | 0x8030)
        self.com1(1)
        self.assertEqual(self.vectors(IRR), [])
        self.route(4, 0x8030)
        self.assertEqual(self.vectors(IRR), [0x30])

    @ours
    def test_destination(self):
        self.route(4, 0x30, dest=9)
        self.com1(1)
        self.assertEqual(self.vectors(IRR), [])
        self.com1(0)
        self.w(LDR, 0x04000000)
        self.route(4, 0x0831, dest=0x0c)
        self.com1(1)
        self.assertEqual(self.vectors(IRR), [0x31])

    @ours
    def test_timer_is_on_pin_2(self):
        self.route(2, 0x44)
        self.q.outb(0x43, 0x34)
        self.q.outb(0x40, 0xe8)
        self.q.outb(0x40, 0x03)
        self.q.clock_step(10**6)
        self.assertEqual(self.vectors(IRR), [0x44])


if __name__ == "__main__":
    main()
