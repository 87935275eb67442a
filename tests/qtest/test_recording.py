#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Cards that record: what SDL's driver "disk" reads from a file arrives in the guest's memory, in each
format, with volume and mute; without a microphone it is silence."""

import os
import struct
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import test_audio                                                   # noqa: E402
import test_hda                                                     # noqa: E402
from libqtest import EMULATOR, PATIENCE                             # noqa: E402

LEFT, RIGHT = 5000, -9000


class Heard:
    """A mixin: the card's machine has a microphone that hears LEFT and RIGHT all the time."""

    def wav(self, more=""):
        p = subprocess.run([EMULATOR, "-audiodev", "help"], stdout=subprocess.PIPE, text=True, timeout=60 * PATIENCE)
        if "sdl" not in p.stdout:
            self.skipTest("built without SDL")
        sound = self.dir.name + "/heard"
        with open(sound, "wb") as f:
            f.write(struct.pack("<hh", LEFT, RIGHT) * (44100 * 60))
        for name, value in ("AUDIODRIVER", "disk"), ("DISKAUDIOFILE", os.devnull), ("DISKAUDIOFILEIN", sound):
            os.environ["SDL_" + name] = value
            self.addCleanup(os.environ.pop, "SDL_" + name)
        return "sdl,id=snd"

    def wait_for(self, q, wanted, address, size=0x800):
        """Time goes by for the guest as it does for SDL's thread, until that has arrived there."""
        end = time.monotonic() + 30 * PATIENCE
        while wanted not in q.read(address, size):
            self.assertLess(time.monotonic(), end, q.hmp("info audio") + q.read(address, 64).hex())
            q.clock_step(5000000)
            time.sleep(0.005)


class AC97(Heard, test_audio.AC97):
    def record(self, q, ch):
        q.memset(self.DATA, 0x1000, 0x55)
        q.outb(test_audio.NABM + ch + test_audio.CR, test_audio.RESET)
        self.ring(q, [(self.DATA, 0x400, 0)] * 32)
        self.start(q, ch, 31)

    def test_recording(self):
        q = self.card()
        mono = (LEFT + RIGHT) // 2
        for ch, reg, muted, plain, frame in (
                (test_audio.PI, 0x1c, 0x8000, 0, struct.pack("<hh", LEFT, RIGHT)),
                (test_audio.MC, 0x0e, 0x8008, 8, struct.pack("<h", mono))):
            with self.subTest(channel=ch):
                q.outw(test_audio.NAM + reg, muted)
                self.record(q, ch)
                self.wait_for(q, bytes(0x400), self.DATA)
                q.outw(test_audio.NAM + reg, plain)
                self.record(q, ch)
                self.wait_for(q, frame * 64, self.DATA)
                q.outb(test_audio.NABM + ch + test_audio.CR, 0)
        q.outw(test_audio.NAM + 0x1c, 0x0400)           # 6 dB more on the left
        self.record(q, test_audio.PI)
        end = time.monotonic() + 30 * PATIENCE
        while True:
            l, r = struct.unpack("<hh", q.read(self.DATA + 0x200, 4))
            if abs(l - 1.995 * LEFT) < 30 and r == RIGHT:
                break
            self.assertLess(time.monotonic(), end, (l, r))
            q.clock_step(5000000)
            time.sleep(0.005)


