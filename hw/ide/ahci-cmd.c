/* SPDX-License-Identifier: MIT */
/*
 * AHCI: command lists, FISes, moving data.
 *
 * Sources: AHCI 1.3.1, chapter 4 (structures in memory), 5.3 (port state machine), 6.2 (errors);
 * Serial ATA 3.0, 10.3 (FIS types).
 *
 *   command header    0 FIS length, flags, list entries   4 bytes moved   8 command table
 *   command table     0 FIS   40h packet   80h list of memory regions, 16 bytes each:
 *                     0 address   12 bytes - 1, bit 31: interrupt when used up
 *
 * A command goes into the drive's task file and runs in hw/ide/ata.c; whenever the drive stops
 * for something that a host would do at the data port, ahci_pump does it.
 */
#include "hw/ide/ahci.h"
#include "util/bits.h"
#include "util/log.h"

#define HEADER_SIZE     32
#define HEADER_FIS      0x0000001fu     /* double words */
#define HEADER_CLEAR    0x00000400u     /* C: clear BSY when the FIS is sent */
#define FIS_MAX         64
#define PACKET_AT       0x40
#define LIST_AT         0x80
#define LIST_ENTRY      16
#define ENTRY_BYTES     0x003fffffu
#define ENTRY_IRQ       0x80000000u

#define FIS_H2D         0x27
#define FIS_D2H         0x34
#define FIS_PIO_SETUP   0x5f
#define FIS_COMMAND     0x80            /* byte 1: the command register was written */
#define FIS_IRQ         0x40
#define FIS_TO_HOST     0x20

#define RX_PIO_SETUP    0x20            /* places in the receive area */
#define RX_D2H          0x40

/* ---- lists of memory regions ---------------------------------------------------------------- */

/* What lies in our own registers is not written: no register changes under a command. */
void ahci_dma_write(AHCIPort *p, uint64_t addr, const void *buf, uint32_t len)
{
    if (memory_guard_enter(p->hba)) {
        pci_dma_write(p->hba->pci, addr, buf, len);
        memory_guard_leave();
    }
}

static bool fetch_entry(AHCIPort *p, AHCIList *l, uint64_t *addr, uint32_t *bytes, bool *irq)
{
    uint8_t entry[LIST_ENTRY];

    if (l->index >= l->entries
        || pci_dma_read(p->hba->pci, l->table + (uint64_t)l->index * LIST_ENTRY, entry,
                        sizeof(entry)) != MEM_OK) {
        return false;
    }
    *addr = ld64_le(entry);
    *bytes = (ld32_le(entry + 12) & ENTRY_BYTES) + 1;
    *irq = ld32_le(entry + 12) & ENTRY_IRQ;
    return true;
}

/* Memory that is not RAM gets a bounce buffer. */
static uint32_t map_piece(AHCIPort *p, IDEVec *v, uint64_t addr, uint32_t max)
{
    AddressSpace *dma = &p->hba->pci->dma;
    uint64_t len = max;
    void *host = address_space_map(dma, addr, &len, v->to_memory);

    v->mapped[v->n] = host;
    if (!host) {
        len = MIN(max, 4096);
        host = g_malloc0(len);
        if (!v->to_memory) {
            pci_dma_read(p->hba->pci, addr, host, len);
        }
    }
    v->iov[v->n] = (struct iovec) { host, len };
    v->addr[v->n] = addr;
    v->n++;
    v->size += len;
    return len;
}

bool ahci_map(AHCIPort *p, AHCIList *l, IDEVec *v, uint32_t max, bool to_memory)
{
    uint64_t addr;
    uint32_t bytes;
    bool irq;

    v->n = 0;
    v->size = 0;
    v->to_memory = to_memory;
    while (v->size < max && v->n < IDE_VEC_MAX && fetch_entry(p, l, &addr, &bytes, &irq)) {
        if (l->off < bytes) {
            l->off += map_piece(p, v, addr + l->off, MIN(bytes - l->off, max - v->size));
        }
        if (l->off >= bytes) {
            l->index++;
            l->off = 0;
            l->irq |= irq;
        }
    }
    return v->size;
}

void ahci_unmap(AHCIPort *p, AHCIList *l, const AHCIList *before, IDEVec *v, uint32_t done)
{
    PCIDevice *pci = p->hba->pci;

    if (done) {
        l->moved += done;
    } else {
        *l = *before;
    }
    for (int i = 0; i < v->n; i++) {
        uint32_t len = v->iov[i].iov_len;
        if (v->mapped[i]) {
            address_space_unmap(&pci->dma, v->iov[i].iov_base, len, v->to_memory,
                                v->to_memory ? len : 0);
            continue;
        }
        if (v->to_memory && done) {
            ahci_dma_write(p, v->addr[i], v->iov[i].iov_base, len);
        }
        g_free(v->iov[i].iov_base);
    }
    v->n = 0;
    v->size = 0;
}

