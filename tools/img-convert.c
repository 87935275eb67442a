/* SPDX-License-Identifier: MIT */
/*
 * orrery-img convert: copying disks.
 *
 * Several workers take pieces of the disk in order, each reads its piece and writes what is not
 * zero.  Unless writes may come in any order (-W, or when compressing), pieces are written in
 * their order, so that the target is laid out like the disk: whoever has read the next one writes
 * it and all behind it that were read in the meantime.  Nobody is woken for that.
 */
#include "tools/img.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/bql.h"
#include "util/iov.h"

#define PIECE (512u << 10)              /* stays in a core's cache between reading and writing */
#define COMPRESSED_PIECE (256u << 10)   /* takes long: all workers have something to do until the end */
#define MAX_SPARSE (16u << 20)
#define MAX_CLUSTER (2u << 20)
#define MAX_WORKERS 16

typedef struct Source {
    BlockNode *node;
    uint64_t start, end;                /* in the joined disk */
} Source;

typedef enum { PIECE_DATA, PIECE_ZERO, PIECE_SKIP } PieceKind;

typedef struct Stretch {
    uint64_t from, to;                  /* in the joined disk, inside one source */
    PieceKind kind;
} Stretch;

typedef struct Piece {
    uint64_t off, len, sequence;
    PieceKind kind;
    const Source *source;
    uint8_t *buf;                       /* NULL until it is needed */
    bool copied;                        /* by the kernel */
    int ret;                            /* of reading */
    struct Piece *next;                 /* free */
} Piece;

typedef struct Convert {
    Source *sources;
    int n_sources;
    BlockNode *target, *base;           /* base: reading stops there, the target has it too */
    uint64_t total;
    uint32_t sparse;                    /* runs of zeroes from this length on are left out; 0 never */
    bool compress, any_order, target_zero, salvage, offload, quiet;
    unsigned workers;
    ImgPace pace;

    GMutex lock;
    GCond freed;                        /* a piece is free, and somebody waits for one */
    Piece *free;
    unsigned hungry;                    /* workers that wait for a piece */
    Piece *read[MAX_WORKERS];           /* those that were read, by sequence, modulo */
    bool writing;                       /* somebody writes what was read */
    Stretch here, behind;               /* what is known of the disk from at on */
    uint64_t at, done, sequence, turn;
    int ret;
    bool failed_read;
    uint64_t failed_at;
    bool progress;
} Convert;

/* ---- pieces ------------------------------------------------------------------------------------ */

static const Source *source_at(const Convert *c, uint64_t off)
{
    for (int i = 0; i < c->n_sources; i++) {
        if (off < c->sources[i].end) {
            return &c->sources[i];
        }
    }
    return NULL;
}

static int look(const Convert *c, uint64_t at, Stretch *out)
{
    const Source *s = source_at(c, at);
    BlockStatus st;
    int ret = node_status_above(s->node, c->base, at - s->start, s->end - at, &st, NULL);
    if (ret < 0 && !c->salvage) {
        return ret;
    }
    if (ret < 0) {
        st = (BlockStatus) { .len = MIN(PIECE, s->end - at), .allocated = true, .data = true };
    }
    *out = (Stretch) { at, at + st.len, PIECE_DATA };
    if (!st.allocated && c->base) {
        out->kind = PIECE_SKIP;
    } else if (st.zero || !st.allocated) {
        out->kind = c->sparse ? PIECE_ZERO : PIECE_DATA;
    }
    return 0;
}

/* c->here, as long as a piece if the disk is: formats tell of single blocks, or of all at once. */
static int find_stretch(Convert *c)
{
    int ret = 0;
    if (c->here.to <= c->at) {
        ret = c->behind.to > c->at ? 0 : look(c, c->at, &c->behind);
        c->here = c->behind;
    }
    while (!ret && c->here.to - c->at < PIECE && source_at(c, c->at)->end > c->here.to) {
        if (c->behind.from != c->here.to && look(c, c->here.to, &c->behind) < 0) {
            break;                      /* it fails again when it is its turn */
        }
        if (c->behind.kind != c->here.kind) {
            break;
        }
        c->here.to = c->behind.to;
    }
    return ret;
}