class HDA(Heard, test_hda.HdaCase):
    def test_recording(self):
        q = self.card()
        self.command(q, 4, 0x300 | 0x70, 0)             # 0 dB is the highest step: 4Ah
        for fmt, frame in ((0x4011, struct.pack("<hh", LEFT, RIGHT)), (0x0011, struct.pack("<hh", LEFT, RIGHT)),
                           (0x4041, struct.pack("<ii", LEFT << 16, RIGHT << 16)),
                           (0x4010, struct.pack("<h", (LEFT + RIGHT) // 2))):
            with self.subTest(format=hex(fmt)):
                self.command(q, 4, 0x370, 0x4a)
                q.memset(test_hda.DATA, 0x2000, 0x55)
                self.stream(q, test_hda.IN, [(test_hda.DATA, 0x1000, 1)], fmt)
                self.wait_for(q, frame * 64, test_hda.DATA)
        self.command(q, 4, 0x370, 0x80)                 # muted
        self.wait_for(q, bytes(0x1000), test_hda.DATA, 0x1000)
        self.assertIn("hda-duplex: recording, 44100 Hz, 1 channel", q.hmp("info audio"))
        q.writel(test_hda.BAR + test_hda.IN, 0)
        self.assertIn("hda-duplex: not recording", q.hmp("info audio"))


class SB16(Heard, test_audio.SB16):
    def test_recording(self):
        q = self.card()
        self.dsp(q, 0x42, 44100 >> 8, 44100 & 0xff)
        for wide, command, mode, frame in (
                (True, 0xbe, 0x30, struct.pack("<hh", LEFT, RIGHT)), (True, 0xbe, 0x10, struct.pack("<h", (LEFT + RIGHT) // 2)),
                (False, 0xce, 0x20, bytes(((LEFT >> 8) + 128, (RIGHT >> 8) + 128)))):
            with self.subTest(wide=wide, mode=mode):
                q.memset(self.DATA, 0x1000, 0x55)
                self.record_dma(q, 5 if wide else 1, 0x1000)
                n = (0x1000 >> wide) - 1
                self.dsp(q, command, mode, n & 0xff, n >> 8)
                if wide:
                    self.wait_for(q, frame * 64, self.DATA)
                else:                                   # rounded in some way
                    end = time.monotonic() + 30 * PATIENCE
                    while any(abs(a - b) > 1 for a, b in zip(q.read(self.DATA + 0x400, 2), frame)):
                        self.assertLess(time.monotonic(), end)
                        q.clock_step(5000000)
                        time.sleep(0.005)
                self.dsp(q, 0xd9 if wide else 0xda)
                self.reset_dsp(q)
                self.dsp(q, 0x42, 44100 >> 8, 44100 & 0xff)

    def record_dma(self, q, channel, size):
        """Device to memory, again and again."""
        n, wide = channel & 3, channel >= 4
        mask, mode, clear, at, count = (0xd4, 0xd6, 0xd8, 0xc0 + 4 * n, 0xc2 + 4 * n) if wide else \
                                       (0x0a, 0x0b, 0x0c, 2 * n, 2 * n + 1)
        q.outb(mask, 4 | n)
        q.outb(mode, 0x54 | n)
        q.outb(clear, 0)
        addr, length = (self.DATA >> wide & 0xffff, (size >> wide) - 1)
        for port, v in ((at, addr), (count, length)):
            q.outb(port, v & 0xff)
            q.outb(port, v >> 8)
        q.outb(0x8b if wide else 0x83, self.DATA >> 16)
        q.outb(mask, n)


class NoMicrophone(test_hda.HdaCase):
    def wav(self, more=""):
        os.environ["SDL_AUDIODRIVER"] = "dummy"
        os.environ["SDL_DISKAUDIOFILEIN"] = "/nosuch"
        for name in "SDL_AUDIODRIVER", "SDL_DISKAUDIOFILEIN":
            self.addCleanup(os.environ.pop, name)
        return "sdl,id=snd,in.frequency=8000,in.channels=1,in.format=u8"

    def test_silence(self):
        p = subprocess.run([EMULATOR, "-audiodev", "help"], stdout=subprocess.PIPE, text=True, timeout=60 * PATIENCE)
        if "sdl" not in p.stdout:
            self.skipTest("built without SDL")
        q = self.card()
        q.memset(test_hda.DATA, 0x1000, 0x55)
        self.stream(q, test_hda.IN, [(test_hda.DATA, 0x1000, 1)])
        self.run_for(q, 50)
        self.assertEqual(q.read(test_hda.DATA, 0x1000), bytes(0x1000))


def only_ours(*cases):
    """Tests they inherit run elsewhere."""
    for case in cases:
        for name in dir(case):
            if name.startswith("test_") and name not in vars(case):
                setattr(case, name, None)


only_ours(AC97, SB16)

if __name__ == "__main__":
    unittest.main()
