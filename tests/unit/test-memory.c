/* SPDX-License-Identifier: MIT */
/*
 * Guest memory: flattening against a slow recursive look-up on random trees, listeners against
 * a fresh view, accesses of every width, dirty logging, lock-free readers beside changes.
 */
#include "memory/flatview.h"
#include "memory/memory.h"
#include "util/bql.h"
#include "util/rcu.h"

#include <string.h>

/* ---- random trees ------------------------------------------------------------------- */

#define N_REGIONS 40
#define N_RAM 6

typedef struct Found {
    Region *region;
    hwaddr off;
    bool readonly;
} Found;

/* What the tree means, by definition: a is relative to r's parent. */
static bool slow_lookup(Region *r, __int128 a, bool readonly, Found *out)
{
    a -= r->addr;
    if (!r->enabled || a < 0 || a >= (__int128)r->size) {
        return false;
    }
    readonly |= r->readonly;
    if (r->kind == REGION_ALIAS) {
        return r->target && slow_lookup(r->target, a + r->target_off + r->target->addr, readonly, out);
    }
    for (guint i = 0; r->children && i < r->children->len; i++) {
        if (slow_lookup(g_ptr_array_index(r->children, i), a, readonly, out)) {
            return true;
        }
    }
    if (r->kind == REGION_CONTAINER) {
        return false;
    }
    *out = (Found) { r, (hwaddr)a, readonly };
    return true;
}

static uint64_t null_read(void *opaque, hwaddr addr, unsigned size)
{
    return 0;
}

static const RegionOps null_ops = { .read = null_read };

static hwaddr random_addr(void)
{
    switch (g_test_rand_int_range(0, 8)) {
    case 0:
        return 0;
    case 1:
        return (hwaddr)g_test_rand_int() << 32 | (uint32_t)g_test_rand_int();
    case 2:
        return -(hwaddr)g_test_rand_int_range(0, 64) * 0x800;
    default:
        return g_test_rand_int_range(0, 64) * 0x800;
    }
}

static uint64_t random_size(void)
{
    switch (g_test_rand_int_range(0, 8)) {
    case 0:
        return REGION_WHOLE;
    case 1:
        return 1ull << g_test_rand_int_range(1, 64);
    default:
        return g_test_rand_int_range(1, 48) * 0x800;
    }
}

typedef struct Tree {
    Region r[N_REGIONS];            /* children and alias targets have lower numbers: no loops */
    Region root;
    AddressSpace as;
    GHashTable *heard;              /* start -> MemSection*, by the listener */
    unsigned commits;
} Tree;

static void heard_add(void *opaque, const MemSection *s)
{
    Tree *t = opaque;
    hwaddr *key = g_memdup2(&s->start, sizeof(s->start));
    g_assert_true(g_hash_table_insert(t->heard, key, g_memdup2(s, sizeof(*s))));
}

static void heard_del(void *opaque, const MemSection *s)
{
    Tree *t = opaque;
    MemSection *old = g_hash_table_lookup(t->heard, &s->start);
    g_assert_nonnull(old);
    g_assert_true(old->size == s->size && old->region == s->region && old->off == s->off
                  && old->readonly == s->readonly && old->direct == s->direct);
    g_hash_table_remove(t->heard, &s->start);
}

static void heard_commit(void *opaque, bool changed)
{
    ((Tree *)opaque)->commits++;
}

static const MemListener tree_listener = {
    .region_add = heard_add, .region_del = heard_del, .commit = heard_commit,
};

static void map_somewhere(Tree *t, int i)
{
    int parent = g_test_rand_int_range(i + 1, N_REGIONS + 1);
    region_map(parent == N_REGIONS ? &t->root : &t->r[parent], random_addr(), &t->r[i],
               g_test_rand_int_range(-2, 3));
}

static void make_region(Tree *t, int i)
{
    char name[16];
    Error *err = NULL;
    g_snprintf(name, sizeof(name), "r%d", i);
    if (i < N_RAM) {
        bool ok = i % 3 == 0 ? region_init_ram(&t->r[i], name, 0x4000 * (i + 1), &err)
                  : i % 3 == 1 ? region_init_rom(&t->r[i], name, 0x4000 * (i + 1), &err)
                  : region_init_flash(&t->r[i], name, 0x4000 * (i + 1), &null_ops, &t->r[i], &err);
        g_assert_true(ok);
    } else if (g_test_rand_bit()) {
        region_init_alias(&t->r[i], name, &t->r[g_test_rand_int_range(0, i)], random_addr(),
                          random_size());
    } else if (g_test_rand_bit()) {
        region_init_container(&t->r[i], name, random_size());
    } else {
        region_init_io(&t->r[i], name, random_size(), &null_ops, &t->r[i]);
    }
}

