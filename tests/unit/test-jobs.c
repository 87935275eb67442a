/* SPDX-License-Identifier: MIT */
/*
 * Block jobs under load: a chain of three qcow2 images with random content, a "guest" that
 * writes all the time and an array that knows what it wrote.  At the end the disk, the copies
 * and what qemu-img (if installed) thinks of the files are compared.
 *
 * Environment: DISK_JOBS = rounds of each test.
 */
#include "block/backend.h"
#include "block/blkdebug.h"
#include "block/drive.h"
#include "block/jobs.h"
#include "util/bql.h"
#include "util/event.h"
#include "util/mainloop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECTOR 512u
#define SIZE   (3u << 20)

static char *dir;
static GString *events;                 /* what happened to jobs, in a line */

static uint32_t below(uint32_t n)
{
    return (uint32_t)g_test_rand_int() % n;
}

static unsigned rounds(unsigned usual)
{
    const char *text = getenv("DISK_JOBS");
    return text ? atoi(text) : usual;
}

static void sink(const char *name, const Json *data)
{
    const Json *status = data ? json_get(data, "status") : NULL;
    g_string_append_printf(events, "%s ", status ? status->s : name);
}

/* ---- the disk ------------------------------------------------------------------------------------- */

typedef struct Disk {
    BlockBackend *blk;
    BlockNode *base, *mid, *top;        /* borrowed; some may have gone */
    uint8_t *model, *buf;
    unsigned in_flight;
    uint64_t writing_from, writing_to;  /* one write at a time, so that the order is known */
    int failed;
} Disk;

static char *path_of(const char *name)
{
    return g_build_filename(dir, name, NULL);
}

static char *make_image(const char *name, const char *backing)
{
    char *path = path_of(name);
    Error *err = NULL;
    g_autoptr(Json) o = json_object();
    unlink(path);
    json_set_uint(o, "size", SIZE);
    json_set_str(o, "cluster_size", below(2) ? "65536" : "4096");
    if (backing) {
        json_set_str(o, "backing_file", backing);
        json_set_str(o, "backing_fmt", "qcow2");
    }
    g_assert_true(node_create_image(block_driver_find("qcow2"), path, o, &err));
    g_assert_no_error(err);
    return path;
}

static BlockNode *open_named(const char *path, const char *name, const char *backing, bool read_only)
{
    Json *o = json_object(), *f = json_object();
    Error *err = NULL;
    json_set_str(f, "driver", "file");
    json_set_str(f, "filename", path);
    json_set_str(o, "driver", "qcow2");
    json_set(o, "file", f);
    json_set_str(o, "node-name", name);
    if (backing) {
        json_set_str(o, "backing", backing);
    }
    BlockNode *n = node_open(o, (BlockFlags) { .read_only = read_only, .unmap = true }, &err);
    g_assert_no_error(err);
    return n;
}

static void random_content(BlockNode *n, uint8_t *model, int writes)
{
    for (int i = 0; i < writes; i++) {
        uint64_t off = below(SIZE / SECTOR) * SECTOR, len = (1 + below(300)) * SECTOR;
        len = MIN(len, SIZE - off);
        if (below(4) == 0) {
            memset(model + off, 0, len);
            g_assert_cmpint(node_write_zeroes(n, off, len, true), ==, 0);
        } else {
            memset(model + off, 1 + below(255), len);
            g_assert_cmpint(node_pwrite(n, off, model + off, len), ==, 0);
        }
    }
}

static void make_disk(Disk *d)
{
    static const char *const files[] = { "base.qcow2", "mid.qcow2", "top.qcow2" };
    static const char *const names[] = { "base", "mid", "top" };
    *d = (Disk) { .model = g_malloc0(SIZE), .buf = g_malloc(SIZE) };
    BlockNode *nodes[3];
    for (int i = 0; i < 3; i++) {
        g_autofree char *path = make_image(files[i], i ? files[i - 1] : NULL);
        nodes[i] = open_named(path, names[i], i ? names[i - 1] : NULL, false);
        random_content(nodes[i], d->model, 12);
        if (i < 2) {
            g_assert_true(node_set_writable(nodes[i], false, NULL));
        }
    }
    d->base = nodes[0];
    d->mid = nodes[1];
    d->top = nodes[2];
    d->blk = blk_new("disk", node_ref(d->top));
}

static void wrote(void *opaque, int ret)
{
    Disk *d = opaque;
    d->in_flight--;
    d->failed = ret ? ret : d->failed;
}

