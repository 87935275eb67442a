/* SPDX-License-Identifier: MIT */
/*
 * qcow2 against a model: random sequences of everything that changes an image, checked by
 * ourselves and (if installed) by qemu-img; several threads; mutated images.
 *
 * Environment, for `make check-disk`: DISK_SEQUENCES, DISK_MUTATIONS = how many.  A failure names
 * its seed: `--seed` of the program repeats it.
 */
#include "block/block.h"
#include "block/dirtymap.h"
#include "block/node.h"
#include "block/qcow2.h"
#include "tests/unit/memdisk.h"
#include "util/bql.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR 512u

static char *dir;

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

static BlockNode *open_ok(bool check)
{
    Error *err = NULL;
    BlockNode *n = memdisk_open("qcow2", false, check, &err);
    g_assert_no_error(err);
    return n;
}

/* A new image in memory with options chosen at random. */
static void make_image(uint64_t size)
{
    static const char *const clusters[] = { "512", "4096", "65536", "1024", "16384" };
    static const char *const widths[] = { "16", "16", "8", "32", "64" };
    g_autofree char *path = g_build_filename(dir, "new.qcow2", NULL), *data = NULL;
    Error *err = NULL;
    gsize len;
    g_autoptr(Json) o = json_object();
    bool v3 = below(4);
    const char *cluster = clusters[below(5)];
    json_set_uint(o, "size", size);
    json_set_str(o, "cluster_size", cluster);
    json_set_str(o, "compat", v3 ? "1.1" : "0.10");
    if (v3) {
        json_set_str(o, "refcount_bits", widths[below(5)]);
        json_set_bool(o, "lazy_refcounts", below(4) == 0);
        if (below(4) == 0 && atoi(cluster) >= 16384) {
            json_set_bool(o, "extended_l2", true);
        }
    }
    g_assert_true(node_create_image(block_driver_find("qcow2"), path, o, &err));
    g_assert_no_error(err);
    g_assert_true(g_file_get_contents(path, &data, &len, NULL));
    memdisk_set((uint8_t *)data, len);
}

static void check_clean(BlockNode *n, bool leaks_too)
{
    BlockCheck c;
    Error *err = NULL;
    g_autoptr(GString) log = g_string_new(NULL);
    g_assert_true(n->driver->check(n, 0, &c, log, &err));
    if (c.corruptions || c.check_errors || (leaks_too && c.leaks)) {
        g_test_message("%s", log->str);
    }
    g_assert_cmpuint(c.corruptions, ==, 0);
    g_assert_cmpuint(c.check_errors, ==, 0);
    if (leaks_too) {
        g_assert_cmpuint(c.leaks, ==, 0);
    }
}

/* ---- sequences ---------------------------------------------------------------------------------- */

typedef struct Model {
    uint8_t *data;
    uint64_t size;
    struct { uint8_t *data; uint64_t size; bool used; } snapshots[3];
} Model;

static void compare_all(BlockNode *n, const Model *m)
{
    g_assert_cmpint(node_length(n), ==, m->size);
    g_autofree uint8_t *buf = g_malloc(m->size);
    g_assert_cmpint(node_pread(n, 0, buf, m->size), ==, 0);
    g_assert_cmpmem(buf, m->size, m->data, m->size);
}

static void random_range(const Model *m, uint64_t *off, uint64_t *len)
{
    *off = below(m->size / SECTOR) * SECTOR;
    *len = (1 + below(below(4) ? 32 : 400)) * SECTOR;
    *len = MIN(*len, m->size - *off);
}

static void do_write(BlockNode *n, Model *m)
{
    uint64_t off, len;
    random_range(m, &off, &len);
    for (uint64_t i = 0; i < len; i++) {
        m->data[off + i] = i % 7 ? m->data[off + i] + 1 : below(256);
    }
    struct iovec iov[3] = { { m->data + off, len / 3 }, { m->data + off + len / 3, len / 3 },
                            { m->data + off + len / 3 * 2, len - len / 3 * 2 } };
    g_assert_cmpint(node_write(n, off, iov, 3), ==, 0);
}

