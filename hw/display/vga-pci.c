/* SPDX-License-Identifier: MIT */
/*
 * The standard PCI graphics card, device "VGA" (1234:1111): a VGA with the Bochs VBE interface.
 *
 * Source: QEMU documentation, "QEMU Standard VGA".
 *
 *     BAR 0   frame buffer      BAR 2   registers (vga-mmio.h)
 *
 * "secondary-vga" is one more of them.
 */
#include "hw/display/vga-mmio.h"
#include "hw/pci/pci.h"
#include "util/bits.h"

typedef struct VGAPCI {
    PCIDevice pci;                      /* always first */
    VGA vga;
    uint32_t mem_mb;
    bool with_mmio, with_qext, with_edid;
    uint32_t pref_x, pref_y, max_x, max_y;
    Region bar2;
    VGAMmio mmio;
} VGAPCI;

static void init_mmio(VGAPCI *s)
{
    region_init_container(&s->bar2, "vga.mmio", VGA_MMIO_SIZE);
    if (s->with_edid) {
        edid_make(s->mmio.edid, s->pref_x, s->pref_y, s->max_x, s->max_y);
    }
    vga_mmio_init(&s->mmio, &s->vga, &s->bar2, s->with_edid, s->with_qext);
    pci_register_bar(&s->pci, 2, PCI_BAR_MEM32, &s->bar2);
}

static bool check_props(const VGAPCI *s, Error **err)
{
    const char *name = s->pci.dev.type->name;

    if (!is_pow2(s->mem_mb) || s->mem_mb > 512) {
        return fail(err, "%s: vgamem_mb=%u: a power of two from 1 to 512 is needed", name,
                    s->mem_mb);
    }
    if (s->pref_x < 320 || s->pref_y < 200 || s->pref_x > 4095 || s->pref_y > 4095) {
        return fail(err, "%s: xres=%u,yres=%u: sizes from 320x200 to 4095x4095 are possible", name,
                    s->pref_x, s->pref_y);
    }
    return true;
}

static bool vga_pci_realize(Device *dev, Error **err)
{
    VGAPCI *s = (VGAPCI *)dev;
    bool primary = !strcmp(dev->type->name, "VGA");

    if (!check_props(s, err)
        || !vga_init(&s->vga, dev->id ? dev->id : dev->type->name, s->mem_mb << 20, err)) {
        return false;
    }
    if (primary) {
        vga_map_legacy(&s->vga, s->pci.bus->io, s->pci.bus->mem);
    }
    pci_register_bar(&s->pci, 0, PCI_BAR_PREFETCH, &s->vga.vram);
    if (s->with_mmio || !primary) {
        init_mmio(s);
    }
    return true;
}

static void vga_pci_unrealize(Device *dev)
{
    VGAPCI *s = (VGAPCI *)dev;

    vga_mmio_exit(&s->mmio);
    region_destroy(&s->bar2);
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

#define COMMON_PROPS                                                                           \
    PROP_UINT("vgamem_mb", VGAPCI, mem_mb, 16, "video memory in MiB"),                         \
    PROP_BOOL("qemu-extended-regs", VGAPCI, with_qext, true, "byte order register"),           \
    PROP_BOOL("edid", VGAPCI, with_edid, true, "the monitor describes itself"),                \
    PROP_UINT("xres", VGAPCI, pref_x, 1280, "width the monitor prefers"),                      \
    PROP_UINT("yres", VGAPCI, pref_y, 800, "height the monitor prefers"),                      \
    PROP_UINT("xmax", VGAPCI, max_x, 2560, "largest width the monitor offers"),                \
    PROP_UINT("ymax", VGAPCI, max_y, 2048, "largest height the monitor offers"),               \
    PROP_DONE

static const Prop vga_pci_props[] = {
    PROP_BOOL("mmio", VGAPCI, with_mmio, true, "registers in memory, BAR 2"), COMMON_PROPS
};

static const Prop secondary_props[] = { COMMON_PROPS };

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

/* The same without what only one card of a machine can have: ports, the window at A0000h, BIOS. */
static const PCIInfo secondary_info = {
    .vendor = 0x1234, .device = 0x1111, .class_id = 0x0380, .revision = 2, .not_hotpluggable = true,
};

static const DeviceType secondary_vga = {
    .name = "secondary-vga", .desc = "VGA beside the machine's own", .bus = "PCI",
    .category = "Display", .size = sizeof(VGAPCI), .props = secondary_props,
    .vmstate = &vm_vga_pci, .realize = vga_pci_realize, .unrealize = vga_pci_unrealize,
    .reset = vga_pci_reset, .info = &secondary_info,
};
DEVICE_TYPE(secondary_vga);
