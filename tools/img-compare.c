/* SPDX-License-Identifier: MIT */
/*
 * orrery-img compare, commit, rebase, bench.
 */
#include "tools/img.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/backend.h"
#include "util/bql.h"
#include "util/iov.h"
#include "util/mainloop.h"
#include "util/timer.h"

#define CHUNK (2u << 20)

static bool is_zero(const uint8_t *p, uint64_t len)
{
    struct iovec iov = { (void *)p, len };
    return iov_is_zero(&iov, 1);
}

/* ---- compare -------------------------------------------------------------------------------------- */

typedef struct Compare {
    BlockNode *a, *b;
    const char *name_a, *name_b;
    bool strict, quiet;
    uint8_t *buf_a, *buf_b;
} Compare;

static int differ(const Compare *c, const char *fmt, uint64_t off)
{
    if (!c->quiet) {
        printf(fmt, off);
    }
    return 1;
}

static int read_failed(const char *name, uint64_t off, int ret)
{
    img_fail_text("Error while reading offset %" PRIu64 " of %s: %s", off, name, g_strerror(-ret));
    return 4;
}

/* 0 equal, 1 different, > 1 error */
static int compare_data(Compare *c, uint64_t off, uint64_t len)
{
    int ret = node_pread(c->a, off, c->buf_a, len);
    if (ret < 0) {
        return read_failed(c->name_a, off, ret);
    }
    ret = node_pread(c->b, off, c->buf_b, len);
    if (ret < 0) {
        return read_failed(c->name_b, off, ret);
    }
    for (uint64_t at = 0; at < len; at += BLK_SECTOR) {
        if (memcmp(c->buf_a + at, c->buf_b + at, MIN(BLK_SECTOR, len - at))) {
            return differ(c, "Content mismatch at offset %" PRIu64 "!\n", off + at);
        }
    }
    return 0;
}

static int compare_zero(Compare *c, BlockNode *n, const char *name, uint64_t off, uint64_t len)
{
    int ret = node_pread(n, off, c->buf_a, len);
    if (ret < 0) {
        return read_failed(name, off, ret);
    }
    for (uint64_t at = 0; at < len; at += BLK_SECTOR) {
        if (!is_zero(c->buf_a + at, MIN(BLK_SECTOR, len - at))) {
            return differ(c, "Content mismatch at offset %" PRIu64 "!\n", off + at);
        }
    }
    return 0;
}

static int compare_common(Compare *c, uint64_t length)
{
    int status = 0;
    for (uint64_t off = 0; off < length && !status;) {
        BlockStatus a, b;
        int ret = node_status_above(c->a, NULL, off, length - off, &a, NULL);
        if (ret < 0) {
            return read_failed(c->name_a, off, ret);
        }
        ret = node_status_above(c->b, NULL, off, length - off, &b, NULL);
        if (ret < 0) {
            return read_failed(c->name_b, off, ret);
        }
        uint64_t len = MIN(a.len, b.len);
        bool zero_a = a.zero || !a.allocated, zero_b = b.zero || !b.allocated;
        if (c->strict && a.allocated != b.allocated) {
            return differ(c, "Strict mode: Offset %" PRIu64 " block status mismatch!\n", off);
        }
        if (!zero_a || !zero_b) {
            len = MIN(len, CHUNK);
            status = zero_a ? compare_zero(c, c->b, c->name_b, off, len)
                     : zero_b ? compare_zero(c, c->a, c->name_a, off, len)
                     : compare_data(c, off, len);
        }
        off += len;
        img_progress(off, length);
    }
    return status;
}

/* What the longer one has more must be zero. */
static int compare_rest(Compare *c, uint64_t common)
{
    BlockNode *n = (uint64_t)node_length(c->a) > common ? c->a : c->b;
    const char *name = n == c->a ? c->name_a : c->name_b;
    uint64_t length = node_length(n);
    int status = 0;
    for (uint64_t off = common; off < length && !status;) {
        BlockStatus st;
        int ret = node_status_above(n, NULL, off, length - off, &st, NULL);
        if (ret < 0) {
            return read_failed(name, off, ret);
        }
        uint64_t len = st.len;
        if (st.allocated && !st.zero) {
            len = MIN(len, CHUNK);
            status = compare_zero(c, n, name, off, len);
        }
        off += len;
    }
    return status;
}

