/* SPDX-License-Identifier: MIT */
/*
 * FXSAVE, FXRSTOR and the XSAVE family against the host: random x87, XMM, YMM and MXCSR state
 * (often in part initial), random component masks, areas and headers (sometimes bad), saved and
 * restored natively and by the interpreter; the areas, and the state afterwards, byte for byte.
 * Skipped where the host has no AVX and XSAVE.
 */
#include <glib.h>
#include <inttypes.h>
#include <string.h>
#include "fpu/softfloat.h"
#include "target-i386/fxsave.h"
#include "target-i386/interp.h"
#include "target-i386/sse-env.h"
#include "target-i386/x87.h"
#include "tests/unit/fp-random.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <signal.h>
#include <sys/mman.h>

typedef struct State {
    uint8_t fsave[108];
    uint32_t mxcsr;
    uint64_t ymm[16][4];
} State;

typedef struct Arena {
    uint8_t area[1024] __attribute__((aligned(64)));
    State in, out;
} Arena;

static Arena *arena;
static uint8_t *code;                   /* frstor (%rsi); insn; fnsave (%rcx) */
static X86CPU *cpu;
static sigjmp_buf trap;

static void on_signal(int sig)
{
    siglongjmp(trap, 1);
}

static void stop(X86CPU *c, const Insn *i)
{
}

static bool host_has_avx(void)
{
    unsigned a = 0, b = 0, c = 0, d = 0;
    __get_cpuid(1, &a, &b, &c, &d);
    if (!(c & bit_OSXSAVE) || !(c & bit_AVX)) {
        return false;
    }
    unsigned lo, hi;
    __asm__("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (lo & 7) == 7;
}

static bool host_has_leaf_d(unsigned bit)
{
    unsigned a = 0, b = 0, c = 0, d = 0;
    __get_cpuid_count(13, 1, &a, &b, &c, &d);
    return a >> bit & 1;
}

static void setup(void)
{
    arena = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
                -1, 0);
    g_assert_true(arena != MAP_FAILED && code != MAP_FAILED);
    insn_table_init();
    size_t size = (sizeof(X86CPU) + 63) & ~63ul;
    cpu = aligned_alloc(64, size);
    memset(cpu, 0, size);
    memset(cpu->features, 0xff, sizeof(cpu->features));
    cpu->cr0 = CR0_PE | CR0_NE | CR0_PG;
    cpu->cr4 = CR4_OSFXSR | CR4_OSXSAVE;
    cpu->efer = EFER_LMA | EFER_LME;
    cpu->seg[R_CS].attr = DESC_P | DESC_S | DESC_CODE | DESC_L;
    cpu->xcr0 = XCR0_X87 | XCR0_SSE | XCR0_AVX;
    cpu->tcg.data = cpu->tcg.tlb;
    uint64_t page = (uintptr_t)arena & GUEST_PAGE_MASK;
    for (unsigned acc = TLB_READ; acc <= TLB_WRITE; acc++) {
        cpu->tcg.tlb[0].e[acc][tlb_index(page)] = (TlbEntry) { .tag = page, .addend = 0 };
    }
}

/* ---- running --------------------------------------------------------------------------- */

/* All YMM, MXCSR in; call; all out.  The host knows that a register is in its initial state by
 * the instruction that put it there, not by its value. */
static G_GNUC_NO_INLINE void call_native(uint64_t mask)
{
    uint64_t lower = 0, upper = 0;

    for (unsigned n = 0; n < 16; n++) {
        lower |= arena->in.ymm[n][0] | arena->in.ymm[n][1];
        upper |= arena->in.ymm[n][2] | arena->in.ymm[n][3];
    }
    unsigned zero = upper ? 0 : lower ? 1 : 2;
    __asm__ volatile(
        "sub $256, %%rsp\n"
        ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
        "vmovdqu \\n*32(%[yin]), %%ymm\\n\n"
        ".endr\n"
        "cmp $1, %[zero]\n"
        "jb 1f\n"
        "vzeroupper\n"
        "je 1f\n"
        "vzeroall\n"
        "1: ldmxcsr (%[min])\n"
        "call *%[code]\n"
        ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
        "vmovdqu %%ymm\\n, \\n*32(%[yout])\n"
        ".endr\n"
        "stmxcsr (%[mout])\n"
        "vzeroupper\n"
        "add $256, %%rsp\n"
        :
        : "a"((uint32_t)mask), "d"((uint32_t)(mask >> 32)), "D"(arena->area),
          "S"(arena->in.fsave), "c"(arena->out.fsave), [yin] "r"(arena->in.ymm),
          [yout] "r"(arena->out.ymm), [min] "r"(&arena->in.mxcsr), [mout] "r"(&arena->out.mxcsr),
          [code] "r"(code), [zero] "r"(zero)
        : "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
          "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "st", "st(1)", "st(2)",
          "st(3)", "st(4)", "st(5)", "st(6)", "st(7)");
    uint32_t plain = 0x1f80;
    __asm__ volatile("ldmxcsr %0" : : "m"(plain));
}

