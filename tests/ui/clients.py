#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Other people's VNC viewers against our server, under an X server without a screen: what they show
beside a screendump, and that keys and clicks made there arrive.  make check-viewers

Viewers that are not installed are passed over: tigervnc-viewer, gvncviewer, vncsnapshot, and noVNC in
Chromium (novnc, chromium).
"""

import functools
import http.server
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "qtest"), os.path.join(HERE, "..", "guest")]
import rfb                                                          # noqa: E402
import vnccase                                                      # noqa: E402
import test_vnc_sasl                                                # noqa: E402
import xserver                                                      # noqa: E402
from libqtest import PATIENCE                                       # noqa: E402


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Viewer(vnccase.VncCase):
    needs = ()

    def prepare(self):
        gone = [p for p in (*self.needs, "Xvfb", "xdotool") if not shutil.which(p)]
        if gone:
            self.skipTest("not installed: " + " ".join(gone))
        self.x = xserver.XServer()
        self.addCleanup(self.x.close)
        self.x.do("mousemove", self.x.width - 1, self.x.height - 1)

    def vnc_args(self):
        self.port, self.ws_port = free_port(), free_port()
        return ["-vnc", "127.0.0.1:%d,websocket=%d%s" % (self.port - 5900, self.ws_port, self.options)]

    def start(self, *command):
        p = subprocess.Popen(command, env=dict(self.x.env, HOME=self.dir), cwd=self.dir,
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL, start_new_session=True)
        self.addCleanup(self.end, p)
        return p

    @staticmethod
    def end(p):
        try:
            os.killpg(p.pid, 9)
        except ProcessLookupError:
            pass
        p.wait()

    def password_file(self, password):
        """What viewers read: the password enciphered with a key all of them have."""
        fixed = bytes((23, 82, 107, 6, 35, 78, 88, 7))
        key = bytes(int("{:08b}".format(b)[::-1], 2) for b in fixed)
        with open(self.dir + "/passwd", "wb") as f:
            f.write(rfb.des_block(key, password.ljust(8, b"\0")))

    def find(self, picture):
        """Where on the screen the picture is, or None."""
        rows = self.x.screen()
        first = picture.row(1)
        for y in range(len(rows) - picture.height + 1):
            x = rows[y + 1].find(first)
            while x >= 0 and x % 3:
                x = rows[y + 1].find(first, x + 1)
            if x >= 0 and all(rows[y + k][x:x + len(first)] == picture.row(k)
                              for k in range(picture.height)):
                return x // 3, y
        return None

    def shown(self):
        picture = self.dump()
        return self.x.wait("the picture", lambda: self.find(picture))

    def typed(self, at, key, code):
        """The key, pressed over the picture, reaches the keyboard controller."""
        self.q.outb(0x64, 0x60)
        self.q.outb(0x60, 0x00)
        self.x.do("mousemove", at[0] + 20, at[1] + 20)
        place = dict(line.split("=") for line in self.x.do("getmouselocation", "--shell").split())
        self.x.do("windowfocus", place["WINDOW"])
        self.x.do("click", 1)

        def arrived():
            self.x.do("key", key)
            time.sleep(0.2)
            got = []
            while self.q.inb(0x64) & 1:
                got.append(self.q.inb(0x60))
            return code in got
        self.x.wait("the key", arrived)

    def clicked(self, at):
        """A press over the picture reaches the PS/2 mouse as one."""
        self.q.outb(0x64, 0xd4)
        self.q.outb(0x60, 0xf4)
        while self.q.inb(0x64) & 1:
            self.q.inb(0x60)

        def pressed():
            self.x.do("mousemove", at[0] + 25, at[1] + 25)
            self.x.do("mousemove_relative", 3, 2)
            self.x.do("mousedown", 1)
            time.sleep(0.3)
            got = []
            while self.q.inb(0x64) & 1:
                got.append((self.q.inb(0x64), self.q.inb(0x60)))
            self.x.do("mouseup", 1)
            aux = [b for status, b in got if status & 0x20]
            return any(b & 9 == 9 for b in aux[0::3])           # a packet's first byte: left button
        self.x.wait("the click", pressed)

    def watch(self):
        """What changes is shown, too."""
        for seed in (2, 3):
            self.paint(seed=seed)
            at = self.shown()
        return at


class TigerVNC(Viewer):
    needs = ("xtigervncviewer",)

    def look(self, *options):
        self.paint()
        v = self.start("xtigervncviewer", "-Shared", "-AlertOnFatalError=0", *options,
                       "127.0.0.1::%d" % self.port)
        at = self.shown()
        return v, at

    def test_default(self):
        v, at = self.look()
        self.watch()
        self.typed(at, "a", 0x1c)
        self.clicked(at)

    def test_scrolling(self):
        """Moved rows come by CopyRect, and make the same picture."""
        self.paint()
        self.look()
        for step in range(1, 4):
            self.pixels = self.pixels[12:] + [bytes([step]) * (4 * vnccase.W)] * 12
            self.write_rows(0, self.pixels)
            self.shown()

    def test_every_encoding(self):
        for e in ("Tight", "ZRLE", "Hextile", "Raw"):
            with self.subTest(encoding=e):
                v, _ = self.look("-AutoSelect=0", "-PreferredEncoding=" + e, "-NoJPEG=1", "-FullColor=1")
                self.end(v)
                time.sleep(0.3)


class TigerVNCPassword(Viewer):
    needs = ("xtigervncviewer",)
    options = ",password=on"

    def test_password(self):
        self.paint()
        self.q.qmp("set_password", protocol="vnc", password="secret")
        self.password_file(b"secret")
        self.start("xtigervncviewer", "-Shared", "-passwd", self.dir + "/passwd",
                   "127.0.0.1::%d" % self.port)
        self.shown()


class TigerVNCTls(Viewer):
    needs = ("xtigervncviewer", "openssl")
    more = ("-object", "tls-creds-x509,id=t,endpoint=server,verify-peer=off,dir=DIR")
    options = ",tls-creds=t"

    def prepare(self):
        super().prepare()
        vnccase.make_certificates(self.dir)

    def test_certificate(self):
        self.paint()
        self.start("xtigervncviewer", "-Shared", "-SecurityTypes=X509None",
                   "-X509CA=" + self.dir + "/ca-cert.pem", "localhost::%d" % self.port)
        self.shown()


class TigerVNCAnonymousTls(Viewer):
    needs = ("xtigervncviewer",)
    more = ("-object", "tls-creds-anon,id=t,endpoint=server")
    options = ",tls-creds=t,password=on"

    def test_anonymous_with_password(self):
        """TLS without certificates, and a password in it."""
        self.paint()
        self.q.qmp("set_password", protocol="vnc", password="secret")
        self.password_file(b"secret")
        self.start("xtigervncviewer", "-Shared", "-SecurityTypes=TLSVnc", "-passwd", self.dir + "/passwd",
                   "127.0.0.1::%d" % self.port)
        self.shown()


class GtkVNC(Viewer):
    needs = ("gvncviewer",)

    def test_viewer(self):
        self.paint(500, 300)
        self.start("gvncviewer", "127.0.0.1:%d" % (self.port - 5900))
        at = self.shown()
        self.typed(at, "Return", 0x5a)
        self.clicked(at)


class GtkVNCSasl(Viewer):
    """Name and password in its dialog; DIGEST-MD5's layer encrypts what follows."""
    needs = ("gvncviewer", "openbox", "saslpasswd2")
    options = ",sasl=on"

    def prepare(self):
        super().prepare()
        test_vnc_sasl.start_folder(self, "digest-md5")
        self.x.manage()

    def test_sasl(self):
        self.paint(500, 300)
        self.start("gvncviewer", "127.0.0.1:%d" % (self.port - 5900))

        def logged_in():
            found = self.x.do("search", "--onlyvisible", "--name", "Authentication").split()
            if found:
                self.x.do("windowactivate", "--sync", found[0])
                self.x.do("type", "--delay", "50", "fred@here\tsecret\t\t ")     # Cancel, Ok
                time.sleep(1)
            info = self.q.qmp("query-vnc")["clients"]
            return info and info[0].get("sasl_username", "").startswith("fred")
        self.x.wait("the dialog", logged_in)
        at = self.shown()
        self.typed(at, "Return", 0x5a)


