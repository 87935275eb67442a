/* SPDX-License-Identifier: MIT */
/*
 * Block layer: requests against a model, overlays, locks, errors, media change, -drive syntax.
 */
#include "block/backend.h"
#include "block/blkdebug.h"
#include "block/drive.h"
#include "tests/unit/common.h"
#include "util/bql.h"
#include "util/iov.h"
#include "util/mainloop.h"
#include "util/timer.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char *dir;                       /* for the images of this run */

static char *image(const char *name, off_t size)
{
    char *path = g_build_filename(dir, name, NULL);
    int fd = open(path, O_CREAT | O_TRUNC | O_RDWR, 0600);
    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(ftruncate(fd, size), ==, 0);
    close(fd);
    return path;
}

static DriveInfo *drive(const char *fmt, ...) G_GNUC_PRINTF(1, 2);
static DriveInfo *drive(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    g_autofree char *options = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    Error *err = NULL;
    DriveInfo *d = drive_add(options, DRIVE_IF_NONE, &err);
    g_assert_no_error(err);
    return d;
}

static void check_drive_error(const char *message, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
static void check_drive_error(const char *message, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    g_autofree char *options = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    Error *err = NULL;
    g_assert_null(drive_add(options, DRIVE_IF_IDE, &err));
    assert_error(err, message);
}

/* ---- asynchronous requests ------------------------------------------------------------ */

typedef struct Result {
    int calls, ret;
} Result;

static void done(void *opaque, int ret)
{
    Result *r = opaque;
    g_assert_true(bql_locked());
    r->calls++;
    r->ret = ret;
}

static int finish(Result *r)
{
    int64_t give_up = clock_ns(ORRERY_CLOCK_REAL) + 20 * NS_PER_SEC;
    while (!r->calls) {
        g_assert_cmpint(clock_ns(ORRERY_CLOCK_REAL), <, give_up);
        mainloop_iterate(true);
    }
    g_assert_cmpint(r->calls, ==, 1);
    return r->ret;
}

static int rw(BlockBackend *b, bool write, uint64_t off, void *buf, size_t len)
{
    Result r = { 0 };
    struct iovec iov[3] = { { buf, len / 3 }, { (char *)buf + len / 3, len / 2 } };
    iov[2] = (struct iovec) { (char *)buf + len / 3 + len / 2, len - len / 3 - len / 2 };
    if (write) {
        blk_write(b, off, iov, 3, 0, done, &r);
    } else {
        blk_read(b, off, iov, 3, done, &r);
    }
    g_assert_cmpint(r.calls, ==, 0);    /* never from inside the call */
    memset(iov, 0xee, sizeof(iov));     /* the array was copied */
    return finish(&r);
}

/* Random requests on a drive and on an array: the same at every read and at the end. */
static void compare_with_model(BlockBackend *b, int steps)
{
    size_t size = blk_length(b);
    g_autofree uint8_t *model = g_malloc0(size), *buf = g_malloc(size);
    g_assert_cmpint(rw(b, false, 0, model, size), ==, 0);
    for (int i = 0; i < steps; i++) {
        size_t off = g_test_rand_int_range(0, size), len = g_test_rand_int_range(0, size - off);
        if (g_test_rand_bit()) {        /* sectors, as devices do */
            off &= ~511ul;
            len &= ~511ul;
        }
        Result r = { 0 };
        switch (g_test_rand_int_range(0, 5)) {
        case 0:
        case 1:
            memset(buf, g_test_rand_int(), len);
            memcpy(model + off, buf, len);
            g_assert_cmpint(rw(b, true, off, buf, len), ==, 0);
            break;
        case 2:
            memset(model + off, 0, len);
            blk_write_zeroes(b, off, len, g_test_rand_bit() ? BLK_MAY_UNMAP : 0, done, &r);
            g_assert_cmpint(finish(&r), ==, 0);
            break;
        case 3:
            blk_flush(b, done, &r);
            g_assert_cmpint(finish(&r), ==, 0);
            break;
        default:
            memset(buf, 0xaa, len);
            g_assert_cmpint(rw(b, false, off, buf, len), ==, 0);
            g_assert_cmpmem(buf, len, model + off, len);
        }
    }
    g_assert_cmpint(rw(b, false, 0, buf, size), ==, 0);
    g_assert_cmpmem(buf, size, model, size);
}

static void test_model(void)
{
    static const char *const variants[] = {
        "", "cache=writethrough", "cache=unsafe", "discard=unmap,detect-zeroes=unmap", "cache=none",
        "cache=directsync", "snapshot=on", "size=65536,offset=4096",
        "aio=io_uring", "aio=io_uring,cache=none",
    };
    for (size_t i = 0; i < G_N_ELEMENTS(variants); i++) {
        g_autofree char *path = image("model.img", 100 * 1024);
        DriveInfo *d;
        if (strstr(variants[i], "cache=none") || strstr(variants[i], "directsync")) {
            int fd = open(path, O_RDWR | O_DIRECT);
            if (fd < 0) {
                g_test_message("no O_DIRECT here");
                continue;
            }
            close(fd);
        }
        d = drive("id=m,file=%s,format=raw%s%s", path, *variants[i] ? "," : "", variants[i]);
        compare_with_model(d->blk, 120);
        block_close_all();
    }
}

/* Limits hold requests back, but nobody who drains. */
static void test_limits(void)
{
    g_autofree char *path = image("limits.img", 64 * 1024);
    DriveInfo *d = drive("id=m,file=%s,format=raw,iops=20", path);
    ThrottleConfig c;
    char buf[512];
    struct iovec iov = { buf, sizeof(buf) };
    int64_t begin = clock_ns(ORRERY_CLOCK_REAL);
    Result r = { 0 };
    for (int i = 0; i < 12; i++) {
        blk_read(d->blk, i * 512, &iov, 1, done, &r);
    }
    while (r.calls < 12) {
        mainloop_iterate(true);
    }
    /* two at once, then one each 50 ms */
    g_assert_cmpint(clock_ns(ORRERY_CLOCK_REAL) - begin, >, 350 * NS_PER_MS);
    throttle_group_config(blk_throttle(d->blk), &c);
    c.avg[LIMIT_IOPS_TOTAL] = 1;
    throttle_group_set(blk_throttle(d->blk), &c);
    r.calls = 0;
    for (int i = 0; i < 100; i++) {
        blk_read(d->blk, i * 512, &iov, 1, done, &r);
    }
    begin = clock_ns(ORRERY_CLOCK_REAL);
    blk_drain(d->blk);
    g_assert_cmpint(r.calls, ==, 100);
    g_assert_cmpint(clock_ns(ORRERY_CLOCK_REAL) - begin, <, 40 * NS_PER_SEC);   /* not 100 s */
    block_close_all();
    check_drive_error("bps/iops/max total values and read/write values cannot be used at the same time",
                      "file=%s,format=raw,throttling.iops-total=5,throttling.iops-read=5", path);
    check_drive_error("unknown option 'throttling.iops'", "file=%s,format=raw,throttling.iops=5", path);
    check_drive_error("iops-total-max cannot be lower than iops-total",
                      "file=%s,format=raw,iops=10,iops_max=5", path);
}

/* Two drives, one group; a node under limits. */
static void test_limit_groups(void)
{
    g_autofree char *path = image("limits.img", 64 * 1024), *path2 = image("limits2.img", 64 * 1024);
    DriveInfo *a = drive("id=a,file=%s,format=raw,iops=100,throttling.group=g", path);
    DriveInfo *b = drive("id=b,file=%s,format=raw,iops=100,throttling.group=g", path2);
    g_assert_true(blk_throttle(a->blk) == blk_throttle(b->blk));
    Error *err = NULL;
    g_assert_true(blockdev_add("throttle,node-name=t,throttle-group=g,file.driver=null-co,file.size=64k", &err));
    g_assert_no_error(err);
    BlockNode *t = node_find("t");
    char buf[512];
    int64_t begin = clock_ns(ORRERY_CLOCK_REAL);
    for (int i = 0; i < 40; i++) {
        g_assert_cmpint(node_pread(t, 0, buf, sizeof(buf)), ==, 0);
    }
    g_assert_cmpint(clock_ns(ORRERY_CLOCK_REAL) - begin, >, 200 * NS_PER_MS);
    block_close_all();
    g_assert_null(throttle_group_find("g"));
}

static void test_snapshot_leaves_base_alone(void)
{
    g_autofree char *path = image("base.img", 10 * 512);
    g_assert_cmpint(truncate(path, 0), ==, 0);
    g_assert_true(g_file_set_contents(path, "base data", 9, NULL));
    g_assert_cmpint(truncate(path, 5000), ==, 0);
    g_assert_cmpint(chmod(path, 0400), ==, 0);
    DriveInfo *d = drive("id=s,file=%s,format=raw,snapshot=on", path);
    char buf[16] = { 0 };
    g_assert_false(blk_readonly(d->blk));
    g_assert_cmpuint(blk_length(d->blk), ==, 5120);
    g_assert_cmpint(rw(d->blk, true, 5, (char[]) { 'D' }, 1), ==, 0);
    g_assert_cmpint(rw(d->blk, false, 0, buf, 9), ==, 0);
    g_assert_cmpstr(buf, ==, "base Data");
    block_close_all();
    g_autofree char *text = NULL;
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_assert_cmpstr(text, ==, "base data");
}

/* A drive refuses a file that is no whole number of sectors; a node pads it with zeros. */
static void test_odd_size(void)
{
    g_autofree char *path = image("odd.img", 1000);
    g_autofree char *why = g_strdup_printf(
        "The image '%s' has 1000 bytes: not a whole number of 512-byte sectors", path);
    uint8_t buf[1024];
    struct stat st;

    check_drive_error(why, "file=%s,format=raw", path);
    BlockNode *n = node_open_file(path, "raw", NULL, (BlockFlags) { 0 }, NULL);
    g_assert_nonnull(n);
    g_assert_cmpint(node_length(n), ==, 1024);
    memset(buf, 0xff, sizeof(buf));
    g_assert_cmpint(node_pread(n, 512, buf, 512), ==, 0);
    g_assert_true(iov_is_zero(&(struct iovec) { buf, 512 }, 1));
    memset(buf, 0x77, sizeof(buf));
    g_assert_cmpint(node_pwrite(n, 512, buf, 512), ==, 0);
    g_assert_cmpint(stat(path, &st), ==, 0);
    g_assert_cmpint(st.st_size, ==, 1024);
    g_assert_cmpint(node_pread(n, 513, buf, 512), ==, -EIO);
    g_assert_cmpint(node_pread(n, UINT64_MAX - 5, buf, 10), ==, -EIO);
    node_unref(n);
}

/* ---- draining and cancelling ------------------------------------------------------------ */

typedef struct Chain {
    BlockBackend *blk;
    int left, calls;
    uint8_t byte;
} Chain;

static void chain_next(void *opaque, int ret)
{
    Chain *c = opaque;
    c->calls++;
    if (c->left--) {
        struct iovec iov = { &c->byte, 1 };
        blk_read(c->blk, 0, &iov, 1, chain_next, c);
    }
}

static void test_drain(void)
{
    DriveInfo *d = drive("id=n,driver=null-co,size=1M,latency-ns=2000000");
    DriveInfo *e = drive("id=e,driver=null-co,size=1M,latency-ns=50000000");
    Chain c = { d->blk, 5, 0, 0 };
    Result other = { 0 };
    struct iovec iov = { &c.byte, 1 };
    blk_read(e->blk, 0, &iov, 1, done, &other);
    blk_read(d->blk, 0, &iov, 1, chain_next, &c);
    g_assert_cmpuint(blk_in_flight(d->blk), ==, 1);
    blk_drain(d->blk);
    g_assert_cmpint(c.calls, ==, 6);
    g_assert_cmpint(other.calls, ==, 0);        /* somebody else's callbacks wait */
    blk_drain_all();
    g_assert_cmpint(other.calls, ==, 1);
    g_assert_cmpuint(blk_in_flight(e->blk), ==, 0);

    Result r = { 0 };
    BlkRequest *q = blk_read(e->blk, 0, &iov, 1, done, &r);
    blk_cancel(q);
    g_assert_cmpint(r.calls, ==, 1);
    g_assert_true(r.ret == 0 || r.ret == -ECANCELED);
    block_close_all();
}

/* More requests than threads, all at once, each to its own place. */
static void test_many(void)
{
    enum { N = 500 };
    g_autofree char *path = image("many.img", N * 512);
    DriveInfo *d = drive("id=many,file=%s,format=raw", path);
    static Result r[N];
    static uint8_t buf[N][512], back[N * 512];
    memset(r, 0, sizeof(r));
    for (int i = 0; i < N; i++) {
        memset(buf[i], i, 512);
        struct iovec iov = { buf[i], 512 };
        blk_write(d->blk, i * 512, &iov, 1, i % 10 ? 0 : BLK_FUA, done, &r[i]);
    }
    blk_drain(d->blk);
    g_assert_cmpint(blk_pread(d->blk, 0, back, sizeof(back)), ==, 0);
    g_assert_cmpmem(back, sizeof(back), buf, sizeof(buf));
    for (int i = 0; i < N; i++) {
        g_assert_true(r[i].calls == 1 && r[i].ret == 0);
    }
    const BlkStats *s = blk_stats(d->blk);
    g_assert_cmpuint(s->wr_ops, ==, N);
    g_assert_cmpuint(s->wr_bytes, ==, N * 512);
    g_assert_cmpuint(s->wr_highest, ==, N * 512);
    block_close_all();
}

/* ---- errors ------------------------------------------------------------------------- */

static int stops, events;

/* ---- a device that is told of several requests in one go ---------------------------------- */

typedef struct Writer {
    BlockBackend *blk;
    unsigned goal, sent, done;          /* all of it [bql] */
    unsigned in_batch, longest;         /* done calls of a batch */
    bool inside;
    uint8_t data[512];
} Writer;

static void batch(void *opaque, bool begin)
{
    Writer *w = opaque;
    g_assert_true(bql_locked());
    g_assert_true(w->inside != begin);
    w->inside = begin;
    w->longest = MAX(w->longest, w->in_batch);
    w->in_batch = 0;
}

static void written(void *opaque, int ret);

static void send(Writer *w)
{
    struct iovec iov = { w->data, sizeof(w->data) };
    blk_write(w->blk, w->sent++ % 64 * 512, &iov, 1, 0, written, w);
}

/* The next one at once, as a guest does that likes to have some under way. */
static void written(void *opaque, int ret)
{
    Writer *w = opaque;
    g_assert_true(bql_locked());
    g_assert_cmpint(ret, ==, 0);
    w->done++;
    w->in_batch += w->inside;
    if (w->sent < w->goal) {
        send(w);
    }
}

static const BlkDevOps writer_ops = { .any_thread = true, .batch = batch };

/* Writes with so many under way; the most that came in one batch. */
static unsigned write_many(BlockBackend *b, unsigned under_way, unsigned many, bool drain)
{
    Writer w = { .blk = b, .goal = many };
    int64_t give_up = clock_ns(ORRERY_CLOCK_REAL) + 60 * NS_PER_SEC;
    g_assert_true(blk_attach(b, "writer", &writer_ops, &w, NULL));
    while (w.sent < under_way) {
        send(&w);
    }
    while (w.done < (drain ? many / 2 : many)) {
        g_assert_cmpint(clock_ns(ORRERY_CLOCK_REAL), <, give_up);
        bql_unlock();
        g_usleep(1000);
        bql_lock();
        mainloop_iterate(false);
    }
    if (drain) {
        blk_drain(b);
        g_assert_cmpuint(blk_in_flight(b), ==, 0);
    }
    g_assert_cmpuint(w.done, ==, many);
    g_assert_cmpuint(blk_in_flight(b), ==, 0);
    blk_detach(b);
    return w.longest;
}

static void test_batches(void)
{
    g_autofree char *path = image("batches", 1 << 20);
    for (int round = 0; round < 20; round++) {
        DriveInfo *d = drive("id=batches,file=%s,format=raw,if=none", path);
        g_assert_cmpuint(write_many(d->blk, 1, 100, false), <=, 1);
        /* what it learns about the one must not spoil the other */
        unsigned longest = write_many(d->blk, 8, 3000, round & 1);
        g_assert_cmpuint(longest, >, 1);
        g_assert_cmpuint(longest, <=, 8);
        write_many(d->blk, 3, 300, false);
        blk_delete(d->blk);             /* while its thread may still wait for more */
    }
}

static void on_stop(void)
{
    stops++;
}

static void on_io_error(BlockBackend *b, bool is_read, BlkAction action, int errnum)
{
    events++;
}

static void test_injection(void)
{
    g_autofree char *path = image("inject.img", 64 * 512);
    Error *err = NULL;
    g_autofree char *options = g_strdup_printf(
        "{\"driver\":\"blkdebug\",\"node-name\":\"dbg\",\"image\":{\"driver\":\"file\",\"filename\":\"%s\"},"
        "\"inject-error\":[{\"iotype\":\"read\",\"errno\":5,\"sector\":3,\"once\":true}]}", path);
    blockdev_add(options, &err);
    g_assert_no_error(err);
    BlockBackend *b = blk_find("dbg");
    uint8_t buf[2048];
    g_assert_cmpint(rw(b, false, 0, buf, 1536), ==, 0);
    g_assert_cmpint(rw(b, false, 1024, buf, 1024), ==, -EIO);
    g_assert_cmpint(rw(b, false, 1024, buf, 1024), ==, 0);
    g_assert_true(block_inject("dbg", BLOCK_INJECT_WRITE, ENOSPC, -1, true));
    g_assert_cmpint(rw(b, true, 0, buf, 512), ==, -ENOSPC);
    g_assert_true(block_inject("dbg", BLOCK_INJECT_FLUSH, EIO, -1, true));
    Result r = { 0 };
    blk_flush(b, done, &r);
    g_assert_cmpint(finish(&r), ==, -EIO);
    g_assert_false(block_inject("other", BLOCK_INJECT_WRITE, ENOSPC, -1, true));

    blk_hooks.vm_stop_io_error = on_stop;
    blk_hooks.io_error = on_io_error;
    g_assert_cmpint(blk_error(b, false, ENOSPC), ==, BLK_ACTION_STOP);
    g_assert_cmpstr(blk_io_status(b), ==, "nospace");
    g_assert_cmpint(blk_error(b, false, EIO), ==, BLK_ACTION_REPORT);
    g_assert_cmpint(blk_error(b, true, EIO), ==, BLK_ACTION_REPORT);
    g_assert_cmpint(stops, ==, 1);
    g_assert_cmpint(events, ==, 3);
    blk_resume_all();
    g_assert_cmpstr(blk_io_status(b), ==, "ok");
    blk_set_on_error(b, BLK_ON_ERROR_STOP, BLK_ON_ERROR_IGNORE);
    g_assert_cmpint(blk_error(b, true, EIO), ==, BLK_ACTION_STOP);
    g_assert_cmpstr(blk_io_status(b), ==, "failed");
    g_assert_cmpint(blk_error(b, false, EIO), ==, BLK_ACTION_IGNORE);
    memset(&blk_hooks, 0, sizeof(blk_hooks));
    block_close_all();
}

static void test_bad_drives(void)
{
    g_autofree char *path = image("good.img", 4096), *empty = image("empty.img", 0);
    G_GNUC_UNUSED g_autofree char *secret = image("secret.img", 4096), *qcow = image("q.qcow9", 4096);
    g_autofree char *vmdk = image("v.qed", 4096);
    g_autofree char *fifo = g_build_filename(dir, "fifo", NULL);
    g_autofree char *m1 = g_strdup_printf("'file' driver requires '%s' to be a regular file", dir);
    g_autofree char *m2 = g_strdup_printf("The image '%s' is empty (0 bytes)", empty);
    g_autofree char *m3 = g_strdup_printf("Could not open '%s': Permission denied", secret);
    g_autofree char *m4 = g_strdup_printf("Could not open '%s': neither a regular file nor a block device", fifo);
    g_autofree char *m5 = g_strdup_printf("Could not open '%s': it is a qed image, a format that is not "
        "supported (qemu-img convert -O raw makes a raw one)", vmdk);
    g_assert_cmpint(mkfifo(fifo, 0600), ==, 0);
    g_assert_true(g_file_set_contents(vmdk, "QED\0", 4, NULL));
    check_drive_error("Could not open '/nonexistent.img': No such file or directory", "file=/nonexistent.img");
    check_drive_error(m1, "file=%s", dir);
    check_drive_error(m2, "file=%s,format=raw", empty);
    check_drive_error(m4, "file=%s", fifo);
    check_drive_error(m5, "file=%s", vmdk);
    if (geteuid() != 0) {
        g_assert_cmpint(chmod(secret, 0), ==, 0);
        check_drive_error(m3, "file=%s", secret);
    }
    check_drive_error("Unknown driver 'rwa' (did you mean 'raw'?)", "file=%s,format=rwa", path);
    check_drive_error("Could not open 'ssh:localhost:10809': Unknown protocol 'ssh' (of a file: ./NAME; "
                      "else nbd, http, https, ftp)", "file=ssh:localhost:10809");
    check_drive_error("Block format 'raw' does not support the option 'chace'", "file=%s,format=raw,chace=none", path);
    check_drive_error("-drive: cache=fast: 'fast' is none of: writeback, none, off, writethrough, directsync, unsafe",
                      "file=%s,cache=fast", path);
    check_drive_error("-drive: if=idee: 'idee' is none of: none, ide, scsi, floppy, pflash, mtd, sd, virtio, xen",
                      "file=%s,if=idee", path);
    check_drive_error("-drive: unit=2 is out of range (0 to 1)", "file=%s,unit=2", path);
    check_drive_error("-drive: index cannot be used with bus and unit", "file=%s,index=1,bus=0", path);
    check_drive_error("Option 'aio': 'posix' is none of: threads, native, io_uring",
                      "file=%s,aio=posix", path);
    check_drive_error("-drive: rerror=enospc: a read can't run out of space", "file=%s,rerror=enospc", path);
    check_drive_error("Can't use copy-on-read on read-only device",
                      "file=%s,format=raw,copy-on-read=on,readonly=on", path);
    check_drive_error("Option 'discard': 'maybe' is none of: ignore, off, unmap, on",
                      "file=%s,format=raw,discard=maybe", path);
    check_drive_error("Option 'offset': \"x\" is not a size", "file=%s,format=raw,offset=x", path);
    check_drive_error("Offset (8192) cannot be greater than the size of the image (4096)",
                      "file=%s,format=raw,offset=8k", path);
    check_drive_error("-drive: 'discard' without a file", "discard=unmap");
    check_drive_error("-drive: 'format=raw' without a file", "format=raw");
    check_drive_error("-drive: 'driver=qcow2' without a file", "driver=qcow2");
    check_drive_error("Block driver 'quorum' is not supported", "driver=quorum");
    check_drive_error("Unknown driver 'nonsense'", "driver=nonsense");
    check_drive_error("force-share=on can only be used with read-only images",
                      "file=%s,format=raw,force-share=on", path);
    g_assert_null(blk_find("ide0-hd0"));

    Error *err = NULL;
    drive("id=d0,file=%s,format=raw,if=ide,index=0", path);
    g_assert_null(drive_add("driver=null-co,if=ide,index=0", DRIVE_IF_IDE, &err));
    assert_error(err, "-drive: drive with bus=0, unit=0 (index=0) exists");
    g_assert_null(drive_add("driver=null-co,id=d0", DRIVE_IF_IDE, &err));
    assert_error(err, "-drive: Device with id 'd0' already exists");
    g_assert_false(blockdev_add("driver=null-co", &err));
    assert_error(err, "-blockdev: 'node-name' must be specified for the root node");
    g_assert_false(blockdev_add("driver=raw,node-name=x", &err));
    assert_error(err, "-blockdev: A block device must be specified for \"file\"");
    g_assert_false(blockdev_add("driver=raw,node-name=x,file=y", &err));
    assert_error(err, "-blockdev: Cannot find device='' nor node-name='y'");
    g_assert_false(blockdev_add("{\"driver\": 5, \"node-name\":\"x\"}", &err));
    assert_error(err, "-blockdev: Option 'driver': 5 is not a string");
    g_assert_true(blockdev_add("driver=null-co,node-name=x", &err));
    g_assert_false(blockdev_add("driver=null-co,node-name=x", &err));
    assert_error(err, "-blockdev: Duplicate nodes with node-name='x'");
    g_assert_false(node_delete("y", &err));
    g_clear_error(&err);
    g_assert_true(node_delete("x", &err));
    block_close_all();
}

static void test_locks(void)
{
    g_autofree char *path = image("locked.img", 4096);
    g_autofree char *want = g_strdup_printf("Failed to get \"write\" lock: Is another process using the image [%s]?", path);
    Error *err = NULL;
    drive("id=w,file=%s,format=raw", path);
    /* a second opening in this process is another open file: the lock holds against it, too */
    g_autofree char *again = g_strdup_printf("file=%s,format=raw", path);
    g_assert_null(drive_add(again, DRIVE_IF_IDE, &err));
    assert_error(err, want);
    g_autofree char *reader = g_strdup_printf("file=%s,format=raw,readonly=on", path);
    g_assert_null(drive_add(reader, DRIVE_IF_IDE, &err));
    g_assert_true(g_str_has_prefix(err->message, "Failed to get shared \"write\" lock: "));
    g_clear_error(&err);
    g_autofree char *free_for_all = g_strdup_printf("id=u,file.filename=%s,format=raw,file.locking=off", path);
    g_assert_nonnull(drive_add(free_for_all, DRIVE_IF_IDE, &err));
    g_assert_no_error(err);

    g_autofree char *shared = g_strdup_printf("id=s,file=%s,format=raw,readonly=on,force-share=on", path);
    g_assert_nonnull(drive_add(shared, DRIVE_IF_IDE, &err));
    g_assert_no_error(err);

    /* another process is named */
    pid_t pid = fork();
    if (!pid) {
        execlp("python3", "python3", "-c",
               "import fcntl,struct,sys,time\n"
               "f=open(sys.argv[1],'rb+')\n"
               "for b in (101,201):\n"
               "  fcntl.fcntl(f,37,struct.pack('hhqqi4x',fcntl.F_RDLCK,0,b,1,0))\n"
               "open(sys.argv[1]+'.ready','w').close()\n"
               "time.sleep(60)\n", path, NULL);
        _exit(1);
    }
    block_close_all();
    g_autofree char *ready = g_strconcat(path, ".ready", NULL);
    for (int i = 0; i < 500 && access(ready, F_OK) < 0; i++) {
        g_usleep(20000);
    }
    g_assert_null(drive_add(again, DRIVE_IF_IDE, &err));
    g_autofree char *who = g_strdup_printf("%s (process %d, python3)", want, (int)pid);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    assert_error(err, who);
    /* and the lock goes with it */
    g_assert_nonnull(drive_add(again, DRIVE_IF_IDE, &err));
    g_assert_no_error(err);
    block_close_all();
}

/* A guest must not be able to turn its raw disk into something that names other files. */
static void test_probed_raw(void)
{
    g_autofree char *path = image("probed.img", 4096);
    uint8_t head[512] = "QFI\xfb", zero[512] = { 0 };
    DriveInfo *d = drive("id=p,file=%s,if=none,readonly=off", path);
    g_assert_cmpint(rw(d->blk, true, 0, head, 512), ==, -EPERM);
    g_assert_cmpint(rw(d->blk, true, 0, head, 2), ==, 0);
    g_assert_cmpint(rw(d->blk, true, 2, head + 2, 510), ==, -EPERM);
    g_assert_cmpint(rw(d->blk, true, 512, head, 512), ==, 0);
    g_assert_cmpint(rw(d->blk, true, 0, zero, 512), ==, 0);
    block_close_all();
    d = drive("id=p,file=%s,if=none,format=raw", path);
    g_assert_cmpint(rw(d->blk, true, 0, head, 512), ==, 0);
    block_close_all();
}

/* ---- media -------------------------------------------------------------------------- */

typedef struct Tray {
    GString *trace;
    bool open, locked;
} Tray;

static void tray_media(void *opaque, bool load)
{
    g_string_append(((Tray *)opaque)->trace, load ? "load " : "unload ");
}

static void tray_request(void *opaque, bool force)
{
    g_string_append(((Tray *)opaque)->trace, "button ");
}

static bool tray_open(void *opaque)
{
    return ((Tray *)opaque)->open;
}

static bool tray_locked(void *opaque)
{
    return ((Tray *)opaque)->locked;
}

static const BlkDevOps tray_ops = {
    .media_changed = tray_media, .eject_request = tray_request, .tray_open = tray_open,
    .medium_locked = tray_locked,
};
static const BlkDevOps disk_ops = { 0 };

static void test_media(void)
{
    g_autofree char *a = image("a.iso", 2048), *b = image("b.iso", 4096);
    Tray t = { g_string_new(NULL), false, false };
    Error *err = NULL;
    uint8_t buf[512];
    DriveInfo *d = drive_add_file(a, DRIVE_IF_IDE, 2, true, &err);
    g_assert_no_error(err);
    g_assert_true(d->bus == 1 && d->unit == 0 && d->cdrom && blk_readonly(d->blk));
    g_assert_cmpstr(blk_name(d->blk), ==, "ide1-cd0");
    g_assert_true(drive_add_default(DRIVE_IF_IDE, 2, true) == d);
    g_assert_true(drive_get_index(DRIVE_IF_IDE, 2) == d && drive_max_bus(DRIVE_IF_IDE) == 1);
    g_assert_true(blk_attach(d->blk, "ide-cd", &tray_ops, &t, &err));
    g_assert_false(blk_attach(d->blk, "ide-cd", &tray_ops, &t, &err));
    assert_error(err, "Drive 'ide1-cd0' is already in use by ide-cd");
    g_assert_cmpint(rw(d->blk, true, 0, buf, 512), ==, -EPERM);

    g_assert_true(blk_change_medium(d->blk, b, NULL, -1, false, &err));
    g_assert_cmpstr(t.trace->str, ==, "unload load ");
    g_assert_cmpuint(blk_length(d->blk), ==, 4096);
    t.locked = true;
    g_assert_false(blk_user_eject(d->blk, false, &err));
    g_assert_true(g_str_has_prefix(err->message, "Device 'ide1-cd0' is locked and force was not specified"));
    g_clear_error(&err);
    g_assert_cmpstr(t.trace->str, ==, "unload load button ");
    t.open = true;
    g_assert_false(blk_inserted(d->blk));
    g_assert_true(blk_has_medium(d->blk));
    g_assert_true(blk_user_eject(d->blk, false, &err));
    t.open = t.locked = false;
    g_assert_false(blk_has_medium(d->blk));
    g_assert_cmpint(rw(d->blk, false, 0, buf, 512), ==, -ENOMEDIUM);
    g_assert_cmpuint(blk_length(d->blk), ==, 0);
    g_assert_false(blk_change_medium(d->blk, "/nonexistent", NULL, -1, false, &err));
    g_clear_error(&err);
    g_assert_true(blk_change_medium(d->blk, a, "raw", -1, false, &err));
    g_assert_true(blk_change_medium(d->blk, a, "raw", -1, false, &err));    /* the same again */
    blk_detach(d->blk);

    g_autoptr(GString) info = g_string_new(NULL);
    blk_attach(d->blk, "ide-cd", &tray_ops, &t, &err);
    blk_info(info, false);
    g_autofree char *want = g_strdup_printf(": %s (raw, read-only)\n    Attached to:      ide-cd\n    Removable "
        "device: not locked, tray closed\n    Cache mode:       writeback\n", a);
    g_assert_true(g_str_has_prefix(info->str, "ide1-cd0 (#block") && g_str_has_suffix(info->str, want));
    block_close_all();

    d = drive("id=hd,driver=null-co,size=1M");
    g_assert_true(blk_attach(d->blk, "ide-hd", &disk_ops, NULL, &err));
    g_assert_false(blk_user_eject(d->blk, true, &err));
    assert_error(err, "Device 'hd' is not removable");
    block_close_all();
    g_string_free(t.trace, TRUE);
}

static void test_drive_places(void)
{
    Error *err = NULL;
    DriveInfo *d0 = drive("driver=null-co,if=ide"), *d1 = drive("driver=null-co,if=ide");
    DriveInfo *d2 = drive("driver=null-co,if=ide"), *v = drive("driver=null-co,if=virtio,index=3");
    g_assert_true(d0->bus == 0 && d0->unit == 0 && d1->unit == 1 && d2->bus == 1 && d2->unit == 0);
    g_assert_true(v->bus == 0 && v->unit == 3);
    g_assert_cmpstr(blk_name(d2->blk), ==, "ide1-hd0");
    g_assert_cmpstr(blk_name(v->blk), ==, "virtio3");
    drive_get(DRIVE_IF_IDE, 0, 0);
    drive_get_index(DRIVE_IF_IDE, 1);
    drive_get_index(DRIVE_IF_IDE, 2);
    g_assert_false(drive_check_unclaimed(&err));
    assert_error(err, "-drive driver=null-co,if=virtio,index=3: machine type does not support if=virtio,bus=0,unit=3");
    drive_get(DRIVE_IF_VIRTIO, 0, 3);
    g_assert_true(drive_check_unclaimed(&err));
    DriveInfo *f = drive_add_default(DRIVE_IF_FLOPPY, 0, false);
    g_assert_cmpstr(blk_name(f->blk), ==, "floppy0");
    g_assert_false(blk_has_medium(f->blk));
    block_close_all();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    mainloop_init();
    block_init();
    dir = g_dir_make_tmp("orrery-block-XXXXXX", NULL);
    g_test_add_func("/block/model", test_model);
    g_test_add_func("/block/limits", test_limits);
    g_test_add_func("/block/limit-groups", test_limit_groups);
    g_test_add_func("/block/snapshot", test_snapshot_leaves_base_alone);
    g_test_add_func("/block/odd-size", test_odd_size);
    g_test_add_func("/block/drain", test_drain);
    g_test_add_func("/block/many", test_many);
    g_test_add_func("/block/batches", test_batches);
    g_test_add_func("/block/injection", test_injection);
    g_test_add_func("/block/bad-drives", test_bad_drives);
    g_test_add_func("/block/locks", test_locks);
    g_test_add_func("/block/probed-raw", test_probed_raw);
    g_test_add_func("/block/media", test_media);
    g_test_add_func("/block/places", test_drive_places);
    int ret = g_test_run();
    remove_folder(dir);
    return ret;
}
