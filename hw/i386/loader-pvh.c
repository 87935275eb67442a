/* SPDX-License-Identifier: MIT */
/*
 * Kernels with a PVH entry point: ELF files with a note that names it (Linux' vmlinux).
 *
 * Source: Xen documentation, "x86/HVM direct boot ABI"; struct hvm_start_info.
 *
 *     start_info  0 magic  4 version  8 flags  12 modules  16 module list  24 command line
 *                 32 RSDP  40 memory map  48 its rows  52 reserved
 *     module      0 address  8 size  16 command line  24 reserved
 */
#include "hw/i386/loader.h"
#include "hw/nvram/fw_cfg.h"
#include "util/bits.h"

#include <string.h>

#define START_MAGIC     0x336ec578
#define START_SIZE      56
#define S_MODULES       12
#define S_MODLIST       16
#define S_CMDLINE       24
#define S_MAP           40
#define S_MAP_ROWS      48
#define MODULE_SIZE     32

bool pvh_probe(const LoaderImage *k)
{
    uint32_t entry;
    return elf_pvh_entry(k, &entry);
}

/* start_info, one module row and the command line lie together in low memory. */
static GByteArray *make_info(const PCMachine *pc, uint32_t initrd, uint32_t initrd_size)
{
    const char *cmdline = pc->m.append ? pc->m.append : "";
    GByteArray *a = g_byte_array_new();

    g_byte_array_set_size(a, START_SIZE + MODULE_SIZE);
    memset(a->data, 0, a->len);
    st32_le(a->data, START_MAGIC);
    st32_le(a->data + 4, 1);
    if (initrd_size) {
        st32_le(a->data + S_MODULES, 1);
        st64_le(a->data + S_MODLIST, LOADER_INFO + START_SIZE);
        st64_le(a->data + START_SIZE, initrd);
        st64_le(a->data + START_SIZE + 8, initrd_size);
    }
    st64_le(a->data + S_CMDLINE, LOADER_INFO + a->len);
    st64_le(a->data + S_MAP, LOADER_MAP);
    g_byte_array_append(a, (const uint8_t *)cmdline, strlen(cmdline) + 1);
    return a;
}

static bool add_initrd(PCMachine *pc, const ElfImage *e, BootRom *rom, uint32_t *addr,
                       uint32_t *size, Error **err)
{
    LoaderImage m;
    uint64_t top = loader_top(pc);
    bool ok;

    *addr = *size = 0;
    if (!pc->m.initrd) {
        return true;
    }
    if (!loader_read(&m, "-initrd", pc->m.initrd, err)) {
        return false;
    }
    if (m.size > top || ((top - m.size) & GUEST_PAGE_MASK) < MAX(e->high, 0x100000)) {
        ok = fail(err, "-initrd: '%s' with its %zu bytes does not fit into the guest's memory",
                  m.path, m.size);
    } else {
        *addr = (top - m.size) & GUEST_PAGE_MASK;
        *size = m.size;
        fw_cfg_set_bytes(pc->fw_cfg, FW_CFG_INITRD_DATA, m.bytes);
        ok = boot_rom_load(rom, FW_CFG_INITRD_DATA, 0, *size, *addr, err);
    }
    loader_free(&m);
    return ok;
}

bool pvh_load(PCMachine *pc, const LoaderImage *k, Error **err)
{
    BootProtected how = {
        .ebx = LOADER_INFO, .map = LOADER_MAP, .map_max = LOADER_MAP_ROWS, .map_unit = 1,
        .count = LOADER_INFO + S_MAP_ROWS,
    };
    BootRom rom;
    ElfImage e;
    uint32_t initrd, initrd_size;
    GByteArray *info;
    bool ok;

    if (!elf_parse(k, loader_top(pc), &e, err)) {
        return false;
    }
    if (e.low < LOADER_LOW) {
        return fail(err, "-kernel: '%s' has a segment at 0x%x, where the guest has no free memory",
                    k->path, e.low);
    }
    boot_rom_init(&rom);
    if (!elf_add_loads(&e, &rom, FW_CFG_KERNEL_DATA, err)
        || !add_initrd(pc, &e, &rom, &initrd, &initrd_size, err)) {
        return false;
    }
    info = make_info(pc, initrd, initrd_size);
    elf_pvh_entry(k, &how.entry);
    boot_rom_protected(&rom, &how);
    fw_cfg_set_bytes(pc->fw_cfg, FW_CFG_KERNEL_DATA, k->bytes);
    fw_cfg_set(pc->fw_cfg, FW_CFG_CMDLINE_DATA, info->data, info->len);
    ok = (info->len <= 0xa000 - LOADER_INFO
          || fail(err, "-append: the command line is longer than a PVH kernel's can be"))
         && boot_rom_load(&rom, FW_CFG_CMDLINE_DATA, 0, info->len, LOADER_INFO, err)
         && boot_rom_publish(&rom, pc->fw_cfg, err);
    g_byte_array_unref(info);
    return ok;
}
