# SPDX-License-Identifier: MIT
"""Guest systems for tests, benchmarks and the demo, taken from Debian packages.

Packages are downloaded with apt-get (no root needed), unpacked below build/guests and never
installed.  Images are made from them without root and without loop devices.

    python3 tests/guest/material.py [kernel initramfs ...]     fetch or make some, or all
"""

import fcntl
import glob
import gzip
import hashlib
import os
import re
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CACHE = os.environ.get("ORRERY_GUESTS", os.path.join(TOP, "build", "guests"))


class Missing(Exception):
    """Something a guest is made of can't be had; the message says what and how to get it."""


def say(text):
    print(text, file=sys.stderr, flush=True)


def run(args, **kw):
    try:
        return subprocess.run(args, check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kw)
    except FileNotFoundError:
        raise Missing("'%s' is not installed" % args[0])
    except subprocess.CalledProcessError as e:
        raise Missing("%s: %s" % (" ".join(args), e.stderr.decode(errors="replace").strip()[-400:]))


def cached(name, make, key=""):
    """Path of build/guests/NAME; make(temporary path) creates it if it isn't there, or was
    made with another key (what it depends on, as text).  Of several tests that want it at the
    same time one makes it: an image that others use already is never replaced."""
    path = os.path.join(CACHE, name)
    stamp = path + ".key"
    digest = hashlib.sha256(key.encode()).hexdigest() if key else ""

    def there():
        return os.path.exists(path) and (not key or read_text(stamp) == digest)
    if there():
        return path
    os.makedirs(CACHE, exist_ok=True)
    with open(os.path.join(CACHE, ".lock-" + name.replace("/", "-")), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if there():
            return path
        tmp = tempfile.mkdtemp(dir=CACHE, prefix=".new-")
        try:
            out = os.path.join(tmp, os.path.basename(name))
            make(out)
            if os.path.isdir(path):     # made with another key
                shutil.rmtree(path)
            os.rename(out, path)
            if key:
                with open(out + ".key", "w") as f:
                    f.write(digest)
                os.rename(out + ".key", stamp)
        finally:
            shutil.rmtree(tmp, ignore_errors=True)
    return path


def read_text(path):
    try:
        with open(path) as f:
            return f.read()
    except FileNotFoundError:
        return None


def download(name, tmp):
    """Path of the package's file, in tmp."""
    say("fetching Debian package %s" % name)
    os.chmod(tmp, 0o755)
    try:
        run(["apt-get", "download", "-q", name], cwd=tmp)
    except Missing as e:
        raise Missing("can't download Debian package '%s' (is the network there? has "
                      "'apt-get update' been run?): %s" % (name, e))
    return glob.glob(os.path.join(tmp, "*.deb"))[0]


def package(name, keep=(), tag=""):
    """Folder with the unpacked files of a Debian package, or those that match keep; tag tells
    different selections of one package apart, which share a download."""
    def fetch(out):
        os.rename(download(name, os.path.dirname(out)), out)

    def make(out):
        deb = cached("deb-" + name, fetch) if keep else download(name, os.path.dirname(out))
        unpack(deb, out, keep)
    return cached("pkg-" + name + tag, make)


def unpack(deb, out, keep):
    if not keep:
        run(["dpkg-deb", "-x", deb, out])
        return
    os.mkdir(out)
    dpkg = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE)
    run(["tar", "-x", "-C", out, "--wildcards"] + list(keep), stdin=dpkg.stdout)
    dpkg.stdout.close()
    dpkg.wait()


def installed_or_package(path, name):
    return path if os.path.exists(path) else package(name) + path


def dependency(name):
    """The package that a kernel's metapackage stands for."""
    out = run(["apt-cache", "depends", name]).stdout.decode()
    m = re.search(r"Depends: (linux-image-\S+)", out)
    if not m:
        raise Missing("apt-cache knows no %s (run 'apt-get update')" % name)
    return m.group(1)


def kernel_package():
    return package(dependency("linux-image-cloud-amd64"))


def kernel():
    """Debian's 64-bit cloud kernel (bzImage)."""
    return glob.glob(kernel_package() + "/boot/vmlinuz-*")[0]


