/* SPDX-License-Identifier: MIT */
/*
 * ELF executables as kernels: segments, entry point, the PVH note.
 *
 * Sources: System V ABI, "Object Files"; Xen documentation, "x86/HVM direct boot ABI" (note
 * XEN_ELFNOTE_PHYS32_ENTRY).  Nothing in the file is believed before it is checked.
 */
#include "hw/i386/loader.h"
#include "util/bits.h"

#include <string.h>

#define ET_EXEC     2
#define ET_DYN      3
#define EM_386      3
#define EM_X86_64   62
#define PT_LOAD     1
#define PT_NOTE     4
#define NOTE_PHYS32_ENTRY 18

/* One program header, of either class */
typedef struct Phdr {
    uint32_t type;
    uint64_t offset, vaddr, paddr, file_size, mem_size;
} Phdr;

typedef struct ElfHeader {
    bool is64;
    uint16_t type, machine, phnum, phentsize;
    uint64_t entry, phoff;
} ElfHeader;

bool elf_probe(const LoaderImage *k)
{
    return k->size >= 52 && !memcmp(k->data, "\177ELF", 4);
}

static bool read_header(const LoaderImage *k, ElfHeader *h, Error **err)
{
    const uint8_t *d = k->data;

    h->is64 = d[4] == 2;
    if ((d[4] != 1 && d[4] != 2) || d[5] != 1 || (h->is64 && k->size < 64)) {
        return fail(err, "-kernel: '%s' is not a little-endian ELF file", k->path);
    }
    h->type = ld16_le(d + 16);
    h->machine = ld16_le(d + 18);
    h->entry = h->is64 ? ld64_le(d + 24) : ld32_le(d + 24);
    h->phoff = h->is64 ? ld64_le(d + 32) : ld32_le(d + 28);
    h->phentsize = ld16_le(d + (h->is64 ? 54 : 42));
    h->phnum = ld16_le(d + (h->is64 ? 56 : 44));
    if ((h->type != ET_EXEC && h->type != ET_DYN)
        || (h->machine != EM_386 && h->machine != EM_X86_64)) {
        return fail(err, "-kernel: '%s' is not an x86 executable", k->path);
    }
    if (h->phentsize < (h->is64 ? 56 : 32) || h->phoff > k->size
        || (uint64_t)h->phnum * h->phentsize > k->size - h->phoff) {
        return fail(err, "-kernel: '%s' is cut short: its program headers lie outside", k->path);
    }
    return true;
}

static void read_phdr(const LoaderImage *k, const ElfHeader *h, unsigned n, Phdr *p)
{
    const uint8_t *d = k->data + h->phoff + (size_t)n * h->phentsize;

    p->type = ld32_le(d);
    if (h->is64) {
        p->offset = ld64_le(d + 8);
        p->vaddr = ld64_le(d + 16);
        p->paddr = ld64_le(d + 24);
        p->file_size = ld64_le(d + 32);
        p->mem_size = ld64_le(d + 40);
    } else {
        p->offset = ld32_le(d + 4);
        p->vaddr = ld32_le(d + 8);
        p->paddr = ld32_le(d + 12);
        p->file_size = ld32_le(d + 16);
        p->mem_size = ld32_le(d + 20);
    }
}

bool loader_range_ok(uint64_t addr, uint64_t size, uint64_t top)
{
    if (addr < LOADER_LOW || addr > top || size > top - addr) {
        return false;
    }
    return addr + size <= 0xa0000 || addr >= 0x100000;
}

