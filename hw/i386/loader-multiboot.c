/* SPDX-License-Identifier: MIT */
/*
 * Multiboot kernels: 32-bit ELF files, or any file that says where it wants to lie.
 *
 * Source: Multiboot Specification 0.6.96.
 *
 * The modules are the files of -initrd, "FILE [ARGUMENTS][,FILE ...]"; a comma in a name is
 * doubled.  Memory: kernel where it wants to be; after it modules on page boundaries and then
 * the module list and strings; memory map and information structure below 1 MiB.
 */
#include "hw/i386/loader.h"
#include "hw/nvram/fw_cfg.h"
#include "util/bits.h"
#include "util/version.h"

#include <string.h>

#define MAGIC           0x1badb002
#define LOADED_MAGIC    0x2badb002      /* in EAX */
#define SEARCH          8192

/* Header fields, from its start */
#define F_ADDRESSES     (1u << 16)
#define H_HEADER_ADDR   12
#define H_LOAD_ADDR     16
#define H_LOAD_END      20
#define H_BSS_END       24
#define H_ENTRY         28

/* Information structure */
#define I_FLAGS         0
#define I_MEM_LOWER     4
#define I_MEM_UPPER     8
#define I_BOOT_DEVICE   12
#define I_CMDLINE       16
#define I_MODS_COUNT    20
#define I_MODS_ADDR     24
#define I_MMAP_LENGTH   44
#define I_MMAP_ADDR     48
#define I_LOADER_NAME   64
#define I_SIZE          120
#define HAS_MEMORY      (1 << 0)
#define HAS_BOOT_DEVICE (1 << 1)
#define HAS_CMDLINE     (1 << 2)
#define HAS_MODS        (1 << 3)
#define HAS_MMAP        (1 << 6)
#define HAS_LOADER_NAME (1 << 9)

#define MODULES_MAX     30
#define MODULE_ROW      16

typedef struct MultibootPlan {
    PCMachine *pc;
    const LoaderImage *kernel;
    BootRom rom;
    uint64_t top;
    uint32_t entry, end;                /* of the kernel; end of what is loaded so far */
    uint32_t map, where;                /* of the BIOS' memory map and of the information */
    GByteArray *modules;                /* contents of all, one fw_cfg item */
    GByteArray *tail;                   /* module list and strings */
    unsigned count;
    uint8_t list[MODULES_MAX * MODULE_ROW];
    uint32_t name[MODULES_MAX];         /* offsets in tail */
    uint8_t info[I_SIZE];
} MultibootPlan;

/* Offset of the header, -1 if there is none. */
static int find_header(const LoaderImage *k)
{
    for (size_t at = 0; at + 12 <= MIN(k->size, SEARCH); at += 4) {
        const uint8_t *h = k->data + at;
        if (ld32_le(h) == MAGIC && ld32_le(h) + ld32_le(h + 4) + ld32_le(h + 8) == 0) {
            return at;
        }
    }
    return -1;
}

bool multiboot_probe(const LoaderImage *k)
{
    return find_header(k) >= 0;
}

/* ---- the kernel ---------------------------------------------------------------------- */

/* The header gives the addresses: file and memory are joined at the header itself. */
static bool add_by_addresses(MultibootPlan *p, unsigned at, Error **err)
{
    const LoaderImage *k = p->kernel;
    const uint8_t *h = k->data + at;
    uint32_t header, load, load_end, bss_end, offset, size;

    if (at + 32 > k->size) {
        return fail(err, "-kernel: '%s' is cut short in its Multiboot header", k->path);
    }
    header = ld32_le(h + H_HEADER_ADDR);
    load = ld32_le(h + H_LOAD_ADDR);
    load_end = ld32_le(h + H_LOAD_END);
    bss_end = ld32_le(h + H_BSS_END);
    if (header < load || header - load > at || (load_end && load_end < load)) {
        return fail(err, "-kernel: '%s': the addresses in its Multiboot header contradict each "
                    "other", k->path);
    }
    offset = at - (header - load);
    size = load_end ? load_end - load : k->size - offset;
    if (size > k->size - offset) {
        return fail(err, "-kernel: '%s' is shorter than its Multiboot header says", k->path);
    }
    p->end = MAX(load + size, bss_end);
    if (!loader_range_ok(load, (uint64_t)p->end - load, p->top) || p->end < load) {
        return fail(err, "-kernel: '%s' wants to lie from 0x%x to 0x%x, where the guest has no "
                    "free memory", k->path, load, p->end);
    }
    p->entry = ld32_le(h + H_ENTRY);
    if (p->entry < load || p->entry >= p->end) {
        return fail(err, "-kernel: '%s' has its entry point outside itself", k->path);
    }
    return boot_rom_load(&p->rom, FW_CFG_KERNEL_DATA, offset, size, load, err)
           && (p->end == load + size
               || boot_rom_load(&p->rom, 0x3fff, 0, p->end - load - size, load + size, err));
}

