/* SPDX-License-Identifier: MIT */
/*
 * Linux kernels: zImage and bzImage, entered in real mode at their setup code.
 *
 * Source: Linux documentation, "The Linux/x86 Boot Protocol" (2.00 to 2.15).
 *
 *                        protocol < 2.02 or zImage      2.02 and later
 *     setup code         90000h                         10000h
 *     command line       below 9A000h                   20000h
 *     kernel             zImage 10000h, bzImage 100000h
 *     initrd             as high as the kernel can take it, below 4 GiB and firmware tables
 */
#include "hw/i386/loader.h"
#include "hw/nvram/fw_cfg.h"
#include "util/bits.h"
#include "util/parse.h"

#include <string.h>

/* Fields of the setup header, as offsets in the file */
#define H_SETUP_SECTS   0x1f1
#define H_VID_MODE      0x1fa
#define H_BOOT_FLAG     0x1fe
#define H_MAGIC         0x202
#define H_VERSION       0x206
#define H_TYPE_LOADER   0x210
#define H_LOADFLAGS     0x211
#define H_RAMDISK_IMAGE 0x218
#define H_RAMDISK_SIZE  0x21c
#define H_HEAP_END      0x224
#define H_CMD_LINE_PTR  0x228
#define H_INITRD_MAX    0x22c
#define H_XLOADFLAGS    0x236
#define H_CMDLINE_SIZE  0x238
/* ... of kernels before 2.02: where the command line is, in the first sector */
#define H_OLD_MAGIC     0x20
#define H_OLD_OFFSET    0x22
#define OLD_CL_MAGIC    0xa33f

#define MAGIC_HDRS      0x53726448      /* "HdrS" */
#define LOADED_HIGH     0x01
#define CAN_USE_HEAP    0x80
#define XLF_ABOVE_4G    0x0002
#define LOADER_UNKNOWN  0xb0            /* QEMU's number: kernels know what to expect of it */

#define ZIMAGE_MAX      (0x90000 - 0x10000)
#define OLD_INITRD_MAX  0x37ffffff

typedef struct LinuxPlan {
    PCMachine *pc;
    const LoaderImage *kernel;
    unsigned protocol;                  /* 0x020f; 0 = before 2.00 */
    bool high;                          /* bzImage */
    uint32_t setup_size;
    uint32_t setup_addr, cmdline_addr, kernel_addr;
    uint64_t initrd_max;                /* last byte it may have */
    char *cmdline;
    uint8_t *setup;                     /* copy of the setup code, header filled in */
} LinuxPlan;

bool linux_probe(const LoaderImage *k)
{
    if (k->size < 0x260 || ld16_le(k->data + H_BOOT_FLAG) != 0xaa55) {
        return false;
    }
    /* before 2.00 there is nothing but the boot sector's end to know it by */
    return ld32_le(k->data + H_MAGIC) == MAGIC_HDRS || !elf_probe(k);
}

static bool plan_setup(LinuxPlan *p, Error **err)
{
    const uint8_t *h = p->kernel->data;
    unsigned sectors = h[H_SETUP_SECTS] ? h[H_SETUP_SECTS] : 4;

    p->protocol = ld32_le(h + H_MAGIC) == MAGIC_HDRS ? ld16_le(h + H_VERSION) : 0;
    if (p->protocol && (p->protocol < 0x200 || p->protocol >= 0x300)) {
        return fail(err, "-kernel: '%s' wants boot protocol %u.%02u, which is not known",
                    p->kernel->path, p->protocol >> 8, p->protocol & 0xff);
    }
    p->high = p->protocol >= 0x200 && (h[H_LOADFLAGS] & LOADED_HIGH);
    p->setup_size = (sectors + 1) * 512;
    if (p->setup_size >= p->kernel->size) {
        return fail(err, "-kernel: '%s' is cut short: %zu bytes, of which setup code takes %u",
                    p->kernel->path, p->kernel->size, p->setup_size);
    }
    return true;
}

