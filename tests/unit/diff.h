/* SPDX-License-Identifier: MIT */
/*
 * What the tests against the host's CPU share (test-insn-diff.c, test-program-diff.c): random
 * values, a state that both sides start from, runs on either side, random instructions,
 * comparison.
 *
 * Both sides see the same linear addresses: pages of code and one or two of data, each between
 * unmapped pages.  The code pages are full of HLT, which faults in ring 3: a case ends, there as
 * here, with an exception whose address tells where it went.
 */
#ifndef TESTS_UNIT_DIFF_H
#define TESTS_UNIT_DIFF_H

#include "target-i386/insn.h"
#include "target-i386/sse-env.h"
#include "tests/unit/x86-test.h"

#define CODE_PAGE 0x800000u
#define DATA_PAGE 0xa00000u
#define PAGE      4096u
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
    uint8_t low[PAGE];              /* with data_low: the page before DATA_PAGE ... */
    uint8_t data[PAGE];             /* ... and DATA_PAGE */
} State;

typedef struct Case {
    unsigned count;                 /* instructions */
    uint64_t undefined;             /* flags, of a block */
    uint8_t b[MAX_CODE];
    unsigned len, modrm_at, disp_at, disp_size;
    unsigned row;
} Case;

/* ---- diff-run.c ----------------------------------------------------------------------------- */

extern uint64_t rng_state;
uint64_t rnd(void);
unsigned below(unsigned n);
/* Numbers at the edge of something, of several kinds. */
uint64_t interesting(void);
F80 random_f80(void);

extern uint64_t code_start;     /* where code begins: CODE_PAGE or behind */
extern unsigned code_pages;     /* from CODE_PAGE on, 1 or 2; before the two inits */
extern bool data_low;           /* the page before DATA_PAGE is data, too: elsewhere in the guest's
                                   physical memory; before the two inits */
void host_init(void);
void guest_init(void);
/* From `in` to the exception that ends the case. */
void run_host(const State *in, State *out);
void run_guest(const State *in, State *out);

/* ---- diff-case.c ---------------------------------------------------------------------------- */

void read_host_features(void);
/* Can the row be run in ring 3 on both sides and be compared? */
bool usable(const InsnRow *r);
bool named(const InsnRow *r, const char *name);
bool sha(const InsnRow *r);
bool transcendental(const InsnRow *r);
/* Written-undefined flags of a row as in RFLAGS. */
uint64_t undefined_flags(const InsnDesc *d);
/* Encodings and operands for which processors differ; s may be NULL: registers unknown. */
bool vendors_differ(const InsnRow *r, const Insn *i, const uint8_t *b, const State *s);
/* One instruction of a row; false: try again. */
bool make_case(Case *k, unsigned row);
/* Choose registers (and a free displacement) so that the memory operand lies at target. */
bool aim(Case *k, State *s, const Insn *i, uint64_t target);
void random_state(State *s, const InsnRow *r);
/* False: the two ends differ, `why` tells in what. */
bool compare(const Case *k, const State *in, const State *h, const State *o, GString *why);

#endif
