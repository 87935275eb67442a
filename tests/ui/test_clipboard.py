#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Clipboard text between VNC clients, in Latin-1 and by the extension, and an agent in the guest that
talks through virtio-serial; what is too long, or nonsense."""

import os
import random
import struct
import sys
import time
import unittest
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "qtest")]
import rfb                                                          # noqa: E402
import vnccase                                                      # noqa: E402
from libqtest import PATIENCE                                       # noqa: E402
from virtio import WRITE, VirtIO                                    # noqa: E402

EXTENDED = 0xc0a1e5ce - (1 << 32)
TEXT, CAPS, REQUEST, PEEK, NOTIFY, PROVIDE = 1, 1 << 24, 1 << 25, 1 << 26, 1 << 27, 1 << 28
LONGEST = 256 << 10


class Client(rfb.Client):
    """Keeps the texts it is sent; answers what the extension asks."""

    def setup(self, extended):
        self.texts, self.flags = [], []
        self.own = None
        self.set_encodings(rfb.RAW, *([EXTENDED] if extended else []))
        return self

    def message(self):
        # cut texts are looked at here, the rest is the base's
        if self.waiting_kind() != 3:
            return super().message()
        self.read(4)
        n = struct.unpack(">i", self.read(4))[0]
        data = self.read(abs(n))
        if n >= 0:
            self.texts.append(data.decode("latin-1"))
            return
        flags = struct.unpack(">I", data[:4])[0]
        self.flags.append(flags)
        if flags & CAPS:
            return
        if flags & PROVIDE:
            plain = zlib.decompress(data[4:])
            size = struct.unpack(">I", plain[:4])[0]
            assert plain[-1:] == b"\0" and size == len(plain) - 4
            self.texts.append(plain[4:-1].decode().replace("\r\n", "\n"))
        elif flags & NOTIFY and flags & TEXT:
            self.extended(REQUEST | TEXT)
        elif flags & REQUEST:
            self.provide(self.own)

    def waiting_kind(self):
        if not getattr(self, "peeked", None):
            self.peeked = self.read(1)
        return self.peeked[0]

    def read(self, n):
        first = getattr(self, "peeked", None)
        if first and n:
            self.peeked = None
            return first + super().read(n - 1) if n > 1 else first
        return super().read(n)

    def extended(self, flags, data=b""):
        self.send(struct.pack(">BxxxiI", 6, -4 - len(data), flags) + data)

    def provide(self, text):
        plain = text.replace("\n", "\r\n").encode() + b"\0"
        self.extended(PROVIDE | TEXT, zlib.compress(struct.pack(">I", len(plain)) + plain))

    def offer(self, text):
        self.own = text
        self.extended(NOTIFY | TEXT)

    def cut(self, text):
        data = text.encode("latin-1")
        self.send(struct.pack(">BxxxI", 6, len(data)) + data)


class ClipboardCase(vnccase.VncCase):
    def client(self, extended):
        c = Client(self.path)
        self.addCleanup(c.close)
        c.setup(extended)
        c.request(False)
        return c

    def expect(self, reader, text, *others):
        end = time.monotonic() + 20 * PATIENCE
        while text not in reader.texts:
            self.assertLess(time.monotonic(), end, (reader.texts, reader.flags))
            for c in (reader, *others):
                while c.waiting(0.02):
                    c.message()


class Viewers(ClipboardCase):
    def test_between_clients(self):
        old, new, third = self.client(False), self.client(True), self.client(True)
        old.cut("from the old\nsecond line \xe4")
        self.expect(new, "from the old\nsecond line \xe4", third)
        self.expect(third, "from the old\nsecond line \xe4", new)
        new.offer("\u20ac and \u4e2d\nlines\n")
        self.expect(third, "\u20ac and \u4e2d\nlines\n", new, old)
        self.expect(old, "? and ?\nlines\n", new)
        third.provide("unasked")
        self.expect(new, "unasked", third)
        self.assertIn(CAPS | REQUEST | PEEK | NOTIFY | PROVIDE | TEXT, new.flags)

    def test_one_who_comes_later(self):
        old = self.client(False)
        old.cut("earlier")
        self.same_picture(old)
        new = self.client(True)
        self.expect(new, "earlier", old)

    def same_picture(self, c):
        """What was sent has been taken."""
        c.request(False)
        c.update()

    def test_too_long_or_nonsense(self):
        a, b = self.client(True), self.client(True)
        a.cut("x" * (LONGEST + 1))
        a.provide("y" * (LONGEST + 5))
        bomb = struct.pack(">I", 1 << 30) + bytes(64 << 20)
        a.extended(PROVIDE | TEXT, zlib.compress(bomb, 9))
        for data in (b"", b"\0\0\0", b"garbage", zlib.compress(b"\xff\xff\xff\xff"), zlib.compress(b"\0\0\0\2\xff\xfe")):
            a.extended(PROVIDE | TEXT, data)
        r = random.Random(3)
        for _ in range(100):
            a.extended(r.choice((0, TEXT, 0xffffffff, PEEK, NOTIFY, REQUEST | TEXT, r.getrandbits(32) & ~CAPS)),
                       r.randbytes(r.randrange(40)))
        a.own = "z"
        a.cut("good")
        self.expect(b, "good", a)
        self.assertEqual(b.texts, ["good"])

    def test_extension_must_be_announced(self):
        c = self.client(False)
        c.extended(PEEK)
        with self.assertRaises(rfb.Closed):
            while True:
                c.message()


class Agent:
    """spice-vdagent's side, as a driver of virtio-serial."""

    MOUSE, TEXTS, ANNOUNCE, GRAB, ASK = 1, 4, 6, 7, 8
    BY_DEMAND, SELECTION = 1 << 5, 1 << 6

    def __init__(self, q):
        self.dev = VirtIO(q, 0x20)
        self.dev.setup(1 << 1, queues=(0, 1, 2, 3, 4, 5), size=32)
        self.posted, self.buffer, self.messages = {2: [], 4: []}, b"", []
        for n in (2, 4):
            for _ in range(24):
                self.post(n)
        for message in ((0, 0, 1), (1, 3, 1), (1, 6, 1)):       # device ready, port ready, open
            self.dev.run(3, [struct.pack("<IHH", *message)], [])

    def post(self, n):
        at = self.dev.alloc(4096)
        self.posted[n].append(at)
        self.dev.queues[n].add([(at, 4096, WRITE)])
        self.dev.kick(n)

    def send(self, kind, data, piece=2048):
        m = struct.pack("<IIQI", 1, kind, 0, len(data)) + data
        for at in range(0, len(m), piece):
            part = m[at:at + piece]
            self.dev.run(5, [struct.pack("<II", 1, len(part)) + part], [])

    def receive(self, kind):
        """The data of the next message of that kind."""
        end = time.monotonic() + 20 * PATIENCE
        while True:
            for m in self.messages:
                if m[0] == kind:
                    self.messages.remove(m)
                    return m[1]
            assert time.monotonic() < end, self.messages
            ring = self.dev.queues[4]
            if ring.q.readw(ring.device + 2) != ring.used:
                length, at = ring.get(), self.posted[4].pop(0)
                self.take(ring.q.read(at, length))
                self.post(4)

    def take(self, data):
        self.buffer += data
        while len(self.buffer) >= 8:
            port, n = struct.unpack("<II", self.buffer[:8])
            if len(self.buffer) < 8 + n:
                return
            self.piece = getattr(self, "piece", b"") + self.buffer[8:8 + n]
            self.buffer = self.buffer[8 + n:]
            while len(self.piece) >= 20:
                protocol, kind, _, size = struct.unpack("<IIQI", self.piece[:20])
                if len(self.piece) < 20 + size:
                    break
                self.messages.append((kind, self.piece[20:20 + size]))
                self.piece = self.piece[20 + size:]

    def announce(self):
        request, caps = struct.unpack("<II", self.receive(self.ANNOUNCE)[:8])
        self.send(self.ANNOUNCE, struct.pack("<II", 0, 1 | self.BY_DEMAND | self.SELECTION))
        return request, caps