# What the cloud kernel has not got: drivers of a PC's older devices.
GENERIC_MODULES = ["floppy", "nls_cp437", "nls_ascii", "fat", "vfat", "parport", "parport_pc"]


def generic_kernel():
    """(kernel, initramfs) of Debian's kernel with all drivers; only some of its files are kept."""
    name = dependency("linux-image-amd64")
    keep = ["./boot/vmlinuz-*"] + ["./lib/modules/*/%s.ko" % m for m in GENERIC_MODULES]
    pkg = package(name, keep)
    return glob.glob(pkg + "/boot/vmlinuz-*")[0], initramfs("generic-initramfs.cpio.gz", pkg,
                                                            GENERIC_MODULES)


# USB host controller and HID devices, in loading order.
USB_MODULES = ["usb-common", "usbcore", "uhci-hcd", "hid", "hid-generic", "usbhid", "evdev"]


def usb_kernel():
    """(kernel, initramfs) of Debian's kernel with the drivers of UHCI and of USB input devices."""
    keep = ["./boot/vmlinuz-*"] + ["./lib/modules/*/%s.ko" % m for m in USB_MODULES]
    pkg = package(dependency("linux-image-amd64"), keep, "-usb")
    return glob.glob(pkg + "/boot/vmlinuz-*")[0], initramfs("usb-initramfs.cpio.gz", pkg,
                                                            USB_MODULES)


# Sound cards, and what they lean on, in loading order.
SOUND_MODULES = ["soundcore", "snd", "snd-timer", "snd-pcm", "ac97_bus", "snd-ac97-codec", "snd-intel8x0",
                 "snd-intel-sdw-acpi", "snd-intel-dspcfg", "snd-hda-core", "snd-hwdep", "snd-hda-codec",
                 "ledtrig-audio", "snd-hda-codec-generic", "snd-hda-intel"]


def sound_kernel():
    """(kernel, initramfs) of Debian's kernel with the drivers of PCI sound cards; the program
    /bin/tone plays."""
    keep = ["./boot/vmlinuz-*"] + ["./lib/modules/*/%s.ko" % m for m in SOUND_MODULES]
    pkg = package(dependency("linux-image-amd64"), keep, "-sound")
    src = os.path.join(TOP, "tests", "guest", "tone.c")

    def make(out):
        run(tool("X86_CC", "cc") + ["-O2", "-static", "-o", out, src])
    tone = cached("tone", make, read_text(src))
    return glob.glob(pkg + "/boot/vmlinuz-*")[0], initramfs("sound-initramfs.cpio.gz", pkg,
                                                            SOUND_MODULES, files={"bin/tone": tone})


# Sound Blaster: 64-bit kernels have no drivers of ISA cards.
SB16_MODULES = ["soundcore", "core/snd", "core/snd-timer", "core/snd-pcm", "core/snd-seq-device", "core/snd-rawmidi",
                "core/snd-hwdep", "drivers/mpu401/snd-mpu401-uart", "drivers/opl3/snd-opl3-lib", "isa/sb/snd-sb-common",
                "isa/sb/snd-sb16-csp", "isa/sb/snd-sb16-dsp"]
SB16_INIT = """#!/bin/sh
mount -t proc proc /proc
mount -t devtmpfs dev /dev
for m in %s; do
    insmod /lib/modules/*/kernel/sound/$m.ko
done
insmod /lib/modules/*/kernel/sound/isa/sb/snd-sb16.ko isapnp=0 port=0x220 irq=5 dma8=1 dma16=5
until [ -e /dev/snd/pcmC0D0p ]; do sleep 1; done
/tone
cat /proc/interrupts
echo over
while :; do sleep 1000; done
""" % " ".join(SB16_MODULES)


