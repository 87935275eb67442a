/* SPDX-License-Identifier: MIT */
/*
 * The native engine's fixed pieces of code, made once: how it is entered and left, how C is
 * called from it, and the look-up of a jump's computed target.
 *
 * In generated code rsp is 16-aligned, so it is 8 off at the start of a thunk that was called (but
 * for exits and look-ups that are a CALL's).  Whatever leaves sets it to where it began.
 */
#include "target-i386/jit.h"

#if HAVE_JIT

#include "accel/tcg/code.h"
#include "accel/tcg/slow.h"
#include "target-i386/flow.h"
#include "target-i386/jit-int.h"
#include "target-i386/simd-fp.h"
#include "target-i386/x87.h"

JitThunks jit_thunks;

static const uint8_t pinned[] = { R_EAX, R_ECX, R_EDX, R_EBX, R_ESP, R_EBP, R_ESI, R_EDI, 8, 9, 12 };
/* of these, what C may clobber */
static const uint8_t volatiles[] = { R_EAX, R_ECX, R_EDX, R_ESI, R_EDI, 8, 9, 12 };

/* ---- called from generated code ------------------------------------------------------------ */

/* A handler that reads or writes flags: they are in the interpreter's form meanwhile. */
void jit_call_with_flags(X86CPU *c, const Insn *i)
{
    flags_write_all(c, jit_image_flags(c->fl_image));
    c->lazy_flags = LAZY_FIELDS;
    i->fn(c, i);
    c->fl_image = jit_flags_image(flags_read(c));
    c->lazy_flags = LAZY_IMAGE;
}

/* A jump by its handler.  True: to the loop, false: c->rip may be looked up here. */
bool jit_call_jump(X86CPU *c, const Insn *i)
{
    if (i->row != NO_ROW && (insn_rows[i->row].attr & A_SYS) && !insn_desc[i->row].fl_read) {
        i->fn(c, i);                    /* these use x86_get_flags and x86_set_flags */
    } else {
        jit_call_with_flags(c, i);
    }
    return x86_boundary_wanted(c) || c->cpu.halted || c->exc_vector >= 0 ||
           (c->mode & MODE_STEP) || !(c->mode & (MODE_CODE64 | MODE_CSFLAT));
}

/* The store invalidated some block, maybe the running one: where to go on. */
void jit_after_insn(X86CPU *c, const Insn *i)
{
    if (!c->rep_open) {
        c->rip = insn_next(c, i);
    }
    c->rep_open = false;
}

/*
 * After a handler of a row with A_END: true, with rip set, if the code that follows can't
 * just go on, because somebody wants the vCPU or the code is no longer mapped as it was.
 */
static bool call_end(X86CPU *c, const Insn *i)
{
    bool flat = c->mode & (MODE_CODE64 | MODE_CSFLAT);
    uint64_t la = flat ? c->r[17] : (uint32_t)(c->seg[R_CS].base + c->r[17]);
    uint32_t mode = c->mode, kills = __atomic_load_n(&block_kills, __ATOMIC_RELAXED);
    const TlbEntry *e = &c->tcg.code->e[TLB_FETCH][tlb_index(la)], before = *e;

    i->fn(c, i);
    if (likely(c->mode == mode && !x86_boundary_wanted(c) && before.tag == la && e->tag == la &&
               e->addend == before.addend &&
               kills == __atomic_load_n(&block_kills, __ATOMIC_RELAXED))) {
        return false;
    }
    c->rip = insn_next(c, i);
    return true;
}
static bool call_end_with_flags(X86CPU *c, const Insn *i)
{
    flags_write_all(c, jit_image_flags(c->fl_image));
    c->lazy_flags = LAZY_FIELDS;
    bool leave = call_end(c, i);
    c->fl_image = jit_flags_image(flags_read(c));
    c->lazy_flags = LAZY_IMAGE;
    return leave;
}

/* A handler that looks at X86CPU.fpu.  True: leave, rip is set. */
static bool call_x87(X86CPU *c, const Insn *i)
{
    uint32_t mode = c->mode, kills = __atomic_load_n(&block_kills, __ATOMIC_RELAXED);

    x86_x87_sync(c);
    jit_call_with_flags(c, i);
    if (x86_x87_soft(c) != !!(mode & MODE_X87SOFT)) {
        x86_update_mode(c);
    }
    if (likely(c->mode == mode && kills == __atomic_load_n(&block_kills, __ATOMIC_RELAXED))) {
        return false;
    }
    c->rip = insn_next(c, i);
    return true;
}

