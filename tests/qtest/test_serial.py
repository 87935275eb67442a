# SPDX-License-Identifier: MIT
"""The 16550A at COM1: registers, FIFOs, interrupts, loopback, modem lines, the back-end."""

import os
import socket
import unittest

from libqtest import EMULATOR, TestCase, main, patiently

BASE = 0x3f8
RBR, IER, IIR, LCR, MCR, LSR, MSR, SCR = range(8)
needs_clock = unittest.skipIf("qemu" in os.path.basename(EMULATOR), "its clock stands")


class SerialTest(TestCase):
    args = ["-M", "pc", "-serial", "null"]

    def r(self, reg):
        return self.q.inb(BASE + reg)

    def w(self, reg, v):
        self.q.outb(BASE + reg, v)

    def loop(self, fifo=None):
        self.w(MCR, 0x10)
        if fifo is not None:
            self.w(IIR, fifo)

    # ---- registers ----

    def test_reset_values(self):
        self.assertEqual(self.r(IER), 0)
        self.assertEqual(self.r(IIR), 0x01)
        self.assertEqual(self.r(LSR), 0x60)
        self.assertEqual(self.r(MSR), 0xb0)

    def test_scratch(self):
        for v in (0, 0x55, 0xaa, 0xff):
            self.w(SCR, v)
            self.assertEqual(self.r(SCR), v)

    def test_ier_and_mcr_bits(self):
        self.w(MCR, 0xff)
        self.assertEqual(self.r(MCR), 0x1f)
        self.w(MCR, 0)
        self.w(IER, 0xff)
        self.assertEqual(self.r(IER), 0x0f)

    def test_divisor_latch(self):
        self.w(IER, 0x05)
        self.w(LCR, 0x83)
        self.w(0, 0x34)
        self.w(1, 0x12)
        self.assertEqual((self.r(0), self.r(1)), (0x34, 0x12))
        self.w(LCR, 0x03)
        self.assertEqual(self.r(IER), 0x05)
        self.assertEqual(self.r(LCR), 0x03)

    def test_fifo_enable_shows(self):
        self.w(IIR, 0x01)
        self.assertEqual(self.r(IIR), 0xc1)
        self.w(IIR, 0x00)
        self.assertEqual(self.r(IIR), 0x01)

    def test_lsr_is_read_only(self):
        self.w(LSR, 0)
        self.assertEqual(self.r(LSR), 0x60)

    # ---- loopback ----

    def test_loopback_byte(self):
        self.loop()
        for v in (0x00, 0x5a, 0xff):
            self.w(0, v)
            self.assertEqual(self.r(LSR) & 0x61, 0x61)
            self.assertEqual(self.r(0), v)
            self.assertEqual(self.r(LSR) & 0x01, 0)

    def test_overrun_without_fifo(self):
        self.loop()
        self.w(0, 1)
        self.w(0, 2)
        self.assertEqual(self.r(LSR) & 0x03, 0x03)
        self.assertEqual(self.r(LSR) & 0x02, 0)     # told once
        self.assertEqual(self.r(0), 2)

    def test_fifo_order_and_overrun(self):
        self.loop(0x07)
        for v in range(17):
            self.w(0, v)
        self.assertEqual(self.r(LSR) & 0x02, 0x02)
        self.assertEqual([self.r(0) for _ in range(16)], list(range(16)))
        self.assertEqual(self.r(LSR) & 0x01, 0)

    def test_fifo_reset(self):
        self.loop(0x01)
        self.w(0, 1)
        self.w(IIR, 0x03)
        self.assertEqual(self.r(LSR) & 0x01, 0)

    def test_modem_loopback(self):
        for out, msr in ((0x11, 0x20), (0x12, 0x10), (0x14, 0x40), (0x18, 0x80), (0x1f, 0xf0),
                         (0x10, 0x00)):
            self.w(MCR, out)
            self.assertEqual(self.r(MSR) & 0xf0, msr)

    @unittest.skipIf("qemu" in EMULATOR, "it has no deltas in loopback")
    def test_modem_deltas(self):
        self.w(MCR, 0x10)
        self.r(MSR)
        self.w(MCR, 0x13)
        self.assertEqual(self.r(MSR), 0x33)         # DSR and CTS changed
        self.assertEqual(self.r(MSR), 0x30)
        self.w(MCR, 0x17)                           # ring begins: no news
        self.assertEqual(self.r(MSR), 0x70)
        self.w(MCR, 0x13)
        self.assertEqual(self.r(MSR), 0x34)         # ... when it ends

    # ---- interrupts ----

    def test_thr_interrupt(self):
        self.w(IER, 0x02)
        self.assertEqual(self.r(IIR), 0x02)
        self.assertEqual(self.r(IIR), 0x01)         # reading acknowledged it
        self.w(0, 0x41)
        self.assertEqual(self.r(IIR), 0x02)
        self.r(IIR)
        self.w(IER, 0x00)
        self.w(IER, 0x02)                           # enabling asks again
        self.assertEqual(self.r(IIR), 0x02)

    def test_rx_interrupt_and_trigger(self):
        for fcr, level in ((0x07, 1), (0x47, 4), (0x87, 8), (0xc7, 14)):
            self.loop(fcr)
            self.w(IER, 0x01)
            for n in range(1, level):
                self.w(0, n)
                self.assertEqual(self.r(IIR), 0xc1)
            self.w(0, level)
            self.assertEqual(self.r(IIR), 0xc4)
            self.r(0)
            self.assertEqual(self.r(IIR), 0xc1)

    def test_line_status_comes_first(self):
        self.loop()
        self.w(IER, 0x0f)
        self.w(0, 1)
        self.w(0, 2)                                # overrun
        self.assertEqual(self.r(IIR), 0x06)
        self.r(LSR)
        self.assertEqual(self.r(IIR), 0x04)
        self.r(0)
        self.assertEqual(self.r(IIR), 0x02)

    @unittest.skipIf("qemu" in EMULATOR, "it has no deltas in loopback")
    def test_modem_interrupt(self):
        self.w(MCR, 0x10)
        self.r(MSR)
        self.w(IER, 0x08)
        self.assertEqual(self.r(IIR), 0x01)
        self.w(MCR, 0x12)
        self.assertEqual(self.r(IIR), 0x00)
        self.r(MSR)
        self.assertEqual(self.r(IIR), 0x01)

    @needs_clock
    def test_timeout_interrupt(self):
        self.w(LCR, 0x83)
        self.w(0, 1)                                # 115200
        self.w(1, 0)
        self.w(LCR, 0x03)
        self.loop(0xc7)
        self.w(IER, 0x01)
        self.w(0, 0x11)
        self.w(0, 0x22)
        self.assertEqual(self.r(IIR), 0xc1)
        self.q.clock_step(4 * 10 * 10**9 // 115200 + 1000)
        self.assertEqual(self.r(IIR), 0xcc)
        self.r(0)
        self.assertEqual(self.r(IIR), 0xc1)         # starts anew for the rest
        self.q.clock_step(4 * 10 * 10**9 // 115200 + 1000)
        self.assertEqual(self.r(IIR), 0xcc)

    def test_irq_line(self):
        self.q.outb(0x20, 0x11)
        for v in (0x08, 0x04, 0x01, 0x00):
            self.q.outb(0x21, v)
        self.w(IER, 0x02)
        self.q.outb(0x20, 0x0a)
        self.assertEqual(self.q.inb(0x20) & 0x10, 0x10)


class SerialBackendTest(TestCase):
    """Bytes in and out of a socket."""

    def setUp(self):
        self.server = socket.socket()
        self.server.bind(("127.0.0.1", 0))
        self.server.listen(1)
        self.args = ["-M", "pc", "-serial", "tcp:127.0.0.1:%d" % self.server.getsockname()[1]]
        super().setUp()
        self.peer = self.server.accept()[0]
        self.peer.settimeout(20)
        self.addCleanup(self.peer.close)
        self.addCleanup(self.server.close)

    def wait_lsr(self, bit):
        for _ in patiently():
            if self.q.inb(BASE + LSR) & bit:
                return
        self.fail("LSR bit %x did not come" % bit)

    def test_output(self):
        for c in b"hello":
            self.q.outb(BASE, c)
        got = b""
        while len(got) < 5:
            got += self.peer.recv(100)
        self.assertEqual(got, b"hello")

    def test_input_is_not_lost(self):
        data = bytes(range(256))
        self.q.outb(BASE + IIR, 0x01)
        self.peer.sendall(data)
        got = []
        while len(got) < len(data):
            self.wait_lsr(0x01)
            got.append(self.q.inb(BASE))
        self.assertEqual(bytes(got), data)
        self.assertEqual(self.q.inb(BASE + LSR) & 0x02, 0)

    def test_input_without_fifo(self):
        self.peer.sendall(b"abc")
        got = b""
        for _ in range(3):
            self.wait_lsr(0x01)
            got += bytes([self.q.inb(BASE)])
        self.assertEqual(got, b"abc")


class FourPortsTest(TestCase):
    args = ["-M", "pc"] + ["-serial", "null"] * 4

    def test_places(self):
        for base in (0x3f8, 0x2f8, 0x3e8, 0x2e8):
            self.q.outb(base + SCR, base >> 4 & 0xff)
        for base in (0x3f8, 0x2f8, 0x3e8, 0x2e8):
            self.assertEqual(self.q.inb(base + SCR), base >> 4 & 0xff)


if __name__ == "__main__":
    main()
