/* SPDX-License-Identifier: MIT */
/*
 * -netdev tap: an interface of the host's kernel; -netdev bridge: one that a helper program,
 * which may have the rights we lack, has put into a bridge.
 *
 * With IFF_VNET_HDR a frame has a header that tells what work is left on it (NetOffload); the
 * kernel takes all of it, and gives what the card behind takes.
 *
 * Source: Linux, Documentation/networking/tuntap.rst and linux/if_tun.h.
 */
#include "net/netdev.h"
#include "net/vhost.h"
#include "util/bits.h"
#include "util/iov.h"
#include "util/mainloop.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* struct virtio_net_hdr with the number of buffers, which says nothing here. All queues of an
 * interface have the same. */
#define VNET_HEADER     12u
#define READS           32
#define DEFAULT_UP      "/etc/qemu-ifup"
#define DEFAULT_DOWN    "/etc/qemu-ifdown"
#define DEFAULT_BRIDGE  "br0"

typedef struct NetTap {
    NetClient nc;                       /* always first */
    int fd;
    bool vnet;
    unsigned header;                    /* before each frame, if vnet */
    NetVhost *vhost;                    /* NULL: vhost=off */
    bool by_kernel;                     /* vhost moves the frames now */
    bool detached;                      /* the card does not use this queue */
    char *ifname, *down_script;         /* of queue 0 */
    guint in_watch, out_watch;
    uint8_t in[VNET_HEADER + NET_MAX_FRAME];
} NetTap;

/* ---- frames --------------------------------------------------------------------------------- */

static void take_frame(NetTap *s, size_t len)
{
    const uint8_t *h = s->in;
    NetOffload off = { 0 };
    size_t skip = s->vnet ? s->header : 0;

    if (len <= skip) {
        return;
    }
    if (s->vnet) {
        off = (NetOffload) { .flags = h[0], .gso = h[1], .header_len = ld16_le(h + 2),
                             .gso_size = ld16_le(h + 4), .csum_start = ld16_le(h + 6),
                             .csum_offset = ld16_le(h + 8) };
    }
    struct iovec iov = { s->in + skip, len - skip };
    net_send(&s->nc, &iov, 1, s->vnet ? &off : NULL);
}

static void readable(int fd, GIOCondition cond, void *opaque)
{
    NetTap *s = opaque;

    for (int i = 0; i < READS; i++) {
        ssize_t n = read(fd, s->in, sizeof(s->in));
        if (n <= 0) {
            if (n == 0 || (errno != EAGAIN && errno != EINTR && errno != EIO)) {
                mainloop_unwatch(s->in_watch);      /* the interface is gone */
                s->in_watch = 0;
            }
            return;
        }
        take_frame(s, n);
        if (!net_can_send(&s->nc)) {    /* until tap_writable */
            mainloop_unwatch(s->in_watch);
            s->in_watch = 0;
            return;
        }
    }
}

static void tap_writable(NetClient *nc)
{
    NetTap *s = (NetTap *)nc;
    if (!s->in_watch && !s->by_kernel && !s->detached) {
        s->in_watch = mainloop_watch(s->fd, G_IO_IN, readable, s);
    }
}

static void has_room(int fd, GIOCondition cond, void *opaque)
{
    NetTap *s = opaque;

    mainloop_unwatch(s->out_watch);
    s->out_watch = 0;
    net_flush(&s->nc);
}

static bool tap_can_receive(NetClient *nc)
{
    return !((NetTap *)nc)->out_watch;
}

static bool tap_receive(NetClient *nc, const struct iovec *iov, int n, const NetOffload *off)
{
    NetTap *s = (NetTap *)nc;
    uint8_t h[VNET_HEADER] = { 0 };
    struct iovec all[65] = { { h, s->header } };
    g_autofree uint8_t *copy = NULL;

    if (off && s->vnet) {
        h[0] = off->flags & NET_OFFLOAD_CSUM;
        h[1] = off->gso;
        st16_le(h + 2, off->header_len);
        st16_le(h + 4, off->gso_size);
        st16_le(h + 6, off->csum_start);
        st16_le(h + 8, off->csum_offset);
    }
    if (n <= 64) {
        memcpy(all + 1, iov, n * sizeof(*iov));
    } else {
        size_t len = iov_size(iov, n);
        copy = g_malloc(len);
        iov_to_buf(iov, n, 0, copy, len);
        all[1] = (struct iovec) { copy, len };
        n = 1;
    }
    ssize_t done = s->vnet ? writev(s->fd, all, n + 1) : writev(s->fd, all + 1, n);
    if (done < 0 && errno == EAGAIN) {
        s->out_watch = mainloop_watch(s->fd, G_IO_OUT, has_room, s);
        return false;
    }
    if (done < 0) {
        nc->sent.dropped++;
    }
    return true;
}

