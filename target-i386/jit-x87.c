/* SPDX-License-Identifier: MIT */
/*
 * Native x87 and MMX: the same instruction on the host's unit, which holds the guest's
 * registers, tags, TOP and status meanwhile.
 *
 * The state moves to the host at the first such instruction and stays there, over blocks and
 * calls of C, until somebody needs it in X86CPU.fpu: x86_x87_sync.  X86CPU.x87_host tells where
 * it is; each block looks once, before its first x87 instruction (ready).  C code of this
 * program does not use the x87, so it may find it full.
 *
 * All this is done only while the guest's control word masks all exceptions (MODE_X87SOFT is
 * clear): then no exception is ever pending, and what the host does is what the guest's
 * processor would do, stack faults included.  Else the handlers do it.
 *
 * The control word is always in X86CPU.fpu.cw as well.  FIP and FCS are written once, behind
 * the last of several instructions that no exit and no handler separates, and in the cold
 * parts that lead to C (jit_x87_note); FDP and FDS at each access.
 */
#include "target-i386/jit.h"

#if HAVE_JIT

#include "target-i386/cpuid.h"
#include "target-i386/jit-int.h"
#include "target-i386/x87.h"

/* ---- moving the state ----------------------------------------------------------------------- */

/* The image of FNSAVE and FRSTOR, 32 bits, protected mode (SDM 1, figures 8-9 and 8-13). */
typedef struct __attribute__((packed)) HostImage {
    uint32_t cw, sw, tags, env[4];
    struct __attribute__((packed)) {
        uint64_t frac;
        uint16_t se;
    } st[8];                                /* ST(0) first */
} HostImage;
G_STATIC_ASSERT(sizeof(HostImage) == 108);

void x86_x87_load(X86CPU *c)
{
    FpuState *f = &c->fpu;
    HostImage h = { .cw = 0xffff0000 | f->cw, .sw = 0xffff0000 | f->sw | f->top << SW_TOP_SHIFT };

    for (unsigned n = 0; n < 8; n++) {
        F80 v = f->st[(f->top + n) & 7];
        h.st[n].frac = v.frac;
        h.st[n].se = v.se;
        h.tags |= (f->empty >> n & 1 ? 3u : 0) << 2 * n;
    }
    __asm__ volatile("frstor %0" : : "m"(h));
    c->x87_host = true;
}

void x86_x87_store(X86CPU *c)
{
    FpuState *f = &c->fpu;
    HostImage h;

    __asm__ volatile("fnsave %0" : "=m"(h));        /* and FNINIT */
    host_x87_cw = HOST_X87_CW_DEFAULT;
    host_x87_flags = 0;
    f->sw = h.sw & (SW_CC | SW_SF | FP_ALL);
    f->top = h.sw >> SW_TOP_SHIFT & 7;
    f->empty = 0;
    for (unsigned n = 0; n < 8; n++) {
        f->st[(f->top + n) & 7] = (F80) { .frac = h.st[n].frac, .se = h.st[n].se };
        f->empty |= ((h.tags >> 2 * n & 3) == 3) << n;
    }
    c->x87_host = false;
}

/* ---- the parts of an instruction -------------------------------------------------------------- */

bool jit_is_x87(const InsnRow *r)
{
    return (r->attr & (A_X87 | A_MMX | A_WAIT)) || g_str_has_prefix(r->name, "fxsave") ||
           g_str_has_prefix(r->name, "fxrstor") || g_str_has_prefix(r->name, "xsave") ||
           g_str_has_prefix(r->name, "xrstor");
}

static bool here(const Jit *j)
{
    return !(j->mode & MODE_X87SOFT);
}

static void cold_ready(Jit *j, JitCold *k)
{
    jit_cold_begin(j, k);
    jit_call_thunk(j, jit_thunks.x87_load);
    jit_cold_end(j, k);
    asm_patch32(asm_jmp(&j->a), k->back);
}

