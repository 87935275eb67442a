#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The VNC server: every encoding and pixel format against a screendump, versions, passwords, TLS,
WebSocket, sharing, keys and pointer, slow and many clients."""

import json
import os
import random
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "qtest"), os.path.join(HERE, "..", "guest")]
import rfb                                                          # noqa: E402
from libqtest import EMULATOR, PATIENCE, OptionTest, QTest # noqa: E402
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


class Encodings(VncCase):
    def test_every_encoding_in_every_format(self):
        self.paint()
        shown = self.dump().data
        for name, f in rfb.FORMATS.items():
            want = self.as_format(shown, f)
            for e in (rfb.RAW, rfb.RRE, rfb.HEXTILE, rfb.ZLIB, rfb.TIGHT, rfb.ZRLE):
                with self.subTest(format=name, encoding=e):
                    c = self.connect(e, pixel_format=f)
                    self.same(c, want)
                    self.same_bands(c, want)    # the streams go on
                    self.assertIn(e, c.seen)
                    c.close()

    def test_tight_filters_and_levels(self):
        self.paint()
        seen = set()
        for level in (0, 1, 6, 9):
            c = self.connect(rfb.TIGHT, -256 + level)
            self.same_bands(c)
            c.set_encodings(rfb.TIGHT, -256 + 9 - level)
            self.same_bands(c)
            seen |= c.seen
        self.assertLessEqual({"tight filter 0", "tight filter 1", "tight filter 2"}, seen)

    def test_wide_picture(self):
        self.paint(2200, 40)
        for e in (rfb.RAW, rfb.TIGHT, rfb.ZRLE, rfb.HEXTILE):
            c = self.connect(e)
            self.assertEqual(c.size, (2200, 40))
            self.same(c)

    def test_no_loss_unless_allowed(self):
        self.paint()
        c = self.connect(rfb.TIGHT, -32)
        self.same(c)
        self.assertNotIn("jpeg", c.seen)

    def test_the_first_encoding_counts(self):
        self.paint()
        c = self.connect(rfb.COPYRECT, rfb.ZRLE, rfb.TIGHT, rfb.RAW)
        self.same(c)
        self.assertEqual(c.seen, {rfb.ZRLE})

    def test_area(self):
        """Only the wanted part comes, in whole tiles."""
        self.paint()
        c = self.connect(rfb.RAW)
        c.request(area=(70, 20, 10, 10))
        c.update()
        self.assertLess(c.bytes, 64 * 32 * 4 + 200)
        got, shown = c.pixels(), self.dump().data
        at = (25 * W + 75) * 3
        self.assertEqual(got[at:at + 15], shown[at:at + 15])

    def test_incremental(self):
        """A change of a few pixels costs a tile, not a picture; no change costs nothing."""
        self.paint()
        c = self.connect(rfb.RAW)
        self.same(c)
        before = c.bytes
        c.request(True)
        self.assertFalse(c.waiting(0.3))
        self.q.writel(LFB + (50 * W + 100) * 4, 0x123456)
        c.update()
        self.assertEqual(c.pixels(), self.dump().data)
        self.assertLess(c.bytes - before, 64 * 16 * 4 + 100)

    def test_many_changes(self):
        self.paint()
        clients = [self.connect(e) for e in (rfb.RAW, rfb.TIGHT, rfb.ZRLE, rfb.HEXTILE)]
        r = random.Random(5)
        for _ in range(6):
            for _ in range(8):
                x, y, n = r.randrange(W - 30), r.randrange(H), r.randrange(1, 30)
                self.q.write(LFB + (y * W + x) * 4, r.randbytes(4 * n))
            for c in clients:
                self.settles(c)

    def test_scrolling_by_copyrect(self):
        self.paint()
        able, unable = self.connect(rfb.COPYRECT, rfb.RAW), self.connect(rfb.RAW)
        for c in (able, unable):
            self.same(c)
        before = able.bytes
        for step in range(1, 4):
            self.pixels = self.pixels[12:] + [bytes([step]) * (4 * W)] * 12
            # at one moment, as far as the server is concerned
            self.write_rows(0, self.pixels)
            self.settles(able)
            self.settles(unable)
        self.assertIn(rfb.COPYRECT, able.seen)
        self.assertNotIn(rfb.COPYRECT, unable.seen)
        self.assertLess(able.bytes - before, unable.bytes / 2)

    def test_resize(self):
        self.paint()
        old, new = self.connect(rfb.RAW, rfb.DESKTOP_SIZE), self.connect(rfb.RAW, rfb.EXT_DESKTOP_SIZE)
        blind = self.connect(rfb.RAW)
        for c in (old, new, blind):
            c.picture()
        for w, h in ((320, 200), (64, 48)):
            self.paint(w, h)
            for c in (old, new):
                c.follow(lambda c: c.size == (w, h))
                self.settles(c)
            self.assertEqual(blind.size, (W, H))
            blind.picture()
        self.assertFalse(old.seen & {rfb.EXT_DESKTOP_SIZE})

    def test_desktop_size_requests(self):
        """A VGA can't follow: the client is told so."""
        self.paint()
        c = self.connect(rfb.RAW, rfb.EXT_DESKTOP_SIZE)
        c.follow(lambda c: c.pseudo)
        e, reason, status, w, h, data = c.pseudo[0]
        self.assertEqual((e, reason, status, w, h), (rfb.EXT_DESKTOP_SIZE, 0, 0, W, H))
        c.pseudo.clear()
        c.send(struct.pack(">BxHHBx", 251, 640, 480, 1) + struct.pack(">IHHHHI", 0, 0, 0, 640, 480, 0))
        c.follow(lambda c: c.pseudo)
        self.assertEqual(c.pseudo[0][1:5], (1, 1, W, H))

    def test_pixel_format_is_told(self):
        self.paint()
        c = self.connect(rfb.RAW, rfb.DESKTOP_SIZE, rfb.WMVI, pixel_format=rfb.FORMATS["rgb565 big"])
        c.picture()
        self.paint(128, 64)
        c.follow(lambda c: c.size == (128, 64))
        self.assertIn(rfb.WMVI, c.seen)
        self.assertTrue(c.format.big and c.format.bpp == 16)