/* Tell the kernel what the card takes. */
static void tap_peer_changed(NetClient *nc)
{
    NetTap *s = (NetTap *)nc;
    uint32_t takes = nc->peer ? nc->peer->takes : 0;
    unsigned bits = 0;

    if (!s->vnet) {
        return;
    }
    if (takes & NET_TAKES_CSUM) {
        bits = TUN_F_CSUM | (takes & NET_TAKES_TSO4 ? TUN_F_TSO4 : 0)
               | (takes & NET_TAKES_TSO6 ? TUN_F_TSO6 : 0)
               | (takes & NET_TAKES_ECN ? TUN_F_TSO_ECN : 0);
    }
    ioctl(s->fd, TUNSETOFFLOAD, bits);
}

/* The kernel spreads frames over the queues that are attached. */
static void tap_use_queue(NetClient *nc, bool on)
{
    NetTap *s = (NetTap *)nc;
    struct ifreq ifr = { .ifr_flags = on ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE };

    if (s->detached == !on || ioctl(s->fd, TUNSETQUEUE, &ifr) < 0) {
        return;                         /* EINVAL: there is but this one */
    }
    s->detached = !on;
    mainloop_unwatch(s->in_watch);
    s->in_watch = 0;
    tap_writable(nc);
}

/* ---- the kernel's half ------------------------------------------------------------------------ */

static bool set_header(NetTap *s, unsigned size, Error **err)
{
    int len = size;

    if (s->vnet && ioctl(s->fd, TUNSETVNETHDRSZ, &len) < 0) {
        return fail_errno(err, errno, "tap: a header of %u bytes", size);
    }
    s->header = size;
    return true;
}

static bool tap_vhost_start(NetClient *nc, const VhostHeader *h, const VhostRing *rings, Error **err)
{
    NetTap *s = (NetTap *)nc;
    VhostHeader header = *h;

    header.on_tap = s->vnet;
    if (!set_header(s, h->size, err)) {
        return false;
    }
    if (!net_vhost_start(s->vhost, s->fd, &header, rings, err)) {
        set_header(s, VNET_HEADER, NULL);
        return false;
    }
    s->by_kernel = true;
    mainloop_unwatch(s->in_watch);
    s->in_watch = 0;
    return true;
}

static bool tap_vhost_stop(NetClient *nc, uint16_t *taken)
{
    NetTap *s = (NetTap *)nc;

    bool known = net_vhost_stop(s->vhost, taken);
    set_header(s, VNET_HEADER, NULL);
    s->by_kernel = false;
    tap_writable(nc);
    return known;
}

/* ---- scripts, helper ------------------------------------------------------------------------- */

/* Run a program and wait; keep: a descriptor it inherits, or -1. */
static bool run(char **argv, int keep, Error **err)
{
    int status;
    pid_t pid = fork();

    if (pid < 0) {
        return fail_errno(err, errno, "can't start %s", argv[0]);
    }
    if (pid == 0) {
        for (int fd = 3; fd < 1024; fd++) {
            if (fd != keep) {
                close(fd);
            }
        }
        execv(argv[0], argv);
        _exit(127);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
        return fail(err, "can't start %s", argv[0]);
    }
    return (WIFEXITED(status) && WEXITSTATUS(status) == 0)
           || fail(err, "%s failed with status %d", argv[0],
                   WIFEXITED(status) ? WEXITSTATUS(status) : status);
}

static bool run_script(const char *script, const char *ifname, Error **err)
{
    char *argv[] = { (char *)script, (char *)ifname, NULL };
    return run(argv, -1, err);
}

static int receive_fd(int sock)
{
    char byte, control[CMSG_SPACE(sizeof(int))];
    struct iovec iov = { &byte, 1 };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
                          .msg_controllen = sizeof(control) };
    int fd = -1;

    if (recvmsg(sock, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) > 0) {
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
            memcpy(&fd, CMSG_DATA(c), sizeof(fd));
        }
    }
    return fd;
}

