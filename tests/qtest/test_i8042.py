# SPDX-License-Identifier: MIT
"""The keyboard controller, its keyboard and its mouse."""

import os
import unittest

from libqtest import EMULATOR, TestCase, main, patiently

QEMU = "qemu" in os.path.basename(EMULATOR)
ours = unittest.skipIf(QEMU, "differs in QEMU")
OBF, SYS, AUX = 0x01, 0x04, 0x20


class I8042Base(TestCase):
    args = ["-M", "pc"]

    def status(self):
        return self.q.inb(0x64)

    def command(self, *bytes_):
        self.q.outb(0x64, bytes_[0])
        for b in bytes_[1:]:
            self.q.outb(0x60, b)

    def data(self):
        self.assertTrue(self.status() & OBF, "no data")
        return self.q.inb(0x60)

    def all(self):
        out = []
        while self.status() & OBF and len(out) < 64:
            out.append(self.q.inb(0x60))
        return out

    def kbd(self, *bytes_):
        """Send a keyboard command, return all it answers."""
        out = []
        for b in bytes_:
            self.q.outb(0x60, b)
            out += self.all()
        return out

    def aux(self, *bytes_):
        out = []
        for b in bytes_:
            self.q.outb(0x64, 0xd4)
            self.q.outb(0x60, b)
            while self.status() & OBF and len(out) < 64:
                self.assertTrue(self.status() & AUX)
                out.append(self.q.inb(0x60))
        return out

    def mode(self, v):
        self.command(0x60, v)

    def key(self, code, down):
        self.q.qmp("input-send-event", events=[{"type": "key", "data": {
            "down": down, "key": {"type": "qcode", "data": code}}}])

    def keys(self, code):
        """Scan codes of a press, and of a release."""
        self.key(code, True)
        down = self.all()
        self.key(code, False)
        return down, self.all()

    def move(self, dx=0, dy=0, buttons=()):
        events = []
        if dx:
            events.append({"type": "rel", "data": {"axis": "x", "value": dx}})
        if dy:
            events.append({"type": "rel", "data": {"axis": "y", "value": dy}})
        for name, down in buttons:
            events.append({"type": "btn", "data": {"button": name, "down": down}})
        self.q.qmp("input-send-event", events=events)


class ControllerTest(I8042Base):
    def test_self_test(self):
        self.command(0xaa)
        self.assertEqual(self.data(), 0x55)
        self.assertTrue(self.status() & SYS)

    def test_interface_tests(self):
        self.command(0xab)
        self.assertEqual(self.data(), 0x00)
        self.command(0xa9)
        self.assertEqual(self.data(), 0x00)

    def test_command_byte(self):
        for v in (0x00, 0x47, 0x65):
            self.mode(v)
            self.command(0x20)
            self.assertEqual(self.data(), v)

    def test_enable_bits(self):
        self.mode(0)
        for cmd, bit in ((0xad, 0x10), (0xa7, 0x20)):
            self.command(cmd)
            self.command(0x20)
            self.assertEqual(self.data() & bit, bit)
            self.command(cmd + 1)
            self.command(0x20)
            self.assertEqual(self.data() & bit, 0)

    def test_output_port(self):
        self.command(0xd0)
        self.assertEqual(self.data() & 0x03, 0x03)
        self.command(0xd1, 0xdd)                    # A20 off
        self.command(0xd0)
        self.assertEqual(self.data() & 0x03, 0x01)
        self.command(0xdf)
        self.command(0xd0)
        self.assertEqual(self.data() & 0x02, 0x02)

    def test_write_output_buffers(self):
        self.command(0xd2, 0x77)
        self.assertEqual(self.status() & (OBF | AUX), OBF)
        self.assertEqual(self.data(), 0x77)
        self.command(0xd3, 0x78)
        self.assertEqual(self.status() & (OBF | AUX), OBF | AUX)
        self.assertEqual(self.data(), 0x78)
        self.assertEqual(self.status() & OBF, 0)

    def test_buffer_keeps_its_value(self):
        self.command(0xd2, 0x42)
        self.data()
        self.assertEqual(self.q.inb(0x60), 0x42)

    @ours
    def test_ram(self):
        for n in range(1, 32):
            self.command(0x60 + n, n ^ 0x5a)
        for n in range(1, 32):
            self.command(0x20 + n)
            self.assertEqual(self.data(), n ^ 0x5a)

    def test_interrupts(self):
        for port, base, icw3 in ((0x20, 8, 4), (0xa0, 0x70, 2)):
            self.q.outb(port, 0x11)
            for v in (base, icw3, 1, 0xff):
                self.q.outb(port + 1, v)
        self.mode(0x00)
        self.command(0xd2, 1)
        self.q.outb(0x20, 0x0a)
        self.assertEqual(self.q.inb(0x20) & 2, 0)   # not enabled
        self.data()
        self.mode(0x03)
        self.command(0xd2, 1)
        self.assertEqual(self.q.inb(0x20) & 2, 2)
        self.data()
        self.command(0xd3, 1)
        self.q.outb(0xa0, 0x0a)
        self.assertEqual(self.q.inb(0xa0) & 0x10, 0x10)

    def test_reset_command(self):
        self.command(0xfe)
        self.q.wait_event("RESET")

    def test_pulse_of_nothing(self):
        self.command(0xff)
        self.assertEqual(self.status() & OBF, 0)