/* ---- FISes to the host ------------------------------------------------------------------------- */

void ahci_post_fis(AHCIPort *p, unsigned at, const uint8_t *fis, unsigned len)
{
    if (p->cmd & AHCI_CMD_FRE) {
        ahci_dma_write(p, p->fb + at, fis, len);
    }
}

static void put_registers(uint8_t *fis, const IDEDrive *d)
{
    fis[2] = d->status;
    fis[3] = d->error;
    fis[4] = d->lba0;
    fis[5] = d->lba1;
    fis[6] = d->lba2;
    fis[7] = d->select;
    fis[8] = d->hob_lba0;
    fis[9] = d->hob_lba1;
    fis[10] = d->hob_lba2;
    fis[12] = d->nsector;
    fis[13] = d->hob_nsector;
}

void ahci_send_d2h(AHCIPort *p, bool irq)
{
    IDEDrive *d = ahci_drive(p);
    uint8_t fis[20] = { FIS_D2H, irq ? FIS_IRQ : 0 };
    uint32_t events = irq ? AHCI_IS_DHRS : 0;

    put_registers(fis, d);
    ahci_post_fis(p, RX_D2H, fis, sizeof(fis));
    p->tf_status = d->status;
    p->tf_error = d->error;
    if (d->status & ST_ERR) {
        p->halted = true;
        events |= AHCI_IS_TFES;
    }
    ahci_port_event(p, events);
}

void ahci_send_signature(AHCIPort *p)
{
    IDEDrive *d = ahci_drive(p);

    if (!p->signature_due || !(p->cmd & AHCI_CMD_FRE)) {
        return;
    }
    p->signature_due = false;
    p->sig = (uint32_t)d->lba2 << 24 | d->lba1 << 16 | d->lba0 << 8 | d->nsector;
    ahci_send_d2h(p, false);
}

/* status: while the data are on their way; the drive's own is the one afterwards. */
static void send_pio_setup(AHCIPort *p, uint8_t status, uint32_t len, bool to_host, bool irq)
{
    IDEDrive *d = ahci_drive(p);
    uint8_t fis[20] = { FIS_PIO_SETUP, (irq ? FIS_IRQ : 0) | (to_host ? FIS_TO_HOST : 0) };

    put_registers(fis, d);
    fis[2] = status;
    fis[15] = d->status;
    st16_le(fis + 16, len);
    ahci_post_fis(p, RX_PIO_SETUP, fis, sizeof(fis));
    p->tf_status = d->status;
    p->tf_error = d->error;
    ahci_port_event(p, irq ? AHCI_IS_PSS : 0);
}

void ahci_write_count(AHCIPort *p, unsigned slot, uint32_t count)
{
    uint8_t bytes[4];

    st32_le(bytes, count);
    ahci_dma_write(p, p->clb + slot * HEADER_SIZE + 4, bytes, sizeof(bytes));
}

/* ---- the command in the drive ---------------------------------------------------------------------- */

/* quiet: the drive has said all with its last PIO setup FIS. */
static void end_command(AHCIPort *p, bool quiet)
{
    IDEDrive *d = ahci_drive(p);
    unsigned slot = p->slot;
    bool failed = d->status & ST_ERR;

    ahci_write_count(p, slot, p->list.moved);
    if (p->list.irq) {
        p->is |= AHCI_IS_DPS;
    }
    if (!failed) {
        p->slot = AHCI_NO_SLOT;
        p->ci &= ~(1u << slot);
    }
    if (!quiet || failed) {
        ahci_send_d2h(p, true);
    }
    /* a command that failed stays, and PxCMD.CCS tells which one it was */
    p->slot = AHCI_NO_SLOT;
    p->cmd = (p->cmd & ~AHCI_CMD_CCS) | (failed ? slot << 8 : 0);
}

/* The drive has data for the host in its buffer. */
static void move_in(AHCIPort *p, uint8_t *data, uint32_t len)
{
    IDEDrive *d = ahci_drive(p);
    AHCIList before = p->list;
    uint8_t status = d->status;
    uint32_t at = 0;

    while (at < len && ahci_map(p, &p->list, &d->vec, len - at, true)) {
        for (int i = 0; i < d->vec.n; i++) {
            memcpy(d->vec.iov[i].iov_base, data + at, d->vec.iov[i].iov_len);
            at += d->vec.iov[i].iov_len;
        }
        ahci_unmap(p, &p->list, &before, &d->vec, d->vec.size);
    }
    if (at < len) {
        p->is |= AHCI_IS_OFS;
    }
    ide_drq_done(d);
    send_pio_setup(p, status, len, true, true);
}

