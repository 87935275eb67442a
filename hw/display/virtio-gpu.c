/* SPDX-License-Identifier: MIT */
/*
 * The virtio graphics device: queues, commands, configuration, saved state.  Resources:
 * virtio-gpu-res.c; scanouts: virtio-gpu-scan.c; the cards: virtio-gpu-pci.c.
 *
 * Source: VIRTIO 1.2, section 5.7 "GPU Device".
 *
 *     queue 0   control: a command, its answer      queue 1   cursor: commands without answers
 *
 * Commands run in the main thread, where front ends hear of their effects, and in turns: each
 * ends when it has cost BUDGET.  A fence is done when its command is: nothing runs on.
 *
 * Not offered: 3D (VIRGL, capability sets), UUIDs of resources (no other device takes them),
 * blobs in host memory.
 */
#include "hw/display/virtio-gpu.h"
#include "hw/display/edid.h"
#include "util/bits.h"
#include "util/iov.h"
#include "util/log.h"

#define F_EDID          1
#define F_BLOB          3

#define CONTROL_SIZE    64
#define CURSOR_SIZE     16

/* Commands */
enum { CMD_GET_DISPLAY_INFO = 0x100, CMD_CREATE_2D, CMD_UNREF, CMD_SET_SCANOUT, CMD_FLUSH,
       CMD_TRANSFER_TO_HOST_2D, CMD_ATTACH_BACKING, CMD_DETACH_BACKING, CMD_GET_EDID = 0x10a,
       CMD_CREATE_BLOB = 0x10c, CMD_SET_SCANOUT_BLOB, CMD_UPDATE_CURSOR = 0x300, CMD_MOVE_CURSOR };

/* Header of commands and answers: type, flags, fence, context */
#define HEAD_SIZE       24
#define FLAG_FENCE      1
#define ENTRY_SIZE      16

#define BLOB_MEM_GUEST  1
#define EDID_ROOM       1024

#define BUDGET          (32u << 20)     /* bytes copied in one turn */
#define COMMAND_COST    1024
#define ENTRY_COST      256             /* of looking a piece of backing up */

/* One command while it is worked on. */
typedef struct Command {
    VirtQElement *e;
    uint8_t in[128];                    /* its beginning */
    size_t len;                         /* of that */
    uint8_t out[HEAD_SIZE + 8 + EDID_ROOM];
    size_t out_len;                     /* with the header */
} Command;

static VirtIOGPU *gpu_of(VirtIODevice *v)
{
    return (VirtIOGPU *)((char *)v - offsetof(VirtIOGPU, vdev));
}

static GPURect rect_at(const uint8_t *p)
{
    return (GPURect) { ld32_le(p), ld32_le(p + 4), ld32_le(p + 8), ld32_le(p + 12) };
}

/* ---- commands ---------------------------------------------------------------------------- */

static GPUResponse get_display_info(VirtIOGPU *s, Command *c)
{
    for (unsigned n = 0; n < GPU_SCANOUTS_MAX; n++) {
        uint8_t *p = c->out + HEAD_SIZE + 24 * n;
        if (n < s->max_outputs && s->scanout[n].connected) {
            GPURect r = gpu_scanout_wish(s, n);
            st32_le(p, r.x);
            st32_le(p + 4, r.y);
            st32_le(p + 8, r.w);
            st32_le(p + 12, r.h);
            st32_le(p + 16, 1);
        }
    }
    c->out_len = HEAD_SIZE + 24 * GPU_SCANOUTS_MAX;
    return GPU_OK_DISPLAY_INFO;
}

static GPUResponse get_edid(VirtIOGPU *s, Command *c)
{
    uint32_t n = ld32_le(c->in + 24);

    if (!s->with_edid) {
        return GPU_ERR;
    }
    if (n >= s->max_outputs) {
        return GPU_ERR_PARAMETER;
    }
    st32_le(c->out + HEAD_SIZE, edid_make_large(c->out + HEAD_SIZE + 8, s->scanout[n].want_w,
                                                s->scanout[n].want_h, 2560, 2048));
    c->out_len = HEAD_SIZE + 8 + EDID_ROOM;
    return GPU_OK_EDID;
}

