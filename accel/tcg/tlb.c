/* SPDX-License-Identifier: MIT */
/*
 * Filling and flushing the software TLB.  The fast tables are in the TcgCPU (tlb.h); beside
 * each fast entry stands a TlbFull with what the slow paths need.
 *
 * Whatever changes the meaning of host addresses (memory map, guard bits) reaches the TLB
 * here: map changes flush it, a new guard bit marks the store entries of that page.
 */
#include "accel/tcg/slow.h"

#include <inttypes.h>
#include <string.h>
#include "accel/tcg/block.h"
#include "accel/tcg/exclusive.h"
#include "accel/tcg/pages.h"

unsigned tlb_index_mask = TLB_SIZE - 1;

static inline bool entry_fits(const TlbEntry *e, uint64_t va)
{
    return (e->tag & (GUEST_PAGE_MASK | TLB_INVALID)) == (va & GUEST_PAGE_MASK);
}

static uint64_t slow_bits(CPU *c, const TlbFull *f, TlbAccess acc, int mode, uint64_t va)
{
    uint64_t bits = 0;
    if (!f->ram || (acc == TLB_WRITE && f->readonly)) {
        bits |= TLB_IO;
    }
    if (acc == TLB_WRITE && f->ram && !f->readonly &&
        __atomic_load_n(f->guard, __ATOMIC_SEQ_CST)) {
        bits |= TLB_GUARD;
    }
    if (acc != TLB_FETCH && tcg_target.watched && tcg_target.watched(c, va & GUEST_PAGE_MASK)) {
        bits |= TLB_WATCH;
    }
    if (acc != TLB_FETCH && (tcg_target.align_modes >> mode & 1)) {
        bits |= TLB_ALIGN;
    }
    return bits;
}

/* Find what lies at the physical page; what is smaller than a page counts as a device. */
static bool look_up(AddressSpace *as, hwaddr pa, TlbWindow *w)
{
    MemSection s;
    uint32_t generation = __atomic_load_n(&as->generation, __ATOMIC_ACQUIRE);

    w->as = NULL;
    if (!address_space_lookup(as, pa, &s) || !s.region || !s.direct) {
        return false;
    }
    hwaddr at = pa - s.start;
    uint64_t off = s.off + at;
    if (s.size - at < GUEST_PAGE_SIZE || (off & (GUEST_PAGE_SIZE - 1)) ||
        off + GUEST_PAGE_SIZE > s.region->ram->size) {
        return false;
    }
    *w = (TlbWindow) { .generation = generation, .start = pa, .size = GUEST_PAGE_SIZE, .off = off,
                       .ram = s.region->ram, .readonly = !section_direct_store(&s) };
    if (!(s.start & (GUEST_PAGE_SIZE - 1)) && s.off + s.size <= w->ram->size) {
        w->start = s.start;
        w->off = s.off;
        w->size = (uint64_t)s.size & GUEST_PAGE_MASK;
    }
    w->as = as;
    return true;
}

static void locate(CPU *c, hwaddr pa, TlbFull *f)
{
    TlbWindow *w = &tcg_cpu(c)->slow->window;

    f->pa = pa & GUEST_PAGE_MASK;
    f->as = tcg_target.as(c);
    f->ram = NULL;
    f->code = NULL;
    f->readonly = false;
    if (unlikely(w->as != f->as || f->pa - w->start >= w->size ||
                 w->generation != __atomic_load_n(&f->as->generation, __ATOMIC_ACQUIRE)) &&
        !look_up(f->as, f->pa, w)) {
        return;
    }
    f->ram = w->ram;
    f->off = w->off + (f->pa - w->start);
    f->host = f->ram->host + f->off;
    f->guard = &f->ram->guard[f->off >> GUEST_PAGE_BITS];
    f->readonly = w->readonly;
}

static void put_bit(uint64_t *map, unsigned n, bool on)
{
    uint64_t bit = 1ull << (n & 63);
    map[n >> 6] = (map[n >> 6] & ~bit) | (on ? bit : 0);
}

static inline unsigned filter_bit(uint64_t va)
{
    uint64_t region = va >> 21;
    return (region ^ region >> 9) & (TLB_FILTER - 1);
}

static inline unsigned fetched_bit(uint64_t number)
{
    return (number ^ number >> 12) & (TLB_FETCHED - 1);
}

