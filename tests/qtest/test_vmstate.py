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
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from libqtest import QTest, main                                    # noqa: E402
from pokes import device_args, device_types, poke, setup_pci        # noqa: E402

BOARDS = ["pc"]
SEED = int(os.environ.get("ORRERY_SEED", "0")) or random.randrange(1 << 30)
STEPS = int(os.environ.get("ORRERY_STEPS", "400"))

# Lines of a dump (section, field) that a reset leaves alone.
SURVIVES = [
    (r".*mc146818rtc", r".*"),                  # its battery
    (r"netdev/", r".*"),                        # what is outside of the machine
]


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
            poke(a, random.Random(SEED + turn), STEPS)
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
            poke(q, random.Random(SEED + turn), STEPS, time=False)
            q.reset()
            after = sections(dump(q))
            wrong = ["%s%s (after the first reset:%s)" % (key[0], after.get(key), first.get(key))
                     for key in sorted(set(first) | set(after)) if first.get(key) != after.get(key)]
            if wrong:
                self.fail("ORRERY_SEED=%d: reset leaves traces of what was before:\n%s" % (
                    SEED, "\n".join(wrong[:60])))


    def check_unplug(self, args):
        """Taken away, a device leaves no region, no section, no timer and no property behind."""
        plain, q = self.machine(args[:-2]), self.machine(args[:-1] + [args[-1] + ",id=dut"])
        setup_pci(q)
        poke(q, random.Random(SEED), STEPS)
        q.command_line("unplug dut")
        q.reset()
        plain.reset()
        self.assertEqual(memory_map(q), memory_map(plain))
        self.assertEqual([l for l in dump(q).splitlines() if not l.startswith(" ")],
                         [l for l in dump(plain).splitlines() if not l.startswith(" ")])
        self.assertNotIn('"dut"', q.hmp("info qtree"))
        setup_pci(q)
        poke(q, random.Random(SEED + 1), STEPS)
        for _ in range(20):
            q.clock_step()
        q.qmp("query-status")


def add_tests():
    cases = {"board": []}
    for name in device_types():
        cases["device_" + re.sub(r"\W", "_", name)] = device_args(name)
    for board in BOARDS:
        for name, args in cases.items():
            for check in ("round_trip", "reset", "unplug") if args else ("round_trip", "reset"):
                def test(self, args=args, board=board, check=check):
                    getattr(self, "check_" + check)(["-M", board] + args)
                setattr(State, "test_%s_%s_%s" % (board, name, check), test)


add_tests()

if __name__ == "__main__":
    main()
