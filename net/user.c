/* SPDX-License-Identifier: MIT */
/*
 * The "user" back-end.
 *
 * libslirp is called under the big lock: from a vCPU thread or the main loop when the card sends,
 * from the main loop when one of its sockets is ready.  What it waits for is asked in each round,
 * and after each packet: the main loop is woken when that has changed.
 *
 * The guest may send TCP segments larger than the MTU when its card offers that (if_mru).
 */
#include "net/user-int.h"
#include "net/hub.h"
#include "util/iov.h"
#include "util/log.h"
#include "util/parse.h"
#include "util/timer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define USER_MRU 65521                  /* libslirp's largest */
#define FEW_WAITS 16

/* ---- what slirp asks of us ------------------------------------------------------------ */

static ssize_t user_send_packet(const void *buf, size_t len, void *opaque)
{
    NetUser *u = opaque;

    /* kept until slirp has nothing more to say; what finds no room waits, or is lost */
    net_coalesce_send(&u->coalesce, &u->nc, buf, len);
    if (!u->in_slirp) {
        net_coalesce_flush(&u->coalesce, &u->nc);
    }
    return len;
}

static void enter_slirp(NetUser *u)
{
    if (!u->in_slirp++) {
        net_batch(&u->nc, true);
    }
}

static void leave_slirp(NetUser *u)
{
    if (!--u->in_slirp) {
        net_coalesce_flush(&u->coalesce, &u->nc);
        net_batch(&u->nc, false);
    }
}

static void user_guest_error(const char *msg, void *opaque)
{
    LOG_GUEST("net user: %s", msg);
}

static int64_t user_clock(void *opaque)
{
    return vclock_ns();
}

static void *user_timer_new(SlirpTimerCb cb, void *cb_opaque, void *opaque)
{
    Timer *t = g_new0(Timer, 1);
    timer_init(t, ORRERY_CLOCK_VIRTUAL, cb, cb_opaque);
    return t;
}

static void user_timer_free(void *timer, void *opaque)
{
    timer_del(timer);
    g_free(timer);
}

static void user_timer_mod(void *timer, int64_t ms, void *opaque)
{
    timer_mod(timer, ms * NS_PER_MS);
}

void net_user_kick(void)
{
    if (!g_main_context_is_owner(NULL)) {
        mainloop_wake();
    }
}

static void user_register_fd(int fd, void *opaque)
{
    net_user_kick();
}

static void user_unregister_fd(int fd, void *opaque)
{
}

static void user_notify(void *opaque)
{
    net_user_kick();
}

static const SlirpCb user_callbacks = {
    .send_packet = user_send_packet, .guest_error = user_guest_error, .clock_get_ns = user_clock,
    .timer_new = user_timer_new, .timer_free = user_timer_free, .timer_mod = user_timer_mod,
    .register_poll_fd = user_register_fd, .unregister_poll_fd = user_unregister_fd,
    .notify = user_notify,
};

/* ---- the event loop ------------------------------------------------------------------- */

static GIOCondition to_glib(int events)
{
    return (events & SLIRP_POLL_IN ? G_IO_IN : 0) | (events & SLIRP_POLL_OUT ? G_IO_OUT : 0)
           | (events & SLIRP_POLL_PRI ? G_IO_PRI : 0) | (events & SLIRP_POLL_ERR ? G_IO_ERR : 0)
           | (events & SLIRP_POLL_HUP ? G_IO_HUP : 0);
}

static int from_glib(GIOCondition c)
{
    return (c & G_IO_IN ? SLIRP_POLL_IN : 0) | (c & G_IO_OUT ? SLIRP_POLL_OUT : 0)
           | (c & G_IO_PRI ? SLIRP_POLL_PRI : 0) | (c & G_IO_ERR ? SLIRP_POLL_ERR : 0)
           | (c & G_IO_HUP ? SLIRP_POLL_HUP : 0);
}

/* Descriptor n of this round */
static int add_poll(int fd, int events, void *opaque)
{
    NetUser *u = opaque;
    GPollFD p = { .fd = fd, .events = to_glib(events) };

    g_array_append_val(u->asked, p);
    return u->asked->len - 1;
}

/* What slirp waits for goes to u->asked, and it counts as there from now on.  When it wants to be
 * called at the latest. */