/* True: softfloat has done the instruction, rip is set. */
static bool sse_ready(X86CPU *c, const Insn *i)
{
    if (simd_host_ready(c)) {
        return false;
    }
    jit_call_with_flags(c, i);
    c->rip = insn_next(c, i);
    return true;
}

static uint64_t info_sync(X86CPU *c, uint32_t info, unsigned *size)
{
    c->rip = c->r[17] + (info & 0x1fff);
    *size = info >> 17;
    return c->rip + (info >> 13 & 15);
}

/* Bytes at va, in place or copied: the addend that makes va their address. */
static uint64_t slow_load(X86CPU *c, uint64_t va, uint32_t info)
{
    unsigned size;
    int mode = data_mode(c);
    info_sync(c, info, &size);
    c->jit_loads++;
    if (size <= 8) {
        st64_le(c->vtmp, tcg_ld(&c->cpu, mode, va, size));
    } else {
        tcg_read(&c->cpu, mode, va, c->vtmp, size);
    }
    return (uintptr_t)c->vtmp - va;
}

/* Bytes at va are about to be written: the addend, or 0 if the handler must do it. */
static uint64_t slow_probe(X86CPU *c, uint64_t va, uint32_t info)
{
    unsigned size;
    info_sync(c, info, &size);
    tcg_probe(&c->cpu, data_mode(c), va, size, TLB_WRITE);
    uint8_t *host = tlb_host(c->tcg.data, TLB_WRITE, va, size);
    return host ? (uintptr_t)host - va : 0;
}

static uint64_t refill(X86CPU *c, uint64_t va, uint64_t what)
{
    unsigned size = what & 0xff;
    TlbAccess acc = what & JIT_REFILL_WRITE ? TLB_WRITE : TLB_READ;
    if ((va ^ (va + size - 1)) & GUEST_PAGE_MASK || !tlb_get(&c->cpu, data_mode(c), va, acc, false)) {
        return 0;
    }
    uint8_t *host = tlb_host(c->tcg.data, acc, va, size);
    return host ? (uintptr_t)host - va : 0;
}

/* True: leave, rip is set. */
static bool slow_store(X86CPU *c, uint64_t va, uint64_t val, uint32_t info)
{
    unsigned size;
    uint32_t kills = __atomic_load_n(&block_kills, __ATOMIC_RELAXED);
    uint64_t next = info_sync(c, info, &size);
    c->jit_stores++;
    tcg_st(&c->cpu, data_mode(c), va, val, size);
    if (likely(kills == __atomic_load_n(&block_kills, __ATOMIC_RELAXED))) {
        return false;
    }
    c->rip = c->mode & MODE_CODE64 ? next : (uint32_t)next;
    return true;
}

/* ---- writing them -------------------------------------------------------------------------------- */

Asm jit_ta;
#define a jit_ta

static void store_regs(const uint8_t *list, unsigned n)
{
    for (unsigned k = 0; k < n; k++) {
        asm_st(&a, 8, jit_field(jit_home(list[k])), jit_host_reg[list[k]]);
    }
}
static void load_regs(const uint8_t *list, unsigned n)
{
    for (unsigned k = 0; k < n; k++) {
        asm_ld(&a, 8, jit_host_reg[list[k]], jit_field(jit_home(list[k])));
    }
}
#define STORE_ALL() store_regs(pinned, sizeof(pinned))
#define LOAD_ALL()  load_regs(pinned, sizeof(pinned))

static void zero(int32_t field)
{
    asm_op(&a, 8, 0xc7, 0, jit_field(field));
    asm_32(&a, 0);
}

/* C code may change what loops remember, and where the stack is. */
static void forget_owner(void)
{
    zero(OFF(jit_memo_of));
    zero(OFF(jit_stack.room));
    zero(OFF(jit_stack.room_run));
}
static void call_c(const void *fn)
{
    forget_owner();
    asm_movi(&a, H_RAX, (uintptr_t)fn);
    asm_op(&a, 4, 0xff, 2, rm_r(H_RAX));
}
static void jmp_reg(unsigned reg)
{
    asm_op(&a, 4, 0xff, 4, rm_r(reg));
}
static void cpu_arg(void)
{
    asm_lea(&a, 8, H_RDI, rm_m(J_CPU, -(int32_t)JIT_BIAS));
}
static uint8_t *at(void)
{
    return a.p - code_rw_delta;
}

