/* SPDX-License-Identifier: MIT */
/*
 * Native integer arithmetic: the same instruction on host registers, with the guest's memory
 * operand probed first.
 *
 * Registers that live in memory are operands of the host instruction where that does the same
 * (not for 32-bit results, which clear the upper half), else they go through T0.
 */
#include "target-i386/jit.h"

#if HAVE_JIT

#include "target-i386/interp.h"
#include "target-i386/jit-int.h"

enum { ALU_TEST = 8 };

/* A general register operand of 1-8 bytes. */
Rm jit_reg(unsigned n, unsigned size)
{
    return size == 1 ? jit_gpr8(n) : jit_gpr(n);
}

/* Can the two stand in one instruction of bytes?  AH..BH exclude REX. */
static bool bytes_fit(Rm x, Rm y)
{
    bool high_x = !x.mem && x.reg >= H_AH, high_y = !y.mem && y.reg >= H_AH;
    bool rex_x = x.mem || (x.reg >= 4 && x.reg < H_AH), rex_y = y.mem || (y.reg >= 4 && y.reg < H_AH);
    return !(high_x && rex_y) && !(high_y && rex_x);
}
static bool is_high(Rm x)
{
    return !x.mem && x.reg >= H_AH;
}

/* A host register to compute the register operand r in: itself, or T0 (loaded if wanted).
 * After jit_flags_use, before the operation; dst_end after it. */
static unsigned dst_begin(Jit *j, Rm r, unsigned size, bool load)
{
    if (!r.mem) {
        return r.reg;
    }
    if (load) {
        asm_ldz(&j->a, size, J_T0, r);
    }
    return J_T0;
}
static void dst_end(Jit *j, Rm r, unsigned size)
{
    if (r.mem) {
        asm_st(&j->a, size == 4 ? 8 : size, r, J_T0);
    }
}

/* ---- two operands ------------------------------------------------------------------------- */

static void test(Jit *j, unsigned size, Rm m, unsigned reg)
{
    asm_op(&j->a, size, size == 1 ? 0x84 : 0x85, reg, m);
}

/* m op= reg */
static void alu_to(Jit *j, unsigned size, unsigned op, Rm m, unsigned reg)
{
    if (op == ALU_TEST) {
        test(j, size, m, reg);
    } else {
        asm_op(&j->a, size, op << 3 | (size == 1 ? 0 : 1), reg, m);
    }
}
static void alu_imm(Jit *j, unsigned size, unsigned op, Rm m, int32_t imm)
{
    if (op != ALU_TEST) {
        asm_alui(&j->a, size, op, m, imm);
        return;
    }
    asm_op(&j->a, size, size == 1 ? 0xf6 : 0xf7, 0, m);
    if (size == 1) {
        asm_8(&j->a, imm);
    } else if (size == 2) {
        asm_16(&j->a, imm);
    } else {
        asm_32(&j->a, imm);
    }
}

static bool keeps(unsigned op)
{
    return op != ALU_CMP && op != ALU_TEST;
}

static void alu_regs(Jit *j, unsigned size, unsigned op, Rm dst, Rm src)
{
    jit_flags_use(j);
    if (dst.mem && (src.mem || (size == 4 && keeps(op)))) {
        asm_ldz(&j->a, size, J_T0, dst);
        if (op == ALU_TEST) {
            test(j, size, src, J_T0);
        } else {
            asm_alu(&j->a, size, op, J_T0, src);
        }
        if (keeps(op)) {
            dst_end(j, dst, size);
        }
    } else if (dst.mem || op == ALU_TEST) {
        if (src.mem) {
            test(j, size, src, dst.reg);
        } else {
            alu_to(j, size, op, dst, src.reg);
        }
    } else {
        asm_alu(&j->a, size, op, dst.reg, src);
    }
    jit_flags_made(j);
}

static void alu_reg_imm(Jit *j, unsigned size, unsigned op, Rm dst, int32_t imm)
{
    jit_flags_use(j);
    if (dst.mem && size == 4 && keeps(op)) {
        asm_ldz(&j->a, 4, J_T0, dst);
        alu_imm(j, 4, op, rm_r(J_T0), imm);
        dst_end(j, dst, 4);
    } else {
        alu_imm(j, size, op, dst, imm);
    }
    jit_flags_made(j);
}