def sb16_kernel():
    """(kernel, initramfs) of the graphical Debian installer for i386; rdinit=/orrery-sb16 loads the driver
    and plays the tone."""
    folder = os.path.join(TOP, "tests", "guest")
    sources = read_text(folder + "/tone.c") + read_text(folder + "/small-libc.h")

    def compile(out):
        os.makedirs(out + ".d/gnu")
        open(out + ".d/gnu/stubs-32.h", "w").close()    # (of a package with the libraries for it)
        cc = tool("X86_CC", "cc")
        headers = "/usr/include/" + run(cc + ["-print-multiarch"]).stdout.decode().strip()
        run(cc + ["-m32", "-O2", "-ffreestanding", "-fno-pic", "-fno-pie", "-fno-stack-protector", "-mno-sse",
                  "-fno-asynchronous-unwind-tables", "-DSMALL_LIBC", "-DRATE=44100", "-I", out + ".d",
                  "-idirafter", headers, "-c", "-o", out + ".o", folder + "/tone.c"])
        run(tool("X86_LD", "ld") + ["-m", "elf_i386", "-z", "noexecstack", "-o", out, out + ".o"])

    def wanted(name):
        if name.startswith(("usr/", "var/", "lib/debian-installer", "lib/udev", "lib/firmware")):
            return False
        return not name.endswith(".ko") or any(name.endswith("/sound/%s.ko" % m)
                                                 for m in SB16_MODULES + ["isa/sb/snd-sb16"])

    def make(out):
        c = Cpio()
        with gzip.open(graphical_installer("initrd.gz")) as f:
            for name, *rest in cpio_entries(f.read()):
                if wanted(name):
                    c.add(name, *rest)
        with open(cached("tone-i386", compile, sources), "rb") as f:
            c.file("tone", f.read())
        c.file("orrery-sb16", SB16_INIT.encode())
        with open(out, "wb") as f:
            f.write(gzip.compress(c.finish(), 6, mtime=0))
    return graphical_installer("linux"), cached("sb16-initramfs.cpio.gz", make, sources + SB16_INIT + graphical_installer(""))


# Network cards, and what they lean on, in loading order.
NET_MODULES = ["crc32c_generic", "libcrc32c", "virtio_ring", "virtio", "virtio_pci_modern_dev",
               "virtio_pci_legacy_dev", "virtio_pci", "failover", "net_failover", "virtio_net",
               "mii", "e1000", "e1000e", "8390", "ne2k-pci", "pcnet32",
               "8139too", "8139cp", "button"]


def net_kernel():
    """(kernel, initramfs) of Debian's kernel with the drivers of all network cards."""
    name = dependency("linux-image-amd64")
    keep = ["./boot/vmlinuz-*"] + ["./lib/modules/*/%s.ko" % m for m in NET_MODULES]
    pkg = package(name, keep, "-net")
    return glob.glob(pkg + "/boot/vmlinuz-*")[0], initramfs("net-initramfs.cpio.gz", pkg,
                                                            NET_MODULES)


# Graphics cards and virtio's input devices, in loading order; the cards' own drivers are loaded
# by the tests.
GRAPHICS_MODULES = ["virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci_legacy_dev",
                    "virtio_pci", "virtio_input", "evdev", "virtio_dma_buf", "drm", "drm_kms_helper",
                    "drm_shmem_helper", "ttm", "drm_ttm_helper", "drm_vram_helper"]
GRAPHICS_DRIVERS = ["virtio-gpu", "bochs", "cirrus", "cirrusfb"]


def graphics_kernel():
    """(kernel, initramfs) of Debian's kernel with the drivers of all graphics cards."""
    names = GRAPHICS_MODULES + GRAPHICS_DRIVERS
    keep = ["./boot/vmlinuz-*"] + ["./lib/modules/*/%s.ko" % m for m in names]
    pkg = package(dependency("linux-image-amd64"), keep, "-graphics")
    return glob.glob(pkg + "/boot/vmlinuz-*")[0], initramfs("graphics-initramfs.cpio.gz", pkg,
                                                            GRAPHICS_MODULES, GRAPHICS_DRIVERS)


def mouse_kernel():
    """(kernel, initramfs) of Debian's kernel with the driver of PS/2 mice, which knows VMware's."""
    modules = ["psmouse", "evdev"]
    keep = ["./boot/vmlinuz-*"] + ["./lib/modules/*/%s.ko" % m for m in modules]
    pkg = package(dependency("linux-image-amd64"), keep, "-mouse")
    return glob.glob(pkg + "/boot/vmlinuz-*")[0], initramfs("mouse-initramfs.cpio.gz", pkg, modules)