static void do_zero(BlockNode *n, Model *m, bool discard)
{
    uint64_t off, len;
    random_range(m, &off, &len);
    if (discard) {                      /* may leave anything: look what it left */
        g_assert_cmpint(node_discard(n, off, len), ==, 0);
        g_assert_cmpint(node_pread(n, off, m->data + off, len), ==, 0);
        return;
    }
    memset(m->data + off, 0, len);
    g_assert_cmpint(node_write_zeroes(n, off, len, below(2)), ==, 0);
}

static void do_compressed(BlockNode *n, Model *m)
{
    uint64_t cs = n->cluster_size, clusters = (m->size + cs - 1) / cs;
    uint64_t off = below(clusters) * cs, len = MIN(cs, m->size - off);
    memset(m->data + off, below(256), len);
    m->data[off + below(len)] ^= 0x55;
    g_assert_cmpint(node_write_compressed(n, off, m->data + off, len), ==, 0);
}

static void do_resize(BlockNode *n, Model *m)
{
    uint64_t size = (1 + below(3000)) * SECTOR, old = m->size;
    Error *err = NULL;
    for (int i = 0; i < 3; i++) {
        if (m->snapshots[i].used) {
            return;                     /* version 2 could not */
        }
    }
    g_assert_true(node_truncate(n, size, PREALLOC_OFF, &err));
    g_assert_no_error(err);
    m->data = g_realloc(m->data, size);
    m->size = size;
    if (size > old) {
        memset(m->data + old, 0, size - old);
    }
}

static void do_snapshot(BlockNode *n, Model *m)
{
    int i = below(3);
    Error *err = NULL;
    char name[8] = { 's', '0' + i, 0 };
    if (!m->snapshots[i].used) {
        BlockSnapshot s = { .name = name, .icount = UINT64_MAX };
        g_assert_true(n->driver->snapshot_create(n, &s, &err));
        m->snapshots[i].used = true;
        m->snapshots[i].data = g_memdup2(m->data, m->size);
        m->snapshots[i].size = m->size;
    } else if (below(2)) {
        g_assert_true(n->driver->snapshot_apply(n, name, &err));
        g_free(m->data);
        m->size = m->snapshots[i].size;
        m->data = g_memdup2(m->snapshots[i].data, m->size);
    } else {
        g_assert_true(n->driver->snapshot_delete(n, name, &err));
        g_clear_pointer(&m->snapshots[i].data, g_free);
        m->snapshots[i].used = false;
    }
    g_assert_no_error(err);
}

static void random_step(BlockNode *n, Model *m)
{
    switch (below(16)) {
    case 0: case 1: case 2: case 3: case 4: case 5:
        do_write(n, m);
        break;
    case 6: case 7:
        do_zero(n, m, false);
        break;
    case 8: case 9:
        do_zero(n, m, true);
        break;
    case 10:
        do_compressed(n, m);
        break;
    case 11:
        do_resize(n, m);
        break;
    case 12:
        do_snapshot(n, m);
        break;
    case 13:
        g_assert_cmpint(node_flush(n), ==, 0);
        break;
    default: {
        uint64_t off, len;
        random_range(m, &off, &len);
        g_autofree uint8_t *buf = g_malloc(len);
        g_assert_cmpint(node_pread(n, off, buf, len), ==, 0);
        g_assert_cmpmem(buf, len, m->data + off, len);
    }
    }
}

static bool run_tool(const char *const *argv, char **out, int *status)
{
    return g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDERR_TO_DEV_NULL,
                        NULL, NULL, out, NULL, status, NULL);
}

