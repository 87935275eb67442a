#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Intel HD Audio: registers, both ways of sending commands, what codecs say they are, streams that play
into a wav file and record, interrupts, and descriptors that make no sense."""

import math
import os
import random
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from libqtest import main                                           # noqa: E402
from test_audio import Sound, read_wav                              # noqa: E402

DEVFN, BAR = 0x20, 0xe0000000
GCTL, STATESTS, INTCTL, INTSTS, WALCLK = 8, 0x0e, 0x20, 0x24, 0x30
CORB, RIRB, ICOI, ICII, ICS, DPLBASE = 0x40, 0x50, 0x60, 0x64, 0x68, 0x70
OUT, IN = 0x80 + 4 * 0x20, 0x80
CTL, STS, LPIB, CBL, LVI, FMT, BDL = 0, 3, 4, 8, 0xc, 0x12, 0x18
RUN, IOCE, BCIS = 2, 4, 4
CORB_AT, RIRB_AT, BDL_AT, DATA, POSITIONS = 0x100000, 0x101000, 0x102000, 0x200000, 0x103000


class HdaCase(Sound):
    device = "hda-duplex"

    def card(self, more="", controller="intel-hda"):
        q = self.machine("-audiodev", self.wav(more), "-device", controller + ",addr=4", "-device",
                         self.device + ",audiodev=snd")
        q.pci_writel(DEVFN, 0x10, BAR)
        q.pci_writew(DEVFN, 4, 6)
        q.writel(BAR + GCTL, 1)
        return q

    def pending(self, q):
        return q.pci_readw(DEVFN, 6) >> 3 & 1

    def word(self, nid, verb, data, cad=0):
        return cad << 28 | nid << 20 | verb << 8 | data

    def command(self, q, nid, verb, data=0, cad=0):
        """The immediate way."""
        q.writel(BAR + ICOI, self.word(nid, verb, data, cad))
        q.writew(BAR + ICS, 1)
        self.assertEqual(q.readw(BAR + ICS) & 3, 2)
        return q.readl(BAR + ICII)

    def stream(self, q, at, buffers, fmt=0x11, tag=1, ctl=RUN | IOCE):
        """buffers: (address, bytes, flags)"""
        q.write(BDL_AT, b"".join(struct.pack("<QII", *b) for b in buffers))
        q.writel(BAR + at + CTL, 1)
        self.assertEqual(q.readl(BAR + at + CTL) & 1, 1)
        q.writel(BAR + at + CTL, 0)
        q.writel(BAR + at + BDL, BDL_AT)
        q.writel(BAR + at + BDL + 4, 0)
        q.writel(BAR + at + CBL, sum(b[1] for b in buffers))
        q.writew(BAR + at + LVI, len(buffers) - 1)
        q.writew(BAR + at + FMT, fmt)
        node = 2 if at >= OUT else 4
        q.writel(BAR + ICOI, node << 20 | 0x2 << 16 | fmt)
        q.writew(BAR + ICS, 1)
        self.command(q, node, 0x706, tag << 4)
        q.writel(BAR + at + CTL, tag << 20 | ctl)



class Duplex(HdaCase):
    # ---- registers ----

    def test_identity(self):
        for controller, ids in (("intel-hda", 0x26688086), ("ich9-intel-hda", 0x293e8086)):
            q = self.card(controller=controller)
            self.assertEqual(q.pci_readl(DEVFN, 0), ids)
            self.assertEqual(q.pci_readl(DEVFN, 8) >> 8, 0x040300)
            self.assertEqual((q.readw(BAR), q.readb(BAR + 3)), (0x4401, 1))
            q.close()

    def test_reset_and_presence(self):
        q = self.card()
        self.assertEqual(q.readw(BAR + STATESTS), 1)
        q.writew(BAR + STATESTS, 1)
        self.assertEqual(q.readw(BAR + STATESTS), 0)
        q.writel(BAR + INTCTL, 0xffffffff)
        self.assertEqual(q.readl(BAR + INTCTL), 0xc00000ff)
        q.writel(BAR + GCTL, 0)
        self.assertEqual(q.readl(BAR + INTCTL), 0)
        q.writel(BAR + INTCTL, 0xffffffff)          # in reset nothing is taken
        self.assertEqual((q.readl(BAR + INTCTL), q.readl(BAR + GCTL)), (0, 0))
        q.writel(BAR + GCTL, 1)
        self.assertEqual(q.readw(BAR + STATESTS), 1)

    def test_wall_clock(self):
        q = self.card()
        a = q.readl(BAR + WALCLK)
        q.clock_step(10 ** 6)
        self.assertEqual(q.readl(BAR + WALCLK) - a, 24000)

    # ---- commands ----

    def test_nodes(self):
        q = self.card()
        p = lambda nid, n: self.command(q, nid, 0xf00, n)                   # noqa: E731
        self.assertEqual((p(0, 0), p(0, 4), p(1, 4), p(1, 5)), (0x1af40022, 0x10001, 0x20004, 1))
        self.assertEqual([p(n, 9) for n in (2, 3, 4, 5)], [0x1d, 0x400101, 0x10011b, 0x400001])
        self.assertEqual((p(2, 10), p(2, 11), p(2, 18), p(4, 13)), (0x201fc, 1, 0x80034a4a, 0x80034a4a))
        self.assertEqual((p(3, 12), p(5, 12), p(3, 14), p(4, 14)), (0x10, 0x20, 1, 1))
        self.assertEqual((self.command(q, 3, 0xf02), self.command(q, 4, 0xf02)), (2, 5))
        self.assertEqual((self.command(q, 3, 0xf1c), self.command(q, 5, 0xf1c)), (0x4010, 0x805020))
        self.assertEqual(self.command(q, 0, 0xf00, 0, cad=3), 0)            # nobody there
        self.assertEqual(self.command(q, 0x40, 0xf00, 9), 0)

    def test_rings(self):
        q = self.card()
        for base, at in ((CORB, CORB_AT), (RIRB, RIRB_AT)):
            q.writel(BAR + base, at)
        q.writew(BAR + CORB + 0xa, 0x8000)
        self.assertEqual(q.readw(BAR + CORB + 0xa), 0x8000)
        q.writew(BAR + CORB + 0xa, 0)
        self.assertEqual(q.readw(BAR + CORB + 0xa), 0)
        q.writew(BAR + RIRB + 8, 0x8000)
        q.writew(BAR + RIRB + 0xa, 2)
        q.writeb(BAR + CORB + 0xc, 2)
        q.writeb(BAR + RIRB + 0xc, 3)
        q.writel(BAR + INTCTL, 0xc0000000)
        words = [self.word(0, 0xf00, 0), self.word(1, 0xf00, 4), self.word(2, 0xf00, 9), self.word(9, 0xf00, 9)]
        q.write(CORB_AT + 4, struct.pack("<4I", *words))
        q.writew(BAR + CORB + 8, 4)
        # two of them, then an interrupt waits to be acknowledged
        self.assertEqual((q.readw(BAR + CORB + 0xa), q.readw(BAR + RIRB + 8), self.pending(q)), (2, 2, 1))
        self.assertEqual(q.readl(BAR + INTSTS), 0xc0000000)
        q.writeb(BAR + RIRB + 0xd, 1)
        self.assertEqual((q.readw(BAR + CORB + 0xa), q.readw(BAR + RIRB + 8), self.pending(q)), (4, 4, 1))
        q.writeb(BAR + RIRB + 0xd, 1)
        self.assertEqual(self.pending(q), 0)
        got = struct.unpack("<8I", q.read(RIRB_AT + 8, 32))
        self.assertEqual(got[0::2], (0x1af40022, 0x20004, 0x1d, 0))

    # ---- streams ----

    def tone(self, frames, rate=48000, hz=440):
        return [(round(20000 * math.sin(2 * math.pi * hz * i / rate)),
                 round(10000 * math.cos(2 * math.pi * hz * i / rate))) for i in range(frames)]

    def test_tone_is_what_was_sent(self):
        q = self.card(",out.frequency=48000")
        frames = self.tone(4800)
        q.write(DATA, b"".join(struct.pack("<hh", *f) for f in frames))
        q.writel(BAR + DPLBASE, POSITIONS | 1)
        self.stream(q, OUT, [(DATA + 4 * 960 * i, 4 * 960, 1) for i in range(5)])
        self.run_for(q, 50)
        self.assertEqual(q.readb(BAR + OUT + STS) & BCIS, BCIS)
        at = q.readl(BAR + OUT + LPIB)
        self.assertEqual(at, q.readl(POSITIONS + 8 * 4))
        self.assertTrue(1920 * 4 <= at <= 2400 * 4, at)
        self.run_for(q, 100)
        self.assertIn("under-runs: 0 (0 frames)", q.hmp("info audio"))
        q.close()
        rate, channels, bits, got = read_wav(self.path)
        self.assertEqual((rate, channels, bits), (48000, 2, 16))
        self.assertGreater(len(got), 6000)
        self.assertEqual(got, (frames * 3)[:len(got)])          # the ring goes round without a gap

    def test_volume_and_mute(self):
        q = self.card(",out.frequency=48000")
        q.write(DATA, struct.pack("<hh", 20000, 10000) * 4800)
        for left, right, data in ((74, 54, None), (0x80, 74, None)):
            for mask, v in ((0x2000, left), (0x1000, right)):
                q.writel(BAR + ICOI, 2 << 20 | 3 << 16 | 0x8000 | mask | v)
                q.writew(BAR + ICS, 1)
            self.assertEqual(self.command(q, 2, 0xf06), 0 if left == 74 else 0x10)
            self.stream(q, OUT, [(DATA, 4 * 4800, 0)])
            self.run_for(q, 40)
            q.writel(BAR + OUT + CTL, 0)
        q.close()
        got = set(read_wav(self.path)[3])
        self.assertTrue({(20000, 1000), (0, 10000)} <= got, list(got)[:10])

    def test_formats(self):
        """44.1 kHz mono in 16 bits."""
        q = self.card(",out.frequency=44100,out.channels=1")
        samples = [i * 7 % 30000 for i in range(4410)]
        q.write(DATA, struct.pack("<4410h", *samples))
        self.stream(q, OUT, [(DATA, 8820, 0)], fmt=0x4010)
        self.run_for(q, 60)
        q.close()
        got = [f[0] for f in read_wav(self.path)[3]]
        self.assertEqual(got[:2000], samples[:2000])

    def test_interrupts(self):
        q = self.card()
        q.writel(BAR + INTCTL, 0x80000010)
        self.stream(q, OUT, [(DATA, 4 * 480, 1), (DATA, 4 * 480, 0)])
        self.assertEqual(self.pending(q), 0)
        self.run_for(q, 11)
        self.assertEqual((self.pending(q), q.readl(BAR + INTSTS)), (1, 0x80000010))
        q.writeb(BAR + OUT + STS, BCIS)
        self.assertEqual((self.pending(q), q.readl(BAR + INTSTS)), (0, 0))
        self.run_for(q, 21)
        q.writel(BAR + INTCTL, 0x80000000)                      # masked
        self.assertEqual(self.pending(q), 0)

    def test_records_silence(self):
        q = self.card()
        q.memset(DATA, 0x2000, 0x55)
        self.stream(q, IN, [(DATA, 4 * 480, 1)])
        self.run_for(q, 25)
        self.assertEqual(q.readb(BAR + IN + STS) & BCIS, BCIS)
        self.assertEqual(q.read(DATA, 4 * 480), bytes(4 * 480))
        self.assertEqual(q.readl(DATA + 4 * 480), 0x55555555)

    def test_hostile(self):
        q = self.card()
        for buffers in ([(DATA, 0, 1)], [(0xfffffffffffff000, 0x10000, 1)], [(BAR, 0x1000, 1)],
                        [(DATA, 0xffffffff, 1), (0, 0, 0)]):
            self.stream(q, OUT, buffers)
            self.run_for(q, 30)
            self.stream(q, IN, buffers)
            self.run_for(q, 30)
        q.writel(BAR + CORB, BAR & 0xffffff80)
        q.writel(BAR + RIRB, BAR & 0xffffff80)                  # its own registers
        q.writeb(BAR + RIRB + 0xc, 3)
        q.writeb(BAR + CORB + 0xc, 2)
        q.writew(BAR + CORB + 8, 200)
        r = random.Random(9)
        for _ in range(3000):
            q.writel(BAR + 4 * r.randrange(0x60), r.getrandbits(32))
        q.clock_step(10 ** 9)
        self.assertTrue(q.qmp("query-status"))


class Micro(HdaCase):
    device = "hda-micro"

    def test_nodes(self):
        q = self.card()
        self.assertEqual((self.command(q, 0, 0xf00), self.command(q, 5, 0xf1c)), (0x1af40032, 0xa05020))


class Output(Sound):
    def test_two_codecs(self):
        q = self.machine("-audiodev", self.wav(), "-device", "intel-hda,id=h,addr=4", "-device",
                         "hda-output,audiodev=snd", "-device", "hda-output,audiodev=snd,cad=3,mixer=off")
        q.pci_writel(DEVFN, 0x10, BAR)
        q.pci_writew(DEVFN, 4, 6)
        q.writel(BAR + GCTL, 1)
        self.assertEqual(q.readw(BAR + STATESTS), 9)
        ids = []
        for cad in (0, 3):
            q.writel(BAR + ICOI, cad << 28 | 0xf0000)
            q.writew(BAR + ICS, 1)
            ids.append(q.readl(BAR + ICII))
        self.assertEqual(ids, [0x1af40012, 0x1af40011])


if __name__ == "__main__":
    main()