# Programs for the initramfs: a package, and what of Debian it needs to run.
LIBC = ["libc6", "libcrypt1"]
IPERF3 = ["iperf3", "libiperf0", "libsctp1", "libssl3"] + LIBC
DROPBEAR = ["dropbear-bin", "libtomcrypt1", "libtommath1", "libgmp10", "zlib1g"] + LIBC
PROGRAM_FILES = re.compile(r"(s?bin/[^/]+|\.so[.\d]*)$")


def program_files(packages):
    """{path in the guest: path here} of the packages' programs and libraries; /lib, /bin and
    /sbin hold all."""
    found = {}
    for name in packages:
        top = package(name)
        for folder, _, files in os.walk(top):
            for f in files:
                path = os.path.join(folder, f)
                inside = os.path.relpath(path, top)
                if PROGRAM_FILES.search(path) and "gconv" not in path and "engines" not in path:
                    found[re.sub(r"^usr/(lib|s?bin)/", r"\1/", inside)] = path
    return found


def program_cpio(name, packages):
    """A compressed cpio archive, to go behind an initramfs, with the packages' programs."""
    def make(out):
        say("making %s" % name)
        c, folders = Cpio(), {"bin", "sbin", "lib"}
        for inside, path in sorted(program_files(packages).items()):
            parts = inside.split("/")[:-1]
            for n in range(1, len(parts) + 1):
                if "/".join(parts[:n]) not in folders:
                    folders.add("/".join(parts[:n]))
                    c.dir("/".join(parts[:n]))
            if os.path.islink(path):
                c.link(inside, os.readlink(path))
            else:
                with open(path, "rb") as f:
                    c.file(inside, f.read())
        with open(out, "wb") as f:
            f.write(gzip.compress(c.finish(), 6, mtime=0))
    return cached(name, make, " ".join(packages) + PROGRAM_FILES.pattern)


def joined(name, parts):
    """An initramfs made of several archives."""
    def make(out):
        with open(out, "wb") as f:
            for part in parts:
                with open(part, "rb") as g:
                    data = g.read()
                f.write(data + bytes(-len(data) % 4))
    return cached(name, make, " ".join("%s %d" % (p, os.stat(p).st_mtime_ns) for p in parts))


def iperf_kernel():
    """net_kernel with iperf3 in the initramfs."""
    kernel, initrd = net_kernel()
    return kernel, joined("net-iperf3-initramfs", [initrd, program_cpio("iperf3.cpio.gz", IPERF3)])


# Programs for the installer's kernel, and its modules that network cards need.
I386_PACKAGES = ["busybox-static", "iperf3", "dropbear-bin"]
I386_INIT = """#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for m in mii virtio_net 8139cp 8139too ne2k-pci pcnet32 e1000 e1000e; do modprobe $m; done
modprobe ne io=0x300 irq=5
for d in proc sys dev; do mount --move /$d /o/$d; done
mkdir -p /o/dev/pts; mount -t devpts pts /o/dev/pts
export PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/ TERM=linux PS1='\\w # '
exec chroot /o /bin/sh -c 'exec 0<>/dev/ttyS0 1>&0 2>&0; echo "BusyBox shell"
    while :; do setsid cttyhack sh -i; done'
"""


def archive():
    """Where this host's packages of Debian 12 come from."""
    fields = "$(REPO_URI) $(CODENAME) $(COMPONENT)"
    for line in run(["apt-get", "indextargets", "--format", fields]).stdout.decode().splitlines():
        if line.split()[1:] == ["bookworm", "main"]:
            return line.split()[0]
    raise Missing("apt has no sources of Debian 12 (bookworm)")


def i386_tree(out):
    """A tar archive of the packages with all they need, unpacked for i386."""
    run(["mmdebstrap", "--variant=extract", "--architectures=i386",
         "--include=" + ",".join(I386_PACKAGES), "--aptopt=APT::Sandbox::User \"root\"",
         "--dpkgopt=path-exclude=/usr/share/*", "bookworm", out, archive()])


