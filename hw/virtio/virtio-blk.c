/* SPDX-License-Identifier: MIT */
/*
 * Virtio block device.
 *
 * Source: VIRTIO 1.2, section 5.2.
 *
 * A request is a header (type, sector), data, and a status byte at the very end; how these are
 * cut into buffers is the driver's choice.  Data go straight between image and guest memory.
 *
 * Not modelled: SCSI passthrough of legacy drivers, secure erase, zoned disks.
 */
#include "hw/virtio/virtio-blk.h"
#include "hw/core/machine.h"
#include "util/bits.h"
#include "util/iov.h"

#include <errno.h>
#include <string.h>

enum { F_SEG_MAX = 2, F_GEOMETRY = 4, F_RO = 5, F_BLK_SIZE = 6, F_FLUSH = 9, F_TOPOLOGY = 10,
       F_CONFIG_WCE = 11, F_MQ = 12, F_DISCARD = 13, F_WRITE_ZEROES = 14 };

/* Configuration (5.2.4) */
#define CFG_CAPACITY            0
#define CFG_SEG_MAX             12
#define CFG_CYLINDERS           16
#define CFG_HEADS               18
#define CFG_SECTORS             19
#define CFG_BLK_SIZE            20
#define CFG_PHYSICAL_EXP        24
#define CFG_MIN_IO              26      /* in blocks */
#define CFG_OPT_IO              28
#define CFG_WCE                 32
#define CFG_NUM_QUEUES          34
#define CFG_MAX_DISCARD         36      /* in sectors of 512 bytes, like the following */
#define CFG_MAX_DISCARD_SEG     40
#define CFG_DISCARD_ALIGN       44
#define CFG_MAX_WZ              48
#define CFG_MAX_WZ_SEG          52
#define CFG_WZ_MAY_UNMAP        56
#define CFG_SIZE                60

enum { T_IN = 0, T_OUT = 1, T_FLUSH = 4, T_GET_ID = 8, T_DISCARD = 11, T_WRITE_ZEROES = 13 };
enum { S_OK, S_IOERR, S_UNSUPP };

#define HEADER_SIZE     16
#define ID_SIZE         20
#define SEGMENT_SIZE    16
#define SEGMENT_UNMAP   1
/* Limit of saved failed requests: 64 queues full of requests with many buffers */
#define FAILED_MAX      (16u << 20)

typedef struct VirtIOBlkReq {
    VirtQElement elem;                  /* always first */
    VirtIOBlk *s;
    struct VirtIOBlkReq *next;          /* in s->failed */
    uint32_t type;
    uint64_t offset;                    /* bytes */
    uint64_t len;                       /* of the data: of all kinds but writing zeroes what the
                                           buffers hold */
    bool unmap;
    struct iovec *data;                 /* the data among the buffers */
    int ndata;
    struct iovec *slice;                /* data is this; or NULL */
    uint8_t *status;
} VirtIOBlkReq;

static VirtIOBlk *blk_of(VirtIODevice *v)
{
    return (VirtIOBlk *)((char *)v - offsetof(VirtIOBlk, vdev));
}

/* ---- completion --------------------------------------------------------------------------- */

static void free_request(VirtIOBlkReq *r)
{
    g_free(r->slice);
    g_free(r);
}

/* One interrupt for all that complete between begin and end. */
static void batch(void *opaque, bool begin)
{
    VirtIOBlk *s = opaque;

    s->in_batch = begin;
    if (!begin && s->pushed) {
        virtqueue_notify(g_steal_pointer(&s->pushed));
    }
}

static void notify(VirtIOBlk *s, VirtQueue *vq)
{
    if (!s->in_batch) {
        virtqueue_notify(vq);
        return;
    }
    if (s->pushed && s->pushed != vq) { /* what a thread has done may be of any queue */
        virtqueue_notify(s->pushed);
    }
    s->pushed = vq;
}

static void complete(VirtIOBlkReq *r, uint8_t status)
{
    VirtQueue *vq = r->elem.vq;

    *r->status = status;                /* the last byte, so all count as written */
    virtqueue_push(vq, &r->elem, r->elem.in_len);
    notify(r->s, vq);
    free_request(r);
}

static bool reads(const VirtIOBlkReq *r)
{
    return r->type == T_IN;
}

