#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""User-mode networking from the guest's side: a station with a TCP of its own behind an e1000
asks for addresses, opens and takes connections; nothing boots."""

import base64
import contextlib
import os
import random
import re
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from libqtest import EMULATOR, Failed, PATIENCE, QTest, main               # noqa: E402
from netcards import BROADCAST, E1000, MAC, inet_sum               # noqa: E402

GATEWAY_MAC = bytes.fromhex("52550a000202")
HOST, GUEST = "10.0.2.2", "10.0.2.15"
HOST6, GUEST6 = "fec0::2", "fec0::15"
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
NS, NA = 135, 136                       # ICMPv6: neighbour solicitation, advertisement


def packed(addr):
    return socket.inet_pton(socket.AF_INET6 if ":" in addr else socket.AF_INET, addr)


def pseudo(src, dst, proto, size):
    if len(src) == 4:
        return src + dst + struct.pack(">BBH", 0, proto, size)
    return src + dst + struct.pack(">IHBB", size, 0, 0, proto)


class Refused(Exception):
    pass


class Packet:
    """A TCP or UDP packet that came: addresses, ports, and the rest."""

    def __init__(self, frame):
        self.kind = struct.unpack(">H", frame[12:14])[0]
        self.proto = None
        if self.kind == 0x0800:
            size = (frame[14] & 15) * 4
            end = 14 + struct.unpack(">H", frame[16:18])[0]
            self.proto, self.src, self.dst = frame[23], frame[26:30], frame[30:34]
            self.body = frame[14 + size:end]
        elif self.kind == 0x86dd:
            self.proto, self.src, self.dst = frame[20], frame[22:38], frame[38:54]
            self.body = frame[54:54 + struct.unpack(">H", frame[18:20])[0]]
        else:
            self.body = frame[14:]
        if self.proto == 6:
            self.sport, self.dport, self.seq, self.ack, offset, self.flags = struct.unpack(
                ">HHIIBB", self.body[:14])
            self.data = self.body[(offset >> 4) * 4:]
        elif self.proto == 17:
            self.sport, self.dport = struct.unpack(">HH", self.body[:4])
            self.data = self.body[8:]


class Station:
    """Our side of the wire.  Packets nobody waits for are put aside."""

    def __init__(self, q):
        self.card = E1000(q)
        self.card.promiscuous(True)     # solicitations go to groups
        self.aside = []
        self.port = 40000

    def ether(self, kind, body, dst=GATEWAY_MAC):
        self.card.send((dst + MAC + struct.pack(">H", kind) + body).ljust(60, b"\0"))

    def ip(self, proto, src, dst, body, hops=64):
        if len(src) == 4:
            head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 1, 0, hops, proto, 0, src, dst)
            self.ether(0x0800, head[:10] + struct.pack(">H", inet_sum(head)) + head[12:] + body,
                       BROADCAST if dst == b"\xff" * 4 else GATEWAY_MAC)
        else:
            self.ether(0x86dd, struct.pack(">IHBB16s16s", 6 << 28, len(body), proto, hops, src, dst)
                       + body)

    def udp(self, src, sport, dst, dport, data):
        src, dst = packed(src), packed(dst)
        body = struct.pack(">HHHH", sport, dport, 8 + len(data), 0) + data
        total = inet_sum(pseudo(src, dst, 17, len(body)) + body)
        self.ip(17, src, dst, body[:6] + struct.pack(">H", total) + body[8:])

    def answer(self, p):
        """What every station does by itself: says where it is."""
        if p.kind == 0x0806 and p.body[6:8] == b"\0\1" and p.body[24:28] == packed(GUEST):
            self.ether(0x0806, p.body[:6] + b"\0\2" + MAC + p.body[24:28] + p.body[8:18])
        elif p.proto == 58 and p.body[0] == NS and p.body[8:24] == packed(GUEST6):
            body = struct.pack(">BBHI", NA, 0, 0, 0x60000000) + p.body[8:24] + b"\2\1" + MAC
            body = body[:2] + struct.pack(">H", inet_sum(pseudo(packed(GUEST6), p.src, 58, len(body))
                                                         + body)) + body[4:]
            self.ip(58, packed(GUEST6), p.src, body, 255)

    def wait(self, wanted, seconds=20):
        """The first packet that wanted() likes, or None."""
        end = time.monotonic() + seconds * PATIENCE
        for p in self.aside:
            if wanted(p):
                self.aside.remove(p)
                return p
        while time.monotonic() < end:
            frame = self.take()
            if not frame:
                time.sleep(0.01)
                continue
            p = Packet(frame)
            self.answer(p)
            if p.proto in (6, 17):
                if wanted(p):
                    return p
                self.aside = self.aside[-50:] + [p]
        return None

    def take(self):
        """A frame that has come, or None."""
        self.card.q.clock_step(1000000)
        at = 0x110000 + 16 * self.card.rx
        return self.card.receive() if self.card.q.readb(at + 12) & 1 else None

    def dhcp(self, mac=MAC):
        """(address, {option: bytes}, boot file) of the server's offer"""
        request = struct.pack(">BBBBIHH16s16s202s", 1, 1, 6, 0, 7, 0, 0, b"", mac, b"") \
            + b"\x63\x82\x53\x63\x35\x01\x01\xff"
        self.udp("0.0.0.0", 68, "255.255.255.255", 67, request)
        p = self.wait(lambda p: p.proto == 17 and p.dport == 68)
        options, at = {}, 240
        while p.data[at] != 255:
            size = p.data[at + 1]
            options[p.data[at]] = p.data[at + 2:at + 2 + size]
            at += 2 + size
        return socket.inet_ntoa(p.data[16:20]), options, p.data[108:236].rstrip(b"\0").decode()

    def connect(self, addr, port, seconds=20):
        self.port += 1
        c = Connection(self, GUEST6 if ":" in addr else GUEST, self.port, addr, port)
        c.put(SYN)
        p = c.get(lambda p: p.flags & (SYN | RST), seconds)
        if not p or p.flags & RST:
            raise Refused("%s:%d" % (addr, port))
        c.established(p)
        c.put(ACK)
        return c

    def accept(self, port):
        p = self.wait(lambda p: p.proto == 6 and p.dport == port and p.flags & SYN)
        if not p:
            raise AssertionError("nobody called")
        family = socket.AF_INET if len(p.src) == 4 else socket.AF_INET6
        c = Connection(self, socket.inet_ntop(family, p.dst), port, socket.inet_ntop(family, p.src),
                       p.sport)
        c.theirs = p.seq + 1
        c.put(SYN | ACK)
        c.ours += 1
        return c


