/* SPDX-License-Identifier: MIT */
/*
 * net: checksums, segmentation, coalescing, queues, link, hubs.
 */
#include "net/coalesce.h"
#include "net/hub.h"
#include "net/netdev.h"
#include "net/nic.h"
#include "net/offload.h"
#include "util/bits.h"
#include "util/bql.h"
#include "util/iov.h"

#include <string.h>

#define HEADERS 54

/* ---- an end that keeps what comes -------------------------------------------------------------- */

typedef struct End {
    NetClient nc;                       /* always first */
    GPtrArray *got;                     /* of GByteArray* */
    NetOffload off;                     /* of the last */
    bool full;
    unsigned writable;
} End;

static bool end_can_receive(NetClient *nc)
{
    return !((End *)nc)->full;
}

static bool end_receive(NetClient *nc, const struct iovec *iov, int n, const NetOffload *off)
{
    End *e = (End *)nc;
    GByteArray *a = g_byte_array_new();

    for (int i = 0; i < n; i++) {
        g_byte_array_append(a, iov[i].iov_base, iov[i].iov_len);
    }
    g_ptr_array_add(e->got, a);
    e->off = off ? *off : (NetOffload) { 0 };
    return true;
}

static void end_writable(NetClient *nc)
{
    ((End *)nc)->writable++;
}

static const NetOps end_ops = {
    .model = "end", .can_receive = end_can_receive, .receive = end_receive,
    .writable = end_writable,
};

static End *end_new(const char *name)
{
    End *e = g_new0(End, 1);
    e->got = g_ptr_array_new_with_free_func((GDestroyNotify)g_byte_array_unref);
    net_client_init(&e->nc, &end_ops, "end", name);
    return e;
}

static void end_free(End *e)
{
    net_client_exit(&e->nc);
    g_ptr_array_unref(e->got);
    g_free(e);
}

static const uint8_t *frame_of(End *e, unsigned n, unsigned *len)
{
    GByteArray *a = e->got->pdata[n];
    *len = a->len;
    return a->data;
}

/* ---- frames -------------------------------------------------------------------------------------- */

static uint16_t slow_sum(const uint8_t *p, size_t len)
{
    uint32_t s = 0;
    for (size_t i = 0; i < len; i++) {
        s += i & 1 ? p[i] : p[i] << 8;
    }
    while (s >> 16) {
        s = (s & 0xffff) + (s >> 16);
    }
    return ~s;
}

static void test_sum(void)
{
    uint8_t b[300];
    for (int turn = 0; turn < 2000; turn++) {
        unsigned len = g_test_rand_int_range(0, sizeof(b)), cut;
        for (unsigned i = 0; i < len; i++) {
            b[i] = turn % 3 ? g_test_rand_int() : 0xff;
        }
        cut = len ? g_test_rand_int_range(0, len + 1) & ~1 : 0;
        g_assert_cmphex(net_sum_done(net_sum(0, b, len)), ==, slow_sum(b, len));
        g_assert_cmphex(net_sum_done(net_sum(net_sum(0, b, cut), b + cut, len - cut)), ==,
                        slow_sum(b, len));
    }
}

/* A TCP segment with right checksums. */
static unsigned make_tcp(uint8_t *f, uint32_t seq, unsigned data, uint8_t flags)
{
    unsigned len = HEADERS + data;
    memset(f, 0, HEADERS);
    f[5] = 1;
    f[11] = 2;
    st16_be(f + 12, 0x0800);
    f[14] = 0x45;
    st16_be(f + 16, len - 14);
    f[22] = 64;
    f[23] = 6;
    st32_be(f + 26, 0x0a000201);
    st32_be(f + 30, 0x0a00020f);
    st16_be(f + 24, net_sum_done(net_sum(0, f + 14, 20)));
    st16_be(f + 34, 80);
    st16_be(f + 36, 1000);
    st32_be(f + 38, seq);
    f[46] = 0x50;
    f[47] = flags;
    for (unsigned i = 0; i < data; i++) {
        f[HEADERS + i] = (seq + i) * 7;
    }
    st16_be(f + 50, net_sum_done(net_sum(net_sum_pseudo(f + 14, false, 6, 20 + data), f + 34,
                                         20 + data)));
    return len;
}

