/* SPDX-License-Identifier: MIT */
/*
 * Forwarding of ports: from the host to the guest (hostfwd), and from an address the guest sees
 * to a character device or a command of the host (guestfwd).
 */
#include "net/user-int.h"
#include "util/parse.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

NetStreamHooks net_stream_hooks;

static bool take_port(const char *text, bool zero, int *port)
{
    uint64_t n;

    if (!parse_uint(text, &n) || n > 65535 || (!n && !zero)) {
        return false;
    }
    *port = n;
    return true;
}

/* "", or an address in figures. */
static bool take_address(const char *text, uint32_t def, struct in_addr *out)
{
    out->s_addr = def;
    return !*text || inet_pton(AF_INET, text, out) == 1;
}

static bool take_protocol(const char *text, bool *udp)
{
    *udp = !strcmp(text, "udp");
    return *udp || !*text || !strcmp(text, "tcp");
}

/* ---- hostfwd -------------------------------------------------------------------------- */

typedef struct HostFwd {
    bool udp;
    union NetUserAddr {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } host, guest;
} HostFwd;

/* "ADDRESS:PORT" or "[ADDRESS]:PORT"; the address may be missing, which is def then, or 0.0.0.0. */
static bool parse_end(const char *text, const struct in_addr *def, bool zero,
                      union NetUserAddr *out)
{
    const char *colon = *text == '[' ? strstr(text, "]:") : strchr(text, ':');
    g_autofree char *addr = NULL;
    int port;

    if (!colon) {
        return false;
    }
    memset(out, 0, sizeof(*out));
    if (*text == '[') {
        addr = g_strndup(text + 1, colon - text - 1);
        out->in6.sin6_family = AF_INET6;
        if (inet_pton(AF_INET6, addr, &out->in6.sin6_addr) != 1
            || !take_port(colon + 2, zero, &port)) {
            return false;
        }
        out->in6.sin6_port = htons(port);
        return true;
    }
    addr = g_strndup(text, colon - text);
    out->in.sin_family = AF_INET;
    if (!take_address(addr, def ? def->s_addr : INADDR_ANY, &out->in.sin_addr)
        || !take_port(colon + 1, zero, &port)) {
        return false;
    }
    out->in.sin_port = htons(port);
    return true;
}

/* "tcp:127.0.0.1:2222": protocol, address, port */
static bool parse_host_side(const char *text, HostFwd *f)
{
    const char *colon = strchr(text, ':');
    g_autofree char *protocol = colon ? g_strndup(text, colon - text) : NULL;

    return colon && take_protocol(protocol, &f->udp)
           && parse_end(colon + 1, NULL, true, &f->host);
}

static socklen_t size_of(const union NetUserAddr *a)
{
    return a->sa.sa_family == AF_INET6 ? sizeof(a->in6) : sizeof(a->in);
}

static int add_rule(NetUser *u, const HostFwd *f)
{
#if SLIRP_CHECK_VERSION(4, 5, 0)
    if (f->host.sa.sa_family == AF_INET6) {
        return slirp_add_hostxfwd(u->slirp, &f->host.sa, size_of(&f->host), &f->guest.sa,
                                  size_of(&f->guest), (f->udp ? SLIRP_HOSTFWD_UDP : 0)
                                                      | SLIRP_HOSTFWD_V6ONLY);
    }
#endif
    return slirp_add_hostfwd(u->slirp, f->udp, f->host.in.sin_addr, ntohs(f->host.in.sin_port),
                             f->guest.in.sin_addr, ntohs(f->guest.in.sin_port));
}

static int remove_rule(NetUser *u, const HostFwd *f)
{
#if SLIRP_CHECK_VERSION(4, 5, 0)
    if (f->host.sa.sa_family == AF_INET6) {
        return slirp_remove_hostxfwd(u->slirp, &f->host.sa, size_of(&f->host),
                                     (f->udp ? SLIRP_HOSTFWD_UDP : 0) | SLIRP_HOSTFWD_V6ONLY);
    }
#endif
    return slirp_remove_hostfwd(u->slirp, f->udp, f->host.in.sin_addr,
                                ntohs(f->host.in.sin_port));
}

