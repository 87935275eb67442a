/* SPDX-License-Identifier: MIT */
/*
 * Formats beside qcow2: random sequences against a model, judged by qemu-img if installed; errors
 * at any write; damaged images, each opened, used and checked with 256 MiB and within 5 s
 * (times ORRERY_PATIENCE).
 *
 * Environment, for `make check-disk`: DISK_SEQUENCES (of each writable format), DISK_ERRORS,
 * DISK_MUTATIONS (of each format), DISK_IMAGES (a folder with images of any format to be damaged
 * too, as tests/disk/test_img.py makes with qemu-img).
 */
#include "block/blkdebug.h"
#include "block/block.h"
#include "block/node.h"
#include "block/vhdx.h"
#include "util/bits.h"
#include "util/bql.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECTOR 512u

static char *dir;

static const struct {
    const char *name, *format, *options;        /* options: "key=value" or NULL */
    bool write;
} kinds[] = {
    { "raw", "raw", NULL, true },           { "vdi", "vdi", NULL, true },
    { "vpc", "vpc", "force_size=on", true }, { "vpc-fixed", "vpc", "subformat=fixed", true },
    { "vmdk", "vmdk", NULL, true },         { "vmdk-stream", "vmdk", "subformat=streamOptimized", false },
    { "vhdx", "vhdx", "block_size=1M", true }, { "vhdx-fixed", "vhdx", "subformat=fixed", true },
    { "qcow2", "qcow2", NULL, true },
};

static unsigned how_many(const char *variable, unsigned usual)
{
    const char *text = getenv(variable);
    return text ? atoi(text) : usual;
}

static uint32_t below(uint32_t n)
{
    return (uint32_t)g_test_rand_int() % n;
}

/* ---- images ------------------------------------------------------------------------------------ */

static char *make_image(int k, uint64_t size)
{
    char *path = g_build_filename(dir, kinds[k].name, NULL);
    g_autoptr(Json) o = json_object();
    Error *err = NULL;
    unlink(path);
    json_set_uint(o, "size", size);
    if (kinds[k].options) {
        g_auto(GStrv) pair = g_strsplit(kinds[k].options, "=", 2);
        json_set_str(o, pair[0], pair[1]);
    }
    g_assert_true(node_create_image(block_driver_find(kinds[k].format), path, o, &err));
    g_assert_no_error(err);
    return path;
}

static BlockNode *open_image(const char *path, const char *format, bool read_only, bool debug, Error **err)
{
    Json *o = json_object(), *f = json_object();
    json_set_str(f, "driver", "file");
    json_set_str(f, "filename", path);
    if (debug) {
        Json *d = json_object();
        json_set_str(d, "driver", "blkdebug");
        json_set_str(d, "node-name", "dbg");
        json_set(d, "file", f);
        f = d;
    }
    json_set_str(o, "driver", format);
    json_set(o, "file", f);
    return node_open(o, (BlockFlags) { .read_only = read_only, .unmap = true }, err);
}

static BlockNode *open_ok(const char *path, const char *format, bool debug)
{
    Error *err = NULL;
    BlockNode *n = open_image(path, format, false, debug, &err);
    g_assert_no_error(err);
    return n;
}

static void ask_qemu(const char *path, const char *format, const uint8_t *model, uint64_t size)
{
    g_autofree char *raw = g_build_filename(dir, "model.raw", NULL);
    g_autofree char *tool = g_find_program_in_path("qemu-img");
    bool can_check = strcmp(format, "raw") && strcmp(format, "vpc");
    if (!tool) {
        return;
    }
    g_assert_true(g_file_set_contents(raw, (const char *)model, size, NULL));
    g_autofree char *both = can_check
        ? g_strdup_printf("qemu-img check -q -f %s '%s' && qemu-img compare -q -f %s -F raw '%s' '%s'",
                          format, path, format, path, raw)
        : g_strdup_printf("qemu-img compare -q -f %s -F raw '%s' '%s'", format, path, raw);
    if (system(both) != 0) {
        g_test_message("%s", both);
        g_test_fail();
    }
}

/* ---- sequences ---------------------------------------------------------------------------------- */

