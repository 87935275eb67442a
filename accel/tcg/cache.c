/* SPDX-License-Identifier: MIT */
/*
 * The block cache: storage, look-up by host address and mode, chaining, and what happens when
 * guest code is written to.
 *
 * Storage is a ring of chunks filled one after the other; when the ring is full the oldest
 * chunk's blocks are dropped together.  Invalidated blocks stay where they are until then, so
 * a vCPU may be inside one: the target makes every instruction of it lead back to the loop.
 *
 * For each page of guest RAM with code there is a CodePage: the list of blocks and a map of
 * 64-byte lines that hold code.  A store that hits no such line costs a look at the map.
 */
#include "accel/tcg/block.h"

#include <inttypes.h>
#include <string.h>
#include "accel/tcg/code.h"
#include "accel/tcg/exclusive.h"
#include "util/log.h"

#define CHUNKS 16
#define DEFAULT_SIZE (64u << 20)
#define MIN_CHUNK (256u << 10)      /* any block fits several times */
#define HASH_BITS 16
#define HASH_SIZE (1u << HASH_BITS)
#define PAGE_DIR_BITS 12            /* pages per leaf of the page directory */

typedef struct CodePage {
    uint64_t lines;                 /* bit n: code in bytes 64n .. 64n+63 */
    Block *blocks;
    uint8_t *guard;                 /* the page's guard byte */
    const uint8_t *host;
} CodePage;

typedef struct Chunk {
    uint8_t *mem;
    size_t used, code_used;         /* the second in the chunk's part of the code area */
} Chunk;

Block block_none = { .mode = BLOCK_DEAD };

static GMutex lock;
static Chunk chunks[CHUNKS];
static unsigned chunk_now;
static size_t chunk_size;
static uint8_t *code_base;          /* NULL: no host code */
uint32_t block_kills;
static Block *hash[HASH_SIZE];      /* [atomic] */

/* Page directory by position in RAM: leaves of 2^PAGE_DIR_BITS pages, made on first use and
 * never freed, so that looking needs no lock.  64 Ki leaves are 1 TiB of RAM. */
#define PAGE_DIR_LEAVES (1u << 16)
static CodePage *page_dir[PAGE_DIR_LEAVES];     /* [atomic] */

static struct {
    uint64_t made, made_insns, made_bytes, made_code, invalidated, evicted_chunks, flushes, near_stores;
} stats;

void block_cache_init(size_t bytes)
{
    bytes = bytes ? bytes : DEFAULT_SIZE;
    chunk_size = MAX(bytes / CHUNKS, MIN_CHUNK) & ~(size_t)63;
}

bool block_cache_init_code(size_t fixed, Error **err)
{
    if (!code_area_init(fixed + chunk_size * CHUNKS, err)) {
        return false;
    }
    code_base = code_area() + fixed;
    return true;
}

/* ---- pages ------------------------------------------------------------------------------- */

/* [lock if create] */
static CodePage *code_page(const uint8_t *host, bool create)
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
        p->guard = &ram->guard[off >> GUEST_PAGE_BITS];
        p->host = ram->host + (off & GUEST_PAGE_MASK);
    }
    return p;
}

void block_protect(const uint8_t *host, unsigned len)
{
    uint64_t off;
    RamBlock *ram = ram_block_from_host(host, &off);
    if (!ram) {
        return;
    }
    uint8_t *guard = &ram->guard[off >> GUEST_PAGE_BITS];
    if (!(__atomic_fetch_or(guard, PAGE_CODE, __ATOMIC_SEQ_CST) & PAGE_CODE)) {
        ram_guard_hook(ram, off & GUEST_PAGE_MASK, GUEST_PAGE_SIZE);
    }
}

static uint64_t line_mask(unsigned first, unsigned last)
{
    return (~0ull << (first >> 6)) & (~0ull >> (63 - (last >> 6)));
}

