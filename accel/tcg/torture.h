/* SPDX-License-Identifier: MIT */
/*
 * Disturbing the vCPUs for tests (kick=random).
 */
#ifndef ACCEL_TCG_TORTURE_H
#define ACCEL_TCG_TORTURE_H

/* Begin, once all vCPUs are listed in `cpus`; and end, before the first of them goes. [bql] */
void tcg_kick_at_random(void);
void tcg_kick_no_more(void);

#endif
