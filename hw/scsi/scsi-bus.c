/* SPDX-License-Identifier: MIT */
/*
 * The SCSI bus: addresses, the life of a request, commands that all devices share.
 *
 * Sources: SAM-5 (4.7 logical unit numbers, 5.14 unit attentions), SPC-4 (4.5 sense data, 6.4
 * INQUIRY, 6.33 REPORT LUNS, 6.39 REQUEST SENSE).
 */
#include "hw/scsi/scsi.h"
#include "util/bits.h"
#include "util/iov.h"

#include <errno.h>
#include <string.h>

#define INQUIRY_LEN 36

/* ---- endings ------------------------------------------------------------------------------ */

void scsi_done(SCSIRequest *r, uint8_t status)
{
    g_clear_pointer(&r->slice, g_free);
    g_clear_pointer(&r->buffer, g_free);
    r->status = status;
    r->done(r);
}

static void build_sense(uint8_t *out, uint8_t key, uint16_t asc)
{
    memset(out, 0, SCSI_SENSE_LEN);
    out[0] = 0x70;                      /* current, fixed format */
    out[2] = key;
    out[7] = SCSI_SENSE_LEN - 8;
    out[12] = asc >> 8;
    out[13] = asc;
}

void scsi_fail(SCSIRequest *r, uint8_t key, uint16_t asc)
{
    build_sense(r->sense, key, asc);
    r->sense_len = SCSI_SENSE_LEN;
    r->moved = 0;
    scsi_done(r, SCSI_CHECK_CONDITION);
}

void scsi_reply(SCSIRequest *r, const void *buf, size_t len, size_t alloc)
{
    r->moved = iov_from_buf(r->data, r->to_device ? 0 : r->ndata, 0, buf, MIN(len, alloc));
    scsi_done(r, SCSI_GOOD);
}

bool scsi_fetch(SCSIRequest *r, size_t len)
{
    if (!r->to_device || len > r->data_len || len > SCSI_BUFFER) {
        r->overrun = len <= SCSI_BUFFER;
        if (r->overrun) {
            scsi_done(r, SCSI_GOOD);
        } else {
            scsi_fail(r, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD);
        }
        return false;
    }
    r->buffer = g_malloc(MAX(len, 1));
    r->len = len;
    r->moved = iov_to_buf(r->data, r->ndata, 0, r->buffer, len);
    return true;
}

bool scsi_map(SCSIRequest *r, size_t len, struct iovec **iov, int *niov)
{
    if (len > r->data_len) {
        r->overrun = true;
        scsi_done(r, SCSI_GOOD);
        return false;
    }
    if (len == r->data_len) {
        *iov = r->data;
        *niov = r->ndata;
        return true;
    }
    g_free(r->slice);
    r->slice = g_new(struct iovec, MAX(r->ndata, 1));
    *iov = r->slice;
    *niov = iov_slice(r->slice, r->data, r->ndata, 0, len);
    return true;
}

static void fail_errno_sense(SCSIRequest *r, int errnum, bool reads)
{
    switch (errnum) {
    case ENOMEDIUM:
        scsi_fail(r, SENSE_NOT_READY, ASC_NO_MEDIUM);
        break;
    case ENOSPC:
        scsi_fail(r, SENSE_DATA_PROTECT, ASC_SPACE_ALLOC_FAILED);
        break;
    case EPERM:
        scsi_fail(r, SENSE_DATA_PROTECT, ASC_WRITE_PROTECTED);
        break;
    default:
        scsi_fail(r, SENSE_MEDIUM_ERROR, reads ? ASC_READ_ERROR : ASC_WRITE_ERROR);
    }
}

bool scsi_check(SCSIRequest *r, int ret, bool reads)
{
    if (ret >= 0) {
        return true;
    }
    BlkAction action = ret == -ENOMEDIUM ? BLK_ACTION_REPORT
                                         : blk_error(r->dev->conf.blk, reads, -ret);
    if (action == BLK_ACTION_STOP) {
        r->next = r->dev->failed;
        r->dev->failed = r;
    } else if (action == BLK_ACTION_REPORT) {
        fail_errno_sense(r, -ret, reads);
    }
    return action == BLK_ACTION_IGNORE;
}

void scsi_resume(void *opaque)
{
    SCSIDevice *d = opaque;
    SCSIRequest *r = d->failed, *next;

    for (d->failed = NULL; r; r = next) {
        next = r->next;
        r->next = NULL;
        ((const SCSIInfo *)d->dev.type->info)->again(r);
    }
}

void scsi_restore(SCSIRequest *r)
{
    r->next = r->dev->failed;
    r->dev->failed = r;
}

void scsi_abort(SCSIDevice *d)
{
    blk_drain(d->conf.blk);
    while (d->failed) {
        SCSIRequest *r = d->failed;
        d->failed = r->next;
        r->aborted = true;
        scsi_done(r, SCSI_GOOD);
    }
}

void scsi_reset_device(SCSIDevice *d)
{
    scsi_abort(d);
    blkconf_reset(&d->conf);
    d->attention = ASC_RESET;
}

