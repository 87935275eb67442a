/* SPDX-License-Identifier: MIT */
/*
 * The wire: ends (NetClient) that send each other Ethernet frames.  A network card is one end, a
 * back-end (user, tap, socket ...) or a port of a hub the other; two ends are peers, or an end
 * has none and what it sends is lost.
 *
 * An end that can't take a frame now says so; the frame then waits in the end's queue, whose
 * size is bounded, and the sender learns of it and stops until its writable hook is called.
 *
 * Frames carry no FCS.  A frame may have work left on it (NetOffload: a checksum to be filled
 * in, a TCP segment to be cut up); ends say what of that they take (NetClient.takes), and the
 * wire does the rest (net/offload.c).
 *
 * Everything under the big lock; senders are the main loop or a vCPU thread.
 */
#ifndef NET_NET_H
#define NET_NET_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>
#include "util/error.h"
#include "util/json.h"

#define NET_MIN_FRAME    60u            /* without FCS: shorter ones are padded by cards */
#define NET_MAX_FRAME    (64u * 1024 + 256)     /* with offload; longer ones are dropped */
#define NET_QUEUE_FRAMES 256u           /* frames waiting for an end; more are dropped */
#define NET_QUEUES_MAX   64u            /* queues of a back-end */
#define NET_HUB_NONE     (-1)

typedef struct NetClient NetClient;
typedef struct NetFilter NetFilter;
struct VhostHeader;
struct VhostRing;

/* Work left on a frame.  Fields and values are those of struct virtio_net_hdr (VIRTIO 1.2,
 * 5.1.6), in host byte order. */
typedef struct NetOffload {
    uint8_t flags, gso;
    uint16_t header_len;                /* Ethernet, IP and TCP header; a hint */
    uint16_t gso_size;                  /* payload of a segment */
    uint16_t csum_start, csum_offset;   /* sum from start to the end, stored at start + offset */
} NetOffload;
#define NET_OFFLOAD_CSUM   1            /* flags: the checksum is to be filled in */
#define NET_OFFLOAD_VALID  2            /* flags: the checksums were checked */
#define NET_GSO_NONE       0
#define NET_GSO_TCP4       1
#define NET_GSO_UDP        3
#define NET_GSO_TCP6       4
#define NET_GSO_ECN        0x80         /* with a TCP kind */

/* What an end takes (NetClient.takes) */
#define NET_TAKES_CSUM     0x01         /* frames without checksum */
#define NET_TAKES_TSO4     0x02         /* large TCP segments ... */
#define NET_TAKES_TSO6     0x04
#define NET_TAKES_ECN      0x08         /* ... with ECN bits */

typedef struct NetOps {
    const char *model;                  /* "user", "tap", "nic" */
    /* May receive be called?  NULL: always. */
    bool (*can_receive)(NetClient *nc);
    /* A frame.  false: no room, it is kept; the end calls net_flush when there is.  off may be
     * NULL; it never has work that the end does not take. */
    bool (*receive)(NetClient *nc, const struct iovec *iov, int n, const NetOffload *off);
    /* For cards: nc->batch has become false; interrupts may wait for that. */
    void (*batch_over)(NetClient *nc);
    /* net_send or net_can_send returned false before: go on. */
    void (*writable)(NetClient *nc);
    /* nc->link_down changed. */
    void (*link_changed)(NetClient *nc);
    /* The peer is there, is gone, or changed what it takes. */
    void (*peer_changed)(NetClient *nc);
    /* Back-ends with a half in the host's kernel (net/vhost.h): it moves the frames between start
     * and stop, and neither send nor receive is used.  See there for what they promise. */
    bool (*vhost_start)(NetClient *nc, const struct VhostHeader *h, const struct VhostRing *rings,
                        Error **err);
    bool (*vhost_stop)(NetClient *nc, uint16_t *taken);
    /* Back-ends of several queues: the card uses this one, or frames must go to the others. */
    void (*use_queue)(NetClient *nc, bool on);
    /* For cards: net_running() changed. */
    void (*running_changed)(NetClient *nc);
    /* Give up what it holds; back-ends only. */
    void (*close)(NetClient *nc);
    /* For cards: the driver is asked to say where it is (announce-self); NULL: it can't. */
    void (*announce)(NetClient *nc);
    /* For cards: query-rx-filter's answer, given away; NULL: has no filter to show. */
    Json *(*rx_filter)(NetClient *nc);
} NetOps;

