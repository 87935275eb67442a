/* SPDX-License-Identifier: MIT */
/*
 * One ATA channel: the registers of two drives behind one set of ports, their selection, the
 * shared interrupt line, resets.
 *
 * Source: ATA/ATAPI-6, sections 7 (registers), 9.2 and 9.3 (reset protocols), 9.12 (signature).
 *
 * Writes to the task file reach both drives, reads come from the one selected.  A channel
 * whose selected drive does not exist reads as zeroes, which tells every driver "nothing here".
 */
#include "hw/ide/internal.h"
#include "util/log.h"

enum { IDE_DATA, IDE_ERROR, IDE_NSECTOR, IDE_LBA0, IDE_LBA1, IDE_LBA2, IDE_SELECT, IDE_STATUS,
       IDE_FEATURE = IDE_ERROR, IDE_COMMAND = IDE_STATUS };

#define CMD_DIAGNOSE 0x90

/* ---- interrupt line -------------------------------------------------------------------- */

void ide_update_irq(IDEBus *b)
{
    IDEDrive *d = b->drive[b->unit];
    int level = d && d->intrq && !(b->control & CTL_NIEN);

    if (b->dma) {
        b->dma->irq(b->dma_opaque, level);
    }
    irq_set(&b->irq, level);
}

void ide_set_irq(IDEDrive *d)
{
    d->intrq = true;
    ide_update_irq(d->bus);
}

void ide_clear_irq(IDEDrive *d)
{
    d->intrq = false;
    ide_update_irq(d->bus);
}

/* ---- resets ---------------------------------------------------------------------------- */

void ide_set_signature(IDEDrive *d)
{
    d->select &= ~(DH_DEV | 0x0f);
    d->nsector = d->lba0 = 1;
    d->lba1 = d->is_cd ? 0x14 : 0;
    d->lba2 = d->is_cd ? 0xeb : 0;
}

/* What hardware and software reset have in common; a packet device shows no DRDY until its
 * first command. */
void ide_drive_reset(IDEDrive *d)
{
    ide_stop(d);
    d->feature = d->hob_feature = d->hob_nsector = 0;
    d->hob_lba0 = d->hob_lba1 = d->hob_lba2 = 0;
    d->select = DH_ONES;
    d->error = 1;                       /* diagnostic code: passed */
    d->status = d->is_cd ? 0 : ST_DRDY | ST_DSC;
    d->intrq = false;
    d->mult = IDE_MAX_MULT;
    d->heads = d->native.heads;
    d->secs = d->native.sectors;
    d->power = 0xff;
    d->sleeping = false;
    d->lba48 = d->dma = d->fua = false;
    d->sense_key = d->asc = 0;
    ide_set_signature(d);
}

void ide_bus_reset(IDEBus *b)
{
    b->unit = 0;
    b->control = 0;
    for (int i = 0; i < 2; i++) {
        if (b->drive[i]) {
            ide_drive_reset(b->drive[i]);
        }
    }
    ide_update_irq(b);
}

static void ide_soft_reset(IDEBus *b, bool begin)
{
    for (int i = 0; i < 2; i++) {
        IDEDrive *d = b->drive[i];
        if (d) {
            ide_drive_reset(d);
            if (begin) {
                d->status = ST_BSY | ST_DSC;
            }
        }
    }
    b->unit = 0;
    ide_update_irq(b);
}

void ide_bus_soft_reset(IDEBus *b)
{
    ide_soft_reset(b, false);
}

/* EXECUTE DEVICE DIAGNOSTIC is for both drives, whichever is selected. */
static void ide_diagnose(IDEBus *b)
{
    for (int i = 0; i < 2; i++) {
        IDEDrive *d = b->drive[i];
        if (d) {
            ide_stop(d);
            d->error = 1;
            d->status = d->is_cd ? 0 : ST_DRDY | ST_DSC;
            ide_set_signature(d);
        }
    }
    b->unit = 0;
    if (b->drive[0]) {
        ide_set_irq(b->drive[0]);
    }
}

/* ---- task file ------------------------------------------------------------------------- */

