# SPDX-License-Identifier: MIT
"""vhost-net, for a row of netlong.py: the emulator runs inside of a machine of its own, whose
kernel has the modules that this host may lack."""

import os
import re
import subprocess

import material
from network import expect
from vm import EMULATOR, VM, Failed

VHOST_MODULES = ["tun", "tap", "vhost_iotlb", "vhost", "vhost_net"]
CARD_MODULES = ["virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci_legacy_dev",
                "virtio_pci", "failover", "net_failover", "virtio_net"]
# The innermost guest: an echo at port 99, a shell at 98
SERVICES = """#!/bin/sh
export PATH=/bin:/sbin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
for m in $(cat /etc/modules); do insmod /lib/modules/$m; done
ifconfig lo up; ifconfig eth0 192.168.9.2 up
echo "at your service" > /dev/ttyS0
while :; do nc -l -p 99 -e /bin/cat; done &
while :; do nc -l -p 98 -e /bin/sh; done
"""
COMMAND = """/o/emulator -L /o -nodefaults -vga none -display none -accel tcg -m 96 -kernel /o/kernel \
-initrd /o/initrd -append 'console=ttyS0 quiet mitigations=off nokaslr rdinit=/services' \
-serial file:/tmp/serial -monitor tcp:127.0.0.1:4444,server=on,wait=off \
-netdev tap,id=w,ifname=t0,script=no,downscript=no,vhost=on%s -device virtio-net-pci,netdev=w,romfile=%s"""


def libraries(program):
    """{path in the guest: path here} of what the program is linked with."""
    text = subprocess.run(["ldd", program], stdout=subprocess.PIPE, text=True, check=True).stdout
    return {p.lstrip("/"): p for p in re.findall(r"(/\S+) \(0x", text)}


def folders(paths):
    found = []
    for path in sorted(paths):
        parts = path.split("/")[:-1]
        found += ["/".join(parts[:n + 1]) for n in range(len(parts))]
    return list(dict.fromkeys(found))


def archive(out, files, texts=()):
    """An archive to go behind an initramfs; texts: {name: content}."""
    c = material.Cpio()
    for d in folders(list(files) + list(texts)):
        c.dir(d)
    for name in files:
        with open(files[name], "rb") as f:
            c.file(name, f.read())
    for name in texts:
        c.file(name, texts[name].encode())
    with open(out, "wb") as f:
        f.write(c.finish())


def concatenated(out, parts):
    with open(out, "wb") as f:
        for part in parts:
            with open(part, "rb") as p:
                data = p.read()
            f.write(data + b"\0" * (-len(data) % 4))


def make(d):
    """The outer machine's initramfs, in folder d."""
    bios = material.firmware_dir()
    archive(d + "/services", {}, {"services": SERVICES})
    concatenated(d + "/inner", [material.initramfs("vhost-card-initramfs.cpio.gz", modules=CARD_MODULES),
                                d + "/services"])
    files = {"o/emulator": EMULATOR, "o/kernel": material.kernel(), "o/initrd": d + "/inner",
             "o/bios-256k.bin": bios + "/bios-256k.bin", **libraries(EMULATOR)}
    archive(d + "/files", files)
    concatenated(d + "/outer", [material.initramfs("vhost-initramfs.cpio.gz", modules=VHOST_MODULES),
                                d + "/files"])
    return d + "/outer"


# ---- in the outer machine ---------------------------------------------------------------------------

def monitor(vm, *commands):
    text = "".join("%s\\n" % c for c in commands)
    return vm.shell("(printf '%s'; sleep 1) | nc -w 60 127.0.0.1 4444" % text, 120)


def reach(vm, want=True):
    """Wait until the inner guest answers, or is seen not to."""
    if want:
        expect(vm.shell("for k in $(seq 200); do ping -c 1 -W 2 192.168.9.2 && break; done", 600),
               "1 packets received")
    else:
        expect(vm.shell("ping -c 2 -W 2 192.168.9.2 || true", 60), "0 packets received")