static int64_t ask(NetUser *u)
{
    uint32_t ms = UINT32_MAX;

    g_array_set_size(u->asked, 0);
    slirp_pollfds_fill(u->slirp, &ms, add_poll, u);
    return ms > G_MAXINT ? INT64_MAX : clock_ns(ORRERY_CLOCK_REAL) + ms * NS_PER_MS;
}

static void take_asked(NetUser *u)
{
    GArray *swap = u->waits;

    u->waits = u->asked;
    u->asked = swap;
}

static void user_fill(GArray *fds, int64_t *timeout_ns, void *opaque)
{
    NetUser *u = opaque;

    u->look_again = ask(u);
    u->stale = false;
    take_asked(u);
    g_array_append_vals(fds, u->waits->data, u->waits->len);
    if (u->look_again != INT64_MAX) {
        *timeout_ns = MIN(*timeout_ns, MAX(u->look_again - clock_ns(ORRERY_CLOCK_REAL), 0));
    }
}

/*
 * After a packet from the guest: wakes the main loop if slirp waits for something else now, or
 * wants to be called earlier.  With many connections asking costs more than a loop for nothing.
 */
static void wake_if_needed(NetUser *u)
{
    if (g_main_context_is_owner(NULL) || u->stale) {
        return;                         /* it asks anyway */
    }
    if (u->in_slirp || u->waits->len > FEW_WAITS) {
        net_user_kick();
        return;
    }
    int64_t at = ask(u);
    if (u->asked->len != u->waits->len || at < u->look_again
        || memcmp(u->asked->data, u->waits->data, u->asked->len * sizeof(GPollFD))) {
        take_asked(u);
        u->stale = true;
        net_user_kick();
    }
}

static int get_revents(int n, void *opaque)
{
    NetUser *u = opaque;
    return (unsigned)n < u->n_ready ? from_glib(u->ready[n].revents) : 0;
}

/* Whether something is ready or not: slirp's own timers are looked at here, too. */
static void user_ready(const GPollFD *fds, unsigned n, void *opaque)
{
    NetUser *u = opaque;

    if (u->in_slirp) {
        return;
    }
    /*
     * What these are slirp has forgotten.  Nothing that came since makes u->waits ask for too much: only
     * here is read into slirp's buffers, which it would take for the end of a connection when they are full.
     */
    if (u->stale) {
        g_poll((GPollFD *)u->waits->data, u->waits->len, 0);
        fds = (GPollFD *)u->waits->data;
        n = u->waits->len;
    }
    enter_slirp(u);
    u->ready = fds;
    u->n_ready = n;
    slirp_pollfds_poll(u->slirp, 0, get_revents, u);
    net_user_poll_guestfwds(u);
    leave_slirp(u);
}

static void start_polling(NetUser *u)
{
    u->poller = (MainloopPoller) { .fill = user_fill, .ready = user_ready, .opaque = u };
    mainloop_add_poller(&u->poller);
    u->polling = true;
}

/* ---- the end of the wire -------------------------------------------------------------- */

static void input(NetUser *u, const uint8_t *buf, size_t len)
{
    enter_slirp(u);
    slirp_input(u->slirp, buf, len);
    leave_slirp(u);
    wake_if_needed(u);
}

static bool user_receive(NetClient *nc, const struct iovec *iov, int n, const NetOffload *off)
{
    NetUser *u = (NetUser *)nc;

    if (n == 1) {
        input(u, iov[0].iov_base, iov[0].iov_len);
        return true;
    }
    size_t len = iov_size(iov, n);
    uint8_t small[2048];
    g_autofree uint8_t *large = len > sizeof(small) ? g_malloc(len) : NULL;
    uint8_t *buf = large ? large : small;
    iov_to_buf(iov, n, 0, buf, len);
    input(u, buf, len);
    return true;
}

static void user_close(NetClient *nc)
{
    NetUser *u = (NetUser *)nc;

    net_disconnect(nc);                 /* slirp says good-bye to nobody */
    if (u->polling) {
        mainloop_remove_poller(&u->poller);
    }
    net_user_state_exit(u);
    net_user_free_guestfwds(u);
    if (u->slirp) {
        slirp_cleanup(u->slirp);
    }
    net_coalesce_exit(&u->coalesce);
    g_array_unref(u->waits);
    g_array_unref(u->asked);
}

