/* SPDX-License-Identifier: MIT */
/*
 * Differential test of whole programs: random instructions between loops, forward branches,
 * calls and returns, computed jumps, string instructions, runs of accesses by one base, and code
 * that patches code before and behind it, begun anywhere in a page and running over its end.  The
 * host's CPU and the engine start from the same state and must come to the same end.
 *
 *     INSN_CASES=1000000 INSN_SEED=7 build/tests/unit/test-program-diff
 *     INSN_CASE=1234                  this one alone, with its code
 *
 * Programs end by construction: a loop counts down a word that nothing else writes to, a
 * subroutine calls only those behind it or, counted, itself, and nothing changes the stack pointer
 * but what puts it back.  No flag is read that is undefined.
 */
#include <glib.h>

#ifdef __x86_64__

#include <inttypes.h>
#include <stdio.h>

#include "accel/tcg/exec.h"
#include "target-i386/jit.h"
#include "tests/unit/diff.h"

#define LOW_PAGE (DATA_PAGE - PAGE)
#define STACK    (DATA_PAGE + 3800)     /* and below */
#define COUNTERS (DATA_PAGE + 3840)     /* up to the page's end */
#define MAIN_MAX 700                    /* bytes at which no further item begins */
#define SUBS     3

/* A place in the code that stores aim at. */
typedef struct Spot {
    unsigned at;
    bool opcode;                    /* a byte of NOP, CLC, STC or CLD; else a constant of 4 bytes */
} Spot;

/* What a subroutine and its callers agree on. */
typedef struct Sub {
    unsigned at;
    unsigned args;                  /* words pushed before the call, for its RET to drop */
    unsigned skip;                  /* it returns so many bytes behind the call's end */
    bool flies;                     /* ... by a jump, or a push and another RET */
} Sub;

typedef struct Program {
    uint8_t b[PAGE];
    unsigned len;
    uint64_t undefined;             /* flags */
    unsigned counters;
    unsigned first_sub;             /* the subroutines that may be called: from this on */
    Spot spot[32];
    unsigned spots;
    Spot wanted[8];                 /* stores to code that is still to come; at: the displacement */
    unsigned nwanted;
    struct {
        unsigned at, sub;           /* a displacement, and what it leads to */
    } call[64];
    unsigned calls, end;
    Sub sub[SUBS];
} Program;

static unsigned *rows, nrows;
static uint64_t whole;             /* programs that came to their end */

/* ---- code --------------------------------------------------------------------------------- */

static void put(Program *p, const void *bytes, unsigned n)
{
    memcpy(p->b + p->len, bytes, n);
    p->len += n;
}
#define PUT(p, ...) put(p, (const uint8_t[]) { __VA_ARGS__ }, sizeof((const uint8_t[]) { __VA_ARGS__ }))
static void put32(Program *p, uint32_t v)
{
    put(p, &v, 4);
}
/* A displacement from RIP, `more` bytes before the end of the instruction. */
static void put_rip(Program *p, uint64_t target, unsigned more)
{
    put32(p, target - (code_start + p->len + 4 + more));
}

/* No flag is undefined behind this. */
static void settle(Program *p)
{
    if (p->undefined) {
        PUT(p, 0x48, 0x39, 0xc0 | below(4) << 3 | below(4));        /* cmp */
        p->undefined = 0;
    }
}

static unsigned gpr(const Insn *i, unsigned n)
{
    return i->osz == 0 ? n >> 3 : n & 15;
}

static bool fits(const InsnRow *r)
{
    static const char *const never[] = { "push", "pop", "leave", "xlat", "xlatb", "cmpxchg16b" };
    for (unsigned k = 0; k < G_N_ELEMENTS(never); k++) {
        if (named(r, never[k])) {
            return false;
        }
    }
    return !(r->attr & (A_JUMP | A_END | A_REP | A_VSIB)) && !strstr(r->name, "maskmov") &&
           !strstr(r->name, "dpp") && !transcendental(r) && strcmp(r->operands, "Mt") &&
           !strstr(r->name, "movdir") && !strstr(r->name, "vcvtps2ph");
}

