#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Text terminals: what bytes do to their picture; where default ports and monitors go; the
command line of displays."""

import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "qtest"), os.path.join(HERE, "..", "guest"),
                os.path.join(HERE, "..", "qmp")]
from libqtest import EMULATOR, OptionTest, TestCase, main           # noqa: E402
from screen import Picture                                          # noqa: E402

COM1 = 0x3f8


class Terminal(TestCase):
    args = ["-M", "pc", "-m", "16", "-vga", "none", "-chardev", "vc,id=t,cols=40,rows=10",
            "-serial", "chardev:t"]

    def send(self, text):
        self.q.batch(["outb 0x%x 0x%x" % (COM1, b)
                      for b in (text if isinstance(text, bytes) else text.encode())])

    def picture(self):
        path = os.path.join(self.q.dir, "t.ppm")
        self.q.qmp("screendump", filename=path, device="t")
        return Picture.load(path)

    def shows(self, text, lines):
        """The terminal, reset and sent text, shows these lines."""
        self.send("\033c" + text + "\033[?25l")
        got = self.picture().text().split("\n")
        self.assertEqual([line.rstrip() for line in got],
                         [*lines, *[""] * (10 - len(lines))], text)

    def test_size(self):
        p = self.picture()
        self.assertEqual((p.width, p.height), (320, 160))

    def test_cursor_movement(self):
        for text, lines in (
                ("one\r\ntwo\tx\b\by", ["one", "two    yx"]),
                ("a\033[3;5Hb\033[Ac\033[2Dd\033[Be", ["a", "    dc",
                                                      "    be"]),
                ("\033[5Cx\033[4Gy\033[2dz", ["   y x", "    z"]),
                ("\0337ab\0338c", ["cb"]),
                ("\033[s12\033[u3", ["32"]),
                ("abc\033Ed\033Me", ["aec", "d"]),
                ("x" * 41, ["x" * 40, "x"]),
                ("\033[?7l" + "x" * 41 + "y", ["x" * 39 + "y"])):
            self.shows(text, lines)

    def test_erasing(self):
        fill = "aaaa\r\nbbbb\r\ncccc\033[2;3H"
        for text, lines in ((fill + "\033[J", ["aaaa", "bb"]),
                            (fill + "\033[1J", ["", "   b", "cccc"]),
                            (fill + "\033[2J", []),
                            (fill + "\033[K", ["aaaa", "bb", "cccc"]),
                            (fill + "\033[1K", ["aaaa", "   b", "cccc"]),
                            (fill + "\033[2X", ["aaaa", "bb", "cccc"]),
                            (fill + "\033[P", ["aaaa", "bbb", "cccc"]),
                            (fill + "\033[@x", ["aaaa", "bbxbb", "cccc"]),
                            (fill + "\033[L", ["aaaa", "", "bbbb", "cccc"]),
                            (fill + "\033[M", ["aaaa", "cccc"])):
            self.shows(text, lines)

    def test_scrolling(self):
        self.shows("".join("%d\r\n" % i for i in range(12)), [str(i) for i in range(3, 12)])
        self.shows("0\r\n1\r\n2\r\n3\r\n4\033[2;4r\033[4;1H\nx", ["0", "2", "3", "x", "4"])
        self.shows("0\r\n1\r\n2\033[2;3r\033[2;1H\033Mx", ["0", "x", "1"])
        self.shows("0\r\n1\r\n2\033[S", ["1", "2"])
        self.shows("0\r\n1\r\n2\033[T", ["", "0", "1", "2"])

    def test_colours(self):
        self.send("\033c\033[?25l\033[31;44mA\033[1mB\033[0;7mC\033[0;92mD\033[38;5;196mE\033[48;2;0;0;170m ")
        p = self.picture()
        cell = [{p.pixel(8 * n + x, y) for x in range(8) for y in range(16)} for n in range(6)]
        self.assertEqual(cell[0], {b"\xaa\0\0", b"\0\0\xaa"})
        self.assertEqual(cell[1], {b"\xff\x55\x55", b"\0\0\xaa"})
        self.assertEqual(cell[2], {b"\0\0\0", b"\xaa\xaa\xaa"})
        self.assertEqual(cell[3], {b"\x55\xff\x55", b"\0\0\0"})
        self.assertEqual(cell[4], {b"\xff\x55\x55", b"\0\0\0"})
        self.assertEqual(cell[5], {b"\0\0\xaa"})

    def test_characters(self):
        """UTF-8 in code page 437, and the line drawing set."""
        self.send("\033c\033[?25l\u00e9\u2500\033(0q\033(B\u20ac?")
        p = self.picture()
        rows = [p.cell(8 * n, 0, 8) for n in range(5)]
        self.assertEqual(rows[1], rows[2])
        self.assertEqual(rows[3], rows[4])
        self.assertNotEqual(rows[0], rows[4])

    def test_cursor_is_drawn(self):
        self.send("\033c\033[2;3H")
        p = self.picture()
        self.assertEqual(p.pixel(17, 17), b"\xaa\xaa\xaa")
        self.assertEqual(p.pixel(25, 17), b"\0\0\0")

    def test_any_bytes(self):
        """Nonsense does no harm."""
        seed = 12345
        data = bytearray()
        for _ in range(6000):
            seed = (seed * 1103515245 + 12345) & 0x7fffffff
            data.append(b"\033[0123456789;?ABCDHJKLMPrmSThl@78cDM\n\r\t\b\xc3\xa9\xff"[(seed >> 16) % 42])
        self.send(bytes(data))
        self.shows("ok", ["ok"])


class CommandLine(OptionTest):
    def test_refusals(self):
        for words, args in (
                (["nosuch", "none"], ["-display", "nosuch"]),
                (["gtk", "no display"], ["-display", "gtk"]),
                (["-full-screen", "sdl"], ["-full-screen"]),
                (["vc:1Cx", "COLSC"], ["-serial", "vc:1Cx"]),
                (["cols"], ["-chardev", "vc,id=a,cols=0"]),
                (["cloumns"], ["-chardev", "vc,id=a,cloumns=9"])):
            self.refused(words, *args)

    def test_help(self):
        for option, word in (("-display", "none"), ("-chardev", "vc ")):
            out = subprocess.run([EMULATOR, option, "help"], check=True, stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE).stdout.decode()
            self.assertIn(word, out)


if __name__ == "__main__":
    main()
