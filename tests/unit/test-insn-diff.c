/* SPDX-License-Identifier: MIT */
/*
 * Differential test: random user-mode instructions, made from the instruction table, run on
 * the host's CPU and on the interpreter from the same state; registers, defined flags,
 * vector and x87 state, memory and faults must agree.
 *
 *     INSN_CASES=10000000 INSN_SEED=7 build/tests/unit/test-insn-diff
 *     INSN_ONLY=paddd                 only rows of this mnemonic
 *
 * Blocks are several such instructions in a row: those behind the first reach memory relative
 * to RIP alone, and read no flag that is undefined.  An exception within a block may find
 * arithmetic flags which nobody would have read.
 *
 * Both sides see the same linear addresses: a page of code and a page of data, each between
 * unmapped pages.  The code page is full of HLT, which faults in ring 3: a case is one
 * instruction and ends, there as here, with an exception whose address tells where it went.
 *
 * Left out: rows marked A_SYS and A_RND, and what would reach the host's kernel or its
 * segment registers.  x87 transcendental functions are compared to one unit in the last place.
 * What Intel's and AMD's processors do differently is listed under "vendors": there either's
 * way is right.
 */
#include <glib.h>

#ifdef __x86_64__

#include <cpuid.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "accel/tcg/exec.h"
#include "target-i386/insn.h"
#include "target-i386/jit.h"
#include "target-i386/sse-env.h"
#include "tests/unit/x86-test.h"

#define CODE_PAGE 0x800000u
#define DATA_PAGE 0xa00000u
#define PAGE      4096u
#define HANDLERS  0x10000u          /* see x86-test.h */
#define XSAVE_AVX 576               /* offset of the YMM halves in the standard format */
#define MAX_INSN  15
#define MAX_BLOCK 8                  /* instructions */
#define MAX_CODE  (MAX_BLOCK * MAX_INSN + 8)

typedef struct State {
    uint64_t r[16], rip, flags;
    Vec v[16];
    uint32_t mxcsr;
    F80 st[8];                      /* ST(i) */
    uint16_t fcw, fsw;
    uint8_t empty;                  /* bit per physical register */
    int vector;
    uint32_t error;
    uint64_t cr2;
    uint8_t data[PAGE];
} State;

/* ---- random values ------------------------------------------------------------------------ */

static uint64_t rng_state;

static uint64_t rnd(void)
{
    rng_state ^= rng_state << 13;
    rng_state ^= rng_state >> 7;
    rng_state ^= rng_state << 17;
    return rng_state * 0x2545f4914f6cdd1dull;
}
static unsigned below(unsigned n)
{
    return (rnd() >> 32) % n;
}
static uint64_t interesting(void)
{
    static const uint64_t corner[] = {
        0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff,
        0x7fffffffffffffff, 0x8000000000000000, 0xffffffffffffffff, 0x0123456789abcdef,
    };
    static const uint64_t f64[] = {
        0x3ff0000000000000, 0xbff0000000000000, 0x7ff0000000000000, 0xfff0000000000000,
        0x7ff8000000000001, 0x7ff0000000000001, 0xfff4000000000000, 1, 0x000fffffffffffff,
        0x8000000000000001, 0x7fefffffffffffff, 0x0010000000000000, 0x41dfffffffc00000,
        0x43e0000000000000, 0x4330000000000000, 0x3fe0000000000000, 0x36a0000000000000,
    };
    static const uint32_t f32[] = {
        0x3f800000, 0xbf800000, 0x7f800000, 0xff800000, 0x7fc00001, 0x7f800001, 0xffa00000, 1,
        0x007fffff, 0x80000001, 0x7f7fffff, 0x00800000, 0x4effffff, 0x4f000000, 0x4b000000,
    };
    switch (below(8)) {
    case 0: return corner[below(G_N_ELEMENTS(corner))];
    case 1: return f64[below(G_N_ELEMENTS(f64))];
    case 2: return f32[below(G_N_ELEMENTS(f32))] | (uint64_t)f32[below(G_N_ELEMENTS(f32))] << 32;
    case 3: return below(256);
    case 4: return (int64_t)(int8_t)rnd();
    case 5: return 0x3ff0000000000000 + ((rnd() >> 12) | (rnd() & (0x3full << 52)));
    default: return rnd();
    }
}
static F80 random_f80(void)
{
    static const uint16_t exps[] = { 0, 1, 0x3ffe, 0x3fff, 0x4000, 0x403e, 0x403f, 0x7ffe, 0x7fff };
    F80 v = { rnd() | 1ull << 63, below(0x10000) };

    switch (below(6)) {
    case 0: v.se = exps[below(G_N_ELEMENTS(exps))] | below(2) << 15; break;
    case 1: v.frac = (uint64_t)1 << 63; v.se = exps[below(G_N_ELEMENTS(exps))] | below(2) << 15; break;
    case 2: v.frac = 0; v.se = below(2) << 15; break;
    case 3: v.frac = interesting(); v.se = exps[below(G_N_ELEMENTS(exps))]; break;
    default: v.se = (0x3fff - 40 + below(80)) | below(2) << 15; break;
    }
    return v;
}

/* ---- the host ----------------------------------------------------------------------------- */

/* not static: the assembly below names them */
uint64_t host_rsp;
const State *host_in;
State *host_out;
uint8_t xsave_area[4096] __attribute__((aligned(64)));

