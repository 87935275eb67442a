/* SPDX-License-Identifier: MIT */
/*
 * Native stack operations, branches, and the ends of blocks.
 *
 * An exit to the same page is a jump that jit_link patches: to the next block, or to a thunk
 * that goes to the loop.  When the flags are in EFLAGS alone there, the thunk saves them; so
 * does an entry of the next block, if that cares about flags.
 *
 * An exit to another page looks its target up, as computed jumps do.
 *
 * Calls by fast code are paired with returns, so that the host's own prediction of returns serves
 * the guest's.  A CALL pushes, beside what the guest sees, a frame on the host's stack: the
 * address it is to return to, and (by calling) where code goes on then, an exit to the block at
 * that address.  A RET that has popped the address of the top frame returns there by the host's
 * RET; any other is looked up, and leaves the frames as they are.  So coroutines, longjmp and the
 * like cost frames that are never used; they go away with
 *
 *   - each entry from the loop, which begins a new stack (so blocks are not given back while a
 *     frame leads into them, and what is wanted of the vCPU there needs no care here);
 *   - a change of mode or mappings since (TcgCPU.moved): the address may mean something else now;
 *   - the JIT_FRAMES-th frame.
 *
 * A call to the few bytes behind it is no call but a way to learn an address, or a jump that
 * is not to be predicted.  Compact code makes no frames (its calls would be twice as long), but its
 * RETs go by those of others.  A RET looks for requests, as a look-up does: calls and returns alone
 * may go on for ever without a way back in the page.
 *
 * Interrupts and other requests are looked for at such look-ups, and at the start of blocks,
 * except when one comes from further up in the same page.
 */
#include "target-i386/jit.h"

#if HAVE_JIT

#include <string.h>
#include "accel/tcg/code.h"
#include "target-i386/interp.h"
#include "target-i386/jit-int.h"

/* ---- starts and ends ---------------------------------------------------------------------- */

static void cold_entry(Jit *j, JitCold *k)
{
    jit_call_thunk(j, jit_thunks.poll_leave);
}

/* The rest of the instruction is in another page: is that one still mapped there? */
static void second_page(Jit *j)
{
    Asm *a = &j->a;
    int32_t fetch = TLB_FETCH * sizeof(TlbEntry) * TLB_SIZE;

    asm_ld(a, 8, J_T0, jit_field(OFF(r[17])));
    asm_lea(a, j->code64 ? 8 : 4, J_T0, rm_m(J_T0, GUEST_PAGE_SIZE));
    asm_mov_r(a, 8, J_T1, J_T0);
    asm_op(a, 8, 0xc1, 5, rm_r(J_T1));
    asm_8(a, GUEST_PAGE_BITS - 4);
    asm_alui(a, 4, ALU_AND, rm_r(J_T1), tlb_index_mask << 4);
    asm_alu(a, 8, ALU_ADD, J_T1, jit_field(OFF(tcg.code)));
    asm_alu(a, 8, ALU_CMP, J_T0, rm_m(J_T1, fetch));
    jit_cold(j, COLD_CODE, asm_jcc(a, CC_NE))->fn = cold_entry;
    asm_ld(a, 8, J_T1, rm_m(J_T1, fetch + 8));
    asm_alu(a, 8, ALU_ADD, J_T1, rm_r(J_T0));
    asm_movi(a, J_T2, (uintptr_t)j->host2);
    asm_alu(a, 8, ALU_CMP, J_T1, rm_r(J_T2));
    jit_cold(j, COLD_CODE, asm_jcc(a, CC_NE))->fn = cold_entry;
}

void jit_entry(Jit *j)
{
    if (j->live[0] && !j->one) {
        jit_call_thunk(j, jit_thunks.save_flags);
    }
    j->poll = j->a.p - j->buf;
    if (j->compact && !j->one) {
        jit_call_thunk(j, jit_thunks.poll);
    } else if (!j->one) {
        asm_alui(&j->a, 4, ALU_CMP, jit_field(OFF(cpu.request)), 0);
        jit_cold(j, COLD_CODE, asm_jcc(&j->a, CC_NE))->fn = cold_entry;
    }
    j->no_poll = j->a.p - j->buf;
    if (j->host2 && !j->one && (j->mode & (MODE_CODE64 | MODE_CSFLAT))) {
        second_page(j);
    }
    j->inside = j->a.p - j->buf;
    if (j->loop.on) {
        jit_loop_head(j);
    }
}

