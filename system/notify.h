/* SPDX-License-Identifier: MIT */
/*
 * What disks and the clock tell: errors, tray moves and changes of the guest's time become
 * QMP events and changes of the run state.
 */
#ifndef SYSTEM_NOTIFY_H
#define SYSTEM_NOTIFY_H

void notify_init(void);

#endif