static const uint8_t saved[] = { H_RBX, H_RBP, H_R12, H_R13, H_R14, H_R15 };

static void push_pop(unsigned base, unsigned reg)
{
    if (reg & 8) {
        asm_8(&a, 0x41);
    }
    asm_8(&a, base | (reg & 7));
}

/* Below the registers saved by `enter`: a frame that leads to no_frame, and room for alignment. */
#define STACK_BASE 24
#define NO_ADDRESS 0x8000000000000001u

/* Frames made from here on are in date. */
static void begin_frames(void)
{
    asm_op(&a, 4, 0xc7, 0, jit_field(OFF(tcg.moved)));
    asm_32(&a, 0);
}

static void make_enter(void)
{
    jit_thunks.enter = (void (*)(void *, const uint8_t *))(uintptr_t)at();
    for (unsigned k = 0; k < sizeof(saved); k++) {
        push_pop(0x50, saved[k]);
    }
    asm_alui(&a, 8, ALU_SUB, rm_r(H_RSP), STACK_BASE);
    asm_mov_r(&a, 8, J_CPU, H_RDI);
    asm_mov_r(&a, 8, J_T0, H_RSI);
    asm_movi(&a, H_RAX, (uintptr_t)jit_thunks.no_frame);
    asm_st(&a, 8, rm_m(H_RSP, 0), H_RAX);
    asm_movi(&a, H_RAX, NO_ADDRESS);
    asm_st(&a, 8, rm_m(H_RSP, 8), H_RAX);
    asm_st(&a, 8, jit_field(OFF(jit_rsp)), H_RSP);
    asm_lea(&a, 8, H_RAX, rm_m(H_RSP, -JIT_FRAMES * JIT_FRAME));
    asm_st(&a, 8, jit_field(OFF(jit_rsp_low)), H_RAX);
    begin_frames();
    forget_owner();
    LOAD_ALL();
    jmp_reg(J_T0);
}

static void make_leave(void)
{
    jit_thunks.leave_at = at();
    asm_alu(&a, 8, ALU_ADD, J_T1, jit_field(OFF(r[17])));
    asm_st(&a, 8, jit_field(OFF(rip)), J_T1);
    jit_thunks.leave_set = at();
    STORE_ALL();
    jit_thunks.leave_stored = at();
    asm_ld(&a, 8, H_RSP, jit_field(OFF(jit_rsp)));
    asm_alui(&a, 8, ALU_ADD, rm_r(H_RSP), STACK_BASE);
    for (unsigned k = sizeof(saved); k--;) {
        push_pop(0x58, saved[k]);
    }
    asm_8(&a, 0xc3);
}

static void leave_stored(void)
{
    asm_patch32(asm_jmp(&a), code_rw(jit_thunks.leave_stored));
}

/* T0 = JitCall: counts its row.  The registers are stored. */
static void count_call(void)
{
    asm_ldz(&a, 2, H_RCX, rm_m(J_T0, offsetof(Insn, row)));
    asm_ld(&a, 8, H_RAX, jit_field(OFF(jit_calls)));
    asm_op(&a, 8, 0xff, 0, rm_mx(H_RAX, H_RCX, 3, 0));
}

static void make_call(const void *c_function)
{
    STORE_ALL();
    count_call();
    asm_alui(&a, 8, ALU_SUB, rm_r(H_RSP), 8);
    cpu_arg();
    asm_mov_r(&a, 8, H_RSI, J_T0);
    asm_mov_r(&a, 8, J_T2, J_T0);
    asm_movi(&a, H_RAX, (uintptr_t)&block_kills);
    asm_ld(&a, 4, J_T1, rm_m(H_RAX, 0));
    if (c_function) {
        call_c(c_function);
    } else {
        forget_owner();
        asm_op(&a, 4, 0xff, 2, rm_m(H_RSI, offsetof(Insn, fn)));
    }
    asm_movi(&a, H_RAX, (uintptr_t)&block_kills);
    asm_alu(&a, 4, ALU_CMP, J_T1, rm_m(H_RAX, 0));
    uint8_t *killed = asm_jcc8(&a, CC_NE);
    LOAD_ALL();
    asm_alui(&a, 8, ALU_ADD, rm_r(H_RSP), 8);
    asm_8(&a, 0xc3);
    asm_patch8(killed, a.p);
    cpu_arg();
    asm_mov_r(&a, 8, H_RSI, J_T2);
    call_c(jit_after_insn);
    leave_stored();
}