static void note_fetch(TlbFetched *f, uint64_t va, const TlbPage *page)
{
    if (page->size == GUEST_PAGE_SIZE) {
        put_bit(f->page, fetched_bit(va >> GUEST_PAGE_BITS), true);
    } else {
        put_bit(f->region, fetched_bit(va >> 21), true);
        f->huge |= page->size > 2 << 20;
    }
    f->high_local |= !page->global && va >> 63;
}

static bool maybe_fetched(const TlbFetched *f, uint64_t va)
{
    unsigned p = fetched_bit(va >> GUEST_PAGE_BITS), r = fetched_bit(va >> 21);
    return f->huge || (f->page[p / 64] >> p % 64 & 1) || (f->region[r / 64] >> r % 64 & 1);
}

/* What is not global has changed. */
static void local_code_moved(TcgCPU *t)
{
    tcg_code_moved(t, 0);
    if (t->slow->fetched.high_local) {
        tcg_code_moved(t, 1);
    }
}

TlbFull *tlb_fill(CPU *c, int mode, uint64_t va, TlbAccess acc, bool raise)
{
    TcgCPU *t = tcg_cpu(c);
    unsigned n = tlb_index(va);
    TlbPage page;

    if (!tcg_target.tlb_fill(c, va, acc, mode, raise, &page)) {
        return NULL;
    }
    unsigned k = tlb_table(t, mode);
    TlbTable *table = &t->slow->table[k];
    TlbFull *f = &table->full[acc][n];
    TlbEntry *e = &t->tlb[k].e[acc][n];
    bool large = page.size > GUEST_PAGE_SIZE;
    locate(c, page.pa, f);
    put_bit(table->use[acc].filled, n, true);
    put_bit(table->use[acc].global, n, page.global);
    put_bit(table->use[acc].large, n, large);
    e->tag = (va & GUEST_PAGE_MASK) | slow_bits(c, f, acc, mode, va);
    e->addend = f->ram ? (uintptr_t)f->host - (uintptr_t)(va & GUEST_PAGE_MASK) : 0;
    table->global |= page.global;
    if (large) {
        put_bit(table->large, filter_bit(va), true);
        table->large_size = MAX(table->large_size, page.size);
    }
    t->slow->fills++;
    f->writable = page.writable;
    if (acc == TLB_FETCH) {
        note_fetch(&t->slow->fetched, va, &page);
        if (f->ram) {
            page_fetched(c, f->ram, f->off, va & GUEST_PAGE_MASK, page.writable, page.global);
        }
    }
    return f;
}

TlbFull *tlb_get(CPU *c, int mode, uint64_t va, TlbAccess acc, bool raise)
{
    TcgCPU *t = tcg_cpu(c);
    unsigned n = tlb_index(va), k = tlb_table(t, mode);
    if (likely(entry_fits(&t->tlb[k].e[acc][n], va))) {
        return &t->slow->table[k].full[acc][n];
    }
    return tlb_fill(c, mode, va, acc, raise);
}

/* ---- flushing ------------------------------------------------------------------------------ */

/* Drop the entries of a table that are in `which` (NULL: all) and whose pages lie in [lo, hi]. */
static void flush_table(TlbEntry *e, TlbUse *u, const uint64_t *which, const uint64_t *but,
                        uint64_t lo, uint64_t hi)
{
    for (unsigned w = 0; w < TLB_SIZE / 64; w++) {
        uint64_t bits = u->filled[w] & (which ? which[w] : ~0ull) & ~(but ? but[w] : 0);
        for (; bits; bits &= bits - 1) {
            unsigned n = w * 64 + __builtin_ctzll(bits);
            uint64_t page = e[n].tag & GUEST_PAGE_MASK;
            if (page >= lo && page <= hi) {
                e[n].tag = ~0ull;
                u->filled[w] &= ~(bits & -bits);
            }
        }
    }
}

static void empty_table(TcgCPU *t, unsigned k, bool keep_global)
{
    TlbTable *table = &t->slow->table[k];
    for (int a = 0; a < TLB_ACCESSES; a++) {
        TlbUse *u = &table->use[a];
        flush_table(t->tlb[k].e[a], u, NULL, keep_global ? u->global : NULL, 0, ~0ull);
    }
    if (!keep_global || !table->global) {
        memset(table->large, 0, sizeof(table->large));
        table->large_size = 0;
        table->global = false;
    }
}

