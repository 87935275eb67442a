#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""virtio-blk, driven through split and packed rings, version 1 and legacy: requests, features,
errors, and descriptors that make no sense."""

import os
import random
import struct
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from libqtest import QTest, TestCase, main, patiently                          # noqa: E402
from ata import file_bytes, image, numbered                         # noqa: E402
import virtio                                                       # noqa: E402
from virtio import EVENT_IDX, IND, INDIRECT, NEXT, PACKED, RING_RESET, WRITE, VirtIO    # noqa: E402

DEVFN = 0x20
SIZE = 4 << 20
IN, OUT, FLUSH, GET_ID, DISCARD, WRITE_ZEROES = 0, 1, 4, 8, 11, 13
OK, IOERR, UNSUPP = 0, 1, 2
F_RO, F_FLUSH, F_WCE, F_MQ, F_DISCARD, F_WZ = 1 << 5, 1 << 9, 1 << 11, 1 << 12, 1 << 13, 1 << 14
ALL = F_FLUSH | F_WCE | F_MQ | F_DISCARD | F_WZ


def request(dev, kind, sector=0, data=b"", room=(), n=0, **kw):
    """(status, answer)"""
    out = [struct.pack("<IIQ", kind, 0, sector)] + ([data] if data else [])
    answer, length = dev.run(n, out, [*room, 1], **kw)
    assert length == len(answer), (length, len(answer))
    return answer[-1], answer[:-1]


class BlkTest(TestCase):
    WAYS = [("split", 0, False), ("split, indirect", INDIRECT, False), ("events", INDIRECT | EVENT_IDX, False),
            ("packed", PACKED, False), ("packed, indirect", PACKED | INDIRECT, False),
            ("packed, events", PACKED | INDIRECT | EVENT_IDX, False), ("legacy", 0, True),
            ("legacy, indirect", INDIRECT | EVENT_IDX, True)]
    extra = ",packed=on,serial=vblk0,num-queues=4"

    def setUp(self):
        self.disk = image(SIZE, numbered)
        self.addCleanup(self.disk.close)
        self.args = ["-M", "pc", "-m", "16", "-drive", "if=none,id=d0,format=raw,discard=unmap,file="
                     + self.disk.name, "-device", "virtio-blk-pci,drive=d0,addr=4" + self.extra]
        super().setUp()

    def ways(self):
        for name, features, legacy in self.WAYS:
            with self.subTest(name):
                dev = VirtIO(self.q, DEVFN, legacy)
                dev.setup(features | ALL)
                self.assertEqual(dev.features & features, features)
                yield dev, bool(features & INDIRECT)

    def test_identity(self):
        q = self.q
        self.assertEqual(q.pci_readl(DEVFN, 0), 0x10011af4)         # transitional
        dev = VirtIO(q, DEVFN)
        dev.setup(ALL)
        self.assertEqual(struct.unpack("<Q", dev.config(0, 8))[0], SIZE // 512)
        self.assertEqual(struct.unpack("<H", dev.config(34, 2))[0], 4)
        self.assertEqual(request(dev, GET_ID, room=[20])[1], b"vblk0".ljust(20, b"\0"))

    def test_read_write(self):
        for k, (dev, indirect) in enumerate(self.ways()):
            got = request(dev, IN, 5, room=[512, 1024], indirect=indirect)
            self.assertEqual(got, (OK, numbered(5) + numbered(6) + numbered(7)))
            data = bytes([k + 1]) * 1024
            self.assertEqual(request(dev, OUT, 100 + k, data, indirect=indirect)[0], OK)
            self.assertEqual(request(dev, FLUSH, indirect=indirect)[0], OK)
            self.assertEqual(file_bytes(self.disk, (100 + k) * 512, 1024), data)

    def test_many(self):
        """Rings go round several times; requests pile up before a notification."""
        for dev, indirect in self.ways():
            ring = dev.queues[0]
            for turn in range(5):
                dev.next_memory = virtio.MEMORY
                places = []
                for k in range(60):
                    head = dev.alloc(16, struct.pack("<IIQ", IN, 0, k + turn))
                    at = dev.alloc(512)
                    ring.add([(head, 16, 0), (at, 512, WRITE), (dev.alloc(1), 1, WRITE)], indirect)
                    places.append(at)
                dev.kick(0)
                for k in range(60):
                    self.assertEqual(ring.get(), 513)
                for k, at in enumerate(places):
                    self.assertEqual(self.q.read(at, 8), struct.pack("<Q", k + turn))

    def test_odd_layouts(self):
        """Any split of header, data and status over buffers will do."""
        q = self.q
        dev = VirtIO(q, DEVFN)
        dev.setup(ALL)
        head = struct.pack("<IIQ", OUT, 0, 50)
        answer, _ = dev.run(0, [head[:3], head[3:] + b"\x33" * 100, b"\x33" * 412], [1])
        self.assertEqual(answer, b"\0")
        self.assertEqual(request(dev, IN, 50, room=[1, 511])[1], b"\x33" * 512)
        answer, _ = dev.run(0, [struct.pack("<IIQ", IN, 0, 50)], [513])
        self.assertEqual(answer, b"\x33" * 512 + b"\0")

    def test_bounds(self):
        for dev, indirect in self.ways():
            last = SIZE // 512
            self.assertEqual(request(dev, IN, last - 1, room=[512])[0], OK)
            self.assertEqual(request(dev, IN, last, room=[512])[0], IOERR)
            self.assertEqual(request(dev, IN, last - 1, room=[1024])[0], IOERR)
            self.assertEqual(request(dev, IN, 1 << 60, room=[512])[0], IOERR)
            self.assertEqual(request(dev, IN, (1 << 64) - 1, room=[512])[0], IOERR)
            self.assertEqual(request(dev, IN, 0, room=[100])[0], IOERR)
            self.assertEqual(request(dev, 77)[0], UNSUPP)

    def test_discard_and_zeroes(self):
        dev = VirtIO(self.q, DEVFN)
        dev.setup(ALL)
        seg = struct.pack("<QII", 8, 8, 0)
        self.assertEqual(request(dev, WRITE_ZEROES, data=seg)[0], OK)
        self.assertEqual(request(dev, IN, 7, room=[512 * 10]),
                         (OK, numbered(7) + b"\0" * 4096 + numbered(16)))
        self.assertEqual(request(dev, DISCARD, data=struct.pack("<QII", 64, 16, 0))[0], OK)
        stats = {s["device"]: s["stats"] for s in self.q.qmp("query-blockstats")}
        self.assertEqual(stats["d0"]["unmap_bytes"], 8192)
        self.assertEqual(request(dev, DISCARD, data=struct.pack("<QII", 64, 16, 1))[0], UNSUPP)
        self.assertEqual(request(dev, DISCARD, data=struct.pack("<QII", SIZE // 512, 1, 0))[0], IOERR)
        self.assertEqual(request(dev, WRITE_ZEROES, data=struct.pack("<QII", 0, 0x400000, 0))[0], IOERR)
        self.assertEqual(request(dev, WRITE_ZEROES, data=seg[:8])[0], UNSUPP)

    def test_queues(self):
        dev = VirtIO(self.q, DEVFN)
        for features in (0, PACKED):
            dev.setup(ALL | features, queues=range(4), size=16)
            for n in (3, 0, 2, 1):
                self.assertEqual(request(dev, IN, n, room=[512], n=n), (OK, numbered(n)))

    def test_interrupt_of_the_other_queue(self):
        """A write of one queue is done while requests of another one, which take long because the
        answer has room for much, are taken from it."""
        dev = VirtIO(self.q, DEVFN)
        dev.setup(ALL | INDIRECT, queues=range(2))
        dev.queues[0].suppress()
        write, name = (dev.alloc(16, struct.pack("<IIQ", kind, 0, 0)) for kind in (OUT, GET_ID))
        data, status, table = dev.alloc(1 << 20), dev.alloc(1), dev.alloc(16 * 1000)
        parts = [(name, 16, 0)] + [(data, 1 << 20, WRITE)] * 999
        dev.queues[0].write_desc(table, parts, size=1000)
        for turn in range(8):
            dev.queues[1].add([(write, 16, 0), *[(data, 1 << 18, 0)] * (2 + turn), (status, 1, WRITE)])
            for _ in range(30):
                dev.queues[0].add([(table, 16 * 1000, IND)])
            dev.isr()
            dev.kick(1)
            dev.kick(0)
            dev.queues[1].get()
            for _ in range(30):
                dev.queues[0].get()
            isr = 0
            for _ in patiently():
                isr = isr or dev.isr()
                if isr:
                    break
            self.assertEqual(isr, 1, "turn %d" % turn)

    def test_queue_reset(self):
        q = self.q
        dev = VirtIO(q, DEVFN)
        dev.setup(ALL | RING_RESET)
        self.assertTrue(dev.features & RING_RESET)
        request(dev, IN, 1, room=[512])
        q.writew(virtio.MEM + 0x16, 0)
        q.writew(virtio.MEM + 0x3a, 1)
        self.assertEqual((q.readw(virtio.MEM + 0x3a), q.readw(virtio.MEM + 0x1c)), (0, 0))
        dev.queues[0] = virtio.SplitRing(dev, 0, virtio.RINGS, 8)
        self.assertEqual(request(dev, IN, 2, room=[512]), (OK, numbered(2)))

    def test_write_cache(self):
        dev = VirtIO(self.q, DEVFN)
        dev.setup(ALL)
        self.assertEqual(dev.config(32, 1), b"\1")
        dev.set_config(32, b"\0")
        self.assertEqual(dev.config(32, 1), b"\0")
        request(dev, OUT, 9, b"\x55" * 512)
        self.assertEqual(file_bytes(self.disk, 9 * 512, 512), b"\x55" * 512)

    def test_interrupts(self):
        for legacy in (False, True):
            dev = VirtIO(self.q, DEVFN, legacy)
            dev.setup(ALL | EVENT_IDX)
            dev.isr()
            ring = dev.queues[0]
            ring.interrupt_at(2)                    # not before the third
            for k in range(3):
                request(dev, IN, k, room=[512])
                for _ in patiently():
                    isr = dev.isr()
                    if isr or k < 2:
                        break
                if k:                               # the first one after a reset may interrupt
                    self.assertEqual(isr & 1, k == 2)

    def test_resize(self):
        dev = VirtIO(self.q, DEVFN)
        dev.setup(ALL)
        generation = self.q.readb(virtio.MEM + 0x15)
        self.q.qmp("block_resize", device="d0", size=2 * SIZE)
        self.assertEqual(struct.unpack("<Q", dev.config(0, 8))[0], 2 * SIZE // 512)
        self.assertNotEqual(self.q.readb(virtio.MEM + 0x15), generation)
        self.assertTrue(dev.isr() & 2)

    # ---- what no driver should do ----

    def broken(self, features, do):
        """do(dev, ring) must break the device; a reset heals it."""
        dev = VirtIO(self.q, DEVFN)
        dev.setup(features | ALL)
        do(dev, dev.queues[0])
        dev.kick(0)
        self.assertTrue(dev.status() & virtio.NEEDS_RESET)
        dev.setup(features | ALL)
        self.assertEqual(request(dev, IN, 3, room=[512]), (OK, numbered(3)))

    def test_loops(self):
        def self_loop(dev, ring):
            self.q.write(ring.desc, struct.pack("<QIHH", virtio.MEMORY, 16, NEXT, 0))
            ring.offer(0)

        def pair_loop(dev, ring):
            for k in (0, 1):
                self.q.write(ring.desc + 16 * k, struct.pack("<QIHH", virtio.MEMORY, 16, NEXT, 1 - k))
            ring.offer(0)

        def table_loop(dev, ring):
            table = dev.alloc(64)
            for k in range(4):
                self.q.write(table + 16 * k, struct.pack("<QIHH", virtio.MEMORY, 16, NEXT, k + 1 & 3))
            self.q.write(ring.desc, struct.pack("<QIHH", table, 64, IND, 0))
            ring.offer(0)
        for do in (self_loop, pair_loop, table_loop):
            self.broken(INDIRECT, do)

    def test_packed_loop(self):
        def endless(dev, ring):
            for k in range(ring.size):
                self.q.write(ring.desc + 16 * k, struct.pack("<QIHH", virtio.MEMORY, 16, 0, NEXT | 0x80))
        self.broken(PACKED, endless)

    def test_bad_descriptors(self):
        def raw(addr, length, flags=0, follow=0, head=0):
            def do(dev, ring):
                self.q.write(ring.desc, struct.pack("<QIHH", addr, length, flags, follow))
                ring.offer(head)
            return do
        for do in (raw(0, 16, NEXT, 0xffff), raw(0, 16, 0, 0, 5000), raw(virtio.MEMORY, 7, IND),
                   raw(virtio.MEMORY, 0, IND), raw(virtio.MEMORY, 0x40000, IND),
                   raw(virtio.MEMORY, 16, IND | NEXT, 1), raw(0xfff0000000, 16), raw((1 << 64) - 8, 16),
                   raw(virtio.MEM, 16), raw(virtio.MEMORY, 0), raw(virtio.MEMORY, 16),
                   raw(virtio.MEMORY, 16, WRITE), raw(0, 0xffffffff)):
            self.broken(INDIRECT, do)

    def test_index_jumps(self):
        def jump(dev, ring):
            self.q.writew(ring.driver + 2, 0x7777)
        self.broken(0, jump)

    def test_rings_in_registers(self):
        """Rings in the device's own BAR, in nothing, across the end of RAM."""
        q = self.q
        for at in (virtio.MEM, 0xfffff000, (16 << 20) - 64, 1 << 50):
            dev = VirtIO(q, DEVFN)
            dev.setup(ALL)
            q.writew(virtio.MEM + 0x16, 1)
            for reg in (0x20, 0x28, 0x30):
                q.writeq(virtio.MEM + reg, at)
            q.writew(virtio.MEM + 0x1c, 1)
            dev.kick(1)
        dev.setup(ALL)
        self.assertEqual(request(dev, IN, 3, room=[512]), (OK, numbered(3)))

    def test_random_chains(self):
        r = random.Random(5)
        for features in (INDIRECT, INDIRECT | EVENT_IDX, PACKED | INDIRECT):
            dev = VirtIO(self.q, DEVFN)
            dev.setup(features | ALL, size=16)
            for k in range(200):
                if dev.status() & virtio.NEEDS_RESET or r.random() < 0.05:
                    dev.setup(features | ALL, size=16)
                dev.next_memory = virtio.MEMORY
                parts = []
                for _ in range(r.randrange(1, 6)):
                    addr = r.choice((dev.alloc(4096, struct.pack("<IIQ", r.choice((0, 1, 4, 8, 11, 13, 99)), 0,
                                                                 r.getrandbits(r.choice((3, 12, 64))))),
                                     dev.alloc(512), virtio.MEM, (16 << 20) - 8, 0xa0000, 1 << 40))
                    parts.append((addr, r.choice((0, 1, 16, 512, 4096, 1 << 20)), r.choice((0, 0, WRITE, WRITE, IND))))
                parts.sort(key=lambda p: p[2] & WRITE if r.random() < 0.9 else 0)
                dev.queues[0].add(parts, r.random() < 0.3)
                dev.kick(0)
            dev.setup(features | ALL)
            self.assertEqual(request(dev, IN, 3, room=[512])[0], OK)


