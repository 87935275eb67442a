# SPDX-License-Identifier: MIT
"""Debian systems on disks of their own: made once by mmdebstrap, booted by GRUB from the MBR.

    python3 tests/guest/debian.py           make the image and say where it is
    python3 tests/guest/debian.py desktop   the same, of the one with X
    python3 tests/guest/debian.py net       ... with drivers of network cards, ssh server, iperf3

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


# ---- what the disk with X has beside that ------------------------------------------------------

DESKTOP_PACKAGES = PACKAGES + [
    "xserver-xorg-core", "xserver-xorg-input-libinput", "xinit", "x11-xserver-utils", "xauth", "openbox",
    "xterm", "xfonts-base", "xclip", "spice-vdagent", "alsa-utils"]
DESKTOP_UNWANTED = [d for d in UNWANTED if d not in ("drivers/gpu", "drivers/usb", "sound")] + [
    "drivers/gpu/drm/" + d for d in ("amd", "i915", "nouveau", "radeon", "vmwgfx", "gma500")]
# A menu to be seen and operated on the screen; the serial port says how far the boot is.
DESKTOP_GRUB_CFG = """set timeout=60
menuentry "Debian with X" {
  linux /vmlinuz root=LABEL=debian ro console=ttyS0 console=tty0 mitigations=off quiet
  initrd /initrd.img
}
menuentry "Switch off" {
  halt
}
"""
DESKTOP_GRUB_MODULES = ["halt", "minicmd", "sleep", "keystatus"]
# X and a session of root's, without a login; the pieces report on the serial port.
DESKTOP_CUSTOMIZE = """
ln -sf /lib/systemd/system/multi-user.target "$r/etc/systemd/system/default.target"
cat >"$r/etc/systemd/system/desktop.service" <<'END'
[Unit]
After=systemd-udev-settle.service dbus.service
Wants=systemd-udev-settle.service
[Service]
ExecStart=/usr/bin/xinit /etc/X11/desktop -- /usr/bin/Xorg :0 vt7 -nolisten tcp
Environment=HOME=/root
StandardOutput=journal+console
StandardError=journal+console
WorkingDirectory=/root
END
ln -sf ../desktop.service "$r/etc/systemd/system/multi-user.target.wants/desktop.service"
cat >"$r/etc/X11/desktop" <<'END'
#!/bin/sh
xsetroot -solid '#204060'
xset s off -dpms
if [ -e /dev/virtio-ports/com.redhat.spice.0 ]; then
    mkdir -p /run/spice-vdagentd
    spice-vdagentd -X -f -x &
    (sleep 2; exec spice-vdagent -x) &
fi
# not before the manager has taken over: a window that is mapped meanwhile is never shown
exec openbox --startup /usr/local/bin/terminal
END
cat >"$r/usr/local/bin/terminal" <<'END'
#!/bin/sh
(sleep 1; echo 'the desktop is there' >/dev/ttyS0) &
exec xterm -geometry 80x24+40+40 -fn 10x20 -bg white -fg black
END
cat >"$r/usr/local/bin/click" <<'END'
#!/bin/sh
# where xterm sees the next click, on the serial port: ESC [ M button column row
printf '\\033[?1000h'
stty raw -echo
echo ready >/dev/ttyS0
dd bs=1 count=6 2>/dev/null | od -An -tu1 >/dev/ttyS0
dd bs=1 count=6 >/dev/null 2>&1
stty sane
printf '\\033[?1000l'
echo over >/dev/ttyS0
END
chmod 755 "$r/etc/X11/desktop" "$r/usr/local/bin/click" "$r/usr/local/bin/terminal"
ln -sf /dev/null "$r/etc/systemd/system/spice-vdagentd.service"
ln -sf /dev/null "$r/etc/systemd/system/spice-vdagentd.socket"
ln -sf /lib/systemd/system/serial-getty@.service \\
    "$r/etc/systemd/system/getty.target.wants/serial-getty@ttyS0.service"
"""


# ---- what the disk for the network has beside that, and can do without instead -----------------

NET_PACKAGES = PACKAGES + ["iperf3", "openssh-server", "wget", "iproute2", "iputils-ping", "ifupdown",
                           "isc-dhcp-client", "ethtool"]
NET_UNWANTED = [d for d in UNWANTED if d not in ("drivers/net", "net")] + [
    "drivers/net/wireless", "drivers/net/ethernet/mellanox", "drivers/net/ethernet/broadcom",
    "drivers/net/ethernet/chelsio", "drivers/net/ethernet/qlogic", "drivers/net/ethernet/cavium",
    "drivers/net/ethernet/intel/ice", "drivers/net/ethernet/intel/i40e", "net/mac80211", "net/bluetooth"]
# A busy host may be late with everything.
NET_CUSTOMIZE = """mkdir -p "$r/etc/systemd/system.conf.d"
printf '[Manager]\\nDefaultDeviceTimeoutSec=1800\\nDefaultTimeoutStartSec=1800\\n' \\
    >"$r/etc/systemd/system.conf.d/patience.conf"
