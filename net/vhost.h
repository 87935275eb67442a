/* SPDX-License-Identifier: MIT */
/*
 * vhost-net: a thread of the host's kernel moves frames between a tap interface and two rings.
 *
 * The rings are split virtqueues in memory of this process, and so are all buffers: an address in
 * a descriptor is one of this process.  Nothing here knows a guest.
 *
 * Source: Linux, linux/vhost.h.  Everything under the big lock; the kernel's thread takes no lock.
 */
#ifndef NET_VHOST_H
#define NET_VHOST_H

#include <stdbool.h>
#include <stdint.h>
#include "util/error.h"

typedef struct NetVhost NetVhost;

/* A ring, all of it zero at the start.  VIRTIO 1.2, 2.7; little-endian, no event index. */
typedef struct VhostRing {
    unsigned size;                      /* a power of two */
    void *desc, *avail, *used;
    int kick, call;                     /* eventfds: there is more for the kernel; from it */
} VhostRing;
enum { VHOST_RX, VHOST_TX, VHOST_RINGS };

/* What stands before each frame in the rings */
typedef struct VhostHeader {
    unsigned size;                      /* 10 or 12 (with the number of buffers) */
    bool mergeable;                     /* a frame may take several buffers (size 12) */
    bool on_tap;                        /* the interface has it too; else the kernel adds it */
} VhostHeader;

/* Open /dev/vhost-net; -1 and err: it is not there, or is not for us. */
int net_vhost_open(Error **err);
/* fd becomes this process's, and is closed in any case. NULL and err: it is no vhost-net, belongs
 * to somebody else, or can't do what is needed. */
NetVhost *net_vhost_new(int fd, Error **err);
void net_vhost_free(NetVhost *v);               /* NULL is possible; not while it runs */
/* From now on the kernel moves frames.  false: it does not, nothing has changed. */
bool net_vhost_start(NetVhost *v, int tap, const VhostHeader *h,
                     const VhostRing rings[VHOST_RINGS], Error **err);
/* When it returns the kernel touches rings and buffers no more; taken: how far it came in each
 * ring's avail.  false: that is not known, and it can't be started again. */
bool net_vhost_stop(NetVhost *v, uint16_t taken[VHOST_RINGS]);

/* All system calls on a vhost descriptor go through this; tests put a kernel of theirs here. */
extern int (*net_vhost_ioctl)(int fd, unsigned long request, void *arg);

#endif
