/* SPDX-License-Identifier: MIT */
/*
 * Native x87: none yet; every instruction is done by its handler.
 */
#include "target-i386/jit.h"

#if HAVE_JIT

#include "target-i386/jit-int.h"

const JitOp jit_x87_ops[] = {
    { NULL }
};

#endif