/* The state is in the host from here on. */
static void ready(Jit *j)
{
    if (j->x87_ready) {
        return;
    }
    jit_flags_clobber(j, j->live_in);
    asm_alui(&j->a, 1, ALU_CMP, jit_field(OFF(x87_host)), 0);
    JitCold *k = jit_cold(j, COLD_CODE, asm_jcc(&j->a, CC_E));
    k->fn = cold_ready;
    k->back = j->a.p;
    j->x87_ready = true;
}

static bool keeps_selectors(const Jit *j)
{
    return !x86_has(j->c, CPUID_ZERO_FCS_FDS);
}

static void copy_selector(Jit *j, unsigned seg, int32_t to, unsigned scratch)
{
    asm_ldz(&j->a, 2, scratch, jit_field(OFF(seg[0].sel) + (int)sizeof(Segment) * (int)seg));
    asm_st(&j->a, 2, jit_field(to), scratch);
}

void jit_x87_note(Jit *j, unsigned n)
{
    asm_ld(&j->a, 8, J_T1, jit_field(OFF(r[17])));
    asm_lea(&j->a, 8, J_T1, rm_m(J_T1, j->insn[n].off));
    asm_st(&j->a, 8, jit_field(OFF(fpu.fip)), J_T1);
    if (keeps_selectors(j)) {
        copy_selector(j, R_CS, OFF(fpu.fcs), J_T1);
    }
}

/* The access at m, with T1 in it, was possible: FDP and FDS. */
static void note_data(Jit *j, const Insn *i, Rm m)
{
    asm_lea(&j->a, 8, J_T0, rm_m(m.reg, m.disp));
    if (i->flags & IF_SEG) {
        asm_alu(&j->a, 8, ALU_SUB, J_T0,
                jit_field(OFF(seg[0].base) + (int)sizeof(Segment) * i->seg));
    }
    asm_st(&j->a, 8, jit_field(OFF(fpu.fdp)), J_T0);
    if (keeps_selectors(j)) {
        copy_selector(j, i->seg, OFF(fpu.fds), J_T0);
    }
}

static void emit(Jit *j, const Insn *i, Rm m)
{
    const InsnDesc *d = j->desc;
    if (m.mem) {
        asm_op(&j->a, 0, d->opcode, d->reg, m);
    } else {
        asm_8(&j->a, d->opcode);
        asm_8(&j->a, (d->modrm_first & 0xf8) | (i->rm & 7));
    }
}

static unsigned operand_size(const InsnDesc *d)
{
    for (unsigned n = 0; n < d->nopnd; n++) {
        if (d->opnd[n].kind == OPND_M || d->opnd[n].kind == OPND_Q || d->opnd[n].kind == OPND_E) {
            return d->opnd[n].size;
        }
    }
    return 0;
}

/* ---- x87 ------------------------------------------------------------------------------------------ */

enum { STORE = 1, CONTROL = 2 };            /* CONTROL: does not count as the last instruction */

static bool op_x87(Jit *j, const Insn *i, unsigned arg)
{
    const InsnDesc *d = j->desc;
    bool mem = i->flags & IF_MEM;
    Rm m = rm_r(0);
    if (!here(j) || (mem && !jit_ea_ok(j, i))) {
        return false;
    }
    ready(j);
    if (mem) {
        m = arg & STORE ? jit_mem_probe(j, i, operand_size(d)) : jit_mem_ld(j, i, operand_size(d));
        if (!(arg & CONTROL)) {
            note_data(j, i, m);
        }
    }
    if ((d->fl_read | d->fl_write) & FLB_ARITH) {
        jit_flags_use(j);
    }
    emit(j, i, m);
    if (d->fl_write & FLB_ARITH) {
        jit_flags_made(j);
    }
    if (!(arg & CONTROL)) {
        j->x87_note = j->n + 1;
    }
    return true;
}

/* FWAIT: nothing is ever pending. */
static bool op_fwait(Jit *j, const Insn *i, unsigned arg)
{
    return here(j);
}