static bool run_native(uint64_t mask)
{
    signal(SIGSEGV, on_signal);
    if (sigsetjmp(trap, 1) == 0) {
        call_native(mask);
        signal(SIGSEGV, SIG_DFL);
        return true;
    }
    signal(SIGSEGV, SIG_DFL);
    uint32_t plain = 0x1f80;
    __asm__ volatile("fninit\n ldmxcsr %0" : : "m"(plain));
    return false;
}

static bool run_interpreter(uint64_t mask)
{
    static Insn insns[4];
    const uint32_t mode = MODE_CODE64 | MODE_PE | MODE_FLAT | MODE_SSFLAT | MODE_CSFLAT |
                          MODE_FXSR | MODE_AVX | MODE_LMA;
    unsigned at = 0;

    for (unsigned k = 0; k < 3; k++) {
        InsnBytes bytes = { code + at, 15 };
        g_assert_cmpint(insn_decode(cpu, mode, bytes, at, &insns[k]), ==, DECODE_OK);
        at += insns[k].len;
    }
    insns[3] = (Insn) { .fn = stop };
    cpu->r[17] = (uintptr_t)code;
    cpu->r[R_EDI] = (uintptr_t)arena->area;
    cpu->r[R_ESI] = (uintptr_t)arena->in.fsave;
    cpu->r[R_ECX] = (uintptr_t)arena->out.fsave;
    cpu->r[R_EAX] = (uint32_t)mask;
    cpu->r[R_EDX] = mask >> 32;
    cpu->fpu.sw = 0;
    x86_set_mxcsr(cpu, arena->in.mxcsr);
    for (unsigned n = 0; n < 16; n++) {
        memcpy(cpu->v[n].q, arena->in.ymm[n], 32);
    }
    cpu->exc_vector = cpu->exc_old_vector = -1;
    if (sigsetjmp(cpu->cpu.jmp, 0) == 0) {
        insns[0].fn(cpu, insns);
    } else {
        g_assert_cmpint(cpu->exc_vector, ==, EXC_GP);
        return false;
    }
    arena->out.mxcsr = x86_get_mxcsr(cpu);
    for (unsigned n = 0; n < 16; n++) {
        memcpy(arena->out.ymm[n], cpu->v[n].q, 32);
    }
    return true;
}

/* ---- cases ----------------------------------------------------------------------------- */

static void random_state(State *s)
{
    for (unsigned k = 0; k < sizeof(s->fsave); k++) {
        s->fsave[k] = rnd();
    }
    /* cw: all masked, sw: nothing pending after that */
    s->fsave[0] |= 0x7f;
    st16_le(s->fsave + 4, ld16_le(s->fsave + 4) & 0x7f7f);
    memset(s->fsave + 16, 0, 2);                /* FCS, FDS: the host may have none */
    memset(s->fsave + 24, 0, 2);
    s->mxcsr = pick(2) ? 0x1f80 : rnd() & 0xffff;
    unsigned kind = pick(3);
    for (unsigned n = 0; n < 16; n++) {
        for (unsigned k = 0; k < 4; k++) {
            s->ymm[n][k] = kind == 0 || (kind == 1 && k >= 2) ? 0 : rnd();
        }
    }
}

static void random_area(uint8_t *area, bool compacted)
{
    for (unsigned k = 0; k < 1024; k++) {
        area[k] = rnd();
    }
    area[0] |= 0x7f;
    area[2] = rnd() & 0x7f;
    memset(area + 12, 0, 4);
    memset(area + 20, 0, 4);
    st32_le(area + FX_MXCSR, pick(16) ? rnd() & 0xffff : rnd());
    memset(area + XSAVE_HEADER, 0, 64);
    uint64_t bv = rnd() & 7;
    st64_le(area + XSAVE_XSTATE_BV, bv);
    if (compacted) {
        st64_le(area + XSAVE_XCOMP_BV, bv | (rnd() & 7) | XCOMP_COMPACTED);
    }
    if (pick(12) == 0) {
        /* bits 5-7 of the bitmaps: the host may have AVX-512, we have not */
        area[XSAVE_HEADER + pick(64)] ^= 1 << pick(5);
    }
}

/* AMD's processors save and load FOP, FIP and FDP only while an exception is pending, which it is
 * in no case here, and else clear them (APM 2, 11.4.4); Intel's, and ours, do always. */
static void forget_pointers(Arena *a)
{
    static int amd = -1;

    if (amd < 0) {
        unsigned eax, b = 0, c, d;
        __get_cpuid(0, &eax, &b, &c, &d);
        amd = b == signature_AMD_ebx || b == 0x6f677948 /* Hygon */;
    }
    if (amd) {
        memset(a->area + 6, 0, 18);
        memset(a->area + 28, 0, 4);             /* MXCSR_MASK: they have one bit more */
        memset(a->in.fsave + 12, 0, 12);
        memset(a->out.fsave + 12, 0, 12);
    }
}

