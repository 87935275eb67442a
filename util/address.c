/* SPDX-License-Identifier: MIT */
/*
 * Stream sockets by address.
 */
#include "util/address.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

bool socket_address_take(SocketAddress *a, Opts *o, bool server, Error **err)
{
    uint64_t fd;
    bool tight;
    *a = (SocketAddress) { .fd = -1 };
    bool has_fd = opts_has(o, "fd"), v4 = opts_has(o, "ipv4"), v6 = opts_has(o, "ipv6");
    a->path = g_strdup(opts_get(o, "path"));
    a->host = g_strdup(opts_get(o, "host"));
    a->port = g_strdup(opts_get(o, "port"));
    /* naming one family alone as on rules out the other */
    bool v4_on, v6_on;
    if (!opts_uint(o, "fd", 0, 0, INT32_MAX, &fd, err) || !opts_bool(o, "abstract", false, &a->abstract_name, err)
        || !opts_bool(o, "tight", true, &tight, err) || !opts_uint(o, "to", 0, 0, 65535, &a->to, err)
        || !opts_bool(o, "ipv4", true, &v4_on, err) || !opts_bool(o, "ipv6", true, &v6_on, err)) {
        return false;
    }
    a->ipv4 = v4 ? v4_on : !(v6 && v6_on);
    a->ipv6 = v6 ? v6_on : !(v4 && v4_on);
    if (has_fd + (a->path != NULL) + (a->port != NULL) != 1) {
        return fail(err, "-chardev: socket: one of path=, port= (with host=) and fd= is needed");
    }
    if (!tight && a->abstract_name) {
        return fail(err, "-chardev: socket: tight=off is not supported");
    }
    if (!a->ipv4 && !a->ipv6) {
        return fail(err, "-chardev: socket: ipv4=off,ipv6=off leaves nothing");
    }
    if (a->path && strlen(a->path) >= sizeof(((struct sockaddr_un *)0)->sun_path)) {
        return fail(err, "UNIX socket path '%s' is too long (at most %zu bytes)", a->path,
                    sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
    }
    if (a->port && !server && (!a->host || !*a->host)) {
        return fail(err, "-chardev: socket: host= is missing");
    }
    if (has_fd) {
        a->fd = (int)fd;
    }
    return true;
}

void socket_address_clear(SocketAddress *a)
{
    g_free(a->path);
    g_free(a->host);
    g_free(a->port);
    *a = (SocketAddress) { .fd = -1 };
}

char *socket_address_text(const SocketAddress *a, const char *tcp_name)
{
    if (a->fd >= 0) {
        return g_strdup_printf("fd:%d", a->fd);
    }
    if (a->path) {
        return g_strdup_printf("unix:%s%s", a->path, a->abstract_name ? ",abstract=on" : "");
    }
    bool brackets = a->host && strchr(a->host, ':');
    return g_strdup_printf("%s:%s%s%s:%s", tcp_name, brackets ? "[" : "", a->host ? a->host : "",
                           brackets ? "]" : "", a->port);
}

void socket_prepare(int fd)
{
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

static socklen_t unix_address(const SocketAddress *a, struct sockaddr_un *un)
{
    size_t len = strlen(a->path);
    *un = (struct sockaddr_un) { .sun_family = AF_UNIX };
    memcpy(un->sun_path + a->abstract_name, a->path, MIN(len, sizeof(un->sun_path) - 1));
    return a->abstract_name ? offsetof(struct sockaddr_un, sun_path) + 1 + len : sizeof(*un);
}

static int failed(int fd, Error **err, const SocketAddress *a, const char *what)
{
    int errnum = errno;
    g_autofree char *where = socket_address_text(a, "tcp");
    fail_errno(err, errnum, "Failed to %s %s", what, where);
    if (fd >= 0) {
        close(fd);
    }
    errno = errnum;
    return -1;
}

static struct addrinfo *resolve(const SocketAddress *a, const char *port, bool passive, Error **err)
{
    struct addrinfo hints = {
        .ai_socktype = SOCK_STREAM, .ai_flags = passive ? AI_PASSIVE : 0,
        .ai_family = !a->ipv6 ? AF_INET : !a->ipv4 ? AF_INET6 : AF_UNSPEC,
    }, *list = NULL;
    int ret = getaddrinfo(a->host && *a->host ? a->host : NULL, port, &hints, &list);
    if (ret) {
        fail(err, "address resolution failed for %s:%s: %s", a->host ? a->host : "", port,
             gai_strerror(ret));
        errno = EHOSTUNREACH;
        return NULL;
    }
    return list;
}

/* ---- listening ---------------------------------------------------------------------- */

static int listen_unix(const SocketAddress *a, Error **err)
{
    struct sockaddr_un un;
    socklen_t len = unix_address(a, &un);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return failed(fd, err, a, "create socket for");
    }
    /* what a killed predecessor left */
    if (!a->abstract_name && unlink(a->path) < 0 && errno != ENOENT) {
        return failed(fd, err, a, "unlink socket");
    }
    if (bind(fd, (struct sockaddr *)&un, len) < 0) {
        return failed(fd, err, a, "bind socket to");
    }
    if (listen(fd, 1) < 0) {
        return failed(fd, err, a, "listen on");
    }
    return fd;
}

static int try_listen(const struct addrinfo *ai)
{
    int on = 1, fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, ai->ai_addr, ai->ai_addrlen) < 0 || listen(fd, 1) < 0) {
        int errnum = errno;
        close(fd);
        errno = errnum;
        return -1;
    }
    return fd;
}

