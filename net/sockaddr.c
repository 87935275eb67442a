/* SPDX-License-Identifier: MIT */
/*
 * Socket addresses.
 */
#include "net/sockaddr.h"
#include "util/parse.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

char *net_addr_name(const struct sockaddr_storage *sa)
{
    char host[NI_MAXHOST], port[NI_MAXSERV];
    const struct sockaddr_un *un = (const struct sockaddr_un *)sa;

    if (sa->ss_family == AF_UNIX) {
        return g_strdup(un->sun_path[0] ? un->sun_path : "unnamed");
    }
    if (getnameinfo((const struct sockaddr *)sa, sizeof(*sa), host, sizeof(host), port,
                    sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV)) {
        return g_strdup("?");
    }
    return g_strdup_printf(strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}

static bool resolve(NetAddr *a, const char *what, const char *host, const char *port, int family,
                    bool numeric, Error **err)
{
    struct addrinfo hints = {
        .ai_family = family, .ai_socktype = SOCK_STREAM,
        .ai_flags = AI_PASSIVE | (numeric ? AI_NUMERICHOST | AI_NUMERICSERV : 0),
    }, *list;
    int ret = getaddrinfo(*host ? host : NULL, port, &hints, &list);

    if (ret) {
        return fail(err, "%s: can't resolve '%s:%s': %s", what, host, port, gai_strerror(ret));
    }
    memcpy(&a->sa, list->ai_addr, list->ai_addrlen);
    a->len = list->ai_addrlen;
    freeaddrinfo(list);
    a->kind = NET_ADDR_INET;
    a->text = net_addr_name(&a->sa);
    return true;
}

bool net_addr_parse(NetAddr *a, const char *what, const char *text, Error **err)
{
    const char *colon = strrchr(text, ':');
    uint64_t port;

    *a = (NetAddr) { .fd = -1 };
    if (!colon || !parse_uint(colon + 1, &port) || port > 65535) {
        return fail(err, "%s=%s: not of the form HOST:PORT", what, text);
    }
    bool v6 = text[0] == '[' && colon[-1] == ']';
    g_autofree char *host = v6 ? g_strndup(text + 1, colon - text - 2)
                               : g_strndup(text, colon - text);
    return resolve(a, what, host, colon + 1, v6 ? AF_INET6 : AF_INET, false, err);
}

static bool set_unix(NetAddr *a, const char *key, const char *path, bool abstract, bool tight,
                     Error **err)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&a->sa;

    if (!path) {
        return fail(err, "%s.path is missing", key);
    }
    if (strlen(path) + abstract >= sizeof(un->sun_path)) {
        return fail(err, "%s.path=%s: too long (at most %zu bytes)", key, path,
                    sizeof(un->sun_path) - 1);
    }
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path + abstract, path, strlen(path));
    /* an abstract name is as long as the address says: with zeros behind it it is another one */
    a->len = abstract && tight ? offsetof(struct sockaddr_un, sun_path) + 1 + strlen(path)
                               : sizeof(*un);
    a->kind = NET_ADDR_UNIX;
    a->text = g_strdup(path);
    return true;
}

static bool set_inet(NetAddr *a, Opts *o, const char *key, Error **err)
{
    g_autofree char *host_key = g_strconcat(key, ".host", NULL);
    g_autofree char *port_key = g_strconcat(key, ".port", NULL);
    g_autofree char *v4_key = g_strconcat(key, ".ipv4", NULL);
    g_autofree char *v6_key = g_strconcat(key, ".ipv6", NULL);
    g_autofree char *numeric_key = g_strconcat(key, ".numeric", NULL);
    const char *host = opts_get(o, host_key), *port = opts_get(o, port_key);
    bool v4, v6, numeric;

    if (!host || !port) {
        return fail(err, "%s.%s is missing", key, host ? "port" : "host");
    }
    if (!opts_bool(o, v4_key, true, &v4, err) || !opts_bool(o, v6_key, true, &v6, err)
        || !opts_bool(o, numeric_key, false, &numeric, err)) {
        return false;
    }
    bool only6 = (opts_has(o, v6_key) && v6 && !opts_has(o, v4_key)) || !v4;
    bool only4 = (opts_has(o, v4_key) && v4 && !opts_has(o, v6_key)) || !v6;
    return resolve(a, key, host, port, only6 ? AF_INET6 : only4 ? AF_INET : AF_UNSPEC, numeric,
                   err);
}

