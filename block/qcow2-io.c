/* SPDX-License-Identifier: MIT */
/*
 * qcow2: requests.  Each is entered in a list with the guest clusters it touches; one that
 * changes where clusters live (exclusive) waits until nobody else uses them, so that neither a
 * reader nor a writer in place is left behind in a cluster that was given away.
 *
 * A write to new clusters: allocate, write the data (with what surrounds them in the first and
 * last cluster), and only then name the clusters in the L2 table.  With extended L2 entries only
 * the first and last subcluster are filled up, where the rest of the cluster can stay what it is:
 * read from below, or zeroes.
 */
#include "block/pool.h"
#include "block/qcow2.h"
#include "util/iov.h"

#include <errno.h>
#include <string.h>

#define ZERO_BITMAP (0xffffffffull << 32)
#define DATA_BITMAP 0xffffffffull

/* Data in a row are told of in pieces of this size at most: who asks moves one of them and asks for
 * the next, and looks at the rest would be in vain. */
#define MAX_RUN (2u << 20)

/* ---- requests in flight ---------------------------------------------------------------- */

static bool conflicts(const Qcow2 *q, const Request *r)
{
    for (const Request *o = q->requests; o; o = o->next) {
        if ((o->exclusive || r->exclusive) && o->from < r->to && r->from < o->to) {
            return true;
        }
    }
    return false;
}

void qcow2_wait(Qcow2 *q)
{
    q->waiters++;
    g_cond_wait(&q->changed, &q->lock);
    q->waiters--;
}

void qcow2_wake(Qcow2 *q)
{
    if (q->waiters) {
        g_cond_broadcast(&q->changed);
    }
}

static void begin(Qcow2 *q, Request *r, uint64_t off, uint64_t len, bool exclusive)
{
    uint64_t mask = q->cluster_size - 1;
    *r = (Request) { off & ~mask, (off + len + mask) & ~mask, exclusive, NULL };
    while (conflicts(q, r)) {
        pool_sleeps();
        qcow2_wait(q);
    }
    r->next = q->requests;
    q->requests = r;
}

static void end(Qcow2 *q, Request *r)
{
    Request **p = &q->requests;
    while (*p != r) {
        p = &(*p)->next;
    }
    *p = r->next;
    qcow2_wake(q);
}

/* ---- runs ------------------------------------------------------------------------------ */

/* Guest bytes in a row that live in a row. */
typedef struct Run {
    ClusterType type;
    uint64_t host;                      /* of the first byte (of the cluster if compressed) */
    uint32_t csize;
    uint64_t len;
} Run;

static bool same_run(const Qcow2 *q, const Run *run, const Cluster *c)
{
    return c->type == run->type && (c->type == CLUSTER_UNALLOCATED || c->type == CLUSTER_ZERO
                                    || ((c->type == CLUSTER_NORMAL || c->type == CLUSTER_ZERO_ALLOC)
                                        && c->host == run->host + run->len));
}

static void mixed_run(Qcow2 *q, const Cluster *c, uint64_t inside, uint64_t len, Run *run)
{
    unsigned size = q->cluster_size / 32, n = inside / size;
    run->type = qcow2_subcluster(c, n);
    run->host = c->host + inside;
    run->len = size - inside % size;
    while (run->len < len && ++n < 32 && qcow2_subcluster(c, n) == run->type) {
        run->len += size;
    }
}

static int map_run(Qcow2 *q, uint64_t off, uint64_t len, Run *run)
{
    uint64_t inside = off & (q->cluster_size - 1);
    Cluster c;
    int ret = qcow2_lookup(q, off, &c);
    if (ret < 0) {
        return ret;
    }
    *run = (Run) { c.type, c.host + inside, c.csize, q->cluster_size - inside };
    if (c.type == CLUSTER_MIXED) {
        mixed_run(q, &c, inside, MIN(len, run->len), run);
    } else if (c.type == CLUSTER_COMPRESSED) {
        run->host = c.host;
    } else {
        uint64_t far = c.type == CLUSTER_NORMAL ? MIN(len, MAX_RUN) : len;
        while (run->len < far && !ret) {
            ret = qcow2_lookup(q, off + run->len, &c);
            if (ret || !same_run(q, run, &c)) {
                break;                  /* an error comes up again when it is its turn */
            }
            run->len += q->cluster_size;
        }
    }
    run->len = MIN(run->len, len);
    return run->type == CLUSTER_MIXED ? -EIO : 0;
}

