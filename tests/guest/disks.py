#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Debian on a disk of its own behind each host adapter, raw and as a qcow2 with a backing file:
SeaBIOS and GRUB load it from the disk, it comes to its login, files are written, a package is
installed, it goes down; the host then finds file system and image without a fault.

    tests/guest/disks.py [BUS[-FORMAT] ...]     all of them: make check-disks

Two of them, and a test of hot plugging, are part of make check (run.py).
"""

import argparse
import base64
import os
import re
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True

import debian           # noqa: E402
import material         # noqa: E402
import vm as machine    # noqa: E402
from vm import VM, Failed   # noqa: E402

# The disk's device, and what Linux calls it.
BUSES = {
    "ide": (["-device", "ide-hd,drive=d,bus=ide.0"], "sda"),
    "ahci": (["-device", "ahci,id=sata", "-device", "ide-hd,drive=d,bus=sata.0"], "sda"),
    "virtio-blk": (["-device", "virtio-blk-pci,drive=d"], "vda"),
    "virtio-scsi": (["-device", "virtio-scsi-pci", "-device", "scsi-hd,drive=d"], "sda"),
    "nvme": (["-device", "nvme,serial=orrery,drive=d"], "nvme0n1"),
}
FORMATS = ["raw", "qcow2"]
# A backing file elsewhere must be allowed.
os.environ["ORRERY_IMAGE_PATH"] = material.CACHE

# File work: a package built and installed, an archive packed and unpacked, files made and removed.
WORK = r"""set -e
cd /root; mkdir -p p/DEBIAN p/opt/hello
cp /usr/bin/dpkg p/opt/hello/data
printf 'Package: hello-orrery\nVersion: 1.0\nArchitecture: all\nMaintainer: nobody <n@invalid>\nDescription: test\n' >p/DEBIAN/control
dpkg-deb -b p hello.deb >/dev/null
dpkg -i hello.deb >/dev/null 2>&1
cmp /opt/hello/data /usr/bin/dpkg
tar -cf all.tar /etc /usr/lib/systemd 2>/dev/null
mkdir x; tar -xf all.tar -C x
diff -r --no-dereference /usr/lib/systemd x/usr/lib/systemd
rm -rf x/etc p
sync
md5sum all.tar >sum; cut -c1-32 sum
"""


def log_in(vm):
    vm.wait_serial("login: ", 400)
    vm.send("root\n")
    vm.wait_serial(r"~# ", 60)
    vm.send("exec sh\n")                        # no line editor in between
    vm.wait_serial(r"sh.*\n.*# ", 30, vm.log.rindex(b"~# "))


def make_image(kind, folder):
    """(image, options of its -drive)"""
    if kind == "raw":
        debian.copy(folder + "/disk.raw")
        return folder + "/disk.raw", "format=raw"
    image = folder + "/disk.qcow2"
    material.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", debian.disk(), image])
    return image, "format=qcow2"


def check_image(kind, image, folder, digest):
    raw, part = image, folder + "/part.img"
    if kind != "raw":
        material.run(["qemu-img", "check", "-q", image])
        raw = folder + "/flat.raw"
        material.run(["qemu-img", "convert", "-O", "raw", image, raw])
    material.partition(raw, part)
    material.run(["e2fsck", "-fn", part])
    material.run(["debugfs", "-R", "dump /root/all.tar %s/all.tar" % folder, part])
    got = material.run(["md5sum", folder + "/all.tar"]).stdout.decode().split()[0]
    if got != digest:
        raise Failed("the archive the guest wrote has the sum %s, should have %s" % (got, digest))


def work(vm):
    script = base64.b64encode(WORK.encode()).decode()
    out = vm.shell("echo %s | base64 -d >/tmp/work.sh; sh /tmp/work.sh" % script, 300)
    m = re.search(r"(?m)^([0-9a-f]{32})\r?$", out)
    if not m:
        raise Failed("the work ended early:\n" + out)
    return m.group(1)


def boot(bus, kind, extra=()):
    device, name = BUSES[bus]
    with tempfile.TemporaryDirectory(prefix="orrery-debian-") as d:
        image, options = make_image(kind, d)
        with VM(["-drive", "file=%s,%s,if=none,id=d" % (image, options), *device, "-no-reboot",
                 *extra], mem="384") as vm:
            vm.wait_serial("GRUB from the disk", 90)
            log_in(vm)
            if name not in vm.shell("ls /sys/block"):
                raise Failed("no %s in the guest" % name)
            digest = work(vm)
            vm.send("systemctl poweroff\n")
            if vm.wait_exit(200) != 0:
                raise Failed("exit status %d" % vm.proc.returncode)
        check_image(kind, image, d, digest)


def test_debian_ahci():
    """Debian, booted by SeaBIOS and GRUB from a SATA disk (qcow2 with a backing file), works and
    goes down; the host finds file system and image without a fault."""
    boot("ahci", "qcow2")


def test_debian_nvme():
    """The same from an NVMe disk."""
    boot("nvme", "qcow2")


def test_hotplug():
    """Disks are plugged in while Linux runs, used, and taken out again."""
    with tempfile.TemporaryDirectory() as d, VM(
            ["-kernel", material.kernel(), "-initrd", material.virtio_initramfs(), "-append",
             "console=ttyS0 mitigations=off quiet", "-no-reboot", "-device", "virtio-scsi-pci,id=s0"],
            mem="256") as vm:
        vm.wait_serial("BusyBox shell", 300)
        for n, (driver, dev, extra) in enumerate((("virtio-blk-pci", "vda", {}),
                                                  ("scsi-hd", "sda", {"bus": "s0.0"}))):
            image, node = "%s/%d.raw" % (d, n), "n%d" % n
            with open(image, "wb") as f:
                f.truncate(8 << 20)
            vm.cmd("blockdev-add", driver="raw", **{"node-name": node},
                   file={"driver": "file", "filename": image})
            vm.cmd("device_add", driver=driver, id="x", drive=node, **extra)
            vm.shell("n=0; until [ -b /dev/%s ] || [ $n = 100 ]; do sleep 0.2; n=$((n+1)); done; "
                     "[ -b /dev/%s ]" % (dev, dev), 60)
            vm.shell("echo plugged %d | dd of=/dev/%s bs=512 conv=sync; sync" % (n, dev))
            vm.cmd("device_del", id="x")
            if vm.wait_event("DEVICE_DELETED", 60)["data"]["device"] != "x":
                raise Failed("another device went")
            vm.shell("n=0; while [ -b /dev/%s ] && [ $n != 100 ]; do sleep 0.2; n=$((n+1)); done; "
                     "[ ! -b /dev/%s ]" % (dev, dev), 60)
            with open(image, "rb") as f:
                if not f.read(64).startswith(b"plugged %d\n" % n):
                    raise Failed("the disk does not hold what the guest wrote")


test_debian_ahci.weight = test_debian_nvme.weight = 6
test_hotplug.weight = 3


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("names", nargs="*")
    a = p.parse_args()
    known = ["%s-%s" % (b, f) for b in BUSES for f in FORMATS]
    chosen = [n for n in known if not a.names or n in a.names or n.rpartition("-")[0] in a.names]
    if not chosen:
        sys.exit("disks.py: there are: " + " ".join(known))
    failed = 0
    for name in chosen:
        start = time.monotonic()
        try:
            boot(*name.rsplit("-", 1))
            result = "ok"
        except (Failed, material.Missing) as e:
            result, failed = "FAILED", failed + 1
            print(e)
        print("%-8s %s (%.0f s)" % (result, name, time.monotonic() - start), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
