/* SPDX-License-Identifier: MIT */
/*
 * x87 instructions against the host: random register stacks, control words, flags and memory
 * operands; FRSTOR, the instruction, FNSAVE run natively and in the interpreter from the same
 * bytes, and the images, memory, EFLAGS and RAX are compared.  All encodings D8-DF.  Twice:
 * once with the interpreter computing on the host's x87 and once on softfloat, where the
 * transcendental instructions may differ by one in the last place.
 *
 * X87_CASES=N random cases per encoding (default 20), SOFTFLOAT_SEED=N.
 */
#include <glib.h>
#include <inttypes.h>
#include <string.h>
#include "fpu/softfloat.h"
#include "target-i386/fxsave.h"
#include "target-i386/interp.h"
#include "target-i386/x87.h"
#include "tests/unit/fp-random.h"

#if defined(__x86_64__)
#include <signal.h>
#include <sys/mman.h>

/* ---- machine under test ---------------------------------------------------------------- */

typedef struct __attribute__((packed)) Image {
    uint16_t cw, r0, sw, r1, tw, r2;
    uint32_t fip;
    uint16_t fcs, fop;
    uint32_t fdp;
    uint16_t fds, r3;
    struct __attribute__((packed)) {
        uint64_t frac;
        uint16_t se;
    } st[8];
} Image;

/* What an instruction works on; page-aligned and below, so that one TLB entry does. */
typedef struct Arena {
    Image in, out;
    uint8_t mem[128];
    uint8_t after[128];         /* guards */
} Arena;

static Arena *arena;
static uint8_t *code;           /* frstor (%rsi); insn; fnsave (%rdx) */
static X86CPU *cpu;
static sigjmp_buf trap;
static volatile int trap_signal;

typedef struct Outcome {
    Image image;
    uint8_t mem[128];
    uint32_t eflags;
    uint64_t rax;
    int fault;                  /* 0, SIGFPE (#MF), SIGILL (#UD) */
} Outcome;

static void on_signal(int sig, siginfo_t *info, void *context)
{
    trap_signal = sig;
    siglongjmp(trap, 1);
}

static void stop(X86CPU *c, const Insn *i)
{
}

static void setup(void)
{
    struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_NODEFER };
    sigaction(SIGFPE, &sa, NULL);
    sigaction(SIGILL, &sa, NULL);

    arena = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
                -1, 0);
    g_assert_true(arena != MAP_FAILED && code != MAP_FAILED);

    insn_table_init();
    size_t size = (sizeof(X86CPU) + 63) & ~63ul;
    cpu = aligned_alloc(64, size);
    memset(cpu, 0, size);
    cpu->r[16] = 0;
    memset(cpu->features, 0xff, sizeof(cpu->features));
    cpu->cr0 = CR0_PE | CR0_NE | CR0_PG;
    cpu->cr4 = CR4_OSFXSR | CR4_OSXSAVE;
    cpu->efer = EFER_LMA | EFER_LME;
    cpu->seg[R_CS].attr = DESC_P | DESC_S | DESC_CODE | DESC_L;
    cpu->exc_vector = -1;
    /* guest-virtual = host address for the arena's page */
    cpu->tcg.data = cpu->tcg.tlb;
    uint64_t page = (uintptr_t)arena & GUEST_PAGE_MASK;
    for (unsigned acc = TLB_READ; acc <= TLB_WRITE; acc++) {
        cpu->tcg.tlb[0].e[acc][tlb_index(page)] = (TlbEntry) { .tag = page, .addend = 0 };
    }
}

/* ---- running --------------------------------------------------------------------------- */

static unsigned insn_at;

/* The instruction's bytes between FRSTOR and FNSAVE. */
static void assemble(const uint8_t *insn, unsigned len)
{
    static const uint8_t frstor_rsi[] = { 0xdd, 0x26 }, fnsave_rdx[] = { 0xdd, 0x32 };
    uint8_t *p = code;

    memcpy(p, frstor_rsi, 2);
    insn_at = 2;
    memcpy(p + 2, insn, len);
    memcpy(p + 2 + len, fnsave_rdx, 2);
    p[4 + len] = 0xc3;
}

static uint64_t native_flags, native_rax;

static G_GNUC_NO_INLINE void call_native(void)
{
    __asm__ volatile("sub $256, %%rsp\n push %0\n popfq\n call *%6\n pushfq\n pop %0\n"
                     "add $256, %%rsp\n"
                     : "+r"(native_flags), "+a"(native_rax), "+m"(*arena)
                     : "D"(arena->mem), "S"(&arena->in), "d"(&arena->out), "r"(code)
                     : "memory", "cc", "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)",
                       "st(6)", "st(7)");
}