/* The memory operand for reading and writing, of size bytes; LOCK is dealt with. */
static Rm rmw(Jit *j, const Insn *i, unsigned size)
{
    return i->flags & IF_LOCK ? jit_mem_locked(j, i, size) : jit_mem_insn(j, i, size, TLB_WRITE);
}
/* An only vCPU needs no bus lock: its own instructions are atomic to it. */
static void lock(Jit *j, const Insn *i)
{
    if ((i->flags & IF_LOCK) && tcg_parallel) {
        asm_8(&j->a, 0xf0);
    }
}

static bool alu_mem(Jit *j, const Insn *i, unsigned op, unsigned size, bool to_mem, bool imm)
{
    Rm reg = imm ? rm_r(0) : jit_reg(i->reg, size), m;
    if (!jit_ea_ok(j, i) || is_high(reg)) {
        return false;
    }
    if (!to_mem) {
        m = jit_mem_ld(j, i, size);
        jit_flags_use(j);
        unsigned dst = dst_begin(j, reg, size, true);
        asm_alu(&j->a, size, op, dst, m);
        if (keeps(op)) {
            dst_end(j, reg, size);
        }
        jit_flags_made(j);
        return true;
    }
    m = keeps(op) ? rmw(j, i, size) : jit_mem_ld(j, i, size);
    jit_flags_use(j);
    unsigned src = imm ? 0 : dst_begin(j, reg, size, true);
    lock(j, i);
    if (imm) {
        alu_imm(j, size, op, m, i->imm);
    } else {
        alu_to(j, size, op, m, src);
    }
    jit_flags_made(j);
    return true;
}

static bool op_alu(Jit *j, const Insn *i, unsigned op)
{
    unsigned size = 1u << i->osz, k0 = j->desc->opnd[0].kind, k1 = j->desc->opnd[1].kind;
    if (k0 == OPND_FIXED && k1 == OPND_I) {
        alu_reg_imm(j, size, op, rm_r(H_RAX), i->imm);
        return true;
    }
    if (i->flags & IF_MEM) {
        return alu_mem(j, i, op, size, k0 == OPND_E, k1 == OPND_I);
    }
    if (k1 == OPND_I) {
        alu_reg_imm(j, size, op, jit_reg(i->rm, size), i->imm);
        return true;
    }
    Rm dst = jit_reg(k0 == OPND_E ? i->rm : i->reg, size);
    Rm src = jit_reg(k0 == OPND_E ? i->reg : i->rm, size);
    if (size == 1 && (!bytes_fit(dst, src) || (dst.mem && src.mem && is_high(src)))) {
        return false;
    }
    alu_regs(j, size, op, dst, src);
    return true;
}

/* ---- one operand: INC DEC NOT NEG, shifts --------------------------------------------------- */

/* A rotate by more than one leaves OF undefined, and hosts do leave it so; where it is looked at
 * the last bit goes alone, which gives what the interpreter computes. */
static bool rotate_in_two(const Jit *j, unsigned size, unsigned digit, int imm)
{
    unsigned n = imm & (size == 8 ? 63 : 31), round = 8 * size + 1;

    return digit < 4 && n > 1 && j->live_out & FLB_O && !(digit > 1 && n % round == 0);
}

/* FE/FF and F6/F7 groups, D0-D3 and C0/C1: opcode for bytes, +1 for the others; /digit; an
 * immediate byte or none (-1). */
static bool unary(Jit *j, const Insn *i, unsigned n, uint32_t opc, unsigned digit, int imm, bool flags)
{
    unsigned size = 1u << i->osz;
    bool mem = i->flags & IF_MEM;
    Rm m;
    if (mem && !jit_ea_ok(j, i)) {
        return false;
    }
    m = mem ? rmw(j, i, size) : jit_reg(n, size);
    if (flags) {
        jit_flags_use(j);
    }
    Rm at = m;
    if (!mem && m.mem && size == 4) {
        asm_ldz(&j->a, 4, J_T0, m);
        at = rm_r(J_T0);
    }
    lock(j, i);
    bool again = opc == 0xc0 && rotate_in_two(j, size, digit, imm);
    asm_op(&j->a, size, opc + (size > 1), digit, at);
    if (imm >= 0) {
        asm_8(&j->a, imm - again);
    }
    if (again) {
        asm_op(&j->a, size, 0xd0 + (size > 1), digit, at);
    }
    if (flags) {
        jit_flags_made(j);
    }
    if (!mem && m.mem && size == 4) {
        dst_end(j, m, 4);
    }
    return true;
}

