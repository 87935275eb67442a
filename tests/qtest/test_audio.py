#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Sound: back-ends and their options, the speaker, cards; what they play is read from wav files."""

import math
import os
import re
import struct
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from libqtest import EMULATOR, PATIENCE, QTest, main                # noqa: E402

PIT_HZ = 1193182


def read_wav(path):
    """(rate, channels, bits, [frames]) with the lengths of the header checked."""
    with open(path, "rb") as f:
        data = f.read()
    riff, size, wave, fmt, sixteen, pcm, channels, rate, per_second, frame, bits, tag, length = \
        struct.unpack("<4sI4s4sIHHIIHH4sI", data[:44])
    assert (riff, wave, fmt, tag, sixteen, pcm) == (b"RIFF", b"WAVE", b"fmt ", b"data", 16, 1)
    assert size == len(data) - 8 and length == len(data) - 44, (size, length, len(data))
    assert per_second == rate * frame and frame == channels * bits // 8
    letter = {8: "B", 16: "h", 32: "i"}[bits]
    samples = struct.unpack("<%d%s" % (length * 8 // bits, letter), data[44:])
    return rate, channels, bits, [samples[i:i + channels] for i in range(0, len(samples), channels)]


def rising(samples):
    """Numbers of the samples at which the sign turns from minus to plus."""
    return [i for i in range(1, len(samples)) if samples[i - 1] < 0 <= samples[i]]


class Sound(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory(prefix="orrery-audio-")
        self.addCleanup(self.dir.cleanup)
        self.path = os.path.join(self.dir.name, "out.wav")

    def machine(self, *args):
        q = QTest(["-M", "pc", "-m", "16", *args])
        self.addCleanup(lambda: q.error_file.closed or q.close())
        return q

    def wav(self, more=""):
        return "wav,id=snd,path=%s%s" % (self.path, more)

    def run_for(self, q, ms):
        for _ in range(ms):
            q.clock_step(1000000)


class Options(Sound):
    def refused(self, *args):
        p = subprocess.run([EMULATOR, "-accel", "qtest", "-display", "none", "-nodefaults", *args],
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           text=True, timeout=60 * PATIENCE)
        self.assertEqual(p.returncode, 1, p.stdout)
        self.assertEqual(p.stdout.count("\n"), 1, p.stdout)
        return p.stdout

    def test_refused(self):
        for text, words in (
                ("none", "id= is missing"), ("id=x", "driver= is missing"),
                ("pa,id=x", "driver=pa is not available"), ("foo,id=x", "driver=foo"),
                ("none,id=x,foo=1", "foo"), ("none,id=x,path=y", "path"),
                ("none,id=x,out.frequency=10", "out.frequency"),
                ("none,id=x,out.format=f32", "u8"), ("none,id=x,out.channels=6", "out.channels"),
                ("none,id=x,out.mixing-engine=off", "out.mixing-engine=off"),
                ("none,id=x,out.fixed-settings=off", "out.fixed-settings=off"),
                ("none,id=x,out.voices=2", "out.voices=2"),
                ("none,id=x,in.frequency=8000", "in.frequency"),
                ("none,id=x,timer-period=1", "timer-period"),
                ("wav,id=x,path=/nonexistent/dir/a.wav", "/nonexistent/dir/a.wav")):
            with self.subTest(text):
                self.assertIn(words, self.refused("-audiodev", text))
        self.assertIn("there is one already",
                      self.refused("-audiodev", "none,id=x", "-audiodev", "none,id=x"))
        self.assertIn("there is no audiodev 'y'", self.refused("-M", "pc,pcspk-audiodev=y"))
        self.assertIn("model", self.refused("-audio", "none"))
        self.assertIn("model=gus", self.refused("-audio", "none,model=gus"))
        self.assertIn("audiodev=y", self.refused("-audiodev", "none,id=x", "-vnc",
                                                 "unix:%s/v,audiodev=y" % self.dir.name))

    def test_help(self):
        p = subprocess.run([EMULATOR, "-audiodev", "help"], stdout=subprocess.PIPE, text=True,
                           timeout=60 * PATIENCE)
        self.assertEqual(p.returncode, 0)
        self.assertRegex(p.stdout, r"(?m)^none ")
        self.assertRegex(p.stdout, r"(?m)^wav ")

    def test_info(self):
        q = self.machine("-audiodev", self.wav(",out.frequency=8000,out.channels=1,out.format=u8"),
                         "-M", "pc,pcspk-audiodev=snd")
        self.assertIn("snd: wav, 8000 Hz, 1 channel, u8", q.hmp("info audio"))
        self.assertIn("pcspk: silent", q.hmp("info audio"))
        self.assertIn('audiodev = "snd"', q.hmp("info qtree"))
        self.assertIn("no sound", self.machine().hmp("info audio"))


class Sdl(Sound):
    def test_plays(self):
        p = subprocess.run([EMULATOR, "-audiodev", "help"], stdout=subprocess.PIPE, text=True,
                           timeout=60 * PATIENCE)
        if "sdl" not in p.stdout:
            self.skipTest("built without SDL")
        os.environ["SDL_AUDIODRIVER"] = "dummy"
        self.addCleanup(os.environ.pop, "SDL_AUDIODRIVER")
        q = self.machine("-audio", "sdl,model=pcspk,out.buffer-length=20000")
        q.outb(0x43, 0xb6)
        q.outb(0x42, 0xa9)
        q.outb(0x42, 0x04)
        q.outb(0x61, 3)
        end = time.monotonic() + 60 * PATIENCE      # SDL's thread empties the ring as time goes by
        while int(re.search(r"(\d+) frames played", q.hmp("info audio"))[1]) < 4000:
            self.assertLess(time.monotonic(), end)
            q.clock_step(10000000)
        q.outb(0x61, 0)
        status, text = q.close()
        self.assertIn(status, (0, -15), text)


class Speaker(Sound):
    def speaker(self, more=""):
        return self.machine("-audiodev", self.wav(more), "-M", "pc,pcspk-audiodev=snd")

    def tone(self, q, count):
        q.outb(0x43, 0xb6)
        q.outb(0x42, count & 0xff)
        q.outb(0x42, count >> 8)
        q.outb(0x61, 3)

    def test_capture(self):
        """wavcapture: a part of what is played, into a file of its own, at its own rate."""
        q = self.speaker()
        for wrong, word in (("%s nosuch", "nosuch"), ("%s snd 44100 24", "24"), ("%s snd 44100 16 3", "3"),
                            ("%s snd 1", "frequency"), ("/nosuch/a.wav snd", "/nosuch/a.wav")):
            line = "wavcapture " + (wrong % (self.dir.name + "/c.wav") if "%" in wrong else wrong)
            self.assertRegex(q.hmp(line), "Error.*" + word)
        self.assertEqual(q.hmp("info capture"), "")
        self.assertIn("Error", q.hmp("stopcapture 0"))
        self.tone(q, 1193)                      # 1000 Hz
        self.run_for(q, 100)
        for n, more in enumerate(("", " 8000 8 1")):
            self.assertEqual(q.hmp("wavcapture %s/c%d.wav snd%s" % (self.dir.name, n, more)), "")
        self.run_for(q, 200)
        self.assertRegex(q.hmp("info capture"), r"\[0\]: Capturing audio\(44100,16,2\) to .*c0.wav: \d{4,} bytes\n"
                                                r"\[1\]: Capturing audio\(8000,8,1\)")
        self.assertEqual(q.hmp("stopcapture 1"), "")
        self.assertEqual(q.hmp("stopcapture 0"), "")
        self.run_for(q, 100)
        rate, channels, bits, frames = read_wav(self.dir.name + "/c0.wav")
        self.assertEqual((rate, channels, bits), (44100, 2, 16))
        self.assertAlmostEqual(len(frames), 8820, delta=1000)
        self.check_tone([f[0] for f in frames], 44100, 1000)
        rate, channels, bits, frames = read_wav(self.dir.name + "/c1.wav")
        self.assertEqual((rate, channels, bits), (8000, 1, 8))
        self.check_tone([f[0] - 128 for f in frames], 8000, 1000)

    def check_tone(self, samples, rate, hz):
        up = rising(samples)
        self.assertGreater(len(up), 5)
        self.assertAlmostEqual((up[-1] - up[0]) / (len(up) - 1), rate / hz, delta=0.2)
        gaps = [b - a for a, b in zip(up, up[1:])]
        self.assertLessEqual(max(gaps) - min(gaps), 2)      # no gap, no jump

    def test_tone(self):
        q = self.speaker(",out.frequency=48000")
        self.tone(q, 1193)
        self.run_for(q, 500)
        self.assertIn("pcspk: playing", q.hmp("info audio"))
        self.assertIn("under-runs: 0 (0 frames)", q.hmp("info audio"))
        q.close()
        rate, channels, bits, frames = read_wav(self.path)
        self.assertEqual((rate, channels, bits), (48000, 2, 16))
        self.assertAlmostEqual(len(frames), 24000, delta=480)
        self.assertTrue(all(l == r for l, r in frames))
        self.check_tone([l for l, r in frames][480:], 48000, PIT_HZ / 1193)

    def test_other_rates_and_formats(self):
        for options, rate, zero in ((",out.frequency=44100,out.channels=1", 44100, 0),
                                    (",out.frequency=22050,out.format=u8", 22050, 128),
                                    (",out.frequency=96000,out.format=s32", 96000, 0),
                                    (",timer-period=1000", 44100, 0)):
            with self.subTest(options):
                q = self.speaker(options)
                self.tone(q, 2711)                          # 440 Hz
                self.run_for(q, 200)
                q.close()
                got, channels, bits, frames = read_wav(self.path)
                self.assertEqual(got, rate)
                self.check_tone([f[0] - zero for f in frames][rate // 50:], rate, PIT_HZ / 2711)

    def test_silence_costs_nothing(self):
        q = self.speaker()
        self.tone(q, 1193)
        self.run_for(q, 100)
        q.outb(0x61, 0)
        self.run_for(q, 400)
        self.assertIn("pcspk: silent", q.hmp("info audio"))
        size = os.path.getsize(self.path)
        self.run_for(q, 300)
        self.assertEqual(os.path.getsize(self.path), size)

    def test_two_tones_follow(self):
        q = self.speaker(",out.frequency=48000")
        self.tone(q, 1193)
        self.run_for(q, 200)
        self.tone(q, 597)
        self.run_for(q, 200)
        q.close()
        samples = [f[0] for f in read_wav(self.path)[3]]
        self.check_tone(samples[480:9000], 48000, PIT_HZ / 1193)
        self.check_tone(samples[10100:18500], 48000, PIT_HZ / 597)

    def test_bit_by_bit(self):
        """Level set by port 61h alone, OUT being high."""
        q = self.speaker(",out.frequency=48000")
        q.outb(0x43, 0xb0)                                  # mode 0: OUT is low ...
        q.outb(0x42, 1)
        q.outb(0x42, 0)
        q.outb(0x61, 1)
        self.run_for(q, 1)                                  # ... until the count ran out
        for _ in range(100):
            q.outb(0x61, 3)
            self.run_for(q, 1)
            q.outb(0x61, 1)
            self.run_for(q, 1)
        q.close()
        self.check_tone([f[0] for f in read_wav(self.path)[3]][480:8000], 48000, 500)

    def test_reset_silences(self):
        q = self.speaker()
        self.tone(q, 1193)
        self.run_for(q, 50)
        q.reset()
        self.assertIn("pcspk: silent", q.hmp("info audio"))

    def test_killed(self):
        q = self.speaker()
        self.tone(q, 1193)
        self.run_for(q, 200)
        q.hmp("info audio")
        q.proc.kill()
        q.proc.wait()
        self.assertAlmostEqual(len(read_wav(self.path)[3]), 8820, delta=500)

    def test_saved_tone_goes_on(self):
        q = self.speaker()
        self.tone(q, 1193)
        self.run_for(q, 50)
        state = q.command_line("vmstate_save")
        q.outb(0x61, 0)
        self.run_for(q, 400)
        self.assertIn("pcspk: silent", q.hmp("info audio"))
        q.command_line("vmstate_load " + state)
        self.run_for(q, 50)
        self.assertIn("pcspk: playing", q.hmp("info audio"))

    def test_audio_option(self):
        q = self.machine("-audio", "wav,path=%s,model=pcspk" % self.path)
        self.tone(q, 1193)
        self.run_for(q, 100)
        q.close()
        self.assertGreater(len(read_wav(self.path)[3]), 3000)


AC97_DEVFN = 4 << 3
NAM, NABM = 0xc000, 0xc100
PI, PO, MC = 0x00, 0x10, 0x20
BDBAR, CIV, LVI, SR, PICB, PIV, CR = 0, 4, 5, 6, 8, 10, 11
DCH, CELV, LVBCI, BCIS = 1, 2, 4, 8
RUN, RESET, LVBIE, IOCE = 1, 2, 4, 0x10
IOC = 1 << 31


class Guest(Sound):
    """A floppy disk whose boot sector plays 1 kHz for 20 ticks of the BIOS, on the running machine."""
    BOOT = bytes.fromhex("b0b6e643b8a904e64288e0e642"          # counter 2: mode 3, 1193
                         "e4610c03e661"                        # gate and speaker on
                         "fb31c08ed88b1e6c04"                  # ticks now
                         "f4a16c0429d83d140072f5"              # ... 20 later
                         "e46124fce661ba0105eeebfe")           # off; isa-debug-exit

    def test_speaker(self):
        image = os.path.join(self.dir.name, "floppy")
        with open(image, "wb") as f:
            f.write(self.BOOT.ljust(510, b"\0") + b"\x55\xaa" + bytes(1474560 - 512))
        p = subprocess.run([EMULATOR, "-nodefaults", "-display", "none", "-m", "16", "-boot", "a",
                            "-drive", "if=floppy,format=raw,file=" + image,
                            "-device", "isa-debug-exit", "-audiodev", self.wav(",out.frequency=48000"),
                            "-M", "pc,pcspk-audiodev=snd"], stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                           timeout=120 * PATIENCE)
        self.assertEqual(p.returncode & 1, 1, p.stdout)
        samples = [f[0] for f in read_wav(self.path)[3]]
        self.assertGreater(len(samples), 48000 * 0.9)
        up = rising(samples[2400:45000])
        # a busy host may be late here and there, and then some periods are longer, one is cut
        gaps = sorted(b - a for a, b in zip(up, up[1:]))
        middle = gaps[len(gaps) // 2]
        self.assertAlmostEqual(middle, 48000 / (PIT_HZ / 1193), delta=1)
        self.assertGreater(sum(abs(g - middle) <= 2 for g in gaps), len(gaps) * 0.8)


class AC97(Sound):
    RING, DATA = 0x100000, 0x200000

    def card(self, more="", device="AC97,addr=4,audiodev=snd"):
        q = self.machine("-audiodev", self.wav(more), "-device", device)
        q.pci_writel(AC97_DEVFN, 0x10, NAM)
        q.pci_writel(AC97_DEVFN, 0x14, NABM)
        q.pci_writew(AC97_DEVFN, 4, 5)
        q.outl(NABM + 0x2c, 2)
        q.outw(NAM + 0x02, 0)                               # all at 0 dB
        q.outw(NAM + 0x18, 0x0808)
        return q

    def ring(self, q, buffers):
        """buffers: (address, samples, flags)"""
        q.write(self.RING, b"".join(struct.pack("<II", a, n | f) for a, n, f in buffers))

    def start(self, q, channel, lvi, cr=RUN):
        q.outl(NABM + channel + BDBAR, self.RING)
        q.outb(NABM + channel + LVI, lvi)
        q.outb(NABM + channel + CR, cr)

    def pending(self, q):
        return q.pci_readw(AC97_DEVFN, 6) >> 3 & 1

    # ---- registers ----

    def test_identity(self):
        q = self.card()
        self.assertEqual(q.pci_readl(AC97_DEVFN, 0), 0x24158086)
        self.assertEqual(q.pci_readl(AC97_DEVFN, 8), 0x04010001)
        self.assertEqual(q.pci_readb(AC97_DEVFN, 0x3d), 1)
        self.assertEqual((q.inw(NAM + 0x7c), q.inw(NAM + 0x7e)), (0x8384, 0x7600))

    def test_codec_after_reset(self):
        q = self.card()
        q.outw(NAM, 0)
        for reg, value in ((0x02, 0x8000), (0x04, 0x8000), (0x06, 0x8000), (0x0a, 0), (0x0c, 0x8008),
                           (0x0e, 0x8008), (0x10, 0x8808), (0x12, 0x8808), (0x14, 0x8808),
                           (0x16, 0x8808), (0x18, 0x8808), (0x1a, 0), (0x1c, 0x8000), (0x26, 0xf),
                           (0x28, 9), (0x2a, 0), (0x2c, 48000), (0x32, 48000), (0x34, 48000)):
            self.assertEqual(q.inw(NAM + reg), value, hex(reg))

    def test_codec_writes(self):
        q = self.card()
        for reg, written, read in ((0x02, 0xffff, 0x9f1f), (0x02, 0x2020, 0x1f1f), (0x02, 0x8a05, 0x8a05),
                                   (0x18, 0xffff, 0x9f1f), (0x1a, 0xffff, 0x0707), (0x26, 0, 0xf),
                                   (0x28, 0xffff, 9), (0x7c, 0, 0x8384), (0x1c, 0xffff, 0x8f0f)):
            q.outw(NAM + reg, written)
            self.assertEqual(q.inw(NAM + reg), read, hex(reg))

    def test_rates(self):
        q = self.card()
        q.outw(NAM + 0x2c, 22050)
        self.assertEqual(q.inw(NAM + 0x2c), 48000)          # fixed
        q.outw(NAM + 0x2a, 1)
        for written, read in ((22050, 22050), (44100, 44100), (100, 8000), (65535, 48000)):
            q.outw(NAM + 0x2c, written)
            self.assertEqual(q.inw(NAM + 0x2c), read)
        q.outw(NAM + 0x34, 8000)
        self.assertEqual(q.inw(NAM + 0x34), 48000)          # the microphone's has its own bit
        q.outw(NAM + 0x2a, 9)
        q.outw(NAM + 0x34, 8000)
        self.assertEqual(q.inw(NAM + 0x34), 8000)
        q.outw(NAM + 0x2a, 0)
        self.assertEqual((q.inw(NAM + 0x2c), q.inw(NAM + 0x34)), (48000, 48000))

    def test_bus_master_registers(self):
        q = self.card()
        for ch in (PI, PO, MC):
            b = NABM + ch
            self.assertEqual((q.inb(b + CIV), q.inb(b + LVI), q.inw(b + SR), q.inw(b + PICB),
                              q.inb(b + PIV), q.inb(b + CR)), (0, 0, DCH, 0, 0, 0))
            q.outl(b, 0xffffffff)
            self.assertEqual(q.inl(b), 0xfffffff8)
            q.outb(b + LVI, 0xff)
            q.outb(b + CIV, 5)
            q.outw(b + PICB, 5)
            self.assertEqual(q.inl(b + CIV), 31 << 8 | DCH << 16)
            q.outb(b + CR, 0x1c)
            self.assertEqual(q.inb(b + CR), 0x1c)
            q.outb(b + CR, RESET)
            self.assertEqual((q.inb(b + CR), q.inl(b), q.inb(b + LVI)), (0, 0, 0))
        self.assertEqual(q.inl(NABM + 0x30), 0x100)
        q.outl(NABM + 0x2c, 6)
        self.assertEqual(q.inl(NABM + 0x2c), 2)             # a warm reset ends
        self.assertEqual((q.inb(NABM + 0x34), q.inb(NABM + 0x34)), (0, 1))
        q.inw(NAM + 2)
        self.assertEqual(q.inb(NABM + 0x34), 0)

    def test_cold_reset(self):
        q = self.card()
        q.outl(NABM + PO, 0x1000)
        q.outl(NABM + 0x2c, 0)
        q.outl(NABM + 0x2c, 2)
        self.assertEqual((q.inl(NABM + PO), q.inw(NAM + 2)), (0, 0x8000))

    # ---- playing ----

    def tone(self, frames, rate=48000, hz=440):
        return [(round(20000 * math.sin(2 * math.pi * hz * i / rate)),
                 round(10000 * math.cos(2 * math.pi * hz * i / rate))) for i in range(frames)]

    def pack(self, frames):
        return b"".join(struct.pack("<hh", *f) for f in frames)

    def test_tone_is_what_was_sent(self):
        q = self.card(",out.frequency=48000")
        frames = self.tone(4800)
        q.write(self.DATA, self.pack(frames))
        self.ring(q, [(self.DATA + 4 * 960 * i, 2 * 960, IOC) for i in range(5)])
        self.start(q, PO, 4)
        self.run_for(q, 150)
        b = NABM + PO
        self.assertEqual(q.inw(b + SR), DCH | CELV | LVBCI | BCIS)
        self.assertEqual((q.inb(b + CIV), q.inw(b + PICB)), (4, 0))
        self.assertIn("under-runs: 0 (0 frames)", q.hmp("info audio"))
        q.close()
        rate, channels, bits, got = read_wav(self.path)
        self.assertEqual((rate, channels, bits), (48000, 2, 16))
        self.assertEqual(got[:4800], frames)
        self.assertFalse(any(l or r for l, r in got[4800:]))

    def test_other_rate(self):
        q = self.card(",out.frequency=48000")
        q.outw(NAM + 0x2a, 1)
        q.outw(NAM + 0x2c, 22050)
        q.write(self.DATA, self.pack(self.tone(4410, 22050)))
        self.ring(q, [(self.DATA, 2 * 4410, 0)])
        self.start(q, PO, 0)
        self.run_for(q, 300)
        q.close()
        got = [l for l, r in read_wav(self.path)[3]]
        self.assertAlmostEqual(len([v for v in got if v]), 9600, delta=250)
        up = rising(got[:9500])
        self.assertAlmostEqual((up[-1] - up[0]) / (len(up) - 1), 48000 / 440, delta=0.1)
        expected = self.tone(9600)
        worst = max(abs(a - b[0]) for a, b in zip(got[:9000], expected))
        self.assertLess(worst, 20000 * 2 * math.pi * 440 / 22050 * 1.2)     # a sample late

    def test_volume_and_mute(self):
        for master, pcm, factor in ((0x0404, 0x0808, 10 ** (-6 / 20)), (0x8000, 0x0808, 0),
                                    (0, 0x8808, 0), (0, 0x0c0c, 10 ** (-6 / 20)), (0, 0x0808, 1)):
            with self.subTest("%04x %04x" % (master, pcm)):
                q = self.card(",out.frequency=48000")
                q.outw(NAM + 0x02, master)
                q.outw(NAM + 0x18, pcm)
                q.write(self.DATA, struct.pack("<hh", 8000, -8000) * 480)
                self.ring(q, [(self.DATA, 960, 0)])
                self.start(q, PO, 0)
                self.run_for(q, 20)
                q.close()
                l, r = read_wav(self.path)[3][100]
                self.assertAlmostEqual(l, 8000 * factor, delta=1)
                self.assertAlmostEqual(r, -8000 * factor, delta=1)

    def test_interrupts(self):
        q = self.card()
        self.ring(q, [(self.DATA, 2 * 480, IOC), (self.DATA, 2 * 480, 0), (self.DATA, 2 * 480, 0)])
        self.start(q, PO, 2, RUN | IOCE | LVBIE)
        b = NABM + PO
        self.assertEqual((q.inb(b + CIV), q.inb(b + PIV), q.inw(b + PICB)), (0, 1, 960))
        self.assertEqual(self.pending(q), 0)
        self.run_for(q, 21)
        self.assertEqual(q.inw(b + SR), BCIS)
        self.assertEqual((self.pending(q), q.inl(NABM + 0x30)), (1, 0x140))
        q.outw(b + SR, BCIS)
        self.assertEqual((self.pending(q), q.inl(NABM + 0x30)), (0, 0x100))
        self.run_for(q, 40)
        self.assertEqual((q.inw(b + SR), self.pending(q)), (DCH | CELV | LVBCI, 1))
        q.outb(b + CR, RUN | IOCE)                          # masked
        self.assertEqual(self.pending(q), 0)
        q.outb(b + CR, RUN | IOCE | LVBIE)
        self.assertEqual(self.pending(q), 1)
        q.outb(b + SR, LVBCI)
        self.assertEqual((q.inw(b + SR), self.pending(q)), (DCH | CELV, 0))

    def test_goes_on_when_lvi_moves(self):
        q = self.card()
        self.ring(q, [(self.DATA, 2 * 480, 0)] * 32)
        self.start(q, PO, 1)
        b = NABM + PO
        self.run_for(q, 50)
        self.assertEqual((q.inb(b + CIV), q.inw(b + SR) & DCH), (1, DCH))
        q.outb(b + LVI, 3)
        self.assertEqual((q.inb(b + CIV), q.inw(b + SR) & (DCH | CELV)), (2, 0))
        self.run_for(q, 50)
        self.assertEqual((q.inb(b + CIV), q.inw(b + SR) & DCH), (3, DCH))
        q.outb(b + LVI, 2)                                  # once round
        self.run_for(q, 400)
        self.assertEqual((q.inb(b + CIV), q.inb(b + PIV)), (2, 3))

    def test_pause(self):
        q = self.card()
        self.ring(q, [(self.DATA, 2 * 4800, 0)])
        self.start(q, PO, 0)
        b = NABM + PO
        self.run_for(q, 30)
        q.outb(b + CR, 0)
        left = q.inw(b + PICB)
        self.assertTrue(0 < left < 9600)
        self.run_for(q, 30)
        self.assertEqual((q.inw(b + PICB), q.inb(b + CIV)), (left, 0))
        self.assertIn("AC97: silent", q.hmp("info audio"))
        q.outb(b + CR, RUN)
        self.run_for(q, 200)
        self.assertEqual((q.inw(b + PICB), q.inb(b + CIV)), (0, 0))

    def test_records_silence(self):
        for ch, size in ((PI, 4), (MC, 2)):
            with self.subTest(ch):
                q = self.card()
                q.memset(self.DATA, 4800 * 4, 0x55)
                self.ring(q, [(self.DATA, 4800 * size // 2, IOC)])
                self.start(q, ch, 0, RUN | IOCE)
                self.run_for(q, 50)
                self.assertEqual(q.inw(NABM + ch + SR), 0)
                self.run_for(q, 70)
                self.assertEqual(q.inw(NABM + ch + SR), DCH | CELV | LVBCI | BCIS)
                self.assertEqual(self.pending(q), 1)
                self.assertFalse(any(q.read(self.DATA, 4800 * size)))
                q.close()

    # ---- guests without sense ----

    def test_hostile_descriptors(self):
        q = self.card()
        for ring, buffers in ((self.RING, [(0, 0, IOC)] * 32), (0xfffffff8, []), (0xe0000000, []),
                              (self.RING, [(0xfffffffe, 0xffff, IOC)] * 32),
                              (self.RING, [(self.RING, 0xffff, IOC)] * 32)):
            if buffers:
                self.ring(q, buffers)
            for ch in (PI, PO, MC):
                q.outb(NABM + ch + CR, 0)
                q.outb(NABM + ch + CR, RESET)
                q.outl(NABM + ch, ring)
                q.outb(NABM + ch + LVI, 31)
                q.outb(NABM + ch + CR, RUN | IOCE | LVBIE)
            q.clock_step(5 * 10**9)
            q.qmp("query-status")

    def test_no_bus_mastering(self):
        q = self.card()
        q.pci_writew(AC97_DEVFN, 4, 1)
        self.start(q, PO, 31)
        self.run_for(q, 30)
        q.qmp("query-status")

    def test_odd_accesses(self):
        q = self.card()
        self.assertEqual(q.inb(NAM + 2), 0xff)
        self.assertEqual(q.inl(NAM + 0x7c), 0xffffffff)
        q.outb(NAM + 2, 0x55)
        self.assertEqual(q.inw(NAM + 2), 0)
        self.assertEqual(q.inb(NABM + 0x3f), 0)

    def test_without_audiodev(self):
        q = self.machine("-device", "AC97,addr=4")
        self.assertIn("none: none, 44100 Hz", q.hmp("info audio"))
        q.close()
        q = self.card(device="AC97,addr=4")
        self.assertIn("no audiodev= is given, 'snd' plays", q.errors())
        q.close()
        q = self.machine("-audio", "wav,path=%s,model=ac97" % self.path)
        self.assertIn("AC97: silent", q.hmp("info audio"))


class SB16(Sound):
    BASE, DATA = 0x220, 0x20000

    def card(self, more=",out.frequency=44100", props=""):
        q = self.machine("-audiodev", self.wav(more), "-device", "sb16,audiodev=snd" + props)
        q.outb(0x20, 0x11)                                  # the 8259 tells interrupts
        for v in (8, 4, 1, 0):
            q.outb(0x21, v)
        self.reset_dsp(q)
        return q

    def reset_dsp(self, q):
        q.outb(self.BASE + 6, 1)
        q.outb(self.BASE + 6, 0)
        self.assertEqual(self.replies(q), [0xaa])

    def replies(self, q):
        got = []
        while q.inb(self.BASE + 0xe) & 0x80:
            got.append(q.inb(self.BASE + 0xa))
        return got

    def dsp(self, q, *data):
        for v in data:
            self.assertEqual(q.inb(self.BASE + 0xc) & 0x80, 0)
            q.outb(self.BASE + 0xc, v)

    def mixer(self, q, reg, value=None):
        q.outb(self.BASE + 4, reg)
        if value is None:
            return q.inb(self.BASE + 5)
        q.outb(self.BASE + 5, value)

    def irq5(self, q):
        """Was there an edge since the last look?  (poll command, then end of interrupt)"""
        q.outb(0x20, 0x0c)
        got = q.inb(0x20) == 0x85
        if got:
            q.outb(0x20, 0x20)
        return int(got)

    def dma(self, q, channel, addr, size, autoinit=False):
        """Memory to device."""
        n, wide = channel & 3, channel >= 4
        mask, mode, clear, at, count = (0xd4, 0xd6, 0xd8, 0xc0 + 4 * n, 0xc2 + 4 * n) if wide else \
                                       (0x0a, 0x0b, 0x0c, 2 * n, 2 * n + 1)
        page = {0: 0x87, 1: 0x83, 3: 0x82, 5: 0x8b, 6: 0x89, 7: 0x8a}[channel]
        if wide:
            q.outb(0xd6, 0xc0)                              # channel 4 cascades
            q.outb(0xd4, 0)
        q.outb(mask, 4 | n)
        q.outb(clear, 0)
        q.outb(mode, 0x48 | n | (0x10 if autoinit else 0))
        for port, v in ((at, (addr >> 1 if wide else addr) & 0xffff), (count, (size >> wide) - 1)):
            q.outb(port, v & 0xff)
            q.outb(port, v >> 8)
        q.outb(page, addr >> 16)
        q.outb(mask, n)

    def test_dsp(self):
        q = self.card()
        self.dsp(q, 0xe1)
        self.assertEqual(self.replies(q), [4, 5])
        self.dsp(q, 0xe0, 0x5a)
        self.assertEqual(self.replies(q), [0xa5])
        self.dsp(q, 0xe4, 0x77, 0xe8)
        self.assertEqual(self.replies(q), [0x77])
        for cmd, answer in ((0xd1, 0xff), (0xd3, 0)):
            self.dsp(q, cmd, 0xd8)
            self.assertEqual(self.replies(q), [answer])
        self.dsp(q, 0xe3)
        self.assertTrue(bytes(self.replies(q)).startswith(b"COPYRIGHT"))
        self.assertEqual(q.inb(self.BASE + 0xa), 0)         # the last one stays

    def test_interrupts_by_command(self):
        q = self.card()
        for cmd, bit, port in ((0xf2, 1, 0xe), (0xf3, 2, 0xf)):
            self.dsp(q, cmd)
            self.assertEqual((self.mixer(q, 0x82) & 3, self.irq5(q)), (bit, 1))
            q.inb(self.BASE + port)
            self.assertEqual((self.mixer(q, 0x82) & 3, self.irq5(q)), (0, 0))

    def test_mixer(self):
        q = self.card()
        self.assertEqual([self.mixer(q, r) for r in (0x30, 0x32, 0x3c, 0x80, 0x81)],
                         [0xc0, 0xc0, 0x1f, 2, 0x22])
        self.mixer(q, 0x22, 0x5a)
        self.assertEqual([self.mixer(q, r) for r in (0x22, 0x30, 0x31)], [0x5a, 0x58, 0xa8])
        self.mixer(q, 0x80, 8)
        self.assertEqual(self.mixer(q, 0x80), 2)
        self.mixer(q, 0, 0)
        self.assertEqual(self.mixer(q, 0x30), 0xc0)
        q = self.card(props=",irq=7,dma=3,dma16=6")
        self.assertEqual((self.mixer(q, 0x80), self.mixer(q, 0x81)), (4, 0x48))

    def test_16_bit_stereo(self):
        q = self.card()
        frames = [(round(15000 * math.sin(i / 7)), round(9000 * math.cos(i / 9))) for i in range(2000)]
        q.write(self.DATA, b"".join(struct.pack("<hh", *f) for f in frames))
        self.dma(q, 5, self.DATA, 8000)
        self.dsp(q, 0x41, 44100 >> 8, 44100 & 0xff, 0xb0, 0x30, 3999 & 0xff, 3999 >> 8)
        self.run_for(q, 100)
        self.assertEqual((self.mixer(q, 0x82) & 3, self.irq5(q)), (2, 1))
        q.inb(self.BASE + 0xf)
        self.assertEqual(self.irq5(q), 0)
        self.assertIn("sb16: silent", q.hmp("info audio"))
        q.close()
        got = read_wav(self.path)[3]
        self.assertEqual(got[:2000], frames)
        self.assertFalse(any(l or r for l, r in got[2000:]))

    def test_8_bit_single(self):
        q = self.card(",out.frequency=22222")
        data = bytes(round(128 + 100 * math.sin(i / 5)) for i in range(1000))
        q.write(self.DATA, data)
        self.dma(q, 1, self.DATA, 1000)
        self.dsp(q, 0x40, 256 - 45, 0xd1, 0x14, 999 & 0xff, 999 >> 8)      # 22222 Hz
        self.run_for(q, 100)
        self.assertEqual((self.mixer(q, 0x82) & 3, self.irq5(q)), (1, 1))
        q.inb(self.BASE + 0xe)
        self.assertEqual(self.irq5(q), 0)
        q.close()
        self.assertEqual([l for l, r in read_wav(self.path)[3]][:1000], [(v - 128) * 256 for v in data])

    def test_auto_init(self):
        q = self.card(",out.frequency=22050")
        data = bytes(range(256)) * 4
        q.write(self.DATA, data)
        self.dma(q, 1, self.DATA, 1024, autoinit=True)
        self.dsp(q, 0x41, 22050 >> 8, 22050 & 0xff, 0xc6, 0, 511 & 0xff, 511 >> 8)
        blocks = 0
        for _ in range(200):
            self.run_for(q, 1)
            if self.irq5(q):
                blocks += 1
                q.inb(self.BASE + 0xe)
        self.assertGreater(blocks, 4)
        self.dsp(q, 0xda)                                   # ends after the block under way
        self.run_for(q, 200)
        self.assertIn("sb16: silent", q.hmp("info audio"))
        q.close()
        got = [l // 256 + 128 for l, r in read_wav(self.path)[3]]
        self.assertGreater(len(got), 4410)
        self.assertEqual(got[:4000], [i % 256 for i in range(4000)])

    def test_pause(self):
        q = self.card()
        self.dma(q, 1, self.DATA, 32768, autoinit=True)
        self.dsp(q, 0x48, 0xff, 0x7f, 0x1c)
        self.run_for(q, 50)
        self.assertIn("sb16: playing", q.hmp("info audio"))
        self.dsp(q, 0xd0)
        self.run_for(q, 50)
        self.assertIn("sb16: silent", q.hmp("info audio"))
        self.dsp(q, 0xd4)
        self.run_for(q, 50)
        self.assertIn("sb16: playing", q.hmp("info audio"))
        self.reset_dsp(q)
        self.assertIn("sb16: silent", q.hmp("info audio"))

    def test_hostile(self):
        q = self.card()
        for mode in (0x48, 0x44, 0x58, 0xc0):
            for cmd in ((0xc6, 0x20, 0, 0), (0xb6, 0x30, 0, 0), (0xce, 0, 0, 0), (0xbe, 0x30, 0xff, 0xff),
                        (0x48, 0, 0, 0x90)):
                q.outb(0x0b, mode | 1)
                q.outb(0xd6, mode | 1)
                q.outb(0x0a, 1)
                q.outb(0xd4, 1)
                self.dsp(q, *cmd)
                self.run_for(q, 30)
                q.qmp("query-status")
        for cmd in range(256):
            self.dsp(q, cmd, 0xff, 0xff, 0xff)
        q.clock_step(3 * 10**9)
        q.qmp("query-status")

    def test_refused(self):
        for more, words in (("", "iobase"), (",iobase=0x240", "irq=5"), (",iobase=0x22f,irq=7", "iobase"),
                            (",iobase=0x240,irq=7", "dma=1,dma16=5"), (",iobase=0x240,irq=7,dma=3", "dma=3")):
            p = subprocess.run([EMULATOR, "-accel", "qtest", "-display", "none", "-device", "sb16", "-device",
                                "sb16" + more], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, timeout=60 * PATIENCE)
            self.assertEqual(p.returncode, 1)
            self.assertIn(words, p.stdout.splitlines()[-1])
        self.machine("-device", "sb16", "-device", "sb16,iobase=0x240,irq=7,dma=3,dma16=6")
        for props, words in (("irq=3", "irq=3"), ("dma=2", "dma=2"), ("dma16=4", "dma16=4")):
            p = subprocess.run([EMULATOR, "-accel", "qtest", "-display", "none", "-device", "sb16," + props],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               text=True, timeout=60 * PATIENCE)
            self.assertEqual(p.returncode, 1)
            self.assertIn(words, p.stdout)


if __name__ == "__main__":
    main()
