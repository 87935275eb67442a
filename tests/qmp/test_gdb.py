#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""-gdb: what the remote protocol answers, and where the guest stops, under each accelerator."""

import re
import select
import shutil
import socket
import subprocess
import time
import unittest

from qmptest import PATIENCE, Emulator, main

import kvmhost

BASE = 0xffff0000               # of CS after reset; the ROM lies there
CODE = (b"\x31\xc0"             # 00  xor ax, ax
        b"\x8e\xd8"             # 02  mov ds, ax
        b"\x31\xc9"             # 04  xor cx, cx
        b"\x41"                 # 06  inc cx
        b"\x89\x0e\x00\x05"     # 07  mov [500h], cx
        b"\xa1\x00\x05"         # 0B  mov ax, [500h]
        b"\xeb\xf6")            # 0E  jmp 06
LOOP, STORE, LOAD, JUMP = (BASE + n for n in (6, 7, 0xb, 0xe))
RAX, RCX, RIP, EFLAGS = 0, 2, 16, 17


def rom(folder):
    image = CODE.ljust(0xfff0, b"\x90") + b"\xe9\x0d\x00"       # FFF3h + 000Dh = 0
    with open(folder + "/rom", "wb") as f:
        f.write(image.ljust(0x10000, b"\x90"))


