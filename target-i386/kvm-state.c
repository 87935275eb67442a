/* SPDX-License-Identifier: MIT */
/*
 * The registers of an x86 vCPU between struct X86CPU and KVM: general and segment registers,
 * x87/SSE/AVX through the XSAVE image, MSRs, pending events, debug registers, the TSC.
 *
 * MSRs: those of x86_msr_fields, MTRRs, machine-check banks and KVM's own.  What the kernel has is kept
 * in a shadow, so that putting back after a turn of the interpreter writes only what changed.
 * KVM_SET_MSRS stops at the first one it does not take; that one is left out and the rest
 * goes on, because kernels and CPU models differ in what they have.
 *
 * TSC: the copy's is the virtual clock scaled plus an offset (x86_read_tsc).  Fetching sets
 * the offset so that both agree; putting writes the kernel's only when the offset was changed
 * (the guest wrote the TSC) or the virtual clock has stood still.
 *
 * Source: api.rst 4.3 ff. (KVM_GET_REGS ...), 4.31 KVM_GET_VCPU_EVENTS, 4.33
 * KVM_GET_DEBUGREGS, 4.42 KVM_GET_XSAVE.
 */
#include "target-i386/kvm.h"

#include <string.h>

#include "target-i386/cpuid.h"
#include "target-i386/fxsave.h"
#include "target-i386/helper.h"
#include "target-i386/msr.h"
#include "target-i386/sse-env.h"
#include "util/bits.h"

#define AVX_OFFSET  576
#define PKRU_OFFSET 2688

static MsrField msr_list[KVM_MAX_MSRS];
static unsigned msr_count;

/* ---- segments ---------------------------------------------------------------------------- */

void x86_kvm_segment_put(const Segment *s, struct kvm_segment *k)
{
    *k = (struct kvm_segment) {
        .base = s->base, .limit = s->limit, .selector = s->sel,
        .type = s->attr >> DESC_TYPE_SHIFT & 15, .s = s->attr >> 12 & 1,
        .dpl = s->attr >> DESC_DPL_SHIFT & 3, .present = s->attr >> 15 & 1,
        .avl = s->attr >> 20 & 1, .l = s->attr >> 21 & 1, .db = s->attr >> 22 & 1,
        .g = s->attr >> 23 & 1, .unusable = !(s->attr & DESC_P),
    };
}

/* An unusable SS keeps its DPL: it is the CPL. */
void x86_kvm_segment_get(Segment *s, const struct kvm_segment *k)
{
    s->sel = k->selector;
    s->base = k->base;
    s->limit = k->limit;
    s->attr = k->type << DESC_TYPE_SHIFT | k->s << 12 | k->dpl << DESC_DPL_SHIFT
              | (k->present && !k->unusable ? DESC_P : 0) | k->avl << 20 | k->l << 21
              | k->db << 22 | (uint32_t)k->g << 23;
}

/* ---- general and system registers --------------------------------------------------------- */

static bool call(KvmCpu *k, unsigned long req, const char *name, void *arg, Error **err)
{
    int res = kvm_ioctl(k->fd, req, arg);
    return res >= 0 || fail_errno(err, -res, "%s", name);
}
#define CALL(k, req, arg, err) call(k, req, #req, arg, err)

bool x86_kvm_put_regs(KvmCpu *k, Error **err)
{
    const X86CPU *c = x86_of(k);
    struct kvm_regs r = {
        .rax = c->r[R_EAX], .rbx = c->r[R_EBX], .rcx = c->r[R_ECX], .rdx = c->r[R_EDX],
        .rsi = c->r[R_ESI], .rdi = c->r[R_EDI], .rsp = c->r[R_ESP], .rbp = c->r[R_EBP],
        .r8 = c->r[8], .r9 = c->r[9], .r10 = c->r[10], .r11 = c->r[11],
        .r12 = c->r[12], .r13 = c->r[13], .r14 = c->r[14], .r15 = c->r[15],
        .rip = c->rip, .rflags = x86_get_flags((X86CPU *)c),
    };
    return CALL(k, KVM_SET_REGS, &r, err);
}

