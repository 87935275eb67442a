/* SPDX-License-Identifier: MIT */
/*
 * The native engine for x86-64 hosts: what its parts (jit*.c) share.
 *
 *   jit.c         from decoded instructions to a block: liveness of flags, dispatch, fallback
 *   jit-mem.c     effective addresses, the inline TLB probe, its slow paths, flags to and fro
 *   jit-alu.c     integer arithmetic      jit-mov.c   moves
 *   jit-flow.c    stack, branches, calls, ends of blocks, links between blocks
 *   jit-share.c   accesses that share a look at the TLB
 *   jit-loop.c    blocks that jump back to their own start
 *   jit-thunk.c   code made once: entry, exit, calls of handlers and slow paths, look-up
 *   jit-compact.c ... what compact code calls; finding the instruction by the return address
 *   jit-simd.c    SSE                 jit-vec.c   AVX, and SSE's rarer instructions
 *   jit-x87.c     x87, MMX
 *
 * Generated code runs with guest registers in host registers:
 *
 *     guest  RAX RCX RDX RBX RSP RBP RSI RDI R8 R9 R12      the others (R10 R11 R13-R15)
 *     host   rax rcx rdx rbx r12 rbp rsi rdi r8 r9 r10      live in X86CPU.r[]
 *
 * J_CPU (r14) points into the X86CPU (at r[16], so that all of r[] has one-byte displacements:
 * OFF(field) gives a field's displacement), J_T0-J_T2 are free within one instruction, rsp is the
 * host's stack, 16-aligned, at X86CPU.jit_rsp or, where calls are under way, below (jit-flow.c).
 * X86CPU.r[17] is the guest-virtual address of the page the running
 * block is in (as an offset in CS), Insn.off and the like count from there: code depends on
 * where in the page it is, not on where the page is mapped.
 *
 * How an instruction without a native form is done: its interpreter handler is called, with
 * the pinned registers written back before and read again after (jit_fallback).  The same
 * handler serves as slow path of many native instructions (jit_cold_insn).
 *
 * Exceptions: whoever may raise has all guest registers in memory at that moment: the slow
 * path thunks store the pinned ones.  So a native instruction must not change a guest register
 * before its last access to guest memory has succeeded.
 *
 * Flags: the guest's arithmetic flags are in the host's EFLAGS (FL_HOST), in X86CPU.fl_image
 * (FL_MEM), in both, or dead (j->fl == 0).  Memory accesses clobber EFLAGS: jit_probe saves
 * them first if somebody still wants them.  An instruction that writes flags natively does
 *
 *     ... probes ...
 *     jit_flags_use(j);        // brings in what it reads or must let pass
 *     ... the host instruction, and nothing that changes EFLAGS after it ...
 *     jit_flags_made(j);
 *
 * A block is made twice at most: compact first, then, if it is found running again and again
 * (jit-compact.c), fast.  Compact code calls thunks for what fast code does inline: looks at the
 * TLB, saves of flags, polls; a table beside the block (JitSide) tells by the return address
 * which instruction it was, should the access fault or not be one to plain memory.
 *
 * A native form is a function bool f(Jit *, const Insn *, unsigned arg) listed by mnemonic in a
 * JitOp table (all rows of that mnemonic; look at j->desc for the operands).  It returns false
 * *before emitting anything* if it does not do this form: then the handler is called.
 */
#ifndef TARGET_I386_JIT_INT_H
#define TARGET_I386_JIT_INT_H

#include "accel/tcg/block.h"
#include "accel/tcg/host/x86_64/asm.h"
#include "target-i386/cpu.h"
#include "target-i386/insn.h"
#include "target-i386/sse-env.h"

#define JIT_MAX_INSNS 64
#define JIT_BUF_SIZE (64u << 10)

/* ---- registers -------------------------------------------------------------------------- */

enum { J_CPU = H_R14, J_T0 = H_R11, J_T1 = H_R13, J_T2 = H_R15, J_SP = H_R12 };
#define J_HOME 0xff             /* jit_host_reg[]: lives in memory */
extern const uint8_t jit_host_reg[16];

