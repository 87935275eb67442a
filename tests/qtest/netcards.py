# SPDX-License-Identifier: MIT
"""Drivers of network cards for tests, the other end of their wire, and frames to send: sensible ones
and damaged ones."""

import os
import random
import select
import socket
import struct
import zlib

from libqtest import PATIENCE

MAC = bytes.fromhex("525400123456")
OTHER = bytes.fromhex("02000000000a")
BROADCAST = b"\xff" * 6
GROUP = bytes.fromhex("01005e000001")
IO, MEM = 0xc000, 0xe0000000
RX_BUF, TX_BUF, RING, RING2 = 0x200000, 0x300000, 0x100000, 0x110000
SEED = int(os.environ.get("ORRERY_SEED", "0")) or random.randrange(1 << 30)


def frame(dst, size=100, src=OTHER, fill=7):
    body = random.Random(fill * 1000 + size).randbytes(size - 14)
    return dst + src + b"\x88\xb5" + body


class Wire:
    """The other end of -netdev dgram."""

    def __init__(self):
        self.s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.s.bind(("127.0.0.1", 0))
        probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        probe.bind(("127.0.0.1", 0))
        self.card = probe.getsockname()
        probe.close()

    def args(self):
        return ["-netdev", "dgram,id=n,local.type=inet,local.host=127.0.0.1,local.port=%d,"
                "remote.type=inet,remote.host=127.0.0.1,remote.port=%d"
                % (self.card[1], self.s.getsockname()[1])]

    def put(self, data):
        self.s.sendto(data, self.card)

    def get(self, timeout=10):
        if not select.select([self.s], [], [], timeout * PATIENCE)[0]:
            return None
        return self.s.recv(70000)


# ---- drivers -----------------------------------------------------------------------------------

class PCIDriver:
    """Finds its function, gives BARs 0 and 1 places, switches it on."""

    def __init__(self, q, vendor, device):
        self.q = q
        self.devfn = next(f for f, ident in q.pci_devices().items() if ident == (vendor, device))
        for n in range(2):
            bar = q.pci_bar(self.devfn, n)
            if bar:
                q.pci_writel(self.devfn, 0x10 + 4 * n, IO if bar[0] else MEM + (n << 20))
        q.pci_writew(self.devfn, 4, 7)

    def poll(self, done):
        """A datagram takes its time through the host."""
        import time
        end = time.monotonic() + 10 * PATIENCE
        while time.monotonic() < end:
            value = done()
            if value is not None:
                return value
            time.sleep(0.01)
        return None


class E1000(PCIDriver):
    N, DEVICE, RFCTL = 8, 0x100e, None

    def __init__(self, q):
        super().__init__(q, 0x8086, self.DEVICE)
        self.w(0x0000, 1 << 26)                         # reset
        if self.RFCTL:                                  # before anything may come in
            self.w(0x5008, self.RFCTL)
        q.write(RING, bytes(16 * self.N))
        for i in range(self.N):
            q.write(RING2 + 16 * i, struct.pack("<Q8x", RX_BUF + 2048 * i))
        for base, ring in ((0x3800, RING), (0x2800, RING2)):
            self.w(base, ring)
            self.w(base + 4, 0)
            self.w(base + 8, 16 * self.N)
            self.w(base + 0x10, 0)
        self.w(0x2818, self.N - 1)
        self.w(0x0400, 0xa)                             # transmit, pad
        self.w(0x0100, 0x04008002)                      # receive, broadcast, strip CRC
        self.tx = self.rx = 0

    def w(self, reg, v):
        self.q.writel(MEM + reg, v)

    def r(self, reg):
        return self.q.readl(MEM + reg)

    def mac(self):
        return struct.pack("<IH", self.r(0x5400), self.r(0x5404) & 0xffff)

    def send(self, data):
        self.q.write(TX_BUF, data)
        self.q.write(RING + 16 * self.tx, struct.pack("<QII", TX_BUF, len(data) | 0x0b000000, 0))
        self.tx = (self.tx + 1) % self.N
        self.w(0x3818, self.tx)

    def receive(self):
        at = RING2 + 16 * self.rx

        def done():
            length, _, status, errors = struct.unpack("<HHBB", self.q.read(at + 8, 6))
            if not status & 1:
                return None
            self.q.write(at + 8, bytes(8))
            data = self.q.read(RX_BUF + 2048 * self.rx, length)
            self.w(0x2818, self.rx)
            self.rx = (self.rx + 1) % self.N
            return data
        return self.poll(done)

    def promiscuous(self, on):
        self.w(0x0100, 0x04008002 | (0x18 if on else 0))

    def loopback(self):
        self.w(0x0100, 0x040080da)                      # loopback, promiscuous