/* The image and its content in the eyes of qemu-img. */
static void ask_qemu(const Model *m)
{
    g_autofree char *image = g_build_filename(dir, "ask.qcow2", NULL);
    g_autofree char *raw = g_build_filename(dir, "ask.raw", NULL), *out = NULL, *out2 = NULL;
    int status;
    g_assert_true(g_file_set_contents(image, (char *)mem.bytes->data, mem.bytes->len, NULL));
    g_assert_true(g_file_set_contents(raw, (char *)m->data, m->size, NULL));
    const char *check[] = { "qemu-img", "check", "-f", "qcow2", image, NULL };
    const char *compare[] = { "qemu-img", "compare", "-f", "qcow2", "-F", "raw", image, raw, NULL };
    if (!run_tool(check, &out, &status)) {
        return;                         /* not installed */
    }
    if (status) {
        g_test_message("%s", out);
    }
    g_assert_cmpint(status, ==, 0);
    g_assert_true(run_tool(compare, &out2, &status));
    if (status) {
        g_test_message("%s", out2);
    }
    g_assert_cmpint(status, ==, 0);
}

static void sequence(int steps)
{
    Model m = { .size = (1 + below(4000)) * SECTOR };
    m.data = g_malloc0(m.size);
    make_image(m.size);
    BlockNode *n = open_ok(false);
    for (int i = 0; i < steps; i++) {
        random_step(n, &m);
        if (below(10) == 0) {
            Qcow2 *q = n->state;
            g_mutex_lock(&q->lock);
            qcow2_cache_clean(&q->l2);
            qcow2_cache_clean(&q->refs);
            g_mutex_unlock(&q->lock);
        }
        if (below(20) == 0) {
            node_unref(n);
            n = open_ok(false);
        }
    }
    compare_all(n, &m);
    check_clean(n, true);
    node_unref(n);
    n = open_ok(true);
    compare_all(n, &m);
    check_clean(n, true);
    node_unref(n);
    ask_qemu(&m);
    g_free(m.data);
    for (int i = 0; i < 3; i++) {
        g_free(m.snapshots[i].data);
    }
}

static void test_sequences(void)
{
    for (unsigned i = how_many("DISK_SEQUENCES", 40); i; i--) {
        sequence(40 + below(80));
    }
}

/* ---- several threads ----------------------------------------------------------------------------- */

typedef struct Worker {
    BlockNode *node;
    uint8_t *model;
    uint64_t from, to;
    uint32_t seed;
} Worker;

/* Works on sectors of its own, which share clusters with the neighbours' at the borders. */
static gpointer worker(gpointer data)
{
    Worker *w = data;
    GRand *rand = g_rand_new_with_seed(w->seed);
    for (int i = 0; i < 300; i++) {
        uint64_t n = (w->to - w->from) / SECTOR, first = g_rand_int_range(rand, 0, n);
        uint64_t off = w->from + first * SECTOR, len = g_rand_int_range(rand, 1, 40) * SECTOR;
        len = MIN(len, w->to - off);
        switch (g_rand_int_range(rand, 0, 6)) {
        case 0:
            memset(w->model + off, 0, len);
            g_assert_cmpint(node_write_zeroes(w->node, off, len, i & 1), ==, 0);
            break;
        case 1:
            g_assert_cmpint(node_flush(w->node), ==, 0);
            break;
        case 2: {
            g_autofree uint8_t *buf = g_malloc(len);
            g_assert_cmpint(node_pread(w->node, off, buf, len), ==, 0);
            g_assert_cmpmem(buf, len, w->model + off, len);
            break;
        }
        default:
            memset(w->model + off, g_rand_int(rand), len);
            g_assert_cmpint(node_pwrite(w->node, off, w->model + off, len), ==, 0);
        }
    }
    g_rand_free(rand);
    return NULL;
}

static void test_threads(void)
{
    for (int round = 0; round < 6; round++) {
        Model m = { .size = 4099 * SECTOR };
        m.data = g_malloc0(m.size);
        make_image(m.size);
        BlockNode *n = open_ok(false);
        Worker w[5];
        GThread *t[5];
        for (int i = 0; i < 5; i++) {
            w[i] = (Worker) { n, m.data, m.size / SECTOR * i / 5 * SECTOR,
                              m.size / SECTOR * (i + 1) / 5 * SECTOR, g_test_rand_int() };
            t[i] = g_thread_new("worker", worker, &w[i]);
        }
        for (int i = 0; i < 5; i++) {
            g_thread_join(t[i]);
        }
        compare_all(n, &m);
        check_clean(n, true);
        node_unref(n);
        ask_qemu(&m);
        g_free(m.data);
    }
}

