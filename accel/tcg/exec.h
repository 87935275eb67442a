/* SPDX-License-Identifier: MIT */
/*
 * The execution loop.
 */
#ifndef ACCEL_TCG_EXEC_H
#define ACCEL_TCG_EXEC_H

#include "accel/tcg/tcg.h"

/* Accel.run: run guest code until somebody wants the vCPU back.  Own thread, without the bql. */
ExitReason tcg_run(CPU *c);

#endif
