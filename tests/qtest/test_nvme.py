#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The NVMe controller: registers, queues, admin and I/O commands, PRPs, events, abort, errors, a
hostile guest."""

import os
import random
import struct
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from libqtest import QTest, TestCase, main, patiently                          # noqa: E402
from ata import file_bytes, image, numbered                         # noqa: E402

DEVFN = 0x20
BAR = 0xe0000000
ASQ, ACQ, SQ1, CQ1, LIST, DATA = 0x100000, 0x110000, 0x120000, 0x130000, 0x140000, 0x200000
CAP, VS, INTMS, INTMC, CC, CSTS, AQA, R_ASQ, R_ACQ = 0, 8, 0xc, 0x10, 0x14, 0x1c, 0x24, 0x28, 0x30
SIZE = 4 << 20
DNR = 0x4000


class Driver:
    def __init__(self, q):
        self.q, self.cid = q, 0
        q.pci_writel(DEVFN, 0x10, BAR)
        q.pci_writel(DEVFN, 0x14, 0)
        q.pci_writew(DEVFN, 4, 6)

    def read(self, reg):
        return self.q.readl(BAR + reg)

    def write(self, reg, val):
        self.q.writel(BAR + reg, val & 0xffffffff)

    def start(self, entries=32):
        q = self.q
        self.write(CC, 0)
        for at in (ASQ, ACQ, SQ1, CQ1):
            q.memset(at, 0x10000, 0)
        self.write(AQA, entries - 1 << 16 | entries - 1)
        q.writeq(BAR + R_ASQ, ASQ)
        q.writeq(BAR + R_ACQ, ACQ)
        self.write(CC, 4 << 20 | 6 << 16 | 1)
        assert self.read(CSTS) == 1
        #          base of SQ, CQ, entries, tail, head, phase
        self.queue = {0: [ASQ, ACQ, entries, 0, 0, 1]}

    def add_queue(self, entries=64, irq=0, vector=0):
        assert self.admin(5, prp1=CQ1, cdw10=1 | entries - 1 << 16, cdw11=1 | irq << 1 | vector << 16)[0] == 0
        assert self.admin(1, prp1=SQ1, cdw10=1 | entries - 1 << 16, cdw11=1 | 1 << 16)[0] == 0
        self.queue[1] = [SQ1, CQ1, entries, 0, 0, 1]

    def put(self, n, opcode, nsid=0, prp1=0, prp2=0, cdw10=0, cdw11=0, cdw12=0, cdw13=0, flags=0,
            ring=True):
        """Submit a command; its id."""
        queue = self.queue[n]
        self.cid = self.cid + 1 & 0xffff
        self.q.write(queue[0] + 64 * queue[3], struct.pack(
            "<BBHIQQQQ6I", opcode, flags, self.cid, nsid, 0, 0, prp1, prp2, cdw10, cdw11, cdw12,
            cdw13, 0, 0))
        queue[3] = (queue[3] + 1) % queue[2]
        if ring:
            self.ring(n)
        return self.cid

    def ring(self, n):
        self.write(0x1000 + 8 * n, self.queue[n][3])

    def get(self, n, ack=True, wait=True):
        """The next completion: (status, result, command id), or None."""
        queue = self.queue[n]
        for _ in range(50000 if wait else 50):
            result, _, head, sqid, cid, status = struct.unpack(
                "<IIHHHH", self.q.read(queue[1] + 16 * queue[4], 16))
            if status & 1 == queue[5]:
                break
        else:
            assert not wait, "no completion"
            return None
        queue[4] += 1
        if queue[4] == queue[2]:
            queue[4], queue[5] = 0, 1 - queue[5]
        if ack:
            self.ack(n)
        return status >> 1, result, cid

    def ack(self, n):
        self.write(0x1004 + 8 * n, self.queue[n][4])

    def run(self, n, opcode, **kw):
        cid = self.put(n, opcode, **kw)
        status, result, got = self.get(n)
        assert got == cid, (got, cid)
        return status, result

    def admin(self, opcode, **kw):
        return self.run(0, opcode, **kw)

    def io(self, opcode, lba=0, count=1, nsid=1, cdw12=0, **kw):
        return self.run(1, opcode, nsid=nsid, cdw10=lba & 0xffffffff, cdw11=lba >> 32,
                        cdw12=count - 1 | cdw12, **kw)


class NvmeTest(TestCase):
    def setUp(self):
        self.disk = image(SIZE, numbered)
        self.addCleanup(self.disk.close)
        self.args = ["-M", "pc", "-m", "16",
                     "-drive", "if=none,id=d0,format=raw,discard=unmap,file=" + self.disk.name,
                     "-device", "nvme,drive=d0,serial=NVME-0,addr=4"]
        super().setUp()
        self.d = Driver(self.q)

    def test_identity(self):
        q = self.q
        self.assertEqual(q.pci_readl(DEVFN, 0), 0x00101b36)
        self.assertEqual(q.pci_readl(DEVFN, 8) >> 8, 0x010802)

    def test_registers(self):
        d = self.d
        self.assertEqual(d.read(CAP) & 0xffff, 2047)
        self.assertEqual(d.read(CAP + 4) >> 5 & 1, 1)           # NVM command set
        self.assertEqual(d.read(VS), 0x10400)
        self.assertEqual(d.read(CSTS), 0)
        d.write(INTMS, 5)
        d.write(INTMC, 1)
        self.assertEqual((d.read(INTMS), d.read(INTMC)), (4, 4))
        d.write(CC, 1)                                          # no queues
        self.assertEqual(d.read(CSTS), 2)
        d.write(CC, 0)
        self.assertEqual(d.read(CSTS), 0)

    def test_identify(self):
        q, d = self.q, self.d
        d.start()
        self.assertEqual(d.admin(6, prp1=DATA, cdw10=1)[0], 0)
        c = q.read(DATA, 4096)
        self.assertEqual(struct.unpack("<HH", c[:4]), (0x1b36, 0x1af4))
        self.assertEqual(c[4:24].decode().strip(), "NVME-0")
        self.assertEqual((c[77], c[512], c[513]), (7, 0x66, 0x44))
        self.assertEqual(d.admin(6, nsid=1, prp1=DATA + 0xffc, prp2=DATA + 0x2000)[0], 0)   # in two pages
        n = q.read(DATA + 0xffc, 4) + q.read(DATA + 0x2000, 0xffc)
        self.assertEqual(struct.unpack("<Q", n[:8])[0], SIZE // 512)
        self.assertEqual(n[130], 9)
        d.admin(6, prp1=DATA, cdw10=2)
        self.assertEqual(q.read(DATA, 8), struct.pack("<II", 1, 0))
        d.admin(6, nsid=1, prp1=DATA, cdw10=3)
        self.assertEqual(q.read(DATA, 2), b"\x03\x10")
        self.assertEqual(d.admin(6, nsid=2, prp1=DATA)[0], 0x0b | DNR)
        self.assertEqual(d.admin(6, prp1=DATA, cdw10=0x77)[0], 0x02 | DNR)
        self.assertEqual(d.admin(0x7f)[0], 0x01 | DNR)

    def test_read_write(self):
        q, d = self.q, self.d
        d.start()
        d.add_queue()
        self.assertEqual(d.io(2, lba=5, count=3, prp1=DATA + 512)[0], 0)
        self.assertEqual(q.read(DATA + 512, 1536), numbered(5) + numbered(6) + numbered(7))
        q.write(DATA, b"\xa5" * 1024)
        self.assertEqual(d.io(1, lba=100, count=2, prp1=DATA)[0], 0)
        self.assertEqual(d.io(0)[0], 0)
        self.assertEqual(file_bytes(self.disk, 100 * 512, 1536), b"\xa5" * 1024 + numbered(102))
        self.assertEqual(d.io(1, lba=110, prp1=DATA, cdw12=1 << 30)[0], 0)          # forced
        self.assertEqual(file_bytes(self.disk, 110 * 512, 512), b"\xa5" * 512)

    def test_prp_list(self):
        q, d = self.q, self.d
        d.start()
        d.add_queue()
        pages = [DATA + 0x10000 - 0x2000 * k for k in range(1, 8)]                 # backwards
        q.write(LIST + 0xff0, struct.pack("<QQ", pages[0], LIST + 0x1000))          # ... goes on
        q.write(LIST + 0x1000, struct.pack("<6Q", *pages[1:]))
        self.assertEqual(d.io(2, lba=0, count=63, prp1=DATA + 0x20200, prp2=LIST + 0xff0)[0], 0)
        got = q.read(DATA + 0x20200, 0xe00) + b"".join(q.read(p, 4096) for p in pages)
        self.assertEqual(got[:63 * 512], b"".join(numbered(n) for n in range(63)))
        q.write(LIST + 0x1000, struct.pack("<Q", pages[1] + 4))
        self.assertEqual(d.io(2, lba=0, count=63, prp1=DATA, prp2=LIST + 0xff0)[0], 0x13 | DNR)
        self.assertEqual(d.io(2, lba=0, count=16, prp1=DATA, prp2=DATA + 0x1800)[0], 0x13 | DNR)

    @staticmethod
    def desc(kind, addr, length):
        """An SGL descriptor: of data, a bit bucket, a segment, the last segment."""
        return struct.pack("<QI3xB", addr, length, {"data": 0, "bucket": 0x10, "segment": 0x20, "last": 0x30}[kind])

    def sgl(self, opcode, kind, addr, length, lba=0, count=1, flags=0x40):
        first, second = struct.unpack("<QQ", self.desc(kind, addr, length))
        return self.d.io(opcode, lba=lba, count=count, prp1=first, prp2=second, flags=flags)[0]

    def test_sgl(self):
        q, d = self.q, self.d
        d.start()
        d.add_queue()
        d.admin(6, prp1=DATA, cdw10=1)
        self.assertEqual(q.readl(DATA + 536), 0x10001)
        self.assertEqual(self.sgl(2, "data", DATA + 3, 1024, lba=5, count=2), 0)
        self.assertEqual(q.read(DATA + 3, 1024), numbered(5) + numbered(6))
        # a segment that leads to the last one; odd places, an empty descriptor, a bit bucket
        q.write(LIST, self.desc("data", DATA + 0x1001, 100) + self.desc("data", 1, 0)
                + self.desc("bucket", 0, 412) + self.desc("last", LIST + 0x800, 32))
        q.write(LIST + 0x800, self.desc("data", DATA + 0x3000, 500) + self.desc("data", DATA + 0x2000, 12))
        q.memset(DATA, 0x4000, 0xee)
        self.assertEqual(self.sgl(2, "segment", LIST, 64, lba=9, count=2), 0)
        self.assertEqual(q.read(DATA + 0x1000, 102), b"\xee" + numbered(9)[:100] + b"\xee")
        self.assertEqual(q.read(DATA + 0x3000, 501) + q.read(DATA + 0x2000, 13),
                         numbered(10)[:500] + b"\xee" + numbered(10)[500:] + b"\xee")
        q.write(LIST, self.desc("data", DATA, 300) + self.desc("bucket", 0, 99) + self.desc("data", DATA + 512, 212))
        q.write(DATA, bytes(range(256)) * 4)
        self.assertEqual(self.sgl(1, "last", LIST, 48, lba=20, flags=0x80), 0)      # buckets are for reading
        self.assertEqual(d.io(0)[0], 0)
        self.assertEqual(file_bytes(self.disk, 20 * 512, 512), (bytes(range(256)) * 2)[:300] + bytes(range(212)))

    def test_bad_sgl(self):
        q, d = self.q, self.d
        d.start()
        d.add_queue()
        data, end = self.desc("data", DATA, 512), self.desc("last", LIST + 0x100, 16)
        q.write(LIST + 0x100, data)
        for kind, segment, length, want in (
                ("last", data, 15, 0x0d), ("last", data, 0, 0x0d), ("last", end, 16, 0x0d),
                ("segment", data, 16, 0x0d), ("segment", end + data, 32, 0x0d), ("segment", end, 16, 0),
                ("last", data + data, 32, 0x0f), ("last", self.desc("data", DATA, 511), 16, 0x0f),
                ("last", data, 1 << 20, 0x0e), ("segment", self.desc("segment", LIST, 16), 16, 0x0e),
                ("last", data[:15] + b"\x40", 16, 0x11), ("last", data[:15] + b"\x01", 16, 0x11)):
            q.write(LIST, segment)
            self.assertEqual(self.sgl(2, kind, LIST, length), want | (DNR if want else 0), (kind, segment, length))
        self.assertEqual(self.sgl(2, "data", DATA, 1024), 0x0f | DNR)
        self.assertEqual(self.sgl(2, "data", (1 << 64) - 256, 512), 4)
        self.assertEqual(self.sgl(2, "last", 1 << 50, 16), 4)
        self.assertEqual(d.admin(6, prp1=DATA, cdw10=1, flags=0x40)[0], 0x02 | DNR)

    def test_bounds(self):
        d = self.d
        d.start()
        d.add_queue()
        last = SIZE // 512
        self.assertEqual(d.io(2, lba=last - 1, prp1=DATA)[0], 0)
        self.assertEqual(d.io(2, lba=last, prp1=DATA)[0], 0x80 | DNR)
        self.assertEqual(d.io(2, lba=last - 1, count=2, prp1=DATA)[0], 0x80 | DNR)
        self.assertEqual(d.io(2, lba=(1 << 64) - 1, count=2, prp1=DATA)[0], 0x80 | DNR)
        self.assertEqual(d.io(2, lba=0, count=2048, prp1=DATA, prp2=LIST)[0], 0x02 | DNR)   # MDTS
        self.assertEqual(d.io(2, nsid=2, prp1=DATA)[0], 0x0b | DNR)
        self.assertEqual(d.io(2, prp1=DATA, flags=0xc0)[0], 0x02 | DNR)                     # reserved
        self.assertEqual(d.io(0x33, prp1=DATA)[0], 0x01 | DNR)

    def test_compare_verify(self):
        q, d = self.q, self.d
        d.start()
        d.add_queue()
        q.write(DATA, numbered(3) + numbered(4))
        self.assertEqual(d.io(5, lba=3, count=2, prp1=DATA)[0], 0)
        q.writeb(DATA + 1023, 1)
        self.assertEqual(d.io(5, lba=3, count=2, prp1=DATA)[0], 0x285 | DNR)
        self.assertEqual(d.io(0xc, lba=0, count=SIZE // 512)[0], 0)

    def test_zeroes_and_deallocate(self):
        q, d = self.q, self.d
        d.start()
        d.add_queue()
        self.assertEqual(d.io(8, lba=8, count=8)[0], 0)
        self.assertEqual(d.io(0)[0], 0)
        self.assertEqual(file_bytes(self.disk, 7 * 512, 10 * 512),
                         numbered(7) + b"\0" * 4096 + numbered(16))
        q.write(DATA, struct.pack("<IIQIIQ", 0, 8, 64, 0, 16, 128))
        self.assertEqual(d.run(1, 9, nsid=1, prp1=DATA, cdw10=1, cdw11=4)[0], 0)
        stats = {s["device"]: s["stats"] for s in q.qmp("query-blockstats")}
        self.assertEqual(stats["d0"]["unmap_bytes"], 24 * 512)
        q.write(DATA, struct.pack("<IIQ", 0, 8, SIZE // 512))
        self.assertEqual(d.run(1, 9, nsid=1, prp1=DATA, cdw11=4)[0], 0x80 | DNR)

    def test_format(self):
        d = self.d
        d.start()
        d.add_queue()
        self.assertEqual(d.admin(0x80, nsid=1, cdw10=1)[0], 0x10a | DNR)
        self.assertEqual(d.admin(0x80, nsid=2)[0], 0x0b | DNR)
        self.assertEqual(d.admin(0x80, nsid=1)[0], 0)
        d.io(0)
        self.assertEqual(file_bytes(self.disk, 0, SIZE), b"\0" * SIZE)

    def test_queues(self):
        d = self.d
        d.start()
        self.assertEqual(d.admin(9, cdw10=7, cdw11=3 | 3 << 16)[1], 63 | 63 << 16)
        self.assertEqual(d.admin(1, prp1=SQ1, cdw10=1 | 7 << 16, cdw11=1 | 1 << 16)[0], 0x100 | DNR)
        for cdw10, cdw11, prp1, want in ((7 << 16, 1, CQ1, 0x101), (65 | 7 << 16, 1, CQ1, 0x101),
                                         (1, 1, CQ1, 0x102), (1 | 0xffff << 16, 1, CQ1, 0x102),
                                         (1 | 7 << 16, 0, CQ1, 0x02), (1 | 7 << 16, 1, CQ1 + 64, 0x13),
                                         (1 | 7 << 16, 1, 0, 0x13),
                                         (1 | 7 << 16, 1 | 200 << 16, CQ1, 0x108)):
            self.assertEqual(d.admin(5, prp1=prp1, cdw10=cdw10, cdw11=cdw11)[0], want | DNR)
        d.add_queue(8)
        self.assertEqual(d.admin(5, prp1=CQ1, cdw10=1 | 7 << 16, cdw11=1)[0], 0x101 | DNR)
        self.assertEqual(d.admin(4, cdw10=1)[0], 0x10c | DNR)       # has a submission queue
        self.assertEqual(d.admin(0, cdw10=1)[0], 0)
        self.assertEqual(d.admin(0, cdw10=1)[0], 0x101 | DNR)
        self.assertEqual(d.admin(4, cdw10=1)[0], 0)

    def test_wrap_and_full_queue(self):
        """Completions wait for room; the phase turns with each round."""
        d = self.d
        d.start()
        d.add_queue(8)
        for k in range(20):
            self.assertEqual(d.io(2, lba=k, prp1=DATA)[0], 0)
        # seven entries fit; three of them are taken without being acknowledged, then more come
        for k in range(6):
            d.put(1, 2, nsid=1, prp1=DATA)
        for k in range(6):
            d.get(1, ack=False)
        for k in range(5):
            d.put(1, 2, nsid=1, prp1=DATA)
        self.assertIsNotNone(d.get(1, ack=False))
        self.assertIsNone(d.get(1, ack=False, wait=False))
        d.ack(1)
        for k in range(4):
            self.assertEqual(d.get(1)[0], 0)

    def test_interrupts(self):
        q, d = self.q, self.d
        d.start()
        d.add_queue(irq=1)
        d.put(1, 2, nsid=1, prp1=DATA)
        d.get(1, ack=False)
        self.assertTrue(q.pci_readw(DEVFN, 6) & 8)
        d.write(INTMS, 1)
        self.assertFalse(q.pci_readw(DEVFN, 6) & 8)
        d.write(INTMC, 1)
        self.assertTrue(q.pci_readw(DEVFN, 6) & 8)
        d.ack(1)
        self.assertFalse(q.pci_readw(DEVFN, 6) & 8)

    def test_features(self):
        q, d = self.q, self.d
        d.start()
        self.assertEqual(d.admin(0xa, cdw10=6), (0, 1))
        self.assertEqual(d.admin(9, cdw10=6, cdw11=0)[0], 0)
        self.assertEqual(d.admin(0xa, cdw10=6), (0, 0))
        self.assertEqual(d.admin(0xa, cdw10=6 | 1 << 8), (0, 1))        # default
        self.assertEqual(d.admin(0xa, cdw10=6 | 3 << 8), (0, 4))        # changeable
        self.assertEqual(d.admin(9, cdw10=6 | 1 << 31)[0], 0x10d | DNR)
        self.assertEqual(d.admin(9, cdw10=9)[0], 0x10e | DNR)
        self.assertEqual(d.admin(0xa, cdw10=0x55)[0], 0x02 | DNR)
        q.write(DATA, struct.pack("<Q", 1000))
        self.assertEqual(d.admin(9, cdw10=0xe, prp1=DATA)[0], 0)
        q.clock_step(5000000000)
        self.assertEqual(d.admin(0xa, cdw10=0xe, prp1=DATA)[0], 0)
        self.assertEqual(q.readl(DATA), 6000)

    def test_logs(self):
        q, d = self.q, self.d
        d.start()
        d.add_queue()
        d.io(2, lba=0, count=8, prp1=DATA)
        self.assertEqual(d.admin(2, nsid=0xffffffff, prp1=DATA, cdw10=2 | 127 << 16)[0], 0)
        log = q.read(DATA, 512)
        self.assertEqual(struct.unpack("<H", log[1:3])[0], 0x143)
        self.assertEqual(struct.unpack("<Q", log[64:72])[0], 1)
        for page in (1, 3, 5):
            self.assertEqual(d.admin(2, prp1=DATA, cdw10=page | 15 << 16)[0], 0)
        self.assertEqual(d.admin(2, prp1=DATA, cdw10=0x99)[0], 0x109 | DNR)
        self.assertEqual(d.admin(2, prp1=DATA, cdw10=2, cdw12=512)[0], 0x02 | DNR)

    def test_events(self):
        d = self.d
        d.start()
        requests = [d.put(0, 0xc) for _ in range(4)]
        self.assertIsNone(d.get(0, wait=False))
        self.assertEqual(d.admin(0xc)[0], 0x105 | DNR)
        d.write(0x1000 + 8 * 9, 1)                              # doorbell of no queue
        status, result, cid = d.get(0)
        self.assertEqual((status, result, cid in requests), (0, 0x010000, True))
        d.write(0x1000, 5000)                                   # value out of range: masked for now
        self.assertIsNone(d.get(0, wait=False))
        d.put(0, 2, prp1=DATA, cdw10=1)                         # the log is read
        got = [d.get(0) for _ in range(2)]
        self.assertIn(0x010100, [g[1] for g in got])
        # a threshold below the temperature
        d.admin(9, cdw10=0xb, cdw11=2)
        d.put(0, 9, cdw10=4, cdw11=0x100)
        self.assertIn(0x020101, [d.get(0)[1] for _ in range(2)])

    def test_abort(self):
        d = self.d
        d.start()
        cid = d.put(0, 0xc)
        d.put(0, 8, cdw10=cid << 16)
        got = sorted((d.get(0) for _ in range(2)), key=lambda g: g[2])
        self.assertEqual(got[0], (7, 0, cid))
        self.assertEqual(got[1][:2], (0, 0))
        self.assertEqual(d.admin(8, cdw10=0x1234 << 16), (0, 1))

    def test_shutdown_and_reset(self):
        d = self.d
        d.start()
        d.add_queue()
        d.write(CC, d.read(CC) | 1 << 14)
        for _ in patiently():
            if d.read(CSTS) & 0xc == 8:
                break
        else:
            self.fail("no end of the shutdown")
        d.write(CC, 0)
        self.assertEqual(d.read(CSTS), 0)
        self.assertEqual(self.q.readq(BAR + R_ASQ), ASQ)
        d.start()
        d.add_queue()
        self.assertEqual(d.io(2, prp1=DATA)[0], 0)

    def test_own_registers_as_memory(self):
        d = self.d
        d.start()
        d.add_queue()
        self.assertIn(d.io(2, lba=0, count=8, prp1=BAR)[0], (0, 4))
        self.assertIn(d.io(2, lba=0, count=8, prp1=BAR + 0x1000)[0], (0, 4))
        self.assertEqual(d.read(CSTS), 1)
        self.assertEqual(d.io(2, prp1=DATA)[0], 0)

    def test_hostile(self):
        q, d, r = self.q, self.d, random.Random(11)
        d.start()
        d.add_queue()
        for k in range(400):
            addr = r.choice((DATA, LIST, BAR, 0xfffff000, 1 << 45)) + r.choice((0, 4, 0x800, 0xffc))
            n = r.randrange(2)
            opcode = r.choice((1, 2, 5, 8, 9, 0xc, 0x80, r.getrandbits(8)))
            if n == 0 and opcode in (0, 4):
                continue
            d.put(n, opcode, nsid=r.choice((1, 1, 0, 0xffffffff, r.getrandbits(32))), prp1=addr,
                  prp2=r.choice((0, LIST, LIST + 0xff8, addr)), cdw10=r.getrandbits(r.choice((4, 12, 32))),
                  cdw11=r.choice((0, 0, 4, r.getrandbits(32))), cdw12=r.getrandbits(r.choice((3, 10, 32))),
                  flags=r.choice((0, 0, 0, r.getrandbits(8))), ring=r.random() < 0.5)
            if k % 7 == 0:
                for m in (0, 1):
                    while d.get(m, wait=False):
                        pass
            if r.random() < 0.05:
                d.write(0x1000 + 4 * r.randrange(200), r.getrandbits(r.choice((3, 16, 32))))
            if r.random() < 0.03:
                d.start()
                d.add_queue()
        d.start()
        d.add_queue()
        self.assertEqual(d.io(2, prp1=DATA)[0], 0)


class PolicyTest(unittest.TestCase):
    def machine(self, policy):
        q = QTest(["-M", "pc", "-m", "16",
                   "-blockdev", "driver=blkdebug,node-name=d0,image.driver=null-co,image.size=4M,"
                   "inject-error.0.errno=5,inject-error.0.once=on,inject-error.0.sector=8",
                   "-device", "nvme,drive=d0,serial=x,addr=4,rerror=%s,werror=%s" % (policy, policy)])
        self.addCleanup(q.close)
        d = Driver(q)
        d.start()
        d.add_queue()
        return q, d

    def test_stop_and_resume(self):
        for opcode in (1, 2):
            q, d = self.machine("stop")
            d.put(1, opcode, nsid=1, prp1=DATA, cdw10=8)
            q.wait_event("BLOCK_IO_ERROR")
            q.wait_event("STOP")
            self.assertIsNone(d.get(1, wait=False))
            q.qmp("cont")
            self.assertEqual(d.get(1)[0], 0)

    def test_report(self):
        q, d = self.machine("report")
        self.assertEqual(d.io(2, lba=8, prp1=DATA)[0], 0x281)
        self.assertEqual(q.wait_event("BLOCK_IO_ERROR")["data"]["action"], "report")
        q, d = self.machine("report")
        self.assertEqual(d.io(1, lba=8, prp1=DATA)[0], 0x280)

    def test_properties(self):
        for extra, text in (("", "serial= is needed"), (",serial=" + 21 * "x", "at most 20 characters")):
            with self.assertRaisesRegex(Exception, text):
                QTest(["-M", "pc", "-drive", "if=none,id=d,driver=null-co,size=1M",
                       "-device", "nvme,drive=d" + extra])

    def test_what_to_use_instead(self):
        """QEMU's disk devices that are not here name those that are."""
        for name, instead in (("nvme-ns", "nvme"), ("scsi-disk", "scsi-hd"), ("ide-drive", "ide-hd"),
                              ("lsi53c895a", "virtio-scsi-pci")):
            with self.assertRaisesRegex(Exception, "'%s' is not available, use '%s'" % (name, instead)):
                QTest(["-M", "pc", "-device", name])


if __name__ == "__main__":
    main()
