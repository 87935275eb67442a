/* SPDX-License-Identifier: MIT */
/*
 * -netdev stream: frames over a TCP or unix connection to another machine.
 *
 * One connection at a time; while there is one, further ones wait in the kernel.  What the other
 * side sends is hostile: a length that no frame has ends the connection.
 */
#include "net/stream.h"
#include "net/netdev.h"
#include "util/bits.h"
#include "util/event.h"
#include "util/iov.h"
#include "util/mainloop.h"
#include "util/timer.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#define HEADER      4u
#define FRAME_MAX   (68u * 1024)
#define IN_SIZE     (2 * (FRAME_MAX + HEADER))
#define READS       8                   /* in one go, so that others have a turn */

typedef struct NetStream {
    NetClient nc;                       /* always first */
    bool server, connected, tells;      /* tells: events go out */
    NetAddr addr;
    unsigned reconnect;                 /* seconds */
    Timer retry;
    int listener, fd;                   /* -1 */
    guint listen_watch, in_watch, out_watch;
    uint8_t *out;                       /* rest of a frame that did not go out whole */
    size_t out_len, out_at;
    uint8_t *in;                        /* [IN_SIZE] */
    size_t in_len;
    bool taking;                        /* frames go up: sending may lead back here */
} NetStream;

static void start(NetStream *s);

static void tell(NetStream *s, bool connected)
{
    if (!s->tells) {
        return;
    }
    Json *data = json_object();
    json_set_str(data, "netdev-id", s->nc.name);
    if (connected) {
        Json *addr = json_object();
        json_set_str(addr, "type", s->addr.kind == NET_ADDR_UNIX ? "unix"
                                   : s->addr.kind == NET_ADDR_FD ? "fd" : "inet");
        const char *colon = strrchr(s->addr.text, ':');
        if (s->addr.kind == NET_ADDR_INET && colon) {
            json_set(addr, "host", json_strf("%.*s", (int)(colon - s->addr.text), s->addr.text));
            json_set_str(addr, "port", colon + 1);
        } else {
            json_set_str(addr, s->addr.kind == NET_ADDR_UNIX ? "path" : "str", s->addr.text);
        }
        json_set(data, "addr", addr);
    }
    event_emit(connected ? "NETDEV_STREAM_CONNECTED" : "NETDEV_STREAM_DISCONNECTED", data);
}

/* ---- the end of a connection --------------------------------------------------------------- */

static void drop_connection(NetStream *s)
{
    mainloop_unwatch(s->in_watch);
    mainloop_unwatch(s->out_watch);
    s->in_watch = s->out_watch = 0;
    if (s->fd >= 0) {
        close(s->fd);
        s->fd = -1;
    }
    g_clear_pointer(&s->out, g_free);
    s->in_len = 0;
}

static void lost(NetStream *s)
{
    bool was = s->connected;

    drop_connection(s);
    s->connected = false;
    net_client_set_info(&s->nc, "disconnected");
    if (was) {
        tell(s, false);
    }
    if (s->server) {
        start(s);
    } else if (s->reconnect) {
        timer_mod(&s->retry, clock_ns(ORRERY_CLOCK_REAL) + s->reconnect * NS_PER_SEC);
    }
    net_flush(&s->nc);                  /* what waited is lost too */
}

/* ---- frames in ------------------------------------------------------------------------------ */

/* false: the other side talks nonsense. */
static bool lengths_are_right(const NetStream *s)
{
    for (size_t at = 0; at + HEADER <= s->in_len;) {
        uint32_t len = ld32_be(s->in + at);
        if (!len || len > FRAME_MAX) {
            return false;
        }
        at += HEADER + len;
    }
    return true;
}

/* Whole frames at the beginning of in go up, as many as find room. */
static void take_frames(NetStream *s)
{
    size_t at = 0;

    s->taking = true;
    while (s->in_len - at >= HEADER && net_can_send(&s->nc)) {
        uint32_t len = ld32_be(s->in + at);
        if (s->in_len - at < HEADER + len) {
            break;
        }
        net_send_buf(&s->nc, s->in + at + HEADER, len);
        at += HEADER + len;
    }
    s->taking = false;
    memmove(s->in, s->in + at, s->in_len - at);
    s->in_len -= at;
}

/* false: nothing more is to be read now. */
static bool take_or_stop(NetStream *s)
{
    if (!lengths_are_right(s)) {
        warn_report("netdev %s: the other side sent no frame; connection closed", s->nc.name);
        lost(s);
        return false;
    }
    take_frames(s);
    if (!net_can_send(&s->nc)) {        /* until stream_writable */
        mainloop_unwatch(s->in_watch);
        s->in_watch = 0;
        return false;
    }
    return true;
}

