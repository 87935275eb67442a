/* SPDX-License-Identifier: MIT */
/*
 * Virtio SCSI host adapter: devices "virtio-scsi-pci", "-transitional", "-non-transitional".
 *
 * Source: VIRTIO 1.2, section 5.6.
 *
 *     queue 0 control (task management)   1 events   2.. requests
 *
 * Not modelled: protection information, asynchronous notifications, other LUN formats than the
 * one of 5.6.6.1.
 */
#include "hw/core/machine.h"
#include "hw/scsi/scsi.h"
#include "hw/virtio/virtio-pci.h"
#include "util/bits.h"
#include "util/iov.h"

#include <string.h>

enum { F_INOUT = 0, F_HOTPLUG = 1, F_CHANGE = 2 };

#define CFG_QUEUES      0
#define CFG_SEG_MAX     4
#define CFG_MAX_SECTORS 8
#define CFG_CMD_PER_LUN 12
#define CFG_EVENT_SIZE  16
#define CFG_SENSE_SIZE  20
#define CFG_CDB_SIZE    24
#define CFG_MAX_CHANNEL 28
#define CFG_MAX_TARGET  30
#define CFG_MAX_LUN     32
#define CFG_SIZE        36

#define DEFAULT_SENSE   96
#define DEFAULT_CDB     32
#define MAX_SENSE       0x1000          /* what a driver may make of it */
#define FIXED_QUEUES    2
#define QUEUES_AUTO     UINT32_MAX
#define MAX_TARGET      255
#define MAX_LUN         16383
#define EVENT_SIZE      16
#define FAILED_MAX      (16u << 20)

#define REQ_HEAD        19              /* lun, tag, attribute, priority, crn; the CDB follows */
#define RESP_HEAD       12              /* ... the sense data follow */
#define TMF_SIZE        24
#define AN_SIZE         16

/* Responses (5.6.6.1) */
enum { S_OK, S_OVERRUN, S_ABORTED, S_BAD_TARGET, S_RESET, S_BUSY, S_TRANSPORT_FAILURE,
       S_TARGET_FAILURE, S_NEXUS_FAILURE, S_FAILURE, S_FUNCTION_SUCCEEDED, S_FUNCTION_REJECTED,
       S_INCORRECT_LUN };
enum { T_TMF, T_AN_QUERY, T_AN_SUBSCRIBE };
enum { TMF_ABORT_TASK, TMF_ABORT_TASK_SET, TMF_CLEAR_ACA, TMF_CLEAR_TASK_SET, TMF_NEXUS_RESET,
       TMF_LUN_RESET, TMF_QUERY_TASK, TMF_QUERY_TASK_SET };
enum { EVENT_TRANSPORT_RESET = 1, EVENT_PARAM_CHANGE = 3, EVENTS_MISSED = 0x80000000 };
enum { RESET_RESCAN = 1, RESET_REMOVED = 2 };

typedef struct VirtIOSCSI {
    VirtIOPCI proxy;                    /* always first */
    VirtIODevice vdev;
    SCSIBus scsi;
    uint32_t num_queues, virtqueue_size, max_sectors, cmd_per_lun;
    bool hotplug, param_change;
    uint32_t sense_size, cdb_size;      /* as the driver set them */
    bool events_missed;
    GPtrArray *running;                 /* of VirtIOSCSIReq*: all that are under way */
    bool popping, pushed;               /* see virtio-blk */
    bool dropping;                      /* the state is about to be replaced: no responses */
    uint8_t *failed;                    /* requests that wait for resume, in saved state */
    uint32_t failed_len;
} VirtIOSCSI;

typedef struct VirtIOSCSIReq {
    VirtQElement elem;                  /* always first */
    SCSIRequest r;
    VirtIOSCSI *s;
    struct iovec *data;                 /* where the data do not begin with a buffer; or NULL */
    uint64_t tag;
} VirtIOSCSIReq;

static VirtIOSCSI *scsi_of(VirtIODevice *v)
{
    return (VirtIOSCSI *)((char *)v - offsetof(VirtIOSCSI, vdev));
}

