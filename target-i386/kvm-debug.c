/* SPDX-License-Identifier: MIT */
/*
 * A debugger's breakpoints in a guest that the kernel runs: four in the CPU's debug registers
 * (the guest's own are put aside meanwhile), and INT3 stored into the code.  What fits neither
 * (a fifth watchpoint, one of seven bytes) makes the guest the interpreter's.
 *
 * Source: api.rst 4.87 KVM_SET_GUEST_DEBUG; SDM 3B 18.2.
 */
#include "target-i386/kvm.h"

#include "accel/debug.h"
#include "target-i386/helper.h"

#define DEBUG_REGS  4
#define DR7_GE      (1u << 9)
#define OP_INT3     0xcc

/* ---- debug registers -------------------------------------------------------------------------- */

/* Length field of DR7, or -1. */
static int length_code(const Breakpoint *b)
{
    static const int8_t code[9] = { -1, 0, 1, -1, 3, -1, -1, -1, 2 };

    if (b->type == BP_HARD) {
        return 0;
    }
    return b->len <= 8 && !(b->addr & (b->len - 1)) ? code[b->len] : -1;
}

/* The points that go into the registers, by number; false: some have no place. */
static bool assign(const Breakpoint *reg[DEBUG_REGS])
{
    unsigned used = 0;

    for (unsigned n = 0; n < DEBUG_REGS; n++) {
        reg[n] = NULL;
    }
    for (unsigned n = 0; n < debug_points; n++) {
        const Breakpoint *b = debug_point(n);
        if (b->type == BP_SOFT) {
            continue;
        }
        /* the emulator of a software KVM looks at those for code alone */
        bool data = b->type != BP_HARD;
        if (b->type == BP_READ || (data && kvm.software) || used == DEBUG_REGS || length_code(b) < 0) {
            return false;
        }
        reg[used++] = b;
    }
    return true;
}

bool x86_kvm_debug_set(KvmCpu *k, bool step)
{
    struct kvm_guest_debug d = { 0 };
    const Breakpoint *reg[DEBUG_REGS];

    if (step) {
        d.control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP;
#ifdef KVM_GUESTDBG_BLOCKIRQ
        static int block_irq = -1;
        if (block_irq < 0) {
            block_irq = kvm_cap(KVM_CAP_SET_GUEST_DEBUG2) & KVM_GUESTDBG_BLOCKIRQ;
        }
        d.control |= block_irq;
#endif
    }
    kvm.debug_interprets = !assign(reg);
    if (debug_points && !kvm.turns && !kvm.debug_interprets) {
        d.control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP | KVM_GUESTDBG_USE_HW_BP;
        d.arch.debugreg[7] = DR7_ONE | DR7_GE;
        for (unsigned n = 0; n < DEBUG_REGS && reg[n]; n++) {
            static const uint8_t rw[] = { [BP_HARD] = 0, [BP_WRITE] = 1, [BP_ACCESS] = 3 };
            d.arch.debugreg[n] = reg[n]->addr;
            d.arch.debugreg[7] |= 2ull << 2 * n
                                  | (uint64_t)(length_code(reg[n]) << 2 | rw[reg[n]->type]) << (16 + 4 * n);
        }
    }
    return kvm_ioctl(k->fd, KVM_SET_GUEST_DEBUG, &d) >= 0;
}

/* ---- INT3 ----------------------------------------------------------------------------------------- */

static bool translate(uint64_t addr, hwaddr *pa)
{
    for (guint n = 0; n < cpus->len; n++) {
        CPU *c = cpu_by_index(n);
        if (c->ops->translate(c, addr, pa)) {
            return true;
        }
    }
    return false;
}

static bool patch(BpOp op, uint64_t addr)
{
    AddressSpace *as = cpu_by_index(0)->as;
    hwaddr pa;

    for (unsigned n = 0; n < debug_points; n++) {
        Breakpoint *b = debug_point(n);
        if (b->type != BP_SOFT || b->addr != addr) {
            continue;
        }
        if (!translate(addr, &pa)) {
            return op == BP_REMOVE;
        }
        uint8_t now = address_space_ld(as, pa, 1), int3 = OP_INT3;
        if (op == BP_INSERT) {
            b->original = now;
            address_space_write_rom(as, pa, &int3, 1);
        } else if (now == OP_INT3) {
            address_space_write_rom(as, pa, &b->original, 1);
        }
    }
    return true;
}

bool x86_kvm_breakpoint(KvmCpu *k, BpOp op, uint64_t addr, int type)
{
    const Breakpoint *reg[DEBUG_REGS];

    kvm.debug_interprets = !assign(reg);
    return type != BP_SOFT || k->cpu->index > 0 || patch(op, addr);
}

KvmVerdict x86_kvm_debug_exit(KvmCpu *k)
{
    const struct kvm_debug_exit_arch *d = &k->run->debug.arch;
    const Breakpoint *reg[DEBUG_REGS];

    if (d->exception == EXC_BP) {
        /* one of the guest's own: the interpreter executes it */
        return debug_code_at(d->pc) ? KVM_UNKNOWN : KVM_INTERPRET;
    }
    assign(reg);
    for (unsigned n = 0; n < DEBUG_REGS; n++) {
        if (reg[n] && (d->dr6 >> n & 1)) {
            if (reg[n]->type != BP_HARD) {
                k->cpu->debug_hit = reg[n]->type;
                k->cpu->debug_hit_addr = reg[n]->addr;
            }
            return KVM_UNKNOWN;
        }
    }
    return KVM_GO_ON;
}
