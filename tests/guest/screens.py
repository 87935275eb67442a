# SPDX-License-Identifier: MIT
"""The picture on the screen, pixel by pixel, beside references taken from QEMU.

    ORRERY=qemu-system-x86_64 python3 tests/guest/screens.py        takes the references anew
"""

import os
import struct
import tempfile

import material
from vm import VM, Failed

HERE = os.path.dirname(os.path.abspath(__file__))
REFERENCE = os.path.join(HERE, "vga-scenes.txt")
MODES = os.path.join(HERE, "vbe-modes.txt")
CARDS = ("std", "cirrus", "virtio")
SCENES = ["text 40x25 grey", "text 40x25", "text 80x25 grey", "text 80x25", "text monochrome",
          "text 80x50", "text bright backgrounds", "text scrolled and split", "text own font",
          "CGA 320x200", "CGA 320x200 grey", "CGA 640x200", "planar 320x200", "planar 640x200",
          "planar 640x350 mono", "planar 640x350", "planar 640x480 mono", "planar 640x480",
          "planar write modes", "planar offset", "planar panned", "packed 320x200",
          "unchained 320x240", "VBE 800x600x4", "VBE 640x480x8", "VBE 640x480x15",
          "VBE 640x480x16", "VBE 640x480x24", "VBE 800x600x24"]


def boot(name, card, d):
    """A machine that starts asm/NAME.S; what that tells goes to d/told."""
    disk = d + "/disk.img"
    with open(material.assembled(name), "rb") as f, open(disk, "wb") as g:
        g.write(f.read().ljust(1 << 20, b"\0"))
    return VM(["-vga", card, "-drive", "file=%s,format=raw,if=ide" % disk,
               "-chardev", "file,id=d,path=%s/told" % d,
               "-device", "isa-debugcon,iobase=0xe9,chardev=d"])


def show_scenes(card="std", count=None):
    """Yields each scene's picture."""
    with tempfile.TemporaryDirectory() as d:
        with boot("vga", card, d) as vm:
            for n in range(count or len(SCENES)):
                vm.wait_file(d + "/told", lambda told: len(told) > n, "scene %d" % n, 60)
                yield vm.settled_picture()
                vm.key("spc")
            if not count:
                vm.wait_file(d + "/told", lambda told: told.endswith(b"."), "the end", 60)


def show_modes(card, wanted=None):
    """Yields (mode and what it is, picture) of each VBE mode, or of those wanted."""
    with tempfile.TemporaryDirectory() as d, boot("vbe", card, d) as vm:
        at = 0
        while True:
            told = vm.wait_file(d + "/told", lambda t: len(t) >= at + 9 or t[at:] in (b"\xff\xff", b"\xee\xee"),
                                "a mode", 60)
            if len(told) < at + 9:
                break
            mode, w, h, pitch, bits = struct.unpack("<4HB", told[at:at + 9])
            at += 9
            name = "%s %03x %dx%dx%d" % (card, mode, w, h, bits)
            if wanted is None or name in wanted or bits == 4:
                yield name, vm.picture(), pitch
            vm.send(" ")


def read_reference(path=REFERENCE):
    found = {}
    with open(path) as f:
        for line in f:
            if line.strip() and not line.startswith("#"):
                name, _, rest = line.rpartition(":")
                found[name] = rest.strip()
    return found


NOT_ON_REFERENCE = ("planar panned", "VBE 800x600x4")