def i386_archive(tar):
    """cpio archive with the tree below /o, an init, and busybox under all its names."""
    c = Cpio()
    c.dir("o")
    with tarfile.open(tar) as t:
        for m in t:
            name = os.path.normpath("o/" + m.name)
            if name == "o" or name.startswith(("o/dev/", "o/usr/share/", "o/var/")) \
                    or "gconv" in name or "perl" in name:
                continue
            if m.isdir():
                c.dir(name)
            elif m.issym():
                c.link(name, m.linkname)
            elif m.isfile() or m.islnk():
                c.file(name, t.extractfile(m).read())
    applets = run([busybox(), "--list-full"]).stdout.decode().split()
    for a in applets:
        if a != "bin/busybox":
            c.link("o/" + a, "/bin/busybox")
    for d in ("o/root", "o/proc", "o/sys", "o/dev", "o/tmp", "o/var", "o/var/run"):
        c.dir(d)
    c.file("o/etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n", 0o644)
    c.file("orrery-init", I386_INIT.encode())
    return c.finish()


def i386_kernel():
    """(kernel, initramfs) of the Debian installer for i386, with programs of ours behind its own;
    rdinit=/orrery-init starts them."""
    def make(out):
        say("making %s" % os.path.basename(out))
        i386_tree(out + ".tar")
        with open(out, "wb") as f:
            f.write(gzip.compress(i386_archive(out + ".tar"), 6, mtime=0))
    ours = cached("i386-programs.cpio.gz", make, " ".join(I386_PACKAGES) + I386_INIT)
    return installer("linux"), joined("i386-net-initramfs", [installer("initrd.gz"), ours])


def busybox():
    return package("busybox-static") + "/bin/busybox"


def installer(name):
    """'linux' or 'initrd.gz' of the Debian installer for i386."""
    return (package("debian-installer-12-netboot-i386") +
            "/usr/lib/debian-installer/images/12/i386/text/debian-installer/i386/" + name)


def graphical_installer(name):
    """The same of the one with windows."""
    return installer(name).replace("/text/", "/gtk/")


def memtest(arch):
    return package("memtest86+") + "/usr/lib/memtest86+/memtest86+%s.iso" % arch


def grub_cdrom():
    return package("grub-rescue-pc") + "/usr/lib/grub-rescue/grub-rescue-cdrom.iso"


def grub_floppy():
    return package("grub-rescue-pc") + "/usr/lib/grub-rescue/grub-rescue-floppy.img"


def firmware_dir():
    return installed_or_package("/usr/share/seabios", "seabios")


# ---- initramfs ------------------------------------------------------------------------------

def cpio_entries(data):
    """(name, mode, content, device) of what is in a cpio archive in "newc" format."""
    at = 0
    while data[at:at + 5] == b"07070":
        fields = [int(data[at + 6 + 8 * n:at + 14 + 8 * n], 16) for n in range(13)]
        mode, size, name_size = fields[1], fields[6], fields[11]
        name = data[at + 110:at + 110 + name_size - 1].decode()
        at = (at + 110 + name_size + 3) & ~3
        if name == "TRAILER!!!":
            return
        yield name, mode, data[at:at + size], tuple(fields[9:11])
        at = (at + size + 3) & ~3


class Cpio:
    """A cpio archive in "newc" format."""

    def __init__(self):
        self.data = bytearray()
        self.ino = 1

    def add(self, name, mode, content=b"", rdev=(0, 0)):
        name = name.encode()
        fields = [self.ino, mode, 0, 0, 1, 0, len(content), 0, 0, rdev[0], rdev[1], len(name) + 1, 0]
        self.ino += 1
        self.data += b"070701" + b"".join(b"%08X" % f for f in fields) + name + b"\0"
        self.pad()
        self.data += content
        self.pad()

    def pad(self):
        self.data += b"\0" * (-len(self.data) % 4)

    def dir(self, name):
        self.add(name, 0o040755)

    def file(self, name, content, mode=0o755):
        self.add(name, 0o100000 | mode, content)

    def link(self, name, target):
        self.add(name, 0o120777, target.encode())

    def node(self, name, kind, major, minor, mode=0o600):
        self.add(name, (0o020000 if kind == "c" else 0o060000) | mode, b"", (major, minor))

    def finish(self):
        self.add("TRAILER!!!", 0)
        return bytes(self.data)


# Modules the cloud kernel needs for the disks of a "pc", in loading order.
MODULES = ["scsi_common", "scsi_mod", "crct10dif_generic", "crc-t10dif", "crc64", "crc64-rocksoft",
           "t10-pi", "libata", "ata_piix", "sd_mod", "cdrom", "sr_mod", "isofs", "floppy",
           "fat", "vfat", "nls_cp437", "nls_ascii", "button", "evdev"]