static void check_tcp(const uint8_t *f, unsigned len, uint32_t seq, unsigned data)
{
    NetHeaders h;
    g_assert_cmpuint(len, ==, HEADERS + data);
    g_assert_true(net_parse(f, len, &h));
    g_assert_cmpuint(h.payload, ==, HEADERS);
    g_assert_cmpuint(h.end, ==, len);
    g_assert_cmphex(slow_sum(f + 14, 20), ==, 0);
    uint32_t sum = net_sum_pseudo(f + 14, false, 6, 20 + data);
    g_assert_cmphex(net_sum_done(net_sum(sum, f + 34, 20 + data)), ==, 0);
    g_assert_cmpuint(ld32_be(f + 38), ==, seq);
    for (unsigned i = 0; i < data; i++) {
        g_assert_cmphex(f[HEADERS + i], ==, (uint8_t)((seq + i) * 7));
    }
}

/* Cut up for an end that takes nothing; in one piece, but finished, for one that takes TSO. */
static void test_segments(void)
{
    End *a = end_new("a"), *b = end_new("b");
    g_autofree uint8_t *f = g_malloc(65536);
    unsigned len = make_tcp(f, 5000, 10000, 0x18);
    NetOffload off = { .flags = NET_OFFLOAD_CSUM, .gso = NET_GSO_TCP4, .gso_size = 1460,
                       .csum_start = 34, .csum_offset = 16 };
    struct iovec iov[3] = { { f, 20 }, { f + 20, 1000 }, { f + 1020, len - 1020 } };

    net_connect(&a->nc, &b->nc);
    g_assert_true(net_send(&a->nc, iov, 3, &off));
    g_assert_cmpuint(b->got->len, ==, 7);
    for (unsigned i = 0; i < 7; i++) {
        const uint8_t *s = frame_of(b, i, &len);
        check_tcp(s, len, 5000 + 1460 * i, i < 6 ? 1460 : 10000 - 6 * 1460);
        g_assert_cmphex(s[47], ==, i < 6 ? 0x10 : 0x18);
    }
    g_ptr_array_set_size(b->got, 0);
    b->nc.takes = NET_TAKES_TSO4;
    net_send(&a->nc, iov, 3, &off);
    g_assert_cmpuint(b->got->len, ==, 1);
    check_tcp(frame_of(b, 0, &len), HEADERS + 10000, 5000, 10000);
    b->nc.takes |= NET_TAKES_CSUM;
    net_send(&a->nc, iov, 3, &off);
    g_assert_cmphex(b->off.gso, ==, NET_GSO_TCP4);
    g_assert_cmphex(b->off.flags, ==, NET_OFFLOAD_CSUM);
    end_free(a);
    end_free(b);
}

/* Headers that lie: nothing is read or written outside (the sanitizers look). */
static void test_hostile(void)
{
    End *a = end_new("a"), *b = end_new("b");

    net_connect(&a->nc, &b->nc);
    for (int turn = 0; turn < 20000; turn++) {
        unsigned data = g_test_rand_int_range(0, 3000);
        g_autofree uint8_t *f = g_malloc(HEADERS + data);
        unsigned len = make_tcp(f, 1, data, 0x10);
        for (int i = g_test_rand_int_range(0, 4); i > 0; i--) {
            f[12 + g_test_rand_int_range(0, 42)] = g_test_rand_int();
        }
        len = g_test_rand_int_range(1, len + 1);
        g_autofree uint8_t *exact = g_memdup2(f, len);
        NetOffload off = { .flags = g_test_rand_int(), .gso = g_test_rand_int_range(0, 6),
                           .gso_size = g_test_rand_bit() ? g_test_rand_int() : 3,
                           .csum_start = g_test_rand_int_range(0, 70),
                           .csum_offset = g_test_rand_bit() ? 16 : g_test_rand_int() };
        struct iovec iov = { exact, len };
        NetHeaders h;
        net_parse(exact, len, &h);
        net_send(&a->nc, &iov, 1, &off);
        g_ptr_array_set_size(b->got, 0);
    }
    end_free(a);
    end_free(b);
}

