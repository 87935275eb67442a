/* SPDX-License-Identifier: MIT */
/*
 * AVX and AVX2 instructions that have no SSE ancestor: broadcasts, lane permutes, 128-bit
 * inserts and extracts, masked moves, gathers; and FMA3.
 *
 * Source: Intel SDM volume 2.
 */
#include "target-i386/simd-fp.h"

/* ---- broadcasts ----------------------------------------------------------------------------- */

static inline void broadcast(X86CPU *c, const Insn *i, uint64_t q)
{
    V256 r = { { lane_q(q, q), lane_q(q, q) } };

    if (i->flags & IF_L) {
        put_v256(c, i->reg, r);
    } else {
        put_v128(c, i->reg, r.h[0]);
    }
}
FAST_HANDLER(vpbroadcastb)
{
    uint8_t v = i->flags & IF_MEM ? m_ld8(c, i) : (uint8_t)X0(c, i->rm).q[0];
    broadcast(c, i, v * 0x0101010101010101ull);
    NEXT;
}
FAST_HANDLER(vpbroadcastw)
{
    broadcast(c, i, src_w(c, i) * 0x0001000100010001ull);
    NEXT;
}
FAST_HANDLER(vpbroadcastd)          /* VBROADCASTSS too */
{
    broadcast(c, i, src_d(c, i) * 0x0000000100000001ull);
    NEXT;
}
FAST_HANDLER(vpbroadcastq)          /* VBROADCASTSD too */
{
    broadcast(c, i, src_q(c, i));
    NEXT;
}
FAST_HANDLER(vbroadcast128)
{
    V128 v = m_ld128(c, i, 0);
    V256 r = { { v, v } };
    put_v256(c, i->reg, r);
    NEXT;
}

/* ---- 128-bit halves --------------------------------------------------------------------------- */

FAST_HANDLER(vinsert128)
{
    V128 b = src_u(c, i);
    V256 r = Y(c, i->vvvv);
    r.h[i->imm & 1] = b;
    put_v256(c, i->reg, r);
    NEXT;
}
FAST_HANDLER(vextract128)
{
    V128 v = i->imm & 1 ? X1(c, i->reg) : X0(c, i->reg);
    if (i->flags & IF_MEM) {
        m_st128(c, i, v, 0);
    } else {
        put_v128(c, i->rm, v);
    }
    NEXT;
}
/* VPERM2F128, VPERM2I128: each half of the result is one of four halves, or zero */
FAST_HANDLER(vperm2_128)
{
    V256 b = src_y(c, i), a = Y(c, i->vvvv), r;
    for (unsigned k = 0; k < 2; k++) {
        unsigned sel = (i->imm >> 4 * k) & 15;
        r.h[k] = sel & 8 ? lane_q(0, 0) : sel & 2 ? b.h[sel & 1] : a.h[sel & 1];
    }
    put_v256(c, i->reg, r);
    NEXT;
}

/* ---- permutes ----------------------------------------------------------------------------------- */

