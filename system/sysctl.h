/* SPDX-License-Identifier: MIT */
/*
 * The other end of hw/core/sysctl.h: what the run state does to the machine's buttons.  [bql]
 */
#ifndef SYSTEM_SYSCTL_H
#define SYSTEM_SYSCTL_H

void sysctl_press_power(void);      /* the registered power button, if the board has one */
void sysctl_wake(void);             /* tell the power management chip that S3 ended */

#endif
