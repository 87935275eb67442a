/* SPDX-License-Identifier: MIT */
/*
 * x86 under accel/tcg: what the generic engine asks of the target (tcg_target), and what the
 * helpers ask of the engine (helper.h, first part): memory by linear address, flags as a
 * word, the mode word, TLB flushes.
 */
#include "target-i386/sse-env.h"
#include "target-i386/x87.h"
#include "target-i386/tcg-target.h"

#include <inttypes.h>
#include <string.h>
#include "accel/debug.h"
#include "accel/tcg/exclusive.h"
#include "accel/tcg/host/atomic16.h"
#include "target-i386/flow.h"
#include "target-i386/jit.h"
#include "util/log.h"

/* MMU modes of helper.h, and one more: user accesses whose alignment is checked. */
#define MMU_USER_ALIGN MMU_COUNT
G_STATIC_ASSERT(MMU_USER_ALIGN < TLB_MODES);

/* ---- flags and mode -------------------------------------------------------------------------- */

uint64_t x86_get_flags(X86CPU *c)
{
    switch (c->lazy_flags) {
    case LAZY_FIELDS: return (c->rflags & ~(uint64_t)FL_ARITH) | flags_read(c);
    case LAZY_IMAGE:  return (c->rflags & ~(uint64_t)FL_ARITH) | jit_image_flags(c->fl_image);
    default:          return c->rflags;
    }
}

void x86_set_flags(X86CPU *c, uint64_t flags)
{
    c->rflags = flags;
    flags_write_all(c, flags);
    c->fl_image = jit_flags_image(flags);
}

static bool flat_data(const Segment *s)
{
    return s->base == 0 && s->limit == 0xffffffff &&
           (s->attr & (DESC_P | DESC_S | DESC_CODE | DESC_E | DESC_W)) == (DESC_P | DESC_S | DESC_W);
}

void x86_update_mode(X86CPU *c)
{
    const Segment *cs = &c->seg[R_CS];
    bool pe = c->cr0 & CR0_PE, v86 = pe && (c->rflags & FL_VM);
    unsigned cpl = x86_cpl(c);
    uint32_t m = cpl << MODE_CPL_SHIFT;

    if (x86_code64(c)) {
        m |= MODE_CODE64 | MODE_SSFLAT | MODE_CSFLAT | MODE_FLAT;
    } else {
        bool ss = flat_data(&c->seg[R_SS]);
        m |= cs->attr & DESC_B ? MODE_CODE32 : 0;
        m |= c->seg[R_SS].attr & DESC_B ? MODE_SS32 : 0;
        m |= ss ? MODE_SSFLAT : 0;
        m |= ss && flat_data(&c->seg[R_DS]) && flat_data(&c->seg[R_ES]) ? MODE_FLAT : 0;
        m |= cs->base == 0 && cs->limit == 0xffffffff ? MODE_CSFLAT : 0;
    }
    m |= pe ? MODE_PE : 0;
    m |= v86 ? MODE_V86 : 0;
    m |= x86_single_step(c) ? MODE_STEP : 0;
    m |= c->cr0 & CR0_EM ? MODE_EM : 0;
    m |= c->cr0 & CR0_TS ? MODE_TS : 0;
    m |= c->cr0 & CR0_MP ? MODE_MP : 0;
    m |= c->cr4 & CR4_OSFXSR ? MODE_FXSR : 0;
    m |= (c->cr4 & CR4_OSXSAVE) && (c->xcr0 & 6) == 6 ? MODE_AVX : 0;
    m |= c->efer & EFER_LMA ? MODE_LMA : 0;
    m |= x86_jit && x86_x87_soft(c) ? MODE_X87SOFT : 0;
    c->tcg.moved |= c->mode ^ m;
    c->mode = m;
    for (unsigned half = 0; half < 2; half++) {
        c->tcg.stamp[half] = (c->tcg.stamp[half] & ~0xffffffffull) | m;
    }

    int data = x86_mmu_index(c);
    if (cpl == 3 && (c->cr0 & CR0_AM) && (c->rflags & FL_AC)) {
        data = MMU_USER_ALIGN;
    }
    tcg_set_modes(&c->tcg, data, cpl == 3 ? MMU_USER : MMU_KNOSMAP);
}