static void tree_new(Tree *t)
{
    memset(t, 0, sizeof(*t));
    region_init_container(&t->root, "root", REGION_WHOLE);
    address_space_init(&t->as, &t->root, "test");
    t->heard = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free);
    address_space_listen(&t->as, &tree_listener, t);
    for (int i = 0; i < N_REGIONS; i++) {
        make_region(t, i);
    }
    for (int i = 0; i < N_REGIONS; i++) {
        map_somewhere(t, i);
    }
}

static void tree_free(Tree *t)
{
    for (int i = N_REGIONS - 1; i >= 0; i--) {
        region_destroy(&t->r[i]);
    }
    g_assert_cmpuint(g_hash_table_size(t->heard), ==, 0);
    address_space_unlisten(&t->as, &tree_listener, t);
    address_space_destroy(&t->as);
    region_destroy(&t->root);
    g_hash_table_unref(t->heard);
}

static void probe(Tree *t, hwaddr addr)
{
    Found want;
    MemSection got;
    bool there = slow_lookup(&t->root, addr, false, &want);
    g_assert_cmpint(address_space_lookup(&t->as, addr, &got), ==, there);
    g_assert_true(addr >= got.start && addr - got.start < got.size);
    if (there) {
        g_assert_true(got.region == want.region);
        g_assert_cmphex(got.off + (addr - got.start), ==, want.off);
        g_assert_cmpint(got.readonly, ==, want.readonly);
        g_assert_cmpint(got.direct, ==, want.region->ram
                        && (want.region->kind != REGION_FLASH || want.region->direct));
    } else {
        g_assert_null(got.region);
    }
}

static void check_order_and_merging(const FlatView *v)
{
    for (unsigned i = 1; i < v->n; i++) {
        const FlatRange *a = &v->ranges[i - 1], *b = &v->ranges[i];
        g_assert_true(a->start <= a->last && a->last < b->start);
        g_assert_false(a->last + 1 == b->start && a->region == b->region
                       && a->off + (b->start - a->start) == b->off && a->readonly == b->readonly);
    }
}

static void check_tree(Tree *t)
{
    FlatView *v = t->as.view, *fresh = flatview_build(flatview_root(&t->root));
    g_assert_true(flatview_equal(v, fresh));
    fresh->refs = 1;
    flatview_unref(fresh);
    check_order_and_merging(v);
    g_assert_cmpuint(g_hash_table_size(t->heard), ==, v->n);
    for (unsigned i = 0; i < v->n; i++) {
        const FlatRange *r = &v->ranges[i];
        MemSection *s = g_hash_table_lookup(t->heard, &r->start);
        g_assert_true(s && s->size - 1 == r->last - r->start && s->region == r->region);
        probe(t, r->start - 1);
        probe(t, r->start);
        probe(t, r->last);
        probe(t, r->last + 1);
        probe(t, r->start + (r->last - r->start) / 2);
    }
    for (int i = 0; i < 60; i++) {
        probe(t, random_addr() + random_addr() + g_test_rand_int_range(-1, 2));
    }
}

static void mutate(Tree *t)
{
    int i = g_test_rand_int_range(0, N_REGIONS);
    Region *r = &t->r[i];
    switch (g_test_rand_int_range(0, 7)) {
    case 0:
        region_enable(r, !r->enabled);
        break;
    case 1:
        region_move(r, random_addr());
        break;
    case 2:
        region_unmap(r);
        map_somewhere(t, i);
        break;
    case 3:
        region_set_readonly(r, !r->readonly);
        break;
    case 4:
        if (r->kind == REGION_ALIAS) {
            region_set_alias_offset(r, random_addr());
        }
        break;
    case 5:
        if (!r->ram) {
            region_set_size(r, random_size());
        }
        break;
    case 6:
        if (r->kind == REGION_FLASH) {
            region_set_direct(r, !r->direct);
        }
        break;
    }
}

static void test_random_trees(void)
{
    Tree *t = g_new(Tree, 1);
    for (int round = 0; round < (g_test_slow() ? 400 : 40); round++) {
        tree_new(t);
        check_tree(t);
        for (int step = 0; step < 40; step++) {
            int batch = g_test_rand_int_range(1, 4);
            unsigned generation = t->as.generation, commits = t->commits;
            memory_begin();
            for (int i = 0; i < batch; i++) {
                mutate(t);
            }
            g_assert_cmpuint(t->commits, ==, commits);
            memory_commit();
            g_assert_cmpuint(t->commits, <=, commits + 1);
            g_assert_cmpuint(t->as.generation, <=, generation + 1);
            check_tree(t);
        }
        tree_free(t);
    }
    g_free(t);
}

