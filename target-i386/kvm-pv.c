/* SPDX-License-Identifier: MIT */
/*
 * What KVM offers guests that know it: its MSRs (kvmclock, steal time, PV EOI ...), its
 * hypercalls, and the clock behind kvmclock in a saved machine.
 *
 * The kernel does all of it while it runs the guest.  Here is what the interpreter needs in
 * its turns:
 *   - RDMSR, WRMSR of those MSRs go to the kernel, which has the pages behind them.  It fills
 *     them when it is about to enter the guest; where the interpreter keeps the vCPU, a visit
 *     (KVM_RUN with a signal pending) makes it do that.
 *   - VMCALL and VMMCALL are done here.  IPIs and kicks go to the kernel's local APICs as
 *     messages; delivery mode 3 is what its KICK_CPU sends itself.
 *   - The steal-time page says while a vCPU is outside of KVM_RUN that it is preempted, and
 *     others then leave a note instead of flushing its TLB by IPI.  A vCPU that the
 *     interpreter runs is not preempted: x86_kvm_pv_awake takes that back.
 *
 * Source: the kernel's Documentation/virt/kvm/x86/msr.rst, hypercalls.rst, cpuid.rst.
 */
#include "target-i386/kvm.h"

#include "migration/vmstate.h"
#include "target-i386/helper.h"
#include "target-i386/msr.h"
#include "util/bql.h"
#include "util/log.h"

/* ---- MSRs -------------------------------------------------------------------------------- */

#define MSR_KVM_WALL_CLOCK_OLD  0x11
#define MSR_KVM_SYSTEM_TIME_OLD 0x12
#define MSR_KVM_LAST            0x4b564dff

_Static_assert(X86_KVM_POLL_CONTROL == 5 && X86_KVM_MSRS == 7, "numbered like the MSRs");

/* VMX's capabilities, and two of SVM's: no guest of the interpreter's has them. */
static bool nested(uint32_t msr)
{
    return (msr >= 0x480 && msr <= 0x491) || msr == 0xc0010114 || msr == 0xc0010117;
}

static bool mine(uint32_t msr)
{
    return (msr >= MSR_KVM_FIRST && msr <= MSR_KVM_LAST) || msr == MSR_KVM_WALL_CLOCK_OLD
           || msr == MSR_KVM_SYSTEM_TIME_OLD;
}

/* RDMSR, WRMSR in a turn of the interpreter. */
static bool own_msr(X86CPU *c, uint32_t msr, bool write, uint64_t *val)
{
    KvmCpu *k = kvm_cpu(&c->cpu);
    struct {
        struct kvm_msrs head;
        struct kvm_msr_entry entry;
    } b = { { .nmsrs = 1 }, { .index = msr, .data = *val } };

    bool nest = k && nested(msr) && ((X86KvmCpu *)k->arch)->nested;
    if (!k || !(mine(msr) || nest)
        || kvm_ioctl(k->fd, write ? KVM_SET_MSRS : KVM_GET_MSRS, &b) != 1) {
        return false;
    }
    *val = b.entry.data;
    if (write && !nest) {
        /* the old numbers of the two clocks name the same state */
        x86_kvm_msr_written(k, msr < MSR_KVM_FIRST ? msr - MSR_KVM_WALL_CLOCK_OLD + MSR_KVM_FIRST
                                                   : msr, *val);
        ((X86KvmCpu *)k->arch)->visit = true;
        k->until = 0;
    }
    return true;
}

/* ---- hypercalls --------------------------------------------------------------------------- */

enum {
    HC_VAPIC_POLL_IRQ = 1, HC_KICK_CPU = 5, HC_CLOCK_PAIRING = 9, HC_SEND_IPI = 10,
    HC_SCHED_YIELD = 11,
};
enum { HC_EPERM = -1, HC_EOPNOTSUPP = -95, HC_ENOSYS = -1000 };

#define DELIVER_FIXED   0
#define DELIVER_REMOTE  3               /* a vCPU that waits in a spinlock goes on */
#define DELIVER_NMI     4

static bool exists(uint64_t apic_id)
{
    for (guint n = 0; n < cpus->len; n++) {
        if (x86_cpu(cpu_by_index(n))->apic_id == apic_id) {
            return true;
        }
    }
    return false;
}

static void send(uint64_t apic_id, unsigned mode, uint8_t vector)
{
    uint64_t high = kvm.wide_apic_ids ? apic_id & ~0xffull : 0;

    x86_irqchip->msi(0xfee00000 | (apic_id & 0xff) << 12 | high << 32, mode << 8 | vector);
}

