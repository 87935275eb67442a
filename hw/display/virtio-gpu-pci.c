/* SPDX-License-Identifier: MIT */
/*
 * The virtio graphics device as PCI cards: "virtio-gpu-pci" and "virtio-vga", which is a VGA
 * until a driver lets the first scanout show something.
 *
 * BARs of virtio-vga, as its VGA BIOS expects them:
 *
 *     BAR 0   frame buffer of the VGA
 *     BAR 2   0000h registers of the VGA (vga-mmio.h)   1000h common configuration
 *             1800h interrupt status   2000h device configuration   3000h notifications
 *     BAR 4   MSI-X
 */
#include "hw/display/vga-mmio.h"
#include "hw/display/virtio-gpu.h"
#include "hw/virtio/virtio-pci.h"

#define VECTORS         3
#define VGA_MEMORY      (8u << 20)

/* ---- virtio-gpu-pci ---------------------------------------------------------------------- */

typedef struct VirtIOGPUPCI {
    VirtIOPCI proxy;                    /* always first */
    VirtIOGPU gpu;
} VirtIOGPUPCI;

static bool gpu_pci_realize(Device *dev, Error **err)
{
    VirtIOGPUPCI *s = (VirtIOGPUPCI *)dev;

    if (!virtio_gpu_realize(&s->gpu, dev, dev->id ? dev->id : "virtio-gpu-pci", NULL, err)) {
        return false;
    }
    if (!virtio_pci_realize(&s->proxy, &s->gpu.vdev, VECTORS, err)) {
        virtio_gpu_unrealize(&s->gpu);
        return false;
    }
    return true;
}

static void gpu_pci_unrealize(Device *dev)
{
    VirtIOGPUPCI *s = (VirtIOGPUPCI *)dev;

    virtio_pci_unrealize(&s->proxy);
    virtio_gpu_unrealize(&s->gpu);
}

static const VMField gpu_pci_fields[] = {
    VM_STRUCT(VirtIOGPUPCI, proxy, vm_virtio_pci), VM_STRUCT(VirtIOGPUPCI, gpu, vm_virtio_gpu),
    VM_DONE
};
static const VMState vm_gpu_pci = { .name = "virtio-gpu-pci", .fields = gpu_pci_fields };

static const Prop gpu_pci_props[] = {
    VIRTIO_GPU_PROPS(VirtIOGPUPCI, gpu), VIRTIO_PCI_IOEVENTFD(VirtIOGPUPCI, false),
    VIRTIO_PCI_PROPS(VirtIOGPUPCI), PROP_DONE
};

static const VirtIOPCIInfo gpu_pci_info = {
    .pci = { .vendor = 0x1af4, .class_id = 0x0380, .pin = 1, .not_hotpluggable = true },
    .kind = VIRTIO_PCI_NON_TRANSITIONAL,
};

static const DeviceType virtio_gpu_pci = {
    .name = "virtio-gpu-pci", .alias = "virtio-gpu", .desc = "Virtio graphics, 2D", .bus = "PCI",
    .category = "Display", .size = sizeof(VirtIOGPUPCI), .props = gpu_pci_props,
    .vmstate = &vm_gpu_pci, .realize = gpu_pci_realize, .reset = virtio_pci_reset,
    .unrealize = gpu_pci_unrealize, .info = &gpu_pci_info.pci,
};
DEVICE_TYPE(virtio_gpu_pci);

/* ---- virtio-vga -------------------------------------------------------------------------- */

typedef struct VirtIOVGA {
    VirtIOPCI proxy;                    /* always first */
    VirtIOGPU gpu;
    VGA vga;
    VGAMmio mmio;
} VirtIOVGA;

static VirtIOVGA *vga_of(VirtIOGPU *gpu)
{
    return (VirtIOVGA *)((char *)gpu - offsetof(VirtIOVGA, gpu));
}

static void card_refresh(void *opaque)
{
    VirtIOVGA *s = opaque;

    if (s->gpu.on) {
        virtio_gpu_refresh(&s->gpu.scanout[0]);
    } else {
        vga_console_ops.refresh(&s->vga);
    }
}

static void card_invalidate(void *opaque)
{
    VirtIOVGA *s = opaque;

    if (s->gpu.on) {
        virtio_gpu_invalidate(&s->gpu.scanout[0]);
    } else {
        vga_console_ops.invalidate(&s->vga);
    }
}

