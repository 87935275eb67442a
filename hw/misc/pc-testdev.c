/* SPDX-License-Identifier: MIT */
/*
 * The test device of kvm-unit-tests, "pc-testdev": things whose only purpose is to be accessed.
 *
 *     E0h-E3h            a register for port accesses of any width
 *     E4h                the page of this address shall be forgotten by whatever caches it
 *     E8h-EBh            the same register, byte by byte
 *     2000h-200Fh        one port for each ISA interrupt: writes set its level
 *     FF000000h, 64 KiB  memory that is not RAM
 */
#include "hw/isa/isa.h"
#include "util/bits.h"
#include "util/log.h"

#define IOMEM_BASE 0xff000000u
#define IOMEM_SIZE 0x10000

typedef struct TestDev {
    Device dev;                     /* always first */
    Region ioport, ioport_byte, flush, irq, iomem;
    uint32_t reg;
    uint16_t raised;                /* interrupt lines we hold up */
    uint8_t mem[IOMEM_SIZE];
} TestDev;

static uint64_t reg_read(void *opaque, hwaddr addr, unsigned size)
{
    return ((TestDev *)opaque)->reg >> 8 * addr;
}

static void reg_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    TestDev *s = opaque;
    s->reg = deposit32(s->reg, 8 * addr, 8 * size, val);
}

static const RegionOps reg_ops = { .read = reg_read, .write = reg_write, .min = 1, .max = 4 };
static const RegionOps byte_ops = { .read = reg_read, .write = reg_write, .min = 1, .max = 1 };

/* An engine translates anew whenever memory or its mapping changes, so nothing is stale. */
static void flush_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    MemSection where;

    if (!address_space_lookup(&address_space_memory, val & GUEST_PAGE_MASK, &where)) {
        LOG_GUEST("pc-testdev: there is no page at 0x%" G_GINT64_MODIFIER "x", val);
    }
}

static uint64_t zero_read(void *opaque, hwaddr addr, unsigned size)
{
    return 0;
}

static const RegionOps flush_ops = { .read = zero_read, .write = flush_write, .min = 4, .max = 4 };

static void irq_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    TestDev *s = opaque;
    IRQ irq = isa_irq(&s->dev, addr);

    s->raised = deposit32(s->raised, addr, 1, val != 0);
    irq_set(&irq, val != 0);
}

static const RegionOps irq_ops = { .read = zero_read, .write = irq_write, .min = 1, .max = 1 };

static uint64_t iomem_read(void *opaque, hwaddr addr, unsigned size)
{
    TestDev *s = opaque;
    uint64_t val = 0;

    for (unsigned i = 0; i < size; i++) {
        val |= (uint64_t)s->mem[addr + i] << 8 * i;
    }
    return val;
}

static void iomem_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    TestDev *s = opaque;

    for (unsigned i = 0; i < size; i++) {
        s->mem[addr + i] = val >> 8 * i;
    }
}

static const RegionOps iomem_ops = {
    .read = iomem_read, .write = iomem_write, .min = 1, .max = 8,
};

static void map(Device *dev, Region *r, const char *name, Region *into, hwaddr at, uint64_t size,
                const RegionOps *ops)
{
    region_init_io(r, name, size, ops, dev);
    region_map(into, at, r, 0);
}

static bool testdev_realize(Device *dev, Error **err)
{
    TestDev *s = (TestDev *)dev;

    map(dev, &s->ioport, "pc-testdev-ioport", dev->io, 0xe0, 4, &reg_ops);
    map(dev, &s->flush, "pc-testdev-flush-page", dev->io, 0xe4, 4, &flush_ops);
    map(dev, &s->ioport_byte, "pc-testdev-ioport-byte", dev->io, 0xe8, 4, &byte_ops);
    map(dev, &s->irq, "pc-testdev-irq-line", dev->io, 0x2000, 16, &irq_ops);
    map(dev, &s->iomem, "pc-testdev-iomem", dev->mem, IOMEM_BASE, IOMEM_SIZE, &iomem_ops);
    return true;
}

static void testdev_reset(Device *dev)
{
    TestDev *s = (TestDev *)dev;

    for (unsigned n = 0; n < 16; n++) {
        if (s->raised >> n & 1) {
            irq_write(s, n, 0, 1);
        }
    }
    s->reg = 0;
    memset(s->mem, 0, sizeof(s->mem));
}

static void testdev_unrealize(Device *dev)
{
    TestDev *s = (TestDev *)dev;

    testdev_reset(dev);
    region_destroy(&s->ioport);
    region_destroy(&s->flush);
    region_destroy(&s->ioport_byte);
    region_destroy(&s->irq);
    region_destroy(&s->iomem);
}

static const VMField testdev_fields[] = {
    VM_UINT(TestDev, reg), VM_BUFFER(TestDev, mem), VM_UINT(TestDev, raised),
    VM_DONE
};
static const VMState vm_testdev = { .name = "pc-testdev", .fields = testdev_fields };

static const DeviceType testdev = {
    .name = "pc-testdev", .desc = "target of accesses by test guests", .bus = "isa",
    .category = "Misc", .size = sizeof(TestDev), .vmstate = &vm_testdev,
    .realize = testdev_realize, .reset = testdev_reset, .unrealize = testdev_unrealize,
};
DEVICE_TYPE(testdev);
