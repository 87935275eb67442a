/* SPDX-License-Identifier: MIT */
/*
 * Page walks against a slow reference, written from the tables of SDM 3A chapter 4 in another
 * style, on random tables and control bits in all paging modes.
 */
#include "tests/unit/x86-test.h"

#define TABLES 0x100000u        /* where page tables are picked from ... */
#define NTABLES 64u             /* ... so few that walks meet them again */

typedef enum { MODE_32, MODE_PAE, MODE_4, MODE_5, MODES } PagingMode;

typedef struct Result {
    bool ok;
    uint64_t pa;
    uint32_t error;
} Result;

/* ---- the reference ------------------------------------------------------------------------ */

typedef struct Entry {
    uint64_t val;
    unsigned shift;
} Entry;

static uint64_t field(uint64_t v, unsigned hi, unsigned lo)
{
    return v >> lo & (~0ull >> (63 - (hi - lo)));
}

static bool reserved_set(PagingMode mode, const Entry *e, bool leaf)
{
    bool nxe = cpu->efer & EFER_NXE;

    if (mode == MODE_32) {
        if (e->shift == 22 && leaf) {
            return field(e->val, 21, 21) || field(e->val, 20, 13) >> (cpu->phys_bits - 32);
        }
        return false;
    }
    if (field(e->val, 63, 63) && !nxe) {
        return true;
    }
    if (cpu->phys_bits < 52 && field(e->val, 51, cpu->phys_bits)) {
        return true;
    }
    if (mode == MODE_PAE && field(e->val, 62, 52)) {
        return true;
    }
    if (e->shift >= 39) {
        return field(e->val, 7, 7);
    }
    if (leaf && e->shift == 30) {
        return field(e->val, 29, 13);
    }
    if (leaf && e->shift == 21) {
        return field(e->val, 20, 13);
    }
    return false;
}

static Result refuse(MmuAccess acc, int mmu, unsigned why)
{
    unsigned code = why;

    code += acc == MMU_WRITE ? 2 : 0;
    code += mmu == MMU_USER ? 4 : 0;
    if (acc == MMU_FETCH && ((cpu->cr4 & CR4_SMEP)
                             || ((cpu->cr4 & CR4_PAE) && (cpu->efer & EFER_NXE)))) {
        code += 16;
    }
    return (Result){ false, 0, code };
}

/* Walk, collecting the entries; then judge them all together. */
static Result reference(PagingMode mode, uint64_t la, MmuAccess acc, int mmu)
{
    unsigned size = mode == MODE_32 ? 4 : 8, bits = mode == MODE_32 ? 10 : 9;
    unsigned shift = mode == MODE_32 ? 22 : mode == MODE_PAE ? 21 : mode == MODE_4 ? 39 : 48;
    uint64_t table = cpu->cr3 & ~0xfffull;
    Entry path[5];
    unsigned n = 0;
    bool leaf;

    if (mode == MODE_PAE) {
        uint64_t pdpte = cpu->pdpte[field(la, 31, 30)];
        if (!(pdpte & 1)) {
            return refuse(acc, mmu, 0);
        }
        table = field(pdpte, 51, 12) << 12;
    }
    do {
        uint64_t at = table + (la >> shift & ((1u << bits) - 1)) * size;
        Entry *e = &path[n++];
        e->shift = shift;
        e->val = at + size > RAM_SIZE ? ~0ull : size == 4 ? mem32(at) : mem64(at);
        if (size == 4) {
            e->val &= 0xffffffff;
        }
        leaf = shift == 12
               || (field(e->val, 7, 7)
                   && (mode == MODE_32 ? (cpu->cr4 & CR4_PSE) : shift == 21 || shift == 30));
        if (!(e->val & 1)) {
            return refuse(acc, mmu, 0);
        }
        if (reserved_set(mode, e, leaf)) {
            return refuse(acc, mmu, 1 + 8);
        }
        table = mode == MODE_32 ? e->val & 0xfffff000 : field(e->val, 51, 12) << 12;
        shift -= bits;
    } while (!leaf);

    bool user_page = true, writable = true, nx = false;
    for (unsigned i = 0; i < n; i++) {
        user_page = user_page && (path[i].val & 4);
        writable = writable && (path[i].val & 2);
        nx = nx || (mode != MODE_32 && path[i].val >> 63);
    }
    const Entry *last = &path[n - 1];
    bool user = mmu == MMU_USER, wp = cpu->cr0 & CR0_WP;

    /* Section 4.6.2: protection keys come with their own error bit. */
    if (mode >= MODE_4 && acc != MMU_FETCH && (cpu->cr4 & (user_page ? CR4_PKE : CR4_PKS))) {
        unsigned key = field(last->val, 62, 59);
        uint32_t rights = (user_page ? cpu->pkru : cpu->pkrs) >> (2 * key);
        if ((rights & 1) || (acc == MMU_WRITE && (rights & 2) && (user || wp))) {
            return refuse(acc, mmu, 1 + 32);
        }
    }
    bool allowed;
    if (user) {
        allowed = user_page && (acc == MMU_READ || (acc == MMU_WRITE ? writable : !nx));
    } else if (acc == MMU_FETCH) {
        allowed = !nx && !(user_page && (cpu->cr4 & CR4_SMEP));
    } else {
        bool smap = user_page && (cpu->cr4 & CR4_SMAP) && mmu == MMU_KSMAP;
        allowed = !smap && (acc == MMU_READ || writable || !wp);
    }
    if (!allowed) {
        return refuse(acc, mmu, 1);
    }
    uint64_t base = last->val & (mode == MODE_32 ? 0xfffff000 : 0x000ffffffffff000);
    if (mode == MODE_32 && last->shift == 22) {
        base = field(last->val, 31, 22) << 22 | field(last->val, 20, 13) << 32;
    }
    uint64_t mask = (1ull << last->shift) - 1;
    return (Result){ true, (base & ~mask) | (la & mask), 0 };
}