/* ---- requests --------------------------------------------------------------------------------- */

static void free_request(VirtIOSCSIReq *q)
{
    g_free(q->data);
    g_free(q);
}

/* Push the element with the response's head (and sense) at the start of its buffers. */
static void respond(VirtIOSCSIReq *q, uint8_t response, size_t moved)
{
    const SCSIRequest *r = &q->r;
    VirtIOSCSI *s = q->s;
    VirtQueue *vq = q->elem.vq;
    uint8_t head[RESP_HEAD] = { 0 };
    unsigned sense = MIN(r->sense_len, s->sense_size);

    st32_le(head, sense);
    st32_le(head + 4, r->data_len - moved);             /* residual */
    head[10] = r->status;
    head[11] = response;
    iov_from_buf(q->elem.in, q->elem.in_num, 0, head, sizeof(head));
    iov_from_buf(q->elem.in, q->elem.in_num, sizeof(head), r->sense, sense);
    virtqueue_push(vq, &q->elem, RESP_HEAD + s->sense_size + (r->to_device ? 0 : moved));
    if (s->popping) {
        s->pushed = true;
    } else {
        virtqueue_notify(vq);
    }
    free_request(q);
}

static void request_done(SCSIRequest *r)
{
    VirtIOSCSIReq *q = r->opaque;

    g_ptr_array_remove_fast(q->s->running, q);
    if (q->s->dropping) {
        free_request(q);
        return;
    }
    respond(q, r->aborted ? S_ABORTED : r->overrun ? S_OVERRUN : S_OK, r->overrun ? 0 : r->moved);
}

/* What lies behind skip bytes of some buffers. */
static void set_data(VirtIOSCSIReq *q, struct iovec *iov, unsigned n, size_t skip, size_t total)
{
    q->r.data_len = total - skip;
    if (n && iov[0].iov_len == skip) {
        q->r.data = iov + 1;
        q->r.ndata = n - 1;
    } else {
        q->r.data = q->data = g_new(struct iovec, n + 1);
        q->r.ndata = iov_slice(q->data, iov, n, skip, total - skip);
    }
}

/* false: the device is broken. */
static bool parse_request(VirtIOSCSIReq *q, uint8_t *lun)
{
    VirtQElement *e = &q->elem;
    VirtIOSCSI *s = q->s;
    uint8_t head[REQ_HEAD];
    size_t out = REQ_HEAD + s->cdb_size, in = RESP_HEAD + s->sense_size;

    if (e->out_len < out || e->in_len < in) {
        virtio_error(&s->vdev, "request of %zu and %zu bytes", e->out_len, e->in_len);
        return false;
    }
    iov_to_buf(e->out, e->out_num, 0, head, sizeof(head));
    iov_to_buf(e->out, e->out_num, REQ_HEAD, q->r.cdb, MIN(s->cdb_size, SCSI_CDB_MAX));
    memcpy(lun, head, 8);
    q->tag = ld64_le(head + 8);
    q->r.opaque = q;
    q->r.done = request_done;
    q->r.to_device = e->out_len > out;
    if (q->r.to_device) {
        set_data(q, e->out, e->out_num, out, e->out_len);
    } else {
        set_data(q, e->in, e->in_num, in, e->in_len);
    }
    return true;
}

static SCSIDevice *find_device(VirtIOSCSI *s, const uint8_t *lun, unsigned *number)
{
    *number = (lun[2] << 8 | lun[3]) & 0x3fff;
    if (lun[0] != 1 || (lun[2] && (lun[2] & 0xc0) != 0x40)) {
        return NULL;
    }
    SCSIDevice *d = scsi_find(&s->scsi, 0, lun[1], *number);
    return d ? d : scsi_find_target(&s->scsi, 0, lun[1]);
}

