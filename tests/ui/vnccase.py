# SPDX-License-Identifier: MIT
"""What tests of the VNC server and of the window share: a machine with a server, clients, a picture in its
frame buffer."""

import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "qtest"), os.path.join(HERE, "..", "guest")]
import rfb                                                          # noqa: E402
from libqtest import QTest                                          # noqa: E402
from screen import Picture                                          # noqa: E402

VGA, LFB = 0x10, 0xe0000000
W, H = 200, 112


class VncCase(unittest.TestCase):
    options = ""
    more = ()
    machine = ("-M", "pc", "-m", "16", "-vga", "std")

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="orrery-vnc-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.path = self.dir + "/vnc"
        self.prepare()
        self.q = QTest([*self.machine, *[m.replace("DIR", self.dir) for m in self.more],
                        *self.vnc_args()])
        self.addCleanup(self.finish)

    def prepare(self):
        """Make what options refer to as DIR."""

    def vnc_args(self):
        return ["-vnc", ("unix:%s/vnc" % self.dir) + self.options.replace("DIR", self.dir)]

    def finish(self):
        status, text = self.q.close()
        self.assertEqual(status, 0, text)

    def connect(self, *encodings, pixel_format=None, **how):
        c = rfb.Client(how.pop("where", self.path), **how)
        self.addCleanup(c.close)
        if pixel_format:
            c.set_format(pixel_format)
        if encodings:
            c.set_encodings(*encodings)
        return c

    def raw(self):
        """A connection that has said nothing yet."""
        c = rfb.Client(self.path, handshake=False)
        self.addCleanup(c.close)
        return c

    def refused(self, **how):
        with self.assertRaises((rfb.Refused, rfb.Closed)):
            self.connect(**how)

    # ---- a picture in the frame buffer ----

    def vbe(self, n, v):
        self.q.outw(0x1ce, n)
        self.q.outw(0x1cf, v)

    def set_mode(self, w, h):
        q = self.q
        q.pci_writel(VGA, 0x10, LFB)
        q.pci_writew(VGA, 4, 3)
        q.inb(0x3da)
        q.outb(0x3c0, 0x20)             # display on
        self.vbe(4, 0)
        for n, v in ((1, w), (2, h), (3, 32), (4, 0x41)):
            self.vbe(n, v)

    def paint(self, w=W, h=H, seed=1):
        """Bands of tiles' height: flat, two colours, few, more, a gradient, noise, a mixture."""
        self.set_mode(w, h)
        r, rows = random.Random(seed), []
        few = [r.randrange(1 << 24) for _ in range(200)]
        for y in range(h):
            row = []
            for x in range(w):
                kind = y // 16 % 7
                if kind == 6:
                    kind = x * 6 // w
                row.append((0x336699, 0xffffff if x * y & 4 else 0, few[(x // 7 + y // 5) % 12],
                            few[(x * x + y) // 3 % 200],
                            (x * 255 // w) << 16 | (y * 255 // h) << 8 | (x + y) & 255,
                            r.randrange(1 << 24))[kind])
            rows.append(struct.pack("<%dI" % w, *row))
        self.pixels = rows
        self.write_rows(0, rows, w)

    def write_rows(self, y, rows, w=W):
        self.q.write(LFB + y * w * 4, b"".join(rows))

    def dump(self):
        path = self.dir + "/s.ppm"
        self.q.qmp("screendump", filename=path)
        return Picture.load(path)

    def as_format(self, data, f):
        """RGB bytes after a round through a pixel format."""
        maxima = f.maxima if f.true else (7, 7, 3)
        tables = []
        for m in maxima:
            tables.append([(v * (m + 1) >> 8) * 255 // m if f.true
                           else (v * (m + 1) >> 8) * 65535 // m >> 8 for v in range(256)])
        return bytes(tables[i % 3][b] for i, b in enumerate(data))

    def same(self, c, expected=None, **how):
        want = expected if expected is not None else self.as_format(self.dump().data, c.format)
        self.assertTrue(c.picture(**how) == want, "the picture is wrong")

    def same_bands(self, c, expected=None):
        """Bands asked for one by one: rectangles with few colours, too."""
        want = expected if expected is not None else self.dump().data
        w, h = c.size
        c.resize(w, h)
        for y in range(0, h, 16):
            c.request(area=(0, y, w, min(16, h - y)))
            c.update()
        self.assertTrue(c.pixels() == want, "the picture is wrong")

    def settles(self, c):
        """Incremental updates lead to what the screendump shows."""
        want = self.dump().data
        c.follow(lambda c: c.pixels() == want)


def make_certificates(folder):
    """An authority, a server's and a client's certificate."""
    def run(*args):
        subprocess.run(["openssl", *args], cwd=folder, check=True, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    run("req", "-x509", *key, "-keyout", "ca-key.pem", "-out", "ca-cert.pem", "-subj", "/CN=Authority")
    for name, cn in (("server", "localhost"), ("client", "somebody")):
        run("req", *key, "-keyout", name + "-key.pem", "-out", name + ".csr", "-subj", "/CN=" + cn)
        with open(folder + "/ext", "w") as f:
            f.write("subjectAltName=DNS:%s\n" % cn)
        run("x509", "-req", "-in", name + ".csr", "-CA", "ca-cert.pem", "-CAkey", "ca-key.pem",
            "-CAcreateserial", "-extfile", "ext", "-out", name + "-cert.pem")
