/* SPDX-License-Identifier: MIT */
/*
 * The packet protocol of the CD-ROM drive: taking a command, answering through the data port
 * or by DMA, reading sectors, sense data, changing the medium.
 *
 * Sources: ATA/ATAPI-6, section 9.8 (PACKET protocols); SFF-8020i; MMC-3.
 *
 * Not modelled: writing, audio, sub-channels, overlapped commands.
 */
#include "hw/ide/atapi.h"
#include "util/bits.h"
#include "util/log.h"

/* When a command is refused before it is looked at */
#define ALLOW_UA     0x01       /* runs although a unit attention waits */
#define NEEDS_DISC   0x02
#define NO_DATA      0x04       /* may be given with a byte count limit of zero */

typedef struct PacketCommand {
    void (*fn)(IDEDrive *d);
    uint8_t flags;
    MMCCommand *mmc;            /* in place of fn */
} PacketCommand;

/* ---- endings --------------------------------------------------------------------------- */

void atapi_done(IDEDrive *d)
{
    d->nsector = IR_IO | IR_CD;
    ide_done(d);
}

void atapi_error(IDEDrive *d, uint8_t key, uint8_t asc)
{
    d->nsector = IR_IO | IR_CD;
    d->sense_key = key;
    d->asc = asc;
    ide_error(d, key << 4 | (key == SENSE_ILLEGAL_REQUEST ? ER_ABRT : 0));
}

void atapi_io_error(IDEDrive *d, int errnum)
{
    if (!blk_inserted(d->blk)) {
        atapi_error(d, SENSE_NOT_READY, ASC_NO_MEDIUM);
    } else {
        atapi_error(d, SENSE_MEDIUM_ERROR, ASC_READ_ERROR);
    }
}

/* ---- data to the host ------------------------------------------------------------------ */

/* The next DRQ block: of what the buffer holds, as much as the host's limit allows. */
static void atapi_announce(IDEDrive *d)
{
    uint32_t n = d->buffer_len - d->pos, limit = d->limit == 0xffff ? 0xfffe : d->limit;

    if (n > limit) {
        n = limit & ~1u;                /* only the last block may be odd */
    }
    n = n ? n : 2;
    d->end = d->pos + n;
    d->phase = PH_PIO_IN;
    d->nsector = IR_IO;
    d->lba1 = n;
    d->lba2 = n >> 8;
    d->status = ST_DRDY | ST_DSC | ST_DRQ;
    ide_set_irq(d);
}

void atapi_pio_drained(IDEDrive *d)
{
    if (d->pos < d->buffer_len) {
        atapi_announce(d);
    } else if (d->op == OP_CD_READ && d->left) {
        ide_step(d);
    } else {
        atapi_done(d);
    }
}

static void atapi_reply(IDEDrive *d, uint32_t len, uint32_t max)
{
    d->op = OP_BUFFER;
    d->pos = 0;
    d->buffer_len = MIN(len, max);
    if (!d->buffer_len) {
        atapi_done(d);
    } else if (d->dma) {
        ide_start_dma(d);
        d->status = ST_DRDY | ST_DSC | ST_BSY;
    } else {
        atapi_announce(d);
    }
}

/* ---- reading --------------------------------------------------------------------------- */

static void atapi_make_raw(IDEDrive *d)
{
    /* from the last one, because they grow in place */
    for (uint32_t i = d->block; i-- > 0;) {
        cd_make_raw_sector(d->buffer + i * CD_RAW_SECTOR, d->buffer + i * CD_SECTOR, d->lba + i);
    }
}

void atapi_block_read(IDEDrive *d)
{
    bool all;

    if (d->cd_sector == CD_RAW_SECTOR) {
        atapi_make_raw(d);
    }
    d->lba += d->block;
    d->left -= d->block;
    d->pos = 0;
    d->buffer_len = d->block * d->cd_sector;
    if (!d->dma) {
        atapi_announce(d);
        return;
    }
    all = ide_dma_buffer(d, d->buffer_len);
    if (all && d->left) {
        ide_step(d);
        return;
    }
    d->bus->dma->finish(d->bus->dma_opaque, all);
    atapi_done(d);
}