/* args: CPUs from args[2] on as a bitmap, low and high half; args[3] is like the ICR. */
static int64_t send_ipis(const uint64_t args[4], unsigned half)
{
    unsigned mode = args[3] >> 8 & 7;
    int64_t sent = 0;

    if (mode != DELIVER_FIXED && mode != DELIVER_NMI) {
        return HC_EOPNOTSUPP;
    }
    for (unsigned n = 0; n < 2 * half; n++) {
        uint64_t id = (uint32_t)args[2] + (uint64_t)n;
        if (!(args[n / half] >> n % half & 1) || !exists(id)) {
            continue;
        }
        if (!x86_irqchip) {
            return HC_EOPNOTSUPP;       /* as the kernel does without local APICs */
        }
        send(id, mode, args[3]);
        sent++;
    }
    return sent;
}

static int64_t hypercall(uint64_t nr, const uint64_t args[4], bool wide)
{
    switch (nr) {
    case HC_VAPIC_POLL_IRQ: case HC_SCHED_YIELD:
        return 0;
    case HC_KICK_CPU:
        if (x86_irqchip && exists(args[1])) {
            send(args[1], DELIVER_REMOTE, 0);
        }
        return 0;
    case HC_SEND_IPI:
        return send_ipis(args, wide ? 64 : 32);
    case HC_CLOCK_PAIRING:
        return HC_EOPNOTSUPP;
    }
    LOG(LOG_UNIMP, "kvm: hypercall %" G_GINT64_MODIFIER "u\n", nr);
    return HC_ENOSYS;
}

static void do_hypercall(X86CPU *c)
{
    bool wide = x86_code64(c);
    uint64_t mask = wide ? ~0ull : 0xffffffff;
    const uint64_t args[4] = { c->r[R_EBX] & mask, c->r[R_ECX] & mask, c->r[R_EDX] & mask,
                               c->r[R_ESI] & mask };
    int64_t res = HC_EPERM;

    if (x86_cpl(c) == 0) {
        bql_lock();
        res = hypercall(c->r[R_EAX] & mask, args, wide);
        bql_unlock();
    }
    c->r[R_EAX] = (uint64_t)res & mask;
}

/* ---- steal time --------------------------------------------------------------------------- */

#define STEAL_ENABLED   1
#define STEAL_ADDRESS   (~0x3full)
#define STEAL_PREEMPTED 16              /* a byte: its place in the page */

void x86_kvm_pv_awake(KvmCpu *k)
{
    X86CPU *c = x86_of(k);
    uint64_t msr = c->kvm_msr[X86_KVM_STEAL_TIME];

    if (msr & STEAL_ENABLED) {
        address_space_st(k->cpu->as, (msr & STEAL_ADDRESS) + STEAL_PREEMPTED, 0, 1);
    }
}

/* ---- the clock ---------------------------------------------------------------------------- */

/* kvmclock stands still with the machine. */
static struct {
    bool stopped;                       /* ... at this, ns */
    uint64_t clock;
    uint64_t saved;
} clk;

void x86_kvm_clock_stop(void)
{
    struct kvm_clock_data d = { 0 };

    if (!clk.stopped && kvm_ioctl(kvm.vm, KVM_GET_CLOCK, &d) >= 0) {
        clk.clock = d.clock;
        clk.stopped = true;
    }
}

void x86_kvm_clock_go(void)
{
    if (clk.stopped) {
        struct kvm_clock_data d = { .clock = clk.clock };
        kvm_ioctl(kvm.vm, KVM_SET_CLOCK, &d);
        clk.stopped = false;
    }
}

static void clock_save(void *opaque)
{
    struct kvm_clock_data d = { .clock = clk.clock };

    if (!clk.stopped) {
        kvm_ioctl(kvm.vm, KVM_GET_CLOCK, &d);
    }
    clk.saved = d.clock;
}

static bool clock_loaded(void *opaque, int version, Error **err)
{
    if (clk.saved >> 63) {
        return fail(err, "kvmclock: %" G_GINT64_MODIFIER "x is no time", clk.saved);
    }
    clk.clock = clk.saved;
    clk.stopped = true;
    return true;
}

static const VMField clock_fields[] = {
    { .name = "clock", .kind = VMF_UINT, .offset = 0, .size = 8, .count = 1 },
    VM_DONE
};
static const VMState vm_clock = {
    .name = "kvmclock", .version = 1, .pre_save = clock_save, .post_load = clock_loaded,
    .fields = clock_fields,
};

/* The first vCPU that can see the clock brings it into the saved machine. */
void x86_kvm_pv_init(const X86CPU *c)
{
    static bool done;

    if (!done && (c->features[FEAT_KVM] & KVM_CLOCK_FEATURES)) {
        done = true;
        vmstate_register("kvmclock", 0, &vm_clock, &clk.saved);
    }
}

void x86_kvm_pv_active(bool on)
{
    x86_msr_other = on ? own_msr : NULL;
    x86_hypercall_hook = on ? do_hypercall : NULL;
}
