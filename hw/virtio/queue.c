/* SPDX-License-Identifier: MIT */
/*
 * Virtqueues: elements and their buffers, notification, registers, saved state.  The two ring
 * formats are in split.c and packed.c.
 */
#include "hw/virtio/virtio-internal.h"
#include "util/bits.h"

#include <inttypes.h>
#include <string.h>

#define ELEMENT_MAX_BYTES 0xffffffffu       /* what a used length can tell */

/* ---- the rings in memory ---------------------------------------------------------------- */

/* In one piece for the host even if the memory map cuts it (shadow RAM, for one). */
static bool map_area(VirtQueue *vq, hwaddr addr, uint32_t len, bool write, RingMap *m)
{
    AddressSpace *as = vq->v->transport.dma;
    uint64_t done = 0;

    m->host = NULL;
    while (done < len) {
        uint64_t piece = len - done;
        uint8_t *host = address_space_map(as, addr + done, &piece, write);
        if (!host || (done && host != m->host + done)) {
            m->host = NULL;
            return false;
        }
        if (!done) {
            m->host = host;
        }
        done += piece;
    }
    m->ram = ram_block_from_host(m->host, &m->off);
    return m->ram != NULL;
}

static bool map_areas(VirtQueue *vq)
{
    bool event = virtio_has(vq->v, VIRTIO_F_EVENT_IDX);

    if (vq->is_packed) {
        return map_area(vq, vq->desc, DESC_SIZE * vq->size, true, &vq->m_desc)
               && map_area(vq, vq->driver, 4, false, &vq->m_driver)
               && map_area(vq, vq->device, 4, true, &vq->m_device);
    }
    return map_area(vq, vq->desc, DESC_SIZE * vq->size, false, &vq->m_desc)
           && map_area(vq, vq->driver, 4 + 2 * vq->size + 2 * event, false, &vq->m_driver)
           && map_area(vq, vq->device, 4 + 8 * vq->size + 2 * event, true, &vq->m_device);
}

bool ring_map(VirtQueue *vq)
{
    uint32_t now = __atomic_load_n(&vq->v->transport.dma->generation, __ATOMIC_RELAXED);

    if (likely(vq->mapped && vq->generation == now)) {
        return true;
    }
    vq->mapped = map_areas(vq);
    vq->generation = now;
    if (!vq->mapped) {
        virtio_error(vq->v, "queue %u: its rings at %" PRIx64 ", %" PRIx64 ", %" PRIx64
                     " are not in RAM", virtqueue_index(vq), vq->desc, vq->driver, vq->device);
    }
    return vq->mapped;
}

const uint8_t *indirect_table(VirtQueue *vq, hwaddr addr, uint32_t len, uint8_t **copy)
{
    AddressSpace *as = vq->v->transport.dma;
    uint64_t piece = len;
    const uint8_t *host = address_space_map(as, addr, &piece, false);

    if (host && piece == len) {
        return host;
    }
    *copy = g_malloc(len);
    if (!host || address_space_read(as, addr, *copy, len) != MEM_OK) {
        virtio_error(vq->v, "indirect table at %" PRIx64 " is not in RAM", addr);
        return NULL;
    }
    return *copy;
}

/* ---- elements --------------------------------------------------------------------------- */

bool gather_add(Gather *g, hwaddr addr, uint32_t len, bool write)
{
    VirtIODevice *v = g->vq->v;
    size_t *total = write ? &g->in_len : &g->out_len;

    if (!len) {
        virtio_error(v, "buffer without length");
        return false;
    }
    if (!write && g->in_num) {
        virtio_error(v, "a buffer to read behind one to write");
        return false;
    }
    if (len > ELEMENT_MAX_BYTES - *total) {
        virtio_error(v, "request of 4 GiB or more");
        return false;
    }
    *total += len;
    while (len) {
        unsigned n = g->out_num + g->in_num;
        uint64_t piece = len;
        void *host = address_space_map(v->transport.dma, addr, &piece, write);
        if (!host || n == VIRTIO_QUEUE_MAX) {
            virtio_error(v, host ? "too many buffers" : "buffer at %" PRIx64 " is not in RAM", addr);
            return false;
        }
        g->iov[n] = (struct iovec) { host, piece };
        g->addr[n] = addr;
        *(write ? &g->in_num : &g->out_num) += 1;
        addr += piece;
        len -= piece;
    }
    return true;
}

