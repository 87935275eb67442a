#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Windows of a guest with two screens, each with a pointer of its own."""

import os
import random
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "qtest"), os.path.join(HERE, "..", "guest")]
import xserver                                                      # noqa: E402
import gpu                                                          # noqa: E402
from gpu import GPU, packed                                         # noqa: E402
from libqtest import EMULATOR, QTest, TestCase, main, patiently     # noqa: E402
from virtio import WRITE, VirtIO                                    # noqa: E402


def setUpModule():
    global X
    X = xserver.for_window(EMULATOR)


def tearDownModule():
    X.close()


class Screens(TestCase):
    def setUp(self):
        os.environ.update(DISPLAY=X.display, SDL_VIDEODRIVER="x11")
        self.args = ["-M", "pc", "-m", "16", "-vga", "none", "-device", "virtio-gpu-pci,id=g,addr=4,max_outputs=2",
                     "-device", "virtio-tablet-pci,addr=5,display=g,head=1", "-display", "sdl", "-name", "guest=two",
                     "-monitor", "vc"]
        super().setUp()
        self.windows = X.wait("two windows", lambda: (lambda w: w if len(w) == 2 else None)(
            X.do("search", "--class", "orrery").split()))
        self.windows.sort(key=lambda w: "screen 2" in X.do("getwindowname", w))
        X.do("windowmove", "--sync", self.windows[0], 0, 0)
        X.do("windowmove", "--sync", self.windows[1], 500, 300)
        X.do("mousemove", 1000, 750)            # its picture is in nobody's way

    def shows(self, n, w, h, data):
        X.window = self.windows[n]
        X.wait("the picture of screen %d" % n, lambda: X.picture() == (w, h, data))

    def test_both(self):
        """Each window shows its screen, both monitors are plugged in, the pointer reaches the right one."""
        q = self.q
        self.assertEqual([X.do("getwindowname", w).strip() for w in self.windows],
                         ["Orrery (two)", "Orrery (two) - g, screen 2"])
        r = random.Random(1)
        a, b = ([tuple(r.randbytes(3)) for _ in range(160 * 120)] for _ in range(2))
        g = GPU(q, 4 << 3)
        self.assertEqual(g.display_info()[:3], [(0, 0, 1280, 800), (1280, 0, 1280, 800), None])
        g.picture(1, 160, 120, 2, packed(a))
        g.picture(2, 160, 120, 67, packed(b, 67), head=1)
        for n, px in ((0, a), (1, b)):
            self.shows(n, 160, 120, b"".join(map(bytes, px)))
        b[5] = (1, 2, 3)
        q.write(0x800000, packed(b, 67))
        self.assertEqual((g.transfer(2, 0, 0, 160, 120), g.flush(2, 0, 0, 160, 1)), (gpu.OK, gpu.OK))
        self.shows(1, 160, 120, b"".join(map(bytes, b)))
        q.pci_writew(4 << 3, 4, 4)              # the tests' drivers share a place in memory
        d = VirtIO(q, 5 << 3)
        d.setup(0, (0, 1))
        at = [d.alloc(8) for _ in range(60)]
        for place in at:
            d.queues[0].add([(place, 8, WRITE)])
        d.kick(0)
        X.do("mousemove", "--window", self.windows[0], 20, 20)
        X.do("mousemove", "--window", self.windows[1], 40, 60)
        for _ in patiently():
            used = q.readw(d.queues[0].device + 2)
            seen = [struct.unpack("<HHi", q.read(place, 8)) for place in at[:used]]
            if (3, 0, 40 * 32767 // 159) in seen and (3, 1, 60 * 32767 // 119) in seen:
                break
        self.assertNotIn((3, 0, 20 * 32767 // 159), seen)

    def test_resize(self):
        """The driver is told of the size that a person gives a window."""
        g = GPU(self.q, 4 << 3)
        g.picture(1, 160, 120, 2, bytes(4 * 160 * 120))
        g.picture(2, 160, 120, 2, bytes(4 * 160 * 120), head=1)
        for n, w, h in ((1, 301, 203), (0, 400, 250)):
            g.set_config(4, struct.pack("<I", 1))
            X.wait("the guest's size", lambda: X.do("getwindowgeometry", self.windows[n]).split()[-1] == "160x120")
            X.do("windowsize", "--sync", self.windows[n], w, h)
            X.wait("the event", lambda: g.config(0, 1) == b"\1")
            self.assertEqual(g.display_info()[n][2:], (w, h))

    def test_chords(self):
        """Ctrl-Alt-3 shows the monitor in the first window, whichever has the keyboard."""
        X.do("windowfocus", "--sync", self.windows[1])
        for k in ("Control_L", "Alt_L"):
            X.do("keydown", k)
        X.do("key", "3")
        for k in ("Control_L", "Alt_L"):
            X.do("keyup", k)
        X.wait("the title", lambda: "compat_monitor" in X.do("getwindowname", self.windows[0]))
        self.assertIn("screen 2", X.do("getwindowname", self.windows[1]))


if __name__ == "__main__":
    main()
