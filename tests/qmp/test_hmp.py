#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The monitor for people: commands, line editing, completion."""

import os
import re
import select
import socket
import time

from qmptest import EMULATOR, PATIENCE, TestCase, main


class Commands(TestCase):
    """Through human-monitor-command; what they say, and that none dies of odd input."""

    args = ["-M", "pc", "-accel", "tcg", "-m", "32", "-S", "-nodefaults", "-vga", "std",
            "-drive", "if=ide,index=2,media=cdrom,id=cd0", "-chardev", "ringbuf,id=r",
            "-device", "isa-debug-exit,id=e0", "-uuid", "00112233-4455-6677-8899-aabbccddeeff"]

    def test_help(self):
        text = self.c.hmp("help")
        for word in ("quit", "system_reset", "screendump", "sendkey", "info"):
            self.assertRegex(text, r"(?m)^%s\b" % word)
        self.assertRegex(self.c.hmp("help info"), r"(?m)^info registers\b")
        self.assertRegex(self.c.hmp("info"), r"(?m)^info registers\b")
        self.assertEqual(self.c.hmp("help stop").count("\n"), 1)
        self.assertIn("unknown command", self.c.hmp("help nonsense"))
        self.assertIn("guest_errors", self.c.hmp("help log"))

    def test_every_info(self):
        names = re.findall(r"(?m)^info ([^ ]+)", self.c.hmp("help info"))
        self.assertGreater(len(names), 20)
        for name in names:
            for n in name.split("|"):
                self.c.hmp("info " + n)
                self.c.hmp("info %s 1 2 3" % n)
                self.c.hmp("info %s -x" % n)
        self.c.call("query-status")

    def test_every_command_with_odd_arguments(self):
        names = re.findall(r"(?m)^([^ ]+)", self.c.hmp("help"))
        for name in names:
            for n in name.split("|"):
                if n in ("quit", "q"):
                    continue
                for args in ("", " x", " -1", " 1 2", " \"", " (", " " + "9" * 300, " ./x", "/", "/99999999999x 0",
                             " /dev/null/x 1 1", " \xff\xfe", " " + "(" * 5000):
                    with self.subTest(command=n + args[:40]):
                        self.c.hmp(n + args)
        self.c.call("query-status")

    def test_expressions(self):
        for text, value in (("1+2*3", 7), ("(1+2)*3", 9), ("0x10|1", 17), ("~0", -1), ("7/2", 3), ("7%4", 3),
                            ("-7/2", -3), ("1<<4", 16), ("'A'", 65), ("010", 8), ("2-3-4", -5),
                            ("0xffffffffffffffff", -1), ("6&3^1", 3), ("- - 5", 5)):
            self.assertEqual(self.c.hmp("p " + text), "%d\n" % value, text)
        self.assertEqual(self.c.hmp("p/x 255"), "0xff\n")
        self.assertEqual(self.c.hmp("p/c 'x'"), "'x'\n")
        self.assertEqual(self.c.hmp("p $cs"), "%d\n" % 0xf000)
        self.assertEqual(self.c.hmp("p/x $pc"), "0xfffffff0\n")
        self.assertEqual(self.c.hmp("p/x $rip"), "0xfffffff0\n")
        for bad in ("1/0", "1%0", "(1", "1)", "$nonsense", "", "0x", "1 +", "'a", "99999999999999999999999"):
            self.assertIn("Error", self.c.hmp("p " + bad), bad)
        self.assertEqual(self.c.hmp("p (-0x7fffffffffffffff-1)/-1"), "%d\n" % -(1 << 63))

    def test_memory(self):
        self.assertEqual(self.c.hmp("xp/2xb 0xfffffff0").split()[:2], ["00000000fffffff0:", "0xea"])
        self.assertRegex(self.c.hmp("x/i $pc"), r"fffffff0:.*ea.*jmp")
        line = self.c.hmp("xp/1xg 0xfffffff0")
        self.assertRegex(line, r"0x[0-9a-f]{14}ea\n")
        self.assertRegex(self.c.hmp("xp/4dh 0"), r"^0{16}:( +0){4}\n$")
        self.assertRegex(self.c.hmp("xp/3c 0"), r"^0{16}: '\\x00' '\\x00' '\\x00'\n$")
        self.assertEqual(self.c.hmp("gva2gpa 0x1234"), "gpa: 0x1234\n")
        self.assertEqual(self.c.hmp("sum 0 16"), "00000\n")
        self.c.hmp("o/b 0x70 0x0f")
        self.assertRegex(self.c.hmp("i/b 0x71"), r"^portb\[0x0071\] = 0x[0-9a-f]{2}\n$")

    def test_registers(self):
        text = self.c.hmp("info registers")
        self.assertIn("EIP=0000fff0", text)
        self.assertRegex(text, r"CS =f000 ffff0000")
        self.assertIn("Error", self.c.hmp("info registers 5"))
        self.assertIn("CPU#0", self.c.hmp("info registers -a"))

    def test_infos(self):
        self.assertEqual(self.c.hmp("info status"), "VM status: paused (prelaunch)\n")
        self.assertEqual(self.c.hmp("info uuid"), "00112233-4455-6677-8899-aabbccddeeff\n")
        self.assertRegex(self.c.hmp("info cpus"), r"^\* CPU #0: thread_id=\d+\n$")
        self.assertIn("cd0: [not inserted]", self.c.hmp("info block"))
        self.assertIn("pc.ram", self.c.hmp("info mtree"))
        self.assertIn("FlatView #0", self.c.hmp("info mtree -f"))
        self.assertIn('dev: isa-debug-exit, id "e0"', self.c.hmp("info qtree"))
        self.assertIn("8086:1237", self.c.hmp("info pci"))
        self.assertIn("pic0: irr=00", self.c.hmp("info pic"))
        self.assertIn("LVT0", self.c.hmp("info lapic"))
        self.assertEqual(self.c.hmp("info mem"), "PG disabled\n")
        self.assertIn("mc146818rtc", self.c.hmp("info device"))
        self.assertRegex(self.c.hmp("info device i8042"), r"(?s)^i8042 \[0\]\n.+:")
        self.assertIn("/machine", self.c.hmp("info qom-tree"))

    def test_run_state(self):
        self.c.hmp("cont")
        self.c.wait_event("RESUME")
        self.c.hmp("stop")
        self.c.wait_event("STOP")
        self.assertEqual(self.c.hmp("info status"), "VM status: paused\n")
        self.c.hmp("system_reset")
        self.c.wait_event("RESET")
        self.c.hmp("quit")
        self.assertEqual(self.vm.wait(), 0)

    def test_devices(self):
        self.assertIn("isa-serial", self.c.hmp("device_add help"))
        self.assertEqual(self.c.hmp("info qdm"), self.c.hmp("device_add help"))
        self.assertIn("iobase", self.c.hmp("device_add isa-serial,help"))
        self.c.hmp("device_add isa-debug-exit,id=e1,iobase=0x1f4")
        self.assertIn('id "e1"', self.c.hmp("info qtree"))
        self.c.hmp("device_del e1")
        self.assertNotIn('id "e1"', self.c.hmp("info qtree"))
        self.c.hmp("ringbuf_write r some text")
        self.assertEqual(self.c.hmp("ringbuf_read r 100"), "some text\n")
        self.assertIn("Error", self.c.hmp("sendkey ctrl-nonsense"))
        self.assertEqual(self.c.hmp("sendkey ctrl-alt-delete 10"), "")
        self.assertEqual(self.c.hmp("mouse_move 1 -1"), "")
        self.assertEqual(self.c.hmp("mouse_button 1"), "")
        path = os.path.join(self.vm.dir, "a b")
        self.assertEqual(self.c.hmp('screendump "%s"' % path), "")
        self.assertTrue(os.path.exists(path))
        with open(os.path.join(os.path.dirname(EMULATOR), "config.h")) as f:
            has_png = "CONFIG_PNG" in f.read()
        for args, magic in (("-f ppm", b"P6"),) + ((("-f png", b"\x89PNG"),) if has_png else ()):
            self.assertEqual(self.c.hmp('screendump "%s" %s' % (path, args)), "")
            with open(path, "rb") as f:
                self.assertEqual(f.read(len(magic)), magic)
        self.assertIn("gif", self.c.hmp('screendump "%s" -f gif' % path))
        self.assertIn("format: missing", self.c.hmp('screendump "%s" -f' % path))


