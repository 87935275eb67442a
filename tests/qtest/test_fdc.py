# SPDX-License-Identifier: MIT
"""The floppy controller: commands, data by DMA and by hand, formats, change of disk."""

import os
import time
import unittest

from ata import file_bytes, image, numbered
from libqtest import EMULATOR, PATIENCE, TestCase, main

QEMU = "qemu" in os.path.basename(EMULATOR)
ours = unittest.skipIf(QEMU, "differs in QEMU")
SRA, SRB, DOR, TDR, MSR, FIFO, DIR = 0x3f0, 0x3f1, 0x3f2, 0x3f3, 0x3f4, 0x3f5, 0x3f7
BUFFER = 0x20000
ABNORMAL, INVALID, SEEK_END = 0x40, 0x80, 0x20


class Base(TestCase):
    size = 1440 * 1024
    readonly = False

    def setUp(self):
        self.disk = image(self.size, numbered)
        self.addCleanup(self.disk.close)
        self.args = ["-M", "pc", "-drive", "file=%s,if=floppy,format=raw,id=fd%s"
                     % (self.disk.name, ",readonly=on" if self.readonly else "")]
        super().setUp()
        self.rate(0)

    def rate(self, code):
        self.q.outb(DIR, code)

    def ready(self, dio):
        """Wait for a byte to be wanted or offered."""
        end = time.monotonic() + 30 * PATIENCE
        while time.monotonic() < end:
            v = self.q.inb(MSR)
            if v & 0xc0 == (0xc0 if dio else 0x80):
                return
            if v & 0x10 and not v & 0x80 and not QEMU:
                self.q.clock_step(10**6)
        self.fail("MSR stays %02x" % v)

    def send(self, *bytes_):
        for b in bytes_:
            self.ready(False)
            self.q.outb(FIFO, b)

    def result(self, n):
        out = []
        for _ in range(n):
            self.ready(True)
            out.append(self.q.inb(FIFO))
        self.assertEqual(self.q.inb(MSR) & 0xd0, 0x80)
        return out

    def sense(self):
        self.send(0x08)
        self.ready(True)
        st0 = self.q.inb(FIFO)
        if st0 == INVALID:
            return st0, None
        self.ready(True)
        return st0, self.q.inb(FIFO)

    def seek(self, cyl, drive=0):
        self.send(0x0f, drive, cyl)
        return self.sense()

    def irq6(self):
        self.q.outb(0x20, 0x0a)
        return self.q.inb(0x20) >> 6 & 1

    def dma(self, mode, size, addr=BUFFER):
        """Channel 2: 46h to memory, 4Ah from it."""
        q = self.q
        q.outb(0x0a, 0x06)
        q.outb(0x0c, 0)
        q.outb(0x0b, mode)
        q.outb(0x81, addr >> 16)
        q.outb(0x04, addr & 0xff)
        q.outb(0x04, addr >> 8 & 0xff)
        q.outb(0x05, (size - 1) & 0xff)
        q.outb(0x05, (size - 1) >> 8)
        q.outb(0x0a, 0x02)

    def transfer(self, code, cyl, head, sec, eot, drive=0, n=2):
        self.send(code, head << 2 | drive, cyl, head, sec, n, eot, 0x1b, 0xff)
        return self.result(7)

    def lba(self, cyl, head, sec):
        return (cyl * 2 + head) * 18 + sec - 1