bool x86_kvm_get_regs(KvmCpu *k, Error **err)
{
    X86CPU *c = x86_of(k);
    struct kvm_regs r = { 0 };

    if (!CALL(k, KVM_GET_REGS, &r, err)) {
        return false;
    }
    const uint64_t gpr[16] = { r.rax, r.rcx, r.rdx, r.rbx, r.rsp, r.rbp, r.rsi, r.rdi,
                               r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15 };
    memcpy(c->r, gpr, sizeof(gpr));
    c->r[16] = 0;
    c->rip = r.rip;
    x86_set_flags(c, r.rflags);
    return true;
}

static bool put_sregs(KvmCpu *k, Error **err)
{
    const X86CPU *c = x86_of(k);
    struct kvm_sregs s = {
        .cr0 = c->cr0, .cr2 = c->cr2, .cr3 = c->cr3, .cr4 = c->cr4, .efer = c->efer,
        .apic_base = c->apic_base, .cr8 = c->cr8,
        .gdt = { .base = c->gdt.base, .limit = c->gdt.limit },
        .idt = { .base = c->idt.base, .limit = c->idt.limit },
    };
    struct kvm_segment *const to[] = { &s.es, &s.cs, &s.ss, &s.ds, &s.fs, &s.gs };

    for (int n = 0; n < SEG_COUNT; n++) {
        x86_kvm_segment_put(&c->seg[n], to[n]);
    }
    x86_kvm_segment_put(&c->ldt, &s.ldt);
    x86_kvm_segment_put(&c->tr, &s.tr);
    ((X86KvmCpu *)k->arch)->cr8_put = c->cr8;
    if (x86_kvm_paging_fails(c)) {
        x86_kvm_flat_sregs(c, &s);      /* only to be visited */
    }
    return CALL(k, KVM_SET_SREGS, &s, err);
}

static bool get_sregs(KvmCpu *k, Error **err)
{
    X86CPU *c = x86_of(k);
    struct kvm_sregs s = { 0 };

    if (!CALL(k, KVM_GET_SREGS, &s, err)) {
        return false;
    }
    const struct kvm_segment *const from[] = { &s.es, &s.cs, &s.ss, &s.ds, &s.fs, &s.gs };
    for (int n = 0; n < SEG_COUNT; n++) {
        x86_kvm_segment_get(&c->seg[n], from[n]);
    }
    x86_kvm_segment_get(&c->ldt, &s.ldt);
    x86_kvm_segment_get(&c->tr, &s.tr);
    c->gdt = (DescTable) { s.gdt.base, s.gdt.limit };
    c->idt = (DescTable) { s.idt.base, s.idt.limit };
    c->cr0 = s.cr0;
    c->cr2 = s.cr2;
    c->cr3 = s.cr3;
    c->cr4 = s.cr4;
    c->efer = s.efer;
    if (kvm.irqchip) {
        c->cr8 = ((X86KvmCpu *)k->arch)->cr8_put = s.cr8;
        c->apic_base = s.apic_base;
    }
    return true;
}

/* ---- halted, waiting for SIPI: the kernel's when it has the local APIC ------------------------ */

static bool put_mp_state(KvmCpu *k, Error **err)
{
    X86CPU *c = x86_of(k);
    struct kvm_mp_state s = {
        .mp_state = c->wait_sipi ? KVM_MP_STATE_INIT_RECEIVED
                    : c->cpu.halted ? KVM_MP_STATE_HALTED : KVM_MP_STATE_RUNNABLE,
    };

    if (!CALL(k, KVM_SET_MP_STATE, &s, err)) {
        return false;
    }
    c->cpu.halted = c->wait_sipi = false;       /* the kernel's affair from now on */
    return true;
}

static bool get_mp_state(KvmCpu *k, Error **err)
{
    X86CPU *c = x86_of(k);
    struct kvm_mp_state s = { 0 };

    if (!CALL(k, KVM_GET_MP_STATE, &s, err)) {
        return false;
    }
    c->wait_sipi = s.mp_state == KVM_MP_STATE_UNINITIALIZED
                   || s.mp_state == KVM_MP_STATE_INIT_RECEIVED;
    c->cpu.halted = c->wait_sipi || s.mp_state == KVM_MP_STATE_HALTED;
    return true;
}

/* ---- x87 and vectors ------------------------------------------------------------------------ */

