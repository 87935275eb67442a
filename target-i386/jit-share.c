/* SPDX-License-Identifier: MIT */
/*
 * Accesses that share a look at the TLB: several of a block by the same base (and index), near
 * each other.  The first one checks the range of all; if that is plain memory within a page, the
 * others take its addend from X86CPU.jit_shared.  Fast code alone.
 *
 * Constants that are added to the base in between are followed.  A check for reading serves reads,
 * one for writing both.
 *
 * Between the first and the last of them C code may run that changes what is mapped where, or who
 * watches stores.  So the slow paths of these instructions (jit_cold_shared) look, after they did
 * the instruction by its handler, whether the TLB still says what was checked; if not, or if the
 * first check failed, they leave the block behind the instruction.  Where that happens again and
 * again nothing is shared any more.  An instruction without a native form ends the sharing.
 */
#include "target-i386/jit.h"

#if HAVE_JIT

#include "accel/tcg/slow.h"
#include "target-i386/interp.h"
#include "target-i386/jit-int.h"

#define RANGE 128               /* bytes checked at once, at most */
#define FAILED_BITS 14
#define FAILED_MAX 6

static uint8_t failed[1 << FAILED_BITS];    /* [racy] by the instruction's address: blocks left */

static uint8_t *failed_at(const uint8_t *host)
{
    return &failed[((uintptr_t)host * 0x9e3779b97f4a7c15ull) >> (64 - FAILED_BITS)];
}

/* ---- which ------------------------------------------------------------------------------------ */

/* Bytes of the memory operand, 0: not such as can share. */
static unsigned operand_size(const Insn *i, const InsnDesc *d, bool *write)
{
    static const char *const apart[] = { "lea", "nop", "prefetch", "prefetchw", "bt", "bts", "btr", "btc" };
    for (unsigned k = 0; k < G_N_ELEMENTS(apart); k++) {
        if (!strcmp(insn_rows[i->row].name, apart[k])) {
            return 0;
        }
    }
    for (unsigned n = 0; n < d->nopnd; n++) {
        const InsnOpnd *o = &d->opnd[n];
        if (o->kind == OPND_E || o->kind == OPND_M || o->kind == OPND_W) {
            bool vec = o->kind == OPND_W || insn_rows[i->row].attr & (A_SSE | A_AVX);
            *write = n == 0 && strcmp(insn_rows[i->row].name, "cmp") && strcmp(insn_rows[i->row].name, "test") &&
                     (!vec || !(d->fl_write & FLB_ARITH));
            return o->type[0] == 'b' ? 1 : o->type[0] == 'w' ? 2
                 : o->size == OPND_BY_VL ? (i->flags & IF_L ? 32 : 16)
                 : o->size ? (o->size <= 32 ? o->size : 0) : vec && o->kind != OPND_E ? 16 : 1u << i->osz;
        }
    }
    return 0;
}

/* Ends all sharing before it: may call C code in ways this file does not know. */
static bool barrier(const Insn *i)
{
    return i->row == NO_ROW || !jit_native(i) || (jit_row[i->row] & (JR_PUSH | JR_POP)) || jit_x87_row(i) ||
           (insn_rows[i->row].attr & (A_SYS | A_END | A_JUMP | A_REP)) ||
           !strcmp(insn_rows[i->row].name, "leave");
}

typedef struct Regs {
    uint8_t age[18];            /* counts changes that are not a constant added */
    int64_t by[18];             /* added since */
} Regs;

static void find_access(const Jit *j, const Insn *i, const Regs *r, JitAccess *a)
{
    *a = (JitAccess) { 0 };
    if (barrier(i) || !(i->flags & IF_MEM) || (i->flags & (IF_SEG | IF_LOCK)) || i->asz != 3 ||
        *failed_at(j->host + i->off) >= FAILED_MAX || !jit_ea_ok(j, i) || i->disp > INT32_MAX / 2 || i->disp < INT32_MIN / 2) {
        return;
    }
    a->size = operand_size(i, &insn_desc[i->row], &a->write);
    a->base = i->base;
    a->index = i->index;
    a->scale = i->scale;
    a->age[0] = r->age[i->base];
    a->age[1] = r->age[i->index];
    a->at = i->disp + r->by[i->base] + (int64_t)((uint64_t)r->by[i->index] << i->scale);
}

