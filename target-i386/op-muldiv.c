/* SPDX-License-Identifier: MIT */
/*
 * MUL, IMUL, DIV, IDIV and decimal arithmetic: AAA AAS AAM AAD DAA DAS.
 *
 * MUL and IMUL define CF and OF only.  The others are set from the low half of the product
 * (AF clear), as processors do.
 */
#include "target-i386/interp.h"

#define U(n) uint##n##_t
#define S(n) int##n##_t

static inline void mul_flags(X86CPU *c, int64_t low, bool over)
{
    c->fl_res = low;
    c->fl_cf = over;
    c->fl_x = 0;                /* OF = CF */
}

/* The ModRM.rm operand, in either form. */
#define OPERAND(n) (i->flags & IF_MEM ? m_ld##n(c, i) : R##n(c, i->rm))

/* ---- MUL, IMUL with one operand ------------------------------------------------------------------ */

FAST_HANDLER(mul_b)
{
    uint16_t p = R8(c, REG8(R_EAX)) * OPERAND(8);
    WR16(c, R_EAX, p);
    mul_flags(c, (int8_t)p, p >> 8);
    NEXT;
}
FAST_HANDLER(imul_b)
{
    int16_t p = (int8_t)R8(c, REG8(R_EAX)) * (int8_t)OPERAND(8);
    WR16(c, R_EAX, p);
    mul_flags(c, (int8_t)p, p != (int8_t)p);
    NEXT;
}
#define MUL(n, s_, wide, swide)                                                             \
    FAST_HANDLER(mul_##s_)                                                                  \
    {                                                                                       \
        wide p = (wide)R##n(c, R_EAX) * OPERAND(n);                                         \
        WR##n(c, R_EAX, p);                                                                 \
        WR##n(c, R_EDX, p >> n);                                                            \
        mul_flags(c, (S(n))p, p >> n != 0);                                                 \
        NEXT;                                                                               \
    }                                                                                       \
    FAST_HANDLER(imul_##s_)                                                                 \
    {                                                                                       \
        swide p = (swide)(S(n))R##n(c, R_EAX) * (S(n))OPERAND(n);                           \
        WR##n(c, R_EAX, p);                                                                 \
        WR##n(c, R_EDX, p >> n);                                                            \
        mul_flags(c, (S(n))p, p != (S(n))p);                                                \
        NEXT;                                                                               \
    }                                                                                       \
    /* two operands; three with an immediate */                                             \
    FAST_HANDLER(imul_ge_##s_)                                                              \
    {                                                                                       \
        swide p = (swide)(S(n))R##n(c, i->reg) * (S(n))OPERAND(n);                          \
        WR##n(c, i->reg, p);                                                                \
        mul_flags(c, (S(n))p, p != (S(n))p);                                                \
        NEXT;                                                                               \
    }                                                                                       \
    FAST_HANDLER(imul_gei_##s_)                                                             \
    {                                                                                       \
        swide p = (swide)(S(n))OPERAND(n) * (S(n))i->imm;                                   \
        WR##n(c, i->reg, p);                                                                \
        mul_flags(c, (S(n))p, p != (S(n))p);                                                \
        NEXT;                                                                               \
    }
MUL(16, w, uint32_t, int32_t)
MUL(32, l, uint64_t, int64_t)
MUL(64, q, unsigned __int128, __int128)

/* BMI2 MULX: no flags; the low half is written first, so reg wins if both are the same. */
FAST_HANDLER(mulx_l)
{
    uint64_t p = (uint64_t)R32(c, R_EDX) * OPERAND(32);
    WR32(c, i->vvvv, p);
    WR32(c, i->reg, p >> 32);
    NEXT;
}
FAST_HANDLER(mulx_q)
{
    unsigned __int128 p = (unsigned __int128)R64(c, R_EDX) * OPERAND(64);
    WR64(c, i->vvvv, p);
    WR64(c, i->reg, p >> 64);
    NEXT;
}

/* ---- DIV, IDIV ---------------------------------------------------------------------------------------- */

HANDLER(div_b)
{
    uint8_t d = OPERAND(8);
    uint16_t a = R16(c, R_EAX);
    if (!d || a / d > 0xff) {
        x86_raise(c, EXC_DE);
    }
    WR16(c, R_EAX, (a / d) | (a % d) << 8);
}
HANDLER(idiv_b)
{
    int d = (int8_t)OPERAND(8), a = (int16_t)R16(c, R_EAX);
    if (!d || a / d != (int8_t)(a / d)) {
        x86_raise(c, EXC_DE);
    }
    WR16(c, R_EAX, (uint8_t)(a / d) | (a % d) << 8);
}
/* The quotient of the most negative dividend by -1 would overflow in C too. */
#define DIV(n, s_, wide, swide)                                                             \
    HANDLER(div_##s_)                                                                       \
    {                                                                                       \
        U(n) d = OPERAND(n), hi = R##n(c, R_EDX);                                           \
        wide a = (wide)hi << n | R##n(c, R_EAX);                                            \
        if (hi >= d) {                          /* too large, or d is 0 */                  \
            x86_raise(c, EXC_DE);                                                           \
        }                                                                                   \
        if (n == 64 && !hi) {                                                               \
            uint64_t lo = a, div = d;                                                       \
            WR##n(c, R_EAX, lo / div);                                                      \
            WR##n(c, R_EDX, lo % div);                                                      \
            return;                                                                         \
        }                                                                                   \
        WR##n(c, R_EAX, a / d);                                                             \
        WR##n(c, R_EDX, a % d);                                                             \
    }                                                                                       \
    HANDLER(idiv_##s_)                                                                      \
    {                                                                                       \
        S(n) d = OPERAND(n);                                                                \
        swide a = (swide)((wide)R##n(c, R_EDX) << n | R##n(c, R_EAX));                      \
        if (!d || (d == -1 && a == (swide)((wide)1 << (2 * n - 1)))) {                      \
            x86_raise(c, EXC_DE);                                                           \
        }                                                                                   \
        swide q = a / d;                                                                    \
        if (q != (S(n))q) {                                                                 \
            x86_raise(c, EXC_DE);                                                           \
        }                                                                                   \
        WR##n(c, R_EAX, q);                                                                 \
        WR##n(c, R_EDX, a - q * d);                                                         \
    }
DIV(16, w, uint32_t, int32_t)
DIV(32, l, uint64_t, int64_t)
DIV(64, q, unsigned __int128, __int128)

/* ---- decimal ------------------------------------------------------------------------------------------- */

static inline void szp(X86CPU *c, uint8_t r, bool cf, bool af)
{
    c->fl_res = (int8_t)r;
    c->fl_cf = cf;
    c->fl_x = (uint64_t)cf << 63 | (uint64_t)af << 4;     /* OF clear */
}

FAST_HANDLER(daa)
{
    uint8_t al = R8(c, REG8(R_EAX)), r = al;
    bool af = (al & 15) > 9 || flag_af(c), cf = al > 0x99 || flag_cf(c);
    r += (af ? 6 : 0) + (cf ? 0x60 : 0);
    WR8(c, REG8(R_EAX), r);
    szp(c, r, cf, af);
    NEXT;
}
FAST_HANDLER(das)
{
    uint8_t al = R8(c, REG8(R_EAX)), r = al;
    bool af = (al & 15) > 9 || flag_af(c), high = al > 0x99 || flag_cf(c);
    bool cf = high || (af && al < 6);
    r -= (af ? 6 : 0) + (high ? 0x60 : 0);
    WR8(c, REG8(R_EAX), r);
    szp(c, r, cf, af);
    NEXT;
}
/* AAA adds 106h to AX; the undefined SF, ZF, PF follow the new AL. */
FAST_HANDLER(aaa)
{
    uint16_t ax = R16(c, R_EAX);
    bool adjust = (ax & 15) > 9 || flag_af(c);
    ax = (ax + (adjust ? 0x106 : 0)) & 0xff0f;
    WR16(c, R_EAX, ax);
    szp(c, ax, adjust, adjust);
    NEXT;
}
FAST_HANDLER(aas)
{
    uint16_t ax = R16(c, R_EAX);
    bool adjust = (ax & 15) > 9 || flag_af(c);
    ax = (ax - (adjust ? 0x106 : 0)) & 0xff0f;
    WR16(c, R_EAX, ax);
    szp(c, ax, adjust, adjust);
    NEXT;
}
HANDLER(aam)
{
    uint8_t al = R8(c, REG8(R_EAX)), base = i->imm;
    if (!base) {
        x86_raise(c, EXC_DE);
    }
    WR16(c, R_EAX, (al / base) << 8 | al % base);
    szp(c, al % base, false, false);
}
FAST_HANDLER(aad)
{
    uint16_t ax = R16(c, R_EAX);
    uint8_t r = (ax >> 8) * (uint8_t)i->imm + (uint8_t)ax;
    WR16(c, R_EAX, r);
    szp(c, r, false, false);
    NEXT;
}
