/* SPDX-License-Identifier: MIT */
/*
 * f32 and f64 with the rules of SSE, AVX and F16C.  Each operation is written once for any
 * format; the public functions at the end of each section fix the format.
 *
 * Order of events in every operation (SDM volume 1, 11.5.2): NaN operands, other invalid
 * operations and division by zero, denormal operands, then the result.  A denormal operand
 * with DE unmasked ends the operation, because nothing later may be flagged then.
 */
#include "fpu/parts.h"

static Num unpack(uint64_t bits, const Format *f, bool daz)
{
    unsigned fb = f->frac_bits;
    uint64_t frac = bits & ((1ull << fb) - 1);
    int exp = bits >> fb & ((1u << f->exp_bits) - 1);
    Num n = { .sign = bits >> (fb + f->exp_bits) & 1, .frac = frac << (63 - fb) };

    if (exp == 2 * f->bias + 1) {
        n.cls = !frac ? CLS_INF : frac >> (fb - 1) ? CLS_QNAN : CLS_SNAN;
    } else if (exp != 0) {
        n.cls = CLS_NORMAL;
        n.frac |= 1ull << 63;
        n.exp = exp - f->bias;
    } else if (frac == 0 || daz) {
        n.cls = CLS_ZERO;
        n.frac = 0;
    } else {
        int shift = __builtin_clzll(n.frac);
        n.cls = CLS_DENORMAL;
        n.frac <<= shift;
        n.exp = 1 - f->bias - shift;
    }
    return n;
}

static uint64_t infinity(bool sign, const Format *f)
{
    return fmt_pack(sign, 2 * f->bias + 1, 0, f);
}

static uint64_t zero(bool sign, const Format *f)
{
    return fmt_pack(sign, 0, 0, f);
}

static uint64_t invalid(const Format *f, FpEnv *e)
{
    e->flags |= FP_IE;
    return fmt_pack(true, 2 * f->bias + 1, 1ull << (f->frac_bits - 1), f);
}

static uint64_t round_pack(Wide w, const Format *f, unsigned rc, FpEnv *e)
{
    Packed p = fp_round(w, f, f->prec, rc, e);
    return fmt_pack(w.sign, p.exp, p.frac, f);
}

/* The NaN n in format f, quiet. */
static uint64_t pack_nan(Num n, const Format *f)
{
    return fmt_pack(n.sign, 2 * f->bias + 1,
                n.frac >> (63 - f->frac_bits) | 1ull << (f->frac_bits - 1), f);
}

/* The first NaN of two operands decides. */
static bool nan2(Num a, Num b, const Format *f, uint64_t *r, FpEnv *e)
{
    if (!num_is_nan(a) && !num_is_nan(b)) {
        return false;
    }
    if (a.cls == CLS_SNAN || b.cls == CLS_SNAN) {
        e->flags |= FP_IE;
    }
    *r = pack_nan(num_is_nan(a) ? a : b, f);
    return true;
}

/* Flag denormal operands; true if this ends the operation. */
static bool denormal(Num a, Num b, FpEnv *e)
{
    if (a.cls != CLS_DENORMAL && b.cls != CLS_DENORMAL) {
        return false;
    }
    e->flags |= FP_DE;
    return !(e->masks & FP_DE);
}

/* ---- Add, subtract, multiply, divide, square root ---- */

/* The sum of finite w and finite n, either may be zero. */
static uint64_t finite_sum(Num a, Num b, const Format *f, FpEnv *e)
{
    if (a.cls == CLS_ZERO && b.cls == CLS_ZERO) {
        return zero(a.sign == b.sign ? a.sign : e->rc == FP_RC_DOWN, f);
    }
    Wide w = a.cls == CLS_ZERO ? num_widen(b)
           : b.cls == CLS_ZERO ? num_widen(a) : num_add(num_widen(a), num_widen(b));
    if (u128_is_zero(w.sig)) {
        return zero(e->rc == FP_RC_DOWN, f);
    }
    return round_pack(w, f, e->rc, e);
}

static uint64_t add(uint64_t a, uint64_t b, bool negate, const Format *f, FpEnv *e)
{
    Num x = unpack(a, f, e->daz), y = unpack(b, f, e->daz);
    uint64_t r;

    if (nan2(x, y, f, &r, e)) {
        return r;
    }
    y.sign ^= negate;
    if (x.cls == CLS_INF && y.cls == CLS_INF && x.sign != y.sign) {
        return invalid(f, e);
    }
    if (denormal(x, y, e)) {
        return a;
    }
    if (x.cls == CLS_INF || y.cls == CLS_INF) {
        return infinity(x.cls == CLS_INF ? x.sign : y.sign, f);
    }
    return finite_sum(x, y, f, e);
}