static void follow(Regs *r, const Insn *i)
{
    uint32_t mask = jit_insn_writes(i);
    int64_t by;
    if (is_pow2(mask) && jit_insn_adds(i, &by)) {
        r->by[__builtin_ctz(mask)] += by;
        return;
    }
    for (unsigned n = 0; n < 16; n++) {
        if (mask >> n & 1) {
            r->age[n]++;
            r->by[n] = 0;
        }
    }
}

static bool alike(const JitAccess *x, const JitAccess *y)
{
    return y->size && x->base == y->base && x->index == y->index && x->scale == y->scale &&
           x->age[0] == y->age[0] && x->age[1] == y->age[1] && (x->write || !y->write);
}

/* Those that can share with the access of instruction n. */
static void share_from(Jit *j, unsigned n, const bool *barriers)
{
    JitAccess *a = &j->access[n];
    JitShare s = { .first = n, .last = n, .lo = a->at, .hi = a->at + a->size };
    for (unsigned m = n + 1; m < j->count && !barriers[m]; m++) {
        JitAccess *b = &j->access[m];
        int64_t lo = MIN(s.lo, b->at), hi = MAX(s.hi, b->at + b->size);
        if (b->share || !alike(a, b) || hi - lo > RANGE) {
            continue;
        }
        s.lo = lo;
        s.hi = hi;
        s.last = m;
        b->share = j->shares + 1;
    }
    if (s.last != n) {
        a->share = j->shares + 1;
        j->share[j->shares++] = s;
    }
}

void jit_share_plan(Jit *j)
{
    bool barriers[JIT_MAX_INSNS];
    Regs r = { 0 };

    j->shares = 0;
    for (unsigned n = 0; n < j->count; n++) {
        find_access(j, &j->insn[n], &r, &j->access[n]);
        barriers[n] = barrier(&j->insn[n]);
        follow(&r, &j->insn[n]);
    }
    for (unsigned n = 0; n < j->count && j->shares < JIT_MAX_SHARES; n++) {
        if (j->access[n].size && !j->access[n].share) {
            share_from(j, n, barriers);
        }
    }
}

/* ---- code ----------------------------------------------------------------------------------------- */

static JitShare *share_of(Jit *j)
{
    const JitAccess *a = &j->access[j->n];
    return j->shares && a->share ? &j->share[a->share - 1] : NULL;
}

static Rm addend_of(const JitShare *s)
{
    return jit_field(s->memo ? OFF(jit_memo[0].addend) + (int32_t)sizeof(JitMemo) * s->slot
                             : OFF(jit_shared[0].addend) + 16 * s->slot);
}

bool jit_share_member(Jit *j, unsigned size, TlbAccess acc)
{
    const JitShare *s = share_of(j);
    const JitAccess *a = &j->access[j->n];
    if (!s || !s->live || s->first == j->n || a->at < s->lo || a->at + size > s->hi ||
        (acc == TLB_WRITE && !s->write)) {
        return false;
    }
    asm_ld(&j->a, 8, J_T1, addend_of(s));
    return true;
}

/* A place for the addend that no other share of the time has. */
static bool take_slot(const Jit *j, JitShare *s)
{
    unsigned used = 0;
    for (unsigned k = 0; k < j->shares; k++) {
        const JitShare *o = &j->share[k];
        if (o != s && o->live && !o->memo && o->last > s->first) {
            used |= 1u << o->slot;
        }
    }
    for (s->slot = 0; s->slot < JIT_SHARED && used >> s->slot & 1;) {
        s->slot++;
    }
    return s->slot < JIT_SHARED;
}

bool jit_share_first(Jit *j, unsigned *size, TlbAccess acc, int32_t *disp)
{
    JitShare *s = share_of(j);
    const JitAccess *a = &j->access[j->n];
    if (!s || s->first != j->n || s->live || a->at + *size > s->hi || !take_slot(j, s)) {
        return false;
    }
    s->write = acc == TLB_WRITE;
    *disp += s->lo - a->at;
    *size = s->hi - s->lo;
    return true;
}

void jit_share_begin(Jit *j, bool memo)
{
    JitShare *s = share_of(j);
    s->live = s->begun = true;
    s->memo = memo;
    if (memo) {
        s->slot = j->loop.memos - 1;
    } else {
        asm_st(&j->a, 8, jit_field(OFF(jit_shared[0].page) + 16 * s->slot), J_T0);
        asm_st(&j->a, 8, addend_of(s), J_T1);
    }
}

void jit_share_end(Jit *j)
{
    for (unsigned k = 0; k < j->shares; k++) {
        j->share[k].live = false;
    }
}

/* ---- slow paths -------------------------------------------------------------------------------------- */