/* ---- reading --------------------------------------------------------------------------- */

static int read_backing(Qcow2 *q, uint64_t off, const struct iovec *iov, int niov, uint64_t len)
{
    BlockNode *b = q->node->backing;
    int64_t length = b ? node_length(b) : 0;
    if (length < 0) {
        return length;
    }
    uint64_t there = off >= (uint64_t)length ? 0 : MIN(len, (uint64_t)length - off);
    iov_memset(iov, niov, there, 0, len - there);
    if (!there) {
        return 0;
    }
    if (there == len) {
        return node_read(b, off, iov, niov);
    }
    g_autofree struct iovec *part = g_new(struct iovec, niov);
    return node_read(b, off, part, iov_slice(part, iov, niov, 0, there));
}

static int read_compressed(Qcow2 *q, const Run *run, uint64_t inside, const struct iovec *iov,
                           int niov)
{
    g_mutex_lock(&q->inflated_lock);
    if (q->inflated_host == run->host && q->inflated) {
        iov_from_buf(iov, niov, 0, q->inflated + inside, run->len);
        g_mutex_unlock(&q->inflated_lock);
        return 0;
    }
    g_mutex_unlock(&q->inflated_lock);
    g_autofree uint8_t *in = g_malloc(run->csize), *out = g_malloc(q->cluster_size);
    int ret = node_pread(q->node->file, run->host, in, run->csize);
    ret = ret ? ret : qcow2_inflate(q, in, run->csize, out);
    if (ret) {
        return ret;
    }
    iov_from_buf(iov, niov, 0, out + inside, run->len);
    if (run->len < q->cluster_size) {   /* the rest will be asked for soon */
        g_mutex_lock(&q->inflated_lock);
        g_free(q->inflated);
        q->inflated = g_steal_pointer(&out);
        q->inflated_host = run->host;
        g_mutex_unlock(&q->inflated_lock);
    }
    return 0;
}

static int read_run(Qcow2 *q, const Run *run, uint64_t off, const struct iovec *iov, int niov)
{
    switch (run->type) {
    case CLUSTER_UNALLOCATED:
        return read_backing(q, off, iov, niov, run->len);
    case CLUSTER_NORMAL:
        return node_read(q->data, run->host, iov, niov);
    case CLUSTER_COMPRESSED:
        return read_compressed(q, run, off & (q->cluster_size - 1), iov, niov);
    default:
        iov_memset(iov, niov, 0, 0, run->len);
        return 0;
    }
}

/* Lock held; dropped during transfers. */
static int read_locked(Qcow2 *q, uint64_t off, const struct iovec *iov, int niov, size_t total)
{
    g_autofree struct iovec *part = NULL;
    int ret = 0;
    for (size_t done = 0; done < total && !ret;) {
        Run run;
        ret = map_run(q, off + done, total - done, &run);
        if (ret) {
            break;
        }
        g_mutex_unlock(&q->lock);
        if (run.len == total) {
            ret = read_run(q, &run, off, iov, niov);
        } else {
            part = part ? part : g_new(struct iovec, niov);
            int n = iov_slice(part, iov, niov, done, run.len);
            ret = read_run(q, &run, off + done, part, n);
        }
        g_mutex_lock(&q->lock);
        done += run.len;
    }
    return ret;
}

int qcow2_read(BlockNode *n, uint64_t off, const struct iovec *iov, int niov)
{
    Qcow2 *q = n->state;
    size_t total = iov_size(iov, niov);
    Request r;
    g_mutex_lock(&q->lock);
    begin(q, &r, off, total, false);
    int ret = read_locked(q, off, iov, niov, total);
    end(q, &r);
    g_mutex_unlock(&q->lock);
    return ret;
}

/* ---- reading at once ------------------------------------------------------------------ */