static bool in_page(int32_t target)
{
    return target >= 0 && target < (int32_t)GUEST_PAGE_SIZE;
}

void jit_align(Jit *j, unsigned before, unsigned size)
{
    while (((j->a.p - j->buf + before) & 7) > 8 - size) {
        asm_8(&j->a, 0x90);
    }
}

/* To another page. */
static void cross(Jit *j, bool saves, int32_t target)
{
    asm_movi(&j->a, J_T0, (uint32_t)target);
    jit_jmp_thunk(j, jit_thunks.cross[(j->code64 ? 0 : 2) + saves]);
}

static void cold_no_room(Jit *j, JitCold *k)
{
    asm_ld(&j->a, 8, H_RSP, jit_field(OFF(jit_rsp)));
    asm_patch32(asm_jmp(&j->a), k->back);
}

/* Is the call to be paired with its return?  (target: from the page's start; -1: not known) */
static bool pairs(const Jit *j, const Insn *i, int32_t target)
{
    enum { NEAR = 16 };
    int32_t next = jit_next(i);
    return !j->compact && in_page(next) && !(target >= next && target < next + NEAR);
}

/* T0 = where the call returns to.  A host CALL and comes_back must follow. */
static void push_frame(Jit *j)
{
    Asm *a = &j->a;
    jit_vec_flush(j);
    asm_alu(a, 8, ALU_CMP, H_RSP, jit_field(OFF(jit_rsp_low)));
    JitCold *k = jit_cold(j, COLD_CODE, asm_jcc(a, CC_BE));
    k->fn = cold_no_room;
    k->back = a->p;
    asm_8(a, 0x41);                             /* PUSH T0 */
    asm_8(a, 0x50 | (J_T0 & 7));
}

static void cold_cross(Jit *j, JitCold *k)
{
    cross(j, k->fl == FL_HOST, k->disp);
}

static JitExit *new_exit(Jit *j, unsigned n, int32_t target)
{
    JitExit *e = &j->exit[n];
    *e = (JitExit) { .used = true, .target = target, .saves = j->fl == FL_HOST };
    return e;
}

/* The call of a thunk that jit_link makes a jump. */
static void exit_here(Jit *j, JitExit *e)
{
    jit_align(j, 0, 5);
    jit_call_thunk(j, jit_thunks.exit[e->saves]);
    e->p = j->a.p - 4 - j->buf;
}

/* Where the return of a call with a frame comes to; the rest of the frame is dropped. */
static void comes_back(Jit *j, const Insn *i)
{
    asm_lea(&j->a, 8, H_RSP, rm_m(H_RSP, 8));
    j->fl = FL_MEM;
    JitExit *e = new_exit(j, 0, jit_next(i));
    e->back = true;
    exit_here(j, e);
}

void jit_exit(Jit *j, unsigned n, int32_t target)
{
    jit_vec_flush(j);
    j->ended = true;
    if (in_page(target)) {
        exit_here(j, new_exit(j, n, target));
    } else {
        cross(j, j->fl == FL_HOST, target);
    }
}

static void cold_exit(Jit *j, JitCold *k)
{
    JitExit *e = &j->exit[k->disp];
    e->stub = j->a.p - j->buf;
    jit_call_thunk(j, jit_thunks.exit[e->saves]);
}

static void exit_if(Jit *j, unsigned cc, unsigned n, int32_t target)
{
    if (j->compact) {
        uint8_t *over = asm_jcc8(&j->a, cc ^ 1);
        if (in_page(target)) {
            exit_here(j, new_exit(j, n, target));
        } else {
            cross(j, j->fl == FL_HOST, target);
        }
        asm_patch8(over, j->a.p);
        return;
    }
    bool here = in_page(target);
    if (here) {
        jit_align(j, 2, 4);
    }
    JitCold *k = jit_cold(j, COLD_CODE, asm_jcc(&j->a, cc));
    k->fn = here ? cold_exit : cold_cross;
    k->disp = here ? (int32_t)n : target;
    if (here) {
        new_exit(j, n, target)->p = k->from - j->buf;
    }
}