/* The handler does what unmasks an exception; MODE_X87SOFT follows. */
static bool op_fldcw(Jit *j, const Insn *i, unsigned arg)
{
    Asm *a = &j->a;
    if (!here(j) || !jit_ea_ok(j, i)) {
        return false;
    }
    ready(j);
    Rm m = jit_mem_ld(j, i, 2);
    asm_ldz(a, 2, J_T0, m);
    asm_mov_r(a, 4, J_T1, J_T0);
    asm_alui(a, 4, ALU_AND, rm_r(J_T1), FP_ALL);
    asm_alui(a, 4, ALU_CMP, rm_r(J_T1), FP_ALL);
    jit_cold_insn(j, CC_NE, false);
    asm_alui(a, 4, ALU_AND, rm_r(J_T0), CW_VALID);
    asm_alui(a, 4, ALU_OR, rm_r(J_T0), CW_ONE);
    asm_st(a, 2, jit_field(OFF(fpu.cw)), J_T0);
    asm_op(a, 0, 0xd9, 5, jit_field(OFF(fpu.cw)));
    return true;
}

static bool op_fnstcw(Jit *j, const Insn *i, unsigned arg)
{
    if (!here(j) || !jit_ea_ok(j, i)) {
        return false;
    }
    ready(j);
    emit(j, i, jit_mem_probe(j, i, 2));
    return true;
}

/* ---- MMX -------------------------------------------------------------------------------------------- */

static uint32_t mmx_opcode(const InsnDesc *d)
{
    static const uint32_t map[] = { 0, 0x0f00, 0x0f3800, 0x0f3a00 };
    return map[d->map] | d->opcode;
}

static bool is_mmx(const Jit *j)
{
    return j->desc->enc == ENC_LEGACY && (insn_rows[j->insn[j->n].row].attr & (A_MMX | A_SSE)) == A_MMX;
}

/* A store makes the switch to MMX state even if it faults then; so does reading the register. */
static Rm mmx_probe(Jit *j, const Insn *i, unsigned size)
{
    asm_op(&j->a, 0, 0x0f7e, i->reg, rm_r(J_T0));       /* MOVD */
    return jit_mem_probe(j, i, size);
}

/* Pq,Qq  Pq,Qq,Ib  Nq,Ib  Qq,Pq */
bool jit_mmx(Jit *j, const Insn *i)
{
    const InsnDesc *d = j->desc;
    unsigned k0 = d->opnd[0].kind, k1 = d->nopnd > 1 ? d->opnd[1].kind : OPND_NONE;
    bool mem = i->flags & IF_MEM, store = mem && k1 == OPND_P, imm = d->opnd[d->nopnd - 1].kind == OPND_I;
    Rm m;

    if (!is_mmx(j) || !here(j) || (mem && !jit_ea_ok(j, i)) ||
        !((k0 == OPND_P && k1 == OPND_Q) || (k0 == OPND_N && k1 == OPND_I) ||
          ((k0 == OPND_Q || k0 == OPND_M) && k1 == OPND_P))) {
        return false;
    }
    ready(j);
    if (store) {
        m = mmx_probe(j, i, 8);
    } else {
        m = mem ? jit_mem_ld(j, i, operand_size(d)) : rm_r(i->rm);
    }
    asm_op(&j->a, 0, mmx_opcode(d), k0 == OPND_N ? d->reg : i->reg, m);
    if (imm) {
        asm_8(&j->a, i->imm);
    }
    return true;
}

/* MOVD, MOVQ between an MMX register and Ey */
bool jit_mmx_gpr(Jit *j, const Insn *i)
{
    const InsnDesc *d = j->desc;
    bool mem = i->flags & IF_MEM, from = d->opnd[0].kind == OPND_E;
    unsigned size = i->osz == 3 ? 8 : 4;

    if (!is_mmx(j) || !here(j) || (mem && !jit_ea_ok(j, i)) ||
        d->opnd[from ? 1 : 0].kind != OPND_P || d->opnd[from ? 0 : 1].kind != OPND_E) {
        return false;
    }
    ready(j);
    Rm m = !mem ? jit_gpr(i->rm) : from ? mmx_probe(j, i, size) : jit_mem_ld(j, i, size);
    Rm home = m;
    if (from && !mem && m.mem) {
        m = rm_r(J_T0);
    }
    asm_op(&j->a, size == 8 ? 8 : 0, mmx_opcode(d), i->reg, m);
    if (from && !mem && home.mem) {
        asm_st(&j->a, 8, home, J_T0);
    }
    return true;
}

