# SPDX-License-Identifier: MIT
"""ATA disks behind the PIIX3: PIO and DMA, 28 and 48 bits, settings, errors, resets."""

import os
import unittest

from ata import (ABRT, BSY, BUFFER, DRDY, DRQ, DSC, ERR, IDNF, Drive, drive_args, file_bytes,
                 image, numbered)
from libqtest import EMULATOR, TestCase, main, patiently

QEMU = "qemu" in os.path.basename(EMULATOR)
ours = unittest.skipIf(QEMU, "differs in QEMU")
SIZE = 4 << 20
SECTORS = SIZE // 512


class Base(TestCase):
    def setUp(self):
        self.disk = image(SIZE, numbered)
        self.addCleanup(self.disk.close)
        self.args = ["-M", "pc"] + drive_args(self.disk)
        super().setUp()
        self.d = Drive(self.q)
        self.d.dma_init()

    def on_disk(self, lba, n=1):
        return file_bytes(self.disk, lba * 512, n * 512)


class RegisterTest(Base):
    def test_after_reset(self):
        d = self.d
        self.assertEqual(d.status(), DRDY | DSC)
        self.assertEqual([self.q.inb(d.cmd + r) for r in range(2, 6)], [1, 1, 0, 0])
        if not QEMU:
            self.assertEqual(d.error(), 1)

    def test_task_file_reads_back(self):
        for reg in range(2, 6):
            for v in (0x55, 0xaa):
                self.q.outb(self.d.cmd + reg, v)
                self.assertEqual(self.q.inb(self.d.cmd + reg), v)

    def test_previous_values(self):
        for reg in range(2, 6):
            self.q.outb(self.d.cmd + reg, 0x12)
            self.q.outb(self.d.cmd + reg, 0x34)
        self.q.outb(self.d.ctl, 0x80)
        for reg in range(2, 6):
            self.assertEqual(self.q.inb(self.d.cmd + reg), 0x12)
        self.q.outb(self.d.ctl, 0)
        self.assertEqual(self.q.inb(self.d.cmd + 2), 0x34)

    def test_missing_drives(self):
        for unit in (1, 2, 3):
            d = Drive(self.q, unit)
            self.assertEqual(d.status(), 0)
            d.command(0xec)
            self.assertEqual(d.status(), 0)
        self.d.select(0)
        self.assertEqual(self.d.status(), DRDY | DSC)

    def test_soft_reset(self):
        self.d.nodata(0xc6, count=4)
        self.q.outb(self.d.ctl, 0x04)
        self.assertTrue(QEMU or self.d.alt() & BSY)
        self.q.outb(self.d.ctl, 0x00)
        self.assertEqual(self.d.wait(), DRDY | DSC)
        self.assertEqual([self.q.inb(self.d.cmd + r) for r in range(1, 6)], [1, 1, 1, 0, 0])

    def test_diagnostic(self):
        self.assertEqual(self.d.nodata(0x90) & ERR, 0)
        self.assertEqual(self.d.error(), 1)

    def test_unknown_command(self):
        self.assertEqual(self.d.nodata(0xfe) & (ERR | DRDY), ERR | DRDY)
        self.assertEqual(self.d.error(), ABRT)

    def test_nop_aborts(self):
        self.assertTrue(self.d.nodata(0x00) & ERR)
        self.assertEqual(self.d.error(), ABRT)

    def test_registers_are_locked_while_data_wait(self):
        self.d.command(0xec)
        self.d.wait()
        self.q.outb(self.d.cmd + 2, 0x77)
        self.assertNotEqual(self.q.inb(self.d.cmd + 2), 0x77)
        self.d.data_in(256)
        self.q.outb(self.d.cmd + 2, 0x77)
        self.assertEqual(self.q.inb(self.d.cmd + 2), 0x77)

    def test_data_port_without_request(self):
        self.assertIn(self.q.inw(self.d.cmd), (0xffff, 0))
        self.q.outw(self.d.cmd, 0x1234)

    def test_32_bit_data_port(self):
        self.d.command(0x20, count=1, lba=5)
        self.d.wait()
        got = [self.q.inl(self.d.cmd) for _ in range(128)]
        self.assertEqual(got[:4], [5, 0, 5, 0])
        self.assertEqual(self.d.status() & DRQ, 0)


