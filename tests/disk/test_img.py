#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""orrery-img against qemu-img: images made by one read by the other, the same output and the
same exit status.  Without qemu-img only what can be judged alone runs.

Environment: ORRERY_IMG (the tool), DISK_SEED (of the random steps)."""

import json
import os
import random
import re
import shutil
import subprocess
import tempfile
import time
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
IMG = os.environ.get("ORRERY_IMG", os.path.join(TOP, "build", "orrery-img"))
QEMU = shutil.which("qemu-img")
QEMU_IO = shutil.which("qemu-io")
PATIENCE = float(os.environ.get("ORRERY_PATIENCE", "1"))
SEED = int(os.environ.get("DISK_SEED", random.randrange(1 << 30)))


def run(*args, **kw):
    p = subprocess.run([str(a) for a in args], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       timeout=120 * PATIENCE, **kw)
    return p.returncode, p.stdout.decode(), p.stderr.decode()


class Img(unittest.TestCase):
    def setUp(self):
        self.old = os.getcwd()
        self.folder = tempfile.mkdtemp(prefix="orrery-img-")
        os.chdir(self.folder)
        self.random = random.Random(SEED)

    def tearDown(self):
        os.chdir(self.old)
        shutil.rmtree(self.folder)

    def ok(self, *args):
        status, out, err = run(*args)
        self.assertEqual(status, 0, "%s (seed %d): %s%s" % (args, SEED, out, err))
        return out

    def orrery(self, *args):
        return self.ok(IMG, *args)

    def qemu(self, *args):
        return self.ok(QEMU, *args)

    def raw(self, name="disk.raw", size=5 << 20):
        """Random data, text and holes."""
        with open(name, "wb") as f:
            f.truncate(size)
            for _ in range(size >> 17):
                f.seek(self.random.randrange(size >> 9) << 9)
                n = self.random.randrange(1, 200) << 9
                kind = self.random.randrange(3)
                data = (self.random.randbytes(n) if kind == 0 else
                        b"the quick brown fox " * (n // 20 + 1) if kind == 1 else bytes(n))
                f.write(data[:max(0, min(n, size - f.tell()))])
            f.truncate(size)
        return name


@unittest.skipUnless(QEMU, "qemu-img is not installed")
class Interop(Img):
    OPTIONS = ["", "compat=0.10", "cluster_size=512", "cluster_size=4k", "cluster_size=2M",
               "lazy_refcounts=on", "refcount_bits=1", "refcount_bits=64",
               "cluster_size=16k,extended_l2=on", "preallocation=metadata",
               "preallocation=falloc", "data_file=ext.data", "compression_type=zstd"]

    def both_ways(self, options, *flags):
        o = ["-o", options] if options else []
        self.orrery("convert", *flags, "-f", "raw", "-O", "qcow2", *o, "disk.raw", "ours.qcow2")
        self.qemu("check", "-q", "ours.qcow2")
        self.qemu("compare", "-q", "-F", "raw", "ours.qcow2", "disk.raw")
        if "data_file" in options:
            os.remove("ours.qcow2")
        self.qemu("convert", *flags, "-f", "raw", "-O", "qcow2", *o, "disk.raw", "theirs.qcow2")
        self.orrery("check", "-q", "theirs.qcow2")
        self.orrery("compare", "-q", "-F", "raw", "theirs.qcow2", "disk.raw")
        self.orrery("convert", "-O", "raw", "theirs.qcow2", "back.raw")
        with open("disk.raw", "rb") as a, open("back.raw", "rb") as b:
            self.assertTrue(a.read() == b.read())

    def test_convert(self):
        self.raw()
        for options in self.OPTIONS:
            with self.subTest(options=options):
                self.both_ways(options)

    def test_convert_compressed(self):
        self.raw()
        for options in ("", "cluster_size=4k", "cluster_size=2M", "compression_type=zstd"):
            with self.subTest(options=options):
                self.both_ways(options, "-c")
        self.assertLess(os.stat("ours.qcow2").st_size, os.stat("disk.raw").st_size)

    def test_vdi(self):
        for size in (5 << 20, (7 << 20) + 4096, 512):
            self.raw(size=size)
            self.raw("other.raw", size)
            self.orrery("convert", "-f", "raw", "-O", "vdi", "disk.raw", "a.vdi")
            self.qemu("check", "-q", "a.vdi")
            self.qemu("compare", "-q", "-F", "raw", "a.vdi", "disk.raw")
            self.orrery("convert", "-n", "-f", "raw", "-O", "vdi", "other.raw", "a.vdi")
            self.qemu("check", "-q", "a.vdi")
            self.qemu("compare", "-q", "-F", "raw", "a.vdi", "other.raw")
            self.qemu("convert", "-f", "raw", "-O", "vdi", "disk.raw", "b.vdi")
            self.orrery("compare", "-q", "-F", "raw", "b.vdi", "disk.raw")
            self.orrery("convert", "-n", "-f", "raw", "-O", "vdi", "other.raw", "b.vdi")
            self.qemu("check", "-q", "b.vdi")
            self.qemu("compare", "-q", "-F", "raw", "b.vdi", "other.raw")

    def test_vpc(self):
        self.raw()
        for kind in ("dynamic", "fixed"):
            for force in ("on", "off"):
                self.qemu("convert", "-f", "raw", "-O", "vpc", "-o",
                          "subformat=%s,force_size=%s" % (kind, force), "disk.raw", "a.vhd")
                self.orrery("convert", "-f", "vpc", "-O", "raw", "a.vhd", "b.raw")
                self.qemu("compare", "-q", "-f", "vpc", "-F", "raw", "a.vhd", "b.raw")
                self.orrery("compare", "-q", "-f", "vpc", "-F", "raw", "a.vhd", "disk.raw")
                self.assertEqual(os.stat("b.raw").st_size, json.loads(
                    self.qemu("info", "-f", "vpc", "--output=json", "a.vhd"))["virtual-size"])

    def test_other_formats(self):
        """Made by one, read and written by the other."""
        self.raw(size=(5 << 20) + 512)
        self.raw("other.raw", (5 << 20) + 512)
        for fmt, options, write in (
                ("vmdk", "subformat=monolithicSparse", True),
                ("vmdk", "subformat=streamOptimized", False), ("vmdk", "adapter_type=lsilogic", True),
                ("vpc", "subformat=dynamic,force_size=on", True),
                ("vpc", "subformat=fixed,force_size=on", True), ("vdi", "static=on", True),
                ("vhdx", "subformat=dynamic", True), ("vhdx", "subformat=fixed", True),
                ("vhdx", "block_size=1M,log_size=2M", True)):
            with self.subTest(format=fmt, options=options):
                for maker, reader in ((IMG, QEMU), (QEMU, IMG)):
                    self.ok(maker, "convert", "-f", "raw", "-O", fmt, "-o", options, "disk.raw", "a")
                    self.ok(reader, "compare", "-q", "-f", fmt, "-F", "raw", "a", "disk.raw")
                    if write:
                        self.orrery("convert", "-n", "-f", "raw", "-O", fmt, "other.raw", "a")
                        self.qemu("compare", "-q", "-f", fmt, "-F", "raw", "a", "other.raw")
                    if fmt != "vpc":
                        self.qemu("check", "-q", "-f", fmt, "a")
                        self.assertEqual(self.orrery("info", "a"), self.qemu("info", "a"))

    def test_formats_that_are_read(self):
        self.raw()
        for fmt, options in (("vmdk", "monolithicFlat"), ("vmdk", "twoGbMaxExtentSparse"),
                             ("vmdk", "twoGbMaxExtentFlat"), ("vhdx", "dynamic"), ("vhdx", "fixed")):
            with self.subTest(format=fmt, options=options):
                self.qemu("convert", "-f", "raw", "-O", fmt, "-o", "subformat=" + options, "disk.raw", "a")
                self.orrery("compare", "-q", "-F", "raw", "a", "disk.raw")
                self.assertEqual(self.orrery("info", "a"), self.qemu("info", "a"))
                self.orrery("check", "-q", "a") if fmt == "vhdx" else None
        os.mkdir("elsewhere")
        self.qemu("convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=monolithicFlat", "disk.raw", "b")
        with open("b") as f:
            text = f.read().replace('"b-flat"', '"%s/disk.raw"' % self.folder)
        with open("elsewhere/b.vmdk", "w") as f:
            f.write(text)
        status, _, err = run(IMG, "info", "elsewhere/b.vmdk")
        self.assertEqual(status, 1)
        self.assertIn("outside its own folder", err)

    def test_bitmaps(self):
        """Bitmaps that images keep: each tool reads the other's, and records what is written."""
        self.orrery("create", "-q", "-f", "qcow2", "a.qcow2", "64M")
        self.orrery("bitmap", "--add", "-g", "64k", "a.qcow2", "ours")
        self.qemu("bitmap", "--add", "-g", "64k", "a.qcow2", "theirs")
        self.raw(size=64 << 20)
        self.orrery("convert", "-n", "-f", "raw", "-O", "qcow2", "disk.raw", "a.qcow2")
        self.qemu("check", "-q", "a.qcow2")
        if QEMU_IO:
            self.ok(QEMU_IO, "-c", "write 60M 192k", "a.qcow2")
        self.orrery("bitmap", "--disable", "a.qcow2", "theirs")
        self.orrery("bitmap", "--add", "--merge", "ours", "--merge", "theirs", "a.qcow2", "both")
        self.qemu("check", "-q", "a.qcow2")
        self.assertEqual(self.orrery("info", "a.qcow2"), self.qemu("info", "a.qcow2"))
        kept = json.loads(self.orrery("info", "--output=json", "a.qcow2"))
        self.assertEqual([(b["name"], b["flags"]) for b in kept["format-specific"]["data"]["bitmaps"]],
                         [("ours", ["auto"]), ("theirs", []), ("both", ["auto"])])
        self.qemu("bitmap", "--remove", "a.qcow2", "ours")
        self.orrery("bitmap", "--remove", "a.qcow2", "theirs")
        self.orrery("resize", "-q", "a.qcow2", "+1M")
        self.orrery("bitmap", "--remove", "a.qcow2", "both")
        self.qemu("check", "-q", "a.qcow2")
        self.orrery("check", "-q", "a.qcow2")
        for args, word in ((("--clear", "a.qcow2", "none"), "not found"), (("a.qcow2", "x"), "at least one of"),
                           (("--add", "disk.raw", "x", "-f", "raw"), "raw")):
            status, _, err = run(IMG, "bitmap", *args)
            self.assertEqual(status, 1)
            self.assertIn(word, err)

    def test_convert_bitmaps(self):
        """convert --bitmaps, measure: either tool finds in the copy what the image recorded."""
        self.orrery("create", "-q", "-f", "qcow2", "a.qcow2", "64M")
        self.orrery("bitmap", "--add", "-g", "64k", "a.qcow2", "on")
        self.orrery("bitmap", "--add", "--disable", "-g", "1M", "a.qcow2", "off")
        self.raw(size=64 << 20)
        self.orrery("convert", "-n", "-f", "raw", "-O", "qcow2", "disk.raw", "a.qcow2")
        for tool, other in ((self.orrery, self.qemu), (self.qemu, self.orrery)):
            tool("convert", "--bitmaps", "-O", "qcow2", "a.qcow2", "b.qcow2")
            other("check", "-q", "b.qcow2")
            other("convert", "--bitmaps", "-O", "qcow2", "b.qcow2", "c.qcow2")
            tool("bitmap", "--merge", "on", "c.qcow2", "off")       # whatever was recorded can be used
            kept = json.loads(other("info", "--output=json", "c.qcow2"))["format-specific"]["data"]["bitmaps"]
            self.assertEqual([(b["name"], b["flags"], b["granularity"]) for b in kept],
                             [("on", ["auto"], 65536), ("off", [], 1 << 20)])
            tool("bitmap", "--remove", "c.qcow2", "off")
            os.remove("c.qcow2")
        for out in ("human", "json"):
            self.assertEqual(self.orrery("measure", "--output=" + out, "-O", "qcow2", "a.qcow2"),
                             self.qemu("measure", "--output=" + out, "-O", "qcow2", "a.qcow2"))
        for args in (["--bitmaps", "-O", "raw", "a.qcow2", "x"], ["--bitmaps", "-O", "qcow2", "disk.raw", "x"],
                     ["--bitmaps", "-O", "qcow2", "a.qcow2", "a.qcow2", "x"],
                     ["--bitmaps", "-o", "compat=0.10", "-O", "qcow2", "a.qcow2", "x"],
                     ["--skip-broken-bitmaps", "-O", "qcow2", "a.qcow2", "x"]):
            ours, theirs = run(IMG, "convert", *args), run(QEMU, "convert", *args)
            self.assertEqual((ours[0], ours[2].split(": ", 1)[1]), (theirs[0], theirs[2].split(": ", 1)[1]))

    def test_bitmap_contents(self):
        """What a copied bitmap has recorded is what the image's had: seen through an NBD export."""
        self.orrery("create", "-q", "-f", "qcow2", "a.qcow2", "8M")
        self.orrery("bitmap", "--add", "-g", "64k", "a.qcow2", "b")
        self.qemu_io("a.qcow2", "write 1M 64k", "write 5M 192k")
        self.orrery("convert", "--bitmaps", "-O", "qcow2", "a.qcow2", "c.qcow2")
        for name in ("a.qcow2", "c.qcow2"):
            self.assertEqual(self.dirty(name), [(1 << 20, 65536), (5 << 20, 196608)])

    def dirty(self, name):
        """[(offset, length)] that bitmap b of an image has recorded."""
        out = self.ok("nbdinfo", "--map=qemu:dirty-bitmap:b", "--json", "--", "[", "qemu-nbd", "-r", "-f", "qcow2",
                      "-B", "b", name, "]")
        return [(e["offset"], e["length"]) for e in json.loads(out) if e["type"] & 1]

    def test_rate_limit(self):
        """convert -r, commit -r: not faster than that."""
        self.raw(size=4 << 20)
        for args in (["convert", "-r", "2M", "-S", "0", "-m", "2", "disk.raw", "out.raw"],
                     ["convert", "-r", "2M", "-S", "0", "-W", "-c", "-O", "qcow2", "disk.raw", "out.qcow2"]):
            start = time.monotonic()
            self.orrery(*args)
            self.assertGreater(time.monotonic() - start, 0.9)       # the first 2 MiB are free
        self.orrery("create", "-q", "-f", "qcow2", "-b", "out.raw", "-F", "raw", "top.qcow2")
        self.qemu_io("top.qcow2", "write 0 4M")
        start = time.monotonic()
        self.orrery("commit", "-q", "-r", "2M", "top.qcow2")
        self.assertGreater(time.monotonic() - start, 0.9)

    def test_not_here(self):
        """Options of qemu-img for what is not implemented: a line that names them."""
        self.raw(size=1 << 20)
        for args, word in ((["info", "--object", "secret,id=s,data=x", "disk.raw"], "--object secret,id=s"),
                           (["amend", "--force", "-o", "size=2M", "disk.raw"], "--force"),
                           (["-T", "x", "info", "disk.raw"], "-T"), (["info", "--no", "disk.raw"], "--no")):
            status, _, err = run(IMG, *args)
            self.assertEqual(status, 1)
            self.assertIn(word, err)

    def test_vmdk_in_extents(self):
        """Descriptors with extents in files beside them, of the names that others give them."""
        self.raw(size=3 << 20)
        self.raw("other.raw", 3 << 20)
        for kind, extent in (("monolithicFlat", "a-flat.vmdk"), ("twoGbMaxExtentSparse", "a-s001.vmdk"),
                             ("twoGbMaxExtentFlat", "a-f001.vmdk")):
            with self.subTest(kind=kind):
                self.orrery("convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=" + kind, "disk.raw",
                            "a.vmdk")
                self.assertTrue(os.path.exists(extent))
                self.qemu("check", "-q", "a.vmdk")
                self.qemu("compare", "-q", "-F", "raw", "a.vmdk", "disk.raw")
                self.assertEqual(self.orrery("info", "a.vmdk"), self.qemu("info", "a.vmdk"))
                self.orrery("convert", "-n", "-f", "raw", "-O", "vmdk", "other.raw", "a.vmdk")
                self.qemu("compare", "-q", "-F", "raw", "a.vmdk", "other.raw")
        self.orrery("create", "-f", "vmdk", "-o", "subformat=twoGbMaxExtentSparse", "big.vmdk", "5G")
        self.assertTrue(os.path.exists("big-s003.vmdk"))
        self.qemu("check", "-q", "big.vmdk")
        status, _, err = run(IMG, "create", "-f", "vmdk", "-o", "subformat=vmfs", "c.vmdk", "1G")
        self.assertEqual(status, 1)
        self.assertIn("subformat 'vmfs' is none of", err)

    def test_vmdk_chain(self):
        self.raw()
        self.qemu("convert", "-f", "raw", "-O", "vmdk", "disk.raw", "base.vmdk")
        self.orrery("create", "-q", "-f", "vmdk", "-b", "base.vmdk", "-F", "vmdk", "top.vmdk")
        self.qemu("compare", "-q", "-F", "raw", "top.vmdk", "disk.raw")
        self.raw("other.raw")
        self.orrery("convert", "-n", "-f", "raw", "-O", "vmdk", "other.raw", "top.vmdk")
        self.qemu("compare", "-q", "-F", "raw", "top.vmdk", "other.raw")
        self.orrery("compare", "-q", "-F", "raw", "base.vmdk", "disk.raw")

    def test_amend(self):
        self.raw()
        self.orrery("convert", "-f", "raw", "-O", "qcow2", "-o", "compat=0.10", "disk.raw", "x.qcow2")
        self.orrery("amend", "-o", "compat=v3,lazy_refcounts=on", "x.qcow2")
        self.qemu("check", "-q", "x.qcow2")
        self.assertIn("lazy refcounts: true", self.qemu("info", "x.qcow2"))
        self.orrery("amend", "-o", "lazy_refcounts=off,size=6M", "x.qcow2")
        self.qemu("check", "-q", "x.qcow2")
        self.assertEqual(json.loads(self.qemu("info", "--output=json", "x.qcow2"))["virtual-size"], 6 << 20)
        self.assertEqual(run(IMG, "amend", "-o", "cluster_size=4k", "x.qcow2")[0], 1)

    def test_vdi_mutated(self):
        """Damaged headers and tables: an error or success, no signal."""
        self.raw(size=3 << 20)
        self.orrery("convert", "-f", "raw", "-O", "vdi", "disk.raw", "a.vdi")
        with open("a.vdi", "rb") as f:
            good = f.read()
        for _ in range(60):
            bad = bytearray(good)
            for _ in range(self.random.randrange(1, 4)):
                at = self.random.choice([self.random.randrange(0x40, 0x60),
                                         self.random.randrange(0x150, 0x210)])
                bad[at] = self.random.choice([0, 1, 0xff, self.random.randrange(256)])
            with open("bad.vdi", "wb") as f:
                f.write(bad)
            for args in (["compare", "-f", "vdi", "-F", "raw", "bad.vdi", "disk.raw"],
                         ["bench", "-w", "-c", "20", "-S", "70000", "-f", "vdi", "bad.vdi"]):
                self.assertIn(run(IMG, *args)[0], (0, 1, 2, 3, 4))

    def test_info(self):
        self.orrery("create", "-q", "-f", "qcow2", "base.qcow2", "3M")
        for options in ("", "compat=0.10", "refcount_bits=8,lazy_refcounts=on,cluster_size=128k"):
            args = ["-o", options] if options else []
            self.orrery("create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", *args,
                        "x.qcow2")
            theirs = json.loads(self.qemu("info", "--output=json", "x.qcow2"))
            ours = json.loads(self.orrery("info", "--output=json", "x.qcow2"))
            self.assertEqual(ours, theirs)
            self.assertEqual(self.orrery("info", "--backing-chain", "x.qcow2"),
                             self.qemu("info", "--backing-chain", "x.qcow2"))
        self.raw()
        self.assertEqual(self.orrery("info", "-f", "raw", "disk.raw"),
                         self.qemu("info", "-f", "raw", "disk.raw"))

    def test_create_prints_the_same(self):
        self.orrery("create", "-q", "-f", "qcow2", "base.qcow2", "3M")
        for args in (["-f", "qcow2", "n", "10M"], ["-f", "raw", "n", "1234567"],
                     ["-f", "qcow2", "-o", "cluster_size=4k,preallocation=metadata", "n", "1G"],
                     ["-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", "n"]):
            self.assertEqual(self.orrery("create", *args), self.qemu("create", *args))

    def test_map_and_measure(self):
        self.orrery("create", "-q", "-f", "qcow2", "a.qcow2", "5M")
        self.qemu_io("a.qcow2", "write 0 1M", "write 2M 192k", "write 4M 1M", "write -z 4500k 200k")
        self.orrery("create", "-q", "-f", "qcow2", "-b", "a.qcow2", "-F", "qcow2", "b.qcow2", "8M")
        self.qemu_io("b.qcow2", "write 1M 300k", "write -z 3M 1M", "discard 2M 128k")
        for name in ("a.qcow2", "b.qcow2"):
            theirs = json.loads(self.qemu("map", "--output=json", name))
            ours = json.loads(self.orrery("map", "--output=json", name))
            self.assertEqual(ours, theirs)
            self.assertEqual(self.orrery("map", name), self.qemu("map", name))
            theirs = json.loads(self.qemu("measure", "--output=json", "-O", "qcow2", name))
            self.assertEqual(json.loads(self.orrery("measure", "--output=json", "-O", "qcow2", name)),
                             theirs)
        for size in ("1G", "77777k", "3T"):
            ours = self.orrery("measure", "-O", "qcow2", "--size", size)
            self.assertEqual(ours, self.qemu("measure", "-O", "qcow2", "--size", size))

    def qemu_io(self, image, *commands):
        if not QEMU_IO:
            self.skipTest("qemu-io is not installed")
        args = [a for c in commands for a in ("-c", c)]
        self.ok(QEMU_IO, "-f", "qcow2", *args, image)

    def test_both_write_one_image(self):
        """Snapshots, resizes and writes by turns; the same steps on a raw disk."""
        self.raw("model.raw", 4 << 20)
        self.orrery("convert", "-f", "raw", "-O", "qcow2", "model.raw", "x.qcow2")
        size, saved = 4 << 20, {}
        for step in range(24):
            tool = self.random.choice([IMG, QEMU])
            act = self.random.randrange(4)
            if act == 0:
                at = self.random.randrange(size >> 9) << 9
                n = min(self.random.randrange(1, 300) << 9, size - at)
                with open("model.raw", "r+b") as f:
                    f.seek(at)
                    f.write(bytes([step]) * n)
                self.qemu_io("x.qcow2", "write -P %d %d %d" % (step, at, n))
            elif act == 1:
                name = "s%d" % step
                self.ok(tool, "snapshot", "-c", name, "x.qcow2")
                shutil.copy("model.raw", name)
                saved[name] = size
            elif act == 2 and saved:
                name = self.random.choice(sorted(saved))
                self.ok(tool, "snapshot", "-a", name, "x.qcow2")
                shutil.copy(name, "model.raw")
                size = saved[name]
            elif act == 3 and saved:
                name = self.random.choice(sorted(saved))
                self.ok(tool, "snapshot", "-d", name, "x.qcow2")
                del saved[name]
            self.qemu("check", "-q", "x.qcow2")
            self.orrery("check", "-q", "x.qcow2")
            self.qemu("compare", "-q", "-f", "qcow2", "-F", "raw", "x.qcow2", "model.raw")
            self.orrery("compare", "-q", "-f", "qcow2", "-F", "raw", "x.qcow2", "model.raw")

    def test_errors(self):
        """The same exit status; the message may name more."""
        self.raw()
        self.orrery("create", "-q", "-f", "qcow2", "x.qcow2", "1M")
        for args in (["info", "none"], ["check", "-f", "raw", "disk.raw"], ["convert", "disk.raw"],
                     ["create", "-f", "qcow2", "y"], ["create", "-f", "qcow2", "-o", "foo=1", "y", "1M"],
                     ["resize", "x.qcow2", "512"], ["snapshot", "-a", "none", "x.qcow2"],
                     ["rebase", "x.qcow2"], ["compare", "x.qcow2", "none"], ["what"],
                     ["convert", "-c", "-f", "raw", "-O", "raw", "disk.raw", "y"],
                     ["compare", "-f", "raw", "x.qcow2", "disk.raw"],
                     ["commit", "x.qcow2"], ["dd", "if=disk.raw"]):
            self.assertEqual(run(IMG, *args)[0], run(QEMU, *args)[0], args)

    def test_repair(self):
        self.raw()
        self.orrery("convert", "-f", "raw", "-O", "qcow2", "disk.raw", "x.qcow2")
        with open("x.qcow2", "r+b") as f:       # the refcount block: a leak and a missing count
            f.seek(2 * 65536 + 2 * 6)
            f.write(b"\0\0\0\5")
        ours, theirs = run(IMG, "check", "x.qcow2"), run(QEMU, "check", "x.qcow2")
        self.assertEqual(ours[0], theirs[0])
        pattern = r"(?:Leaked|ERROR) cluster.*|\d+ errors|\d+ leaked"
        self.assertEqual(sorted(re.findall(pattern, ours[1] + ours[2])),
                         sorted(re.findall(pattern, theirs[1] + theirs[2])))
        self.orrery("check", "-r", "all", "x.qcow2")
        self.qemu("check", "-q", "x.qcow2")
        self.qemu("compare", "-q", "-F", "raw", "x.qcow2", "disk.raw")