static void run_native(uint32_t eflags, uint64_t rax, Outcome *o)
{
    native_flags = eflags;
    native_rax = rax;
    trap_signal = 0;
    if (sigsetjmp(trap, 1) == 0) {
        call_native();
    } else {
        __asm__ volatile("fninit");
    }
    o->fault = trap_signal;
    o->image = arena->out;
    memcpy(o->mem, arena->mem, sizeof(o->mem));
    o->eflags = native_flags & FL_ARITH;
    o->rax = native_rax;
}

static bool decode_all(Insn *insns)
{
    const uint32_t mode = MODE_CODE64 | MODE_PE | MODE_FLAT | MODE_SSFLAT | MODE_CSFLAT |
                          MODE_FXSR | MODE_AVX | MODE_LMA | 3 << MODE_CPL_SHIFT;
    unsigned at = 0;
    bool good = true;

    for (unsigned k = 0; k < 3; k++) {
        InsnBytes bytes = { code + at, 15 };
        good &= insn_decode(cpu, mode, bytes, at, &insns[k]) == DECODE_OK;
        at += insns[k].len;
    }
    insns[3] = (Insn) { .fn = stop };
    return good;
}

static void run_interpreter(uint32_t eflags, uint64_t rax, Outcome *o)
{
    static Insn insns[4];

    o->fault = 0;
    if (!decode_all(insns)) {
        o->fault = SIGILL;
        return;
    }
    cpu->r[17] = (uintptr_t)code;
    cpu->r[R_EDI] = (uintptr_t)arena->mem;
    cpu->r[R_ESI] = (uintptr_t)&arena->in;
    cpu->r[R_EDX] = (uintptr_t)&arena->out;
    cpu->r[R_EAX] = rax;
    flags_write_all(cpu, eflags);
    cpu->exc_vector = cpu->exc_old_vector = -1;
    cpu->fpu.sw = 0;
#if HOST_X87
    host_x87_cw = 0;            /* FNSAVE was here */
    host_x87_flags = FP_ALL;
#endif
    if (sigsetjmp(cpu->cpu.jmp, 0) == 0) {
        insns[0].fn(cpu, insns);
    } else {
        o->fault = cpu->exc_vector == EXC_MF ? SIGFPE : -cpu->exc_vector;
    }
    o->image = arena->out;
    memcpy(o->mem, arena->mem, sizeof(o->mem));
    o->eflags = flags_read(cpu);
    o->rax = cpu->r[R_EAX];
}

/* ---- cases ----------------------------------------------------------------------------- */

typedef struct Case {
    uint8_t insn[3];
    unsigned len;
    Arena arena;
    uint32_t eflags;
    uint64_t rax;
} Case;

static void random_image(Image *m)
{
    F80 near = f80_make(false, pick(0x7fff), 0);

    memset(m, 0xff, sizeof(*m));
    m->cw = 0x40 | pick(4) << 8 | pick(4) << 10 | FP_ALL;
    if (pick(4) == 0) {
        m->cw = (m->cw & ~FP_ALL) | pick(64);
    }
    m->sw = rnd() & 0x7f7f;
    if (pick(16)) {
        m->sw &= ~(~m->cw & FP_ALL);            /* nothing pending */
    }
    m->tw = pick(4) ? 0 : rnd();
    if (pick(2)) {
        m->tw |= 0xc000 >> 2 * ((8 - (m->sw >> 11 & 7)) & 7);   /* ST7 empty */
    }
    m->fip = rnd();
    m->fcs = 0;
    m->fop = rnd() & 0x7ff;
    m->fdp = rnd();
    m->fds = 0;
    for (unsigned k = 0; k < 8; k++) {
        F80 v = random_f80(near);
        if (pick(3) == 0) {
            v = i64_to_f80((int64_t)rnd() >> pick(64));
        } else if (pick(3) == 0) {
            v.se = (v.se & 0x8000) | (0x3fff + pick(20) - 10);
            v.frac |= 1ull << 63;
        }
        m->st[k].frac = v.frac;
        m->st[k].se = v.se;
        near = v;
    }
}

