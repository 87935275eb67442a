# SPDX-License-Identifier: MIT
"""The MC146818: calendar in all encodings, updates, alarms, periodic interrupts, CMOS RAM."""

import calendar
import os
import time
import unittest

from libqtest import EMULATOR, TestCase, main

QEMU = "qemu" in os.path.basename(EMULATOR)
needs_clock = unittest.skipIf(QEMU, "its clock stands")
S = 10**9
A, B, C, D = 10, 11, 12, 13


class RtcBase(TestCase):
    def r(self, reg):
        self.q.outb(0x70, reg)
        return self.q.inb(0x71)

    def w(self, reg, v):
        self.q.outb(0x70, reg)
        self.q.outb(0x71, v)

    def now(self):
        """(y, m, d, h, min, s, weekday) in BCD as read."""
        return tuple(self.r(n) for n in (9, 8, 7, 4, 2, 0, 6))

    def set(self, y, mo, d, h, mi, s, wd=1, century=0x20):
        self.w(B, self.r(B) | 0x80)
        for reg, v in ((9, y), (8, mo), (7, d), (4, h), (2, mi), (0, s), (6, wd), (0x32, century)):
            self.w(reg, v)
        self.w(B, self.r(B) & 0x7f)

    def irq8(self):
        self.q.outb(0xa0, 0x0a)
        return self.q.inb(0xa0) & 1


