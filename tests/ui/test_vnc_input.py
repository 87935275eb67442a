#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The VNC server: keys, pointer, layouts, sound."""

import os
import struct
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "qtest"), os.path.join(HERE, "..", "guest")]
import rfb                                                          # noqa: E402
from libqtest import EMULATOR, PATIENCE, main                       # noqa: E402
from screen import Picture                                          # noqa: E402
from vnccase import VncCase                                         # noqa: E402


class Sound(VncCase):
    """The speaker's tone, as clients of QEMU's audio extension hear it."""
    machine = ("-M", "pc,pcspk-audiodev=snd", "-m", "16", "-vga", "std", "-audiodev", "none,id=snd")
    options = ",audiodev=snd"

    def listener(self, fmt=3, channels=2, rate=44100):
        c = self.connect(rfb.RAW, rfb.AUDIO)
        c.picture()
        self.assertIn(rfb.AUDIO, [p[0] for p in c.pseudo])
        c.send(struct.pack(">BBHBBI", 255, 1, 2, fmt, channels, rate))
        c.send(struct.pack(">BBH", 255, 1, 0))
        c.picture()                             # it has been taken
        return c

    def tone(self, ms):
        for port, v in ((0x43, 0xb6), (0x42, 0xa9), (0x42, 4), (0x61, 3)):
            self.q.outb(port, v)
        for _ in range(ms):
            self.q.clock_step(10 ** 6)
        self.q.outb(0x61, 0)
        for _ in range(400):
            self.q.clock_step(10 ** 6)

    def heard(self, c):
        """From "begin" to "end"."""
        while (255, 0, b"") not in c.messages:
            c.message()
        self.assertEqual(c.messages[0], (255, 1, b""))
        return b"".join(m[2] for m in c.messages if m[0] == 255)

    def test_tone(self):
        clients = [self.listener(), self.listener(3, 1, 8000), self.listener(0, 2, 22050)]
        self.tone(200)
        for c, rate, size, code in zip(clients, (44100, 8000, 22050), (4, 2, 2), ("<hh", "<h", "BB")):
            data = self.heard(c)
            self.assertEqual(len(data) % size, 0)
            left = [v[0] - (128 if code == "BB" else 0) for v in struct.iter_unpack(code, data)]
            self.assertGreater(len(left), rate // 6)
            rises = [i for i in range(1, rate * 18 // 100) if left[i - 1] < 0 <= left[i]]
            hz = (len(rises) - 1) * rate / (rises[-1] - rises[0])
            self.assertAlmostEqual(hz, 1193182 / 0x4a9, delta=5)

    def test_only_who_asked(self):
        silent, off = self.connect(rfb.RAW, rfb.AUDIO), self.listener()
        off.send(struct.pack(">BBH", 255, 1, 1))
        off.picture()
        self.tone(50)
        for c in (silent, off):
            c.picture()
            self.assertEqual([m for m in c.messages if m[0] == 255 and m[1] == 2], [])

    def test_slow_listener(self):
        """Sound that is not taken is dropped; the machine and others go on."""
        slow, good = self.listener(5, 2, 192000), self.listener()
        self.tone(3000)
        self.heard(good)

    def test_nonsense(self):
        for message in (struct.pack(">BBHBBI", 255, 1, 2, 9, 2, 44100), struct.pack(">BBHBBI", 255, 1, 2, 3, 7, 44100),
                        struct.pack(">BBHBBI", 255, 1, 2, 3, 2, 1), struct.pack(">BBH", 255, 1, 77)):
            c = self.connect(rfb.RAW, rfb.AUDIO)
            c.send(message)
            with self.assertRaises(rfb.Closed):
                while True:
                    c.message()


class Input(VncCase):
    more = ("-monitor", "vc", "-serial", "vc:40Cx10C")

    def setUp(self):
        super().setUp()
        self.q.outb(0x64, 0x60)
        self.q.outb(0x60, 0x00)             # no translation: set 2 codes as they come
        self.c = self.connect(rfb.RAW)

    def codes(self, n):
        end, got = time.monotonic() + 10 * PATIENCE, []
        while len(got) < n:
            self.assertLess(time.monotonic(), end, got)
            if self.q.inb(0x64) & 1:
                got.append(self.q.inb(0x60))
        return got

    def test_keysyms(self):
        for keysym, make in ((ord("a"), [0x1c]), (ord("!"), [0x16]), (0xff0d, [0x5a]),
                             (0xff51, [0xe0, 0x6b]), (0xffe4, [0xe0, 0x14]), (ord("|"), [0x5d]),
                             (0xffbe, [0x05]), (0xffc9, [0x07]), (0xff8d, [0xe0, 0x5a])):
            self.c.key(keysym, True)
            self.assertEqual(self.codes(len(make)), make, hex(keysym))
            self.c.key(keysym, False)
            self.assertEqual(self.codes(len(make) + 1), [*make[:-1], 0xf0, make[-1]])

    def test_key_codes(self):
        """QEMU's message tells the key: the keysym does not matter."""
        self.c.set_encodings(rfb.RAW, rfb.EXT_KEY)
        self.c.follow(lambda c: rfb.EXT_KEY in c.seen)
        self.c.ext_key(0x7a, 0x15, True)            # z on a German keyboard
        self.assertEqual(self.codes(1), [0x35])
        self.c.ext_key(0x7a, 0x15, False)
        self.assertEqual(self.codes(2), [0xf0, 0x35])
        self.c.ext_key(0, 0xc8, True)               # up
        self.assertEqual(self.codes(2), [0xe0, 0x75])
        self.c.ext_key(0, 0xc8, False)
        self.codes(3)

    def test_keys_are_released_when_the_client_goes(self):
        self.c.key(0xffe1, True)
        self.assertEqual(self.codes(1), [0x12])
        self.c.close()
        self.assertEqual(self.codes(2), [0xf0, 0x12])

    def test_locks_follow(self):
        """A capital without Shift means the client's Caps Lock is on: the guest's is put on."""
        self.c.key(ord("B"), True)
        self.assertEqual(self.codes(4), [0x58, 0xf0, 0x58, 0x32])

    def test_leds(self):
        self.c.set_encodings(rfb.RAW, rfb.LED_STATE)
        self.c.follow(lambda c: any(p[0] == rfb.LED_STATE and p[5] == b"\0" for p in c.pseudo))
        for b in (0xed, 0x06):
            self.q.outb(0x60, b)
            self.codes(1)
        self.c.follow(lambda c: any(p[0] == rfb.LED_STATE and p[5] == b"\6" for p in c.pseudo))

    def mouse_on(self):
        self.q.outb(0x64, 0xd4)
        self.q.outb(0x60, 0xf4)
        self.assertEqual(self.codes(1), [0xfa])

    def test_relative_pointer(self):
        self.mouse_on()
        self.c.pointer(50, 50)                      # where it is; nothing to compare with
        self.c.pointer(60, 45)
        self.assertEqual(self.codes(3), [0x08, 10, 5])
        self.c.pointer(60, 45, 1)
        self.assertEqual(self.codes(3), [0x09, 0, 0])
        self.c.pointer(55, 45, 4)
        self.assertEqual(self.codes(3), [0x1a, 0xfb, 0])

    def test_pointer_type(self):
        """Without an absolute device the client is told to send motion."""
        self.mouse_on()
        self.c.set_encodings(rfb.RAW, rfb.POINTER_TYPE)
        self.c.follow(lambda c: rfb.POINTER_TYPE in c.seen)
        self.assertEqual([p[1] for p in self.c.pseudo if p[0] == rfb.POINTER_TYPE], [0])
        self.c.pointer(0x7fff + 3, 0x7fff - 4)
        self.assertEqual(self.codes(3), [0x08, 3, 4])

    def chord(self, digit):
        for k, down in ((0xffe3, 1), (0xffe9, 1), (digit, 1), (digit, 0), (0xffe9, 0), (0xffe3, 0)):
            self.c.key(k, down)

    def shows(self, text):
        self.c.follow(lambda c: text in Picture(*c.size, c.pixels()).text())

    def test_terminals(self):
        """Ctrl-Alt-2 shows the monitor, 3 the serial port; typing goes there, 1 is the guest."""
        c = self.c
        c.set_encodings(rfb.ZRLE, rfb.DESKTOP_SIZE)
        self.chord(ord("2"))
        self.shows("(qemu)")
        for ch in "info version\b\bon\r":
            c.type(0xff08 if ch == "\b" else 0xff0d if ch == "\r" else ord(ch))
        self.shows("7.2.0 (Orrery")
        self.chord(ord("3"))
        c.follow(lambda c: c.size == (320, 160))
        for b in b"hello":
            self.q.outb(0x3f8, b)
        self.shows("hello")
        c.key(ord("x"), True)
        c.key(ord("x"), False)
        end = time.monotonic() + 10 * PATIENCE
        while not self.q.inb(0x3fd) & 1:
            self.assertLess(time.monotonic(), end)
        self.assertEqual(self.q.inb(0x3f8), ord("x"))
        self.chord(ord("1"))
        c.follow(lambda c: c.size != (320, 160))


class Layout(Input):
    """-k: keysyms of a German keyboard."""
    more = (*Input.more, "-k", "de")

    @classmethod
    def setUpClass(cls):
        with open(os.path.join(os.path.dirname(EMULATOR), "config.h")) as f:
            if "CONFIG_XKBCOMMON" not in f.read():
                raise unittest.SkipTest("built without libxkbcommon")
        if not os.path.exists("/usr/share/X11/xkb/symbols/de"):
            raise unittest.SkipTest("not installed: xkb-data")

    def test_keysyms(self):
        for held, keysym, make in ((None, ord("z"), 0x35), (None, 0xdf, 0x4e), (None, 0xf6, 0x4c),
                                   (0xffe1, ord("/"), 0x3d), (0xffea, ord("@"), 0x15),
                                   (0xffe1, 0xd6, 0x4c), (None, ord("<"), 0x61)):
            if held:
                self.c.key(held, True)
                self.codes(2 if held == 0xffea else 1)
            self.c.key(keysym, True)
            self.assertEqual(self.codes(1), [make], hex(keysym))
            self.c.key(keysym, False)
            self.codes(2)
            if held:
                self.c.key(held, False)
                self.codes(3 if held == 0xffea else 2)


for name in dir(Input):                     # once is enough for what layouts do not change
    if name.startswith("test_") and name != "test_keysyms":
        setattr(Layout, name, None)


class Delays(VncCase):
    options = ",key-delay-ms=60"

    def test_key_delay(self):
        c = self.connect()
        for k in "ab":
            c.key(ord(k), True)
        end = time.monotonic() + 10 * PATIENCE
        while not self.q.inb(0x64) & 1:
            self.assertLess(time.monotonic(), end)
        begin = time.monotonic()
        self.q.inb(0x60)
        while not self.q.inb(0x64) & 1:
            self.assertLess(time.monotonic(), end)
        self.assertGreater(time.monotonic() - begin, 0.01)


if __name__ == "__main__":
    main()