void host_run(void);
/* Leaves through the signal handler, to host_back. */
__asm__(
    ".text\n"
    "host_run:\n"
    "    push %rbp\n    push %rbx\n    push %r12\n    push %r13\n    push %r14\n    push %r15\n"
    "    mov %rsp, host_rsp(%rip)\n"
    "    mov $7, %eax\n    xor %edx, %edx\n"
    "    lea xsave_area(%rip), %rcx\n"
    "    xrstor64 (%rcx)\n"
    "    mov host_in(%rip), %rax\n"
    "    pushq 17*8(%rax)\n"
    "    popfq\n"
    "    mov 1*8(%rax), %rcx\n    mov 2*8(%rax), %rdx\n    mov 3*8(%rax), %rbx\n"
    "    mov 4*8(%rax), %rsp\n    mov 5*8(%rax), %rbp\n    mov 6*8(%rax), %rsi\n"
    "    mov 7*8(%rax), %rdi\n    mov 8*8(%rax), %r8\n    mov 9*8(%rax), %r9\n"
    "    mov 10*8(%rax), %r10\n    mov 11*8(%rax), %r11\n    mov 12*8(%rax), %r12\n"
    "    mov 13*8(%rax), %r13\n    mov 14*8(%rax), %r14\n    mov 15*8(%rax), %r15\n"
    "    mov 0(%rax), %rax\n"
    "    jmp *code_start(%rip)\n"
    "host_back:\n"
    "    cld\n"
    "    fninit\n"
    "    movl $0x1f80, -8(%rsp)\n"
    "    ldmxcsr -8(%rsp)\n"
    "    pop %r15\n    pop %r14\n    pop %r13\n    pop %r12\n    pop %rbx\n    pop %rbp\n"
    "    ret\n");
extern const char host_back[];
uint64_t code_start = CODE_PAGE;
G_STATIC_ASSERT(G_STRUCT_OFFSET(State, flags) == 17 * 8);

static void fault(int sig, siginfo_t *info, void *context)
{
    static const int order[16] = {
        REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
        REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
    };
    mcontext_t *m = &((ucontext_t *)context)->uc_mcontext;
    const uint8_t *fp = (const uint8_t *)m->fpregs;
    State *o = host_out;

    (void)info;
    if (!o) {                           /* the test itself crashed */
        signal(sig, SIG_DFL);
        return;
    }
    for (unsigned k = 0; k < 16; k++) {
        o->r[k] = m->gregs[order[k]];
    }
    o->rip = m->gregs[REG_RIP];
    o->flags = m->gregs[REG_EFL];
    o->vector = m->gregs[REG_TRAPNO];
    o->error = m->gregs[REG_ERR];
    o->cr2 = m->gregs[REG_CR2];
    o->fcw = ld16_le(fp);
    o->fsw = ld16_le(fp + 2);
    o->empty = ~fp[4];
    o->mxcsr = ld32_le(fp + 24);
    uint64_t have = ld64_le(fp + 512);
    for (unsigned k = 0; k < 8; k++) {
        o->st[k] = (F80) { ld64_le(fp + 32 + 16 * k), ld16_le(fp + 40 + 16 * k) };
    }
    for (unsigned k = 0; k < 16; k++) {
        memset(&o->v[k], 0, sizeof(Vec));
        memcpy(&o->v[k], fp + 160 + 16 * k, 16);
        if (have & 4) {
            memcpy(o->v[k].b + 16, fp + XSAVE_AVX + 16 * k, 16);
        }
    }
    m->gregs[REG_RIP] = (greg_t)(uintptr_t)host_back;
    m->gregs[REG_RSP] = host_rsp;
    m->gregs[REG_EFL] &= ~(greg_t)0x40500;
}

