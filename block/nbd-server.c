/* SPDX-License-Identifier: MIT */
/*
 * NBD server: exports, listening, connections.
 */
#include "block/nbd-int.h"
#include "util/event.h"
#include "util/mainloop.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct {
    GMutex lock;                        /* exports, refs, connections: any thread */
    GCond changed;
    GPtrArray *exports;                 /* of NbdExport* that can be had */
    GPtrArray *connections;             /* of NbdConn* */
    int listener;
    guint watch;                        /* 0: not running */
    unsigned max;
} server = { .listener = -1 };

void (*nbd_connections_changed)(void);

/* ---- exports ---------------------------------------------------------------------------- */

static NbdExport *find_id(const char *id)
{
    for (guint i = 0; server.exports && i < server.exports->len; i++) {
        NbdExport *e = server.exports->pdata[i];
        if (!strcmp(e->id, id)) {
            return e;
        }
    }
    return NULL;
}

NbdExport *nbd_export_by_name(const char *name)
{
    for (guint i = 0; server.exports && i < server.exports->len; i++) {
        NbdExport *e = server.exports->pdata[i];
        if (!strcmp(e->name, name)) {
            return e;
        }
    }
    return NULL;
}

const char *nbd_export_id(const NbdExport *e)
{
    return e->id;
}

bool nbd_export_add(const NbdExportOptions *o, Error **err)
{
    const char *name = o->name ? o->name : o->node->name;
    if (find_id(o->id)) {
        return fail(err, "Block export id '%s' is already in use", o->id);
    }
    if (nbd_export_by_name(name)) {
        return fail(err, "NBD server already has export named '%s'", name);
    }
    if (strlen(name) > NBD_MAX_STRING || (o->description && strlen(o->description) > NBD_MAX_STRING)) {
        return fail(err, "export name or description is too long");
    }
    if (o->writable && o->node->flags.read_only
        && !(o->node->flags.auto_read_only && node_set_writable(o->node, true, NULL))) {
        return fail(err, "Cannot export read-only node as writable");
    }
    if (node_length(o->node) < 0) {
        return fail(err, "Failed to determine the NBD export's length");
    }
    NbdExport *e = g_new0(NbdExport, 1);
    *e = (NbdExport) { .id = g_strdup(o->id), .name = g_strdup(name), .refs = 1,
                       .description = g_strdup(o->description), .bitmap = g_strdup(o->bitmap),
                       .node = node_ref(o->node), .writable = o->writable,
                       .writethrough = o->writethrough, .shared = o->shared,
                       .allocation_depth = o->allocation_depth };
    node_add_root(&e->node);
    g_mutex_lock(&server.lock);
    server.exports = server.exports ? server.exports : g_ptr_array_new();
    g_ptr_array_add(server.exports, e);
    g_mutex_unlock(&server.lock);
    return true;
}

/* In the main loop: nobody has it any more. */
static void free_export(void *opaque)
{
    NbdExport *e = opaque;
    Json *data = json_object();
    json_set_str(data, "id", e->id);
    node_remove_root(&e->node);
    node_unref(e->node);
    event_emit("BLOCK_EXPORT_DELETED", data);
    g_free(e->id);
    g_free(e->name);
    g_free(e->description);
    g_free(e->bitmap);
    g_free(e);
}

NbdExport *nbd_export_take(const char *name)
{
    g_mutex_lock(&server.lock);
    NbdExport *e = nbd_export_by_name(name);
    if (e) {
        e->refs++;
    }
    g_mutex_unlock(&server.lock);
    return e;
}

void nbd_export_release(NbdExport *e)
{
    g_mutex_lock(&server.lock);
    bool last = --e->refs == 0;
    g_mutex_unlock(&server.lock);
    if (last) {
        mainloop_defer(free_export, e);
    }
}

void nbd_export_names(GPtrArray *names, GPtrArray *descriptions)
{
    g_mutex_lock(&server.lock);
    for (guint i = 0; server.exports && i < server.exports->len; i++) {
        NbdExport *e = server.exports->pdata[i];
        g_ptr_array_add(names, g_strdup(e->name));
        g_ptr_array_add(descriptions, g_strdup(e->description ? e->description : ""));
    }
    g_mutex_unlock(&server.lock);
}

bool nbd_export_del(const char *id, bool hard, Error **err)
{
    NbdExport *e = find_id(id);
    if (!e) {
        return fail(err, "Export '%s' is not found", id);
    }
    g_mutex_lock(&server.lock);
    if (!hard && e->refs > 1) {
        g_mutex_unlock(&server.lock);
        return fail(err, "export '%s' still in use", id);
    }
    g_ptr_array_remove(server.exports, e);
    for (guint i = 0; server.connections && i < server.connections->len; i++) {
        NbdConn *c = server.connections->pdata[i];
        if (c->export == e) {
            shutdown(c->fd, SHUT_RDWR);
        }
    }
    g_mutex_unlock(&server.lock);
    nbd_export_release(e);
    return true;
}

Json *nbd_exports_info(void)
{
    Json *list = json_array();
    for (guint i = 0; server.exports && i < server.exports->len; i++) {
        NbdExport *e = server.exports->pdata[i];
        Json *o = json_object();
        json_set_bool(o, "shutting-down", false);
        json_set_str(o, "id", e->id);
        json_set_str(o, "type", "nbd");
        json_set_str(o, "node-name", e->node->name);
        json_append(list, o);
    }
    return list;
}

/* ---- connections ---------------------------------------------------------------------------- */

unsigned nbd_connections(void)
{
    g_mutex_lock(&server.lock);
    unsigned n = server.connections ? server.connections->len : 0;
    g_mutex_unlock(&server.lock);
    return n;
}

