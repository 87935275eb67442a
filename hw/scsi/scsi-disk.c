/* SPDX-License-Identifier: MIT */
/*
 * SCSI hard disk "scsi-hd".
 *
 * Sources: SBC-3 (5 commands, 6.4 mode pages, 6.6 vital product data), SPC-4.
 *
 * Not modelled: protection information, persistent reservations, defect lists.
 */
#include "hw/scsi/scsi.h"
#include "util/bits.h"
#include "util/iov.h"

#include <string.h>

#define WS_CHUNK    (512u << 10)        /* bytes of a repeated pattern in one write */
#define MAX_UNMAP_DESCS 255
#define MAX_WS_BYTES    (1ull << 31)

static uint32_t block_size(const SCSIRequest *r)
{
    return r->dev->conf.logical_block_size;
}

static uint64_t block_count(const SCSIRequest *r)
{
    return blk_length(r->dev->conf.blk) / block_size(r);
}

static void bad_field(SCSIRequest *r)
{
    scsi_fail(r, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD);
}

/* LBA and number of blocks by the length of the command. */
static void get_range(const uint8_t *cdb, uint64_t *lba, uint32_t *n)
{
    switch (cdb[0] >> 5) {
    case 0:
        *lba = ld32_be(cdb) & 0x1fffff;
        *n = cdb[4] ? cdb[4] : 256;
        break;
    case 1:
    case 2:
        *lba = ld32_be(cdb + 2);
        *n = ld16_be(cdb + 7);
        break;
    case 5:
        *lba = ld32_be(cdb + 2);
        *n = ld32_be(cdb + 6);
        break;
    default:
        *lba = ld64_be(cdb + 2);
        *n = ld32_be(cdb + 10);
    }
}