static void cold_loop_exit(Jit *j, JitCold *k)
{
    JitExit *e = &j->exit[1];
    e->stub = j->a.p - j->buf;
    jit_vec_store(j, &k->vec);
    jit_call_thunk(j, jit_thunks.exit[e->saves]);
}

/* To the block's start; jit_link leads it to JitBlock.again. */
static void loop_branch(Jit *j, unsigned cc)
{
    jit_align(j, 2, 4);
    JitCold *k = jit_cold(j, COLD_CODE, asm_jcc(&j->a, cc));
    k->fn = cold_loop_exit;
    k->disp = 1;
    new_exit(j, 1, j->start)->p = k->from - j->buf;
}

void jit_leave(Jit *j, unsigned off)
{
    jit_flags_clobber(j, FLB_ARITH);
    jit_vec_flush(j);
    asm_movi(&j->a, J_T1, off);
    jit_jmp_thunk(j, jit_thunks.leave_at);
    j->ended = true;
}

/* ---- links -------------------------------------------------------------------------------------- */

/* Write the five bytes of a call or jump, or the displacement of one alone. */
static void patch(const Block *b, const JitExit *e, uint8_t opcode, const uint8_t *target)
{
    const uint8_t *at = block_code(b) + e->p;
    uint8_t *rw = code_rw(at);
    int32_t disp = target - (at + 4);
    unsigned shift = ((uintptr_t)rw & 7) * 8;
    uint64_t *word = (uint64_t *)(rw - shift / 8), v = *word;

    v = (v & ~(0xffffffffull << shift)) | (uint64_t)(uint32_t)disp << shift;
    if (!e->stub) {
        v = (v & ~(0xffull << (shift - 8))) | (uint64_t)opcode << (shift - 8);
    }
    __atomic_store_n(word, v, __ATOMIC_RELEASE);
}

void jit_link(Block *from, unsigned n, Block *to)
{
    const JitExit *e = &jit_block(from)->exit[n];

    if (!e->used) {
        return;
    }
    if (!to) {
        patch(from, e, 0xe8, e->stub ? block_code(from) + e->stub : jit_thunks.exit[e->saves]);
        return;
    }
    const JitBlock *jb = jit_block(to);
    if (n == 1 && jit_block(from)->again) {
        if (to == from) {
            patch(from, e, 0xe9, block_code(from) + jb->again);
        }
        return;
    }
    /* (a compact block is to be counted) */
    bool forward = to->host >= from->host + from->size && !(e->back && jb->compact);
    patch(from, e, e->call ? 0xe8 : 0xe9, block_code(to) + (e->saves && jb->needs_flags ? 0 : forward ? jb->no_poll : jb->poll));
}

void jit_exit_taken(X86CPU *c, const uint8_t *ret)
{
    Block *b = block_of_code(ret - 1);
    const JitExit *e = jit_block(b)->exit;
    unsigned at = ret - block_code(b);
    unsigned n = e[1].used && (jit_block(b)->again ? at != e[0].p + 4u
                                                   : at == (e[1].stub ? e[1].stub + 5u : e[1].p + 4u));

    c->tcg.from = b;
    c->tcg.from_link = n;
    c->rip = c->r[17] + e[n].target;
}

/* ---- computed targets ------------------------------------------------------------------------------ */

/* T0 = target.  moved: what was added to the stack pointer, without RET's constant. */
static void computed(Jit *j, const uint8_t *thunk, bool call, int32_t moved)
{
    jit_vec_flush(j);
    if (j->compact) {
        bool ret = thunk == jit_thunks.returns;
        jit_call_side(j, ret ? jit_thunks.ret_value : jit_thunks.computed, moved);
        if (ret) {
            asm_8(&j->a, 0xc3);
        }
    } else {
        asm_8(&j->a, 0x4c);                     /* LEA T2, [rip + 5] */
        asm_8(&j->a, 0x8d);
        asm_8(&j->a, 0x3d);
        asm_32(&j->a, 5);
        (call ? jit_call_thunk : jit_jmp_thunk)(j, thunk);
        jit_note_side(j, moved);
    }
    j->ended = true;
}
static void indirect(Jit *j, int32_t moved)
{
    computed(j, jit_thunks.indirect, false, moved);
}

/* ---- the stack ---------------------------------------------------------------------------------------- */

