/* SPDX-License-Identifier: MIT */
/*
 * Software floating point, f32, f64 and f16 part, against the host's SSE, AVX, F16C, FMA and
 * AVX-512 instructions: results and flags, in all rounding modes, with DAZ and FTZ, masked
 * and unmasked.  A trap (SIGFPE) is answered by noting MXCSR and letting the instruction run
 * again with everything masked.  Only on x86 hosts; test-softfloat.c has values for others.
 *
 * SOFTFLOAT_CASES and SOFTFLOAT_SEED as there.
 */
#include <glib.h>
#include <inttypes.h>
#include <string.h>
#include "fpu/softfloat.h"
#include "tests/unit/fp-random.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <signal.h>
#include <ucontext.h>

#define CSR_DEFAULT 0x1f80u
#define CSR_DAZ     0x0040u
#define CSR_FTZ     0x8000u

typedef struct Operands {
    uint64_t a, b, c;
} Operands;

static volatile uint32_t trapped;

static void on_fpe(int sig, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    trapped = uc->uc_mcontext.fpregs->mxcsr;
    uc->uc_mcontext.fpregs->mxcsr = CSR_DEFAULT;
}

/* a, b, c in xmm0..2; the result comes from xmm0. */
#define HOST_SSE(name, insn)                                                              \
    static uint64_t host_##name(const Operands *o, uint32_t csr, uint32_t *after)         \
    {                                                                                     \
        uint64_t r;                                                                       \
        uint32_t plain = CSR_DEFAULT;                                                     \
        __asm__ volatile("movq %2, %%xmm0\n movq %3, %%xmm1\n movq %4, %%xmm2\n"          \
                         "ldmxcsr %5\n " insn "\n stmxcsr %1\n ldmxcsr %6\n"              \
                         "movq %%xmm0, %0"                                                \
                         : "=r"(r), "=m"(*after)                                          \
                         : "m"(o->a), "m"(o->b), "m"(o->c), "m"(csr), "m"(plain)          \
                         : "rax", "xmm0", "xmm1", "xmm2", "cc");                          \
        return r;                                                                         \
    }
