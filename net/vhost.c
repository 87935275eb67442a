/* SPDX-License-Identifier: MIT */
/*
 * vhost-net: the system calls.
 *
 * Source: Linux, linux/vhost.h, linux/vhost_types.h.
 */
#include "net/vhost.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Feature bits that the kernel needs to have: any since 4.0 does. */
#define F_MRG_RXBUF     (1ull << 15)
#define F_INDIRECT      (1ull << 28)
#define F_VERSION_1     (1ull << 32)
#define F_NEEDED        (F_MRG_RXBUF | F_INDIRECT | F_VERSION_1)

/* Where a process of 64 bits has its memory */
#define MEMORY_FIRST    0x1000ull
#define MEMORY_END      0x7ffffffff000ull

struct NetVhost {
    int fd;
};

static int real_ioctl(int fd, unsigned long request, void *arg)
{
    return ioctl(fd, request, arg);
}

int (*net_vhost_ioctl)(int fd, unsigned long request, void *arg) = real_ioctl;

static bool call(const NetVhost *v, unsigned long request, void *arg, const char *what, Error **err)
{
    return net_vhost_ioctl(v->fd, request, arg) >= 0 || fail_errno(err, errno, "vhost-net: %s", what);
}

int net_vhost_open(Error **err)
{
    int fd = open("/dev/vhost-net", O_RDWR | O_CLOEXEC);

    if (fd < 0) {
        fail_errno(err, errno, "tap: open vhost char device failed");
    }
    return fd;
}

/* Addresses in the rings are those of this process: one region, the same on both sides. */
static bool set_memory(const NetVhost *v, Error **err)
{
    size_t size = sizeof(struct vhost_memory) + sizeof(struct vhost_memory_region);
    g_autofree struct vhost_memory *m = g_malloc0(size);

    m->nregions = 1;
    m->regions[0] = (struct vhost_memory_region) {
        .guest_phys_addr = MEMORY_FIRST, .userspace_addr = MEMORY_FIRST,
        .memory_size = MEMORY_END - MEMORY_FIRST,
    };
    return call(v, VHOST_SET_MEM_TABLE, m, "memory table", err);
}

static bool check_features(const NetVhost *v, Error **err)
{
    uint64_t features = 0;

    return call(v, VHOST_GET_FEATURES, &features, "not a vhost-net device", err)
           && ((features & F_NEEDED) == F_NEEDED
               || fail(err, "vhost-net: the kernel lacks features %" G_GINT64_MODIFIER "x",
                       (uint64_t)(F_NEEDED & ~features)));
}

NetVhost *net_vhost_new(int fd, Error **err)
{
    NetVhost *v = g_new0(NetVhost, 1);

    v->fd = fd;
    if (!check_features(v, err) || !call(v, VHOST_SET_OWNER, NULL, "owner", err)
        || !set_memory(v, err)) {
        net_vhost_free(v);
        return NULL;
    }
    return v;
}

void net_vhost_free(NetVhost *v)
{
    if (v) {
        if (v->fd >= 0) {
            close(v->fd);
        }
        g_free(v);
    }
}

static bool set_ring(const NetVhost *v, unsigned index, const VhostRing *r, Error **err)
{
    struct vhost_vring_state num = { .index = index, .num = r->size }, base = { .index = index };
    struct vhost_vring_addr addr = {
        .index = index, .desc_user_addr = (uintptr_t)r->desc, .avail_user_addr = (uintptr_t)r->avail,
        .used_user_addr = (uintptr_t)r->used,
    };
    struct vhost_vring_file kick = { .index = index, .fd = r->kick },
                            done = { .index = index, .fd = r->call };

    return call(v, VHOST_SET_VRING_NUM, &num, "size of a ring", err)
           && call(v, VHOST_SET_VRING_BASE, &base, "begin of a ring", err)
           && call(v, VHOST_SET_VRING_ADDR, &addr, "place of a ring", err)
           && call(v, VHOST_SET_VRING_KICK, &kick, "kick of a ring", err)
           && call(v, VHOST_SET_VRING_CALL, &done, "call of a ring", err);
}

static bool set_backend(const NetVhost *v, unsigned index, int tap, Error **err)
{
    struct vhost_vring_file file = { .index = index, .fd = tap };
    return call(v, VHOST_NET_SET_BACKEND, &file, tap < 0 ? "let go" : "the interface", err);
}

bool net_vhost_start(NetVhost *v, int tap, const VhostHeader *h,
                     const VhostRing rings[VHOST_RINGS], Error **err)
{
    uint64_t features = F_INDIRECT | (h->size > 10 ? F_VERSION_1 : 0) | (h->mergeable ? F_MRG_RXBUF : 0)
                        | (h->on_tap ? 0 : 1ull << VHOST_NET_F_VIRTIO_NET_HDR);
    uint16_t taken[VHOST_RINGS];

    if (!call(v, VHOST_SET_FEATURES, &features, "features", err)
        || !set_ring(v, VHOST_RX, &rings[VHOST_RX], err)
        || !set_ring(v, VHOST_TX, &rings[VHOST_TX], err)) {
        return false;
    }
    if (!set_backend(v, VHOST_RX, tap, err) || !set_backend(v, VHOST_TX, tap, err)) {
        net_vhost_stop(v, taken);
        return false;
    }
    return true;
}

bool net_vhost_stop(NetVhost *v, uint16_t taken[VHOST_RINGS])
{
    Error *err = NULL;

    for (unsigned i = 0; i < VHOST_RINGS; i++) {
        struct vhost_vring_state base = { .index = i };
        if (!set_backend(v, i, -1, &err) || !call(v, VHOST_GET_VRING_BASE, &base, "a ring's end", &err)) {
            error_report("%s; it moves no more packets", err->message);
            g_error_free(err);
            close(v->fd);               /* the kernel lets go of the rings before this returns */
            v->fd = -1;
            return false;
        }
        taken[i] = base.num;
    }
    return true;
}