/* The third argument of the function is the return address. */
static void make_call_end(const void *c_function)
{
    STORE_ALL();
    count_call();
    asm_ld(&a, 8, H_RDX, rm_m(H_RSP, 0));
    asm_alui(&a, 8, ALU_SUB, rm_r(H_RSP), 8);
    cpu_arg();
    asm_mov_r(&a, 8, H_RSI, J_T0);
    call_c(c_function);
    asm_op(&a, 1, 0x84, H_RAX, rm_r(H_RAX));
    uint8_t *leave = asm_jcc8(&a, CC_NE);
    LOAD_ALL();
    asm_alui(&a, 8, ALU_ADD, rm_r(H_RSP), 8);
    asm_8(&a, 0xc3);
    asm_patch8(leave, a.p);
    leave_stored();
}

/* Not called but jumped to: rsp is aligned. */
static void make_jump(void)
{
    jit_thunks.jump = at();
    STORE_ALL();
    count_call();
    cpu_arg();
    asm_mov_r(&a, 8, H_RSI, J_T0);
    call_c(jit_call_jump);
    asm_op(&a, 1, 0x84, H_RAX, rm_r(H_RAX));
    uint8_t *leave = asm_jcc(&a, CC_NE);
    LOAD_ALL();
    asm_ld(&a, 8, J_T0, jit_field(OFF(rip)));
    asm_movi(&a, J_T2, (uintptr_t)jit_thunks.dead);
    asm_patch32(asm_jmp(&a), code_rw(jit_thunks.find));
    asm_patch32(leave, a.p);
    leave_stored();
}

static void make_load(const void *c_function)
{
    STORE_ALL();
    cpu_arg();
    asm_mov_r(&a, 8, H_RSI, J_T0);
    asm_ld(&a, 8, H_RAX, rm_m(H_RSP, 0));
    asm_ld(&a, 4, H_RDX, rm_m(H_RAX, 0));
    asm_alui(&a, 8, ALU_ADD, rm_m(H_RSP, 0), 4);
    asm_alui(&a, 8, ALU_SUB, rm_r(H_RSP), 8);
    call_c(c_function);
    asm_mov_r(&a, 8, J_T1, H_RAX);
    load_regs(volatiles, sizeof(volatiles));
    asm_alui(&a, 8, ALU_ADD, rm_r(H_RSP), 8);
    asm_8(&a, 0xc3);
}

static void make_refill(void)
{
    jit_thunks.refill = at();
    STORE_ALL();
    cpu_arg();
    asm_mov_r(&a, 8, H_RSI, J_T0);
    asm_mov_r(&a, 8, H_RDX, J_T1);
    asm_alui(&a, 8, ALU_SUB, rm_r(H_RSP), 8);
    call_c(refill);
    asm_mov_r(&a, 8, J_T1, H_RAX);
    load_regs(volatiles, sizeof(volatiles));
    asm_alui(&a, 8, ALU_ADD, rm_r(H_RSP), 8);
    asm_8(&a, 0xc3);
}

