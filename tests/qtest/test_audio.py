#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Sound: back-ends and their options, the speaker, cards; what they play is read from wav files."""

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
        self.assertIn("audiodev=x", self.refused("-audiodev", "none,id=x", "-vnc",
                                                 "unix:%s/v,audiodev=x" % self.dir.name))

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


if __name__ == "__main__":
    main()