static uint64_t mul(uint64_t a, uint64_t b, const Format *f, FpEnv *e)
{
    Num x = unpack(a, f, e->daz), y = unpack(b, f, e->daz);
    bool sign = x.sign ^ y.sign;
    uint64_t r;

    if (nan2(x, y, f, &r, e)) {
        return r;
    }
    if ((x.cls == CLS_INF && y.cls == CLS_ZERO) || (x.cls == CLS_ZERO && y.cls == CLS_INF)) {
        return invalid(f, e);
    }
    if (denormal(x, y, e)) {
        return a;
    }
    if (x.cls == CLS_INF || y.cls == CLS_INF) {
        return infinity(sign, f);
    }
    if (x.cls == CLS_ZERO || y.cls == CLS_ZERO) {
        return zero(sign, f);
    }
    return round_pack(num_mul(x, y), f, e->rc, e);
}

static uint64_t div(uint64_t a, uint64_t b, const Format *f, FpEnv *e)
{
    Num x = unpack(a, f, e->daz), y = unpack(b, f, e->daz);
    bool sign = x.sign ^ y.sign;
    uint64_t r;

    if (nan2(x, y, f, &r, e)) {
        return r;
    }
    if (x.cls == y.cls && (x.cls == CLS_INF || x.cls == CLS_ZERO)) {
        return invalid(f, e);
    }
    if (y.cls == CLS_ZERO && x.cls != CLS_INF) {
        e->flags |= FP_ZE;
        return infinity(sign, f);
    }
    if (denormal(x, y, e)) {
        return a;
    }
    if (x.cls == CLS_INF) {
        return infinity(sign, f);
    }
    if (x.cls == CLS_ZERO || y.cls == CLS_INF) {
        return zero(sign, f);
    }
    return round_pack(num_div(x, y), f, e->rc, e);
}

static uint64_t square_root(uint64_t a, const Format *f, FpEnv *e)
{
    Num x = unpack(a, f, e->daz);
    uint64_t r;

    if (nan2(x, x, f, &r, e)) {
        return r;
    }
    if (x.cls == CLS_ZERO) {
        return zero(x.sign, f);
    }
    if (x.sign) {
        return invalid(f, e);
    }
    if (denormal(x, x, e)) {
        return a;
    }
    if (x.cls == CLS_INF) {
        return infinity(false, f);
    }
    return round_pack(num_sqrt(x), f, e->rc, e);
}

uint32_t f32_add(uint32_t a, uint32_t b, FpEnv *e) { return add(a, b, false, &fmt_f32, e); }
uint64_t f64_add(uint64_t a, uint64_t b, FpEnv *e) { return add(a, b, false, &fmt_f64, e); }
uint32_t f32_sub(uint32_t a, uint32_t b, FpEnv *e) { return add(a, b, true, &fmt_f32, e); }
uint64_t f64_sub(uint64_t a, uint64_t b, FpEnv *e) { return add(a, b, true, &fmt_f64, e); }
uint32_t f32_mul(uint32_t a, uint32_t b, FpEnv *e) { return mul(a, b, &fmt_f32, e); }
uint64_t f64_mul(uint64_t a, uint64_t b, FpEnv *e) { return mul(a, b, &fmt_f64, e); }
uint32_t f32_div(uint32_t a, uint32_t b, FpEnv *e) { return div(a, b, &fmt_f32, e); }
uint64_t f64_div(uint64_t a, uint64_t b, FpEnv *e) { return div(a, b, &fmt_f64, e); }
uint32_t f32_sqrt(uint32_t a, FpEnv *e) { return square_root(a, &fmt_f32, e); }
uint64_t f64_sqrt(uint64_t a, FpEnv *e) { return square_root(a, &fmt_f64, e); }

/* ---- Fused multiply-add ---- */

static bool fma_nan(Num x, Num y, Num z, const Format *f, uint64_t *r, FpEnv *e)
{
    if (!num_is_nan(x) && !num_is_nan(y) && !num_is_nan(z)) {
        return false;
    }
    if (x.cls == CLS_SNAN || y.cls == CLS_SNAN || z.cls == CLS_SNAN) {
        e->flags |= FP_IE;
    }
    *r = pack_nan(num_is_nan(x) ? x : num_is_nan(y) ? y : z, f);
    return true;
}

/* The product of two significands of at most 53 bits is exact in 106, so that an addend that
 * overlaps it is exact in 128 too, and one that doesn't only needs a sticky bit. */