static bool plan_memory(LinuxPlan *p, Error **err)
{
    size_t kernel = p->kernel->size - p->setup_size, cmdline = strlen(p->cmdline) + 1;
    uint64_t top = loader_top(p->pc);

    if (p->high && p->protocol >= 0x202) {
        p->setup_addr = 0x10000;
        p->cmdline_addr = 0x20000;
    } else {
        p->setup_addr = 0x90000;
        p->cmdline_addr = 0x9a000 - ((cmdline + 15) & ~15u);
    }
    p->kernel_addr = p->high ? 0x100000 : 0x10000;
    if (!p->high && kernel > ZIMAGE_MAX) {
        return fail(err, "-kernel: zImage '%s' has %zu bytes, %u are possible", p->kernel->path,
                    kernel, ZIMAGE_MAX);
    }
    if (p->high && p->kernel_addr + (uint64_t)kernel > top) {
        return fail(err, "-kernel: '%s' with its %zu bytes does not fit into the guest's memory",
                    p->kernel->path, kernel);
    }
    return true;
}

/* The longest command line the kernel takes, without the NUL. */
static size_t cmdline_max(const LinuxPlan *p)
{
    size_t max = p->protocol >= 0x206 ? ld32_le(p->kernel->data + H_CMDLINE_SIZE) : 255;
    return MIN(max, 0xffff);
}

static bool check_cmdline(const LinuxPlan *p, Error **err)
{
    size_t len = strlen(p->cmdline), max = cmdline_max(p);

    return len <= max || fail(err, "-append: the command line has %zu characters, this kernel "
                              "takes %zu", len, max);
}

static void plan_initrd(LinuxPlan *p)
{
    const uint8_t *h = p->kernel->data;
    uint64_t top = loader_top(p->pc);

    if (p->protocol >= 0x20c && (ld16_le(h + H_XLOADFLAGS) & XLF_ABOVE_4G)) {
        p->initrd_max = UINT32_MAX;
    } else if (p->protocol >= 0x203) {
        p->initrd_max = ld32_le(h + H_INITRD_MAX);
    } else {
        p->initrd_max = OLD_INITRD_MAX;
    }
    if (top && p->initrd_max >= top) {
        p->initrd_max = top - 1;
    }
}

/* ---- what goes into the header ------------------------------------------------------- */

/* vga= is for the loader, not for the kernel, which reads the header field. */
static bool set_video_mode(LinuxPlan *p, Error **err)
{
    const char *arg = strstr(p->cmdline, "vga=");
    char value[16] = "";
    uint64_t mode;

    if (!arg || (arg != p->cmdline && arg[-1] != ' ')) {
        return true;
    }
    for (size_t n = 0; n < sizeof(value) - 1 && arg[4 + n] && arg[4 + n] != ' '; n++) {
        value[n] = arg[4 + n];
    }
    if (!strcmp(value, "normal")) {
        mode = 0xffff;
    } else if (!strncmp(value, "ext", 3)) {
        mode = 0xfffe;
    } else if (!strcmp(value, "ask")) {
        mode = 0xfffd;
    } else if (!parse_uint(value, &mode) || mode > 0xffff) {
        return fail(err, "-append: vga=%s is not a video mode", value);
    }
    st16_le(p->setup + H_VID_MODE, mode);
    return true;
}

static void set_header(LinuxPlan *p)
{
    uint8_t *h = p->setup;

    if (p->protocol >= 0x202) {
        st32_le(h + H_CMD_LINE_PTR, p->cmdline_addr);
    } else {
        st16_le(h + H_OLD_MAGIC, OLD_CL_MAGIC);
        st16_le(h + H_OLD_OFFSET, p->cmdline_addr - p->setup_addr);
    }
    if (p->protocol >= 0x200) {
        h[H_TYPE_LOADER] = LOADER_UNKNOWN;
    }
    if (p->protocol >= 0x201) {
        h[H_LOADFLAGS] |= CAN_USE_HEAP;
        st16_le(h + H_HEAP_END, p->cmdline_addr - p->setup_addr - 0x200);
    }
}

