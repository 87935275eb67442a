#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Longer tests of the network, for `make check-net`: every card with a real system behind it,
booting over the network with every option ROM, two machines on every kind of wire, the host's
kernel.

    tests/guest/netlong.py [-l] [-s MiB] [-t SECONDS] [ROW or beginning of a ROW ...]

Everything happens in a network namespace of its own, with servers on its loopback interface;
another user than root gets one by a user namespace.
"""

import argparse
import contextlib
import hashlib
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import traceback

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import debian                           # noqa: E402
import disks                            # noqa: E402
import material                         # noqa: E402
import network                          # noqa: E402
import wires                            # noqa: E402
from network import expect              # noqa: E402
from vm import PATIENCE, VM, Failed, Skipped    # noqa: E402

INSIDE = "ORRERY_NETWORK_NAMESPACE"     # set in the process that is in it
STALL = 5                               # seconds without a byte in one direction
CARDS = ["e1000", "e1000e", "virtio-net-pci", "pcnet", "rtl8139", "ne2k_pci"]
I386_CARDS = ["rtl8139", "ne2k_pci", "ne2k_isa"]
ALL_CARDS = CARDS + ["ne2k_isa"]
# Cards whose option ROM is in the package ipxe-qemu
ROMS = ["e1000", "e1000e", "virtio-net-pci", "pcnet", "rtl8139", "ne2k_pci"]
NAME, ADDRESS = "host.orrery.test", "192.0.2.77"


# ---- the host's side ----------------------------------------------------------------------------

@contextlib.contextmanager
def iperf_server():
    """iperf3 on a port of 127.0.0.1, which it gives."""
    port = network.free_port()
    server = subprocess.Popen(["iperf3", "-s", "-B", "127.0.0.1", "-p", str(port)],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    try:
        wires.wait_port(port)
        yield port
    finally:
        server.kill()
        server.wait()


@contextlib.contextmanager
def ssh_key():
    """(private key's path, public key)"""
    with tempfile.TemporaryDirectory() as d:
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", d + "/key"], check=True)
        with open(d + "/key.pub") as f:
            yield d + "/key", f.read().strip()


# ---- guests --------------------------------------------------------------------------------------

class Guest:
    """A system with some cards, of which one is up at a time, and has a port of the host
    forwarded to its ssh server."""

    def __init__(self, cards, args, mem):
        self.ports = {c: network.free_port() for c in cards}
        for c in cards:
            # line 9, the default, is ACPI's on a "pc"
            more = "iobase=0x300,irq=5" if c == "ne2k_isa" else "romfile="
            args += ["-netdev", "user,id=%s,hostfwd=tcp:127.0.0.1:%d-:22" % (c, self.ports[c]),
                     "-device", "%s,netdev=%s,mac=%s,%s" % (c, c, self.mac(c), more)]
        self.vm = VM(args, mem=mem)
        self.ready = False

    @staticmethod
    def mac(card):
        return "52:54:00:12:35:%02x" % ALL_CARDS.index(card)

    def start(self):
        if not self.ready:
            self.vm.start()
            self.log_in()
            self.ready = True

    def interface(self, card):
        """The interface of a card; a driver may take its time to make it."""
        for _ in range(50):
            text = self.vm.shell("grep -l %s /sys/class/net/*/address; true" % self.mac(card))
            m = re.search(r"/net/([^/\s]+)/address", text)
            if m:
                return m.group(1)
            self.vm.drain(0.5)
        raise Failed("no interface for %s; there are: %s" % (
            card, self.vm.shell("ls /sys/class/net")))


class Debian(Guest):
    """The Debian system on a disk, booted by GRUB."""

    def __init__(self, cards):
        super().__init__(cards, ["-drive", "file=%s,format=raw,if=virtio,snapshot=on"
                                 % debian.disk(debian.NET)], "384")

    def log_in(self):
        disks.log_in(self.vm)

    def shut(self, dev):
        self.vm.shell("ifdown %s 2>&1" % dev, 120)

    def configure(self, dev):
        self.vm.shell("printf 'iface %s inet dhcp\\n' > /etc/network/interfaces; ifup %s 2>&1"
                      % (dev, dev), 120)
        expect(self.vm.shell("ip -4 addr show dev " + dev), r"inet 10\.0\.2\.15/24")
        expect(self.vm.shell("ip route"), r"default via 10\.0\.2\.2")

    def resolve(self):
        expect(self.vm.shell("getent ahostsv4 " + NAME, 90), ADDRESS.replace(".", r"\."))

    def serve_ssh(self, public):
        self.vm.shell("mkdir -p -m 700 /root/.ssh; echo '%s' > /root/.ssh/authorized_keys; "
                      "systemctl start ssh; systemctl is-active ssh" % public, 120)


class Installer(Guest):
    """The kernel of Debian's installer for i386, with its modules; programs of ours."""

    def __init__(self, cards):
        kernel, initrd = material.i386_kernel()
        super().__init__(cards, ["-kernel", kernel, "-initrd", initrd, "-append",
                                 network.APPEND + " rdinit=/orrery-init"], "512")

    def log_in(self):
        network.prepare(self.vm)
        expect(self.vm.shell("uname -m"), r"i\d86")

    def shut(self, dev):
        self.vm.shell("killall dropbear; ifconfig %s down" % dev)

    def configure(self, dev):
        expect(network.dhcp(self.vm, dev), r"lease 10\.0\.2\.15 router 10\.0\.2\.2 dns 10\.0\.2\.3")

    def resolve(self):
        expect(self.vm.shell("nslookup -type=a " + NAME, 90), ADDRESS.replace(".", r"\."))

    def serve_ssh(self, public):
        self.vm.shell("mkdir -p /root/.ssh /etc/dropbear /var/run; chmod 700 /root /root/.ssh; "
                      "echo '%s' > /root/.ssh/authorized_keys; chmod 600 /root/.ssh/authorized_keys; "
                      "echo /bin/sh > /etc/shells; chown -R 0:0 /root" % public)
        self.vm.shell("dropbear -R -s -p 22 2>&1")


# ---- one card ------------------------------------------------------------------------------------

def log_in_by_ssh(port, key):
    numbers = "".join("%d\n" % n for n in range(1, 100001)).encode()
    p = subprocess.run(["ssh", "-i", key, "-p", str(port), "-o", "StrictHostKeyChecking=no",
                        "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes",
                        "-o", "ConnectTimeout=60", "-F", "none", "root@127.0.0.1",
                        "uname -s; seq 100000 | md5sum"],
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                       stdin=subprocess.DEVNULL, timeout=200 * PATIENCE)
    if p.returncode or hashlib.md5(numbers).hexdigest() not in p.stdout:
        raise Failed("ssh: status %d\n%s\n%s" % (p.returncode, p.stdout, p.stderr))


INTERVAL = re.compile(r"\[ *\d+\]\[(TX|RX)-C\] +([\d.]+)-([\d.]+) +sec +([\d.]+) +([KMG]?)Bytes")
UNITS = {"": 1 / 1024, "K": 1, "M": 1024, "G": 1 << 20}


def stalls(text):
    """Longest time without a byte, and KiB in all: {direction: (seconds, KiB)}, from iperf3's
    lines, one a second."""
    found = {}
    for way, begin, end, number, unit in INTERVAL.findall(text.split("- - - -")[0]):
        kib = float(number) * UNITS[unit]
        idle, longest, total = found.get(way, (0.0, 0.0, 0.0))
        idle = 0.0 if kib else idle + float(end) - float(begin)
        found[way] = idle, max(longest, idle), total + kib
    return {way: found[way][1:] for way in found}


def parallel_traffic(vm, port, seconds):
    """iperf3 in both directions at once; gives MiB/s up and down."""
    text = vm.shell("iperf3 -c 10.0.2.2 -p %d --bidir -t %d -i 1 -f M 2>&1" % (port, seconds),
                    seconds + 120)
    found = stalls(text)
    if sorted(found) != ["RX", "TX"] or "iperf Done" not in text:
        raise Failed("iperf3 did not come to its end:\n" + text)
    for way, (idle, total) in found.items():
        if idle >= STALL * PATIENCE or not total:
            raise Failed("%s: %.0f s without a byte, %.0f KiB in all\n%s" % (way, idle, total, text))
    return tuple(found[way][1] / 1024 / seconds for way in ("TX", "RX"))


def step(text):
    """Where it is, for whoever waits (-v)."""
    if step.on:
        print("%s  %s" % (time.strftime("%H:%M:%S"), text), file=sys.stderr, flush=True)


step.on = False


def check_card(guest, card, size, seconds):
    data = random.Random(2).randbytes(1 << 20) * size
    vm = guest.vm
    with network.http_server({"data": data}) as web, iperf_server() as iperf, \
            network.name_server({NAME: ADDRESS}) as dns, ssh_key() as (key, public):
        if not dns:
            raise Failed("port 53 of 127.0.0.1 is taken")
        step("boot")
        guest.start()
        step("address, name")
        dev = guest.interface(card)
        vm.shell("dmesg -c > /dev/null")
        guest.configure(dev)
        guest.resolve()
        step("download")
        begin = time.monotonic()
        text = vm.shell("wget -q -O - http://10.0.2.2:%d/data | md5sum" % web, 3600)
        expect(text, hashlib.md5(data).hexdigest())
        rate = size / (time.monotonic() - begin)
        step("ssh")
        guest.serve_ssh(public)
        log_in_by_ssh(guest.ports[card], key)
        step("iperf3")
        up, down = parallel_traffic(vm, iperf, seconds)
        expect(vm.shell("ping -c 2 -W 5 10.0.2.2"), "2 (packets )?received")
        log = vm.shell("dmesg | grep -E 'NETDEV WATCHDOG|timed out|Oops|BUG:|hung'; true")
        if log.strip():
            raise Failed("the kernel complains:\n" + log)
        guest.shut(dev)
    return "%d MiB at %.1f MiB/s; ssh; %d s both ways: %.1f MiB/s up, %.1f down" % (
        size, rate, seconds, up, down)


# ---- booting over the network --------------------------------------------------------------------

def check_boot(card, protocol):
    """iPXE of the card's ROM takes a script and a kernel; by http the script tells from where."""
    with tempfile.TemporaryDirectory() as d, contextlib.ExitStack() as stack:
        kernel, initrd = material.net_kernel()
        base = ""
        if protocol == "http":
            files = {}
            for name, path in (("vmlinuz", kernel), ("initrd", initrd)):
                with open(path, "rb") as f:
                    files[name] = f.read()
            base = "http://10.0.2.2:%d/" % stack.enter_context(network.http_server(files))
        else:
            shutil.copy(kernel, d + "/vmlinuz")
            shutil.copy(initrd, d + "/initrd")
        with open(d + "/boot.ipxe", "w") as f:
            f.write("#!ipxe\nkernel %svmlinuz initrd=initrd by=%s %s\ninitrd %sinitrd\nboot\n" % (
                base, protocol, network.APPEND, base))
        vm = VM(["-netdev", "user,id=n,tftp=%s,bootfile=boot.ipxe" % d,
                 "-device", card + ",netdev=n,bootindex=1"], mem="512")
        begin = time.monotonic()
        with vm:
            vm.wait_serial("BusyBox shell", 600)
            expect(vm.shell("cat /proc/cmdline"), "by=" + protocol)
    return "a shell after %.0f s" % (time.monotonic() - begin)


# ---- rows -----------------------------------------------------------------------------------------

class Group:
    """Rows that share a guest, as long as they end well."""

    def __init__(self, kind):
        self.kind, self.cards, self.guest = kind, [], None

    def run(self, card, size, seconds):
        if not self.guest:
            self.guest = self.kind(self.cards)
        try:
            text = check_card(self.guest, card, size, seconds)
        except BaseException:
            self.stop()
            raise
        if card == self.cards[-1]:
            self.stop()
        return text

    def stop(self):
        self.guest.vm.stop()
        self.guest = None


def rows(args):
    """{name: function without arguments that gives a sentence}"""
    found = {}
    for prefix, kind, cards in (("card-", Debian, CARDS), ("i386-", Installer, I386_CARDS)):
        group = Group(kind)
        for card in cards:
            if not args.rows or (prefix + card).startswith(tuple(args.rows)):
                group.cards.append(card)
            found[prefix + card] = lambda g=group, c=card: g.run(c, args.size, args.seconds)
    for card in ROMS:
        for protocol in ("tftp", "http"):
            found["boot-%s-%s" % (card, protocol)] = lambda c=card, p=protocol: check_boot(c, p)
    found.update(wires.rows(args.seconds))
    return found


def fetch(names):
    """What the rows are made of: inside the namespace there is no network."""
    if any(n.startswith("card-") for n in names):
        debian.disk(debian.NET)
    if any(n.startswith("i386-") for n in names):
        material.i386_kernel()
    material.iperf_kernel()


def enter():
    """This program again, in namespaces for network and mounts, with a name server's address."""
    os.environ[INSIDE] = "1"
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    os.execvp("unshare", ["unshare"] + user + ["--net", "--mount", "--", sys.executable]
              + [os.path.abspath(sys.argv[0])] + sys.argv[1:])


def furnish():
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["ip", "route", "add", "224.0.0.0/4", "dev", "lo"], check=True)
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as f:
        f.write("nameserver 127.0.0.1\n")
        f.flush()
        subprocess.run(["mount", "--bind", f.name, os.path.realpath("/etc/resolv.conf")], check=True)