static int try_backing(Qcow2 *q, uint64_t off, const struct iovec *iov, int niov, uint64_t len)
{
    BlockNode *b = q->node->backing;
    int64_t length = b ? node_length(b) : 0;
    if (length < 0 || (off < (uint64_t)length && off + len > (uint64_t)length)) {
        return -EAGAIN;
    }
    if (off < (uint64_t)length) {
        return node_try_read(b, off, iov, niov);
    }
    iov_memset(iov, niov, 0, 0, len);
    return 0;
}

static int try_run(Qcow2 *q, const Run *run, uint64_t off, const struct iovec *iov, int niov)
{
    switch (run->type) {
    case CLUSTER_UNALLOCATED:
        return try_backing(q, off, iov, niov, run->len);
    case CLUSTER_NORMAL:
        return node_try_read(q->data, run->host, iov, niov);
    case CLUSTER_COMPRESSED:
        return -EAGAIN;
    default:
        iov_memset(iov, niov, 0, 0, run->len);
        return 0;
    }
}

static bool writer_near(const Qcow2 *q, uint64_t off, uint64_t len)
{
    for (const Request *o = q->requests; o; o = o->next) {
        if (o->exclusive && o->from < off + len && off < o->to) {
            return true;
        }
    }
    return false;
}

/* Everything that is needed is in memory, or it is not done. */
int qcow2_try_read(BlockNode *n, uint64_t off, const struct iovec *iov, int niov)
{
    Qcow2 *q = n->state;
    size_t total = iov_size(iov, niov);
    g_autofree struct iovec *part = NULL;
    if (!g_mutex_trylock(&q->lock)) {
        return -EAGAIN;
    }
    int ret = writer_near(q, off, total) ? -EAGAIN : 0;
    for (size_t done = 0; done < total && !ret;) {
        Run run;
        uint64_t inside = (off + done) & (q->cluster_size - 1);
        uint64_t len = MIN(total - done, q->cluster_size - inside);
        ret = qcow2_table_cached(q, off + done) && !map_run(q, off + done, len, &run) ? 0 : -EAGAIN;
        if (!ret && run.len == total) {
            ret = try_run(q, &run, off, iov, niov);
        } else if (!ret) {
            part = part ? part : g_new(struct iovec, niov);
            ret = try_run(q, &run, off + done, part, iov_slice(part, iov, niov, done, run.len));
        }
        done += ret ? 0 : run.len;
    }
    g_mutex_unlock(&q->lock);
    return ret ? -EAGAIN : 0;
}

/* ---- writing --------------------------------------------------------------------------- */

/* Bits of the subclusters that [from, to) of a cluster touches; bytes. */
static uint32_t touched(const Qcow2 *q, uint64_t from, uint64_t to)
{
    unsigned size = q->cluster_size / 32, first = from / size, end = (to + size - 1) / size;
    return (end == 32 ? UINT32_MAX : (1u << end) - 1) & ~((1u << first) - 1);
}

/* Can these bytes of the cluster be written where they are, without a change of its entry? */
static bool in_place(const Qcow2 *q, const Cluster *c, uint64_t from, uint64_t to)
{
    uint32_t bits = c->type == CLUSTER_MIXED ? touched(q, from, to) : 0;
    return (c->entry & ENTRY_COPIED)
           && (c->type == CLUSTER_NORMAL
               || (bits && !(~(uint32_t)c->bitmap & bits) && !((c->bitmap >> 32) & bits)));
}

/* ... or with one: it has space for all of its subclusters, and data in some. */
static bool is_partial(const Qcow2 *q, const Cluster *c)
{
    return c->type == CLUSTER_MIXED && (c->entry & ENTRY_COPIED) && (c->host || q->external);
}

/* What a write leaves out of it needs no space. */
static bool may_be_partial(const Qcow2 *q, const Cluster *c)
{
    return q->extended && (c->type == CLUSTER_UNALLOCATED || c->type == CLUSTER_ZERO || is_partial(q, c));
}

static bool has_own_space(const Cluster *c)
{
    return c->type == CLUSTER_ZERO_ALLOC && (c->entry & ENTRY_COPIED);
}

