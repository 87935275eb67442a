# SPDX-License-Identifier: MIT
"""A virtio driver for tests: the PCI transport (version 1 and legacy), split and packed rings."""

import struct

MEM, IO = 0xe1000000, 0xc100
ACK, DRIVER, DRIVER_OK, FEATURES_OK, NEEDS_RESET, FAILED = 1, 2, 4, 8, 0x40, 0x80
INDIRECT, EVENT_IDX, VERSION_1, PACKED, RING_RESET = 1 << 28, 1 << 29, 1 << 32, 1 << 34, 1 << 40
NEXT, WRITE, IND = 1, 2, 4
RINGS = 0x400000                # where rings are laid out, 64 KiB each
MEMORY = 0x600000               # for requests


class Broken(Exception):
    """The device asks for a reset."""


class VirtIO:
    """One function; queues are made by setup()."""

    def __init__(self, q, devfn, legacy=False, vga=False):
        """vga: registers are where a virtio-vga has them."""
        self.q, self.devfn, self.legacy = q, devfn, legacy
        self.queues, self.next_memory = {}, MEMORY
        self.common, self.isr_at = (MEM + 0x1000, MEM + 0x1800) if vga else (MEM, MEM + 0x1000)
        bar = 0x18 if vga else 0x20
        q.pci_writel(devfn, bar, MEM)
        q.pci_writel(devfn, bar + 4, 0)
        if not vga:
            q.pci_writel(devfn, 0x10, IO)
        q.pci_writew(devfn, 4, 7)
        self.multiplier = 4

    # ---- registers ----

    def status(self, value=None):
        q = self.q
        if value is None:
            return q.inb(IO + 18) if self.legacy else q.readb(self.common + 0x14)
        if self.legacy:
            q.outb(IO + 18, value)
        else:
            q.writeb(self.common + 0x14, value)

    def offered(self):
        q = self.q
        if self.legacy:
            return q.inl(IO)
        value = 0
        for n in (0, 1):
            q.writel(self.common, n)
            value |= q.readl(self.common + 4) << 32 * n
        return value

    def accept(self, features):
        q = self.q
        if self.legacy:
            q.outl(IO + 4, features)
            return
        for n in (0, 1):
            q.writel(self.common + 8, n)
            q.writel(self.common + 12, features >> 32 * n & 0xffffffff)

    def config(self, offset, size):
        if self.legacy:
            return bytes(self.q.inb(IO + 20 + offset + k) for k in range(size))
        return bytes(self.q.readb(MEM + 0x2000 + offset + k) for k in range(size))

    def set_config(self, offset, data):
        for k, byte in enumerate(data):
            if self.legacy:
                self.q.outb(IO + 20 + offset + k, byte)
            else:
                self.q.writeb(MEM + 0x2000 + offset + k, byte)

    def isr(self):
        return self.q.inb(IO + 19) if self.legacy else self.q.readb(self.isr_at)

    # ---- life ----

    def setup(self, want=0, queues=(0,), size=None):
        """Reset, negotiate (want: features beside those of the transport), make queues."""
        self.status(0)
        self.next_memory = MEMORY
        self.status(ACK)
        self.status(ACK | DRIVER)
        offered = self.offered()
        self.features = offered & want | (0 if self.legacy else VERSION_1)
        self.accept(self.features)
        if not self.legacy:
            self.status(ACK | DRIVER | FEATURES_OK)
            assert self.status() & FEATURES_OK, "features refused"
        ring = PackedRing if self.features & PACKED else SplitRing
        self.queues = {n: ring(self, n, RINGS + 0x10000 * k, size) for k, n in enumerate(queues)}
        self.status(ACK | DRIVER | DRIVER_OK | (0 if self.legacy else FEATURES_OK))

    def alloc(self, size, data=b""):
        at = self.next_memory
        self.next_memory = at + size + 15 & -16
        if data:
            self.q.write(at, data)
        return at

    def kick(self, n):
        if self.legacy:
            self.q.outw(IO + 16, n)
        else:
            self.q.writew(MEM + 0x3000 + self.multiplier * n, n)

    def run(self, n, out, room, indirect=False, split=()):
        """Send the buffers in the list out, give room for an answer (a list of sizes); returns the
        answer and the length the device told."""
        parts = [(self.alloc(len(d), d), len(d), 0) for d in out]
        parts += [(self.alloc(size), size, WRITE) for size in room]
        ring = self.queues[n]
        ring.add(parts, indirect)
        self.kick(n)
        length = ring.get()
        return b"".join(self.q.read(a, s) for a, s, f in parts if f & WRITE), length


