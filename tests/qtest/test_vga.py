#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""VGA: registers, memory access modes, what the modes look like, Bochs VBE, the PCI card."""

import os
import random
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from libqtest import EMULATOR, QTest, main                          # noqa: E402
from vgacard import VGACard                                         # noqa: E402

QEMU = "qemu" in os.path.basename(EMULATOR)
VGA = 0x10                      # PCI function
WINDOW = 0xa0000
TEXT = 0xb8000
LFB, MMIO = 0xe0000000, 0xe2000000

# What a BIOS writes for each mode: misc, sequencer 1-4, CRTC 0-18h, graphics 0-8, attribute 10-13h
CRTC_200 = "2d 27 28 90 2b 80 bf 1f 00 c0 00 00 00 00 00 00 9c 8e 8f 14 00 96 b9 e3 ff"
CRTC_200W = "5f 4f 50 82 54 80 bf 1f 00 c0 00 00 00 00 00 00 9c 8e 8f 28 00 96 b9 e3 ff"
MODES = {
    0x03: (0x67, "00 03 00 02",
           "5f 4f 50 82 55 81 bf 1f 00 4f 0d 0e 00 00 00 00 9c 8e 8f 28 1f 96 b9 a3 ff",
           "00 00 00 00 00 10 0e 0f ff", "0c 00 0f 08"),
    0x04: (0x63, "09 03 00 02",
           "2d 27 28 90 2b 80 bf 1f 00 c1 00 00 00 00 00 00 9c 8e 8f 14 00 96 b9 a2 ff",
           "00 00 00 00 00 30 0f 0f ff", "01 00 03 00"),
    0x06: (0x63, "01 01 00 06",
           "5f 4f 50 82 54 80 bf 1f 00 c1 00 00 00 00 00 00 9c 8e 8f 28 00 96 b9 c2 ff",
           "00 00 00 00 00 00 0d 0f ff", "01 00 01 00"),
    0x0d: (0x63, "09 0f 00 06", CRTC_200, "00 00 00 00 00 00 05 0f ff", "01 00 0f 00"),
    0x12: (0xe3, "01 0f 00 06",
           "5f 4f 50 82 54 80 0b 3e 00 40 00 00 00 00 00 00 ea 8c df 28 00 e7 04 e3 ff",
           "00 00 00 00 00 00 05 0f ff", "01 00 0f 00"),
    0x13: (0x63, "01 0f 00 0e",
           "5f 4f 50 82 54 80 bf 1f 00 41 00 00 00 00 00 00 9c 8e 8f 28 40 96 b9 a3 ff",
           "00 00 00 00 00 40 05 0f ff", "41 00 0f 00"),
}


class VGACase(VGACard):
    args = ["-M", "pc", "-m", "16", "-vga", "std"]

    def setUp(self):
        super().setUp()
        q = self.q
        q.pci_writel(VGA, 0x10, LFB)
        q.pci_writel(VGA, 0x18, MMIO)
        q.pci_writew(VGA, 4, 3)

    def mode(self, n):
        misc, seq, crtc, gfx, attr = MODES[n]
        q = self.q
        q.outb(0x3c2, misc)
        q.outb(0x3c6, 0xff)
        for i, v in enumerate(bytes.fromhex(seq)):
            self.seq(i + 1, v)
        self.crtc(0x11, 0)
        for i, v in enumerate(bytes.fromhex(crtc)):
            self.crtc(i, v)
        for i, v in enumerate(bytes.fromhex(gfx)):
            self.gfx(i, v)
        for i in range(16):
            self.attr(i, i)
        for i, v in enumerate(bytes.fromhex(attr)):
            self.attr(0x10 + i, v)
        # DAC entry n: red n, green 63 - n, blue 2n modulo 64
        self.palette(0, [(n & 63, 63 - (n & 63), 2 * n & 63) for n in range(256)])
        self.screen_on()

    @staticmethod
    def color(n):
        return tuple((v << 2 | (v & 1) * 3) for v in (n & 63, 63 - (n & 63), 2 * n & 63))

    def shot(self):
        w, h, data = self.picture()
        return w, h, lambda x, y: tuple(data[3 * (y * w + x):3 * (y * w + x) + 3])

    def vbe(self, n, v=None):
        self.q.outw(0x1ce, n)
        if v is None:
            return self.q.inw(0x1cf)
        self.q.outw(0x1cf, v)

    def vbe_mode(self, w, h, bpp, flags=0x41):
        self.q.outb(0x3c2, 0x67)
        self.vbe(4, 0)
        for n, v in ((1, w), (2, h), (3, bpp), (4, flags)):
            self.vbe(n, v)
        self.q.outb(0x3c6, 0xff)
        self.screen_on()


