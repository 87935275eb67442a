/* SPDX-License-Identifier: MIT */
/*
 * The native engine's memory accesses and flags.
 *
 * The probe of [base + disp, + size), T1 and T0 scratch:
 *
 *     T1 = (base + disp) >> 12 & tlb_index_mask, times 16, + X86CPU.tcg.data
 *     T0 = page of the last byte
 *     T0 != T1->tag: cold
 *     T1 = T1->addend                      the operand is [base + T1 + disp]
 *
 * One compare answers "mapped, permitted, plain RAM, nobody watches, within the page".  Accesses by
 * the stack pointer ask first whether they are in the page it was in last (stack_probe).
 */
#include "target-i386/jit.h"

#if HAVE_JIT

#include "target-i386/interp.h"
#include "target-i386/jit-int.h"

Rm jit_gpr8(unsigned n)
{
    unsigned host = jit_host_reg[n >> 3];
    if (host == J_HOME) {
        return jit_field(jit_home(n >> 3) + (n & 7));
    }
    return rm_r(n & 1 ? H_AH + host : host);        /* AH..BH: host is 0-3 */
}

/* ---- flags ---------------------------------------------------------------------------------- */

static Rm image_low(void)
{
    return jit_field(OFF(fl_image));
}
static Rm image_high(void)
{
    return jit_field(OFF(fl_image) + 1);
}

void jit_emit_save_flags(Jit *j, uint8_t live)
{
    if (live == FLB_C) {
        asm_op_bytes(&j->a, 0, 0x0f90 | CC_B, 0, image_high(), 2);
        return;
    }
    if (j->compact) {
        jit_call_thunk(j, jit_thunks.save_flags);
        return;
    }
    asm_mov_r(&j->a, 8, J_T0, H_RAX);
    asm_8(&j->a, 0x9f);                             /* LAHF */
    if (live & FLB_O) {
        asm_op_bytes(&j->a, 0, 0x0f90 | CC_O, 0, rm_r(H_RAX), 2);
    }
    asm_st(&j->a, 2, image_low(), H_RAX);
    asm_mov_r(&j->a, 8, H_RAX, J_T0);
}

void jit_emit_load_flags(Jit *j, uint8_t live)
{
    if (live == FLB_C) {
        asm_op(&j->a, 4, 0x0fba, 4, image_low());   /* BT */
        asm_8(&j->a, 8);
        return;
    }
    if (j->compact) {
        jit_call_thunk(j, jit_thunks.load_flags);
        return;
    }
    asm_mov_r(&j->a, 8, J_T0, H_RAX);
    asm_ldz(&j->a, 2, H_RAX, image_low());
    if (live & FLB_O) {
        asm_alui(&j->a, 1, ALU_ADD, rm_r(H_RAX), 0x7f);     /* overflows if it was 1 */
    }
    asm_8(&j->a, 0x9e);                             /* SAHF */
    asm_mov_r(&j->a, 8, H_RAX, J_T0);
}

void jit_flags_clobber(Jit *j, uint8_t live)
{
    live &= FLB_ARITH;
    if (j->fl == FL_HOST && live) {
        jit_emit_save_flags(j, live);
        j->fl = FL_MEM;
    }
    j->fl &= ~FL_HOST;
}

void jit_flags_host(Jit *j)
{
    if (!(j->fl & FL_HOST)) {
        jit_emit_load_flags(j, (j->live_in | j->live_out) & FLB_ARITH);
        j->fl |= FL_HOST;
    }
}

void jit_flags_use(Jit *j)
{
    const InsnDesc *d = j->desc;
    uint8_t written = jit_flags_maybe(&j->insn[j->n], d) ? 0 : d->fl_write | d->fl_undef;
    if ((d->fl_read | (j->live_out & ~written)) & FLB_ARITH) {
        jit_flags_host(j);
    }
}

void jit_flags_made(Jit *j)
{
    j->fl = FL_HOST;
}

