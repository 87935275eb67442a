#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""VNC clients that mean harm: sessions that go wrong at a random place in a random way.  The server
must not crash, hang or grow, and a clean client gets in after them.

    ORRERY_SESSIONS=10000 ORRERY_SEED=7 tests/ui/test_vnc_fuzz.py
"""

import os
import random
import select
import socket
import struct
import sys
import time
import unittest
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "qtest"), os.path.join(HERE, "..", "guest")]
import rfb                                                          # noqa: E402
from libqtest import PATIENCE, Died                                 # noqa: E402
import vnccase                                          # noqa: E402

SESSIONS = int(os.environ.get("ORRERY_SESSIONS", "300"))
SEED = int(os.environ.get("ORRERY_SEED", "1"))
# what the sanitizers keep of freed memory comes on top
GROWTH = (16 << 20) * (3 if "ASAN_OPTIONS" in os.environ else 1)
EXT_CLIPBOARD = 0xc0a1e5ce - (1 << 32)
ENCODINGS = [0, 1, 2, 5, 6, 7, 16, -223, -224, -239, -240, -257, -258, -259, -261, -307, -308, -309,
             -312, -313, -314, 0x574d5669, EXT_CLIPBOARD, -32, -23, -256, -247, 0x7fffffff, -1]


def u(r, *sizes):
    """Random numbers, often at the edges."""
    return [r.choice((0, 1, (1 << 8 * n) - 1, 1 << 8 * n - 1, r.getrandbits(8 * n),
                      r.getrandbits(8 * n), r.randrange(0, 200))) & ((1 << 8 * n) - 1) for n in sizes]


def some_format(r):
    if r.random() < 0.7:
        return r.choice(list(rfb.FORMATS.values())).pack()
    return struct.pack(">BBBBHHHBBBxxx", *u(r, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1))


def message(r):
    kind = r.randrange(16)
    if kind == 0:
        return b"\0\0\0\0" + some_format(r)
    if kind <= 2:
        n = r.choice((0, 1, 5, 28, 200))
        e = [r.choice(ENCODINGS) for _ in range(n)]
        count = n if r.random() < 0.9 else u(r, 2)[0]
        return struct.pack(">BxH%di" % n, 2, count, *e)
    if kind <= 6:
        area = (0, 0, 200, 112) if r.random() < 0.5 else u(r, 2, 2, 2, 2)
        return struct.pack(">BBHHHH", 3, r.randrange(2), *area)
    if kind == 7:
        return struct.pack(">BBxxI", 4, r.randrange(2), r.choice((0xffe1, 0xffe3, 0xffe9, 0x31, *u(r, 4))))
    if kind == 8:
        return struct.pack(">BBHH", 5, *u(r, 1, 2, 2))
    if kind == 9:
        n = r.choice((0, 1, 100, 70000))
        return struct.pack(">BxxxI", 6, n if r.random() < 0.9 else u(r, 4)[0]) + bytes(n)
    if kind == 10:
        return struct.pack(">BBHII", 255, r.choice((0, 0, 0, 1, 9)), r.randrange(2), *u(r, 4, 4))
    if kind == 11:
        n = r.choice((0, 1, 3))
        return struct.pack(">BxHHBx", 251, *u(r, 2, 2), n) + bytes(16 * n)
    if kind == 12:
        return bytes([250, 0, 1, r.randrange(8)])
    if kind == 13:                          # sound: on, off, format
        return struct.pack(">BBHBBI", 255, 1, r.choice((0, 1, 2, 2, 9)), *u(r, 1, 1, 4))
    if kind == 14:                          # the extended clipboard
        data = r.choice((b"", zlib.compress(r.choice((b"\0\0\0\2a\0", bytes(1 << 20)))), r.randbytes(20)))
        flags = r.choice((1 << r.randrange(24, 29) | 1, r.getrandbits(32)))
        return struct.pack(">BxxxiI", 6, -4 - len(data), flags) + data
    return r.randbytes(r.randrange(1, 40))


def script(r):
    """What a client says, as pieces: mostly right for a while, then not."""
    version = r.choice((b"RFB 003.008\n", b"RFB 003.008\n", b"RFB 003.007\n", b"RFB 003.003\n",
                        r.randbytes(12), b"RFB 999.999\n"))
    pieces = [version]
    if version != b"RFB 003.003\n":
        pieces.append(b"\1" if r.random() < 0.9 else r.randbytes(1))
    pieces.append(r.choice((b"\1", b"\1", b"\1", b"\0")))
    pieces += [message(r) for _ in range(r.randrange(1, 25))]
    if r.random() < 0.3:                    # a bit flips
        k = r.randrange(len(pieces))
        data = bytearray(pieces[k])
        data[r.randrange(len(data))] ^= 1 << r.randrange(8)
        pieces[k] = bytes(data)
    if r.random() < 0.3:                    # it ends in the middle
        pieces[-1] = pieces[-1][:r.randrange(len(pieces[-1]) + 1)]
    return pieces


def as_websocket(r, pieces):
    """The upgrade, and frames as they should not be."""
    yield (b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAA\r\n\r\n"
           if r.random() < 0.9 else r.randbytes(r.randrange(1, 9000)))
    for p in pieces:
        op = 2 if r.random() < 0.9 else r.randrange(16)
        frame = bytearray(rfb.Client.ws_frame(None, p, op, r.randbytes(4)))
        if r.random() < 0.05:
            frame[r.randrange(min(len(frame), 14))] ^= 1 << r.randrange(8)
        yield bytes(frame)


class Hostile(vnccase.VncCase):
    def vnc_args(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        return ["-vnc", "unix:%s/vnc,websocket=127.0.0.1:%d,lossy=on,power-control=on,audiodev=snd"
                % (self.dir, self.port)]

    more = ("-monitor", "vc", "-serial", "vc", "-audiodev", "none,id=snd")

    def session(self, r):
        pieces = script(r)
        if r.random() < 0.2:
            s, pieces = socket.socket(), as_websocket(r, pieces)
            where = ("127.0.0.1", self.port)
        else:
            s, where = socket.socket(socket.AF_UNIX), self.path
        reads = r.random() < 0.7
        with s:
            s.settimeout(20 * PATIENCE)
            s.connect(where)
            try:
                for p in pieces:
                    s.sendall(p)
                    if reads and select.select([s], [], [], 0.002 * r.randrange(3))[0]:
                        s.recv(1 << 16)
                if r.random() < 0.7:        # it hears all of it before it hears the end
                    s.shutdown(socket.SHUT_WR)
                    while s.recv(1 << 16 if reads else 1):
                        pass
            except OSError as e:            # the server hung up: that is its right
                if isinstance(e, TimeoutError):
                    raise

    def clean_client(self):
        with rfb.Client(self.path) as c:
            c.set_encodings(rfb.ZRLE)
            for k in (0xffe3, 0xffe9, 0x31):    # whatever screen they left it on: the first
                c.key(k, True)
            for k in (0x31, 0xffe9, 0xffe3):
                c.key(k, False)
        with rfb.Client(self.path) as c:
            c.set_encodings(rfb.RAW)
            self.same(c)

    def rss(self):
        with open("/proc/%d/statm" % self.q.proc.pid) as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def test_sessions(self):
        self.paint()
        for n in range(30):                 # buffers and tables that are made once
            self.session(random.Random(-1 - n))
        self.clean_client()
        before = self.rss()
        for n in range(SESSIONS):
            try:
                self.session(random.Random(SEED * 1000003 + n))
                if n % 50 == 49:
                    self.q.qmp("query-vnc")
            except (OSError, Died) as e:
                self.fail("session %d: %s\n%s" % (n, e, self.q.autopsy()))
        self.clean_client()
        begin = time.monotonic()
        rfb.Client(self.path).close()
        took = time.monotonic() - begin
        self.assertLess(took, 5 * PATIENCE)
        grown = self.rss() - before
        if "-v" in sys.argv:
            print("%d sessions, %d KiB more, a clean client gets in within %.1f ms"
                  % (SESSIONS, grown >> 10, took * 1000))
        self.assertLess(grown, GROWTH)


if __name__ == "__main__":
    unittest.main(verbosity=1)
