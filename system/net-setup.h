/* SPDX-License-Identifier: MIT */
/*
 * The network as the command line wants it, and its connections to the other layers.
 */
#ifndef SYSTEM_NET_SETUP_H
#define SYSTEM_NET_SETUP_H

#include "hw/core/machine.h"
#include "util/error.h"

/* Hooks: properties "netdev", streams of guestfwd.  Once, first. */
void network_init(void);
/* Back-ends of -netdev, -nic and -net, or the default ones; cards are asked of the board. */
bool network_add(const MachineType *type, Error **err);
/* When all devices are there: warn of what leads nowhere. */
void network_check(void);

#endif
