/* SPDX-License-Identifier: MIT */
/*
 * Split virtqueues: a table of descriptors, a ring of heads the driver makes available, a ring
 * of heads the device has used.
 *
 * Source: VIRTIO 1.2, section 2.7.
 *
 *     available   0 flags  2 idx  4 ring[size]       4 + 2 * size: used_event
 *     used        0 flags  2 idx  4 { id, len }[]    4 + 8 * size: avail_event
 */
#include "hw/virtio/ring.h"
#include "util/bits.h"
#include "util/fence.h"

#define AVAIL_NO_INTERRUPT 1
#define USED_NO_NOTIFY     1

static inline void set_used16(VirtQueue *vq, unsigned at, uint16_t val)
{
    st16_le(vq->m_device.host + at, val);
    ring_written(&vq->m_device, at, 2);
}

/* ---- available ------------------------------------------------------------------------ */

bool split_empty(VirtQueue *vq)
{
    if (vq->avail_seen != vq->next_avail) {
        return false;
    }
    vq->avail_seen = ld16_le(vq->m_driver.host + 2);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);        /* the entries come after the index */
    return vq->avail_seen == vq->next_avail;
}

typedef struct Table {
    const uint8_t *descs;
    unsigned entries;
} Table;

/* Walk the chain that begins at descriptor i; indirect: i is in a table of its own. */
static bool walk(VirtQueue *vq, const Table *t, unsigned i, bool indirect, Gather *g);

static bool walk_indirect(VirtQueue *vq, hwaddr addr, uint32_t len, Gather *g)
{
    uint8_t *copy = NULL;

    if (!len || len % DESC_SIZE || len / DESC_SIZE > VIRTIO_QUEUE_MAX) {
        virtio_error(vq->v, "indirect table of %u bytes", len);
        return false;
    }
    const uint8_t *descs = indirect_table(vq, addr, len, &copy);
    bool ok = descs && walk(vq, &(Table) { descs, len / DESC_SIZE }, 0, true, g);
    g_free(copy);
    return ok;
}

static bool walk(VirtQueue *vq, const Table *t, unsigned i, bool indirect, Gather *g)
{
    for (unsigned hops = 0; hops < t->entries; hops++) {
        const uint8_t *d = t->descs + i * DESC_SIZE;
        hwaddr addr = ld64_le(d);
        uint32_t len = ld32_le(d + 8);
        uint16_t flags = ld16_le(d + 12);

        if (flags & DESC_INDIRECT) {
            if (indirect || (flags & DESC_NEXT) || !virtio_has(vq->v, VIRTIO_F_INDIRECT_DESC)) {
                virtio_error(vq->v, "indirect descriptor where none may be");
                return false;
            }
            return walk_indirect(vq, addr, len, g);
        }
        if (!gather_add(g, addr, len, flags & DESC_WRITE)) {
            return false;
        }
        if (!(flags & DESC_NEXT)) {
            return true;
        }
        i = ld16_le(d + 14);
        if (i >= t->entries) {
            virtio_error(vq->v, "next descriptor %u of %u", i, t->entries);
            return false;
        }
    }
    virtio_error(vq->v, "endless chain of descriptors");
    return false;
}

bool split_pop(VirtQueue *vq, Gather *g, uint16_t *id)
{
    if ((uint16_t)(vq->avail_seen - vq->next_avail) > vq->size) {
        virtio_error(vq->v, "available index moved from %u to %u", vq->next_avail, vq->avail_seen);
        return false;
    }
    unsigned head = ld16_le(vq->m_driver.host + 4 + 2 * (vq->next_avail & (vq->size - 1)));
    if (head >= vq->size) {
        virtio_error(vq->v, "head %u in a queue of %u", head, vq->size);
        return false;
    }
    if (!walk(vq, &(Table) { vq->m_desc.host, vq->size }, head, false, g)) {
        return false;
    }
    *id = head;
    vq->next_avail++;
    if (vq->notify && virtio_has(vq->v, VIRTIO_F_EVENT_IDX)) {
        set_used16(vq, 4 + 8 * vq->size, vq->next_avail);
    }
    return true;
}

void split_unpop(VirtQueue *vq)
{
    vq->next_avail--;
}

void split_enable_notify(VirtQueue *vq)
{
    if (!virtio_has(vq->v, VIRTIO_F_EVENT_IDX)) {
        set_used16(vq, 0, vq->notify ? 0 : USED_NO_NOTIFY);
    } else if (vq->notify) {
        set_used16(vq, 4 + 8 * vq->size, vq->next_avail);
    }
    if (vq->notify) {
        guest_fence();                        /* before the caller looks again for buffers */
    }
}

/* ---- used ----------------------------------------------------------------------------- */

void split_fill(VirtQueue *vq, const VirtQElement *e, uint32_t len, unsigned index)
{
    unsigned at = 4 + 8 * ((vq->next_used + index) & (vq->size - 1));

    st32_le(vq->m_device.host + at, e->id);
    st32_le(vq->m_device.host + at + 4, len);
    ring_written(&vq->m_device, at, 8);
}

void split_flush(VirtQueue *vq, unsigned count)
{
    uint16_t old = vq->next_used;

    vq->next_used += count;
    __atomic_thread_fence(__ATOMIC_RELEASE);
    set_used16(vq, 2, vq->next_used);
    /* the index of the last interrupt was overtaken: it says nothing any more */
    if ((uint16_t)(vq->next_used - vq->signalled) < (uint16_t)(vq->next_used - old)) {
        vq->signalled_valid = false;
    }
}

bool split_should_notify(VirtQueue *vq)
{
    guest_fence();                            /* the used index is out before we look who waits */
    if (virtio_has(vq->v, VIRTIO_F_NOTIFY_ON_EMPTY) && !vq->in_flight && split_empty(vq)) {
        return true;
    }
    if (!virtio_has(vq->v, VIRTIO_F_EVENT_IDX)) {
        return !(ld16_le(vq->m_driver.host) & AVAIL_NO_INTERRUPT);
    }
    uint16_t old = vq->signalled, now = vq->next_used;
    uint16_t event = ld16_le(vq->m_driver.host + 4 + 2 * vq->size);
    bool valid = vq->signalled_valid;
    vq->signalled = now;
    vq->signalled_valid = true;
    return !valid || (uint16_t)(now - event - 1) < (uint16_t)(now - old);
}