static bool add_elf(MultibootPlan *p, Error **err)
{
    ElfImage e;

    if (!elf_probe(p->kernel)) {
        return fail(err, "-kernel: '%s' is neither ELF nor does its Multiboot header say where "
                    "to load it", p->kernel->path);
    }
    if (!elf_parse(p->kernel, p->top, &e, err)) {
        return false;
    }
    if (e.is64) {
        return fail(err, "-kernel: '%s' is a 64-bit Multiboot kernel, Multiboot starts 32-bit "
                    "ones", p->kernel->path);
    }
    if (e.low < LOADER_LOW) {
        if (e.high > LOADER_LOW_END) {
            return fail(err, "-kernel: '%s' lies from 0x%x to 0x%x; one that begins below 0x%x must "
                        "end below 0x%x", p->kernel->path, e.low, e.high, LOADER_LOW, LOADER_LOW_END);
        }
        p->map += LOADER_LOW_END - LOADER_MAP;
        p->where += LOADER_LOW_END - LOADER_MAP;
    }
    p->entry = e.entry;
    p->end = MAX(e.high, 0x100000);
    return elf_add_loads(&e, &p->rom, FW_CFG_KERNEL_DATA, err);
}

/* ---- modules ------------------------------------------------------------------------- */

static uint32_t add_string(MultibootPlan *p, const char *s)
{
    uint32_t at = p->tail->len;

    g_byte_array_append(p->tail, (const uint8_t *)s, strlen(s) + 1);
    return at;
}

static bool add_module(MultibootPlan *p, const char *spec, Error **err)
{
    g_autofree char *path = g_strdup(spec);
    LoaderImage m;
    uint32_t start = (p->end + GUEST_PAGE_SIZE - 1) & GUEST_PAGE_MASK;
    bool ok;

    if (strchr(path, ' ')) {
        *strchr(path, ' ') = 0;
    }
    if (p->count == MODULES_MAX) {
        return fail(err, "-initrd: more than %d modules", MODULES_MAX);
    }
    if (!loader_read(&m, "-initrd", path, err)) {
        return false;
    }
    ok = loader_range_ok(start, m.size, p->top)
         || fail(err, "-initrd: module '%s' with its %zu bytes does not fit into the guest's "
                 "memory", path, m.size);
    ok = ok && boot_rom_load(&p->rom, FW_CFG_INITRD_DATA, p->modules->len, m.size, start, err);
    if (ok) {
        g_byte_array_append(p->modules, m.data, m.size);
        p->end = start + m.size;
        st32_le(p->list + MODULE_ROW * p->count, start);
        st32_le(p->list + MODULE_ROW * p->count + 4, p->end);
        p->name[p->count++] = add_string(p, spec);
    }
    loader_free(&m);
    return ok;
}

static bool add_modules(MultibootPlan *p, Error **err)
{
    const char *s = p->pc->m.initrd ? p->pc->m.initrd : "";
    GString *one = g_string_new(NULL);
    bool ok = true;

    for (; ok && *s; s++) {
        if (*s != ',') {
            g_string_append_c(one, *s);
        } else if (s[1] == ',') {
            g_string_append_c(one, *++s);
        } else {
            ok = add_module(p, one->str, err);
            g_string_truncate(one, 0);
        }
    }
    if (ok && one->len) {
        ok = add_module(p, one->str, err);
    }
    g_string_free(one, TRUE);
    return ok;
}

