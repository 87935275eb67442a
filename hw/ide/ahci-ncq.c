/* SPDX-License-Identifier: MIT */
/*
 * AHCI: queued commands (READ and WRITE FPDMA QUEUED), up to 32 at once.
 *
 * Sources: ATA8-ACS, 7.34 and 7.65, A.14; AHCI 1.3.1, 5.6.4 (queued transfers), 6.2.2.2.
 *
 * The drive takes a command at once (its PxCI bit goes) and reports its end by a set device bits
 * FIS (its PxSACT bit goes).  When one fails, the others under way are dropped, log page 10h
 * tells which it was, and the port takes nothing until its list is stopped.
 */
#include "hw/ide/ahci.h"
#include "util/bits.h"
#include "util/log.h"

#include <errno.h>

#define FIS_SDB     0xa1
#define RX_SDB      0x58

bool ahci_ncq_active(const AHCIPort *p)
{
    for (unsigned n = 0; n < AHCI_SLOTS; n++) {
        if (p->queued[n].used) {
            return true;
        }
    }
    return false;
}

static unsigned slot_of(const AHCIQueued *q)
{
    return q - q->port->queued;
}

/* ---- endings --------------------------------------------------------------------------------- */

static void send_sdb(AHCIPort *p, uint32_t done)
{
    IDEDrive *d = ahci_drive(p);
    uint8_t fis[8] = { FIS_SDB, 0x40, d->status & 0x77, d->error };

    st32_le(fis + 4, done);
    p->sact &= ~done;
    p->tf_status = (p->tf_status & 0x88) | (d->status & 0x77);
    p->tf_error = d->error;
    ahci_post_fis(p, RX_SDB, fis, sizeof(fis));
    ahci_port_event(p, AHCI_IS_SDBS | (d->status & ST_ERR ? AHCI_IS_TFES : 0));
}

static void write_log(IDEDrive *d, unsigned tag, uint64_t lba, uint32_t count)
{
    uint8_t *log = d->ncq_log;

    memset(log, 0, sizeof(d->ncq_log));
    log[0] = tag;
    log[2] = d->status;
    log[3] = d->error;
    log[4] = lba;
    log[5] = lba >> 8;
    log[6] = lba >> 16;
    log[7] = 0x40;
    log[8] = lba >> 24;
    log[9] = lba >> 32;
    log[10] = lba >> 40;
    log[12] = count;
    log[13] = count >> 8;
}

/* The command failed: with it go all the others. */
static void fail_queued(AHCIPort *p, unsigned tag, uint8_t error, uint64_t lba, uint32_t count)
{
    IDEDrive *d = ahci_drive(p);

    ahci_ncq_stop(p);
    d->status = ST_DRDY | ST_DSC | ST_ERR;
    d->error = error;
    write_log(d, tag, lba, count);
    p->halted = true;
    send_sdb(p, 0);
}

static void end_queued(AHCIQueued *q)
{
    AHCIPort *p = q->port;
    IDEDrive *d = ahci_drive(p);

    q->used = false;
    ahci_write_count(p, slot_of(q), q->list.moved);
    if (q->list.irq) {
        p->is |= AHCI_IS_DPS;
    }
    d->status = ST_DRDY | ST_DSC;
    d->error = 0;
    send_sdb(p, 1u << slot_of(q));
}

/* ---- data ---------------------------------------------------------------------------------------- */

static void next_piece(AHCIQueued *q);

static void drop_vec(AHCIQueued *q, uint32_t done)
{
    if (q->vec) {
        ahci_unmap(q->port, &q->list, &q->before, q->vec, done);
    }
}

static uint64_t bytes(const AHCIQueued *q)
{
    return (uint64_t)q->total * 512;
}

static uint64_t offset(const AHCIQueued *q)
{
    return q->lba * 512 + q->done;
}

static void piece_done(AHCIQueued *q)
{
    q->done += q->vec->size;
    drop_vec(q, q->vec->size);
}

static void request_failed(AHCIQueued *q, int errnum)
{
    AHCIPort *p = q->port;
    unsigned tag = slot_of(q);
    uint64_t lba = q->lba + q->done / 512;

    drop_vec(q, 0);
    if (errnum == ENOSPC || q->write) {
        fail_queued(p, tag, ER_ABRT, lba, q->total);
    } else {
        fail_queued(p, tag, ER_UNC, lba, q->total);
    }
}

/* true: go on. */
static bool settle(AHCIQueued *q, int ret)
{
    if (ret >= 0) {
        return true;
    }
    switch (blk_error(ahci_drive(q->port)->blk, !q->write, -ret)) {
    case BLK_ACTION_STOP:
        drop_vec(q, 0);
        q->failed = true;
        return false;
    case BLK_ACTION_REPORT:
        request_failed(q, -ret);
        return false;
    default:
        return true;
    }
}

