/* SPDX-License-Identifier: MIT */
/*
 * Fills in the tables of the option ROM in pc-bios/boot.S; the offsets are the ones there.
 */
#include "hw/i386/boot-rom.h"
#include "hw/core/bootorder.h"
#include "hw/nvram/fw_cfg.h"
#include "util/bits.h"

/* boot_rom_start, boot_rom_end: the assembled image */
__asm__(".pushsection .rodata\n"
        "boot_rom_start: .incbin \"" BOOT_ROM "\"\n"
        "boot_rom_end:\n"
        ".popsection");
extern const uint8_t boot_rom_start[], boot_rom_end[];

#define ROM_NAME        "orrery-boot.bin"

/* The table "tables" and "load_table" of the image */
#define T_LOADS         0x380
#define T_PROTECTED     0x382
#define T_REAL_SEGMENT  0x384
#define T_REAL_STACK    0x386
#define T_MAP_SEGMENT   0x388
#define T_MAP_MAX       0x38a
#define T_MAP_PREFIX    0x38c
#define T_MAP_UNIT      0x38e
#define T_COUNT_SEGMENT 0x390
#define T_COUNT_OFFSET  0x392
#define T_ENTRY         0x394
#define T_ENTRY_EAX     0x398
#define T_ENTRY_EBX     0x39c
#define T_LOAD_TABLE    0x3c0

#define PNP_POINTER     0x1a
#define PNP_LENGTH      32
#define PNP_CHECKSUM    9

void boot_rom_init(BootRom *r)
{
    r->size = boot_rom_end - boot_rom_start;
    r->image = g_memdup2(boot_rom_start, r->size);
    r->loads = 0;
}

bool boot_rom_load(BootRom *r, uint16_t key, uint32_t offset, uint32_t size, uint32_t addr,
                   Error **err)
{
    uint8_t *row = r->image + T_LOAD_TABLE + 16 * r->loads;

    if (r->loads == BOOT_ROM_LOADS) {
        return fail(err, "too many pieces to load, at most %d", BOOT_ROM_LOADS);
    }
    st32_le(row, key);
    st32_le(row + 4, offset);
    st32_le(row + 8, size);
    st32_le(row + 12, addr);
    st16_le(r->image + T_LOADS, ++r->loads);
    return true;
}

void boot_rom_real(BootRom *r, uint16_t segment, uint16_t sp)
{
    st16_le(r->image + T_REAL_SEGMENT, segment);
    st16_le(r->image + T_REAL_STACK, sp);
}

void boot_rom_protected(BootRom *r, const BootProtected *p)
{
    uint8_t *t = r->image;

    t[T_PROTECTED] = 1;
    st16_le(t + T_MAP_SEGMENT, p->map >> 4);
    st16_le(t + T_MAP_MAX, p->map_max);
    st16_le(t + T_MAP_PREFIX, p->map_prefix);
    st16_le(t + T_MAP_UNIT, p->map_unit);
    st16_le(t + T_COUNT_SEGMENT, p->count >> 4);
    st16_le(t + T_COUNT_OFFSET, p->count & 15);
    st32_le(t + T_ENTRY, p->entry);
    st32_le(t + T_ENTRY_EAX, p->eax);
    st32_le(t + T_ENTRY_EBX, p->ebx);
}

/* The byte at `at` such that all of them sum up to 0. */
static void set_checksum(uint8_t *p, size_t len, size_t at)
{
    uint8_t sum = 0;

    p[at] = 0;
    for (size_t i = 0; i < len; i++) {
        sum += p[i];
    }
    p[at] = -sum;
}

bool boot_rom_publish(BootRom *r, Device *fw_cfg, Error **err)
{
    bool ok;

    set_checksum(r->image + ld16_le(r->image + PNP_POINTER), PNP_LENGTH, PNP_CHECKSUM);
    set_checksum(r->image, r->size, r->size - 1);
    ok = fw_cfg_add_file(fw_cfg, "genroms/" ROM_NAME, r->image, r->size, err)
         && boot_order_add_path(0, "/rom@genroms/" ROM_NAME, err);
    g_free(r->image);
    return ok;
}
