/* SPDX-License-Identifier: MIT */
/*
 * Between the 80-bit format and all others: integers, f32, f64, packed BCD; the constants.
 *
 * Stores to memory differ from arithmetic: an unmasked overflow or underflow does not scale
 * the result, nothing is stored and inexactness is not looked at; a denormal operand is not
 * flagged.
 */
#include "fpu/parts.h"

/* ---- Integers ---- */

F80 i64_to_f80(int64_t a)
{
    uint64_t v = a < 0 ? -(uint64_t)a : (uint64_t)a;
    if (v == 0) {
        return (F80) { 0, 0 };
    }
    int shift = __builtin_clzll(v);
    return f80_make(a < 0, F80_BIAS + 63 - shift, v << shift);
}

/* To a signed integer of the given width. */
static int64_t to_int(F80 a, unsigned rc, unsigned bits, FpEnv *e)
{
    Num x = f80_unpack(a);
    bool inexact = false, up = false, over = true;
    uint64_t v = 0, max = (~0ull >> (65 - bits)) + x.sign;

    e->c1 = false;
    if (!num_is_nan(x)) {
        v = num_to_int(x, rc, &inexact, &up, &over);
    }
    if (over || v > max) {
        e->flags |= FP_IE;
        return (int64_t)(~0ull << (bits - 1));
    }
    if (inexact) {
        e->flags |= FP_PE;
        e->c1 = up;
    }
    return x.sign ? -v : v;
}

int16_t f80_to_i16(F80 a, unsigned rc, FpEnv *e)
{
    return to_int(a, rc, 16, e);
}

int32_t f80_to_i32(F80 a, unsigned rc, FpEnv *e)
{
    return to_int(a, rc, 32, e);
}

int64_t f80_to_i64(F80 a, unsigned rc, FpEnv *e)
{
    return to_int(a, rc, 64, e);
}

/* ---- f32 and f64 ---- */

/* Exact; *denormal, *snan: what it was.  A signalling NaN stays one. */
static F80 widen(uint64_t bits, const Format *f, bool *denormal, bool *snan)
{
    unsigned fb = f->frac_bits;
    uint64_t frac = bits << (64 - fb) >> 1;     /* below the integer bit */
    int exp = bits >> fb & ((1u << f->exp_bits) - 1);
    bool sign = bits >> (fb + f->exp_bits) & 1;

    *denormal = *snan = false;
    if (exp == 2 * f->bias + 1) {
        *snan = frac && !(frac >> 62);
        return f80_make(sign, F80_EXP_MAX, frac | F80_INT_BIT);
    }
    if (exp != 0) {
        return f80_make(sign, exp - f->bias + F80_BIAS, frac | F80_INT_BIT);
    }
    if (frac == 0) {
        return f80_make(sign, 0, 0);
    }
    int shift = __builtin_clzll(frac);
    *denormal = true;
    return f80_make(sign, 1 - f->bias - shift + F80_BIAS, frac << shift);
}

static F80 operand(uint64_t bits, const Format *f, FpEnv *e)
{
    bool denormal, snan;
    F80 r = widen(bits, f, &denormal, &snan);
    e->de |= denormal;
    return r;
}

static F80 load(uint64_t bits, const Format *f, FpEnv *e)
{
    bool denormal, snan;
    F80 r = widen(bits, f, &denormal, &snan);

    if (snan) {
        e->flags |= FP_IE;
        r.frac |= F80_QUIET_BIT;
    }
    if (denormal) {
        e->flags |= FP_DE;
    }
    e->c1 = false;
    return r;
}

F80 f32_widen(uint32_t a, FpEnv *e)  { return operand(a, &fmt_f32, e); }
F80 f64_widen(uint64_t a, FpEnv *e)  { return operand(a, &fmt_f64, e); }
F80 f32_to_f80(uint32_t a, FpEnv *e) { return load(a, &fmt_f32, e); }
F80 f64_to_f80(uint64_t a, FpEnv *e) { return load(a, &fmt_f64, e); }

