/* SPDX-License-Identifier: MIT */
/*
 * Software floating point, 80-bit part, against the real thing: on an x86 host each operation
 * is run by inline assembly and by fpu/ with the same operands, rounding mode, precision
 * control and exception masks, and results and flags are compared.  Elsewhere (and here too)
 * a table of known values is checked.
 *
 * SOFTFLOAT_CASES=N sets the number of random cases per operation (default 10000),
 * SOFTFLOAT_SEED=N the random seed.
 */
#include <glib.h>
#include <inttypes.h>
#include <string.h>
#include "fpu/softfloat.h"
#include "tests/unit/fp-random.h"

/* ---- Known values, on any host ---- */

static FpEnv default_env(void)
{
    return (FpEnv) { .rc = FP_RC_NEAREST, .pc = FP_PC_64, .masks = FP_ALL };
}

static void test_known(void)
{
    static const struct {
        uint32_t (*fn)(uint32_t, uint32_t, FpEnv *);
        uint8_t rc;
        uint32_t a, b, r;
        uint8_t flags;
    } t[] = {
        { f32_add, FP_RC_NEAREST, 0x3f800000, 0x33800000, 0x3f800000, FP_PE },
        { f32_add, FP_RC_UP,      0x3f800000, 0x33800000, 0x3f800001, FP_PE },
        { f32_sub, FP_RC_DOWN,    0x3f800000, 0x3f800000, 0x80000000, 0 },
        { f32_add, FP_RC_NEAREST, 0x7f800000, 0xff800000, 0xffc00000, FP_IE },
        { f32_mul, FP_RC_NEAREST, 0x7f7fffff, 0x7f7fffff, 0x7f800000, FP_OE | FP_PE },
        { f32_mul, FP_RC_ZERO,    0x7f7fffff, 0x7f7fffff, 0x7f7fffff, FP_OE | FP_PE },
        { f32_mul, FP_RC_NEAREST, 0x00ffffff, 0x3f000001, 0x00800000, FP_PE },
        { f32_mul, FP_RC_NEAREST, 0x00ffffff, 0x3f000000, 0x00800000, FP_UE | FP_PE },
        { f32_mul, FP_RC_NEAREST, 0x00000001, 0x3f000000, 0x00000000, FP_DE | FP_UE | FP_PE },
        { f32_div, FP_RC_NEAREST, 0x3f800000, 0x40400000, 0x3eaaaaab, FP_PE },
        { f32_div, FP_RC_NEAREST, 0xbf800000, 0x00000000, 0xff800000, FP_ZE },
        { f32_div, FP_RC_NEAREST, 0x00000000, 0x00000000, 0xffc00000, FP_IE },
        { f32_add, FP_RC_NEAREST, 0x7f800001, 0x7fc00002, 0x7fc00001, FP_IE },
        { f32_min, FP_RC_NEAREST, 0x80000000, 0x00000000, 0x00000000, 0 },
        { f32_max, FP_RC_NEAREST, 0x7fc00000, 0x3f800000, 0x3f800000, FP_IE },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(t); i++) {
        FpEnv e = default_env();
        e.rc = t[i].rc;
        g_assert_cmphex(t[i].fn(t[i].a, t[i].b, &e), ==, t[i].r);
        g_assert_cmphex(e.flags, ==, t[i].flags);
    }
}

