/* SPDX-License-Identifier: MIT */
/*
 * The native engine: from decoded instructions to a block of host code.
 *
 * One pass backwards finds which flags are wanted where, one pass forwards writes code.  The
 * code is written to a buffer of the thread first, cold parts behind the hot ones, then copied
 * to the block cache; what is not relative to itself is fixed then.
 *
 * Flags that no later instruction of the block reads are lost when an exception or a slow path
 * comes between: an exception's frame may hold other arithmetic flags than a processor's,
 * always such as the interrupted code overwrites before it reads them.  When a block stores to
 * itself they are there: see may_store_here.
 */
#include "target-i386/jit.h"

int x86_jit_kind;

#if HAVE_JIT

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "accel/tcg/code.h"
#include "accel/tcg/perf.h"
#include "target-i386/disas.h"
#include "target-i386/flow.h"
#include "target-i386/jit-int.h"
#include "target-i386/tcg-target.h"
#include "util/log.h"

bool x86_jit;

/* J_HOME: in X86CPU.r[] only */
const uint8_t jit_host_reg[16] = {
    [R_EAX] = H_RAX, [R_ECX] = H_RCX, [R_EDX] = H_RDX, [R_EBX] = H_RBX,
    [R_ESP] = J_SP,  [R_EBP] = H_RBP, [R_ESI] = H_RSI, [R_EDI] = H_RDI,
    [8] = H_R8, [9] = H_R9, [10] = J_HOME, [11] = J_HOME,
    [12] = H_R10, [13] = J_HOME, [14] = J_HOME, [15] = J_HOME,
};

uint8_t *jit_row;
/* By row: the native form, or none. */
static const JitOp **native;

/* ---- calling handlers ---------------------------------------------------------------------- */

static void fix(Jit *j, uint8_t *at, unsigned kind, uint64_t value)
{
    j->fix[j->nfix++] = (JitFix) { at, kind, value };
}

void jit_jmp_thunk(Jit *j, const uint8_t *thunk)
{
    fix(j, asm_jmp(&j->a), FIX_THUNK, (uintptr_t)thunk);
}

void jit_call_thunk(Jit *j, const uint8_t *thunk)
{
    asm_8(&j->a, 0xe8);
    asm_32(&j->a, 0);
    fix(j, j->a.p - 4, FIX_THUNK, (uintptr_t)thunk);
}

static void mov64(Jit *j, unsigned dst)
{
    asm_8(&j->a, 0x48 | (dst & 8 ? 1 : 0));
    asm_8(&j->a, 0xb8 | (dst & 7));
    asm_64(&j->a, 0);
}

void jit_block_operand(Jit *j, unsigned dst, size_t offset)
{
    mov64(j, dst);
    fix(j, j->a.p - 8, FIX_BLOCK, offset);
}

void jit_call_operand(Jit *j, unsigned n)
{
    unsigned k = 0;
    while (k < j->ncall && j->call_insn[k] != n) {
        k++;
    }
    if (k == j->ncall) {
        j->call_insn[j->ncall++] = n;
    }
    mov64(j, J_T0);
    fix(j, j->a.p - 8, FIX_CALL, k);
}

const uint8_t *jit_constant(Jit *j, const Insn *i, unsigned size)
{
    unsigned at = jit_next(i) - size;
    const uint8_t *host = j->host + at;
    if (j->holes == BLOCK_HOLES || jit_next(i) > GUEST_PAGE_SIZE) {
        return NULL;
    }
    bool open = block_constant_changes(host, size);
    j->hole[j->holes++] = (BlockHole) { at - j->start, size, open };
    return open ? host : NULL;
}

/* Does the handler of this instruction look at flags, or change them? */
bool jit_flags_matter(const Insn *i)
{
    if (i->row == NO_ROW) {
        return false;
    }
    const InsnDesc *d = &insn_desc[i->row];
    return ((d->fl_read | d->fl_write | d->fl_undef) & FLB_ARITH) ||
           (insn_rows[i->row].attr & A_JUMP);
}

/*
 * Does a block go on behind an instruction whose row says A_END?  These rarely change what the
 * code that follows depends on; jit_thunks.call_end leaves the block when one did.
 */