static void start_request(VirtIOSCSIReq *q, const uint8_t *lun)
{
    VirtIOSCSI *s = q->s;
    unsigned number;

    q->r.dev = find_device(s, lun, &number);
    if (!q->r.dev) {
        respond(q, S_BAD_TARGET, 0);
    } else if (q->r.to_device && q->elem.in_len > RESP_HEAD + s->sense_size) {
        respond(q, S_FAILURE, 0);       /* both ways: F_INOUT is not offered */
    } else {
        g_ptr_array_add(s->running, q);
        scsi_submit(&q->r, number);
    }
}

static void handle_requests(VirtQueue *vq)
{
    VirtIOSCSI *s = scsi_of(virtqueue_device(vq));
    VirtIOSCSIReq *q;
    uint8_t lun[8];

    s->popping = true;
    do {
        virtqueue_enable_notify(vq, false);
        while ((q = virtqueue_pop(vq, sizeof(*q)))) {
            q->s = s;
            if (!parse_request(q, lun)) {
                virtqueue_detach(vq, &q->elem);
                free_request(q);
                break;
            }
            start_request(q, lun);
        }
        virtqueue_enable_notify(vq, true);
    } while (!virtqueue_empty(vq));
    s->popping = false;
    if (s->pushed) {
        s->pushed = false;
        virtqueue_notify(vq);
    }
}

/* ---- control queue -------------------------------------------------------------------------------- */

static VirtIOSCSIReq *find_task(VirtIOSCSI *s, const SCSIDevice *d, uint64_t tag, bool any)
{
    for (guint i = 0; i < s->running->len; i++) {
        VirtIOSCSIReq *q = g_ptr_array_index(s->running, i);
        if (q->r.dev == d && (any || q->tag == tag)) {
            return q;
        }
    }
    return NULL;
}

/* Requests are short: aborting one means to wait for what the device has under way. */
static uint8_t manage_task(VirtIOSCSI *s, const uint8_t *req)
{
    unsigned number;
    SCSIDevice *d = find_device(s, req + 8, &number);
    uint64_t tag = ld64_le(req + 16);

    if (!d) {
        return S_BAD_TARGET;
    }
    if (ld32_le(req + 4) != TMF_NEXUS_RESET && d->lun != number) {
        return S_INCORRECT_LUN;
    }
    switch (ld32_le(req + 4)) {
    case TMF_ABORT_TASK:
        if (find_task(s, d, tag, false)) {
            scsi_abort(d);
        }
        return S_OK;
    case TMF_ABORT_TASK_SET:
    case TMF_CLEAR_TASK_SET:
        scsi_abort(d);
        return S_OK;
    case TMF_LUN_RESET:
        scsi_reset_device(d);
        return S_OK;
    case TMF_NEXUS_RESET:
        for (guint i = 0; i < s->scsi.bus.devices->len; i++) {
            SCSIDevice *other = g_ptr_array_index(s->scsi.bus.devices, i);
            if (other->id == d->id) {
                scsi_reset_device(other);
            }
        }
        return S_OK;
    case TMF_QUERY_TASK:
        return find_task(s, d, tag, false) ? S_FUNCTION_SUCCEEDED : S_OK;
    case TMF_QUERY_TASK_SET:
        return find_task(s, d, 0, true) ? S_FUNCTION_SUCCEEDED : S_OK;
    default:
        return S_FUNCTION_REJECTED;
    }
}

/* Bytes of the answer; 0: the request makes no sense. */
static size_t control(VirtIOSCSI *s, VirtQElement *e)
{
    uint8_t req[TMF_SIZE] = { 0 }, resp[5] = { 0 };
    size_t len = iov_to_buf(e->out, e->out_num, 0, req, sizeof(req));

    switch (len >= 4 ? ld32_le(req) : UINT32_MAX) {
    case T_TMF:
        if (len < TMF_SIZE || !e->in_len) {
            return 0;
        }
        resp[0] = manage_task(s, req);
        return iov_from_buf(e->in, e->in_num, 0, resp, 1);
    case T_AN_QUERY:
    case T_AN_SUBSCRIBE:
        if (len < AN_SIZE || e->in_len < sizeof(resp)) {
            return 0;
        }
        return iov_from_buf(e->in, e->in_num, 0, resp, sizeof(resp));  /* none of them */
    default:
        return 0;
    }
}

