/* SPDX-License-Identifier: MIT */
/*
 * IEEE 754 arithmetic in software, with the x86 answers to everything the standard leaves
 * open: SSE and x87 NaN selection, denormal flag, integer indefinite, tininess after
 * rounding, unmasked overflow and underflow, x87 precision control and 80-bit encodings.
 * Pure functions of their operands and *e: no host floating point, any thread, no locks.
 *
 * f16, f32 and f64 are plain integers holding the encoding and follow SSE rules; F80 follows
 * x87 rules.  Flags only ever get set in e->flags; the caller clears them.
 *
 * Exceptions that prevent the result (unmasked ones): the functions still return a value, in
 * general the masked response, and flags tell the caller that it must not be used.  Two
 * things depend on e->masks inside: unmasked overflow and underflow (x87: a result scaled by
 * 2^-+24576; either: UE also when tiny and exact), and an unmasked IE, DE or ZE hiding the
 * flags of the steps that a real unit no longer takes.
 *
 * Sources: IEEE 754-2019; Intel SDM volume 1 chapters 4, 8 and 11, volume 2 per instruction.
 */
#ifndef FPU_SOFTFLOAT_H
#define FPU_SOFTFLOAT_H

#include <stdbool.h>
#include <stdint.h>

/* An x87 register: 80 bits.  MMX aliases the fraction. */
typedef struct F80 {
    uint64_t frac;              /* bit 63 is the explicit integer bit */
    uint16_t se;                /* bit 15 sign, 14..0 exponent, bias 16383 */
} F80;

/* Exception flags, at their places in MXCSR and in the x87 status word. */
#define FP_IE 0x01
#define FP_DE 0x02
#define FP_ZE 0x04
#define FP_OE 0x08
#define FP_UE 0x10
#define FP_PE 0x20
#define FP_ALL 0x3f

/* Rounding, as encoded in MXCSR.RC, x87 CW.RC and the immediates of ROUNDxx. */
enum { FP_RC_NEAREST, FP_RC_DOWN, FP_RC_UP, FP_RC_ZERO };

/* Precision control, as in x87 CW.PC (value 1 is reserved and works as 3). */
enum { FP_PC_24 = 0, FP_PC_53 = 2, FP_PC_64 = 3 };

typedef struct FpEnv {
    uint8_t rc;                 /* FP_RC_* */
    uint8_t pc;                 /* FP_PC_*: add, sub, mul, div and sqrt of F80 alone look at it */
    uint8_t masks;              /* FP_* bits that are masked */
    uint8_t flags;              /* FP_* bits raised so far */
    uint8_t stages;             /* the caller's: of finished stages of a compound operation */
    bool daz, ftz;              /* MXCSR.DAZ, MXCSR.FTZ; never in x87 */
    bool c1;                    /* x87: the last result was rounded away from zero */
    bool de;                    /* x87: an operand was a denormal before it was widened from
                                   f32 or f64 (see f32_widen): F80 operations take it as
                                   their own denormal operand.  The caller clears it */
} FpEnv;

/* What a comparison found. */
typedef enum { FP_LESS = -1, FP_EQUAL = 0, FP_GREATER = 1, FP_UNORDERED = 2 } FpRel;

/* ---- SSE: f32 and f64 ---- */

#define F32_DEFAULT_NAN 0xffc00000u
#define F64_DEFAULT_NAN 0xfff8000000000000ull

uint32_t f32_add(uint32_t a, uint32_t b, FpEnv *e);
uint32_t f32_sub(uint32_t a, uint32_t b, FpEnv *e);
uint32_t f32_mul(uint32_t a, uint32_t b, FpEnv *e);
uint32_t f32_div(uint32_t a, uint32_t b, FpEnv *e);
uint32_t f32_sqrt(uint32_t a, FpEnv *e);
uint64_t f64_add(uint64_t a, uint64_t b, FpEnv *e);
uint64_t f64_sub(uint64_t a, uint64_t b, FpEnv *e);
uint64_t f64_mul(uint64_t a, uint64_t b, FpEnv *e);
uint64_t f64_div(uint64_t a, uint64_t b, FpEnv *e);
uint64_t f64_sqrt(uint64_t a, FpEnv *e);

