#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A guest without sense: programs every device at random, with memory full of descriptors that
point anywhere.  The emulator must neither crash nor hang nor grow.

    ORRERY_SEED=1 ORRERY_STEPS=1000000 python3 tests/qtest/test_fuzz.py      a long run

A failure prints the seed; with it the same accesses come again.
"""

import os
import random
import struct
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from libqtest import Died, QTest, main                              # noqa: E402
import pokes                                                        # noqa: E402

SEED = int(os.environ.get("ORRERY_SEED", "0")) or random.randrange(1 << 30)
STEPS = int(os.environ.get("ORRERY_STEPS", "6000"))
BATCH = 500
MAX_GROWTH = 64 << 20

BACKENDS = ["-drive", "if=ide,index=0,driver=null-co,size=64M",
            "-drive", "if=ide,index=2,media=cdrom,driver=null-co,size=64M",
            "-drive", "if=floppy,index=0,driver=null-co,size=1474560",
            "-serial", "null", "-parallel", "null", "-vga", "std"]
# With nothing behind some of it, and with disks that fail.
CONFIGS = {
    "full": ["-audiodev", "none,id=snd", "-M", "pc,pcspk-audiodev=snd", "-m", "16"] + BACKENDS,
    "bare": ["-M", "pc", "-m", "16"],
    "sata": ["-M", "pc", "-m", "16", "-device", "ahci,id=sata",
             "-drive", "if=none,id=s0,driver=null-co,size=64M",
             "-drive", "if=none,id=s1,driver=null-co,size=64M",
             "-drive", "if=none,id=s2,driver=null-co,size=64M",
             "-device", "ide-hd,drive=s0,bus=sata.0", "-device", "ide-cd,drive=s1,bus=sata.1",
             "-device", "nvme,drive=s2,serial=x"],
    "failing": ["-M", "pc", "-m", "16",
                "-blockdev", "driver=blkdebug,node-name=d0,image.driver=null-co,image.size=64M,"
                             "inject-error.0.errno=5,inject-error.0.sector=0",
                "-device", "ide-hd,drive=d0,bus=ide.0",
                "-drive", "if=floppy,index=0,driver=null-co,size=1474560"],
    "usb": ["-M", "pc", "-m", "16", "-usb", "-device", "usb-tablet", "-device", "usb-kbd",
            "-device", "usb-mouse"],
    "isa_vga": ["-M", "pc", "-m", "16", "-vga", "none", "-device", "isa-vga"],
}


class Guest:
    """Chooses the accesses; everything follows from the seed."""

    def __init__(self, q, seed):
        self.q, self.rng = q, random.Random(seed)
        self.places = []
        self.hot = None                 # a device that gets several accesses in a row

    def address(self):
        """Where a descriptor may point: RAM, its end, holes, registers, the top."""
        r = self.rng
        kind = r.randrange(8)
        if kind < 4:
            return r.randrange(16 << 20) & -r.choice((1, 4, 16, 4096))
        if kind == 4:
            return (16 << 20) - r.randrange(64)
        if kind == 5:
            return r.choice(self.places)[1] if self.places else 0xfee00000
        return r.choice((0, 0xa0000, 0xc0000, 0xfffff000, 0xffffffff, 0xfec00000, 0xe0000000))

    def value(self):
        r = self.rng
        return r.choice((r.getrandbits(8), r.getrandbits(32), self.address(), 0, 0xffffffff,
                         1 << r.randrange(32), r.randrange(16)))

    def fill_memory(self):
        """Words that make sense as addresses, lengths and flags of descriptors."""
        words = [self.value() & 0xffffffff for _ in range(1024)]
        data = struct.pack("<1024I", *words)
        self.q.write(self.rng.randrange(0, 15 << 20) & -4096, data)

    def access(self):
        r = self.rng
        if not self.hot or r.random() < 0.1:
            self.hot = r.choice(self.places)
        port, first, last = self.hot if r.random() < 0.8 else r.choice(self.places)
        width = r.choice((1, 1, 2, 4))
        addr = r.randint(first, min(last, first + 0xfff))
        addr &= -width if r.random() < 0.9 else -1
        letter = {1: "b", 2: "w", 4: "l"}[width]
        if r.random() < 0.3:
            return "%s%s 0x%x" % ("in" if port else "read", letter, addr)
        return "%s%s 0x%x 0x%x" % ("out" if port else "write", letter, addr,
                                   self.value() & ((1 << 8 * width) - 1))

    def batch(self):
        r = self.rng
        if r.random() < 0.2:
            self.q.qmp("system_reset")
        if r.random() < 0.5 or not self.places:
            pokes.setup_pci(self.q)
            self.places = pokes.targets(self.q)
        self.fill_memory()
        lines = []
        for _ in range(BATCH):
            lines.append(self.access())
            if r.random() < 0.03:
                lines.append("clock_step %d" % r.randrange(10 ** r.randrange(1, 10)))
        for line, answer in zip(lines, self.q.batch(lines)):
            assert answer.startswith("OK"), (line, answer)


def resident(pid):
    """The process' own memory, without what it shares: the guest's."""
    with open("/proc/%d/status" % pid) as f:
        return next(int(line.split()[1]) for line in f if line.startswith("RssAnon:")) * 1024


class Fuzz(unittest.TestCase):
    def run_guest(self, args):
        q = QTest(["-no-shutdown", "-rtc", "clock=vm"] + args)
        try:
            g = Guest(q, SEED)
            g.batch()
            before = None
            for n in range(max(STEPS // BATCH, 2)):
                g.batch()
                if n == max(STEPS // BATCH, 2) // 2:
                    before = resident(q.proc.pid)
            q.qmp("query-status")
            growth = resident(q.proc.pid) - before
            self.assertLess(growth, MAX_GROWTH, "ORRERY_SEED=%d: the process grew" % SEED)
        except (Died, AssertionError) as e:
            self.fail("ORRERY_SEED=%d ORRERY_STEPS=%d: %s" % (SEED, STEPS, e))
        finally:
            status, text = q.close()
        self.assertIn(status, (0, -15), "ORRERY_SEED=%d: %s" % (SEED, text[-4000:]))


def add_tests():
    configs = {name: args for name, args in CONFIGS.items()}
    for name in pokes.device_types():
        if name not in ("ide-hd", "ide-cd", "floppy", "isa-fdc", "VGA", "isa-vga", "isa-debug-exit"):
            configs["device_" + name.replace("-", "_")] = CONFIGS["bare"] + pokes.device_args(name)
    for name, args in configs.items():
        setattr(Fuzz, "test_" + name, lambda self, args=args: self.run_guest(args))


add_tests()

if __name__ == "__main__":
    main()