/* ---- memory for helpers -------------------------------------------------------------------------- */

uint64_t x86_ld(X86CPU *c, uint64_t la, unsigned size, int mmu)
{
    const uint8_t *h = tlb_host(&c->tcg.tlb[tlb_table(&c->tcg, mmu)], TLB_READ, la, size);
    if (likely(h)) {
        return size == 8 ? ld64_le(h) : size == 4 ? ld32_le(h) : size == 2 ? ld16_le(h) : *h;
    }
    return tcg_ld(&c->cpu, mmu, la, size);
}
void x86_st(X86CPU *c, uint64_t la, uint64_t val, unsigned size, int mmu)
{
    uint8_t *h = tlb_host(&c->tcg.tlb[tlb_table(&c->tcg, mmu)], TLB_WRITE, la, size);
    if (likely(h && size == 8)) {
        st64_le(h, val);
        return;
    }
    if (likely(h && size == 4)) {
        st32_le(h, val);
        return;
    }
    tcg_st(&c->cpu, mmu, la, val, size);
}
void x86_probe(X86CPU *c, uint64_t la, unsigned len, bool write, int mmu)
{
    tcg_probe(&c->cpu, mmu, la, len, write ? TLB_WRITE : TLB_READ);
}
uint32_t x86_fetch_or32(X86CPU *c, uint64_t la, uint32_t bits, int mmu)
{
    uint32_t *h = tcg_atomic_host(&c->cpu, mmu, la, 4), old;
    if (likely(h)) {
        old = LE_(32, __atomic_fetch_or(h, LE_(32, bits), __ATOMIC_SEQ_CST));
        tcg_atomic_done(&c->cpu, mmu, la, 4);
        return old;
    }
    tcg_probe(&c->cpu, mmu, la, 4, TLB_WRITE);
    tcg_atomic_begin(&c->cpu);
    old = tcg_ld(&c->cpu, mmu, la, 4);
    tcg_st(&c->cpu, mmu, la, old | bits, 4);
    tcg_atomic_end(&c->cpu);
    return old;
}

void x86_tlb_flush(X86CPU *c)
{
    LOG(LOG_MMU, "TLB: all dropped\n");
    x86_psc_flush(c);
    tcg_tlb_flush(&c->cpu);
}
void x86_tlb_switch(X86CPU *c, bool keep)
{
    LOG(LOG_MMU, "TLB: CR3 %016" PRIx64 "%s\n", c->cr3, keep ? ", entries kept" : "");
    if (!keep) {
        x86_psc_flush(c);
    }
    tcg_tlb_switch(&c->cpu, keep);
}
void x86_tlb_flush_nonglobal(X86CPU *c)
{
    LOG(LOG_MMU, "TLB: all but global entries dropped\n");
    x86_psc_flush(c);
    tcg_tlb_flush_nonglobal(&c->cpu);
}
void x86_tlb_flush_page(X86CPU *c, uint64_t la)
{
    LOG(LOG_MMU, "TLB: page %016" PRIx64 " dropped\n", la);
    x86_psc_flush(c);
    tcg_tlb_flush_page(&c->cpu, la);
}

/* ---- memory for handlers, slow paths ---------------------------------------------------------------- */

uint64_t x86_rmw_ld(X86CPU *c, const Insn *i, uint64_t la, unsigned size)
{
    insn_sync(c, i);
    tcg_probe(&c->cpu, data_mode(c), la, size, TLB_WRITE);
    return tcg_ld(&c->cpu, data_mode(c), la, size);
}

void *x86_atomic_slow(X86CPU *c, const Insn *i, uint64_t la, unsigned size)
{
    insn_sync(c, i);
    void *h = tcg_atomic_host(&c->cpu, data_mode(c), la, size);
    if (h) {
        return h;
    }
    tcg_probe(&c->cpu, data_mode(c), la, size, TLB_WRITE);
    tcg_atomic_begin(&c->cpu);
    return NULL;
}
void x86_atomic_slow_done(X86CPU *c, uint64_t la, unsigned size, void *host)
{
    if (host) {
        tcg_atomic_done(&c->cpu, data_mode(c), la, size);
    } else {
        tcg_atomic_end(&c->cpu);
    }
}