unsigned jit_cond(Jit *j, unsigned cc)
{
    static const uint8_t bits[16] = { [CC_E] = 0x40, [CC_S] = 0x80, [CC_P] = 0x04, [CC_B] = 0x01 };
    unsigned pos = cc & ~1u;
    if (j->fl & FL_HOST) {
        return cc;
    }
    if (pos == CC_O || bits[pos]) {
        asm_op(&j->a, 1, 0xf6, 0, pos == CC_O ? image_low() : image_high());    /* TEST */
        asm_8(&j->a, pos == CC_O ? 1 : bits[pos]);
        return cc & 1 ? CC_E : CC_NE;
    }
    jit_flags_host(j);
    return cc;
}

/* ---- addresses ---------------------------------------------------------------------------------- */

bool jit_ea_ok(const Jit *j, const Insn *i)
{
    bool moffs = i->base == 16 && i->index == 16;
    if (i->asz < 2 || !(i->flags & IF_MEM) || (insn_rows[i->row].attr & A_VSIB) ||
        (!moffs && (i->disp > INT32_MAX - 64 || i->disp < INT32_MIN))) {
        return false;
    }
    return !(i->flags & IF_SEG) || j->code64;
}

/* base + index * scale + disp as far as they are registers at hand; loads those that aren't, a
 * base to tmp, if there is no index. */
static Rm ea_operand(Jit *j, const Insn *i, unsigned tmp)
{
    unsigned base = ASM_NOREG, index = ASM_NOREG;
    int32_t disp = (int32_t)i->disp;

    tmp = i->index < 16 ? J_T2 : tmp;
    if (i->base == 17) {
        asm_ld(&j->a, 8, tmp, jit_field(OFF(r[17])));
        base = tmp;
    } else if (i->base < 16) {
        base = jit_host_reg[i->base];
        if (base == J_HOME) {
            asm_ld(&j->a, 8, tmp, jit_field(jit_home(i->base)));
            base = tmp;
        }
    } else if (i->disp != disp) {                       /* moffs */
        asm_movi(&j->a, tmp, i->disp);
        base = tmp;
        disp = 0;
    }
    if (i->index < 16) {
        index = jit_host_reg[i->index];
        if (index == J_HOME) {
            asm_ld(&j->a, 8, J_T0, jit_field(jit_home(i->index)));
            index = J_T0;
        }
    }
    return rm_mx(base, index, i->scale, disp);
}

/* dst: where what must be computed goes, T2 or T0. */
static unsigned ea(Jit *j, const Insn *i, unsigned dst, int32_t *disp)
{
    Rm m = ea_operand(j, i, dst);
    bool plain = i->asz == 3 && !(i->flags & IF_SEG);

    if (plain && m.index == ASM_NOREG && m.reg != ASM_NOREG) {
        *disp = m.disp;
        return m.reg;
    }
    *disp = 0;
    if (m.reg == ASM_NOREG && m.index == ASM_NOREG) {
        if ((i->flags & IF_SEG) && i->asz == 3) {
            asm_ld(&j->a, 8, dst, jit_field(OFF(seg[0].base) + (int)sizeof(Segment) * i->seg));
            *disp = m.disp;
            return dst;
        }
        asm_movi(&j->a, dst, i->asz == 2 ? (uint32_t)m.disp : (uint64_t)(int64_t)m.disp);
    } else if (!(i->asz == 3 && m.reg == dst && m.index == ASM_NOREG && !m.disp)) {
        asm_lea(&j->a, i->asz == 2 ? 4 : 8, dst, m);
    }
    if (i->flags & IF_SEG) {
        asm_alu(&j->a, 8, ALU_ADD, dst, jit_field(OFF(seg[0].base) + (int)sizeof(Segment) * i->seg));
    }
    return dst;
}

unsigned jit_ea(Jit *j, const Insn *i, int32_t *disp)
{
    return ea(j, i, J_T2, disp);
}