static void test_known_f64(void)
{
    static const struct {
        uint64_t (*fn)(uint64_t, uint64_t, FpEnv *);
        uint8_t rc;
        uint64_t a, b, r;
        uint8_t flags;
    } t[] = {
        /* 0.1 + 0.2, 1/3, 2^53 + 1 to even, the smallest normal number halved and below */
        { f64_add, FP_RC_NEAREST, 0x3fb999999999999a, 0x3fc999999999999a, 0x3fd3333333333334, FP_PE },
        { f64_div, FP_RC_NEAREST, 0x3ff0000000000000, 0x4008000000000000, 0x3fd5555555555555, FP_PE },
        { f64_div, FP_RC_UP,      0x3ff0000000000000, 0x4008000000000000, 0x3fd5555555555556, FP_PE },
        { f64_add, FP_RC_NEAREST, 0x4340000000000000, 0x3ff0000000000000, 0x4340000000000000, FP_PE },
        { f64_mul, FP_RC_NEAREST, 0x0010000000000000, 0x3fe0000000000000, 0x0008000000000000, 0 },
        { f64_mul, FP_RC_NEAREST, 0x0010000000000001, 0x3fe0000000000000, 0x0008000000000000,
          FP_UE | FP_PE },
        { f64_mul, FP_RC_DOWN,    0x7fefffffffffffff, 0x4000000000000000, 0x7fefffffffffffff,
          FP_OE | FP_PE },
        { f64_sub, FP_RC_NEAREST, 0x7ff0000000000000, 0x7ff0000000000000, 0xfff8000000000000, FP_IE },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(t); i++) {
        FpEnv e = default_env();
        e.rc = t[i].rc;
        g_assert_cmphex(t[i].fn(t[i].a, t[i].b, &e), ==, t[i].r);
        g_assert_cmphex(e.flags, ==, t[i].flags);
    }
}

static void test_known_conversions(void)
{
    FpEnv e = default_env();

    g_assert_cmphex(f64_sqrt(0x4000000000000000, &e), ==, 0x3ff6a09e667f3bcd);
    g_assert_cmphex(f64_fma(0x3ff0000000000001, 0x3ff0000000000001, 0xbff0000000000002, 0, &e), ==,
                    0x3970000000000000);
    g_assert_cmphex(f64_to_f32(0x3ff0000010000000, &e), ==, 0x3f800000);
    g_assert_cmphex(f64_to_f32(0x3ff0000010000001, &e), ==, 0x3f800001);
    g_assert_cmphex(f32_to_f16(0x477fefff, FP_RC_NEAREST, &e), ==, 0x7bff);
    g_assert_cmphex(f32_to_f16(0x477ff000, FP_RC_NEAREST, &e), ==, 0x7c00);
    g_assert_cmphex(f16_to_f32(0x0001, &e), ==, 0x33800000);
    g_assert_cmpint(f64_to_i32(0x4004000000000000, FP_RC_NEAREST, &e), ==, 2);
    g_assert_cmpint(f64_to_i32(0xc004000000000000, FP_RC_DOWN, &e), ==, -3);
    e.flags = 0;
    g_assert_cmpint(f64_to_i32(0x41e0000000000000, FP_RC_ZERO, &e), ==, INT32_MIN);
    g_assert_cmphex(e.flags, ==, FP_IE);
    g_assert_cmphex(i64_to_f32(0x7fffffffffffffff, &e), ==, 0x5f000000);
    g_assert_cmpint(f64_compare(0x3ff0000000000000, 0x7ff8000000000000, false, &e), ==,
                    FP_UNORDERED);
    g_assert_cmpint(f64_compare(0x8000000000000000, 0, true, &e), ==, FP_EQUAL);
}

static void assert_f80(F80 a, uint16_t se, uint64_t frac)
{
    g_assert_cmphex(a.se, ==, se);
    g_assert_cmphex(a.frac, ==, frac);
}

static void test_known_f80(void)
{
    FpEnv e = default_env();
    F80 one = i64_to_f80(1), three = i64_to_f80(3), x;
    bool range;
    uint8_t bcd[10];

    assert_f80(f80_div(one, three, &e), 0x3ffd, 0xaaaaaaaaaaaaaaab);
    g_assert_true(e.c1);
    e.pc = FP_PC_24;
    assert_f80(f80_div(one, three, &e), 0x3ffd, 0xaaaaab0000000000);
    e.pc = FP_PC_53;
    assert_f80(f80_sqrt(three, &e), 0x3fff, 0xddb3d742c2655000);
    e = default_env();
    assert_f80(f80_patan(one, one, &e), 0x3ffe, 0xc90fdaa22168c235);
    assert_f80(f80_sin(one, &range, &e), 0x3ffe, 0xd76aa47848677021);
    assert_f80(f80_cos(one, &range, &e), 0x3ffe, 0x8a51407da8345c92);
    assert_f80(f80_yl2x(one, three, &e), 0x3fff, 0xcae00d1cfdeb43d0);
    x = f80_make(false, 0x3ffe, 1ull << 63);
    assert_f80(f80_2xm1(x, &e), 0x3ffd, 0xd413cccfe7799211);
    g_assert_false(range);
    f80_sin(f80_make(false, 0x3fff + 63, 1ull << 63), &range, &e);
    g_assert_true(range);
    f80_to_bcd(i64_to_f80(-1234567), bcd, &e);
    g_assert_cmphex(bcd[0], ==, 0x67);
    g_assert_cmphex(bcd[3], ==, 0x01);
    g_assert_cmphex(bcd[9], ==, 0x80);
    assert_f80(bcd_to_f80(bcd), 0xc013, 0x96b4380000000000);
    e.rc = FP_RC_UP;
    assert_f80(f80_constant(F80_CONST_PI, &e), 0x4000, 0xc90fdaa22168c235);
    e.rc = FP_RC_DOWN;
    assert_f80(f80_constant(F80_CONST_PI, &e), 0x4000, 0xc90fdaa22168c234);
}

