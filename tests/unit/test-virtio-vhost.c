/* SPDX-License-Identifier: MIT */
/*
 * virtio-net with vhost: a driver (a legacy one, two split rings in RAM) on one side, a made-up
 * kernel on the other.
 */
#include "hw/net/virtio-net.h"
#include "net/vhost.h"
#include "util/bits.h"
#include "util/bql.h"
#include "util/mainloop.h"

#include <string.h>
#include <unistd.h>

#define RAM_SIZE    0x100000
#define ENTRIES     64
#define RX_RING     0x10000
#define TX_RING     0x20000
#define BUFFERS     0x40000             /* 2 KiB each */
#define HEADER      12

/* ---- the kernel: both rings as given, and how far it came in each ------------------------------- */

typedef struct Backend {
    NetClient nc;                       /* always first */
    VhostRing ring[VHOST_RINGS];
    uint16_t seen[VHOST_RINGS], used[VHOST_RINGS];
    VhostHeader header;
    bool runs, refuses, forgets;        /* forgets: how far it came is not known */
    unsigned starts, frames;            /* frames: those that came the other way */
} Backend;

static Backend kernel;

static bool kernel_start(NetClient *nc, const VhostHeader *h, const VhostRing *rings, Error **err)
{
    g_assert_false(kernel.runs);
    if (kernel.refuses) {
        return fail(err, "not today");
    }
    memcpy(kernel.ring, rings, sizeof(kernel.ring));
    memset(kernel.seen, 0, sizeof(kernel.seen));
    memset(kernel.used, 0, sizeof(kernel.used));
    kernel.header = *h;
    kernel.runs = true;
    kernel.starts++;
    return true;
}

static bool kernel_stop(NetClient *nc, uint16_t *taken)
{
    g_assert_true(kernel.runs);
    if (!kernel.forgets) {
        memcpy(taken, kernel.seen, sizeof(kernel.seen));
    }
    kernel.runs = false;
    return !kernel.forgets;
}

static bool kernel_receive(NetClient *nc, const struct iovec *iov, int n, const NetOffload *off)
{
    kernel.frames++;
    return true;
}

static const NetOps kernel_ops = {
    .model = "tap", .receive = kernel_receive, .vhost_start = kernel_start, .vhost_stop = kernel_stop,
};

static unsigned lent(unsigned r)
{
    return (uint16_t)(ld16_le((uint8_t *)kernel.ring[r].avail + 2) - kernel.seen[r]);
}

/* The next element's buffers; gives its id. */
static unsigned take(unsigned r, struct iovec *iov, unsigned *n)
{
    const VhostRing *k = &kernel.ring[r];
    unsigned id = ld16_le((uint8_t *)k->avail + 4 + 2 * (kernel.seen[r]++ % k->size));
    const uint8_t *d = (uint8_t *)k->desc + 16 * id;
    unsigned count = 1;

    if (ld16_le(d + 12) & 4) {
        count = ld32_le(d + 8) / 16;
        d = (uint8_t *)(uintptr_t)ld64_le(d);
    }
    for (*n = 0; *n < count; (*n)++, d += 16) {
        iov[*n] = (struct iovec) { (void *)(uintptr_t)ld64_le(d), ld32_le(d + 8) };
        g_assert_cmpuint(ld16_le(d + 12) & 2, ==, r == VHOST_RX ? 2 : 0);
    }
    return id;
}

static void use(unsigned r, unsigned id, unsigned len)
{
    const VhostRing *k = &kernel.ring[r];
    uint8_t *u = (uint8_t *)k->used + 4 + 8 * (kernel.used[r]++ % k->size);
    st32_le(u, id);
    st32_le(u + 4, len);
}

