/* SPDX-License-Identifier: MIT */
/*
 * Pages of guest RAM with code: which bytes blocks were made from, and what a store to such a
 * page does.  Private to accel/tcg.
 *
 * A CodePage maps its code by lines of 64 bytes: a store that hits none costs a look at the
 * map.  One that does is compared with what it overwrites: bytes that stay as they are
 * invalidate nothing, nor do constants that a block reads from the code itself each time it
 * runs (BlockHole).
 *
 * A block that stores to what is left of itself goes on with the new code, which may want flags
 * that the old code did not.  Where the page it is fetched from can be stored to, blocks are made
 * so that these are there (block_exposed); others trust that it can't, and are dropped when the
 * page is fetched from by a mapping through which it can.  What remains is a block that changes
 * itself through another mapping than the one it runs by.
 *
 * A block must not be made from bytes that change meanwhile.  Who makes one says so before it
 * reads them (page_begin: CodePage.making); a store that finds somebody doing that is counted
 * (CodePage.stores), and whoever publishes the block looks at the count after the block is on
 * the map.  So either the maker sees the store, or the store sees the block.
 */
#ifndef ACCEL_TCG_PAGES_H
#define ACCEL_TCG_PAGES_H

#include "accel/tcg/block.h"

#define PAGE_LINES 64

typedef struct CodePage {
    uint64_t lines;                 /* [atomic] bit n: code in bytes 64n .. 64n+63 */
    uint64_t starts;                /* lines in which blocks begin */
    uint64_t patched;               /* [atomic] lines in which constants were changed */
    BlockRef *start;                /* [PAGE_LINES] these blocks; NULL: there never was one */
    uint8_t *guard;                 /* the page's guard byte */
    uint32_t making, stores;        /* [atomic] see above */
    uint32_t number;                /* page_at(number) is this one */
    uint8_t span;                   /* lines the longest block goes on for */
    uint8_t idle;                   /* stores since the last block went */
    bool trusted;                   /* [lock] some block trusts that nothing stores to it */
    bool exposed_for_good;          /* [lock] nobody knows when it is not any more */
    uint64_t exposed;               /* [atomic; lock to change] vCPUs (numbers modulo 64) that fetch
                                     * from it by a mapping through which it can be stored to ... */
    uint64_t exposed_at;            /* ... which is this one, unless exposed_for_good */
} CodePage;

/* The page of a byte of guest RAM; NULL if it is none, or (not create) never had code.
 * [lock if create]  Pages are never freed. */
CodePage *code_page(const uint8_t *host, bool create);

/* Pages of RAM by number. */
CodePage *page_at(uint32_t number);
/* How many pages a block is listed in; and these. */
static inline unsigned block_pages(const Block *b)
{
    return b->crosses && block_second(b)->page != b->page ? 2 : 1;
}
static inline CodePage *block_page(const Block *b, unsigned n)
{
    return page_at(n ? block_second(b)->page : b->page);
}

/* Put a block whose pages are set on the map, or take it off. [lock] */
void page_list(CodePage *p, Block *b, unsigned n);
void page_unlist(CodePage *p, Block *b, unsigned n);

/* A vCPU will fetch code from a page of RAM that it has mapped at va; writable: a store there would
 * be allowed. */
void page_fetched(CPU *c, RamBlock *ram, uint64_t off, uint64_t va, bool writable, bool global);

/* Guest code was or will be stored to (memory.c): do the store, all of it in page p. */
void page_store(CodePage *p, uint8_t *to, const void *from, unsigned len);

/* cache.c, for pages.c: the cache's lock, and dropping a block under it. */
void block_lock(void);
void block_unlock(void);
void block_invalidate(Block *b);

extern uint64_t page_near_stores, page_quiet_stores;

#endif
