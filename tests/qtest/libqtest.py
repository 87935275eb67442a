# SPDX-License-Identifier: MIT
"""Drives a machine without a CPU through the qtest protocol (system/qtest.c).

    from libqtest import QTest, TestCase, main

    class SerialTest(TestCase):
        args = ["-M", "pc", "-serial", "null"]

        def test_scratch(self):
            self.q.outb(0x3ff, 0x5a)
            self.assertEqual(self.q.inb(0x3ff), 0x5a)

    if __name__ == "__main__":
        main()

Each test method gets a fresh machine as self.q (and self.q.qmp(...) for the monitor).  ORRERY
names the emulator; QEMU works too, so that a test can be checked against it:

    ORRERY=qemu-system-x86_64 python3 tests/qtest/test_serial.py

(Distributions build QEMU without its qtest accelerator; a paused TCG machine stands in, whose
clock does not move.)
"""

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
EMULATOR = os.environ.get("ORRERY", os.path.join(TOP, "build", "orrery-system-x86_64"))
PATIENCE = float(os.environ.get("ORRERY_PATIENCE", "1"))


def patiently(seconds=20):
    """Turns of a loop that waits for something, until that is too long."""
    end = time.monotonic() + seconds * PATIENCE
    while time.monotonic() < end:
        yield


class Died(Exception):
    """The emulator went away."""


class Failed(Exception):
    """It answered FAIL."""


class Line:
    """A socket read by lines, with a time limit."""

    def __init__(self, sock, owner):
        self.sock, self.owner, self.buf = sock, owner, b""

    def get(self, timeout=60):
        end = time.monotonic() + timeout * PATIENCE
        while b"\n" not in self.buf:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.sock], [], [], left)[0]:
                raise Died("no answer within %g s" % timeout)
            try:
                data = self.sock.recv(1 << 16)
            except ConnectionError:
                data = b""
            if not data:
                raise Died(self.owner.autopsy())
            self.buf += data
        line, self.buf = self.buf.split(b"\n", 1)
        return line.decode()

    def put(self, data):
        try:
            self.sock.sendall(data)
        except OSError:
            raise Died(self.owner.autopsy())


