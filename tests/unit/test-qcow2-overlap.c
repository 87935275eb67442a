/* SPDX-License-Identifier: MIT */
/*
 * qcow2's overlap-check: broken references and counts that lead a write to a table.  It must fail
 * and leave the table alone, and the image must say from then on that it is corrupt.
 */
#include "block/block.h"
#include "block/node.h"
#include "block/qcow2.h"
#include "util/bits.h"
#include "util/bql.h"
#include "util/mainloop.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define CLUSTER 65536u
#define GUEST (1u << 20)                /* where the broken reference is */

static char *dir, *path;

static uint64_t get(uint64_t at)
{
    uint8_t raw[8];
    int fd = open(path, O_RDONLY);
    g_assert_cmpint(pread(fd, raw, 8, at), ==, 8);
    close(fd);
    return ld64_be(raw);
}

static void put(uint64_t at, uint64_t value, unsigned bytes)
{
    uint8_t raw[8];
    int fd = open(path, O_WRONLY);
    st64_be(raw, value);
    g_assert_cmpint(pwrite(fd, raw + 8 - bytes, bytes, at), ==, bytes);
    close(fd);
}

static BlockNode *open_with(const char *key, const char *value, const char *key2, bool on, Error **err)
{
    Json *o = json_object();
    if (key2) {
        Json *group = json_object();
        json_set_str(group, key, value);
        json_set_bool(group, key2, on);
        json_set(o, "overlap-check", group);
    } else if (key) {
        json_set_str(o, key, value);
    }
    return node_open_file(path, "qcow2", o, (BlockFlags) { .unmap = true }, err);
}

static BlockNode *open_ok(const char *key, const char *value, const char *key2, bool on)
{
    Error *err = NULL;
    BlockNode *n = open_with(key, value, key2, on, &err);
    g_assert_no_error(err);
    return n;
}

/* Two clusters of data, a snapshot of the first one. */
static void make_image(void)
{
    g_autoptr(Json) o = json_object();
    uint8_t buf[512];
    Error *err = NULL;
    BlockSnapshot s = { .name = (char *)"s", .icount = UINT64_MAX };
    memset(buf, 0x11, sizeof(buf));
    unlink(path);
    json_set_uint(o, "size", 64 << 20);
    g_assert_true(node_create_image(block_driver_find("qcow2"), path, o, &err));
    BlockNode *n = open_ok(NULL, NULL, NULL, false);
    g_assert_cmpint(node_pwrite(n, 0, buf, sizeof(buf)), ==, 0);
    g_assert_true(n->driver->snapshot_create(n, &s, &err));
    g_assert_cmpint(node_pwrite(n, GUEST, buf, sizeof(buf)), ==, 0);
    node_unref(n);
}

static uint64_t active_l2(void)
{
    return get(get(H_L1_OFFSET)) & ENTRY_OFFSET;
}

static uint64_t snapshot_l1(void)
{
    return get(get(H_SNAPSHOTS_OFFSET));
}

static uint64_t place_of(const char *structure)
{
    return !strcmp(structure, "active-l1") ? get(H_L1_OFFSET)
           : !strcmp(structure, "active-l2") ? active_l2()
           : !strcmp(structure, "refcount-table") ? get(H_REFTABLE_OFFSET)
           : !strcmp(structure, "refcount-block") ? get(get(H_REFTABLE_OFFSET)) & ENTRY_OFFSET
           : !strcmp(structure, "snapshot-table") ? get(H_SNAPSHOTS_OFFSET)
           : !strcmp(structure, "inactive-l1") ? snapshot_l1()
           : get(snapshot_l1()) & ENTRY_OFFSET;
}

static int write_at(BlockNode *n, uint64_t off)
{
    uint8_t buf[512];
    memset(buf, 0xee, sizeof(buf));
    return node_pwrite(n, off, buf, sizeof(buf));
}

static bool says_corrupt(void)
{
    return get(H_INCOMPATIBLE) & INCOMPAT_CORRUPT;
}

/* What follows from a write that was prevented; n is closed. */
static void check_refused(BlockNode *n)
{
    uint8_t buf[512];
    Error *err = NULL;
    g_assert_true(says_corrupt());
    g_assert_cmpint(write_at(n, 8 << 20), ==, -EIO);
    g_assert_cmpint(node_write_zeroes(n, 0, CLUSTER, false), ==, -EIO);
    g_assert_cmpint(node_pread(n, 0, buf, sizeof(buf)), ==, 0);
    g_assert_cmpint(buf[0], ==, 0x11);
    node_unref(n);
    g_assert_null(open_with(NULL, NULL, NULL, false, &err));
    g_assert_nonnull(strstr(err->message, "corrupt"));
    g_clear_error(&err);
}

static const char *const structures[] = { "active-l1", "active-l2", "refcount-table", "refcount-block",
                                          "snapshot-table", "inactive-l1", "inactive-l2" };

