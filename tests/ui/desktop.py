#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Whole graphical systems in the window, under a window manager on an X server without a screen: what a
person does at the keyboard and with the mouse, and what is then to be seen.

    tests/ui/desktop.py [TestCase.method ...]       (make check-desktop: some minutes)
"""

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "qtest"), os.path.join(HERE, "..", "guest")]
import test_clipboard                                               # noqa: E402
import debian                                                       # noqa: E402
import material                                                     # noqa: E402
import xserver                                                      # noqa: E402
from libqtest import EMULATOR                                       # noqa: E402
from screen import Picture                                          # noqa: E402

CELL = 10, 20                           # of xterm's font


class Machine(unittest.TestCase):
    """An emulator with a window; its serial port's output is self.log()."""

    def boot(self, *args):
        gone = xserver.missing()
        if gone:
            self.skipTest("not installed: " + " ".join(gone))
        self.x = xserver.XServer(1600, 1200)
        self.addCleanup(self.x.close)
        self.x.manage()
        self.dir = tempfile.TemporaryDirectory(prefix="orrery-desktop-")
        self.addCleanup(self.dir.cleanup)
        self.p = subprocess.Popen(
            [EMULATOR, "-M", "pc", "-accel", "tcg", "-smp", "2", "-display", "sdl", "-nodefaults", "-serial",
             "file:" + self.dir.name + "/serial", "-qmp", "unix:%s/qmp,server=on,wait=off" % self.dir.name,
             *args], env=self.x.env, stdin=subprocess.DEVNULL)
        self.addCleanup(self.end)
        self.x.find_window()
        self.x.do("mousemove", 5, 5)

    def end(self):
        if os.environ.get("ORRERY_SHOTS"):      # a folder for the last picture
            self.picture().save(os.path.join(os.environ["ORRERY_SHOTS"], self.id() + ".ppm"))
        self.p.terminate()
        self.p.wait()

    def qmp(self, command, **arguments):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(60)
            s.connect(self.dir.name + "/qmp")
            with s.makefile("rw") as f:
                for message in ({"execute": "qmp_capabilities"}, {"execute": command, "arguments": arguments}):
                    f.write(json.dumps(message) + "\n")
                    f.flush()
                    answer = {}
                    while not {"return", "error"} & set(answer):
                        answer = json.loads(f.readline())
        self.assertIn("return", answer, command)
        return answer["return"]

    def log(self):
        with open(self.dir.name + "/serial", "rb") as f:
            return f.read().decode(errors="replace").replace("\r", "")

    def picture(self):
        return Picture(*self.x.picture())

    def same_as_screendump(self):
        """The window shows, pixel by pixel, what a screendump says."""
        path = self.dir.name + "/s.ppm"

        def same():
            self.qmp("screendump", filename=path)
            dump, shown = Picture.load(path), self.picture()
            return (dump.width, dump.height, dump.data) == (shown.width, shown.height, shown.data) and shown
        return self.x.wait("window and screendump to agree", same, 60)

    def at_rest(self, seconds=3, limit=240):
        """A picture that has not changed for that long."""
        last, since = None, 0

        def stands():
            nonlocal last, since
            now = self.x.picture()
            if now != last:
                last, since = now, time.monotonic()
            time.sleep(0.2)
            return time.monotonic() - since > seconds
        self.x.wait("the picture to come to rest", stands, limit)
        return Picture(*last)

    def changed(self, before, after):
        """Rectangle of what differs: x, y, width, height; None: nothing."""
        if (before.width, before.height) != (after.width, after.height):
            return 0, 0, after.width, after.height
        rows = [y for y in range(before.height) if before.row(y) != after.row(y)]
        if not rows:
            return None
        left, right = before.width, 0
        for y in rows:
            a, b = before.row(y), after.row(y)
            left = min(left, next(x for x in range(left + 1) if x == left or a[3 * x:3 * x + 3] != b[3 * x:3 * x + 3]))
            right = max(right, next(x for x in range(before.width - 1, right - 1, -1)
                                    if x == right or a[3 * x:3 * x + 3] != b[3 * x:3 * x + 3]))
        return left, rows[0], right + 1 - left, rows[-1] + 1 - rows[0]

    def at(self, x, y):
        """Pointer to this place of the guest's screen."""
        left, top, _, _ = self.x.geometry()
        self.x.do("mousemove", left + x, top + y)


