/* SPDX-License-Identifier: MIT */
/*
 * ADD OR ADC SBB AND SUB XOR CMP TEST, INC DEC NEG NOT, XADD, CMPXCHG, in all sizes and forms.
 *
 * Every operation is one ALU_x(n, a, b, r) macro: computes r and the flags from a and b of n
 * bits.  FORMS makes the handlers from it.  Forms with memory come as a fast handler (direct
 * host access or nothing) and a slow twin that takes every path.
 */
#include "target-i386/interp.h"

#define U(n) uint##n##_t
/* The accumulator of n bits: byte registers count bytes. */
#define ACC(n) (n == 8 ? REG8(R_EAX) : R_EAX)

/* ---- the operations -------------------------------------------------------------------------- */

#define ALU_add(n, a, b, r) r = a + b; flags_add##n(c, a, b, r);
#define ALU_sub(n, a, b, r) r = a - b; flags_sub##n(c, a, b, r);
#define ALU_cmp(n, a, b, r) r = a - b; flags_sub##n(c, a, b, r);
#define ALU_and(n, a, b, r) r = a & b; flags_logic##n(c, r);
#define ALU_test(n, a, b, r) r = a & b; flags_logic##n(c, r);
#define ALU_or(n, a, b, r)  r = a | b; flags_logic##n(c, r);
#define ALU_xor(n, a, b, r) r = a ^ b; flags_logic##n(c, r);
#define ALU_adc(n, a, b, r)                                                                 \
    {                                                                                       \
        bool cin = flag_cf(c);                                                              \
        r = a + b + cin;                                                                    \
        flags_add##n(c, a, b, r);                                                           \
        c->fl_cf = cin ? r <= a : r < a;                                                    \
    }
#define ALU_sbb(n, a, b, r)                                                                 \
    {                                                                                       \
        bool cin = flag_cf(c);                                                              \
        r = a - b - cin;                                                                    \
        flags_sub##n(c, a, b, r);                                                           \
        c->fl_cf = cin ? a <= b : a < b;                                                    \
    }

/* ---- the forms ---------------------------------------------------------------------------------- */

/* What to do with r.  K keeps it (store), D drops it (CMP, TEST). */
#define STORE_REG_K(n, reg, v) WR##n(c, reg, v)
#define STORE_REG_D(n, reg, v) (void)(v)

/* Register destination: source an expression. */
#define FORM_R(name, n, op, keep, dst, src)                                                 \
    FAST_HANDLER(name)                                                                      \
    {                                                                                       \
        U(n) a = R##n(c, dst), b = (U(n))(src), r;                                          \
        ALU_##op(n, a, b, r)                                                                \
        STORE_REG_##keep(n, dst, r);                                                        \
        NEXT;                                                                               \
    }
/* Register destination, memory source. */
#define FORM_GM(name, n, op, keep)                                                          \
    static __attribute__((noinline)) void slow_##name(X86CPU *c, const Insn *i)             \
    {                                                                                       \
        U(n) a = R##n(c, i->reg), b = m_ld##n(c, i), r;                                     \
        ALU_##op(n, a, b, r)                                                                \
        STORE_REG_##keep(n, i->reg, r);                                                     \
        NEXT;                                                                               \
    }                                                                                       \
    FAST_HANDLER(name)                                                                      \
    {                                                                                       \
        const void *h = fast_host(c, i, TLB_READ, n / 8);                                   \
        if (unlikely(!h)) {                                                                 \
            TAIL slow_##name(c, i);                                                         \
        }                                                                                   \
        U(n) a = R##n(c, i->reg), b = ld##n##_le(h), r;                                     \
        ALU_##op(n, a, b, r)                                                                \
        STORE_REG_##keep(n, i->reg, r);                                                     \
        NEXT;                                                                               \
    }
/* Memory destination that is stored to. */
#define FORM_M_K(name, n, op, src)                                                          \
    static __attribute__((noinline)) void slow_##name(X86CPU *c, const Insn *i)             \
    {                                                                                       \
        uint64_t la = insn_lin(c, i, n / 8, true);                                          \
        U(n) a = x86_rmw_ld(c, i, la, n / 8), b = (U(n))(src), r;                           \
        ALU_##op(n, a, b, r)                                                                \
        st##n(c, i, la, r);             /* can't fault: x86_rmw_ld saw to that */           \
        NEXT;                                                                               \
    }                                                                                       \
    FAST_HANDLER(name)                                                                      \
    {                                                                                       \
        void *h = fast_host(c, i, TLB_WRITE, n / 8);                                        \
        if (unlikely(!h)) {                                                                 \
            TAIL slow_##name(c, i);                                                         \
        }                                                                                   \
        U(n) a = ld##n##_le(h), b = (U(n))(src), r;                                         \
        ALU_##op(n, a, b, r)                                                                \
        st##n##_le(h, r);                                                                   \
        NEXT;                                                                               \
    }
