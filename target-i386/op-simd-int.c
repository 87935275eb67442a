/* SPDX-License-Identifier: MIT */
/*
 * Integer SIMD: MMX, SSE2 to SSE4.2, AVX, AVX2 arithmetic, logic, compares, shifts, packs and
 * shuffles on the lane functions of vec-lanes.h.  Moves are in op-simd-move.c, instructions
 * of AVX and AVX2 that cross lanes in op-avx.c, AES, SHA and string compares in
 * op-simd-misc.c.
 *
 * Source: Intel SDM volume 2.
 */
#include "target-i386/simd.h"

void simd_store_slow(X86CPU *c, const Insn *i, uint64_t la, V256 v, unsigned len)
{
    uint8_t b[32];

    insn_sync(c, i);
    lane_to_host(b, v.h[0]);
    lane_to_host(b + 16, v.h[1]);
    tcg_write(&c->cpu, data_mode(c), la, b, len);
}

/* ---- two sources ----------------------------------------------------------------------- */

/* dest = OP(first source, W): legacy form */
#define X_OP(name, OP)                                                             \
    FAST_HANDLER(name##_x)                                                         \
    {                                                                              \
        V128 b = src_x(c, i);                                                      \
        put_x(c, i->reg, OP(X0(c, i->reg), b));                                    \
        NEXT;                                                                      \
    }
/* ... and VEX form */
#define V_OP(name, OP)                                                             \
    FAST_HANDLER(name##_v)                                                         \
    {                                                                              \
        if (i->flags & IF_L) {                                                     \
            V256 b = src_y(c, i), r;                                               \
            r.h[0] = OP(X0(c, i->vvvv), b.h[0]);                                   \
            r.h[1] = OP(X1(c, i->vvvv), b.h[1]);                                   \
            put_v256(c, i->reg, r);                                                \
        } else {                                                                   \
            V128 b = src_u(c, i);                                                  \
            put_v128(c, i->reg, OP(X0(c, i->vvvv), b));                            \
        }                                                                          \
        NEXT;                                                                      \
    }
#define XV_OP(name, OP) X_OP(name, OP) V_OP(name, OP)

/* MMX form on the low half of a lane */
#define P_OP(name, OP)                                                             \
    HANDLER(name##_p)                                                              \
    {                                                                              \
        uint64_t b = src_p(c, i);                                                  \
        put_p(c, i->reg, OP(lane_q(MM(c, i->reg), 0), lane_q(b, 0)).q[0]);         \
    }
/* MMX form of pairwise ones and packs: both sources make one lane, the result is its half */
#define P_OP_PAIRED(name, OP)                                                      \
    HANDLER(name##_p)                                                              \
    {                                                                              \
        V128 ab = lane_q(0, src_p(c, i));                                          \
        ab.q[0] = MM(c, i->reg);                                                   \
        put_p(c, i->reg, OP(ab, ab).q[0]);                                         \
    }
/* MMX form of high interleaves: the upper half of the low interleave */
#define P_OP_HIGH(name, OP)                                                        \
    HANDLER(name##_p)                                                              \
    {                                                                              \
        uint64_t b = src_p(c, i);                                                  \
        put_p(c, i->reg, OP(lane_q(MM(c, i->reg), 0), lane_q(b, 0)).q[1]);         \
    }

/* MMX form of low interleaves: reads 32 bits of memory only */
#define P_OP_LOW(name)                                                             \
    HANDLER(name##_p)                                                              \
    {                                                                              \
        uint64_t b;                                                                \
        mmx_check(c);                                                              \
        b = i->flags & IF_MEM ? m_ld32(c, i) : MM(c, i->rm);                       \
        put_p(c, i->reg, lane_##name(lane_q(MM(c, i->reg), 0), lane_q(b, 0)).q[0]); \
    }

#define PXV(name) XV_OP(name, lane_##name) P_OP(name, lane_##name)
#define XV(name)  XV_OP(name, lane_##name)
#define PXV_PAIRED(name) XV_OP(name, lane_##name) P_OP_PAIRED(name, lane_##name)

PXV(paddb) PXV(paddw) PXV(paddd) PXV(paddq)
PXV(psubb) PXV(psubw) PXV(psubd) PXV(psubq)
PXV(paddsb) PXV(paddsw) PXV(paddusb) PXV(paddusw)
PXV(psubsb) PXV(psubsw) PXV(psubusb) PXV(psubusw)
PXV(pand) PXV(pandn) PXV(por) PXV(pxor)
PXV(pcmpeqb) PXV(pcmpeqw) PXV(pcmpeqd) XV(pcmpeqq)
PXV(pcmpgtb) PXV(pcmpgtw) PXV(pcmpgtd) XV(pcmpgtq)
PXV(pminub) PXV(pminsw) PXV(pmaxub) PXV(pmaxsw)
XV(pminuw) XV(pminud) XV(pminsb) XV(pminsd)
XV(pmaxuw) XV(pmaxud) XV(pmaxsb) XV(pmaxsd)
PXV(pavgb) PXV(pavgw)
PXV(pmullw) PXV(pmulhw) PXV(pmulhuw) PXV(pmulhrsw) PXV(pmuludq) XV(pmuldq) XV(pmulld)
PXV(pmaddwd) PXV(pmaddubsw) PXV(psadbw)
PXV(psignb) PXV(psignw) PXV(psignd)
XV(punpcklbw) XV(punpcklwd) XV(punpckldq) XV(punpcklqdq)
P_OP_LOW(punpcklbw) P_OP_LOW(punpcklwd) P_OP_LOW(punpckldq)
XV(punpckhbw) XV(punpckhwd) XV(punpckhdq) XV(punpckhqdq)
P_OP_HIGH(punpckhbw, lane_punpcklbw)
P_OP_HIGH(punpckhwd, lane_punpcklwd)
P_OP_HIGH(punpckhdq, lane_punpckldq)
PXV_PAIRED(packsswb) PXV_PAIRED(packuswb) PXV_PAIRED(packssdw) XV(packusdw)
PXV_PAIRED(phaddw) PXV_PAIRED(phaddd) PXV_PAIRED(phaddsw)
PXV_PAIRED(phsubw) PXV_PAIRED(phsubd) PXV_PAIRED(phsubsw)
XV(pshufb)
V_OP(psllvd, lane_psllvd) V_OP(psrlvd, lane_psrlvd) V_OP(psravd, lane_psravd)
V_OP(psllvq, lane_psllvq) V_OP(psrlvq, lane_psrlvq)

HANDLER(pshufb_p)
{
    uint64_t b = src_p(c, i) & 0x8787878787878787ull;
    put_p(c, i->reg, lane_pshufb(lane_q(MM(c, i->reg), 0), lane_q(b, 0)).q[0]);
}

/* ---- one source ------------------------------------------------------------------------ */

#define XV_UNARY(name, OP)                                                         \
    FAST_HANDLER(name##_x)                                                         \
    {                                                                              \
        V128 b = src_x(c, i);                                                      \
        put_x(c, i->reg, OP(b, b));                                                \
        NEXT;                                                                      \
    }                                                                              \
    FAST_HANDLER(name##_v)                                                         \
    {                                                                              \
        if (i->flags & IF_L) {                                                     \
            V256 b = src_y(c, i);                                                  \
            b.h[0] = OP(b.h[0], b.h[0]);                                           \
            b.h[1] = OP(b.h[1], b.h[1]);                                           \
            put_v256(c, i->reg, b);                                                \
        } else {                                                                   \
            V128 b = src_u(c, i);                                                  \
            put_v128(c, i->reg, OP(b, b));                                         \
        }                                                                          \
        NEXT;                                                                      \
    }
XV_UNARY(pabsb, lane_pabsb) P_OP(pabsb, lane_pabsb)
XV_UNARY(pabsw, lane_pabsw) P_OP(pabsw, lane_pabsw)
XV_UNARY(pabsd, lane_pabsd) P_OP(pabsd, lane_pabsd)

FAST_HANDLER(phminposuw_x)
{
    put_x(c, i->reg, lane_phminposuw(src_x(c, i)));
    NEXT;
}
FAST_HANDLER(phminposuw_v)
{
    put_v128(c, i->reg, lane_phminposuw(src_u(c, i)));
    NEXT;
}

/* ---- shifts ---------------------------------------------------------------------------- */

/* By the low 64 bits of W (always a 128-bit operand in memory), and by imm8 (dest = rm or,
 * VEX, vvvv). */
#define SHIFT_BY_W(name)                                                           \
    FAST_HANDLER(name##_x)                                                         \
    {                                                                              \
        uint64_t n = src_x(c, i).q[0];                                             \
        put_x(c, i->reg, lane_##name(X0(c, i->reg), n));                           \
        NEXT;                                                                      \
    }                                                                              \
    FAST_HANDLER(name##_v)                                                         \
    {                                                                              \
        uint64_t n = src_u(c, i).q[0];                                             \
        V256 r = Y(c, i->vvvv);                                                    \
        r.h[0] = lane_##name(r.h[0], n);                                           \
        if (i->flags & IF_L) {                                                     \
            r.h[1] = lane_##name(r.h[1], n);                                       \
            put_v256(c, i->reg, r);                                                \
        } else {                                                                   \
            put_v128(c, i->reg, r.h[0]);                                           \
        }                                                                          \
        NEXT;                                                                      \
    }                                                                              \
    HANDLER(name##_p)                                                              \
    {                                                                              \
        uint64_t n = src_p(c, i);                                                  \
        put_p(c, i->reg, lane_##name(lane_q(MM(c, i->reg), 0), n).q[0]);           \
    }
#define SHIFT_BY_IMM(name)                                                         \
    FAST_HANDLER(name##_imm_x)                                                     \
    {                                                                              \
        put_x(c, i->rm, lane_##name(X0(c, i->rm), (uint8_t)i->imm));               \
        NEXT;                                                                      \
    }                                                                              \
    FAST_HANDLER(name##_imm_v)                                                     \
    {                                                                              \
        V256 r = Y(c, i->rm);                                                      \
        r.h[0] = lane_##name(r.h[0], (uint8_t)i->imm);                             \
        if (i->flags & IF_L) {                                                     \
            r.h[1] = lane_##name(r.h[1], (uint8_t)i->imm);                         \
            put_v256(c, i->vvvv, r);                                               \
        } else {                                                                   \
            put_v128(c, i->vvvv, r.h[0]);                                          \
        }                                                                          \
        NEXT;                                                                      \
    }
#define SHIFT_BY_IMM_P(name)                                                       \
    HANDLER(name##_imm_p)                                                          \
    {                                                                              \
        uint64_t v = MM(c, i->rm);                                                 \
        put_p(c, i->rm, lane_##name(lane_q(v, 0), (uint8_t)i->imm).q[0]);          \
    }
#define SHIFT(name) SHIFT_BY_W(name) SHIFT_BY_IMM(name) SHIFT_BY_IMM_P(name)
SHIFT(psllw) SHIFT(pslld) SHIFT(psllq)
SHIFT(psrlw) SHIFT(psrld) SHIFT(psrlq)
SHIFT(psraw) SHIFT(psrad)
SHIFT_BY_IMM(pslldq) SHIFT_BY_IMM(psrldq)

/* ---- with an immediate ----------------------------------------------------------------- */

/* dest = OP(first, W, imm of this lane); imm2 is the upper lane's */
#define XV_IMM(name, OP, imm2)                                                     \
    FAST_HANDLER(name##_x)                                                         \
    {                                                                              \
        unsigned imm = (uint8_t)i->imm;                                            \
        V128 b = src_x(c, i);                                                      \
        put_x(c, i->reg, OP(X0(c, i->reg), b, imm));                               \
        NEXT;                                                                      \
    }                                                                              \
    FAST_HANDLER(name##_v)                                                         \
    {                                                                              \
        unsigned imm = (uint8_t)i->imm;                                            \
        if (i->flags & IF_L) {                                                     \
            V256 b = src_y(c, i), r;                                               \
            r.h[0] = OP(X0(c, i->vvvv), b.h[0], imm);                              \
            r.h[1] = OP(X1(c, i->vvvv), b.h[1], imm2);                             \
            put_v256(c, i->reg, r);                                                \
        } else {                                                                   \
            V128 b = src_u(c, i);                                                  \
            put_v128(c, i->reg, OP(X0(c, i->vvvv), b, imm));                       \
        }                                                                          \
        NEXT;                                                                      \
    }
XV_IMM(palignr, lane_palignr, imm)
XV_IMM(shufps, lane_shufps, imm)
XV_IMM(shufpd, lane_shufpd, imm >> 2)
XV_IMM(pblendw, lane_blendw, imm)
XV_IMM(blendps, lane_blendd, imm >> 4)
XV_IMM(blendpd, lane_blendq, imm >> 2)
XV_IMM(mpsadbw, lane_mpsadbw, imm >> 3)

static inline V128 pclmulqdq(V128 a, V128 b, unsigned imm)
{
    return lane_clmul(a.q[I64(imm & 1)], b.q[I64((imm >> 4) & 1)]);
}
XV_IMM(pclmulqdq, pclmulqdq, imm)

HANDLER(palignr_p)
{
    V128 both = lane_q(src_p(c, i), MM(c, i->reg));
    put_p(c, i->reg, lane_palignr(lane_q(0, 0), both, (uint8_t)i->imm).q[0]);
}

/* dest = OP(W, imm) */
#define XV_SHUFFLE(name, EXPR)                                                     \
    FAST_HANDLER(name##_x)                                                         \
    {                                                                              \
        unsigned imm = (uint8_t)i->imm;                                            \
        V128 b = src_x(c, i);                                                      \
        put_x(c, i->reg, EXPR);                                                    \
        NEXT;                                                                      \
    }                                                                              \
    FAST_HANDLER(name##_v)                                                         \
    {                                                                              \
        unsigned imm = (uint8_t)i->imm;                                            \
        if (i->flags & IF_L) {                                                     \
            V256 s = src_y(c, i);                                                  \
            V128 b = s.h[0];                                                       \
            s.h[0] = EXPR;                                                         \
            b = s.h[1];                                                            \
            s.h[1] = EXPR;                                                         \
            put_v256(c, i->reg, s);                                                \
        } else {                                                                   \
            V128 b = src_u(c, i);                                                  \
            put_v128(c, i->reg, EXPR);                                             \
        }                                                                          \
        NEXT;                                                                      \
    }
XV_SHUFFLE(pshufd, lane_pshufd(b, imm))
XV_SHUFFLE(pshuflw, lane_pshufw(b, imm, 0))
XV_SHUFFLE(pshufhw, lane_pshufw(b, imm, 4))

HANDLER(pshufw_p)
{
    uint64_t b = src_p(c, i);
    put_p(c, i->reg, lane_pshufw(lane_q(b, 0), (uint8_t)i->imm, 0).q[0]);
}

/* ---- variable blends: mask in XMM0, or in the register of imm8[7:4] --------------------- */

#define BLENDV(name, OP)                                                           \
    FAST_HANDLER(name##_x)                                                         \
    {                                                                              \
        V128 b = src_x(c, i);                                                      \
        put_x(c, i->reg, OP(X0(c, i->reg), b, X0(c, 0)));                          \
        NEXT;                                                                      \
    }                                                                              \
    FAST_HANDLER(name##_v)                                                         \
    {                                                                              \
        if (i->flags & IF_L) {                                                     \
            V256 b = src_y(c, i), r;                                               \
            r.h[0] = OP(X0(c, i->vvvv), b.h[0], X0(c, i->is4));                    \
            r.h[1] = OP(X1(c, i->vvvv), b.h[1], X1(c, i->is4));                    \
            put_v256(c, i->reg, r);                                                \
        } else {                                                                   \
            V128 b = src_u(c, i);                                                  \
            put_v128(c, i->reg, OP(X0(c, i->vvvv), b, X0(c, i->is4)));             \
        }                                                                          \
        NEXT;                                                                      \
    }
BLENDV(pblendvb, lane_blendvb)
BLENDV(blendvps, lane_blendvd)
BLENDV(blendvpd, lane_blendvq)

/* ---- extensions ------------------------------------------------------------------------- */

/* n: source bytes of a 128-bit result (memory operand is that small: 8, 4 or 2) */
#define EXTEND(name, n)                                                            \
    static inline V128 load_##name(X86CPU *c, const Insn *i)                       \
    {                                                                              \
        return lane_q((n) == 8 ? src_q(c, i) : (n) == 4 ? src_d(c, i) : src_w(c, i), 0); \
    }                                                                              \
    FAST_HANDLER(name##_x)                                                         \
    {                                                                              \
        put_x(c, i->reg, lane_##name(load_##name(c, i)));                          \
        NEXT;                                                                      \
    }                                                                              \
    FAST_HANDLER(name##_v)                                                         \
    {                                                                              \
        if (i->flags & IF_L) {                                                     \
            V128 b = (n) == 8 ? src_u(c, i) : lane_q((n) == 4 ? src_q(c, i) : src_d(c, i), 0); \
            V256 r;                                                                \
            r.h[0] = lane_##name(b);                                               \
            r.h[1] = lane_##name(lane_psrldq(b, n));                               \
            put_v256(c, i->reg, r);                                                \
        } else {                                                                   \
            put_v128(c, i->reg, lane_##name(load_##name(c, i)));                   \
        }                                                                          \
        NEXT;                                                                      \
    }
EXTEND(pmovsxbw, 8) EXTEND(pmovsxbd, 4) EXTEND(pmovsxbq, 2)
EXTEND(pmovsxwd, 8) EXTEND(pmovsxwq, 4) EXTEND(pmovsxdq, 8)
EXTEND(pmovzxbw, 8) EXTEND(pmovzxbd, 4) EXTEND(pmovzxbq, 2)
EXTEND(pmovzxwd, 8) EXTEND(pmovzxwq, 4) EXTEND(pmovzxdq, 8)

/* ---- to flags and general registers ------------------------------------------------------ */

static inline unsigned sign_mask(V128 v)
{
    unsigned m = 0;
    for (unsigned k = 0; k < 16; k++) {
        m |= (unsigned)(v.b[I8(k)] >> 7) << k;
    }
    return m;
}
static inline uint32_t sign_mask_ps(V128 v)
{
    uint32_t m = 0;
    for (unsigned k = 0; k < 4; k++) {
        m |= (v.d[I32(k)] >> 31) << k;
    }
    return m;
}
static inline uint32_t sign_mask_pd(V128 v)
{
    return v.q[I64(0)] >> 63 | v.q[I64(1)] >> 63 << 1;
}

HANDLER(pmovmskb_p)
{
    uint64_t v = MM(c, i->rm);
    mmx_enter(c);
    WR64(c, i->reg, sign_mask(lane_q(v, 0)));
}
#define MOVMSK(name, FN, bits)                                                     \
    FAST_HANDLER(name)                                                             \
    {                                                                              \
        uint32_t m = FN(X0(c, i->rm));                                             \
        if (i->flags & IF_L) {                                                     \
            m |= FN(X1(c, i->rm)) << (bits);                                       \
        }                                                                          \
        WR64(c, i->reg, m);                                                        \
        NEXT;                                                                      \
    }
MOVMSK(pmovmskb, sign_mask, 16)
MOVMSK(movmskps, sign_mask_ps, 4)
MOVMSK(movmskpd, sign_mask_pd, 2)

/* PTEST, VTESTPS, VTESTPD: ZF = (a & b) has no tested bit, CF = (~a & b) has none */
static inline void test_flags(X86CPU *c, V256 a, V256 b, uint64_t tested)
{
    uint64_t both = 0, only = 0;
    for (unsigned k = 0; k < 4; k++) {
        uint64_t x = a.h[k / 2].q[k & 1], y = b.h[k / 2].q[k & 1] & tested;
        both |= x & y;
        only |= ~x & y;
    }
    flags_write_all(c, (both ? 0 : FL_ZF) | (only ? 0 : FL_CF));
}
static inline V256 widen(V128 v)
{
    V256 r = { { v, { { 0 } } } };
    return r;
}
FAST_HANDLER(ptest_x)
{
    V128 b = src_x(c, i);
    test_flags(c, widen(X0(c, i->reg)), widen(b), ~0ull);
    NEXT;
}
#define VTEST(name, tested)                                                        \
    FAST_HANDLER(name)                                                             \
    {                                                                              \
        if (i->flags & IF_L) {                                                     \
            V256 b = src_y(c, i);                                                  \
            test_flags(c, Y(c, i->reg), b, tested);                                \
        } else {                                                                   \
            V128 b = src_u(c, i);                                                  \
            test_flags(c, widen(X0(c, i->reg)), widen(b), tested);                 \
        }                                                                          \
        NEXT;                                                                      \
    }
VTEST(ptest_v, ~0ull)
VTEST(vtestps, 0x8000000080000000ull)
VTEST(vtestpd, 0x8000000000000000ull)
