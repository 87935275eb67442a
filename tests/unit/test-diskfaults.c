/* SPDX-License-Identifier: MIT */
/*
 * Nothing flushed is lost, in any format that is written: power cuts at any point, with the writes
 * since the last barrier done in part and in any order; errors at any write and at every single
 * step of a fixed piece of work.  What is left must be consistent (for qemu-img too, if installed),
 * hold what was promised, and bear further writes.
 *
 * Environment, for `make check-disk`: DISK_CUTS and DISK_ERRORS (of each format) = how many.  A
 * failure names its seed: `--seed` of the program repeats it.
 */
#include "block/block.h"
#include "block/dirtymap.h"
#include "block/node.h"
#include "tests/unit/memdisk.h"
#include "util/bql.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECTOR 512u

typedef struct Kind {
    const char *name, *format, *options;        /* "key=value,..."; NULL: chosen at random */
    bool steps;                                 /* has tables */
} Kind;

static const Kind kinds[] = {
    { "raw", "raw", "", false },
    { "qcow2", "qcow2", NULL, true },
    { "vdi", "vdi", "", true },
    { "vpc", "vpc", "force_size=on", true },
    { "vpc-fixed", "vpc", "subformat=fixed,force_size=on", false },
    { "vmdk", "vmdk", "", true },
    { "vmdk-zeroed", "vmdk", "zeroed_grain=on", true },
    { "vhdx", "vhdx", "block_size=1M", true },
    { "vhdx-fixed", "vhdx", "block_size=1M,subformat=fixed", false },
};

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

/* ---- images ---------------------------------------------------------------------------------- */

static void qcow2_options(Json *o)
{
    static const char *const clusters[] = { "512", "4096", "65536", "1024", "16384" };
    static const char *const widths[] = { "16", "16", "8", "32", "64" };
    int cluster = below(5);
    json_set_str(o, "cluster_size", clusters[cluster]);
    json_set_str(o, "refcount_bits", widths[below(5)]);
    json_set_bool(o, "extended_l2", below(3) == 0 && atoi(clusters[cluster]) >= 16384);
}

/* A new image on the disk in memory. */
static void make_image(const Kind *k, uint64_t size)
{
    g_autofree char *path = g_build_filename(dir, "new", NULL), *data = NULL;
    g_auto(GStrv) options = g_strsplit(k->options ? k->options : "", ",", 0);
    g_autoptr(Json) o = json_object();
    Error *err = NULL;
    gsize len;
    json_set_uint(o, "size", size);
    for (char **p = options; *p; p++) {
        g_auto(GStrv) pair = g_strsplit(*p, "=", 2);
        json_set_str(o, pair[0], pair[1]);
    }
    if (!k->options) {
        qcow2_options(o);
    }
    unlink(path);
    g_assert_true(node_create_image(block_driver_find(k->format), path, o, &err));
    g_assert_no_error(err);
    g_assert_true(g_file_get_contents(path, &data, &len, NULL));
    memdisk_set((uint8_t *)data, len);
}

static BlockNode *open_ok(const Kind *k, bool check)
{
    Error *err = NULL;
    BlockNode *n = memdisk_open(k->format, false, check, &err);
    g_assert_no_error(err);
    return n;
}

static void check_consistent(BlockNode *n)
{
    BlockCheck c;
    Error *err = NULL;
    g_autoptr(GString) log = g_string_new(NULL);
    if (!n->driver->check) {
        return;
    }
    g_assert_true(n->driver->check(n, 0, &c, log, &err));
    if (c.corruptions || c.check_errors) {
        g_test_message("%s", log->str);
    }
    g_assert_cmpuint(c.corruptions, ==, 0);
    g_assert_cmpuint(c.check_errors, ==, 0);
}

static bool can_check(const Kind *k)
{
    return strcmp(k->format, "raw") && strcmp(k->format, "vpc");
}

/* The disk as it is, in the eyes of qemu-img: consistent but for leaks, and the content that we see.
 * A log it replays itself.  The number of blocks in a vdi header may be too high after a cut, which
 * it calls an error, not a leak. */
