/* SPDX-License-Identifier: MIT */
/*
 * The PC's memory map: RAM with its hole below 4 GiB, and the firmware ROM.
 *
 *   0                RAM                           A0000h-FFFFFh: see hw/pci/i440fx.c
 *   below_4g         PCI memory                    up to FEC00000h: I/O APIC, HPET, local APIC
 *   4 GiB - size     firmware, in ROM (-bios) or flash (-drive if=pflash; a second chip, for its
 *                    variables, below); its last 128 KiB also below 1 MiB, behind the bridge
 *   4 GiB            rest of the RAM
 */
#include "hw/i386/pc.h"

#include <inttypes.h>

#include "block/drive.h"
#include "hw/block/pflash-cfi01.h"
#include "target-i386/cpu.h"

#define BIOS_DEFAULT    "bios-256k.bin"
#define BIOS_MAX        (16u << 20)
#define BIOS_UNIT       0x10000u
#define ISA_BIOS_MAX    0x20000u
/* What fits below 1 TiB with a hole of a GiB below 4 GiB, and some room for PCI memory. */
#define RAM_MAX         (1008 * GIB)

/* Leave half a GiB of hole while that keeps all RAM below it, else a whole one: a PCI hole
 * that is too small costs more than RAM above 4 GiB does. */
static void split_ram(PCMachine *pc)
{
    uint64_t low = pc->max_ram_below_4g ? pc->max_ram_below_4g : 0xe0000000;

    if (pc->m.ram_size >= low && low > 0xc0000000) {
        low = 0xc0000000;
    }
    pc->below_4g = MIN(pc->m.ram_size, low);
    pc->above_4g = pc->m.ram_size - pc->below_4g;
}

static bool check_size(const PCMachine *pc, Error **err)
{
    uint64_t max = pc->max_ram_below_4g;

    if (max > 0xe0000000 || (max && max < (1 << 20)) || max % (1 << 20)) {
        return fail(err, "-machine max-ram-below-4g: 1 MiB to 3584 MiB in whole MiB are possible");
    }
    if (pc->m.ram_size < (1 << 20)) {
        return fail(err, "-m: machine '%s' needs at least 1 MiB", pc->m.type->name);
    }
    if (pc->m.ram_size > RAM_MAX) {
        return fail(err, "-m: machine '%s' takes at most 1008 GiB of memory (the CPU has 40 address bits)",
                    pc->m.type->name);
    }
    return true;
}

/* Nobody there: reads give ones.  Without it the RAM below would shine through. */
static const RegionOps unclaimed_ops = { .max = 8, .unaligned = true };

bool pc_memory_init(PCMachine *pc, Error **err)
{
    Region *system = system_memory();

    if (!check_size(pc, err)) {
        return false;
    }
    split_ram(pc);
    if (!pc->m.ram.name && !region_init_ram(&pc->m.ram, "pc.ram", pc->m.ram_size, err)) {
        return false;
    }
    region_init_alias(&pc->ram_below, "ram-below-4g", &pc->m.ram, 0, pc->below_4g);
    region_map(system, 0, &pc->ram_below, 0);
    if (pc->above_4g) {
        region_init_alias(&pc->ram_above, "ram-above-4g", &pc->m.ram, pc->below_4g, pc->above_4g);
        region_map(system, 4 * GIB, &pc->ram_above, 0);
    }
    region_init_container(&pc->pci_memory, "pci", REGION_WHOLE);
    region_map(system, 0, &pc->pci_memory, -1);
    region_init_io(&pc->unclaimed, "pci-unclaimed", 0x60000, &unclaimed_ops, pc);
    region_map(&pc->pci_memory, 0xa0000, &pc->unclaimed, -1);
    return true;
}

static void map_firmware(PCMachine *pc, Region *bios, uint64_t size)
{
    uint64_t isa = MIN(size, ISA_BIOS_MAX);

    region_map(&pc->pci_memory, 4 * GIB - size, bios, 0);
    region_init_alias(&pc->isa_bios, "isa-bios", bios, size - isa, isa);
    region_set_readonly(&pc->isa_bios, true);   /* XBCS of the south bridge: no stores get through */
    region_map(&pc->pci_memory, 0x100000 - isa, &pc->isa_bios, 1);
}

/* ---- firmware in flash ----------------------------------------------------------------- */

