#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""fw_cfg: items, files, DMA; what the board puts there: e820, ACPI and SMBIOS tables, boot order,
kernels."""

import os
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from libqtest import EMULATOR, PATIENCE, QTest, TestCase, main, patiently      # noqa: E402

SELECT, DATA, DMA = 0x510, 0x511, 0x514
COMMAND, BUFFER = 0x2000, 0x100000


class FwCfg:
    """The firmware's side of it."""

    def __init__(self, q):
        self.q = q

    def item(self, key, n):
        self.q.outw(SELECT, key)
        answers = self.q.batch(["inb 0x%x" % DATA] * n)
        return bytes(int(a.split()[1], 0) for a in answers)

    def files(self):
        count = struct.unpack(">I", self.item(0x19, 4))[0]
        rows = self.item(0x19, 4 + 64 * count)[4:]
        found = {}
        for i in range(count):
            size, key, _, name = struct.unpack(">IHH56s", rows[64 * i:64 * i + 64])
            found[name.split(b"\0")[0].decode()] = (key, size)
        return found

    def dma(self, control, length, addr):
        """Run a command; its control word afterwards."""
        self.q.write(COMMAND, struct.pack(">IIQ", control, length, addr))
        self.q.outl(DMA, 0)
        self.q.outl(DMA + 4, int.from_bytes(COMMAND.to_bytes(4, "big"), "little"))
        return struct.unpack(">I", self.q.read(COMMAND, 4))[0]

    def read(self, name):
        key, size = self.files()[name]
        assert self.dma(key << 16 | 0x0a, size, BUFFER) == 0
        return b"".join(self.q.read(BUFFER + i, min(4096, size - i)) for i in range(0, size, 4096))


class Interface(TestCase):
    args = ["-M", "pc", "-m", "64", "-vga", "none", "-fw_cfg", "name=opt/test,string=abcdef"]

    def setUp(self):
        super().setUp()
        self.f = FwCfg(self.q)

    def test_signature(self):
        self.assertEqual(self.f.item(0, 5), b"QEMU\0")
        self.assertEqual(self.f.item(1, 4), b"\3\0\0\0")
        self.assertEqual(self.q.inl(DMA), int.from_bytes(b"QEMU", "little"))
        self.assertEqual(self.q.inl(DMA + 4), int.from_bytes(b" CFG", "little"))

    def test_numbers(self):
        self.assertEqual(self.f.item(3, 8), struct.pack("<Q", 64 << 20))
        self.assertEqual(self.f.item(5, 2), b"\1\0")
        self.assertEqual(self.f.item(0x0f, 2), b"\1\0")

    def test_missing_item(self):
        self.assertEqual(self.f.item(0x3f00, 3), b"\0\0\0")
        self.assertEqual(self.f.item(0xbfff, 3), b"\0\0\0")

    def test_user_file(self):
        self.assertEqual(self.f.read("opt/test"), b"abcdef")
        key, size = self.f.files()["opt/test"]
        self.assertEqual(self.f.item(key, 8), b"abcdef\0\0")

    def test_sorted(self):
        names = list(self.f.files())
        self.assertEqual(names, sorted(names))

    def test_dma_skip_and_read(self):
        f, q = self.f, self.q
        key = f.files()["opt/test"][0]
        self.assertEqual(f.dma(key << 16 | 0x0c, 2, 0), 0)
        self.assertEqual(f.dma(0x02, 3, BUFFER), 0)
        self.assertEqual(q.read(BUFFER, 3), b"cde")
        q.memset(BUFFER, 16, 0xff)
        self.assertEqual(f.dma(0x02, 16, BUFFER), 0)
        self.assertEqual(q.read(BUFFER, 16), b"f" + bytes(15), "zeros behind the end")

    def test_dma_write_refused(self):
        key = self.f.files()["opt/test"][0]
        self.q.write(BUFFER, b"XYZ")
        self.assertEqual(self.f.dma(key << 16 | 0x18, 3, BUFFER), 1)
        self.assertEqual(self.f.read("opt/test"), b"abcdef")

    def test_dma_bad_addresses(self):
        self.assertEqual(self.f.dma(0 << 16 | 0x0a, 4, 0x7f00000000), 1)
        self.q.outl(DMA, 0xffffffff)
        self.q.outl(DMA + 4, 0xffffffff)        # a command nowhere
        self.assertEqual(self.f.item(0, 4), b"QEMU")


