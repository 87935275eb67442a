/* SPDX-License-Identifier: MIT */
/*
 * Native moves: MOV, MOVZX, MOVSX, LEA, CMOVcc, SETcc, BSWAP, CBW and the like.  None of them
 * writes flags.
 */
#include "target-i386/jit.h"

#if HAVE_JIT

#include "target-i386/interp.h"
#include "target-i386/jit-int.h"

static bool is_high(Rm x)
{
    return !x.mem && x.reg >= H_AH;
}

/* Register := T0 or another host register, by size. */
static void put(Jit *j, Rm dst, unsigned size, unsigned src)
{
    if (dst.mem) {
        asm_st(&j->a, size == 4 ? 8 : size, dst, src);
    } else if (dst.reg != src || size == 4) {
        asm_mov_r(&j->a, size, dst.reg, src);
    }
}

/* ---- MOV ------------------------------------------------------------------------------------ */

static bool load_reg(Jit *j, const Insn *i, unsigned size, Rm dst)
{
    if (!jit_ea_ok(j, i) || is_high(dst)) {
        return false;
    }
    Rm m = jit_mem_ld(j, i, size);
    if (dst.mem) {
        asm_ldz(&j->a, size, J_T0, m);
        put(j, dst, size, J_T0);
    } else {
        asm_ld(&j->a, size, dst.reg, m);
    }
    return true;
}

static bool mov_regs(Jit *j, unsigned size, Rm dst, Rm src)
{
    if (size == 1 && (is_high(dst) || is_high(src))) {
        bool rex = dst.mem || src.mem || (dst.reg >= 4 && dst.reg < H_AH) ||
                   (src.reg >= 4 && src.reg < H_AH);
        if (rex) {
            return false;
        }
    }
    if (!dst.mem && !src.mem) {
        asm_mov_r(&j->a, size, dst.reg, src.reg);
    } else if (!dst.mem) {
        asm_ld(&j->a, size, dst.reg, src);
    } else if (!src.mem && size != 4) {
        asm_st(&j->a, size, dst, src.reg);
    } else {
        asm_ldz(&j->a, size, J_T0, src);
        put(j, dst, size, J_T0);
    }
    return true;
}

static void mov_imm(Jit *j, unsigned size, Rm dst, uint64_t imm)
{
    if (size >= 4) {
        imm = size == 4 ? (uint32_t)imm : imm;
        asm_movi(&j->a, dst.mem ? J_T0 : dst.reg, imm);
        if (dst.mem) {
            asm_st(&j->a, 8, dst, J_T0);
        }
        return;
    }
    asm_op(&j->a, size, size == 1 ? 0xc6 : 0xc7, 0, dst);
    if (size == 1) {
        asm_8(&j->a, imm);
    } else {
        asm_16(&j->a, imm);
    }
}

/* MOV of a constant to a register.  Compilers at run time patch such constants. */
static void load_imm(Jit *j, const Insn *i, unsigned size, Rm dst)
{
    bool whole = size == 4 || j->desc->imm[0] == IMM_V;
    const uint8_t *at = size >= 4 && whole ? jit_constant(j, i, size) : NULL;

    if (!at) {
        mov_imm(j, size, dst, i->imm);
        return;
    }
    asm_movi(&j->a, J_T0, (uintptr_t)at);
    if (dst.mem) {
        asm_ldz(&j->a, size, J_T0, rm_m(J_T0, 0));
        asm_st(&j->a, 8, dst, J_T0);
    } else {
        asm_ldz(&j->a, size, dst.reg, rm_m(J_T0, 0));
    }
}

/* MOV Ev,Sw to a register */
static bool mov_selector(Jit *j, const Insn *i)
{
    Rm dst = jit_gpr(i->rm);
    if (i->reg > R_GS || (i->flags & IF_MEM)) {
        return false;
    }
    asm_ldz(&j->a, 2, J_T0, jit_field(OFF(seg[0].sel) + (int)sizeof(Segment) * i->reg));
    if (dst.mem) {
        asm_st(&j->a, i->osz == 1 ? 2 : 8, dst, J_T0);
    } else {
        asm_mov_r(&j->a, i->osz == 1 ? 2 : 4, dst.reg, J_T0);
    }
    return true;
}

