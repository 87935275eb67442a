#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""virtio-serial: the driver's handshake with the controller, data both ways through several ports, slow
ends, ports that come and go, saved state."""

import os
import random
import socket
import struct
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from libqtest import EMULATOR, QTest, TestCase, main     # noqa: E402
from virtio import EVENT_IDX, INDIRECT, PACKED, RINGS, WRITE, VirtIO       # noqa: E402

DEVFN = 0x20
MULTIPORT, EMERGENCY = 1 << 1, 1 << 2
READY, ADD, REMOVE, PORT_READY, CONSOLE, RESIZE, OPEN, NAME = range(8)
CONTROL_IN, CONTROL_OUT = 2, 3


class SerialTest(TestCase):
    ports = ["virtconsole,chardev=c0", "virtserialport,chardev=c1,name=org.test.1,id=p1"]

    def setUp(self):
        self.dir = tempfile.TemporaryDirectory(prefix="orrery-vser-")
        self.addCleanup(self.dir.cleanup)
        self.args = ["-M", "pc", "-m", "16", "-device", "virtio-serial-pci,id=vs,addr=4,packed=on"]
        for k, p in enumerate(self.ports):
            self.args += ["-chardev", "socket,id=c%d,path=%s/%d,server=on,wait=off" % (k, self.dir.name, k),
                          "-device", p]
        super().setUp()

    def connect(self, n):
        s = socket.socket(socket.AF_UNIX)
        self.addCleanup(s.close)
        s.connect("%s/%d" % (self.dir.name, n))
        s.settimeout(30)
        return s

    # ---- the driver ----

    def start(self, features=0, legacy=False, ports=(0, 1), buffers=20):
        self.dev = VirtIO(self.q, DEVFN, legacy)
        queues = [0, 1, 2, 3] + [q for p in ports if p for q in (2 * p + 2, 2 * p + 3)]
        self.dev.setup(features | MULTIPORT | EMERGENCY, queues=queues, size=None if legacy else 32)
        self.posted = {n: [] for n in queues}
        for _ in range(buffers):
            self.post(CONTROL_IN, 64)

    def post(self, n, size):
        """A buffer for input."""
        at = self.dev.alloc(size)
        self.posted[n].append((at, size))
        self.dev.queues[n].add([(at, size, WRITE)])
        self.dev.kick(n)

    def take(self, n):
        length = self.dev.queues[n].get()
        at, _ = self.posted[n].pop(0)
        return self.q.read(at, length)

    def control(self):
        """The next message: (port, event, value, text)"""
        m = self.take(CONTROL_IN)
        self.post(CONTROL_IN, 64)
        return struct.unpack("<IHH", m[:8]) + (m[8:],)

    def send(self, port, event, value=1):
        self.dev.run(CONTROL_OUT, [struct.pack("<IHH", port, event, value)], [])

    def handshake(self):
        self.send(0, READY)
        self.assertEqual(self.control(), (0, ADD, 1, b""))
        self.assertEqual(self.control(), (1, ADD, 1, b""))
        for port, want in ((0, (0, CONSOLE, 1, b"")), (1, (1, NAME, 1, b"org.test.1"))):
            self.send(port, PORT_READY)
            self.assertEqual(self.control(), want)

    def up(self, **how):
        self.start(**how)
        self.send(0, READY)
        self.control()
        self.control()
        for port in (0, 1):
            self.send(port, PORT_READY)
            while self.control()[1] not in (NAME, OPEN):
                pass
            self.send(port, OPEN)


class Handshake(SerialTest):
    def test_messages(self):
        for name, features, legacy in (("split", 0, False), ("packed", PACKED, False), ("legacy", 0, True),
                                       ("indirect", INDIRECT | EVENT_IDX, False)):
            with self.subTest(name):
                self.start(features, legacy)
                self.assertEqual(struct.unpack("<HHI", self.dev.config(0, 8)), (0, 0, 31))
                self.send(0, READY)
                self.assertEqual(self.control(), (0, ADD, 1, b""))
                self.assertEqual(self.control(), (1, ADD, 1, b""))
                self.send(0, PORT_READY)
                self.assertEqual(self.control(), (0, CONSOLE, 1, b""))
                self.assertEqual(self.control(), (0, OPEN, 1, b""))
                self.send(1, PORT_READY)
                self.assertEqual(self.control(), (1, NAME, 1, b"org.test.1"))

    def test_host_comes_and_goes(self):
        self.up()
        s = self.connect(1)
        self.assertEqual(self.control(), (1, OPEN, 1, b""))
        s.close()
        self.assertEqual(self.control(), (1, OPEN, 0, b""))

    def test_guest_comes_and_goes(self):
        def front():
            return [c["frontend-open"] for c in self.q.qmp("query-chardev") if c["label"] == "c1"]
        self.assertEqual(front(), [False])
        self.up()
        e = self.q.wait_event("VSERPORT_CHANGE")
        self.assertEqual(e["data"], {"id": "p1", "open": True})
        self.assertEqual(front(), [True])
        self.send(1, OPEN, 0)
        self.assertEqual(self.q.wait_event("VSERPORT_CHANGE")["data"], {"id": "p1", "open": False})
        self.assertEqual(front(), [False])

    def test_no_buffers_lose_nothing(self):
        """Messages wait for the driver's buffers; what is superseded is told once."""
        self.start(buffers=0)
        self.send(0, READY)
        for _ in range(3):
            self.connect(1).close()
        for port in (0, 1):
            self.post(CONTROL_IN, 64)
            self.assertEqual(struct.unpack("<IHH", self.take(CONTROL_IN)), (port, ADD, 1))

    def test_nonsense(self):
        self.up()
        r = random.Random(5)
        for _ in range(200):
            self.send(r.choice((0, 1, 2, 30, 31, 4095, 0xffffffff)), r.randrange(0, 12), r.choice((0, 1, 0xffff)))
        for size in (0, 1, 7):
            if size:
                self.dev.run(CONTROL_OUT, [bytes(size)], [])
        self.up()
        self.assertFalse(self.dev.status() & 0x40)