/* The drive waits for data (or a packet); false: the guest's list has not got them. */
static bool move_out(AHCIPort *p, uint8_t *data, uint32_t len)
{
    IDEDrive *d = ahci_drive(p);
    AHCIList before = p->list;
    bool packet = d->phase == PH_PACKET;
    uint32_t at = 0;

    if (packet) {
        uint64_t table = p->list.table - LIST_AT;
        send_pio_setup(p, d->status, len, false, false);
        return pci_dma_read(p->hba->pci, table + PACKET_AT, data, len) == MEM_OK;
    }
    while (at < len && ahci_map(p, &p->list, &d->vec, len - at, false)) {
        for (int i = 0; i < d->vec.n; i++) {
            memcpy(data + at, d->vec.iov[i].iov_base, d->vec.iov[i].iov_len);
            at += d->vec.iov[i].iov_len;
        }
        ahci_unmap(p, &p->list, &before, &d->vec, d->vec.size);
    }
    send_pio_setup(p, d->status, len, false, d->intrq);
    return at == len;
}

/* One step; false: the drive works by itself, or the command is over. */
static bool pump_once(AHCIPort *p)
{
    IDEDrive *d = ahci_drive(p);
    uint32_t len;
    uint8_t *data = ide_drq_block(d, &len);
    bool quiet = false;

    if (data && d->phase == PH_PIO_IN) {
        move_in(p, data, len);
        quiet = d->phase == PH_IDLE && d->command != 0xa0;
    } else if (data && move_out(p, data, len)) {
        ide_drq_done(d);
    } else if (data) {
        LOG_GUEST("ahci: port %u: no data for the drive\n", p->number);
        ide_stop(d);
        ide_abort(d);
    } else if (d->phase == PH_DMA_WAIT) {
        ide_dma_go(d);
    } else if (d->phase == PH_BLOCK) {
        p->tf_status = d->status | ST_BSY;
        return false;
    }
    if (d->phase == PH_IDLE) {
        end_command(p, quiet);
        return false;
    }
    return true;
}

static void pump(AHCIPort *p)
{
    p->pumping = true;
    while (p->slot != AHCI_NO_SLOT && pump_once(p)) {
    }
    p->pumping = false;
}

/* ---- FISes from the host --------------------------------------------------------------------------- */

static void to_task_file(IDEDrive *d, const uint8_t *fis)
{
    d->feature = fis[3];
    d->lba0 = fis[4];
    d->lba1 = fis[5];
    d->lba2 = fis[6];
    d->select = (fis[7] | DH_ONES) & ~DH_DEV;
    d->hob_lba0 = fis[8];
    d->hob_lba1 = fis[9];
    d->hob_lba2 = fis[10];
    d->hob_feature = fis[11];
    d->nsector = fis[12];
    d->hob_nsector = fis[13];
}

/* The device control register: software reset begins and ends. */
static void take_control(AHCIPort *p, unsigned slot, const uint8_t *fis)
{
    bool srst = fis[15] & CTL_SRST;

    p->ci &= ~(1u << slot);
    if (srst) {
        p->in_reset = true;
        p->tf_status = ST_BSY | ST_DSC;
    } else if (p->in_reset) {
        p->in_reset = false;
        ahci_ncq_stop(p);
        ide_bus_soft_reset(&p->bus);
        ahci_send_d2h(p, false);
    }
}

static bool is_queued(const IDEDrive *d, uint8_t command)
{
    return !d->is_cd && (command == 0x60 || command == 0x61);
}