/* One random instruction, whose memory operand is relative to RIP. */
static bool random_insn(Program *p)
{
    unsigned row = rows[below(nrows)];
    const InsnRow *r = &insn_rows[row];
    const InsnDesc *d = &insn_desc[row];
    InsnDesc reads = { .fl_undef = d->fl_read };
    Insn i = { 0 };
    Case n;

    if ((undefined_flags(&reads) & p->undefined) || (g_str_has_suffix(r->name, "div") && below(8)) ||
        !make_case(&n, row) ||
        insn_decode(cpu, cpu->mode, (InsnBytes) { n.b, MAX_INSN }, 0, &i) != DECODE_OK ||
        i.row != row || i.len != n.len || ((i.flags & IF_MEM) && i.base != 17) ||
        vendors_differ(r, &i, n.b, NULL) || gpr(&i, i.reg) == R_ESP ||
        (!(i.flags & IF_MEM) && gpr(&i, i.rm) == R_ESP)) {
        return false;
    }
    if (i.flags & IF_MEM) {
        uint64_t target = DATA_PAGE + 64 * (4 + below(46)) + (below(16) || sha(r) ? 0 : below(16));
        st32_le(n.b + n.disp_at, (uint32_t)(target - (code_start + p->len + n.len)));
    }
    put(p, n.b, n.len);
    InsnDesc writes = { .fl_undef = d->fl_maybe ? 0 : d->fl_write };
    p->undefined = (p->undefined & ~undefined_flags(&writes)) | undefined_flags(d);
    return true;
}

static void straight(Program *p, unsigned n)
{
    while (n) {
        n -= random_insn(p);
    }
}

static void items(Program *p, unsigned n, unsigned depth);

/* ---- control flow ----------------------------------------------------------------------------- */

static void branch_over(Program *p)
{
    settle(p);
    PUT(p, 0x0f, 0x80 | below(16), 0, 0, 0, 0);
    unsigned at = p->len;
    straight(p, below(4));
    settle(p);
    st32_le(p->b + at - 4, p->len - at);
}

static void loop(Program *p, unsigned depth)
{
    uint64_t counter = COUNTERS + 4 * p->counters++;
    PUT(p, 0xc7, 0x05);                                             /* mov dword [counter], n */
    put_rip(p, counter, 4);
    put32(p, below(16) ? 2 + below(6) : 60 + below(60));
    settle(p);
    unsigned head = p->len;
    items(p, 1 + below(4), depth + 1);
    settle(p);
    PUT(p, 0xff, 0x0d);                                             /* dec dword [counter] */
    put_rip(p, counter, 0);
    int back = (int)head - (int)(p->len + 2);
    if (back >= -128) {
        PUT(p, 0x75, back);
    } else {
        PUT(p, 0x0f, 0x85);
        put32(p, back - 4);
    }
}

static void note_call(Program *p, unsigned sub)
{
    p->call[p->calls].at = p->len;
    p->call[p->calls++].sub = sub;
    put32(p, 0);
}

static void call(Program *p)
{
    if (p->first_sub == SUBS || p->calls == G_N_ELEMENTS(p->call)) {
        return;
    }
    unsigned sub = p->first_sub + below(SUBS - p->first_sub);
    settle(p);
    for (unsigned k = 0; k < p->sub[sub].args; k++) {
        PUT(p, 0x50 | below(4));                                    /* push */
    }
    switch (below(4)) {
    case 0:                                                         /* lea rax, [sub]; call rax */
        PUT(p, 0x48, 0x8d, 0x05);
        note_call(p, sub);
        PUT(p, 0xff, 0xd0);
        break;
    case 1:                                                         /* ... through memory */
        PUT(p, 0x48, 0x8d, 0x0d);
        note_call(p, sub);
        PUT(p, 0x48, 0x89, 0x0d);
        put_rip(p, DATA_PAGE + 128, 0);
        PUT(p, 0xff, 0x15);
        put_rip(p, DATA_PAGE + 128, 0);
        break;
    default:
        PUT(p, 0xe8);
        note_call(p, sub);
    }
    for (unsigned k = 0; k < p->sub[sub].skip; k++) {
        PUT(p, 0xf4);
    }
}

static void computed_jump(Program *p)
{
    static const uint8_t hlt[8] = { 0xf4, 0xf4, 0xf4, 0xf4, 0xf4, 0xf4, 0xf4, 0xf4 };
    unsigned skip = below(sizeof(hlt));
    if (below(2)) {
        PUT(p, 0x48, 0x8d, 0x15, 2 + skip, 0, 0, 0, 0xff, 0xe2);    /* lea rdx, [behind]; jmp rdx */
    } else {
        PUT(p, 0x48, 0x8d, 0x15, 2 + skip, 0, 0, 0, 0x52, 0xc3);    /* ... push rdx; ret */
    }
    put(p, hlt, skip);
}

