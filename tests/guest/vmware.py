# SPDX-License-Identifier: MIT
"""The VMware port and the mouse behind it.

    ORRERY=qemu-system-x86_64 python3 tests/guest/run.py vmport        how QEMU answers
"""

import os
import re
import socket
import struct
import sys
import tempfile
import time

sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "ui"))

import kvmhost
import material
import rfb
from boots import weight
from vm import ACCEL, PATIENCE, VM, Failed

PORT, MAGIC = 0x5658, 0x564d5868
VERSION, UUID, RAM_SIZE, DATA, STATUS, COMMAND, CLOCKS, VCPU_INFO = 10, 19, 20, 39, 40, 41, 45, 68
ON, OFF, RELATIVE, ABSOLUTE = 0x45414552, 0xf5, 0x4c455252, 0x53424152
MOUSE_VERSION = 0x3442554a
NAMES = "eax ebx ecx edx esi edi".split()
JUNK = [0x11111111, 0x22222222, 0x33330000, 0x44440000 | PORT, 0x55555555, 0x66666666]


class Ports(VM):
    """A guest that does port accesses with these registers."""

    def __init__(self, *args, **kw):
        super().__init__(["-S", "-drive", "file=%s,format=raw,if=ide,snapshot=on" % material.padded("ports"),
                          *args], **kw)

    def start(self):
        super().start()
        self.cmd("cont")                # only now: nobody heard what it said before
        self.wait_serial("!", 60)

    def access(self, kind="i", **regs):
        """Registers afterwards, by name; others than those given had JUNK before."""
        values = [regs.get(n, j) for n, j in zip(NAMES, JUNK)]
        at = len(self.log)
        self.ser.sendall(kind.encode() + struct.pack("<6I", *values))
        self.wait_serial(b".{24}", 20, at)
        return dict(zip(NAMES, struct.unpack("<6I", self.log[at:at + 24])))

    def stop_waiting(self):
        """Stop it where it waits for the next access."""
        for _ in range(1000):
            self.cmd("stop")
            regs = self.cmd("human-monitor-command", command_line="info registers")
            inside = re.search(r"CS =0000", regs)       # not in the BIOS, for an interrupt
            if inside and 0x7f00 <= int(re.search(r"EIP=(\w+)", regs).group(1), 16) < 0x8000:
                return
            self.cmd("cont")
        raise Failed("it never waits: %s" % regs)

    def ask(self, command, kind="i", **regs):
        """... of a command; the upper half of ECX does not matter.  Those that changed."""
        given = dict(zip(NAMES, JUNK), eax=MAGIC, ecx=JUNK[2] | command, **regs)
        after = self.access(kind, **given)
        return {n: v for n, v in after.items() if v != given[n]}


def same(got, want, what):
    if got != want:
        def text(d):
            return ", ".join("%s %08x" % (n, v) for n, v in d.items()) if isinstance(d, dict) else d
        raise Failed("%s: the guest got %s instead of %s" % (what, text(got), text(want)))


def commands(vm):
    hypervisor = vm.ask(VERSION)
    same(hypervisor, {"eax": 6, "ebx": MAGIC, "ecx": 2}, "version")
    same(vm.ask(RAM_SIZE), {"eax": 128 << 20, "ebx": 0x1177}, "RAM size")
    same(vm.ask(UUID), {"eax": 0x33221100, "ebx": 0x77665544, "ecx": 0xbbaa9988, "edx": 0xffeeddcc}, "UUID")
    same(vm.ask(VCPU_INFO), {"eax": 0 if "qemu" in vm.args[0] else 8}, "vCPU info")
    same(vm.ask(99), {"eax": 0xffffffff}, "a command that does not exist")
    same(vm.ask(21), {"eax": 0xffffffff}, "another one")
    same(vm.access(eax=MAGIC ^ 1, ecx=VERSION),
         dict(zip(NAMES, JUNK), eax=0xffffffff, ecx=VERSION), "another magic number")
    same(vm.ask(VERSION, "o"), {"eax": 6, "ebx": MAGIC, "ecx": 2}, "version by OUT")
    same(vm.ask(VERSION, "w"), {"eax": 6, "ebx": MAGIC, "ecx": 2}, "version by IN AX")


UUID_OPTION = ["-uuid", "00112233-4455-6677-8899-aabbccddeeff", "-cpu", "qemu64,+x2apic"]


