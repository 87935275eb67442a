/* SPDX-License-Identifier: MIT */
/*
 * Configuration mechanism #1.
 *
 * Sources: PCI Local Bus Specification 3.0, section 3.2.2.3.2; 82441FX data sheet, CONFADD and
 * CONFDATA (4.1).  CONFADD takes dword cycles only; bytes in its place are other ports.
 *
 *    31      30..24    23..16   15..11   10..8    7..2     1 0
 *   enable      -        bus     device  function register  0
 */
#include "hw/pci/pci_host.h"

#define CONF_ENABLE 0x80000000u
#define CONF_MASK   0x80fffffcu

static uint64_t host_read(void *opaque, hwaddr addr, unsigned size)
{
    PCIHost *h = opaque;

    if (addr >= 4) {
        return h->address & CONF_ENABLE
               ? pci_config_read(h->bus, h->address | (addr & 3), size) : ~0u;
    }
    if (size == 4) {
        return h->address;
    }
    return addr == 1 && size == 1 && h->cf9_read ? h->cf9_read(h->cf9_opaque) : ~0u;
}

static void host_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    PCIHost *h = opaque;

    if (addr >= 4) {
        if (h->address & CONF_ENABLE) {
            pci_config_write(h->bus, h->address | (addr & 3), val, size);
        }
    } else if (size == 4) {
        h->address = val & CONF_MASK;
    } else if (addr == 1 && size == 1 && h->cf9_write) {
        h->cf9_write(h->cf9_opaque, val);
    }
}

static const RegionOps host_ops = {
    .read = host_read, .write = host_write, .min = 1, .max = 4,
};

void pci_host_init(PCIHost *h, PCIBus *bus, Region *io)
{
    h->bus = bus;
    region_init_io(&h->io, "pci-conf", 8, &host_ops, h);
    region_map(io, 0xcf8, &h->io, 0);
}

void pci_host_exit(PCIHost *h)
{
    region_destroy(&h->io);
}

void pci_host_reset(PCIHost *h)
{
    h->address = 0;
}

static const VMField host_fields[] = {
    VM_UINT(PCIHost, address),
    VM_DONE
};
const VMState vm_pci_host = { .name = "pci-host", .fields = host_fields };
