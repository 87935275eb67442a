/* SPDX-License-Identifier: MIT */
/*
 * Moving data: PIO blocks through the data port, DMA in chunks straight between image and
 * guest memory, requests without data; and what happens when the host's storage fails.
 *
 * Source: ATA/ATAPI-6, section 9 (protocols).
 *
 * A command is described by op, lba, left (sectors to go) in the drive; each step submits one
 * block request and continues in its callback, so that a command that failed can be repeated
 * from where it stood, also after the machine was saved and loaded.
 */
#include "hw/ide/internal.h"
#include "util/log.h"
#include <errno.h>


/* ---- addresses ------------------------------------------------------------------------- */

uint64_t ide_get_lba(const IDEDrive *d, bool lba48)
{
    uint64_t low = d->lba0 | d->lba1 << 8 | (uint32_t)d->lba2 << 16;
    unsigned cylinder, head = d->select & 15;

    if (d->select & DH_LBA) {
        if (lba48) {
            return low | (uint64_t)d->hob_lba0 << 24 | (uint64_t)d->hob_lba1 << 32
                 | (uint64_t)d->hob_lba2 << 40;
        }
        return low | (uint32_t)(d->select & 15) << 24;
    }
    if (d->lba0 < 1 || d->lba0 > d->secs || head >= d->heads) {
        return UINT64_MAX;                  /* no such sector */
    }
    cylinder = d->lba2 << 8 | d->lba1;
    return ((uint64_t)cylinder * d->heads + head) * d->secs + d->lba0 - 1;
}

/* The task file names the next sector, or after an error the one that failed. */
void ide_set_lba(IDEDrive *d, uint64_t lba)
{
    if (d->select & DH_LBA) {
        d->lba0 = lba;
        d->lba1 = lba >> 8;
        d->lba2 = lba >> 16;
        if (d->lba48) {
            d->hob_lba0 = lba >> 24;
            d->hob_lba1 = lba >> 32;
            d->hob_lba2 = lba >> 40;
        } else {
            d->select = (d->select & 0xf0) | (lba >> 24 & 15);
        }
        return;
    }
    unsigned track = lba / d->secs, cylinder = track / d->heads;
    d->lba0 = lba % d->secs + 1;
    d->lba1 = cylinder;
    d->lba2 = cylinder >> 8;
    d->select = (d->select & 0xf0) | track % d->heads;
}

bool ide_range_ok(const IDEDrive *d, uint64_t lba, uint64_t n)
{
    return lba < d->sectors && n <= d->sectors - lba;
}

static unsigned sector_bytes(const IDEDrive *d)
{
    return d->op == OP_CD_READ ? d->cd_sector : 512;
}

/* n sectors are done. */
static void advance(IDEDrive *d, uint32_t n)
{
    d->lba += n;
    d->left -= n;
    if (!d->is_cd) {
        ide_set_lba(d, d->lba);
        d->nsector = d->left;
        if (d->lba48) {
            d->hob_nsector = d->left >> 8;
        }
    }
}

/* ---- block requests -------------------------------------------------------------------- */

static void set_block_phase(IDEDrive *d)
{
    d->phase = PH_BLOCK;
    if (!d->dma) {
        d->status = ST_DRDY | ST_DSC | ST_BSY;
    }
}

static bool op_reads(const IDEDrive *d)
{
    return d->op == OP_READ || d->op == OP_VERIFY || d->op == OP_CD_READ;
}

static void drop_vec(IDEDrive *d, uint32_t done)
{
    if (d->vec_used) {
        d->vec_used = false;
        d->bus->dma->unmap(d->bus->dma_opaque, &d->vec, done);
    }
}

/* The DMA list has taken bytes more; dma_off keeps the odd ones. */
static void advance_bytes(IDEDrive *d, uint32_t bytes)
{
    bytes += d->dma_off;
    d->dma_off = bytes % sector_bytes(d);
    advance(d, bytes / sector_bytes(d));
}

static void command_failed(IDEDrive *d, int errnum)
{
    if (d->dma) {
        d->bus->dma->finish(d->bus->dma_opaque, false);
    }
    if (d->is_cd) {
        atapi_io_error(d, errnum);
    } else if (d->op == OP_READ || d->op == OP_VERIFY) {
        ide_error(d, ER_UNC);
    } else {
        ide_error(d, ER_ABRT);
    }
}