static void request_done(void *opaque, int ret)
{
    AHCIQueued *q = opaque;
    AHCIPort *p = q->port;

    q->req = NULL;
    if (p->dropping) {
        return;
    }
    if (settle(q, ret)) {
        piece_done(q);
        next_piece(q);
    }
    if (!q->used && p->ci && !p->halted) {
        ahci_run(p);                    /* a command that waits for the queue to be empty */
    }
}

/* What the host has in memory is read at once. */
static void next_piece(AHCIQueued *q)
{
    IDEDrive *d = ahci_drive(q->port);

    while (q->done < bytes(q)) {
        q->before = q->list;
        if (!ahci_map(q->port, &q->list, q->vec, MIN(bytes(q) - q->done, IDE_CHUNK), !q->write)) {
            q->port->is |= AHCI_IS_OFS;
            fail_queued(q->port, slot_of(q), ER_ABRT, q->lba, q->total);
            return;
        }
        if (q->write) {
            unsigned flags = q->fua || !d->write_cache ? BLK_FUA : 0;
            q->req = blk_write(d->blk, offset(q), q->vec->iov, q->vec->n, flags, request_done, q);
            return;
        }
        if (!blk_try_read(d->blk, offset(q), q->vec->iov, q->vec->n)) {
            q->req = blk_read(d->blk, offset(q), q->vec->iov, q->vec->n, request_done, q);
            return;
        }
        piece_done(q);
    }
    end_queued(q);
}

/* ---- beginnings ------------------------------------------------------------------------------------ */

void ahci_ncq_start(AHCIPort *p, unsigned slot, const uint8_t *fis, const AHCIList *l)
{
    IDEDrive *d = ahci_drive(p);
    AHCIQueued *q = &p->queued[slot];
    uint64_t lba = fis[4] | fis[5] << 8 | (uint64_t)fis[6] << 16 | (uint64_t)fis[8] << 24
                   | (uint64_t)fis[9] << 32 | (uint64_t)fis[10] << 40;
    uint32_t count = fis[3] | fis[11] << 8;

    count = count ? count : 65536;
    if (fis[12] >> 3 != slot || !(p->sact & 1u << slot)) {
        LOG_GUEST("ahci: port %u: tag %u in slot %u, PxSACT %08x\n", p->number, fis[12] >> 3, slot,
                  p->sact);
        fail_queued(p, fis[12] >> 3, ER_ABRT, lba, count);
        return;
    }
    if (!ide_range_ok(d, lba, count)) {
        fail_queued(p, slot, ER_IDNF, lba, count);
        return;
    }
    IDEVec *vec = q->vec ? q->vec : g_new0(IDEVec, 1);
    *q = (AHCIQueued) { .port = p, .used = true, .write = fis[2] == 0x61, .fua = fis[7] & 0x80,
                        .lba = lba, .total = count, .list = *l, .vec = vec };
    d->status = ST_DRDY | ST_DSC;
    d->error = 0;
    p->ci &= ~(1u << slot);
    ahci_send_d2h(p, false);            /* taken */
    next_piece(q);
}

void ahci_ncq_stop(AHCIPort *p)
{
    p->dropping = true;
    for (unsigned n = 0; n < AHCI_SLOTS; n++) {
        AHCIQueued *q = &p->queued[n];
        if (q->req) {
            blk_cancel(q->req);
            q->req = NULL;
        }
        if (q->used) {
            drop_vec(q, 0);
        }
        q->used = q->failed = false;
    }
    p->dropping = false;
}

void ahci_ncq_resume(AHCIPort *p)
{
    for (unsigned n = 0; n < AHCI_SLOTS; n++) {
        AHCIQueued *q = &p->queued[n];
        if (q->used && q->failed) {
            q->failed = false;
            next_piece(q);
        }
    }
}

/* ---- saved state ------------------------------------------------------------------------------------ */

static bool queued_post_load(void *opaque, int version, Error **err)
{
    AHCIQueued *q = opaque;
    IDEDrive *d = ahci_drive(q->port);

    if (!q->used) {
        return true;
    }
    if (!q->failed || !d || !q->total || q->total > 65536 || !ide_range_ok(d, q->lba, q->total)
        || q->done > bytes(q)) {
        return fail(err, "ahci: impossible queued command");
    }
    q->vec = q->vec ? q->vec : g_new0(IDEVec, 1);
    return true;
}

static const VMField queued_fields[] = {
    VM_BOOL(AHCIQueued, used), VM_BOOL(AHCIQueued, write), VM_BOOL(AHCIQueued, fua),
    VM_BOOL(AHCIQueued, failed), VM_UINT(AHCIQueued, lba), VM_UINT(AHCIQueued, total),
    VM_UINT(AHCIQueued, done), VM_STRUCT(AHCIQueued, list, vm_ahci_list),
    VM_DONE
};
const VMState vm_ahci_queued = {
    .name = "ahci-queued", .post_load = queued_post_load, .fields = queued_fields,
};