class Paths(TestCase):
    """qom-list, qom-get, qom-set as QEMU prints them; the boot order; where memory lies."""

    args = ["-M", "pc", "-accel", "qtest", "-m", "32", "-nodefaults", "-object", "rng-random,id=r",
            "-device", "virtio-balloon,id=b"]
    B = "/machine/peripheral/b"

    def test_list(self):
        self.assertEqual(self.c.hmp("qom-list"), "/\n")
        self.assertIn("machine (child<pc-", self.c.hmp("qom-list /"))
        self.assertIn("filename (str", self.c.hmp("qom-list /objects/r"))
        self.assertIn("Device '/nosuch' not found", self.c.hmp("qom-list /nosuch"))

    def test_get(self):
        self.assertEqual(self.c.hmp("qom-get %s type" % self.B), '"virtio-balloon-pci"\n')
        self.assertEqual(self.c.hmp("qom-get %s hotplugged" % self.B), "false\n")
        text = self.c.hmp("qom-get %s guest-stats" % self.B)
        self.assertTrue(text.startswith('{\n    "stats": {\n        "stat-'), text)
        self.assertTrue(text.endswith('\n    },\n    "last-update": 0\n}\n'), text)
        self.assertIn("'rng-random.nosuch' not found", self.c.hmp("qom-get /objects/r nosuch"))

    def test_set(self):
        name = self.B + " guest-stats-polling-interval"
        for text, value in (("2", 2), ("0x", None), ("-j 3", 3), ("-j three", None), ("off", None)):
            json, text = ("-j ", text[3:]) if text[0] == "-" else ("", text)
            answer = self.c.hmp("qom-set %s%s %s" % (json, name, text))
            self.assertEqual(answer == "", value is not None, answer)
            if value is not None:
                last = value
            self.assertEqual(self.c.hmp("qom-get " + name), "%d\n" % last)
        self.assertIn("can only be set", self.c.hmp("qom-set /objects/r filename /dev/zero"))

    def test_boot_order(self):
        """The firmware finds it in the CMOS, after a reset as well."""
        def cmos():
            got = []
            for n in (0x3d, 0x38):
                self.c.hmp("o/b 0x70 0x%x" % n)
                got.append(int(self.c.hmp("i/b 0x71").split("=")[1], 0))
            return got
        self.assertEqual(self.c.hmp("boot_set nd"), "boot device list now set to nd\n")
        self.assertEqual(cmos(), [0x34, 0])
        self.c.hmp("system_reset")
        self.c.wait_event("RESET")
        self.assertEqual(cmos(), [0x34, 0])
        self.assertIn("'x' is not a boot device", self.c.hmp("boot_set xyz"))

    def test_memory(self):
        where = self.c.hmp("gpa2hva 0x2000")
        self.assertRegex(where, r"^Host virtual address for 0x2000 \(pc.ram\) is 0x[0-9a-f]+000\n$")
        self.assertIn("No memory is mapped", self.c.hmp("gpa2hva 0xf000000000"))
        self.assertIn("not RAM", self.c.hmp("gpa2hva 0xfee00000"))
        self.assertRegex(self.c.hmp("info ramblock"), r"pc.ram +0x0*2000000 ")

    def test_chardev(self):
        self.assertEqual(self.c.hmp("chardev-add null,id=n"), "")
        self.assertIn("n: filename=null", self.c.hmp("info chardev"))
        self.assertIn("Duplicate ID", self.c.hmp("chardev-add null,id=n"))
        self.assertIn("ringbuf", self.c.hmp("chardev-add help"))