static bool goes_on(const InsnRow *r, const InsnDesc *d)
{
    static const char *const names[] = {
        "in", "out", "popf", "clac", "stac", "clts", "wrmsr", "pop", "sti", "lds", "les", "lfs", "lgs", "lss",
    };
    for (unsigned k = 0; k < G_N_ELEMENTS(names); k++) {
        if (!strcmp(r->name, names[k])) {
            return true;
        }
    }
    return !strcmp(r->name, "mov") && d->opnd[0].kind == OPND_S;
}

bool x86_jit_goes_on(const Insn *i)
{
    return jit_row[i->row] & JR_GOES_ON;
}

/* May it store to memory, or may it when it has a memory operand?  (Of jumps it does not matter.) */
static uint8_t stores(const InsnRow *r, const InsnDesc *d)
{
    static const char *const never[] = { "cmp", "test", "bt", "nop", "lea" };
    static const char *const hidden[] = { "push", "pusha", "pushf", "enter", "maskmovdqu", "maskmovq" };

    for (unsigned k = 0; k < G_N_ELEMENTS(never); k++) {
        if (!strcmp(r->name, never[k])) {
            return 0;
        }
    }
    for (unsigned k = 0; k < G_N_ELEMENTS(hidden); k++) {
        if (g_str_has_suffix(r->name, hidden[k])) {
            return JR_STORES;
        }
    }
    switch (d->nopnd ? d->opnd[0].kind : OPND_NONE) {
    case OPND_Y: return JR_STORES;
    case OPND_E: case OPND_M: case OPND_O: case OPND_W: case OPND_Q: return JR_STORES_MEM;
    default: return 0;
    }
}

static void look_up_rows(void)
{
    jit_row = g_new0(uint8_t, insn_row_count);
    for (unsigned r = 0; r < insn_row_count; r++) {
        const InsnRow *row = &insn_rows[r];
        jit_row[r] = (jit_is_x87(row) ? JR_X87 : 0) | (goes_on(row, &insn_desc[r]) ? JR_GOES_ON : 0) |
                     (strcmp(row->name, "push") ? 0 : JR_PUSH) | (strcmp(row->name, "pop") ? 0 : JR_POP) |
                     stores(row, &insn_desc[r]) | jit_row_writes(row, &insn_desc[r]);
    }
}

static bool is_jump(const Insn *i)
{
    return i->row == NO_ROW || (insn_rows[i->row].attr & A_JUMP);
}

/* The handler of a repeated instruction came back early: to the loop, RIP is still there. */
static void cold_repeat(Jit *j, JitCold *k)
{
    asm_op(&j->a, 1, 0xc6, 0, jit_field(OFF(rep_open)));
    asm_8(&j->a, 0);
    asm_movi(&j->a, J_T1, j->insn[k->n].off);
    jit_jmp_thunk(j, jit_thunks.leave_at);
}

void jit_fallback(Jit *j, const Insn *i)
{
    bool flags = jit_flags_matter(i);
    jit_flags_clobber(j, flags && is_jump(i) ? FLB_ARITH : j->live_in);
    jit_vec_flush(j);
    jit_call_operand(j, j->n);
    j->loop.calls = true;
    jit_share_end(j);
    if (is_jump(i)) {
        jit_jmp_thunk(j, jit_thunks.jump);
        j->ended = true;
        return;
    }
    if (jit_x87_row(i)) {
        jit_call_thunk(j, jit_thunks.call_x87);
        j->x87_ready = false;
    } else if (insn_rows[i->row].attr & A_END && !j->one) {
        jit_call_thunk(j, flags ? jit_thunks.call_end_flags : jit_thunks.call_end);
    } else {
        jit_call_thunk(j, flags ? jit_thunks.call_flags : jit_thunks.call);
    }
    j->fl = FL_MEM;
    if ((insn_rows[i->row].attr & (A_SSE | A_AVX)) || jit_x87_row(i)) {
        j->sse_ready = false;
    }
    if (i->flags & (IF_REP | IF_REPNE)) {
        asm_alui(&j->a, 1, ALU_CMP, jit_field(OFF(rep_open)), 0);
        jit_cold(j, COLD_CODE, asm_jcc(&j->a, CC_NE))->fn = cold_repeat;
    }
}

/* ---- cold parts -------------------------------------------------------------------------------- */

static void cold_address(Jit *j, const JitCold *k)
{
    asm_lea(&j->a, 8, J_T0, rm_m(k->base, k->disp));
}