bool jit_lea_ok(const Jit *j, const Insn *i)
{
    return i->asz >= 2 && i->disp <= INT32_MAX && i->disp >= INT32_MIN;
}

void jit_lea(Jit *j, const Insn *i, unsigned size, unsigned dst)
{
    Rm m = ea_operand(j, i, J_T2);
    if (m.reg == ASM_NOREG && m.index == ASM_NOREG) {
        asm_movi(&j->a, J_T2, (int64_t)m.disp);
        m = rm_m(J_T2, 0);
    }
    asm_lea(&j->a, size, dst, m);
}

/* ---- the probe -------------------------------------------------------------------------------------- */

JitCold *jit_cold(Jit *j, ColdKind kind, uint8_t *from)
{
    JitCold *k = &j->cold[j->ncold++];
    *k = (JitCold) {
        .kind = kind, .from = from, .n = j->n, .fl = j->fl,
        .live = j->live_out, .x87_note = j->x87_note, .vec = j->vec, .stack = j->stack_probe,
    };
    j->stack_probe = STACK_NO;
    return k;
}

void jit_cold_insn(Jit *j, unsigned cc, bool jump)
{
    jit_cold(j, jump ? COLD_JUMP : COLD_INSN, asm_jcc(&j->a, cc));
}

uint8_t *jit_probe_code(Jit *j, unsigned base, int32_t disp, unsigned size, TlbAccess acc)
{
    Asm *a = &j->a;
    int32_t table = acc * (int32_t)sizeof(TlbEntry) * TLB_SIZE;

    if (disp) {
        asm_lea(a, 8, J_T1, rm_m(base, disp));
    } else {
        asm_mov_r(a, 8, J_T1, base);
    }
    asm_op(a, 8, 0xc1, 5, rm_r(J_T1));
    asm_8(a, GUEST_PAGE_BITS - 4);
    asm_alui(a, 4, ALU_AND, rm_r(J_T1), tlb_index_mask << 4);
    asm_alu(a, 8, ALU_ADD, J_T1, jit_field(OFF(tcg.data)));
    if (disp + (int)size - 1) {
        asm_lea(a, 8, J_T0, rm_m(base, disp + size - 1));
    } else {
        asm_mov_r(a, 8, J_T0, base);
    }
    asm_alui(a, 8, ALU_AND, rm_r(J_T0), -(int32_t)GUEST_PAGE_SIZE);
    asm_alu(a, 8, ALU_CMP, J_T0, rm_m(J_T1, table));
    uint8_t *from = asm_jcc(a, CC_NE);
    asm_ld(a, 8, J_T1, rm_m(J_T1, table + 8));
    return from;
}

/*
 * By the stack pointer: is it in the page that was stored to last by it?  (Forgotten when C code is
 * called; the cold part looks at the TLB.)  What is no longer than 8 bytes may begin anywhere but
 * in the last 7; the last 8 bytes of what is longer may begin anywhere from JIT_STACK_RUN on.
 */
static uint8_t *stack_probe(Jit *j, int32_t disp, unsigned size)
{
    Asm *a = &j->a;
    bool run = size > 8;

    asm_lea(a, 8, J_T0, rm_m(J_SP, run ? disp + (int32_t)size - 8 - JIT_STACK_RUN : disp));
    asm_alu(a, 8, ALU_SUB, J_T0, jit_field(OFF(jit_stack.page)));
    asm_alu(a, 8, ALU_CMP, J_T0, jit_field(run ? OFF(jit_stack.room_run) : OFF(jit_stack.room)));
    uint8_t *from = asm_jcc(a, CC_AE);
    asm_ld(a, 8, J_T1, jit_field(OFF(jit_stack.addend)));
    return from;
}