static bool add_segment(const LoaderImage *k, const Phdr *p, uint64_t top, ElfImage *out,
                        Error **err)
{
    if (!p->mem_size) {
        return true;
    }
    if (p->file_size > p->mem_size || p->offset > k->size || p->file_size > k->size - p->offset) {
        return fail(err, "-kernel: '%s' is cut short: a segment lies outside", k->path);
    }
    bool low = p->paddr >= LOADER_KERNEL_LOW && p->paddr < LOADER_LOW
               && p->mem_size <= LOADER_LOW_END - p->paddr;
    if (!low && !loader_range_ok(p->paddr, p->mem_size, top)) {
        return fail(err, "-kernel: '%s' has a segment at 0x%" G_GINT64_MODIFIER "x, 0x%"
                    G_GINT64_MODIFIER "x bytes, where the guest has no free memory", k->path,
                    p->paddr, p->mem_size);
    }
    if (out->count == ELF_SEGMENTS_MAX) {
        return fail(err, "-kernel: '%s' has more than %d segments", k->path, ELF_SEGMENTS_MAX);
    }
    out->segment[out->count++] = (ElfSegment) {
        .offset = p->offset, .file_size = p->file_size, .addr = p->paddr, .mem_size = p->mem_size,
    };
    out->low = MIN(out->low, p->paddr);
    out->high = MAX(out->high, p->paddr + p->mem_size);
    return true;
}

/* A list of notes: name size, descriptor size, type, name, descriptor; both padded to 4. */
static bool find_pvh_note(const LoaderImage *k, const Phdr *p, uint32_t *entry)
{
    uint64_t at = p->offset, end;

    if (p->offset > k->size || p->file_size > k->size - p->offset) {
        return false;
    }
    end = p->offset + p->file_size;
    while (end - at >= 12) {
        uint64_t name = ld32_le(k->data + at), desc = ld32_le(k->data + at + 4);
        uint32_t type = ld32_le(k->data + at + 8);
        uint64_t name_at = at + 12, desc_at = name_at + ((name + 3) & ~3ull);
        uint64_t next = desc_at + ((desc + 3) & ~3ull);
        if (desc_at > end || desc > end - desc_at) {
            return false;
        }
        if (type == NOTE_PHYS32_ENTRY && name == 4 && !memcmp(k->data + name_at, "Xen", 4)
            && (desc == 4 || desc == 8)) {
            *entry = ld32_le(k->data + desc_at);
            return true;
        }
        if (next > end) {
            return false;
        }
        at = next;
    }
    return false;
}

bool elf_pvh_entry(const LoaderImage *k, uint32_t *entry)
{
    ElfHeader h = { 0 };
    Phdr p;

    if (!elf_probe(k) || !read_header(k, &h, NULL)) {
        return false;
    }
    for (unsigned n = 0; n < h.phnum; n++) {
        read_phdr(k, &h, n, &p);
        if (p.type == PT_NOTE && find_pvh_note(k, &p, entry)) {
            return true;
        }
    }
    return false;
}

bool elf_parse(const LoaderImage *k, uint64_t top, ElfImage *out, Error **err)
{
    ElfHeader h = { 0 };
    Phdr p;

    *out = (ElfImage) { .low = UINT32_MAX };
    if (!read_header(k, &h, err)) {
        return false;
    }
    out->is64 = h.machine == EM_X86_64;
    out->entry = h.entry;
    for (unsigned n = 0; n < h.phnum; n++) {
        read_phdr(k, &h, n, &p);
        if (p.type != PT_LOAD) {
            continue;
        }
        if (!add_segment(k, &p, top, out, err)) {
            return false;
        }
        if (h.entry >= p.vaddr && h.entry - p.vaddr < p.mem_size) {
            out->entry = p.paddr + (h.entry - p.vaddr);
        }
    }
    return out->count || fail(err, "-kernel: '%s' has nothing to load", k->path);
}

bool elf_add_loads(const ElfImage *e, BootRom *rom, uint16_t key, Error **err)
{
    /* an item with this number does not exist: it reads as zeros, for .bss */
    const uint16_t zeros = 0x3fff;

    for (unsigned n = 0; n < e->count; n++) {
        const ElfSegment *s = &e->segment[n];
        uint32_t bss = s->mem_size - s->file_size;
        if ((s->file_size && !boot_rom_load(rom, key, s->offset, s->file_size, s->addr, err))
            || (bss && !boot_rom_load(rom, zeros, 0, bss, s->addr + s->file_size, err))) {
            return false;
        }
    }
    return true;
}