static uint64_t narrow(F80 a, const Format *f, FpEnv *e)
{
    Num x = f80_unpack(a);
    unsigned top = 2 * f->bias + 1;
    F80 nan;

    e->c1 = false;
    if (f80_nan1(a, x, &nan, e)) {
        return fmt_pack(f80_sign(nan), top, nan.frac >> (63 - f->frac_bits), f);
    }
    if (x.cls == CLS_INF) {
        return fmt_pack(x.sign, top, 0, f);
    }
    if (x.cls == CLS_ZERO) {
        return fmt_pack(x.sign, 0, 0, f);
    }
    uint8_t before = e->flags;
    e->flags = 0;
    Packed p = fp_round(num_widen(x), f, f->prec, e->rc, e);
    if (e->flags & ~e->masks & (FP_OE | FP_UE)) {
        e->flags &= ~FP_PE;
        e->c1 = false;
    }
    e->flags |= before;
    return fmt_pack(x.sign, p.exp, p.frac, f);
}

uint32_t f80_to_f32(F80 a, FpEnv *e)
{
    return narrow(a, &fmt_f32, e);
}

uint64_t f80_to_f64(F80 a, FpEnv *e)
{
    return narrow(a, &fmt_f64, e);
}

/* ---- Packed BCD ---- */

F80 bcd_to_f80(const uint8_t bcd[10])
{
    uint64_t v = 0;
    for (int i = 8; i >= 0; i--) {
        v = v * 100 + (bcd[i] >> 4) * 10 + (bcd[i] & 15);
    }
    F80 r = i64_to_f80((int64_t)v);
    r.se |= (bcd[9] & 0x80) << 8;
    return r;
}

void f80_to_bcd(F80 a, uint8_t bcd[10], FpEnv *e)
{
    FpEnv try = *e;
    int64_t v = f80_to_i64(a, e->rc, &try);
    uint64_t magnitude = v < 0 ? -(uint64_t)v : (uint64_t)v;

    if (magnitude > 999999999999999999ull) {
        static const uint8_t indefinite[10] = { [7] = 0xc0, 0xff, 0xff };
        for (int i = 0; i < 10; i++) {
            bcd[i] = indefinite[i];
        }
        e->flags |= FP_IE;
        e->c1 = false;
        return;
    }
    *e = try;
    for (int i = 0; i < 9; i++) {
        bcd[i] = magnitude / 10 % 10 << 4 | magnitude % 10;
        magnitude /= 100;
    }
    bcd[9] = f80_sign(a) ? 0x80 : 0;
}

/* ---- Constants ---- */

/* The internal constants have more bits than the result: down is the truncated one, and
 * nearest_up tells which way rounding to nearest goes. */
F80 f80_constant(unsigned which, const FpEnv *e)
{
    static const struct {
        uint64_t frac;
        uint16_t exp;
        bool exact, nearest_up;
    } table[] = {
        [F80_CONST_1]   = { 0x8000000000000000, 0x3fff, true,  false },
        [F80_CONST_L2T] = { 0xd49a784bcd1b8afe, 0x4000, false, false },
        [F80_CONST_L2E] = { 0xb8aa3b295c17f0bb, 0x3fff, false, true },
        [F80_CONST_PI]  = { 0xc90fdaa22168c234, 0x4000, false, true },
        [F80_CONST_LG2] = { 0x9a209a84fbcff798, 0x3ffd, false, true },
        [F80_CONST_LN2] = { 0xb17217f7d1cf79ab, 0x3ffe, false, true },
        [F80_CONST_0]   = { 0, 0, true, false },
    };
    bool up = !table[which].exact &&
              (e->rc == FP_RC_UP || (e->rc == FP_RC_NEAREST && table[which].nearest_up));
    return f80_make(false, table[which].exp, table[which].frac + up);
}