void x86_kvm_xsave_put(const X86CPU *c, struct kvm_xsave *x, bool avx, bool pkru)
{
    uint8_t *b = (uint8_t *)x->region;

    x86_fx_put_x87(c, true, b);
    st32_le(b + FX_MXCSR, x86_get_mxcsr((X86CPU *)c));
    x86_fx_put_xmm(c, 16, b);
    for (unsigned n = 0; avx && n < 16; n++) {
        st64_le(b + AVX_OFFSET + 16 * n, c->v[n].q[2]);
        st64_le(b + AVX_OFFSET + 16 * n + 8, c->v[n].q[3]);
    }
    if (pkru) {
        st32_le(b + PKRU_OFFSET, c->pkru);
    }
    uint64_t bv = ld64_le(b + XSAVE_XSTATE_BV);
    st64_le(b + XSAVE_XSTATE_BV, bv | XCR0_X87 | XCR0_SSE | (avx ? XCR0_AVX : 0)
                                 | (pkru ? XCR0_PKRU : 0));
}

void x86_kvm_xsave_get(X86CPU *c, const struct kvm_xsave *x, bool avx, bool pkru)
{
    const uint8_t *b = (const uint8_t *)x->region;
    uint64_t bv = ld64_le(b + XSAVE_XSTATE_BV);

    x86_fx_get_x87(c, true, b);
    x86_set_mxcsr(c, ld32_le(b + FX_MXCSR));
    x86_fx_get_xmm(c, 16, b);
    for (unsigned n = 0; n < 16; n++) {
        bool used = avx && (bv & XCR0_AVX);
        c->v[n].q[2] = used ? ld64_le(b + AVX_OFFSET + 16 * n) : 0;
        c->v[n].q[3] = used ? ld64_le(b + AVX_OFFSET + 16 * n + 8) : 0;
    }
    if (pkru) {
        c->pkru = bv & XCR0_PKRU ? ld32_le(b + PKRU_OFFSET) : 0;
    }
}

static bool put_fpu(KvmCpu *k, Error **err)
{
    X86KvmCpu *a = k->arch;
    const X86CPU *c = x86_of(k);

    x86_kvm_xsave_put(c, &a->xsave, x86_kvm_xcr0 & XCR0_AVX, x86_kvm_xcr0 & XCR0_PKRU);
    if (!CALL(k, KVM_SET_XSAVE, &a->xsave, err)) {
        return false;
    }
    if (!x86_has(c, CPUID_XSAVE)) {
        return true;
    }
    struct kvm_xcrs x = { .nr_xcrs = 1, .xcrs = { { .xcr = 0, .value = c->xcr0 } } };
    return CALL(k, KVM_SET_XCRS, &x, err);
}

static bool get_fpu(KvmCpu *k, Error **err)
{
    X86KvmCpu *a = k->arch;
    X86CPU *c = x86_of(k);
    struct kvm_xcrs x;

    if (!CALL(k, KVM_GET_XSAVE, &a->xsave, err)) {
        return false;
    }
    x86_kvm_xsave_get(c, &a->xsave, x86_kvm_xcr0 & XCR0_AVX, x86_kvm_xcr0 & XCR0_PKRU);
    if (!x86_has(c, CPUID_XSAVE)) {
        return true;
    }
    if (!CALL(k, KVM_GET_XCRS, &x, err)) {
        return false;
    }
    for (unsigned n = 0; n < x.nr_xcrs && n < KVM_MAX_XCRS; n++) {
        if (x.xcrs[n].xcr == 0) {
            c->xcr0 = x.xcrs[n].value;
        }
    }
    return true;
}

/* ---- MSRs ------------------------------------------------------------------------------------ */

typedef struct MsrBuffer {
    struct kvm_msrs head;
    struct kvm_msr_entry entry[KVM_MAX_MSRS + 1];
} MsrBuffer;

static uint64_t *msr_field(X86CPU *c, unsigned n)
{
    return (uint64_t *)(void *)((char *)c + msr_list[n].offset);
}

static void list_add(uint32_t msr, size_t offset)
{
    g_assert(msr_count < KVM_MAX_MSRS);
    msr_list[msr_count++] = (MsrField) { msr, offset };
}