/* ---- hostile images ----------------------------------------------------------------------------------- */

static void use_image(BlockNode *n)
{
    int64_t length = node_length(n);
    g_autofree uint8_t *buf = g_malloc0(1 << 16);
    for (int i = 0; i < 24 && length > 0; i++) {
        uint64_t off = ((uint64_t)g_test_rand_int() << 20 ^ g_test_rand_int()) % length & ~511ull;
        uint64_t len = (1 + below(100)) * SECTOR;
        len = MIN(len, (uint64_t)length - off);
        BlockStatus st;
        switch (below(6)) {
        case 0:
            node_pwrite(n, off, buf, len);
            break;
        case 1:
            node_write_zeroes(n, off, len, true);
            break;
        case 2:
            node_discard(n, off, len);
            break;
        case 3:
            node_status(n, off, len, &st);
            break;
        case 4:
            node_flush(n);
            break;
        default:
            node_pread(n, off, buf, len);
        }
    }
}

static void mutate(uint8_t *data, size_t len)
{
    for (int i = 1 + below(4); i; i--) {
        /* mostly the header and the tables, which come first */
        size_t at = below(3) ? below(MIN(len, 120)) : below(len);
        switch (below(4)) {
        case 0: data[at] = below(256); break;
        case 1: data[at] = 0xff; break;
        case 2: data[at] ^= 1 << below(8); break;
        default:
            for (size_t j = 0; j < 8 && at + j < len; j++) {
                data[at + j] = below(3) ? 0xff : below(256);
            }
        }
    }
}

static void keep_bitmap(BlockNode *n, const char *name, uint64_t granularity)
{
    Error *err = NULL;
    g_assert_true(bitmap_add(n, name, granularity, false, &err));
    g_assert_true(bitmap_make_persistent(bitmap_find(n, name, NULL), &err));
    g_assert_no_error(err);
}

static void test_mutations(void)
{
    for (unsigned i = how_many("DISK_MUTATIONS", 300); i;) {
        Model m = { .size = 600 * SECTOR };
        m.data = g_malloc0(m.size);
        make_image(m.size);
        BlockNode *n = open_ok(false);
        if (((Qcow2 *)n->state)->version >= 3 && below(2)) {
            keep_bitmap(n, "a", 512);
            keep_bitmap(n, "b", 65536);
        }
        for (int s = 0; s < 30; s++) {
            random_step(n, &m);
        }
        node_unref(n);
        g_autofree uint8_t *good = g_memdup2(mem.bytes->data, mem.bytes->len);
        size_t len = mem.bytes->len;
        for (int k = 0; k < 25 && i; k++, i--) {
            memdisk_set(good, len);
            mutate(mem.bytes->data, len);
            int64_t begin = g_get_monotonic_time();
            n = memdisk_open("qcow2", below(4) == 0, below(2), NULL);
            if (n) {
                BlockCheck c;
                use_image(n);
                n->driver->check(n, below(2) ? 3 : 0, &c, NULL, NULL);
                use_image(n);
                node_unref(n);
            }
            g_assert_cmpint(g_get_monotonic_time() - begin, <, 20 * G_USEC_PER_SEC);
        }
        g_free(m.data);
        for (int s = 0; s < 3; s++) {
            g_free(m.snapshots[s].data);
        }
    }
}

/* ---- chains --------------------------------------------------------------------------------------------- */

static char *image_file(const char *name, const char *backing)
{
    char *path = g_build_filename(dir, name, NULL);
    g_autoptr(Json) o = json_object();
    Error *err = NULL;
    json_set_uint(o, "size", 1 << 20);
    if (backing) {
        json_set_str(o, "backing_file", backing);
        json_set_str(o, "backing_fmt", "qcow2");
    }
    g_assert_true(node_create_image(block_driver_find("qcow2"), path, o, &err));
    g_assert_no_error(err);
    return path;
}