/* Do page and addend, if they are to, stand in the TLB? */
static bool holds(X86CPU *c, uint64_t page, uintptr_t addend, bool read, bool write)
{
    const TlbMode *m = c->tcg.data;
    void *host = (void *)(uintptr_t)(page + addend);
    return (!read || tlb_host(m, TLB_READ, page, 1) == host) &&
           (!write || tlb_host(m, TLB_WRITE, page, 1) == host);
}

static bool all_hold(X86CPU *c, uint32_t which)
{
    bool all = true;
    for (unsigned n = 0; n < JIT_SHARED && which; n++) {
        all &= holds(c, c->jit_shared[n].page, c->jit_shared[n].addend,
                     which & JIT_HOLDS_SHARED(n, 0), which & JIT_HOLDS_SHARED(n, 1));
        all &= holds(c, c->jit_memo[n].page, c->jit_memo[n].addend,
                     which & JIT_HOLDS_MEMO(n, 0), which & JIT_HOLDS_MEMO(n, 1));
    }
    return all;
}

bool jit_call_shared(X86CPU *c, const Insn *i, const uint8_t *ret)
{
    uint32_t which = c->jit_holds, kills = __atomic_load_n(&block_kills, __ATOMIC_RELAXED);

    if (jit_flags_matter(i)) {
        jit_call_with_flags(c, i);
    } else {
        i->fn(c, i);
    }
    bool good = !(which & JIT_FIRST_FAILED) && all_hold(c, which);
    if (good && kills == __atomic_load_n(&block_kills, __ATOMIC_RELAXED)) {
        return false;
    }
    if (!good) {
        Block *b = block_of_code(ret - 1);
        uint8_t *f = failed_at(b->host + i->off - ((uintptr_t)b->host & (GUEST_PAGE_SIZE - 1)));
        if (*f < FAILED_MAX && ++*f == FAILED_MAX) {
            block_drop(b);
        }
    }
    c->rip = insn_next(c, i);
    return true;
}

/* What must hold behind instruction n: of jit_holds; 0: nothing is shared over its end. */
static uint32_t shared_behind(const Jit *j, const JitCold *k)
{
    uint32_t which = k->first ? JIT_FIRST_FAILED : 0;
    for (unsigned n = 0; n < j->shares; n++) {
        const JitShare *s = &j->share[n];
        if (s->begun && s->first <= k->n && k->n < s->last) {
            which |= s->memo ? JIT_HOLDS_MEMO(s->slot, s->write) : JIT_HOLDS_SHARED(s->slot, s->write);
        }
    }
    return which;
}

bool jit_cold_shared(Jit *j, const JitCold *k)
{
    uint32_t which = shared_behind(j, k);
    Asm *a = &j->a;

    if (k->kind == COLD_JUMP || !which) {
        return false;
    }
    jit_cold_begin(j, k);
    if (k->size) {
        const JitShare *s = k->first ? &j->share[j->access[k->n].share - 1] : NULL;
        asm_lea(a, 8, J_T0, rm_m(k->base, k->disp));
        asm_movi(a, J_T1, k->size | (k->read || k->kind == COLD_LOAD ? 0 : JIT_REFILL_WRITE));
        jit_call_thunk(j, jit_thunks.refill);
        asm_op(a, 8, 0x85, J_T1, rm_r(J_T1));
        uint8_t *no = asm_jcc(a, CC_E);
        jit_memo_forget(j);
        asm_lea(a, 8, J_T0, rm_m(k->base, k->disp));
        asm_alui(a, 8, ALU_AND, rm_r(J_T0), -(int32_t)GUEST_PAGE_SIZE);
        if (s && s->memo) {
            asm_st(a, 8, jit_field(OFF(jit_memo[0].page) + (int32_t)sizeof(JitMemo) * s->slot), J_T0);
            asm_st(a, 8, addend_of(s), J_T1);
        }
        jit_cold_end(j, k);
        asm_patch32(asm_jmp(a), k->checked);
        asm_patch32(no, a->p);
    }
    asm_op(a, 4, 0xc7, 0, jit_field(OFF(jit_holds)));
    asm_32(a, which);
    jit_call_operand(j, k->n);
    jit_call_thunk(j, jit_thunks.call_shared);      /* or leaves, the instruction done */
    jit_vec_load(j, &k->vec_end);
    jit_memo_forget(j);
    jit_cold_flags(j, k, k->fl_end);
    asm_patch32(asm_jmp(a), j->insn_end[k->n]);
    return true;
}

#endif
