#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""USB by registers and descriptors in memory: the UHCI controller and its schedule, enumeration,
keyboard, mouse, tablet and hub, schedules without sense."""

import os
import random
import struct
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from libqtest import EMULATOR, Failed, TestCase, main               # noqa: E402

UHCI = 1 << 3 | 2
IO = 0xc000
CMD, STS, INTR, FRNUM, BASE, SOF, PORT = IO, IO + 2, IO + 4, IO + 6, IO + 8, IO + 12, IO + 16
RUN, HCRESET, GRESET, EGSM = 1, 2, 4, 8
S_INT, S_ERROR, S_RESUME, S_SYSTEM, S_PROCESS, S_HALTED = 1, 2, 4, 8, 16, 32
CONNECTED, CONNECT_CHANGE, ENABLED, ENABLE_CHANGE, RESUME, RESET, SUSPEND = \
    1, 2, 4, 8, 0x40, 0x200, 0x1000
END, QH, DEPTH = 1, 2, 4
ACTIVE, STALLED, BABBLE, NAK, TIMEOUT, IOC, SPD = \
    1 << 23, 1 << 22, 1 << 20, 1 << 19, 1 << 18, 1 << 24, 1 << 29
ERRORS3 = 3 << 27
SETUP, IN, OUT = 0x2d, 0x69, 0xe1
LIST, QUEUE, TDS, BUFFER = 0x100000, 0x102000, 0x103000, 0x110000
MS = 1000000


class Stalled(Exception):
    pass


class Host(TestCase):
    """A driver in a few lines: one queue, filled with one transfer at a time."""
    devices = ()

    def setUp(self):
        self.args = ["-M", "pc", "-m", "16", "-usb"]
        for d in self.devices:
            self.args += ["-device", d]
        super().setUp()
        q = self.q
        q.pci_writel(UHCI, 0x20, IO)
        q.pci_writew(UHCI, 4, 5)
        q.write(LIST, struct.pack("<I", QUEUE | QH) * 1024)
        self.queue(END)
        q.outl(BASE, LIST)
        q.outw(CMD, RUN)

    def queue(self, element, link=END):
        self.q.write(QUEUE, struct.pack("<II", link, element))

    def td(self, n, pid, address, ep, room, flags=0, link=None, buffer=None):
        self.q.write(TDS + 16 * n, struct.pack(
            "<IIII", TDS + 16 * (n + 1) | DEPTH if link is None else link, ACTIVE | ERRORS3 | flags,
            pid | address << 8 | ep << 15 | ((room - 1) & 0x7ff) << 21,
            BUFFER + 64 * n if buffer is None else buffer))

    def control_of(self, n):
        return self.q.readl(TDS + 16 * n + 4)

    def go(self, count, ms=40):
        """Run the TDs made before; how many of them are done."""
        self.queue(TDS)
        for _ in range(ms):
            self.q.clock_step(MS)
            if self.q.readl(QUEUE + 4) & END or self.q.inw(STS) & S_HALTED or \
                    any(self.control_of(n) & STALLED for n in range(count)):
                break
        self.queue_state = self.q.readl(QUEUE + 4)
        self.queue(END)
        return sum(not self.control_of(n) & ACTIVE for n in range(count))

    def control(self, address, request_type, request, value=0, index=0, length=0, data=b""):
        """A control transfer; what came in."""
        length = length or len(data)
        self.q.write(BUFFER, struct.pack("<BBHHH", request_type, request, value, index, length))
        self.td(0, SETUP, address, 0, 8)
        n = 1
        for at in range(0, length, 8):
            chunk = min(8, length - at)
            if not request_type & 0x80:
                self.q.write(BUFFER + 64 * n, data[at:at + chunk])
            self.td(n, IN if request_type & 0x80 else OUT, address, 0, chunk,
                    SPD if request_type & 0x80 else 0)
            n += 1
        self.td(n, OUT if request_type & 0x80 and length else IN, address, 0, 0, link=END)
        done = self.go(n + 1)
        got = b""
        for i in range(1, n):
            c = self.control_of(i)
            if c & (STALLED | TIMEOUT):
                raise Stalled(hex(c))
            if not c & ACTIVE and request_type & 0x80:
                got += self.q.read(BUFFER + 64 * i, (c + 1) & 0x7ff)
        if self.control_of(n) & STALLED or self.control_of(0) & STALLED:
            raise Stalled(hex(self.control_of(n)))
        if done < n + 1:                # short: the status stage by itself
            self.td(0, OUT, address, 0, 0, link=END)
            self.assertEqual(self.go(1), 1)
        return got

    def poll(self, address, room=8, ms=4, ep=1):
        """A report from the interrupt pipe, or None."""
        self.td(0, IN, address, ep, room, link=END)
        if not self.go(1, ms):
            self.assertTrue(self.control_of(0) & NAK)
            return None
        c = self.control_of(0)
        if c & STALLED:
            raise Stalled(hex(c))
        return self.q.read(BUFFER, (c + 1) & 0x7ff)

    def reset_port(self, n):
        self.q.outw(PORT + 2 * n, RESET)
        self.q.clock_step(50 * MS)
        self.q.outw(PORT + 2 * n, 0)
        self.q.outw(PORT + 2 * n, ENABLED | CONNECT_CHANGE | ENABLE_CHANGE)

    def attach(self, port, address):
        """Enable a root port's device and configure it."""
        self.reset_port(port)
        self.control(0, 0, 5, address)
        self.control(address, 0, 9, 1)

    def events(self, *events):
        self.q.qmp("input-send-event", events=[{"type": t, "data": d} for t, d in events])

    def move(self, kind, x, y):
        self.events((kind, {"axis": "x", "value": x}), (kind, {"axis": "y", "value": y}))

    def button(self, name, down):
        self.events(("btn", {"button": name, "down": down}))

    def key(self, name, down):
        self.events(("key", {"key": {"type": "qcode", "data": name}, "down": down}))

    def pin(self):
        return bool(self.q.pci_readw(UHCI, 6) & 8)