class ControllerTest(Base):
    def reset(self):
        self.q.outb(DOR, 0x08)
        self.q.outb(DOR, 0x0c)

    def test_reset_polls_four_drives(self):
        self.reset()
        for n in range(4):
            self.assertEqual(self.sense()[0], 0xc0 | n)
        self.assertEqual(self.sense()[0], INVALID)

    def test_msr(self):
        self.assertEqual(self.q.inb(MSR), 0x80)
        self.q.outb(FIFO, 0x0f)
        self.assertEqual(self.q.inb(MSR) & 0xd0, 0x90)
        self.q.outb(FIFO, 0)
        self.q.outb(FIFO, 1)
        self.sense()
        self.assertEqual(self.q.inb(MSR), 0x80)

    def test_version_and_part(self):
        self.send(0x10)
        self.assertEqual(self.result(1), [0x90])
        self.send(0x18)
        self.assertEqual(self.result(1)[0] >> 5, 2)

    def test_invalid(self):
        self.send(0x1f)
        self.assertEqual(self.result(1), [0x80])

    def test_dumpreg(self):
        self.send(0x03, 0xdf, 0x02)
        self.send(0x13, 0x00, 0x57, 0x0a)
        self.seek(5)
        self.send(0x0e)
        r = self.result(10)
        self.assertEqual((r[0], r[8], r[9]), (5, 0x57, 0x0a))
        if not QEMU:
            self.assertEqual((r[4], r[5]), (0xdf, 0x02))

    def test_lock(self):
        self.send(0x13, 0x00, 0x57, 0x0a)
        self.send(0x94)
        self.assertEqual(self.result(1), [0x10])
        self.reset()
        while self.sense()[0] != INVALID:
            pass
        self.send(0x0e)
        self.assertEqual(self.result(10)[8], 0x57)
        self.send(0x14)
        self.assertEqual(self.result(1), [0x00])

    @ours
    def test_reset_unlocked(self):
        self.send(0x13, 0x00, 0x57, 0x0a)
        self.reset()
        for _ in range(4):
            self.sense()
        self.send(0x0e)
        self.assertEqual(self.result(10)[8], 0x20)

    @ours
    def test_polling_off(self):
        self.send(0x13, 0x00, 0x30, 0x00)
        self.send(0x94)
        self.result(1)
        self.reset()
        self.assertEqual(self.sense()[0], INVALID)

    def test_seek_and_recalibrate(self):
        self.assertEqual(self.seek(40), (SEEK_END, 40))
        self.send(0x07, 0)
        self.assertEqual(self.sense(), (SEEK_END, 0))

    def test_relative_seek(self):
        self.seek(10)
        self.send(0xcf, 0, 5)
        self.assertEqual(self.sense()[1], 15)
        self.send(0x8f, 0, 9)
        self.assertEqual(self.sense()[1], 6)

    def test_drive_status(self):
        self.seek(0)
        self.send(0x04, 0x04)
        self.assertEqual(self.result(1), [0x28 | 0x10 | 0x04])
        self.seek(3)
        self.send(0x04, 0x00)
        self.assertEqual(self.result(1), [0x28])

    def test_dsr_reset(self):
        self.q.outb(MSR, 0x80)
        self.assertEqual(self.sense()[0] & 0xc0, 0xc0)

    @ours
    def test_save_restore(self):
        self.send(0x03, 0xaf, 0x1e)
        self.send(0x2e)
        saved = self.result(16)
        self.send(0x03, 0x00, 0x00)
        self.send(0x4e, *saved)
        self.send(0x0e)
        self.assertEqual(self.result(10)[4:6], [0xaf, 0x1e])


