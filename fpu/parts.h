/* SPDX-License-Identifier: MIT */
/*
 * Inside of the software floating point: a number taken apart, the four operations on such
 * numbers, and the one place where results are rounded and put together (fp_round, in
 * round.c).  Nothing outside fpu/ includes this.
 */
#ifndef FPU_PARTS_H
#define FPU_PARTS_H

#include "fpu/softfloat.h"
#include "fpu/wide.h"

typedef enum {
    CLS_ZERO, CLS_DENORMAL, CLS_NORMAL, CLS_INF, CLS_QNAN, CLS_SNAN, CLS_UNSUPPORTED
} NumClass;

/*
 * An operand.  Finite and not zero: value = frac / 2^63 * 2^exp, bit 63 of frac set (denormals
 * are normalised, their class remembers them).  NaN: frac holds the payload, left-aligned as in
 * F80, with the class telling quiet from signalling.
 */
typedef struct Num {
    uint64_t frac;
    int32_t exp;
    bool sign;
    uint8_t cls;
} Num;

/*
 * A finite result before rounding: value = (sig / 2^127) * 2^exp, bit 127 of sig set unless the
 * whole is zero; the lowest bit stands for everything that was cut off.
 */
typedef struct Wide {
    U128 sig;
    int32_t exp;
    bool sign;
} Wide;

/* A binary format. */
typedef struct Format {
    uint8_t prec;               /* significant bits, the leading one included */
    uint8_t frac_bits;          /* bits stored for them */
    uint8_t exp_bits;
    int16_t bias;
    uint16_t wrap;              /* unmasked overflow/underflow scales by 2^wrap; 0: it
                                   suppresses the result */
} Format;

extern const Format fmt_f16, fmt_f32, fmt_f64, fmt_f80;

/* A rounded result: biased exponent and significand of the format (for F80 all 64 bits). */
typedef struct Packed {
    uint64_t frac;
    uint32_t exp;
} Packed;

/*
 * Round w to prec bits (at most f->prec) by mode rc, with overflow, underflow, the flags and
 * e->c1.  w is not zero.
 */
Packed fp_round(Wide w, const Format *f, unsigned prec, unsigned rc, FpEnv *e);

/* The numbers' own arithmetic: finite, non-zero operands.  Only sums and differences may be
 * zero (then sig is zero). */
Wide num_add(Wide a, Wide b);
Wide num_mul(Num a, Num b);
Wide num_div(Num a, Num b);
Wide num_sqrt(Num a);
FpRel num_compare(Num a, Num b);                /* zeros and infinities too */

static inline Wide num_widen(Num a)
{
    return (Wide) { .sig = { a.frac, 0 }, .exp = a.exp, .sign = a.sign };
}

static inline bool num_is_nan(Num a)
{
    return a.cls >= CLS_QNAN;
}

static inline Num num_zero(bool sign)
{
    return (Num) { .sign = sign, .cls = CLS_ZERO };
}

/* The magnitude of a rounded to an integer by rc, for |a| < 2^64 (else *over).  *inexact: a was
 * not integral; *up: the magnitude grew. */
uint64_t num_to_int(Num a, unsigned rc, bool *inexact, bool *up, bool *over);

/* Does rounding by rc raise the magnitude?  rest: the part cut off, as a fraction of 2^64;
 * odd: the last kept bit. */
static inline bool round_up(unsigned rc, bool sign, bool odd, uint64_t rest)
{
    switch (rc) {
    case FP_RC_NEAREST: return rest > 1ull << 63 || (rest == 1ull << 63 && odd);
    case FP_RC_DOWN:    return sign && rest;
    case FP_RC_UP:      return !sign && rest;
    default:            return false;
    }
}

/* Sign, biased exponent and significand (its stored bits are taken) as an encoding of f. */
static inline uint64_t fmt_pack(bool sign, uint32_t exp, uint64_t frac, const Format *f)
{
    return (uint64_t)sign << (f->frac_bits + f->exp_bits) | (uint64_t)exp << f->frac_bits |
           (frac & ((1ull << f->frac_bits) - 1));
}

/* ---- F80 ---- */

#define F80_INT_BIT   (1ull << 63)
#define F80_QUIET_BIT (1ull << 62)
#define F80_BIAS      16383
#define F80_EXP_MAX   0x7fff

static inline F80 f80_infinity(bool sign)
{
    return f80_make(sign, F80_EXP_MAX, F80_INT_BIT);
}

static inline F80 f80_zero(bool sign)
{
    return f80_make(sign, 0, 0);
}

Num f80_unpack(F80 a);
/* Round to F80 with all 64 bits, whatever the precision control. */
F80 f80_round_pack(Wide w, FpEnv *e);
/* NaN handling of one or two operands: true and the result in *r if a or b is a NaN or
 * unsupported. */
bool f80_nan1(F80 a, Num na, F80 *r, FpEnv *e);
bool f80_nan2(F80 a, Num na, F80 b, Num nb, F80 *r, FpEnv *e);
F80 f80_invalid(FpEnv *e);
/* Raise DE if an operand is denormal; false if that stops the operation. */
bool f80_denormal(Num a, Num b, FpEnv *e);

#endif