static bool op_incdec(Jit *j, const Insn *i, unsigned digit)
{
    unsigned n = j->desc->opnd[0].kind == OPND_Z ? i->reg : i->rm;
    return unary(j, i, n, 0xfe, digit, -1, true);
}
static bool op_not(Jit *j, const Insn *i, unsigned digit)
{
    return unary(j, i, i->rm, 0xf6, digit, -1, false);
}
static bool op_neg(Jit *j, const Insn *i, unsigned digit)
{
    return unary(j, i, i->rm, 0xf6, digit, -1, true);
}

static bool op_shift(Jit *j, const Insn *i, unsigned digit)
{
    const InsnOpnd *o = &j->desc->opnd[1];
    if (o->kind == OPND_I) {
        return unary(j, i, i->rm, 0xc0, digit, i->imm & 0xff, true);
    }
    return unary(j, i, i->rm, o->text[0] == '1' ? 0xd0 : 0xd2, digit, -1, true);
}

static bool op_shiftd(Jit *j, const Insn *i, unsigned opc)
{
    unsigned size = 1u << i->osz;
    bool imm = j->desc->opnd[2].kind == OPND_I;
    Rm reg = jit_gpr(i->reg), m = jit_gpr(i->rm);
    if (reg.mem || size == 2 || (i->flags & IF_MEM ? !jit_ea_ok(j, i) : m.mem)) {
        return false;
    }
    if (i->flags & IF_MEM) {
        m = rmw(j, i, size);
    }
    jit_flags_use(j);
    asm_op(&j->a, size, opc + !imm, reg.reg, m);
    if (imm) {
        asm_8(&j->a, i->imm);
    }
    jit_flags_made(j);
    return true;
}

/* ---- multiply, divide ----------------------------------------------------------------------------- */

/* The source operand of one of the following: memory for reading, or a register. */
static Rm source(Jit *j, const Insn *i, unsigned size)
{
    return i->flags & IF_MEM ? jit_mem_ld(j, i, size) : jit_reg(i->rm, size);
}
static bool source_ok(Jit *j, const Insn *i)
{
    return !(i->flags & IF_MEM) || jit_ea_ok(j, i);
}

static bool op_mul(Jit *j, const Insn *i, unsigned digit)
{
    unsigned size = 1u << i->osz;
    if (!source_ok(j, i)) {
        return false;
    }
    if (j->desc->opnd[0].kind == OPND_FIXED) {
        Rm m = source(j, i, size);
        jit_flags_use(j);
        asm_op(&j->a, size, size == 1 ? 0xf6 : 0xf7, digit, m);
    } else {
        Rm dst = jit_gpr(i->reg), m = source(j, i, size);
        bool three = j->desc->opnd[2].kind == OPND_I;
        jit_flags_use(j);
        unsigned reg = dst_begin(j, dst, size, !three);
        bool byte = three && i->imm + 128 < 256;
        asm_op(&j->a, size, !three ? 0x0faf : byte ? 0x6b : 0x69, reg, m);
        if (byte) {
            asm_8(&j->a, i->imm);
        } else if (three && size == 2) {
            asm_16(&j->a, i->imm);
        } else if (three) {
            asm_32(&j->a, i->imm);
        }
        dst_end(j, dst, size);
    }
    jit_flags_made(j);
    return true;
}

