/* SPDX-License-Identifier: MIT */
/*
 * Calls and returns that are no pairs, or are but come back to something else: the native engine
 * keeps the two together (target-i386/jit-flow.c).  Recursion deeper than it keeps, coroutines,
 * code that is patched or mapped elsewhere or run in another mode when the callee returns, returns
 * to what is no address, requests amid calls without end, stacks over the end of a page.
 *
 * Each on the interpreter, by fast and by compact native code, in a process of its own.
 */
#include <glib.h>

#include "accel/tcg/block.h"
#include "accel/tcg/exec.h"
#include "target-i386/jit.h"
#include "tests/unit/x86-test.h"

#define CODE    0x20000u
#define CALLEE  0x21000u
#define WORD    0x30000u
#define DEVICE  0x2000000u          /* above RAM */
#define STACK_A 0xff0000u
#define STACK_B 0x400000u
#define VECTORS 0x10000u            /* a HLT each: x86_test_protected, x86_test_long */
#define V       0x40000000u         /* two pages, by the table at PT */
#define PD      0x200000u
#define PT      0x201000u
#define PAGE1   0x300000u
#define PAGE2   0x301000u
#define ROUNDS  6                   /* so often, that links and look-up entries exist */

#define POKE(at, ...) memcpy(ram + (at), (const uint8_t[]) { __VA_ARGS__ }, \
                             sizeof((const uint8_t[]) { __VA_ARGS__ }))
#define LE32(v) (v) & 0xff, (v) >> 8 & 0xff, (v) >> 16 & 0xff, (uint32_t)(v) >> 24

static ExitReason go(uint64_t start)
{
    cpu->rip = start;
    cpu->cpu.halted = false;
    x86_update_mode(cpu);
    return accel_current->run(&cpu->cpu);
}

static void run(uint64_t start)
{
    g_assert_cmpint(go(start), ==, EXIT_HALTED);
}

static void set_up(bool long_mode)
{
    long_mode ? x86_test_long(0) : x86_test_protected(0);
    block_flush_all();                          /* code is put there behind the engine's back */
    memset(ram + VECTORS, 0xf4, 256);
    cpu->r[R_ESP] = STACK_A;
}

/* ---- how deep ------------------------------------------------------------------------------ */

/* The same code in both modes: f(ecx) = ecx ? f(ecx - 1) + 1 : 0. */
static void recursion(bool long_mode)
{
    set_up(long_mode);
    POKE(CODE, 0x85, 0xc9,                      /* f: test ecx, ecx */
         0x74, 0x0b,                            /* jz out */
         0xff, 0xc9, 0x53,                      /* dec ecx; push rbx */
         0xe8, LE32(-12),                       /* call f */
         0x5b, 0xff, 0xc0,                      /* pop rbx; inc eax */
         0xc3);                                 /* out: ret */
    POKE(CODE + 0x100, 0xe8, LE32(-0x105), 0xf4);
    static const unsigned depth[] = { 1, 100, 1023, 1024, 1025, 5000, 5000, 700000 };
    for (unsigned k = 0; k < G_N_ELEMENTS(depth); k++) {
        cpu->r[R_EAX] = 0;
        cpu->r[R_ECX] = depth[k];
        run(CODE + 0x100);
        g_assert_cmpuint(cpu->r[R_EAX], ==, depth[k]);
        g_assert_cmphex(cpu->r[R_ESP], ==, STACK_A);
    }
}

static void test_recursion(void)
{
    recursion(true);
}

static void test_recursion32(void)
{
    recursion(false);
}