class Connection:
    """One TCP connection, a segment at a time."""

    def __init__(self, station, addr, port, their_addr, their_port):
        self.s, self.addr, self.port = station, packed(addr), port
        self.their_addr, self.their_port = packed(their_addr), their_port
        self.ours, self.theirs, self.closed = 1000, 0, False
        self.buffer = b""

    def put(self, flags, data=b""):
        head = struct.pack(">HHIIBBHHH", self.port, self.their_port, self.ours & 0xffffffff,
                           self.theirs & 0xffffffff, 0x50, flags, 8192, 0, 0)
        body = head + data
        total = inet_sum(pseudo(self.addr, self.their_addr, 6, len(body)) + body)
        self.s.ip(6, self.addr, self.their_addr, body[:16] + struct.pack(">H", total) + body[18:])

    def get(self, wanted=lambda p: True, seconds=20):
        return self.s.wait(lambda p: p.proto == 6 and p.dport == self.port
                           and p.sport == self.their_port and p.src == self.their_addr and wanted(p),
                           seconds)

    def established(self, p):
        self.ours += 1
        self.theirs = p.seq + 1

    def take(self, p):
        """Of a segment, what is next."""
        if p.flags & RST:
            raise Refused("reset")
        if p.seq == self.theirs and (p.data or p.flags & FIN):
            self.buffer += p.data
            self.theirs += len(p.data) + bool(p.flags & FIN)
            self.closed |= bool(p.flags & FIN)
        if p.data or p.flags & FIN:
            self.put(ACK)

    def send(self, data):
        while data:
            part, data = data[:1000], data[1000:]
            self.put(ACK | PSH, part)
            self.ours += len(part)
            while True:
                p = self.get()
                if not p:
                    raise AssertionError("no acknowledgement")
                self.take(p)
                if p.flags & ACK and p.ack >= self.ours:
                    break

    def receive(self, size):
        while len(self.buffer) < size and not self.closed:
            p = self.get()
            if not p:
                raise AssertionError("%d bytes of %d came" % (len(self.buffer), size))
            self.take(p)
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data