static int compare(Compare *c)
{
    uint64_t a = node_length(c->a), b = node_length(c->b);
    if (a != b && c->strict) {
        return differ(c, "Strict mode: Image size mismatch!\n", 0);
    }
    if (a != b && !c->quiet) {
        printf("Warning: Image size mismatch!\n");
    }
    int status = compare_common(c, MIN(a, b));
    status = status || a == b ? status : compare_rest(c, MIN(a, b));
    if (!status && !c->quiet) {
        printf("Images are identical.\n");
    }
    return status;
}

int img_cmd_compare(int argc, char **argv)
{
    ImgOpen first = { 0 }, second;
    Compare c = { 0 };
    bool progress = false;
    const char *format = NULL;
    static const struct option longs[] = { { "image-opts", no_argument, 0, OPT_IMAGE_OPTS },
                                           { "progress", optional_argument, 0, OPT_PROGRESS },
                                           { "force-share", no_argument, 0, 'U' }, { 0 } };
    for (int opt; (opt = img_getopt(argc, argv, "f:F:T:pqsU", longs)) != -1;) {
        switch (opt) {
        case 'f': first.format = optarg; break;
        case 'F': format = optarg; break;
        case 'T': first.cache = optarg; break;
        case 'p': progress = true; break;
        case OPT_PROGRESS:
            progress = true;
            if (!img_progress_option(optarg)) {
                return 2;
            }
            break;
        case 'q': c.quiet = true; break;
        case 's': c.strict = true; break;
        case 'U': first.share = true; break;
        case OPT_IMAGE_OPTS: first.image_opts = true; break;
        default: return 2;
        }
    }
    if (optind != argc - 2) {
        img_usage("Expecting two image file names");
        return 2;
    }
    c.name_a = argv[optind];
    c.name_b = argv[optind + 1];
    second = first;
    second.format = format;
    c.a = img_open(c.name_a, &first);
    c.b = c.a ? img_open(c.name_b, &second) : NULL;
    int status = 2;
    if (c.b) {
        c.buf_a = g_malloc(CHUNK);
        c.buf_b = g_malloc(CHUNK);
        img_progress_start(progress && !c.quiet);
        status = compare(&c);
        img_progress_end();
    }
    g_free(c.buf_a);
    g_free(c.buf_b);
    node_unref(c.b);
    node_unref(c.a);
    return status;
}

/* ---- commit --------------------------------------------------------------------------------------- */

/* What the nodes above base hold goes into to. */
static int copy_down(BlockNode *n, BlockNode *base, BlockNode *to, ImgPace *pace)
{
    uint64_t length = node_length(n);
    g_autofree uint8_t *buf = g_malloc(CHUNK);
    int ret = 0;
    for (uint64_t off = 0; off < length && !ret;) {
        BlockStatus st;
        ret = node_status_above(n, base, off, length - off, &st, NULL);
        if (ret < 0) {
            break;
        }
        uint64_t len = st.len;
        if (st.allocated && st.zero) {
            ret = node_write_zeroes(to, off, len, true);
        } else if (st.allocated) {
            len = MIN(len, CHUNK);
            img_pace(pace, len);
            ret = node_pread(n, off, buf, len);
            ret = ret ? ret : node_pwrite(to, off, buf, len);
        }
        off += len;
        img_progress(off, length);
    }
    return ret ? ret : node_flush(to);
}

static BlockNode *find_in_chain(BlockNode *n, const char *name)
{
    g_autofree char *want = realpath(name, NULL);
    for (BlockNode *b = n->backing; b; b = b->backing) {
        g_autofree char *have = realpath(node_file_name(b), NULL);
        if (!strcmp(node_file_name(b), name) || (want && have && !strcmp(want, have))) {
            return b;
        }
    }
    return NULL;
}