static void test_coalesce(void)
{
    End *a = end_new("a"), *b = end_new("b");
    NetCoalesce c = { 0 };
    uint8_t f[2000];
    unsigned len;
    uint32_t seq = 100;

    net_connect(&a->nc, &b->nc);
    net_coalesce_init(&c);
    /* an end that takes none gets each at once */
    len = make_tcp(f, seq, 1460, 0x10);
    net_coalesce_send(&c, &a->nc, f, len);
    g_assert_cmpuint(b->got->len, ==, 1);
    b->nc.takes = NET_TAKES_CSUM | NET_TAKES_TSO4;
    g_ptr_array_set_size(b->got, 0);
    for (int i = 0; i < 5; i++) {
        len = make_tcp(f, seq, i < 4 ? 1460 : 100, i < 4 ? 0x10 : 0x18);
        net_coalesce_send(&c, &a->nc, f, len);
        seq += i < 4 ? 1460 : 100;
    }
    g_assert_cmpuint(b->got->len, ==, 0);
    net_coalesce_flush(&c, &a->nc);
    g_assert_cmpuint(b->got->len, ==, 1);
    const uint8_t *s = frame_of(b, 0, &len);
    g_assert_cmpuint(len, ==, HEADERS + 4 * 1460 + 100);
    g_assert_cmpuint(b->off.gso_size, ==, 1460);
    /* the sum that is left to do makes it right */
    g_autofree uint8_t *copy = g_memdup2(s, len);
    g_assert_true(net_fill_checksum(copy, len, &b->off));
    check_tcp(copy, len, 100, 4 * 1460 + 100);
    /* a gap, another flow, a flag: not joined */
    g_ptr_array_set_size(b->got, 0);
    net_coalesce_send(&c, &a->nc, f, make_tcp(f, 1, 500, 0x10));
    net_coalesce_send(&c, &a->nc, f, make_tcp(f, 502, 500, 0x10));
    g_assert_cmpuint(b->got->len, ==, 1);
    make_tcp(f, 1002, 500, 0x10);
    f[37] ^= 1;
    net_coalesce_send(&c, &a->nc, f, HEADERS + 500);
    g_assert_cmpuint(b->got->len, ==, 2);
    net_coalesce_send(&c, &a->nc, f, make_tcp(f, 1502, 500, 0x11));
    g_assert_cmpuint(b->got->len, ==, 4);
    /* never more than IP can say */
    g_ptr_array_set_size(b->got, 0);
    for (int i = 0; i < 100; i++) {
        net_coalesce_send(&c, &a->nc, f, make_tcp(f, 9000 + 1460 * i, 1460, 0x10));
    }
    net_coalesce_flush(&c, &a->nc);
    unsigned total = 0;
    for (unsigned i = 0; i < b->got->len; i++) {
        frame_of(b, i, &len);
        g_assert_cmpuint(len, <=, 65535 + 14);
        total += len - HEADERS;
    }
    g_assert_cmpuint(total, ==, 146000);
    net_coalesce_exit(&c);
    end_free(a);
    end_free(b);
}

/* ---- wires --------------------------------------------------------------------------------------- */

/* As Linux' e1000 driver leaves it: no lengths, no sums. */
static void test_prepare_large(void)
{
    g_autofree uint8_t *f = g_malloc0(4000);
    unsigned len = make_tcp(f, 1, 3000, 0x10);

    memset(f + 16, 0, 2);
    memset(f + 24, 0, 2);
    memset(f + 50, 0xee, 2);
    net_prepare_large(f, len);
    g_assert_cmpuint(ld16_be(f + 16), ==, len - 14);
    g_assert_cmphex(net_sum_done(net_sum(0, f + 14, 20)), ==, 0);
    NetOffload off = { .flags = NET_OFFLOAD_CSUM, .csum_start = 34, .csum_offset = 16 };
    g_assert_true(net_fill_checksum(f, len, &off));
    g_assert_cmphex(net_sum_done(net_sum(net_sum_pseudo(f + 14, false, 6, len - 34), f + 34,
                                         len - 34)), ==, 0);
}