static void handle_control(VirtQueue *vq)
{
    VirtIOSCSI *s = scsi_of(virtqueue_device(vq));
    VirtQElement *e;

    while ((e = virtqueue_pop(vq, sizeof(*e)))) {
        size_t len = control(s, e);
        if (!len) {
            virtio_error(&s->vdev, "control request of %zu and %zu bytes", e->out_len, e->in_len);
            virtqueue_detach(vq, e);
            g_free(e);
            break;
        }
        virtqueue_push(vq, e, len);
        virtqueue_notify(vq);
        g_free(e);
    }
}

/* ---- events ------------------------------------------------------------------------------------------ */

static void send_event(VirtIOSCSI *s, const SCSIDevice *d, uint32_t event, uint32_t reason)
{
    VirtQueue *vq = virtio_queue(&s->vdev, 1);
    uint8_t out[EVENT_SIZE] = { 0 };

    if (!(s->vdev.status & VIRTIO_STATUS_DRIVER_OK)) {
        return;
    }
    VirtQElement *e = virtqueue_pop(vq, sizeof(*e));
    if (!e) {
        s->events_missed = true;
        return;
    }
    if (d) {
        out[4] = 1;
        out[5] = d->id;
        out[6] = 0x40 | d->lun >> 8;
        out[7] = d->lun;
    }
    st32_le(out, event | (s->events_missed ? EVENTS_MISSED : 0));
    st32_le(out + 12, reason);
    s->events_missed = false;
    virtqueue_push(vq, e, iov_from_buf(e->in, e->in_num, 0, out, sizeof(out)));
    virtqueue_notify(vq);
    g_free(e);
}

/* The driver has room for events again. */
static void handle_events(VirtQueue *vq)
{
    VirtIOSCSI *s = scsi_of(virtqueue_device(vq));

    if (s->events_missed) {
        send_event(s, NULL, 0, 0);
    }
}

static VirtIOSCSI *scsi_of_bus(SCSIBus *b)
{
    return (VirtIOSCSI *)b->bus.owner;
}

static void device_changed(SCSIBus *b, SCSIDevice *d, uint16_t asc)
{
    VirtIOSCSI *s = scsi_of_bus(b);

    if (virtio_has(&s->vdev, F_CHANGE)) {
        send_event(s, d, EVENT_PARAM_CHANGE, asc >> 8 | (asc & 0xff) << 8);
    }
}

static void device_plugged(SCSIBus *b, SCSIDevice *d, bool in)
{
    VirtIOSCSI *s = scsi_of_bus(b);

    if (s->vdev.vq && virtio_has(&s->vdev, F_HOTPLUG)) {
        send_event(s, d, EVENT_TRANSPORT_RESET, in ? RESET_RESCAN : RESET_REMOVED);
    }
}

/* ---- the device --------------------------------------------------------------------------------------- */

static uint64_t scsi_features(VirtIODevice *v)
{
    VirtIOSCSI *s = scsi_of(v);

    return (s->hotplug ? VIRTIO_BIT(F_HOTPLUG) : 0) | (s->param_change ? VIRTIO_BIT(F_CHANGE) : 0);
}

static void scsi_get_config(VirtIODevice *v)
{
    VirtIOSCSI *s = scsi_of(v);
    uint8_t *cfg = v->config;

    st32_le(cfg + CFG_QUEUES, s->num_queues);
    st32_le(cfg + CFG_SEG_MAX, s->virtqueue_size - 2);
    st32_le(cfg + CFG_MAX_SECTORS, s->max_sectors);
    st32_le(cfg + CFG_CMD_PER_LUN, s->cmd_per_lun);
    st32_le(cfg + CFG_EVENT_SIZE, EVENT_SIZE);
    st32_le(cfg + CFG_SENSE_SIZE, s->sense_size);
    st32_le(cfg + CFG_CDB_SIZE, s->cdb_size);
    st16_le(cfg + CFG_MAX_CHANNEL, 0);
    st16_le(cfg + CFG_MAX_TARGET, MAX_TARGET);
    st32_le(cfg + CFG_MAX_LUN, MAX_LUN);
}