static uint64_t muladd(uint64_t a, uint64_t b, uint64_t c, int negate, const Format *f, FpEnv *e)
{
    Num x = unpack(a, f, e->daz), y = unpack(b, f, e->daz), z = unpack(c, f, e->daz);
    uint64_t r;

    if (fma_nan(x, y, z, f, &r, e)) {
        return r;
    }
    bool sign = x.sign ^ y.sign ^ !!(negate & FP_FMA_NEG_PRODUCT);
    bool inf = x.cls == CLS_INF || y.cls == CLS_INF;
    bool null = x.cls == CLS_ZERO || y.cls == CLS_ZERO;
    z.sign ^= !!(negate & FP_FMA_NEG_ADDEND);
    if (inf && (null || (z.cls == CLS_INF && z.sign != sign))) {
        return invalid(f, e);
    }
    if (denormal(x, y, e) || denormal(z, z, e)) {
        return a;
    }
    if (inf || z.cls == CLS_INF) {
        return infinity(inf ? sign : z.sign, f);
    }
    if (null) {
        return finite_sum(num_zero(sign), z, f, e);
    }
    Wide w = num_mul(x, y);
    w.sign = sign;
    if (z.cls != CLS_ZERO) {
        w = num_add(w, num_widen(z));
        if (u128_is_zero(w.sig)) {
            return zero(e->rc == FP_RC_DOWN, f);
        }
    }
    return round_pack(w, f, e->rc, e);
}

uint32_t f32_fma(uint32_t a, uint32_t b, uint32_t c, int negate, FpEnv *e)
{
    return muladd(a, b, c, negate, &fmt_f32, e);
}
uint64_t f64_fma(uint64_t a, uint64_t b, uint64_t c, int negate, FpEnv *e)
{
    return muladd(a, b, c, negate, &fmt_f64, e);
}

/* ---- Comparison, minimum, maximum ---- */

static FpRel compare(uint64_t a, uint64_t b, bool signal, const Format *f, FpEnv *e)
{
    Num x = unpack(a, f, e->daz), y = unpack(b, f, e->daz);

    if (num_is_nan(x) || num_is_nan(y)) {
        if (signal || x.cls == CLS_SNAN || y.cls == CLS_SNAN) {
            e->flags |= FP_IE;
        }
        return FP_UNORDERED;
    }
    denormal(x, y, e);
    return num_compare(x, y);
}

/* want: the relation of a to b for which a is the result.  Denormals are zeros under DAZ. */
static uint64_t minmax(uint64_t a, uint64_t b, FpRel want, const Format *f, FpEnv *e)
{
    bool first = compare(a, b, true, f, e) == want;
    uint64_t r = first ? a : b;
    Num n = unpack(r, f, e->daz);
    return n.cls == CLS_ZERO ? zero(n.sign, f) : r;
}

FpRel f32_compare(uint32_t a, uint32_t b, bool signal, FpEnv *e)
{
    return compare(a, b, signal, &fmt_f32, e);
}
FpRel f64_compare(uint64_t a, uint64_t b, bool signal, FpEnv *e)
{
    return compare(a, b, signal, &fmt_f64, e);
}
uint32_t f32_min(uint32_t a, uint32_t b, FpEnv *e) { return minmax(a, b, FP_LESS, &fmt_f32, e); }
uint64_t f64_min(uint64_t a, uint64_t b, FpEnv *e) { return minmax(a, b, FP_LESS, &fmt_f64, e); }
uint32_t f32_max(uint32_t a, uint32_t b, FpEnv *e)
{
    return minmax(a, b, FP_GREATER, &fmt_f32, e);
}
uint64_t f64_max(uint64_t a, uint64_t b, FpEnv *e)
{
    return minmax(a, b, FP_GREATER, &fmt_f64, e);
}

/* ---- Integers ---- */

static uint64_t round_int(uint64_t a, unsigned rc, bool quiet, const Format *f, FpEnv *e)
{
    Num x = unpack(a, f, e->daz);
    bool inexact, up, over;
    uint64_t r;

    if (nan2(x, x, f, &r, e)) {
        return r;
    }
    if (x.cls == CLS_INF || x.exp >= f->frac_bits) {
        return a;
    }
    r = num_to_int(x, rc, &inexact, &up, &over);
    if (inexact && !quiet) {
        e->flags |= FP_PE;
    }
    if (r == 0) {
        return zero(x.sign, f);
    }
    int shift = __builtin_clzll(r);
    Wide w = { .sig = { r << shift, 0 }, .exp = 63 - shift, .sign = x.sign };
    return round_pack(w, f, rc, e);
}