static void list_all(void)
{
    msr_count = 0;
    for (const MsrField *f = x86_msr_fields; f->msr; f++) {
        list_add(f->msr, f->offset);
    }
    for (unsigned n = 0; n < MTRR_VARIABLE; n++) {
        list_add(MSR_MTRR_PHYSBASE0 + 2 * n, offsetof(X86CPU, mtrr_physbase[n]));
        list_add(MSR_MTRR_PHYSBASE0 + 2 * n + 1, offsetof(X86CPU, mtrr_physmask[n]));
    }
    static const uint32_t fixed[11] = { 0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c,
                                        0x26d, 0x26e, 0x26f };
    for (unsigned n = 0; n < G_N_ELEMENTS(fixed); n++) {
        list_add(fixed[n], offsetof(X86CPU, mtrr_fixed[n]));
    }
    for (unsigned n = 0; n < 4 * MCE_BANKS; n++) {
        list_add(MSR_MC0_CTL + n, offsetof(X86CPU, mce_banks[n]));
    }
    for (unsigned n = 0; n < X86_KVM_MSRS; n++) {
        list_add(MSR_KVM_FIRST + n, offsetof(X86CPU, kvm_msr[n]));
    }
}

/* Drop from the list what this kernel does not have, by asking a vCPU. */
static void list_prune(KvmCpu *k)
{
    MsrBuffer b;
    unsigned kept = 0;

    for (unsigned n = 0; n < msr_count; n++) {
        b.head = (struct kvm_msrs) { .nmsrs = 1 };
        b.entry[0] = (struct kvm_msr_entry) { .index = msr_list[n].msr };
        if (kvm_ioctl(k->fd, KVM_GET_MSRS, &b) == 1) {
            msr_list[kept++] = msr_list[n];
        }
    }
    msr_count = kept;
}

/* Write as many as the kernel takes. */
static void set_msrs(KvmCpu *k, MsrBuffer *b, unsigned count)
{
    unsigned done = 0;

    while (done < count) {
        unsigned left = count - done;
        b->head = (struct kvm_msrs) { .nmsrs = left };
        int res = kvm_ioctl(k->fd, KVM_SET_MSRS, b);
        unsigned took = MAX(res, 0);
        if (took >= left) {
            return;
        }
        memmove(b->entry, b->entry + took + 1, (left - took - 1) * sizeof(b->entry[0]));
        done += took + 1;
    }
}

void x86_kvm_msr_written(KvmCpu *k, uint32_t msr, uint64_t val)
{
    for (unsigned i = 0; i < msr_count; i++) {
        if (msr_list[i].msr == msr) {
            *msr_field(x86_of(k), i) = ((X86KvmCpu *)k->arch)->shadow[i] = val;
        }
    }
}

/* The wall clock's MSR is an order to the kernel to write it to the guest's memory: not again
 * only because the machine had stopped. */
static void put_msrs(KvmCpu *k, StateLevel level)
{
    X86KvmCpu *a = k->arch;
    X86CPU *c = x86_of(k);
    MsrBuffer b;
    unsigned n = 0;

    for (unsigned i = 0; i < msr_count; i++) {
        uint64_t val = *msr_field(c, i);
        bool all = level != STATE_RUNTIME && msr_list[i].msr != MSR_KVM_FIRST;
        if (all || val != a->shadow[i]) {
            b.entry[n++] = (struct kvm_msr_entry) { .index = msr_list[i].msr, .data = val };
            a->shadow[i] = val;
        }
    }
    if (level != STATE_RUNTIME || c->tsc_offset != a->tsc_offset) {
        b.entry[n++] = (struct kvm_msr_entry) { .index = MSR_TSC, .data = x86_read_tsc(c) };
        a->tsc_offset = c->tsc_offset;
    }
    set_msrs(k, &b, n);
}

static bool get_msrs(KvmCpu *k, Error **err)
{
    X86KvmCpu *a = k->arch;
    X86CPU *c = x86_of(k);
    MsrBuffer b = { .head = { .nmsrs = msr_count + 1 } };

    for (unsigned i = 0; i < msr_count; i++) {
        b.entry[i].index = msr_list[i].msr;
    }
    b.entry[msr_count].index = MSR_TSC;
    int res = kvm_ioctl(k->fd, KVM_GET_MSRS, &b);
    if (res < 0) {
        return fail_errno(err, -res, "KVM_GET_MSRS");
    }
    if ((unsigned)res <= msr_count) {
        return fail(err, "KVM_GET_MSRS: MSR %x can't be read any more", b.entry[res].index);
    }
    for (unsigned i = 0; i < msr_count; i++) {
        *msr_field(c, i) = a->shadow[i] = b.entry[i].data;
    }
    c->tsc_offset += b.entry[msr_count].data - x86_read_tsc(c);
    a->tsc_offset = c->tsc_offset;
    return true;
}

