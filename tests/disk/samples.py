#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Small images of formats that only qemu-img makes, into a folder, for test-formats to damage."""

import os
import random
import shutil
import subprocess
import sys

SAMPLES = [("a.vhdx", "block_size=1M"), ("b.vhdx", "subformat=fixed"),
           ("c.vmdk", "subformat=streamOptimized"), ("d.vmdk", "subformat=monolithicFlat"),
           ("e.vpc", "subformat=dynamic"), ("f.vdi", "static=on"),
           ("g.qcow2", "cluster_size=16k,extended_l2=on")]


def main(folder):
    raw = os.path.join(folder, "raw")
    with open(raw, "wb") as f:
        f.write(random.Random(1).randbytes(1 << 20))
        f.truncate(2 << 20)
    for name, options in SAMPLES if shutil.which("qemu-img") else []:
        subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", name[2:], "-o", options, raw,
                        os.path.join(folder, name)], check=True)
    os.remove(raw)


if __name__ == "__main__":
    main(sys.argv[1])