class E1000e(E1000):
    """With extended receive descriptors."""
    DEVICE, RFCTL = 0x10d3, 0x8000

    def receive(self):
        at = RING2 + 16 * self.rx

        def done():
            _, _, status, length, _ = struct.unpack("<IIIHH", self.q.read(at, 16))
            if not status & 1:
                return None
            assert status & 3 == 3
            data = self.q.read(RX_BUF + 2048 * self.rx, length)
            self.q.write(at, struct.pack("<Q8x", RX_BUF + 2048 * self.rx))
            self.w(0x2818, self.rx)
            self.rx = (self.rx + 1) % self.N
            return data
        return self.poll(done)


class Rtl8139(PCIDriver):
    plus = False

    def __init__(self, q):
        super().__init__(q, 0x10ec, 0x8139)
        q.outb(IO + 0x37, 0x10)
        assert not q.inb(IO + 0x37) & 0x10
        if self.plus:
            q.outw(IO + 0xe0, 3)
            self.tx = self.rx = 0
            for i in range(4):
                q.write(RING2 + 16 * i, struct.pack("<IIQ", self.owned(i) | 2048, 0,
                                                    RX_BUF + 2048 * i))
            q.outl(IO + 0x20, RING)
            q.outl(IO + 0x24, 0)
            q.outl(IO + 0xe4, RING2)
            q.outl(IO + 0xe8, 0)
        else:
            self.tx, self.at = 0, 0
            q.outl(IO + 0x30, RX_BUF)
        q.outb(IO + 0x37, 0x0c)
        q.outl(IO + 0x44, 0x0a)                         # unicast, broadcast; ring of 8 KiB

    def owned(self, i):
        return 0x80000000 | (0x40000000 if i == 3 else 0)

    def mac(self):
        return bytes(self.q.inb(IO + i) for i in range(6))

    def send(self, data):
        self.q.write(TX_BUF, data)
        if self.plus:
            self.q.write(RING + 16 * self.tx, struct.pack(
                "<IIQ", self.owned(self.tx) | 0x30000000 | len(data), 0, TX_BUF))
            self.tx = (self.tx + 1) % 4
            self.q.outb(IO + 0xd9, 0x40)
        else:
            self.q.outl(IO + 0x20 + 4 * self.tx, TX_BUF)
            self.q.outl(IO + 0x10 + 4 * self.tx, len(data))
            assert self.q.inl(IO + 0x10 + 4 * self.tx) & 0xa000 == 0xa000
            self.tx = (self.tx + 1) % 4

    def receive(self):
        return self.poll(self.take_descriptor if self.plus else self.take_ring)

    def take_descriptor(self):
        at = RING2 + 16 * self.rx
        word = self.q.readl(at)
        if word & 0x80000000:
            return None
        data = self.q.read(RX_BUF + 2048 * self.rx, word & 0x1fff)
        self.q.writel(at, self.owned(self.rx) | 2048)
        self.rx = (self.rx + 1) % 4
        return self.check(data)

    def take_ring(self):
        if self.q.inb(IO + 0x37) & 1:
            return None
        head = self.q.read(RX_BUF + self.at, 4)
        status, length = struct.unpack("<HH", head)
        assert status & 1
        data = self.q.read(RX_BUF + self.at + 4, length)
        self.at = (self.at + length + 4 + 3) & ~3 & 0x1fff
        self.q.outw(IO + 0x38, (self.at - 16) & 0xffff)
        return self.check(data)

    def check(self, data):
        assert struct.unpack("<I", data[-4:])[0] == zlib.crc32(data[:-4])
        return data[:-4]

    def promiscuous(self, on):
        self.q.outl(IO + 0x44, 0x0b if on else 0x0a)

    def loopback(self):
        self.q.outl(IO + 0x40, 0x00060000)
        self.promiscuous(True)