class ControllerTest(Host):
    devices = ["usb-tablet"]

    def test_power_on(self):
        q = self.q
        self.assertEqual(q.pci_readl(UHCI, 0), 0x70208086)
        self.assertEqual(q.pci_readl(UHCI, 8), 0x0c030001)
        self.assertEqual((q.pci_readb(UHCI, 0x3d), q.pci_readb(UHCI, 0x60)), (4, 0x10))
        q.outw(CMD, HCRESET)
        self.assertEqual([q.inw(IO + r) for r in (0, 2, 4, 6, 8, 10)], [0, S_HALTED, 0, 0, 0, 0])
        self.assertEqual(q.inb(SOF), 64)
        self.assertEqual(q.inw(PORT), 0x80 | CONNECTED | CONNECT_CHANGE)
        self.assertEqual(q.inw(PORT + 2), 0x80)
        self.assertFalse(q.inw(PORT + 4) & 0x80)        # how drivers count ports

    def test_frames(self):
        q = self.q
        first = q.inw(FRNUM)
        q.clock_step(5 * MS)
        self.assertEqual(q.inw(FRNUM), first + 5)
        q.clock_step(3000 * MS)                         # far more than are walked at once
        self.assertEqual(q.inw(FRNUM), (first + 3005) & 0x7ff)
        q.outw(FRNUM, 7)                                # only a halted one takes it
        self.assertNotEqual(q.inw(FRNUM), 7)
        q.outw(CMD, 0)
        self.assertEqual(q.inw(STS), S_HALTED)
        q.outw(FRNUM, 7)
        q.clock_step(5 * MS)
        self.assertEqual(q.inw(FRNUM), 7)
        q.outw(CMD, RUN)
        q.clock_step(MS)
        self.assertEqual((q.inw(STS), q.inw(FRNUM)), (0, 8))

    def wakes(self, ms):
        """Timers that fire within so many ms."""
        n, now = 0, self.q.clock_step(0)
        end = now + ms * MS
        while now < end:
            last, now = now, self.q.clock_step()
            if now == last:             # no timer at all
                break
            n += 1
        return n

    def test_quiet(self):
        """Questions nobody answers cost few wake-ups, news wakes, a halted controller costs none."""
        q = self.q
        self.attach(0, 5)
        q.outw(CMD, 0)
        halted = self.wakes(160)
        q.outw(CMD, RUN)
        self.td(0, IN, 5, 1, 8, link=END)
        self.queue(TDS)
        self.assertGreaterEqual(self.wakes(60), 59)
        q.clock_step(100 * MS)
        self.assertLessEqual(self.wakes(160), halted + 12)
        self.assertTrue(self.control_of(0) & ACTIVE)
        self.move("abs", 100, 200)
        q.clock_step(MS)
        self.assertFalse(self.control_of(0) & ACTIVE)
        q.clock_step(200 * MS)
        self.td(0, IN, 5, 1, 8, link=END)               # put there without a word
        self.queue(TDS)
        self.button("left", True)
        q.clock_step(MS)
        self.assertFalse(self.control_of(0) & ACTIVE)
        q.clock_step(200 * MS)
        self.td(0, SETUP, 5, 0, 8, link=END)
        self.queue(TDS)
        q.clock_step(17 * MS)
        self.assertFalse(self.control_of(0) & ACTIVE)

    def test_interrupts(self):
        q = self.q
        self.attach(0, 5)
        q.outw(STS, 0xffff)
        self.td(0, SETUP, 5, 0, 8, IOC, link=END)
        q.write(BUFFER, struct.pack("<BBHHH", 0x80, 6, 0x100, 0, 18))
        self.go(1)
        self.assertEqual((q.inw(STS), self.pin()), (S_INT, False))
        q.outw(INTR, 4)
        self.assertTrue(self.pin())
        q.outw(STS, S_INT)
        self.assertEqual((q.inw(STS), self.pin()), (0, False))
        self.td(0, IN, 5, 0, 64, SPD, link=END)         # gets 8
        self.assertEqual(self.go(1), 1)
        self.assertEqual(self.queue_state, TDS)         # the queue stays there
        self.assertEqual((q.inw(STS), self.pin()), (S_INT, False))
        q.outw(INTR, 8)
        self.assertTrue(self.pin())
        q.outw(STS, S_INT)
        # an inactive one that asks for an interrupt
        q.outw(INTR, 4)
        self.td(0, IN, 5, 0, 8, IOC, link=END)
        q.writel(TDS + 4, IOC)
        self.queue(TDS)
        q.clock_step(MS)
        self.assertTrue(self.pin())

    def test_errors(self):
        q = self.q
        self.reset_port(0)
        q.outw(INTR, 1)
        self.td(0, IN, 99, 0, 8, link=END)              # nobody has that address
        self.queue(TDS)
        q.clock_step(2 * MS)
        self.assertEqual(self.control_of(0) & (ACTIVE | ERRORS3 | TIMEOUT), ACTIVE | 1 << 27 | TIMEOUT)
        self.assertEqual(q.inw(STS), 0)
        q.clock_step(MS)
        self.assertEqual(self.control_of(0) & (ACTIVE | ERRORS3 | STALLED | TIMEOUT), STALLED | TIMEOUT)
        self.assertEqual((q.inw(STS), self.pin()), (S_ERROR, True))
        q.outw(STS, S_ERROR)
        self.assertFalse(self.pin())
        self.td(0, IN, 0, 0, 8, link=END)               # no SETUP came before
        self.go(1)
        self.assertEqual(self.control_of(0) & (ACTIVE | STALLED), STALLED)
        self.assertEqual(q.inw(STS), S_ERROR)
        q.outw(STS, 0xffff)
        self.attach(0, 5)
        self.move("abs", 1, 2)
        self.assertRaises(Stalled, self.poll, 5, 4)     # a report of six bytes
        self.assertTrue(self.control_of(0) & BABBLE)

    def test_master_off(self):
        q = self.q
        q.pci_writew(UHCI, 4, 1)
        self.td(0, IN, 0, 0, 8, link=END)
        self.queue(TDS)
        first = q.inw(FRNUM)
        q.clock_step(10 * MS)
        self.assertEqual((q.inw(FRNUM), q.inw(STS)), (first + 10, 0))
        self.assertTrue(self.control_of(0) & ACTIVE)

    def test_suspend(self):
        q = self.q
        self.attach(0, 5)
        self.control(5, 0, 3, 1)                        # remote wakeup
        self.assertEqual(self.control(5, 0x80, 0, length=2), b"\2\0")
        q.outw(INTR, 2)
        q.outw(PORT, ENABLED | SUSPEND)
        q.clock_step(10 * MS)
        self.td(0, IN, 5, 1, 8, link=END)
        self.assertEqual(self.go(1, 2), 0)              # nobody answers
        self.assertEqual((q.inw(STS) & S_RESUME, self.pin()), (0, False))
        self.move("abs", 5, 6)
        self.assertEqual((q.inw(STS) & S_RESUME, self.pin()), (S_RESUME, True))
        self.assertTrue(q.inw(PORT) & RESUME)
        q.outw(STS, S_RESUME)
        q.outw(PORT, ENABLED)
        self.assertFalse(q.inw(PORT) & (SUSPEND | RESUME))
        self.assertEqual(self.poll(5)[1:5], struct.pack("<HH", 5, 6))
        q.outw(CMD, EGSM)                               # the whole bus
        self.assertFalse(q.inw(STS) & S_RESUME)
        self.move("abs", 7, 8)
        self.assertTrue(q.inw(STS) & S_RESUME)

    def test_global_reset(self):
        q = self.q
        self.attach(0, 5)
        q.outw(CMD, GRESET)
        q.clock_step(10 * MS)
        q.outw(CMD, 0)
        self.assertEqual(q.inw(STS), S_HALTED)
        self.assertEqual(q.inw(PORT), 0x80 | CONNECTED | CONNECT_CHANGE)
        self.assertIn("Device 0.0, Port 1", q.hmp("info usb"))

    def test_hotplug(self):
        q = self.q
        self.attach(0, 5)
        q.outw(CMD, EGSM)
        q.qmp("device_add", driver="usb-mouse", id="m", port="2")
        self.assertEqual(q.inw(PORT + 2), 0x80 | CONNECTED | CONNECT_CHANGE)
        self.assertTrue(q.inw(STS) & S_RESUME)
        q.outw(STS, S_RESUME)
        q.outw(CMD, RUN)
        self.attach(1, 6)
        self.assertIsNone(self.poll(6))                 # from now on it gets the events
        self.move("rel", 3, 4)
        self.assertEqual(self.poll(6), b"\0\3\4\0")
        q.qmp("device_del", id="m")
        self.assertEqual(q.wait_event("DEVICE_DELETED")["data"]["device"], "m")
        self.assertEqual(q.inw(PORT + 2), 0x80 | CONNECT_CHANGE | ENABLE_CHANGE)
        self.td(0, IN, 6, 1, 8, link=END)
        self.go(1)
        self.assertTrue(self.control_of(0) & TIMEOUT)


