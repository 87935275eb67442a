/* SPDX-License-Identifier: MIT */
/*
 * Back-end "socket": unix, TCP and telnet, as server or client.  A server serves one client at
 * a time; the next ones wait in the listen queue.  A client with reconnect= tries again.
 *
 * Telnet (RFC 854, 856, 857, 858): we offer to echo, to suppress go-ahead and to be binary,
 * drop what the client negotiates, and hand on its BREAK.
 */
#include "chardev/backend.h"
#include "util/address.h"
#include "util/mainloop.h"
#include "util/timer.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define MAX_FDS 16

enum { TN_SE = 240, TN_BREAK = 243, TN_SB = 250, TN_WILL = 251, TN_WONT, TN_DO, TN_DONT, TN_IAC };
enum { TN_BINARY = 0, TN_ECHO = 1, TN_SGA = 3 };

typedef enum { TELNET_DATA, TELNET_IAC, TELNET_OPTION, TELNET_SUB, TELNET_SUB_IAC } TelnetState;

typedef struct CharSocket {
    SocketAddress addr;
    int listen_fd, fd;                  /* -1 = none */
    guint listen_watch, in_watch, out_watch, connect_watch;
    bool server, wait, telnet, nodelay;
    TelnetState telnet_state;
    bool telnet_cr;                     /* the last data byte was CR */
    uint64_t reconnect;                 /* seconds, 0 = never */
    Timer retry;
    bool complained;                    /* about the peer being away: once is enough */
    int fds[MAX_FDS], nfds;             /* passed by the peer */
} CharSocket;

static void start_listening(CharDev *c);
static void start_connect(CharDev *c);
static void socket_want_read(CharDev *c);

/* ---- a connection comes and goes ------------------------------------------------------- */

static void drop_passed_fds(CharSocket *s)
{
    while (s->nfds) {
        close(s->fds[--s->nfds]);
    }
}

static void unwatch(guint *id)
{
    mainloop_unwatch(*id);
    *id = 0;
}

static void close_connection(CharSocket *s)
{
    unwatch(&s->in_watch);
    unwatch(&s->out_watch);
    unwatch(&s->connect_watch);
    if (s->fd >= 0) {
        close(s->fd);
    }
    s->fd = -1;
    drop_passed_fds(s);
}

static void disconnected(CharDev *c)
{
    CharSocket *s = c->state;
    close_connection(s);
    chardev_set_open(c, false);
    if (s->server) {
        start_listening(c);
    } else if (s->reconnect) {
        timer_mod(&s->retry, clock_ns(ORRERY_CLOCK_REAL) + s->reconnect * NS_PER_SEC);
    }
}

static void send_telnet_offer(CharSocket *s)
{
    static const uint8_t offer[] = {
        TN_IAC, TN_WILL, TN_ECHO, TN_IAC, TN_WILL, TN_SGA, TN_IAC, TN_WILL, TN_BINARY,
        TN_IAC, TN_DO, TN_BINARY,
    };
    /* twelve bytes into an empty buffer: they fit */
    if (send(s->fd, offer, sizeof(offer), MSG_NOSIGNAL) < 0) {
        return;
    }
    s->telnet_state = TELNET_DATA;
    s->telnet_cr = false;
}

static void connected(CharDev *c, int fd)
{
    CharSocket *s = c->state;
    s->fd = fd;
    s->complained = false;
    if (s->nodelay && !s->addr.path) {
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    }
    if (s->telnet) {
        send_telnet_offer(s);
    }
    chardev_set_open(c, true);
    socket_want_read(c);
}

/* ---- reading ------------------------------------------------------------------------ */

