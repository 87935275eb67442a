/* SPDX-License-Identifier: MIT */
/*
 * The devices "virtio-net-pci", "-transitional" and "-non-transitional".
 */
#include "hw/net/virtio-net.h"
#include "hw/virtio/virtio-pci.h"

typedef struct VirtIONetPCI {
    VirtIOPCI proxy;                    /* always first */
    VirtIONet net;
} VirtIONetPCI;

static bool net_pci_realize(Device *dev, Error **err)
{
    VirtIONetPCI *s = (VirtIONetPCI *)dev;

    if (!virtio_net_realize(&s->net, dev, err)) {
        return false;
    }
    /* a vector for each queue, one for configuration changes */
    if (!virtio_pci_realize(&s->proxy, &s->net.vdev, 2 * s->net.pairs + 2, err)) {
        virtio_net_unrealize(&s->net);
        return false;
    }
    return true;
}

static void net_pci_unrealize(Device *dev)
{
    VirtIONetPCI *s = (VirtIONetPCI *)dev;

    virtio_net_vhost_exit(&s->net);
    virtio_pci_unrealize(&s->proxy);
    virtio_net_unrealize(&s->net);
}

static const VMField net_pci_fields[] = {
    VM_STRUCT(VirtIONetPCI, proxy, vm_virtio_pci),
    VM_STRUCT(VirtIONetPCI, net, vm_virtio_net),
    VM_DONE
};
static const VMState vm_net_pci = { .name = "virtio-net-pci", .fields = net_pci_fields };

#define PXE_ROM "efi-virtio.rom"
VIRTIO_PCI_DEVICE_ROM(virtio_net_pci, "virtio-net-pci", "virtio-net", "Virtio network device",
                      "Network", 0x0200, PXE_ROM, VirtIONetPCI, "ethernet-phy@0", vm_net_pci,
                      net_pci_realize, net_pci_unrealize, VIRTIO_PCI_IOEVENTFD(VirtIONetPCI, true),
                      VIRTIO_NET_PROPS(VirtIONetPCI, net));