#define JIT_BIAS offsetof(X86CPU, r[16])
#define OFF(field) ((int32_t)offsetof(X86CPU, field) - (int32_t)JIT_BIAS)
static inline Rm jit_field(int32_t off)
{
    return rm_m(J_CPU, off);
}
static inline int32_t jit_home(unsigned reg)
{
    return ((int)reg - 16) * 8;
}
/* Guest register n of 2, 4 or 8 bytes as an operand: a host register, or its home. */
static inline Rm jit_gpr(unsigned n)
{
    return jit_host_reg[n] == J_HOME ? jit_field(jit_home(n)) : rm_r(jit_host_reg[n]);
}
/* A byte register as the decoder numbers them (Insn.reg and rm of byte operands). */
Rm jit_gpr8(unsigned n);
/* Either, by size. */
Rm jit_reg(unsigned n, unsigned size);

/* ---- the block being made ----------------------------------------------------------------- */

enum { FL_HOST = 1, FL_MEM = 2 };
/* (FLB_* as in InsnDesc) */
#define FLB_ARITH (FLB_C | FLB_P | FLB_A | FLB_Z | FLB_S | FLB_O)

/* An instruction whose handler is called, and what stands behind it: the handler goes on with
 * next.fn, which returns.  In the block's payload. */
typedef struct JitCall {
    Insn insn;
    struct {                    /* as much of an Insn as is looked at */
        InsnFn *fn;
        uint64_t imm;
        int64_t disp;
    } next;
} JitCall;
G_STATIC_ASSERT(offsetof(Insn, imm) == 8 && offsetof(Insn, disp) == 16);

typedef enum {
    COLD_LOAD,                  /* jit_probe for reading: get an addend */
    COLD_PROBE,                 /* for writing: get one, or the whole instruction by its handler */
    COLD_STORE,                 /* a store by jit_store */
    COLD_INSN,                  /* the whole instruction by its handler */
    COLD_JUMP,                  /* ... which is a jump: never comes back */
    COLD_CODE,                  /* fn(j, cold) writes it */
} ColdKind;

enum { STACK_NO, STACK_READ, STACK_WRITE };

struct Jit;
/* Vector registers (bit n) held in host registers of the same number since some earlier
 * instruction, and those of them that X86CPU.v does not have yet. */
typedef struct JitVec {
    uint32_t loaded, dirty;     /* XMM part */
    uint32_t yloaded, ydirty;   /* the upper half of YMM as well; subsets of the above */
    bool upper;                 /* the host's upper halves may not be zero */
} JitVec;

typedef struct JitCold {
    ColdKind kind;
    uint8_t *from;              /* displacement of the jump that leads here */
    uint8_t *back;              /* where to go on; NULL: at the end of instruction n */
    uint8_t *checked;           /* ... and with the addend in T1, behind the look at the TLB */
    unsigned n;                 /* instruction */
    uint8_t base, size;         /* address: base + disp */
    int32_t disp;
    bool read;                  /* COLD_INSN: the access is; size 0: there is none */
    bool imm;                   /* COLD_STORE: the value is a constant, else in src */
    Rm src;
    uint64_t value;
    bool first;                 /* of several that share a check */
    uint8_t stack;              /* the page of the stack was not the one remembered: STACK_* */
    uint8_t fl, live;           /* at the branch */
    uint8_t fl_end;             /* fl at the end of the instruction */
    uint8_t x87_note;
    JitVec vec, vec_end;        /* at the branch, and at the end of the instruction */
    void (*fn)(struct Jit *j, struct JitCold *c);
} JitCold;

/*
 * A way out of the block to the same page.  Without a link it calls jit_thunks.exit[saves].
 * p is the displacement of the jump that jit_link patches: a conditional one which leads to the
 * call (stub) when there is no link, or that of the call itself, which becomes a jump.
 */