/* ---- events and debug registers ------------------------------------------------------------------ */

void x86_kvm_events_put(const X86CPU *c, struct kvm_vcpu_events *e)
{
    *e = (struct kvm_vcpu_events) {
        .flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW,
        .nmi = { .pending = c->nmi_pending, .masked = c->nmi_masked },
        .interrupt.shadow = !c->int_shadow ? 0
                            : c->shadow_mov_ss ? KVM_X86_SHADOW_INT_MOV_SS : KVM_X86_SHADOW_INT_STI,
    };
}

/*
 * An event the kernel was about to deliver becomes the one the interpreter delivers first.  A
 * software interrupt is not taken over: RIP is still at its instruction, which runs again.
 * ignore_ud: the kernel queued #UD only to say that its emulator failed.
 */
void x86_kvm_events_get(X86CPU *c, const struct kvm_vcpu_events *e, bool ignore_ud)
{
    c->int_shadow = e->interrupt.shadow != 0;
    c->shadow_mov_ss = e->interrupt.shadow & KVM_X86_SHADOW_INT_MOV_SS;
    c->nmi_masked = e->nmi.masked;
    c->nmi_pending = MIN(e->nmi.pending, 2u);
    c->exc_vector = c->exc_old_vector = -1;
    c->exc_has_error = false;
    c->exc_error = 0;
    c->pending_dbg = 0;
    if (e->exception.injected && !(ignore_ud && e->exception.nr == EXC_UD)) {
        c->exc_vector = e->exception.nr;
        c->exc_kind = EVENT_EXCEPTION;
        c->exc_has_error = e->exception.has_error_code;
        c->exc_error = e->exception.error_code;
    } else if (e->nmi.injected) {
        c->exc_vector = EXC_NMI;
        c->exc_kind = EVENT_NMI;
    } else if (e->interrupt.injected && !e->interrupt.soft) {
        c->exc_vector = e->interrupt.nr;
        c->exc_kind = EVENT_EXTERNAL;
    }
}

void x86_kvm_events_inject(X86CPU *c, struct kvm_vcpu_events *e)
{
    if (c->exc_vector < 0) {
        return;
    }
    switch (c->exc_kind) {
    case EVENT_NMI:
        e->nmi.injected = 1;
        break;
    case EVENT_EXTERNAL:
        e->interrupt.injected = 1;
        e->interrupt.nr = c->exc_vector;
        break;
    default:
        e->exception.injected = 1;
        e->exception.nr = c->exc_vector;
        e->exception.has_error_code = c->exc_has_error;
        e->exception.error_code = c->exc_error;
    }
    c->exc_vector = -1;
}

/*
 * The kernel may have NMIs that came to its local APIC meanwhile: those stay, and the ones we know
 * of are added.  Only when everything is put does our count replace the kernel's.
 */
static bool put_events(KvmCpu *k, StateLevel level, Error **err)
{
    X86CPU *c = x86_of(k);
    struct kvm_vcpu_events e;
    bool add = kvm.irqchip && level == STATE_RUNTIME;

    x86_kvm_events_put(c, &e);
    if (x86_kvm_nested_guest(k)) {
        x86_kvm_events_inject(c, &e);
    }
    if (add) {
        e.flags &= ~KVM_VCPUEVENT_VALID_NMI_PENDING;
    }
    if (!CALL(k, KVM_SET_VCPU_EVENTS, &e, err)) {
        return false;
    }
    for (unsigned n = 0; add && n < c->nmi_pending; n++) {
        kvm_ioctl(k->fd, KVM_NMI, NULL);
    }
    c->nmi_pending = 0;                 /* the kernel keeps it now */
    return true;
}

static bool put_debugregs(KvmCpu *k, Error **err)
{
    const X86CPU *c = x86_of(k);
    struct kvm_debugregs d = { .dr6 = c->dr[6], .dr7 = c->dr[7] };

    memcpy(d.db, c->dr, sizeof(d.db));
    return CALL(k, KVM_SET_DEBUGREGS, &d, err);
}