static void ask_qemu(const Kind *k, bool after_cut, const uint8_t *content, uint64_t size)
{
    g_autofree char *image = g_build_filename(dir, "ask", NULL);
    g_autofree char *raw = g_build_filename(dir, "ask.raw", NULL);
    g_autofree char *tool = g_find_program_in_path("qemu-img");
    if (!tool) {
        return;
    }
    g_assert_true(g_file_set_contents(image, (char *)mem.bytes->data, mem.bytes->len, NULL));
    g_assert_true(g_file_set_contents(raw, (const char *)content, size, NULL));
    g_autofree char *replay = !strcmp(k->format, "vhdx")
        ? g_strdup_printf("qemu-img check -q -r all -f vhdx %s &&", image) : g_strdup("");
    g_autofree char *check = can_check(k) && !(after_cut && !strcmp(k->format, "vdi"))
        ? g_strdup_printf("{ qemu-img check -q -f %s %s || [ $? = 3 ]; } &&", k->format, image) : g_strdup("");
    g_autofree char *all = g_strdup_printf("{ %s %s qemu-img compare -q -f %s -F raw %s %s; } >&2", replay,
                                           check, k->format, image, raw);
    if (system(all)) {
        g_test_message("%s: %s", k->name, all);
        g_test_fail();
    }
}

/* ---- power cuts -------------------------------------------------------------------------------- */

/*
 * Every sector written holds one number, and the test knows which numbers a sector may hold
 * after a cut: the one of the last write before the last flush, or any later one.
 */
typedef struct Event {
    guint at;                           /* length of the log when it happened */
    uint64_t sector, count;             /* count 0: a flush came back */
    uint32_t value;                     /* 0: zeroes */
} Event;

static void fill_number(uint8_t *buf, uint64_t sectors, uint32_t value)
{
    for (uint64_t i = 0; i < sectors * SECTOR / 4; i++) {
        ((uint32_t *)buf)[i] = value;
    }
}

/* Work on an open disk, until the power goes.  Numbers from `first` on. */
static GArray *record_events(BlockNode *n, uint64_t size, uint32_t first, int steps)
{
    GArray *events = g_array_new(FALSE, FALSE, sizeof(Event));
    g_autofree uint8_t *buf = g_malloc(64 * SECTOR);
    for (int i = 0; i < steps; i++) {
        uint64_t sector = below(size / SECTOR), count = 1 + below(64);
        count = MIN(count, size / SECTOR - sector);
        Event e = { mem.log->len, sector, count, first + i };
        if (below(5) == 0) {
            e.count = 0;
            g_assert_cmpint(node_flush(n), ==, 0);
            e.at = mem.log->len;
        } else if (below(4) == 0) {
            e.value = 0;
            g_assert_cmpint(node_write_zeroes(n, sector * SECTOR, count * SECTOR, below(2)), ==, 0);
        } else {
            fill_number(buf, count, e.value);
            g_assert_cmpint(node_pwrite(n, sector * SECTOR, buf, count * SECTOR), ==, 0);
        }
        g_array_append_val(events, e);
    }
    if (below(3)) {
        memdisk_drop(n);
    } else {
        node_unref(n);                  /* the power goes while it is being closed, or later */
    }
    return events;
}

static void note_allowed(GArray **allowed, uint64_t sectors, const Event *e)
{
    for (uint64_t s = e->sector; s < e->sector + e->count; s++) {
        g_array_append_val(allowed[s], e->value);
    }
    for (uint64_t s = 0; !e->count && s < sectors; s++) {
        g_array_remove_range(allowed[s], 0, allowed[s]->len - 1);
    }
}

static bool is_allowed(const GArray *allowed, const uint32_t *have)
{
    bool ok = false;
    for (guint i = 0; i < allowed->len; i++) {
        ok |= g_array_index(allowed, uint32_t, i) == have[0];
    }
    for (unsigned i = 1; i < SECTOR / 4; i++) {
        ok &= have[i] == have[0];
    }
    return ok;
}

typedef struct Round {
    const Kind *kind;
    uint64_t size;
    uint8_t *image, *content;           /* the file, and the disk in it, when it began */
    size_t len;
    bool kept;                          /* with a bitmap in it that records */
    GArray *events;
} Round;

