# SPDX-License-Identifier: MIT
"""Linux with the drivers of the graphics cards and of virtio's input devices."""

import os
import re
import struct
import sys
import tempfile
import time

sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "ui"))

import material
import rfb
import screen
from boots import expect
from vm import PATIENCE, VM, Failed

APPEND = "console=ttyS0 mitigations=off"


def linux(*args, **kw):
    kernel, initrd = material.graphics_kernel()
    return VM(["-kernel", kernel, "-initrd", initrd, "-append", APPEND, *args], mem="256", **kw)


def wait_line(vm, size, row, text, **which):
    """The frame buffer console has this size and this in a row.  (Its font is the VGA's, but for
    some letters: f, m, T, 0 ...)"""
    end = time.monotonic() + 60 * PATIENCE
    while True:
        p = vm.picture(**which)
        at = row * 16 * p.width * 3
        line = screen.Picture(p.width, 16, p.data[at:at + p.width * 16 * 3]).text()
        if (p.width, p.height) == size and line == text:
            return
        if time.monotonic() > end:
            raise Failed("no %r on a screen of %dx%d; it is %dx%d and shows %r"
                         % (text, *size, p.width, p.height, line))
        vm.drain(0.3)


def console_shows(vm, size, text, **which):
    vm.shell("echo -e '\\033[?25l\\033[2J\\033[H%s' >/dev/tty1" % text)
    wait_line(vm, size, 0, text, **which)


def load(vm, driver, options=""):
    vm.wait_serial("BusyBox shell", 300)
    vm.shell("insmod /lib/modules/%s.ko %s && until [ -e /dev/fb0 ]; do sleep 0.1; done" % (driver, options))


def ask_for_size(path, w, h):
    """What a VNC viewer does when its window is resized."""
    with rfb.Client(path) as c:
        c.set_encodings(rfb.RAW, rfb.EXT_DESKTOP_SIZE)
        c.send(struct.pack(">BxHHBx", 251, w, h, 1) + struct.pack(">IHHHHI", 0, 0, 0, w, h, 0))
        c.request()
        c.update()


def modes(vm, connector):
    return vm.shell("cat /sys/class/drm/card0-Virtual-%d/modes" % connector).split()


def test_virtio_vga_linux():
    """virtio_gpu drives a virtio-vga with two monitors: text on the console, in the size the card
    prefers; it follows a viewer that asks for another.  A second card keeps its pictures in guest
    memory."""
    with tempfile.TemporaryDirectory() as d, \
            linux("-vga", "none", "-device", "virtio-vga,id=v,max_outputs=2", "-vnc", "unix:%s/0,display=v" % d,
                  "-vnc", "unix:%s/1,display=v,head=1" % d,
                  "-device", "virtio-gpu-pci,id=b,blob=on,xres=800,yres=600") as vm:
        load(vm, "virtio-gpu")
        console_shows(vm, (1280, 800), "Hello, guest 12345")
        console_shows(vm, (1280, 800), "Hello, both heads", device="v", head=1)
        for head, w, h in ((0, 1024, 600), (1, 720, 480)):
            ask_for_size("%s/%d" % (d, head), w, h)
            vm.shell("until [ $(head -n 1 /sys/class/drm/card0-Virtual-%d/modes) = %dx%d ]; do sleep 0.1; done"
                     % (head + 1, w, h))
        console_shows(vm, (1024, 600), "Hello again, guest")
        paint_second(vm, "b")
        vm.shell("! dmesg | grep -E 'virtio_gpu.*(ERROR|error|failed)'")


def paint_second(vm, device):
    """The second frame buffer, of 800x600, shows on its card what is written to it."""
    vm.shell("until [ -e /dev/fb1 ]; do sleep 0.1; done; cd /sys/class/graphics/fb1; head -n 1 modes >mode; cd /")
    vm.shell("tr '\\0' '\\101' </dev/zero | dd of=/dev/fb1 bs=4096 count=400 2>/dev/null")
    end = time.monotonic() + 60 * PATIENCE
    while True:
        p = vm.picture(device=device)
        if (p.width, p.height) == (800, 600) and p.pixel(799, 300) == b"AAA":
            return
        if time.monotonic() > end:
            raise Failed("the second screen is %dx%d, %r" % (p.width, p.height, p.pixel(0, 0)))
        vm.drain(0.2)