static void cold_value(Jit *j, const JitCold *k)
{
    Rm m = k->src;
    if (k->imm) {
        asm_movi(&j->a, J_T1, k->value);
    } else if (!m.mem && m.reg >= H_AH) {
        asm_mov_r(&j->a, 8, J_T1, m.reg - H_AH);
        asm_op(&j->a, 8, 0xc1, 5, rm_r(J_T1));
        asm_8(&j->a, 8);
    } else if (m.mem) {
        asm_ld(&j->a, 8, J_T1, rm_m(m.reg, m.disp & ~7));   /* a home: whole */
        if (m.disp & 7) {
            asm_op(&j->a, 8, 0xc1, 5, rm_r(J_T1));
            asm_8(&j->a, 8);
        }
    } else {
        asm_mov_r(&j->a, 8, J_T1, m.reg);
    }
}

void jit_cold_flags(Jit *j, const JitCold *k, uint8_t fl)
{
    if ((fl & FL_HOST) && (k->live & FLB_ARITH)) {
        jit_emit_load_flags(j, k->live & FLB_ARITH);
    }
}

void jit_cold_begin(Jit *j, const JitCold *k)
{
    if (k->x87_note) {
        jit_x87_note(j, k->x87_note - 1);
    }
    jit_vec_store(j, &k->vec);
}

void jit_cold_end(Jit *j, const JitCold *k)
{
    jit_vec_load(j, &k->vec);
}

/* The whole instruction. */
static void cold_call(Jit *j, const JitCold *k)
{
    const Insn *i = &j->insn[k->n];
    jit_call_operand(j, k->n);
    if (jit_x87_row(i)) {
        jit_call_thunk(j, jit_thunks.call_x87);
        jit_call_thunk(j, jit_thunks.x87_load);
    } else {
        jit_call_thunk(j, jit_flags_matter(i) ? jit_thunks.call_flags : jit_thunks.call);
    }
    jit_vec_load(j, &k->vec_end);
    jit_memo_forget(j);
    jit_cold_flags(j, k, k->fl);
    asm_patch32(asm_jmp(&j->a), j->insn_end[k->n]);
}

static void cold_probe(Jit *j, const JitCold *k)
{
    Asm *a = &j->a;
    cold_address(j, k);
    jit_call_thunk(j, jit_thunks.probe);
    asm_32(a, JIT_INFO(&j->insn[k->n], k->size));
    asm_op(a, 8, 0x85, J_T1, rm_r(J_T1));
    uint8_t *no = asm_jcc(a, CC_E);
    jit_cold_end(j, k);
    jit_memo_forget(j);
    asm_patch32(asm_jmp(a), k->back);
    asm_patch32(no, a->p);
    cold_call(j, k);
}

bool jit_native(const Insn *i)
{
    return native[i->row];
}

static void emit_cold(Jit *j, JitCold *k)
{
    const Insn *i = &j->insn[k->n];

    asm_patch32(k->from, j->a.p);
    if (k->stack) {
        cold_address(j, k);
        asm_movi(&j->a, J_T1, k->size - 1);
        jit_call_thunk(j, jit_thunks.stack[k->stack == STACK_WRITE]);
        asm_patch32(asm_jcc(&j->a, CC_NE), k->checked);
    }
    if (k->kind == COLD_CODE) {
        k->fn(j, k);
        return;
    }
    if (jit_cold_shared(j, k)) {
        return;
    }
    if ((k->kind == COLD_PROBE || (k->kind == COLD_INSN && k->size)) &&
        jit_cold_probe(j, k, k->read ? TLB_READ : TLB_WRITE)) {
        return;
    }
    jit_cold_begin(j, k);
    switch (k->kind) {
    case COLD_LOAD:
        cold_address(j, k);
        jit_call_thunk(j, jit_thunks.load);
        asm_32(&j->a, JIT_INFO(i, k->size));
        break;
    case COLD_STORE:
        cold_address(j, k);
        cold_value(j, k);
        jit_call_thunk(j, jit_thunks.store);
        asm_32(&j->a, JIT_INFO(i, k->size));
        break;
    case COLD_PROBE:
        cold_probe(j, k);
        return;
    case COLD_INSN:
        cold_call(j, k);
        return;
    default:
        jit_call_operand(j, k->n);
        jit_jmp_thunk(j, jit_thunks.jump);
        return;
    }
    jit_cold_end(j, k);
    jit_memo_forget(j);
    asm_patch32(asm_jmp(&j->a), k->back);
}