static void random_memory(uint8_t *mem)
{
    uint64_t v;

    for (unsigned k = 0; k < 128; k++) {
        mem[k] = rnd();
    }
    switch (pick(8)) {
    case 0: case 1:
        v = random_float(8, 23, (uint64_t)pick(256) << 23);
        memcpy(mem, &v, 4);
        break;
    case 2: case 3:
        v = random_float(11, 52, (uint64_t)pick(2048) << 52);
        memcpy(mem, &v, 8);
        break;
    case 4:
        for (unsigned k = 0; k < 9; k++) {
            mem[k] = pick(10) << 4 | pick(10);
        }
        break;
    case 5:
        random_image((Image *)mem);
        break;
    }
}

static const uint8_t transcendental[] = { 0xf0, 0xf1, 0xf2, 0xf3, 0xf9, 0xfb, 0xfe, 0xff };

static bool is_transcendental(const Case *t)
{
    return t->insn[0] == 0xd9 && memchr(transcendental, t->insn[1], sizeof(transcendental));
}

static bool near_f80(const Image *a, const Image *b, unsigned n)
{
    unsigned ea = MAX(a->st[n].se & 0x7fff, 1), eb = MAX(b->st[n].se & 0x7fff, 1);
    uint64_t fa = a->st[n].frac, fb = b->st[n].frac;

    if ((a->st[n].se ^ b->st[n].se) >> 15) {
        return false;
    }
    return ea == eb ? fa - fb + 1 <= 2
         : ea == eb + 1 ? fa == 1ull << 63 && fb == ~0ull
                        : eb == ea + 1 && fb == 1ull << 63 && fa == ~0ull;
}

/* Softfloat's transcendental results: the last place and C1 may differ, and at the edges of the
 * range of exponents also UE and OE. */
static void forgive(const Outcome *native, Outcome *soft)
{
    uint16_t mask = SW_C1;

    for (unsigned k = 0; k < 2; k++) {
        unsigned exp = soft->image.st[k].se & 0x7fff;
        if (near_f80(&native->image, &soft->image, k)) {
            soft->image.st[k] = native->image.st[k];
        }
        if (exp <= 1 || exp >= 0x7ffe) {
            mask |= FP_UE | FP_OE;
            soft->image.tw = native->image.tw;      /* valid or special */
        }
    }
    soft->image.sw = (soft->image.sw & ~mask) | (native->image.sw & mask);
}

/* Fields that depend on the unit and not on the program.  On AMD's processors the operating
 * system's switch to another thread loses FIP unless an exception is pending. */
static void normalise(Image *m, bool exception, bool fip_lost)
{
    if (fip_lost) {
        m->fip = 0;
    }
    if (!exception) {
        m->fdp = 0;             /* written by every memory operand, or by exceptions only */
        m->fop = 0;             /* by every instruction (AMD), or by exceptions only */
    }
    m->fcs = m->fds = 0;
}

static bool equal(const Case *t, Outcome *n, Outcome *v, bool soft)
{
    if (n->fault || v->fault) {
        return n->fault == v->fault;
    }
    bool exception = n->image.sw & SW_ES && !(t->arena.in.sw & ~t->arena.in.cw & FP_ALL);
    /* FNSTENV, FNSAVE: the image in memory has the same fields */
    bool env = (t->insn[0] == 0xd9 || t->insn[0] == 0xdd) && (t->insn[1] & 0xf8) == 0x30;
    if (env) {
        bool lost = !((Image *)n->mem)->fip;
        normalise((Image *)n->mem, exception, lost);
        normalise((Image *)v->mem, exception, lost);
    }
    bool lost = !n->image.fip;
    normalise(&n->image, exception && t->insn[1] < 0xc0, lost);
    normalise(&v->image, exception && t->insn[1] < 0xc0, lost);
    if ((soft || !HOST_X87) && is_transcendental(t)) {
        forgive(n, v);
    }
    return !memcmp(&n->image, &v->image, sizeof(n->image)) &&
           !memcmp(n->mem, v->mem, sizeof(n->mem)) && n->eflags == v->eflags &&
           n->rax == v->rax;
}

static void show(const char *what, const Image *m)
{
    GString *s = g_string_new(NULL);
    g_string_append_printf(s, "%-7s cw=%04x sw=%04x top=%d tw=%04x fip=%08x fop=%03x fdp=%08x",
                           what, m->cw, m->sw, m->sw >> 11 & 7, m->tw, m->fip, m->fop, m->fdp);
    for (unsigned k = 0; k < 8; k++) {
        g_string_append_printf(s, " %04x:%016" PRIx64, m->st[k].se, m->st[k].frac);
    }
    g_test_message("%s", s->str);
    g_string_free(s, true);
}