static void request_done(void *opaque, int ret)
{
    VirtIOBlkReq *r = opaque;
    VirtIOBlk *s = r->s;
    BlkAction action = BLK_ACTION_IGNORE;

    if (ret < 0) {
        action = blk_error(s->conf.blk, reads(r), -ret);
    }
    switch (action) {
    case BLK_ACTION_STOP:
        r->next = s->failed;
        s->failed = r;
        break;
    case BLK_ACTION_REPORT:
        complete(r, ret == -ENOTSUP && !reads(r) && r->type != T_OUT ? S_UNSUPP : S_IOERR);
        break;
    case BLK_ACTION_IGNORE:
        complete(r, S_OK);
        break;
    }
}

/* ---- submission --------------------------------------------------------------------------- */

static void submit(VirtIOBlkReq *r)
{
    BlockBackend *blk = r->s->conf.blk;

    switch (r->type) {
    case T_IN:
        if (blk_try_read(blk, r->offset, r->data, r->ndata)) {
            complete(r, S_OK);
            break;
        }
        blk_read(blk, r->offset, r->data, r->ndata, request_done, r);
        break;
    case T_OUT:
        blk_write(blk, r->offset, r->data, r->ndata, 0, request_done, r);
        break;
    case T_FLUSH:
        blk_flush(blk, request_done, r);
        break;
    case T_DISCARD:
        blk_discard(blk, r->offset, r->len, request_done, r);
        break;
    case T_WRITE_ZEROES:
        blk_write_zeroes(blk, r->offset, r->len, r->unmap ? BLK_MAY_UNMAP : 0, request_done, r);
        break;
    }
}

static bool range_ok(VirtIOBlk *s, uint64_t sector, uint64_t len)
{
    uint64_t capacity = blk_length(s->conf.blk), block = s->conf.logical_block_size;

    return sector <= capacity / BLK_SECTOR && len <= capacity - sector * BLK_SECTOR
           && sector * BLK_SECTOR % block == 0 && len % block == 0;
}

/* The part [skip, skip + len) of some buffers, without copying the array where it can be. */
static void set_data(VirtIOBlkReq *r, struct iovec *iov, unsigned n, size_t skip, size_t len)
{
    r->len = len;
    if (n && skip && iov[0].iov_len == skip) {
        iov++;
        n--;
        skip = 0;
    }
    if (!skip && n && iov_size(iov, n) == len) {
        r->data = iov;
        r->ndata = n;
    } else if (!skip && n && iov[n - 1].iov_len == 1 && iov_size(iov, n) == len + 1) {
        r->data = iov;
        r->ndata = n - 1;
    } else {
        r->data = r->slice = g_new(struct iovec, n + 1);
        r->ndata = iov_slice(r->slice, iov, n, skip, len);
    }
}

static bool parse_rw(VirtIOBlkReq *r, uint64_t sector)
{
    VirtQElement *e = &r->elem;

    if (r->type == T_IN) {
        set_data(r, e->in, e->in_num, 0, e->in_len - 1);
    } else {
        set_data(r, e->out, e->out_num, HEADER_SIZE, e->out_len - HEADER_SIZE);
    }
    r->offset = sector * BLK_SECTOR;
    return range_ok(r->s, sector, r->len);
}

static uint8_t parse_segment(VirtIOBlkReq *r)
{
    VirtIOBlk *s = r->s;
    bool wz = r->type == T_WRITE_ZEROES;
    uint8_t seg[SEGMENT_SIZE];

    if (r->elem.out_len != HEADER_SIZE + SEGMENT_SIZE) {
        return S_UNSUPP;                /* max_discard_seg is 1 */
    }
    iov_to_buf(r->elem.out, r->elem.out_num, HEADER_SIZE, seg, sizeof(seg));
    uint64_t sector = ld64_le(seg);
    uint32_t n = ld32_le(seg + 8), flags = ld32_le(seg + 12);
    if (flags & ~(wz ? SEGMENT_UNMAP : 0)) {
        return S_UNSUPP;
    }
    r->offset = sector * BLK_SECTOR;
    r->len = (uint64_t)n * BLK_SECTOR;
    r->unmap = flags & SEGMENT_UNMAP;
    if (n > (wz ? s->max_write_zeroes_sectors : s->max_discard_sectors)) {
        return S_IOERR;
    }
    return range_ok(s, sector, r->len) ? S_OK : S_IOERR;
}

static void get_id(VirtIOBlkReq *r)
{
    char id[ID_SIZE] = "";

    strncpy(id, r->s->serial ? r->s->serial : "", sizeof(id));
    iov_from_buf(r->elem.in, r->elem.in_num, 0, id, MIN(sizeof(id), r->elem.in_len - 1));
    complete(r, S_OK);
}

