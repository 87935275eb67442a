#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Network cards register by register: a small driver for each, against a UDP socket as the wire.
Then frames without sense, from both sides."""

import os
import random
import re
import socket
import struct
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from libqtest import EMULATOR, Failed, PATIENCE, QTest, TestCase, main      # noqa: E402
from netcards import (BROADCAST, DRIVERS, E1000, GROUP, IO, MAC, OTHER, RING, RING2,  # noqa: E402
                      SEED, TX_BUF, E1000e, Ne2000, VirtioNet, Wire, frame,
                      inet_sum, mutate, templates)


class Cards(unittest.TestCase):
    def start(self, model):
        wire = Wire()
        q = QTest(["-M", "pc", "-m", "16"] + wire.args() + ["-device", model + ",netdev=n,id=card"])

        def finish():
            wire.s.close()
            status, text = q.close()
            self.assertIn(status, (0, -15), text)
        self.addCleanup(finish)
        return q, wire

    def check_card(self, model, driver):
        q, wire = self.start(model)
        card = driver(q)
        self.assertEqual(card.mac(), MAC)
        # out: as it is, short ones padded
        for size in (60, 61, 200, 1514):
            data = frame(OTHER, size, MAC)
            card.send(data)
            self.assertEqual(wire.get(), data)
        card.send(frame(OTHER, 30, MAC))
        self.assertEqual((wire.get() or b"")[:30], frame(OTHER, 30, MAC))
        # in: ours and broadcasts; what is for others is behind them
        for size in (60, 333, 1514):
            wire.put(frame(OTHER, size))
            wire.put(frame(MAC, size))
            self.assertEqual(card.receive(), frame(MAC, size))
        wire.put(frame(GROUP, 70))
        wire.put(frame(BROADCAST, 99))
        self.assertEqual(card.receive(), frame(BROADCAST, 99))
        # short ones are padded on the way in
        wire.put(frame(MAC, 40))
        self.assertEqual(card.receive()[:40], frame(MAC, 40))
        # promiscuous
        card.promiscuous(True)
        wire.put(frame(OTHER, 222))
        self.assertEqual(card.receive(), frame(OTHER, 222))
        card.promiscuous(False)
        # more than the rings hold, one after the other
        for n in range(20):
            wire.put(frame(MAC, 64 + n))
            self.assertEqual(card.receive(), frame(MAC, 64 + n))
            card.send(frame(OTHER, 80 + n, MAC))
            self.assertEqual(wire.get(), frame(OTHER, 80 + n, MAC))
        if card.loopback:
            card.loopback()
            card.send(frame(MAC, 123, MAC))
            self.assertEqual(card.receive(), frame(MAC, 123, MAC))
            self.assertIsNone(wire.get(0.1))

    def test_link(self):
        q, wire = self.start("e1000")
        card = E1000(q)
        q.qmp("set_link", name="card", up=False)
        self.assertEqual(card.r(8) & 2, 0)
        self.assertTrue(card.r(0xc0) & 4)               # link status changed
        card.send(frame(OTHER, 100, MAC))
        q.qmp("set_link", name="card", up=True)
        q.clock_step(600000000)                         # negotiation
        self.assertEqual(card.r(8) & 2, 2)
        card.send(frame(OTHER, 101, MAC))
        self.assertEqual(wire.get(), frame(OTHER, 101, MAC))
        self.assertIn("not found", q.qmp_raw("set_link", name="x", up=True)["error"]["desc"])

    def test_alone(self):
        """A card without a back-end, and the other way round, are told of; the machine runs."""
        q = QTest(["-M", "pc", "-m", "16", "-device", "e1000,id=lone", "-netdev",
                   "dgram,id=wire,local.type=inet,local.host=127.0.0.1,local.port=0,"
                   "remote.type=inet,remote.host=127.0.0.1,remote.port=9"])
        E1000(q).send(frame(OTHER, 100, MAC))
        status, text = q.close()
        self.assertIn(status, (0, -15), text)
        self.assertIn("warning: nic lone has no peer", text)
        self.assertIn("warning: netdev wire has no peer", text)

    @unittest.skipUnless(os.path.exists("/dev/net/tun"), "the host has no /dev/net/tun")
    def test_tap_permission(self):
        """Who may not make tap interfaces is told so in one line."""
        user = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
        try:
            p = subprocess.run([EMULATOR, "-M", "pc", "-display", "none", "-netdev",
                                "tap,id=n,script=no,downscript=no"], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               timeout=60 * PATIENCE, cwd="/", **user)
        except PermissionError:
            self.skipTest("the emulator can't be run by another user")
        self.assertEqual(p.returncode, 1, p.stdout)
        self.assertRegex(p.stdout, r"/dev/net/tun.*(not permitted|denied)")
        self.assertEqual(len(p.stdout.strip().split("\n")), 1, p.stdout)

    def test_netdev_del(self):
        q, wire = self.start("e1000")
        card = E1000(q)
        q.qmp("netdev_del", id="n")
        self.assertEqual(card.r(8) & 2, 0)
        card.send(frame(OTHER, 100, MAC))
        q.hmp("info network")
        q.qmp("netdev_add", type="hubport", id="h", hubid=3)
        self.assertIn("hub 3", q.hmp("info network"))
        self.assertIn("Duplicate", q.qmp_raw("netdev_add", type="hubport", id="h",
                                             hubid=3)["error"]["desc"])

    def machine(self, *args):
        q = QTest(["-M", "pc", "-m", "16"] + list(args))
        self.addCleanup(q.close)
        return q

    def test_filter_positions(self):
        """Filters stand where position= and insert= put them."""
        def dump(name, more=""):
            return ["-object", "filter-dump,id=%s,netdev=n,file=/dev/null%s" % (name, more)]

        q = self.machine("-netdev", "user,id=n", *dump("a"), *dump("b"), *dump("c", ",position=head"),
                         *dump("d", ",position=id=a,insert=before"), *dump("e", ",position=id=a"),
                         *dump("f", ",position=tail,insert=before"))
        order = re.findall(r"- (\w): type=filter-dump", q.hmp("info network"))
        self.assertEqual("".join(order), "cdaebf")
        for wrong in ("id=zz", "middle"):
            text = q.hmp("object_add filter-dump,id=x,netdev=n,file=/dev/null,position=" + wrong)
            self.assertIn("position=" + wrong, text)

    def test_filter_status(self):
        """A filter is switched off and on while the machine runs."""
        q, wire = self.start("e1000")
        card = E1000(q)
        with tempfile.NamedTemporaryFile() as f:
            q.qmp("object-add", qom_type="filter-dump", id="f", netdev="n", file=f.name, status="off")
            sizes = []
            for value in (None, "on", "off", "on"):
                if value:
                    q.qmp("qom-set", path="/objects/f", property="status", value=value)
                    self.assertEqual(q.qmp("qom-get", path="/objects/f", property="status"), value)
                card.send(frame(OTHER, 100, MAC))
                self.assertTrue(wire.get())
                sizes.append(os.path.getsize(f.name))
            self.assertEqual(sizes, [24, 140, 140, 256])
        for name, value, words in (("status", "perhaps", "status"), ("status", True, "expected: string"),
                                   ("file", "/dev/null", "can only be set when")):
            with self.assertRaisesRegex(Failed, words):
                q.qmp("qom-set", path="/objects/f", property=name, value=value)

    def test_stream_addresses(self):
        """A range of ports to listen at, abstract names of full length, keep-alive."""
        with socket.create_server(("127.0.0.1", 0)) as s:
            port = s.getsockname()[1]
            q = self.machine("-netdev", "stream,id=n,server=on,addr.type=inet,addr.host=127.0.0.1,"
                             "addr.port=%d,addr.to=%d,addr.numeric=on" % (port, min(port + 50, 65535)))
            m = re.search(r"listening at 127.0.0.1:(\d+)", q.hmp("info network"))
            self.assertGreater(int(m.group(1)), port)
            socket.create_connection(("127.0.0.1", int(m.group(1))), 10 * PATIENCE).close()
            q = self.machine("-netdev", "stream,id=n,addr.type=inet,addr.host=127.0.0.1,"
                             "addr.port=%d,addr.keep-alive=on" % port)
            s.settimeout(20 * PATIENCE)
            s.accept()[0].close()
        name = "orrery-test-%d" % os.getpid()
        q = self.machine("-netdev", "stream,id=n,server=on,addr.type=unix,addr.abstract=on,"
                         "addr.tight=off,addr.path=" + name)
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(b"\0" + name.encode().ljust(107, b"\0"))

    def test_options_refused(self):
        """What back-ends can't do is told in one line."""
        inet = "stream,id=n,addr.type=inet,addr.host=127.0.0.1,addr.port=9,"
        for netdev, words in (("user,id=1a", "identifier"), (inet + "addr.to=5,server=on", "addr.to"),
                              (inet + "addr.to=12", "addr.to"), (inet + "addr.color=red", "addr.color"),
                              (inet + "addr.keep-alive=on,server=on", "addr.keep-alive"),
                              ("tap,id=n,vhost=off,vhostfd=3", "not valid without vhost"),
                              ("tap,id=n,fd=3,vhostfds=3", "vhostfds="),
                              ("tap,id=n,queues=2,vhostfd=3", "vhostfd="), ("tap,id=n,poll-us=7", "poll-us=7"),
                              ("tap,id=n,br=x", "br=x"), ("tap,id=n,sndbuf=9G", "sndbuf"),
                              ("dgram,id=n,local.type=inet,local.host=127.0.0.1,local.port=0,local.to=9,"
                               "remote.type=inet,remote.host=127.0.0.1,remote.port=9", "local.to"),
                              ("vde,id=n", "vde"), ("l2tpv3,id=n", "l2tpv3"),
                              ("vhost-user,id=n,chardev=c", "vhost-user")):
            p = subprocess.run([EMULATOR, "-M", "none", "-display", "none", "-netdev", netdev],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, timeout=60 * PATIENCE)
            self.assertEqual(p.returncode, 1, (netdev, p.stdout))
            self.assertRegex(p.stdout, r"^[^\n]*%s[^\n]*\n$" % words)

    def test_announce(self):
        """announce-self: a RARP request with the card's address, some times."""
        q, wire = self.start("e1000")
        card = E1000(q)
        card.w(0x5400, 0x11005452)                      # another address
        card.w(0x5404, 0x80002233)
        mac = bytes.fromhex("525400113322")
        rarp = BROADCAST + mac + bytes.fromhex("8035 0001 0800 06 04 0003") + mac + bytes(4) + mac
        self.assertEqual(q.hmp("announce_self card one").strip(), "")
        for _ in range(5):
            self.assertEqual(wire.get()[:len(rarp)], rarp)
        self.assertIsNone(wire.get(0.3))
        q.qmp("announce-self", initial=1, max=1, rounds=2, step=0, interfaces=["other"])
        q.qmp("announce-self", initial=1, max=1, rounds=2, step=0)
        self.assertEqual(wire.get()[:len(rarp)], rarp)
        self.assertEqual(wire.get()[:len(rarp)], rarp)
        self.assertIsNone(wire.get(0.3))
        error = q.qmp_raw("announce-self", initial=0, max=1, rounds=2, step=0)["error"]["desc"]
        self.assertIn("initial", error)

    def test_announce_driver(self):
        """A virtio driver that can is asked to speak for itself, until it has."""
        q, wire = self.start("virtio-net-pci")
        card = VirtioNet(q, 1 << 16 | 1 << 21)
        self.assertEqual(q.inw(IO + 0x1a) & 3, 1)
        q.qmp("announce-self", initial=1, max=1, rounds=1, step=0)
        self.assertIsNotNone(wire.get())
        self.assertEqual(q.inw(IO + 0x1a) & 3, 3)
        card.control(3, 0)
        self.assertEqual(q.inw(IO + 0x1a) & 3, 1)

    def test_rx_filter(self):
        q, wire = self.start("virtio-net-pci")
        VirtioNet(q)
        q.wait_event("NIC_RX_FILTER_CHANGED")
        got = q.qmp("query-rx-filter", name="card")[0]
        self.assertEqual((got["main-mac"], got["promiscuous"]), ("52:54:00:12:34:56", False))

    def test_e1000_eeprom(self):
        """Word by word through EERD and bit by bit through EECD; the sum is BABAh."""
        q, wire = self.start("e1000")
        card = E1000(q)
        words = []
        for n in range(64):
            card.w(0x14, n << 8 | 1)
            v = card.r(0x14)
            self.assertTrue(v & 0x10)
            words.append(v >> 16)
        self.assertEqual(sum(words) & 0xffff, 0xbaba)
        self.assertEqual(struct.pack("<3H", *words[:3]), MAC)
        card.w(0x10, 0x40)
        self.assertTrue(card.r(0x10) & 0x80)            # granted
        card.w(0x10, 0x42)
        for bit in "110" + format(1, "06b"):
            card.w(0x10, 0x42 | int(bit) << 2)
            card.w(0x10, 0x43 | int(bit) << 2)
        got = 0
        for _ in range(16):
            card.w(0x10, 0x42)
            card.w(0x10, 0x43)
            got = got << 1 | (card.r(0x10) >> 3 & 1)
        self.assertEqual(got, words[1])

    def test_e1000_phy(self):
        q, wire = self.start("e1000")
        card = E1000(q)
        card.w(0x20, 0x08000000 | 1 << 21 | 2 << 16)
        self.assertEqual(card.r(0x20) & 0x1000ffff, 0x10000141)
        card.w(0x20, 0x08000000 | 2 << 21 | 2 << 16)    # no such PHY
        self.assertTrue(card.r(0x20) & 0x40000000)
        card.w(0x20, 0x04000000 | 1 << 21 | 0x1200)     # restart negotiation
        self.assertEqual(card.r(8) & 2, 0)
        q.clock_step(600000000)
        self.assertEqual(card.r(8) & 2, 2)

    def test_e1000_offloads(self):
        """Checksums filled in by the card; a large segment cut up; received sums checked."""
        q, wire = self.start("e1000")
        card = E1000(q)
        ip = bytearray(struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + 20 + 3000, 1, 0, 64, 6, 0,
                                   bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])))
        tcp = bytearray(struct.pack(">HHIIBBHHH", 1, 2, 1000, 0, 0x50, 0x18, 100, 0, 0))
        data = random.Random(3).randbytes(3000)
        packet = OTHER + MAC + b"\x08\x00" + ip + tcp + data
        q.write(TX_BUF, packet)
        context = struct.pack("<BBHBBHIBBH", 14, 24, 33, 34, 50, 0,
                              (20 + 3000) | 0x27000000, 0, 54, 1460)
        q.write(RING, context + struct.pack("<QII", TX_BUF, len(packet) | 0x2f100000, 0x300))
        card.tx = 2
        card.w(0x3818, 2)
        seq, got = 1000, b""
        for size, last in ((1460, 0), (1460, 0), (80, 1)):
            f = wire.get()
            self.assertEqual(len(f), 54 + size)
            self.assertEqual(inet_sum(f[14:34]), 0)
            self.assertEqual(inet_sum(f[26:34] + struct.pack(">HH", 6, 20 + size) + f[34:]), 0)
            self.assertEqual(struct.unpack(">I", f[38:42])[0], seq)
            self.assertEqual(bool(f[47] & 8), bool(last))
            seq += size
            got += f[54:]
        self.assertEqual(got, data)
        card.w(0x5000, 0x300)                           # check sums of what is received
        for damage, errors in ((0, 0), (60, 0x20), (22, 0x40)):
            good = bytearray(MAC + f[6:])
            if damage:
                good[damage] ^= 0x55
            at = RING2 + 16 * card.rx
            wire.put(bytes(good))
            self.assertIsNotNone(card.poll(lambda: True if q.readb(at + 12) & 1 else None))
            self.assertEqual(q.readb(at + 12) & 0x64, 0x60)
            self.assertEqual(q.readb(at + 13) & errors, errors)
            card.receive()

    def test_e1000_throttling(self):
        """ITR: the next interrupt waits for the clock, or for as many bytes as a gigabit wire
        would have brought meanwhile."""
        q, wire = self.start("e1000")
        card = E1000(q)
        card.w(0xc4, 100)                               # 25.6 us, 3200 bytes
        card.w(0xd0, 0x80)

        def pin_after_frame():
            wire.put(frame(MAC, 1000))
            self.assertEqual(card.receive(), frame(MAC, 1000))
            return pin()

        def pin():
            return q.pci_readw(card.devfn, 6) >> 3 & 1
        self.assertEqual(pin_after_frame(), 1)
        self.assertEqual(card.r(0xc0) & 0x80, 0x80)
        self.assertEqual(pin(), 0)
        self.assertEqual([pin_after_frame() for _ in range(4)], [0, 0, 0, 1])
        card.r(0xc0)
        self.assertEqual(pin_after_frame(), 0)
        q.clock_step(20000)
        self.assertEqual(pin(), 0)
        q.clock_step(6000)
        self.assertEqual(pin(), 1)

    def test_vlan(self):
        q, wire = self.start("e1000")
        card = E1000(q)
        card.w(0x38, 0x8100)
        card.w(0, 0x40000040)                           # tags in and out
        data = frame(OTHER, 100, MAC)
        q.write(TX_BUF, data)
        q.write(RING, struct.pack("<QII", TX_BUF, 100 | 0x4b000000, 0x0123 << 16))
        card.tx = 1
        card.w(0x3818, 1)
        self.assertEqual(wire.get(), data[:12] + b"\x81\x00\x01\x23" + data[12:])
        card.w(0x100, 0x04048002)                       # filter: only VLAN 5
        card.w(0x5600, 1 << 5)
        mine = frame(MAC, 100)
        wire.put(mine[:12] + b"\x81\x00\x00\x06" + mine[12:])
        wire.put(mine[:12] + b"\x81\x00\x00\x05" + mine[12:])
        self.assertEqual(card.receive(), mine)

    def test_virtio_order(self):
        """Small packets and large ones take different ways to the wire; none overtakes another."""
        q, wire = self.start("virtio-net-pci")
        card = VirtioNet(q)
        for sizes in ((60, 1500, 61, 62, 1400, 63), (1200, 70, 1201, 71), (80,) * 40 + (1300,) * 3):
            for n, size in enumerate(sizes):
                at = TX_BUF + 2048 * n
                q.write(at, bytes(10) + frame(OTHER, size, MAC))
                card.offer(1, n, [(at, size + 10, 0)], kick=n % 5 == 4 or n + 1 == len(sizes))
            for n, size in enumerate(sizes):
                self.assertEqual(wire.get(), frame(OTHER, size, MAC))
                self.assertEqual(card.taken(1), (n, 0))

    def test_e1000e_queues(self):
        """Receive-side scaling: the hashes that Microsoft publishes for its key, two queues, a
        cause for each."""
        q, wire = self.start("e1000e")
        card = E1000e(q)
        key = bytes.fromhex("6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c"
                            "6a42b73bbeac01fa")
        for n in range(10):
            card.w(0x5c80 + 4 * n, struct.unpack_from("<I", key, 4 * n)[0])
        ring = 0x120000
        for i in range(8):
            q.write(ring + 16 * i, struct.pack("<Q8x", 0x280000 + 2048 * i))
        for reg, v in ((0x2900, ring), (0x2904, 0), (0x2908, 128), (0x2910, 0), (0x2918, 7),
                       (0x5000, 0x2000), (0x5818, 1 | 3 << 16 | 3 << 20)):
            card.w(reg, v)
        ip4 = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 40, 1, 0, 64, 6, 0,
                          socket.inet_aton("66.9.149.187"), socket.inet_aton("161.142.100.80"))
        ip6 = struct.pack(">IHBB16s16s", 6 << 28, 20, 6, 64,
                          socket.inet_pton(socket.AF_INET6, "3ffe:2501:200:1fff::7"),
                          socket.inet_pton(socket.AF_INET6, "3ffe:2501:200:3::1"))
        tcp = struct.pack(">HHIIBBHHH", 2794, 1766, 1, 0, 0x50, 0x10, 1, 0, 0)
        for packet, port, mrqc, kind, want in (
                (ip4, 0, 1 << 16, 1, 0x51ccc178), (ip4, 0, 1 << 17, 2, 0x323e8fc2),
                (ip6, 0, 1 << 21, 3, 0x40207d3d), (ip6, 0, 1 << 20, 5, 0x2cc18cd5),
                (ip4, 1, 1 << 16, 1, 0x51ccc178), (ip4, 1, 1 << 20, 0, 0)):
            card.w(0x5818, 1 | mrqc)
            index = want & 127
            card.w(0x5c00 + (index & ~3), port << (8 * (index & 3) + 7))
            queue = port if kind else 0
            at = ring if queue else RING2 + 16 * card.rx
            kind_of_ip = b"\x86\xdd" if packet is ip6 else b"\x08\x00"
            card.r(0xc0)                                # acknowledges
            wire.put((MAC + OTHER + kind_of_ip + packet + tcp).ljust(60, b"\0"))
            self.assertIsNotNone(card.poll(lambda: True if q.readl(at + 8) & 1 else None))
            self.assertEqual(q.read(at, 8), struct.pack("<II", kind | queue << 8 if kind else 0, want))
            self.assertEqual(card.r(0xc0) >> 20 & 3, 1 << queue)
            if not queue:
                card.receive()

    def test_e1000e_throttling(self):
        """EITR: the second message of a vector waits, that of another one does not."""
        q, wire = self.start("e1000e")
        card = E1000e(q)
        cap = q.pci_readb(card.devfn, 0x34)
        while q.pci_readb(card.devfn, cap) != 0x11:
            cap = q.pci_readb(card.devfn, cap + 1)
        vectors = 0xe0400000
        q.pci_writel(card.devfn, 0x1c, vectors)         # BAR 3
        for n in range(3):                              # masked: what is sent stays pending
            q.write(vectors + 16 * n, struct.pack("<QII", 0xfee00000, 0x40 + n, 1))
        q.pci_writew(card.devfn, cap + 2, 0x8000)
        card.w(0xe4, 0x8 | 0x9 << 8)                    # RXQ0: vector 0, TXQ0: vector 1
        card.w(0xe8, 40000)                             # 10.24 ms
        card.w(0xdc, 0x01500000)
        card.w(0xd0, 0x01500000)

        def sent(n):
            pending = q.readl(vectors + 0x2000) >> n & 1
            for mask in (0, 1):
                q.writel(vectors + 16 * n + 12, mask)
            card.w(0xd0, 0x01500000)
            return pending
        card.w(0xc8, 0x00100000)
        self.assertEqual(sent(0), 1)
        card.w(0xc8, 0x00100000)
        self.assertEqual(sent(0), 0)
        card.w(0xc8, 0x00400000)
        self.assertEqual(sent(1), 1)
        q.clock_step(5000000)
        self.assertEqual(sent(0), 0)
        q.clock_step(6000000)
        self.assertEqual(sent(0), 1)

    def test_ne2000_left_over(self):
        """Packets that the driver leaves in the ring bring it back although no other arrives; an
        empty ring, as drivers of either kind leave it, does not."""
        q, wire = self.start("ne2k_isa")
        card = Ne2000(q)

        def current():
            card.o(0, 0x62)
            page = card.i(7)
            card.o(0, 0x22)
            return page

        for n in range(3):
            wire.put(frame(MAC, 60, fill=n))
        self.assertTrue(card.poll(lambda: current() == 0x4a or None))
        for left in (2, 1, 0):
            self.assertTrue(card.i(7) & 1)
            self.assertTrue(card.take())
            card.o(7, 1)
            self.assertEqual(card.i(7) & 1, left > 0)
        wire.put(frame(MAC, 60))
        self.assertTrue(card.poll(lambda: card.i(7) & 1 or None))
        card.o(7, 1)                                    # first acknowledged, then read,
        self.assertFalse(card.i(7) & 1)
        self.assertTrue(card.take())
        card.o(3, current())                            # and BNRY at the next one
        card.o(7, 1)
        self.assertFalse(card.i(7) & 1)

    def test_back_pressure(self):
        """A card without buffers: frames wait, the process does not grow, the first come in order."""
        q, wire = self.start("e1000")
        card = E1000(q)
        card.w(0x2818, 0)                               # no descriptor is the card's
        for n in range(1000):
            wire.put(frame(MAC, 1000, fill=n))
        q.qmp("query-status")
        card.w(0x2818, 7)
        self.assertEqual(card.receive(), frame(MAC, 1000, fill=0))
        self.assertEqual(card.receive(), frame(MAC, 1000, fill=1))


