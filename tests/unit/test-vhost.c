/* SPDX-License-Identifier: MIT */
/*
 * net: vhost-net's system calls on a made-up kernel: order, arguments, every error.
 */
#include "net/vhost.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <linux/vhost.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ALL_FEATURES (1ull << 15 | 1ull << 28 | 1ull << 32 | 1ull << VHOST_NET_F_VIRTIO_NET_HDR)

static struct {
    uint64_t features, acked;
    bool owned, mapped;
    struct { unsigned num; uint64_t used; int kick, call, tap; bool based; } ring[VHOST_RINGS];
    unsigned calls, fail_at;            /* the call with this number fails; 0: none */
} kernel;

static int answer(unsigned long request, void *arg)
{
    const struct vhost_vring_state *state = arg;
    const struct vhost_vring_file *file = arg;
    const struct vhost_vring_addr *addr = arg;
    const struct vhost_memory *m = arg;

    switch (request) {
    case VHOST_GET_FEATURES:
        *(uint64_t *)arg = kernel.features;
        return 0;
    case VHOST_SET_OWNER:
        return kernel.owned ? EBUSY : (kernel.owned = true, 0);
    case VHOST_SET_MEM_TABLE:
        g_assert_cmpuint(m->nregions, ==, 1);
        g_assert_cmpuint(m->regions[0].guest_phys_addr, ==, m->regions[0].userspace_addr);
        g_assert_cmpuint((uintptr_t)&kernel - m->regions[0].userspace_addr, <, m->regions[0].memory_size);
        g_assert_cmpuint((uintptr_t)&state - m->regions[0].userspace_addr, <, m->regions[0].memory_size);
        kernel.mapped = true;
        return 0;
    case VHOST_SET_FEATURES:
        kernel.acked = *(uint64_t *)arg;
        return kernel.acked & ~kernel.features ? EOPNOTSUPP : 0;
    case VHOST_SET_VRING_NUM:
        kernel.ring[state->index].num = state->num;
        return kernel.ring[state->index].tap >= 0 ? EBUSY : 0;
    case VHOST_SET_VRING_BASE:
        g_assert_cmpuint(state->num, ==, 0);
        return kernel.ring[state->index].tap >= 0 ? EBUSY : 0;
    case VHOST_GET_VRING_BASE:
        g_assert_cmpint(kernel.ring[state->index].tap, ==, -1);
        ((struct vhost_vring_state *)arg)->num = 7 + state->index;
        return 0;
    case VHOST_SET_VRING_ADDR:
        kernel.ring[addr->index].used = addr->used_user_addr;
        return 0;
    case VHOST_SET_VRING_KICK:
        kernel.ring[file->index].kick = file->fd;
        return 0;
    case VHOST_SET_VRING_CALL:
        kernel.ring[file->index].call = file->fd;
        return 0;
    case VHOST_NET_SET_BACKEND:
        g_assert_true(kernel.owned && kernel.mapped);
        kernel.ring[file->index].tap = file->fd;
        return 0;
    }
    return ENOTTY;
}

static int made_up_ioctl(int fd, unsigned long request, void *arg)
{
    if (++kernel.calls == kernel.fail_at) {
        errno = EIO;
        return -1;
    }
    errno = answer(request, arg);
    return errno ? -1 : 0;
}

static void fresh_kernel(void)
{
    memset(&kernel, 0, sizeof(kernel));
    kernel.features = ALL_FEATURES;
    kernel.ring[VHOST_RX].tap = kernel.ring[VHOST_TX].tap = -1;
    net_vhost_ioctl = made_up_ioctl;
}