static void step(BlockNode *n, uint8_t *model, uint64_t size, uint8_t *buf)
{
    uint64_t off = below(size / SECTOR) * SECTOR, len = (1 + below(below(4) ? 40 : 4000)) * SECTOR;
    len = MIN(len, size - off);
    switch (below(10)) {
    case 0: case 1: case 2: case 3: case 4:
        memset(model + off, 1 + below(255), len);
        g_assert_cmpint(node_pwrite(n, off, model + off, len), ==, 0);
        break;
    case 5: case 6:
        memset(model + off, 0, len);
        g_assert_cmpint(node_write_zeroes(n, off, len, below(2)), ==, 0);
        break;
    case 7:                             /* may leave anything: look what it left */
        g_assert_cmpint(node_discard(n, off, len), ==, 0);
        g_assert_cmpint(node_pread(n, off, model + off, len), ==, 0);
        break;
    case 8:
        g_assert_cmpint(node_flush(n), ==, 0);
        break;
    default:
        g_assert_cmpint(node_pread(n, off, buf, len), ==, 0);
        g_assert_cmpmem(buf, len, model + off, len);
    }
}

static void sequence(int k)
{
    uint64_t size = (1 + below(12000)) * SECTOR;
    g_autofree char *path = make_image(k, size);
    BlockNode *n = open_ok(path, kinds[k].format, false);
    g_assert_cmpint(node_length(n), >=, size);
    size = node_length(n);              /* a geometry may be longer */
    g_autofree uint8_t *model = g_malloc0(size), *buf = g_malloc(size);
    for (int i = 20 + below(60); i; i--) {
        step(n, model, size, buf);
        if (below(15) == 0) {
            node_unref(n);
            n = open_ok(path, kinds[k].format, false);
        }
    }
    node_unref(n);
    n = open_ok(path, kinds[k].format, false);
    g_assert_cmpint(node_pread(n, 0, buf, size), ==, 0);
    g_assert_cmpmem(buf, size, model, size);
    node_unref(n);
    ask_qemu(path, kinds[k].format, model, size);
}

static void test_sequences(void)
{
    for (unsigned i = how_many("DISK_SEQUENCES", 10); i; i--) {
        for (size_t k = 0; k < G_N_ELEMENTS(kinds); k++) {
            if (kinds[k].write) {
                sequence(k);
            }
        }
    }
}

/* ---- errors -------------------------------------------------------------------------------------- */

/* A write that fails may have changed its sectors or not; all others keep what they have, now and
 * after opening anew. */
static void errors_once(int k)
{
    uint64_t size = (100 + below(8000)) * SECTOR;
    g_autofree char *path = make_image(k, size);
    BlockNode *n = open_ok(path, kinds[k].format, true);
    size = node_length(n);
    g_autofree uint8_t *model = g_malloc0(size), *buf = g_malloc(size), *data = g_malloc(size);
    for (int i = 0; i < 60; i++) {
        uint64_t off = below(size / SECTOR) * SECTOR, len = (1 + below(300)) * SECTOR;
        len = MIN(len, size - off);
        memset(data, 1 + below(255), len);
        if (below(3) == 0) {
            block_inject("dbg", below(3) ? BLOCK_INJECT_WRITE : BLOCK_INJECT_FLUSH,
                         below(2) ? EIO : ENOSPC, -1, true);
        }
        int ret = below(8) ? node_pwrite(n, off, data, len) : node_flush(n);
        if (ret) {                      /* which of both?  It stays so. */
            g_assert_cmpint(node_pread(n, off, buf, len), ==, 0);
            for (uint64_t s = 0; s < len; s += SECTOR) {
                g_assert_true(!memcmp(buf + s, data + s, SECTOR) || !memcmp(buf + s, model + off + s, SECTOR));
                memcpy(model + off + s, buf + s, SECTOR);
            }
        } else {
            g_assert_cmpint(node_pread(n, off, buf, len), ==, 0);
            memcpy(model + off, buf, len);
        }
    }
    for (int i = 0; i < 40; i++) {      /* what is left of the injected ones */
        node_flush(n);
    }
    for (int i = 0; i < 40; i++) {
        memset(data, 0x77, SECTOR);
        if (node_pwrite(n, 0, data, SECTOR) == 0) {
            memcpy(model, data, SECTOR);
        }
    }
    g_assert_cmpint(node_flush(n), ==, 0);
    node_unref(n);
    n = open_ok(path, kinds[k].format, false);
    g_assert_cmpint(node_pread(n, 0, buf, size), ==, 0);
    g_assert_cmpmem(buf, size, model, size);
    node_unref(n);
}