/* ---- random tables ------------------------------------------------------------------------ */

static uint64_t rnd(void)
{
    return (uint64_t)(uint32_t)g_test_rand_int() << 32 | (uint32_t)g_test_rand_int();
}

static bool chance(unsigned n)
{
    return g_test_rand_int_range(0, n) == 0;
}

static uint64_t random_entry(PagingMode mode)
{
    uint64_t e = TABLES + (rnd() % NTABLES) * 0x1000;

    e |= rnd() & 0xf7e;
    e |= (chance(12) ? 0 : 1) | (chance(4) ? 0 : 2) | (chance(4) ? 0 : 4);
    if (!chance(4)) {
        e &= ~0x80ull;
    } else if (!chance(4)) {
        e &= ~0x3fffe000ull;            /* a large page that may be well formed */
    }
    if (mode != MODE_32) {
        e |= chance(5) ? 1ull << 63 : 0;
        e |= mode >= MODE_4 ? rnd() & 0x7800000000000000ull : 0;
        e |= chance(30) ? 1ull << (40 + rnd() % 23) : 0;
    }
    return e;
}

static void random_tables(PagingMode mode)
{
    for (unsigned i = 0; i < NTABLES * 0x1000; i += mode == MODE_32 ? 4 : 8) {
        if (mode == MODE_32) {
            st32_le(ram + TABLES + i, random_entry(mode));
        } else {
            st64_le(ram + TABLES + i, random_entry(mode));
        }
    }
}

static void random_control(PagingMode mode)
{
    static const uint64_t flips[] = { CR4_SMEP, CR4_SMAP, CR4_PGE };

    cpu->cr0 = CR0_PE | CR0_PG | CR0_ET | (chance(2) ? CR0_WP : 0);
    cpu->cr4 = mode == MODE_32 ? (chance(4) ? 0 : CR4_PSE) : CR4_PAE;
    for (unsigned i = 0; i < G_N_ELEMENTS(flips); i++) {
        cpu->cr4 |= chance(2) ? flips[i] : 0;
    }
    cpu->efer = chance(4) ? 0 : EFER_NXE;
    if (mode >= MODE_4) {
        cpu->efer |= EFER_LME | EFER_LMA;
        cpu->cr4 |= (chance(2) ? CR4_PKE : 0) | (chance(2) ? CR4_PKS : 0);
        cpu->pkru = rnd() & rnd();
        cpu->pkrs = rnd() & rnd() & 0xffffffff;
    }
    if (mode == MODE_5) {
        cpu->cr4 |= CR4_LA57;
    }
    cpu->cr3 = TABLES + (rnd() % NTABLES) * 0x1000;
    for (unsigned i = 0; i < 4; i++) {
        cpu->pdpte[i] = (TABLES + (rnd() % NTABLES) * 0x1000) | !chance(8);
    }
}

static uint64_t random_la(PagingMode mode)
{
    uint64_t la = rnd();
    unsigned bits = mode == MODE_5 ? 57 : 48;

    return mode < MODE_4 ? (uint32_t)la : (uint64_t)((int64_t)(la << (64 - bits)) >> (64 - bits));
}