def transfer(vm, numbers):
    """To the inner guest and back."""
    text = vm.shell("seq %d > /tmp/x; for k in $(seq 100); do nc -w 60 192.168.9.2 99 < /tmp/x > /tmp/y; "
                    "[ -s /tmp/y ] && break; sleep 0.3; done; cmp /tmp/x /tmp/y && "
                    "echo the same; cat /sys/class/net/t0/statistics/rx_packets "
                    "/sys/class/net/t0/statistics/tx_packets" % numbers, 300)
    found = re.search(r"the same\n(\d+)\n(\d+)", text)
    if not found:
        raise Failed("what came back is not what was sent: " + text)
    return [int(n) for n in found.groups()]


def frames(vm):
    """What the emulator counted: of the card, of the interface (all queues)"""
    found = re.findall(r"sent (\d+) packets", monitor(vm, "info network"))
    if not found or len(found) % 2:
        raise Failed("info network: %s" % found)
    return [sum(map(int, found[k::2])) for k in (0, 1)]


def start_inner(vm, netdev="", card=""):
    """An emulator with more options of -netdev and of the card; it has ended before."""
    vm.shell("(%s > /tmp/out 2>&1 &)" % (COMMAND % (netdev, card)))
    vm.shell("for k in $(seq 600); do [ -e /sys/class/net/t0 ] && break; sleep 0.2; done; "
             "cat /tmp/out; ip addr add 192.168.9.1/24 dev t0; ip link set t0 up", 300)


def quit_inner(vm):
    monitor(vm, "quit")
    vm.shell("for k in $(seq 300); do pidof emulator || break; sleep 0.2; done", 100)


def check_worker(vm, number=1):
    """The kernel's threads are there."""
    ps = vm.shell("ps")
    if len(re.findall(r"\[vhost-\d+\]", ps)) != number:
        raise Failed("not %d vhost threads:\n%s%s" % (number, ps, vm.shell("cat /tmp/out")))


def check_counters(vm):
    before = transfer(vm, 20000)
    counted = frames(vm)
    after = transfer(vm, 20000)
    more = [a - b for a, b in zip(frames(vm), counted)]
    moved = [a - b for a, b in zip(after, before)]
    # (they are not read at the same moment: the end of a connection may lie between)
    if not all(moved) or not all(m >= v - 4 for m, v in zip(more, moved)):
        raise Failed("%s packets moved, %s counted" % (moved, more))
    return after


def check_stops(vm):
    """Machine stopped, link down, driver taken away, machine reset: each time it goes on."""
    for off, on in (("stop", "cont"), ("set_link w off", "set_link w on")):
        monitor(vm, off)
        reach(vm, False)
        monitor(vm, on)
        reach(vm)
    vm.shell("echo 'cd /sys/bus/virtio/drivers/virtio_net; echo virtio0 > unbind; "
             "echo virtio0 > bind; ifconfig eth0 192.168.9.2 up' | nc -w 5 192.168.9.2 98", 60)
    reach(vm)
    transfer(vm, 2000)
    monitor(vm, "system_reset")
    reach(vm)
    transfer(vm, 2000)


# Other ways through: options of the back-end, of the card, threads
WAYS = [(",vnet_hdr=off", ",disable-modern=on,mrg_rxbuf=off", 1), (",queues=2", ",mq=on,vectors=6,packed=on", 2),
        ("", ",mrg_rxbuf=off,event_idx=off,indirect_desc=off", 1)]


def check(d):
    """All of it; d: a folder for files."""
    initrd = make(d)
    with VM(["-kernel", material.kernel(), "-initrd", initrd, "-append",
             "console=ttyS0 quiet mitigations=off"], mem="768") as vm:
        vm.wait_serial("BusyBox shell", 300)
        vm.shell("ifconfig lo up; ls /dev/vhost-net /dev/net/tun")
        start_inner(vm)
        reach(vm)
        check_worker(vm)
        after = check_counters(vm)
        check_stops(vm)
        for netdev, card, threads in WAYS:
            quit_inner(vm)
            start_inner(vm, netdev, card)
            reach(vm)
            check_worker(vm, threads)
            check_counters(vm)
        return "%d and %d packets by the kernel's thread" % tuple(after)