static void make_stack(void)
{
    int32_t read = TLB_READ * sizeof(TlbEntry) * TLB_SIZE, write = TLB_WRITE * sizeof(TlbEntry) * TLB_SIZE;

    for (unsigned w = 0; w < 2; w++) {
        jit_thunks.stack[w] = at();
        asm_lea(&a, 8, J_T2, rm_mx(J_T0, J_T1, 0, 0));
        asm_alui(&a, 8, ALU_AND, rm_r(J_T2), -(int32_t)GUEST_PAGE_SIZE);
        asm_op(&a, 8, 0xc1, 5, rm_r(J_T0));
        asm_8(&a, GUEST_PAGE_BITS - 4);
        asm_alui(&a, 4, ALU_AND, rm_r(J_T0), tlb_index_mask << 4);
        asm_alu(&a, 8, ALU_ADD, J_T0, jit_field(OFF(tcg.data)));
        asm_alu(&a, 8, ALU_CMP, J_T2, rm_m(J_T0, write));
        uint8_t *no = asm_jcc8(&a, CC_NE);
        asm_ld(&a, 8, J_T1, rm_m(J_T0, write + 8));
        asm_st(&a, 8, jit_field(OFF(jit_stack.page)), J_T2);
        asm_st(&a, 8, jit_field(OFF(jit_stack.addend)), J_T1);
        asm_op(&a, 8, 0xc7, 0, jit_field(OFF(jit_stack.room)));
        asm_32(&a, GUEST_PAGE_SIZE - 7);
        asm_op(&a, 8, 0xc7, 0, jit_field(OFF(jit_stack.room_run)));
        asm_32(&a, GUEST_PAGE_SIZE - 7 - JIT_STACK_RUN);
        asm_op(&a, 8, 0x85, H_RSP, rm_r(H_RSP));                    /* NE */
        asm_8(&a, 0xc3);
        asm_patch8(no, a.p);
        if (!w) {
            asm_alu(&a, 8, ALU_CMP, J_T2, rm_m(J_T0, read));
            no = asm_jcc8(&a, CC_NE);
            asm_ld(&a, 8, J_T1, rm_m(J_T0, read + 8));
            asm_op(&a, 8, 0x85, H_RSP, rm_r(H_RSP));
            asm_8(&a, 0xc3);
            asm_patch8(no, a.p);
        }
        asm_alu(&a, 4, ALU_XOR, J_T1, rm_r(J_T1));
        asm_8(&a, 0xc3);
    }
}

static void make_zero_upper(unsigned which, unsigned count)
{
    jit_thunks.zero_upper[which] = at();
    asm_op(&a, 0, 0x0f57, 0, rm_r(H_RAX));                          /* XORPS */
    for (unsigned n = 0; n < count; n++) {
        asm_op(&a, 0, 0x0f29, 0, jit_field(OFF(v[0]) + (int)(sizeof(Vec) * n) + 16));
    }
    asm_8(&a, 0xc3);
}

static void make_x87_load(void)
{
    jit_thunks.x87_load = at();
    store_regs(volatiles, sizeof(volatiles));
    asm_alui(&a, 8, ALU_SUB, rm_r(H_RSP), 8);
    cpu_arg();
    call_c(x86_x87_load);
    load_regs(volatiles, sizeof(volatiles));
    asm_alui(&a, 8, ALU_ADD, rm_r(H_RSP), 8);
    asm_8(&a, 0xc3);
}

static void make_forget(void)
{
    jit_thunks.forget = at();
    for (unsigned n = 0; n < JIT_MEMOS; n++) {
        asm_op(&a, 8, 0xc7, 0, jit_field(OFF(jit_memo[0].room) + (int)(n * sizeof(JitMemo))));
        asm_32(&a, 0);
    }
    asm_8(&a, 0xc3);
}

static void make_store(void)
{
    jit_thunks.store = at();
    STORE_ALL();
    cpu_arg();
    asm_mov_r(&a, 8, H_RSI, J_T0);
    asm_ld(&a, 8, H_RAX, rm_m(H_RSP, 0));
    asm_ld(&a, 4, H_RCX, rm_m(H_RAX, 0));
    asm_mov_r(&a, 8, H_RDX, J_T1);
    asm_alui(&a, 8, ALU_ADD, rm_m(H_RSP, 0), 4);
    asm_alui(&a, 8, ALU_SUB, rm_r(H_RSP), 8);
    call_c(slow_store);
    asm_op(&a, 1, 0x84, H_RAX, rm_r(H_RAX));
    uint8_t *leave = asm_jcc8(&a, CC_NE);
    load_regs(volatiles, sizeof(volatiles));
    asm_alui(&a, 8, ALU_ADD, rm_r(H_RSP), 8);
    asm_8(&a, 0xc3);
    asm_patch8(leave, a.p);
    leave_stored();
}

/* Not called but jumped to: T0 = target that is not known, jit_tmp[0] = for the JitSide. */
static void make_unknown(void)
{
    STORE_ALL();
    cpu_arg();
    asm_mov_r(&a, 8, H_RSI, J_T0);
    asm_ld(&a, 8, H_RDX, jit_field(OFF(jit_tmp[0])));
    call_c(jit_unknown_target);
    leave_stored();
}