/* ---- memory -------------------------------------------------------------------------------------- */

static void push_pop(Program *p)
{
    static const uint8_t reg[] = { 0, 1, 2, 3, 5, 6, 7 };
    unsigned n = 1 + below(4);
    for (unsigned k = 0; k < n; k++) {
        PUT(p, 0x50 | reg[below(sizeof(reg))]);
    }
    straight(p, below(3));
    for (unsigned k = 0; k < n; k++) {
        PUT(p, 0x58 | reg[below(sizeof(reg))]);
    }
}

/* An access through RSI or RDI. */
static void access_by(Program *p, bool rdi, uint8_t disp)
{
    static const uint8_t form[][4] = {
        { 2, 0x48, 0x89 }, { 2, 0x48, 0x8b }, { 1, 0x89 }, { 1, 0x8b }, { 2, 0x48, 0x01 },
        { 2, 0x48, 0x03 }, { 2, 0x0f, 0xb6 }, { 1, 0x88 }, { 1, 0x8a }, { 2, 0x0f, 0x10 },
        { 2, 0x0f, 0x11 }, { 2, 0x48, 0x87 }, { 3, 0xf0, 0x0f, 0xc1 }, { 3, 0xf0, 0x0f, 0xb1 },
        { 2, 0x48, 0x31 }, { 2, 0x48, 0x3b }, { 3, 0xf2, 0x0f, 0x10 }, { 3, 0xf2, 0x0f, 0x58 },
        { 3, 0x66, 0x0f, 0x6f }, { 3, 0x66, 0x0f, 0x7f }, { 2, 0x0f, 0x58 },
    };
    static const uint8_t reg[] = { 0, 1, 2, 3, 5 };
    const uint8_t *f = form[below(G_N_ELEMENTS(form))];
    if (f[1] == 0x66 || (f[1] == 0x0f && f[2] == 0x58)) {
        disp &= below(32) ? 0x70 : 0x7f;                            /* aligned, mostly */
    }
    put(p, f + 1, f[0]);
    PUT(p, 0x46 + rdi + (reg[below(sizeof(reg))] << 3), disp);
    p->undefined |= FL_AF;             /* of XOR */
}

/* Accesses near each other. */
static void by_base(Program *p)
{
    PUT(p, 0xbe);
    put32(p, (below(4) ? DATA_PAGE + 300 + below(3000) : DATA_PAGE - below(90)) & (below(2) ? ~15u : ~0u));
    for (unsigned n = 1 + below(5); n; n--) {
        access_by(p, false, below(below(8) ? 64 : 256));
    }
}

/* A loop through memory, one or two pointers, over the end of the page up or down. */
static void walk(Program *p)
{
    uint64_t counter = COUNTERS + 4 * p->counters;
    int step[2];
    if (p->counters >= 60) {
        return;
    }
    p->counters++;
    for (unsigned k = 0; k < 2; k++) {
        step[k] = below(2) ? 16 * ((int)below(9) - 4) : (int)below(128) - 64;
        PUT(p, 0xbe + k);
        put32(p, (step[k] < 0 ? DATA_PAGE + 2900 - below(2000) : LOW_PAGE + 200 + below(2800)) &
                 (below(4) ? ~15u : ~0u));
    }
    PUT(p, 0xc7, 0x05);                                             /* mov dword [counter], n */
    put_rip(p, counter, 4);
    put32(p, 2 + below(60));
    settle(p);
    unsigned head = p->len;
    for (unsigned n = 1 + below(6); n; n--) {
        unsigned k = below(3) == 0;
        access_by(p, k, below(112));
        if (!below(4)) {
            PUT(p, 0x48, 0x83, 0xc6 + k, step[k]);                  /* add */
            step[k] = 0;
        }
    }
    for (unsigned k = 0; k < 2; k++) {
        if (step[k] && below(8)) {
            PUT(p, 0x48, 0x8d, 0x76 + 9 * k, step[k]);              /* lea rsi, [rsi + step] */
        }
    }
    settle(p);
    PUT(p, 0xff, 0x0d);                                             /* dec dword [counter] */
    put_rip(p, counter, 0);
    PUT(p, 0x75, (int)head - (int)(p->len + 2));
}

