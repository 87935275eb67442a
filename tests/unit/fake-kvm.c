/* SPDX-License-Identifier: MIT */
/*
 * A KVM inside of the process: see fake-kvm.h.  This ioctl() stands before the C library's; what is
 * not for the fake goes on to the kernel.
 */
#include "tests/unit/fake-kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

FakeKvm fake;

static int memory_fd(const char *name, size_t size)
{
    int fd = memfd_create(name, 0);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(ftruncate(fd, size), ==, 0);
    return fd;
}

#define RUN_SIZE 8192

void fake_kvm_init(void)
{
    memset(&fake, 0, sizeof(fake));
    fake.dev = memory_fd("kvm", 0);
    fake.vm = memory_fd("vm", 0);
    fake.cpu = memory_fd("vcpu", RUN_SIZE);
    fake.run = mmap(NULL, RUN_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fake.cpu, 0);
    g_assert_true(fake.run != MAP_FAILED);
    fake.msrs = g_hash_table_new(NULL, NULL);
    fake.caps[KVM_CAP_NR_MEMSLOTS] = 32;
    fake.caps[KVM_CAP_READONLY_MEM] = fake.caps[KVM_CAP_TSC_CONTROL] = 1;
}

uint64_t fake_msr(uint32_t msr)
{
    return (uint64_t)(uintptr_t)g_hash_table_lookup(fake.msrs, GUINT_TO_POINTER(msr));
}

static int msrs(struct kvm_msrs *m, bool write)
{
    for (unsigned n = 0; n < m->nmsrs; n++) {
        struct kvm_msr_entry *e = &m->entries[n];
        if (e->index == fake.refused_msr) {
            return n;
        }
        if (write) {
            g_hash_table_insert(fake.msrs, GUINT_TO_POINTER(e->index), (void *)(uintptr_t)e->data);
        } else {
            e->data = fake_msr(e->index);
        }
    }
    return m->nmsrs;
}

static int supported(struct kvm_cpuid2 *c)
{
    static const struct kvm_cpuid_entry2 list[] = {
        { .function = 0, .eax = 0xd },
        { .function = 1, .ecx = 1u << 5 | 1u << 26, .edx = ~0u },       /* VMX, XSAVE */
        { .function = 0xd, .index = 0, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX, .eax = 7 },
        { .function = 0x80000001, .ecx = 1, .edx = ~0u },
        { .function = 0x40000001, .eax = ~0u },
    };
    memcpy(c->entries, list, sizeof(list));
    c->nent = G_N_ELEMENTS(list);
    return 0;
}

static int dev_ioctl(unsigned long req, void *arg)
{
    switch (req) {
    case KVM_CHECK_EXTENSION:
        return (uintptr_t)arg < G_N_ELEMENTS(fake.caps) ? fake.caps[(uintptr_t)arg] : 0;
    case KVM_GET_SUPPORTED_CPUID: return supported(arg);
    case KVM_GET_MSRS: return 0;
    }
    return -EINVAL;
}

/* Adding takes a file that is open, and so does taking away. */
static int ioeventfd(const struct kvm_ioeventfd *e)
{
    if (fcntl(e->fd, F_GETFD) < 0) {
        return -EBADF;
    }
    for (unsigned n = 0; n < fake.bells; n++) {
        if (fake.bell[n].addr == e->addr && fake.bell[n].fd == e->fd) {
            if (!(e->flags & KVM_IOEVENTFD_FLAG_DEASSIGN)) {
                return -EEXIST;
            }
            fake.bell[n] = fake.bell[--fake.bells];
            return 0;
        }
    }
    if ((e->flags & KVM_IOEVENTFD_FLAG_DEASSIGN) || fake.bells == FAKE_EVENTFDS) {
        return e->flags & KVM_IOEVENTFD_FLAG_DEASSIGN ? -ENOENT : -ENOSPC;
    }
    fake.bell[fake.bells++] = *e;
    return 0;
}

static int irqfd(const struct kvm_irqfd *e)
{
    if (fcntl(e->fd, F_GETFD) < 0) {
        return -EBADF;
    }
    if (!(e->flags & KVM_IRQFD_FLAG_DEASSIGN)) {
        fake.irqfd[fake.irqfds++ % FAKE_EVENTFDS] = *e;
        return 0;
    }
    fake.irqfds--;
    return 0;
}