/* ---- blocks ------------------------------------------------------------------------------------------ */

/* May it leave the flags it writes as they were?  Shifts by a constant other than 0 don't. */
bool jit_flags_maybe(const Insn *i, const InsnDesc *d)
{
    if (!d->fl_maybe || d->opnd[1].kind != OPND_I || d->nopnd != 2 || d->imm[0] != IMM_U8 ||
        !(d->fl_write & FLB_Z)) {
        return d->fl_maybe;
    }
    return !(i->imm & (i->osz == 3 ? 63 : 31));
}

/*
 * May it store to the rest of the block?  Then what is behind it may be other code, which reads
 * flags.
 */
static bool may_store_here(const Jit *j, const Insn *i)
{
    enum { LONGEST = 64 };
    int64_t at = i->disp;
    if (!j->careful || i->row == NO_ROW) {
        return false;
    }
    if (jit_row[i->row] & JR_STORES) {
        return true;
    }
    if (!(i->flags & IF_MEM) || !(jit_row[i->row] & JR_STORES_MEM)) {
        return false;
    }
    if (i->base != 17 && !(i->base == 16 && i->index == 16)) {
        return true;
    }
    if (i->base == 16) {
        if (!(j->mode & (MODE_CODE64 | MODE_FLAT))) {
            return true;
        }
        at &= GUEST_PAGE_SIZE - 1;
    }
    return at + LONGEST > j->start && at < j->end;
}

static void liveness(Jit *j)
{
    uint8_t live = FLB_ARITH;
    for (unsigned n = j->count; n--;) {
        const Insn *i = &j->insn[n];
        if (may_store_here(j, i)) {
            live = FLB_ARITH;
        }
        j->live[n + 1] = live;
        if (i->row == NO_ROW) {
            live = FLB_ARITH;
        } else {
            const InsnDesc *d = &insn_desc[i->row];
            if (insn_rows[i->row].attr & (A_SYS | A_END)) {
                live = FLB_ARITH;
            } else if (!jit_flags_maybe(i, d)) {
                live &= ~(d->fl_write | d->fl_undef);
            }
            live |= d->fl_read;
        }
        live &= FLB_ARITH;
        j->live[n] = live;
    }
}

static void one_insn(Jit *j)
{
    const Insn *i = &j->insn[j->n];
    const JitOp *op = i->row == NO_ROW ? NULL : native[i->row];
    unsigned first_cold = j->ncold, first_side = j->nside;

    j->desc = i->row == NO_ROW ? NULL : &insn_desc[i->row];
    j->live_in = j->live[j->n];
    j->live_out = j->live[j->n + 1];
    if (!op || !op->fn(j, i, op->arg)) {
        jit_fallback(j, i);
    }
    for (; j->done_ahead; j->done_ahead--) {
        j->n++;
    }
    j->insn_end[j->n] = j->a.p;
    for (unsigned k = first_cold; k < j->ncold; k++) {
        j->cold[k].fl_end = j->fl;
        j->cold[k].vec_end = j->vec;
        if (j->cold[k].kind == COLD_INSN || j->cold[k].kind == COLD_PROBE) {
            j->cold[k].fl = j->fl;                  /* they come back here */
        }
    }
    for (unsigned k = first_side; k < j->nside; k++) {
        j->side[k].back = j->a.p - j->buf;
    }
    if (j->poll_after == j->n && j->n && !j->ended) {
        jit_poll(j);
    }
}

