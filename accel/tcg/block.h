/* SPDX-License-Identifier: MIT */
/*
 * Translated blocks and where they are kept.
 *
 * A block stands for straight-line guest code at a host address (guest RAM never moves, so
 * the host address of a code byte names it whatever virtual or physical address leads to it)
 * under a mode word.  It holds the target's payload: decoded instructions, host code.
 *
 * A block lies within one guest page; only a block of a single instruction may cross into a
 * second one.  So a jump to the same page may be chained without a check: who runs a block of
 * a page has that page mapped.  A link into another page is followed after a look at the fetch
 * TLB: is that page still mapped where the target block is?
 *
 * A link is an entry on the target block's list of incoming ones; how the payload follows it
 * is the target's business (TcgTarget.link).
 *
 * Threads: look-ups are lock-free; inserting, invalidating and chaining take the cache lock.
 * Memory of blocks is given back only in whole chunks, when every vCPU has been back in the
 * loop since the chunk's last block became invalid (block_quiet).
 */
#ifndef ACCEL_TCG_BLOCK_H
#define ACCEL_TCG_BLOCK_H

#include "accel/tcg/tcg.h"

struct CodePage;

/* A block in half the space of a pointer: (its address - block_base) / 16; 0: none. */
typedef uint32_t BlockRef;

/* A direct jump from one block to another; on the target's list of incoming links, whose
 * elements are 2 * BlockRef + the number of its link; 0 ends. */
typedef struct BlockLink {
    BlockRef to;                    /* [atomic] 0: not chained */
    uint32_t next;
} BlockLink;

/* A constant in the code: where patching it may leave the block as it is. */
typedef struct BlockHole {
    uint16_t at;                    /* from the block's start */
    uint8_t len;
    bool open;                      /* the block reads it from the guest's code when it runs */
} BlockHole;
#define BLOCK_HOLES 4

/* There are some 100,000 of these after a boot: not a byte too many. */
typedef struct Block {
    const uint8_t *host;            /* first guest byte */
    uint32_t mode;                  /* [atomic] BLOCK_DEAD once invalidated */
    uint32_t code;                  /* its host code, from block_code_base */
    uint16_t code_size;             /* bytes of it; 0: none */
    uint16_t size;                  /* guest bytes */
    uint16_t alloc;                 /* size of the whole thing, in 16 bytes */
    uint8_t count;                  /* guest instructions */
    uint8_t holes : 7, crosses : 1; /* what stands at its end: block_hole(), block_second() */
    BlockRef hash_next;             /* [atomic] */
    BlockRef page_next;             /* on the list of its page ... */
    uint32_t page;                  /* ... which is page_at(this) (pages.h) */
    BlockLink link[2];              /* taken / not taken */
    uint32_t incoming;
    uint64_t payload[];
} Block;

/* Of a block that goes on into a second page. */
typedef struct BlockSecond {
    const uint8_t *host;            /* the page's first byte */
    BlockRef page_next;
    uint32_t page;                  /* as in Block; the same as there: not listed twice */
} BlockSecond;

extern uint8_t *block_base;
static inline Block *block_at(BlockRef r)
{
    return r ? (Block *)(block_base + (uintptr_t)r * 16) : NULL;
}
static inline BlockRef block_ref(const Block *b)
{
    return b ? ((const uint8_t *)b - block_base) / 16 : 0;
}

static inline Block *block_link(const Block *b, unsigned n)
{
    return block_at(__atomic_load_n(&b->link[n].to, __ATOMIC_ACQUIRE));
}
static inline BlockSecond *block_second(const Block *b)
{
    return b->crosses ? (BlockSecond *)((uintptr_t)b + b->alloc * 16u) - 1 : NULL;
}
/* [Block.holes] */
static inline BlockHole *block_hole(const Block *b)
{
    uint8_t *end = (uint8_t *)b + b->alloc * 16u - (b->crosses ? sizeof(BlockSecond) : 0);
    return (BlockHole *)end - b->holes;
}
extern uint8_t *block_code_base;    /* NULL: no host code */
/* Where its first byte of host code is executed. */
static inline const uint8_t *block_code(const Block *b)
{
    return block_code_base + b->code;
}

/* Mode bits the generic code adds to the target's (which uses the low 28). */
#define BLOCK_ONE   (1u << 30)      /* one instruction, then back to the loop */
#define BLOCK_CROSS (1u << 31)      /* lies in two pages: see tcg_cross_guarded */
#define BLOCK_DEAD  0xffffffffu