class Remote:
    """The debugger's side of a connection."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(path)
        self.buf = b""

    def byte(self, timeout=20):
        if not self.buf:
            if not select.select([self.sock], [], [], timeout * PATIENCE)[0]:
                raise TimeoutError("nothing came")
            self.buf = self.sock.recv(4096)
            if not self.buf:
                raise EOFError
        b, self.buf = self.buf[:1], self.buf[1:]
        return b

    def send(self, text):
        data = text.encode("latin-1")
        self.sock.sendall(b"$%s#%02x" % (data, sum(data) & 0xff))

    def reply(self):
        while self.byte() != b"$":
            pass
        text = b""
        while (b := self.byte()) != b"#":
            text += b
        given = int(self.byte() + self.byte(), 16)
        assert given == sum(text) & 0xff, (given, text)
        self.sock.sendall(b"+")
        return text.decode("latin-1")

    def ask(self, text):
        self.send(text)
        return self.reply()

    def register(self, n):
        return int.from_bytes(bytes.fromhex(self.ask("p%x" % n)), "little")


class Gdb(unittest.TestCase):
    accel = "tcg"

    def setUp(self):
        if self.accel == "kvm" and not kvmhost.usable():
            self.skipTest(kvmhost.WHY_NOT)
        self.vm = Emulator(["-M", "pc", "-accel", self.accel, "-m", "4", "-nodefaults", "-S", "-bios",
                            "DIR/rom", "-smp", "2", "-gdb", "unix:DIR/gdb,server=on,wait=off"], prepare=rom)
        self.addCleanup(self.vm.close)
        self.c = self.vm.client()
        self.g = Remote(self.vm.dir + "/gdb")
        self.addCleanup(self.g.sock.close)

    def pc(self):
        return BASE + self.g.register(RIP)

    def test_questions(self):
        self.assertRegex(self.g.ask("qSupported:xmlRegisters=i386"), "PacketSize=[0-9a-f]+;.*features:read")
        self.assertRegex(self.g.ask("?"), "^T05thread:01;")
        self.assertEqual(self.g.ask("qfThreadInfo"), "m01,02")
        self.assertEqual(self.g.ask("qsThreadInfo"), "l")
        self.assertEqual(self.g.ask("qC"), "QC01")
        self.assertEqual(self.g.ask("Hg2"), "OK")
        self.assertRegex(bytes.fromhex(self.g.ask("qThreadExtraInfo,2")).decode(), "CPU#1")
        self.assertEqual(self.g.ask("Hg3"), "E16")
        self.assertEqual(self.g.ask("T2"), "OK")
        self.assertEqual(self.g.ask("T9"), "E16")
        self.assertEqual(self.g.ask("qNoSuchThing"), "")
        self.assertEqual(self.g.ask("vCont?"), "vCont;c;C;s;S")
        xml, at = "", 0
        while True:
            part = self.g.ask("qXfer:features:read:target.xml:%x,200" % at)
            xml, at = xml + part[1:], at + len(part) - 1
            if part[0] == "l":
                break
        self.assertIn("<architecture>i386:x86-64</architecture>", xml)
        sizes = [int(n) // 8 for n in re.findall(r'<reg [^>]*bitsize="(\d+)"', xml)]
        core = len(self.g.ask("g")) // 2
        self.assertIn(core, [sum(sizes[:n]) for n in range(len(sizes))])

    def test_registers_and_memory(self):
        g = self.g
        self.assertEqual(g.register(RIP), 0xfff0)
        self.assertEqual(g.ask("P%x=%s" % (RAX, "8877665544332211")), "OK")
        self.assertEqual(g.register(RAX), 0x1122334455667788)
        everything = g.ask("g")
        self.assertTrue(everything.startswith("8877665544332211"))
        self.assertEqual(g.ask("G" + everything), "OK")
        self.assertEqual(g.ask("G" + everything[:20]), "E16")
        self.assertEqual(g.ask("P12=ffffffff"), "E16")         # CS: not by a register's name
        self.assertEqual(g.ask("p7fffffff"), "E16")
        self.assertEqual(g.ask("m%x,8" % BASE), CODE[:8].hex())
        self.assertEqual(g.ask("M600,3:0a0b0c"), "OK")
        self.assertEqual(g.ask("m5ff,5"), "000a0b0c00")
        self.assertEqual(g.ask("X600,4:}\x03}\x04}\x5dz"), "OK")        # # $ } z
        self.assertEqual(g.ask("m600,4"), "23247d7a")
        self.assertEqual(g.ask("m600,ffffffff"), "E16")
        self.assertEqual(g.ask("m80000000,4"), "E0e")
        self.assertEqual(g.ask("mzz"), "E16")

    def test_step(self):
        g = self.g
        seen = []
        for _ in range(6):
            self.assertRegex(g.ask("vCont;s:1"), "^T05thread:01;")
            seen.append(self.pc() - BASE)
        self.assertEqual(seen, [0, 2, 4, 6, 7, 0xb])
        self.assertEqual(g.register(RCX) & 0xffff, 1)
        self.assertRegex(g.ask("s"), "^T05thread:01;")
        self.assertEqual(self.pc(), JUMP)

    def test_breakpoints(self):
        g = self.g
        for kind in (0, 1):
            for at in (STORE, JUMP):
                self.assertEqual(g.ask("Z%d,%x,1" % (kind, at)), "OK")
            before = g.register(RCX) & 0xffff
            self.assertRegex(g.ask("c"), "^T05thread:01;")
            self.assertEqual(self.pc(), STORE)
            self.assertEqual(self.c.call("query-status")["status"], "debug")
            self.assertEqual(g.ask("z%d,%x,1" % (kind, STORE)), "OK")
            self.assertRegex(g.ask("vCont;c"), "^T05thread:01;")
            self.assertEqual(self.pc(), JUMP)
            self.assertEqual(g.register(RCX) & 0xffff, (before & 0xffff) + 1 if before else 1)
            self.assertEqual(g.ask("z%d,%x,1" % (kind, JUMP)), "OK")
            self.assertEqual(g.ask("z%d,%x,1" % (kind, JUMP)), "E16")
            self.assertRegex(g.ask("s"), "^T05")
        self.assertEqual(g.ask("Z9,0,1"), "")

    def test_watchpoints(self):
        g = self.g
        for kind, name, where in ((2, "watch", LOAD), (3, "rwatch", JUMP), (4, "awatch", LOAD)):
            self.assertEqual(g.ask("Z%d,500,2" % kind), "OK")
            self.assertRegex(g.ask("c"), "^T05thread:01;%s:500;" % name)
            self.assertEqual(self.pc(), where)
            self.assertEqual(g.ask("z%d,500,2" % kind), "OK")
            self.assertRegex(g.ask("s"), "^T05")
        self.assertEqual(g.ask("Z2,500,0"), "E16")
        self.assertEqual(g.ask("Z2,0,100000"), "E16")

    def test_interrupt_monitor_detach(self):
        g = self.g
        g.send("c")
        self.c.wait_event("RESUME")
        g.sock.sendall(b"\x03")
        self.assertRegex(g.reply(), "^T02thread:01;")
        g.send("qRcmd," + b"info status".hex())
        said = ""
        while (r := g.reply()) != "OK":
            self.assertEqual(r[0], "O")
            said += bytes.fromhex(r[1:]).decode()
        self.assertIn("VM status: paused", said)
        self.assertEqual(g.ask("Z0,%x,1" % STORE), "OK")
        self.assertEqual(g.ask("D"), "OK")
        self.c.wait_event("RESUME")
        self.assertTrue(self.c.call("query-status")["running"])

    def test_hostile(self):
        """Whatever comes, the next packet is answered."""
        g = self.g
        for text in ("", "vCont;q", "vCont;s:7", "Zx", "Z0,", "Hg", "P", "G", "M0,ffff:00", "X0,1:",
                     "qXfer:features:read:target.xml:", "qXfer:features:read:x:0,1", "qRcmd,0",
                     "Z2,ffffffffffffffff,10", "m0," + "f" * 60, "c" + "1" * 300):
            g.ask(text)
        g.sock.sendall(b"$" + b"m" * 40000 + b"#00" + b"$g#00-")
        time.sleep(0.1)
        g.buf = b""
        while select.select([g.sock], [], [], 0.3)[0]:
            g.sock.recv(65536)
        self.assertEqual(g.ask("qC"), "QC01")

    def test_gone(self):
        """A debugger that vanishes leaves a stopped machine without breakpoints."""
        self.assertEqual(self.g.ask("Z0,%x,1" % STORE), "OK")
        self.g.sock.close()
        end = time.monotonic() + 20 * PATIENCE
        while True:
            again = Remote(self.vm.dir + "/gdb")
            try:
                answer = again.ask("?")
                break
            except (EOFError, OSError):
                again.sock.close()
                self.assertLess(time.monotonic(), end)
        self.assertRegex(answer, "^T0[25]")
        again.send("c")
        self.c.wait_event("RESUME")
        self.assertTrue(self.c.call("query-status")["running"])
        again.sock.close()


class GdbInterpreter(Gdb):
    accel = "tcg,engine=interp"


class GdbKvm(Gdb):
    accel = "kvm"


class RealGdb(unittest.TestCase):
    def test_session(self):
        gdb = shutil.which("gdb")
        if not gdb:
            self.skipTest("gdb is not installed")
        vm = Emulator(["-M", "pc", "-accel", "tcg", "-m", "4", "-nodefaults", "-S", "-bios", "DIR/rom",
                       "-gdb", "unix:DIR/gdb,server=on,wait=off"], prepare=rom)
        self.addCleanup(vm.close)
        vm.client()
        commands = ["set confirm off", "set pagination off", "target remote %s/gdb" % vm.dir,
                    "hbreak *%#x" % STORE, "continue", "p $rcx", "stepi", "p/x $rip",
                    "delete", "watch *(short*)0x500", "continue", "p *(short*)0x500", "detach"]
        args = [gdb, "-q", "-nx", "-batch"]
        for line in commands:
            args += ["-ex", line]
        r = subprocess.run(args, capture_output=True, text=True, timeout=60 * PATIENCE)
        out = r.stdout + r.stderr
        self.assertRegex(out, r"(?s)\$1 = 1\b.*\$2 = 0xb\b.*New value = 2.*\$3 = 2\b.*detached")


if __name__ == "__main__":
    main()