class Board(unittest.TestCase):
    def start(self, *args):
        q = QTest(["-M", "pc", "-vga", "none", *args])
        self.addCleanup(q.close)
        return FwCfg(q)

    def e820(self, *args):
        t = self.start(*args).read("etc/e820")
        return [struct.unpack("<QQI", t[i:i + 20]) for i in range(0, len(t), 20)]

    def test_e820(self):
        self.assertEqual(self.e820("-m", "64"), [(0, 64 << 20, 1)])
        self.assertEqual(self.e820("-m", "5G"), [(0, 3 << 30, 1), (4 << 30, 2 << 30, 1)])

    def test_boot_order(self):
        f = self.start("-drive", "if=none,id=a,driver=null-co,size=1M",
                       "-drive", "if=none,id=b,driver=null-co,size=1M",
                       "-drive", "if=none,id=c,driver=null-co,size=1474560",
                       "-device", "ide-hd,drive=a,bus=ide.1,unit=1,bootindex=3",
                       "-device", "ide-cd,drive=b,bus=ide.0,bootindex=1",
                       "-device", "floppy,drive=c,bootindex=2", "-boot", "strict=on")
        self.assertEqual(f.read("bootorder").decode().split("\n"), [
            "/pci@i0cf8/ide@1,1/drive@0/disk@0", "/pci@i0cf8/isa@1/fdc@03f0/floppy@0",
            "/pci@i0cf8/ide@1,1/drive@1/disk@1", "HALT", "\0"])

    def test_sleep_states(self):
        self.assertEqual(self.start().read("etc/system-states"), b"\x80\0\0\x81\x82\x80")
        f = self.start("-global", "PIIX4_PM.disable_s3=1", "-global", "PIIX4_PM.disable_s4=1")
        self.assertEqual(f.read("etc/system-states"), b"\x80\0\0\x01\x02\x80")

    def test_boot_options(self):
        f = self.start("-boot", "menu=on,splash-time=1234,reboot-timeout=77")
        self.assertEqual(f.item(0x0e, 2), b"\1\0")
        self.assertEqual(f.read("etc/boot-menu-wait"), struct.pack("<H", 1234))
        self.assertEqual(f.read("etc/boot-fail-wait"), struct.pack("<I", 77))

    def cmos(self, q, at):
        q.outb(0x70, at)
        return q.inb(0x71)

    def test_cmos(self):
        q = self.start("-m", "5G", "-boot", "order=dc", "-no-fd-bootchk").q
        value = lambda *at: sum(self.cmos(q, a) << 8 * i for i, a in enumerate(at))
        self.assertEqual(value(0x15, 0x16), 640)
        self.assertEqual(value(0x17, 0x18), 65535)
        self.assertEqual(value(0x34, 0x35), ((3 << 30) - (16 << 20)) >> 16)
        self.assertEqual(value(0x5b, 0x5c, 0x5d), (2 << 30) >> 16)
        self.assertEqual(value(0x3d), 0x23)
        self.assertEqual(value(0x38), 0x01)

    def test_boot_once(self):
        q = self.start("-boot", "order=c,once=d").q
        self.assertEqual(self.cmos(q, 0x3d), 0x03)
        q.qmp("system_reset")
        for _ in patiently():
            if self.cmos(q, 0x3d) == 0x02:
                break
        self.assertEqual(self.cmos(q, 0x3d), 0x02)