bool net_user_add_hostfwd(NetUser *u, const char *rule, Error **err)
{
    const char *dash = strchr(rule, '-');
    g_autofree char *left = dash ? g_strndup(rule, dash - rule) : g_strdup("");
    HostFwd f;

    if (!parse_host_side(left, &f) || !parse_end(dash + 1, &u->dhcp, false, &f.guest)
        || f.host.sa.sa_family != f.guest.sa.sa_family) {
        return fail(err, "invalid host forwarding rule '%s' (use "
                    "[tcp|udp]:[HOSTADDR]:HOSTPORT-[GUESTADDR]:GUESTPORT; IPv6 addresses on both "
                    "sides, in brackets)", rule);
    }
    errno = 0;
    if (add_rule(u, &f) < 0) {
        return errno ? fail_errno(err, errno, "could not set up host forwarding rule '%s'", rule)
                     : fail(err, "could not set up host forwarding rule '%s'", rule);
    }
    net_user_kick();
    return true;
}

bool net_user_remove_hostfwd(NetUser *u, const char *rule, Error **err)
{
    HostFwd f;

    if (!parse_host_side(rule, &f)) {
        return fail(err, "invalid format '%s' (use [tcp|udp]:[HOSTADDR]:HOSTPORT)", rule);
    }
    if (remove_rule(u, &f) < 0) {
        return fail(err, "host forwarding rule for %s not found", rule);
    }
    net_user_kick();
    return true;
}

/* ---- guestfwd ------------------------------------------------------------------------- */

struct GuestFwd {
    NetUser *u;
    void *stream;                       /* NULL: a command */
    struct in_addr addr;
    int port;
};

static size_t guest_can_read(void *opaque)
{
    GuestFwd *f = opaque;
    return slirp_socket_can_recv(f->u->slirp, f->addr, f->port);
}

static void guest_read(void *opaque, const uint8_t *buf, size_t len)
{
    GuestFwd *f = opaque;
    slirp_socket_recv(f->u->slirp, f->addr, f->port, buf, len);
}

static ssize_t guest_wrote(const void *buf, size_t len, void *opaque)
{
    GuestFwd *f = opaque;
    return net_stream_hooks.write(f->stream, buf, len);
}

static const NetStreamHandlers guest_handlers = { .can_read = guest_can_read, .read = guest_read };

void net_user_poll_guestfwds(NetUser *u)
{
    for (guint i = 0; i < u->guestfwds->len; i++) {
        GuestFwd *f = u->guestfwds->pdata[i];
        if (f->stream) {
            net_stream_hooks.accept_input(f->stream);
        }
    }
}

void net_user_free_guestfwds(NetUser *u)
{
    for (guint i = 0; i < u->guestfwds->len; i++) {
        GuestFwd *f = u->guestfwds->pdata[i];
        if (f->stream) {
            net_stream_hooks.close(f->stream);
        }
        g_free(f);
    }
    g_ptr_array_unref(u->guestfwds);
}

static bool guest_to_stream(GuestFwd *f, const char *spec, Error **err)
{
    g_autofree char *label = g_strdup_printf("guestfwd.tcp.%d", f->port);

    if (!net_stream_hooks.open) {
        return fail(err, "guestfwd: no character devices in this program");
    }
    f->stream = net_stream_hooks.open(label, spec, &guest_handlers, f, err);
    if (!f->stream) {
        return false;
    }
    if (slirp_add_guestfwd(f->u->slirp, guest_wrote, f, &f->addr, f->port) < 0) {
        net_stream_hooks.close(f->stream);
        return fail(err, "conflicting/invalid host:port in guest forwarding rule");
    }
    return true;
}

bool net_user_add_guestfwd(NetUser *u, const char *rule, Error **err)
{
    const char *dash = strchr(rule, '-');
    g_autofree char *left = dash ? g_strndup(rule, dash - rule) : g_strdup("");
    g_auto(GStrv) part = g_strsplit(left, ":", 3);
    const char *to = dash ? dash + 1 : "";
    GuestFwd f = { .u = u };
    bool udp;

    if (g_strv_length(part) != 3 || !*to || !take_protocol(part[0], &udp) || udp
        || !take_address(part[1], 0, &f.addr) || !take_port(part[2], false, &f.port)) {
        return fail(err, "invalid guest forwarding rule '%s' (use "
                    "[tcp]:ADDR:PORT-CHARDEV or [tcp]:ADDR:PORT-cmd:COMMAND)", rule);
    }
    GuestFwd *made = g_memdup2(&f, sizeof(f));
    if (g_str_has_prefix(to, "cmd:")) {
        if (slirp_add_exec(u->slirp, to + 4, &made->addr, made->port) < 0) {
            g_free(made);
            return fail(err, "conflicting/invalid host:port in guest forwarding rule '%s'", rule);
        }
    } else if (!guest_to_stream(made, to, err)) {
        g_free(made);
        return false;
    }
    g_ptr_array_add(u->guestfwds, made);
    return true;
}