class Data(SerialTest):
    def test_both_ways(self):
        a, b = self.connect(0), self.connect(1)
        self.up()
        for s, rx, tx in ((a, 0, 1), (b, 4, 5)):
            self.dev.run(tx, [b"hel", b"lo"], [])
            self.assertEqual(s.recv(100), b"hello")
            self.post(rx, 16)
            s.sendall(b"world")
            self.assertEqual(self.take(rx), b"world")

    def test_small_buffers(self):
        s = self.connect(1)
        self.up()
        data = bytes(range(256)) * 8
        s.sendall(data)
        got = b""
        while len(got) < len(data):
            self.post(4, 100)
            got += self.take(4)
        self.assertEqual(got, data)

    def test_closed_port_takes_nothing(self):
        """What the host sends waits until somebody in the guest opens the port."""
        s = self.connect(1)
        self.up()
        self.send(1, OPEN, 0)
        self.post(4, 100)
        s.sendall(b"early")
        self.q.clock_step(10 ** 7)
        self.assertEqual(self.q.qmp("query-status")["running"], True)
        self.send(1, OPEN, 1)
        self.assertEqual(self.take(4), b"early")

    def test_slow_host(self):
        """The guest's buffers are held, not copied; nothing is lost."""
        s = self.connect(1)
        self.up()
        data = random.Random(1).randbytes(60000)
        at = self.dev.alloc(len(data), data)
        for _ in range(16):
            self.dev.queues[5].add([(at, len(data), 0)])
        self.dev.kick(5)
        got = b""
        while len(got) < 16 * len(data):
            got += s.recv(1 << 20)
        self.assertEqual(got, 16 * data)
        for _ in range(16):
            self.dev.queues[5].get()

    def test_nobody_at_the_other_end(self):
        self.up()
        self.dev.run(5, [b"into the void"], [])

    def test_without_multiport(self):
        s = self.connect(0)
        self.dev = VirtIO(self.q, DEVFN)
        self.dev.setup(0, queues=(0, 1))
        self.posted = {0: []}
        self.dev.run(1, [b"plain"], [])
        self.assertEqual(s.recv(10), b"plain")
        self.post(0, 10)
        s.sendall(b"back")
        self.assertEqual(self.take(0), b"back")

    def test_emergency_write(self):
        s = self.connect(0)
        self.start()
        for c in b"oops":
            self.dev.set_config(8, bytes([c]))
        got = b""
        while got != b"oops":
            got += s.recv(10)

    def test_unknown_ports_give_buffers_back(self):
        self.up(ports=(0, 1, 7))
        self.dev.run(17, [b"nobody"], [])


