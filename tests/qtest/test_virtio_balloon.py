#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The memory balloon: pages out and in, statistics, free memory reported, requests without sense."""

import os
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from libqtest import Failed, QTest, TestCase, main                  # noqa: E402
from virtio import PACKED, WRITE, VirtIO                            # noqa: E402

DEVFN = 0x20
STATS, OOM, POISON, REPORTING = 1 << 1, 1 << 2, 1 << 4, 1 << 5
RAM, PAGE, MIB = 16 << 20, 4096, 1 << 20
ACTUAL = 4
PATH = "/machine/peripheral/b"


class BalloonTest(TestCase):
    args = ["-M", "pc", "-m", "16", "-device",
            "virtio-balloon-pci,id=b,addr=4,packed=on,free-page-reporting=on,deflate-on-oom=on"]

    def start(self, features=STATS | OOM | REPORTING, queues=(0, 1, 2, 3), legacy=False):
        dev = VirtIO(self.q, DEVFN, legacy)
        dev.setup(features, queues)
        return dev

    def test_identity(self):
        self.assertEqual(self.q.pci_readl(DEVFN, 0), 0x10021af4)
        self.assertEqual(self.start().offered() & 0xff, STATS | OOM | POISON | REPORTING)

    def test_target(self):
        q = self.q
        dev = self.start()
        self.assertEqual(q.qmp("query-balloon"), {"actual": RAM})
        q.qmp("balloon", value=12 * MIB)
        self.assertEqual(struct.unpack("<II", dev.config(0, 8)), (4 * MIB // PAGE, 0))
        self.assertTrue(dev.isr() & 2)
        dev.set_config(ACTUAL, struct.pack("<I", 1024))
        self.assertEqual(q.wait_event("BALLOON_CHANGE")["data"]["actual"], RAM - 1024 * PAGE)
        self.assertEqual(q.qmp("query-balloon"), {"actual": 12 * MIB})
        self.assertEqual(q.hmp("info balloon").strip(), "balloon: actual=12")
        q.hmp("balloon 16")
        self.assertEqual(dev.config(0, 4), bytes(4))
        q.qmp("balloon", value=1 << 50)                 # more than there is
        self.assertEqual(dev.config(0, 4), bytes(4))
        with self.assertRaisesRegex(Failed, "expects a size"):
            q.qmp("balloon", value=0)

    def test_pages(self):
        for features, legacy in ((0, False), (PACKED, False), (0, True)):
            dev = self.start(features, (0, 1), legacy)
            for pfn in (0x300, 0x301, 0x302):
                self.q.memset(pfn * PAGE, PAGE, 0x5a)
            dev.run(0, [struct.pack("<II", 0x300, 0x302)], [])
            self.assertEqual(self.q.read(0x300 * PAGE, PAGE), bytes(PAGE))
            self.assertEqual(self.q.read(0x301 * PAGE, PAGE), b"\x5a" * PAGE)
            self.assertEqual(self.q.read(0x302 * PAGE, PAGE), bytes(PAGE))
            dev.run(1, [struct.pack("<II", 0x300, 0x302)], [])
            self.q.memset(0x300 * PAGE, PAGE, 0xa5)
            self.assertEqual(self.q.read(0x300 * PAGE, PAGE), b"\xa5" * PAGE)

    def test_no_memory(self):
        """Registers, ROM, holes and the end of memory are no pages to give."""
        dev = self.start()
        bios = self.q.read(0xfffff000, PAGE)
        dev.run(0, [struct.pack("<6I", 0xa0, 0xf0, 0xfffff, 0xfee00, 0xffffffff, RAM // PAGE)], [])
        self.assertEqual(self.q.read(0xfffff000, PAGE), bios)
        dev.run(0, [b"\1\2\3"], [])                     # less than a number
        dev.run(0, [], [64])

    def test_many_pages(self):
        dev = self.start()
        self.q.memset(0x900000, PAGE, 0x11)
        dev.run(0, [struct.pack("<I", 0x800) * 4096 + struct.pack("<I", 0x900)], [])
        self.assertEqual(self.q.read(0x900000, 8), b"\x11" * 8)     # past what a request may have

    def test_reporting(self):
        dev = self.start()
        self.q.memset(0x800000, 4 * PAGE, 0x33)
        dev.queues[3].add([(0x800800, 3 * PAGE, WRITE)])            # only whole pages go
        dev.kick(3)
        dev.queues[3].get()
        self.assertEqual(self.q.read(0x800800, 8), b"\x33" * 8)
        self.assertEqual(self.q.read(0x801000, 2 * PAGE), bytes(2 * PAGE))
        self.assertEqual(self.q.read(0x803000, 8), b"\x33" * 8)

    def test_poison(self):
        dev = self.start(REPORTING | POISON)
        dev.set_config(12, struct.pack("<I", 0xaaaaaaaa))
        self.q.memset(0x800000, PAGE, 0xaa)
        dev.queues[3].add([(0x800000, PAGE, WRITE)])
        dev.kick(3)
        dev.queues[3].get()
        self.assertEqual(self.q.read(0x800000, 8), b"\xaa" * 8)

    def stats(self):
        return self.q.qmp("qom-get", path=PATH, property="guest-stats")

    def give_stats(self, dev, data):
        at = dev.alloc(len(data), data)
        dev.queues[2].add([(at, len(data), 0)])
        dev.kick(2)

    def test_statistics(self):
        q = self.q
        dev = self.start()
        self.assertEqual(self.stats()["last-update"], 0)
        self.give_stats(dev, struct.pack("<HQHQHQ", 4, 123456, 5, 789, 99, 1) + b"odd")
        s = self.stats()
        self.assertGreater(s["last-update"], 1600000000)
        self.assertEqual((s["stats"]["stat-free-memory"], s["stats"]["stat-total-memory"]), (123456, 789))
        self.assertEqual(s["stats"]["stat-swap-in"], 2**64 - 1)
        q.qmp("qom-set", path=PATH, property="guest-stats-polling-interval", value=2)
        dev.queues[2].get()                             # asked at once
        self.give_stats(dev, struct.pack("<HQ", 4, 77))
        self.assertEqual(self.stats()["stats"]["stat-free-memory"], 77)
        q.clock_step(1900000000)
        self.assertEqual(q.readw(dev.queues[2].device + 2), 1)
        q.clock_step(200000000)
        dev.queues[2].get()
        self.assertEqual(q.qmp("qom-get", path=PATH, property="guest-stats-polling-interval"), 2)

    def test_qom_set(self):
        q = self.q
        with self.assertRaisesRegex(Failed, "seconds"):
            q.qmp("qom-set", path=PATH, property="guest-stats-polling-interval", value=-1)
        with self.assertRaisesRegex(Failed, "seconds"):
            q.qmp("qom-set", path=PATH, property="guest-stats-polling-interval", value="x")
        with self.assertRaisesRegex(Failed, "not found"):
            q.qmp("qom-set", path=PATH, property="nosuch", value=1)
        with self.assertRaisesRegex(Failed, "when"):
            q.qmp("qom-set", path=PATH, property="deflate-on-oom", value=True)
        names = [p["name"] for p in q.qmp("qom-list", path=PATH)]
        self.assertIn("guest-stats", names)

    def test_two_statistics_buffers(self):
        dev = self.start()
        self.give_stats(dev, struct.pack("<HQ", 4, 1))
        self.give_stats(dev, struct.pack("<HQ", 4, 2))
        dev.queues[2].get()                             # the first comes back
        self.assertEqual(self.stats()["stats"]["stat-free-memory"], 2)

    def test_none(self):
        with QTest(["-M", "pc"]) as q:
            self.assertEqual(q.qmp_raw("query-balloon")["error"]["class"], "DeviceNotActive")


if __name__ == "__main__":
    main()
