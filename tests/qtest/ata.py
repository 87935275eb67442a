# SPDX-License-Identifier: MIT
"""An ATA host for tests: task file, PIO, packets, bus master DMA of the piix3-ide function."""

import os
import struct
import tempfile

from libqtest import patiently

CMD = (0x1f0, 0x170)
CTL = (0x3f6, 0x376)
BSY, DRDY, DF, DSC, DRQ, ERR = 0x80, 0x40, 0x20, 0x10, 0x08, 0x01
UNC, IDNF, ABRT = 0x40, 0x10, 0x04
DEVFN = 0x09
BMDMA = 0xc000
PRDT, BUFFER = 0x100000, 0x200000


def image(size, fill=None):
    """A temporary file of that size; fill(sector number) -> 512 bytes."""
    f = tempfile.NamedTemporaryFile(prefix="orrery-disk-")
    if fill:
        f.write(b"".join(fill(n) for n in range(size // 512)))
        f.flush()
    else:
        f.truncate(size)
    return f


def numbered(n):
    """A sector that tells its number."""
    return struct.pack("<Q", n) * 64


class Drive:
    def __init__(self, q, unit=0):
        self.q, self.cmd, self.ctl, self.unit = q, CMD[unit >> 1], CTL[unit >> 1], unit & 1
        self.bm = BMDMA + 8 * (unit >> 1)
        self.select(0)

    def select(self, low=0):
        self.q.outb(self.cmd + 6, 0xa0 | self.unit << 4 | low)

    def status(self):
        return self.q.inb(self.cmd + 7)

    def alt(self):
        return self.q.inb(self.ctl)

    def error(self):
        return self.q.inb(self.cmd + 1)

    def wait(self):
        """Not busy any more: the status (alternate, so that the interrupt stays)."""
        for _ in patiently():
            st = self.alt()
            if not st & BSY:
                return st
        raise AssertionError("busy for ever: %02x" % st)

    def regs(self, feature=0, count=0, lba=None, chs=None, ext=False):
        q, c = self.q, self.cmd
        if ext:
            self.select(0x40)
            for reg, hi, lo in ((1, feature >> 8, feature), (2, count >> 8, count),
                                (3, lba >> 24, lba), (4, lba >> 32, lba >> 8),
                                (5, lba >> 40, lba >> 16)):
                q.outb(c + reg, hi)
                q.outb(c + reg, lo)
            return
        if chs is not None:
            cyl, head, sec = chs
            self.select(head)
            values = (feature, count, sec, cyl, cyl >> 8)
        else:
            lba = lba or 0
            self.select(0x40 | lba >> 24 & 15)
            values = (feature, count, lba, lba >> 8, lba >> 16)
        for reg, v in enumerate(values, 1):
            q.outb(c + reg, v)

    def command(self, code, **regs):
        self.regs(**regs)
        self.q.outb(self.cmd + 7, code)

    def nodata(self, code, **regs):
        self.command(code, **regs)
        self.wait()
        return self.status()

    def data_in(self, words):
        answers = self.q.batch(["inw 0x%x" % self.cmd] * words)
        return b"".join(struct.pack("<H", int(a[3:], 0)) for a in answers)

    def data_out(self, data):
        self.q.batch(["outw 0x%x 0x%x" % (self.cmd, v)
                      for v in struct.unpack("<%dH" % (len(data) // 2), data)])

    def pio_in(self, code, size, block=512, **regs):
        self.command(code, **regs)
        out = b""
        while len(out) < size:
            st = self.wait()
            self.status()
            assert st & DRQ, "no data: status %02x error %02x" % (st, self.error())
            out += self.data_in(min(block, size - len(out)) // 2)
        return out

    def pio_out(self, code, data, block=512, **regs):
        self.command(code, **regs)
        for at in range(0, len(data), block):
            st = self.wait()
            self.status()
            assert st & DRQ, "no request: status %02x error %02x" % (st, self.error())
            self.data_out(data[at:at + block])
        self.wait()
        return self.status()

    def identify(self, code=0xec):
        return struct.unpack("<256H", self.pio_in(code, 512))

    # ---- bus master DMA ----

    def dma_init(self):
        self.q.pci_writel(DEVFN, 0x20, BMDMA | 1)
        self.q.pci_writew(DEVFN, 0x04, 0x05)

    def prdt(self, pieces, end=True):
        """[(address, size)]"""
        data = b""
        for i, (addr, size) in enumerate(pieces):
            last = end and i == len(pieces) - 1
            data += struct.pack("<IHH", addr, size & 0xffff, 0x8000 if last else 0)
        self.q.write(PRDT, data)

    def dma(self, code, pieces, to_memory, start=True, **regs):
        """Run a DMA command to its end; (ATA status, bus master status)."""
        q = self.q
        self.prdt(pieces)
        q.outb(self.bm, 0)
        q.outb(self.bm + 2, 0x66)
        q.outl(self.bm + 4, PRDT)
        self.command(code, **regs)
        q.outb(self.bm, 0x09 if to_memory else 0x01)
        for _ in patiently():
            bm = q.inb(self.bm + 2)
            if bm & 0x04 or not bm & 0x01:
                break
        else:
            raise AssertionError("DMA does not end: %02x" % bm)
        q.outb(self.bm, 0)
        return self.status(), bm

    # ---- packets ----

    def packet(self, cdb, limit=0xfffe, dma=None):
        """(data, error register).  dma: list of pieces."""
        q = self.q
        cdb = bytes(cdb) + b"\0" * (12 - len(cdb))
        if dma is not None:
            self.prdt(dma)
            q.outb(self.bm, 0)
            q.outb(self.bm + 2, 0x66)
            q.outl(self.bm + 4, PRDT)
        self.command(0xa0, feature=1 if dma is not None else 0, lba=limit << 8)
        st = self.wait()
        if st & ERR:
            return b"", self.error()
        assert st & DRQ and q.inb(self.cmd + 2) & 3 == 1
        self.data_out(cdb)
        if dma is not None:
            q.outb(self.bm, 0x09)
        out = b""
        while True:
            st = self.wait()
            if dma is not None and not st & (DRQ | ERR) and not q.inb(self.bm + 2) & 0x04:
                continue
            self.status()
            if not st & DRQ:
                if dma is not None:
                    q.outb(self.bm, 0)
                return out, self.error() if st & ERR else 0
            assert q.inb(self.cmd + 2) & 3 == 2
            n = q.inb(self.cmd + 4) | q.inb(self.cmd + 5) << 8
            assert 0 < n <= limit
            out += self.data_in((n + 1) // 2)[:n]

    def sense(self):
        data, err = self.packet([0x03, 0, 0, 0, 18])
        assert not err
        return data[2] & 15, data[12]


def drive_args(f, index=0, cdrom=False, extra=""):
    return ["-drive", "file=%s,if=ide,format=raw,index=%d,media=%s%s"
            % (f.name, index, "cdrom" if cdrom else "disk", extra)]


def file_bytes(f, offset, size):
    with open(f.name, "rb") as g:
        return os.pread(g.fileno(), size, offset)
