# SPDX-License-Identifier: MIT
"""Guests on the network: each card under Linux with user-mode networking, two machines on one
wire, booting over the network."""

import contextlib
import hashlib
import http.server
import io
import os
import random
import re
import shutil
import socket
import socketserver
import struct
import subprocess
import sys
import tarfile
import tempfile
import threading

import material
from vm import PATIENCE, VM, Failed, Skipped

# model: module of its driver (already in the initramfs' list)
CARDS = ["e1000", "e1000e", "virtio-net-pci", "rtl8139", "pcnet", "ne2k_pci"]
BLIND = ("ne2k_pci",)                   # no carrier to be seen
# On a busy host the kernel may take minutes to find out how fast its loops are, or take a late timer
# for a broken one.
APPEND = "console=ttyS0 mitigations=off net.ifnames=0 lpj=10000000 no_timer_check quiet"
MEGABYTE = 1 << 20


def weight(n):
    def mark(fn):
        fn.weight = n
        return fn
    return mark


def expect(text, pattern):
    if not re.search(pattern, text):
        raise Failed("no %r in:\n%s" % (pattern, text))


# ---- servers on the host ----------------------------------------------------------------------

class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True


@contextlib.contextmanager
def http_server(files):
    """Serves {name: bytes} at 127.0.0.1; gives the port."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            data = files.get(self.path.lstrip("/"))
            self.send_response(200 if data is not None else 404)
            self.send_header("Content-Length", str(len(data or b"")))
            self.end_headers()
            self.wfile.write(data or b"")

        def log_message(self, *args):
            pass

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def sink():
    """Takes one connection at a time at 127.0.0.1 and keeps what comes; gives (port, list)."""
    listener = socket.create_server(("127.0.0.1", 0))
    got = []

    def serve():
        while True:
            try:
                conn = listener.accept()[0]
            except OSError:
                return
            with conn:
                digest, size = hashlib.md5(), 0
                while True:
                    data = conn.recv(65536)
                    if not data:
                        break
                    digest.update(data)
                    size += len(data)
                got.append((size, digest.hexdigest()))

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listener.getsockname()[1], got
    finally:
        listener.close()


@contextlib.contextmanager
def name_server(names):
    """Answers type A questions about {name: address} on port 53 of 127.0.0.1, if that is free
    and allowed (gives False otherwise)."""
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        s.bind(("127.0.0.1", 53))
    except OSError:
        s.close()
        yield False
        return

    def serve():
        while True:
            query, peer = s.recvfrom(1500)
            if not query:               # the end: a socket lives on while somebody reads it
                return
            labels, at = [], 12
            while at < len(query) and query[at]:
                labels.append(query[at + 1:at + 1 + query[at]].decode())
                at += 1 + query[at]
            question = query[12:at + 5]
            address = names.get(".".join(labels))
            is_a = query[at + 1:at + 3] == b"\0\1"
            answer = b""
            if address and is_a:
                answer = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + socket.inet_aton(address)
            head = query[:2] + struct.pack(">HHHHH", 0x8180 if address else 0x8183, 1,
                                           1 if answer else 0, 0, 0)
            s.sendto(head + question + answer, peer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield True
    finally:
        s.sendto(b"", s.getsockname())
        thread.join()
        s.close()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


# ---- guests ------------------------------------------------------------------------------------

def linux(args, **kw):
    kernel, initrd = material.net_kernel()
    return VM(["-kernel", kernel, "-initrd", initrd, "-append", APPEND] + args, mem="256", **kw)


UDHCPC = """cat > /tmp/dhcp <<'E'
#!/bin/sh
[ "$1" = bound ] || exit 0
ifconfig $interface $ip netmask $subnet
while route del default 2>/dev/null; do :; done
route add default gw $router $interface
echo nameserver $dns > /etc/resolv.conf
echo "lease $ip router $router dns $dns host $hostname domain $domain search $search boot $boot_file"
E
chmod +x /tmp/dhcp"""


def prepare(vm):
    vm.wait_serial("BusyBox shell", 300)
    vm.shell(UDHCPC)
    vm.shell("ifconfig lo up")


def dhcp(vm, dev):
    return vm.shell("ifconfig %s up && udhcpc -q -n -t 20 -T 1 -i %s -s /tmp/dhcp 2>&1" % (dev, dev), 120)


def devices(vm):
    """{last byte of the address: name}"""
    text = vm.shell("for i in /sys/class/net/eth*; do echo ${i##*/} $(cat $i/address); done")
    return {int(mac[-2:], 16): name for name, mac in re.findall(r"(eth\d+) (\S+)", text)}


def download(vm, port, name, data):
    got = vm.shell("wget -q -O - http://10.0.2.2:%d/%s | md5sum" % (port, name), 600)
    expect(got, hashlib.md5(data).hexdigest())


def upload(vm, port, got, size):
    """The guest sends random bytes; what came must be what it sent."""
    before = len(got)
    text = vm.shell("dd if=/dev/urandom of=/tmp/up bs=4096 count=%d 2>/dev/null; md5sum < /tmp/up; "
                    "nc 10.0.2.2 %d < /tmp/up" % (size // 4096, port), 600)
    end = 300
    while len(got) == before and end:
        vm.drain(0.1)
        end -= 1
    if got[before:] != [(size, text.split()[0])]:
        raise Failed("sent %d bytes with sum %s, %s came" % (size, text, got[before:]))


def ask(port, request=b"hello\n", tries=50):
    """What comes back through a forwarded port."""
    import time
    for n in range(tries):
        try:
            with socket.create_connection(("127.0.0.1", port), 10 * PATIENCE) as s:
                s.settimeout(10 * PATIENCE)
                s.sendall(request)
                s.shutdown(socket.SHUT_WR)
                answer = b""
                while True:
                    data = s.recv(65536)
                    if not data:
                        break
                    answer += data
                if answer:
                    return answer
        except OSError:
            pass
        time.sleep(0.2)
    raise Failed("no answer at forwarded port %d" % port)


def exercise(vm, dev, card, forward, servers, size):
    """One card: address, name, traffic in both directions, a forwarded port, link."""
    web, data, port, got, dns = servers
    expect(dhcp(vm, dev), r"lease 10\.0\.2\.15 router 10\.0\.2\.2 dns 10\.0\.2\.3")
    if dns:
        vm.shell("echo nameserver 10.0.2.2 > /etc/resolv.conf")
        expect(vm.shell("nslookup -type=a host.orrery.test"), r"192\.0\.2\.77")
    download(vm, web, "short" if card in BLIND else "data", data)
    upload(vm, port, got, size)
    vm.shell("mkdir -p /tmp/www; echo this is %s > /tmp/www/card; httpd -p 80 -h /tmp/www" % card)
    answer = ask(forward, b"GET /card HTTP/1.0\r\n\r\n")
    expect(answer.decode(), "this is " + card)
    vm.shell("killall httpd")
    check_link(vm, dev, card, forward)
    vm.shell("ifconfig %s down" % dev)


def wait_carrier(vm, dev, value):
    vm.shell("for k in $(seq 50); do [ \"$(cat /sys/class/net/%s/carrier)\" = %d ] && break; "
             "sleep 0.2; done; grep -q %d /sys/class/net/%s/carrier" % (dev, value, value, dev))


def check_link(vm, dev, card, forward):
    link(vm, forward, "off")
    if card in BLIND:
        vm.shell("! ping -c 1 -W 1 10.0.2.2")
        link(vm, forward, "on")
    else:
        wait_carrier(vm, dev, 0)
        link(vm, forward, "on")
        wait_carrier(vm, dev, 1)
    expect(vm.shell("ping -c 2 -W 5 10.0.2.2"), "2 packets received")


def forward_id(port):
    return "p%d" % port


def link(vm, port, state):
    text = vm.cmd("human-monitor-command", command_line="set_link n%s %s" % (forward_id(port), state))
    if text:
        raise Failed("set_link: " + text)


def check_cards(cards, size, extra=(), slow=256 * 1024):
    args, forwards = list(extra), {}
    for n, card in enumerate(cards):
        forwards[n] = free_port()
        args += ["-netdev", "user,id=n%s,hostfwd=tcp:127.0.0.1:%d-:80" % (forward_id(forwards[n]),
                                                                      forwards[n]),
                 "-device", "%s,netdev=n%s,mac=52:54:00:12:34:%02x" % (card, forward_id(forwards[n]),
                                                                      0x60 + n)]
    data = random.Random(1).randbytes(size)
    with http_server({"data": data, "short": data[:slow]}) as web, sink() as (port, got), \
            name_server({"host.orrery.test": "192.0.2.77"}) as dns, linux(args) as vm:
        prepare(vm)
        found = devices(vm)
        for n, card in enumerate(cards):
            if 0x60 + n not in found:
                raise Failed("no network interface for %s; there are %s" % (card, found))
            exercise(vm, found[0x60 + n], card, forwards[n], 
                     (web, data if card not in BLIND else data[:slow], port, got, dns),
                     size if card not in BLIND else slow)


@weight(3)
def test_network_cards():
    """Each card gets an address, resolves a name, sends and receives, is reached by hostfwd."""
    check_cards(CARDS, 2 * MEGABYTE)


# ---- two machines on one wire ---------------------------------------------------------------------

def pair(first, second):
    """Two machines with a card each on the given back-ends ping and send each other bytes, the
    second time both ways at once."""
    import wires
    card = ["-device", "virtio-net-pci,netdev=w,mac=52:54:00:00:00:%02x"]
    with wires.linux(["-netdev", first, card[0], card[1] % 1]) as a, \
            wires.linux(["-netdev", second, card[0], card[1] % 2]) as b:
        for vm, last in ((a, 1), (b, 2)):
            vm.wait_serial("BusyBox shell", 300)
            vm.shell("ifconfig eth0 192.168.7.%d up" % last)
        expect(a.shell("for k in 1 2 3 4 5 6 7 8; do ping -c 1 -W 2 192.168.7.2 && break; done"),
               "1 packets received")
        expect(b.shell("ping -c 2 -W 5 192.168.7.1"), "2 packets received")
        b.shell("(nc -l -p 99 | md5sum > /tmp/sum) & true")
        sent = a.shell("dd if=/dev/urandom of=/tmp/x bs=4096 count=256 2>/dev/null; md5sum < /tmp/x; "
                       "for k in 1 2 3 4 5; do nc 192.168.7.2 99 < /tmp/x && break; sleep 1; done",
                       120)
        came = b.shell("for k in $(seq 50); do [ -s /tmp/sum ] && break; sleep 0.2; done; "
                       "cat /tmp/sum", 60)
        if sent.split()[0] != came.split()[0]:
            raise Failed("sent %s, came %s" % (sent, came))
        wires.start_iperf_server(b, "192.168.7.2")
        wires.iperf(a, "192.168.7.2", 2, "--bidir")


@weight(3)
def test_network_pair_stream():
    """Two machines over -netdev stream, and over -netdev socket, on one wire."""
    with tempfile.TemporaryDirectory() as d:
        path = d + "/wire"
        pair("stream,id=w,server=on,addr.type=unix,addr.path=" + path,
             "stream,id=w,server=off,reconnect=1,addr.type=unix,addr.path=" + path)


@weight(3)
def test_network_pair_dgram():
    """Two machines over -netdev dgram (UDP)."""
    p, q = free_port(), free_port()
    one = "dgram,id=w,local.type=inet,local.host=127.0.0.1,local.port=%d," \
          "remote.type=inet,remote.host=127.0.0.1,remote.port=%d"
    pair(one % (p, q), one % (q, p))


# ---- booting, capturing, the host's kernel ---------------------------------------------------------

@weight(3)
def test_network_pxe():
    """SeaBIOS starts iPXE from the card's ROM; iPXE gets a script and the kernel by TFTP, the
    initramfs by HTTP."""
    kernel, initrd = material.net_kernel()
    with open(initrd, "rb") as f:
        data = f.read()
    with tempfile.TemporaryDirectory() as d, http_server({"initrd": data}) as web:
        shutil.copy(kernel, d + "/vmlinuz")
        with open(d + "/boot.ipxe", "w") as f:
            f.write("#!ipxe\nkernel vmlinuz initrd=initrd %s\ninitrd http://10.0.2.2:%d/initrd\n"
                    "boot\n" % (APPEND, web))
        with VM(["-netdev", "user,id=n,tftp=%s,bootfile=boot.ipxe" % d,
                 "-device", "virtio-net-pci,netdev=n,bootindex=1"], mem="512") as vm:
            vm.wait_serial("BusyBox shell", 400)
            expect(vm.shell("cat /proc/cmdline"), "initrd=initrd")


def pcap(path):
    """[frame] of a capture file."""
    with open(path, "rb") as f:
        data = f.read()
    magic, major, minor, _, _, snaplen, link = struct.unpack_from("<IHHiIII", data)
    if (magic, major, minor, link) != (0xa1b2c3d4, 2, 4, 1):
        raise Failed("not a capture of Ethernet frames: %r" % data[:24])
    frames, at = [], 24
    while at < len(data):
        _, _, size, length = struct.unpack_from("<IIII", data, at)
        if size > length or size > snaplen:
            raise Failed("a frame of %d bytes, %d of them kept" % (length, size))
        frames.append(data[at + 16:at + 16 + size])
        at += 16 + size
    return frames


@weight(3)
def test_network_dump():
    """filter-dump writes what went over the wire, both directions."""
    with tempfile.TemporaryDirectory() as d:
        with linux(["-netdev", "user,id=n", "-device", "virtio-net-pci,netdev=n",
                    "-object", "filter-dump,id=f,netdev=n,file=%s/cap" % d]) as vm:
            prepare(vm)
            dhcp(vm, "eth0")
            vm.shell("ping -c 3 -W 5 -s 77 -p 5a 10.0.2.2")
            vm.cmd("object-del", id="f")
            frames = pcap(d + "/cap")
    echoes = [f for f in frames if f[12:14] == b"\x08\0" and f[23] == 1 and b"Z" * 60 in f]
    kinds = sorted(f[34] for f in echoes)
    if kinds != [0, 0, 0, 8, 8, 8]:
        raise Failed("ICMP messages in the capture: %s" % kinds)
    if not any(f[12:14] == b"\x08\x06" for f in frames):
        raise Failed("no ARP in the capture")


@weight(3)
def test_network_tap():
    """A tap interface in a network namespace of its own: the host's stack answers, both ways."""
    if os.geteuid() != 0 or not os.path.exists("/dev/net/tun"):
        raise Skipped("needs root and /dev/net/tun")
    with tempfile.TemporaryDirectory() as d:
        with open(d + "/up", "w") as f:
            f.write("#!/bin/sh\n%s ifconfig $1 192.168.9.1 netmask 255.255.255.0 up\n"
                    "%s ifconfig lo 127.0.0.1 up\n" % ((material.busybox(),) * 2))
        os.chmod(d + "/up", 0o755)
        vm = linux(["-netdev", "tap,id=n,ifname=orrery0,script=%s/up,downscript=no" % d,
                    "-device", "virtio-net-pci,netdev=n"])
        vm.args = ["unshare", "-n", "--"] + vm.args
        with vm:
            vm.wait_serial("BusyBox shell", 300)
            vm.shell("ifconfig eth0 192.168.9.2 up")
            expect(vm.shell("ping -c 3 -W 5 192.168.9.1"), "3 packets received")
            inside = ["nsenter", "-t", str(vm.proc.pid), "-n"]
            expect(subprocess.run(inside + [material.busybox(), "ping", "-c", "2", "-W", "5",
                                            "192.168.9.2"],
                                  stdout=subprocess.PIPE, text=True).stdout, "2 packets received")
            take = ("import shutil, socket, sys\n"
                    "c = socket.create_server(('', 99)).accept()[0]\n"
                    "shutil.copyfileobj(c.makefile('rb'), sys.stdout.buffer)\n")
            server = subprocess.Popen(inside + [sys.executable, "-c", take],
                                      stdout=subprocess.PIPE)
            got = []
            reader = threading.Thread(target=lambda: got.append(server.stdout.read()), daemon=True)
            reader.start()
            text = vm.shell("dd if=/dev/urandom of=/tmp/x bs=4096 count=512 2>/dev/null; "
                            "md5sum < /tmp/x; for k in 1 2 3 4 5; do nc 192.168.9.1 99 < /tmp/x "
                            "&& break; sleep 1; done", 120)
            server.wait(60 * PATIENCE)
            reader.join(60 * PATIENCE)
            expect(text, hashlib.md5(got[0]).hexdigest())


