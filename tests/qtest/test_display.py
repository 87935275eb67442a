#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bochs-display and ramfb: pictures as the guest describes them."""

import os
import random
import struct
import sys
import tempfile

sys.path[:0] = [os.path.dirname(os.path.abspath(__file__)),
                os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "guest")]
from libqtest import TestCase, main                                 # noqa: E402
from screen import Picture                                          # noqa: E402
from test_fwcfg import BUFFER, FwCfg                                # noqa: E402

DEV, LFB, MMIO = 3 << 3, 0xe0000000, 0xe2000000


class Shows(TestCase):
    def dump(self):
        with tempfile.TemporaryDirectory() as d:
            self.q.qmp("screendump", filename=d + "/s.ppm")
            return Picture.load(d + "/s.ppm")

    def shows(self, w, h, pixels):
        p = self.dump()
        self.assertEqual((p.width, p.height), (w, h))
        self.assertTrue(p.data == pixels, "the picture is wrong")


def colours(n, seed=1):
    r = random.Random(seed)
    return [(r.randrange(256), r.randrange(256), r.randrange(256)) for _ in range(n)]


def rgb(pixels):
    return b"".join(bytes(p) for p in pixels)


class BochsDisplay(Shows):
    args = ["-M", "pc", "-m", "16", "-vga", "none", "-device", "bochs-display,addr=3,vgamem=1M"]

    def setUp(self):
        super().setUp()
        self.q.pci_writel(DEV, 0x10, LFB)
        self.q.pci_writel(DEV, 0x18, MMIO)
        self.q.pci_writew(DEV, 4, 2)

    def dispi(self, n, v):
        self.q.writew(MMIO + 0x500 + 2 * n, v)

    def mode(self, w, h, bpp, virt=0, x=0, y=0):
        self.dispi(4, 0)
        for n, v in ((1, w), (2, h), (3, bpp), (6, virt), (8, x), (9, y), (4, 0x41)):
            self.dispi(n, v)

    def test_identity(self):
        self.assertEqual(self.q.pci_readl(DEV, 0), 0x11111234)
        self.assertEqual(self.q.pci_readl(DEV, 8) >> 16, 0x0380)
        self.assertEqual(self.q.readw(MMIO + 0x500), 0xb0c5)
        self.assertEqual(self.q.readw(MMIO + 0x500 + 20), 16)
        self.assertEqual(self.q.read(MMIO, 8), b"\0\xff\xff\xff\xff\xff\xff\0")
        self.assertEqual(self.q.readl(MMIO + 0x604), 0x1e1e1e1e)

    def test_formats(self):
        px = colours(64 * 64)
        self.mode(64, 64, 32)
        self.q.write(LFB, b"".join(struct.pack("<I", r << 16 | g << 8 | b | 0xee000000) for r, g, b in px))
        self.shows(64, 64, rgb(px))
        self.q.writel(MMIO + 0x604, 0xbebebebe)
        self.q.write(LFB, b"".join(struct.pack(">I", r << 16 | g << 8 | b) for r, g, b in px))
        self.shows(64, 64, rgb(px))
        self.q.writel(MMIO + 0x604, 0x1e1e1e1e)
        self.mode(64, 64, 16)
        self.q.write(LFB, b"".join(struct.pack("<H", (r >> 3) << 11 | (g >> 2) << 5 | b >> 3)
                                   for r, g, b in px))
        self.shows(64, 64, rgb((r & 0xf8 | r >> 5, g & 0xfc | g >> 6, b & 0xf8 | b >> 5) for r, g, b in px))

    def test_panning_and_changes(self):
        px = colours(128 * 100)
        data = [struct.pack("<I", r << 16 | g << 8 | b) for r, g, b in px]
        self.q.write(LFB, b"".join(data))
        self.mode(64, 64, 32, 128, 5, 7)

        def view():
            return rgb(px[(y + 7) * 128 + x + 5] for y in range(64) for x in range(64))
        self.shows(64, 64, view())
        px[20 * 128 + 20] = (1, 2, 3)
        self.q.writel(LFB + (20 * 128 + 20) * 4, 0x010203)
        self.shows(64, 64, view())

    def test_nonsense_is_not_shown(self):
        """Pictures beyond the memory, of no size, in no format: the last one stays."""
        self.mode(64, 64, 32)
        before = self.dump()
        r = random.Random(3)
        for w, h, bpp, virt, x, y in ((0xffff, 0xffff, 32, 0xffff, 0xffff, 0xffff), (0, 0, 32, 0, 0, 0),
                                      (64, 64, 24, 0, 0, 0), (640, 480, 32, 0, 0, 0),
                                      (64, 64, 32, 0xfff8, 0, 5)):
            self.mode(w, h, bpp, virt, x, y)
            self.assertEqual(self.dump().data, before.data)
        for _ in range(200):
            self.dispi(r.randrange(12), r.choice((r.randrange(1 << 16), r.randrange(600), 32, 0x41)))
            self.dump()


