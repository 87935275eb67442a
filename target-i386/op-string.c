/* SPDX-License-Identifier: MIT */
/*
 * String instructions: MOVS STOS LODS CMPS SCAS INS OUTS, with and without repeat.
 *
 * A repeated one works in runs: as many elements as lie in one page on each side (MOVS and STOS:
 * in several) and, for 16-bit addresses, before the offset wraps are done at once on host memory
 * when both sides are plain RAM; element by element otherwise.  rCX, rSI, rDI are committed after each run, so
 * a fault in the next one finds exact state and the instruction starts again from there.
 * After each run a pending request leaves the block with RIP still at the instruction.  Under
 * TF every iteration is a boundary of its own.
 */
#include "target-i386/flow.h"

#include <string.h>

#define RUN_MAX 4096            /* elements: keeps interrupts prompt where memory is slow */
#define SPAN_MAX (64u << 10)    /* bytes, where it is plain memory */

typedef struct Run {
    uint64_t src, dst;          /* linear */
    uint64_t count;             /* elements */
    int64_t step;               /* bytes, negative with DF */
} Run;

static inline uint64_t count_reg(const X86CPU *c, const Insn *i)
{
    return c->r[R_ECX] & x86_size_mask[i->asz];
}
static inline void add_reg(X86CPU *c, const Insn *i, unsigned reg, int64_t delta)
{
    reg_st(c, reg, i->asz, c->r[reg] + delta);
}
static inline int64_t string_step(const X86CPU *c, const Insn *i)
{
    return c->rflags & FL_DF ? -(1 << i->osz) : 1 << i->osz;
}

/* Elements from offset that can be done without crossing a page or the address size. */
static uint64_t run_length(const Insn *i, uint64_t la, uint64_t ea, int64_t step, uint64_t count)
{
    unsigned size = 1u << i->osz;
    uint64_t in_page = la & (GUEST_PAGE_SIZE - 1), room;
    if (step > 0) {
        room = (GUEST_PAGE_SIZE - in_page) / size;
        if (i->asz < 3) {
            room = MIN(room, (x86_size_mask[i->asz] - ea + 1) / size);
        }
    } else {
        room = in_page + size > GUEST_PAGE_SIZE ? 0 : in_page / size + 1;
        room = MIN(room, ea / size + 1);
    }
    return MIN(MIN(count, RUN_MAX), MAX(room, 1));
}

/* Linear addresses of both sides; the segment check covers one element, or the run. */
static inline uint64_t src_ea(const X86CPU *c, const Insn *i)
{
    return c->r[R_ESI] & x86_size_mask[i->asz];
}
static inline uint64_t dst_ea(const X86CPU *c, const Insn *i)
{
    return c->r[R_EDI] & x86_size_mask[i->asz];
}
static inline uint64_t src_lin(X86CPU *c, const Insn *i, uint64_t ea)
{
    return i->flags & IF_SEG ? seg_lin(c, i, i->seg, ea, 1u << i->osz, false) : ea;
}
static inline bool es_flat(const X86CPU *c, const Insn *i)
{
    return i->flags & IF_CODE64 || c->mode & MODE_FLAT;
}
static inline uint64_t dst_lin(X86CPU *c, const Insn *i, uint64_t ea, bool write)
{
    return es_flat(c, i) ? ea : seg_lin(c, i, R_ES, ea, 1u << i->osz, write);
}
/* How much of a run of n elements at ea passes the segment's limit check?  The first one did. */
static uint64_t limit_run(X86CPU *c, const Insn *i, unsigned seg, uint64_t ea, int64_t step, uint64_t n)
{
    if (i->flags & IF_CODE64 || ((c->mode & MODE_FLAT) && seg != R_FS && seg != R_GS && seg != R_CS)) {
        return n;
    }
    const Segment *s = &c->seg[seg];
    unsigned size = 1u << i->osz;
    bool down = (s->attr & (DESC_CODE | DESC_E)) == DESC_E;
    uint64_t lo = down ? (uint64_t)s->limit + 1 : 0;
    uint64_t hi = down ? (s->attr & DESC_B ? 0xffffffff : 0xffff) : s->limit;
    if (step > 0) {
        return MIN(n, (hi - ea + 1) / size);
    }
    return MIN(n, (ea - lo) / size + 1);
}

