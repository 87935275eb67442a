/* SPDX-License-Identifier: MIT */
/*
 * Compact code: what blocks are made of that have not been found running often.
 *
 * It is the same as fast code but for what it calls thunks for: looks at the TLB, pushes, polls,
 * saves of flags.  A thunk that finds something in its way asks here, and finds out by its return
 * address which instruction it was (JitSide); to call that one's handler it is decoded once more.
 *
 * The thunks for polls and for looking targets up also count.  Every few hundred counts the
 * block that runs is noted; one that was noted some times is dropped, and when it is wanted again
 * it is made fast.
 */
#include "target-i386/jit.h"

#if HAVE_JIT

#include "accel/tcg/code.h"
#include "accel/tcg/slow.h"
#include "target-i386/flow.h"
#include "target-i386/interp.h"
#include "target-i386/jit-int.h"
#include "target-i386/seg.h"

/* ---- which blocks are made fast --------------------------------------------------------- */

#define HEAT_BITS 16
#define HOT 3                           /* samples */
#define SAMPLE_MIN 320                  /* counts from one to the next: so many, to three times */
#define RUN 12

static uint8_t heat[1 << HEAT_BITS];    /* [atomic] samples taken, by where the block begins */

static uint8_t *heat_of(const uint8_t *host)
{
    return &heat[((uintptr_t)host * 0x9e3779b97f4a7c15ull) >> (64 - HEAT_BITS)];
}

bool jit_hot(const uint8_t *host)
{
    return x86_jit_kind == X86_JIT_FAST ||
           (x86_jit_kind == X86_JIT_BOTH && __atomic_load_n(heat_of(host), __ATOMIC_RELAXED) >= HOT);
}

/* Dropping a block leaves it running up to its end; there is no link to it then. */
static void note(Block *b)
{
    uint8_t *h = heat_of(b->host), n = __atomic_load_n(h, __ATOMIC_RELAXED);

    if (__atomic_load_n(&b->mode, __ATOMIC_RELAXED) == BLOCK_DEAD || !jit_block(b)->compact ||
        (jit_block(b)->mode & MODE_STEP)) {
        return;
    }
    if (n < HOT) {
        __atomic_store_n(h, n + 1, __ATOMIC_RELAXED);
    }
    if (n + 1 >= HOT) {
        block_drop(b);
    }
}

/* Nothing is counted where one block leads to the next further down in the page: what follows
 * b so is noted with it. */
static void note_run(Block *b)
{
    Block *run[RUN];
    unsigned n = block_followers(b, run, RUN);

    while (n--) {
        note(run[n]);
    }
}

static void sample_block(X86CPU *c, Block *b)
{
    c->jit_random = c->jit_random * 1664525 + 1013904223;
    c->jit_heat = SAMPLE_MIN + (c->jit_random >> 16) % (2 * SAMPLE_MIN);
    if (x86_jit_kind == X86_JIT_BOTH) {
        note_run(b);
    }
}

static void sample(X86CPU *c, const uint8_t *ret)
{
    sample_block(c, block_of_code(ret - 1));
}

/* ---- the instruction behind a return address ----------------------------------------------- */

static const JitSide *side_of(const Block *b, const uint8_t *ret)
{
    const JitBlock *jb = jit_block(b);
    const JitSide *s = jit_side(jb);
    unsigned lo = 0, hi = jb->nside, at = ret - block_code(b);

    while (lo + 1 < hi) {
        unsigned mid = (lo + hi) / 2;
        if (s[mid].at <= at) {
            lo = mid;
        } else {
            hi = mid;
        }
    }
    g_assert(lo < jb->nside && s[lo].at == at);
    return &s[lo];
}

/* False: it is not the instruction any more that the block was made of. */
static bool decode_again(X86CPU *c, const Block *b, const JitSide *s, JitCall *call)
{
    uint8_t buf[16];
    unsigned n = s->len, left = GUEST_PAGE_SIZE - (s->off & (GUEST_PAGE_SIZE - 1));
    unsigned start = (uintptr_t)b->host & (GUEST_PAGE_SIZE - 1);
    Insn i;

    memcpy(buf, b->host + s->off - start, MIN(n, left));
    if (n > left) {
        memcpy(buf + left, block_second(b)->host, n - left);
    }
    InsnBytes in = { buf, n };
    if (insn_decode(c, jit_block(b)->mode & ~(BLOCK_ONE | BLOCK_CROSS), in, s->off, &i) != DECODE_OK ||
        i.len != n) {
        return false;
    }
    jit_fill_call(call, &i);
    return true;
}