static void check_promises(const Round *r, const uint8_t *content, guint cut)
{
    uint64_t sectors = r->size / SECTOR;
    g_autofree GArray **allowed = g_new0(GArray *, sectors);
    for (uint64_t s = 0; s < sectors; s++) {
        allowed[s] = g_array_new(FALSE, FALSE, 4);
        g_array_append_vals(allowed[s], r->content + s * SECTOR, 1);
    }
    for (guint i = 0; i < r->events->len && g_array_index(r->events, Event, i).at <= cut; i++) {
        note_allowed(allowed, sectors, &g_array_index(r->events, Event, i));
    }
    for (uint64_t s = 0; s < sectors; s++) {
        const uint32_t *have = (const uint32_t *)(content + s * SECTOR);
        bool ok = is_allowed(allowed[s], have);
        if (!ok) {
            g_test_message("%s, cut %u: sector %" PRIu64 " holds %u, last allowed %u", r->kind->name, cut, s,
                           have[0], g_array_index(allowed[s], uint32_t, allowed[s]->len - 1));
        }
        g_assert_true(ok);
        g_array_unref(allowed[s]);
    }
}

/* A bitmap that an image keeps, if it has one now and then. */
static void keep_bitmap(BlockNode *n)
{
    if (n->driver->keeps_bitmap && !bitmap_find(n, "kept", NULL) && below(2)) {
        g_assert_true(bitmap_add(n, "kept", 512, false, NULL));
        g_assert_true(bitmap_make_persistent(bitmap_find(n, "kept", NULL), NULL));
    } else if (n->driver->keeps_bitmap && bitmap_find(n, "kept", NULL) && below(2)) {
        g_assert_true(bitmap_remove(n, "kept", NULL));
    }
}

/* It is whole, or says that it is not: whole ones have what changed since the round began. */
static void check_bitmap(const Round *r, BlockNode *n, const uint8_t *content)
{
    DirtyBitmap *b = n->driver->keeps_bitmap ? bitmap_find(n, "kept", NULL) : NULL;
    for (uint64_t s = 0; b && !b->inconsistent && r->kept && s < r->size; s += SECTOR) {
        uint8_t bits;
        dirtymap_get_bits(b->map, s / SECTOR / 8, &bits, 1);
        g_assert_true(!memcmp(content + s, r->content + s, SECTOR) || (bits >> (s / SECTOR % 8) & 1));
    }
}

/* Life goes on: nothing that a crash left behind shows up under later writes. */
static void go_on(const Kind *k, BlockNode *n, uint8_t *content, uint64_t size)
{
    g_autofree uint8_t *buf = g_malloc(size);
    for (int i = 0; i < 8; i++) {
        uint64_t off = below(size / SECTOR) * SECTOR, len = (1 + below(100)) * SECTOR;
        len = MIN(len, size - off);
        memset(content + off, 1 + below(255), len);
        g_assert_cmpint(node_pwrite(n, off, content + off, len), ==, 0);
    }
    node_unref(n);
    n = open_ok(k, true);
    check_consistent(n);
    g_assert_cmpint(node_pread(n, 0, buf, size), ==, 0);
    g_assert_cmpmem(buf, size, content, size);
    node_unref(n);
    if (below(100) == 0) {
        ask_qemu(k, false, content, size);
    }
}

/* What is left is consistent and holds what was promised; the disk in it. */
static uint8_t *open_cut(const Round *r, guint cut, BlockNode **n)
{
    uint8_t *content = g_malloc(r->size);
    *n = open_ok(r->kind, true);
    check_consistent(*n);
    g_assert_cmpint(node_pread(*n, 0, content, r->size), ==, 0);
    check_promises(r, content, cut);
    check_bitmap(r, *n, content);
    return content;
}

static void cut_once(const Round *r)
{
    guint cut = below(mem.log->len + 1);
    BlockNode *n;
    memdisk_cut(r->image, r->len, cut);
    GArray *log = g_steal_pointer(&mem.log);
    bool ask = below(100) == 0;
    g_autofree uint8_t *before = g_memdup2(mem.bytes->data, ask ? mem.bytes->len : 0);
    size_t before_len = mem.bytes->len;
    g_autofree uint8_t *content = open_cut(r, cut, &n);
    if (ask) {
        node_unref(n);
        memdisk_set(before, before_len);
        ask_qemu(r->kind, true, content, r->size);
        n = open_ok(r->kind, true);
    }
    go_on(r->kind, n, content, r->size);
    mem.log = log;
}