static void scsi_config_written(VirtIODevice *v, unsigned off, unsigned len)
{
    VirtIOSCSI *s = scsi_of(v);
    uint32_t sense = ld32_le(v->config + CFG_SENSE_SIZE), cdb = ld32_le(v->config + CFG_CDB_SIZE);

    if (off < CFG_SENSE_SIZE || off >= CFG_CDB_SIZE + 4) {
        return;
    }
    if (sense > MAX_SENSE || cdb > MAX_SENSE) {
        virtio_error(v, "sense data of %u bytes, CDBs of %u", sense, cdb);
        return;
    }
    s->sense_size = sense;
    s->cdb_size = cdb;
}

static void finish_all(VirtIOSCSI *s)
{
    for (guint i = 0; i < s->scsi.bus.devices->len; i++) {
        scsi_abort(g_ptr_array_index(s->scsi.bus.devices, i));
    }
}

static void scsi_reset(VirtIODevice *v)
{
    VirtIOSCSI *s = scsi_of(v);

    finish_all(s);
    s->sense_size = DEFAULT_SENSE;
    s->cdb_size = DEFAULT_CDB;
    s->events_missed = false;
}

static void scsi_queue_reset(VirtQueue *vq)
{
    finish_all(scsi_of(virtqueue_device(vq)));
}

static const VirtIOType virtio_scsi_type = {
    .name = "virtio-scsi", .id = VIRTIO_ID_SCSI, .features = scsi_features,
    .get_config = scsi_get_config, .config_written = scsi_config_written, .reset = scsi_reset,
    .queue_reset = scsi_queue_reset,
};

static bool check_props(VirtIOSCSI *s, Device *dev, Error **err)
{
    if (s->num_queues == QUEUES_AUTO) {
        s->num_queues = current_machine ? MAX(current_machine->smp_cpus, 1) : 1;
    }
    if (!s->num_queues || s->num_queues > VIRTIO_QUEUE_MAX - FIXED_QUEUES) {
        return fail(err, "%s: num_queues=%u: use 1 to %u", dev->type->name, s->num_queues,
                    VIRTIO_QUEUE_MAX - FIXED_QUEUES);
    }
    return is_pow2(s->virtqueue_size)
           || fail(err, "%s: virtqueue_size=%u: use a power of two", dev->type->name,
                   s->virtqueue_size);
}

static bool scsi_realize(Device *dev, Error **err)
{
    VirtIOSCSI *s = (VirtIOSCSI *)dev;
    char name[24];

    if (!check_props(s, dev, err)
        || !virtio_init(&s->vdev, dev, &virtio_scsi_type, CFG_SIZE, FIXED_QUEUES + s->num_queues,
                        err)) {
        return false;
    }
    virtio_add_queue(&s->vdev, s->virtqueue_size, handle_control);
    virtio_add_queue(&s->vdev, s->virtqueue_size, handle_events);
    for (unsigned i = 0; i < s->num_queues; i++) {
        virtio_add_queue(&s->vdev, s->virtqueue_size, handle_requests);
    }
    if (!virtio_pci_realize(&s->proxy, &s->vdev, FIXED_QUEUES + s->num_queues + 1, err)) {
        virtio_exit(&s->vdev);
        return false;
    }
    s->running = g_ptr_array_new();
    if (dev->id) {
        g_snprintf(name, sizeof(name), "%.20s.0", dev->id);
    } else {
        g_snprintf(name, sizeof(name), "scsi.%d", dev->instance);
    }
    scsi_bus_init(&s->scsi, dev, name);
    s->scsi.max_id = MAX_TARGET;
    s->scsi.max_lun = MAX_LUN;
    s->scsi.changed = device_changed;
    s->scsi.plugged = device_plugged;
    return true;
}

static void scsi_unrealize(Device *dev)
{
    VirtIOSCSI *s = (VirtIOSCSI *)dev;

    virtio_pci_unrealize(&s->proxy);
    virtio_exit(&s->vdev);
    g_clear_pointer(&s->running, g_ptr_array_unref);
    g_clear_pointer(&s->failed, g_free);
}