static bool reads_zero(Qcow2 *q, const Cluster *c)
{
    return c->type == CLUSTER_ZERO || c->type == CLUSTER_ZERO_ALLOC
           || (c->type == CLUSTER_UNALLOCATED && !q->node->backing);
}

/* What a piece of a write does. */
typedef struct Piece {
    uint64_t off, len;                  /* guest bytes written */
    uint64_t host;                      /* of the first cluster (in place: of the first byte) */
    bool in_place, reuse;               /* reuse: has space that reads as zeroes so far */
    bool head_zero, tail_zero;          /* what surrounds it is zeroes */
    bool virgin;                        /* ... and the file has them there already */
    bool head_partial, tail_partial;    /* only subclusters are filled up */
} Piece;

/* The clusters from off on that can be written in one go. */
static int plan(Qcow2 *q, uint64_t off, uint64_t len, Piece *p)
{
    uint64_t inside = off & (q->cluster_size - 1), start = off - inside;
    uint64_t want = qcow2_clusters(q, inside + len), count = 1;
    Cluster first, c;
    int ret = qcow2_lookup(q, off, &first);
    if (ret < 0) {
        return ret;
    }
    *p = (Piece) { .off = off, .reuse = has_own_space(&first) || is_partial(q, &first), .host = first.host,
                   .in_place = in_place(q, &first, inside, MIN(inside + len, q->cluster_size)),
                   .head_zero = reads_zero(q, &first), .head_partial = may_be_partial(q, &first) };
    c = first;
    for (; count < want && !is_partial(q, &first); count++) {
        Cluster next;
        if (qcow2_lookup(q, start + (count << q->cluster_bits), &next) < 0 || is_partial(q, &next)
            || in_place(q, &next, 0, q->cluster_size) != p->in_place || has_own_space(&next) != p->reuse
            || ((p->in_place || p->reuse) && next.host != c.host + q->cluster_size)) {
            break;
        }
        c = next;
    }
    p->tail_zero = reads_zero(q, &c);
    p->tail_partial = may_be_partial(q, &c);
    p->len = MIN(len, (count << q->cluster_bits) - inside);
    p->host += p->in_place ? inside : 0;
    return 0;
}

/* New space; the piece may get shorter. */
static int allocate(Qcow2 *q, Piece *p)
{
    uint64_t inside = p->off & (q->cluster_size - 1), virgin = q->virgin;
    if (q->external) {
        p->host = p->off - inside;
        return 0;
    }
    uint64_t count = qcow2_clusters(q, inside + p->len);
    int64_t got = qcow2_alloc(q, count, false, &p->host);
    if (got < 0) {
        return got;
    }
    p->virgin = p->host >= virgin;
    if ((uint64_t)got < count) {
        Cluster last;
        p->len = MIN(p->len, ((uint64_t)got << q->cluster_bits) - inside);
        bool found = !qcow2_lookup(q, p->off + p->len - 1, &last);
        p->tail_zero = found && reads_zero(q, &last);
        p->tail_partial = found && may_be_partial(q, &last);
    }
    return 0;
}

/* What the disk holds now, for the edges of a cluster that moves. */
static int read_old(Qcow2 *q, uint64_t off, uint8_t *buf, uint64_t len)
{
    uint64_t there = off >= q->size ? 0 : MIN(len, q->size - off);
    struct iovec iov = { buf, there };
    memset(buf + there, 0, len - there);
    g_mutex_lock(&q->lock);
    int ret = there ? read_locked(q, off, &iov, 1, there) : 0;
    g_mutex_unlock(&q->lock);
    return ret;
}

/* Guest bytes that have data of their own after the write: whole clusters, or subclusters. */
static uint64_t first_written(const Qcow2 *q, const Piece *p)
{
    uint64_t unit = p->head_partial ? q->cluster_size / 32 : q->cluster_size;
    return p->off / unit * unit;
}

static uint64_t end_written(const Qcow2 *q, const Piece *p)
{
    uint64_t unit = p->tail_partial ? q->cluster_size / 32 : q->cluster_size;
    return (p->off + p->len + unit - 1) / unit * unit;
}

