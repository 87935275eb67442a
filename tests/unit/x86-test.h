/* SPDX-License-Identifier: MIT */
/*
 * A vCPU with memory but no board, for tests that call the CPU's helpers directly.  Memory is
 * identity-mapped RAM at 0; tests write tables there and run helpers under TRY.
 */
#ifndef TESTS_UNIT_X86_TEST_H
#define TESTS_UNIT_X86_TEST_H

#include <glib.h>
#include <setjmp.h>
#include <string.h>

#include "accel/accel.h"
#include "target-i386/cpuid.h"
#include "target-i386/helper.h"
#include "target-i386/msr.h"
#include "util/bits.h"
#include "util/bql.h"

#define RAM_SIZE (16u << 20)

extern uint8_t *ram;            /* guest-physical 0 .. RAM_SIZE */
extern X86CPU *cpu;             /* of model "max", Intel rules where they differ */

/* Build the machine; once, before g_test_run. */
void x86_test_init(void);
/* CPU as after reset, RAM zero. */
void x86_test_reset(void);

/* Run statements; -1, or the exception they raised (error code in cpu->exc_error). */
#define TRY(...)                                            \
    __extension__({                                         \
        cpu->exc_vector = -1;                               \
        if (sigsetjmp(cpu->cpu.jmp, 0) == 0) {              \
            __VA_ARGS__;                                    \
        }                                                   \
        cpu->exc_vector;                                    \
    })

#define assert_raised(exc, err)                             \
    do {                                                    \
        g_assert_cmpint(cpu->exc_vector, ==, exc);          \
        g_assert_cmphex(cpu->exc_error, ==, err);           \
    } while (0)

/* Deliver what is pending, faults in delivery included, as the engine's loop does.  false:
 * triple fault. */
bool x86_test_deliver(void);

/* Where the tests keep their tables */
enum {
    GDT = 0x1000, IDT = 0x2000, LDT = 0x3000, TSS = 0x4000, TSS2 = 0x5000, TSS3 = 0x6000,
    STACK0 = 0x9000, STACK1 = 0xa000, STACK3 = 0xc000,      /* tops */
};
/* Selectors x86_test_protected makes (index * 8) */
enum {
    CODE0 = 0x08, DATA0 = 0x10, CODE3 = 0x1b, DATA3 = 0x23, TSS_SEL = 0x28, TSS2_SEL = 0x38,
    TSS3_SEL = 0x40, LDT_SEL = 0x48, CODE64 = 0x58, CODE1 = 0x61, DATA1 = 0x69, CODE16 = 0x70,
    FREE = 0x80,
};
#define DESC_CODE32 (DESC_P | DESC_S | DESC_CODE | DESC_R | DESC_B | DESC_G)
#define DESC_CODE64 (DESC_P | DESC_S | DESC_CODE | DESC_R | DESC_L | DESC_G)
#define DESC_DATA32 (DESC_P | DESC_S | DESC_W | DESC_B | DESC_G)
#define DPL(n)      ((uint32_t)(n) << DESC_DPL_SHIFT)
#define TYPE(n)     ((uint32_t)(n) << DESC_TYPE_SHIFT)

/* Descriptor: limit in the units of G. */
void put_desc(uint32_t at, uint32_t base, uint32_t limit, uint32_t attr);
void put_gate(uint32_t at, uint16_t sel, uint32_t off, uint32_t attr, unsigned params);
void put_gate64(uint32_t at, uint16_t sel, uint64_t off, uint32_t attr, unsigned ist);
/* Protected mode, 32-bit, flat, ring cpl (0 or 3), all interrupt gates to CODE0:10000h + n,
 * TR at TSS with stacks.  long_mode: 64-bit code with identity paging of the first GiB. */
void x86_test_protected(unsigned cpl);
void x86_test_long(unsigned cpl);

static inline uint32_t mem32(uint32_t at)
{
    return ld32_le(ram + at);
}
static inline uint16_t mem16(uint32_t at)
{
    return ld16_le(ram + at);
}
static inline uint64_t mem64(uint32_t at)
{
    return ld64_le(ram + at);
}

/* A process has one engine, so each is tested in a process of its own: false in the parent, whose
 * child has passed then. */
static inline bool in_own_process(void)
{
    if (!g_test_subprocess()) {
        g_test_trap_subprocess(NULL, 0, G_TEST_SUBPROCESS_INHERIT_STDOUT |
                               G_TEST_SUBPROCESS_INHERIT_STDERR);
        g_test_trap_assert_passed();
        return false;
    }
    return true;
}

#endif