/* Lowest host address of a run, or NULL. */
static uint8_t *run_host(X86CPU *c, uint64_t la, int64_t step, uint64_t n, TlbAccess acc)
{
    unsigned size = step < 0 ? -step : step;
    uint64_t low = step < 0 ? la - (n - 1) * size : la;
    if ((low & (GUEST_PAGE_SIZE - 1)) + n * size > GUEST_PAGE_SIZE) {
        return NULL;
    }
    void *host = tlb_host(c->tcg.data, acc, low, n * size);
    return likely(host) ? host : tcg_host(&c->cpu, data_mode(c), low, n * size, acc);
}

/* Does a run of MOVS or STOS go on through pages?  Up, in 64-bit offsets, which have no limits. */
static inline bool through_pages(const Insn *i, int64_t step)
{
    return step > 0 && i->asz == 3 && i->flags & IF_CODE64;
}

/* For a piece of such a run: the host's address of la, if the TLB knows the page as plain memory;
 * of the first piece it may learn it (and raise a fault). */
static inline uint8_t *piece_host(X86CPU *c, uint64_t la, TlbAccess acc, bool first)
{
    void *host = tlb_host(c->tcg.data, acc, la, 1);
    return likely(host) || !first ? host : tcg_host(&c->cpu, data_mode(c), la, 1, acc);
}
static inline uint64_t left_in_page(uint64_t la)
{
    return GUEST_PAGE_SIZE - (la & (GUEST_PAGE_SIZE - 1));
}

/* After a run of a repeated instruction: true = go round again. */
static inline bool again(X86CPU *c, const Insn *i)
{
    return count_reg(c, i) && !(c->mode & MODE_STEP) && !cpu_pending(&c->cpu);
}

/* Single-stepping does one iteration at a time. */
static inline uint64_t run_limit(const X86CPU *c, const Insn *i, uint64_t count)
{
    return c->mode & MODE_STEP ? 1 : MIN(count, SPAN_MAX >> i->osz);
}

/*
 * Frame of a repeated instruction: op does one run of at most `count` elements, commits
 * rSI/rDI and returns how many it did; negative: stop (REPE/REPNE condition), of -n elements.
 */
typedef int64_t RunFn(X86CPU *c, const Insn *i, uint64_t count);

static inline void repeat(X86CPU *c, const Insn *i, RunFn *op)
{
    insn_sync(c, i);
    if (!(i->flags & (IF_REP | IF_REPNE))) {
        op(c, i, 1);
        NEXT_ANY;
    }
    while (count_reg(c, i)) {
        int64_t done = op(c, i, run_limit(c, i, count_reg(c, i)));
        add_reg(c, i, R_ECX, -ABS(done));
        if (done < 0) {
            break;
        }
        if (!again(c, i)) {
            if (count_reg(c, i)) {
                c->rep_open = true;
                return;                     /* RIP is still here */
            }
            break;
        }
    }
    if (i->asz == 2 && (i->flags & IF_CODE64)) {
        c->r[R_ECX] = (uint32_t)c->r[R_ECX];
    }
    NEXT_ANY;
}

/* ---- MOVS ------------------------------------------------------------------------------------- */

/* Overlap: forward copies must show the pattern of an element-wise copy. */
static void copy_run(uint8_t *d, const uint8_t *s, uint64_t bytes, unsigned size, bool down)
{
    ptrdiff_t gap = down ? s - d : d - s;
    if (gap <= 0 || (uint64_t)gap >= bytes) {
        memmove(d, s, bytes);
    } else if (!down && gap >= (ptrdiff_t)size) {
        /* what lies before d repeats itself: twice as much each time */
        for (uint64_t k = 0, n = gap; k < bytes; k += n, n = MIN(k + gap, bytes - k)) {
            memcpy(d + k, s, n);
        }
    } else if (!down) {
        for (uint64_t k = 0; k < bytes; k += size) {
            memmove(d + k, s + k, size);
        }
    } else {
        for (uint64_t k = bytes; k > 0; k -= size) {
            memmove(d + k - size, s + k - size, size);
        }
    }
}

