#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Devices that come and go while the machine runs: the ACPI registers of PCI hot plugging, the
events, SCSI disks, buses that take nothing."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from libqtest import Failed, TestCase, main                         # noqa: E402

UP, DOWN, EJECT, REMOVABLE, SELECT = 0xae00, 0xae04, 0xae08, 0xae0c, 0xae10
GPE_STATUS = 0xafe0
DRIVES = ["-drive", "if=none,id=d0,driver=null-co,size=4M", "-drive", "if=none,id=d1,driver=null-co,size=4M"]


class HotplugTest(TestCase):
    args = ["-M", "pc", "-m", "16", "-vga", "std", "-device", "virtio-scsi-pci,id=s0,addr=6"] + DRIVES

    def add(self, **kw):
        self.q.qmp("device_add", **kw)

    def test_add_and_eject(self):
        q = self.q
        self.assertEqual(q.inl(UP), 0)
        self.add(driver="virtio-blk-pci", drive="d0", id="v0", addr="9")
        self.assertEqual(q.inb(GPE_STATUS), 2)
        self.assertEqual(q.inl(UP), 1 << 9)
        self.assertEqual(q.inl(UP), 0)                  # reading took it
        self.assertEqual(q.pci_readw(9 << 3, 0), 0x1af4)
        q.outb(GPE_STATUS, 2)
        q.qmp("device_del", id="v0")
        self.assertEqual(q.inb(GPE_STATUS), 2)
        self.assertEqual((q.inl(UP), q.inl(DOWN)), (0, 1 << 9))
        self.assertEqual(q.pci_readw(9 << 3, 0), 0x1af4)
        q.outl(EJECT, 1 << 9)
        event = q.wait_event("DEVICE_DELETED")["data"]
        self.assertEqual(event["device"], "v0")
        self.assertTrue(event["path"].endswith("/v0"))
        self.assertEqual(q.inl(DOWN), 0)
        self.assertEqual(q.pci_readw(9 << 3, 0), 0xffff)
        # the -drive went with its device, a node stays
        self.assertEqual([b["device"] for b in q.qmp("query-block") if b["device"] in ("d0", "d1")], ["d1"])
        q.qmp("blockdev-add", driver="null-co", node_name="n0", size=4 << 20)
        self.add(driver="virtio-blk-pci", drive="n0", id="v1", addr="9")
        self.assertRaises(Failed, q.qmp, "blockdev-del", node_name="n0")
        q.qmp("device_del", id="v1")
        q.outl(EJECT, 1 << 9)
        q.wait_event("DEVICE_DELETED")
        q.qmp("blockdev-del", node_name="n0")

    def test_reset_ejects(self):
        q = self.q
        self.add(driver="virtio-blk-pci", drive="d0", id="v0")
        q.qmp("device_del", id="v0")
        q.reset()
        self.assertEqual(q.wait_event("DEVICE_DELETED")["data"]["device"], "v0")
        self.assertEqual((q.inl(UP), q.inl(DOWN)), (0, 0))

    def test_removable(self):
        q = self.q
        slots = q.inl(REMOVABLE)
        self.assertEqual(slots & 7, 0)                  # host bridge, south bridge, VGA
        self.assertEqual(slots >> 6 & 1, 1)
        q.outl(EJECT, 7)
        self.assertEqual(q.pci_readw(8, 0), 0x8086)
        q.outl(SELECT, 1)
        self.assertEqual(q.inl(REMOVABLE), 0)
        q.outl(EJECT, ~0 & 0xffffffff)
        self.assertEqual(q.pci_readw(6 << 3, 0), 0x1af4)

    def test_adapter_with_disks(self):
        """All devices below the one that goes are reported, first the lower ones."""
        q = self.q
        self.add(driver="scsi-hd", drive="d0", id="h0", bus="s0.0")
        self.add(driver="scsi-hd", drive="d1", id="h1", bus="s0.0")
        q.qmp("device_del", id="s0")
        q.outl(EJECT, 1 << 6)
        gone = [q.wait_event("DEVICE_DELETED")["data"]["device"] for _ in range(3)]
        self.assertEqual(sorted(gone[:2]) + gone[2:], ["h0", "h1", "s0"])

    def test_scsi(self):
        q = self.q
        self.add(driver="scsi-hd", drive="d0", id="h0", bus="s0.0")
        q.qmp("device_del", id="h0")                    # at once
        self.assertEqual(q.wait_event("DEVICE_DELETED")["data"]["device"], "h0")
        with self.assertRaisesRegex(Failed, "no drive 'd0'"):       # it went with the device
            self.add(driver="scsi-hd", drive="d0", id="h0", bus="s0.0", lun=3)
        self.add(driver="scsi-hd", drive="d1", id="h0", bus="s0.0", lun=3)

    def test_refused(self):
        q = self.q
        for what, kw in (("does not support hotplugging", {"driver": "ide-hd", "drive": "d0"}),
                         ("does not support hotplugging", {"driver": "isa-debug-exit"}),
                         ("is in use", {"driver": "virtio-blk-pci", "drive": "d0", "addr": "6"})):
            with self.assertRaisesRegex(Failed, what):
                self.add(id="x", **kw)
        with self.assertRaisesRegex(Failed, "not found"):
            q.qmp("device_del", id="x")

    def test_hostile(self):
        q = self.q
        self.add(driver="virtio-blk-pci", drive="d0", id="v0", addr="9")
        for port in range(UP, UP + 20):
            q.outb(port, 0xff)
            q.inb(port)
        q.outl(SELECT, 0)
        q.outl(EJECT, 0xffffffff)
        self.assertEqual(q.pci_readw(9 << 3, 0), 0xffff)
        self.assertEqual(q.pci_readw(8, 0), 0x8086)


if __name__ == "__main__":
    main()