static bool stack_ok(const Insn *i)
{
    return (i->flags & IF_SS64) || (i->flags & (IF_SS32 | IF_SSFLAT)) == (IF_SS32 | IF_SSFLAT);
}
static unsigned stack_at(Jit *j, const Insn *i, int32_t *disp)
{
    if (i->flags & IF_SS64) {
        return J_SP;
    }
    asm_lea(&j->a, 4, J_T2, rm_m(J_SP, *disp));
    *disp = 0;
    return J_T2;
}
static void stack_move(Jit *j, const Insn *i, int32_t by)
{
    asm_lea(&j->a, i->flags & IF_SS64 ? 8 : 4, J_SP, rm_m(J_SP, by));
}
static Rm push_probe(Jit *j, const Insn *i, unsigned size)
{
    int32_t disp = -(int32_t)size;
    unsigned base = stack_at(j, i, &disp);
    return jit_probe_insn(j, base, disp, size, TLB_WRITE);
}
static Rm pop_probe(Jit *j, const Insn *i, unsigned size)
{
    int32_t disp = 0;
    unsigned base = stack_at(j, i, &disp);
    return jit_probe_ld(j, base, disp, size);
}
static void last_is_jump(Jit *j)
{
    j->cold[j->ncold - 1].kind = COLD_JUMP;
}

/* Is the near branch one of flat 32- or 64-bit code? */
static bool near_ok(const Jit *j, const Insn *i)
{
    return !j->one && (j->code64 || ((j->mode & MODE_CSFLAT) && i->osz == 2));
}

/* ---- several of them ---- */

#define MAX_RUN 12

static bool simple(Jit *j, const Insn *i, bool pop)
{
    const InsnOpnd *o;
    if (i->row == NO_ROW || !(jit_row[i->row] & (pop ? JR_POP : JR_PUSH))) {
        return false;
    }
    o = &insn_desc[i->row].opnd[0];
    return (o->kind == OPND_Z && i->reg != R_ESP) || (!pop && o->kind == OPND_I);
}

/* A RET which is one of those that may stand behind pops? */
static bool is_ret(const Jit *j, const Insn *i)
{
    return !j->compact && i->row != NO_ROW && !strcmp(insn_rows[i->row].name, "ret") && near_ok(j, i) && stack_ok(i) &&
           i->osz == (j->code64 ? 3 : 2) && !j->poll_after;
}

/* How many instructions from the current one on push (or pop) registers of the same size? */
static unsigned run_length(Jit *j, bool pop)
{
    const Insn *i = &j->insn[j->n];
    unsigned n = 0;
    if (j->compact) {
        return 1;
    }
    while (n < MAX_RUN && j->n + n < j->count && simple(j, &i[n], pop) && i[n].osz == i->osz) {
        n++;
    }
    return j->poll_after && j->poll_after >= j->n ? MIN(n, 1) : n;
}

/* One by one, by their handlers. */
static void cold_run(Jit *j, JitCold *k)
{
    jit_cold_begin(j, k);
    for (unsigned n = 0; n < k->value; n++) {
        jit_call_operand(j, k->n + n);
        jit_call_thunk(j, jit_thunks.call);
    }
    if (k->imm) {                               /* a RET is behind them */
        jit_call_operand(j, k->n + k->value);
        jit_jmp_thunk(j, jit_thunks.jump);
        return;
    }
    jit_memo_forget(j);
    jit_cold_end(j, k);
    asm_patch32(asm_jmp(&j->a), k->back);
}

