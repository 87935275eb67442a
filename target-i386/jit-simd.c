/* SPDX-License-Identifier: MIT */
/*
 * Native SSE.  (AVX, registers held, and instructions with no form here: jit-vec.c.)
 */
#include "target-i386/jit.h"

#if HAVE_JIT

#include "target-i386/jit-int.h"
#include "target-i386/sse-env.h"

/* What an instruction is beside its encoding. */
enum {
    FP    = 1,                  /* computes by MXCSR */
    WHOLE = 2,                  /* writes all 128 bits of its destination */
};

/* The host's instruction is the guest's. */
static uint32_t opcode(const InsnDesc *d)
{
    static const uint32_t prefix[] = { [PFX_66] = ASM_66, [PFX_F3] = ASM_F3, [PFX_F2] = ASM_F2 };
    static const uint32_t map[] = { 0, 0x0f00, 0x0f3800, 0x0f3a00 };
    return prefix[d->pfx] | map[d->map] | d->opcode;
}

static unsigned memory_size(const InsnOpnd *o)
{
    return o->size && o->size < 16 ? o->size : 16;
}

/* 16 bytes of memory that must be aligned or not; the addend keeps alignment. */
static Rm memory16(Jit *j, const Insn *i, TlbAccess acc)
{
    Rm m = jit_mem_insn(j, i, 16, acc);
    if (insn_rows[i->row].attr & A_AL) {
        jit_flags_clobber(j, j->live_in);
        asm_lea(&j->a, 8, J_T0, rm_m(m.reg, m.disp));
        asm_op(&j->a, 1, 0xf6, 0, rm_r(J_T0));          /* TEST */
        asm_8(&j->a, 15);
        jit_cold_insn(j, CC_NE, false);
    }
    return m;
}

static bool vec_source_ok(const Jit *j, const Insn *i)
{
    return j->desc->enc == ENC_LEGACY && (!(i->flags & IF_MEM) || jit_ea_ok(j, i));
}
/* Operand o, the one of ModRM.rm: an XMM register or memory. */
static Rm vec_source(Jit *j, const Insn *i, const InsnOpnd *o)
{
    unsigned size = memory_size(o);
    if (i->flags & IF_MEM) {
        return size == 16 ? memory16(j, i, TLB_READ) : jit_mem_ld(j, i, size);
    }
    jit_hold(j, i->rm);
    return rm_r(i->rm);
}

/* Vx,Wx and Vx,Wx,Ib */
static bool op_vec(Jit *j, const Insn *i, unsigned arg)
{
    const InsnDesc *d = j->desc;
    bool imm = d->nopnd == 3;
    if (jit_mmx(j, i)) {
        return true;
    }
    if (!vec_source_ok(j, i) || d->opnd[0].kind != OPND_V ||
        (d->opnd[1].kind != OPND_W && d->opnd[1].kind != OPND_U) ||
        d->nopnd > 3 || (imm && d->opnd[2].kind != OPND_I)) {
        return false;
    }
    bool flags = d->fl_write & FLB_ARITH;
    if (arg & FP) {
        jit_fp_ready(j);
    }
    Rm m = vec_source(j, i, &d->opnd[1]);
    if (!(arg & WHOLE)) {
        jit_hold(j, i->reg);
    }
    if (flags) {
        jit_flags_use(j);
    }
    asm_op(&j->a, 0, opcode(d), i->reg, m);
    if (imm) {
        asm_8(&j->a, i->imm);
    }
    if (flags) {
        jit_flags_made(j);              /* a comparison: its first operand stays */
    } else {
        jit_vec_written(j, i->reg);
    }
    return true;
}