static int commit(BlockNode *n, const char *base_name, const char *cache, ImgPace *pace, bool drop)
{
    BlockNode *base = base_name ? find_in_chain(n, base_name) : n->backing;
    Error *err = NULL;
    if (!base) {
        return base_name ? img_fail_text("Did not find '%s' in the backing chain of '%s'", base_name,
                                         node_file_name(n))
                         : img_fail_text("Image does not have a backing file");
    }
    /* Open a second time, to write: the lock of the reader above keeps others away. */
    ImgOpen how = { .format = base->driver->name, .cache = cache, .write = true, .share = true };
    BlockNode *to = img_open(node_file_name(base), &how);
    if (!to) {
        return 1;
    }
    int ret = 0;
    if (node_length(to) < node_length(n) && !node_truncate(to, node_length(n), PREALLOC_OFF, &err)) {
        node_unref(to);
        return img_fail(err);
    }
    ret = copy_down(n, base, to, pace);
    node_unref(to);
    if (!ret && !drop && n->driver->make_empty) {
        ret = n->driver->make_empty(n);
        if (ret < 0) {
            return img_fail_text("Could not empty '%s': %s", node_file_name(n), g_strerror(-ret));
        }
    }
    return ret < 0 ? img_fail_text("Error while committing image: %s", g_strerror(-ret)) : 0;
}

int img_cmd_commit(int argc, char **argv)
{
    ImgOpen how = { .write = true };
    const char *base = NULL;
    ImgPace pace = { 0 };
    bool quiet = false, drop = false, progress = false;
    static const struct option longs[] = { { "image-opts", no_argument, 0, OPT_IMAGE_OPTS },
                                           { "progress", optional_argument, 0, OPT_PROGRESS }, { 0 } };
    for (int c; (c = img_getopt(argc, argv, "f:t:b:dpqr:", longs)) != -1;) {
        switch (c) {
        case 'f': how.format = optarg; break;
        case 't': how.cache = optarg; break;
        case 'b':
            base = optarg;
            drop = true;                /* what lies between would be lost */
            break;
        case 'd': drop = true; break;
        case 'r':
            if (!img_size("rate limit", optarg, &pace.rate)) {
                return 1;
            }
            break;
        case 'p': progress = true; break;
        case OPT_PROGRESS:
            progress = true;
            if (!img_progress_option(optarg)) {
                return 1;
            }
            break;
        case 'q': quiet = true; break;
        case OPT_IMAGE_OPTS: how.image_opts = true; break;
        default: return 1;
        }
    }
    const char *name = img_one_name(argc, argv);
    BlockNode *n = name ? img_open(name, &how) : NULL;
    if (!n) {
        return 1;
    }
    img_progress_start(progress && !quiet);
    int status = commit(n, base, how.cache, &pace, drop);
    node_unref(n);
    if (!status) {
        img_progress_end();
        if (!quiet) {
            printf("Image committed.\n");
        }
    }
    return status;
}

/* ---- rebase --------------------------------------------------------------------------------------- */

static int read_from(BlockNode *n, uint64_t off, uint8_t *buf, uint64_t len)
{
    uint64_t length = n ? node_length(n) : 0;
    uint64_t there = off >= length ? 0 : MIN(len, length - off);
    memset(buf + there, 0, len - there);
    return there ? node_pread(n, off, buf, there) : 0;
}

/* Where old and new backing file differ, the image keeps what was seen through it. */
static int keep_differences(BlockNode *n, BlockNode *new)
{
    uint64_t length = node_length(n);
    g_autofree uint8_t *a = g_malloc(CHUNK), *b = g_malloc(CHUNK);
    uint64_t step = n->cluster_size ? n->cluster_size : 65536;
    int ret = 0;
    for (uint64_t off = 0; off < length && !ret;) {
        BlockStatus st;
        ret = node_status(n, off, length - off, &st);
        if (ret < 0) {
            break;
        }
        uint64_t len = st.allocated ? st.len : MIN(st.len, CHUNK);
        if (!st.allocated) {
            ret = read_from(n->backing, off, a, len);
            ret = ret ? ret : read_from(new, off, b, len);
            for (uint64_t at = 0; at < len && !ret; at += step) {
                uint64_t part = MIN(step, len - at);
                if (memcmp(a + at, b + at, part)) {
                    ret = is_zero(a + at, part) ? node_write_zeroes(n, off + at, part, true)
                                                : node_pwrite(n, off + at, a + at, part);
                }
            }
        }
        off += len;
        img_progress(off, length);
    }
    return ret ? ret : node_flush(n);
}