/* Might there be parts in the table of a large page that holds va? */
static bool maybe_large(const TlbTable *table, uint64_t va)
{
    if (table->large_size <= 2u << 20) {
        unsigned n = filter_bit(va);
        return table->large[n >> 6] >> (n & 63) & 1;
    }
    return true;
}

static void flush_page(TcgCPU *t, unsigned k, uint64_t va)
{
    TlbTable *table = &t->slow->table[k];
    bool large = unlikely(table->large_size) && maybe_large(table, va);
    for (int a = 0; a < TLB_ACCESSES; a++) {
        TlbEntry *e = &t->tlb[k].e[a][tlb_index(va)];
        if (entry_fits(e, va)) {
            e->tag = ~0ull;
        }
        if (unlikely(large)) {
            uint64_t mask = -table->large_size;
            flush_table(t->tlb[k].e[a], &table->use[a], table->use[a].large, NULL, va & mask,
                        va | ~mask);
        }
    }
}

static unsigned table_of_space(unsigned space)
{
    return space ? TLB_MODES + space - 1 : (unsigned)tcg_target.space_mode;
}

/* All spaces: nothing (but global entries) is cached of them. */
static void empty_spaces(TcgCPU *t, bool keep_global)
{
    for (unsigned k = 0; k < TLB_TABLES; k++) {
        if (t->table_used >> k & 1) {
            empty_table(t, k, keep_global);
        }
    }
    for (unsigned n = 0; n < TLB_SPACES; n++) {
        t->slow->space[n].asides = 0;
        t->slow->space[n].walk_gen = 0;
    }
    tcg_walks_forget(t);
    t->slow->flushes++;
}

static void set_space(TcgCPU *t, unsigned space)
{
    t->space = space;
    t->space_table = table_of_space(space);
    if (!(t->table_used >> t->space_table & 1)) {
        t->table_used |= 1u << t->space_table;
        memset(&t->tlb[t->space_table], 0xff, sizeof(TlbMode));
    }
    tcg_set_modes(t, t->data_mode, t->code_mode);
}

void tcg_set_modes(TcgCPU *t, int data, int code)
{
    t->data_mode = data;
    t->code_mode = code;
    t->data = &t->tlb[tlb_table(t, data)];
    t->code = &t->tlb[tlb_table(t, code)];
}

void tcg_tlb_flush(CPU *c)
{
    TcgCPU *t = tcg_cpu(c);
    if (!t) {
        return;
    }
    tcg_code_moved(t, 0);
    tcg_code_moved(t, 1);
    memset(&t->slow->fetched, 0, sizeof(t->slow->fetched));
    empty_spaces(t, false);
    for (unsigned n = 0; n < TLB_SPACES; n++) {
        t->slow->space[n].used = false;
    }
    t->slow->space[t->space].used = true;
    t->slow->space[t->space].key = tcg_target.space(c);
}

void tcg_tlb_flush_nonglobal(CPU *c)
{
    TcgCPU *t = tcg_cpu(c);
    if (t) {
        local_code_moved(t);
        empty_spaces(t, true);
    }
}

void tcg_tlb_flush_page(CPU *c, uint64_t va)
{
    TcgCPU *t = tcg_cpu(c);
    if (!t) {
        return;
    }
    if (maybe_fetched(&t->slow->fetched, va)) {
        tcg_code_moved(t, va >> 63);
    }
    for (unsigned k = 0; k < TLB_TABLES; k++) {
        if (!(t->table_used >> k & 1)) {
            continue;
        }
        bool others = k >= TLB_MODES || (int)k == tcg_target.space_mode;
        if (!others || k == t->space_table || t->slow->table[k].global) {
            flush_page(t, k, va);
        }
    }
    tcg_walks_forget(t);
    t->slow->page_flushes++;
}

/* ---- address spaces --------------------------------------------------------------------------- */

/* The one with this number, or -1. */
static int find_space(const TlbSlow *s, uint64_t key)
{
    for (unsigned n = 0; n < TLB_SPACES; n++) {
        if (s->space[n].used && s->space[n].key == key) {
            return n;
        }
    }
    return -1;
}

/* Entries that are not global leave the tables all spaces share, for where s keeps them (NULL:
 * for good). */
