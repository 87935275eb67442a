/* SPDX-License-Identifier: MIT */
/*
 * Running alone: some things (a locked access that no host instruction can do, emptying the
 * block cache) must happen while no other vCPU is inside guest code.
 */
#ifndef ACCEL_TCG_EXCLUSIVE_H
#define ACCEL_TCG_EXCLUSIVE_H

#include "accel/tcg/tcg.h"

/* The loop brackets guest code with these; enter waits while somebody runs alone. */
void tcg_enter_guest(CPU *c);
void tcg_leave_guest(CPU *c);

/* Stop all other vCPUs at an instruction boundary (or in a device access).  Own vCPU thread,
 * inside or outside guest code, or any other thread with c NULL.  Nests on one thread. */
void tcg_exclusive_begin(CPU *c);
void tcg_exclusive_end(CPU *c);
/* The same for a locked access, which may end at a device: takes the big lock first, because
 * its holder may be about to stop all vCPUs. */
void tcg_atomic_begin(CPU *c);
void tcg_atomic_end(CPU *c);
/* A guest exception unwinds: end what is open. */
void tcg_exclusive_unwind(CPU *c);
/* While the present vCPU of this thread waits for the big lock, it is not in guest code. */
void tcg_follow_bql(void);

#endif
