# SPDX-License-Identifier: MIT
"""A client of the machine protocol at the level of bytes, for tests that misbehave on purpose.
For ordinary commands use QTest.qmp of tests/qtest/libqtest.py."""

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
sys.path[0:0] = [os.path.join(TOP, "tests", "qtest"), os.path.join(TOP, "tests", "guest")]
EMULATOR = os.environ.get("ORRERY", os.path.join(TOP, "build", "orrery-system-x86_64"))
if os.path.exists(EMULATOR):
    EMULATOR = os.path.abspath(EMULATOR)
PATIENCE = float(os.environ.get("ORRERY_PATIENCE", "1"))


class Client:
    """One connection to a unix socket."""

    def __init__(self, path, negotiate=True, alive=None):
        end = time.monotonic() + 20 * PATIENCE
        while True:
            self.sock = socket.socket(socket.AF_UNIX)
            try:
                self.sock.connect(path)
                break
            except OSError:
                self.sock.close()
                if time.monotonic() > end or (alive and not alive()):
                    raise
                time.sleep(0.02)
        self.buf = b""
        self.events = []
        self.greeting = self.message()
        if negotiate:
            self.call("qmp_capabilities")

    def line(self, timeout=20):
        end = time.monotonic() + timeout * PATIENCE
        while b"\n" not in self.buf:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.sock], [], [], left)[0]:
                raise TimeoutError("nothing came")
            data = self.sock.recv(1 << 16)
            if not data:
                raise EOFError
            self.buf += data
        line, self.buf = self.buf.split(b"\n", 1)
        return line + b"\n"

    def message(self, timeout=20):
        return json.loads(self.line(timeout))

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode())

    def reply(self):
        """The next message that is no event."""
        while True:
            m = self.message()
            if "event" not in m:
                return m
            self.events.append(m)

    def raw(self, text):
        self.send(text)
        return self.reply()

    def ask(self, command, **arguments):
        m = {"execute": command}
        if arguments:
            m["arguments"] = {k.replace("_", "-"): v for k, v in arguments.items()}
        return self.raw(json.dumps(m) + "\n")

    def call(self, command, **arguments):
        r = self.ask(command, **arguments)
        assert "return" in r, (command, arguments, r)
        return r["return"]

    def error(self, command, **arguments):
        r = self.ask(command, **arguments)
        assert "error" in r, (command, arguments, r)
        return r["error"]

    def hmp(self, line):
        return self.call("human-monitor-command", command_line=line).replace("\r\n", "\n")

    def wait_event(self, name, timeout=20):
        end = time.monotonic() + timeout * PATIENCE
        while True:
            for e in self.events:
                if e["event"] == name:
                    self.events.remove(e)
                    return e
            m = self.message(max(end - time.monotonic(), 0.01) / PATIENCE)
            if "event" in m:
                self.events.append(m)

    def close(self):
        self.sock.close()


class Emulator:
    """args may name files in a folder of its own as DIR/name; prepare(folder) makes them."""

    def __init__(self, args, sockets=("qmp",), prepare=None):
        self.dir = tempfile.mkdtemp(prefix="orrery-qmp-")
        if prepare:
            prepare(self.dir)
        self.clients, self.closed = [], None
        self.errors_file = open(self.dir + "/stderr", "w+b")
        self.command = [EMULATOR, "-display", "none"]
        for s in sockets:
            self.command += ["-qmp", "unix:%s/%s,server=on,wait=off" % (self.dir, s)]
        self.command += [a.replace("DIR", self.dir) for a in args]
        # in its own folder: commands with odd arguments write files with odd names
        self.proc = subprocess.Popen(self.command, cwd=self.dir, stdin=subprocess.DEVNULL,
                                     stdout=self.errors_file, stderr=self.errors_file)

    def client(self, name="qmp", negotiate=True):
        try:
            self.clients.append(Client("%s/%s" % (self.dir, name), negotiate,
                                       lambda: self.proc.poll() is None))
            return self.clients[-1]
        except (OSError, EOFError):
            raise AssertionError("no connection: " + self.errors())

    def errors(self):
        self.errors_file.flush()
        with open(self.dir + "/stderr", "rb") as f:
            return f.read().decode(errors="replace")

    def wait(self, timeout=20):
        return self.proc.wait(timeout * PATIENCE)

    def close(self):
        if self.closed:
            return self.closed
        if self.proc.poll() is None:
            self.proc.send_signal(signal.SIGTERM)
            try:
                self.proc.wait(20 * PATIENCE)
            except subprocess.TimeoutExpired:
                self.proc.kill()
        status = self.proc.wait()
        for c in self.clients:
            c.close()
        text = self.errors()
        self.errors_file.close()
        shutil.rmtree(self.dir, ignore_errors=True)
        self.closed = status, text
        return self.closed


class TestCase(unittest.TestCase):
    args = ["-M", "none", "-accel", "qtest"]
    sockets = ("qmp",)

    def setUp(self):
        self.vm = Emulator(self.args, self.sockets, self.prepare)
        self.addCleanup(self._finish)
        self.c = self.vm.client(self.sockets[0])

    def prepare(self, folder):
        """Make what args refer to as DIR/name."""

    def _finish(self):
        status, text = self.vm.close()
        self.assertEqual(status, 0, text)


def main():
    if not os.path.exists(EMULATOR) and not shutil.which(EMULATOR):
        print("no emulator at " + EMULATOR)
        sys.exit(1)
    unittest.main(verbosity=1)
