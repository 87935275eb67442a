/* SPDX-License-Identifier: MIT */
/*
 * Pages with code, and stores to them: see pages.h.
 *
 * A page's blocks are found by the line in which they begin.  A block may reach over several
 * lines, so that one looks back as far as the page's longest block reaches.
 */
#include "accel/tcg/pages.h"

#include <string.h>

#define PAGE_DIR_BITS 12            /* pages per leaf of the page directory */
/* A page keeps its guard bit for so many stores after its last block: code that is replaced
 * comes back at once, and setting the bit again costs more than they do. */
#define IDLE_STORES 200

/* Page directory by position in RAM: leaves of 2^PAGE_DIR_BITS pages, made on first use and
 * never freed, so that looking needs no lock.  64 Ki leaves are 1 TiB of RAM. */
#define PAGE_DIR_LEAVES (1u << 16)
static CodePage *page_dir[PAGE_DIR_LEAVES];     /* [atomic] */

uint64_t page_near_stores, page_quiet_stores;

CodePage *code_page(const uint8_t *host, bool create)
{
    uint64_t off;
    RamBlock *ram = ram_block_from_host(host, &off);
    if (!ram) {
        return NULL;
    }
    uint64_t n = (ram->base + off) >> GUEST_PAGE_BITS, leaf = n >> PAGE_DIR_BITS;
    g_assert(leaf < PAGE_DIR_LEAVES);
    CodePage *dir = __atomic_load_n(&page_dir[leaf], __ATOMIC_ACQUIRE);
    if (!dir) {
        if (!create) {
            return NULL;
        }
        dir = g_new0(CodePage, 1u << PAGE_DIR_BITS);
        __atomic_store_n(&page_dir[leaf], dir, __ATOMIC_RELEASE);
    }
    CodePage *p = &dir[n & ((1u << PAGE_DIR_BITS) - 1)];
    if (create) {
        p->number = n;
        p->guard = &ram->guard[off >> GUEST_PAGE_BITS];
    }
    return __atomic_load_n(&p->guard, __ATOMIC_ACQUIRE) ? p : NULL;
}

CodePage *page_at(uint32_t number)
{
    return &__atomic_load_n(&page_dir[number >> PAGE_DIR_BITS], __ATOMIC_ACQUIRE)
        [number & ((1u << PAGE_DIR_BITS) - 1)];
}

/* ---- the map ------------------------------------------------------------------------------ */

static uint64_t line_mask(unsigned first, unsigned last)
{
    return (~0ull << (first >> 6)) & (~0ull >> (63 - (last >> 6)));
}

/* The bytes of b that lie in its nth page, as offsets in the page. */
static void block_range(const Block *b, unsigned n, unsigned *first, unsigned *last)
{
    unsigned start = (uintptr_t)b->host & (GUEST_PAGE_SIZE - 1);
    if (b->crosses && block_pages(b) == 1) {        /* a page followed by itself */
        *first = 0;
        *last = GUEST_PAGE_SIZE - 1;
    } else if (n == 0) {
        *first = start;
        *last = MIN(start + b->size, GUEST_PAGE_SIZE) - 1;
    } else {
        *first = 0;
        *last = start + b->size - GUEST_PAGE_SIZE - 1;
    }
}

static inline unsigned block_nth(const Block *b, const CodePage *p)
{
    return b->page == p->number ? 0 : 1;
}

static inline BlockRef *next_of(Block *b, unsigned n)
{
    return n ? &block_second(b)->page_next : &b->page_next;
}

/* Lines where blocks that reach into [first, last] may begin. */
static uint64_t reaching(const CodePage *p, unsigned first, unsigned last)
{
    unsigned back = p->span << 6;
    return p->starts & line_mask(first > back ? first - back : 0, last);
}

void page_list(CodePage *p, Block *b, unsigned n)
{
    unsigned first, last;
    block_range(b, n, &first, &last);
    if (!p->start) {
        p->start = g_new0(BlockRef, PAGE_LINES);
    }
    *next_of(b, n) = p->start[first >> 6];
    p->start[first >> 6] = block_ref(b);
    p->starts |= 1ull << (first >> 6);
    p->span = MAX(p->span, (last >> 6) - (first >> 6));
    p->idle = 0;
    __atomic_fetch_or(&p->lines, line_mask(first, last), __ATOMIC_SEQ_CST);
}