class DmaTest(Base):
    def test_read(self):
        self.seek(7)
        self.dma(0x46, 1024)
        r = self.transfer(0xe6, 7, 1, 3, 18)
        self.assertEqual(r[:3], [0x04, 0, 0])
        if not QEMU:
            self.assertEqual(r[3:], [7, 1, 5, 2])       # the sector after the last
        self.assertEqual(self.q.read(BUFFER, 1024),
                         numbered(self.lba(7, 1, 3)) + numbered(self.lba(7, 1, 4)))

    def test_read_both_heads(self):
        size = 36 * 512
        self.seek(2)
        self.dma(0x46, size)
        r = self.transfer(0xe6, 2, 0, 1, 18)
        self.assertEqual(r[0] & 0xc0, 0)
        if not QEMU:
            self.assertEqual(r[3:], [3, 0, 1, 2])
        self.assertEqual(self.q.read(BUFFER, size),
                         b"".join(numbered(self.lba(2, 0, 1) + i) for i in range(36)))

    @ours
    def test_interrupt(self):
        self.q.outb(0x20, 0x11)
        for v in (8, 4, 1, 0xff):
            self.q.outb(0x21, v)
        self.q.outb(0x4d0, 0x40)
        self.seek(0)
        self.assertEqual(self.irq6(), 0)
        self.dma(0x46, 512)
        self.send(0xe6, 0, 0, 0, 1, 2, 18, 0x1b, 0xff)
        self.ready(True)
        self.assertEqual(self.irq6(), 1)
        self.q.inb(FIFO)
        self.assertEqual(self.irq6(), 0)

    def test_write(self):
        data = os.urandom(1536)
        self.q.write(BUFFER, data)
        self.seek(9)
        self.dma(0x4a, 1536)
        r = self.transfer(0xc5, 9, 0, 4, 18)
        self.assertEqual(r[:3], [0, 0, 0])
        self.assertEqual(file_bytes(self.disk, self.lba(9, 0, 4) * 512, 1536), data)
        self.assertEqual(file_bytes(self.disk, self.lba(9, 0, 7) * 512, 512),
                         numbered(self.lba(9, 0, 7)))

    @ours
    def test_short_write_is_filled_with_zeroes(self):
        self.q.write(BUFFER, b"A" * 100)
        self.seek(0)
        self.dma(0x4a, 100)
        self.assertEqual(self.transfer(0xc5, 0, 0, 2, 18)[:3], [0, 0, 0])
        self.assertEqual(file_bytes(self.disk, 512, 512), b"A" * 100 + b"\0" * 412)

    @ours
    def test_no_terminal_count(self):
        self.seek(0)
        self.dma(0x46, 8 * 512)
        r = self.transfer(0x46, 0, 0, 17, 18)           # two sectors left, eight wanted
        self.assertEqual(r[:2], [ABNORMAL, 0x80])

    @ours
    def test_wrong_ids(self):
        self.seek(0)
        self.dma(0x46, 512)
        self.assertEqual(self.transfer(0xc6, 0, 0, 19, 19)[:2], [ABNORMAL, 0x04])
        self.assertEqual(self.transfer(0xc6, 5, 0, 1, 18)[:3], [ABNORMAL, 0x04, 0x10])
        self.assertEqual(self.transfer(0xc6, 0, 0, 0, 18)[:2], [ABNORMAL, 0x04])
        self.assertEqual(self.transfer(0xc6, 0, 0, 1, 18, n=3)[:2], [ABNORMAL, 0x04])

    def test_implied_seek(self):
        self.send(0x13, 0x00, 0x57, 0x00)
        self.dma(0x46, 512)
        r = self.transfer(0xe6, 33, 0, 1, 18)
        self.assertEqual(r[0] & 0xc0, 0)
        self.assertEqual(self.q.read(BUFFER, 512), numbered(self.lba(33, 0, 1)))

    def test_wrong_data_rate(self):
        self.seek(0)
        self.rate(2)
        self.dma(0x46, 512)
        self.assertEqual(self.transfer(0xe6, 0, 0, 1, 18)[0] & 0xc0, ABNORMAL)
        self.rate(0)
        self.dma(0x46, 512)
        self.assertEqual(self.transfer(0xe6, 0, 0, 1, 18)[0] & 0xc0, 0)

    def test_verify(self):
        self.seek(0)
        self.assertEqual(self.transfer(0xd6, 0, 0, 1, 18)[0] & 0xc0, 0)

    @ours
    def test_read_track(self):
        self.seek(1)
        self.dma(0x46, 18 * 512)
        r = self.transfer(0x42, 1, 0, 9, 18)            # the sector named does not matter
        self.assertEqual(r[0], 0)
        self.assertEqual(self.q.read(BUFFER, 512), numbered(36))

    @ours                                               # takes time
    def test_read_id(self):
        self.seek(12)
        self.send(0x4a, 0x04)
        r = self.result(7)
        self.assertEqual(r[:3], [0x04, 0, 0])
        self.assertEqual((r[3], r[4], r[6]), (12, 1, 2))
        self.assertIn(r[5], range(1, 19))

    def test_no_drive(self):
        self.send(0x07, 1)
        st0, _ = self.sense()
        if not QEMU:
            self.assertEqual(st0 & 0xd3, 0x51)
        self.dma(0x46, 512)
        self.assertEqual(self.transfer(0xe6, 0, 0, 1, 18, drive=1)[0] & 0xc0, ABNORMAL)

    @ours
    def test_format(self):
        """A track of fill bytes; the ids come by DMA."""
        ids = b"".join(bytes((4, 1, n, 2)) for n in range(1, 19))
        self.q.write(BUFFER, ids)
        self.seek(4)
        self.dma(0x4a, len(ids))
        self.send(0x4d, 0x04, 2, 18, 0x50, 0xf6)
        self.assertEqual(self.result(7)[:3], [0x04, 0, 0])
        self.assertEqual(file_bytes(self.disk, self.lba(4, 1, 1) * 512, 18 * 512), b"\xf6" * 9216)
        self.assertEqual(file_bytes(self.disk, self.lba(5, 0, 1) * 512, 512),
                         numbered(self.lba(5, 0, 1)))

    @ours
    def test_scan(self):
        self.seek(0)
        self.q.write(BUFFER, numbered(2))
        self.dma(0x4a, 512)
        self.assertEqual(self.transfer(0xd1, 0, 0, 3, 3, )[2] & 0x0c, 0x08)     # equal
        self.q.write(BUFFER, b"\x77" * 512)
        self.dma(0x4a, 512)
        self.assertEqual(self.transfer(0xd1, 0, 0, 3, 3)[2] & 0x0c, 0x04)       # not found

    def test_reset_in_the_middle(self):
        self.send(0xe6, 0, 0)
        self.q.outb(DOR, 0x00)
        self.q.outb(DOR, 0x0c)
        for _ in range(4):
            self.sense()
        self.test_read()