/* Short ones; or long ones, over the end of a page, up or down. */
static void string(Program *p)
{
    static const uint8_t op[] = { 0xa4, 0xa5, 0xaa, 0xab, 0xa6, 0xae };
    bool far = !below(4), down = far && !below(4), wide = far && below(2);
    unsigned count = !far ? below(60) : below(down ? 900 : wide ? 740 : 1480);
    unsigned apart = below(16) ? 1400 : 12, from[2];

    for (unsigned k = 0; k < 2; k++) {
        from[k] = !far ? DATA_PAGE + 300 + below(2700) : down ? DATA_PAGE + 3200 - below(apart)
                                                       : LOW_PAGE + below(apart);
    }
    PUT(p, down ? 0xfd : 0xfc, 0xb9);
    put32(p, count);
    PUT(p, 0xbe);
    put32(p, from[0]);
    PUT(p, 0xbf);
    put32(p, from[1]);
    settle(p);
    PUT(p, 0x39, 0xc0, 0xf3);                                       /* cmp eax, eax: flags if ECX is 0 */
    if (wide && !down) {
        PUT(p, 0x48);
    }
    PUT(p, op[below(sizeof(op))]);
}

/* ---- code that is patched ----------------------------------------------------------------------- */

/* A constant, or an opcode, that stores may change. */
static void spot(Program *p, bool opcode)
{
    static const uint8_t harmless[] = { 0x90, 0xf8, 0xf9, 0xfc };
    Spot s = { p->len, opcode };
    settle(p);
    s.at = p->len;
    if (opcode) {
        PUT(p, harmless[below(sizeof(harmless))]);
    } else {
        PUT(p, 0xb8 | below(4));
        s.at = p->len;
        put32(p, rnd());
    }
    for (unsigned k = 0; k < p->nwanted; k++) {
        Spot *w = &p->wanted[k];
        if (w->opcode == opcode) {
            st32_le(p->b + w->at, (int32_t)ld32_le(p->b + w->at) + s.at);
            *w = p->wanted[--p->nwanted];
            k--;
        }
    }
    if (p->spots < G_N_ELEMENTS(p->spot)) {
        p->spot[p->spots++] = s;
    }
}

static void patch(Program *p)
{
    static const uint8_t harmless[] = { 0x90, 0xf8, 0xf9, 0xfc };
    bool behind = p->spots && below(2);
    if (!behind && p->nwanted == G_N_ELEMENTS(p->wanted)) {
        return;
    }
    Spot s = behind ? p->spot[below(p->spots)] : (Spot) { 0, below(2) };
    unsigned more = 0, kind = s.opcode ? 0 : below(4);
    if (below(2)) {                                                 /* through RDI */
        PUT(p, 0x48, 0x8d, 0x3d);                                   /* lea rdi, [spot] */
        unsigned disp = p->len;
        put32(p, (behind ? s.at : 0) - (p->len + 4));
        switch (kind) {
        case 0: PUT(p, 0xc6, 0x07, s.opcode ? harmless[below(sizeof(harmless))] : rnd()); break;
        case 1: PUT(p, 0x89, 0x07 | below(4) << 3); break;
        case 2: settle(p); PUT(p, 0xff, 0x07); break;
        case 3: PUT(p, 0xc7, 0x07); put32(p, rnd()); break;
        }
        if (!behind) {
            p->wanted[p->nwanted++] = (Spot) { disp, s.opcode };
        }
        return;
    }
    switch (kind) {
    case 0: PUT(p, 0xc6, 0x05); more = 1; break;                    /* mov byte [spot], imm8 */
    case 1: PUT(p, 0x89, 0x05 | below(4) << 3); break;              /* mov [spot], r32 */
    case 2: settle(p); PUT(p, 0xff, 0x05); break;                   /* inc dword [spot] */
    case 3: PUT(p, 0xc7, 0x05); more = 4; break;
    }
    unsigned at = p->len;
    put32(p, (behind ? s.at : 0) - (p->len + 4 + more));
    if (more) {
        uint32_t v = rnd();
        put(p, s.opcode ? &harmless[below(sizeof(harmless))] : (const uint8_t *)&v, more);
    }
    if (!behind) {
        p->wanted[p->nwanted++] = (Spot) { at, s.opcode };
    }
}

/* ---- subroutines ------------------------------------------------------------------------------------ */

