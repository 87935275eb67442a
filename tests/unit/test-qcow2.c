/* SPDX-License-Identifier: MIT */
/*
 * qcow2 against a model: random sequences of everything that changes an image, checked by
 * ourselves and (if installed) by qemu-img; power cuts at any point with the writes since the
 * last barrier done in part and in any order; errors at any write; mutated images.
 *
 * Environment, for `make check-disk`: DISK_SEQUENCES, DISK_CUTS, DISK_MUTATIONS, DISK_ERRORS =
 * how many.  A failure names its seed: `--seed` of the program repeats it.
 */
#include "block/block.h"
#include "block/node.h"
#include "util/bql.h"
#include "util/iov.h"

#include <errno.h>
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

/* ---- a disk in memory that remembers --------------------------------------------------------- */

typedef struct LogEntry {
    uint64_t off;
    uint32_t len;                       /* 0: a barrier */
    uint8_t *data;
} LogEntry;

static struct {
    GByteArray *bytes;
    GArray *log;                        /* of LogEntry, NULL: not kept */
    int fail_in, fail_errno;            /* the nth change from now fails; < 0 never */
    bool fail_on;                       /* and all after it */
    GMutex lock;
} mem = { .fail_in = -1 };

static bool mem_fails(void)
{
    if (mem.fail_in < 0) {
        return false;
    }
    if (mem.fail_in > 0) {
        mem.fail_in--;
        return false;
    }
    mem.fail_in = mem.fail_on ? 0 : -1;
    return true;
}

static bool mem_open(BlockNode *n, Json *options, Error **err)
{
    return true;
}

static void mem_close(BlockNode *n)
{
}

static int64_t mem_length(BlockNode *n)
{
    return mem.bytes->len;
}

static int mem_read(BlockNode *n, uint64_t off, const struct iovec *iov, int niov)
{
    size_t len = iov_size(iov, niov);
    g_mutex_lock(&mem.lock);
    size_t have = off >= mem.bytes->len ? 0 : MIN(len, mem.bytes->len - off);
    iov_from_buf(iov, niov, 0, mem.bytes->data + off, have);
    iov_memset(iov, niov, have, 0, len - have);
    g_mutex_unlock(&mem.lock);
    return 0;
}

static int mem_write(BlockNode *n, uint64_t off, const struct iovec *iov, int niov)
{
    size_t len = iov_size(iov, niov);
    int ret = 0;
    g_mutex_lock(&mem.lock);
    if (mem_fails()) {
        ret = -mem.fail_errno;
    } else if (off + len > 64 << 20) {
        ret = -EFBIG;
    } else {
        if (off + len > mem.bytes->len) {
            size_t old = mem.bytes->len;
            g_byte_array_set_size(mem.bytes, off + len);
            memset(mem.bytes->data + old, 0, off + len - old);
        }
        iov_to_buf(iov, niov, 0, mem.bytes->data + off, len);
        if (mem.log) {
            LogEntry e = { off, len, g_memdup2(mem.bytes->data + off, len) };
            g_array_append_val(mem.log, e);
        }
    }
    g_mutex_unlock(&mem.lock);
    return ret;
}

static int mem_flush(BlockNode *n)
{
    int ret = 0;
    g_mutex_lock(&mem.lock);
    if (mem_fails()) {
        ret = -mem.fail_errno;
    } else if (mem.log) {
        LogEntry e = { 0 };
        g_array_append_val(mem.log, e);
    }
    g_mutex_unlock(&mem.lock);
    return ret;
}

static bool mem_truncate(BlockNode *n, uint64_t length, BlockPrealloc prealloc, Error **err)
{
    size_t old = mem.bytes->len;
    if (length > 64 << 20) {
        return fail(err, "too long");
    }
    g_byte_array_set_size(mem.bytes, length);
    if (length > old) {
        memset(mem.bytes->data + old, 0, length - old);
    }
    return true;
}

static const BlockDriver mem_driver = {
    .name = "mem", .protocol = true, .open = mem_open, .close = mem_close, .length = mem_length,
    .read = mem_read, .write = mem_write, .flush = mem_flush, .truncate = mem_truncate,
};
BLOCK_DRIVER(mem_driver);