/* The bytes of b that lie in its nth page, as offsets in the page. */
static void block_range(const Block *b, unsigned n, unsigned *first, unsigned *last)
{
    unsigned start = (uintptr_t)b->host & (GUEST_PAGE_SIZE - 1);
    if (b->host2 && !b->page[1]) {          /* a page followed by itself */
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

/* ---- look-up -------------------------------------------------------------------------------- */

static inline unsigned hash_of(const uint8_t *host, uint32_t mode)
{
    uint64_t h = ((uintptr_t)host ^ (uint64_t)mode << 40) * 0x9e3779b97f4a7c15ull;
    return h >> (64 - HASH_BITS);
}

Block *block_find(const uint8_t *host, uint32_t mode)
{
    Block *b = __atomic_load_n(&hash[hash_of(host, mode)], __ATOMIC_ACQUIRE);
    while (b && !(b->host == host && (b->mode & ~BLOCK_CROSS) == mode && b->mode != BLOCK_DEAD)) {
        b = __atomic_load_n(&b->hash_next, __ATOMIC_ACQUIRE);
    }
    return b;
}

/* ---- chaining ---------------------------------------------------------------------------------- */

static void unlink_one(BlockLink *l)
{
    BlockLink **p = &l->to->incoming;
    while (*p != l) {
        p = &(*p)->next;
    }
    *p = l->next;
    l->next = NULL;
    __atomic_store_n(&l->to, NULL, __ATOMIC_RELEASE);
}

void block_chain(Block *from, unsigned n, Block *to, bool same_page)
{
    g_mutex_lock(&lock);
    BlockLink *l = &from->link[n];
    if (from->mode != BLOCK_DEAD && to->mode != BLOCK_DEAD && l->to != to) {
        if (l->to) {                    /* in another page, which is mapped elsewhere now */
            unlink_one(l);
            tcg_target.link(from, n, NULL);
        }
        l->next = to->incoming;
        to->incoming = l;
        __atomic_store_n(&l->to, to, __ATOMIC_RELEASE);
        if (same_page) {
            tcg_target.link(from, n, to);
        }
    }
    g_mutex_unlock(&lock);
}

static void unchain(Block *b)
{
    for (BlockLink *l = b->incoming, *next; l; l = next) {
        next = l->next;
        l->next = NULL;
        __atomic_store_n(&l->to, NULL, __ATOMIC_RELEASE);
        tcg_target.link(l->from, l->n, NULL);
    }
    b->incoming = NULL;
    for (unsigned n = 0; n < 2; n++) {
        if (b->link[n].to) {
            unlink_one(&b->link[n]);
            tcg_target.link(b, n, NULL);
        }
    }
}

/* ---- removing ------------------------------------------------------------------------------------ */

static void unlist(Block *b, unsigned n)
{
    CodePage *p = b->page[n];
    Block **at = &p->blocks;
    uint64_t lines = 0;
    /* a page's list holds a block once; which of its two pages it is decides the link used */
    while (*at) {
        Block *o = *at;
        unsigned k = o->page[0] == p ? 0 : 1, first, last;
        if (o == b) {
            *at = o->page_next[k];
            continue;
        }
        block_range(o, k, &first, &last);
        lines |= line_mask(first, last);
        at = &o->page_next[k];
    }
    p->lines = lines;
}

/* [lock] */
static void invalidate(Block *b)
{
    Block **at = &hash[hash_of(b->host, b->mode & ~BLOCK_CROSS)];
    while (*at != b) {
        at = &(*at)->hash_next;
    }
    __atomic_store_n(at, b->hash_next, __ATOMIC_RELEASE);
    __atomic_store_n(&b->mode, BLOCK_DEAD, __ATOMIC_RELEASE);
    unchain(b);
    for (unsigned n = 0; n < 2 && b->page[n]; n++) {
        unlist(b, n);
        if (!b->page[n]->blocks) {
            __atomic_fetch_and(b->page[n]->guard, (uint8_t)~PAGE_CODE, __ATOMIC_SEQ_CST);
        }
    }
    tcg_target.kill(b);
    __atomic_fetch_add(&block_kills, 1, __ATOMIC_RELEASE);
    stats.invalidated++;
}

void block_drop(Block *b)
{
    g_mutex_lock(&lock);
    if (b->mode != BLOCK_DEAD) {
        invalidate(b);
    }
    g_mutex_unlock(&lock);
}

/* The part of a store within one page. */
static bool stored_in_page(const uint8_t *host, unsigned len)
{
    CodePage *p = code_page(host, false);
    if (!p) {
        return true;
    }
    unsigned from = (uintptr_t)host & (GUEST_PAGE_SIZE - 1), to = from + len - 1;
    if (!(__atomic_load_n(&p->lines, __ATOMIC_RELAXED) & line_mask(from, to))) {
        stats.near_stores++;
        return false;
    }
    g_mutex_lock(&lock);
    for (Block *b = p->blocks, *next; b; b = next) {
        unsigned n = b->page[0] == p ? 0 : 1, first, last;
        next = b->page_next[n];
        block_range(b, n, &first, &last);
        if (first <= to && from <= last) {
            invalidate(b);
        }
    }
    bool gone = !p->blocks;
    g_mutex_unlock(&lock);
    return gone;
}

bool block_stored(const uint8_t *host, unsigned len)
{
    bool gone = true;
    while (len) {
        unsigned n = MIN(len, GUEST_PAGE_SIZE - ((uintptr_t)host & (GUEST_PAGE_SIZE - 1)));
        gone &= stored_in_page(host, n);
        host += n;
        len -= n;
    }
    return gone;
}

/* ---- storage -------------------------------------------------------------------------------------- */

static void drop_jumps(void)
{
    for (unsigned k = 0; cpus && k < cpus->len; k++) {
        TcgCPU *t = tcg_cpu(cpu_by_index(k));
        if (t) {
            tcg_jumps_clear(t);
        }
    }
}

/* [exclusive, lock] */
static void empty_chunk(Chunk *ch)
{
    for (size_t at = 0; at < ch->used;) {
        Block *b = (Block *)(ch->mem + at);
        at += b->alloc;
        if (b->mode != BLOCK_DEAD) {
            invalidate(b);
        }
    }
    ch->used = ch->code_used = 0;
}

static void next_chunk(CPU *c)
{
    tcg_exclusive_begin(c);
    g_mutex_lock(&lock);
    chunk_now = (chunk_now + 1) % CHUNKS;
    if (chunks[chunk_now].used) {
        stats.evicted_chunks++;
        empty_chunk(&chunks[chunk_now]);
        drop_jumps();
    }
    g_mutex_unlock(&lock);
    tcg_exclusive_end(c);
}

Block *block_alloc(CPU *c, size_t payload, size_t code, uint8_t **rx)
{
    size_t size = (sizeof(Block) + payload + 63) & ~(size_t)63;
    size_t code_size = (code + 15) & ~(size_t)15;
    Block *b;

    for (;;) {
        g_mutex_lock(&lock);
        Chunk *ch = &chunks[chunk_now];
        if (!ch->mem) {
            ch->mem = g_malloc(chunk_size + 64);
            ch->mem += -(uintptr_t)ch->mem & 63;
        }
        if (ch->used + size <= chunk_size && ch->code_used + code_size <= chunk_size) {
            b = (Block *)(ch->mem + ch->used);
            if (code) {
                *rx = code_base + chunk_now * chunk_size + ch->code_used;
            }
            ch->used += size;
            ch->code_used += code_size;
            memset(b, 0, sizeof(*b));
            b->alloc = size;
            b->code_size = code;
            b->mode = BLOCK_DEAD;
            g_mutex_unlock(&lock);
            return b;
        }
        g_mutex_unlock(&lock);
        next_chunk(c);
    }
}

void block_insert(CPU *c, Block *b)
{
    unsigned first, last;
    uint32_t mode = b->mode;

    for (unsigned n = 0; n < 2; n++) {
        b->link[n].from = b;
        b->link[n].n = n;
    }
    g_mutex_lock(&lock);
    b->page[0] = code_page(b->host, true);
    b->page[1] = b->host2 ? code_page(b->host2, true) : NULL;
    if (b->page[1] == b->page[0]) {
        b->page[1] = NULL;
    }
    for (unsigned n = 0; n < 2 && b->page[n]; n++) {
        CodePage *p = b->page[n];
        block_range(b, n, &first, &last);
        b->page_next[n] = p->blocks;
        p->blocks = b;
        __atomic_store_n(&p->lines, p->lines | line_mask(first, last), __ATOMIC_RELEASE);
        __atomic_fetch_or(p->guard, PAGE_CODE, __ATOMIC_SEQ_CST);
    }
    Block **head = &hash[hash_of(b->host, mode & ~BLOCK_CROSS)];
    b->hash_next = *head;
    __atomic_store_n(head, b, __ATOMIC_RELEASE);
    stats.made++;
    stats.made_insns += b->count;
    stats.made_bytes += b->size;
    stats.made_code += b->code_size;
    g_mutex_unlock(&lock);
}

void block_flush_all(void)
{
    CPU *c = cpu_current();
    tcg_exclusive_begin(c);
    g_mutex_lock(&lock);
    for (unsigned k = 0; k < CHUNKS; k++) {
        empty_chunk(&chunks[k]);
    }
    drop_jumps();
    stats.flushes++;
    g_mutex_unlock(&lock);
    tcg_exclusive_end(c);
}

void block_cache_info(GString *out)
{
    size_t used = 0, code = 0;
    g_mutex_lock(&lock);
    for (unsigned k = 0; k < CHUNKS; k++) {
        used += chunks[k].used;
        code += chunks[k].code_used;
    }
    g_string_append_printf(out,
        "cache               %zu of %zu KiB\n"
        "host code           %zu KiB, %.2f bytes for a guest byte\n"
        "blocks made         %" PRIu64 "\n"
        "  instructions      %.1f each, %.1f guest bytes\n"
        "invalidated         %" PRIu64 "\n"
        "chunks evicted      %" PRIu64 ", flushes %" PRIu64 "\n"
        "stores near code    %" PRIu64 "\n",
        used >> 10, chunk_size * CHUNKS >> 10, code >> 10,
        stats.made_bytes ? (double)stats.made_code / stats.made_bytes : 0.0, stats.made,
        stats.made ? (double)stats.made_insns / stats.made : 0.0,
        stats.made ? (double)stats.made_bytes / stats.made : 0.0, stats.invalidated,
        stats.evicted_chunks, stats.flushes, stats.near_stores);
    g_mutex_unlock(&lock);
}
