/* SPDX-License-Identifier: MIT */
/*
 * The devices "virtio-blk-pci", "-transitional" and "-non-transitional".
 */
#include "hw/virtio/virtio-blk.h"
#include "hw/virtio/virtio-pci.h"

typedef struct VirtIOBlkPCI {
    VirtIOPCI proxy;                    /* always first */
    VirtIOBlk blk;
} VirtIOBlkPCI;

static bool blk_pci_realize(Device *dev, Error **err)
{
    VirtIOBlkPCI *s = (VirtIOBlkPCI *)dev;

    if (!virtio_blk_realize(&s->blk, dev, err)) {
        return false;
    }
    /* a vector for each queue, one for configuration changes */
    if (!virtio_pci_realize(&s->proxy, &s->blk.vdev, s->blk.num_queues + 1, err)) {
        virtio_blk_unrealize(&s->blk);
        return false;
    }
    return true;
}

static void blk_pci_unrealize(Device *dev)
{
    VirtIOBlkPCI *s = (VirtIOBlkPCI *)dev;

    virtio_pci_unrealize(&s->proxy);
    virtio_blk_unrealize(&s->blk);
}

static const VMField blk_pci_fields[] = {
    VM_STRUCT(VirtIOBlkPCI, proxy, vm_virtio_pci),
    VM_STRUCT(VirtIOBlkPCI, blk, vm_virtio_blk),
    VM_DONE
};
static const VMState vm_blk_pci = { .name = "virtio-blk-pci", .fields = blk_pci_fields };

VIRTIO_PCI_DEVICE(virtio_blk_pci, "virtio-blk-pci", "virtio-blk", "Virtio block device", "Storage",
                  0x0100, VirtIOBlkPCI, "disk@0,0", vm_blk_pci, blk_pci_realize, blk_pci_unrealize,
                  VIRTIO_PCI_IOEVENTFD(VirtIOBlkPCI, true), VIRTIO_BLK_PROPS(VirtIOBlkPCI, blk));