/* The data with what surrounds them in their clusters.  No lock; *copied: old data moved. */
static int write_with_edges(Qcow2 *q, const Piece *p, const struct iovec *iov, int niov, bool *copied)
{
    uint64_t inside = p->off & (q->cluster_size - 1), head = p->off - first_written(q, p);
    uint64_t tail = end_written(q, p) - (p->off + p->len);
    bool skip_head = !head || (p->head_zero && p->virgin);
    bool skip_tail = !tail || (p->tail_zero && p->virgin);
    *copied = !skip_head || !skip_tail;
    if (!*copied) {
        return node_write(q->data, p->host + inside, iov, niov);
    }
    g_autofree uint8_t *before = skip_head ? NULL : g_malloc0(head);
    g_autofree uint8_t *after = skip_tail ? NULL : g_malloc0(tail);
    int ret = 0, n = 0;
    if (before && !p->head_zero) {
        ret = read_old(q, p->off - head, before, head);
    }
    if (after && !ret && !p->tail_zero) {
        ret = read_old(q, p->off + p->len, after, tail);
    }
    if (ret) {
        return ret;
    }
    g_autofree struct iovec *all = g_new(struct iovec, niov + 2);
    if (before) {
        all[n++] = (struct iovec) { before, head };
    }
    memcpy(all + n, iov, niov * sizeof(*iov));
    n += niov;
    if (after) {
        all[n++] = (struct iovec) { after, tail };
    }
    return node_write(q->data, p->host + inside - (before ? head : 0), all, n);
}

static void give_back(Qcow2 *q, const Piece *p, uint64_t from, uint64_t to)
{
    if (!p->reuse && !q->external && from < to) {
        qcow2_refcount_add(q, p->host + from, to - from, -1);
    }
}

/* Of the cluster at guest, after the write. */
static uint64_t new_bitmap(const Qcow2 *q, const Piece *p, uint64_t guest, const Cluster *old)
{
    uint64_t from = MAX(first_written(q, p), guest), to = MIN(end_written(q, p), guest + q->cluster_size);
    uint32_t bits = touched(q, from - guest, to - guest), rest = ~bits;
    if (!may_be_partial(q, old)) {
        return DATA_BITMAP;
    }
    return bits | (old->bitmap & rest) | ((old->bitmap >> 32 & rest) << 32);
}

/* Names the new clusters.  Lock held. */
static int link_piece(Qcow2 *q, const Piece *p)
{
    uint64_t start = p->off & ~(uint64_t)(q->cluster_size - 1);
    uint64_t bytes = qcow2_round_up(q, p->off + p->len) - start;
    for (uint64_t at = 0; at < bytes; at += q->cluster_size) {
        Cluster old;
        int ret = qcow2_lookup(q, start + at, &old);
        ret = ret ? ret : qcow2_link(q, start + at, (p->host + at) | ENTRY_COPIED,
                                     q->extended ? new_bitmap(q, p, start + at, &old) : 0);
        if (ret < 0) {
            give_back(q, p, at, bytes);
            return ret;
        }
        if (!p->reuse) {
            qcow2_free_entry(q, &old, FREED_OTHER);
        }
    }
    return 0;
}

static int write_piece(Qcow2 *q, Piece *p, const struct iovec *iov, int niov)
{
    bool copied = false;
    g_mutex_unlock(&q->lock);
    int ret = p->in_place ? node_write(q->data, p->host, iov, niov)
                          : write_with_edges(q, p, iov, niov, &copied);
    g_mutex_lock(&q->lock);
    if (p->in_place) {
        return ret;
    }
    if (ret < 0) {
        uint64_t inside = p->off & (q->cluster_size - 1);
        give_back(q, p, 0, qcow2_round_up(q, inside + p->len));
        return ret;
    }
    q->barrier_needed |= copied || p->reuse;
    return link_piece(q, p);
}