/*
 * T0 = target, flat code: the block the look-up table knows for this address.  If mode and
 * mappings are as they were when that was last checked (the stamp), there it goes; else if
 * the page is still mapped where the block is.  A block that was invalidated has no mode that
 * fits, and an entry that leads back to the loop.  Nor does it go anywhere if somebody wants
 * the vCPU.
 */
static void make_look_up(const uint8_t **thunk, bool side)
{
    int32_t fetch = TLB_FETCH * sizeof(TlbEntry) * TLB_SIZE;
    int32_t entry = offsetof(Block, payload) + offsetof(JitBlock, entry);
    G_STATIC_ASSERT(sizeof(JumpEntry) == 32);
    uint8_t *miss[4];

    *thunk = at();
    asm_alui(&a, 4, ALU_CMP, jit_field(OFF(cpu.request)), 0);
    asm_st(&a, 8, jit_field(OFF(jit_tmp[0])), J_T2);
    miss[0] = asm_jcc(&a, CC_NE);
    asm_mov_r(&a, 8, J_T1, J_T0);
    asm_op(&a, 8, 0xc1, 5, rm_r(J_T1));                             /* jump_hash */
    asm_8(&a, JUMP_BITS);
    asm_alu(&a, 8, ALU_XOR, J_T1, rm_r(J_T0));
    asm_alui(&a, 4, ALU_AND, rm_r(J_T1), JUMP_SIZE - 1);
    asm_op(&a, 4, 0xc1, 4, rm_r(J_T1));
    asm_8(&a, 2);
    asm_alu(&a, 8, ALU_CMP, J_T0, rm_mx(J_CPU, J_T1, 3, OFF(tcg.jump[0].pc)));
    uint8_t *second = asm_jcc(&a, CC_NE);
    const uint8_t *hit = at();
    asm_mov_r(&a, 8, J_T2, J_T0);
    asm_op(&a, 8, 0xc1, 5, rm_r(J_T2));
    asm_8(&a, 63);
    asm_ld(&a, 8, J_T2, rm_mx(J_CPU, J_T2, 3, OFF(tcg.stamp)));
    asm_alu(&a, 8, ALU_CMP, J_T2, rm_mx(J_CPU, J_T1, 3, OFF(tcg.jump[0].stamp)));
    uint8_t *stale = asm_jcc(&a, CC_NE);
    asm_mov_r(&a, 8, J_T2, J_T0);
    asm_ld(&a, 8, J_T1, rm_mx(J_CPU, J_T1, 3, OFF(tcg.jump[0].block)));
    asm_alui(&a, 8, ALU_AND, rm_r(J_T2), -(int32_t)GUEST_PAGE_SIZE);
    asm_st(&a, 8, jit_field(OFF(r[17])), J_T2);
    asm_op(&a, 4, 0xff, 1, jit_field(OFF(jit_heat)));               /* DEC */
    asm_patch32(asm_jcc(&a, CC_S), code_rw(jit_thunks.sample));
    asm_op(&a, 4, 0xff, 4, rm_m(J_T1, entry));

    asm_patch32(stale, a.p);
    push_pop(0x50, H_RAX);
    push_pop(0x50, H_RCX);
    asm_mov_r(&a, 8, H_RAX, J_T1);
    asm_ld(&a, 8, J_T1, rm_mx(J_CPU, H_RAX, 3, OFF(tcg.jump[0].block)));
    asm_ld(&a, 4, H_RCX, jit_field(OFF(mode)));
    asm_alu(&a, 4, ALU_CMP, H_RCX, rm_m(J_T1, offsetof(Block, mode)));
    miss[1] = asm_jcc(&a, CC_NE);
    asm_mov_r(&a, 8, J_T2, J_T0);
    asm_op(&a, 8, 0xc1, 5, rm_r(J_T2));
    asm_8(&a, GUEST_PAGE_BITS - 4);
    asm_alui(&a, 4, ALU_AND, rm_r(J_T2), tlb_index_mask << 4);
    asm_alu(&a, 8, ALU_ADD, J_T2, jit_field(OFF(tcg.code)));
    asm_mov_r(&a, 8, H_RCX, J_T0);
    asm_alui(&a, 8, ALU_AND, rm_r(H_RCX), -(int32_t)GUEST_PAGE_SIZE);
    asm_alu(&a, 8, ALU_CMP, H_RCX, rm_m(J_T2, fetch));
    miss[2] = asm_jcc(&a, CC_NE);
    asm_ld(&a, 8, J_T2, rm_m(J_T2, fetch + 8));
    asm_alu(&a, 8, ALU_ADD, J_T2, rm_r(J_T0));
    asm_alu(&a, 8, ALU_CMP, J_T2, rm_m(J_T1, offsetof(Block, host)));
    miss[3] = asm_jcc(&a, CC_NE);
    asm_st(&a, 8, jit_field(OFF(r[17])), H_RCX);
    asm_mov_r(&a, 8, H_RCX, J_T0);
    asm_op(&a, 8, 0xc1, 5, rm_r(H_RCX));
    asm_8(&a, 63);
    asm_ld(&a, 8, H_RCX, rm_mx(J_CPU, H_RCX, 3, OFF(tcg.stamp)));
    asm_st(&a, 8, rm_mx(J_CPU, H_RAX, 3, OFF(tcg.jump[0].stamp)), H_RCX);
    push_pop(0x58, H_RCX);
    push_pop(0x58, H_RAX);
    asm_op(&a, 4, 0xff, 4, rm_m(J_T1, entry));
    for (unsigned k = 1; k < 4; k++) {
        asm_patch32(miss[k], a.p);
    }
    push_pop(0x58, H_RCX);
    push_pop(0x58, H_RAX);
    uint8_t *over = asm_jmp(&a);
    asm_patch32(second, a.p);
    asm_alui(&a, 4, ALU_XOR, rm_r(J_T1), 4);
    asm_alu(&a, 8, ALU_CMP, J_T0, rm_mx(J_CPU, J_T1, 3, OFF(tcg.jump[0].pc)));
    asm_patch32(asm_jcc(&a, CC_E), code_rw(hit));
    asm_patch32(over, a.p);
    asm_patch32(miss[0], a.p);
    if (side) {
        make_unknown();
    } else {
        asm_op(&a, 4, 0xff, 4, jit_field(OFF(jit_tmp[0])));
    }
}

