# SPDX-License-Identifier: MIT
"""What tests of cards with a VGA in them share: its registers by number, the palette, a screendump."""

import os

from libqtest import TestCase


class VGACard(TestCase):
    def indexed(self, port, n, v):
        if v is not None:
            self.q.outw(port, n | v << 8)
            return None
        self.q.outb(port, n)
        return self.q.inb(port + 1)

    def seq(self, n, v=None):
        return self.indexed(0x3c4, n, v)

    def gfx(self, n, v=None):
        return self.indexed(0x3ce, n, v)

    def crtc(self, n, v=None):
        return self.indexed(0x3d4, n, v)

    def attr(self, n, v):
        self.q.inb(0x3da)
        self.q.outb(0x3c0, n)
        self.q.outb(0x3c0, v)

    def screen_on(self):
        self.q.inb(0x3da)
        self.q.outb(0x3c0, 0x20)

    def palette(self, first, colors):
        self.q.outb(0x3c8, first)
        for rgb in colors:
            for v in rgb:
                self.q.outb(0x3c9, v)

    def picture(self):
        """Width, height, RGB bytes."""
        path = os.path.join(self.q.dir, "shot.ppm")
        self.q.qmp("screendump", filename=path)
        with open(path, "rb") as f:
            magic, size, _, data = f.read().split(b"\n", 3)
        w, h = map(int, size.split())
        assert magic == b"P6" and len(data) == 3 * w * h
        return w, h, data
