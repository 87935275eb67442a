#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The AHCI host bus adapter: registers, command lists, PIO, DMA, packets, queued commands, errors,
resets, interrupts, a hostile guest."""

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
CLB, FB, TABLES, DATA = 0x100000, 0x104000, 0x108000, 0x200000
CAP, GHC, IS, PI, VS = 0x00, 0x04, 0x08, 0x0c, 0x10
P_CLB, P_FB, P_IS, P_IE, P_CMD, P_TFD, P_SIG, P_SSTS, P_SCTL, P_SERR, P_SACT, P_CI = \
    0x00, 0x08, 0x10, 0x14, 0x18, 0x20, 0x24, 0x28, 0x2c, 0x30, 0x34, 0x38
DHRS, PSS, SDBS, DPS, OFS, TFES = 1, 2, 8, 0x20, 1 << 24, 1 << 30
ST, FRE, FR, CR = 1, 0x10, 0x4000, 0x8000
SIZE = 4 << 20


class Port:
    """A driver's view of one port."""

    def __init__(self, q, n=0):
        self.q, self.n = q, n
        self.at = BAR + 0x100 + 0x80 * n
        q.pci_writel(DEVFN, 0x24, BAR)
        q.pci_writew(DEVFN, 4, 6)

    def read(self, reg):
        return self.q.readl(self.at + reg)

    def write(self, reg, val):
        self.q.writel(self.at + reg, val & 0xffffffff)

    def start(self):
        self.write(P_CLB, CLB)
        self.write(P_FB, FB)
        self.write(P_CMD, FRE)
        self.write(P_SERR, 0xffffffff)
        self.write(P_IS, 0xffffffff)
        self.write(P_CMD, FRE | ST)

    def restart(self):
        """Error recovery (AHCI 6.2.2.1)."""
        self.write(P_CMD, FRE)
        self.write(P_SERR, 0xffffffff)
        self.write(P_IS, 0xffffffff)
        self.write(P_CMD, FRE | ST)

    def table(self, slot, fis, pieces=(), write=False, atapi=None, flags=0):
        """A command table: pieces are [(address, bytes)]."""
        at = TABLES + slot * 0x1000
        prdt = b"".join(struct.pack("<QII", a, 0, (n - 1) | (irq[0] << 31 if irq else 0))
                        for a, n, *irq in pieces)
        self.q.write(at, fis.ljust(0x40, b"\0") + (atapi or b"").ljust(0x40, b"\0") + prdt)
        self.q.write(CLB + 32 * slot, struct.pack("<IIQ", 5 | (0x20 if atapi else 0) | (0x40 if write else 0)
                                                  | len(pieces) << 16 | flags, 0, at))

    @staticmethod
    def fis(command, lba=0, count=0, feature=0, device=0x40, control=False):
        return struct.pack("<BBBBHBBHBBHBB", 0x27, 0 if control else 0x80, command, feature & 0xff,
                           lba & 0xffff, lba >> 16 & 0xff, device, lba >> 24 & 0xffff,
                           lba >> 40 & 0xff, feature >> 8, count & 0xffff, 0, 0) + b"\0" * 4

    def run(self, command, pieces=(), slot=0, write=False, atapi=None, **regs):
        """A command to its end: (status, error)."""
        self.table(slot, self.fis(command, **regs), pieces, write, atapi)
        self.write(P_CI, 1 << slot)
        return self.wait(slot)

    def wait(self, slot=0):
        for _ in patiently():
            if not self.read(P_CI) >> slot & 1 or self.read(P_IS) & TFES:
                break
        else:
            raise AssertionError("command does not end: TFD %x" % self.read(P_TFD))
        tfd = self.read(P_TFD)
        return tfd & 0xff, tfd >> 8 & 0xff

    def queue(self, slot, command, lba, count, pieces):
        self.table(slot, self.fis(command, lba, slot << 3, count), pieces, command == 0x61)
        self.write(P_SACT, 1 << slot)
        self.write(P_CI, 1 << slot)

    def wait_queued(self):
        for _ in patiently():
            if not self.read(P_SACT) or self.read(P_IS) & TFES:
                return
        raise AssertionError("queued commands do not end")

    def header_count(self, slot=0):
        return self.q.readl(CLB + 32 * slot + 4)


