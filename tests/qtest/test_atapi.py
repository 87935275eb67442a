# SPDX-License-Identifier: MIT
"""The CD-ROM drive: packet protocol by PIO and DMA, MMC commands, tray and change of disc."""

import os
import struct
import unittest

from ata import ABRT, BUFFER, DRDY, DRQ, DSC, ERR, Drive, drive_args, image, numbered
from libqtest import EMULATOR, Failed, TestCase, main

QEMU = "qemu" in os.path.basename(EMULATOR)
ours = unittest.skipIf(QEMU, "differs in QEMU")
BLOCKS = 1000
NOT_READY, ILLEGAL, ATTENTION = 2, 5, 6


def block(n):
    return b"".join(numbered(4 * n + i) for i in range(4))


def be32(v):
    return struct.pack(">I", v)


class Base(TestCase):
    def setUp(self):
        self.disc = image(BLOCKS * 2048, numbered)
        self.addCleanup(self.disc.close)
        self.args = ["-M", "pc"] + drive_args(self.disc, 2, True, ",id=cd0")
        super().setUp()
        self.d = Drive(self.q, 2)
        self.d.dma_init()

    def ok(self, *cdb, **kw):
        data, err = self.d.packet(cdb, **kw)
        self.assertEqual(err, 0, "command %02x" % cdb[0])
        return data

    def refused(self, key, asc, *cdb, **kw):
        data, err = self.d.packet(cdb, **kw)
        self.assertEqual(err >> 4, key, "command %02x" % cdb[0])
        self.assertEqual(self.d.sense(), (key, asc))

    def read10(self, lba, n, **kw):
        return self.ok(0x28, 0, *be32(lba), 0, n >> 8, n & 0xff, **kw)


class PacketDeviceTest(Base):
    def test_signature(self):
        q, c = self.q, self.d.cmd
        self.assertEqual([q.inb(c + r) for r in (2, 3, 4, 5)], [1, 1, 0x14, 0xeb])
        self.assertTrue(self.d.nodata(0xec) & ERR)
        self.assertEqual(self.d.error() & ABRT, ABRT)
        self.assertEqual((q.inb(c + 4), q.inb(c + 5)), (0x14, 0xeb))

    def test_device_reset(self):
        self.d.command(0xa0, lba=0xfffe00)
        self.d.command(0x08)
        self.d.wait()
        self.assertEqual((self.q.inb(self.d.cmd + 4), self.q.inb(self.d.cmd + 5)), (0x14, 0xeb))
        self.ok(0x00)

    def test_identify_packet(self):
        w = self.d.identify(0xa1)
        self.assertEqual(w[0] & 0xff83, 0x8580)
        self.assertEqual(w[49] & 0x0300, 0x0300)

    def test_disk_commands_are_refused(self):
        for code in (0x30, 0xc8, 0x91):
            self.assertTrue(self.d.nodata(code, count=1) & ERR, hex(code))

    def test_packet_phases(self):
        d = self.d
        d.command(0xa0, lba=36 << 8)
        self.assertEqual(d.wait() & (DRQ | ERR), DRQ)
        self.assertEqual(self.q.inb(d.cmd + 2) & 3, 1)          # command to the drive
        d.data_out(bytes([0x12, 0, 0, 0, 36] + [0] * 7))
        self.assertEqual(d.wait() & DRQ, DRQ)
        self.assertEqual(self.q.inb(d.cmd + 2) & 3, 2)          # data to the host
        self.assertEqual(self.q.inb(d.cmd + 4), 36)
        d.data_in(18)
        st = d.wait()
        self.assertEqual(st & (DRDY | DRQ | ERR), DRDY)
        self.assertEqual(self.q.inb(d.cmd + 2) & 3, 3)          # done


