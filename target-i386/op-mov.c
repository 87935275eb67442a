/* SPDX-License-Identifier: MIT */
/*
 * Moves: MOV, MOVZX, MOVSX, MOVSXD, LEA, XCHG, PUSH, POP, PUSHA, POPA, ENTER, LEAVE, CMOVcc,
 * SETcc, CBW..CQO, XLAT, LAHF, SAHF, BSWAP, MOVBE, segment registers.
 */
#include "target-i386/interp.h"

#define U(n) uint##n##_t
#define S(n) int##n##_t

/* A handler that does BODY with v = the n-bit memory operand, fast and slow. */
#define LOAD_HANDLER(name, n, body)                                                         \
    static __attribute__((noinline)) void slow_##name(X86CPU *c, const Insn *i)             \
    {                                                                                       \
        U(n) v = m_ld##n(c, i);                                                             \
        body;                                                                               \
        NEXT;                                                                               \
    }                                                                                       \
    FAST_HANDLER(name)                                                                      \
    {                                                                                       \
        const void *h = fast_host(c, i, TLB_READ, n / 8);                                   \
        if (unlikely(!h)) {                                                                 \
            TAIL slow_##name(c, i);                                                         \
        }                                                                                   \
        U(n) v = ld##n##_le(h);                                                             \
        body;                                                                               \
        NEXT;                                                                               \
    }
/* A handler that stores an n-bit value. */
#define STORE_HANDLER(name, n, value)                                                       \
    static __attribute__((noinline)) void slow_##name(X86CPU *c, const Insn *i)             \
    {                                                                                       \
        m_st##n(c, i, value);                                                               \
        NEXT;                                                                               \
    }                                                                                       \
    FAST_HANDLER(name)                                                                      \
    {                                                                                       \
        void *h = fast_host(c, i, TLB_WRITE, n / 8);                                        \
        if (unlikely(!h)) {                                                                 \
            TAIL slow_##name(c, i);                                                         \
        }                                                                                   \
        st##n##_le(h, value);                                                               \
        NEXT;                                                                               \
    }

/* ---- MOV -------------------------------------------------------------------------------------- */

