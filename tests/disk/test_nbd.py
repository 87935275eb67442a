#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The NBD server (orrery-nbd, and that of a running machine) with nbdinfo, nbdcopy and qemu-img;
clients that don't keep to the protocol; the client and the http driver.

Environment: DISK_CLIENTS (how many hostile clients), DISK_SEED."""

import http.server
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "qmp"))
from qmptest import EMULATOR, PATIENCE, Emulator    # noqa: E402

IMG = os.environ.get("ORRERY_IMG", os.path.join(os.path.dirname(EMULATOR), "orrery-img"))
NBD = os.path.join(os.path.dirname(IMG), "orrery-nbd")
QEMU, INFO, COPY = (shutil.which(x) for x in ("qemu-img", "nbdinfo", "nbdcopy"))
SEED = int(os.environ.get("DISK_SEED", random.randrange(1 << 30)))
CLIENTS = int(os.environ.get("DISK_CLIENTS", 60))
SIZE = 4 << 20


def run(*args):
    p = subprocess.run([str(a) for a in args], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       timeout=60 * PATIENCE)
    return p.returncode, p.stdout.decode(errors="replace"), p.stderr.decode(errors="replace")


class Nbd(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="orrery-nbd-")
        self.random = random.Random(SEED)
        self.servers = []
        with open(self.dir + "/disk.raw", "wb") as f:
            f.truncate(SIZE)
            for at in range(0, SIZE // 2, 65536):
                f.seek(at)
                f.write(self.random.randbytes(30000))
        self.ok(IMG, "convert", "-f", "raw", "-O", "qcow2", self.path("disk.raw"), self.path("d.qcow2"))

    def tearDown(self):
        for p in self.servers:
            if p.poll() is None:
                p.send_signal(signal.SIGTERM)
            self.assertEqual(p.wait(20 * PATIENCE), 0)
        shutil.rmtree(self.dir)

    def path(self, name):
        return os.path.join(self.dir, name)

    def uri(self, export="", name="s"):
        return "nbd+unix:///%s?socket=%s" % (export, self.path(name))

    def ok(self, *args):
        status, out, err = run(*args)
        self.assertEqual(status, 0, (args, SEED, out, err))
        return out

    def serve(self, *args, name="s"):
        p = subprocess.Popen([NBD, "-k", self.path(name), *args])
        self.servers.append(p)
        end = time.monotonic() + 20 * PATIENCE
        while not os.path.exists(self.path(name)):
            self.assertIsNone(p.poll())
            self.assertLess(time.monotonic(), end)
            time.sleep(0.02)
        if "-e" in args:
            self.connect().close()
        return p

    def connect(self):
        end = time.monotonic() + 20 * PATIENCE
        while True:                         # the name is there a moment before the ear
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(20 * PATIENCE)
            try:
                s.connect(self.path("s"))
                return s
            except ConnectionRefusedError:
                s.close()
                self.assertLess(time.monotonic(), end)
                time.sleep(0.01)

    def go(self, s, export=b""):
        """Negotiates as a client should."""
        s.sendall(struct.pack(">I", 3))
        s.sendall(struct.pack(">QII", 0x49484156454F5054, 7, 6 + len(export))
                  + struct.pack(">I", len(export)) + export + b"\0\0")
        while True:
            _, _, kind, n = struct.unpack(">QIII", self.recv(s, 20))
            self.recv(s, n)
            if kind == 1 or kind >> 31:
                return kind

    def recv(self, s, n):
        data = b""
        while len(data) < n:
            part = s.recv(n - len(data))
            if not part:
                raise EOFError
            data += part
        return data


class Server(Nbd):
    @unittest.skipUnless(INFO and COPY, "nbdinfo and nbdcopy are not installed")
    def test_tools(self):
        self.serve("-t", "-e", "8", "-A", "-x", "name", "-D", "words", "-f", "qcow2", self.path("d.qcow2"))
        info = self.ok(INFO, self.uri("name"))
        for word in ("words", "base:allocation", "qemu:allocation-depth", "can_multi_conn: true",
                     "can_zero: true", "export-size: %d" % SIZE):
            self.assertIn(word, info)
        self.assertIn("name", self.ok(INFO, "--list", self.uri()))
        self.assertIn("hole", self.ok(INFO, "--map", self.uri("name")))
        self.assertNotEqual(run(INFO, self.uri("other"))[0], 0)
        self.ok(COPY, self.uri("name"), self.path("copy.raw"))
        self.ok(IMG, "compare", "-f", "raw", "-F", "raw", self.path("copy.raw"), self.path("disk.raw"))
        with open(self.path("new.raw"), "wb") as f:
            f.write(self.random.randbytes(1 << 20) + bytes(3 << 20))
        self.ok(COPY, self.path("new.raw"), self.uri("name"))
        if QEMU:
            self.ok(QEMU, "compare", "-f", "raw", "-F", "raw", self.uri("name"), self.path("new.raw"))

    def test_leaves_with_the_last_client(self):
        p = self.serve("-r", "-f", "raw", self.path("disk.raw"))
        s = self.connect()
        s.recv(18)
        s.close()
        self.assertEqual(p.wait(20 * PATIENCE), 0)
        self.assertFalse(os.path.exists(self.path("s")))

    def test_fork(self):
        self.ok(NBD, "--fork", "--pid-file", self.path("pid"), "-t", "-k", self.path("s"), "-f", "raw",
                self.path("disk.raw"))
        self.connect().close()
        with open(self.path("pid")) as f:
            os.kill(int(f.read()), signal.SIGTERM)
        status, _, err = run(NBD, "--fork", "-k", self.path("s"), self.path("none"))
        self.assertEqual(status, 1)
        self.assertIn("No such file", err)

    # ---- hostile clients ----

    def hostile(self, s):
        r = self.random
        self.recv(s, 18)
        act = r.randrange(6)
        if act == 0:
            s.sendall(r.randbytes(r.randrange(1, 200)))
        elif act == 1:                      # options with odd lengths
            s.sendall(struct.pack(">I", r.choice([1, 3, 0xffffffff])))
            for _ in range(r.randrange(1, 20)):
                data = r.randbytes(r.randrange(0, 40))
                said = r.choice([len(data), len(data), 0xffffffff, 70000, 5])
                s.sendall(struct.pack(">QII", 0x49484156454F5054, r.randrange(0, 14), said) + data)
        elif act == 2:                      # contexts whose counts lie
            s.sendall(struct.pack(">I", 3) + struct.pack(">QII", 0x49484156454F5054, 8, 0))
            body = struct.pack(">III", r.choice([0, 1, 0xffffffff]), r.choice([0, 1, 0xffffffff]),
                               r.choice([0, 4, 0xffffffff])) + r.randbytes(r.randrange(0, 20))
            s.sendall(struct.pack(">QII", 0x49484156454F5054, r.choice([9, 10]), len(body)) + body)
        else:
            self.go(s)
            for _ in range(r.randrange(1, 30)):
                magic = 0x25609513 if r.randrange(20) else r.getrandbits(32)
                off = r.choice([0, 512, SIZE - 1, SIZE, SIZE + 1, (1 << 64) - 1, (1 << 63), r.randrange(SIZE)])
                length = r.choice([0, 1, 512, 65536, SIZE, SIZE + 1, 0xffffffff, 33 << 20, 32 << 20])
                kind = r.choice([0, 0, 0, 2, 3, 4, 5, 6, 7, 8, 77]) if r.randrange(8) else 1
                s.sendall(struct.pack(">IHHQQI", magic, r.choice([0, 0, 1, 2, 4, 8, 16, 0xffff]), kind,
                                      r.getrandbits(64), off, length))
        s.settimeout(0.05)
        try:
            while r.randrange(10) and s.recv(1 << 16):
                pass
        except OSError:
            pass

    def test_hostile_clients(self):
        p = self.serve("-t", "-e", "0", "-r", "-f", "qcow2", self.path("d.qcow2"))
        keep = []
        for i in range(CLIENTS):
            s = self.connect()
            try:
                self.hostile(s)
            except (OSError, EOFError):
                pass
            keep.append(s)                  # some stay, silent
            if i % 3:
                keep.pop().close()
            self.assertIsNone(p.poll(), "seed %d" % SEED)
        s = self.connect()
        self.recv(s, 18)
        self.assertEqual(self.go(s), 1)
        s.sendall(struct.pack(">IHHQQI", 0x25609513, 0, 0, 7, 0, 4096))
        self.assertEqual(struct.unpack(">IIQ", self.recv(s, 16)), (0x67446698, 0, 7))
        with open(self.path("disk.raw"), "rb") as f:
            self.assertEqual(self.recv(s, 4096), f.read(4096))
        with open("/proc/%d/status" % p.pid) as f:
            peak = int(f.read().split("VmHWM:")[1].split()[0])
        self.assertLess(peak, 1 << 20)
        for s in keep + [s]:
            s.close()


class Killed(Nbd):
    """kill -9 at any moment: what was written with FUA and answered is there, the image sound."""

    def once(self, fmt):
        image = self.path("k." + fmt)
        self.ok(IMG, "create", "-q", "-f", fmt, image, "16M")
        p = self.serve("-t", "-f", fmt, image)
        s = self.connect()
        self.recv(s, 18)
        self.assertEqual(self.go(s), 1)
        records, end = {}, self.random.randrange(1, 120)
        for i in range(end + 20):
            sector = self.random.randrange(32768)
            data = struct.pack(">Q", i + 1) * 64
            if i == end:
                p.kill()
            try:
                s.sendall(struct.pack(">IHHQQI", 0x25609513, 1, 1, i, sector * 512, 512) + data)
                reply = self.recv(s, 16)
            except (OSError, EOFError):
                records.pop(sector, None)   # done or not
                break
            self.assertEqual(reply, struct.pack(">IIQ", 0x67446698, 0, i))
            records[sector] = data
        s.close()
        p.wait()
        self.servers.remove(p)
        os.remove(self.path("s"))
        if fmt == "qcow2":
            self.assertIn(run(IMG, "check", "-q", image)[0], (0, 3))       # leaks at most
        elif fmt in ("vdi", "vmdk"):
            self.ok(IMG, "check", "-q", image)
        self.ok(IMG, "convert", "-f", fmt, "-O", "raw", image, self.path("out"))
        with open(self.path("out"), "rb") as f:
            for sector, data in records.items():
                f.seek(sector * 512)
                self.assertTrue(f.read(512) == data, "%s: sector %d, seed %d" % (fmt, sector, SEED))

    def test_killed(self):
        for _ in range(int(os.environ.get("DISK_KILLS", 2))):
            for fmt in ("qcow2", "vmdk", "vdi", "vpc", "raw"):
                self.once(fmt)


class Machine(Nbd):
    def test_exports(self):
        vm = Emulator(["-machine", "none", "-drive", "if=none,id=disk0,format=qcow2,file=" +
                       self.path("d.qcow2")])
        c = vm.client()
        addr = {"type": "unix", "data": {"path": self.path("s")}}
        c.error("nbd-server-add", device="disk0")
        c.call("nbd-server-start", addr=addr)
        c.error("nbd-server-start", addr=addr)
        c.call("nbd-server-add", device="disk0", writable=True)
        c.error("nbd-server-add", device="disk0")
        node = c.call("query-block")[0]["inserted"]["node-name"]
        c.call("block-export-add", type="nbd", id="e1", node_name=node, name="second")
        self.assertEqual([e["id"] for e in c.call("query-block-exports")], ["disk0", "e1"])
        if QEMU:
            self.ok(QEMU, "compare", "-f", "raw", "-F", "raw", self.uri("disk0"), self.path("disk.raw"))
        # while it is written by a client the disk is copied: the export follows to the copy
        c.call("drive-mirror", device="disk0", target=self.path("copy.qcow2"), sync="full",
               format="qcow2")
        c.wait_event("BLOCK_JOB_READY")
        with open(self.path("new.raw"), "wb") as f:
            f.write(self.random.randbytes(2 << 20) + bytes(2 << 20))
        if COPY:
            self.ok(COPY, "--flush", self.path("new.raw"), self.uri("disk0"))
        c.call("block-job-complete", device="disk0")
        c.wait_event("BLOCK_JOB_COMPLETED")
        c.call("block-export-del", id="e1")
        c.wait_event("BLOCK_EXPORT_DELETED")
        c.error("nbd-server-remove", name="second")
        s = self.connect()
        c.call("nbd-server-stop")
        s.close()
        self.assertEqual(c.call("query-block-exports"), [])
        self.assertEqual(vm.close()[0], 0)
        if COPY:
            self.ok(IMG, "compare", "-F", "raw", self.path("copy.qcow2"), self.path("new.raw"))


@unittest.skipIf("without" in run(IMG, "info", "nbd:unix:/none")[2], "built without libnbd")
class Client(Nbd):
    def test_reads_and_writes(self):
        self.serve("-t", "-e", "0", "-f", "qcow2", self.path("d.qcow2"))
        for name in (self.uri(), "nbd:unix:" + self.path("s")):
            self.ok(IMG, "compare", "-f", "raw", "-F", "raw", name, self.path("disk.raw"))
        self.ok(IMG, "compare", "--image-opts",
                "driver=raw,file.driver=nbd,file.server.type=unix,file.server.path=" + self.path("s"),
                "driver=raw,file.driver=file,file.filename=" + self.path("disk.raw"))
        with open(self.path("new.raw"), "wb") as f:
            f.write(bytes(1 << 20) + self.random.randbytes(2 << 20) + bytes(1 << 20))
        self.ok(IMG, "convert", "-n", "-f", "raw", "-O", "raw", self.path("new.raw"), self.uri())
        self.ok(IMG, "compare", "-f", "raw", "-F", "raw", self.uri(), self.path("new.raw"))
        status, _, err = run(IMG, "info", "nbd:unix:" + self.path("none"))
        self.assertEqual(status, 1)
        self.assertIn("Could not open", err)


class Ranges(http.server.BaseHTTPRequestHandler):
    """Just enough of byte ranges."""
    ranges = True

    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self.answer(False)

    def do_GET(self):
        self.answer(True)

    def answer(self, body):
        with open(self.server.file, "rb") as f:
            data = f.read()
        part = self.headers.get("Range")
        self.send_response(206 if part and body else 200)
        if part and body:
            a, b = part.split("=")[1].split("-")
            data = data[int(a):int(b) + 1]
        if self.server.ranges:
            self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            self.wfile.write(data)


@unittest.skipIf("without" in run(IMG, "info", "http://127.0.0.1:1/x")[2], "built without libcurl")
class Http(Nbd):
    def test_http(self):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Ranges)
        server.file, server.ranges = self.path("d.qcow2"), True
        t = threading.Thread(target=server.serve_forever)
        t.start()
        try:
            url = "http://127.0.0.1:%d/d.qcow2" % server.server_port
            self.ok(IMG, "compare", "-F", "raw", url, self.path("disk.raw"))
            self.ok(IMG, "convert", "-O", "raw", url, self.path("copy.raw"))
            server.ranges = False
            status, _, err = run(IMG, "info", url)
            self.assertEqual(status, 1)
            self.assertIn("range", err)
        finally:
            server.shutdown()
            t.join()
            server.server_close()
        self.assertEqual(run(IMG, "info", url)[0], 1)


if __name__ == "__main__":
    unittest.main()
