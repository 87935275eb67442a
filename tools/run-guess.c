/* SPDX-License-Identifier: MIT */
/*
 * orrery run: what a file is (ISO 9660 disc, hard disk of any format, floppy, kernel) and what
 * system seems to be on it.
 *
 * Sources: ECMA-119 (ISO 9660) 8.4, 9.1; El Torito 1.0; UEFI 2.10 chapter 5 (partition tables);
 * Linux Documentation/arch/x86/boot.rst.  A guess decides between defaults only; a wrong one is
 * put right with an option (--virtio, --compatible).
 */
#include "tools/run.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "block/node.h"
#include "util/bits.h"

#define HEAD 0x9000u                    /* up to the volume descriptors, and two more */

/* ---- files that are no medium ------------------------------------------------------------------ */

static const struct {
    unsigned at, len;
    const char *magic, *what;
} not_media[] = {
    { 0, 2, "\x1f\x8b", "is compressed: unpack it first (gunzip)" },
    { 0, 6, "\xfd""7zXZ\0", "is compressed: unpack it first (unxz)" },
    { 0, 4, "\x28\xb5\x2f\xfd", "is compressed: unpack it first (unzstd)" },
    { 0, 3, "BZh", "is compressed: unpack it first (bunzip2)" },
    { 0, 4, "PK\3\4", "is a zip archive: unpack it and give what is in it" },
    { 0, 6, "7z\xbc\xaf\x27\x1c", "is a 7-Zip archive: unpack it and give what is in it" },
    { 257, 5, "ustar", "is a tar archive (an OVA appliance?): unpack it and give the disk in it (.vmdk)" },
    { 0, 6, "070701", "is an initramfs: give the kernel, and this file with --initrd" },
    { 0x38, 4, "ARMd", "is a kernel for 64-bit ARM; this machine is a PC (x86)" },
};

static bool is_elf_kernel(const uint8_t *h, Error **err)
{
    unsigned type = ld16_le(h + 16), machine = ld16_le(h + 18);
    if (machine != 3 && machine != 62) {
        return fail(err, "is a program for another processor; this machine is a PC (x86)");
    }
    return type == 2 || fail(err, "is a program or a library, not a kernel that starts by itself");
}

/* 1: a kernel, 0: something else, -1: nothing that can be run */
static int kernel_or_not(const uint8_t *h, uint64_t size, Error **err)
{
    for (size_t i = 0; i < G_N_ELEMENTS(not_media); i++) {
        if (!memcmp(h + not_media[i].at, not_media[i].magic, not_media[i].len)) {
            fail(err, "%s", not_media[i].what);
            return -1;
        }
    }
    if (ld16_le(h + 0x1fe) == 0xaa55 && !memcmp(h + 0x202, "HdrS", 4)) {
        return 1;
    }
    if (!memcmp(h, "\177ELF", 4)) {
        return is_elf_kernel(h, err) ? 1 : -1;
    }
    if (h[0] == 'M' && h[1] == 'Z' && size < (1 << 24)) {
        fail(err, "is an EFI or Windows program, not a kernel for Linux' boot protocol");
        return -1;
    }
    return 0;
}

/* A file of this host: is there something to read, and is it a kernel?  As kernel_or_not. */
static int look_at_file(const char *name, Error **err)
{
    uint8_t h[4096] = { 0 };
    struct stat st;
    int fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0) {
        fail_errno(err, errno, "can't be read");
        if (fd >= 0) {
            close(fd);
        }
        return -1;
    }
    int found = -1;
    if (S_ISDIR(st.st_mode)) {
        fail(err, "is a folder; give a disk image, an ISO or a kernel");
    } else if (S_ISREG(st.st_mode) && !st.st_size) {
        fail(err, "is empty");
    } else if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)) {
        fail(err, "is neither a file nor a disk");
    } else if (pread(fd, h, sizeof(h), 0) < 0) {
        fail_errno(err, errno, "can't be read");
    } else {
        found = kernel_or_not(h, st.st_size, err);
    }
    close(fd);
    return found;
}

/* ---- discs --------------------------------------------------------------------------------------- */

/* Names in the root folder that tell whose disc it is; ISO 9660 writes them in capitals. */
static const struct {
    const char *name;
    RunSystem system;
} disc_names[] = {
    { "BOOTMGR", RUN_WINDOWS },  { "SOURCES", RUN_WINDOWS }, { "I386", RUN_WINDOWS },
    { "CASPER", RUN_LINUX },     { "LIVE", RUN_LINUX },      { "LIVEOS", RUN_LINUX },
    { "ISOLINUX", RUN_LINUX },   { "DISTS", RUN_LINUX },     { "ARCH", RUN_LINUX },
    { "SYSLINUX", RUN_LINUX },   { "INSTALL", RUN_LINUX },   { "INSTALL.AMD", RUN_LINUX },
    { "INSTALL.386", RUN_LINUX }, { "IMAGES", RUN_LINUX },   { "APKS", RUN_LINUX },
};

