# SPDX-License-Identifier: MIT
"""Devices for guests that know they are guests: balloon, entropy."""

import re
import time

import material
from vm import VM, Failed, PATIENCE

RAM = 256 << 20


def memory_total(vm):
    return int(re.search(r"MemTotal: *(\d+)", vm.shell("grep MemTotal /proc/meminfo")).group(1)) << 10


def resident(vm):
    with open("/proc/%d/statm" % vm.proc.pid) as f:
        return int(f.read().split()[1]) * 4096


def wait_balloon(vm, size):
    end = time.monotonic() + 120 * PATIENCE
    while vm.cmd("query-balloon")["actual"] != size:
        if time.monotonic() > end:
            raise Failed("balloon at %d, wanted %d" % (vm.cmd("query-balloon")["actual"], size))
        time.sleep(0.1)


def test_balloon_and_rng():
    """Linux takes random bytes from the host, gives memory back through the balloon, tells
    statistics, and gets its memory again."""
    with VM(["-kernel", material.kernel(), "-initrd", material.virtio_initramfs(), "-append",
             "console=ttyS0 mitigations=off quiet", "-no-reboot", "-object", "rng-random,id=r",
             "-device", "virtio-rng-pci,rng=r", "-device", "virtio-balloon-pci,id=b"],
            mem=str(RAM >> 20)) as vm:
        vm.wait_serial("BusyBox shell", 300)
        if "virtio" not in vm.shell("cat /sys/class/misc/hw_random/rng_current"):
            raise Failed("no virtio-rng in the guest")
        first, second = (vm.shell("head -c 32 /dev/hwrng | md5sum") for _ in range(2))
        if first == second:
            raise Failed("the same random bytes twice")

        # touch most of memory, so that there is something to give back
        vm.shell("mount -t tmpfs -o size=150m none /mnt; dd if=/dev/urandom of=/mnt/x bs=1M count=120; "
                 "rm /mnt/x")
        total, before = memory_total(vm), resident(vm)
        vm.cmd("balloon", value=RAM - (128 << 20))
        wait_balloon(vm, RAM - (128 << 20))
        if memory_total(vm) > total - (120 << 20):
            raise Failed("the guest still has %d of %d bytes" % (memory_total(vm), total))
        if resident(vm) > before - (64 << 20):
            raise Failed("%d bytes resident, %d before" % (resident(vm), before))

        vm.cmd("qom-set", path="/machine/peripheral/b", property="guest-stats-polling-interval", value=1)
        end = time.monotonic() + 60 * PATIENCE
        while not vm.cmd("qom-get", path="/machine/peripheral/b", property="guest-stats")["last-update"]:
            if time.monotonic() > end:
                raise Failed("no statistics")
            time.sleep(0.1)
        stats = vm.cmd("qom-get", path="/machine/peripheral/b", property="guest-stats")["stats"]
        if not 0 < stats["stat-free-memory"] <= stats["stat-total-memory"] < RAM:
            raise Failed("statistics: %r" % stats)

        vm.cmd("balloon", value=RAM)
        wait_balloon(vm, RAM)
        if memory_total(vm) != total:
            raise Failed("the guest has %d bytes, %d before" % (memory_total(vm), total))
        vm.shell("dd if=/dev/zero of=/mnt/x bs=1M count=100 && rm /mnt/x")


test_balloon_and_rng.weight = 3
