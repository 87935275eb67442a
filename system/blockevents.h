/* SPDX-License-Identifier: MIT */
/*
 * What disks tell: errors and tray moves become QMP events and changes of the run state.
 */
#ifndef SYSTEM_BLOCKEVENTS_H
#define SYSTEM_BLOCKEVENTS_H

void block_events_init(void);

#endif