typedef struct JitExit {
    uint16_t used : 1, saves : 1;   /* saves: the flags are in EFLAGS alone there */
    uint16_t call : 1, back : 1;    /* it is a CALL with a frame; where that comes back */
    uint16_t target : 12;       /* from the page's start */
    uint16_t p, stub;           /* offsets in the code; stub 0: none */
} JitExit;

/* By the return address of a thunk: the instruction. */
typedef struct JitSide {
    uint16_t at;                /* the return address, from the code's start */
    uint16_t back;              /* where the code goes on behind the instruction */
    uint16_t off;               /* of the instruction in the page */
    uint8_t len;
    int8_t moved;               /* what was added to the stack pointer before, but for a RET's
                                   constant */
} JitSide;

#define JIT_MAX_COLD 320
#define JIT_MAX_SIDE 256
#define JIT_MAX_FIX 2400
enum { FIX_THUNK, FIX_BLOCK, FIX_CALL };
typedef struct JitFix {
    uint8_t *at;                /* 32-bit displacement, or 64-bit constant */
    uint8_t kind;
    uint64_t value;             /* address of the thunk, offset in Block, number of the call */
} JitFix;

/* The memory access of an instruction, and those that share a check: jit-share.c. */
typedef struct JitAccess {
    uint8_t size;               /* 0: none that can share */
    bool write;
    uint8_t base, index, scale, age[2];
    int64_t at;                 /* from where base and index were when they last changed otherwise */
    uint8_t share;              /* number + 1 */
} JitAccess;
typedef struct JitShare {
    uint8_t first, last;        /* instructions */
    int64_t lo, hi;             /* checked */
    bool write;                 /* ... for writing */
    bool live;                  /* it was, and holds */
    bool begun;
    bool memo;                  /* page and addend are in jit_memo[slot], else in jit_shared[slot] */
    uint8_t slot;
} JitShare;
#define JIT_MAX_SHARES 16

/*
 * A block that ends with a branch to its own start, made a second time: what it holds in vector
 * registers at its end it holds at its start.  (jit-loop.c)
 */
typedef struct JitLoop {
    bool found;                 /* it is such a block: what follows was found out by the first time */
    bool on;                    /* this is the second time */
    bool vex;
    JitVec vec;                 /* at the branch */
    bool closed;                /* ... and the branch leads back to `back` */
    bool calls;                 /* handlers, from the main path */
    uint8_t *back;              /* where the branch leads, while it is linked to the block itself */
    uint8_t *enter, *head;      /* displacement of the jump to the set-up; the first instruction */
    unsigned memos;             /* X86CPU.jit_memo[] in use */
    bool memo_next;             /* the next probe is to use one */
    bool strided[18];           /* by register: changes by a constant from round to round ... */
    int64_t stride[18];         /* ... which is this */
} JitLoop;

typedef struct Jit {
    Asm a;
    X86CPU *c;
    uint32_t mode;
    bool one, code64, compact;
    bool careful;               /* the page can be stored to: see may_store_here */
    unsigned start;             /* first byte, from the page's start */
    unsigned end;               /* behind the last */
    unsigned count;
    const uint8_t *host2;       /* of the second page, if it crosses */
    unsigned poll, no_poll;     /* code offsets: of jit_entry, and behind the poll ... */
    unsigned inside;            /* ... and behind the check of the second page */
    const uint8_t *host;        /* of the page's start */
    unsigned holes;
    BlockHole hole[BLOCK_HOLES];
    const Insn *insn;           /* [count] */
    unsigned n;                 /* the current one ... */
    const InsnDesc *desc;       /* ... and its row, parsed */
    uint8_t live_in, live_out;  /* FLB_*: flags wanted before and after it */
    uint8_t fl;                 /* where the flags are now */
    uint8_t live[JIT_MAX_INSNS + 1];
    uint8_t *insn_end[JIT_MAX_INSNS];
    JitVec vec;
    bool vex;                   /* has VEX-coded vector instructions up to here */
    bool sse_ready;             /* the host's MXCSR is the guest's */
    bool x87_ready;             /* the guest's x87 state is in the host's unit */
    unsigned done_ahead;        /* instructions behind this one that it has dealt with */
    unsigned poll_after;        /* look for requests behind this instruction; 0: none */
    uint8_t x87_note;           /* instruction + 1 whose address FIP must still get */
    bool ended;                 /* nothing runs on past this instruction */
    uint8_t stack_probe;        /* STACK_*: for the cold part that is noted next */
    JitLoop loop;
    unsigned shares;
    JitShare share[JIT_MAX_SHARES];
    JitAccess access[JIT_MAX_INSNS];
    JitExit exit[2];
    unsigned ncold, nfix, ncall;
    JitCold cold[JIT_MAX_COLD];
    JitFix fix[JIT_MAX_FIX];
    uint16_t call_insn[JIT_MAX_INSNS];  /* call n is of this instruction */
    unsigned nside;
    JitSide side[JIT_MAX_SIDE];
    uint8_t buf[JIT_BUF_SIZE + 4096];
} Jit;

