/* SPDX-License-Identifier: MIT */
/*
 * The interpreter beside the kernel's local APIC: what arrives there while the interpreter has
 * the vCPU, and the vCPU's sleep.
 *
 * A visit is KVM_RUN with a signal pending.  The kernel does what is to be done before the
 * guest is entered, finds the signal and comes back without having run an instruction.  So it
 * fills the pages of kvmclock and steal time, accepts INIT, and takes an interrupt from its
 * local APIC (or NMI), which is among the events then; the interpreter delivers it.
 *
 * An APIC timer that ran out takes two visits: it is noted in the kernel, and turns into a
 * request only at the end of a KVM_RUN; KVM_GET_LAPIC shows nothing of it before.  Out of HLT it
 * is three, because a halted vCPU's first is for waking up.
 *
 * Sleep: KVM_RUN of a vCPU that is UNINITIALIZED waits for interrupts and timers as one that is
 * HALTED does, but then comes back (EAGAIN) where a halted one would run the guest.
 *
 * Source: api.rst 4.10 KVM_RUN, 4.38 KVM_GET_MP_STATE, 4.36 KVM_SET_SIGNAL_MASK.
 */
#include "target-i386/kvm.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <time.h>

#include "target-i386/helper.h"

/* Blocked, and pending from x86_kvm_pull_init on for as long as the thread lives. */
#define SIG_PULL    SIGUSR2
#define VISITS      3

void x86_kvm_pull_init(KvmCpu *k)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIG_PULL);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    pthread_kill(pthread_self(), SIG_PULL);
}

/* Without a local APIC in the kernel a vCPU there is always runnable. */
static bool set_mp_state(KvmCpu *k, uint32_t state, Error **err)
{
    struct kvm_mp_state s = { .mp_state = state };
    int res = kvm.irqchip ? kvm_ioctl(k->fd, KVM_SET_MP_STATE, &s) : 0;

    return res >= 0 || fail_errno(err, -res, "KVM_SET_MP_STATE");
}

static bool get_mp_state(KvmCpu *k, uint32_t *state, Error **err)
{
    struct kvm_mp_state s = { 0 };
    int res = kvm_ioctl(k->fd, KVM_GET_MP_STATE, &s);

    *state = s.mp_state;
    return res >= 0 || fail_errno(err, -res, "KVM_GET_MP_STATE");
}

/* KVM_RUN that comes back at once.  Exits that are none of the guest's are dealt with. */
static bool enter(KvmCpu *k, Error **err)
{
    struct {
        struct kvm_signal_mask head;
        uint64_t mask;                  /* of signals to be blocked, as the kernel numbers them */
    } m = { { .len = 8 }, ~(1ull << (SIG_PULL - 1)) };
    int res, e;

    k->run->request_interrupt_window = 0;
    kvm_ioctl(k->fd, KVM_SET_SIGNAL_MASK, &m);
    do {
        res = ioctl(k->fd, KVM_RUN, 0);
        e = errno;
    } while (res >= 0 && k->run->exit_reason == KVM_EXIT_IOAPIC_EOI && kvm_target.exit(k) == KVM_GO_ON);
    kvm_ioctl(k->fd, KVM_SET_SIGNAL_MASK, NULL);
    if (res >= 0) {
        return fail(err, "KVM_RUN with a signal pending: exit reason %u", k->run->exit_reason);
    }
    return e == EINTR || e == EAGAIN || fail_errno(err, e, "KVM_RUN");
}

/* The kernel's copy: all that decides whether an event goes in. */
static bool put(KvmCpu *k, Error **err)
{
    X86CPU *c = x86_of(k);
    X86KvmCpu *a = k->arch;
    bool halted = c->cpu.halted;

    if (k->level == STATE_RUNTIME && !a->lapic_waits && c->cr8 == a->cr8_put) {
        return x86_kvm_put_brief(k, err)
               && set_mp_state(k, halted ? KVM_MP_STATE_HALTED : KVM_MP_STATE_RUNNABLE, err);
    }
    c->cpu.halted = false;
    bool ok = x86_kvm_put(k, k->level, err);
    c->cpu.halted = halted;             /* still the interpreter's affair */
    if (!ok) {
        return false;
    }
    k->level = STATE_RUNTIME;
    return !halted || set_mp_state(k, KVM_MP_STATE_HALTED, err);
}