/*
 * Is the frame at rsp + off one that returns to T0?  Then r[17] is that of the block there (T1: as
 * it was), and T0 is changed.  The branches are taken if not, if somebody wants the vCPU, and if the
 * frames are out of date.
 */
static void match_frame(int off, uint8_t *miss[2], uint8_t **moved)
{
    asm_alu(&a, 8, ALU_CMP, J_T0, rm_m(H_RSP, off + 8));
    miss[0] = asm_jcc(&a, CC_NE);
    asm_alui(&a, 4, ALU_CMP, jit_field(OFF(cpu.request)), 0);
    miss[1] = asm_jcc(&a, CC_NE);
    asm_alui(&a, 4, ALU_CMP, jit_field(OFF(tcg.moved)), 0);
    *moved = asm_jcc(&a, CC_NE);
    asm_ld(&a, 8, J_T1, jit_field(OFF(r[17])));
    asm_alui(&a, 8, ALU_AND, rm_r(J_T0), -(int32_t)GUEST_PAGE_SIZE);
    asm_st(&a, 8, jit_field(OFF(r[17])), J_T0);
}

/* Returns: T0 = target, T2 = as for jit_thunks.indirect. */
static void make_returns(void)
{
    uint8_t *miss[2], *moved;

    jit_thunks.no_frame = at();
    asm_ld(&a, 8, H_RSP, jit_field(OFF(jit_rsp)));
    asm_st(&a, 8, jit_field(OFF(r[17])), J_T1);
    asm_movi(&a, J_T0, NO_ADDRESS);
    jit_ta_jmp(jit_thunks.indirect);
    jit_thunks.returns = at();
    match_frame(0, miss, &moved);
    asm_8(&a, 0xc3);
    asm_patch32(miss[0], code_rw(jit_thunks.indirect));
    asm_patch32(miss[1], code_rw(jit_thunks.indirect));
    asm_patch32(moved, a.p);
    jit_thunks.stale = at();
    asm_ld(&a, 8, H_RSP, jit_field(OFF(jit_rsp)));
    begin_frames();
    jit_ta_jmp(jit_thunks.indirect);
}