/* ---- slow paths ------------------------------------------------------------------------------ */

enum { W_SIZE = 0xff, W_KIND = 8, W_JUMP = 1 << 16 };

/* By its handler: where to go on. */
static const uint8_t *whole_insn(X86CPU *c, const Block *b, const JitSide *s, bool jump)
{
    JitCall call;
    uint32_t kills = __atomic_load_n(&block_kills, __ATOMIC_RELAXED);

    if (!decode_again(c, b, s, &call)) {
        return jit_thunks.leave_set;            /* once more, with what is there now */
    }
    c->jit_calls[call.insn.row]++;
    if (jump) {
        return jit_call_jump(c, &call.insn) ? jit_thunks.leave_set : jit_thunks.resume_jump;
    }
    if (jit_flags_matter(&call.insn)) {
        jit_call_with_flags(c, &call.insn);
    } else {
        call.insn.fn(c, &call.insn);
    }
    if (likely(kills == __atomic_load_n(&block_kills, __ATOMIC_RELAXED))) {
        return block_code(b) + s->back;
    }
    jit_after_insn(c, &call.insn);
    return jit_thunks.leave_set;
}

/* Host memory to access instead of va; or NULL: the instruction has been done, go on at
 * jit_resume. */
static uint8_t *slow_access(X86CPU *c, uint64_t va, const uint8_t *ret, unsigned what)
{
    unsigned size = what & W_SIZE, kind = what >> W_KIND & 0xff;
    TlbAccess acc = kind == PROBE_LOAD || kind == PROBE_READ ? TLB_READ : TLB_WRITE;
    bool apart = kind == PROBE_LOCKED && (va & (size - 1));

    if (!apart && tlb_get(&c->cpu, data_mode(c), va, acc, false)) {
        uint8_t *host = tlb_host(c->tcg.data, acc, va, size);
        if (host) {
            return host;
        }
    }
    const Block *b = block_of_code(ret - 1);
    const JitSide *s = side_of(b, ret);
    c->rip = c->r[17] + s->off;
    if (kind == PROBE_LOAD) {
        c->jit_loads++;
        if (size <= 8) {
            st64_le(c->vtmp, tcg_ld(&c->cpu, data_mode(c), va, size));
        } else {
            tcg_read(&c->cpu, data_mode(c), va, c->vtmp, size);
        }
        return c->vtmp;
    }
    c->jit_stores++;
    c->jit_resume = whole_insn(c, b, s, what & W_JUMP);
    return NULL;
}

void jit_unknown_target(X86CPU *c, uint64_t target, const uint8_t *ret)
{
    if ((c->mode & MODE_CODE64) && !x86_canonical(c, target)) {
        const Block *b = block_of_code(ret - 1);
        const JitSide *s = side_of(b, ret);
        JitCall call;
        c->rip = c->r[17] + s->off;
        if (decode_again(c, b, s, &call)) {
            c->r[R_ESP] -= s->moved + (s->moved > 0 ? call.insn.imm : 0);       /* RET's */
            jit_call_jump(c, &call.insn);
        }
        return;
    }
    c->rip = target;
}

static void poll_left(X86CPU *c, const uint8_t *ret)
{
    const Block *b = block_of_code(ret - 1);
    c->rip = c->r[17] + ((uintptr_t)b->host & (GUEST_PAGE_SIZE - 1));
}

/* ---- calls of thunks ---------------------------------------------------------------------------- */

/* Its handler looks at more than general registers, or what follows does. */
static bool apart(const Insn *i)
{
    return i->row == NO_ROW || (insn_rows[i->row].attr & (A_SSE | A_AVX | A_MMX)) || jit_x87_row(i);
}

bool jit_compact_ok(const Jit *j, const Insn *i, unsigned size, ProbeKind kind)
{
    return j->compact && is_pow2(size) && size <= 16 && !j->x87_note && !j->vec.loaded &&
           (kind == PROBE_LOAD || !apart(i));
}