bool x86_cmpxchg16(X86CPU *c, const Insn *i, uint64_t la, uint64_t *lo, uint64_t *hi,
                   uint64_t new_lo, uint64_t new_hi)
{
    void *h = HOST_HAS_CMPXCHG16 ? x86_atomic_host(c, i, la, 16) : NULL;
    bool equal;
    if (h) {
        equal = host_cmpxchg16(h, lo, hi, new_lo, new_hi);
    } else {
        if (!HOST_HAS_CMPXCHG16) {
            insn_sync(c, i);
            tcg_probe(&c->cpu, data_mode(c), la, 16, TLB_WRITE);
            tcg_atomic_begin(&c->cpu);
        }
        uint64_t a = ld64(c, i, la), b = ld64(c, i, la + 8);
        equal = a == *lo && b == *hi;
        st64(c, i, la, equal ? new_lo : a);
        st64(c, i, la + 8, equal ? new_hi : b);
        *lo = a;
        *hi = b;
    }
    x86_atomic_done(c, la, 16, h);
    return equal;
}

const uint8_t *x86_ldp_slow(X86CPU *c, const Insn *i, uint64_t la, unsigned len)
{
    insn_sync(c, i);
    tcg_read(&c->cpu, data_mode(c), la, c->vtmp, len);
    return c->vtmp;
}
void x86_stv_slow(X86CPU *c, const Insn *i, uint64_t la, const Vec *v, unsigned len)
{
    uint8_t buf[64];
    insn_sync(c, i);
    for (unsigned k = 0; k < len / 8; k++) {
        st64_le(buf + k * 8, v->q[k]);
    }
    tcg_write(&c->cpu, data_mode(c), la, buf, len);
}

/* ---- segments ------------------------------------------------------------------------------------------ */

static void G_GNUC_NORETURN seg_fault(X86CPU *c, const Insn *i, unsigned seg)
{
    x86_raise_err_at(c, i, seg == R_SS ? EXC_SS : EXC_GP, 0);
}

uint64_t x86_seg_check(X86CPU *c, const Insn *i, unsigned seg, uint64_t ea, unsigned len, bool write)
{
    const Segment *s = &c->seg[seg];
    uint64_t last = ea + len - 1;

    if (i->flags & IF_CODE64) {
        return seg >= R_FS ? ea + s->base : ea;
    }
    if (unlikely((s->attr & (DESC_P | DESC_CODE | DESC_E)) != DESC_P)) {
        /* Real mode and V86 know no types: CS is as writable as any other. */
        bool code = s->attr & DESC_CODE, real = !(c->cr0 & CR0_PE) || (c->rflags & FL_VM);
        if (!(s->attr & DESC_P) || (code && !real && (write || !(s->attr & DESC_R)))) {
            seg_fault(c, i, seg);
        }
        if (!code) {                                    /* expand down */
            uint64_t top = s->attr & DESC_B ? 0xffffffff : 0xffff;
            if (ea <= s->limit || last > top) {
                seg_fault(c, i, seg);
            }
            goto limit_ok;
        }
    }
    if (unlikely(last > s->limit)) {
        seg_fault(c, i, seg);
    }
limit_ok:
    if (write && unlikely(!(s->attr & DESC_W))) {
        seg_fault(c, i, seg);
    }
    return (uint32_t)(s->base + ea);
}

/* ---- raising -------------------------------------------------------------------------------------------- */

void x86_raise_at(X86CPU *c, const Insn *i, int vector)
{
    insn_sync(c, i);
    x86_raise(c, vector);
}
void x86_raise_err_at(X86CPU *c, const Insn *i, int vector, uint32_t error)
{
    insn_sync(c, i);
    x86_raise_err(c, vector, error);
}
void x86_raise_unaligned(X86CPU *c, const Insn *i)
{
    x86_raise_err_at(c, i, EXC_GP, 0);
}