/* true: the slot is dealt with, or under way; false: it waits. */
static bool start_slot(AHCIPort *p, unsigned slot)
{
    PCIDevice *pci = p->hba->pci;
    IDEDrive *d = ahci_drive(p);
    uint8_t header[HEADER_SIZE], fis[FIS_MAX];
    uint32_t flags;
    AHCIList list;

    if (pci_dma_read(pci, p->clb + slot * HEADER_SIZE, header, sizeof(header)) != MEM_OK) {
        p->halted = true;
        ahci_port_event(p, AHCI_IS_HBFS);
        return true;
    }
    flags = ld32_le(header);
    list = (AHCIList) { .table = (ld64_le(header + 8) & ~0x7full) + LIST_AT, .entries = flags >> 16 };
    if (pci_dma_read(pci, list.table - LIST_AT, fis, sizeof(fis)) != MEM_OK) {
        p->halted = true;
        ahci_port_event(p, AHCI_IS_HBFS);
        return true;
    }
    if (fis[0] != FIS_H2D || (flags & HEADER_FIS) < 5 || (fis[1] & 0x0f)) {
        LOG_GUEST("ahci: port %u: nobody takes the FIS %02x %02x of slot %u\n", p->number, fis[0],
                  fis[1], slot);
        return false;                   /* no answer: the guest's time runs out */
    }
    if (!(fis[1] & FIS_COMMAND)) {
        take_control(p, slot, fis);
        return true;
    }
    if (is_queued(d, fis[2])) {
        ahci_ncq_start(p, slot, fis, &list);
        return true;
    }
    if (ahci_ncq_active(p)) {
        return false;                   /* not beside queued ones: it waits for them */
    }
    p->slot = slot;
    p->list = list;
    to_task_file(d, fis);
    p->tf_status = ST_BSY;
    ide_bus_command(&p->bus, fis[2]);
    return true;
}

void ahci_run(AHCIPort *p)
{
    if (p->pumping || !ahci_drive(p)) {
        return;
    }
    for (unsigned n = 1, from = p->last_slot; n <= AHCI_SLOTS && p->slot == AHCI_NO_SLOT; n++) {
        unsigned slot = (from + n) % AHCI_SLOTS;
        if (p->halted || !p->present || !(p->cmd & AHCI_CMD_ST)) {
            break;
        }
        if (!(p->ci & 1u << slot) || p->queued[slot].used) {
            continue;
        }
        p->pumping = true;
        bool started = start_slot(p, slot);
        if (started) {
            p->last_slot = slot;
        }
        pump(p);
    }
}

void ahci_stop(AHCIPort *p)
{
    IDEDrive *d = ahci_drive(p);

    ahci_ncq_stop(p);
    if (d && p->slot != AHCI_NO_SLOT) {
        p->slot = AHCI_NO_SLOT;
        ide_stop(d);
        d->status &= ~(ST_BSY | ST_DRQ);
    }
    p->cmd &= ~AHCI_CMD_CCS;
}

/* ---- what the drive asks of its controller ------------------------------------------------------------ */

static void op_wait(void *opaque, IDEDrive *d)
{
    /* the pump starts it */
}

static bool op_map(void *opaque, IDEVec *v, uint32_t max, bool to_memory)
{
    AHCIPort *p = opaque;

    p->before = p->list;
    return ahci_map(p, &p->list, v, max, to_memory);
}

static void op_unmap(void *opaque, IDEVec *v, uint32_t done)
{
    AHCIPort *p = opaque;
    ahci_unmap(p, &p->list, &p->before, v, done);
}

static void op_finish(void *opaque, bool all)
{
}

/* Every interrupt of the drive means that it wants something done, or has finished. */
static void op_irq(void *opaque, int level)
{
    AHCIPort *p = opaque;

    if (level && !p->pumping && p->slot != AHCI_NO_SLOT) {
        pump(p);
        if (p->slot == AHCI_NO_SLOT) {
            ahci_run(p);
        }
    }
}

static void op_stalled(void *opaque)
{
    AHCIPort *p = opaque;
    IDEDrive *d = ahci_drive(p);

    p->is |= AHCI_IS_OFS;
    ide_abort(d);
}

static void op_resume(void *opaque)
{
    ahci_ncq_resume(opaque);
}

static void op_plugged(void *opaque, bool in)
{
    AHCIPort *p = opaque;

    if (in) {
        ahci_port_power_on(p);
        return;
    }
    ahci_stop(p);
    p->present = p->signature_due = false;
    p->ci = p->sact = 0;
}

const IDEDMAOps ahci_dma_ops = {
    .wait = op_wait, .map = op_map, .unmap = op_unmap, .finish = op_finish, .irq = op_irq,
    .stalled = op_stalled, .resume = op_resume, .plugged = op_plugged,
};

const VMField ahci_list_fields[] = {
    VM_UINT(AHCIList, table), VM_UINT(AHCIList, entries), VM_UINT(AHCIList, index),
    VM_UINT(AHCIList, off), VM_UINT(AHCIList, moved), VM_BOOL(AHCIList, irq),
    VM_DONE
};
const VMState vm_ahci_list = { .name = "ahci-list", .fields = ahci_list_fields };
