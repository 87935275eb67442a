# SPDX-License-Identifier: MIT
"""A Debian system on a disk of its own: made once by mmdebstrap, booted by GRUB from its MBR.

    python3 tests/guest/debian.py           make the image and say where it is

Without loop devices: mke2fs fills the file system from a folder, and GRUB's boot sector and core
are put in front of the partition by hand.  Only for another user than root the owners of files
have to be set afterwards (debugfs).
"""

import os
import struct
import subprocess
import sys
import tarfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import material         # noqa: E402

SUITE = "bookworm"
FIRST = 2048                            # sector the partition begins at
MIB = 768
PACKAGES = ["linux-image-amd64", "systemd-sysv", "udev", "e2fsprogs", "initramfs-tools", "zstd",
            "kmod", "login", "gdisk", "nvme-cli"]
# What the initramfs holds: the host adapters a "pc" can have, disks, ext4.
DRIVERS = ["ata_piix", "ahci", "nvme", "virtio_pci", "virtio_blk", "virtio_scsi", "sd_mod", "ext4"]
# Parts of the kernel package no test wants: two thirds of it.
UNWANTED = ["drivers/gpu", "drivers/media", "drivers/net", "drivers/usb", "drivers/staging",
            "drivers/infiniband", "drivers/iio", "drivers/bluetooth", "drivers/hwmon", "drivers/mtd",
            "drivers/isdn", "sound", "net", "fs/xfs", "fs/btrfs", "fs/ocfs2", "fs/nfs", "fs/gfs2"]
GRUB_CFG = """serial --unit=0 --speed=115200
terminal_input serial
terminal_output serial
echo "GRUB from the disk"
linux /vmlinuz root=LABEL=debian ro console=ttyS0 mitigations=off quiet
initrd /initrd.img
boot
"""
SETUP = """set -e
r="$1"
mkdir -p "$r/etc/initramfs-tools/conf.d"
echo 'MODULES=list' >"$r/etc/initramfs-tools/conf.d/modules"
echo 'COMPRESS=lz4' >"$r/etc/initramfs-tools/conf.d/compress"
printf '%%s\\n' %(drivers)s >"$r/etc/initramfs-tools/modules"
"""
CUSTOMIZE = """set -e
r="$1"
for d in %(unwanted)s; do rm -rf "$r"/lib/modules/*/kernel/$d; done
chroot "$r" depmod -a "$(ls "$r/lib/modules")"
echo debian >"$r/etc/hostname"
echo 'LABEL=debian / ext4 defaults 0 1' >"$r/etc/fstab"
chroot "$r" passwd -q -d root
rm -f "$r/var/cache/ldconfig/aux-cache" "$r/etc/machine-id"
echo uninitialized >"$r/etc/machine-id"
for u in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \\
         e2scrub_reap.service fstrim.timer systemd-timesyncd.service getty@tty1.service \\
         nvmf-autoconnect.service; do
    ln -sf /dev/null "$r/etc/systemd/system/$u"
done
mkdir -p "$r/boot/grub"
cat >"$r/boot/grub/grub.cfg" <<'END'
%(grub)sEND
"""
GRUB_MODULES = ["biosdisk", "part_msdos", "ext2", "linux", "normal", "echo", "serial", "terminal",
                "configfile", "minicmd"]


def make_tree(tar):
    words = {"drivers": " ".join(DRIVERS), "unwanted": " ".join(UNWANTED), "grub": GRUB_CFG}
    folder = os.path.dirname(tar)
    args = ["mmdebstrap", "--variant=minbase", "--include=" + ",".join(PACKAGES + ["lz4"]),
            "--aptopt=APT::Sandbox::User \"root\"",
            "--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*",
            "--dpkgopt=path-exclude=/usr/share/locale/*"]
    for option, text in (("setup", SETUP), ("customize", CUSTOMIZE)):
        script = os.path.join(folder, option)
        with open(script, "w") as f:
            f.write("#!/bin/sh\n" + text % words)
        os.chmod(script, 0o755)
        args += ["--%s-hook=%s" % (option, script)]
    material.run(args + [SUITE, tar])


def make_file_system(tar, out):
    """An ext4 image with what the archive holds."""
    tree = out + ".tree"
    os.mkdir(tree)
    material.run(["tar", "-x", "-p", "-f", tar, "-C", tree, "--exclude=./dev/*"])
    size = MIB * 1024 - FIRST // 2
    material.run(["mke2fs", "-q", "-t", "ext4", "-L", "debian", "-d", tree, out, "%dk" % size])
    subprocess.run(["rm", "-rf", tree])
    repair(tar, out, owners=os.geteuid() != 0)


def repair(tar, image, owners):
    """What tar could not make here: device nodes (the initramfs wants a console), and for
    another user than root the owners."""
    with tarfile.open(tar) as t, open(image + ".cmd", "w") as f:
        f.write("cd /dev\nmknod console c 5 1\nmknod null c 1 3\ncd /\n")
        for m in t if owners else ():
            if not m.name.startswith("./dev/"):
                name = '"%s"' % m.name.lstrip(".") if m.name != "." else "/"
                f.write("sif %s uid %d\nsif %s gid %d\n" % (name, m.uid, name, m.gid))
    material.run(["debugfs", "-w", "-f", image + ".cmd", image])


def grub():
    """(boot sector, core image) of a GRUB that looks for its menu on the first partition."""
    core = os.path.join(material.package("grub-pc-bin"), "usr/lib/grub/i386-pc")
    tool = os.path.join(material.package("grub-common"), "usr/bin/grub-mkimage")

    def make(out):
        material.run([tool, "-O", "i386-pc", "-d", core, "-p", "(hd0,msdos1)/boot/grub", "-o", out]
                     + GRUB_MODULES)
    path = material.cached("debian-grub-core.img", make, " ".join(GRUB_MODULES))
    with open(core + "/boot.img", "rb") as f, open(path, "rb") as g:
        return f.read(), g.read()


def make_disk(out):
    material.say("making a Debian disk (mmdebstrap; this takes minutes, once)")
    tar = out + ".tar"
    make_tree(tar)
    make_file_system(tar, out + ".ext4")
    os.unlink(tar)
    boot, core = grub()
    if len(core) > (FIRST - 1) * 512:
        raise material.Missing("GRUB's core of %d bytes does not fit before the partition" % len(core))
    with open(out + ".raw", "wb") as f:
        f.truncate(MIB << 20)
        mbr = bytearray(boot[:446].ljust(512, b"\0"))          # the rest is for floppy disks
        struct.pack_into("<B3sB3sII", mbr, 446, 0x80, b"\x20\x21\0", 0x83, b"\xfe\xff\xff", FIRST,
                         (MIB << 11) - FIRST)
        mbr[510:512] = b"\x55\xaa"
        f.write(mbr)
        f.write(core)                   # its blocklist, as made, begins at sector 2
    material.run(["dd", "if=" + out + ".ext4", "of=" + out + ".raw", "bs=1M", "seek=%d" % (FIRST >> 11),
                  "conv=notrunc,sparse"])
    material.run(["cp", "--sparse=always", out + ".raw", out])


def disk():
    """The raw image; tests use copies or overlays of it."""
    recipe = repr((SUITE, FIRST, MIB, PACKAGES, DRIVERS, UNWANTED, GRUB_CFG, SETUP, CUSTOMIZE,
                   GRUB_MODULES))
    return material.cached("debian-disk.raw", make_disk, recipe)


def copy(path):
    """A copy with the holes kept."""
    material.run(["cp", "--sparse=always", disk(), path])


if __name__ == "__main__":
    print(disk())