/* The power goes in the middle, in several ways; then once and for all: the next round begins
 * with what that left. */
static unsigned one_round(Round *r, uint32_t first, unsigned cuts)
{
    unsigned done = 0;
    BlockNode *n = open_ok(r->kind, false);
    r->image = g_memdup2(mem.bytes->data, mem.bytes->len);
    r->len = mem.bytes->len;
    keep_bitmap(n);
    DirtyBitmap *kept = n->driver->keeps_bitmap ? bitmap_find(n, "kept", NULL) : NULL;
    r->kept = kept && !kept->inconsistent;
    memdisk_start_log();
    r->events = record_events(n, r->size, first, 8 + below(56));
    for (; done < cuts; done++) {
        cut_once(r);
    }
    memdisk_cut(r->image, r->len, mem.log->len - below(mem.log->len / 4 + 1));
    memdisk_clear_log();
    g_free(r->image);
    g_free(r->content);
    g_array_unref(r->events);
    n = open_ok(r->kind, false);
    r->content = g_malloc(r->size);
    g_assert_cmpint(node_pread(n, 0, r->content, r->size), ==, 0);
    memdisk_drop(n);
    return done;
}

static void test_power_cuts(gconstpointer data)
{
    unsigned cuts = how_many("DISK_CUTS", 60);
    while (cuts) {
        Round r = { .kind = data };
        make_image(r.kind, (200 + below(below(4) ? 8000 : 40000)) * SECTOR);
        BlockNode *n = open_ok(r.kind, false);
        r.size = node_length(n);
        memdisk_drop(n);
        r.content = g_malloc0(r.size);
        for (uint32_t round = 0; round < 4 && cuts; round++) {
            cuts -= one_round(&r, 1 + round * 100, MIN(cuts, 12));
        }
        g_free(r.content);
    }
}

/* ---- errors ------------------------------------------------------------------------------------- */

/* What each sector holds, or after an error may hold instead. */
typedef struct Model {
    const Kind *kind;
    uint64_t size, sectors;
    uint32_t *value, *other;
    uint8_t *all, *buf;
} Model;

static Model *new_model(const Kind *k, uint64_t size)
{
    Model *m = g_new0(Model, 1);
    *m = (Model) { k, size, size / SECTOR, g_new0(uint32_t, size / SECTOR), g_new0(uint32_t, size / SECTOR),
                   g_malloc(size), g_malloc(64 * SECTOR) };
    return m;
}

static void free_model(Model *m)
{
    g_free(m->value);
    g_free(m->other);
    g_free(m->all);
    g_free(m->buf);
    g_free(m);
}

/* A write that fails may have changed its sectors or not; which of both, stays so. */
static void change(Model *m, BlockNode *n, uint64_t sector, uint64_t count, uint32_t v)
{
    fill_number(m->buf, count, v);
    int ret = v ? node_pwrite(n, sector * SECTOR, m->buf, count * SECTOR)
                : node_write_zeroes(n, sector * SECTOR, count * SECTOR, true);
    for (uint64_t s = sector; s < sector + count; s++) {
        m->other[s] = ret ? m->value[s] : v;
        m->value[s] = v;
    }
    if (!ret) {
        return;
    }
    g_assert_cmpint(node_pread(n, sector * SECTOR, m->all, count * SECTOR), ==, 0);
    for (uint64_t s = sector; s < sector + count; s++) {
        uint32_t have = *(uint32_t *)(m->all + (s - sector) * SECTOR);
        if (have != m->value[s] && have != m->other[s]) {
            g_test_message("%s: sector %" PRIu64 " holds %u, not %u or %u", m->kind->name, s, have,
                           m->value[s], m->other[s]);
        }
        g_assert_true(have == m->value[s] || have == m->other[s]);
        m->value[s] = have;
    }
}