/* One piece of memory: the request, the host's pieces, the guest's addresses. */
static void *make_element(const Gather *g, size_t size)
{
    unsigned n = g->out_num + g->in_num;
    size_t head = (size + 15) & ~(size_t)15;
    char *mem = g_malloc(head + n * (sizeof(struct iovec) + sizeof(hwaddr)));
    VirtQElement *e = (VirtQElement *)mem;

    memset(mem, 0, size);
    e->vq = g->vq;
    e->out_num = g->out_num;
    e->in_num = g->in_num;
    e->out_len = g->out_len;
    e->in_len = g->in_len;
    e->out = (struct iovec *)(mem + head);
    e->in = e->out + g->out_num;
    e->out_addr = (hwaddr *)(e->out + n);
    e->in_addr = e->out_addr + g->out_num;
    memcpy(e->out, g->iov, n * sizeof(struct iovec));
    memcpy(e->out_addr, g->addr, n * sizeof(hwaddr));
    return mem;
}

/* Large, and only used under the big lock. */
static Gather *fresh_gather(VirtQueue *vq)
{
    static Gather gather;

    gather.vq = vq;
    gather.out_num = gather.in_num = 0;
    gather.out_len = gather.in_len = 0;
    return &gather;
}

void *virtqueue_pop(VirtQueue *vq, size_t size)
{
    uint16_t id, ndescs = 1;

    g_assert(size >= sizeof(VirtQElement));
    if (virtqueue_empty(vq)) {
        return NULL;
    }
    if (vq->in_flight >= vq->size) {
        virtio_error(vq->v, "more requests in flight than the queue has entries");
        return NULL;
    }
    Gather *g = fresh_gather(vq);
    if (!(vq->is_packed ? packed_pop(vq, g, &id, &ndescs) : split_pop(vq, g, &id))) {
        return NULL;
    }
    VirtQElement *e = make_element(g, size);
    e->id = id;
    e->ndescs = ndescs;
    vq->in_flight++;
    return e;
}

void virtqueue_unpop(VirtQueue *vq, const VirtQElement *e)
{
    vq->in_flight--;
    if (vq->is_packed) {
        packed_unpop(vq, e->ndescs);
    } else {
        split_unpop(vq);
    }
}

void virtqueue_detach(VirtQueue *vq, const VirtQElement *e)
{
    vq->in_flight--;
}

/* The first len bytes of the buffers were stored to, by somebody who did not say so. */
static void mark_written(const VirtQElement *e, size_t len)
{
    AddressSpace *as = e->vq->v->transport.dma;

    for (unsigned i = 0; i < e->in_num && len; i++) {
        size_t n = MIN(len, e->in[i].iov_len);
        address_space_unmap(as, e->in[i].iov_base, n, true, n);
        len -= n;
    }
}

void virtqueue_fill(VirtQueue *vq, const VirtQElement *e, size_t len, unsigned index)
{
    len = MIN(len, e->in_len);
    mark_written(e, len);
    if (vq->v->broken || !ring_map(vq)) {
        return;
    }
    if (vq->is_packed) {
        packed_fill(vq, e, len, index);
    } else {
        split_fill(vq, e, len, index);
    }
}

void virtqueue_flush(VirtQueue *vq, unsigned count)
{
    vq->in_flight -= count;
    if (!count || vq->v->broken || !ring_map(vq)) {
        return;
    }
    if (vq->is_packed) {
        packed_flush(vq);
    } else {
        split_flush(vq, count);
    }
}