class KeyboardTest(I8042Base):
    def test_reset(self):
        self.mode(0)
        self.assertEqual(self.kbd(0xff), [0xfa, 0xaa])

    def test_identify(self):
        self.mode(0)
        self.assertEqual(self.kbd(0xf2), [0xfa, 0xab, 0x83])
        self.mode(0x40)
        self.assertEqual(self.kbd(0xf2), [0xfa, 0xab, 0x41])

    def test_echo_and_unknown(self):
        self.mode(0)
        self.assertEqual(self.kbd(0xee), [0xee])
        self.assertEqual(self.kbd(0xf1), [0xfe])

    def test_parameters(self):
        self.mode(0)
        self.assertEqual(self.kbd(0xed, 0x07), [0xfa, 0xfa])
        self.assertEqual(self.kbd(0xf3, 0x20), [0xfa, 0xfa])
        self.assertEqual(self.kbd(0xf4), [0xfa])
        self.assertEqual(self.kbd(0xf5), [0xfa])
        self.assertEqual(self.kbd(0xf6), [0xfa])

    def test_scan_code_set(self):
        self.mode(0)
        self.assertEqual(self.kbd(0xf0, 0x00), [0xfa, 0xfa, 0x02])
        for s in (1, 2, 3):
            self.assertEqual(self.kbd(0xf0, s), [0xfa, 0xfa])
            self.assertEqual(self.kbd(0xf0, 0x00), [0xfa, 0xfa, s])
        self.assertEqual(self.kbd(0xf0, 9), [0xfa, 0xfe])

    @ours
    def test_resend(self):
        self.mode(0)
        self.kbd(0xee)
        self.assertEqual(self.kbd(0xfe), [0xee])

    def test_set2(self):
        self.mode(0)
        self.assertEqual(self.keys("a"), ([0x1c], [0xf0, 0x1c]))
        self.assertEqual(self.keys("f7"), ([0x83], [0xf0, 0x83]))
        self.assertEqual(self.keys("up"), ([0xe0, 0x75], [0xe0, 0xf0, 0x75]))
        self.assertEqual(self.keys("ctrl_r"), ([0xe0, 0x14], [0xe0, 0xf0, 0x14]))

    def test_translated(self):
        self.mode(0x40)
        self.assertEqual(self.keys("a"), ([0x1e], [0x9e]))
        self.assertEqual(self.keys("f7"), ([0x41], [0xc1]))
        self.assertEqual(self.keys("up"), ([0xe0, 0x48], [0xe0, 0xc8]))
        self.assertEqual(self.keys("kp_enter"), ([0xe0, 0x1c], [0xe0, 0x9c]))

    def test_every_letter_and_digit(self):
        set1 = dict(zip("1234567890", range(2, 12)))
        for row, first in (("qwertyuiop", 0x10), ("asdfghjkl", 0x1e), ("zxcvbnm", 0x2c)):
            set1.update((c, first + i) for i, c in enumerate(row))
        self.mode(0x40)
        for c, code in set1.items():
            self.assertEqual(self.keys(c), ([code], [code | 0x80]), c)

    def test_print_and_pause(self):
        self.mode(0x40)
        self.assertEqual(self.keys("print"), ([0xe0, 0x2a, 0xe0, 0x37], [0xe0, 0xb7, 0xe0, 0xaa]))
        self.assertEqual(self.keys("pause"), ([0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5], []))
        self.mode(0)
        self.assertEqual(self.keys("pause"),
                         ([0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77], []))

    @ours                                           # QEMU releases and presses Alt around it
    def test_print_with_alt_and_pause_with_ctrl(self):
        self.mode(0x40)
        self.key("alt", True)
        self.all()
        self.assertEqual(self.keys("print"), ([0x54], [0xd4]))
        self.key("alt", False)
        self.key("ctrl", True)
        self.all()
        self.assertEqual(self.keys("pause")[0], [0xe0, 0x46, 0xe0, 0xc6])
        self.key("ctrl", False)

    def test_set3(self):
        self.mode(0)
        self.kbd(0xf0, 3)
        self.assertEqual(self.keys("a"), ([0x1c], [0xf0, 0x1c]))
        self.assertEqual(self.keys("up"), ([0x63], [0xf0, 0x63]))
        self.assertEqual(self.keys("f1"), ([0x07], [0xf0, 0x07]))

    @ours
    def test_set3_key_types(self):
        self.mode(0)
        self.kbd(0xf0, 3)
        self.assertEqual(self.kbd(0xfd, 0x1c), [0xfa, 0xfa])    # A: make only
        self.kbd(0xf4)
        self.assertEqual(self.keys("a"), ([0x1c], []))
        self.assertEqual(self.keys("b"), ([0x32], [0xf0, 0x32]))
        self.kbd(0xf9)
        self.assertEqual(self.keys("b"), ([0x32], []))
        self.kbd(0xf8)
        self.assertEqual(self.keys("a"), ([0x1c], [0xf0, 0x1c]))

    def test_disabled_scanning(self):
        self.mode(0)
        self.kbd(0xf5)
        self.assertEqual(self.keys("a"), ([], []))
        self.kbd(0xf4)
        self.assertEqual(self.keys("a"), ([0x1c], [0xf0, 0x1c]))

    def test_disabled_interface_keeps_keys(self):
        self.mode(0)
        self.command(0xad)
        self.key("a", True)
        self.assertEqual(self.all(), [])
        self.command(0xae)
        self.assertEqual(self.all(), [0x1c])

    def test_queue_is_bounded(self):
        self.mode(0)
        for _ in range(1000):
            self.key("a", True)
            self.key("a", False)
        got, quiet = [], 0
        for _ in patiently():
            more = self.all()
            got += more
            quiet = 0 if more else quiet + 1
            if quiet > 50:
                break
        self.assertLessEqual(len(got), 32 if QEMU else 1500)
        self.assertEqual(got[-1], 0x1c)             # no half sequence
        self.assertEqual(self.keys("b"), ([0x32], [0xf0, 0x32]))

    def test_what_is_typed_fast_is_kept(self):
        """More keys than the keyboard's queue holds come when the guest reads; none stays down."""
        if QEMU:
            self.skipTest("a queue of 16 bytes")
        self.mode(0)
        want = []
        for n in range(60):
            for down in (True, False):
                self.key(("a", "b", "up")[n % 3], down)
            make = ([0x1c], [0x32], [0xe0, 0x75])[n % 3]
            want += make + make[:-1] + [0xf0, make[-1]]
        got = []
        for _ in patiently():
            got += self.all()
            if len(got) >= len(want):
                break
        self.assertEqual(got, want)