/* What was used becomes visible. */
static void call(unsigned r)
{
    const uint64_t one = 1;

    st16_le((uint8_t *)kernel.ring[r].used + 2, kernel.used[r]);
    g_assert_cmpint(write(kernel.ring[r].call, &one, sizeof(one)), ==, sizeof(one));
    for (unsigned n = 0; n < 20; n++) {
        mainloop_iterate(false);
    }
}

/* ---- the driver ------------------------------------------------------------------------------- */

static VirtIONet *net;
static Region ram;
static Device dev;
static unsigned interrupts;
static const DeviceType type = { .name = "virtio-net" };

static void notify(VirtIODevice *v, uint16_t vector, uint8_t isr)
{
    interrupts++;
}

static uint8_t *at(uint32_t addr)
{
    return region_host(&ram) + addr;
}

static uint16_t avail_idx(uint32_t ring)
{
    return ld16_le(at(ring + 16 * ENTRIES + 2));
}

static uint16_t used_idx(uint32_t ring)
{
    return ld16_le(at(ring + 4096 + 2));
}

static uint32_t used_len(uint32_t ring, unsigned i)
{
    return ld32_le(at(ring + 4096 + 4 + 8 * i + 4));
}

/* A chain of n buffers of len bytes from descriptor first on. */
static void add(uint32_t ring, unsigned first, unsigned n, uint32_t len, unsigned flags)
{
    uint8_t *avail = at(ring + 16 * ENTRIES);
    uint16_t idx = avail_idx(ring);

    for (unsigned i = first; i < first + n; i++) {
        st64_le(at(ring + 16 * i), BUFFERS + 2048 * i + (ring == TX_RING ? 0x20000 : 0));
        st32_le(at(ring + 16 * i + 8), len);
        st16_le(at(ring + 16 * i + 12), flags | (i + 1 < first + n ? 1 : 0));
        st16_le(at(ring + 16 * i + 14), i + 1);
    }
    st16_le(avail + 4 + 2 * (idx % ENTRIES), first);
    st16_le(avail + 2, idx + 1);
}

static void turn(void)
{
    for (unsigned n = 0; n < 20; n++) {
        mainloop_iterate(false);
    }
}

static void kick(unsigned queue)
{
    virtio_queue_kick(&net->vdev, queue);
    turn();
}

static void driver_starts(void)
{
    memset(region_host(&ram), 0, RAM_SIZE);
    virtio_set_status(&net->vdev, 0);
    virtio_set_status(&net->vdev, 3);
    virtio_set_features(&net->vdev, 1 << NET_F_MRG_RXBUF, true);
    virtio_queue_set_legacy(&net->vdev, 0, RX_RING);
    virtio_queue_set_legacy(&net->vdev, 1, TX_RING);
    virtio_set_status(&net->vdev, 7);
    turn();
}

static void begin(void)
{
    net = g_new0(VirtIONet, 1);
    kernel = (Backend) { .nc.has_vhost = true };
    interrupts = 0;
    net_client_init(&kernel.nc, &kernel_ops, "tap", "w");
    g_assert_true(region_init_ram(&ram, "ram", RAM_SIZE, NULL));
    region_map(system_memory(), 0, &ram, 0);
    dev = (Device) { .type = &type };
    net->conf.netdev = &kernel.nc;
    net->rx_queue_size = net->tx_queue_size = ENTRIES;
    net->burst = 256;
    net->speed = -1;
    net->mrg_rxbuf = net->csum = net->guest_csum = net->vdev.indirect = net->vdev.event_idx = true;
    g_assert_true(virtio_net_realize(net, &dev, NULL));
    net->vdev.transport = (VirtIOTransport) { .notify = notify, .dma = &address_space_memory };
    driver_starts();
}

static void end(void)
{
    virtio_net_vhost_exit(net);
    g_assert_false(kernel.runs);
    virtio_net_unrealize(net);
    turn();
    g_free(net);
    net_client_exit(&kernel.nc);
    region_destroy(&ram);
}

/* ---- tests -------------------------------------------------------------------------------------- */

