/* SPDX-License-Identifier: MIT */
/*
 * ATA commands of hard disks, and those a packet device shares with them.
 *
 * Source: ATA/ATAPI-6, section 8 (command descriptions).
 *
 * Not modelled: the security, host protected area (SET MAX), device configuration overlay,
 * streaming, removable-media and CFA feature sets, overlapped and queued commands; IDENTIFY
 * does not offer them and their commands are aborted.
 */
#include "hw/ide/internal.h"
#include "util/log.h"

/* Who knows a command, and how its numbers are to be read. */
#define HD        0x01
#define CD        0x02
#define EXT       0x04      /* 48-bit addresses and 16-bit counts */
#define FUA       0x08
#define ANY       (HD | CD)

typedef struct IDECommand {
    void (*fn)(IDEDrive *d);
    uint8_t flags;
} IDECommand;

void ide_done(IDEDrive *d)
{
    d->phase = PH_IDLE;
    d->op = OP_NONE;
    d->dma = false;
    d->status = ST_DRDY | ST_DSC;
    d->error = 0;
    ide_set_irq(d);
}

void ide_error(IDEDrive *d, uint8_t bits)
{
    d->phase = PH_IDLE;
    d->op = OP_NONE;
    d->dma = false;
    d->status = ST_DRDY | ST_DSC | ST_ERR;
    d->error = bits;
    ide_set_irq(d);
}

void ide_abort(IDEDrive *d)
{
    ide_error(d, ER_ABRT);
}

/* ---- reading and writing --------------------------------------------------------------- */

/* Address and count out of the task file; false: out of range, the command has failed. */
static bool ide_fetch_range(IDEDrive *d)
{
    d->lba = ide_get_lba(d, d->lba48);
    if (d->lba48) {
        d->left = d->hob_nsector << 8 | d->nsector;
        d->left = d->left ? d->left : 65536;
    } else {
        d->left = d->nsector ? d->nsector : 256;
    }
    if (ide_range_ok(d, d->lba, d->left)) {
        return true;
    }
    ide_error(d, ER_IDNF);
    return false;
}

static void cmd_pio(IDEDrive *d, IDEOp op)
{
    if (ide_fetch_range(d)) {
        d->op = op;
        if (op == OP_VERIFY) {
            ide_start_block(d);
        } else {
            ide_start_pio(d);
        }
    }
}

static void cmd_read(IDEDrive *d)
{
    cmd_pio(d, OP_READ);
}

static void cmd_write(IDEDrive *d)
{
    cmd_pio(d, OP_WRITE);
}

static void cmd_verify(IDEDrive *d)
{
    cmd_pio(d, OP_VERIFY);
}

/* MULTIPLE commands need a block size set before. */
static void cmd_read_multiple(IDEDrive *d)
{
    if (d->mult) {
        cmd_pio(d, OP_READ);
    } else {
        ide_abort(d);
    }
}

static void cmd_write_multiple(IDEDrive *d)
{
    if (d->mult) {
        cmd_pio(d, OP_WRITE);
    } else {
        ide_abort(d);
    }
}

static void cmd_dma(IDEDrive *d, IDEOp op)
{
    if (!d->bus->dma) {
        ide_abort(d);
    } else if (ide_fetch_range(d)) {
        d->op = op;
        ide_start_dma(d);
    }
}

static void cmd_read_dma(IDEDrive *d)
{
    cmd_dma(d, OP_READ);
}

static void cmd_write_dma(IDEDrive *d)
{
    cmd_dma(d, OP_WRITE);
}

/* DATA SET MANAGEMENT knows one thing: TRIM. */
static void cmd_dsm(IDEDrive *d)
{
    uint32_t n = d->hob_nsector << 8 | d->nsector;

    if (d->feature != 1 || !d->bus->dma || !blk_discard_enabled(d->blk) || !n
        || n * 512 > IDE_BUFFER) {
        ide_abort(d);
        return;
    }
    d->op = OP_TRIM;
    d->left = n;
    d->pos = 0;
    d->end = n * 512;
    ide_start_dma(d);
}

/* ---- without data ---------------------------------------------------------------------- */

