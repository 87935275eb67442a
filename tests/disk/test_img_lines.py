#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Command lines that scripts have, given to orrery-img and to qemu-img: the same exit status and
the same words, right and wrong ones alike.  Needs qemu-img and qemu-io.

Each group of LINES begins with the same images and runs in two folders, one for each tool, so
that a line works on what those above it left.  A line that begins with '~' is judged by status
alone: the words differ, for a reason."""

import json
import os
import random
import re
import shlex
import shutil
import subprocess
import tempfile
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
IMG = os.environ.get("ORRERY_IMG", os.path.join(TOP, "build", "orrery-img"))
QEMU, QEMU_IO = shutil.which("qemu-img"), shutil.which("qemu-io")
PATIENCE = float(os.environ.get("ORRERY_PATIENCE", "1"))

IMAGES = ("disk.raw d.qcow2 d.vmdk d.vdi d.vpc c.qcow2 v2.qcow2 ext.qcow2 ov.qcow2 ov2.qcow2 leak.qcow2 "
          "tiny odd.raw").split()
LOOKS = [command + " " + image for image in IMAGES
         for command in ("info", "check", "check --output=json", "map", "map --output=json", "measure -O qcow2",
                         "measure -O raw --output=json", "compare " + image)]

LINES = {
    "looking": LOOKS + """
        info --output=json d.qcow2
        info --output=json disk.raw
        info --output=json d.vmdk
        info --output=json ov.qcow2
        info --backing-chain ov2.qcow2
        info --backing-chain --output=json ov2.qcow2
        info -U d.qcow2
        info -f qcow2 disk.raw
        info -f raw d.qcow2
        info -f nonesuch d.qcow2
        info
        info d.qcow2 d.qcow2
        info --output=xml d.qcow2
        info --nonsense d.qcow2
        info -f
        ~info missing
        info dir
        info --image-opts driver=qcow2,file.filename=d.qcow2
        info --image-opts driver=raw,file.filename=disk.raw --output=json
        info --image-opts -f qcow2 driver=qcow2,file.filename=d.qcow2
        info 'json:{"driver":"qcow2","file":{"driver":"file","filename":"d.qcow2"}}'
        check -r leaks leak.qcow2
        check leak.qcow2
        check -q bad.qcow2
        check -r foo bad.qcow2
        check --output=json bad.qcow2
        check -f raw disk.raw
        ~check -r all bad.qcow2
        check -q bad.qcow2
        map --start-offset=1M --max-length=2M d.qcow2
        map --start-offset=1M --max-length=2M --output=json ov2.qcow2
        map --start-offset=100M d.qcow2
        map --start-offset=x d.qcow2
        measure --size 1G
        measure --size 1G -O qcow2
        measure --size 1G -O qcow2 -o cluster_size=1M,preallocation=full
        measure --size 1G -O vmdk
        measure --size 1G -O nonesuch
        measure --size 1G -O qcow2 -o bogus=1
        measure --size 1G d.qcow2
        measure --size 8E -O qcow2
        measure --size foo
        measure
        measure -O qcow2 snap.qcow2
        compare disk.raw d.qcow2
        compare -s disk.raw d.qcow2
        compare -q d.qcow2 ov.qcow2
        compare d.qcow2 ov.qcow2
        compare ov.qcow2 ov2.qcow2
        compare -s ov.qcow2 ov2.qcow2
        compare d.vmdk d.vdi
        compare tiny empty
        ~compare d.qcow2 missing
        ~-V x
        frobnicate""".strip().split("\n"),
    "making": """
        create -f raw x 10M
        create -f raw x
        create -f raw x 10Z
        create -f raw x 9E
        create -f raw x -1
        create -f raw -o bogus=1 x 10M
        create -f raw -o size=20M x
        create -f raw -o size=20M x 10M
        create -f raw -o preallocation=full x 1M
        create -f raw -b disk.raw -F raw x 1M
        create -f raw nodir/x 1M
        create -f qcow2 x 10M
        create -f qcow2 x
        create -f qcow2 x 10M extra
        ~create -f qcow2 -o , x 1M
        create -f qcow2 -o nocow=on x 1M
        create -f qcow2 -o cluster_size=3k x 1M
        create -f qcow2 -o compat=v2 x 1M
        info x
        create -f qcow2 -o refcount_bits=64,cluster_size=1M,lazy_refcounts=on x 1M
        info x
        create -f qcow2 -o preallocation=metadata x 1M
        check x
        create -f qcow2 -o extended_l2=on x 1M
        create -f qcow2 -b d.qcow2 -F qcow2 x
        info x
        create -f qcow2 -b missing -F raw x
        create -f qcow2 -b missing -F raw -u x 3M
        create -f qcow2 -u -b missing -F raw x
        create -f qcow2 -o backing_file=disk.raw,backing_fmt=nonesuch x
        create -q -f qcow2 x 513
        info x
        create -f vmdk x 10M
        create -f vmdk -o subformat=monolithicFlat x 1M
        create -f vdi x 10M
        create -f vdi -b disk.raw -F raw x
        create -f vhdx x 10M
        create -f vhdx -o subformat=fixed,block_size=1M x 8M
        create -f vpc x 10M
        create -f vpc -o subformat=fixed x 1M
        create -f vdi -o help
        create -f vmdk -o help
        create -f vpc -o help
        ~create -f nonesuch x 1M
        create
        create x
        create -f""".strip().split("\n"),
    "resizing": """
        resize d.qcow2 +1M
        info d.qcow2
        resize d.qcow2 1M
        resize d.qcow2 -1
        resize d.qcow2 -8M
        resize d.qcow2 -90M
        resize --shrink d.qcow2 1M
        info d.qcow2
        resize d.qcow2
        ~resize d.qcow2 foo
        resize --preallocation=bogus d.qcow2 20M
        resize --preallocation=full d.qcow2 20M
        resize -q d.qcow2 22M
        resize d.qcow2 22M
        resize disk.raw 10M
        resize -f raw disk.raw 9M
        resize -f raw --shrink disk.raw 5M
        ~resize d.vdi 20M
        resize v2.qcow2 8M
        resize ext.qcow2 8M
        ~resize missing 1M
        resize -f qcow2 disk.raw 1M""".strip().split("\n"),
    "snapshots": """
        snapshot -c s1 d.qcow2
        snapshot -c s1 d.qcow2
        snapshot -c s2 d.qcow2
        snapshot -l d.qcow2
        info d.qcow2
        info --output=json d.qcow2
        ~snapshot -a nope d.qcow2
        snapshot -a s1 d.qcow2
        snapshot -d nope d.qcow2
        snapshot -d s1 d.qcow2
        snapshot -d 2 d.qcow2
        snapshot -l d.qcow2
        snapshot -l -c x d.qcow2
        snapshot -l disk.raw
        ~snapshot -c x d.vmdk
        snapshot -c
        snapshot
        snapshot --bogus
        snapshot -q -c s3 d.qcow2
        convert -l s3 -O raw d.qcow2 o
        convert -l snapshot.name=s3 -O raw d.qcow2 o
        compare disk.raw o
        ~convert -l nope -O raw d.qcow2 o
        measure -O raw -l s3 d.qcow2""".strip().split("\n"),
    "chains": """
        rebase -u -b disk.raw -F raw ov.qcow2
        info ov.qcow2
        rebase -b disk.raw -F raw ov2.qcow2
        info ov2.qcow2
        compare -q disk.raw ov2.qcow2
        rebase -u -b missing -F qcow2 ov.qcow2
        info ov.qcow2
        ~info --backing-chain ov.qcow2
        ~map ov.qcow2
        ~rebase -b d.qcow2 -F qcow2 ov.qcow2
        rebase ov.qcow2
        rebase -b "" ov2.qcow2
        info ov2.qcow2
        rebase -u -b "" ov.qcow2
        info ov.qcow2
        ~rebase -b missing -F raw ov2.qcow2
        ~rebase -b d.qcow2 -F qcow2 -f raw disk.raw
        rebase""".strip().split("\n"),
    "committing": """
        commit ov2.qcow2
        info ov2.qcow2
        commit -d ov2.qcow2
        commit -b d.qcow2 ov2.qcow2
        commit -b missing ov2.qcow2
        commit ov.qcow2
        compare ov.qcow2 d.qcow2
        check -q d.qcow2
        commit d.qcow2
        commit disk.raw
        ~commit missing
        commit
        commit -q ov.qcow2
        commit -t bogus ov.qcow2""".strip().split("\n"),
    "converting": """
        ~convert missing x
        convert d.qcow2
        convert
        convert d.qcow2 nodir/x
        convert d.qcow2 dir
        ~convert -O nonesuch d.qcow2 x
        convert -f nonesuch d.qcow2 x
        convert -f qcow2 disk.raw x
        ~convert -O qcow2 -o bogus=1 d.qcow2 x
        convert -c -O raw d.qcow2 x
        convert -c -O vdi d.qcow2 x
        ~convert -n d.qcow2 x
        convert -n d.qcow2 tiny
        convert -n -O qcow2 d.qcow2 v2.qcow2
        ~convert -m 0 d.qcow2 x
        convert -m 16 -W -O qcow2 d.qcow2 x
        compare x d.qcow2
        convert -S 0 d.qcow2 x
        convert -S 1000 d.qcow2 x
        convert -S 4M d.qcow2 x
        compare x d.qcow2
        ~map --output=json x
        convert -S 17M d.qcow2 x
        convert -S 64k d.qcow2 x
        ~map x
        convert -t bogus d.qcow2 x
        convert -B d.qcow2 -O qcow2 ov.qcow2 x
        convert -B d.qcow2 -F qcow2 -O qcow2 ov.qcow2 x
        info x
        compare x ov.qcow2
        convert -O qcow2 -B disk.raw -F raw d.qcow2 x
        info x
        compare x d.qcow2
        convert -O qcow2 -B d.qcow2 -F qcow2 ov2.qcow2 x
        convert -O qcow2 -B d.qcow2 -F qcow2 d.vmdk d.vdi x
        ~convert -F qcow2 -O qcow2 ov.qcow2 x
        convert -O qcow2 -o backing_file=d.qcow2,backing_fmt=qcow2 ov.qcow2 x
        info x
        ~convert -O qcow2 d.qcow2 d.qcow2
        convert d.qcow2 disk.raw -O raw x
        info x
        convert -C d.qcow2 x
        convert -C -S 4k d.qcow2 x
        convert -C -c -O qcow2 d.qcow2 x
        convert --salvage -C d.qcow2 x
        convert --salvage d.qcow2 x
        convert --target-is-zero d.qcow2 x
        convert --target-image-opts d.qcow2 driver=raw,file.filename=x
        convert -n --target-image-opts d.qcow2 driver=raw,file.filename=disk.raw
        ~convert -n --target-image-opts -O raw d.qcow2 driver=raw,file.filename=disk.raw
        convert --image-opts -f qcow2 driver=qcow2,file.filename=d.qcow2 x
        convert --bitmaps -O qcow2 snap.qcow2 x
        info x
        convert --bitmaps -O raw snap.qcow2 x
        convert --bitmaps -O qcow2 d.vmdk x
        convert --skip-broken-bitmaps d.qcow2 x
        convert -O qcow2 -o preallocation=full,compression_type=zstd -c d.qcow2 x
        convert -O qcow2 tiny x
        info x
        convert -O qcow2 odd.raw x
        info x
        convert -O raw empty x
        convert -O vpc d.qcow2 x
        info x
        convert -O vdi d.qcow2 x
        convert -r foo d.qcow2 x
        convert --bogus""".strip().split("\n"),
    "amending": """
        amend -o compat=1.1,lazy_refcounts=on v2.qcow2
        info v2.qcow2
        amend -o size=20M d.qcow2
        info d.qcow2
        ~amend -o cluster_size=1M d.qcow2
        amend -o bogus=1 d.qcow2
        amend d.qcow2
        ~amend -o help d.qcow2
        ~amend -f qcow2 -o help
        amend -p -o compat=1.1 d.qcow2
        ~amend -o compat=1.1 d.vmdk
        bitmap --add d.qcow2 b
        bitmap --add d.qcow2 b
        bitmap --remove d.qcow2 b
        bitmap --remove d.qcow2 b
        bitmap d.qcow2 b
        bitmap --add d.qcow2
        ~bitmap --add d.vmdk b
        bitmap --add -g 1M d.qcow2 c
        bitmap --disable d.qcow2 c
        info d.qcow2
        bitmap --merge nope snap.qcow2 b1
        bitmap --merge b0 -b snap.qcow2 -F qcow2 d.qcow2 c
        bitmap""".strip().split("\n"),
    "dd and bench": """
        dd if=disk.raw of=o bs=1M count=2
        dd if=d.qcow2 of=o2 -O qcow2 bs=1M
        info o2
        dd if=d.qcow2
        dd of=x
        ~dd if=missing of=x
        dd if=disk.raw of=o bs=0
        dd if=disk.raw of=o bs=foo
        dd if=disk.raw of=o skip=3 bs=3M
        dd if=disk.raw of=o skip=100 bs=1M
        ~dd if=disk.raw of=o foo=1
        dd
        dd if=disk.raw of=o -C
        ~bench -c 0 -f raw disk.raw
        ~bench -c foo disk.raw
        bench""".strip().split("\n"),
}


def tool(*args, **kw):
    subprocess.run(args, check=True, stdout=subprocess.DEVNULL, timeout=60 * PATIENCE, **kw)


def refcounts(name, *words):
    """Writes these (index, value) into the first refcount block."""
    with open(name, "r+b") as f:
        f.seek(48)
        f.seek(int.from_bytes(f.read(8), "big"))
        block = int.from_bytes(f.read(8), "big")
        for i, value in words:
            f.seek(block + 2 * i)
            f.write(value.to_bytes(2, "big"))


def make_images():
    rnd = random.Random(1)
    with open("disk.raw", "wb") as f:
        f.truncate(8 << 20)
        for _ in range(12):
            f.seek(rnd.randrange(128) << 16)
            f.write(rnd.randbytes(65536))
    for name, fmt, options in (("d.qcow2", "qcow2", []), ("d.vmdk", "vmdk", []), ("d.vdi", "vdi", []),
                               ("d.vpc", "vpc", ["-o", "force_size=on"]), ("c.qcow2", "qcow2", ["-c"]),
                               ("snap.qcow2", "qcow2", []), ("leak.qcow2", "qcow2", []), ("bad.qcow2", "qcow2", [])):
        tool(QEMU, "convert", "-f", "raw", "-O", fmt, *options, "disk.raw", name)
    for line in ("create -f qcow2 -o compat=0.10 v2.qcow2 4M", "create -f qcow2 -o extended_l2=on ext.qcow2 4M",
                 "create -f qcow2 -b d.qcow2 -F qcow2 ov.qcow2",
                 "create -f qcow2 -b ov.qcow2 -F qcow2 ov2.qcow2 16M",
                 "bitmap --add snap.qcow2 b0", "bitmap --add --disable -g 32k snap.qcow2 b1"):
        tool(QEMU, *line.split())
    tool(QEMU_IO, "-f", "qcow2", "ov.qcow2", input=b"write -P 1 1M 128k\nwrite -z 3M 64k\n")
    refcounts("leak.qcow2", (200, 1))
    os.truncate("leak.qcow2", 202 * 65536)
    refcounts("bad.qcow2", (6, 0), (7, 2))
    for name, data in (("tiny", b"hello"), ("empty", b""), ("odd.raw", b"x" * 1000)):
        with open(name, "wb") as f:
            f.write(data)
    os.mkdir("dir")


def words(text):
    """Without what differs from run to run, and the tool's name."""
    text = text.replace("orrery-img", "qemu-img")
    for pattern, by in ((r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "DATE"), (r"(date-n?sec)\": \d+", r"\1: 0"),
                        (r"(?i)\b((?:parent[ -])?cid\"?:) \d+", r"\1 0"), (r"disk size: .*", "disk size"),
                        (r"(actual-size)\": \d+", r"\1: 0"), (r"(?m)^.*\d%\)\r?", "progress")):
        text = re.sub(pattern, by, text)
    return text


