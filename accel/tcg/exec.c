/* SPDX-License-Identifier: MIT */
/*
 * The execution loop of a vCPU: events, then the next block, until somebody wants the vCPU
 * back.  Guest exceptions raised anywhere below unwind to the sigsetjmp here.
 */
#include "accel/tcg/exec.h"

#include "accel/debug.h"
#include "accel/tcg/block.h"
#include "accel/tcg/exclusive.h"
#include "accel/tcg/slow.h"
#include "util/log.h"

bool tcg_cross_guarded;

/* Where is the page after b's first mapped now?  Raises the fetch fault. */
static bool second_page_fits(CPU *c, int mmu, uint64_t pc, const Block *b)
{
    uint64_t next = (pc & GUEST_PAGE_MASK) + GUEST_PAGE_SIZE;
    TlbFull *f = tlb_get(c, mmu, tcg_target.wrap ? tcg_target.wrap(c, next) : next, TLB_FETCH, true);
    return f->ram && f->host == block_second(b)->host;
}

static Block *find_or_make(CPU *c, uint64_t pc, uint32_t mode, int mmu, const uint8_t *host)
{
    Block *b = block_find(host, mode);
    if (b && unlikely(b->mode & BLOCK_CROSS) && !second_page_fits(c, mmu, pc, b)) {
        /* Another mapping: blocks of both would differ only in the second page; keep the newer. */
        block_drop(b);
        b = NULL;
    }
    return b ? b : tcg_target.translate(c, pc, host, mode);
}

/* One block, and those chained to it; adds the first one's instructions to *insns. */
static void run_once(CPU *c, bool one, uint64_t *insns)
{
    TcgCPU *t = tcg_cpu(c);
    uint32_t mode;
    int mmu;
    uint64_t pc = tcg_target.pc(c, &mode, &mmu);
    TlbFull *f = tlb_get(c, mmu, pc, TLB_FETCH, true);

    if (unlikely(!f->ram)) {
        t->from = NULL;
        *insns += 1;
        tcg_target.run_uncached(c, pc, mode);
        return;
    }
    const uint8_t *host = f->host + (pc & (GUEST_PAGE_SIZE - 1));
    /* To where a breakpoint is no way leads but this one. */
    one |= unlikely(debug_points) && debug_code_like(pc);
    Block *from = t->from, *b;
    uint64_t epoch = t->epoch;
    t->from = NULL;
    const JumpEntry *known = jump_find(t, pc);
    b = known->block;
    t->looks++;
    if (one || known->pc != pc || b->mode != mode || b->host != host) {
        t->looked_far++;
        b = find_or_make(c, pc, one ? mode | BLOCK_ONE : mode, mmu, host);
    }
    *insns += b ? b->count : 1;
    if (!b) {
        tcg_target.run_uncached(c, pc, mode);
        return;
    }
    if (unlikely(log_on(LOG_UNCHAINED))) {
        tcg_target.log_enter(c, b);
    } else if (!one && (tcg_cross_guarded || !(b->mode & BLOCK_CROSS))) {
        /* unless an interrupt came between */
        if (from && epoch == __atomic_load_n(&block_epoch, __ATOMIC_RELAXED) &&
            !((from->mode ^ b->mode) & ~BLOCK_CROSS) && t->from_pc == pc &&
            block_link(from, t->from_link) != b) {
            block_chain(from, t->from_link, b, t->from_same_page);
        }
        jump_put(t, pc, b);
    }
    if (one) {
        /* Whatever the instruction is, it must not go on into a chained block. */
        __atomic_fetch_or(&c->request, CPU_REQ_STEP, __ATOMIC_RELAXED);
    }
    tcg_target.enter(c, b);
}

/* What other threads asked for.  False: leave run(). */
static bool requests(CPU *c, uint32_t req)
{
    if (req & CPU_REQ_TLB) {
        cpu_clear_request(c, CPU_REQ_TLB);
        tcg_tlb_flush(c);
    }
    if (req & CPU_REQ_SYNC) {
        cpu_clear_request(c, CPU_REQ_SYNC);
        tcg_leave_guest(c);
        tcg_enter_guest(c);
    }
    if (req & CPU_REQ_STEP) {
        cpu_clear_request(c, CPU_REQ_STEP);
    }
    return !(req & CPU_REQ_EXIT);
}