static void test_references(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(structures); i++) {
        const char *s = structures[i];
        bool usual = strcmp(s, "inactive-l2");
        for (int how = 0; how < 4; how++) {
            make_image();
            uint64_t place = place_of(s), was = get(place);
            put(active_l2() + GUEST / CLUSTER * 8, place | ENTRY_COPIED, 8);
            BlockNode *n = how == 0 ? open_ok(NULL, NULL, NULL, false)
                           : how == 1 ? open_ok("template", "none", s, true)
                           : how == 2 ? open_ok("overlap-check", "all", NULL, false)
                           : open_ok("template", "all", s, false);
            int ret = write_at(n, GUEST);
            if (how == 3 || (how == 0 && !usual)) {
                g_assert_cmpint(ret, ==, 0);
                node_unref(n);
            } else {
                g_assert_cmpint(ret, ==, -EIO);
                check_refused(n);
                g_assert_cmpuint(get(place), ==, was);
            }
        }
    }
}

/* A table's cluster that nobody counts would be given to the next who needs one. */
static void test_counts(void)
{
    make_image();
    uint64_t table = active_l2(), was = get(table);
    uint64_t block = get(get(H_REFTABLE_OFFSET)) & ENTRY_OFFSET;
    put(block + table / CLUSTER * 2, 0, 2);
    BlockNode *n = open_ok(NULL, NULL, NULL, false);
    g_assert_cmpint(write_at(n, 2 << 20), ==, -EIO);
    check_refused(n);
    g_assert_cmpuint(get(table), ==, was);

    make_image();                       /* the header's too */
    put(block, 0, 2);
    n = open_ok(NULL, NULL, NULL, false);
    g_assert_cmpint(write_at(n, 2 << 20), ==, -EIO);
    check_refused(n);

    make_image();                       /* no block at all: a new one would begin at the header */
    put(get(H_REFTABLE_OFFSET), 0, 8);
    n = open_ok(NULL, NULL, NULL, false);
    g_assert_cmpint(write_at(n, 2 << 20), ==, -EIO);
    check_refused(n);
}

/* After a repair it is as good as any other. */
static void test_repair(void)
{
    BlockCheck c;
    make_image();
    uint64_t block = get(get(H_REFTABLE_OFFSET)) & ENTRY_OFFSET;
    put(block + active_l2() / CLUSTER * 2, 0, 2);
    BlockNode *n = open_ok(NULL, NULL, NULL, false);
    g_assert_cmpint(write_at(n, 2 << 20), ==, -EIO);
    check_refused(n);
    n = node_open_file(path, "qcow2", json_object(), (BlockFlags) { .check = true }, NULL);
    g_assert_true(n->driver->check(n, BLOCK_FIX_LEAKS | BLOCK_FIX_ERRORS, &c, NULL, NULL));
    node_unref(n);
    g_assert_false(says_corrupt());
    n = open_ok(NULL, NULL, NULL, false);
    g_assert_cmpint(write_at(n, 2 << 20), ==, 0);
    node_unref(n);
}

static unsigned told;

static void note_corruption(BlockNode *n, const char *what, uint64_t offset, uint64_t size)
{
    g_assert_nonnull(strstr(what, "the active L1 table"));
    g_assert_cmpuint(offset, ==, get(H_L1_OFFSET));
    g_assert_cmpuint(size, ==, CLUSTER);
    told++;
}

static void test_told(void)
{
    make_image();
    put(active_l2() + GUEST / CLUSTER * 8, get(H_L1_OFFSET) | ENTRY_COPIED, 8);
    BlockNode *n = open_ok(NULL, NULL, NULL, false);
    g_assert_cmpint(write_at(n, GUEST), ==, -EIO);
    g_assert_cmpint(write_at(n, GUEST), ==, -EIO);
    mainloop_iterate(false);
    g_assert_cmpuint(told, ==, 1);
    node_unref(n);
}

static void test_options(void)
{
    Error *err = NULL;
    make_image();
    g_assert_null(open_with("overlap-check", "some", NULL, false, &err));
    g_assert_nonnull(strstr(err->message, "Allowed are any of the following: none, constant, cached, all"));
    g_clear_error(&err);
    g_assert_null(open_with("template", "cached", "main-footer", true, &err));
    g_assert_nonnull(strstr(err->message, "does not support the option 'overlap-check.main-footer'"));
    g_clear_error(&err);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    mainloop_init();
    blk_hooks.image_corrupted = note_corruption;
    dir = g_dir_make_tmp("orrery-overlap-XXXXXX", NULL);
    path = g_build_filename(dir, "x.qcow2", NULL);
    g_test_add_func("/overlap/told", test_told);
    g_test_add_func("/overlap/references", test_references);
    g_test_add_func("/overlap/counts", test_counts);
    g_test_add_func("/overlap/repair", test_repair);
    g_test_add_func("/overlap/options", test_options);
    int ret = g_test_run();
    unlink(path);
    rmdir(dir);
    g_free(path);
    g_free(dir);
    return ret;
}