class PolicyTest(unittest.TestCase):
    def machine(self, policy, features):
        q = QTest(["-M", "pc", "-m", "16",
                   "-blockdev", "driver=blkdebug,node-name=d0,image.driver=null-co,image.size=4M,"
                   "inject-error.0.errno=5,inject-error.0.once=on,inject-error.0.sector=8",
                   "-device", "virtio-blk-pci,drive=d0,addr=4,packed=on,rerror=%s,werror=%s" % (policy, policy)])
        self.addCleanup(q.close)
        dev = VirtIO(q, DEVFN)
        dev.setup(features | ALL)
        return q, dev

    def test_report(self):
        for features in (0, PACKED):
            q, dev = self.machine("report", features)
            self.assertEqual(request(dev, OUT, 8, b"x" * 512)[0], IOERR)
            self.assertEqual(q.wait_event("BLOCK_IO_ERROR")["data"]["action"], "report")

    def test_stop_and_resume(self):
        for features in (0, PACKED):
            q, dev = self.machine("stop", features)
            head, data, status = (dev.alloc(16, struct.pack("<IIQ", OUT, 0, 8)), dev.alloc(512, b"y" * 512),
                                  dev.alloc(1, b"\xff"))
            dev.queues[0].add([(head, 16, 0), (data, 512, 0), (status, 1, WRITE)])
            dev.kick(0)
            q.wait_event("STOP")
            self.assertEqual(q.readb(status), 0xff)
            q.qmp("cont")
            dev.queues[0].get()
            self.assertEqual(q.readb(status), OK)


