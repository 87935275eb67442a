/* SPDX-License-Identifier: MIT */
/*
 * Several TCP segments of a connection that follow each other become a large one, for ends that
 * take such: a guest then has less to do.
 */
#ifndef NET_COALESCE_H
#define NET_COALESCE_H

#include "net/net.h"

typedef struct NetCoalesce {
    uint8_t *buf;                       /* frame under construction */
    uint32_t len;                       /* of buf; 0: there is none */
    uint32_t next_seq;
    uint16_t size;                      /* payload of the first: all but the last have as much */
    unsigned segments;
    bool busy;                          /* buf is being sent: what comes now goes past it */
} NetCoalesce;

void net_coalesce_init(NetCoalesce *c);
void net_coalesce_exit(NetCoalesce *c);
/* A frame whose checksums are right.  It is sent at once, or kept to grow; what was kept and can't
 * grow by it goes first. */
void net_coalesce_send(NetCoalesce *c, NetClient *from, const uint8_t *frame, size_t len);
/* Send what was kept. */
void net_coalesce_flush(NetCoalesce *c, NetClient *from);

#endif