/* Moves between registers, from memory and to it. */
static bool op_vmove(Jit *j, const Insn *i, unsigned arg)
{
    const InsnDesc *d = j->desc;
    bool store = d->opnd[0].kind != OPND_V;
    const InsnOpnd *rm = &d->opnd[store ? 0 : 1];
    unsigned size = memory_size(rm);
    if (!vec_source_ok(j, i) || d->nopnd != 2 || d->opnd[store ? 1 : 0].kind != OPND_V ||
        (rm->kind != OPND_W && rm->kind != OPND_M)) {
        return false;
    }
    if (!store) {
        Rm m = vec_source(j, i, rm);
        /* scalar moves between registers leave the upper part, those from memory clear it */
        if (!(arg & WHOLE) && !(i->flags & IF_MEM)) {
            jit_hold(j, i->reg);
        }
        asm_op(&j->a, 0, opcode(d), i->reg, m);
        jit_vec_written(j, i->reg);
        return true;
    }
    if (i->flags & IF_MEM) {
        Rm m = size == 16 ? memory16(j, i, TLB_WRITE) : jit_mem_insn(j, i, size, TLB_WRITE);
        jit_hold(j, i->reg);
        asm_op(&j->a, 0, opcode(d), i->reg, m);
        return true;
    }
    jit_hold(j, i->reg);
    if (!(arg & WHOLE)) {
        jit_hold(j, i->rm);
    }
    asm_op(&j->a, 0, opcode(d), i->reg, rm_r(i->rm));
    jit_vec_written(j, i->rm);
    return true;
}

/* Half moves: Vq,Mq (the other half stays) and Mq,Vq */
static bool op_vhalf(Jit *j, const Insn *i, unsigned arg)
{
    const InsnDesc *d = j->desc;
    bool store = d->opnd[0].kind != OPND_V;
    if (d->enc != ENC_LEGACY || !(i->flags & IF_MEM) || !jit_ea_ok(j, i) || d->nopnd != 2) {
        return false;
    }
    Rm m = store ? jit_mem_insn(j, i, 8, TLB_WRITE) : jit_mem_ld(j, i, 8);
    jit_hold(j, i->reg);
    asm_op(&j->a, 0, opcode(d), i->reg, m);
    if (!store) {
        jit_vec_written(j, i->reg);
    }
    return true;
}

/* MOVD, MOVQ, CVTSI2SD ...: Vx,Ey */
static bool op_vec_gpr(Jit *j, const Insn *i, unsigned arg)
{
    const InsnDesc *d = j->desc;
    unsigned size = i->osz == 3 ? 8 : 4;
    if (!vec_source_ok(j, i) || d->opnd[0].kind != OPND_V || d->opnd[1].kind != OPND_E) {
        return false;
    }
    if (arg & FP) {
        jit_fp_ready(j);
    }
    Rm m = i->flags & IF_MEM ? jit_mem_ld(j, i, size) : jit_gpr(i->rm);
    if (!(arg & WHOLE)) {
        jit_hold(j, i->reg);
    }
    asm_op(&j->a, size == 8 ? 8 : 0, opcode(d), i->reg, m);
    jit_vec_written(j, i->reg);
    return true;
}

static void gpr_written(Jit *j, unsigned n, Rm dst, unsigned host)
{
    if (dst.mem) {
        asm_st(&j->a, 8, dst, host);
    }
}

/* MOVD, MOVQ: Ey,Vx */
static bool op_gpr_vec(Jit *j, const Insn *i, unsigned arg)
{
    const InsnDesc *d = j->desc;
    unsigned size = i->osz == 3 ? 8 : 4;
    if (!vec_source_ok(j, i) || d->opnd[0].kind != OPND_E || d->opnd[1].kind != OPND_V) {
        return false;
    }
    Rm m = i->flags & IF_MEM ? jit_mem_insn(j, i, size, TLB_WRITE) : jit_gpr(i->rm);
    jit_hold(j, i->reg);
    if (i->flags & IF_MEM) {
        asm_op(&j->a, size == 8 ? 8 : 0, opcode(d), i->reg, m);
        return true;
    }
    unsigned host = m.mem ? J_T0 : m.reg;
    asm_op(&j->a, size == 8 ? 8 : 0, opcode(d), i->reg, rm_r(host));
    gpr_written(j, i->rm, m, host);
    return true;
}
static bool op_movd(Jit *j, const Insn *i, unsigned arg)
{
    return op_vec_gpr(j, i, WHOLE) || op_gpr_vec(j, i, 0) || jit_mmx_gpr(j, i);
}
static bool op_movq(Jit *j, const Insn *i, unsigned arg)
{
    return op_movd(j, i, 0) || op_vmove(j, i, WHOLE) || jit_mmx(j, i);
}

