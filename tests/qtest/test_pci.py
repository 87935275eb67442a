#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""PCI: configuration mechanism, identification, base addresses, options of -device; the 440FX's
memory windows; the PIIX3's interrupt router and reset port."""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from libqtest import EMULATOR, PATIENCE, QTest, TestCase, main      # noqa: E402

HOST, ISA, IDE, PM, VGA = 0x00, 0x08, 0x09, 0x0b, 0x10
QEMU = "qemu" in os.path.basename(EMULATOR)


class Configuration(TestCase):
    args = ["-M", "pc", "-m", "128", "-vga", "std"]

    def test_devices(self):
        self.assertEqual(self.q.pci_devices(), {
            HOST: (0x8086, 0x1237), ISA: (0x8086, 0x7000), IDE: (0x8086, 0x7010),
            PM: (0x8086, 0x7113), VGA: (0x1234, 0x1111)})

    def test_headers(self):
        q = self.q
        rows = {                        # class and revision, header type, pin
            HOST: (0x06000002, 0x00, 0), ISA: (0x06010000, 0x80, 0), IDE: (0x01018000, 0x00, 0),
            PM: (0x06800003, 0x00, 1), VGA: (0x03000002, 0x00, 0)}
        for devfn, (cls, header, pin) in rows.items():
            with self.subTest(devfn=devfn):
                self.assertEqual(q.pci_readl(devfn, 0x08), cls)
                self.assertEqual(q.pci_readb(devfn, 0x0e), header)
                self.assertEqual(q.pci_readb(devfn, 0x3d), pin)
                self.assertEqual(q.pci_readl(devfn, 0x2c), 0x11001af4)

    def test_nobody(self):
        self.assertEqual(self.q.pci_readl(0xf8, 0), 0xffffffff)
        self.assertEqual(self.q.pci_readw(0xf8, 2), 0xffff)
        self.q.outl(0xcf8, 0x80010000)          # bus 1
        self.assertEqual(self.q.inl(0xcfc), 0xffffffff)

    def test_mechanism(self):
        q = self.q
        q.outl(0xcf8, 0x80000008)
        self.assertEqual(q.inl(0xcf8), 0x80000008)
        self.assertEqual(q.inl(0xcfc), 0x06000002)
        self.assertEqual(q.inw(0xcfe), 0x0600)
        self.assertEqual(q.inb(0xcfc), 0x02)
        q.outl(0xcf8, 0x00000008)               # not enabled
        self.assertEqual(q.inl(0xcfc), 0xffffffff)
        q.outl(0xcf8, 0x80000000)
        q.outw(0xcf8, 0x1234)                   # only dwords reach the address register
        self.assertEqual(q.inl(0xcf8), 0x80000000)

    def test_bar_sizes(self):
        q = self.q
        self.assertEqual(q.pci_bar(VGA, 0), (False, 16 << 20))
        self.assertEqual(q.pci_bar(VGA, 2), (False, 4096))
        self.assertEqual(q.pci_bar(IDE, 4), (True, 16))
        self.assertIsNone(q.pci_bar(VGA, 1))
        self.assertEqual(q.pci_readl(VGA, 0x10) & 0xf, 8)       # prefetchable

    def test_command_maps_bars(self):
        q = self.q
        q.pci_writel(VGA, 0x10, 0xe0000000)
        self.assertEqual(q.readl(0xe0000000), 0 if QEMU else 0xffffffff)
        q.pci_writew(VGA, 4, 2)
        q.writel(0xe0000000, 0x12345678)
        self.assertEqual(q.readl(0xe0000000), 0x12345678)
        q.pci_writel(VGA, 0x10, 0xe1000000)
        self.assertEqual(q.readl(0xe1000000), 0x12345678)
        q.pci_writew(VGA, 4, 0)
        self.assertNotEqual(q.readl(0xe1000000), 0x12345678)

    def test_probing_does_not_map(self):
        q = self.q
        q.pci_writew(VGA, 4, 3)
        q.pci_writel(VGA, 0x10, 0xffffffff)
        self.assertEqual(q.pci_readl(VGA, 0x10), 0xff000008)
        self.assertEqual(q.readl(0xfffffff0) & 0xff, 0xea)      # still the firmware's far jump

    def test_rom_bar(self):
        q = self.q
        q.pci_writel(VGA, 0x30, 0xffffffff)
        self.assertEqual(q.pci_readl(VGA, 0x30), 0xffff0001)
        q.pci_writel(VGA, 0x30, 0xe0000000)
        q.pci_writew(VGA, 4, 2)
        self.assertNotEqual(q.readw(0xe0000000), 0xaa55)        # not enabled in the BAR itself
        q.pci_writel(VGA, 0x30, 0xe0000001)
        self.assertEqual(q.readw(0xe0000000), 0xaa55)
        pcir = q.readw(0xe0000018)
        self.assertEqual(q.read(0xe0000000 + pcir, 8), b"PCIR\x34\x12\x11\x11")
        q.writew(0xe0000000, 0)
        self.assertEqual(q.readw(0xe0000000), 0xaa55)

    def test_read_only(self):
        q = self.q
        for reg in (0, 8, 0x2c, 0x34):
            old = q.pci_readl(VGA, reg)
            q.pci_writel(VGA, reg, ~old)
            self.assertEqual(q.pci_readl(VGA, reg), old)
        q.pci_writew(VGA, 4, 0xffff)
        self.assertEqual(q.pci_readw(VGA, 4), 0x0507 if not QEMU else q.pci_readw(VGA, 4))

    def test_reset(self):
        q = self.q
        q.pci_writel(VGA, 0x10, 0xe0000000)
        q.pci_writew(VGA, 4, 7)
        q.pci_writeb(VGA, 0x3c, 11)
        q.qmp("system_reset")
        self.wait_reset()
        self.assertEqual(q.pci_readl(VGA, 0x10), 8)
        self.assertEqual(q.pci_readw(VGA, 4), 0)
        self.assertEqual(q.pci_readb(VGA, 0x3c), 0)

    def wait_reset(self):
        for _ in range(200):
            if self.q.pci_readl(VGA, 0x10) == 8:
                return

    def test_info_pci(self):
        text = self.q.hmp("info pci")
        self.assertIn("Bus  0, device   1, function 1:", text)
        self.assertIn("IDE controller: PCI device 8086:7010", text)
        self.assertIn("BAR0: 32 bit prefetchable memory at", text)