# ---- a real client -----------------------------------------------------------------------------------

SSH_PACKAGES = ["dropbear-bin", "libtomcrypt1", "libtommath1", "libgmp10", "libcrypt1", "zlib1g",
                "libc6"]
SSH_FILES = re.compile(r"(bin/dropbear|\.so[.\d]*)$")


def ssh_server():
    """A tar archive with dropbear and the libraries it needs."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        for name in SSH_PACKAGES:
            top = material.package(name)
            for folder, _, files in os.walk(top):
                for f in files:
                    path = os.path.join(folder, f)
                    if SSH_FILES.search(path) and "gconv" not in path:
                        inside = os.path.relpath(path, top)
                        t.add(path, inside if inside.startswith("lib64") else
                              re.sub(r"^usr/(lib|sbin)", r"\1", inside))
    return out.getvalue()


@weight(4)
def test_network_ssh():
    """A real ssh client logs in through hostfwd, which the monitor adds while the guest runs."""
    if not shutil.which("ssh"):
        raise Skipped("openssh-client is not installed")
    port = free_port()
    with tempfile.TemporaryDirectory() as d, http_server({"ssh.tar": ssh_server()}) as web, \
            linux(["-netdev", "user,id=n", "-device", "e1000,netdev=n"]) as vm:
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", d + "/key"], check=True)
        with open(d + "/key.pub") as f:
            public = f.read().strip()
        prepare(vm)
        dhcp(vm, "eth0")
        vm.shell("cd / && wget -q -O - http://10.0.2.2:%d/ssh.tar | tar x" % web, 120)
        vm.shell("mkdir -p /root/.ssh /etc/dropbear /var/run; chmod 700 /root /root/.ssh; "
                 "echo '%s' > /root/.ssh/authorized_keys; chmod 600 /root/.ssh/authorized_keys; "
                 "echo /bin/sh > /etc/shells; chown -R 0:0 /root; "
                 "sed -i s/root::0/root:x:0/ /etc/passwd" % public)
        vm.shell("dropbear -R -s -p 22 2>&1")
        text = vm.cmd("human-monitor-command",
                      command_line="hostfwd_add n tcp:127.0.0.1:%d-:22" % port)
        if text:
            raise Failed("hostfwd_add: " + text)
        p = subprocess.run(["ssh", "-i", d + "/key", "-p", str(port), "-o", "StrictHostKeyChecking=no",
                            "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes",
                            "-o", "ConnectTimeout=60", "-F", "none", "root@127.0.0.1",
                            "uname -s; seq 100000 | md5sum"],
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                           stdin=subprocess.DEVNULL, timeout=200 * PATIENCE)
        numbers = "".join("%d\n" % n for n in range(1, 100001)).encode()
        if p.returncode or hashlib.md5(numbers).hexdigest() not in p.stdout:
            raise Failed("ssh: status %d\n%s\n%s" % (p.returncode, p.stdout, p.stderr))
        text = vm.cmd("human-monitor-command",
                      command_line="hostfwd_remove n tcp:127.0.0.1:%d" % port)
        expect(text, "removed")
        try:
            socket.create_connection(("127.0.0.1", port), 5).close()
        except OSError:
            return
        raise Failed("the port is still open after hostfwd_remove")