# ... and for virtio and for what it finds
VIRTIO_MODULES = ["virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci_legacy_dev",
                  "virtio_pci", "virtio_blk", "virtio_scsi", "sg", "virtio_balloon", "virtio-rng"]


def module_files(names, pkg=None):
    """[(name, path)] of those of the modules that the kernel package has."""
    pkg = pkg or kernel_package()
    found = []
    for m in names:
        for path in glob.glob(pkg + "/lib/modules/*/kernel/**/%s.ko" % m, recursive=True):
            found.append((m, path))
    return found


INIT = """#!/bin/sh
export PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/ TERM=${TERM:-linux} PS1='\\w # '
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
mkdir -p /dev/pts; mount -t devpts pts /dev/pts
for m in $(cat /etc/modules); do insmod /lib/modules/$m 2>/dev/null; done
mkdir -p /mnt
console=/dev/$(sed 's/.* //' /sys/class/tty/console/active)
exec 0<$console 1>$console 2>$console
echo
echo "Orrery: $(uname -sr) on $(grep -m1 'model name' /proc/cpuinfo | sed 's/.*: //')"
echo "This is a BusyBox shell; 'poweroff -f' ends the machine."
while :; do setsid cttyhack /bin/sh -i; done
"""


def initramfs(name="initramfs.cpio.gz", pkg=None, modules=MODULES, more=(), files=()):
    """The busybox initramfs, with modules of a kernel package; more: not loaded at the start.  files:
    {name in it: host path}."""
    pkg = pkg or kernel_package()

    def make(out):
        say("making %s" % name)
        c = Cpio()
        for d in ("bin", "sbin", "etc", "proc", "sys", "dev", "lib", "lib/modules",
                  "tmp", "mnt", "root", "usr", "usr/bin", "usr/sbin"):
            c.dir(d)
        c.node("dev/console", "c", 5, 1)
        c.node("dev/null", "c", 1, 3, 0o666)
        with open(busybox(), "rb") as f:
            c.file("bin/busybox", f.read())
        applets = run([busybox(), "--list-full"]).stdout.decode().split()
        for a in applets:
            if a != "bin/busybox":
                c.link(a, "/bin/busybox")
        have = []
        for m, path in module_files(modules, pkg):
            with open(path, "rb") as f:
                c.file("lib/modules/%s.ko" % m, f.read(), 0o644)
            have.append(m + ".ko")
        for m, path in module_files(more, pkg):
            with open(path, "rb") as f:
                c.file("lib/modules/%s.ko" % m, f.read(), 0o644)
        for to in files:
            with open(files[to], "rb") as f:
                c.file(to, f.read())
        c.file("etc/modules", "\n".join(have).encode() + b"\n", 0o644)
        c.file("etc/passwd", b"root::0:0:root:/root:/bin/sh\n", 0o644)
        c.file("init", INIT.encode())
        with open(out, "wb") as f:
            f.write(gzip.compress(c.finish(), 6, mtime=0))
    return cached(name, make, INIT + pkg + " ".join(modules) + " ".join(more)
                  + "".join("%s %d" % (to, os.stat(files[to]).st_mtime_ns) for to in files))


def virtio_initramfs():
    return initramfs("virtio-initramfs.cpio.gz", modules=MODULES + VIRTIO_MODULES)


# ---- guests written in assembly ---------------------------------------------------------------

def tool(variable, default):
    """A tool for x86, which the Makefile takes from the environment too."""
    return os.environ.get(variable, default).split()


def assembled(name, address=0x7c00):
    """Image of tests/guest/asm/NAME.S: what a disk begins with, or a ROM."""
    folder = os.path.join(TOP, "tests", "guest", "asm")
    src = os.path.join(folder, name + ".S")

    def make(out):
        say("assembling %s" % name)
        run(tool("X86_CC", "cc") + ["-m32", "-c", "-I", folder, "-o", out + ".o", src])
        # one section which refers to itself only: linked at its place without a linker script
        run(tool("X86_LD", "ld") + ["-m", "elf_i386", "-Ttext", hex(address), "-e", "_start",
                                    "--build-id=none", "-o", out + ".elf", out + ".o"])
        run(tool("X86_OBJCOPY", "objcopy") + ["-O", "binary", "-j", ".text", out + ".elf", out])
    includes = sorted(glob.glob(os.path.join(folder, "*.inc")))
    return cached(name + ".bin", make, "".join(map(read_text, [src] + includes)) + hex(address))