static bool set_fd(NetAddr *a, const char *key, const char *text, Error **err)
{
    uint64_t fd;

    if (!text || !parse_uint(text, &fd) || fd > INT_MAX || fcntl(fd, F_GETFD) < 0) {
        return fail(err, "%s.str=%s: not an open file descriptor", key, text ? text : "");
    }
    a->kind = NET_ADDR_FD;
    a->fd = fd;
    a->text = g_strdup_printf("fd:%d", a->fd);
    return true;
}

bool net_addr_take(NetAddr *a, Opts *o, const char *key, bool *given, Error **err)
{
    g_autofree char *type_key = g_strconcat(key, ".type", NULL);
    g_autofree char *path_key = g_strconcat(key, ".path", NULL);
    g_autofree char *str_key = g_strconcat(key, ".str", NULL);
    g_autofree char *abstract_key = g_strconcat(key, ".abstract", NULL);
    g_autofree char *tight_key = g_strconcat(key, ".tight", NULL);
    const char *type = opts_get(o, type_key);
    bool abstract, tight;

    *a = (NetAddr) { .fd = -1 };
    *given = type != NULL;
    if (!type) {
        return true;
    }
    if (!strcmp(type, "inet")) {
        return set_inet(a, o, key, err);
    }
    if (!strcmp(type, "unix")) {
        return opts_bool(o, abstract_key, false, &abstract, err)
               && opts_bool(o, tight_key, true, &tight, err)
               && set_unix(a, key, opts_get(o, path_key), abstract, tight, err);
    }
    if (!strcmp(type, "fd")) {
        return set_fd(a, key, opts_get(o, str_key), err);
    }
    return fail(err, "%s.type=%s: use inet, unix or fd", key, type);
}

uint16_t net_addr_port(const NetAddr *a)
{
    const struct sockaddr_in *in = (const struct sockaddr_in *)&a->sa;
    return ntohs(in->sin_port);         /* in the same place in sockaddr_in6 */
}

void net_addr_set_port(NetAddr *a, uint16_t port)
{
    ((struct sockaddr_in *)&a->sa)->sin_port = htons(port);
    g_free(a->text);
    a->text = net_addr_name(&a->sa);
}

bool net_addr_take_stream(NetAddr *a, Opts *o, const char *key, bool server, Error **err)
{
    g_autofree char *to_key = g_strconcat(key, ".to", NULL);
    g_autofree char *alive_key = g_strconcat(key, ".keep-alive", NULL);
    g_autofree char *mptcp_key = g_strconcat(key, ".mptcp", NULL);
    uint64_t to;

    if (a->kind != NET_ADDR_INET) {
        return true;                    /* those keys stay unknown */
    }
    if (!opts_uint(o, to_key, 0, 0, UINT16_MAX, &to, err)
        || !opts_bool(o, alive_key, false, &a->keep_alive, err)
        || !opts_bool(o, mptcp_key, false, &a->mptcp, err)) {
        return false;
    }
    if (opts_has(o, to_key) && (!server || to < net_addr_port(a))) {
        return fail(err, "%s=%" G_GUINT64_FORMAT ": the last port to try to listen at: for server=on, "
                    "not before %s.port", to_key, to, key);
    }
    if (a->keep_alive && server) {
        return fail(err, "%s=on: is for the side that connects", alive_key);
    }
    a->to = to;
    return true;
}

int net_addr_socket(const NetAddr *a)
{
    return socket(a->sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
                  a->mptcp ? IPPROTO_MPTCP : 0);
}

void net_addr_clear(NetAddr *a)
{
    g_clear_pointer(&a->text, g_free);
}

bool net_fd_check(int fd, int kind, Error **err)
{
    int type;
    socklen_t len = sizeof(type);

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0) {
        return fail_errno(err, errno, "fd=%d: not a socket", fd);
    }
    if (kind && type != kind) {
        return fail(err, "fd=%d: not a %s socket", fd, kind == SOCK_STREAM ? "stream" : "datagram");
    }
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    return true;
}
