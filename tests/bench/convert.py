#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""orrery-img convert beside qemu-img convert: seconds, CPU seconds, memory.

    tests/bench/convert.py [-n ROUNDS] [--mib N] [--dir FOLDER ...] [CASE...]

The tools take turns; each row tells medians and qemu-img's divided by ours.  Without --dir: in
/dev/shm and in the folder for temporary files, where the page cache holds what was just written.
"""

import argparse
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TOOLS = {"orrery": os.environ.get("ORRERY_IMG", os.path.join(TOP, "build", "orrery-img")),
         "qemu": shutil.which("qemu-img")}
# name: image it begins with, arguments
CASES = {
    "raw to raw": ("disk.raw", ["-O", "raw"]),
    "raw to qcow2": ("disk.raw", ["-O", "qcow2"]),
    "qcow2 to raw": ("disk.qcow2", ["-O", "raw"]),
    "qcow2 to qcow2": ("disk.qcow2", ["-O", "qcow2"]),
    "qcow2 to raw -W": ("disk.qcow2", ["-W", "-O", "raw"]),
    "raw to qcow2 -m 1": ("disk.raw", ["-m", "1", "-O", "qcow2"]),
    "raw to raw -S 0": ("disk.raw", ["-S", "0", "-O", "raw"]),
    "overlay to qcow2": ("overlay.qcow2", ["-O", "qcow2"]),
    "raw to vmdk": ("disk.raw", ["-O", "vmdk"]),
    "vmdk to raw": ("disk.vmdk", ["-O", "raw"]),
    "raw to vdi": ("disk.raw", ["-O", "vdi"]),
    "vdi to raw": ("disk.vdi", ["-O", "raw"]),
    "raw to vhdx": ("disk.raw", ["-O", "vhdx"]),
    "vhdx to raw": ("disk.vhdx", ["-O", "raw"]),
    "raw to vpc": ("disk.raw", ["-O", "vpc", "-o", "force_size=on"]),
    "vpc to raw": ("disk.vpc", ["-O", "raw"]),
    "raw to qcow2 -c": ("disk.raw", ["-c", "-O", "qcow2"]),
    "raw to qcow2 -c zstd": ("disk.raw", ["-c", "-O", "qcow2", "-o", "compression_type=zstd"]),
    "compressed to raw": ("packed.qcow2", ["-O", "raw"]),
    "no holes, all zero": ("zero.raw", ["-O", "qcow2"]),
    "sparse raw to qcow2": ("sparse.raw", ["-O", "qcow2"]),
    "1 TiB qcow2 to qcow2": ("big.qcow2", ["-O", "qcow2"]),
}


def qemu_img(*args):
    subprocess.run(["qemu-img", *args], check=True, stdout=subprocess.DEVNULL)


def contents(mib):
    """Megabytes as disks have them: a third random, a third text, the rest halves of both, zeroes."""
    rnd = random.Random(5)
    words = [bytes(rnd.choices(b"etaoinshrdlucmfw", k=rnd.randrange(2, 9))) for _ in range(500)]
    noise, prose = rnd.randbytes(1 << 20), b" ".join(rnd.choices(words, k=260000))[:1 << 20]
    mixed = prose[:1 << 19] + noise[:1 << 19]
    holes = b"".join(noise[i:i + 8192] + bytes(57344) for i in range(0, 1 << 20, 65536))
    for i in range(mib):
        yield [noise, prose, mixed, noise, prose, holes][i % 6]


def images(folder, mib):
    with open(folder + "/disk.raw", "wb") as f:
        for block in contents(mib):
            f.write(block)
    with open(folder + "/zero.raw", "wb") as f:
        for _ in range(mib):
            f.write(bytes(1 << 20))
    with open(folder + "/sparse.raw", "wb") as f:
        f.truncate(64 << 30)
        for i in range(2000):
            f.seek(i * (32 << 20))
            f.write(os.urandom(4096))
    qemu_img("convert", "-O", "qcow2", folder + "/disk.raw", folder + "/disk.qcow2")
    qemu_img("convert", "-c", "-O", "qcow2", folder + "/disk.raw", folder + "/packed.qcow2")
    for other in ("vmdk", "vdi", "vhdx"):
        qemu_img("convert", "-O", other, folder + "/disk.raw", folder + "/disk." + other)
    qemu_img("convert", "-O", "vpc", "-o", "force_size=on", folder + "/disk.raw", folder + "/disk.vpc")
    qemu_img("create", "-f", "qcow2", "-b", "disk.qcow2", "-F", "qcow2", folder + "/overlay.qcow2")
    subprocess.run(["qemu-io", "-f", "qcow2", folder + "/overlay.qcow2"], check=True, stdout=subprocess.DEVNULL,
                   input="".join("write -P 9 %dk 128k\n" % (i * 1024) for i in range(mib)).encode())
    qemu_img("create", "-f", "qcow2", folder + "/big.qcow2", "1T")
    writes = "".join("write -P 7 %dG 64k\n" % (8 * i) for i in range(127))
    subprocess.run(["qemu-io", "-f", "qcow2", folder + "/big.qcow2"], input=writes.encode(), check=True,
                   stdout=subprocess.DEVNULL)


def most_memory(pid):
    """MiB; what wait4 tells would be no less than this program has itself."""
    try:
        with open("/proc/%d/status" % pid) as f:
            found = re.search(r"VmHWM:\s+(\d+)", f.read())
        return int(found[1]) / 1024 if found else 0
    except OSError:
        return 0


def once(tool, args):
    """Seconds, CPU seconds, MiB (looked at now and then)."""
    start = time.monotonic()
    p = subprocess.Popen([tool, *args])
    memory = 0
    while True:
        pid, status, usage = os.wait4(p.pid, os.WNOHANG)
        if pid:
            break
        memory = max(memory, most_memory(p.pid))
        time.sleep(0.002)
    p.returncode = status
    if status:
        sys.exit("%s %s: status %d" % (tool, " ".join(args), status))
    return time.monotonic() - start, usage.ru_utime + usage.ru_stime, memory


def run_case(folder, case, rounds):
    source, args = CASES[case]
    found = {}
    for _ in range(rounds):
        for name, tool in TOOLS.items():
            if not tool:
                continue
            out = folder + "/out"
            found.setdefault(name, []).append(once(tool, ["convert", *args, folder + "/" + source, out]))
            os.unlink(out)
    mine = [statistics.median(x) for x in zip(*found["orrery"])]
    line = "  %-22s orrery %6.2f s %6.2f s CPU %5.0f MiB" % (case, *mine)
    if "qemu" in found:
        other = [statistics.median(x) for x in zip(*found["qemu"])]
        line += "   qemu-img %6.2f s %6.2f s CPU %5.0f MiB   x%.2f   CPU x%.2f" % (
            *other, other[0] / mine[0], other[1] / mine[1])
    print(line, flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("-n", type=int, default=3)
    p.add_argument("--mib", type=int, default=384)
    p.add_argument("--dir", action="append")
    p.add_argument("case", nargs="*", help=", ".join(CASES))
    a = p.parse_args()
    for place in a.dir or ["/dev/shm", tempfile.gettempdir()]:
        with tempfile.TemporaryDirectory(dir=place) as folder:
            images(folder, a.mib)
            print("convert in %s, %d MiB (median of %d)" % (place, a.mib, a.n))
            for case in a.case or CASES:
                run_case(folder, case, a.n)


if __name__ == "__main__":
    main()