#if defined(__x86_64__)

/* ---- x87 against the host ---- */

typedef struct __attribute__((packed)) HostF80 {
    uint64_t frac;
    uint16_t se;
} HostF80;

/* The 32-bit protected-mode FNSAVE image. */
typedef struct __attribute__((packed)) HostSave {
    uint16_t cw, r0, sw, r1, tw, r2;
    uint32_t fip, fcs_op, fdp, fds;
    HostF80 st[8];
} HostSave;

typedef union Mem {
    uint8_t b[16];
    uint16_t w;
    uint32_t d;
    uint64_t q;
    HostF80 t;
} Mem;

/* Run one instruction with ST0 = a, ST1 = b and the operand *m. */
#define HOST_X87(name, insn)                                                              \
    static void host_##name(const HostF80 *a, const HostF80 *b, uint16_t cw, Mem *m,      \
                            HostSave *s)                                                  \
    {                                                                                     \
        __asm__ volatile("fninit\n fldt %3\n fldt %2\n fldcw %4\n " insn "\n fnsave %0\n" \
                         : "=m"(*s), "+m"(*m) : "m"(*a), "m"(*b), "m"(cw));               \
    }
HOST_X87(fadd, "fadd %%st(1), %%st")
HOST_X87(fsub, "fsub %%st(1), %%st")
HOST_X87(fmul, "fmul %%st(1), %%st")
HOST_X87(fdiv, "fdiv %%st(1), %%st")
HOST_X87(fadds, "fadds %1")
HOST_X87(fsubrl, "fsubrl %1")
HOST_X87(fdivs, "fdivs %1")
HOST_X87(fmull, "fmull %1")
HOST_X87(fsqrt, "fsqrt")
HOST_X87(frndint, "frndint")
HOST_X87(fscale, "fscale")
HOST_X87(fxtract, "fxtract")
HOST_X87(fprem, "fprem")
HOST_X87(fprem1, "fprem1")
HOST_X87(fcom, "fcom")
HOST_X87(fucom, "fucom")
HOST_X87(ftst, "ftst")
HOST_X87(fxam, "fxam")
HOST_X87(fcoms, "fcoms %1")
HOST_X87(fists, "fists %1")
HOST_X87(fistl, "fistl %1")
HOST_X87(fistpq, "fistpq %1")
HOST_X87(fisttpq, "fisttpq %1")
HOST_X87(fbstp, "fbstp %1")
HOST_X87(fbld, "fbld %1")
HOST_X87(fsts, "fsts %1")
HOST_X87(fstl, "fstl %1")
HOST_X87(flds, "flds %1")
HOST_X87(fldl, "fldl %1")
HOST_X87(fildq, "fildq %1")
HOST_X87(f2xm1, "f2xm1")
HOST_X87(fyl2x, "fyl2x")
HOST_X87(fyl2xp1, "fyl2xp1")
HOST_X87(fpatan, "fpatan")
HOST_X87(fsin, "fsin")
HOST_X87(fcos, "fcos")
HOST_X87(fptan, "fptan")
HOST_X87(fsincos, "fsincos")
HOST_X87(fldl2t, "fldl2t")
HOST_X87(fldl2e, "fldl2e")
HOST_X87(fldpi, "fldpi")
HOST_X87(fldlg2, "fldlg2")
HOST_X87(fldln2, "fldln2")