def padded(name):
    """... as a disk of a mebibyte."""
    def make(out):
        with open(assembled(name), "rb") as f, open(out, "wb") as g:
            g.write(f.read().ljust(1 << 20, b"\0"))
    return cached(name + ".disk", make, read_text(os.path.join(TOP, "tests", "guest", "asm", name + ".S")))


def freestanding(name):
    """tests/guest/asm/NAME.c as a Multiboot kernel."""
    src = os.path.join(TOP, "tests", "guest", "asm", name + ".c")

    def make(out):
        say("compiling %s" % name)
        run(tool("X86_CC", "cc") + ["-m32", "-O2", "-ffreestanding", "-fno-pic", "-fno-pie",
                                    "-fno-stack-protector", "-fno-asynchronous-unwind-tables",
                                    "-mno-sse", "-c", "-o", out + ".o", src])
        # the Multiboot header must be in the first 8 KiB
        run(tool("X86_LD", "ld") + ["-m", "elf_i386", "-n", "-z", "noexecstack",
                                    "--no-warn-rwx-segments", "--section-start=.multiboot=0x100000",
                                    "-Ttext", "0x101000", "-e", "_start", "--build-id=none",
                                    "-o", out, out + ".o"])
    return cached(name + ".elf", make, read_text(src))


# ---- disk images ----------------------------------------------------------------------------

def make_isolinux_cd(out, config, files):
    """A CD that isolinux boots; files: {name on the CD: host path}."""
    with tempfile.TemporaryDirectory() as tree:
        os.makedirs(tree + "/isolinux")
        iso = package("isolinux") + "/usr/lib/ISOLINUX/isolinux.bin"
        mods = package("syslinux-common") + "/usr/lib/syslinux/modules/bios/"
        shutil.copy(iso, tree + "/isolinux/")
        for m in ("ldlinux.c32", "libutil.c32", "libcom32.c32", "menu.c32", "vesamenu.c32"):
            shutil.copy(mods + m, tree + "/isolinux/")
        with open(tree + "/isolinux/isolinux.cfg", "w") as f:
            f.write(config)
        for to, path in files.items():
            shutil.copy(path, os.path.join(tree, to))
        run(["xorriso", "-as", "mkisofs", "-o", out, "-b", "isolinux/isolinux.bin", "-c",
             "isolinux/boot.cat", "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table",
             "-J", "-R", "-V", "ORRERY", tree])


def isolinux_cd(name, config, files):
    def make(out):
        say("making %s" % name)
        make_isolinux_cd(out, config, files)
    return cached(name, make, config + "".join(
        "%s %s %s" % (to, path, os.stat(path).st_mtime_ns) for to, path in files.items()))


def vesa_cd():
    cfg = ("serial 0 115200\nui vesamenu.c32\nprompt 0\nmenu title Menu of the test\n"
           "label first\n  menu label First entry\n  kernel /nothing\n"
           "label second\n  menu label Second entry\n  kernel /nothing2\n")
    return isolinux_cd("vesa-cd.iso", cfg, {})


def linux_cd():
    cfg = ("default linux\nprompt 0\nserial 0 115200\nlabel linux\n  kernel /vmlinuz\n"
           "  append initrd=/initrd console=tty0 console=ttyS0 mitigations=off\n")
    return isolinux_cd("linux-cd.iso", cfg, {"vmlinuz": kernel(), "initrd": initramfs()})


def data_cd():
    def payload(out):
        import random
        with open(out, "wb") as f:
            f.write(random.Random(1).randbytes(3 << 20))
    data = cached("payload.bin", payload)

    def make(out):
        tree = os.path.join(os.path.dirname(out), "tree")
        os.makedirs(tree)
        shutil.copy(data, tree + "/payload.bin")
        run(["xorriso", "-as", "mkisofs", "-o", out, "-R", "-V", "DATA", tree])
    return cached("data-cd.iso", make), data


