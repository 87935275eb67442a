/* SPDX-License-Identifier: MIT */
/*
 * The execution engine with several vCPU threads: locked instructions after a second vCPU has
 * come, blocks that are evicted while another vCPU waits for a device in the middle of one.
 *
 * 32-bit code without paging; each vCPU has a thread, and no board.
 */
#include <glib.h>

#include "accel/tcg/block.h"
#include "accel/tcg/exclusive.h"
#include "accel/tcg/exec.h"
#include "tests/unit/x86-test.h"
#include "util/rcu.h"

#define CODE    0x20000u
#define WORD    0x30000u
#define DEVICE  0x2000000u          /* above RAM */
#define CHAIN   0x400000u           /* many blocks */

/* ---- vCPUs ---------------------------------------------------------------------------------- */

typedef struct Runner {
    X86CPU *cpu;
    uint32_t start;
    ExitReason why;
} Runner;

/* The second vCPU, in the state of the first. */
static X86CPU *another(void)
{
    Error *err = NULL;
    bql_lock();
    X86CPU *c = x86_cpu_new("max,vendor=GenuineIntel", cpus->len, &err);
    g_assert_no_error(err);
    x86_cpu_reset(c);
    memcpy(c->seg, cpu->seg, sizeof(c->seg));
    c->gdt = cpu->gdt;
    c->idt = cpu->idt;
    c->tr = cpu->tr;
    c->cr0 = cpu->cr0;
    c->rflags = cpu->rflags;
    g_assert_true(accel_current->cpu_create(&c->cpu, &err));
    bql_unlock();
    return c;
}

static gpointer thread(gpointer opaque)
{
    Runner *r = opaque;

    rcu_register_thread();
    cpu_set_current(&r->cpu->cpu);
    tcg_follow_bql();
    r->cpu->rip = r->start;
    r->cpu->cpu.halted = false;
    x86_update_mode(r->cpu);
    r->why = accel_current->run(&r->cpu->cpu);
    return NULL;
}

static void run_here(uint32_t start)
{
    cpu->rip = start;
    cpu->cpu.halted = false;
    x86_update_mode(cpu);
    g_assert_cmpint(accel_current->run(&cpu->cpu), ==, EXIT_HALTED);
}

/* ---- locked instructions --------------------------------------------------------------------- */

/* ROUNDS times each: lock inc, lock xadd. */
#define ROUNDS 2000000u
static const uint8_t count[] = {
    0xb9, ROUNDS & 0xff, ROUNDS >> 8 & 0xff, ROUNDS >> 16 & 0xff, ROUNDS >> 24,    /* mov ecx */
    0xf0, 0xff, 0x05, 0, 0, 3, 0,                       /* again: lock inc dword [WORD] */
    0xb8, 1, 0, 0, 0,                                   /* mov eax, 1 */
    0xf0, 0x0f, 0xc1, 0x05, 4, 0, 3, 0,                 /* lock xadd [WORD + 4], eax */
    0x49,                                               /* dec ecx */
    0x75, 0xe9,                                         /* jnz again */
    0xf4,                                               /* hlt */
};

/* Blocks made while there was one vCPU lock nothing: the second must not run them. */
static void test_second_cpu(void)
{
    x86_test_protected(0);
    memcpy(ram + CODE, count, sizeof(count));
    run_here(CODE);
    g_assert_cmpuint(mem32(WORD), ==, ROUNDS);
    g_assert_nonnull(block_find(ram + CODE, cpu->mode));
    Runner r = { another(), CODE };
    g_assert_null(block_find(ram + CODE, cpu->mode));
    GThread *t = g_thread_new("second", thread, &r);
    run_here(CODE);
    run_here(CODE);
    g_thread_join(t);
    g_assert_cmpint(r.why, ==, EXIT_HALTED);
    g_assert_cmpuint(mem32(WORD), ==, 4 * ROUNDS);
    g_assert_cmpuint(mem32(WORD + 4), ==, 4 * ROUNDS);
}

/* ---- eviction ---------------------------------------------------------------------------------- */

#define BLOCKS 6000u
#define EACH   64u
static bool holds, over;            /* [atomic] the big lock is taken; the chain is at its end */
static unsigned accesses;

/* Keeps the big lock until the chain is at its end, or gets no further: it may have to wait for
 * the vCPU that waits for the lock. */