class Acpi(unittest.TestCase):
    """The tables as firmware puts them into memory, read by ACPICA's disassembler."""

    def tables(self, *args):
        q = QTest(["-M", "pc", "-vga", "std", *args])
        self.addCleanup(q.close)
        f = FwCfg(q)
        blob = bytearray(f.read("etc/acpi/tables"))
        rsdp = bytearray(f.read("etc/acpi/rsdp"))
        mem = {"etc/acpi/tables": (0x7f00000, blob), "etc/acpi/rsdp": (0xf5000, rsdp)}
        allocated = set()
        script = f.read("etc/table-loader")
        for i in range(0, len(script), 128):
            c = script[i:i + 128]
            op = struct.unpack_from("<I", c)[0]
            name = c[4:60].split(b"\0")[0].decode()
            if op == 1:
                self.assertIn(name, mem)
                self.assertEqual(mem[name][0] % struct.unpack_from("<I", c, 60)[0], 0)
                allocated.add(name)
            elif op == 2:
                self.assertIn(name, allocated)
                to = c[60:116].split(b"\0")[0].decode()
                at, = struct.unpack_from("<I", c, 116)
                self.assertEqual(c[120], 4)
                old, = struct.unpack_from("<I", mem[name][1], at)
                struct.pack_into("<I", mem[name][1], at, old + mem[to][0])
            elif op == 3:
                at, start, length = struct.unpack_from("<III", c, 60)
                data = mem[name][1]
                self.assertLessEqual(start + length, len(data))
                data[at] = 0
                data[at] = -sum(data[start:start + length]) & 0xff
            else:
                self.assertEqual(op, 0)
        self.assertEqual(sum(rsdp) & 0xff, 0)
        self.assertEqual(rsdp[:8], b"RSD PTR ")
        found = {}

        def take(addr):
            at = addr - 0x7f00000
            length, = struct.unpack_from("<I", blob, at + 4)
            table = bytes(blob[at:at + length])
            found[table[:4].decode()] = table
            return table

        rsdt = take(struct.unpack_from("<I", rsdp, 16)[0])
        for addr in struct.unpack("<%dI" % ((len(rsdt) - 36) // 4), rsdt[36:]):
            take(addr)
        facs, dsdt = struct.unpack_from("<II", found["FACP"], 36)
        self.assertEqual(facs % 64, 0)
        take(dsdt)
        take(facs)
        return found

    def test_sums(self):
        for name, t in self.tables().items():
            if name != "FACS":
                self.assertEqual(sum(t) & 0xff, 0, name)

    def test_which(self):
        self.assertEqual(set(self.tables()), {"RSDT", "FACP", "FACS", "DSDT", "APIC", "HPET", "WAET"})
        q = QTest(["-M", "pc,hpet=off", "-vga", "none"])
        self.addCleanup(q.close)
        self.assertNotIn("HPET", self.tables("-M", "pc,hpet=off"))

    def test_fadt(self):
        t = self.tables()["FACP"]
        self.assertEqual(len(t), 116)
        self.assertEqual(struct.unpack_from("<H", t, 46)[0], 9)
        self.assertEqual(struct.unpack_from("<I", t, 48)[0], 0xb2)
        self.assertEqual(struct.unpack_from("<III", t, 56)[0], 0x600)
        self.assertEqual(struct.unpack_from("<I", t, 76)[0], 0x608)
        self.assertEqual(struct.unpack_from("<I", t, 80)[0], 0xafe0)

    def test_madt(self):
        t = self.tables("-smp", "3")["APIC"]
        rows, at = [], 44
        while at < len(t):
            rows.append(t[at:at + t[at + 1]])
            at += t[at + 1]
        self.assertEqual(at, len(t))
        self.assertEqual([r[3] for r in rows if r[0] == 0], [0, 1, 2])
        self.assertIn(struct.pack("<BBBBII", 1, 12, 0, 0, 0xfec00000, 0), rows)
        self.assertIn(struct.pack("<BBBBIH", 2, 10, 0, 0, 2, 0), rows)
        self.assertIn(struct.pack("<BBBBIH", 2, 10, 0, 9, 9, 0xd), rows)

    def test_pm_base_follows_firmware(self):
        q = QTest(["-M", "pc", "-vga", "none"])
        self.addCleanup(q.close)
        q.pci_writel(0x0b, 0x40, 0xb001)
        blob = FwCfg(q).read("etc/acpi/tables")
        at = blob.index(b"FACP")
        self.assertEqual(struct.unpack_from("<I", blob, at + 56)[0], 0xb000)

    def test_user_table(self):
        with tempfile.NamedTemporaryFile() as f:
            f.write(b"0123456789")
            f.flush()
            t = self.tables("-acpitable", "sig=TEST,oem_id=ME,data=" + f.name)["TEST"]
        self.assertEqual(t[36:], b"0123456789")
        self.assertEqual(t[10:16], b"ME\0\0\0\0")

    @unittest.skipUnless(shutil.which("iasl"), "acpica-tools is not installed")
    def test_disassembles(self):
        tables = self.tables("-smp", "2", "-device", "pvpanic", "-serial", "null", "-serial", "null",
                             "-parallel", "null")
        with tempfile.TemporaryDirectory() as d:
            for name, t in tables.items():
                with open(os.path.join(d, name + ".aml"), "wb") as f:
                    f.write(t)
            names = [n + ".aml" for n in tables if n not in ("FACS", "RSDT")]
            p = subprocess.run(["iasl", "-d", *names], cwd=d, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True)
            self.assertEqual(p.returncode, 0, p.stdout)
            self.assertNotIn("Error", p.stdout)
            with open(os.path.join(d, "DSDT.dsl")) as f:
                text = f.read()
            p = subprocess.run(["iasl", "-tc", "DSDT.dsl"], cwd=d, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True)
            self.assertIn(" 0 Errors", p.stdout)
        for word in ('EisaId ("PNP0A03")', "Device (LNKD)", "Device (COM2)", "Device (LPT1)",
                     "Device (FDC0)", "Device (HPET)", "QEMU0001", "C001"):
            self.assertIn(word, text)
        self.assertEqual(text.count("LNKS, "), 1)


class Smbios(unittest.TestCase):
    def structures(self, *args):
        q = QTest(["-M", "pc", "-vga", "none", *args])
        self.addCleanup(q.close)
        f = FwCfg(q)
        t, anchor = f.read("etc/smbios/smbios-tables"), f.read("etc/smbios/smbios-anchor")
        found, at = [], 0
        while at < len(t):
            kind, length, handle = struct.unpack_from("<BBH", t, at)
            end = t.index(b"\0\0", at + length) + 2
            strings = [s.decode() for s in t[at + length:end - 2].split(b"\0")]
            found.append((kind, handle, t[at:at + length], strings))
            at = end
        self.assertEqual(len({h for _, h, _, _ in found}), len(found), "handles")
        return found, anchor, len(t)

    def test_entry32(self):
        found, anchor, size = self.structures()
        self.assertEqual(anchor[:4], b"_SM_")
        self.assertEqual(sum(anchor) & 0xff, 0)
        self.assertEqual(struct.unpack_from("<H", anchor, 22)[0], size)
        self.assertEqual(struct.unpack_from("<H", anchor, 28)[0], len(found))
        self.assertEqual(found[-1][0], 127)

    def test_entry64(self):
        _, anchor, size = self.structures("-M", "pc,smbios-entry-point-type=64")
        self.assertEqual(anchor[:5], b"_SM3_")
        self.assertEqual(sum(anchor) & 0xff, 0)
        self.assertEqual(struct.unpack_from("<I", anchor, 12)[0], size)

    def one(self, kind, *args):
        return [s for s in self.structures(*args)[0] if s[0] == kind]

    def test_system(self):
        _, _, data, strings = self.one(1, "-uuid", "00112233-4455-6677-8899-aabbccddeeff",
                                       "-smbios", "type=1,serial=S1,family=F")[0]
        self.assertEqual(strings[0], "QEMU")
        self.assertEqual(strings[data[7] - 1], "S1")
        self.assertEqual(strings[data[26] - 1], "F")
        self.assertEqual(data[8:24].hex(), "33221100554477668899aabbccddeeff")

    def test_memory(self):
        sizes = [struct.unpack_from("<H", s[2], 12)[0] for s in self.one(17, "-m", "20G")]
        self.assertEqual(sizes, [16384, 4096])
        self.assertEqual(len(self.one(19, "-m", "20G")), 2)

    def test_oem_strings(self):
        s = self.one(11, "-smbios", "type=11,value=one,value=two")[0]
        self.assertEqual((s[2][4], s[3]), (2, ["one", "two"]))

    def test_processors(self):
        rows = self.one(4, "-smp", "4,sockets=2,cores=2")
        self.assertEqual([(r[2][0x23], r[2][0x25]) for r in rows], [(2, 2), (2, 2)])

    def test_file(self):
        with tempfile.NamedTemporaryFile() as f:
            f.write(bytes([1, 8, 0, 1, 1, 0, 0, 0]) + b"from a file\0\0")
            f.flush()
            rows = self.one(1, "-smbios", "file=" + f.name)
        self.assertEqual([r[3] for r in rows], [["from a file"]])

    def refused(self, arg):
        p = subprocess.run([EMULATOR, "-M", "pc", "-display", "none", "-smbios", arg],
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60 * PATIENCE)
        self.assertEqual((p.returncode, len(p.stdout.splitlines())), (1, 1), p.stdout)

    def test_refused(self):
        for arg in ("type=1,colour=red", "type=99,vendor=x", "serial=1", "type=1,uuid=12",
                    "type=0,release=1.2.3", "file=/nowhere", "file=" + os.path.abspath(__file__)):
            with self.subTest(arg):
                self.refused(arg)


if __name__ == "__main__":
    main()