/* To an integer of the given width; is_signed: indefinite is the most negative number. */
static uint64_t to_int(uint64_t a, unsigned rc, unsigned bits, bool is_signed, const Format *f,
                       FpEnv *e)
{
    Num x = unpack(a, f, e->daz);
    bool inexact = false, up, over = true;
    uint64_t v = 0;
    uint64_t max = ~0ull >> (64 - bits);

    if (is_signed) {
        max = (max >> 1) + x.sign;
    } else if (x.sign) {
        max = 0;
    }
    if (!num_is_nan(x)) {
        v = num_to_int(x, rc, &inexact, &up, &over);
    }
    if (over || v > max) {
        e->flags |= FP_IE;
        return is_signed ? ~0ull << (bits - 1) : ~0ull;
    }
    if (inexact) {
        e->flags |= FP_PE;
    }
    return x.sign ? -v : v;
}

static uint64_t from_int(uint64_t magnitude, bool sign, const Format *f, FpEnv *e)
{
    if (magnitude == 0) {
        return 0;
    }
    int shift = __builtin_clzll(magnitude);
    Wide w = { .sig = { magnitude << shift, 0 }, .exp = 63 - shift, .sign = sign };
    return round_pack(w, f, e->rc, e);
}

static uint64_t from_signed(int64_t v, const Format *f, FpEnv *e)
{
    return from_int(v < 0 ? -(uint64_t)v : (uint64_t)v, v < 0, f, e);
}

#define ROUND_INT(n)                                                              \
    uint##n##_t f##n##_round_int(uint##n##_t a, unsigned rc, bool quiet, FpEnv *e) \
    { return round_int(a, rc, quiet, &fmt_f##n, e); }
ROUND_INT(32)
ROUND_INT(64)

#define TO_INT(n, type, name, bits, is_signed)                                    \
    type f##n##_to_##name(uint##n##_t a, unsigned rc, FpEnv *e)                   \
    { return (type)to_int(a, rc, bits, is_signed, &fmt_f##n, e); }
TO_INT(32, int32_t,  i32, 32, true)
TO_INT(32, int64_t,  i64, 64, true)
TO_INT(32, uint32_t, u32, 32, false)
TO_INT(32, uint64_t, u64, 64, false)
TO_INT(64, int32_t,  i32, 32, true)
TO_INT(64, int64_t,  i64, 64, true)
TO_INT(64, uint32_t, u32, 32, false)
TO_INT(64, uint64_t, u64, 64, false)

uint32_t i32_to_f32(int32_t a, FpEnv *e)  { return from_signed(a, &fmt_f32, e); }
uint32_t i64_to_f32(int64_t a, FpEnv *e)  { return from_signed(a, &fmt_f32, e); }
uint32_t u32_to_f32(uint32_t a, FpEnv *e) { return from_int(a, false, &fmt_f32, e); }
uint32_t u64_to_f32(uint64_t a, FpEnv *e) { return from_int(a, false, &fmt_f32, e); }
uint64_t i32_to_f64(int32_t a, FpEnv *e)  { return from_signed(a, &fmt_f64, e); }
uint64_t i64_to_f64(int64_t a, FpEnv *e)  { return from_signed(a, &fmt_f64, e); }
uint64_t u32_to_f64(uint32_t a, FpEnv *e) { return from_int(a, false, &fmt_f64, e); }
uint64_t u64_to_f64(uint64_t a, FpEnv *e) { return from_int(a, false, &fmt_f64, e); }

/* ---- Between formats ---- */

static uint64_t convert(Num x, const Format *to, unsigned rc, FpEnv *e)
{
    uint64_t r;

    if (nan2(x, x, to, &r, e)) {
        return r;
    }
    if (denormal(x, x, e)) {
        return 0;
    }
    if (x.cls == CLS_INF) {
        return infinity(x.sign, to);
    }
    if (x.cls == CLS_ZERO) {
        return zero(x.sign, to);
    }
    return round_pack(num_widen(x), to, rc, e);
}

uint64_t f32_to_f64(uint32_t a, FpEnv *e)
{
    return convert(unpack(a, &fmt_f32, e->daz), &fmt_f64, e->rc, e);
}
uint32_t f64_to_f32(uint64_t a, FpEnv *e)
{
    return convert(unpack(a, &fmt_f64, e->daz), &fmt_f32, e->rc, e);
}

uint32_t f16_to_f32(uint16_t a, FpEnv *e)
{
    Num x = unpack(a, &fmt_f16, false);
    if (x.cls == CLS_DENORMAL) {
        x.cls = CLS_NORMAL;
    }
    return convert(x, &fmt_f32, e->rc, e);
}

uint16_t f32_to_f16(uint32_t a, unsigned rc, FpEnv *e)
{
    Num x = unpack(a, &fmt_f32, e->daz);
    bool ftz = e->ftz;

    e->ftz = false;
    uint16_t r = convert(x, &fmt_f16, rc, e);
    e->ftz = ftz;
    if (x.cls == CLS_DENORMAL && e->masks & FP_DE) {
        e->flags |= FP_PE;      /* also where UE, unmasked, would be alone: as measured */
    }
    return r;
}