static uint64_t movs_pages(X86CPU *c, const Insn *i, uint64_t src, uint64_t dst, uint64_t count)
{
    uint64_t bytes = count << i->osz, done = 0;

    while (done < bytes) {
        uint64_t n = MIN(left_in_page(src + done), left_in_page(dst + done));
        n = MIN(n, bytes - done) >> i->osz << i->osz;
        const uint8_t *s = n ? piece_host(c, src + done, TLB_READ, !done) : NULL;
        uint8_t *d = s ? piece_host(c, dst + done, TLB_WRITE, !done) : NULL;
        if (!d) {
            break;
        }
        copy_run(d, s, n, 1u << i->osz, false);
        done += n;
    }
    return done >> i->osz;
}

static uint64_t movs_in_page(X86CPU *c, const Insn *i, uint64_t src, uint64_t dst, uint64_t count)
{
    int64_t step = string_step(c, i);
    unsigned size = 1u << i->osz;
    uint64_t n = run_length(i, src, src_ea(c, i), step, count);

    n = run_length(i, dst, dst_ea(c, i), step, n);
    n = limit_run(c, i, i->seg, src_ea(c, i), step, n);
    n = limit_run(c, i, R_ES, dst_ea(c, i), step, n);
    const uint8_t *s = n > 1 ? run_host(c, src, step, n, TLB_READ) : NULL;
    uint8_t *d = s ? run_host(c, dst, step, n, TLB_WRITE) : NULL;
    if (!d) {
        return 0;
    }
    copy_run(d, s, n * size, size, step < 0);
    return n;
}

static int64_t movs_run(X86CPU *c, const Insn *i, uint64_t count)
{
    int64_t step = string_step(c, i);
    uint64_t src = src_lin(c, i, src_ea(c, i)), dst = dst_lin(c, i, dst_ea(c, i), true), n = 0;

    if (count > 1) {
        n = through_pages(i, step) ? movs_pages(c, i, src, dst, count)
                                   : movs_in_page(c, i, src, dst, count);
    }
    if (!n) {
        stx(c, i, dst, i->osz, ldx(c, i, src, i->osz));
        n = 1;
    }
    add_reg(c, i, R_ESI, n * step);
    add_reg(c, i, R_EDI, n * step);
    return n;
}
FAST_HANDLER(movs) { repeat(c, i, movs_run); }

/* ---- STOS, LODS ----------------------------------------------------------------------------------- */

static uint64_t repeated(uint64_t v, unsigned osz)
{
    static const uint64_t times[] = { 0x0101010101010101, 0x0001000100010001, 0x0000000100000001, 1 };
    return (v & x86_size_mask[osz]) * times[osz];
}

#ifdef __x86_64__
/* As fast as the first cache goes, and what comes behind it need not wait: REP STOS, which is
 * as fast, takes as long as 200 bytes to begin and end. */
__attribute__((target("avx2")))
static uint8_t *fill_avx2(uint8_t *d, uint64_t pattern, uint64_t bytes)
{
    typedef long long V __attribute__((vector_size(32)));
    typedef V Unaligned __attribute__((aligned(1), may_alias));
    const V v = { pattern, pattern, pattern, pattern };
    uint8_t *end = d + (bytes & ~127ull), *long_end = d + (bytes & ~511ull);

#define FILL_128(at)                                                                \
    (*(Unaligned *)(d + (at)) = v, *(Unaligned *)(d + (at) + 32) = v,               \
     *(Unaligned *)(d + (at) + 64) = v, *(Unaligned *)(d + (at) + 96) = v)
    /* few rounds for a page: so its end is predicted */
    for (; d < long_end; d += 512) {
        FILL_128(0), FILL_128(128), FILL_128(256), FILL_128(384);
    }
    for (; d < end; d += 128) {
        FILL_128(0);
    }
#undef FILL_128
    return d;
}
#endif