/* Lock held.  False: nothing left, or a failure. */
static bool next_piece(Convert *c, Piece *p)
{
    if (c->at >= c->total || c->ret) {
        return false;
    }
    int ret = find_stretch(c);
    if (ret < 0) {
        c->ret = ret;
        c->failed_read = true;
        c->failed_at = c->at;
        return false;
    }
    *p = (Piece) { .off = c->at, .len = c->here.to - c->at, .kind = c->here.kind, .sequence = c->sequence,
                   .source = source_at(c, c->at), .buf = p->buf };
    if (p->kind == PIECE_DATA || c->compress) {
        uint64_t piece = c->compress ? COMPRESSED_PIECE : MAX(PIECE, c->sparse);
        p->len = MIN(p->len, piece - p->off % piece);
    }
    if (c->compress && p->kind != PIECE_SKIP) {
        /* whole clusters of the target, whatever the source's borders */
        uint64_t cluster = c->target->cluster_size, end = (p->off + p->len) / cluster * cluster;
        end = end > p->off ? end : MIN(p->off + cluster, c->total);
        if (p->kind == PIECE_ZERO && end > p->off + p->len) {
            p->kind = PIECE_DATA;
        }
        p->len = end - p->off;
    }
    c->at += p->len;
    c->sequence++;
    return true;
}

/* ---- copying ----------------------------------------------------------------------------------- */

/* Over the borders of joined sources.  With salvage what can't be read is zero. */
static int read_data(Convert *c, const Piece *p, uint8_t *buf)
{
    for (uint64_t done = 0; done < p->len;) {
        uint64_t at = p->off + done;
        const Source *s = source_at(c, at);
        uint64_t len = MIN(p->len - done, s->end - at);
        int ret = node_pread(s->node, at - s->start, buf + done, len);
        if (ret < 0 && !c->salvage) {
            return ret;
        }
        for (uint64_t part = 0; ret < 0 && part < len; part += BLK_SECTOR) {
            if (node_pread(s->node, at - s->start + part, buf + done + part, BLK_SECTOR) < 0) {
                warn_report("error while reading offset %" PRIu64 ": %s", at + part, g_strerror(-ret));
                memset(buf + done + part, 0, BLK_SECTOR);
            }
        }
        done += len;
    }
    return 0;
}

static bool is_zero(const uint8_t *p, uint64_t len)
{
    struct iovec iov = { (void *)p, len };
    return iov_is_zero(&iov, 1);
}

/* Length of the run at p that is all zero or nowhere zero, in units of the sparse size. */
static uint64_t run_length(const Convert *c, const uint8_t *p, uint64_t off, uint64_t len, bool *zero)
{
    uint64_t unit = c->sparse, n = MIN(unit - off % unit, len);
    *zero = n >= MIN(unit, len) && is_zero(p, n);
    while (n < len) {
        uint64_t step = MIN(unit, len - n);
        if (is_zero(p + n, step) != *zero) {
            break;
        }
        n += step;
    }
    return n;
}

static int write_zero(Convert *c, uint64_t off, uint64_t len)
{
    return c->target_zero ? 0 : node_write_zeroes(c->target, off, len, true);
}

static int write_data(Convert *c, const Piece *p, const uint8_t *buf)
{
    int ret = 0;
    for (uint64_t done = 0; done < p->len && !ret;) {
        bool zero = false;
        uint64_t len = p->len - done;
        if (c->sparse) {
            len = run_length(c, buf + done, p->off + done, len, &zero);
        }
        ret = zero ? write_zero(c, p->off + done, len)
                   : node_pwrite(c->target, p->off + done, buf + done, len);
        done += len;
    }
    return ret;
}

static int write_compressed(Convert *c, const Piece *p, const uint8_t *buf)
{
    uint64_t cluster = c->target->cluster_size;
    int ret = 0;
    for (uint64_t done = 0; done < p->len && !ret; done += cluster) {
        uint64_t len = MIN(cluster, p->len - done);
        if (c->sparse && is_zero(buf + done, len)) {
            ret = write_zero(c, p->off + done, len);
        } else {
            ret = node_write_compressed(c->target, p->off + done, buf + done, len);
        }
    }
    return ret;
}

static void read_piece(Convert *c, Piece *p)
{
    if (p->kind != PIECE_DATA) {
        return;
    }
    p->copied = c->offload && node_copy_range(p->source->node, p->off - p->source->start, c->target,
                                              p->off, p->len) == 0;
    if (!p->copied) {
        p->buf = p->buf ? p->buf : aligned_alloc(4096, MAX(PIECE, (c->sparse + 4095) & ~4095u) + MAX_CLUSTER);
        p->ret = read_data(c, p, p->buf);
    }
}