def drives(vm, driver, size, options="", name=None, **which):
    """A driver takes the card over from the text console; it scrolls, too."""
    load(vm, driver, options)
    expect(vm.shell("cat /proc/fb"), name or driver)
    console_shows(vm, size, "Hello, guest 12345", **which)
    vm.shell("clear >/dev/tty1; for k in $(seq 111 211); do echo; echo line $k; done >/dev/tty1")
    # the cursor's line is the last, an empty one between each two
    wait_line(vm, size, size[1] // 16 - 2, "line 211", **which)
    wait_line(vm, size, size[1] // 16 - 20, "line 2?2", **which)


def test_bochs_drm_linux():
    """The standard VGA and a secondary one by Linux' bochs driver, in the size its EDID prefers."""
    with linux("-device", "secondary-vga,id=second,xres=800,yres=600") as vm:
        drives(vm, "bochs", (1280, 800))
        paint_second(vm, "second")


def test_cirrus_linux():
    """The Cirrus card by cirrusfb, whose console is drawn by the BitBLT engine, and by DRM."""
    with linux("-vga", "cirrus") as vm:
        drives(vm, "cirrusfb", (640, 480), "mode_option=640x480-8@60", "CL")
        vm.shell("echo 0000:00:02.0 >/sys/bus/pci/drivers/cirrusfb/unbind; rmmod cirrusfb")
        drives(vm, "cirrus", (1024, 768))


# What each sends, and what the driver's device file gives: type, code, value.
EVENTS = {
    "Tablet": ([("abs", {"axis": "x", "value": 0x1234}), ("abs", {"axis": "y", "value": 0x567})],
               [(3, 0, 0x1234), (3, 1, 0x567), (0, 0, 0)]),
    "Mouse": ([("rel", {"axis": "x", "value": 5}), ("rel", {"axis": "y", "value": -3})],
              [(2, 0, 5), (2, 1, 0xfffffffd), (0, 0, 0)]),
    "Keyboard": ([("key", {"key": {"type": "qcode", "data": "f7"}, "down": True})],
                 [(1, 65, 1), (0, 0, 0)]),
}


def test_virtio_input_linux():
    """virtio_input drives keyboard, mouse and tablet; events come out of /dev/input; Caps Lock's
    light goes on."""
    with linux("-device", "virtio-keyboard-pci,id=k", "-device", "virtio-mouse-pci", "-device",
               "virtio-tablet-pci,id=t") as vm:
        vm.wait_serial("BusyBox shell", 300)
        found = vm.shell("cat /proc/bus/input/devices")
        for name, (send, want) in EVENTS.items():
            node = re.search('Name="QEMU Virtio %s".*?(event\\d+)' % name, found, re.S)
            if not node:
                raise Failed("no virtio %s among:\n%s" % (name, found))
            if name == "Mouse":             # the tablet was in front of it
                vm.cmd("device_del", id="t")
                vm.wait_event("DEVICE_DELETED")
            vm.shell("(dd if=/dev/input/%s of=/tmp/%s bs=24 count=%d 2>/dev/null &); "
                     "until ls -l /proc/[0-9]*/fd 2>/dev/null | grep -q /dev/input/; do sleep 0.1; done"
                     % (node.group(1), name, len(want)))
            vm.cmd("input-send-event", events=[{"type": t, "data": d} for t, d in send])
            text = vm.shell("until [ $(stat -c %%s /tmp/%s) = %d ]; do sleep 0.1; done; "
                            "hexdump -v -e '24/1 \"%%02x\" \"\\n\"' /tmp/%s" % (name, 24 * len(want), name), 60)
            got = [struct.unpack("<16xHHI", bytes.fromhex(line)) for line in text.split()]
            if got != want:
                raise Failed("virtio %s: the guest saw %s instead of %s" % (name, got, want))
        vm.key("caps_lock")
        vm.shell("until grep -q 1 /sys/class/leds/*capslock/brightness; do sleep 0.1; done")