static void put_aside(TcgCPU *t, TlbSpace *s)
{
    if (s) {
        s->asides = 0;
    }
    for (unsigned k = 0; k < TLB_MODES; k++) {
        for (int a = 0; a < TLB_ACCESSES && (int)k != tcg_target.space_mode; a++) {
            TlbTable *table = &t->slow->table[k];
            TlbUse *u = &table->use[a];
            for (unsigned w = 0; w < TLB_SIZE / 64; w++) {
                for (uint64_t bits = u->filled[w] & ~u->global[w]; bits; bits &= bits - 1) {
                    unsigned n = w * 64 + __builtin_ctzll(bits);
                    TlbEntry *e = &t->tlb[k].e[a][n];
                    if (s && s->asides < TLB_ASIDES && !(e->tag & TLB_INVALID)) {
                        s->aside[s->asides++] = (TlbAside) {
                            k, a, n, u->large[w] >> (n & 63) & 1, *e, table->full[a][n],
                        };
                    }
                    e->tag = ~0ull;
                }
                u->filled[w] &= u->global[w];
            }
        }
    }
}

static void take_back(TcgCPU *t, TlbSpace *s)
{
    for (unsigned i = 0; i < s->asides; i++) {
        const TlbAside *b = &s->aside[i];
        TlbTable *table = &t->slow->table[b->table];
        TlbEntry *e = &t->tlb[b->table].e[b->access][b->index];
        if (!(e->tag & TLB_INVALID)) {
            continue;                   /* a global entry has come instead */
        }
        *e = b->e;
        table->full[b->access][b->index] = b->full;
        put_bit(table->use[b->access].filled, b->index, true);
        put_bit(table->use[b->access].global, b->index, false);
        put_bit(table->use[b->access].large, b->index, b->large);
    }
    s->asides = 0;
}

static void forget_space(TcgCPU *t, unsigned n, bool keep_global)
{
    TlbSpace *s = &t->slow->space[n];
    unsigned k = table_of_space(n);
    if (t->table_used >> k & 1) {
        empty_table(t, k, keep_global);
    }
    s->asides = 0;
    s->walk_gen = 0;
}

static unsigned oldest_space(const TlbSlow *s)
{
    unsigned best = 0;
    for (unsigned n = 0; n < TLB_SPACES; n++) {
        if (!s->space[n].used) {
            return n;
        }
        if (s->space[n].age < s->space[best].age) {
            best = n;
        }
    }
    return best;
}

void tcg_tlb_switch(CPU *c, bool keep)
{
    TcgCPU *t = tcg_cpu(c);
    if (!t) {
        return;
    }
    local_code_moved(t);
    TlbSlow *slow = t->slow;
    TlbSpace *old = &slow->space[t->space];
    uint64_t key = tcg_target.space(c);
    int n = find_space(slow, key);

    slow->switches++;
    slow->kept += keep && n >= 0;
    if (n == t->space) {
        if (!keep) {
            put_aside(t, NULL);
            forget_space(t, n, true);
            tcg_walks_forget(t);
        }
        return;
    }
    old->walk_gen = t->walk_gen;
    put_aside(t, old);
    if (n < 0) {
        n = oldest_space(slow);
        forget_space(t, n, false);
        slow->space[n].used = true;
        slow->space[n].key = key;
    } else if (!keep) {
        forget_space(t, n, true);
    }
    slow->space[n].age = ++slow->age;
    set_space(t, n);
    take_back(t, &slow->space[n]);
    if (slow->space[n].walk_gen) {
        t->walk_gen = slow->space[n].walk_gen;
    } else {
        tcg_walks_forget(t);
    }
}

void tcg_tlb_flush_space(CPU *c, uint64_t key)
{
    TcgCPU *t = tcg_cpu(c);
    int n = t ? find_space(t->slow, key) : -1;
    if (n < 0) {
        return;
    }
    if (n == t->space) {
        local_code_moved(t);
        put_aside(t, NULL);
        tcg_walks_forget(t);
    }
    forget_space(t, n, true);
}

void tcg_tlb_flush_space_page(CPU *c, uint64_t key, uint64_t va)
{
    TcgCPU *t = tcg_cpu(c);
    int n = t ? find_space(t->slow, key) : -1;
    if (n < 0) {
        return;
    }
    if (n == t->space) {
        tcg_tlb_flush_page(c, va);
        return;
    }
    TlbSpace *s = &t->slow->space[n];
    s->asides = 0;                      /* there are few: no need to look */
    s->walk_gen = 0;
    flush_page(t, table_of_space(n), va);
}

