/* SPDX-License-Identifier: MIT */
/*
 * Operands of MMX, SSE and AVX handlers: 128-bit lanes by value, so that a handler keeps no
 * local whose address escapes (that would cost it its tail call).
 *
 * Naming of handlers: NAME_p works on MMX registers, NAME_x is legacy SSE (128 bits, upper
 * part of the register kept, memory operands aligned), NAME_v is VEX-coded (128 or 256 bits
 * by IF_L, upper part cleared, memory at any alignment).
 */
#ifndef TARGET_I386_SIMD_H
#define TARGET_I386_SIMD_H

#include "target-i386/interp.h"
#include "target-i386/vec-lanes.h"

typedef struct V256 {
    V128 h[2];
} V256;

/* Store 16 or 32 bytes where the fast path can't. */
void simd_store_slow(X86CPU *c, const Insn *i, uint64_t la, V256 v, unsigned len);

static inline V128 lane_from_host(const uint8_t *h)
{
    V128 r = { .q = { ld64_le(h), ld64_le(h + 8) } };
    return r;
}
static inline void lane_to_host(uint8_t *h, V128 v)
{
    st64_le(h, v.q[0]);
    st64_le(h + 8, v.q[1]);
}
static inline V128 lane_get(const Vec *v, unsigned half)
{
    V128 r = { .q = { v->q[2 * half], v->q[2 * half + 1] } };
    return r;
}
static inline void lane_put(Vec *v, unsigned half, V128 x)
{
    v->q[2 * half] = x.q[0];
    v->q[2 * half + 1] = x.q[1];
}
static inline V128 lane_q(uint64_t lo, uint64_t hi)
{
    V128 r = { .q = { lo, hi } };
    return r;
}

/* The register n's lane */
static inline V128 X0(const X86CPU *c, unsigned n) { return lane_get(&c->v[n], 0); }
static inline V128 X1(const X86CPU *c, unsigned n) { return lane_get(&c->v[n], 1); }
/* Writing a result: legacy keeps what is above, VEX clears it. */
static inline void put_x(X86CPU *c, unsigned n, V128 v) { lane_put(&c->v[n], 0, v); }
static inline void put_v128(X86CPU *c, unsigned n, V128 v)
{
    lane_put(&c->v[n], 0, v);
    vec_zero_above(&c->v[n], 16);
}
static inline void put_v256(X86CPU *c, unsigned n, V256 v)
{
    lane_put(&c->v[n], 0, v.h[0]);
    lane_put(&c->v[n], 1, v.h[1]);
    vec_zero_above(&c->v[n], 32);
}
static inline V256 Y(const X86CPU *c, unsigned n)
{
    V256 r = { { X0(c, n), X1(c, n) } };
    return r;
}

/* Memory operand of 16 or 32 bytes; align 0 or what the instruction demands. */
static inline V128 m_ld128(X86CPU *c, const Insn *i, unsigned align)
{
    return lane_from_host(m_ldp(c, i, 16, align));
}
static inline V256 m_ld256(X86CPU *c, const Insn *i, unsigned align)
{
    const uint8_t *h = m_ldp(c, i, 32, align);
    V256 r = { { lane_from_host(h), lane_from_host(h + 16) } };
    return r;
}
static inline void m_st128(X86CPU *c, const Insn *i, V128 v, unsigned align)
{
    uint64_t la = insn_lin(c, i, 16, true);
    if (align && unlikely(la & (align - 1))) {
        x86_raise_unaligned(c, i);
    }
    uint8_t *h = tlb_host(c->tcg.data, TLB_WRITE, la, 16);
    if (likely(h)) {
        lane_to_host(h, v);
    } else {
        V256 t = { { v, { { 0 } } } };
        simd_store_slow(c, i, la, t, 16);
    }
}
static inline void m_st256(X86CPU *c, const Insn *i, V256 v, unsigned align)
{
    uint64_t la = insn_lin(c, i, 32, true);
    if (align && unlikely(la & (align - 1))) {
        x86_raise_unaligned(c, i);
    }
    uint8_t *h = tlb_host(c->tcg.data, TLB_WRITE, la, 32);
    if (likely(h)) {
        lane_to_host(h, v.h[0]);
        lane_to_host(h + 16, v.h[1]);
    } else {
        simd_store_slow(c, i, la, v, 32);
    }
}

/* Operand W: register or memory. */
static inline V128 src_x(X86CPU *c, const Insn *i)          /* legacy: aligned */
{
    return i->flags & IF_MEM ? m_ld128(c, i, 16) : X0(c, i->rm);
}
static inline V128 src_u(X86CPU *c, const Insn *i)          /* any alignment */
{
    return i->flags & IF_MEM ? m_ld128(c, i, 0) : X0(c, i->rm);
}
static inline V256 src_y(X86CPU *c, const Insn *i)
{
    return i->flags & IF_MEM ? m_ld256(c, i, 0) : Y(c, i->rm);
}
/* The low 64 or 32 or 16 bits of W, reading just these from memory */
static inline uint64_t src_q(X86CPU *c, const Insn *i)
{
    return i->flags & IF_MEM ? m_ld64(c, i) : X0(c, i->rm).q[0];
}
static inline uint32_t src_d(X86CPU *c, const Insn *i)
{
    return i->flags & IF_MEM ? m_ld32(c, i) : (uint32_t)X0(c, i->rm).q[0];
}
static inline uint16_t src_w(X86CPU *c, const Insn *i)
{
    return i->flags & IF_MEM ? m_ld16(c, i) : (uint16_t)X0(c, i->rm).q[0];
}

/* MMX: a pending x87 exception comes before the memory access; the switch to MMX state after. */
static inline void mmx_check(X86CPU *c)
{
    if (unlikely(c->fpu.sw & 0x80)) {
        x86_mmx_fault(c);
    }
}
static inline uint64_t src_p(X86CPU *c, const Insn *i)
{
    mmx_check(c);
    return i->flags & IF_MEM ? m_ld64(c, i) : MM(c, i->rm);
}
static inline void put_p(X86CPU *c, unsigned n, uint64_t v)
{
    mmx_enter(c);
    WMM(c, n, v);
}

#endif
