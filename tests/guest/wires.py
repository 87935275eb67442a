# SPDX-License-Identifier: MIT
"""Rows of netlong.py: two machines on one wire, captures read by tshark, the host's kernel.

They run in a network namespace of their own (netlong.py makes it).
"""

import contextlib
import hashlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

import material
import vhostnet
from network import APPEND, expect, free_port
from vm import PATIENCE, VM, Failed, Skipped

CARD = "virtio-net-pci,netdev=w,mac=52:54:00:00:00:%02x"
# What goes through the connection that a capture is to show: `seq` of so many
NUMBERS = 20000
HELPER = """#!%s
import array, fcntl, os, socket, struct, subprocess, sys
args = dict(a.lstrip("-").split("=", 1) for a in sys.argv[1:] if "=" in a)
tun = os.open("/dev/net/tun", os.O_RDWR)
request = struct.pack("16sH22x", b"tap%%d", 0x5002)         # TAP, without information, VNET_HDR
name = fcntl.ioctl(tun, 0x400454ca, request)[:16].rstrip(b"\\0").decode()
subprocess.run(["ip", "link", "set", name, "master", args["br"], "up"], check=True)
s = socket.socket(fileno=int(args["fd"]))
s.sendmsg([b"\\0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [tun]))])
"""


def wait_port(port, host="127.0.0.1"):
    """Until somebody listens."""
    end = time.monotonic() + 60 * PATIENCE
    while True:
        try:
            socket.create_connection((host, port), 5).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise Failed("nobody listens at port %d" % port)
            time.sleep(0.05)


def linux(args, smp=1):
    kernel, initrd = material.iperf_kernel()
    return VM(["-kernel", kernel, "-initrd", initrd, "-append", APPEND, "-smp", str(smp)] + args,
              mem="256")


def start_iperf_server(vm, address):
    vm.shell("ifconfig lo up; iperf3 -s -D -B %s" % address)
    vm.shell("for k in $(seq 100); do netstat -ltn | grep -q :5201 && break; sleep 0.1; done")


def iperf(vm, address, seconds, *options):
    """A run by the guest as client; gives its last lines' figures in MiB/s."""
    text = vm.shell("iperf3 -c %s -t %d -f M %s 2>&1" % (address, seconds, " ".join(options)),
                    seconds + 120)
    found = re.findall(r"([\d.]+) MBytes/sec\s+(?:\d+ +)?receiver", text)
    if "iperf Done" not in text or not found or not all(float(f) for f in found):
        raise Failed("iperf3:\n" + text)
    return [float(f) for f in found]


# ---- captures --------------------------------------------------------------------------------------

def tshark(path, *options):
    p = subprocess.run(["tshark", "-n", "-r", path, *options], stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, text=True)
    if p.returncode:
        raise Failed("tshark: " + p.stderr)
    return p.stdout