/* Takes the protocol out of buf in place; the number of data bytes left. */
static int telnet_filter(CharDev *c, uint8_t *buf, int len)
{
    CharSocket *s = c->state;
    int out = 0;
    for (int i = 0; i < len; i++) {
        uint8_t b = buf[i];
        switch (s->telnet_state) {
        case TELNET_DATA:
            if (b == TN_IAC) {
                s->telnet_state = TELNET_IAC;
            } else if (!(b == 0 && s->telnet_cr)) {      /* CR NUL is CR */
                buf[out++] = b;
            }
            s->telnet_cr = b == '\r';
            break;
        case TELNET_IAC:
            s->telnet_state = b >= TN_WILL && b <= TN_DONT ? TELNET_OPTION
                              : b == TN_SB ? TELNET_SUB : TELNET_DATA;
            if (b == TN_IAC) {
                buf[out++] = b;
            } else if (b == TN_BREAK) {
                chardev_event(c, CHAR_BREAK);
            }
            break;
        case TELNET_OPTION:
            s->telnet_state = TELNET_DATA;
            break;
        case TELNET_SUB:
            s->telnet_state = b == TN_IAC ? TELNET_SUB_IAC : TELNET_SUB;
            break;
        case TELNET_SUB_IAC:
            s->telnet_state = b == TN_SE ? TELNET_DATA : TELNET_SUB;
            break;
        }
    }
    return out;
}

static void keep_fds(CharSocket *s, struct msghdr *msg)
{
    for (struct cmsghdr *cm = CMSG_FIRSTHDR(msg); cm; cm = CMSG_NXTHDR(msg, cm)) {
        if (cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        int n = (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (int i = 0; i < n; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(cm) + i * sizeof(int), sizeof(int));
            if (s->nfds < MAX_FDS) {
                s->fds[s->nfds++] = fd;
            } else {
                close(fd);
            }
        }
    }
}

static ssize_t receive(CharSocket *s, uint8_t *buf, size_t len)
{
    union { struct cmsghdr align; char bytes[CMSG_SPACE(MAX_FDS * sizeof(int))]; } control;
    struct iovec iov = { buf, len };
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1,
        .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes),
    };
    ssize_t n = recvmsg(s->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n > 0) {
        keep_fds(s, &msg);
    }
    return n;
}

static void socket_readable(int fd, GIOCondition cond, void *opaque)
{
    CharDev *c = opaque;
    CharSocket *s = c->state;
    uint8_t buf[4096];
    int room = chardev_can_read(c);
    if (room <= 0 && !(cond & (G_IO_HUP | G_IO_ERR))) {
        unwatch(&s->in_watch);
        return;
    }
    if (room <= 0) {
        /* The peer is gone.  Input that nobody wants now stays in the socket until somebody
         * asks; if there is none the connection is over. */
        uint8_t byte;
        unwatch(&s->in_watch);
        if (recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0) {
            disconnected(c);
        }
        return;
    }
    ssize_t n = receive(s, buf, MIN((size_t)room, sizeof(buf)));
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0) {
        disconnected(c);
        return;
    }
    n = s->telnet ? telnet_filter(c, buf, n) : n;
    if (n) {
        chardev_input(c, buf, n);
    }
}

static void socket_want_read(CharDev *c)
{
    CharSocket *s = c->state;
    if (c->open && !s->in_watch) {
        s->in_watch = mainloop_watch(s->fd, G_IO_IN | G_IO_HUP | G_IO_ERR, socket_readable, c);
    }
}

/* ---- writing ------------------------------------------------------------------------ */

/* Bytes taken, or -1: the connection is broken. */
static int send_some(CharSocket *s, const uint8_t *buf, int len)
{
    for (;;) {
        ssize_t n = send(s->fd, buf, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0) {
            return n;
        }
        if (errno == EAGAIN) {
            return 0;
        }
        if (errno != EINTR) {
            return -1;
        }
    }
}

/* A byte 255 goes out twice; both halves or none count as taken. */
static int send_telnet(CharSocket *s, const uint8_t *buf, int len)
{
    static const uint8_t twice[2] = { TN_IAC, TN_IAC };
    int done = 0;
    while (done < len) {
        const uint8_t *iac = memchr(buf + done, TN_IAC, len - done);
        int plain = iac ? (int)(iac - buf) - done : len - done;
        int n = plain ? send_some(s, buf + done, plain) : send_some(s, twice, 2);
        if (n < 0) {
            return -1;
        }
        if (!plain && n == 1) {
            send_some(s, twice, 1);
            n = 2;
        }
        done += plain ? n : n / 2;
        if (n < (plain ? plain : 2)) {
            break;
        }
    }
    return done;
}

