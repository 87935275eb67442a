/* SPDX-License-Identifier: MIT */
/*
 * Near control flow: Jcc, JMP, CALL, RET, LOOP, JCXZ, and the pseudo instructions at the end
 * of a block.  Far transfers, INT and IRET dispatch to the helpers of helper-seg.c and
 * helper-exc.c.
 *
 * Two flavours of each near branch: the plain one for flat 32-bit and 64-bit code, and one
 * that checks the target against CS.limit and adds CS.base (suffix _w: 16-bit operand size
 * and all code segments that are not flat; it looks at i->osz).
 */
#include "target-i386/flow.h"

/* ---- leaving -------------------------------------------------------------------------------- */

/*
 * The link n of the block that `end` closes can't be followed as it is: it leads to another
 * page (then from->link[n] names the block, good if that page is still mapped where it was),
 * it leads nowhere yet, or somebody wants us in the loop.
 */
void x86_unchained(X86CPU *c, const Insn *end, uint64_t n, uint64_t target)
{
    Block *from = (Block *)(uintptr_t)end->imm;
    const Block *to = block_link(from, n);
    if (CAN_CHAIN && likely(to && !c->cpu.request)) {
        const TlbEntry *t = &c->tcg.code->e[TLB_FETCH][tlb_index(target)];
        if (likely(t->tag == (target & GUEST_PAGE_MASK)) && likely(to->mode == c->mode) &&
            likely((const uint8_t *)(uintptr_t)(target + t->addend) == to->host)) {
            c->r[17] = target;
            TAIL_ANY block_insns(to)->fn(c, block_insns(to));
        }
    }
    c->tcg.from = from;
    c->tcg.from_link = n;
    c->tcg.from_pc = target;
    c->tcg.from_same_page = !((c->r[17] ^ target) & GUEST_PAGE_MASK);
    c->rip = target;
}

/* The block ended for no reason of the guest's. */
void op_end(X86CPU *c, const Insn *i)
{
    uint64_t next = c->r[17] + i->off;
    if (unlikely(!(c->mode & (MODE_CODE64 | MODE_CSFLAT)))) {
        TAIL_ANY x86_jump_checked(c, i, next);
    }
    CHAIN(c, i, i, 0, next);
}

/* The loop has to look at something. */
void op_exit(X86CPU *c, const Insn *i)
{
    c->rip = c->r[17] + i->off;
    if (!(i->flags & IF_CODE64)) {
        c->rip = (uint32_t)c->rip;
    }
}

void x86_check_target(X86CPU *c, const Insn *i, uint64_t target)
{
    if (i->flags & IF_CODE64 ? !is_canonical(c, target) : target > c->seg[R_CS].limit) {
        x86_raise_err_at(c, i, EXC_GP, 0);
    }
}

void x86_jump_checked(X86CPU *c, const Insn *i, uint64_t target)
{
    const Segment *cs = &c->seg[R_CS];
    if (c->mode & MODE_CODE64) {
        JUMP_TO_(TAIL_ANY, c, target);
    }
    if (unlikely(target > cs->limit)) {
        x86_raise_err_at(c, i, EXC_GP, 0);
    }
    uint64_t pc = (uint32_t)(cs->base + target);
    const JumpEntry *e = &c->tcg.jump[jump_hash(pc)];
    const Block *b = e->block;
    if (CAN_CHAIN && e->pc == pc && b->mode == c->mode && target + b->size - 1 <= cs->limit) {
        const TlbEntry *t = &c->tcg.code->e[TLB_FETCH][tlb_index(pc)];
        if (t->tag == (pc & GUEST_PAGE_MASK) &&
            (const uint8_t *)(uintptr_t)(pc + t->addend) == b->host && !c->cpu.request) {
            c->r[17] = target;
            TAIL_ANY block_insns(b)->fn(c, block_insns(b));
        }
    }
    c->rip = target;
}

/* Target of a relative branch, cut to the operand size. */
static inline uint64_t rel_target(const X86CPU *c, const Insn *i)
{
    uint64_t t = c->r[17] + i->imm;
    return i->osz == 1 ? (uint16_t)t : i->osz == 2 ? (uint32_t)t : t;
}