/* One check for all of them: their places must lie in one page. */
static void stack_run(Jit *j, const Insn *i, unsigned n, bool pop)
{
    Asm *a = &j->a;
    bool ret = pop && j->n + n < j->count && is_ret(j, &i[n]);
    int32_t size = 1 << i->osz, all = n * size, disp = pop ? 0 : -all;
    unsigned base = stack_at(j, i, &disp);
    Rm m = jit_probe_insn(j, base, disp, all + (ret ? size : 0), pop ? TLB_READ : TLB_WRITE);
    JitCold *k = &j->cold[j->ncold - 1];

    k->kind = COLD_CODE;
    k->fn = cold_run;
    k->value = n;
    for (unsigned e = 0; e < n; e++) {
        Rm at = m, reg = jit_gpr(i[e].reg);
        at.disp += pop ? (int)e * size : all - (int)(e + 1) * size;
        if (insn_desc[i[e].row].opnd[0].kind == OPND_I) {
            asm_op(a, size, 0xc7, 0, at);
            if (size == 2) {
                asm_16(a, i[e].imm);
            } else {
                asm_32(a, i[e].imm);
            }
        } else if (pop) {
            asm_ld(a, size, reg.mem ? J_T0 : reg.reg, at);
            if (reg.mem) {
                asm_st(a, size, reg, J_T0);
            }
        } else {
            if (reg.mem) {
                asm_ld(a, 8, J_T0, reg);
            }
            asm_st(a, size, at, reg.mem ? J_T0 : reg.reg);
        }
    }
    if (ret) {
        m.disp += all;
        asm_ld(a, size, J_T0, m);
        stack_move(j, i, all + size + i[n].imm);
        k->imm = true;
        j->n += n;
        computed(j, jit_thunks.returns, false, size);
        return;
    }
    stack_move(j, i, pop ? all : -all);
    k->back = a->p;
    j->done_ahead = n - 1;
}

/* By thunks, 8 bytes: of a register, of a constant, of T0. */
static bool compact_push(Jit *j, const Insn *i, const InsnOpnd *o)
{
    if (!(i->flags & IF_SS64) || i->osz != 3 || !jit_compact_ok(j, i, 8, PROBE_WRITE)) {
        return false;
    }
    jit_flags_clobber(j, j->live_in);
    if (o->kind == OPND_I) {
        asm_movi(&j->a, J_T0, (int64_t)i->imm);
    } else if (o->kind == OPND_Z || (o->kind == OPND_E && !(i->flags & IF_MEM))) {
        jit_call_side(j, jit_thunks.push[o->kind == OPND_Z ? i->reg : i->rm], 0);
        return true;
    } else if (o->kind == OPND_E && jit_ea_ok(j, i)) {
        asm_ld(&j->a, 8, J_T0, jit_mem_ld(j, i, 8));
    } else {
        return false;
    }
    jit_call_side(j, jit_thunks.push_value, 0);
    return true;
}

static bool op_push(Jit *j, const Insn *i, unsigned arg)
{
    unsigned size = 1u << i->osz;
    const InsnOpnd *o = &j->desc->opnd[0];
    if (!stack_ok(i)) {
        return false;
    }
    if (compact_push(j, i, o)) {
        return true;
    }
    unsigned run = run_length(j, false);
    if (run > 1) {
        stack_run(j, i, run, false);
        return true;
    }
    if (o->kind == OPND_I) {
        Rm m = push_probe(j, i, size);
        asm_op(&j->a, size, 0xc7, 0, m);
        if (size == 2) {
            asm_16(&j->a, i->imm);
        } else {
            asm_32(&j->a, i->imm);
        }
    } else if (o->kind == OPND_Z || (o->kind == OPND_E && !(i->flags & IF_MEM))) {
        Rm src = jit_gpr(o->kind == OPND_Z ? i->reg : i->rm);
        Rm m = push_probe(j, i, size);
        if (src.mem) {
            asm_ld(&j->a, 8, J_T0, src);
            src = rm_r(J_T0);
        }
        asm_st(&j->a, size, m, src.reg);
    } else if (o->kind == OPND_E && jit_ea_ok(j, i)) {
        Rm m = jit_mem_ld(j, i, size);
        asm_ldz(&j->a, size, J_T0, m);
        asm_st(&j->a, 8, jit_field(OFF(jit_tmp[0])), J_T0);
        m = push_probe(j, i, size);
        asm_ld(&j->a, 8, J_T0, jit_field(OFF(jit_tmp[0])));
        asm_st(&j->a, size, m, J_T0);
    } else {
        return false;
    }
    stack_move(j, i, -(int32_t)size);
    return true;
}