/* Returns the displacement of the branch to the cold part, NULL: whoever gets there sees to it. */
static uint8_t *probe(Jit *j, unsigned base, int32_t disp, unsigned size, TlbAccess acc, bool alone)
{
    jit_flags_clobber(j, j->live_in);
    if (base == J_SP && alone && j->code64 && !j->loop.memo_next && size <= JIT_STACK_RUN + 8) {
        j->stack_probe = acc == TLB_WRITE ? STACK_WRITE : STACK_READ;
        return stack_probe(j, disp, size);
    }
    if (!j->loop.memo_next) {
        return jit_probe_code(j, base, disp, size, acc);
    }
    j->loop.memo_next = false;
    jit_memo_probe(j, base, disp, size, acc);
    return NULL;
}

/* The same by a thunk: m is the operand then. */
static bool compact(Jit *j, unsigned base, int32_t disp, unsigned size, ProbeKind kind, Rm *m)
{
    if (!jit_compact_ok(j, &j->insn[j->n], size, kind)) {
        return false;
    }
    jit_flags_clobber(j, j->live_in);
    if (disp) {
        asm_lea(&j->a, 8, J_T0, rm_m(base, disp));
    } else if (base != J_T0) {
        asm_mov_r(&j->a, 8, J_T0, base);
    }
    *m = jit_compact_probe(j, size, kind);
    return true;
}
static bool compact_mem(Jit *j, const Insn *i, unsigned size, ProbeKind kind, Rm *m)
{
    int32_t disp;
    if (!jit_compact_ok(j, i, size, kind)) {
        return false;
    }
    jit_flags_clobber(j, j->live_in);
    unsigned base = ea(j, i, J_T0, &disp);
    return compact(j, base, disp, size, kind, m);
}

Rm jit_probe_ld(Jit *j, unsigned base, int32_t disp, unsigned size)
{
    Rm m;
    if (compact(j, base, disp, size, PROBE_LOAD, &m)) {
        return m;
    }
    JitCold *k = jit_cold(j, COLD_LOAD, probe(j, base, disp, size, TLB_READ, true));
    k->back = k->checked = j->a.p;
    k->base = base;
    k->disp = disp;
    k->size = size;
    return rm_mx(base, J_T1, 0, disp);
}

Rm jit_probe_insn(Jit *j, unsigned base, int32_t disp, unsigned size, TlbAccess acc)
{
    Rm m;
    if (compact(j, base, disp, size, acc == TLB_READ ? PROBE_READ : PROBE_WRITE, &m)) {
        return m;
    }
    JitCold *k = jit_cold(j, COLD_INSN, probe(j, base, disp, size, acc, true));
    k->back = k->checked = j->a.p;
    k->base = base;
    k->disp = disp;
    k->size = size;
    k->read = acc == TLB_READ;
    return rm_mx(base, J_T1, 0, disp);
}

/* The memory operand, by fast code.  *cold: its cold part, to be filled in by the caller; NULL:
 * checked before. */
static Rm mem_access(Jit *j, const Insn *i, unsigned size, TlbAccess acc, ColdKind kind, JitCold **cold)
{
    int32_t disp, from;
    unsigned all = size;

    if (jit_share_member(j, size, acc)) {
        unsigned base = jit_ea(j, i, &disp);
        *cold = NULL;
        return rm_mx(base, J_T1, 0, disp);
    }
    jit_flags_clobber(j, j->live_in);
    unsigned base = jit_ea(j, i, &disp), memos = j->loop.memos;
    from = disp;
    bool first = jit_share_first(j, &all, acc, &from);
    j->loop.memo_next = jit_memo_ok(j, i);
    JitCold *k = jit_cold(j, kind, probe(j, base, from, all, acc, !first));
    k->back = k->checked = j->a.p;
    k->base = base;
    k->disp = from;
    k->size = all;
    k->read = acc == TLB_READ;
    k->first = first;
    if (first) {
        jit_share_begin(j, j->loop.memos != memos);
    }
    *cold = k;
    return rm_mx(base, J_T1, 0, disp);
}

