#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""-accel kvm where there is no KVM, or none for us: one line says what to do; and what is told of
it where there is one."""

import os
import shutil
import subprocess
import unittest

from qmptest import EMULATOR, PATIENCE, Emulator, main

import kvmhost

HAVE_KVM = kvmhost.usable()
# SPIN is all the guest does.
SPIN = b"\xeb\xfe"


def in_namespace(setup, *args):
    """The emulator where /dev was changed by shell commands; None if this host forbids that."""
    if not shutil.which("unshare"):
        return None
    line = "%s && exec \"$@\"" % setup
    try:
        r = subprocess.run(["unshare", "-rm", "sh", "-c", line, "sh", EMULATOR, "-display", "none",
                            "-nodefaults", "-M", "none", "-S", *args], stdin=subprocess.DEVNULL,
                           capture_output=True, text=True, timeout=30 * PATIENCE)
    except subprocess.TimeoutExpired as e:
        return subprocess.CompletedProcess([], -1, "", (e.stderr or b"").decode())
    return None if "unshare" in r.stderr or "mount" in r.stderr else r


class Refused(unittest.TestCase):
    def check(self, setup, pattern):
        r = in_namespace(setup, "-accel", "kvm")
        if r is None:
            self.skipTest("this host lets nobody change its view of /dev")
        self.assertEqual(r.returncode, 1, r.stderr)
        self.assertRegex(r.stderr, pattern)
        self.assertEqual(r.stderr.count("\n"), 1, r.stderr)
        self.assertIn("-accel tcg", r.stderr)

    def test_absent(self):
        self.check("mount -t tmpfs none /dev", "accelerator kvm: there is no /dev/kvm: load")

    def test_no_kvm_behind_it(self):
        self.check("mount -t tmpfs none /dev && : > /dev/kvm", "no KVM answers")

    def test_no_permission(self):
        if not os.path.exists("/dev/kvm") or os.getuid():
            if HAVE_KVM or not os.path.exists("/dev/kvm"):
                self.skipTest("nobody is refused here")
        command = [EMULATOR, "-display", "none", "-nodefaults", "-M", "none", "-S", "-accel", "kvm"]
        if not os.getuid():
            if os.stat("/dev/kvm").st_mode & 0o006:
                self.skipTest("everybody may open /dev/kvm")
            setpriv = shutil.which("setpriv")
            if not setpriv:
                self.skipTest("there is no setpriv")
            command = [setpriv, "--reuid=65534", "--regid=65534", "--clear-groups"] + command
        r = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                           timeout=30 * PATIENCE, cwd="/")
        if "exec" in r.stderr:
            self.skipTest("the build folder is not open to others")
        self.assertEqual(r.returncode, 1, r.stderr)
        self.assertRegex(r.stderr, "no permission to open /dev/kvm: become a member of its group")
        self.assertEqual(r.stderr.count("\n"), 1, r.stderr)

    def test_list_goes_on(self):
        """-accel kvm:tcg takes the second one, and says so."""
        r = in_namespace("mount -t tmpfs none /dev && ln -s /proc/self/fd/0 /dev/null",
                         "-accel", "kvm:tcg", "-pidfile", "/dev/none/pid")
        if r is None:
            self.skipTest("this host lets nobody change its view of /dev")
        self.assertRegex(r.stderr, "accelerator kvm: there is no /dev/kvm.*; trying tcg")
        self.assertNotIn("accelerator tcg:", r.stderr)


class Options(unittest.TestCase):
    def refused(self, *args):
        r = subprocess.run([EMULATOR, "-display", "none", "-nodefaults", "-S", *args], capture_output=True,
                           stdin=subprocess.DEVNULL, text=True, timeout=30 * PATIENCE)
        self.assertEqual(r.returncode, 1, r.stderr)
        return r.stderr

    def test_refused(self):
        self.assertRegex(self.refused("-accel", "kvm,kernel-irqchip=maybe"), "none of: off, split, on, auto")
        self.assertRegex(self.refused("-M", "pc,accel=kvm:tcg,kernel_irqchip=maybe"),
                         "-machine kernel-irqchip=maybe: .*none of: off, split, on, auto")
        self.assertRegex(self.refused("-accel", "kvm:tcg,thread=single"), "a list of accelerators takes no prop")
        self.assertRegex(self.refused("-M", "pc,accel=nobody:nothing"), "'nobody:nothing' is not an accelerator")


class Told(unittest.TestCase):
    def setUp(self):
        if not HAVE_KVM:
            self.skipTest("/dev/kvm is absent or refuses")

    def start(self, *args):
        def rom(folder):
            with open(folder + "/rom", "wb") as f:
                f.write(SPIN.ljust(0xfff0, b"\x90") + b"\xe9\x0d\x00".ljust(16, b"\x90"))
        vm = Emulator(["-M", "pc", "-m", "4", "-nodefaults", "-bios", "DIR/rom", *args], prepare=rom)
        self.addCleanup(vm.close)
        self.vm = vm
        return vm.client()

    def test_query(self):
        c = self.start("-accel", "kvm")
        told = c.call("query-kvm")
        self.assertTrue(told["enabled"] and told["present"])
        self.assertIn(told["kind"], ("software KVM", "hardware virtualization"))
        self.assertEqual(told["reason"], "asked for by -accel")
        self.assertRegex(c.hmp("info kvm"), r"(?s)kvm support: enabled\n.*kind: (soft|hard)ware.*CPU 0: exits \d+")

    def test_irqchip_of_the_machine(self):
        """-machine kernel-irqchip= is for a -accel kvm that says nothing itself."""
        for args, where in ((["-M", "pc,accel=kvm:tcg,kernel_irqchip=split"], "split"),
                            (["-M", "pc,kernel-irqchip=on", "-enable-kvm"], "on"),
                            (["-M", "pc,kernel-irqchip=on", "-accel", "kvm,kernel-irqchip=off"], "off")):
            self.assertIn("kernel-irqchip=%s)" % where, self.start(*args).hmp("info kvm"))

    def test_default(self):
        """Without -accel: native code rather than a software KVM."""
        c = self.start()
        told = c.call("query-kvm")
        self.assertEqual(told["enabled"], told["kind"] == "hardware virtualization")
        self.assertRegex(told["reason"], "the fastest on this host: .*kvm, " + told["kind"])

    def test_paravirtual_flags(self):
        """Flags that go through the local APIC are there when the kernel has it."""
        for chip, there in (("on", True), ("split", True), ("off", False)):
            c = self.start("-accel", "kvm,turns=off,kernel-irqchip=" + chip, "-cpu",
                           "qemu64,-pni,+kvm-pv-eoi,+kvm-pv-unhalt,+kvm-pv-ipi,+kvmclock")
            c.call("query-status")
            missing = [f for f in ("kvm-pv-eoi", "kvm-pv-unhalt", "kvm-pv-ipi", "kvmclock")
                       if f + " [" in self.vm.errors()]
            self.assertEqual(missing, [] if there else ["kvm-pv-eoi", "kvm-pv-unhalt", "kvm-pv-ipi"])

    def test_wide_destinations(self):
        """kvm-msi-ext-dest-id: with an I/O APIC of ours before the kernel's local ones, by itself then."""
        for chip, flag, warned in (("split", "+", False), ("on", "+", True), ("on", "-", False)):
            c = self.start("-accel", "kvm,turns=off,kernel-irqchip=" + chip, "-cpu",
                           "qemu64,-pni,%skvm-msi-ext-dest-id" % flag)
            c.call("query-status")
            self.assertEqual("kvm-msi-ext-dest-id [" in self.vm.errors(), warned, chip)

    def test_stopped_and_reset(self):
        c = self.start("-accel", "kvm", "-cpu", "qemu64,-pni,+kvmclock,+kvm-steal-time")
        for _ in range(3):
            c.call("stop")
            c.call("cont")
            c.call("system_reset")
            c.wait_event("RESET")
        self.assertTrue(c.call("query-status")["running"])


if __name__ == "__main__":
    main()