/* At an instruction boundary: does the debugger want the vCPU here?  A step is made whether or
 * not it begins at a breakpoint. */
static bool debug_stops(CPU *c)
{
    uint32_t mode;
    int mmu;

    if (c->debug_hit || (c->debug_step ? c->debug_stepped : debug_points
                         && debug_code_at(tcg_target.pc(c, &mode, &mmu)))) {
        tcg_target.put_off(c);
        return true;
    }
    c->debug_stepped = true;
    return false;
}

static inline bool debugged(const CPU *c)
{
    return unlikely(c->debug_step || debug_points);
}

/* May the vCPU run here?  *why: if not. */
static bool may_run(CPU *c, TargetBoundary *next, ExitReason *why)
{
    switch (*next = tcg_target.boundary(c)) {
    case TARGET_HALTED:
        *why = EXIT_HALTED;
        return false;
    case TARGET_RESET:
        *why = EXIT_RESET;
        return false;
    case TARGET_RUN: case TARGET_ONE:
        if (likely(!debugged(c)) || !debug_stops(c)) {
            return true;
        }
        break;
    case TARGET_DEBUG:
        break;
    }
    *why = EXIT_DEBUG;
    return false;
}

static ExitReason loop(CPU *c)
{
    TargetBoundary next;
    ExitReason why;

    for (;;) {
        block_quiet(tcg_cpu(c));
        uint32_t req = cpu_pending(c);
        if (unlikely(req) && !requests(c, req)) {
            return EXIT_KICKED;
        }
        if (!may_run(c, &next, &why)) {
            return why;
        }
        run_once(c, next == TARGET_ONE || c->debug_step, &tcg_cpu(c)->insns);
    }
}

ExitReason tcg_run(CPU *c)
{
    TcgCPU *t = tcg_cpu(c);

    tcg_target.begin(c);
    block_quiet(t);
    tcg_enter_guest(c);
    if (sigsetjmp(c->jmp, 0)) {
        t->from = NULL;
        block_made(c);
        tcg_exclusive_unwind(c);
    }
    ExitReason why = loop(c);
    t->from = NULL;
    block_gone(t);
    tcg_leave_guest(c);
    tcg_target.end(c);
    return why;
}

/* ---- a slice --------------------------------------------------------------------------------- */

#define LOOK_AT_CLOCK 32        /* blocks */

typedef struct Slice {
    const int64_t *until;
    uint64_t *insns;
    unsigned blocks;            /* begun */
} Slice;

static bool slice_over(CPU *c, const Slice *s)
{
    if (!s->blocks || !tcg_target.settled(c)) {
        return false;
    }
    if (cpus->len > 1 && (cpu_pending(c) & CPU_REQ_IRQ)) {
        return true;
    }
    int64_t until = __atomic_load_n(s->until, __ATOMIC_RELAXED);
    return !until || ((s->blocks == 1 || s->blocks % LOOK_AT_CLOCK == 0)
                      && g_get_monotonic_time() * 1000 >= until);
}

static ExitReason slice_loop(CPU *c, Slice *s)
{
    TargetBoundary next;
    ExitReason why;

    for (;;) {
        block_quiet(tcg_cpu(c));
        uint32_t req = cpu_pending(c);
        if (unlikely(req) && !requests(c, req)) {
            return EXIT_KICKED;
        }
        if (slice_over(c, s)) {
            return EXIT_KICKED;
        }
        if (!may_run(c, &next, &why)) {
            return why;
        }
        s->blocks++;
        /* back here after this block, whatever it is chained to */
        __atomic_fetch_or(&c->request, CPU_REQ_STEP, __ATOMIC_RELAXED);
        run_once(c, next == TARGET_ONE || c->debug_step, s->insns);
    }
}

ExitReason tcg_run_slice(CPU *c, const int64_t *until, uint64_t *insns)
{
    TcgCPU *t = tcg_cpu(c);
    Slice s = { .until = until, .insns = insns };

    tcg_target.begin(c);
    block_quiet(t);
    tcg_enter_guest(c);
    if (sigsetjmp(c->jmp, 0)) {
        t->from = NULL;
        block_made(c);
        tcg_exclusive_unwind(c);
    }
    ExitReason why = slice_loop(c, &s);
    t->from = NULL;
    cpu_clear_request(c, CPU_REQ_STEP);
    block_gone(t);
    tcg_leave_guest(c);
    tcg_target.end(c);
    return why;
}
