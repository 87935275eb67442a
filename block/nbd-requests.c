/* SPDX-License-Identifier: MIT */
/*
 * NBD server: requests and replies.
 */
#include "block/dirtymap.h"
#include "block/nbd-int.h"
#include "util/bits.h"

#include <errno.h>
#include <string.h>

#define MAX_BUSY_BYTES  (64u << 20)     /* of one connection */
#define MAX_BUSY        16u
#define MAX_EXTENTS     2048u

typedef struct NbdRequest {
    NbdConn *conn;
    uint16_t flags, type;
    uint8_t handle[8];
    uint64_t off;
    uint32_t len;
    uint8_t *buf;
} NbdRequest;

/* ---- replies --------------------------------------------------------------------------------- */

static uint32_t wire_error(int errnum)
{
    switch (errnum) {
    case 0: return 0;
    case EPERM: case EROFS: return 1;
    case ENOMEM: return 12;
    case EINVAL: return 22;
    case ENOSPC: case EFBIG: case EDQUOT: return 28;
    case EOVERFLOW: return 75;
    case ENOTSUP: return 95;
    default: return 5;
    }
}

static void simple(NbdRequest *r, int errnum, const void *data, uint32_t len)
{
    uint8_t h[16];
    st32_be(h, NBD_SIMPLE_MAGIC);
    st32_be(h + 4, wire_error(errnum));
    memcpy(h + 8, r->handle, 8);
    nbd_send(r->conn, h, sizeof(h), data, len);
}

/* extra: up to 12 bytes between the header and the data, part of the payload */
static void chunk(NbdRequest *r, bool last, uint16_t type, const void *extra, uint32_t extra_len,
                  const void *data, uint32_t len)
{
    uint8_t h[20 + 12];
    st32_be(h, NBD_CHUNK_MAGIC);
    st16_be(h + 4, last);
    st16_be(h + 6, type);
    memcpy(h + 8, r->handle, 8);
    st32_be(h + 16, extra_len + len);
    memcpy(h + 20, extra, extra_len);
    nbd_send(r->conn, h, 20 + extra_len, data, len);
}

static void answer(NbdRequest *r, int ret)
{
    g_mutex_lock(&r->conn->lock);
    if (!r->conn->structured || (ret >= 0 && r->type != NBD_CMD_READ && r->type != NBD_CMD_BLOCK_STATUS)) {
        simple(r, -MIN(ret, 0), NULL, 0);
    } else {
        uint8_t e[6] = { 0 };
        st32_be(e, wire_error(-ret));
        chunk(r, true, NBD_CHUNK_ERROR, e, 6, NULL, 0);
    }
    g_mutex_unlock(&r->conn->lock);
}

/* The node, with the graph's read lock: never held while sending, as the client may be slow. */
static BlockNode *enter(const NbdRequest *r)
{
    graph_read_lock();
    return r->conn->export->node;
}

static int leave(int ret)
{
    graph_read_unlock();
    return ret;
}

/* ---- reading ----------------------------------------------------------------------------------- */

/* With structured replies zeroes need not travel. */
static int read_part(NbdRequest *r, uint64_t off, uint32_t *len, bool *zero)
{
    BlockNode *n = enter(r);
    BlockStatus st;
    int ret = node_status_above(n, NULL, off, *len, &st, NULL);
    if (!ret) {
        *len = r->flags & NBD_CMD_DF ? *len : MIN(st.len, *len);
        *zero = (st.zero || !st.allocated) && st.len >= *len;
        ret = *zero && !(r->flags & NBD_CMD_DF) ? 0 : node_pread(n, off, r->buf, *len);
    }
    return leave(ret);
}

static int read_structured(NbdRequest *r)
{
    for (uint32_t done = 0; done < r->len;) {
        uint8_t at[12];
        uint32_t len = r->len - done;
        bool zero = false;
        int ret = read_part(r, r->off + done, &len, &zero);
        if (ret < 0) {
            return ret;
        }
        st64_be(at, r->off + done);
        st32_be(at + 8, len);
        done += len;
        g_mutex_lock(&r->conn->lock);
        chunk(r, done == r->len, zero ? NBD_CHUNK_HOLE : NBD_CHUNK_DATA, at, zero ? 12 : 8, r->buf,
              zero ? 0 : len);
        g_mutex_unlock(&r->conn->lock);
    }
    return 0;
}