/* ---- accesses ----------------------------------------------------------------------- */

typedef struct Dev {
    Region region;
    uint8_t bytes[64];
    GString *trace;
    AddressSpace *dma;
    hwaddr dma_addr;
    MemResult dma_result;
} Dev;

static uint64_t dev_read(void *opaque, hwaddr addr, unsigned size)
{
    Dev *d = opaque;
    uint64_t v = 0;
    g_string_append_printf(d->trace, "r%x.%u ", (unsigned)addr, size);
    memcpy(&v, d->bytes + addr, size);
    return GUINT64_FROM_LE(v);
}

static void dev_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    Dev *d = opaque;
    g_string_append_printf(d->trace, "w%x.%u=%" G_GINT64_MODIFIER "x ", (unsigned)addr, size, val);
    val = GUINT64_TO_LE(val);
    memcpy(d->bytes + addr, &val, size);
    if (d->dma) {
        uint8_t buf[4] = { 1, 2, 3, 4 };
        d->dma_result = address_space_write(d->dma, d->dma_addr, buf, 4);
    }
}

static const RegionOps ops_1_4 = { .read = dev_read, .write = dev_write };
static const RegionOps ops_1_1 = { .read = dev_read, .write = dev_write, .min = 1, .max = 1 };
static const RegionOps ops_4_4 = { .read = dev_read, .write = dev_write, .min = 4, .max = 4 };
static const RegionOps ops_merge = { .read = dev_read, .write = dev_write, .min = 4, .max = 4,
                                     .merge = true };
static const RegionOps ops_unaligned = { .read = dev_read, .write = dev_write, .max = 8,
                                         .unaligned = true };
static const RegionOps ops_valid = { .read = dev_read, .write = dev_write, .min = 2, .max = 4,
                                     .valid_min = 2, .valid_max = 4 };

typedef struct Bench {
    Region root;
    AddressSpace as;
    Dev dev;
} Bench;

static Bench *bench_new(const RegionOps *ops)
{
    Bench *b = g_new0(Bench, 1);
    region_init_container(&b->root, "root", REGION_WHOLE);
    address_space_init(&b->as, &b->root, "bench");
    region_init_io(&b->dev.region, "dev", 64, ops, &b->dev);
    for (int i = 0; i < 64; i++) {
        b->dev.bytes[i] = 0x80 + i;
    }
    b->dev.trace = g_string_new(NULL);
    region_map(&b->root, 0x1000, &b->dev.region, 0);
    return b;
}

static void bench_free(Bench *b)
{
    region_destroy(&b->dev.region);
    address_space_destroy(&b->as);
    region_destroy(&b->root);
    g_string_free(b->dev.trace, TRUE);
    g_free(b);
}

static void check_ld(const RegionOps *ops, hwaddr off, unsigned size, uint64_t want, const char *trace)
{
    Bench *b = bench_new(ops);
    g_assert_cmphex(address_space_ld(&b->as, 0x1000 + off, size), ==, want);
    g_assert_cmpstr(b->dev.trace->str, ==, trace);
    bench_free(b);
}

static void check_st(const RegionOps *ops, hwaddr off, unsigned size, uint64_t val, const char *trace)
{
    Bench *b = bench_new(ops);
    address_space_st(&b->as, 0x1000 + off, val, size);
    g_assert_cmpstr(b->dev.trace->str, ==, trace);
    bench_free(b);
}

