#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Many changes of the accelerator while Linux works: from KVM to tcg and back, from native code
and from the interpreter to KVM and back.  N rounds each [20]."""

import sys

import boots
from vm import Failed, Skipped


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    for start, others in (("kvm", ("tcg", "kvm")), ("tcg,engine=jit", ("kvm", "tcg")),
                          ("tcg,engine=interp", ("kvm", "tcg"))):
        try:
            told = boots.change_accel(start, others, rounds)
        except Skipped as e:
            print("skipped: %s" % e)
            return 0
        except Failed as e:
            print("FAILED   %s: %s" % (start, e))
            return 1
        print("ok       %s, %d rounds\n%s" % (start, rounds, told), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