static void host_init(void)
{
    static uint8_t stack[1 << 16];
    stack_t ss = { .ss_sp = stack, .ss_size = sizeof(stack) };
    struct sigaction sa = { .sa_sigaction = fault, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };

    g_assert_true(mmap((void *)(uintptr_t)CODE_PAGE, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != MAP_FAILED);
    g_assert_true(mmap((void *)(uintptr_t)DATA_PAGE, PAGE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != MAP_FAILED);
    sigaltstack(&ss, NULL);
    for (unsigned k = 0; k < 5; k++) {
        sigaction((int[]) { SIGSEGV, SIGILL, SIGFPE, SIGBUS, SIGTRAP }[k], &sa, NULL);
    }
}

static void run_host(const State *in, State *out)
{
    uint8_t *x = xsave_area;
    unsigned top = (in->fsw >> 11) & 7;

    memset(x, 0, 1024);
    st16_le(x, in->fcw);
    st16_le(x + 2, in->fsw);
    x[4] = ~in->empty;
    st32_le(x + 24, in->mxcsr);
    st64_le(x + 512, 7);
    for (unsigned k = 0; k < 8; k++) {
        st64_le(x + 32 + 16 * k, in->st[k].frac);
        st16_le(x + 40 + 16 * k, in->st[k].se);
    }
    (void)top;
    for (unsigned k = 0; k < 16; k++) {
        memcpy(x + 160 + 16 * k, &in->v[k], 16);
        memcpy(x + XSAVE_AVX + 16 * k, in->v[k].b + 16, 16);
    }
    memcpy((void *)(uintptr_t)DATA_PAGE, in->data, PAGE);
    host_in = in;
    host_out = out;
    host_run();
    host_out = NULL;
    memcpy(out->data, (void *)(uintptr_t)DATA_PAGE, PAGE);
}

/* ---- the interpreter ------------------------------------------------------------------------ */

static void map_page(uint32_t at)
{
    uint32_t pd = 0x102000, pt = 0x103000 + (at == DATA_PAGE) * 0x1000;

    st64_le(ram + pd + (at >> 21) * 8, pt | 7);
    st64_le(ram + pt + (at >> 12 & 511) * 8, at | 0x67 | (at == DATA_PAGE ? 1ull << 63 /* NX */ : 0));
}

static void guest_init(void)
{
    x86_test_init();
    x86_test_long(3);
    st64_le(ram + 0x101000, 0x102000 | 7);
    st64_le(ram + 0x102000, 0xe3);      /* the tables, for ring 0 */
    memset(ram + 0x102008, 0, 7 * 8);
    map_page(CODE_PAGE);
    map_page(DATA_PAGE);
    memset(ram + HANDLERS, 0xf4, 256);
    memset(ram + CODE_PAGE, 0xf4, PAGE);
    cpu->cr4 |= CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | CR4_FSGSBASE;
    cpu->cr0 |= CR0_MP;
    cpu->xcr0 = 7;
    x86_update_mode(cpu);
}

static void run_guest(const State *in, State *out)
{
    static Segment cs, ss;
    static bool have;
    unsigned top = (in->fsw >> 11) & 7;

    if (!have) {
        cs = cpu->seg[R_CS];
        ss = cpu->seg[R_SS];
        have = true;
    }
    cpu->seg[R_CS] = cs;
    cpu->seg[R_SS] = ss;
    memcpy(cpu->r, in->r, sizeof(in->r));
    cpu->rip = CODE_PAGE;
    x86_set_flags(cpu, in->flags);
    for (unsigned k = 0; k < 16; k++) {
        cpu->v[k] = in->v[k];
    }
    x86_set_mxcsr(cpu, in->mxcsr);
    cpu->fpu.cw = in->fcw;
    cpu->fpu.sw = in->fsw & ~0x3800;
    cpu->fpu.top = top;
    cpu->fpu.empty = in->empty;
    for (unsigned k = 0; k < 8; k++) {
        cpu->fpu.st[(top + k) & 7] = in->st[k];
    }
    memcpy(ram + DATA_PAGE, in->data, PAGE);
    cpu->cr2 = 0;
    cpu->exc_vector = cpu->exc_old_vector = -1;
    cpu->cpu.halted = false;
    x86_update_mode(cpu);
    ExitReason why = accel_current->run(&cpu->cpu);
    g_assert_cmpint(why, ==, EXIT_HALTED);
    out->vector = (int)(cpu->rip - 1 - HANDLERS);
    const uint8_t *frame = ram + cpu->r[R_ESP];
    out->error = 0;
    if (out->vector == 8 || (out->vector >= 10 && out->vector <= 14) || out->vector == 17) {
        out->error = ld32_le(frame);
        frame += 8;
    }
    out->rip = ld64_le(frame);
    out->flags = ld64_le(frame + 16);
    memcpy(out->r, cpu->r, sizeof(out->r));
    out->r[R_ESP] = ld64_le(frame + 24);
    out->cr2 = cpu->cr2;
    for (unsigned k = 0; k < 16; k++) {
        out->v[k] = cpu->v[k];
    }
    out->mxcsr = cpu->mxcsr;
    out->fcw = cpu->fpu.cw;
    out->fsw = cpu->fpu.sw | cpu->fpu.top << 11;
    out->empty = cpu->fpu.empty;
    for (unsigned k = 0; k < 8; k++) {
        out->st[k] = cpu->fpu.st[(cpu->fpu.top + k) & 7];
    }
    memcpy(out->data, ram + DATA_PAGE, PAGE);
}

/* ---- instructions ----------------------------------------------------------------------------- */

static uint32_t host_features[FEAT_WORDS];

static void read_host_features(void)
{
    uint32_t a, b, c, d;

    __cpuid_count(1, 0, a, b, c, d);
    host_features[FEAT_1_EDX] = d;
    host_features[FEAT_1_ECX] = c;
    __cpuid_count(7, 0, a, b, c, d);
    host_features[FEAT_7_0_EBX] = b;
    host_features[FEAT_7_0_ECX] = c;
    host_features[FEAT_7_0_EDX] = d;
    __cpuid_count(0x80000001, 0, a, b, c, d);
    host_features[FEAT_8000_0001_EDX] = d;
    host_features[FEAT_8000_0001_ECX] = c;
    __cpuid_count(0xd, 1, a, b, c, d);
    host_features[FEAT_XSAVE] = a;
}

static bool usable(const InsnRow *r)
{
    static const char *const never[] = {
        "syscall", "sysenter", "sysexit", "sysret", "int", "int1", "int3", "into", "iret", "hlt",
        "lar", "lsl", "verr", "verw", "in", "out", "insb", "ins", "outsb", "outs", "popf", "bound",
        "wrfsbase", "wrgsbase", "rdfsbase", "rdgsbase", "fxrstor", "xrstor", "xrstors", "xsave",
        "xsaveopt", "xsavec", "xsaves", "fxsave", "rdpkru", "wrpkru", "xgetbv", "rdpid", "rdtsc",
        "rdtscp", "cpuid", "rdrand", "rdseed", "monitor", "mwait", "lfs", "lgs", "lss", "stac",
        "clac", "sgdt", "sidt", "sldt", "str", "smsw", "xbegin", "xabort", "retf", "enter",
        "pushf", "fldenv", "fstenv", "fnstenv", "fsave", "fnsave", "frstor", "rdpmc", "fwait",
    };
    unsigned f = r->feature;
    const InsnDesc *d = &insn_desc[r - insn_rows];

    if (r->attr & (A_SYS | A_RND | A_I64 | A_CPL0)) {
        return false;
    }
    for (unsigned k = 0; k < G_N_ELEMENTS(never); k++) {
        if (!strcmp(r->name, never[k])) {
            return false;
        }
    }
    for (unsigned k = 0; k < d->nopnd; k++) {
        unsigned kind = d->opnd[k].kind;
        if (kind == OPND_S || kind == OPND_A || kind == OPND_C || kind == OPND_D || kind == OPND_O ||
            !strcmp(d->opnd[k].type, "p")) {
            return false;
        }
        if (kind == OPND_FIXED && (!strcmp(d->opnd[k].text, "FS") || !strcmp(d->opnd[k].text, "GS"))) {
            return false;
        }
    }
    /* the CPU model may have what the host has not */
    return f == CPUID_ALWAYS || ((host_features[f / 64] >> (f % 64)) & 1);
}

typedef struct Case {
    unsigned count;                 /* instructions */
    uint64_t undefined;             /* flags, of a block */
    uint8_t b[MAX_CODE];
    unsigned len, modrm_at, disp_at, disp_size;
    unsigned row;
} Case;

static void put(Case *k, uint64_t v, unsigned n)
{
    for (unsigned j = 0; j < n; j++) {
        k->b[k->len++] = v >> (8 * j);
    }
}

static void put_modrm(Case *k, const InsnRow *r, const InsnDesc *d)
{
    unsigned modrm = rnd() & 0xff;

    if (d->modrm_first >= 0) {
        modrm = d->modrm_first + below(d->modrm_last - d->modrm_first + 1);
    } else if (d->mod == 3) {
        modrm |= 0xc0;
    } else if (d->mod == 0) {
        modrm = (modrm & 0x3f) | below(3) << 6;
    } else if (below(2)) {
        modrm |= 0xc0;
    }
    if (d->reg >= 0) {
        modrm = (modrm & 0xc7) | d->reg << 3;
    }
    if (r->attr & A_VSIB) {
        modrm = (modrm & 0xf8) | 4;
    }
    k->modrm_at = k->len;
    put(k, modrm, 1);
    if (modrm >= 0xc0) {
        return;
    }
    unsigned mod = modrm >> 6, rm = modrm & 7;
    unsigned disp = mod == 1 ? 1 : mod == 2 ? 4 : rm == 5 ? 4 : 0;
    if (rm == 4) {
        uint8_t sib = rnd();
        put(k, sib, 1);
        if (mod == 0 && (sib & 7) == 5) {
            disp = 4;
        }
    }
    k->disp_at = k->len;
    k->disp_size = disp;
    put(k, rnd(), disp);
}

/* Where a relative branch goes: anywhere but into its own bytes, which need never end. */
static int64_t branch_distance(unsigned range)
{
    return below(4) ? below(range) : -(int64_t)MAX_INSN - below(range - MAX_INSN);
}

static void put_imm(Case *k, const InsnDesc *d, bool o16, bool w)
{
    for (unsigned n = 0; n < 2; n++) {
        switch (d->imm[n]) {
        case IMM_U8: case IMM_S8: put(k, rnd(), 1); break;
        case IMM_J8: put(k, branch_distance(128), 1); break;
        case IMM_16: put(k, rnd(), 2); break;
        case IMM_32: put(k, rnd(), 4); break;
        case IMM_Z:  put(k, interesting(), o16 && !w ? 2 : 4); break;
        case IMM_V:  put(k, interesting(), w ? 8 : o16 ? 2 : 4); break;
        case IMM_JZ: put(k, branch_distance(1024), 4); break;
        default: break;
        }
    }
}

static void make_vex(Case *k, const InsnRow *r, const InsnDesc *d)
{
    static const uint8_t pp[] = { [PFX_ANY] = 0, [PFX_NONE] = 0, [PFX_66] = 1, [PFX_F3] = 2, [PFX_F2] = 3 };
    unsigned w = d->w >= 0 ? d->w : below(2), l = d->l >= 0 ? d->l : below(2);
    unsigned vvvv = (r->attr & A_VEXU) && !d->uses_vvvv ? 15 : below(16);

    put(k, 0xc4, 1);
    put(k, (rnd() & 0xe0) | d->map, 1);
    put(k, w << 7 | vvvv << 3 | l << 2 | pp[d->pfx], 1);
    put(k, d->opcode + below(d->span), 1);
}

static bool make_legacy(Case *k, const InsnRow *r, const InsnDesc *d, bool *o16, bool *w)
{
    static const uint8_t pfx[] = { [PFX_66] = 0x66, [PFX_F3] = 0xf3, [PFX_F2] = 0xf2 };
    bool sse = r->attr & (A_SSE | A_MMX | A_X87);

    if ((r->attr & A_REP) && below(2)) {
        put(k, below(2) ? 0xf3 : 0xf2, 1);
    } else if (d->pfx >= PFX_66) {
        put(k, pfx[d->pfx], 1);
    }
    *o16 = d->pfx == PFX_66;
    if (d->pfx != PFX_66 && !sse && !below(4) && !(d->imm[0] == IMM_JZ || d->imm[0] == IMM_J8)) {
        put(k, 0x66, 1);
        *o16 = true;
        if (d->pfx == PFX_NONE) {
            return false;               /* 66 chooses another row */
        }
    }
    if (!below(12)) {
        put(k, 0x67, 1);
    }
    if (!below(16)) {
        put(k, (uint8_t[]) { 0x26, 0x2e, 0x36, 0x3e }[below(4)], 1);
    }
    *w = false;
    if (below(2) || d->w == 1) {
        unsigned rex = 0x40 | (rnd() & 15);
        rex = d->w == 1 ? rex | 8 : d->w == 0 ? rex & ~8u : rex;
        *w = rex & 8;
        put(k, rex, 1);
    }
    if (d->map) {
        put(k, 0x0f, 1);
    }
    if (d->map >= 2) {
        put(k, d->map == 2 ? 0x38 : 0x3a, 1);
    }
    put(k, d->opcode + below(d->span), 1);
    return true;
}

static bool make_case(Case *k, unsigned row)
{
    const InsnRow *r = &insn_rows[row];
    const InsnDesc *d = &insn_desc[row];
    bool o16 = false, w = false;

    memset(k, 0, sizeof(*k));
    k->row = row;
    k->count = 1;
    if ((r->attr & A_LOCK) && !below(6)) {
        put(k, 0xf0, 1);
    }
    if (d->enc == ENC_VEX) {
        if (k->len) {
            return false;
        }
        make_vex(k, r, d);
    } else if (!make_legacy(k, r, d, &o16, &w)) {
        return false;
    }
    if (d->modrm) {
        put_modrm(k, r, d);
    }
    put_imm(k, d, o16, w);
    return k->len <= MAX_INSN;
}

/* Choose registers (and a free displacement) so that the memory operand lies at target. */
static bool aim(Case *k, State *s, const Insn *i, uint64_t target)
{
    uint64_t disp = i->disp;

    if (i->base == 17 || (i->base == 16 && i->index == 16)) {
        uint64_t d = target - (i->base == 17 ? CODE_PAGE + k->len : 0);
        st32_le(k->b + k->disp_at, (uint32_t)d);
        return true;
    }
    if (i->base == 16) {
        s->r[i->index] = (target - disp) >> i->scale;
    } else if (i->base == i->index) {
        s->r[i->base] = (target - disp) / (1 + (1ull << i->scale));
    } else {
        s->r[i->base] = target - disp - (i->index < 16 ? s->r[i->index] << i->scale : 0);
    }
    return true;
}

static void random_state(State *s, const InsnRow *r)
{
    for (unsigned k = 0; k < 16; k++) {
        s->r[k] = interesting();
    }
    s->rip = CODE_PAGE;
    s->flags = 0x202 | (rnd() & 0x8d5) | (below(8) ? 0 : FL_DF);
    for (unsigned k = 0; k < 16; k++) {
        for (unsigned j = 0; j < 4; j++) {
            s->v[k].q[j] = interesting();
        }
        for (unsigned j = 4; j < 8; j++) {
            s->v[k].q[j] = 0;
        }
    }
    s->mxcsr = 0x1f80 | below(4) << 13 | (below(4) ? 0 : MXCSR_DAZ) | (below(4) ? 0 : MXCSR_FTZ);
    if (!below(16)) {
        s->mxcsr = (s->mxcsr & ~0x1f80u) | (rnd() & 0x1f80);
    }
    s->fcw = 0x37f;
    s->fsw = 0;
    s->empty = 0xff;
    if (r->attr & (A_X87 | A_MMX)) {
        s->fcw = 0x7f | below(4) << 10 | (uint32_t[]) { 0, 2, 3, 3 }[below(4)] << 8;
        s->fsw = below(8) << 11 | (rnd() & 0x4700) | (below(2) ? 0 : rnd() & 0x7f);
        s->fsw &= ~0x80;
        s->empty = below(3) ? 0 : rnd();
    }
    for (unsigned k = 0; k < 8; k++) {
        s->st[k] = random_f80();
    }
}

/* ---- vendors ---------------------------------------------------------------------------------- */

static bool named(const InsnRow *r, const char *name)
{
    return !strcmp(r->name, name);
}

/*
 * Encodings that the vendors' processors take in different ways, and operands for which the
 * result is undefined:
 *   66 before a near branch in 64-bit mode: ignored by Intel's, 16 bits of RIP with AMD's
 *   F3 REX.B 90: PAUSE, or XCHG R8,RAX
 *   PREFETCHW of a register: NOP, or #UD
 *   SHLD and SHRD of 16 bits by more than 16 (SDM 2B: undefined)
 * s may be NULL: registers unknown.
 */
static bool vendors_differ(const InsnRow *r, const Insn *i, const uint8_t *b, const State *s)
{
    bool o16 = false, rex_b = false;

    for (; *b == 0x66 || *b == 0x67 || *b == 0xf2 || *b == 0xf3 || (*b & 0xe7) == 0x26 || *b == 0xf0; b++) {
        o16 |= *b == 0x66;
    }
    rex_b = (*b & 0xf1) == 0x41;
    if (named(r, "jmp") || named(r, "call") || named(r, "ret")) {
        return o16;
    }
    if (named(r, "pause")) {
        return rex_b;
    }
    if (named(r, "prefetchw")) {
        return !(i->flags & IF_MEM);
    }
    if (named(r, "shld") || named(r, "shrd")) {
        bool cl = r->operands[strlen(r->operands) - 1] == 'L';
        unsigned count = !cl ? i->imm : s ? s->r[R_ECX] : 31;
        return o16 && (*b & 0xf8) != 0x48 && (count & 31) > 16;
    }
    return false;
}

/* SHA instructions fault on an operand that is not aligned (Intel), or do not (AMD). */
static bool sha(const InsnRow *r)
{
    return g_str_has_prefix(r->name, "sha1") || g_str_has_prefix(r->name, "sha256");
}

/* Where DPPS adds NaNs, which of them stays depends on the order of additions: a NaN is a NaN. */
static bool same_dot_product(const InsnRow *r, uint64_t host, uint64_t ours)
{
    if (strstr(r->name, "dppd")) {
        return (host << 1) > 0xffe0000000000000 && (ours << 1) > 0xffe0000000000000;
    }
    for (unsigned k = 0; k < 64; k += 32) {
        uint32_t a = host >> k, b = ours >> k;
        if (a != b && ((a << 1) <= 0xff000000 || (b << 1) <= 0xff000000)) {
            return false;
        }
    }
    return true;
}

/*
 * The mask of a gather that faulted, quadword q: only the sign bits are read; Intel's copy them
 * to all bits and clear what lies behind the last element.
 */
static bool same_gather_mask(const InsnRow *r, bool l256, unsigned q, uint64_t host, uint64_t ours)
{
    /* the name ends in index and element: vpgather[dq][dq], vgather[dq]p[sd] */
    size_t n = strlen(r->name);
    bool pd = r->name[n - 1] == 'd', fp = r->name[1] == 'g';
    bool wide = r->name[n - 1] == 'q' || (fp && pd), wide_index = r->name[n - (fp ? 3 : 2)] == 'q';
    uint64_t sign = wide ? 1ull << 63 : 1ull << 63 | 1ull << 31;
    unsigned quads = (l256 ? 4 : 2) / (wide_index && !wide ? 2 : 1);

    return q >= quads || !((host ^ ours) & sign);
}

/*
 * MXCSR bits that are the processor's business, of the last instruction or of a block that was cut: UE and PE of the stages of a DPPS that ends with
 * #XM; PE beside the UE of a VCVTPS2PH that ends with #XM; all flags of a VCVTPS2PH whose
 * store faults (SDM 2C: may be updated before the fault).
 */
static uint32_t mxcsr_free(const InsnRow *r, const State *h, bool cut)
{
    if (cut) {
        return h->vector == 14 ? 0x3f : 0x20;
    }
    if (h->vector == 19 && strstr(r->name, "dpps")) {
        return 0x30;
    }
    if (named(r, "vcvtps2ph")) {
        return h->vector == 19 && (h->mxcsr & 0x10) ? 0x20 :
               h->vector == 14 && h->rip == CODE_PAGE ? 0x3f : 0;
    }
    return 0;
}

/* ---- comparison ------------------------------------------------------------------------------- */

/* Written-undefined flags of a row as in RFLAGS */
static uint64_t undefined_flags(const InsnDesc *d)
{
    static const uint16_t bit[] = { FL_CF, FL_OF, FL_PF, FL_AF, FL_ZF, FL_SF };
    uint64_t m = 0;

    /* InsnDesc.fl_*: bit n stands for letter n of "cpazsod" */
    static const uint16_t letters[] = { FL_CF, FL_PF, FL_AF, FL_ZF, FL_SF, FL_OF, FL_DF };
    (void)bit;
    for (unsigned k = 0; k < 7; k++) {
        if ((d->fl_undef >> k) & 1) {
            m |= letters[k];
        }
    }
    return m;
}

static bool near_f80(F80 a, F80 b)
{
    return a.se == b.se && (a.frac == b.frac || a.frac + 1 == b.frac || a.frac == b.frac + 1);
}

static bool transcendental(const InsnRow *r)
{
    static const char *const names[] = { "f2xm1", "fyl2x", "fyl2xp1", "fptan", "fpatan", "fsin",
                                         "fcos", "fsincos" };
    for (unsigned k = 0; k < G_N_ELEMENTS(names); k++) {
        if (!strcmp(r->name, names[k])) {
            return true;
        }
    }
    return false;
}

static bool differ(GString *why, const char *what, uint64_t host, uint64_t ours)
{
    if (host != ours) {
        g_string_append_printf(why, "    %-8s host %016" PRIx64 "  ours %016" PRIx64 "\n", what, host, ours);
        return true;
    }
    return false;
}

static bool compare(const Case *k, const State *in, const State *h, const State *o, GString *why)
{
    const InsnRow *r = &insn_rows[k->row];
    uint64_t fl = 0xcd5 & ~(undefined_flags(&insn_desc[k->row]) | k->undefined);
    bool bad = false, faulted = h->rip == CODE_PAGE && h->vector != 13;
    bool cut = k->count > 1 && h->rip < CODE_PAGE + k->len;
    bool dot = strstr(r->name, "dpp");
    /* a gather of 128 bits that faulted: the upper halves may be cleared already */
    bool cut_short = faulted && (r->attr & A_VSIB) && !(k->b[2] & 4);
    unsigned mask = faulted && (r->attr & A_VSIB) ? ~k->b[2] >> 3 & 15 : 16;
    char name[16];

    if (h->mxcsr & 0x20000) {
        return true;                    /* AMD's misaligned mode, which our CPU does not have */
    }
    if (named(r, "vcvtps2ph") && h->vector == 14 && o->vector == 19) {
        return true;                    /* which is seen first is the processor's business */
    }
    bad |= differ(why, "vector", h->vector, o->vector);
    bad |= differ(why, "rip", h->rip, o->rip);
    if (h->vector == 14 || h->vector == 13) {
        /* what only ring 0 has: the host's kernel half, our tables */
        uint32_t mask = h->vector == 14 && (h->cr2 >> 47 || h->cr2 < 2 << 20) ? ~1u : ~0u;
        bad |= differ(why, "error", h->error & mask, o->error & mask);
    }
    if (h->vector == 14) {
        /* which of several elements is tried first is the processor's business */
        unsigned drop = (r->attr & A_VSIB) || strstr(r->name, "maskmov") ? 12 : 0;
        bad |= differ(why, "cr2", h->cr2 >> drop, o->cr2 >> drop);
    }
    if (faulted) {
        fl = 0xcd5;
    }
    if (cut) {
        fl = 0;
    }
    bad |= differ(why, "flags", h->flags & fl, o->flags & fl);
    for (unsigned n = 0; n < 16; n++) {
        snprintf(name, sizeof(name), "r%u", n);
        bad |= differ(why, name, h->r[n], o->r[n]);
        for (unsigned q = 0; q < 4; q++) {
            if (cut_short && q >= 2) {
                continue;
            }
            if ((dot && same_dot_product(r, h->v[n].q[q], o->v[n].q[q])) ||
                (n == mask && same_gather_mask(r, k->b[2] & 4, q, h->v[n].q[q], o->v[n].q[q]))) {
                continue;
            }
            snprintf(name, sizeof(name), "v%u.q%u", n, q);
            bad |= differ(why, name, h->v[n].q[q], o->v[n].q[q]);
        }
    }
    uint32_t keep = ~mxcsr_free(r, h, cut);
    bad |= differ(why, "mxcsr", h->mxcsr & keep, o->mxcsr & keep);
    bad |= differ(why, "fcw", h->fcw, o->fcw);
    bool switching = cut || (faulted && (r->attr & A_MMX));     /* how far the switch to MMX state had come */
    uint16_t sw_keep = switching ? (uint16_t)~0xb880 : (uint16_t)~0x8080;
    bad |= differ(why, "fsw", h->fsw & sw_keep, o->fsw & sw_keep);
    if (!switching) {
        bad |= differ(why, "empty", h->empty, o->empty);
    }
    for (unsigned n = 0; n < 8; n++) {              /* ST(n), by number of the register */
        F80 a = h->st[(n - (h->fsw >> 11)) & 7], b = o->st[(n - (o->fsw >> 11)) & 7];
        if (transcendental(r) && near_f80(a, b)) {
            continue;
        }
        snprintf(name, sizeof(name), "fpr%u", n);
        bad |= differ(why, name, a.frac, b.frac);
        bad |= differ(why, name, a.se, b.se);
    }
    if (memcmp((void *)(uintptr_t)CODE_PAGE, ram + CODE_PAGE, PAGE)) {
        g_string_append(why, "    the code pages differ\n");
        bad = true;
    }
    /* ten bytes over the end of the page: the host may have stored the first part */
    bool partial = faulted && !strcmp(r->operands, "Mt");
    /* ... and so it may the return address of a call to where no code can be */
    partial |= h->vector == 13 && h->rip == CODE_PAGE && !strcmp(r->name, "call");
    if (memcmp(h->data, o->data, PAGE) && !partial) {
        for (unsigned n = 0; n < PAGE; n++) {
            if (h->data[n] != o->data[n]) {
                snprintf(name, sizeof(name), "m[%03x]", n);
                differ(why, name, h->data[n], o->data[n]);
            }
        }
        bad = true;
    }
    if (bad && in->mxcsr) {
        g_string_append_printf(why, "    in: flags %" PRIx64 " mxcsr %x fcw %x fsw %x empty %02x\n",
                               in->flags, in->mxcsr, in->fcw, in->fsw, in->empty);
    }
    return !bad;
}

/* ---- running ------------------------------------------------------------------------------------ */

static const char *case_text(const Case *k)
{
    static char text[600];
    int n = 0;

    for (unsigned j = 0; j < k->len; j++) {
        n += snprintf(text + n, sizeof(text) - n, "%02x ", k->b[j]);
    }
    if (k->count > 1) {
        n += snprintf(text + n, sizeof(text) - n, "(%u) ... ", k->count);
    }
    snprintf(text + n, sizeof(text) - n, "%s %s", insn_rows[k->row].name, insn_rows[k->row].operands);
    return text;
}

static uint64_t target_address(void)
{
    switch (below(16)) {
    case 0: return DATA_PAGE + PAGE - below(40);        /* near or over the end */
    case 1: return DATA_PAGE + below(8);
    case 2: case 3: return DATA_PAGE + 256 + below(PAGE - 1024);
    default: return DATA_PAGE + 256 + (below(PAGE - 1024) & ~31u);
    }
}

static bool bit_test(const InsnRow *r)
{
    return !strcmp(r->name, "bt") || !strcmp(r->name, "bts") || !strcmp(r->name, "btr") ||
           !strcmp(r->name, "btc");
}

/* A near indirect branch or a return mostly finds an address in the code page. */
static void aim_branch(State *s, const InsnRow *r, const Insn *i, uint64_t operand)
{
    uint64_t to = CODE_PAGE + MAX_INSN + 1 + below(PAGE - 100);
    bool ret = !strcmp(r->name, "ret");

    if ((!ret && strcmp(r->name, "jmp") && strcmp(r->name, "call")) || !below(8)) {
        return;
    }
    if (ret || (i->flags & IF_MEM)) {
        unsigned at = (ret ? s->r[R_ESP] : operand) - DATA_PAGE;
        if (at <= PAGE - 8) {
            st64_le(s->data + at, to);
        }
    } else {
        s->r[i->rm & 15] = to;
    }
}

/* false: not a case after all (another row was meant, or an operand is out of reach) */
static bool prepare(Case *k, State *s, unsigned row)
{
    const InsnRow *r = &insn_rows[row];
    Insn i = { 0 };
    uint64_t operand = target_address();

    if (!make_case(k, row)) {
        return false;
    }
    if (insn_decode(cpu, cpu->mode, (InsnBytes) { k->b, MAX_CODE }, 0, &i) != DECODE_OK ||
        i.row != row || i.len != k->len) {
        return false;
    }
    random_state(s, r);
    if (sha(r) && (i.flags & IF_MEM) && (i.base == i.index || (i.base == 16 && i.scale))) {
        return false;                   /* can't be aimed at an address divisible by 16 */
    }
    if (i.flags & IF_MEM) {
        aim(k, s, &i, sha(r) ? operand & ~15ull : operand);
        if (r->attr & A_VSIB) {
            for (unsigned q = 0; q < 4; q++) {          /* indices stay in the page */
                s->v[i.vindex].q[q] = (uint64_t)below(64) << 32 | below(64);
                if (!strchr(r->name + 8, 'd') || strstr(r->name, "rq")) {
                    s->v[i.vindex].q[q] = below(64);
                }
            }
        }
        if (insn_desc[row].nopnd > 1 && insn_desc[row].opnd[1].kind == OPND_G &&
            bit_test(r) && below(8)) {                      /* bit offsets reach far */
            if (i.reg == i.base || i.reg == i.index) {
                return false;
            }
            s->r[i.reg & 15] = (int64_t)below(1024) - 512;
        }
    }
    if (r->attr & A_REP || g_str_has_prefix(r->name, "maskmov") || !strcmp(r->name, "vmaskmovdqu")) {
        s->r[R_ESI] = DATA_PAGE + 512 + below(1024);
        s->r[R_EDI] = DATA_PAGE + 512 + below(1024);
        s->r[R_ECX] = below(48);
    }
    if (!strcmp(r->name, "xlat") || !strcmp(r->name, "xlatb")) {
        s->r[R_EBX] = DATA_PAGE + below(1024);
    }
    if (!(i.flags & IF_MEM) || (i.base != R_ESP && i.index != R_ESP)) {
        s->r[R_ESP] = DATA_PAGE + 1024 + 8 * below(256);
    }
    if (!strcmp(r->name, "leave")) {
        s->r[R_EBP] = DATA_PAGE + 1024 + 8 * below(256);
    }
    aim_branch(s, r, &i, operand);
    return !vendors_differ(r, &i, k->b, s);
}

static bool in_blocks(const InsnRow *r)
{
    return !(r->attr & (A_JUMP | A_END | A_REP | A_VSIB)) && !strstr(r->name, "maskmov") &&
           !strstr(r->name, "dpp") && !transcendental(r) && strcmp(r->operands, "Mt");
}

/* One more instruction behind those of the case. */
static bool extend(Case *k, unsigned row)
{
    const InsnDesc *d = &insn_desc[row];
    InsnDesc reads = { .fl_undef = d->fl_read };
    Insn i = { 0 };
    Case n;

    if (!in_blocks(&insn_rows[row]) || (undefined_flags(&reads) & k->undefined) || !make_case(&n, row) ||
        insn_decode(cpu, cpu->mode, (InsnBytes) { n.b, MAX_INSN }, 0, &i) != DECODE_OK ||
        i.row != row || i.len != n.len || ((i.flags & IF_MEM) && i.base != 17) ||
        vendors_differ(&insn_rows[row], &i, n.b, NULL)) {
        return false;
    }
    if (i.flags & IF_MEM) {
        uint64_t target = DATA_PAGE + 64 * (4 + below(PAGE / 64 - 16)) + (below(4) || sha(&insn_rows[row]) ? 0 : below(16));
        st32_le(n.b + n.disp_at, (uint32_t)(target - (CODE_PAGE + k->len + n.len)));
    }
    memcpy(k->b + k->len, n.b, n.len);
    k->len += n.len;
    k->row = row;
    k->count++;
    InsnDesc writes = { .fl_undef = d->fl_maybe ? 0 : d->fl_write };
    k->undefined = (k->undefined & ~undefined_flags(&writes)) | undefined_flags(d);
    return true;
}

/* What a case stored among the HLTs, by an address that happened to lie there, is undone. */
static void clean_code_page(void)
{
    static uint8_t clean[PAGE];

    if (!clean[0]) {
        memset(clean, 0xf4, PAGE);
    }
    if (memcmp((uint8_t *)(uintptr_t)CODE_PAGE + MAX_CODE, clean, PAGE - MAX_CODE)) {
        memcpy((void *)(uintptr_t)CODE_PAGE, clean, PAGE);
        address_space_write(&address_space_memory, CODE_PAGE, clean, PAGE);
    }
}

static void diff(bool blocks)
{
    uint64_t want = g_ascii_strtoull(g_getenv("INSN_CASES") ?: "1000000", NULL, 0) / (blocks ? 4 : 1);
    uint64_t seed = g_ascii_strtoull(g_getenv("INSN_SEED") ?: "1", NULL, 0);
    const char *only = g_getenv("INSN_ONLY");
    g_autofree unsigned *rows = g_new(unsigned, insn_row_count);
    g_autofree uint32_t *bad_rows = g_new0(uint32_t, insn_row_count);
    unsigned nrows = 0, shown = 0;
    uint64_t done = 0, failed = 0, tried = 0;
    static State in, h, o;
    State *inp = &in;

    rng_state = seed * 0x9e3779b97f4a7c15ull + 1;
    read_host_features();
    for (unsigned k = 0; k < insn_row_count; k++) {
        if (usable(&insn_rows[k]) && (!only || !strcmp(only, insn_rows[k].name))) {
            rows[nrows++] = k;
        }
    }
    g_assert_cmpuint(nrows, >, 0);
    for (unsigned k = 0; k < PAGE; k += 8) {
        st64_le(in.data + k, interesting());
    }
    memset((void *)(uintptr_t)CODE_PAGE, 0xf4, PAGE);
    while (done < want) {
        Case k;
        if (++tried > 100 * want + 100000) {
            g_error("too few usable cases");
        }
        if (!prepare(&k, inp, rows[below(nrows)])) {
            continue;
        }
        if (blocks) {
            if (!in_blocks(&insn_rows[k.row])) {
                continue;
            }
            k.undefined = undefined_flags(&insn_desc[k.row]);
            for (unsigned n = below(MAX_BLOCK - 1) + 1; n; ) {
                n -= extend(&k, rows[below(nrows)]);
            }
        }
        for (unsigned n = 0; n < 8; n++) {
            st64_le(in.data + (below(PAGE / 8) * 8), interesting());
        }
        memcpy((void *)(uintptr_t)CODE_PAGE, k.b, MAX_CODE);
        memset((uint8_t *)(uintptr_t)CODE_PAGE + k.len, 0xf4, MAX_CODE - k.len);
        address_space_write(&address_space_memory, CODE_PAGE, (void *)(uintptr_t)CODE_PAGE, MAX_CODE);
        run_host(&in, &h);
        run_guest(&in, &o);
        done++;
        g_autoptr(GString) why = g_string_new(NULL);
        if (!compare(&k, &in, &h, &o, why)) {
            failed++;
            if (bad_rows[k.row]++ < 2 && shown++ < 60) {
                g_print("%s\n%s", case_text(&k), why->str);
            }
        }
        clean_code_page();
    }
    for (unsigned k = 0; failed && k < insn_row_count; k++) {
        if (bad_rows[k]) {
            g_print("%6u  %s  %s %s\n", bad_rows[k], insn_rows[k].opcode, insn_rows[k].name,
                    insn_rows[k].operands);
        }
    }
    g_test_message("%" PRIu64 " cases of %u table rows, %" PRIu64 " differences", done, nrows, failed);
    g_assert_cmpuint(failed, ==, 0);
}

static void diff_test(bool blocks)
{
    if (!__builtin_cpu_supports("avx2")) {
        g_test_skip("the host has no AVX2");
        return;
    }
    diff(blocks);
}

/* A process has one engine: each is tested in a process of its own. */
static void with_engine(TcgEngine engine, int kind, bool blocks)
{
    Error *err = NULL;

    if (!g_test_subprocess()) {
        g_test_trap_subprocess(NULL, 0, G_TEST_SUBPROCESS_INHERIT_STDOUT |
                               G_TEST_SUBPROCESS_INHERIT_STDERR);
        g_test_trap_assert_passed();
        return;
    }
    x86_jit_kind = kind;
    if (!tcg_engine_init(0, engine, &err)) {
        g_error("%s", err->message);
    }
    guest_init();
    host_init();
    diff_test(blocks);
}

static void test_interpreter(void)
{
    with_engine(TCG_INTERP, 0, false);
}

static void test_native(void)
{
    with_engine(TCG_JIT, X86_JIT_FAST, false);
}

static void test_compact(void)
{
    with_engine(TCG_JIT, X86_JIT_COMPACT, false);
}

static void test_native_blocks(void)
{
    with_engine(TCG_JIT, X86_JIT_FAST, true);
}

static void test_compact_blocks(void)
{
    with_engine(TCG_JIT, X86_JIT_COMPACT, true);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/insn/interpreter", test_interpreter);
    g_test_add_func("/insn/native", test_native);
    g_test_add_func("/insn/compact", test_compact);
    g_test_add_func("/insn/native-blocks", test_native_blocks);
    g_test_add_func("/insn/compact-blocks", test_compact_blocks);
    return g_test_run();
}

#else

static void skip(void)
{
    g_test_skip("needs an x86-64 host");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/insn/interpreter", skip);
    return g_test_run();
}

#endif