static void test_widths(void)
{
    check_ld(&ops_1_4, 0, 1, 0x80, "r0.1 ");
    check_ld(&ops_1_4, 4, 8, 0x8b8a898887868584, "r4.4 r8.4 ");
    check_ld(&ops_1_4, 1, 2, 0x8281, "r1.1 r2.1 ");
    check_ld(&ops_1_4, 2, 4, 0x85848382, "r2.2 r4.2 ");
    check_ld(&ops_1_1, 0, 4, 0x83828180, "r0.1 r1.1 r2.1 r3.1 ");
    check_ld(&ops_4_4, 1, 1, 0x81, "r0.4 ");
    check_ld(&ops_4_4, 6, 2, 0x8786, "r4.4 ");
    check_ld(&ops_unaligned, 3, 4, 0x86858483, "r3.4 ");
    check_ld(&ops_unaligned, 3, 8, 0x8a89888786858483, "r3.8 ");
    check_ld(&ops_valid, 0, 1, 0xff, "");
    check_ld(&ops_valid, 0, 8, UINT64_MAX, "");
    check_ld(&ops_valid, 0, 4, 0x83828180, "r0.4 ");
    /* the last byte of the device, then nothing */
    check_ld(&ops_1_4, 62, 4, 0xffffbfbe, "r3e.2 ");
    check_ld(&ops_1_4, -2, 4, 0x8180ffff, "r0.2 ");

    check_st(&ops_1_4, 0, 4, 0x11223344, "w0.4=11223344 ");
    check_st(&ops_1_4, 0, 8, 0x1122334455667788, "w0.4=55667788 w4.4=11223344 ");
    check_st(&ops_1_1, 0, 2, 0xaabb, "w0.1=bb w1.1=aa ");
    check_st(&ops_1_4, 3, 2, 0xaabb, "w3.1=bb w4.1=aa ");
    check_st(&ops_4_4, 1, 1, 0x55, "w1.1=55 ");
    check_st(&ops_merge, 1, 1, 0x55, "r0.4 w0.4=83825580 ");
    check_st(&ops_merge, 6, 2, 0x1234, "r4.4 w4.4=12348584 ");
    check_st(&ops_1_4, 63, 4, 0x11223344, "w3f.1=44 ");
    check_st(&ops_valid, 0, 1, 1, "");
}

static void test_transfer(void)
{
    Bench *b = bench_new(&ops_1_4);
    Region ram, rom, window;
    uint8_t buf[256], want[256];
    g_assert_true(region_init_ram(&ram, "ram", 0x1000, NULL));
    g_assert_true(region_init_rom(&rom, "rom", 0x1000, NULL));
    region_init_alias(&window, "window", &ram, 0x800, 0x100);
    region_set_readonly(&window, true);
    region_map(&b->root, 0, &ram, 0);
    region_map(&b->root, 0x2000, &rom, 0);
    region_map(&b->root, 0x3000, &window, 0);

    /* RAM, device and hole in one go */
    memset(ram.ram->host + 0xff0, 0x11, 16);
    g_assert_cmpint(address_space_read(&b->as, 0xff0, buf, 0x60), ==, MEM_UNASSIGNED);
    memset(want, 0x11, 16);
    memcpy(want + 16, b->dev.bytes, 64);
    memset(want + 80, 0xff, 16);
    g_assert_cmpmem(buf, 0x60, want, 0x60);
    g_assert_cmpint(address_space_read(&b->as, 0xff0, buf, 0x40), ==, MEM_OK);

    /* ROM: stores vanish, loaders get through */
    g_assert_cmpint(address_space_write(&b->as, 0x2000, "abcd", 4), ==, MEM_OK);
    g_assert_cmphex(address_space_ld(&b->as, 0x2000, 4), ==, 0);
    address_space_st(&b->as, 0x2000, 0x1234, 4);
    g_assert_cmphex(address_space_ld(&b->as, 0x2000, 4), ==, 0);
    address_space_write_rom(&b->as, 0x2000, "abcd", 4);
    g_assert_cmphex(address_space_ld(&b->as, 0x2000, 4), ==, 0x64636261);
    /* a read-only window on RAM */
    address_space_st(&b->as, 0x800, 0x55, 1);
    address_space_st(&b->as, 0x3000, 0x66, 1);
    g_assert_cmphex(address_space_ld(&b->as, 0x3000, 1), ==, 0x55);

    /* mapping is cut to what is contiguous and fit for the purpose */
    uint64_t len = 0x10000;
    g_assert_true(address_space_map(&b->as, 0x10, &len, true) == ram.ram->host + 0x10);
    g_assert_cmphex(len, ==, 0xff0);
    g_assert_null(address_space_map(&b->as, 0x2000, &len, true));
    g_assert_null(address_space_map(&b->as, 0x1000, &len, false));
    len = 4;
    g_assert_nonnull(address_space_map(&b->as, 0x2000, &len, false));

    /* the very end of the space */
    g_assert_cmphex(address_space_ld(&b->as, UINT64_MAX - 3, 4), ==, 0xffffffff);
    address_space_st(&b->as, UINT64_MAX, 0, 1);

    region_destroy(&window);
    region_destroy(&ram);
    region_destroy(&rom);
    bench_free(b);
}

/* A register that counts; its `stop_at`th access asks for an end, or changes the map. */
typedef struct Counter {
    Region region, other;
    Region *root;
    uint32_t reads, sum, stop_at, stop;
    bool remaps;
} Counter;

static void counted(Counter *c)
{
    if (++c->reads == c->stop_at) {
        if (c->remaps) {
            region_map(c->root, 0x2000, &c->other, 0);
        } else {
            c->stop = 1;
        }
    }
}

static uint64_t counter_read(void *opaque, hwaddr addr, unsigned size)
{
    Counter *c = opaque;
    counted(c);
    return c->reads | addr << 8;
}