class QTest:
    def __init__(self, args=(), accel=("-accel", "qtest"), nodefaults=True):
        self.dir = tempfile.mkdtemp(prefix="orrery-qtest-")
        self.irq = {}                   # number -> level, of the intercepted device
        self.irq_log = []               # (number, level), in order
        self.events = []                # QMP events
        self.error_file = open(os.path.join(self.dir, "stderr"), "w+b")
        listeners = [self._listen("qtest"), self._listen("qmp")]
        self.command = [EMULATOR, *accel, "-display", "none", "-qtest-log", "/dev/null",
                        "-qtest", "unix:%s/qtest" % self.dir,
                        "-chardev", "socket,id=qmp0,path=%s/qmp" % self.dir,
                        "-mon", "chardev=qmp0,mode=control"]
        if "qemu" in os.path.basename(EMULATOR) and "qtest" in accel:
            self.command[1:3] = ["-accel", "tcg", "-S"]
        if nodefaults:
            self.command += ["-nodefaults", "-no-user-config"]
        self.command += list(args)
        self.proc = subprocess.Popen(self.command, stdin=subprocess.DEVNULL,
                                     stdout=self.error_file, stderr=self.error_file)
        try:
            # the monitor connects first, the tester when the machine is made
            self._qmp = Line(self._accept(listeners[1]), self)
            self._qtest = Line(self._accept(listeners[0]), self)
        except Exception:
            self.close()
            raise
        self.greeting = json.loads(self._qmp.get())
        self.qmp("qmp_capabilities")

    def _listen(self, name):
        s = socket.socket(socket.AF_UNIX)
        s.bind(os.path.join(self.dir, name))
        s.listen(1)
        return s

    def _accept(self, listener):
        end = time.monotonic() + 60 * PATIENCE
        while not select.select([listener], [], [], 0.2)[0]:
            if self.proc.poll() is not None or time.monotonic() > end:
                raise Died(self.autopsy())
        sock = listener.accept()[0]
        listener.close()
        return sock

    def errors(self):
        self.error_file.flush()
        self.error_file.seek(0)
        return self.error_file.read().decode(errors="replace")

    def autopsy(self):
        try:
            self.proc.wait(5)
        except subprocess.TimeoutExpired:
            pass
        return "status %s\n%s\n%s" % (self.proc.poll(), " ".join(self.command), self.errors()[-4000:])

    def close(self):
        if self.proc.poll() is None:
            self.proc.send_signal(signal.SIGTERM)
            try:
                self.proc.wait(20 * PATIENCE)
            except subprocess.TimeoutExpired:
                self.proc.kill()
        status = self.proc.wait()
        text = self.errors()
        self.error_file.close()
        for line in (getattr(self, "_qmp", None), getattr(self, "_qtest", None)):
            if line:
                line.sock.close()
        shutil.rmtree(self.dir, ignore_errors=True)
        return status, text

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    # ---- qtest ----

    def _line(self):
        """The next line that is no interrupt message."""
        while True:
            line = self._qtest.get()
            if not line.startswith("IRQ "):
                return line
            _, what, number = line.split()
            self.irq[int(number)] = what == "raise"
            self.irq_log.append((int(number), what == "raise"))

    def command_line(self, text):
        """Send one command, return what follows OK."""
        self._qtest.put(text.encode() + b"\n")
        line = self._line()
        if not line.startswith("OK"):
            raise Failed("%s: %s" % (text[:100], line))
        return line[3:].strip()

    def batch(self, lines):
        """Send many commands at once, then read their answers: much faster than one by one."""
        answers = []
        for i in range(0, len(lines), 256):
            part = lines[i:i + 256]
            self._qtest.put("".join(l + "\n" for l in part).encode())
            answers += [self._line() for _ in part]
        return answers

    def _value(self, text):
        return int(self.command_line(text), 0)

    def outb(self, port, v):
        self.command_line("outb 0x%x 0x%x" % (port, v & 0xff))

    def outw(self, port, v):
        self.command_line("outw 0x%x 0x%x" % (port, v & 0xffff))

    def outl(self, port, v):
        self.command_line("outl 0x%x 0x%x" % (port, v & 0xffffffff))

    def inb(self, port):
        return self._value("inb 0x%x" % port)

    def inw(self, port):
        return self._value("inw 0x%x" % port)

    def inl(self, port):
        return self._value("inl 0x%x" % port)

    def writeb(self, a, v):
        self.command_line("writeb 0x%x 0x%x" % (a, v))

    def writew(self, a, v):
        self.command_line("writew 0x%x 0x%x" % (a, v))

    def writel(self, a, v):
        self.command_line("writel 0x%x 0x%x" % (a, v))

    def writeq(self, a, v):
        self.command_line("writeq 0x%x 0x%x" % (a, v))

    def readb(self, a):
        return self._value("readb 0x%x" % a)

    def readw(self, a):
        return self._value("readw 0x%x" % a)

    def readl(self, a):
        return self._value("readl 0x%x" % a)

    def readq(self, a):
        return self._value("readq 0x%x" % a)

    def read(self, a, size):
        return bytes.fromhex(self.command_line("read 0x%x 0x%x" % (a, size))[2:]) if size else b""

    def write(self, a, data):
        if data:
            self.command_line("write 0x%x 0x%x 0x%s" % (a, len(data), data.hex()))

    def memset(self, a, size, v):
        self.command_line("memset 0x%x 0x%x 0x%x" % (a, size, v))

    def clock_step(self, ns=None):
        """Move the virtual clock by ns, or to the next timer; returns the new time."""
        return int(self.command_line("clock_step" + ("" if ns is None else " %d" % ns)))

    def clock_set(self, ns):
        return int(self.command_line("clock_set %d" % ns))

    def irq_intercept_in(self, device):
        """Follow the inputs of a device ("isa-i8259", "ioapic") in self.irq."""
        self.command_line("irq_intercept_in " + device)

    def irq_intercept_out(self, device):
        self.command_line("irq_intercept_out " + device)

    def set_irq_in(self, device, n, level):
        self.command_line("set_irq_in %s unnamed-gpio-in %d %d" % (device, n, level))

    def get_irq(self, n):
        self.command_line("endianness")         # its answer comes behind all messages
        return self.irq.get(n, False)

    # ---- PCI configuration through CF8h/CFCh ----

    def _pci_select(self, devfn, reg):
        self.outl(0xcf8, 0x80000000 | devfn << 8 | (reg & 0xfc))

    def pci_readb(self, devfn, reg):
        self._pci_select(devfn, reg)
        return self.inb(0xcfc + (reg & 3))

    def pci_readw(self, devfn, reg):
        self._pci_select(devfn, reg)
        return self.inw(0xcfc + (reg & 2))

    def pci_readl(self, devfn, reg):
        self._pci_select(devfn, reg)
        return self.inl(0xcfc)

    def pci_writeb(self, devfn, reg, v):
        self._pci_select(devfn, reg)
        self.outb(0xcfc + (reg & 3), v)

    def pci_writew(self, devfn, reg, v):
        self._pci_select(devfn, reg)
        self.outw(0xcfc + (reg & 2), v)

    def pci_writel(self, devfn, reg, v):
        self._pci_select(devfn, reg)
        self.outl(0xcfc, v)

    def pci_devices(self):
        """{devfn: (vendor, device)} of bus 0."""
        found = {}
        for devfn in range(256):
            ident = self.pci_readl(devfn, 0)
            if ident != 0xffffffff:
                found[devfn] = (ident & 0xffff, ident >> 16)
        return found

    def pci_bar(self, devfn, n):
        """(is_io, size) of a base address register, or None; its value is kept."""
        reg = 0x10 + 4 * n
        old = self.pci_readl(devfn, reg)
        self.pci_writel(devfn, reg, 0xffffffff)
        mask = self.pci_readl(devfn, reg)
        self.pci_writel(devfn, reg, old)
        if not mask:
            return None
        is_io = bool(mask & 1)
        mask &= 0xfffc if is_io else 0xfffffff0
        return is_io, (mask & -mask)

    # ---- QMP ----

    def qmp_raw(self, command, **arguments):
        """The whole reply; '_' in argument names stands for '-'."""
        msg = {"execute": command}
        if arguments:
            msg["arguments"] = {k.replace("_", "-"): v for k, v in arguments.items()}
        self._qmp.put(json.dumps(msg).encode() + b"\n")
        while True:
            reply = json.loads(self._qmp.get())
            if "event" not in reply:
                return reply
            self.events.append(reply)

    def qmp(self, command, **arguments):
        reply = self.qmp_raw(command, **arguments)
        if "error" in reply:
            raise Failed("%s: %s" % (command, reply["error"]["desc"]))
        return reply["return"]

    def hmp(self, line):
        return self.qmp("human-monitor-command", command_line=line).replace("\r\n", "\n")

    def wait_event(self, name, timeout=20):
        """The first event of that name, past or to come."""
        end = time.monotonic() + timeout * PATIENCE
        while True:
            for e in self.events:
                if e["event"] == name:
                    self.events.remove(e)
                    return e
            message = json.loads(self._qmp.get(max(end - time.monotonic(), 0.01) / PATIENCE))
            if "event" in message:
                self.events.append(message)

    def reset(self):
        self.qmp("system_reset")
        self.wait_event("RESET")


class TestCase(unittest.TestCase):
    args = []                           # of the emulator
    nodefaults = True

    def setUp(self):
        self.q = QTest(self.args, nodefaults=self.nodefaults)
        self.addCleanup(self._finish)

    def _finish(self):
        status, text = self.q.close()
        # a sanitizer or an assertion speaks up at the end at the latest
        self.assertIn(status, (0, -signal.SIGTERM, *self.allowed_status()), text)

    def allowed_status(self):
        return ()


class OptionTest(unittest.TestCase):
    """Command lines that are refused."""

    def refused(self, words, *args):
        """One line on stderr, with all these words, and status 1."""
        r = subprocess.run([EMULATOR, "-M", "none", "-accel", "qtest", "-display", "none", *args],
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                           timeout=60 * PATIENCE)
        err = r.stderr.decode()
        self.assertEqual((r.returncode, err.count("\n")), (1, 1), err)
        for w in words:
            self.assertIn(w, err)


def main():
    if not os.path.exists(EMULATOR) and not shutil.which(EMULATOR):
        print("no emulator at " + EMULATOR)
        sys.exit(1)
    unittest.main(verbosity=1)