/* Answers by itself unless it fails. */
static int do_read(NbdRequest *r)
{
    if (r->conn->structured && r->len) {
        return read_structured(r);
    }
    int ret = leave(node_pread(enter(r), r->off, r->buf, r->len));
    if (!ret) {
        g_mutex_lock(&r->conn->lock);
        if (r->conn->structured) {
            chunk(r, true, NBD_CHUNK_NONE, NULL, 0, NULL, 0);
        } else {
            simple(r, 0, r->buf, r->len);
        }
        g_mutex_unlock(&r->conn->lock);
    }
    return ret;
}

/* ---- block status ------------------------------------------------------------------------------- */

static int state_at(const NbdRequest *r, BlockNode *n, unsigned context, uint64_t off, uint64_t len,
                    uint64_t *run, uint32_t *state)
{
    BlockStatus st;
    int depth = 0;
    if (context == NBD_META_BITMAP) {
        DirtyBitmap *b = bitmap_find(n, r->conn->export->bitmap, NULL);
        uint64_t at, part;
        *run = len;
        *state = 0;
        if (b && dirtymap_next(b->map, off, len, &at, &part) && at + part > off && at < off + len) {
            *state = at <= off;
            *run = *state ? MIN(at + part - off, len) : at - off;
        }
        return 0;
    }
    int ret = node_status_above(n, NULL, off, len, &st, &depth);
    if (ret < 0) {
        return ret;
    }
    *run = st.len;
    *state = context == NBD_META_DEPTH ? (st.allocated ? depth + 1 : 0)
             : (st.data ? 0 : NBD_STATE_HOLE) | (st.zero || !st.allocated ? NBD_STATE_ZERO : 0);
    return 0;
}

static int send_status(NbdRequest *r, unsigned context, bool last)
{
    g_autoptr(GByteArray) out = g_byte_array_new();
    uint8_t e[8];
    uint32_t state = 0, have_state = 0;
    uint64_t done = 0, run, have = 0;
    unsigned max = r->flags & NBD_CMD_REQ_ONE ? 1 : MAX_EXTENTS;
    while (done < r->len && out->len / 8 < max) {
        int ret = leave(state_at(r, enter(r), context, r->off + done, r->len - done, &run, &state));
        if (ret < 0) {
            return ret;
        }
        if (have && state != have_state) {
            st32_be(e, have);
            st32_be(e + 4, have_state);
            g_byte_array_append(out, e, 8);
            have = 0;
        }
        have_state = state;
        have += run;
        done += run;
    }
    if (have && out->len / 8 < max) {
        st32_be(e, have);
        st32_be(e + 4, have_state);
        g_byte_array_append(out, e, 8);
    }
    st32_be(e, context);
    g_mutex_lock(&r->conn->lock);
    chunk(r, last, NBD_CHUNK_STATUS, e, 4, out->data, out->len);
    g_mutex_unlock(&r->conn->lock);
    return 0;
}

static int do_status(NbdRequest *r)
{
    unsigned left = r->conn->contexts;
    int ret = left && r->len ? 0 : -EINVAL;
    for (unsigned bit = 1; left && !ret; bit <<= 1) {
        if (left & bit) {
            left &= ~bit;
            ret = send_status(r, bit, !left);
        }
    }
    return ret;
}

/* ---- requests -------------------------------------------------------------------------------------- */

static int change(const NbdRequest *r, BlockNode *n)
{
    switch (r->type) {
    case NBD_CMD_WRITE:
        return node_pwrite(n, r->off, r->buf, r->len);
    case NBD_CMD_FLUSH:
        return node_flush(n);
    case NBD_CMD_TRIM:
        return node_discard(n, r->off, r->len);
    case NBD_CMD_WRITE_ZEROES:
        if ((r->flags & NBD_CMD_FAST_ZERO) && !n->driver->write_zeroes) {
            return -ENOTSUP;
        }
        return node_write_zeroes(n, r->off, r->len, !(r->flags & NBD_CMD_NO_HOLE));
    default:
        return 0;                       /* NBD_CMD_CACHE */
    }
}

static bool changes(const NbdRequest *r)
{
    return r->type == NBD_CMD_WRITE || r->type == NBD_CMD_TRIM || r->type == NBD_CMD_WRITE_ZEROES;
}