static void counter_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    Counter *c = opaque;
    c->sum += val;
    counted(c);
}

static void test_repeat(void)
{
    static const RegionOps ops = { .read = counter_read, .write = counter_write, .min = 2, .max = 2,
                                   .valid_max = 2 };
    Bench *b = bench_new(&ops_1_4);
    Counter c = { .root = &b->root };
    Region ram;
    uint8_t buf[64] = { 0 };

    region_init_io(&c.region, "counter", 4, &ops, &c);
    region_init_io(&c.other, "other", 4, &ops, &c);
    g_assert_true(region_init_ram(&ram, "ram", 0x1000, NULL));
    region_map(&b->root, 0x1800, &c.region, 0);
    region_map(&b->root, 0x4000, &ram, 0);

    g_assert_cmpuint(address_space_ld_repeat(&b->as, 0x1802, 2, buf, 5, &c.stop), ==, 5);
    for (unsigned i = 0; i < 5; i++) {
        g_assert_cmphex(ld16_le(buf + 2 * i), ==, 0x201 + i);
    }
    g_assert_cmpuint(buf[10], ==, 0);
    g_assert_cmpuint(address_space_st_repeat(&b->as, 0x1800, 2, buf, 3, &c.stop), ==, 3);
    g_assert_cmphex(c.sum, ==, 0x201 + 0x202 + 0x203);
    /* in the middle: somebody wants the vCPU, the map changes */
    c.stop_at = c.reads + 2;
    g_assert_cmpuint(address_space_ld_repeat(&b->as, 0x1800, 2, buf, 5, &c.stop), ==, 2);
    c.stop = 0;
    c.stop_at = c.reads + 3;
    c.remaps = true;
    g_assert_cmpuint(address_space_st_repeat(&b->as, 0x1800, 2, buf, 5, &c.stop), ==, 3);
    /* memory, nothing, half in it, a size the device refuses: one access at most */
    g_assert_cmpuint(address_space_ld_repeat(&b->as, 0x4000, 2, buf, 5, &c.stop), ==, 0);
    g_assert_cmpuint(address_space_ld_repeat(&b->as, 0x5000, 2, buf, 5, &c.stop), ==, 0);
    g_assert_cmpuint(address_space_ld_repeat(&b->as, 0x1803, 2, buf, 5, &c.stop), ==, 0);
    g_assert_cmpuint(address_space_ld_repeat(&b->as, 0x1800, 4, buf, 5, &c.stop), ==, 1);
    g_assert_cmphex(ld32_le(buf), ==, 0xffffffff);

    region_destroy(&ram);
    region_destroy(&c.region);
    region_destroy(&c.other);
    bench_free(b);
}

static void test_flash(void)
{
    Bench *b = bench_new(&ops_1_4);
    Region flash;
    g_assert_true(region_init_flash(&flash, "flash", 0x1000, &ops_1_4, &b->dev, NULL));
    region_map(&b->root, 0x4000, &flash, 0);
    flash.ram->host[1] = 0x77;
    g_assert_cmphex(address_space_ld(&b->as, 0x4001, 1), ==, 0x77);
    g_assert_cmpstr(b->dev.trace->str, ==, "");
    address_space_st(&b->as, 0x4001, 0x20, 1);
    g_assert_cmpstr(b->dev.trace->str, ==, "w1.1=20 ");
    g_assert_cmphex(flash.ram->host[1], ==, 0x77);
    region_set_direct(&flash, false);
    g_assert_cmphex(address_space_ld(&b->as, 0x4001, 1), ==, 0x20);
    address_space_write_rom(&b->as, 0x4001, "\x99", 1);
    g_assert_cmphex(flash.ram->host[1], ==, 0x99);
    region_destroy(&flash);
    bench_free(b);
}

static void test_reentrancy(void)
{
    Bench *b = bench_new(&ops_1_4);
    Dev other = { .trace = g_string_new(NULL) };
    region_init_io(&other.region, "other", 64, &ops_1_4, &other);
    region_map(&b->root, 0x5000, &other.region, 0);

    b->dev.dma = &b->as;
    b->dev.dma_addr = 0x1008;
    address_space_st(&b->as, 0x1000, 1, 1);
    g_assert_cmpint(b->dev.dma_result, ==, MEM_REFUSED);
    g_assert_cmpstr(b->dev.trace->str, ==, "w0.1=1 ");

    b->dev.dma_addr = 0x5000;
    address_space_st(&b->as, 0x1000, 1, 1);
    g_assert_cmpint(b->dev.dma_result, ==, MEM_OK);
    g_assert_cmpstr(other.trace->str, ==, "w0.4=4030201 ");

    /* A writes B, which writes A */
    other.dma = &b->as;
    other.dma_addr = 0x1000;
    address_space_st(&b->as, 0x1000, 1, 1);
    g_assert_cmpint(other.dma_result, ==, MEM_REFUSED);

    g_assert_true(memory_guard_enter(&b->dev));
    g_assert_cmphex(address_space_ld(&b->as, 0x1000, 1), ==, 0xff);
    memory_guard_leave();
    g_assert_cmphex(address_space_ld(&b->as, 0x1000, 1), ==, 1);

    region_destroy(&other.region);
    g_string_free(other.trace, TRUE);
    bench_free(b);
}

