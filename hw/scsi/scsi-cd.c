/* SPDX-License-Identifier: MIT */
/*
 * SCSI CD-ROM drive "scsi-cd".  What describes drive and disc is shared with the ATAPI drive:
 * hw/ide/mmc.c.
 *
 * Sources: MMC-3 (T10/1363-D), SPC-4.  Not modelled: writing, audio, sub-channels.
 */
#include "hw/scsi/scsi.h"
#include "hw/ide/mmc.h"
#include "util/bits.h"
#include "util/iov.h"

#include <string.h>

#define RAW_CHUNK 32u                   /* sectors of a raw read in one block request */

typedef struct SCSICd {
    SCSIDevice d;                       /* always first */
    MMCDrive cd;
} SCSICd;

static SCSICd *cd_of(SCSIRequest *r)
{
    return (SCSICd *)r->dev;
}

static void bad_field(SCSIRequest *r)
{
    scsi_fail(r, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD);
}

/* ---- reading -------------------------------------------------------------------------------- */

static void read_done(void *opaque, int ret)
{
    SCSIRequest *r = opaque;

    if (scsi_check(r, ret, true)) {
        r->moved = r->left;
        scsi_done(r, SCSI_GOOD);
    }
}

static bool check_range(SCSIRequest *r, uint64_t lba, uint32_t n)
{
    uint32_t total = mmc_total(&cd_of(r)->cd);

    if (lba <= total && n <= total - lba) {
        return true;
    }
    scsi_fail(r, SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
    return false;
}

static void read_sectors(SCSIRequest *r, uint64_t lba, uint32_t n)
{
    struct iovec *iov;
    int niov;

    if (!check_range(r, lba, n)) {
        return;
    }
    r->offset = lba * CD_SECTOR;
    r->left = (uint64_t)n * CD_SECTOR;
    if (!n) {
        scsi_done(r, SCSI_GOOD);
    } else if (scsi_map(r, r->left, &iov, &niov)) {
        blk_read(r->dev->conf.blk, r->offset, iov, niov, read_done, r);
    }
}

static void next_raw(SCSIRequest *r);

/* pos sectors are done, len are in the buffer. */
static void raw_done(void *opaque, int ret)
{
    SCSIRequest *r = opaque;
    uint32_t lba = r->offset / CD_SECTOR;
    uint8_t sector[CD_RAW_SECTOR];

    if (!scsi_check(r, ret, true)) {
        return;
    }
    for (uint32_t i = 0; i < r->len; i++) {
        cd_make_raw_sector(sector, r->buffer + i * CD_SECTOR, lba + i);
        r->moved += iov_from_buf(r->data, r->ndata, (uint64_t)(r->pos + i) * CD_RAW_SECTOR, sector,
                                 sizeof(sector));
    }
    r->pos += r->len;
    r->offset += r->len * CD_SECTOR;
    r->left -= r->len;
    next_raw(r);
}

static void next_raw(SCSIRequest *r)
{
    if (!r->left) {
        scsi_done(r, SCSI_GOOD);
        return;
    }
    r->len = MIN(r->left, RAW_CHUNK);
    if (!r->buffer) {
        r->buffer = g_malloc(RAW_CHUNK * CD_SECTOR);
    }
    struct iovec iov = { r->buffer, r->len * CD_SECTOR };
    blk_read(r->dev->conf.blk, r->offset, &iov, 1, raw_done, r);
}

/* READ CD: bits 7..3 of byte 9 choose sync, header, data, error correction. */
static void read_cd(SCSIRequest *r)
{
    uint32_t lba = ld32_be(r->cdb + 2), n = r->cdb[6] << 16 | r->cdb[7] << 8 | r->cdb[8];

    switch (r->cdb[9] & 0xf8) {
    case 0x00:
        scsi_done(r, SCSI_GOOD);
        break;
    case 0x10:
        read_sectors(r, lba, n);
        break;
    case 0xf8:
        if (!check_range(r, lba, n)) {
            break;
        }
        r->overrun = r->to_device || (uint64_t)n * CD_RAW_SECTOR > r->data_len;
        r->offset = (uint64_t)lba * CD_SECTOR;
        r->left = r->overrun ? 0 : n;
        r->pos = 0;
        next_raw(r);
        break;
    default:
        bad_field(r);
    }
}

static void seek(SCSIRequest *r)
{
    if (check_range(r, ld32_be(r->cdb + 2), 1)) {
        scsi_done(r, SCSI_GOOD);
    }
}

/* ---- replies ---------------------------------------------------------------------------------- */

static void run_mmc(SCSIRequest *r, MMCCommand *command)
{
    uint8_t out[MMC_BUFFER];
    MMCResult m = command(&cd_of(r)->cd, r->cdb, out);

    if (m.key) {
        scsi_fail(r, m.key, m.asc);
    } else {
        scsi_reply(r, out, m.len, m.max);
    }
}

static void inquiry(SCSIRequest *r)
{
    uint8_t out[512] = { 0x05, r->cdb[2] }, *p = out + 4;
    const char *serial = r->dev->serial;

    if (!(r->cdb[1] & 1)) {
        scsi_inquiry(r);
        return;
    }
    switch (r->cdb[2]) {
    case 0x00:
        *p++ = 0x00;
        if (serial) {
            *p++ = 0x80;
        }
        *p++ = 0x83;
        break;
    case 0x80:
        if (!serial) {
            bad_field(r);
            return;
        }
        memcpy(p, serial, strlen(serial));
        p += strlen(serial);
        break;
    case 0x83:
        p = scsi_identification(r->dev, p);
        break;
    default:
        bad_field(r);
        return;
    }
    st16_be(out + 2, p - out - 4);
    scsi_reply(r, out, p - out, ld16_be(r->cdb + 3));
}

/* ---- the table ---------------------------------------------------------------------------------- */

#define NEEDS_DISC 1
#define QUIET      2                    /* does not tell of a change of disc */

typedef struct CdCommand {
    void (*fn)(SCSIRequest *r);
    MMCCommand *mmc;
    unsigned flags;
} CdCommand;

static void ok(SCSIRequest *r)
{
    scsi_done(r, SCSI_GOOD);
}

static void read10(SCSIRequest *r)
{
    read_sectors(r, ld32_be(r->cdb + 2), ld16_be(r->cdb + 7));
}

static void read12(SCSIRequest *r)
{
    read_sectors(r, ld32_be(r->cdb + 2), ld32_be(r->cdb + 6));
}

static const CdCommand commands[256] = {
    [0x00] = { .fn = ok, .flags = NEEDS_DISC },                 /* TEST UNIT READY */
    [0x12] = { .fn = inquiry, .flags = QUIET },
    [0x16] = { .fn = ok }, [0x17] = { .fn = ok },               /* RESERVE, RELEASE */
    [0x1b] = { .mmc = mmc_start_stop },
    [0x1e] = { .mmc = mmc_prevent_removal },
    [0x25] = { .mmc = mmc_read_capacity, .flags = NEEDS_DISC },
    [0x28] = { .fn = read10, .flags = NEEDS_DISC },
    [0x2b] = { .fn = seek, .flags = NEEDS_DISC },
    [0x43] = { .mmc = mmc_read_toc, .flags = NEEDS_DISC },
    [0x46] = { .mmc = mmc_get_configuration, .flags = QUIET },
    [0x4a] = { .mmc = mmc_get_event_status, .flags = QUIET },
    [0x51] = { .mmc = mmc_read_disc_info, .flags = NEEDS_DISC },
    [0x5a] = { .mmc = mmc_mode_sense },
    [0xa8] = { .fn = read12, .flags = NEEDS_DISC },
    [0xad] = { .mmc = mmc_read_dvd_structure, .flags = NEEDS_DISC },
    [0xbb] = { .fn = ok },                                      /* SET CD SPEED */
    [0xbd] = { .mmc = mmc_mechanism_status },
    [0xbe] = { .fn = read_cd, .flags = NEEDS_DISC },
};

static void cd_command(SCSIRequest *r)
{
    const CdCommand *c = &commands[r->cdb[0]];
    MMCDrive *cd = &cd_of(r)->cd;
    MMCResult change;

    if (!c->fn && !c->mmc) {
        scsi_fail(r, SENSE_ILLEGAL_REQUEST, ASC_INVALID_OPCODE);
        return;
    }
    if (!(c->flags & QUIET) && (change = mmc_tell_change(cd)).key) {
        scsi_fail(r, change.key, change.asc);
    } else if ((c->flags & NEEDS_DISC) && !blk_inserted(cd->blk)) {
        scsi_fail(r, SENSE_NOT_READY, ASC_NO_MEDIUM);
    } else if (c->mmc) {
        run_mmc(r, c->mmc);
    } else {
        c->fn(r);
    }
}

static void cd_again(SCSIRequest *r)
{
    if (r->buffer) {
        next_raw(r);
    } else {
        cd_command(r);
    }
}

/* ---- medium -------------------------------------------------------------------------------------- */

static void cd_media_changed(void *opaque, bool load)
{
    SCSICd *s = opaque;
    SCSIBus *b = (SCSIBus *)s->d.dev.bus;

    mmc_media_changed(&s->cd, load);
    if (b->changed && load) {
        b->changed(b, &s->d, ASC_MEDIUM_CHANGED);
    }
}

static void cd_eject_request(void *opaque, bool force)
{
    mmc_eject_request(&((SCSICd *)opaque)->cd, force);
}

static bool cd_tray_open(void *opaque)
{
    return ((SCSICd *)opaque)->cd.tray_open;
}

static bool cd_medium_locked(void *opaque)
{
    return ((SCSICd *)opaque)->cd.tray_locked;
}

static void cd_resized(void *opaque)
{
    SCSICd *s = opaque;
    s->cd.sectors = blk_length(s->cd.blk) / 512;
}

static const BlkDevOps cd_ops = {
    .media_changed = cd_media_changed, .eject_request = cd_eject_request,
    .tray_open = cd_tray_open, .medium_locked = cd_medium_locked, .resized = cd_resized,
    .resume = scsi_resume, .any_thread = true,
};

/* ---- life ------------------------------------------------------------------------------------------ */

static bool cd_realize(Device *dev, Error **err)
{
    SCSICd *s = (SCSICd *)dev;
    bool own = !s->d.conf.blk;

    s->d.type = 5;
    s->d.removable = true;
    if (own) {
        s->d.conf.blk = blk_new_empty("");
    }
    if (!scsi_device_realize(&s->d, err, &cd_ops)) {
        if (own) {
            blk_delete(s->d.conf.blk);
            s->d.conf.blk = NULL;
        }
        return false;
    }
    s->cd.blk = s->d.conf.blk;
    s->cd.serial = s->d.serial ? s->d.serial : "";
    s->cd.ver = s->d.ver;
    s->cd.wwn = s->d.wwn;
    s->cd.sectors = blk_length(s->cd.blk) / 512;
    return true;
}

static void cd_unrealize(Device *dev)
{
    SCSICd *s = (SCSICd *)dev;

    scsi_device_unrealize(&s->d);
}

static void cd_reset(Device *dev)
{
    SCSICd *s = (SCSICd *)dev;

    scsi_reset_device(&s->d);
    s->cd.changed = 0;
    s->cd.event_new = s->cd.event_eject = false;
    if (s->cd.tray_locked) {
        s->cd.tray_locked = false;
        blk_lock_medium(s->cd.blk, false);
    }
}

static bool cd_post_load(void *opaque, int version, Error **err)
{
    SCSICd *s = opaque;

    blk_lock_medium(s->cd.blk, s->cd.tray_locked);
    return true;
}

static const VMField cd_fields[] = {
    VM_STRUCT(SCSICd, d, vm_scsi_device),
    VM_UINT(SCSICd, cd.changed), VM_BOOL(SCSICd, cd.tray_open), VM_BOOL(SCSICd, cd.tray_locked),
    VM_BOOL(SCSICd, cd.event_new), VM_BOOL(SCSICd, cd.event_eject),
    VM_DONE
};
static const VMState vm_cd = { .name = "scsi-cd", .post_load = cd_post_load, .fields = cd_fields };

static const Prop cd_props[] = {
    SCSI_PROPS(SCSICd, d),
    PROP_STRING("product", SCSICd, d.product, "QEMU CD-ROM", "up to 16 characters"),
    PROP_DONE
};

static const SCSIInfo cd_info = { .command = cd_command, .again = cd_again };

static const DeviceType scsi_cd = {
    .name = "scsi-cd", .desc = "SCSI CD-ROM drive", .bus = "SCSI", .category = "Storage",
    .size = sizeof(SCSICd), .props = cd_props, .vmstate = &vm_cd, .realize = cd_realize,
    .reset = cd_reset, .unrealize = cd_unrealize, .info = &cd_info,
};
DEVICE_TYPE(scsi_cd);
