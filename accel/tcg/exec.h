/* SPDX-License-Identifier: MIT */
/*
 * The execution loop.
 */
#ifndef ACCEL_TCG_EXEC_H
#define ACCEL_TCG_EXEC_H

#include "accel/tcg/tcg.h"

/* What every user of the engine needs once, also an accelerator that only borrows it.  cache:
 * bytes for blocks, 0 = default, by the first call.  A process that has begun with the interpreter may
 * still get native code, while all vCPUs stand still; that then stays. */
bool tcg_engine_init(size_t cache, TcgEngine engine, Error **err);

/* Accel.run: run guest code until somebody wants the vCPU back.  Own thread, without the bql. */
ExitReason tcg_run(CPU *c);

/*
 * The same for an accelerator that runs guest code itself and wants a helping hand: at least
 * one instruction, then on until the monotonic clock reaches *until (ns; 0: at once, and an
 * instruction or another thread may set that) or, with
 * several vCPUs, an interrupt wants in.  EXIT_KICKED: the time is over at an instruction boundary with
 * nothing under way, or CPU_REQ_EXIT is up.  Adds to *insns how many ran (a block that was left
 * early counts whole).  Before it the caller drops what stores unseen by the engine may have
 * made stale: block_flush_all, tcg_tlb_flush.
 */
ExitReason tcg_run_slice(CPU *c, const int64_t *until, uint64_t *insns);

#endif