static void test_queue(void)
{
    End *a = end_new("a"), *b = end_new("b");
    uint8_t f[60] = { 0 };
    unsigned len;

    g_assert_true(net_send_buf(&a->nc, f, sizeof(f)));          /* to nobody */
    net_connect(&a->nc, &b->nc);
    b->full = true;
    for (unsigned i = 0; i < NET_QUEUE_FRAMES + 10; i++) {
        f[20] = i;
        g_assert_false(net_send_buf(&a->nc, f, sizeof(f)));
    }
    g_assert_cmpuint(net_waiting(&b->nc), ==, NET_QUEUE_FRAMES);
    g_assert_cmpuint(a->nc.sent.dropped, ==, 10);
    g_assert_false(net_can_send(&a->nc));
    b->full = false;
    net_flush(&b->nc);
    g_assert_cmpuint(b->got->len, ==, NET_QUEUE_FRAMES);
    g_assert_cmpuint(frame_of(b, 7, &len)[20], ==, 7);
    g_assert_cmpuint(a->writable, ==, 1);
    /* who only asked is told, too */
    b->full = true;
    g_assert_false(net_can_send(&a->nc));
    b->full = false;
    net_flush(&b->nc);
    g_assert_cmpuint(a->writable, ==, 2);
    net_flush(&b->nc);
    g_assert_cmpuint(a->writable, ==, 2);
    g_ptr_array_set_size(b->got, 0);
    /* the link */
    g_assert_true(net_set_link("b", false, NULL));
    g_ptr_array_set_size(b->got, 0);
    g_assert_true(net_send_buf(&a->nc, f, sizeof(f)));
    g_assert_cmpuint(b->got->len, ==, 0);
    g_assert_true(net_set_link("b", true, NULL));
    g_assert_true(net_send_buf(&a->nc, f, sizeof(f)));
    g_assert_cmpuint(b->got->len, ==, 1);
    g_assert_false(net_set_link("c", true, NULL));
    end_free(b);
    g_assert_null(a->nc.peer);
    end_free(a);
}

static void test_hub(void)
{
    End *e[3];
    NetClient *port[3];
    uint8_t f[60] = { 0 };

    for (int i = 0; i < 3; i++) {
        e[i] = end_new(i == 0 ? "a" : i == 1 ? "b" : "c");
        port[i] = net_hub_add_port(7, NULL);
        net_connect(&e[i]->nc, port[i]);
    }
    net_send_buf(&e[0]->nc, f, sizeof(f));
    g_assert_cmpuint(e[0]->got->len, ==, 0);
    g_assert_cmpuint(e[1]->got->len, ==, 1);
    g_assert_cmpuint(e[2]->got->len, ==, 1);
    g_assert_cmpint(net_hub_of(port[0]), ==, 7);
    for (int i = 0; i < 3; i++) {
        end_free(e[i]);
    }
    netdev_cleanup();
}

static void test_macs(void)
{
    NicConf c[3] = { { .mac = { 0 } } };
    NetClient nc[3];

    for (int i = 0; i < 3; i++) {
        g_assert_true(nic_init(&c[i], &nc[i], 1, &end_ops, "card", NULL, NULL, NULL));
        g_assert_cmphex(c[i].mac[5], ==, 0x56 + i);
    }
    g_assert_cmpstr(nc[1].name, ==, "card.1");
    nic_exit(&c[1], &nc[1], 1);
    c[1] = (NicConf) { .mac = { 0 } };
    g_assert_true(nic_init(&c[1], &nc[1], 1, &end_ops, "card", "x", NULL, NULL));
    g_assert_cmphex(c[1].mac[5], ==, 0x57);
    for (int i = 0; i < 3; i++) {
        nic_exit(&c[i], &nc[i], 1);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    bql_lock();
    g_test_add_func("/net/sum", test_sum);
    g_test_add_func("/net/segments", test_segments);
    g_test_add_func("/net/hostile", test_hostile);
    g_test_add_func("/net/coalesce", test_coalesce);
    g_test_add_func("/net/prepare-large", test_prepare_large);
    g_test_add_func("/net/queue", test_queue);
    g_test_add_func("/net/hub", test_hub);
    g_test_add_func("/net/macs", test_macs);
    return g_test_run();
}