/* A subroutine calls itself some times, and drops what it pushed. */
static void recurse(Program *p, Sub *s)
{
    uint64_t counter = COUNTERS + 4 * p->counters++;
    bool pushes = below(2);
    PUT(p, 0xc7, 0x05);                                             /* mov dword [counter], n */
    put_rip(p, counter, 4);
    put32(p, 1 + below(below(8) ? 8 : 20));
    PUT(p, 0xe8, below(2) * 16, 0, 0, 0);                           /* call self */
    unsigned n = p->b[p->len - 4];
    PUT(p, 0xeb, 0);                                                /* jmp over it */
    unsigned over = p->len;
    while (p->len < over + n) {
        PUT(p, 0xf4);
    }
    st32_le(p->b + over - 6, p->len - (over - 2));
    unsigned self = p->len;
    if (pushes) {
        PUT(p, 0x53);                                               /* push rbx */
    }
    PUT(p, 0xff, 0x0d);                                             /* dec dword [counter] */
    put_rip(p, counter, 0);
    PUT(p, 0x74, 0x05, 0xe8);                                       /* jz; call self */
    put32(p, self - (p->len + 4));
    straight(p, below(3));
    settle(p);
    if (pushes) {
        PUT(p, 0x59);                                               /* pop rcx */
    }
    PUT(p, 0xc3);
    p->b[over - 1] = p->len - over;
}

/* How a subroutine ends. */
static void go_back(Program *p, const Sub *s)
{
    unsigned drop = 8 * s->args;
    if (s->flies && !drop) {
        PUT(p, 0x59);                                               /* pop rcx */
        if (s->skip) {
            PUT(p, 0x48, 0x83, 0xc1, s->skip);                      /* add rcx, skip */
        }
        if (below(2)) {
            PUT(p, 0xff, 0xe1);                                     /* jmp rcx */
            return;
        }
        PUT(p, 0x51);                                               /* push rcx */
    } else if (s->skip) {
        PUT(p, 0x48, 0x83, 0x04, 0x24, s->skip);                    /* add qword [rsp], skip */
    }
    if (drop) {
        PUT(p, 0xc2, drop, 0);
    } else {
        PUT(p, 0xc3);
    }
}

/* It pushes and pops around what it does. */
static void subroutine(Program *p, Sub *s)
{
    static const uint8_t reg[] = { 0x53, 0x55, 0x56, 0x57 };
    unsigned saved = below(2) ? below(sizeof(reg)) : 0;
    s->at = p->len;
    for (unsigned k = 0; k < saved; k++) {
        PUT(p, reg[k]);
    }
    items(p, below(4), 1);
    settle(p);
    if (p->counters < 50 && !below(4)) {
        recurse(p, s);
    }
    spot(p, below(2));
    for (unsigned k = saved; k--;) {
        PUT(p, reg[k] + 8);
    }
    go_back(p, s);
}

/* ---- programs ------------------------------------------------------------------------------------- */

static void items(Program *p, unsigned n, unsigned depth)
{
    for (; n && p->len < MAIN_MAX; n--) {
        switch (below(16)) {
        case 0: case 1: branch_over(p); break;
        case 2: case 3: if (depth < 2) { loop(p, depth); } break;
        case 4: call(p); break;
        case 5: computed_jump(p); break;
        case 6: push_pop(p); break;
        case 7: by_base(p); break;
        case 8: below(2) ? by_base(p) : walk(p); break;
        case 9: string(p); break;
        case 10: spot(p, below(2)); break;
        case 11: patch(p); break;
        default: straight(p, 1 + below(6)); break;
        }
    }
}

static void make_program(Program *p)
{
    memset(p, 0, sizeof(*p));
    for (unsigned k = 0; k < SUBS; k++) {
        p->sub[k] = (Sub) { .args = below(4) ? 0 : below(4), .skip = below(4) ? 0 : below(8),
                            .flies = !below(4) };
    }
    items(p, 2 + below(10), 0);
    settle(p);
    spot(p, false);
    spot(p, true);
    p->end = p->len;
    PUT(p, 0xf4);
    for (unsigned k = 0; k < SUBS; k++) {
        p->len += below(20);
        p->first_sub = k + 1;
        p->undefined = 0;
        subroutine(p, &p->sub[k]);
    }
    while (p->nwanted) {
        spot(p, p->wanted[0].opcode);
    }
    for (unsigned k = 0; k < p->calls; k++) {
        st32_le(p->b + p->call[k].at, p->sub[p->call[k].sub].at - (p->call[k].at + 4));
    }
}

