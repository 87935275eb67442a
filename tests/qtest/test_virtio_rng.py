#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""virtio-rng and the objects it reads."""

import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from libqtest import QTest, TestCase, main, patiently               # noqa: E402
from virtio import EVENT_IDX, INDIRECT, PACKED, WRITE, VirtIO       # noqa: E402

DEVFN = 0x20
DEVICE = "virtio-rng-pci,addr=4,packed=on"


class Builtin(TestCase):
    args = ["-M", "pc", "-m", "16", "-object", "rng-builtin,id=r", "-device", DEVICE + ",rng=r"]

    def test_identity(self):
        self.assertEqual(self.q.pci_readl(DEVFN, 0), 0x10051af4)
        self.assertEqual(self.q.pci_readw(DEVFN, 0x0a), 0x00ff)

    def test_bytes(self):
        for features, legacy in ((0, False), (PACKED, False), (INDIRECT | EVENT_IDX, False), (0, True)):
            dev = VirtIO(self.q, DEVFN, legacy)
            dev.setup(features)
            a, n = dev.run(0, [], [64, 64], indirect=bool(features & INDIRECT))
            b, m = dev.run(0, [], [128])
            self.assertTrue(1 <= n <= 128 and 1 <= m <= 128)
            self.assertNotEqual(a[:n], bytes(n))
            self.assertNotEqual(a[:16], b[:16])

    def test_empty_buffer(self):
        dev = VirtIO(self.q, DEVFN)
        dev.setup()
        self.assertEqual(dev.run(0, [b"no room"], [])[1], 0)


class FromFile(unittest.TestCase):
    def machine(self, path, *more):
        q = QTest(["-M", "pc", "-m", "16", "-object", "rng-random,id=r,filename=" + path,
                   "-device", ",".join((DEVICE, "rng=r") + more)])
        self.addCleanup(q.close)
        return q

    def test_what_the_file_has(self):
        with tempfile.NamedTemporaryFile() as f:
            f.write(bytes(range(200)))
            f.flush()
            q = self.machine(f.name)
            dev = VirtIO(q, DEVFN)
            dev.setup()
            got, n = dev.run(0, [], [16])
            self.assertEqual(got[:n], bytes(range(n)))

    def waiting(self):
        """A request of 16 bytes at a pipe that is empty: machine, driver, pipe, buffer."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = os.path.join(folder.name, "pipe")
        os.mkfifo(path)
        pipe = os.open(path, os.O_RDWR)
        self.addCleanup(os.close, pipe)
        q = self.machine(path)
        dev = VirtIO(q, DEVFN)
        dev.setup()
        at = dev.alloc(16)
        dev.queues[0].add([(at, 16, WRITE)])
        dev.kick(0)
        return q, dev, pipe, at

    def test_slow_source(self):
        """A pipe that nobody writes to: the request waits, the machine does not."""
        q, dev, pipe, at = self.waiting()
        self.assertEqual(q.readw(dev.queues[0].device + 2), 0)
        os.write(pipe, b"0123456789")
        self.assertEqual(dev.queues[0].get(), 10)
        self.assertEqual(q.read(at, 10), b"0123456789")

    def test_quota(self):
        with tempfile.NamedTemporaryFile() as f:
            f.write(bytes(range(200)))
            f.flush()
            q = self.machine(f.name, "max-bytes=10", "period=1000")
            dev = VirtIO(q, DEVFN)
            dev.setup()
            self.assertEqual(dev.run(0, [], [64])[1], 10)
            at = dev.alloc(64)
            dev.queues[0].add([(at, 64, WRITE)])
            dev.kick(0)
            q.clock_step(999000000)
            self.assertEqual(q.readw(dev.queues[0].device + 2), 1)
            q.clock_step(2000000)
            self.assertEqual(dev.queues[0].get(), 10)

    def test_reset_while_waiting(self):
        q, dev, pipe, at = self.waiting()
        q.reset()
        os.write(pipe, b"lost")
        for _ in patiently(1):
            self.assertEqual(q.read(at, 16), bytes(16))


if __name__ == "__main__":
    main()