/* ---- commands of all devices ---------------------------------------------------------------- */

static unsigned alloc_length(const uint8_t *cdb)
{
    return ld16_be(cdb + 3);            /* INQUIRY */
}

static void put_padded(uint8_t *out, size_t size, const char *text)
{
    size_t len = text ? strlen(text) : 0;

    memset(out, ' ', size);
    memcpy(out, text, MIN(len, size));
}

/* Page 83h: what the disk is called. */
uint8_t *scsi_identification(const SCSIDevice *d, uint8_t *p)
{
    const char *id = d->device_id ? d->device_id : d->serial ? d->serial : blk_name(d->conf.blk);
    size_t len = MIN(strlen(id), 255 - 8);

    if (len) {
        p[0] = 0x02;                    /* ASCII, vendor specific */
        p[3] = len;
        memcpy(p + 4, id, len);
        p += 4 + len;
    }
    if (d->wwn) {
        p[0] = 0x01;                    /* binary, NAA */
        p[1] = 0x03;
        p[3] = 8;
        st64_be(p + 4, d->wwn);
        p += 12;
    }
    return p;
}

void scsi_inquiry(SCSIRequest *r)
{
    const SCSIDevice *d = r->dev;
    uint8_t out[INQUIRY_LEN] = { d->type, d->removable ? 0x80 : 0, 5, 0x12, INQUIRY_LEN - 5 };

    if (r->cdb[2]) {
        scsi_fail(r, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD);
        return;
    }
    out[7] = 0x02;                      /* command queueing */
    put_padded(out + 8, 8, d->vendor);
    put_padded(out + 16, 16, d->product);
    put_padded(out + 32, 4, d->ver);
    scsi_reply(r, out, sizeof(out), alloc_length(r->cdb));
}

static void report_luns(SCSIRequest *r)
{
    SCSIBus *b = (SCSIBus *)r->dev->dev.bus;
    GByteArray *out = g_byte_array_new();
    uint8_t entry[8] = { 0 };
    uint32_t alloc = ld32_be(r->cdb + 6);

    if (r->cdb[2] > 2) {
        g_byte_array_unref(out);
        scsi_fail(r, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD);
        return;
    }
    g_byte_array_append(out, entry, 8);
    for (guint i = 0; i < b->bus.devices->len && r->cdb[2] != 1; i++) {
        const SCSIDevice *d = g_ptr_array_index(b->bus.devices, i);
        if (d->channel == r->dev->channel && d->id == r->dev->id) {
            entry[0] = d->lun < 256 ? 0 : 0x40 | d->lun >> 8;
            entry[1] = d->lun;
            g_byte_array_append(out, entry, 8);
        }
    }
    st32_be(out->data, out->len - 8);
    scsi_reply(r, out->data, out->len, alloc);
    g_byte_array_unref(out);
}

static void request_sense(SCSIRequest *r)
{
    uint8_t out[SCSI_SENSE_LEN];
    uint16_t asc = r->dev->attention;

    /* sense goes out with the status, so all there can be is an attention */
    build_sense(out, asc ? SENSE_UNIT_ATTENTION : SENSE_NO_SENSE, asc);
    r->dev->attention = 0;
    scsi_reply(r, out, sizeof(out), r->cdb[4]);
}

/* The driver addressed a LUN that the target lacks. */
static void wrong_lun(SCSIRequest *r)
{
    uint8_t out[INQUIRY_LEN] = { 0x7f, 0, 5, 0x12, INQUIRY_LEN - 5 };

    switch (r->cdb[0]) {
    case 0x12:
        scsi_reply(r, out, sizeof(out), alloc_length(r->cdb));
        break;
    case 0xa0:
        report_luns(r);
        break;
    default:
        scsi_fail(r, SENSE_ILLEGAL_REQUEST, ASC_LUN_NOT_SUPPORTED);
    }
}

void scsi_submit(SCSIRequest *r, unsigned lun)
{
    SCSIDevice *d = r->dev;

    if (lun != d->lun) {
        wrong_lun(r);
        return;
    }
    switch (r->cdb[0]) {
    case 0x03:
        request_sense(r);
        return;
    case 0xa0:
        report_luns(r);
        return;
    case 0x12:
        break;                          /* INQUIRY does not disturb an attention */
    default:
        if (d->attention) {
            uint16_t asc = d->attention;
            d->attention = 0;
            scsi_fail(r, SENSE_UNIT_ATTENTION, asc);
            return;
        }
    }
    ((const SCSIInfo *)d->dev.type->info)->command(r);
}

/* ---- addresses ------------------------------------------------------------------------------- */

SCSIDevice *scsi_find(SCSIBus *b, unsigned channel, unsigned id, unsigned lun)
{
    for (guint i = 0; i < b->bus.devices->len; i++) {
        SCSIDevice *d = g_ptr_array_index(b->bus.devices, i);
        if (d->channel == channel && d->id == (int)id && d->lun == lun) {
            return d;
        }
    }
    return NULL;
}