/* The list of n entries behind `skip` bytes of the command; NULL: it is too long or cut off. */
static GPUEntry *read_backing(VirtIOGPU *s, const Command *c, size_t skip, uint32_t n)
{
    GPUEntry *b;

    if (n > GPU_BACKING_MAX || c->e->out_len - skip < (size_t)n * ENTRY_SIZE) {
        LOG_GUEST("virtio-gpu: %u entries of backing", n);
        return NULL;
    }
    s->spent += (uint64_t)n * ENTRY_COST;
    b = g_new0(GPUEntry, MAX(n, 1));
    g_autofree uint8_t *raw = g_malloc((size_t)n * ENTRY_SIZE + 1);
    iov_to_buf(c->e->out, c->e->out_num, skip, raw, (size_t)n * ENTRY_SIZE);
    for (uint32_t i = 0; i < n; i++) {
        b[i].addr = ld64_le(raw + ENTRY_SIZE * i);
        b[i].len = ld32_le(raw + ENTRY_SIZE * i + 8);
    }
    return b;
}

static GPUResponse attach_backing(VirtIOGPU *s, const Command *c)
{
    uint32_t n = ld32_le(c->in + 28);
    GPUEntry *b = read_backing(s, c, 32, n);
    GPUResponse r = b ? gpu_attach(s, ld32_le(c->in + 24), b, n) : GPU_ERR;

    if (r != GPU_OK) {
        g_free(b);
    }
    return r;
}

static GPUResponse create_blob(VirtIOGPU *s, const Command *c)
{
    uint32_t n = ld32_le(c->in + 36);

    if (ld32_le(c->in + 28) != BLOB_MEM_GUEST) {
        return GPU_ERR_PARAMETER;
    }
    GPUEntry *b = read_backing(s, c, 56, n);
    GPUResponse r = b ? gpu_create_blob(s, ld32_le(c->in + 24), ld64_le(c->in + 48), b, n) : GPU_ERR;
    if (r != GPU_OK) {
        g_free(b);
    }
    return r;
}

static GPUResponse set_scanout_blob(VirtIOGPU *s, const Command *c)
{
    GPURect r = rect_at(c->in + 24);
    GPUBlobPicture b = {
        .w = ld32_le(c->in + 48), .h = ld32_le(c->in + 52), .format = ld32_le(c->in + 56),
        .stride = ld32_le(c->in + 64), .offset = ld32_le(c->in + 80),
    };
    return gpu_set_scanout_blob(s, ld32_le(c->in + 40), ld32_le(c->in + 44), &r, &b);
}

static GPUResponse run(VirtIOGPU *s, Command *c)
{
    GPURect r = rect_at(c->in + 24);

    switch (ld32_le(c->in)) {
    case CMD_GET_DISPLAY_INFO:
        return get_display_info(s, c);
    case CMD_GET_EDID:
        return get_edid(s, c);
    case CMD_CREATE_2D:
        return gpu_create_2d(s, ld32_le(c->in + 24), ld32_le(c->in + 28), ld32_le(c->in + 32),
                             ld32_le(c->in + 36));
    case CMD_UNREF:
        return gpu_unref(s, ld32_le(c->in + 24));
    case CMD_SET_SCANOUT:
        return gpu_set_scanout(s, ld32_le(c->in + 40), ld32_le(c->in + 44), &r);
    case CMD_FLUSH:
        return gpu_flush(s, ld32_le(c->in + 40), &r);
    case CMD_TRANSFER_TO_HOST_2D:
        return gpu_transfer(s, ld32_le(c->in + 48), &r, ld64_le(c->in + 40));
    case CMD_ATTACH_BACKING:
        return attach_backing(s, c);
    case CMD_DETACH_BACKING:
        return gpu_detach(s, ld32_le(c->in + 24));
    case CMD_CREATE_BLOB:
        return s->with_blob ? create_blob(s, c) : GPU_ERR;
    case CMD_SET_SCANOUT_BLOB:
        return s->with_blob ? set_scanout_blob(s, c) : GPU_ERR;
    default:
        LOG_GUEST("virtio-gpu: command %x", ld32_le(c->in));
        return GPU_ERR;
    }
}

/* Bytes a command has at least, entries of backing aside. */
static size_t command_size(uint32_t type)
{
    switch (type) {
    case CMD_GET_EDID: case CMD_UNREF: case CMD_ATTACH_BACKING: case CMD_DETACH_BACKING:
        return 32;
    case CMD_CREATE_2D:
        return 40;
    case CMD_SET_SCANOUT: case CMD_FLUSH:
        return 48;
    case CMD_TRANSFER_TO_HOST_2D: case CMD_CREATE_BLOB:
        return 56;
    case CMD_SET_SCANOUT_BLOB:
        return 96;
    case CMD_UPDATE_CURSOR: case CMD_MOVE_CURSOR:
        return 56;
    default:
        return HEAD_SIZE;
    }
}

/* The beginning of the command; false: it is too short for what it is. */
static bool get_command(Command *c, VirtQElement *e)
{
    memset(c, 0, sizeof(*c));
    c->e = e;
    c->len = iov_to_buf(e->out, e->out_num, 0, c->in, sizeof(c->in));
    return c->len >= HEAD_SIZE && c->len >= command_size(ld32_le(c->in));
}