static void ide_latch(IDEDrive *d, unsigned reg, uint8_t val)
{
    switch (reg) {
    case IDE_FEATURE:
        d->hob_feature = d->feature;
        d->feature = val;
        break;
    case IDE_NSECTOR:
        d->hob_nsector = d->nsector;
        d->nsector = val;
        break;
    case IDE_LBA0:
        d->hob_lba0 = d->lba0;
        d->lba0 = val;
        break;
    case IDE_LBA1:
        d->hob_lba1 = d->lba1;
        d->lba1 = val;
        break;
    case IDE_LBA2:
        d->hob_lba2 = d->lba2;
        d->lba2 = val;
        break;
    case IDE_SELECT:
        d->select = val | DH_ONES;
        break;
    }
}

void ide_bus_command(IDEBus *b, uint8_t val)
{
    IDEDrive *d = b->drive[b->unit];

    if (!d) {
        return;
    }
    ide_clear_irq(d);
    if (val == CMD_DIAGNOSE && !ide_busy(d)) {
        ide_diagnose(b);
    } else {
        ide_command(d, val);
    }
}

static void ide_write_reg(IDEBus *b, unsigned reg, uint8_t val)
{
    IDEDrive *d = b->drive[b->unit];

    b->control &= ~CTL_HOB;
    if (reg == IDE_COMMAND) {
        ide_bus_command(b, val);
        return;
    }
    if (d && ide_busy(d)) {
        LOG_GUEST("ide: register %u written while the drive is busy\n", reg);
        return;
    }
    for (int i = 0; i < 2; i++) {
        if (b->drive[i]) {
            ide_latch(b->drive[i], reg, val);
        }
    }
    if (reg == IDE_SELECT) {
        b->unit = val & DH_DEV ? 1 : 0;
        ide_update_irq(b);
    }
}

static uint8_t ide_read_reg(IDEBus *b, unsigned reg)
{
    IDEDrive *d = b->drive[b->unit];
    bool hob = b->control & CTL_HOB;
    uint8_t val;

    if (!d) {
        return 0;
    }
    switch (reg) {
    case IDE_ERROR:
        return hob ? d->hob_feature : d->error;
    case IDE_NSECTOR:
        return hob ? d->hob_nsector : d->nsector;
    case IDE_LBA0:
        return hob ? d->hob_lba0 : d->lba0;
    case IDE_LBA1:
        return hob ? d->hob_lba1 : d->lba1;
    case IDE_LBA2:
        return hob ? d->hob_lba2 : d->lba2;
    case IDE_SELECT:
        return d->select;
    default:
        val = d->status;
        ide_clear_irq(d);
        return val;
    }
}

/* ---- ports ----------------------------------------------------------------------------- */

/* The data port takes 16 and 32 bits; everything else is bytes, however it is accessed. */
static uint64_t ide_cmd_read(void *opaque, hwaddr addr, unsigned size)
{
    IDEBus *b = opaque;
    IDEDrive *d = b->drive[b->unit];
    uint64_t val = 0;

    if (addr == IDE_DATA && size > 1) {
        return d ? ide_data_read(d, size) : ~0u;
    }
    for (unsigned i = 0; i < size; i++) {
        unsigned reg = addr + i;
        uint8_t byte = reg == IDE_DATA ? (d ? ide_data_read(d, 1) : 0xff) : ide_read_reg(b, reg);
        val |= (uint64_t)byte << 8 * i;
    }
    return val;
}

static void ide_cmd_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    IDEBus *b = opaque;
    IDEDrive *d = b->drive[b->unit];

    if (addr == IDE_DATA) {
        if (d) {
            ide_data_write(d, val, size);
        }
        return;
    }
    for (unsigned i = 0; i < size; i++) {
        ide_write_reg(b, addr + i, val >> 8 * i);
    }
}

static const RegionOps ide_cmd_ops = {
    .read = ide_cmd_read, .write = ide_cmd_write, .min = 1, .max = 4,
};

/* Alternate status: as status, but leaves the interrupt alone. */
static uint64_t ide_ctl_read(void *opaque, hwaddr addr, unsigned size)
{
    IDEBus *b = opaque;
    IDEDrive *d = b->drive[b->unit];

    return d ? d->status : 0;
}

