#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The run of the machine and of the process: what guests cause (reset, power off, sleep, panic),
what signals and options do.  The guests are a few instructions in a ROM of their own."""

import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import termios
import tempfile
import time
import unittest

from qmptest import EMULATOR, PATIENCE, Client, Emulator, TestCase, main


# ---- guests: 16-bit code at the reset vector's segment -------------------------------------------------

def out8(port, v):
    return b"\xb0%c\xba%s\xee" % (v, struct.pack("<H", port))


def out16(port, v):
    return b"\xb8%s\xba%s\xef" % (struct.pack("<H", v), struct.pack("<H", port))


def out32(port, v):
    return b"\x66\xb8%s\xba%s\x66\xef" % (struct.pack("<I", v), struct.pack("<H", port))


def pci_write(devfn, reg, v):
    return out32(0xcf8, 0x80000000 | devfn << 8 | reg) + out32(0xcfc, v)


# For command lines that end the process while it is being set up, where nothing is freed: the
# leak checker of a build with sanitizers would add lines of its own.
EARLY_END = dict(os.environ, ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0")

HALT = b"\xfa\xf4\xeb\xfd"
SPIN = b"\xeb\xfe"
PM = pci_write(0x0b, 0x40, 0xb001) + pci_write(0x0b, 0x80, 1)       # ACPI registers at B000h
POWER_OFF = PM + out16(0xb004, 0x2000) + SPIN
SLEEP = PM + out16(0xb004, 0x2400) + SPIN
KEYBOARD_RESET = out8(0x64, 0xfe) + SPIN
TRIPLE_FAULT = b"\x2e\x0f\x01\x1e\x20\x00\xcc" + SPIN               # LIDT of an empty table, INT3
PANIC = out8(0x505, 1) + SPIN


def rom(code):
    if code.startswith(TRIPLE_FAULT[:6]):
        code = code.ljust(0x20, b"\0") + b"\0" * 6
    image = code.ljust(0xfff0, b"\x90") + b"\xe9\x0d\x00"           # FFF3h + 000Dh = 0
    return image.ljust(0x10000, b"\x90")


class Guests(unittest.TestCase):
    def start(self, code, *args):
        def prepare(folder):
            with open(folder + "/rom", "wb") as f:
                f.write(rom(code))
        vm = Emulator(["-M", "pc", "-accel", "tcg", "-m", "4", "-nodefaults", "-S", "-bios", "DIR/rom", *args],
                      prepare=prepare)
        self.addCleanup(vm.close)
        c = vm.client()
        c.call("cont")
        return vm, c

    def test_exit_port(self):
        for value in (0, 1, 0x55):
            vm, c = self.start(out8(0x501, value) + SPIN, "-device", "isa-debug-exit")
            self.assertEqual(vm.wait(), (value << 1 | 1) & 0xff)

    def test_power_off(self):
        vm, c = self.start(POWER_OFF)
        self.assertEqual(c.wait_event("SHUTDOWN")["data"], {"guest": True, "reason": "guest-shutdown"})
        self.assertEqual(vm.wait(), 0)

    def test_power_off_and_stay(self):
        vm, c = self.start(POWER_OFF, "-no-shutdown")
        self.assertEqual(c.wait_event("SHUTDOWN")["data"], {"guest": True, "reason": "guest-shutdown"})
        c.wait_event("STOP")
        self.assertEqual(c.call("query-status"), {"status": "shutdown", "singlestep": False, "running": False})
        self.assertIn("required", c.error("cont")["desc"])
        vm.proc.send_signal(signal.SIGTERM)
        self.assertEqual(c.wait_event("SHUTDOWN")["data"]["reason"], "host-signal")
        self.assertEqual(vm.wait(), 0)

    def test_resets(self):
        for code in (KEYBOARD_RESET, TRIPLE_FAULT, out8(0xcf9, 6) + SPIN, out8(0x92, 1) + SPIN):
            vm, c = self.start(code)
            for _ in range(3):
                self.assertEqual(c.wait_event("RESET")["data"], {"guest": True, "reason": "guest-reset"})
            vm.close()

    def test_no_reboot(self):
        vm, c = self.start(KEYBOARD_RESET, "-no-reboot")
        self.assertEqual(c.wait_event("SHUTDOWN")["data"], {"guest": True, "reason": "guest-reset"})
        self.assertEqual(vm.wait(), 0)

    def test_sleep_and_wake(self):
        vm, c = self.start(SLEEP)
        c.wait_event("SUSPEND")
        self.assertEqual(c.call("query-status")["status"], "suspended")
        c.call("cont")                          # has no effect on one asleep
        self.assertEqual(c.call("query-status")["status"], "suspended")
        c.call("system_wakeup")
        c.wait_event("WAKEUP")
        c.wait_event("SUSPEND")                 # the ROM does it again
        c.call("system_reset")
        c.wait_event("RESET")
        c.wait_event("SUSPEND")

    def test_panic(self):
        vm, c = self.start(PANIC, "-device", "pvpanic")
        self.assertEqual(c.wait_event("GUEST_PANICKED")["data"]["action"], "poweroff")
        self.assertEqual(c.wait_event("SHUTDOWN")["data"], {"guest": True, "reason": "guest-panic"})
        self.assertEqual(vm.wait(), 0)
        vm, c = self.start(PANIC, "-device", "pvpanic", "-action", "panic=exit-failure")
        self.assertEqual(vm.wait(), 1)
        vm, c = self.start(PANIC, "-device", "pvpanic", "-action", "panic=pause")
        c.wait_event("GUEST_PANICKED")
        c.wait_event("STOP")
        self.assertEqual(c.call("query-status")["status"], "guest-panicked")
        c.call("cont")
        self.assertEqual(c.call("query-status")["status"], "running")
        vm, c = self.start(PANIC, "-device", "pvpanic", "-action", "panic=none")
        self.assertEqual(c.wait_event("GUEST_PANICKED")["data"]["action"], "run")
        self.assertTrue(c.call("query-status")["running"])

    def test_pausing_a_busy_guest(self):
        vm, c = self.start(SPIN)
        for _ in range(50):
            c.call("stop")
            self.assertIn("HLT=0", c.hmp("info registers"))
            c.call("cont")
            c.hmp("info registers")
        c.call("stop")
        ticks = self.cpu_time(vm)
        time.sleep(0.5)
        self.assertLess(self.cpu_time(vm) - ticks, 0.2)     # a paused guest costs nothing

    def test_idle_costs_nothing(self):
        vm, c = self.start(HALT)
        time.sleep(0.3)
        before = self.cpu_time(vm)
        time.sleep(1)
        self.assertLess(self.cpu_time(vm) - before, 0.1)

    def cpu_time(self, vm):
        with open("/proc/%d/stat" % vm.proc.pid) as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def test_registers_of_a_running_guest(self):
        vm, c = self.start(SPIN)
        deadline = time.monotonic() + 10 * PATIENCE
        while "EIP=00000000" not in c.hmp("info registers"):    # the first instruction is a jump
            self.assertLess(time.monotonic(), deadline, c.hmp("info registers"))
        self.assertEqual(c.hmp("p/x $pc"), "0xffff0000\n")
        self.assertRegex(c.hmp("x/i $pc"), r"eb fe .*jmp")


class Signals(TestCase):
    def test_each(self):
        for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            vm = Emulator(self.args)
            c = vm.client()
            vm.proc.send_signal(sig)
            self.assertEqual(c.wait_event("SHUTDOWN")["data"], {"guest": False, "reason": "host-signal"})
            self.assertEqual(vm.wait(), 0)
            self.assertRegex(vm.errors(), r"terminating on signal %d from pid %d \(\w+" % (sig, os.getpid()))
            vm.close()

    def test_pipe_is_no_end(self):
        self.vm.proc.send_signal(signal.SIGPIPE)
        self.c.call("query-status")


class Options(TestCase):
    """Options that show in the process or through the machine protocol."""

    args = ["-M", "pc", "-accel", "qtest", "-nodefaults", "-name", "process=some process",
            "-global", "isa-debug-exit.iobase=0x1f0", "-device", "isa-debug-exit,id=e",
            "-smp", "4,sockets=2,maxcpus=8", "-machine", "mem-merge=off,dump-guest-core=off",
            "-object", "memory-backend-ram,id=ram0,size=48M", "-machine", "memory-backend=ram0",
            "-overcommit", "mem-lock=off", "-msg", "timestamp=on", "-sandbox", "off"]

    def test_process_name(self):
        with open("/proc/%d/comm" % self.vm.proc.pid) as f:
            self.assertEqual(f.read().strip(), "some process")

    def test_global(self):
        self.assertEqual(self.c.call("qom-get", path="e", property="iobase"), 0x1f0)

    def test_topology(self):
        places = [tuple(c["props"][k + "-id"] for k in ("socket", "core", "thread"))
                  for c in self.c.call("query-cpus-fast")]
        self.assertEqual(places, [(0, 0, 0), (0, 1, 0), (0, 2, 0), (0, 3, 0)])
        names = set()
        for t in os.listdir("/proc/%d/task" % self.vm.proc.pid):
            with open("/proc/%d/task/%s/comm" % (self.vm.proc.pid, t)) as f:
                names.add(f.read().strip())
        self.assertLessEqual({"CPU 0", "CPU 1", "CPU 2", "CPU 3"}, names)

    def test_memory_backend(self):
        self.assertEqual(self.c.call("query-memory-size-summary")["base-memory"], 48 << 20)
        dev, = self.c.call("query-memdev")
        self.assertEqual((dev["id"], dev["size"], dev["merge"], dev["dump"]), ("ram0", 48 << 20, False, False))
        self.assertIn("in use", self.c.error("object-del", id="ram0")["desc"])

    def test_timestamps(self):
        self.vm.proc.send_signal(signal.SIGTERM)
        self.vm.wait()
        self.assertRegex(self.vm.errors(), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z .*terminating")


class Smp(unittest.TestCase):
    def topology(self, text):
        r = Emulator(["-M", "pc", "-accel", "qtest", "-nodefaults", "-smp", text])
        self.addCleanup(r.close)
        c = r.client()
        return [tuple(x["props"][k + "-id"] for k in ("socket", "core", "thread"))
                for x in c.call("query-cpus-fast")]

    def test_forms(self):
        self.assertEqual(self.topology("2"), [(0, 0, 0), (0, 1, 0)])
        self.assertEqual(self.topology("cpus=2,threads=2"), [(0, 0, 0), (0, 0, 1)])
        self.assertEqual(self.topology("sockets=2"), [(0, 0, 0), (1, 0, 0)])
        self.assertEqual(self.topology("4,cores=2"), [(0, 0, 0), (0, 1, 0), (1, 0, 0), (1, 1, 0)])
        self.assertEqual(self.topology("1,maxcpus=4"), [(0, 0, 0)])

    def test_contradictions(self):
        for text in ("4,sockets=3", "2,maxcpus=1", "3,cores=2,threads=2,sockets=1", "0", "x", "1,dies=2",
                     "1,nonsense=2", "300"):
            r = subprocess.run([EMULATOR, "-display", "none", "-smp", text], stderr=subprocess.PIPE,
                               stdin=subprocess.DEVNULL, env=EARLY_END, timeout=20 * PATIENCE)
            self.assertEqual(r.returncode, 1, text)
            self.assertEqual(r.stderr.count(b"\n"), 1, r.stderr)
            self.assertIn(b"-smp", r.stderr)


class Daemon(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory(prefix="orrery-daemon-")
        self.addCleanup(self.dir.cleanup)
        self.d = self.dir.name

    def run_it(self, *args):
        return subprocess.run([EMULATOR, "-M", "none", "-accel", "qtest", "-display", "none", *args],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=20 * PATIENCE)

    def kill(self, pid):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def test_background(self):
        r = self.run_it("-daemonize", "-pidfile", self.d + "/pid", "-qmp",
                        "unix:%s/qmp,server=on,wait=off" % self.d)
        self.assertEqual((r.returncode, r.stdout, r.stderr), (0, b"", b""))
        # all is there at once: the parent waited
        with open(self.d + "/pid") as f:
            pid = int(f.read())
        self.addCleanup(self.kill, pid)
        s = socket.socket(socket.AF_UNIX)
        s.connect(self.d + "/qmp")
        s.close()
        c = Client(self.d + "/qmp")
        self.assertTrue(c.call("query-status")["running"])
        self.assertEqual(os.getsid(pid), pid)
        self.assertEqual(os.readlink("/proc/%d/cwd" % pid), "/")
        for fd in (0, 1, 2):
            self.assertEqual(os.readlink("/proc/%d/fd/%d" % (pid, fd)), "/dev/null")
        second = self.run_it("-pidfile", self.d + "/pid")
        self.assertEqual(second.returncode, 1)
        self.assertIn(b"in use", second.stderr)
        os.kill(pid, signal.SIGTERM)
        with self.assertRaises((EOFError, ConnectionError)):
            while True:
                c.line()
        c.close()
        end = time.monotonic() + 10 * PATIENCE
        while os.path.exists(self.d + "/pid") and time.monotonic() < end:
            time.sleep(0.02)
        self.assertFalse(os.path.exists(self.d + "/pid"))
        self.assertFalse(os.path.exists(self.d + "/qmp"))

    def test_failure_is_told(self):
        r = self.run_it("-daemonize", "-drive", "if=none,file=%s/nothing" % self.d)
        self.assertEqual(r.returncode, 1)
        self.assertIn(b"nothing", r.stderr)
        self.assertEqual(r.stderr.count(b"\n"), 1)

    def test_terminal_wanted(self):
        r = subprocess.run([EMULATOR, "-daemonize", "-nographic"], stdin=subprocess.DEVNULL,
                           stderr=subprocess.PIPE, env=EARLY_END, timeout=20 * PATIENCE)
        self.assertEqual(r.returncode, 1)
        self.assertIn(b"-nographic", r.stderr)

    @unittest.skipUnless(os.getuid() == 0, "needs root")
    def test_privileges(self):
        r = self.run_it("-daemonize", "-pidfile", self.d + "/pid", "-runas", "nobody")
        self.assertEqual(r.returncode, 0, r.stderr)
        with open(self.d + "/pid") as f:
            pid = int(f.read())
        self.addCleanup(self.kill, pid)
        with open("/proc/%d/status" % pid) as f:
            text = f.read()
        self.assertNotIn("\t0\t0\t0\t0", re.search(r"Uid:(.*)", text).group(1))
        self.assertEqual(self.run_it("-runas", "no-such-user").returncode, 1)


class ReadConfig(unittest.TestCase):
    def test_file(self):
        text = """