static void test_moves(void)
{
    struct iovec iov[8];
    unsigned n, id[2];

    begin();
    g_assert_true(kernel.runs && kernel.header.size == HEADER && kernel.header.mergeable);
    add(RX_RING, 0, 1, 2048, 2);
    add(RX_RING, 1, 2, 2048, 2);
    kick(0);
    g_assert_cmpuint(lent(VHOST_RX), ==, 2);
    id[0] = take(VHOST_RX, iov, &n);
    g_assert_cmpuint(n, ==, 1);
    g_assert_true(iov[0].iov_base == at(BUFFERS));
    id[1] = take(VHOST_RX, iov, &n);
    g_assert_cmpuint(n, ==, 2);
    g_assert_true(iov[1].iov_base == at(BUFFERS + 4096) && iov[1].iov_len == 2048);

    /* one frame in both: the driver sees them together, and dirty logs what was written */
    dirty_start(&ram, DIRTY_MIGR);
    dirty_snapshot(&ram, DIRTY_MIGR, 0, RAM_SIZE, NULL);
    st16_le(at(BUFFERS + 10), 2);
    use(VHOST_RX, id[0], 2048);
    use(VHOST_RX, id[1], 100);
    g_assert_cmpuint(used_idx(RX_RING), ==, 0);
    call(VHOST_RX);
    g_assert_cmpuint(used_idx(RX_RING), ==, 2);
    g_assert_cmpuint(used_len(RX_RING, 0), ==, 2048);
    g_assert_cmpuint(used_len(RX_RING, 1), ==, 100);
    g_assert_cmpuint(interrupts, ==, 1);
    g_assert_true(dirty_test(&ram, DIRTY_MIGR, BUFFERS, 2048));
    g_assert_true(dirty_test(&ram, DIRTY_MIGR, RX_RING + 4096, 16));
    g_assert_false(dirty_test(&ram, DIRTY_MIGR, BUFFERS + 4096, 2048));
    dirty_stop(&ram, DIRTY_MIGR);
    g_assert_cmpuint(kernel.nc.sent.frames, ==, 1);
    g_assert_cmpuint(kernel.nc.sent.bytes, ==, 2048 + 100 - HEADER);

    add(TX_RING, 0, 3, 100, 0);
    kick(1);
    g_assert_cmpuint(lent(VHOST_TX), ==, 1);
    id[0] = take(VHOST_TX, iov, &n);
    g_assert_cmpuint(n, ==, 3);
    use(VHOST_TX, id[0], 0);
    call(VHOST_TX);
    g_assert_cmpuint(used_idx(TX_RING), ==, 1);
    g_assert_cmpuint(net->nc[0].sent.bytes, ==, 300 - HEADER);
    end();
}

/* Machine stopped: what the kernel did not take is in the driver's ring as if never popped; also
 * when it doesn't say how far it came. */
static void test_stops(gconstpointer forgets)
{
    struct iovec iov[8];
    unsigned n;

    begin();
    kernel.forgets = GPOINTER_TO_INT(forgets);
    for (unsigned i = 0; i < 5; i++) {
        add(RX_RING, i, 1, 2048, 2);
    }
    kick(0);
    g_assert_cmpuint(lent(VHOST_RX), ==, 5);
    use(VHOST_RX, take(VHOST_RX, iov, &n), 60);
    st16_le((uint8_t *)kernel.ring[VHOST_RX].used + 2, 1);      /* and no call yet */
    net_set_running(false);
    g_assert_false(kernel.runs);
    g_assert_cmpuint(used_idx(RX_RING), ==, 1);
    g_assert_cmpuint(virtqueue_in_flight(virtio_queue(&net->vdev, 0)), ==, 0);
    net_set_running(true);
    g_assert_true(kernel.runs);
    g_assert_cmpuint(lent(VHOST_RX), ==, 4);
    take(VHOST_RX, iov, &n);
    g_assert_true(iov[0].iov_base == at(BUFFERS + 2048));
    kernel.seen[VHOST_RX]--;

    g_assert_true(net_set_link("w", false, NULL));
    g_assert_false(kernel.runs);
    g_assert_true(net_set_link("w", true, NULL));
    g_assert_true(kernel.runs);
    virtio_set_status(&net->vdev, 0);
    g_assert_false(kernel.runs);
    driver_starts();
    g_assert_true(kernel.runs);
    net_disconnect(&kernel.nc);
    g_assert_false(kernel.runs);
    end();
}

