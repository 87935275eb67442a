/* SPDX-License-Identifier: MIT */
/*
 * The vCPUs' threads: one for each entry of `cpus`, or one for all, started together after the board is built
 * and stopped together whenever the machine's state must stand still.
 *
 * CPU.stop is what is wanted, CPU.stopped what was reached; both under the big lock.
 */
#ifndef SYSTEM_CPUS_H
#define SYSTEM_CPUS_H

#include "accel/cpu.h"

/* Start the threads; every vCPU is set up by the accelerator, and stopped, on return. [bql] */
bool cpus_start(Error **err);
/* Wait until every vCPU stands at an instruction boundary.  The big lock is released
 * meanwhile, so device state may change until it returns. [bql, not on a vCPU thread] */
void cpus_pause_all(void);
void cpus_resume_all(void);
/* On a vCPU thread: execute nothing more until cpus_resume_all; else no effect. */
void cpus_stop_current(void);
/* The vCPU that stopped first with EXIT_DEBUG; -1: none since it was last set so. [bql] */
extern int cpu_debugged;
/* End the threads. [bql] */
void cpus_end(void);

#endif