/* ---- queues ------------------------------------------------------------------------------ */

/* Bytes written as the answer. */
static size_t answer(Command *c, GPUResponse r)
{
    st32_le(c->out, r);
    if (ld32_le(c->in + 4) & FLAG_FENCE) {
        st32_le(c->out + 4, FLAG_FENCE);
        memcpy(c->out + 8, c->in + 8, 12);      /* fence and context */
    }
    if (r >= GPU_ERR || !c->out_len) {
        c->out_len = HEAD_SIZE;
    }
    return iov_from_buf(c->e->in, c->e->in_num, 0, c->out, c->out_len);
}

static void do_control(VirtIOGPU *s, VirtQueue *vq, VirtQElement *e)
{
    Command c;
    GPUResponse r = get_command(&c, e) ? run(s, &c) : GPU_ERR;

    if (r >= GPU_ERR) {
        LOG_GUEST("virtio-gpu: command %x of %zu bytes: answer %x", ld32_le(c.in), e->out_len, r);
    }
    s->spent += COMMAND_COST;
    virtqueue_push(vq, e, answer(&c, r));
}

static void do_cursor(VirtIOGPU *s, const Command *c)
{
    uint32_t n = ld32_le(c->in + 24), x = ld32_le(c->in + 28), y = ld32_le(c->in + 32);
    uint32_t id = ld32_le(c->in + 40);

    if (n >= s->max_outputs) {
        LOG_GUEST("virtio-gpu: cursor of scanout %u", n);
    } else if (ld32_le(c->in) == CMD_UPDATE_CURSOR) {
        if (id) {
            gpu_update_cursor(s, n, id, ld32_le(c->in + 44), ld32_le(c->in + 48));
        }
        gpu_move_cursor(s, n, x, y, id != 0);
    } else if (ld32_le(c->in) == CMD_MOVE_CURSOR) {
        gpu_move_cursor(s, n, x, y, s->scanout[n].cursor_on);
    }
}

/* false: there is one more than its share of a turn. */
static bool work_cursor(VirtIOGPU *s)
{
    VirtQueue *vq = virtio_queue(&s->vdev, 1);
    VirtQElement *e = NULL;
    Command c;

    for (unsigned n = 0; n < CURSOR_SIZE && (e = virtqueue_pop(vq, sizeof(*e))); n++) {
        if (get_command(&c, e)) {
            do_cursor(s, &c);
        } else {
            LOG_GUEST("virtio-gpu: cursor command of %zu bytes", e->out_len);
        }
        virtqueue_push(vq, e, 0);
        g_free(e);
    }
    virtqueue_notify(vq);
    return !e;
}

static bool work_control(VirtIOGPU *s)
{
    VirtQueue *vq = virtio_queue(&s->vdev, 0);
    VirtQElement *e = NULL;

    while (s->spent < BUDGET && (e = virtqueue_pop(vq, sizeof(*e)))) {
        do_control(s, vq, e);
        g_free(e);
    }
    virtqueue_notify(vq);
    return !e;
}

static void work(void *opaque)
{
    VirtIOGPU *s = opaque;
    bool done;

    s->spent = 0;
    g_clear_pointer(&s->saved, g_free);
    s->saved_len = 0;
    done = work_control(s);
    if (!work_cursor(s) || !done) {
        timer_mod(&s->work, vclock_ns());
    }
}

static void handle(VirtQueue *vq)
{
    VirtIOGPU *s = gpu_of(virtqueue_device(vq));

    if (!timer_pending(&s->work)) {
        timer_mod(&s->work, vclock_ns());
    }
}

/* ---- the device -------------------------------------------------------------------------- */

static uint64_t gpu_features(VirtIODevice *v)
{
    VirtIOGPU *s = gpu_of(v);

    return (s->with_edid ? VIRTIO_BIT(F_EDID) : 0) | (s->with_blob ? VIRTIO_BIT(F_BLOB) : 0);
}

static void gpu_get_config(VirtIODevice *v)
{
    VirtIOGPU *s = gpu_of(v);

    st32_le(v->config, s->events);
    st32_le(v->config + 4, 0);
    st32_le(v->config + 8, s->max_outputs);
    st32_le(v->config + 12, 0);         /* capability sets */
}

/* Ones written to events_clear clear. */
static void gpu_config_written(VirtIODevice *v, unsigned off, unsigned len)
{
    VirtIOGPU *s = gpu_of(v);

    if (off < 8 && off + len > 4) {
        s->events &= ~ld32_le(v->config + 4);
    }
    memset(v->config + 4, 0, 4);
}