static void cmd_nop(IDEDrive *d)
{
    ide_abort(d);           /* by definition; the first and only thing NOP does */
}

static void cmd_ok(IDEDrive *d)
{
    ide_done(d);
}

static void cmd_flush(IDEDrive *d)
{
    d->op = OP_FLUSH;
    ide_start_block(d);
}

static void cmd_seek(IDEDrive *d)
{
    if (ide_range_ok(d, ide_get_lba(d, false), 1)) {
        ide_done(d);
    } else {
        ide_error(d, ER_IDNF);
    }
}

static void cmd_init_params(IDEDrive *d)
{
    if (!d->nsector) {
        ide_abort(d);
        return;
    }
    d->heads = (d->select & 15) + 1;
    d->secs = d->nsector;
    ide_done(d);
}

static void cmd_set_multiple(IDEDrive *d)
{
    if (d->nsector > IDE_MAX_MULT || (d->nsector & (d->nsector - 1))) {
        ide_abort(d);
        return;
    }
    d->mult = d->nsector;
    ide_done(d);
}

static void cmd_read_native_max(IDEDrive *d)
{
    if (!(d->select & DH_LBA)) {
        ide_abort(d);
        return;
    }
    ide_set_lba(d, d->lba48 ? d->sectors - 1 : MIN(d->sectors, 1u << 28) - 1);
    ide_done(d);
}

/* Going to standby empties the cache. */
static void cmd_standby(IDEDrive *d)
{
    d->power = 0x00;
    d->sleeping = d->command == 0xe6 || d->command == 0x99;
    if (d->is_cd) {
        ide_done(d);
    } else {
        cmd_flush(d);
    }
}

static void cmd_idle(IDEDrive *d)
{
    d->power = 0xff;
    ide_done(d);
}

static void cmd_check_power(IDEDrive *d)
{
    d->nsector = d->power;
    ide_done(d);
}

static void cmd_device_reset(IDEDrive *d)
{
    ide_stop(d);
    ide_set_signature(d);
    d->error = 1;
    d->status = 0;          /* no interrupt, no DRDY */
}

/* ---- settings -------------------------------------------------------------------------- */

static bool set_transfer_mode(IDEDrive *d, uint8_t val)
{
    unsigned mode = val & 7;

    switch (val >> 3) {
    case 0:                             /* PIO default */
    case 1:                             /* PIO flow control */
        if (mode > 4) {
            return false;
        }
        d->pio_mode = mode;
        d->mdma_mode = d->udma_mode = 0xff;
        return true;
    case 2:                             /* single word DMA, gone since ATA-3 */
    case 4:                             /* multiword DMA */
        if (mode > 2) {
            return false;
        }
        d->mdma_mode = mode;
        d->udma_mode = 0xff;
        return true;
    case 8:                             /* ultra DMA */
        if (mode > 5) {
            return false;
        }
        d->udma_mode = mode;
        d->mdma_mode = 0xff;
        return true;
    default:
        return false;
    }
}

static void cmd_set_features(IDEDrive *d)
{
    switch (d->feature) {
    case 0x02:
        if (!d->is_cd) {
            d->write_cache = true;
            blk_set_write_cache(d->blk, true);
        }
        break;
    case 0x82:
        if (!d->is_cd) {
            d->op = OP_CACHE_OFF;
            ide_start_block(d);
            return;
        }
        break;
    case 0x03:
        if (!set_transfer_mode(d, d->nsector)) {
            ide_abort(d);
            return;
        }
        break;
    case 0x55:
    case 0xaa:
        d->look_ahead = d->feature == 0xaa;
        break;
    case 0x05: case 0x85:               /* power management level */
    case 0x42: case 0xc2:               /* acoustic management */
    case 0x66: case 0xcc:               /* keep or revert settings at a reset */
    case 0x67: case 0x69: case 0x9a:
        break;
    default:
        LOG_GUEST("ide: feature %02xh can't be set\n", d->feature);
        ide_abort(d);
        return;
    }
    ide_done(d);
}

static void cmd_smart(IDEDrive *d)
{
    ide_smart(d);
}