static void refused(const char *path, const char *word)
{
    Error *err = NULL;
    BlockNode *n = node_open_file(path, "qcow2", NULL, (BlockFlags) { .read_only = true }, &err);
    g_assert_null(n);
    if (!strstr(err->message, word)) {
        g_test_message("%s", err->message);
    }
    g_assert_nonnull(strstr(err->message, word));
    g_clear_error(&err);
}

static void test_chains(void)
{
    g_autofree char *self = image_file("self.qcow2", "self.qcow2");
    g_autofree char *a = image_file("a.qcow2", "b.qcow2"), *b = image_file("b.qcow2", "a.qcow2");
    g_autofree char *far = image_file("far.qcow2", "/etc/hostname");
    G_GNUC_UNUSED g_autofree char *up = image_file("up.qcow2", "../../etc/hostname");
    g_autofree char *net = image_file("net.qcow2", "nbd://localhost/x");
    refused(self, "infinite loop");
    refused(a, "infinite loop");
    refused(b, "infinite loop");
    refused(far, "outside its own folder");
    refused(net, "may only name files");
    g_autofree char *link = g_build_filename(dir, "link", NULL);
    g_assert_cmpint(symlink("/etc/hostname", link), ==, 0);
    g_autofree char *via = image_file("via.qcow2", "link");
    refused(via, "outside its own folder");
    G_GNUC_UNUSED g_autofree char *base = image_file("base.qcow2", NULL), *top = image_file("top.qcow2", "base.qcow2");
    BlockNode *n = node_open_file(top, "qcow2", NULL, (BlockFlags) { .read_only = true }, NULL);
    g_assert_nonnull(n);
    g_assert_nonnull(n->backing);
    node_unref(n);
}

/* ---- subclusters ------------------------------------------------------------------------------------------- */

static BlockNode *open_top(const char *top)
{
    Error *err = NULL;
    BlockNode *n = node_open_file(top, "qcow2", NULL, (BlockFlags) { .unmap = true }, &err);
    g_assert_no_error(err);
    return n;
}

/* A small write takes the space of its subclusters; what surrounds it is read from below. */
static void one_small_write(const char *top, uint8_t *model)
{
    BlockNode *n = open_top(top);
    BlockStatus st;
    uint64_t cs = n->cluster_size, sub = cs / 32, at = cs + sub + (sub > SECTOR ? SECTOR : 0);
    memset(model + at, 0x77, SECTOR);
    g_assert_cmpint(node_pwrite(n, at, model + at, SECTOR), ==, 0);
    g_assert_cmpint(node_status(n, cs, cs, &st), ==, 0);
    g_assert_true(!st.allocated && st.len == sub);
    g_assert_cmpint(node_status(n, cs + sub, cs, &st), ==, 0);
    g_assert_true(st.allocated && st.len == sub);
    g_assert_cmpint(node_status(n, cs + 2 * sub, cs, &st), ==, 0);
    g_assert_false(st.allocated);
    node_unref(n);
}

static void over_a_base(const char *cluster)
{
    Model m = { .size = 5000 * SECTOR };
    g_autofree char *base = g_build_filename(dir, "sub.raw", NULL), *top = g_build_filename(dir, "sub.qcow2", NULL);
    g_autofree char *flat = g_build_filename(dir, "flat.raw", NULL), *out = NULL, *out2 = NULL;
    g_autoptr(Json) o = json_object();
    Error *err = NULL;
    m.data = g_malloc(m.size);
    for (uint64_t i = 0; i < m.size; i++) {
        m.data[i] = below(256);
    }
    unlink(top);
    g_assert_true(g_file_set_contents(base, (char *)m.data, m.size, NULL));
    json_set_uint(o, "size", m.size);
    json_set_str(o, "cluster_size", cluster);
    json_set_bool(o, "extended_l2", true);
    json_set_str(o, "backing_file", "sub.raw");
    json_set_str(o, "backing_fmt", "raw");
    g_assert_true(node_create_image(block_driver_find("qcow2"), top, o, &err));
    g_assert_no_error(err);
    one_small_write(top, m.data);
    BlockNode *n = open_top(top);
    for (int i = 0; i < 120; i++) {
        below(6) ? do_write(n, &m) : do_zero(n, &m, below(2));
        if (below(20) == 0) {
            node_unref(n);
            n = open_top(top);
        }
        compare_all(n, &m);
    }
    check_clean(n, true);
    node_unref(n);
    g_assert_true(g_file_set_contents(flat, (char *)m.data, m.size, NULL));
    const char *check[] = { "qemu-img", "check", "-f", "qcow2", top, NULL };
    const char *compare[] = { "qemu-img", "compare", "-f", "qcow2", "-F", "raw", top, flat, NULL };
    int status;
    if (run_tool(check, &out, &status)) {
        g_assert_cmpint(status, ==, 0);
        g_assert_true(run_tool(compare, &out2, &status));
        g_assert_cmpint(status, ==, 0);
    }
    g_free(m.data);
}

