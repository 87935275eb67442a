/* SPDX-License-Identifier: MIT */
/*
 * Packed virtqueues: one ring of descriptors that driver and device both write, with a bit each
 * that changes its sense at every round.
 *
 * Source: VIRTIO 1.2, section 2.8.
 *
 *     descriptor  0 address  8 length  12 buffer id  14 flags
 *     event suppression (driver's, device's): 0 offset, bit 15 wrap  2 flags
 */
#include "hw/virtio/ring.h"
#include "util/bits.h"
#include "util/fence.h"

enum { EVENT_ENABLE = 0, EVENT_DISABLE = 1, EVENT_DESC = 2 };

static inline uint8_t *slot(VirtQueue *vq, unsigned i)
{
    return vq->m_desc.host + i * DESC_SIZE;
}

/* ---- available ------------------------------------------------------------------------ */

static bool is_available(uint16_t flags, bool wrap)
{
    return !!(flags & DESC_AVAIL) == wrap && !!(flags & DESC_USED) != wrap;
}

bool packed_empty(VirtQueue *vq)
{
    uint16_t flags = ld16_le(slot(vq, vq->next_avail) + 14);

    __atomic_thread_fence(__ATOMIC_ACQUIRE);        /* the rest comes after the flags */
    return !is_available(flags, vq->avail_wrap);
}

static bool walk_indirect(VirtQueue *vq, hwaddr addr, uint32_t len, Gather *g)
{
    uint8_t *copy = NULL;
    bool ok = true;

    if (!len || len % DESC_SIZE || len / DESC_SIZE > VIRTIO_QUEUE_MAX) {
        virtio_error(vq->v, "indirect table of %u bytes", len);
        return false;
    }
    const uint8_t *descs = indirect_table(vq, addr, len, &copy);
    for (unsigned i = 0; descs && ok && i < len / DESC_SIZE; i++) {
        const uint8_t *d = descs + i * DESC_SIZE;
        uint16_t flags = ld16_le(d + 14);
        if (flags & DESC_INDIRECT) {
            virtio_error(vq->v, "indirect descriptor in an indirect table");
            ok = false;
        } else {
            ok = gather_add(g, ld64_le(d), ld32_le(d + 8), flags & DESC_WRITE);
        }
    }
    g_free(copy);
    return ok && descs;
}

static void advance(const VirtQueue *vq, uint16_t *at, bool *wrap, unsigned n)
{
    unsigned next = *at + n;

    if (next >= vq->size) {
        next -= vq->size;
        *wrap = !*wrap;
    }
    *at = next;
}

bool packed_pop(VirtQueue *vq, Gather *g, uint16_t *id, uint16_t *ndescs)
{
    for (unsigned n = 0; n < vq->size; n++) {
        const uint8_t *d = slot(vq, (vq->next_avail + n) % vq->size);
        hwaddr addr = ld64_le(d);
        uint32_t len = ld32_le(d + 8);
        uint16_t buffer = ld16_le(d + 12), flags = ld16_le(d + 14);

        if (flags & DESC_INDIRECT) {
            if (n || (flags & DESC_NEXT) || !virtio_has(vq->v, VIRTIO_F_INDIRECT_DESC)) {
                virtio_error(vq->v, "indirect descriptor where none may be");
                return false;
            }
            if (!walk_indirect(vq, addr, len, g)) {
                return false;
            }
        } else if (!gather_add(g, addr, len, flags & DESC_WRITE)) {
            return false;
        }
        if (!(flags & DESC_NEXT)) {
            *id = buffer;
            *ndescs = n + 1;
            advance(vq, &vq->next_avail, &vq->avail_wrap, n + 1);
            if (vq->notify && virtio_has(vq->v, VIRTIO_F_EVENT_IDX)) {
                packed_enable_notify(vq);
            }
            return true;
        }
    }
    virtio_error(vq->v, "endless chain of descriptors");
    return false;
}

void packed_unpop(VirtQueue *vq, unsigned ndescs)
{
    if (vq->next_avail < ndescs) {
        vq->avail_wrap = !vq->avail_wrap;
        vq->next_avail += vq->size;
    }
    vq->next_avail -= ndescs;
}

void packed_enable_notify(VirtQueue *vq)
{
    uint8_t *event = vq->m_device.host;
    unsigned flags = EVENT_DISABLE;

    if (vq->notify && virtio_has(vq->v, VIRTIO_F_EVENT_IDX)) {
        st16_le(event, vq->next_avail | vq->avail_wrap << 15);
        __atomic_thread_fence(__ATOMIC_RELEASE);
        flags = EVENT_DESC;
    } else if (vq->notify) {
        flags = EVENT_ENABLE;
    }
    st16_le(event + 2, flags);
    ring_written(&vq->m_device, 0, 4);
    if (vq->notify) {
        guest_fence();
    }
}

/* ---- used ----------------------------------------------------------------------------- */

static void write_used(VirtQueue *vq, uint16_t at, bool wrap, uint16_t id, uint32_t len)
{
    uint8_t *d = slot(vq, at);

    st32_le(d + 8, len);
    st16_le(d + 12, id);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    /* "written" tells the driver that the length counts */
    st16_le(d + 14, (wrap ? DESC_AVAIL | DESC_USED : 0) | (len ? DESC_WRITE : 0));
    ring_written(&vq->m_desc, at * DESC_SIZE, DESC_SIZE);
}

/* The driver looks at the slots in order, so the first one hides the others until flush. */
void packed_fill(VirtQueue *vq, const VirtQElement *e, uint32_t len, unsigned index)
{
    uint16_t at = vq->next_used;
    bool wrap = vq->used_wrap;

    if (!index) {
        vq->first_id = e->id;
        vq->first_len = len;
        vq->filled = e->ndescs;
        return;
    }
    advance(vq, &at, &wrap, vq->filled);
    write_used(vq, at, wrap, e->id, len);
    vq->filled += e->ndescs;
}

void packed_flush(VirtQueue *vq)
{
    bool wrap = vq->used_wrap;

    write_used(vq, vq->next_used, vq->used_wrap, vq->first_id, vq->first_len);
    advance(vq, &vq->next_used, &vq->used_wrap, vq->filled);
    vq->filled = 0;
    if (wrap != vq->used_wrap) {
        vq->signalled_valid = false;
    }
}

bool packed_should_notify(VirtQueue *vq)
{
    guest_fence();
    uint16_t flags = ld16_le(vq->m_driver.host + 2), event = ld16_le(vq->m_driver.host);
    uint16_t old = vq->signalled, now = vq->next_used, off = event & 0x7fff;
    bool valid = vq->signalled_valid;

    vq->signalled = now;
    vq->signalled_valid = true;
    if (flags != EVENT_DESC || !virtio_has(vq->v, VIRTIO_F_EVENT_IDX)) {
        return flags != EVENT_DISABLE;
    }
    if (!!(event & 0x8000) != vq->used_wrap) {
        off -= vq->size;                /* in the round before this one */
    }
    return !valid || (uint16_t)(now - off - 1) < (uint16_t)(now - old);
}