class Registers(VGACase):
    def masks(self, index, data, count, skip=()):
        found = []
        for n in range(count):
            self.q.outb(index, n)
            self.q.outb(data, 0xff)
            found.append(self.q.inb(data))
            self.q.outb(data, 0)
        return found

    def test_masks(self):
        self.assertEqual(self.masks(0x3c4, 0x3c5, 5), [0x03, 0x3d, 0x0f, 0x3f, 0x0e])
        self.assertEqual(self.masks(0x3ce, 0x3cf, 9),
                         [0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff])

    def test_color_and_mono_ports(self):
        q = self.q
        q.outb(0x3c2, 0x67)
        self.assertEqual(q.inb(0x3cc), 0x67)
        q.outw(0x3d4, 0x5a0f)
        self.assertEqual((q.inb(0x3d4), q.inb(0x3d5), q.inb(0x3b5)), (0x0f, 0x5a, 0xff))
        q.outb(0x3c2, 0x66)
        self.assertEqual((q.inb(0x3b5), q.inb(0x3d5)), (0x5a, 0xff))

    def test_crtc_protection(self):
        q = self.q
        q.outb(0x3c2, 0x67)
        self.crtc(0x11, 0x80)
        self.crtc(0x02, 0x77)
        self.crtc(0x07, 0xff)
        self.crtc(0x0f, 0x77)
        values = []
        for n in (2, 7, 0x0f):
            q.outb(0x3d4, n)
            values.append(q.inb(0x3d5))
        self.assertEqual(values, [0x00, 0x10, 0x77])

    def test_attribute_flip_flop(self):
        q = self.q
        q.outb(0x3c2, 0x67)
        self.attr(0x13, 0x05)
        q.inb(0x3da)
        q.outb(0x3c0, 0x13)
        self.assertEqual(q.inb(0x3c1), 0x05)
        q.inb(0x3da)
        self.assertEqual(q.inb(0x3c0), 0x13)

    def test_dac(self):
        q = self.q
        self.palette(10, [(1, 2, 3), (4, 5, 6)])
        self.assertEqual(q.inb(0x3c8), 12)
        q.outb(0x3c7, 10)
        self.assertEqual(q.inb(0x3c7), 3)
        self.assertEqual([q.inb(0x3c9) for _ in range(6)], [1, 2, 3, 4, 5, 6])
        q.outb(0x3c8, 0)
        self.assertEqual(q.inb(0x3c7), 0)

    @unittest.skipIf(QEMU, "its status only toggles")
    def test_retrace(self):
        """One vertical retrace a frame of mode 3: 449 lines of 900 dots at 28.322 MHz."""
        q = self.q
        self.mode(3)
        frame = 449 * 900 * 10**9 // 28322000
        start, edges, last = q.clock_step(1000), [], 0
        for t in range(start, start + 3 * frame, 20000):
            q.clock_set(t)
            now = q.inb(0x3da) & 8
            if now and not last:
                edges.append(t)
            last = now
        self.assertEqual(len(edges), 3)
        self.assertAlmostEqual(edges[1] - edges[0], frame, delta=40000)
        # lines outside the picture count as blanking
        q.clock_set(edges[2] + frame)
        self.assertEqual(q.inb(0x3da) & 1, 1)


