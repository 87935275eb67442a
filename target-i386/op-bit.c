/* SPDX-License-Identifier: MIT */
/*
 * Bits: BT BTS BTR BTC, BSF BSR TZCNT LZCNT POPCNT, BMI1, BMI2, ADCX ADOX, CRC32.
 */
#include "target-i386/interp.h"

#define U(n) uint##n##_t
#define S(n) int##n##_t
#define OPERAND(n) (i->flags & IF_MEM ? m_ld##n(c, i) : R##n(c, i->rm))

/* ---- BT BTS BTR BTC -------------------------------------------------------------------------- */

/* Only CF is defined; the others stay as they are. */
static inline void set_cf(X86CPU *c, bool cf)
{
    bool of = flag_of(c);
    c->fl_cf = (c->fl_cf & ~1u) | cf;
    c->fl_x = (c->fl_x & ~(1ull << 63)) | (uint64_t)(of ^ cf) << 63;
}

/* Address of the n-bit word that holds bit `index` of the string at the operand: a register
 * index is signed and not limited to the word. */
static inline uint64_t bit_lin(X86CPU *c, const Insn *i, int64_t index, unsigned n, bool write)
{
    int64_t off = (index >> (n == 64 ? 6 : n == 32 ? 5 : 4)) * (n / 8);
    return insn_lin_at(c, i, off, n / 8, write);
}

#define BIT_NONE(a, m) (a)
#define BIT_SET(a, m)  ((a) | (m))
#define BIT_CLR(a, m)  ((a) & ~(m))
#define BIT_FLIP(a, m) ((a) ^ (m))