static void compare_all(const Model *m, BlockNode *n)
{
    g_assert_cmpint(node_pread(n, 0, m->all, m->size), ==, 0);
    for (uint64_t s = 0; s < m->sectors; s++) {
        uint32_t have = *(uint32_t *)(m->all + s * SECTOR);
        if (have != m->value[s]) {
            g_test_message("%s: sector %" PRIu64 " holds %u, not %u", m->kind->name, s, have, m->value[s]);
        }
        g_assert_cmpuint(have, ==, m->value[s]);
    }
    check_consistent(n);
}

/* The disk works again: what was answered well is there, and stays there. */
static void recover(Model *m, BlockNode *n)
{
    mem.fail_in = -1;
    mem.fail_on = false;
    compare_all(m, n);
    g_assert_cmpint(node_flush(n), ==, 0);
    if (below(2)) {
        memdisk_drop(n);                /* flushed is flushed */
    } else {
        node_unref(n);
    }
    n = open_ok(m->kind, true);
    compare_all(m, n);
    node_unref(n);
}

static void errors_once(const Kind *k)
{
    make_image(k, (200 + below(6000)) * SECTOR);
    BlockNode *n = open_ok(k, false);
    Model *m = new_model(k, node_length(n));
    for (int i = 1; i < 80; i++) {
        uint64_t sector = below(m->sectors), count = 1 + below(64);
        if (below(3) == 0) {
            mem.fail_in = below(4);
            mem.fail_errno = below(2) ? EIO : ENOSPC;
        }
        if (below(5) == 0) {
            node_flush(n);
        } else {
            change(m, n, sector, MIN(count, m->sectors - sector), below(4) ? i : 0);
        }
        mem.fail_in = -1;
    }
    recover(m, n);
    free_model(m);
}

static void test_errors(gconstpointer data)
{
    for (unsigned i = how_many("DISK_ERRORS", 12); i; i--) {
        errors_once(data);
    }
}

/* The same work each time, and whatever it needs: new tables, tables that are full, old ones. */
static void fixed_work(Model *m, BlockNode *n)
{
    uint64_t third = m->sectors / 3;
    for (uint32_t i = 0; i < 5; i++) {
        change(m, n, i * third / 2, 40, 10 + i);
        change(m, n, i * third / 2 + 7, 9, 20 + i);
        if (i % 2) {
            node_flush(n);
        }
    }
    change(m, n, third / 2, 30, 0);
    node_discard(n, 0, 0);
    node_flush(n);
    change(m, n, third / 2 + 3, 3, 40);
    node_flush(n);
}

/* Every write and every barrier of the work fails once; alone, or with all that follow. */
static void test_every_step(gconstpointer data)
{
    const Kind *k = data;
    make_image(k, 9000 * SECTOR);
    g_autofree uint8_t *start = g_memdup2(mem.bytes->data, mem.bytes->len);
    size_t len = mem.bytes->len;
    bool failed = true;
    int step = 0;
    for (; failed; step++) {
        for (int how = 0; how < 4; how++) {
            memdisk_set(start, len);
            BlockNode *n = open_ok(k, false);
            Model *m = new_model(k, node_length(n));
            mem.fail_in = step;
            mem.fail_on = how & 1;
            mem.fail_errno = how & 2 ? ENOSPC : EIO;
            fixed_work(m, n);
            failed = mem.failed;
            recover(m, n);
            free_model(m);
        }
    }
    g_test_message("%s: %d steps", k->name, step - 1);
    g_assert_cmpint(step, >, 10);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    bql_lock();
    if (access("/dev/shm", W_OK) == 0) {
        g_setenv("TMPDIR", "/dev/shm", FALSE);
    }
    dir = g_dir_make_tmp("orrery-faults-XXXXXX", NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        const struct { const char *name; GTestDataFunc fn; bool wanted; } tests[] = {
            { "cuts", test_power_cuts, true }, { "errors", test_errors, true },
            { "steps", test_every_step, kinds[i].steps },
        };
        for (size_t t = 0; t < G_N_ELEMENTS(tests); t++) {
            g_autofree char *path = g_strdup_printf("/faults/%s/%s", kinds[i].name, tests[t].name);
            if (tests[t].wanted) {
                g_test_add_data_func(path, &kinds[i], tests[t].fn);
            }
        }
    }
    int ret = g_test_run();
    memdisk_clear_log();
    g_autofree char *remove = g_strdup_printf("rm -rf '%s'", dir);
    return system(remove) ? 1 : ret;
}
