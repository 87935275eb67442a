#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""-display curses on a pseudo terminal: text, keys, the monitor, the terminal's state at the end."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "qtest"))
from libqtest import EMULATOR, PATIENCE                             # noqa: E402


def setUpModule():
    with open(os.path.join(os.path.dirname(EMULATOR), "config.h")) as f:
        if "CONFIG_CURSES" not in f.read():
            raise unittest.SkipTest("built without ncurses")


class Curses(unittest.TestCase):
    def setUp(self):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 25, 80, 0, 0))
        self.before = termios.tcgetattr(slave)
        self.slave, self.out = slave, b""
        self.addCleanup(os.close, self.master)
        self.addCleanup(os.close, slave)
        self.proc = subprocess.Popen(
            [EMULATOR, "-M", "pc", "-m", "16", "-accel", "tcg", "-display", "curses", "-nodefaults",
             "-vga", "std", "-monitor", "vc"], stdin=slave, stdout=slave, stderr=subprocess.DEVNULL,
            env=dict(os.environ, TERM="vt100", LC_ALL="C.UTF-8"))
        self.addCleanup(self.kill)

    def kill(self):
        self.proc.kill()
        self.proc.wait()

    def see(self, text, timeout=60):
        """text comes, whatever the terminal is told in between."""
        end = time.monotonic() + timeout * PATIENCE
        while True:
            # cursor movements inside a line are spaces for this purpose
            plain = re.sub(rb"\x1b\[[\d;?]*[A-Za-z]|\x1b[()][A-Z0-9]|[\x0e\x0f]", b" ", self.out)
            if text in b" ".join(plain.split()):
                self.out = b""
                return
            left = end - time.monotonic()
            self.assertGreater(left, 0, self.out[-2000:])
            if select.select([self.master], [], [], min(left, 0.5))[0]:
                self.out += os.read(self.master, 65536)

    def send(self, data):
        os.write(self.master, data)

    def test_guest_and_monitor(self):
        self.see(b"SeaBIOS (version")
        self.send(b"\x1b2")
        self.see(b"(qemu)")
        self.send(b"info version\r")
        self.see(b"7.2.0 (Orrery")
        self.send(b"\x1b1")
        self.see(b"No bootable device")
        self.send(b"\x1b2")
        self.see(b"(qemu)")
        self.send(b"quit\r")
        end = time.monotonic() + 20 * PATIENCE
        while self.proc.poll() is None:         # it may have to say more first
            self.assertLess(time.monotonic(), end)
            if select.select([self.master], [], [], 0.1)[0]:
                os.read(self.master, 65536)
        self.assertEqual(self.proc.returncode, 0)
        self.assertEqual(termios.tcgetattr(self.slave)[3], self.before[3])


if __name__ == "__main__":
    unittest.main(verbosity=1)