/* RAM with lent buffers goes away: not without the kernel letting go of it. */
static void test_memory_map(void)
{
    Region more;

    begin();
    g_assert_true(region_init_ram(&more, "more", 0x10000, NULL));
    region_map(system_memory(), 0x200000, &more, 0);
    g_assert_cmpuint(kernel.starts, ==, 1);
    add(RX_RING, 0, 1, 2048, 2);
    st64_le(at(RX_RING), 0x200000);
    kick(0);
    g_assert_cmpuint(lent(VHOST_RX), ==, 1);
    region_unmap(&more);
    /* the driver's buffer is not in RAM any more, which breaks the device */
    g_assert_cmpuint(kernel.starts, ==, 2);
    turn();
    region_destroy(&more);
    g_assert_true(net->vdev.broken);
    kick(1);
    g_assert_true(!kernel.runs || !lent(VHOST_RX));
    end();
}

static void test_refused(void)
{
    struct iovec iov = { (char[60]) { 0 }, 60 };

    begin();
    kernel.refuses = true;
    driver_starts();
    g_assert_false(kernel.runs);
    add(RX_RING, 0, 1, 2048, 2);
    kick(0);
    g_assert_true(net_send(&kernel.nc, &iov, 1, NULL));
    turn();
    g_assert_cmpuint(used_idx(RX_RING), ==, 1);
    add(TX_RING, 0, 1, 100, 0);
    kick(1);
    g_assert_cmpuint(kernel.frames, ==, 1);
    g_assert_cmpuint(used_idx(TX_RING), ==, 1);
    kernel.refuses = false;
    driver_starts();
    g_assert_true(kernel.runs);
    end();
}

/* What the kernel would stumble over does not get there. */
static void test_hostile(void)
{
    begin();
    add(TX_RING, 0, 1, 20, 0);                          /* header, and no frame */
    add(TX_RING, 1, 1, 100, 2);
    kick(1);
    g_assert_cmpuint(lent(VHOST_TX), ==, 0);
    g_assert_true(net->vdev.broken);                    /* by the one without a header to read */
    g_assert_false(kernel.runs);

    driver_starts();
    g_assert_true(kernel.runs);
    add(TX_RING, 0, 1, 20, 0);
    kick(1);
    g_assert_cmpuint(used_idx(TX_RING), ==, 1);
    g_assert_true(kernel.runs);
    add(RX_RING, 0, 1, HEADER - 1, 2);
    kick(0);
    g_assert_true(net->vdev.broken);
    g_assert_false(kernel.runs);

    driver_starts();
    add(RX_RING, 0, 1, 2048, 0);                        /* to be read, for reception */
    kick(0);
    g_assert_true(net->vdev.broken);
    end();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    mainloop_init();
    memory_init();
    g_test_add_func("/virtio-vhost/moves", test_moves);
    g_test_add_data_func("/virtio-vhost/stops", GINT_TO_POINTER(false), test_stops);
    g_test_add_data_func("/virtio-vhost/stops-unknown", GINT_TO_POINTER(true), test_stops);
    g_test_add_func("/virtio-vhost/memory-map", test_memory_map);
    g_test_add_func("/virtio-vhost/refused", test_refused);
    g_test_add_func("/virtio-vhost/hostile", test_hostile);
    return g_test_run();
}