/* a * b + c rounded once; FP_FMA_* negate the product or the addend (a NaN is not negated).
 * A NaN result comes from the first NaN of a, b, c in this order. */
#define FP_FMA_NEG_PRODUCT 1
#define FP_FMA_NEG_ADDEND  2
uint32_t f32_fma(uint32_t a, uint32_t b, uint32_t c, int negate, FpEnv *e);
uint64_t f64_fma(uint64_t a, uint64_t b, uint64_t c, int negate, FpEnv *e);

/* MINSS/MAXSS: b if both are zero or either is a NaN (left as it is). */
uint32_t f32_min(uint32_t a, uint32_t b, FpEnv *e);
uint32_t f32_max(uint32_t a, uint32_t b, FpEnv *e);
uint64_t f64_min(uint64_t a, uint64_t b, FpEnv *e);
uint64_t f64_max(uint64_t a, uint64_t b, FpEnv *e);

/* signal: a quiet NaN too is an invalid operand (COMISS, the signalling predicates). */
FpRel f32_compare(uint32_t a, uint32_t b, bool signal, FpEnv *e);
FpRel f64_compare(uint64_t a, uint64_t b, bool signal, FpEnv *e);

/* ROUNDSS/ROUNDSD: to an integral value by rounding mode rc; no PE if quiet. */
uint32_t f32_round_int(uint32_t a, unsigned rc, bool quiet, FpEnv *e);
uint64_t f64_round_int(uint64_t a, unsigned rc, bool quiet, FpEnv *e);

/* To integers by rounding mode rc; out of range or NaN: IE and the integer indefinite,
 * 80000000(00000000)h, for unsigned types all ones. */
int32_t  f32_to_i32(uint32_t a, unsigned rc, FpEnv *e);
int64_t  f32_to_i64(uint32_t a, unsigned rc, FpEnv *e);
uint32_t f32_to_u32(uint32_t a, unsigned rc, FpEnv *e);
uint64_t f32_to_u64(uint32_t a, unsigned rc, FpEnv *e);
int32_t  f64_to_i32(uint64_t a, unsigned rc, FpEnv *e);
int64_t  f64_to_i64(uint64_t a, unsigned rc, FpEnv *e);
uint32_t f64_to_u32(uint64_t a, unsigned rc, FpEnv *e);
uint64_t f64_to_u64(uint64_t a, unsigned rc, FpEnv *e);
uint32_t i32_to_f32(int32_t a, FpEnv *e);
uint32_t i64_to_f32(int64_t a, FpEnv *e);
uint32_t u32_to_f32(uint32_t a, FpEnv *e);
uint32_t u64_to_f32(uint64_t a, FpEnv *e);
uint64_t i32_to_f64(int32_t a, FpEnv *e);
uint64_t i64_to_f64(int64_t a, FpEnv *e);
uint64_t u32_to_f64(uint32_t a, FpEnv *e);
uint64_t u64_to_f64(uint64_t a, FpEnv *e);

uint64_t f32_to_f64(uint32_t a, FpEnv *e);
uint32_t f64_to_f32(uint64_t a, FpEnv *e);
/* F16C: f16 denormals are never flushed nor flagged, whatever DAZ and FTZ say. */
uint32_t f16_to_f32(uint16_t a, FpEnv *e);
uint16_t f32_to_f16(uint32_t a, unsigned rc, FpEnv *e);

/* ---- x87: F80 ---- */

extern const F80 f80_default_nan;       /* "real indefinite" */

static inline F80 f80_make(bool sign, unsigned exp, uint64_t frac)
{
    return (F80) { .frac = frac, .se = (uint16_t)(sign << 15 | exp) };
}
static inline bool f80_sign(F80 a)
{
    return a.se >> 15;
}

/* What FXAM sees (unsupported: pseudo-NaN, pseudo-infinity, unnormal). */
typedef enum {
    F80_UNSUPPORTED, F80_NAN, F80_NORMAL, F80_INF, F80_ZERO, F80_DENORMAL
} F80Class;
F80Class f80_classify(F80 a);

/* a - b and b - a, a / b and b / a are told apart by the caller's order of operands: the NaN
 * rules are symmetric. */