static bool check_range(SCSIRequest *r, uint64_t lba, uint64_t n)
{
    uint64_t total = block_count(r);

    if (lba <= total && n <= total - lba) {
        return true;
    }
    scsi_fail(r, SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
    return false;
}

static bool check_writable(SCSIRequest *r)
{
    if (!blk_readonly(r->dev->conf.blk)) {
        return true;
    }
    scsi_fail(r, SENSE_DATA_PROTECT, ASC_WRITE_PROTECTED);
    return false;
}

/* ---- reading and writing ------------------------------------------------------------------------ */

static void rw_done(void *opaque, int ret)
{
    SCSIRequest *r = opaque;

    if (scsi_check(r, ret, !r->to_device)) {
        r->moved = r->left;
        scsi_done(r, SCSI_GOOD);
    }
}

/* offset and left say what. */
static void submit_rw(SCSIRequest *r)
{
    BlockBackend *blk = r->dev->conf.blk;
    struct iovec *iov;
    int n;

    if (!scsi_map(r, r->left, &iov, &n)) {
        return;
    }
    if (r->to_device) {
        bool fua = r->cdb[0] != 0x0a && (r->cdb[1] & 0x08);
        blk_write(blk, r->offset, iov, n, fua ? BLK_FUA : 0, rw_done, r);
    } else if (blk_try_read(blk, r->offset, iov, n)) {
        rw_done(r, 0);
    } else {
        blk_read(blk, r->offset, iov, n, rw_done, r);
    }
}

static void read_write(SCSIRequest *r, bool write)
{
    uint64_t lba;
    uint32_t n;

    get_range(r->cdb, &lba, &n);
    if (r->cdb[0] >> 5 && (r->cdb[1] & 0xe0)) {
        bad_field(r);                   /* no protection information */
        return;
    }
    if ((write && !check_writable(r)) || !check_range(r, lba, n)) {
        return;
    }
    if (!n) {
        scsi_done(r, SCSI_GOOD);
        return;
    }
    if (write != r->to_device) {
        r->overrun = true;              /* the data lie on the other side */
        scsi_done(r, SCSI_GOOD);
        return;
    }
    r->offset = lba * block_size(r);
    r->left = (uint64_t)n * block_size(r);
    submit_rw(r);
}

static void verify(SCSIRequest *r)
{
    uint64_t lba;
    uint32_t n;

    get_range(r->cdb, &lba, &n);
    if (r->cdb[1] & 0x06) {             /* comparing with the driver's data */
        bad_field(r);
    } else if (check_range(r, lba, n)) {
        scsi_done(r, SCSI_GOOD);
    }
}

static void plain_done(void *opaque, int ret)
{
    SCSIRequest *r = opaque;

    if (scsi_check(r, ret, false)) {
        scsi_done(r, SCSI_GOOD);
    }
}

static void flush(SCSIRequest *r)
{
    blk_flush(r->dev->conf.blk, plain_done, r);
}

/* ---- UNMAP, WRITE SAME ---------------------------------------------------------------------------- */

static void next_unmap(SCSIRequest *r);

static void unmap_done(void *opaque, int ret)
{
    SCSIRequest *r = opaque;

    if (scsi_check(r, ret, false)) {
        r->pos += 16;
        next_unmap(r);
    }
}

static void next_unmap(SCSIRequest *r)
{
    while (r->pos < r->len) {
        uint64_t lba = ld64_be(r->buffer + r->pos), n = ld32_be(r->buffer + r->pos + 8);
        if (n) {
            blk_discard(r->dev->conf.blk, lba * block_size(r), n * block_size(r), unmap_done, r);
            return;
        }
        r->pos += 16;
    }
    scsi_done(r, SCSI_GOOD);
}

static void unmap(SCSIRequest *r)
{
    uint32_t len = ld16_be(r->cdb + 7);

    if (!check_writable(r)) {
        return;
    }
    if (!len) {
        scsi_done(r, SCSI_GOOD);
        return;
    }
    if (len < 8) {
        scsi_fail(r, SENSE_ILLEGAL_REQUEST, ASC_PARAM_LIST_LENGTH);
        return;
    }
    if (!scsi_fetch(r, len)) {
        return;
    }
    uint32_t descs = MIN(ld16_be(r->buffer + 2), len - 8) / 16;
    if (descs > MAX_UNMAP_DESCS) {
        scsi_fail(r, SENSE_ILLEGAL_REQUEST, ASC_INVALID_PARAMETER);
        return;
    }
    r->pos = 8;
    r->len = 8 + 16 * descs;
    for (uint32_t at = 8; at < r->len; at += 16) {
        if (!check_range(r, ld64_be(r->buffer + at), ld32_be(r->buffer + at + 8))) {
            return;
        }
    }
    next_unmap(r);
}

static void next_pattern(SCSIRequest *r);

static void pattern_done(void *opaque, int ret)
{
    SCSIRequest *r = opaque;

    if (scsi_check(r, ret, false)) {
        uint32_t n = MIN(r->left, r->len);
        r->offset += n;
        r->left -= n;
        next_pattern(r);
    }
}

/* The buffer holds the block, repeated. */
static void next_pattern(SCSIRequest *r)
{
    if (!r->left) {
        scsi_done(r, SCSI_GOOD);
        return;
    }
    struct iovec iov = { r->buffer, MIN(r->left, r->len) };
    blk_write(r->dev->conf.blk, r->offset, &iov, 1, 0, pattern_done, r);
}

static void zeroes_again(SCSIRequest *r)
{
    blk_write_zeroes(r->dev->conf.blk, r->offset, r->left, r->cdb[1] & 0x08 ? BLK_MAY_UNMAP : 0,
                     plain_done, r);
}

static void start_pattern(SCSIRequest *r)
{
    uint32_t size = block_size(r);
    uint8_t *block = g_steal_pointer(&r->buffer);

    r->len = MIN(r->left, WS_CHUNK / size * size);
    r->buffer = g_malloc(r->len);
    for (uint32_t at = 0; at < r->len; at += size) {
        memcpy(r->buffer + at, block, size);
    }
    g_free(block);
    next_pattern(r);
}

static void write_same(SCSIRequest *r)
{
    uint64_t lba;
    uint32_t n, size = block_size(r);
    bool no_data = r->cdb[0] == 0x93 && (r->cdb[1] & 0x01);

    get_range(r->cdb, &lba, &n);
    if (r->cdb[1] & 0xf6 || !n || n * (uint64_t)size > MAX_WS_BYTES) {
        bad_field(r);
        return;
    }
    if (!check_writable(r) || !check_range(r, lba, n) || (!no_data && !scsi_fetch(r, size))) {
        return;
    }
    r->offset = lba * size;
    r->left = (uint64_t)n * size;
    if (no_data || iov_is_zero(&(struct iovec) { r->buffer, size }, 1)) {
        g_clear_pointer(&r->buffer, g_free);
        zeroes_again(r);
    } else {
        start_pattern(r);
    }
}

/* ---- capacity, vital product data -------------------------------------------------------------------- */

static void read_capacity10(SCSIRequest *r)
{
    uint8_t out[8];
    uint64_t last = block_count(r) - 1;

    st32_be(out, MIN(last, 0xffffffff));
    st32_be(out + 4, block_size(r));
    scsi_reply(r, out, sizeof(out), sizeof(out));
}

static void service_action_in(SCSIRequest *r)
{
    uint8_t out[32] = { 0 };

    if ((r->cdb[1] & 31) != 0x10) {     /* READ CAPACITY (16) */
        bad_field(r);
        return;
    }
    st64_be(out, block_count(r) - 1);
    st32_be(out + 8, block_size(r));
    out[13] = __builtin_ctz(r->dev->conf.physical_block_size / block_size(r));
    out[14] = r->dev->conf.discard_granularity ? 0x80 : 0;      /* blocks can be unmapped */
    scsi_reply(r, out, sizeof(out), ld32_be(r->cdb + 10));
}

static void block_limits(const SCSIRequest *r, uint8_t *p)
{
    const BlkConf *c = &r->dev->conf;
    uint32_t size = block_size(r);

    st16_be(p + 2, c->min_io_size / size);
    st32_be(p + 8, c->opt_io_size / size);
    st32_be(p + 16, MAX_WS_BYTES / size);               /* blocks of UNMAP */
    st32_be(p + 20, MAX_UNMAP_DESCS);
    st32_be(p + 24, c->discard_granularity / size);
    st64_be(p + 32, MAX_WS_BYTES / size);
}

static void vital_data(SCSIRequest *r)
{
    SCSIDevice *d = r->dev;
    uint8_t out[512] = { d->type, r->cdb[2] }, *p = out + 4;

    switch (r->cdb[2]) {
    case 0x00:
        for (unsigned i = 0; i < 6; i++) {
            static const uint8_t pages[] = { 0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2 };
            if (pages[i] != 0x80 || d->serial) {
                *p++ = pages[i];
            }
        }
        break;
    case 0x80:
        if (!d->serial) {
            bad_field(r);
            return;
        }
        memcpy(p, d->serial, strlen(d->serial));
        p += strlen(d->serial);
        break;
    case 0x83:
        p = scsi_identification(d, p);
        break;
    case 0xb0:
        block_limits(r, p);
        p += 60;
        break;
    case 0xb1:
        st16_be(p, d->rotation_rate);
        p += 60;
        break;
    case 0xb2:
        p[1] = d->conf.discard_granularity ? 0xe0 : 0;  /* UNMAP, both WRITE SAMEs */
        p[2] = d->conf.discard_granularity ? 2 : 0;     /* thin */
        p += 4;
        break;
    default:
        bad_field(r);
        return;
    }
    st16_be(out + 2, p - out - 4);
    scsi_reply(r, out, p - out, ld16_be(r->cdb + 3));
}

/* ---- mode pages ----------------------------------------------------------------------------------------- */

#define PAGE_RECOVERY   0x01
#define PAGE_GEOMETRY   0x04
#define PAGE_CACHING    0x08
#define WCE             0x04

static uint8_t *put_page(uint8_t *p, uint8_t code, uint8_t len)
{
    memset(p, 0, 2 + len);
    p[0] = code;
    p[1] = len;
    return p + 2;
}

/* changeable: the bits that MODE SELECT takes. */
static uint8_t *mode_page(const SCSIRequest *r, uint8_t *p, uint8_t code, bool changeable)
{
    uint32_t cyls, heads, secs;
    uint8_t *b;

    switch (code) {
    case PAGE_RECOVERY:
        b = put_page(p, code, 10);
        b[0] = changeable ? 0 : 0x80;   /* automatic reallocation */
        return b + 10;
    case PAGE_GEOMETRY:
        b = put_page(p, code, 22);
        if (!changeable) {
            blk_geometry(r->dev->conf.blk, &cyls, &heads, &secs);
            b[0] = cyls >> 16;
            st16_be(b + 1, cyls);
            b[3] = heads;
            st16_be(b + 18, 5400);
        }
        return b + 22;
    case PAGE_CACHING:
        b = put_page(p, code, 18);
        b[0] = changeable || blk_write_cache(r->dev->conf.blk) ? WCE : 0;
        return b + 18;
    }
    return NULL;
}

static uint8_t *put_descriptor(const SCSIRequest *r, uint8_t *p)
{
    memset(p, 0, 8);
    st32_be(p, MIN(block_count(r), 0xffffff));
    st32_be(p + 4, block_size(r));
    return p + 8;
}

static void mode_sense(SCSIRequest *r)
{
    static const uint8_t pages[] = { PAGE_RECOVERY, PAGE_GEOMETRY, PAGE_CACHING };
    bool ten = r->cdb[0] == 0x5a, descriptor = !(r->cdb[1] & 0x08);
    unsigned control = r->cdb[2] >> 6, code = r->cdb[2] & 0x3f;
    uint8_t out[128] = { 0 }, *body = out + (ten ? 8 : 4), *p = body;
    uint8_t specific = 0x10 | (blk_readonly(r->dev->conf.blk) ? 0x80 : 0);      /* DPO and FUA */

    if (control == 3) {
        scsi_fail(r, SENSE_ILLEGAL_REQUEST, ASC_SAVING_NOT_SUPPORTED);
        return;
    }
    if (descriptor) {
        p = put_descriptor(r, p);
    }
    uint8_t *first = p;
    for (unsigned i = 0; i < sizeof(pages); i++) {
        if (code == pages[i] || code == 0x3f) {
            p = mode_page(r, p, pages[i], control == 1);
        }
    }
    if (p == first) {
        bad_field(r);
        return;
    }
    if (ten) {
        st16_be(out, p - out - 2);
        out[3] = specific;
        st16_be(out + 6, first - body);
    } else {
        out[0] = p - out - 1;
        out[2] = specific;
        out[3] = first - body;
    }
    scsi_reply(r, out, p - out, ten ? ld16_be(r->cdb + 7) : r->cdb[4]);
}

/* true: the pages are all right; with apply they take effect. */
static bool select_pages(SCSIRequest *r, uint32_t at, bool apply)
{
    while (at < r->len) {
        const uint8_t *p = r->buffer + at;
        uint8_t mine[64], mask[64], *end;
        if (r->len - at < 2 || p[1] > r->len - at - 2u) {
            return false;
        }
        end = mode_page(r, mine, p[0], false);
        if ((p[0] & 0xc0) || !end || p[1] != end - mine - 2) {
            return false;
        }
        mode_page(r, mask, p[0], true);
        for (unsigned i = 2; i < p[1] + 2u; i++) {
            if ((p[i] ^ mine[i]) & ~mask[i]) {
                return false;           /* changes what can't be changed */
            }
        }
        if (apply && p[0] == PAGE_CACHING) {
            blk_set_write_cache(r->dev->conf.blk, p[2] & WCE);
        }
        at += 2 + p[1];
    }
    return true;
}

static void mode_select(SCSIRequest *r)
{
    bool ten = r->cdb[0] == 0x55;
    uint32_t len = ten ? ld16_be(r->cdb + 7) : r->cdb[4], head = ten ? 8 : 4, at;

    if ((r->cdb[1] & 0x11) != 0x10) {   /* pages in the standard's format, not to be saved */
        bad_field(r);
        return;
    }
    if (!len) {
        scsi_done(r, SCSI_GOOD);
        return;
    }
    if (len < head) {
        scsi_fail(r, SENSE_ILLEGAL_REQUEST, ASC_PARAM_LIST_LENGTH);
        return;
    }
    if (!scsi_fetch(r, len)) {
        return;
    }
    at = head + (ten ? ld16_be(r->buffer + 6) : r->buffer[3]);
    if (at > len || !select_pages(r, at, false)) {
        scsi_fail(r, SENSE_ILLEGAL_REQUEST, ASC_INVALID_PARAMETER);
        return;
    }
    select_pages(r, at, true);
    flush(r);                           /* the cache may have been switched off */
}

/* ---- the table ------------------------------------------------------------------------------------------- */

static void hd_command(SCSIRequest *r)
{
    switch (r->cdb[0]) {
    case 0x00:                          /* TEST UNIT READY */
    case 0x16:                          /* RESERVE, RELEASE: there is one initiator */
    case 0x17:
    case 0x1b:                          /* START STOP UNIT */
    case 0x1e:                          /* PREVENT ALLOW MEDIUM REMOVAL */
        scsi_done(r, SCSI_GOOD);
        break;
    case 0x12:
        if (r->cdb[1] & 1) {
            vital_data(r);
        } else {
            scsi_inquiry(r);
        }
        break;
    case 0x08: case 0x28: case 0x88: case 0xa8:
        read_write(r, false);
        break;
    case 0x0a: case 0x2a: case 0x8a: case 0xaa:
    case 0x2e: case 0x8e: case 0xae:    /* WRITE AND VERIFY */
        read_write(r, true);
        break;
    case 0x2f: case 0x8f: case 0xaf:
        verify(r);
        break;
    case 0x35: case 0x91:
        flush(r);
        break;
    case 0x25:
        read_capacity10(r);
        break;
    case 0x9e:
        service_action_in(r);
        break;
    case 0x42:
        unmap(r);
        break;
    case 0x41: case 0x93:
        write_same(r);
        break;
    case 0x1a: case 0x5a:
        mode_sense(r);
        break;
    case 0x15: case 0x55:
        mode_select(r);
        break;
    default:
        scsi_fail(r, SENSE_ILLEGAL_REQUEST, ASC_INVALID_OPCODE);
    }
}

/* What failed goes on where it stood: the fields of the request say where. */
static void hd_again(SCSIRequest *r)
{
    switch (r->cdb[0]) {
    case 0x42:
        if (r->buffer) {
            next_unmap(r);
        } else {
            unmap(r);
        }
        break;
    case 0x41: case 0x93:
        if (r->buffer) {
            next_pattern(r);
        } else if (r->left) {
            zeroes_again(r);
        } else {
            write_same(r);
        }
        break;
    default:
        hd_command(r);
    }
}

static void hd_resized(void *opaque)
{
    SCSIDevice *d = opaque;
    SCSIBus *b = (SCSIBus *)d->dev.bus;

    d->attention = ASC_CAPACITY_CHANGED;
    if (b->changed) {
        b->changed(b, d, ASC_CAPACITY_CHANGED);
    }
}

static const BlkDevOps hd_ops = { .resized = hd_resized, .resume = scsi_resume, .any_thread = true };

static bool hd_realize(Device *dev, Error **err)
{
    SCSIDevice *d = (SCSIDevice *)dev;

    d->type = 0;
    return scsi_device_realize(d, err, &hd_ops);
}

static void hd_unrealize(Device *dev)
{
    scsi_device_unrealize((SCSIDevice *)dev);
}

static void hd_reset(Device *dev)
{
    scsi_reset_device((SCSIDevice *)dev);
}

static const VMField hd_fields[] = { VM_STRUCT(SCSIDevice, dev, vm_scsi_device), VM_DONE };
static const VMState vm_hd = { .name = "scsi-hd", .fields = hd_fields };

typedef struct { SCSIDevice d; } SCSIDisk;

static const Prop hd_props[] = {
    SCSI_PROPS(SCSIDisk, d),
    PROP_STRING("product", SCSIDisk, d.product, "QEMU HARDDISK", "up to 16 characters"),
    PROP_BOOL("removable", SCSIDisk, d.removable, false, "the medium can be taken out"),
    PROP_UINT("rotation_rate", SCSIDisk, d.rotation_rate, 0, "rpm; 1 = solid state, 0 = not told"),
    PROP_DONE
};

static const SCSIInfo hd_info = { .command = hd_command, .again = hd_again };

static const DeviceType scsi_hd = {
    .name = "scsi-hd", .desc = "SCSI disk", .bus = "SCSI", .category = "Storage",
    .size = sizeof(SCSIDisk), .props = hd_props, .vmstate = &vm_hd, .realize = hd_realize,
    .reset = hd_reset, .unrealize = hd_unrealize, .info = &hd_info,
};
DEVICE_TYPE(scsi_hd);