/* With port 0 the kernel chose one. */
static void note_port(SocketAddress *a, int fd)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    char port[NI_MAXSERV];
    if (getsockname(fd, (struct sockaddr *)&ss, &len) == 0
        && getnameinfo((struct sockaddr *)&ss, len, NULL, 0, port, sizeof(port), NI_NUMERICSERV) == 0) {
        g_free(a->port);
        a->port = g_strdup(port);
    }
}

static int listen_port(SocketAddress *a, const char *port, Error **err)
{
    struct addrinfo *list = resolve(a, port, true, err);
    int fd = -1;
    for (struct addrinfo *ai = list; ai && fd < 0; ai = ai->ai_next) {
        fd = try_listen(ai);
    }
    if (list && fd < 0) {
        failed(-1, err, a, "bind socket to");
    }
    if (list) {
        int errnum = errno;
        freeaddrinfo(list);
        errno = errnum;
    }
    return fd;
}

int socket_listen(SocketAddress *a, Error **err)
{
    if (a->path) {
        return listen_unix(a, err);
    }
    uint64_t first = strtoul(a->port, NULL, 10), port = first;
    for (;;) {
        g_autofree char *text = a->to ? g_strdup_printf("%u", (unsigned)port) : g_strdup(a->port);
        Error *why = NULL;
        int fd = listen_port(a, text, &why);
        if (fd >= 0) {
            note_port(a, fd);
            return fd;
        }
        if (errno != EADDRINUSE || ++port > a->to) {
            g_propagate_error(err, why);
            return -1;
        }
        g_clear_error(&why);
    }
}

void socket_forget(const SocketAddress *a)
{
    if (a->path && !a->abstract_name) {
        unlink(a->path);
    }
}

/* ---- connecting --------------------------------------------------------------------- */

static int wait_connected(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLOUT };
    int errnum = 0;
    socklen_t len = sizeof(errnum);
    while (poll(&p, 1, -1) < 0 && errno == EINTR) {
    }
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &errnum, &len);
    errno = errnum;
    return errnum ? -1 : 0;
}

/* A descriptor whose connection is made or (not wait) on its way; -1 with errno. */
static int try_connect(int family, const struct sockaddr *sa, socklen_t len, bool wait, int *errnum)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -1;
    }
    int ret = connect(fd, sa, len);
    if (errnum) {
        *errnum = 0;
    }
    if (ret < 0 && errno == EINPROGRESS) {
        if (errnum) {
            *errnum = EINPROGRESS;
        }
        ret = wait ? wait_connected(fd) : 0;
    }
    if (ret < 0) {
        int why = errno;
        close(fd);
        errno = why;
        return -1;
    }
    return fd;
}

int socket_connect(const SocketAddress *a, bool wait, int *errnum, Error **err)
{
    int fd = -1;
    if (a->path) {
        struct sockaddr_un un;
        socklen_t len = unix_address(a, &un);
        fd = try_connect(AF_UNIX, (struct sockaddr *)&un, len, wait, errnum);
    } else {
        struct addrinfo *list = resolve(a, a->port, false, err);
        if (!list) {
            goto out;
        }
        for (struct addrinfo *ai = list; ai && fd < 0; ai = ai->ai_next) {
            fd = try_connect(ai->ai_family, ai->ai_addr, ai->ai_addrlen, wait, errnum);
        }
        int why = errno;
        freeaddrinfo(list);
        errno = why;
    }
    if (fd < 0) {
        failed(-1, err, a, "connect to");
    }
out:
    if (fd < 0 && errnum) {
        *errnum = errno;
    }
    return fd;
}