class RtcTest(RtcBase):
    args = ["-M", "pc", "-rtc", "base=2024-02-28T23:59:58,clock=vm"]

    def setUp(self):
        super().setUp()
        for port, base, icw3 in ((0x20, 8, 4), (0xa0, 0x70, 2)):
            self.q.outb(port, 0x11)
            for v in (base, icw3, 1, 0xff):
                self.q.outb(port + 1, v)
        # the period counts from the start of a second
        self.align()

    def align(self):
        if not QEMU:
            self.q.clock_set(S // 1000)

    # ---- registers ----

    def test_base(self):
        self.assertEqual(self.now(), (0x24, 0x02, 0x28, 0x23, 0x59, 0x58, 4))
        self.assertEqual(self.r(0x32), 0x20)

    def test_power_on_registers(self):
        self.assertEqual(self.r(A) & 0x7f, 0x26)
        self.assertEqual(self.r(B), 0x02)
        self.assertEqual(self.r(D), 0x80)

    def test_index_is_write_only_and_nmi_bit_ignored(self):
        self.w(0x40, 0x5a)
        self.q.outb(0x70, 0xc0)
        self.assertEqual(self.q.inb(0x71), 0x5a)
        self.assertEqual(self.q.inb(0x70), 0xff)

    def test_ram(self):
        for reg in range(0x60, 0x80):
            self.w(reg, reg ^ 0xa5)
        for reg in range(0x60, 0x80):
            self.assertEqual(self.r(reg), reg ^ 0xa5)

    def test_c_and_d_are_read_only(self):
        self.w(D, 0)
        self.assertEqual(self.r(D), 0x80)
        self.w(C, 0xff)
        self.assertEqual(self.r(C) & 0x0f, 0)

    def test_uip_cannot_be_written(self):
        self.w(B, 0x82)
        self.w(A, 0xa6)
        self.assertEqual(self.r(A), 0x26)

    # ---- encodings ----

    def test_binary(self):
        self.w(B, 0x06)
        self.assertEqual(self.now(), (24, 2, 28, 23, 59, 58, 4))

    def test_12_hours(self):
        self.w(B, 0x00)
        for h24, bcd12 in ((0, 0x12), (1, 0x01), (11, 0x11), (12, 0x92), (13, 0x81), (23, 0x91)):
            self.w(B, 0x82)
            self.w(4, h24 // 10 << 4 | h24 % 10)
            self.w(B, 0x02)
            self.w(B, 0x00)
            self.assertEqual(self.r(4), bcd12)
            self.w(B, 0x80)                 # and back
            self.w(4, bcd12)
            self.w(B, 0x00)
            self.w(B, 0x06)
            self.assertEqual(self.r(4), h24)
            self.w(B, 0x00)

    def test_set_time(self):
        self.set(0x99, 0x12, 0x31, 0x12, 0x34, 0x56, 5, 0x19)
        self.assertEqual(self.now()[:6], (0x99, 0x12, 0x31, 0x12, 0x34, 0x56))
        self.assertEqual(self.r(0x32), 0x19)

    # ---- running ----

    @needs_clock
    def test_leap_day(self):
        self.q.clock_step(2 * S)
        self.assertEqual(self.now(), (0x24, 0x02, 0x29, 0x00, 0x00, 0x00, 5))
        self.q.clock_step(86400 * S)
        self.assertEqual(self.now(), (0x24, 0x03, 0x01, 0x00, 0x00, 0x00, 6))

    @needs_clock
    def test_century_rolls(self):
        self.set(0x99, 0x12, 0x31, 0x23, 0x59, 0x59, 6, 0x20)
        self.q.clock_step(S)
        self.assertEqual(self.now()[:6], (0x00, 0x01, 0x01, 0, 0, 0))
        self.assertEqual(self.r(0x32), 0x21)

    @needs_clock
    def test_set_stops_the_clock(self):
        self.w(B, 0x82)
        self.q.clock_step(10 * S)
        self.assertEqual(self.r(0), 0x58)
        self.w(B, 0x02)
        self.assertEqual(self.r(0), 0x58)
        self.q.clock_step(S)
        self.assertEqual(self.r(0), 0x59)

    @needs_clock
    def test_divider_reset(self):
        """The first update follows half a second after the divider is released."""
        self.w(A, 0x76)
        self.q.clock_step(7 * S)
        self.assertEqual(self.r(0), 0x58)
        self.w(A, 0x26)
        self.q.clock_step(S * 4 // 10)
        self.assertEqual(self.r(0), 0x58)
        self.q.clock_step(S * 2 // 10)
        self.assertEqual(self.r(0), 0x59)

    @needs_clock
    def test_update_in_progress(self):
        """UIP rises before the seconds change and falls with the change."""
        self.q.clock_set(S - 3000000)
        self.assertEqual(self.r(A) & 0x80, 0)
        self.q.clock_set(S - 100000)
        self.assertEqual(self.r(A) & 0x80, 0x80)
        self.assertEqual(self.r(0), 0x58)
        self.q.clock_set(S + 100000)
        self.assertEqual(self.r(A) & 0x80, 0)
        self.assertEqual(self.r(0), 0x59)

    # ---- interrupts ----

    @needs_clock
    def test_update_ended(self):
        self.w(B, 0x12)
        self.assertEqual(self.irq8(), 0)
        self.q.clock_step(S)
        self.assertEqual(self.irq8(), 1)
        self.assertEqual(self.r(C), 0xd0)           # PF too: the rate is 1024 Hz
        self.assertEqual(self.r(C), 0)

    @needs_clock
    def test_flags_come_without_enables(self):
        self.r(C)
        self.q.clock_step(S)
        self.assertEqual(self.r(C) & 0xd0, 0x50)    # no IRQF
        self.assertEqual(self.irq8(), 0)

    @needs_clock
    def test_set_clears_uie(self):
        self.w(B, 0x12)
        self.w(B, 0x92)
        self.assertEqual(self.r(B), 0x82)

    @needs_clock
    def test_alarm(self):
        self.w(1, 0x01)
        self.w(3, 0x00)
        self.w(5, 0x00)
        self.r(C)
        self.w(B, 0x22)
        self.q.clock_step(2 * S)
        self.assertEqual(self.irq8(), 0)
        self.q.clock_step(S)
        self.assertEqual(self.irq8(), 1)
        self.assertEqual(self.r(C) & 0xa0, 0xa0)
        self.assertEqual(self.now()[3:6], (0, 0, 1))

    @needs_clock
    def test_alarm_every_second_and_minute(self):
        self.w(1, 0xff)
        self.w(3, 0xff)
        self.w(5, 0xff)
        self.w(B, 0x22)
        for _ in range(3):
            self.q.clock_step(S)
            self.assertEqual(self.r(C) & 0xa0, 0xa0)
        self.w(1, 0x00)
        self.r(C)
        hits = 0
        for _ in range(180):
            self.q.clock_step(S)
            hits += self.r(C) >> 5 & 1
        self.assertEqual(hits, 3)

    @needs_clock
    def test_alarm_next_day(self):
        self.w(1, 0x00)
        self.w(3, 0x30)
        self.w(5, 0x12)
        self.r(C)
        self.w(B, 0x22)
        self.q.clock_step(12 * 3600 * S + 1799 * S)
        self.assertEqual(self.irq8(), 0)
        self.q.clock_step(5 * S)
        self.assertEqual(self.irq8(), 1)

    @needs_clock
    def test_impossible_alarm(self):
        self.w(5, 0x77)
        self.w(B, 0x22)
        self.q.clock_step(3 * 86400 * S)
        self.assertEqual(self.r(C) & 0x20, 0)

    @needs_clock
    def test_periodic(self):
        for rs, hz in ((3, 8192), (6, 1024), (15, 2), (1, 256), (2, 128)):
            self.w(A, 0x20 | rs)
            self.w(B, 0x42)
            self.r(C)
            if self.irq8():
                self.poll()
            n = 0
            end = self.q.clock_step(1000) + S
            while self.q.clock_step(S // hz // 4) < end and n < 200:
                if self.irq8():
                    self.assertEqual(self.r(C) & 0xc0, 0xc0)
                    self.q.outb(0xa1, 0xff)
                    self.poll()
                    n += 1
            self.assertAlmostEqual(n, min(hz, 200), delta=1)
            self.w(B, 0x02)

    def poll(self):
        """Take the edge out of the 8259."""
        self.q.outb(0xa1, 0xfe)
        self.q.outb(0xa0, 0x0c)
        self.assertEqual(self.q.inb(0xa0), 0x80)
        self.q.outb(0xa0, 0x20)
        self.q.outb(0xa1, 0xff)

    @needs_clock
    def test_no_periodic_at_rate_zero(self):
        self.w(A, 0x20)
        self.w(B, 0x42)
        self.r(C)
        self.q.clock_step(S)
        self.assertEqual(self.r(C) & 0x40, 0)

    def test_reset_keeps_time_clears_enables(self):
        self.w(B, 0x72)
        self.w(0x50, 0x77)
        self.q.reset()
        self.assertEqual(self.r(B) & (0x60 if QEMU else 0x70), 0)
        self.assertEqual(self.r(0x50), 0x77)
        self.assertEqual(self.now()[0], 0x24)

    def test_shutdown_code(self):
        """Where firmware goes on counts after resets the guest makes, not after the button's."""
        self.w(0x0f, 0x0a)
        self.q.outb(0x64, 0xfe)
        self.q.wait_event("RESET")
        self.assertEqual(self.r(0x0f), 0 if QEMU else 0x0a)
        self.q.reset()
        self.assertEqual(self.r(0x0f), 0)


class RtcHostTest(RtcBase):
    args = ["-M", "pc"]

    def test_host_time(self):
        y, mo, d, h, mi, s, _ = (int("%x" % v) for v in self.now())
        guest = calendar.timegm((2000 + y, mo, d, h, mi, s))
        self.assertAlmostEqual(guest, time.time(), delta=5)


class RtcLocalTest(RtcBase):
    args = ["-M", "pc", "-rtc", "base=localtime"]

    def setUp(self):
        os.environ["TZ"] = "XYZ-5"
        super().setUp()
        del os.environ["TZ"]

    def test_local_time(self):
        y, mo, d, h, mi, s, _ = (int("%x" % v) for v in self.now())
        guest = calendar.timegm((2000 + y, mo, d, h, mi, s))
        self.assertAlmostEqual(guest, time.time() + 5 * 3600, delta=5)


class RtcSlewTest(RtcBase):
    args = ["-M", "pc", "-rtc", "base=2024-01-01,clock=vm,driftfix=slew"]

    @needs_clock
    def test_lost_interrupts_are_made_up(self):
        self.w(A, 0x26)
        self.w(B, 0x42)
        self.r(C)
        self.q.clock_step(S // 10)              # 102 periods go by unseen
        n = 0
        for _ in range(600):
            if self.r(C) & 0x40:
                n += 1
            self.q.clock_step(S // 1024 // 4)
        self.assertGreater(n, 230)              # 150 of its own and many of those
        self.assertLess(n, 280)


if __name__ == "__main__":
    main()