/* Only what can't fault: the rest, and bytes and words, is the handler's. */
static bool op_div(Jit *j, const Insn *i, unsigned digit)
{
    unsigned size = 1u << i->osz;
    Asm *a = &j->a;
    if (size < 4 || !source_ok(j, i)) {
        return false;
    }
    Rm m = source(j, i, size);
    jit_flags_clobber(j, j->live_in);
    asm_ld(a, size, J_T0, m);
    if (digit == 6) {
        asm_alu(a, size, ALU_CMP, H_RDX, rm_r(J_T0));       /* quotient too large, or by 0 */
        jit_cold_insn(j, CC_AE, false);
    } else {
        asm_mov_r(a, size, J_T1, H_RAX);
        asm_op(a, size, 0xc1, 7, rm_r(J_T1));
        asm_8(a, size * 8 - 1);
        asm_alu(a, size, ALU_CMP, J_T1, rm_r(H_RDX));       /* not just sign-extended */
        jit_cold_insn(j, CC_NE, false);
        asm_lea(a, size, J_T1, rm_m(J_T0, 1));
        asm_alui(a, size, ALU_CMP, rm_r(J_T1), 1);          /* by 0 or -1 */
        jit_cold_insn(j, CC_BE, false);
    }
    asm_op(a, size, 0xf7, digit, rm_r(J_T0));
    jit_flags_made(j);
    return true;
}

/* ---- compare and exchange ------------------------------------------------------------------------------ */

static bool op_xadd(Jit *j, const Insn *i, unsigned opc)
{
    unsigned size = 1u << i->osz;
    Rm reg = jit_reg(i->reg, size);
    if (!(i->flags & IF_MEM) || !jit_ea_ok(j, i) || is_high(reg)) {
        return false;
    }
    Rm m = rmw(j, i, size);
    jit_flags_use(j);
    unsigned host = dst_begin(j, reg, size, true);
    lock(j, i);
    asm_op(&j->a, size, opc + (size > 1), host, m);
    dst_end(j, reg, size);
    jit_flags_made(j);
    return true;
}

/* Without a lock CMPXCHG is slower than what it stands for, and makes a store wait for a load. */
static void cmpxchg_unlocked(Jit *j, Rm m, unsigned reg, unsigned size)
{
    Asm *a = &j->a;
    asm_ldz(a, size, J_T0, m);
    asm_alu(a, size, ALU_CMP, H_RAX, rm_r(J_T0));
    uint8_t *differ = asm_jcc8(a, CC_NE);
    asm_st(a, size, m, reg);
    uint8_t *done = asm_jcc8(a, CC_E);
    asm_patch8(differ, a->p);
    asm_mov_r(a, size, H_RAX, J_T0);
    asm_patch8(done, a->p);
}

static bool op_cmpxchg(Jit *j, const Insn *i, unsigned arg)
{
    unsigned size = 1u << i->osz;
    Rm reg = jit_reg(i->reg, size);
    if (!(i->flags & IF_MEM) || !jit_ea_ok(j, i) || is_high(reg)) {
        return false;
    }
    Rm m = rmw(j, i, size);
    jit_flags_use(j);
    if (!tcg_parallel && !reg.mem) {
        cmpxchg_unlocked(j, m, reg.reg, size);
        jit_flags_made(j);
        return true;
    }
    unsigned host = dst_begin(j, reg, size, true);
    lock(j, i);
    asm_op(&j->a, size, size == 1 ? 0x0fb0 : 0x0fb1, host, m);
    jit_flags_made(j);
    return true;
}

/* CMPXCHG8B, CMPXCHG16B: all its registers are where the host wants them. */
static bool op_cmpxchg_pair(Jit *j, const Insn *i, unsigned size)
{
    if (!jit_ea_ok(j, i) || (size == 16 && !jit_host_bit(HOST_CX16))) {
        return false;
    }
    Rm m = jit_mem_locked(j, i, size);
    jit_flags_use(j);
    lock(j, i);
    asm_op(&j->a, size == 16 ? 8 : 4, 0x0fc7, 1, m);
    jit_flags_made(j);
    return true;
}

/* The host's XCHG always locks. */
static void xchg_unlocked(Jit *j, Rm m, Rm reg, unsigned size)
{
    Asm *a = &j->a;
    unsigned from = reg.reg;
    if (reg.mem) {
        asm_lea(a, 8, J_T1, m);
        m = rm_m(J_T1, 0);
        from = J_T2;
        asm_ld(a, 8, from, reg);
    }
    asm_ldz(a, size, J_T0, m);
    asm_st(a, size, m, from);
    if (reg.mem) {
        dst_end(j, reg, size);
    } else {
        asm_mov_r(a, size, reg.reg, J_T0);
    }
}

