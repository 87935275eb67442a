/* SPDX-License-Identifier: MIT */
/*
 * Filling and flushing the software TLB.  The fast tables are in the TcgCPU (tlb.h); beside
 * each fast entry stands a TlbFull with what the slow paths need.
 *
 * Whatever changes the meaning of host addresses (memory map, guard bits) reaches the TLB
 * here: map changes flush it, a new guard bit marks the store entries of that page.
 */
#include "accel/tcg/slow.h"

#include <string.h>
#include "accel/tcg/block.h"
#include "accel/tcg/exclusive.h"

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
static void locate(CPU *c, hwaddr pa, TlbFull *f)
{
    MemSection s;

    f->pa = pa & GUEST_PAGE_MASK;
    f->as = tcg_target.as(c);
    f->ram = NULL;
    f->code = NULL;
    f->readonly = false;
    if (!address_space_lookup(f->as, f->pa, &s) || !s.region || !s.region->ram ||
        s.region->kind == REGION_IO) {
        return;
    }
    hwaddr at = f->pa - s.start;
    uint64_t off = s.off + at;
    if (s.size - at < GUEST_PAGE_SIZE || (off & (GUEST_PAGE_SIZE - 1)) ||
        off + GUEST_PAGE_SIZE > s.region->ram->size) {
        return;
    }
    f->ram = s.region->ram;
    f->off = off;
    f->host = f->ram->host + off;
    f->guard = &f->ram->guard[off >> GUEST_PAGE_BITS];
    f->readonly = s.readonly;
}

static void mark_used(TlbUse *u, unsigned n, bool global)
{
    uint64_t bit = 1ull << (n & 63);
    u->filled[n >> 6] |= bit;
    u->global[n >> 6] = (u->global[n >> 6] & ~bit) | (global ? bit : 0);
}

TlbFull *tlb_fill(CPU *c, int mode, uint64_t va, TlbAccess acc, bool raise)
{
    TcgCPU *t = tcg_cpu(c);
    unsigned n = tlb_index(va);
    TlbPage page;

    if (!tcg_target.tlb_fill(c, va, acc, mode, raise, &page)) {
        return NULL;
    }
    TlbFull *f = &t->slow->full[mode][acc][n];
    TlbEntry *e = &t->tlb[mode].e[acc][n];
    locate(c, page.pa, f);
    mark_used(&t->slow->use[mode][acc], n, page.global);
    e->tag = (va & GUEST_PAGE_MASK) | slow_bits(c, f, acc, mode, va);
    e->addend = f->ram ? (uintptr_t)f->host - (uintptr_t)(va & GUEST_PAGE_MASK) : 0;
    if (page.size > GUEST_PAGE_SIZE) {
        t->slow->large_lo = MIN(t->slow->large_lo, va & -page.size);
        t->slow->large_hi = MAX(t->slow->large_hi, va | (page.size - 1));
        t->slow->large_size = MAX(t->slow->large_size, page.size);
    }
    t->slow->fills++;
    return f;
}

TlbFull *tlb_get(CPU *c, int mode, uint64_t va, TlbAccess acc, bool raise)
{
    TcgCPU *t = tcg_cpu(c);
    unsigned n = tlb_index(va);
    if (likely(entry_fits(&t->tlb[mode].e[acc][n], va))) {
        return &t->slow->full[mode][acc][n];
    }
    return tlb_fill(c, mode, va, acc, raise);
}

/* ---- flushing ------------------------------------------------------------------------------ */

static void forget_large(TlbSlow *s)
{
    s->large_lo = UINT64_MAX;
    s->large_hi = 0;
    s->large_size = 0;
}

/* Drop the entries of a table whose pages lie in [lo, hi]. */
static void flush_table(TlbEntry *e, TlbUse *u, bool keep_global, uint64_t lo, uint64_t hi)
{
    for (unsigned w = 0; w < TLB_SIZE / 64; w++) {
        uint64_t bits = u->filled[w] & ~(keep_global ? u->global[w] : 0);
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

static void flush_tables(CPU *c, bool keep_global, uint64_t lo, uint64_t hi)
{
    TcgCPU *t = tcg_cpu(c);
    for (int m = 0; m < TLB_MODES; m++) {
        for (int a = 0; a < TLB_ACCESSES; a++) {
            flush_table(t->tlb[m].e[a], &t->slow->use[m][a], keep_global, lo, hi);
        }
    }
}

void tcg_tlb_flush(CPU *c)
{
    TcgCPU *t = tcg_cpu(c);
    if (t) {
        flush_tables(c, false, 0, ~0ull);
        forget_large(t->slow);
        t->slow->flushes++;
    }
}

void tcg_tlb_flush_nonglobal(CPU *c)
{
    TcgCPU *t = tcg_cpu(c);
    if (t) {
        flush_tables(c, true, 0, ~0ull);
        t->slow->flushes++;
    }
}

void tcg_tlb_flush_page(CPU *c, uint64_t va)
{
    TcgCPU *t = tcg_cpu(c);
    if (!t) {
        return;
    }
    if (va >= t->slow->large_lo && va <= t->slow->large_hi) {
        uint64_t mask = -t->slow->large_size;
        flush_tables(c, false, va & mask, va | ~mask);
        return;
    }
    for (int m = 0; m < TLB_MODES; m++) {
        for (int a = 0; a < TLB_ACCESSES; a++) {
            TlbEntry *e = &t->tlb[m].e[a][tlb_index(va)];
            if (entry_fits(e, va)) {
                e->tag = ~0ull;
            }
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

/* Make stores to [off, off+len) of ram take the slow path on this vCPU. */
static void guard_entries(TcgCPU *t, const RamBlock *ram, uint64_t off, uint64_t len)
{
    for (int m = 0; m < TLB_MODES; m++) {
        TlbEntry *table = t->tlb[m].e[TLB_WRITE];
        for (unsigned w = 0; w < TLB_SIZE / 64; w++) {
            for (uint64_t bits = t->slow->use[m][TLB_WRITE].filled[w]; bits; bits &= bits - 1) {
                TlbEntry *e = &table[w * 64 + __builtin_ctzll(bits)];
                uintptr_t host = (uintptr_t)(e->tag & GUEST_PAGE_MASK) + e->addend;
                if (!(e->tag & TLB_INVALID) && host - (uintptr_t)(ram->host + off) < len) {
                    e->tag |= TLB_GUARD;
                }
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
    t->data = &t->tlb[0];
    t->code = &t->tlb[0];
    memset(t->tlb, 0xff, sizeof(t->tlb));
    forget_large(t->slow);
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