def ext4_disk(path, mib=64):
    """A new MBR-partitioned disk whose only partition holds an ext4 with /hello."""
    with open(path, "wb") as f:
        f.truncate(mib << 20)
        f.seek(446)                 # the MBR's first entry: type 83h, LBA 2048 to the end
        f.write(struct.pack("<B3sB3sII", 0, b"\x20\x21\0", 0x83, b"\xfe\xff\xff", 2048,
                            (mib << 11) - 2048))
        f.seek(510)
        f.write(b"\x55\xaa")
    with tempfile.TemporaryDirectory() as d:
        with open(d + "/hello", "w") as f:
            f.write("hello from the host\n")
        run(["mke2fs", "-q", "-t", "ext4", "-d", d, "-E", "offset=%d" % (2048 * 512), path,
             "%dk" % ((mib << 10) - 1024)])


def fat_floppy(path, files):
    """A new 1.44 MB floppy disk with a FAT12 and files in its root: {NAME.EXT: content}.
    Layout: boot sector, two FATs of 9 sectors, a root of 14 sectors, clusters of a sector."""
    image = bytearray(1474560)
    image[0:3] = b"\xeb\x3c\x90"
    image[3:11] = b"ORRERY  "
    struct.pack_into("<HBHBHHBHHHI", image, 11, 512, 1, 1, 2, 224, 2880, 0xf0, 9, 18, 2, 0)
    image[38:62] = b"\x29" + b"\0" * 4 + b"NO NAME    FAT12   "
    image[510:512] = b"\x55\xaa"
    fat = {0: 0xff0, 1: 0xfff}
    cluster = 2
    for n, (name, content) in enumerate(files.items()):
        base, _, ext = name.partition(".")
        at = 19 * 512 + 32 * n
        image[at:at + 11] = (base.ljust(8) + ext.ljust(3)).encode()
        image[at + 11] = 0x20
        struct.pack_into("<HI", image, at + 26, cluster, len(content))
        for k in range(0, len(content), 512):
            image[(31 + cluster) * 512:(31 + cluster) * 512 + len(content[k:k + 512])] = \
                content[k:k + 512]
            fat[cluster] = cluster + 1 if k + 512 < len(content) else 0xfff
            cluster += 1
    for n, value in fat.items():
        for base in (512, 10 * 512):
            at = base + n * 3 // 2
            word = image[at] | image[at + 1] << 8
            word |= value << 4 if n & 1 else value
            image[at], image[at + 1] = word & 0xff, word >> 8
    with open(path, "wb") as f:
        f.write(image)


def fat_read(path, name):
    """A file from the root of a floppy as above; None if it isn't there."""
    with open(path, "rb") as f:
        image = f.read()
    base, _, ext = name.partition(".")
    for at in range(19 * 512, 33 * 512, 32):
        if image[at:at + 11] == (base.ljust(8) + ext.ljust(3)).encode():
            cluster, size = struct.unpack_from("<HI", image, at + 26)
            content = b""
            while 2 <= cluster < 0xff0 and len(content) < size:
                content += image[(31 + cluster) * 512:(32 + cluster) * 512]
                entry = 512 + cluster * 3 // 2
                word = image[entry] | image[entry + 1] << 8
                cluster = word >> 4 if cluster & 1 else word & 0xfff
            return content[:size]
    return None


def partition(path, out):
    """Copies the first partition of ext4_disk out for e2fsck and debugfs."""
    with open(path, "rb") as f, open(out, "wb") as g:
        f.seek(2048 * 512)
        shutil.copyfileobj(f, g)


TARGETS = {
    "kernel": kernel, "busybox": busybox, "initramfs": initramfs, "linux-cd": linux_cd,
    "data-cd": data_cd, "grub-cd": grub_cdrom, "grub-floppy": grub_floppy,
    "memtest": lambda: memtest("ia32"), "installer": lambda: installer("linux"),
    "firmware": firmware_dir,
}


def main():
    names = sys.argv[1:] or list(TARGETS)
    for n in names:
        if n not in TARGETS:
            sys.exit("material.py: unknown '%s' (there are: %s)" % (n, " ".join(TARGETS)))
        try:
            r = TARGETS[n]()
        except Missing as e:
            sys.exit("material.py: %s" % e)
        print(r if isinstance(r, str) else " ".join(r))


if __name__ == "__main__":
    main()