def run(name, row):
    start = time.monotonic()
    try:
        result, text = "ok", row()
    except Skipped as e:
        result, text = "skipped", str(e)
    except (Failed, material.Missing) as e:
        result, text = "FAILED", str(e)
    except Exception:
        result, text = "FAILED", traceback.format_exc()
    print("%-8s %-24s %s (%.0f s)" % (result, name, text, time.monotonic() - start), flush=True)
    return result != "FAILED"


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    ap.add_argument("rows", nargs="*")
    ap.add_argument("-l", "--list", action="store_true")
    ap.add_argument("-v", "--verbose", action="store_true", help="say what is being done")
    ap.add_argument("-s", "--size", type=int, default=200)
    ap.add_argument("-t", "--seconds", type=int, default=60)
    args = ap.parse_args()
    step.on = args.verbose
    known = rows(args)
    if args.list:
        print("\n".join(known))
        return 0
    chosen = [n for n in known if not args.rows or n.startswith(tuple(args.rows))]
    if not chosen:
        sys.exit("netlong.py: no such row (-l lists them)")
    if INSIDE not in os.environ:
        fetch(chosen)
        enter()
    furnish()
    return 0 if all([run(n, known[n]) for n in chosen]) else 1


if __name__ == "__main__":
    sys.exit(main())