/* The guest: one more write, if the last one is done. */
static void guest(Disk *d)
{
    if (d->in_flight) {
        return;
    }
    uint64_t off = below(SIZE / SECTOR) * SECTOR, len = (1 + below(100)) * SECTOR;
    len = MIN(len, SIZE - off);
    d->in_flight++;
    if (below(5) == 0) {
        memset(d->model + off, 0, len);
        blk_write_zeroes(d->blk, off, len, BLK_MAY_UNMAP, wrote, d);
    } else {
        memset(d->model + off, 1 + below(255), len);
        struct iovec iov = { d->model + off, len };
        blk_write(d->blk, off, &iov, 1, 0, wrote, d);
    }
}

static void check_node(Disk *d, BlockNode *n, const uint8_t *want)
{
    g_assert_cmpint(node_pread(n, 0, d->buf, SIZE), ==, 0);
    for (uint64_t i = 0; i < SIZE; i += SECTOR) {
        if (memcmp(d->buf + i, want + i, SECTOR)) {
            g_test_message("sector %u: %02x, not %02x", (unsigned)(i / SECTOR), d->buf[i], want[i]);
            g_test_fail();
            return;
        }
    }
}

/* Closes everything; the files must be sound, and `file` hold the model for qemu-img too. */
static void end_disk(Disk *d, const char *file, const uint8_t *want)
{
    blk_drain(d->blk);
    g_assert_cmpint(d->failed, ==, 0);
    check_node(d, blk_root(d->blk), d->model);
    block_close_all();
    g_autofree char *raw = path_of("want.raw");
    g_assert_true(g_file_set_contents(raw, (char *)want, SIZE, NULL));
    g_autofree char *line = g_strdup_printf("cd '%s' && for i in *.qcow2; do qemu-img check -q $i || exit 1;"
                                            " done && qemu-img compare -q -F raw %s want.raw", dir, file);
    g_autofree char *which = g_find_program_in_path("qemu-img");
    if (which && system(line) != 0) {
        g_test_message("%s", line);
        g_test_fail();
    }
    g_free(d->model);
    g_free(d->buf);
}

/* ---- running a job ------------------------------------------------------------------------------------ */

static void run_job(Disk *d, Job *j, bool complete)
{
    int64_t give_up = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;
    int pauses = below(3);
    bool told = false;
    g_autofree char *id = g_strdup(j->id);
    job_start(j);
    while ((j = job_find(id)) && j->status != JOB_CONCLUDED) {
        guest(d);
        mainloop_iterate(d->in_flight != 0);
        j = job_find(id);
        if (j && pauses && below(4) == 0 && j->status < JOB_WAITING) {
            pauses--;
            if (job_pause(j, NULL)) {
                for (int i = 0; i < 5; i++) {
                    guest(d);
                    mainloop_iterate(true);
                }
                j = job_find(id);       /* it may have been over already */
                if (j && j->status < JOB_WAITING) {
                    g_assert_true(job_resume(j, NULL));
                }
            }
        }
        if (j && complete && j->ready && !told && below(3) == 0) {
            g_assert_true(job_complete(j, NULL));
            told = true;
        }
        g_assert_cmpint(g_get_monotonic_time(), <, give_up);
    }
    for (int i = 0; i < 5; i++) {       /* life goes on */
        guest(d);
        mainloop_iterate(d->in_flight != 0);
    }
}

static const JobOptions plain = { .id = (char *)"job0" };

static Job *made(Job *j, Error *err)
{
    g_assert_no_error(err);
    g_assert_nonnull(j);
    g_string_truncate(events, 0);
    return j;
}

static BlockNode *new_target(const char *name, const char *file)
{
    g_autofree char *path = make_image(file, NULL);
    return open_named(path, name, NULL, false);
}

static void mirror(bool blocking)
{
    for (unsigned i = rounds(4); i; i--) {
        Disk d;
        Error *err = NULL;
        make_disk(&d);
        MirrorOptions m = { .source = d.top, .target = new_target("copy", "copy.qcow2"),
                            .sync = SYNC_FULL, .blocking = blocking };
        Job *j = made(job_mirror(&plain, &m, &err), err);
        run_job(&d, j, true);
        g_assert_true(blk_root(d.blk) == m.target);
        g_assert_nonnull(strstr(events->str, "ready BLOCK_JOB_READY"));
        g_assert_true(g_str_has_suffix(events->str,
                                       "waiting pending BLOCK_JOB_COMPLETED concluded null "));
        uint8_t *want = d.model;
        end_disk(&d, "copy.qcow2", want);
    }
}