/* false: no request; the device is broken then. */
static bool parse_frame(VirtIOBlkReq *r, uint64_t *sector)
{
    VirtQElement *e = &r->elem;
    uint8_t h[HEADER_SIZE];

    if (e->out_len < HEADER_SIZE || !e->in_len) {
        virtio_error(&r->s->vdev, "request without header or status");
        return false;
    }
    iov_to_buf(e->out, e->out_num, 0, h, sizeof(h));
    r->type = ld32_le(h);
    *sector = ld64_le(h + 8);
    struct iovec *last = &e->in[e->in_num - 1];
    r->status = (uint8_t *)last->iov_base + last->iov_len - 1;
    return true;
}

static bool has_segments(const VirtIOBlkReq *r)
{
    return (r->type == T_DISCARD && r->s->discard)
           || (r->type == T_WRITE_ZEROES && r->s->write_zeroes);
}

static void start_request(VirtIOBlkReq *r, uint64_t sector)
{
    uint8_t status = S_OK;
    bool writes = r->type != T_IN && r->type != T_FLUSH && r->type != T_GET_ID;

    if (has_segments(r)) {
        status = parse_segment(r);
    } else if (r->type == T_IN || r->type == T_OUT) {
        status = parse_rw(r, sector) ? S_OK : S_IOERR;
    } else if (r->type != T_FLUSH && r->type != T_GET_ID) {
        status = S_UNSUPP;
    }
    if (status == S_OK && writes && blk_readonly(r->s->conf.blk)) {
        status = S_IOERR;
    }
    if (status != S_OK) {
        complete(r, status);
    } else if (r->type == T_GET_ID) {
        get_id(r);
    } else if (!r->len && r->type != T_FLUSH) {
        complete(r, S_OK);
    } else {
        submit(r);
    }
}

static void handle_output(VirtQueue *vq)
{
    VirtIOBlk *s = blk_of(virtqueue_device(vq));
    VirtIOBlkReq *r;
    uint64_t sector;

    batch(s, true);
    blk_plug();
    do {
        virtqueue_enable_notify(vq, false);
        while ((r = virtqueue_pop(vq, sizeof(*r)))) {
            r->s = s;
            if (!parse_frame(r, &sector)) {
                virtqueue_detach(vq, &r->elem);
                free_request(r);
                break;
            }
            start_request(r, sector);
        }
        virtqueue_enable_notify(vq, true);
    } while (!virtqueue_empty(vq));
    blk_unplug();
    batch(s, false);
}

/* ---- features and configuration ------------------------------------------------------------ */

static uint64_t blk_features(VirtIODevice *v)
{
    VirtIOBlk *s = blk_of(v);
    uint64_t f = VIRTIO_BIT(F_SEG_MAX) | VIRTIO_BIT(F_GEOMETRY) | VIRTIO_BIT(F_TOPOLOGY)
                 | VIRTIO_BIT(F_BLK_SIZE);

    f |= s->config_wce ? VIRTIO_BIT(F_CONFIG_WCE) : 0;
    f |= s->config_wce || s->conf.default_cache ? VIRTIO_BIT(F_FLUSH) : 0;
    f |= blk_readonly(s->conf.blk) ? VIRTIO_BIT(F_RO) : 0;
    f |= s->num_queues > 1 ? VIRTIO_BIT(F_MQ) : 0;
    f |= s->discard ? VIRTIO_BIT(F_DISCARD) : 0;
    f |= s->write_zeroes ? VIRTIO_BIT(F_WRITE_ZEROES) : 0;
    return f;
}