static bool op_xchg(Jit *j, const Insn *i, unsigned arg)
{
    unsigned size = 1u << i->osz, k1 = j->desc->opnd[1].kind;
    Asm *a = &j->a;
    if (i->flags & IF_MEM) {
        Rm reg = jit_reg(i->reg, size);
        if (!jit_ea_ok(j, i) || is_high(reg)) {
            return false;
        }
        Rm m = jit_mem_locked(j, i, size);
        if (!tcg_parallel) {
            xchg_unlocked(j, m, reg, size);
            return true;
        }
        unsigned host = dst_begin(j, reg, size, true);
        asm_op(a, size, size == 1 ? 0x86 : 0x87, host, m);
        dst_end(j, reg, size);
        return true;
    }
    if (k1 == OPND_FIXED && i->reg == R_EAX) {
        return true;                                        /* NOP */
    }
    Rm x = jit_reg(i->reg, size), y = k1 == OPND_FIXED ? rm_r(H_RAX) : jit_reg(i->rm, size);
    if (size == 1 ? !bytes_fit(x, y) || x.mem || y.mem : false) {
        return false;
    }
    if (!x.mem && !y.mem) {
        asm_op(a, size, size == 1 ? 0x86 : 0x87, x.reg, y);
        return true;
    }
    asm_ldz(a, size, J_T0, x);
    asm_ldz(a, size, J_T1, y);
    for (unsigned k = 0; k < 2; k++) {
        Rm to = k ? y : x;
        unsigned from = k ? J_T0 : J_T1;
        if (to.mem) {
            asm_st(a, size == 4 ? 8 : size, to, from);
        } else {
            asm_mov_r(a, size, to.reg, from);
        }
    }
    return true;
}

/* ---- bits -------------------------------------------------------------------------------------------------- */

/*
 * The bit a register names, counted from the memory operand on: the word it lies in is
 * addressed first.  ZF must stay as it was.
 */
static bool bt_far(Jit *j, const Insn *i, unsigned digit)
{
    unsigned size = 1u << i->osz;
    Asm *a = &j->a;
    Rm reg = jit_gpr(i->reg), m;
    int32_t disp;

    if (size < 4 || !jit_ea_ok(j, i) || (i->asz == 2 && (i->flags & IF_SEG))) {
        return false;
    }
    jit_flags_clobber(j, j->live_in);
    unsigned base = jit_ea(j, i, &disp);
    asm_op(a, 8, size == 8 ? 0x8b : 0x63, J_T1, reg);               /* MOV, MOVSXD */
    asm_op(a, 8, 0xc1, 7, rm_r(J_T1));
    asm_8(a, size == 8 ? 6 : 5);
    asm_lea(a, i->asz == 3 ? 8 : 4, J_T2, rm_mx(base, J_T1, i->osz, disp));
    if (digit == 4) {
        m = jit_probe_ld(j, J_T2, 0, size);
        asm_ld(a, size, J_T1, m);
        jit_flags_use(j);
        unsigned bit = dst_begin(j, reg, size, true);
        asm_op(a, size, 0x0fa3, bit, rm_r(J_T1));
    } else {
        m = i->flags & IF_LOCK ? jit_probe_locked(j, J_T2, 0, size)
                               : jit_probe_insn(j, J_T2, 0, size, TLB_WRITE);
        asm_ld(a, size, J_T0, reg);
        asm_alui(a, 4, ALU_AND, rm_r(J_T0), size * 8 - 1);
        asm_st(a, 8, jit_field(OFF(jit_tmp[0])), J_T0);
        jit_flags_use(j);
        asm_ld(a, 8, J_T0, jit_field(OFF(jit_tmp[0])));
        lock(j, i);
        asm_op(a, size, 0x0f83 | digit << 3, J_T0, m);
    }
    jit_flags_made(j);
    return true;
}

/* digit 4-7: BT BTS BTR BTC */
static bool op_bt(Jit *j, const Insn *i, unsigned digit)
{
    unsigned size = 1u << i->osz;
    bool imm = j->desc->opnd[1].kind == OPND_I, mem = i->flags & IF_MEM;
    Rm reg = imm ? rm_r(0) : jit_gpr(i->reg), m = mem ? rm_r(0) : jit_gpr(i->rm);
    if (mem && !imm) {
        return bt_far(j, i, digit);
    }
    if (mem ? !jit_ea_ok(j, i) : m.mem) {
        return false;
    }
    if (mem) {
        m = digit == 4 ? jit_mem_ld(j, i, size) : rmw(j, i, size);
    }
    jit_flags_use(j);
    if (imm) {
        lock(j, i);
        asm_op(&j->a, size, 0x0fba, digit, m);
        asm_8(&j->a, i->imm & (size * 8 - 1));
    } else {
        unsigned src = dst_begin(j, reg, size, true);
        asm_op(&j->a, size, 0x0f83 | digit << 3, src, m);
    }
    jit_flags_made(j);
    return true;
}

