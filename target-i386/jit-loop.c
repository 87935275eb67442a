/* SPDX-License-Identifier: MIT */
/*
 * Loops of one block: a block whose last instruction is a conditional branch to its first one.
 * Fast code alone; such a block is made twice, the first time to find out what it holds in
 * vector registers at the branch.  The second time
 *
 *  - it holds the same registers at its start: nothing is stored and loaded from round to round;
 *  - an access whose address changes by a constant remembers the page it was in and what the TLB
 *    said of it (X86CPU.jit_memo): as long as it stays in there, no look at the TLB.
 *
 *            ... entries as of other blocks
 *            jmp setup
 *     back:  requests?
 *     head:  the instructions
 *            jcc back            jit_link makes it so; to flush until then
 *            ... exit as of other blocks
 *     setup: vector registers := X86CPU.v; nothing is remembered, or the same still
 *            jmp head
 *     flush: X86CPU.v := vector registers; call the thunk of exits
 *
 * What is remembered is good while no C code runs that might change what is mapped where, or who
 * watches stores: other vCPUs wait for this one to leave guest code before they do.  So it is
 * forgotten behind each slow path, a block that calls handlers remembers nothing, and the set-up
 * begins anew unless no C code was called (X86CPU.jit_memo_of) since the same loop ran.
 */
#include "target-i386/jit.h"

#if HAVE_JIT

#include "target-i386/interp.h"
#include "target-i386/jit-int.h"

#define MEMO_STRIDE 512         /* bytes from round to round, at most */

/* ---- how registers change --------------------------------------------------------------------- */

static const char *const first_only[] = {
    "mov", "movzx", "movsx", "movsxd", "lea", "add", "or", "adc", "sbb", "and", "sub", "xor", "inc",
    "dec", "not", "neg", "shl", "shr", "sar", "rol", "ror", "rcl", "rcr", "shld", "shrd", "bswap",
    "popcnt", "tzcnt", "lzcnt", "bsf", "bsr", "bt", "bts", "btr", "btc", "andn", "blsr", "blsmsk",
    "blsi", "bextr", "bzhi", "pext", "pdep", "shlx", "sarx", "shrx", "rorx", "adcx", "adox", "movnti",
    "movbe", "crc32",
};
static const char *const no_gpr[] = {
    "cmp", "test", "nop", "prefetch", "prefetchw", "clc", "stc", "cmc", "cld", "std", "sahf",
    "lfence", "mfence", "sfence",
};

uint8_t jit_row_writes(const InsnRow *r, const InsnDesc *d)
{
    if (r->attr & (A_SYS | A_END | A_REP | A_RND) || (r->attr & A_JUMP)) {
        return r->name[0] == 'j' && r->name[1] != 'c' && r->name[1] != 'm' ? JR_NO_GPR : 0;
    }
    if (r->attr & (A_SSE | A_AVX | A_MMX)) {
        return strstr(r->name, "mpestr") || strstr(r->name, "mpistr") ? 0 : JR_FIRST;
    }
    if (g_str_has_prefix(r->name, "set") || g_str_has_prefix(r->name, "cmov") ||
        (!strcmp(r->name, "imul") && d->nopnd > 1)) {
        return JR_FIRST;
    }
    for (unsigned k = 0; k < G_N_ELEMENTS(first_only); k++) {
        if (!strcmp(r->name, first_only[k])) {
            return JR_FIRST;
        }
    }
    for (unsigned k = 0; k < G_N_ELEMENTS(no_gpr); k++) {
        if (!strcmp(r->name, no_gpr[k])) {
            return JR_NO_GPR;
        }
    }
    return 0;
}

