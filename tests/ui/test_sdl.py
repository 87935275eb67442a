#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The window, on an X server without a screen: what it shows, keys and pointer, grab, scaling."""

import os
import subprocess
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "qtest"), os.path.join(HERE, "..", "guest")]
import material                                                     # noqa: E402
import vnccase                                                      # noqa: E402
import xserver                                                      # noqa: E402
from libqtest import EMULATOR, OptionTest, PATIENCE                 # noqa: E402
from screen import Picture                                          # noqa: E402

CTRL_ALT = ("Control_L", "Alt_L")


def setUpModule():
    global X
    X = xserver.for_window(EMULATOR)


def tearDownModule():
    X.close()


class Window(vnccase.VncCase):
    sdl = ""
    more = ("-monitor", "vc", "-serial", "vc:40Cx10C", "-name", "guest=test")

    def vnc_args(self):
        os.environ.update(DISPLAY=X.display, SDL_VIDEODRIVER="x11")
        return ["-display", "sdl" + self.sdl]

    def setUp(self):
        super().setUp()
        X.find_window()
        X.do("mousemove", 1, 1)
        self.q.outb(0x64, 0x60)
        self.q.outb(0x60, 0x00)             # no translation: set 2 codes as they come

    def wait(self, what, fn):
        return X.wait(what, fn, 20)

    def shown(self):
        """The window shows what the screendump does."""
        def same():
            d = self.dump()
            return X.picture() == (d.width, d.height, d.data)
        self.wait("the picture", same)

    def codes(self, n):
        end, got = time.monotonic() + 20 * PATIENCE, []
        while len(got) < n:
            self.assertLess(time.monotonic(), end, got)
            if self.q.inb(0x64) & 1:
                got.append(self.q.inb(0x60))
        return got

    def chord(self, key):
        for k in CTRL_ALT:
            X.do("keydown", k)
        X.do("key", key)
        for k in CTRL_ALT:
            X.do("keyup", k)

    def drain(self):
        while self.q.inb(0x64) & 1:
            self.q.inb(0x60)

    def mouse_on(self):
        self.q.outb(0x64, 0xd4)
        self.q.outb(0x60, 0xf4)
        self.assertEqual(self.codes(1), [0xfa])

    def centre(self):
        x, y, w, h = X.geometry()
        X.do("mousemove", x + w // 2, y + h // 2)


class Shows(Window):
    def test_picture_and_its_changes(self):
        self.paint()
        self.shown()
        self.write_rows(40, [bytes(4 * vnccase.W)] * 20)
        self.shown()
        self.paint(320, 240)
        self.shown()

    def test_title(self):
        self.wait("the title", lambda: X.title() == "Orrery (test)")
        self.q.qmp("stop")
        self.wait("the title", lambda: X.title() == "Orrery (test) [Paused]")
        self.q.qmp("cont")
        self.wait("the title", lambda: X.title() == "Orrery (test)")

    def test_scaling(self):
        """Flat colours survive any scale; the shape is kept."""
        self.set_mode(200, 100)
        self.q.write(vnccase.LFB, b"\x99\x66\x33\0" * 200 * 100)
        self.shown()
        X.do("windowsize", "--sync", X.window, 400, 400)

        def scaled():
            w, h, data = X.picture()
            mid = data[3 * (200 * w + 200):][:3] if w == 400 else b""
            top = data[3 * 200:][:3]
            return mid == b"\x33\x66\x99" and top == bytes(3)
        self.wait("the scaled picture", scaled)
        self.chord("u")
        self.shown()

    def test_terminals(self):
        self.chord("2")
        self.wait("the title", lambda: "compat_monitor" in X.title())
        X.do("type", "--delay", 5, "info versionx")
        X.do("key", "BackSpace", "Return")
        self.wait("the answer", lambda: "7.2.0 (Orrery" in Picture(*X.picture()).text())
        self.chord("1")
        self.wait("the title", lambda: X.title() == "Orrery (test)")


class Keys(Window):
    def test_keys(self):
        for key, make in (("a", [0x1c]), ("Return", [0x5a]), ("Left", [0xe0, 0x6b]), ("F12", [0x07]),
                          ("Insert", [0xe0, 0x70])):
            X.do("keydown", key)
            self.assertEqual(self.codes(len(make)), make, key)
            X.do("keyup", key)
            # the X server may have repeated it meanwhile
            got = []
            while got[-len(make) - 1:] != [*make[:-1], 0xf0, make[-1]]:
                got += self.codes(1)

    def test_released_when_focus_goes(self):
        X.do("keydown", "Shift_L")
        self.assertEqual(self.codes(1), [0x12])
        X.do("windowfocus", "--sync", X.do("search", "--maxdepth", 0, ".*").split()[0])
        self.assertEqual(self.codes(2)[-2:], [0xf0, 0x12])
        X.do("keyup", "Shift_L")


class Pointer(Window):
    def test_grab(self):
        """The click that grabs is not the guest's; Ctrl-Alt-G gives the pointer back."""
        self.mouse_on()
        self.centre()
        X.do("click", 1)
        self.wait("the title", lambda: "Press Ctrl-Alt-G" in X.title())
        X.do("mousemove_relative", 7, 0)
        first = self.codes(3)
        self.assertEqual((first[0] & 7, first[1] > 0), (0, True))
        X.do("mousedown", 3)
        got = self.codes(3)
        while not got[-3] & 2:
            got += self.codes(3)
        X.do("mouseup", 3)
        self.chord("g")
        self.wait("the title", lambda: "Press" not in X.title())
        self.drain()
        X.do("mousemove_relative", 5, 5)
        self.wait_a_moment()
        self.drain_keys_only()

    def wait_a_moment(self):
        for _ in range(20):
            self.q.qmp("query-status")
            time.sleep(0.01)

    def drain_keys_only(self):
        """Whatever still comes is the chord's keys, no motion."""
        while self.q.inb(0x64) & 1:
            self.assertFalse(self.q.inb(0x64) & 0x20)
            self.q.inb(0x60)

    def test_paused_guest_grabs_nothing(self):
        self.q.qmp("stop")
        self.wait("the title", lambda: "[Paused]" in X.title())
        self.centre()
        X.do("click", 1)
        self.wait_a_moment()
        self.assertNotIn("Press", X.title())
        self.q.qmp("cont")

    def test_wheel(self):
        self.q.outb(0x64, 0xd4)
        for rate in (200, 100, 80):                 # the knock that makes it an IntelliMouse
            for b in (0xf3, rate):
                self.q.outb(0x64, 0xd4)
                self.q.outb(0x60, b)
                self.codes(1)
        self.mouse_on()
        self.centre()
        X.do("click", 1)
        self.wait("the title", lambda: "Press" in X.title())
        self.drain()
        X.do("click", 4)
        got = self.codes(4)
        while got[-1] != 0xff:
            got += self.codes(4)


class Guest(unittest.TestCase):
    def test_grub(self):
        """A boot loader's command line, seen in the window and typed into it."""
        try:
            disc = material.grub_cdrom()
        except material.Missing as e:
            self.skipTest(str(e))
        p = subprocess.Popen([EMULATOR, "-M", "pc", "-m", "64", "-accel", "tcg", "-display", "sdl",
                              "-nodefaults", "-vga", "std", "-cdrom", disc], env=X.env,
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
        try:
            X.find_window()
            X.do("mousemove", 1, 1)

            def text():
                return Picture(*X.picture()).text()
            X.wait("GRUB", lambda: "GNU GRUB" in text(), 120)
            if "grub>" not in text():
                X.do("key", "c")
                X.wait("the command line", lambda: "grub>" in text())
            end = time.monotonic() + 120 * PATIENCE
            while "\nA-b_c pc" not in text():       # a busy host loses keys now and then
                self.assertLess(time.monotonic(), end, text())
                X.do("type", "--delay", 120, "echo A-b_c $grub_platform")
                X.do("key", "Return")
                time.sleep(1)
        finally:
            p.terminate()
            p.wait()


class ServerGone(unittest.TestCase):
    def test_the_machine_ends(self):
        """Without its X server the program ends at once, it does not hang."""
        x = xserver.XServer()
        p = subprocess.Popen([EMULATOR, "-M", "pc", "-m", "16", "-accel", "tcg", "-display", "sdl"], env=x.env,
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            x.find_window()
            x.close()
            self.assertEqual(p.wait(60 * PATIENCE), 1)
        finally:
            p.kill()
            p.wait()


class CommandLine(OptionTest):
    def test_refusals(self):
        os.environ["DISPLAY"] = X.display
        for words, args in ((["gl=on"], ["-display", "sdl,gl=on"]),
                            (["grab-mod", "rctrl"], ["-display", "sdl,grab-mod=x"]),
                            (["windowclose"], ["-display", "sdl,windowclose=off"])):
            self.refused(words, *args)


if __name__ == "__main__":
    unittest.main(verbosity=1)