class HostileTest(Host):
    devices = ["usb-tablet", "usb-hub", "usb-kbd"]

    def survive(self, ms=50):
        """The machine goes on, and so do the frames."""
        first = self.q.inw(FRNUM)
        self.q.clock_step(ms * MS)
        self.assertEqual(self.q.inw(FRNUM), first + ms & 0x7ff)
        self.assertFalse(self.q.inw(STS) & S_HALTED)
        self.q.qmp("query-status")

    def test_loops(self):
        q = self.q
        self.attach(0, 5)
        self.queue(QUEUE | QH, QUEUE | QH)              # itself, down and to the right
        self.survive()
        q.write(QUEUE, struct.pack("<II", QUEUE + 16 | QH, END))
        q.write(QUEUE + 16, struct.pack("<II", QUEUE | QH, END))
        self.survive()
        self.td(0, IN, 5, 1, 8, link=TDS)               # a TD that follows itself
        q.writel(LIST, TDS)
        q.write(LIST, struct.pack("<I", TDS) * 1024)
        self.survive()
        self.td(0, IN, 5, 1, 8, link=TDS | DEPTH)
        q.write(LIST, struct.pack("<I", QUEUE | QH) * 1024)
        self.queue(TDS, QUEUE | QH)
        self.survive()
        self.td(0, OUT, 5, 0, 0, IOC, link=TDS | DEPTH)
        self.queue(TDS, QUEUE | QH)
        self.survive()

    def test_bad_descriptors(self):
        q = self.q
        self.attach(0, 5)
        for pid, room in ((0, 8), (0xff, 8), (IN, 1281), (SETUP, 2047)):
            q.outw(STS, 0xffff)
            self.td(0, pid, 5, 0, room, link=END)
            self.queue(TDS)
            q.clock_step(2 * MS)
            self.assertEqual(q.inw(STS), S_PROCESS | S_HALTED, (pid, room))
            self.assertEqual(q.inw(CMD) & RUN, 0)
            self.assertTrue(self.pin())
            q.outw(STS, 0xffff)
            self.assertFalse(self.pin())
            q.outw(CMD, RUN)

    def test_bad_pointers(self):
        q = self.q
        self.attach(0, 5)
        for what in ("list", "queue", "td", "data"):
            nowhere = 0xd0000000
            self.td(0, OUT, 5, 0, 8, link=END, buffer=nowhere if what == "data" else None)
            q.outl(BASE, nowhere if what == "list" else LIST)
            q.write(LIST, struct.pack("<I", nowhere | QH if what == "queue" else QUEUE | QH) * 1024)
            self.queue(nowhere if what == "td" else TDS)
            q.clock_step(2 * MS)
            self.assertEqual(q.inw(STS), S_SYSTEM | S_HALTED, what)
            q.outw(STS, 0xffff)
            q.outw(CMD, RUN)

    def test_bad_requests(self):
        """Sizes, descriptors, endpoints, addresses that do not exist."""
        self.attach(0, 5)
        for args in ((0x80, 6, 0x900, 0, 8), (0x80, 6, 0x3ff, 0, 8), (0, 9, 7), (0, 3, 9),
                     (2, 1, 0, 0x83), (0x81, 6, 0x2300, 0, 8), (0x81, 10, 0, 3, 1), (0, 5, 200),
                     (0x21, 11, 0), (0xa1, 1, 0x300, 0, 8), (0xc0, 77, 0, 0, 8), (0x23, 3, 4, 1)):
            self.assertRaises(Stalled, self.control, 5, *args)
        self.q.write(BUFFER, struct.pack("<BBHHH", 0, 9, 1, 0, 65535))
        self.td(0, SETUP, 5, 0, 8)
        self.td(1, OUT, 5, 0, 1280, link=END)
        self.go(2)
        self.assertTrue(self.control_of(1) & STALLED)
        self.td(0, SETUP, 5, 0, 3, link=END)            # not a whole one
        self.go(1)
        self.assertTrue(self.control_of(0) & TIMEOUT)
        self.td(0, IN, 5, 9, 8, link=END)
        self.go(1)
        self.assertTrue(self.control_of(0) & TIMEOUT)
        self.assertEqual(self.control(5, 0x80, 6, 0x100, 0, 18)[:2], b"\x12\1")
        # all a host may ask for at once: what there is comes
        self.assertEqual(len(self.control(5, 0x80, 6, 0x200, 0, 200)), 34)

    def test_random_schedules(self):
        """Memory full of queue heads and descriptors that point at each other."""
        q, seed = self.q, int(os.environ.get("ORRERY_SEED", "0")) or random.randrange(1 << 30)
        r = random.Random(seed)
        self.attach(0, 5)
        for turn in range(40):
            words = []
            for _ in range(1024):
                kind = r.randrange(4)
                words.append(LIST + r.randrange(0, 0x4000, 16) | r.randrange(8) if kind < 2 else
                             r.choice((IN, OUT, SETUP)) | r.choice((0, 5, 6)) << 8
                             | r.randrange(2) << 15 | r.choice((7, 0x7ff, 63)) << 21 if kind == 2
                             else ACTIVE | r.getrandbits(32))
            q.write(LIST + r.randrange(4) * 0x1000, struct.pack("<1024I", *words))
            q.outw(STS, 0xffff)
            q.outw(CMD, RUN)
            q.outw(PORT, ENABLED)
            q.clock_step(r.randrange(1, 300) * MS)
        try:
            q.qmp("query-status")
        except Exception as e:
            self.fail("ORRERY_SEED=%d: %s" % (seed, e))