void atapi_dma_go(IDEDrive *d)
{
    if (d->op == OP_CD_READ) {
        d->phase = PH_BLOCK;
        ide_step(d);
        return;
    }
    bool all = ide_dma_buffer(d, d->buffer_len);
    d->bus->dma->finish(d->bus->dma_opaque, all);
    atapi_done(d);
}

static bool atapi_range_ok(IDEDrive *d, uint32_t lba, uint32_t n)
{
    uint32_t total = mmc_total(&d->cd);

    if (lba < total && n <= total - lba) {
        return true;
    }
    atapi_error(d, SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
    return false;
}

static void atapi_read(IDEDrive *d, uint32_t lba, uint32_t n, unsigned sector)
{
    if (!n) {
        atapi_done(d);
        return;
    }
    if (!atapi_range_ok(d, lba, n)) {
        return;
    }
    d->op = OP_CD_READ;
    d->lba = lba;
    d->left = n;
    d->cd_sector = sector;
    d->dma_off = 0;
    if (d->dma) {
        ide_start_dma(d);
        d->status = ST_DRDY | ST_DSC | ST_BSY;
    } else {
        ide_step(d);
    }
}

static void cmd_read10(IDEDrive *d)
{
    atapi_read(d, ld32_be(d->packet + 2), ld16_be(d->packet + 7), CD_SECTOR);
}

static void cmd_read12(IDEDrive *d)
{
    atapi_read(d, ld32_be(d->packet + 2), ld32_be(d->packet + 6), CD_SECTOR);
}

/* READ CD: bits 7..3 of byte 9 choose sync, header, data, error correction. */
static void cmd_read_cd(IDEDrive *d)
{
    uint32_t n = d->packet[6] << 16 | d->packet[7] << 8 | d->packet[8];

    switch (d->packet[9] & 0xf8) {
    case 0x00:
        atapi_done(d);
        break;
    case 0x10:
        atapi_read(d, ld32_be(d->packet + 2), n, CD_SECTOR);
        break;
    case 0xf8:
        atapi_read(d, ld32_be(d->packet + 2), n, CD_RAW_SECTOR);
        break;
    default:
        atapi_error(d, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD);
    }
}

static void cmd_seek(IDEDrive *d)
{
    if (atapi_range_ok(d, ld32_be(d->packet + 2), 1)) {
        atapi_done(d);
    }
}

/* ---- sense, tray ----------------------------------------------------------------------- */

static void cmd_ok(IDEDrive *d)
{
    atapi_done(d);
}

static void cmd_request_sense(IDEDrive *d)
{
    uint8_t *out = d->buffer;

    memset(out, 0, 18);
    out[0] = 0xf0;              /* valid, current */
    out[2] = d->sense_key;
    out[7] = 10;                /* bytes that follow */
    out[12] = d->asc;
    d->sense_key = d->asc = 0;
    atapi_reply(d, 18, d->packet[4]);
}

static void atapi_media_changed(void *opaque, bool load)
{
    mmc_media_changed(&((IDEDrive *)opaque)->cd, load);
}

static void atapi_eject_request(void *opaque, bool force)
{
    mmc_eject_request(&((IDEDrive *)opaque)->cd, force);
}

static bool atapi_tray_open(void *opaque)
{
    return ((IDEDrive *)opaque)->cd.tray_open;
}

static bool atapi_medium_locked(void *opaque)
{
    return ((IDEDrive *)opaque)->cd.tray_locked;
}

static void atapi_resized(void *opaque)
{
    IDEDrive *d = opaque;
    d->cd.sectors = blk_length(d->blk) / 512;
}

static void atapi_resume(void *opaque)
{
    ide_resume(opaque);
}

const BlkDevOps atapi_block_ops = {
    .media_changed = atapi_media_changed, .eject_request = atapi_eject_request,
    .tray_open = atapi_tray_open, .medium_locked = atapi_medium_locked,
    .resized = atapi_resized, .resume = atapi_resume,
};

/* ---- taking a command ------------------------------------------------------------------ */

static const PacketCommand commands[256] = {
    [0x00] = { cmd_ok, NEEDS_DISC | NO_DATA },                  /* TEST UNIT READY */
    [0x03] = { cmd_request_sense, ALLOW_UA },                   /* REQUEST SENSE */
    [0x12] = { .mmc = mmc_inquiry, .flags = ALLOW_UA },                         /* INQUIRY */
    [0x1b] = { .mmc = mmc_start_stop, .flags = NO_DATA },                       /* START STOP UNIT */
    [0x1e] = { .mmc = mmc_prevent_removal, .flags = NO_DATA },                  /* PREVENT ALLOW MEDIUM REMOVAL */
    [0x25] = { .mmc = mmc_read_capacity, .flags = NEEDS_DISC },                 /* READ CAPACITY */
    [0x28] = { cmd_read10, NEEDS_DISC },                        /* READ (10) */
    [0x2b] = { cmd_seek, NEEDS_DISC | NO_DATA },                /* SEEK */
    [0x43] = { .mmc = mmc_read_toc, .flags = NEEDS_DISC },                      /* READ TOC/PMA/ATIP */
    [0x46] = { .mmc = mmc_get_configuration, .flags = ALLOW_UA },               /* GET CONFIGURATION */
    [0x4a] = { .mmc = mmc_get_event_status, .flags = ALLOW_UA },                /* GET EVENT STATUS NOTIFICATION */
    [0x51] = { .mmc = mmc_read_disc_info, .flags = NEEDS_DISC },                /* READ DISC INFORMATION */
    [0x5a] = { .mmc = mmc_mode_sense, .flags = 0 },                             /* MODE SENSE (10) */
    [0xa8] = { cmd_read12, NEEDS_DISC },                        /* READ (12) */
    [0xad] = { .mmc = mmc_read_dvd_structure, .flags = NEEDS_DISC },            /* READ DVD STRUCTURE */
    [0xbb] = { cmd_ok, NO_DATA },                               /* SET CD SPEED */
    [0xbd] = { .mmc = mmc_mechanism_status, .flags = 0 },                       /* MECHANISM STATUS */
    [0xbe] = { cmd_read_cd, NEEDS_DISC | NO_DATA },             /* READ CD */
};

void atapi_begin(IDEDrive *d)
{
    if (d->feature & 2) {                   /* overlapped */
        ide_abort(d);
        return;
    }
    d->dma = (d->feature & 1) && d->bus->dma;
    d->limit = d->lba1 | d->lba2 << 8;
    d->nsector = IR_CD;
    d->phase = PH_PACKET;
    d->pos = 0;
    d->end = sizeof(d->packet);
    d->status = ST_DRDY | ST_DSC | ST_DRQ;  /* "accelerated DRQ": no interrupt */
}

/* true: the command ends with what there was to tell. */
static bool atapi_tell_change(IDEDrive *d)
{
    MMCResult r = mmc_tell_change(&d->cd);

    if (r.key) {
        atapi_error(d, r.key, r.asc >> 8);
    }
    return r.key;
}

static void atapi_mmc(IDEDrive *d, MMCCommand *command)
{
    MMCResult r = command(&d->cd, d->packet, d->buffer);

    if (r.key) {
        atapi_error(d, r.key, r.asc >> 8);
    } else {
        atapi_reply(d, r.len, r.max);
    }
}

void atapi_packet(IDEDrive *d)
{
    const PacketCommand *c = &commands[d->packet[0]];

    d->op = OP_NONE;
    if (!c->fn && !c->mmc) {
        LOG_GUEST("ide: packet command %02xh does not exist\n", d->packet[0]);
        atapi_error(d, SENSE_ILLEGAL_REQUEST, ASC_ILLEGAL_OPCODE);
        return;
    }
    if (!(c->flags & ALLOW_UA) && atapi_tell_change(d)) {
        return;
    }
    if (!d->dma && !d->limit && !(c->flags & NO_DATA)) {
        ide_abort(d);                       /* no room for the answer */
        return;
    }
    if ((c->flags & NEEDS_DISC) && !blk_inserted(d->blk)) {
        atapi_error(d, SENSE_NOT_READY, ASC_NO_MEDIUM);
        return;
    }
    if (d->packet[0] != 0x03) {
        d->sense_key = d->asc = 0;
    }
    if (c->mmc) {
        atapi_mmc(d, c->mmc);
    } else {
        c->fn(d);
    }
}