/* What stays with the block, at the start of its payload. */
typedef struct JitBlock {
    InsnFn *fn;                 /* first, like an Insn's: interpreter code that would run into
                                   the block goes back to the loop instead */
    const uint8_t *entry;       /* [atomic] where the look-up table enters it */
    uint32_t mode;              /* Block.mode while it lives */
    JitExit exit[2];
    uint16_t nside;
    uint8_t ncall;
    uint8_t poll, no_poll;      /* entries for backward and forward jumps, from its code's start */
    uint8_t inside;             /* ... and for the loop */
    uint8_t again;              /* ... and for the branch at its end to its start (exit[1]; its stub
                                   calls the thunk at its end); 0: as others */
    bool needs_flags;           /* reads flags of its predecessor, or lets them pass: who has them
                                   in EFLAGS alone enters at its code's start */
    bool compact;
    JitCall call[];             /* then JitSide[nside], by address */
} JitBlock;

static inline JitBlock *jit_block(const Block *b)
{
    return (JitBlock *)b->payload;
}

static inline const JitSide *jit_side(const JitBlock *b)
{
    return (const JitSide *)&b->call[b->ncall];
}

/* ---- the tables of native forms ---------------------------------------------------------- */

typedef bool JitFn(Jit *j, const Insn *i, unsigned arg);
typedef struct JitOp {
    const char *name;           /* mnemonic of the table; NULL ends */
    JitFn *fn;
    unsigned arg;
} JitOp;
extern const JitOp jit_alu_ops[], jit_mov_ops[], jit_flow_ops[], jit_simd_ops[], jit_x87_ops[];

/* ---- jit-mem.c ----------------------------------------------------------------------------- */

/* Can the memory operand's address be computed inline? */
bool jit_ea_ok(const Jit *j, const Insn *i);
/* The operand's linear address: base register returned (pinned, or J_T2), rest in *disp.
 * Clobbers T0, T2, and EFLAGS when the segment has a base: call jit_flags_clobber before. */
unsigned jit_ea(Jit *j, const Insn *i, int32_t *disp);
/* LEA: dst := the offset (not the linear address), by a host LEA of this size. */
bool jit_lea_ok(const Jit *j, const Insn *i);
void jit_lea(Jit *j, const Insn *i, unsigned size, unsigned dst);
/*
 * Make [base + disp, + size) accessible: returns the operand to access it with, which stays
 * valid until T1 or T2 is changed.  T0 is free afterwards.  EFLAGS are clobbered (saved before
 * if wanted).  What happens when it is not plain memory:
 *   jit_probe_ld    a copy of the bytes is made: the code goes on with that (read only!)
 *   jit_probe_insn  the handler of the instruction is called instead of what follows (up to
 *                   the end of the instruction); acc may be TLB_WRITE
 */