void virtqueue_push(VirtQueue *vq, const VirtQElement *e, size_t len)
{
    virtqueue_fill(vq, e, len, 0);
    virtqueue_flush(vq, 1);
}

/* ---- notification ----------------------------------------------------------------------- */

bool virtqueue_ready(const VirtQueue *vq)
{
    return vq->enabled && !vq->v->broken && virtio_is_running(vq->v);
}

bool virtqueue_empty(VirtQueue *vq)
{
    if (!virtqueue_ready(vq) || !ring_map(vq)) {
        return true;
    }
    return vq->is_packed ? packed_empty(vq) : split_empty(vq);
}

void virtqueue_enable_notify(VirtQueue *vq, bool on)
{
    vq->notify = on;
    if (!virtqueue_ready(vq) || !ring_map(vq)) {
        return;
    }
    if (vq->is_packed) {
        packed_enable_notify(vq);
    } else {
        split_enable_notify(vq);
    }
}

void virtqueue_notify(VirtQueue *vq)
{
    VirtIODevice *v = vq->v;

    if (!vq->enabled || v->broken || !ring_map(vq)) {
        return;
    }
    if (vq->is_packed ? packed_should_notify(vq) : split_should_notify(vq)) {
        v->isr |= 1;
        v->transport.notify(v, vq->vector, 1);
    }
}

void virtio_queue_kick(VirtIODevice *v, unsigned n)
{
    VirtQueue *vq = n < v->n_queues ? &v->vq[n] : NULL;

    if (vq && virtqueue_ready(vq) && vq->handler) {
        vq->handler(vq);
    }
}

/* ---- registers -------------------------------------------------------------------------- */

VirtQueue *virtio_queue(VirtIODevice *v, unsigned n)
{
    g_assert(n < v->n_queues);
    return &v->vq[n];
}

unsigned virtqueue_index(const VirtQueue *vq)
{
    return vq - vq->v->vq;
}

VirtIODevice *virtqueue_device(const VirtQueue *vq)
{
    return vq->v;
}

unsigned virtqueue_size(const VirtQueue *vq)
{
    return vq->size;
}

unsigned virtqueue_in_flight(const VirtQueue *vq)
{
    return vq->in_flight;
}

static VirtQueue *get(VirtIODevice *v, unsigned n)
{
    return n < v->n_queues && v->vq[n].max_size ? &v->vq[n] : NULL;
}

uint16_t virtio_queue_size(VirtIODevice *v, unsigned n)
{
    VirtQueue *vq = get(v, n);
    return vq ? vq->size : 0;
}

/* A split ring's positions are cut out with a mask: the size is a power of two there. */
void virtio_queue_set_size(VirtIODevice *v, unsigned n, uint16_t size)
{
    VirtQueue *vq = get(v, n);

    if (!vq || vq->enabled) {
        return;
    }
    if (!size || size > vq->max_size || (!vq->is_packed && !is_pow2(size))) {
        virtio_error(v, "queue %u: size %u", n, size);
        return;
    }
    vq->size = size;
}

static hwaddr *area(VirtQueue *vq, VirtQueueArea a)
{
    return a == VQ_DESC ? &vq->desc : a == VQ_DRIVER ? &vq->driver : &vq->device;
}

uint64_t virtio_queue_area(VirtIODevice *v, unsigned n, VirtQueueArea a)
{
    VirtQueue *vq = get(v, n);
    return vq ? *area(vq, a) : 0;
}

void virtio_queue_set_area(VirtIODevice *v, unsigned n, VirtQueueArea a, uint64_t addr)
{
    VirtQueue *vq = get(v, n);

    if (vq && !vq->enabled) {
        *area(vq, a) = addr;
    }
}