/* What -machine pflashN= or -drive if=pflash,unit=N names; NULL: nothing.  false: an error. */
static bool flash_drive(PCMachine *pc, unsigned n, BlockBackend **blk, Error **err)
{
    const char *name = pc->pflash[n];
    DriveInfo *d = drive_get(DRIVE_IF_PFLASH, 0, n);

    *blk = name ? blk_find(name) : d ? d->blk : NULL;
    if (name && d) {
        return fail(err, "-machine pflash%u=%s: there is a -drive if=pflash,unit=%u, too", n, name, n);
    }
    if (name && !*blk) {
        return fail(err, "-machine pflash%u=%s: no -blockdev or -drive has this name", n, name);
    }
    return true;
}

static bool check_flash(const PCMachine *pc, BlockBackend *const blk[PC_FLASHES], Error **err)
{
    uint64_t sum = 0;

    if (!blk[0]) {
        return fail(err, "pflash1 requires pflash0: the variables' flash chip, the firmware's");
    }
    if (pc->m.firmware) {
        return fail(err, "-bios %s: the firmware is in pflash0 already", pc->m.firmware);
    }
    for (unsigned n = 0; n < PC_FLASHES && blk[n]; n++) {
        uint64_t size = blk_length(blk[n]);
        if (!size || size % PFLASH_BLOCK) {
            return fail(err, "pflash%u: '%s' has %" PRIu64 " bytes: a multiple of %u is needed", n,
                        blk_file_name(blk[n]), size, PFLASH_BLOCK);
        }
        sum += size;
    }
    return sum <= pc->max_fw_size
           || fail(err, "pflash0 and pflash1 have %" PRIu64 " bytes together: at most %" PRIu64
                   " are possible (-machine max-fw-size=)", sum, pc->max_fw_size);
}

static bool in_smm(void)
{
    CPU *cpu = cpu_of_access();

    return cpu && x86_cpu(cpu)->smm;
}

static bool create_flash(PCMachine *pc, BlockBackend *const blk[PC_FLASHES], Error **err)
{
    static const char *const names[PC_FLASHES] = { "system.flash0", "system.flash1" };
    uint64_t end = 4 * GIB;

    for (unsigned n = 0; n < PC_FLASHES && blk[n]; n++) {
        pc->flash[n] = pflash_cfi01_new(names[n], blk[n]);
        pflash_cfi01_set_trusted(pc->flash[n], in_smm);
        if (!device_realize(pc->flash[n], NULL, err)) {
            return false;
        }
        Region *r = pflash_cfi01_region(pc->flash[n]);
        end -= (uint64_t)r->size;
        if (n == 0) {
            map_firmware(pc, r, (uint64_t)r->size);
        } else {
            region_map(&pc->pci_memory, end, r, 0);
        }
    }
    return true;
}

/* ---- firmware in ROM ------------------------------------------------------------------- */

static bool create_rom(PCMachine *pc, Error **err)
{
    const char *name = pc->m.firmware ? pc->m.firmware : BIOS_DEFAULT;
    g_autofree char *path = firmware_find(name);
    g_autofree char *data = NULL;
    gsize size;
    GError *e = NULL;

    if (!path) {
        return fail(err, "firmware '%s' not found%s", name, pc->m.firmware ? ""
                    : " (Debian package: seabios; -L names a folder to look in)");
    }
    if (!g_file_get_contents(path, &data, &size, &e)) {
        fail(err, "firmware: %s", e->message);
        g_error_free(e);
        return false;
    }
    if (!size || size % BIOS_UNIT || size > BIOS_MAX) {
        return fail(err, "firmware '%s' has %zu bytes: a multiple of 64 KiB up to 16 MiB is needed",
                    path, (size_t)size);
    }
    if (!region_init_rom(&pc->bios, "pc.bios", size, err)) {
        return false;
    }
    memcpy(region_host(&pc->bios), data, size);
    map_firmware(pc, &pc->bios, size);
    return true;
}

bool pc_firmware_init(PCMachine *pc, Error **err)
{
    BlockBackend *blk[PC_FLASHES];

    for (unsigned n = 0; n < PC_FLASHES; n++) {
        if (!flash_drive(pc, n, &blk[n], err)) {
            return false;
        }
    }
    if (!blk[0] && !blk[1]) {
        return create_rom(pc, err);
    }
    return check_flash(pc, blk, err) && create_flash(pc, blk, err);
}

unsigned pc_e820(const PCMachine *pc, E820Entry *rows, unsigned max)
{
    unsigned n = 0;

    g_assert(max >= 2);
    rows[n++] = (E820Entry) { 0, pc->below_4g, 1 };
    if (pc->above_4g) {
        rows[n++] = (E820Entry) { 4 * GIB, pc->above_4g, 1 };
    }
    return n;
}