@weight(2)
def test_vmport():
    """The VMware port answers its commands in registers as QEMU's does; mouse commands, too; off
    it is not there."""
    with Ports(*UUID_OPTION) as vm:
        commands(vm)
        if "qemu" not in vm.args[0]:        # (which tells clocks with KVM alone)
            clocks = vm.ask(CLOCKS)
            if clocks["ecx"] != 10**9 or clocks["ebx"] << 32 | clocks["eax"] < 10**8:
                raise Failed("clocks: %s" % clocks)
        mouse(vm)
    if "qemu" in vm.args[0]:
        return
    others = ["tcg,engine=interp"] + (["kvm"] if kvmhost.usable() else [])
    for accel in others if ACCEL == "tcg" else []:
        with Ports(*UUID_OPTION, "-accel", accel) as vm:
            commands(vm)
    with Ports("-machine", "vmport=off") as vm:
        same(vm.ask(VERSION), {"eax": 0xffffffff}, "-machine vmport=off")
    with Ports("-global", "vmport.vmware-vmx-version=7", "-global", "vmport.x-report-vmx-type=off",
               "-global", "vmport.x-cmds-v2=off") as vm:
        same(vm.ask(VERSION), {"eax": 7, "ebx": MAGIC}, "properties: version")
        same(vm.ask(UUID), {"eax": 0xffffffff}, "x-cmds-v2=off")


def take(vm, words):
    """So many words out of the mouse's queue."""
    after = dict(zip(NAMES, JUNK), eax=MAGIC, ebx=words)
    after.update(vm.ask(DATA, ebx=words))
    return [after[n] for n in NAMES[:words]]


def mice(vm):
    return {m["name"]: m for m in vm.cmd("query-mice")}


def send(vm, *events):
    vm.cmd("input-send-event", events=[{"type": t, "data": d} for t, d in events])


def place(x, y):
    return ("abs", {"axis": "x", "value": x}), ("abs", {"axis": "y", "value": y})


def button(name, down=True):
    return "btn", {"button": name, "down": down}


def mouse(vm):
    qemu = "qemu" in vm.args[0]
    same(vm.ask(STATUS)["eax"], 0xffff0000, "status at the start")
    vm.ask(COMMAND, ebx=ABSOLUTE)
    same(vm.ask(STATUS)["eax"], 0xffff0000, "status after a command while off")
    vm.ask(COMMAND, ebx=ON)
    same(vm.ask(STATUS)["eax"], 1, "status when on")
    same(take(vm, 1), [MOUSE_VERSION], "the mouse's version")
    if "vmmouse" in mice(vm) and not qemu:
        raise Failed("query-mice has it too early: %s" % mice(vm))
    vm.ask(COMMAND, ebx=ABSOLUTE)
    m = mice(vm)
    if not m.get("vmmouse", {}).get("absolute") or not m["vmmouse"]["current"]:
        raise Failed("query-mice does not have it: %s" % m)
    send(vm, *place(0x7fff, 0x1234), button("left"))
    # (QEMU has packets of their own for the wheel)
    send(vm, button("right"), *([] if qemu else [button("wheel-down")]))
    send(vm, button("left", False), button("right", False), *([] if qemu else [button("wheel-up")]),
         *place(0, 0x7fff))
    same(vm.ask(STATUS)["eax"], 12, "status with three events")
    top = 0xfffe if qemu else 0xffff
    same(take(vm, 4), [0x20, top, 0x2468, 0], "left button")
    same(take(vm, 4), [0x30, top, 0x2468, not qemu], "right button and wheel")
    same(take(vm, 4), [0, 0, top, 0 if qemu else 0xffffffff], "released")
    send(vm, button("middle"), *place(0x4000, 0x2000))
    same(take(vm, 2), [8, 0x8000 if qemu else 0x8001], "half a packet")
    same(take(vm, 2), [0x4000, 0], "... and the other half")
    send(vm, button("middle", False))
    same(take(vm, 4)[0], 0, "middle button released")
    vm.ask(COMMAND, ebx=RELATIVE)
    same(mice(vm)["vmmouse"]["absolute"], False, "relative")
    send(vm, ("rel", {"axis": "x", "value": 5}), ("rel", {"axis": "y", "value": 3}))
    # (QEMU leaves out the flag that says it is a movement, and turns y round)
    same(take(vm, 4), [0, 5, 3, 0] if qemu else [0x10000, 5, 0xfffffffd, 0], "a movement")
    vm.ask(DATA, ebx=1)
    same(vm.ask(STATUS)["eax"] >> 16, 0xffff, "status after too much was wanted")
    if "vmmouse" in mice(vm):
        raise Failed("it still gets events")
    for words in (0, 7, 0x7fff, 0xffff):
        vm.ask(COMMAND, ebx=ON)
        vm.ask(DATA, ebx=words)
        same(vm.ask(STATUS)["eax"] >> 16, 0xffff, "status after %d words were wanted" % words)
    vm.ask(COMMAND, ebx=ON)
    vm.ask(COMMAND, ebx=0x12345678)
    same(vm.ask(STATUS)["eax"] >> 16, 0, "an unknown command")
    vm.ask(COMMAND, ebx=ABSOLUTE)
    for n in range(300):                # more than there is room for: the last counts
        send(vm, *place(n, n))
    words = vm.ask(STATUS)["eax"]
    if not 1000 <= words <= 1024:
        raise Failed("%d words after 300 events" % words)
    vm.ask(COMMAND, ebx=OFF)
    same(vm.ask(STATUS)["eax"] >> 16, 0xffff, "status when off")


