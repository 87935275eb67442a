/* SPDX-License-Identifier: MIT */
/*
 * Virtio devices as PCI functions.  A device type is a struct with VirtIOPCI first and the
 * virtio device behind it:
 *
 *     typedef struct FooPCI { VirtIOPCI proxy; Foo foo; } FooPCI;      foo.vdev is the device
 *
 *     static bool foo_pci_realize(Device *dev, Error **err)
 *     {
 *         FooPCI *s = (FooPCI *)dev;
 *         if (!foo_realize(&s->foo, dev, err)) {             virtio_init, virtio_add_queue ...
 *             return false;
 *         }
 *         if (!virtio_pci_realize(&s->proxy, &s->foo.vdev, 2, err)) {      2 vectors by default
 *             foo_unrealize(&s->foo);
 *             return false;
 *         }
 *         return true;
 *     }
 *     static void foo_pci_unrealize(Device *dev)
 *     {
 *         FooPCI *s = (FooPCI *)dev;
 *         virtio_pci_unrealize(&s->proxy);
 *         foo_unrealize(&s->foo);                            ... virtio_exit
 *     }
 *
 * with a state table of VM_STRUCT(FooPCI, proxy, vm_virtio_pci), VM_STRUCT(FooPCI, foo.vdev,
 * vm_virtio) and what the device has beside.  VIRTIO_PCI_DEVICE makes the types: "foo-pci",
 * which adapts to the bus, "foo-pci-transitional" and "foo-pci-non-transitional".  Device and
 * subsystem ids follow from the device's VIRTIO_ID.  [bql]
 */
#ifndef HW_VIRTIO_VIRTIO_PCI_H
#define HW_VIRTIO_VIRTIO_PCI_H

#include "accel/eventfd.h"
#include "hw/pci/pci.h"
#include "hw/virtio/virtio.h"

#define VIRTIO_PCI_VECTORS_AUTO UINT32_MAX

/* Where the registers of version 1 are.  The structures lie one behind the other from `at`:
 * common configuration and interrupt status of `small` bytes each, device configuration of
 * 1000h, notifications. */
typedef struct VirtIOPCILayout {
    uint8_t bar, msix_bar;
    uint16_t at, small;
} VirtIOPCILayout;

typedef struct VirtIOPCI {
    PCIDevice pci;                      /* always first */
    VirtIODevice *v;
    const VirtIOPCILayout *layout;      /* set before virtio_pci_realize; NULL: BAR 4, MSI-X BAR 1 */
    uint32_t vectors;                   /* property; VIRTIO_PCI_VECTORS_AUTO; 0: no MSI-X */
    int disable_legacy;                 /* on/off/auto */
    bool disable_modern, page_per_vq;
    bool ioeventfd;                     /* property: notifications may come by the main loop */
    Doorbell **bell;                    /* of each queue; NULL: the driver is not ready */
    bool legacy, modern;                /* what came of them */
    uint32_t device_select, driver_select, driver_features[2];
    uint16_t queue_select;
    Region io;                          /* BAR 0: legacy registers */
    Region msix;                        /* BAR 1: MSI-X table and pending bits */
    Region mem;                         /* BAR 4, with these in it; a device may add its own */
    Region common, isr, config, notify;
    AddressSpace window;                /* BAR 4 as the configuration window reaches it */
    uint8_t window_cap;                 /* offset of that capability, 0: none */
} VirtIOPCI;

typedef struct VirtIOPCIInfo {
    PCIInfo pci;                        /* always first; ids are filled in */
    enum { VIRTIO_PCI_ADAPTS, VIRTIO_PCI_TRANSITIONAL, VIRTIO_PCI_NON_TRANSITIONAL } kind;
} VirtIOPCIInfo;

/* vectors: MSI-X vectors if the property does not say. */
bool virtio_pci_realize(VirtIOPCI *s, VirtIODevice *v, unsigned vectors, Error **err);
void virtio_pci_unrealize(VirtIOPCI *s);
void virtio_pci_reset(Device *dev);             /* DeviceType.reset */
extern const VMState vm_virtio_pci;