static int write_piece(Convert *c, const Piece *p)
{
    if (p->copied || p->kind == PIECE_SKIP) {
        return 0;
    }
    if (p->kind == PIECE_ZERO) {
        return write_zero(c, p->off, p->len);
    }
    img_pace(&c->pace, p->len);
    return c->compress ? write_compressed(c, p, p->buf) : write_data(c, p, p->buf);
}

/* Lock held, and dropped while it is written. */
static void finish_piece(Convert *c, Piece *p)
{
    bool reading = p->ret < 0;
    int ret = p->ret;
    if (!ret && !c->ret) {
        g_mutex_unlock(&c->lock);
        ret = write_piece(c, p);
        g_mutex_lock(&c->lock);
    }
    if (ret < 0 && !c->ret) {
        c->ret = ret;
        c->failed_read = reading;
        c->failed_at = p->off;
    }
    c->done += p->len;
    img_progress(c->done, c->total);
    p->next = c->free;
    c->free = p;
    if (c->hungry) {
        g_cond_signal(&c->freed);
    }
}

/* Lock held.  What is next in order and was read, if nobody is at it. */
static void write_in_order(Convert *c)
{
    Piece **next;
    while (!c->writing && *(next = &c->read[c->turn % MAX_WORKERS])) {
        c->writing = true;
        finish_piece(c, g_steal_pointer(next));
        c->writing = false;
        c->turn++;
    }
}

static Piece *free_piece(Convert *c)
{
    while (!c->free) {
        c->hungry++;
        g_cond_wait(&c->freed, &c->lock);
        c->hungry--;
    }
    Piece *p = c->free;
    c->free = p->next;
    return p;
}

static gpointer worker(gpointer data)
{
    Convert *c = data;
    g_mutex_lock(&c->lock);
    for (;;) {
        Piece *p = free_piece(c);
        if (!next_piece(c, p)) {
            p->next = c->free;
            c->free = p;
            g_cond_signal(&c->freed);
            break;
        }
        g_mutex_unlock(&c->lock);
        read_piece(c, p);
        g_mutex_lock(&c->lock);
        if (c->any_order) {
            finish_piece(c, p);
        } else {
            c->read[p->sequence % MAX_WORKERS] = p;
            write_in_order(c);
        }
    }
    g_mutex_unlock(&c->lock);
    return NULL;
}

static int copy_all(Convert *c)
{
    GThread *threads[MAX_WORKERS];
    Piece pieces[MAX_WORKERS] = { 0 };
    unsigned n = MIN(c->workers, MAX_WORKERS);
    img_progress_start(c->progress);
    for (unsigned i = 0; i < n; i++) {
        pieces[i].next = c->free;
        c->free = &pieces[i];
    }
    for (unsigned i = 0; i < n; i++) {
        threads[i] = g_thread_new("convert", worker, c);
    }
    for (unsigned i = 0; i < n; i++) {
        g_thread_join(threads[i]);
    }
    for (unsigned i = 0; i < n; i++) {
        free(pieces[i].buf);
    }
    if (!c->ret) {
        c->ret = node_flush(c->target);
    }
    if (c->ret) {
        return img_fail_text("error while %s at byte %" PRIu64 ": %s",
                             c->failed_read ? "reading" : "writing", c->failed_at,
                             g_strerror(-c->ret));
    }
    img_progress_end();
    return 0;
}

/* ---- convert ------------------------------------------------------------------------------------ */

typedef struct Arguments {
    ImgOpen in, out;
    const char *format, *backing, *backing_format, *snapshot;
    Json *options;
    bool skip_create, quiet, has_format, has_sparse, target_is_zero, out_image_opts, bitmaps, skip_broken;
    uint64_t sparse, workers;
} Arguments;

static bool open_sources(Convert *c, const Arguments *a, char **names, int n)
{
    c->sources = g_new0(Source, n);
    for (int i = 0; i < n; i++) {
        Source *s = &c->sources[i];
        s->node = img_open(names[i], &a->in);
        if (!s->node) {
            return false;
        }
        c->n_sources = i + 1;
        if (a->snapshot && !img_load_snapshot(s->node, a->snapshot)) {
            return false;
        }
        s->start = c->total;
        c->total += node_length(s->node);
        s->end = c->total;
    }
    return true;
}