/* ---- for accel/tcg ------------------------------------------------------------------------------------------ */

static bool init(TcgEngine engine, Error **err)
{
    insn_table_init();
    return engine == TCG_INTERP || x86_jit_init(err);
}

static TcgCPU *state(CPU *cpu)
{
    return &x86_cpu(cpu)->tcg;
}

static void begin(CPU *cpu)
{
    X86CPU *c = x86_cpu(cpu);
    c->r[16] = 0;
    flags_write_all(c, c->rflags);
    c->lazy_flags = LAZY_FIELDS;
    x86_update_mode(c);
}

static void end(CPU *cpu)
{
    X86CPU *c = x86_cpu(cpu);
    c->rflags = x86_get_flags(c);
    c->lazy_flags = LAZY_NONE;
    x86_sse_leave(c);
    x86_x87_leave(c);
}

static AddressSpace *memory_seen(CPU *cpu)
{
    return x86_cpu(cpu)->smm ? cpu->as_smm : cpu->as;
}

/*
 * The exception of a 64-bit address that is not canonical: #SS(0) when the access goes
 * through SS, by an operand based on RSP or RBP or by the stack pointer itself, else #GP(0).
 * Nobody kept the segment on the way here, so the instruction is looked at once more.
 */
int x86_noncanonical_vector(X86CPU *c, uint64_t va)
{
    uint8_t bytes[15];
    unsigned n = 0;
    hwaddr pa;
    Insn i;

    for (; n < sizeof(bytes) && x86_debug_translate(c, c->rip + n, &pa); n++) {
        bytes[n] = address_space_ld(memory_seen(&c->cpu), pa, 1);
    }
    if (insn_decode(c, c->mode, (InsnBytes){ bytes, n }, 0, &i) != DECODE_OK) {
        return EXC_GP;
    }
    /* BT, BTS, BTR, BTC by a register reach far from their operand. */
    bool bits = insn_desc[i.row].map == 1 && (insn_desc[i.row].opcode & 0xe7) == 0xa3;
    if ((i.flags & IF_MEM) && (bits || va - insn_ea(c, &i) < 64)) {
        return i.seg == R_SS ? EXC_SS : EXC_GP;
    }
    if (!strcmp(insn_rows[i.row].name, "leave")) {      /* pops at RBP */
        return EXC_SS;
    }
    /* ENTER reaches furthest from the stack pointer. */
    return va - c->r[R_ESP] + 0x20000 < 0x40000 ? EXC_SS : EXC_GP;
}

static bool tlb_fill(CPU *cpu, uint64_t va, TlbAccess acc, int mode, bool raise, TlbPage *out)
{
    X86CPU *c = x86_cpu(cpu);
    if (unlikely(va >> 32) && !x86_long_mode(c)) {
        /* an access that ran over the end of a 4 GiB segment */
        if (raise) {
            x86_raise_err(c, EXC_GP, 0);
        }
        return false;
    }
    return x86_tlb_fill(cpu, va, acc, mode == MMU_USER_ALIGN ? MMU_USER : mode, raise, out);
}

static uint64_t space(CPU *cpu)
{
    X86CPU *c = x86_cpu(cpu);
    return c->cr4 & CR4_PCIDE ? c->cr3 & 0xfff : 0;
}

/* Outside 64-bit mode linear addresses wrap at 4 GiB. */
static uint64_t wrap(CPU *cpu, uint64_t va)
{
    return x86_cpu(cpu)->mode & MODE_CODE64 ? va : (uint32_t)va;
}

static void unaligned(CPU *cpu, uint64_t va, unsigned size, bool write)
{
    x86_raise_err(x86_cpu(cpu), EXC_AC, 0);
}

static bool watched(CPU *cpu, uint64_t page)
{
    X86CPU *c = x86_cpu(cpu);
    return (unlikely(c->dr7_active & DR7_ACTIVE_DATA) && x86_page_watched(c, page))
           || (unlikely(debug_points) && debug_page_watched(page));
}

/*
 * A data breakpoint is a trap after the instruction.  In the middle of a block the access is
 * put off: unwind before it is done and run the instruction alone, so that the trap comes
 * right behind it.
 */
