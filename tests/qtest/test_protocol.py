#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The qtest protocol itself, on the machine without a board and on the PC."""

from libqtest import Failed, TestCase, main


class NoBoard(TestCase):
    args = ["-M", "none"]

    def test_endianness(self):
        self.assertEqual(self.q.command_line("endianness"), "little")

    def test_nothing_there(self):
        self.assertEqual(self.q.inb(0x60), 0xff)
        self.assertEqual(self.q.readl(0), 0xffffffff)
        self.assertEqual(self.q.read(0x1000, 3), b"\xff\xff\xff")
        self.q.outl(0xcf8, 1)
        self.q.writeq(0, 1)

    def test_errors(self):
        for bad in ("frobnicate", "outb 1", "outb x 1", "inb", "read 0 0x100000000", "write 0 1",
                    "irq_intercept_in nothing", "set_irq_in nothing x 0 0", "b64write 0 4 AA==",
                    "memset 0 4", "outb 1 99999999999999999999999", ""):
            with self.assertRaises(Failed):
                self.q.command_line(bad)
        self.assertEqual(self.q.command_line("endianness"), "little")

    def test_clock(self):
        begin = self.q.clock_step(0)
        self.assertEqual(self.q.clock_step(1000), begin + 1000)
        self.assertEqual(self.q.clock_set(begin + 5000), begin + 5000)
        self.assertEqual(self.q.clock_step(0), begin + 5000)

    def test_long_and_split_lines(self):
        self.q._qtest.put(b"endian")
        self.q._qtest.put(b"ness\nendianness\n")
        self.assertEqual(self.q._line(), "OK little")
        self.assertEqual(self.q._line(), "OK little")


class Pc(TestCase):
    args = ["-M", "pc", "-m", "16"]

    def test_memory(self):
        self.q.write(0x1000, bytes(range(16)))
        self.assertEqual(self.q.read(0x1000, 16), bytes(range(16)))
        self.assertEqual(self.q.readb(0x1001), 1)
        self.assertEqual(self.q.readw(0x1002), 0x0302)
        self.assertEqual(self.q.readl(0x1004), 0x07060504)
        self.assertEqual(self.q.readq(0x1008), 0x0f0e0d0c0b0a0908)
        self.q.writeq(0x2001, 0x1122334455667788)       # not aligned
        self.assertEqual(self.q.read(0x2001, 8), bytes.fromhex("8877665544332211"))
        self.q.memset(0x3000, 0x1000, 0xa5)
        self.assertEqual(self.q.read(0x3000, 0x1000), b"\xa5" * 0x1000)
        self.assertEqual(self.q.command_line("b64read 0x1000 3"), "AAEC")
        self.q.command_line("b64write 0x1000 3 //79")
        self.assertEqual(self.q.read(0x1000, 4), b"\xff\xfe\xfd\x03")

    def test_short_data_is_filled_with_zeroes(self):
        self.q.memset(0x1000, 8, 0xff)
        self.q.command_line("write 0x1000 4 0x1")
        self.assertEqual(self.q.read(0x1000, 5), b"\x10\0\0\0\xff")

    def test_intercepted_lines(self):
        self.q.irq_intercept_in("isa-i8259")
        self.q.set_irq_in("isa-i8259", 7, 1)
        self.assertTrue(self.q.get_irq(7))
        self.q.set_irq_in("isa-i8259", 7, 0)
        self.assertFalse(self.q.get_irq(7))
        self.assertEqual(self.q.irq_log, [(7, True), (7, False)])
        with self.assertRaises(Failed):
            self.q.set_irq_in("isa-i8259", 16, 1)


if __name__ == "__main__":
    main()