static bool op_mov(Jit *j, const Insn *i, unsigned arg)
{
    if (j->desc->opnd[1].kind == OPND_S) {
        return mov_selector(j, i);
    }
    unsigned size = 1u << i->osz, k0 = j->desc->opnd[0].kind, k1 = j->desc->opnd[1].kind;
    bool mem = i->flags & IF_MEM;

    if (k0 == OPND_E && k1 == OPND_G) {
        if (mem) {
            if (!jit_ea_ok(j, i)) {
                return false;
            }
            jit_mem_st(j, i, size, jit_reg(i->reg, size));
            return true;
        }
        return mov_regs(j, size, jit_reg(i->rm, size), jit_reg(i->reg, size));
    }
    if (k0 == OPND_G && k1 == OPND_E) {
        return mem ? load_reg(j, i, size, jit_reg(i->reg, size))
                   : mov_regs(j, size, jit_reg(i->reg, size), jit_reg(i->rm, size));
    }
    if (k0 == OPND_E && k1 == OPND_I) {
        if (mem) {
            if (!jit_ea_ok(j, i)) {
                return false;
            }
            jit_mem_sti(j, i, size, i->imm);
        } else {
            load_imm(j, i, size, jit_reg(i->rm, size));
        }
        return true;
    }
    if (k0 == OPND_Z && k1 == OPND_I) {
        load_imm(j, i, size, jit_reg(i->reg, size));
        return true;
    }
    if (k1 == OPND_O) {
        return load_reg(j, i, size, rm_r(H_RAX));
    }
    if (k0 == OPND_O && jit_ea_ok(j, i)) {
        jit_mem_st(j, i, size, rm_r(H_RAX));
        return true;
    }
    return false;
}

/* arg: opcode | size of the source << 16 */
static bool op_widen(Jit *j, const Insn *i, unsigned arg)
{
    unsigned size = 1u << i->osz, from = arg >> 16, opc = arg & 0xffff;
    Rm dst = jit_gpr(i->reg), m;
    if (i->flags & IF_MEM) {
        if (!jit_ea_ok(j, i)) {
            return false;
        }
        m = jit_mem_ld(j, i, from);
    } else {
        m = jit_reg(i->rm, from);
        if (is_high(m) && (dst.mem || dst.reg >= 8 || size == 8)) {
            return false;
        }
    }
    unsigned reg = dst.mem ? J_T0 : dst.reg;
    if (from == 4) {                                /* MOVSXD */
        asm_op(&j->a, size, size == 8 ? 0x63 : 0x8b, reg, m);
    } else {
        asm_op_bytes(&j->a, size, opc, reg, m, from == 1 ? 2 : 0);
    }
    if (dst.mem) {
        put(j, dst, size, J_T0);
    }
    return true;
}
static bool op_movzx(Jit *j, const Insn *i, unsigned arg)
{
    bool byte = !strcmp(j->desc->opnd[1].text, "Eb");
    return op_widen(j, i, byte ? (arg | 1 << 16) : ((arg + 1) | 2 << 16));
}

static bool op_lea(Jit *j, const Insn *i, unsigned arg)
{
    unsigned size = 1u << i->osz;
    Rm dst = jit_gpr(i->reg);
    if (!jit_lea_ok(j, i)) {
        return false;
    }
    jit_lea(j, i, i->asz == 2 && size == 8 ? 4 : size, dst.mem ? J_T0 : dst.reg);
    if (dst.mem) {
        put(j, dst, size, J_T0);
    }
    return true;
}

/* ---- conditions ------------------------------------------------------------------------------- */

static bool op_cmov(Jit *j, const Insn *i, unsigned cc)
{
    unsigned size = 1u << i->osz;
    Rm dst = jit_gpr(i->reg), m;
    if (i->flags & IF_MEM) {
        if (!jit_ea_ok(j, i)) {
            return false;
        }
        m = jit_mem_ld(j, i, size);
    } else {
        m = jit_gpr(i->rm);
    }
    cc = jit_cond(j, cc);
    unsigned reg = dst.mem ? J_T0 : dst.reg;
    if (dst.mem) {
        asm_ldz(&j->a, size, J_T0, dst);
    }
    asm_op(&j->a, size, 0x0f40 | cc, reg, m);
    if (dst.mem) {
        put(j, dst, size, J_T0);
    }
    return true;
}

