# SPDX-License-Identifier: MIT
"""A VNC client for tests: the handshake, every encoding decoded, pictures to compare with a
screendump.  Written from RFC 6143 and the rfbproto document."""

import base64
import ctypes
import hashlib
import os
import select
import socket
import ssl
import struct
import time
import zlib

PATIENCE = float(os.environ.get("ORRERY_PATIENCE", "1"))

RAW, COPYRECT, RRE, HEXTILE, ZLIB, TIGHT, ZRLE = 0, 1, 2, 5, 6, 7, 16
DESKTOP_SIZE, LAST_RECT, CURSOR, POINTER_TYPE, EXT_KEY = -223, -224, -239, -257, -258
AUDIO, LED_STATE, EXT_DESKTOP_SIZE, XVP, ALPHA_CURSOR, WMVI = -259, -261, -308, -309, -314, 0x574d5669
NONE, VNC, VENCRYPT, SASL = 1, 2, 19, 20


class Refused(Exception):
    """The server says no."""


class Closed(Exception):
    """The server hung up."""


class Format:
    """bits per pixel, depth, big endian, true colour, maxima, shifts"""

    def __init__(self, bpp=32, depth=24, big=False, true=True, maxima=(255, 255, 255),
                 shifts=(16, 8, 0)):
        self.bpp, self.depth, self.big, self.true = bpp, depth, big, true
        self.maxima, self.shifts = maxima, shifts

    def pack(self):
        return struct.pack(">BBBBHHHBBBxxx", self.bpp, self.depth, self.big, self.true,
                           *self.maxima, *self.shifts)

    @classmethod
    def unpack(cls, data):
        v = struct.unpack(">BBBBHHHBBBxxx", data)
        return cls(v[0], v[1], bool(v[2]), bool(v[3]), v[4:7], v[7:10])

    @property
    def size(self):
        return self.bpp // 8

    def value(self, data):
        return int.from_bytes(data, "big" if self.big else "little")

    def short(self):
        """Offset of the three bytes of a ZRLE pixel, or None."""
        if self.bpp != 32 or self.depth > 24 or not self.true:
            return None
        used = 0
        for m, s in zip(self.maxima, self.shifts):
            used |= m << s
        if not used & 0xff000000:
            return 1 if self.big else 0
        return (0 if self.big else 1) if not used & 0xff else None

    def rgb888(self):
        return self.bpp == 32 and self.depth == 24 and self.true and self.maxima == (255,) * 3


FORMATS = {
    "rgb32": Format(), "rgb32 big": Format(big=True),
    "bgr32": Format(shifts=(0, 8, 16)), "rgb32 high": Format(shifts=(24, 16, 8)),
    "rgb565": Format(16, 16, False, True, (31, 63, 31), (11, 5, 0)),
    "rgb565 big": Format(16, 16, True, True, (31, 63, 31), (11, 5, 0)),
    "rgb555": Format(16, 15, False, True, (31, 31, 31), (10, 5, 0)),
    "bgr233": Format(8, 8, False, True, (7, 7, 3), (0, 3, 6)),
    "mapped": Format(8, 8, False, False, (0, 0, 0), (0, 0, 0)),
}


def des_block(key, data):
    """One block of DES, by the library that the emulator links too."""
    class Datum(ctypes.Structure):
        _fields_ = [("data", ctypes.c_char_p), ("size", ctypes.c_uint)]
    lib, handle, out = ctypes.CDLL("libgnutls.so.30"), ctypes.c_void_p(), ctypes.create_string_buffer(8)
    des_cbc = 90 if lib.gnutls_cipher_get_id(b"DES-CBC") == 0 else lib.gnutls_cipher_get_id(b"DES-CBC")
    assert lib.gnutls_cipher_init(ctypes.byref(handle), des_cbc, ctypes.byref(Datum(key, 8)),
                                  ctypes.byref(Datum(bytes(8), 8))) >= 0
    assert lib.gnutls_cipher_encrypt2(handle, data, ctypes.c_size_t(8), out, ctypes.c_size_t(8)) >= 0
    lib.gnutls_cipher_deinit(handle)
    return out.raw