static int set_routes(const struct kvm_irq_routing *r)
{
    g_assert_cmpuint(r->nr, <=, FAKE_ROUTES);
    memcpy(fake.route, r->entries, r->nr * sizeof(r->entries[0]));
    fake.routes = r->nr;
    fake.route_calls++;
    return 0;
}

static int vm_ioctl(unsigned long req, void *arg)
{
    switch (req) {
    case KVM_CHECK_EXTENSION: return dev_ioctl(req, arg);
    case KVM_SET_USER_MEMORY_REGION: {
        const struct kvm_userspace_memory_region *r = arg;
        if (r->slot >= FAKE_SLOTS) {
            return -EINVAL;
        }
        fake.slot[r->slot] = *r;
        return 0;
    }
    case KVM_GET_DIRTY_LOG:
        *(unsigned long *)((struct kvm_dirty_log *)arg)->dirty_bitmap = fake.dirty;
        return 0;
    case KVM_CLEAR_DIRTY_LOG:
        fake.cleared = *(struct kvm_clear_dirty_log *)arg;
        fake.cleared_bits = *(unsigned long *)fake.cleared.dirty_bitmap;
        return 0;
    case KVM_CREATE_VCPU: return dup(fake.cpu);
    case KVM_IOEVENTFD: return ioeventfd(arg);
    case KVM_IRQFD: return irqfd(arg);
    case KVM_SET_GSI_ROUTING: return set_routes(arg);
    case KVM_SET_TSS_ADDR: case KVM_SET_IDENTITY_MAP_ADDR: case KVM_ENABLE_CAP: return 0;
    }
    return -EINVAL;
}

#define COPY(req, field)                                                        \
    case KVM_GET_##req: memcpy(arg, &fake.field, sizeof(fake.field)); return 0; \
    case KVM_SET_##req: memcpy(&fake.field, arg, sizeof(fake.field)); return 0

static int nested(struct kvm_nested_state *s, bool write)
{
    const struct kvm_nested_state *have = (const void *)fake.nested;

    if (write) {
        memcpy(fake.nested, s, MIN(s->size, (uint32_t)FAKE_NESTED));
    } else if (s->size < have->size) {
        return -E2BIG;
    } else {
        memcpy(s, have, have->size);
    }
    return 0;
}

static int cpu_ioctl(unsigned long req, void *arg)
{
    switch (req) {
    COPY(REGS, regs);
    COPY(SREGS, sregs);
    COPY(VCPU_EVENTS, events);
    COPY(DEBUGREGS, debugregs);
    COPY(XSAVE, xsave);
    COPY(MP_STATE, mp_state);
    COPY(LAPIC, lapic);
    case KVM_SET_SIGNAL_MASK: return 0;
    case KVM_GET_XCRS: memset(arg, 0, sizeof(struct kvm_xcrs)); return 0;
    case KVM_GET_MSRS: return msrs(arg, false);
    case KVM_SET_MSRS: return msrs(arg, true);
    case KVM_GET_NESTED_STATE: return nested(arg, false);
    case KVM_SET_NESTED_STATE: return nested(arg, true);
    case KVM_INTERRUPT: fake.interrupts++; fake.interrupt = *(struct kvm_interrupt *)arg; return 0;
    case KVM_NMI: fake.nmis++; return 0;
    case KVM_SET_GUEST_DEBUG: fake.debug = *(struct kvm_guest_debug *)arg; return 0;
    case KVM_GET_TSC_KHZ: return 2000000;
    case KVM_SET_TSC_KHZ: case KVM_SET_CPUID2: case KVM_SET_XCRS: return 0;
    case KVM_RUN: return fake.on_run(fake.runs++);
    }
    return -EINVAL;
}

int ioctl(int fd, unsigned long req, ...)
{
    va_list ap;

    va_start(ap, req);
    void *arg = va_arg(ap, void *);
    va_end(ap);
    struct kvm_run *run = fake.run;
    int kind = !fake.dev ? 0 : fd == fake.dev ? 1 : fd == fake.vm ? 2 : fd > fake.cpu && run
                 && _IOC_TYPE(req) == KVMIO ? 3 : 0;
    if (!kind) {
        return syscall(SYS_ioctl, fd, req, arg);
    }
    int res = req == fake.fails && fake.fail_count ? -fake.fail_errno
              : kind == 1 ? dev_ioctl(req, arg) : kind == 2 ? vm_ioctl(req, arg) : cpu_ioctl(req, arg);
    if (req == fake.fails && fake.fail_count > 0) {
        fake.fail_count--;
    }
    if (res < 0) {
        errno = -res;
        return -1;
    }
    return res;
}