/* What the software made of it: registers from the top, condition codes, memory operand. */
typedef struct Soft {
    F80 a, b;                   /* operands */
    F80 st[3];                  /* results; preset to the operands */
    Mem m;
    bool c0, c2, c3;
    FpEnv e;
} Soft;

static void set_relation(Soft *s, FpRel r)
{
    s->c0 = r == FP_LESS || r == FP_UNORDERED;
    s->c3 = r == FP_EQUAL || r == FP_UNORDERED;
    s->c2 = r == FP_UNORDERED;
}

static void set_quotient(Soft *s, F80 r, unsigned q, bool partial)
{
    s->st[0] = r;
    s->c0 = q >> 2 & 1;
    s->c3 = q >> 1 & 1;
    s->c2 = partial;
    s->e.c1 = q & 1;
}

static void pop_into(Soft *s, F80 r)
{
    s->st[0] = r;
}

static void soft_fadd(Soft *s) { s->st[0] = f80_add(s->a, s->b, &s->e); }
static void soft_fsub(Soft *s) { s->st[0] = f80_sub(s->a, s->b, &s->e); }
static void soft_fmul(Soft *s) { s->st[0] = f80_mul(s->a, s->b, &s->e); }
static void soft_fdiv(Soft *s) { s->st[0] = f80_div(s->a, s->b, &s->e); }
static void soft_fadds(Soft *s) { s->st[0] = f80_add(s->a, f32_widen(s->m.d, &s->e), &s->e); }
static void soft_fdivs(Soft *s) { s->st[0] = f80_div(s->a, f32_widen(s->m.d, &s->e), &s->e); }
static void soft_fmull(Soft *s) { s->st[0] = f80_mul(s->a, f64_widen(s->m.q, &s->e), &s->e); }
static void soft_fsubrl(Soft *s) { s->st[0] = f80_sub(f64_widen(s->m.q, &s->e), s->a, &s->e); }
static void soft_fsqrt(Soft *s) { s->st[0] = f80_sqrt(s->a, &s->e); }
static void soft_frndint(Soft *s) { s->st[0] = f80_round_int(s->a, &s->e); }
static void soft_fscale(Soft *s) { s->st[0] = f80_scale(s->a, s->b, &s->e); }
static void soft_fxtract(Soft *s) { s->st[0] = f80_extract(s->a, &s->st[1], &s->e); }
static void soft_fprem(Soft *s)
{
    unsigned q;
    bool partial;
    F80 r = f80_rem(s->a, s->b, false, &q, &partial, &s->e);
    set_quotient(s, r, q, partial);
}
static void soft_fprem1(Soft *s)
{
    unsigned q;
    bool partial;
    F80 r = f80_rem(s->a, s->b, true, &q, &partial, &s->e);
    set_quotient(s, r, q, partial);
}
static void soft_fcom(Soft *s) { set_relation(s, f80_compare(s->a, s->b, true, &s->e)); }
static void soft_fucom(Soft *s) { set_relation(s, f80_compare(s->a, s->b, false, &s->e)); }
static void soft_ftst(Soft *s)
{
    set_relation(s, f80_compare(s->a, i64_to_f80(0), true, &s->e));
}
static void soft_fcoms(Soft *s)
{
    set_relation(s, f80_compare(s->a, f32_widen(s->m.d, &s->e), true, &s->e));
}
static void soft_fxam(Soft *s)
{
    F80Class c = f80_classify(s->a);
    s->c3 = c == F80_ZERO || c == F80_DENORMAL;
    s->c2 = c == F80_NORMAL || c == F80_INF || c == F80_DENORMAL;
    s->c0 = c == F80_NAN || c == F80_INF;
    s->e.c1 = f80_sign(s->a);
}
static void soft_fists(Soft *s) { s->m.w = f80_to_i16(s->a, s->e.rc, &s->e); }
static void soft_fistl(Soft *s) { s->m.d = f80_to_i32(s->a, s->e.rc, &s->e); }
static void soft_fistpq(Soft *s)
{
    s->m.q = f80_to_i64(s->a, s->e.rc, &s->e);
    pop_into(s, s->b);
}
static void soft_fisttpq(Soft *s)
{
    s->m.q = f80_to_i64(s->a, FP_RC_ZERO, &s->e);
    pop_into(s, s->b);
}
static void soft_fbstp(Soft *s)
{
    f80_to_bcd(s->a, s->m.b, &s->e);
    pop_into(s, s->b);
}
static void soft_fbld(Soft *s) { s->st[0] = bcd_to_f80(s->m.b); }
static void soft_fsts(Soft *s) { s->m.d = f80_to_f32(s->a, &s->e); }
static void soft_fstl(Soft *s) { s->m.q = f80_to_f64(s->a, &s->e); }
static void soft_flds(Soft *s) { s->st[0] = f32_to_f80(s->m.d, &s->e); }
static void soft_fldl(Soft *s) { s->st[0] = f64_to_f80(s->m.q, &s->e); }
static void soft_fildq(Soft *s) { s->st[0] = i64_to_f80(s->m.q); }
static void soft_f2xm1(Soft *s) { s->st[0] = f80_2xm1(s->a, &s->e); }
static void soft_fyl2x(Soft *s) { s->st[0] = f80_yl2x(s->b, s->a, &s->e); }
static void soft_fyl2xp1(Soft *s) { s->st[0] = f80_yl2xp1(s->b, s->a, &s->e); }
static void soft_fpatan(Soft *s) { s->st[0] = f80_patan(s->b, s->a, &s->e); }
static void soft_fsin(Soft *s) { s->st[0] = f80_sin(s->a, &s->c2, &s->e); }
static void soft_fcos(Soft *s) { s->st[0] = f80_cos(s->a, &s->c2, &s->e); }
static void soft_fptan(Soft *s)
{
    F80 r = f80_tan(s->a, &s->c2, &s->e);
    s->st[0] = s->c2 || f80_classify(r) == F80_NAN ? r : i64_to_f80(1);
    s->st[1] = s->c2 ? s->b : r;
}
static void soft_fsincos(Soft *s)
{
    F80 c, r = f80_sincos(s->a, &c, &s->c2, &s->e);
    s->st[0] = s->c2 ? r : c;
    s->st[1] = s->c2 ? s->b : r;
}
#define SOFT_CONST(name, which) \
    static void soft_##name(Soft *s) { s->st[0] = f80_constant(which, &s->e); }
