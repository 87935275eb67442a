#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""virtio-keyboard-pci, virtio-mouse-pci, virtio-tablet-pci: what they are, events, LEDs, state."""

import base64
import os
import re
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from libqtest import QTest, TestCase, main                          # noqa: E402
from virtio import PACKED, WRITE, VirtIO                            # noqa: E402

DEVFN = 4 << 3
NAME, SERIAL, IDS, EVENTS, ABS = 1, 2, 3, 0x11, 0x12
SYN, KEY, REL, ABSOLUTE, LED, REP = 0, 1, 2, 3, 0x11, 0x14
BUTTONS = {0x110, 0x111, 0x112, 0x113, 0x114}


class Input(VirtIO):
    def __init__(self, q, want=0, size=None):
        super().__init__(q, DEVFN)
        self.setup(want, (0, 1), size)
        self.places = []

    def listen(self, n):
        """n buffers for events."""
        for _ in range(n):
            at = self.alloc(8)
            self.places.append(at)
            self.queues[0].add([(at, 8, WRITE)])
        self.kick(0)

    def events(self, n):
        found = []
        for _ in range(n):
            assert self.queues[0].get() == 8
            found.append(struct.unpack("<HHi", self.q.read(self.places.pop(0), 8)))
        return found

    def select(self, what, sub=0):
        self.set_config(0, bytes((what, sub)))
        head = self.config(0, 8)
        assert head[:2] == bytes((what, sub)) and head[3:] == bytes(5)
        return self.config(8, 128)[:head[2]]

    def codes(self, kind):
        bits = self.select(EVENTS, kind)
        return {n for n in range(8 * len(bits)) if bits[n // 8] >> n % 8 & 1}


class InputTest(TestCase):
    kind, extra = "keyboard", ""

    def setUp(self):
        self.args = ["-M", "pc", "-m", "16", "-rtc", "clock=vm", "-vga", "none",
                     "-device", "virtio-%s-pci,addr=4,id=in%s" % (self.kind, self.extra)]
        super().setUp()
        self.d = Input(self.q)

    def send(self, *events, **more):
        self.q.qmp("input-send-event", events=[{"type": t, "data": d} for t, d in events], **more)


def press(name, down=True):
    return "key", {"key": {"type": "qcode", "data": name}, "down": down}


def button(name, down=True):
    return "btn", {"button": name, "down": down}


class Keyboard(InputTest):
    extra = ",serial=kbd7"

    def test_identity(self):
        q, d = self.q, self.d
        self.assertEqual((q.pci_readl(DEVFN, 0), q.pci_readl(DEVFN, 8)), (0x10521af4, 0x09000001))
        self.assertEqual(d.select(NAME), b"QEMU Virtio Keyboard")
        self.assertEqual(d.select(SERIAL), b"kbd7")
        self.assertEqual(struct.unpack("<4H", d.select(IDS)), (6, 0x627, 1, 1))
        keys = d.codes(KEY)
        self.assertTrue({1, 30, 57, 87, 99, 103, 119, 125, 139} < keys)
        self.assertNotIn(0, keys)
        self.assertEqual(d.codes(LED), {0, 1, 2})
        self.assertEqual(d.select(EVENTS, REP), b"\0")
        for what, sub in ((0, 0), (NAME, 1), (IDS, 5), (EVENTS, REL), (EVENTS, 255), (ABS, 0), (0x10, 0), (255, 255)):
            self.assertEqual(d.select(what, sub), b"")
        self.q.writel(0xe1002000 + 8, 0xffffffff)      # what cannot be written
        self.assertEqual(d.select(SERIAL), b"kbd7")

    def test_keys(self):
        for want in (0, PACKED):
            d = Input(self.q, want)
            d.listen(8)
            self.send(press("a"))
            self.send(press("a", False), press("sysrq"))
            self.assertEqual(d.events(5), [(KEY, 30, 1), (SYN, 0, 0), (KEY, 30, 0), (KEY, 99, 1), (SYN, 0, 0)])
            self.assertTrue(d.isr() & 1)

    def test_every_key(self):
        """Each key that has a name gives one code, which is among those told."""
        keys, names = self.d.codes(KEY), ("esc", "f12", "kp_enter", "less", "ro", "yen", "henkan", "volumeup", "wake",
                                          "ac_bookmarks", "meta_r", "compose", "pause", "lang1", "calculator")
        self.d.listen(60)
        for name in names:
            self.send(press(name))
            (kind, code, value), end = self.d.events(2)
            self.assertEqual((kind, value, end), (KEY, 1, (SYN, 0, 0)))
            self.assertIn(code, keys)

    def test_events_wait_for_buffers(self):
        """A report is handed over whole; too many are dropped, and all is well afterwards."""
        d = self.d
        d.listen(3)
        self.send(press("a"), press("b"))
        self.send(press("c"))
        self.assertEqual(d.events(3), [(KEY, 30, 1), (KEY, 48, 1), (SYN, 0, 0)])
        d.listen(1)
        self.assertEqual(self.q.readw(d.queues[0].device + 2), 3)
        d.listen(1)
        self.assertEqual(d.events(2), [(KEY, 46, 1), (SYN, 0, 0)])
        for k in range(700):
            self.send(press("a", k % 2 == 0))
        got = 0
        while got < 1024:
            d.next_memory = 0x600000
            d.listen(32)
            self.assertEqual(d.events(32), [(KEY, 30, 1), (SYN, 0, 0), (KEY, 30, 0), (SYN, 0, 0)] * 8)
            got += 32
        d.listen(2)
        self.send(press("z"))
        self.assertEqual(d.events(2), [(KEY, 44, 1), (SYN, 0, 0)])

    def test_nobody_listens(self):
        """Before a driver is there, the PS/2 keyboard has the keys."""
        self.d.status(0)
        self.send(press("a"))
        self.assertEqual(self.q.inb(0x60), 0x1c)     # set 2
        d = Input(self.q)
        d.listen(2)
        self.send(press("b"))
        self.assertEqual(d.events(2), [(KEY, 48, 1), (SYN, 0, 0)])

    def test_leds(self):
        d = self.d
        for code in (1, 0, 2, 77, 65535):
            d.run(1, [struct.pack("<HHI", LED, code, 1)], [])
        d.run(1, [struct.pack("<HHI", REP, 0, 250)], [])
        d.run(1, [b"\x11\0\0"], [])
        self.assertEqual(self.leds(), 7)
        d.run(1, [struct.pack("<HHI", LED, 1, 0)], [])
        self.assertEqual(self.leds(), 5)

    def leds(self):
        dump = base64.b64decode(self.q.command_line("vmstate_dump")).decode()
        return int(re.search(r"virtio-keyboard.*?\n  leds: (\w+)", dump, re.S).group(1), 16)

    def test_saved(self):
        """Events that wait for buffers are handed over by the machine that loads the state."""
        self.send(press("q"), press("w"))
        state = self.q.command_line("vmstate_save")
        with QTest(self.args) as other:
            other.command_line("vmstate_load " + state)
            self.assertEqual(other.command_line("vmstate_save"), state)
            self.d.q = self.d.queues[0].q = other
            self.d.listen(5)
            self.assertEqual(self.d.events(3), [(KEY, 16, 1), (KEY, 17, 1), (SYN, 0, 0)])
            other.qmp("input-send-event", events=[{"type": "key", "data": press("e")[1]}])
            self.assertEqual(self.d.events(2), [(KEY, 18, 1), (SYN, 0, 0)])


class Mouse(InputTest):
    kind = "mouse"

    def test_identity(self):
        d = self.d
        self.assertEqual(self.q.pci_readl(DEVFN, 8), 0x09020001)
        self.assertEqual(d.select(NAME), b"QEMU Virtio Mouse")
        self.assertEqual(d.select(SERIAL), b"")
        self.assertEqual(struct.unpack("<4H", d.select(IDS)), (6, 0x627, 2, 2))
        self.assertEqual((d.codes(KEY), d.codes(REL), d.codes(ABSOLUTE)), (BUTTONS, {0, 1, 6, 8}, set()))

    def test_motion(self):
        d = self.d
        d.listen(30)
        self.send(("rel", {"axis": "x", "value": 5}), ("rel", {"axis": "y", "value": -7}))
        self.assertEqual(d.events(3), [(REL, 0, 5), (REL, 1, -7), (SYN, 0, 0)])
        self.send(("rel", {"axis": "y", "value": 1}), button("left"))
        self.assertEqual(sorted(d.events(3)), sorted([(REL, 1, 1), (KEY, 0x110, 1), (SYN, 0, 0)]))
        for name, events in (("wheel-up", [(REL, 8, 1)]), ("wheel-down", [(REL, 8, -1)]),
                             ("wheel-left", [(REL, 6, -1)]), ("wheel-right", [(REL, 6, 1)]),
                             ("extra", [(KEY, 0x114, 1)])):
            self.send(button(name))
            self.assertEqual(d.events(2), events + [(SYN, 0, 0)])
        self.send(button("wheel-up", False))
        self.send(button("extra", False))
        self.assertEqual(d.events(2), [(KEY, 0x114, 0), (SYN, 0, 0)])


class WheelButtons(InputTest):
    kind, extra = "mouse", ",wheel-axis=off"

    def test_wheel(self):
        d = self.d
        self.assertEqual((d.codes(KEY), d.codes(REL)), (BUTTONS | {0x150, 0x151}, {0, 1}))
        self.assertEqual(struct.unpack("<4H", d.select(IDS))[3], 1)
        d.listen(4)
        self.send(button("wheel-up"))
        self.send(button("wheel-up", False))
        self.assertEqual(d.events(4), [(KEY, 0x151, 1), (SYN, 0, 0), (KEY, 0x151, 0), (SYN, 0, 0)])


class Tablet(InputTest):
    kind = "tablet"

    def test_identity(self):
        d = self.d
        self.assertEqual(self.q.pci_readl(DEVFN, 8), 0x09800001)
        self.assertEqual(d.select(NAME), b"QEMU Virtio Tablet")
        self.assertEqual((d.codes(KEY), d.codes(REL), d.codes(ABSOLUTE)), (BUTTONS, {6, 8}, {0, 1}))
        for axis in (0, 1):
            self.assertEqual(struct.unpack("<5I", d.select(ABS, axis)), (0, 32767, 0, 0, 0))
        self.assertEqual(d.select(ABS, 2), b"")

    def test_motion(self):
        d = self.d
        d.listen(6)
        self.send(("abs", {"axis": "x", "value": 0}), ("abs", {"axis": "y", "value": 32767}))
        self.assertEqual(d.events(3), [(ABSOLUTE, 0, 0), (ABSOLUTE, 1, 32767), (SYN, 0, 0)])
        mice = self.q.qmp("query-mice")
        self.assertEqual([(m["name"], m["current"], m["absolute"]) for m in mice][0],
                         ("QEMU Virtio Tablet", True, True))


class Routing(TestCase):
    """Two screens with a tablet each, and one for what comes from elsewhere."""
    args = ["-M", "pc", "-m", "16", "-vga", "none", "-device", "virtio-gpu-pci,id=g,max_outputs=2,addr=3",
            "-device", "virtio-tablet-pci,addr=4,display=g,head=0", "-device", "virtio-tablet-pci,addr=5,display=g,head=1",
            "-device", "virtio-tablet-pci,addr=6"]

    def test_routing(self):
        q = self.q

        def drive(devfn):
            global DEVFN
            before, DEVFN = DEVFN, devfn
            try:
                return Input(q)
            finally:
                DEVFN = before
        for slot, which in ((4, {"device": "g"}), (5, {"device": "g", "head": 1}), (6, {})):
            for other in (4, 5, 6):
                if other != slot:
                    drive(other << 3)           # they share a place in memory: one at a time is mapped
                    q.pci_writew(other << 3, 4, 4)
            d = drive(slot << 3)
            d.listen(3)
            q.qmp("input-send-event", events=[{"type": "abs", "data": {"axis": "x", "value": slot}}], **which)
            self.assertEqual(d.events(3)[0], (ABSOLUTE, 0, slot))
            q.pci_writew(slot << 3, 4, 4)
        e = q.qmp_raw("input-send-event", events=[], device="nowhere")
        self.assertTrue(re.search("nowhere", str(e)), e)


if __name__ == "__main__":
    main()