def add_cards():
    for name, (model, driver) in DRIVERS.items():
        setattr(Cards, "test_card_" + name,
                lambda self, model=model, driver=driver: self.check_card(model, driver))


add_cards()


class Hostile(unittest.TestCase):
    FRAMES = int(os.environ.get("ORRERY_FRAMES", "1500"))

    def finish(self, q):
        status, text = q.close()
        self.assertIn(status, (0, -15), "ORRERY_SEED=%d: %s" % (SEED, text[-4000:]))

    def resident(self, q):
        with open("/proc/%d/status" % q.proc.pid) as f:
            return next(int(l.split()[1]) for l in f if l.startswith("RssAnon:")) * 1024

    def test_user_mode(self):
        """Damaged ARP, DHCP, ICMP, TCP, TFTP, IPv6 from the guest to the built-in servers."""
        q = QTest(["-M", "pc", "-m", "16", "-netdev", "user,id=n,restrict=on,tftp=/usr/share/seabios",
                   "-device", "e1000,netdev=n"])
        self.addCleanup(self.finish, q)
        card, rng, known = E1000(q), random.Random(SEED), templates()
        before = None
        for n in range(self.FRAMES):
            card.send(mutate(rng, rng.choice(known)))
            if n % 64 == 0:
                q.clock_step(10000000)
            if n == self.FRAMES // 3:
                before = self.resident(q)
        q.qmp("query-status")
        self.assertLess(self.resident(q) - before, 32 << 20)

    def test_wire(self):
        """Random frames from outside into each card, whose driver makes sense."""
        for name, (model, driver) in DRIVERS.items():
            wire, rng, known = Wire(), random.Random(SEED), templates()
            q = QTest(["-M", "pc", "-m", "16"] + wire.args() + ["-device", model + ",netdev=n"])
            try:
                card = driver(q)
                card.promiscuous(True)
                for n in range(self.FRAMES // 10):
                    data = rng.choice((mutate(rng, rng.choice(known)),
                                       rng.randbytes(rng.choice((1, 13, 14, 60, 1514, 1600, 9000)))))
                    wire.put(data)
                    if n % 16 == 0:
                        q.qmp("query-status")
                q.qmp("query-status")
            finally:
                wire.s.close()
                self.finish(q)

    def test_stream_nonsense(self):
        """A peer of -netdev stream that sends lengths no frame has is cut off, nothing more."""
        listener = socket.create_server(("127.0.0.1", 0))
        q = QTest(["-M", "pc", "-m", "16", "-netdev", "stream,id=n,reconnect=1,addr.type=inet,"
                   "addr.host=127.0.0.1,addr.port=%d" % listener.getsockname()[1],
                   "-device", "e1000,netdev=n"])
        self.addCleanup(self.finish, q)
        self.addCleanup(listener.close)
        listener.settimeout(20 * PATIENCE)
        rng = random.Random(SEED)
        for head in (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\0\1\x20\0"):
            conn = listener.accept()[0]
            conn.sendall(b"\0\0\0\x40" + rng.randbytes(64) + head + rng.randbytes(100))
            conn.settimeout(20 * PATIENCE)
            try:
                self.assertEqual(conn.recv(1), b"")
            except ConnectionError:
                pass
            conn.close()
            event = q.wait_event("NETDEV_STREAM_DISCONNECTED")
            self.assertEqual(event["data"], {"netdev-id": "n"})


if __name__ == "__main__":
    main()