/* False: it does not fit; fewer instructions will. */
static bool translate(Jit *j, bool stop)
{
    j->a = (Asm) { j->buf, j->buf + JIT_BUF_SIZE };
    j->ncold = j->nfix = j->ncall = j->nside = 0;
    j->fl = FL_MEM;
    j->vec = (JitVec) { 0 };
    j->vex = j->sse_ready = false;
    j->x87_ready = false;
    j->x87_note = 0;
    j->poll_after = j->done_ahead = 0;
    j->loop.memos = 0;
    j->loop.closed = false;
    j->loop.memo_next = false;
    j->ended = false;
    j->stack_probe = STACK_NO;
    j->holes = 0;
    memset(j->exit, 0, sizeof(j->exit));
    liveness(j);
    j->shares = 0;
    if (!j->compact && !j->one && j->code64) {
        jit_share_plan(j);
    }
    j->n = 0;
    jit_entry(j);
    for (; j->n < j->count && !j->ended; j->n++) {
        one_insn(j);
        if (j->a.p > j->buf + JIT_BUF_SIZE / 2 || j->ncold > JIT_MAX_COLD - 16 ||
            j->nside > JIT_MAX_SIDE - 32 ||
            j->nfix + 7 * j->ncold > JIT_MAX_FIX - 16) {
            return false;
        }
    }
    if (!j->ended) {
        j->n = j->count - 1;
        j->live_in = j->live_out = FLB_ARITH;
        if (stop || j->one || !(j->mode & (MODE_CODE64 | MODE_CSFLAT))) {
            jit_leave(j, j->end);
        } else {
            jit_exit(j, 0, j->end);
        }
    }
    for (unsigned k = 0; k < j->ncold; k++) {
        if (asm_full(&j->a)) {
            return false;
        }
        emit_cold(j, &j->cold[k]);
    }
    if (j->loop.on) {
        jit_loop_setup(j);
    }
    return !asm_full(&j->a);
}

/* What stays with the block besides its code. */
static size_t payload_size(const Jit *j)
{
    return sizeof(JitBlock) + j->ncall * sizeof(JitCall) + j->nside * sizeof(JitSide);
}

/* Not larger than the cache can take. */
static bool fits(const Jit *j)
{
    size_t max = block_max_size();
    return j->a.p - j->buf <= (ptrdiff_t)MIN(max, UINT16_MAX) &&
           payload_size(j) <= max;
}

static Block nowhere = { .mode = BLOCK_DEAD };

static void back_to_code(X86CPU *c, const Insn *i)
{
}

void jit_fill_call(JitCall *call, const Insn *i)
{
    call->insn = *i;
    call->next.fn = back_to_code;
    call->next.imm = (uintptr_t)&nowhere;
    call->next.disp = 0;
}

static void fill_tables(Jit *j, JitBlock *b)
{
    b->ncall = j->ncall;
    b->nside = j->nside;
    for (unsigned k = 0; k < j->ncall; k++) {
        jit_fill_call(&b->call[k], &j->insn[j->call_insn[k]]);
    }
    memcpy(&b->call[b->ncall], j->side, j->nside * sizeof(JitSide));
}

static void fix_all(Jit *j, Block *b, uint8_t *rx)
{
    for (unsigned k = 0; k < j->nfix; k++) {
        const JitFix *f = &j->fix[k];
        uint8_t *at = code_rw(rx) + (f->at - j->buf);
        uint64_t v;
        switch (f->kind) {
        case FIX_THUNK:
            asm_patch32(at, code_rw((const uint8_t *)(uintptr_t)f->value));
            continue;
        case FIX_BLOCK: v = (uintptr_t)b + f->value; break;
        default:        v = (uintptr_t)&jit_block(b)->call[f->value]; break;
        }
        memcpy(at, &v, 8);
    }
}

/* For -d out_asm, -perfmap, -jitdump. */
static void tell(uint64_t pc, const uint8_t *rx, size_t size)
{
    if (perf_wanted()) {
        char name[40];
        snprintf(name, sizeof(name), "guest_%" PRIx64, pc);
        perf_note(rx, size, name);
    }
    if (log_on(LOG_OUT_ASM)) {
        GString *out = g_string_new(NULL);
        g_string_printf(out, "OUT: [size=%zu] guest %" PRIx64 "\n", size, pc);
        x86_disas(out, (uintptr_t)rx, rx, size, 64);
        log_write("%s\n", out->str);
        g_string_free(out, true);
    }
}

/* Interpreter code that would chain to a block's instructions. */
static void not_insns(X86CPU *c, const Insn *i)
{
    c->rip = c->r[17];
}

/* Blocks made, compact and fast: [racy] for info jit. */
static struct {
    uint64_t blocks, guest, code, tables;
} made[2];