static void readable(int fd, GIOCondition cond, void *opaque)
{
    NetStream *s = opaque;

    for (int i = 0; i < READS; i++) {
        ssize_t n = recv(fd, s->in + s->in_len, IN_SIZE - s->in_len, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        if (n <= 0) {
            lost(s);
            return;
        }
        s->in_len += n;
        if (!take_or_stop(s)) {
            return;
        }
    }
}

static void stream_writable(NetClient *nc)
{
    NetStream *s = (NetStream *)nc;
    if (s->connected && !s->in_watch && !s->taking && take_or_stop(s)) {
        s->in_watch = mainloop_watch(s->fd, G_IO_IN | G_IO_HUP | G_IO_ERR, readable, s);
    }
}

/* ---- frames out ----------------------------------------------------------------------------- */

static void flush_out(int fd, GIOCondition cond, void *opaque)
{
    NetStream *s = opaque;
    ssize_t n = send(fd, s->out + s->out_at, s->out_len - s->out_at, MSG_NOSIGNAL);

    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        lost(s);
        return;
    }
    s->out_at += MAX(n, 0);
    if (s->out_at == s->out_len) {
        mainloop_unwatch(s->out_watch);
        s->out_watch = 0;
        g_clear_pointer(&s->out, g_free);
        net_flush(&s->nc);
    }
}

/* The rest of a frame that the kernel took in part */
static void keep_rest(NetStream *s, const struct iovec *iov, int n, size_t from, size_t total)
{
    s->out_len = total - from;
    s->out_at = 0;
    s->out = g_malloc(s->out_len);
    iov_to_buf(iov, n, from, s->out, s->out_len);
    s->out_watch = mainloop_watch(s->fd, G_IO_OUT | G_IO_HUP | G_IO_ERR, flush_out, s);
}

static bool stream_receive(NetClient *nc, const struct iovec *iov, int n, const NetOffload *off)
{
    NetStream *s = (NetStream *)nc;
    uint8_t header[HEADER];
    size_t len = iov_size(iov, n);
    struct iovec all[64] = { { header, HEADER } };
    g_autofree uint8_t *copy = NULL;

    if (!s->connected) {
        return true;
    }
    if (s->out) {
        return false;
    }
    st32_be(header, len);
    if (n < 64) {
        memcpy(all + 1, iov, n * sizeof(*iov));
    } else {
        copy = g_malloc(len);
        iov_to_buf(iov, n, 0, copy, len);
        all[1] = (struct iovec) { copy, len };
        n = 1;
    }
    struct msghdr msg = { .msg_iov = all, .msg_iovlen = n + 1 };
    ssize_t done = sendmsg(s->fd, &msg, MSG_NOSIGNAL);
    if (done < 0 && errno != EAGAIN && errno != EINTR) {
        return true;                    /* the reader notices that it is gone */
    }
    if (done < (ssize_t)(len + HEADER)) {
        keep_rest(s, all, n + 1, MAX(done, 0), len + HEADER);
    }
    return true;
}

static bool stream_can_receive(NetClient *nc)
{
    return !((NetStream *)nc)->out;
}

/* ---- making a connection --------------------------------------------------------------------- */