static void report(const Case *t, const Outcome *n, const Outcome *v, bool soft)
{
    g_test_message("%02x %02x differs (%s), eflags %x rax %" PRIx64 " mem %016" PRIx64 " %04x",
                   t->insn[0], t->insn[1], soft ? "softfloat" : "host", t->eflags, t->rax,
                   ld64_le(t->arena.mem), ld16_le(t->arena.mem + 8));
    show("before", &t->arena.in);
    show("native", &n->image);
    show("interp", &v->image);
    g_test_message("fault %d %d eflags %x %x rax %" PRIx64 " %" PRIx64 " mem %016" PRIx64
                   " %04x, %016" PRIx64 " %04x", n->fault, v->fault, n->eflags, v->eflags, n->rax,
                   v->rax, ld64_le(n->mem), ld16_le(n->mem + 8), ld64_le(v->mem),
                   ld16_le(v->mem + 8));
}

static bool try(Case *t, bool soft)
{
    Outcome n, v;

    tcg_host_fp = !soft;
    assemble(t->insn, t->len);
    *arena = t->arena;
    run_native(t->eflags, t->rax, &n);
    *arena = t->arena;
    run_interpreter(t->eflags, t->rax, &v);
    if (equal(t, &n, &v, soft)) {
        return true;
    }
    report(t, &n, &v, soft);
    return false;
}

/* ---- environment layouts that a 64-bit host can't show --------------------------------- */

static void store_environment(unsigned osz)
{
    static const uint8_t fnstenv_rdi[] = { 0xd9, 0x37, 0xd9, 0xd0 };
    static Insn insns[2];
    InsnBytes bytes = { fnstenv_rdi, sizeof(fnstenv_rdi) };

    g_assert_cmpint(insn_decode(cpu, MODE_CODE64 | MODE_PE | MODE_FLAT | MODE_LMA, bytes, 0, insns),
                    ==, DECODE_OK);
    insns[0].osz = osz;
    insns[1] = (Insn) { .fn = stop };
    memset(arena, 0, sizeof(*arena));
    cpu->r[R_EDI] = (uintptr_t)arena->mem;
    x86_fpu_init(cpu);
    cpu->fpu.fip = 0x81234;
    cpu->fpu.fcs = 0xf00;
    cpu->fpu.fdp = 0x5678;
    cpu->fpu.fds = 0x2000;
    cpu->fpu.fop = 0x7ab;
    cpu->fpu.top = 3;
    insns[0].fn(cpu, insns);
}

static void test_environment(void)
{
    static const uint16_t real16[] = { 0x37f, 0x1800, 0xffff, 0x0234, 0x97ab, 0x5678, 0x2000 };
    static const uint16_t prot16[] = { 0x37f, 0x1800, 0xffff, 0x1234, 0x0f00, 0x5678, 0x2000 };
    static const uint32_t real32[] = { 0xffff037f, 0xffff1800, 0xffffffff, 0xffff0234,
                                       0x000097ab, 0xffff5678, 0x00002000 };
    static const uint32_t prot32[] = { 0xffff037f, 0xffff1800, 0xffffffff, 0x00081234,
                                       0x07ab0f00, 0x00005678, 0xffff2000 };
    uint64_t zero = cpu->features[FEAT_7_0_EBX];

    cpu->features[FEAT_7_0_EBX] = 0;            /* no "FCS and FDS are zero" */
    for (unsigned real = 0; real < 2; real++) {
        cpu->cr0 = real ? 0 : CR0_PE | CR0_NE | CR0_PG;
        store_environment(1);
        for (unsigned k = 0; k < 7; k++) {
            g_assert_cmphex(ld16_le(arena->mem + 2 * k), ==, real ? real16[k] : prot16[k]);
        }
        g_assert_cmphex(arena->mem[14], ==, 0);
        store_environment(2);
        for (unsigned k = 0; k < 7; k++) {
            g_assert_cmphex(ld32_le(arena->mem + 4 * k), ==, real ? real32[k] : prot32[k]);
        }
        g_assert_cmphex(cpu->fpu.cw & FP_ALL, ==, FP_ALL);
    }
    cpu->cr0 = CR0_PE | CR0_NE | CR0_PG;
    cpu->features[FEAT_7_0_EBX] = zero;
}

/* ---- reporting errors ------------------------------------------------------------------------ */

static int ferr_level;

static void ferr(X86CPU *c, bool level)
{
    ferr_level = level;
}

