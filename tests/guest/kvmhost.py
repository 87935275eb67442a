# SPDX-License-Identifier: MIT
"""Has this host a KVM for us?"""

import fcntl
import os

GET_API_VERSION = 0xae00
WHY_NOT = "/dev/kvm is absent or refuses"


def usable():
    """/dev/kvm opens, and what is behind it is KVM."""
    try:
        dev = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return fcntl.ioctl(dev, GET_API_VERSION, 0) == 12
    except OSError:
        return False
    finally:
        os.close(dev)