/* Two stacks; whoever calls `change` goes on where the other called it. */
static void test_coroutines(void)
{
    set_up(true);
    POKE(CODE, 0xe8, LE32(0xfb),                /* a: call change */
         0xff, 0xc0, 0xff, 0xc9,                /* inc eax; dec ecx */
         0x75, 0xf5, 0xf4);                     /* jnz a; hlt */
    POKE(CODE + 0x80, 0xe8, LE32(0x7b),         /* b: call change */
         0xff, 0xc2, 0xeb, 0xf7);               /* inc edx; jmp b */
    POKE(CODE + 0x100, 0x48, 0x87, 0x24, 0x25, LE32(WORD),      /* change: xchg rsp, [WORD] */
         0xc3);
    st64_le(ram + WORD, STACK_B);
    st64_le(ram + STACK_B, CODE + 0x80);
    cpu->r[R_EAX] = cpu->r[R_EDX] = 0;
    cpu->r[R_ECX] = 20000;
    run(CODE);
    g_assert_cmpuint(cpu->r[R_EAX], ==, 20000);
    g_assert_cmpuint(cpu->r[R_EDX], ==, 19999);
}

static unsigned accesses, kick_at;

static uint64_t device_read(void *opaque, hwaddr addr, unsigned size)
{
    if (++accesses == kick_at) {
        cpu_request(&cpu->cpu, CPU_REQ_EXIT);
    }
    return 0;
}

/* Each level calls the next one twice, further down in the page: nothing jumps back, and a request
 * is seen nevertheless. */
static void test_requests(void)
{
    static const RegionOps ops = { .read = device_read, .min = 4, .max = 4 };
    static Region device;
    enum { LEVELS = 10 };

    bql_lock();
    memory_begin();
    region_init_io(&device, "device", 4096, &ops, NULL);
    region_map(system_memory(), DEVICE, &device, 0);
    memory_commit();
    bql_unlock();
    set_up(true);
    for (unsigned k = 0; k < LEVELS; k++) {
        POKE(CODE + 32 * k, 0xe8, LE32(32 - 5), 0xe8, LE32(32 - 10), k ? 0xc3 : 0xf4);
    }
    POKE(CODE + 32 * LEVELS, 0xa1, LE32(DEVICE), LE32(0), 0xc3);        /* mov eax, [DEVICE]; ret */
    for (unsigned n = 0; n < ROUNDS; n++) {
        accesses = 0;
        run(CODE);
        g_assert_cmpuint(accesses, ==, 1 << LEVELS);
    }
    kick_at = 200;
    accesses = 0;
    cpu->r[R_ESP] = STACK_A;
    g_assert_cmpint(go(CODE), ==, EXIT_KICKED);
    g_assert_cmpuint(accesses, <, kick_at + 3);
}

/* ---- back to something else ---------------------------------------------------------------- */

/* The callee stores to the instruction it returns to: its constant, then its opcode. */
static void test_patched(void)
{
    for (unsigned k = 0; k < 2; k++) {
        uint32_t callee = k ? CODE + 0x200 : CALLEE;
        set_up(true);
        POKE(CODE, 0xe8, LE32(callee - (CODE + 5)),
             0xb8, LE32(7), 0xf4);              /* mov eax, 7; hlt */
        POKE(callee, 0x89, 0x0c, 0x25, LE32(CODE + 6),          /* mov [CODE + 6], ecx */
             0x88, 0x14, 0x25, LE32(CODE + 5), 0xc3);           /* mov [CODE + 5], dl; ret */
        for (unsigned n = 0; n < 4 * ROUNDS; n++) {
            bool ebx = n % 4 == 3;
            cpu->r[R_EAX] = cpu->r[R_EBX] = 0;
            cpu->r[R_ECX] = n / 2 + 1;
            cpu->r[R_EDX] = ebx ? 0xbb : 0xb8;
            run(CODE);
            g_assert_cmpuint(cpu->r[R_EAX], ==, ebx ? 0 : n / 2 + 1);
            g_assert_cmpuint(cpu->r[R_EBX], ==, ebx ? n / 2 + 1 : 0);
        }
    }
}

static void map_v(void)
{
    st64_le(ram + 0x101008, PD | 7);
    st64_le(ram + PD, PT | 7);
}