class Hotplug(SerialTest):
    ports = SerialTest.ports + ["virtserialport,id=p2"]

    def test_port_comes_and_goes(self):
        self.start()
        self.send(0, READY)
        self.assertEqual([self.control()[:2] for _ in range(3)], [(0, ADD), (1, ADD), (2, ADD)])
        self.q.qmp("device_add", driver="virtserialport", id="p9", nr=9, name="late", bus="vs.0")
        self.assertEqual(self.control(), (9, ADD, 1, b""))
        self.send(9, PORT_READY)
        self.assertEqual(self.control(), (9, NAME, 1, b"late"))
        for port, name in ((9, "p9"), (2, "p2")):
            self.q.qmp("device_del", id=name)
            self.assertEqual(self.control(), (port, REMOVE, 1, b""))


class State(SerialTest):
    def test_data_under_way(self):
        """A buffer half written and input half delivered go on in another machine."""
        s = self.connect(1)
        self.up()
        self.post(4, 10)                # the host's bytes are more than this
        s.sendall(b"0123456789abcdef")
        self.assertEqual(self.take(4), b"0123456789")
        data = random.Random(2).randbytes(1 << 20)
        at = self.dev.alloc(len(data), data)
        self.dev.queues[5].add([(at, len(data), 0)])    # more than the socket takes
        self.dev.kick(5)
        state = self.q.command_line("vmstate_save")
        other = QTest([a.replace(self.dir.name, self.dir.name + "/b") for a in self.args])
        self.addCleanup(other.close)
        t = socket.socket(socket.AF_UNIX)
        self.addCleanup(t.close)
        t.connect(self.dir.name + "/b/1")
        t.settimeout(30)
        for at in range(RINGS, self.dev.next_memory, 1 << 16):
            other.write(at, self.q.read(at, 1 << 16))
        other.command_line("vmstate_load " + state)
        self.dev.q = other
        for ring in self.dev.queues.values():
            ring.q = other
        first, q = s.recv(2 << 20, socket.MSG_PEEK), self.q
        self.q = other
        self.post(4, 10)
        self.assertEqual(self.take(4), b"abcdef")
        got = b""
        other.clock_step(1)
        while not data.endswith(got) or len(got) < 1000:
            got += t.recv(1 << 20)
        self.dev.queues[5].get()
        self.assertTrue(data.startswith(first))
        self.q = q

    def setUp(self):
        super().setUp()
        os.mkdir(self.dir.name + "/b")


class Refusals(TestCase):
    args = ["-M", "none"]

    def test_command_lines(self):
        import subprocess
        base = [EMULATOR, "-M", "pc", "-display", "none", "-S", "-device", "virtio-serial-pci,id=v,max_ports=3",
                "-chardev", "null,id=c"]
        for args, words in ((["-device", "virtserialport,chardev=c,nr=0"], ("nr=0", "virtconsole")),
                            (["-device", "virtserialport,chardev=c,nr=3"], ("nr=3", "2")),
                            (["-device", "virtserialport,nr=1", "-device", "virtserialport,nr=1"], ("in use",)),
                            (["-device", "virtconsole"] + 3 * ["-device", "virtserialport"], ("free port",))):
            r = subprocess.run(base + args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
            self.assertEqual(r.returncode, 1, r)
            for w in words:
                self.assertIn(w, r.stderr.decode())


if __name__ == "__main__":
    main()