#define BOTH(name) \
    HOST_SSE(name##ss, #name "ss %%xmm1, %%xmm0") HOST_SSE(name##sd, #name "sd %%xmm1, %%xmm0")
BOTH(add)
BOTH(sub)
BOTH(mul)
BOTH(div)
BOTH(sqrt)
BOTH(min)
BOTH(max)
#define FLAGS_TO_XMM0 "\n lahf\n movzbl %%ah, %%eax\n and $0x45, %%eax\n movq %%rax, %%xmm0"
HOST_SSE(comiss, "comiss %%xmm1, %%xmm0" FLAGS_TO_XMM0)
HOST_SSE(ucomiss, "ucomiss %%xmm1, %%xmm0" FLAGS_TO_XMM0)
HOST_SSE(comisd, "comisd %%xmm1, %%xmm0" FLAGS_TO_XMM0)
HOST_SSE(ucomisd, "ucomisd %%xmm1, %%xmm0" FLAGS_TO_XMM0)
HOST_SSE(roundss_csr, "roundss $4, %%xmm1, %%xmm0")
HOST_SSE(roundss_up, "roundss $2, %%xmm1, %%xmm0")
HOST_SSE(roundss_quiet, "roundss $9, %%xmm1, %%xmm0")
HOST_SSE(roundsd_csr, "roundsd $4, %%xmm1, %%xmm0")
HOST_SSE(roundsd_nearest, "roundsd $0, %%xmm1, %%xmm0")
#define INT(name, insn, reg) \
    HOST_SSE(name, insn " %%xmm1, %%" reg "\n movq %%rax, %%xmm0")
INT(cvtss2si, "cvtss2si", "eax")
INT(cvtss2siq, "cvtss2si", "rax")
INT(cvttss2si, "cvttss2si", "eax")
INT(cvtsd2si, "cvtsd2si", "eax")
INT(cvtsd2siq, "cvtsd2si", "rax")
INT(cvttsd2siq, "cvttsd2si", "rax")
INT(cvtss2usi, "vcvtss2usi", "eax")
INT(cvtss2usiq, "vcvtss2usi", "rax")
INT(cvtsd2usi, "vcvtsd2usi", "eax")
INT(cvtsd2usiq, "vcvtsd2usi", "rax")
#define FROM_INT(name, insn, reg) \
    HOST_SSE(name, "movq %%xmm1, %%rax\n " insn " %%" reg ", %%xmm0")
#define FROM_INT3(name, insn, reg) \
    HOST_SSE(name, "movq %%xmm1, %%rax\n " insn " %%" reg ", %%xmm0, %%xmm0")
FROM_INT(cvtsi2ss, "cvtsi2ss", "eax")
FROM_INT(cvtsi2ssq, "cvtsi2ss", "rax")
FROM_INT(cvtsi2sd, "cvtsi2sd", "eax")
FROM_INT(cvtsi2sdq, "cvtsi2sd", "rax")
FROM_INT3(cvtusi2ss, "vcvtusi2ss", "eax")
FROM_INT3(cvtusi2ssq, "vcvtusi2ss", "rax")
FROM_INT3(cvtusi2sdq, "vcvtusi2sd", "rax")
HOST_SSE(cvtss2sd, "cvtss2sd %%xmm1, %%xmm0")
HOST_SSE(cvtsd2ss, "cvtsd2ss %%xmm1, %%xmm0")
HOST_SSE(cvtph2ps, "vcvtph2ps %%xmm1, %%xmm0")
HOST_SSE(cvtps2ph, "vcvtps2ph $4, %%xmm1, %%xmm0")
HOST_SSE(cvtps2ph_up, "vcvtps2ph $2, %%xmm1, %%xmm0")
HOST_SSE(fmadd132ss, "vfmadd132ss %%xmm2, %%xmm1, %%xmm0")
HOST_SSE(fmadd213ss, "vfmadd213ss %%xmm2, %%xmm1, %%xmm0")
HOST_SSE(fmadd231ss, "vfmadd231ss %%xmm2, %%xmm1, %%xmm0")
HOST_SSE(fnmadd231ss, "vfnmadd231ss %%xmm2, %%xmm1, %%xmm0")
HOST_SSE(fmadd213sd, "vfmadd213sd %%xmm2, %%xmm1, %%xmm0")
HOST_SSE(fmsub213sd, "vfmsub213sd %%xmm2, %%xmm1, %%xmm0")
HOST_SSE(fnmsub213sd, "vfnmsub213sd %%xmm2, %%xmm1, %%xmm0")

#define SOFT(name, expr) \
    static uint64_t soft_##name(uint64_t a, uint64_t b, uint64_t c, FpEnv *e) { return expr; }
#define SOFT2(name, fn) \
    SOFT(name##ss, f32_##fn(a, b, e)) SOFT(name##sd, f64_##fn(a, b, e))

static uint64_t relation_flags(FpRel r)
{
    static const uint8_t flags[] = { 1, 0x40, 0, 0x45 };
    return flags[r + 1];
}

SOFT2(add, add)
SOFT2(sub, sub)
SOFT2(mul, mul)
SOFT2(div, div)
SOFT2(min, min)
SOFT2(max, max)
SOFT(sqrtss, f32_sqrt(b, e))
SOFT(sqrtsd, f64_sqrt(b, e))
SOFT(comiss, relation_flags(f32_compare(a, b, true, e)))
SOFT(ucomiss, relation_flags(f32_compare(a, b, false, e)))
SOFT(comisd, relation_flags(f64_compare(a, b, true, e)))
SOFT(ucomisd, relation_flags(f64_compare(a, b, false, e)))
SOFT(roundss_csr, f32_round_int(b, e->rc, false, e))
SOFT(roundss_up, f32_round_int(b, FP_RC_UP, false, e))
SOFT(roundss_quiet, f32_round_int(b, FP_RC_DOWN, true, e))
SOFT(roundsd_csr, f64_round_int(b, e->rc, false, e))
SOFT(roundsd_nearest, f64_round_int(b, FP_RC_NEAREST, false, e))
SOFT(cvtss2si, (uint32_t)f32_to_i32(b, e->rc, e))
SOFT(cvtss2siq, f32_to_i64(b, e->rc, e))
SOFT(cvttss2si, (uint32_t)f32_to_i32(b, FP_RC_ZERO, e))
SOFT(cvtsd2si, (uint32_t)f64_to_i32(b, e->rc, e))
SOFT(cvtsd2siq, f64_to_i64(b, e->rc, e))
SOFT(cvttsd2siq, f64_to_i64(b, FP_RC_ZERO, e))
SOFT(cvtss2usi, f32_to_u32(b, e->rc, e))
SOFT(cvtss2usiq, f32_to_u64(b, e->rc, e))
SOFT(cvtsd2usi, f64_to_u32(b, e->rc, e))
SOFT(cvtsd2usiq, f64_to_u64(b, e->rc, e))
SOFT(cvtsi2ss, i32_to_f32(b, e))
SOFT(cvtsi2ssq, i64_to_f32(b, e))
SOFT(cvtsi2sd, i32_to_f64(b, e))
SOFT(cvtsi2sdq, i64_to_f64(b, e))
SOFT(cvtusi2ss, u32_to_f32(b, e))
SOFT(cvtusi2ssq, u64_to_f32(b, e))
SOFT(cvtusi2sdq, u64_to_f64(b, e))
SOFT(cvtss2sd, f32_to_f64(b, e))
SOFT(cvtsd2ss, f64_to_f32(b, e))
SOFT(cvtph2ps, f16_to_f32(b, e))
SOFT(cvtps2ph, f32_to_f16(b, e->rc, e))
SOFT(cvtps2ph_up, f32_to_f16(b, FP_RC_UP, e))
SOFT(fmadd132ss, f32_fma(a, c, b, 0, e))
SOFT(fmadd213ss, f32_fma(b, a, c, 0, e))
SOFT(fmadd231ss, f32_fma(b, c, a, 0, e))
SOFT(fnmadd231ss, f32_fma(b, c, a, FP_FMA_NEG_PRODUCT, e))
SOFT(fmadd213sd, f64_fma(b, a, c, 0, e))
SOFT(fmsub213sd, f64_fma(b, a, c, FP_FMA_NEG_ADDEND, e))
SOFT(fnmsub213sd, f64_fma(b, a, c, FP_FMA_NEG_PRODUCT | FP_FMA_NEG_ADDEND, e))

typedef enum { BASE, F16C, FMA, AVX512 } Need;
typedef enum { OF32, OF64, OI32, OI64, OF16 } OperandKind;

typedef struct SseOp {
    const char *name;
    uint64_t (*host)(const Operands *, uint32_t, uint32_t *);
    uint64_t (*soft)(uint64_t, uint64_t, uint64_t, FpEnv *);
    OperandKind operands;
    unsigned bits;              /* of the result */
    Need need;
} SseOp;

#define OP(n, kind, bits, need) { #n, host_##n, soft_##n, kind, bits, need }
#define OP_BOTH(n) OP(n##ss, OF32, 32, BASE), OP(n##sd, OF64, 64, BASE)
static const SseOp ops[] = {
    OP_BOTH(add), OP_BOTH(sub), OP_BOTH(mul), OP_BOTH(div), OP_BOTH(sqrt), OP_BOTH(min),
    OP_BOTH(max),
    OP(comiss, OF32, 64, BASE), OP(ucomiss, OF32, 64, BASE),
    OP(comisd, OF64, 64, BASE), OP(ucomisd, OF64, 64, BASE),
    OP(roundss_csr, OF32, 32, BASE), OP(roundss_up, OF32, 32, BASE),
    OP(roundss_quiet, OF32, 32, BASE),
    OP(roundsd_csr, OF64, 64, BASE), OP(roundsd_nearest, OF64, 64, BASE),
    OP(cvtss2si, OF32, 64, BASE), OP(cvtss2siq, OF32, 64, BASE), OP(cvttss2si, OF32, 64, BASE),
    OP(cvtsd2si, OF64, 64, BASE), OP(cvtsd2siq, OF64, 64, BASE),
    OP(cvttsd2siq, OF64, 64, BASE),
    OP(cvtss2usi, OF32, 64, AVX512), OP(cvtss2usiq, OF32, 64, AVX512),
    OP(cvtsd2usi, OF64, 64, AVX512), OP(cvtsd2usiq, OF64, 64, AVX512),
    OP(cvtsi2ss, OI32, 32, BASE), OP(cvtsi2ssq, OI64, 32, BASE),
    OP(cvtsi2sd, OI32, 64, BASE), OP(cvtsi2sdq, OI64, 64, BASE),
    OP(cvtusi2ss, OI32, 32, AVX512), OP(cvtusi2ssq, OI64, 32, AVX512),
    OP(cvtusi2sdq, OI64, 64, AVX512),
    OP(cvtss2sd, OF32, 64, BASE), OP(cvtsd2ss, OF64, 32, BASE),
    OP(cvtph2ps, OF16, 32, F16C), OP(cvtps2ph, OF32, 16, F16C), OP(cvtps2ph_up, OF32, 16, F16C),
    OP(fmadd132ss, OF32, 32, FMA), OP(fmadd213ss, OF32, 32, FMA), OP(fmadd231ss, OF32, 32, FMA),
    OP(fnmadd231ss, OF32, 32, FMA), OP(fmadd213sd, OF64, 64, FMA), OP(fmsub213sd, OF64, 64, FMA),
    OP(fnmsub213sd, OF64, 64, FMA),
};

static bool host_has(Need need)
{
    unsigned a = 0, b = 0, c = 0, d = 0, b7 = 0;
    __get_cpuid(1, &a, &b, &c, &d);
    bool avx = c & bit_OSXSAVE && c & bit_AVX;
    bool f16c = avx && c & bit_F16C, fma = avx && c & bit_FMA;
    __get_cpuid_count(7, 0, &a, &b7, &c, &d);
    return need == BASE || (need == F16C && f16c) || (need == FMA && fma) ||
           (need == AVX512 && avx && b7 & bit_AVX512F);
}

static uint64_t random_int(unsigned bits)
{
    uint64_t r = random_frac();
    r = pick(2) ? r >> pick(bits) : r;
    r = pick(2) ? r : -r;
    return bits == 32 ? (uint32_t)r : r;
}

static uint64_t random_operand(OperandKind kind, uint64_t near)
{
    switch (kind) {
    case OF16: return random_float(5, 10, near);
    case OF32: return random_float(8, 23, near);
    case OF64: return random_float(11, 52, near);
    case OI32: return random_int(32);
    default:   return random_int(64);
    }
}

static void random_operands(Operands *o, OperandKind kind)
{
    o->a = random_operand(kind, rnd());
    o->b = random_operand(kind, o->a);
    o->c = random_operand(kind, pick(2) ? o->a : o->b);
    /* addends about as large as the product, and its exact negative */
    if (pick(4) == 0 && (kind == OF32 || kind == OF64)) {
        FpEnv e = { .rc = pick(4), .masks = FP_ALL };
        uint64_t p = kind == OF32 ? f32_mul(o->a, o->b, &e) : f64_mul(o->a, o->b, &e);
        o->c = (p ^ (kind == OF32 ? 1ull << 31 : 1ull << 63)) + pick(3) - pick(2);
        o->c = kind == OF32 ? (uint32_t)o->c : o->c;
    }
}

static bool check(const SseOp *op, const Operands *o, uint32_t csr)
{
    FpEnv e = { .rc = csr >> 13 & 3, .masks = csr >> 7 & 0x3f, .daz = csr & CSR_DAZ,
                .ftz = csr & CSR_FTZ };
    uint64_t mask = ~0ull >> (64 - op->bits);
    uint32_t after;

    trapped = 0;
    uint64_t host = op->host(o, csr, &after) & mask;
    if (trapped) {
        after = trapped;
    }
    uint64_t soft = op->soft(o->a, o->b, o->c, &e) & mask;
    /* of a conversion to half precision that ends with #XM for underflow, some report PE too */
    uint32_t flags = g_str_has_prefix(op->name, "cvtps2ph") && trapped && (after & FP_UE) ? 0x3f & ~FP_PE : 0x3f;
    if (!((after ^ e.flags) & flags) && !(e.flags & ~e.masks) == !trapped &&
        (trapped || host == soft)) {
        return true;
    }
    g_test_message("%s csr=%04x a=%" PRIx64 " b=%" PRIx64 " c=%" PRIx64, op->name, csr,
                   o->a, o->b, o->c);
    g_test_message(" soft %" PRIx64 " flags=%02x", soft, e.flags);
    g_test_message(" host %" PRIx64 " flags=%02x trap=%d", host, after & 0x3f, trapped != 0);
    return false;
}

static void test_op(const void *opaque)
{
    const SseOp *op = opaque;
    struct sigaction fpe = { .sa_sigaction = on_fpe, .sa_flags = SA_SIGINFO };
    struct sigaction old;
    unsigned bad = 0;

    if (!host_has(op->need)) {
        g_test_skip("the host has no such instruction");
        return;
    }
    fp_random_setup(op->name);
    sigaction(SIGFPE, &fpe, &old);
    for (unsigned i = 0; i < cases && bad < 10; i++) {
        Operands o;
        random_operands(&o, op->operands);
        uint32_t csr = CSR_DEFAULT | pick(4) << 13;
        if (pick(4) == 0) {
            csr |= (pick(2) ? CSR_DAZ : 0) | (pick(2) ? CSR_FTZ : 0);
        }
        if (pick(8) == 0) {
            csr = (csr & ~0x1f80u) | pick(64) << 7;
        }
        bad += !check(op, &o, csr);
    }
    sigaction(SIGFPE, &old, NULL);
    if (bad) {
        g_test_fail();
    }
}
#endif

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#if defined(__x86_64__)
    for (unsigned i = 0; i < G_N_ELEMENTS(ops); i++) {
        char *path = g_strdup_printf("/softfloat/sse/%s", ops[i].name);
        g_test_add_data_func(path, &ops[i], test_op);
        g_free(path);
    }
#endif
    return g_test_run();
}