uint32_t jit_insn_writes(const Insn *i)
{
    uint8_t row = i->row == NO_ROW ? 0 : jit_row[i->row];
    if (!(row & JR_FIRST)) {
        return row & JR_NO_GPR ? 0 : ~0u;
    }
    const InsnOpnd *o = &insn_desc[i->row].opnd[0];
    unsigned n;
    switch (o->kind) {
    case OPND_G: case OPND_Z: n = i->reg; break;
    case OPND_B: n = i->vvvv; break;
    case OPND_E: case OPND_R:
        if (i->flags & IF_MEM) {
            return 0;
        }
        n = i->rm;
        break;
    case OPND_FIXED:
        return o->text[0] == 'A' || o->text[0] == 'r' ? 1u << R_EAX : ~0u;
    default:
        return 0;                                   /* memory, vector registers */
    }
    return 1u << (o->type[0] == 'b' ? n >> 3 : n);
}

/* ADD, SUB, INC, DEC, LEA. */
bool jit_insn_adds(const Insn *i, int64_t *by)
{
    const char *name = insn_rows[i->row].name;
    const InsnDesc *d = &insn_desc[i->row];
    bool imm = d->nopnd == 2 && d->opnd[1].kind == OPND_I;

    if (i->osz != 3) {
        return false;
    }
    if (!strcmp(name, "lea")) {
        *by = i->disp;
        return i->base == i->reg && i->index == 16 && i->asz == 3;
    }
    if (!strcmp(name, "inc") || !strcmp(name, "dec")) {
        *by = *name == 'i' ? 1 : -1;
        return true;
    }
    *by = *name == 'a' ? (int64_t)i->imm : -(int64_t)i->imm;
    return imm && (!strcmp(name, "add") || !strcmp(name, "sub"));
}

static void find_strides(Jit *j)
{
    JitLoop *l = &j->loop;
    for (unsigned r = 0; r < 18; r++) {
        l->strided[r] = true;
        l->stride[r] = 0;
    }
    for (unsigned n = 0; n < j->count; n++) {
        const Insn *i = &j->insn[n];
        uint32_t mask = jit_insn_writes(i);
        int64_t by;
        if (is_pow2(mask) && jit_insn_adds(i, &by)) {
            l->stride[__builtin_ctz(mask)] += by;
            continue;
        }
        for (unsigned r = 0; r < 16; r++) {
            l->strided[r] &= !(mask >> r & 1);
        }
    }
}

/* ---- what is remembered ---------------------------------------------------------------------------- */

static bool strided(const Jit *j, const Insn *i)
{
    const JitLoop *l = &j->loop;
    if (!(i->flags & IF_MEM) || (i->flags & (IF_SEG | IF_LOCK)) || i->asz != 3 || !jit_ea_ok(j, i) ||
        !l->strided[i->base] || !l->strided[i->index]) {
        return false;
    }
    int64_t by = l->stride[i->base] + (int64_t)((uint64_t)l->stride[i->index] << i->scale);
    return by <= MEMO_STRIDE && by >= -MEMO_STRIDE;
}

bool jit_memo_ok(const Jit *j, const Insn *i)
{
    return j->loop.on && !j->loop.calls && j->loop.memos < JIT_MEMOS && strided(j, i);
}

static Rm memo(unsigned n, size_t field)
{
    return jit_field(OFF(jit_memo[0]) + (int32_t)(n * sizeof(JitMemo) + field));
}

/* Not in that page: a look at the TLB.  Its own cold part is the next one. */
static void cold_memo(Jit *j, JitCold *k)
{
    Asm *a = &j->a;
    k[1].from = jit_probe_code(j, k->base, k->disp, k->size, k->read ? TLB_READ : TLB_WRITE);
    asm_st(a, 8, memo(k->value, offsetof(JitMemo, page)), J_T0);
    asm_st(a, 8, memo(k->value, offsetof(JitMemo, addend)), J_T1);
    asm_op(a, 8, 0xc7, 0, memo(k->value, offsetof(JitMemo, room)));
    asm_32(a, GUEST_PAGE_SIZE + 1 - k->size);
    asm_patch32(asm_jmp(a), k->back);
}

