# SPDX-License-Identifier: MIT
"""The 8259 pair, register by register.

There is no CPU to acknowledge interrupts, so polling does it.  Interrupts come from the serial
ports: with the "transmitter empty" interrupt enabled a port's line is up.
"""

from libqtest import TestCase, main

MASTER, SLAVE = 0x20, 0xa0
COM = {4: 0x3f8, 3: 0x2f8}          # IRQ -> serial port
ELCR = 0x4d0


class I8259Test(TestCase):
    args = ["-M", "pc", "-serial", "null", "-serial", "null"]

    def setUp(self):
        super().setUp()
        self.init(MASTER, 0x08, 4)
        self.init(SLAVE, 0x70, 2)

    def init(self, port, base, icw3, icw4=0x01, mask=0x00):
        self.q.outb(port, 0x11)
        self.q.outb(port + 1, base)
        self.q.outb(port + 1, icw3)
        self.q.outb(port + 1, icw4)
        self.q.outb(port + 1, mask)

    def line(self, irq, level):
        self.q.outb(COM[irq] + 1, 2 if level else 0)

    def irr(self, port=MASTER):
        self.q.outb(port, 0x0a)
        return self.q.inb(port)

    def isr(self, port=MASTER):
        self.q.outb(port, 0x0b)
        return self.q.inb(port)

    def poll(self, port=MASTER):
        self.q.outb(port, 0x0c)
        return self.q.inb(port)

    def eoi(self, port=MASTER, command=0x20):
        self.q.outb(port, command)

    # ---- registers ----

    def test_mask_register(self):
        for port in (MASTER, SLAVE):
            for v in (0x00, 0x55, 0xaa, 0xff):
                self.q.outb(port + 1, v)
                self.assertEqual(self.q.inb(port + 1), v)

    def test_icw1_clears_mask(self):
        self.q.outb(MASTER + 1, 0xff)
        self.q.outb(MASTER, 0x11)
        self.assertEqual(self.q.inb(MASTER + 1), 0)

    def test_elcr_writable_bits(self):
        self.q.outb(ELCR, 0xff)
        self.q.outb(ELCR + 1, 0xff)
        self.assertEqual(self.q.inb(ELCR), 0xf8)
        self.assertEqual(self.q.inb(ELCR + 1), 0xde)
        self.q.outb(ELCR, 0)
        self.q.outb(ELCR + 1, 0)
        self.assertEqual((self.q.inb(ELCR), self.q.inb(ELCR + 1)), (0, 0))

    def test_single_mode_takes_no_icw3(self):
        self.q.outb(MASTER, 0x13)
        self.q.outb(MASTER + 1, 0x40)
        self.q.outb(MASTER + 1, 0x01)
        self.q.outb(MASTER + 1, 0x99)           # already OCW1
        self.assertEqual(self.q.inb(MASTER + 1), 0x99)

    def test_no_icw4(self):
        self.q.outb(MASTER, 0x10)
        self.q.outb(MASTER + 1, 0x40)
        self.q.outb(MASTER + 1, 0x04)
        self.q.outb(MASTER + 1, 0x77)
        self.assertEqual(self.q.inb(MASTER + 1), 0x77)

    # ---- requests ----

    def test_edge_is_latched_once(self):
        self.line(4, 1)
        self.assertEqual(self.irr(), 0x10)
        self.assertEqual(self.poll(), 0x84)
        self.assertEqual(self.irr(), 0)         # still up, but an edge is taken once
        self.assertEqual(self.isr(), 0x10)
        self.eoi()
        self.assertEqual(self.isr(), 0)
        self.assertEqual(self.poll(), 0)
        self.line(4, 0)
        self.line(4, 1)
        self.assertEqual(self.poll(), 0x84)

    def test_level_comes_again(self):
        self.q.outb(ELCR, 0x10)
        self.line(4, 1)
        self.assertEqual(self.poll(), 0x84)
        self.assertEqual(self.irr(), 0x10)      # the line is the request
        self.assertEqual(self.poll(), 0)        # but its own service blocks it
        self.eoi()
        self.assertEqual(self.poll(), 0x84)
        self.eoi()
        self.line(4, 0)
        self.assertEqual(self.irr(), 0)
        self.assertEqual(self.poll(), 0)

    def test_mask_holds_back(self):
        self.q.outb(MASTER + 1, 0x10)
        self.line(4, 1)
        self.assertEqual(self.irr(), 0x10)
        self.assertEqual(self.poll(), 0)
        self.q.outb(MASTER + 1, 0)
        self.assertEqual(self.poll(), 0x84)

    def test_fixed_priority(self):
        self.line(4, 1)
        self.line(3, 1)
        self.assertEqual(self.irr(), 0x18)
        self.assertEqual(self.poll(), 0x83)
        self.assertEqual(self.poll(), 0)        # 4 is lower than 3, which is in service
        self.eoi()
        self.assertEqual(self.poll(), 0x84)

    def test_higher_interrupts_lower(self):
        self.line(4, 1)
        self.assertEqual(self.poll(), 0x84)
        self.line(3, 1)
        self.assertEqual(self.poll(), 0x83)
        self.assertEqual(self.isr(), 0x18)
        self.eoi()                              # ends the higher one
        self.assertEqual(self.isr(), 0x10)

    # ---- end of interrupt, rotation ----

    def test_specific_eoi(self):
        self.line(4, 1)
        self.poll()
        self.eoi(command=0x63)                  # not in service
        self.assertEqual(self.isr(), 0x10)
        self.eoi(command=0x64)
        self.assertEqual(self.isr(), 0)

    def test_set_priority(self):
        self.q.outb(MASTER, 0xc3)               # 3 lowest, so 4 highest
        self.line(3, 1)
        self.line(4, 1)
        self.assertEqual(self.poll(), 0x84)
        self.assertEqual(self.poll(), 0)
        self.eoi()
        self.assertEqual(self.poll(), 0x83)

    def test_rotate_on_eoi(self):
        self.line(3, 1)
        self.assertEqual(self.poll(), 0x83)
        self.eoi(command=0xa0)                  # 3 becomes the lowest
        self.line(3, 0)
        self.line(3, 1)
        self.line(4, 1)
        self.assertEqual(self.poll(), 0x84)

    def test_rotate_on_specific_eoi(self):
        self.line(3, 1)
        self.poll()
        self.eoi(command=0xe3)
        self.assertEqual(self.isr(), 0)
        self.line(3, 0)
        self.line(3, 1)
        self.line(4, 1)
        self.assertEqual(self.poll(), 0x84)

    def test_auto_eoi(self):
        self.init(MASTER, 0x08, 4, icw4=0x03)
        self.line(4, 1)
        self.assertEqual(self.poll(), 0x84)
        self.assertEqual(self.isr(), 0)

    def test_rotate_in_auto_eoi(self):
        self.init(MASTER, 0x08, 4, icw4=0x03)
        self.q.outb(MASTER, 0x80)
        self.line(3, 1)
        self.assertEqual(self.poll(), 0x83)
        self.line(3, 0)
        self.line(3, 1)
        self.line(4, 1)
        self.assertEqual(self.poll(), 0x84)
        self.q.outb(MASTER, 0x00)               # rotation off: the order stays as it is
        self.line(4, 0)
        self.line(4, 1)
        self.assertEqual(self.poll(), 0x83)

    def test_special_mask_mode(self):
        self.line(3, 1)
        self.assertEqual(self.poll(), 0x83)
        self.line(4, 1)
        self.q.outb(MASTER + 1, 0x08)           # mask the one in service
        self.assertEqual(self.poll(), 0)
        self.q.outb(MASTER, 0x68)               # special mask: it no longer blocks others
        self.assertEqual(self.poll(), 0x84)
        self.q.outb(MASTER, 0x48)
        self.assertEqual(self.isr(), 0x18)

    # ---- the cascade ----

    def slave_irq(self, on):
        """IRQ 14: an ATA command without a drive doesn't interrupt; the mouse port does."""
        if on:
            self.q.outb(0x64, 0x60)
            self.q.outb(0x60, 0x02)             # mouse interrupt on
            self.q.outb(0x64, 0xd3)             # as if the mouse had sent 5Ah
            self.q.outb(0x60, 0x5a)
        else:
            self.q.inb(0x60)

    def test_cascade(self):
        self.slave_irq(True)
        self.assertEqual(self.irr(SLAVE), 0x10)
        self.assertEqual(self.irr(MASTER), 0x04)
        self.assertEqual(self.poll(MASTER), 0x82)
        self.assertEqual(self.poll(SLAVE), 0x84)
        self.assertEqual(self.isr(MASTER), 0x04)
        self.assertEqual(self.isr(SLAVE), 0x10)
        self.eoi(SLAVE)
        self.eoi(MASTER)
        self.assertEqual((self.isr(MASTER), self.isr(SLAVE)), (0, 0))

    def test_slave_mask(self):
        self.q.outb(SLAVE + 1, 0xff)
        self.slave_irq(True)
        self.assertEqual(self.irr(SLAVE), 0x10)
        self.assertEqual(self.irr(MASTER), 0)
        self.q.outb(SLAVE + 1, 0)
        self.assertEqual(self.irr(MASTER), 0x04)

    def test_poll_without_request(self):
        self.assertEqual(self.poll(MASTER), 0)
        self.assertEqual(self.poll(SLAVE), 0)

    def test_read_register_is_remembered(self):
        self.line(4, 1)
        self.poll()
        self.q.outb(MASTER, 0x0b)
        self.assertEqual([self.q.inb(MASTER) for _ in range(3)], [0x10] * 3)
        self.q.outb(MASTER, 0x08)               # RR clear: no change
        self.assertEqual(self.q.inb(MASTER), 0x10)


if __name__ == "__main__":
    main()