class MouseTest(I8042Base):
    def setUp(self):
        super().setUp()
        self.mode(0x00)
        self.assertEqual(self.aux(0xff), [0xfa, 0xaa, 0x00])

    def test_identities(self):
        self.assertEqual(self.aux(0xf2), [0xfa, 0x00])
        for rate in (200, 100, 80):
            self.assertEqual(self.aux(0xf3, rate), [0xfa, 0xfa])
        self.assertEqual(self.aux(0xf2), [0xfa, 0x03])
        for rate in (200, 200, 80):
            self.aux(0xf3, rate)
        self.assertEqual(self.aux(0xf2), [0xfa, 0x04])

    def test_status(self):
        self.assertEqual(self.aux(0xe9), [0xfa, 0x00, 0x02, 100])
        self.aux(0xe8, 3)
        self.aux(0xe7)
        self.aux(0xf3, 60)
        self.aux(0xf4)
        self.assertEqual(self.aux(0xe9), [0xfa, 0x30, 0x03, 60])
        self.aux(0xf6)
        self.assertEqual(self.aux(0xe9), [0xfa, 0x00, 0x02, 100])

    def test_wrap(self):
        self.assertEqual(self.aux(0xee), [0xfa])
        self.assertEqual(self.aux(0x12), [0x12])
        self.assertEqual(self.aux(0xf2), [0xf2])
        self.assertEqual(self.aux(0xec), [0xfa])
        self.assertEqual(self.aux(0xf2), [0xfa, 0x00])

    def test_stream(self):
        self.move(5, 3)
        self.assertEqual(self.all(), [])            # not enabled
        self.assertEqual(self.aux(0xf4), [0xfa])
        self.move(5, 3)
        self.assertEqual(self.all(), [0x28, 5, 0xfd])
        self.move(-1, -2)
        self.assertEqual(self.all(), [0x18, 0xff, 2])
        self.move(buttons=[("left", True)])
        self.assertEqual(self.all(), [0x09, 0, 0])
        self.move(buttons=[("left", False), ("right", True)])
        self.assertEqual(self.all(), [0x0a, 0, 0])
        self.move(buttons=[("right", False)])

    def test_long_way_takes_several_packets(self):
        self.aux(0xf4)
        self.move(300, 0)
        got = self.all()
        self.assertEqual(len(got) % 3, 0)
        self.assertEqual(sum(got[1::3]), 300)

    def test_wheel(self):
        for rate in (200, 100, 80):
            self.aux(0xf3, rate)
        self.aux(0xf4)
        self.move(buttons=[("wheel-up", True)])
        self.assertEqual(self.all(), [0x08, 0, 0, 0xff])
        self.move(buttons=[("wheel-up", False)])
        self.move(buttons=[("wheel-down", True)])
        self.assertIn([0x08, 0, 0, 1], (self.all()[-4:],))

    def test_explorer_side_buttons(self):
        for rate in (200, 200, 80):
            self.aux(0xf3, rate)
        self.aux(0xf4)
        self.move(buttons=[("side", True)])
        self.assertEqual(self.all(), [0x08, 0, 0, 0x10])
        self.move(buttons=[("extra", True)])
        self.assertEqual(self.all(), [0x08, 0, 0, 0x30])

    @ours                                           # QEMU forgets motion in remote mode
    def test_remote_mode(self):
        self.aux(0xf0)
        self.move(7, 0)
        self.assertEqual(self.all(), [])
        self.assertEqual(self.aux(0xeb), [0xfa, 0x08, 7, 0])
        self.assertEqual(self.aux(0xeb), [0xfa, 0x08, 0, 0])

    def test_unknown_command(self):
        got = self.aux(0xe1)
        self.assertIn(got, ([0xfe], [0xfa], []))    # QEMU says nothing

    def test_packets_stay_whole_under_load(self):
        self.aux(0xf4)
        for n in range(200):
            self.move(1, 1)
        total = 0
        for _ in range(100):
            got = self.all()
            if not got:
                break
            self.assertEqual(len(got) % 3, 0)
            self.assertTrue(all(b & 0x08 for b in got[0::3]))
            total += sum(got[1::3])
        self.assertGreater(total, 0)
        if not QEMU:
            self.assertEqual(total, 200)            # late, but nothing is lost


if __name__ == "__main__":
    main()
