/* SPDX-License-Identifier: MIT */
/*
 * Guest-virtual memory accesses that missed the inline fast path: refills, device memory,
 * stores to guarded pages (code, dirty log), accesses that cross a page, watched pages,
 * alignment checks.
 *
 * Order within a store to a guarded page: the data first, then what the guard asks for.  Code
 * made from the old bytes by another vCPU in between: pages.h.
 */
#include "accel/tcg/slow.h"

#include <string.h>
#include "accel/tcg/pages.h"

bool (*tcg_io_hook)(CPU *c, AddressSpace *as, hwaddr addr, unsigned size, bool write, uint64_t *val);

static inline unsigned in_page(uint64_t va)
{
    return va & (GUEST_PAGE_SIZE - 1);
}

/* The entry for an access that lies in one page, after the checks that may raise. */
static TlbFull *access_page(CPU *c, int mode, uint64_t va, unsigned size, TlbAccess acc)
{
    TlbFull *f = tlb_get(c, mode, va, acc, true);
    uint64_t tag = tlb_tag(c, mode, va, acc);
    if (unlikely(tag & TLB_ALIGN) && is_pow2(size) && (va & (size - 1))) {
        tcg_target.unaligned(c, va, size, acc == TLB_WRITE);
    }
    if (unlikely(tag & TLB_WATCH)) {
        tcg_target.watch(c, va, size, acc == TLB_WRITE);
    }
    return f;
}

/* The guard is up no longer? */
static void guard_done(CPU *c, int mode, uint64_t va, const TlbFull *f)
{
    if (!__atomic_load_n(f->guard, __ATOMIC_SEQ_CST)) {
        tcg_cpu(c)->tlb[tlb_table(tcg_cpu(c), mode)].e[TLB_WRITE][tlb_index(va)].tag &= ~(uint64_t)TLB_GUARD;
    }
}

/* After a store of len bytes at va to a page with a guard. */
static void guard_stored(CPU *c, int mode, uint64_t va, const TlbFull *f, unsigned len)
{
    ram_written(f->ram, f->off + in_page(va), len);
    guard_done(c, mode, va, f);
}

/* A store to a page with a guard. */
static void guarded_store(CPU *c, int mode, uint64_t va, TlbFull *f, const void *from, unsigned len)
{
    uint8_t *to = f->host + in_page(va), guard = __atomic_load_n(f->guard, __ATOMIC_SEQ_CST);
    if (guard & PAGE_CODE) {
        if (!f->code && !(f->code = code_page(f->host, false))) {
            memcpy(to, from, len);
        } else {
            page_store(f->code, to, from, len);
        }
        if (guard == PAGE_CODE) {
            guard_done(c, mode, va, f);
            return;
        }
        guard = __atomic_load_n(f->guard, __ATOMIC_SEQ_CST);
    } else {
        memcpy(to, from, len);
    }
    guard_stored(c, mode, va, f, len);
}

static inline bool guarded(CPU *c, int mode, uint64_t va)
{
    return tlb_tag(c, mode, va, TLB_WRITE) & TLB_GUARD;
}

static uint64_t host_ld(const void *p, unsigned size)
{
    switch (size) {
    case 1: return *(const uint8_t *)p;
    case 2: return ld16_le(p);
    case 4: return ld32_le(p);
    default: return ld64_le(p);
    }
}

static void host_st(void *p, uint64_t v, unsigned size)
{
    switch (size) {
    case 1: *(uint8_t *)p = v; break;
    case 2: st16_le(p, v); break;
    case 4: st32_le(p, v); break;
    default: st64_le(p, v); break;
    }
}

uint64_t tcg_ld(CPU *c, int mode, uint64_t va, unsigned size)
{
    if (unlikely(in_page(va) + size > GUEST_PAGE_SIZE)) {
        uint8_t buf[8] = { 0 };
        tcg_read(c, mode, va, buf, size);
        return ld64_le(buf);
    }
    TlbFull *f = access_page(c, mode, va, size, TLB_READ);
    if (likely(f->ram)) {
        return host_ld(f->host + in_page(va), size);
    }
    return tcg_io_ld(c, f->as, f->pa + in_page(va), size);
}

void tcg_st(CPU *c, int mode, uint64_t va, uint64_t val, unsigned size)
{
    if (unlikely(in_page(va) + size > GUEST_PAGE_SIZE)) {
        uint8_t buf[8];
        st64_le(buf, val);
        tcg_write(c, mode, va, buf, size);
        return;
    }
    TlbFull *f = access_page(c, mode, va, size, TLB_WRITE);
    if (likely(f->ram && !f->readonly)) {
        if (likely(!guarded(c, mode, va))) {
            host_st(f->host + in_page(va), val, size);
        } else {
            val = LE_(64, val);
            guarded_store(c, mode, va, f, &val, size);
        }
        return;
    }
    tcg_io_st(c, f->as, f->pa + in_page(va), val, size);
}