static inline uint64_t y_q(const V256 *v, unsigned n)
{
    return v->h[n / 2].q[n & 1];
}
static inline uint32_t y_d(const V256 *v, unsigned n)
{
    return v->h[n / 4].d[I32(n & 3)];
}
FAST_HANDLER(vpermq)                /* VPERMPD too */
{
    V256 b = src_y(c, i), r;
    for (unsigned k = 0; k < 4; k++) {
        r.h[k / 2].q[k & 1] = y_q(&b, (i->imm >> 2 * k) & 3);
    }
    put_v256(c, i->reg, r);
    NEXT;
}
FAST_HANDLER(vpermd)                /* VPERMPS too: indices in vvvv */
{
    V256 b = src_y(c, i), x = Y(c, i->vvvv), r;
    for (unsigned k = 0; k < 8; k++) {
        r.h[k / 4].d[I32(k & 3)] = y_d(&b, y_d(&x, k) & 7);
    }
    put_v256(c, i->reg, r);
    NEXT;
}
static inline V128 permil_d(V128 a, V128 x)
{
    V128 r;
    for (unsigned k = 0; k < 4; k++) {
        r.d[I32(k)] = a.d[I32(x.d[I32(k)] & 3)];
    }
    return r;
}
static inline V128 permil_q(V128 a, V128 x)
{
    return lane_q(a.q[x.q[0] >> 1 & 1], a.q[x.q[1] >> 1 & 1]);
}
#define PERMIL(name, OP)                                                           \
    FAST_HANDLER(name)                                                             \
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
PERMIL(vpermilps, permil_d)
PERMIL(vpermilpd, permil_q)
FAST_HANDLER(vpermilps_imm)
{
    unsigned imm = (uint8_t)i->imm;
    if (i->flags & IF_L) {
        V256 b = src_y(c, i);
        b.h[0] = lane_pshufd(b.h[0], imm);
        b.h[1] = lane_pshufd(b.h[1], imm);
        put_v256(c, i->reg, b);
    } else {
        put_v128(c, i->reg, lane_pshufd(src_u(c, i), imm));
    }
    NEXT;
}
FAST_HANDLER(vpermilpd_imm)
{
    unsigned imm = (uint8_t)i->imm;
    if (i->flags & IF_L) {
        V256 b = src_y(c, i);
        b.h[0] = lane_shufpd(b.h[0], b.h[0], imm);
        b.h[1] = lane_shufpd(b.h[1], b.h[1], imm >> 2);
        put_v256(c, i->reg, b);
    } else {
        V128 b = src_u(c, i);
        put_v128(c, i->reg, lane_shufpd(b, b, imm));
    }
    NEXT;
}
FAST_HANDLER(vpblendd)
{
    unsigned imm = (uint8_t)i->imm;
    if (i->flags & IF_L) {
        V256 b = src_y(c, i), r;
        r.h[0] = lane_blendd(X0(c, i->vvvv), b.h[0], imm);
        r.h[1] = lane_blendd(X1(c, i->vvvv), b.h[1], imm >> 4);
        put_v256(c, i->reg, r);
    } else {
        V128 b = src_u(c, i);
        put_v128(c, i->reg, lane_blendd(X0(c, i->vvvv), b, imm));
    }
    NEXT;
}

/* ---- masked moves and gathers --------------------------------------------------------------------- */

/* Element n of the vector in register r: its sign bit, as a mask */
static inline bool mask_bit(const X86CPU *c, unsigned r, unsigned n, bool wide)
{
    V256 m = Y(c, r);
    return wide ? y_q(&m, n) >> 63 : y_d(&m, n) >> 31;
}
static inline unsigned mask_count(const Insn *i, bool wide)
{
    return (i->flags & IF_L ? 32 : 16) / (wide ? 8 : 4);
}

/* VMASKMOVPS/PD, VPMASKMOVD/Q: elements not chosen are not touched in memory, nor do they
 * fault. */
