/* SPDX-License-Identifier: MIT */
/*
 * Nested virtualization: what VMX or SVM operation of the guest's leaves in the kernel, as a
 * section "kvm-nested" of the saved machine, one for each vCPU that has the flag.
 *
 * The interpreter knows neither VMX nor SVM.  Between the guest's own instructions that does not
 * matter, but a nested guest of the guest's is the kernel's alone: what the interpreter is wanted
 * for waits until it has left, and an instruction that fails there can't be continued.
 *
 * The state is put after the special registers, because the kernel wants to see EFER.SVME and
 * CR4.VMXE, and after IA32_FEATURE_CONTROL.
 *
 * Source: api.rst 4.114 KVM_GET_NESTED_STATE, 4.115 KVM_SET_NESTED_STATE.
 */
#include "target-i386/kvm.h"

#include <string.h>

#include "migration/vmstate.h"
#include "target-i386/cpuid.h"
#include "target-i386/msr.h"

#define MSR_VM_CR           0xc0010114
#define MSR_VM_HSAVE_PA     0xc0010117
#define NO_PLACE            (~0ull)
/* More than any kernel has had: VMX needs a header and two pages, SVM a header and one. */
#define MAX_SIZE            65536

struct X86KvmNested {
    KvmCpu *k;
    uint32_t size;                      /* of state */
    uint8_t *state;                     /* struct kvm_nested_state and what follows */
    uint64_t vm_cr, hsave;              /* SVM's MSRs */
    bool guest;                         /* when registers were fetched its own guest was running */
    bool waits;                         /* loaded: to be put before the next run */
    uint32_t room;                      /* what the kernel may want */
};

bool x86_kvm_nested_offered(void)
{
    int size = kvm_cap(KVM_CAP_NESTED_STATE);

    return size >= (int)sizeof(struct kvm_nested_state) && size <= MAX_SIZE;
}

static bool one_msr(KvmCpu *k, uint32_t msr, bool write, uint64_t *val)
{
    struct {
        struct kvm_msrs head;
        struct kvm_msr_entry entry;
    } b = { { .nmsrs = 1 }, { .index = msr, .data = *val } };

    if (kvm_ioctl(k->fd, write ? KVM_SET_MSRS : KVM_GET_MSRS, &b) != 1) {
        return false;
    }
    *val = b.entry.data;
    return true;
}

static int fetch(X86KvmNested *n)
{
    struct kvm_nested_state *s;

    n->state = g_realloc(n->state, n->room);
    memset(n->state, 0, n->room);
    s = (struct kvm_nested_state *)(void *)n->state;
    s->size = n->size = n->room;
    int res = kvm_ioctl(n->k->fd, KVM_GET_NESTED_STATE, s);
    if (res >= 0) {
        n->size = CLAMP(s->size, (uint32_t)sizeof(*s), n->room);
    }
    return res;
}

bool x86_kvm_nested_guest(KvmCpu *k)
{
    X86KvmNested *n = ((X86KvmCpu *)k->arch)->nested;

    if (!n) {
        return false;
    }
    return k->here ? n->guest : x86_kvm_nested_get(k);
}

bool x86_kvm_nested_get(KvmCpu *k)
{
    X86KvmNested *n = ((X86KvmCpu *)k->arch)->nested;

    if (!n) {
        return false;
    }
    n->guest = fetch(n) >= 0 && (((struct kvm_nested_state *)(void *)n->state)->flags & KVM_STATE_NESTED_GUEST_MODE);
    return n->guest;
}

/* As after reset. */
static void make_empty(X86KvmNested *n)
{
    struct kvm_nested_state *s;

    n->size = sizeof(*s);
    n->state = g_realloc(n->state, n->size);
    s = (struct kvm_nested_state *)(void *)n->state;
    *s = (struct kvm_nested_state) { .size = n->size };
    if (x86_has(x86_of(n->k), CPUID_VMX)) {
        s->format = KVM_STATE_NESTED_FORMAT_VMX;
        s->hdr.vmx.vmxon_pa = s->hdr.vmx.vmcs12_pa = NO_PLACE;
    } else {
        s->format = KVM_STATE_NESTED_FORMAT_SVM;
        s->flags = KVM_STATE_NESTED_GIF_SET;
    }
    n->vm_cr = n->hsave = 0;
}

bool x86_kvm_nested_put(KvmCpu *k, Error **err)
{
    X86KvmNested *n = ((X86KvmCpu *)k->arch)->nested;
    const X86CPU *c = x86_of(k);

    if (!n) {
        return true;
    }
    if (!n->waits) {
        if ((c->cr4 & CR4_VMXE) || (c->efer & EFER_SVME)) {
            return true;                /* the kernel's is the truth */
        }
        make_empty(n);
        n->guest = false;
    }
    n->waits = false;
    if (x86_has(c, CPUID_SVM)) {
        one_msr(k, MSR_VM_CR, true, &n->vm_cr);
        one_msr(k, MSR_VM_HSAVE_PA, true, &n->hsave);
    }
    int res = kvm_ioctl(k->fd, KVM_SET_NESTED_STATE, n->state);
    return res >= 0 || fail_errno(err, -res, "KVM_SET_NESTED_STATE");
}

static void pre_save(void *opaque)
{
    X86KvmNested *n = opaque;

    if (n->waits) {
        return;                         /* not yet in the kernel */
    }
    if (!kvm_cpu(n->k->cpu) || fetch(n) < 0) {
        make_empty(n);
        return;
    }
    one_msr(n->k, MSR_VM_CR, false, &n->vm_cr);
    one_msr(n->k, MSR_VM_HSAVE_PA, false, &n->hsave);
}

static bool post_load(void *opaque, int version, Error **err)
{
    X86KvmNested *n = opaque;
    const struct kvm_nested_state *s = (const void *)n->state;
    unsigned format = x86_has(x86_of(n->k), CPUID_VMX) ? KVM_STATE_NESTED_FORMAT_VMX
                                                         : KVM_STATE_NESTED_FORMAT_SVM;

    if (n->size < sizeof(*s) || n->size > n->room || s->size != n->size) {
        return fail(err, "kvm-nested: %u bytes of state: the kernel has %u to %u", n->size,
                    (unsigned)sizeof(*s), n->room);
    }
    if (s->format != format) {
        return fail(err, "kvm-nested: the state is not of %s", format ? "SVM" : "VMX");
    }
    n->guest = s->flags & KVM_STATE_NESTED_GUEST_MODE;
    n->waits = true;
    return true;
}

static const VMField nested_fields[] = {
    VM_VBUFFER(X86KvmNested, state, size, MAX_SIZE),
    VM_UINT(X86KvmNested, vm_cr), VM_UINT(X86KvmNested, hsave),
    VM_DONE
};
static const VMState vm_nested = {
    .name = "kvm-nested", .version = 1, .pre_save = pre_save, .post_load = post_load,
    .fields = nested_fields,
};

void x86_kvm_nested_init(KvmCpu *k)
{
    X86CPU *c = x86_of(k);
    X86KvmNested *n;

    if (!x86_has(c, CPUID_VMX) && !x86_has(c, CPUID_SVM)) {
        return;
    }
    n = g_new0(X86KvmNested, 1);
    n->k = k;
    n->room = kvm_cap(KVM_CAP_NESTED_STATE);
    ((X86KvmCpu *)k->arch)->nested = n;
    make_empty(n);
    vmstate_register("kvm-nested", k->cpu->index, &vm_nested, n);
}