/* Every cluster of the range can be written where it is.  Lock held. */
static bool all_in_place(Qcow2 *q, uint64_t off, uint64_t len)
{
    uint64_t at = off & ~(uint64_t)(q->cluster_size - 1);
    for (; at < off + len; at += q->cluster_size) {
        Cluster c;
        uint64_t from = MAX(at, off) - at, to = MIN(at + q->cluster_size, off + len) - at;
        if (qcow2_lookup(q, at, &c) < 0 || !in_place(q, &c, from, to)) {
            return false;
        }
    }
    return true;
}

static int mark_lazy(Qcow2 *q)
{
    if (!q->lazy || (q->incompatible & INCOMPAT_DIRTY)) {
        return 0;
    }
    return qcow2_set_incompatible(q, INCOMPAT_DIRTY, true);
}

/* Where it goes, when that is decided already: no table may be there. */
static int check_place(Qcow2 *q, const Piece *p)
{
    uint64_t start = p->host & ~(uint64_t)(q->cluster_size - 1);
    uint64_t end = p->host + p->len + (p->in_place ? 0 : p->off & (q->cluster_size - 1));
    return q->external || !(p->in_place || p->reuse) ? 0
           : qcow2_check_overlap(q, start, qcow2_round_up(q, end) - start);
}

/* Lock held; dropped during transfers. */
static int write_locked(Qcow2 *q, uint64_t off, const struct iovec *iov, int niov, size_t total)
{
    g_autofree struct iovec *part = NULL;
    int ret = q->corrupt ? -EIO : 0;
    for (size_t done = 0; done < total && !ret;) {
        Piece p;
        ret = plan(q, off + done, total - done, &p);
        ret = ret ? ret : check_place(q, &p);
        if (!ret && !p.in_place) {
            ret = mark_lazy(q);
            ret = ret || p.reuse ? ret : allocate(q, &p);
        }
        if (ret) {
            break;
        }
        if (p.len == total) {
            ret = write_piece(q, &p, iov, niov);
        } else {
            part = part ? part : g_new(struct iovec, niov);
            ret = write_piece(q, &p, part, iov_slice(part, iov, niov, done, p.len));
        }
        done += p.len;
    }
    return ret;
}

int qcow2_write(BlockNode *n, uint64_t off, const struct iovec *iov, int niov)
{
    Qcow2 *q = n->state;
    size_t total = iov_size(iov, niov);
    Request r;
    g_mutex_lock(&q->lock);
    begin(q, &r, off, total, false);
    if (!all_in_place(q, off, total)) {
        end(q, &r);
        begin(q, &r, off, total, true);
    }
    int ret = write_locked(q, off, iov, niov, total);
    end(q, &r);
    g_mutex_unlock(&q->lock);
    return ret;
}

int qcow2_write_compressed(BlockNode *n, uint64_t off, const void *buf, size_t len)
{
    Qcow2 *q = n->state;
    if (q->external) {
        return -ENOTSUP;
    }
    if (off % q->cluster_size || len > q->cluster_size
        || (len < q->cluster_size && off + len != q->size)) {
        return -EINVAL;
    }
    g_autofree uint8_t *in = NULL, *out = g_malloc(q->cluster_size);
    if (len < q->cluster_size) {
        in = g_malloc0(q->cluster_size);
        memcpy(in, buf, len);
    }
    int64_t size = qcow2_deflate(q, in ? in : buf, out, q->cluster_size - 1);
    if (size < 0) {
        struct iovec iov = { (void *)buf, len };
        return size == -ENOMEM ? qcow2_write(n, off, &iov, 1) : size;
    }
    Request r;
    uint64_t host;
    Cluster old;
    g_mutex_lock(&q->lock);
    begin(q, &r, off, len, true);
    int ret = q->corrupt ? -EIO : mark_lazy(q);
    ret = ret ? ret : qcow2_lookup(q, off, &old);
    ret = ret ? ret : qcow2_alloc_bytes(q, size, &host);
    if (!ret) {
        g_mutex_unlock(&q->lock);
        ret = node_pwrite(q->node->file, host, out, size);
        g_mutex_lock(&q->lock);
        uint64_t sectors = (host + size - 1) / 512 - host / 512;
        ret = ret ? ret : qcow2_link(q, off, ENTRY_COMPRESSED | host
                                     | sectors << (62 - (q->cluster_bits - 8)), 0);
        if (ret) {
            qcow2_refcount_add(q, host, size, -1);
        } else {
            qcow2_free_entry(q, &old, FREED_OTHER);
        }
    }
    end(q, &r);
    g_mutex_unlock(&q->lock);
    return ret;
}