void jit_memo_probe(Jit *j, unsigned base, int32_t disp, unsigned size, TlbAccess acc)
{
    Asm *a = &j->a;
    unsigned n = j->loop.memos++;

    if (disp) {
        asm_lea(a, 8, J_T0, rm_m(base, disp));
    } else {
        asm_mov_r(a, 8, J_T0, base);
    }
    asm_alu(a, 8, ALU_SUB, J_T0, memo(n, offsetof(JitMemo, page)));
    asm_alu(a, 8, ALU_CMP, J_T0, memo(n, offsetof(JitMemo, room)));
    JitCold *k = jit_cold(j, COLD_CODE, asm_jcc(a, CC_AE));
    k->fn = cold_memo;
    k->base = base;
    k->disp = disp;
    k->size = size;
    k->read = acc == TLB_READ;
    k->value = n;
    asm_ld(a, 8, J_T1, memo(n, offsetof(JitMemo, addend)));
    k->back = a->p;
}

void jit_memo_forget(Jit *j)
{
    if (j->loop.memos) {
        jit_call_thunk(j, jit_thunks.forget);
    }
}

/* ---- the block --------------------------------------------------------------------------------------- */

bool jit_loop_wanted(Jit *j)
{
    JitLoop *l = &j->loop;
    if (!l->found) {
        return false;
    }
    find_strides(j);
    for (unsigned n = 0; n < j->count && !l->calls; n++) {
        if (strided(j, &j->insn[n])) {
            return true;
        }
    }
    return l->vec.loaded;
}

static bool same(const JitVec *x, const JitVec *y)
{
    return x->loaded == y->loaded && x->dirty == y->dirty && x->yloaded == y->yloaded &&
           x->ydirty == y->ydirty && x->upper == y->upper;
}

bool jit_loop_end(Jit *j)
{
    JitLoop *l = &j->loop;
    if (!l->on) {
        l->found = !j->compact && !j->one && !j->host2;
        l->vec = j->vec;
        l->vex = j->vex;
        return false;
    }
    if (!same(&j->vec, &l->vec) || j->vex != l->vex) {
        return false;
    }
    if (j->x87_note) {
        jit_x87_note(j, j->x87_note - 1);
        j->x87_note = 0;
    }
    if (j->live[0] && j->fl == FL_HOST) {
        jit_emit_save_flags(j, FLB_ARITH);
        j->fl |= FL_MEM;
    }
    l->closed = true;
    return true;
}

static void cold_leave(Jit *j, JitCold *k)
{
    jit_cold_begin(j, k);
    asm_movi(&j->a, J_T1, j->start);
    jit_jmp_thunk(j, jit_thunks.leave_at);
}

void jit_loop_head(Jit *j)
{
    JitLoop *l = &j->loop;
    j->vec = l->vec;
    j->vex = l->vex;
    l->enter = asm_jmp(&j->a);
    l->back = j->a.p;
    asm_alui(&j->a, 4, ALU_CMP, jit_field(OFF(cpu.request)), 0);
    jit_cold(j, COLD_CODE, asm_jcc(&j->a, CC_NE))->fn = cold_leave;
    l->head = j->a.p;
}

void jit_loop_setup(Jit *j)
{
    JitLoop *l = &j->loop;
    Asm *a = &j->a;
    asm_patch32(l->enter, a->p);
    jit_vec_load(j, &l->vec);
    if (l->memos) {
        jit_block_operand(j, J_T0, 0);
        asm_alu(a, 8, ALU_CMP, J_T0, jit_field(OFF(jit_memo_of)));
        asm_patch32(asm_jcc(a, CC_E), l->head);
        asm_st(a, 8, jit_field(OFF(jit_memo_of)), J_T0);
    }
    for (unsigned n = 0; n < l->memos; n++) {
        asm_op(a, 8, 0xc7, 0, memo(n, offsetof(JitMemo, room)));
        asm_32(a, 0);
    }
    asm_patch32(asm_jmp(a), l->head);
}

#endif
