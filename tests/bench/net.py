#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""TCP throughput between a Linux guest and the host over user-mode networking, beside QEMU's TCG.

    tests/bench/net.py                          virtio-net-pci and e1000, both directions
    tests/bench/net.py -c rtl8139 -s 8 -n 3     another card, 8 MiB a run, 3 runs each

The machines run one at a time and take turns; the figure is the median of MiB/s by the clock,
and of MiB per second of the emulator's CPU time, which a busy host disturbs less.
"""

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "guest"))
import material                         # noqa: E402
import network                          # noqa: E402
import vm                               # noqa: E402

MIB = 1 << 20


def compiled():
    source = os.path.join(HERE, "guest-net", "blast.c")

    def make(out):
        subprocess.run([os.environ.get("CC", "cc"), "-O2", "-static", "-o", out, source], check=True)
    return material.cached("blast", make, material.read_text(source))


def cpu_seconds(pid):
    with open("/proc/%d/stat" % pid) as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Peer:
    """The host's side: takes all of a connection, or sends size bytes."""

    def __init__(self, size):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.size, self.seconds, self.bytes = size, None, 0
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        conn = self.listener.accept()[0]
        begin = time.monotonic()
        if self.size:
            conn.sendall(bytes(self.size))
            conn.shutdown(socket.SHUT_WR)
            conn.recv(1)
            self.bytes = self.size
        else:
            while True:
                data = conn.recv(1 << 20)
                if not data:
                    break
                self.bytes += len(data)
        self.seconds = time.monotonic() - begin
        conn.close()
        self.listener.close()


def measure(machine, direction, size):
    """(MiB/s by the clock, MiB per CPU second)"""
    peer = Peer(size if direction == "down" else 0)
    before = cpu_seconds(machine.proc.pid)
    if direction == "down":
        machine.shell("/blast receive 10.0.2.2 %d" % peer.port, 600)
    else:
        machine.shell("/blast send 10.0.2.2 %d %d" % (peer.port, size), 600)
    end = time.monotonic() + 20
    while peer.seconds is None and time.monotonic() < end:
        time.sleep(0.01)
    cpu = cpu_seconds(machine.proc.pid) - before
    if peer.bytes != size:
        raise vm.Failed("%d bytes of %d came" % (peer.bytes, size))
    return size / MIB / peer.seconds, size / MIB / max(cpu, 0.001)


def start(program, card):
    machine = network.linux(["-netdev", "user,id=n", "-device", card + ",netdev=n,romfile="])
    machine.args[0] = program
    machine.start()
    return machine


def put_program(machine):
    """The guest gets the program over the network, which is up then."""
    network.prepare(machine)
    network.dhcp(machine, "eth0")
    with open(compiled(), "rb") as f:
        data = f.read()
    with network.http_server({"blast": data}) as port:
        machine.shell("wget -q -O /blast http://10.0.2.2:%d/blast && chmod +x /blast" % port, 120)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    ap.add_argument("-c", "--cards", default="virtio-net-pci,e1000")
    ap.add_argument("-s", "--size", type=int, default=48, help="MiB a run [48]")
    ap.add_argument("-n", "--runs", type=int, default=3)
    args = ap.parse_args()
    engines = {"orrery": vm.EMULATOR}
    if shutil.which("qemu-system-x86_64"):
        engines["qemu"] = shutil.which("qemu-system-x86_64")
    print("%-16s %-5s %s" % ("card", "", "".join("%24s" % e for e in engines)))
    print("%-22s%s" % ("", "%24s" % "MiB/s  MiB/CPU second" * len(engines)))
    for card in args.cards.split(","):
        found = {}
        for run in range(args.runs):
            for name, program in engines.items():
                machine = start(program, card)
                try:
                    put_program(machine)
                    for direction in ("up", "down"):
                        found.setdefault((direction, name), []).append(
                            measure(machine, direction, args.size * MIB))
                finally:
                    machine.stop()
        for direction in ("up", "down"):
            row = []
            for name in engines:
                clock, cpu = zip(*found[direction, name])
                row.append((statistics.median(clock), statistics.median(cpu)))
            text = "".join("%12.1f %11.1f" % r for r in row)
            ratio = "   x%.2f x%.2f" % tuple(a / b for a, b in zip(*row)) if len(row) > 1 else ""
            print("%-16s %-5s %s%s" % (card, direction, text, ratio), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