static void test_mirror(void)
{
    mirror(false);
}

static void test_mirror_blocking(void)
{
    mirror(true);
}

static void test_mirror_cancel(void)
{
    Disk d;
    Error *err = NULL;
    make_disk(&d);
    MirrorOptions m = { .source = d.top, .target = new_target("copy", "copy.qcow2") };
    Job *j = made(job_mirror(&plain, &m, &err), err);
    job_start(j);
    while (!j->ready) {
        guest(&d);
        mainloop_iterate(true);
    }
    g_assert_null(job_mirror(&plain, &m, &err));
    g_assert_nonnull(err);
    g_clear_error(&err);
    g_assert_false(node_delete("copy", NULL));
    blk_drain(d.blk);
    uint8_t *then = g_memdup2(d.model, SIZE);
    g_assert_true(job_cancel(j, false, NULL));      /* a copy of this moment */
    while (job_find("job0")) {
        mainloop_iterate(true);
    }
    g_assert_true(blk_root(d.blk) == d.top);
    check_node(&d, m.target, then);
    g_free(then);

    m.target = node_find("copy");
    j = made(job_mirror(&(JobOptions) { .id = (char *)"job0", .speed = 1000 }, &m, &err), err);
    job_start(j);
    g_assert_true(job_cancel(j, true, NULL));
    while (job_find("job0")) {
        mainloop_iterate(true);
    }
    g_assert_true(g_str_has_suffix(events->str, "aborting BLOCK_JOB_CANCELLED concluded null "));
    uint8_t *want = d.model;
    end_disk(&d, "top.qcow2", want);
}

static void test_commit(void)
{
    for (unsigned i = rounds(6); i; i--) {
        Disk d;
        Error *err = NULL;
        make_disk(&d);
        bool into_mid = below(2);
        BlockNode *base = into_mid ? d.mid : d.base;
        run_job(&d, made(job_commit(&plain, d.top, d.top, base, NULL, &err), err), true);
        g_assert_true(blk_root(d.blk) == base);
        g_assert_false(base->flags.read_only);
        uint8_t *want = d.model;
        end_disk(&d, into_mid ? "mid.qcow2" : "base.qcow2", want);
    }
}

static void test_commit_middle(void)
{
    for (unsigned i = rounds(6); i; i--) {
        Disk d;
        Error *err = NULL;
        make_disk(&d);
        run_job(&d, made(job_commit(&plain, d.top, d.mid, d.base, NULL, &err), err), false);
        g_assert_true(blk_root(d.blk) == d.top && d.top->backing == d.base);
        g_assert_true(d.base->flags.read_only);
        g_autofree char *base = path_of("base.qcow2");
        g_assert_cmpstr(d.top->backing_file, ==, base);
        uint8_t *want = d.model;
        end_disk(&d, "top.qcow2", want);
    }
}

static void test_stream(void)
{
    for (unsigned i = rounds(6); i; i--) {
        Disk d;
        Error *err = NULL;
        make_disk(&d);
        BlockNode *base = below(2) ? d.base : NULL;
        run_job(&d, made(job_stream(&plain, d.top, d.top, base, NULL, &err), err), false);
        g_assert_true(blk_root(d.blk) == d.top && d.top->backing == base);
        uint8_t *want = d.model;
        end_disk(&d, "top.qcow2", want);
    }
}

static void test_backup(void)
{
    for (unsigned i = rounds(6); i; i--) {
        Disk d;
        Error *err = NULL;
        make_disk(&d);
        BackupOptions b = { .source = d.top, .target = new_target("copy", "copy.qcow2"),
                            .compress = below(2) };
        g_autofree uint8_t *then = g_memdup2(d.model, SIZE);
        run_job(&d, made(job_backup(&plain, &b, &err), err), false);
        check_node(&d, b.target, then);
        end_disk(&d, "copy.qcow2", then);
    }
}