/*   jit_mem_probe   asks once more in C, and calls the handler if that does not help */
Rm jit_mem_probe(Jit *j, const Insn *i, unsigned size);
Rm jit_probe_ld(Jit *j, unsigned base, int32_t disp, unsigned size);
Rm jit_probe_insn(Jit *j, unsigned base, int32_t disp, unsigned size, TlbAccess acc);
/* Both steps for the memory operand. */
Rm jit_mem_ld(Jit *j, const Insn *i, unsigned size);
/* ... for a locked operation: aligned, or the handler does it. */
Rm jit_mem_locked(Jit *j, const Insn *i, unsigned size);
Rm jit_probe_locked(Jit *j, unsigned base, int32_t disp, unsigned size);
Rm jit_mem_insn(Jit *j, const Insn *i, unsigned size, TlbAccess acc);
/* Store a register (host register, or home) or a constant of up to 8 bytes to the operand; the
 * last thing an instruction does. */
void jit_mem_st(Jit *j, const Insn *i, unsigned size, Rm src);
void jit_mem_sti(Jit *j, const Insn *i, unsigned size, int32_t imm);
/* A branch to the slow path of the whole instruction: cc as now in EFLAGS. */
void jit_cold_insn(Jit *j, unsigned cc, bool jump);
/* The look at the TLB alone: T1 = addend, T0 = page; EFLAGS are clobbered.  Returns the
 * displacement of the branch to be taken if it is not plain memory. */
uint8_t *jit_probe_code(Jit *j, unsigned base, int32_t disp, unsigned size, TlbAccess acc);
JitCold *jit_cold(Jit *j, ColdKind kind, uint8_t *from);
/* The flags as the main path has them behind the instruction, fl as there. */
void jit_cold_flags(Jit *j, const JitCold *k, uint8_t fl);
/* Around calls of C in a cold part. */
void jit_cold_begin(Jit *j, const JitCold *k);
void jit_cold_end(Jit *j, const JitCold *k);

/* EFLAGS are about to be clobbered: save them if any in `live` is wanted later. */
void jit_flags_clobber(Jit *j, uint8_t live);
/* Make EFLAGS the guest's. */
void jit_flags_host(Jit *j);
/* Before a native flag writer or reader: what it reads, and what it must let pass. */
void jit_flags_use(Jit *j);
void jit_flags_made(Jit *j);
/* A host condition that holds when the guest's condition cc does; may change EFLAGS (not the
 * guest's flags). */
unsigned jit_cond(Jit *j, unsigned cc);
void jit_emit_save_flags(Jit *j, uint8_t live);
void jit_emit_load_flags(Jit *j, uint8_t live);

/* ---- jit-compact.c -------------------------------------------------------------------------- */

/* What a probe by a thunk does when it is not plain memory. */
typedef enum {
    PROBE_LOAD,                 /* a copy is made (read only) */
    PROBE_READ, PROBE_WRITE,    /* the handler is called instead of the rest of the instruction */
    PROBE_LOCKED,               /* the same, also if it is not aligned */
    PROBE_KINDS
} ProbeKind;
/* Can compact code be written for an access of this size here? */
bool jit_compact_ok(const Jit *j, const Insn *i, unsigned size, ProbeKind kind);
/* T0 = the address; returns the operand, valid until T2 is changed.  Changes T1, EFLAGS. */
Rm jit_compact_probe(Jit *j, unsigned size, ProbeKind kind);
/* The cold part of a probe by fast code (k->base, disp, size, back are set): once more in C, then
 * the instruction by its handler.  False, emitting nothing: not in this form. */
bool jit_cold_probe(Jit *j, const JitCold *k, TlbAccess acc);
/* A call of a thunk which may want to know the instruction; and its JitSide alone. */
void jit_call_side(Jit *j, const uint8_t *thunk, int moved);
void jit_note_side(Jit *j, int moved);
/* Has code at this place been found running often? */
bool jit_hot(const uint8_t *host);
void jit_make_sample(void);
void jit_make_compact_thunks(void);

/* ---- jit.c ----------------------------------------------------------------------------------- */

/* May the instruction leave the flags it writes as they were? */
bool jit_flags_maybe(const Insn *i, const InsnDesc *d);
/* The instruction ends with a constant of `size` bytes.  If that is one which changes all the
 * time: where to load it from instead. */
