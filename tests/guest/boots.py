# SPDX-License-Identifier: MIT
"""Guests that boot: firmware, boot loaders, memory tests, Linux."""

import fcntl
import hashlib
import os
import platform
import random
import re
import shutil
import struct
import tempfile

import kvmhost
import material
from vm import VM, Failed, Skipped, Terminal

APPEND = "console=ttyS0 mitigations=off"


def weight(n):
    """Order of tests: small ones first."""
    def mark(fn):
        fn.weight = n
        return fn
    return mark


def linux(extra, append=APPEND, **kw):
    return VM(["-kernel", material.kernel(), "-initrd", material.initramfs(),
               "-append", append] + extra, mem="256", **kw)


def wait_disk(vm, dev):
    vm.shell("for k in 1 2 3 4 5 6 7 8 9; do [ -b %s ] && break; sleep 1; done" % dev)


def expect(text, pattern):
    if not re.search(pattern, text):
        raise Failed("no %r in:\n%s" % (pattern, text))


# ---- firmware -------------------------------------------------------------------------------

@weight(1)
def test_seabios_banner():
    """SeaBIOS shows its banner and finds nothing to boot."""
    with VM([]) as vm:
        text = vm.wait_text("No bootable device", 60)
        expect(text, r"SeaBIOS \(version")


@weight(1)
def test_seabios_debugcon():
    """SeaBIOS writes its log to port 402h."""
    with tempfile.TemporaryDirectory() as d:
        with VM(["-chardev", "file,id=d,path=%s/log" % d, "-device",
                 "isa-debugcon,iobase=0x402,chardev=d"]) as vm:
            vm.wait_text("No bootable device", 60)
        with open(d + "/log") as f:
            log = f.read()
    for what in ("Found QEMU fw_cfg", "Found 1 lpt ports|Found 0 lpt",
                 "ACPI: parse DSDT", "Booting from|No bootable"):
        expect(log, what)


@weight(1)
def test_boot_menu():
    """-boot menu=on: the menu opens, lists the drives, and boots the chosen one."""
    with VM(["-boot", "menu=on", "-cdrom", material.grub_cdrom()]) as vm:
        vm.wait_text("Press .* for boot menu", 60)
        vm.key("esc")
        text = vm.wait_text("Select boot device", 30)
        n = re.search(r"(\d)\. DVD/CD", text)
        if not n:
            raise Failed("the CD is not in the menu:\n" + text)
        vm.key(n.group(1))
        vm.wait_text("GNU GRUB", 90)


# ---- boot loaders ---------------------------------------------------------------------------

def grub(args):
    with VM(args) as vm:
        text = vm.wait_text("GNU GRUB +version", 120)
        if "grub>" not in text:                     # a menu: go to the command line
            vm.key("c")
            vm.wait_text("grub>", 60)
        vm.type("echo A-b_c $grub_platform\n")
        vm.wait_text(r"\nA-b_c pc\b", 60)
        vm.type("ls\n")
        return vm.wait_text(r"\n\(\S+\).*\ngrub>", 60)


@weight(2)
def test_grub_cdrom():
    """The GRUB rescue CD comes to its command line, takes keys, sees the CD."""
    expect(grub(["-cdrom", material.grub_cdrom()]), r"\(cd|\(hd|\(memdisk")


@weight(2)
def test_grub_floppy():
    """The GRUB rescue floppy comes to its command line and takes keys."""
    expect(grub(["-drive", "if=floppy,format=raw,readonly=on,file=" + material.grub_floppy()]),
           r"\(fd0")


@weight(2)
def test_grub_linux():
    """GRUB, told by keys, loads Linux from the second drive; it comes to its shell."""
    with tempfile.TemporaryDirectory() as d, \
            VM(["-drive", "if=floppy,format=raw,readonly=on,file=" + material.grub_floppy(),
                "-drive", "if=ide,format=raw,file=" + shutil.copy(material.linux_cd(), d),
                "-boot", "a"], mem="256") as vm:
        vm.wait_text("GNU GRUB +version", 120)
        vm.key("c")
        vm.wait_text("grub>", 60)
        for line in ("linux (hd0)/vmlinuz console=ttyS0 mitigations=off quiet",
                     "initrd (hd0)/initrd", "boot"):
            vm.type(line + "\n")
            if line != "boot":
                vm.wait_text(r"%s[^\n]*\n+grub>" % re.escape(line[:20]), 120)
        vm.wait_serial("BusyBox shell", 300)
        expect(vm.shell("uname -m", 60), "x86_64")