class Memory(VGACase):
    """The graphics controller, against the formulas of the manual."""

    def setUp(self):
        super().setUp()
        self.mode(0x12)

    def plane(self, n, at):
        self.gfx(4, n)
        return self.q.readb(WINDOW + at)

    def set_planes(self, at, values):
        self.gfx(5, 0)
        for n, v in enumerate(values):
            self.seq(2, 1 << n)
            self.q.writeb(WINDOW + at, v)
        self.seq(2, 15)

    def test_planes_and_map_mask(self):
        self.set_planes(5, [0x11, 0x22, 0x33, 0x44])
        self.assertEqual([self.plane(n, 5) for n in range(4)], [0x11, 0x22, 0x33, 0x44])

    def expect(self, regs, mode, byte, latch):
        """Manual: what the four planes get."""
        turned = (byte >> regs["rotate"] | byte << (8 - regs["rotate"])) & 0xff
        mask, out = regs["mask"], []
        for n in range(4):
            if mode == 0:
                v = turned
                if regs["enable"] >> n & 1:
                    v = 0xff if regs["set"] >> n & 1 else 0
            elif mode == 1:
                out.append(latch[n])
                continue
            elif mode == 2:
                v = 0xff if byte >> n & 1 else 0
            else:
                v = 0xff if regs["set"] >> n & 1 else 0
            m = mask & turned if mode == 3 else mask
            v = [v, v & latch[n], v | latch[n], v ^ latch[n]][regs["function"]]
            out.append((v & m) | (latch[n] & ~m & 0xff))
        return out

    def test_write_modes(self):
        rng = random.Random(1)
        for _ in range(120):
            mode, latch = rng.randrange(4), [rng.randrange(256) for _ in range(4)]
            regs = {"rotate": rng.randrange(8), "function": rng.randrange(4), "set": rng.randrange(16),
                    "enable": rng.randrange(16), "mask": rng.randrange(256)}
            self.gfx(1, 0), self.gfx(3, 0), self.gfx(8, 0xff)
            self.set_planes(0, latch)
            self.set_planes(1, [0, 0, 0, 0])
            self.gfx(0, regs["set"]), self.gfx(1, regs["enable"])
            self.gfx(3, regs["rotate"] | regs["function"] << 3), self.gfx(8, regs["mask"])
            self.gfx(5, mode)
            self.q.readb(WINDOW)                        # fills the latches
            byte, planes = rng.randrange(256), rng.randrange(16)
            self.seq(2, planes)
            self.q.writeb(WINDOW + 1, byte)
            want = self.expect(regs, mode, byte, latch)
            want = [v if planes >> n & 1 else 0 for n, v in enumerate(want)]
            self.gfx(5, 0)
            self.assertEqual([self.plane(n, 1) for n in range(4)], want, (mode, regs, byte))

    def test_read_mode_1(self):
        self.set_planes(7, [0b11110000, 0b11001100, 0b10101010, 0b00000000])
        self.gfx(5, 8)
        for color in range(16):
            for care in (15, 7, 5, 0):
                self.gfx(2, color), self.gfx(7, care)
                want = 0
                for bit in range(8):
                    planes = [0b11110000 >> bit & 1, 0b11001100 >> bit & 1, 0b10101010 >> bit & 1, 0]
                    if all(p == color >> n & 1 for n, p in enumerate(planes) if care >> n & 1):
                        want |= 1 << bit
                self.assertEqual(self.q.readb(WINDOW + 7), want)

    def test_wide_accesses(self):
        self.set_planes(0, [0] * 4)
        self.q.writel(WINDOW + 16, 0x44332211)
        self.assertEqual([self.plane(2, 16 + n) for n in range(4)], [0x11, 0x22, 0x33, 0x44])
        self.assertEqual(self.q.readl(WINDOW + 16), 0x44332211)

    def test_windows(self):
        q = self.q
        self.set_planes(0x100, [0x5a] * 4)
        self.gfx(4, 0)
        for where, base, end in ((1, 0xa0000, 0xb0000), (2, 0xb0000, 0xb8000), (3, 0xb8000, 0xc0000)):
            self.gfx(6, 1 | where << 2)
            self.assertEqual(q.readb(base + 0x100), 0x5a)
            if base > 0xa0000:
                self.assertEqual(q.readb(0xa0100), 0xff)
            if end < 0xc0000:
                self.assertEqual(q.readb(end + 0x100), 0xff)

    def test_odd_even(self):
        q = self.q
        self.mode(3)
        q.write(TEXT, b"A\x07B\x70")
        self.assertEqual(q.read(TEXT, 4), b"A\x07B\x70")
        self.seq(4, 6), self.gfx(5, 0), self.gfx(6, 4)
        self.assertEqual([self.plane(0, 0), self.plane(1, 0)], [0x41, 0x07])

    def test_chain4(self):
        q = self.q
        self.mode(0x13)
        q.write(WINDOW, bytes(range(64)))
        self.assertEqual(q.read(WINDOW, 64), bytes(range(64)))
        self.assertEqual(q.read(LFB, 64), bytes(range(64)))
        # not plain memory any more: the bit mask counts
        self.gfx(8, 0x0f)
        q.readb(WINDOW + 4)
        q.writeb(WINDOW + 4, 0xff)
        self.gfx(8, 0xff)
        self.assertEqual(q.readb(WINDOW + 4), 0xff if QEMU else 0x0f)