/* Memory operand that is only read. */
#define FORM_M_D(name, n, op, src)                                                          \
    static __attribute__((noinline)) void slow_##name(X86CPU *c, const Insn *i)             \
    {                                                                                       \
        U(n) a = m_ld##n(c, i), b = (U(n))(src), r;                                         \
        ALU_##op(n, a, b, r)                                                                \
        (void)r;                                                                            \
        NEXT;                                                                               \
    }                                                                                       \
    FAST_HANDLER(name)                                                                      \
    {                                                                                       \
        const void *h = fast_host(c, i, TLB_READ, n / 8);                                   \
        if (unlikely(!h)) {                                                                 \
            TAIL slow_##name(c, i);                                                         \
        }                                                                                   \
        U(n) a = ld##n##_le(h), b = (U(n))(src), r;                                         \
        ALU_##op(n, a, b, r)                                                                \
        (void)r;                                                                            \
        NEXT;                                                                               \
    }
/* LOCK: compare and exchange until nobody came between. */
#define FORM_LOCK(name, n, op, src)                                                         \
    FAST_HANDLER(name)                                                                      \
    {                                                                                       \
        uint64_t la = insn_lin(c, i, n / 8, true);                                          \
        U(n) *h = x86_atomic_host(c, i, la, n / 8), b = (U(n))(src), a, r;                  \
        uint32_t cf = c->fl_cf;                                                             \
        if (likely(h)) {                                                                    \
            a = __atomic_load_n(h, __ATOMIC_RELAXED);                                       \
            U(n) seen;                                                                      \
            do {                                                                            \
                seen = a;                                                                   \
                c->fl_cf = cf;                                                              \
                a = LE_(n, a);                                                              \
                ALU_##op(n, a, b, r)                                                        \
                r = LE_(n, r);                                                              \
                a = seen;                                                                   \
            } while (!__atomic_compare_exchange_n(h, &a, r, false, __ATOMIC_SEQ_CST,        \
                                                  __ATOMIC_RELAXED));                       \
        } else {                                                                            \
            a = ld##n(c, i, la);                                                            \
            ALU_##op(n, a, b, r)                                                            \
            st##n(c, i, la, r);                                                             \
        }                                                                                   \
        x86_atomic_done(c, la, n / 8, h);                                                   \
        NEXT;                                                                               \
    }