static void test_errors(void)
{
    for (unsigned i = how_many("DISK_ERRORS", 12); i; i--) {
        for (size_t k = 0; k < G_N_ELEMENTS(kinds); k++) {
            if (kinds[k].write && strcmp(kinds[k].name, "raw")) {
                errors_once(k);
            }
        }
    }
}

/* ---- damaged images --------------------------------------------------------------------------------- */

static void use_image(BlockNode *n)
{
    int64_t length = node_length(n);
    g_autofree uint8_t *buf = g_malloc0(1 << 16);
    for (int i = 0; i < 20 && length > 0; i++) {
        uint64_t off = ((uint64_t)g_test_rand_int() << 20 ^ g_test_rand_int()) % length & ~511ull;
        uint64_t len = MIN((1 + below(100)) * SECTOR, (uint64_t)length - off);
        BlockStatus st;
        switch (below(6)) {
        case 0: node_pwrite(n, off, buf, len); break;
        case 1: node_write_zeroes(n, off, len, true); break;
        case 2: node_discard(n, off, len); break;
        case 3: node_status(n, off, len, &st); break;
        case 4: node_flush(n); break;
        default: node_pread(n, off, buf, len);
        }
    }
}

static void mutate(uint8_t *data, size_t len)
{
    for (int i = 1 + below(4); i; i--) {
        size_t at = below(3) ? below(MIN(len, 2048)) : below(4) ? below(MIN(len, 300000)) : below(len);
        switch (below(5)) {
        case 0: data[at] = below(256); break;
        case 1: data[at] = 0xff; break;
        case 2: data[at] ^= 1 << below(8); break;
        case 3: data[at] = '0' + below(10); break;
        default:
            for (size_t j = 0; j < 8 && at + j < len; j++) {
                data[at + j] = below(3) ? 0xff : below(256);
            }
        }
    }
}

/* A log that hangs together but says what it should not: its checksums are right. */
static void mutate_log(uint8_t *image, size_t len)
{
    uint8_t *header = image + VHDX_KB64 * (1 + (ld64_le(image + VHDX_KB64 + H_SEQUENCE)
                                                < ld64_le(image + VHDX_KB64 * 2 + H_SEQUENCE)));
    uint8_t *log = image + VHDX_MB;
    uint32_t length = ld32_le(log + 8);
    g_assert_cmpuint(VHDX_MB + length, <=, len);
    for (int i = 1 + below(3); i; i--) {
        size_t at = below(4) ? 8 + below(56) : below(3) ? 64 + below(64) : below(length);
        uint64_t odd[] = { 0, 1, 4096, 1 << 20, UINT32_MAX & ~4095u, 1ull << 40, UINT64_MAX & ~4095ull,
                           INT64_MAX & ~4095ull, below(1 << 24) & ~4095u, below(256) };
        uint64_t value = odd[below(G_N_ELEMENTS(odd))];
        memcpy(log + at, &value, MIN(below(2) ? 4 : 8, length - at));
    }
    if (below(3) == 0) {
        st32_le(header + H_LOG_LENGTH, below(2) ? VHDX_MB * below(80) : (uint32_t)g_test_rand_int());
        st32_le(header + H_CHECKSUM, vhdx_checksum(header, VHDX_HEADER));
    }
    if (below(8)) {
        memcpy(log + 32, header + H_LOG_GUID, 16);
    }
    uint32_t covered = ld32_le(log + 8) <= len - VHDX_MB ? MAX(ld32_le(log + 8), 8) : length;
    st32_le(log + H_CHECKSUM, vhdx_checksum(log, covered));
}

/* In a process of its own. */
/* Of CPU time, which a busy host does not stretch (SIGPROF); much longer for what waits (SIGALRM).
 * 0: none. */
static void time_limit(unsigned seconds)
{
    struct itimerval t = { .it_value.tv_sec = seconds };
    setitimer(ITIMER_PROF, &t, NULL);
    alarm(24 * seconds);
}

