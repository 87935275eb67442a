/* SPDX-License-Identifier: MIT */
/*
 * Guest RAM.  Each block is a memfd mapped shared (so that other processes and other mappings
 * can have it), with one guard byte a page and, once somebody logs, one dirty bitmap a client.
 *
 * The dirty protocol.  While a client logs a page, either its guard bit is set (clean: the
 * next store is noticed) or its dirty bit is.  Two parties change them:
 *
 *   a store that sees the guard bit:   store data; clear guard bit; set dirty bit
 *   the client that looks:             clear dirty bit; set guard bit; make all vCPUs drop
 *                                      cached rights; only then read the page
 *
 * In this order no interleaving ends with both bits clear: the last guard operation was either
 * the client's (bit set) or the store's, and then the store's dirty bit comes after any clear.
 * A store that looked at the guard before the client set it is complete when the client reads
 * the page: vCPUs pass a synchronisation point in "drop cached rights", everybody else stores
 * and looks under the big lock.
 */
#include "memory/ram.h"
#include "memory/memory.h"
#include "util/rcu.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE_LOG_ALL (PAGE_LOG_VGA | PAGE_LOG_MIGR)

static const uint8_t guard_bit[DIRTY_CLIENTS] = {
    [DIRTY_VGA] = PAGE_LOG_VGA, [DIRTY_MIGR] = PAGE_LOG_MIGR,
};

/* The list is replaced as a whole on change, so that ram_block_from_host needs no lock. */
static RamBlock **blocks;               /* [atomic] NULL-terminated */
static uint64_t next_base;

void (*ram_code_hook)(RamBlock *b, uint64_t off, uint64_t len);
void (*ram_guard_hook)(RamBlock *b, uint64_t off, uint64_t len);

static RamBlock **block_list(void)
{
    static RamBlock *none[1];
    RamBlock **list = __atomic_load_n(&blocks, __ATOMIC_ACQUIRE);
    return list ? list : none;
}

static void publish(RamBlock *add, const RamBlock *drop)
{
    GPtrArray *list = g_ptr_array_new();
    for (RamBlock **b = block_list(); *b; b++) {
        if (*b != drop) {
            g_ptr_array_add(list, *b);
        }
    }
    if (add) {
        g_ptr_array_add(list, add);
    }
    g_ptr_array_add(list, NULL);
    RamBlock **old = blocks;
    __atomic_store_n(&blocks, (RamBlock **)g_ptr_array_free(list, FALSE), __ATOMIC_RELEASE);
    if (old) {
        rcu_defer(g_free, old);
    }
}

static uint64_t page_count(const RamBlock *b)
{
    return b->size >> GUEST_PAGE_BITS;
}

static size_t bitmap_bytes(const RamBlock *b)
{
    return (page_count(b) + 63) / 64 * 8;
}