/* ---- Jcc ------------------------------------------------------------------------------------- */

#define FLAT_NEXT(c, i) ((c)->r[17] + (i)->off + (i)->len)

#define JCC_SIZE(name, condition, type)                                                     \
    FAST_HANDLER(name)                                                                      \
    {                                                                                       \
        if (condition) {                                                                    \
            CHAIN_TAKEN(c, i, (type)(c->r[17] + i->imm));                                   \
        }                                                                                   \
        CHAIN_NEXT(c, i, FLAT_NEXT(c, i));                                                  \
    }
#define JCC(name, condition)                                                                \
    JCC_SIZE(name##_l, condition, uint32_t)                                                 \
    JCC_SIZE(name##_q, condition, uint64_t)
JCC(jo,   flag_of(c))
JCC(jno, !flag_of(c))
JCC(jb,   flag_cf(c))
JCC(jae, !flag_cf(c))
JCC(je,   flag_zf(c))
JCC(jne, !flag_zf(c))
JCC(jbe,  flag_cf(c) || flag_zf(c))
JCC(ja, !(flag_cf(c) || flag_zf(c)))
JCC(js,   flag_sf(c))
JCC(jns, !flag_sf(c))
JCC(jp,   flag_pf(c))
JCC(jnp, !flag_pf(c))
JCC(jl,   flag_sf(c) != flag_of(c))
JCC(jge,  flag_sf(c) == flag_of(c))
JCC(jle,  flag_zf(c) || flag_sf(c) != flag_of(c))
JCC(jg, !(flag_zf(c) || flag_sf(c) != flag_of(c)))

FAST_HANDLER(jcc_w)
{
    if (cond(c, i->reg)) {
        TAIL_ANY x86_jump_checked(c, i, rel_target(c, i));
    }
    TAIL_ANY x86_jump_checked(c, i, insn_next(c, i));
}

/* LOOPNE, LOOPE, LOOP, JCXZ (E0-E3): rare enough for one handler. */
static bool loop_taken(X86CPU *c, const Insn *i)
{
    uint64_t mask = x86_size_mask[i->asz], n = c->r[R_ECX] & mask;
    if (i->reg == 3) {
        return n == 0;
    }
    return n != 1 && (i->reg == 2 || flag_zf(c) == (i->reg == 1));
}
static void loop_count(X86CPU *c, const Insn *i)
{
    if (i->reg != 3) {
        reg_st(c, R_ECX, i->asz, c->r[R_ECX] - 1);
    }
}
FAST_HANDLER(loop_l)
{
    bool taken = loop_taken(c, i);
    loop_count(c, i);
    if (taken) {
        CHAIN_TAKEN(c, i, (uint32_t)(c->r[17] + i->imm));
    }
    CHAIN_NEXT(c, i, FLAT_NEXT(c, i));
}
FAST_HANDLER(loop_q)
{
    bool taken = loop_taken(c, i);
    loop_count(c, i);
    if (taken) {
        CHAIN_TAKEN(c, i, c->r[17] + i->imm);
    }
    CHAIN_NEXT(c, i, FLAT_NEXT(c, i));
}
FAST_HANDLER(loop_w)
{
    bool taken = loop_taken(c, i);
    uint64_t target = taken ? rel_target(c, i) : insn_next(c, i);
    x86_check_target(c, i, target);
    loop_count(c, i);
    TAIL_ANY x86_jump_checked(c, i, target);
}

/* ---- JMP, CALL, RET ----------------------------------------------------------------------------- */

FAST_HANDLER(jmp_l) { CHAIN_TAKEN(c, i, (uint32_t)(c->r[17] + i->imm)); }
FAST_HANDLER(jmp_q) { CHAIN_TAKEN(c, i, c->r[17] + i->imm); }
FAST_HANDLER(jmp_w) { TAIL_ANY x86_jump_checked(c, i, rel_target(c, i)); }

#define PUSH_FAST(bits, bytes, value, slow)                                                 \
    uint64_t sp = c->r[R_ESP] - bytes;                                                      \
    if (bits == 32) {                                                                       \
        sp = (uint32_t)sp;                                                                  \
    }                                                                                       \
    void *h = tlb_host(c->tcg.data, TLB_WRITE, sp, bytes);                                  \
    if (unlikely(!h)) {                                                                     \
        TAIL slow(c, i);                                                                    \
    }                                                                                       \
    st##bits##_le(h, value);                                                                \
    c->r[R_ESP] = sp;

/* A jump that is not within the page any more, or nothing fast about its stack. */
static void slow_call(X86CPU *c, const Insn *i)
{
    uint64_t target = rel_target(c, i);
    x86_check_target(c, i, target);
    push_value(c, i, i->osz, insn_next(c, i));
    TAIL_ANY x86_jump_checked(c, i, target);
}
FAST_HANDLER(call_q)
{
    PUSH_FAST(64, 8, FLAT_NEXT(c, i), slow_call)
    CHAIN_TAKEN(c, i, c->r[17] + i->imm);
}
FAST_HANDLER(call_l)
{
    if (unlikely((i->flags & (IF_SSFLAT | IF_SS32)) != (IF_SSFLAT | IF_SS32))) {
        TAIL slow_call(c, i);
    }
    PUSH_FAST(32, 4, FLAT_NEXT(c, i), slow_call)
    CHAIN_TAKEN(c, i, (uint32_t)(c->r[17] + i->imm));
}
void op_call_w(X86CPU *c, const Insn *i);
void op_call_w(X86CPU *c, const Insn *i)
{
    TAIL slow_call(c, i);
}

/* Indirect: FF /4, FF /2. */
static inline uint64_t ind_target(X86CPU *c, const Insn *i)
{
    return i->flags & IF_MEM ? ldx(c, i, insn_lin(c, i, 1u << i->osz, false), i->osz)
                             : c->r[i->rm] & x86_size_mask[i->osz];
}
FAST_HANDLER(jmp_ind_w)
{
    uint64_t target = ind_target(c, i);
    x86_check_target(c, i, target);
    TAIL_ANY x86_jump_checked(c, i, target);
}
/* In 64-bit mode processors store the return address before they look at the target: a bad
 * stack is found first, and a bad target finds the stack written but RSP unchanged. */
static void slow_call_to(X86CPU *c, const Insn *i, uint64_t target)
{
    if (i->flags & IF_CODE64) {
        uint64_t sp = c->r[R_ESP];
        push_value(c, i, i->osz, insn_next(c, i));
        if (!is_canonical(c, target)) {
            c->r[R_ESP] = sp;
            x86_raise_err_at(c, i, EXC_GP, 0);
        }
    } else {
        x86_check_target(c, i, target);
        push_value(c, i, i->osz, insn_next(c, i));
    }
    TAIL_ANY x86_jump_checked(c, i, target);
}
FAST_HANDLER(call_ind_w)
{
    TAIL_ANY slow_call_to(c, i, ind_target(c, i));
}
FAST_HANDLER(jmp_ind_q)
{
    uint64_t target = c->r[i->rm];
    if (i->flags & IF_MEM) {
        const void *h = fast_host(c, i, TLB_READ, 8);
        if (unlikely(!h)) {
            TAIL op_jmp_ind_w(c, i);
        }
        target = ld64_le(h);
    }
    if (unlikely(!is_canonical(c, target))) {
        TAIL op_jmp_ind_w(c, i);
    }
    JUMP_TO(c, target);
}
FAST_HANDLER(jmp_ind_l)
{
    uint64_t target = ind_target(c, i);
    JUMP_TO(c, target);
}
FAST_HANDLER(call_ind_q)
{
    uint64_t target = c->r[i->rm];
    if (i->flags & IF_MEM) {
        const void *h = fast_host(c, i, TLB_READ, 8);
        if (unlikely(!h)) {
            TAIL op_call_ind_w(c, i);
        }
        target = ld64_le(h);
    }
    if (unlikely(!is_canonical(c, target))) {
        TAIL op_call_ind_w(c, i);
    }
    PUSH_FAST(64, 8, FLAT_NEXT(c, i), op_call_ind_w)
    JUMP_TO(c, target);
}
FAST_HANDLER(call_ind_l)
{
    uint64_t target = ind_target(c, i);
    push_value(c, i, 2, FLAT_NEXT(c, i));
    JUMP_TO(c, target);
}

/* RET, RET imm16 */
FAST_HANDLER(ret_w)
{
    uint64_t target = pop_value(c, i, i->osz);
    x86_check_target(c, i, target);
    drop_stack(c, i, (1u << i->osz) + i->imm);
    TAIL_ANY x86_jump_checked(c, i, target);
}
FAST_HANDLER(ret_q)
{
    uint64_t sp = c->r[R_ESP];
    const void *h = tlb_host(c->tcg.data, TLB_READ, sp, 8);
    if (unlikely(!h)) {
        TAIL op_ret_w(c, i);
    }
    uint64_t target = ld64_le(h);
    if (unlikely(!is_canonical(c, target))) {
        TAIL op_ret_w(c, i);
    }
    c->r[R_ESP] = sp + 8 + i->imm;
    JUMP_TO(c, target);
}
FAST_HANDLER(ret_l)
{
    uint64_t target = pop_value(c, i, 2);
    drop_stack(c, i, 4 + i->imm);
    JUMP_TO(c, target);
}

/* ---- far ----------------------------------------------------------------------------------------- */

JUMP_HANDLER(jmp_far_imm)
{
    x86_far_jmp(c, i->imm >> 32, (uint32_t)i->imm, 1u << i->osz, insn_next(c, i));
}
JUMP_HANDLER(call_far_imm)
{
    x86_far_call(c, i->imm >> 32, (uint32_t)i->imm, 1u << i->osz, insn_next(c, i));
}
static inline uint64_t far_pointer(X86CPU *c, const Insn *i, uint16_t *sel)
{
    unsigned n = 1u << i->osz;
    uint64_t la = insn_lin(c, i, n + 2, false);
    uint64_t off = ldx(c, i, la, i->osz);
    *sel = ld16(c, i, la + n);
    return off;
}
JUMP_HANDLER(jmp_far_mem)
{
    uint16_t sel;
    uint64_t off = far_pointer(c, i, &sel);
    x86_far_jmp(c, sel, off, 1u << i->osz, insn_next(c, i));
}
JUMP_HANDLER(call_far_mem)
{
    uint16_t sel;
    uint64_t off = far_pointer(c, i, &sel);
    x86_far_call(c, sel, off, 1u << i->osz, insn_next(c, i));
}
JUMP_HANDLER(ret_far) { x86_far_ret(c, 1u << i->osz, i->imm); }
JUMP_HANDLER(iret)    { x86_iret(c, 1u << i->osz, insn_next(c, i)); }
JUMP_HANDLER(int_n)   { x86_int_n(c, i->imm, insn_next(c, i)); }
JUMP_HANDLER(int3)    { x86_int3(c, insn_next(c, i)); }
JUMP_HANDLER(int1)    { x86_int1(c, insn_next(c, i)); }
JUMP_HANDLER(into)
{
    x86_into(c, insn_next(c, i));
    c->rip = insn_next(c, i);
}
JUMP_HANDLER(syscall)  { x86_syscall(c, insn_next(c, i)); }
JUMP_HANDLER(sysret)   { x86_sysret(c, 1u << i->osz); }
JUMP_HANDLER(sysenter) { x86_sysenter(c, insn_next(c, i)); }
JUMP_HANDLER(sysexit)  { x86_sysexit(c, 1u << i->osz); }
JUMP_HANDLER(hlt)      { x86_hlt(c, insn_next(c, i)); }
JUMP_HANDLER(mwait)    { x86_mwait(c, insn_next(c, i)); }
JUMP_HANDLER(pause)    { x86_pause(c, insn_next(c, i)); }
JUMP_HANDLER(rsm)      { x86_rsm(c); }