class TransportTest(unittest.TestCase):
    def machine(self, extra):
        q = QTest(["-M", "pc", "-m", "16", "-drive", "if=none,id=d0,driver=null-co,size=4M,read-zeroes=on",
                   "-device", "virtio-blk-pci,drive=d0,addr=4" + extra])
        self.addCleanup(q.close)
        return q

    def test_modes(self):
        q = self.machine(",disable-legacy=on")
        self.assertEqual(q.pci_readl(DEVFN, 0), 0x10421af4)
        self.assertIsNone(q.pci_bar(DEVFN, 0))
        dev = VirtIO(q, DEVFN)
        dev.status(1)
        dev.status(3)
        dev.accept(0)                                   # without VERSION_1
        dev.status(11)
        self.assertFalse(dev.status() & virtio.FEATURES_OK)
        q = self.machine(",disable-modern=on")
        self.assertEqual(q.pci_readl(DEVFN, 0), 0x10011af4)
        self.assertIsNone(q.pci_bar(DEVFN, 4))
        dev = VirtIO(q, DEVFN, legacy=True)
        dev.setup(ALL)
        self.assertEqual(request(dev, IN, 0, room=[512]), (OK, bytes(512)))

    def test_page_per_vq(self):
        q = self.machine(",page-per-vq=on,num-queues=2")
        dev = VirtIO(q, DEVFN)
        dev.multiplier = 4096
        dev.setup(ALL, queues=(0, 1))
        self.assertEqual(request(dev, IN, 0, room=[512], n=1), (OK, bytes(512)))

    def test_window(self):
        """The configuration window reaches BAR 4 without mapping it."""
        q = self.machine("")
        at = q.pci_readb(DEVFN, 0x34)
        while q.pci_readl(DEVFN, at) & 0xff != 9 or q.pci_readb(DEVFN, at + 3) != 5:
            at = q.pci_readb(DEVFN, at + 1)
        q.pci_writeb(DEVFN, at + 4, 4)
        q.pci_writel(DEVFN, at + 8, 0x12)
        q.pci_writel(DEVFN, at + 12, 2)
        self.assertEqual(q.pci_readw(DEVFN, at + 16), 1)        # queues
        for offset, length in ((0xfffffff0, 4), (0x13, 2), (0x12, 3), (0x12, 0), (0x3fffff, 4)):
            q.pci_writel(DEVFN, at + 8, offset)
            q.pci_writel(DEVFN, at + 12, length)
            q.pci_readl(DEVFN, at + 16)
            q.pci_writel(DEVFN, at + 16, 0xffffffff)


if __name__ == "__main__":
    main()
