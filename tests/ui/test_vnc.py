#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The VNC server: every encoding and pixel format against a screendump, versions and messages, several
servers and screens, what the monitor says about it."""

import json
import os
import random
import socket
import struct
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "qtest"), os.path.join(HERE, "..", "guest")]
import rfb                                                          # noqa: E402
from libqtest import EMULATOR, OptionTest, PATIENCE, QTest, main    # noqa: E402
from screen import Picture                                          # noqa: E402
from vnccase import H, LFB, VncCase, W                              # noqa: E402


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
        self.assertIn("  Display: serial0\n", self.q.hmp("info vnc"))
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
    main()