class TabletTest(Host):
    devices = ["usb-tablet,id=t"]

    def test_enumerate(self):
        self.reset_port(0)
        first = self.control(0, 0x80, 6, 0x100, 0, 8)
        self.assertEqual(first, bytes([18, 1, 0, 2, 0, 0, 0, 8]))
        self.control(0, 0, 5, 5)
        device = self.control(5, 0x80, 6, 0x100, 0, 18)
        self.assertEqual(struct.unpack("<HHH", device[8:14]), (0x0627, 1, 0))
        names = [self.control(5, 0x80, 6, 0x300 | n, 0x409, 255) for n in device[14:17]]
        self.assertEqual([n[2:].decode("utf-16le") for n in names],
                         ["QEMU", "QEMU USB Tablet", "28754-0000:00:01.2-1"])
        self.assertEqual(self.control(5, 0x80, 6, 0x300, 0, 255), b"\4\3\x09\x04")
        config = self.control(5, 0x80, 6, 0x200, 0, 9)
        config = self.control(5, 0x80, 6, 0x200, 0, struct.unpack("<H", config[2:4])[0])
        self.assertEqual((len(config), config[14:17]), (34, b"\3\0\0"))
        self.assertEqual(config[27:34], bytes([7, 5, 0x81, 3, 8, 0, 10]))
        report = self.control(5, 0x81, 6, 0x2200, 0, config[25])
        self.assertEqual((len(report), report[0], report[-1]), (config[25], 5, 0xc0))
        self.assertEqual(self.control(5, 0x80, 8, length=1), b"\0")
        self.control(5, 0, 9, 1)
        self.assertEqual(self.control(5, 0x80, 8, length=1), b"\1")
        self.assertIn("Device 0.5, Port 1, Speed 12 Mb/s, Product QEMU USB Tablet, ID: t",
                      self.q.hmp("info usb"))

    def test_reports(self):
        self.attach(0, 5)
        self.assertIsNone(self.poll(5))
        self.move("abs", 0x1234, 0x7fff)
        self.assertEqual(self.poll(5), struct.pack("<BHHb", 0, 0x1234, 0x7fff, 0))
        self.assertIsNone(self.poll(5))
        # a click and movements that wait: the click keeps its place
        self.move("abs", 10, 20)
        self.move("abs", 30, 40)
        self.button("left", True)
        self.button("left", False)
        self.move("abs", 50, 60)
        self.move("abs", 70, 80)
        self.button("right", True)
        self.events(("btn", {"button": "wheel-up", "down": True}))
        got = []
        while True:
            report = self.poll(5)
            if not report:
                break
            got.append(struct.unpack("<BHHb", report))
        self.assertEqual(got, [(0, 30, 40, 0), (1, 30, 40, 0), (0, 30, 40, 0), (0, 70, 80, 0),
                               (2, 70, 80, 0), (2, 70, 80, 1)])
        self.assertEqual(self.control(5, 0xa1, 1, 0x100, 0, 8), struct.pack("<BHHb", 2, 70, 80, 0))

    def test_who_is_current(self):
        """The tablet gets the pointer when the guest asks for it, and gives it back at reset."""
        def current():
            return [m["name"] for m in self.q.qmp("query-mice") if m["current"]]
        self.assertEqual(current(), ["QEMU PS/2 Mouse"])
        self.attach(0, 5)
        self.assertEqual(current(), ["QEMU PS/2 Mouse"])
        self.poll(5)
        self.assertEqual(current(), ["QEMU HID Tablet"])
        self.q.reset()
        self.assertEqual(current(), ["QEMU PS/2 Mouse"])

    def test_nobody_asks_any_more(self):
        """A guest that stopped asking is operated by PS/2 again, from the first event on."""
        q = self.q
        q.qmp("device_add", driver="usb-kbd", port="2")
        self.attach(1, 6)
        self.poll(6)
        q.outb(0x64, 0xae)                              # the PS/2 keyboard is on
        self.key("a", True)
        self.assertEqual(self.poll(6).hex(), "0000040000000000")
        self.assertFalse(q.inb(0x64) & 1)
        q.outw(CMD, 0)
        q.clock_step(1100 * MS)
        self.key("b", True)
        self.assertTrue(q.inb(0x64) & 1)
        q.outw(CMD, RUN)
        self.assertIsNone(self.poll(6))
        self.key("c", True)
        self.assertEqual(self.poll(6).hex(), "0000060000000000")

    def test_halted_endpoint(self):
        self.attach(0, 5)
        self.control(5, 2, 3, 0, 0x81)
        self.assertEqual(self.control(5, 0x82, 0, 0, 0x81, 2), b"\1\0")
        self.assertRaises(Stalled, self.poll, 5)
        self.control(5, 2, 1, 0, 0x81)
        self.assertIsNone(self.poll(5))

    def test_idle(self):
        self.attach(0, 5)
        self.move("abs", 3, 4)
        self.poll(5)
        self.control(5, 0x21, 10, 5 << 8)               # again every 20 ms
        self.assertEqual(self.control(5, 0xa1, 2, length=1), b"\5")
        self.assertIsNone(self.poll(5, ms=3))
        self.q.clock_step(20 * MS)
        self.assertEqual(self.poll(5), struct.pack("<BHHb", 0, 3, 4, 0))
        self.assertIsNone(self.poll(5, ms=3))