static RunSystem system_of_root(const uint8_t *dir, size_t len)
{
    for (size_t at = 0; at + 33 < len;) {
        unsigned record = dir[at], name = dir[at + 32];
        if (!record) {                  /* records don't cross sectors */
            at = (at / 2048 + 1) * 2048;
            continue;
        }
        if (at + 33 + name > len) {
            break;
        }
        for (size_t i = 0; i < G_N_ELEMENTS(disc_names); i++) {
            size_t n = strlen(disc_names[i].name);
            const char *s = (const char *)dir + at + 33;
            if (name >= n && !g_ascii_strncasecmp(s, disc_names[i].name, n)
                && (name == n || s[n] == ';' || s[n] == '.')) {
                return disc_names[i].system;
            }
        }
        at += record;
    }
    return RUN_UNKNOWN;
}

/* The boot catalogue: a validation entry, the default one, then sections for other platforms. */
static void look_at_catalogue(const uint8_t *c, size_t len, RunGuess *g)
{
    bool x86 = c[0] == 1 && c[1] == 0, efi = c[0] == 1 && c[1] == 0xef;
    g->bios = x86 && c[32] == 0x88;
    g->uefi = efi && c[32] == 0x88;
    for (size_t at = 64; at + 32 <= len && (c[at] == 0x90 || c[at] == 0x91); at += 32) {
        unsigned entries = ld16_le(c + at + 2);
        g->uefi |= c[at + 1] == 0xef;
        g->bios |= c[at + 1] == 0 && entries;
        at += 32 * entries;
    }
}

static void look_at_disc(BlockNode *n, const uint8_t *h, RunGuess *g)
{
    uint8_t sector[8192] = { 0 };
    const uint8_t *volume = h + 0x8000, *boot = h + 0x8800;
    g->kind = RUN_DISC;
    if (volume[0] == 1 && !memcmp(volume + 1, "CD001", 5)) {
        g->label = g_strchomp(g_strndup((const char *)volume + 40, 32));
        for (char *p = g->label; *p; p++) {
            *p = g_ascii_isprint(*p) ? *p : '?';
        }
        uint64_t at = (uint64_t)ld32_le(volume + 158) * 2048;
        size_t len = MIN(ld32_le(volume + 166), sizeof(sector));
        if (at < g->size && node_pread(n, at, sector, MIN(len, g->size - at)) == 0) {
            g->system = system_of_root(sector, len);
        }
    }
    if (!boot[0] && !memcmp(boot + 7, "EL TORITO SPECIFICATION", 23)) {
        uint64_t at = (uint64_t)ld32_le(boot + 0x47) * 2048;
        memset(sector, 0, 2048);
        if (at + 2048 <= g->size && node_pread(n, at, sector, 2048) == 0) {
            look_at_catalogue(sector, 2048, g);
        }
    }
}

/* ---- disks --------------------------------------------------------------------------------------- */

/* First halves of partition types' GUIDs, as they are on the disk. */
static const struct {
    uint8_t guid[8];
    RunSystem system;
    bool esp, bios_boot;
} gpt_types[] = {
    { { 0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47 }, RUN_LINUX },      /* file system */
    { { 0xe3, 0xbc, 0x68, 0x4f, 0xcd, 0xe8, 0xb1, 0x4d }, RUN_LINUX },      /* root, x86-64 */
    { { 0x79, 0xd3, 0xd6, 0xe6, 0x07, 0xf5, 0xc2, 0x44 }, RUN_LINUX },      /* LVM */
    { { 0x6d, 0xfd, 0x57, 0x06, 0xab, 0xa4, 0xc4, 0x43 }, RUN_LINUX },      /* swap */
    { { 0xff, 0xc2, 0x13, 0xbc, 0xe6, 0x59, 0x62, 0x42 }, RUN_LINUX },      /* boot loader */
    { { 0x16, 0xe3, 0xc9, 0xe3, 0x5c, 0x0b, 0xb8, 0x4d }, RUN_WINDOWS },    /* Microsoft reserved */
    { { 0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11 }, RUN_UNKNOWN, .esp = true },
    { { 0x48, 0x61, 0x68, 0x21, 0x49, 0x64, 0x6f, 0x6e }, RUN_UNKNOWN, .bios_boot = true },
};