/* ---- dirty logging ------------------------------------------------------------------ */

static struct { RamBlock *b; uint64_t off, len; unsigned calls; } guarded, coded;

static void on_guard(RamBlock *b, uint64_t off, uint64_t len)
{
    guarded.b = b;
    guarded.off = off;
    guarded.len = len;
    guarded.calls++;
}

static void on_code(RamBlock *b, uint64_t off, uint64_t len)
{
    coded.b = b;
    coded.off = off;
    coded.len = len;
    coded.calls++;
}

static unsigned sync_calls;

static void on_sync(void *opaque, const MemSection *s)
{
    sync_calls++;
    dirty_set(s->region, 0x7000, 1);        /* as a kernel would report it */
}

static const MemListener sync_listener = { .log_sync = on_sync };

static void test_dirty(void)
{
    Bench *b = bench_new(&ops_1_4);
    Region ram;
    unsigned long bits[4];
    g_assert_true(region_init_ram(&ram, "dirty-ram", 200 * 0x1000, NULL));
    region_map(&b->root, 0x100000, &ram, 0);
    ram_guard_hook = on_guard;
    ram_code_hook = on_code;

    dirty_start(&ram, DIRTY_VGA);
    /* at first everything is dirty, then nothing */
    g_assert_true(dirty_snapshot(&ram, DIRTY_VGA, 0, 200 * 0x1000, bits));
    g_assert_cmphex(bits[0], ==, ~0ul);
    g_assert_cmphex(bits[3], ==, 0xff);
    g_assert_cmpuint(guarded.calls, ==, 1);
    g_assert_cmphex(guarded.len, ==, 200 * 0x1000);
    g_assert_false(dirty_snapshot(&ram, DIRTY_VGA, 0, 200 * 0x1000, bits));
    g_assert_cmphex(ram.ram->guard[5], ==, PAGE_LOG_VGA);

    /* stores of every way in */
    address_space_st(&b->as, 0x105000, 1, 4);
    address_space_write(&b->as, 0x141ffe, "abcd", 4);           /* pages 0x41 and 0x42 */
    uint64_t len = 16;
    void *p = address_space_map(&b->as, 0x180000, &len, true);
    address_space_unmap(&b->as, p, len, true, 1);
    g_assert_cmphex(ram.ram->guard[5], ==, 0);
    g_assert_true(dirty_test(&ram, DIRTY_VGA, 0x5000, 1));
    g_assert_false(dirty_test(&ram, DIRTY_VGA, 0x6000, 0x3b000));
    g_assert_true(dirty_snapshot(&ram, DIRTY_VGA, 0, 200 * 0x1000, bits));
    g_assert_cmphex(bits[0], ==, 1ul << 5);
    g_assert_cmphex(bits[1], ==, 3ul << 1);
    g_assert_cmphex(bits[2], ==, 1ul);
    g_assert_cmphex(guarded.off, ==, 0x5000);
    g_assert_cmphex(guarded.len, ==, 0x7c000);
    g_assert_false(dirty_snapshot(&ram, DIRTY_VGA, 0, 200 * 0x1000, NULL));

    /* bit 0 is the page asked for, and only the range is cleared */
    dirty_set(&ram, 0x9000, 0x2000);
    g_assert_true(dirty_snapshot(&ram, DIRTY_VGA, 0x9000, 0x1000, bits));
    g_assert_cmphex(bits[0], ==, 1);
    g_assert_true(dirty_test(&ram, DIRTY_VGA, 0xa000, 1));

    /* two clients do not disturb each other */
    dirty_start(&ram, DIRTY_MIGR);
    g_assert_true(dirty_snapshot(&ram, DIRTY_MIGR, 0, 200 * 0x1000, NULL));
    address_space_st(&b->as, 0x103000, 1, 1);
    g_assert_true(dirty_snapshot(&ram, DIRTY_VGA, 0x3000, 1, NULL));
    g_assert_true(dirty_snapshot(&ram, DIRTY_MIGR, 0x3000, 1, NULL));

    /* who logs by itself brings its bits in first */
    dirty_snapshot(&ram, DIRTY_VGA, 0x7000, 1, NULL);
    address_space_listen(&b->as, &sync_listener, NULL);
    g_assert_true(dirty_snapshot(&ram, DIRTY_VGA, 0x7000, 1, NULL));
    g_assert_cmpuint(sync_calls, ==, 1);
    address_space_unlisten(&b->as, &sync_listener, NULL);

    /* the code hook gets the part on the page */
    ram.ram->guard[0x10] |= PAGE_CODE;
    address_space_write(&b->as, 0x10fffe, "abcdef", 6);
    g_assert_cmpuint(coded.calls, ==, 1);
    g_assert_cmphex(coded.off, ==, 0x10000);
    g_assert_cmphex(coded.len, ==, 4);

    dirty_stop(&ram, DIRTY_VGA);
    dirty_stop(&ram, DIRTY_MIGR);
    g_assert_cmphex(ram.ram->guard[5], ==, 0);
    ram_guard_hook = NULL;
    ram_code_hook = NULL;
    region_destroy(&ram);
    bench_free(b);
}