/* A thunk of compact code, called: the RET that stands behind the call goes to the frame. */
void jit_ta_return(void)
{
    uint8_t *miss[2], *moved;

    match_frame(8, miss, &moved);
    asm_ld(&a, 8, J_T2, rm_m(H_RSP, 0));
    asm_8(&a, 0xc3);
    asm_patch32(moved, a.p);
    push_pop(0x58, J_T2);
    jit_ta_jmp(jit_thunks.stale);
    asm_patch32(miss[0], a.p);
    asm_patch32(miss[1], a.p);
    push_pop(0x58, J_T2);
    jit_ta_jmp(jit_thunks.indirect);
}

/* T0 = where, from the start of the page, which is not in it. */
static void make_cross(void)
{
    for (unsigned n = 0; n < 4; n++) {
        jit_thunks.cross[n] = at();
        if (n & 1) {
            jit_ta_save_flags(J_T1);
        }
        asm_op(&a, 8, 0x63, J_T0, rm_r(J_T0));                      /* MOVSXD */
        asm_alu(&a, 8, ALU_ADD, J_T0, jit_field(OFF(r[17])));
        if (n & 2) {
            asm_mov_r(&a, 4, J_T0, J_T0);
        }
        asm_movi(&a, J_T2, (uintptr_t)jit_thunks.dead);
        jit_ta_jmp(jit_thunks.find);
    }
}

static void make_exit(void)
{
    for (unsigned n = 0; n < 2; n++) {
        jit_thunks.exit[n] = at();
        if (n) {
            jit_ta_save_flags(J_T0);
        }
        STORE_ALL();
        cpu_arg();
        push_pop(0x58, H_RSI);
        asm_ld(&a, 8, H_RSP, jit_field(OFF(jit_rsp)));
        call_c(jit_exit_taken);
        leave_stored();
    }
}

void jit_ta_save_flags(unsigned tmp)
{
    asm_mov_r(&a, 8, tmp, H_RAX);
    asm_8(&a, 0x9f);                                                /* LAHF */
    asm_op_bytes(&a, 0, 0x0f90 | CC_O, 0, rm_r(H_RAX), 2);
    asm_st(&a, 2, jit_field(OFF(fl_image)), H_RAX);
    asm_mov_r(&a, 8, H_RAX, tmp);
}
const uint8_t *jit_ta_at(void)
{
    return at();
}
void jit_ta_store(void)
{
    STORE_ALL();
}
void jit_ta_load(void)
{
    LOAD_ALL();
}
void jit_ta_load_volatile(void)
{
    load_regs(volatiles, sizeof(volatiles));
}
void jit_ta_call(const void *c_function)
{
    call_c(c_function);
}
void jit_ta_jmp(const uint8_t *thunk)
{
    asm_patch32(asm_jmp(&a), code_rw(thunk));
}
void jit_ta_cpu_arg(void)
{
    cpu_arg();
}

void jit_make_thunks(uint8_t *rx)
{
    a.p = code_rw(rx);
    a.limit = a.p + JIT_THUNK_SIZE;
    make_leave();
    jit_thunks.call = at();
    make_call(NULL);
    jit_thunks.call_flags = at();
    make_call(jit_call_with_flags);
    jit_thunks.call_end = at();
    make_call_end(call_end);
    jit_thunks.call_end_flags = at();
    make_call_end(call_end_with_flags);
    jit_thunks.call_x87 = at();
    make_call_end(call_x87);
    jit_thunks.call_shared = at();
    make_call_end(jit_call_shared);
    jit_thunks.sse_ready = at();
    make_call_end(sse_ready);
    make_zero_upper(0, 8);
    make_zero_upper(1, 16);
    jit_thunks.load = at();
    make_load(slow_load);
    jit_thunks.probe = at();
    make_load(slow_probe);
    make_x87_load();
    make_refill();
    make_stack();
    make_forget();
    make_store();
    jit_thunks.dead = at();
    asm_st(&a, 8, jit_field(OFF(rip)), J_T0);
    jit_ta_jmp(jit_thunks.leave_set);
    jit_make_sample();
    make_look_up(&jit_thunks.find, false);
    make_look_up(&jit_thunks.indirect, true);
    make_returns();
    make_enter();
    make_cross();
    make_exit();
    make_jump();
    jit_make_compact_thunks();
    g_assert(!asm_full(&a));
}

#endif