@contextlib.contextmanager
def echo_server():
    """Gives back what it gets, at a port of 127.0.0.1."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        with contextlib.suppress(OSError):
            while True:
                conn = listener.accept()[0]
                threading.Thread(target=echo, args=(conn,), daemon=True).start()

    def echo(conn):
        with conn, contextlib.suppress(OSError):
            while True:
                data = conn.recv(65536)
                if not data:
                    break
                conn.sendall(data)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def free_port(family=socket.AF_INET, kind=socket.SOCK_STREAM):
    with socket.socket(family, kind) as s:
        s.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
        return s.getsockname()[1]


class User(unittest.TestCase):
    def start(self, options):
        q = QTest(["-M", "pc", "-m", "16", "-netdev", "user,id=n" + options,
                   "-device", "e1000,netdev=n,id=card"])

        def finish():
            status, text = q.close()
            self.assertIn(status, (0, -15), text)
        self.addCleanup(finish)
        return q, Station(q)

    def check_echo(self, conn):
        data = bytes(range(256)) * 40
        conn.send(data)
        self.assertEqual(conn.receive(len(data)), data)

    def test_dhcp(self):
        """Addresses and names of the options are what the server tells."""
        with tempfile.TemporaryDirectory() as d:
            _, s = self.start(",net=192.168.30.0/24,host=192.168.30.1,dns=192.168.30.7,"
                              "dhcpstart=192.168.30.99,hostname=guestname,domainname=some.test,"
                              "dnssearch=one.test,dnssearch=two.one.test,"
                              "bootfile=boot.me,tftp=" + d)
            address, options, bootfile = s.dhcp()
        self.assertEqual(address, "192.168.30.99")
        self.assertEqual(options[1], packed("255.255.255.0"))
        self.assertEqual(options[3], packed("192.168.30.1"))
        self.assertEqual(options[6], packed("192.168.30.7"))
        self.assertEqual(options[12], b"guestname")
        self.assertEqual(options[15], b"some.test")
        self.assertEqual(bootfile, "boot.me")
        # names, the second of which points into the first (RFC 1035, 4.1.4)
        self.assertTrue(options[119].startswith(b"\3one\4test\0\3two"), options[119])

    def test_gateway(self):
        """The host's address leads to the host; with restrict=on it does not, DHCP still works."""
        with echo_server() as port:
            _, s = self.start("")
            self.check_echo(s.connect(HOST, port))
            _, s = self.start(",restrict=on")
            self.assertEqual(s.dhcp()[0], GUEST)
            with self.assertRaises(Refused):
                s.connect(HOST, port, 2)

    def test_guestfwd_device(self):
        """guestfwd to a TCP address of the host: both ways, also with restrict=on."""
        for restrict in ("off", "on"):
            with echo_server() as port:
                _, s = self.start(",restrict=%s,guestfwd=tcp:10.0.2.100:1234-tcp:127.0.0.1:%d"
                                  % (restrict, port))
                self.check_echo(s.connect("10.0.2.100", 1234))

    def test_guestfwd_chardev(self):
        """guestfwd to a character device with a name."""
        with tempfile.TemporaryDirectory() as d:
            listener = socket.socket(socket.AF_UNIX)
            self.addCleanup(listener.close)
            listener.bind(d + "/s")
            listener.listen()
            q = QTest(["-M", "pc", "-m", "16", "-chardev", "socket,id=c,path=%s/s" % d,
                       "-netdev", "user,id=n,guestfwd=tcp:10.0.2.100:80-chardev:c",
                       "-device", "e1000,netdev=n"])
            self.addCleanup(q.close)
            conn = listener.accept()[0]
            self.addCleanup(conn.close)
            conn.settimeout(20 * PATIENCE)
            c = Station(q).connect("10.0.2.100", 80)
            c.send(b"from the guest")
            self.assertEqual(conn.recv(100), b"from the guest")
            conn.sendall(b"from the host")
            self.assertEqual(c.receive(13), b"from the host")

    def test_guestfwd_command(self):
        """guestfwd to a command, which each connection gets for itself."""
        _, s = self.start(",restrict=on,guestfwd=tcp:10.0.2.100:7-cmd:cat,"
                          "guestfwd=tcp:10.0.2.101:7-cmd:echo one line")
        one, two = s.connect("10.0.2.100", 7), s.connect("10.0.2.100", 7)
        two.send(b"second")
        one.send(b"first")
        self.assertEqual(two.receive(6), b"second")
        self.assertEqual(one.receive(5), b"first")
        self.check_echo(one)
        self.assertEqual(s.connect("10.0.2.101", 7).receive(100), b"one line\n")

    def check_hostfwd(self, q, s, family, host, guest):
        port = free_port(family)
        there = "[%s]" % host if ":" in host else host
        target = "[%s]" % guest if ":" in guest else guest
        self.assertEqual(q.hmp("hostfwd_add n tcp:%s:%d-%s:22" % (there, port, target)).strip(), "")
        with socket.create_connection((host, port), 20 * PATIENCE) as client:
            client.settimeout(20 * PATIENCE)
            client.sendall(b"knock")
            c = s.accept(22)
            self.assertEqual(c.receive(5), b"knock")
            c.send(b"come in")
            self.assertEqual(client.recv(100), b"come in")
        self.assertIn("in use", q.hmp("hostfwd_add n tcp:%s:%d-%s:23" % (there, port, target)))
        self.assertIn("removed", q.hmp("hostfwd_remove n tcp:%s:%d" % (there, port)))
        self.assertIn("not found", q.hmp("hostfwd_remove n tcp:%s:%d" % (there, port)))
        with self.assertRaises(OSError):
            socket.create_connection((host, port), 5).close()

    def test_hostfwd(self):
        """Ports of the host are forwarded and no longer, while the machine runs."""
        q, s = self.start("")
        s.dhcp()
        self.check_hostfwd(q, s, socket.AF_INET, "127.0.0.1", GUEST)
        self.check_hostfwd(q, s, socket.AF_INET, "127.0.0.1", "")

    def test_hostfwd_udp(self):
        port = free_port(kind=socket.SOCK_DGRAM)
        q, s = self.start(",hostfwd=udp:127.0.0.1:%d-:53" % port)
        s.dhcp()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(20 * PATIENCE)
            client.sendto(b"question", ("127.0.0.1", port))
            p = s.wait(lambda p: p.proto == 17 and p.dport == 53)
            self.assertEqual(p.data, b"question")
            s.udp(GUEST, 53, socket.inet_ntoa(p.src), p.sport, b"answer")
            self.assertEqual(client.recv(100), b"answer")

    @unittest.skipUnless(os.path.exists("/proc/net/if_inet6"), "the host has no IPv6")
    def test_hostfwd_ipv6(self):
        q, s = self.start("")
        self.check_hostfwd(q, s, socket.AF_INET6, "::1", GUEST6)
        for rule in ("tcp:[::1]:1-:22", "tcp:[::1:1-[fec0::15]:22", "tcp:[::1]:1-10.0.2.15:22"):
            self.assertIn("invalid host forwarding rule", q.hmp("hostfwd_add n " + rule))

    def test_ipv6_net(self):
        """The prefix of the option is the one the router tells."""
        _, s = self.start(",ipv6-net=fd00:1:2::/64")
        link_local = packed("fe80::15")
        group = packed("ff02::2")
        body = bytes([133, 0, 0, 0, 0, 0, 0, 0])
        total = inet_sum(pseudo(link_local, group, 58, len(body)) + body)
        s.ip(58, link_local, group, body[:2] + struct.pack(">H", total) + body[4:], 255)
        end = time.monotonic() + 20 * PATIENCE
        frame = b""
        while time.monotonic() < end and frame[20:21] + frame[54:55] != bytes([58, 134]):
            frame = s.take() or b""
        self.assertIn(b"\x03\x04\x40", frame)          # prefix information, 64 bits
        self.assertIn(packed("fd00:1:2::"), frame)

    def test_refused(self):
        """What can't be had is told in one line."""
        with socket.create_server(("127.0.0.1", 0)) as s:
            taken = s.getsockname()[1]
            for options, words in (
                    ("hostfwd=tcp:127.0.0.1:%d-:22" % taken, "in use"),
                    ("hostfwd=tcp:127.0.0.1:99999-:22", "invalid host forwarding rule"),
                    ("hostfwd=sctp::1-:2", "invalid host forwarding rule"),
                    ("guestfwd=tcp:10.0.2.100:80", "invalid guest forwarding rule"),
                    ("guestfwd=udp:10.0.2.100:80-cmd:cat", "invalid guest forwarding rule"),
                    ("guestfwd=tcp:10.0.2.2:80-cmd:cat", "conflicting/invalid"),
                    ("guestfwd=tcp:10.0.2.100:80-tcp:127.0.0.1:1", "refused"),
                    ("smb=/tmp", "smb"), ("smbserver=10.0.2.4", "smb"),
                    ("net=10.0.2.0/99", "net=10.0.2.0/99"), ("dns=1.2.3", "dns=1.2.3"),
                    ("host=1.2.3.4", "host"), ("tftp=/no/such/folder", "tftp"),
                    ("ipv6-net=fd00::/200", "ipv6-prefixlen=200"), ("ipv6-net=x", "ipv6-prefix=x"),
                    ("ipv6-net=fd00::,ipv6-prefix=fd00::", "ipv6-net"),
                    ("ipv4=off,ipv6=off", "off"), ("colour=blue", "colour")):
                p = subprocess.run([EMULATOR, "-M", "pc", "-display", "none", "-netdev",
                                    "user,id=n," + options], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                   timeout=60 * PATIENCE)
                self.assertEqual(p.returncode, 1, (options, p.stdout))
                self.assertEqual(len(p.stdout.strip().split("\n")), 1, p.stdout)
                self.assertIn(words, p.stdout, options)

    def test_state(self):
        """Leases are a part of the saved state; connections go on where they are."""
        second = MAC[:5] + b"\x99"
        args = ",guestfwd=tcp:10.0.2.100:1234-tcp:127.0.0.1:%d"
        with echo_server() as port:
            q, s = self.start(args % port)
            self.assertEqual(s.dhcp()[0], GUEST)
            self.assertEqual(s.dhcp(second)[0], "10.0.2.16")
            connections = [s.connect(HOST, port), s.connect("10.0.2.100", 1234)]
            for c in connections:
                self.check_echo(c)
            state = q.command_line("vmstate_save")
            q.command_line("vmstate_load " + state)
            for c in connections:
                self.check_echo(c)
            other, s = self.start(args % port)
            other.command_line("vmstate_load " + state)
            s.card.__init__(other)
            self.assertEqual(s.dhcp(second)[0], "10.0.2.16")
            self.assertEqual(s.dhcp()[0], GUEST)
            self.check_echo(s.connect(HOST, port))

    def test_hostile_state(self):
        """A state that libslirp did not write, or another one did, is refused with a line."""
        q, s = self.start("")
        state = base64.b64decode(q.command_line("vmstate_save"))
        name = b"netdev/n"
        at = state.index(struct.pack(">H", len(name)) + name) + 2 + len(name) + 4
        size = struct.unpack(">Q", state[at:at + 8])[0]
        head, body, tail = state[:at], state[at + 8:at + 8 + size], state[at + 8 + size:-4]
        table, version, blob = body[:4], body[4:8], body[12:]
        self.assertEqual(len(blob), struct.unpack(">I", body[8:12])[0])

        def load(version, blob, length=None):
            body = table + version + struct.pack(">I", len(blob) if length is None else length) + blob
            data = head + struct.pack(">Q", len(body)) + body + tail
            data += struct.pack(">I", zlib.crc32(data))
            q.command_line("vmstate_load " + base64.b64encode(data).decode())

        load(version, blob)
        rng = random.Random(1)
        bad = [(b"\0\0\0\1", blob), (b"\xff" * 4, blob), (version, b""), (version, blob[:-1]),
               (version, blob + b"\0"), (version, b"\x2a" + blob[1:]), (version, bytes([42]) * 60000),
               (version, blob, 0xffffffff), (version, blob, 1 << 20), (version, bytes(70000))]
        bad += [(version, b"\x2a" + rng.randbytes(rng.randrange(2000))) for _ in range(50)]
        for case in bad:
            with self.assertRaisesRegex(Failed, "FAIL .*netdev"):
                load(*case)
        load(version, b"\0" + rng.randbytes(len(blob) - 1))    # leases nobody has: so be it
        load(version, blob)
        s.card.__init__(q)
        self.assertEqual(s.dhcp()[0], GUEST)

    def test_quiet(self):
        """While nothing happens, an open connection and a forwarded port cost no time."""
        def used():
            with open("/proc/%d/stat" % q.proc.pid) as f:
                fields = f.read().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        with echo_server() as port:
            q, s = self.start(",hostfwd=tcp:127.0.0.1:%d-:22" % free_port())
            self.check_echo(s.connect(HOST, port))
            begin, before = time.monotonic(), used()
            time.sleep(2)
            self.assertLess(used() - before, 0.2 * (time.monotonic() - begin))

    def test_info(self):
        """Packets and their rate, and connections, in the monitor."""
        with echo_server() as port:
            q, s = self.start("")
            q.hmp("info network")
            c = s.connect(HOST, port)
            self.check_echo(c)
            text = q.hmp("info network")
            counts = [int(n) for n in re.findall(r"(\d+) packets", text)]
            self.assertTrue(counts and max(counts) >= 10, text)
            self.assertRegex(text, r"[1-9][\d.]* packets/s|packets/s")
            self.assertRegex(q.hmp("info usernet"), r"TCP\[ESTABLISHED\].*10\.0\.2\.15")


if __name__ == "__main__":
    main()