class Options(unittest.TestCase):
    def start(self, *args):
        return QTest(["-M", "pc", "-vga", "none", *args])

    def refused(self, words, *args):
        import subprocess
        p = subprocess.run([EMULATOR, "-M", "pc", "-nodefaults", "-display", "none", *args],
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60 * PATIENCE)
        self.assertEqual(p.returncode, 1, p.stdout)
        self.assertEqual(len(p.stdout.strip().splitlines()), 1, p.stdout)
        for w in words:
            self.assertIn(w, p.stdout)

    def test_addr(self):
        with self.start("-device", "VGA,addr=1e.3") as q:
            # nothing in function 0: it exists, but nobody probes it
            self.assertEqual(q.pci_readl(0xf3, 0), 0x11111234)
        with self.start("-device", "VGA,addr=0x5,multifunction=on") as q:
            self.assertEqual(q.pci_readb(0x28, 0x0e), 0x80)

    def test_first_free(self):
        with self.start("-device", "VGA") as q:
            self.assertEqual(q.pci_readl(0x10, 0), 0x11111234)

    def test_romfile(self):
        with self.start("-device", "VGA,romfile=") as q:
            q.pci_writel(0x10, 0x30, 0xffffffff)
            self.assertEqual(q.pci_readl(0x10, 0x30), 0)
        with self.start("-device", "VGA,rombar=0") as q:
            q.pci_writel(0x10, 0x30, 0xffffffff)
            self.assertEqual(q.pci_readl(0x10, 0x30), 0)

    def test_refused(self):
        self.refused(["slot 1", "PIIX3"], "-device", "VGA,addr=1.0")
        self.refused(["addr"], "-device", "VGA,addr=20")
        self.refused(["romfile", "nowhere"], "-device", "VGA,romfile=nowhere.rom")
        self.refused(["single-function", "VGA"], "-device", "VGA,addr=5", "-device", "VGA,addr=5.1")
        self.refused(["vgamem_mb=3"], "-device", "VGA,vgamem_mb=3")
        self.refused(["-vga qxl", "virtio"], "-vga", "qxl")
        self.refused(["'qxl-vga'", "use 'virtio-vga'"], "-device", "qxl-vga")
        self.refused(["'vmware-svga'", "use 'VGA'"], "-device", "vmware-svga")