/* ---- information --------------------------------------------------------------------- */

/* Strings and module list go behind the last module; only then their addresses are known. */
static bool add_info(MultibootPlan *p, Error **err)
{
    const Machine *m = &p->pc->m;
    uint32_t cmdline, loader, list, base = (p->end + GUEST_PAGE_SIZE - 1) & GUEST_PAGE_MASK;
    g_autofree char *text = g_strdup_printf("%s%s%s", m->kernel, m->append ? " " : "",
                                            m->append ? m->append : "");

    cmdline = add_string(p, text);
    loader = add_string(p, "orrery " ORRERY_VERSION);
    while (p->tail->len % 4) {
        g_byte_array_append(p->tail, (const uint8_t *)"", 1);
    }
    list = p->tail->len;
    for (unsigned n = 0; n < p->count; n++) {
        st32_le(p->list + MODULE_ROW * n + 8, base + p->name[n]);
    }
    g_byte_array_append(p->tail, p->list, MODULE_ROW * p->count);
    if (!loader_range_ok(base, p->tail->len, p->top)) {
        return fail(err, "-kernel: no memory left for the boot information");
    }
    st32_le(p->info + I_FLAGS, HAS_MEMORY | HAS_BOOT_DEVICE | HAS_CMDLINE | HAS_MODS | HAS_MMAP
            | HAS_LOADER_NAME);
    st32_le(p->info + I_MEM_LOWER, 640);
    st32_le(p->info + I_MEM_UPPER, p->pc->below_4g / 1024 - 1024);
    st32_le(p->info + I_BOOT_DEVICE, 0x8000ffff);       /* first disk, whole first partition */
    st32_le(p->info + I_CMDLINE, base + cmdline);
    st32_le(p->info + I_MODS_COUNT, p->count);
    st32_le(p->info + I_MODS_ADDR, base + list);
    st32_le(p->info + I_MMAP_ADDR, p->map);
    st32_le(p->info + I_LOADER_NAME, base + loader);
    return boot_rom_load(&p->rom, FW_CFG_CMDLINE_DATA, 0, p->tail->len, base, err)
           && boot_rom_load(&p->rom, FW_CFG_SETUP_DATA, 0, I_SIZE, p->where, err);
}

static bool load_plan(MultibootPlan *p, Error **err)
{
    Device *fw = p->pc->fw_cfg;
    int at = find_header(p->kernel);
    bool by_addresses = ld32_le(p->kernel->data + at + 4) & F_ADDRESSES;
    BootProtected how = {
        .eax = LOADED_MAGIC, .map_max = LOADER_MAP_ROWS, .map_prefix = 4,
        .map_unit = BOOT_ROM_MAP_ROW,
    };

    p->map = LOADER_MAP;
    p->where = LOADER_INFO;
    if (!(by_addresses ? add_by_addresses(p, at, err) : add_elf(p, err))
        || !add_modules(p, err) || !add_info(p, err)) {
        return false;
    }
    how.entry = p->entry;
    how.ebx = p->where;
    how.map = p->map;
    how.count = p->where + I_MMAP_LENGTH;
    boot_rom_protected(&p->rom, &how);
    fw_cfg_set_bytes(fw, FW_CFG_KERNEL_DATA, p->kernel->bytes);
    fw_cfg_set(fw, FW_CFG_INITRD_DATA, p->modules->data, p->modules->len);
    fw_cfg_set(fw, FW_CFG_CMDLINE_DATA, p->tail->data, p->tail->len);
    fw_cfg_set(fw, FW_CFG_SETUP_DATA, p->info, I_SIZE);
    return boot_rom_publish(&p->rom, fw, err);
}

bool multiboot_load(PCMachine *pc, const LoaderImage *k, Error **err)
{
    MultibootPlan *p = g_new0(MultibootPlan, 1);
    bool ok;

    p->pc = pc;
    p->kernel = k;
    p->top = loader_top(pc);
    p->modules = g_byte_array_new();
    p->tail = g_byte_array_new();
    boot_rom_init(&p->rom);
    ok = load_plan(p, err);
    g_byte_array_unref(p->modules);
    g_byte_array_unref(p->tail);
    g_free(p);
    return ok;
}
