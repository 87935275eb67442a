#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the test386 CPU test ROM in place of the firmware.

    TEST386=DIR tests/suites/test386.py

DIR holds test386.bin (64 or 128 KiB), set up to write its progress to port 190h (else:
--post-port), and test386-EE-reference.txt, which its results must equal.  They are taken from
where the ROM writes them: COM1, LPT2, or a port of its own (E9h, else: --out-port).
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
EMULATOR = os.environ.get("ORRERY", os.path.join(TOP, "build", "orrery-system-x86_64"))
PATIENCE = float(os.environ.get("ORRERY_PATIENCE", "1"))
DONE = 0xff


def read(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except FileNotFoundError:
        return b""


def run(rom, post_port, out_port, cpu, limit):
    """(progress codes, results, seconds): until all is done or nothing has moved for a while"""
    with tempfile.TemporaryDirectory() as d:
        cmd = [EMULATOR, "-accel", "tcg", "-display", "none", "-nodefaults", "-m", "16",
               "-cpu", cpu, "-bios", rom,
               "-chardev", "file,id=post,path=%s/post" % d,
               "-device", "isa-debugcon,iobase=%d,chardev=post" % post_port,
               "-chardev", "file,id=out,path=%s/out" % d,
               "-device", "isa-debugcon,iobase=%d,chardev=out" % out_port,
               "-serial", "file:%s/com" % d, "-parallel", "file:%s/lpt" % d]
        results = lambda: max((read(d + name) for name in ("/out", "/com", "/lpt")), key=len)
        begin = time.monotonic()
        p = subprocess.Popen(cmd, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        last, moved = (0, 0), begin
        try:
            while p.poll() is None and time.monotonic() - moved < limit * PATIENCE:
                time.sleep(0.1)
                post, out = read(d + "/post"), results()
                if post.endswith(bytes((DONE,))):
                    break
                if (len(post), len(out)) != last:
                    last, moved = (len(post), len(out)), time.monotonic()
        finally:
            p.terminate()
            _, err = p.communicate()
        if p.returncode not in (0, -15):
            raise SystemExit("test386.py: the emulator ended with status %d: %s"
                             % (p.returncode, err.decode(errors="replace").strip()[-400:]))
        return read(d + "/post"), results(), time.monotonic() - begin


def differences(out, reference):
    ours, theirs = out.split(b"\n"), reference.split(b"\n")
    if len(ours) != len(theirs):
        yield "%d lines of results, should be %d" % (len(ours), len(theirs))
    for k, (a, b) in enumerate(zip(ours, theirs)):
        if a.strip() != b.strip():
            yield "line %d: %s\n      should be: %s" % (k + 1, a.decode(errors="replace"),
                                                      b.decode(errors="replace"))


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    ap.add_argument("--post-port", type=lambda v: int(v, 0), default=0x190)
    ap.add_argument("--out-port", type=lambda v: int(v, 0), default=0xe9)
    ap.add_argument("--cpu", default="max")
    ap.add_argument("--stall", type=float, default=20, help="seconds without progress [20]")
    a = ap.parse_args()
    folder = os.environ.get("TEST386")
    if not folder:
        print("skipped: TEST386 does not name a folder with test386.bin")
        return 0
    for name in ("test386.bin", "test386-EE-reference.txt"):
        if not os.path.exists(os.path.join(folder, name)):
            sys.exit("test386.py: '%s' has no %s" % (folder, name))
    post, out, seconds = run(os.path.join(folder, "test386.bin"), a.post_port, a.out_port, a.cpu,
                             a.stall)
    print("progress: %s (%.1f s)" % (" ".join("%02X" % b for b in post), seconds))
    if not post.endswith(bytes((DONE,))):
        print("FAILED   test386: stopped in test %s"
              % ("%02Xh" % post[-1] if post else "before the first"))
        return 1
    wrong = list(differences(out, read(os.path.join(folder, "test386-EE-reference.txt"))))
    for w in wrong[:20]:
        print("    " + w)
    print("FAILED   test386: %d differences" % len(wrong) if wrong else
          "ok       test386: %d lines of results as they should be" % out.count(b"\n"))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