/* n elements at d.  (Elements that are not aligned don't matter: the pattern repeats itself.) */
static void fill(uint8_t *d, uint64_t v, uint64_t n, unsigned osz)
{
    uint64_t pattern = LE_(64, repeated(v, osz)), words;
    uint8_t *end = d + (n << osz);

#ifdef __x86_64__
    words = (end - d) / 8;
    if (words >= 16 && words <= 1024 && __builtin_cpu_supports("avx2")) {
        d = fill_avx2(d, pattern, end - d);
    } else if (words >= 64) {
        __asm__ volatile("rep stosq" : "+D"(d), "+c"(words) : "a"(pattern) : "memory");
    }
#endif
    if (d == end) {
        return;
    }
    for (words = (end - d) / 8; words; words--, d += 8) {
        memcpy(d, &pattern, 8);
    }
    memcpy(d, &pattern, end - d);
}

static uint64_t stos_pages(X86CPU *c, const Insn *i, uint64_t la, uint64_t count)
{
    uint64_t bytes = count << i->osz, done = 0;

    while (done < bytes) {
        uint64_t n = MIN(left_in_page(la + done), bytes - done) >> i->osz << i->osz;
        uint8_t *d = n ? piece_host(c, la + done, TLB_WRITE, !done) : NULL;
        if (!d) {
            break;
        }
        fill(d, c->r[R_EAX], n >> i->osz, i->osz);
        done += n;
    }
    return done >> i->osz;
}

static uint64_t stos_in_page(X86CPU *c, const Insn *i, uint64_t ea, uint64_t la, uint64_t count)
{
    int64_t step = string_step(c, i);
    uint64_t n = limit_run(c, i, R_ES, ea, step, run_length(i, la, ea, step, count));
    uint8_t *d = n > 1 ? run_host(c, la, step, n, TLB_WRITE) : NULL;

    if (!d) {
        return 0;
    }
    fill(d, c->r[R_EAX], n, i->osz);
    return n;
}

static int64_t stos_run(X86CPU *c, const Insn *i, uint64_t count)
{
    uint64_t ea = dst_ea(c, i), la = dst_lin(c, i, ea, true);
    int64_t step = string_step(c, i);
    uint64_t n = 0;

    if (count > 1) {
        n = through_pages(i, step) ? stos_pages(c, i, la, count) : stos_in_page(c, i, ea, la, count);
    }
    if (!n) {
        stx(c, i, la, i->osz, c->r[R_EAX]);
        n = 1;
    }
    add_reg(c, i, R_EDI, n * step);
    return n;
}
FAST_HANDLER(stos) { repeat(c, i, stos_run); }

static int64_t lods_run(X86CPU *c, const Insn *i, uint64_t count)
{
    uint64_t v = ldx(c, i, src_lin(c, i, src_ea(c, i)), i->osz);
    reg_st(c, i->osz ? R_EAX : REG8(R_EAX), i->osz, v);
    add_reg(c, i, R_ESI, string_step(c, i));
    return 1;
}
FAST_HANDLER(lods) { repeat(c, i, lods_run); }

/* ---- CMPS, SCAS ------------------------------------------------------------------------------------- */

static void compare_flags(X86CPU *c, unsigned osz, uint64_t a, uint64_t b)
{
    switch (osz) {
    case 0: flags_sub8(c, a, b, a - b); break;
    case 1: flags_sub16(c, a, b, a - b); break;
    case 2: flags_sub32(c, a, b, a - b); break;
    default: flags_sub64(c, a, b, a - b); break;
    }
}
/* Must a repeat stop after a comparison that came out `equal`? */
static inline bool stops(const Insn *i, bool equal)
{
    return i->flags & IF_REPNE ? equal : !equal;
}
static uint64_t host_ldx(const uint8_t *p, unsigned osz)
{
    return osz == 0 ? *p : osz == 1 ? ld16_le(p) : osz == 2 ? ld32_le(p) : ld64_le(p);
}

