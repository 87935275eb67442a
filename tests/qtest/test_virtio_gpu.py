#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""virtio-gpu-pci and virtio-vga: pictures, limits, errors, several monitors, saved state."""

import os
import random
import struct
import subprocess
import sys
import tempfile

sys.path[:0] = [os.path.dirname(os.path.abspath(__file__)),
                os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "guest"),
                os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "ui")]
from libqtest import EMULATOR, PATIENCE, QTest, TestCase, main, patiently      # noqa: E402
from screen import Picture                                          # noqa: E402
import gpu                                                          # noqa: E402
from gpu import ERR, ERR_MEMORY, ERR_PARAMETER, ERR_RESOURCE, ERR_SCANOUT, FORMATS, GPU, OK, packed   # noqa: E402
import rfb                                                          # noqa: E402
from virtio import MEM, RINGS, WRITE                                       # noqa: E402

DEVFN = 4 << 3


def colours(n, seed=1):
    r = random.Random(seed)
    return [tuple(r.randbytes(3)) for _ in range(n)]


def rgb(pixels):
    return b"".join(bytes(p) for p in pixels)


def screendump(q, **which):
    with tempfile.TemporaryDirectory() as d:
        q.qmp("screendump", filename=d + "/s.ppm", **which)
        return Picture.load(d + "/s.ppm")


class GPUTest(TestCase):
    options = ""
    args = ["-M", "pc", "-m", "16", "-rtc", "clock=vm", "-vga", "none", "-device"]

    def setUp(self):
        self.args = GPUTest.args + ["virtio-gpu-pci,addr=4,id=g" + self.options]
        super().setUp()
        self.g = GPU(self.q, DEVFN)

    def shows(self, w, h, pixels, **which):
        p = screendump(self.q, **which)
        self.assertEqual((p.width, p.height), (w, h))
        self.assertTrue(p.data == rgb(pixels), "the picture is wrong")