void tlb_info(GString *out)
{
    for (unsigned k = 0; cpus && k < cpus->len; k++) {
        const TcgCPU *t = tcg_cpu(cpu_by_index(k));
        if (t) {
            const TlbSlow *s = t->slow;
            g_string_append_printf(out, "vCPU %u TLB          %" PRIu64 " refills, %" PRIu64
                                   " flushes, %" PRIu64 " of pages; %" PRIu64
                                   " changes of space, %" PRIu64 " to remembered ones\n", k,
                                   s->fills, s->flushes, s->page_flushes, s->switches, s->kept);
        }
    }
}

/* ---- changes from outside ---------------------------------------------------------------------- */

void tcg_flush_request(CPU *c)
{
    if (c == cpu_current()) {
        tcg_tlb_flush(c);
    } else {
        cpu_request(c, CPU_REQ_TLB);
    }
}

static void guard_entry(TlbEntry *e, uintptr_t from, uint64_t len)
{
    uintptr_t host = (uintptr_t)(e->tag & GUEST_PAGE_MASK) + e->addend;
    if (!(e->tag & TLB_INVALID) && host - from < len) {
        e->tag |= TLB_GUARD;
    }
}

/* Make stores to [off, off+len) of ram take the slow path on this vCPU. */
static void guard_entries(TcgCPU *t, const RamBlock *ram, uint64_t off, uint64_t len)
{
    uintptr_t from = (uintptr_t)(ram->host + off);
    for (unsigned k = 0; k < TLB_TABLES; k++) {
        const uint64_t *filled = t->slow->table[k].use[TLB_WRITE].filled;
        for (unsigned w = 0; w < TLB_SIZE / 64 && (t->table_used >> k & 1); w++) {
            for (uint64_t bits = filled[w]; bits; bits &= bits - 1) {
                guard_entry(&t->tlb[k].e[TLB_WRITE][w * 64 + __builtin_ctzll(bits)], from, len);
            }
        }
    }
    for (unsigned n = 0; n < TLB_SPACES; n++) {
        TlbSpace *s = &t->slow->space[n];
        for (unsigned i = 0; i < s->asides; i++) {
            if (s->aside[i].access == TLB_WRITE) {
                guard_entry(&s->aside[i].e, from, len);
            }
        }
    }
}

static void guard_hook(RamBlock *ram, uint64_t off, uint64_t len)
{
    CPU *me = cpu_current();
    bool others = false;

    for (unsigned k = 0; cpus && k < cpus->len; k++) {
        CPU *c = cpu_by_index(k);
        others |= c != me && tcg_cpu(c);
    }
    if (me && tcg_cpu(me)) {
        guard_entries(tcg_cpu(me), ram, off, len);
    }
    if (!others) {
        return;
    }
    tcg_exclusive_begin(me);
    for (unsigned k = 0; k < cpus->len; k++) {
        CPU *c = cpu_by_index(k);
        if (c != me && tcg_cpu(c)) {
            guard_entries(tcg_cpu(c), ram, off, len);
        }
    }
    tcg_exclusive_end(me);
}

static void code_hook(RamBlock *ram, uint64_t off, uint64_t len)
{
    block_stored(ram->host + off, len);
}

static void map_changed(void *opaque, bool changed)
{
    for (unsigned k = 0; changed && cpus && k < cpus->len; k++) {
        if (tcg_cpu(cpu_by_index(k))) {
            tcg_flush_request(cpu_by_index(k));
        }
    }
}

static const MemListener listener = { .commit = map_changed };

void tlb_init_hooks(void)
{
    ram_guard_hook = guard_hook;
    ram_code_hook = code_hook;
}

void tlb_init_cpu(CPU *c)
{
    TcgCPU *t = tcg_cpu(c);
    t->slow = g_new0(TlbSlow, 1);
    memset(t->tlb, 0xff, TLB_MODES * sizeof(t->tlb[0]));
    t->table_used = (1u << TLB_MODES) - 1;
    t->slow->space[0].used = true;
    set_space(t, 0);
    tcg_jumps_clear(t);
    block_gone(t);
    address_space_listen(c->as, &listener, c);
    if (c->as_smm != c->as) {
        address_space_listen(c->as_smm, &listener, c);
    }
}

void tlb_destroy_cpu(CPU *c)
{
    address_space_unlisten(c->as, &listener, c);
    if (c->as_smm != c->as) {
        address_space_unlisten(c->as_smm, &listener, c);
    }
    g_clear_pointer(&tcg_cpu(c)->slow, g_free);
}