F80 f80_add(F80 a, F80 b, FpEnv *e);
F80 f80_sub(F80 a, F80 b, FpEnv *e);
F80 f80_mul(F80 a, F80 b, FpEnv *e);
F80 f80_div(F80 a, F80 b, FpEnv *e);
F80 f80_sqrt(F80 a, FpEnv *e);
F80 f80_round_int(F80 a, FpEnv *e);             /* FRNDINT */
F80 f80_scale(F80 a, F80 b, FpEnv *e);          /* FSCALE: a * 2^trunc(b) */
/* FXTRACT: returns the significand, stores the exponent as a number in *exp. */
F80 f80_extract(F80 a, F80 *exp, FpEnv *e);

/* FPREM (nearest = false: quotient truncated) and FPREM1 (quotient to nearest even).  Sets
 * *quotient to the low bits of the quotient's magnitude, *partial if the reduction is
 * incomplete (C2) and must be repeated. */
F80 f80_rem(F80 a, F80 b, bool nearest, unsigned *quotient, bool *partial, FpEnv *e);

/* signal: FCOM, FTST, FCOMI; quiet: FUCOM, FUCOMI. */
FpRel f80_compare(F80 a, F80 b, bool signal, FpEnv *e);

/* FIST: out of range or NaN: IE and the integer indefinite. */
int16_t f80_to_i16(F80 a, unsigned rc, FpEnv *e);
int32_t f80_to_i32(F80 a, unsigned rc, FpEnv *e);
int64_t f80_to_i64(F80 a, unsigned rc, FpEnv *e);
F80 i64_to_f80(int64_t a);

/* FLD m32/m64: raises DE, quiets a signalling NaN with IE. */
F80 f32_to_f80(uint32_t a, FpEnv *e);
F80 f64_to_f80(uint64_t a, FpEnv *e);
/* The operand of FADD m32 and the like: exact, a signalling NaN stays one, no flags; a
 * denormal sets e->de. */
F80 f32_widen(uint32_t a, FpEnv *e);
F80 f64_widen(uint64_t a, FpEnv *e);
/* FST m32/m64. */
uint32_t f80_to_f32(F80 a, FpEnv *e);
uint64_t f80_to_f64(F80 a, FpEnv *e);

/* Packed BCD: 18 digits in 9 bytes, little end first, sign in bit 7 of the tenth. */
F80 bcd_to_f80(const uint8_t bcd[10]);
void f80_to_bcd(F80 a, uint8_t bcd[10], FpEnv *e);      /* FBSTP; invalid: BCD indefinite */

/* FLD1, FLDL2T, FLDL2E, FLDPI, FLDLG2, FLDLN2, FLDZ in the order of their opcodes D9 E8..EE. */
enum { F80_CONST_1, F80_CONST_L2T, F80_CONST_L2E, F80_CONST_PI, F80_CONST_LG2, F80_CONST_LN2,
       F80_CONST_0 };
F80 f80_constant(unsigned which, const FpEnv *e);

/*
 * Transcendental functions: computed to ~120 bits and rounded once by e->rc, with the
 * argument of the trigonometric ones reduced by Intel's 66-bit pi.  A real unit differs in
 * at most the last place (measured: in 1 to 9 % of random cases).  FPTAN and FSINCOS push a
 * second result; where the first is a NaN, so is the second: f80_tan leaves the 1.0 or the
 * NaN to the caller.
 */
F80 f80_2xm1(F80 a, FpEnv *e);
F80 f80_yl2x(F80 y, F80 x, FpEnv *e);           /* y * log2(x) */
F80 f80_yl2xp1(F80 y, F80 x, FpEnv *e);         /* y * log2(x + 1) */
F80 f80_patan(F80 y, F80 x, FpEnv *e);          /* atan2(y, x) */
/* *range is set (C2) and a returned if |a| >= 2^63. */
F80 f80_sin(F80 a, bool *range, FpEnv *e);
F80 f80_cos(F80 a, bool *range, FpEnv *e);
F80 f80_tan(F80 a, bool *range, FpEnv *e);
F80 f80_sincos(F80 a, F80 *cosine, bool *range, FpEnv *e);      /* returns the sine */

#endif