void page_unlist(CodePage *p, Block *b, unsigned n)
{
    unsigned first, last;
    block_range(b, n, &first, &last);
    BlockRef *at = &p->start[first >> 6];
    while (block_at(*at) != b) {
        at = next_of(block_at(*at), block_nth(block_at(*at), p));
    }
    *at = *next_of(b, n);
    if (!p->start[first >> 6]) {
        p->starts &= ~(1ull << (first >> 6));
    }
    /* which of its lines others have code in */
    uint64_t mine = line_mask(first, last), still = 0;
    unsigned from = first & ~63u, to = last | 63;
    for (uint64_t s = reaching(p, from, to); s; s &= s - 1) {
        for (Block *o = block_at(p->start[__builtin_ctzll(s)]); o;
             o = block_at(*next_of(o, block_nth(o, p)))) {
            unsigned f, l;
            block_range(o, block_nth(o, p), &f, &l);
            still |= line_mask(f, l);
        }
    }
    __atomic_store_n(&p->lines, (p->lines & ~mine) | (still & mine), __ATOMIC_SEQ_CST);
}

/* ---- making blocks ------------------------------------------------------------------------- */

void block_protect(CPU *c, const uint8_t *host)
{
    TcgCPU *t = tcg_cpu(c);
    uint64_t off;
    RamBlock *ram = ram_block_from_host(host, &off);
    if (!ram) {
        return;
    }
    block_lock();
    CodePage *p = code_page(host, true);
    unsigned n = t->making[0] != NULL;
    t->making[n] = p;
    t->made_from[n] = __atomic_load_n(&p->stores, __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&p->making, 1, __ATOMIC_SEQ_CST);
    bool had = __atomic_load_n(p->guard, __ATOMIC_SEQ_CST) & PAGE_CODE;
    if (!had) {
        __atomic_fetch_or(p->guard, PAGE_CODE, __ATOMIC_SEQ_CST);
    }
    block_unlock();
    if (!had) {
        ram_guard_hook(ram, off & GUEST_PAGE_MASK, GUEST_PAGE_SIZE);
    }
}

bool block_made(CPU *c)
{
    TcgCPU *t = tcg_cpu(c);
    bool same = true;
    for (unsigned n = 0; n < 2 && t->making[n]; n++) {
        CodePage *p = t->making[n];
        same &= __atomic_load_n(&p->stores, __ATOMIC_SEQ_CST) == t->made_from[n];
        __atomic_fetch_sub(&p->making, 1, __ATOMIC_SEQ_CST);
        t->making[n] = NULL;
    }
    return same;
}

bool block_constant_changes(const uint8_t *host, unsigned len)
{
    CodePage *p = code_page(host, false);
    unsigned at = (uintptr_t)host & (GUEST_PAGE_SIZE - 1);
    return p && at + len <= GUEST_PAGE_SIZE &&
           (__atomic_load_n(&p->patched, __ATOMIC_RELAXED) & line_mask(at, at + len - 1));
}

/* ---- dropping blocks ------------------------------------------------------------------------ */

/* Bytes [from, to] of the page are changing: is b's code?  They may be a constant that it reads
 * itself, or (patched := its line) might. */
static bool block_hit(const Block *b, unsigned n, unsigned from, unsigned to, uint64_t *patched)
{
    unsigned first, last;
    block_range(b, n, &first, &last);
    if (from > last || to < first) {
        return false;
    }
    for (unsigned k = 0; k < b->holes; k++) {
        const BlockHole *h = &block_hole(b)[k];
        unsigned hole = ((uintptr_t)b->host & (GUEST_PAGE_SIZE - 1)) + h->at;
        if (n == 0 && from >= hole && to < hole + h->len) {
            if (h->open) {
                return false;
            }
            *patched |= line_mask(hole, hole);
        }
    }
    return true;
}

/* [lock] */
static void drop_range(CodePage *p, unsigned from, unsigned to)
{
    uint64_t patched = 0;
    for (uint64_t s = reaching(p, from, to); s; s &= s - 1) {
        for (Block *b = block_at(p->start[__builtin_ctzll(s)]), *next; b; b = next) {
            unsigned n = block_nth(b, p);
            next = block_at(*next_of(b, n));
            if (block_hit(b, n, from, to, &patched)) {
                block_invalidate(b);
            }
        }
    }
    if (patched) {
        __atomic_fetch_or(&p->patched, patched, __ATOMIC_RELAXED);
    }
}

/* ---- pages that their own code can store to ------------------------------------------------- */

bool block_exposed(CPU *c, bool writable)
{
    CodePage *p = tcg_cpu(c)->making[0];

    if (!p || writable) {
        return true;
    }
    block_lock();
    bool exposed = p->exposed;
    p->trusted |= !exposed;
    block_unlock();
    return exposed;
}

/* [lock] */
static void expose(CodePage *p, uint64_t who, uint64_t va, bool everywhere)
{
    if (!everywhere || (p->exposed && p->exposed_at != va)) {
        p->exposed_for_good = true;
    }
    __atomic_store_n(&p->exposed, p->exposed | who, __ATOMIC_RELAXED);
    p->exposed_at = va;
    if (p->trusted) {
        p->trusted = false;
        __atomic_fetch_add(&p->stores, 1, __ATOMIC_SEQ_CST);    /* for who is making one */
        drop_range(p, 0, GUEST_PAGE_SIZE - 1);
    }
}

