/* SPDX-License-Identifier: MIT */
/*
 * How instruction handlers are written: their frame, registers, operands, memory, flags,
 * exceptions.  docs/adding-an-instruction.md is the guide; this file is the reference.
 *
 * A handler executes one decoded instruction and tail-calls the next one's.  It must not
 * change guest-visible state before everything in it that can fault has been done.
 *
 *     HANDLER(foo_lr)                      // any instruction
 *     {
 *         WR32(c, i->reg, R32(c, i->rm) + 1);
 *         NEXT;
 *     }
 *
 * HANDLER makes c->rip the instruction's address first, so that x86_raise, the helpers of
 * helper.h and anything they call can be used.  FAST_HANDLER doesn't: for instructions that
 * can't fault, or fault only in the memory accessors below (these set c->rip themselves before
 * taking their slow path).
 */
#ifndef TARGET_I386_INTERP_H
#define TARGET_I386_INTERP_H

#include "accel/tcg/tcg.h"
#include "target-i386/cpu.h"
#include "target-i386/helper.h"
#include "target-i386/insn.h"
#include "util/bits.h"

/* ---- the frame ----------------------------------------------------------------------------- */

#if defined(__has_attribute)
#if __has_attribute(musttail)
#define TAIL __attribute__((musttail)) return
#endif
#endif
#ifndef TAIL
#define TAIL return             /* a sibling call where the compiler makes one */
#endif
/* Between functions of different parameters, which the attribute does not allow. */
#define TAIL_ANY return

/* Make c->rip the address of instruction i (offset in CS). */
static inline void insn_sync(X86CPU *c, const Insn *i)
{
    c->rip = c->r[17] + i->off;
}
/* Offset of the instruction after i. */
static inline uint64_t insn_next(const X86CPU *c, const Insn *i)
{
    uint64_t next = c->r[17] + i->off + i->len;
    return i->flags & IF_CODE64 ? next : (uint32_t)next;
}

#define FAST_HANDLER(name)                                                                  \
    void op_##name(X86CPU *c, const Insn *i);                                               \
    void op_##name(X86CPU *c, const Insn *i)
#define HANDLER(name)                                                                       \
    void op_##name(X86CPU *c, const Insn *i);                                               \
    static inline __attribute__((always_inline)) void do_##name(X86CPU *c, const Insn *i);  \
    void op_##name(X86CPU *c, const Insn *i)                                                \
    {                                                                                       \
        insn_sync(c, i);                                                                    \
        do_##name(c, i);                                                                    \
        NEXT;                                                                               \
    }                                                                                       \
    static inline __attribute__((always_inline)) void do_##name(X86CPU *c, const Insn *i)

/* The last statement of a FAST_HANDLER.  (In a HANDLER it is there already: just return.) */
#define NEXT TAIL i[1].fn(c, i + 1)
#define NEXT_ANY TAIL_ANY i[1].fn(c, i + 1)      /* in a function with other parameters */

/*
 * An instruction whose row says A_JUMP sets c->rip itself and goes back to the loop: write it
 * with JUMP_HANDLER; it returns after setting c->rip (helpers such as x86_far_jmp do).
 */
#define JUMP_HANDLER(name)                                                                  \
    void op_##name(X86CPU *c, const Insn *i);                                               \
    static inline __attribute__((always_inline)) void do_##name(X86CPU *c, const Insn *i);  \
    void op_##name(X86CPU *c, const Insn *i)                                                \
    {                                                                                       \
        insn_sync(c, i);                                                                    \
        do_##name(c, i);                                                                    \
    }                                                                                       \
    static inline __attribute__((always_inline)) void do_##name(X86CPU *c, const Insn *i)

/* ---- general registers ---------------------------------------------------------------------- */