static void connected(NetStream *s, const char *text)
{
    int on = 1;

    setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (s->addr.keep_alive) {
        setsockopt(s->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    }
    s->connected = true;
    net_client_set_info(&s->nc, s->server ? "connection from %s" : "connect to %s", text);
    s->in_watch = mainloop_watch(s->fd, G_IO_IN | G_IO_HUP | G_IO_ERR, readable, s);
    tell(s, true);
}

static void incoming(int fd, GIOCondition cond, void *opaque)
{
    NetStream *s = opaque;
    struct sockaddr_storage sa = { 0 };
    socklen_t len = sizeof(sa);
    int conn = accept4(fd, (struct sockaddr *)&sa, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (conn < 0) {
        return;
    }
    mainloop_unwatch(s->listen_watch);  /* the next one when this has gone */
    s->listen_watch = 0;
    s->fd = conn;
    g_autofree char *text = net_addr_name(&sa);
    connected(s, text);
}

static void connect_done(int fd, GIOCondition cond, void *opaque)
{
    NetStream *s = opaque;
    int errnum = 0;
    socklen_t len = sizeof(errnum);

    mainloop_unwatch(s->out_watch);
    s->out_watch = 0;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &errnum, &len);
    if (errnum) {
        warn_report("netdev %s: can't connect to %s: %s", s->nc.name, s->addr.text,
                    g_strerror(errnum));
        lost(s);
        return;
    }
    connected(s, s->addr.text);
}

static bool try_connect(NetStream *s, Error **err)
{
    s->fd = net_addr_socket(&s->addr);
    if (s->fd < 0) {
        return fail_errno(err, errno, "can't create a socket");
    }
    if (connect(s->fd, (struct sockaddr *)&s->addr.sa, s->addr.len) == 0) {
        connected(s, s->addr.text);
        return true;
    }
    if (errno != EINPROGRESS) {
        fail_errno(err, errno, "can't connect to %s", s->addr.text);
        close(s->fd);
        s->fd = -1;
        return false;
    }
    net_client_set_info(&s->nc, "connecting to %s", s->addr.text);
    s->out_watch = mainloop_watch(s->fd, G_IO_OUT | G_IO_ERR | G_IO_HUP, connect_done, s);
    return true;
}

/* false and errno */
static bool listen_at(NetStream *s)
{
    int on = 1;

    s->listener = net_addr_socket(&s->addr);
    if (s->listener < 0) {
        return false;
    }
    setsockopt(s->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(s->listener, (struct sockaddr *)&s->addr.sa, s->addr.len) == 0
        && listen(s->listener, 1) == 0) {
        return true;
    }
    int errnum = errno;
    close(s->listener);
    s->listener = -1;
    errno = errnum;
    return false;
}

static bool open_listener(NetStream *s, Error **err)
{
    if (s->addr.kind == NET_ADDR_FD) {
        s->listener = s->addr.fd;
        return net_fd_check(s->listener, SOCK_STREAM, err);
    }
    if (s->addr.kind == NET_ADDR_UNIX && s->addr.text[0] == '/') {
        unlink(s->addr.text);           /* what a killed predecessor left */
    }
    while (!listen_at(s)) {
        uint16_t port = net_addr_port(&s->addr);
        if (errno != EADDRINUSE || !s->addr.to || port >= s->addr.to) {
            return fail_errno(err, errno, "can't listen at %s", s->addr.text);
        }
        net_addr_set_port(&s->addr, port + 1);
    }
    return true;
}

static void start(NetStream *s)
{
    if (s->server) {
        net_client_set_info(&s->nc, "listening at %s", s->addr.text);
        s->listen_watch = mainloop_watch(s->listener, G_IO_IN, incoming, s);
    }
}

static void retry(void *opaque)
{
    NetStream *s = opaque;
    if (!try_connect(s, NULL)) {
        timer_mod(&s->retry, clock_ns(ORRERY_CLOCK_REAL) + s->reconnect * NS_PER_SEC);
    }
}

static void stream_close(NetClient *nc)
{
    NetStream *s = (NetStream *)nc;

    timer_del(&s->retry);
    drop_connection(s);
    mainloop_unwatch(s->listen_watch);
    if (s->listener >= 0) {
        close(s->listener);
        if (s->addr.kind == NET_ADDR_UNIX && s->addr.text[0] == '/') {
            unlink(s->addr.text);
        }
    }
    net_addr_clear(&s->addr);
    g_free(s->in);
}

static const NetOps stream_ops = {
    .model = "stream", .receive = stream_receive, .can_receive = stream_can_receive,
    .writable = stream_writable, .close = stream_close,
};

static bool begin(NetStream *s, Error **err)
{
    if (s->server) {
        if (!open_listener(s, err)) {
            return false;
        }
        start(s);
        return true;
    }
    if (s->addr.kind == NET_ADDR_FD) {
        if (!net_fd_check(s->addr.fd, SOCK_STREAM, err)) {
            return false;
        }
        s->fd = s->addr.fd;
        connected(s, s->addr.text);
        return true;
    }
    if (!try_connect(s, s->reconnect ? NULL : err)) {
        if (!s->reconnect) {
            return false;
        }
        timer_mod(&s->retry, clock_ns(ORRERY_CLOCK_REAL) + s->reconnect * NS_PER_SEC);
    }
    return true;
}

NetClient *net_stream_open(const char *model, const char *name, const NetAddr *a, bool server,
                           unsigned reconnect, Error **err)
{
    NetStream *s = g_new0(NetStream, 1);

    s->server = server;
    s->tells = !strcmp(model, "stream");
    s->reconnect = reconnect;
    s->listener = s->fd = -1;
    s->addr = *a;
    s->addr.text = g_strdup(a->text);
    s->in = g_malloc(IN_SIZE);
    timer_init(&s->retry, ORRERY_CLOCK_REAL, retry, s);
    net_client_init(&s->nc, &stream_ops, model, name);
    if (!begin(s, err)) {
        stream_close(&s->nc);
        net_client_exit(&s->nc);
        g_free(s);
        return NULL;
    }
    return &s->nc;
}

static NetClient *stream_open(Opts *o, const char *name, Error **err)
{
    uint64_t reconnect;
    bool server, given;
    NetAddr a;

    if (!opts_bool(o, "server", false, &server, err)
        || !opts_uint(o, "reconnect", 0, 0, 86400, &reconnect, err)
        || !net_addr_take(&a, o, "addr", &given, err)) {
        return NULL;
    }
    NetClient *nc = NULL;
    if (!given) {
        fail(err, "Parameter 'addr.type' is missing");
    } else if (!net_addr_take_stream(&a, o, "addr", server, err)) {
        nc = NULL;
    } else if (server && reconnect) {
        fail(err, "'reconnect' option is incompatible with socket in server mode");
    } else {
        nc = net_stream_open("stream", name, &a, server, reconnect, err);
    }
    net_addr_clear(&a);
    return nc;
}

static const NetBackend stream = {
    .name = "stream", .desc = "frames over a TCP or unix stream socket", .open = stream_open,
};
NET_BACKEND(stream);
