/* SPDX-License-Identifier: MIT */
/*
 * Protocol driver "nbd": a disk that an NBD server exports, through libnbd.  Names:
 *
 *   nbd://HOST[:PORT][/EXPORT]   nbd+unix:///[EXPORT]?socket=PATH
 *   nbd:HOST:PORT[:exportname=EXPORT]   nbd:unix:PATH[:exportname=EXPORT]
 *
 * or options server.type=inet,server.host=,server.port= / server.type=unix,server.path=, export=.
 * libnbd carries out one request of a connection at a time; where the server allows several
 * connections to one export, requests share that many.
 */
#include "block/block.h"
#include "block/node.h"
#include "block/pool.h"
#include "util/iov.h"
#include "util/library.h"

#include <errno.h>
#include <inttypes.h>
#include <libnbd.h>
#include <string.h>

#define MAX_CONNECTIONS 8
#define MAX_TRANSFER    (16u << 20)

#define NBD_FUNCTIONS(F)                                                                \
    F(add_meta_context) F(block_status) F(can_flush) F(can_meta_context)                \
    F(can_multi_conn) F(can_trim) F(can_zero) F(close) F(connect_tcp)                   \
    F(connect_unix) F(connect_uri) F(create) F(flush) F(get_errno) F(get_error)         \
    F(get_size) F(is_read_only) F(pread) F(pwrite) F(set_export_name) F(shutdown)       \
    F(trim) F(zero)
#define NBD_MEMBER(name) __typeof__(&nbd_##name) name;
#define NBD_NAME(name) "nbd_" #name,

static struct {
    NBD_FUNCTIONS(NBD_MEMBER)
} lib;

static bool load_library(Error **err)
{
    static const char *const names[] = { NBD_FUNCTIONS(NBD_NAME) };

    return LIBRARY_LOAD("libnbd.so.0", "libnbd0", names, &lib, err);
}

typedef struct NbdClient {
    char *name;                         /* for messages */
    struct nbd_handle *handles[MAX_CONNECTIONS];
    int n, free;                        /* free: the first so many are not in use [lock] */
    GMutex lock;
    GCond changed;
    int64_t length;
    bool can_zero, can_trim, can_flush, can_status;
    int no_zero;                        /* [atomic] the server refused */
} NbdClient;

typedef struct Where {
    char *uri, *host, *port, *path, *export;
} Where;

static void free_where(Where *w)
{
    g_free(w->uri);
    g_free(w->host);
    g_free(w->port);
    g_free(w->path);
    g_free(w->export);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Where, free_where)

/* "nbd:..." without slashes, the old form */
static bool parse_old(Where *w, const char *name, Error **err)
{
    g_autofree char *text = g_strdup(name + strlen("nbd:"));
    char *export = strstr(text, ":exportname=");
    if (export) {
        *export = 0;
        w->export = g_strdup(export + strlen(":exportname="));
    }
    if (g_str_has_prefix(text, "unix:")) {
        w->path = g_strdup(text + strlen("unix:"));
        return true;
    }
    char *colon = strrchr(text, ':');
    if (!colon || !colon[1]) {
        return fail(err, "'%s': a port is missing (nbd:HOST:PORT)", name);
    }
    *colon = 0;
    w->host = g_strdup(text);
    w->port = g_strdup(colon + 1);
    return true;
}

static bool take_server(Json *options, Where *w, Error **err)
{
    g_autoptr(Json) server = json_steal(options, "server");
    g_autofree char *type = NULL;
    if (!server || server->type != JSON_OBJECT) {
        return !server || fail(err, "Option 'server' is a group (server.type, server.path ...)");
    }
    if (!block_take_str(server, "type", &type, err) || !block_take_str(server, "host", &w->host, err)
        || !block_take_str(server, "port", &w->port, err)
        || !block_take_str(server, "path", &w->path, err)) {
        return false;
    }
    if (json_len(server)) {
        return fail(err, "unknown option 'server.%s'", json_key_at(server, 0));
    }
    return (!strcmp(type ? type : "", "unix") && w->path)
           || (!strcmp(type ? type : "", "inet") && w->host && w->port)
           || fail(err, "Option 'server': type=unix with path, or type=inet with host and port");
}