class InterruptTest(Base):
    def setUp(self):
        super().setUp()
        for port, base, icw3 in ((0x20, 8, 4), (0xa0, 0x70, 2)):
            self.q.outb(port, 0x11)
            for v in (base, icw3, 1, 0x00):
                self.q.outb(port + 1, v)
        self.q.outb(0x4d1, 0x40)                    # IRQ 14 by level, to see the line

    def line(self):
        self.q.outb(0xa0, 0x0a)
        return self.q.inb(0xa0) >> 6 & 1

    def test_status_clears_alternate_does_not(self):
        self.d.command(0xe7)
        self.d.wait()
        self.assertEqual(self.line(), 1)
        self.d.alt()
        self.assertEqual(self.line(), 1)
        self.d.status()
        self.assertEqual(self.line(), 0)

    def test_nien(self):
        self.q.outb(self.d.ctl, 2)
        self.d.command(0xe7)
        self.d.wait()
        self.assertEqual(self.line(), 0)
        self.d.status()
        self.q.outb(self.d.ctl, 0)
        self.assertEqual(self.line(), 0)

    @ours
    def test_nien_hides_a_pending_interrupt(self):
        self.d.command(0xe7)
        self.d.wait()
        self.q.outb(self.d.ctl, 2)
        self.assertEqual(self.line(), 0)
        self.q.outb(self.d.ctl, 0)
        self.assertEqual(self.line(), 1)

    def test_one_per_block_when_reading(self):
        self.d.command(0x20, count=2)
        for _ in range(2):
            self.d.wait()
            self.assertEqual(self.line(), 1)
            self.d.status()
            self.assertEqual(self.line(), 0)
            self.d.data_in(256)
        self.assertEqual(self.d.wait(), DRDY | DSC)
        self.assertEqual(self.line(), 0)

    def test_none_before_the_first_block_when_writing(self):
        self.d.command(0x30, count=1)
        self.assertTrue(self.d.wait() & DRQ)
        self.assertEqual(self.line(), 0)
        self.d.data_out(b"x" * 512)
        self.d.wait()
        self.assertEqual(self.line(), 1)