#define BIT_OP(name, n, s_, op, index)                                                      \
    FAST_HANDLER(name##_##s_##r)                                                            \
    {                                                                                       \
        unsigned k = (index) & (n - 1);                                                     \
        U(n) a = R##n(c, i->rm);                                                            \
        set_cf(c, a >> k & 1);                                                              \
        WR##n(c, i->rm, op(a, (U(n))1 << k));                                               \
        NEXT;                                                                               \
    }                                                                                       \
    FAST_HANDLER(name##_##s_##m)                                                            \
    {                                                                                       \
        int64_t at = (index);                                                               \
        uint64_t la = bit_lin(c, i, at, n, true);                                           \
        U(n) a = x86_rmw_ld(c, i, la, n / 8);                                               \
        st##n(c, i, la, op(a, (U(n))1 << (at & (n - 1))));                                  \
        set_cf(c, a >> (at & (n - 1)) & 1);                                                 \
        NEXT;                                                                               \
    }                                                                                       \
    FAST_HANDLER(name##_##s_##k)                                                            \
    {                                                                                       \
        int64_t at = (index);                                                               \
        uint64_t la = bit_lin(c, i, at, n, true);                                           \
        U(n) *h = x86_atomic_host(c, i, la, n / 8), m = (U(n))1 << (at & (n - 1)), a;       \
        if (likely(h)) {                                                                    \
            U(n) old = __atomic_load_n(h, __ATOMIC_RELAXED);                                \
            do {                                                                            \
                a = LE_(n, old);                                                            \
            } while (!__atomic_compare_exchange_n(h, &old, LE_(n, (U(n))op(a, m)), false,   \
                                                  __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));     \
        } else {                                                                            \
            a = ld##n(c, i, la);                                                            \
            st##n(c, i, la, op(a, m));                                                      \
        }                                                                                   \
        x86_atomic_done(c, la, n / 8, h);                                                   \
        set_cf(c, (a & m) != 0);                                                            \
        NEXT;                                                                               \
    }
/* BT reads only. */
#define BIT_TEST(name, n, s_, index)                                                        \
    FAST_HANDLER(name##_##s_##r)                                                            \
    {                                                                                       \
        set_cf(c, R##n(c, i->rm) >> ((index) & (n - 1)) & 1);                               \
        NEXT;                                                                               \
    }                                                                                       \
    FAST_HANDLER(name##_##s_##m)                                                            \
    {                                                                                       \
        int64_t at = (index);                                                               \
        U(n) a = ld##n(c, i, bit_lin(c, i, at, n, false));                                  \
        set_cf(c, a >> (at & (n - 1)) & 1);                                                 \
        NEXT;                                                                               \
    }
#define INDEX_G(n) ((S(n))R##n(c, i->reg))
#define INDEX_I(n) ((int64_t)(i->imm & (n - 1)))

#define BIT_SIZES(n, s_)                                                                    \
    BIT_TEST(bt_eg, n, s_, INDEX_G(n))                                                      \
    BIT_TEST(bt_ei, n, s_, INDEX_I(n))                                                      \
    BIT_OP(bts_eg, n, s_, BIT_SET, INDEX_G(n))                                              \
    BIT_OP(bts_ei, n, s_, BIT_SET, INDEX_I(n))                                              \
    BIT_OP(btr_eg, n, s_, BIT_CLR, INDEX_G(n))                                              \
    BIT_OP(btr_ei, n, s_, BIT_CLR, INDEX_I(n))                                              \
    BIT_OP(btc_eg, n, s_, BIT_FLIP, INDEX_G(n))                                             \
    BIT_OP(btc_ei, n, s_, BIT_FLIP, INDEX_I(n))
BIT_SIZES(16, w)
BIT_SIZES(32, l)
BIT_SIZES(64, q)

/* ---- scans and counts ----------------------------------------------------------------------------- */

/*
 * BSF, BSR: a zero source sets ZF and leaves the destination as it was (all 64 bits of it, on
 * the processors that document it).  The other flags are undefined; here: of the source, as
 * after TEST.
 */
#define SCAN(n, s_, ctz, clz)                                                               \
    FAST_HANDLER(bsf_##s_)                                                                  \
    {                                                                                       \
        U(n) a = OPERAND(n);                                                                \
        flags_logic##n(c, a);                                                               \
        if (a) {                                                                            \
            WR##n(c, i->reg, ctz(a));                                                       \
        }                                                                                   \
        NEXT;                                                                               \
    }                                                                                       \
    FAST_HANDLER(bsr_##s_)                                                                  \
    {                                                                                       \
        U(n) a = OPERAND(n);                                                                \
        flags_logic##n(c, a);                                                               \
        if (a) {                                                                            \
            WR##n(c, i->reg, 63 - __builtin_clzll(a));                                      \
        }                                                                                   \
        NEXT;                                                                               \
    }                                                                                       \
    FAST_HANDLER(tzcnt_##s_)                                                                \
    {                                                                                       \
        U(n) a = OPERAND(n), r = a ? ctz(a) : n;                                            \
        flags_logic##n(c, r);                                                               \
        set_cf(c, !a);                                                                      \
        WR##n(c, i->reg, r);                                                                \
        NEXT;                                                                               \
    }                                                                                       \
    FAST_HANDLER(lzcnt_##s_)                                                                \
    {                                                                                       \
        U(n) a = OPERAND(n), r = a ? __builtin_clzll(a) - (64 - n) : n;                     \
        flags_logic##n(c, r);                                                               \
        set_cf(c, !a);                                                                      \
        WR##n(c, i->reg, r);                                                                \
        NEXT;                                                                               \
    }                                                                                       \
    /* ZF alone may be set */                                                               \
    FAST_HANDLER(popcnt_##s_)                                                               \
    {                                                                                       \
        U(n) a = OPERAND(n);                                                                \
        flags_write_all(c, a ? 0 : FL_ZF);                                                  \
        WR##n(c, i->reg, __builtin_popcountll(a));                                          \
        NEXT;                                                                               \
    }
SCAN(16, w, __builtin_ctz, __builtin_clz)
SCAN(32, l, __builtin_ctz, __builtin_clz)
SCAN(64, q, __builtin_ctzll, __builtin_clzll)

/* ---- BMI1 ------------------------------------------------------------------------------------------ */

/* Results of the logical kind: OF clear, CF as said; AF and PF undefined. */
#define BMI_FLAGS(n, r, cf)                                                                 \
    do {                                                                                    \
        c->fl_res = (int64_t)(S(n))(r);                                                     \
        c->fl_cf = (cf);                                                                    \
        c->fl_x = (uint64_t)c->fl_cf << 63;                                                 \
    } while (0)

/* Bits [start, start+len) of a; both may exceed the width. */
static inline uint64_t bextr(uint64_t a, unsigned start, unsigned len, unsigned width)
{
    if (start >= width) {
        return 0;
    }
    a >>= start;
    return len < 64 ? a & ((1ull << len) - 1) : a;
}

static uint64_t pdep(uint64_t src, uint64_t mask)
{
    uint64_t r = 0;
    for (; mask; mask &= mask - 1, src >>= 1) {
        if (src & 1) {
            r |= mask & -mask;
        }
    }
    return r;
}
static uint64_t pext(uint64_t src, uint64_t mask)
{
    uint64_t r = 0;
    for (unsigned k = 0; mask; mask &= mask - 1, k++) {
        if (src & (mask & -mask)) {
            r |= 1ull << k;
        }
    }
    return r;
}

#define BMI(n, s_)                                                                          \
    FAST_HANDLER(andn_##s_)                                                                 \
    {                                                                                       \
        U(n) r = ~R##n(c, i->vvvv) & OPERAND(n);                                            \
        BMI_FLAGS(n, r, 0);                                                                 \
        WR##n(c, i->reg, r);                                                                \
        NEXT;                                                                               \
    }                                                                                       \
    FAST_HANDLER(bextr_##s_)                                                                \
    {                                                                                       \
        U(n) a = OPERAND(n);                                                                \
        uint16_t ctl = R16(c, i->vvvv);                                                     \
        U(n) r = bextr(a, ctl & 0xff, ctl >> 8, n);                                         \
        BMI_FLAGS(n, r, 0);                                                                 \
        WR##n(c, i->reg, r);                                                                \
        NEXT;                                                                               \
    }                                                                                       \
    FAST_HANDLER(blsi_##s_)                                                                 \
    {                                                                                       \
        U(n) a = OPERAND(n), r = a & -a;                                                    \
        BMI_FLAGS(n, r, a != 0);                                                            \
        WR##n(c, i->vvvv, r);                                                               \
        NEXT;                                                                               \
    }                                                                                       \
    FAST_HANDLER(blsr_##s_)                                                                 \
    {                                                                                       \
        U(n) a = OPERAND(n), r = a & (a - 1);                                               \
        BMI_FLAGS(n, r, a == 0);                                                            \
        WR##n(c, i->vvvv, r);                                                               \
        NEXT;                                                                               \
    }                                                                                       \
    FAST_HANDLER(blsmsk_##s_)                                                               \
    {                                                                                       \
        U(n) a = OPERAND(n), r = a ^ (a - 1);                                               \
        BMI_FLAGS(n, r, a == 0);                                                            \
        WR##n(c, i->vvvv, r);                                                               \
        NEXT;                                                                               \
    }                                                                                       \
    FAST_HANDLER(bzhi_##s_)                                                                 \
    {                                                                                       \
        U(n) a = OPERAND(n), r;                                                             \
        unsigned k = R##n(c, i->vvvv) & 0xff;                                               \
        r = k < n ? a & (((U(n))1 << k) - 1) : a;                                           \
        BMI_FLAGS(n, r, k > n - 1);                                                         \
        WR##n(c, i->reg, r);                                                                \
        NEXT;                                                                               \
    }                                                                                       \
    FAST_HANDLER(pdep_##s_)                                                                 \
    {                                                                                       \
        U(n) mask = OPERAND(n);                                                             \
        WR##n(c, i->reg, pdep(R##n(c, i->vvvv), mask));                                     \
        NEXT;                                                                               \
    }                                                                                       \
    FAST_HANDLER(pext_##s_)                                                                 \
    {                                                                                       \
        U(n) mask = OPERAND(n);                                                             \
        WR##n(c, i->reg, pext(R##n(c, i->vvvv), mask));                                     \
        NEXT;                                                                               \
    }                                                                                       \
    FAST_HANDLER(rorx_##s_)                                                                 \
    {                                                                                       \
        U(n) a = OPERAND(n);                                                                \
        unsigned k = i->imm & (n - 1);                                                      \
        WR##n(c, i->reg, k ? a >> k | a << (n - k) : a);                                    \
        NEXT;                                                                               \
    }                                                                                       \
    FAST_HANDLER(sarx_##s_)                                                                 \
    {                                                                                       \
        S(n) a = OPERAND(n);                                                                \
        WR##n(c, i->reg, a >> (R##n(c, i->vvvv) & (n - 1)));                                \
        NEXT;                                                                               \
    }                                                                                       \
    FAST_HANDLER(shlx_##s_)                                                                 \
    {                                                                                       \
        U(n) a = OPERAND(n);                                                                \
        WR##n(c, i->reg, a << (R##n(c, i->vvvv) & (n - 1)));                                \
        NEXT;                                                                               \
    }                                                                                       \
    FAST_HANDLER(shrx_##s_)                                                                 \
    {                                                                                       \
        U(n) a = OPERAND(n);                                                                \
        WR##n(c, i->reg, a >> (R##n(c, i->vvvv) & (n - 1)));                                \
        NEXT;                                                                               \
    }                                                                                       \
    /* ADCX carries through CF, ADOX through OF; neither touches another flag */            \
    FAST_HANDLER(adcx_##s_)                                                                 \
    {                                                                                       \
        U(n) b = OPERAND(n), a = R##n(c, i->reg), t = a + b, r = t + flag_cf(c);            \
        set_cf(c, t < a || r < t);                                                          \
        WR##n(c, i->reg, r);                                                                \
        NEXT;                                                                               \
    }                                                                                       \
    FAST_HANDLER(adox_##s_)                                                                 \
    {                                                                                       \
        U(n) b = OPERAND(n), a = R##n(c, i->reg), t = a + b, r = t + flag_of(c);            \
        bool of = t < a || r < t;                                                           \
        c->fl_x = (c->fl_x & ~(1ull << 63)) | (uint64_t)(of ^ flag_cf(c)) << 63;            \
        WR##n(c, i->reg, r);                                                                \
        NEXT;                                                                               \
    }
BMI(32, l)
BMI(64, q)

/* ---- CRC32 (SSE4.2): CRC-32C, bit-reflected 11EDC6F41h ------------------------------------------------ */

static uint32_t crc32c(uint32_t crc, uint64_t data, unsigned bits)
{
    static uint32_t table[256];
    if (unlikely(!table[1])) {
        for (unsigned n = 255; n > 0; n--) {        /* entry 1 last: it says "done" */
            uint32_t v = n;
            for (unsigned k = 0; k < 8; k++) {
                v = v >> 1 ^ (v & 1 ? 0x82f63b78 : 0);
            }
            __atomic_store_n(&table[n], v, __ATOMIC_RELEASE);
        }
    }
    for (; bits; bits -= 8, data >>= 8) {
        crc = crc >> 8 ^ table[(crc ^ data) & 0xff];
    }
    return crc;
}
#define CRC(n, s_)                                                                          \
    FAST_HANDLER(crc32_##s_)                                                                \
    {                                                                                       \
        uint64_t data = OPERAND(n);                                                         \
        WR64(c, i->reg, crc32c(R32(c, i->reg), data, n));                                   \
        NEXT;                                                                               \
    }
CRC(8, b)
CRC(16, w)
CRC(32, l)
CRC(64, q)
