/* SPDX-License-Identifier: MIT */
/*
 * What the files of hw/core share among themselves.  Big lock held.
 */
#ifndef HW_CORE_LIFECYCLE_H
#define HW_CORE_LIFECYCLE_H

#include "hw/core/device.h"

/* One device: the bus's part, then its own. */
void device_reset(Device *dev);
/* The reverse of realize; the struct stays. */
void device_withdraw(Device *dev);
/* First bus of a type with room for one more, else the first one; NULL if there is none. */
Bus *bus_with_room(const char *type);

#endif
