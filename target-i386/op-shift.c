/* SPDX-License-Identifier: MIT */
/*
 * Shifts and rotates: ROL ROR RCL RCR SHL SHR SAR by 1, CL or an immediate; SHLD, SHRD.
 *
 * A count of zero (after masking to 5 or 6 bits) changes no flag.  OF is architecturally
 * defined for a count of one only; for others it is computed by the same rule, as processors
 * do for most of them.  AF is left clear where undefined.
 */
#include "target-i386/interp.h"

#define U(n) uint##n##_t
#define S(n) int##n##_t
#define MSB(n, v) ((bool)((v) >> (n - 1) & 1))

/* CF and OF only: rotates keep the rest. */
static inline void set_cf_of(X86CPU *c, bool cf, bool of)
{
    c->fl_cf = (c->fl_cf & ~1u) | cf;
    c->fl_x = (c->fl_x & 0x10) | (uint64_t)(of ^ cf) << 63;
}
static inline void set_shift_flags(X86CPU *c, int64_t res, bool cf, bool of)
{
    c->fl_res = res;
    c->fl_cf = cf;
    c->fl_x = (uint64_t)(of ^ cf) << 63;
}

/* ---- the operations: count k is masked and not zero --------------------------------------------- */

/* Counts up to 31 on 8 and 16 bits: done in 64-bit arithmetic, bit n is what fell out last. */
#define SHIFTS(n)                                                                           \
    static inline U(n) do_shl##n(X86CPU *c, U(n) a, unsigned k)                             \
    {                                                                                       \
        U(n) r = n == 64 ? (U(n))((uint64_t)a << k) : (U(n))((uint64_t)a << k);             \
        bool cf = n == 64 ? (uint64_t)a >> (64 - k) & 1 : (uint64_t)a << k >> n & 1;        \
        set_shift_flags(c, (S(n))r, cf, MSB(n, r) ^ cf);                                    \
        return r;                                                                           \
    }                                                                                       \
    static inline U(n) do_shr##n(X86CPU *c, U(n) a, unsigned k)                             \
    {                                                                                       \
        U(n) r = (uint64_t)a >> k;                                                          \
        set_shift_flags(c, (S(n))r, (uint64_t)a >> (k - 1) & 1, MSB(n, r << 1 ^ r));        \
        return r;                                                                           \
    }                                                                                       \
    static inline U(n) do_sar##n(X86CPU *c, U(n) a, unsigned k)                             \
    {                                                                                       \
        int64_t w = (S(n))a;                                                                \
        U(n) r = w >> k;                                                                    \
        set_shift_flags(c, (S(n))r, w >> (k - 1) & 1, false);                               \
        return r;                                                                           \
    }                                                                                       \
    static inline U(n) do_rol##n(X86CPU *c, U(n) a, unsigned k)                             \
    {                                                                                       \
        k &= n - 1;                                                                         \
        U(n) r = k ? (U(n))(a << k | a >> (n - k)) : a;                                     \
        set_cf_of(c, r & 1, MSB(n, r) ^ (r & 1));                                           \
        return r;                                                                           \
    }                                                                                       \
    static inline U(n) do_ror##n(X86CPU *c, U(n) a, unsigned k)                             \
    {                                                                                       \
        k &= n - 1;                                                                         \
        U(n) r = k ? (U(n))(a >> k | a << (n - k)) : a;                                     \
        set_cf_of(c, MSB(n, r), MSB(n, r ^ r << 1));                                        \
        return r;                                                                           \
    }                                                                                       \
    /* a rotate of n + 1 bits, CF above the top bit */                                      \
    static inline U(n) do_rcl##n(X86CPU *c, U(n) a, unsigned k)                             \
    {                                                                                       \
        k %= n + 1;                                                                         \
        if (!k) {                                                                           \
            return a;                                                                       \
        }                                                                                   \
        unsigned __int128 w = (unsigned __int128)flag_cf(c) << n | a;                       \
        w = w << k | w >> (n + 1 - k);                                                      \
        U(n) r = w;                                                                         \
        bool cf = w >> n & 1;                                                               \
        set_cf_of(c, cf, MSB(n, r) ^ cf);                                                   \
        return r;                                                                           \
    }                                                                                       \
    static inline U(n) do_rcr##n(X86CPU *c, U(n) a, unsigned k)                             \
    {                                                                                       \
        k %= n + 1;                                                                         \
        if (!k) {                                                                           \
            return a;                                                                       \
        }                                                                                   \
        unsigned __int128 w = (unsigned __int128)flag_cf(c) << n | a;                       \
        w = w >> k | w << (n + 1 - k);                                                      \
        U(n) r = w;                                                                         \
        set_cf_of(c, w >> n & 1, MSB(n, r ^ r << 1));                                       \
        return r;                                                                           \
    }
SHIFTS(8)
SHIFTS(16)
SHIFTS(32)
SHIFTS(64)

/* ---- the forms ------------------------------------------------------------------------------------ */

#define COUNT_MASK(n) (n == 64 ? 63 : 31)
#define COUNT_1(c, i) 1u
#define COUNT_I(c, i) (unsigned)(i)->imm
#define COUNT_C(c, i) (unsigned)R8(c, REG8(R_ECX))

