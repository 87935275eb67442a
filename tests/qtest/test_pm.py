#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""PIIX4 power management: ACPI fixed registers, APM ports, SMBus host."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from libqtest import TestCase, main                                 # noqa: E402

PM = 0x0b
BASE = 0x600
STS, EN, CNT, TMR = BASE, BASE + 2, BASE + 4, BASE + 8
GPE = 0xafe0
SMB = 0xb100
HZ = 3579545
HALF = 1 << 23


class PmCase(TestCase):
    args = ["-M", "pc", "-vga", "none"]

    def setUp(self):
        super().setUp()
        self.q.pci_writel(PM, 0x40, BASE | 1)
        self.q.pci_writeb(PM, 0x80, 1)
        self.q.irq_intercept_in("isa-i8259")

    def sci(self):
        return self.q.get_irq(9)

    def until(self, ticks):
        """Move the clock to a count of the PM timer."""
        self.q.clock_set(ticks * 10**9 // HZ + 1)


class Place(PmCase):
    def test_moves(self):
        q = self.q
        self.assertEqual(q.pci_readl(PM, 0x40), BASE | 1)
        q.outw(EN, 0x100)
        self.assertEqual(q.inw(EN), 0x100)
        q.pci_writel(PM, 0x40, 0xb001)
        self.assertEqual(q.inw(EN), 0xffff)
        self.assertEqual(q.inw(0xb002), 0x100)
        q.pci_writeb(PM, 0x80, 0)
        self.assertEqual(q.inw(0xb002), 0xffff)

    def test_reset_values(self):
        q = self.q
        self.assertEqual(q.pci_readl(PM, 0x90), 0xb101)
        self.assertEqual(q.pci_readb(PM, 0xd2), 0x09)
        self.assertEqual(q.pci_readb(PM, 0x5b), 0x00)
        self.assertEqual([q.inw(r) for r in (STS, EN, CNT)], [0, 0, 0])


class Timer(PmCase):
    def test_counts(self):
        q = self.q
        for t in (1, 1000, 0xffffff, 0x1000000, 0x1000005):
            self.until(t)
            self.assertEqual(q.inl(TMR), t & 0xffffff)

    def test_rollover_status(self):
        q = self.q
        self.until(HALF - 10)
        self.assertEqual(q.inw(STS) & 1, 0)
        self.until(HALF)
        self.assertEqual(q.inw(STS) & 1, 1)
        q.outw(STS, 1)
        self.assertEqual(q.inw(STS) & 1, 0)
        self.until(2 * HALF)
        self.assertEqual(q.inw(STS) & 1, 1)

    def test_interrupt(self):
        q = self.q
        q.outw(EN, 1)
        self.until(HALF - 10)
        self.assertFalse(self.sci())
        self.until(HALF + 1)
        self.assertTrue(self.sci())
        q.outw(STS, 1)
        self.assertFalse(self.sci())
        self.until(2 * HALF + 1)
        self.assertTrue(self.sci())
        q.outw(EN, 0)
        self.assertFalse(self.sci())


class Events(PmCase):
    def test_power_button(self):
        q = self.q
        q.qmp("system_powerdown")
        self.wait(lambda: False, 3)
        self.assertEqual(q.inw(STS) & 0x100, 0, "not enabled: nothing happens")
        q.outw(EN, 0x100)
        q.qmp("system_powerdown")
        self.wait(lambda: q.inw(STS) & 0x100)
        self.assertEqual(q.inw(STS) & 0x100, 0x100)
        self.assertTrue(self.sci())
        q.outb(STS + 1, 0x01)                   # a byte of it
        self.assertEqual(q.inw(STS) & 0x100, 0)
        self.assertFalse(self.sci())

    def wait(self, condition, rounds=200):
        for _ in range(rounds):
            if condition():
                return
            self.q.qmp("query-status")

    def test_bytes(self):
        q = self.q
        q.outb(EN, 0x21)
        q.outb(EN + 1, 0x05)
        self.assertEqual(q.inw(EN), 0x0521)
        self.assertEqual(q.inb(EN + 1), 0x05)
        q.outl(STS, 0x07000000)
        self.assertEqual(q.inl(STS) >> 16, 0x0700)

    def test_gpe(self):
        q = self.q
        q.outw(GPE + 2, 0xa55a)
        self.assertEqual(q.inw(GPE + 2), 0xa55a)
        self.assertEqual(q.inb(GPE + 3), 0xa5)
        self.assertEqual(q.inw(GPE), 0)


class Sleep(PmCase):
    def event(self, name):
        for _ in range(200):
            if any(e["event"] == name for e in self.q.events):
                return True
            self.q.qmp("query-status")
        return False

    def test_soft_off(self):
        self.q.command_line("outw 0x%x 0x2000" % CNT)
        self.q.proc.wait(30)
        self.assertEqual(self.q.proc.returncode, 0)

    def test_suspend(self):
        q = self.q
        q.outw(CNT, 0x2400)
        self.assertTrue(self.event("SUSPEND"))
        self.assertEqual(q.qmp("query-status")["status"], "suspended")
        q.outb(0x70, 0x0f)
        self.assertEqual(q.inb(0x71), 0xfe, "resume code for the firmware")
        q.qmp("system_wakeup")
        self.assertTrue(self.event("WAKEUP"))
        q.pci_writel(PM, 0x40, BASE | 1)        # it was reset
        q.pci_writeb(PM, 0x80, 1)
        self.assertEqual(q.inw(STS) & 0x8000, 0x8000)

    def test_cnt_reads(self):
        self.q.outw(CNT, 0x1c03)
        self.assertEqual(self.q.inw(CNT), 0x1c03)


class NoSleep(PmCase):
    args = ["-M", "pc", "-vga", "none", "-global", "PIIX4_PM.disable_s3=1"]

    def test_suspend_is_off(self):
        self.q.outw(CNT, 0x2400)
        for _ in range(20):
            self.assertNotEqual(self.q.qmp("query-status")["status"], "suspended")


class Apm(PmCase):
    def test_acpi_switch(self):
        q = self.q
        q.outb(0xb2, 0xf1)
        self.assertEqual(q.inw(CNT) & 1, 1)
        q.outb(0xb2, 0xf0)
        self.assertEqual(q.inw(CNT) & 1, 0)

    def test_ports(self):
        q = self.q
        q.outb(0xb3, 0x77)
        q.outb(0xb2, 0x12)
        self.assertEqual((q.inb(0xb2), q.inb(0xb3)), (0x12, 0x77))


class SMBus(PmCase):
    def test_empty_bus(self):
        q = self.q
        q.outb(SMB + 4, 0xa1)                   # read from an EEPROM's address
        q.outb(SMB + 3, 0)
        q.outb(SMB + 2, 0x48)                   # start: byte data
        self.assertEqual(q.inb(SMB) & 0x1e, 0x04, "nobody acknowledges")
        q.outb(SMB, 0x1e)
        self.assertEqual(q.inb(SMB), 0)

    def test_interrupt(self):
        q = self.q
        q.outb(SMB + 2, 0x49)
        self.assertTrue(self.sci())
        q.outb(SMB, 0x04)
        self.assertFalse(self.sci())

    def test_registers(self):
        q = self.q
        for r, v in ((3, 0x12), (4, 0x34), (5, 0x56), (6, 0x78)):
            q.outb(SMB + r, v)
        self.assertEqual([q.inb(SMB + r) for r in (3, 4, 5, 6)], [0x12, 0x34, 0x56, 0x78])
        q.inb(SMB + 2)
        for v in range(40):
            q.outb(SMB + 7, v)                  # wraps after 32
        q.inb(SMB + 2)
        self.assertEqual([q.inb(SMB + 7) for _ in range(9)], [32, 33, 34, 35, 36, 37, 38, 39, 8])

    def test_window(self):
        q = self.q
        q.outb(SMB + 3, 0x5a)
        q.pci_writel(PM, 0x90, 0x0701)
        self.assertEqual(q.inb(0x703), 0x5a)
        q.pci_writeb(PM, 0xd2, 0)
        self.assertEqual(q.inb(0x703), 0xff)


if __name__ == "__main__":
    main()