class IdentifyTest(Base):
    def test_identify(self):
        w = self.d.identify()
        self.assertEqual(w[0], 0x0040)
        self.assertEqual((w[1], w[3], w[6]), (SECTORS // 1008, 16, 63))
        self.assertEqual(w[60] | w[61] << 16, SECTORS)
        self.assertEqual(w[100] | w[101] << 16, SECTORS)
        self.assertEqual(w[49] & 0x0300, 0x0300)
        self.assertEqual(w[47] & 0xff, 16)
        self.assertEqual(w[63] & 7, 7)
        self.assertEqual(w[88] & 0x3f, 0x3f)
        self.assertEqual(w[83] & 0x0400, 0x0400)
        text = b"".join(bytes((v >> 8, v & 0xff)) for v in w[27:47])
        self.assertEqual(text.decode().strip(), "QEMU HARDDISK")

    def test_set_features_shows(self):
        self.d.identify()
        self.assertEqual(self.d.nodata(0xef, feature=0x03, count=0x42) & ERR, 0)
        self.assertEqual(self.d.identify()[88], 0x043f)
        self.assertEqual(self.d.nodata(0xef, feature=0x03, count=0x22) & ERR, 0)
        w = self.d.identify()
        self.assertEqual((w[63], w[88] & 0xff00), (0x0407, 0))
        self.assertEqual(self.d.nodata(0xef, feature=0x82) & ERR, 0)
        self.assertEqual(self.d.identify()[85] & 0x20, 0)
        self.assertEqual(self.d.nodata(0xef, feature=0x02) & ERR, 0)
        self.assertEqual(self.d.identify()[85] & 0x20, 0x20)
        self.assertTrue(self.d.nodata(0xef, feature=0x03, count=0x80) & ERR)
        self.assertTrue(self.d.nodata(0xef, feature=0x77) & ERR)

    def test_multiple_shows(self):
        self.d.nodata(0xc6, count=8)
        self.assertEqual(self.d.identify()[59], 0x0108)
        self.assertTrue(self.d.nodata(0xc6, count=3) & ERR)
        self.assertTrue(self.d.nodata(0xc6, count=32) & ERR)

    def test_power_mode(self):
        self.assertEqual(self.d.nodata(0xe5) & ERR, 0)
        self.assertEqual(self.q.inb(self.d.cmd + 2), 0xff)

    def test_read_native_max(self):
        self.d.nodata(0xf8, lba=0)
        got = (self.q.inb(self.d.cmd + 3) | self.q.inb(self.d.cmd + 4) << 8
               | self.q.inb(self.d.cmd + 5) << 16)
        self.assertEqual(got, SECTORS - 1)


class PioTest(Base):
    def test_read(self):
        for lba, n in ((0, 1), (7, 3), (SECTORS - 2, 2)):
            got = self.d.pio_in(0x20, n * 512, count=n, lba=lba)
            self.assertEqual(got, b"".join(numbered(lba + i) for i in range(n)))
            self.assertEqual(self.d.status(), DRDY | DSC)

    def test_count_zero_is_256(self):
        got = self.d.pio_in(0x20, 256 * 512, count=0, lba=10)
        self.assertEqual(got, b"".join(numbered(10 + i) for i in range(256)))

    def test_read_multiple(self):
        self.d.nodata(0xc6, count=4)
        got = self.d.pio_in(0xc4, 10 * 512, block=2048, count=10, lba=3)
        self.assertEqual(got, b"".join(numbered(3 + i) for i in range(10)))

    def test_multiple_without_setting(self):
        self.d.nodata(0xc6, count=0)
        self.assertTrue(self.d.nodata(0xc4, count=2, lba=0) & ERR)

    def test_read_ext(self):
        got = self.d.pio_in(0x24, 300 * 512, count=300, lba=1000, ext=True)
        self.assertEqual(got, b"".join(numbered(1000 + i) for i in range(300)))

    def test_chs(self):
        w = self.d.identify()
        heads, secs = w[55], w[56]
        for cyl, head, sec in ((0, 0, 1), (1, 2, 3), (2, heads - 1, secs)):
            lba = (cyl * heads + head) * secs + sec - 1
            self.assertEqual(self.d.pio_in(0x20, 512, count=1, chs=(cyl, head, sec)),
                             numbered(lba))

    def test_initialize_parameters(self):
        self.d.nodata(0x91, count=17, chs=(0, 3, 0))        # 17 sectors, 4 heads
        self.assertEqual(self.d.pio_in(0x20, 512, count=1, chs=(2, 1, 5)),
                         numbered((2 * 4 + 1) * 17 + 4))

    @ours
    def test_no_such_sector(self):
        for chs in ((0, 0, 0), (0, 0, 64), (60000, 0, 1)):
            self.assertTrue(self.d.nodata(0x20, count=1, chs=chs) & ERR)
            self.assertEqual(self.d.error(), IDNF)

    def test_beyond_the_end(self):
        for code, regs in ((0x20, dict(count=1, lba=SECTORS)), (0x30, dict(count=1, lba=SECTORS)),
                           (0x20, dict(count=2, lba=SECTORS - 1)), (0x40, dict(lba=SECTORS)),
                           (0x24, dict(count=1, lba=1 << 40, ext=True))):
            self.d.command(code, **regs)
            st = self.d.wait()
            if QEMU and code == 0x40:       # it verifies nothing
                continue
            if QEMU and st & DRQ:           # it looks when the data are there
                if code == 0x20:
                    self.d.data_in(256)
                else:
                    self.d.data_out(b"\0" * 512)
                st = self.d.wait()
            self.assertTrue(st & ERR, hex(code))
            self.assertTrue(self.d.error() & (IDNF | ABRT))
            self.assertFalse(st & DRQ)

    def test_write(self):
        data = os.urandom(3 * 512)
        self.assertEqual(self.d.pio_out(0x30, data, count=3, lba=100), DRDY | DSC)
        self.assertEqual(self.d.nodata(0xe7), DRDY | DSC)
        self.assertEqual(self.on_disk(99), numbered(99))
        self.assertEqual(self.on_disk(100, 3), data)
        self.assertEqual(self.on_disk(103), numbered(103))

    def test_write_multiple(self):
        data = os.urandom(11 * 512)
        self.d.nodata(0xc6, count=8)
        self.assertEqual(self.d.pio_out(0xc5, data, block=8 * 512, count=11, lba=20), DRDY | DSC)
        self.d.nodata(0xe7)
        self.assertEqual(self.on_disk(20, 11), data)

    def test_write_ext(self):
        data = os.urandom(257 * 512)
        self.d.pio_out(0x34, data, count=257, lba=2000, ext=True)
        self.d.nodata(0xea, lba=0, ext=True)
        self.assertEqual(self.on_disk(2000, 257), data)

    def test_verify(self):
        self.assertEqual(self.d.nodata(0x40, count=0, lba=0), DRDY | DSC)
        self.assertEqual(self.d.nodata(0x42, count=1000, lba=100, ext=True), DRDY | DSC)

    def test_seek_and_recalibrate(self):
        self.assertEqual(self.d.nodata(0x70, lba=100) & ERR, 0)
        self.assertEqual(self.d.nodata(0x10) & ERR, 0)

    def test_reset_in_the_middle(self):
        self.d.command(0x20, count=4, lba=0)
        self.d.wait()
        self.d.data_in(10)
        self.q.outb(self.d.ctl, 4)
        self.q.outb(self.d.ctl, 0)
        self.assertEqual(self.d.wait(), DRDY | DSC)
        self.assertEqual(self.d.pio_in(0x20, 512, count=1, lba=9), numbered(9))

    @ours
    def test_sector_buffer(self):
        data = os.urandom(512)
        self.assertEqual(self.d.pio_out(0xe8, data) & ERR, 0)
        self.assertEqual(self.d.pio_in(0xe4, 512), data)


class DmaTest(Base):
    def test_read(self):
        st, bm = self.d.dma(0xc8, [(BUFFER, 4096)], True, count=8, lba=50)
        self.assertEqual(st, DRDY | DSC)
        self.assertEqual(bm & 0x07, 0x04)           # interrupt, not active
        self.assertEqual(self.q.read(BUFFER, 4096), b"".join(numbered(50 + i) for i in range(8)))

    def test_write(self):
        data = os.urandom(4096)
        self.q.write(BUFFER, data)
        st, bm = self.d.dma(0xca, [(BUFFER, 4096)], False, count=8, lba=60)
        self.assertEqual((st, bm & 7), (DRDY | DSC, 4))
        self.d.nodata(0xe7)
        self.assertEqual(self.on_disk(60, 8), data)
        self.assertEqual(self.on_disk(68), numbered(68))

    def test_ext_large(self):
        n = 2048                                    # 1 MiB in pieces of 64 KiB
        pieces = [(BUFFER + i * 0x10000, 0) for i in range(16)]
        st, bm = self.d.dma(0x25, pieces, True, count=n, lba=4, ext=True)
        self.assertEqual((st, bm & 7), (DRDY | DSC, 4))
        for i in (0, 1, 127, 128, 1000, n - 1):
            self.assertEqual(self.q.read(BUFFER + i * 512, 512), numbered(4 + i))

    def test_ragged_pieces(self):
        """Pieces that divide sectors anywhere."""
        sizes = [2, 510, 100, 924, 4, 1024, 512, 1000, 20]
        at, pieces = BUFFER, []
        for s in sizes:
            pieces.append((at, s))
            at += s + 64
        st, bm = self.d.dma(0xc8, pieces, True, count=8, lba=11)
        self.assertEqual((st, bm & 7), (DRDY | DSC, 4))
        got = b"".join(self.q.read(a, s) for a, s in pieces)
        self.assertEqual(got, b"".join(numbered(11 + i) for i in range(8)))

    def test_many_tiny_pieces(self):
        pieces = [(BUFFER + i * 2, 2) for i in range(512)]
        data = os.urandom(1024)
        self.q.write(BUFFER, data)
        st, bm = self.d.dma(0xca, pieces, False, count=2, lba=33)
        self.assertEqual((st, bm & 7), (DRDY | DSC, 4))
        self.d.nodata(0xe7)
        self.assertEqual(self.on_disk(33, 2), data)

    def test_list_too_short(self):
        st, bm = self.d.dma(0xc8, [(BUFFER, 512)], True, count=8, lba=0)
        self.assertEqual(bm & 0x05, 0)              # neither active nor interrupt
        self.assertEqual(self.q.read(BUFFER, 512), numbered(0))

    def test_list_too_long(self):
        st, bm = self.d.dma(0xc8, [(BUFFER, 4096)], True, count=1, lba=0)
        self.assertEqual(bm & 0x05, 0x05)           # interrupt, still active
        self.assertEqual(st, DRDY | DSC)

    def test_memory_that_is_not_ram(self):
        """A transfer to registers or to nowhere must end, whatever it does."""
        self.d.dma(0xc8, [(0xfed00000, 512)], True, count=1, lba=0)
        self.d.dma(0xc8, [(0xe0000000, 512)], True, count=1, lba=0)
        self.d.dma(0xca, [(0xfec00000, 512)], False, count=1, lba=0)
        self.assertEqual(self.d.wait() & BSY, 0)
        self.assertEqual(self.d.pio_in(0x20, 512, count=1, lba=9), numbered(9))

    def test_mastering_off(self):
        self.q.memset(BUFFER, 512, 0x77)
        self.q.pci_writew(0x09, 0x04, 0x01)
        d = self.d
        d.prdt([(BUFFER, 512)])
        self.q.outl(d.bm + 4, 0x100000)
        d.command(0xc8, count=1, lba=3)
        self.q.outb(d.bm, 0x09)
        d.wait()
        self.q.outb(d.bm, 0)
        self.assertEqual(self.q.read(BUFFER, 512), b"\x77" * 512)

    def test_start_before_command(self):
        d = self.d
        d.prdt([(BUFFER, 512)])
        self.q.outb(d.bm + 2, 0x66)
        self.q.outl(d.bm + 4, 0x100000)
        if not QEMU:
            self.q.outb(d.bm, 0x09)
            d.command(0xc8, count=1, lba=77)
        else:
            d.command(0xc8, count=1, lba=77)
            self.q.outb(d.bm, 0x09)
        for _ in range(100000):
            if self.q.inb(d.bm + 2) & 4:
                break
        self.assertEqual(self.q.read(BUFFER, 512), numbered(77))

    def test_registers(self):
        d = self.d
        self.q.outl(d.bm + 4, 0xffffffff)
        self.assertEqual(self.q.inl(d.bm + 4), 0xfffffffc)
        self.q.outb(d.bm + 2, 0x60)
        self.assertEqual(self.q.inb(d.bm + 2) & 0x60, 0x60)
        self.q.outb(d.bm, 0x08)
        self.assertEqual(self.q.inb(d.bm), 0x08)

    def test_reset_while_waiting(self):
        self.d.command(0xc8, count=1, lba=0)
        self.q.outb(self.d.ctl, 4)
        self.q.outb(self.d.ctl, 0)
        self.q.outb(self.d.bm, 0x09)
        self.q.outb(self.d.bm, 0x00)
        self.assertEqual(self.d.pio_in(0x20, 512, count=1, lba=9), numbered(9))


class SmartTest(Base):
    def smart(self, feature, **kw):
        return self.d.nodata(0xb0, feature=feature, lba=0xc24f00 | kw.pop("low", 0), **kw)

    def test_status(self):
        self.assertEqual(self.smart(0xda) & ERR, 0)
        self.assertEqual((self.q.inb(self.d.cmd + 4), self.q.inb(self.d.cmd + 5)), (0x4f, 0xc2))

    def test_wrong_key(self):
        self.assertTrue(self.d.nodata(0xb0, feature=0xda, lba=0) & ERR)

    def test_data_and_thresholds(self):
        for feature in (0xd0, 0xd1):
            data = self.d.pio_in(0xb0, 512, feature=feature, lba=0xc24f00)
            self.assertEqual(sum(data) & 0xff, 0)
            ids = [data[2 + 12 * i] for i in range(30)]
            self.assertIn(1, ids)
            self.assertIn(9, ids)

    def test_disable(self):
        self.smart(0xd9)
        self.assertTrue(self.smart(0xda) & ERR)
        self.assertEqual(self.smart(0xd8) & ERR, 0)
        self.assertEqual(self.smart(0xda) & ERR, 0)

    def test_self_test_log(self):
        self.assertEqual(self.smart(0xd4, low=1) & ERR, 0)
        data = self.d.pio_in(0xb0, 512, feature=0xd5, count=1, lba=0xc24f06)
        self.assertEqual(sum(data) & 0xff, 0)


class TwoDrivesTest(TestCase):
    def setUp(self):
        self.disks = [image(1 << 20, lambda n, i=i: numbered(n + 1000000 * i)) for i in range(4)]
        self.args = ["-M", "pc"]
        for i, f in enumerate(self.disks):
            self.addCleanup(f.close)
            self.args += drive_args(f, i)
        super().setUp()

    def test_four_drives(self):
        drives = [Drive(self.q, i) for i in range(4)]
        for i, d in enumerate(drives):
            self.assertEqual(d.pio_in(0x20, 512, count=1, lba=i), numbered(i + 1000000 * i))

    def test_diagnostic_selects_master(self):
        d1 = Drive(self.q, 1)
        d1.nodata(0x90)
        if not QEMU:
            self.assertEqual(self.q.inb(0x1f6) & 0x10, 0)


@ours                                               # the error driver takes other options there
class FailingDiskTest(TestCase):
    """What rerror= and werror= do when the host's storage fails."""

    def start(self, rule, policy):
        self.disk = image(1 << 20, numbered)
        self.addCleanup(self.disk.close)
        self.args = ["-M", "pc", "-blockdev", "driver=blkdebug,node-name=d0,image.driver=file,"
                     "image.filename=%s,inject-error.0.%s" % (
                         self.disk.name, ",inject-error.0.".join(rule.split(","))),
                     "-device", "ide-hd,drive=d0,bus=ide.0," + policy]
        super().setUp()
        self.d = Drive(self.q)
        self.d.dma_init()

    def setUp(self):
        pass

    def run_state(self):
        return self.q.qmp("query-status")["status"]

    def stopped(self):
        for _ in patiently():
            if self.run_state() == "io-error":
                return
        self.fail("the machine did not stop")

    def failed_lba(self):
        return self.q.inb(self.d.cmd + 3) | self.q.inb(self.d.cmd + 4) << 8

    def test_read_is_reported(self):
        self.start("iotype=read,errno=5,sector=7", "rerror=report")
        self.d.command(0x20, count=4, lba=5)
        for _ in range(2):
            self.assertFalse(self.d.wait() & ERR)
            self.d.data_in(256)
        self.assertEqual(self.d.wait() & (ERR | DRQ), ERR)
        self.assertEqual(self.d.error(), 0x40)
        self.assertEqual(self.failed_lba(), 7)
        st, bm = self.d.dma(0xc8, [(BUFFER, 4096)], True, count=8, lba=0)
        self.assertTrue(st & ERR)
        self.assertFalse(bm & 1)
        self.assertEqual(self.d.pio_in(0x20, 512, count=1, lba=8), numbered(8))

    def test_verify_is_reported(self):
        self.start("iotype=read,errno=5,sector=7", "rerror=report")
        self.assertTrue(self.d.nodata(0x40, count=20, lba=0) & ERR)

    def test_write_is_reported(self):
        self.start("iotype=write,errno=5,sector=3", "werror=report")
        self.assertTrue(self.d.pio_out(0x30, b"x" * 512, count=1, lba=3) & ERR)
        self.assertEqual(self.d.error(), ABRT)
        self.assertEqual(self.run_state(), "running")

    def test_ignored(self):
        self.start("iotype=write,errno=5,sector=3", "werror=ignore")
        self.assertEqual(self.d.pio_out(0x30, b"x" * 512, count=1, lba=3), DRDY | DSC)

    def test_dma_write_stops_and_goes_on(self):
        self.start("iotype=write,errno=28,once=on", "werror=enospc")
        data = os.urandom(4096)
        self.q.write(BUFFER, data)
        d = self.d
        d.prdt([(BUFFER, 1024), (BUFFER + 1024, 3072)])
        self.q.outb(d.bm + 2, 0x66)
        self.q.outl(d.bm + 4, 0x100000)
        d.command(0xca, count=8, lba=40)
        self.q.outb(d.bm, 0x01)
        self.stopped()
        self.assertEqual(self.q.inb(d.bm + 2) & 5, 1)       # still active, no interrupt
        self.q.qmp("cont")
        for _ in range(100000):
            if self.q.inb(d.bm + 2) & 4:
                break
        self.q.outb(d.bm, 0)
        self.assertEqual(d.status(), DRDY | DSC)
        d.nodata(0xe7)
        self.assertEqual(file_bytes(self.disk, 40 * 512, 4096), data)

    def test_pio_write_stops_and_goes_on(self):
        self.start("iotype=write,errno=5,once=on", "werror=stop")
        self.d.command(0x30, count=2, lba=9)
        self.d.wait()
        self.d.data_out(b"a" * 512)
        self.stopped()
        self.assertTrue(self.d.alt() & BSY)
        self.q.qmp("cont")
        self.assertTrue(self.d.wait() & DRQ)
        self.d.data_out(b"b" * 512)
        self.d.wait()
        self.d.nodata(0xe7)
        self.assertEqual(file_bytes(self.disk, 9 * 512, 1024), b"a" * 512 + b"b" * 512)

    def test_flush_stops_and_goes_on(self):
        self.start("iotype=flush,errno=5,once=on", "werror=stop")
        self.d.command(0xe7)
        self.stopped()
        self.q.qmp("cont")
        self.assertEqual(self.d.wait(), DRDY | DSC)

    def test_read_stops_and_goes_on(self):
        self.start("iotype=read,errno=5,sector=20,once=on", "rerror=stop")
        self.d.command(0x20, count=1, lba=20)
        self.stopped()
        self.q.qmp("cont")
        self.d.wait()
        self.assertEqual(self.d.data_in(256), numbered(20))

    def test_reset_of_a_stopped_drive(self):
        self.start("iotype=read,errno=5,sector=20,once=on", "rerror=stop")
        self.d.command(0x20, count=1, lba=20)
        self.stopped()
        self.q.outb(self.d.ctl, 4)
        self.q.outb(self.d.ctl, 0)
        self.q.qmp("cont")
        self.assertEqual(self.d.wait(), DRDY | DSC)
        self.assertEqual(self.d.pio_in(0x20, 512, count=1, lba=20), numbered(20))


class PropertyTest(TestCase):
    def setUp(self):
        self.disk = image(1 << 20)
        self.addCleanup(self.disk.close)
        self.args = ["-M", "pc", "-drive", "file=%s,if=none,id=x,format=raw" % self.disk.name,
                     "-device", "ide-hd,drive=x,bus=ide.1,unit=1,serial=ABC123,model=My Disk,"
                     "ver=9.9,wwn=0x5000c50015ea71ac,physical_block_size=4096,rotation_rate=1"]
        super().setUp()

    def text(self, words):
        return b"".join(bytes((v >> 8, v & 0xff)) for v in words).decode().strip()

    def test_properties(self):
        w = Drive(self.q, 3).identify()
        self.assertEqual(self.text(w[10:20]), "ABC123")
        self.assertEqual(self.text(w[23:27]), "9.9")
        self.assertEqual(self.text(w[27:47]), "My Disk")
        self.assertEqual(w[108:112], (0x5000, 0xc500, 0x15ea, 0x71ac))
        self.assertEqual(w[106], 0x6003)
        self.assertEqual(w[217], 1)


if __name__ == "__main__":
    main()