static bool make_target(Convert *c, const Arguments *a, const char *name)
{
    const BlockDriver *d = img_format(a->format);
    Error *err = NULL;
    if (!d) {
        return false;
    }
    if (!d->create && !a->skip_create) {
        return img_fail_text("Format driver '%s' does not support image creation", d->name) == 0;
    }
    if (c->compress && !d->write_compressed) {
        img_fail_text("Compression not supported for this file format");
        return false;
    }
    if (!a->skip_create) {
        if (!json_get(a->options, "size")) {
            json_set_uint(a->options, "size", c->total);
        }
        if (a->backing) {
            json_set_str(a->options, "backing_file", a->backing);
        }
        if (a->backing_format) {
            json_set_str(a->options, "backing_fmt", a->backing_format);
        }
        if (!img_create(d, name, a->options, true, &err)) {
            const char *why = err->message;
            g_autofree char *prefix = g_strdup_printf("%s: ", name);
            why += g_str_has_prefix(why, prefix) ? strlen(prefix) : 0;
            error_report("%s: error while converting %s: %s", name, a->format, why);
            g_clear_error(&err);
            return false;
        }
    }
    ImgOpen out = a->out;
    out.format = a->out_image_opts ? NULL : a->format;
    out.image_opts = a->out_image_opts;
    out.write = true;
    c->target = img_open(name, &out);
    if (!c->target) {
        return false;
    }
    if ((uint64_t)node_length(c->target) < c->total) {
        img_fail_text("output file is smaller than input file");
        return false;
    }
    c->compress |= c->target->compressed_only;
    c->any_order |= c->compress;
    c->base = c->target->backing ? c->base : NULL;
    c->target_zero = a->target_is_zero || (!a->skip_create && !c->target->backing);
    return true;
}

/* -B: the node of the source's chain that the target has below it as well.  If it is none of them, all of
 * the source is copied. */
static void find_base(Convert *c, const char *name)
{
    g_autofree char *want = realpath(name, NULL);
    for (BlockNode *n = c->sources[0].node; n; n = n->backing) {
        g_autofree char *have = realpath(node_file_name(n), NULL);
        if (n != c->sources[0].node && want && have && !strcmp(want, have)) {
            c->base = n;
        }
    }
}

static void free_convert(Convert *c)
{
    for (int i = 0; i < c->n_sources; i++) {
        node_unref(c->sources[i].node);
    }
    node_unref(c->target);
    g_free(c->sources);
}

static int convert(Convert *c, Arguments *a, char **names, int n)
{
    const char *target = names[n - 1];
    c->sparse = a->sparse;
    c->workers = a->workers;
    c->quiet = a->quiet;
    c->any_order |= c->compress;
    if (!open_sources(c, a, names, n - 1)) {
        return 1;
    }
    if (a->backing) {
        g_autofree char *path = node_full_path(target, a->backing);
        if (n - 1 > 1) {
            return img_fail_text("Having a backing file for the target makes no sense when concatenating "
                                 "multiple input images");
        }
        find_base(c, path);
    }
    if (a->bitmaps && n - 1 > 1) {
        return img_fail_text("Copying bitmaps only possible with single source");
    }
    if (a->bitmaps && !img_can_copy_bitmaps(c->sources[0].node, a->skip_broken)) {
        return 1;
    }
    if (!make_target(c, a, target)) {
        return 1;
    }
    if (a->bitmaps && (!c->target->driver->keeps_bitmap
                       || !c->target->driver->keeps_bitmap(c->target, "", 65536, NULL))) {
        return img_fail_text("Format driver '%s' does not support bitmaps", c->target->driver->name);
    }
    if (c->offload && (c->n_sources > 1 || c->compress)) {
        return img_fail_text("Cannot enable copy offloading with several sources or compression");
    }
    int status = copy_all(c);
    return !status && a->bitmaps && !img_copy_bitmaps(c->sources[0].node, c->target, a->skip_broken)
           ? 1 : status;
}

