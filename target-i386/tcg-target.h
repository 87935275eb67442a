/* SPDX-License-Identifier: MIT */
/*
 * Parts of the x86 side of accel/tcg that call each other.  See struct TcgTarget for what
 * they do.
 */
#ifndef TARGET_I386_TCG_TARGET_H
#define TARGET_I386_TCG_TARGET_H

#include "accel/tcg/block.h"

/* block.c */
Block *x86_translate(CPU *c, uint64_t pc, const uint8_t *host, uint32_t mode);
void x86_run_uncached(CPU *c, uint64_t pc, uint32_t mode);
void x86_kill_block(Block *b);
void x86_link_block(Block *from, unsigned n, Block *to);
void x86_log_enter(CPU *c, const Block *b);

#endif