/* n: as in Insn.reg/rm/vvvv.  Writing 32 bits clears the upper half; 8 and 16 keep the rest. */
static inline uint64_t R64(const X86CPU *c, unsigned n) { return c->r[n]; }
static inline uint32_t R32(const X86CPU *c, unsigned n) { return (uint32_t)c->r[n]; }
static inline uint16_t R16(const X86CPU *c, unsigned n) { return (uint16_t)c->r[n]; }
static inline void WR64(X86CPU *c, unsigned n, uint64_t v) { c->r[n] = v; }
static inline void WR32(X86CPU *c, unsigned n, uint32_t v) { c->r[n] = v; }
static inline void WR16(X86CPU *c, unsigned n, uint16_t v)
{
    c->r[n] = (c->r[n] & ~0xffffull) | v;
}
/* n: byte offset within r[], made by the decoder for byte operands (see REG8). */
static inline uint8_t R8(const X86CPU *c, unsigned n) { return ((const uint8_t *)c->r)[n]; }
static inline void WR8(X86CPU *c, unsigned n, uint8_t v) { ((uint8_t *)c->r)[n] = v; }
/* Byte offset of a register's byte 0 (lo) or 1 (AH..BH). */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define REG8(n)  ((n) * 8)
#define REG8H(n) ((n) * 8 + 1)
#else
#define REG8(n)  ((n) * 8 + 7)
#define REG8H(n) ((n) * 8 + 6)
#endif
/* By operand size 0-3 (Insn.osz); for instructions too rare to be specialised.  8-bit n as
 * the decoder made it. */
static inline uint64_t reg_ld(const X86CPU *c, unsigned n, unsigned osz)
{
    return osz == 0 ? R8(c, n) : osz == 1 ? R16(c, n) : osz == 2 ? R32(c, n) : R64(c, n);
}
static inline void reg_st(X86CPU *c, unsigned n, unsigned osz, uint64_t v)
{
    switch (osz) {
    case 0: WR8(c, n, v); break;
    case 1: WR16(c, n, v); break;
    case 2: WR32(c, n, v); break;
    default: WR64(c, n, v); break;
    }
}

/* ---- addresses --------------------------------------------------------------------------------- */

extern const uint64_t x86_size_mask[4];         /* 0xff, 0xffff, 0xffffffff, ~0 */

/* Effective address: the offset in the segment, cut to the address size. */
static inline __attribute__((always_inline)) uint64_t insn_ea(const X86CPU *c, const Insn *i)
{
    return (c->r[i->base] + (c->r[i->index] << i->scale) + i->disp) & x86_size_mask[i->asz];
}

/*
 * Linear address of [ea, ea+len) in a segment, after its limit and type check: #GP(0), or
 * #SS(0) for SS.  c->rip is set before raising.  64-bit mode: adds FS/GS bases; canonicality
 * is the TLB's business.
 */