/* How many of the first n elements of two ascending runs can be passed over as equal: at most
 * n - 1, which leaves one to stop at. */
#define STRIDE 256
static uint64_t equal_part(const uint8_t *s, const uint8_t *d, uint64_t n, unsigned osz)
{
    uint64_t bytes = n << osz, k = 0;
    while (bytes - k > STRIDE && !memcmp(s + k, d + k, STRIDE)) {
        k += STRIDE;
    }
    return k >> osz;
}

/* How many of the first n ascending elements at p can be passed over because none equals v; at
 * most n - 1. */
static uint64_t other_part(const uint8_t *p, uint64_t v, uint64_t n, unsigned osz)
{
    uint64_t k = 0;
    if (osz == 0) {
        const uint8_t *at = memchr(p, v, n);
        return at ? (uint64_t)(at - p) : n - 1;
    }
    for (; n - k > 8; k += 8) {
        bool found = false;
        for (unsigned e = 0; e < 8; e++) {
            found |= host_ldx(p + ((k + e) << osz), osz) == v;
        }
        if (found) {
            break;
        }
    }
    return k;
}

static int64_t cmps_run(X86CPU *c, const Insn *i, uint64_t count)
{
    int64_t step = string_step(c, i);
    uint64_t sea = src_ea(c, i), dea = dst_ea(c, i);
    uint64_t src = src_lin(c, i, sea), dst = dst_lin(c, i, dea, false);
    uint64_t n = 1, k = 0, a = 0, b = 0;
    const uint8_t *s = NULL, *d = NULL;

    if (count > 1) {
        n = run_length(i, src, sea, step, count);
        n = run_length(i, dst, dea, step, n);
        n = limit_run(c, i, i->seg, sea, step, n);
        n = limit_run(c, i, R_ES, dea, step, n);
        s = n > 1 ? run_host(c, src, step, n, TLB_READ) : NULL;
        d = s ? run_host(c, dst, step, n, TLB_READ) : NULL;
    }
    if (d) {
        s += step < 0 ? -(int64_t)(n - 1) * step : 0;
        d += step < 0 ? -(int64_t)(n - 1) * step : 0;
        if (step > 0 && !(i->flags & IF_REPNE)) {
            k = equal_part(s, d, n, i->osz);
        }
        do {
            a = host_ldx(s + (int64_t)k * step, i->osz);
            b = host_ldx(d + (int64_t)k * step, i->osz);
            k++;
        } while (k < n && !stops(i, a == b));
    } else {
        a = ldx(c, i, src, i->osz);
        b = ldx(c, i, dst, i->osz);
        k = 1;
    }
    compare_flags(c, i->osz, a, b);
    add_reg(c, i, R_ESI, k * step);
    add_reg(c, i, R_EDI, k * step);
    return stops(i, a == b) ? -(int64_t)k : (int64_t)k;
}
FAST_HANDLER(cmps) { repeat(c, i, cmps_run); }

static int64_t scas_run(X86CPU *c, const Insn *i, uint64_t count)
{
    int64_t step = string_step(c, i);
    uint64_t ea = dst_ea(c, i), la = dst_lin(c, i, ea, false);
    uint64_t a = c->r[R_EAX] & x86_size_mask[i->osz], b = 0, n = 1, k = 0;
    const uint8_t *d = NULL;

    if (count > 1) {
        n = limit_run(c, i, R_ES, ea, step, run_length(i, la, ea, step, count));
        d = n > 1 ? run_host(c, la, step, n, TLB_READ) : NULL;
    }
    if (d) {
        d += step < 0 ? -(int64_t)(n - 1) * step : 0;
        if (step > 0 && (i->flags & IF_REPNE)) {
            k = other_part(d, a, n, i->osz);
        } else if (step > 0 && host_ldx(d, i->osz) == a) {
            k = equal_part(d, d + step, n - 1, i->osz);     /* each as the one before */
        }
        do {
            b = host_ldx(d + (int64_t)k * step, i->osz);
            k++;
        } while (k < n && !stops(i, a == b));
    } else {
        b = ldx(c, i, la, i->osz);
        k = 1;
    }
    compare_flags(c, i->osz, a, b);
    add_reg(c, i, R_EDI, k * step);
    return stops(i, a == b) ? -(int64_t)k : (int64_t)k;
}
FAST_HANDLER(scas) { repeat(c, i, scas_run); }

