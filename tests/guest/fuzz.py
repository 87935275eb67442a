# SPDX-License-Identifier: MIT
"""A guest that programs every device at random (asm/fuzz.S), on the CPU.

    ORRERY_SEED=1 ORRERY_STEPS=100000000 python3 tests/guest/run.py fuzz_full      a long run

A failure prints the seed.  With it the guest chooses the same accesses until interrupts, whose
moments are not repeatable, make them other ones.
"""

import os
import random
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "qtest"))
import material                                                     # noqa: E402
import pokes                                                        # noqa: E402
from vm import PATIENCE, VM, Failed                                 # noqa: E402

SEED = int(os.environ.get("ORRERY_SEED", "0"))
STEPS = int(os.environ.get("ORRERY_STEPS", "2000000"))
SECONDS = 10                    # what a run may take before it is cut short
BEAT = 4096                     # accesses the guest reports with one byte
MAX_GROWTH = 64 << 20

DISKS = ["-drive", "if=ide,index=0,driver=null-co,size=64M",
         "-drive", "if=ide,index=2,media=cdrom,driver=null-co,size=64M",
         "-drive", "if=floppy,index=0,driver=null-co,size=1474560",
         "-device", "ahci,id=sata", "-drive", "if=none,id=s0,driver=null-co,size=64M",
         "-drive", "if=none,id=s1,driver=null-co,size=64M",
         "-device", "ide-hd,drive=s0,bus=sata.0", "-device", "ide-cd,drive=s1,bus=sata.1",
         "-serial", "null", "-parallel", "null"]
# What is there already, and what ends the machine or speaks on the test's port.
NOT_ADDED = {"ide-hd", "ide-cd", "floppy", "isa-fdc", "VGA", "isa-vga", "isa-debug-exit",
             "isa-debugcon", "isa-parallel"}


def everything():
    """-device for one of each type that a user can plug in.  PCI has no slot for each: they
    are functions of some."""
    args, functions = [], 0
    for name, bus in pokes.device_types().items():
        if name not in NOT_ADDED and not name.startswith("virtio-balloon-pci-"):
            args += pokes.device_args(name, name.replace("-", "").replace("_", ""))
            if bus == "PCI":
                args[-1] += ",multifunction=on,addr=%x.%x" % (0x10 + functions // 8, functions % 8)
                functions += 1
    return args


class Fuzz(VM):
    def __init__(self, seed, args):
        self.folder = tempfile.TemporaryDirectory(prefix="orrery-fuzz-")
        rom = self.folder.name + "/rom"
        with open(material.assembled("fuzz", 0xffff0000), "rb") as f, open(rom, "wb") as g:
            g.write(seed.to_bytes(4, "little") + f.read()[4:])
        self.told = self.folder.name + "/told"
        super().__init__(["-bios", rom, "-no-shutdown", "-action", "panic=none,watchdog=none",
                          "-chardev", "file,id=told,path=" + self.told,
                          "-device", "isa-debugcon,iobase=0x402,chardev=told"] + args,
                         serial=False, mem="16")

    def stop(self):
        super().stop()
        self.folder.cleanup()

    def beats(self):
        with open(self.told, "rb") as f:
            return f.read().count(b"k")

    def resident(self):
        """The process' own memory, without what it shares: the guest's."""
        with open("/proc/%d/status" % self.proc.pid) as f:
            for line in f:
                if line.startswith("RssAnon:"):
                    return int(line.split()[1]) * 1024
        raise Failed("the emulator went away: " + self.errors())

    def revive(self):
        """A guest that has switched itself off or sleeps, or that runs what it finds in RAM."""
        self.cmd("system_reset")
        if self.cmd("query-status")["status"] in ("paused", "shutdown", "suspended", "prelaunch"):
            self.cmd("cont")

    def run(self):
        begin = moved = time.monotonic()
        last, half, revived = 0, None, 0
        while time.monotonic() - begin < max(SECONDS, STEPS / 1e6) * PATIENCE:
            self.drain(0.1)
            status = self.cmd("query-status")["status"]     # it answers
            beats = self.beats()
            if beats != last:
                last, moved, revived = beats, time.monotonic(), 0
            elif time.monotonic() - moved > 0.5 * PATIENCE or status != "running":
                revived += 1
                if revived > 20:
                    raise Failed("the guest does not run again after a reset")
                self.revive()
                moved = time.monotonic()
            if half is None and beats * BEAT > STEPS // 2:
                half = self.resident()
            if beats * BEAT > STEPS:
                break
        if half is None:
            raise Failed("the guest made only %d accesses in %d s" % (last * BEAT, SECONDS * PATIENCE))
        growth = self.resident() - half
        if growth > MAX_GROWTH:
            raise Failed("the process grew by %d MiB" % (growth >> 20))
        self.cmd("quit")
        if self.wait_exit(20) != 0:
            raise Failed("exit status %s: %s" % (self.proc.returncode, self.errors()))


def run(args):
    seed = SEED or random.randrange(1, 1 << 31)
    try:
        with Fuzz(seed, args) as vm:
            vm.run()
    except Failed as e:
        raise Failed("ORRERY_SEED=%d: %s" % (seed, e))


def test_fuzz_bare():
    """A guest that programs everything at random, on a machine with nothing behind the devices."""
    run([])


def test_fuzz_full():
    """The same with drives, character devices and one of each device there is."""
    run(DISKS + everything())


def test_fuzz_interpreted():
    """The same on the interpreter alone."""
    run(DISKS + ["-accel", "tcg,engine=interp"])


for test in (test_fuzz_bare, test_fuzz_full, test_fuzz_interpreted):
    test.weight = 1