static void test_random(gconstpointer data)
{
    PagingMode mode = GPOINTER_TO_INT(data);
    unsigned good = 0, bad = 0;

    x86_test_reset();
    for (unsigned round = 0; round < 60; round++) {
        random_tables(mode);
        for (unsigned k = 0; k < 20; k++) {
            random_control(mode);
            x86_tlb_flush(cpu);
            for (unsigned i = 0; i < 60; i++) {
                uint64_t la = random_la(mode);
                MmuAccess acc = g_test_rand_int_range(0, 3);
                int mmu = g_test_rand_int_range(0, MMU_COUNT);
                Result want = reference(mode, la, acc, mmu);
                MmuPage page;
                bool ok = x86_mmu_translate(cpu, la, acc, mmu, &page);
                g_assert_cmpint(ok, ==, want.ok);
                if (ok) {
                    g_assert_cmphex(page.pa, ==, want.pa);
                    g_assert_true(page.prot >> acc & 1);
                    /* W is given only with D set, so a store needs no second walk. */
                    g_assert_true(acc != MMU_WRITE || (page.prot & MMU_PROT_W));
                } else {
                    g_assert_true(page.canonical);
                    g_assert_cmphex(page.error, ==, want.error);
                }
                *(ok ? &good : &bad) += 1;
            }
        }
    }
    /* The tables must be good enough to reach both ends. */
    g_assert_cmpuint(good, >, 2000);
    g_assert_cmpuint(bad, >, 2000);
}

/* ---- single cases ---------------------------------------------------------------------------- */

static void map_4k(uint64_t la, uint64_t pte)
{
    st64_le(ram + 0x100000 + (la >> 39 & 511) * 8, 0x101000 | 7);
    st64_le(ram + 0x101000 + (la >> 30 & 511) * 8, 0x102000 | 7);
    st64_le(ram + 0x102000 + (la >> 21 & 511) * 8, 0x103000 | 7);
    st64_le(ram + 0x103000 + (la >> 12 & 511) * 8, pte);
}

static void enter_4level(void)
{
    x86_test_reset();
    cpu->cr3 = 0x100000;
    cpu->cr4 = CR4_PAE;
    cpu->efer = EFER_LME | EFER_LMA | EFER_NXE;
    cpu->cr0 = CR0_PE | CR0_PG | CR0_WP | CR0_ET;
    x86_tlb_flush(cpu);
}

static void test_accessed_dirty(void)
{
    MmuPage page;

    enter_4level();
    map_4k(0x5000, 0x200000 | 7);
    g_assert_true(x86_mmu_translate(cpu, 0x5123, MMU_READ, MMU_USER, &page));
    g_assert_cmphex(page.pa, ==, 0x200123);
    g_assert_cmphex(mem64(0x100000), ==, 0x101000 | 0x27);
    g_assert_cmphex(mem64(0x103000 + 5 * 8), ==, 0x200000 | 0x27);
    g_assert_false(page.prot & MMU_PROT_W);     /* not dirty: stores must come back */
    g_assert_true(x86_mmu_translate(cpu, 0x5123, MMU_WRITE, MMU_USER, &page));
    g_assert_cmphex(mem64(0x103000 + 5 * 8), ==, 0x200000 | 0x67);
    g_assert_true(page.prot & MMU_PROT_W);
    g_assert_true(x86_mmu_translate(cpu, 0x5123, MMU_READ, MMU_USER, &page));
    g_assert_true(page.prot & MMU_PROT_W);
}

/* An access that is refused leaves no mark at any level. */
static void test_no_trace(void)
{
    MmuPage page;

    enter_4level();
    map_4k(0x5000, 0x200000 | 1);
    g_assert_false(x86_mmu_translate(cpu, 0x5000, MMU_READ, MMU_USER, &page));
    g_assert_cmphex(mem64(0x100000), ==, 0x101000 | 7);
    g_assert_cmphex(mem64(0x102000), ==, 0x103000 | 7);
    g_assert_cmphex(mem64(0x103000 + 5 * 8), ==, 0x200000 | 1);
    /* The next one must still mark the upper levels, cached or not. */
    st64_le(ram + 0x103000 + 5 * 8, 0x200000 | 7);
    g_assert_true(x86_mmu_translate(cpu, 0x5000, MMU_READ, MMU_USER, &page));
    g_assert_cmphex(mem64(0x102000), ==, 0x103000 | 0x27);
}