static void tell_changed(void *opaque)
{
    if (nbd_connections_changed) {
        nbd_connections_changed();
    }
}

bool nbd_recv(NbdConn *c, void *buf, size_t len)
{
    for (uint8_t *p = buf; len;) {
        ssize_t n = recv(c->fd, p, len, 0);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        p += n;
        len -= n;
    }
    return true;
}

/* Both parts as one message.  With the connection's lock, or before requests run. */
bool nbd_send(NbdConn *c, const void *buf, size_t len, const void *more, size_t more_len)
{
    struct iovec iov[2] = { { (void *)buf, len }, { (void *)more, more_len } };
    struct msghdr m = { .msg_iov = iov, .msg_iovlen = 2 };
    while (!c->broken && (iov[0].iov_len || iov[1].iov_len)) {
        ssize_t n = sendmsg(c->fd, &m, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            c->broken = true;
            shutdown(c->fd, SHUT_RDWR);
            break;
        }
        for (int i = 0; i < 2; i++) {
            size_t part = MIN((size_t)n, iov[i].iov_len);
            iov[i].iov_base = (char *)iov[i].iov_base + part;
            iov[i].iov_len -= part;
            n -= part;
        }
    }
    return !c->broken;
}

/* Who says nothing (or reads nothing) for so long is cut off. */
static void set_patience(int fd, int seconds)
{
    struct timeval t = { .tv_sec = seconds };
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
    t.tv_sec = 60;
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
}

static gpointer connection(gpointer data)
{
    NbdConn *c = data;
    set_patience(c->fd, 30);
    if (nbd_handshake(c)) {
        set_patience(c->fd, 0);
        nbd_serve(c);
    }
    g_mutex_lock(&server.lock);
    g_ptr_array_remove_fast(server.connections, c);
    g_cond_broadcast(&server.changed);
    g_mutex_unlock(&server.lock);
    if (c->export) {
        nbd_export_release(c->export);
    }
    close(c->fd);
    g_mutex_clear(&c->lock);
    g_cond_clear(&c->changed);
    g_free(c);
    mainloop_defer(tell_changed, NULL);
    return NULL;
}

static void incoming(int fd, GIOCondition cond, void *opaque)
{
    int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC), one = 1;
    if (client < 0) {
        return;
    }
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    g_mutex_lock(&server.lock);
    bool full = server.max && server.connections->len >= server.max;
    NbdConn *c = full ? NULL : g_new0(NbdConn, 1);
    if (c) {
        c->fd = client;
        g_mutex_init(&c->lock);
        g_cond_init(&c->changed);
        g_ptr_array_add(server.connections, c);
    }
    g_mutex_unlock(&server.lock);
    GThread *t = c ? g_thread_try_new("nbd", connection, c, NULL) : NULL;
    if (t) {
        g_thread_unref(t);
        tell_changed(NULL);
        return;
    }
    close(client);
    if (c) {
        g_mutex_lock(&server.lock);
        g_ptr_array_remove_fast(server.connections, c);
        g_mutex_unlock(&server.lock);
        g_free(c);
    }
}

/* ---- listening --------------------------------------------------------------------------------- */

int nbd_listen_inet(const char *host, const char *port, Error **err)
{
    struct addrinfo hints = { .ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM }, *list;
    int ret = getaddrinfo(host && *host ? host : NULL, port, &hints, &list), fd = -1, one = 1;
    if (ret) {
        fail(err, "address resolution failed for %s:%s: %s", host ? host : "", port, gai_strerror(ret));
        return -1;
    }
    for (struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
        if (fd >= 0) {
            setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        }
        if (fd >= 0 && (bind(fd, a->ai_addr, a->ai_addrlen) < 0 || listen(fd, SOMAXCONN) < 0)) {
            int why = errno;
            close(fd);
            errno = why;
            fd = -1;
        }
    }
    if (fd < 0) {
        fail_errno(err, errno, "Failed to listen at %s:%s", host ? host : "", port);
    }
    freeaddrinfo(list);
    return fd;
}

int nbd_listen_unix(const char *path, Error **err)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    if (strlen(path) >= sizeof(a.sun_path)) {
        fail(err, "UNIX socket path '%s' is too long", path);
        return -1;
    }
    memcpy(a.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (unlink(path) < 0 && errno != ENOENT) {
        fail_errno(err, errno, "Failed to unlink socket %s", path);
    } else if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, SOMAXCONN) < 0) {
        fail_errno(err, errno, "Failed to bind socket to %s", path);
    } else {
        return fd;
    }
    if (fd >= 0) {
        close(fd);
    }
    return -1;
}

bool nbd_server_running(void)
{
    return server.watch != 0;
}

bool nbd_server_start(int fd, unsigned max, Error **err)
{
    if (server.watch) {
        close(fd);
        return fail(err, "NBD server already running");
    }
    server.connections = server.connections ? server.connections : g_ptr_array_new();
    server.listener = fd;
    server.max = max;
    server.watch = mainloop_watch(fd, G_IO_IN, incoming, NULL);
    return true;
}

void nbd_server_stop(void)
{
    if (!server.watch) {
        return;
    }
    mainloop_unwatch(server.watch);
    server.watch = 0;
    close(server.listener);
    while (server.exports && server.exports->len) {
        nbd_export_del(((NbdExport *)server.exports->pdata[0])->id, true, NULL);
    }
    g_mutex_lock(&server.lock);
    for (guint i = 0; i < server.connections->len; i++) {
        shutdown(((NbdConn *)server.connections->pdata[i])->fd, SHUT_RDWR);
    }
    while (server.connections->len) {
        g_cond_wait(&server.changed, &server.lock);
    }
    g_mutex_unlock(&server.lock);
}