class GuestAgent(ClipboardCase):
    more = ("-chardev", "qemu-vdagent,id=v,clipboard=on", "-device", "virtio-serial-pci,addr=4", "-device",
            "virtserialport,chardev=v,name=com.redhat.spice.0")

    def test_both_ways(self):
        agent = Agent(self.q)
        self.assertEqual(agent.announce(), (1, 1 | 1 << 5 | 1 << 6 | 1 << 17))
        c = self.client(True)
        agent.send(agent.GRAB, struct.pack("<II", 0, 1))
        self.assertEqual(agent.receive(agent.ASK), struct.pack("<II", 0, 1))
        agent.send(agent.TEXTS, struct.pack("<II", 0, 1) + "from the guest \u20ac".encode(), piece=13)
        self.expect(c, "from the guest \u20ac")
        c.offer("from the viewer\nlong " + "x" * 9000)
        self.expect_grab(agent, c)
        agent.send(agent.ASK, struct.pack("<II", 0, 1))
        self.assertEqual(agent.receive(agent.TEXTS), struct.pack("<II", 0, 1) + b"from the viewer\nlong " + b"x" * 9000)
        # what is marked in the guest is no clipboard
        agent.send(agent.GRAB, struct.pack("<II", 1, 1))
        agent.send(agent.TEXTS, struct.pack("<II", 1, 1) + b"marked")
        agent.send(agent.TEXTS, struct.pack("<II", 0, 1) + b"last")
        self.expect(c, "last")
        self.assertNotIn("marked", c.texts)

    def expect_grab(self, agent, c):
        end = time.monotonic() + 20 * PATIENCE
        while not [f for f in c.flags if f & REQUEST and not f & CAPS]:
            self.assertLess(time.monotonic(), end)
            if c.waiting(0.05):
                c.message()
        self.assertEqual(agent.receive(agent.GRAB), struct.pack("<II", 0, 1))

    def test_pointer(self):
        agent = Agent(self.q)
        agent.announce()
        self.set_mode(200, 100)
        self.assertIn("vdagent mouse (absolute)", self.q.hmp("info mice"))
        c = self.client(False)
        c.update()
        c.pointer(199, 50, 1)
        x, y, buttons, display = struct.unpack("<IIIB", agent.receive(agent.MOUSE))
        self.assertEqual((x, abs(y - 50) <= 1, buttons, display), (199, True, 2, 0))

    def test_nonsense(self):
        agent = Agent(self.q)
        agent.announce()
        r = random.Random(7)
        for _ in range(300):
            kind = r.choice((1, 4, 6, 7, 8, 9, 14, r.getrandbits(32)))
            size = r.choice((0, 1, 3, 4, 8, 100, 1 << 30, 0xffffffff))
            m = struct.pack("<IIQI", r.choice((0, 1, 2)), kind, 0, size) + r.randbytes(r.randrange(64))
            agent.dev.run(5, [struct.pack("<II", 1, r.choice((len(m), 0, 5, 1 << 31))) + m], [])
        self.q.qmp("query-status")


if __name__ == "__main__":
    unittest.main(verbosity=1)