def pattern_rows(width, height):
    """What `fill` in asm/vga.S shows in a planar mode with all planes written: white on black."""
    for y in range(height):
        row = b""
        for di in range(y * width // 8, (y + 1) * width // 8):
            byte = (di + 2 * (di >> 8) & 0xff) ^ di >> 8
            row += b"".join(b"\xff\xff\xff" if byte & 0x80 >> k else b"\0\0\0" for k in range(8))
        yield row


def same_scene(name, picture, reference, before):
    if name == "VBE 800x600x4":         # black on the reference, which writes no plane there
        return (picture.width, picture.height) == (800, 600) and \
            all(picture.row(y) == row for y, row in enumerate(pattern_rows(800, 600)))
    if name == "planar panned":         # the scene before it, 3 pixels further left
        return all(picture.row(y)[:-9] == before.row(y)[9:] for y in range(picture.height))
    return summary(name, picture) == reference.get(name)


def summary(name, picture):
    # how 5 bits become 8 is a matter of taste: the reference takes zeros in one mode
    # and repeats the upper bits in the others
    return picture.summary(mask=0xf8 if name.endswith("x15") else 0xff)


def test_vga_scenes():
    """Every VGA mode, several VBE modes, fonts, scrolling, write modes look as on QEMU."""
    reference, wrong, before = read_reference(), [], None
    for name, picture in zip(SCENES, show_scenes()):
        if not same_scene(name, picture, reference, before):
            path = os.path.join(tempfile.gettempdir(), "scene-%s.ppm" % name.replace(" ", "-"))
            picture.save(path)
            wrong.append("%s: %s, should be %s (kept as %s)" % (
                name, summary(name, picture), reference.get(name), path))
        before = picture
    if wrong:
        raise Failed("\n".join(wrong))


test_vga_scenes.weight = 1


def other_card(card):
    """The VGA's own modes look the same on each card."""
    reference, count = read_reference(), SCENES.index("VBE 800x600x4")
    for name, picture in zip(SCENES, show_scenes(card, count)):
        if name not in NOT_ON_REFERENCE and summary(name, picture) != reference.get(name):
            raise Failed("%s on -vga %s: %s, should be %s" % (name, card, summary(name, picture), reference.get(name)))


def test_vga_scenes_cirrus():
    """-vga cirrus shows the VGA's modes as the standard card does."""
    other_card("cirrus")


def test_vga_scenes_virtio():
    """-vga virtio shows them, too, as long as no driver is there."""
    other_card("virtio")


def vbe_pattern(size):
    """The bytes that asm/vbe.S fills the memory with."""
    first, words = 0x1234, []
    for _ in range(0, size, 65536):
        bank = [first + k * 0x1235 & 0xffff for k in range(32768)]
        first = bank[-1] + 0x1235 + 0x3579 & 0xffff
        words += bank
    return struct.pack("<%dH" % len(words), *words)


def shows_planes(picture, pitch):
    """In a planar mode with all planes written: white on black.  (The reference shows nothing.)"""
    wide = [b"".join(b"\xff\xff\xff" if byte & 0x80 >> k else b"\0\0\0" for k in range(8)) for byte in range(256)]
    data = vbe_pattern(pitch * picture.height)
    return picture.data == b"".join(wide[data[y * pitch + x]] for y in range(picture.height)
                                    for x in range(picture.width // 8))


def vbe(card):
    reference, shown, wrong = read_reference(MODES), set(), []
    mine = {name for name in reference if name.startswith(card + " ")}
    for name, picture, pitch in show_modes(card, mine):
        if name.endswith("x4"):
            size = "x".join(name.split()[2].split("x")[:2])
            doubled = name.split()[1] in ("00d", "00e")         # among the scenes
            if not doubled and (size != "%dx%d" % (picture.width, picture.height) or not shows_planes(picture, pitch)):
                wrong.append("%s: not the pattern" % name)
            continue
        shown.add(name)
        if summary(name, picture) != reference[name]:
            wrong.append("%s: %s, should be %s" % (name, summary(name, picture), reference[name]))
    if shown != mine or wrong:
        raise Failed("\n".join(["not shown: %s" % n for n in sorted(mine - shown)] + wrong))


def test_vbe_modes():
    """Every VBE mode of the standard card's BIOS, filled with a pattern."""
    vbe("std")


def test_vbe_modes_cirrus():
    """The same with the Cirrus card."""
    vbe("cirrus")


def test_vbe_modes_virtio():
    """The same with virtio-vga."""
    vbe("virtio")


def main():
    with open(MODES, "w") as f:
        f.write("# Modes as asm/vbe.S shows them on QEMU's cards: card, mode, size and bits: size CRC-32\n")
        for card in CARDS:
            for name, picture, _ in show_modes(card):
                if not name.endswith("x4"):
                    f.write("%s: %s\n" % (name, summary(name, picture)))
    with open(REFERENCE, "w") as f:
        f.write("# Scenes of asm/vga.S on QEMU's -vga std with SeaBIOS' VGA BIOS: name: size CRC-32\n")
        for name, picture in zip(SCENES, show_scenes()):
            if name in NOT_ON_REFERENCE:
                continue
            f.write("%s: %s\n" % (name, summary(name, picture)))
            if os.environ.get("KEEP"):
                picture.save("%s/scene-%s.ppm" % (os.environ["KEEP"], name.replace(" ", "-")))


if __name__ == "__main__":
    main()