SOFT_CONST(fldl2t, F80_CONST_L2T)
SOFT_CONST(fldl2e, F80_CONST_L2E)
SOFT_CONST(fldpi, F80_CONST_PI)
SOFT_CONST(fldlg2, F80_CONST_LG2)
SOFT_CONST(fldln2, F80_CONST_LN2)

/* What the test should look at. */
enum {
    REG1 = 1,           /* ST1 too */
    C1 = 2,             /* C1 is defined */
    CC = 4,             /* C0, C2, C3 are defined */
    POPS = 8,
    STORE = 16,         /* a suppressed store leaves memory alone */
    NEAR = 32,          /* results may differ by one in the last place */
    MASKED = 64,        /* with all exceptions masked only */
    BCD = 128,          /* the memory operand is packed BCD */
    SMALL = 256,        /* |ST0| mostly <= 1 */
};

typedef struct X87Op {
    const char *name;
    void (*host)(const HostF80 *, const HostF80 *, uint16_t, Mem *, HostSave *);
    void (*soft)(Soft *);
    unsigned check;
} X87Op;

#define OP(n, check) { #n, host_##n, soft_##n, check }
static const X87Op x87_ops[] = {
    OP(fadd, C1), OP(fsub, C1), OP(fmul, C1), OP(fdiv, C1),
    OP(fadds, C1), OP(fdivs, C1), OP(fmull, C1), OP(fsubrl, C1),
    OP(fsqrt, C1), OP(frndint, C1), OP(fscale, C1), OP(fxtract, REG1 | C1),
    OP(fprem, C1 | CC), OP(fprem1, C1 | CC),
    OP(fcom, CC | C1), OP(fucom, CC | C1), OP(ftst, CC | C1), OP(fcoms, CC | C1),
    OP(fxam, CC | C1),
    OP(fists, C1 | STORE), OP(fistl, C1 | STORE), OP(fistpq, C1 | STORE | POPS),
    OP(fisttpq, C1 | STORE | POPS), OP(fbstp, C1 | STORE | POPS), OP(fbld, BCD | C1),
    OP(fsts, C1 | STORE), OP(fstl, C1 | STORE), OP(flds, C1), OP(fldl, C1), OP(fildq, C1),
    OP(f2xm1, NEAR | SMALL), OP(fyl2x, NEAR), OP(fyl2xp1, NEAR | SMALL), OP(fpatan, NEAR),
    OP(fsin, NEAR | CC), OP(fcos, NEAR | CC), OP(fptan, NEAR | CC | REG1),
    OP(fsincos, NEAR | CC | REG1),
    OP(fldl2t, C1), OP(fldl2e, C1), OP(fldpi, C1), OP(fldlg2, C1), OP(fldln2, C1),
};