"""


class Flavour:
    """What tells one disk from another."""

    def __init__(self, name, mib, packages, unwanted, grub_cfg, grub_modules, customize=""):
        self.name, self.mib, self.packages, self.unwanted = name, mib, packages, unwanted
        self.grub_cfg, self.grub_modules, self.customize = grub_cfg, grub_modules, customize

    def recipe(self):
        """Changes when the disk has to be made again."""
        more = (self.customize,) if self.customize else ()
        return repr((SUITE, FIRST, self.mib, self.packages, DRIVERS, self.unwanted, self.grub_cfg,
                     SETUP, CUSTOMIZE, self.grub_modules) + more)


SERVER = Flavour("debian-disk.raw", MIB, PACKAGES, UNWANTED, GRUB_CFG, GRUB_MODULES)
DESKTOP = Flavour("debian-desktop.raw", 1536, DESKTOP_PACKAGES, DESKTOP_UNWANTED, DESKTOP_GRUB_CFG,
                  GRUB_MODULES + DESKTOP_GRUB_MODULES, DESKTOP_CUSTOMIZE)
NET = Flavour("debian-net-disk.raw", MIB, NET_PACKAGES, NET_UNWANTED, GRUB_CFG, GRUB_MODULES,
              NET_CUSTOMIZE)


# ---- making them ------------------------------------------------------------------------------

def make_tree(tar, f):
    words = {"drivers": " ".join(DRIVERS), "unwanted": " ".join(f.unwanted), "grub": f.grub_cfg}
    folder = os.path.dirname(tar)
    args = ["mmdebstrap", "--variant=minbase", "--include=" + ",".join(f.packages + ["lz4"]),
            "--aptopt=APT::Sandbox::User \"root\"",
            "--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*",
            "--dpkgopt=path-exclude=/usr/share/locale/*"]
    for option, text in (("setup", SETUP), ("customize", CUSTOMIZE + f.customize)):
        script = os.path.join(folder, option)
        with open(script, "w") as out:
            out.write("#!/bin/sh\n" + text % words)
        os.chmod(script, 0o755)
        args += ["--%s-hook=%s" % (option, script)]
    material.run(args + [SUITE, tar])


def make_file_system(tar, out, mib):
    """An ext4 image with what the archive holds."""
    tree = out + ".tree"
    os.mkdir(tree)
    material.run(["tar", "-x", "-p", "-f", tar, "-C", tree, "--exclude=./dev/*"])
    size = mib * 1024 - FIRST // 2
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


def grub(modules):
    """(boot sector, core image) of a GRUB that looks for its menu on the first partition."""
    core = os.path.join(material.package("grub-pc-bin"), "usr/lib/grub/i386-pc")
    tool = os.path.join(material.package("grub-common"), "usr/bin/grub-mkimage")

    def make(out):
        material.run([tool, "-O", "i386-pc", "-d", core, "-p", "(hd0,msdos1)/boot/grub", "-o", out]
                     + modules)
    path = material.cached("debian-grub-core%s.img" % ("" if modules == GRUB_MODULES else "-more"), make,
                           " ".join(modules))
    with open(core + "/boot.img", "rb") as f, open(path, "rb") as g:
        return f.read(), g.read()


def make_disk(out, f):
    material.say("making a Debian disk (mmdebstrap; this takes minutes, once)")
    tar = out + ".tar"
    make_tree(tar, f)
    make_file_system(tar, out + ".ext4", f.mib)
    os.unlink(tar)
    boot, core = grub(f.grub_modules)
    if len(core) > (FIRST - 1) * 512:
        raise material.Missing("GRUB's core of %d bytes does not fit before the partition" % len(core))
    with open(out + ".raw", "wb") as image:
        image.truncate(f.mib << 20)
        mbr = bytearray(boot[:446].ljust(512, b"\0"))          # the rest is for floppy disks
        struct.pack_into("<B3sB3sII", mbr, 446, 0x80, b"\x20\x21\0", 0x83, b"\xfe\xff\xff", FIRST,
                         (f.mib << 11) - FIRST)
        mbr[510:512] = b"\x55\xaa"
        image.write(mbr)
        image.write(core)                   # its blocklist, as made, begins at sector 2
    material.run(["dd", "if=" + out + ".ext4", "of=" + out + ".raw", "bs=1M", "seek=%d" % (FIRST >> 11),
                  "conv=notrunc,sparse"])
    material.run(["cp", "--sparse=always", out + ".raw", out])


def disk(flavour=SERVER):
    """The raw image; tests use copies or overlays of it."""
    return material.cached(flavour.name, lambda out: make_disk(out, flavour), flavour.recipe())


def copy(path):
    """A copy with the holes kept."""
    material.run(["cp", "--sparse=always", disk(), path])


if __name__ == "__main__":
    flavours = {"desktop": DESKTOP, "net": NET}
    print(disk(flavours.get("".join(sys.argv[1:2]), SERVER)))