/* A full backup, then one of what changed since, written over it. */
static void test_incremental(void)
{
    for (unsigned i = rounds(4); i; i--) {
        Disk d;
        Error *err = NULL;
        make_disk(&d);
        BackupOptions b = { .source = d.top, .target = new_target("copy", "copy.qcow2") };
        graph_write_lock();
        g_assert_true(bitmap_add(d.top, "bitmap0", 0, false, &err));
        graph_write_unlock();
        run_job(&d, made(job_backup(&plain, &b, &err), err), false);
        blk_drain(d.blk);
        b.sync = SYNC_INCREMENTAL;
        b.bitmap = bitmap_find(d.top, "bitmap0", NULL);
        g_autofree uint8_t *then = g_memdup2(d.model, SIZE);
        run_job(&d, made(job_backup(&plain, &b, &err), err), false);
        check_node(&d, b.target, then);
        end_disk(&d, "copy.qcow2", then);
    }
}

/* The target runs out of space: the job pauses, and goes on when told to. */
static void test_errors(void)
{
    Disk d;
    Error *err = NULL;
    make_disk(&d);
    g_autofree char *path = make_image("copy.qcow2", NULL);
    g_autofree char *options = g_strdup_printf(
        "driver=blkdebug,node-name=dbg,file.driver=qcow2,file.file.filename=%s", path);
    g_assert_true(blockdev_add(options, &err));
    g_assert_no_error(err);
    MirrorOptions m = { .source = d.top, .target = node_find("dbg") };
    for (int policy = 0; policy < 2; policy++) {
        block_inject("dbg", BLOCK_INJECT_WRITE, ENOSPC, -1, true);
        JobOptions o = { .id = (char *)"job0", .on_target_error = policy ? JOB_ERROR_REPORT
                                                                        : JOB_ERROR_ENOSPC };
        Job *j = made(job_mirror(&o, &m, &err), err);
        job_start(j);
        while (policy == 0 && j->status != JOB_PAUSED) {
            mainloop_iterate(true);
        }
        if (policy == 0) {
            Json *info = block_job_info(j);
            g_assert_cmpstr(json_get(info, "io-status")->s, ==, "nospace");
            json_free(info);
            g_assert_true(job_resume(j, &err));
            while (!j->ready) {
                mainloop_iterate(true);
            }
            g_assert_true(job_cancel(j, true, NULL));
        }
        while (job_find("job0")) {
            mainloop_iterate(true);
        }
        g_assert_nonnull(strstr(events->str, "BLOCK_JOB_ERROR"));
        g_assert_true(g_str_has_suffix(events->str, policy
                      ? "aborting BLOCK_JOB_COMPLETED concluded null "
                      : "aborting BLOCK_JOB_CANCELLED concluded null "));
    }
    uint8_t *want = d.model;
    end_disk(&d, "top.qcow2", want);
}

static void test_speed(void)
{
    Disk d;
    Error *err = NULL;
    make_disk(&d);
    MirrorOptions m = { .source = d.top, .target = new_target("copy", "copy.qcow2"),
                        .granularity = 65536, .buf_size = 65536 };
    JobOptions o = { .id = (char *)"job0", .speed = 1 << 20 };
    Job *j = made(job_mirror(&o, &m, &err), err);
    int64_t start = g_get_monotonic_time();
    job_start(j);
    while (!j->ready) {
        mainloop_iterate(true);
    }
    g_assert_cmpint(g_get_monotonic_time() - start, >, 2 * G_USEC_PER_SEC);   /* 3 MiB */
    job_cancel(j, true, NULL);
    uint8_t *want = d.model;
    end_disk(&d, "top.qcow2", want);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    mainloop_init();
    block_init();
    events = g_string_new(NULL);
    event_set_sink(sink);
    if (access("/dev/shm", W_OK) == 0) {
        g_setenv("TMPDIR", "/dev/shm", FALSE);  /* nothing here is about waiting for a disk */
    }
    dir = g_dir_make_tmp("orrery-jobs-XXXXXX", NULL);
    g_test_add_func("/jobs/mirror", test_mirror);
    g_test_add_func("/jobs/mirror-blocking", test_mirror_blocking);
    g_test_add_func("/jobs/mirror-cancel", test_mirror_cancel);
    g_test_add_func("/jobs/commit", test_commit);
    g_test_add_func("/jobs/commit-middle", test_commit_middle);
    g_test_add_func("/jobs/stream", test_stream);
    g_test_add_func("/jobs/backup", test_backup);
    g_test_add_func("/jobs/incremental", test_incremental);
    g_test_add_func("/jobs/errors", test_errors);
    g_test_add_func("/jobs/speed", test_speed);
    int ret = g_test_run();
    g_autofree char *remove = g_strdup_printf("rm -rf '%s'", dir);
    return system(remove) ? 1 : ret;
}