/* The helper opens the tap interface, puts it into the bridge and passes the descriptor. */
static int run_helper(const char *helper, const char *bridge, Error **err)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0) {
        fail_errno(err, errno, "socketpair");
        return -1;
    }
    fcntl(pair[0], F_SETFD, FD_CLOEXEC);
    g_autofree char *fd_arg = g_strdup_printf("--fd=%d", pair[1]);
    g_autofree char *br_arg = g_strdup_printf("--br=%s", bridge);
    char *argv[] = { (char *)helper, (char *)"--use-vnet", fd_arg, br_arg, NULL };
    int fd = run(argv, pair[1], err) ? receive_fd(pair[0]) : -2;
    if (fd == -1) {
        fail(err, "bridge helper %s passed no descriptor", helper);
    }
    close(pair[0]);
    close(pair[1]);
    return MAX(fd, -1);
}

/* ---- making one ------------------------------------------------------------------------------- */

static bool kernel_has_vnet(int fd)
{
    unsigned features = 0;
    return ioctl(fd, TUNGETFEATURES, &features) == 0 && (features & IFF_VNET_HDR);
}

/* name: what is wanted, may hold "%d"; replaced by what it became. */
static int open_tap(char *name, bool vnet, bool multi, bool *has_vnet, Error **err)
{
    struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI };
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0) {
        fail_errno(err, errno, "could not open /dev/net/tun%s",
                   errno == ENOENT ? " (is the module 'tun' loaded?)"
                   : errno == EACCES || errno == EPERM ? " (a tap interface needs root, "
                   "or fd= of one that was opened for us)" : "");
        return -1;
    }
    *has_vnet = vnet && kernel_has_vnet(fd);
    ifr.ifr_flags |= *has_vnet ? IFF_VNET_HDR : 0;
    ifr.ifr_flags |= multi ? IFF_MULTI_QUEUE : 0;
    g_strlcpy(ifr.ifr_name, *name ? name : "tap%d", IFNAMSIZ);
    if (ioctl(fd, TUNSETIFF, &ifr) < 0) {
        fail_errno(err, errno, "could not configure /dev/net/tun (%s)", ifr.ifr_name);
        close(fd);
        return -1;
    }
    g_strlcpy(name, ifr.ifr_name, IFNAMSIZ);
    return fd;
}

/* A tap descriptor from outside: has it a header? */
static bool adopt(int fd, char *name, bool *has_vnet, Error **err)
{
    struct ifreq ifr = { 0 };

    if (ioctl(fd, TUNGETIFF, &ifr) < 0) {
        return fail_errno(err, errno, "fd=%d is not a tap interface", fd);
    }
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    *has_vnet = ifr.ifr_flags & IFF_VNET_HDR;
    g_strlcpy(name, ifr.ifr_name, IFNAMSIZ);
    return true;
}

static void tap_close(NetClient *nc)
{
    NetTap *s = (NetTap *)nc;
    Error *err = NULL;

    net_disconnect(nc);                 /* a card that uses vhost lets go of it */
    net_vhost_free(s->vhost);
    mainloop_unwatch(s->in_watch);
    mainloop_unwatch(s->out_watch);
    if (s->down_script && !run_script(s->down_script, s->ifname, &err)) {
        warn_report("netdev %s: %s", nc->name, err->message);
        g_clear_error(&err);
    }
    close(s->fd);
    g_free(s->ifname);
    g_free(s->down_script);
}

static const NetOps tap_ops = {
    .model = "tap", .receive = tap_receive, .can_receive = tap_can_receive,
    .writable = tap_writable, .peer_changed = tap_peer_changed, .close = tap_close,
    .vhost_start = tap_vhost_start, .vhost_stop = tap_vhost_stop, .use_queue = tap_use_queue,
};

static NetTap *new_tap(const char *model, const char *name, unsigned index, int fd, bool vnet,
                       const char *ifname)
{
    NetTap *s = g_new0(NetTap, 1);
    int len = VNET_HEADER;

    s->fd = fd;
    s->header = VNET_HEADER;
    s->vnet = vnet && ioctl(fd, TUNSETVNETHDRSZ, &len) == 0;
    s->ifname = g_strdup(ifname);
    s->nc.index = index;
    s->nc.takes = s->vnet ? NET_TAKES_CSUM | NET_TAKES_TSO4 | NET_TAKES_TSO6 | NET_TAKES_ECN : 0;
    net_client_init(&s->nc, &tap_ops, model, name);
    if (s->vnet) {
        ioctl(fd, TUNSETOFFLOAD, 0);
    }
    s->in_watch = mainloop_watch(fd, G_IO_IN, readable, s);
    return s;
}

/* ---- options ---------------------------------------------------------------------------------- */

typedef struct TapOptions {
    const char *ifname, *script, *down, *helper, *bridge, *fd, *fds, *vhostfd, *vhostfds;
    bool vnet, need_vnet, vhost;
    uint64_t queues, sndbuf;
} TapOptions;