/* ---- identification -------------------------------------------------------------------- */

static void cmd_identify(IDEDrive *d)
{
    if (d->is_cd) {
        ide_set_signature(d);           /* tells the host to use the packet variant */
        ide_abort(d);
        return;
    }
    ide_identify(d, d->buffer);
    d->op = OP_BUFFER;
    ide_send_buffer(d, 512);
}

static void cmd_identify_packet(IDEDrive *d)
{
    ide_identify_packet(d, d->buffer);
    d->op = OP_BUFFER;
    ide_send_buffer(d, 512);
}

static void cmd_read_signature(IDEDrive *d)
{
    ide_set_signature(d);
    ide_abort(d);
}

static void cmd_packet(IDEDrive *d)
{
    atapi_begin(d);
}

/* READ LOG EXT: the directory, and what became of the queued command that failed (ATA8-ACS,
 * annex A.14).  Reading that takes it away. */
static void cmd_read_log(IDEDrive *d)
{
    uint32_t n = d->hob_nsector << 8 | d->nsector, page = d->lba1 | d->hob_lba1 << 8;
    uint8_t sum = 0;

    if (!d->bus->sata || n != 1 || page || (d->lba0 != 0x00 && d->lba0 != 0x10)) {
        ide_abort(d);
        return;
    }
    memset(d->buffer, 0, 512);
    if (d->lba0 == 0x00) {
        d->buffer[0] = 1;                   /* version */
        d->buffer[2 * 0x10] = 1;            /* log 10h: one page */
    } else {
        memcpy(d->buffer, d->ncq_log, sizeof(d->ncq_log));
        for (unsigned i = 0; i < 511; i++) {
            sum += d->buffer[i];
        }
        d->buffer[511] = -sum;
        memset(d->ncq_log, 0, sizeof(d->ncq_log));
        d->ncq_log[0] = 0x80;               /* no queued command */
    }
    d->op = OP_BUFFER;
    ide_send_buffer(d, 512);
}

/* READ BUFFER and WRITE BUFFER: 512 bytes of the drive's memory. */
static void cmd_read_buffer(IDEDrive *d)
{
    d->op = OP_BUFFER;
    ide_send_buffer(d, 512);
}

static void cmd_write_buffer(IDEDrive *d)
{
    d->op = OP_STORE;
    ide_receive_buffer(d, 512, false);
}

/* ---- the table ------------------------------------------------------------------------- */