class MouseTest(Host):
    devices = ["usb-mouse"]

    def test_reports(self):
        self.attach(0, 5)
        self.assertIsNone(self.poll(5))
        self.move("rel", 300, -5)
        self.button("side", True)
        self.assertEqual(self.poll(5), struct.pack("<Bbbb", 0, 127, -5, 0))
        self.assertEqual(self.poll(5), struct.pack("<Bbbb", 0, 127, 0, 0))
        self.assertEqual(self.poll(5), struct.pack("<Bbbb", 0, 46, 0, 0))
        self.assertEqual(self.poll(5), struct.pack("<Bbbb", 8, 0, 0, 0))
        self.events(("btn", {"button": "wheel-down", "down": True}))
        self.assertEqual(self.poll(5), struct.pack("<Bbbb", 8, 0, 0, -1))
        self.assertIsNone(self.poll(5))
        self.control(5, 0x21, 11, 0)
        self.assertEqual(self.control(5, 0xa1, 3, length=1), b"\0")
        self.move("rel", 1, 2)
        self.assertEqual(self.poll(5), b"\x08\1\2")


class KeyboardTest(Host):
    devices = ["usb-kbd"]

    def test_reports(self):
        self.key("x", True)                             # goes to the PS/2 keyboard
        self.key("x", False)
        self.attach(0, 5)
        self.assertIsNone(self.poll(5))
        self.key("shift", True)
        self.key("a", True)
        self.key("a", False)
        self.key("shift", False)
        self.assertEqual([self.poll(5).hex() for _ in range(4)],
                         ["0200000000000000", "0200040000000000", "0200000000000000", "00" * 8])
        self.assertIsNone(self.poll(5))
        for k in "bcdefg":
            self.key(k, True)
            self.poll(5)
        self.assertEqual(self.control(5, 0xa1, 1, 0x100, 0, 8).hex(), "00000506" + "0708090a")
        self.key("h", True)
        self.assertEqual(self.poll(5).hex(), "0000010101010101")
        self.key("c", False)
        self.assertEqual(self.poll(5).hex(), "00000507" + "08090a0b")

    def test_full_queue(self):
        """More than the queue holds: what is down is right in the end."""
        self.attach(0, 5)
        self.poll(5)
        for _ in range(40):
            self.key("a", True)
            self.key("a", False)
        self.key("b", True)
        last = None
        for _ in range(200):
            report = self.poll(5, ms=1)
            if report is None:
                break
            last = report
        self.assertEqual(last.hex(), "0000050000000000")

    def test_leds(self):
        self.attach(0, 5)
        self.control(5, 0x21, 9, 0x200, data=b"\2")
        self.assertRegex(self.q.hmp("info device usb-kbd"), r"leds: (0x)?0*2\b")
        self.assertRaises(Stalled, self.control, 5, 0x21, 9, 0x300, data=b"\2")