class Rtl8139Plus(Rtl8139):
    plus = True


class Ne2000:
    base = 0x300

    def __init__(self, q):
        self.q = q
        self.setup()

    def o(self, reg, v):
        self.q.outb(self.base + reg, v)

    def i(self, reg):
        return self.q.inb(self.base + reg)

    def remote(self, op, addr, n):
        for reg, v in ((0, 0x22), (8, addr & 0xff), (9, addr >> 8), (10, n & 0xff), (11, n >> 8),
                       (0, op)):
            self.o(reg, v)

    def read(self, addr, n):
        self.remote(0x0a, addr, n)
        data = bytes(self.q.inb(self.base + 0x10) for _ in range(n))
        assert self.i(7) & 0x40                         # remote DMA is complete
        self.o(7, 0x40)
        return data

    def write(self, addr, data):
        self.remote(0x12, addr, len(data))
        for b in data:
            self.q.outb(self.base + 0x10, b)
        self.o(7, 0x40)

    def setup(self):
        self.i(0x1f)                                    # reset
        assert self.i(7) & 0x80
        self.o(0, 0x21)
        self.o(14, 0x48)                                # bytes
        for reg, v in ((1, 0x46), (2, 0x60), (3, 0x46), (7, 0xff), (15, 0x7f), (13, 0),
                       (12, 0x04)):
            self.o(reg, v)
        self.o(0, 0x61)
        for n, v in enumerate(self.mac()):
            self.o(0, 0x61)
            self.o(1 + n, v)
        self.o(0, 0x61)
        self.o(7, 0x47)
        self.o(0, 0x22)

    def mac(self):
        return self.read(0, 32)[:12:2]

    def send(self, data):
        self.write(0x4000, data)
        for reg, v in ((4, 0x40), (5, len(data) & 0xff), (6, len(data) >> 8), (0, 0x26)):
            self.o(reg, v)
        assert self.i(7) & 2

    def poll(self, done):
        return PCIDriver.poll(self, done)

    def receive(self):
        return self.poll(self.take)

    def take(self):
        self.o(0, 0x62)
        curr = self.i(7)
        self.o(0, 0x22)
        page = self.i(3) + 1
        page = 0x46 if page == 0x60 else page
        if page == curr:
            return None
        status, following, length = struct.unpack("<BBH", self.read(page << 8, 4))
        assert status & 1
        data = self.read((page << 8) + 4, length - 4)
        self.o(3, following - 1 if following > 0x46 else 0x5f)
        return data[:-4]

    def promiscuous(self, on):
        self.o(12, 0x14 if on else 0x04)

    loopback = None


class Ne2kPCI(Ne2000):
    base = IO

    def __init__(self, q):
        PCIDriver.__init__(self, q, 0x10ec, 0x8029)
        self.setup()


