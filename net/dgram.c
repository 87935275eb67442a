/* SPDX-License-Identifier: MIT */
/*
 * -netdev dgram: a frame a datagram, over UDP (also multicast) or unix datagram sockets.
 */
#include "net/netdev.h"
#include "net/stream.h"
#include "util/iov.h"
#include "util/mainloop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#define READS 32                        /* in one go */

typedef struct NetDgram {
    NetClient nc;                       /* always first */
    int fd;
    struct sockaddr_storage to;
    socklen_t to_len;                   /* 0: the socket is connected */
    guint in_watch;
    char *unlink_path;                  /* our end of a unix socket */
    uint8_t in[NET_MAX_FRAME];
} NetDgram;

static void readable(int fd, GIOCondition cond, void *opaque)
{
    NetDgram *s = opaque;

    for (int i = 0; i < READS; i++) {
        ssize_t n = recv(fd, s->in, sizeof(s->in), 0);
        if (n < 0) {
            return;                     /* also the echo of a send to nobody */
        }
        if (n > 0) {
            net_send_buf(&s->nc, s->in, n);
        }
        if (!net_can_send(&s->nc)) {    /* until dgram_writable */
            mainloop_unwatch(s->in_watch);
            s->in_watch = 0;
            return;
        }
    }
}

static void dgram_writable(NetClient *nc)
{
    NetDgram *s = (NetDgram *)nc;
    if (!s->in_watch) {
        s->in_watch = mainloop_watch(s->fd, G_IO_IN, readable, s);
    }
}

/* Datagrams that find no room are lost, as on a wire. */
static bool dgram_receive(NetClient *nc, const struct iovec *iov, int n, const NetOffload *off)
{
    NetDgram *s = (NetDgram *)nc;
    g_autofree uint8_t *copy = NULL;
    struct iovec one;
    struct msghdr msg = { .msg_iov = (struct iovec *)iov, .msg_iovlen = n };

    if (n > 256) {
        size_t len = iov_size(iov, n);
        copy = g_malloc(len);
        iov_to_buf(iov, n, 0, copy, len);
        one = (struct iovec) { copy, len };
        msg.msg_iov = &one;
        msg.msg_iovlen = 1;
    }
    if (s->to_len) {
        msg.msg_name = &s->to;
        msg.msg_namelen = s->to_len;
    }
    if (sendmsg(s->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
        nc->sent.dropped++;
    }
    return true;
}

static void dgram_close(NetClient *nc)
{
    NetDgram *s = (NetDgram *)nc;

    mainloop_unwatch(s->in_watch);
    close(s->fd);
    if (s->unlink_path) {
        unlink(s->unlink_path);
        g_free(s->unlink_path);
    }
}

static const NetOps dgram_ops = {
    .model = "dgram", .receive = dgram_receive, .writable = dgram_writable, .close = dgram_close,
};

NetClient *net_dgram_new(const char *model, const char *name, int fd, const NetAddr *to)
{
    NetDgram *s = g_new0(NetDgram, 1);

    s->fd = fd;
    if (to) {
        s->to = to->sa;
        s->to_len = to->len;
    }
    net_client_init(&s->nc, &dgram_ops, model, name);
    s->in_watch = mainloop_watch(fd, G_IO_IN, readable, s);
    return &s->nc;
}

/* ---- sockets -------------------------------------------------------------------------------- */

static int failed(int fd, Error **err, const char *what, const char *text)
{
    fail_errno(err, errno, "can't %s %s", what, text);
    if (fd >= 0) {
        close(fd);
    }
    return -1;
}

int net_dgram_socket(const NetAddr *local, Error **err)
{
    int on = 1, fd = socket(local->sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0) {
        return failed(fd, err, "create a socket for", local->text);
    }
    if (local->kind == NET_ADDR_UNIX && local->text[0] == '/') {
        unlink(local->text);            /* what a killed predecessor left */
    } else {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    }
    if (bind(fd, (const struct sockaddr *)&local->sa, local->len) < 0) {
        return failed(fd, err, "bind to", local->text);
    }
    return fd;
}

int net_mcast_socket(const NetAddr *group, const struct in_addr *local, Error **err)
{
    const struct sockaddr_in *in = (const struct sockaddr_in *)&group->sa;
    struct ip_mreq member = { .imr_multiaddr = in->sin_addr };
    int on = 1, fd;
    uint8_t loop = 1;

    if (in->sin_family != AF_INET || !IN_MULTICAST(ntohl(in->sin_addr.s_addr))) {
        fail(err, "%s is not a multicast address (224.0.0.0 to 239.255.255.255)", group->text);
        return -1;
    }
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return failed(fd, err, "create a socket for", group->text);
    }
    member.imr_interface.s_addr = local ? local->s_addr : INADDR_ANY;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (const struct sockaddr *)in, sizeof(*in)) < 0) {
        return failed(fd, err, "bind to", group->text);
    }
    if (setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &member, sizeof(member)) < 0
        || setsockopt(fd, IPPROTO_IP, IP_MULTICAST_LOOP, &loop, sizeof(loop)) < 0
        || (local && setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, local, sizeof(*local)) < 0)) {
        return failed(fd, err, "join the group", group->text);
    }
    return fd;
}

/* ---- options --------------------------------------------------------------------------------- */

static bool is_multicast(const NetAddr *a)
{
    const struct sockaddr_in *in = (const struct sockaddr_in *)&a->sa;
    return a->kind == NET_ADDR_INET && in->sin_family == AF_INET
           && IN_MULTICAST(ntohl(in->sin_addr.s_addr));
}

static int open_socket(const NetAddr *local, bool has_local, const NetAddr *remote,
                       bool has_remote, Error **err)
{
    if (has_remote && is_multicast(remote)) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&local->sa;
        return net_mcast_socket(remote, has_local && local->kind == NET_ADDR_INET ? &in->sin_addr
                                                                                 : NULL, err);
    }
    if (!has_local) {
        fail(err, "Parameter 'local.type' is missing");
        return -1;
    }
    if (local->kind == NET_ADDR_FD) {
        if (has_remote) {
            fail(err, "don't set remote with local.fd");
            return -1;
        }
        return net_fd_check(local->fd, SOCK_DGRAM, err) ? local->fd : -1;
    }
    if (!has_remote || remote->kind != local->kind) {
        fail(err, has_remote ? "local.type and remote.type must be the same"
                             : "Parameter 'remote.type' is missing");
        return -1;
    }
    return net_dgram_socket(local, err);
}

static NetClient *dgram_open(Opts *o, const char *name, Error **err)
{
    NetAddr local = { .fd = -1 }, remote = { .fd = -1 };
    bool has_local, has_remote;
    NetClient *nc = NULL;

    if (net_addr_take(&local, o, "local", &has_local, err)
        && net_addr_take(&remote, o, "remote", &has_remote, err)) {
        int fd = open_socket(&local, has_local, &remote, has_remote, err);
        if (fd >= 0) {
            nc = net_dgram_new("dgram", name, fd, has_remote ? &remote : NULL);
            net_client_set_info(nc, "local=%s,remote=%s", local.text ? local.text : "any",
                                remote.text ? remote.text : "connected");
            if (has_local && local.kind == NET_ADDR_UNIX && local.text[0] == '/') {
                ((NetDgram *)nc)->unlink_path = g_strdup(local.text);
            }
        }
    }
    net_addr_clear(&local);
    net_addr_clear(&remote);
    return nc;
}

static const NetBackend dgram = {
    .name = "dgram", .desc = "a frame a datagram: UDP, multicast, unix", .open = dgram_open,
};
NET_BACKEND(dgram);