static bool op_pop(Jit *j, const Insn *i, unsigned arg)
{
    unsigned size = 1u << i->osz;
    if (!stack_ok(i) || j->desc->opnd[0].kind != OPND_Z || (i->reg == R_ESP && size == 2)) {
        return false;
    }
    if ((i->flags & IF_SS64) && size == 8 && jit_compact_ok(j, i, 8, PROBE_LOAD)) {
        Rm dst = jit_gpr(i->reg);
        jit_flags_clobber(j, j->live_in);
        jit_call_side(j, jit_thunks.pop, 0);
        asm_st(&j->a, 8, dst, J_T0);
        return true;
    }
    unsigned run = run_length(j, true);
    if (run > 1 || (run && j->n + run < j->count && is_ret(j, &i[run]))) {
        stack_run(j, i, run, true);
        return true;
    }
    Rm m = pop_probe(j, i, size), dst = jit_gpr(i->reg);
    if (i->reg == R_ESP) {
        asm_ld(&j->a, size, J_SP, m);
        return true;
    }
    if (dst.mem) {
        asm_ld(&j->a, size, J_T0, m);
        asm_st(&j->a, size, dst, J_T0);
    } else {
        asm_ld(&j->a, size, dst.reg, m);
    }
    stack_move(j, i, size);
    return true;
}

static bool op_leave(Jit *j, const Insn *i, unsigned arg)
{
    unsigned size = 1u << i->osz, base = H_RBP;
    if (!stack_ok(i) || i->osz != (j->code64 ? 3 : 2)) {
        return false;
    }
    if (!(i->flags & IF_SS64)) {
        asm_mov_r(&j->a, 4, J_T2, H_RBP);
        base = J_T2;
    }
    Rm m = jit_probe_ld(j, base, 0, size);
    asm_ld(&j->a, size, J_T0, m);
    asm_lea(&j->a, size, J_SP, rm_m(H_RBP, size));
    asm_mov_r(&j->a, size, H_RBP, J_T0);
    return true;
}

/* The arithmetic flags from the image, the others as they are. */
static bool op_pushf(Jit *j, const Insn *i, unsigned arg)
{
    unsigned size = 1u << i->osz;
    Asm *a = &j->a;
    if (!stack_ok(i) || (j->mode & MODE_V86)) {
        return false;
    }
    jit_flags_clobber(j, FLB_ARITH);
    asm_ldz(a, 2, J_T0, jit_field(OFF(fl_image)));
    asm_mov_r(a, 4, J_T1, J_T0);
    asm_op(a, 4, 0xc1, 5, rm_r(J_T1));
    asm_8(a, 8);
    asm_alui(a, 4, ALU_AND, rm_r(J_T1), FL_SF | FL_ZF | FL_AF | FL_PF | FL_CF);
    asm_alui(a, 4, ALU_AND, rm_r(J_T0), 1);
    asm_op(a, 4, 0xc1, 4, rm_r(J_T0));
    asm_8(a, 11);
    asm_alu(a, 4, ALU_OR, J_T0, rm_r(J_T1));
    asm_ld(a, 8, J_T1, jit_field(OFF(rflags)));
    asm_alui(a, 8, ALU_AND, rm_r(J_T1), ~(int32_t)(FL_ARITH | FL_VM | FL_RF));
    asm_alu(a, 8, ALU_OR, J_T0, rm_r(J_T1));
    asm_st(a, 8, jit_field(OFF(jit_tmp[0])), J_T0);
    Rm m = push_probe(j, i, size);
    asm_ld(a, 8, J_T0, jit_field(OFF(jit_tmp[0])));
    asm_st(a, size, m, J_T0);
    stack_move(j, i, -(int32_t)size);
    return true;
}

/* The decoder has looked at the privilege. */
static bool op_swapgs(Jit *j, const Insn *i, unsigned arg)
{
    Rm base = jit_field(OFF(seg[R_GS].base)), other = jit_field(OFF(kernel_gs_base));
    asm_ld(&j->a, 8, J_T0, base);
    asm_ld(&j->a, 8, J_T1, other);
    asm_st(&j->a, 8, base, J_T1);
    asm_st(&j->a, 8, other, J_T0);
    return true;
}

/* ---- branches -------------------------------------------------------------------------------------------- */

static bool op_jcc(Jit *j, const Insn *i, unsigned arg)
{
    if (!near_ok(j, i)) {
        return false;
    }
    if ((int64_t)i->imm == (int64_t)j->start && jit_loop_end(j)) {
        loop_branch(j, jit_cond(j, i->reg));
    } else {
        jit_vec_flush(j);
        unsigned cc = jit_cond(j, i->reg);
        exit_if(j, cc, 1, i->imm);
    }
    jit_exit(j, 0, jit_next(i));
    return true;
}