static const NetOps user_ops = { .model = "user", .receive = user_receive, .close = user_close };

/* ---- options -------------------------------------------------------------------------- */

typedef struct UserOptions {
    bool restricted, ipv4, ipv6;
    const char *hostname, *tftp, *bootfile, *domain, *tftp_server;
    GPtrArray *search;                  /* of const char*, ends with NULL */
    struct in6_addr prefix6, host6, dns6;
    uint64_t prefix_len;
} UserOptions;

static bool take_addr(Opts *o, const char *key, uint32_t def, struct in_addr *out, Error **err)
{
    const char *v = opts_get(o, key);

    out->s_addr = htonl(def);
    return !v || inet_pton(AF_INET, v, out) == 1
           || fail(err, "%s: %s=%s: not an IPv4 address", o->owner, key, v);
}

static bool take_addr6(Opts *o, const char *key, struct in6_addr *out, Error **err)
{
    const char *v = opts_get(o, key);
    return !v || inet_pton(AF_INET6, v, out) == 1
           || fail(err, "%s: %s=%s: not an IPv6 address", o->owner, key, v);
}

/* "10.0.2.0/24", "10.0.2.0/255.255.255.0", or alone: by class. */
static bool take_net(Opts *o, NetUser *u, Error **err)
{
    const char *v = opts_get(o, "net");
    uint64_t bits = 24;

    inet_pton(AF_INET, "10.0.2.0", &u->net);
    inet_pton(AF_INET, "255.255.255.0", &u->mask);
    if (!v) {
        return true;
    }
    g_auto(GStrv) part = g_strsplit(v, "/", 2);
    if (inet_pton(AF_INET, part[0], &u->net) != 1) {
        return fail(err, "%s: net=%s: not of the form ADDRESS[/BITS]", o->owner, v);
    }
    uint32_t a = ntohl(u->net.s_addr), mask;
    if (!part[1]) {
        mask = !(a & 0x80000000) ? 0xff000000 : (a & 0xfff00000) == 0xac100000 ? 0xfff00000
             : (a & 0xc0000000) == 0x80000000 ? 0xffff0000 : 0xffffff00;
    } else if (inet_pton(AF_INET, part[1], &u->mask) == 1) {
        mask = ntohl(u->mask.s_addr);
    } else if (parse_uint(part[1], &bits) && bits >= 4 && bits <= 30) {
        mask = ~0u << (32 - bits);
    } else {
        return fail(err, "%s: net=%s: the network's size is 4 to 30 bits, or a mask", o->owner, v);
    }
    if (!mask || (~mask & (~mask + 1)) || ~mask < 3) {
        return fail(err, "%s: net=%s: impossible network mask", o->owner, v);
    }
    u->mask.s_addr = htonl(mask);
    u->net.s_addr &= u->mask.s_addr;
    return true;
}

static bool inside(Opts *o, const NetUser *u, const char *key, struct in_addr a, Error **err)
{
    return (a.s_addr & u->mask.s_addr) == u->net.s_addr
           || fail(err, "%s: %s: address is not in the network (net=)", o->owner, key);
}

static bool take_v4(Opts *o, NetUser *u, Error **err)
{
    if (!take_net(o, u, err)) {
        return false;
    }
    uint32_t net = ntohl(u->net.s_addr);
    uint32_t room = ~ntohl(u->mask.s_addr);
    if (!take_addr(o, "host", net | (2 & room), &u->host, err)
        || !take_addr(o, "dhcpstart", net | (15 & room), &u->dhcp, err)
        || !take_addr(o, "dns", net | (3 & room), &u->dns, err)
        || !inside(o, u, "host", u->host, err) || !inside(o, u, "dhcpstart", u->dhcp, err)
        || !inside(o, u, "dns", u->dns, err)) {
        return false;
    }
    if (u->host.s_addr == u->dns.s_addr) {
        return fail(err, "%s: dns: the host's address can't be the name server's too", o->owner);
    }
    if (u->dhcp.s_addr == u->host.s_addr || u->dhcp.s_addr == u->dns.s_addr) {
        return fail(err, "%s: dhcpstart: the address is taken by host or name server", o->owner);
    }
    return true;
}