Block *x86_jit_block(X86CPU *c, uint64_t pc, const uint8_t *host, const uint8_t *host2,
                     uint32_t mode, bool one, bool careful,
                     const Insn *insn, unsigned count, unsigned size, bool stop)
{
    static GPrivate scratch = G_PRIVATE_INIT(g_free);   /* goes with its thread */
    Jit *j = g_private_get(&scratch);

    if (!j) {
        j = g_new(Jit, 1);
        g_private_set(&scratch, j);
    }
    j->c = c;
    j->mode = mode;
    j->code64 = mode & MODE_CODE64;
    j->one = one;
    j->careful = careful;
    j->compact = !jit_hot(host);
    j->insn = insn;
    j->count = count;
    j->start = pc & (GUEST_PAGE_SIZE - 1);
    j->host = host - j->start;
    j->host2 = host2;
    j->end = j->start + size;
    j->loop = (JitLoop) { 0 };
    while (!translate(j, stop) || !fits(j)) {
        g_assert(j->count > 1);
        j->count /= 2;
        j->end = jit_next(&insn[j->count - 1]);
        j->loop = (JitLoop) { 0 };
        stop = false;
    }
    if (jit_loop_wanted(j)) {
        j->loop.on = true;
        if (!translate(j, stop) || !fits(j)) {
            j->loop = (JitLoop) { 0 };
            translate(j, stop);
        }
    }
    size_t code = j->a.p - j->buf;
    Block *b = block_alloc(&c->cpu, payload_size(j), code, j->holes, j->host2);
    uint8_t *rx = (uint8_t *)block_code(b);
    JitBlock *jb = jit_block(b);
    memset(jb, 0, sizeof(*jb));
    jb->fn = not_insns;
    jb->needs_flags = j->live[0] != 0;
    jb->compact = j->compact;
    jb->mode = mode;
    jb->poll = j->poll;
    jb->no_poll = j->no_poll;
    jb->inside = j->inside;
    jb->again = j->loop.closed ? j->loop.back - j->buf : 0;
    g_assert(j->inside <= UINT8_MAX && (!j->loop.closed || j->loop.back - j->buf <= UINT8_MAX));
    memcpy(jb->exit, j->exit, sizeof(jb->exit));
    memcpy(code_rw(rx), j->buf, code);
    fix_all(j, b, rx);
    fill_tables(j, jb);
    jb->entry = rx + j->no_poll;
    b->count = j->count;
    b->size = j->end - j->start;
    made[!j->compact].blocks++;
    made[!j->compact].guest += b->size;
    made[!j->compact].code += code;
    made[!j->compact].tables += b->alloc * 16u;
    memcpy(block_hole(b), j->hole, j->holes * sizeof(BlockHole));
    if (unlikely(log_on(LOG_OUT_ASM) || perf_wanted())) {
        tell(pc, rx, code);
    }
    return b;
}

void x86_jit_enter(X86CPU *c, Block *b)
{
    bool flat = c->mode & (MODE_CODE64 | MODE_CSFLAT);
    uint64_t lin = flat ? c->rip : (uint32_t)(c->seg[R_CS].base + c->rip);

    c->r[17] = c->rip - (lin & (GUEST_PAGE_SIZE - 1));
    if (c->lazy_flags == LAZY_FIELDS) {
        c->fl_image = jit_flags_image(flags_read(c));
        c->lazy_flags = LAZY_IMAGE;
    }
    c->tcg.from = NULL;
    c->jit_enters++;
    if (unlikely(!c->jit_calls)) {
        c->jit_calls = g_new0(uint64_t, NO_ROW + 1);
    }
    /* The loop has just looked at requests; who runs slices of guest code leaves one up. */
    jit_thunks.enter((uint8_t *)c + JIT_BIAS, block_code(b) + jit_block(b)->inside);
    if (c->lazy_flags == LAZY_IMAGE) {
        flags_write_all(c, jit_image_flags(c->fl_image));
        c->lazy_flags = LAZY_FIELDS;
    }
    if (!(c->mode & MODE_CODE64)) {
        c->rip = (uint32_t)c->rip;
    }
    if (c->tcg.from) {
        c->tcg.from_pc = c->rip;
        c->tcg.from_same_page = (c->rip & GUEST_PAGE_MASK) == c->r[17];
    }
}

void x86_jit_kill(Block *b)
{
    __atomic_store_n(&jit_block(b)->entry, jit_thunks.dead, __ATOMIC_RELEASE);
}

void x86_jit_link(Block *from, unsigned n, Block *to)
{
    jit_link(from, n, to);
}

/* ---- info jit -------------------------------------------------------------------------------------- */

#define INFO_ROWS 24

static int by_count(const void *a, const void *b, void *counts)
{
    uint64_t x = ((uint64_t *)counts)[*(const uint16_t *)a], y = ((uint64_t *)counts)[*(const uint16_t *)b];
    return x < y ? 1 : x > y ? -1 : 0;
}