/* Run one instruction; the vector it raised or -1. */
static int run_one(const uint8_t *bytes, uint32_t mode)
{
    static Insn insns[2];
    InsnBytes b = { bytes, 2 };

    insn_decode(cpu, mode, b, 0, insns);
    insns[1] = (Insn) { .fn = stop };
    cpu->exc_vector = cpu->exc_old_vector = -1;
    if (sigsetjmp(cpu->cpu.jmp, 0) == 0) {
        insns[0].fn(cpu, insns);
    }
    return cpu->exc_vector;
}

/* CR0.NE, FERR#, EM, TS and MP; which instructions wait. */
static void test_errors(void)
{
    static const uint8_t fld1[] = { 0xd9, 0xe8 }, fwait[] = { 0x9b, 0x90 },
                         fnclex[] = { 0xdb, 0xe2 }, fnstsw[] = { 0xdf, 0xe0 },
                         fninit[] = { 0xdb, 0xe3 }, emms[] = { 0x0f, 0x77 };
    const uint32_t mode = MODE_CODE32 | MODE_PE | MODE_FLAT;

    cpu->cr0 = CR0_PE | CR0_NE;
    x86_fpu_init(cpu);
    cpu->fpu.cw &= ~FP_ZE;
    cpu->fpu.sw = FP_ZE | SW_ES | SW_B;
    g_assert_cmpint(run_one(fld1, mode), ==, EXC_MF);
    g_assert_cmpint(run_one(fwait, mode), ==, EXC_MF);
    g_assert_cmpint(run_one(emms, mode), ==, EXC_MF);
    g_assert_cmpint(run_one(fnstsw, mode), ==, -1);
    g_assert_cmphex(cpu->r[R_EAX] & 0xffff, ==, FP_ZE | SW_ES | SW_B);
    g_assert_cmpint(cpu->fpu.empty, ==, 0xff);

    /* NE clear: FERR# goes up, and with no interrupt to take the instruction goes ahead */
    cpu->cr0 = CR0_PE;
    x86_ferr_hook = ferr;
    g_assert_cmpint(run_one(fld1, mode), ==, -1);
    g_assert_cmpint(ferr_level, ==, 1);
    g_assert_cmpint(cpu->fpu.empty, ==, 0x7f);
    g_assert_cmpint(run_one(fnclex, mode), ==, -1);
    g_assert_cmpint(ferr_level, ==, 0);
    g_assert_cmphex(cpu->fpu.sw, ==, 0);
    x86_ferr_hook = NULL;

    g_assert_cmpint(run_one(fninit, mode | MODE_EM), ==, EXC_NM);
    g_assert_cmpint(run_one(fninit, mode | MODE_TS), ==, EXC_NM);
    g_assert_cmpint(run_one(fwait, mode | MODE_TS), ==, -1);
    g_assert_cmpint(run_one(fwait, mode | MODE_MP), ==, -1);
    g_assert_cmpint(run_one(fwait, mode | MODE_TS | MODE_MP), ==, EXC_NM);
    cpu->cr0 = CR0_PE | CR0_NE | CR0_PG;
}

/* One opcode byte D8..DF: every ModRM that is a register form, and (%rdi) for each /n. */
static void test_opcode(const void *opaque)
{
    uint8_t op = (uintptr_t)opaque;
    const char *n = g_getenv("X87_CASES");
    unsigned bad = 0;

    fp_random_setup("x87");
    cases = n ? strtoul(n, NULL, 0) : 20;
    for (unsigned modrm = 0; modrm < 256 && bad < 20; modrm++) {
        unsigned here = 0;
        if (modrm < 0xc0 && (modrm & 0xc7) != 7) {
            continue;
        }
        unsigned count = modrm < 0xc0 ? cases * 8 : cases;
        for (unsigned k = 0; k < count && here < 2; k++) {
            Case t = { .insn = { op, modrm }, .len = 2 };
            random_image(&t.arena.in);
            random_memory(t.arena.mem);
            t.eflags = rnd() & FL_ARITH;
            t.rax = rnd();
            here += !try(&t, k & 1);
        }
        bad += here;
    }
    if (bad) {
        g_test_fail();
    }
}
#endif

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#if defined(__x86_64__)
    setup();
    g_test_add_func("/x87/environment", test_environment);
    g_test_add_func("/x87/errors", test_errors);
    for (uintptr_t op = 0xd8; op <= 0xdf; op++) {
        char *path = g_strdup_printf("/x87/%02x", (unsigned)op);
        g_test_add_data_func(path, (void *)op, test_opcode);
        g_free(path);
    }
#endif
    return g_test_run();
}
