# SPDX-License-Identifier: MIT
"""An X server without a screen (Xvfb) for tests of the window: its picture, and what a person at it
would do (xdotool)."""

import os
import shutil
import struct
import subprocess
import tempfile
import time
import unittest

PATIENCE = float(os.environ.get("ORRERY_PATIENCE", "1"))


def missing():
    """Names of the Debian packages that are not there."""
    return [package for program, package in (("Xvfb", "xvfb"), ("xdotool", "xdotool"))
            if not shutil.which(program)]


# Windows of openbox without borders: the picture is the window, and nothing in front of it.
OPENBOX = """<?xml version="1.0"?>
<openbox_config xmlns="http://openbox.org/3.4/rc">
<theme><keepBorder>no</keepBorder></theme>
<focus><focusNew>yes</focusNew></focus>
<keyboard><keybind key="A-F4"><action name="Close"/></keybind></keyboard>
<applications><application class="*"><decor>no</decor></application></applications>
</openbox_config>
"""


class XServer:
    def __init__(self, width=1024, height=768):
        self.width, self.height = width, height
        self.dir = tempfile.mkdtemp(prefix="orrery-x-")
        read, write = os.pipe()
        self.proc = subprocess.Popen(
            ["Xvfb", "-displayfd", str(write), "-screen", "0", "%dx%dx24" % (width, height),
             "-fbdir", self.dir, "-nolisten", "tcp", "-noreset"],
            pass_fds=[write], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        os.close(write)
        with os.fdopen(read) as f:
            self.display = ":" + f.readline().strip()
        if self.display == ":":
            raise AssertionError("Xvfb did not start")
        self.env = dict(os.environ, DISPLAY=self.display, SDL_VIDEODRIVER="x11")
        self.env.pop("WAYLAND_DISPLAY", None)
        self.manager = None

    def manage(self):
        """Starts a window manager; Alt-F4 closes windows as their close button would."""
        config = os.path.join(self.dir, "openbox.xml")
        with open(config, "w") as f:
            f.write(OPENBOX)
        ready = os.path.join(self.dir, "managed")
        self.manager = subprocess.Popen(
            ["openbox", "--config-file", config, "--startup", "touch " + ready],
            env=dict(self.env, HOME=self.dir), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        # a window that is mapped while the manager takes over is never shown
        self.wait("the window manager", lambda: os.path.exists(ready))

    def close(self):
        if self.manager:
            self.manager.terminate()
            self.manager.wait()
        self.proc.terminate()
        self.proc.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    def do(self, *args):
        r = subprocess.run(["xdotool", *map(str, args)], env=self.env, stdout=subprocess.PIPE,
                           stderr=subprocess.DEVNULL, timeout=60 * PATIENCE)
        return r.stdout.decode()

    def wait(self, what, fn, timeout=60):
        end = time.monotonic() + timeout * PATIENCE
        while True:
            found = fn()
            if found:
                return found
            if time.monotonic() > end:
                raise AssertionError("waited in vain for " + what)
            time.sleep(0.05)

    def find_window(self):
        self.window = self.wait("the window", lambda: self.do("search", "--class", "orrery").split())[0]
        if not self.manager:            # nobody else gives it the keyboard
            self.do("windowfocus", "--sync", self.window)
            return self.window

        def active():
            self.do("windowactivate", self.window)
            return self.do("getactivewindow").strip() == self.window == self.do("getwindowfocus").strip()
        self.wait("the keyboard's focus", active)
        return self.window

    def title(self):
        return self.do("getwindowname", self.window).strip()

    def geometry(self):
        """x, y, width, height of the window"""
        v = dict(line.split("=") for line in self.do("getwindowgeometry", "--shell", self.window).split())
        return tuple(int(v[k]) for k in ("X", "Y", "WIDTH", "HEIGHT"))

    def screen(self):
        """The whole screen as rows of RGB bytes."""
        with open(self.dir + "/Xvfb_screen0", "rb") as f:
            data = f.read()
        head = struct.unpack(">25I", data[:100])
        stride, at = head[12], head[0] + 12 * head[19]
        rows = []
        for y in range(self.height):
            row = data[at + y * stride:at + y * stride + 4 * self.width]
            rgb = bytearray(3 * self.width)
            rgb[0::3], rgb[1::3], rgb[2::3] = row[2::4], row[1::4], row[0::4]
            rows.append(bytes(rgb))
        return rows

    def picture(self):
        """The window's part of it: width, height, RGB bytes."""
        x, y, w, h = self.geometry()
        return w, h, b"".join(row[3 * x:3 * (x + w)] for row in self.screen()[y:y + h])


def for_window(emulator):
    """A server for tests of the emulator's window; without what they need they are skipped."""
    gone = missing()
    if gone:
        raise unittest.SkipTest("not installed: " + " ".join(gone))
    with open(os.path.join(os.path.dirname(emulator), "config.h")) as f:
        if "CONFIG_SDL" not in f.read():
            raise unittest.SkipTest("built without SDL")
    return XServer()
