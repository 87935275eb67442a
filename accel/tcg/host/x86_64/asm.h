/* SPDX-License-Identifier: MIT */
/*
 * Writing x86-64 machine code (SDM 2, chapter 2): one function per way of encoding, not per
 * instruction.  An opcode is written as the manual does: 0x8b, 0x0fb6, 0x0f38f0, 0x0f3a0f;
 * a mandatory prefix goes into bits 31:24 (ASM_66, ASM_F3, ASM_F2).
 *
 * Sizes are 1, 2, 4, 8 bytes.  Registers are numbered as encoded, 0-15; 16-19 are AH CH DH BH,
 * which can't be used together with anything that needs a REX prefix.
 *
 * The buffer must have room: whoever opens it leaves ASM_SLACK behind its limit and looks at
 * asm_full now and then.
 */
#ifndef ACCEL_TCG_HOST_X86_64_ASM_H
#define ACCEL_TCG_HOST_X86_64_ASM_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { H_RAX, H_RCX, H_RDX, H_RBX, H_RSP, H_RBP, H_RSI, H_RDI,
       H_R8, H_R9, H_R10, H_R11, H_R12, H_R13, H_R14, H_R15, H_AH, H_CH, H_DH, H_BH };

#define ASM_66 0x66000000u
#define ASM_F3 0xf3000000u
#define ASM_F2 0xf2000000u

/* Condition codes, as in the low four bits of Jcc */
enum { CC_O, CC_NO, CC_B, CC_AE, CC_E, CC_NE, CC_BE, CC_A, CC_S, CC_NS, CC_P, CC_NP,
       CC_L, CC_GE, CC_LE, CC_G };

typedef struct Asm {
    uint8_t *p;                 /* next byte */
    uint8_t *limit;
} Asm;
#define ASM_SLACK 64

/* A register or memory operand (ModRM.rm). */
typedef struct Rm {
    bool mem;
    uint8_t reg;                /* !mem; else the base, ASM_NOREG for none */
    uint8_t index;              /* ASM_NOREG: none */
    uint8_t scale;              /* shift */
    int32_t disp;
} Rm;
#define ASM_NOREG 0xff

static inline Rm rm_r(unsigned reg)
{
    return (Rm) { .reg = reg, .index = ASM_NOREG };
}
static inline Rm rm_m(unsigned base, int32_t disp)
{
    return (Rm) { true, base, ASM_NOREG, 0, disp };
}
static inline Rm rm_mx(unsigned base, unsigned index, unsigned scale, int32_t disp)
{
    return (Rm) { true, base, index, scale, disp };
}

static inline bool asm_full(const Asm *a)
{
    return a->p >= a->limit;
}
static inline void asm_8(Asm *a, uint8_t v)
{
    *a->p++ = v;
}
static inline void asm_16(Asm *a, uint16_t v)
{
    memcpy(a->p, &v, 2);
    a->p += 2;
}
static inline void asm_32(Asm *a, uint32_t v)
{
    memcpy(a->p, &v, 4);
    a->p += 4;
}
static inline void asm_64(Asm *a, uint64_t v)
{
    memcpy(a->p, &v, 8);
    a->p += 8;
}

/* ModRM, SIB, displacement. */
static inline void asm_modrm(Asm *a, unsigned reg, Rm m)
{
    unsigned r = (reg & 7) << 3;
    if (!m.mem) {
        asm_8(a, 0xc0 | r | (m.reg & 7));
        return;
    }
    if (m.reg == ASM_NOREG) {               /* absolute or index only: SIB without a base */
        asm_8(a, r | 4);
        asm_8(a, m.scale << 6 | (m.index == ASM_NOREG ? 4 : m.index & 7) << 3 | 5);
        asm_32(a, m.disp);
        return;
    }
    bool sib = m.index != ASM_NOREG || (m.reg & 7) == 4;
    unsigned mod = m.disp == 0 && (m.reg & 7) != 5 ? 0 : m.disp == (int8_t)m.disp ? 0x40 : 0x80;
    asm_8(a, mod | r | (sib ? 4 : m.reg & 7));
    if (sib) {
        asm_8(a, m.scale << 6 | (m.index == ASM_NOREG ? 4 : m.index & 7) << 3 | (m.reg & 7));
    }
    if (mod == 0x40) {
        asm_8(a, m.disp);
    } else if (mod == 0x80) {
        asm_32(a, m.disp);
    }
}