/* PMOVMSKB, MOVMSKPD, CVTTSD2SI ...: Gy,Wx */
static bool op_gpr_from(Jit *j, const Insn *i, unsigned arg)
{
    const InsnDesc *d = j->desc;
    if (!vec_source_ok(j, i) || d->opnd[0].kind != OPND_G || d->nopnd != 2 ||
        (d->opnd[1].kind != OPND_W && d->opnd[1].kind != OPND_U)) {
        return false;
    }
    if (arg & FP) {
        jit_fp_ready(j);
    }
    Rm m = vec_source(j, i, &d->opnd[1]), dst = jit_gpr(i->reg);
    unsigned host = dst.mem ? J_T0 : dst.reg;
    asm_op(&j->a, (arg & FP) && i->osz == 3 ? 8 : 0, opcode(d), host, m);
    gpr_written(j, i->reg, dst, host);
    return true;
}

/* Shifts by a constant: Ux,Ib */
static bool op_vec_imm(Jit *j, const Insn *i, unsigned arg)
{
    const InsnDesc *d = j->desc;
    if (d->opnd[1].kind != OPND_I) {
        return op_vec(j, i, 0);
    }
    if (jit_mmx(j, i)) {
        return true;
    }
    if (d->enc != ENC_LEGACY || (i->flags & IF_MEM) || d->nopnd != 2 ||
        (d->opnd[0].kind != OPND_U && d->opnd[0].kind != OPND_W)) {
        return false;
    }
    jit_hold(j, i->rm);
    asm_op(&j->a, 0, opcode(d), d->reg, rm_r(i->rm));
    asm_8(&j->a, i->imm);
    jit_vec_written(j, i->rm);
    return true;
}