static JitSide *note_side(Jit *j, const Insn *i)
{
    JitSide *s = &j->side[j->nside++];
    *s = (JitSide) { .at = j->a.p - j->buf, .off = i->off, .len = i->len };
    return s;
}

void jit_note_side(Jit *j, int moved)
{
    note_side(j, &j->insn[j->n])->moved = moved;
}

void jit_call_side(Jit *j, const uint8_t *thunk, int moved)
{
    jit_call_thunk(j, thunk);
    jit_note_side(j, moved);
}

Rm jit_compact_probe(Jit *j, unsigned size, ProbeKind kind)
{
    jit_call_side(j, jit_thunks.probe_kind[kind][__builtin_ctz(size)], 0);
    return rm_m(J_T2, 0);
}

bool jit_cold_probe(Jit *j, const JitCold *k, TlbAccess acc)
{
    const Insn *i = &j->insn[k->n];
    if (j->loop.memos || !is_pow2(k->size) || k->size > 16 || k->x87_note || k->vec.loaded || apart(i) ||
        j->nside == JIT_MAX_SIDE) {
        return false;
    }
    asm_lea(&j->a, 8, J_T0, rm_m(k->base, k->disp));
    jit_call_thunk(j, jit_thunks.again[acc == TLB_WRITE][__builtin_ctz(k->size)]);
    note_side(j, i)->back = j->insn_end[k->n] - j->buf;
    asm_patch32(asm_jmp(&j->a), k->back);
    return true;
}

/* ---- writing the thunks -------------------------------------------------------------------------- */

#define a jit_ta

static void ret_insn(void)
{
    asm_8(&a, 0xc3);
}
static void add_rsp(int by)
{
    asm_lea(&a, 8, H_RSP, rm_m(H_RSP, by));         /* leaves the flags */
}
static void pop(unsigned reg)
{
    if (reg & 8) {
        asm_8(&a, 0x41);
    }
    asm_8(&a, 0x58 | (reg & 7));
}

/* Of the block of the return address, or (jumped to, T1 = the Block) of that which T0 leads to:
 * there it goes on, by the way of a block that may be dead. */
static const uint8_t *take_sample;

static void make_samples(void)
{
    take_sample = jit_ta_at();
    jit_ta_store();
    jit_ta_cpu_arg();
    asm_ld(&a, 8, H_RSI, rm_m(H_RSP, 0));
    asm_alui(&a, 8, ALU_SUB, rm_r(H_RSP), 8);
    jit_ta_call(sample);
    jit_ta_load_volatile();
    add_rsp(8);
    ret_insn();
}

void jit_make_sample(void)
{
    jit_thunks.sample = jit_ta_at();
    asm_st(&a, 8, jit_field(OFF(jit_tmp[2])), J_T0);
    jit_ta_store();
    jit_ta_cpu_arg();
    asm_mov_r(&a, 8, H_RSI, J_T1);
    jit_ta_call(sample_block);
    jit_ta_load_volatile();
    asm_ld(&a, 8, J_T0, jit_field(OFF(jit_tmp[2])));
    asm_op(&a, 4, 0xff, 4, rm_m(J_T1, offsetof(Block, payload) + offsetof(JitBlock, entry)));
}

static void make_poll(void)
{
    jit_thunks.poll = jit_ta_at();
    asm_alui(&a, 4, ALU_CMP, jit_field(OFF(cpu.request)), 0);
    uint8_t *wanted = asm_jcc(&a, CC_NE);
    asm_op(&a, 4, 0xff, 1, jit_field(OFF(jit_heat)));               /* DEC */
    asm_patch32(asm_jcc(&a, CC_S), code_rw(take_sample));
    ret_insn();
    asm_patch32(wanted, a.p);
    jit_thunks.poll_leave = jit_ta_at();
    jit_ta_store();
    jit_ta_cpu_arg();
    pop(H_RSI);
    jit_ta_call(poll_left);
    jit_ta_jmp(jit_thunks.leave_stored);
}

static void make_flags(void)
{
    jit_thunks.save_flags = jit_ta_at();
    jit_ta_save_flags(J_T0);
    ret_insn();
    jit_thunks.load_flags = jit_ta_at();
    asm_mov_r(&a, 8, J_T0, H_RAX);
    asm_ldz(&a, 2, H_RAX, jit_field(OFF(fl_image)));
    asm_alui(&a, 1, ALU_ADD, rm_r(H_RAX), 0x7f);                    /* overflows if it was 1 */
    asm_8(&a, 0x9e);                                                /* SAHF */
    asm_mov_r(&a, 8, H_RAX, J_T0);
    ret_insn();
}

