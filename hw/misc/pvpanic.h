/* SPDX-License-Identifier: MIT */
/*
 * The panic notifier, for tables that tell the guest where it is.  [bql]
 */
#ifndef HW_MISC_PVPANIC_H
#define HW_MISC_PVPANIC_H

unsigned pvpanic_port(void);            /* 0 = there is none */

#endif
