# SPDX-License-Identifier: MIT
"""Pictures of the guest's screen: reading PPM files, and reading text out of text modes.

Text is found by matching character cells with the 8x16 font of the VGA BIOS, which is searched
for in the ROM image the emulator uses.
"""

import os
import zlib

import material


def vga_font():
    """256 glyphs of 16 rows from a VGA BIOS: the table is known by its first two glyphs
    (an empty one, and the white smiling face's outline 7E 81 A5 81)."""
    for name in ("vgabios-stdvga.bin", "vgabios.bin"):
        path = os.path.join(material.firmware_dir(), name)
        if not os.path.exists(path):
            continue
        with open(path, "rb") as f:
            rom = f.read()
        at = rom.find(bytes(16) + bytes((0, 0, 0x7e, 0x81, 0xa5, 0x81)))
        if at >= 0:
            return [rom[at + 16 * k:at + 16 * k + 16] for k in range(256)]
    raise material.Missing("no VGA BIOS with an 8x16 font (Debian package: seabios)")


class Picture:
    glyphs = None

    def __init__(self, width, height, data):
        self.width, self.height, self.data = width, height, data

    @classmethod
    def load(cls, path):
        with open(path, "rb") as f:
            blob = f.read()
        head, at = [], 0
        while len(head) < 4:                        # P6 width height 255
            while blob[at:at + 1].isspace():
                at += 1
            if blob[at:at + 1] == b"#":
                at = blob.index(b"\n", at)
                continue
            end = at
            while not blob[end:end + 1].isspace():
                end += 1
            head.append(blob[at:end])
            at = end
        if head[0] != b"P6":
            raise ValueError("not a PPM file")
        return cls(int(head[1]), int(head[2]), blob[at + 1:])

    def save(self, path):
        with open(path, "wb") as f:
            f.write(b"P6\n%d %d\n255\n" % (self.width, self.height) + self.data)

    def summary(self, mask=0xff):
        """Size and CRC-32 of the pixels' bits in mask, as the reference files have them."""
        data = self.data if mask == 0xff else self.data.translate(bytes(b & mask for b in range(256)))
        return "%dx%d %08x" % (self.width, self.height, zlib.crc32(data))

    def row(self, y):
        return self.data[y * self.width * 3:(y + 1) * self.width * 3]

    def pixel(self, x, y):
        at = (y * self.width + x) * 3
        return self.data[at:at + 3]

    def colours(self):
        return {self.data[k:k + 3] for k in range(0, len(self.data), 3)}

    def cell(self, x, y, w):
        """The cell's 16 rows as bits, foreground = what differs from the majority."""
        rows = []
        first = None
        for r in range(16):
            at = ((y + r) * self.width + x) * 3
            line = self.data[at:at + 8 * 3]
            px = [line[k:k + 3] for k in range(0, 24, 3)]
            if first is None:
                first = px[0]
            bits = 0
            for p in px:
                bits = bits << 1 | (p != first)
            rows.append(bits)
        return bytes(rows)

    def text(self):
        """Lines of an 8x16 or 9x16 text mode, unknown cells as '?'; '' for other pictures."""
        if Picture.glyphs is None:
            Picture.glyphs = {}
            for code, g in enumerate(vga_font()):
                ch = chr(code) if 32 <= code < 127 else " " if code in (0, 255) else "#"
                Picture.glyphs.setdefault(bytes(g), ch)
                Picture.glyphs.setdefault(bytes(b ^ 255 for b in g), ch)
        w = 9 if self.width == 720 else 8
        if self.height % 16 or self.width % w:
            return ""
        lines = []
        for y in range(0, self.height, 16):
            line = ""
            for x in range(0, self.width, w):
                cell = self.cell(x, y, w)
                ch = self.glyphs.get(cell)
                if ch is None and cell[-2:] in (b"\xff\xff", b"\0\0"):
                    ch = self.glyphs.get(cell[:-2] + b"\0\0")       # under the cursor
                line += ch or "?"
            lines.append(line.rstrip())
        return "\n".join(lines)
