/* SPDX-License-Identifier: MIT */
/*
 * Expansion ROMs: a file shown through BAR 30h.
 *
 * Source: PCI Local Bus Specification 3.0, section 6.3 (ROM contents).
 */
#include "hw/core/machine.h"
#include "hw/pci/pci.h"
#include "util/bits.h"

#define ROM_MAX (16u << 20)

/* A PCI data structure that names another device would make the firmware skip the ROM; one
 * ROM file serves relatives with other ids, so ours is put in.  Checksum kept. */
static void patch_ids(PCIDevice *d, uint8_t *rom, size_t len)
{
    uint8_t before = 0, after = 0;

    if (len < 0x1a || rom[0] != 0x55 || rom[1] != 0xaa) {
        return;
    }
    unsigned at = ld16_le(rom + 0x18);
    if (at + 8u > len || memcmp(rom + at, "PCIR", 4)) {
        return;
    }
    for (int i = 4; i < 8; i++) {
        before += rom[at + i];
        rom[at + i] = d->config[PCI_VENDOR_ID + i - 4];
        after += rom[at + i];
    }
    rom[6] += before - after;       /* a byte of the entry point's area that nobody reads */
}

static bool load_file(PCIDevice *d, const char *path, Error **err)
{
    gchar *data;
    gsize len;
    char *name;
    bool ok;

    if (!g_file_get_contents(path, &data, &len, err)) {
        g_prefix_error(err, "%s: option ROM: ", d->dev.type->name);
        return false;
    }
    if (!len || len > ROM_MAX) {
        g_free(data);
        return fail(err, "%s: option ROM '%s' has %zu bytes, 1 to %u are possible",
                    d->dev.type->name, path, (size_t)len, ROM_MAX);
    }
    uint64_t size = GUEST_PAGE_SIZE;
    while (size < len) {
        size *= 2;
    }
    name = g_strdup_printf("%s.rom@%02x.%x", d->dev.type->name, PCI_SLOT(d->devfn),
                           PCI_FUNC(d->devfn));
    ok = region_init_rom(&d->rom, name, size, err);
    if (ok) {
        memcpy(region_host(&d->rom), data, len);
        if (!d->romfile) {
            patch_ids(d, region_host(&d->rom), len);
        }
        pci_register_bar(d, 6, PCI_BAR_MEM32, &d->rom);
    }
    g_free(name);
    g_free(data);
    return ok;
}

bool pci_load_rom(PCIDevice *d, Error **err)
{
    const PCIInfo *info = d->dev.type->info;
    const char *file = d->romfile ? d->romfile : info->rom;
    char *path;
    bool ok;

    if (!file || !*file || !d->rombar) {
        return true;
    }
    path = firmware_find(file);
    if (!path && !d->romfile) {
        /* its firmware package isn't installed: the card works, only booting by it doesn't */
        warn_report("%s: option ROM '%s' not found in the firmware folders", d->dev.type->name,
                    file);
        return true;
    }
    if (!path) {
        return fail(err, "%s: romfile '%s' not found", d->dev.type->name, file);
    }
    ok = load_file(d, path, err);
    g_free(path);
    return ok;
}
