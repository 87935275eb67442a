# SPDX-License-Identifier: MIT
"""One virtual machine under test: a headless emulator with QMP, its serial port and screen.

The emulator is build/orrery-system-x86_64, or what ORRERY names (QEMU works too: the options and
QMP are the same).
"""

import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import material
import screen

EMULATOR = os.environ.get("ORRERY", os.path.join(material.TOP, "build", "orrery-system-x86_64"))
ACCEL = os.environ.get("ORRERY_ACCEL", "tcg")
SMP = os.environ.get("ORRERY_SMP")      # vCPUs of guests that want no number themselves
# A slow machine (sanitizers, a busy host) multiplies every time limit.
PATIENCE = float(os.environ.get("ORRERY_PATIENCE", "1"))


class Failed(Exception):
    """The guest did not do what the test expects."""


class Skipped(Exception):
    """This host lacks what the test needs."""


class VM:
    def __init__(self, args, serial=True, accel=True, keep_log=None, mem="128"):
        self.dir = tempfile.mkdtemp(prefix="orrery-vm-")
        self.log = b""              # all that came out of the serial port
        self.proc = self.qmp = self.ser = None
        self.events = []
        self.wide = False
        self.args = [EMULATOR, "-display", "none", "-nodefaults", "-no-user-config", "-vga", "std",
                     "-m", mem, "-qmp", "unix:%s/qmp,server=on,wait=off" % self.dir]
        if accel and "-accel" not in args:      # the first usable one is taken
            self.args += ["-accel", ACCEL]
        if SMP and "-smp" not in args:
            self.args += ["-smp", SMP]
        if serial:
            self.args += ["-serial", "unix:%s/serial,server=on,wait=off" % self.dir]
        self.args += args
        self.serial = serial
        self.keep_log = keep_log

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exc):
        self.stop()

    def start(self):
        self.stderr = open(self.dir + "/stderr", "wb+")
        self.proc = subprocess.Popen(self.args, stdin=subprocess.DEVNULL, stdout=self.stderr,
                                     stderr=self.stderr)
        self.qmp = self.connect("qmp")
        self.qmp_buf = b""
        self.reply()                            # greeting
        self.cmd("qmp_capabilities")
        if self.serial:
            self.ser = self.connect("serial")

    def connect(self, name):
        end = time.monotonic() + 10 * PATIENCE
        while True:
            s = socket.socket(socket.AF_UNIX)
            try:
                s.connect("%s/%s" % (self.dir, name))
                return s
            except OSError:
                s.close()
                if self.proc.poll() is not None or time.monotonic() > end:
                    raise Failed("the emulator did not start: " + self.errors())
                time.sleep(0.02)

    def errors(self):
        self.stderr.flush()
        with open(self.dir + "/stderr", "rb") as f:
            return f.read().decode(errors="replace")[-2000:]

    def stop(self):
        if self.proc and self.proc.poll() is None:
            self.proc.send_signal(signal.SIGTERM)
            try:
                self.proc.wait(5)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait()
        for s in (self.qmp, self.ser):
            if s:
                s.close()
        if self.keep_log:
            with open(self.keep_log, "wb") as f:
                f.write(self.log)
        self.stderr.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    # ---- QMP ----

    def reply(self, timeout=20):
        """Next message; events are put aside by cmd()."""
        end = time.monotonic() + timeout * PATIENCE
        while b"\n" not in self.qmp_buf:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.qmp], [], [], left)[0]:
                raise Failed("no answer on QMP")
            try:
                data = self.qmp.recv(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                raise Failed("the emulator went away (status %s): %s"
                             % (self.wait_exit(5, check=False), self.errors()))
            self.qmp_buf += data
        line, self.qmp_buf = self.qmp_buf.split(b"\n", 1)
        return json.loads(line)

    def cmd(self, name, **arguments):
        msg = {"execute": name}
        if arguments:
            msg["arguments"] = {k.replace("_", "-"): v for k, v in arguments.items()}
        self.qmp.sendall(json.dumps(msg).encode() + b"\n")
        while True:
            r = self.reply()
            if "event" in r:
                self.events.append(r)
            elif "error" in r:
                raise Failed("QMP %s: %s" % (name, r["error"]["desc"]))
            else:
                return r["return"]

    def wait_event(self, name, timeout=30):
        end = time.monotonic() + timeout * PATIENCE
        while True:
            for e in self.events:
                if e["event"] == name:
                    self.events.remove(e)
                    return e
            left = end - time.monotonic()
            if left <= 0:
                raise Failed("event %s did not come" % name)
            r = self.reply(left / PATIENCE)
            if "event" in r:
                self.events.append(r)

    def wait_exit(self, timeout=30, check=True):
        end = time.monotonic() + timeout * PATIENCE
        while self.proc.poll() is None:
            if time.monotonic() > end:
                if check:
                    raise Failed("the emulator did not exit")
                return None
            self.drain(0.05)
        self.drain(0)
        return self.proc.returncode

    # ---- serial port ----

    def drain(self, wait):
        socks = [s for s in (self.ser,) if s]
        if not socks:
            time.sleep(wait)
            return
        if select.select(socks, [], [], wait)[0]:
            data = self.ser.recv(65536)
            if not data:
                self.ser.close()
                self.ser = None
            self.log += data

    def wait_serial(self, pattern, timeout=60, start=0):
        """Wait for a regular expression in the output from position start; gives the match."""
        end = time.monotonic() + timeout * PATIENCE
        rx = re.compile(pattern.encode() if isinstance(pattern, str) else pattern, re.S)
        while True:
            m = rx.search(self.log, start)
            if m:
                return m
            if time.monotonic() > end or (self.proc.poll() is not None and not self.ser):
                raise Failed("serial port: no %r within %g s; last lines:\n%s" % (
                    pattern, timeout * PATIENCE, self.log[-1500:].decode(errors="replace")))
            self.drain(0.2)

    def send(self, text):
        self.ser.sendall(text.encode())

    def shell(self, command, timeout=60):
        """Run a command in the guest's shell on the serial port; gives its output."""
        if not self.wide:               # or the shell's line editor would wrap long commands
            self.wide = True
            self.send("stty cols 4000; dmesg -n 1\n")
            self.wait_serial(r"dmesg -n 1\r.*# ", 20 + timeout)
        start = len(self.log)
        # the marks differ from what the terminal echoes by the quotes
        mark = "%d" % start
        self.send("echo B''%s; %s; echo E''%s:$?\n" % (mark, command, mark))
        # (a late prompt may stand before the first)
        m = self.wait_serial(r"B%s\r\n(.*?)E%s:(\d+)\r" % (mark, mark), timeout, start)
        text = m.group(1).decode(errors="replace").replace("\r", "")
        if m.group(2) != b"0":
            raise Failed("guest command '%s' failed: %s" % (command, text))
        return text

    # ---- screen and keyboard ----

    def picture(self, **which):
        """which: device and head."""
        path = self.dir + "/screen.ppm"
        if os.path.exists(path):
            os.unlink(path)
        self.cmd("screendump", filename=path, **which)
        end = time.monotonic() + 10 * PATIENCE
        while not os.path.exists(path):
            if time.monotonic() > end:
                raise Failed("screendump made no file")
            time.sleep(0.02)
        return screen.Picture.load(path)

    def settled_picture(self):
        """A picture that two dumps in a row agree upon (modes change between refreshes)."""
        last = self.picture()
        for _ in range(50):
            time.sleep(0.05)
            now = self.picture()
            if now.summary() == last.summary():
                return now
            last = now
        raise Failed("the screen does not come to rest")

    def text(self):
        return self.picture().text()

    def wait_file(self, path, done, what, timeout):
        """Wait until done(content of a file the emulator writes)."""
        end = time.monotonic() + timeout * PATIENCE
        while True:
            content = b""
            if os.path.exists(path):
                with open(path, "rb") as f:
                    content = f.read()
            if done(content):
                return content
            if time.monotonic() > end or self.proc.poll() is not None:
                raise Failed("%s did not come within %g s; so far: %r"
                             % (what, timeout * PATIENCE, content[-200:]))
            self.drain(0.05)

    def wait_text(self, pattern, timeout=60):
        end = time.monotonic() + timeout * PATIENCE
        rx = re.compile(pattern, re.S)
        while True:
            self.drain(0)
            t = self.text()
            if rx.search(t):
                return t
            if time.monotonic() > end or self.proc.poll() is not None:
                raise Failed("screen: no %r within %g s; it shows:\n%s"
                             % (pattern, timeout * PATIENCE, t))
            self.drain(0.25)

    def key(self, *names):
        """Press a chord."""
        self.cmd("send-key", keys=[{"type": "qcode", "data": n} for n in names], hold_time=40)
        time.sleep(0.08)

    def type(self, text):
        shifted = {"~": "grave_accent", "_": "minus", "+": "equal", ":": "semicolon", "(": "9",
                   ")": "0", "*": "8", "|": "backslash", "\"": "apostrophe", ">": "dot", "<": "comma",
                   "$": "4", "!": "1", "@": "2", "#": "3", "%": "5", "^": "6", "&": "7", "?": "slash"}
        plain = {" ": "spc", "\n": "ret", "-": "minus", "=": "equal", "/": "slash", ".": "dot",
                 ",": "comma", ";": "semicolon", "'": "apostrophe", "\\": "backslash",
                 "\t": "tab"}
        for ch in text:
            if ch in plain:
                self.key(plain[ch])
            elif ch in shifted:
                self.key("shift", shifted[ch])
            elif ch.isupper():
                self.key("shift", ch.lower())
            else:
                self.key(ch)


class Terminal:
    """The emulator on a terminal of its own, as a person has it."""

    def __init__(self, args):
        self.args = [EMULATOR, "-accel", ACCEL] + args
        self.log = b""

    def __enter__(self):
        self.master, slave = os.openpty()
        self.proc = subprocess.Popen(self.args, stdin=slave, stdout=slave, stderr=slave,
                                     start_new_session=True)
        os.close(slave)
        return self

    def __exit__(self, *exc):
        if self.proc.poll() is None:
            self.proc.kill()
            self.proc.wait()
        os.close(self.master)

    def drain(self, wait):
        if select.select([self.master], [], [], wait)[0]:
            try:
                self.log += os.read(self.master, 65536)
            except OSError:             # the other side has been closed
                time.sleep(wait)

    def wait(self, pattern, timeout):
        """Wait for a regular expression in what came since the last match."""
        end = time.monotonic() + timeout * PATIENCE
        rx = re.compile(pattern.encode(), re.S)
        while True:
            m = rx.search(self.log)
            if m:
                self.log = self.log[m.end():]
                return
            if time.monotonic() > end or self.proc.poll() is not None:
                raise Failed("terminal: no %r within %g s; last lines:\n%s" % (
                    pattern, timeout * PATIENCE, self.log[-1500:].decode(errors="replace")))
            self.drain(0.2)

    def settle(self):
        """A moment for the guest to start what has been typed."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            self.drain(0.1)

    def send(self, text):
        os.write(self.master, text.encode())

    def wait_exit(self, timeout):
        end = time.monotonic() + timeout * PATIENCE
        while self.proc.poll() is None and time.monotonic() < end:
            self.drain(0.1)
        return self.proc.poll()
