/* SPDX-License-Identifier: MIT */
/*
 * x86 under KVM: interrupts in, exits out.
 *
 * With the interrupt controllers in the emulator, an interrupt goes in by KVM_INTERRUPT when
 * the kernel says the guest would take it; if not, request_interrupt_window brings the vCPU
 * back when it would.  CR8 and IA32_APIC_BASE travel in struct kvm_run.  With the local APIC
 * in the kernel (kvm-irqchip.c) that is left for the 8259 pair alone (kernel-irqchip=split),
 * and a halted vCPU, or one that waits for SIPI, sleeps in KVM_RUN.
 *
 * INIT, SIPI, SMI and machine checks are carried out by the interpreter, and it runs system
 * management mode from SMI to RSM, and everything while line A20 is held low: KVM can't mask
 * an address line, and its own SMM needs a second map of memory for what takes microseconds.
 */
#include "target-i386/kvm.h"

#include <string.h>
#include <sys/ioctl.h>

#include "target-i386/cpuid.h"
#include "target-i386/helper.h"
#include "target-i386/msr.h"
#include "util/bql.h"
#include "util/log.h"

bool x86_kvm_msr_exits;

/* Old Intel CPUs can't run real mode themselves; the kernel needs pages for a TSS and an
 * identity map where no memory is: below the firmware, where QEMU has them too. */
#define IDENTITY_MAP 0xfeffc000ull
#define TSS_PAGES    0xfeffd000ull

static bool init(Error **err)
{
    uint64_t map = IDENTITY_MAP;

    kvm_ioctl(kvm.vm, KVM_SET_IDENTITY_MAP_ADDR, &map);
    int res = kvm_ioctl(kvm.vm, KVM_SET_TSS_ADDR, (void *)(uintptr_t)TSS_PAGES);
    if (res < 0) {
        return fail_errno(err, -res, "KVM_SET_TSS_ADDR");
    }
    /* An MSR the kernel does not know, or whose value it refuses (it refuses x2APIC's while
     * the local APIC is ours), comes to us before it is a #GP. */
    x86_kvm_msr_exits = kvm_cap(KVM_CAP_X86_USER_SPACE_MSR)
                        && kvm_enable_cap(KVM_CAP_X86_USER_SPACE_MSR, KVM_MSR_EXIT_REASON_UNKNOWN
                                                                      | KVM_MSR_EXIT_REASON_INVAL);
    if (!x86_kvm_irqchip_init(err)) {
        return false;
    }
    x86_kvm_cpuid_init();
    return true;
}

/* ---- a vCPU ------------------------------------------------------------------------------ */

static void setup_mce(KvmCpu *k)
{
    uint64_t supported = 0;

    if (x86_has(x86_of(k), CPUID_MCA) && kvm_cap(KVM_CAP_MCE)
        && kvm_ioctl(kvm.fd, KVM_X86_GET_MCE_CAP_SUPPORTED, &supported) >= 0) {
        uint64_t cap = MCE_BANKS | ((MCG_CTL_P | MCG_SER_P) & supported);
        kvm_ioctl(k->fd, KVM_X86_SETUP_MCE, &cap);
    }
}

static bool setup_tsc(KvmCpu *k, Error **err)
{
    X86CPU *c = x86_of(k);
    int khz = kvm_ioctl(k->fd, KVM_GET_TSC_KHZ, NULL);

    if (c->tsc_hz && kvm_cap(KVM_CAP_TSC_CONTROL)
        && kvm_ioctl(k->fd, KVM_SET_TSC_KHZ, (void *)(uintptr_t)(c->tsc_hz / 1000)) >= 0) {
        return true;
    }
    if (khz > 0) {
        if (kvm.late && c->tsc_hz / 1000 != (uint64_t)khz) {
            return fail(err, "the guest counts on a TSC of %" G_GUINT64_FORMAT " kHz, and this host "
                        "can't make one of its %d kHz; start with -cpu ...,tsc-frequency=%d000",
                        c->tsc_hz / 1000, khz, khz);
        }
        if (c->tsc_hz && c->tsc_hz / 1000 != (uint64_t)khz) {
            warn_report("kvm: the TSC runs at the host's %d kHz; this host can't scale it", khz);
        }
        c->tsc_hz = khz * 1000ull;
    }
    return true;
}

/* The kernel's local APIC takes its id from this. */
static unsigned vcpu_id(const CPU *c)
{
    return x86_cpu((CPU *)c)->apic_id;
}

static bool cpu_create(KvmCpu *k, Error **err)
{
    k->arch = g_new0(X86KvmCpu, 1);
    if (!x86_kvm_cpuid_set(k, err) || !setup_tsc(k, err)) {
        return false;
    }
    setup_mce(k);
    x86_kvm_msrs_init(k);
    x86_kvm_pv_init(x86_of(k));
    x86_kvm_irqchip_guest(x86_of(k));
    x86_kvm_nested_init(k);
    return kvm_ioctl(k->fd, KVM_GET_XSAVE, &((X86KvmCpu *)k->arch)->xsave) >= 0
           || fail(err, "KVM_GET_XSAVE failed");
}