static bool op_emms(Jit *j, const Insn *i, unsigned arg)
{
    if (!here(j)) {
        return false;
    }
    ready(j);
    asm_8(&j->a, 0x0f);
    asm_8(&j->a, 0x77);
    return true;
}

static bool op_movntq(Jit *j, const Insn *i, unsigned arg)
{
    return jit_mmx(j, i);
}

const JitOp jit_x87_ops[] = {
    { "fadd", op_x87 }, { "fmul", op_x87 }, { "fsub", op_x87 }, { "fsubr", op_x87 },
    { "fdiv", op_x87 }, { "fdivr", op_x87 }, { "fiadd", op_x87 }, { "fimul", op_x87 },
    { "fisub", op_x87 }, { "fisubr", op_x87 }, { "fidiv", op_x87 }, { "fidivr", op_x87 },
    { "faddp", op_x87 }, { "fmulp", op_x87 }, { "fsubp", op_x87 }, { "fsubrp", op_x87 },
    { "fdivp", op_x87 }, { "fdivrp", op_x87 },
    { "fcom", op_x87 }, { "fcomp", op_x87 }, { "fcompp", op_x87 }, { "ficom", op_x87 },
    { "ficomp", op_x87 }, { "fucom", op_x87 }, { "fucomp", op_x87 }, { "fucompp", op_x87 },
    { "fcomi", op_x87 }, { "fcomip", op_x87 }, { "fucomi", op_x87 }, { "fucomip", op_x87 },
    { "ftst", op_x87 }, { "fxam", op_x87 },
    { "fld", op_x87 }, { "fild", op_x87 }, { "fbld", op_x87 }, { "fxch", op_x87 },
    { "fst", op_x87, STORE }, { "fstp", op_x87, STORE }, { "fstpnce", op_x87 },
    { "fist", op_x87, STORE }, { "fistp", op_x87, STORE }, { "fisttp", op_x87, STORE },
    { "fbstp", op_x87, STORE },
    { "fld1", op_x87 }, { "fldl2t", op_x87 }, { "fldl2e", op_x87 }, { "fldpi", op_x87 },
    { "fldlg2", op_x87 }, { "fldln2", op_x87 }, { "fldz", op_x87 },
    { "fchs", op_x87 }, { "fabs", op_x87 }, { "fsqrt", op_x87 }, { "frndint", op_x87 },
    { "fscale", op_x87 }, { "fxtract", op_x87 }, { "fprem", op_x87 }, { "fprem1", op_x87 },
    { "f2xm1", op_x87 }, { "fyl2x", op_x87 }, { "fyl2xp1", op_x87 }, { "fptan", op_x87 },
    { "fpatan", op_x87 }, { "fsin", op_x87 }, { "fcos", op_x87 }, { "fsincos", op_x87 },
    { "fdecstp", op_x87 }, { "fincstp", op_x87 }, { "ffree", op_x87 }, { "ffreep", op_x87 },
    { "fnop", op_x87 },
    { "fcmovb", op_x87 }, { "fcmove", op_x87 }, { "fcmovbe", op_x87 }, { "fcmovu", op_x87 },
    { "fcmovnb", op_x87 }, { "fcmovne", op_x87 }, { "fcmovnbe", op_x87 }, { "fcmovnu", op_x87 },
    { "fnstsw", op_x87, STORE | CONTROL }, { "fnclex", op_x87, CONTROL },
    { "fldcw", op_fldcw }, { "fnstcw", op_fnstcw }, { "fwait", op_fwait },
    { "emms", op_emms }, { "movntq", op_movntq },
    { NULL }
};

#endif