/* Behind slow_access when it has done the instruction: on at jit_resume. */
static const uint8_t *slow_done;

static void make_slow_done(void)
{
    slow_done = jit_ta_at();
    asm_ld(&a, 8, J_T0, jit_field(OFF(jit_resume)));
    asm_st(&a, 8, rm_m(H_RSP, 8), J_T0);
    asm_ldz(&a, 2, H_RAX, jit_field(OFF(fl_image)));
    asm_alui(&a, 1, ALU_ADD, rm_r(H_RAX), 0x7f);
    asm_8(&a, 0x9e);
    jit_ta_load();
    add_rsp(8);
    ret_insn();
    jit_thunks.resume_jump = jit_ta_at();
    asm_ld(&a, 8, J_T0, jit_field(OFF(rip)));
    asm_movi(&a, J_T2, (uintptr_t)jit_thunks.dead);
    jit_ta_jmp(jit_thunks.find);
}

/* T0 = va, T1 = what slow_access takes.  reg := host address; the access is done already: not here
 * again. */
static void call_slow(unsigned reg)
{
    jit_ta_store();
    jit_ta_cpu_arg();
    asm_mov_r(&a, 8, H_RSI, J_T0);
    asm_ld(&a, 8, H_RDX, rm_m(H_RSP, 0));
    asm_mov_r(&a, 4, H_RCX, J_T1);
    asm_alui(&a, 8, ALU_SUB, rm_r(H_RSP), 8);
    jit_ta_call(slow_access);
    asm_mov_r(&a, 8, reg, H_RAX);
    asm_op(&a, 8, 0x85, H_RAX, rm_r(H_RAX));
    asm_patch32(asm_jcc(&a, CC_E), code_rw(slow_done));
}

/* T0 = va, T1 = what slow_access takes.  T2 := host address, then to `then` with T0 from
 * jit_tmp[2]; NULL: returns. */
static void make_slow(const uint8_t *then)
{
    call_slow(J_T2);
    jit_ta_load_volatile();
    add_rsp(8);
    if (then) {
        asm_ld(&a, 8, J_T0, jit_field(OFF(jit_tmp[2])));
        jit_ta_jmp(then);
    } else {
        ret_insn();
    }
}

/* For fast code, whose look at the TLB was in vain: T0 = address.  T1 := addend; T2 is kept. */
static void make_again(void)
{
    const uint8_t *common = jit_ta_at();
    asm_st(&a, 8, jit_field(OFF(jit_tmp[2])), J_T0);
    call_slow(J_T1);
    asm_alu(&a, 8, ALU_SUB, J_T1, jit_field(OFF(jit_tmp[2])));
    jit_ta_load_volatile();
    add_rsp(8);
    ret_insn();
    for (unsigned write = 0; write < 2; write++) {
        for (unsigned log = 0; log < 5; log++) {
            jit_thunks.again[write][log] = jit_ta_at();
            asm_movi(&a, J_T1, 1u << log | (write ? PROBE_WRITE : PROBE_READ) << W_KIND);
            jit_ta_jmp(common);
        }
    }
}

/* T2 := host address of [base + disp], T1 changed.  Returns the branch taken if it is not plain
 * memory. */
static uint8_t *look(unsigned base, int32_t disp, unsigned size, TlbAccess acc)
{
    int32_t table = acc * (int32_t)sizeof(TlbEntry) * TLB_SIZE, last = disp + (int)size - 1;

    if (disp) {
        asm_lea(&a, 8, J_T1, rm_m(base, disp));
    } else {
        asm_mov_r(&a, 8, J_T1, base);
    }
    asm_op(&a, 8, 0xc1, 5, rm_r(J_T1));
    asm_8(&a, GUEST_PAGE_BITS - 4);
    asm_alui(&a, 4, ALU_AND, rm_r(J_T1), tlb_index_mask << 4);
    asm_alu(&a, 8, ALU_ADD, J_T1, jit_field(OFF(tcg.data)));
    if (last) {
        asm_lea(&a, 8, J_T2, rm_m(base, last));
    } else {
        asm_mov_r(&a, 8, J_T2, base);
    }
    asm_alui(&a, 8, ALU_AND, rm_r(J_T2), -(int32_t)GUEST_PAGE_SIZE);
    asm_alu(&a, 8, ALU_CMP, J_T2, rm_m(J_T1, table));
    uint8_t *miss = asm_jcc(&a, CC_NE);
    asm_ld(&a, 8, J_T2, rm_m(J_T1, table + 8));
    asm_lea(&a, 8, J_T2, rm_mx(J_T2, base, 0, disp));
    return miss;
}