/* Prefix with the last bytes of an address */
static void in_prefix(const UserOptions *opt, uint8_t last, struct in6_addr *out)
{
    *out = opt->prefix6;
    out->s6_addr[15] |= last;
}

/* ipv6-net=PREFIX[/BITS]: ipv6-prefix and ipv6-prefixlen in one. */
static bool take_net6(Opts *o, Error **err)
{
    const char *v = opts_get(o, "ipv6-net");

    if (!v) {
        return true;
    }
    if (opts_has(o, "ipv6-prefix") || opts_has(o, "ipv6-prefixlen")) {
        return fail(err, "%s: ipv6-net: stands for ipv6-prefix and ipv6-prefixlen, and not beside "
                    "them", o->owner);
    }
    g_auto(GStrv) part = g_strsplit(v, "/", 2);
    opts_set(o, "ipv6-prefix", part[0]);
    if (part[0] && part[1]) {
        opts_set(o, "ipv6-prefixlen", part[1]);
    }
    return true;
}

static bool take_v6(Opts *o, UserOptions *opt, Error **err)
{
    inet_pton(AF_INET6, "fec0::", &opt->prefix6);
    if (!take_net6(o, err) || !take_addr6(o, "ipv6-prefix", &opt->prefix6, err)
        || !opts_uint(o, "ipv6-prefixlen", 64, 1, 126, &opt->prefix_len, err)) {
        return false;
    }
    in_prefix(opt, 2, &opt->host6);
    in_prefix(opt, 3, &opt->dns6);
    return take_addr6(o, "ipv6-host", &opt->host6, err)
           && take_addr6(o, "ipv6-dns", &opt->dns6, err);
}

static bool take_names(Opts *o, UserOptions *opt, Error **err)
{
    opt->hostname = opts_get(o, "hostname");
    opt->tftp = opts_get(o, "tftp");
    opt->bootfile = opts_get(o, "bootfile");
    opt->domain = opts_get(o, "domainname");
    opt->tftp_server = opts_get(o, "tftp-server-name");
    if (opts_has(o, "smb") || opts_has(o, "smbserver")) {
        return fail(err, "%s: smb: there is no file server for Windows (tftp=, or a server on the "
                    "host reached at the address host=, work)", o->owner);
    }
    const struct { const char *key, *value; size_t max; } limits[] = {
        { "hostname", opt->hostname, 32 }, { "bootfile", opt->bootfile, 127 },
        { "domainname", opt->domain, 254 }, { "tftp-server-name", opt->tftp_server, 254 },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(limits); i++) {
        if (limits[i].value && strlen(limits[i].value) > limits[i].max) {
            return fail(err, "%s: %s: at most %zu characters", o->owner, limits[i].key,
                        limits[i].max);
        }
    }
    if (opt->tftp && access(opt->tftp, R_OK | X_OK) < 0) {
        return fail_errno(err, errno, "%s: tftp=%s", o->owner, opt->tftp);
    }
    return true;
}

static bool take_family(Opts *o, UserOptions *opt, Error **err)
{
    bool v4 = opts_has(o, "ipv4"), v6 = opts_has(o, "ipv6");

    if (!opts_bool(o, "restrict", false, &opt->restricted, err)
        || !opts_bool(o, "ipv4", true, &opt->ipv4, err)
        || !opts_bool(o, "ipv6", true, &opt->ipv6, err)) {
        return false;
    }
    /* naming one alone as on rules out the other */
    opt->ipv4 = v4 ? opt->ipv4 : !(v6 && opt->ipv6);
    opt->ipv6 = v6 ? opt->ipv6 : !(v4 && opt->ipv4);
    return opt->ipv4 || opt->ipv6 || fail(err, "%s: IPv4 and IPv6 are both off", o->owner);
}

static bool start_slirp(NetUser *u, const UserOptions *opt, Error **err)
{
    SlirpConfig cfg = {
        .version = 1, .restricted = opt->restricted, .in_enabled = opt->ipv4, .vnetwork = u->net,
        .vnetmask = u->mask, .vhost = u->host, .in6_enabled = opt->ipv6,
        .vprefix_addr6 = opt->prefix6, .vprefix_len = opt->prefix_len, .vhost6 = opt->host6,
        .vhostname = opt->hostname, .tftp_server_name = opt->tftp_server, .tftp_path = opt->tftp,
        .bootfile = opt->bootfile, .vdhcp_start = u->dhcp, .vnameserver = u->dns,
        .vnameserver6 = opt->dns6, .vdomainname = opt->domain, .if_mru = USER_MRU,
        .vdnssearch = opt->search->len > 1 ? (const char **)opt->search->pdata : NULL,
    };
    u->slirp = slirp_new(&cfg, &user_callbacks, u);
    return u->slirp || fail(err, "libslirp refuses these options");
}