/*
 * What a software KVM can't do, where it can be foreseen:
 *   - It runs the guest's ring 3 on the host's ring 3.  There SYSCALL does what that kernel's
 *     own paravirtual guests expect (it goes to LSTAR and stays in ring 3), INT n is #UD.  When
 *     the guest leaves for ring 3 it is too late; so what has switched SYSCALL on in 64-bit mode
 *     belongs to the interpreter, and so does, where it has turns, what has loaded a task
 *     register, without which nobody comes back from ring 3.
 *   - Setting CR0.PG outside of long mode is #GP.  Where the interpreter has turns it runs
 *     protected mode without paging; where not, see doubt().  A second CPU comes there with
 *     an IDT, which sees the #GP: until it is in long mode it is the interpreter's anyhow (not
 *     where the kernel starts it, with kernel-irqchip=on or split).
 * Real mode and small 64-bit systems in ring 0 are run by the kernel.
 */
static bool software_would_break(const KvmCpu *k)
{
    const X86CPU *c = x86_of(k);
    const X86KvmCpu *a = k->arch;
    bool paging = c->cr0 & CR0_PG, protection = c->cr0 & CR0_PE;

    if (!kvm.software || !k->here) {
        return false;
    }
    return x86_kvm_paging_fails(c) || x86_cpl(c) == 3 || (x86_long_mode(c) && (c->efer & EFER_SCE))
           || (k->cpu->index && !x86_long_mode(c)) || (a->paging_fails && protection && !x86_long_mode(c))
           || (kvm.turns && protection && (!paging || (c->tr.sel & ~7u)));
}

/* ---- before and after ---------------------------------------------------------------------- */

static bool must_stay(KvmCpu *k)
{
    const X86CPU *c = x86_of(k);

    return c->smm || x86_a20_mask != ~0ull || c->exc_vector >= 0 || c->exc_old_vector >= 0;
}

static bool wants_interpreter(KvmCpu *k, uint32_t request)
{
    const X86CPU *c = x86_of(k);

    if (kvm.irqchip && k->here && c->wait_sipi) {
        return false;
    }
    if (k->here && ((X86KvmCpu *)k->arch)->visit && !must_stay(k)) {
        x86_kvm_visit(k, NULL);
    }
    bool wanted = (request & (CPU_REQ_SMI | CPU_REQ_INIT | CPU_REQ_SIPI | CPU_REQ_MCE)) || c->smm
                  || c->wait_sipi || x86_a20_mask != ~0ull || software_would_break(k)
                  || (k->here && (c->exc_vector >= 0 || c->pending_dbg || c->running_one));
    return wanted && !x86_kvm_nested_guest(k);
}

static void inject_nmi(X86CPU *c, KvmCpu *k)
{
    cpu_clear_request(k->cpu, CPU_REQ_NMI);
    for (unsigned n = __atomic_exchange_n(&c->nmi_queued, 0, __ATOMIC_ACQ_REL); n; n--) {
        kvm_told(kvm_ioctl(k->fd, KVM_NMI, NULL), "an NMI is lost (KVM_NMI)");
    }
}

static void inject_irq(X86CPU *c, KvmCpu *k)
{
    struct kvm_run *run = k->run;

    run->request_interrupt_window = 1;
    if (!run->ready_for_interrupt_injection) {
        return;
    }
    int vector = x86_take_irq(c);
    if (vector >= 0) {
        struct kvm_interrupt irq = { .irq = vector };
        kvm_told(kvm_ioctl(k->fd, KVM_INTERRUPT, &irq), "an interrupt is lost (KVM_INTERRUPT)");
        run->ready_for_interrupt_injection = 0;
    }
    run->request_interrupt_window = c->irq_waiting;
    if (c->irq_waiting) {
        c->irq_waiting = false;
        __atomic_fetch_or(&k->cpu->request, CPU_REQ_IRQ, __ATOMIC_SEQ_CST);
    }
}

/* The task priority is read without the big lock: only this thread writes it. */
static void before_run(KvmCpu *k)
{
    X86CPU *c = x86_of(k);
    X86KvmCpu *a = k->arch;
    uint32_t request = cpu_pending(k->cpu);

    if (unlikely(request & CPU_REQ_NMI)) {
        inject_nmi(c, k);
    }
    k->run->request_interrupt_window = 0;
    if ((request & CPU_REQ_IRQ) && kvm.irqchip != KVM_IRQCHIP_ON) {
        inject_irq(c, k);
    }
    if (kvm.irqchip) {
        return;                         /* the task priority is the kernel's */
    }
    a->cr8 = c->apic ? c->apic_ops->get_tpr(c->apic) >> 4 : 0;
    k->run->cr8 = a->cr8;
}

