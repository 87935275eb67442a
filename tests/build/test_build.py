#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""configure and make: what their help says is true, and what is installed runs."""

import os
import re
import subprocess
import sys
import tempfile
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
EMULATOR = os.environ.get("ORRERY", os.path.join(TOP, "build", "orrery-system-x86_64"))
PATIENCE = float(os.environ.get("ORRERY_PATIENCE", "1"))
BUILD = os.path.relpath(os.path.dirname(EMULATOR), TOP)
ENV = {k: v for k, v in os.environ.items() if not k.startswith("MAKE") and k != "MFLAGS"}


def run(*args, **env):
    p = subprocess.run(args, cwd=TOP, env=dict(ENV, **env), stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300 * PATIENCE)
    return p.returncode, p.stdout


class Configure(unittest.TestCase):
    def test_help_has_every_switch(self):
        status, text = run("./configure", "--help")
        self.assertEqual(status, 0)
        with open(os.path.join(TOP, "configure")) as f:
            cases = re.findall(r"^    (--(?!help)[a-z|=*-]+)\)", f.read(), re.M)
        self.assertGreater(len(cases), 10)
        libraries = set(re.findall(r"^      ([a-z]+) ", text, re.M))
        self.assertLessEqual({"capstone", "png", "zstd"}, libraries)
        for case in cases:
            name = case.split("|")[0].rstrip("=*")
            if re.sub("^--(en|dis)able-", "", name) in libraries:
                name = re.sub("-[a-z]+$", "-X", name)
            self.assertRegex(text, re.escape(name) + r"\b")

    def test_unknown_switch(self):
        status, text = run("./configure", "--enable-nonsense")
        self.assertEqual((status, text.count("\n")), (1, 1), text)
        self.assertIn("--enable-nonsense", text)

    def test_build_folder_elsewhere(self):
        with tempfile.TemporaryDirectory() as d:
            status, text = run("./configure", "--build-dir=" + d, "--cflags=-DX")
            self.assertEqual(status, 0, text)
            status, text = run("make", "-n", "BUILD=" + d, d + "/obj/util/log.o")
            self.assertEqual(status, 0, text)
            self.assertIn(" -DX ", text)
            self.assertEqual(set(os.listdir(d)), {"config.args", "config.h", "config.mk"})

    def test_missing_packages_are_named(self):
        status, text = run("./configure", "--enable-png", "--enable-zstd", "--disable-capstone",
                           "--build-dir=build/none", PKG_CONFIG_LIBDIR="/nowhere", PKG_CONFIG_PATH="")
        self.assertEqual(status, 1)
        line = next(l for l in text.splitlines() if "apt-get install" in l)
        for package in ("libglib2.0-dev", "libpixman-1-dev", "zlib1g-dev", "libpng-dev", "libzstd-dev"):
            self.assertIn(package, line)
        self.assertNotIn("capstone", text)
        self.assertFalse(os.path.exists(os.path.join(TOP, "build/none")))


class Make(unittest.TestCase):
    def test_help_names_targets(self):
        status, text = run("make", "-s", "help")
        self.assertEqual(status, 0)
        targets = re.findall(r"^make ([a-z0-9-]+)", text, re.M)
        self.assertLessEqual({"demo", "check", "bench", "install", "clean"}, set(targets))
        for target in targets:
            self.assertEqual(run("make", "-n", "BUILD=" + BUILD, target)[0], 0, target)

    def test_install(self):
        with tempfile.TemporaryDirectory() as d:
            status, text = run("make", "-s", "BUILD=" + BUILD, "install", "DESTDIR=" + d,
                               "PREFIX=/opt/x")
            self.assertEqual(status, 0, text)
            self.assertEqual(os.listdir(d), ["opt"])
            prefix = d + "/opt/x"
            self.assertTrue(os.path.exists(prefix + "/share/doc/orrery/README.md"))
            emulator = prefix + "/bin/orrery-system-x86_64"
            p = subprocess.run([emulator, "-M", "pc", "-accel", "tcg", "-display", "none", "-S",
                                "-monitor", "stdio"], cwd="/", input="info status\nquit\n", text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60 * PATIENCE)
            self.assertEqual(p.returncode, 0, p.stdout)
            self.assertIn("VM status: paused", p.stdout)
            disk = d + "/disk"
            for args in (("create", "-f", "qcow2", disk, "1M"), ("check", disk)):
                p = subprocess.run([prefix + "/bin/orrery-img", *args], stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True, timeout=60 * PATIENCE)
                self.assertEqual(p.returncode, 0, p.stdout)


if __name__ == "__main__":
    if not os.path.exists(EMULATOR):
        sys.exit("no emulator at " + EMULATOR)
    unittest.main()