void virtio_queue_set_legacy(VirtIODevice *v, unsigned n, uint64_t addr)
{
    VirtQueue *vq = get(v, n);

    if (!vq) {
        return;
    }
    vq->desc = addr;
    vq->driver = addr + DESC_SIZE * vq->size;
    vq->device = (vq->driver + 4 + 2 * vq->size + 2 + 4095) & ~(hwaddr)4095;
    vq->mapped = false;
    vq->enabled = addr != 0;
}

bool virtio_queue_enabled(VirtIODevice *v, unsigned n)
{
    VirtQueue *vq = get(v, n);
    return vq && vq->enabled;
}

void virtio_queue_enable(VirtIODevice *v, unsigned n)
{
    VirtQueue *vq = get(v, n);
    unsigned low = v->n_queues && vq && vq->is_packed ? 3 : 1;

    if (!vq || vq->enabled) {
        return;
    }
    if (vq->desc % DESC_SIZE || vq->driver & low || vq->device & 3) {
        virtio_error(v, "queue %u: misaligned rings", n);
        return;
    }
    vq->mapped = false;
    vq->enabled = true;
}

static void queue_clear(VirtQueue *vq)
{
    vq->size = vq->max_size;
    vq->desc = vq->driver = vq->device = 0;
    vq->enabled = vq->mapped = false;
    vq->vector = VIRTIO_NO_VECTOR;
    vq->next_avail = vq->next_used = vq->avail_seen = vq->signalled = 0;
    vq->avail_wrap = vq->used_wrap = vq->notify = true;
    vq->signalled_valid = false;
    vq->in_flight = vq->filled = 0;
}

void virtio_queue_reset(VirtIODevice *v, unsigned n)
{
    VirtQueue *vq = get(v, n);

    if (vq && virtio_has(v, VIRTIO_F_RING_RESET)) {
        v->type->queue_reset(vq);
        queue_clear(vq);
    }
}

uint16_t virtio_queue_vector(VirtIODevice *v, unsigned n)
{
    VirtQueue *vq = get(v, n);
    return vq ? vq->vector : VIRTIO_NO_VECTOR;
}

void virtio_queue_set_vector(VirtIODevice *v, unsigned n, uint16_t vector)
{
    VirtQueue *vq = get(v, n);

    if (vq) {
        vq->vector = vector;
    }
}

VirtQueue *virtio_add_queue(VirtIODevice *v, unsigned size, VirtQueueHandler *handler)
{
    VirtQueue *vq = v->vq;

    g_assert(is_pow2(size) && size <= VIRTIO_QUEUE_MAX);
    while (vq->max_size) {
        vq++;
    }
    g_assert(vq < v->vq + v->n_queues);
    vq->v = v;
    vq->handler = handler;
    vq->max_size = size;
    queue_clear(vq);
    return vq;
}

/* ---- for virtio.c ----------------------------------------------------------------------- */

void virtio_queues_init(VirtIODevice *v, unsigned n)
{
    v->vq = g_new0(VirtQueue, n);
    v->n_queues = n;
}

void virtio_queues_reset(VirtIODevice *v)
{
    for (unsigned i = 0; i < v->n_queues; i++) {
        queue_clear(&v->vq[i]);
        v->vq[i].is_packed = false;
    }
}

void virtio_queues_negotiated(VirtIODevice *v)
{
    for (unsigned i = 0; i < v->n_queues; i++) {
        v->vq[i].is_packed = virtio_has(v, VIRTIO_F_RING_PACKED);
        v->vq[i].mapped = false;
    }
}

/* ---- saved state ------------------------------------------------------------------------ */

static bool queue_post_load(void *opaque, int version, Error **err)
{
    VirtQueue *vq = opaque;

    vq->mapped = false;
    if (vq->max_size && (!vq->size || vq->size > vq->max_size)) {
        return fail(err, "a queue of %u entries, %u are possible", vq->size, vq->max_size);
    }
    if (vq->in_flight > vq->size) {
        return fail(err, "%u requests in flight in a queue of %u", vq->in_flight, vq->size);
    }
    return true;
}

