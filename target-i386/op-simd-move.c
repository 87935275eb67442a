/* SPDX-License-Identifier: MIT */
/*
 * SIMD moves: loads, stores, register moves, inserts and extracts, masked stores, EMMS and
 * VZEROUPPER, for MMX, SSE and AVX.  Non-temporal hints mean nothing here: such moves are
 * ordinary ones with an alignment check.
 *
 * Source: Intel SDM volume 2.
 */
#include "target-i386/simd.h"

/* ---- whole vectors ------------------------------------------------------------------------ */

/* align: legacy and VEX forms; 1 = none */
#define LOADS(name, legacy_align, vex_align_per_16)                                \
    FAST_HANDLER(name##_ld_x)                                                      \
    {                                                                              \
        put_x(c, i->reg, i->flags & IF_MEM ? m_ld128(c, i, legacy_align) : X0(c, i->rm)); \
        NEXT;                                                                      \
    }                                                                              \
    FAST_HANDLER(name##_st_x)                                                      \
    {                                                                              \
        if (i->flags & IF_MEM) {                                                   \
            m_st128(c, i, X0(c, i->reg), legacy_align);                            \
        } else {                                                                   \
            put_x(c, i->rm, X0(c, i->reg));                                        \
        }                                                                          \
        NEXT;                                                                      \
    }                                                                              \
    FAST_HANDLER(name##_ld_v)                                                      \
    {                                                                              \
        if (i->flags & IF_L) {                                                     \
            put_v256(c, i->reg, i->flags & IF_MEM                                  \
                     ? m_ld256(c, i, 2 * (vex_align_per_16)) : Y(c, i->rm));       \
        } else {                                                                   \
            put_v128(c, i->reg, i->flags & IF_MEM                                  \
                     ? m_ld128(c, i, vex_align_per_16) : X0(c, i->rm));            \
        }                                                                          \
        NEXT;                                                                      \
    }                                                                              \
    FAST_HANDLER(name##_st_v)                                                      \
    {                                                                              \
        if (i->flags & IF_L) {                                                     \
            if (i->flags & IF_MEM) {                                               \
                m_st256(c, i, Y(c, i->reg), 2 * (vex_align_per_16));               \
            } else {                                                               \
                put_v256(c, i->rm, Y(c, i->reg));                                  \
            }                                                                      \
        } else if (i->flags & IF_MEM) {                                            \
            m_st128(c, i, X0(c, i->reg), vex_align_per_16);                        \
        } else {                                                                   \
            put_v128(c, i->rm, X0(c, i->reg));                                     \
        }                                                                          \
        NEXT;                                                                      \
    }
LOADS(mova, 16, 16)
LOADS(movu, 0, 0)

/* ---- MMX ---------------------------------------------------------------------------------- */

HANDLER(movq_pq)
{
    put_p(c, i->reg, src_p(c, i));
}
HANDLER(movq_qp)
{
    uint64_t v = MM(c, i->reg);

    mmx_enter(c);                       /* even if the store faults */
    if (i->flags & IF_MEM) {
        m_st64(c, i, v);
    } else {
        put_p(c, i->rm, v);
    }
}
/* MOVD/MOVQ mm, r/m */
HANDLER(movd_pe)
{
    uint64_t v;

    mmx_check(c);
    if (i->flags & IF_W) {
        v = i->flags & IF_MEM ? m_ld64(c, i) : R64(c, i->rm);
    } else {
        v = i->flags & IF_MEM ? m_ld32(c, i) : R32(c, i->rm);
    }
    put_p(c, i->reg, v);
}
HANDLER(movd_ep)
{
    uint64_t v = MM(c, i->reg);

    mmx_enter(c);
    if (i->flags & IF_MEM) {
        if (i->flags & IF_W) {
            m_st64(c, i, v);
        } else {
            m_st32(c, i, v);
        }
    } else if (i->flags & IF_W) {
        WR64(c, i->rm, v);
    } else {
        WR32(c, i->rm, v);
    }
}
HANDLER(movq2dq)
{
    uint64_t v = MM(c, i->rm);

    mmx_enter(c);
    put_x(c, i->reg, lane_q(v, 0));
}
HANDLER(movdq2q)
{
    put_p(c, i->reg, X0(c, i->rm).q[0]);
}
HANDLER(emms)
{
    mmx_enter(c);
    c->fpu.empty = 0xff;
}
HANDLER(pinsrw_p)
{
    V128 v;
    uint16_t e;

    mmx_check(c);
    e = i->flags & IF_MEM ? m_ld16(c, i) : R16(c, i->rm);
    v = lane_q(MM(c, i->reg), 0);
    v.w[I16(i->imm & 3)] = e;
    put_p(c, i->reg, v.q[0]);
}
HANDLER(pextrw_p)
{
    V128 v = lane_q(MM(c, i->rm), 0);

    mmx_enter(c);
    WR64(c, i->reg, v.w[I16(i->imm & 3)]);
}

/* MASKMOVQ, MASKMOVDQU: bytes of v whose mask has bit 7 set, to DS:rDI.  Bytes are stored one
 * by one: after a fault the instruction starts again and stores the same. */
static void mask_store(X86CPU *c, const Insn *i, V128 v, V128 mask, unsigned n)
{
    unsigned seg = i->flags & IF_SEGOVR ? i->seg : R_DS;

    for (unsigned k = 0; k < n; k++) {
        if (mask.sb[I8(k)] < 0) {
            uint64_t ea = (c->r[R_EDI] + k) & x86_size_mask[i->asz];
            st8(c, i, seg_lin(c, i, seg, ea, 1, true), v.b[I8(k)]);
        }
    }
}
HANDLER(maskmovq)
{
    mmx_check(c);
    mask_store(c, i, lane_q(MM(c, i->reg), 0), lane_q(MM(c, i->rm), 0), 8);
    mmx_enter(c);
}
HANDLER(maskmovdqu)
{
    mask_store(c, i, X0(c, i->reg), X0(c, i->rm), 16);
}

/* ---- scalars and halves ------------------------------------------------------------------- */

/* MOVSS, MOVSD: register form merges, memory form clears what is above */
static inline V128 with_d0(V128 v, uint32_t d)
{
    v.q[0] = (v.q[0] & ~0xffffffffull) | d;
    return v;
}
FAST_HANDLER(movss_ld_x)
{
    put_x(c, i->reg, i->flags & IF_MEM ? lane_q(m_ld32(c, i), 0)
                                       : with_d0(X0(c, i->reg), (uint32_t)X0(c, i->rm).q[0]));
    NEXT;
}
FAST_HANDLER(movss_st_x)
{
    uint32_t d = X0(c, i->reg).q[0];
    if (i->flags & IF_MEM) {
        m_st32(c, i, d);
    } else {
        put_x(c, i->rm, with_d0(X0(c, i->rm), d));
    }
    NEXT;
}
FAST_HANDLER(movss_ld_v)
{
    put_v128(c, i->reg, i->flags & IF_MEM ? lane_q(m_ld32(c, i), 0)
                                          : with_d0(X0(c, i->vvvv), (uint32_t)X0(c, i->rm).q[0]));
    NEXT;
}
FAST_HANDLER(movss_st_v)
{
    uint32_t d = X0(c, i->reg).q[0];
    if (i->flags & IF_MEM) {
        m_st32(c, i, d);
    } else {
        put_v128(c, i->rm, with_d0(X0(c, i->vvvv), d));
    }
    NEXT;
}
FAST_HANDLER(movsd_ld_x)
{
    put_x(c, i->reg, i->flags & IF_MEM ? lane_q(m_ld64(c, i), 0)
                                       : lane_q(X0(c, i->rm).q[0], X0(c, i->reg).q[1]));
    NEXT;
}
FAST_HANDLER(movsd_st_x)
{
    if (i->flags & IF_MEM) {
        m_st64(c, i, X0(c, i->reg).q[0]);
    } else {
        put_x(c, i->rm, lane_q(X0(c, i->reg).q[0], X0(c, i->rm).q[1]));
    }
    NEXT;
}
FAST_HANDLER(movsd_ld_v)
{
    put_v128(c, i->reg, i->flags & IF_MEM ? lane_q(m_ld64(c, i), 0)
                                          : lane_q(X0(c, i->rm).q[0], X0(c, i->vvvv).q[1]));
    NEXT;
}
FAST_HANDLER(movsd_st_v)
{
    if (i->flags & IF_MEM) {
        m_st64(c, i, X0(c, i->reg).q[0]);
    } else {
        put_v128(c, i->rm, lane_q(X0(c, i->reg).q[0], X0(c, i->vvvv).q[1]));
    }
    NEXT;
}

/* MOVLPS/MOVLPD (register form MOVHLPS), MOVHPS/MOVHPD (register form MOVLHPS) */
FAST_HANDLER(movlp_ld_x)
{
    uint64_t q = i->flags & IF_MEM ? m_ld64(c, i) : X0(c, i->rm).q[1];
    put_x(c, i->reg, lane_q(q, X0(c, i->reg).q[1]));
    NEXT;
}
FAST_HANDLER(movlp_ld_v)
{
    uint64_t q = i->flags & IF_MEM ? m_ld64(c, i) : X0(c, i->rm).q[1];
    put_v128(c, i->reg, lane_q(q, X0(c, i->vvvv).q[1]));
    NEXT;
}
FAST_HANDLER(movhp_ld_x)
{
    uint64_t q = i->flags & IF_MEM ? m_ld64(c, i) : X0(c, i->rm).q[0];
    put_x(c, i->reg, lane_q(X0(c, i->reg).q[0], q));
    NEXT;
}
FAST_HANDLER(movhp_ld_v)
{
    uint64_t q = i->flags & IF_MEM ? m_ld64(c, i) : X0(c, i->rm).q[0];
    put_v128(c, i->reg, lane_q(X0(c, i->vvvv).q[0], q));
    NEXT;
}
FAST_HANDLER(movlp_st)
{
    m_st64(c, i, X0(c, i->reg).q[0]);
    NEXT;
}
FAST_HANDLER(movhp_st)
{
    m_st64(c, i, X0(c, i->reg).q[1]);
    NEXT;
}

/* MOVD/MOVQ between XMM and r/m; MOVQ xmm, xmm/m64 and its store */
FAST_HANDLER(movd_xe)
{
    uint64_t v;
    if (i->flags & IF_W) {
        v = i->flags & IF_MEM ? m_ld64(c, i) : R64(c, i->rm);
    } else {
        v = i->flags & IF_MEM ? m_ld32(c, i) : R32(c, i->rm);
    }
    put_x(c, i->reg, lane_q(v, 0));
    if (i->flags & IF_VEX) {
        vec_zero_above(&c->v[i->reg], 16);
    }
    NEXT;
}
FAST_HANDLER(movd_ex)
{
    uint64_t v = X0(c, i->reg).q[0];
    if (i->flags & IF_MEM) {
        if (i->flags & IF_W) {
            m_st64(c, i, v);
        } else {
            m_st32(c, i, v);
        }
    } else if (i->flags & IF_W) {
        WR64(c, i->rm, v);
    } else {
        WR32(c, i->rm, v);
    }
    NEXT;
}
FAST_HANDLER(movq_ld_x)
{
    put_x(c, i->reg, lane_q(src_q(c, i), 0));
    NEXT;
}
FAST_HANDLER(movq_ld_v)
{
    put_v128(c, i->reg, lane_q(src_q(c, i), 0));
    NEXT;
}
FAST_HANDLER(movq_st_x)
{
    if (i->flags & IF_MEM) {
        m_st64(c, i, X0(c, i->reg).q[0]);
    } else {
        put_x(c, i->rm, lane_q(X0(c, i->reg).q[0], 0));
    }
    NEXT;
}
FAST_HANDLER(movq_st_v)
{
    if (i->flags & IF_MEM) {
        m_st64(c, i, X0(c, i->reg).q[0]);
    } else {
        put_v128(c, i->rm, lane_q(X0(c, i->reg).q[0], 0));
    }
    NEXT;
}
FAST_HANDLER(movnti)
{
    if (i->flags & IF_W) {
        m_st64(c, i, R64(c, i->reg));
    } else {
        m_st32(c, i, R32(c, i->reg));
    }
    NEXT;
}

/* ---- duplicating moves ---------------------------------------------------------------------- */

static inline V128 dup_even(V128 v)     /* MOVSLDUP */
{
    return lane_pshufd(v, 0xa0);
}
static inline V128 dup_odd(V128 v)      /* MOVSHDUP */
{
    return lane_pshufd(v, 0xf5);
}
static inline V128 dup_low(V128 v)
{
    return lane_q(v.q[0], v.q[0]);
}
#define DUP(name, OP)                                                              \
    FAST_HANDLER(name##_x)                                                         \
    {                                                                              \
        V128 b = src_x(c, i);                                                      \
        put_x(c, i->reg, OP(b));                                                   \
        NEXT;                                                                      \
    }                                                                              \
    FAST_HANDLER(name##_v)                                                         \
    {                                                                              \
        if (i->flags & IF_L) {                                                     \
            V256 b = src_y(c, i);                                                  \
            b.h[0] = OP(b.h[0]);                                                   \
            b.h[1] = OP(b.h[1]);                                                   \
            put_v256(c, i->reg, b);                                                \
        } else {                                                                   \
            V128 b = src_u(c, i);                                                  \
            put_v128(c, i->reg, OP(b));                                            \
        }                                                                          \
        NEXT;                                                                      \
    }
DUP(movsldup, dup_even)
DUP(movshdup, dup_odd)

/* MOVDDUP reads 64 bits only (256 bits in its VEX.256 form) */
FAST_HANDLER(movddup_x)
{
    put_x(c, i->reg, dup_low(lane_q(src_q(c, i), 0)));
    NEXT;
}
FAST_HANDLER(movddup_v)
{
    if (i->flags & IF_L) {
        V256 b = src_y(c, i);
        b.h[0] = dup_low(b.h[0]);
        b.h[1] = dup_low(b.h[1]);
        put_v256(c, i->reg, b);
    } else {
        put_v128(c, i->reg, dup_low(lane_q(src_q(c, i), 0)));
    }
    NEXT;
}

/* ---- inserts and extracts ------------------------------------------------------------------- */

/* Legacy forms insert into the destination, VEX forms into a copy of vvvv. */
static inline V128 insert_base(const X86CPU *c, const Insn *i)
{
    return X0(c, i->flags & IF_VEX ? i->vvvv : i->reg);
}
static inline void insert_done(X86CPU *c, const Insn *i, V128 v)
{
    put_x(c, i->reg, v);
    if (i->flags & IF_VEX) {
        vec_zero_above(&c->v[i->reg], 16);
    }
}
FAST_HANDLER(pinsrb)
{
    uint8_t e = i->flags & IF_MEM ? m_ld8(c, i) : R32(c, i->rm);
    V128 v = insert_base(c, i);
    v.b[I8(i->imm & 15)] = e;
    insert_done(c, i, v);
    NEXT;
}
FAST_HANDLER(pinsrw)
{
    uint16_t e = i->flags & IF_MEM ? m_ld16(c, i) : R16(c, i->rm);
    V128 v = insert_base(c, i);
    v.w[I16(i->imm & 7)] = e;
    insert_done(c, i, v);
    NEXT;
}
FAST_HANDLER(pinsrd)
{
    V128 v;
    if (i->flags & IF_W) {
        uint64_t e = i->flags & IF_MEM ? m_ld64(c, i) : R64(c, i->rm);
        v = insert_base(c, i);
        v.q[I64(i->imm & 1)] = e;
    } else {
        uint32_t e = i->flags & IF_MEM ? m_ld32(c, i) : R32(c, i->rm);
        v = insert_base(c, i);
        v.d[I32(i->imm & 3)] = e;
    }
    insert_done(c, i, v);
    NEXT;
}
/* INSERTPS: imm 7:6 source element (register), 5:4 destination element, 3:0 zero mask */
FAST_HANDLER(insertps)
{
    unsigned imm = i->imm & 255;
    uint32_t e = i->flags & IF_MEM ? m_ld32(c, i) : X0(c, i->rm).d[I32(imm >> 6)];
    V128 v = insert_base(c, i);
    v.d[I32((imm >> 4) & 3)] = e;
    for (unsigned k = 0; k < 4; k++) {
        if ((imm >> k) & 1) {
            v.d[I32(k)] = 0;
        }
    }
    insert_done(c, i, v);
    NEXT;
}
/* PEXTRB, PEXTRW (0F3A), PEXTRD/Q, EXTRACTPS: to r/m; registers are zero-extended */
FAST_HANDLER(pextrb)
{
    uint8_t e = X0(c, i->reg).b[I8(i->imm & 15)];
    if (i->flags & IF_MEM) {
        m_st8(c, i, e);
    } else {
        WR64(c, i->rm, e);
    }
    NEXT;
}
FAST_HANDLER(pextrw_e)
{
    uint16_t e = X0(c, i->reg).w[I16(i->imm & 7)];
    if (i->flags & IF_MEM) {
        m_st16(c, i, e);
    } else {
        WR64(c, i->rm, e);
    }
    NEXT;
}
FAST_HANDLER(pextrw_g)              /* 0FC5: from rm to reg */
{
    WR64(c, i->reg, X0(c, i->rm).w[I16(i->imm & 7)]);
    NEXT;
}
FAST_HANDLER(pextrd)
{
    if (i->flags & IF_W) {
        uint64_t e = X0(c, i->reg).q[I64(i->imm & 1)];
        if (i->flags & IF_MEM) {
            m_st64(c, i, e);
        } else {
            WR64(c, i->rm, e);
        }
    } else {
        uint32_t e = X0(c, i->reg).d[I32(i->imm & 3)];
        if (i->flags & IF_MEM) {
            m_st32(c, i, e);
        } else {
            WR64(c, i->rm, e);
        }
    }
    NEXT;
}
FAST_HANDLER(extractps)
{
    uint32_t e = X0(c, i->reg).d[I32(i->imm & 3)];
    if (i->flags & IF_MEM) {
        m_st32(c, i, e);
    } else {
        WR64(c, i->rm, e);
    }
    NEXT;
}

/* ---- VZEROUPPER, VZEROALL ------------------------------------------------------------------- */

FAST_HANDLER(vzero)
{
    unsigned n = i->flags & IF_CODE64 ? 16 : 8;
    unsigned keep = i->flags & IF_L ? 0 : 16;
    for (unsigned k = 0; k < n; k++) {
        vec_zero_above(&c->v[k], keep);
    }
    NEXT;
}
