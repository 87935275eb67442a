/* SPDX-License-Identifier: MIT */
/*
 * Filters: they see the frames of a back-end, from both sides.
 */
#ifndef NET_FILTER_H
#define NET_FILTER_H

#include "net/net.h"

struct NetFilter {
    const char *type;                   /* "filter-dump" */
    const char *id;                     /* of the object */
    NetClient *netdev;
    bool on, rx, tx;                    /* as the back-end sees it */
    void (*see)(NetFilter *f, const struct iovec *iov, int n);
};

/* Into the back-end's list; position: "head", "tail", or "id=ID", just before or behind that one. */
bool net_filter_add(NetFilter *f, const char *netdev, const char *position, bool before, Error **err);
void net_filter_remove(NetFilter *f);

/* Frames to a pcap file (net/dump.c). */
typedef struct NetDump {
    NetFilter filter;                   /* always first */
    int fd;
    uint32_t max_len;
    bool failed;
} NetDump;
/* NULL and err if the file can't be made. */
NetDump *net_dump_open(const char *path, uint32_t max_len, Error **err);
void net_dump_close(NetDump *d);

#endif