class Pcnet(PCIDriver):
    def __init__(self, q):
        super().__init__(q, 0x1022, 0x2000)
        q.inw(IO + 0x14)                                # reset
        self.bcr(20, 2)                                 # 32-bit structures
        self.init(0)

    def csr(self, n, v=None):
        self.q.outw(IO + 0x12, n)
        if v is None:
            return self.q.inw(IO + 0x10)
        self.q.outw(IO + 0x10, v)

    def bcr(self, n, v):
        self.q.outw(IO + 0x12, n)
        self.q.outw(IO + 0x16, v)

    def init(self, mode):
        self.tx = self.rx = 0
        self.q.write(RING, bytes(64))
        for i in range(4):
            self.q.write(RING2 + 16 * i, struct.pack("<III4x", RX_BUF + 2048 * i,
                                                     0x80000000 | (-2048 & 0xffff), 0))
        block = struct.pack("<HBB", mode, 2 << 4, 2 << 4) + self.mac() + bytes(10)
        self.q.write(0x90000, block + struct.pack("<II", RING2, RING))
        self.csr(0, 4)
        self.csr(1, 0)
        self.csr(2, 9)
        self.csr(0, 1)
        assert self.csr(0) & 0x100
        self.csr(0, 0x102)
        assert self.csr(0) & 0x30 == 0x30

    def mac(self):
        return bytes(self.q.inb(IO + i) for i in range(6))

    def send(self, data):
        self.q.write(TX_BUF, data)
        self.q.write(RING + 16 * self.tx, struct.pack("<II8x", TX_BUF,
                                                      0x83000000 | (-len(data) & 0xffff)))
        self.tx = (self.tx + 1) % 4
        self.csr(0, 0x08)
        assert self.csr(0) & 0x200
        self.csr(0, 0x200)

    def receive(self):
        at = RING2 + 16 * self.rx

        def done():
            _, word, count = struct.unpack("<III", self.q.read(at, 12))
            if word & 0x80000000:
                return None
            assert word & 0x03000000 == 0x03000000
            data = self.q.read(RX_BUF + 2048 * self.rx, count)
            self.q.writel(at + 4, 0x80000000 | (-2048 & 0xffff))
            self.rx = (self.rx + 1) % 4
            assert struct.unpack("<I", data[-4:])[0] == zlib.crc32(data[:-4])
            return data[:-4]
        return self.poll(done)

    def promiscuous(self, on):
        self.init(0x8000 if on else 0)

    def loopback(self):
        self.init(0x8004)


class VirtioNet(PCIDriver):
    """The legacy interface; queues of 256 entries, one buffer a packet."""

    def __init__(self, q, features=0):
        super().__init__(q, 0x1af4, 0x1000)
        q.outb(IO + 0x12, 0)
        q.outb(IO + 0x12, 3)
        q.outl(IO + 4, features | (1 << 5) | (1 << 17) | (1 << 18))     # MAC, control queue, modes
        self.idx = [0, 0, 0]
        self.seen = [0, 0, 0]
        for n, at in ((0, RING), (1, RING2), (2, 0x120000)):
            q.outw(IO + 0x0e, n)
            q.write(at, bytes(0x4000))
            q.outl(IO + 8, at >> 12)
        q.outb(IO + 0x12, 7)
        for i in range(4):
            self.offer(0, i, [(RX_BUF + 2048 * i, 2048, 2)])
        self.promiscuous(False)

    def where(self, n):
        desc = (RING, RING2, 0x120000)[n]
        size = (256, 256, 64)[n]
        used = (desc + 16 * size + 6 + 2 * size + 4095) & ~4095
        return desc, desc + 16 * size, used, size

    def offer(self, n, head, buffers, kick=True):
        desc, avail, _, size = self.where(n)
        for k, (addr, length, flags) in enumerate(buffers):
            more = k + 1 < len(buffers)
            self.q.write(desc + 16 * (head + k), struct.pack("<QIHH", addr, length,
                                                             flags | more, head + k + 1))
        self.q.writew(avail + 4 + 2 * (self.idx[n] % size), head)
        self.idx[n] += 1
        self.q.writew(avail + 2, self.idx[n])
        if kick:
            self.q.outw(IO + 0x10, n)

    def taken(self, n):
        _, _, used, size = self.where(n)

        def done():
            if self.q.readw(used + 2) == self.seen[n]:
                return None
            entry = self.q.read(used + 4 + 8 * (self.seen[n] % size), 8)
            self.seen[n] += 1
            return struct.unpack("<II", entry)
        return self.poll(done)

    def mac(self):
        return bytes(self.q.inb(IO + 0x14 + i) for i in range(6))

    def send(self, data):
        self.q.write(TX_BUF, bytes(10) + data)
        self.offer(1, 0, [(TX_BUF, len(data) + 10, 0)])
        assert self.taken(1)

    def receive(self):
        got = self.taken(0)
        if not got:
            return None
        head, length = got
        data = self.q.read(RX_BUF + 2048 * head, length)
        self.offer(0, head, [(RX_BUF + 2048 * head, 2048, 2)])
        return data[10:]

    def control(self, kind, command, data=b""):
        size = 2 + len(data)
        self.q.write(TX_BUF + 0x1000, bytes([kind, command]) + data + b"\x09")
        self.offer(2, 0, [(TX_BUF + 0x1000, size, 0), (TX_BUF + 0x1000 + size, 1, 2)])
        assert self.taken(2)
        assert self.q.readb(TX_BUF + 0x1000 + size) == 0        # acknowledged

    def promiscuous(self, on):
        self.control(0, 0, bytes([on]))

    loopback = None