const uint8_t *jit_constant(Jit *j, const Insn *i, unsigned size);
/* What names of rows tell, looked up once. */
enum { JR_X87 = 1, JR_GOES_ON = 2, JR_PUSH = 4, JR_POP = 8,
       JR_STORES = 16, JR_STORES_MEM = 32,
       JR_FIRST = 64,           /* of general registers it writes at most its first operand; */
       JR_NO_GPR = 128 };       /* ... none; neither: who knows */
extern uint8_t *jit_row;                            /* [insn_row_count] */
/* Is there a native form?  (It may not do all forms.) */
bool jit_native(const Insn *i);
/* Call the current instruction's handler. */
void jit_fallback(Jit *j, const Insn *i);
/* T0 := address of the JitCall of instruction n. */
void jit_call_operand(Jit *j, unsigned n);
void jit_jmp_thunk(Jit *j, const uint8_t *thunk);
void jit_call_thunk(Jit *j, const uint8_t *thunk);
/* Fill in a JitCall. */
void jit_fill_call(JitCall *call, const Insn *i);
/* dst := address of the Block + offset. */
void jit_block_operand(Jit *j, unsigned dst, size_t offset);
static inline unsigned jit_next(const Insn *i)      /* of the following instruction, in the page */
{
    return i->off + i->len;
}

/* ---- jit-flow.c ---------------------------------------------------------------------------------- */

/* Start of a block: its entries. */
void jit_entry(Jit *j);
/* Leave behind the current instruction if somebody wants the vCPU. */
void jit_poll(Jit *j);
/* The next `size` bytes, `before` bytes from here, can be written in one piece. */
void jit_align(Jit *j, unsigned before, unsigned size);
/* Leave through link n for a target (from the page's start). */
void jit_exit(Jit *j, unsigned n, int32_t target);
/* Leave for the loop, going on at offset off. */
void jit_leave(Jit *j, unsigned off);
void jit_link(Block *from, unsigned n, Block *to);

/* ---- jit-loop.c ------------------------------------------------------------------------------------- */

/* A conditional branch to the block's start is about to be made.  True: by jit_loop_branch;
 * where it leads finds the flags it wants in the image. */
bool jit_loop_end(Jit *j);
/* The block was translated.  Is it worth a second time, as a loop? */
bool jit_loop_wanted(Jit *j);
/* The second time: what stands before the first instruction, and, among the cold parts, the
 * set-up. */
void jit_loop_head(Jit *j);
void jit_loop_setup(Jit *j);
/* May the instruction's access remember its page?  (When it is the next thing written.) */
bool jit_memo_ok(const Jit *j, const Insn *i);
/* In place of jit_probe_code: the branch to the cold part is that of the cold part which the
 * caller notes next. */
void jit_memo_probe(Jit *j, unsigned base, int32_t disp, unsigned size, TlbAccess acc);
/* In a cold part, behind C code: nothing is remembered.  Changes nothing else. */
void jit_memo_forget(Jit *j);
/* The general registers an instruction may write, as bits; ~0: who knows.  And, if it is one: does
 * it add a constant to all of it? */
uint32_t jit_insn_writes(const Insn *i);
bool jit_insn_adds(const Insn *i, int64_t *by);
uint8_t jit_row_writes(const InsnRow *r, const InsnDesc *d);        /* JR_FIRST, JR_NO_GPR or 0 */

/* ---- jit-share.c ------------------------------------------------------------------------------------ */

/* Before the block's code is written. */
void jit_share_plan(Jit *j);
/* The current instruction's access, of `size` bytes, was checked with an earlier one: T1 = addend,
 * EFLAGS as they were.  Else false. */
bool jit_share_member(Jit *j, unsigned size, TlbAccess acc);
/* It is the first of several: what is to be checked at once.  When that is done (T1 = addend):
 * jit_share_begin. */
bool jit_share_first(Jit *j, unsigned *size, TlbAccess acc, int32_t *disp);
void jit_share_begin(Jit *j, bool memo);
/* C code is called in the main path. */
void jit_share_end(Jit *j);
/* The cold part, if there are accesses behind it that share a check with one before. */
bool jit_cold_shared(Jit *j, const JitCold *k);
/* Do an instruction inside a share by its handler.  True: leave, rip is set. */
bool jit_call_shared(X86CPU *c, const Insn *i, const uint8_t *ret);