static int check(const NbdRequest *r, BlockNode *n)
{
    static const uint16_t flags[] = {
        [NBD_CMD_READ] = NBD_CMD_DF, [NBD_CMD_WRITE_ZEROES] = NBD_CMD_NO_HOLE | NBD_CMD_FAST_ZERO,
        [NBD_CMD_BLOCK_STATUS] = NBD_CMD_REQ_ONE,
    };
    if (changes(r) && !r->conn->export->writable) {
        return -EPERM;
    }
    if (r->type > NBD_CMD_BLOCK_STATUS || (r->flags & ~(flags[r->type] | NBD_CMD_FUA))
        || ((r->flags & NBD_CMD_DF) && !r->conn->structured)) {
        return -EINVAL;
    }
    int64_t length = node_length(n);
    if (r->type != NBD_CMD_FLUSH
        && (length < 0 || r->off > (uint64_t)length || r->len > (uint64_t)length - r->off)) {
        return changes(r) ? -ENOSPC : -EINVAL;
    }
    return 0;
}

static void work(gpointer data, gpointer unused)
{
    NbdRequest *r = data;
    NbdConn *c = r->conn;
    bool own_answer = r->type == NBD_CMD_READ || r->type == NBD_CMD_BLOCK_STATUS;
    BlockNode *n = enter(r);
    int ret = check(r, n);
    if (!ret && !own_answer) {
        ret = change(r, n);
        if (!ret && changes(r) && ((r->flags & NBD_CMD_FUA) || c->export->writethrough)) {
            ret = node_flush(n);
        }
    }
    leave(0);
    if (!ret && own_answer) {
        ret = r->type == NBD_CMD_READ ? do_read(r) : do_status(r);
    }
    if (ret < 0 || !own_answer) {
        answer(r, ret);
    }
    g_mutex_lock(&c->lock);
    c->busy--;
    c->busy_bytes -= r->buf ? r->len : 0;
    g_cond_broadcast(&c->changed);
    g_mutex_unlock(&c->lock);
    g_free(r->buf);
    g_free(r);
}

/* Room for one more with a buffer of so many bytes. */
static void wait_room(NbdConn *c, uint32_t bytes)
{
    g_mutex_lock(&c->lock);
    while (c->busy >= MAX_BUSY || (c->busy && c->busy_bytes + bytes > MAX_BUSY_BYTES)) {
        g_cond_wait(&c->changed, &c->lock);
    }
    c->busy++;
    c->busy_bytes += bytes;
    g_mutex_unlock(&c->lock);
}

static void unwait(NbdConn *c, uint32_t bytes)
{
    g_mutex_lock(&c->lock);
    c->busy--;
    c->busy_bytes -= bytes;
    g_mutex_unlock(&c->lock);
}

/* False: the client left, or spoke nonsense. */
static bool next(NbdConn *c, GThreadPool *pool)
{
    uint8_t h[28];
    if (!nbd_recv(c, h, sizeof(h)) || ld32_be(h) != NBD_REQUEST_MAGIC) {
        return false;
    }
    NbdRequest one = { c, ld16_be(h + 4), ld16_be(h + 6), { 0 }, ld64_be(h + 16), ld32_be(h + 24), NULL };
    memcpy(one.handle, h + 8, 8);
    bool with_data = one.type == NBD_CMD_READ || one.type == NBD_CMD_WRITE;
    if (one.type == NBD_CMD_DISC || (one.type == NBD_CMD_WRITE && one.len > NBD_MAX_REQUEST)) {
        return false;
    }
    if (one.type == NBD_CMD_READ && one.len > NBD_MAX_REQUEST) {
        answer(&one, -EINVAL);
        return true;
    }
    uint32_t bytes = with_data ? one.len : 0;
    wait_room(c, bytes);
    if (with_data) {
        one.buf = g_try_malloc(one.len + 1);
        if (!one.buf || (one.type == NBD_CMD_WRITE && !nbd_recv(c, one.buf, one.len))) {
            g_free(one.buf);
            unwait(c, bytes);
            return false;
        }
    }
    g_thread_pool_push(pool, g_memdup2(&one, sizeof(one)), NULL);
    return true;
}

void nbd_serve(NbdConn *c)
{
    static GThreadPool *pool;
    static GMutex pool_lock;
    g_mutex_lock(&pool_lock);
    if (!pool) {
        pool = g_thread_pool_new(work, NULL, -1, FALSE, NULL);  /* MAX_BUSY of each connection */
    }
    g_mutex_unlock(&pool_lock);
    while (!c->broken && next(c, pool)) {
    }
    g_mutex_lock(&c->lock);
    while (c->busy) {
        g_cond_wait(&c->changed, &c->lock);
    }
    g_mutex_unlock(&c->lock);
}