static void look_at_gpt(BlockNode *n, const uint8_t *header, bool boot_code, RunGuess *g)
{
    uint64_t at = ld64_le(header + 72) * 512;
    unsigned count = MIN(ld32_le(header + 80), 128u), size = ld32_le(header + 84);
    bool esp = false, bios = false;
    if (size < 128 || size > 1024) {
        return;
    }
    g_autofree uint8_t *table = g_malloc0((size_t)count * size);
    if (at >= g->size || (uint64_t)count * size > g->size - at
        || node_pread(n, at, table, (size_t)count * size) < 0) {
        return;
    }
    for (unsigned i = 0; i < count; i++) {
        for (size_t k = 0; k < G_N_ELEMENTS(gpt_types); k++) {
            if (!memcmp(table + i * size, gpt_types[k].guid, 8)) {
                g->system = g->system ? g->system : gpt_types[k].system;
                esp |= gpt_types[k].esp;
                bios |= gpt_types[k].bios_boot;
            }
        }
    }
    g->uefi = esp;
    g->bios = bios || (boot_code && !esp);
}

static RunSystem system_of_mbr(const uint8_t *h)
{
    for (int i = 0; i < 4; i++) {
        switch (h[446 + 16 * i + 4]) {
        case 0x82: case 0x83: case 0x8e: case 0xfd:
            return RUN_LINUX;
        case 0x07:
            return RUN_WINDOWS;
        }
    }
    return RUN_UNKNOWN;
}

static bool all_zero(const uint8_t *p, size_t n)
{
    return !n || (!p[0] && !memcmp(p, p + 1, n - 1));
}

static void look_at_disk(BlockNode *n, const uint8_t *h, RunGuess *g)
{
    static const uint64_t floppies[] = { 160, 180, 320, 360, 720, 1200, 1440, 2880 };
    bool signature = ld16_le(h + 510) == 0xaa55, code = !all_zero(h, 440);
    g->kind = RUN_DISK;
    for (size_t i = 0; i < G_N_ELEMENTS(floppies); i++) {
        if (g->size == floppies[i] * 1024 && !strcmp(g->format, "raw")) {
            g->kind = RUN_FLOPPY;
        }
    }
    g->empty = all_zero(h, MIN(HEAD, g->size));
    if (!memcmp(h + 512, "EFI PART", 8)) {
        look_at_gpt(n, h + 512, code, g);
    } else if (signature) {
        g->system = g->kind == RUN_DISK ? system_of_mbr(h) : RUN_UNKNOWN;
        g->bios = code;
    } else if (ld16_le(h + 0x438) == 0xef53) {
        g->system = RUN_LINUX;          /* ext2, 3, 4 without partitions */
    }
}

/* ---- all together -------------------------------------------------------------------------------- */

static bool is_url(const char *name)
{
    return strstr(name, "://") || g_str_has_prefix(name, "nbd:") || g_str_has_prefix(name, "json:");
}

static bool look_at_medium(const char *name, RunGuess *g, Error **err)
{
    BlockFlags flags = { .read_only = true, .no_lock = true };
    uint8_t *h = g_malloc0(HEAD);
    BlockNode *n = node_open_file(name, NULL, json_object(), flags, err);
    if (!n) {
        g_free(h);
        return false;
    }
    if (!node_usable_medium(n, err)) {
        node_unref(n);
        g_free(h);
        return false;
    }
    g->size = MAX(node_length(n), 0);
    g->format = g_strdup(n->driver->name);
    int r = g->size ? node_pread(n, 0, h, MIN(HEAD, g->size)) : 0;
    if (r < 0) {
        fail_errno(err, -r, "can't be read");
    } else if (!memcmp(h + 0x8001, "CD001", 5) || !memcmp(h + 0x8001, "BEA01", 5)) {
        look_at_disc(n, h, g);
    } else {
        look_at_disk(n, h, g);
    }
    node_unref(n);
    g_free(h);
    return r >= 0;
}

bool run_guess(const char *name, RunGuess *g, Error **err)
{
    *g = (RunGuess) { RUN_DISK };
    int kernel = is_url(name) ? 0 : look_at_file(name, err);
    bool ok = kernel >= 0;
    if (kernel > 0) {
        g->kind = RUN_KERNEL;
        g->system = RUN_LINUX;
    } else if (ok) {
        ok = look_at_medium(name, g, err);
    }
    if (!ok && err && *err) {
        /* "NAME: can't be read: ...", but the block layer's messages name it already */
        if (!strstr((*err)->message, name)) {
            g_prefix_error(err, "%s: ", name);
        }
    }
    return ok;
}

void run_guess_free(RunGuess *g)
{
    g_free(g->format);
    g_free(g->label);
}

char *run_describe(const RunGuess *g)
{
    static const char *const systems[] = { "", " with Linux", " with Windows" };
    static const char *const kinds[] = { "a disc", "a disk", "a floppy disk" };
    if (g->kind == RUN_KERNEL) {
        return g_strdup("a kernel");
    }
    g_autofree char *label = g->label && *g->label ? g_strdup_printf(" '%s'", g->label) : g_strdup("");
    g_autofree char *format = g->kind == RUN_DISK ? g_strdup_printf(", format %s", g->format)
                                                  : g_strdup("");
    return g_strdup_printf("%s%s%s%s", kinds[g->kind], label, systems[g->system], format);
}