/* true: the request failed and the matter is settled; false: go on as if it had worked. */
static bool handle_error(IDEDrive *d, int errnum)
{
    if (errnum == ENOMEDIUM) {              /* that is the guest's business, no failure */
        drop_vec(d, 0);
        command_failed(d, errnum);
        return true;
    }
    switch (blk_error(d->blk, op_reads(d), errnum)) {
    case BLK_ACTION_STOP:
        drop_vec(d, 0);
        d->failed = true;
        return true;
    case BLK_ACTION_REPORT:
        drop_vec(d, 0);
        command_failed(d, errnum);
        return true;
    default:
        return false;
    }
}

static void after_block(IDEDrive *d);

static void block_done(void *opaque, int ret)
{
    IDEDrive *d = opaque;

    d->req = NULL;
    if (d->dropping) {
        return;
    }
    if (ret < 0 && handle_error(d, -ret)) {
        return;
    }
    after_block(d);
}

static void io_buffer(IDEDrive *d, uint32_t len)
{
    d->iov = (struct iovec) { d->buffer, len };
}

static uint64_t disk_offset(const IDEDrive *d)
{
    return d->lba * (d->is_cd ? CD_SECTOR : 512) + d->dma_off;
}

static unsigned write_flags(const IDEDrive *d)
{
    return d->fua || !d->write_cache ? BLK_FUA : 0;
}

/* PIO and VERIFY: the next block of sectors goes through the buffer. */
static void submit_pio(IDEDrive *d)
{
    io_buffer(d, d->block * 512);
    if (d->op == OP_WRITE) {
        d->req = blk_write(d->blk, disk_offset(d), &d->iov, 1, write_flags(d), block_done, d);
    } else {
        d->req = blk_read(d->blk, disk_offset(d), &d->iov, 1, block_done, d);
    }
}

/* ---- DMA ------------------------------------------------------------------------------- */

/* The next piece of the guest's list, whole sectors if it has them. */
static bool dma_next(IDEDrive *d)
{
    uint64_t want = (uint64_t)d->left * sector_bytes(d) - d->dma_off;
    IDEBus *b = d->bus;

    if (!b->dma->map(b->dma_opaque, &d->vec, MIN(want, IDE_CHUNK), d->op != OP_WRITE)) {
        return false;
    }
    d->vec_used = true;
    return true;
}

static void submit_dma(IDEDrive *d)
{
    if (!dma_next(d)) {
        /* The list is too short: the engine stops without an interrupt, and the drive waits
         * for somebody to reset it or give another command */
        d->bus->dma->finish(d->bus->dma_opaque, false);
        d->phase = PH_IDLE;
        d->status = ST_DRDY | ST_DSC;
        if (d->bus->dma->stalled) {
            d->bus->dma->stalled(d->bus->dma_opaque);
        }
        return;
    }
    if (d->op == OP_WRITE) {
        d->req = blk_write(d->blk, disk_offset(d), d->vec.iov, d->vec.n, write_flags(d),
                           block_done, d);
    } else {
        d->req = blk_read(d->blk, disk_offset(d), d->vec.iov, d->vec.n, block_done, d);
    }
}

void ide_dma_go(IDEDrive *d)
{
    if (d->phase != PH_DMA_WAIT) {
        return;
    }
    if (d->is_cd) {
        atapi_dma_go(d);
        return;
    }
    d->phase = PH_BLOCK;
    ide_step(d);
}

/* ---- requests that carry no sectors ---------------------------------------------------- */

/* TRIM: the buffer holds ranges, 48 bits of LBA and 16 of length; pos walks over them. */
static void submit_trim(IDEDrive *d)
{
    while (d->pos < d->end) {
        const uint8_t *p = d->buffer + d->pos;
        uint64_t lba = p[0] | p[1] << 8 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 24
                     | (uint64_t)p[4] << 32 | (uint64_t)p[5] << 40;
        unsigned n = p[6] | p[7] << 8;

        d->pos += 8;
        if (n && !ide_range_ok(d, lba, n)) {
            command_failed(d, EINVAL);
            return;
        }
        if (n) {
            d->req = blk_discard(d->blk, lba * 512, (uint64_t)n * 512, block_done, d);
            return;
        }
    }
    d->bus->dma->finish(d->bus->dma_opaque, true);
    ide_done(d);
}