class AhciTest(TestCase):
    def setUp(self):
        self.disk, self.disc = image(SIZE, numbered), image(1 << 20, numbered)
        self.addCleanup(self.disk.close)
        self.addCleanup(self.disc.close)
        self.args = ["-M", "pc", "-m", "16", "-device", "ahci,id=ahci0,addr=4",
                     "-drive", "if=none,id=d0,format=raw,discard=unmap,file=" + self.disk.name,
                     "-device", "ide-hd,drive=d0,bus=ahci0.0,serial=AHCI-0",
                     "-drive", "if=none,id=c0,media=cdrom,format=raw,readonly=on,file=" + self.disc.name,
                     "-device", "ide-cd,drive=c0,bus=ahci0.2"]
        super().setUp()
        self.p = Port(self.q)

    def test_identity(self):
        q = self.q
        self.assertEqual(q.pci_readl(DEVFN, 0), 0x29228086)
        self.assertEqual(q.pci_readl(DEVFN, 8), 0x01060102)
        self.assertEqual(q.pci_readb(DEVFN, 0x34), 0x80)            # MSI, then the SATA capability
        self.assertEqual(q.pci_readb(DEVFN, 0x81), 0xa8)
        self.assertEqual(q.pci_readl(DEVFN, 0xac) & 0xffff, 0x48)

    def test_registers(self):
        q = self.q
        self.assertEqual(q.readl(BAR + CAP) & 0xc0041f1f, 0xc0041f05)
        self.assertEqual(q.readl(BAR + GHC), 0x80000000)
        self.assertEqual(q.readl(BAR + PI), 0x3f)
        self.assertEqual(q.readl(BAR + VS), 0x00010000)
        self.assertEqual(self.p.read(P_SSTS), 0x113)
        self.assertEqual(Port(q, 1).read(P_SSTS), 0)
        self.assertEqual(Port(q, 2).read(P_SSTS), 0x113)
        self.p.write(P_CLB, 0x12345678)
        self.assertEqual(self.p.read(P_CLB), 0x12345400)
        self.p.write(P_FB, 0x12345678)
        self.assertEqual(self.p.read(P_FB), 0x12345600)

    def test_index_data_pair(self):
        q = self.q
        q.pci_writel(DEVFN, 0x20, 0xc001)
        q.pci_writew(DEVFN, 4, 7)
        q.outl(0xc010, PI)
        self.assertEqual(q.inl(0xc014), 0x3f)

    def test_signature(self):
        self.assertEqual(self.p.read(P_TFD) & 0xff, 0x7f)
        self.p.start()
        self.assertEqual(self.p.read(P_SIG), 0x00000101)
        self.assertEqual(self.p.read(P_TFD) & 0xff, 0x50)
        self.assertEqual(self.q.readb(FB + 0x40), 0x34)
        cd = Port(self.q, 2)
        cd.start()
        self.assertEqual(cd.read(P_SIG), 0xeb140101)

    def test_identify(self):
        p = self.p
        p.start()
        self.assertEqual(p.run(0xec, [(DATA, 512)]), (0x50, 0))
        words = struct.unpack("<256H", self.q.read(DATA, 512))
        text = b"".join(struct.pack(">H", w) for w in words[10:20]).decode().strip()
        self.assertEqual(text, "AHCI-0")
        self.assertTrue(words[76] & 0x100)
        self.assertEqual(words[75], 31)
        self.assertEqual(words[100], SIZE // 512)
        self.assertEqual(p.header_count(), 512)
        self.assertEqual(p.read(P_IS) & (PSS | DHRS), PSS)
        self.assertEqual(self.q.readb(FB + 0x20), 0x5f)

    def test_dma(self):
        q, p = self.q, self.p
        p.start()
        pieces = [(DATA, 1000), (DATA + 0x10000, 24), (DATA + 0x20000, 3072)]
        self.assertEqual(p.run(0x25, pieces, lba=17, count=8), (0x50, 0))
        got = q.read(DATA, 1000) + q.read(DATA + 0x10000, 24) + q.read(DATA + 0x20000, 3072)
        self.assertEqual(got, b"".join(numbered(n) for n in range(17, 25)))
        self.assertEqual(p.header_count(), 4096)
        self.assertTrue(p.read(P_IS) & DHRS)
        q.write(DATA, b"\xa5" * 1024)
        self.assertEqual(p.run(0x35, [(DATA, 1024)], write=True, lba=100, count=2), (0x50, 0))
        self.assertEqual(p.run(0xea), (0x50, 0))
        self.assertEqual(file_bytes(self.disk, 100 * 512, 1536), b"\xa5" * 1024 + numbered(102))

    def test_pio(self):
        q, p = self.q, self.p
        p.start()
        self.assertEqual(p.run(0x24, [(DATA, 1536)], lba=5, count=3), (0x50, 0))
        self.assertEqual(q.read(DATA, 1536), numbered(5) + numbered(6) + numbered(7))
        q.write(DATA, b"\x5a" * 1024)
        self.assertEqual(p.run(0x34, [(DATA, 1024)], write=True, lba=9, count=2), (0x50, 0))
        self.assertEqual(p.run(0xe7), (0x50, 0))
        self.assertEqual(file_bytes(self.disk, 9 * 512, 1024), b"\x5a" * 1024)

    def test_trim(self):
        q, p = self.q, self.p
        p.start()
        q.write(DATA, struct.pack("<Q", 200 | 8 << 48).ljust(512, b"\0"))
        self.assertEqual(p.run(0x06, [(DATA, 512)], write=True, count=1, feature=1), (0x50, 0))
        stats = {d["device"]: d["stats"] for d in q.qmp("query-blockstats")}
        self.assertEqual(stats["d0"]["unmap_bytes"], 4096)

    def test_short_list(self):
        p = self.p
        p.start()
        status, _ = p.run(0x25, [(DATA, 512)], lba=0, count=4)
        self.assertTrue(status & 1)
        self.assertTrue(p.read(P_IS) & OFS)
        p.restart()
        self.assertEqual(p.run(0xec, [(DATA, 512)]), (0x50, 0))

    def test_descriptor_interrupt(self):
        p = self.p
        p.start()
        p.run(0x25, [(DATA, 512, 1), (DATA + 512, 512)], lba=0, count=2)
        self.assertTrue(p.read(P_IS) & DPS)

    def test_error_halts(self):
        """A command that failed stays in PxCI, named by CCS, and stops the list."""
        p = self.p
        p.start()
        status, error = p.run(0x25, [(DATA, 512)], slot=3, lba=SIZE // 512, count=1)
        self.assertEqual((status & 1, error), (1, 0x10))
        self.assertEqual(p.read(P_CI), 1 << 3)
        self.assertEqual(p.read(P_CMD) >> 8 & 31, 3)
        p.table(4, p.fis(0xec), [(DATA, 512)])
        p.write(P_CI, 1 << 4)
        self.assertEqual(p.read(P_CI), 3 << 3)
        p.restart()
        self.assertEqual(p.read(P_CI), 0)
        self.assertEqual(p.run(0xec, [(DATA, 512)], slot=4), (0x50, 0))

    def test_queued(self):
        q, p = self.q, self.p
        p.start()
        for k in range(32):
            p.table(k, p.fis(0x60, 64 * k, k << 3, 8), [(DATA + 4096 * k, 4096)])
        p.write(P_SACT, 0xffffffff)
        p.write(P_CI, 0xffffffff)
        p.wait_queued()
        for k in range(32):
            self.assertEqual(q.read(DATA + 4096 * k, 8), struct.pack("<Q", 64 * k))
        self.assertEqual(p.read(P_CI), 0)
        self.assertTrue(p.read(P_IS) & SDBS)
        self.assertEqual(q.readb(FB + 0x58), 0xa1)
        q.write(DATA, b"\x77" * 8192)
        p.queue(5, 0x61, 1000, 16, [(DATA, 100), (DATA + 100, 8092)])
        p.wait_queued()
        p.run(0xea)
        self.assertEqual(file_bytes(self.disk, 1000 * 512, 8192), b"\x77" * 8192)

    def test_queued_error(self):
        q, p = self.q, self.p
        p.start()
        p.queue(7, 0x60, SIZE // 512 - 1, 2, [(DATA, 1024)])
        p.wait_queued()
        self.assertTrue(p.read(P_IS) & TFES)
        self.assertEqual(p.read(P_SACT), 1 << 7)
        p.restart()
        self.assertEqual(p.run(0x2f, [(DATA, 512)], lba=0x10, count=1)[0], 0x50)
        log = q.read(DATA, 512)
        self.assertEqual((log[0], log[3], sum(log) & 0xff), (7, 0x10, 0))
        self.assertEqual(p.run(0x2f, [(DATA, 512)], lba=0x10, count=1)[0], 0x50)
        self.assertEqual(q.readb(DATA), 0x80)
        self.assertEqual(p.run(0x2f, [(DATA, 512)], lba=0, count=1)[0], 0x50)
        self.assertEqual(q.readb(DATA + 0x20), 1)

    def test_interrupts(self):
        q, p = self.q, self.p
        p.start()
        p.write(P_IE, DHRS | PSS)
        q.writel(BAR + GHC, 0x80000002)
        p.run(0xec, [(DATA, 512)])
        self.assertEqual(q.readl(BAR + IS), 1)
        self.assertEqual(q.pci_readw(DEVFN, 6) & 8, 8)
        p.write(P_IS, 0xffffffff)
        self.assertEqual(q.readl(BAR + IS), 0)
        self.assertEqual(q.pci_readw(DEVFN, 6) & 8, 0)

    def test_packet(self):
        q, cd = self.q, Port(self.q, 2)
        cd.start()
        read10 = bytes([0x28, 0, 0, 0, 0, 3, 0, 0, 2, 0, 0, 0])
        for feature in (1, 0):                          # DMA, PIO
            status = cd.run(0xa0, [(DATA, 4096)], atapi=read10, feature=feature, lba=0x8000 << 8)
            while status[0] & 1:                        # unit attentions first
                cd.restart()
                status = cd.run(0xa0, [(DATA, 4096)], atapi=read10, feature=feature, lba=0x8000 << 8)
            self.assertEqual(status, (0x50, 0))
            self.assertEqual(q.read(DATA, 4096), b"".join(numbered(n) for n in range(12, 20)))
            q.memset(DATA, 4096, 0)
        status, error = cd.run(0xa0, [(DATA, 4096)], atapi=b"\xff" + b"\0" * 11)
        self.assertEqual((status & 1, error >> 4), (1, 5))

    def test_software_reset(self):
        q, p = self.q, self.p
        p.start()
        for srst in (4, 0):
            fis = bytearray(p.fis(0, control=True))
            fis[15] = srst
            p.table(0, bytes(fis))
            p.write(P_CI, 1)
            self.assertEqual(p.read(P_CI), 0)
        self.assertEqual(p.read(P_TFD), 0x150)
        self.assertEqual(q.read(FB + 0x40, 1), b"\x34")

    def test_port_reset(self):
        p = self.p
        p.start()
        p.write(P_CMD, FRE)
        p.write(P_SCTL, 0x301)
        self.assertEqual(p.read(P_SSTS), 0)
        p.write(P_SCTL, 0x300)
        self.assertEqual(p.read(P_SSTS), 0x113)
        self.assertTrue(p.read(P_SERR) & 1 << 26)
        self.assertTrue(p.read(P_IS) & 0x40)
        p.write(P_SERR, 0xffffffff)
        self.assertFalse(p.read(P_IS) & 0x40)
        self.assertEqual(p.read(P_SIG), 0x101)
        p.write(P_CMD, FRE | ST)
        self.assertEqual(p.run(0xec, [(DATA, 512)]), (0x50, 0))

    def test_hba_reset(self):
        q, p = self.q, self.p
        p.start()
        q.writel(BAR + GHC, 3)
        self.assertEqual(q.readl(BAR + GHC), 0x80000000)
        self.assertEqual(p.read(P_CMD) & (ST | FRE | FR | CR), 0)
        self.assertEqual(p.read(P_CLB), CLB)
        p.start()
        self.assertEqual(p.run(0xec, [(DATA, 512)]), (0x50, 0))

    def test_own_registers_as_memory(self):
        """Lists, FISes and data that lie in the adapter's own registers."""
        q, p = self.q, self.p
        p.start()
        p.write(P_FB, BAR + 0x100)
        p.run(0xec, [(BAR, 512)])
        p.run(0x25, [(BAR + 0x100, 512)], lba=0, count=1)
        p.restart()
        p.queue(1, 0x60, 0, 1, [(BAR + 0x100, 512)])
        p.wait_queued()
        p.write(P_CLB, BAR)
        p.write(P_CI, 0xffffffff)
        q.writel(BAR + GHC, 1)
        p.start()
        self.assertEqual(p.run(0xec, [(DATA, 512)]), (0x50, 0))

    def test_hostile(self):
        """Command lists of random words."""
        q, p, r = self.q, self.p, random.Random(7)
        p.start()
        for _ in range(150):
            slot = r.randrange(32)
            regs = {"lba": r.getrandbits(r.choice((4, 12, 48))), "count": r.getrandbits(16),
                    "feature": r.getrandbits(16), "device": r.getrandbits(8)}
            pieces = [(r.choice((DATA, 0xfffff000, BAR, 0xfee00000, (1 << 40))) + r.randrange(4096),
                       r.choice((1, 2, 512, 4096, 1 << 22))) for _ in range(r.randrange(9))]
            p.table(slot, p.fis(r.choice((0x60, 0x61, 0x25, 0x35, 0xa0, 0x2f, r.getrandbits(8))), **regs),
                    pieces, flags=r.choice((0, 0, 0xffff0000, r.getrandbits(32))))
            p.write(P_SACT, r.getrandbits(32))
            p.write(P_CI, 1 << slot | r.getrandbits(32) & r.getrandbits(32))
            if r.random() < 0.5:
                p.restart()
            if r.random() < 0.1:
                p.write(P_SCTL, r.getrandbits(4))
                p.write(P_SCTL, 0)
                p.start()
        q.writel(BAR + GHC, 1)
        p.start()
        self.assertEqual(p.run(0xec, [(DATA, 512)]), (0x50, 0))


class PolicyTest(unittest.TestCase):
    """What happens when the host's disk fails."""

    def machine(self, policy):
        q = QTest(["-M", "pc", "-m", "16", "-device", "ahci,id=ahci0,addr=4",
                   "-blockdev", "driver=blkdebug,node-name=d0,image.driver=null-co,image.size=4M,"
                   "inject-error.0.errno=5,inject-error.0.once=on,inject-error.0.sector=8",
                   "-device", "ide-hd,drive=d0,bus=ahci0.0,rerror=%s,werror=%s" % (policy, policy)])
        self.addCleanup(q.close)
        p = Port(q)
        p.start()
        return q, p

    def test_stop_and_resume(self):
        for queued in (True, False):
            q, p = self.machine("stop")
            if queued:
                p.queue(2, 0x60, 8, 1, [(DATA, 512)])
            else:
                p.table(2, p.fis(0x25, 8, 1), [(DATA, 512)])
                p.write(P_CI, 1 << 2)
            q.wait_event("BLOCK_IO_ERROR")
            q.wait_event("STOP")
            self.assertTrue((p.read(P_SACT) if queued else p.read(P_CI)) & 1 << 2)
            q.qmp("cont")
            if queued:
                p.wait_queued()
            self.assertEqual(p.wait(2)[0], 0x50)

    def test_report(self):
        q, p = self.machine("report")
        p.queue(2, 0x60, 8, 1, [(DATA, 512)])
        p.wait_queued()
        self.assertEqual(q.wait_event("BLOCK_IO_ERROR")["data"]["action"], "report")
        self.assertTrue(p.read(P_IS) & TFES)
        p.restart()
        p.run(0x2f, [(DATA, 512)], lba=0x10, count=1)
        self.assertEqual((q.readb(DATA), q.readb(DATA + 3)), (2, 0x40))

    def test_ignore(self):
        q, p = self.machine("ignore")
        p.queue(2, 0x60, 8, 1, [(DATA, 512)])
        p.wait_queued()
        self.assertEqual(p.read(P_TFD) & 0xff, 0x50)


if __name__ == "__main__":
    main()
