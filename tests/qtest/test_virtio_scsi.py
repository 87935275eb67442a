#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""virtio-scsi with disks and a CD, driven through split and packed rings: commands, addresses,
task management, events, and requests that make no sense."""

import os
import random
import struct
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from libqtest import QTest, TestCase, main                          # noqa: E402
from ata import file_bytes, image, numbered                         # noqa: E402
import virtio                                                       # noqa: E402
from virtio import EVENT_IDX, INDIRECT, PACKED, WRITE, VirtIO       # noqa: E402

DEVFN = 0x20
SIZE = 4 << 20
HOTPLUG, CHANGE = 1 << 1, 1 << 2
OK, OVERRUN, ABORTED, BAD_TARGET = 0, 1, 2, 3
GOOD, CHECK = 0, 2
REQUESTS = 2                    # the first queue for commands


def lun(target, unit=0):
    return bytes([1, target, 0x40 | unit >> 8, unit & 0xff, 0, 0, 0, 0])


def command(dev, cdb, target=0, unit=0, out=b"", room=0, indirect=False, n=REQUESTS, address=None):
    """(response, status, data, (sense key, additional code))"""
    head = (address or lun(target, unit)) + struct.pack("<QBBB", 77, 0, 0, 0) + bytes(cdb).ljust(32, b"\0")
    answer, _ = dev.run(n, [head] + ([out] if out else []), [108] + ([room] if room else []), indirect)
    sense_len, residual, _, status, response = struct.unpack("<IIHBB", answer[:12])
    sense = answer[12:12 + sense_len]
    data = answer[108:len(answer) - residual] if room else b""
    return response, status, data, (sense[2] & 15, sense[12]) if sense else None


class ScsiTest(TestCase):
    WAYS = [("split", 0, False), ("indirect", INDIRECT | EVENT_IDX, False), ("packed", PACKED, False),
            ("packed, indirect", PACKED | INDIRECT | EVENT_IDX, False), ("legacy", INDIRECT, True)]

    def setUp(self):
        self.disk = image(SIZE, numbered)
        self.addCleanup(self.disk.close)
        self.args = ["-M", "pc", "-m", "16", "-device", "virtio-scsi-pci,id=s0,addr=4,packed=on,num_queues=2",
                     "-drive", "if=none,id=d0,format=raw,discard=unmap,file=" + self.disk.name,
                     "-device", "scsi-hd,drive=d0,serial=SN1,wwn=0x5000c50015ea71ac",
                     "-drive", "if=none,id=d1,driver=null-co,size=1M",
                     "-device", "scsi-hd,drive=d1,scsi-id=0,lun=5",
                     "-drive", "if=none,id=d2,driver=null-co,size=1M",
                     "-device", "scsi-cd,drive=d2,scsi-id=3"]
        super().setUp()

    def start(self, features=0, legacy=False):
        dev = VirtIO(self.q, DEVFN, legacy)
        dev.setup(features | HOTPLUG | CHANGE, queues=(0, 1, 2, 3))
        for target, unit in ((0, 0), (0, 5), (3, 0)):       # unit attentions of the reset
            for _ in range(3):
                command(dev, [0], target, unit)
        return dev

    def ways(self):
        for name, features, legacy in self.WAYS:
            with self.subTest(name):
                yield self.start(features, legacy), bool(features & INDIRECT)

    def test_inquiry(self):
        dev = self.start()
        response, status, data, _ = command(dev, [0x12, 0, 0, 0, 96], room=96)
        self.assertEqual((response, status, data[0], data[8:16]), (OK, GOOD, 0, b"QEMU    "))
        self.assertEqual(command(dev, [0x12, 0, 0, 0, 36], 3, room=36)[2][0], 5)
        self.assertEqual(command(dev, [0x12, 1, 0x80, 0, 64], room=64)[2][4:], b"SN1")
        self.assertIn(bytes.fromhex("5000c50015ea71ac"), command(dev, [0x12, 1, 0x83, 0, 255], room=255)[2])

    def test_addresses(self):
        dev = self.start()
        self.assertEqual(command(dev, [0], 7)[0], BAD_TARGET)
        self.assertEqual(command(dev, [0], address=b"\2" + bytes(7))[0], BAD_TARGET)
        self.assertEqual(command(dev, [0], unit=1)[1:], (CHECK, b"", (5, 0x25)))
        self.assertEqual(command(dev, [0x12, 0, 0, 0, 36], unit=1, room=36)[2][0], 0x7f)
        data = command(dev, [0xa0, 0, 0, 0, 0, 0, 0, 0, 1, 0], room=256)[2]
        self.assertEqual(data, struct.pack(">I", 16) + bytes(4) + bytes(8) + b"\0\5" + bytes(6))

    def test_read_write(self):
        for k, (dev, indirect) in enumerate(self.ways()):
            read10 = [0x28, 0, 0, 0, 0, 9, 0, 0, 3, 0]
            self.assertEqual(command(dev, read10, room=1536, indirect=indirect)[:3],
                             (OK, GOOD, numbered(9) + numbered(10) + numbered(11)))
            data = bytes([k + 1]) * 1024
            self.assertEqual(command(dev, [0x8a] + [0] * 8 + [100 + k, 0, 0, 0, 2], out=data,
                                     indirect=indirect, n=3)[:2], (OK, GOOD))
            command(dev, [0x35])
            self.assertEqual(file_bytes(self.disk, (100 + k) * 512, 1024), data)

    def test_bounds(self):
        dev = self.start()
        last = struct.pack(">I", SIZE // 512 - 1)
        self.assertEqual(command(dev, b"\x28\0" + last + b"\0\0\1\0", room=512)[1], GOOD)
        self.assertEqual(command(dev, b"\x28\0" + last + b"\0\0\2\0", room=1024)[3], (5, 0x21))
        self.assertEqual(command(dev, b"\x88\0" + b"\xff" * 8 + bytes([0, 0, 0, 1, 0, 0]), room=512)[3], (5, 0x21))
        self.assertEqual(command(dev, [0x28, 0, 0, 0, 0, 0, 0, 0, 8, 0], room=512)[0], OVERRUN)
        self.assertEqual(command(dev, [0xff])[3], (5, 0x20))

    def test_unmap_and_write_same(self):
        dev = self.start()
        params = struct.pack(">HHI", 22, 16, 0) + struct.pack(">QII", 64, 8, 0)
        self.assertEqual(command(dev, [0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0], out=params)[:2], (OK, GOOD))
        stats = {s["device"]: s["stats"] for s in self.q.qmp("query-blockstats")}
        self.assertEqual(stats["d0"]["unmap_bytes"], 4096)
        self.assertEqual(command(dev, [0x41, 0, 0, 0, 0, 20, 0, 0, 4, 0], out=b"\x44" * 512)[:2], (OK, GOOD))
        self.assertEqual(command(dev, [0x28, 0, 0, 0, 0, 19, 0, 0, 6, 0], room=3072)[2],
                         numbered(19) + b"\x44" * 2048 + numbered(24))

    def test_reservations(self):
        """There is one initiator: reserving works and keeps nobody out."""
        dev = self.start()
        for opcode in (0x16, 0x17):
            self.assertEqual(command(dev, [opcode])[:2], (OK, GOOD))

    def test_modes(self):
        dev = self.start()
        page = command(dev, [0x1a, 8, 8, 0, 255], room=255)[2]
        self.assertEqual(page[4:7], bytes([8, 18, 4]))
        select = bytes(4) + bytes([8, 18, 0]) + page[7:24]
        self.assertEqual(command(dev, [0x15, 0x10, 0, 0, len(select)], out=select)[:2], (OK, GOOD))
        self.assertEqual(command(dev, [0x1a, 8, 8, 0, 255], room=255)[2][6], 0)
        self.assertEqual(command(dev, [0x1a, 8, 0x3b, 0, 255], room=255)[3], (5, 0x24))

    def test_cdrom(self):
        dev = self.start()
        self.assertEqual(command(dev, [0x25], 3, room=8)[2], struct.pack(">II", 511, 2048))
        self.assertEqual(command(dev, [0x28, 0, 0, 0, 0, 0, 0, 0, 2, 0], 3, room=4096)[:2], (OK, GOOD))
        self.q.qmp("eject", device="d2", force=True)
        got = [command(dev, [0], 3)[3] for _ in range(2)]
        self.assertIn((2, 0x3a), got)

    # ---- control and event queues ----

    def manage(self, dev, subtype, address, tag=77):
        answer, _ = dev.run(0, [struct.pack("<II", 0, subtype) + address + struct.pack("<Q", tag)], [1])
        return answer[0]

    def test_task_management(self):
        dev = self.start()
        self.assertEqual(self.manage(dev, 0, lun(0)), 0)            # abort task: is none
        self.assertEqual(self.manage(dev, 6, lun(0)), 0)            # query task
        self.assertEqual(self.manage(dev, 0, lun(9)), 3)
        self.assertEqual(self.manage(dev, 5, lun(0, 1)), 12)        # incorrect LUN
        self.assertEqual(self.manage(dev, 2, lun(0)), 11)           # clear ACA: rejected
        self.assertEqual(self.manage(dev, 5, lun(0, 5)), 0)         # LUN reset
        self.assertEqual(command(dev, [0], unit=5)[3], (6, 0x29))
        self.assertEqual(command(dev, [0])[1], GOOD)                # ... of that LUN only
        self.assertEqual(self.manage(dev, 4, lun(0)), 0)            # I_T nexus reset
        self.assertEqual(command(dev, [0])[3], (6, 0x29))

    def test_notification_requests(self):
        dev = self.start()
        for kind in (1, 2):
            answer, _ = dev.run(0, [struct.pack("<I8sI", kind, lun(0), 0xff)], [5])
            self.assertEqual(answer, bytes(5))

    def test_events(self):
        q = self.q
        dev = self.start()
        at = [dev.alloc(16) for _ in range(3)]
        for a in at:
            dev.queues[1].add([(a, 16, WRITE)])
        dev.kick(1)
        q.qmp("blockdev-add", driver="null-co", node_name="n", size=1 << 20)
        q.qmp("device_add", driver="scsi-hd", drive="n", id="x", bus="s0.0", scsi_id=4)
        q.qmp("block_resize", device="d0", size=2 * SIZE)
        q.qmp("device_del", id="x")
        for a, want in zip(at, ((1, lun(4), 1), (3, lun(0), 0x092a), (1, lun(4), 2))):
            self.assertEqual(dev.queues[1].get(), 16)
            self.assertEqual(struct.unpack("<I8sI", q.read(a, 16)), want)

    # ---- what no driver should do ----

    def test_short_requests(self):
        for n, parts in ((2, ([10], [])), (2, ([51], [10])), (2, ([], [200])), (0, ([3], [1])), (0, ([8], [1])),
                         (0, ([24], []))):
            dev = self.start()
            dev.queues[n].add([(dev.alloc(s), s, 0) for s in parts[0]] + [(dev.alloc(s), s, WRITE) for s in parts[1]])
            dev.kick(n)
            self.assertTrue(dev.status() & virtio.NEEDS_RESET, (n, parts))
        self.assertEqual(command(self.start(), [0])[:2], (OK, GOOD))

    def test_config(self):
        dev = self.start()
        dev.set_config(20, struct.pack("<I", 40))                   # shorter sense data
        head = lun(0) + struct.pack("<QBBB", 1, 0, 0, 0) + b"\xff".ljust(32, b"\0")
        self.assertEqual(len(dev.run(2, [head], [52])[0]), 52)
        dev.set_config(20, struct.pack("<I", 1 << 30))
        self.assertTrue(dev.status() & virtio.NEEDS_RESET)

    def test_random(self):
        r = random.Random(9)
        for features in (INDIRECT, PACKED | INDIRECT):
            dev = self.start(features)
            for _ in range(150):
                if dev.status() & virtio.NEEDS_RESET:
                    dev = self.start(features)
                dev.next_memory = virtio.MEMORY
                n = r.choice((0, 1, 2, 2, 2))
                cdb = bytes([r.choice((0, 3, 8, 0x12, 0x15, 0x1a, 0x28, 0x2a, 0x41, 0x42, 0x5a, 0x88, 0x93, 0x9e,
                                       0xa0, r.getrandbits(8)))]) + bytes(r.choice((0, 1, r.getrandbits(8)))
                                                                           for _ in range(31))
                head = r.choice((lun(0), lun(0, 5), lun(3), bytes(r.getrandbits(8) for _ in range(8))))
                head += bytes(11) + cdb + bytes(r.getrandbits(8) for _ in range(r.choice((0, 0, 24, 512))))
                parts = [(dev.alloc(len(head), head), len(head), 0)]
                parts += [(dev.alloc(s), s, WRITE) for s in (r.choice((1, 5, 108)), r.choice((1, 512, 4096)))]
                dev.queues[n].add(parts, r.random() < 0.3)
                dev.kick(n)
            dev = self.start(features)
            self.assertEqual(command(dev, [0])[:2], (OK, GOOD))


class PolicyTest(unittest.TestCase):
    def test_stop_abort_and_resume(self):
        for abort in (False, True):
            q = QTest(["-M", "pc", "-m", "16", "-device", "virtio-scsi-pci,addr=4",
                       "-blockdev", "driver=blkdebug,node-name=d0,image.driver=null-co,image.size=4M,"
                       "inject-error.0.errno=5,inject-error.0.once=on,inject-error.0.sector=8",
                       "-device", "scsi-hd,drive=d0,rerror=stop,werror=stop"])
            self.addCleanup(q.close)
            dev = VirtIO(q, DEVFN)
            dev.setup(0, queues=(0, 1, 2))
            command(dev, [0])
            head = lun(0) + struct.pack("<QBBB", 55, 0, 0, 0) + bytes([0x28, 0, 0, 0, 0, 8, 0, 0, 1, 0]).ljust(32, b"\0")
            answer = dev.alloc(108)
            dev.queues[2].add([(dev.alloc(51, head), 51, 0), (answer, 108, WRITE), (dev.alloc(512), 512, WRITE)])
            dev.kick(2)
            q.wait_event("STOP")
            if abort:
                told, _ = dev.run(0, [struct.pack("<II", 0, 6) + lun(0) + struct.pack("<Q", 55)], [1])
                self.assertEqual(told, b"\x0a")                     # query task: it is there
                told, _ = dev.run(0, [struct.pack("<II", 0, 0) + lun(0) + struct.pack("<Q", 55)], [1])
                self.assertEqual(told, b"\0")
            else:
                q.qmp("cont")
            dev.queues[2].get()
            self.assertEqual(q.readb(answer + 11), ABORTED if abort else OK)


if __name__ == "__main__":
    main()