/* The same code for both. */
static void load(const Program *p)
{
    uint8_t *code = (uint8_t *)(uintptr_t)CODE_PAGE;
    memset(code, 0xf4, 2 * PAGE);
    memcpy(code + (code_start - CODE_PAGE), p->b, p->len);
    address_space_write(&address_space_memory, CODE_PAGE, code, 2 * PAGE);
}

static bool run_one(const Program *p, uint64_t n, bool tell)
{
    static State in, h, o;
    g_autoptr(GString) why = g_string_new(NULL);
    Case k = { .count = 2 };
    Insn i = { 0 };

    random_state(&in, &insn_rows[rows[below(nrows)]]);
    for (unsigned b = 0; b < PAGE; b += 8) {
        if (!n || !below(32)) {
            st64_le(in.data + b, interesting());
            st64_le(in.low + b, interesting());
        }
    }
    in.r[R_ESP] = STACK - 8 * below(8);
    load(p);
    run_host(&in, &h);
    /* Where did it end?  What stands there decides what is compared. */
    uint64_t at = h.rip - CODE_PAGE;
    k.len = h.rip == code_start + p->end ? 0 : 2 * PAGE;
    whole += !k.len;
    if (at < 2 * PAGE - MAX_INSN) {
        memcpy(k.b, (const uint8_t *)(uintptr_t)h.rip, MAX_INSN);
        if (insn_decode(cpu, cpu->mode, (InsnBytes) { k.b, MAX_INSN }, 0, &i) == DECODE_OK) {
            k.row = i.row;
        }
    }
    run_guest(&in, &o);
    bool same = compare(&k, &in, &h, &o, why);
    if (!same || tell) {
        g_print("program %" PRIu64 " at %" PRIx64 ", end at +%x, ended at +%" PRIx64 ":\n", n, code_start,
                p->end, h.rip - code_start);
        for (unsigned b = 0; b < p->len; b++) {
            g_print("%02x%s", p->b[b], b % 32 == 31 ? "\n" : " ");
        }
        g_print("\n%s", why->str);
    }
    return same;
}

static void programs(void)
{
    uint64_t want = g_ascii_strtoull(g_getenv("INSN_CASES") ?: "20000", NULL, 0), failed = 0;
    uint64_t seed = g_ascii_strtoull(g_getenv("INSN_SEED") ?: "1", NULL, 0);
    const char *only = g_getenv("INSN_CASE");
    uint64_t first = only ? g_ascii_strtoull(only, NULL, 0) : 0;
    static Program p;

    read_host_features();
    rows = g_new(unsigned, insn_row_count);
    for (unsigned k = 0; k < insn_row_count; k++) {
        if (usable(&insn_rows[k]) && fits(&insn_rows[k])) {
            rows[nrows++] = k;
        }
    }
    for (uint64_t n = first; n < (only ? first + 1 : want) && failed < 5; n++) {
        rng_state = (seed << 40 | (n + 1)) * 0x9e3779b97f4a7c15ull;     /* each by itself */
        rnd();
        code_start = CODE_PAGE + (below(2) ? below(600) : PAGE - below(900));
        make_program(&p);
        failed += !run_one(&p, n, only != NULL);
    }
    g_test_message("%" PRIu64 " programs, %" PRIu64 " of them to their end, %" PRIu64 " differences",
                   want, whole, failed);
    g_assert_cmpuint(failed, ==, 0);
}

/* ---- engines: each in a process of its own --------------------------------------------------------- */

static void with_engine(TcgEngine engine, int kind)
{
    Error *err = NULL;

    if (!__builtin_cpu_supports("avx2")) {
        g_test_skip("the host has no AVX2");
        return;
    }
    if (!in_own_process()) {
        return;
    }
    x86_jit_kind = kind;
    if (!tcg_engine_init(0, engine, &err)) {
        g_error("%s", err->message);
    }
    code_pages = 2;
    data_low = true;
    guest_init();
    host_init();
    programs();
}

static void test_interpreter(void)
{
    with_engine(TCG_INTERP, 0);
}

static void test_native(void)
{
    with_engine(TCG_JIT, X86_JIT_FAST);
}

static void test_compact(void)
{
    with_engine(TCG_JIT, X86_JIT_COMPACT);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/program/interpreter", test_interpreter);
    g_test_add_func("/program/native", test_native);
    g_test_add_func("/program/compact", test_compact);
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
    g_test_add_func("/program/interpreter", skip);
    return g_test_run();
}

#endif
