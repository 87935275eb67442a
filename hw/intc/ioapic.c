/* SPDX-License-Identifier: MIT */
/*
 * I/O APIC with 24 inputs, version 20h (with the EOI register).
 *
 * Sources: Intel 82093AA data sheet (290566); 82801 (ICH) data sheets for the EOI register.
 *
 * The polarity bit is remembered but has no effect: lines here are up or not, whatever the
 * voltage.
 *
 * While the accelerator has this chip (target-i386/irqchip.h) the state here follows it, and
 * lines are told to it by the board.  While it has the local APICs alone, it is told of every
 * change, and tells of EOIs.
 */
#include "hw/intc/ioapic.h"
#include "hw/intc/apic.h"
#include "util/log.h"
#include <inttypes.h>
#include <string.h>

#define IOAPIC_VERSION  0x20

#define IOREGSEL        0x00
#define IOWIN           0x10
#define IOEOI           0x40

#define REG_ID          0x00
#define REG_VERSION     0x01
#define REG_ARB         0x02
#define REG_TABLE       0x10

#define RTE_DELIVERY(e) ((e) >> 8 & 7)
#define RTE_LOGICAL     (1ull << 11)
#define RTE_REMOTE_IRR  (1ull << 14)
#define RTE_LEVEL       (1ull << 15)
#define RTE_MASKED      (1ull << 16)
#define RTE_WRITABLE    0xff0000000001afffull
#define RTE_EXT_DEST    0x00fe000000000000ull   /* destination bits 14..8: x86_msi_dest */

typedef struct IOApic {
    Device dev;                     /* always first */
    uint64_t table[IOAPIC_PINS];
    uint32_t lines;                 /* levels of the inputs */
    uint8_t index, id;
    uint64_t base;
    Region io;
} IOApic;

static IOApic *the_ioapic;          /* for `info ioapic` */

static void ioapic_fetch(IOApic *s)
{
    if (x86_irqchip_all()) {
        IoApicImage io;
        x86_irqchip->get_ioapic(&io);
        s->index = io.index;
        s->id = io.id;
        memcpy(s->table, io.table, sizeof(s->table));
    }
}

static void ioapic_changed(IOApic *s)
{
    if (x86_irqchip_all()) {
        IoApicImage io = { .base = s->base, .index = s->index, .id = s->id, .lines = s->lines };
        memcpy(io.table, s->table, sizeof(s->table));
        x86_irqchip->put_ioapic(&io);
    } else if (x86_irqchip) {
        x86_irqchip->ioapic_changed(s->table);
    }
}

static uint32_t rte_dest(uint64_t e)
{
    return x86_msi_dest(e >> 48 << 4);
}

static void ioapic_send(uint64_t e)
{
    ApicMessage m = {
        .dest = rte_dest(e), .logical = e & RTE_LOGICAL, .delivery = RTE_DELIVERY(e), .vector = e,
        .level = e & RTE_LEVEL,
    };

    apic_bus_deliver(&m);
}

/* A level-triggered input that is up sends once, and again after each EOI. */
static void ioapic_service_level(IOApic *s, unsigned n)
{
    uint64_t *e = &s->table[n];

    if (!x86_irqchip_all() && (*e & RTE_LEVEL) && !(*e & (RTE_MASKED | RTE_REMOTE_IRR)) && (s->lines >> n & 1)) {
        *e |= RTE_REMOTE_IRR;
        ioapic_send(*e);
    }
}

static void ioapic_irq_in(void *dev, int n, int level)
{
    IOApic *s = dev;
    uint32_t bit = 1u << n;
    bool rose = level && !(s->lines & bit);

    s->lines = level ? s->lines | bit : s->lines & ~bit;
    if (!rose || x86_irqchip_all()) {
        return;
    }
    if (s->table[n] & RTE_LEVEL) {
        ioapic_service_level(s, n);
    } else if (!(s->table[n] & RTE_MASKED)) {
        ioapic_send(s->table[n]);   /* an edge at a masked input is lost (data sheet, 3.2.4) */
    }
}

static void ioapic_eoi(void *opaque, uint8_t vector)
{
    IOApic *s = opaque;

    ioapic_fetch(s);
    for (unsigned n = 0; n < IOAPIC_PINS; n++) {
        if ((s->table[n] & RTE_REMOTE_IRR) && (uint8_t)s->table[n] == vector) {
            s->table[n] &= ~RTE_REMOTE_IRR;
            ioapic_service_level(s, n);
        }
    }
    if (x86_irqchip_all()) {
        ioapic_changed(s);
    }
}

static void ioapic_write_table(IOApic *s, unsigned reg, uint32_t val)
{
    unsigned n = reg / 2, shift = reg % 2 * 32;
    bool ext = x86_irqchip && x86_irqchip->ext_dest;
    uint64_t mask = (RTE_WRITABLE | (ext ? RTE_EXT_DEST : 0)) & 0xffffffffull << shift;

    s->table[n] = (s->table[n] & ~mask) | ((uint64_t)val << shift & mask);
    if (!(s->table[n] & RTE_LEVEL)) {
        s->table[n] &= ~RTE_REMOTE_IRR;     /* how old drivers end a stuck interrupt */
    }
    ioapic_service_level(s, n);
}