def check_capture(path, payload, pings, size, echoed=False):
    """What tshark finds in a capture: no frame with a fault, the pings, the connection's bytes.
    echoed: the sender hears itself (multicast)."""
    checks = [o for p in ("ip", "tcp", "udp") for o in ("-o", "%s.check_checksum:TRUE" % p)]
    bad = tshark(path, *checks, "-Y", "_ws.malformed || ip.checksum.status == 0 || "
                 "tcp.checksum.status == 0 || udp.checksum.status == 0 || icmp.checksum.status == 0"
                 " || frame.len > 1514")
    if bad.strip():
        raise Failed("frames with faults in the capture:\n" + bad[:1000])
    lines = tshark(path, "-Y", "icmp", "-T", "fields", "-e", "icmp.type", "-e", "icmp.seq",
                   "-e", "data.data").split("\n")[:-1]
    seen = [(int(t), int(n), d[32:]) for t, n, d in (line.split("\t") for line in lines)]
    if echoed:
        seen = [s for n, s in enumerate(seen) if not n or s != seen[n - 1]]
    wanted = [(t, n, "5a" * (size - 16)) for n in range(pings) for t in (8, 0)]
    if seen != wanted:
        raise Failed("ICMP in the capture: %s" % seen)
    text = tshark(path, "-q", "-z", "follow,tcp,raw,0")
    data = "".join(line.strip() for line in text.split("\n")
                   if re.fullmatch(r"\t?[0-9a-f]+", line))
    if bytes.fromhex(data) != payload:
        raise Failed("the connection in the capture has %d bytes, %d were sent, or others"
                     % (len(data) // 2, len(payload)))


# ---- two machines ------------------------------------------------------------------------------------

def wires(d):
    """{name: (first machine's back-end, second machine's)}"""
    p, q = free_port(), free_port()
    unix = "addr.type=unix,addr.path=%s/wire" % d
    tcp = "addr.type=inet,addr.host=127.0.0.1,addr.port=%d" % p
    udp = "dgram,id=w,local.type=inet,local.host=127.0.0.1,local.port=%d,remote.type=inet," \
          "remote.host=127.0.0.1,remote.port=%d"
    local = "dgram,id=w,local.type=unix,local.path=%s/%s,remote.type=unix,remote.path=%s/%s"
    group = "dgram,id=w,remote.type=inet,remote.host=230.1.2.3,remote.port=%d,local.type=inet," \
            "local.host=127.0.0.1,local.port=0" % p
    old = "socket,id=w,"
    return {
        "stream-unix": ("stream,id=w,server=on," + unix, "stream,id=w,server=off,reconnect=1," + unix),
        "stream-tcp": ("stream,id=w,server=on," + tcp, "stream,id=w,server=off,reconnect=1," + tcp),
        "dgram-udp": (udp % (p, q), udp % (q, p)),
        "dgram-unix": (local % (d, "a", d, "b"), local % (d, "b", d, "a")),
        "dgram-mcast": (group, group),
        "socket-tcp": (old + "listen=127.0.0.1:%d" % p, old + "connect=127.0.0.1:%d" % p),
        "socket-udp": (old + "udp=127.0.0.1:%d,localaddr=127.0.0.1:%d" % (q, p),
                       old + "udp=127.0.0.1:%d,localaddr=127.0.0.1:%d" % (p, q)),
        "socket-mcast": (old + "mcast=230.1.2.4:%d,localaddr=127.0.0.1" % p,) * 2,
    }


def reach(vm, address):
    vm.shell("for k in $(seq 40); do ping -c 1 -W 2 %s && break; done" % address, 200)


def put_numbers(sender, receiver, address):
    """The receiver gets a list of numbers by TCP; gives it."""
    payload = "".join("%d\n" % n for n in range(1, NUMBERS + 1)).encode()
    receiver.shell("(nc -l -p 99 > /tmp/got) & true")
    receiver.shell("for k in $(seq 100); do netstat -ltn | grep -q :99 && break; sleep 0.1; done")
    sender.shell("seq %d > /tmp/x; nc %s 99 < /tmp/x" % (NUMBERS, address), 120)
    wanted = hashlib.md5(payload).hexdigest()
    for _ in range(100):
        if wanted in receiver.shell("md5sum < /tmp/got"):
            return payload
        receiver.drain(0.1)
    raise Failed("what came is not what was sent")


def check_pair(name, seconds):
    if not shutil.which("tshark"):
        raise Skipped("tshark is not installed")
    with tempfile.TemporaryDirectory() as d:
        first, second = wires(d)[name]
        with linux(["-netdev", first, "-device", CARD % 1]) as a, \
                linux(["-netdev", second, "-device", CARD % 2]) as b:
            for vm, last in ((a, 1), (b, 2)):
                vm.wait_serial("BusyBox shell", 300)
                vm.shell("ifconfig eth0 192.168.7.%d up" % last)
            reach(a, "192.168.7.2")
            expect(b.shell("ping -c 2 -W 5 192.168.7.1"), "2 packets received")
            a.cmd("object-add", qom_type="filter-dump", id="f", netdev="w", file=d + "/cap")
            a.shell("ping -c 3 -W 5 -s 77 -p 5a 192.168.7.2")
            payload = put_numbers(a, b, "192.168.7.2")
            a.cmd("object-del", id="f")
            check_capture(d + "/cap", payload, 3, 77, "mcast" in name)
            start_iperf_server(b, "192.168.7.2")
            rates = iperf(a, "192.168.7.2", seconds, "--bidir")
            expect(a.shell("ping -c 2 -W 5 192.168.7.2"), "2 packets received")
    return "ping, capture, %d s of iperf3 both ways: %.1f and %.1f MiB/s" % (seconds, *rates)


# ---- the host's kernel -----------------------------------------------------------------------------

def need_tun():
    if not os.path.exists("/dev/net/tun"):
        raise Skipped("there is no /dev/net/tun")


@contextlib.contextmanager
def host_iperf(address):
    server = subprocess.Popen(["iperf3", "-s", "-B", address], stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_port(5201, address)
        yield
    finally:
        server.kill()
        server.wait()


def talk_to_host(vm, seconds, *options):
    vm.wait_serial("BusyBox shell", 300)
    vm.shell("ifconfig lo up; ifconfig eth0 192.168.9.2 up")
    reach(vm, "192.168.9.1")
    expect(vm.shell("ping -c 3 -W 5 192.168.9.1"), "3 packets received")
    expect(subprocess.run(["ping", "-c", "2", "-W", "5", "192.168.9.2"] if shutil.which("ping") else
                          [material.busybox(), "ping", "-c", "2", "-W", "5", "192.168.9.2"],
                          stdout=subprocess.PIPE, text=True).stdout, r"2 (packets )?received")
    with host_iperf("192.168.9.1"):
        up = iperf(vm, "192.168.9.1", seconds, *options)
        down = iperf(vm, "192.168.9.1", seconds, "-R", *options)
    return "iperf3 %.1f MiB/s up, %.1f down" % (up[-1], down[-1])


def tap_script(d):
    with open(d + "/up", "w") as f:
        f.write("#!/bin/sh\nip addr add 192.168.9.1/24 dev $1; ip link set $1 up\n")
    with open(d + "/down", "w") as f:
        f.write("#!/bin/sh\necho $1 > %s/went\n" % d)
    for name in ("/up", "/down"):
        os.chmod(d + name, 0o755)
    return "script=%s/up,downscript=%s/down" % (d, d)


def check_tap(card, seconds):
    need_tun()
    with tempfile.TemporaryDirectory() as d:
        with linux(["-netdev", "tap,id=w,ifname=orrery0," + tap_script(d),
                    "-device", card + ",netdev=w"]) as vm:
            text = talk_to_host(vm, seconds)
            vm.cmd("quit")
            vm.wait_exit(30)
        with open(d + "/went") as f:
            expect(f.read(), "orrery0")
    return text


def interrupts(vm):
    """{queue: how often it interrupted} of virtio-net's receiving queues"""
    text = vm.shell("cat /proc/interrupts")
    return {m.group(2): sum(map(int, m.group(1).split()))
            for m in re.finditer(r"^ *\d+:((?: +\d+)+) .*virtio\d+-(input\.\d+)$", text, re.M)}


def check_multiqueue(seconds):
    """Two queues of a tap interface, four vCPUs: both interrupt."""
    need_tun()
    with tempfile.TemporaryDirectory() as d, \
            linux(["-netdev", "tap,id=w,queues=2,ifname=orrery0," + tap_script(d),
                   "-device", "virtio-net-pci,netdev=w,mq=on,vectors=6"], smp=2) as vm:
        vm.wait_serial("BusyBox shell", 300)
        before = interrupts(vm)
        expect(vm.shell("ls /sys/class/net/eth0/queues"), r"rx-0[\s\S]*rx-1[\s\S]*tx-0[\s\S]*tx-1")
        text = talk_to_host(vm, seconds, "-P", "8")
        after = interrupts(vm)
        counts = {q: after[q] - before.get(q, 0) for q in after}
        if len(counts) != 2 or not all(counts.values()):
            raise Failed("interrupts of the receiving queues: %s" % counts)
        return "%s, interrupts %s" % (text, counts)


def allow_bridge(d):
    """QEMU's helper looks into /etc/qemu/bridge.conf: this namespace gets one."""
    os.makedirs(d + "/etc/qemu")
    with open(d + "/etc/qemu/bridge.conf", "w") as f:
        f.write("allow orrerybr\n")
    laid = subprocess.run(["mount", "-t", "overlay", "overlay", "-o", "lowerdir=%s/etc:/etc" % d, "/etc"],
                          stderr=subprocess.PIPE, text=True)
    if laid.returncode:
        raise Skipped("nothing can be laid over /etc: " + laid.stderr.strip())


def check_bridge(helper, seconds):
    need_tun()
    with tempfile.TemporaryDirectory() as d:
        if helper == "ours":
            helper = d + "/helper"
            with open(helper, "w") as f:
                f.write(HELPER % sys.executable)
            os.chmod(helper, 0o755)
        else:
            if not os.path.exists(helper):
                raise Skipped(helper + " is not installed")
            allow_bridge(d)
        made = subprocess.run(["ip", "link", "add", "orrerybr", "type", "bridge"],
                              stderr=subprocess.PIPE, text=True)
        if made.returncode:
            raise Skipped("the kernel makes no bridge: " + made.stderr.strip())
        try:
            subprocess.run("ip addr add 192.168.9.1/24 dev orrerybr; ip link set orrerybr up",
                           shell=True, check=True)
            text = []
            for back_end in ("bridge,id=w,br=orrerybr,helper=" + helper,
                             "tap,id=w,br=orrerybr,helper=" + helper):
                with linux(["-netdev", back_end, "-device", "virtio-net-pci,netdev=w"]) as vm:
                    text.append(talk_to_host(vm, seconds))
            return "; ".join(text)
        finally:
            subprocess.run(["ip", "link", "del", "orrerybr"])


def check_vhost(seconds):
    """With this host's kernel if it has vhost-net; in any case with that of a machine of ours."""
    text = []
    if os.path.exists("/dev/vhost-net") and os.path.exists("/dev/net/tun"):
        with tempfile.TemporaryDirectory() as d:
            with linux(["-netdev", "tap,id=w,ifname=orrery0,vhost=on," + tap_script(d),
                        "-device", "virtio-net-pci,netdev=w"]) as vm:
                text.append(talk_to_host(vm, seconds))
    with tempfile.TemporaryDirectory() as d:
        text.append(vhostnet.check(d))
    return "; ".join(text)


def rows(seconds):
    found = {}
    for name in wires(""):
        found["pair-" + name] = lambda n=name: check_pair(n, min(seconds, 10))
    short = min(seconds, 5)
    for card in ("virtio-net-pci", "e1000"):
        found["tap-" + card] = lambda c=card: check_tap(c, short)
    found["tap-multiqueue"] = lambda: check_multiqueue(short)
    found["tap-vhost"] = lambda: check_vhost(short)
    found["bridge"] = lambda: check_bridge("ours", short)
    found["bridge-qemu-helper"] = lambda: check_bridge("/usr/lib/qemu/qemu-bridge-helper", short)
    return found