class Ring:
    def __init__(self, dev, n, at, size):
        self.dev, self.q, self.n, self.at = dev, dev.q, n, at
        q = self.q
        if dev.legacy:
            q.outw(IO + 14, n)
            self.size = q.inw(IO + 12)
        else:
            q.writew(dev.common + 0x16, n)
            if size:
                q.writew(dev.common + 0x18, size)
            self.size = q.readw(dev.common + 0x18)
        q.memset(at, 0x10000, 0)
        self.areas()
        if dev.legacy:
            q.outl(IO + 8, at >> 12)
        else:
            q.writeq(dev.common + 0x20, self.desc)
            q.writeq(dev.common + 0x28, self.driver)
            q.writeq(dev.common + 0x30, self.device)
            q.writew(dev.common + 0x1c, 1)

    def poll(self, ready):
        for k in range(50000):
            if ready():
                return
            if k % 64 == 63 and self.dev.status() & NEEDS_RESET:
                raise Broken()
        raise AssertionError("the device does not answer")


class SplitRing(Ring):
    def areas(self):
        self.desc, self.driver = self.at, self.at + 16 * self.size
        self.device = self.driver + 6 + 2 * self.size + 4095 & -4096
        self.head = self.avail = self.used = 0

    def write_desc(self, at, parts, base=0, size=None):
        for k, (addr, length, flags) in enumerate(parts):
            last = k == len(parts) - 1
            self.q.write(at + 16 * ((base + k) % (size or self.size)), struct.pack(
                "<QIHH", addr, length, flags | (0 if last else NEXT), (base + k + 1) % (size or self.size)))

    def add(self, parts, indirect=False):
        if indirect:
            table = self.dev.alloc(16 * len(parts))
            self.write_desc(table, parts, size=len(parts))
            parts = [(table, 16 * len(parts), IND)]
        head = self.head
        self.write_desc(self.desc, parts, head)
        self.head = (head + len(parts)) % self.size
        self.offer(head)

    def offer(self, head):
        self.q.writew(self.driver + 4 + 2 * (self.avail % self.size), head)
        self.avail = self.avail + 1 & 0xffff
        self.q.writew(self.driver + 2, self.avail)

    def get(self):
        self.poll(lambda: self.q.readw(self.device + 2) != self.used)
        _, length = struct.unpack("<II", self.q.read(self.device + 4 + 8 * (self.used % self.size), 8))
        self.used = self.used + 1 & 0xffff
        return length

    def suppress(self):
        """No interrupts, please."""
        self.q.writew(self.driver, 1)

    def interrupt_at(self, index):
        self.q.writew(self.driver + 4 + 2 * self.size, index)


class PackedRing(Ring):
    def areas(self):
        self.desc, self.driver, self.device = self.at, self.at + 16 * self.size, self.at + 16 * self.size + 64
        self.next, self.wrap = 0, 1
        self.seen, self.seen_wrap = 0, 1
        self.pending, self.tag = {}, 0

    def flags(self):
        return 0x80 if self.wrap else 0x8000

    def add(self, parts, indirect=False):
        if indirect:
            table = self.dev.alloc(16 * len(parts))
            for k, (addr, length, flags) in enumerate(parts):
                self.q.write(table + 16 * k, struct.pack("<QIHH", addr, length, 0, flags))
            parts = [(table, 16 * len(parts), IND)]
        self.tag = self.tag + 1 & 0x7fff
        self.pending[self.tag] = len(parts)
        first = None
        for k, (addr, length, flags) in enumerate(parts):
            slot = self.desc + 16 * self.next
            word = flags | (NEXT if k < len(parts) - 1 else 0) | self.flags()
            self.q.write(slot, struct.pack("<QIH", addr, length, self.tag))
            if first is None:
                first = slot, word              # last of all, or the device begins too early
            else:
                self.q.writew(slot + 14, word)
            self.next += 1
            if self.next == self.size:
                self.next, self.wrap = 0, 1 - self.wrap
        self.q.writew(first[0] + 14, first[1])

    def get(self):
        slot = self.desc + 16 * self.seen
        want = 0x8080 if self.seen_wrap else 0
        self.poll(lambda: self.q.readw(slot + 14) & 0x8080 == want)
        _, length, tag, _ = struct.unpack("<QIHH", self.q.read(slot, 16))
        self.seen += self.pending.pop(tag)
        if self.seen >= self.size:
            self.seen, self.seen_wrap = self.seen - self.size, 1 - self.seen_wrap
        return length

    def suppress(self):
        self.q.writew(self.driver + 2, 1)