/* The list of a TRIM comes by DMA into the buffer first. */
static void fetch_trim(IDEDrive *d)
{
    IDEBus *b = d->bus;
    IDEVec *v = &d->vec;
    uint32_t at = 0;

    while (at < d->end && b->dma->map(b->dma_opaque, v, d->end - at, false)) {
        for (int i = 0; i < v->n; i++) {
            memcpy(d->buffer + at, v->iov[i].iov_base, v->iov[i].iov_len);
            at += v->iov[i].iov_len;
        }
        b->dma->unmap(b->dma_opaque, v, v->size);
    }
    d->end = at & ~7u;
    d->pos = 0;
    d->left = 0;                            /* fetched */
}

bool ide_dma_buffer(IDEDrive *d, uint32_t len)
{
    IDEBus *b = d->bus;
    IDEVec *v = &d->vec;
    uint32_t at = 0;

    while (at < len && b->dma->map(b->dma_opaque, v, len - at, true)) {
        for (int i = 0; i < v->n; i++) {
            memcpy(v->iov[i].iov_base, d->buffer + at, v->iov[i].iov_len);
            at += v->iov[i].iov_len;
        }
        b->dma->unmap(b->dma_opaque, v, v->size);
    }
    return at == len;
}

/* ---- one step of the command ------------------------------------------------------------ */

void ide_step(IDEDrive *d)
{
    set_block_phase(d);
    switch (d->op) {
    case OP_FLUSH:
    case OP_CACHE_OFF:
        d->req = blk_flush(d->blk, block_done, d);
        break;
    case OP_TRIM:
        if (d->left) {
            fetch_trim(d);
        }
        submit_trim(d);
        break;
    case OP_CD_READ:
        if (d->dma && d->cd_sector == CD_SECTOR) {
            submit_dma(d);
            break;
        }
        d->block = MIN(d->left, IDE_BUFFER / d->cd_sector);
        io_buffer(d, d->block * CD_SECTOR);
        d->req = blk_read(d->blk, d->lba * CD_SECTOR, &d->iov, 1, block_done, d);
        break;
    case OP_VERIFY:
        d->block = MIN(d->left, IDE_BUFFER / 512);
        submit_pio(d);
        break;
    default:
        if (d->dma) {
            submit_dma(d);
        } else {
            submit_pio(d);
        }
    }
}

/* Data of PIO commands come in blocks: one sector, or `mult` of them. */
static uint32_t pio_block(const IDEDrive *d)
{
    bool multiple = d->command == 0xc4 || d->command == 0xc5 || d->command == 0x29
                 || d->command == 0x39 || d->command == 0xce;
    return MIN(d->left, multiple ? d->mult : 1);
}

static void dma_step_done(IDEDrive *d)
{
    uint32_t size = d->vec.size;

    drop_vec(d, size);
    advance_bytes(d, size);
    if (d->left) {
        ide_step(d);
        return;
    }
    d->bus->dma->finish(d->bus->dma_opaque, true);
    if (d->is_cd) {
        atapi_done(d);
    } else {
        ide_done(d);
    }
}

static void write_step_done(IDEDrive *d)
{
    advance(d, d->block);
    if (!d->left) {
        ide_done(d);
        return;
    }
    d->block = pio_block(d);
    ide_receive_buffer(d, d->block * 512, true);
}

/* A block request succeeded. */
static void after_block(IDEDrive *d)
{
    switch (d->op) {
    case OP_FLUSH:
        ide_done(d);
        break;
    case OP_CACHE_OFF:
        d->write_cache = false;
        blk_set_write_cache(d->blk, false);
        ide_done(d);
        break;
    case OP_TRIM:
        ide_step(d);
        break;
    case OP_VERIFY:
        advance(d, d->block);
        if (d->left) {
            ide_step(d);
        } else {
            ide_done(d);
        }
        break;
    case OP_CD_READ:
        if (d->vec_used) {
            dma_step_done(d);
        } else {
            atapi_block_read(d);
        }
        break;
    case OP_READ:
        if (d->dma) {
            dma_step_done(d);
        } else {
            ide_send_buffer(d, d->block * 512);
        }
        break;
    default:
        if (d->dma) {
            dma_step_done(d);
        } else {
            write_step_done(d);
        }
    }
}

void ide_start_pio(IDEDrive *d)
{
    d->dma = false;
    d->dma_off = 0;
    d->block = pio_block(d);
    if (d->op == OP_WRITE) {
        ide_receive_buffer(d, d->block * 512, false);
    } else {
        ide_step(d);
    }
}