static inline unsigned asm_rex_rm(Rm m)
{
    unsigned rex = 0;
    if (m.mem) {
        rex |= m.reg != ASM_NOREG && (m.reg & 8) ? 1 : 0;
        rex |= m.index != ASM_NOREG && (m.index & 8) ? 2 : 0;
    } else {
        rex |= m.reg >= 8 && m.reg < 16 ? 1 : 0;
    }
    return rex;
}

static inline void asm_opcode(Asm *a, uint32_t opc)
{
    if (opc & 0xff0000) {
        asm_8(a, opc >> 16);
    }
    if (opc & 0xffff00) {
        asm_8(a, opc >> 8);
    }
    asm_8(a, opc);
}

/* A legacy instruction with ModRM.  size: of the operation, sets REX.W or the 66 prefix; 0:
 * neither.  `bytes`: reg and/or rm are byte registers (1 = reg, 2 = rm). */
static inline void asm_op_bytes(Asm *a, unsigned size, uint32_t opc, unsigned reg, Rm m, unsigned bytes)
{
    unsigned rex = asm_rex_rm(m) | (reg >= 8 && reg < 16 ? 4 : 0) | (size == 8 ? 8 : 0);
    bool low = ((bytes & 1) && reg >= 4 && reg < 8) ||
               ((bytes & 2) && !m.mem && m.reg >= 4 && m.reg < 8);
    if (size == 2) {
        asm_8(a, 0x66);
    }
    if (opc >> 24) {
        asm_8(a, opc >> 24);
    }
    if (rex || low) {
        asm_8(a, 0x40 | rex);
    }
    asm_opcode(a, opc & 0xffffff);
    if (reg >= 16) {
        reg -= 12;
    }
    if (!m.mem && m.reg >= 16) {
        m.reg -= 12;
    }
    asm_modrm(a, reg, m);
}
/* Is ModRM.reg part of the opcode, in the one-byte map's byte instructions? */
static inline bool asm_is_group(uint32_t opc)
{
    return opc == 0x80 || opc == 0xc0 || opc == 0xc6 || opc == 0xd0 || opc == 0xd2 ||
           opc == 0xf6 || opc == 0xfe;
}
/* size 1: both operands are bytes.  (A group's digit is no register: it must not bring a REX
 * prefix, which would turn AH into SPL.) */
static inline void asm_op(Asm *a, unsigned size, uint32_t opc, unsigned reg, Rm m)
{
    asm_op_bytes(a, size, opc, reg, m, size != 1 ? 0 : asm_is_group(opc) ? 2 : 3);
}

/* VEX-coded.  pp: 0 none, 1 66, 2 F3, 3 F2; map: 1 0F, 2 0F38, 3 0F3A. */
static inline void asm_vex(Asm *a, unsigned pp, unsigned map, bool w, bool l, uint8_t opc,
                           unsigned reg, unsigned vvvv, Rm m)
{
    unsigned rex = asm_rex_rm(m) | (reg & 8 ? 4 : 0);
    unsigned last = (~vvvv & 15) << 3 | (l ? 4 : 0) | pp;
    if (map == 1 && !w && !(rex & 3)) {
        asm_8(a, 0xc5);
        asm_8(a, (rex & 4 ? 0 : 0x80) | last);
    } else {
        asm_8(a, 0xc4);
        asm_8(a, (rex & 4 ? 0 : 0x80) | (rex & 2 ? 0 : 0x40) | (rex & 1 ? 0 : 0x20) | map);
        asm_8(a, (w ? 0x80 : 0) | last);
    }
    asm_8(a, opc);
    asm_modrm(a, reg, m);
}

/* ---- the commonest, by name ------------------------------------------------------------- */