static bool card_text(void *opaque, uint16_t *cells, unsigned max, unsigned *cols, unsigned *rows,
                      unsigned *cursor)
{
    VirtIOVGA *s = opaque;
    return !s->gpu.on && vga_text_cells(&s->vga, cells, max, cols, rows, cursor);
}

static void card_resize_hint(void *opaque, unsigned w, unsigned h)
{
    virtio_gpu_resize_hint(&((VirtIOVGA *)opaque)->gpu.scanout[0], w, h);
}

static const ConsoleOps card_console_ops = {
    .refresh = card_refresh, .invalidate = card_invalidate, .text = card_text,
    .resize_hint = card_resize_hint,
};

static void card_takes_over(VirtIOGPU *gpu, bool on)
{
    if (!on) {
        vga_show_again(&vga_of(gpu)->vga);
    }
}

static bool realize_parts(VirtIOVGA *s, const char *name, Error **err)
{
    Device *dev = &s->proxy.pci.dev;

    if (!vga_init(&s->vga, name, VGA_MEMORY, err)) {
        return false;
    }
    s->gpu.takes_over = card_takes_over;
    if (!virtio_gpu_realize(&s->gpu, dev, name, s->vga.console, err)) {
        vga_exit(&s->vga);
        return false;
    }
    if (!virtio_pci_realize(&s->proxy, &s->gpu.vdev, VECTORS, err)) {
        virtio_gpu_unrealize(&s->gpu);
        vga_exit(&s->vga);
        return false;
    }
    return true;
}

static bool virtio_vga_realize(Device *dev, Error **err)
{
    static const VirtIOPCILayout layout = { .bar = 2, .msix_bar = 4, .at = 0x1000, .small = 0x800 };
    VirtIOVGA *s = (VirtIOVGA *)dev;
    const char *name = dev->id ? dev->id : "virtio-vga";
    PCIDevice *pci = &s->proxy.pci;

    s->proxy.layout = &layout;
    s->vga.console = console_new(name, 0, &card_console_ops, s);
    if (!realize_parts(s, name, err)) {
        console_free(s->vga.console);
        return false;
    }
    vga_map_legacy(&s->vga, pci->bus->io, pci->bus->mem);
    vga_mmio_init(&s->mmio, &s->vga, &s->proxy.mem, false, true);
    pci_register_bar(pci, 0, PCI_BAR_PREFETCH, &s->vga.vram);
    return true;
}

static void virtio_vga_unrealize(Device *dev)
{
    VirtIOVGA *s = (VirtIOVGA *)dev;
    Console *console = s->vga.console;

    vga_mmio_exit(&s->mmio);
    virtio_pci_unrealize(&s->proxy);
    virtio_gpu_unrealize(&s->gpu);
    console_free(console);
    vga_exit(&s->vga);
}

static void virtio_vga_reset(Device *dev)
{
    VirtIOVGA *s = (VirtIOVGA *)dev;

    virtio_pci_reset(dev);
    vga_reset(&s->vga);
}

static const VMField virtio_vga_fields[] = {
    VM_STRUCT(VirtIOVGA, proxy, vm_virtio_pci), VM_STRUCT(VirtIOVGA, vga, vm_vga),
    VM_STRUCT(VirtIOVGA, gpu, vm_virtio_gpu),
    VM_DONE
};
static const VMState vm_virtio_vga = { .name = "virtio-vga", .fields = virtio_vga_fields };

static const Prop virtio_vga_props[] = {
    VIRTIO_GPU_PROPS(VirtIOVGA, gpu), VIRTIO_PCI_IOEVENTFD(VirtIOVGA, false),
    VIRTIO_PCI_PROPS(VirtIOVGA), PROP_DONE
};

static const VirtIOPCIInfo virtio_vga_info = {
    .pci = { .vendor = 0x1af4, .class_id = 0x0300, .pin = 1, .rom = "vgabios-virtio.bin",
             .not_hotpluggable = true },
    .kind = VIRTIO_PCI_NON_TRANSITIONAL,
};

static const DeviceType virtio_vga = {
    .name = "virtio-vga", .desc = "Virtio graphics, 2D, with a VGA", .bus = "PCI",
    .category = "Display", .size = sizeof(VirtIOVGA), .props = virtio_vga_props,
    .vmstate = &vm_virtio_vga, .realize = virtio_vga_realize, .reset = virtio_vga_reset,
    .unrealize = virtio_vga_unrealize, .info = &virtio_vga_info.pci,
};
DEVICE_TYPE(virtio_vga);
