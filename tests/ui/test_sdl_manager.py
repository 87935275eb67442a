#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The window under a window manager: full screen, what resizing does, closing it."""

import shutil
import unittest

import test_sdl
from test_sdl import PATIENCE, vnccase, xserver


def setUpModule():
    test_sdl.setUpModule()
    if not shutil.which("openbox"):
        test_sdl.tearDownModule()
        raise unittest.SkipTest("not installed: openbox")
    test_sdl.X.manage()


def tearDownModule():
    test_sdl.tearDownModule()


class Managed(test_sdl.Window):
    def press_close(self):
        test_sdl.X.do("key", "alt+F4")

    def ends(self):
        self.assertEqual(self.q.proc.wait(30 * PATIENCE), 0)


class Sizes(Managed):
    def test_full_screen_and_back(self):
        x = test_sdl.X
        self.set_mode(200, 100)
        self.q.write(vnccase.LFB, b"\x99\x66\x33\0" * 200 * 100)
        self.shown()
        self.chord("f")

        def filled():
            w, h, data = x.picture()
            if (w, h) != (x.width, x.height):
                return False
            at = 3 * (h // 2 * w)       # the shape is kept: black above, the picture from side to side
            return data[:3 * w] == bytes(3 * w) and data[at:at + 3 * w] == b"\x33\x66\x99" * w
        self.wait("the full screen", filled)
        self.chord("f")
        self.shown()

    def test_begins_with_full_screen(self):
        self.q.close()
        self.q = vnccase.QTest([*self.machine, "-display", "sdl,full-screen=on"])
        test_sdl.X.find_window()
        self.wait("the full screen", lambda: test_sdl.X.geometry()[2:] == (test_sdl.X.width, test_sdl.X.height))
        self.chord("f")
        d = self.dump()
        self.wait("a window", lambda: test_sdl.X.geometry()[2:] == (d.width, d.height))

    def test_the_window_follows_the_guest_until_a_person_resizes_it(self):
        x = test_sdl.X
        self.paint(320, 240)
        self.shown()
        self.set_mode(200, 100)
        self.q.write(vnccase.LFB, b"\x99\x66\x33\0" * 200 * 100)
        self.shown()
        x.do("windowsize", "--sync", x.window, 400, 400)

        def scaled():
            w, h, data = x.picture()
            return w == 400 and data[3 * 200 * w:3 * 201 * w] == b"\x33\x66\x99" * w
        self.wait("the scaled picture", scaled)         # the window has noticed
        self.set_mode(100, 50)
        self.q.write(vnccase.LFB, b"\x99\x66\x33\0" * 100 * 50)
        self.dump()
        self.wait("the picture, scaled too", scaled)
        self.chord("u")
        self.shown()


class CloseButton(Managed):
    def test_ends(self):
        self.press_close()
        self.ends()


class CloseOff(Managed):
    sdl = ",window-close=off"

    def test_stays(self):
        self.press_close()
        self.paint()
        self.shown()
        self.assertIsNone(self.q.proc.poll())


class ClosePowersDown(Managed):
    sdl = ",window-close=powerdown"

    def test_power_button_then_plug(self):
        self.press_close()
        self.q.wait_event("POWERDOWN")
        self.wait("the title", lambda: "close again" in test_sdl.X.title())
        self.assertIsNone(self.q.proc.poll())
        self.press_close()
        self.ends()


if __name__ == "__main__":
    unittest.main(verbosity=1)
