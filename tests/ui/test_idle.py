#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A machine at rest that is watched costs next to nothing: how often its main thread wakes, counted.

The guest has stopped its timer and halted; all there is to do is a text cursor that blinks, four
to five times a second."""

import os
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "qtest"), os.path.join(HERE, "..", "guest")]
import rfb                                                          # noqa: E402
import xserver                                                      # noqa: E402
from libqtest import EMULATOR, QTest, main, patiently               # noqa: E402

# mov al,30h; out 43h,al (the timer waits for a count); cli; 1: hlt; jmp 1b
HALTED = b"\xb0\x30\xe6\x43\xfa\xf4\xeb\xfd"
WAKES = 25                              # a second: a few for each blink, and for who asks now and then


class Idle(unittest.TestCase):
    def boot(self, *args):
        d = tempfile.TemporaryDirectory(prefix="orrery-idle-")
        self.addCleanup(d.cleanup)
        self.vnc = d.name + "/vnc"
        with open(d.name + "/disk", "wb") as f:
            f.write(HALTED.ljust(510, b"\0") + b"\x55\xaa" + bytes(1 << 20))
        self.q = QTest(["-M", "pc", "-m", "16", "-vga", "std",
                        "-drive", "file=%s/disk,format=raw" % d.name, *args,
                        *(["-vnc", "unix:" + self.vnc] if not args else [])], accel=("-accel", "tcg"))
        self.addCleanup(self.q.close)

    def wakes(self):
        with open("/proc/%d/status" % self.q.proc.pid) as f:
            return int([line for line in f if line.startswith("voluntary")][0].split()[1])

    def comes_to_rest(self, between=lambda: time.sleep(0.1)):
        seen = []
        for _ in patiently(30):
            before, begin = self.wakes(), time.monotonic()
            while time.monotonic() < begin + 2:
                between()
            seen.append((self.wakes() - before) / (time.monotonic() - begin))
            if seen[-1] < WAKES:
                return
        self.fail("it wakes %s times a second" % ", ".join("%.0f" % n for n in seen))

    def test_vnc(self):
        """A client that asks for what changes gets to see the cursor blink."""
        self.boot()
        c = rfb.Client(self.vnc)
        self.addCleanup(c.close)
        c.set_encodings(rfb.RAW, rfb.DESKTOP_SIZE)
        c.request(True)
        updates = 0

        def ask():
            nonlocal updates
            if c.waiting(0.1) and c.message() == 0:
                updates += 1
                c.request(True)
        self.comes_to_rest(ask)
        before = updates
        for _ in patiently():
            ask()
            if updates > before + 4:
                return
        self.fail("nothing blinks")

    def test_window(self):
        x = xserver.for_window(EMULATOR)
        self.addCleanup(x.close)
        os.environ.update(DISPLAY=x.display, SDL_VIDEODRIVER="x11")
        self.boot("-display", "sdl")
        x.find_window()
        self.comes_to_rest()
        pictures = set()
        x.wait("the cursor to blink", lambda: pictures.add(x.picture()) or len(pictures) > 1)


if __name__ == "__main__":
    main()