# a comment
[machine]
  type = "pc"
  accel = "qtest"
[memory]
  size = "24M"
[smp-opts]
  cpus = "2"
[name]
  guest = "from the file"
[drive "d0"]
  file.driver = "null-co"
  file.size = "1M"
  format = "raw"
  if = "none"
[device "hd0"]
  driver = "ide-hd"
  drive = "d0"
[chardev "c0"]
  backend = "null"
[global]
  driver = "isa-debug-exit"
  property = "iobase"
  value = "0x1f1"
[device "e0"]
  driver = "isa-debug-exit"
"""

        def prepare(folder):
            with open(folder + "/config", "w") as f:
                f.write(text)
        vm = Emulator(["-nodefaults", "-readconfig", "DIR/config"], prepare=prepare)
        self.addCleanup(vm.close)
        c = vm.client()
        self.assertEqual(c.call("query-name"), {"name": "from the file"})
        self.assertEqual(c.call("query-memory-size-summary")["base-memory"], 24 << 20)
        self.assertEqual(len(c.call("query-cpus-fast")), 2)
        self.assertEqual(c.call("qom-get", path="e0", property="iobase"), 0x1f1)
        self.assertEqual(c.call("qom-get", path="hd0", property="drive"), "d0")
        self.assertIn("c0", [d["label"] for d in c.call("query-chardev")])

    def test_errors(self):
        for text, word in (("[machine]\n type = \"nonsense\"\n", "nonsense"), ("[nonsense]\n x = \"1\"\n", "nonsense"),
                           ("garbage\n", "config:1"), ("[device]\n driver = \"nonsense\"\n", "nonsense")):
            with tempfile.TemporaryDirectory() as d:
                with open(d + "/config", "w") as f:
                    f.write(text)
                r = subprocess.run([EMULATOR, "-display", "none", "-readconfig", d + "/config"],
                                   stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, env=EARLY_END,
                                   timeout=20 * PATIENCE)
                self.assertEqual(r.returncode, 1, text)
                self.assertIn(word, r.stderr.decode())
                self.assertEqual(r.stderr.count(b"\n"), 1, r.stderr)


class Terminal(unittest.TestCase):
    """-nographic on a terminal: console and monitor share it, and it is restored."""

    def setUp(self):
        self.master, self.slave = pty.openpty()
        self.before = termios.tcgetattr(self.slave)
        self.got = b""
        self.dir = tempfile.TemporaryDirectory()
        with open(self.dir.name + "/rom", "wb") as f:
            f.write(rom(b"".join(out8(0x3f8, ch) for ch in b"Hello") + HALT))
        self.proc = subprocess.Popen([EMULATOR, "-M", "pc", "-accel", "tcg", "-m", "4", "-nographic",
                                      "-bios", self.dir.name + "/rom"],
                                     stdin=self.slave, stdout=self.slave, stderr=self.slave)
        self.addCleanup(self.finish)

    def finish(self):
        if self.proc.poll() is None:
            self.proc.kill()
        self.proc.wait()
        os.close(self.master)
        os.close(self.slave)
        self.dir.cleanup()

    def wait(self, text):
        end = time.monotonic() + 20 * PATIENCE
        while text not in self.got:
            left = end - time.monotonic()
            self.assertTrue(left > 0 and select.select([self.master], [], [], left)[0],
                            "waiting for %r, got %r" % (text, self.got))
            self.got += os.read(self.master, 4096)
        self.got = self.got.split(text, 1)[1]

    def restored(self):
        return termios.tcgetattr(self.slave) == self.before

    def test_console_monitor_quit(self):
        self.wait(b"Hello")
        self.assertFalse(self.restored())
        os.write(self.master, b"\x01c")
        self.wait(b"(qemu) ")
        os.write(self.master, b"info status\r")
        self.wait(b"VM status: running")
        self.wait(b"(qemu) ")
        os.write(self.master, b"\x01c\x01h")
        self.wait(b"C-a x")
        os.write(self.master, b"\x01x")
        self.assertEqual(self.proc.wait(20 * PATIENCE), 0)
        self.assertTrue(self.restored())

    def test_restored_after_a_signal(self):
        self.wait(b"Hello")
        self.proc.send_signal(signal.SIGTERM)
        self.assertEqual(self.proc.wait(20 * PATIENCE), 0)
        self.assertTrue(self.restored())

    def test_restored_after_monitor_quit(self):
        self.wait(b"Hello")
        os.write(self.master, b"\x01cquit\r")
        self.assertEqual(self.proc.wait(20 * PATIENCE), 0)
        self.assertTrue(self.restored())


if __name__ == "__main__":
    main()