class Installer(Machine):
    def test_gtk_dialog(self):
        """The languages are walked through by keyboard, the dialog is left by mouse."""
        try:
            kernel, initrd = (material.graphical_installer(n) for n in ("linux", "initrd.gz"))
        except material.Missing as e:
            self.skipTest(str(e))
        self.boot("-m", "768", "-vga", "std", "-usb", "-device", "usb-tablet", "-kernel", kernel, "-initrd", initrd,
                  "-append", "vga=788 --- quiet console=tty0")
        self.x.wait("a graphics mode of the installer's", lambda: self.x.geometry()[2] >= 800
                    and len(self.picture().colours()) > 200, 300)
        # the list's white area comes some time after the background
        self.x.wait("the dialog", lambda: self.picture().data.count(b"\xff" * 1500) > 100, 120)
        dialog = self.at_rest()
        self.same_as_screendump()
        self.x.do("key", "Down")
        self.x.wait("the selection to move", lambda: self.changed(dialog, self.picture()))
        moved = self.at_rest(1)
        x, y, w, h = self.changed(dialog, moved)
        self.assertLess(h, 80)                  # two lines of a list as wide as the dialog
        self.assertGreater(w, dialog.width // 2)
        # a click on another line
        self.at(x + w // 2, y + h + 100)
        self.x.do("click", 1)
        self.x.wait("the clicked line", lambda: (self.changed(moved, self.picture()) or [0] * 4)[3] > 60)
        self.x.do("key", "Home")
        # "Continue" is the button on the lower right
        self.at_rest(1)
        self.at(dialog.width - 60, dialog.height - 25)
        before = self.at_rest(1)
        self.x.do("click", 1)
        self.x.wait("the next dialog", lambda: (self.changed(before, self.picture()) or [0] * 4)[3]
                    > dialog.height // 3)
        self.same_as_screendump()


class XMachine(Machine):
    """Debian's disk with X, up to a terminal that has the keyboard."""

    def start_x(self, *more):
        try:
            disk = debian.disk(debian.DESKTOP)
        except material.Missing as e:
            self.skipTest(str(e))
        self.boot("-m", "1024", *more, "-drive", "file=%s,format=raw,if=virtio,snapshot=on" % disk)
        self.x.wait("GRUB's menu", lambda: "Debian with X" in self.picture().text(), 120)
        self.x.do("key", "Return")
        self.x.wait("the desktop", lambda: "the desktop is there" in self.log(), 600)
        # its white area, not a pointer's few pixels
        self.x.wait("the terminal's window", lambda: self.picture().data.count(b"\xff" * 1500) > 100, 120)
        self.at_rest(2)
        w, h = self.x.geometry()[2:]
        self.at(w // 3, h // 3)
        self.x.do("click", 1)                   # the keyboard to xterm, if it has not got it
        self.typed("xset r off")                # a late release is no repeated key

    def typed(self, line):
        self.x.do("type", "--delay", 100, line)
        self.x.do("key", "Return")

    def says(self, line, pattern, limit=60):
        """Types a line into the guest's terminal; what matches on its serial port."""
        start = len(self.log())
        for _ in range(3):              # a busy host loses keys now and then
            self.typed(line)
            try:
                return self.x.wait("'%s' on the serial port" % pattern,
                                   lambda: re.search(pattern, self.log()[start:]), limit)
            except AssertionError as e:
                error = e
        raise error


class Desktop(XMachine):
    def test_x_from_a_disk(self):
        self.start_x("-vga", "std", "-usb", "-device", "usb-tablet")
        self.same_as_screendump()
        self.says("echo Typed-In_$((6*7)) >/dev/ttyS0", "Typed-In_42")
        self.clicks()
        self.resizes()
        self.full_screen()

    def click_cell(self, button, x, y):
        """Where xterm saw a press: column, row."""
        start = len(self.log())
        self.says("click", "ready")
        self.at(x, y)
        time.sleep(0.3)
        self.x.do("click", button)
        m = self.x.wait("the click", lambda: re.search(r"27 +91 +77 +(\d+) +(\d+) +(\d+)", self.log()[start:]), 60)
        self.x.wait("the release", lambda: "over" in self.log()[start:], 60)
        b, column, row = (int(v) for v in m.groups())
        self.assertEqual(b - 32, button - 1)
        return column, row

    def clicks(self):
        first = self.click_cell(1, 200, 200)
        second = self.click_cell(3, 200 + 30 * CELL[0], 200 + 7 * CELL[1])
        self.assertEqual((second[0] - first[0], second[1] - first[1]), (30, 7))

    def resizes(self):
        """A window made smaller shows the whole picture, scaled; its own size comes back."""
        w, h = self.x.geometry()[2:]
        self.x.do("windowsize", "--sync", self.x.window, w // 2, h // 2)
        self.x.wait("half the size", lambda: self.x.geometry()[2:] == (w // 2, h // 2)
                    and b"\xff\xff\xff" in self.picture().colours())
        self.chord("u")
        self.x.wait("its own size", lambda: self.x.geometry()[2:] == (w, h))
        self.same_as_screendump()

    def chord(self, key):
        for k in ("Control_L", "Alt_L"):
            self.x.do("keydown", k)
        self.x.do("key", key)
        for k in ("Alt_L", "Control_L"):
            self.x.do("keyup", k)

    def full_screen(self):
        size = self.x.geometry()[2:]
        self.chord("f")
        self.x.wait("the full screen", lambda: self.x.geometry()[2:] == (self.x.width, self.x.height))
        self.says("echo full-$((4*4)) >/dev/ttyS0", "full-16")
        self.chord("f")
        self.x.wait("a window", lambda: self.x.geometry()[2:] == size)
        self.same_as_screendump()


class Agent(XMachine):
    """Clipboard text between a VNC client and programs in the guest, through spice-vdagent."""

    def test_clipboard(self):
        folder = tempfile.TemporaryDirectory(prefix="orrery-agent-")
        self.addCleanup(folder.cleanup)
        self.start_x("-vga", "std", "-usb", "-device", "usb-tablet", "-device", "virtio-serial-pci", "-chardev",
                     "qemu-vdagent,id=v,clipboard=on", "-device", "virtserialport,chardev=v,name=com.redhat.spice.0",
                     "-vnc", "unix:" + folder.name + "/vnc")
        self.x.wait("the agent", lambda: {"v": True}.items() <= {
            d["label"]: d["frontend-open"] for d in self.qmp("query-chardev")}.items(), 120)
        c = test_clipboard.Client(folder.name + "/vnc")
        self.addCleanup(c.close)
        c.setup(True)

        def turn():
            while c.waiting(0.1):
                c.message()
        c.offer("Text-from-the-viewer \u20ac")
        self.x.wait("the request", lambda: turn() or [f for f in c.flags if f & 1 << 25 and not f & 1 << 24], 60)
        turn()
        self.says("xclip -o -selection clipboard >/dev/ttyS0", "Text-from-the-viewer")
        self.typed("printf Guest-%d 4711 | xclip -i -selection clipboard")
        self.x.wait("the guest's text", lambda: turn() or "Guest-4711" in c.texts, 120)


if __name__ == "__main__":
    unittest.main(verbosity=2)