static void after_run(KvmCpu *k)
{
    X86CPU *c = x86_of(k);
    X86KvmCpu *a = k->arch;
    const struct kvm_run *run = k->run;

    if (kvm.irqchip) {
        return;
    }
    if (unlikely(run->cr8 != a->cr8) && c->apic) {
        bql_lock();
        c->apic_ops->set_tpr(c->apic, run->cr8 << 4);
        bql_unlock();
        a->cr8 = run->cr8;
    }
    if (unlikely(run->apic_base != c->apic_base)) {
        bql_lock();
        c->apic_base = run->apic_base;
        if (c->apic) {
            c->apic_ops->set_base(c->apic, c->apic_base);
        }
        bql_unlock();
    }
}

/* What x86_cpu_has_work looks at. */
static void halted(KvmCpu *k)
{
    X86CPU *c = x86_of(k);
    struct kvm_vcpu_events e;

    k->cpu->halted = true;
    c->rflags = (c->rflags & ~(uint64_t)FL_IF) | (k->run->if_flag ? FL_IF : 0);
    if (kvm_ioctl(k->fd, KVM_GET_VCPU_EVENTS, &e) >= 0) {
        c->nmi_masked = e.nmi.masked;
    }
    c->nmi_pending = 0;
    c->exc_vector = -1;
    c->pending_dbg = 0;
}

/* ---- exits ------------------------------------------------------------------------------------ */

static KvmVerdict do_msr(KvmCpu *k, bool write)
{
    X86CPU *c = x86_of(k);
    struct kvm_run *run = k->run;
    uint64_t val = run->msr.data;
    bool x2apic = run->msr.index >= MSR_X2APIC_FIRST && run->msr.index <= MSR_X2APIC_LAST;
    bool ours = run->msr.reason != KVM_MSR_EXIT_REASON_INVAL || x2apic;
    bool ok = !ours ? false : write ? x86_msr_write(c, run->msr.index, val) : x86_msr_read(c, run->msr.index, &val);

    LOG(LOG_UNIMP, "kvm: %s of MSR %x %s\n", write ? "WRMSR" : "RDMSR", run->msr.index,
        ok ? "done here" : "refused");
    run->msr.error = !ok;
    run->msr.data = val;
    k->unfinished = true;
    return KVM_GO_ON;
}

static KvmVerdict handle(KvmCpu *k)
{
    switch (k->run->exit_reason) {
    case KVM_EXIT_SET_TPR:              /* after_run took it */
        return KVM_GO_ON;
    case KVM_EXIT_IOAPIC_EOI:
        bql_lock();
        if (x86_eoi_hook) {
            x86_eoi_hook(k->run->eoi.vector);
        }
        bql_unlock();
        return KVM_GO_ON;
    case KVM_EXIT_X86_RDMSR:
        return do_msr(k, false);
    case KVM_EXIT_X86_WRMSR:
        return do_msr(k, true);
    }
    return KVM_UNKNOWN;
}

/* ---- the interpreter beside the kernel's local APIC ----------------------------------------- */

/* A vCPU that waits for SIPI would run on in the kernel. */
static bool starts_in_kernel(KvmCpu *k)
{
    return kvm.irqchip && k->here && x86_of(k)->wait_sipi
           && (kvm.software || __atomic_load_n(&kvm.homeless, __ATOMIC_RELAXED));
}

/*
 * Software KVMs were seen to answer CR0.PG outside of long mode with #GP, and a guest that is
 * on its way to paging has no IDT yet.  The registers are as before the instruction.
 */
static bool doubt(KvmCpu *k)
{
    X86CPU *c = x86_of(k);

    ((X86KvmCpu *)k->arch)->paging_fails |= !x86_long_mode(c);
    c->exc_vector = c->exc_old_vector = -1;
    c->pending_dbg = 0;
    return true;
}

static AddressSpace *memory_seen(KvmCpu *k)
{
    return k->cpu->as;                  /* SMM is the interpreter's */
}

static void active(bool on)
{
    x86_kvm_irqchip_active(on);
    x86_kvm_pv_active(on);
}

const KvmTarget kvm_target = {
    .init = init,
    .active = active,
    .chip_access = x86_kvm_chip_access,
    .starts_in_kernel = starts_in_kernel,
    .kernels_alone = x86_kvm_nested_guest,
    .step = x86_kvm_debug_set,
    .breakpoint = x86_kvm_breakpoint,
    .debug_exit = x86_kvm_debug_exit,
    .pull = x86_kvm_pull,
    .wait = x86_kvm_wait,
    .message = x86_kvm_message,
    .thread_init = x86_kvm_pull_init,
    .vcpu_id = vcpu_id,
    .cpu_create = cpu_create,
    .get = x86_kvm_get,
    .put = x86_kvm_put,
    .get_general = x86_kvm_get_regs,
    .put_general = x86_kvm_put_regs,
    .wants_interpreter = wants_interpreter,
    .before_run = before_run,
    .after_run = after_run,
    .doubt = doubt,
    .halted = halted,
    .exit = handle,
    .as = memory_seen,
};