/* ---- saved state --------------------------------------------------------------------------------------- */

static void scsi_pre_save(void *opaque)
{
    VirtIOSCSI *s = opaque;
    GByteArray *out = g_byte_array_new();

    for (guint i = 0; i < s->running->len; i++) {
        VirtIOSCSIReq *q = g_ptr_array_index(s->running, i);
        virtqueue_save_element(&q->elem, out);
    }
    g_free(s->failed);
    s->failed_len = out->len;
    s->failed = g_byte_array_free(out, FALSE);
}

static void scsi_pre_load(void *opaque)
{
    VirtIOSCSI *s = opaque;

    s->dropping = true;
    finish_all(s);
    s->dropping = false;
}

static bool load_request(VirtIOSCSI *s, size_t *pos, Error **err)
{
    VirtIOSCSIReq *q = virtqueue_load_element(&s->vdev, s->failed, s->failed_len, pos, sizeof(*q),
                                              err);
    uint8_t lun[8];
    unsigned number;

    if (!q) {
        return false;
    }
    q->s = s;
    if (virtqueue_index(q->elem.vq) < FIXED_QUEUES || !parse_request(q, lun)
        || !(q->r.dev = find_device(s, lun, &number)) || q->r.dev->lun != number) {
        free_request(q);
        return fail(err, "an impossible failed request");
    }
    g_ptr_array_add(s->running, q);
    scsi_restore(&q->r);
    return true;
}

static bool scsi_post_load(void *opaque, int version, Error **err)
{
    VirtIOSCSI *s = opaque;

    if (s->sense_size > MAX_SENSE || s->cdb_size > MAX_SENSE) {
        return fail(err, "sense data of %u bytes, CDBs of %u", s->sense_size, s->cdb_size);
    }
    for (size_t pos = 0; pos < s->failed_len;) {
        if (!load_request(s, &pos, err)) {
            return false;
        }
    }
    return true;
}

static const VMField scsi_fields[] = {
    VM_STRUCT(VirtIOSCSI, proxy, vm_virtio_pci),
    VM_STRUCT(VirtIOSCSI, vdev, vm_virtio),
    VM_UINT(VirtIOSCSI, sense_size), VM_UINT(VirtIOSCSI, cdb_size),
    VM_BOOL(VirtIOSCSI, events_missed),
    VM_VBUFFER(VirtIOSCSI, failed, failed_len, FAILED_MAX),
    VM_DONE
};
static const VMState vm_scsi = {
    .name = "virtio-scsi", .pre_save = scsi_pre_save, .pre_load = scsi_pre_load,
    .post_load = scsi_post_load, .fields = scsi_fields,
};

VIRTIO_PCI_DEVICE(virtio_scsi_pci, "virtio-scsi-pci", "virtio-scsi", "Virtio SCSI host adapter",
                  "Storage", 0x0100, VirtIOSCSI, NULL, vm_scsi, scsi_realize, scsi_unrealize,
    PROP_UINT("num_queues", VirtIOSCSI, num_queues, QUEUES_AUTO, "request queues (default: as "
              "many as CPUs)"),
    PROP_UINT_R("virtqueue_size", VirtIOSCSI, virtqueue_size, 256, 4, VIRTIO_QUEUE_MAX,
                "entries of a queue"),
    PROP_UINT("max_sectors", VirtIOSCSI, max_sectors, 0xffff, "of a request"),
    PROP_UINT("cmd_per_lun", VirtIOSCSI, cmd_per_lun, 128, "requests a disk can take at once"),
    PROP_BOOL("hotplug", VirtIOSCSI, hotplug, true, "tell the driver of new disks"),
    PROP_BOOL("param_change", VirtIOSCSI, param_change, true, "... of changed ones"),
    VIRTIO_PCI_IOEVENTFD(VirtIOSCSI, true), VIRTIO_RING_PROPS(VirtIOSCSI, vdev));