class Pictures(VGACase):
    def test_mode_13(self):
        q = self.q
        self.mode(0x13)
        q.write(WINDOW, bytes(range(256)))
        q.write(WINDOW + 320 * 100 + 7, b"\x2a")
        w, h, at = self.shot()
        self.assertEqual((w, h), (640, 400))
        for n in range(256):
            self.assertEqual(at(2 * n, 0), self.color(n))
            self.assertEqual(at(2 * n + 1, 1), self.color(n))
        self.assertEqual(at(14, 200), self.color(0x2a))
        self.assertEqual(at(13, 200), self.color(0))

    def test_changes_are_seen(self):
        q = self.q
        self.mode(0x13)
        self.shot()
        for n in (0, 12345, 63999):
            q.writeb(WINDOW + n, 0x33)
            _, _, at = self.shot()
            self.assertEqual(at(n % 320 * 2, n // 320 * 2), self.color(0x33))
        self.palette(0x33, [(63, 0, 0)])
        _, _, at = self.shot()
        self.assertEqual(at(0, 0), (255, 0, 0))
        q.outb(0x3c6, 0x0f)
        _, _, at = self.shot()
        self.assertEqual(at(0, 0), self.color(3))

    def test_mode_12(self):
        self.mode(0x12)
        for n in range(4):
            self.seq(2, 1 << n)
            self.q.writew(WINDOW, [0xaa, 0xcc, 0xf0, 0x00][n] | [0, 0, 0, 0xff][n] << 8)
        w, h, at = self.shot()
        self.assertEqual((w, h), (640, 480))
        colors = [int(a) | int(b) << 1 | int(c) << 2 for a, b, c in
                  zip("10101010", "11001100", "11110000")]
        self.assertEqual([at(x, 0) for x in range(8)], [self.color(c) for c in colors])
        self.assertEqual(at(8, 0), self.color(8))
        self.attr(0x12, 0x01)                           # only plane 0 counts
        self.screen_on()
        _, _, at = self.shot()
        self.assertEqual([at(x, 0) for x in range(8)], [self.color(c & 1) for c in colors])

    def test_attribute_palette(self):
        self.mode(0x12)
        self.seq(2, 15)
        self.q.writeb(WINDOW, 0xff)
        self.attr(15, 0x3a)
        self.screen_on()
        _, _, at = self.shot()
        self.assertEqual(at(0, 0), self.color(0x3a))
        self.attr(0x14, 0x0e)
        self.attr(0x10, 0x81)                           # bits 5 and 4 come from there too
        self.screen_on()
        _, _, at = self.shot()
        self.assertEqual(at(0, 0), self.color(0xea))

    def test_cga(self):
        q = self.q
        self.mode(4)
        q.write(TEXT, bytes([0b00011011]))
        q.write(TEXT + 0x2000, bytes([0b11100100]))     # second line
        w, h, at = self.shot()
        self.assertEqual((w, h), (640, 400))
        self.assertEqual([at(2 * x, 0) for x in range(4)], [self.color(c) for c in (0, 1, 2, 3)])
        self.assertEqual([at(2 * x, 2) for x in range(4)], [self.color(c) for c in (3, 2, 1, 0)])
        self.mode(6)
        q.write(TEXT, bytes([0b10100000]))
        q.write(TEXT + 0x2000, bytes([0b01000000]))
        w, h, at = self.shot()
        self.assertEqual((w, h), (640, 400))
        self.assertEqual([at(x, 0) for x in range(4)], [self.color(c) for c in (1, 0, 1, 0)])
        self.assertEqual([at(x, 2) for x in range(4)], [self.color(c) for c in (0, 1, 0, 0)])

    def test_mode_x(self):
        """Unchained 256 colours: planes are columns; start address and offset scroll."""
        q = self.q
        self.mode(0x13)
        self.seq(4, 6)
        self.crtc(0x14, 0), self.crtc(0x17, 0xe3), self.crtc(0x13, 0x30)
        for n in range(4):
            self.seq(2, 1 << n)
            q.writeb(WINDOW + 96 + 1, 0x10 + n)
        _, _, at = self.shot()
        self.assertEqual([at(8 + 2 * n, 2) for n in range(4)], [self.color(0x10 + n) for n in range(4)])
        self.crtc(0x0d, 97)
        _, _, at = self.shot()
        self.assertEqual([at(2 * n, 0) for n in range(4)], [self.color(0x10 + n) for n in range(4)])

    @unittest.skipIf(QEMU, "not there before QEMU 8")
    def test_panning(self):
        self.mode(0x12)
        self.seq(2, 15)
        self.q.writeb(WINDOW, 0x10)
        for pan in range(4):
            self.attr(0x13, pan)
            self.screen_on()
            _, _, at = self.shot()
            self.assertEqual([at(x, 0) == self.color(15) for x in range(4)],
                             [x == 3 - pan for x in range(4)])

    def test_split(self):
        q = self.q
        self.mode(0x12)
        self.seq(2, 15)
        q.writeb(WINDOW, 0x80)                          # below the split
        q.writeb(WINDOW + 0x4000, 0xff)                 # above it
        self.crtc(0x0c, 0x40)
        self.crtc(0x07, 0x2e), self.crtc(0x09, 0x00), self.crtc(0x18, 99)
        _, _, at = self.shot()
        self.assertEqual([at(1, 0), at(0, 100), at(1, 100)],
                         [self.color(15), self.color(15), self.color(0)])

    def put_font(self, char, rows):
        self.seq(2, 4), self.seq(4, 6), self.gfx(5, 0), self.gfx(6, 4)
        self.q.write(WINDOW + 32 * char, bytes(rows))
        self.seq(2, 3), self.seq(4, 2), self.gfx(5, 0x10), self.gfx(6, 0x0e)

    def test_text(self):
        q = self.q
        self.mode(3)
        self.crtc(0x0a, 0x20)
        self.put_font(0x41, [0x81] + [0] * 14 + [0xff])
        self.put_font(0xc4, [0x01])
        q.write(TEXT, b"A\x1e\xc4\x07")
        q.write(TEXT + 160, b"A\x2f")
        w, h, at = self.shot()
        self.assertEqual((w, h), (720, 400))
        fg, bg = self.color(0x0e), self.color(1)
        self.assertEqual([at(x, 0) for x in range(9)], [fg] + [bg] * 6 + [fg, bg])
        self.assertEqual([at(x, 15) for x in range(9)], [fg] * 8 + [bg])
        # line characters repeat their last dot
        self.assertEqual([at(9 + x, 0) for x in (6, 7, 8)],
                         [self.color(0), self.color(7), self.color(7)])
        self.assertEqual(at(0, 16), self.color(15))
        self.seq(1, 1)                                  # eight dots
        self.assertEqual(self.shot()[0], 640)

    def test_cursor(self):
        q = self.q
        self.mode(3)
        for n, v in ((0x0a, 13), (0x0b, 14), (0x0e, 0), (0x0f, 81)):
            self.crtc(n, v)
        q.write(TEXT, b" \x07" * 2000)
        seen = set()
        for _ in range(1 if QEMU else 4):
            q.clock_step(16 * 10**9 // 70)
            _, _, at = self.shot()
            rows = tuple(at(9, 16 + y) == self.color(7) for y in (12, 13, 14, 15))
            seen.add(rows)
            self.assertIn(rows, [(False,) * 4, (False, True, True, False)])
        self.assertEqual(len(seen), 1 if QEMU else 2, "it blinks")

    @unittest.skipIf(QEMU, "it shows a bright background instead")
    def test_blink(self):
        q = self.q
        self.mode(3)
        self.crtc(0x0a, 0x20)
        self.put_font(0x41, [0xff])
        q.write(TEXT, b"A\x9e")
        seen = set()
        for _ in range(4):
            q.clock_step(32 * 10**9 // 70)
            seen.add(self.shot()[2](0, 0))
        self.assertEqual(seen, {self.color(0x0e), self.color(1)})
        self.attr(0x10, 0x04)                           # bit 7 is the background's now
        self.screen_on()
        self.assertEqual(self.shot()[2](8, 0), self.color(9))

    def test_two_fonts(self):
        q = self.q
        self.mode(3)
        self.crtc(0x0a, 0x20)
        self.put_font(0x41, [0xff])
        self.seq(3, 0x04)                               # bright characters: the second font
        q.write(TEXT, b"A\x07A\x0f")
        _, _, at = self.shot()
        self.assertEqual([at(0, 0), at(9, 0)], [self.color(7), self.color(0)])

    def test_blank(self):
        q = self.q
        self.mode(0x13)
        q.write(WINDOW, b"\x55" * 64)
        self.shot()
        q.inb(0x3da)
        q.outb(0x3c0, 0)                                # display memory off
        _, _, at = self.shot()
        self.assertEqual(at(0, 0), (0, 0, 0))
        self.screen_on()
        _, _, at = self.shot()
        self.assertEqual(at(0, 0), self.color(0x55))


class VBE(VGACase):
    def test_identity(self):
        self.assertEqual(self.vbe(0), 0xb0c5)
        self.assertEqual(self.vbe(10), 256)
        self.vbe(0, 0xb0c2)
        self.assertEqual(self.vbe(0), 0xb0c2)
        self.vbe(0, 0x1234)
        self.assertEqual(self.vbe(0), 0xb0c2)

    def test_limits(self):
        self.vbe(4, 2)
        self.assertEqual([self.vbe(n) for n in (1, 2, 3)], [16000, 12000, 32])

    def pixel(self, bpp, data, want, flags=0x41):
        self.vbe_mode(320, 200, bpp, flags)
        self.q.write(LFB + 320 * 5 * ((bpp + 7) // 8) + 3 * ((bpp + 7) // 8), data)
        w, h, at = self.shot()
        self.assertEqual((w, h), (320, 200))
        self.assertEqual(at(3, 5), want)
        self.assertEqual(at(2, 5), (0, 0, 0))

    def test_depths(self):
        self.pixel(32, b"\x01\x02\x03\xff", (3, 2, 1))
        self.pixel(24, b"\x01\x02\x03", (3, 2, 1))
        self.pixel(16, b"\x1f\xf8", (255, 0, 255))
        if not QEMU:
            self.pixel(15, b"\x1f\x7c", (255, 0, 255))
            self.pixel(16, b"\x00\x84", (132, 130, 0))

    def test_depth_8(self):
        self.palette(0x77, [(63, 32, 1)])
        self.pixel(8, b"\x77", (255, 128, 7))
        self.palette(0x77, [(255, 32, 1)])
        self.pixel(8, b"\x77", (255, 32, 1), flags=0x61)

    def test_clear(self):
        self.vbe_mode(640, 480, 32)
        self.q.writel(LFB, 0xffffff)
        self.vbe_mode(640, 480, 32, 0xc1)
        self.assertEqual(self.q.readl(LFB), 0xffffff)
        self.vbe_mode(640, 480, 32)
        self.assertEqual(self.q.readl(LFB), 0)

    def test_offset(self):
        self.vbe_mode(640, 480, 32)
        self.vbe(6, 1024)
        self.assertEqual(self.vbe(7), (16 << 20) // 4096)
        self.q.writel(LFB + 4096 * 700 + 4 * 100, 0x123456)
        self.vbe(8, 100), self.vbe(9, 700)
        _, _, at = self.shot()
        self.assertEqual(at(0, 0), (0x12, 0x34, 0x56))

    def test_nonsense_stays_inside(self):
        rng = random.Random(2)
        for _ in range(150):
            for n in rng.sample([1, 2, 3, 6, 8, 9, 5], 4):
                self.vbe(n, rng.choice([0, 1, 7, 8, 24, 100, 640, 0x7fff, 0xffff, rng.randrange(65536)]))
            self.vbe(4, 0xc1 if rng.random() < 0.8 else 0)
            self.q.outb(0x3c2, 0x67)
            self.screen_on()
            size = [self.vbe(n) for n in (1, 2)]
            if size[0] * size[1] < 2000000:
                self.shot()
            self.q.writeb(WINDOW + rng.randrange(0x10000), 1)

    def test_bank(self):
        self.vbe_mode(1024, 768, 8)
        for bank in (0, 3, 11):
            self.vbe(5, bank)
            self.q.writeb(WINDOW + 0x123, 0x40 + bank)
            self.assertEqual(self.q.readb(LFB + (bank << 16) + 0x123), 0x40 + bank)

    def test_planar(self):
        self.vbe_mode(800, 600, 4)
        for i in range(16):
            self.attr(i, i)
        self.attr(0x12, 0x0f)
        self.palette(0, [(n, 0, 0) for n in range(64)])
        self.screen_on()
        self.seq(4, 6), self.seq(2, 4), self.gfx(5, 0), self.gfx(8, 0xff), self.gfx(3, 0), self.gfx(1, 0)
        self.q.writeb(WINDOW + 100, 0x80)
        w, h, at = self.shot()
        self.assertEqual((w, h), (800, 600))
        if not QEMU:
            self.assertEqual((at(0, 1), at(1, 1)), ((16, 0, 0), (0, 0, 0)))


class Card(VGACase):
    def test_mmio(self):
        q = self.q
        self.assertEqual(q.readw(MMIO + 0x500), 0xb0c5)
        q.writew(MMIO + 0x502, 800)
        self.assertEqual(self.vbe(1), 800)
        q.writeb(MMIO + 0x402, 0x67)
        self.assertEqual((q.inb(0x3cc), q.readb(MMIO + 0x40c)), (0x67, 0x67))
        self.assertEqual(q.readl(MMIO + 0x600), 8)

    def test_endianness(self):
        q = self.q
        self.assertEqual(q.readl(MMIO + 0x604), 0x1e1e1e1e)
        q.writel(MMIO + 0x604, 0xbebebebe)
        self.vbe_mode(320, 200, 32)
        q.write(LFB, b"\x00\x11\x22\x33")
        self.assertEqual(self.shot()[2](0, 0), (0x11, 0x22, 0x33))

    def test_edid(self):
        e = self.q.read(MMIO, 128)
        self.assertEqual(e[:8], bytes.fromhex("00ffffffffffff00"))
        self.assertEqual(sum(e) & 0xff, 0)
        d = e[0x36:0x48]
        self.assertEqual((d[2] | d[4] >> 4 << 8, d[5] | d[7] >> 4 << 8), (1280, 800))

    def test_edid_size(self):
        with QTest(["-M", "pc", "-vga", "none", "-device", "VGA,xres=1600,yres=900"]) as q:
            q.pci_writel(VGA, 0x18, MMIO)
            q.pci_writew(VGA, 4, 2)
            d = q.read(MMIO, 128)[0x36:0x48]
            self.assertEqual((d[2] | d[4] >> 4 << 8, d[5] | d[7] >> 4 << 8), (1600, 900))

    def test_isa(self):
        with QTest(["-M", "pc", "-vga", "none", "-device", "isa-vga"]) as q:
            q.outw(0x1ce, 0)
            self.assertEqual(q.inw(0x1cf), 0xb0c5)
            q.writel(LFB, 0x12345678)
            self.assertEqual(q.readl(LFB), 0x12345678)

    @unittest.skipIf(QEMU, "same")
    def test_png(self):
        self.mode(0x13)
        path = os.path.join(self.q.dir, "shot.png")
        reply = self.q.qmp_raw("screendump", filename=path, format="png")
        if "error" in reply:
            self.assertIn("PNG", reply["error"]["desc"])
        else:
            with open(path, "rb") as f:
                self.assertEqual(f.read(24)[16:], bytes.fromhex("0000028000000190"))


if __name__ == "__main__":
    main()