/* ---- jit-x87.c -------------------------------------------------------------------------------------- */

/* Does the handler of this instruction look at X86CPU.fpu? */
static inline bool jit_x87_row(const Insn *i)
{
    return i->row != NO_ROW && (jit_row[i->row] & JR_X87);
}
/* ... by its row: the slow way to ask. */
bool jit_is_x87(const InsnRow *r);
/* FIP and FCS := instruction n.  Changes T1; not EFLAGS. */
void jit_x87_note(Jit *j, unsigned n);
/* Forms with MMX registers of mnemonics that jit-simd.c lists. */
bool jit_mmx(Jit *j, const Insn *i);
bool jit_mmx_gpr(Jit *j, const Insn *i);

/* ---- jit-vec.c ------------------------------------------------------------------------------------ */

/* X86CPU.v := what is dirty; host registers := what was held.  Emit code only. */
void jit_vec_store(Jit *j, const JitVec *v);
void jit_vec_load(Jit *j, const JitVec *v);
/* XMM register n is in the host's from here on; n was written, the upper half was not. */
void jit_hold(Jit *j, unsigned n);
void jit_vec_written(Jit *j, unsigned n);
/* The host computes with the guest's MXCSR from here on. */
void jit_fp_ready(Jit *j);
/* Does this host have the instruction?  And the native form of a row without one, or NULL. */
bool jit_host_row(const InsnRow *r);
/* What the host has that not every compiler's __builtin_cpu_supports knows. */
typedef enum { HOST_CX16, HOST_MOVBE, HOST_F16C, HOST_ADX, HOST_SHA, HOST_LZCNT } JitHostBit;
bool jit_host_bit(JitHostBit bit);
const struct JitOp *jit_vec_row(const InsnRow *r);
/* Before C code that may look at or change X86CPU.v runs in the main path (a handler), and
 * at each exit: store what is dirty; then nothing is held any more.  Changes T1. */
static inline void jit_vec_flush(Jit *j)
{
    if (j->x87_note) {
        jit_x87_note(j, j->x87_note - 1);
        j->x87_note = 0;
    }
    jit_vec_store(j, &j->vec);
    j->vec = (JitVec) { 0 };
}

/* ---- jit-thunk.c ---------------------------------------------------------------------------------- */

/* Room that a look at the stack's page leaves: see stack_probe. */
#define JIT_STACK_RUN 96
/* The frames of calls (jit-flow.c): bytes of one, and how many there may be. */
#define JIT_FRAME 16
#define JIT_FRAMES 1024

#define JIT_THUNK_SIZE 16384