/* The caller's page is another one when the callee returns; by INVLPG, by CR3, by EFER.NXE. */
static void test_mapped_elsewhere(void)
{
    for (unsigned how = 0; how < 3; how++) {
        set_up(true);
        map_v();
        for (unsigned k = 0; k < 2; k++) {
            POKE(k ? PAGE2 : PAGE1, 0xb8, LE32(CALLEE), 0xff, 0xd0,     /* mov eax, CALLEE; call rax */
                 0xb8, LE32(k + 1),                                     /* mov eax, 1 or 2 */
                 0xe8, LE32(0x100 - 17),                                /* call inc_eax */
                 0xf4);
            POKE((k ? PAGE2 : PAGE1) + 0x100, 0xff, 0xc0, 0xc3);
        }
        POKE(CALLEE, 0x85, 0xc9,                /* test ecx, ecx */
             0x74, 25,                          /* jz out */
             0x48, 0xc7, 0x04, 0x25, LE32(PT), LE32(PAGE2 | 7));        /* mov qword [PT], PAGE2 | 7 */
        memset(ram + CALLEE + 16, 0x90, 13);
        switch (how) {
        case 0:                                 /* invlpg [V] */
            POKE(CALLEE + 16, 0x0f, 0x01, 0x3c, 0x25, LE32(V));
            break;
        case 1:                                 /* mov rax, cr3; mov cr3, rax */
            POKE(CALLEE + 16, 0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8);
            break;
        case 2:                                 /* mov ecx, EFER; rdmsr; btc eax, 11; wrmsr */
            POKE(CALLEE + 16, 0xb9, LE32(0xc0000080), 0x0f, 0x32, 0x0f, 0xba, 0xf8, 11, 0x0f, 0x30);
            break;
        }
        POKE(CALLEE + 29, 0xc3);
        for (unsigned n = 0; n < 3 * ROUNDS; n++) {
            bool moves = n % 3 == 2;
            st64_le(ram + PT, PAGE1 | 7);
            x86_tlb_flush(cpu);
            cpu->r[R_ECX] = moves;
            run(V);
            g_assert_cmpuint(cpu->r[R_EAX], ==, moves ? 3 : 2);
        }
    }
}

/* The callee returns in 32-bit mode, where the bytes behind the call mean something else. */
static void test_other_mode(void)
{
    set_up(true);
    Segment cs = cpu->seg[R_CS];
    POKE(CODE, 0xe8, LE32(CALLEE - (CODE + 5)),
         0x48, 0xff, 0xc0, 0xf4);           /* inc rax; hlt; or dec eax; inc eax; hlt */
    POKE(CALLEE, 0x85, 0xc9, 0x75, 0x01, 0xc3,      /* test ecx, ecx; jnz on; ret */
         0x6a, CODE0, 0x68, LE32(CALLEE + 0x40),    /* on: push CODE0; push behind */
         0x48, 0xcb);                               /* lret */
    POKE(CALLEE + 0x40, 0xc3);
    for (unsigned n = 0; n < 3 * ROUNDS; n++) {
        bool other = n % 3 == 2;
        cpu->seg[R_CS] = cs;
        cpu->r[R_ECX] = other;
        cpu->r[R_EAX] = 5;
        run(CODE);
        g_assert_cmpuint(cpu->r[R_EAX], ==, other ? 5 : 6);
    }
}