static void ide_ctl_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    IDEBus *b = opaque;
    uint8_t old = b->control;

    b->control = val;
    if ((old ^ val) & CTL_SRST) {
        ide_soft_reset(b, val & CTL_SRST);
    } else {
        ide_update_irq(b);
    }
}

static const RegionOps ide_ctl_ops = {
    .read = ide_ctl_read, .write = ide_ctl_write, .min = 1, .max = 1,
};

/* ---- life ------------------------------------------------------------------------------ */

static bool ide_bus_add(Bus *bus, Device *dev, Error **err)
{
    IDEBus *b = (IDEBus *)bus;
    IDEDrive *d = (IDEDrive *)dev;

    if (dev->hotplugged) {
        return fail(err, "Bus '%s' does not support hotplugging", bus->name);
    }
    if (d->unit == UINT32_MAX) {
        d->unit = b->drive[0] ? 1 : 0;
    }
    if (d->unit >= b->bus.max_devices) {
        return fail(err, b->sata ? "%s: unit=%u: a SATA port has unit 0 only"
                                 : "%s: unit=%u: an IDE bus has units 0 and 1",
                    dev->type->name, d->unit);
    }
    if (b->drive[d->unit]) {
        return fail(err, "%s: unit %u of %s is in use", dev->type->name, d->unit, bus->name);
    }
    d->bus = b;
    b->drive[d->unit] = d;
    return true;
}

static void ide_bus_remove(Bus *bus, Device *dev)
{
    ((IDEBus *)bus)->drive[((IDEDrive *)dev)->unit] = NULL;
}

static void ide_bus_path(Bus *bus, Device *dev, GString *out)
{
    g_string_append_printf(out, "%s.%u", bus->name, ((IDEDrive *)dev)->unit);
}

static void ide_bus_print(Bus *bus, Device *dev, GString *out, int indent)
{
    g_string_append_printf(out, "%*sunit %u\n", indent, "", ((IDEDrive *)dev)->unit);
}

static void ide_bus_fw_name(Bus *bus, Device *dev, GString *out)
{
    guint number = 0;

    g_ptr_array_find(bus->owner->buses, bus, &number);
    g_string_append_printf(out, "/drive@%x/disk@%x", number, ((IDEDrive *)dev)->unit);
}

const BusType ide_bus_type = {
    .name = "IDE", .add = ide_bus_add, .remove = ide_bus_remove, .path = ide_bus_path,
    .fw_name = ide_bus_fw_name, .print = ide_bus_print,
};
BUS_TYPE(ide_bus_type);

void ide_bus_init(IDEBus *b, Device *owner, const char *name, IRQ irq)
{
    bus_init(&b->bus, &ide_bus_type, owner, name);
    b->bus.max_devices = 2;
    b->irq = irq;
    region_init_io(&b->cmd, "ide", 8, &ide_cmd_ops, b);
    region_init_io(&b->ctl, "ide-control", 1, &ide_ctl_ops, b);
}

void ide_bus_init_sata(IDEBus *b, Device *owner, const char *name)
{
    bus_init(&b->bus, &ide_bus_type, owner, name);
    b->bus.max_devices = 1;
    b->sata = true;
}

void ide_bus_map(IDEBus *b, Region *io, uint16_t cmd, uint16_t ctl)
{
    region_map(io, cmd, &b->cmd, 0);
    region_map(io, ctl, &b->ctl, 0);
}

void ide_bus_exit(IDEBus *b)
{
    if (b->sata) {
        return;
    }
    region_destroy(&b->cmd);
    region_destroy(&b->ctl);
}

static bool ide_bus_post_load(void *opaque, int version, Error **err)
{
    IDEBus *b = opaque;
    return b->unit < 2 || fail(err, "ide: unit %u does not exist", b->unit);
}

static const VMField ide_bus_fields[] = {
    VM_UINT(IDEBus, unit), VM_UINT(IDEBus, control),
    VM_DONE
};
const VMState vm_ide_bus = {
    .name = "ide-bus", .post_load = ide_bus_post_load, .fields = ide_bus_fields,
};
