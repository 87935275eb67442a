/* SPDX-License-Identifier: MIT */
/*
 * The server of QEMU's qtest protocol: a test outside the process reads and writes ports and
 * memory, moves the clock, watches interrupt lines.  It stands above all devices and drives
 * the whole machine, hence its place beside the main program.
 */
#ifndef SYSTEM_QTEST_H
#define SYSTEM_QTEST_H

#include <stdbool.h>
#include "util/error.h"

/* -qtest DEV [-qtest-log FILE]; log may be NULL.  After the machine is made. [bql] */
bool qtest_start(const char *chardev, const char *log, Error **err);

#endif