class WakeTest(Host):
    """The machine in S3: who may wake it."""
    devices = ["usb-kbd,port=1", "usb-tablet,port=2"]
    PM, BASE = 0x0b, 0x600

    def sleep(self, wakes):
        q = self.q
        for port, address in ((0, 4), (1, 5)):
            self.attach(port, address)
            if wakes[port]:
                self.control(address, 0, 3, 1)          # remote wakeup
            q.outw(PORT + 2 * port, ENABLED | SUSPEND)
        q.pci_writel(self.PM, 0x40, self.BASE | 1)
        q.pci_writeb(self.PM, 0x80, 1)
        q.outw(self.BASE + 4, 0x2400)                   # SLP_EN, type of S3
        q.wait_event("SUSPEND")

    def status(self):
        return self.q.qmp("query-status")["status"]

    def test_a_key_wakes(self):
        self.sleep((True, False))
        self.move("abs", 5, 6)                          # the tablet may not
        self.q.clock_step(10 * MS)
        self.assertEqual(self.status(), "suspended")
        self.q.qmp("input-send-event", events=[{"type": "key", "data": {
            "down": True, "key": {"type": "qcode", "data": "a"}}}])
        self.q.wait_event("WAKEUP")
        self.assertEqual(self.status(), "running")

    def test_the_pointer_wakes(self):
        self.sleep((False, True))
        self.move("abs", 7, 8)
        self.q.wait_event("WAKEUP")
        self.assertEqual(self.status(), "running")