class Pictures(GPUTest):
    def test_identity(self):
        q = self.q
        self.assertEqual(q.pci_readl(DEVFN, 0), 0x10501af4)
        self.assertEqual(q.pci_readl(DEVFN, 8), 0x03800001)
        self.assertEqual(struct.unpack("<4I", self.g.config(0, 16)), (0, 0, 1, 0))
        self.assertEqual(self.g.features & 0xff, gpu.F_EDID)
        self.assertEqual(self.g.display_info(), [(0, 0, 1280, 800)] + [None] * 15)
        e = self.g.edid(0)
        self.assertEqual((e[:8], sum(e) % 256), (b"\0\xff\xff\xff\xff\xff\xff\0", 0))
        self.assertEqual((e[56] | (e[58] & 0xf0) << 4, e[59] | (e[61] & 0xf0) << 4), (1280, 800))
        self.assertIsNone(self.g.edid(1))

    def test_formats(self):
        px = colours(64 * 48)
        for n, format in enumerate(FORMATS):
            self.g.picture(n + 1, 64, 48, format, packed(px, format))
            self.shows(64, 48, px)
            px = px[::-1]

    def test_only_what_is_flushed_and_transferred(self):
        """Another format is converted as far as it was flushed; the transfer's offset counts."""
        g, px = self.g, colours(64 * 64)
        g.picture(1, 64, 64, 67, packed(px, 67))
        self.shows(64, 64, px)
        new = colours(64 * 64, 2)
        self.q.write(0x800000, packed(new, 67))
        self.assertEqual(g.transfer(1, 8, 10, 20, 30, (10 * 64 + 8) * 4), OK)
        self.shows(64, 64, px)
        self.assertEqual(g.flush(1, 0, 20, 64, 10), OK)
        px = [new[k] if 8 <= k % 64 < 28 and 20 <= k // 64 < 30 else px[k] for k in range(64 * 64)]
        self.shows(64, 64, px)

    def test_scattered_backing(self):
        g, px = self.g, colours(100 * 40)
        data, at, entries, r = packed(px), 0x800000, [], random.Random(5)
        while data:
            size = min(len(data), r.choice((1, 3, 4, 255, 1000, 4096)))
            self.q.write(at, data[:size])
            entries.append((at, size))
            data, at = data[size:], at + size + r.randrange(9000)
        self.assertEqual(g.create(9, 100, 40), OK)
        self.assertEqual(g.attach(9, entries), OK)
        self.assertEqual(g.transfer(9, 0, 0, 100, 40), OK)
        self.assertEqual(g.transfer(9, 20, 5, 30, 20, (5 * 100 + 20) * 4), OK)
        self.assertEqual(g.scanout(0, 9, 0, 0, 100, 40), OK)
        self.shows(100, 40, px)

    def test_part_of_a_resource(self):
        for format in (2, 121):
            g, px = self.g, colours(80 * 80, format)
            g.picture(format, 80, 80, format, packed(px, format))
            self.assertEqual(g.scanout(0, format, 10, 20, 33, 44), OK)
            self.shows(33, 44, [px[(y + 20) * 80 + x + 10] for y in range(44) for x in range(33)])
            px[20 * 80 + 10] = (1, 2, 3)
            self.q.write(0x800000, packed(px, format))
            self.assertEqual(g.transfer(format, 0, 0, 80, 80), OK)
            self.assertEqual(g.flush(format, 0, 0, 80, 80), OK)
            self.shows(33, 44, [px[(y + 20) * 80 + x + 10] for y in range(44) for x in range(33)])

    def test_short_backing(self):
        """What has no memory stays as it was: black."""
        g, px = self.g, colours(32 * 32)
        self.q.write(0x800000, packed(px))
        self.assertEqual(g.create(1, 32, 32), OK)
        self.assertEqual(g.attach(1, [(0x800000, 32 * 4 * 10)]), OK)
        for x, y, w, h, offset in ((0, 0, 32, 32, 0), (0, 0, 32, 32, 1 << 63), (0, 0, 31, 31, (1 << 64) - 1)):
            self.assertEqual(g.transfer(1, x, y, w, h, offset), OK)
        self.assertEqual(g.scanout(0, 1, 0, 0, 32, 32), OK)
        self.shows(32, 32, px[:320] + [(0, 0, 0)] * 704)

    def test_gone(self):
        """A resource that goes, and a reset, leave black of the same size."""
        g, px = self.g, colours(40 * 40)
        g.picture(1, 40, 40, 1, packed(px, 1))
        self.shows(40, 40, px)
        self.assertEqual(g.do(gpu.UNREF, "II", 1, 0), OK)
        self.shows(40, 40, [(0, 0, 0)] * 1600)
        g.picture(1, 40, 40, 1, packed(px, 1))
        g.status(0)
        self.shows(40, 40, [(0, 0, 0)] * 1600)
        g = GPU(self.q, DEVFN)
        self.assertEqual(g.flush(1, 0, 0, 1, 1), ERR_RESOURCE)

    def test_fences_and_short_commands(self):
        g = self.g
        self.assertEqual(g.command(gpu.CREATE_2D, struct.pack("<4I", 1, 2, 32, 32), fence=0x123456789ab)[0], OK)
        for kind in (*range(0x100, 0x110), 0x200, 0x207, 0x300, 0x301, 0, 0xffffffff):
            for size in (0, 1, 7, 8, 16, 24):
                answer = g.command(kind, b"\xff" * size, fence=size)[0]
                self.assertTrue(answer >= ERR or kind == gpu.GET_DISPLAY_INFO, (kind, size))
        for size in range(24):
            self.assertEqual(g.run(0, [b"\0" * size] if size else [], [24])[1], 24)
        self.assertEqual(g.run(0, [struct.pack("<IIQII", gpu.GET_DISPLAY_INFO, 0, 0, 0, 0)], [3, 1, 5]), (struct.pack(
            "<I", gpu.OK_DISPLAY_INFO) + bytes(5), 9))
        for body in (b"", b"\0" * 56, struct.pack("<I", gpu.UPDATE_CURSOR) + bytes(20),
                     struct.pack("<IIQII8I", gpu.UPDATE_CURSOR, 0, 0, 0, 0, 77, 1, 2, 0, 5, 0, 0, 0)):
            g.run(1, [body] if body else [], [] if body else [8])

    def test_storm(self):
        """Costly commands by the dozen do not keep everything else waiting: they come in turns."""
        g = self.g
        self.assertEqual(g.create(1, 1000, 1000), OK)
        self.assertEqual(g.attach(1, [(0x800000, 400)] * 10000), OK)
        ring = g.queues[0]
        body = struct.pack("<IIQII4IQII", gpu.TRANSFER, 0, 0, 0, 0, 0, 0, 1000, 1000, 0, 1, 0)
        at, room = g.alloc(len(body), body), g.alloc(64)
        for _ in range(32):
            ring.add([(at, len(body), 0), (room, 24, WRITE)])
        g.kick(0)
        for _ in patiently():
            if self.q.readw(ring.device + 2) - ring.used == 32:
                break
            g.kick(0)                           # does not make it sooner
            self.q.clock_step(1000)
        self.assertEqual(self.q.readl(room), OK)
        ring.used += 32
        self.assertEqual(g.transfer(1, 0, 0, 1000, 1000), OK)

    def test_saved(self):
        """Another machine that loads the state shows the same and goes on."""
        g, px = self.g, colours(64 * 64)
        for format in (1, 67):
            g.picture(format, 64, 64, format, packed(px, format))
        self.assertEqual(g.scanout(0, 67, 1, 2, 50, 40), OK)
        g.cursor(0, 20, 30, 1, (3, 4))
        state = self.q.command_line("vmstate_save")
        with QTest(self.args) as other:
            other.command_line("vmstate_load " + state)
            p = screendump(other)
            self.assertEqual(p.data, screendump(self.q).data)
            self.assertEqual(p.data, rgb(px[(y + 2) * 64 + x + 1] for y in range(40) for x in range(50)))
            self.assertEqual(other.command_line("vmstate_save"), state)
            other.write(RINGS, self.q.read(RINGS, 0x20000))     # memory travels apart
            g.q = other
            for ring in g.queues.values():
                ring.q = other
            other.write(0x800000, bytes(64 * 64 * 4))
            self.assertEqual(g.transfer(67, 0, 0, 64, 64), OK)
            self.assertEqual(g.flush(67, 0, 0, 64, 64), OK)
            self.assertEqual(screendump(other).colours(), {b"\0\0\0"})


class Errors(GPUTest):
    options = ",max_hostmem=1M"

    def test_resources(self):
        g = self.g
        self.assertEqual(g.create(0, 32, 32), ERR_RESOURCE)
        self.assertEqual(g.create(1, 32, 32), OK)
        self.assertEqual(g.create(1, 32, 32), ERR_RESOURCE)
        for w, h, format in ((32, 32, 0), (32, 32, 5), (0, 32, 2), (32, 0, 2), (1 << 31, 2, 2),
                             (0xffffffff, 0xffffffff, 2)):
            self.assertEqual(g.create(2, w, h, format), ERR_PARAMETER)
        self.assertEqual(g.create(2, 1 << 16, 1 << 16), ERR_MEMORY)
        self.assertEqual(g.create(2, 1 << 20, 1 << 20), ERR_MEMORY)
        self.assertEqual(g.create(2, 512, 512), ERR_MEMORY)     # all there is, but one is there
        self.assertEqual(g.create(2, 512, 508), OK)
        self.assertEqual(g.create(3, 64, 64), ERR_MEMORY)
        self.assertEqual(g.do(gpu.UNREF, "II", 2, 0), OK)
        self.assertEqual(g.do(gpu.UNREF, "II", 2, 0), ERR_RESOURCE)
        self.assertEqual(g.create(3, 64, 64), OK)
        self.assertEqual(g.do(gpu.CREATE_BLOB, "4IQQ", 4, 1, 0, 0, 0, 4096), ERR)

    def test_many_small_ones(self):
        """Each resource has its price, so that their number is limited."""
        n = next(n for n in range(1, 1 << 16) if self.g.create(n, 1, 1) != OK)
        self.assertIn(n, range(1000, 4000))

    def test_backing(self):
        g = self.g
        self.assertEqual(g.create(1, 64, 64), OK)
        self.assertEqual(g.transfer(1, 0, 0, 64, 64), ERR)
        self.assertEqual(g.do(gpu.DETACH, "II", 1, 0), ERR)
        self.assertEqual(g.do(gpu.DETACH, "II", 2, 0), ERR_RESOURCE)
        self.assertEqual(g.attach(2, [(0x800000, 4096)]), ERR_RESOURCE)
        for bad in ([(0xa0000000, 4096)], [(MEM, 64)], [(0xfffffffffffff000, 0x2000)], [(0xffffffffffffffff, 1)],
                    [(0x800000, 0xffffffff)], [(0xfff000, 0x1001)], [(0x800000, 16), (0xfee00000, 4)]):
            self.assertEqual(g.attach(1, bad), ERR, bad)
        self.assertEqual(g.do(gpu.ATTACH, "II", 1, 16385, extra=bytes(16)), ERR)
        self.assertEqual(g.do(gpu.ATTACH, "II", 1, 0xffffffff, extra=bytes(16)), ERR)
        self.assertEqual(g.do(gpu.ATTACH, "II", 1, 2, extra=struct.pack("<QII", 0x800000, 1, 0)), ERR)
        self.assertEqual(g.attach(1, [(0x800000, 0x4000)]), OK)
        self.assertEqual(g.attach(1, [(0x800000, 0x4000)]), ERR)
        for x, y, w, h in ((0, 0, 65, 64), (0, 0, 64, 65), (64, 0, 1, 1), (0xffffffff, 0, 2, 1),
                           (1, 1, 0xffffffff, 0xffffffff)):
            self.assertEqual(g.transfer(1, x, y, w, h), ERR_PARAMETER)
            self.assertEqual(g.flush(1, x, y, w, h), ERR_PARAMETER)
        self.assertEqual(g.do(gpu.DETACH, "II", 1, 0), OK)

    def test_memory_that_goes(self):
        """Without bus mastering no memory is there; nothing is read, nothing breaks."""
        g, px = self.g, colours(32 * 32)
        g.picture(1, 32, 32, 2, packed(px))
        # what lies behind a chip's window is hidden from DMA when PAM switches it off
        self.assertEqual(g.create(2, 32, 32), OK)
        self.assertEqual(g.attach(2, [(0xe0000, 4096)]), OK)
        self.q.pci_writeb(0, 0x5e, 0x33)
        self.assertEqual(g.transfer(2, 0, 0, 32, 32), OK)
        self.shows(32, 32, px)

    def test_scanouts(self):
        g = self.g
        g.create(1, 64, 64)
        self.assertEqual(g.scanout(1, 1, 0, 0, 64, 64), ERR_SCANOUT)
        self.assertEqual(g.scanout(0xffffffff, 0, 0, 0, 64, 64), ERR_SCANOUT)
        self.assertEqual(g.scanout(0, 2, 0, 0, 64, 64), ERR_RESOURCE)
        for x, y, w, h in ((0, 0, 65, 64), (1, 0, 64, 64), (0, 0, 15, 64), (0, 0, 64, 15), (0xfffffff0, 0, 32, 32)):
            self.assertEqual(g.scanout(0, 1, x, y, w, h), ERR_PARAMETER)
        self.assertEqual(g.scanout(0, 0, 0, 0, 0, 0), OK)

    def test_refused(self):
        for option, word in (("max_outputs=0", "max_outputs"), ("max_outputs=17", "max_outputs"),
                             ("xres=100", "xres"), ("max_hostmem=100G", "max_hostmem")):
            p = subprocess.run([EMULATOR, "-accel", "qtest", "-display", "none", *GPUTest.args,
                                "virtio-gpu-pci," + option], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               timeout=60 * PATIENCE)
            self.assertEqual((p.returncode, p.stdout.count("\n")), (1, 1), p.stdout)
            self.assertIn(word, p.stdout)


class Blobs(GPUTest):
    options = ",blob=on"

    def blob(self, n, size, entries):
        return self.g.do(gpu.CREATE_BLOB, "4IQQ", n, 1, 0, len(entries), 0, size,
                         extra=b"".join(struct.pack("<QII", a, s, 0) for a, s in entries))

    def show(self, n, w, h, format, stride, offset, part=None):
        return self.g.do(gpu.SET_SCANOUT_BLOB, "4I II 3I I 4I 4I", *(part or (0, 0, w, h)), 0, n,
                         w, h, format, 0, stride, 0, 0, 0, offset, 0, 0, 0)

    def test_picture(self):
        self.assertTrue(self.g.features & gpu.F_BLOB)
        for format in (2, 134):
            px = colours(64 * 50, format)
            data = packed(px, format)
            lines = b"".join(data[256 * y:256 * y + 256] + b"\xee" * 64 for y in range(50))
            self.q.write(0x800000, b"\xee" * 16 + lines)
            self.assertEqual(self.blob(format, 0x8000, [(0x800000, 0x4321), (0x804321, 0x8000)]), OK)
            self.assertEqual(self.show(format, 64, 50, format, 320, 16), OK)
            self.shows(64, 50, px)
            self.q.write(0x800000, bytes(0x8000))
            self.assertEqual(self.g.flush(format, 10, 10, 20, 5), OK)
            px = [(0, 0, 0) if 10 <= k % 64 < 30 and 10 <= k // 64 < 15 else p for k, p in enumerate(px)]
            self.shows(64, 50, px)
            self.assertEqual(self.show(format, 64, 50, format, 320, 16, (4, 4, 20, 20)), OK)
            self.shows(20, 20, [(0, 0, 0)] * 400)
            self.assertEqual(self.g.do(gpu.UNREF, "II", format, 0), OK)

    def test_errors(self):
        g = self.g
        self.assertEqual(self.blob(0, 4096, [(0x800000, 4096)]), ERR_RESOURCE)
        self.assertEqual(self.blob(1, 0, [(0x800000, 4096)]), ERR_PARAMETER)
        self.assertEqual(self.blob(1, 4096, [(0xa0000000, 4096)]), ERR)
        self.assertEqual(g.do(gpu.CREATE_BLOB, "4IQQ", 1, 2, 0, 0, 0, 4096), ERR_PARAMETER)
        self.assertEqual(self.blob(1, 1 << 62, [(0x800000, 4096)]), OK)
        self.assertEqual(self.blob(2, 4096, [(0x800000, 4096)]), OK)
        self.assertEqual(self.show(2, 32, 32, 2, 128, 0), OK)
        for w, h, format, stride, offset in ((32, 32, 2, 128, 1), (32, 33, 2, 128, 0), (32, 32, 2, 127, 0),
                                             (32, 32, 2, 124, 0), (32, 32, 9, 128, 0), (0xffffffff, 1, 2, 4, 0),
                                             (0, 0, 2, 128, 0)):
            self.assertEqual(self.show(2, w, h, format, stride, offset), ERR_PARAMETER)
        self.assertEqual(self.show(1, 1 << 30, 1 << 30, 2, 0xfffffffc, 0, (0, 0, 16384, 16384)), ERR_PARAMETER)
        self.assertEqual(self.show(1, 1 << 29, 1 << 20, 2, 0xfffffffc, 0, (0, 0, 16384, 16384)), ERR_MEMORY)
        self.assertEqual(self.show(1, 1 << 29, 1 << 20, 2, 0xfffffffc, 0, ((1 << 29) - 32, 99, 32, 32)), OK)
        self.assertEqual(g.flush(1, 0, 0, 0xffffffff, 0xffffffff), OK)
        self.assertEqual(g.scanout(0, 2, 0, 0, 32, 32), ERR_RESOURCE)
        self.assertEqual(g.transfer(2, 0, 0, 1, 1), OK)


class Monitors(GPUTest):
    options = ",max_outputs=3,xres=1000,yres=700"

    def setUp(self):
        self.sockets = tempfile.TemporaryDirectory()
        self.addCleanup(self.sockets.cleanup)
        GPUTest.setUp(self)

    def test_pictures(self):
        a, b = colours(32 * 32), colours(48 * 20, 2)
        self.g.picture(1, 32, 32, 2, packed(a))
        self.g.picture(2, 48, 20, 2, packed(b), head=2)
        self.shows(32, 32, a)
        self.shows(32, 32, a, device="g")
        self.shows(48, 20, b, device="g", head=2)
        self.assertEqual(self.g.scanout(1, 2, 0, 0, 16, 16), OK)
        self.shows(16, 16, [b[y * 48 + x] for y in range(16) for x in range(16)], device="g", head=1)
        path = self.sockets.name + "/shot.png"
        self.q.qmp("screendump", filename=path, format="png", device="g", head=2)
        with open(path, "rb") as f:
            png = f.read()
        self.assertEqual((png[:8], struct.unpack(">II", png[16:24])), (b"\x89PNG\r\n\x1a\n", (48, 20)))
        self.q.hmp("screendump %s g 2" % path)
        self.assertEqual(Picture.load(path).data, rgb(b))
        self.assertEqual(self.g.do(gpu.UNREF, "II", 2, 0), OK)
        self.shows(48, 20, [(0, 0, 0)] * 960, device="g", head=2)
        self.shows(32, 32, a)


class Window(TestCase):
    """What a front end tells the device, and what it shows of it."""

    def setUp(self):
        self.sockets = tempfile.TemporaryDirectory()
        self.addCleanup(self.sockets.cleanup)
        path = self.sockets.name
        self.args = GPUTest.args + ["virtio-gpu-pci,addr=4,id=g,max_outputs=2,xres=640,yres=480",
                                    "-vnc", "unix:%s/0" % path, "-vnc", "unix:%s/1,display=g,head=1" % path]
        super().setUp()
        self.g = GPU(self.q, DEVFN)

    def client(self, n, *encodings):
        c = rfb.Client("%s/%d" % (self.sockets.name, n))
        self.addCleanup(c.close)
        c.set_encodings(rfb.RAW, rfb.EXT_DESKTOP_SIZE, *encodings)
        return c

    def test_second_monitor_is_there(self):
        """The server that shows it is its cable; it stands to the right of the first."""
        self.assertEqual(self.g.display_info()[:3], [(0, 0, 640, 480), (640, 0, 640, 480), None])

    def test_picture_reaches_the_client(self):
        px = colours(200 * 100)
        self.g.picture(1, 200, 100, 2, packed(px))
        self.g.picture(2, 200, 100, 67, packed(px[::-1], 67), head=1)
        for n, want in ((0, px), (1, px[::-1])):
            c = self.client(n)
            c.request()
            c.follow(lambda c: c.size == (200, 100) and c.pixels() == rgb(want))
            want[200 * 50 + 50] = (9, 8, 7)
            self.q.write(0x800000, packed(want, (2, 67)[n]))
            self.assertEqual(self.g.transfer(n + 1, 0, 0, 200, 100), OK)
            self.assertEqual(self.g.flush(n + 1, 50, 50, 1, 1), OK)
            c.follow(lambda c: c.pixels() == rgb(want))

    def test_resize(self):
        """A client that asks for another size: the driver is told, the EDID follows."""
        g = self.g
        self.assertEqual(struct.unpack("<I", g.config(0, 4))[0] & ~1, 0)
        g.set_config(4, struct.pack("<I", 1))
        self.assertEqual(g.config(0, 8), bytes(8))
        generation = self.q.readb(MEM + 0x15)
        c = self.client(1)
        c.send(struct.pack(">BxHHBx", 251, 801, 603, 1) + struct.pack(">IHHHHI", 0, 0, 0, 801, 603, 0))
        for _ in patiently():
            if g.config(0, 1) == b"\1":
                break
        self.assertNotEqual(self.q.readb(MEM + 0x15), generation)
        self.assertTrue(g.isr() & 2)
        self.assertEqual(g.display_info()[:3], [(0, 0, 640, 480), (640, 0, 801, 603), None])
        e = g.edid(1)
        self.assertEqual((e[56] | (e[58] & 0xf0) << 4, e[59] | (e[61] & 0xf0) << 4), (801, 603))
        g.set_config(4, struct.pack("<I", 1))
        c.send(struct.pack(">BxHHBx", 251, 5120, 1440, 1) + struct.pack(">IHHHHI", 0, 0, 0, 5120, 1440, 0))
        for _ in patiently():
            if g.config(0, 1) == b"\1":
                break
        self.assertEqual(g.display_info()[1], (640, 0, 5120, 1440))
        e = g.edid(1)                               # beyond 4095: in a DisplayID block
        self.assertEqual((len(e), e[0x7e], sum(e[:128]) % 256, sum(e[128:]) % 256), (256, 1, 0, 0))
        self.assertEqual((e[128], sum(e[129:255]) % 256, e[133], e[135]), (0x70, 0, 3, 20))
        self.assertEqual(struct.unpack("<H", e[140:142]) + struct.unpack("<H", e[148:150]), (5119, 1439))

    def test_cursor(self):
        g, r = self.g, random.Random(7)
        shape = [(r.randrange(256), r.randrange(256), r.randrange(256), r.choice((0, 255))) for _ in range(4096)]
        self.q.write(0x800000, b"".join(bytes((b, g_, r_, a)) for r_, g_, b, a in shape))
        self.assertEqual(g.create(1, 64, 64, 1), OK)
        self.assertEqual(g.attach(1, [(0x800000, 16384)]), OK)
        self.assertEqual(g.transfer(1, 0, 0, 64, 64), OK)
        g.cursor(1, 100, 50, 1, (5, 6))
        c = self.client(1, rfb.CURSOR)
        c.request()
        c.follow(lambda c: any(p[0] == rfb.CURSOR and p[3] == 64 for p in c.pseudo))
        _, x, y, w, h, data = [p for p in c.pseudo if p[0] == rfb.CURSOR][-1]
        self.assertEqual((x, y, w, h), (5, 6, 64, 64))
        mask = data[4 * 4096:]
        for k, (red, green, blue, alpha) in enumerate(shape):
            opaque = mask[k // 64 * 8 + k % 64 // 8] >> (7 - k % 8) & 1
            self.assertEqual(opaque, alpha >> 7)
            if opaque:
                self.assertEqual(data[4 * k:4 * k + 3], bytes((blue, green, red)))
        # nothing that is no cursor breaks anything
        for head, n in ((0, 99), (2, 1), (0xffffffff, 1), (1, 0)):
            g.cursor(head, 0xffffffff, 0xffffffff, n, (0xffffffff, 0xffffffff))
        self.assertEqual(g.create(2, 32, 32), OK)
        g.cursor(1, 0, 0, 2)
        g.cursor(1, 10, 10)


class Card(TestCase):
    """virtio-vga: a VGA until a driver shows something."""
    args = ["-M", "pc", "-m", "16", "-vga", "none", "-device", "virtio-vga,addr=4", "-rtc", "clock=vm"]

    def test_identity(self):
        q = self.q
        self.assertEqual(q.pci_readl(DEVFN, 0), 0x10501af4)
        self.assertEqual(q.pci_readl(DEVFN, 8), 0x03000001)
        self.assertEqual([q.pci_bar(DEVFN, n) and q.pci_bar(DEVFN, n)[1] for n in (0, 2, 4)],
                         [8 << 20, 0x4000, 0x1000])
        q.pci_writel(DEVFN, 0x30, 0xffffffff)
        self.assertNotEqual(q.pci_readl(DEVFN, 0x30), 0)

    def test_both_sides(self):
        q = self.q
        g = GPU(q, DEVFN, vga=True)
        q.pci_writel(DEVFN, 0x10, 0xe0000000)
        q.writew(MEM + 0x500, 0xb0c5)               # dispi registers in memory
        for n, v in ((1, 64), (2, 48), (3, 32), (4, 0x41)):
            q.writew(MEM + 0x500 + 2 * n, v)
        q.outb(0x3c2, 0x67)
        q.inb(0x3da)
        q.outb(0x3c0, 0x20)
        a, b = colours(64 * 48), colours(50 * 60, 2)
        q.write(0xe0000000, packed(a))
        self.assertEqual(screendump(q).data, rgb(a))
        g.picture(1, 50, 60, 2, packed(b))
        self.assertEqual(screendump(q).data, rgb(b))
        q.write(0xe0000000, bytes(64 * 48 * 4))
        self.assertEqual(screendump(q).data, rgb(b))
        state = q.command_line("vmstate_save")
        with QTest(self.args) as other:
            other.command_line("vmstate_load " + state)
            self.assertEqual(screendump(other).data, rgb(b))
        g.status(0)
        self.assertEqual(screendump(q).data, bytes(64 * 48 * 3))
        q.write(0xe0000000, packed(a))
        self.assertEqual(screendump(q).data, rgb(a))
        GPU(q, DEVFN, vga=True).picture(1, 50, 60, 2, packed(b))
        self.assertEqual(screendump(q).data, rgb(b))
        q.qmp("system_reset")
        q.command_line("clock_step")
        self.assertEqual(screendump(q).colours(), {bytes(3)})


if __name__ == "__main__":
    main()