static bool take_where(Json *options, Where *w, Error **err)
{
    g_autofree char *filename = NULL;
    if (!block_take_str(options, "filename", &filename, err) || !take_server(options, w, err)
        || !block_take_str(options, "host", &w->host, err)
        || !block_take_str(options, "port", &w->port, err)
        || !block_take_str(options, "path", &w->path, err)
        || !block_take_str(options, "export", &w->export, err)) {
        return false;
    }
    if (filename && strstr(filename, "://")) {
        w->uri = g_strdup(filename);
        return true;
    }
    if (filename) {
        return parse_old(w, filename, err);
    }
    return w->path || w->host || fail(err, "one of path and host must be specified.");
}

static bool failed(Error **err, const char *name)
{
    const char *why = lib.get_error();
    return fail(err, "Could not open '%s': %s", name, why ? why : "unknown error");
}

static struct nbd_handle *connect_one(const Where *w, const char *name, Error **err)
{
    if (!load_library(err)) {
        return NULL;
    }
    struct nbd_handle *h = lib.create();
    int ret = h ? 0 : -1;
    if (!ret) {
        ret = lib.add_meta_context(h, "base:allocation");
    }
    if (!ret && w->export) {
        ret = lib.set_export_name(h, w->export);
    }
    if (!ret) {
        ret = w->uri ? lib.connect_uri(h, w->uri)
              : w->path ? lib.connect_unix(h, w->path)
              : lib.connect_tcp(h, w->host, w->port ? w->port : "10809");
    }
    if (ret < 0) {
        failed(err, name);
        lib.close(h);
        return NULL;
    }
    return h;
}

static void client_close(BlockNode *n)
{
    NbdClient *c = n->state;
    for (int i = 0; i < c->n; i++) {
        lib.shutdown(c->handles[i], 0);
        lib.close(c->handles[i]);
    }
    g_free(c->name);
    g_mutex_clear(&c->lock);
    g_cond_clear(&c->changed);
}

static bool client_open(BlockNode *n, Json *options, Error **err)
{
    NbdClient *c = n->state;
    g_auto(Where) w = { 0 };
    if (!take_where(options, &w, err)) {
        return false;
    }
    c->name = w.uri ? g_strdup(w.uri)
              : w.path ? g_strdup_printf("nbd+unix:///%s?socket=%s", w.export ? w.export : "", w.path)
              : g_strdup_printf("nbd://%s:%s/%s", w.host, w.port ? w.port : "10809",
                                w.export ? w.export : "");
    struct nbd_handle *h = connect_one(&w, c->name, err);
    if (!h) {
        g_free(c->name);
        return false;
    }
    c->handles[c->n++] = h;
    g_mutex_init(&c->lock);
    g_cond_init(&c->changed);
    c->length = lib.get_size(h);
    if (lib.is_read_only(h) == 1 && !n->flags.read_only) {
        if (!n->flags.auto_read_only) {
            client_close(n);
            return fail(err, "Could not open '%s': request for write access denied", w.uri ? w.uri : "nbd");
        }
        n->flags.read_only = true;
    }
    c->can_zero = lib.can_zero(h) == 1;
    c->can_trim = lib.can_trim(h) == 1;
    c->can_flush = lib.can_flush(h) == 1;
    c->can_status = lib.can_meta_context(h, "base:allocation") == 1;
    while (lib.can_multi_conn(h) == 1 && c->n < MAX_CONNECTIONS) {
        struct nbd_handle *more = connect_one(&w, c->name, NULL);
        if (!more) {
            break;                      /* the server takes no more of us */
        }
        c->handles[c->n++] = more;
    }
    c->free = c->n;
    return true;
}

/* A connection for one request. */
static struct nbd_handle *take(NbdClient *c)
{
    pool_sleeps();
    g_mutex_lock(&c->lock);
    while (!c->free) {
        g_cond_wait(&c->changed, &c->lock);
    }
    struct nbd_handle *h = c->handles[--c->free];
    g_mutex_unlock(&c->lock);
    return h;
}

static int give_back(NbdClient *c, struct nbd_handle *h, int ret)
{
    int errnum = ret < 0 ? lib.get_errno() : 0;
    g_mutex_lock(&c->lock);
    c->handles[c->free++] = h;
    g_cond_signal(&c->changed);
    g_mutex_unlock(&c->lock);
    return ret < 0 ? -(errnum ? errnum : EIO) : 0;
}

static int64_t client_length(BlockNode *n)
{
    return ((NbdClient *)n->state)->length;
}

