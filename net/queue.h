/* SPDX-License-Identifier: MIT */
/*
 * What the files of net/ share about the way of a frame.
 */
#ifndef NET_QUEUE_H
#define NET_QUEUE_H

#include "net/net.h"

/* Hand a frame to an end, past filters: delivered, or kept in its queue (false). */
bool net_deliver(NetClient *to, const struct iovec *iov, int n, const NetOffload *off);
/* Let the filters at both ends see a frame that from sends. */
void net_filters_see(NetClient *from, const struct iovec *iov, int n, const NetOffload *off);
/* The end goes: its filters have none any more. */
void net_filters_orphan(NetClient *nc);
void net_filters_info(const NetClient *nc, GString *out);

#endif
