# SPDX-License-Identifier: MIT
"""A driver of the virtio graphics device, for tests."""

import struct

from virtio import VirtIO

(GET_DISPLAY_INFO, CREATE_2D, UNREF, SET_SCANOUT, FLUSH, TRANSFER, ATTACH, DETACH) = range(0x100, 0x108)
GET_EDID, CREATE_BLOB, SET_SCANOUT_BLOB, UPDATE_CURSOR, MOVE_CURSOR = 0x10a, 0x10c, 0x10d, 0x300, 0x301
OK, OK_DISPLAY_INFO, OK_EDID = 0x1100, 0x1101, 0x1104
ERR, ERR_MEMORY, ERR_SCANOUT, ERR_RESOURCE, ERR_CONTEXT, ERR_PARAMETER = range(0x1200, 0x1206)
F_EDID, F_BLOB = 1 << 1, 1 << 3
# What a format's four bytes are, in memory
FORMATS = {1: "bgra", 2: "bgrx", 3: "argb", 4: "xrgb", 67: "rgba", 68: "xbgr", 121: "abgr", 134: "rgbx"}


def packed(rgb, format=2):
    """Pixels as (r, g, b), in a format's bytes."""
    return b"".join(bytes(p["rgb".index(c)] if c in "rgb" else 0x5a for c in FORMATS[format])
                    for p in rgb)


class GPU(VirtIO):
    def __init__(self, q, devfn, vga=False, want=F_EDID | F_BLOB):
        super().__init__(q, devfn, vga=vga)
        self.setup(want, (0, 1))

    def command(self, kind, body=b"", fence=None, room=1200):
        """(answer, what comes with it)"""
        self.next_memory = 0x600000
        head = struct.pack("<IIQII", kind, fence is not None, fence or 0, 7 if fence else 0, 0)
        got, length = self.run(0, [head + body], [room])
        answer, flags, fence_id, context, _ = struct.unpack("<IIQII", got[:24])
        assert (flags, fence_id) == ((1, fence) if fence is not None else (0, 0))
        return answer, got[24:length]

    def do(self, kind, fmt="", *values, extra=b""):
        return self.command(kind, struct.pack("<" + fmt, *values) + extra)[0]

    def create(self, n, w, h, format=2):
        return self.do(CREATE_2D, "4I", n, format, w, h)

    def attach(self, n, entries):
        return self.do(ATTACH, "II", n, len(entries),
                       extra=b"".join(struct.pack("<QII", a, size, 0) for a, size in entries))

    def transfer(self, n, x, y, w, h, offset=0):
        return self.do(TRANSFER, "4IQII", x, y, w, h, offset, n, 0)

    def scanout(self, head, n, x, y, w, h):
        return self.do(SET_SCANOUT, "6I", x, y, w, h, head, n)

    def flush(self, n, x, y, w, h):
        return self.do(FLUSH, "6I", x, y, w, h, n, 0)

    def picture(self, n, w, h, format, data, at=0x800000, head=0):
        """A resource with this content, shown."""
        self.q.write(at, data)
        assert self.create(n, w, h, format) == OK
        assert self.attach(n, [(at, len(data))]) == OK
        assert self.transfer(n, 0, 0, w, h) == OK
        assert self.scanout(head, n, 0, 0, w, h) == OK
        assert self.flush(n, 0, 0, w, h) == OK

    def cursor(self, head, x, y, n=None, hot=(0, 0)):
        self.next_memory = 0x600000
        kind = MOVE_CURSOR if n is None else UPDATE_CURSOR
        self.run(1, [struct.pack("<IIQII8I", kind, 0, 0, 0, 0, head, x, y, 0, n or 0, *hot, 0)], [])

    def display_info(self):
        """[(x, y, w, h)] or None for each scanout"""
        answer, body = self.command(GET_DISPLAY_INFO)
        assert answer == OK_DISPLAY_INFO and len(body) == 24 * 16
        found = [struct.unpack("<6I", body[24 * k:24 * k + 24]) for k in range(16)]
        return [f[:4] if f[4] else None for f in found]

    def edid(self, head):
        answer, body = self.command(GET_EDID, struct.pack("<II", head, 0))
        return body[8:8 + struct.unpack("<I", body[:4])[0]] if answer == OK_EDID else None