@weight(1)
def test_vesa_menu():
    """isolinux' graphical menu comes up at 640x480 in its colours; Return starts its entry."""
    with VM(["-cdrom", material.vesa_cd()]) as vm:
        vm.wait_serial("ISOLINUX", 60)
        end = 40
        while True:
            picture = vm.settled_picture()
            if (picture.width, picture.height) == (640, 480) and len(picture.colours()) > 8:
                break
            end -= 1
            if not end:
                raise Failed("no picture of 640x480 in several colours")
            vm.drain(0.5)
        vm.key("ret")
        vm.wait_serial("[Ll]oading /nothing", 30)


@weight(3)
def test_isolinux_linux():
    """isolinux loads kernel and initramfs from a CD; Linux comes to its shell."""
    with VM(["-cdrom", material.linux_cd()], mem="256") as vm:
        vm.wait_serial("ISOLINUX", 120)
        vm.wait_serial("BusyBox shell", 300)
        expect(vm.shell("uname -m", 60), "x86_64")


# ---- Linux ----------------------------------------------------------------------------------

@weight(2)
def test_linux_shell():
    """Debian's cloud kernel by -kernel comes to a shell; poweroff ends with status 0."""
    with linux(["-no-reboot"]) as vm:
        vm.wait_serial("BusyBox shell", 300)
        expect(vm.shell("cat /proc/cpuinfo"), "flags.* lm ")
        expect(vm.shell("echo $((6 * 7))"), "42")
        expect(vm.shell("dmesg"), r"ACPI: .*FACP")
        expect(vm.shell("ls /sys/bus/pci/devices"), "0000:00:01.3")
        jit = vm.cmd("human-monitor-command", **{"command-line": "info jit"})
        size = re.search(r"host code .* ([0-9.]+) bytes for a guest byte", jit)
        if size and not 1 < float(size.group(1)) <= 4:
            raise Failed("native code is %s times as long as the guest's" % size.group(1))
        vm.send("poweroff -f\n")
        if vm.wait_exit(60) != 0:
            raise Failed("exit status %d" % vm.proc.returncode)


@weight(2)
def test_linux_interpreted():
    """The same by the portable interpreter alone."""
    with linux(["-no-reboot", "-accel", "tcg,engine=interp"]) as vm:
        vm.wait_serial("BusyBox shell", 300)
        expect(vm.shell("echo $((6 * 7))"), "42")
        vm.send("poweroff -f\n")
        if vm.wait_exit(60) != 0:
            raise Failed("exit status %d" % vm.proc.returncode)


@weight(2)
def test_linux_smp():
    """Four vCPUs come up, all of them work, and memory shared between them stays right."""
    with linux(["-no-reboot", "-smp", "4"]) as vm:
        vm.wait_serial("BusyBox shell", 300)
        expect(vm.shell("grep -c ^processor /proc/cpuinfo"), "4")
        sums = vm.shell("for k in 1 2 3 4 5 6 7 8; do (seq 1 20000 | md5sum >/tmp/s$k) & done; "
                        "wait; cat /tmp/s* | sort -u | wc -l; cat /tmp/s1", 120)
        expect(sums, r"(?m)^1\r?$")
        expect(sums, hashlib.md5(b"".join(b"%d\n" % k for k in range(1, 20001))).hexdigest())
        vm.send("poweroff -f\n")
        if vm.wait_exit(60) != 0:
            raise Failed("exit status %d" % vm.proc.returncode)


@weight(2)
def test_linux_smp_one_thread():
    """-accel tcg,thread=single: four vCPUs take turns in one thread, and each gets its share."""
    with linux(["-no-reboot", "-accel", "tcg,thread=single", "-smp", "4"]) as vm:
        vm.wait_serial("BusyBox shell", 300)
        expect(vm.shell("grep -c ^processor /proc/cpuinfo"), "4")
        ids = {c["thread-id"] for c in vm.cmd("query-cpus-fast")}
        if len(ids) != 1:
            raise Failed("the vCPUs' threads: %r" % ids)
        # one spins on each of them, while the shell goes on
        vm.shell("for k in 1 2 3 4; do (while :; do :; done) & done; sleep 2")
        times = vm.shell("grep ^cpu[0-9] /proc/stat")
        users = [int(n) for n in re.findall(r"(?m)^cpu\d (\d+)", times)]
        if len(users) != 4 or min(users) < 5:
            raise Failed("user time of the vCPUs: " + times)
        vm.send("poweroff -f\n")
        if vm.wait_exit(60) != 0:
            raise Failed("exit status %d" % vm.proc.returncode)


TORTURE = {
    "one-insn": "one-insn-per-tb=on",
    "tlb": "tlb-entries=2",
    "cache": "tb-bytes=65536",
    "kick": "kick=random",
}


def tortured(accel):
    # quiet: the messages take long there, and others boot with them
    with linux(["-no-reboot", "-accel", accel, "-smp", "2"], APPEND + " quiet") as vm:
        vm.wait_serial("BusyBox shell", 900)
        expect(vm.shell("seq 1 300 | md5sum", 300),
               hashlib.md5(b"".join(b"%d\n" % k for k in range(1, 301))).hexdigest())
        vm.send("poweroff -f\n")
        if vm.wait_exit(120) != 0:
            raise Failed("exit status %d" % vm.proc.returncode)


