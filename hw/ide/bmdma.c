/* SPDX-License-Identifier: MIT */
/*
 * Bus master DMA engine of an IDE channel.
 *
 * Source: "Programming Interface for Bus Master IDE Controller", revision 1.0.
 *
 *   +0 command   3 direction (1 = to memory)   0 start
 *   +2 status    7 simplex  6, 5 drive can DMA  2 interrupt  1 error  0 active
 *   +4 address of the list of physical regions (PRD): address, 16-bit count, end flag;
 *      the list stays inside 64 KiB
 *
 * The direction bit is not looked at: the drive's command says where the data go.
 */
#include "hw/ide/bmdma.h"
#include "util/bits.h"
#include "util/log.h"

#define CMD_START   0x01
#define CMD_TO_MEM  0x08
#define ST_ACTIVE   0x01
#define ST_ERROR    0x02
#define ST_INT      0x04
#define ST_CAPABLE  0x60

#define PRD_END     0x8000u
#define TABLE_SIZE  0x10000u

/* ---- walking the list ------------------------------------------------------------------ */

/* Fetch the next entry; false: the list is over (or unreadable). */
static bool bmdma_fetch(BMDMA *m)
{
    uint8_t prd[8];
    uint32_t count;

    if (m->fresh) {
        m->entry = m->table;
        m->fresh = false;
    } else if (m->last || m->entry - m->table >= TABLE_SIZE) {
        return false;
    }
    if (pci_dma_read(m->pci, m->entry, prd, sizeof(prd)) != MEM_OK) {
        m->status |= ST_ERROR;
        return false;
    }
    m->entry += 8;
    m->addr = ld32_le(prd) & ~1u;
    count = ld16_le(prd + 4) & 0xfffe;
    m->left = count ? count : 0x10000;
    m->last = ld16_le(prd + 6) & PRD_END;
    return true;
}

/* Is there anything left in the list? */
static bool bmdma_more(const BMDMA *m)
{
    return m->left || m->fresh || !m->last;
}

/* One contiguous piece of at most max bytes; memory that is not RAM gets a bounce buffer. */
static void bmdma_map_piece(BMDMA *m, IDEVec *v, uint32_t max)
{
    uint64_t len = MIN(max, m->left);
    void *host = address_space_map(&m->pci->dma, m->addr, &len, v->to_memory);

    v->mapped[v->n] = host;
    if (!host) {
        len = MIN(MIN(max, m->left), 4096);
        host = g_malloc0(len);
        if (!v->to_memory) {
            pci_dma_read(m->pci, m->addr, host, len);
        }
    }
    v->iov[v->n] = (struct iovec) { host, len };
    v->addr[v->n] = m->addr;
    v->n++;
    v->size += len;
    m->addr += len;
    m->left -= len;
}

static bool bmdma_map(void *opaque, IDEVec *v, uint32_t max, bool to_memory)
{
    BMDMA *m = opaque;

    m->old_entry = m->entry;
    m->old_addr = m->addr;
    m->old_left = m->left;
    m->old_last = m->last;
    m->old_fresh = m->fresh;
    v->n = 0;
    v->size = 0;
    v->to_memory = to_memory;
    while (v->size < max && v->n < IDE_VEC_MAX) {
        if (!m->left && !bmdma_fetch(m)) {
            break;
        }
        bmdma_map_piece(m, v, max - v->size);
    }
    return v->size;
}

static void bmdma_unmap(void *opaque, IDEVec *v, uint32_t done)
{
    BMDMA *m = opaque;

    if (!done) {
        m->entry = m->old_entry;
        m->addr = m->old_addr;
        m->left = m->old_left;
        m->last = m->old_last;
        m->fresh = m->old_fresh;
    }
    for (int i = 0; i < v->n; i++) {
        uint32_t len = v->iov[i].iov_len;
        if (v->mapped[i]) {
            address_space_unmap(&m->pci->dma, v->iov[i].iov_base, len, v->to_memory,
                                v->to_memory ? len : 0);
            continue;
        }
        if (v->to_memory && done) {
            pci_dma_write(m->pci, v->addr[i], v->iov[i].iov_base, len);
        }
        g_free(v->iov[i].iov_base);
    }
    v->n = 0;
    v->size = 0;
}

/* ---- the drive's side ------------------------------------------------------------------ */

