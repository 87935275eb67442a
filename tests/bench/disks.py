#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Requests a guest gets through a virtio disk, beside QEMU: sequential (64 KiB) and random (4 KiB),
reading and writing, raw and qcow2, 8 requests under way, the image in the host's page cache.

    tests/bench/disks.py [-n ROUNDS] [--ms N] [--device nvme,serial=x] [--accel kvm]

The emulators take turns; each row tells the medians and their ratio, then the same of the host's
CPU time for each request (which a busy host changes less).  Each load runs for a moment before it
is measured: translating the guest's code is no work of the disk.
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(TOP, "tests", "guest"))
import material         # noqa: E402
import vm as machine    # noqa: E402

KINDS = ["seq-read", "rand-read", "seq-write", "rand-write"]
FORMATS = ["raw", "qcow2"]
SIZE = 256 << 20


def program():
    def make(out):
        material.run([os.environ.get("CC", "cc"), "-O2", "-static", "-o", out, HERE + "/guest-disk.c"])
    return material.cached("guest-disk", make, material.read_text(HERE + "/guest-disk.c"))


def cd(folder):
    """The program on a CD."""
    os.mkdir(folder + "/tree")
    shutil.copy(program(), folder + "/tree/guest-disk")
    material.run(["xorriso", "-as", "mkisofs", "-o", folder + "/cd.iso", "-R", folder + "/tree"])
    return folder + "/cd.iso"


def make_image(folder, kind):
    """Allocated all over, so that formats differ by their mapping only."""
    raw = folder + "/disk.raw"
    with open(raw, "wb") as f:
        block = os.urandom(1 << 20)
        for _ in range(SIZE >> 20):
            f.write(block)
    if kind != "raw":
        material.run(["qemu-img", "convert", "-O", kind, raw, folder + "/disk." + kind])
    return folder + "/disk." + kind


def cpu_seconds(pid):
    """What all threads of a process used up."""
    with open("/proc/%d/stat" % pid) as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def load_once(vm, disk, load, ms):
    """Requests a second; microseconds of CPU time for each."""
    vm.shell("/mnt/guest-disk /dev/%s %s %d >/dev/null" % (disk, load, ms // 3), 120)
    before = cpu_seconds(vm.proc.pid)
    out = vm.shell("/mnt/guest-disk /dev/%s %s %d" % (disk, load, ms), 120)
    n, ns = map(int, re.search(r"requests (\d+) ns (\d+)", out).groups())
    return n * 1e9 / ns, (cpu_seconds(vm.proc.pid) - before) * 1e6 / n


def measure(emulator, a, iso, images):
    """{(format, kind of load): what load_once tells}"""
    machine.EMULATOR = emulator
    rates = {}
    modules = material.initramfs("bench-initramfs.cpio.gz", modules=material.MODULES + material.VIRTIO_MODULES
                                 + ["nvme-core", "nvme", "libahci", "ahci"])
    args = ["-kernel", material.kernel(), "-initrd", modules, "-append",
            "console=ttyS0 mitigations=off no_timer_check quiet", "-cdrom", iso, "-accel", a.accel]
    for n, (kind, image) in enumerate(images.items()):
        args += ["-drive", "file=%s,format=%s,if=none,id=d%d" % (image, kind, n),
                 "-device", "%s,drive=d%d" % (a.device, n)]
    with machine.VM(args + (["-cpu", a.cpu] if a.cpu else []), mem="256", accel=False) as vm:
        vm.wait_serial("BusyBox shell", 300)
        vm.shell("n=0; until mount -r /dev/sr0 /mnt 2>/dev/null || [ $n = 50 ]; do sleep 0.2; n=$((n+1)); done")
        disks = sorted(set(re.findall(r"vd\w|nvme\dn\d|sd\w", vm.shell("ls /sys/block"))))
        for kind, disk in zip(images, disks):
            for load in KINDS:
                try:
                    rates[kind, load] = load_once(vm, disk, load, a.ms)
                except machine.Failed as e:
                    sys.exit("%s, %s %s: the guest does not answer: %s" % (emulator, kind, load, e))
    return rates


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("-n", type=int, default=3)
    p.add_argument("--ms", type=int, default=1500)
    p.add_argument("--device", default="virtio-blk-pci")
    p.add_argument("--accel", default="tcg")
    p.add_argument("--cpu", default="")
    a = p.parse_args()
    engines = {"orrery": machine.EMULATOR, "qemu": shutil.which("qemu-system-x86_64")}
    found = {}
    with tempfile.TemporaryDirectory() as d:
        iso = cd(d)
        images = {kind: make_image(d, kind) for kind in FORMATS}
        for _ in range(a.n):
            for name, path in engines.items():
                for row, rate in (measure(path, a, iso, images) if path else {}).items():
                    found.setdefault(row, {}).setdefault(name, []).append(rate)
    print("%s, -accel %s, requests a second (median of %d)" % (a.device, a.accel, a.n))
    for (kind, load), rates in found.items():
        mine, cpu = map(statistics.median, zip(*rates["orrery"]))
        line = "  %-6s %-11s orrery %8.0f %6.1f us" % (kind, load, mine, cpu)
        if "qemu" in rates:
            other, other_cpu = map(statistics.median, zip(*rates["qemu"]))
            line += "   qemu %8.0f %6.1f us   x%.2f   CPU x%.2f" % (other, other_cpu, mine / other,
                                                                   other_cpu / cpu)
        print(line)


if __name__ == "__main__":
    main()
