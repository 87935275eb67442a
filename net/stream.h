/* SPDX-License-Identifier: MIT */
/*
 * A back-end whose other end is a stream socket: each frame behind its length, 32 bits,
 * big-endian.  Used by -netdev stream and by -netdev socket,listen= and connect=.
 */
#ifndef NET_STREAM_H
#define NET_STREAM_H

#include "net/net.h"
#include "net/sockaddr.h"

/* server: listen at the address, else connect to it (or use the descriptor).  reconnect: seconds
 * until a lost connection is tried again, 0: never.  The address is borrowed. */
NetClient *net_stream_open(const char *model, const char *name, const NetAddr *a, bool server,
                           unsigned reconnect, Error **err);
/* A back-end on a datagram socket (net/dgram.c): frames go to `to` if len is not 0, else the
 * socket is connected.  fd becomes its. */
NetClient *net_dgram_new(const char *model, const char *name, int fd, const NetAddr *to);
/* A socket that sends to and hears of a multicast group; local NULL: any interface.  -1: err. */
int net_mcast_socket(const NetAddr *group, const struct in_addr *local, Error **err);
/* A bound datagram socket; -1: err. */
int net_dgram_socket(const NetAddr *local, Error **err);

#endif