typedef struct JitThunks {
    void (*enter)(void *cpu, const uint8_t *code);
    const uint8_t *exit[2];         /* called at the end of a block without a link; [1]: the flags
                                       are in EFLAGS */
    const uint8_t *cross[4];        /* T0 = offset in the page of a jump to another one; 1: the
                                       same; 2: 32-bit code */
    const uint8_t *leave_at;        /* T1 = offset in the page */
    const uint8_t *leave_set;       /* X86CPU.rip is set */
    const uint8_t *leave_stored;    /* ... and the registers are in memory */
    const uint8_t *call;            /* T0 = JitCall; call it: flags are none of the handler's business */
    const uint8_t *call_flags;      /* the same for handlers that read or write flags */
    const uint8_t *call_x87;        /* the same for jit_x87_row: may leave */
    const uint8_t *sse_ready;       /* T0 = JitCall, an instruction that computes by MXCSR: let the
                                       host compute, or do it and leave */
    const uint8_t *zero_upper[2];   /* upper halves of 8 or 16 YMM registers in X86CPU.v := 0 */
    const uint8_t *x87_load;        /* x86_x87_load */
    const uint8_t *probe;           /* T0 = address; call it, then JIT_INFO: T1 = addend, or 0 */
    const uint8_t *call_end, *call_end_flags;   /* the same two for rows with A_END: may leave */
    const uint8_t *jump;            /* T0 = JitCall of a jump; jump to it */
    const uint8_t *load;            /* T0 = address; call it, then JIT_INFO: T1 = addend */
    const uint8_t *store;           /* T0 = address, T1 = value; call it, then JIT_INFO */
    const uint8_t *dead;            /* JitBlock.entry of a block that was invalidated */
    const uint8_t *indirect;        /* T0 = target, T2 = return address for the JitSide */
    const uint8_t *find;            /* ... T2 = where to go if it is not known */
    const uint8_t *returns;         /* as indirect, for a RET: to the top frame if that fits */
    const uint8_t *stale;           /* ... the frames are out of date */
    const uint8_t *no_frame;        /* ... where the frame at the bottom leads */
    const uint8_t *sample;          /* T1 = Block that T0 leads to, which is to be noted */
    /* jit-compact.c: call them */
    const uint8_t *poll;            /* at the start of a block */
    const uint8_t *poll_leave;      /* ... leave */
    const uint8_t *save_flags, *load_flags;
    const uint8_t *refill;          /* T0 = address, T1 = size | JIT_REFILL_WRITE: T1 := addend if it
                                       is plain memory in one page, or 0; raises nothing */
    const uint8_t *stack[2];        /* T0 = address, T1 = size - 1, for writing [1]: T1 := addend if it is
                                       plain memory in one page, and NE; X86CPU.jit_stack may be set */
    const uint8_t *call_shared;     /* jit_call_shared: T0 = JitCall, X86CPU.jit_holds is set */
    const uint8_t *forget;          /* nothing is in X86CPU.jit_memo; changes nothing else */
    const uint8_t *resume_jump;     /* not called: look rip up */
    const uint8_t *probe_kind[PROBE_KINDS][5];      /* by log2(size) */
    const uint8_t *again[2][5];     /* jit_cold_probe: for reading, writing; by log2(size) */
    const uint8_t *push[16];        /* 64-bit stack: push a register */
    const uint8_t *push_value;      /* ... T0 */
    const uint8_t *push_next;       /* ... the address T0 of the running page; then a jump */
    const uint8_t *pop;             /* T0 := popped */
    const uint8_t *ret;             /* RET; if it comes back, the host's RET is to follow */
    const uint8_t *ret_value;       /* ... to T0 */
    const uint8_t *computed;        /* T0 = target, as indirect; does not come back */
} JitThunks;
extern JitThunks jit_thunks;
#define JIT_REFILL_WRITE 0x100
#define JIT_INFO(i, size) ((i)->off | (uint32_t)(i)->len << 13 | (uint32_t)(size) << 17)

void jit_make_thunks(uint8_t *rx);

/* For who writes thunks. */
extern Asm jit_ta;
const uint8_t *jit_ta_at(void);                     /* where the next byte will execute */
void jit_ta_store(void);                            /* all pinned registers to memory */
void jit_ta_load(void);
void jit_ta_load_volatile(void);                    /* those that C may have clobbered */
void jit_ta_call(const void *c_function);           /* changes RAX */
void jit_ta_jmp(const uint8_t *thunk);
void jit_ta_save_flags(unsigned tmp);
void jit_ta_return(void);                           /* for thunks of compact code: T0 = target, a RET's */
void jit_ta_cpu_arg(void);                          /* first argument := the X86CPU */
/* Handlers with flags, jumps: see jit-thunk.c. */
void jit_call_with_flags(X86CPU *c, const Insn *i);
bool jit_call_jump(X86CPU *c, const Insn *i);
void jit_after_insn(X86CPU *c, const Insn *i);
bool jit_flags_matter(const Insn *i);
/* A block is left through an exit without a link: who it was, for the loop. */
void jit_exit_taken(X86CPU *c, const uint8_t *ret);
/* A computed target is not in the look-up table: rip := it, or the jump raises. */
void jit_unknown_target(X86CPU *c, uint64_t target, const uint8_t *ret);

#endif