/* #GP at the RET itself, whatever the bottom of the engine's stack holds. */
static void test_no_address(void)
{
    static const uint64_t address[] = { 1ull << 63 | 1, 1ull << 63, 1ull << 47, ~0ull >> 1 };
    for (unsigned k = 0; k < 4 * G_N_ELEMENTS(address); k++) {
        bool pops = k & 1, called = k & 2;
        uint64_t to = address[k / 4];
        set_up(true);
        POKE(CODE, 0xe8, LE32(CALLEE - (CODE + 5)), 0xf4);
        POKE(CALLEE, 0x50, 0x53, 0x5b, 0x5f, 0x50, 0x90, 0x90);     /* push rax, rbx; pop rbx, rdi; push rax */
        if (pops) {
            POKE(CALLEE, 0x50, 0x53, 0x90, 0x90, 0x90, 0x90, 0x5b); /* ... pop rbx last */
        }
        POKE(CALLEE + 7, 0xc3);
        for (unsigned n = 0; n < ROUNDS; n++) {
            cpu->r[R_ESP] = STACK_A;
            cpu->r[R_EAX] = to;
            cpu->exc_vector = -1;
            run(called ? CODE : CALLEE);
            uint64_t frame = cpu->r[R_ESP];
            g_assert_cmphex(cpu->rip, ==, VECTORS + EXC_GP + 1);
            g_assert_cmphex(mem64(frame), ==, 0);
            g_assert_cmphex(mem64(frame + 8), ==, CALLEE + 7);
            g_assert_cmphex(mem64(frame + 32), ==, STACK_A - 8 - (called ? 8 : 0));
        }
    }
}

/* ---- the stack ------------------------------------------------------------------------------ */

/* Two pages that do not follow each other in memory: page 0 of V is the second of them. */
static uint64_t in_v(uint64_t va)
{
    uint64_t v = 0;
    for (unsigned b = 8; b--;) {
        uint64_t at = va + b - V;
        v = v << 8 | ram[(at < 4096 ? PAGE2 : PAGE1) + (at & 4095)];
    }
    return v;
}

/* Pushes, a call, pops before its RET, at each place near the end of a page; what was pushed last
 * before was in this page or that. */
static void test_page_ends(void)
{
    static const unsigned pushed[] = { R_EAX, R_EBX, R_ECX, R_EDX, R_EBP };

    set_up(true);
    map_v();
    st64_le(ram + PT, PAGE2 | 7);
    st64_le(ram + PT + 8, PAGE1 | 7);
    POKE(CODE, 0x48, 0x89, 0xfc, 0x50, 0x58,            /* mov rsp, rdi; push rax; pop rax */
         0x48, 0x89, 0xf4,                              /* mov rsp, rsi */
         0x50, 0x53, 0x51, 0x52, 0x55,                  /* push rax, rbx, rcx, rdx, rbp */
         0xe8, LE32(0x100 - 18),
         0x5d, 0x5a, 0x59, 0x5b, 0x58, 0xf4);           /* pop ...; hlt */
    POKE(CODE + 0x100, 0x53, 0x55, 0x90, 0x5d, 0x5b, 0xc3);     /* push rbx, rbp; nop; pop ...; ret */
    POKE(CODE + 0x200, 0x48, 0x89, 0xfc,                /* mov rsp, rdi */
         0x50, 0x59, 0x50, 0x59, 0x50, 0x59,            /* push rax; pop rcx; ... */
         0x48, 0x89, 0xf4, 0x50, 0x90, 0x59, 0xf4);     /* mov rsp, rsi; push rax; nop; pop rcx; hlt */
    for (unsigned n = 0; n < 300; n++) {
        uint64_t sp = V + 4096 - 20 + n / 2;
        for (unsigned k = 0; k < G_N_ELEMENTS(pushed); k++) {
            cpu->r[pushed[k]] = 0x0123456789abcdefull * (n + 1) + k;
        }
        cpu->r[R_EDI] = V + (n & 1 ? 0x800 : 0x1800);
        cpu->r[R_ESI] = sp;
        run(CODE);
        g_assert_cmphex(cpu->r[R_ESP], ==, sp);
        for (unsigned k = 0; k < G_N_ELEMENTS(pushed); k++) {
            g_assert_cmphex(cpu->r[pushed[k]], ==, 0x0123456789abcdefull * (n + 1) + k);
            g_assert_cmphex(in_v(sp - 8 * (k + 1)), ==, cpu->r[pushed[k]]);
        }
        g_assert_cmphex(in_v(sp - 48), ==, CODE + 18);
        g_assert_cmphex(in_v(sp - 56), ==, cpu->r[R_EBX]);
        g_assert_cmphex(in_v(sp - 64), ==, cpu->r[R_EBP]);
        cpu->r[R_EAX] ^= ~0ull;
        run(CODE + 0x200);
        g_assert_cmphex(cpu->r[R_ECX], ==, cpu->r[R_EAX]);
        g_assert_cmphex(in_v(sp - 8), ==, cpu->r[R_EAX]);
    }
}

