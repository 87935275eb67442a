/* SPDX-License-Identifier: MIT */
/*
 * Programmable attribute map.
 *
 * Source: 82441FX data sheet, PAM registers (3.2.19).  Each window has two attribute bits:
 *
 *     RE WE
 *      0  0   reads and writes go to PCI: ROM
 *      1  0   reads from RAM, writes to PCI (a ROM there drops them): a write-protected shadow
 *      0  1   reads from PCI, writes to RAM: how a BIOS copies itself
 *      1  1   RAM
 *
 * The window of the third kind is an I/O region, slow but seldom used; the others are aliases.
 */
#include "hw/pci/pam.h"

static uint64_t copy_read(void *opaque, hwaddr addr, unsigned size)
{
    PamWindow *w = opaque;
    return address_space_ld(w->pci, w->at + addr, size);
}

static void copy_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    PamWindow *w = opaque;
    uint8_t *host = region_host(w->ram) + w->at + addr;

    for (unsigned i = 0; i < size; i++) {
        host[i] = val >> (8 * i);
    }
    ram_written(w->ram->ram, w->at + addr, size);
}

static const RegionOps copy_ops = {
    .read = copy_read, .write = copy_write, .min = 1, .max = 8, .reentrant = true,
};

void pam_init(PamWindow *w, unsigned n, Region *system, Region *ram, Region *pci,
              AddressSpace *pci_space)
{
    w->at = n ? 0xc0000 + 0x4000 * (n - 1) : 0xf0000;
    w->size = n ? 0x4000 : 0x10000;
    w->ram = ram;
    w->pci = pci_space;
    region_init_alias(&w->modes[0], "pam-pci", pci, w->at, w->size);
    region_init_alias(&w->modes[1], "pam-rom", ram, w->at, w->size);
    w->modes[1].readonly = true;
    region_init_io(&w->modes[2], "pam-copy", w->size, &copy_ops, w);
    region_init_alias(&w->modes[3], "pam-ram", ram, w->at, w->size);
    memory_begin();
    for (unsigned mode = 0; mode < 4; mode++) {
        region_enable(&w->modes[mode], mode == 0);
        region_map(system, w->at, &w->modes[mode], 1);
    }
    memory_commit();
}

void pam_exit(PamWindow *w)
{
    for (unsigned mode = 0; mode < 4; mode++) {
        region_destroy(&w->modes[mode]);
    }
}

void pam_set(PamWindow *w, unsigned attribute)
{
    memory_begin();
    for (unsigned mode = 0; mode < 4; mode++) {
        region_enable(&w->modes[mode], mode == (attribute & 3));
    }
    memory_commit();
}