/* libnbd refuses what reaches past the end, where we promise zeroes in the last sector. */
static int transfer(BlockNode *n, uint64_t off, const struct iovec *iov, int niov, bool write)
{
    NbdClient *c = n->state;
    int ret = 0;
    struct nbd_handle *h = take(c);
    for (int i = 0; i < niov && ret >= 0; i++) {
        uint8_t *p = iov[i].iov_base;
        size_t len = iov[i].iov_len, there = off < (uint64_t)c->length ? MIN(len, c->length - off) : 0;
        if (!write) {
            memset(p + there, 0, len - there);
        }
        off += len;
        for (size_t done = 0; done < there && ret >= 0;) {
            size_t part = MIN(there - done, MAX_TRANSFER);
            ret = write ? lib.pwrite(h, p + done, part, off - len + done, 0)
                        : lib.pread(h, p + done, part, off - len + done, 0);
            done += part;
        }
    }
    return give_back(c, h, ret);
}

static int client_read(BlockNode *n, uint64_t off, const struct iovec *iov, int niov)
{
    return transfer(n, off, iov, niov, false);
}

static int client_write(BlockNode *n, uint64_t off, const struct iovec *iov, int niov)
{
    return transfer(n, off, iov, niov, true);
}

static int client_flush(BlockNode *n)
{
    NbdClient *c = n->state;
    if (!c->can_flush) {
        return 0;
    }
    struct nbd_handle *h = take(c);
    return give_back(c, h, lib.flush(h, 0));
}

static int client_discard(BlockNode *n, uint64_t off, uint64_t len)
{
    NbdClient *c = n->state;
    int ret = 0;
    struct nbd_handle *h = take(c);
    len = MIN(len, c->length - MIN(off, (uint64_t)c->length));
    while (len && ret >= 0 && c->can_trim) {
        uint64_t part = MIN(len, 1u << 30);
        ret = lib.trim(h, part, off, 0);
        off += part;
        len -= part;
    }
    return give_back(c, h, ret);
}

static int client_write_zeroes(BlockNode *n, uint64_t off, uint64_t len, bool may_unmap)
{
    NbdClient *c = n->state;
    int ret = 0;
    if (!c->can_zero || g_atomic_int_get(&c->no_zero) || off + len > (uint64_t)c->length) {
        return -ENOTSUP;
    }
    struct nbd_handle *h = take(c);
    while (len && ret >= 0) {
        uint64_t part = MIN(len, 1u << 30);
        ret = lib.zero(h, part, off, may_unmap ? 0 : LIBNBD_CMD_FLAG_NO_HOLE);
        off += part;
        len -= part;
    }
    ret = give_back(c, h, ret);
    if (ret == -ENOTSUP || ret == -EINVAL) {
        g_atomic_int_set(&c->no_zero, 1);
        return -ENOTSUP;
    }
    return ret;
}

static int first_extent(void *opaque, const char *context, uint64_t off, uint32_t *entries,
                        size_t n, int *error)
{
    BlockStatus *st = opaque;
    if (n >= 2 && entries[0] && !strcmp(context, "base:allocation") && !st->len) {
        st->len = entries[0];
        st->zero = entries[1] & LIBNBD_STATE_ZERO;
        st->data = !(entries[1] & LIBNBD_STATE_HOLE);
    }
    return 0;
}

static int client_status(BlockNode *n, uint64_t off, uint64_t len, BlockStatus *st)
{
    NbdClient *c = n->state;
    uint64_t there = off < (uint64_t)c->length ? MIN(len, c->length - off) : 0;
    *st = (BlockStatus) { 0 };
    if (!there) {
        *st = (BlockStatus) { .len = len, .allocated = true, .zero = true };
        return 0;
    }
    if (c->can_status) {
        struct nbd_handle *h = take(c);
        int ret = lib.block_status(h, MIN(there, 1u << 30), off,
                                   (nbd_extent_callback) { .callback = first_extent, .user_data = st },
                                   LIBNBD_CMD_FLAG_REQ_ONE);
        give_back(c, h, 0);
        if (ret < 0 || !st->len) {
            *st = (BlockStatus) { 0 };
        }
    }
    if (!st->len) {
        st->len = there;
        st->data = true;
    }
    st->allocated = true;
    st->has_offset = true;
    st->offset = off;
    st->file = n;
    return 0;
}

static const char *client_name(BlockNode *n)
{
    return ((NbdClient *)n->state)->name;
}

static const BlockDriver nbd_driver = {
    .name = "nbd", .protocol = true, .size = sizeof(NbdClient), .open = client_open,
    .close = client_close, .length = client_length, .read = client_read, .write = client_write,
    .flush = client_flush, .discard = client_discard, .write_zeroes = client_write_zeroes,
    .status = client_status, .file_name = client_name,
};
BLOCK_DRIVER(nbd_driver);