class Windows(TestCase):
    """Shadow RAM and SMRAM of the host bridge."""
    args = ["-M", "pc", "-m", "32", "-vga", "std"]

    def pam(self, n, attribute):
        """Window n of 16 KiB from C0000h."""
        reg, high = 0x5a + n // 2, n & 1
        old = self.q.pci_readb(HOST, reg)
        shift = 4 if high else 0
        self.q.pci_writeb(HOST, reg, (old & ~(0xf << shift)) | attribute << shift)

    def test_shadow(self):
        q = self.q
        for n in range(8):
            at = 0xc0000 + 0x4000 * n
            self.pam(n, 3)
            q.writel(at + 16, 0x1000 + n)
            q.writel(at + 0x3ffc, 0x2000 + n)
            self.assertEqual(q.readl(at + 16), 0x1000 + n)
            self.pam(n, 1)
            q.writel(at + 16, 0xdead)
            self.assertEqual(q.readl(at + 16), 0x1000 + n, "write-protected")
            self.pam(n, 0)
            self.assertNotEqual(q.readl(at + 16), 0x1000 + n, "RAM hidden")
            self.pam(n, 3)
            self.assertEqual(q.readl(at + 0x3ffc), 0x2000 + n)

    def test_firmware_shadow(self):
        q = self.q
        rom = q.read(0xffff0, 16)
        self.assertEqual(rom[0], 0xea)
        q.pci_writeb(HOST, 0x59, 0x30)
        self.assertEqual(q.read(0xffff0, 16), bytes(16))
        q.write(0xffff0, b"x" * 16)
        q.pci_writeb(HOST, 0x59, 0x00)
        self.assertEqual(q.read(0xffff0, 16), rom)
        q.pci_writeb(HOST, 0x59, 0x10)
        self.assertEqual(q.read(0xffff0, 16), b"x" * 16)

    @unittest.skipIf(QEMU, "reads RAM in this mode")
    def test_copy_in_place(self):
        """Reads from ROM, writes to RAM: how a BIOS shadows itself."""
        q = self.q
        rom = q.read(0xf0000, 0x10000)
        q.pci_writeb(HOST, 0x59, 0x20)
        self.assertEqual(q.read(0xffff0, 16), rom[-16:])
        for at in range(0, 0x100, 4):
            q.writel(0xfff00 + at, q.readl(0xfff00 + at))
        q.pci_writeb(HOST, 0x59, 0x10)
        self.assertEqual(q.read(0xfff00, 0x100), rom[-0x100:])
        self.assertEqual(q.read(0xff000, 16), bytes(16))

    def test_smram(self):
        q = self.q
        self.assertEqual(q.pci_readb(HOST, 0x72), 0x02)
        q.pci_writeb(HOST, 0x72, 0x4a)          # enabled and open
        q.writel(0xa0000, 0x55aa1234)
        q.writel(0xbfffc, 0x55aa5678)
        self.assertEqual(q.readl(0xa0000), 0x55aa1234)
        q.pci_writeb(HOST, 0x72, 0x0a)
        self.assertNotEqual(q.readl(0xa0000), 0x55aa1234)
        q.pci_writeb(HOST, 0x72, 0x4a)
        self.assertEqual(q.readl(0xbfffc), 0x55aa5678)

    def test_smram_lock(self):
        q = self.q
        q.pci_writeb(HOST, 0x72, 0x5a)
        self.assertEqual(q.pci_readb(HOST, 0x72) & 0x50, 0x10, "locking closes it")
        q.pci_writeb(HOST, 0x72, 0x4a)
        self.assertEqual(q.pci_readb(HOST, 0x72) & 0x58, 0x18, "and it stays so")
        q.qmp("system_reset")
        for _ in range(200):
            if q.pci_readb(HOST, 0x72) == 0x02:
                break
        self.assertEqual(q.pci_readb(HOST, 0x72), 0x02)


