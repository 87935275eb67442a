/* SPDX-License-Identifier: MIT */
/*
 * The block cache: storage, look-up by host address and mode, chaining, and what happens when
 * guest code is written to.
 *
 * Storage is a ring of chunks filled one after the other; when the ring is full the oldest
 * chunk's blocks are dropped together.  Invalidated blocks stay where they are until the chunk
 * is used again, so a vCPU may be inside one: the target makes every instruction of it lead
 * back to the loop.
 *
 * A vCPU can also be in a device access, from the middle of a block: it counts as out of guest
 * code then, but will go back into the block.  So the blocks of a chunk are dropped one chunk
 * ahead of its use, and it is used when all vCPUs have been in the loop since (epochs).
 */
#include "accel/tcg/pages.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include "accel/tcg/code.h"
#include "accel/tcg/exclusive.h"
#include "util/log.h"

#define CHUNKS 16
#define DEFAULT_SIZE (64u << 20)
#define MIN_CHUNK (16u << 10)       /* holds two blocks of any size: see block_max_size */
#define MAX_BLOCK (128u << 10)
#define BLOCK_TAIL (sizeof(BlockSecond) + BLOCK_HOLES * sizeof(BlockHole))
#define HASH_BITS 16
#define HASH_SIZE (1u << HASH_BITS)

typedef struct Chunk {
    uint8_t *mem;                       /* pages come when they are touched */
    size_t used, code_used;         /* the second in the chunk's part of the code area */
    size_t dead;                    /* below this all blocks are invalid */
    uint64_t since;                 /* free (but for used) once all vCPUs have seen this epoch */
} Chunk;

Block block_none = { .mode = BLOCK_DEAD };

static GMutex lock;
static Chunk chunks[CHUNKS];
static unsigned chunk_count, chunk_now;
static size_t chunk_size;
uint8_t *block_base;                /* of all chunks, less 16: a BlockRef is never 0 */
uint8_t *block_code_base;
/* The first block whose code begins in each 1 << STEP_BITS bytes of the code area. [lock] */
#define STEP_BITS 10
static Block **code_step;
uint32_t block_kills;
uint64_t block_epoch = 1;
static BlockRef hash[HASH_SIZE];    /* [atomic] */

static struct {
    uint64_t made, made_insns, made_bytes, made_code, invalidated, evicted_chunks, flushes;
    uint64_t links, unlinks;        /* made, and undone */
} stats;

void block_lock(void)
{
    g_mutex_lock(&lock);
}
void block_unlock(void)
{
    g_mutex_unlock(&lock);
}

bool block_cache_init(size_t bytes, Error **err)
{
    bytes = bytes ? MAX(bytes, BLOCK_CACHE_MIN) : DEFAULT_SIZE;
    chunk_count = MIN(bytes / MIN_CHUNK, CHUNKS);
    chunk_size = bytes / chunk_count & ~(size_t)((1 << STEP_BITS) - 1);
    uint8_t *mem = mmap(NULL, chunk_size * chunk_count, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mem == MAP_FAILED) {
        return fail_errno(err, errno, "no memory for translated blocks");
    }
    for (unsigned k = 0; k < chunk_count; k++) {
        chunks[k].mem = mem + k * chunk_size;
    }
    block_base = mem - 16;
    return true;
}

size_t block_max_size(void)
{
    return MIN(chunk_size / 2 - sizeof(Block) - BLOCK_TAIL, MAX_BLOCK);
}

bool block_cache_init_code(size_t fixed, Error **err)
{
    if (!code_area_init(fixed + chunk_size * chunk_count, err)) {
        return false;
    }
    block_code_base = code_area() + fixed;
    code_step = g_new0(Block *, (chunk_size * chunk_count >> STEP_BITS) + 1);
    return true;
}

static inline Block *block_behind(const Block *b)
{
    return (Block *)((uintptr_t)b + b->alloc * 16u);
}

Block *block_of_code(const uint8_t *rx)
{
    size_t off = rx - block_code_base, first = off / chunk_size * chunk_size >> STEP_BITS;
    g_mutex_lock(&lock);
    size_t n = off >> STEP_BITS;
    while (n > first && !(code_step[n] && block_code(code_step[n]) <= rx)) {
        n--;
    }
    Block *b = code_step[n];
    while (rx >= block_code(b) + b->code_size) {
        b = block_behind(b);
    }
    g_mutex_unlock(&lock);
    return b;
}