static int socket_write(CharDev *c, const uint8_t *buf, int len)
{
    CharSocket *s = c->state;
    int n = s->telnet ? send_telnet(s, buf, len) : send_some(s, buf, len);
    /* a broken connection is noticed by the reading side, in the main loop */
    return n < 0 ? len : n;
}

static void socket_writable(int fd, GIOCondition cond, void *opaque)
{
    CharDev *c = opaque;
    unwatch(&((CharSocket *)c->state)->out_watch);
    chardev_writable(c);
}

static void socket_want_write(CharDev *c)
{
    CharSocket *s = c->state;
    if (s->fd >= 0 && !s->out_watch) {
        s->out_watch = mainloop_watch(s->fd, G_IO_OUT | G_IO_HUP | G_IO_ERR, socket_writable, c);
    }
}

/* ---- server ------------------------------------------------------------------------- */

static void client_came(int listen_fd, GIOCondition cond, void *opaque)
{
    CharDev *c = opaque;
    CharSocket *s = c->state;
    int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
        unwatch(&s->listen_watch);
        connected(c, fd);
    }
}

static void start_listening(CharDev *c)
{
    CharSocket *s = c->state;
    if (!s->listen_watch) {
        s->listen_watch = mainloop_watch(s->listen_fd, G_IO_IN, client_came, c);
    }
}

static bool wait_for_client(CharDev *c, Error **err)
{
    CharSocket *s = c->state;
    g_autofree char *name = chardev_filename(c);
    chardev_say("%s: info: waiting for connection on: %s", g_get_prgname(), name);
    for (;;) {
        struct pollfd p = { .fd = s->listen_fd, .events = POLLIN };
        poll(&p, 1, -1);
        int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            connected(c, fd);
            return true;
        }
        if (errno != EINTR && errno != EAGAIN && errno != ECONNABORTED) {
            return fail_errno(err, errno, "-chardev: accept");
        }
    }
}

static bool open_server(CharDev *c, Error **err)
{
    CharSocket *s = c->state;
    if (s->listen_fd < 0) {
        s->listen_fd = socket_listen(&s->addr, err);
    }
    if (s->listen_fd < 0) {
        return false;
    }
    if (s->wait) {
        return wait_for_client(c, err);
    }
    start_listening(c);
    return true;
}

/* ---- client ------------------------------------------------------------------------- */

static void connect_failed(CharDev *c, int errnum)
{
    CharSocket *s = c->state;
    if (!s->complained) {
        g_autofree char *name = chardev_filename(c);
        warn_report("Unable to connect character device %s: %s: %s (trying again every %u s)", c->id,
                    name, g_strerror(errnum), (unsigned)s->reconnect);
        s->complained = true;
    }
    close_connection(s);
    timer_mod(&s->retry, clock_ns(ORRERY_CLOCK_REAL) + s->reconnect * NS_PER_SEC);
}

static void connect_done(int fd, GIOCondition cond, void *opaque)
{
    CharDev *c = opaque;
    CharSocket *s = c->state;
    int errnum = 0;
    socklen_t len = sizeof(errnum);
    unwatch(&s->connect_watch);
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &errnum, &len);
    if (errnum) {
        connect_failed(c, errnum);
    } else {
        connected(c, fd);
    }
}

/* With reconnect: in the background. */
static void start_connect(CharDev *c)
{
    CharSocket *s = c->state;
    Error *err = NULL;
    int errnum = 0;
    s->fd = socket_connect(&s->addr, false, &errnum, &err);
    if (s->fd < 0) {
        g_clear_error(&err);
        connect_failed(c, errnum);
    } else if (errnum == EINPROGRESS) {
        s->connect_watch = mainloop_watch(s->fd, G_IO_OUT | G_IO_HUP | G_IO_ERR, connect_done, c);
    } else {
        connected(c, s->fd);
    }
}

static void retry_tick(void *opaque)
{
    start_connect(opaque);
}

