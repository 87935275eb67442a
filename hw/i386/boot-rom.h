/* SPDX-License-Identifier: MIT */
/*
 * The option ROM that starts kernels (pc-bios/boot.S): what to load where, and how to enter.
 * The firmware sees it as the first boot device.
 */
#ifndef HW_I386_BOOT_ROM_H
#define HW_I386_BOOT_ROM_H

#include "hw/core/device.h"

#define BOOT_ROM_LOADS 68
#define BOOT_ROM_MAP_ROW 24

typedef struct BootRom {
    uint8_t *image;
    size_t size;
    unsigned loads;
} BootRom;

/* How a kernel is entered in 32-bit flat mode, and where it finds the BIOS' memory map. */
typedef struct BootProtected {
    uint32_t entry, eax, ebx;
    uint32_t map;                   /* linear, below 1 MiB, a multiple of 16 */
    unsigned map_max;               /* rows of BOOT_ROM_MAP_ROW bytes that fit there */
    unsigned map_prefix;            /* 4: each row begins with its size (20); 0: it ends with 0 */
    unsigned map_unit;              /* the count is in rows (1) or bytes (24) */
    uint32_t count;                 /* linear, below 1 MiB: where 32 bits of it go */
} BootProtected;

void boot_rom_init(BootRom *r);
/* Bytes [offset, offset + size) of an fw_cfg item to a physical address; what lies beyond the
 * item's end is zeros.  false and err: too many. */
bool boot_rom_load(BootRom *r, uint16_t key, uint32_t offset, uint32_t size, uint32_t addr,
                   Error **err);
/* Linux' real-mode setup code at segment * 16, with its stack at segment:sp. */
void boot_rom_real(BootRom *r, uint16_t segment, uint16_t sp);
void boot_rom_protected(BootRom *r, const BootProtected *p);
/* Hand it to the firmware and free it. */
bool boot_rom_publish(BootRom *r, Device *fw_cfg, Error **err);

#endif