DRIVERS = {"e1000": ("e1000", E1000), "e1000e": ("e1000e", E1000e),
           "rtl8139": ("rtl8139", Rtl8139),
           "rtl8139_cplus": ("rtl8139", Rtl8139Plus), "ne2k_isa": ("ne2k_isa", Ne2000),
           "ne2k_pci": ("ne2k_pci", Ne2kPCI), "pcnet": ("pcnet", Pcnet),
           "virtio_net": ("virtio-net-pci", VirtioNet)}


def inet_sum(data):
    if len(data) & 1:
        data += b"\0"
    s = sum(struct.unpack(">%dH" % (len(data) // 2), data))
    while s >> 16:
        s = (s & 0xffff) + (s >> 16)
    return s ^ 0xffff


# ---- frames without sense ---------------------------------------------------------------------------

def templates():
    """Frames that user-mode networking understands, to be damaged."""
    def ether(dst, kind, body):
        return dst + MAC + struct.pack(">H", kind) + body

    def ip(proto, body, dst=b"\x0a\0\2\2", src=b"\x0a\0\2\x0f"):
        head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 1, 0, 64, proto, 0, src, dst)
        head = head[:10] + struct.pack(">H", inet_sum(head)) + head[12:]
        return ether(b"\x52\x55\x0a\0\2\2", 0x0800, head + body)

    arp = ether(BROADCAST, 0x0806, struct.pack(">HHBBH", 1, 0x0800, 6, 4, 1) + MAC
                + b"\x0a\0\2\x0f" + bytes(6) + b"\x0a\0\2\2")
    bootp = struct.pack(">BBBBIHH16s6s202s", 1, 1, 6, 0, 7, 0, 0, b"", MAC, b"") \
        + b"\x63\x82\x53\x63\x35\x01\x01\x37\x03\x01\x03\x06\xff"
    udp = struct.pack(">HHHH", 68, 67, 8 + len(bootp), 0) + bootp
    tftp = b"\0\1/x\0octet\0blksize\x001432\0"
    echo = b"\x08\0\xf7\xfd\0\1\0\1" + b"abcdefgh"
    syn = struct.pack(">HHIIBBHHH4s", 1025, 9, 1, 0, 0x60, 2, 1000, 0, 0, b"\2\4\5\xb4")
    ra = ether(b"\x33\x33\0\0\0\2", 0x86dd, struct.pack(">IHBB16s16s", 6 << 28, 8, 58, 255,
               b"\xfe\x80" + bytes(14), b"\xff\2" + bytes(13) + b"\2") + b"\x85\0\x7a\0\0\0\0\0")
    return [arp, ip(17, udp, b"\xff" * 4, bytes(4)), ip(1, echo), ip(6, syn), ra,
            ip(17, struct.pack(">HHHH", 2000, 69, 8 + len(tftp), 0) + tftp),
            ip(17, struct.pack(">HHHH", 2001, 9, 12, 0) + b"abcd")]


def mutate(rng, data):
    data = bytearray(data)
    for _ in range(rng.choice((0, 1, 1, 2, 4, 16))):
        kind = rng.randrange(4)
        at = rng.randrange(len(data))
        if kind == 0:
            data[at] = rng.randrange(256)
        elif kind == 1:
            data[at:at + 2] = rng.choice((b"\0\0", b"\xff\xff", b"\x7f\xff", b"\x80\0"))
        elif kind == 2:
            del data[rng.randrange(14, len(data) + 1):]
        else:
            data[at:at] = rng.randbytes(rng.randrange(40))
        data = data[:1514] or bytearray(14)
    return bytes(data).ljust(14, b"\0")