class HubTest(Host):
    devices = ["usb-hub,id=h,port=1", "usb-tablet,id=t,port=1.3", "usb-kbd,port=1.8"]

    def status(self, port):
        return struct.unpack("<HH", self.control(4, 0xa3, 0, 0, port, 4))

    def test_ports(self):
        self.attach(0, 4)
        hub = self.control(4, 0xa0, 6, 0x2900, 0, 64)
        self.assertEqual(hub[:7], bytes([11, 0x29, 8, 0x0a, 0, 1, 0]))
        self.assertEqual(self.control(4, 0xa0, 0, length=4), b"\0\0\0\0")
        self.assertEqual(self.poll(4), struct.pack("<H", 1 << 3 | 1 << 8))
        self.assertEqual(self.status(1), (0x100, 0))
        self.assertEqual(self.status(3), (0x101, 1))
        self.control(4, 0x23, 1, 16, 3)
        self.control(4, 0x23, 1, 16, 8)
        self.assertIsNone(self.poll(4))
        self.td(0, SETUP, 0, 0, 8, link=END)            # not enabled yet: deaf
        self.go(1)
        self.assertTrue(self.control_of(0) & TIMEOUT)
        self.control(4, 0x23, 3, 4, 3)                  # reset
        self.assertEqual(self.status(3), (0x103, 0x10))
        self.assertEqual(self.poll(4), struct.pack("<H", 1 << 3))
        self.control(4, 0x23, 1, 20, 3)
        self.control(0, 0, 5, 9)
        self.control(9, 0, 9, 1)
        self.move("abs", 11, 12)
        self.poll(9)
        self.assertIn("Device 0.9, Port 1.3", self.q.hmp("info usb"))
        self.control(4, 0x23, 3, 2, 3)                  # suspended: deaf again
        self.td(0, IN, 9, 1, 8, link=END)
        self.go(1)
        self.assertTrue(self.control_of(0) & TIMEOUT)
        self.control(4, 0x23, 1, 2, 3)
        self.assertEqual(self.status(3), (0x103, 4))
        self.control(4, 0x23, 1, 18, 3)
        self.q.qmp("device_del", id="t")
        self.assertEqual(self.poll(4), struct.pack("<H", 1 << 3))
        self.assertEqual(self.status(3), (0x100, 3))
        self.assertRaises(Stalled, self.control, 4, 0x23, 3, 4, 9)

    def test_unplugged_with_all_below(self):
        self.q.qmp("device_del", id="h")
        gone = [self.q.wait_event("DEVICE_DELETED")["data"].get("device") for _ in range(2)]
        self.assertIn("h", gone + [self.q.wait_event("DEVICE_DELETED")["data"].get("device")])
        self.assertEqual(self.q.hmp("info usb").strip(), "")
        self.assertEqual(self.q.inw(PORT) & CONNECTED, 0)

    def test_power(self):
        self.q.qmp("device_add", driver="usb-hub", id="p", port="2", ports=2, **{"port-power": True})
        self.q.qmp("device_add", driver="usb-mouse", port="2.2")
        self.attach(1, 4)
        self.assertEqual(self.status(2), (0, 0))
        self.control(4, 0x23, 3, 8, 2)
        self.assertEqual(self.status(2), (0x101, 1))
        self.assertEqual(self.poll(4), b"\4")
        self.control(4, 0x23, 1, 8, 2)
        self.assertEqual(self.status(2), (0, 0))

    def test_chain(self):
        """Five hubs in a row, not six; what needs a port gets a hub when it would take the last."""
        path = "1"
        for _ in range(4):
            path += ".1"
            self.q.qmp("device_add", driver="usb-hub", port=path)
        with self.assertRaisesRegex(Failed, "behind 5 hubs"):
            self.q.qmp("device_add", driver="usb-hub", port=path + ".1")
        self.q.qmp("device_add", driver="usb-mouse", port=path + ".1")
        with self.assertRaisesRegex(Failed, "in use"):
            self.q.qmp("device_add", driver="usb-mouse", port=path + ".1")