static void watch(CPU *cpu, uint64_t va, unsigned size, bool write)
{
    X86CPU *c = x86_cpu(cpu);
    uint64_t before = c->pending_dbg;
    x86_data_breakpoint(c, va, size, write);
    bool hit = debug_points && debug_data_hit(cpu, va, size, write);
    if ((hit || c->pending_dbg != before) && !c->running_one) {
        c->pending_dbg = before;
        cpu->debug_hit = 0;             /* when it is done */
        c->run_one = true;
        siglongjmp(cpu->jmp, 1);
    }
}

static void put_off(CPU *cpu)
{
    X86CPU *c = x86_cpu(cpu);

    c->run_one |= c->running_one;
    c->running_one = c->began_with_tf = false;
}

static TargetBoundary boundary(CPU *cpu)
{
    X86CPU *c = x86_cpu(cpu);

    if (c->running_one) {
        c->running_one = false;
        if (c->began_with_tf && c->exc_vector < 0) {
            x86_trap_tf(c);
        }
        c->began_with_tf = false;
    }
    if (unlikely(c->exc_vector >= 0) && !x86_deliver(c)) {
        return TARGET_RESET;
    }
    bool one = c->run_one;
    c->run_one = false;
    if (unlikely(c->irq_waiting && (c->rflags & FL_IF))) {
        c->irq_waiting = false;
        __atomic_fetch_or(&cpu->request, CPU_REQ_IRQ, __ATOMIC_SEQ_CST);
    }
    if (unlikely(x86_boundary_wanted(c) || cpu->halted || (c->mode & MODE_STEP))) {
        switch (x86_boundary(c)) {
        case BOUNDARY_RUN: break;
        case BOUNDARY_ONE: one = true; break;
        case BOUNDARY_HALTED: return TARGET_HALTED;
        case BOUNDARY_RESET: return TARGET_RESET;
        }
    }
    if (one || (c->mode & MODE_STEP)) {
        c->running_one = true;
        c->began_with_tf = c->rflags & FL_TF;
        return TARGET_ONE;
    }
    return TARGET_RUN;
}

static bool settled(CPU *cpu)
{
    const X86CPU *c = x86_cpu(cpu);
    return c->exc_vector < 0 && !c->pending_dbg && !c->run_one && !c->running_one
           && !cpu->halted && !c->smm;
}

static uint64_t pc(CPU *cpu, uint32_t *mode, int *mmu)
{
    X86CPU *c = x86_cpu(cpu);
    *mode = c->mode;
    *mmu = c->tcg.code_mode;
    return c->mode & MODE_CODE64 ? c->rip : (uint32_t)(c->seg[R_CS].base + c->rip);
}

static void enter(CPU *cpu, Block *b)
{
    X86CPU *c = x86_cpu(cpu);
    if (unlikely(!(c->mode & (MODE_CODE64 | MODE_CSFLAT))) &&
        c->rip + b->size - 1 > c->seg[R_CS].limit) {
        x86_run_uncached(cpu, (uint32_t)(c->seg[R_CS].base + c->rip), c->mode);
        return;
    }
    if (x86_jit) {
        x86_jit_enter(c, b);
        return;
    }
    const Insn *i = block_insns(b);
    c->r[17] = c->rip;
    i->fn(c, i);
}

const TcgTarget tcg_target = {
    .init = init,
    .state = state,
    .begin = begin,
    .end = end,
    .tlb_fill = tlb_fill,
    .as = memory_seen,
    .space_mode = MMU_USER,
    .space = space,
    .wrap = wrap,
    .align_modes = 1 << MMU_USER_ALIGN,
    .unaligned = unaligned,
    .watched = watched,
    .watch = watch,
    .boundary = boundary,
    .put_off = put_off,
    .settled = settled,
    .pc = pc,
    .translate = x86_translate,
    .run_uncached = x86_run_uncached,
    .enter = enter,
    .kill = x86_kill_block,
    .link = x86_link_block,
    .info = x86_jit_info,
    .log_enter = x86_log_enter,
};