static bool op_loop(Jit *j, const Insn *i, unsigned arg)
{
    if (!near_ok(j, i) || i->asz < 2) {
        return false;
    }
    unsigned size = 1u << i->asz;
    jit_vec_flush(j);
    jit_flags_clobber(j, FLB_ARITH);
    if (i->reg == 3) {
        asm_op(&j->a, size, 0x85, H_RCX, rm_r(H_RCX));
        exit_if(j, CC_E, 1, i->imm);
    } else {
        asm_alui(&j->a, size, ALU_SUB, rm_r(H_RCX), 1);
        exit_if(j, CC_NE, 1, i->imm);
    }
    jit_exit(j, 0, jit_next(i));
    return true;
}

/* T0 := the address behind the instruction */
static void next_pc(Jit *j, const Insn *i)
{
    asm_ld(&j->a, 8, J_T0, jit_field(OFF(r[17])));
    asm_lea(&j->a, j->code64 ? 8 : 4, J_T0, rm_m(J_T0, jit_next(i)));
}

static void push_next(Jit *j, const Insn *i)
{
    unsigned size = j->code64 ? 8 : 4;
    if (size == 8 && jit_compact_ok(j, i, 8, PROBE_WRITE)) {
        jit_flags_clobber(j, j->live_in);
        asm_movi(&j->a, J_T0, jit_next(i));
        jit_call_side(j, jit_thunks.push_next, 0);
        return;
    }
    bool compact = j->compact;
    j->compact = false;                         /* the handler jumps */
    Rm m = push_probe(j, i, size);
    j->compact = compact;
    last_is_jump(j);
    next_pc(j, i);
    asm_st(&j->a, size, m, J_T0);
    stack_move(j, i, -(int32_t)size);
}

/* T0 := where an indirect jump or call goes */
static void load_target(Jit *j, const Insn *i)
{
    unsigned size = j->code64 ? 8 : 4;
    if (i->flags & IF_MEM) {
        asm_ld(&j->a, size, J_T0, jit_mem_ld(j, i, size));
    } else {
        jit_flags_clobber(j, FLB_ARITH);
        asm_ld(&j->a, size, J_T0, jit_gpr(i->rm));
    }
}

static bool op_jmp(Jit *j, const Insn *i, unsigned arg)
{
    unsigned kind = j->desc->opnd[0].kind;
    if (!near_ok(j, i) || (kind != OPND_J && kind != OPND_E) ||
        ((i->flags & IF_MEM) && !jit_ea_ok(j, i))) {
        return false;
    }
    if (kind == OPND_J) {
        jit_exit(j, 1, i->imm);
        return true;
    }
    load_target(j, i);
    indirect(j, 0);
    return true;
}

static void direct_call(Jit *j, const Insn *i)
{
    push_frame(j);
    if (in_page(i->imm)) {
        JitExit *e = new_exit(j, 1, i->imm);
        e->call = true;
        exit_here(j, e);
    } else {
        asm_movi(&j->a, J_T0, (uint32_t)i->imm);
        jit_call_thunk(j, jit_thunks.cross[(j->code64 ? 0 : 2) + (j->fl == FL_HOST)]);
    }
    j->ended = true;
    comes_back(j, i);
}

static bool op_call(Jit *j, const Insn *i, unsigned arg)
{
    unsigned kind = j->desc->opnd[0].kind;
    if (!near_ok(j, i) || !stack_ok(i) || (kind != OPND_J && kind != OPND_E) ||
        ((i->flags & IF_MEM) && !jit_ea_ok(j, i))) {
        return false;
    }
    if (kind == OPND_J) {
        push_next(j, i);
        if (pairs(j, i, i->imm)) {
            direct_call(j, i);
        } else {
            jit_exit(j, 1, i->imm);
        }
        return true;
    }
    load_target(j, i);
    asm_st(&j->a, 8, jit_field(OFF(jit_tmp[1])), J_T0);
    push_next(j, i);
    bool pair = pairs(j, i, -1);
    if (pair) {
        push_frame(j);
    }
    asm_ld(&j->a, 8, J_T0, jit_field(OFF(jit_tmp[1])));
    computed(j, jit_thunks.indirect, pair, j->code64 ? -8 : -4);
    if (pair) {
        comes_back(j, i);
    }
    return true;
}