class Memory(unittest.TestCase):
    """RAM below and above the hole."""

    def ram_at(self, q, at):
        q.writel(at, 0x600dcafe)
        return q.readl(at) == 0x600dcafe

    def check(self, size, inside, outside):
        with QTest(["-M", "pc", "-m", size, "-vga", "none"]) as q:
            for at in inside:
                self.assertTrue(self.ram_at(q, at), hex(at))
            for at in outside:
                self.assertFalse(self.ram_at(q, at), hex(at))

    def test_small(self):
        self.check("1", [0, 0x9fffc], [0x100000, 0x100000000])

    def test_below(self):
        self.check("3583", [0x100000, 0xdfeffffc], [0xdff00000, 0x100000000])

    def test_split(self):
        self.check("3584", [0xbffffffc, 0x100000000, 0x11ffffffc], [0xc0000000, 0x120000000])

    def test_option(self):
        self.check("2048", [0x7ffffffc], [0x80000000])
        with QTest(["-M", "pc,max-ram-below-4g=1G", "-m", "2048", "-vga", "none"]) as q:
            self.assertTrue(self.ram_at(q, 0x3ffffffc))
            self.assertFalse(self.ram_at(q, 0x40000000))
            self.assertTrue(self.ram_at(q, 0x13ffffffc))

    def test_firmware(self):
        with QTest(["-M", "pc", "-vga", "none"]) as q:
            self.assertEqual(q.read(0xfffffff0, 16), q.read(0xffff0, 16))
            self.assertEqual(q.read(0xfffe0000, 64), q.read(0xe0000, 64))
            q.writel(0xfffffff0, 0)
            self.assertEqual(q.readb(0xfffffff0), 0xea)


class Router(TestCase):
    """PIRQ routing, seen at the 8259's inputs.  The SMBus host asserts nothing, so the only
    PCI interrupt that can be made here without a driver is a bus master's: the test looks at
    the registers."""
    args = ["-M", "pc", "-vga", "none"]

    def test_values(self):
        for n in range(4):
            self.assertEqual(self.q.pci_readb(ISA, 0x60 + n), 0x80)
            self.q.pci_writeb(ISA, 0x60 + n, 0x0b)
            self.assertEqual(self.q.pci_readb(ISA, 0x60 + n), 0x0b)

    def test_reset_port(self):
        q = self.q
        q.pci_writeb(ISA, 0x60, 0x0b)
        q.outb(0xcf9, 0x02)
        self.assertEqual(q.inb(0xcf9), 0x02)
        q.outb(0xcf9, 0x06)
        for _ in range(200):
            if q.pci_readb(ISA, 0x60) == 0x80:
                break
        self.assertEqual(q.pci_readb(ISA, 0x60), 0x80)
        self.assertIn("RESET", [e["event"] for e in q.events] + [self.next_event()])

    def next_event(self):
        self.q.qmp("query-status")
        return self.q.events[-1]["event"] if self.q.events else None

    def test_port92(self):
        q = self.q
        q.pci_writeb(ISA, 0x60, 0x0b)
        q.outb(0x92, 0x02)
        self.assertEqual(q.inb(0x92), 0x02)
        q.outb(0x92, 0x03)
        for _ in range(200):
            if q.pci_readb(ISA, 0x60) == 0x80:
                break
        self.assertEqual(q.pci_readb(ISA, 0x60), 0x80)


if __name__ == "__main__":
    main()
