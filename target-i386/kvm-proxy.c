/* SPDX-License-Identifier: MIT */
/*
 * Accesses of the interpreter's to interrupt controllers that are in the kernel.
 *
 * No ioctl reads or writes a register of a chip; getting and setting the whole state loses what
 * arrives in between.  So the vCPU does it: its kernel half, whose registers are old while the
 * interpreter has the truth, is put into flat real mode at an instruction that does the access,
 * and makes one single step.  Interrupts are off and NMIs masked meanwhile.
 *
 * The instructions lie in a page of guest-physical memory beside the ones that KVM itself wants
 * there (KVM_SET_TSS_ADDR).
 */
#include "target-i386/kvm.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "target-i386/helper.h"
#include "util/log.h"

#define PAGE        0xfeffa000ull
#define STRIDE      16

/* With 16-bit operands and addresses; the address is in EDI or DX, the value in EAX.  By
 * [port][write][log2 of size]. */
static const uint8_t code[2][2][3][4] = {
    { { { 0x67, 0x8a, 0x07 }, { 0x67, 0x8b, 0x07 }, { 0x66, 0x67, 0x8b, 0x07 } },
      { { 0x67, 0x88, 0x07 }, { 0x67, 0x89, 0x07 }, { 0x66, 0x67, 0x89, 0x07 } } },
    { { { 0xec }, { 0xed }, { 0x66, 0xed } }, { { 0xee }, { 0xef }, { 0x66, 0xef } } },
};

static unsigned place(bool port, bool write, unsigned log)
{
    return ((port * 2 + write) * 3 + log) * STRIDE;
}

bool x86_kvm_proxy_init(Error **err)
{
    static uint8_t page[GUEST_PAGE_SIZE] __attribute__((aligned(GUEST_PAGE_SIZE)));

    for (unsigned n = 0; n < 12; n++) {
        memcpy(page + n * STRIDE, code[n / 6][n / 3 % 2][n % 3], sizeof(code[0][0][0]));
    }
    return kvm_slots_own_page(PAGE, page) || fail(err, "KVM does not map a page for accesses to its "
                                                 "interrupt controllers; use kernel-irqchip=off");
}

void x86_kvm_flat_sregs(const X86CPU *c, struct kvm_sregs *s)
{
    struct kvm_segment data = { .limit = 0xffffffff, .type = 3, .present = 1, .s = 1, .g = 1 };
    struct kvm_segment ldt = { .limit = 0xffff, .type = 2, .present = 1 };

    *s = (struct kvm_sregs) {
        .cs = { .base = PAGE, .selector = PAGE >> 4 & 0xffff, .limit = 0xffff, .type = 11,
                .present = 1, .s = 1 },
        .ds = data, .es = data, .fs = data, .gs = data, .ss = data, .ldt = ldt,
        .tr = { .limit = 0xffff, .type = 11, .present = 1 }, .idt = { .limit = 0xffff },
        .gdt = { .limit = 0xffff }, .cr0 = CR0_ET, .apic_base = c->apic_base, .cr8 = c->cr8,
    };
}

static bool begin(KvmCpu *k)
{
    const X86CPU *c = x86_of(k);
    X86KvmCpu *a = k->arch;
    struct kvm_sregs s;
    struct kvm_vcpu_events e = { .flags = KVM_VCPUEVENT_VALID_SHADOW, .nmi = { .masked = 1 } };
    struct kvm_mp_state runnable = { .mp_state = KVM_MP_STATE_RUNNABLE };

    if (a->proxy) {
        return true;
    }
    x86_kvm_flat_sregs(c, &s);
    if (kvm_ioctl(k->fd, KVM_SET_SREGS, &s) < 0 || !x86_kvm_lapic_put(k, NULL)
        || kvm_ioctl(k->fd, KVM_SET_VCPU_EVENTS, &e) < 0
        || kvm_ioctl(k->fd, KVM_SET_MP_STATE, &runnable) < 0) {
        return false;
    }
    a->cr8_put = c->cr8;
    return a->proxy = x86_kvm_debug_set(k, true);
}

void x86_kvm_proxy_end(KvmCpu *k)
{
    X86KvmCpu *a = k->arch;

    if (a->proxy) {
        a->proxy = false;
        x86_kvm_debug_set(k, false);
    }
}

/* Something brought the vCPU back before its step was done. */
static bool init_came(KvmCpu *k)
{
    struct kvm_mp_state s = { 0 };

    return kvm_ioctl(k->fd, KVM_GET_MP_STATE, &s) < 0 || s.mp_state != KVM_MP_STATE_RUNNABLE;
}

static bool step(KvmCpu *k)
{
    for (;;) {
        /* kicks are seen by the interpreter, too: CPU.request is up */
        __atomic_store_n(&k->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
        k->run->request_interrupt_window = 0;
        if (ioctl(k->fd, KVM_RUN, 0) < 0) {
            if ((errno != EINTR && errno != EAGAIN) || init_came(k)) {
                return false;
            }
            continue;
        }
        switch (k->run->exit_reason) {
        case KVM_EXIT_DEBUG:
            k->unfinished = false;
            return true;
        case KVM_EXIT_IO:
            kvm_do_io(k);
            break;
        case KVM_EXIT_MMIO:
            kvm_do_mmio(k);
            break;
        case KVM_EXIT_INTR: case KVM_EXIT_IRQ_WINDOW_OPEN:
            break;
        case KVM_EXIT_IOAPIC_EOI:
            kvm_target.exit(k);
            break;
        default:
            LOG(LOG_UNIMP, "kvm: access to a chip: exit reason %u\n", k->run->exit_reason);
            return false;
        }
    }
}

bool x86_kvm_chip_access(KvmCpu *k, bool port, hwaddr addr, unsigned size, bool write, uint64_t *val)
{
    X86KvmCpu *a = k->arch;
    struct kvm_regs r = { .rflags = FL_1, .rdi = addr, .rdx = addr, .rax = write ? *val : 0 };

    if (size > 4 || addr >> 32 || a->init_came) {
        return false;
    }
    r.rip = place(port, write, __builtin_ctz(size));
    if (!begin(k) || kvm_ioctl(k->fd, KVM_SET_REGS, &r) < 0) {
        return false;
    }
    if (!step(k)) {
        a->init_came = init_came(k);
        __atomic_store_n(&k->until, 0, __ATOMIC_RELAXED);
        *val = 0;
        return a->init_came;            /* what the vCPU does now is of no interest */
    }
    if (!write) {
        if (kvm_ioctl(k->fd, KVM_GET_REGS, &r) < 0) {
            return false;
        }
        *val = r.rax & (~0ull >> (64 - 8 * size));
    }
    return true;
}
