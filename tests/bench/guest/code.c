/* SPDX-License-Identifier: MIT */
/*
 * Code that changes: an instruction patched before each call, and functions written anew all
 * the time, as compilers at run time do.
 */
#include "tests/bench/guest/bench.h"
#include <string.h>
#include <sys/mman.h>

typedef uint32_t CodeFn(uint32_t x);

static uint8_t *code;

enum {
    SLOT = 64,
    SLOTS = 4096,
};

static void code_setup(void)
{
    code = map(SLOT * SLOTS, PROT_READ | PROT_WRITE | PROT_EXEC);
}

/* mov eax, value; add eax, edi; rol eax, 5; ret */
static CodeFn *write_function(uint8_t *at, uint32_t value)
{
    static const uint8_t body[] = { 0xb8, 0, 0, 0, 0, 0x01, 0xf8, 0xc1, 0xc0, 5, 0xc3 };
    memcpy(at, body, sizeof(body));
    memcpy(at + 1, &value, 4);
    return (CodeFn *)(void *)at;
}

static uint64_t patched_round(void)
{
    CodeFn *fn = write_function(code, 0);
    uint32_t x = 1;
    for (uint32_t i = 0; i < 2000; i++) {
        memcpy(code + 1, &i, 4);
        x = fn(x);
        __asm__ volatile("" : : : "memory");
    }
    return x;
}

static uint64_t fresh_round(void)
{
    static unsigned next;       /* goes on through the rounds: a slot comes again much later */
    uint32_t x = 1;
    for (uint32_t i = 0; i < 2000; i++) {
        CodeFn *fn = write_function(code + next++ % SLOTS * SLOT, i * 0x10001);
        for (int k = 0; k < 4; k++) {
            x = fn(x);
        }
    }
    return x;
}

const Workload code_workloads[] = {
    { "patched-code", "patches",   2000, patched_round, code_setup },
    { "fresh-code",   "functions", 2000, fresh_round,   code_setup },
    { NULL }
};
