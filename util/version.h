/* SPDX-License-Identifier: MIT */
/*
 * Our version, and the version of QEMU whose options, machine protocol and devices we speak:
 * clients decide by that one what they may ask for.
 */
#ifndef UTIL_VERSION_H
#define UTIL_VERSION_H

#define ORRERY_VERSION "0.1.0"

#define QEMU_COMPAT_MAJOR 7
#define QEMU_COMPAT_MINOR 2
#define QEMU_COMPAT_MICRO 0
#define QEMU_COMPAT_VERSION "7.2.0"

#endif