#define SHIFT_FORM(name, op, n, count)                                                      \
    FAST_HANDLER(name##r)                                                                   \
    {                                                                                       \
        unsigned k = count(c, i) & COUNT_MASK(n);                                           \
        U(n) a = R##n(c, i->rm);                                                            \
        WR##n(c, i->rm, likely(k) ? do_##op##n(c, a, k) : a);                               \
        NEXT;                                                                               \
    }                                                                                       \
    FAST_HANDLER(name##m)                                                                   \
    {                                                                                       \
        unsigned k = count(c, i) & COUNT_MASK(n);                                           \
        U(n) *h = fast_host(c, i, TLB_WRITE, n / 8);                                        \
        if (likely(h)) {                                                                    \
            U(n) a = ld##n##_le(h);                                                         \
            st##n##_le(h, likely(k) ? do_##op##n(c, a, k) : a);                             \
            NEXT;                                                                           \
        }                                                                                   \
        uint64_t la = insn_lin(c, i, n / 8, true);                                          \
        U(n) a = x86_rmw_ld(c, i, la, n / 8);                                               \
        st##n(c, i, la, k ? do_##op##n(c, a, k) : a);                                       \
        NEXT;                                                                               \
    }
#define SHIFT_SIZES(op, x, count)                                                           \
    SHIFT_FORM(op##_##x##_b_, op, 8, count)                                                 \
    SHIFT_FORM(op##_##x##_w, op, 16, count)                                                 \
    SHIFT_FORM(op##_##x##_l, op, 32, count)                                                 \
    SHIFT_FORM(op##_##x##_q, op, 64, count)
#define SHIFT(op) \
    SHIFT_SIZES(op, 1, COUNT_1) SHIFT_SIZES(op, i, COUNT_I) SHIFT_SIZES(op, c, COUNT_C)
SHIFT(rol)
SHIFT(ror)
SHIFT(rcl)
SHIFT(rcr)
SHIFT(shl)
SHIFT(shr)
SHIFT(sar)

/* ---- SHLD, SHRD -------------------------------------------------------------------------------------- */

/*
 * With 16 bits and a count above 16 the result is undefined; processors go on shifting in the
 * destination itself, i.e. shift the 48-bit string dst:src:dst.
 */
static inline uint16_t do_shld16(X86CPU *c, uint16_t a, uint16_t b, unsigned k)
{
    uint64_t w = (uint64_t)a << 32 | (uint64_t)b << 16 | a;
    uint16_t r = w << k >> 32;
    bool cf = w >> (48 - k) & 1;
    set_shift_flags(c, (int16_t)r, cf, MSB(16, r ^ a));
    return r;
}
static inline uint16_t do_shrd16(X86CPU *c, uint16_t a, uint16_t b, unsigned k)
{
    uint64_t w = (uint64_t)a << 32 | (uint64_t)b << 16 | a;
    uint16_t r = w >> k;
    set_shift_flags(c, (int16_t)r, w >> (k - 1) & 1, MSB(16, r ^ a));
    return r;
}
#define SHXD(n)                                                                             \
    static inline U(n) do_shld##n(X86CPU *c, U(n) a, U(n) b, unsigned k)                    \
    {                                                                                       \
        U(n) r = a << k | b >> (n - k);                                                     \
        set_shift_flags(c, (S(n))r, a >> (n - k) & 1, MSB(n, r ^ a));                       \
        return r;                                                                           \
    }                                                                                       \
    static inline U(n) do_shrd##n(X86CPU *c, U(n) a, U(n) b, unsigned k)                    \
    {                                                                                       \
        U(n) r = a >> k | b << (n - k);                                                     \
        set_shift_flags(c, (S(n))r, a >> (k - 1) & 1, MSB(n, r ^ a));                       \
        return r;                                                                           \
    }
SHXD(32)
SHXD(64)

#define SHXD_FORM(name, op, n, count)                                                       \
    FAST_HANDLER(name##r)                                                                   \
    {                                                                                       \
        unsigned k = count(c, i) & COUNT_MASK(n);                                           \
        U(n) a = R##n(c, i->rm);                                                            \
        WR##n(c, i->rm, likely(k) ? do_##op##n(c, a, R##n(c, i->reg), k) : a);              \
        NEXT;                                                                               \
    }                                                                                       \
    FAST_HANDLER(name##m)                                                                   \
    {                                                                                       \
        unsigned k = count(c, i) & COUNT_MASK(n);                                           \
        uint64_t la = insn_lin(c, i, n / 8, true);                                          \
        U(n) a = x86_rmw_ld(c, i, la, n / 8);                                               \
        st##n(c, i, la, k ? do_##op##n(c, a, R##n(c, i->reg), k) : a);                      \
        NEXT;                                                                               \
    }
#define SHXD_SIZES(op, x, count)                                                            \
    SHXD_FORM(op##_##x##_w, op, 16, count)                                                  \
    SHXD_FORM(op##_##x##_l, op, 32, count)                                                  \
    SHXD_FORM(op##_##x##_q, op, 64, count)
SHXD_SIZES(shld, i, COUNT_I)
SHXD_SIZES(shld, c, COUNT_C)
SHXD_SIZES(shrd, i, COUNT_I)
SHXD_SIZES(shrd, c, COUNT_C)
