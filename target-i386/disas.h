/* SPDX-License-Identifier: MIT */
/*
 * Disassembly for logs and the monitor.
 */
#ifndef TARGET_I386_DISAS_H
#define TARGET_I386_DISAS_H

#include <glib.h>
#include <stdint.h>

/*
 * Append one line a instruction in [p, p+len) at address va: "0x...:  bytes  text".  bits: 16,
 * 32 or 64.  Built without capstone the text is the instruction table's mnemonic only.
 * Returns the bytes used by whole instructions.
 */
unsigned x86_disas(GString *out, uint64_t va, const uint8_t *p, unsigned len, unsigned bits);

#endif