/* ---- threads ------------------------------------------------------------------------ */

static gint stop_readers;

static gpointer reader(gpointer data)
{
    Bench *b = data;
    uint64_t n = 0;
    while (!g_atomic_int_get(&stop_readers)) {
        uint64_t v = address_space_ld(&b->as, 0x8000, 8);
        g_assert_true(v == 0x5555555555555555 || v == UINT64_MAX);
        MemSection s;
        address_space_lookup(&b->as, 0x8000, &s);
        if (++n % 64 == 0) {
            address_space_ld(&b->as, 0x1000, 4);        /* takes the lock */
        }
    }
    return NULL;
}

static void test_threads(void)
{
    Bench *b = bench_new(&ops_1_4);
    GThread *threads[2];
    stop_readers = 0;
    for (int i = 0; i < 2; i++) {
        threads[i] = g_thread_new("reader", reader, b);
    }
    for (int i = 0; i < (g_test_slow() ? 5000 : 500); i++) {
        Region ram;
        bql_lock();
        g_assert_true(region_init_ram(&ram, "flicker", 0x1000, NULL));
        memset(ram.ram->host, 0x55, 0x1000);
        region_map(&b->root, 0x8000, &ram, 0);
        bql_unlock();
        g_thread_yield();
        bql_lock();
        region_destroy(&ram);
        g_string_truncate(b->dev.trace, 0);
        bql_unlock();
    }
    g_atomic_int_set(&stop_readers, 1);
    for (int i = 0; i < 2; i++) {
        g_thread_join(threads[i]);
    }
    bql_lock();
    bench_free(b);
    bql_unlock();
    rcu_drain();
}

/* ---- the rest ----------------------------------------------------------------------- */

static void test_shared_views(void)
{
    Region root, bus, window;
    AddressSpace a, dma;
    Dev d = { .trace = g_string_new(NULL) };
    region_init_container(&root, "root", REGION_WHOLE);
    region_init_container(&bus, "bus", REGION_WHOLE);
    region_init_io(&d.region, "dev", 64, &ops_1_4, &d);
    region_map(&root, 0x1000, &d.region, 0);
    region_init_alias(&window, "window", &root, 0, REGION_WHOLE);
    region_enable(&window, false);
    region_map(&bus, 0, &window, 0);
    address_space_init(&a, &root, "a");
    address_space_init(&dma, &bus, "dma");
    g_assert_cmpint(address_space_write(&dma, 0x1000, "a", 1), ==, MEM_UNASSIGNED);
    region_enable(&window, true);
    g_assert_true(a.view == dma.view);
    g_assert_cmpint(address_space_write(&dma, 0x1000, "a", 1), ==, MEM_OK);
    region_move(&d.region, 0x2000);
    g_assert_true(a.view == dma.view);
    g_assert_cmpint(address_space_write(&dma, 0x1000, "a", 1), ==, MEM_UNASSIGNED);
    region_enable(&window, false);
    g_assert_cmpint(address_space_write(&dma, 0x2000, "a", 1), ==, MEM_UNASSIGNED);
    g_assert_cmpint(address_space_write(&a, 0x2000, "a", 1), ==, MEM_OK);
    region_destroy(&root);      /* the window shows nothing now */
    region_enable(&window, true);
    g_assert_cmpint(address_space_write(&dma, 0x2000, "a", 1), ==, MEM_UNASSIGNED);
    address_space_destroy(&dma);
    address_space_destroy(&a);
    region_destroy(&d.region);
    region_destroy(&window);
    region_destroy(&bus);
    g_string_free(d.trace, TRUE);
}