@weight(3)
def test_linux_tortured_blocks():
    """Blocks of one instruction, vCPUs disturbed at random moments."""
    tortured("tcg,one-insn-per-tb=on,kick=random")


@weight(3)
def test_linux_tortured_space():
    """A TLB of two entries and a block cache of 64 KiB."""
    tortured("tcg,tlb-entries=2,tb-bytes=65536")


def litmus(accel, cpus=2, rounds=20000):
    with tempfile.TemporaryDirectory() as d:
        with VM(["-accel", accel, "-smp", str(cpus), "-kernel", material.freestanding("litmus"),
                 "-append", "rounds=%d cpus=%d" % (rounds, cpus), "-chardev", "file,id=d,path=%s/told" % d,
                 "-device", "isa-debugcon,iobase=0xe9,chardev=d"]) as vm:
            told = vm.wait_file(d + "/told", lambda t: t.endswith(b".") or b"BAD" in t, "the end",
                                120 + rounds // 100)
    if told.count(b": ok\n") != (15 if cpus == 4 else 14) or b"BAD" in told:
        raise Failed("the guest told:\n" + told.decode())


@weight(1)
def test_litmus():
    """What two vCPUs see of each other: order, locked instructions, patched code, shoot-downs."""
    litmus("tcg")


@weight(1)
def test_litmus_four():
    """Four vCPUs: two that watch two others agree on the order of their stores."""
    litmus("tcg", 4, 5000)


@weight(1)
def test_litmus_one_thread():
    """The same with both vCPUs in one thread."""
    litmus("tcg,thread=single")


@weight(1)
def test_litmus_tortured():
    """The same with everything scarce, and kicks."""
    litmus("tcg," + ",".join(TORTURE.values()))


@weight(1)
def test_litmus_interpreted():
    """The same by the portable interpreter."""
    litmus("tcg,engine=interp")


@weight(2)
def test_nographic_terminal():
    """-nographic: a shell with job control on this terminal; Ctrl-a x leaves with status 0."""
    with Terminal(["-m", "256", "-nographic", "-no-reboot", "-kernel", material.kernel(), "-initrd",
                   material.initramfs(), "-append", APPEND + " quiet"]) as t:
        t.wait("BusyBox shell", 300)
        t.wait("# ", 30)
        t.settle()                              # the shell asks where the cursor is
        t.send("sleep 1000\n")
        t.wait("sleep 1000\r", 30)
        t.settle()
        t.send("\x1a")
        t.wait("Stopped.*# ", 30)
        t.send("fg\n")
        t.wait(r"fg\s+sleep 1000", 30)
        t.settle()
        t.send("\x03")
        t.wait("\n[^\n]*# ", 30)
        t.send("echo $((6 * 7))\n")
        t.wait("\n42\r", 30)
        t.send("\x01x")
        if t.wait_exit(20) != 0:
            raise Failed("exit status %s" % t.proc.returncode)


def clock_skew(log):
    """What part of an interval the kernel's two clocks were apart, where it says so.  On a busy
    host it may have measured the TSC's frequency less exactly than it asks for later."""
    took = [int(n) for n in re.findall(r"clocksource: .* [wc][ds]_nsec: (\d+)", log)]
    return abs(took[0] - took[1]) / max(took) if len(took) >= 2 and max(took) else 0


@weight(2)
def test_linux_quiet_kernel_log():
    """The kernel complains about nothing while it boots."""
    with linux([]) as vm:
        vm.wait_serial("BusyBox shell", 300)
        log = vm.shell("dmesg")
    bad = [line for line in log.split("\n")
           if re.search(r"Oops|BUG:|WARNING:|Call Trace|unchecked MSR|ACPI (BIOS )?Error|"
                        r"lost interrupt|exception Emask|hpet.*failed|"
                        r"MP-BIOS bug|irq \d+: nobody cared", line)]
    if bad:
        raise Failed("kernel messages:\n" + "\n".join(bad))
    if clock_skew(log) > 0.01:
        raise Failed("TSC and other clocks are apart:\n" + log)


@weight(3)
def test_linux_reboot():
    """reboot -f resets the machine; -no-reboot turns that into an exit with status 0."""
    with linux(["-no-reboot"]) as vm:
        vm.wait_serial("BusyBox shell", 300)
        vm.send("reboot -f\n")
        if vm.wait_exit(60) != 0:
            raise Failed("exit status %d" % vm.proc.returncode)


@weight(3)
def test_linux_vga_console():
    """The kernel's console on VGA shows the shell; keys typed at it arrive."""
    with linux([], append="console=tty0 mitigations=off", serial=False) as vm:
        vm.wait_text("BusyBox shell", 300)
        vm.wait_text(r"/ # ", 30)
        vm.type("echo $((1234 * 2)) A-b_c\n")
        vm.wait_text(r"\n2468 A-b_c", 60)


@weight(3)
def test_powerdown_button():
    """system_powerdown presses the ACPI power button: the guest's driver reports the key."""
    with linux([]) as vm:
        vm.wait_serial("BusyBox shell", 300)
        event = vm.shell("cd /sys/class/input; for e in event*; do "
                         "grep -q 'Power Button' $e/device/name && echo $e; done; cd /").strip()
        expect(event, r"^event\d+$")
        # an event is 24 bytes: time, type, code, value
        vm.shell("(dd if=/dev/input/%s of=/tmp/pressed bs=24 count=1 2>/dev/null &); "
                 "until ls -l /proc/[0-9]*/fd 2>/dev/null | grep -q /dev/input/; do sleep 0.1; done"
                 % event)
        vm.cmd("system_powerdown")
        vm.wait_event("POWERDOWN")
        told = vm.shell("n=0; while [ ! -s /tmp/pressed ] && [ $n -lt 300 ]; do sleep 0.2; "
                        "n=$((n+1)); done; hexdump -C /tmp/pressed")
        expect(told, r"(?m)^00000010 +01 00 74 00 01 00 00 00 ")      # EV_KEY, KEY_POWER, down
        expect(vm.shell("cat /sys/firmware/acpi/interrupts/ff_pwr_btn"), r"^ +1 ")


@weight(1)
def test_floppy_bios():
    """Sectors of a floppy disk are read, written and formatted through the BIOS.
    (QEMU fails this: a track it formats does not read as one filler.)"""
    with tempfile.TemporaryDirectory() as d:
        disk = d + "/floppy.img"
        with open(material.assembled("floppy"), "rb") as f:
            image = bytearray(f.read().ljust(1474560, b"\0"))
        for n in range(180, 2880):              # each sector's number in all its words
            image[n * 512:n * 512 + 512] = n.to_bytes(2, "little") * 256
        with open(disk, "wb") as f:
            f.write(image)
        with VM(["-drive", "if=floppy,format=raw,file=" + disk, "-boot", "a",
                 "-chardev", "file,id=d,path=%s/told" % d,
                 "-device", "isa-debugcon,iobase=0xe9,chardev=d"]) as vm:
            told = vm.wait_file(d + "/told", lambda t: t.endswith(b".") or b"E" in t or b"!" in t,
                                "the end", 120)
        if told != b"F" + 15 * b"K" + b".":
            raise Failed("the guest told %r" % told)
        for n in range(180, 2880):
            if n // 36 == 79:
                image[n * 512:n * 512 + 512] = b"\xf6" * 512
            elif n // 36 % 5 == 0:
                image[n * 512:n * 512 + 512] = (n ^ 0xffff).to_bytes(2, "little") * 256
        with open(disk, "rb") as f:
            after = f.read()
        for n in range(2880):
            if after[n * 512:n * 512 + 512] != image[n * 512:n * 512 + 512]:
                raise Failed("sector %d of the image is not as the guest left it" % n)


@weight(1)
def test_usb_firmware():
    """SeaBIOS is operated by a USB keyboard alone."""
    with tempfile.TemporaryDirectory() as d:
        with VM(["-machine", "pc,i8042=off", "-usb", "-device", "usb-tablet", "-device", "usb-kbd",
                 "-boot", "menu=on", "-cdrom", material.grub_cdrom(),
                 "-chardev", "file,id=d,path=%s/log" % d,
                 "-device", "isa-debugcon,iobase=0x402,chardev=d"]) as vm:
            vm.wait_text("Press .* for boot menu", 60)
            vm.key("esc")
            vm.wait_text(r"Select boot device.*\d\. DVD/CD", 30)
            vm.key("1")
            vm.wait_text("GNU GRUB", 90)
        with open(d + "/log") as f:
            expect(f.read(), "USB keyboard initialized")


# What each sends, and what Linux makes of it: type, code, value.
USB_EVENTS = {
    "Tablet": (3, [("abs", {"axis": "x", "value": 0x1234}), ("abs", {"axis": "y", "value": 0x567})],
               [(3, 0, 0x1234), (3, 1, 0x567), (0, 0, 0)]),
    "Mouse": (3, [("rel", {"axis": "x", "value": 5}), ("rel", {"axis": "y", "value": -3})],
              [(2, 0, 5), (2, 1, 0xfffffffd), (0, 0, 0)]),
    "Keyboard": (3, [("key", {"key": {"type": "qcode", "data": "f7"}, "down": True})],
                 [(4, 4, 0x70040), (1, 65, 1), (0, 0, 0)]),
}


@weight(4)
def test_usb_linux():
    """Linux drives tablet, keyboard, mouse and the hub behind which they are."""
    kernel, initrd = material.usb_kernel()
    with VM(["-usb", "-device", "usb-tablet", "-device", "usb-kbd", "-device", "usb-mouse",
             "-kernel", kernel, "-initrd", initrd, "-append", APPEND], mem="256") as vm:
        vm.wait_serial("BusyBox shell", 300)
        for name, (count, send, want) in USB_EVENTS.items():
            node = vm.shell("until grep -q 'USB %s' /proc/bus/input/devices; do sleep 0.2; done; "
                            "grep -A4 'USB %s' /proc/bus/input/devices | grep -o 'event[0-9]*'"
                            % (name, name), 120).strip()
            vm.shell("(dd if=/dev/input/%s of=/tmp/%s bs=24 count=%d 2>/dev/null &); "
                     "until ls -l /proc/[0-9]*/fd 2>/dev/null | grep -q /dev/input/; do sleep 0.1; done"
                     % (node, name, count))
            vm.cmd("input-send-event", events=[{"type": t, "data": d} for t, d in send])
            text = vm.shell("until [ $(stat -c %%s /tmp/%s) = %d ]; do sleep 0.1; done; "
                            "hexdump -v -e '24/1 \"%%02x\" \"\\n\"' /tmp/%s" % (name, 24 * count, name), 60)
            got = [struct.unpack("<16xHHI", bytes.fromhex(line)) for line in text.split()]
            if got != want:
                raise Failed("USB %s: the guest saw %s instead of %s" % (name, got, want))
        expect(vm.shell("cat /sys/bus/usb/devices/1-2/product"), "QEMU USB Hub")


def check_tone(path, hz):
    """The wav file holds two seconds of this tone in both channels, without a gap."""
    with open(path, "rb") as f:
        data = f.read()
    rate, = struct.unpack("<I", data[24:28])
    left = struct.unpack("<%dh" % ((len(data) - 44) // 2), data[44:])[::2]
    loud = [i for i, v in enumerate(left) if v]
    if not loud:
        raise Failed("the guest played nothing")
    tone = left[loud[0]:loud[-1] + 1]
    if abs(len(tone) - 2 * rate) > rate // 100:
        raise Failed("%d frames were heard instead of %d" % (len(tone), 2 * rate))
    rises = [i for i in range(1, len(tone)) if tone[i - 1] < 0 <= tone[i]]
    lengths = {b - a for a, b in zip(rises, rises[1:])}
    if not {int(rate / hz), int(rate / hz) + 1} >= lengths:
        raise Failed("waves of %s frames: there is a gap, or it is no tone of %g Hz" % (sorted(lengths), hz))


def play_tone(kernel, initrd, devices):
    with tempfile.TemporaryDirectory() as d:
        wav = d + "/out.wav"
        args = [a for dev in devices for a in ("-device", dev)]
        with VM(["-audiodev", "wav,id=snd,out.frequency=48000,path=" + wav, *args, "-kernel", kernel,
                 "-initrd", initrd, "-append", APPEND], mem="256") as vm:
            vm.wait_serial("BusyBox shell", 300)
            vm.shell("until [ -e /dev/snd/pcmC0D0p ]; do sleep 0.2; done", 120)
            expect(vm.shell("tone", 120), "played")
        check_tone(wav, 440)


def in_three_tries(play, *args):
    """A guest that does not get its share of a busy host has gaps in its sound: it may try again."""
    for _ in range(3):
        try:
            return play(*args)
        except Failed as e:
            error = e
    raise error


def sound_linux(*devices):
    in_three_tries(play_tone, *material.sound_kernel(), devices)


@weight(3)
def test_hda_linux():
    """Linux plays a tone on Intel HD Audio."""
    sound_linux("intel-hda", "hda-duplex,audiodev=snd")


@weight(3)
def test_ac97_linux():
    """... and on AC97."""
    sound_linux("AC97,audiodev=snd")


def play_sb16(kernel, initrd):
    with tempfile.TemporaryDirectory() as d:
        wav = d + "/out.wav"
        with VM(["-audiodev", "wav,id=snd,path=" + wav, "-device", "sb16,audiodev=snd", "-kernel", kernel, "-initrd",
                 initrd, "-append", APPEND + " rdinit=/orrery-sb16"], mem="256") as vm:
            vm.wait_serial(r"\nover", 300)
            expect(vm.log.decode(errors="replace"), r"(?s)played.* 5: +\d+ [^\n]*SoundBlaster")
        check_tone(wav, 440)


@weight(8)
def test_sb16_linux():
    """... and on a Sound Blaster 16, 16 bits by DMA channel 5."""
    in_three_tries(play_sb16, *material.sb16_kernel())


@weight(4)
def test_floppy_linux():
    """Linux mounts a FAT floppy, reads, writes and unmounts it; the host finds it right."""
    kernel, initrd = material.generic_kernel()
    with tempfile.TemporaryDirectory() as d:
        disk = d + "/floppy.img"
        material.fat_floppy(disk, {"HELLO.TXT": b"hello from the host\n"})
        with VM(["-kernel", kernel, "-initrd", initrd, "-append", APPEND, "-no-reboot",
                 "-drive", "if=floppy,format=raw,file=" + disk], mem="256") as vm:
            vm.wait_serial("BusyBox shell", 300)
            wait_disk(vm, "/dev/fd0")
            vm.shell("mount -t vfat /dev/fd0 /mnt", 120)
            expect(vm.shell("cat /mnt/hello.txt"), "hello from the host")
            vm.shell("i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done > /mnt/out.txt",
                     120)
            vm.shell("umount /mnt", 180)
            vm.send("poweroff -f\n")
            vm.wait_exit(60)
        got = material.fat_read(disk, "OUT.TXT")
        if got != b"".join(b"line %d\n" % i for i in range(3000)):
            raise Failed("OUT.TXT on the image is not what the guest wrote: %r..." % got[:60])


@weight(3)
def test_ide_ext4():
    """A partitioned ext4 disk is read, written and unmounted; the host finds it clean."""
    with tempfile.TemporaryDirectory() as d:
        disk, part = d + "/disk.img", d + "/part.img"
        material.ext4_disk(disk)
        with linux(["-drive", "file=%s,format=raw,if=ide" % disk, "-no-reboot"]) as vm:
            vm.wait_serial("BusyBox shell", 300)
            wait_disk(vm, "/dev/sda1")
            vm.shell("mount -t ext4 /dev/sda1 /mnt")
            expect(vm.shell("cat /mnt/hello"), "hello from the host")
            vm.shell("i=0; while [ $i -lt 200 ]; do echo line $i > /mnt/f$i; i=$((i+1)); done", 120)
            sum_in = vm.shell("dd if=/dev/urandom of=/mnt/big bs=64k count=64 2>/dev/null; "
                              "md5sum < /mnt/big", 120)
            sum_in = re.search("[0-9a-f]{32}", sum_in).group()
            vm.shell("umount /mnt; sync", 60)
            vm.send("poweroff -f\n")
            vm.wait_exit(60)
        material.partition(disk, part)
        material.run(["e2fsck", "-fn", part])
        material.run(["debugfs", "-R", "dump big %s/big" % d, part])
        with open(d + "/big", "rb") as f:
            if hashlib.md5(f.read()).hexdigest() != sum_in:
                raise Failed("the file the guest wrote reads differently on the host")
        expect(material.run(["debugfs", "-R", "cat f137", part]).stdout.decode(), "line 137")


@weight(3)
def test_cdrom_read():
    """A CD-ROM is mounted and read; its file has the right checksum."""
    cd, payload = material.data_cd()
    with open(payload, "rb") as f:
        want = hashlib.md5(f.read()).hexdigest()
    with linux(["-cdrom", cd]) as vm:
        vm.wait_serial("BusyBox shell", 300)
        wait_disk(vm, "/dev/sr0")
        vm.shell("mount -t iso9660 -o ro /dev/sr0 /mnt")
        got = vm.shell("md5sum < /mnt/payload.bin", 180).split()[0]
        if got != want:
            raise Failed("checksum %s, should be %s" % (got, want))


@weight(6)
def test_installer_serial():
    """The i386 installer comes to its first dialog on the serial port."""
    with VM(["-kernel", material.installer("linux"), "-initrd", material.installer("initrd.gz"),
             "-append", "console=ttyS0 mitigations=off priority=low TERM=vt102"], mem="512") as vm:
        vm.wait_serial("(?i)choose language|installer main menu|select a language", 900)


@weight(6)
def test_installer_vga():
    """The i386 installer comes to its first dialog on the VGA text console."""
    with VM(["-kernel", material.installer("linux"), "-initrd", material.installer("initrd.gz"),
             "-append", "mitigations=off vga=normal nomodeset fb=false"], mem="512", serial=False) as vm:
        vm.wait_text("(?i)select a language|choose language|language", 900)


# ---- memtest86+ -----------------------------------------------------------------------------

def memtest(arch):
    with VM(["-cdrom", material.memtest(arch)], mem="24") as vm:
        vm.wait_text(r"Memtest86\+", 120)
        # two tests are through when the third begins
        text = vm.wait_text(r"Test #(?:[2-9]|1\d)", 900)
        expect(text, r"Errors: +0\b")


@weight(7)
def test_memtest_ia32():
    """memtest86+ (ia32) runs its first two tests without an error."""
    memtest("ia32")


@weight(7)
def test_memtest_x64():
    """memtest86+ (x64) runs its first two tests without an error."""
    memtest("x64")


# ---- monitor --------------------------------------------------------------------------------

@weight(1)
def test_screendump_png():
    """screendump writes PNG with the right size."""
    with VM([]) as vm:
        vm.wait_text("SeaBIOS", 60)
        path = vm.dir + "/s.png"
        try:
            vm.cmd("screendump", filename=path, format="png")
        except Failed as e:
            if "no PNG support" in str(e):
                raise Skipped("this build has no PNG support")
            raise
        with open(path, "rb") as f:
            head = f.read(24)
        p = vm.picture()
        size = int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
        if head[:8] != b"\x89PNG\r\n\x1a\n" or size != (p.width, p.height):
            raise Failed("bad PNG: %r" % head)


@weight(1)
def test_stop_cont_reset():
    """stop, cont, system_reset, quit and their events."""
    with VM([]) as vm:
        vm.wait_text("No bootable device", 60)
        vm.cmd("stop")
        vm.wait_event("STOP")
        if vm.cmd("query-status")["status"] != "paused":
            raise Failed("not paused")
        vm.cmd("cont")
        vm.wait_event("RESUME")
        vm.cmd("system_reset")
        vm.wait_event("RESET")
        vm.wait_text("No bootable device", 60)
        vm.cmd("quit")
        if vm.wait_exit(10) != 0:
            raise Failed("exit status %d" % vm.proc.returncode)


@weight(1)
def test_hmp_info():
    """human-monitor-command: the info commands give tables of the machine."""
    with VM([]) as vm:
        vm.wait_text("SeaBIOS", 60)
        for what, pattern in (("registers", r"EAX=|RAX="), ("mtree", "pc.ram|ram-below-4g"),
                              ("pic", "pic|irr"), ("qtree", "PIIX3|piix3|PIIX4|piix4"),
                              ("status", "VM status: running"), ("version", r"\d+\.\d+")):
            expect(vm.cmd("human-monitor-command", command_line="info " + what), pattern)


# ---- KVM ------------------------------------------------------------------------------------

# What both accelerators have.
COMMON_CPU = ("qemu64,-pni,-vmx,-svm,-kvmclock,-kvmclock-stable-bit,-kvm-steal-time,-kvm-asyncpf,"
              "-kvm-pv-eoi,-kvm-msi-ext-dest-id")


def need_kvm():
    if not kvmhost.usable():
        raise Skipped(kvmhost.WHY_NOT)


def info_kvm(vm):
    return vm.cmd("human-monitor-command", **{"command-line": "info kvm"})


def host_tsc_hz():
    """Of a vCPU as KVM makes it."""
    create_vm, create_vcpu, get_tsc_khz = 0xae01, 0xae41, 0xaea3
    dev = os.open("/dev/kvm", os.O_RDWR)
    vm = fcntl.ioctl(dev, create_vm, 0)
    cpu = fcntl.ioctl(vm, create_vcpu, 0)
    khz = fcntl.ioctl(cpu, get_tsc_khz, 0)
    for fd in (cpu, vm, dev):
        os.close(fd)
    return khz * 1000


WRITER = ("(n=0; while :; do n=$((n+1)); dd if=/bin/busybox of=/dev/vda bs=64k seek=$((n % 40)) "
          "conv=notrunc 2>/dev/null; done) & echo $! > /writer")


def change_accel(start, others, rounds=1, smp=1):
    """Linux boots under one accelerator, and goes on under others while a program runs and a disk is
    written to; what it computes, and what is on the disk, is right."""
    need_kvm()
    cpu = COMMON_CPU + ("" if start.startswith("kvm") else ",tsc-frequency=%d" % host_tsc_hz())
    work = "i=0; while [ $i -lt 300 ]; do i=$((i+1)); done; echo $i; md5sum < /bin/busybox"
    with tempfile.TemporaryDirectory() as d:
        with open(d + "/disk", "wb") as f:
            f.truncate(8 << 20)
        with VM(["-kernel", material.kernel(), "-initrd", material.virtio_initramfs(), "-append", APPEND,
                 "-accel", start, "-cpu", cpu, "-smp", str(smp), "-device", "virtio-blk-pci,drive=d",
                 "-drive", "if=none,id=d,format=raw,file=%s/disk" % d], mem="256", accel=False) as vm:
            vm.wait_serial("BusyBox shell", 300)
            wait_disk(vm, "/dev/vda")
            first = vm.shell(work, 120)
            vm.shell("(while :; do sleep 0.01; done) & echo", 30)
            vm.shell(WRITER, 30)
            for n in range(rounds * len(others)):
                accel = others[n % len(others)]
                vm.cmd("stop")
                vm.cmd("orrery-set-accel", accel=accel)
                vm.cmd("cont")
                if vm.shell(work, 120) != first:
                    raise Failed("another result under " + accel)
            expect(first, r"300\s+[0-9a-f]{32}")
            size = int(vm.shell("kill $(cat /writer); sync; wc -c < /bin/busybox", 120).split()[-1])
            vm.shell("dd if=/bin/busybox of=/dev/vda bs=64k conv=notrunc 2>/dev/null; sync", 120)
            with open(d + "/disk", "rb") as f:
                written = hashlib.md5(f.read(size)).hexdigest()
            expect(first, written)
            return info_kvm(vm)


@weight(3)
def test_kvm_and_back():
    """Linux boots with -accel kvm, goes on under tcg, and under kvm again."""
    expect(change_accel("kvm", ("tcg", "kvm"), 2), r"assists \d+")


@weight(3)
def test_kvm_chips_and_back():
    """The same with two vCPUs and all interrupt controllers in the kernel."""
    expect(change_accel("kvm,kernel-irqchip=on", ("tcg", "kvm"), 1, smp=2), r"kernel-irqchip=on")


@weight(2)
def test_native_and_back():
    """Linux boots with native code, goes on under kvm, and natively again."""
    change_accel("tcg,engine=jit" if platform.machine() == "x86_64" else "tcg", ("kvm", "tcg"), 2)


def kvm_irqchip(where):
    """Two vCPUs with interrupt controllers in the kernel: timers, IPIs, MSIs of a virtio disk."""
    need_kvm()
    data = random.Random(4).randbytes(4 << 20)
    with tempfile.TemporaryDirectory() as d:
        with open(d + "/disk", "wb") as f:
            f.write(data)
        with VM(["-kernel", material.kernel(), "-initrd", material.virtio_initramfs(), "-append", APPEND,
                 "-accel", "kvm,kernel-irqchip=" + where, "-smp", "2", "-device", "virtio-blk-pci,drive=d",
                 "-drive", "if=none,id=d,format=raw,file=%s/disk" % d], mem="256", accel=False) as vm:
            vm.wait_serial("BusyBox shell", 300)
            expect(vm.shell("grep -c processor /proc/cpuinfo", 60), r"\b2\b")
            wait_disk(vm, "/dev/vda")
            expect(vm.shell("md5sum < /dev/vda", 120), hashlib.md5(data).hexdigest())
            interrupts = vm.shell("sleep 1; cat /proc/interrupts", 60)
            expect(interrupts, r"LOC: +[1-9]\d* +[1-9]\d*")
            counts = re.findall(r"(\d+) +(\d+) +PCI-MSI \d+-edge +virtio0-req", interrupts)
            if not any(int(n) for queue in counts for n in queue):      # a queue for each vCPU
                raise Failed("no MSI of the disk:\n" + interrupts)
            expect(info_kvm(vm), r"interrupt controllers: .*\(kernel-irqchip=%s\)" % where)


@weight(3)
def test_kvm_irqchip_on():
    """Linux with all interrupt controllers in the kernel (kernel-irqchip=on)."""
    kvm_irqchip("on")


@weight(3)
def test_kvm_irqchip_split():
    """Linux with the local APICs in the kernel (kernel-irqchip=split)."""
    kvm_irqchip("split")


@weight(2)
def test_kvm_firmware():
    """SeaBIOS run by the kernel, with its interrupt controllers, starts a virtio disk.

    The main loop hears of the disk's notifications; stores to VGA memory wait in the kernel."""
    need_kvm()
    # xor ax, ax; mov ds, ax; xor bx, bx; mov si, 7c17h; lodsb; test al, al; jz .; mov ah, 0eh; int 10h ...
    sector = bytes.fromhex("31c08ed831dbbe177cac84c07406b40ecd10ebf5f4ebfd") + b"started by the bell\0"
    with tempfile.NamedTemporaryFile() as disk:
        disk.write(sector.ljust(510, b"\0") + b"\x55\xaa" + bytes(1 << 20))
        disk.flush()
        with VM(["-accel", "kvm,kernel-irqchip=on,turns=off", "-drive", "if=virtio,format=raw,file="
                 + disk.name], accel=False) as vm:
            vm.wait_text("started by the bell", 300)
            told = info_kvm(vm)
    expect(told, r"doorbells: 1 \(rung [1-9]\d* times\)")
    expect(told, r"kind: (software|hardware)")
    expect(told, r"in the kernel \(kernel-irqchip=on\)")
    stores = re.search(r"coalesced stores: (\d+) in (\d+) rounds", told)
    if not stores or int(stores.group(1)) < 1000 or int(stores.group(2)) > int(stores.group(1)):
        raise Failed("stores to the screen were not coalesced:\n" + told)