class Input(TestCase):
    """Keys by number; pointers, whose numbers stay."""

    args = ["-M", "pc", "-accel", "tcg", "-m", "32", "-S", "-nodefaults", "-usb", "-device", "usb-tablet",
            "-device", "usb-mouse"]

    def test_key_numbers(self):
        self.c.call("cont")
        self.c.call("stop")
        self.c.hmp("o/b 0x64 0x60")
        self.c.hmp("o/b 0x60 0x40")             # translated to set 1, no interrupts
        self.c.hmp("i/b 0x60")
        self.assertEqual(self.c.hmp("sendkey 0x1e"), "")
        self.assertEqual(int(self.c.hmp("i/b 0x60").split("=")[1], 0), 0x1e)
        self.assertEqual(self.c.hmp("sendkey 0x1d-0xdb-a 1"), "")
        for keys in ("0x1ff", "0x", "0x1e-0xzz", "0x80", "30"):
            self.assertIn("unknown key", self.c.hmp("sendkey " + keys), keys)

    def mice(self):
        return {m["name"]: m["index"] for m in self.c.call("query-mice")}

    def test_mouse_numbers(self):
        before = self.mice()
        self.assertEqual(len(before), 3)
        for name, n in before.items():
            self.assertEqual(self.c.hmp("mouse_set %d" % n), "")
            self.assertIn("* Mouse #%d: %s" % (n, name), self.c.hmp("info mice"))
            self.assertEqual(self.mice(), before)
        self.assertIn("no pointing device", self.c.hmp("mouse_set 99"))

    def test_source(self):
        self.assertEqual(self.c.error("input-send-event", device="nosuch", events=[])["desc"],
                         "Device 'nosuch' not found")