static bool open_client(CharDev *c, Error **err)
{
    CharSocket *s = c->state;
    if (s->reconnect) {
        start_connect(c);
        return true;
    }
    int fd = s->fd >= 0 ? s->fd : socket_connect(&s->addr, true, NULL, err);
    if (fd < 0) {
        return false;
    }
    connected(c, fd);
    return true;
}

/* ---- life --------------------------------------------------------------------------- */

static void socket_close(CharDev *c)
{
    CharSocket *s = c->state;
    timer_del(&s->retry);
    unwatch(&s->listen_watch);
    close_connection(s);
    if (s->listen_fd >= 0) {
        close(s->listen_fd);
        socket_forget(&s->addr);
    }
    socket_address_clear(&s->addr);
}

static bool take_socket_options(CharSocket *s, Opts *o, Error **err)
{
    bool delay, nodelay;
    if (!opts_bool(o, "server", false, &s->server, err) || !opts_bool(o, "wait", s->server, &s->wait, err)
        || !opts_bool(o, "telnet", false, &s->telnet, err)
        || !opts_bool(o, "delay", true, &delay, err) || !opts_bool(o, "nodelay", !delay, &nodelay, err)
        || !opts_uint(o, "reconnect", 0, 0, 86400, &s->reconnect, err)) {
        return false;
    }
    s->nodelay = nodelay;
    if (opts_has(o, "websocket") || opts_has(o, "tls-creds") || opts_has(o, "tn3270")) {
        return fail(err, "-chardev: socket: websocket, tls-creds and tn3270 are not supported");
    }
    if (s->server && s->reconnect) {
        return fail(err, "-chardev: 'reconnect' option is incompatible with socket in server listen mode");
    }
    if (!s->server && s->wait) {
        return fail(err, "-chardev: 'wait' option is incompatible with socket in client connect mode");
    }
    return true;
}

/* fd=N: a socket our parent made. */
static bool adopt_fd(CharSocket *s, Error **err)
{
    int fd = s->addr.fd, listening = 0;
    socklen_t len = sizeof(listening);
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) < 0) {
        return fail_errno(err, errno, "-chardev: fd=%d is no socket", fd);
    }
    if (s->server && !listening && listen(fd, 1) < 0) {
        return fail_errno(err, errno, "-chardev: fd=%d", fd);
    }
    socket_prepare(fd);
    *(s->server ? &s->listen_fd : &s->fd) = fd;
    return true;
}

static bool socket_open(CharDev *c, Opts *o, Error **err)
{
    CharSocket *s = c->state;
    s->fd = s->listen_fd = -1;
    timer_init(&s->retry, ORRERY_CLOCK_REAL, retry_tick, c);
    if (take_socket_options(s, o, err) && socket_address_take(&s->addr, o, s->server, err)
        && (s->addr.fd < 0 || adopt_fd(s, err))
        && (s->server ? open_server(c, err) : open_client(c, err))) {
        return true;
    }
    socket_close(c);
    return false;
}

/* As QEMU: "disconnected:unix:/x,server=on", "unix:/x,server=on", "tcp:host:port" */
static char *socket_filename(CharDev *c)
{
    CharSocket *s = c->state;
    g_autofree char *where = socket_address_text(&s->addr, s->telnet ? "telnet" : "tcp");
    return g_strdup_printf("%s%s%s", c->open ? "" : "disconnected:", where,
                           s->server ? ",server=on" : "");
}

static int socket_take_fd(CharDev *c)
{
    CharSocket *s = c->state;
    if (!s->nfds) {
        return -1;
    }
    int fd = s->fds[0];
    memmove(s->fds, s->fds + 1, --s->nfds * sizeof(int));
    return fd;
}

static const CharBackend socket_backend = {
    .name = "socket", .desc = "unix, TCP or telnet (path= | host=,port= | fd=; server=on, wait=off, "
                              "telnet=on, reconnect=)",
    .size = sizeof(CharSocket), .open = socket_open, .close = socket_close, .write = socket_write,
    .want_write = socket_want_write, .want_read = socket_want_read, .filename = socket_filename,
    .take_fd = socket_take_fd,
};
CHAR_BACKEND(socket_backend);