static bool op_set(Jit *j, const Insn *i, unsigned cc)
{
    Rm m;
    if (i->flags & IF_MEM) {
        if (!jit_ea_ok(j, i)) {
            return false;
        }
        m = jit_mem_insn(j, i, 1, TLB_WRITE);
    } else {
        m = jit_gpr8(i->rm);
    }
    cc = jit_cond(j, cc);
    asm_op_bytes(&j->a, 0, 0x0f90 | cc, 0, m, 2);
    return true;
}

/* ---- others ------------------------------------------------------------------------------------- */

/* CBW, CWD and their wider forms work on RAX and RDX, which are where they belong. */
static bool op_copy(Jit *j, const Insn *i, unsigned opc)
{
    if (i->osz == 1) {
        asm_8(&j->a, 0x66);
    } else if (i->osz == 3) {
        asm_8(&j->a, 0x48);
    }
    asm_8(&j->a, opc);
    return true;
}

static bool op_bswap(Jit *j, const Insn *i, unsigned arg)
{
    Rm dst = jit_gpr(i->reg);
    unsigned reg = dst.mem ? J_T0 : dst.reg;
    if (i->osz < 2) {
        return false;
    }
    if (dst.mem) {
        asm_ld(&j->a, 8, J_T0, dst);
    }
    unsigned rex = (i->osz == 3 ? 0x48 : 0x40) | (reg & 8 ? 1 : 0);
    if (rex != 0x40) {
        asm_8(&j->a, rex);
    }
    asm_8(&j->a, 0x0f);
    asm_8(&j->a, 0xc8 | (reg & 7));
    if (dst.mem) {
        asm_st(&j->a, 8, dst, J_T0);
    }
    return true;
}

static bool op_nop(Jit *j, const Insn *i, unsigned arg)
{
    return true;
}

/* LFENCE, MFENCE, SFENCE: i->reg says which */
static bool op_fence(Jit *j, const Insn *i, unsigned reg)
{
    asm_8(&j->a, 0x0f);
    asm_8(&j->a, 0xae);
    asm_8(&j->a, 0xc0 | reg << 3);
    return true;
}

const JitOp jit_mov_ops[] = {
    { "mov", op_mov }, { "movzx", op_movzx, 0x0fb6 }, { "movsx", op_movzx, 0x0fbe },
    { "movsxd", op_widen, 4 << 16 }, { "lea", op_lea },
    { "cmovo", op_cmov, 0 }, { "cmovno", op_cmov, 1 }, { "cmovb", op_cmov, 2 },
    { "cmovae", op_cmov, 3 }, { "cmove", op_cmov, 4 }, { "cmovne", op_cmov, 5 },
    { "cmovbe", op_cmov, 6 }, { "cmova", op_cmov, 7 }, { "cmovs", op_cmov, 8 },
    { "cmovns", op_cmov, 9 }, { "cmovp", op_cmov, 10 }, { "cmovnp", op_cmov, 11 },
    { "cmovl", op_cmov, 12 }, { "cmovge", op_cmov, 13 }, { "cmovle", op_cmov, 14 },
    { "cmovg", op_cmov, 15 },
    { "seto", op_set, 0 }, { "setno", op_set, 1 }, { "setb", op_set, 2 }, { "setae", op_set, 3 },
    { "sete", op_set, 4 }, { "setne", op_set, 5 }, { "setbe", op_set, 6 }, { "seta", op_set, 7 },
    { "sets", op_set, 8 }, { "setns", op_set, 9 }, { "setp", op_set, 10 }, { "setnp", op_set, 11 },
    { "setl", op_set, 12 }, { "setge", op_set, 13 }, { "setle", op_set, 14 }, { "setg", op_set, 15 },
    { "cbw", op_copy, 0x98 }, { "cwd", op_copy, 0x99 }, { "bswap", op_bswap },
    { "nop", op_nop }, { "prefetch", op_nop }, { "prefetchw", op_nop },
    { "lfence", op_fence, 5 }, { "mfence", op_fence, 6 }, { "sfence", op_fence, 7 },
    { NULL }
};

#endif
