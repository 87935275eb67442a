#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""TCP throughput between a Linux guest and the host over user-mode networking, beside QEMU's TCG:
iperf3 in the guest, its server on the host.

    tests/bench/net.py                          virtio-net-pci and e1000, both directions
    tests/bench/net.py -c rtl8139 -s 8 -n 5     another card, 8 MiB a run, 5 runs each
    tests/bench/net.py -a ./old/orrery          another emulator as the second one

The machines run one at a time and take turns; the figure is the median of MiB/s by the clock,
and of MiB per second of the emulator's CPU time, which a busy host disturbs less.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "guest"))
import material                         # noqa: E402
import network                          # noqa: E402
import vm                               # noqa: E402
import wires                            # noqa: E402

MIB = 1 << 20


def cpu_seconds(pid):
    with open("/proc/%d/stat" % pid) as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(machine, port, direction, args):
    """(MiB/s by the clock, MiB per CPU second)"""
    length = "-n %dM" % args.size if args.size else "-t %d" % args.seconds
    before = cpu_seconds(machine.proc.pid)
    text = machine.shell("iperf3 -c 10.0.2.2 -p %d %s %s -J > /tmp/j; grep -A8 -E "
                         "'sum_received|error' /tmp/j" % (port, length,
                                                          "-R" if direction == "down" else ""), 600)
    cpu = cpu_seconds(machine.proc.pid) - before
    if '"error"' in text:
        raise vm.Failed("iperf3: " + text)
    total = json.loads(text[text.index("{"):text.index("}") + 1])
    if total["bytes"] < 0.9 * args.size * MIB:      # the last bytes may be on their way
        raise vm.Failed("%d bytes of %d MiB came" % (total["bytes"], args.size))
    return total["bits_per_second"] / 8 / MIB, total["bytes"] / MIB / max(cpu, 0.001)


def start(program, card):
    kernel, initrd = material.iperf_kernel()
    machine = vm.VM(["-kernel", kernel, "-initrd", initrd, "-append", network.APPEND,
                     "-netdev", "user,id=n", "-device", card + ",netdev=n,romfile="], mem="256")
    machine.args[0] = program
    machine.start()
    return machine


def run_one(program, card, port, args):
    """{direction: what measure gives}"""
    machine = start(program, card)
    try:
        network.prepare(machine)
        network.dhcp(machine, "eth0")
        return {d: measure(machine, port, d, args) for d in ("up", "down")}
    finally:
        machine.stop()


def compare(card, engines, port, args):
    found = {}
    for _ in range(args.runs):
        for name, program in engines.items():
            for direction, figures in run_one(program, card, port, args).items():
                found.setdefault((direction, name), []).append(figures)
    for direction in ("up", "down"):
        row = []
        for name in engines:
            clock, cpu = zip(*found[direction, name])
            row.append((statistics.median(clock), statistics.median(cpu)))
        text = "".join("%12.1f %11.1f" % r for r in row)
        ratio = "   x%.2f x%.2f" % tuple(a / b for a, b in zip(*row)) if len(row) > 1 else ""
        print("%-16s %-5s %s%s" % (card, direction, text, ratio), flush=True)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    ap.add_argument("-c", "--cards", default="virtio-net-pci,e1000")
    ap.add_argument("-s", "--size", type=int, default=0, help="MiB a run, instead of seconds")
    ap.add_argument("-t", "--seconds", type=int, default=10, help="as long as iperf3 does by itself [10]")
    ap.add_argument("-n", "--runs", type=int, default=3)
    ap.add_argument("-a", "--against", default=shutil.which("qemu-system-x86_64"))
    args = ap.parse_args()
    engines = {"orrery": vm.EMULATOR}
    if args.against:
        engines[os.path.basename(args.against).partition("-")[0] + "'" * ("orrery" in args.against)] \
            = args.against
    print("%-16s %-5s %s" % ("card", "", "".join("%24s" % e for e in engines)))
    print("%-22s%s" % ("", "%24s" % "MiB/s  MiB/CPU second" * len(engines)))
    port = network.free_port()
    server = subprocess.Popen(["iperf3", "-s", "-B", "127.0.0.1", "-p", str(port)],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    try:
        wires.wait_port(port)
        for card in args.cards.split(","):
            compare(card, engines, port, args)
    finally:
        server.kill()
        server.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