static void make_probe(ProbeKind kind, unsigned log, const uint8_t *slow)
{
    unsigned size = 1u << log;
    bool load = kind == PROBE_LOAD || kind == PROBE_READ;
    uint8_t *apart = NULL;

    jit_thunks.probe_kind[kind][log] = jit_ta_at();
    if (kind == PROBE_LOCKED && log) {
        asm_op(&a, 1, 0xf6, 0, rm_r(J_T0));                         /* TEST */
        asm_8(&a, size - 1);
        apart = asm_jcc(&a, CC_NE);
    }
    uint8_t *miss = look(J_T0, 0, size, load ? TLB_READ : TLB_WRITE);
    ret_insn();
    asm_patch32(miss, a.p);
    if (apart) {
        asm_patch32(apart, a.p);
    }
    asm_movi(&a, J_T1, size | kind << W_KIND);
    jit_ta_jmp(slow);
}

static void make_push(void)
{
    const uint8_t *next = jit_ta_at();
    asm_st(&a, 8, rm_m(J_T2, 0), J_T0);
    asm_lea(&a, 8, J_SP, rm_m(J_SP, -8));
    ret_insn();
    for (unsigned jump = 0; jump < 2; jump++) {
        if (jump) {
            jit_thunks.push_next = jit_ta_at();
            asm_alu(&a, 8, ALU_ADD, J_T0, jit_field(OFF(r[17])));
        } else {
            jit_thunks.push_value = jit_ta_at();
        }
        uint8_t *miss = look(J_SP, -8, 8, TLB_WRITE);
        jit_ta_jmp(next);
        asm_patch32(miss, a.p);
        asm_st(&a, 8, jit_field(OFF(jit_tmp[2])), J_T0);
        asm_lea(&a, 8, J_T0, rm_m(J_SP, -8));
        asm_movi(&a, J_T1, 8 | PROBE_WRITE << W_KIND | (jump ? W_JUMP : 0));
        make_slow(next);
    }
    for (unsigned n = 0; n < 16; n++) {
        jit_thunks.push[n] = jit_ta_at();
        asm_ld(&a, 8, J_T0, jit_gpr(n));
        jit_ta_jmp(jit_thunks.push_value);
    }
}

static void make_pop(bool ret)
{
    const uint8_t *next = jit_ta_at();
    asm_ld(&a, 8, J_T0, rm_m(J_T2, 0));
    asm_lea(&a, 8, J_SP, rm_m(J_SP, 8));
    if (ret) {
        jit_thunks.ret_value = jit_ta_at();
        jit_ta_return();
        jit_thunks.ret = jit_ta_at();
    } else {
        ret_insn();
        jit_thunks.pop = jit_ta_at();
    }
    uint8_t *miss = look(J_SP, 0, 8, TLB_READ);
    jit_ta_jmp(next);
    asm_patch32(miss, a.p);
    asm_mov_r(&a, 8, J_T0, J_SP);
    asm_movi(&a, J_T1, 8 | PROBE_LOAD << W_KIND);
    make_slow(next);
}

void jit_make_compact_thunks(void)
{
    make_samples();
    make_poll();
    make_flags();
    make_slow_done();
    const uint8_t *slow = jit_ta_at();
    make_slow(NULL);
    for (unsigned kind = 0; kind < PROBE_KINDS; kind++) {
        for (unsigned log = 0; log < 5; log++) {
            make_probe(kind, log, slow);
        }
    }
    make_again();
    make_push();
    make_pop(false);
    make_pop(true);
    jit_thunks.computed = jit_ta_at();
    pop(J_T2);
    jit_ta_jmp(jit_thunks.indirect);
}

#undef a
#endif