enum { NEED_NONE, NEED_POPCNT, NEED_LZCNT, NEED_BMI, NEED_BMI2, NEED_ADX, NEED_SSE42, NEED_MOVBE };
static bool host_has(unsigned need)
{
    switch (need) {
    case NEED_POPCNT: return __builtin_cpu_supports("popcnt");
    case NEED_LZCNT: return jit_host_bit(HOST_LZCNT);
    case NEED_BMI: return __builtin_cpu_supports("bmi");
    case NEED_BMI2: return __builtin_cpu_supports("bmi2");
    case NEED_ADX: return jit_host_bit(HOST_ADX);
    case NEED_SSE42: return __builtin_cpu_supports("sse4.2");
    case NEED_MOVBE: return jit_host_bit(HOST_MOVBE);
    }
    return true;
}

/* Gv,Ev with the same host instruction; arg: opcode without prefix | need << 24 | prefix kind
 * << 28 (0 none, 1 F3, 2 66). */
#define SCAN(opc, need, pfx) ((opc) | (need) << 24 | (pfx) << 28)
static bool op_scan(Jit *j, const Insn *i, unsigned arg)
{
    static const uint32_t prefix[] = { 0, ASM_F3, ASM_66 };
    unsigned size = 1u << i->osz;
    if (!source_ok(j, i) || !host_has(arg >> 24 & 15)) {
        return false;
    }
    Rm m = source(j, i, size), dst = jit_gpr(i->reg);
    jit_flags_use(j);
    unsigned reg = dst_begin(j, dst, 8, true);
    asm_op(&j->a, size, (arg & 0xffffff) | prefix[arg >> 28], reg, m);
    dst_end(j, dst, size);
    jit_flags_made(j);
    return true;
}

/* VEX-coded integer instructions; arg: opcode | map << 8 | pp << 12 | digit << 16 | need << 24 |
 * immediate << 28.  Registers in memory: the handler, except the last operand. */
#define VEXI(opc, map, pp, digit, need, imm) \
    ((opc) | (map) << 8 | (pp) << 12 | (digit) << 16 | (need) << 24 | (imm) << 28)
static bool op_vexi(Jit *j, const Insn *i, unsigned arg)
{
    unsigned size = 1u << i->osz, digit = arg >> 16 & 15;
    const InsnDesc *d = j->desc;
    bool vvvv = d->uses_vvvv, imm = arg >> 28;
    if (!source_ok(j, i) || !host_has(arg >> 24 & 15) || (!digit && jit_gpr(i->reg).mem) ||
        (vvvv && jit_gpr(i->vvvv).mem)) {
        return false;
    }
    Rm m = source(j, i, size);
    bool flags = d->fl_write & FLB_ARITH;
    if (flags) {
        jit_flags_use(j);
    }
    asm_vex(&j->a, arg >> 12 & 3, arg >> 8 & 15, size == 8, false, arg,
            digit ? digit & 7 : jit_gpr(i->reg).reg, vvvv ? jit_gpr(i->vvvv).reg : 0, m);
    if (imm) {
        asm_8(&j->a, i->imm);
    }
    if (flags) {
        jit_flags_made(j);
    }
    return true;
}

/* ---- flags themselves ------------------------------------------------------------------------------------ */

static bool op_flag_byte(Jit *j, const Insn *i, unsigned opc)
{
    jit_flags_use(j);
    asm_8(&j->a, opc);
    if (j->desc->fl_write & FLB_ARITH) {
        jit_flags_made(j);
    }
    return true;
}

static bool op_direction(Jit *j, const Insn *i, unsigned set)
{
    jit_flags_clobber(j, j->live_in);
    asm_alui(&j->a, 4, set ? ALU_OR : ALU_AND, jit_field(OFF(rflags)), set ? FL_DF : ~FL_DF);
    return true;
}

