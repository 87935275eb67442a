/* SPDX-License-Identifier: MIT */
/*
 * Native SSE and AVX.
 *
 * Registers held: j->vec_loaded says which XMM registers are in the host register of the same
 * number since some earlier instruction of the block, j->vec_dirty which of them X86CPU.v does
 * not have yet.  jit_vec_flush stores them at ends of blocks and before handlers; cold parts
 * store and reload what was held at their branch.
 */
#include "target-i386/jit.h"

#if HAVE_JIT

#include "target-i386/jit-int.h"

static void move(Jit *j, uint32_t mask, unsigned opc)
{
    for (; mask; mask &= mask - 1) {
        unsigned n = __builtin_ctz(mask);
        asm_op(&j->a, 0, opc, n, jit_field(OFF(v[0]) + (int32_t)sizeof(Vec) * (int32_t)n));
    }
}

void jit_vec_store(Jit *j, uint32_t mask)
{
    move(j, mask, 0x0f29);
}

void jit_vec_load(Jit *j, uint32_t mask)
{
    move(j, mask, 0x0f28);
}

const JitOp jit_simd_ops[] = {
    { NULL }
};

#endif