@weight(2)
def test_vmmouse_viewer():
    """A VNC client hears that the pointer is absolute, and moves it."""
    with tempfile.TemporaryDirectory() as d, Ports("-vnc", "unix:%s/vnc" % d) as vm:
        with rfb.Client(d + "/vnc") as c:
            c.set_encodings(rfb.RAW, rfb.POINTER_TYPE)

            def wait_type(absolute):
                c.follow(lambda c: [p[1] for p in c.pseudo if p[0] == rfb.POINTER_TYPE][-1:] == [absolute])
            wait_type(0)
            vm.ask(COMMAND, ebx=ON)
            vm.ask(COMMAND, ebx=ABSOLUTE)
            wait_type(1)
            take(vm, 1)
            c.pointer(0, c.size[1] - 1, 1)
            end = time.monotonic() + 20 * PATIENCE
            while vm.ask(STATUS)["eax"] == 0 and time.monotonic() < end:
                pass
            same(take(vm, 4), [0x20, 0, 0xffff, 0], "a click in the lower left corner")
            vm.ask(COMMAND, ebx=OFF)
            wait_type(0)


def qtest(path, command):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)
        f = s.makefile("rw")
        f.write(command + "\n")
        f.flush()
        words = f.readline().split()
    if words[0] != "OK":
        raise Failed("qtest: %s" % " ".join(words))
    return " ".join(words[1:])


def move_state():
    with tempfile.TemporaryDirectory() as d:
        path = d + "/qtest"
        option = ["-qtest", "unix:%s,server=on,wait=off" % path, "-qtest-log", "none"]
        with Ports(*option) as vm:
            vm.ask(COMMAND, ebx=ON)
            vm.ask(COMMAND, ebx=ABSOLUTE)
            send(vm, *place(1, 2), button("left"))
            vm.stop_waiting()
            state = qtest(path, "vmstate_save")
        with Ports(*option) as vm:
            vm.stop_waiting()
            qtest(path, "vmstate_load " + state)
            vm.cmd("cont")
            if not mice(vm)["vmmouse"]["current"]:
                raise Failed("query-mice: %s" % mice(vm))
            send(vm, button("left", False))
            same(take(vm, 5), [MOUSE_VERSION, 0x20, 2, 4, 0], "what was saved")
            same(take(vm, 4), [0, 2, 4, 0], "what came since")


@weight(2)
def test_vmmouse_state():
    """A mouse that is switched on is saved with what waits in it, and loaded."""
    move_state()


# Under KVM the driver believes in it; else the machine must look like VMware's.
VMWARE = ["-cpu", "qemu64,-hypervisor", "-smbios", "type=1,manufacturer=VMware,serial=VMware-1"]


def absolute_event(vm, node, x, y):
    """Move, press the left button; the events come out of the node."""
    want = [(1, 0x110, 1), (3, 0, 2 * x + (x >> 14)), (3, 1, 2 * y + (y >> 14)), (0, 0, 0)]
    vm.shell("(dd if=/dev/input/%s of=/tmp/e bs=24 count=%d 2>/dev/null &); "
             "until ls -l /proc/[0-9]*/fd 2>/dev/null | grep -q /dev/input/; do sleep 0.1; done"
             % (node, len(want)))
    send(vm, *place(x, y), button("left"))
    text = vm.shell("until [ $(stat -c %%s /tmp/e) = %d ]; do sleep 0.1; done; "
                    "hexdump -v -e '24/1 \"%%02x\" \"\\n\"' /tmp/e" % (24 * len(want)), 60)
    got = [struct.unpack("<16xHHI", bytes.fromhex(line)) for line in text.split()]
    if sorted(got) != sorted(want):
        raise Failed("the guest saw %s instead of %s" % (got, want))


@weight(20)
def test_vmmouse_linux():
    """Linux' driver of PS/2 mice finds VMware's: absolute places come out of /dev/input; a viewer is
    told; it is the same after a reboot.  (The clocks that command 45 tells go well.)"""
    kernel, initrd = material.mouse_kernel()
    with VM(["-kernel", kernel, "-initrd", initrd, "-append", "console=ttyS0 mitigations=off", *VMWARE],
            mem="256") as vm:
        at = 0
        for turn in range(2):
            vm.wait_serial("BusyBox shell", 300, at)
            at = len(vm.log)
            found = vm.shell("cat /proc/bus/input/devices; dmesg | grep -i vmware")
            node = re.search('Name="VirtualPS/2 VMware VMMouse".*?(event\\d+)', found, re.S)
            if not node or "Hypervisor detected: VMware" not in found:
                raise Failed("no VMMouse among:\n%s" % found)
            absolute_event(vm, node.group(1), 0x1234 + turn, 0x7fff)
            if not mice(vm)["vmmouse"]["current"]:
                raise Failed("query-mice: %s" % mice(vm))
            if not turn:
                vm.send("reboot -f\n")
                vm.wide = False