static bool get_events(KvmCpu *k, Error **err)
{
    X86CPU *c = x86_of(k);
    struct kvm_vcpu_events e = { 0 };

    if (!CALL(k, KVM_GET_VCPU_EVENTS, &e, err)) {
        return false;
    }
    x86_kvm_events_get(c, &e, k->run->exit_reason == KVM_EXIT_INTERNAL_ERROR);
    if (c->nmi_pending) {
        __atomic_fetch_or(&k->cpu->request, CPU_REQ_NMI, __ATOMIC_SEQ_CST);
        e.nmi.pending = 0;              /* ours now; what comes later adds to none */
        e.flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
        return CALL(k, KVM_SET_VCPU_EVENTS, &e, err);
    }
    return true;
}

static bool get_debugregs(KvmCpu *k, Error **err)
{
    X86CPU *c = x86_of(k);
    struct kvm_debugregs d = { 0 };

    if (!CALL(k, KVM_GET_DEBUGREGS, &d, err)) {
        return false;
    }
    memcpy(c->dr, d.db, sizeof(d.db));
    c->dr[6] = d.dr6;
    c->dr[7] = d.dr7;
    return true;
}

/* ---- all of it -------------------------------------------------------------------------------------- */

bool x86_kvm_get(KvmCpu *k, Error **err)
{
    X86CPU *c = x86_of(k);

    /* Events first: asking for them is what puts the CR2 and DR6 of a pending exception in
     * place. */
    if ((kvm.irqchip && !get_mp_state(k, err)) || !get_events(k, err)
        || !get_debugregs(k, err) || !x86_kvm_get_regs(k, err) || !get_sregs(k, err) || !get_fpu(k, err) || !get_msrs(k, err)) {
        return false;
    }
    x86_write_dr7(c, c->dr[7]);         /* with the CR4 just fetched */
    if (k->cpu->index == 0 && k->cpu->stop) {
        x86_kvm_clock_stop();
    }
    if ((c->cr0 & CR0_PG) && (c->cr4 & CR4_PAE) && !(c->efer & EFER_LMA)) {
        x86_load_pdptes(c, c->cr3);
    }
    x86_kvm_nested_get(k);
    x86_kvm_pv_awake(k);
    x86_tlb_flush(c);
    x86_update_mode(c);
    return true;
}

bool x86_kvm_put(KvmCpu *k, StateLevel level, Error **err)
{
    X86CPU *c = x86_of(k);
    bool open = (c->rflags & FL_IF) && !c->int_shadow;

    ((X86KvmCpu *)k->arch)->visit = ((X86KvmCpu *)k->arch)->init_came = false;
    x86_kvm_proxy_end(k);
    if (k->cpu->index == 0) {
        x86_kvm_clock_go();
    }
    if (!put_sregs(k, err) || !x86_kvm_lapic_put(k, err) || !x86_kvm_put_regs(k, err)
        || !put_fpu(k, err)) {
        return false;
    }
    put_msrs(k, level);
    if (level != STATE_RUNTIME && !x86_kvm_nested_put(k, err)) {
        return false;
    }
    if (!put_events(k, level, err) || !put_debugregs(k, err) || (kvm.irqchip && !put_mp_state(k, err))) {
        return false;
    }
    /* The kernel tells these at exits only. */
    k->run->ready_for_interrupt_injection = open;
    k->run->if_flag = (c->rflags & FL_IF) != 0;
    k->run->apic_base = c->apic_base;
    if (c->irq_waiting) {
        c->irq_waiting = false;
        __atomic_fetch_or(&k->cpu->request, CPU_REQ_IRQ, __ATOMIC_SEQ_CST);
    }
    return true;
}

bool x86_kvm_put_brief(KvmCpu *k, Error **err)
{
    bool sregs = ((X86KvmCpu *)k->arch)->proxy;

    x86_kvm_proxy_end(k);
    return (!sregs || put_sregs(k, err)) && x86_kvm_put_regs(k, err) && put_events(k, STATE_RUNTIME, err);
}

bool x86_kvm_get_brief(KvmCpu *k, Error **err)
{
    X86CPU *c = x86_of(k);
    bool shadow = c->int_shadow, mov_ss = c->shadow_mov_ss;

    if (!get_events(k, err) || !x86_kvm_get_regs(k, err)) {
        return false;
    }
    if (c->exc_vector < 0) {
        c->int_shadow = shadow;         /* no instruction ran */
        c->shadow_mov_ss = mov_ss;
    }
    return true;
}

/* The list is made by the first vCPU. */
void x86_kvm_msrs_init(KvmCpu *k)
{
    if (!msr_count) {
        list_all();
        list_prune(k);
    }
}