typedef struct NetCounters {
    uint64_t frames, bytes, dropped;
} NetCounters;

struct NetClient {
    const NetOps *ops;
    char *name;                         /* id of the -netdev or of the card */
    char *info;                         /* what info network shows behind the name */
    const char *model;                  /* "user", "e1000" */
    NetClient *peer;
    unsigned index;                     /* of several queues with the same name */
    bool is_nic, is_netdev;             /* a card; made by -netdev or netdev_add */
    bool has_vhost;                     /* of back-ends: vhost_start is possible */
    bool link_down;
    uint8_t mac[6];                     /* of cards: the address they use now */
    uint32_t takes;
    void *opaque;                       /* the owner's */
    GPtrArray *filters;                 /* of NetFilter*, nearest to a back-end first; or NULL */
    /* private to net/ */
    GQueue waiting;                     /* of frames for this end */
    bool batch;                         /* more will come: see net_batch */
    bool delivering;                    /* receive is at work: what comes waits */
    bool blocked;                       /* owed a call of writable */
    NetCounters sent;                   /* by this end */
    NetCounters rate_from;              /* as of the last info network, and when that was */
    int64_t rate_time;
};

/* ---- life ----------------------------------------------------------------------------- */

/* Put an end on the list.  Strings are copied, model is not. */
void net_client_init(NetClient *nc, const NetOps *ops, const char *model, const char *name);
void net_client_set_info(NetClient *nc, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
/* Off the list; frames waiting are dropped, the peer is told.  The struct stays the caller's. */
void net_client_exit(NetClient *nc);
void net_connect(NetClient *a, NetClient *b);
void net_disconnect(NetClient *nc);
/* The end of this name (queue 0), NULL if there is none.  Cards are told from back-ends by want. */
NetClient *net_find(const char *name);
NetClient *net_find_nic(const char *name);
NetClient *net_find_backend(const char *name);
/* Queue index of the back-end of this name. */
NetClient *net_find_queue(const char *name, unsigned index);
void net_foreach(void (*fn)(NetClient *nc, void *opaque), void *opaque);
/* "e1000.0": model and a number that is free. g_free */
char *net_new_name(const char *model);

/* ---- frames --------------------------------------------------------------------------- */

/* Send a frame to the peer.  false: it waits or is lost, and the sender should stop until its
 * writable hook is called.  off may be NULL. */
bool net_send(NetClient *from, const struct iovec *iov, int n, const NetOffload *off);
bool net_send_buf(NetClient *from, const void *buf, size_t len);
/* Between on and off, which must come soon, a card may keep the guest from being interrupted for
 * each frame it gets from this end. */
void net_batch(NetClient *from, bool on);
/* Would net_send be taken at once?  false: writable will be called when that has changed. */
bool net_can_send(NetClient *from);
/* This end can receive again: deliver what waits for it. */
void net_flush(NetClient *nc);
/* Frames waiting for this end */
static inline unsigned net_waiting(const NetClient *nc)
{
    return nc->waiting.length;
}
/* Forget what waits for this end (reset). */
void net_purge(NetClient *nc);
/* While the machine is stopped nothing reaches a card and no card sends by itself; afterwards
 * all writable hooks of cards are called. */
void net_set_running(bool running);
bool net_running(void);

/* ---- link, options -------------------------------------------------------------------- */

/* set_link: a card, or a back-end together with its card. */
bool net_set_link(const char *name, bool up, Error **err);
void net_info(GString *out);                    /* `info network` */
/* query-rx-filter; name NULL: all cards.  NULL and err: no such card. */
Json *net_rx_filter(const char *name, Error **err);

#endif