typedef struct Op {
    const char *name;
    uint8_t bytes[5];
    unsigned len;
    bool load, compacted;
    int leaf_d;                 /* bit of CPUID 0Dh.1 EAX it needs, -1 none */
    uint8_t twin[5];            /* what the interpreter runs, where it is another instruction */
} Op;

static const Op ops[] = {
    { "fxsave",     { 0x0f, 0xae, 0x07 }, 3, false, false, -1 },
    { "fxsave64",   { 0x48, 0x0f, 0xae, 0x07 }, 4, false, false, -1 },
    { "fxrstor",    { 0x0f, 0xae, 0x0f }, 3, true, false, -1 },
    { "fxrstor64",  { 0x48, 0x0f, 0xae, 0x0f }, 4, true, false, -1 },
    { "xsave",      { 0x0f, 0xae, 0x27 }, 3, false, false, -1 },
    { "xsave64",    { 0x48, 0x0f, 0xae, 0x27 }, 4, false, false, -1 },
    { "xsaveopt64", { 0x48, 0x0f, 0xae, 0x37 }, 4, false, false, 0 },
    { "xsavec64",   { 0x48, 0x0f, 0xc7, 0x27 }, 4, false, false, 1 },
    { "xrstor",     { 0x0f, 0xae, 0x2f }, 3, true, false, -1 },
    { "xrstor64",   { 0x48, 0x0f, 0xae, 0x2f }, 4, true, false, -1 },
    { "xrstorc64",  { 0x48, 0x0f, 0xae, 0x2f }, 4, true, true, 1 },
    /* privileged, and the same as these where there is no supervisor state */
    { "xsaves64",   { 0x48, 0x0f, 0xc7, 0x27 }, 4, false, false, 1, { 0x48, 0x0f, 0xc7, 0x2f } },
    { "xrstors64",  { 0x48, 0x0f, 0xae, 0x2f }, 4, true, true, 1, { 0x48, 0x0f, 0xc7, 0x1f } },
};

static bool all_zero(const State *s)
{
    uint64_t any = 0;
    for (unsigned n = 0; n < 64; n++) {
        any |= s->ymm[n / 4][n % 4];
    }
    return !any;
}

static void differs(const Op *op, const char *what, uint64_t mask, const void *a, const void *b,
                    unsigned size)
{
    const uint8_t *x = a, *y = b;
    for (unsigned k = 0; k < size; k++) {
        if (x[k] != y[k]) {
            g_test_message("%s mask %" PRIx64 ": %s differ at %u: native %02x interpreter %02x",
                           op->name, mask, what, k, x[k], y[k]);
            g_test_fail();
            return;
        }
    }
}

static void test_op(const void *opaque)
{
    const Op *op = opaque;
    static const uint8_t frstor_rsi[] = { 0xdd, 0x26 }, fnsave_rcx[] = { 0xdd, 0x31, 0xc3 };
    static Arena before, native;
    unsigned compared = 0;

    if (!host_has_avx() || (op->leaf_d >= 0 && !host_has_leaf_d(op->leaf_d))) {
        g_test_skip("the host has no such instruction");
        return;
    }
    fp_random_setup(op->name);
    memcpy(code, frstor_rsi, 2);
    memcpy(code + 2 + op->len, fnsave_rcx, 3);
    for (unsigned k = 0; k < 2000 && !g_test_failed(); k++) {
        uint64_t mask = pick(4) ? rnd() & 7 : 7;
        memset(&before, 0, sizeof(before));
        random_state(&before.in);
        random_area(before.area, op->compacted);
        *arena = before;
        memcpy(code + 2, op->bytes, op->len);
        bool good = run_native(mask);
        native = *arena;
        *arena = before;
        if (op->twin[0]) {
            memcpy(code + 2, op->twin, op->len);
        }
#if HOST_X87
        host_x87_cw = 0;
        host_x87_flags = FP_ALL;
#endif
        g_assert_cmpint(run_interpreter(mask), ==, good);
        x86_set_mxcsr(cpu, MXCSR_RESET);
        uint8_t bv_extra = native.area[XSAVE_XSTATE_BV] & ~arena->area[XSAVE_XSTATE_BV];
        if (!good || (!op->load && bv_extra == XCR0_SSE && all_zero(&before.in))) {
            continue;           /* zero, but the host does not know */
        }
        compared++;
        forget_pointers(&native);
        forget_pointers(arena);
        differs(op, "areas", mask, native.area, arena->area, sizeof(arena->area));
        differs(op, "x87 states", mask, native.out.fsave, arena->out.fsave, 108);
        differs(op, "MXCSR", mask, &native.out.mxcsr, &arena->out.mxcsr, 4);
        differs(op, "YMM registers", mask, native.out.ymm, arena->out.ymm, 512);
    }
    g_assert_cmpuint(compared, >, 500);
}
#endif

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#if defined(__x86_64__)
    setup();
    for (unsigned k = 0; k < G_N_ELEMENTS(ops); k++) {
        char *path = g_strdup_printf("/xsave/%s", ops[k].name);
        g_test_add_data_func(path, &ops[k], test_op);
        g_free(path);
    }
#endif
    return g_test_run();
}