static void clear_log(void)
{
    for (guint i = 0; mem.log && i < mem.log->len; i++) {
        g_free(g_array_index(mem.log, LogEntry, i).data);
    }
    g_clear_pointer(&mem.log, g_array_unref);
}

static void set_mem(const uint8_t *data, size_t len)
{
    if (!mem.bytes) {
        mem.bytes = g_byte_array_new();
    }
    g_byte_array_set_size(mem.bytes, 0);
    g_byte_array_append(mem.bytes, data, len);
    mem.fail_in = -1;
}

/* ---- images ------------------------------------------------------------------------------------ */

static BlockNode *open_mem(bool read_only, bool check, Error **err)
{
    Json *o = json_object(), *file = json_object();
    json_set_str(file, "driver", "mem");
    json_set_str(o, "driver", "qcow2");
    json_set(o, "file", file);
    json_set(o, "backing", json_null());
    return node_open(o, (BlockFlags) { .read_only = read_only, .check = check, .unmap = true }, err);
}

static BlockNode *open_ok(bool check)
{
    Error *err = NULL;
    BlockNode *n = open_mem(false, check, &err);
    g_assert_no_error(err);
    return n;
}

/* A new image in memory with options chosen at random. */
static void make_image(uint64_t size, bool want_v3)
{
    static const char *const clusters[] = { "512", "4096", "65536", "1024", "16384" };
    static const char *const widths[] = { "16", "16", "8", "32", "64" };
    g_autofree char *path = g_build_filename(dir, "new.qcow2", NULL), *data = NULL;
    Error *err = NULL;
    gsize len;
    g_autoptr(Json) o = json_object();
    bool v3 = want_v3 || below(4);
    const char *cluster = clusters[below(5)];
    json_set_uint(o, "size", size);
    json_set_str(o, "cluster_size", cluster);
    json_set_str(o, "compat", v3 ? "1.1" : "0.10");
    if (v3) {
        json_set_str(o, "refcount_bits", widths[below(5)]);
        json_set_bool(o, "lazy_refcounts", !want_v3 && below(4) == 0);
        if (!want_v3 && below(4) == 0 && atoi(cluster) >= 16384) {
            json_set_bool(o, "extended_l2", true);
        }
    }
    g_assert_true(node_create_image(block_driver_find("qcow2"), path, o, &err));
    g_assert_no_error(err);
    g_assert_true(g_file_get_contents(path, &data, &len, NULL));
    clear_log();
    set_mem((uint8_t *)data, len);
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
    make_image(m.size, false);
    BlockNode *n = open_ok(false);
    for (int i = 0; i < steps; i++) {
        random_step(n, &m);
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
        make_image(m.size, false);
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

/* ---- power cuts ------------------------------------------------------------------------------------ */

/*
 * Every sector written holds one number, and the test knows which numbers a sector may hold
 * after a cut: the one of the last write before the last flush, or any later one.
 */
typedef struct Promise {
    uint64_t sectors;
    GArray **allowed;                   /* of uint32_t */
} Promise;

typedef struct Event {
    guint at;                           /* length of the log when it happened */
    uint64_t sector, count;             /* count 0: a flush came back */
    uint32_t value;                     /* 0: zeroes */
} Event;

static GArray *record_events(uint64_t size, int steps)
{
    GArray *events = g_array_new(FALSE, FALSE, sizeof(Event));
    BlockNode *n = open_ok(false);
    uint8_t *buf = g_malloc(64 * SECTOR);
    for (int i = 0; i < steps; i++) {
        uint64_t sector = below(size / SECTOR), count = 1 + below(64);
        count = MIN(count, size / SECTOR - sector);
        Event e = { 0, sector, count, i + 1 };
        if (below(5) == 0) {
            e.count = 0;
            g_assert_cmpint(node_flush(n), ==, 0);
            e.at = mem.log->len;
        } else if (below(4) == 0) {
            e.value = 0;
            e.at = mem.log->len;        /* from here on it may be seen */
            g_assert_cmpint(node_write_zeroes(n, sector * SECTOR, count * SECTOR, below(2)), ==, 0);
        } else {
            for (uint64_t s = 0; s < count * SECTOR / 4; s++) {
                ((uint32_t *)buf)[s] = e.value;
            }
            e.at = mem.log->len;
            g_assert_cmpint(node_pwrite(n, sector * SECTOR, buf, count * SECTOR), ==, 0);
        }
        g_array_append_val(events, e);
    }
    g_free(buf);
    mem.fail_in = 0;                    /* the power goes: closing writes nothing */
    mem.fail_on = true;
    mem.fail_errno = EIO;
    GArray *log = mem.log;
    mem.log = NULL;
    node_unref(n);
    mem.log = log;
    mem.fail_on = false;
    mem.fail_in = -1;
    return events;
}

/* What the disk holds if the power went when `cut` writes had been handed over. */
static void apply_cut(const uint8_t *start, size_t len, guint cut)
{
    guint barrier = 0;
    set_mem(start, len);
    for (guint i = 0; i < cut; i++) {
        barrier = g_array_index(mem.log, LogEntry, i).len ? barrier : i;
    }
    GArray *log = mem.log;
    mem.log = NULL;
    for (guint i = 0; i < cut; i++) {
        LogEntry *e = &g_array_index(log, LogEntry, i);
        for (uint32_t done = 0; done < e->len;) {
            /* sectors are written whole or not at all, each by itself */
            uint32_t part = MIN(SECTOR - (e->off + done) % SECTOR, e->len - done);
            struct iovec iov = { e->data + done, part };
            if (i < barrier || below(2)) {
                mem_write(NULL, e->off + done, &iov, 1);
            }
            done += part;
        }
    }
    mem.log = log;
}

static void check_promises(BlockNode *n, const GArray *events, guint cut, uint64_t size)
{
    uint64_t sectors = size / SECTOR;
    g_autofree GArray **allowed = g_new0(GArray *, sectors);
    g_autofree uint8_t *buf = g_malloc(size);
    for (uint64_t s = 0; s < sectors; s++) {
        uint32_t zero = 0;
        allowed[s] = g_array_new(FALSE, FALSE, 4);
        g_array_append_val(allowed[s], zero);
    }
    for (guint i = 0; i < events->len; i++) {
        const Event *e = &g_array_index(events, Event, i);
        if (e->at > cut || (e->count && e->at == cut && i + 1 < events->len)) {
            /* not begun; one that begins exactly here left no trace either */
            if (e->at > cut) {
                break;
            }
        }
        for (uint64_t s = e->sector; s < e->sector + e->count; s++) {
            g_array_append_val(allowed[s], e->value);
        }
        for (uint64_t s = 0; !e->count && s < sectors; s++) {
            g_array_remove_range(allowed[s], 0, allowed[s]->len - 1);
        }
    }
    g_assert_cmpint(node_pread(n, 0, buf, size), ==, 0);
    for (uint64_t s = 0; s < sectors; s++) {
        const uint32_t *have = (const uint32_t *)(buf + s * SECTOR);
        bool ok = false;
        for (guint i = 0; i < allowed[s]->len; i++) {
            ok |= g_array_index(allowed[s], uint32_t, i) == have[0];
        }
        for (unsigned i = 1; i < SECTOR / 4; i++) {
            ok &= have[i] == have[0];
        }
        if (!ok) {
            g_test_message("cut %u: sector %" PRIu64 " holds %u, last allowed %u", cut, s, have[0],
                           g_array_index(allowed[s], uint32_t, allowed[s]->len - 1));
        }
        g_assert_true(ok);
        g_array_unref(allowed[s]);
    }
}

static void test_power_cuts(void)
{
    unsigned cuts = how_many("DISK_CUTS", 200), done = 0;
    while (done < cuts) {
        uint64_t size = (200 + below(2000)) * SECTOR;
        make_image(size, true);
        g_autofree uint8_t *start = g_memdup2(mem.bytes->data, mem.bytes->len);
        size_t len = mem.bytes->len;
        mem.log = g_array_new(FALSE, FALSE, sizeof(LogEntry));
        GArray *events = record_events(size, 60);
        for (int i = 0; i < 40 && done < cuts; i++, done++) {
            guint cut = below(mem.log->len + 1);
            apply_cut(start, len, cut);
            GArray *log = mem.log;
            mem.log = NULL;
            BlockNode *n = open_ok(true);
            check_clean(n, false);
            check_promises(n, events, cut, size);
            node_unref(n);
            mem.log = log;
        }
        g_array_unref(events);
        clear_log();
    }
}

/* ---- errors ----------------------------------------------------------------------------------------- */

/* A write that fails may have changed its sectors or not; nothing else may suffer. */
static void errors_once(void)
{
    uint64_t size = (200 + below(2000)) * SECTOR, sectors = size / SECTOR;
    make_image(size, true);
    BlockNode *n = open_ok(false);
    g_autofree uint32_t *value = g_new0(uint32_t, sectors), *other = g_new0(uint32_t, sectors);
    g_autofree uint8_t *buf = g_malloc(64 * SECTOR), *all = g_malloc(size);
    for (int i = 1; i < 80; i++) {
        uint64_t sector = below(sectors), count = 1 + below(64);
        count = MIN(count, sectors - sector);
        uint32_t v = below(4) ? i : 0;
        if (below(3) == 0) {
            mem.fail_in = below(4);
            mem.fail_errno = below(2) ? EIO : ENOSPC;
        }
        if (below(5) == 0) {
            node_flush(n);
            mem.fail_in = -1;
            continue;
        }
        for (uint64_t s = 0; s < count * SECTOR / 4; s++) {
            ((uint32_t *)buf)[s] = v;
        }
        int ret = v ? node_pwrite(n, sector * SECTOR, buf, count * SECTOR)
                    : node_write_zeroes(n, sector * SECTOR, count * SECTOR, true);
        mem.fail_in = -1;
        for (uint64_t s = sector; s < sector + count; s++) {
            other[s] = ret ? value[s] : v;      /* after an error either */
            value[s] = v;
        }
        if (ret) {                      /* which of both?  It stays so. */
            g_assert_cmpint(node_pread(n, 0, all, size), ==, 0);
            for (uint64_t s = sector; s < sector + count; s++) {
                uint32_t have = *(uint32_t *)(all + s * SECTOR);
                if (have != value[s] && have != other[s]) {
                    g_test_message("write %d: sector %" PRIu64 " holds %u, not %u or %u", i, s, have,
                                   value[s], other[s]);
                }
                g_assert_true(have == value[s] || have == other[s]);
                value[s] = have;
            }
        }
    }
    for (int round = 0; round < 2; round++) {
        g_assert_cmpint(node_pread(n, 0, all, size), ==, 0);
        for (uint64_t s = 0; s < sectors; s++) {
            g_assert_cmpuint(*(uint32_t *)(all + s * SECTOR), ==, value[s]);
        }
        check_clean(n, false);
        node_unref(n);
        n = round ? NULL : open_ok(true);
    }
}

static void test_errors(void)
{
    for (unsigned i = how_many("DISK_ERRORS", 60); i; i--) {
        errors_once();
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

static void test_mutations(void)
{
    for (unsigned i = how_many("DISK_MUTATIONS", 300); i;) {
        Model m = { .size = 600 * SECTOR };
        m.data = g_malloc0(m.size);
        make_image(m.size, false);
        BlockNode *n = open_ok(false);
        for (int s = 0; s < 30; s++) {
            random_step(n, &m);
        }
        node_unref(n);
        g_autofree uint8_t *good = g_memdup2(mem.bytes->data, mem.bytes->len);
        size_t len = mem.bytes->len;
        for (int k = 0; k < 25 && i; k++, i--) {
            set_mem(good, len);
            mutate(mem.bytes->data, len);
            int64_t begin = g_get_monotonic_time();
            n = open_mem(below(4) == 0, below(2), NULL);
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

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    bql_lock();
    dir = g_dir_make_tmp("orrery-qcow2-XXXXXX", NULL);
    g_test_add_func("/qcow2/sequences", test_sequences);
    g_test_add_func("/qcow2/threads", test_threads);
    g_test_add_func("/qcow2/power-cuts", test_power_cuts);
    g_test_add_func("/qcow2/errors", test_errors);
    g_test_add_func("/qcow2/mutations", test_mutations);
    g_test_add_func("/qcow2/chains", test_chains);
    int ret = g_test_run();
    clear_log();
    g_autofree char *remove = g_strdup_printf("rm -rf '%s'", dir);
    return system(remove) ? 1 : ret;
}