static void blk_get_config(VirtIODevice *v)
{
    VirtIOBlk *s = blk_of(v);
    const BlkConf *c = &s->conf;
    uint8_t *cfg = v->config;

    st64_le(cfg + CFG_CAPACITY, blk_length(c->blk) / BLK_SECTOR);
    st32_le(cfg + CFG_SEG_MAX, s->queue_size - 2);
    st16_le(cfg + CFG_CYLINDERS, c->cyls);
    cfg[CFG_HEADS] = c->heads;
    cfg[CFG_SECTORS] = c->secs;
    st32_le(cfg + CFG_BLK_SIZE, c->logical_block_size);
    cfg[CFG_PHYSICAL_EXP] = __builtin_ctz(c->physical_block_size / c->logical_block_size);
    st16_le(cfg + CFG_MIN_IO, c->min_io_size / c->logical_block_size);
    st32_le(cfg + CFG_OPT_IO, c->opt_io_size / c->logical_block_size);
    cfg[CFG_WCE] = blk_write_cache(c->blk);
    st16_le(cfg + CFG_NUM_QUEUES, s->num_queues);
    st32_le(cfg + CFG_MAX_DISCARD, s->max_discard_sectors);
    st32_le(cfg + CFG_MAX_DISCARD_SEG, 1);
    st32_le(cfg + CFG_DISCARD_ALIGN, c->discard_granularity / BLK_SECTOR);
    st32_le(cfg + CFG_MAX_WZ, s->max_write_zeroes_sectors);
    st32_le(cfg + CFG_MAX_WZ_SEG, 1);
    cfg[CFG_WZ_MAY_UNMAP] = 1;
}

static void blk_config_written(VirtIODevice *v, unsigned off, unsigned len)
{
    if (off <= CFG_WCE && off + len > CFG_WCE && virtio_has(v, F_CONFIG_WCE)) {
        blk_set_write_cache(blk_of(v)->conf.blk, v->config[CFG_WCE]);
    }
}

/* A driver that can neither flush nor switch gets a disk without volatile cache (5.2.6.2). */
static void blk_status_changed(VirtIODevice *v, uint8_t old)
{
    if ((v->status & ~old & VIRTIO_STATUS_DRIVER_OK) && !virtio_has(v, F_CONFIG_WCE)) {
        blk_set_write_cache(blk_of(v)->conf.blk, virtio_has(v, F_FLUSH));
    }
}

/* ---- reset, resume -------------------------------------------------------------------------- */

/* Of one queue, or of all. */
static void drop_failed(VirtIOBlk *s, const VirtQueue *vq)
{
    VirtIOBlkReq **p = &s->failed;

    while (*p) {
        VirtIOBlkReq *r = *p;
        if (!vq || r->elem.vq == vq) {
            *p = r->next;
            free_request(r);
        } else {
            p = &r->next;
        }
    }
}

static void blk_reset(VirtIODevice *v)
{
    VirtIOBlk *s = blk_of(v);

    blk_drain(s->conf.blk);
    drop_failed(s, NULL);
    blkconf_reset(&s->conf);
}

static void blk_queue_reset(VirtQueue *vq)
{
    VirtIOBlk *s = blk_of(virtqueue_device(vq));

    blk_drain(s->conf.blk);
    drop_failed(s, vq);
}

static void blk_resume(void *opaque)
{
    VirtIOBlk *s = opaque;
    VirtIOBlkReq *r = s->failed, *next;

    for (s->failed = NULL; r; r = next) {
        next = r->next;
        r->next = NULL;
        submit(r);
    }
}

static void blk_resized(void *opaque)
{
    VirtIOBlk *s = opaque;
    virtio_config_changed(&s->vdev);
}

static const BlkDevOps block_ops = { .resized = blk_resized, .resume = blk_resume,
                                     .any_thread = true, .batch = batch };

static const VirtIOType virtio_blk_type = {
    .name = "virtio-blk", .id = VIRTIO_ID_BLOCK, .features = blk_features,
    .get_config = blk_get_config, .config_written = blk_config_written,
    .status_changed = blk_status_changed, .reset = blk_reset, .queue_reset = blk_queue_reset,
};

/* ---- life ----------------------------------------------------------------------------------- */

static bool check_props(VirtIOBlk *s, Device *dev, Error **err)
{
    const char *name = dev->type->name;

    if (s->serial && strlen(s->serial) > ID_SIZE) {
        return fail(err, "%s: serial=%s: at most %d characters", name, s->serial, ID_SIZE);
    }
    if (s->scsi) {
        return fail(err, "%s: scsi=on is not implemented: use virtio-scsi-pci with scsi-hd", name);
    }
    if (!is_pow2(s->queue_size)) {
        return fail(err, "%s: queue-size=%u: use a power of two", name, s->queue_size);
    }
    if (s->num_queues == VIRTIO_BLK_QUEUES_AUTO) {
        s->num_queues = current_machine ? MAX(current_machine->smp_cpus, 1) : 1;
    }
    if (s->num_queues > VIRTIO_QUEUE_MAX) {
        return fail(err, "%s: num-queues=%u: at most %u", name, s->num_queues, VIRTIO_QUEUE_MAX);
    }
    if ((s->discard && !s->max_discard_sectors) || s->max_discard_sectors > 0x3fffff) {
        return fail(err, "%s: max-discard-sectors=%u: use 1 to %u", name, s->max_discard_sectors,
                    0x3fffff);
    }
    if ((s->write_zeroes && !s->max_write_zeroes_sectors) || s->max_write_zeroes_sectors > 0x3fffff) {
        return fail(err, "%s: max-write-zeroes-sectors=%u: use 1 to %u", name,
                    s->max_write_zeroes_sectors, 0x3fffff);
    }
    return true;
}