static const VMField queue_fields[] = {
    VM_UINT(VirtQueue, size), VM_UINT(VirtQueue, desc), VM_UINT(VirtQueue, driver),
    VM_UINT(VirtQueue, device), VM_BOOL(VirtQueue, enabled), VM_UINT(VirtQueue, vector),
    VM_UINT(VirtQueue, next_avail), VM_UINT(VirtQueue, next_used),
    VM_BOOL(VirtQueue, avail_wrap), VM_BOOL(VirtQueue, used_wrap),
    VM_UINT(VirtQueue, signalled), VM_BOOL(VirtQueue, signalled_valid),
    VM_BOOL(VirtQueue, notify), VM_UINT(VirtQueue, in_flight),
    VM_DONE
};
const VMState vm_virtqueue = {
    .name = "virtqueue", .post_load = queue_post_load, .fields = queue_fields,
};

bool virtio_queues_check(VirtIODevice *v, Error **err)
{
    for (unsigned i = 0; i < v->n_queues; i++) {
        VirtQueue *vq = &v->vq[i];
        vq->is_packed = virtio_has(v, VIRTIO_F_RING_PACKED);
        vq->avail_seen = vq->next_avail;
        if (!vq->max_size) {
            continue;
        }
        if (vq->is_packed ? vq->next_avail >= vq->size || vq->next_used >= vq->size
                          : !is_pow2(vq->size)) {
            return fail(err, "queue %u: impossible position in its ring", i);
        }
    }
    return true;
}

static void put32(GByteArray *out, uint32_t v)
{
    uint8_t b[4];
    st32_be(b, v);
    g_byte_array_append(out, b, 4);
}

static void put_buffers(GByteArray *out, const struct iovec *iov, const hwaddr *addr, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        put32(out, addr[i] >> 32);
        put32(out, addr[i]);
        put32(out, iov[i].iov_len);
    }
}

/* queue, id, slots, number of buffers to read and to write, their addresses and lengths */
void virtqueue_save_element(const VirtQElement *e, GByteArray *out)
{
    put32(out, virtqueue_index(e->vq));
    put32(out, e->id);
    put32(out, e->ndescs);
    put32(out, e->out_num);
    put32(out, e->in_num);
    put_buffers(out, e->out, e->out_addr, e->out_num);
    put_buffers(out, e->in, e->in_addr, e->in_num);
}

void *virtqueue_load_element(VirtIODevice *v, const uint8_t *data, size_t len, size_t *pos,
                             size_t size, Error **err)
{
    const uint8_t *p = data + *pos;
    uint32_t h[5];

    if (len - *pos < 20) {
        fail(err, "%s: a saved request ends too early", v->type->name);
        return NULL;
    }
    for (int i = 0; i < 5; i++) {
        h[i] = ld32_be(p + 4 * i);
    }
    unsigned n = h[3] + h[4];
    if (h[0] >= v->n_queues || h[1] > 0xffff || h[2] > 0xffff || h[3] > VIRTIO_QUEUE_MAX
        || h[4] > VIRTIO_QUEUE_MAX || n > VIRTIO_QUEUE_MAX || (len - *pos - 20) / 12 < n
        || !v->vq[h[0]].in_flight) {
        fail(err, "%s: an impossible saved request", v->type->name);
        return NULL;
    }
    Gather *g = fresh_gather(&v->vq[h[0]]);
    for (unsigned i = 0; i < n; i++) {
        const uint8_t *b = p + 20 + 12 * i;
        if (!gather_add(g, ld64_be(b), ld32_be(b + 8), i >= h[3])) {
            fail(err, "%s: a saved request's buffers are not in RAM", v->type->name);
            return NULL;
        }
    }
    *pos += 20 + 12 * n;
    VirtQElement *e = make_element(g, size);
    e->id = h[1];
    e->ndescs = h[2];
    return e;
}