class Client:
    """One connection.  where: (host, port) or a path; more in the keywords."""

    def __init__(self, where, version=b"RFB 003.008\n", password=None, shared=True, tls=None,
                 websocket=False, wss=False, handshake=True, timeout=20, sock=None, sasl=None):
        self.sasl, self.layer = sasl, None
        self.timeout = timeout * PATIENCE
        self.sock = sock or socket.socket(socket.AF_UNIX if isinstance(where, str) else socket.AF_INET)
        self.sock.settimeout(self.timeout)
        if not sock:
            self.sock.connect(where)
        if wss:
            self.sock = wss.wrap_socket(self.sock)
        self.buf = b""
        self.websocket = websocket or bool(wss)
        self.ws_buf = b""
        self.messages = []          # (type, data) of what is no update
        self.streams = {}
        self.size = self.fb = None
        self.format = Format()
        self.palette = [(0, 0, 0)] * 256
        self.pseudo = []            # of (encoding, x, y, w, h, data)
        self.seen = set()           # encodings that came
        self.bytes = 0
        try:
            if self.websocket:
                self.upgrade()
            if handshake:
                self.handshake(version, password, shared, tls)
        except BaseException:
            self.sock.close()
            raise

    # ---- transport ----

    def upgrade(self, extra=b""):
        key = base64.b64encode(os.urandom(16))
        self.sock.sendall(b"GET /websockify HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
                          b"Connection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                          b"Sec-WebSocket-Protocol: binary\r\nSec-WebSocket-Key: " + key
                          + b"\r\n" + extra + b"\r\n")
        data = b""
        while b"\r\n\r\n" not in data:
            more = self.sock.recv(1)
            if not more:
                raise Closed
            data += more
        if b" 101 " not in data.split(b"\r\n")[0]:
            raise Refused(data)
        accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        if accept not in data:
            raise Refused("wrong accept: %r" % data)

    def receive(self):
        try:
            data = self.sock.recv(1 << 16)
        except (ConnectionError, ssl.SSLError):
            data = b""
        if not data:
            raise Closed
        self.bytes += len(data)
        if not self.websocket:
            self.buf += self.layer.decode(data) if self.layer else data
            return
        self.ws_buf += data
        while len(self.ws_buf) >= 2:
            n, at = self.ws_buf[1] & 0x7f, 2
            if n == 126:
                n, at = int.from_bytes(self.ws_buf[2:4], "big"), 4
            elif n == 127:
                n, at = int.from_bytes(self.ws_buf[2:10], "big"), 10
            if len(self.ws_buf) < at + n:
                return
            op, body = self.ws_buf[0] & 15, self.ws_buf[at:at + n]
            self.ws_buf = self.ws_buf[at + n:]
            if op == 2:
                self.buf += self.layer.decode(body) if self.layer else body
            else:
                self.messages.append(("ws", op, body))

    def read(self, n):
        while len(self.buf) < n:
            self.receive()
        data, self.buf = self.buf[:n], self.buf[n:]
        return data

    def u8(self):
        return self.read(1)[0]

    def u16(self):
        return int.from_bytes(self.read(2), "big")

    def u32(self):
        return int.from_bytes(self.read(4), "big")

    def ws_frame(self, data, opcode=2, mask=b"\x11\x22\x33\x44"):
        n = len(data)
        head = bytes([0x80 | opcode]) + (bytes([0x80 | n]) if n < 126 else
                                         b"\xfe" + n.to_bytes(2, "big") if n < 65536 else
                                         b"\xff" + n.to_bytes(8, "big"))
        return head + mask + bytes(b ^ mask[i & 3] for i, b in enumerate(data))

    def send(self, data):
        if self.layer:
            data = self.layer.encode(data)
        self.sock.sendall(self.ws_frame(data) if self.websocket else data)

    def waiting(self, seconds):
        return bool(self.buf) or bool(select.select([self.sock], [], [], seconds)[0])

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    # ---- handshake ----

    def handshake(self, version, password, shared, tls):
        assert self.read(12) == b"RFB 003.008\n"
        self.send(version)
        minor = int(version[8:11])
        if minor == 3:
            kind = self.u32()
            if kind == 0:
                raise Refused(self.read(self.u32()))
        else:
            kinds = self.read(self.u8())
            if not kinds:
                raise Refused(self.read(self.u32()))
            kind = kinds[0]
            self.send(bytes([kind]))
        self.security = kind
        if kind == VENCRYPT:
            kind = self.vencrypt(tls)
        if kind == VNC:
            challenge = self.read(16)
            key = bytes(int("{:08b}".format(b)[::-1], 2) for b in password.encode()[:8].ljust(8, b"\0"))
            self.send(des_block(key, challenge[:8]) + des_block(key, challenge[8:]))
        if kind == SASL:
            self.authenticate()
        if kind in (VNC, SASL) or minor >= 8 or self.security == VENCRYPT:
            if self.u32():
                raise Refused(self.read(self.u32()) if minor >= 8 else b"")
        if kind == SASL and self.sasl.layer():
            self.layer = self.sasl
        self.send(bytes([shared]))
        w, h = self.u16(), self.u16()
        self.server_format = Format.unpack(self.read(16))
        self.name = self.read(self.u32()).decode()
        self.resize(w, h)

    def vencrypt(self, tls):
        assert self.read(2) == b"\0\2"
        self.send(b"\0\2")
        assert self.u8() == 0
        subs = struct.unpack(">%dI" % (n := self.u8()), self.read(4 * n))
        self.subauth = subs[0]
        self.send(struct.pack(">I", subs[0]))
        assert self.u8() == 1
        self.sock = tls.wrap_socket(self.sock, server_hostname="localhost")
        return VNC if subs[0] in (258, 261) else SASL if subs[0] in (263, 264) else NONE

    def sasl_send(self, data):
        self.send(struct.pack(">I", len(data) + 1) + data + b"\0" if data is not None else bytes(4))

    def authenticate(self):
        self.mechanisms = self.read(self.u32()).decode()
        name, data = self.sasl.start(self.mechanisms)
        self.mechanism = name
        self.send(struct.pack(">I", len(name)) + name.encode())
        self.sasl_send(data)
        while True:
            n = self.u32()
            data = None if n == 0 else b"" if n == 1 else self.read(n - 1)
            if n:
                assert self.read(1) == b"\0"
            if self.u8():
                if data:
                    self.sasl.step(data)
                return
            self.sasl_send(self.sasl.step(data))

    # ---- requests ----

    def set_format(self, f):
        self.format = f
        self.send(b"\0\0\0\0" + f.pack())

    def set_encodings(self, *encodings):
        self.send(struct.pack(">BxH%di" % len(encodings), 2, len(encodings), *encodings))

    def request(self, incremental=False, area=None):
        x, y, w, h = area or (0, 0, *self.size)
        self.send(struct.pack(">BBHHHH", 3, incremental, x, y, w, h))

    def key(self, keysym, down):
        self.send(struct.pack(">BBxxI", 4, down, keysym))

    def ext_key(self, keysym, code, down):
        self.send(struct.pack(">BBHII", 255, 0, down, keysym, code))

    def type(self, *keysyms):
        for k in keysyms:
            self.key(k, True)
        for k in reversed(keysyms):
            self.key(k, False)

    def pointer(self, x, y, buttons=0):
        self.send(struct.pack(">BBHH", 5, buttons, x, y))

    # ---- what comes ----

    def resize(self, w, h):
        self.size = w, h
        self.fb = [[(0, 0, 0)] * w for _ in range(h)]

    def message(self):
        """Takes one message; its type.  Updates go to the picture."""
        kind = self.u8()
        if kind == 0:
            self.read(1)
            for _ in range(self.u16()):
                if self.rectangle() == LAST_RECT:
                    break
        elif kind == 1:
            self.read(1)
            first, n = self.u16(), self.u16()
            for i in range(n):
                self.palette[first + i] = tuple(self.u16() >> 8 for _ in range(3))
        elif kind == 3:
            self.read(3)
            self.messages.append((kind, self.read(self.u32())))
        elif kind == 250:
            self.messages.append((kind, self.read(3)))
        elif kind == 255:                   # QEMU's: sound begins (1), ends (0), comes (2)
            assert self.u8() == 1
            what = self.u16()
            self.messages.append((kind, what, self.read(self.u32()) if what == 2 else b""))
        elif kind != 2:
            raise AssertionError("message %d" % kind)
        return kind

    def update(self):
        while self.message() != 0:
            pass

    def picture(self, incremental=False):
        """The whole picture as RGB bytes, asked for until nothing more comes at once."""
        self.request(incremental)
        self.update()
        return self.pixels()

    def pixels(self):
        return b"".join(bytes(c for p in row for c in p) for row in self.fb)

    def follow(self, good, timeout=20):
        """Incremental updates until good(self)."""
        end = time.monotonic() + timeout * PATIENCE
        self.request(True)
        while not good(self):
            if time.monotonic() > end:
                raise AssertionError("the picture did not become what it should")
            if self.waiting(0.1):
                if self.message() == 0:
                    self.request(True)

    # ---- pixels ----

    def color(self, v):
        f = self.format
        if not f.true:
            return self.palette[v]
        return tuple((v >> s & m) * 255 // m for m, s in zip(f.maxima, f.shifts))

    def colors(self, data, size=None):
        size = size or self.format.size
        value, cache, out = self.format.value, {}, []
        for at in range(0, len(data), size):
            p = data[at:at + size]
            c = cache.get(p)
            if c is None:
                c = cache[p] = self.color(value(p))
            out.append(c)
        return out

    def cpixels(self, data):
        first = self.format.short()
        if first is None:
            return self.colors(data)
        return self.colors(b"".join((b"\0" if first else b"") + data[k:k + 3]
                                    + (b"" if first else b"\0") for k in range(0, len(data), 3)))

    @property
    def csize(self):
        return self.format.size if self.format.short() is None else 3

    def tpixels(self, data):
        if not self.format.rgb888():
            return self.colors(data)
        return [tuple(data[k:k + 3]) for k in range(0, len(data), 3)]

    @property
    def tsize(self):
        return 3 if self.format.rgb888() else self.format.size

    def put(self, x, y, w, h, pixels):
        for row in range(h):
            self.fb[y + row][x:x + w] = pixels[row * w:(row + 1) * w]

    def fill(self, x, y, w, h, color):
        for row in range(y, y + h):
            self.fb[row][x:x + w] = [color] * w

    # ---- rectangles ----

    def rectangle(self):
        x, y, w, h = self.u16(), self.u16(), self.u16(), self.u16()
        e = struct.unpack(">i", self.read(4))[0]
        self.seen.add(e)
        decode = {RAW: self.raw, COPYRECT: self.copyrect, RRE: self.rre, HEXTILE: self.hextile,
                  ZLIB: self.zlib_rect, TIGHT: self.tight, ZRLE: self.zrle}.get(e)
        if decode:
            assert w and h and x + w <= self.size[0] and y + h <= self.size[1], (x, y, w, h)
            decode(x, y, w, h)
        else:
            self.pseudo_rectangle(e, x, y, w, h)
        return e

    def pseudo_rectangle(self, e, x, y, w, h):
        data = b""
        if e == DESKTOP_SIZE:
            self.resize(w, h)
        elif e == EXT_DESKTOP_SIZE:
            n = self.u8()
            data = self.read(3 + 16 * n)
            if (w, h) != self.size:
                self.resize(w, h)
        elif e == CURSOR:
            data = self.read(w * h * self.format.size + (w + 7) // 8 * h)
        elif e == ALPHA_CURSOR:
            assert self.u32() == RAW
            data = self.read(4 * w * h)
        elif e == LED_STATE:
            data = self.read(1)
        elif e == WMVI:
            self.format = Format.unpack(self.read(16))
        else:
            assert e in (POINTER_TYPE, EXT_KEY, AUDIO, LAST_RECT), e
        self.pseudo.append((e, x, y, w, h, data))

    def raw(self, x, y, w, h):
        self.put(x, y, w, h, self.colors(self.read(w * h * self.format.size)))

    def copyrect(self, x, y, w, h):
        sx, sy = self.u16(), self.u16()
        rows = [self.fb[sy + r][sx:sx + w] for r in range(h)]
        for r in range(h):
            self.fb[y + r][x:x + w] = rows[r]

    def pixel(self):
        return self.colors(self.read(self.format.size))[0]

    def rre(self, x, y, w, h):
        n = self.u32()
        self.fill(x, y, w, h, self.pixel())
        for _ in range(n):
            c = self.pixel()
            sx, sy, sw, sh = self.u16(), self.u16(), self.u16(), self.u16()
            assert sx + sw <= w and sy + sh <= h
            self.fill(x + sx, y + sy, sw, sh, c)

    def hextile(self, x, y, w, h):
        bg = fg = None
        for ty in range(y, y + h, 16):
            for tx in range(x, x + w, 16):
                tw, th = min(16, x + w - tx), min(16, y + h - ty)
                mask = self.u8()
                if mask & 1:
                    self.raw(tx, ty, tw, th)
                    bg = fg = None          # the protocol promises nothing
                    continue
                if mask & 2:
                    bg = self.pixel()
                if mask & 4:
                    fg = self.pixel()
                assert bg is not None
                self.fill(tx, ty, tw, th, bg)
                for _ in range(self.u8() if mask & 8 else 0):
                    c = self.pixel() if mask & 16 else fg
                    assert c is not None
                    a, b = self.u8(), self.u8()
                    sx, sy, sw, sh = a >> 4, a & 15, (b >> 4) + 1, (b & 15) + 1
                    assert sx + sw <= tw and sy + sh <= th
                    self.fill(tx + sx, ty + sy, sw, sh, c)
                if mask & 16:
                    fg = None

    def inflate(self, name, data):
        if name not in self.streams:
            self.streams[name] = zlib.decompressobj()
        return self.streams[name].decompress(data)

    def zlib_rect(self, x, y, w, h):
        data = self.inflate("zlib", self.read(self.u32()))
        assert len(data) == w * h * self.format.size
        self.put(x, y, w, h, self.colors(data))

    def zrle(self, x, y, w, h):
        data, at = self.inflate("zrle", self.read(self.u32())), 0
        for ty in range(y, y + h, 64):
            for tx in range(x, x + w, 64):
                at = self.zrle_tile(data, at, tx, ty, min(64, x + w - tx), min(64, y + h - ty))
        assert at == len(data)

    def zrle_tile(self, d, at, x, y, w, h):
        kind, size, n = d[at], self.csize, w * h
        at += 1
        if kind == 0:
            self.put(x, y, w, h, self.cpixels(d[at:at + n * size]))
            return at + n * size
        colors = kind & 0x7f
        palette = self.cpixels(d[at:at + colors * size])
        at += colors * size
        if kind == 1:
            self.fill(x, y, w, h, palette[0])
            return at
        out = []
        if kind <= 16:
            bits = 1 if kind == 2 else 2 if kind <= 4 else 4
            for _ in range(h):
                row = d[at:at + (w * bits + 7) // 8]
                at += len(row)
                out += [palette[row[i * bits // 8] >> (8 - bits - i * bits % 8) & ((1 << bits) - 1)]
                        for i in range(w)]
        while len(out) < n:
            run = 1
            if kind == 128:
                c = self.cpixels(d[at:at + size])[0]
                at += size
            else:
                index = d[at]
                c = palette[index & 0x7f]
                at += 1
            if kind == 128 or index & 0x80:
                while d[at] == 255:
                    run += 255
                    at += 1
                run += d[at]
                at += 1
            out += [c] * run
        assert len(out) == n
        self.put(x, y, w, h, out)
        return at

    def tight_length(self):
        n = self.u8()
        if n & 0x80:
            n = n & 0x7f | self.u8() << 7
            if n & 0x4000:
                n = n & 0x3fff | self.u8() << 14
        return n

    def tight_data(self, stream, n):
        if n < 12:
            return self.read(n)
        data = self.inflate("tight%d" % stream, self.read(self.tight_length()))
        assert len(data) == n, (len(data), n)
        return data

    def tight(self, x, y, w, h):
        control = self.u8()
        assert not control & 15 and w <= 2048
        if control == 0x80:
            self.fill(x, y, w, h, self.tpixels(self.read(self.tsize))[0])
            return
        if control == 0x90:
            self.jpeg(x, y, w, h, self.read(self.tight_length()))
            return
        stream, kind = control >> 4 & 3, self.u8() if control & 0x40 else 0
        self.seen.add("tight filter %d" % kind)
        if kind == 1:
            palette = self.tpixels(self.read((self.u8() + 1) * self.tsize))
            if len(palette) == 2:
                data = self.tight_data(stream, (w + 7) // 8 * h)
                n = (w + 7) // 8
                out = [palette[data[r * n + i // 8] >> (7 - i % 8) & 1] for r in range(h)
                       for i in range(w)]
            else:
                out = [palette[i] for i in self.tight_data(stream, w * h)]
            self.put(x, y, w, h, out)
            return
        data = self.tight_data(stream, w * h * self.tsize)
        self.put(x, y, w, h, self.ungradient(data, w, h) if kind == 2 else self.tpixels(data))

    @staticmethod
    def ungradient(data, w, h):
        above, out = [(0, 0, 0)] * (w + 1), []
        for r in range(h):
            row = [(0, 0, 0)]
            for i in range(w):
                p = tuple((data[(r * w + i) * 3 + k] + min(max(
                    row[i][k] + above[i + 1][k] - above[i][k], 0), 255)) & 255 for k in range(3))
                row.append(p)
            above = row
            out += row[1:]
        return out

    def jpeg(self, x, y, w, h, data):
        assert data[:2] == b"\xff\xd8" and data[-2:] == b"\xff\xd9"
        self.seen.add("jpeg")
        self.jpegs = getattr(self, "jpegs", []) + [(x, y, w, h, data)]
