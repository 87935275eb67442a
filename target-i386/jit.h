/* SPDX-License-Identifier: MIT */
/*
 * The native engine of x86-64 hosts, as the rest of target-i386 sees it.
 */
#ifndef TARGET_I386_JIT_H
#define TARGET_I386_JIT_H

#include "accel/tcg/block.h"
#include "target-i386/insn.h"

#if defined(__x86_64__) && defined(__linux__)
#define HAVE_JIT 1
#else
#define HAVE_JIT 0
#endif

/* Blocks are host code (engine=jit).  Set once, before any vCPU runs. */
extern bool x86_jit;

/* Which kind of code blocks become: compact at first and fast when they run often, or always the
 * one or the other (tests).  Set before any vCPU runs. */
enum { X86_JIT_BOTH, X86_JIT_COMPACT, X86_JIT_FAST };
extern int x86_jit_kind;

/* After block_cache_init. */
bool x86_jit_init(Error **err);
/* Host code for `count` decoded instructions whose offsets count from the start of the page;
 * inserts nothing.  host2: as for block_alloc; careful: block_exposed; stop: the loop must be asked after it. */
Block *x86_jit_block(X86CPU *c, uint64_t pc, const uint8_t *host, const uint8_t *host2,
                     uint32_t mode, bool one, bool careful,
                     const Insn *insn, unsigned count, unsigned size, bool stop);
/* An instruction with A_END in its row: may others follow it in a block all the same? */
bool x86_jit_goes_on(const Insn *i);
/* Its part of `info jit`. */
void x86_jit_info(GString *out);
void x86_jit_enter(X86CPU *c, Block *b);
/* Who enters it by the look-up table comes to the loop from now on. */
void x86_jit_kill(Block *b);
void x86_jit_link(Block *from, unsigned n, Block *to);

#endif