class CommandTest(Base):
    def test_unknown(self):
        self.refused(ILLEGAL, 0x20, 0xff)

    def test_inquiry(self):
        data = self.ok(0x12, 0, 0, 0, 36)
        self.assertEqual(len(data), 36)
        self.assertEqual((data[0], data[1], data[4]), (5, 0x80, 31))
        self.assertEqual(data[8:32], b"QEMU    QEMU DVD-ROM    ")
        self.assertEqual(len(self.ok(0x12, 0, 0, 0, 8)), 8)

    def test_test_unit_ready(self):
        self.ok(0x00)

    def test_capacity(self):
        self.assertEqual(self.ok(0x25), be32(BLOCKS - 1) + be32(2048))

    @ours
    def test_sense_is_cleared(self):
        self.d.packet([0xff])
        self.assertEqual(self.d.sense(), (ILLEGAL, 0x20))
        self.assertEqual(self.d.sense()[0], 0)

    def test_mode_sense(self):
        data = self.ok(0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 64)
        self.assertEqual(struct.unpack(">H", data[:2])[0], len(data) - 2)
        self.assertEqual((data[8], data[9]), (0x2a, len(data) - 10))
        data = self.ok(0x5a, 0, 0x01, 0, 0, 0, 0, 0, 64)
        self.assertEqual((data[8], data[9]), (0x01, 6))
        self.refused(ILLEGAL, 0x24, 0x5a, 0, 0x1f, 0, 0, 0, 0, 0, 64)
        self.refused(ILLEGAL, 0x39, 0x5a, 0, 0xea, 0, 0, 0, 0, 0, 64)

    def test_toc(self):
        data = self.ok(0x43, 0, 0, 0, 0, 0, 0, 0, 64)
        self.assertEqual(data[:4], bytes([0, 18, 1, 1]))
        self.assertEqual(data[5:7], bytes([0x14, 1]))
        self.assertEqual(data[8:12], be32(0))
        self.assertEqual(data[14], 0xaa)
        self.assertEqual(data[16:20], be32(BLOCKS))

    def test_toc_msf(self):
        data = self.ok(0x43, 2, 0, 0, 0, 0, 0, 0, 64)
        self.assertEqual(data[8:12], bytes([0, 0, 2, 0]))
        n = BLOCKS + 150
        self.assertEqual(data[16:20], bytes([0, n // 4500, n // 75 % 60, n % 75]))

    def test_toc_sessions_and_lead_out(self):
        data = self.ok(0x43, 0, 0, 0, 0, 0, 0, 0, 12, 0x40)
        self.assertEqual(data[:4], bytes([0, 10, 1, 1]))
        data = self.ok(0x43, 0, 0, 0, 0, 0, 0xaa, 0, 64)
        self.assertEqual(data[6], 0xaa)
        self.refused(ILLEGAL, 0x24, 0x43, 0, 0, 0, 0, 0, 5, 0, 64)

    def test_get_configuration(self):
        data = self.ok(0x46, 0, 0, 0, 0, 0, 0, 0, 200)
        self.assertEqual(struct.unpack(">I", data[:4])[0], len(data) - 4)
        self.assertEqual(data[6:8], b"\x00\x08")                # CD-ROM profile
        self.assertEqual(data[8:10], b"\x00\x00")

    @ours
    def test_get_one_feature(self):
        data = self.ok(0x46, 2, 0, 0x10, 0, 0, 0, 0, 64)
        self.assertEqual(data[8:12], bytes([0, 0x10, 1, 8]))
        self.assertEqual(len(self.ok(0x46, 2, 0x0f, 0xff, 0, 0, 0, 0, 64)), 8)

    def test_events(self):
        data = self.ok(0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8)
        self.assertEqual(data[2] & 7, 4)
        self.assertEqual(data[5], 2)                            # disc there, tray closed
        self.refused(ILLEGAL, 0x24, 0x4a, 0, 0, 0, 0x10, 0, 0, 0, 8)
        self.assertEqual(self.ok(0x4a, 1, 0, 0, 0x02, 0, 0, 0, 8)[2] & 0x80, 0x80)

    def test_disc_information(self):
        data = self.ok(0x51, 0, 0, 0, 0, 0, 0, 0, 64)
        self.assertEqual(len(data), 34)
        self.assertEqual(data[2:7], bytes([0x0e, 1, 1, 1, 1]))

    def test_dvd_structure_of_a_cd(self):
        self.refused(ILLEGAL, 0x30, 0xad, 0, 0, 0, 0, 0, 0, 0, 8, 0)

    def test_mechanism_speed_seek(self):
        self.assertEqual(len(self.ok(0xbd, 0, 0, 0, 0, 0, 0, 0, 0, 8)), 8)
        self.ok(0xbb, 0, 0xff, 0xff, 0xff, 0xff)
        self.ok(0x2b, 0, *be32(BLOCKS - 1))
        self.refused(ILLEGAL, 0x21, 0x2b, 0, *be32(BLOCKS))


class ReadTest(Base):
    def test_read10(self):
        for lba, n in ((0, 1), (17, 5), (BLOCKS - 3, 3)):
            self.assertEqual(self.read10(lba, n), b"".join(block(lba + i) for i in range(n)))

    def test_read12(self):
        data = self.ok(0xa8, 0, *be32(100), *be32(40))
        self.assertEqual(data, b"".join(block(100 + i) for i in range(40)))

    def test_read_nothing(self):
        self.assertEqual(self.read10(0, 0), b"")

    def test_byte_count_limits(self):
        want = b"".join(block(5 + i) for i in range(4))
        for limit in (512, 2048, 3000, 8192, 0xfffe, 0xffff, 1001):
            self.assertEqual(self.read10(5, 4, limit=limit), want, "limit %d" % limit)

    def test_zero_limit(self):
        d = self.d
        d.command(0xa0, lba=0)
        d.wait()
        d.data_out(bytes([0x28] + [0] * 7 + [1] + [0] * 3))
        self.assertTrue(d.wait() & ERR)

    def test_beyond_the_end(self):
        self.refused(ILLEGAL, 0x21, 0x28, 0, *be32(BLOCKS), 0, 0, 1)
        self.refused(ILLEGAL, 0x21, 0x28, 0, *be32(BLOCKS - 1), 0, 0, 2)
        self.refused(ILLEGAL, 0x21, 0x28, 0, *be32(0xffffffff), 0, 0xff, 0xff)
        self.refused(ILLEGAL, 0x21, 0xa8, 0, *be32(1), *be32(0xffffffff))

    def test_dma(self):
        n = 70
        _, err = self.d.packet([0x28, 0, *be32(11), 0, 0, n],
                               dma=[(BUFFER, 0), (BUFFER + 0x10000, 0), (BUFFER + 0x20000, n * 2048 - 131072)])
        self.assertEqual(err, 0)
        for i in (0, 31, 32, 63, n - 1):
            self.assertEqual(self.q.read(BUFFER + i * 2048, 2048), block(11 + i))

    def test_dma_of_a_small_answer(self):
        _, err = self.d.packet([0x12, 0, 0, 0, 36], dma=[(BUFFER, 36)])
        self.assertEqual(err, 0)
        self.assertEqual(self.q.read(BUFFER, 2), b"\x05\x80")
        self.assertEqual(self.q.read(BUFFER + 8, 4), b"QEMU")

    def test_read_cd_data(self):
        data = self.ok(0xbe, 0, *be32(7), 0, 0, 2, 0x10)
        self.assertEqual(data, block(7) + block(8))
        self.assertEqual(self.ok(0xbe, 0, *be32(7), 0, 0, 2, 0x00), b"")
        self.refused(ILLEGAL, 0x24, 0xbe, 0, *be32(7), 0, 0, 2, 0x18)

    def raw(self, lba, n):
        return self.ok(0xbe, 0, *be32(lba), 0, 0, n, 0xf8)

    def test_read_cd_raw(self):
        n = 40                                      # more than one buffer
        data = self.raw(60, n)
        self.assertEqual(len(data), n * 2352)
        for i in (0, 1, 26, 27, n - 1):
            s = data[i * 2352:(i + 1) * 2352]
            self.assertEqual(s[:12], b"\0" + b"\xff" * 10 + b"\0")
            self.assertEqual(s[16:16 + 2048], block(60 + i))
            self.assertEqual(s[15], 1)

    @ours
    def test_raw_sector_is_sound(self):
        s = self.raw(0, 1)
        self.assertEqual(s[12:15], b"\x00\x02\x00")             # 00:02:00, BCD
        crc = 0
        for b in s[:2064]:
            crc ^= b
            for _ in range(8):
                crc = crc >> 1 ^ (0xd8018001 if crc & 1 else 0)
        self.assertEqual(struct.unpack("<I", s[2064:2068])[0], crc)
        for words, length, first, step, at in ((86, 24, 2, 86, 2076), (52, 43, 86, 88, 2248)):
            for n in range(words):
                self.check_code_word(s, words, length, first, step, at, n)

    def check_code_word(self, s, words, length, first, step, at, n):
        """A Reed-Solomon word is right if its polynomial has the roots 1 and 2."""
        def mul2(v):
            return (v << 1 ^ (0x11d if v & 0x80 else 0)) & 0xff
        pos = (n >> 1) * first + (n & 1)
        word = []
        for _ in range(length):
            word.append(s[12 + pos])
            pos = (pos + step) % (words * length)
        word += [s[at + n], s[at + words + n]]
        total = horner = 0
        for v in word:
            total ^= v
            horner = mul2(horner) ^ v
        self.assertEqual((total, horner), (0, 0), "word %d of %d" % (n, words))


class TrayTest(Base):
    def hmp(self, line):
        return self.q.hmp(line)

    def load(self, open_):
        self.ok(0x1b, 0, 0, 0, 2 if open_ else 3)

    def test_eject_and_load(self):
        self.load(True)
        self.q.wait_event("DEVICE_TRAY_MOVED")
        self.refused(NOT_READY, 0x3a, 0x00)
        self.assertEqual(self.ok(0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8)[5], 1)
        self.load(False)
        self.q.wait_event("DEVICE_TRAY_MOVED")
        self.ok(0x00)
        self.assertEqual(self.read10(3, 1), block(3))

    def test_lock(self):
        self.ok(0x1e, 0, 0, 0, 1)
        self.refused(NOT_READY, 0x53, 0x1b, 0, 0, 0, 2)
        with self.assertRaises(Failed):
            self.q.qmp("eject", device="cd0")
        self.assertEqual(self.ok(0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8)[4] & 15, 1)   # eject request
        self.ok(0x1e, 0, 0, 0, 0)
        self.load(True)

    def test_user_ejects(self):
        self.q.qmp("eject", device="cd0")
        self.refused(NOT_READY, 0x3a, 0x00)
        self.refused(NOT_READY, 0x3a, 0x25)
        self.refused(NOT_READY, 0x3a, 0x28, 0, 0, 0, 0, 0, 0, 0, 1)
        self.ok(0x12, 0, 0, 0, 36)                              # works without a disc

    def test_change(self):
        other = image(500 * 2048, lambda n: numbered(n + 77777))
        self.addCleanup(other.close)
        self.q.qmp("blockdev-change-medium", device="cd0", filename=other.name, format="raw")
        seen = []
        for _ in range(4):
            data, err = self.d.packet([0x00])
            seen.append(self.d.sense() if err else (0, 0))
        self.assertIn((ATTENTION, 0x28), seen)
        self.assertEqual(seen[-1], (0, 0))
        self.assertEqual(self.ok(0x25), be32(499) + be32(2048))
        self.assertEqual(self.read10(0, 1)[:8], struct.pack("<Q", 77777))

    def test_change_is_an_event(self):
        other = image(500 * 2048)
        self.addCleanup(other.close)
        self.q.qmp("blockdev-change-medium", device="cd0", filename=other.name, format="raw")
        self.assertEqual(self.ok(0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8)[4] & 15, 2)   # new medium
        self.assertEqual(self.ok(0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8)[4] & 15, 0)


class DvdTest(TestCase):
    def setUp(self):
        self.disc = image(400000 * 2048)
        self.addCleanup(self.disc.close)
        self.args = ["-M", "pc"] + drive_args(self.disc, 2, True)
        super().setUp()
        self.d = Drive(self.q, 2)

    def test_profile_and_structures(self):
        data, _ = self.d.packet([0x46, 0, 0, 0, 0, 0, 0, 0, 64])
        self.assertEqual(data[6:8], b"\x00\x10")
        data, err = self.d.packet([0xad, 0, 0, 0, 0, 0, 0, 0, 8, 4])
        self.assertEqual((err, len(data)), (0, 2052))
        self.assertEqual(data[:2], b"\x08\x02")
        data, err = self.d.packet([0xad, 0, 0, 0, 0, 0, 0, 1, 0, 8])
        self.assertEqual((err, len(data)), (0, 8))
        data, err = self.d.packet([0xad, 0, 0, 0, 0, 0, 0, 0x77, 0, 8])
        self.assertEqual(err >> 4, ILLEGAL)


class EmptyTest(TestCase):
    args = ["-M", "pc", "-device", "ide-cd,bus=ide.0,unit=0"]

    def test_empty_drive(self):
        d = Drive(self.q, 0)
        _, err = d.packet([0x00])
        self.assertEqual(err >> 4, NOT_READY)
        self.assertEqual(d.sense(), (NOT_READY, 0x3a))
        data, err = d.packet([0x46, 0, 0, 0, 0, 0, 0, 0, 64])
        self.assertEqual(data[6:8], b"\x00\x00")


if __name__ == "__main__":
    main()