class Lossy(VncCase):
    options = ",lossy=on"

    def test_jpeg(self):
        self.paint()
        c = self.connect(rfb.TIGHT, -32 + 5)
        c.picture()
        if "jpeg" not in c.seen and "CONFIG_JPEG" not in open(
                os.path.join(os.path.dirname(EMULATOR), "config.h")).read():
            self.skipTest("built without libjpeg")
        self.assertIn("jpeg", c.seen)
        for x, y, w, h, data in c.jpegs:
            at = data.index(b"\xff\xc0")        # start of frame: height, width
            self.assertEqual(struct.unpack(">HH", data[at + 5:at + 9]), (h, w))
        before = len(c.jpegs)
        c.resize(*c.size)
        self.settles(c)                     # the same again without loss
        self.assertEqual(len(c.jpegs), before)
        c.set_encodings(rfb.TIGHT)
        self.same(c)


class Protocol(VncCase):
    def test_versions(self):
        self.paint()
        for version in (b"RFB 003.003\n", b"RFB 003.005\n", b"RFB 003.007\n", b"RFB 003.008\n",
                        b"RFB 003.889\n", b"RFB 003.099\n"):
            with self.subTest(version=version):
                # Apple's 3.889 and the unpublished ones speak 3.3
                c = self.raw()
                if version[8:11] in (b"005", b"889"):
                    c.read(12)
                    c.send(version)
                    self.assertEqual(c.u32(), 1)
                    continue
                c.handshake(version, None, True, None)
                c.set_encodings(rfb.RAW)
                self.same(c)
        for version in (b"RFB 004.000\n", b"HTTP/1.1 GET", b"RFB 003.008 "):
            c = self.raw()
            c.read(12)
            c.send(version)
            with self.assertRaises(rfb.Closed):
                c.read(1)

    def test_what_is_no_message(self):
        for data in (b"\x01", b"\x63", b"\0\0\0\0" + bytes(16), b"\xff\x07" + bytes(10),
                     struct.pack(">BxxxI", 6, 0xffffffff)):
            c = self.connect()
            c.send(data)
            with self.assertRaises(rfb.Closed):
                while True:
                    c.read(1)

    def test_cut_text_is_skipped(self):
        self.paint()
        c = self.connect(rfb.RAW)
        c.send(struct.pack(">BxxxI", 6, 100000) + b"x" * 100000 + struct.pack(">BxxxI", 6, 0))
        self.same(c)

    def test_query_and_events(self):
        self.assertEqual(self.q.qmp("query-vnc")["clients"], [])
        c = self.connect()
        info = self.q.qmp("query-vnc")
        self.assertEqual((info["enabled"], info["family"], info["auth"]), (True, "unix", "none"))
        self.assertEqual(len(info["clients"]), 1)
        server = self.q.qmp("query-vnc-servers")[0]
        self.assertEqual((server["id"], server["auth"]), ("default", "none"))
        self.assertEqual(server["server"][0]["service"], self.path)
        self.assertIn("default:", self.q.qmp("human-monitor-command", command_line="info vnc"))
        c.close()
        self.wait_events("VNC_CONNECTED", "VNC_INITIALIZED", "VNC_DISCONNECTED")

    def wait_events(self, *names):
        end = time.monotonic() + 20 * PATIENCE
        while [e["event"] for e in self.q.events if e["event"].startswith("VNC")] != list(names):
            self.assertLess(time.monotonic(), end, self.q.events)
            self.q.qmp("query-vnc")
        e = [e for e in self.q.events if e["event"] == names[-1]][0]["data"]
        self.assertEqual(e["server"]["auth"], "none")
        self.assertEqual(e["client"]["family"], "unix")

    def test_name(self):
        self.assertEqual(self.connect().name, "Orrery")


