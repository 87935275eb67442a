#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The watchdogs, and what -watchdog-action makes of them."""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from libqtest import QTest, TestCase, main, patiently               # noqa: E402

SECOND = 1000000000
STOP, START = 0x441, 0x443


def fired(q):
    q.qmp("query-status")               # events of the past come before its answer
    return [e["data"]["action"] for e in q.events if e["event"] == "WATCHDOG"]


class IB700(TestCase):
    args = ["-M", "pc", "-device", "ib700", "-watchdog-action", "none"]

    def test_time(self):
        for value, seconds in ((0, 30), (5, 20), (14, 2), (0xf0, 30)):
            self.q.events.clear()
            self.q.outb(START, value)
            self.q.clock_step(seconds * SECOND - 1000)
            self.assertEqual(fired(self.q), [])
            self.q.clock_step(2000)
            self.q.wait_event("WATCHDOG")       # at most one in a second of the host's time

    def test_restart_and_stop(self):
        self.q.outb(START, 10)
        self.q.clock_step(9 * SECOND)
        self.q.outb(START, 10)
        self.q.clock_step(9 * SECOND)
        self.q.outb(STOP, 0)
        self.q.clock_step(60 * SECOND)
        self.assertEqual(fired(self.q), [])

    def test_reset_stops(self):
        self.q.outb(START, 10)
        self.q.reset()
        self.q.clock_step(60 * SECOND)
        self.assertEqual(fired(self.q), [])


class I6300ESB(TestCase):
    args = ["-M", "pc", "-device", "i6300esb,addr=5", "-watchdog-action", "none"]
    FN, BAR = 5 << 3, 0xe0000000

    def setUp(self):
        super().setUp()
        self.q.pci_writel(self.FN, 0x10, self.BAR)
        self.q.pci_writew(self.FN, 4, 2)

    def put(self, reg, value, write=None):
        self.q.writew(self.BAR + 0xc, 0x80)
        self.q.writew(self.BAR + 0xc, 0x86)
        (write or self.q.writel)(self.BAR + reg, value)

    def start(self, ticks, lock=2):
        self.put(0, ticks - 1)
        self.put(4, ticks - 1)
        self.q.pci_writeb(self.FN, 0x68, lock)
        self.put(0xc, 0x100, self.q.writew)

    def test_identity(self):
        self.assertEqual(self.q.pci_readl(self.FN, 0), 0x25ab8086)
        self.assertEqual(self.q.pci_readw(self.FN, 0xa), 0x0880)

    def test_two_stages(self):
        self.start(1000)                        # ticks of 0.993 ms
        self.q.clock_step(900 * SECOND // 1000)
        self.assertEqual(self.q.readl(self.BAR + 8), 0)
        self.q.clock_step(100 * SECOND // 1000)
        self.assertEqual(self.q.readl(self.BAR + 8), 1)
        self.put(8, 1)
        self.assertEqual(self.q.readl(self.BAR + 8), 0)
        self.assertEqual(fired(self.q), [])
        self.q.clock_step(1 * SECOND)
        self.assertEqual(fired(self.q), ["none"])
        self.assertEqual(self.q.readw(self.BAR + 0xc), 0x200)

    def test_timeout_survives_reset(self):
        self.start(10)
        self.q.clock_step(SECOND)
        self.q.reset()
        self.q.pci_writel(self.FN, 0x10, self.BAR)
        self.q.pci_writew(self.FN, 4, 2)
        self.assertEqual(self.q.readw(self.BAR + 0xc), 0x200)
        self.put(0xc, 0x200, self.q.writew)
        self.assertEqual(self.q.readw(self.BAR + 0xc), 0)

    def test_kept_alive(self):
        self.start(1000)
        for _ in range(5):
            self.q.clock_step(SECOND * 3 // 2)
            self.put(0xc, 0x100, self.q.writew)
        self.assertEqual(fired(self.q), [])

    def test_needs_the_two_words(self):
        self.start(1000)
        self.q.clock_step(SECOND * 3 // 2)
        self.q.writew(self.BAR + 0xc, 0x100)    # not unlocked: no effect
        self.q.writew(self.BAR + 0xc, 0x86)
        self.q.writew(self.BAR + 0xc, 0x100)
        self.q.clock_step(SECOND)
        self.assertEqual(fired(self.q), ["none"])

    def test_fast_clock_without_pin(self):
        self.q.pci_writew(self.FN, 0x60, 0x24)
        self.start(1000)                        # ticks of a microsecond
        self.q.clock_step(3 * SECOND // 1000)
        self.assertEqual(self.q.readw(self.BAR + 0xc), 0x200)
        self.assertEqual(fired(self.q), [])

    def test_lock(self):
        self.start(1000, lock=3)
        self.q.pci_writeb(self.FN, 0x68, 0)
        self.assertEqual(self.q.pci_readb(self.FN, 0x68), 3)
        self.q.clock_step(3 * SECOND)
        self.assertEqual(fired(self.q), ["none"])

    def test_free_running(self):
        self.start(1000, lock=6)
        self.q.clock_step(10 * SECOND)
        self.assertEqual(fired(self.q), [])
        self.assertEqual(self.q.readl(self.BAR + 8), 1)


class Action(unittest.TestCase):
    def expire(self, action):
        q = QTest(["-M", "pc", "-device", "ib700", "-watchdog-action", action])
        self.addCleanup(q.close)
        q.outb(START, 14)
        q._qtest.put(b"clock_step %d\n" % (3 * SECOND))     # poweroff gives no answer
        return q

    def test_reset(self):
        self.assertTrue(self.expire("reset").wait_event("RESET")["data"]["guest"])

    def test_shutdown_presses_the_button(self):
        self.expire("shutdown").wait_event("POWERDOWN")

    def test_poweroff(self):
        self.assertEqual(self.expire("poweroff").proc.wait(60), 0)

    def test_pause(self):
        q = self.expire("pause")
        self.assertEqual(q.wait_event("WATCHDOG")["data"], {"action": "pause"})
        for _ in patiently():
            if q.qmp("query-status")["status"] == "watchdog":
                return
        self.fail("not paused")

    def test_debug(self):
        q = self.expire("debug")
        self.assertEqual(q.wait_event("WATCHDOG")["data"], {"action": "debug"})
        for _ in patiently():
            if "watchdog: timer fired" in q.errors():
                return
        self.fail("no word on stderr")

    def test_inject_nmi(self):
        q = self.expire("inject-nmi")
        self.assertEqual(q.wait_event("WATCHDOG")["data"], {"action": "inject-nmi"})
        self.assertEqual(q.qmp("query-status")["status"], "running")


if __name__ == "__main__":
    main()