/* ---- zeroes and discards --------------------------------------------------------------- */

typedef enum { MAKE_ZERO, MAKE_ZERO_UNMAP, DISCARD, UNLINK } Change;

/* Lock held. */
static int change_cluster(Qcow2 *q, uint64_t guest, Change change)
{
    Cluster c;
    int ret = qcow2_lookup(q, guest, &c);
    if (ret < 0) {
        return ret;
    }
    bool none = c.type == CLUSTER_UNALLOCATED, zero_flag = q->version >= 3;
    uint64_t zero_entry = q->extended ? 0 : ENTRY_ZERO;
    if (change == UNLINK || !zero_flag) {
        if (none) {
            return 0;
        }
        ret = qcow2_link(q, guest, 0, 0);
    } else if ((none && !q->node->backing) || c.type == CLUSTER_ZERO
               || (c.type == CLUSTER_ZERO_ALLOC && change == MAKE_ZERO)) {
        return 0;
    } else if (in_place(q, &c, 0, q->cluster_size) && change == MAKE_ZERO) {
        return qcow2_link(q, guest, c.host | ENTRY_COPIED | zero_entry, ZERO_BITMAP);
    } else {
        ret = qcow2_link(q, guest, zero_entry, ZERO_BITMAP);
    }
    if (!ret) {
        qcow2_free_entry(q, &c, FREED_REQUEST);
    }
    return ret;
}

/* Whole clusters.  An L2 table that is not there is skipped if that changes nothing. */
static int change_range(Qcow2 *q, uint64_t from, uint64_t to, Change change)
{
    uint64_t per_table = 1ull << (q->cluster_bits + q->l2_bits);
    Request r;
    if (from >= to) {
        return 0;
    }
    g_mutex_lock(&q->lock);
    begin(q, &r, from, to - from, true);
    int ret = q->corrupt ? -EIO : mark_lazy(q);
    for (uint64_t at = from; at < to && !ret;) {
        uint64_t i = at >> (q->cluster_bits + q->l2_bits);
        if (!(q->l1[i] & ENTRY_OFFSET) && (!q->node->backing || change == UNLINK)) {
            at = (i + 1) * per_table;
            continue;
        }
        ret = change_cluster(q, at, change);
        at += q->cluster_size;
    }
    end(q, &r);
    bool many = q->pending_free->len > 10000;
    g_mutex_unlock(&q->lock);
    return ret || !many ? ret : qcow2_sync(q);
}

int qcow2_unlink_range(Qcow2 *q, uint64_t from, uint64_t to)
{
    return change_range(q, from, to, UNLINK);
}

static int zero_part(BlockNode *n, uint64_t off, uint64_t len)
{
    Qcow2 *q = n->state;
    Cluster c;
    if (!len) {
        return 0;
    }
    g_mutex_lock(&q->lock);
    int ret = qcow2_lookup(q, off, &c);
    bool zero = !ret && reads_zero(q, &c);
    g_mutex_unlock(&q->lock);
    if (ret || zero) {
        return ret;
    }
    g_autofree void *zeroes = g_malloc0(len);
    struct iovec iov = { zeroes, len };
    return qcow2_write(n, off, &iov, 1);
}

int qcow2_write_zeroes(BlockNode *n, uint64_t off, uint64_t len, bool may_unmap)
{
    Qcow2 *q = n->state;
    uint64_t end = off + len, mask = q->cluster_size - 1;
    uint64_t first = (off + mask) & ~mask, last = end >= q->size ? qcow2_round_up(q, end) : end & ~mask;
    if (q->external || (q->version < 3 && (q->node->backing || !may_unmap))) {
        return -ENOTSUP;
    }
    if (first > end || first >= last) { /* inside one cluster, or over one border */
        uint64_t middle = MIN(first, end);
        int ret = zero_part(n, off, middle - off);
        return ret ? ret : zero_part(n, middle, end - middle);
    }
    int ret = zero_part(n, off, first - off);
    ret = ret ? ret : change_range(q, first, last, may_unmap ? MAKE_ZERO_UNMAP : MAKE_ZERO);
    return ret || end <= last ? ret : zero_part(n, last, end - last);
}