static bool op_ret(Jit *j, const Insn *i, unsigned arg)
{
    unsigned size = j->code64 ? 8 : 4;
    if (!near_ok(j, i) || !stack_ok(i)) {
        return false;
    }
    if (size == 8 && !i->imm && jit_compact_ok(j, i, 8, PROBE_LOAD)) {
        jit_flags_clobber(j, FLB_ARITH);
        jit_vec_flush(j);
        jit_call_side(j, jit_thunks.ret, 8);
        asm_8(&j->a, 0xc3);
        j->ended = true;
        return true;
    }
    Rm m = pop_probe(j, i, size);
    asm_ld(&j->a, size, J_T0, m);
    stack_move(j, i, size + i->imm);
    computed(j, jit_thunks.returns, false, size);
    return true;
}

/* ---- the interrupt flag ------------------------------------------------------------------------------- */

/* At CPL 0 both are always allowed. */
static bool plain_if(const Jit *j)
{
    return !j->one && (j->mode & MODE_PE) && !(j->mode & (MODE_V86 | MODE_CPL));
}

static bool op_cli(Jit *j, const Insn *i, unsigned arg)
{
    if (!plain_if(j)) {
        return false;
    }
    jit_flags_clobber(j, j->live_in);
    asm_alui(&j->a, 4, ALU_AND, jit_field(OFF(rflags)), ~FL_IF);
    return true;
}

static void cold_sti(Jit *j, JitCold *k)
{
    asm_op(&j->a, 1, 0xc6, 0, jit_field(OFF(irq_waiting)));
    asm_8(&j->a, 0);
    asm_8(&j->a, 0xf0);
    asm_alui(&j->a, 4, ALU_OR, jit_field(OFF(cpu.request)), CPU_REQ_IRQ);
    asm_patch32(asm_jmp(&j->a), k->back);
}

/*
 * The instruction behind it runs before any interrupt: it must be in this block, and requests
 * are looked for behind that one.  (jit_sti_poll)
 */
static bool op_sti(Jit *j, const Insn *i, unsigned arg)
{
    if (!plain_if(j) || j->n + 1 >= j->count) {
        return false;
    }
    jit_flags_clobber(j, j->live_in);
    asm_alui(&j->a, 4, ALU_OR, jit_field(OFF(rflags)), FL_IF);
    asm_alui(&j->a, 1, ALU_CMP, jit_field(OFF(irq_waiting)), 0);
    JitCold *k = jit_cold(j, COLD_CODE, asm_jcc(&j->a, CC_NE));
    k->fn = cold_sti;
    k->back = j->a.p;
    j->poll_after = j->n + 1;
    return true;
}

static void cold_poll(Jit *j, JitCold *k)
{
    jit_cold_begin(j, k);
    asm_movi(&j->a, J_T1, jit_next(&j->insn[k->n]));
    jit_jmp_thunk(j, jit_thunks.leave_at);
}

void jit_poll(Jit *j)
{
    jit_flags_clobber(j, j->live_out);
    asm_alui(&j->a, 4, ALU_CMP, jit_field(OFF(cpu.request)), 0);
    jit_cold(j, COLD_CODE, asm_jcc(&j->a, CC_NE))->fn = cold_poll;
}

const JitOp jit_flow_ops[] = {
    { "pushf", op_pushf }, { "swapgs", op_swapgs },
    { "cli", op_cli }, { "sti", op_sti },
    { "push", op_push }, { "pop", op_pop }, { "leave", op_leave },
    { "jo", op_jcc }, { "jno", op_jcc }, { "jb", op_jcc }, { "jae", op_jcc },
    { "je", op_jcc }, { "jne", op_jcc }, { "jbe", op_jcc }, { "ja", op_jcc },
    { "js", op_jcc }, { "jns", op_jcc }, { "jp", op_jcc }, { "jnp", op_jcc },
    { "jl", op_jcc }, { "jge", op_jcc }, { "jle", op_jcc }, { "jg", op_jcc },
    { "loop", op_loop }, { "jcxz", op_loop }, { "jmp", op_jmp }, { "call", op_call },
    { "ret", op_ret }, { NULL }
};

#endif