/* how: to open the new backing file */
static int rebase(BlockNode *n, const char *backing, const char *format, bool unsafe, const ImgOpen *how)
{
    Error *err = NULL;
    if (!n->driver->change_backing) {
        return img_fail_text("Image format driver '%s' does not support a backing file",
                             n->driver->name);
    }
    if (*backing && !format) {
        return img_fail_text("Could not change the backing file to '%s': backing format must be "
                             "specified", backing);
    }
    BlockNode *new = NULL;
    if (*backing && !unsafe) {
        g_autofree char *path = node_full_path(node_file_name(n), backing);
        new = img_open(path, how);
        if (!new) {
            return 1;
        }
        if (new->driver == n->driver && !strcmp(path, node_file_name(n))) {
            node_unref(new);
            return img_fail_text("Backing file '%s' creates an infinite loop", backing);
        }
    }
    int ret = unsafe ? 0 : keep_differences(n, new);
    node_unref(new);
    if (ret < 0) {
        return img_fail_text("error while rebasing: %s", g_strerror(-ret));
    }
    return n->driver->change_backing(n, *backing ? backing : NULL, format, &err) ? 0 : img_fail(err);
}

int img_cmd_rebase(int argc, char **argv)
{
    ImgOpen how = { .write = true }, below = { 0 };
    const char *backing = NULL, *format = NULL;
    bool unsafe = false, progress = false;
    static const struct option longs[] = { { "image-opts", no_argument, 0, OPT_IMAGE_OPTS },
                                           { "progress", optional_argument, 0, OPT_PROGRESS },
                                           { "force-share", no_argument, 0, 'U' }, { 0 } };
    for (int c; (c = img_getopt(argc, argv, "f:F:b:t:T:upqU", longs)) != -1;) {
        switch (c) {
        case 'f': how.format = optarg; break;
        case 'F': format = optarg; break;
        case 'b': backing = optarg; break;
        case 't': how.cache = optarg; break;
        case 'T': below.cache = optarg; break;
        case 'u': unsafe = true; break;
        case 'p': progress = true; break;
        case OPT_PROGRESS:
            progress = true;
            if (!img_progress_option(optarg)) {
                return 1;
            }
            break;
        case 'q': progress = false; break;
        case 'U': how.share = below.share = true; break;
        case OPT_IMAGE_OPTS: how.image_opts = true; break;
        default: return 1;
        }
    }
    const char *name = img_one_name(argc, argv);
    if (!name) {
        return 1;
    }
    if (!backing && !unsafe) {
        return img_usage("Must specify backing file (-b) or use unsafe mode (-u)");
    }
    how.no_backing = unsafe;
    below.format = format;
    BlockNode *n = img_open(name, &how);
    if (!n) {
        return 1;
    }
    img_progress_start(progress);
    int status = rebase(n, backing ? backing : "", format, unsafe, &below);
    node_unref(n);
    if (!status) {
        img_progress_end();
    }
    return status;
}

/* ---- bench ---------------------------------------------------------------------------------------- */

typedef struct Bench {
    BlockBackend *blk;
    bool write, drain_on_flush;
    uint64_t count, depth, size, step, offset, flush_interval, length;
    uint64_t submitted, in_flight, until_flush;
    bool flushing;
    int ret;
    uint8_t *buf;
} Bench;

static void bench_more(Bench *b);

static void bench_done(void *opaque, int ret)
{
    Bench *b = opaque;
    b->ret = ret < 0 ? ret : b->ret;
    b->in_flight--;
    bench_more(b);
}

static void bench_flushed(void *opaque, int ret)
{
    Bench *b = opaque;
    b->flushing = false;
    bench_done(b, ret);
}

static void bench_more(Bench *b)
{
    while (!b->ret && b->in_flight < b->depth && b->submitted < b->count && !b->flushing) {
        if (b->flush_interval && b->until_flush == 0) {
            if (b->drain_on_flush && b->in_flight) {
                return;
            }
            b->flushing = b->drain_on_flush;
            b->until_flush = b->flush_interval;
            b->in_flight++;
            blk_flush(b->blk, b->drain_on_flush ? bench_flushed : bench_done, b);
            continue;
        }
        struct iovec iov = { b->buf + b->submitted % b->depth * b->size, b->size };
        b->submitted++;
        b->in_flight++;
        b->until_flush -= b->flush_interval ? 1 : 0;
        if (b->write) {
            blk_write(b->blk, b->offset, &iov, 1, 0, bench_done, b);
        } else {
            blk_read(b->blk, b->offset, &iov, 1, bench_done, b);
        }
        b->offset += b->step;
        if (b->length <= b->size) {
            b->offset = 0;
        } else {
            b->offset %= b->length - b->size;
        }
    }
}

