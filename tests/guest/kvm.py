#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Many changes of the accelerator while Linux works and writes to a disk: from KVM to tcg and back,
with the interrupt controllers here and there, from native code and from the interpreter to KVM and
back.  N rounds each [20]."""

import sys

import boots
from vm import Failed, Skipped


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    for start, others, smp in (("kvm", ("tcg", "kvm"), 1), ("tcg,engine=jit", ("kvm", "tcg"), 1),
                               ("tcg,engine=interp", ("kvm", "tcg"), 2),
                               ("kvm,kernel-irqchip=on", ("tcg", "kvm"), 1),
                               ("kvm,kernel-irqchip=on", ("tcg", "kvm"), 2),
                               ("kvm,kernel-irqchip=split", ("tcg", "kvm"), 2)):
        try:
            told = boots.change_accel(start, others, rounds, smp)
        except Skipped as e:
            print("skipped: %s" % e)
            return 0
        except Failed as e:
            print("FAILED   %s: %s" % (start, e))
            return 1
        print("ok       %s, %d vCPUs, %d rounds\n%s" % (start, smp, rounds, told), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