static void damage(const char *name, const char *format, const uint8_t *good, size_t len, unsigned count)
{
    g_autofree char *path = g_build_filename(dir, "bad", NULL);
    g_autofree uint8_t *bad = g_malloc(len);
    struct rlimit memory = { 256 << 20, 256 << 20 };
#ifndef __SANITIZE_ADDRESS__
    setrlimit(RLIMIT_DATA, &memory);
#else
    (void)memory;
#endif
    for (unsigned i = 0; i < count; i++) {
        memcpy(bad, good, len);
        if (!strcmp(name, "vhdx-dirty")) {
            mutate_log(bad, len);
        } else {
            mutate(bad, len);
        }
        size_t cut = below(20) ? len : below(len);
        g_assert_true(g_file_set_contents(path, (char *)bad, cut, NULL));
        time_limit(5);
        BlockNode *n = open_image(path, format, below(2), false, NULL);
        if (n) {
            BlockCheck c;
            use_image(n);
            if (n->driver->check) {
                n->driver->check(n, n->flags.read_only ? 0 : 3, &c, NULL, NULL);
            }
            use_image(n);
            node_unref(n);
        }
        time_limit(0);
    }
}

static void damage_all(const char *name, const char *format, const char *path, unsigned count)
{
    g_autofree char *good = NULL;
    gsize len;
    g_assert_true(g_file_get_contents(path, &good, &len, NULL));
    for (unsigned done = 0; done < count; done += 50) {
        int status;
        below(2);                       /* the next child begins elsewhere */
        pid_t pid = fork();
        g_assert_cmpint(pid, >=, 0);
        if (!pid) {
            damage(name, format, (uint8_t *)good, len, MIN(50, count - done));
            _exit(0);
        }
        waitpid(pid, &status, 0);
        if (status) {
            g_test_message("%s: status %d", name, status);
            g_test_fail();
            return;
        }
    }
}

/* As a crash leaves it: the log names what the BAT may not have. */
static char *unclosed_vhdx(void)
{
    g_autofree char *path = g_build_filename(dir, "open", NULL), *data = NULL;
    char *out = g_build_filename(dir, "unclosed", NULL);
    g_autoptr(Json) o = json_object();
    uint8_t buf[SECTOR] = { 1 };
    gsize len;
    json_set_uint(o, "size", 20 << 20);
    json_set_str(o, "block_size", "1M");
    g_assert_true(node_create_image(block_driver_find("vhdx"), path, o, NULL));
    BlockNode *n = open_ok(path, "vhdx", false);
    for (int i = 0; i < 4; i++) {
        g_assert_cmpint(node_pwrite(n, i << 20, buf, sizeof(buf)), ==, 0);
    }
    g_assert_cmpint(node_flush(n), ==, 0);
    g_assert_true(g_file_get_contents(path, &data, &len, NULL));
    g_assert_true(g_file_set_contents(out, data, len, NULL));
    node_unref(n);
    return out;
}

static void test_mutations(void)
{
    unsigned count = how_many("DISK_MUTATIONS", 100);
    const char *folder = getenv("DISK_IMAGES");
    for (size_t k = 0; k < G_N_ELEMENTS(kinds); k++) {
        g_autofree char *path = make_image(k, 3 << 20);
        if (kinds[k].write) {
            BlockNode *n = open_ok(path, kinds[k].format, false);
            uint64_t size = node_length(n);
            g_autofree uint8_t *model = g_malloc0(size), *buf = g_malloc(size);
            for (int i = 0; i < 20; i++) {
                step(n, model, size, buf);
            }
            node_unref(n);
        }
        damage_all(kinds[k].name, kinds[k].format, path, count);
    }
    g_autofree char *dirty = unclosed_vhdx();
    damage_all("vhdx-dirty", "vhdx", dirty, count);
    GDir *d = folder ? g_dir_open(folder, 0, NULL) : NULL;
    for (const char *name; d && (name = g_dir_read_name(d));) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        const char *dot = strrchr(name, '.');
        if (dot && block_driver_find(dot + 1)) {
            damage_all(name, dot + 1, path, count);
        }
    }
    if (d) {
        g_dir_close(d);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    bql_lock();
    if (access("/dev/shm", W_OK) == 0) {
        g_setenv("TMPDIR", "/dev/shm", FALSE);  /* nothing here is about waiting for a disk */
    }
    dir = g_dir_make_tmp("orrery-formats-XXXXXX", NULL);
    g_test_add_func("/formats/sequences", test_sequences);
    g_test_add_func("/formats/errors", test_errors);
    g_test_add_func("/formats/mutations", test_mutations);
    int ret = g_test_run();
    g_autofree char *remove = g_strdup_printf("rm -rf '%s'", dir);
    return system(remove) ? 1 : ret;
}
