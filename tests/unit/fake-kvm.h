/* SPDX-License-Identifier: MIT */
/*
 * A KVM that does what a test says: the ioctls of /dev/kvm, a machine and a vCPU, answered inside
 * of this process.  For paths that no host of ours has: errors, exits, races, nested state.
 */
#ifndef TESTS_UNIT_FAKE_KVM_H
#define TESTS_UNIT_FAKE_KVM_H

#include <glib.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

#define FAKE_SLOTS  64
#define FAKE_NESTED 256
#define FAKE_EVENTFDS 4
#define FAKE_ROUTES 8

typedef struct FakeKvm {
    int dev, vm, cpu;                   /* file descriptors: memfds */
    struct kvm_run *run;                /* of the vCPU */
    /* Capabilities by number; 0 otherwise. */
    int caps[512];
    /* An ioctl that fails: its number, how often (-1: always), and errno. */
    unsigned long fails;
    int fail_count, fail_errno;
    uint32_t refused_msr;               /* KVM_SET_MSRS and GET_MSRS stop there */
    /* KVM_RUN: the return value, or -errno.  Called with how often it was before. */
    int (*on_run)(unsigned n);
    unsigned runs;
    /* The vCPU */
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    struct kvm_vcpu_events events;
    struct kvm_debugregs debugregs;
    struct kvm_xsave xsave;
    struct kvm_guest_debug debug;
    struct kvm_interrupt interrupt;
    struct kvm_mp_state mp_state;
    struct kvm_lapic_state lapic;
    unsigned interrupts, nmis;
    GHashTable *msrs;                   /* number to value, as pointers */
    uint8_t nested[FAKE_NESTED];
    /* The machine */
    struct kvm_userspace_memory_region slot[FAKE_SLOTS];
    unsigned long dirty;                /* what KVM_GET_DIRTY_LOG says of the first 64 pages */
    struct kvm_clear_dirty_log cleared;
    unsigned long cleared_bits;
    struct kvm_ioeventfd bell[FAKE_EVENTFDS];
    struct kvm_irqfd irqfd[FAKE_EVENTFDS];
    unsigned bells, irqfds;
    struct kvm_irq_routing_entry route[FAKE_ROUTES];
    unsigned routes, route_calls;
} FakeKvm;
extern FakeKvm fake;

void fake_kvm_init(void);
uint64_t fake_msr(uint32_t msr);

#endif