void page_fetched(CPU *c, RamBlock *ram, uint64_t off, uint64_t va, bool writable, bool global)
{
    uint64_t who = 1ull << (c->index & 63);
    CodePage *p = code_page(ram->host + off, false);
    bool everywhere = global || va >> 63;   /* what is up there is the kernel's, for all */

    if (!p ? !writable : !(__atomic_load_n(&p->exposed, __ATOMIC_RELAXED) & who) == !writable) {
        return;
    }
    if (!writable && (!everywhere || p->exposed_for_good)) {
        return;
    }
    block_lock();
    p = code_page(ram->host + off, true);
    if (writable) {
        expose(p, who, va, everywhere);
    } else if (p->exposed_at == va && !p->exposed_for_good) {
        __atomic_store_n(&p->exposed, p->exposed & ~who, __ATOMIC_RELAXED);
    }
    block_unlock();
}

/* ---- stores -------------------------------------------------------------------------------- */

/* Nothing here for long: stores may be quick again. */
static void maybe_clear_guard(CodePage *p)
{
    if (__atomic_load_n(&p->starts, __ATOMIC_RELAXED) || ++p->idle < IDLE_STORES) {
        return;
    }
    block_lock();
    if (!p->starts && !__atomic_load_n(&p->making, __ATOMIC_SEQ_CST)) {
        p->idle = 0;
        p->trusted = p->exposed_for_good = false;
        __atomic_store_n(&p->exposed, 0, __ATOMIC_RELAXED);
        __atomic_fetch_and(p->guard, (uint8_t)~PAGE_CODE, __ATOMIC_SEQ_CST);
    }
    block_unlock();
}

/* A store of any kind to [from, to] was done. */
static void stored(CodePage *p, unsigned from, unsigned to)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (unlikely(__atomic_load_n(&p->making, __ATOMIC_SEQ_CST))) {
        __atomic_fetch_add(&p->stores, 1, __ATOMIC_SEQ_CST);
    }
    if (likely(!(__atomic_load_n(&p->lines, __ATOMIC_SEQ_CST) & line_mask(from, to)))) {
        page_near_stores++;
        maybe_clear_guard(p);
        return;
    }
    block_lock();
    drop_range(p, from, to);
    block_unlock();
}

static void copy(uint8_t *to, const void *from, unsigned len)
{
    switch (len) {
    case 1: *to = *(const uint8_t *)from; break;
    case 2: memcpy(to, from, 2); break;
    case 4: memcpy(to, from, 4); break;
    case 8: memcpy(to, from, 8); break;
    default: memcpy(to, from, len);
    }
}

/* The first and last byte in which the two differ; false: they don't. */
static bool difference(const uint8_t *a, const uint8_t *b, unsigned len, unsigned *first,
                       unsigned *last)
{
    unsigned f = 0, l = len;
    while (f < len && a[f] == b[f]) {
        f++;
    }
    if (f == len) {
        return false;
    }
    while (a[l - 1] == b[l - 1]) {
        l--;
    }
    *first = f;
    *last = l - 1;
    return true;
}

/*
 * The comparison is safe because all who store to a page with code, and may be looked at like
 * this, do so under the lock; who doesn't (devices, atomic operations) never compares, and
 * drops what it hit afterwards.
 */
void page_store(CodePage *p, uint8_t *to, const void *from, unsigned len)
{
    unsigned at = (uintptr_t)to & (GUEST_PAGE_SIZE - 1), first, last;

    if (likely(!(__atomic_load_n(&p->lines, __ATOMIC_RELAXED) & line_mask(at, at + len - 1)))) {
        copy(to, from, len);
        stored(p, at, at + len - 1);
        return;
    }
    block_lock();
    if (!difference(to, from, len, &first, &last)) {
        page_quiet_stores++;
        block_unlock();
        return;
    }
    copy(to, from, len);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (unlikely(__atomic_load_n(&p->making, __ATOMIC_SEQ_CST))) {
        __atomic_fetch_add(&p->stores, 1, __ATOMIC_SEQ_CST);
    }
    drop_range(p, at + first, at + last);
    block_unlock();
}

void block_stored(const uint8_t *host, unsigned len)
{
    while (len) {
        unsigned at = (uintptr_t)host & (GUEST_PAGE_SIZE - 1);
        unsigned n = MIN(len, GUEST_PAGE_SIZE - at);
        CodePage *p = code_page(host, false);
        if (p) {
            stored(p, at, at + n - 1);
        }
        host += n;
        len -= n;
    }
}