static bool add_initrd(LinuxPlan *p, BootRom *rom, Error **err)
{
    Device *fw = p->pc->fw_cfg;
    LoaderImage initrd;
    uint64_t lowest = p->high ? p->kernel_addr + (p->kernel->size - p->setup_size) : 0x100000;
    bool ok = true;

    if (p->protocol < 0x200) {
        return fail(err, "-initrd: this kernel is too old to take one");
    }
    if (!loader_read(&initrd, "-initrd", p->pc->m.initrd, err)) {
        return false;
    }
    if (initrd.size > p->initrd_max || p->initrd_max - initrd.size < lowest) {
        ok = fail(err, "-initrd: '%s' has %zu bytes, there is room for %" G_GINT64_FORMAT
                  " (give the guest more memory)", initrd.path, initrd.size,
                  MAX((int64_t)(p->initrd_max - lowest), 0));
    } else {
        uint32_t addr = (p->initrd_max + 1 - initrd.size) & GUEST_PAGE_MASK;
        st32_le(p->setup + H_RAMDISK_IMAGE, addr);
        st32_le(p->setup + H_RAMDISK_SIZE, initrd.size);
        fw_cfg_set_u32(fw, FW_CFG_INITRD_ADDR, addr);
        fw_cfg_set_u32(fw, FW_CFG_INITRD_SIZE, initrd.size);
        fw_cfg_set_bytes(fw, FW_CFG_INITRD_DATA, initrd.bytes);
        ok = boot_rom_load(rom, FW_CFG_INITRD_DATA, 0, initrd.size, addr, err);
    }
    loader_free(&initrd);
    return ok;
}

/* ---- handing over -------------------------------------------------------------------- */

/* The numbered items are what other firmware (OVMF, qboot) boots the kernel by. */
static bool add_items(LinuxPlan *p, BootRom *rom, Error **err)
{
    Device *fw = p->pc->fw_cfg;
    size_t kernel = p->kernel->size - p->setup_size, cmdline = strlen(p->cmdline) + 1;
    GBytes *body = g_bytes_new_from_bytes(p->kernel->bytes, p->setup_size, kernel);

    fw_cfg_set_u32(fw, FW_CFG_KERNEL_ADDR, p->kernel_addr);
    fw_cfg_set_u32(fw, FW_CFG_KERNEL_SIZE, kernel);
    fw_cfg_set_bytes(fw, FW_CFG_KERNEL_DATA, body);
    g_bytes_unref(body);
    fw_cfg_set_u32(fw, FW_CFG_SETUP_ADDR, p->setup_addr);
    fw_cfg_set_u32(fw, FW_CFG_SETUP_SIZE, p->setup_size);
    fw_cfg_set(fw, FW_CFG_SETUP_DATA, p->setup, p->setup_size);
    fw_cfg_set_u32(fw, FW_CFG_CMDLINE_ADDR, p->cmdline_addr);
    fw_cfg_set_u32(fw, FW_CFG_CMDLINE_SIZE, cmdline);
    fw_cfg_set(fw, FW_CFG_CMDLINE_DATA, p->cmdline, cmdline);
    return boot_rom_load(rom, FW_CFG_KERNEL_DATA, 0, kernel, p->kernel_addr, err)
           && boot_rom_load(rom, FW_CFG_SETUP_DATA, 0, p->setup_size, p->setup_addr, err)
           && boot_rom_load(rom, FW_CFG_CMDLINE_DATA, 0, cmdline, p->cmdline_addr, err);
}

static bool load_plan(LinuxPlan *p, Error **err)
{
    BootRom rom;

    if (!plan_setup(p, err) || !plan_memory(p, err) || !check_cmdline(p, err)) {
        return false;
    }
    plan_initrd(p);
    p->setup = g_memdup2(p->kernel->data, p->setup_size);
    if (!set_video_mode(p, err)) {
        return false;
    }
    set_header(p);
    boot_rom_init(&rom);
    /* the setup code's stack and heap end where the command line begins */
    boot_rom_real(&rom, p->setup_addr >> 4, p->cmdline_addr - p->setup_addr - 16);
    return (!p->pc->m.initrd || add_initrd(p, &rom, err)) && add_items(p, &rom, err)
           && boot_rom_publish(&rom, p->pc->fw_cfg, err);
}

bool linux_load(PCMachine *pc, const LoaderImage *k, Error **err)
{
    LinuxPlan p = {
        .pc = pc, .kernel = k, .cmdline = g_strdup(pc->m.append ? pc->m.append : ""),
    };
    bool ok = load_plan(&p, err);

    g_free(p.cmdline);
    g_free(p.setup);
    return ok;
}