static void drop_pictures(VirtIOGPU *s)
{
    for (unsigned n = 0; n < s->max_outputs; n++) {
        gpu_scanout_clear(s, n);
    }
    gpu_unref_all(s);
}

static void gpu_reset(VirtIODevice *v)
{
    VirtIOGPU *s = gpu_of(v);

    timer_del(&s->work);
    drop_pictures(s);
    for (unsigned n = 0; n < s->max_outputs; n++) {
        GPUScanout *o = &s->scanout[n];
        o->part = (GPURect) { 0 };
        o->format = o->stride = o->offset = 0;
        o->hot_x = o->hot_y = 0;
        g_clear_pointer(&o->cursor, g_free);
        o->cursor_len = 0;
        console_set_cursor(o->console, 0, 0, 0, 0, NULL);
        gpu_move_cursor(s, n, 0, 0, false);
    }
    s->events = 0;
    if (s->on && s->takes_over) {
        s->takes_over(s, false);
    }
    s->on = false;
}

/* Nothing is in flight outside of the handlers. */
static void gpu_queue_reset(VirtQueue *vq)
{
}

static const VirtIOType virtio_gpu_type = {
    .name = "virtio-gpu", .id = VIRTIO_ID_GPU, .features = gpu_features,
    .get_config = gpu_get_config, .config_written = gpu_config_written, .reset = gpu_reset,
    .queue_reset = gpu_queue_reset,
};

bool virtio_gpu_realize(VirtIOGPU *s, Device *dev, const char *name, Console *first, Error **err)
{
    if (s->xres < 320 || s->yres < 200 || s->xres > 4095 || s->yres > 4095) {
        return fail(err, "%s: xres=%u,yres=%u: sizes from 320x200 to 4095x4095 are possible",
                    dev->type->name, s->xres, s->yres);
    }
    if (s->max_hostmem < 1 << 20 || s->max_hostmem > 1 << 30) {
        return fail(err, "%s: max_hostmem=%" G_GUINT64_FORMAT ": use 1M to 1G", dev->type->name,
                    s->max_hostmem);
    }
    if (!virtio_init(&s->vdev, dev, &virtio_gpu_type, GPU_CONFIG_SIZE, 2, err)) {
        return false;
    }
    virtio_add_queue(&s->vdev, CONTROL_SIZE, handle);
    virtio_add_queue(&s->vdev, CURSOR_SIZE, handle);
    timer_init(&s->work, ORRERY_CLOCK_VIRTUAL, work, s);
    s->resources = g_hash_table_new(NULL, NULL);
    for (unsigned n = 0; n < s->max_outputs; n++) {
        gpu_scanout_init(s, n, name, n ? NULL : first);
    }
    return true;
}

void virtio_gpu_unrealize(VirtIOGPU *s)
{
    timer_del(&s->work);
    drop_pictures(s);
    for (unsigned n = 0; n < s->max_outputs; n++) {
        gpu_scanout_exit(s, n);
    }
    g_clear_pointer(&s->resources, g_hash_table_unref);
    g_clear_pointer(&s->saved, g_free);
    virtio_exit(&s->vdev);
}

/* ---- saved state ------------------------------------------------------------------------- */

static void gpu_pre_save(void *opaque)
{
    gpu_save_resources(opaque);
}

static void gpu_pre_load(void *opaque)
{
    drop_pictures(opaque);
}

static bool gpu_post_load(void *opaque, int version, Error **err)
{
    VirtIOGPU *s = opaque;
    bool on = s->on;

    if (!gpu_load_resources(s, err)) {
        return false;
    }
    g_clear_pointer(&s->saved, g_free);
    s->saved_len = 0;
    if (s->takes_over) {
        s->takes_over(s, on);
    }
    for (unsigned n = 0; n < GPU_SCANOUTS_MAX; n++) {
        if (!gpu_restore_scanout(s, n, err)) {
            return false;
        }
    }
    if (s->on != on) {
        return fail(err, "a picture while the card shows none");
    }
    return true;
}

static const VMField gpu_fields[] = {
    VM_STRUCT(VirtIOGPU, vdev, vm_virtio),
    VM_UINT(VirtIOGPU, events), VM_BOOL(VirtIOGPU, on), VM_TIMER(VirtIOGPU, work),
    VM_STRUCTS(VirtIOGPU, scanout, vm_gpu_scanout),
    VM_VBUFFER(VirtIOGPU, saved, saved_len, UINT32_MAX),
    VM_DONE
};
const VMState vm_virtio_gpu = {
    .name = "virtio-gpu", .pre_save = gpu_pre_save, .pre_load = gpu_pre_load,
    .post_load = gpu_post_load, .fields = gpu_fields,
};