/* A block has got its place for code. [lock] */
static void note_code(Block *b)
{
    Block **step = &code_step[b->code >> STEP_BITS];
    if (!*step) {
        *step = b;
    }
}

static void forget_code(unsigned chunk)
{
    size_t first = chunk * chunk_size >> STEP_BITS, end = (chunk + 1) * chunk_size >> STEP_BITS;
    if (block_code_base) {
        memset(code_step + first, 0, (end - first) * sizeof(Block *));
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
    Block *b = block_at(__atomic_load_n(&hash[hash_of(host, mode)], __ATOMIC_ACQUIRE));
    while (b && !(b->host == host && (b->mode & ~BLOCK_CROSS) == mode && b->mode != BLOCK_DEAD)) {
        b = block_at(__atomic_load_n(&b->hash_next, __ATOMIC_ACQUIRE));
    }
    return b;
}

/* ---- chaining ---------------------------------------------------------------------------------- */

static inline Block *link_from(uint32_t l, unsigned *n)
{
    *n = l & 1;
    return block_at(l >> 1);
}

static void unlink_one(Block *from, unsigned n)
{
    BlockLink *l = &from->link[n];
    uint32_t *p = &block_at(l->to)->incoming;
    while (*p != (block_ref(from) << 1 | n)) {
        unsigned m;
        Block *other = link_from(*p, &m);
        p = &other->link[m].next;
    }
    *p = l->next;
    l->next = 0;
    stats.unlinks++;
    __atomic_store_n(&l->to, 0, __ATOMIC_RELEASE);
}

void block_chain(Block *from, unsigned n, Block *to, bool same_page)
{
    g_mutex_lock(&lock);
    BlockLink *l = &from->link[n];
    if (from->mode != BLOCK_DEAD && to->mode != BLOCK_DEAD && l->to != block_ref(to)) {
        if (l->to) {                    /* in another page, which is mapped elsewhere now */
            unlink_one(from, n);
            tcg_target.link(from, n, NULL);
        }
        l->next = to->incoming;
        to->incoming = block_ref(from) << 1 | n;
        stats.links++;
        __atomic_store_n(&l->to, block_ref(to), __ATOMIC_RELEASE);
        if (same_page) {
            tcg_target.link(from, n, to);
        }
    }
    g_mutex_unlock(&lock);
}

unsigned block_followers(Block *b, Block **out, unsigned max)
{
    unsigned n = 1;

    out[0] = b;
    g_mutex_lock(&lock);
    for (unsigned k = 0; k < n; k++) {
        for (unsigned l = 0; l < 2 && n < max; l++) {
            Block *to = block_link(out[k], l);
            if (to && to->host > out[k]->host && to->page == b->page) {
                out[n++] = to;
            }
        }
    }
    g_mutex_unlock(&lock);
    return n;
}

static void unchain(Block *b)
{
    for (uint32_t l = b->incoming, next; l; l = next) {
        unsigned n;
        Block *from = link_from(l, &n);
        next = from->link[n].next;
        from->link[n].next = 0;
        stats.unlinks++;
        __atomic_store_n(&from->link[n].to, 0, __ATOMIC_RELEASE);
        tcg_target.link(from, n, NULL);
    }
    b->incoming = 0;
    for (unsigned n = 0; n < 2; n++) {
        if (b->link[n].to) {
            unlink_one(b, n);
            tcg_target.link(b, n, NULL);
        }
    }
}

/* ---- removing ------------------------------------------------------------------------------------ */

void block_invalidate(Block *b)
{
    BlockRef *at = &hash[hash_of(b->host, b->mode & ~BLOCK_CROSS)];
    while (block_at(*at) != b) {
        at = &block_at(*at)->hash_next;
    }
    __atomic_store_n(at, b->hash_next, __ATOMIC_RELEASE);
    __atomic_store_n(&b->mode, BLOCK_DEAD, __ATOMIC_RELEASE);
    unchain(b);
    for (unsigned n = 0; n < block_pages(b); n++) {
        page_unlist(block_page(b, n), b, n);
    }
    tcg_target.kill(b);
    __atomic_fetch_add(&block_kills, 1, __ATOMIC_RELEASE);
    stats.invalidated++;
}

void block_drop(Block *b)
{
    g_mutex_lock(&lock);
    if (b->mode != BLOCK_DEAD) {
        block_invalidate(b);
    }
    g_mutex_unlock(&lock);
}

/* ---- storage -------------------------------------------------------------------------------------- */

void tcg_jumps_drop(TcgCPU *t, const void *from, const void *to)
{
    for (unsigned w = 0; w < JUMP_SIZE / 64; w++) {
        for (uint64_t bits = t->jump_used[w]; bits; bits &= bits - 1) {
            JumpEntry *e = &t->jump[w * 64 + __builtin_ctzll(bits)];
            const void *b = e->block;
            if (b >= from && b < to) {
                *e = (JumpEntry) { 0, ~0ull, &block_none };
            } else if (b != &block_none) {
                continue;
            }
            t->jump_used[w] &= ~(bits & -bits);
        }
    }
}

static void drop_jumps(const Chunk *ch)
{
    for (unsigned k = 0; cpus && k < cpus->len; k++) {
        TcgCPU *t = tcg_cpu(cpu_by_index(k));
        if (t) {
            tcg_jumps_drop(t, ch->mem, ch->mem + chunk_size);
        }
    }
}

/* Nothing leads into the chunk's blocks any more; who is inside will come out.
 * [exclusive, lock] */
static void kill_chunk(Chunk *ch)
{
    while (ch->dead < ch->used) {
        Block *b = (Block *)(ch->mem + ch->dead);
        ch->dead += b->alloc * 16u;
        if (b->mode != BLOCK_DEAD) {
            block_invalidate(b);
        }
    }
}

/* Have all vCPUs but c been in the loop since this epoch?  Asks those that have not. */
static bool all_seen(const CPU *c, uint64_t epoch)
{
    bool all = true;
    for (unsigned k = 0; cpus && k < cpus->len; k++) {
        CPU *o = cpu_by_index(k);
        if (o != c && tcg_cpu(o) && __atomic_load_n(&tcg_cpu(o)->epoch, __ATOMIC_SEQ_CST) < epoch) {
            __atomic_fetch_or(&o->request, CPU_REQ_SYNC, __ATOMIC_SEQ_CST);
            all = false;
        }
    }
    return all;
}

/* Go on to the next chunk, whose blocks were dropped when the present one was begun, and drop
 * those of the one after it. */
static void next_chunk(CPU *c)
{
    unsigned next = (chunk_now + 1) % chunk_count;
    TcgCPU *t = tcg_cpu(c);
    bool in_guest = t->in_guest && !t->exclusive;

    if (!all_seen(c, chunks[next].since)) {
        block_gone(t);                  /* this one is in no block either: another may wait */
        if (in_guest) {
            tcg_leave_guest(c);
        }
        while (!all_seen(c, chunks[next].since)) {
            g_usleep(20);
        }
        if (in_guest) {
            tcg_enter_guest(c);
        }
        block_quiet(t);
    }
    tcg_exclusive_begin(c);
    g_mutex_lock(&lock);
    if ((chunk_now + 1) % chunk_count == next && all_seen(c, chunks[next].since)) {
        Chunk *ahead = &chunks[(next + 1) % chunk_count];
        chunk_now = next;
        chunks[next].used = chunks[next].code_used = chunks[next].dead = 0;
        forget_code(next);
        if (ahead->used) {
            stats.evicted_chunks++;
            kill_chunk(ahead);
            drop_jumps(ahead);
            ahead->since = __atomic_add_fetch(&block_epoch, 1, __ATOMIC_SEQ_CST);
        }
    }
    g_mutex_unlock(&lock);
    tcg_exclusive_end(c);
}

Block *block_alloc(CPU *c, size_t payload, size_t code, unsigned holes, const uint8_t *host2)
{
    size_t tail = holes * sizeof(BlockHole) + (host2 ? sizeof(BlockSecond) : 0);
    size_t size = (sizeof(Block) + payload + tail + 15) & ~(size_t)15;
    size_t code_size = (code + BLOCK_CODE_ALIGN - 1) & ~(size_t)(BLOCK_CODE_ALIGN - 1);
    Block *b;

    g_assert(size <= chunk_size && code_size <= chunk_size && code <= UINT16_MAX &&
             size / 16 <= UINT16_MAX);
    for (;;) {
        g_mutex_lock(&lock);
        Chunk *ch = &chunks[chunk_now];
        if (ch->used + size <= chunk_size && ch->code_used + code_size <= chunk_size) {
            b = (Block *)(ch->mem + ch->used);
            memset(b, 0, sizeof(*b));
            b->alloc = size / 16;
            b->code_size = code;
            b->mode = BLOCK_DEAD;
            b->holes = holes;
            b->crosses = host2 != NULL;
            if (host2) {
                *block_second(b) = (BlockSecond) { .host = host2 };
            }
            if (code) {
                b->code = chunk_now * chunk_size + ch->code_used;
                note_code(b);
            }
            ch->used += size;
            ch->code_used += code_size;
            g_mutex_unlock(&lock);
            return b;
        }
        g_mutex_unlock(&lock);
        next_chunk(c);
    }
}

void block_insert(CPU *c, Block *b)
{
    TcgCPU *t = tcg_cpu(c);
    uint32_t mode = b->mode;

    g_mutex_lock(&lock);
    b->page = t->making[0]->number;
    if (b->crosses) {
        block_second(b)->page = t->making[1]->number;
    }
    for (unsigned n = 0; n < block_pages(b); n++) {
        page_list(block_page(b, n), b, n);
    }
    BlockRef *head = &hash[hash_of(b->host, mode & ~BLOCK_CROSS)];
    b->hash_next = *head;
    __atomic_store_n(head, block_ref(b), __ATOMIC_RELEASE);
    stats.made++;
    stats.made_insns += b->count;
    stats.made_bytes += b->size;
    stats.made_code += b->code_size;
    if (!block_made(c)) {
        block_invalidate(b);        /* good for this once */
    }
    g_mutex_unlock(&lock);
}

void block_flush_all(void)
{
    CPU *c = cpu_current();
    tcg_exclusive_begin(c);
    g_mutex_lock(&lock);
    uint64_t epoch = __atomic_add_fetch(&block_epoch, 1, __ATOMIC_SEQ_CST);
    for (unsigned k = 0; k < chunk_count; k++) {
        if (chunks[k].dead < chunks[k].used) {
            kill_chunk(&chunks[k]);
            drop_jumps(&chunks[k]);
            chunks[k].since = epoch;
        }
    }
    stats.flushes++;
    g_mutex_unlock(&lock);
    tcg_exclusive_end(c);
}

static double percent(uint64_t part, uint64_t of)
{
    return of ? 100.0 * part / of : 0;
}

void block_cache_info(GString *out)
{
    size_t used = 0, code = 0;
    uint64_t looks = 0, far = 0;
    for (unsigned k = 0; cpus && k < cpus->len; k++) {
        const TcgCPU *t = tcg_cpu(cpu_by_index(k));
        looks += t ? t->looks : 0;
        far += t ? t->looked_far : 0;
    }
    g_mutex_lock(&lock);
    for (unsigned k = 0; k < chunk_count; k++) {
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
        "links               %" PRIu64 " made, %" PRIu64 " stand; %.2f a block\n"
        "looked up by loop   %" PRIu64 ": %.1f %% in the vCPU's table, %.1f %% in the cache, %.1f %% made\n"
        "stores near code    %" PRIu64 ", %" PRIu64 " changed nothing\n",
        used >> 10, chunk_size * chunk_count >> 10, code >> 10,
        stats.made_bytes ? (double)stats.made_code / stats.made_bytes : 0.0, stats.made,
        stats.made ? (double)stats.made_insns / stats.made : 0.0,
        stats.made ? (double)stats.made_bytes / stats.made : 0.0, stats.invalidated,
        stats.evicted_chunks, stats.flushes, stats.links, stats.links - stats.unlinks,
        stats.made > stats.invalidated
            ? (double)(stats.links - stats.unlinks) / (stats.made - stats.invalidated) : 0,
        looks, percent(looks - far, looks), percent(far - MIN(far, stats.made), looks),
        percent(MIN(far, stats.made), looks), page_near_stores, page_quiet_stores);
    g_mutex_unlock(&lock);
}