class Alone(Img):
    def test_formats_that_are_refused(self):
        """By name, not taken for raw."""
        for name, data, at in (("a.dmg", b"koly", -512), ("b", b"LUKS\xba\xbe", 0), ("c", b"QED\0", 0),
                               ("d", b"WithoutFreeSpace", 0), ("e", b"COWD", 0)):
            with open(name, "wb") as f:
                f.truncate(1 << 20)
                f.seek(at, 2 if at else 0)
                f.write(data)
            status, _, err = run(IMG, "info", name)
            self.assertEqual(status, 1, name)
            self.assertIn("not supported", err)
        self.raw()
        for fmt in ("luks", "dmg", "qed"):
            status, _, err = run(IMG, "info", "-f", fmt, "disk.raw")
            self.assertEqual(status, 1)
            self.assertIn("'%s' is not supported" % fmt, err)

    def test_big_and_empty(self):
        """Neither time nor memory grow with what is not there."""
        with open("a.raw", "wb") as f:
            f.truncate(1 << 40)
            for i in range(100):
                f.seek(i * (10 << 30))
                f.write(bytes([i + 1]) * 65536)
        commands = [["convert", "-O", "qcow2", "a.raw", "a.qcow2"]]
        commands += [["convert", "-O", fmt, "a.qcow2", "b." + fmt] for fmt in ("raw", "qcow2", "vmdk", "vdi")]
        commands += [["info", "a.qcow2"], ["check", "a.qcow2"], ["map", "--output=json", "a.qcow2"],
                     ["measure", "-O", "qcow2", "a.qcow2"], ["compare", "a.qcow2", "b.qcow2"],
                     ["compare", "-f", "raw", "a.raw", "a.qcow2"], ["snapshot", "-c", "s", "a.qcow2"],
                     ["create", "-f", "qcow2", "-b", "a.qcow2", "-F", "qcow2", "o.qcow2"],
                     ["commit", "o.qcow2"], ["resize", "a.qcow2", "+1G"]]
        for args in commands:
            p = subprocess.Popen([IMG, *args], stdout=subprocess.DEVNULL)
            _, status, usage = os.wait4(p.pid, 0)
            p.returncode = status
            self.assertEqual(status, 0, args)
            self.assertLess(usage.ru_maxrss, 100 << 10, args)

    def test_progress(self):
        self.raw()
        for args in (["convert", "-f", "raw", "-O", "qcow2", "disk.raw", "a.qcow2"],
                     ["compare", "-q", "-f", "raw", "-F", "raw", "disk.raw", "disk.raw"]):
            args.insert(1, "--progress=json")
            args = [a for a in args if a != "-q"]
            lines = [x for x in self.orrery(*args).splitlines() if x.startswith("{")]
            last = json.loads(lines[-1])
            self.assertEqual((last["done"], last["total"]), (5 << 20, 5 << 20))
        self.assertEqual(run(IMG, "convert", "--progress=xml", "disk.raw", "y")[0], 1)

    def test_commit_and_rebase(self):
        self.raw()
        self.orrery("convert", "-f", "raw", "-O", "qcow2", "disk.raw", "base.qcow2")
        self.orrery("create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", "mid.qcow2")
        self.raw("other.raw")
        self.orrery("convert", "-n", "-f", "raw", "-O", "qcow2", "other.raw", "mid.qcow2")
        self.orrery("create", "-q", "-f", "qcow2", "-b", "mid.qcow2", "-F", "qcow2", "top.qcow2")
        self.orrery("rebase", "-b", "base.qcow2", "-F", "qcow2", "top.qcow2")
        self.orrery("compare", "-q", "-F", "raw", "top.qcow2", "other.raw")
        os.remove("mid.qcow2")
        self.orrery("check", "-q", "top.qcow2")
        self.orrery("commit", "-q", "top.qcow2")
        self.orrery("compare", "-q", "-F", "raw", "base.qcow2", "other.raw")
        self.orrery("rebase", "-b", "", "top.qcow2")
        self.orrery("compare", "-q", "-F", "raw", "top.qcow2", "other.raw")

    def test_dd_and_bench(self):
        self.raw()
        self.orrery("dd", "-f", "raw", "if=disk.raw", "of=part", "bs=1k", "skip=3", "count=700")
        with open("disk.raw", "rb") as a, open("part", "rb") as b:
            a.seek(3 << 10)
            self.assertTrue(a.read(700 << 10) == b.read())
        self.assertIn("Run completed in",
                      self.orrery("bench", "-c", "500", "-w", "-f", "raw", "--flush-interval=50",
                                  "disk.raw"))

    def test_what_a_snapshot_held_goes_back(self):
        def kept(options):
            self.orrery("create", "-f", "qcow2", "x.qcow2", "16M")
            fill = ["bench", "-w", "-c", "128", "-s", "64k", "-f", "qcow2", "x.qcow2"]
            self.orrery(*fill)
            self.orrery("snapshot", "-c", "one", "x.qcow2")
            self.orrery(*fill)
            before = os.stat("x.qcow2").st_blocks
            self.orrery("snapshot", "-d", "one", "--image-opts",
                        "driver=qcow2,file.filename=x.qcow2" + options)
            self.orrery("check", "x.qcow2")
            self.qemu("check", "x.qcow2")
            return before - os.stat("x.qcow2").st_blocks
        self.assertGreater(kept(""), 15 << 10)                          # 8 MiB, in sectors
        self.assertLess(kept(",pass-discard-snapshot=off"), 1 << 10)
        for wrong, word in ("l2-cache-entry-size=1000", "entry size"), ("cache-clean-interval=1T", "interval"):
            status, _, err = run(IMG, "info", "--image-opts", "driver=qcow2,file.filename=x.qcow2," + wrong)
            self.assertEqual((status, word in err), (1, True), err)

    def test_an_image_names_no_files_of_others(self):
        os.mkdir("in")
        self.raw("secret")
        self.orrery("create", "-q", "-f", "qcow2", "-u", "-b", os.path.join(self.folder, "secret"),
                    "-F", "raw", "in/x.qcow2", "5M")
        status, _, err = run(IMG, "convert", "-O", "raw", "in/x.qcow2", "y")
        self.assertEqual(status, 1)
        self.assertIn("outside its own folder", err)
        env = dict(os.environ, ORRERY_IMAGE_PATH=self.folder)
        status, _, err = run(IMG, "convert", "-O", "raw", "in/x.qcow2", "y", env=env)
        self.assertEqual((status, err), (0, ""))

    def test_locked(self):
        self.orrery("create", "-q", "-f", "qcow2", "x.qcow2", "64M")
        p = subprocess.Popen([IMG, "bench", "-w", "-c", "4000000", "x.qcow2"], stdout=subprocess.PIPE)
        try:
            p.stdout.readline()
            status, _, err = run(IMG, "resize", "x.qcow2", "65M")
            self.assertEqual(status, 1)
            self.assertIn("lock", err)
            self.assertIn("process %d, orrery-img" % p.pid, err)
            self.assertIn("'x.qcow2'", err)
            self.assertEqual(run(IMG, "info", "-U", "x.qcow2")[0], 0)
        finally:
            p.kill()
            p.communicate()
        self.orrery("check", "-q", "-r", "leaks", "x.qcow2")     # kill -9 leaves leaks at most


if __name__ == "__main__":
    unittest.main()
