/* SPDX-License-Identifier: MIT */
/*
 * Leaving a block: to a known successor (chained), to a computed address (virtual-pc table),
 * or to the execution loop.  For the handlers of near branches, and the pseudo instructions
 * that the block builder appends.
 *
 * Chaining needs guaranteed tail calls, or the stack would grow with every block.  Without
 * them (no optimisation, sanitizers) every block returns to the loop.
 */
#ifndef TARGET_I386_FLOW_H
#define TARGET_I386_FLOW_H

#include "accel/tcg/block.h"
#include "target-i386/interp.h"

#if defined(__OPTIMIZE__) && !defined(ORRERY_DEBUG) && !defined(__SANITIZE_ADDRESS__)
#define CAN_CHAIN 1
#elif defined(__clang__) && defined(__has_attribute)
#if __has_attribute(musttail)
#define CAN_CHAIN 1
#endif
#endif
#ifndef CAN_CHAIN
#define CAN_CHAIN 0
#endif

/* The pseudo instruction handlers (op-flow.c). */
InsnFn op_end, op_exit;

static inline const Insn *block_insns(const Block *b)
{
    return (const Insn *)b->payload;
}

/*
 * Where a block's links are, so that following one costs a single load: link 1 (taken) in the
 * disp field of the branch, link 0 (not taken, or no branch) in that of the pseudo instruction
 * after it, each a pointer to the first Insn of the other block or NULL; and the block itself
 * in the pseudo instruction's imm.  Kept by x86_link_block.
 */
static inline const Insn *insn_link(const Insn *i)
{
    return (const Insn *)__atomic_load_n((const uintptr_t *)&i->disp, __ATOMIC_RELAXED);
}

/* Go to offset `target` through the link in `at`; end: the pseudo instruction.  32 and 64-bit
 * flat code only. */
#define CHAIN(c, at, end, n, target)                                                        \
    do {                                                                                    \
        const Insn *to_ = insn_link(at);                                                    \
        if (CAN_CHAIN && likely(to_ && !(c)->cpu.request)) {                                \
            (c)->r[17] = (target);                                                          \
            TAIL to_->fn(c, to_);                                                           \
        }                                                                                   \
        TAIL_ANY x86_unchained(c, end, n, target);                                              \
    } while (0)
#define CHAIN_TAKEN(c, i, target) CHAIN(c, i, (i) + 1, 1, target)
#define CHAIN_NEXT(c, i, target)  CHAIN(c, (i) + 1, (i) + 1, 0, target)

/* Link n is not set, or somebody wants us: look target up, or back to the loop. */
void x86_unchained(X86CPU *c, const Insn *end, uint64_t n, uint64_t target);

/* Go to a computed offset, flat code. */
#define JUMP_TO(c, target) JUMP_TO_(TAIL, c, target)
#define JUMP_TO_(tail, c, target)                                                           \
    do {                                                                                    \
        uint64_t pc_ = (target);                                                            \
        const JumpEntry *e_ = &(c)->tcg.jump[jump_hash(pc_)];                               \
        const Block *b_ = e_->block;                                                        \
        if (CAN_CHAIN && likely(e_->pc == pc_) && likely(b_->mode == (c)->mode)) {          \
            const TlbEntry *t_ = &(c)->tcg.code->e[TLB_FETCH][tlb_index(pc_)];              \
            if (likely(t_->tag == (pc_ & GUEST_PAGE_MASK)) &&                               \
                likely((const uint8_t *)(uintptr_t)(pc_ + t_->addend) == b_->host) &&       \
                likely(!(c)->cpu.request)) {                                                \
                (c)->r[17] = pc_;                                                           \
                tail block_insns(b_)->fn(c, block_insns(b_));                               \
            }                                                                               \
        }                                                                                   \
        (c)->rip = pc_;                                                                     \
        return;                                                                             \
    } while (0)

/* The same where CS has a base or a limit: checks the target, #GP(0) with c->rip at i. */
void x86_jump_checked(X86CPU *c, const Insn *i, uint64_t target);
/* Only the check: #GP(0) unless target lies within CS. */
void x86_check_target(X86CPU *c, const Insn *i, uint64_t target);

/* Canonical for the paging in use? */
static inline bool is_canonical(const X86CPU *c, uint64_t va)
{
    unsigned shift = c->cr4 & CR4_LA57 ? 7 : 16;
    return (uint64_t)((int64_t)(va << shift) >> shift) == va;
}

#endif