/* Loads and stores of 1 and 2 bytes: see asm_movzx; the others clear or fill 64 bits. */
static inline void asm_mov_r(Asm *a, unsigned size, unsigned dst, unsigned src)
{
    asm_op(a, size, size == 1 ? 0x88 : 0x89, src, rm_r(dst));
}
static inline void asm_ld(Asm *a, unsigned size, unsigned dst, Rm m)
{
    asm_op(a, size, size == 1 ? 0x8a : 0x8b, dst, m);
}
static inline void asm_st(Asm *a, unsigned size, Rm m, unsigned src)
{
    asm_op(a, size, size == 1 ? 0x88 : 0x89, src, m);
}
/* Zero-extended to 64 bits. */
static inline void asm_ldz(Asm *a, unsigned size, unsigned dst, Rm m)
{
    if (size >= 4) {
        asm_op(a, size, 0x8b, dst, m);
    } else {
        asm_op_bytes(a, 4, size == 1 ? 0x0fb6 : 0x0fb7, dst, m, size == 1 ? 2 : 0);
    }
}
static inline void asm_lea(Asm *a, unsigned size, unsigned dst, Rm m)
{
    asm_op(a, size, 0x8d, dst, m);
}
/* Register := constant, the shortest way that leaves the flags alone. */
static inline void asm_movi(Asm *a, unsigned dst, uint64_t v)
{
    if (v <= 0xffffffff) {
        if (dst & 8) {
            asm_8(a, 0x41);
        }
        asm_8(a, 0xb8 | (dst & 7));
        asm_32(a, v);
    } else if ((int64_t)v == (int32_t)v) {
        asm_op(a, 8, 0xc7, 0, rm_r(dst));
        asm_32(a, v);
    } else {
        asm_8(a, 0x48 | (dst & 8 ? 1 : 0));
        asm_8(a, 0xb8 | (dst & 7));
        asm_64(a, v);
    }
}
/* ADD OR ADC SBB AND SUB XOR CMP with an immediate: op 0-7 in that order.  size > 1. */
static inline void asm_alui(Asm *a, unsigned size, unsigned op, Rm m, int32_t v)
{
    if (size == 1) {
        asm_op(a, 1, 0x80, op, m);
        asm_8(a, v);
    } else if (v == (int8_t)v) {
        asm_op(a, size, 0x83, op, m);
        asm_8(a, v);
    } else {
        asm_op(a, size, 0x81, op, m);
        if (size == 2) {
            asm_16(a, v);
        } else {
            asm_32(a, v);
        }
    }
}
enum { ALU_ADD, ALU_OR, ALU_ADC, ALU_SBB, ALU_AND, ALU_SUB, ALU_XOR, ALU_CMP };
/* dst op= src, registers or memory on either side */
static inline void asm_alu(Asm *a, unsigned size, unsigned op, unsigned dst, Rm src)
{
    asm_op(a, size, op << 3 | (size == 1 ? 2 : 3), dst, src);
}

/* Jumps with 32-bit displacements, to be set later: return where the displacement is. */
static inline uint8_t *asm_jcc(Asm *a, unsigned cc)
{
    asm_8(a, 0x0f);
    asm_8(a, 0x80 | cc);
    asm_32(a, 0);
    return a->p - 4;
}
static inline uint8_t *asm_jmp(Asm *a)
{
    asm_8(a, 0xe9);
    asm_32(a, 0);
    return a->p - 4;
}
static inline uint8_t *asm_jcc8(Asm *a, unsigned cc)
{
    asm_8(a, 0x70 | cc);
    asm_8(a, 0);
    return a->p - 1;
}
static inline void asm_patch32(uint8_t *disp, const uint8_t *target)
{
    int32_t d = target - (disp + 4);
    memcpy(disp, &d, 4);
}
static inline void asm_patch8(uint8_t *disp, const uint8_t *target)
{
    *disp = target - (disp + 1);
}

/* n bytes of no operation */
static inline void asm_nops(Asm *a, unsigned n)
{
    static const uint8_t nops[8][8] = {
        { 0x90 }, { 0x66, 0x90 }, { 0x0f, 0x1f, 0x00 }, { 0x0f, 0x1f, 0x40, 0x00 },
        { 0x0f, 0x1f, 0x44, 0x00, 0x00 }, { 0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00 },
        { 0x0f, 0x1f, 0x80, 0, 0, 0, 0 }, { 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0 },
    };
    while (n) {
        unsigned k = n < 8 ? n : 8;
        memcpy(a->p, nops[k - 1], k);
        a->p += k;
        n -= k;
    }
}

#endif