bool x86_kvm_visit(KvmCpu *k, Error **err)
{
    X86CPU *c = x86_of(k);
    uint64_t rip = c->rip;
    uint32_t state;

    ((X86KvmCpu *)k->arch)->visit = false;
    if (!put(k, err) || !enter(k, err) || !get_mp_state(k, &state, err)
        || !x86_kvm_get_brief(k, err)) {
        return false;
    }
    if (c->rip != rip || (state != KVM_MP_STATE_RUNNABLE && state != KVM_MP_STATE_HALTED)) {
        return x86_kvm_get(k, err);     /* INIT */
    }
    if (kvm.irqchip) {
        c->cpu.halted = state == KVM_MP_STATE_HALTED;
    }
    return true;
}

/* Has the kernel an interrupt that the guest would take now? */
static bool irq_due(X86CPU *c)
{
    LapicImage l;
    unsigned irr = 0, isr = 0;

    if (!(c->rflags & FL_IF) || c->int_shadow) {
        return false;
    }
    x86_irqchip->get_lapic(c, &l);
    for (unsigned n = 0; n < 8; n++) {
        irr = l.reg[0x20 + n] ? 32 * n + 31 - __builtin_clz(l.reg[0x20 + n]) : irr;
        isr = l.reg[0x10 + n] ? 32 * n + 31 - __builtin_clz(l.reg[0x10 + n]) : isr;
    }
    if (irr >> 4 > MAX(isr >> 4, l.reg[8] >> 4 & 15)) {
        return true;
    }
    if (!x86_irqchip_all() || (l.reg[0x35] & 1 << 16)) {
        return false;                   /* LINT0 is masked */
    }
    PicChip pic[2] = { { 0 } };
    x86_irqchip->get_pic(pic);
    return ((pic[0].irr & ~pic[0].imr) | (pic[1].irr & ~pic[1].imr)) != 0;
}

bool x86_kvm_pull(KvmCpu *k, Error **err)
{
    X86CPU *c = x86_of(k);

    if (!x86_irqchip) {
        return true;
    }
    for (unsigned n = 0; n < VISITS; n++) {
        bool halted = c->cpu.halted;
        if (((X86KvmCpu *)k->arch)->init_came) {
            ((X86KvmCpu *)k->arch)->init_came = false;
            return x86_kvm_get(k, err);
        }
        if (c->exc_vector >= 0 || c->wait_sipi || c->smm) {
            return true;
        }
        if (!x86_kvm_visit(k, err)) {
            return false;
        }
        if (c->cpu.halted == halted && c->exc_vector < 0 && !irq_due(c)) {
            return true;
        }
    }
    return true;
}

bool x86_kvm_wait(KvmCpu *k, Error **err)
{
    const struct timespec moment = { .tv_nsec = 1000000 };
    uint32_t state;

    if (x86_of(k)->smm) {               /* the kernel does not know: what wakes it there does not here */
        nanosleep(&moment, NULL);
        return true;
    }
    if (!set_mp_state(k, KVM_MP_STATE_UNINITIALIZED, err)) {
        return false;
    }
    int res = ioctl(k->fd, KVM_RUN, 0), e = errno;
    if (res < 0 && e != EINTR && e != EAGAIN) {
        return fail_errno(err, e, "KVM_RUN of a vCPU that sleeps");
    }
    /* INIT may have come */
    return get_mp_state(k, &state, err) && (state == KVM_MP_STATE_UNINITIALIZED || x86_kvm_get(k, err));
}
