#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Other people's VNC viewers against our server, under an X server without a screen: what they show
beside a screendump, and that keys typed there arrive.  make check-viewers

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
import test_vnc                                                     # noqa: E402
import xserver                                                      # noqa: E402
from libqtest import PATIENCE                                       # noqa: E402


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Viewer(test_vnc.VncCase):
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
        # the file of viewers: the password enciphered with a key all of them have
        import rfb
        fixed = bytes((23, 82, 107, 6, 35, 78, 88, 7))
        key = bytes(int("{:08b}".format(b)[::-1], 2) for b in fixed)
        with open(self.dir + "/passwd", "wb") as f:
            f.write(rfb.des_block(key, b"secret\0\0"))
        self.start("xtigervncviewer", "-Shared", "-passwd", self.dir + "/passwd",
                   "127.0.0.1::%d" % self.port)
        self.shown()


class TigerVNCTls(Viewer):
    needs = ("xtigervncviewer", "openssl")
    more = ("-object", "tls-creds-x509,id=t,endpoint=server,verify-peer=off,dir=DIR")
    options = ",tls-creds=t"

    def prepare(self):
        super().prepare()
        test_vnc.make_certificates(self.dir)

    def test_certificate(self):
        self.paint()
        self.start("xtigervncviewer", "-Shared", "-SecurityTypes=X509None",
                   "-X509CA=" + self.dir + "/ca-cert.pem", "localhost::%d" % self.port)
        self.shown()


class GtkVNC(Viewer):
    needs = ("gvncviewer",)

    def test_viewer(self):
        self.paint(500, 300)
        self.start("gvncviewer", "127.0.0.1:%d" % (self.port - 5900))
        at = self.shown()
        self.typed(at, "Return", 0x5a)


class VncSnapshot(Viewer):
    needs = ("vncsnapshot",)

    def test_snapshot(self):
        """RFB 3.3, and a JPEG of the right size."""
        self.paint(320, 200)
        subprocess.run(["vncsnapshot", "-quiet", "-quality", "100", "127.0.0.1:%d" % (self.port - 5900),
                        self.dir + "/s.jpg"], check=True, stdin=subprocess.DEVNULL, timeout=60 * PATIENCE,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with open(self.dir + "/s.jpg", "rb") as f:
            data = f.read()
        at = data.index(b"\xff\xc0")
        self.assertEqual(struct.unpack(">HH", data[at + 5:at + 9]), (200, 320))
        self.assertGreater(len(data), 20000)


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


class NoVNC(Viewer):
    needs = ("chromium",)
    pages = "/usr/share/novnc"

    def test_browser(self):
        if not os.path.exists(self.pages):
            self.skipTest("not installed: novnc")
        server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), functools.partial(QuietHandler, directory=self.pages))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        self.paint(400, 300)
        self.start("chromium", "--no-sandbox", "--user-data-dir=" + self.dir + "/profile",
                   "--disable-gpu", "--no-first-run", "--window-size=1000,700", "--window-position=0,0",
                   "--force-device-scale-factor=1", "--force-color-profile=srgb",
                   "--app=http://127.0.0.1:%d/vnc_lite.html?host=127.0.0.1&port=%d&path="
                   % (server.server_port, self.ws_port))
        at = self.shown()
        self.typed(at, "a", 0x1c)


if __name__ == "__main__":
    unittest.main(verbosity=2)
