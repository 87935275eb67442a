# SPDX-License-Identifier: MIT
"""Random accesses to everything a machine maps, and what each type of device needs to exist."""

import re
import subprocess

import libqtest

# What a poke must not touch: what ends or resets the machine, or takes devices out of it.
DEADLY_PORTS = {0xcf9, 0x92, 0x64}
DEADLY_REGIONS = {"isa-debug-exit", "acpi-cnt", "acpi-pci-hotplug"}


def help_text(*args):
    return subprocess.run([libqtest.EMULATOR, *args], stdout=subprocess.PIPE, text=True,
                          timeout=60 * libqtest.PATIENCE).stdout


def device_types():
    """{name: bus} of what a user can plug in."""
    return dict(re.findall(r'^name "([^"]+)", bus ([^,\n]+)', help_text("-device", "help"), re.M))


def device_args(name, tag="9"):
    """What -device needs beside the name, from the properties it has; tag makes ids of it."""
    options = help_text("-device", name + ",help")
    args, extra = [], ""
    host = {"SCSI": "virtio-scsi-pci", "usb-bus": "piix3-usb-uhci",
            "virtio-serial-bus": "virtio-serial-pci", "HDA": "intel-hda"}.get(device_types().get(name))
    if host:
        args += ["-device", host]
    if re.search(r"^  drive=", options, re.M):
        args += ["-drive", "if=none,driver=null-co,size=1474560,read-zeroes=on,id=d" + tag]
        extra += ",drive=d" + tag
    if re.search(r"^  serial=.*; needed", options, re.M):
        extra += ",serial=s" + tag
    if re.search(r"^  chardev=", options, re.M):
        args += ["-chardev", "null,id=c" + tag]
        extra += ",chardev=c" + tag
    if re.search(r"^  audiodev=", options, re.M):
        args += ["-audiodev", "none,id=a" + tag]
        extra += ",audiodev=a" + tag
    if re.search(r"^  netdev=", options, re.M):
        args += ["-netdev", "user,id=n" + tag]
        extra += ",netdev=n" + tag
    return args + ["-device", name + extra]


def setup_pci(q):
    """Give each base address register a place, as firmware does."""
    io, mem = 0xc000, 0xe0000000
    for devfn in q.pci_devices():
        n = 0
        while n < 6 and q.pci_readb(devfn, 0x0e) & 0x7f == 0:
            bar = q.pci_bar(devfn, n)
            if bar and bar[0]:
                io = (io + bar[1] - 1) & -bar[1]
                q.pci_writel(devfn, 0x10 + 4 * n, io)
                io += max(bar[1], 16)
            elif bar:
                wide = q.pci_readl(devfn, 0x10 + 4 * n) & 6 == 4
                mem = (mem + bar[1] - 1) & -bar[1]
                q.pci_writel(devfn, 0x10 + 4 * n, mem)
                mem += bar[1]
                n += wide
            n += 1
        q.pci_writew(devfn, 4, q.pci_readw(devfn, 4) | 7)


def targets(q):
    """[(is port, first, last)] of everything that is I/O."""
    found, is_io = [], False
    for line in q.hmp("info mtree -f").splitlines():
        if line.startswith(" AS "):
            is_io = '"I/O"' in line
        m = re.match(r"  ([0-9a-f]{16})-([0-9a-f]{16}) \(prio -?\d+, (?:i/o|romd)\): (\S+)", line)
        if m and m.group(3) not in DEADLY_REGIONS:
            found.append((is_io, int(m.group(1), 16), int(m.group(2), 16)))
    return found


def poke(q, rng, steps, time=True):
    places = targets(q)
    lines = []
    for _ in range(steps):
        port, first, last = rng.choice(places)
        width = rng.choice((1, 1, 1, 2, 4))
        addr = rng.randint(first, min(last, first + 0x3ff)) & -width
        value = rng.choice((rng.getrandbits(32), rng.getrandbits(8), 0, 0xffffffff, 1 << rng.randrange(32)))
        letter = {1: "b", 2: "w", 4: "l"}[width]
        if port and DEADLY_PORTS & set(range(addr, addr + width)):
            continue
        if rng.random() < 0.3:
            lines.append("%s%s 0x%x" % ("in" if port else "read", letter, addr))
        else:
            mask = (1 << 8 * width) - 1
            lines.append("%s%s 0x%x 0x%x" % ("out" if port else "write", letter, addr, value & mask))
        if time and rng.random() < 0.05:
            lines.append("clock_step %d" % rng.randrange(10 ** rng.randrange(1, 9)))
    for line, answer in zip(lines, q.batch(lines)):
        assert answer.startswith("OK"), (line, answer)