/* ---- INS, OUTS ---------------------------------------------------------------------------------------- */

/*
 * Runs of these go through a buffer: for the device the vCPU may have to wait, and meanwhile
 * somebody may do to the page what this vCPU's TLB will hear of later (pages.h).
 */

/* Elements from la, upwards, that are plain memory, at *host. */
static uint64_t port_run(X86CPU *c, const Insn *i, unsigned seg, uint64_t ea, uint64_t la, uint64_t count,
                         TlbAccess acc, uint8_t **host)
{
    int64_t step = string_step(c, i);
    uint64_t n = 1;

    if (count > 1 && step > 0) {
        n = limit_run(c, i, seg, ea, step, run_length(i, la, ea, step, count));
    }
    *host = n > 1 ? run_host(c, la, step, n, acc) : NULL;
    return *host ? n : 1;
}

static void store_run(X86CPU *c, const Insn *i, uint64_t la, const uint8_t *buf, uint64_t n)
{
    uint8_t *host = run_host(c, la, string_step(c, i), n, TLB_WRITE);

    if (host) {
        memcpy(host, buf, n << i->osz);
        return;
    }
    for (uint64_t k = 0; k < n; k++) {
        stx(c, i, la + (k << i->osz), i->osz, host_ldx(buf + (k << i->osz), i->osz));
    }
}

/* The destination must be writable before the port is read. */
static int64_t ins_run(X86CPU *c, const Insn *i, uint64_t count)
{
    unsigned size = 1u << i->osz;
    uint16_t port = R16(c, R_EDX);
    uint64_t n = 0, ea = dst_ea(c, i);
    uint8_t buf[GUEST_PAGE_SIZE], *host;

    x86_check_io(c, port, size);
    uint64_t la = dst_lin(c, i, ea, true);
    uint64_t most = port_run(c, i, R_ES, ea, la, count, TLB_WRITE, &host);
    if (most > 1 && (n = x86_in_run(c, port, size, buf, most))) {
        store_run(c, i, la, buf, n);
    }
    if (!n) {
        tcg_probe(&c->cpu, data_mode(c), la, size, TLB_WRITE);
        stx(c, i, la, i->osz, x86_in(c, port, size));
        n = 1;
    }
    add_reg(c, i, R_EDI, n * string_step(c, i));
    return n;
}
FAST_HANDLER(ins) { repeat(c, i, ins_run); }

static int64_t outs_run(X86CPU *c, const Insn *i, uint64_t count)
{
    unsigned size = 1u << i->osz;
    uint16_t port = R16(c, R_EDX);
    uint64_t n = 0, ea = src_ea(c, i);
    uint8_t buf[GUEST_PAGE_SIZE], *host;

    x86_check_io(c, port, size);
    uint64_t la = src_lin(c, i, ea);
    uint64_t most = port_run(c, i, i->seg, ea, la, count, TLB_READ, &host);
    if (most > 1) {
        memcpy(buf, host, most << i->osz);
        n = x86_out_run(c, port, size, buf, most);
    }
    if (!n) {
        uint32_t v = ldx(c, i, la, i->osz);
        x86_out(c, port, v, size);
        n = 1;
    }
    add_reg(c, i, R_ESI, n * string_step(c, i));
    return n;
}
FAST_HANDLER(outs) { repeat(c, i, outs_run); }