static bool check_vhost(const TapOptions *t, Error **err)
{
    if (!t->vhost && (t->vhostfd || t->vhostfds)) {
        return fail(err, "vhostfd(s)= is not valid without vhost");
    }
    if (t->vhostfds && !t->fds) {
        return fail(err, "vhostfds= is invalid if fds= wasn't specified");
    }
    if (t->vhostfd && (t->fds || t->queues > 1)) {
        return fail(err, "vhostfd= is one, for one queue; with fds= use vhostfds=");
    }
    return true;
}

static bool take_options(Opts *o, TapOptions *t, Error **err)
{
    bool force;

    *t = (TapOptions) {
        .ifname = opts_get(o, "ifname"), .script = opts_get(o, "script"),
        .down = opts_get(o, "downscript"), .helper = opts_get(o, "helper"),
        .bridge = opts_get(o, "br"), .fd = opts_get(o, "fd"), .fds = opts_get(o, "fds"),
        .vhostfd = opts_get(o, "vhostfd"), .vhostfds = opts_get(o, "vhostfds"),
    };
    if (!opts_bool(o, "vnet_hdr", true, &t->vnet, err) || !opts_bool(o, "vhostforce", false, &force, err)
        || !opts_bool(o, "vhost", force || t->vhostfd || t->vhostfds, &t->vhost, err)
        || !opts_size(o, "sndbuf", 0, &t->sndbuf, err)
        || !opts_uint(o, "queues", 1, 1, NET_QUEUES_MAX, &t->queues, err)) {
        return false;
    }
    if (!check_vhost(t, err)) {
        return false;
    }
    if (opts_has(o, "poll-us")) {
        return fail(err, "poll-us=%s: vhost's thread does not poll here; leave it out",
                    opts_get(o, "poll-us"));
    }
    if (t->sndbuf > INT_MAX) {
        return fail(err, "sndbuf=%" G_GUINT64_FORMAT ": at most %d bytes", t->sndbuf, INT_MAX);
    }
    if (t->bridge && !t->helper) {
        return fail(err, "br=%s: only helper= puts the interface into a bridge (-netdev bridge has "
                    "one by default)", t->bridge);
    }
    t->need_vnet = t->vnet && opts_has(o, "vnet_hdr");
    bool made = t->ifname || t->script || t->down || t->helper || t->queues > 1;
    if ((t->fd || t->fds) && made) {
        return fail(err, "ifname=, script=, downscript=, helper= and queues= are invalid with fd=");
    }
    if (t->helper && (t->ifname || t->script || t->down || t->queues > 1)) {
        return fail(err, "ifname=, script=, downscript= and queues= are invalid with helper=");
    }
    if (t->ifname && strlen(t->ifname) >= IFNAMSIZ) {
        return fail(err, "ifname=%s: at most %d characters", t->ifname, IFNAMSIZ - 1);
    }
    return true;
}

/* sndbuf=: how much the kernel keeps of what nobody takes from the interface; 0 (no limit). */
static bool set_sndbuf(int fd, const TapOptions *t, Error **err)
{
    int size = t->sndbuf ? t->sndbuf : INT_MAX;

    return ioctl(fd, TUNSETSNDBUF, &size) == 0 || !t->sndbuf
           || fail_errno(err, errno, "sndbuf=%" G_GUINT64_FORMAT, t->sndbuf);
}

static bool parse_fd(const char *option, const char *text, int *fd, Error **err)
{
    char *end;
    long n = strtol(text, &end, 10);

    *fd = n;
    return (*text && !*end && n >= 0 && n <= INT_MAX)
           || fail(err, "%s=%s: not a file descriptor", option, text);
}

/* Queue index's half in the kernel, if one is wanted. */
static bool add_vhost(NetTap *s, const TapOptions *t, Error **err)
{
    const char *list = t->vhostfds ? t->vhostfds : t->vhostfd;
    int fd;

    if (!t->vhost) {
        return true;
    }
    if (list) {
        g_auto(GStrv) fds = g_strsplit(list, ":", -1);
        if (s->nc.index >= g_strv_length(fds)) {
            return fail(err, "The number of fds passed does not match the number of vhostfds passed");
        }
        if (!parse_fd("vhostfd", fds[s->nc.index], &fd, err)) {
            return false;
        }
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    } else {
        fd = net_vhost_open(err);
    }
    s->vhost = fd < 0 ? NULL : net_vhost_new(fd, err);
    s->nc.has_vhost = s->vhost;
    return s->vhost;
}