int qcow2_discard(BlockNode *n, uint64_t off, uint64_t len)
{
    Qcow2 *q = n->state;
    uint64_t end = off + len, mask = q->cluster_size - 1;
    uint64_t first = (off + mask) & ~mask, last = end >= q->size ? qcow2_round_up(q, end) : end & ~mask;
    /* version 2 can't hide the backing file's data: better none discarded than old ones shown */
    if (q->external || (q->version < 3 && n->backing)) {
        return 0;
    }
    return change_range(q, first, last, DISCARD);
}

/* ---- others ------------------------------------------------------------------------------ */

int qcow2_status(BlockNode *n, uint64_t off, uint64_t len, BlockStatus *st)
{
    Qcow2 *q = n->state;
    Run run;
    g_mutex_lock(&q->lock);
    int ret = map_run(q, off, len, &run);
    g_mutex_unlock(&q->lock);
    if (ret) {
        return ret;
    }
    st->len = run.len;
    st->allocated = run.type != CLUSTER_UNALLOCATED;
    st->zero = run.type == CLUSTER_ZERO || run.type == CLUSTER_ZERO_ALLOC;
    st->data = run.type == CLUSTER_NORMAL || run.type == CLUSTER_COMPRESSED;
    st->compressed = run.type == CLUSTER_COMPRESSED;
    st->has_offset = run.type == CLUSTER_NORMAL || run.type == CLUSTER_ZERO_ALLOC;
    st->offset = run.host;
    st->file = q->data;
    return 0;
}

/* One stretch of clusters without space.  Lock held. */
static int preallocate_run(Qcow2 *q, uint64_t from, uint64_t *count)
{
    uint64_t virgin = q->virgin, host = from;
    int64_t got = q->external ? (int64_t)*count : qcow2_alloc(q, *count, false, &host);
    if (got < 0) {
        return got;
    }
    bool clean = q->external || host >= virgin;
    *count = got;
    if (!clean && (q->version < 3 || q->extended)) {
        int ret = node_write_zeroes(q->data, host, (uint64_t)got << q->cluster_bits, false);
        if (ret < 0) {
            qcow2_refcount_add(q, host, (uint64_t)got << q->cluster_bits, -1);
            return ret;
        }
        clean = true;
    }
    for (int64_t i = 0; i < got; i++) {
        uint64_t at = (uint64_t)i << q->cluster_bits;
        int ret = qcow2_link(q, from + at, (host + at) | ENTRY_COPIED | (clean ? 0 : ENTRY_ZERO),
                             DATA_BITMAP);
        if (ret < 0) {
            if (!q->external) {
                qcow2_refcount_add(q, host + at, ((uint64_t)got << q->cluster_bits) - at, -1);
            }
            return ret;
        }
    }
    return 0;
}

int qcow2_preallocate(Qcow2 *q, uint64_t from, uint64_t to)
{
    Request r;
    int ret = 0;
    if (from >= to) {
        return 0;
    }
    g_mutex_lock(&q->lock);
    begin(q, &r, from, to - from, true);
    to = r.to;
    for (uint64_t at = r.from; at < to && !ret;) {
        Cluster c;
        ret = qcow2_lookup(q, at, &c);
        uint64_t count = 1;
        if (!ret && c.type == CLUSTER_UNALLOCATED && !q->node->backing) {
            /* up to the end of this L2 table: all of it is likely empty */
            while (at + (count << q->cluster_bits) < to
                   && !qcow2_lookup(q, at + (count << q->cluster_bits), &c)
                   && c.type == CLUSTER_UNALLOCATED && count < 65536) {
                count++;
            }
            ret = preallocate_run(q, at, &count);
        }
        at += count << q->cluster_bits;
    }
    end(q, &r);
    g_mutex_unlock(&q->lock);
    return ret;
}
