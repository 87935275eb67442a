#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Network cards with rings without sense (loops, lengths, addresses in other devices), guests that
send anything, and peers of the back-ends that do: nothing dies, hangs or grows, and a driver that
makes sense finds a card that works afterwards."""

import os
import random
import socket
import struct
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from libqtest import PATIENCE, QTest, main                          # noqa: E402
import netcards                                                     # noqa: E402
import virtio as modern                                             # noqa: E402
from netcards import (BROADCAST, DRIVERS, IO, MAC, MEM, OTHER, RING, RING2, RX_BUF,    # noqa: E402
                      SEED, TX_BUF, E1000, Wire, frame, mutate, templates)

ROUNDS = int(os.environ.get("ORRERY_ROUNDS", "120"))
GROWTH = 32 << 20
# Where a descriptor may point: memory, the end of it, the card itself, other devices, nowhere.
PLACES = [0, RX_BUF, TX_BUF, RING, RING2, RING + 16, (16 << 20) - 8, 16 << 20, MEM, MEM + 0x2800,
          MEM + 0x3818, MEM + 0x100000, 0xa0000, 0xfffc0000, 0xfec00000, 0xfee00000, 0xfffffff0,
          (1 << 32) - 4, 1 << 32, (1 << 64) - 16, (1 << 40) + 3]
SIZES = [0, 1, 13, 14, 59, 60, 1514, 1522, 2048, 4095, 4096, 8191, 0x1fff, 0xffff]


def place(rng):
    return rng.choice(PLACES) + rng.choice((0, 0, 0, 1, 4, 15))


def size(rng):
    return rng.choice((rng.choice(SIZES), rng.randrange(65536)))


# ---- one round of nonsense for each card ------------------------------------------------------------

def intel(card, rng, extended=False):
    q = card.q
    for ring in (RING, RING2):
        q.write(ring, b"".join(struct.pack("<QHBBI", place(rng) & (1 << 64) - 1, size(rng),
                                           rng.randrange(256), rng.randrange(256),
                                           rng.getrandbits(32)) for _ in range(card.N)))
    for base in (0x3800, 0x2800) + ((0x3900, 0x2900) if extended else ()):
        card.w(base, rng.choice((RING, RING2, place(rng) & 0xffffffff)))
        card.w(base + 4, rng.choice((0, 0, 0, 1, 0xffffffff)))
        card.w(base + 8, rng.choice((0, 16 * card.N, 128, 0xfff80)))
        card.w(base + 0x10, rng.choice((0, 3, 0xffff)))
    if extended:
        card.w(0x5008, rng.choice((0, 0x8000, 0xffffffff)))
        card.w(0x2170, rng.getrandbits(32))
        card.w(0x5818, rng.getrandbits(32))
        card.w(0x5c00 + 4 * rng.randrange(32), rng.getrandbits(32))
    card.w(0x0100, 0x04008002 | rng.getrandbits(32) & 0x030317fc)
    card.w(0x2818, rng.choice((0, 7, 0xffff)))
    for _ in range(3):
        card.w(0x3818, rng.choice((0, 1, 7, 8, 0xffff)))
    if extended:
        card.w(0x2918, rng.choice((0, 7, 0xffff)))
        card.w(0x3918, rng.choice((0, 7, 0xffff)))


def intel_e(card, rng):
    intel(card, rng, True)


def realtek(card, rng):
    q = card.q
    q.outl(IO + 0x30, place(rng) & 0xffffffff)
    q.outl(IO + 0x44, rng.getrandbits(32))
    q.outw(IO + 0x38, rng.getrandbits(16))
    q.outl(IO + 0x40, rng.choice((0, 0x00060000, rng.getrandbits(32))))
    for n in range(4):
        q.outl(IO + 0x20 + 4 * n, place(rng) & 0xffffffff)
        q.outl(IO + 0x10 + 4 * n, size(rng) & 0x1fff)


def realtek_plus(card, rng):
    q = card.q
    for ring in (RING, RING2):
        q.write(ring, b"".join(struct.pack(
            "<IIQ", rng.choice((0xf0000000, 0x80000000, 0xb0000000, rng.getrandbits(32)))
            | size(rng), rng.getrandbits(32), place(rng) & (1 << 64) - 1) for _ in range(64)))
    q.outw(IO + 0xe0, 3 | rng.getrandbits(16) & 0x7c)
    for reg in (0x20, 0x28, 0xe4):
        q.outl(IO + reg, rng.choice((RING, RING2, place(rng) & 0xffffffff)))
        q.outl(IO + reg + 4, rng.choice((0, 0, 1, 0xffffffff)))
    q.outl(IO + 0x44, rng.getrandbits(32))
    q.outb(IO + 0xd9, rng.choice((0x40, 0x80, 0xc1)))


def novell(card, rng):
    for reg in (1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15):
        card.o(reg, rng.randrange(256))
    card.o(0, rng.choice((0x0a, 0x12, 0x1a, 0x22)))
    for _ in range(8):
        card.q.outw(card.base + 0x10, rng.getrandbits(16))
        card.q.inl(card.base + 0x10)
    card.o(0, 0x62)
    card.o(7, rng.randrange(256))
    card.o(0, 0x26)
    card.o(0, 0x22)


def amd(card, rng):
    q = card.q
    card.csr(0, 4)
    card.bcr(20, rng.randrange(4))
    for ring in (RING, RING2):
        q.write(ring, b"".join(struct.pack(
            "<IIII", place(rng) & 0xffffffff, rng.choice((0x80000000, 0x83000000, rng.getrandbits(32)))
            | size(rng), rng.getrandbits(32), place(rng) & 0xffffffff) for _ in range(16)))
    rings = [rng.choice((RING, RING2, place(rng) & 0xffffffff)) for _ in range(2)]
    q.write(0x90000, struct.pack("<HBB", rng.choice((0, 4, 0x8000, 0x8004, rng.getrandbits(16))),
                                 rng.randrange(256), rng.randrange(256)) + rng.randbytes(16)
            + struct.pack("<II", *rings))
    block = rng.choice((0x90000, 0x90000, place(rng) & 0xffffffff))
    card.csr(1, block & 0xffff)
    card.csr(2, block >> 16)
    card.csr(0, 1)
    card.csr(76, rng.choice((0, 1, 0xffff, 0xfff0)))
    card.csr(78, rng.choice((0, 1, 0xffff, 0xfff0)))
    card.csr(0, 0x42)
    for _ in range(3):
        card.csr(0, 0x48)
    card.csr(5, rng.choice((0, 1)))


def virtio(card, rng):
    q = card.q
    for n in range(3):
        desc, avail, _, entries = card.where(n)
        q.write(desc, b"".join(struct.pack(
            "<QIHH", place(rng) & (1 << 64) - 1,
            rng.choice((0, 1, 9, 10, 12, 60, 2048, 65536, 1 << 31, 0xffffffff)), rng.randrange(8),
            rng.choice((0, 1, 2, entries - 1, rng.randrange(65536)))) for _ in range(8)))
        q.write(avail, struct.pack("<HH8H", rng.randrange(2), rng.getrandbits(16),
                                   *(rng.choice((0, 1, entries, 0xffff)) for _ in range(8))))
        q.outw(IO + 0x10, n)
    q.outw(IO + 0x10, 0xffff)


NONSENSE = {"e1000": intel, "e1000e": intel_e, "rtl8139": realtek, "rtl8139_cplus": realtek_plus,
            "ne2k_isa": novell, "ne2k_pci": novell, "pcnet": amd, "virtio_net": virtio}


# ---- tests -------------------------------------------------------------------------------------------

class Hostile(unittest.TestCase):
    def start(self, args, model):
        q = QTest(["-M", "pc", "-m", "16"] + args + ["-device", model + ",netdev=n,id=card"])

        def finish():
            status, text = q.close()
            self.assertIn(status, (0, -15), "ORRERY_SEED=%d: %s" % (SEED, text[-4000:]))
        self.addCleanup(finish)
        return q

    def resident(self, q):
        with open("/proc/%d/status" % q.proc.pid) as f:
            return next(int(l.split()[1]) for l in f if l.startswith("RssAnon:")) * 1024

    def drive(self, q, driver):
        """A driver that makes sense, after a reset: a card whose DMA reached its own registers may be in
        a mode that nothing else ends (pcnet's double word I/O)."""
        q.qmp("system_reset")
        q.wait_event("RESET")
        q.clock_step(600000000)
        return driver(q)

    def check_alive(self, q, wire, driver):
        """After a reset, a driver that makes sense sends and receives."""
        card = self.drive(q, driver)
        q.clock_step(600000000)
        while wire.get(0) is not None:
            pass
        data = frame(OTHER, 200, MAC)
        card.send(data)
        self.assertEqual(wire.get(), data)
        data = frame(MAC, 222, fill=9)
        end = time.monotonic() + 30 * PATIENCE
        while time.monotonic() < end:   # what came before may still be on its way
            wire.put(data)
            got = card.receive()
            while got is not None and got != data:
                got = card.receive()
            if got == data:
                return
        self.fail("nothing comes in any more")

    def check_rings(self, name):
        model, driver = DRIVERS[name]
        wire, rng = Wire(), random.Random(SEED)
        self.addCleanup(wire.s.close)
        q = self.start(wire.args(), model)
        before = None
        for n in range(ROUNDS):
            if n % 20 == 0:
                card = self.drive(q, driver)
            NONSENSE[name](card, rng)
            for _ in range(3):
                wire.put(rng.choice((frame(BROADCAST, rng.choice((60, 300, 1514))), rng.randbytes(4000))))
            q.clock_step(rng.choice((1000, 1000000, 50000000)))
            if n == ROUNDS // 3:
                before = self.resident(q)
        q.qmp("query-status")
        self.assertLess(self.resident(q) - before, GROWTH)
        self.check_alive(q, wire, driver)

    def check_frames(self, name):
        """What the guest sends goes to user-mode networking: anything, of any length."""
        model, driver = DRIVERS[name]
        q = self.start(["-netdev", "user,id=n,restrict=on"], model)
        card, rng, known = driver(q), random.Random(SEED), templates()
        longest = 1792 if name == "rtl8139" else 1514
        before = None
        for n in range(ROUNDS):
            data = mutate(rng, rng.choice(known)) if n % 4 else \
                rng.randbytes(rng.choice((14, 15, 33, 60, 64, 600, longest)))
            card.send(data)
            if n % 32 == 0:
                q.clock_step(10000000)
            if n == ROUNDS // 3:
                before = self.resident(q)
        q.qmp("query-status")
        self.assertLess(self.resident(q) - before, GROWTH)

    # ---- virtio 1, with each kind of ring ----

    def chain(self, dev, n, rng):
        """Buffers for a queue: now and then as they should be, with wild contents."""
        if n == 2:
            data = struct.pack("<BB", rng.randrange(7), rng.randrange(8)) + rng.choice((
                b"", b"\1", rng.randbytes(2), rng.randbytes(8), struct.pack("<I", rng.choice(
                    (0, 1, 64, 0xffff, 0xffffffff))) + rng.randbytes(rng.randrange(600))))
            parts = [(dev.alloc(len(data), data), len(data), 0), (dev.alloc(1), 1, modern.WRITE)]
        elif n == 1:
            head = struct.pack("<BBHHHHH", rng.randrange(4), rng.choice((0, 1, 3, 4, 5, 0x80, 0x81, 255)),
                               *(rng.choice((0, 1, 14, 34, 54, 1000, 0xffff)) for _ in range(5)))
            data = head + mutate(rng, rng.choice(self.known)) + bytes(rng.choice((0, 0, 3000, 60000)))
            cut = rng.choice((1, 12, 13, len(data)))
            parts = [(dev.alloc(len(p), p), len(p), 0) for p in (data[:cut], data[cut:]) if p]
        else:
            parts = [(dev.alloc(size), size, modern.WRITE)
                     for size in rng.choices((1, 11, 12, 60, 2048, 66000), k=rng.randrange(1, 4))]
        if rng.random() < 0.3:
            parts[rng.randrange(len(parts))] = (
                rng.choice((place(rng) & (1 << 64) - 1, dev.queues[n].at)),
                rng.choice((0, 1, 12, 4096, 1 << 31, 0xffffffff)), rng.choice((0, 2, 4, 6)))
        return parts

    def test_virtio_modern(self):
        """Chains without sense, control commands of any kind, headers that ask for impossible work."""
        wire, rng = Wire(), random.Random(SEED)
        self.addCleanup(wire.s.close)
        q = self.start(wire.args(), "virtio-net-pci,addr=4,packed=on")
        self.known = templates()
        every = (1 << 28) - 1           # whatever of the network's features there is
        before = None
        for turn, rings in enumerate((0, modern.INDIRECT, modern.EVENT_IDX | modern.INDIRECT, modern.PACKED,
                                      modern.PACKED | modern.INDIRECT) * 2):
            dev = modern.VirtIO(q, 0x20)
            for n in range(ROUNDS // 2):
                if not n or dev.status() & modern.NEEDS_RESET:
                    dev.setup(rings | every & rng.getrandbits(28) | 0x20000, queues=(0, 1, 2), size=16)
                dev.next_memory = modern.MEMORY
                which = rng.randrange(3)
                dev.queues[which].add(self.chain(dev, which, rng), rings & modern.INDIRECT and rng.random() < 0.4)
                dev.kick(which)
                wire.put(rng.choice((frame(BROADCAST, rng.choice((60, 1514))), rng.randbytes(9000))))
                if n % 16 == 0:
                    q.clock_step(1000000)
            if turn == 2:
                before = self.resident(q)
        q.qmp("query-status")
        self.assertLess(self.resident(q) - before, GROWTH)
        dev.setup(0, queues=(0, 1))
        while wire.get(0) is not None:
            pass
        data = frame(OTHER, 200, MAC)
        dev.run(1, [bytes(12) + data], [])
        self.assertEqual(wire.get(), data)

    # ---- peers ----

    def flood(self, q, send, seconds=0.5):
        """As much as goes out at once."""
        rng, before, count = random.Random(SEED), self.resident(q), 0
        end = time.monotonic() + seconds
        while time.monotonic() < end and count < 20000:
            try:
                send(rng)
            except (BlockingIOError, ConnectionError, TimeoutError):
                q.qmp("query-status")
            count += 1
        q.qmp("query-status")
        self.assertLess(self.resident(q) - before, GROWTH)

    def test_datagrams(self):
        """Empty, huge and many datagrams, by UDP and by unix sockets, with a card nobody drives and
        with one that works."""
        with tempfile.TemporaryDirectory() as d:
            for kind in ("inet", "unix"):
                if kind == "inet":
                    wire = Wire()
                    args, s, to = wire.args(), wire.s, wire.card
                else:
                    s, to = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM), d + "/card"
                    s.bind(d + "/us")
                    args = ["-netdev", "dgram,id=n,local.type=unix,local.path=%s/card,"
                            "remote.type=unix,remote.path=%s/us" % (d, d)]
                self.addCleanup(s.close)
                s.setblocking(False)
                q = self.start(args, "e1000")

                def send(rng):
                    s.sendto(rng.randbytes(rng.choice((0, 1, 13, 14, 60, 1514, 9000, 65000))), to)
                self.flood(q, send)
                card = E1000(q)
                self.flood(q, send)
                card.send(frame(OTHER, 100, MAC))

    def stream(self, d, server):
        """(emulator, function that gives a new connection to it)"""
        path = d + "/wire"
        if not server:
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(path)
            listener.listen()
            listener.settimeout(20 * PATIENCE)
            self.addCleanup(listener.close)
        q = self.start(["-netdev", "stream,id=n,addr.type=unix,addr.path=%s,%s" % (
            path, "server=on" if server else "server=off,reconnect=1")], "e1000")

        def connect():
            if not server:
                conn = listener.accept()[0]
            else:
                conn = socket.socket(socket.AF_UNIX)
                conn.settimeout(20 * PATIENCE)
                conn.connect(path)
            conn.settimeout(20 * PATIENCE)
            return conn
        return q, connect

    def check_stream(self, server):
        """Frames in pieces arrive; garbage ends the connection; the next one works."""
        with tempfile.TemporaryDirectory() as d:
            q, connect = self.stream(d, server)
            card, rng = E1000(q), random.Random(SEED)
            for n in range(4):
                with connect() as conn:
                    data = frame(MAC, 100 + n)
                    for b in struct.pack(">I", len(data)) + data:
                        conn.sendall(bytes([b]))
                    self.assertEqual(card.receive(), data)
                    if n == 0:          # a part of a frame, then gone
                        conn.sendall(b"\0\0\x05\xea" + rng.randbytes(700))
                        continue
                    if n == 1:          # a length no frame has
                        conn.sendall(struct.pack(">I", rng.choice((0, 1 << 31, 0xffffffff, 70000))))
                    else:
                        while True:     # sooner or later there is one
                            try:
                                conn.sendall(rng.randbytes(5000))
                            except OSError:
                                break
                    try:
                        while conn.recv(65536):
                            pass
                    except ConnectionError:
                        pass

    def test_stream_server(self):
        self.check_stream(True)

    def test_stream_client(self):
        self.check_stream(False)

    def test_stream_flood(self):
        """Frames for a card nobody drives: the sender waits, the process does not grow."""
        with tempfile.TemporaryDirectory() as d:
            q, connect = self.stream(d, True)
            with connect() as conn:
                conn.setblocking(False)
                data = frame(MAC, 1514)
                pending = [b""]

                def send(rng):
                    pending[0] = pending[0] or struct.pack(">I", len(data)) + data
                    pending[0] = pending[0][conn.send(pending[0]):]
                self.flood(q, send)
                card = E1000(q)
                for _ in range(30):
                    self.assertEqual(card.receive(), data)


def add_tests():
    for name in DRIVERS:
        setattr(Hostile, "test_rings_" + name, lambda self, n=name: self.check_rings(n))
        setattr(Hostile, "test_frames_" + name, lambda self, n=name: self.check_frames(n))


add_tests()


if __name__ == "__main__":
    main()
