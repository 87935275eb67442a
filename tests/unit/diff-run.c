/* SPDX-License-Identifier: MIT */
/*
 * Running code on the host's CPU and on the engine from the same state: see diff.h.
 */
#include <glib.h>

#ifdef __x86_64__

#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "tests/unit/diff.h"

#define HANDLERS  0x10000u          /* see x86-test.h */
#define XSAVE_AVX 576               /* offset of the YMM halves in the standard format */

/* ---- random values ------------------------------------------------------------------------ */

uint64_t rng_state;

uint64_t rnd(void)
{
    rng_state ^= rng_state << 13;
    rng_state ^= rng_state >> 7;
    rng_state ^= rng_state << 17;
    return rng_state * 0x2545f4914f6cdd1dull;
}
unsigned below(unsigned n)
{
    return (rnd() >> 32) % n;
}
uint64_t interesting(void)
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
F80 random_f80(void)
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
unsigned code_pages = 1;
bool data_low;
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

void host_init(void)
{
    static uint8_t stack[1 << 16];
    stack_t ss = { .ss_sp = stack, .ss_size = sizeof(stack) };
    struct sigaction sa = { .sa_sigaction = fault, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };

    g_assert_true(mmap((void *)(uintptr_t)CODE_PAGE, code_pages * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != MAP_FAILED);
    unsigned low = data_low ? PAGE : 0;
    g_assert_true(mmap((void *)(uintptr_t)(DATA_PAGE - low), PAGE + low, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != MAP_FAILED);
    sigaltstack(&ss, NULL);
    for (unsigned k = 0; k < 5; k++) {
        sigaction((int[]) { SIGSEGV, SIGILL, SIGFPE, SIGBUS, SIGTRAP }[k], &sa, NULL);
    }
}

void run_host(const State *in, State *out)
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
    if (data_low) {
        memcpy((void *)(uintptr_t)(DATA_PAGE - PAGE), in->low, PAGE);
    }
    host_in = in;
    host_out = out;
    host_run();
    host_out = NULL;
    memcpy(out->data, (void *)(uintptr_t)DATA_PAGE, PAGE);
    if (data_low) {
        memcpy(out->low, (void *)(uintptr_t)(DATA_PAGE - PAGE), PAGE);
    }
}

/* ---- the interpreter ------------------------------------------------------------------------ */

#define LOW_AT 0xb00000u            /* where the low page lies */

/* Pages in three regions of 2 MiB. */
static void map_page(uint32_t va, uint32_t at)
{
    uint32_t pd = 0x102000, pt = 0x103000 + (va >> 21 & 3) * 0x1000;

    st64_le(ram + pd + (va >> 21) * 8, pt | 7);
    st64_le(ram + pt + (va >> 12 & 511) * 8, at | 0x67 | (va >> 12 != CODE_PAGE >> 12 &&
            va >> 12 != (CODE_PAGE >> 12) + 1 ? 1ull << 63 /* NX */ : 0));
}

void guest_init(void)
{
    x86_test_init();
    x86_test_long(3);
    st64_le(ram + 0x101000, 0x102000 | 7);
    st64_le(ram + 0x102000, 0xe3);      /* the tables, for ring 0 */
    memset(ram + 0x102008, 0, 7 * 8);
    for (unsigned k = 0; k < code_pages; k++) {
        map_page(CODE_PAGE + k * PAGE, CODE_PAGE + k * PAGE);
    }
    map_page(DATA_PAGE, DATA_PAGE);
    if (data_low) {
        map_page(DATA_PAGE - PAGE, LOW_AT);
    }
    memset(ram + HANDLERS, 0xf4, 256);
    memset(ram + CODE_PAGE, 0xf4, code_pages * PAGE);
    cpu->cr4 |= CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | CR4_FSGSBASE;
    cpu->cr0 |= CR0_MP;
    cpu->xcr0 = 7;
    x86_update_mode(cpu);
}

void run_guest(const State *in, State *out)
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
    cpu->rip = code_start;
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
    if (data_low) {
        memcpy(ram + LOW_AT, in->low, PAGE);
    }
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
    if (data_low) {
        memcpy(out->low, ram + LOW_AT, PAGE);
    }
}

#endif
