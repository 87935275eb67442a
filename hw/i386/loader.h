/* SPDX-License-Identifier: MIT */
/*
 * -kernel: Linux, Multiboot and PVH images, prepared for the firmware to load through fw_cfg
 * and our option ROM (hw/i386/boot-rom.h).
 */
#ifndef HW_I386_LOADER_H
#define HW_I386_LOADER_H

#include "hw/i386/boot-rom.h"
#include "hw/i386/pc.h"

/* Firmware puts its tables at the end of the RAM below 4 GiB: loaders keep off that much. */
#define LOADER_TOP_RESERVE 0x28000

/* Low memory that firmware leaves alone, for what must lie below 1 MiB. */
#define LOADER_MAP      0x9000          /* the BIOS' memory map, LOADER_MAP_ROWS rows */
#define LOADER_MAP_ROWS 48
#define LOADER_INFO     0x9500          /* boot information, up to A000h */
#define LOADER_LOW      0x10000
/* A Multiboot ELF kernel that ends below LOADER_LOW_END may begin here; what would lie at
 * LOADER_MAP then lies at LOADER_LOW_END. */
#define LOADER_KERNEL_LOW 0x8000
#define LOADER_LOW_END  0x80000

typedef struct LoaderImage {
    const char *path;
    GBytes *bytes;
    const uint8_t *data;
    size_t size;
} LoaderImage;

/* Whatever m->kernel is.  false and err: not readable, of no known kind, damaged, too large. */
bool pc_load_kernel(PCMachine *pc, Error **err);

bool loader_read(LoaderImage *img, const char *what, const char *path, Error **err);
void loader_free(LoaderImage *img);
/* First address loaders must not touch. */
uint64_t loader_top(const PCMachine *pc);

/* Each kind: does the image look like one? */
bool linux_probe(const LoaderImage *k);
bool linux_load(PCMachine *pc, const LoaderImage *k, Error **err);
bool multiboot_probe(const LoaderImage *k);
bool multiboot_load(PCMachine *pc, const LoaderImage *k, Error **err);
bool pvh_probe(const LoaderImage *k);
bool pvh_load(PCMachine *pc, const LoaderImage *k, Error **err);

/* ---- ELF (loader-elf.c) -------------------------------------------------------------- */

#define ELF_SEGMENTS_MAX 32

typedef struct ElfSegment {
    uint32_t offset, file_size;         /* in the file */
    uint32_t addr, mem_size;            /* physical */
} ElfSegment;

typedef struct ElfImage {
    bool is64;
    uint32_t entry;                     /* physical */
    unsigned count;
    ElfSegment segment[ELF_SEGMENTS_MAX];
    uint32_t low, high;                 /* first byte, and the one after the last */
} ElfImage;

bool elf_probe(const LoaderImage *k);
/* The physical address in the note of a PVH kernel; false: it is none. */
bool elf_pvh_entry(const LoaderImage *k, uint32_t *entry);
/* Everything that is not impossible is checked: after it, all segments lie in the file, and in
 * memory between LOADER_LOW and top, outside A0000h-FFFFFh. */
bool elf_parse(const LoaderImage *k, uint64_t top, ElfImage *out, Error **err);
/* Load table entries for the segments of fw_cfg item `key`, which holds the whole file. */
bool elf_add_loads(const ElfImage *e, BootRom *rom, uint16_t key, Error **err);
bool loader_range_ok(uint64_t addr, uint64_t size, uint64_t top);

#endif