/* All forms of a size: n bits, suffixes for register, memory and locked handlers. */
#define FORMS(op, keep, n, r_, m_, ma)                                                \
    FORM_R(op##_eg_##r_, n, op, keep, i->rm, R##n(c, i->reg))                               \
    FORM_R(op##_ei_##r_, n, op, keep, i->rm, i->imm)                                        \
    FORM_R(op##_ai##ma, n, op, keep, ACC(n), i->imm)                \
    FORM_M_##keep(op##_eg_##m_, n, op, R##n(c, i->reg))                                     \
    FORM_M_##keep(op##_ei_##m_, n, op, i->imm)
#define FORMS_GE(op, keep, n, r_, m_)                                                       \
    FORM_R(op##_ge_##r_, n, op, keep, i->reg, R##n(c, i->rm))                               \
    FORM_GM(op##_ge_##m_, n, op, keep)
#define FORMS_LOCK(op, n, k_)                                                               \
    FORM_LOCK(op##_eg_##k_, n, op, R##n(c, i->reg))                                         \
    FORM_LOCK(op##_ei_##k_, n, op, i->imm)

#define ALL_SIZES(op, keep)                                                                 \
    FORMS(op, keep, 8,  b_r, b_m, _b)                                               \
    FORMS(op, keep, 16, wr, wm, _w)                                                 \
    FORMS(op, keep, 32, lr, lm, _l)                                                 \
    FORMS(op, keep, 64, qr, qm, _q)
#define ALL_SIZES_GE(op, keep)                                                              \
    FORMS_GE(op, keep, 8,  b_r, b_m)                                                        \
    FORMS_GE(op, keep, 16, wr, wm)                                                          \
    FORMS_GE(op, keep, 32, lr, lm)                                                          \
    FORMS_GE(op, keep, 64, qr, qm)
#define ALL_SIZES_LOCK(op)                                                                  \
    FORMS_LOCK(op, 8, b_k) FORMS_LOCK(op, 16, wk) FORMS_LOCK(op, 32, lk) FORMS_LOCK(op, 64, qk)

#define OPERATION(op) ALL_SIZES(op, K) ALL_SIZES_GE(op, K) ALL_SIZES_LOCK(op)
OPERATION(add)
OPERATION(or)
OPERATION(adc)
OPERATION(sbb)
OPERATION(and)
OPERATION(sub)
OPERATION(xor)
ALL_SIZES(cmp, D)
ALL_SIZES_GE(cmp, D)
ALL_SIZES(test, D)

/* ---- one operand: INC DEC NEG NOT ------------------------------------------------------------------ */

/*
 * INC and DEC leave CF alone.  fl_x holds OF ^ CF in its top bit, so that bit is made from
 * the new OF and the old CF.
 */
#define FLAGS_INCDEC(n, of)                                                                 \
    {                                                                                       \
        uint32_t cf = c->fl_cf & 1;                                                         \
        c->fl_cf = cf;                                                                      \
        c->fl_res = (int64_t)(int##n##_t)r;                                                 \
        c->fl_x = ((a ^ r) & 0x10) | (uint64_t)((of) ^ cf) << 63;                           \
    }
#define ALU_inc(n, a, b, r) r = a + 1; FLAGS_INCDEC(n, r == (U(n))1 << (n - 1))
#define ALU_dec(n, a, b, r) r = a - 1; FLAGS_INCDEC(n, a == (U(n))1 << (n - 1))
#define ALU_neg(n, a, b, r) r = -a; flags_sub##n(c, 0, a, r);
#define ALU_not(n, a, b, r) r = ~a;

#define ONE_OPERAND(op, n, r_, m_, k_)                                                      \
    FORM_R(op##_e_##r_, n, op, K, i->rm, 0)                                                 \
    FORM_M_K(op##_e_##m_, n, op, 0)                                                         \
    FORM_LOCK(op##_e_##k_, n, op, 0)
#define ONE_OPERAND_SIZES(op)                                                               \
    ONE_OPERAND(op, 8, b_r, b_m, b_k) ONE_OPERAND(op, 16, wr, wm, wk)                       \
    ONE_OPERAND(op, 32, lr, lm, lk) ONE_OPERAND(op, 64, qr, qm, qk)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-but-set-variable"
#pragma GCC diagnostic ignored "-Wunused-variable"
ONE_OPERAND_SIZES(inc)
ONE_OPERAND_SIZES(dec)
ONE_OPERAND_SIZES(neg)
ONE_OPERAND_SIZES(not)

/* 40-4F: INC and DEC of a register, outside 64-bit mode */
FORM_R(inc_z_w, 16, inc, K, i->reg, 0)
FORM_R(inc_z_l, 32, inc, K, i->reg, 0)
FORM_R(dec_z_w, 16, dec, K, i->reg, 0)
FORM_R(dec_z_l, 32, dec, K, i->reg, 0)
void op_inc_z_q(X86CPU *c, const Insn *i);      /* no such thing; fills the column */
void op_inc_z_q(X86CPU *c, const Insn *i) { TAIL op_inc_z_l(c, i); }
void op_dec_z_q(X86CPU *c, const Insn *i);
void op_dec_z_q(X86CPU *c, const Insn *i) { TAIL op_dec_z_l(c, i); }
#pragma GCC diagnostic pop

/* ---- XADD, CMPXCHG ------------------------------------------------------------------------------------ */

#define XADD(n, r_, m_, k_)                                                                 \
    FAST_HANDLER(xadd_##r_)                                                                 \
    {                                                                                       \
        U(n) a = R##n(c, i->rm), b = R##n(c, i->reg), r;                                    \
        ALU_add(n, a, b, r)                                                                 \
        WR##n(c, i->reg, a);                                                                \
        WR##n(c, i->rm, r);                                                                 \
        NEXT;                                                                               \
    }                                                                                       \
    FAST_HANDLER(xadd_##m_)                                                                 \
    {                                                                                       \
        uint64_t la = insn_lin(c, i, n / 8, true);                                          \
        U(n) a = x86_rmw_ld(c, i, la, n / 8), b = R##n(c, i->reg), r = a + b;               \
        st##n(c, i, la, r);                                                                 \
        flags_add##n(c, a, b, r);                                                           \
        WR##n(c, i->reg, a);                                                                \
        NEXT;                                                                               \
    }                                                                                       \
    FAST_HANDLER(xadd_##k_)                                                                 \
    {                                                                                       \
        uint64_t la = insn_lin(c, i, n / 8, true);                                          \
        U(n) *h = x86_atomic_host(c, i, la, n / 8), b = R##n(c, i->reg), a, r, old;         \
        if (likely(h)) {                                                                    \
            old = __atomic_load_n(h, __ATOMIC_RELAXED);                                     \
            do {                                                                            \
                a = LE_(n, old);                                                            \
                r = a + b;                                                                  \
            } while (!__atomic_compare_exchange_n(h, &old, LE_(n, r), false,                \
                                                  __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));     \
        } else {                                                                            \
            a = ld##n(c, i, la);                                                            \
            r = a + b;                                                                      \
            st##n(c, i, la, r);                                                             \
        }                                                                                   \
        x86_atomic_done(c, la, n / 8, h);                                                   \
        flags_add##n(c, a, b, r);                                                           \
        WR##n(c, i->reg, a);                                                                \
        NEXT;                                                                               \
    }
XADD(8, b_r, b_m, b_k)
XADD(16, wr, wm, wk)
XADD(32, lr, lm, lk)
XADD(64, qr, qm, qk)

/* The destination is written in any case (with its old value if they differ), so it must be
 * writable; rAX is written only on a mismatch, and then a 32-bit one clears the upper half. */
#define CMPXCHG(n, r_, m_, k_)                                                              \
    FAST_HANDLER(cmpxchg_##r_)                                                              \
    {                                                                                       \
        U(n) acc = R##n(c, ACC(n)), a = R##n(c, i->rm), r = acc - a;                        \
        flags_sub##n(c, acc, a, r);                                                         \
        if (!r) {                                                                           \
            WR##n(c, i->rm, R##n(c, i->reg));                                               \
        } else {                                                                            \
            WR##n(c, ACC(n), a);                                                            \
        }                                                                                   \
        NEXT;                                                                               \
    }                                                                                       \
    FAST_HANDLER(cmpxchg_##m_)                                                              \
    {                                                                                       \
        uint64_t la = insn_lin(c, i, n / 8, true);                                          \
        U(n) acc = R##n(c, ACC(n)), a = x86_rmw_ld(c, i, la, n / 8), r = acc - a;           \
        st##n(c, i, la, r ? a : R##n(c, i->reg));                                           \
        flags_sub##n(c, acc, a, r);                                                         \
        if (r) {                                                                            \
            WR##n(c, ACC(n), a);                                                            \
        }                                                                                   \
        NEXT;                                                                               \
    }                                                                                       \
    FAST_HANDLER(cmpxchg_##k_)                                                              \
    {                                                                                       \
        uint64_t la = insn_lin(c, i, n / 8, true);                                          \
        U(n) *h = x86_atomic_host(c, i, la, n / 8), acc = R##n(c, ACC(n)), a, r;            \
        if (likely(h)) {                                                                    \
            U(n) old = LE_(n, acc);                                                         \
            __atomic_compare_exchange_n(h, &old, LE_(n, R##n(c, i->reg)), false,            \
                                        __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);                \
            a = LE_(n, old);                                                                \
        } else {                                                                            \
            a = ld##n(c, i, la);                                                            \
            st##n(c, i, la, a == acc ? R##n(c, i->reg) : a);                                \
        }                                                                                   \
        x86_atomic_done(c, la, n / 8, h);                                                   \
        r = acc - a;                                                                        \
        flags_sub##n(c, acc, a, r);                                                         \
        if (r) {                                                                            \
            WR##n(c, ACC(n), a);                                                            \
        }                                                                                   \
        NEXT;                                                                               \
    }
CMPXCHG(8, b_r, b_m, b_k)
CMPXCHG(16, wr, wm, wk)
CMPXCHG(32, lr, lm, lk)
CMPXCHG(64, qr, qm, qk)

/* CMPXCHG8B, CMPXCHG16B: ZF alone is written. */
FAST_HANDLER(cmpxchg8b)
{
    uint64_t la = insn_lin(c, i, 8, true);
    uint64_t acc = (uint64_t)R32(c, R_EDX) << 32 | R32(c, R_EAX);
    uint64_t new = (uint64_t)R32(c, R_ECX) << 32 | R32(c, R_EBX), old = LE_(64, acc);
    uint64_t *h = x86_atomic_host(c, i, la, 8);
    if (likely(h)) {
        __atomic_compare_exchange_n(h, &old, LE_(64, new), false, __ATOMIC_SEQ_CST,
                                    __ATOMIC_SEQ_CST);
        old = LE_(64, old);
    } else {
        old = ld64(c, i, la);
        st64(c, i, la, old == acc ? new : old);
    }
    x86_atomic_done(c, la, 8, h);
    flags_write(c, FL_ZF, old == acc ? FL_ZF : 0);
    if (old != acc) {
        WR32(c, R_EAX, old);
        WR32(c, R_EDX, old >> 32);
    }
    NEXT;
}

/* 16 bytes: stops the others where the host has no such compare and exchange. */
HANDLER(cmpxchg16b)
{
    uint64_t la = insn_lin(c, i, 16, true);
    if (la & 15) {
        x86_raise_err_at(c, i, EXC_GP, 0);
    }
    uint64_t lo = c->r[R_EAX], hi = c->r[R_EDX];
    bool equal = x86_cmpxchg16(c, i, la, &lo, &hi, c->r[R_EBX], c->r[R_ECX]);
    flags_write(c, FL_ZF, equal ? FL_ZF : 0);
    if (!equal) {
        c->r[R_EAX] = lo;
        c->r[R_EDX] = hi;
    }
}