static void bmdma_wait(void *opaque, IDEDrive *d)
{
    BMDMA *m = opaque;

    if (m->status & ST_ACTIVE) {        /* started before the command was given */
        ide_dma_go(d);
    }
}

/* Table 3 of the source: a list longer than the transfer leaves "active" set. */
static void bmdma_finish(void *opaque, bool all)
{
    BMDMA *m = opaque;

    if (!all || !bmdma_more(m)) {
        m->status &= ~ST_ACTIVE;
    }
}

/* The interrupt bit latches the rising edge of the channel's line. */
static void bmdma_irq(void *opaque, int level)
{
    BMDMA *m = opaque;

    if (level && !m->irq_level) {
        m->status |= ST_INT;
    }
    m->irq_level = level;
}

static const IDEDMAOps bmdma_ops = {
    .wait = bmdma_wait, .map = bmdma_map, .unmap = bmdma_unmap, .finish = bmdma_finish,
    .irq = bmdma_irq,
};

/* ---- registers ------------------------------------------------------------------------- */

static void bmdma_start(BMDMA *m)
{
    m->fresh = true;
    m->left = 0;
    m->last = false;
    m->status |= ST_ACTIVE;
    for (int i = 0; i < 2; i++) {
        if (m->bus->drive[i]) {
            ide_dma_go(m->bus->drive[i]);       /* if it waits for us */
        }
    }
}

/* Stopping in the middle: what is under way is finished first, as hardware would let the
 * present burst end; the drive keeps waiting for a reset. */
static void bmdma_stop(BMDMA *m)
{
    for (int i = 0; i < 2; i++) {
        IDEDrive *d = m->bus->drive[i];
        if (d && d->dma && d->phase == PH_BLOCK && !d->failed) {
            blk_drain(d->blk);
        }
    }
    m->status &= ~ST_ACTIVE;
}

static void bmdma_write_command(BMDMA *m, uint8_t val)
{
    uint8_t changed = m->command ^ val;

    m->command = val & (CMD_START | CMD_TO_MEM);
    if (!(changed & CMD_START)) {
        return;
    }
    if (val & CMD_START) {
        bmdma_start(m);
    } else {
        bmdma_stop(m);
    }
}

static void bmdma_write_status(BMDMA *m, uint8_t val)
{
    uint8_t cleared = val & (ST_ERROR | ST_INT);

    m->status = (val & ST_CAPABLE) | (m->status & ~ST_CAPABLE & ~cleared);
}

static uint64_t bmdma_read(void *opaque, hwaddr addr, unsigned size)
{
    BMDMA *m = opaque;

    switch (addr) {
    case 0:
        return m->command;
    case 2:
        return m->status;
    case 4 ... 7:
        return m->table >> (addr - 4) * 8;
    default:
        return 0xff;
    }
}

static void bmdma_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    BMDMA *m = opaque;

    switch (addr) {
    case 0:
        bmdma_write_command(m, val);
        break;
    case 2:
        bmdma_write_status(m, val);
        break;
    case 4 ... 7:
        m->table = deposit32(m->table, (addr - 4) * 8, 8, val) & ~3u;
        break;
    }
}

/* Bytes: wider accesses are split, which is the same to all of these registers. */
static const RegionOps bmdma_region_ops = {
    .read = bmdma_read, .write = bmdma_write, .min = 1, .max = 1,
};

void bmdma_init(BMDMA *m, PCIDevice *pci, IDEBus *bus)
{
    m->pci = pci;
    m->bus = bus;
    bus->dma = &bmdma_ops;
    bus->dma_opaque = m;
    region_init_io(&m->io, "piix-bmdma", 8, &bmdma_region_ops, m);
}

void bmdma_reset(BMDMA *m)
{
    m->command = m->status = 0;
    m->table = m->entry = m->addr = m->left = 0;
    m->fresh = true;
    m->last = false;
}

void bmdma_exit(BMDMA *m)
{
    region_destroy(&m->io);
}

static const VMField bmdma_fields[] = {
    VM_UINT(BMDMA, command), VM_UINT(BMDMA, status), VM_UINT(BMDMA, table),
    VM_BOOL(BMDMA, fresh), VM_UINT(BMDMA, entry), VM_UINT(BMDMA, addr), VM_UINT(BMDMA, left),
    VM_BOOL(BMDMA, last), VM_BOOL(BMDMA, irq_level),
    VM_DONE
};
const VMState vm_bmdma = { .name = "bmdma", .fields = bmdma_fields };
