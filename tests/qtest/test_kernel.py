#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""-kernel: Multiboot, PVH and Linux images of a few bytes are really started, by the firmware and
the CPU; damaged ones are refused with one line."""

import os
import random
import re
import struct
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from libqtest import EMULATOR, PATIENCE, main                       # noqa: E402

# 32-bit code that copies the string at ESI to port E9h and exits through port F4h.
PRINT = bytes.fromhex(
    "8a06" "84c0" "7405"                # 1: mov (%esi),%al; test %al,%al; jz 2f
    "e6e9" "46" "ebf5"                  #    out %al,$0xe9; inc %esi; jmp 1b
    "b011" "e6f4"                       # 2: mov $0x11,%al; out %al,$0xf4
    "f4" "ebfd")                        # 3: hlt; jmp 3b


def run(kernel, *args, timeout=60):
    """(exit status, what it printed)"""
    with tempfile.TemporaryDirectory() as d:
        path, out = os.path.join(d, "kernel"), os.path.join(d, "out")
        with open(path, "wb") as f:
            f.write(kernel)
        p = subprocess.run([EMULATOR, "-accel", "tcg", "-M", "pc", "-m", "32", "-nodefaults", "-display", "none",
                            "-kernel", path, "-chardev", "file,id=c,path=" + out,
                            "-device", "isa-debugcon,chardev=c",
                            "-device", "isa-debug-exit,iobase=0xf4", "-no-reboot", *args],
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True, timeout=timeout * PATIENCE)
        text = p.stdout
        if os.path.exists(out):
            with open(out, "rb") as f:
                text += f.read().decode(errors="replace")
        return p.returncode, re.sub(r"\S*/kernel", "KERNEL", text)


def multiboot(code, addresses=True, load=0x200000, bss=0):
    flags = 0x10003 if addresses else 3
    header = struct.pack("<III", 0x1badb002, flags, -(0x1badb002 + flags) & 0xffffffff)
    if not addresses:
        return header + code
    size = 32 + len(code)
    return header + struct.pack("<IIIII", load, load, load + size, load + size + bss, load + 32) + code


def elf(code, addr=0x300000, bits=32, entry=None, pvh=None, mem=None):
    """An executable of one segment, and a note with the PVH entry point."""
    entry = addr if entry is None else entry
    note = b""
    if pvh is not None:
        note = struct.pack("<III", 4, 4, 18) + b"Xen\0" + struct.pack("<I", pvh)
    phnum, at = (2 if note else 1), 0x200
    mem = mem or len(code)
    if bits == 32:
        ident = b"\x7fELF\1\1\1" + bytes(9)
        head = struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, entry, 52, 0, 0, 52, 32, phnum, 0, 0, 0)
        ph = struct.pack("<IIIIIIII", 1, at, addr, addr, len(code), mem, 7, 16)
        if note:
            ph += struct.pack("<IIIIIIII", 4, 0x100, 0, 0, len(note), len(note), 4, 4)
    else:
        ident = b"\x7fELF\2\1\1" + bytes(9)
        head = struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, entry, 64, 0, 0, 64, 56, phnum, 0, 0, 0)
        ph = struct.pack("<IIQQQQQQ", 1, 7, at, 0xffffffff80000000 + addr, addr, len(code), mem, 16)
        if note:
            ph += struct.pack("<IIQQQQQQ", 4, 4, 0x100, 0, 0, len(note), len(note), 4)
    image = bytearray(ident + head + ph)
    image += bytes(0x100 - len(image)) + note
    return bytes(image + bytes(at - len(image)) + code)


def print_field(offset):
    """mov OFFSET(%ebx),%esi; PRINT"""
    return b"\x8b\x73" + bytes([offset]) + PRINT


class Multiboot(unittest.TestCase):
    EXIT = 2 * 0x11 + 1

    def test_by_addresses(self):
        status, text = run(multiboot(print_field(16)), "-append", "hello world")
        self.assertEqual((status, text), (self.EXIT, "KERNEL hello world"))

    def test_elf(self):
        image = bytearray(elf(print_field(16)))
        head = multiboot(b"", addresses=False)
        image[0x140:0x140 + len(head)] = head
        self.assertEqual(run(bytes(image), "-append", "x"), (self.EXIT, "KERNEL x"))

    def test_low_elf(self):
        """A kernel where the boot information usually lies: that goes elsewhere."""
        # the code's last byte lies behind 9500h and must be what it was: cmpb $0x5a,0x97ff
        check = b"\x80\x3d\xff\x97\x00\x00\x5a\x74\x01\xf4"
        code = (check + print_field(16)).ljust(0x17ff, b"\0") + b"\x5a"
        image = bytearray(elf(code, addr=0x8000))
        head = multiboot(b"", addresses=False)
        image[0x140:0x140 + len(head)] = head
        self.assertEqual(run(bytes(image), "-append", "low"), (self.EXIT, "KERNEL low"))

    def test_magic(self):
        # cmp $0x2badb002,%eax; je .+1; hlt (at .+8); then print
        code = b"\x3d\x02\xb0\xad\x2b\x74\x01\xf4" + print_field(64)
        status, text = run(multiboot(code))
        self.assertEqual(status, self.EXIT)
        self.assertRegex(text, "^(orrery|qemu)")

    def test_modules(self):
        with tempfile.TemporaryDirectory() as d:
            for n in "ab":
                with open(os.path.join(d, n), "w") as f:
                    f.write("module %s\0" % n)
            spec = "%s/a one,%s/b two" % (d, d)
            # mods_addr -> second row -> start / string
            second = b"\x8b\x5b\x18\x8b\x73\x10" + PRINT
            self.assertEqual(run(multiboot(second), "-initrd", spec), (self.EXIT, "module b"))
            string = b"\x8b\x5b\x18\x8b\x73\x08" + PRINT
            self.assertEqual(run(multiboot(string), "-initrd", spec), (self.EXIT, d + "/a one"))

    def test_memory_map(self):
        # find the row with base 100000h; print its type
        code = self.assemble("""
            mov 48(%ebx), %esi
            mov 44(%ebx), %edi
            add %esi, %edi
        1:  cmp %edi, %esi
            jae 3f
            cmpl $0x100000, 4(%esi)
            je 2f
            add (%esi), %esi
            add $4, %esi
            jmp 1b
        2:  mov $'R', %al
            out %al, $0xe9
            mov 20(%esi), %al
            add $'0', %al
            out %al, $0xe9
        3:  mov $0x11, %al
            out %al, $0xf4
            hlt""")
        self.assertEqual(run(multiboot(code)), (self.EXIT, "R1"))

    def assemble(self, text):
        with tempfile.TemporaryDirectory() as d:
            o, b = os.path.join(d, "o"), os.path.join(d, "b")
            p = subprocess.run(["as", "--32", "-o", o], input=text + "\n", text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if p.returncode:
                self.skipTest("no assembler for x86")
            subprocess.run(["objcopy", "-O", "binary", "-j", ".text", o, b], check=True)
            with open(b, "rb") as f:
                return f.read()

    def test_bss_is_zero(self):
        code = self.assemble("""
            mov $0x200000 + 0x1000, %esi
            mov $0x2000, %ecx
        1:  cmpb $0, (%esi)
            jne 2f
            inc %esi
            loop 1b
            mov $'Z', %al
            out %al, $0xe9
        2:  mov $0x11, %al
            out %al, $0xf4
            hlt""")
        self.assertEqual(run(multiboot(code, bss=0x8000)), (self.EXIT, "Z"))


class Pvh(unittest.TestCase):
    EXIT = 2 * 0x11 + 1

    def test_starts(self):
        for bits in (32, 64):
            with self.subTest(bits=bits):
                image = elf(print_field(24), bits=bits, entry=0x123456, pvh=0x300000)
                self.assertEqual(run(image, "-append", "from PVH"), (self.EXIT, "from PVH"))

    def test_initrd(self):
        with tempfile.NamedTemporaryFile() as f:
            f.write(b"the ramdisk\0")
            f.flush()
            code = b"\x8b\x5b\x10\x8b\x33" + PRINT      # modlist[0].paddr
            self.assertEqual(run(elf(code, pvh=0x300000), "-initrd", f.name),
                             (self.EXIT, "the ramdisk"))


def bzimage(code=b"", version=0x020f, sectors=1, loadflags=1, body=b"kernel" * 100, cmdline_size=255,
            initrd_max=0x7fffffff):
    """Setup code of 1 + sectors sectors that jumps to `code` (16 bits) in the second one."""
    image = bytearray((1 + sectors) * 512)
    image[0x1f1] = sectors
    struct.pack_into("<H", image, 0x1fe, 0xaa55)
    image[0x200:0x202] = b"\xeb\x6a"                    # jmp 26ch
    image[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", image, 0x206, version)
    image[0x211] = loadflags
    struct.pack_into("<I", image, 0x22c, initrd_max)
    struct.pack_into("<H", image, 0x236, 0)
    struct.pack_into("<I", image, 0x238, cmdline_size)
    image[0x26c:0x26c + len(code)] = code
    return bytes(image) + body


# 16-bit: print the string at the pointer in the header (below 1 MiB), then exit.
LINUX_PRINT = bytes.fromhex(
    "66a12802" "66c1e804" "8ec0" "31f6"         # mov 228h,%eax; shr $4,%eax; mov %ax,%es; xor %si,%si
    "268a04" "84c0" "7405"                      # 1: mov %es:(%si),%al; test; jz 2f
    "e6e9" "46" "ebf4"                          #    out; inc %si; jmp 1b
    "b011" "e6f4" "f4" "ebfd")


class Linux(unittest.TestCase):
    EXIT = 2 * 0x11 + 1

    def test_real_mode_entry(self):
        self.assertEqual(run(bzimage(LINUX_PRINT), "-append", "root=/dev/x quiet"),
                         (self.EXIT, "root=/dev/x quiet"))

    def header(self, image, *args):
        """The setup code as the firmware gets it, through fw_cfg."""
        from test_fwcfg import FwCfg
        from libqtest import QTest
        with tempfile.TemporaryDirectory() as d:
            path = os.path.join(d, "k")
            with open(path, "wb") as f:
                f.write(image)
            with QTest(["-M", "pc", "-m", "64", "-vga", "none", "-kernel", path, *args]) as q:
                f = FwCfg(q)
                size = struct.unpack("<I", f.item(0x17, 4))[0]
                items = {n: struct.unpack("<I", f.item(k, 4))[0] for n, k in
                         (("kernel", 7), ("kernel_size", 8), ("initrd", 10), ("initrd_size", 11),
                          ("cmdline", 0x13), ("setup", 0x16))}
                return f.item(0x18, size), items

    def test_header(self):
        with tempfile.NamedTemporaryFile() as f:
            f.write(bytes(5000))
            f.flush()
            h, items = self.header(bzimage(), "-append", "a vga=ask", "-initrd", f.name)
        self.assertEqual(items["setup"], 0x10000)
        self.assertEqual(items["kernel"], 0x100000)
        self.assertEqual(items["kernel_size"], 600)
        self.assertEqual(h[0x210], 0xb0)
        self.assertEqual(h[0x211], 0x81)
        self.assertEqual(struct.unpack_from("<H", h, 0x1fa)[0], 0xfffd)
        self.assertEqual(struct.unpack_from("<I", h, 0x228)[0], items["cmdline"])
        self.assertEqual(struct.unpack_from("<II", h, 0x218), (items["initrd"], 5000))
        self.assertEqual(items["initrd"] % 4096, 0)
        self.assertLess(items["initrd"] + 5000, 64 << 20)

    def test_initrd_limit(self):
        with tempfile.NamedTemporaryFile() as f:
            f.write(bytes(5000))
            f.flush()
            _, items = self.header(bzimage(initrd_max=0x1ffffff), "-initrd", f.name)
        self.assertEqual(items["initrd"], 0x2000000 - 8192)

    def test_old_protocols(self):
        h, items = self.header(bzimage(version=0x0201))
        self.assertEqual(items["setup"], 0x90000)
        self.assertEqual(struct.unpack_from("<H", h, 0x20)[0], 0xa33f)
        self.assertEqual(items["setup"] + struct.unpack_from("<H", h, 0x22)[0], items["cmdline"])
        h, items = self.header(bzimage(version=0x0200, loadflags=0))
        self.assertEqual(items["kernel"], 0x10000)


class Refused(unittest.TestCase):
    def refused(self, image, word, *args):
        with tempfile.NamedTemporaryFile() as f:
            f.write(image)
            f.flush()
            p = subprocess.run([EMULATOR, "-M", "pc", "-m", "32", "-nodefaults", "-display", "none",
                                "-S", "-kernel", f.name, *args], stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, timeout=60 * PATIENCE)
        self.assertEqual((p.returncode, len(p.stdout.splitlines())), (1, 1), p.stdout)
        self.assertIn(word, p.stdout)

    def test_unknown(self):
        self.refused(b"", "bytes")
        self.refused(b"x" * 5000, "neither")
        self.refused(elf(PRINT), "without a Multiboot header")

    def test_linux(self):
        self.refused(bzimage(body=b""), "cut short")
        self.refused(bzimage(sectors=60)[:1024], "cut short")
        self.refused(bzimage(version=0x0900), "protocol 9")
        self.refused(bzimage(loadflags=0, body=bytes(600000)), "zImage")
        self.refused(bzimage(body=bytes(40 << 20)), "fit")
        self.refused(bzimage(), "characters", "-append", "x" * 300)
        self.refused(bzimage(), "-initrd", "-initrd", "/nowhere")
        self.refused(bzimage(), "video mode", "-append", "vga=blue")
        with tempfile.NamedTemporaryFile() as f:
            f.truncate(40 << 20)
            self.refused(bzimage(), "room", "-initrd", f.name)

    def test_elf_and_multiboot(self):
        self.refused(elf(PRINT, pvh=0x300000, addr=0xf0000), "memory")
        self.refused(elf(PRINT, pvh=0x8000, addr=0x8000), "memory")
        self.refused(elf(PRINT, pvh=0x300000, addr=0x7f000000), "memory")
        self.refused(elf(PRINT, pvh=0x300000, mem=0xf0000000), "memory")
        self.refused(multiboot(PRINT, load=0x1000), "memory")
        self.refused(multiboot(PRINT, bss=0x7ff00000), "memory")
        image = bytearray(multiboot(PRINT))
        struct.pack_into("<I", image, 16, 0x300000)     # load address above the header's
        self.refused(image, "contradict")
        self.refused(multiboot(PRINT)[:28] + b"\0" * 40, "entry point")
        self.refused(multiboot(PRINT, addresses=False), "neither ELF")
        self.refused(multiboot(PRINT), "-initrd", "-initrd", "/nowhere")
        self.refused(multiboot(PRINT), "-dtb", "-dtb", "/nowhere")

    def test_random_damage(self):
        """No image whatsoever crashes the loader."""
        rng = random.Random(int(os.environ.get("ORRERY_SEED", "1")))
        images = [bzimage(), elf(PRINT, pvh=0x300000), elf(PRINT, bits=64, pvh=0x300000), multiboot(PRINT)]
        with tempfile.TemporaryDirectory() as d:
            path = os.path.join(d, "k")
            for _ in range(60):
                image = bytearray(rng.choice(images))
                for _ in range(rng.randrange(1, 8)):
                    image[rng.randrange(min(len(image), 0x240))] = rng.choice([0, 0xff, 0x80, rng.randrange(256)])
                with open(path, "wb") as f:
                    f.write(image[:rng.choice([len(image), len(image), rng.randrange(len(image) + 1)])])
                p = subprocess.run([EMULATOR, "-M", "pc", "-m", "32", "-nodefaults", "-display", "none", "-S",
                                    "-kernel", path, "-qmp", "stdio"],
                                   input='{"execute":"qmp_capabilities"}{"execute":"quit"}', text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60 * PATIENCE)
                self.assertIn(p.returncode, (0, 1), p.stderr)


if __name__ == "__main__":
    main()