class VncSnapshot(Viewer):
    needs = ("vncsnapshot",)
    options = ",password=on"

    def snapshot(self, *more):
        """The picture it saves: RFB 3.3, a JPEG of the best quality."""
        self.q.qmp("set_password", protocol="vnc", password="secret")
        self.password_file(b"secret")
        subprocess.run(["vncsnapshot", "-quiet", "-quality", "100", "-passwd", self.dir + "/passwd", *more,
                        "127.0.0.1:%d" % (self.port - 5900), self.dir + "/s.jpg"],
                       check=True, stdin=subprocess.DEVNULL, timeout=60 * PATIENCE,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with open(self.dir + "/s.jpg", "rb") as f:
            return f.read()

    def test_snapshot(self):
        self.paint(320, 200)
        data = self.snapshot()
        at = data.index(b"\xff\xc0")
        self.assertEqual(struct.unpack(">HH", data[at + 5:at + 9]), (200, 320))
        self.assertGreater(len(data), 20000)

    def test_every_encoding(self):
        """Grey blocks, which JPEG keeps nearly, decoded by other people's decoders pixel by pixel."""
        if not shutil.which("djpeg"):
            self.skipTest("not installed: djpeg (libjpeg-turbo-progs)")
        self.set_mode(320, 200)
        grey = [[(x // 5 * 37 + y // 3 * 91) % 256 if y < 100 else (x + y) % 256 for x in range(320)]
                for y in range(200)]
        self.q.write(vnccase.LFB, b"".join(bytes((v, v, v, 0)) for row in grey for v in row))
        for encoding in ("raw", "rre", "hextile", "zlib", "tight"):
            with self.subTest(encoding=encoding):
                data = self.snapshot("-nojpeg", "-encodings", encoding)
                ppm = subprocess.run(["djpeg", "-pnm", self.dir + "/s.jpg"], check=True, stdout=subprocess.PIPE).stdout
                pixels = ppm.split(b"255\n", 1)[1]
                step = len(pixels) // (320 * 200)
                worst = max(abs(pixels[step * (y * 320 + x)] - grey[y][x]) for y in range(200) for x in range(320))
                self.assertLessEqual(worst, 4)


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


class NoVNC(Viewer):
    needs = ("chromium",)
    pages = "/usr/share/novnc"
    options = ",password=on"

    def test_browser(self):
        if not os.path.exists(self.pages):
            self.skipTest("not installed: novnc")
        server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), functools.partial(QuietHandler, directory=self.pages))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        self.paint(400, 300)
        self.q.qmp("set_password", protocol="vnc", password="secret")
        self.start("chromium", "--no-sandbox", "--user-data-dir=" + self.dir + "/profile",
                   "--disable-gpu", "--no-first-run", "--window-size=1000,700", "--window-position=0,0",
                   "--force-device-scale-factor=1", "--force-color-profile=srgb",
                   "--app=http://127.0.0.1:%d/vnc_lite.html?host=127.0.0.1&port=%d&password=secret&path="
                   % (server.server_port, self.ws_port))
        at = self.shown()
        self.typed(at, "a", 0x1c)
        self.clicked(at)
        for seed in (5, 6):
            self.paint(400, 300, seed)
            self.shown()


if __name__ == "__main__":
    unittest.main(verbosity=2)