static void mask_load(X86CPU *c, const Insn *i, bool wide)
{
    V256 r = { { { { 0 } }, { { 0 } } } };

    for (unsigned k = 0; k < mask_count(i, wide); k++) {
        if (!mask_bit(c, i->vvvv, k, wide)) {
            continue;
        }
        if (wide) {
            r.h[k / 2].q[k & 1] = ld64(c, i, insn_lin_at(c, i, 8 * k, 8, false));
        } else {
            r.h[k / 4].d[I32(k & 3)] = ld32(c, i, insn_lin_at(c, i, 4 * k, 4, false));
        }
    }
    put_v256(c, i->reg, r);
}
static void mask_store(X86CPU *c, const Insn *i, bool wide)
{
    V256 v = Y(c, i->reg);
    unsigned n = mask_count(i, wide), size = wide ? 8 : 4;

    for (unsigned k = 0; k < n; k++) {      /* all faults before the first store */
        if (mask_bit(c, i->vvvv, k, wide)) {
            m_probe(c, i, size * k, size, true);
        }
    }
    for (unsigned k = 0; k < n; k++) {
        if (!mask_bit(c, i->vvvv, k, wide)) {
            continue;
        }
        if (wide) {
            st64(c, i, insn_lin_at(c, i, 8 * k, 8, true), y_q(&v, k));
        } else {
            st32(c, i, insn_lin_at(c, i, 4 * k, 4, true), y_d(&v, k));
        }
    }
}
FAST_HANDLER(vmaskmov_ld_d) { mask_load(c, i, false); NEXT; }
FAST_HANDLER(vmaskmov_ld_q) { mask_load(c, i, true); NEXT; }
FAST_HANDLER(vmaskmov_st_d) { mask_store(c, i, false); NEXT; }
FAST_HANDLER(vmaskmov_st_q) { mask_store(c, i, true); NEXT; }

/*
 * Gathers.  The index vector is i->vindex; each element that was loaded has its mask cleared
 * before the next one is tried, so a fault leaves the progress in the destination and the
 * mask.  The mask's elements become 0 or all ones before the first access.  #UD if two of the three registers are equal.
 * wide: 64-bit elements; wide_index: 64-bit indices.
 */
static void gather(X86CPU *c, const Insn *i, bool wide, bool wide_index)
{
    unsigned n = (i->flags & IF_L ? 32 : 16) / (wide || wide_index ? 8 : 4);
    unsigned size = wide ? 8 : 4, x = i->vindex;
    Vec *d = &c->v[i->reg], *m = &c->v[i->vvvv];
    V256 index = Y(c, x);

    if (i->reg == x || i->reg == i->vvvv || x == i->vvvv) {
        x86_raise_at(c, i, EXC_UD);
    }
    vec_zero_above(m, i->flags & IF_L ? 32 : 16);
    for (unsigned k = 0; k < (i->flags & IF_L ? 32 : 16) / size; k++) {
        if (wide) {
            m->q[k] = (uint64_t)((int64_t)m->q[k] >> 63);
        } else {
            VD(m, k) = (uint32_t)((int32_t)VD(m, k) >> 31);
        }
    }
    for (unsigned k = 0; k < n; k++) {
        int64_t at = wide_index ? (int64_t)y_q(&index, k) : (int32_t)y_d(&index, k);
        uint64_t ea = (c->r[i->base] + ((uint64_t)at << i->scale) + i->disp) & x86_size_mask[i->asz];
        if (!(wide ? m->q[k] : VD(m, k))) {
            continue;
        }
        uint64_t la = i->flags & IF_SEG ? seg_lin(c, i, i->seg, ea, size, false) : ea;
        if (wide) {
            d->q[k] = ld64(c, i, la);
            m->q[k] = 0;
        } else {
            VD(d, k) = ld32(c, i, la);
            VD(m, k) = 0;
        }
        vec_zero_above(d, i->flags & IF_L ? 32 : 16);
    }
    vec_zero_above(d, n * size);
    vec_zero_above(m, 0);
}
FAST_HANDLER(vgatherdd) { gather(c, i, false, false); NEXT; }
FAST_HANDLER(vgatherdq) { gather(c, i, true, false); NEXT; }
FAST_HANDLER(vgatherqd) { gather(c, i, false, true); NEXT; }
FAST_HANDLER(vgatherqq) { gather(c, i, true, true); NEXT; }

/* ---- FMA ------------------------------------------------------------------------------------------ */

/*
 * The three operand orders: 132 d = d * w + v, 213 d = v * d + w, 231 d = v * w + d.  NaNs are
 * chosen by the operands' places (d, v, w as first, second, third source), which the order of
 * the call to f32_fma expresses.
 */
typedef struct FmaOperands {
    V256 a, b, c;
} FmaOperands;