void ide_start_dma(IDEDrive *d)
{
    d->dma = true;
    d->dma_off = 0;
    d->phase = PH_DMA_WAIT;
    d->status = ST_DRDY | ST_DSC | ST_DRQ;
    d->bus->dma->wait(d->bus->dma_opaque, d);
}

void ide_start_block(IDEDrive *d)
{
    d->dma = false;
    d->dma_off = 0;
    ide_step(d);
}

/* ---- the data port --------------------------------------------------------------------- */

void ide_send_buffer(IDEDrive *d, uint32_t len)
{
    d->phase = PH_PIO_IN;
    d->pos = 0;
    d->end = len;
    d->status = ST_DRDY | ST_DSC | ST_DRQ;
    ide_set_irq(d);
}

void ide_receive_buffer(IDEDrive *d, uint32_t len, bool irq)
{
    d->phase = PH_PIO_OUT;
    d->pos = 0;
    d->end = len;
    d->status = ST_DRDY | ST_DSC | ST_DRQ;
    if (irq) {
        ide_set_irq(d);
    }
}

/* The host has taken the whole DRQ block. */
static void pio_in_drained(IDEDrive *d)
{
    if (d->is_cd && d->command == 0xa0) {
        atapi_pio_drained(d);
        return;
    }
    if (d->op == OP_READ) {
        advance(d, d->block);
        if (d->left) {
            d->block = pio_block(d);
            ide_step(d);
            return;
        }
    }
    d->phase = PH_IDLE;
    d->op = OP_NONE;
    d->status = ST_DRDY | ST_DSC;           /* no interrupt after the last block */
}

static void pio_out_filled(IDEDrive *d)
{
    if (d->phase == PH_PACKET) {
        memcpy(d->packet, d->buffer, sizeof(d->packet));
        d->phase = PH_IDLE;
        atapi_packet(d);
    } else if (d->op == OP_STORE) {
        ide_done(d);
    } else {
        ide_step(d);
    }
}

uint32_t ide_data_read(IDEDrive *d, unsigned size)
{
    uint32_t val = 0;

    if (d->phase != PH_PIO_IN || !(d->status & ST_DRQ)) {
        return ~0u;
    }
    for (unsigned i = 0; i < size && d->pos < d->end; i++) {
        val |= (uint32_t)d->buffer[d->pos++] << 8 * i;
    }
    if (d->pos == d->end) {
        pio_in_drained(d);
    }
    return val;
}

void ide_data_write(IDEDrive *d, uint32_t val, unsigned size)
{
    if ((d->phase != PH_PIO_OUT && d->phase != PH_PACKET) || !(d->status & ST_DRQ)) {
        return;
    }
    for (unsigned i = 0; i < size && d->pos < d->end; i++) {
        d->buffer[d->pos++] = val >> 8 * i;
    }
    if (d->pos == d->end) {
        pio_out_filled(d);
    }
}

uint8_t *ide_drq_block(IDEDrive *d, uint32_t *len)
{
    bool waits = d->phase == PH_PIO_IN || d->phase == PH_PIO_OUT || d->phase == PH_PACKET;

    *len = d->end - d->pos;
    return waits && (d->status & ST_DRQ) ? d->buffer + d->pos : NULL;
}

void ide_drq_done(IDEDrive *d)
{
    d->pos = d->end;
    if (d->phase == PH_PIO_IN) {
        pio_in_drained(d);
    } else {
        pio_out_filled(d);
    }
}

/* ---- stopping and resuming ------------------------------------------------------------- */

void ide_stop(IDEDrive *d)
{
    if (d->req) {
        d->dropping = true;
        blk_cancel(d->req);
        d->dropping = false;
        d->req = NULL;
    }
    drop_vec(d, 0);
    if (d->dma && (d->phase == PH_BLOCK || d->phase == PH_DMA_WAIT)) {
        d->bus->dma->finish(d->bus->dma_opaque, false);
    }
    d->phase = PH_IDLE;
    d->op = OP_NONE;
    d->dma = d->failed = false;
    d->pos = d->end = d->left = 0;
}

/* The VM runs again after a failed request had stopped it. */
void ide_resume(IDEDrive *d)
{
    if (d->bus->dma && d->bus->dma->resume) {
        d->bus->dma->resume(d->bus->dma_opaque);
    }
    if (!d->failed) {
        return;
    }
    d->failed = false;
    if (d->op == OP_TRIM && d->pos) {
        d->pos -= 8;
    }
    ide_step(d);
}