const JitOp jit_simd_ops[] = {
    { "movaps", op_vmove, WHOLE }, { "movapd", op_vmove, WHOLE }, { "movups", op_vmove, WHOLE },
    { "movupd", op_vmove, WHOLE }, { "movdqa", op_vmove, WHOLE }, { "movdqu", op_vmove, WHOLE },
    { "lddqu", op_vmove, WHOLE }, { "movss", op_vmove, 0 }, { "movsd", op_vmove, 0 },
    { "movq", op_movq }, { "movd", op_movd },
    { "movhps", op_vhalf }, { "movlps", op_vhalf }, { "movhpd", op_vhalf }, { "movlpd", op_vhalf },
    { "movhlps", op_vec }, { "movlhps", op_vec },
    { "pmovmskb", op_gpr_from }, { "movmskps", op_gpr_from }, { "movmskpd", op_gpr_from },

    { "punpcklbw", op_vec }, { "punpcklwd", op_vec }, { "punpckldq", op_vec },
    { "punpckhbw", op_vec }, { "punpckhwd", op_vec }, { "punpckhdq", op_vec },
    { "punpcklqdq", op_vec }, { "punpckhqdq", op_vec },
    { "packsswb", op_vec }, { "packssdw", op_vec }, { "packuswb", op_vec }, { "packusdw", op_vec },
    { "pcmpgtb", op_vec }, { "pcmpgtw", op_vec }, { "pcmpgtd", op_vec }, { "pcmpgtq", op_vec },
    { "pcmpeqb", op_vec }, { "pcmpeqw", op_vec }, { "pcmpeqd", op_vec }, { "pcmpeqq", op_vec },
    { "paddb", op_vec }, { "paddw", op_vec }, { "paddd", op_vec }, { "paddq", op_vec },
    { "paddsb", op_vec }, { "paddsw", op_vec }, { "paddusb", op_vec }, { "paddusw", op_vec },
    { "psubb", op_vec }, { "psubw", op_vec }, { "psubd", op_vec }, { "psubq", op_vec },
    { "psubsb", op_vec }, { "psubsw", op_vec }, { "psubusb", op_vec }, { "psubusw", op_vec },
    { "pmullw", op_vec }, { "pmulhw", op_vec }, { "pmulhuw", op_vec }, { "pmuludq", op_vec },
    { "pmuldq", op_vec }, { "pmulld", op_vec }, { "pmaddwd", op_vec }, { "psadbw", op_vec },
    { "pminub", op_vec }, { "pminuw", op_vec }, { "pminud", op_vec }, { "pminsb", op_vec },
    { "pminsw", op_vec }, { "pminsd", op_vec }, { "pmaxub", op_vec }, { "pmaxuw", op_vec },
    { "pmaxud", op_vec }, { "pmaxsb", op_vec }, { "pmaxsw", op_vec }, { "pmaxsd", op_vec },
    { "pavgb", op_vec }, { "pavgw", op_vec },
    { "pand", op_vec }, { "pandn", op_vec }, { "por", op_vec }, { "pxor", op_vec },
    { "andps", op_vec }, { "andpd", op_vec }, { "andnps", op_vec }, { "andnpd", op_vec },
    { "orps", op_vec }, { "orpd", op_vec }, { "xorps", op_vec }, { "xorpd", op_vec },
    { "pshufb", op_vec }, { "pshufd", op_vec }, { "pshuflw", op_vec }, { "pshufhw", op_vec },
    { "shufps", op_vec }, { "shufpd", op_vec }, { "palignr", op_vec },
    { "unpcklps", op_vec }, { "unpcklpd", op_vec }, { "unpckhps", op_vec }, { "unpckhpd", op_vec },
    { "psllw", op_vec_imm }, { "pslld", op_vec_imm }, { "psllq", op_vec_imm },
    { "psrlw", op_vec_imm }, { "psrld", op_vec_imm }, { "psrlq", op_vec_imm },
    { "psraw", op_vec_imm }, { "psrad", op_vec_imm },
    { "pslldq", op_vec_imm }, { "psrldq", op_vec_imm },

    { "addps", op_vec, FP }, { "addpd", op_vec, FP }, { "addss", op_vec, FP }, { "addsd", op_vec, FP },
    { "subps", op_vec, FP }, { "subpd", op_vec, FP }, { "subss", op_vec, FP }, { "subsd", op_vec, FP },
    { "mulps", op_vec, FP }, { "mulpd", op_vec, FP }, { "mulss", op_vec, FP }, { "mulsd", op_vec, FP },
    { "divps", op_vec, FP }, { "divpd", op_vec, FP }, { "divss", op_vec, FP }, { "divsd", op_vec, FP },
    { "minps", op_vec, FP }, { "minpd", op_vec, FP }, { "minss", op_vec, FP }, { "minsd", op_vec, FP },
    { "maxps", op_vec, FP }, { "maxpd", op_vec, FP }, { "maxss", op_vec, FP }, { "maxsd", op_vec, FP },
    { "sqrtps", op_vec, FP }, { "sqrtpd", op_vec, FP }, { "sqrtss", op_vec, FP }, { "sqrtsd", op_vec, FP },
    { "ucomiss", op_vec, FP }, { "ucomisd", op_vec, FP }, { "comiss", op_vec, FP }, { "comisd", op_vec, FP },
    { "cmpps", op_vec, FP }, { "cmppd", op_vec, FP }, { "cmpss", op_vec, FP }, { "cmpsd", op_vec, FP },
    { "cvtss2sd", op_vec, FP }, { "cvtsd2ss", op_vec, FP }, { "cvtps2pd", op_vec, FP },
    { "cvtpd2ps", op_vec, FP }, { "cvtdq2ps", op_vec, FP }, { "cvtdq2pd", op_vec, FP },
    { "cvtps2dq", op_vec, FP }, { "cvttps2dq", op_vec, FP }, { "cvtpd2dq", op_vec, FP },
    { "cvttpd2dq", op_vec, FP },
    { "cvtsi2ss", op_vec_gpr, FP }, { "cvtsi2sd", op_vec_gpr, FP },
    { "cvtss2si", op_gpr_from, FP }, { "cvtsd2si", op_gpr_from, FP },
    { "cvttss2si", op_gpr_from, FP }, { "cvttsd2si", op_gpr_from, FP },
    { NULL }
};

#endif