/* vnet_hdr=on, said in so many words, does not do without. */
static bool check_vnet(bool has, const TapOptions *t, Error **err)
{
    return has || !t->need_vnet
           || fail(err, "vnet_hdr=on: the interface has no header for offloads");
}

static NetClient *from_fds(const TapOptions *t, const char *name, Error **err)
{
    g_auto(GStrv) list = g_strsplit(t->fds ? t->fds : t->fd, ":", -1);
    NetTap *first = NULL;

    for (unsigned i = 0; list[i] && i < NET_QUEUES_MAX; i++) {
        char ifname[IFNAMSIZ];
        int fd;
        bool vnet;
        if (!parse_fd("fd", list[i], &fd, err) || !adopt(fd, ifname, &vnet, err) || !check_vnet(vnet, t, err)
            || !set_sndbuf(fd, t, err)) {
            return NULL;
        }
        NetTap *s = new_tap("tap", name, i, fd, vnet, ifname);
        net_client_set_info(&s->nc, "fd=%d", fd);
        if (!add_vhost(s, t, err)) {
            return NULL;
        }
        first = first ? first : s;
    }
    return &first->nc;
}

static NetClient *from_helper(const char *model, const TapOptions *t, const char *name, Error **err)
{
    const char *helper = t->helper, *bridge = t->bridge;
    char ifname[IFNAMSIZ];
    bool vnet;
    const char *program = helper ? helper : "/usr/lib/qemu/qemu-bridge-helper";
    int fd = run_helper(program, bridge ? bridge : DEFAULT_BRIDGE, err);

    if (fd < 0) {
        return NULL;
    }
    if (!adopt(fd, ifname, &vnet, err) || !check_vnet(vnet, t, err) || !set_sndbuf(fd, t, err)) {
        close(fd);
        return NULL;
    }
    NetTap *s = new_tap(model, name, 0, fd, vnet, ifname);
    net_client_set_info(&s->nc, "helper=%s,br=%s", program, bridge ? bridge : DEFAULT_BRIDGE);
    return add_vhost(s, t, err) ? &s->nc : NULL;
}

/* "no", and a default script that is not there, mean none. */
static const char *script_of(const char *given, const char *def)
{
    if (!given) {
        return access(def, X_OK) == 0 ? def : NULL;
    }
    return *given && strcmp(given, "no") ? given : NULL;
}

static NetClient *from_kernel(const TapOptions *t, const char *name, Error **err)
{
    const char *up = script_of(t->script, DEFAULT_UP), *down = script_of(t->down, DEFAULT_DOWN);
    char ifname[IFNAMSIZ] = "";
    NetTap *first = NULL;

    g_strlcpy(ifname, t->ifname ? t->ifname : "", IFNAMSIZ);
    for (unsigned i = 0; i < t->queues; i++) {
        bool vnet;
        int fd = open_tap(ifname, t->vnet, t->queues > 1, &vnet, err);
        if (fd < 0 || !check_vnet(vnet, t, err) || !set_sndbuf(fd, t, err)
            || (!i && up && !run_script(up, ifname, err))) {
            if (fd >= 0) {
                close(fd);
            }
            return NULL;
        }
        NetTap *s = new_tap("tap", name, i, fd, vnet, ifname);
        net_client_set_info(&s->nc, "ifname=%s,script=%s,downscript=%s", ifname, up ? up : "no",
                            down ? down : "no");
        if (!i) {
            s->down_script = g_strdup(down);
            first = s;
        }
        if (!add_vhost(s, t, err)) {
            return NULL;
        }
    }
    return &first->nc;
}

static NetClient *tap_open(Opts *o, const char *name, Error **err)
{
    TapOptions t;

    if (!take_options(o, &t, err)) {
        return NULL;
    }
    NetClient *nc = t.fd || t.fds ? from_fds(&t, name, err)
                    : t.helper ? from_helper("tap", &t, name, err)
                    : from_kernel(&t, name, err);
    return nc;
}

static const NetBackend tap = {
    .name = "tap", .desc = "an interface of the host's kernel", .open = tap_open,
};
NET_BACKEND(tap);

static NetClient *bridge_open(Opts *o, const char *name, Error **err)
{
    TapOptions t = { .helper = opts_get(o, "helper"), .bridge = opts_get(o, "br") };
    return from_helper("bridge", &t, name, err);
}

static const NetBackend bridge_backend = {
    .name = "bridge", .desc = "a tap interface in a bridge, made by a helper program",
    .open = bridge_open,
};
NET_BACKEND(bridge_backend);
