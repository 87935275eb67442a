/* SPDX-License-Identifier: MIT */
/*
 * A server for gdb's remote protocol (-gdb, -s, the monitor's gdbserver).
 */
#ifndef MONITOR_GDB_H
#define MONITOR_GDB_H

#include <stdbool.h>
#include "chardev/char.h"
#include "util/error.h"

/* Serve a debugger on this device; there is one server.  "tcp::1234", "unix:...", "chardev:ID",
 * "none": not any more. [bql] */
bool gdb_serve(const char *spec, Error **err);

#endif