class FromMonitor(VncCase):
    """What QMP does to a server."""
    options = ",password=on"

    def pass_fd(self, sock, name):
        import array
        line = json.dumps({"execute": "getfd", "arguments": {"fdname": name}}).encode() + b"\n"
        self.q._qmp.sock.sendmsg([line], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [sock.fileno()]))])
        self.assertEqual(json.loads(self.q._qmp.get()), {"return": {}})

    def add_client(self, name="s", **arguments):
        ours, theirs = socket.socketpair()
        self.pass_fd(theirs, name)
        theirs.close()
        self.q.qmp("add_client", protocol="vnc", fdname=name, **arguments)
        return ours

    def test_add_client(self):
        self.paint()
        self.q.qmp("set_password", protocol="vnc", password="secret")
        c = rfb.Client(None, sock=self.add_client(skipauth=True))
        self.addCleanup(c.close)
        self.same(c)
        d = rfb.Client(None, sock=self.add_client(), password="secret")
        self.addCleanup(d.close)
        self.same(d)
        with self.assertRaises((rfb.Refused, rfb.Closed)):
            rfb.Client(None, sock=self.add_client(), password="wrong")

    def test_add_client_refused(self):
        for arguments, words in (({"protocol": "vnc", "fdname": "none"}, "'none'"),
                                 ({"protocol": "spice", "fdname": "a"}, "spice"),
                                 ({"protocol": "vnc", "fdname": "a", "tls": True}, "VeNCrypt")):
            a, b = socket.socketpair()
            self.pass_fd(b, "a")
            b.close()
            r = self.q.qmp_raw("add_client", **arguments)
            self.assertIn(words, r["error"]["desc"])
            self.q.qmp_raw("closefd", fdname="a")
            self.assertEqual(a.recv(1), b"")            # the server keeps no end of it
            a.close()
        self.assertIn("error", self.q.qmp_raw("getfd", fdname="x"))
        self.assertIn("error", self.q.qmp_raw("closefd", fdname="x"))

    def test_other_addresses(self):
        self.paint()
        self.q.qmp("set_password", protocol="vnc", password="secret")
        old = self.connect(password="secret")
        new = self.dir + "/other"
        self.q.qmp("display-update", type="vnc", addresses=[{"type": "unix", "path": new},
                                                           {"type": "inet", "host": "127.0.0.1", "port": "0"}])
        self.same(old)                                  # who is there stays
        places = self.q.qmp("query-vnc-servers")[0]["server"]
        self.assertEqual([p["family"] for p in places], ["unix", "ipv4"])
        self.assertFalse(os.path.exists(self.path))
        self.same(self.connect(where=new, password="secret"))
        self.assertEqual(self.q.qmp("query-vnc")["service"], new)
        r = self.q.qmp_raw("display-update", type="vnc", addresses=[{"type": "unix", "path": "/nonexistent/x"}])
        self.assertIn("error", r)
        self.assertEqual(len(self.q.qmp("query-vnc-servers")[0]["server"]), 2)
        self.assertIn("error", self.q.qmp_raw("display-update", type="vnc", addresses=[{"type": "fd", "str": "3"}]))

    def test_display_options(self):
        self.assertEqual(self.q.qmp("query-display-options"), {"type": "none"})


