/* SPDX-License-Identifier: MIT */
/*
 * SMBus host controller.
 *
 * Source: 82371AB (PIIX4) data sheet (290562), section 7.3, SMBus I/O space registers.
 *
 * Nobody sits on the bus: every address goes unacknowledged, so each transaction ends at once
 * with a device error.  (DIMM sizes come from firmware tables, not from SPD EEPROMs.)
 */
#include "hw/acpi/smbus_host.h"
#include "util/bits.h"

#define STS_DEV_ERR   0x04
#define STS_FAILED    0x10
#define STS_CLEARABLE 0x1e

#define CNT_INTEREN   0x01
#define CNT_KILL      0x02
#define CNT_START     0x40

enum { HSTSTS, SLVSTS, HSTCNT, HSTCMD, HSTADD, HSTDAT0, HSTDAT1, BLKDAT, SLVCNT, SHDWCMD,
       SLVEVT, SLVEVT_H, SLVDAT, SLVDAT_H };

static void update_irq(SMBusHost *s)
{
    irq_set(&s->irq, (s->cnt & CNT_INTEREN) && (s->sts & STS_CLEARABLE));
}

static void write_control(SMBusHost *s, uint8_t val)
{
    s->cnt = val & ~CNT_START;
    if (val & CNT_KILL) {
        s->sts |= STS_FAILED;
    } else if (val & CNT_START) {
        s->index = 0;
        s->sts |= STS_DEV_ERR;
    }
    update_irq(s);
}

static uint8_t *next_block_byte(SMBusHost *s)
{
    uint8_t *p = &s->block[s->index];

    s->index = (s->index + 1) % sizeof(s->block);
    return p;
}

static uint64_t smb_read(void *opaque, hwaddr addr, unsigned size)
{
    SMBusHost *s = opaque;

    switch (addr) {
    case HSTSTS:  return s->sts;
    case SLVSTS:  return s->slave_sts;
    case HSTCNT:
        s->index = 0;                   /* reading it rewinds the block buffer */
        return s->cnt;
    case HSTCMD:  return s->cmd;
    case HSTADD:  return s->addr;
    case HSTDAT0: return s->data0;
    case HSTDAT1: return s->data1;
    case BLKDAT:  return *next_block_byte(s);
    case SLVCNT:  return s->slave_cnt;
    case SHDWCMD: return s->shadow_cmd;
    case SLVEVT:
    case SLVEVT_H: return s->slave_event >> 8 * (addr & 1);
    case SLVDAT:
    case SLVDAT_H: return s->slave_data >> 8 * (addr & 1);
    default:      return 0;
    }
}

static void smb_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    SMBusHost *s = opaque;

    switch (addr) {
    case HSTSTS:
        s->sts &= ~(val & STS_CLEARABLE);
        update_irq(s);
        break;
    case SLVSTS:  s->slave_sts &= ~val; break;
    case HSTCNT:  write_control(s, val); break;
    case HSTCMD:  s->cmd = val; break;
    case HSTADD:  s->addr = val; break;
    case HSTDAT0: s->data0 = val; break;
    case HSTDAT1: s->data1 = val; break;
    case BLKDAT:  *next_block_byte(s) = val; break;
    case SLVCNT:  s->slave_cnt = val & 0x0f; break;
    case SHDWCMD: s->shadow_cmd = val; break;
    case SLVEVT:
    case SLVEVT_H: s->slave_event = deposit32(s->slave_event, 8 * (addr & 1), 8, val); break;
    }
}

static const RegionOps smb_ops = {
    .read = smb_read, .write = smb_write, .min = 1, .max = 1,
};

void smbus_host_init(SMBusHost *s, IRQ irq)
{
    s->irq = irq;
    region_init_io(&s->io, "pm-smbus", 16, &smb_ops, s);
}

void smbus_host_exit(SMBusHost *s)
{
    region_destroy(&s->io);
}

void smbus_host_reset(SMBusHost *s)
{
    s->sts = s->cnt = s->cmd = s->addr = s->data0 = s->data1 = s->index = 0;
    s->slave_sts = s->slave_cnt = s->shadow_cmd = 0;
    s->slave_event = s->slave_data = 0;
    memset(s->block, 0, sizeof(s->block));
    update_irq(s);
}

static bool smbus_post_load(void *opaque, int version, Error **err)
{
    SMBusHost *s = opaque;
    return s->index < sizeof(s->block) || fail(err, "SMBus: index %u out of range", s->index);
}

static const VMField smbus_fields[] = {
    VM_UINT(SMBusHost, sts), VM_UINT(SMBusHost, cnt), VM_UINT(SMBusHost, cmd),
    VM_UINT(SMBusHost, addr), VM_UINT(SMBusHost, data0), VM_UINT(SMBusHost, data1),
    VM_BUFFER(SMBusHost, block), VM_UINT(SMBusHost, index), VM_UINT(SMBusHost, slave_sts),
    VM_UINT(SMBusHost, slave_cnt), VM_UINT(SMBusHost, shadow_cmd),
    VM_UINT(SMBusHost, slave_event), VM_UINT(SMBusHost, slave_data),
    VM_DONE
};
const VMState vm_smbus_host = {
    .name = "smbus-host", .post_load = smbus_post_load, .fields = smbus_fields,
};
