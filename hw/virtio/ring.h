/* SPDX-License-Identifier: MIT */
/*
 * A virtqueue from the inside: what queue.c (elements, notification) shares with the two ring
 * formats, split.c and packed.c.  [bql]
 *
 * The rings are read and written through host pointers, looked up again whenever the memory
 * map changed.  The driver runs at the same time: every field is read once, and an index is
 * published only after what it covers (2.7.13, 2.8.21).
 */
#ifndef HW_VIRTIO_RING_H
#define HW_VIRTIO_RING_H

#include "hw/virtio/virtio.h"

/* A descriptor, of either format */
#define DESC_SIZE       16
#define DESC_NEXT       0x0001
#define DESC_WRITE      0x0002
#define DESC_INDIRECT   0x0004
#define DESC_AVAIL      0x0080          /* packed: bit 7 */
#define DESC_USED       0x8000          /* packed: bit 15 */

/* One area of guest memory, contiguous in the host too */
typedef struct RingMap {
    uint8_t *host;                      /* NULL: not RAM, or not in one piece */
    RamBlock *ram;
    uint64_t off;                       /* in ram */
} RingMap;

struct VirtQueue {
    VirtIODevice *v;
    VirtQueueHandler *handler;
    uint16_t size, max_size;            /* entries; 0: no such queue */
    hwaddr desc, driver, device;        /* areas; split: descriptors, avail, used */
    bool enabled;
    uint16_t vector;
    /* Where the ring stands.  Split: free-running.  Packed: below size, with wrap counters. */
    uint16_t next_avail, next_used;
    bool avail_wrap, used_wrap;
    uint16_t signalled;                 /* next_used at the last interrupt */
    bool signalled_valid;
    bool notify;                        /* the device wants to be told */
    uint32_t in_flight;
    /* not saved */
    bool is_packed;
    uint16_t avail_seen;                /* split: avail->idx as read last */
    uint16_t first_id;                  /* packed: the element filled first waits for flush */
    uint32_t first_len;
    unsigned filled;                    /* packed: slots of the elements filled so far */
    uint32_t generation;                /* of the memory map, when mapped */
    bool mapped;
    RingMap m_desc, m_driver, m_device;
};

/* Buffers of the element under construction. */
typedef struct Gather {
    VirtQueue *vq;
    unsigned out_num, in_num, descs;
    size_t out_len, in_len;
    struct iovec iov[VIRTIO_QUEUE_MAX];
    hwaddr addr[VIRTIO_QUEUE_MAX];
} Gather;

/* queue.c: the areas are accessible (else the device is broken). */
bool ring_map(VirtQueue *vq);
/* Add a descriptor's buffer; false: broken. */
bool gather_add(Gather *g, hwaddr addr, uint32_t len, bool write);
/* Host memory of an indirect table of len bytes, or a copy in *copy (g_free); NULL: broken. */
const uint8_t *indirect_table(VirtQueue *vq, hwaddr addr, uint32_t len, uint8_t **copy);

/* Tell the engine that [at, at + len) of an area was stored to. */
static inline void ring_written(const RingMap *m, uint32_t at, uint32_t len)
{
    ram_written(m->ram, m->off + at, len);
}

/* The format's side of virtqueue_*: */
bool split_empty(VirtQueue *vq);
bool split_pop(VirtQueue *vq, Gather *g, uint16_t *id);     /* not empty */
void split_unpop(VirtQueue *vq);
void split_fill(VirtQueue *vq, const VirtQElement *e, uint32_t len, unsigned index);
void split_flush(VirtQueue *vq, unsigned count);
bool split_should_notify(VirtQueue *vq);
void split_enable_notify(VirtQueue *vq);

bool packed_empty(VirtQueue *vq);
bool packed_pop(VirtQueue *vq, Gather *g, uint16_t *id, uint16_t *ndescs);
void packed_unpop(VirtQueue *vq, unsigned ndescs);
void packed_fill(VirtQueue *vq, const VirtQElement *e, uint32_t len, unsigned index);
void packed_flush(VirtQueue *vq);
bool packed_should_notify(VirtQueue *vq);
void packed_enable_notify(VirtQueue *vq);

#endif