def output(text):
    try:
        return words(json.dumps(json.loads(text), sort_keys=True, indent=1))
    except ValueError:
        return words(text)


@unittest.skipUnless(QEMU and QEMU_IO, "qemu-img is not installed")
class Lines(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="orrery-lines-")
        self.old = os.getcwd()
        os.makedirs(self.folder + "/q/w")
        os.chdir(self.folder + "/q/w")
        make_images()
        os.mkdir(self.folder + "/o")
        tool("cp", "-a", "--sparse=always", self.folder + "/q/w", self.folder + "/o")

    def tearDown(self):
        os.chdir(self.old)
        shutil.rmtree(self.folder)

    def answer(self, program, where, line):
        p = subprocess.run([program, *shlex.split(line)], cwd=self.folder + where, stdin=subprocess.DEVNULL,
                           capture_output=True, timeout=60 * PATIENCE)
        return p.returncode, output(p.stdout.decode()), words(p.stderr.decode())

    def compare(self, group):
        for line in LINES[group]:
            line = line.strip()
            theirs = self.answer(QEMU, "/q/w", line.lstrip("~"))
            ours = self.answer(IMG, "/o/w", line.lstrip("~"))
            with self.subTest(line):
                self.assertEqual(ours[0], theirs[0], ours[2] + theirs[2])
                if not line.startswith("~"):
                    self.assertEqual(ours[1:], theirs[1:])


def add(group):
    def test(self):
        self.compare(group)
    test.__doc__ = "Command lines: " + group
    setattr(Lines, "test_" + group.replace(" ", "_"), test)


for name in LINES:
    add(name)

if __name__ == "__main__":
    unittest.main()