class NonDmaTest(Base):
    def setUp(self):
        super().setUp()
        self.send(0x03, 0xdf, 0x03)                     # ND

    def test_read(self):
        self.seek(3)
        self.send(0x46, 0, 3, 0, 18, 2, 18, 0x1b, 0xff)
        out = []
        for _ in range(512):
            self.ready(True)
            if not QEMU:
                self.assertTrue(self.q.inb(MSR) & 0x20)
            out.append(self.q.inb(FIFO))
        self.assertEqual(bytes(out), numbered(self.lba(3, 0, 18)))
        r = self.result(7)
        self.assertIn(r[:3], ([0, 0, 0], [ABNORMAL, 0x80, 0]))

    @ours                                               # QEMU wants more than a sector
    def test_write(self):
        data = os.urandom(512)
        self.seek(3)
        self.send(0x45, 0, 3, 0, 18, 2, 18, 0x1b, 0xff)
        for b in data:
            self.ready(False)
            self.q.outb(FIFO, b)
        self.result(7)
        self.assertEqual(file_bytes(self.disk, self.lba(3, 0, 18) * 512, 512), data)


class ReadOnlyTest(Base):
    readonly = True

    def test_write_protected(self):
        self.send(0x04, 0)
        self.assertEqual(self.result(1)[0] & 0x40, 0x40)
        self.dma(0x4a, 512)
        r = self.transfer(0xc5, 0, 0, 1, 18)
        self.assertEqual((r[0] & 0xc0, r[1] & 2), (ABNORMAL, 2))
        self.assertEqual(file_bytes(self.disk, 0, 512), numbered(0))


class ChangeTest(Base):
    def test_change_line(self):
        self.q.outb(DOR, 0x1c)
        self.assertEqual(self.q.inb(DIR) & 0x80, 0x80)  # after reset nobody has looked yet
        self.seek(1)
        self.assertEqual(self.q.inb(DIR) & 0x80, 0)
        other = image(720 * 1024, lambda n: numbered(n + 5000))
        self.addCleanup(other.close)
        self.q.qmp("blockdev-change-medium", device="fd", filename=other.name, format="raw")
        self.assertEqual(self.q.inb(DIR) & 0x80, 0x80)
        self.assertEqual(self.q.inb(DIR) & 0x80, 0x80)  # reading does not clear it
        self.seek(0)
        self.assertEqual(self.q.inb(DIR) & 0x80, 0)
        self.rate(2)                                    # 250 kb/s
        self.dma(0x46, 512)
        self.assertEqual(self.transfer(0xe6, 0, 1, 9, 9)[0] & 0xc0, 0)
        self.assertEqual(self.q.read(BUFFER, 512), numbered(5000 + 17))

    def test_empty(self):
        self.q.qmp("eject", device="fd")
        self.seek(3)
        self.assertEqual(self.q.inb(DIR) & 0x80, 0x80)  # no disk: it stays
        self.dma(0x46, 512)
        self.assertEqual(self.transfer(0xe6, 3, 0, 1, 18)[0] & 0xc0, ABNORMAL)


class DriveTypeTest(TestCase):
    def cmos(self, args):
        from libqtest import QTest
        with QTest(["-M", "pc"] + args) as q:
            q.outb(0x70, 0x10)
            return q.inb(0x71)

    def test_types_by_image(self):
        for size, code in ((1440, 0x40), (720, 0x40), (2880, 0x50), (1200, 0x20), (360, 0x20)):
            f = image(size * 1024)
            self.assertEqual(self.cmos(["-drive", "file=%s,if=floppy,format=raw" % f.name]),
                             code, size)
            f.close()


if __name__ == "__main__":
    main()