static inline FmaOperands fma_order(V256 d, V256 v, V256 w, unsigned order)
{
    FmaOperands o = order == 132 ? (FmaOperands) { d, w, v }
                  : order == 213 ? (FmaOperands) { v, d, w } : (FmaOperands) { v, w, d };
    return o;
}

/* neg: FP_FMA_NEG_*; alternate: +1 the sign of the addend is flipped in even elements
 * (FMADDSUB), -1 in odd ones (FMSUBADD) */
static V256 fma_run(X86CPU *c, const Insn *i, FmaOperands o, bool wide, unsigned n, int neg,
                    int alternate)
{
    FpEnv e = x86_sse_env(c);
    V256 r = o.a;

    for (unsigned k = 0; k < n; k++) {
        int flip = alternate && (k & 1) == (alternate < 0) ? FP_FMA_NEG_ADDEND : 0;
        if (wide) {
            r.h[k / 2].q[k & 1] = f64_fma(y_q(&o.a, k), y_q(&o.b, k), y_q(&o.c, k), neg ^ flip, &e);
        } else {
            r.h[k / 4].d[I32(k & 3)] = f32_fma(y_d(&o.a, k), y_d(&o.b, k), y_d(&o.c, k),
                                               neg ^ flip, &e);
        }
    }
    simd_fp_done(c, i, &e);
    return r;
}
static void fma_packed(X86CPU *c, const Insn *i, unsigned order, int neg, int alternate)
{
    bool wide = i->flags & IF_W;
    V256 w, r;

    if (i->flags & IF_L) {
        w = src_y(c, i);
    } else {
        w.h[0] = src_u(c, i);
        w.h[1] = lane_q(0, 0);
    }
    r = fma_run(c, i, fma_order(Y(c, i->reg), Y(c, i->vvvv), w, order), wide,
                (i->flags & IF_L ? 32 : 16) / (wide ? 8 : 4), neg, alternate);
    if (i->flags & IF_L) {
        put_v256(c, i->reg, r);
    } else {
        put_v128(c, i->reg, r.h[0]);
    }
}
static void fma_scalar(X86CPU *c, const Insn *i, unsigned order, int neg)
{
    bool wide = i->flags & IF_W;
    V256 w = { { lane_q(wide ? src_q(c, i) : src_d(c, i), 0), { { 0 } } } }, r;
    V128 d = X0(c, i->reg);

    r = fma_run(c, i, fma_order(Y(c, i->reg), Y(c, i->vvvv), w, order), wide, 1, neg, 0);
    if (wide) {
        d.q[0] = r.h[0].q[0];
    } else {
        d.d[I32(0)] = r.h[0].d[I32(0)];
    }
    put_v128(c, i->reg, d);
}
#define FMA_PACKED(name, neg, alternate)                                           \
    FAST_HANDLER(name##132p) { fma_packed(c, i, 132, neg, alternate); NEXT; }      \
    FAST_HANDLER(name##213p) { fma_packed(c, i, 213, neg, alternate); NEXT; }      \
    FAST_HANDLER(name##231p) { fma_packed(c, i, 231, neg, alternate); NEXT; }
#define FMA(name, neg)                                                             \
    FMA_PACKED(name, neg, 0)                                                       \
    FAST_HANDLER(name##132s) { fma_scalar(c, i, 132, neg); NEXT; }                 \
    FAST_HANDLER(name##213s) { fma_scalar(c, i, 213, neg); NEXT; }                 \
    FAST_HANDLER(name##231s) { fma_scalar(c, i, 231, neg); NEXT; }
FMA(vfmadd, 0)
FMA(vfmsub, FP_FMA_NEG_ADDEND)
FMA(vfnmadd, FP_FMA_NEG_PRODUCT)
FMA(vfnmsub, FP_FMA_NEG_PRODUCT | FP_FMA_NEG_ADDEND)
FMA_PACKED(vfmaddsub, 0, 1)
FMA_PACKED(vfmsubadd, 0, -1)