uint64_t x86_seg_check(X86CPU *c, const Insn *i, unsigned seg, uint64_t ea, unsigned len, bool write);
static inline uint64_t seg_lin(X86CPU *c, const Insn *i, unsigned seg, uint64_t ea, unsigned len,
                               bool write)
{
    if ((i->flags & IF_CODE64) != 0) {
        return ea + (seg >= R_FS ? c->seg[seg].base : 0);
    }
    return x86_seg_check(c, i, seg, ea, len, write);
}
/* Linear address of the memory operand of len bytes, off bytes further on. */
static inline uint64_t insn_lin_at(X86CPU *c, const Insn *i, uint64_t off, unsigned len, bool write)
{
    uint64_t ea = insn_ea(c, i);
    if (off) {
        ea = (ea + off) & x86_size_mask[i->asz];
    }
    return unlikely(i->flags & IF_SEG) ? seg_lin(c, i, i->seg, ea, len, write) : ea;
}
static inline uint64_t insn_lin(X86CPU *c, const Insn *i, unsigned len, bool write)
{
    return insn_lin_at(c, i, 0, len, write);
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* MMU mode (helper.h MMU_*) of ordinary data accesses now. */
static inline int data_mode(const X86CPU *c)
{
    return c->tcg.data_mode;
}

/*
 * By linear address, in the present mode: ld8..ld64, st8..st64.  Any alignment.  Fast path
 * inline; the slow path sets c->rip and raises what there is to raise.
 */
#define LDST_ACCESS_(n, bytes)                                                              \
    static inline uint##n##_t ld##n(X86CPU *c, const Insn *i, uint64_t la)                  \
    {                                                                                       \
        const void *h = tlb_host(c->tcg.data, TLB_READ, la, bytes);                         \
        if (likely(h)) {                                                                    \
            return ld##n##_le(h);                                                           \
        }                                                                                   \
        insn_sync(c, i);                                                                    \
        return tcg_ld(&c->cpu, data_mode(c), la, bytes);                                    \
    }                                                                                       \
    static inline void st##n(X86CPU *c, const Insn *i, uint64_t la, uint##n##_t v)          \
    {                                                                                       \
        void *h = tlb_host(c->tcg.data, TLB_WRITE, la, bytes);                              \
        if (likely(h)) {                                                                    \
            st##n##_le(h, v);                                                               \
            return;                                                                         \
        }                                                                                   \
        insn_sync(c, i);                                                                    \
        tcg_st(&c->cpu, data_mode(c), la, v, bytes);                                        \
    }                                                                                       \
    static inline uint##n##_t m_ld##n(X86CPU *c, const Insn *i)                             \
    {                                                                                       \
        return ld##n(c, i, insn_lin(c, i, bytes, false));                                   \
    }                                                                                       \
    static inline void m_st##n(X86CPU *c, const Insn *i, uint##n##_t v)                     \
    {                                                                                       \
        st##n(c, i, insn_lin(c, i, bytes, true), v);                                        \
    }
static inline uint8_t ld8_le(const void *p) { return *(const uint8_t *)p; }
static inline void st8_le(void *p, uint8_t v) { *(uint8_t *)p = v; }
LDST_ACCESS_(8, 1)
LDST_ACCESS_(16, 2)
LDST_ACCESS_(32, 4)
LDST_ACCESS_(64, 8)
#undef LDST_ACCESS_

/* The same by size 0-3. */
static inline uint64_t ldx(X86CPU *c, const Insn *i, uint64_t la, unsigned osz)
{
    return osz == 0 ? ld8(c, i, la) : osz == 1 ? ld16(c, i, la)
         : osz == 2 ? ld32(c, i, la) : ld64(c, i, la);
}
static inline void stx(X86CPU *c, const Insn *i, uint64_t la, unsigned osz, uint64_t v)
{
    switch (osz) {
    case 0: st8(c, i, la, v); break;
    case 1: st16(c, i, la, v); break;
    case 2: st32(c, i, la, v); break;
    default: st64(c, i, la, v); break;
    }
}

/*
 * Any number of bytes (at most 4096) as they lie in memory, at the memory operand + off.  The
 * segment check covers [off, off+len); the write touches nothing if any byte of it faults.
 */
static inline void m_read(X86CPU *c, const Insn *i, unsigned off, void *buf, unsigned len)
{
    uint64_t la = insn_lin_at(c, i, off, len, false);
    const void *h = tlb_host(c->tcg.data, TLB_READ, la, len);
    if (likely(h)) {
        memcpy(buf, h, len);
        return;
    }
    insn_sync(c, i);
    tcg_read(&c->cpu, data_mode(c), la, buf, len);
}
static inline void m_write(X86CPU *c, const Insn *i, unsigned off, const void *buf, unsigned len)
{
    uint64_t la = insn_lin_at(c, i, off, len, true);
    void *h = tlb_host(c->tcg.data, TLB_WRITE, la, len);
    if (likely(h)) {
        memcpy(h, buf, len);
        return;
    }
    insn_sync(c, i);
    tcg_write(&c->cpu, data_mode(c), la, buf, len);
}
/* Fault now if the operand [off, off+len) can't be read or written. */
static inline void m_probe(X86CPU *c, const Insn *i, unsigned off, unsigned len, bool write)
{
    uint64_t la = insn_lin_at(c, i, off, len, write);
    if (likely(tlb_host(c->tcg.data, write ? TLB_WRITE : TLB_READ, la, len))) {
        return;
    }
    insn_sync(c, i);
    tcg_probe(&c->cpu, data_mode(c), la, len, write ? TLB_WRITE : TLB_READ);
}

/*
 * The fast path alone, for handlers with a slow twin: host address of the memory operand, or
 * NULL when anything at all is special about it.
 */
static inline __attribute__((always_inline)) void *fast_host(X86CPU *c, const Insn *i, TlbAccess acc, unsigned bytes)
{
    uint64_t ea = insn_ea(c, i);
    if (unlikely(i->flags & IF_SEG)) {
        if (!(i->flags & IF_CODE64)) {
            return NULL;
        }
        ea += c->seg[i->seg].base;
    }
    return tlb_host(c->tcg.data, acc, ea, bytes);
}

/*
 * Read-modify-write of memory at la: check the right to write, then load; x86_rmw_st is then
 * an ordinary store that won't fault.  For slow paths.
 */
uint64_t x86_rmw_ld(X86CPU *c, const Insn *i, uint64_t la, unsigned size);

/*
 * LOCK: host memory for an atomic operation on size bytes at la, after all checks.  NULL: no
 * host instruction can do it; everybody else stands still until x86_atomic_done, load and
 * store with ldN and stN.
 */
void *x86_atomic_slow(X86CPU *c, const Insn *i, uint64_t la, unsigned size);
void x86_atomic_slow_done(X86CPU *c, uint64_t la, unsigned size, void *host);
static inline void *x86_atomic_host(X86CPU *c, const Insn *i, uint64_t la, unsigned size)
{
    void *h = tlb_host(c->tcg.data, TLB_WRITE, la, size);
    return likely(h && !(la & (size - 1))) ? h : x86_atomic_slow(c, i, la, size);
}
static inline void x86_atomic_done(X86CPU *c, uint64_t la, unsigned size, void *host)
{
    if (unlikely(!host || !tlb_host(c->tcg.data, TLB_WRITE, la, size))) {
        x86_atomic_slow_done(c, la, size, host);
    }
}
/* CMPXCHG16B at la (aligned): compares with *lo, *hi, and stores or fetches there. */
bool x86_cmpxchg16(X86CPU *c, const Insn *i, uint64_t la, uint64_t *lo, uint64_t *hi,
                   uint64_t new_lo, uint64_t new_hi);

/* ---- stack ----------------------------------------------------------------------------------- */

/* Linear address of SP + delta for an access of len bytes; SS checks as seg_lin. */
static inline uint64_t stack_mask(const Insn *i)
{
    return i->flags & IF_SS64 ? ~0ull : i->flags & IF_SS32 ? 0xffffffff : 0xffff;
}
static inline uint64_t stack_lin(X86CPU *c, const Insn *i, uint64_t sp, unsigned len, bool write)
{
    sp &= stack_mask(i);
    return likely(i->flags & IF_SSFLAT) ? sp : x86_seg_check(c, i, R_SS, sp, len, write);
}
static inline void set_sp(X86CPU *c, const Insn *i, uint64_t sp)
{
    if (i->flags & IF_SS64) {
        c->r[R_ESP] = sp;
    } else if (i->flags & IF_SS32) {
        c->r[R_ESP] = (uint32_t)sp;
    } else {
        WR16(c, R_ESP, sp);
    }
}
/* By operand size 1-3.  pop_value does not move SP: the caller does when nothing can fault
 * any more. */
static inline void push_value(X86CPU *c, const Insn *i, unsigned osz, uint64_t v)
{
    uint64_t sp = c->r[R_ESP] - (1u << osz);
    stx(c, i, stack_lin(c, i, sp, 1u << osz, true), osz, v);
    set_sp(c, i, sp);
}
static inline uint64_t pop_value(X86CPU *c, const Insn *i, unsigned osz)
{
    return ldx(c, i, stack_lin(c, i, c->r[R_ESP], 1u << osz, false), osz);
}
static inline void drop_stack(X86CPU *c, const Insn *i, unsigned bytes)
{
    set_sp(c, i, c->r[R_ESP] + bytes);
}

/* ---- vectors ----------------------------------------------------------------------------------- */

/* Elements of a Vec in the architecture's order on any host: VB(v, 0) is bits 7:0. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define VB(v, n) ((v)->b[n])
#define VW(v, n) ((v)->w[n])
#define VD(v, n) ((v)->d[n])
#else
#define VB(v, n) ((v)->b[(n) ^ 7])
#define VW(v, n) ((v)->w[(n) ^ 3])
#define VD(v, n) ((v)->d[(n) ^ 1])
#endif
#define VQ(v, n) ((v)->q[n])

/* #GP(0) for a memory operand that must be aligned and is not. */
void x86_raise_unaligned(X86CPU *c, const Insn *i) G_GNUC_NORETURN;

/*
 * Vector memory operands of up to 64 bytes.  align: 0, or the alignment (16, 32) that the
 * instruction demands (#GP(0)): legacy SSE operands of 16 bytes demand 16 except in MOVUPS &
 * co.; VEX-coded ones don't except VMOVAPS & co.
 *
 * m_ldp gives a host pointer to the bytes as they lie in guest memory (in place, or in
 * c->vtmp): good until the next access.  m_ldv fills the low len bytes of *v only.  len: 8,
 * 16, 32 for m_ldv and m_stv, any for m_ldp.
 *
 * (Handlers should not pass addresses of their locals to functions that are not inlined: the
 * compiler then gives up the sibling call in NEXT.)
 */
const uint8_t *x86_ldp_slow(X86CPU *c, const Insn *i, uint64_t la, unsigned len);
void x86_stv_slow(X86CPU *c, const Insn *i, uint64_t la, const Vec *v, unsigned len);

static inline const uint8_t *m_ldp(X86CPU *c, const Insn *i, unsigned len, unsigned align)
{
    uint64_t la = insn_lin(c, i, len, false);
    if (align && unlikely(la & (align - 1))) {
        x86_raise_unaligned(c, i);
    }
    const uint8_t *h = tlb_host(c->tcg.data, TLB_READ, la, len);
    return likely(h) ? h : x86_ldp_slow(c, i, la, len);
}
static inline void m_ldv(X86CPU *c, const Insn *i, Vec *v, unsigned len, unsigned align)
{
    const uint8_t *h = m_ldp(c, i, len, align);
    for (unsigned k = 0; k < len / 8; k++) {
        v->q[k] = ld64_le(h + k * 8);
    }
}
static inline void m_stv(X86CPU *c, const Insn *i, const Vec *v, unsigned len, unsigned align)
{
    uint64_t la = insn_lin(c, i, len, true);
    if (align && unlikely(la & (align - 1))) {
        x86_raise_unaligned(c, i);
    }
    uint8_t *h = tlb_host(c->tcg.data, TLB_WRITE, la, len);
    if (unlikely(!h)) {
        x86_stv_slow(c, i, la, v, len);
        return;
    }
    for (unsigned k = 0; k < len / 8; k++) {
        st64_le(h + k * 8, v->q[k]);
    }
}

/* Writing a register: legacy SSE leaves the bits above 128 alone, VEX.128 clears them up to
 * the vector maximum, VEX.256 writes 256 and clears what is above. */
static inline void vec_zero_above(Vec *v, unsigned bytes)
{
    for (unsigned k = bytes / 8; k < 8; k++) {
        v->q[k] = 0;
    }
}

/* MMX register n as a 64-bit value.  mmx_enter first (it raises #MF for a pending x87
 * exception: c->rip must be set), and before the first write. */
void x86_mmx_fault(X86CPU *c);
static inline void mmx_enter(X86CPU *c)
{
    if (unlikely(c->fpu.sw & 0x80)) {
        x86_mmx_fault(c);
    }
    c->fpu.top = 0;
    c->fpu.empty = 0;
}
static inline uint64_t MM(const X86CPU *c, unsigned n) { return c->fpu.st[n].frac; }
static inline void WMM(X86CPU *c, unsigned n, uint64_t v)
{
    c->fpu.st[n].frac = v;
    c->fpu.st[n].se = 0xffff;
}

/* ---- flags ------------------------------------------------------------------------------------- */

/*
 * The six arithmetic flags are kept lazily in three words of X86CPU; the bits in c->rflags are
 * stale while a block runs.
 *
 *   fl_res  the result, sign-extended from its size to 64 bits: ZF, SF, PF (low byte)
 *   fl_x    a ^ b ^ result, sign-extended: bit 4 = AF; bit 63 = carry into the top bit = OF ^ CF
 *   fl_cf   bit 0 = CF; bit 2 flips SF, bit 3 flips PF (for combinations no result has)
 */
#define FLD_SF 4
#define FLD_PF 8

static inline bool flag_cf(const X86CPU *c) { return c->fl_cf & 1; }
static inline bool flag_zf(const X86CPU *c) { return c->fl_res == 0; }
static inline bool flag_sf(const X86CPU *c)
{
    return ((int64_t)c->fl_res < 0) ^ (c->fl_cf >> 2 & 1);
}
static inline bool flag_of(const X86CPU *c)
{
    return ((int64_t)c->fl_x < 0) ^ (c->fl_cf & 1);
}
static inline bool flag_af(const X86CPU *c) { return c->fl_x >> 4 & 1; }
static inline bool flag_pf(const X86CPU *c)
{
    return !__builtin_parity((uint8_t)c->fl_res) ^ (c->fl_cf >> 3 & 1);
}

/* The arithmetic flags as in RFLAGS (FL_ARITH), and setting some of them: mask says which. */
static inline uint32_t flags_read(const X86CPU *c)
{
    return flag_cf(c) * FL_CF | flag_pf(c) * FL_PF | flag_af(c) * FL_AF | flag_zf(c) * FL_ZF |
           flag_sf(c) * FL_SF | flag_of(c) * FL_OF;
}
static inline void flags_write_all(X86CPU *c, uint32_t f)
{
    bool zf = f & FL_ZF, sf = f & FL_SF, pf = f & FL_PF, cf = f & FL_CF, of = f & FL_OF;
    /* with ZF: 0, whose PF is set and SF clear; else 1 or 3 (PF clear, set), with the top bit */
    uint64_t res = zf ? 0 : (pf ? 3 : 1) | (uint64_t)sf << 63;
    c->fl_res = res;
    c->fl_x = (uint64_t)(of ^ cf) << 63 | (f & FL_AF);
    c->fl_cf = cf | (zf && sf ? FLD_SF : 0) | (zf && !pf ? FLD_PF : 0);
}
static inline void flags_write(X86CPU *c, uint32_t mask, uint32_t f)
{
    flags_write_all(c, (flags_read(c) & ~mask) | (f & mask));
}

/* Native code's image of the flags (X86CPU.fl_image): OF in bit 0, the low byte of EFLAGS in
 * bits 15:8. */
static inline uint32_t jit_image_flags(uint16_t image)
{
    return (image >> 8 & (FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF)) | (image & 1 ? FL_OF : 0);
}
static inline uint16_t jit_flags_image(uint32_t f)
{
    return (f & 0xff) << 8 | (f & FL_OF ? 1 : 0);
}

/* Flags of res = a + b (+ carry), a - b (- borrow), or a logical result, of n bits. */
#define FLAGS_OF_SIZE_(n)                                                                   \
    static inline void flags_add##n(X86CPU *c, uint##n##_t a, uint##n##_t b, uint##n##_t r) \
    {                                                                                       \
        c->fl_res = (int64_t)(int##n##_t)r;                                                 \
        c->fl_x = (int64_t)(int##n##_t)(a ^ b ^ r);                                         \
        c->fl_cf = r < a;                                                                   \
    }                                                                                       \
    static inline void flags_sub##n(X86CPU *c, uint##n##_t a, uint##n##_t b, uint##n##_t r) \
    {                                                                                       \
        c->fl_res = (int64_t)(int##n##_t)r;                                                 \
        c->fl_x = (int64_t)(int##n##_t)(a ^ b ^ r);                                         \
        c->fl_cf = a < b;                                                                   \
    }                                                                                       \
    static inline void flags_logic##n(X86CPU *c, uint##n##_t r)                             \
    {                                                                                       \
        c->fl_res = (int64_t)(int##n##_t)r;                                                 \
        c->fl_x = 0;                                                                        \
        c->fl_cf = 0;                                                                       \
    }
FLAGS_OF_SIZE_(8)
FLAGS_OF_SIZE_(16)
FLAGS_OF_SIZE_(32)
FLAGS_OF_SIZE_(64)
#undef FLAGS_OF_SIZE_

/* Condition cc of Jcc, SETcc, CMOVcc (low four opcode bits). */
static inline bool cond(const X86CPU *c, unsigned cc)
{
    bool r;
    switch (cc >> 1) {
    case 0: r = flag_of(c); break;
    case 1: r = flag_cf(c); break;
    case 2: r = flag_zf(c); break;
    case 3: r = flag_cf(c) || flag_zf(c); break;
    case 4: r = flag_sf(c); break;
    case 5: r = flag_pf(c); break;
    case 6: r = flag_sf(c) != flag_of(c); break;
    default: r = flag_zf(c) || flag_sf(c) != flag_of(c); break;
    }
    return r ^ (cc & 1);
}

/* ---- raising ------------------------------------------------------------------------------------- */

/* In a HANDLER use x86_raise and x86_raise_err of helper.h.  In a FAST_HANDLER use these. */
void x86_raise_at(X86CPU *c, const Insn *i, int vector) G_GNUC_NORETURN;
void x86_raise_err_at(X86CPU *c, const Insn *i, int vector, uint32_t error) G_GNUC_NORETURN;

/* ---- mode word -------------------------------------------------------------------------------------- */

/* X86CPU.mode: everything the decoder's output depends on besides the bytes. */
enum {
    MODE_CODE64 = 1 << 0,
    MODE_CODE32 = 1 << 1,       /* CS.D */
    MODE_SS32   = 1 << 2,       /* SS.B */
    MODE_CPL    = 3 << 3,       /* the CPL itself */
    MODE_PE     = 1 << 5,
    MODE_V86    = 1 << 6,
    MODE_FLAT   = 1 << 7,       /* DS, ES, SS need neither base nor check */
    MODE_SSFLAT = 1 << 8,
    MODE_CSFLAT = 1 << 9,       /* CS base 0, limit 4 GiB */
    MODE_STEP   = 1 << 10,      /* TF or a code breakpoint: one instruction at a time */
    MODE_EM     = 1 << 11,
    MODE_TS     = 1 << 12,
    MODE_MP     = 1 << 13,
    MODE_FXSR   = 1 << 14,      /* CR4.OSFXSR */
    MODE_AVX    = 1 << 15,      /* CR4.OSXSAVE and XCR0 has SSE and AVX */
    MODE_LMA    = 1 << 16,
    MODE_X87SOFT = 1 << 17,     /* native engine: x87 by its handlers (jit-x87.c) */
};
#define MODE_CPL_SHIFT 3

#endif
