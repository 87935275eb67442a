/* SPDX-License-Identifier: MIT */
/*
 * The standard PCI graphics card, device "VGA" (1234:1111): a VGA with the Bochs VBE interface.
 *
 * Source: QEMU documentation, "QEMU Standard VGA".
 *
 *     BAR 0   frame buffer
 *     BAR 2   000h EDID   400h ports 3C0h-3DFh   500h dispi registers   600h extended registers
 */
#include "hw/display/edid.h"
#include "hw/display/vga.h"
#include "hw/pci/pci.h"
#include "util/bits.h"

#define MMIO_SIZE       0x1000
#define MMIO_PORTS      0x400
#define MMIO_DISPI      0x500
#define MMIO_QEXT       0x600
#define QEXT_SIZE       8
#define QEXT_BIG        0xbebebebeu
#define QEXT_LITTLE     0x1e1e1e1eu

typedef struct VGAPCI {
    PCIDevice pci;                      /* always first */
    VGA vga;
    uint32_t mem_mb;
    bool with_mmio, with_qext, with_edid;
    uint32_t pref_x, pref_y, max_x, max_y;
    uint8_t edid[EDID_SIZE];
    Region mmio;
    Region edid_io, ports_io, dispi_io, qext_io;
} VGAPCI;

static uint64_t edid_read(void *opaque, hwaddr addr, unsigned size)
{
    VGAPCI *s = opaque;
    return addr < EDID_SIZE ? s->edid[addr] : 0;
}

static uint64_t ports_read(void *opaque, hwaddr addr, unsigned size)
{
    return vga_port_read(&((VGAPCI *)opaque)->vga, 0x3c0 + addr);
}

static void ports_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    vga_port_write(&((VGAPCI *)opaque)->vga, 0x3c0 + addr, val);
}

static uint64_t dispi_read(void *opaque, hwaddr addr, unsigned size)
{
    return vga_dispi_read(&((VGAPCI *)opaque)->vga, addr >> 1);
}

static void dispi_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    if (size == 2) {
        vga_dispi_write(&((VGAPCI *)opaque)->vga, addr >> 1, val);
    }
}

static uint64_t qext_read(void *opaque, hwaddr addr, unsigned size)
{
    VGAPCI *s = opaque;
    return addr == 0 ? QEXT_SIZE : s->vga.big_endian ? QEXT_BIG : QEXT_LITTLE;
}

static void qext_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    if (addr == 4 && (val == QEXT_BIG || val == QEXT_LITTLE)) {
        vga_set_endian(&((VGAPCI *)opaque)->vga, val == QEXT_BIG);
    }
}

static const RegionOps edid_ops = { .read = edid_read, .min = 1, .max = 1 };
static const RegionOps ports_ops = { .read = ports_read, .write = ports_write, .min = 1, .max = 1 };
static const RegionOps dispi_ops = { .read = dispi_read, .write = dispi_write, .min = 2, .max = 2 };
static const RegionOps qext_ops = { .read = qext_read, .write = qext_write, .min = 4, .max = 4 };

static void init_mmio(VGAPCI *s)
{
    region_init_container(&s->mmio, "vga.mmio", MMIO_SIZE);
    if (s->with_edid) {
        edid_make(s->edid, s->pref_x, s->pref_y, s->max_x, s->max_y);
        region_init_io(&s->edid_io, "edid", 0x100, &edid_ops, s);
        region_map(&s->mmio, 0, &s->edid_io, 0);
    }
    region_init_io(&s->ports_io, "vga ports", 0x20, &ports_ops, s);
    region_map(&s->mmio, MMIO_PORTS, &s->ports_io, 0);
    region_init_io(&s->dispi_io, "bochs dispi", 2 * VBE_COUNT, &dispi_ops, s);
    region_map(&s->mmio, MMIO_DISPI, &s->dispi_io, 0);
    if (s->with_qext) {
        region_init_io(&s->qext_io, "vga extended regs", QEXT_SIZE, &qext_ops, s);
        region_map(&s->mmio, MMIO_QEXT, &s->qext_io, 0);
    }
    pci_register_bar(&s->pci, 2, PCI_BAR_MEM32, &s->mmio);
}

static bool check_props(const VGAPCI *s, Error **err)
{
    if (!is_pow2(s->mem_mb) || s->mem_mb > 512) {
        return fail(err, "VGA: vgamem_mb=%u: a power of two from 1 to 512 is needed", s->mem_mb);
    }
    if (s->pref_x < 320 || s->pref_y < 200 || s->pref_x > 4095 || s->pref_y > 4095) {
        return fail(err, "VGA: xres=%u,yres=%u: sizes from 320x200 to 4095x4095 are possible",
                    s->pref_x, s->pref_y);
    }
    return true;
}

static bool vga_pci_realize(Device *dev, Error **err)
{
    VGAPCI *s = (VGAPCI *)dev;

    if (!check_props(s, err)
        || !vga_init(&s->vga, dev->id ? dev->id : "VGA", s->mem_mb << 20, err)) {
        return false;
    }
    vga_map_legacy(&s->vga, s->pci.bus->io, s->pci.bus->mem);
    pci_register_bar(&s->pci, 0, PCI_BAR_PREFETCH, &s->vga.vram);
    if (s->with_mmio) {
        init_mmio(s);
    }
    return true;
}

static void vga_pci_unrealize(Device *dev)
{
    VGAPCI *s = (VGAPCI *)dev;

    region_destroy(&s->edid_io);
    region_destroy(&s->ports_io);
    region_destroy(&s->dispi_io);
    region_destroy(&s->qext_io);
    region_destroy(&s->mmio);
    vga_exit(&s->vga);
}

static void vga_pci_reset(Device *dev)
{
    vga_reset(&((VGAPCI *)dev)->vga);
}

static const VMField vga_pci_fields[] = {
    VM_STRUCT(VGAPCI, pci, vm_pci_device), VM_STRUCT(VGAPCI, vga, vm_vga),
    VM_DONE
};
static const VMState vm_vga_pci = { .name = "VGA", .fields = vga_pci_fields };

static const Prop vga_pci_props[] = {
    PROP_UINT("vgamem_mb", VGAPCI, mem_mb, 16, "video memory in MiB"),
    PROP_BOOL("mmio", VGAPCI, with_mmio, true, "registers in memory, BAR 2"),
    PROP_BOOL("qemu-extended-regs", VGAPCI, with_qext, true, "byte order register"),
    PROP_BOOL("edid", VGAPCI, with_edid, true, "the monitor describes itself"),
    PROP_UINT("xres", VGAPCI, pref_x, 1280, "width the monitor prefers"),
    PROP_UINT("yres", VGAPCI, pref_y, 800, "height the monitor prefers"),
    PROP_UINT("xmax", VGAPCI, max_x, 2560, "largest width the monitor offers"),
    PROP_UINT("ymax", VGAPCI, max_y, 2048, "largest height the monitor offers"),
    PROP_DONE
};

static const PCIInfo vga_pci_info = {
    .vendor = 0x1234, .device = 0x1111, .class_id = 0x0300, .revision = 2,
    .rom = "vgabios-stdvga.bin", .not_hotpluggable = true,
};

static const DeviceType vga_pci = {
    .name = "VGA", .desc = "standard VGA with Bochs VBE", .bus = "PCI", .category = "Display",
    .size = sizeof(VGAPCI), .props = vga_pci_props, .vmstate = &vm_vga_pci,
    .realize = vga_pci_realize, .unrealize = vga_pci_unrealize, .reset = vga_pci_reset,
    .info = &vga_pci_info,
};
DEVICE_TYPE(vga_pci);