Rm jit_mem_ld(Jit *j, const Insn *i, unsigned size)
{
    JitCold *k;
    Rm m;
    if (compact_mem(j, i, size, PROBE_LOAD, &m)) {
        return m;
    }
    return mem_access(j, i, size, TLB_READ, COLD_LOAD, &k);
}

Rm jit_mem_insn(Jit *j, const Insn *i, unsigned size, TlbAccess acc)
{
    JitCold *k;
    Rm m;
    if (compact_mem(j, i, size, acc == TLB_READ ? PROBE_READ : PROBE_WRITE, &m)) {
        return m;
    }
    return mem_access(j, i, size, acc, COLD_INSN, &k);
}

Rm jit_probe_locked(Jit *j, unsigned base, int32_t disp, unsigned size)
{
    Rm m;
    if (compact(j, base, disp, size, PROBE_LOCKED, &m)) {
        return m;
    }
    m = jit_probe_insn(j, base, disp, size, TLB_WRITE);
    if (size > 1 && (tcg_parallel || size == 16)) {
        asm_lea(&j->a, 8, J_T0, rm_m(m.reg, m.disp));
        asm_op(&j->a, 1, 0xf6, 0, rm_r(J_T0));
        asm_8(&j->a, size - 1);
        jit_cold_insn(j, CC_NE, false);
    }
    return m;
}

Rm jit_mem_locked(Jit *j, const Insn *i, unsigned size)
{
    int32_t disp;
    Rm m;
    if (compact_mem(j, i, size, PROBE_LOCKED, &m)) {
        return m;
    }
    jit_flags_clobber(j, j->live_in);
    unsigned base = jit_ea(j, i, &disp);
    return jit_probe_locked(j, base, disp, size);
}

Rm jit_mem_probe(Jit *j, const Insn *i, unsigned size)
{
    JitCold *k;
    Rm m;
    if (compact_mem(j, i, size, PROBE_WRITE, &m)) {
        return m;
    }
    return mem_access(j, i, size, TLB_WRITE, COLD_PROBE, &k);
}

/* NULL: no cold part. */
static JitCold *mem_st(Jit *j, const Insn *i, unsigned size, Rm *m)
{
    JitCold *k = NULL;
    if (!compact_mem(j, i, size, PROBE_WRITE, m)) {
        *m = mem_access(j, i, size, TLB_WRITE, COLD_STORE, &k);
    }
    return k;
}

void jit_mem_st(Jit *j, const Insn *i, unsigned size, Rm src)
{
    Rm m;
    JitCold *k = mem_st(j, i, size, &m);
    if (k) {
        k->src = src;
    }
    unsigned reg = src.reg;
    if (src.mem) {
        asm_ldz(&j->a, size, J_T0, src);
        reg = J_T0;
    } else if (reg >= H_AH) {                       /* no REX with AH: by way of the image's scratch */
        jit_flags_clobber(j, j->live_in);
        asm_mov_r(&j->a, 8, J_T0, reg - H_AH);
        asm_op(&j->a, 8, 0xc1, 5, rm_r(J_T0));
        asm_8(&j->a, 8);
        reg = J_T0;
    }
    asm_st(&j->a, size, m, reg);
    if (k) {
        k->back = j->a.p;
    }
}

void jit_mem_sti(Jit *j, const Insn *i, unsigned size, int32_t imm)
{
    Rm m;
    JitCold *k = mem_st(j, i, size, &m);
    if (k) {
        k->imm = true;
        k->value = (int64_t)imm;
    }
    asm_op(&j->a, size, size == 1 ? 0xc6 : 0xc7, 0, m);
    if (size == 1) {
        asm_8(&j->a, imm);
    } else if (size == 2) {
        asm_16(&j->a, imm);
    } else {
        asm_32(&j->a, imm);
    }
    if (k) {
        k->back = j->a.p;
    }
}

#endif
