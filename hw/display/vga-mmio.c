/* SPDX-License-Identifier: MIT */
/*
 * Registers in memory of PCI cards with a VGA.
 */
#include "hw/display/vga-mmio.h"

#define MMIO_PORTS      0x400
#define MMIO_DISPI      0x500
#define MMIO_QEXT       0x600
#define QEXT_SIZE       8
#define QEXT_BIG        0xbebebebeu
#define QEXT_LITTLE     0x1e1e1e1eu

static uint64_t edid_read(void *opaque, hwaddr addr, unsigned size)
{
    VGAMmio *m = opaque;
    return addr < EDID_SIZE ? m->edid[addr] : 0;
}

static uint64_t ports_read(void *opaque, hwaddr addr, unsigned size)
{
    return vga_port_read(((VGAMmio *)opaque)->vga, 0x3c0 + addr);
}

static void ports_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    vga_port_write(((VGAMmio *)opaque)->vga, 0x3c0 + addr, val);
}

static uint64_t dispi_read(void *opaque, hwaddr addr, unsigned size)
{
    return vga_dispi_read(((VGAMmio *)opaque)->vga, addr >> 1);
}

static void dispi_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    if (size == 2) {
        vga_dispi_write(((VGAMmio *)opaque)->vga, addr >> 1, val);
    }
}

static uint64_t qext_read(void *opaque, hwaddr addr, unsigned size)
{
    VGAMmio *m = opaque;
    return addr == 0 ? QEXT_SIZE : m->vga->big_endian ? QEXT_BIG : QEXT_LITTLE;
}

static void qext_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    if (addr == 4 && (val == QEXT_BIG || val == QEXT_LITTLE)) {
        vga_set_endian(((VGAMmio *)opaque)->vga, val == QEXT_BIG);
    }
}

static const RegionOps edid_ops = { .read = edid_read, .min = 1, .max = 1 };
static const RegionOps ports_ops = { .read = ports_read, .write = ports_write, .min = 1, .max = 1 };
static const RegionOps dispi_ops = { .read = dispi_read, .write = dispi_write, .min = 2, .max = 2 };
static const RegionOps qext_ops = { .read = qext_read, .write = qext_write, .min = 4, .max = 4 };

void vga_mmio_init(VGAMmio *m, VGA *vga, Region *container, bool edid, bool qext)
{
    m->vga = vga;
    if (edid) {
        region_init_io(&m->edid_io, "edid", 0x100, &edid_ops, m);
        region_map(container, 0, &m->edid_io, 0);
    }
    region_init_io(&m->ports_io, "vga ports", 0x20, &ports_ops, m);
    region_map(container, MMIO_PORTS, &m->ports_io, 0);
    region_init_io(&m->dispi_io, "bochs dispi", 2 * VBE_COUNT, &dispi_ops, m);
    region_map(container, MMIO_DISPI, &m->dispi_io, 0);
    if (qext) {
        region_init_io(&m->qext_io, "vga extended regs", QEXT_SIZE, &qext_ops, m);
        region_map(container, MMIO_QEXT, &m->qext_io, 0);
    }
}

void vga_mmio_exit(VGAMmio *m)
{
    region_destroy(&m->edid_io);
    region_destroy(&m->ports_io);
    region_destroy(&m->dispi_io);
    region_destroy(&m->qext_io);
}