/* Cache size in bytes, at least BLOCK_CACHE_MIN; before the first block.  0: default. */
#define BLOCK_CACHE_MIN (64u << 10)
bool block_cache_init(size_t bytes, Error **err);
/* The cache will hold host code too: reserve memory for as much of it, and `fixed` bytes more
 * (at the start of code_area()) for code that is no block's.  After block_cache_init. */
bool block_cache_init_code(size_t fixed, Error **err);

/* Room for a block with this payload, `code` bytes of host code (at block_code(b), aligned to
 * BLOCK_CODE_ALIGN), so many holes (to be filled in), and maybe a second page (its first byte, or
 * NULL); fill them, then insert it.  Own thread's until then.  May evict old blocks: call only
 * outside of blocks. */
#define BLOCK_CODE_ALIGN 8
Block *block_alloc(CPU *c, size_t payload, size_t code, unsigned holes, const uint8_t *host2);
/* The block whose host code this address is in; for a thread that is running it. */
Block *block_of_code(const uint8_t *rx);
/*
 * Before the bytes of a page are read to make a block: stores to them will be seen.  Once a
 * page (host: any byte of it), the first page first.  block_insert ends it, or block_made:
 * nothing came of it.
 */
void block_protect(CPU *c, const uint8_t *host);
/*
 * Between the two: may guest code store to the page it is in, which is mapped writable here (or
 * not)?  Then a block must have all state right behind whatever may be such a store.  If not, it
 * will be dropped when that changes.
 */
bool block_exposed(CPU *c, bool writable);
bool block_made(CPU *c);            /* false: there were stores to these pages meanwhile */
/* Has a constant at host been changed after a block was made with it?  Then the block had
 * better read it, and say so by an open hole. */
bool block_constant_changes(const uint8_t *host, unsigned len);
/* The most bytes that payload and host code of a block may have each. */
size_t block_max_size(void);
/* Publish.  host, mode (with BLOCK_CROSS), size, count, holes are set. */
void block_insert(CPU *c, Block *b);
/* NULL if there is none.  Blocks that cross are found without BLOCK_CROSS in mode; check
 * block_second against where the next page is mapped now. */
Block *block_find(const uint8_t *host, uint32_t mode);

/* Chain from->link[n] to `to`, if both live.  same_page: by guest-virtual addresses. */
void block_chain(Block *from, unsigned n, Block *to, bool same_page);

/* b, and the blocks further down that links within the page lead to from it; at most max. */
unsigned block_followers(Block *b, Block **out, unsigned max);

/* A store of len bytes at host was done, to a page with PAGE_CODE: drop what it hit. */
void block_stored(const uint8_t *host, unsigned len);
void block_drop(Block *b);
/* Drop everything. */
void block_flush_all(void);
/* The vCPU's loop, where it is in no block and remembers none; or it leaves the loop. */
extern uint64_t block_epoch;        /* [atomic] */
static inline void block_quiet(TcgCPU *t)
{
    uint64_t now = __atomic_load_n(&block_epoch, __ATOMIC_ACQUIRE);
    if (unlikely(t->epoch != now)) {
        t->from = NULL;
        __atomic_store_n(&t->epoch, now, __ATOMIC_SEQ_CST);
    }
}
static inline void block_gone(TcgCPU *t)
{
    __atomic_store_n(&t->epoch, UINT64_MAX, __ATOMIC_RELEASE);
}
void block_cache_info(GString *out);
/* Counts blocks that were invalidated; a change during a store may mean that the running
 * block is one of them. [atomic] */
extern uint32_t block_kills;

static inline unsigned jump_hash(uint64_t pc)
{
    return (pc ^ pc >> JUMP_BITS) & (JUMP_SIZE - 1);
}
static inline JumpEntry *jump_find(TcgCPU *t, uint64_t pc)
{
    JumpEntry *e = &t->jump[jump_hash(pc)], *other = &t->jump[jump_hash(pc) ^ 1];
    return e->pc == pc || other->pc != pc ? e : other;
}
static inline void jump_put(TcgCPU *t, uint64_t pc, Block *b)
{
    unsigned n = jump_hash(pc);
    JumpEntry *e = &t->jump[n];
    if (e->pc != pc) {
        t->jump[n ^ 1] = *e;
    }
    t->jump_used[n >> 6] |= 3ull << (n & 62);
    *e = (JumpEntry) { .pc = pc, .stamp = t->stamp[pc >> 63], .block = b };
}

#endif