static void test_debug_walk(void)
{
    hwaddr pa;

    enter_4level();
    map_4k(0x5000, 0x200000 | 1);
    g_assert_true(x86_debug_translate(cpu, 0x5abc, &pa));
    g_assert_cmphex(pa, ==, 0x200abc);
    g_assert_cmphex(mem64(0x103000 + 5 * 8), ==, 0x200000 | 1);
    g_assert_cmphex(mem64(0x100000), ==, 0x101000 | 7);
    g_assert_false(x86_debug_translate(cpu, 0x6000, &pa));
    g_assert_false(x86_debug_translate(cpu, 0x800000000000ull, &pa));
}

/* A cached page-table pointer must not make a fault of its own. */
static void test_stale_structure_cache(void)
{
    MmuPage page;

    enter_4level();
    map_4k(0x5000, 0x200000 | 7);
    g_assert_true(x86_mmu_translate(cpu, 0x5000, MMU_READ, MMU_USER, &page));
    /* Another page table without INVLPG: allowed to be seen late, but not to fault. */
    st64_le(ram + 0x102000, 0x104000 | 7);
    st64_le(ram + 0x103000 + 6 * 8, 0);
    st64_le(ram + 0x104000 + 6 * 8, 0x300000 | 7);
    g_assert_true(x86_mmu_translate(cpu, 0x6000, MMU_READ, MMU_USER, &page));
    g_assert_cmphex(page.pa, ==, 0x300000);
}

static void test_canonical(void)
{
    MmuPage page;

    enter_4level();
    g_assert_false(x86_mmu_translate(cpu, 0x0000800000000000ull, MMU_READ, MMU_USER, &page));
    g_assert_false(page.canonical);
    g_assert_cmpint(TRY(x86_ld(cpu, 0x0000800000000000ull, 1, MMU_USER)), ==, EXC_GP);
    g_assert_cmpint(TRY(x86_ld(cpu, 0x00007ffffffff000ull, 1, MMU_USER)), ==, EXC_PF);
    g_assert_cmphex(cpu->cr2, ==, 0x00007ffffffff000ull);
    g_assert_cmphex(cpu->exc_error, ==, 4);
}

static void test_a20(void)
{
    MmuPage page;

    x86_test_reset();
    bql_lock();
    x86_cpu_set_a20(cpu, false);
    g_assert_true(x86_mmu_translate(cpu, 0x100010, MMU_READ, MMU_KNOSMAP, &page));
    g_assert_cmphex(page.pa, ==, 0x10);
    x86_cpu_set_a20(cpu, true);
    bql_unlock();
    g_assert_true(x86_mmu_translate(cpu, 0x100010, MMU_READ, MMU_KNOSMAP, &page));
    g_assert_cmphex(page.pa, ==, 0x100010);
}

static void test_pdpte(void)
{
    x86_test_reset();
    for (unsigned i = 0; i < 4; i++) {
        st64_le(ram + 0x1020 + i * 8, (0x2000 + i * 0x1000) | 1);
    }
    g_assert_true(x86_load_pdptes(cpu, 0x1020));
    g_assert_cmphex(cpu->pdpte[3], ==, 0x5001);
    st64_le(ram + 0x1020 + 8, 0x3000 | 3);          /* R/W is reserved there */
    g_assert_false(x86_load_pdptes(cpu, 0x1020));
    g_assert_cmphex(cpu->pdpte[1], ==, 0x3001);
    st64_le(ram + 0x1020 + 8, 0x3000 | 2);          /* but ignored when not present */
    g_assert_true(x86_load_pdptes(cpu, 0x1020));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    x86_test_init();
    g_test_add_data_func("/x86/mmu/random/32-bit", GINT_TO_POINTER(MODE_32), test_random);
    g_test_add_data_func("/x86/mmu/random/pae", GINT_TO_POINTER(MODE_PAE), test_random);
    g_test_add_data_func("/x86/mmu/random/4-level", GINT_TO_POINTER(MODE_4), test_random);
    g_test_add_data_func("/x86/mmu/random/5-level", GINT_TO_POINTER(MODE_5), test_random);
    g_test_add_func("/x86/mmu/accessed-dirty", test_accessed_dirty);
    g_test_add_func("/x86/mmu/no-trace", test_no_trace);
    g_test_add_func("/x86/mmu/debug-walk", test_debug_walk);
    g_test_add_func("/x86/mmu/structure-cache", test_stale_structure_cache);
    g_test_add_func("/x86/mmu/canonical", test_canonical);
    g_test_add_func("/x86/mmu/a20", test_a20);
    g_test_add_func("/x86/mmu/pdpte", test_pdpte);
    return g_test_run();
}