static unsigned c1s, ulps;           /* NEAR results that were not the same */

static bool same(F80 a, HostF80 b, bool near)
{
    if (a.se == b.se && a.frac == b.frac) {
        return true;
    }
    if (!near || (a.se ^ b.se) >> 15) {
        return false;
    }
    ulps++;
    /* neighbours, also across a power of two; denormals have the exponent of the smallest
     * normal number */
    int ea = MAX(a.se & 0x7fff, 1), eb = MAX(b.se & 0x7fff, 1);
    if (ea == eb) {
        return a.frac - b.frac + 1 <= 2;
    }
    return (ea == eb + 1 && a.frac == 1ull << 63 && b.frac == ~0ull) ||
           (eb == ea + 1 && b.frac == 1ull << 63 && a.frac == ~0ull);
}

/* Within a last place of where underflow or overflow begins, or of that scaled by 2^24576? */
static bool at_edge(F80 a)
{
    unsigned exp = a.se & 0x7fff;
    switch (exp) {
    case 0:      return a.frac == ~0ull >> 1;
    case 0x6000: case 0x7ffe: case 0x1ffe:
        return a.frac == ~0ull;
    case 1: case 0x6001: case 0x7fff: case 0x1fff:
        return a.frac == 1ull << 63;
    default:     return false;
    }
}

static void random_mem(Mem *m, const X87Op *op, F80 near)
{
    memset(m, 0xa5, sizeof(*m));
    if (op->check & BCD) {
        for (int i = 0; i < 9; i++) {
            m->b[i] = pick(10) << 4 | pick(10);
        }
        m->b[9] = pick(2) << 7;
    } else if (op->check & STORE) {
        return;
    } else if (strchr(op->name, 's') == op->name + strlen(op->name) - 1) {
        m->d = random_float(8, 23, (uint64_t)(near.se - 16383 + 127) << 23);
    } else {
        m->q = random_float(11, 52, (uint64_t)(near.se - 16383 + 1023) << 52);
    }
}

static void random_operands(Soft *s, const X87Op *op)
{
    s->a = random_f80(f80_make(false, pick(0x7fff), 0));
    if (op->check & SMALL && pick(8)) {
        s->a.se = (s->a.se & 0x8000) | (0x3ffe - pick(pick(4) ? 8 : 80));
        s->a.frac |= 1ull << 63;
    } else if (op->check & NEAR && pick(3) == 0) {
        s->a.se = (s->a.se & 0x8000) | (0x3fff + pick(40) - 20);
        s->a.frac |= 1ull << 63;
    }
    s->b = random_f80(s->a);
    if (pick(16) == 0) {
        s->b = s->a;
    }
    random_mem(&s->m, op, s->a);
    s->e = (FpEnv) { .rc = pick(4), .pc = pick(4), .masks = FP_ALL };
    if (!(op->check & MASKED) && pick(4) == 0) {
        s->e.masks = pick(64);
    }
    /* the remainder of a denormal number and an infinity is that number: whether it underflows
     * is the processor's business */
    if (g_str_has_prefix(op->name, "fprem") && !(s->a.se & 0x7fff) && (s->b.se & 0x7fff) == 0x7fff) {
        s->e.masks |= FP_UE;
    }
}

