#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Saved state of every device: what one machine saves another one loads and saves again byte by
byte, with the same memory map; and reset ends in the same state whatever was done before.

The devices are those of the board and, one at a time, all that -device help names.  They are
brought into odd states by random accesses to everything they map.
"""

import base64
import difflib
import os
import random
import re
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import libqtest         # noqa: E402
from libqtest import QTest, main

BOARDS = ["pc"]
SEED = int(os.environ.get("ORRERY_SEED", "0")) or random.randrange(1 << 30)
STEPS = 400

# What a poke must not touch: what ends or resets the machine.
DEADLY_PORTS = {0xcf9, 0x92, 0x64}
DEADLY_REGIONS = {"isa-debug-exit", "acpi-cnt"}

# Lines of a dump (section, field) that a reset leaves alone.
SURVIVES = [
    (r".*mc146818rtc", r".*"),                  # its battery
]


def help_text(*args):
    return subprocess.run([libqtest.EMULATOR, *args], stdout=subprocess.PIPE, text=True,
                          timeout=60).stdout


def device_types():
    """{name: bus} of what a user can plug in."""
    return dict(re.findall(r'^name "([^"]+)", bus ([^,\n]+)', help_text("-device", "help"), re.M))


def device_args(name):
    """What -device needs beside the name, from the properties it has."""
    options = help_text("-device", name + ",help")
    args, extra = [], ""
    if re.search(r"^  drive=", options, re.M):
        args += ["-drive", "if=none,id=d9,driver=null-co,size=1474560,read-zeroes=on"]
        extra += ",drive=d9"
    if re.search(r"^  chardev=", options, re.M):
        args += ["-chardev", "null,id=c9"]
        extra += ",chardev=c9"
    if re.search(r"^  netdev=", options, re.M):
        args += ["-netdev", "user,id=n9"]
        extra += ",netdev=n9"
    return args + ["-device", name + extra]


def setup_pci(q):
    """Give each base address register a place, as firmware does."""
    io, mem = 0xc000, 0xe0000000
    for devfn in q.pci_devices():
        n = 0
        while n < 6 and q.pci_readb(devfn, 0x0e) & 0x7f == 0:
            bar = q.pci_bar(devfn, n)
            if bar and bar[0]:
                io = (io + bar[1] - 1) & -bar[1]
                q.pci_writel(devfn, 0x10 + 4 * n, io)
                io += max(bar[1], 16)
            elif bar:
                mem = (mem + bar[1] - 1) & -bar[1]
                q.pci_writel(devfn, 0x10 + 4 * n, mem)
                mem += bar[1]
            n += 1
        q.pci_writew(devfn, 4, q.pci_readw(devfn, 4) | 7)


def targets(q):
    """[(is port, first, last)] of everything that is I/O."""
    found, is_io = [], False
    for line in q.hmp("info mtree -f").splitlines():
        if line.startswith(" AS "):
            is_io = '"I/O"' in line
        m = re.match(r"  ([0-9a-f]{16})-([0-9a-f]{16}) \(prio -?\d+, (?:i/o|romd)\): (\S+)", line)
        if m and m.group(3) not in DEADLY_REGIONS:
            found.append((is_io, int(m.group(1), 16), int(m.group(2), 16)))
    return found


def poke(q, rng, steps=STEPS, time=True):
    places = targets(q)
    lines = []
    for _ in range(steps):
        port, first, last = rng.choice(places)
        width = rng.choice((1, 1, 1, 2, 4))
        addr = rng.randint(first, min(last, first + 0x3ff)) & -width
        value = rng.choice((rng.getrandbits(32), rng.getrandbits(8), 0, 0xffffffff, 1 << rng.randrange(32)))
        letter = {1: "b", 2: "w", 4: "l"}[width]
        if port and DEADLY_PORTS & set(range(addr, addr + width)):
            continue
        if rng.random() < 0.3:
            lines.append("%s%s 0x%x" % ("in" if port else "read", letter, addr))
        else:
            mask = (1 << 8 * width) - 1
            lines.append("%s%s 0x%x 0x%x" % ("out" if port else "write", letter, addr, value & mask))
        if time and rng.random() < 0.05:
            lines.append("clock_step %d" % rng.randrange(10 ** rng.randrange(1, 9)))
    for line, answer in zip(lines, q.batch(lines)):
        assert answer.startswith("OK"), (line, answer)


def save(q):
    return q.command_line("vmstate_save")


def dump(q):
    return base64.b64decode(q.command_line("vmstate_dump")).decode()


def memory_map(q):
    return re.sub(r"FlatView #\d+", "FlatView", q.hmp("info mtree -f"))


def difference(a, b):
    return "\n".join(list(difflib.unified_diff(a.splitlines(), b.splitlines(), "saved", "loaded",
                                               lineterm="", n=1))[:60])


def sections(text):
    """{(section, number of the line, field): line} of a dump."""
    found, section, number = {}, "", 0
    for line in text.splitlines():
        if not line.startswith(" "):
            section, number = line, 0
        elif not any(re.match(s, section) and re.match(f, line.strip()) for s, f in SURVIVES):
            found[section, number] = line
        number += 1
    return found


class State(unittest.TestCase):
    def machine(self, args):
        q = QTest(["-no-shutdown", "-rtc", "clock=vm"] + args)
        self.addCleanup(self.finish, q)
        return q

    def finish(self, q):
        status, text = q.close()
        self.assertIn(status, (0, -15), text)
        self.assertNotIn("runtime error", text)

    def check_round_trip(self, args):
        a, b = self.machine(args), self.machine(args)
        setup_pci(a)
        for turn in range(3):
            poke(a, random.Random(SEED + turn))
            state, text, map_a = save(a), dump(a), memory_map(a)
            b.command_line("vmstate_load " + state)
            again = save(b)
            if again != state:
                self.fail("ORRERY_SEED=%d: saved and loaded differ:\n%s" % (
                    SEED, difference(text, dump(b)) or "(in values no dump shows)"))
            if memory_map(b) != map_a:
                self.fail("ORRERY_SEED=%d: the memory map after loading differs:\n%s" % (
                    SEED, difference(map_a, memory_map(b))))

    def check_reset(self, args):
        q = self.machine(args)
        q.reset()
        first = sections(dump(q))
        for turn in range(3):
            setup_pci(q)
            poke(q, random.Random(SEED + turn), time=False)
            q.reset()
            after = sections(dump(q))
            wrong = ["%s%s (after the first reset:%s)" % (key[0], after.get(key), first.get(key))
                     for key in sorted(set(first) | set(after)) if first.get(key) != after.get(key)]
            if wrong:
                self.fail("ORRERY_SEED=%d: reset leaves traces of what was before:\n%s" % (
                    SEED, "\n".join(wrong[:60])))


def add_tests():
    cases = {"board": []}
    for name in device_types():
        cases["device_" + re.sub(r"\W", "_", name)] = device_args(name)
    for board in BOARDS:
        for name, args in cases.items():
            for check in ("round_trip", "reset"):
                def test(self, args=args, board=board, check=check):
                    getattr(self, "check_" + check)(["-M", board] + args)
                setattr(State, "test_%s_%s_%s" % (board, name, check), test)


add_tests()

if __name__ == "__main__":
    main()