static bool take_option(Convert *c, Arguments *a, int opt)
{
    switch (opt) {
    case 'f': a->in.format = optarg; return true;
    case 'T': a->in.cache = optarg; return true;
    case 'U': a->in.share = true; return true;
    case OPT_IMAGE_OPTS: a->in.image_opts = true; return true;
    case OPT_TARGET_IMAGE_OPTS: a->out_image_opts = true; return true;
    case 'O':
        a->format = optarg;
        a->has_format = true;
        return true;
    case 't': a->out.cache = optarg; return true;
    case 'B': a->backing = optarg; return true;
    case 'F': a->backing_format = optarg; return true;
    case 'C': c->offload = true; return true;
    case 'c': c->compress = true; return true;
    case 'W': c->any_order = true; return true;
    case 'n': a->skip_create = true; return true;
    case 'p': c->progress = true; return true;
    case 'q': a->quiet = true; return true;
    case 'l': a->snapshot = optarg; return true;
    case OPT_BITMAPS: a->bitmaps = true; return true;
    case OPT_SKIP_BROKEN: a->skip_broken = true; return true;
    case OPT_SALVAGE: c->salvage = true; return true;
    case OPT_TARGET_IS_ZERO: a->target_is_zero = true; return true;
    case OPT_PROGRESS:
        c->progress = true;
        return img_progress_option(optarg);
    case 'S':
        a->has_sparse = true;
        if (!img_size("buffer size for sparse output", optarg, &a->sparse)) {
            return false;
        }
        if (a->sparse % BLK_SECTOR || a->sparse > MAX_SPARSE) {
            return img_fail_text("Invalid buffer size for sparse output specified. Valid sizes are "
                                 "multiples of %u up to %u. Select 0 to disable sparse detection (fully "
                                 "allocates output).", BLK_SECTOR, MAX_SPARSE) == 0;
        }
        return true;
    case 'r': return img_size("rate limit", optarg, &c->pace.rate);
    case 'm': return img_number("number of workers. Allowed number is between 1 and 16, not", optarg,
                                1, 16, &a->workers);
    case 'o': return img_add_options(a->options, optarg);
    default: return false;
    }
}

/* Options that exclude each other, or need each other. */
static bool makes_sense(const Convert *c, const Arguments *a)
{
    const char *prealloc = NULL;
    json_get_str(a->options, "preallocation", JSON_OPTIONAL, &prealloc, NULL);
    const struct {
        bool wrong;
        const char *text;
    } rules[] = {
        { a->skip_broken && !a->bitmaps, "Use of --skip-broken-bitmaps requires --bitmaps" },
        { a->target_is_zero && !a->skip_create, "--target-is-zero requires use of -n flag" },
        { a->out_image_opts && !a->skip_create, "--target-image-opts requires use of -n flag" },
        { a->out_image_opts && a->has_format, "--target-image-opts and -O are mutually exclusive" },
        { c->offload && a->has_sparse, "Cannot enable copy offloading when -S is used" },
        { c->offload && c->compress, "Cannot enable copy offloading when -c is used" },
        { c->offload && c->salvage, "Cannot use copy offloading in salvaging mode" },
        { a->backing && !a->backing_format, "Use of backing file requires explicit backing format" },
        { a->backing_format && !a->backing && !json_get(a->options, "backing_file"),
          "Backing format cannot be used without backing file" },
        { c->compress && prealloc && strcmp(prealloc, "off"),
          "Compression and preallocation not supported at the same time" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rules); i++) {
        if (rules[i].wrong) {
            return img_fail_text("%s", rules[i].text) == 0;
        }
    }
    return true;
}

int img_cmd_convert(int argc, char **argv)
{
    Convert c = { 0 };
    g_autoptr(Json) options = json_object();
    Arguments a = { .format = "raw", .options = options, .sparse = 4096, .workers = 8,
                    .out.cache = "unsafe" };
    static const struct option longs[] = {
        { "image-opts", no_argument, 0, OPT_IMAGE_OPTS }, { "salvage", no_argument, 0, OPT_SALVAGE },
        { "target-image-opts", no_argument, 0, OPT_TARGET_IMAGE_OPTS },
        { "bitmaps", no_argument, 0, OPT_BITMAPS },
        { "skip-broken-bitmaps", no_argument, 0, OPT_SKIP_BROKEN },
        { "target-is-zero", no_argument, 0, OPT_TARGET_IS_ZERO },
        { "progress", optional_argument, 0, OPT_PROGRESS },
        { "force-share", no_argument, 0, 'U' }, { 0 } };
    for (int opt; (opt = img_getopt(argc, argv, "B:CF:O:S:T:Ucf:l:m:no:pqr:t:W", longs)) != -1;) {
        if (opt == 'o' && img_is_help(optarg)) {
            const BlockDriver *d = img_format(a.format);
            if (!d) {
                return 1;
            }
            img_print_create_options(d, optind < argc);
            return 0;
        }
        if (!take_option(&c, &a, opt)) {
            return 1;
        }
    }
    if (argc - optind < 2) {
        return img_fail_text("Must specify image file name");
    }
    if (!makes_sense(&c, &a)) {
        return 1;
    }
    int status = convert(&c, &a, argv + optind, argc - optind);
    free_convert(&c);
    return status;
}