/* The stack's page is another one from one push to the next. */
static void test_stack_moves(void)
{
    set_up(true);
    map_v();
    POKE(CODE, 0x48, 0x89, 0xf4, 0x53, 0x5a, 0x53, 0x5a, 0x53,  /* mov rsp, rsi; push rbx ... */
         0x48, 0xc7, 0x04, 0x25, LE32(PT), LE32(PAGE2 | 7),     /* mov qword [PT], PAGE2 | 7 */
         0xb9, LE32(0xc0000080), 0x0f, 0x32, 0x0f, 0xba, 0xf8, 11, 0x0f, 0x30,
         0x53, 0xf4);                           /* EFER.NXE changes; push rbx; hlt */
    for (unsigned n = 0; n < ROUNDS; n++) {
        memset(ram + PAGE1, 0, 8192);
        st64_le(ram + PT, PAGE1 | 7);
        x86_tlb_flush(cpu);
        cpu->r[R_ESI] = V + 0x800;
        cpu->r[R_EBX] = n + 1;
        run(CODE);
        g_assert_cmphex(mem64(PAGE1 + 0x7f8), ==, n + 1);
        g_assert_cmphex(mem64(PAGE2 + 0x7f8), ==, 0);
        g_assert_cmphex(mem64(PAGE1 + 0x7f0), ==, 0);
        g_assert_cmphex(mem64(PAGE2 + 0x7f0), ==, n + 1);
    }
}

/* ---- main ------------------------------------------------------------------------------------ */

typedef struct Test {
    const char *name;
    void (*run)(void);
} Test;

static const Test tests[] = {
    { "recursion", test_recursion },
    { "recursion32", test_recursion32 },
    { "coroutines", test_coroutines },
    { "requests", test_requests },
    { "patched", test_patched },
    { "mapped-elsewhere", test_mapped_elsewhere },
    { "other-mode", test_other_mode },
    { "no-address", test_no_address },
    { "page-ends", test_page_ends },
    { "stack-moves", test_stack_moves },
};

static void in_process(const Test *t, TcgEngine engine, int kind)
{
    Error *err = NULL;

    if (!in_own_process()) {
        return;
    }
    x86_jit_kind = kind;
    if (!tcg_engine_init(256 << 10, engine, &err)) {
        if (engine == TCG_JIT) {
            g_test_skip(err->message);
            return;
        }
        g_error("%s", err->message);
    }
    x86_test_init();
    t->run();
}

static void interpreted(gconstpointer t)
{
    in_process(t, TCG_INTERP, 0);
}

static void fast(gconstpointer t)
{
    in_process(t, TCG_JIT, X86_JIT_FAST);
}

static void compact(gconstpointer t)
{
    in_process(t, TCG_JIT, X86_JIT_COMPACT);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(gconstpointer);
    } engine[] = { { "interpreter", interpreted }, { "native", fast }, { "compact", compact } };

    g_test_init(&argc, &argv, NULL);
    for (unsigned e = 0; e < G_N_ELEMENTS(engine); e++) {
        for (unsigned k = 0; k < G_N_ELEMENTS(tests); k++) {
            g_autofree char *path = g_strdup_printf("/calls/%s/%s", engine[e].name, tests[k].name);
            g_test_add_data_func(path, &tests[k], engine[e].run);
        }
    }
    return g_test_run();
}