#define MOV(n, r_, m_, z_)                                                                  \
    FAST_HANDLER(mov_eg_##r_) { WR##n(c, i->rm, R##n(c, i->reg)); NEXT; }                   \
    FAST_HANDLER(mov_ge_##r_) { WR##n(c, i->reg, R##n(c, i->rm)); NEXT; }                   \
    FAST_HANDLER(mov_ei_##r_) { WR##n(c, i->rm, i->imm); NEXT; }                            \
    FAST_HANDLER(mov_zi##z_)  { WR##n(c, i->reg, i->imm); NEXT; }                           \
    STORE_HANDLER(mov_eg_##m_, n, R##n(c, i->reg))                                          \
    STORE_HANDLER(mov_ei_##m_, n, i->imm)                                                   \
    LOAD_HANDLER(mov_ge_##m_, n, WR##n(c, i->reg, v))
MOV(8, b_r, b_m, _b)
MOV(16, wr, wm, _w)
MOV(32, lr, lm, _l)
MOV(64, qr, qm, _q)

/* Direct addresses (A0-A3); the memory operand is complete in the Insn. */
HANDLER(mov_ao) { reg_st(c, i->osz ? R_EAX : REG8(R_EAX), i->osz, ldx(c, i, insn_lin(c, i, 1u << i->osz, false), i->osz)); }
HANDLER(mov_oa) { stx(c, i, insn_lin(c, i, 1u << i->osz, true), i->osz, reg_ld(c, i->osz ? R_EAX : REG8(R_EAX), i->osz)); }

/* ---- MOVZX, MOVSX ------------------------------------------------------------------------------ */

/* from: source bits; to: destination bits; type: how the source is widened */
#define WIDEN(name, type, from, to, f_)                                                     \
    FAST_HANDLER(name##_##f_##r) { WR##to(c, i->reg, (type)R##from(c, i->rm)); NEXT; }      \
    LOAD_HANDLER(name##_##f_##m, from, WR##to(c, i->reg, (type)v))
WIDEN(movzx_b, uint8_t, 8, 16, w)
WIDEN(movzx_b, uint8_t, 8, 32, l)
WIDEN(movzx_b, uint8_t, 8, 64, q)
WIDEN(movzx_w, uint16_t, 16, 16, w)
WIDEN(movzx_w, uint16_t, 16, 32, l)
WIDEN(movzx_w, uint16_t, 16, 64, q)
WIDEN(movsx_b, int8_t, 8, 16, w)
WIDEN(movsx_b, int8_t, 8, 32, l)
WIDEN(movsx_b, int8_t, 8, 64, q)
WIDEN(movsx_w, int16_t, 16, 16, w)
WIDEN(movsx_w, int16_t, 16, 32, l)
WIDEN(movsx_w, int16_t, 16, 64, q)
/* MOVSXD: without REX.W a plain move, of 16 bits with 66 */
WIDEN(movsxd, uint16_t, 16, 16, w)
WIDEN(movsxd, uint32_t, 32, 32, l)
WIDEN(movsxd, int32_t, 32, 64, q)

FAST_HANDLER(cbw_w) { WR16(c, R_EAX, (int8_t)R8(c, REG8(R_EAX))); NEXT; }
FAST_HANDLER(cbw_l) { WR32(c, R_EAX, (int16_t)R16(c, R_EAX)); NEXT; }
FAST_HANDLER(cbw_q) { WR64(c, R_EAX, (int32_t)R32(c, R_EAX)); NEXT; }
FAST_HANDLER(cwd_w) { WR16(c, R_EDX, (int16_t)R16(c, R_EAX) >> 15); NEXT; }
FAST_HANDLER(cwd_l) { WR32(c, R_EDX, (int32_t)R32(c, R_EAX) >> 31); NEXT; }
FAST_HANDLER(cwd_q) { WR64(c, R_EDX, (int64_t)R64(c, R_EAX) >> 63); NEXT; }

/* ---- LEA, XLAT, BSWAP, MOVBE, XCHG -------------------------------------------------------------- */

FAST_HANDLER(lea_w) { WR16(c, i->reg, insn_ea(c, i)); NEXT; }
FAST_HANDLER(lea_l) { WR32(c, i->reg, insn_ea(c, i)); NEXT; }
FAST_HANDLER(lea_q) { WR64(c, i->reg, insn_ea(c, i)); NEXT; }

/* DS:rBX + AL */
HANDLER(xlat)
{
    uint64_t ea = (c->r[R_EBX] + R8(c, REG8(R_EAX))) & x86_size_mask[i->asz];
    uint64_t la = i->flags & IF_SEG ? seg_lin(c, i, i->seg, ea, 1, false) : ea;
    WR8(c, REG8(R_EAX), ld8(c, i, la));
}

/* 16 bits: undefined; processors clear them. */
FAST_HANDLER(bswap_w) { WR16(c, i->reg, 0); NEXT; }
FAST_HANDLER(bswap_l) { WR32(c, i->reg, __builtin_bswap32(R32(c, i->reg))); NEXT; }
FAST_HANDLER(bswap_q) { WR64(c, i->reg, __builtin_bswap64(R64(c, i->reg))); NEXT; }

#define MOVBE(n, s_)                                                                        \
    LOAD_HANDLER(movbe_gm_##s_, n, WR##n(c, i->reg, __builtin_bswap##n(v)))                 \
    STORE_HANDLER(movbe_mg_##s_, n, __builtin_bswap##n(R##n(c, i->reg)))
MOVBE(16, w)
MOVBE(32, l)
MOVBE(64, q)

/* With memory it is locked whether or not the prefix is there. */
#define XCHG(n, r_, m_)                                                                     \
    FAST_HANDLER(xchg_##r_)                                                                 \
    {                                                                                       \
        U(n) a = R##n(c, i->rm);                                                            \
        WR##n(c, i->rm, R##n(c, i->reg));                                                   \
        WR##n(c, i->reg, a);                                                                \
        NEXT;                                                                               \
    }                                                                                       \
    FAST_HANDLER(xchg_##m_)                                                                 \
    {                                                                                       \
        uint64_t la = insn_lin(c, i, n / 8, true);                                          \
        U(n) *h = x86_atomic_host(c, i, la, n / 8), v = R##n(c, i->reg), old;               \
        if (likely(h)) {                                                                    \
            old = __atomic_exchange_n(h, LE_(n, v), __ATOMIC_SEQ_CST);                      \
            old = LE_(n, old);                                                              \
        } else {                                                                            \
            old = ld##n(c, i, la);                                                          \
            st##n(c, i, la, v);                                                             \
        }                                                                                   \
        x86_atomic_done(c, la, n / 8, h);                                                   \
        WR##n(c, i->reg, old);                                                              \
        NEXT;                                                                               \
    }
XCHG(8, b_r, b_m)
XCHG(16, wr, wm)
XCHG(32, lr, lm)
XCHG(64, qr, qm)

/* 90+r: with the accumulator.  90 itself is NOP: it must not clear the upper half. */
#define XCHG_Z(n, s_)                                                                       \
    FAST_HANDLER(xchg_z_##s_)                                                               \
    {                                                                                       \
        if (i->reg != R_EAX) {                                                              \
            U(n) a = R##n(c, R_EAX);                                                        \
            WR##n(c, R_EAX, R##n(c, i->reg));                                               \
            WR##n(c, i->reg, a);                                                            \
        }                                                                                   \
        NEXT;                                                                               \
    }
XCHG_Z(16, w)
XCHG_Z(32, l)
XCHG_Z(64, q)

FAST_HANDLER(nop) { NEXT; }

/* ---- CMOVcc, SETcc ----------------------------------------------------------------------------------- */

/* The memory operand is read (and may fault) whatever the condition. */
#define CMOV_SIZE(cc, condition, n, s_)                                                     \
    FAST_HANDLER(cmov##cc##_##s_##r)                                                        \
    {                                                                                       \
        U(n) v = condition ? R##n(c, i->rm) : R##n(c, i->reg);                              \
        WR##n(c, i->reg, v);                                                                \
        NEXT;                                                                               \
    }                                                                                       \
    LOAD_HANDLER(cmov##cc##_##s_##m, n, WR##n(c, i->reg, condition ? v : R##n(c, i->reg)))
#define CC(cc, condition)                                                                   \
    CMOV_SIZE(cc, (condition), 16, w)                                                       \
    CMOV_SIZE(cc, (condition), 32, l)                                                       \
    CMOV_SIZE(cc, (condition), 64, q)                                                       \
    FAST_HANDLER(set##cc##_r) { WR8(c, i->rm, condition); NEXT; }                           \
    STORE_HANDLER(set##cc##_m, 8, condition)
CC(o,   flag_of(c))
CC(no, !flag_of(c))
CC(b,   flag_cf(c))
CC(ae, !flag_cf(c))
CC(e,   flag_zf(c))
CC(ne, !flag_zf(c))
CC(be, (flag_cf(c) | flag_zf(c)))
CC(a, !(flag_cf(c) | flag_zf(c)))
CC(s,   flag_sf(c))
CC(ns, !flag_sf(c))
CC(p,   flag_pf(c))
CC(np, !flag_pf(c))
CC(l,  (flag_sf(c) != flag_of(c)))
CC(ge, (flag_sf(c) == flag_of(c)))
CC(le, (flag_zf(c) | (flag_sf(c) != flag_of(c))))
CC(g, !(flag_zf(c) | (flag_sf(c) != flag_of(c))))

/* ---- flags in AH --------------------------------------------------------------------------------------- */

FAST_HANDLER(lahf)
{
    WR8(c, REG8H(R_EAX), (flags_read(c) & (FL_SF | FL_ZF | FL_AF | FL_PF | FL_CF)) | FL_1);
    NEXT;
}
FAST_HANDLER(sahf)
{
    flags_write(c, FL_SF | FL_ZF | FL_AF | FL_PF | FL_CF, R8(c, REG8H(R_EAX)));
    NEXT;
}

/* ---- PUSH, POP -------------------------------------------------------------------------------------------- */

/* The general forms, any stack. */
HANDLER(push_z_w) { push_value(c, i, i->osz, reg_ld(c, i->reg, i->osz)); }
HANDLER(push_i_w) { push_value(c, i, i->osz, i->imm); }
HANDLER(pop_z_w)
{
    uint64_t v = pop_value(c, i, i->osz);
    drop_stack(c, i, 1u << i->osz);
    reg_st(c, i->reg, i->osz, v);               /* after SP: POP SP keeps the value */
}

/* Flat 32 and 64-bit stacks. */
#define PUSH(name, n, s_, general, flags_, value)                                           \
    FAST_HANDLER(name##_##s_)                                                               \
    {                                                                                       \
        uint64_t sp = (U(n))(c->r[R_ESP] - n / 8);                                          \
        void *h = tlb_host(c->tcg.data, TLB_WRITE, sp, n / 8);                              \
        if (unlikely(!h) || unlikely((i->flags & (flags_)) != (flags_))) {                  \
            TAIL op_##general(c, i);                                                        \
        }                                                                                   \
        st##n##_le(h, value);                                                               \
        c->r[R_ESP] = sp;                                                                   \
        NEXT;                                                                               \
    }
#define POP(name, n, s_, general, flags_)                                                   \
    FAST_HANDLER(name##_##s_)                                                               \
    {                                                                                       \
        uint64_t sp = (U(n))c->r[R_ESP];                                                    \
        const void *h = tlb_host(c->tcg.data, TLB_READ, sp, n / 8);                         \
        if (unlikely(!h) || unlikely((i->flags & (flags_)) != (flags_))) {                  \
            TAIL op_##general(c, i);                                                        \
        }                                                                                   \
        U(n) v = ld##n##_le(h);                                                             \
        c->r[R_ESP] = (U(n))(sp + n / 8);                                                   \
        WR##n(c, i->reg, v);                                                                \
        NEXT;                                                                               \
    }
PUSH(push_z, 32, l, push_z_w, IF_SS32 | IF_SSFLAT, R32(c, i->reg))
PUSH(push_z, 64, q, push_z_w, 0, c->r[i->reg])
PUSH(push_i, 32, l, push_i_w, IF_SS32 | IF_SSFLAT, i->imm)
PUSH(push_i, 64, q, push_i_w, 0, i->imm)
POP(pop_z, 32, l, pop_z_w, IF_SS32 | IF_SSFLAT)
POP(pop_z, 64, q, pop_z_w, 0)

HANDLER(push_e)
{
    uint64_t v = i->flags & IF_MEM ? ldx(c, i, insn_lin(c, i, 1u << i->osz, false), i->osz)
                                   : reg_ld(c, i->rm, i->osz);
    push_value(c, i, i->osz, v);
}
/* POP m with rSP as base computes the address with rSP already incremented. */
HANDLER(pop_e)
{
    uint64_t v = pop_value(c, i, i->osz), sp = c->r[R_ESP];
    if (!(i->flags & IF_MEM)) {
        drop_stack(c, i, 1u << i->osz);
        reg_st(c, i->rm, i->osz, v);
        return;
    }
    uint64_t la;
    if (i->base == R_ESP) {
        Insn moved = *i;
        moved.disp += 1u << i->osz;
        la = insn_lin(c, &moved, 1u << i->osz, true);
    } else {
        la = insn_lin(c, i, 1u << i->osz, true);
    }
    stx(c, i, la, i->osz, v);
    set_sp(c, i, sp + (1u << i->osz));
}

HANDLER(pusha)
{
    unsigned osz = i->osz, n = 1u << osz;
    uint64_t sp = c->r[R_ESP];
    for (unsigned k = 0; k < 8; k++) {          /* all of it must be writable first */
        uint64_t la = stack_lin(c, i, sp - n * (k + 1), n, true);
        tcg_probe(&c->cpu, data_mode(c), la, n, TLB_WRITE);
    }
    for (unsigned k = 0; k < 8; k++) {
        stx(c, i, stack_lin(c, i, sp - n * (k + 1), n, true), osz, c->r[k]);
    }
    set_sp(c, i, sp - 8 * n);
}
HANDLER(popa)
{
    unsigned osz = i->osz, n = 1u << osz;
    uint64_t sp = c->r[R_ESP], v[8];
    for (unsigned k = 0; k < 8; k++) {
        v[k] = ldx(c, i, stack_lin(c, i, sp + n * k, n, false), osz);
    }
    for (unsigned k = 0; k < 8; k++) {
        if (k != 3) {                           /* the image of SP is skipped */
            reg_st(c, 7 - k, osz, v[k]);
        }
    }
    set_sp(c, i, sp + 8 * n);
}

/* imm: size | level << 16 */
HANDLER(enter)
{
    unsigned osz = i->osz, n = 1u << osz, level = i->imm >> 16 & 31;
    uint16_t size = i->imm;
    uint64_t sp = c->r[R_ESP] - n, bp = c->r[R_EBP];
    /* On a 16-bit stack the upper half of ESP goes into EBP as it is. */
    uint64_t frame = i->flags & (IF_SS64 | IF_SS32) ? sp
                   : (c->r[R_ESP] & ~0xffffull) | (sp & 0xffff);

    stx(c, i, stack_lin(c, i, sp, n, true), osz, bp);
    for (unsigned k = 1; k < level; k++) {
        bp -= n;
        sp -= n;
        uint64_t v = ldx(c, i, stack_lin(c, i, bp, n, false), osz);
        stx(c, i, stack_lin(c, i, sp, n, true), osz, v);
    }
    if (level) {
        sp -= n;
        stx(c, i, stack_lin(c, i, sp, n, true), osz, frame);
    }
    sp -= size;
    /* the new top of the stack must be writable (SDM: as if by a push) */
    tcg_probe(&c->cpu, data_mode(c), stack_lin(c, i, sp, 1, true), 1, TLB_WRITE);
    set_sp(c, i, sp);
    reg_st(c, R_EBP, osz, frame);
}
HANDLER(leave_w)
{
    uint64_t bp = c->r[R_EBP];
    unsigned n = 1u << i->osz;
    uint64_t v = ldx(c, i, stack_lin(c, i, bp, n, false), i->osz);
    set_sp(c, i, bp + n);
    reg_st(c, R_EBP, i->osz, v);
}
void op_leave_l(X86CPU *c, const Insn *i);
void op_leave_l(X86CPU *c, const Insn *i)
{
    TAIL op_leave_w(c, i);
}
FAST_HANDLER(leave_q)
{
    uint64_t bp = c->r[R_EBP];
    const void *h = tlb_host(c->tcg.data, TLB_READ, bp, 8);
    if (unlikely(!h)) {
        TAIL op_leave_w(c, i);
    }
    c->r[R_ESP] = bp + 8;
    c->r[R_EBP] = ld64_le(h);
    NEXT;
}

/* ---- flags on the stack --------------------------------------------------------------------------------- */

HANDLER(pushf) { push_value(c, i, i->osz, x86_pushf(c, 1u << i->osz)); }
HANDLER(popf)
{
    x86_popf_check(c, 1u << i->osz);
    uint64_t v = pop_value(c, i, i->osz), sp = c->r[R_ESP];
    drop_stack(c, i, 1u << i->osz);
    /* what x86_popf may still refuse, it refuses before changing anything */
    uint64_t new_sp = c->r[R_ESP];
    c->r[R_ESP] = sp;
    x86_popf(c, v, 1u << i->osz);
    c->r[R_ESP] = new_sp;
}

/* ---- segment registers ------------------------------------------------------------------------------------ */

HANDLER(mov_es)                                 /* 8C: Ev <- Sw; memory form is 16 bits */
{
    if (i->reg > R_GS) {
        x86_raise(c, EXC_UD);
    }
    if (i->flags & IF_MEM) {
        m_st16(c, i, c->seg[i->reg].sel);
    } else {
        reg_st(c, i->rm, i->osz, c->seg[i->reg].sel);
    }
}
HANDLER(mov_se)                                 /* 8E: Sw <- Ew */
{
    if (i->reg > R_GS || i->reg == R_CS) {
        x86_raise(c, EXC_UD);
    }
    x86_load_seg(c, i->reg, i->flags & IF_MEM ? m_ld16(c, i) : R16(c, i->rm));
    if (i->reg == R_SS) {
        x86_shadow_mov_ss(c);
    }
}
/* PUSH segment: with a 32-bit operand size only two bytes are written, as processors do. */
static inline void push_seg(X86CPU *c, const Insn *i, unsigned seg)
{
    unsigned n = 1u << i->osz;
    uint64_t sp = c->r[R_ESP] - n, la = stack_lin(c, i, sp, n, true);
    stx(c, i, la, i->osz == 2 ? 1 : i->osz, c->seg[seg].sel);
    set_sp(c, i, sp);
}
/* SS itself may change the width of SP: what counts is the old one, in the Insn. */
static inline void pop_seg(X86CPU *c, const Insn *i, unsigned seg)
{
    unsigned n = 1u << i->osz;
    uint64_t sp = c->r[R_ESP];
    uint16_t sel = ld16(c, i, stack_lin(c, i, sp, n, false));
    x86_load_seg(c, seg, sel);
    set_sp(c, i, sp + n);
    if (seg == R_SS) {
        x86_shadow_mov_ss(c);
    }
}
/* LES LDS LSS LFS LGS */
static inline void load_far(X86CPU *c, const Insn *i, unsigned seg)
{
    unsigned n = 1u << i->osz;
    uint64_t la = insn_lin(c, i, n + 2, false);
    uint64_t off = ldx(c, i, la, i->osz);
    uint16_t sel = ld16(c, i, la + n);
    x86_load_seg(c, seg, sel);
    reg_st(c, i->reg, i->osz, off);
    if (seg == R_SS) {
        x86_shadow_mov_ss(c);
    }
}
#define SEGMENT(name, seg)                                                                  \
    HANDLER(push_##name) { push_seg(c, i, seg); }                                           \
    HANDLER(pop_##name)  { pop_seg(c, i, seg); }                                            \
    HANDLER(l##name)     { load_far(c, i, seg); }
SEGMENT(es, R_ES)
SEGMENT(ss, R_SS)
SEGMENT(ds, R_DS)
SEGMENT(fs, R_FS)
SEGMENT(gs, R_GS)
HANDLER(push_cs) { push_seg(c, i, R_CS); }
