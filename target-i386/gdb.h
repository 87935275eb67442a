/* SPDX-License-Identifier: MIT */
/*
 * The registers of an x86 CPU as gdb numbers them, and the description it asks for.  A CPU
 * with long mode is i386:x86-64 in all its modes, as QEMU's is; one without is i386.
 *
 * All [bql, vCPU stopped].  Values are little-endian bytes.
 */
#ifndef TARGET_I386_GDB_H
#define TARGET_I386_GDB_H

#include <glib.h>
#include "accel/cpu.h"

/* target.xml, generated; valid as long as the process. */
const char *x86_gdb_xml(CPU *c);
unsigned x86_gdb_count(CPU *c);
/* How many of them the `g` packet has. */
unsigned x86_gdb_core_count(CPU *c);
/* Append register n; false: there is none. */
bool x86_gdb_read(CPU *c, unsigned n, GByteArray *out);
/* Set register n from buf, of which len bytes are there.  Bytes used; 0: no such register, too
 * few bytes, or another value than the present one for one that can't be set (selectors,
 * control registers). */
size_t x86_gdb_write(CPU *c, unsigned n, const uint8_t *buf, size_t len);

#endif