static gpointer lock_holder(gpointer opaque)
{
    uint32_t before = ~0u, now;
    bql_lock();
    __atomic_store_n(&holds, true, __ATOMIC_SEQ_CST);
    for (unsigned quiet = 0; quiet < 50 && !__atomic_load_n(&over, __ATOMIC_SEQ_CST);) {
        g_usleep(2000);
        now = __atomic_load_n((uint32_t *)(void *)(ram + WORD), __ATOMIC_SEQ_CST);
        quiet = now == before || !now ? quiet + !!now : 0;
        before = now;
    }
    bql_unlock();
    return NULL;
}

static uint64_t device_read(void *opaque, hwaddr addr, unsigned size)
{
    return ++accesses;
}

static const RegionOps device_ops = { .read = device_read, .min = 4, .max = 4 };

/* Reads the device, and goes on in the same block. */
static const uint8_t reader[] = {
    0xbb, 0x44, 0x33, 0x22, 0x11,                       /* mov ebx, 11223344h */
    0xa1, 0, 0, 0, 2,                                   /* mov eax, [DEVICE] */
    0x01, 0xc3,                                         /* add ebx, eax */
    0xbe, 0x78, 0x56, 0x34, 0x12,                       /* mov esi, 12345678h */
    0x89, 0x1d, 8, 0, 3, 0,                             /* mov [WORD + 8], ebx */
    0x89, 0x35, 12, 0, 3, 0,                            /* mov [WORD + 12], esi */
    0xf4,
};

/* inc dword [WORD]; jmp to the next one, which is in another page */
static void make_chain(void)
{
    for (unsigned k = 0; k < BLOCKS; k++) {
        uint8_t *at = ram + CHAIN + k * EACH;
        static const uint8_t inc[] = { 0xff, 0x05, 0, 0, 3, 0 };
        memcpy(at, inc, 6);
        memset(at + 6, 0x40, 32);                       /* inc eax */
        at[38] = k + 1 < BLOCKS ? 0xe9 : 0xf4;
        st32_le(at + 39, EACH - 43);
    }
}

static void test_eviction(void)
{
    static Region device;
    x86_test_protected(0);
    bql_lock();
    memory_begin();
    region_init_io(&device, "device", 4096, &device_ops, NULL);
    region_map(system_memory(), DEVICE, &device, 0);
    memory_commit();
    bql_unlock();
    make_chain();
    memcpy(ram + CODE, reader, sizeof(reader));

    Runner r = { another(), CODE };
    GThread *holder = g_thread_new("holder", lock_holder, NULL);
    while (!__atomic_load_n(&holds, __ATOMIC_SEQ_CST)) {
        g_usleep(100);
    }
    GThread *t = g_thread_new("reader", thread, &r);
    while (!__atomic_load_n(&r.cpu->tcg.left_for_bql, __ATOMIC_SEQ_CST)) {
        g_usleep(100);
    }
    run_here(CHAIN);
    __atomic_store_n(&over, true, __ATOMIC_SEQ_CST);
    g_thread_join(t);
    g_thread_join(holder);
    g_assert_cmpint(r.why, ==, EXIT_HALTED);
    g_assert_cmpuint(accesses, ==, 1);
    g_assert_cmphex(mem32(WORD + 8), ==, 0x11223345);
    g_assert_cmphex(mem32(WORD + 12), ==, 0x12345678);
    g_assert_cmpuint(mem32(WORD), ==, BLOCKS);
    g_assert_cmphex(r.cpu->rip, ==, CODE + sizeof(reader));
}

/* ---- each in a process of its own ------------------------------------------------------------ */

typedef struct Test {
    const char *name;
    TcgEngine engine;
    void (*run)(void);
} Test;

static void in_process(gconstpointer data)
{
    const Test *t = data;
    Error *err = NULL;

    if (!in_own_process()) {
        return;
    }
    if (!tcg_engine_init(64 << 10, t->engine, &err)) {
        if (t->engine == TCG_JIT) {
            g_test_skip(err->message);
            return;
        }
        g_error("%s", err->message);
    }
    x86_test_init();
    t->run();
}

int main(int argc, char **argv)
{
    static const Test tests[] = {
        { "/tcg/native/second-cpu", TCG_JIT, test_second_cpu },
        { "/tcg/native/eviction", TCG_JIT, test_eviction },
        { "/tcg/interpreter/second-cpu", TCG_INTERP, test_second_cpu },
        { "/tcg/interpreter/eviction", TCG_INTERP, test_eviction },
    };
    g_test_init(&argc, &argv, NULL);
    for (unsigned k = 0; k < G_N_ELEMENTS(tests); k++) {
        g_test_add_data_func(tests[k].name, &tests[k], in_process);
    }
    return g_test_run();
}
