#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Who may include whom: ARCHITECTURE.md's layers, checked over the #include lines."""

import glob
import os
import re
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LAYERS = [("util", "fpu"), ("memory",), ("migration",), ("block", "chardev", "net", "ui", "audio"),
          ("accel",), ("target-i386",), ("hw",), ("monitor",), ("system", "tools")]
RANK = {folder: n for n, folders in enumerate(LAYERS) for folder in folders}
APART = LAYERS[3]           # back-ends never include each other
# what people ask the monitor to do is done by these
EXCEPTIONS = {("monitor", "system/" + name) for name in (
    "accel-switch.h", "cpus.h", "display.h", "machine.h", "objects.h", "options.h", "runstate.h")}


class Layers(unittest.TestCase):
    def test_includes(self):
        wrong = []
        for folder in RANK:
            for path in glob.glob(os.path.join(TOP, folder, "**", "*.[ch]"), recursive=True):
                with open(path) as f:
                    for header in re.findall(r'^#include "([^"]+)"', f.read(), re.M):
                        to = header.split("/")[0]
                        if to not in RANK or (folder, header) in EXCEPTIONS:
                            continue
                        if RANK[to] > RANK[folder] or (folder in APART and to in APART and to != folder):
                            wrong.append("%s includes %s" % (os.path.relpath(path, TOP), header))
        self.assertEqual(wrong, [])

    def test_tcg_knows_no_guest(self):
        for path in glob.glob(os.path.join(TOP, "accel", "tcg", "**", "*.[ch]"), recursive=True):
            with open(path) as f:
                self.assertNotIn('#include "target-', f.read(), path)


if __name__ == "__main__":
    unittest.main()
