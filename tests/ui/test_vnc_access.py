#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The VNC server: passwords, TLS, WebSocket, sharing, slow and many clients."""

import os
import shutil
import socket
import ssl
import struct
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "qtest"), os.path.join(HERE, "..", "guest")]
import rfb                                                          # noqa: E402
from libqtest import PATIENCE, main                                 # noqa: E402
from vnccase import H, LFB, VncCase, W, make_certificates           # noqa: E402


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


if __name__ == "__main__":
    main()