static void test_blocks(void)
{
    Error *err = NULL;
    uint64_t off;
    g_assert_null(ram_block_new("big", 1ull << 60, &err));
    g_assert_nonnull(strstr(err->message, "'big'"));
    g_clear_error(&err);
    g_assert_null(ram_block_new("none", 0, &err));
    g_clear_error(&err);
    RamBlock *a = ram_block_new("a", 0x1001, &err), *b = ram_block_new("b", 0x1000, &err);
    g_assert_cmphex(a->size, ==, 0x2000);
    g_assert_cmphex(b->base, >=, a->base + a->size);
    g_assert_true(ram_block_by_name("b") == b);
    g_assert_true(ram_block_from_host(b->host + 5, &off) == b && off == 5);
    g_assert_null(ram_block_from_host(&off, &off));
    ram_block_free(a);
    g_assert_null(ram_block_by_name("a"));
    ram_block_free(b);
}

static void test_mtree(void)
{
    GString *out = g_string_new(NULL);
    Region io, ram, alias;
    region_init_io(&io, "port", 8, &ops_1_4, NULL);
    g_assert_true(region_init_ram(&ram, "pc.ram", 0x100000, NULL));
    region_init_alias(&alias, "low", &ram, 0x1000, 0x2000);
    region_map(system_io(), 0x60, &io, 1);
    region_map(system_memory(), 0x10000, &alias, -1);
    memory_info_mtree(out, false);
    g_assert_nonnull(strstr(out->str, "address-space: I/O\n"
        "  0000000000000000-000000000000ffff (prio 0, i/o): io\n"
        "    0000000000000060-0000000000000067 (prio 1, i/o): port\n"));
    g_assert_nonnull(strstr(out->str, "    0000000000010000-0000000000011fff (prio -1, ram): "
        "alias low @pc.ram 0000000000001000-0000000000002fff\n"));
    g_assert_nonnull(strstr(out->str, "memory-region: pc.ram\n"));
    g_string_truncate(out, 0);
    memory_info_mtree(out, true);
    g_assert_nonnull(strstr(out->str, "  0000000000010000-0000000000011fff (prio 0, ram): pc.ram "
                                      "@0000000000001000\n"));
    g_string_free(out, TRUE);
    region_destroy(&alias);
    region_destroy(&ram);
    region_destroy(&io);
}

static void fast_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
}

static void test_speed(void)
{
    static const RegionOps fast_ops = { .read = null_read, .write = fast_write };
    Region ports[80];
    enum { ROUNDS = 2000000 };
    for (int i = 0; i < 80; i++) {
        region_init_io(&ports[i], "p", 8, &fast_ops, &ports[i]);
        region_map(system_io(), i * 0x20, &ports[i], 0);
    }
    g_test_timer_start();
    for (int i = 0; i < ROUNDS; i++) {
        address_space_ld(&address_space_io, (i % 5) * 0x60 + 4, 1);
    }
    double ns = g_test_timer_elapsed() * 1e9 / ROUNDS;
    g_test_minimized_result(ns, "port read: %.0f ns", ns);
    for (int i = 0; i < 80; i++) {
        region_destroy(&ports[i]);
    }
}

/* bench_* and tree_* change the map, which wants the big lock. */
static void locked(gconstpointer fn)
{
    bql_lock();
    ((void (*)(void))fn)();
    bql_unlock();
    rcu_drain();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    memory_init();
    g_test_add_data_func("/memory/random-trees", (gconstpointer)test_random_trees, locked);
    g_test_add_data_func("/memory/widths", (gconstpointer)test_widths, locked);
    g_test_add_data_func("/memory/transfer", (gconstpointer)test_transfer, locked);
    g_test_add_data_func("/memory/repeat", (gconstpointer)test_repeat, locked);
    g_test_add_data_func("/memory/flash", (gconstpointer)test_flash, locked);
    g_test_add_data_func("/memory/reentrancy", (gconstpointer)test_reentrancy, locked);
    g_test_add_data_func("/memory/dirty", (gconstpointer)test_dirty, locked);
    g_test_add_func("/memory/threads", test_threads);
    g_test_add_data_func("/memory/shared-views", (gconstpointer)test_shared_views, locked);
    g_test_add_data_func("/memory/blocks", (gconstpointer)test_blocks, locked);
    g_test_add_data_func("/memory/mtree", (gconstpointer)test_mtree, locked);
    if (g_test_perf()) {
        g_test_add_func("/memory/speed", test_speed);
    }
    return g_test_run();
}