static bool add_forwards(Opts *o, NetUser *u, Error **err)
{
    g_autoptr(GPtrArray) host = net_opts_list(o, "hostfwd"), guest = net_opts_list(o, "guestfwd");

    for (guint i = 0; i < host->len; i++) {
        if (!net_user_add_hostfwd(u, host->pdata[i], err)) {
            return false;
        }
    }
    for (guint i = 0; i < guest->len; i++) {
        if (!net_user_add_guestfwd(u, guest->pdata[i], err)) {
            return false;
        }
    }
    return true;
}

static bool start_user(Opts *o, NetUser *u, Error **err)
{
    UserOptions opt = { .search = net_opts_list(o, "dnssearch") };

    g_ptr_array_add(opt.search, NULL);
    bool ok = take_family(o, &opt, err) && take_v4(o, u, err) && take_v6(o, &opt, err)
              && take_names(o, &opt, err) && start_slirp(u, &opt, err);
    g_ptr_array_unref(opt.search);
    if (!ok) {
        return false;
    }
    start_polling(u);
    net_user_state_init(u);
    char net[INET_ADDRSTRLEN];
    net_client_set_info(&u->nc, "net=%s,restrict=%s",
                        inet_ntop(AF_INET, &u->net, net, sizeof(net)), opt.restricted ? "on" : "off");
    return add_forwards(o, u, err);
}

static NetClient *user_open(Opts *o, const char *name, Error **err)
{
    NetUser *u = g_new0(NetUser, 1);

    u->guestfwds = g_ptr_array_new();
    u->waits = g_array_new(FALSE, TRUE, sizeof(GPollFD));
    u->asked = g_array_new(FALSE, TRUE, sizeof(GPollFD));
    net_coalesce_init(&u->coalesce);
    net_client_init(&u->nc, &user_ops, "user", name);
    u->nc.takes = NET_TAKES_TSO4 | NET_TAKES_TSO6 | NET_TAKES_ECN;
    if (!start_user(o, u, err)) {
        user_close(&u->nc);
        net_client_exit(&u->nc);
        g_free(u);
        return NULL;
    }
    return &u->nc;
}

static const NetBackend user = {
    .name = "user", .desc = "user-mode networking: NAT, DHCP, DNS, TFTP", .open = user_open,
};
NET_BACKEND(user);

/* ---- for the monitor ------------------------------------------------------------------ */

static void find_first(NetClient *nc, void *opaque)
{
    NetClient **found = opaque;
    if (!*found && nc->ops == &user_ops) {
        *found = nc;
    }
}

static NetUser *find_user(const char *id, Error **err)
{
    NetClient *nc = id ? net_find_backend(id) : NULL;

    if (!id) {
        net_foreach(find_first, &nc);
    }
    if (nc && nc->ops == &user_ops) {
        return (NetUser *)nc;
    }
    if (id) {
        fail(err, "unrecognized netdev id '%s'", id);
    } else {
        fail(err, "user mode network stack not in use");
    }
    return NULL;
}

bool net_user_hostfwd_add(const char *id, const char *rule, Error **err)
{
    NetUser *u = find_user(id, err);
    return u && net_user_add_hostfwd(u, rule, err);
}

bool net_user_hostfwd_remove(const char *id, const char *rule, Error **err)
{
    NetUser *u = find_user(id, err);
    return u && net_user_remove_hostfwd(u, rule, err);
}

static void info_one(NetClient *nc, void *opaque)
{
    if (nc->ops == &user_ops) {
        char *text = slirp_connection_info(((NetUser *)nc)->slirp);
        int hub = nc->peer ? net_hub_of(nc->peer) : NET_HUB_NONE;
        g_string_append_printf(opaque, "Hub %d (%s):\n%s", hub, nc->name, text);
        g_free(text);
    }
}

void net_user_info(GString *out)
{
    net_foreach(info_one, out);
}