/* Zero pages that cost nothing until touched. */
static void *map_zeroes(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

/*
 * Large blocks are anonymous memory at a multiple of a huge page, which hosts give to files in
 * memory only if told to: a guest that goes far and wide misses the host's TLB half as often.
 */
#define HUGE_PAGE ((size_t)2 << 20)

static bool map_large(RamBlock *b)
{
    uint8_t *p = map_zeroes(b->size + HUGE_PAGE);
    if (!p) {
        return false;
    }
    size_t before = -(uintptr_t)p & (HUGE_PAGE - 1);
    if (before) {
        munmap(p, before);
    }
    munmap(p + before + b->size, HUGE_PAGE - before);
    b->host = p + before;
    madvise(b->host, b->size, MADV_HUGEPAGE);
    return true;
}

static bool map_file(RamBlock *b, Error **err)
{
    b->fd = memfd_create(b->name, MFD_CLOEXEC);
    if (b->fd < 0) {
        return fail_errno(err, errno, "cannot set up guest memory '%s'", b->name);
    }
    if (ftruncate(b->fd, b->size) < 0) {
        return fail_errno(err, errno, "cannot set up guest memory '%s' of %" G_GUINT64_FORMAT
                          " bytes", b->name, b->size);
    }
    void *host = mmap(NULL, b->size, PROT_READ | PROT_WRITE, MAP_SHARED, b->fd, 0);
    if (host == MAP_FAILED) {
        return fail_errno(err, errno, "cannot set up guest memory '%s' of %" G_GUINT64_FORMAT
                          " MiB", b->name, b->size >> 20);
    }
    b->host = host;
    return true;
}

static bool map_block(RamBlock *b, Error **err)
{
    if (!(b->size >= 2 * HUGE_PAGE && map_large(b)) && !map_file(b, err)) {
        return false;
    }
    madvise(b->host, b->size, MADV_DONTDUMP);
    b->guard = map_zeroes(page_count(b));
    if (!b->guard) {
        return fail_errno(err, errno, "cannot set up guest memory '%s'", b->name);
    }
    return true;
}

static void release_block(void *opaque)
{
    RamBlock *b = opaque;
    if (b->host) {
        munmap(b->host, b->size);
    }
    if (b->guard) {
        munmap(b->guard, page_count(b));
    }
    for (int who = 0; who < DIRTY_CLIENTS; who++) {
        if (b->dirty[who]) {
            munmap(b->dirty[who], bitmap_bytes(b));
        }
    }
    if (b->fd >= 0) {
        close(b->fd);
    }
    g_free(b->name);
    g_free(b);
}

RamBlock *ram_block_new(const char *name, uint64_t size, Error **err)
{
    uint64_t whole = (size + GUEST_PAGE_SIZE - 1) & GUEST_PAGE_MASK;
    if (!size || whole < size || whole > INT64_MAX) {
        fail(err, "cannot set up guest memory '%s' of %" G_GUINT64_FORMAT " bytes", name, size);
        return NULL;
    }
    RamBlock *b = g_new0(RamBlock, 1);
    b->name = g_strdup(name);
    b->size = whole;
    b->fd = -1;
    if (!map_block(b, err)) {
        release_block(b);
        return NULL;
    }
    b->base = next_base;
    next_base += (whole + (1 << 20) - 1) & ~((1ull << 20) - 1);
    publish(b, NULL);
    return b;
}

void ram_block_free(RamBlock *b)
{
    if (b) {
        publish(NULL, b);
        rcu_defer(release_block, b);
    }
}

RamBlock *ram_block_by_name(const char *name)
{
    for (RamBlock **b = block_list(); *b; b++) {
        if (!strcmp((*b)->name, name)) {
            return *b;
        }
    }
    return NULL;
}

RamBlock *ram_block_from_host(const void *host, uint64_t *offset)
{
    RamBlock *found = NULL;
    rcu_read_lock();
    for (RamBlock **b = block_list(); *b && !found; b++) {
        uint64_t off = (const uint8_t *)host - (*b)->host;
        if (off < (*b)->size) {
            if (offset) {
                *offset = off;
            }
            found = *b;
        }
    }
    rcu_read_unlock();
    return found;
}

void ram_block_foreach(void (*fn)(RamBlock *b, void *opaque), void *opaque)
{
    for (RamBlock **b = block_list(); *b; b++) {
        fn(*b, opaque);
    }
}

/* ---- dirty bits --------------------------------------------------------------------- */

static void set_dirty_bit(RamBlock *b, DirtyClient who, uint64_t page)
{
    if (b->dirty[who]) {
        __atomic_fetch_or(&b->dirty[who][page / 64], 1ul << (page % 64), __ATOMIC_SEQ_CST);
    }
}

static void page_written(RamBlock *b, uint64_t page, uint8_t guard)
{
    __atomic_fetch_and(&b->guard[page], (uint8_t)~(guard & PAGE_LOG_ALL), __ATOMIC_SEQ_CST);
    for (int who = 0; who < DIRTY_CLIENTS; who++) {
        if (guard & guard_bit[who]) {
            set_dirty_bit(b, who, page);
        }
    }
}

void ram_written(RamBlock *b, uint64_t off, uint64_t len)
{
    if (!len) {
        return;
    }
    uint64_t last = (off + len - 1) >> GUEST_PAGE_BITS;
    for (uint64_t page = off >> GUEST_PAGE_BITS; page <= last; page++) {
        uint8_t guard = __atomic_load_n(&b->guard[page], __ATOMIC_RELAXED);
        if (!guard) {
            continue;
        }
        if (guard & PAGE_CODE && ram_code_hook) {
            uint64_t from = MAX(off, page << GUEST_PAGE_BITS);
            uint64_t to = MIN(off + len, (page + 1) << GUEST_PAGE_BITS);
            ram_code_hook(b, from, to - from);
        }
        if (guard & PAGE_LOG_ALL) {
            page_written(b, page, guard);
        }
    }
}

void ram_discard(RamBlock *b, uint64_t off, uint64_t len)
{
    g_assert(off <= b->size && len <= b->size - off && !((off | len) & ~GUEST_PAGE_MASK));
    /* A private page just goes; one of a file goes with its part of the file. */
    madvise(b->host + off, len, b->fd < 0 ? MADV_DONTNEED : MADV_REMOVE);
    ram_written(b, off, len);
}

bool ram_log_start(RamBlock *b, DirtyClient who)
{
    if (!b->dirty[who]) {
        unsigned long *bits = map_zeroes(bitmap_bytes(b));
        if (!bits) {
            return false;
        }
        __atomic_store_n(&b->dirty[who], bits, __ATOMIC_RELEASE);
    }
    /* All dirty: the client has seen nothing yet. */
    for (uint64_t page = 0; page < page_count(b); page += 64) {
        uint64_t n = MIN(page_count(b) - page, 64);
        __atomic_store_n(&b->dirty[who][page / 64], ~0ul >> (64 - n), __ATOMIC_SEQ_CST);
    }
    return true;
}

void ram_log_stop(RamBlock *b, DirtyClient who)
{
    for (uint64_t page = 0; page < page_count(b); page++) {
        if (__atomic_load_n(&b->guard[page], __ATOMIC_RELAXED) & guard_bit[who]) {
            __atomic_fetch_and(&b->guard[page], (uint8_t)~guard_bit[who], __ATOMIC_SEQ_CST);
        }
    }
}

bool ram_log_test(const RamBlock *b, DirtyClient who, uint64_t off, uint64_t len)
{
    if (!b->dirty[who] || !len) {
        return false;
    }
    uint64_t last = (off + len - 1) >> GUEST_PAGE_BITS;
    for (uint64_t page = off >> GUEST_PAGE_BITS; page <= last; page++) {
        unsigned long word = __atomic_load_n(&b->dirty[who][page / 64], __ATOMIC_ACQUIRE);
        if (!word && page % 64 == 0) {
            page += 63;
        } else if (word >> (page % 64) & 1) {
            return true;
        }
    }
    return false;
}

bool ram_log_snapshot(RamBlock *b, DirtyClient who, uint64_t off, uint64_t len, unsigned long *bits)
{
    uint64_t first = off >> GUEST_PAGE_BITS, count = ((off + len - 1) >> GUEST_PAGE_BITS) - first + 1;
    uint64_t low = UINT64_MAX, high = 0;
    if (bits) {
        memset(bits, 0, (count + 63) / 64 * 8);
    }
    if (!b->dirty[who] || !len) {
        return false;
    }
    for (uint64_t i = 0; i < count; i++) {
        uint64_t page = first + i, mask = 1ul << (page % 64);
        unsigned long *word = &b->dirty[who][page / 64];
        if (!__atomic_load_n(word, __ATOMIC_ACQUIRE) && page % 64 == 0) {
            i += 63;
            continue;
        }
        if (!(__atomic_load_n(word, __ATOMIC_RELAXED) & mask)) {
            continue;
        }
        __atomic_fetch_and(word, ~mask, __ATOMIC_SEQ_CST);
        __atomic_fetch_or(&b->guard[page], guard_bit[who], __ATOMIC_SEQ_CST);
        if (bits) {
            bits[i / 64] |= 1ul << (i % 64);
        }
        low = MIN(low, page);
        high = page;
    }
    if (low == UINT64_MAX) {
        return false;
    }
    if (ram_guard_hook) {
        ram_guard_hook(b, low << GUEST_PAGE_BITS, (high - low + 1) << GUEST_PAGE_BITS);
    }
    return true;
}
