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

#include <inttypes.h>
#include <stdio.h>

#include "accel/tcg/exec.h"
#include "target-i386/jit.h"
#include "tests/unit/diff.h"

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

    if (!in_own_process()) {
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