static int some_file(void)
{
    int fd = memfd_create("vhost", 0);
    g_assert_cmpint(fd, >=, 0);
    return fd;
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static void refused(const char *words)
{
    Error *err = NULL;
    int fd = some_file();

    g_assert_null(net_vhost_new(fd, &err));
    g_assert_nonnull(strstr(err->message, words));
    g_assert_false(is_open(fd));
    g_clear_error(&err);
}

static void test_refused(void)
{
    fresh_kernel();
    kernel.features &= ~(1ull << 32);
    refused("lacks features 100000000");
    fresh_kernel();
    kernel.owned = true;
    refused("owner");
    for (unsigned n = 1; n <= 3; n++) {
        fresh_kernel();
        kernel.fail_at = n;
        refused("vhost-net: ");
    }
}

static char memory[3][16];
static const VhostRing rings[VHOST_RINGS] = {
    { 256, memory[0], memory[1], memory[2], 101, 102 }, { 64, memory[0], memory[1], memory[2], 103, 104 },
};

static void test_runs(void)
{
    static const struct { VhostHeader h; uint64_t acked; } cases[] = {
        { { 12, true, true }, 1ull << 32 | 1ull << 28 | 1 << 15 },
        { { 12, false, true }, 1ull << 32 | 1ull << 28 },
        { { 10, false, true }, 1ull << 28 },
        { { 12, true, false }, 1ull << 32 | 1ull << 28 | 1 << 27 | 1 << 15 },
    };
    uint16_t taken[VHOST_RINGS];
    Error *err = NULL;

    fresh_kernel();
    NetVhost *v = net_vhost_new(some_file(), &err);
    g_assert_no_error(err);
    for (unsigned n = 0; n < G_N_ELEMENTS(cases); n++) {
        g_assert_true(net_vhost_start(v, 55, &cases[n].h, rings, &err));
        g_assert_cmphex(kernel.acked, ==, cases[n].acked);
        for (unsigned i = 0; i < VHOST_RINGS; i++) {
            g_assert_cmpint(kernel.ring[i].tap, ==, 55);
            g_assert_cmpuint(kernel.ring[i].num, ==, rings[i].size);
            g_assert_cmphex(kernel.ring[i].used, ==, (uintptr_t)memory[2]);
            g_assert_cmpint(kernel.ring[i].kick, ==, rings[i].kick);
            g_assert_cmpint(kernel.ring[i].call, ==, rings[i].call);
        }
        net_vhost_stop(v, taken);
        g_assert_cmpuint(taken[VHOST_RX], ==, 7);
        g_assert_cmpuint(taken[VHOST_TX], ==, 8);
        g_assert_cmpint(kernel.ring[VHOST_RX].tap, ==, -1);
    }
    net_vhost_free(v);
}

/* Whichever call fails, nothing is left running. */
static void test_start_fails(void)
{
    const VhostHeader h = { 12, true, true };

    for (unsigned n = 1; n <= 13; n++) {
        Error *err = NULL;
        uint16_t taken[VHOST_RINGS];
        fresh_kernel();
        NetVhost *v = net_vhost_new(some_file(), &err);
        kernel.fail_at = kernel.calls + n;
        g_assert_false(net_vhost_start(v, 55, &h, rings, &err));
        g_assert_true(g_str_has_prefix(err->message, "vhost-net: "));
        g_assert_cmpint(kernel.ring[VHOST_RX].tap, ==, -1);
        g_assert_cmpint(kernel.ring[VHOST_TX].tap, ==, -1);
        g_clear_error(&err);
        g_assert_true(net_vhost_start(v, 55, &h, rings, &err));
        net_vhost_stop(v, taken);
        net_vhost_free(v);
    }
}

/* The kernel does not say how far it came: its descriptor is closed, which ends its work. */
static void test_stop_fails(void)
{
    const VhostHeader h = { 12, true, true };

    for (unsigned n = 1; n <= 4; n++) {
        Error *err = NULL;
        uint16_t taken[VHOST_RINGS];
        int fd = some_file();
        fresh_kernel();
        NetVhost *v = net_vhost_new(fd, &err);
        g_assert_true(net_vhost_start(v, 55, &h, rings, &err));
        kernel.fail_at = kernel.calls + n;
        g_assert_false(net_vhost_stop(v, taken));
        g_assert_false(is_open(fd));
        net_vhost_free(v);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vhost/refused", test_refused);
    g_test_add_func("/vhost/runs", test_runs);
    g_test_add_func("/vhost/start-fails", test_start_fails);
    g_test_add_func("/vhost/stop-fails", test_stop_fails);
    return g_test_run();
}