bool virtio_blk_realize(VirtIOBlk *s, Device *dev, Error **err)
{
    if (!check_props(s, dev, err)
        || !blkconf_realize(&s->conf, dev, true, true, &block_ops, s, err)) {
        return false;
    }
    if (!blkconf_geometry(&s->conf, dev, 65535, 255, 255, err)
        || !virtio_init(&s->vdev, dev, &virtio_blk_type, CFG_SIZE, s->num_queues, err)) {
        blkconf_unrealize(&s->conf);
        return false;
    }
    for (unsigned i = 0; i < s->num_queues; i++) {
        virtio_add_queue(&s->vdev, s->queue_size, handle_output);
    }
    return true;
}

void virtio_blk_unrealize(VirtIOBlk *s)
{
    blk_drain(s->conf.blk);
    drop_failed(s, NULL);
    g_clear_pointer(&s->failed_saved, g_free);
    virtio_exit(&s->vdev);
    blkconf_unplugged(&s->conf);
}

/* ---- saved state ----------------------------------------------------------------------------- */

static void blk_pre_save(void *opaque)
{
    VirtIOBlk *s = opaque;
    GByteArray *out = g_byte_array_new();

    for (VirtIOBlkReq *r = s->failed; r; r = r->next) {
        virtqueue_save_element(&r->elem, out);
    }
    s->wce = blk_write_cache(s->conf.blk);
    g_free(s->failed_saved);
    s->failed_saved_len = out->len;
    s->failed_saved = g_byte_array_free(out, FALSE);
}

static void blk_pre_load(void *opaque)
{
    drop_failed(opaque, NULL);
}

static bool load_failed(VirtIOBlk *s, Error **err)
{
    VirtIOBlkReq **end = &s->failed;
    uint64_t sector;

    for (size_t pos = 0; pos < s->failed_saved_len;) {
        VirtIOBlkReq *r = virtqueue_load_element(&s->vdev, s->failed_saved, s->failed_saved_len,
                                                 &pos, sizeof(*r), err);
        if (!r) {
            return false;
        }
        r->s = s;
        bool ok = parse_frame(r, &sector);
        if (ok && has_segments(r)) {
            ok = parse_segment(r) == S_OK;
        } else if (ok && r->type != T_FLUSH) {
            ok = (r->type == T_IN || r->type == T_OUT) && parse_rw(r, sector);
        }
        if (!ok) {
            free_request(r);
            return fail(err, "an impossible failed request");
        }
        *end = r;
        end = &r->next;
    }
    return true;
}

static bool blk_post_load(void *opaque, int version, Error **err)
{
    VirtIOBlk *s = opaque;
    unsigned expected = 0, found = 0;

    if (!load_failed(s, err)) {
        drop_failed(s, NULL);
        return false;
    }
    for (unsigned i = 0; i < s->vdev.n_queues; i++) {
        expected += virtqueue_in_flight(virtio_queue(&s->vdev, i));
    }
    for (VirtIOBlkReq *r = s->failed; r; r = r->next) {
        found++;
    }
    if (expected != found && !s->vdev.broken) {
        drop_failed(s, NULL);
        return fail(err, "%u requests in flight, %u saved", expected, found);
    }
    blk_set_write_cache(s->conf.blk, s->wce);
    return true;
}

static const VMField blk_fields[] = {
    VM_STRUCT(VirtIOBlk, vdev, vm_virtio),
    VM_BOOL(VirtIOBlk, wce),
    VM_VBUFFER(VirtIOBlk, failed_saved, failed_saved_len, FAILED_MAX),
    VM_DONE
};
const VMState vm_virtio_blk = {
    .name = "virtio-blk", .pre_save = blk_pre_save, .pre_load = blk_pre_load,
    .post_load = blk_post_load, .fields = blk_fields,
};