#define VIRTIO_PCI_PROPS(T)                                                                    \
    PROP_UINT("vectors", T, proxy.vectors, VIRTIO_PCI_VECTORS_AUTO, "MSI-X vectors, 0: none"), \
    PROP_BOOL("page-per-vq", T, proxy.page_per_vq, false, "a page of its own for each "        \
              "queue's notification")

/* For devices whose driver need not wait for the device. */
#define VIRTIO_PCI_IOEVENTFD(T, yes)                                                           \
    PROP_BOOL("ioeventfd", T, proxy.ioeventfd, yes, "KVM: the main loop hears of notifications")

#define VIRTIO_PCI_MODE_PROPS(T)                                                               \
    PROP_ONOFFAUTO("disable-legacy", T, proxy.disable_legacy, 2, "no registers of before "     \
                   "version 1"),                                                               \
    PROP_BOOL("disable-modern", T, proxy.disable_modern, false, "only those")

#define VIRTIO_PCI_TYPE_(sym, suffix, nm, al, knd, ds, cat, cls, rom_, T, fw, vm, realize_,    \
                         unrealize_)                                                           \
    static const VirtIOPCIInfo sym##suffix##_info = {                                          \
        .pci = { .vendor = 0x1af4, .class_id = cls, .pin = 1, .rom = rom_ }, .kind = knd,      \
    };                                                                                         \
    static const DeviceType sym##suffix = {                                                    \
        .name = nm, .alias = al, .desc = ds, .bus = "PCI", .category = cat,                    \
        .size = sizeof(T), .props = sym##suffix##_props, .vmstate = &vm, .realize = realize_,  \
        .reset = virtio_pci_reset, .unrealize = unrealize_, .info = &sym##suffix##_info.pci,   \
        .fw_child = fw,                                                                        \
    };                                                                                         \
    DEVICE_TYPE(sym##suffix)

/* nm: "virtio-foo-pci", al: its alias "virtio-foo"; fw: what firmware calls the device below
 * the function ("disk@0,0") or NULL; the last argument: the device's rows of properties. */
#define VIRTIO_PCI_DEVICE(sym, nm, al, ds, cat, cls, T, fw, vm, realize_, unrealize_, ...)     \
    VIRTIO_PCI_DEVICE_ROM(sym, nm, al, ds, cat, cls, NULL, T, fw, vm, realize_, unrealize_,    \
                          __VA_ARGS__)
/* The same with an option ROM, a file name. */
#define VIRTIO_PCI_DEVICE_ROM(sym, nm, al, ds, cat, cls, rom, T, fw, vm, realize_, unrealize_, ...) \
    static const Prop sym##_props[] = { __VA_ARGS__, VIRTIO_PCI_MODE_PROPS(T),                 \
                                        VIRTIO_PCI_PROPS(T), PROP_DONE };                      \
    static const Prop sym##_tr_props[] = { __VA_ARGS__, VIRTIO_PCI_PROPS(T), PROP_DONE };      \
    static const Prop sym##_non_props[] = { __VA_ARGS__, VIRTIO_PCI_PROPS(T), PROP_DONE };     \
    VIRTIO_PCI_TYPE_(sym, , nm, al, VIRTIO_PCI_ADAPTS, ds, cat, cls, rom, T, fw, vm, realize_, \
                     unrealize_);                                                              \
    VIRTIO_PCI_TYPE_(sym, _tr, nm "-transitional", NULL, VIRTIO_PCI_TRANSITIONAL,              \
                     ds ", transitional", cat, cls, rom, T, fw, vm, realize_, unrealize_);     \
    VIRTIO_PCI_TYPE_(sym, _non, nm "-non-transitional", NULL,                                  \
                     VIRTIO_PCI_NON_TRANSITIONAL, ds ", version 1 only", cat, cls, rom, T, fw, \
                     vm, realize_, unrealize_)

/* For devices that came with version 1: nothing but the one type. */
#define VIRTIO_PCI_MODERN_DEVICE(sym, nm, al, ds, cat, cls, T, fw, vm, realize_, unrealize_, ...) \
    static const Prop sym##_props[] = { __VA_ARGS__, VIRTIO_PCI_PROPS(T), PROP_DONE };         \
    VIRTIO_PCI_TYPE_(sym, , nm, al, VIRTIO_PCI_NON_TRANSITIONAL, ds, cat, cls, NULL, T, fw, vm, \
                     realize_, unrealize_)

#endif