/* Device memory, in naturally aligned pieces of at most 8 bytes. */
static void io_bytes(CPU *c, const TlbFull *f, unsigned at, uint8_t *buf, unsigned len, bool write)
{
    AddressSpace *as = f->as;
    hwaddr pa = f->pa + at;
    while (len) {
        unsigned n = 8;
        while (n > len || (pa & (n - 1))) {
            n >>= 1;
        }
        if (write) {
            uint64_t v = 0;
            memcpy(&v, buf, n);
            tcg_io_st(c, as, pa, LE_(64, v), n);
        } else {
            uint64_t v = LE_(64, tcg_io_ld(c, as, pa, n));
            memcpy(buf, &v, n);
        }
        buf += n;
        pa += n;
        len -= n;
    }
}

static void read_in_page(CPU *c, int mode, uint64_t va, uint8_t *buf, unsigned len)
{
    TlbFull *f = tlb_get(c, mode, va, TLB_READ, true);
    if (f->ram) {
        memcpy(buf, f->host + in_page(va), len);
    } else {
        io_bytes(c, f, in_page(va), buf, len, false);
    }
}

static void write_in_page(CPU *c, int mode, uint64_t va, const uint8_t *buf, unsigned len)
{
    TlbFull *f = tlb_get(c, mode, va, TLB_WRITE, true);
    if (f->ram && !f->readonly) {
        if (likely(!guarded(c, mode, va))) {
            memcpy(f->host + in_page(va), buf, len);
        } else {
            guarded_store(c, mode, va, f, buf, len);
        }
    } else {
        io_bytes(c, f, in_page(va), (uint8_t *)buf, len, true);
    }
}

void tcg_probe(CPU *c, int mode, uint64_t va, unsigned len, TlbAccess acc)
{
    uint64_t last = va + len - 1;
    if (unlikely(tcg_target.align_modes >> mode & 1) && is_pow2(len) && (va & (len - 1))) {
        tcg_target.unaligned(c, va, len, acc == TLB_WRITE);
    }
    for (uint64_t at = va;;) {
        uint64_t n = MIN(last - at + 1, GUEST_PAGE_SIZE - in_page(at));
        TlbFull *f = tlb_get(c, mode, at, acc, true);
        (void)f;
        if (unlikely(tlb_tag(c, mode, at, acc) & TLB_WATCH)) {
            tcg_target.watch(c, at, n, acc == TLB_WRITE);
        }
        if (at + n - 1 == last) {
            return;
        }
        at = tcg_target.wrap ? tcg_target.wrap(c, at + n) : at + n;
    }
}

static uint64_t following(CPU *c, uint64_t va)
{
    return tcg_target.wrap ? tcg_target.wrap(c, va) : va;
}

void tcg_read(CPU *c, int mode, uint64_t va, void *buf, unsigned len)
{
    unsigned n = MIN(len, GUEST_PAGE_SIZE - in_page(va));
    uint8_t *p = buf;

    access_page(c, mode, va, n == len ? len : 1, TLB_READ);
    if (unlikely(n < len)) {
        tcg_probe(c, mode, va, len, TLB_READ);
    }
    read_in_page(c, mode, va, p, n);
    if (unlikely(n < len)) {
        read_in_page(c, mode, following(c, va + n), p + n, len - n);
    }
}

void tcg_write(CPU *c, int mode, uint64_t va, const void *buf, unsigned len)
{
    unsigned n = MIN(len, GUEST_PAGE_SIZE - in_page(va));
    const uint8_t *p = buf;

    access_page(c, mode, va, n == len ? len : 1, TLB_WRITE);
    if (unlikely(n < len)) {
        tcg_probe(c, mode, va, len, TLB_WRITE);
    }
    write_in_page(c, mode, va, p, n);
    if (unlikely(n < len)) {
        write_in_page(c, mode, following(c, va + n), p + n, len - n);
    }
}

void *tcg_host(CPU *c, int mode, uint64_t va, unsigned len, TlbAccess acc)
{
    if (in_page(va) + len > GUEST_PAGE_SIZE) {
        return NULL;
    }
    TlbFull *f = tlb_get(c, mode, va, acc, true);
    if (tlb_tag(c, mode, va, acc) & (TLB_IO | TLB_GUARD | TLB_WATCH | TLB_ALIGN)) {
        return NULL;
    }
    return f->host + in_page(va);
}

void *tcg_atomic_host(CPU *c, int mode, uint64_t va, unsigned size)
{
    if (in_page(va) + size > GUEST_PAGE_SIZE || (va & (size - 1))) {
        return NULL;
    }
    TlbFull *f = access_page(c, mode, va, size, TLB_WRITE);
    return f->ram && !f->readonly ? f->host + in_page(va) : NULL;
}

void tcg_atomic_done(CPU *c, int mode, uint64_t va, unsigned size)
{
    if (unlikely(guarded(c, mode, va))) {
        TlbFull *f = tlb_get(c, mode, va, TLB_WRITE, true);
        guard_stored(c, mode, va, f, size);
    }
}