class Sound(VncCase):
    """The speaker's tone, as clients of QEMU's audio extension hear it."""
    machine = ("-M", "pc,pcspk-audiodev=snd", "-m", "16", "-vga", "std", "-audiodev", "none,id=snd")
    options = ",audiodev=snd"

    def listener(self, fmt=3, channels=2, rate=44100):
        c = self.connect(rfb.RAW, rfb.AUDIO)
        c.picture()
        self.assertIn(rfb.AUDIO, [p[0] for p in c.pseudo])
        c.send(struct.pack(">BBHBBI", 255, 1, 2, fmt, channels, rate))
        c.send(struct.pack(">BBH", 255, 1, 0))
        c.picture()                             # it has been taken
        return c

    def tone(self, ms):
        for port, v in ((0x43, 0xb6), (0x42, 0xa9), (0x42, 4), (0x61, 3)):
            self.q.outb(port, v)
        for _ in range(ms):
            self.q.clock_step(10 ** 6)
        self.q.outb(0x61, 0)
        for _ in range(400):
            self.q.clock_step(10 ** 6)

    def heard(self, c):
        """From "begin" to "end"."""
        while (255, 0, b"") not in c.messages:
            c.message()
        self.assertEqual(c.messages[0], (255, 1, b""))
        return b"".join(m[2] for m in c.messages if m[0] == 255)

    def test_tone(self):
        clients = [self.listener(), self.listener(3, 1, 8000), self.listener(0, 2, 22050)]
        self.tone(200)
        for c, rate, size, code in zip(clients, (44100, 8000, 22050), (4, 2, 2), ("<hh", "<h", "BB")):
            data = self.heard(c)
            self.assertEqual(len(data) % size, 0)
            left = [v[0] - (128 if code == "BB" else 0) for v in struct.iter_unpack(code, data)]
            self.assertGreater(len(left), rate // 6)
            rises = [i for i in range(1, rate * 18 // 100) if left[i - 1] < 0 <= left[i]]
            hz = (len(rises) - 1) * rate / (rises[-1] - rises[0])
            self.assertAlmostEqual(hz, 1193182 / 0x4a9, delta=5)

    def test_only_who_asked(self):
        silent, off = self.connect(rfb.RAW, rfb.AUDIO), self.listener()
        off.send(struct.pack(">BBH", 255, 1, 1))
        off.picture()
        self.tone(50)
        for c in (silent, off):
            c.picture()
            self.assertEqual([m for m in c.messages if m[0] == 255 and m[1] == 2], [])

    def test_slow_listener(self):
        """Sound that is not taken is dropped; the machine and others go on."""
        slow, good = self.listener(5, 2, 192000), self.listener()
        self.tone(3000)
        self.heard(good)

    def test_nonsense(self):
        for message in (struct.pack(">BBHBBI", 255, 1, 2, 9, 2, 44100), struct.pack(">BBHBBI", 255, 1, 2, 3, 7, 44100),
                        struct.pack(">BBHBBI", 255, 1, 2, 3, 2, 1), struct.pack(">BBH", 255, 1, 77)):
            c = self.connect(rfb.RAW, rfb.AUDIO)
            c.send(message)
            with self.assertRaises(rfb.Closed):
                while True:
                    c.message()


class Input(VncCase):
    more = ("-monitor", "vc", "-serial", "vc:40Cx10C")

    def setUp(self):
        super().setUp()
        self.q.outb(0x64, 0x60)
        self.q.outb(0x60, 0x00)             # no translation: set 2 codes as they come
        self.c = self.connect(rfb.RAW)

    def codes(self, n):
        end, got = time.monotonic() + 10 * PATIENCE, []
        while len(got) < n:
            self.assertLess(time.monotonic(), end, got)
            if self.q.inb(0x64) & 1:
                got.append(self.q.inb(0x60))
        return got

    def test_keysyms(self):
        for keysym, make in ((ord("a"), [0x1c]), (ord("!"), [0x16]), (0xff0d, [0x5a]),
                             (0xff51, [0xe0, 0x6b]), (0xffe4, [0xe0, 0x14]), (ord("|"), [0x5d]),
                             (0xffbe, [0x05]), (0xffc9, [0x07]), (0xff8d, [0xe0, 0x5a])):
            self.c.key(keysym, True)
            self.assertEqual(self.codes(len(make)), make, hex(keysym))
            self.c.key(keysym, False)
            self.assertEqual(self.codes(len(make) + 1), [*make[:-1], 0xf0, make[-1]])

    def test_key_codes(self):
        """QEMU's message tells the key: the keysym does not matter."""
        self.c.set_encodings(rfb.RAW, rfb.EXT_KEY)
        self.c.follow(lambda c: rfb.EXT_KEY in c.seen)
        self.c.ext_key(0x7a, 0x15, True)            # z on a German keyboard
        self.assertEqual(self.codes(1), [0x35])
        self.c.ext_key(0x7a, 0x15, False)
        self.assertEqual(self.codes(2), [0xf0, 0x35])
        self.c.ext_key(0, 0xc8, True)               # up
        self.assertEqual(self.codes(2), [0xe0, 0x75])
        self.c.ext_key(0, 0xc8, False)
        self.codes(3)

    def test_keys_are_released_when_the_client_goes(self):
        self.c.key(0xffe1, True)
        self.assertEqual(self.codes(1), [0x12])
        self.c.close()
        self.assertEqual(self.codes(2), [0xf0, 0x12])

    def test_locks_follow(self):
        """A capital without Shift means the client's Caps Lock is on: the guest's is put on."""
        self.c.key(ord("B"), True)
        self.assertEqual(self.codes(4), [0x58, 0xf0, 0x58, 0x32])

    def test_leds(self):
        self.c.set_encodings(rfb.RAW, rfb.LED_STATE)
        self.c.follow(lambda c: any(p[0] == rfb.LED_STATE and p[5] == b"\0" for p in c.pseudo))
        for b in (0xed, 0x06):
            self.q.outb(0x60, b)
            self.codes(1)
        self.c.follow(lambda c: any(p[0] == rfb.LED_STATE and p[5] == b"\6" for p in c.pseudo))

    def mouse_on(self):
        self.q.outb(0x64, 0xd4)
        self.q.outb(0x60, 0xf4)
        self.assertEqual(self.codes(1), [0xfa])

    def test_relative_pointer(self):
        self.mouse_on()
        self.c.pointer(50, 50)                      # where it is; nothing to compare with
        self.c.pointer(60, 45)
        self.assertEqual(self.codes(3), [0x08, 10, 5])
        self.c.pointer(60, 45, 1)
        self.assertEqual(self.codes(3), [0x09, 0, 0])
        self.c.pointer(55, 45, 4)
        self.assertEqual(self.codes(3), [0x1a, 0xfb, 0])

    def test_pointer_type(self):
        """Without an absolute device the client is told to send motion."""
        self.mouse_on()
        self.c.set_encodings(rfb.RAW, rfb.POINTER_TYPE)
        self.c.follow(lambda c: rfb.POINTER_TYPE in c.seen)
        self.assertEqual([p[1] for p in self.c.pseudo if p[0] == rfb.POINTER_TYPE], [0])
        self.c.pointer(0x7fff + 3, 0x7fff - 4)
        self.assertEqual(self.codes(3), [0x08, 3, 4])

    def chord(self, digit):
        for k, down in ((0xffe3, 1), (0xffe9, 1), (digit, 1), (digit, 0), (0xffe9, 0), (0xffe3, 0)):
            self.c.key(k, down)

    def shows(self, text):
        self.c.follow(lambda c: text in Picture(*c.size, c.pixels()).text())

    def test_terminals(self):
        """Ctrl-Alt-2 shows the monitor, 3 the serial port; typing goes there, 1 is the guest."""
        c = self.c
        c.set_encodings(rfb.ZRLE, rfb.DESKTOP_SIZE)
        self.chord(ord("2"))
        self.shows("(qemu)")
        for ch in "info version\b\bon\r":
            c.type(0xff08 if ch == "\b" else 0xff0d if ch == "\r" else ord(ch))
        self.shows("7.2.0 (Orrery")
        self.chord(ord("3"))
        c.follow(lambda c: c.size == (320, 160))
        for b in b"hello":
            self.q.outb(0x3f8, b)
        self.shows("hello")
        c.key(ord("x"), True)
        c.key(ord("x"), False)
        end = time.monotonic() + 10 * PATIENCE
        while not self.q.inb(0x3fd) & 1:
            self.assertLess(time.monotonic(), end)
        self.assertEqual(self.q.inb(0x3f8), ord("x"))
        self.chord(ord("1"))
        c.follow(lambda c: c.size != (320, 160))


class Layout(Input):
    """-k: keysyms of a German keyboard."""
    more = (*Input.more, "-k", "de")

    @classmethod
    def setUpClass(cls):
        with open(os.path.join(os.path.dirname(EMULATOR), "config.h")) as f:
            if "CONFIG_XKBCOMMON" not in f.read():
                raise unittest.SkipTest("built without libxkbcommon")
        if not os.path.exists("/usr/share/X11/xkb/symbols/de"):
            raise unittest.SkipTest("not installed: xkb-data")

    def test_keysyms(self):
        for held, keysym, make in ((None, ord("z"), 0x35), (None, 0xdf, 0x4e), (None, 0xf6, 0x4c),
                                   (0xffe1, ord("/"), 0x3d), (0xffea, ord("@"), 0x15),
                                   (0xffe1, 0xd6, 0x4c), (None, ord("<"), 0x61)):
            if held:
                self.c.key(held, True)
                self.codes(2 if held == 0xffea else 1)
            self.c.key(keysym, True)
            self.assertEqual(self.codes(1), [make], hex(keysym))
            self.c.key(keysym, False)
            self.codes(2)
            if held:
                self.c.key(held, False)
                self.codes(3 if held == 0xffea else 2)


for name in dir(Input):                     # once is enough for what layouts do not change
    if name.startswith("test_") and name != "test_keysyms":
        setattr(Layout, name, None)


class Delays(VncCase):
    options = ",key-delay-ms=60"

    def test_key_delay(self):
        c = self.connect()
        for k in "ab":
            c.key(ord(k), True)
        end = time.monotonic() + 10 * PATIENCE
        while not self.q.inb(0x64) & 1:
            self.assertLess(time.monotonic(), end)
        begin = time.monotonic()
        self.q.inb(0x60)
        while not self.q.inb(0x64) & 1:
            self.assertLess(time.monotonic(), end)
        self.assertGreater(time.monotonic() - begin, 0.01)


class Passwords(VncCase):
    options = ",password=on"

    def test_passwords(self):
        self.assertEqual(self.q.qmp("query-vnc")["auth"], "vnc")
        self.refused(password="")           # none is set: nobody gets in
        self.q.qmp("set_password", protocol="vnc", password="secret")
        self.connect(password="secret")
        self.refused(password="Secret")
        self.refused(password="")
        c = rfb.Client(self.path, version=b"RFB 003.003\n", password="secret")
        self.assertEqual(c.security, rfb.VNC)
        c.close()
        self.refused(version=b"RFB 003.003\n", password="wrong")
        self.refused(version=b"RFB 003.007\n", password="wrong")
        self.q.qmp("change-vnc-password", password="longer than eight")
        self.connect(password="longer th and others")
        self.q.qmp("human-monitor-command", command_line="change vnc password new")
        self.connect(password="new")

    def test_expiry(self):
        self.q.qmp("set_password", protocol="vnc", password="secret")
        for when, good in (("now", False), ("+100", True), ("1", False), ("never", True),
                           ("%d" % (time.time() + 1000), True)):
            self.q.qmp("expire_password", protocol="vnc", time=when)
            if good:
                self.connect(password="secret").close()
            else:
                self.refused(password="secret")
        self.assertIn("error", self.q.qmp_raw("expire_password", protocol="vnc", time="soon"))
        self.assertEqual(self.q.hmp("set_password vnc other -d default keep"), "")
        self.connect(password="other").close()
        self.assertIn("no VNC server", self.q.hmp("set_password vnc more -d nosuch"))
        self.assertEqual(self.q.hmp("expire_password vnc now -d default"), "")
        self.refused(password="other")

    def test_type_not_offered(self):
        c = self.raw()
        c.read(12)
        c.send(b"RFB 003.008\n")
        self.assertEqual(c.read(2), b"\1\2")
        c.send(b"\1")
        self.assertEqual(c.u32(), 1)


class Secrets(VncCase):
    more = ("-object", "secret,id=s,data=geheim")
    options = ",password-secret=s"

    def test_secret(self):
        self.connect(password="geheim")
        self.refused(password="falsch")


class AnonymousTls(VncCase):
    more = ("-object", "tls-creds-anon,id=t,endpoint=server")
    options = ",tls-creds=t"

    def context(self):
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE
        ctx.maximum_version = ssl.TLSVersion.TLSv1_2
        ctx.set_ciphers("AECDH:ADH:@SECLEVEL=0")
        return ctx

    def test_picture(self):
        self.paint()
        c = self.connect(rfb.TIGHT, tls=self.context())
        self.assertEqual(c.subauth, 257)
        self.same(c)
        c = self.connect(rfb.RAW, tls=self.context())
        self.same(c)
        self.assertEqual(self.q.qmp("query-vnc")["auth"], "vencrypt+tls+none")
        self.refused(version=b"RFB 003.003\n")
        c = self.raw()      # nonsense instead of a handshake
        c.read(12)
        c.send(b"RFB 003.008\n")
        c.read(2)
        c.send(b"\x13")
        c.read(2)
        c.send(b"\0\2")
        c.read(6)
        c.send(b"\0\0\1\1")
        c.read(1)
        c.send(b"GET / HTTP/1.0\r\n\r\n" * 10)
        with self.assertRaises(rfb.Closed):
            while True:
                c.read(1)


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


class X509(VncCase):
    more = ("-object", "tls-creds-x509,id=t,endpoint=server,verify-peer=on,dir=DIR")
    options = ",tls-creds=t,password=on"

    def prepare(self):
        if not shutil.which("openssl"):
            self.skipTest("openssl is not installed")
        make_certificates(self.dir)

    def context(self, certificate=True):
        ctx = ssl.create_default_context(cafile=self.dir + "/ca-cert.pem")
        if certificate:
            ctx.load_cert_chain(self.dir + "/client-cert.pem", self.dir + "/client-key.pem")
        return ctx

    def test_certificates_and_password(self):
        self.paint()
        self.q.qmp("set_password", protocol="vnc", password="secret")
        c = self.connect(rfb.ZRLE, tls=self.context(), password="secret")
        self.assertEqual(c.subauth, 261)
        self.same(c)
        self.assertEqual(self.q.qmp("query-vnc")["clients"][0]["x509_dname"], "CN=somebody")
        with self.assertRaises((rfb.Refused, rfb.Closed)):
            self.connect(tls=self.context(), password="wrong")
        with self.assertRaises((rfb.Refused, rfb.Closed, ssl.SSLError)):
            self.connect(tls=self.context(certificate=False), password="secret")
        self.q.qmp("display-reload", type="vnc", tls_certs=True)
        self.connect(tls=self.context(), password="secret")


class WebSocket(VncCase):
    options = ",websocket=0"

    def vnc_args(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        return ["-vnc", "unix:%s/vnc,websocket=127.0.0.1:%d" % (self.dir, self.port)]

    def test_picture(self):
        self.paint()
        where = ("127.0.0.1", self.port)
        for e in (rfb.RAW, rfb.TIGHT):
            self.same(self.connect(e, where=where, websocket=True))
        info = self.q.qmp("query-vnc-servers")[0]["server"]
        self.assertEqual([s["websocket"] for s in info], [False, True])

    def test_frames(self):
        """Messages cut anywhere, pings between them, a goodbye."""
        self.paint()
        c = self.connect(rfb.RAW, where=("127.0.0.1", self.port), websocket=True)
        request = struct.pack(">BBHHHH", 3, 0, 0, 0, W, H)
        for k in range(len(request)):
            c.sock.sendall(c.ws_frame(request[k:k + 1], opcode=2 if k == 0 else 0))
            c.sock.sendall(c.ws_frame(b"are you there", opcode=9))
        for b in c.ws_frame(b""):
            c.sock.sendall(bytes([b]))
        c.update()
        self.assertEqual(c.pixels(), self.dump().data)
        while sum(m[1] == 10 for m in c.messages) < 10:
            c.receive()
        self.assertEqual(c.messages[0], ("ws", 10, b"are you there"))
        c.sock.sendall(c.ws_frame(b"\x03\xe8", opcode=8))
        with self.assertRaises(rfb.Closed):
            while True:
                c.receive()
        self.assertEqual(c.messages[-1], ("ws", 8, b"\x03\xe8"))

    def test_bad_requests(self):
        good = (b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAA\r\n\r\n")
        for data in (b"GET / HTTP/1.0\r\n\r\n", good.replace(b"13", b"8"), b"\r\n\r\n",
                     good.replace(b"GET", b"PUT"), good.replace(b"Upgrade: websocket\r\n", b""),
                     good + b"\x82\x01x", good + b"\xf2\x80\0\0\0\0", good + b"\x89\xfe\1\0" + bytes(260),
                     b"x" * 20000):
            with socket.create_connection(("127.0.0.1", self.port), 20 * PATIENCE) as s:
                try:
                    s.sendall(data)
                    while s.recv(4096):
                        pass
                except ConnectionError:
                    pass
        with socket.create_connection(("127.0.0.1", self.port), 20 * PATIENCE) as s:
            s.sendall(good)
            self.assertIn(b"101", s.recv(100))


class SecureWebSocket(WebSocket):
    more = ("-object", "tls-creds-x509,id=t,endpoint=server,verify-peer=off,dir=DIR")
    test_frames = test_bad_requests = None

    def prepare(self):
        if not shutil.which("openssl"):
            self.skipTest("openssl is not installed")
        make_certificates(self.dir)

    def vnc_args(self):
        args = super().vnc_args()
        args[1] += ",tls-creds=t"
        return args

    def test_picture(self):
        self.paint()
        ctx = ssl.create_default_context(cafile=self.dir + "/ca-cert.pem")
        ctx.check_hostname = False
        c = self.connect(rfb.TIGHT, where=("127.0.0.1", self.port), wss=ctx)
        self.same(c)


class Sharing(VncCase):
    def gone(self, c):
        with self.assertRaises(rfb.Closed):
            while True:
                c.read(1)

    def test_exclusive_sends_others_away(self):
        a, b = self.connect(), self.connect()
        self.connect(shared=False)
        self.gone(a)
        self.gone(b)

    def test_slow_reader(self):
        """It is not queued for without bound, and others are served meanwhile."""
        self.paint(640, 400)
        slow = [self.connect(rfb.RAW) for _ in range(8)]
        before = self.rss()
        for k in range(30):
            for c in slow:
                c.request()
            self.q.memset(LFB, 640 * 400 * 4, k)
            if k % 10 == 0:
                c = self.connect(rfb.TIGHT)
                self.same(c)
                c.close()
        self.assertLess(self.rss() - before, 16 << 20)
        for c in slow:
            self.settles(c)

    def rss(self):
        with open("/proc/%d/statm" % self.q.proc.pid) as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def test_talker(self):
        """Who asks for much and reads nothing is not listened to any more."""
        self.paint()
        c = self.connect(rfb.RAW)
        before = self.rss()
        c.sock.settimeout(2)
        try:
            for _ in range(200):
                c.sock.sendall((b"\0\0\0\0" + rfb.FORMATS["mapped"].pack()) * 200)
        except TimeoutError:
            pass
        self.assertLess(self.rss() - before, 16 << 20)
        self.same(self.connect(rfb.RAW))

    def test_flood(self):
        """Many who connect and say nothing do not keep others out."""
        idle = []
        for _ in range(100):
            s = socket.socket(socket.AF_UNIX)
            s.connect(self.path)
            idle.append(s)
        self.paint()
        self.same(self.connect(rfb.RAW))
        for s in idle:
            s.close()


class ForceShared(Sharing):
    options = ",share=force-shared"
    test_slow_reader = test_flood = test_talker = None

    def test_exclusive_sends_others_away(self):
        a = self.connect(rfb.RAW)
        b = self.raw()
        with self.assertRaises(rfb.Closed):
            b.handshake(b"RFB 003.008\n", None, False, None)
        self.paint()
        a.picture()


class Ignore(Sharing):
    options = ",share=ignore,connections=3"
    test_slow_reader = test_flood = test_talker = None

    def test_exclusive_sends_others_away(self):
        all_ = [self.connect(rfb.RAW, shared=False) for _ in range(3)]
        with self.assertRaises((rfb.Closed, ConnectionError)):
            self.connect()
        self.paint()
        for c in all_:
            c.picture()
        all_[0].close()
        end = time.monotonic() + 10 * PATIENCE
        while len(self.q.qmp("query-vnc")["clients"]) > 2:
            self.assertLess(time.monotonic(), end)
        self.connect()


class PowerControl(VncCase):
    options = ",power-control=on"

    def test_xvp(self):
        c = self.connect(rfb.RAW, rfb.XVP)
        self.assertEqual(c.message(), 250)
        self.assertEqual(c.messages, [(250, b"\0\1\1")])
        for code, event in ((2, "POWERDOWN"), (4, "RESET")):
            c.send(bytes([250, 0, 1, code]))
            end = time.monotonic() + 10 * PATIENCE
            while event not in [e["event"] for e in self.q.events]:
                self.assertLess(time.monotonic(), end)
                self.q.qmp("query-status")
        c.send(bytes([250, 0, 1, 9]))
        self.assertEqual(c.message(), 250)
        self.assertEqual(c.messages[-1], (250, b"\0\1\0"))


class Displays(VncCase):
    """Three servers: two bound to a screen each."""
    more = ("-serial", "vc:40Cx10C", "-chardev", "vc,id=spare")

    def vnc_args(self):
        return [*super().vnc_args(), "-vnc", "unix:%s/second,display=serial0,id=two" % self.dir,
                "-vnc", "unix:%s/third,display=spare,id=three" % self.dir]

    def test_screen_that_goes(self):
        """Who looks at a terminal that is removed sees the first screen from then on."""
        self.paint()
        c = self.connect(rfb.RAW, rfb.DESKTOP_SIZE, where=self.dir + "/third")
        self.assertEqual(c.size, (640, 384))
        c.picture()
        self.q.qmp("chardev-remove", id="spare")
        c.follow(lambda c: c.size == (W, H))
        self.settles(c)

    def test_two_servers(self):
        self.paint()
        for b in b"second":
            self.q.outb(0x3f8, b)
        c = self.connect(rfb.RAW, where=self.dir + "/second")
        self.assertEqual(c.size, (320, 160))
        c.picture()
        self.assertIn("second", Picture(*c.size, c.pixels()).text())
        self.same(self.connect(rfb.RAW))
        ids = {s["id"]: s.get("display") for s in self.q.qmp("query-vnc-servers")}
        self.assertEqual(ids, {"default": None, "two": "serial0", "three": "spare"})


class Reverse(VncCase):
    def vnc_args(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(self.listener.close)
        return ["-vnc", "127.0.0.1:%d,reverse=on" % self.listener.getsockname()[1]]

    def test_reverse(self):
        self.paint()
        s = self.listener.accept()[0]
        c = rfb.Client(None, sock=s)
        self.addCleanup(c.close)
        c.set_encodings(rfb.RAW)
        self.same(c)


class CommandLine(OptionTest):
    def test_refusals(self):
        for words, arg in ((["nonsense", "HOST:D"], "nonsense"), ([":65000"], ":65000"),
                           (["non-adaptive"], ":99,non-adaptive=off"),
                           (["share", "allow-exclusive"], ":99,share=maybe"),
                           (["pasword", "password"], ":99,pasword=on"),
                           (["No TLS credentials"], ":99,tls-creds=x"),
                           (["No secret"], ":99,password-secret=x"),
                           (["display=x"], ":99,display=x"), (["head=1", "display=ID"], ":99,head=1"), (["websocket"], ":99,websocket=q"),
                           (["/nosuch/dir"], "unix:/nosuch/dir/vnc"),
                           (["connections"], ":99,connections=0")):
            with self.subTest(arg=arg):
                self.refused(["-vnc", *words], "-vnc", arg)
        self.refused(["-k", "nosuch"], "-k", "nosuch")
        self.refused(["endpoint=server"], "-object", "tls-creds-anon,id=t", "-vnc", ":99,tls-creds=t")
        self.refused(["ca-cert.pem"], "-object", "tls-creds-x509,id=t,endpoint=server,dir=/nosuch")

    def test_next_free_display(self):
        with socket.socket() as s:
            for port in range(5980, 5999):
                try:
                    s.bind(("127.0.0.1", port))
                    break
                except OSError:
                    continue
            else:
                self.skipTest("no port is free")
            s.listen(1)
            with QTest(["-M", "none", "-vnc", "127.0.0.1:%d,to=99" % (port - 5900)]) as q:
                info = q.qmp("query-vnc")
                self.assertGreater(int(info["service"]), port)
                with rfb.Client(("127.0.0.1", int(info["service"]))) as c:
                    self.assertEqual(c.size, (640, 480))


if __name__ == "__main__":
    unittest.main(verbosity=1)
