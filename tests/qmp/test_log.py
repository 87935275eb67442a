#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""-d and the monitor's log: every item does what -d help says of it."""

import os
import re
import subprocess
import time
import unittest

from qmptest import EMULATOR, PATIENCE, TestCase, Emulator, main

# What a line of each item looks like while SeaBIOS starts.
ITEMS = {
    "in_asm": rb"^0x[0-9a-f]*fff0: ", "op": rb"^  op jmp ", "int": rb"^ +[0-9]+: v=", "exec": rb"^Trace 0: ",
    "cpu": rb"^EAX=", "cpu,fpu": rb"^FCW=", "mmu": rb"^TLB: fetch ", "pcall": rb"^far jump ",
    "cpu_reset": rb"^EAX=", "page": rb"pc\.ram", "mmio": rb"^write rtc",
}
NATIVE = "(default: jit)" in subprocess.run([EMULATOR, "-accel", "tcg,help"], stdout=subprocess.PIPE,
                                            text=True).stdout


def spin(folder):
    """Firmware that counts in ax for ever: two blocks, chained to each other."""
    rom = bytearray(65536)
    rom[:6] = b"\x40\xeb\x00\x40\xeb\xfa"           # 1: inc ax; jmp 2f; 2: inc ax; jmp 1b
    rom[0xfff0:0xfff5] = b"\xea\x00\x00\x00\xf0"    # jmp far f000:0
    with open(folder + "/spin", "wb") as f:
        f.write(rom)


class Items(unittest.TestCase):
    def test_items(self):
        help_text = subprocess.run([EMULATOR, "-d", "help"], stdout=subprocess.PIPE, text=True).stdout
        names = set(re.findall(r"^([a-z_]+) ", help_text, re.M)) - {"Log", "all", "none"}
        self.assertEqual(names, set(",".join(ITEMS).split(","))
                         | {"out_asm", "nochain", "unimp", "guest_errors"})
        items = dict(ITEMS, out_asm=rb"^OUT: ") if NATIVE else ITEMS
        for item, pattern in items.items():
            with self.subTest(item=item):
                vm = Emulator(["-M", "pc", "-nodefaults", "-accel", "tcg", "-d", item, "-D", "DIR/log"])
                try:
                    self.wait_for(vm.dir + "/log", pattern)
                finally:
                    vm.proc.kill()
                    vm.close()

    def wait_for(self, path, pattern):
        end = time.monotonic() + 20 * PATIENCE
        text = b""
        while not re.search(pattern, text, re.M):
            self.assertLess(time.monotonic(), end, text[:500])
            time.sleep(0.02)
            if os.path.exists(path):
                with open(path, "rb") as f:
                    text = f.read(1 << 20)


class Interpreter(TestCase):
    args = ["-M", "pc", "-nodefaults", "-accel", "tcg,engine=interp", "-bios", "DIR/spin", "-D", "DIR/log"]

    def prepare(self, folder):
        spin(folder)

    def ax(self):
        return int(re.search(r"[RE]AX=([0-9a-f]+)", self.c.hmp("info registers")).group(1), 16)

    def wait_until(self, condition):
        end = time.monotonic() + 20 * PATIENCE
        while not condition():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.02)

    def test_log_of_running_guest(self):
        """Blocks that had been chained when logging began are seen too."""
        ax = self.ax()
        self.wait_until(lambda: self.ax() != ax)
        self.assertEqual(self.c.hmp("log exec"), "")
        self.wait_until(lambda: os.path.getsize(self.vm.dir + "/log") > 10000)
        self.assertEqual(self.c.hmp("log none"), "")
        with open(self.vm.dir + "/log") as f:
            pcs = [re.search(r"/([0-9a-f]{16})/", line).group(1) for line in list(f)[:-1]]
        for here, there in zip(pcs, pcs[1:]):
            self.assertNotEqual(here, there)


@unittest.skipUnless(NATIVE, "no native engine for this host")
class Native(Interpreter):
    args = [a.replace(",engine=interp", "") for a in Interpreter.args]

    def entries(self):
        return int(re.search(r"entries from loop +([0-9]+)", self.c.hmp("info jit")).group(1))

    def test_nochain(self):
        """Chained blocks run without the loop, those of -d nochain come from it."""
        ax = self.ax()
        self.wait_until(lambda: self.ax() != ax)        # it runs
        before = self.entries()
        self.assertEqual(self.c.hmp("log nochain"), "")
        self.wait_until(lambda: self.entries() > before + 100000)
        self.assertEqual(os.path.getsize(self.vm.dir + "/log"), 0)
        self.assertEqual(self.c.hmp("log none"), "")
        ax = self.ax()
        self.wait_until(lambda: self.ax() != ax)


if __name__ == "__main__":
    main()
