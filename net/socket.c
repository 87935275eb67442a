/* SPDX-License-Identifier: MIT */
/*
 * -netdev socket: what stream and dgram do, in the options of former times: listen=, connect=,
 * mcast=, udp=, fd=.
 */
#include "net/netdev.h"
#include "net/stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <unistd.h>

static const char *const ways[] = { "fd", "listen", "connect", "mcast", "udp" };

static NetClient *open_fd(const char *text, const char *name, Error **err)
{
    char *end;
    long fd = strtol(text, &end, 10);
    int type = 0;
    socklen_t len = sizeof(type);

    if (!*text || *end || fd < 0 || fd > INT_MAX || fcntl(fd, F_GETFD) < 0) {
        fail(err, "fd=%s: not an open file descriptor", text);
        return NULL;
    }
    if (!net_fd_check(fd, 0, err)) {
        return NULL;
    }
    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len);
    if (type == SOCK_DGRAM) {
        NetClient *nc = net_dgram_new("socket", name, fd, NULL);
        net_client_set_info(nc, "fd=%ld", fd);
        return nc;
    }
    NetAddr a = { .kind = NET_ADDR_FD, .fd = fd, .text = g_strdup_printf("fd:%ld", fd) };
    NetClient *nc = net_stream_open("socket", name, &a, false, 0, err);
    net_addr_clear(&a);
    return nc;
}

static NetClient *open_stream(const char *way, const char *text, const char *name, bool server,
                              Error **err)
{
    NetAddr a;
    NetClient *nc = net_addr_parse(&a, way, text, err)
                    ? net_stream_open("socket", name, &a, server, 0, err) : NULL;
    net_addr_clear(&a);
    return nc;
}

static NetClient *open_mcast(const char *text, const char *local, const char *name, Error **err)
{
    struct in_addr on = { 0 };
    NetAddr group;
    NetClient *nc = NULL;

    if (local && inet_pton(AF_INET, local, &on) != 1) {
        fail(err, "localaddr=%s: not an IPv4 address", local);
        return NULL;
    }
    if (net_addr_parse(&group, "mcast", text, err)) {
        int fd = net_mcast_socket(&group, local ? &on : NULL, err);
        if (fd >= 0) {
            nc = net_dgram_new("socket", name, fd, &group);
            net_client_set_info(nc, "mcast=%s", group.text);
        }
    }
    net_addr_clear(&group);
    return nc;
}

static NetClient *open_udp(const char *text, const char *local, const char *name, Error **err)
{
    NetAddr to = { 0 }, from = { 0 };
    NetClient *nc = NULL;

    if (!local) {
        fail(err, "localaddr= is mandatory with udp=");
        return NULL;
    }
    if (net_addr_parse(&to, "udp", text, err) && net_addr_parse(&from, "localaddr", local, err)) {
        int fd = net_dgram_socket(&from, err);
        if (fd >= 0) {
            nc = net_dgram_new("socket", name, fd, &to);
            net_client_set_info(nc, "udp=%s,localaddr=%s", to.text, from.text);
        }
    }
    net_addr_clear(&to);
    net_addr_clear(&from);
    return nc;
}

static NetClient *socket_open(Opts *o, const char *name, Error **err)
{
    const char *value = NULL, *v, *local = opts_get(o, "localaddr");
    unsigned way = 0, n = 0;

    for (unsigned i = 0; i < G_N_ELEMENTS(ways); i++) {
        if ((v = opts_get(o, ways[i]))) {
            way = i;
            value = v;
            n++;
        }
    }
    if (n != 1) {
        fail(err, "exactly one of listen=, connect=, mcast=, udp= and fd= is required");
        return NULL;
    }
    if (local && way < 3) {
        fail(err, "localaddr= is only valid with mcast= and udp=");
        return NULL;
    }
    switch (way) {
    case 0:
        return open_fd(value, name, err);
    case 1: case 2:
        return open_stream(ways[way], value, name, way == 1, err);
    case 3:
        return open_mcast(value, local, name, err);
    default:
        return open_udp(value, local, name, err);
    }
}

static const NetBackend socket_backend = {
    .name = "socket", .desc = "another machine by TCP, UDP or multicast", .open = socket_open,
};
NET_BACKEND(socket_backend);