class CommandLineTest(TestCase):
    args = ["-M", "pc", "-usbdevice", "tablet", "-usbdevice", "keyboard", "-usbdevice", "mouse"]

    def test_usbdevice(self):
        self.assertEqual([line.split(", ")[1::2] for line in self.q.hmp("info usb").splitlines()],
                         [["Port 1", "Product QEMU USB Tablet"], ["Port 2", "Product QEMU USB Hub"],
                          ["Port 2.1", "Product QEMU USB Keyboard"],
                          ["Port 2.2", "Product QEMU USB Mouse"]])

    def test_refused(self):
        for args, words in ((["-usbdevice", "disk:x"], "'tablet', 'mouse' and 'keyboard'"),
                            (["-device", "usb-tablet"], "No 'usb-bus' bus"),
                            (["-usb", "-device", "usb-kbd,port=3"], "port=3"),
                            (["-usb", "-device", "usb-kbd,usb_version=3"], "usb_version=3"),
                            (["-usb", "-device", "usb-hub,ports=9"], "ports=9")):
            p = subprocess.run([EMULATOR, "-M", "pc", "-display", "none", "-S", *args],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, timeout=60)
            self.assertEqual(p.returncode, 1, p.stdout)
            self.assertIn(words, p.stdout)


class TwoControllersTest(TestCase):
    args = ["-M", "pc", "-usb", "-device", "piix4-usb-uhci,id=u,addr=5", "-device", "usb-kbd,bus=u.0",
            "-device", "usb-mouse", "-device", "usb-tablet,bus=usb-bus.0,serial=abc"]

    def test_who_sits_where(self):
        self.assertEqual([line.split(", ")[:4:3] for line in self.q.hmp("info usb").splitlines()],
                         [["  Device 0.0", "Product QEMU USB Mouse"],
                          ["  Device 0.0", "Product QEMU USB Hub"],
                          ["  Device 0.0", "Product QEMU USB Tablet"],
                          ["  Device 1.0", "Product QEMU USB Keyboard"]])
        self.assertEqual(self.q.pci_readl(5 << 3, 0), 0x71128086)
        self.assertEqual(self.q.pci_readl(UHCI, 0), 0x70208086)


class NoUsbTest(TestCase):
    args = ["-M", "pc"]

    def test_none(self):
        self.assertEqual(self.q.hmp("info usb").strip(), "USB support not enabled")


if __name__ == "__main__":
    main()
