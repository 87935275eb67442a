/* SPDX-License-Identifier: MIT */
/*
 * Hubs: what one port sends, all others of the hub get.  -netdev hubport, and hub 0 for -net.
 */
#ifndef NET_HUB_H
#define NET_HUB_H

#include "net/net.h"

/* A new port; name NULL: one is made up. */
NetClient *net_hub_add_port(int hub, const char *name);
/* Number of the hub that this end is a port of, NET_HUB_NONE. */
int net_hub_of(const NetClient *nc);
void net_hub_info(GString *out, void (*print)(GString *out, NetClient *nc, const char *indent));
/* Warn of hubs without a card, or with nothing but cards. */
void net_hub_check(void);

#endif