static void test_subclusters(void)
{
    for (unsigned i = MAX(how_many("DISK_SEQUENCES", 40) / 20, 1); i; i--) {
        over_a_base("16384");
        over_a_base("65536");
        over_a_base("262144");
    }
}

/* ---- bitmaps kept in the image ---------------------------------------------------------------------------- */

/* Pieces of 4096 bytes that should be set, as a string of 0 and 1. */
static void assert_bits(BlockNode *n, const char *name, const bool *want, size_t pieces)
{
    DirtyBitmap *b = bitmap_find(n, name, NULL);
    g_assert_nonnull(b);
    g_assert_true(b->persistent);
    g_assert_false(b->inconsistent);
    g_assert_cmpuint(b->map->pieces, ==, pieces);
    g_autofree uint8_t *bits = g_malloc(pieces / 8 + 1);
    dirtymap_get_bits(b->map, 0, bits, pieces / 8 + 1);
    for (size_t i = 0; i < pieces; i++) {
        g_assert_cmpint(bits[i / 8] >> (i % 8) & 1, ==, want[i]);
    }
}

static void test_bitmaps(void)
{
    enum { PIECES = 15000 };
    g_autofree bool *want = g_new0(bool, PIECES);
    make_image(PIECES * 4096ull);
    while (mem.bytes->data[7] < 3) {
        make_image(PIECES * 4096ull);
    }
    BlockNode *n = open_ok(false);
    keep_bitmap(n, "changes", 4096);
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 10; i++) {
            uint32_t at = below(PIECES);
            g_assert_cmpint(node_pwrite(n, at * 4096ull, &at, sizeof(at)), ==, 0);
            want[at] = true;
        }
        assert_bits(n, "changes", want, PIECES);
        node_unref(n);
        n = open_ok(true);
        assert_bits(n, "changes", want, PIECES);
        check_clean(n, true);
    }
    g_assert_true(node_truncate(n, PIECES / 2 * 4096ull, PREALLOC_OFF, NULL));
    assert_bits(n, "changes", want, PIECES / 2);
    memdisk_drop(n);                    /* a crash: what changed since is not known */
    n = open_ok(true);
    DirtyBitmap *b = bitmap_find(n, "changes", NULL);
    g_assert_true(b && b->inconsistent && !bitmap_usable(b, NULL));
    node_unref(n);
    n = open_ok(true);
    g_assert_true(bitmap_find(n, "changes", NULL)->inconsistent);
    g_assert_true(bitmap_remove(n, "changes", NULL));
    node_unref(n);
    n = open_ok(true);
    g_assert_null(n->bitmaps);
    check_clean(n, false);
    node_unref(n);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    bql_lock();
    dir = g_dir_make_tmp("orrery-qcow2-XXXXXX", NULL);
    g_test_add_func("/qcow2/sequences", test_sequences);
    g_test_add_func("/qcow2/threads", test_threads);
    g_test_add_func("/qcow2/mutations", test_mutations);
    g_test_add_func("/qcow2/subclusters", test_subclusters);
    g_test_add_func("/qcow2/bitmaps", test_bitmaps);
    g_test_add_func("/qcow2/chains", test_chains);
    int ret = g_test_run();
    g_autofree char *remove = g_strdup_printf("rm -rf '%s'", dir);
    return system(remove) ? 1 : ret;
}