class Paging(TestCase):
    """info mem and info tlb on page tables written by hand."""

    args = ["-M", "pc", "-accel", "tcg", "-m", "32", "-S", "-nodefaults"]

    def test_none(self):
        self.assertEqual(self.c.hmp("info tlb"), "PG disabled\n")


class Terminal(TestCase):
    """The line editor, through a socket."""

    args = ["-M", "none", "-accel", "qtest", "-monitor", "unix:DIR/mon,server=on,wait=off"]

    def setUp(self):
        super().setUp()
        self.s = socket.socket(socket.AF_UNIX)
        self.s.connect(self.vm.dir + "/mon")
        self.addCleanup(self.s.close)
        self.got = b""
        self.wait("(qemu) ")

    def wait(self, text, timeout=10):
        """Read up to text and return what came before it, and it."""
        end = time.monotonic() + timeout * PATIENCE
        while text.encode() not in self.got:
            left = end - time.monotonic()
            self.assertTrue(left > 0 and select.select([self.s], [], [], left)[0],
                            "waiting for %r, got %r" % (text, self.got))
            self.got += self.s.recv(4096)
        n = self.got.index(text.encode()) + len(text)
        before, self.got = self.got[:n], self.got[n:]
        return before.decode()

    def type(self, text):
        self.s.sendall(text.encode())

    def test_line_end(self):
        for end in ("\r", "\n", "\r\n"):
            self.type("info version" + end)
            self.wait("7.2.0")
            self.wait("(qemu) ")

    def test_editing(self):
        self.type("print 1x\x7f2\r")                # backspace
        self.wait("12\r\n")
        self.type("rint 3\x01p\x05\r")              # Ctrl-A, Ctrl-E
        self.wait("3\r\n")
        self.type("print 45\x1b[D\x1b[D9\r")        # cursor left
        self.wait("945\r\n")
        self.type("garbage\x15print 6\r")           # Ctrl-U
        self.wait("6\r\n")
        self.type("print 7 nonsense\x17\r")         # Ctrl-W
        self.wait("7\r\n")
        self.type("print 89\x1b[D\x1b[3~\r")        # delete
        self.wait("8\r\n")

    def test_history(self):
        self.type("print 111\r")
        self.wait("111\r\n")
        self.wait("(qemu) ")
        self.type("print 222\r")
        self.wait("222\r\n")
        self.wait("(qemu) ")
        self.type("\x1b[A\x1b[A\r")                 # up, up
        self.wait("\n111\r\n")
        self.wait("(qemu) ")
        self.type("info history\r")
        text = self.wait("2: 'print 111'")
        self.assertIn("0: 'print 111'", text)

    def test_completion(self):
        self.type("info stat\t\r")
        self.wait("VM status")
        self.wait("(qemu) ")
        self.type("system_\t\t")
        text = self.wait("system_wakeup")
        self.assertIn("system_reset", text)
        self.wait("(qemu) ")

    def test_hostile_input(self):
        self.type("\x1b[" + "9" * 10000 + "A" + "\t" * 100 + "x" * 20000 + "\x01\x02\x03\x04\x05\r")
        self.wait("(qemu) ")
        self.type("\x15info version\r")
        self.wait("7.2.0")


if __name__ == "__main__":
    main()
