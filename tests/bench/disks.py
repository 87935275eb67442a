#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Requests a guest gets through a virtio disk, beside QEMU: sequential (64 KiB) and random (4 KiB),
reading and writing, raw and qcow2, 8 requests under way, the image in the host's page cache.

    tests/bench/disks.py [-n ROUNDS] [--ms N] [--device nvme,serial=x] [--accel kvm]
    tests/bench/disks.py --bare             under KVM, a guest that is a virtio driver and nothing else

The emulators take turns; each row tells the medians and their ratio, then the same of the host's
CPU time for each request (which a busy host changes less).  Each load runs for a moment before it
is measured: translating the guest's code is no work of the disk.  The bare guest polls for what is
done: its vCPU has one of the host's processors to itself, so the CPU time tells little there.
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading

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


def bare_program(out, ms):
    """guest-blk.c as a disk that boots; each load takes ms."""
    cc = material.tool("X86_CC", "cc") + [
        "-m16", "-O2", "-ffreestanding", "-fno-pic", "-fno-pie", "-fno-stack-protector", "-mno-sse",
        "-fno-asynchronous-unwind-tables"]
    material.run(cc + ["-c", "-o", out + ".o", HERE + "/guest-blk.c"])
    material.run(material.tool("X86_LD", "ld") + [
        "-m", "elf_i386", "-n", "-z", "noexecstack", "--no-warn-rwx-segments", "-Ttext", "0x7e00",
        "--section-start=.start=0x7c00", "-e", "_start", "--build-id=none", "--oformat", "binary",
        "-o", out, out + ".o"])
    with open(out, "r+b") as f:
        f.seek(508)
        f.write(ms.to_bytes(2, "little"))
        f.truncate(1 << 20)
    return out


def measure_bare(emulator, a, boot, images):
    """The same as measure()."""
    args = [emulator, "-accel", a.accel, "-m", "64", "-nodefaults",
            "-display", "none", "-debugcon", "stdio", "-drive", "id=b,if=none,format=raw,file=" + boot,
            "-device", "ide-hd,drive=b,bootindex=0"]
    for n, (kind, image) in enumerate(images.items()):
        args += ["-drive", "file=%s,format=%s,if=none,id=d%d" % (image, kind, n),
                 "-device", "%s,drive=d%d,disable-modern=on,addr=%d" % (a.device, n, 8 + n)]
    rates = {}
    with subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as p:
        row, before, line = None, 0, ""
        late = threading.Timer(120 + 12e-3 * len(images) * a.ms, p.kill)
        late.start()
        for line in p.stdout:
            word, *rest = line.split()
            if word == "start":
                row, before = (list(images)[int(rest[0])], rest[1]), cpu_seconds(p.pid)
            elif word == "done":
                n, ticks = map(int, rest)
                rates[row] = n * 3579545 / ticks, (cpu_seconds(p.pid) - before) * 1e6 / n
            elif word != "end":
                p.terminate()
                late.cancel()
                sys.exit("%s, %s: the guest says %s" % (emulator, row, line))
        late.cancel()
    if not line.startswith("end"):
        sys.exit("%s: the guest stopped after %s" % (emulator, row))
    return rates


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("-n", type=int, default=3)
    p.add_argument("--ms", type=int, default=1500)
    p.add_argument("--device", default="virtio-blk-pci")
    p.add_argument("--accel", help="tcg, or kvm with --bare")
    p.add_argument("--cpu", default="")
    p.add_argument("--bare", action="store_true")
    a = p.parse_args()
    a.accel = a.accel or ("kvm" if a.bare else "tcg")
    if a.bare and a.accel == "kvm" and not os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("disks.py --bare: skipped, /dev/kvm cannot be opened")
        return
    engines = {"orrery": machine.EMULATOR, "qemu": shutil.which("qemu-system-x86_64")}
    run, found = measure_bare if a.bare else measure, {}
    with tempfile.TemporaryDirectory() as d:
        boot = bare_program(d + "/boot", a.ms) if a.bare else cd(d)
        images = {kind: make_image(d, kind) for kind in FORMATS}
        for _ in range(a.n):
            for name, path in engines.items():
                for row, rate in (run(path, a, boot, images) if path else {}).items():
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