class SecondaryVGA(Shows):
    """Beside the machine's own card, and alone: registers in memory, no ports, no ROM."""
    args = ["-M", "pc", "-m", "16", "-vga", "none", "-device", "secondary-vga,addr=3,id=two,xres=800,yres=600"]

    def test_picture(self):
        q = self.q
        self.assertEqual((q.pci_readl(DEV, 0), q.pci_readl(DEV, 8) >> 16), (0x11111234, 0x0380))
        q.pci_writel(DEV, 0x30, 0xffffffff)
        self.assertEqual(q.pci_readl(DEV, 0x30), 0)
        q.pci_writel(DEV, 0x10, LFB)
        q.pci_writel(DEV, 0x18, MMIO)
        q.pci_writew(DEV, 4, 3)
        self.assertEqual((q.inb(0x3cc), q.inw(0x1ce)), (0xff, 0xffff))
        e = q.read(MMIO, 128)
        self.assertEqual((e[56] | (e[58] & 0xf0) << 4, e[59] | (e[61] & 0xf0) << 4), (800, 600))
        q.writeb(MMIO + 0x402, 0x67)                    # 3C2h
        self.assertEqual(q.readb(MMIO + 0x40c), 0x67)
        px = colours(64 * 48)
        for n, v in ((1, 64), (2, 48), (3, 32), (4, 0x41)):
            q.writew(MMIO + 0x500 + 2 * n, v)
        q.readb(MMIO + 0x41a)
        q.writeb(MMIO + 0x400, 0x20)
        q.write(LFB, b"".join(struct.pack("<I", r << 16 | g << 8 | b) for r, g, b in px))
        self.shows(64, 48, rgb(px))
        self.assertIn("has no screen 1", str(q.qmp_raw("screendump", filename="/dev/null", device="two", head=1)))


class RamFB(Shows):
    args = ["-M", "pc", "-m", "16", "-vga", "none", "-device", "ramfb"]
    ADDRESS = 0x400001

    def describe(self, fourcc, w, h, stride=0, address=None, flags=0):
        f = FwCfg(self.q)
        key, size = f.files()["etc/ramfb"]
        self.assertEqual(size, 28)
        self.q.write(BUFFER, struct.pack(">Q5I", self.ADDRESS if address is None else address,
                                         int.from_bytes(fourcc, "little"), flags, w, h, stride))
        return f.dma(key << 16 | 0x18, 28, BUFFER)

    def test_formats(self):
        px = colours(40 * 30)
        short = [(r & 0xf8 | r >> 5, g & 0xf8 | g >> 5, b & 0xf8 | b >> 5) for r, g, b in px]
        for fourcc, pack, want in (
                (b"XR24", lambda r, g, b: bytes((b, g, r, 9)), px),
                (b"XB24", lambda r, g, b: bytes((r, g, b, 9)), px),
                (b"RG24", lambda r, g, b: bytes((b, g, r)), px),
                (b"BG24", lambda r, g, b: bytes((r, g, b)), px),
                (b"XR15", lambda r, g, b: struct.pack("<H", (r >> 3) << 10 | (g >> 3) << 5 | b >> 3), short)):
            self.q.write(self.ADDRESS, b"".join(pack(*p) for p in px))
            self.assertEqual(self.describe(fourcc, 40, 30), 0)
            self.shows(40, 30, rgb(want))

    def test_stride_and_changes(self):
        px = colours(40 * 30)
        for y in range(30):
            self.q.write(self.ADDRESS + 256 * y,
                         b"".join(bytes((b, g, r, 0)) for r, g, b in px[40 * y:40 * y + 40]))
        self.describe(b"XR24", 40, 30, 256)
        self.shows(40, 30, rgb(px))
        px[3 * 40 + 4] = (9, 8, 7)
        self.q.writel(self.ADDRESS + 256 * 3 + 16, 0x090807)
        self.shows(40, 30, rgb(px))

    def test_nonsense(self):
        for args in ((b"????", 10, 10), (b"XR24", 0, 10), (b"XR24", 1 << 20, 10),
                     (b"XR24", 10, 0xffffffff), (b"XR24", 10, 10, 39), (b"XR24", 10, 10, 0xffffffff),
                     (b"XR24", 10, 10, 0, 0xffffffffffffff00), (b"XR24", 10, 10, 0, 0xfee00000)):
            self.assertEqual(self.describe(*args), 0)
            self.dump()


if __name__ == "__main__":
    main()