static int run_bench(Bench *b, bool quiet)
{
    if (!quiet) {
        printf("Sending %" PRIu64 " %s requests, %" PRIu64 " bytes each, %" PRIu64 " in parallel "
               "(starting at offset %" PRIu64 ", step size %" PRIu64 ")\n", b->count,
               b->write ? "write" : "read", b->size, b->depth, b->offset, b->step);
        if (b->flush_interval) {
            printf("Sending flush every %" PRIu64 " %srequests\n", b->flush_interval,
                   b->drain_on_flush ? "" : "undrained ");
        }
        fflush(stdout);
    }
    int64_t start = g_get_monotonic_time();
    bench_more(b);
    while (b->in_flight) {
        mainloop_iterate(true);
    }
    if (b->ret < 0) {
        return img_fail_text("Failed request: %s", g_strerror(-b->ret));
    }
    if (!quiet) {
        printf("Run completed in %3.3f seconds.\n", (g_get_monotonic_time() - start) / 1e6);
    }
    return 0;
}

int img_cmd_bench(int argc, char **argv)
{
    ImgOpen how = { 0 };
    Bench b = { .count = 75000, .depth = 64, .size = 4096, .drain_on_flush = true };
    bool quiet = false;
    uint64_t pattern = 0;
    static const struct option longs[] = {
        { "image-opts", no_argument, 0, OPT_IMAGE_OPTS }, { "force-share", no_argument, 0, 'U' },
        { "flush-interval", required_argument, 0, OPT_FLUSH_INTERVAL },
        { "pattern", required_argument, 0, OPT_PATTERN }, { "no-drain", no_argument, 0, OPT_NO_DRAIN },
        { 0 } };
    for (int c; (c = img_getopt(argc, argv, "c:d:f:i:no:qs:S:t:wU", longs)) != -1;) {
        bool ok = true;
        switch (c) {
        case 'c': ok = img_number("request count", optarg, 0, UINT32_MAX, &b.count); break;
        case 'd': ok = img_number("queue depth", optarg, 1, 1024, &b.depth); break;
        case 'f': how.format = optarg; break;
        case 'i': how.aio = optarg; break;
        case 'n': how.aio = "native"; break;
        case 'o': ok = img_size("offset", optarg, &b.offset); break;
        case 'q': quiet = true; break;
        case 's': ok = img_size("buffer size", optarg, &b.size); break;
        case 'S': ok = img_size("step size", optarg, &b.step); break;
        case 't': how.cache = optarg; break;
        case 'w': b.write = how.write = true; break;
        case 'U': how.share = true; break;
        case OPT_IMAGE_OPTS: how.image_opts = true; break;
        case OPT_PATTERN: ok = img_number("pattern byte", optarg, 0, 255, &pattern); break;
        case OPT_NO_DRAIN: b.drain_on_flush = false; break;
        case OPT_FLUSH_INTERVAL:
            ok = img_number("flush interval", optarg, 0, UINT32_MAX, &b.flush_interval);
            break;
        default: ok = false;
        }
        if (!ok) {
            return 1;
        }
    }
    const char *name = img_one_name(argc, argv);
    if (!name) {
        return 1;
    }
    if (b.flush_interval && !b.write) {
        return img_fail_text("--flush-interval is only available in write tests");
    }
    if (!b.size || b.size > 256 << 20) {
        return img_fail_text("Invalid buffer size specified");
    }
    BlockNode *n = img_open(name, &how);
    if (!n) {
        return 1;
    }
    b.step = b.step ? b.step : b.size;
    b.until_flush = b.flush_interval;
    b.length = node_length(n);
    b.buf = aligned_alloc(4096, (b.depth * b.size + 4095) / 4096 * 4096);
    memset(b.buf, pattern, b.depth * b.size);
    bql_unlock();                       /* which takes it again */
    mainloop_init();
    b.blk = blk_new("bench", n);
    int status = run_bench(&b, quiet);
    blk_delete(b.blk);
    free(b.buf);
    return status;
}
