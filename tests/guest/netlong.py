#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Longer tests of the network, for `make check-net`: with each card a download of 200 MiB and a
minute of traffic in both directions at once.

    tests/guest/netlong.py [-c CARD,...] [-s MiB] [-t SECONDS]
"""

import argparse
import hashlib
import os
import random
import socket
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import network                          # noqa: E402
from vm import PATIENCE, Failed         # noqa: E402


class Traffic:
    """Two connections: one is filled for a number of seconds, the other emptied.  A stall is ten
    seconds without a byte."""

    def __init__(self, seconds):
        self.seconds, self.counts, self.last, self.stalls = seconds, [0, 0], [0.0, 0.0], []
        self.listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        self.ports = [s.getsockname()[1] for s in self.listeners]
        for n in range(2):
            threading.Thread(target=self.run, args=(n,), daemon=True).start()

    def run(self, n):
        conn = self.listeners[n].accept()[0]
        conn.settimeout(10 * PATIENCE)
        end = time.monotonic() + self.seconds
        block = bytes(65536)
        try:
            while time.monotonic() < end:
                got = conn.send(block) if n == 0 else len(conn.recv(65536))
                if not got:
                    break
                self.counts[n] += got
        except socket.timeout:
            self.stalls.append(("to", "from")[n] + " the guest")
        conn.close()


def check(card, size, seconds):
    data = random.Random(2).randbytes(1 << 20) * size
    args = ["-netdev", "user,id=n", "-device", card + ",netdev=n"]
    if card == "ne2k_isa":
        raise Failed("the 64-bit kernel has no driver for ne2k_isa")
    with network.http_server({"data": data}) as port, network.linux(args) as vm:
        network.prepare(vm)
        network.dhcp(vm, "eth0")
        begin = time.monotonic()
        text = vm.shell("wget -q -O - http://10.0.2.2:%d/data | md5sum" % port, 3600)
        network.expect(text, hashlib.md5(data).hexdigest())
        rate = size / (time.monotonic() - begin)
        t = Traffic(seconds)
        vm.shell("(nc 10.0.2.2 %d > /dev/null < /dev/null; echo) & "
                 "nc 10.0.2.2 %d < /dev/zero > /dev/null; true" % tuple(t.ports), seconds + 120)
        if t.stalls or min(t.counts) < 1 << 20:
            raise Failed("stalls: %s; %d bytes down, %d up" % (t.stalls, *t.counts))
        network.expect(vm.shell("ping -c 2 -W 5 10.0.2.2"), "2 packets received")
        print("%-16s %d MiB at %.1f MiB/s; %d s both ways: %.1f MiB/s down, %.1f up" % (
            card, size, rate, seconds, t.counts[0] / seconds / 2**20, t.counts[1] / seconds / 2**20),
            flush=True)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    ap.add_argument("-c", "--cards", default=",".join(network.CARDS))
    ap.add_argument("-s", "--size", type=int, default=200)
    ap.add_argument("-t", "--seconds", type=int, default=60)
    args = ap.parse_args()
    failed = 0
    for card in args.cards.split(","):
        try:
            check(card, args.size, args.seconds)
        except Failed as e:
            print("FAILED %s: %s" % (card, e), flush=True)
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main())