static uint32_t ioapic_read_reg(IOApic *s)
{
    unsigned reg = s->index - REG_TABLE;

    switch (s->index) {
    case REG_ID:
    case REG_ARB:
        return (uint32_t)s->id << 24;
    case REG_VERSION:
        return IOAPIC_VERSION | (IOAPIC_PINS - 1) << 16;
    }
    return reg < 2 * IOAPIC_PINS ? s->table[reg / 2] >> (reg % 2 * 32) : 0;
}

static void ioapic_write_reg(IOApic *s, uint32_t val)
{
    unsigned reg = s->index - REG_TABLE;

    if (s->index == REG_ID) {
        s->id = val >> 24 & 15;
    } else if (reg < 2 * IOAPIC_PINS) {
        ioapic_write_table(s, reg, val);
    } else {
        LOG_GUEST("ioapic: register %02xh can't be written\n", s->index);
    }
}

static uint64_t ioapic_read(void *opaque, hwaddr addr, unsigned size)
{
    IOApic *s = opaque;

    ioapic_fetch(s);
    switch (addr & 0xff) {
    case IOREGSEL:
        return s->index;
    case IOWIN:
        return size == 4 ? ioapic_read_reg(s) : 0;
    default:
        return 0;
    }
}

static void ioapic_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    IOApic *s = opaque;

    ioapic_fetch(s);
    switch (addr & 0xff) {
    case IOREGSEL:
        s->index = val;
        break;
    case IOWIN:
        if (size == 4) {
            ioapic_write_reg(s, val);
        }
        break;
    case IOEOI:
        if (size == 4) {
            ioapic_eoi(s, val);
        }
        break;
    }
    ioapic_changed(s);
}

static const RegionOps ioapic_ops = {
    .read = ioapic_read, .write = ioapic_write, .min = 1, .max = 4,
};

void ioapic_info(GString *out)
{
    static const char *const modes[8] = {
        "fixed", "lowest", "SMI", "...", "NMI", "INIT", "...", "ExtINT",
    };
    const IOApic *s = the_ioapic;

    if (!s) {
        return;
    }
    ioapic_fetch(the_ioapic);
    g_string_append_printf(out, "ioapic: ver=0x%x id=0x%02x sel=0x%02x\n", IOAPIC_VERSION, s->id,
                           s->index);
    for (int n = 0; n < IOAPIC_PINS; n++) {
        uint64_t e = s->table[n];
        g_string_append_printf(out, "  pin %-2d 0x%016" PRIx64 " dest=%u vec=%u %s %s %s%s%s\n", n, e,
                               rte_dest(e), (unsigned)(e & 0xff),
                               e & RTE_LEVEL ? "level" : "edge", modes[RTE_DELIVERY(e)],
                               e & RTE_LOGICAL ? "logical" : "physical",
                               e & RTE_MASKED ? " masked" : "",
                               e & RTE_REMOTE_IRR ? " remote-irr" : "");
    }
    g_string_append_printf(out, "  lines 0x%06x\n", s->lines);
}

static bool ioapic_realize(Device *dev, Error **err)
{
    IOApic *s = (IOApic *)dev;

    region_init_io(&s->io, "ioapic", 0x1000, &ioapic_ops, s);
    s->io.chip = REGION_CHIP_BOARD;
    region_map(dev->mem, s->base, &s->io, 0);
    apic_set_eoi_hook(ioapic_eoi, s);
    the_ioapic = s;
    return true;
}

static void ioapic_unrealize(Device *dev)
{
    apic_set_eoi_hook(NULL, NULL);
    region_destroy(&((IOApic *)dev)->io);
    the_ioapic = NULL;
}

/* lines belong to the devices. */
static void ioapic_reset(Device *dev)
{
    IOApic *s = (IOApic *)dev;

    s->index = s->id = 0;
    for (int n = 0; n < IOAPIC_PINS; n++) {
        s->table[n] = RTE_MASKED;
    }
    ioapic_changed(s);
}

static void ioapic_pre_save(void *opaque)
{
    ioapic_fetch(opaque);
}

static bool ioapic_post_load(void *opaque, int version, Error **err)
{
    ioapic_changed(opaque);
    return true;
}

static const VMField ioapic_fields[] = {
    VM_UINTS(IOApic, table), VM_UINT(IOApic, lines), VM_UINT(IOApic, index), VM_UINT(IOApic, id),
    VM_DONE
};
static const VMState vm_ioapic = {
    .name = "ioapic", .pre_save = ioapic_pre_save, .post_load = ioapic_post_load,
    .fields = ioapic_fields,
};

static const Prop ioapic_props[] = {
    PROP_UINT("base", IOApic, base, 0xfec00000, "address of its registers"),
    PROP_DONE
};

static const DeviceType ioapic = {
    .name = "ioapic", .desc = "I/O interrupt controller", .size = sizeof(IOApic),
    .props = ioapic_props, .vmstate = &vm_ioapic, .realize = ioapic_realize,
    .reset = ioapic_reset, .unrealize = ioapic_unrealize, .irq_in = ioapic_irq_in,
    .irq_inputs = IOAPIC_PINS,
    .no_user = true,
};
DEVICE_TYPE(ioapic);
