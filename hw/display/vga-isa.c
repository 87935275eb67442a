/* SPDX-License-Identifier: MIT */
/*
 * The VGA as an ISA card, device "isa-vga".  Its frame buffer lies at E0000000h, its BIOS
 * reaches the firmware through fw_cfg.
 */
#include "hw/core/machine.h"
#include "hw/display/vga.h"
#include "hw/isa/isa.h"
#include "hw/nvram/fw_cfg.h"
#include "hw/pci/pci.h"

#define VGA_BIOS        "vgabios.bin"
#define LFB_ADDRESS     0xe0000000

typedef struct ISAVGA {
    Device dev;                         /* always first */
    VGA vga;
} ISAVGA;

static bool add_bios(Error **err)
{
    g_autofree char *path = firmware_find(VGA_BIOS), *data = NULL;
    gsize len;

    if (!fw_cfg_device() || fw_cfg_has_file(fw_cfg_device(), "vgaroms/" VGA_BIOS)) {
        return true;
    }
    if (!path || !g_file_get_contents(path, &data, &len, NULL)) {
        warn_report("isa-vga: %s not found in the firmware folders", VGA_BIOS);
        return true;
    }
    return fw_cfg_add_file(fw_cfg_device(), "vgaroms/" VGA_BIOS, data, len, err);
}

static bool isa_vga_realize(Device *dev, Error **err)
{
    ISAVGA *s = (ISAVGA *)dev;
    /* where the host bridge looks for the window at A0000h, if there is one */
    Region *mem = pci_root_bus() ? pci_root_bus()->mem : dev->mem;

    if (!vga_init(&s->vga, dev->id ? dev->id : "isa-vga", 8 << 20, err)) {
        return false;
    }
    vga_map_legacy(&s->vga, dev->io, mem);
    region_map(mem, LFB_ADDRESS, &s->vga.vram, 1);
    return add_bios(err);
}

static void isa_vga_unrealize(Device *dev)
{
    vga_exit(&((ISAVGA *)dev)->vga);
}

static void isa_vga_reset(Device *dev)
{
    vga_reset(&((ISAVGA *)dev)->vga);
}

static const VMField isa_vga_fields[] = {
    VM_STRUCT(ISAVGA, vga, vm_vga),
    VM_DONE
};
static const VMState vm_isa_vga = { .name = "isa-vga", .fields = isa_vga_fields };

static const DeviceType isa_vga = {
    .name = "isa-vga", .desc = "VGA on the ISA bus", .bus = "isa", .category = "Display",
    .size = sizeof(ISAVGA), .vmstate = &vm_isa_vga, .realize = isa_vga_realize,
    .unrealize = isa_vga_unrealize, .reset = isa_vga_reset,
};
DEVICE_TYPE(isa_vga);