SCSIDevice *scsi_find_target(SCSIBus *b, unsigned channel, unsigned id)
{
    for (guint i = 0; i < b->bus.devices->len; i++) {
        SCSIDevice *d = g_ptr_array_index(b->bus.devices, i);
        if (d->channel == channel && d->id == (int)id) {
            return d;
        }
    }
    return NULL;
}

static bool scsi_bus_add(Bus *bus, Device *dev, Error **err)
{
    SCSIBus *b = (SCSIBus *)bus;
    SCSIDevice *d = (SCSIDevice *)dev;

    if (d->channel > b->max_channel || d->id > (int)b->max_id || d->id < -1 || d->lun > b->max_lun) {
        return fail(err, "%s: channel=%u,scsi-id=%d,lun=%u: bus '%s' goes to %u, %u, %u",
                    dev->type->name, d->channel, d->id, d->lun, bus->name, b->max_channel, b->max_id,
                    b->max_lun);
    }
    if (d->id < 0) {
        d->id = 0;
        while (scsi_find(b, d->channel, d->id, d->lun) && d->id < (int)b->max_id) {
            d->id++;
        }
    }
    SCSIDevice *other = scsi_find(b, d->channel, d->id, d->lun);
    return !other || fail(err, "%s: channel=%u,scsi-id=%d,lun=%u of bus '%s' is in use by %s",
                          dev->type->name, d->channel, d->id, d->lun, bus->name,
                          other->dev.type->name);
}

static bool scsi_bus_added(Bus *bus, Device *dev, Error **err)
{
    SCSIBus *b = (SCSIBus *)bus;

    if (dev->hotplugged && b->plugged) {
        b->plugged(b, (SCSIDevice *)dev, true);
    }
    return true;
}

static bool scsi_bus_unplug(Bus *bus, Device *dev, Error **err)
{
    device_unplug(dev);
    return true;
}

static void scsi_bus_remove(Bus *bus, Device *dev)
{
    SCSIBus *b = (SCSIBus *)bus;

    if (dev->realized && b->plugged) {
        b->plugged(b, (SCSIDevice *)dev, false);
    }
}

static void scsi_bus_path(Bus *bus, Device *dev, GString *out)
{
    const SCSIDevice *d = (SCSIDevice *)dev;

    if (bus->owner && bus->owner->bus && bus->owner->bus->type->path) {
        bus->owner->bus->type->path(bus->owner->bus, bus->owner, out);
        g_string_append_c(out, '/');
    }
    g_string_append_printf(out, "%u:%d:%u", d->channel, d->id, d->lun);
}

static void scsi_bus_fw_name(Bus *bus, Device *dev, GString *out)
{
    const SCSIDevice *d = (SCSIDevice *)dev;

    g_string_append_printf(out, "/channel@%x/disk@%x,%x", d->channel, d->id, d->lun);
}

const BusType scsi_bus_type = {
    .name = "SCSI", .add = scsi_bus_add, .added = scsi_bus_added, .remove = scsi_bus_remove,
    .unplug = scsi_bus_unplug, .path = scsi_bus_path, .fw_name = scsi_bus_fw_name,
};
BUS_TYPE(scsi_bus_type);

void scsi_bus_init(SCSIBus *b, Device *owner, const char *name)
{
    bus_init(&b->bus, &scsi_bus_type, owner, name);
}

/* ---- devices ----------------------------------------------------------------------------------- */

static bool check_text(const SCSIDevice *d, const char *prop, const char *val, size_t max, Error **err)
{
    return !val || strlen(val) <= max
           || fail(err, "%s: %s=%s: at most %zu characters", d->dev.type->name, prop, val, max);
}

bool scsi_device_realize(SCSIDevice *d, Error **err, const BlkDevOps *ops)
{
    bool cd = d->type == 5;

    if (!check_text(d, "serial", d->serial, 36, err) || !check_text(d, "ver", d->ver, 4, err)
        || !check_text(d, "vendor", d->vendor, 8, err)
        || !check_text(d, "product", d->product, 16, err)
        || !check_text(d, "device_id", d->device_id, 240, err)) {
        return false;
    }
    return blkconf_realize(&d->conf, &d->dev, !cd, true, ops, d, err);
}

void scsi_device_unrealize(SCSIDevice *d)
{
    scsi_abort(d);
    blkconf_unplugged(&d->conf);
}

static void scsi_pre_save(void *opaque)
{
    SCSIDevice *d = opaque;
    d->wce = blk_write_cache(d->conf.blk);
}

static bool scsi_post_load(void *opaque, int version, Error **err)
{
    SCSIDevice *d = opaque;

    blk_set_write_cache(d->conf.blk, d->wce);
    return true;
}

static const VMField scsi_fields[] = {
    VM_UINT(SCSIDevice, attention), VM_BOOL(SCSIDevice, wce),
    VM_DONE
};
const VMState vm_scsi_device = {
    .name = "scsi-device", .pre_save = scsi_pre_save, .post_load = scsi_post_load,
    .fields = scsi_fields,
};