static void describe(const X87Op *op, const Soft *s, const HostSave *h, uint16_t cw)
{
    g_test_message("%s cw=%03x a=%04x:%016" PRIx64 " b=%04x:%016" PRIx64 " m=%016" PRIx64,
                   op->name, cw, s->a.se, s->a.frac, s->b.se, s->b.frac, s->m.q);
    g_test_message(" soft %04x:%016" PRIx64 " %04x:%016" PRIx64 " flags=%02x c0=%d c1=%d c2=%d c3=%d",
                   s->st[0].se, s->st[0].frac, s->st[1].se, s->st[1].frac, s->e.flags,
                   s->c0, s->e.c1, s->c2, s->c3);
    g_test_message(" host %04x:%016" PRIx64 " %04x:%016" PRIx64 " sw=%04x", h->st[0].se,
                   h->st[0].frac, h->st[1].se, h->st[1].frac, h->sw);
}

static bool compare_x87(const X87Op *op, Soft *s, const HostSave *h, const Mem *m, const Mem *m0)
{
    unsigned unmasked = s->e.flags & ~s->e.masks;
    bool stopped = unmasked & (FP_IE | FP_DE | FP_ZE);
    bool unstored = op->check & STORE && unmasked & (FP_IE | FP_OE | FP_UE);

    if ((h->sw & 0x3f) != s->e.flags) {
        /* where the last place decides whether there is an underflow or overflow */
        return op->check & NEAR && !(((h->sw & 0x3f) ^ s->e.flags) & ~(FP_UE | FP_OE)) &&
               at_edge(s->st[0]) | at_edge(s->st[1]);
    }
    if (stopped || unstored) {
        /* the operands stay, except that a load does not happen at all */
        return !(op->check & STORE) || !memcmp(m, m0, sizeof(*m));
    }
    if (op->check & STORE && memcmp(m, &s->m, sizeof(*m))) {
        return false;
    }
    if (!same(s->st[0], h->st[0], op->check & NEAR) ||
        (op->check & REG1 && !same(s->st[1], h->st[1], op->check & NEAR))) {
        return false;
    }
    if ((h->sw >> 9 & 1) != s->e.c1) {
        c1s++;
        if (op->check & C1) {
            return false;
        }
    }
    return !(op->check & CC) || ((h->sw >> 8 & 1) == s->c0 && (h->sw >> 10 & 1) == s->c2 &&
                                 (h->sw >> 14 & 1) == s->c3);
}

static void test_x87(const void *opaque)
{
    const X87Op *op = opaque;
    unsigned bad = 0;

    fp_random_setup(op->name);
    ulps = c1s = 0;
    for (unsigned i = 0; i < cases; i++) {
        Soft s = { 0 };
        HostSave h;
        random_operands(&s, op);
        HostF80 a = { s.a.frac, s.a.se }, b = { s.b.frac, s.b.se };
        Mem m = s.m, m0 = s.m;
        uint16_t cw = 0x40 | s.e.masks | s.e.pc << 8 | s.e.rc << 10;
        op->host(&a, &b, cw, &m, &h);
        s.st[0] = s.a;
        s.st[1] = s.b;
        op->soft(&s);
        if (!compare_x87(op, &s, &h, &m, &m0)) {
            describe(op, &s, &h, cw);
            if (++bad == 10) {
                break;
            }
        }
    }
    if (op->check & NEAR) {
        g_test_message("%s: %u of %u differ in the last place, %u in C1", op->name, ulps, cases, c1s);
    }
    if (bad) {
        g_test_fail();
    }
}
#endif

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/softfloat/known/f32", test_known);
    g_test_add_func("/softfloat/known/f64", test_known_f64);
    g_test_add_func("/softfloat/known/f80", test_known_f80);
    g_test_add_func("/softfloat/known/conversions", test_known_conversions);
#if defined(__x86_64__)
    for (unsigned i = 0; i < G_N_ELEMENTS(x87_ops); i++) {
        char *path = g_strdup_printf("/softfloat/x87/%s", x87_ops[i].name);
        g_test_add_data_func(path, &x87_ops[i], test_x87);
        g_free(path);
    }
#endif
    return g_test_run();
}
