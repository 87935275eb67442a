# SPDX-License-Identifier: MIT
"""The DMA controllers' registers; transfers are tested with the floppy controller."""

import os
import unittest

from libqtest import EMULATOR, TestCase, main

# QEMU shows the mask elsewhere than the PIIX
ours = unittest.skipIf("qemu" in os.path.basename(EMULATOR), "differs in QEMU")


class I8237Test(TestCase):
    args = ["-M", "pc"]

    def chips(self):
        """(first port, distance, page ports of its channels)"""
        return ((0x00, 1, (0x87, 0x83, 0x81, 0x82)), (0xc0, 2, (0x8f, 0x8b, 0x89, 0x8a)))

    def test_address_and_count(self):
        for base, step, _ in self.chips():
            for reg in range(8):
                self.q.outb(base + 12 * step, 0)
                self.q.outb(base + reg * step, 0x34)
                self.q.outb(base + reg * step, 0x12 + reg)
                self.q.outb(base + 12 * step, 0)
                self.assertEqual(self.q.inb(base + reg * step), 0x34)
                self.assertEqual(self.q.inb(base + reg * step), 0x12 + reg)

    def test_flip_flop_is_one_for_all(self):
        for base, step, _ in self.chips():
            self.q.outb(base + 12 * step, 0)
            self.q.outb(base + 0 * step, 0x11)
            self.q.outb(base + 2 * step, 0x22)      # channel 1, high byte
            self.q.outb(base + 12 * step, 0)
            self.q.inb(base + 2 * step)
            self.assertEqual(self.q.inb(base + 2 * step), 0x22)

    @ours
    def test_master_clear(self):
        for base, step, _ in self.chips():
            self.q.outb(base + 15 * step, 0x00)
            self.assertEqual(self.q.inb(base + 15 * step) & 0x0f, 0)
            self.q.outb(base + 13 * step, 0)
            self.assertEqual(self.q.inb(base + 15 * step) & 0x0f, 0x0f)

    @ours
    def test_masks(self):
        for base, step, _ in self.chips():
            self.q.outb(base + 15 * step, 0x0f)
            self.q.outb(base + 10 * step, 0x01)     # open channel 1
            self.assertEqual(self.q.inb(base + 15 * step) & 0x0f, 0x0d)
            self.q.outb(base + 10 * step, 0x05)
            self.assertEqual(self.q.inb(base + 15 * step) & 0x0f, 0x0f)
            self.q.outb(base + 14 * step, 0)
            self.assertEqual(self.q.inb(base + 15 * step) & 0x0f, 0)

    def test_ports_without_a_page(self):
        for port in (0x80, 0x84, 0x85, 0x86, 0x88, 0x8c, 0x8d, 0x8e):
            self.q.outb(port, 0x55)
            self.assertEqual(self.q.inb(port), 0xff, hex(port))

    def test_pages(self):
        for _, _, pages in self.chips():
            for n, port in enumerate(pages):
                self.q.outb(port, 0xa0 + n)
            for n, port in enumerate(pages):
                self.assertEqual(self.q.inb(port), 0xa0 + n)

    def test_status(self):
        for base, step, _ in self.chips():
            self.assertEqual(self.q.inb(base + 8 * step) & 0x0f, 0)


if __name__ == "__main__":
    main()