static const IDECommand commands[256] = {
    [0x00] = { cmd_nop, ANY },                      /* NOP */
    [0x06] = { cmd_dsm, HD | EXT },                 /* DATA SET MANAGEMENT */
    [0x08] = { cmd_device_reset, CD },              /* DEVICE RESET */
    [0x10 ... 0x1f] = { cmd_ok, HD },               /* RECALIBRATE */
    [0x20] = { cmd_read, HD },                      /* READ SECTORS */
    [0x21] = { cmd_read, HD },                      /* ... without retry */
    [0x24] = { cmd_read, HD | EXT },                /* READ SECTORS EXT */
    [0x25] = { cmd_read_dma, HD | EXT },            /* READ DMA EXT */
    [0x27] = { cmd_read_native_max, HD | EXT },     /* READ NATIVE MAX ADDRESS EXT */
    [0x29] = { cmd_read_multiple, HD | EXT },       /* READ MULTIPLE EXT */
    [0x2f] = { cmd_read_log, HD | EXT },            /* READ LOG EXT */
    [0x30] = { cmd_write, HD },                     /* WRITE SECTORS */
    [0x31] = { cmd_write, HD },
    [0x34] = { cmd_write, HD | EXT },               /* WRITE SECTORS EXT */
    [0x35] = { cmd_write_dma, HD | EXT },           /* WRITE DMA EXT */
    [0x39] = { cmd_write_multiple, HD | EXT },      /* WRITE MULTIPLE EXT */
    [0x3c] = { cmd_write, HD | FUA },               /* WRITE VERIFY */
    [0x3d] = { cmd_write_dma, HD | EXT | FUA },     /* WRITE DMA FUA EXT */
    [0x40] = { cmd_verify, HD },                    /* READ VERIFY SECTORS */
    [0x41] = { cmd_verify, HD },
    [0x42] = { cmd_verify, HD | EXT },              /* READ VERIFY SECTORS EXT */
    [0x70 ... 0x7f] = { cmd_seek, HD },             /* SEEK */
    [0x91] = { cmd_init_params, HD },               /* INITIALIZE DEVICE PARAMETERS */
    [0x94] = { cmd_standby, ANY },                  /* the old codes of E0h to E6h */
    [0x95] = { cmd_idle, ANY },
    [0x96] = { cmd_standby, ANY },
    [0x97] = { cmd_idle, ANY },
    [0x98] = { cmd_check_power, ANY },
    [0x99] = { cmd_standby, ANY },
    [0xa0] = { cmd_packet, CD },                    /* PACKET */
    [0xa1] = { cmd_identify_packet, CD },           /* IDENTIFY PACKET DEVICE */
    [0xb0] = { cmd_smart, HD },                     /* SMART */
    [0xc4] = { cmd_read_multiple, HD },             /* READ MULTIPLE */
    [0xc5] = { cmd_write_multiple, HD },            /* WRITE MULTIPLE */
    [0xc6] = { cmd_set_multiple, HD },              /* SET MULTIPLE MODE */
    [0xc8] = { cmd_read_dma, HD },                  /* READ DMA */
    [0xc9] = { cmd_read_dma, HD },
    [0xca] = { cmd_write_dma, HD },                 /* WRITE DMA */
    [0xcb] = { cmd_write_dma, HD },
    [0xce] = { cmd_write_multiple, HD | EXT | FUA },    /* WRITE MULTIPLE FUA EXT */
    [0xe0] = { cmd_standby, ANY },                  /* STANDBY IMMEDIATE */
    [0xe1] = { cmd_idle, ANY },                     /* IDLE IMMEDIATE */
    [0xe2] = { cmd_standby, ANY },                  /* STANDBY */
    [0xe3] = { cmd_idle, ANY },                     /* IDLE */
    [0xe4] = { cmd_read_buffer, HD },               /* READ BUFFER */
    [0xe5] = { cmd_check_power, ANY },              /* CHECK POWER MODE */
    [0xe6] = { cmd_standby, ANY },                  /* SLEEP */
    [0xe7] = { cmd_flush, ANY },                    /* FLUSH CACHE */
    [0xe8] = { cmd_write_buffer, HD },              /* WRITE BUFFER */
    [0xea] = { cmd_flush, HD | EXT },               /* FLUSH CACHE EXT */
    [0xec] = { cmd_identify, ANY },                 /* IDENTIFY DEVICE */
    [0xef] = { cmd_set_features, ANY },             /* SET FEATURES */
    [0xf8] = { cmd_read_native_max, HD },           /* READ NATIVE MAX ADDRESS */
};

/* A packet device answers these with its signature, so that nobody takes it for a disk. */
static bool wants_signature(uint8_t val)
{
    return val == 0x20 || val == 0x21;
}

void ide_command(IDEDrive *d, uint8_t val)
{
    const IDECommand *c = &commands[val];

    if (ide_busy(d) && !(val == 0x08 && d->is_cd)) {
        LOG_GUEST("ide: command %02xh while the drive is busy\n", val);
        return;
    }
    d->command = val;
    if (d->sleeping && val != 0x08) {
        d->sleeping = false;            /* SLEEP wants a reset; be kind */
    }
    if (!c->fn || !(c->flags & (d->is_cd ? CD : HD))) {
        if (d->is_cd && wants_signature(val)) {
            cmd_read_signature(d);
            return;
        }
        LOG_GUEST("ide: command %02xh does not exist\n", val);
        ide_abort(d);
        return;
    }
    if (val != 0xe5 && val != 0x98 && val < 0xe0) {
        d->power = 0xff;                /* any access to the medium spins it up */
    }
    d->lba48 = c->flags & EXT;
    d->fua = c->flags & FUA;
    d->error = 0;
    c->fn(d);
}