const JitOp jit_alu_ops[] = {
    { "add", op_alu, ALU_ADD }, { "or", op_alu, ALU_OR }, { "adc", op_alu, ALU_ADC },
    { "sbb", op_alu, ALU_SBB }, { "and", op_alu, ALU_AND }, { "sub", op_alu, ALU_SUB },
    { "xor", op_alu, ALU_XOR }, { "cmp", op_alu, ALU_CMP }, { "test", op_alu, ALU_TEST },
    { "inc", op_incdec, 0 }, { "dec", op_incdec, 1 }, { "not", op_not, 2 }, { "neg", op_neg, 3 },
    { "rol", op_shift, 0 }, { "ror", op_shift, 1 }, { "rcl", op_shift, 2 }, { "rcr", op_shift, 3 },
    { "shl", op_shift, 4 }, { "shr", op_shift, 5 }, { "sar", op_shift, 7 },
    { "shld", op_shiftd, 0x0fa4 }, { "shrd", op_shiftd, 0x0fac },
    { "mul", op_mul, 4 }, { "imul", op_mul, 5 }, { "div", op_div, 6 }, { "idiv", op_div, 7 },
    { "xadd", op_xadd, 0x0fc0 }, { "cmpxchg", op_cmpxchg }, { "xchg", op_xchg },
    { "cmpxchg8b", op_cmpxchg_pair, 8 }, { "cmpxchg16b", op_cmpxchg_pair, 16 },
    { "bt", op_bt, 4 }, { "bts", op_bt, 5 }, { "btr", op_bt, 6 }, { "btc", op_bt, 7 },
    { "bsf", op_scan, SCAN(0x0fbc, NEED_NONE, 0) }, { "bsr", op_scan, SCAN(0x0fbd, NEED_NONE, 0) },
    { "tzcnt", op_scan, SCAN(0x0fbc, NEED_BMI, 1) }, { "lzcnt", op_scan, SCAN(0x0fbd, NEED_LZCNT, 1) },
    { "popcnt", op_scan, SCAN(0x0fb8, NEED_POPCNT, 1) },
    { "adcx", op_scan, SCAN(0x0f38f6, NEED_ADX, 2) }, { "adox", op_scan, SCAN(0x0f38f6, NEED_ADX, 1) },
    { "andn", op_vexi, VEXI(0xf2, 2, 0, 0, NEED_BMI, 0) },
    { "blsr", op_vexi, VEXI(0xf3, 2, 0, 1, NEED_BMI, 0) },
    { "blsmsk", op_vexi, VEXI(0xf3, 2, 0, 2, NEED_BMI, 0) },
    { "blsi", op_vexi, VEXI(0xf3, 2, 0, 3, NEED_BMI, 0) },
    { "bextr", op_vexi, VEXI(0xf7, 2, 0, 0, NEED_BMI, 0) },
    { "bzhi", op_vexi, VEXI(0xf5, 2, 0, 0, NEED_BMI2, 0) },
    { "pext", op_vexi, VEXI(0xf5, 2, 2, 0, NEED_BMI2, 0) },
    { "pdep", op_vexi, VEXI(0xf5, 2, 3, 0, NEED_BMI2, 0) },
    { "mulx", op_vexi, VEXI(0xf6, 2, 3, 0, NEED_BMI2, 0) },
    { "shlx", op_vexi, VEXI(0xf7, 2, 1, 0, NEED_BMI2, 0) },
    { "sarx", op_vexi, VEXI(0xf7, 2, 2, 0, NEED_BMI2, 0) },
    { "shrx", op_vexi, VEXI(0xf7, 2, 3, 0, NEED_BMI2, 0) },
    { "rorx", op_vexi, VEXI(0xf0, 3, 3, 0, NEED_BMI2, 1) },
    { "clc", op_flag_byte, 0xf8 }, { "stc", op_flag_byte, 0xf9 }, { "cmc", op_flag_byte, 0xf5 },
    { "lahf", op_flag_byte, 0x9f }, { "sahf", op_flag_byte, 0x9e },
    { "cld", op_direction, 0 }, { "std", op_direction, 1 },
    { NULL }
};

#endif