void x86_jit_info(GString *out)
{
    g_autofree uint64_t *sum = g_new0(uint64_t, NO_ROW + 1);
    g_autofree uint16_t *rows = g_new(uint16_t, insn_row_count);
    uint64_t total = 0, enters = 0, loads = 0, stores = 0;

    if (!x86_jit) {
        return;
    }
    for (unsigned k = 0; k < 2; k++) {
        g_string_append_printf(out, "%s %" PRIu64 " of %" PRIu64 " bytes, %.2f bytes for one; "
                               "tables %.2f\n", k ? "  fast blocks      " : "  compact blocks   ",
                               made[k].blocks, made[k].guest, (double)made[k].code / MAX(made[k].guest, 1),
                               (double)made[k].tables / MAX(made[k].guest, 1));
    }
    for (unsigned n = 0; cpus && n < cpus->len; n++) {
        const X86CPU *c = x86_cpu(cpu_by_index(n));
        enters += c->jit_enters;
        loads += c->jit_loads;
        stores += c->jit_stores;
        for (unsigned r = 0; c->jit_calls && r <= NO_ROW; r++) {
            sum[r] += c->jit_calls[r];
            total += c->jit_calls[r];
        }
    }
    for (unsigned r = 0; r < insn_row_count; r++) {
        rows[r] = r;
    }
    g_qsort_with_data(rows, insn_row_count, sizeof(rows[0]), by_count, sum);
    g_string_append_printf(out, "entries from loop   %" PRIu64 "\n"
                           "slow loads, stores  %" PRIu64 ", %" PRIu64 "\n"
                           "handlers called     %" PRIu64 "\n", enters, loads, stores, total);
    for (unsigned r = 0; r < INFO_ROWS && r < insn_row_count && sum[rows[r]]; r++) {
        g_string_append_printf(out, "  %-10s %-12s %12" PRIu64 "  %4.1f %%\n", insn_rows[rows[r]].name,
                               insn_rows[rows[r]].operands, sum[rows[r]], 100.0 * sum[rows[r]] / total);
    }
}

/* ---- start -------------------------------------------------------------------------------------------- */

/* By mnemonic: of several the last one counts. */
static void list(GHashTable *by_name, const JitOp *ops)
{
    for (; ops->name; ops++) {
        g_hash_table_insert(by_name, (gpointer)ops->name, (gpointer)ops);
    }
}

static void find_native(void)
{
    GHashTable *by_name = g_hash_table_new(g_str_hash, g_str_equal);
    list(by_name, jit_alu_ops);
    list(by_name, jit_mov_ops);
    list(by_name, jit_flow_ops);
    list(by_name, jit_simd_ops);
    list(by_name, jit_x87_ops);
    native = g_new0(const JitOp *, insn_row_count);
    for (unsigned r = 0; r < insn_row_count; r++) {
        bool vec = insn_rows[r].attr & (A_SSE | A_MMX);
        if (!vec || jit_host_row(&insn_rows[r])) {
            native[r] = g_hash_table_lookup(by_name, insn_rows[r].name);
        }
        if (!native[r]) {
            native[r] = jit_vec_row(&insn_rows[r]);
        }
    }
    g_hash_table_destroy(by_name);
}

bool x86_jit_init(Error **err)
{
    if (!block_cache_init_code(JIT_THUNK_SIZE, err)) {
        return false;
    }
    jit_make_thunks(code_area());
    if (perf_wanted()) {
        perf_note(code_area(), JIT_THUNK_SIZE, "thunks");
    }
    if (!native) {
        look_up_rows();
        find_native();
    }
    x86_jit = tcg_cross_guarded = true;
    return true;
}

#else

bool x86_jit;

void x86_jit_info(GString *out)
{
}

bool x86_jit_init(Error **err)
{
    return fail(err, "engine=jit makes code for x86-64 Linux hosts only; use engine=interp");
}

Block *x86_jit_block(X86CPU *c, uint64_t pc, const uint8_t *host, const uint8_t *host2,
                     uint32_t mode, bool one, bool careful,
                     const Insn *insn, unsigned count, unsigned size, bool stop)
{
    return NULL;
}
void x86_jit_enter(X86CPU *c, Block *b)
{
}
void x86_jit_kill(Block *b)
{
}
void x86_jit_link(Block *from, unsigned n, Block *to)
{
}

#endif
