/* SPDX-License-Identifier: MIT */
/*
 * A virtual x86 CPU as an object: creation, reset and INIT, its saved state, and what the
 * generic code asks of an architecture (struct TargetOps).  The register dump is in dump.c.
 *
 * Reset values: SDM 3A table 9-1.
 */
#include "target-i386/cpu.h"

#include <stdlib.h>
#include <string.h>

#include "accel/accel.h"
#include "target-i386/cpuid.h"
#include "target-i386/helper.h"
#include "target-i386/msr.h"
#include "util/log.h"

/* ---- accelerator and copy -------------------------------------------------------------------- */

typedef struct PutState {
    StateLevel level;
    Error **err;
    bool ok;
} PutState;

static void put_state(CPU *c, void *opaque)
{
    PutState *p = opaque;
    p->ok = c->accel->put_state(c, p->level, p->err);
}

/* The accelerator takes what is in the copy now. [bql, or own thread] */
static bool state_changed(X86CPU *c, StateLevel level, Error **err)
{
    PutState p = { level, err, true };

    if (c->cpu.accel && c->cpu.accel->put_state) {
        cpu_run_on(&c->cpu, put_state, &p);
    }
    return p.ok;
}

static void get_state(CPU *c, void *opaque)
{
    c->accel->get_state(c);
}

/* The copy is up to date after this. */
static void fetch_state(X86CPU *c)
{
    if (c->cpu.accel && c->cpu.accel->get_state) {
        cpu_run_on(&c->cpu, get_state, NULL);
    }
}

/* ---- reset --------------------------------------------------------------------------------------- */

static void reset_segments(X86CPU *c)
{
    for (int i = 0; i < SEG_COUNT; i++) {
        c->seg[i] = (Segment){ .limit = 0xffff, .attr = DESC_P | DESC_S | DESC_W | DESC_A };
    }
    c->seg[R_CS].sel = 0xf000;
    c->seg[R_CS].base = 0xffff0000;
    c->seg[R_CS].attr |= DESC_CODE;
    c->ldt = (Segment){ .limit = 0xffff, .attr = DESC_P | 2 << DESC_TYPE_SHIFT };
    c->tr = (Segment){ .limit = 0xffff, .attr = DESC_P | 11 << DESC_TYPE_SHIFT };
    c->gdt = c->idt = (DescTable){ .limit = 0xffff };
}

/* What RESET and INIT have in common. */
static void reset_core(X86CPU *c)
{
    uint32_t signature[4];

    memset(c->r, 0, sizeof(c->r));
    x86_cpuid(c, 1, 0, signature);
    c->r[R_EDX] = signature[0];
    c->rip = 0xfff0;
    reset_segments(c);
    c->cr2 = c->cr3 = c->cr4 = c->cr8 = 0;
    memset(c->pdpte, 0, sizeof(c->pdpte));
    c->efer = 0;
    memset(c->dr, 0, sizeof(c->dr));
    c->dr[6] = DR6_ONES;
    c->dr[7] = DR7_ONE;
    c->dr7_active = 0;
    c->smm = c->int_shadow = c->shadow_mov_ss = c->in_mwait = false;
    c->nmi_masked = c->smi_pending = false;
    c->nmi_pending = c->nmi_queued = 0;
    c->irq_waiting = c->skip_tf = false;
    c->exc_vector = c->exc_old_vector = -1;
    c->pending_dbg = 0;
    c->io_info = 0;
    x86_set_flags(c, FL_1);
    c->table_window.as = NULL;
    x86_psc_flush(c);
}

void x86_cpu_reset(X86CPU *c)
{
    bool boot = c->cpu.index == 0;

    /* All architectural state lies between r[] and the identity. */
    memset((char *)c + offsetof(X86CPU, r), 0, offsetof(X86CPU, model) - offsetof(X86CPU, r));
    c->cpu.request &= CPU_REQ_EXIT | CPU_REQ_TLB;
    reset_core(c);
    c->cr0 = CR0_CD | CR0_NW | CR0_ET;
    c->smbase = 0x30000;
    c->pat = 0x0007040600070406ull;
    c->apic_base = 0xfee00000u | APIC_BASE_ENABLE | (boot ? APIC_BASE_BSP : 0);
    c->misc_enable = 1 | (x86_has(c, CPUID_MONITOR) ? 1 << 18 : 0);
    c->mcg_ctl = ~0ull;
    for (unsigned i = 0; i < MCE_BANKS; i++) {
        c->mce_banks[4 * i] = ~0ull;
    }
    c->xcr0 = XCR0_X87;
    c->fpu.cw = 0x0040;
    c->mxcsr = 0x1f80;
    c->kvm_msr[X86_KVM_POLL_CONTROL] = 1;
    c->wait_sipi = c->cpu.halted = !boot;
    x86_update_mode(c);
    LOG(LOG_CPU_RESET, "CPU Reset (CPU %d)\n", c->cpu.index);
    if (log_on(LOG_CPU_RESET)) {
        GString *regs = g_string_new(NULL);
        x86_cpu_dump(c, regs, true);
        log_write("%s", regs->str);
        g_string_free(regs, true);
    }
    state_changed(c, STATE_RESET, NULL);
}

/* INIT leaves alone: CR0.CD and NW, x87, SSE, MTRRs, MSRs, SMBASE, XCR0. */
void x86_cpu_init_ipi(X86CPU *c)
{
    uint64_t cache = c->cr0 & (CR0_CD | CR0_NW);

    reset_core(c);
    c->cr0 = cache | CR0_ET;
    c->wait_sipi = c->cpu.halted = !(c->apic_base & APIC_BASE_BSP);
    x86_update_mode(c);
    if (c->apic) {
        c->apic_ops->init_reset(c->apic);
    }
    state_changed(c, STATE_RESET, NULL);
}

/* ---- saved state ------------------------------------------------------------------------------------ */

static const VMField vm_segment_fields[] = {
    VM_UINT(Segment, sel),
    VM_UINT(Segment, attr),
    VM_UINT(Segment, limit),
    VM_UINT(Segment, base),
    VM_DONE
};
static const VMState vm_segment = { .name = "segment", .fields = vm_segment_fields };

static const VMField vm_table_fields[] = {
    VM_UINT(DescTable, base),
    VM_UINT(DescTable, limit),
    VM_DONE
};
static const VMState vm_table = { .name = "table", .fields = vm_table_fields };

static const VMField vm_f80_fields[] = {
    VM_UINT(F80, frac),
    VM_UINT(F80, se),
    VM_DONE
};
static const VMState vm_f80 = { .name = "f80", .fields = vm_f80_fields };

static const VMField vm_fpu_fields[] = {
    VM_STRUCTS(FpuState, st, vm_f80),
    VM_UINT(FpuState, cw),
    VM_UINT(FpuState, sw),
    VM_UINT(FpuState, top),
    VM_UINT(FpuState, empty),
    VM_UINT(FpuState, fop),
    VM_UINT(FpuState, fip),
    VM_UINT(FpuState, fdp),
    VM_UINT(FpuState, fcs),
    VM_UINT(FpuState, fds),
    VM_DONE
};
static const VMState vm_fpu = { .name = "fpu", .fields = vm_fpu_fields };

static const VMField vm_vec_fields[] = {
    VM_UINTS(Vec, q),
    VM_DONE
};
static const VMState vm_vec = { .name = "vector", .fields = vm_vec_fields };

/* Requests that live as bits outside the state, made part of it. */
static void cpu_pre_save(void *opaque)
{
    X86CPU *c = opaque;
    uint32_t req;

    fetch_state(c);
    req = cpu_pending(&c->cpu);
    c->rflags = x86_get_flags(c);
    c->nmi_pending = MIN(c->nmi_pending + c->nmi_queued, 2u);
    c->nmi_queued = 0;
    c->smi_pending |= !!(req & CPU_REQ_SMI);
    c->init_pending = req & CPU_REQ_INIT;
    c->sipi_pending = req & CPU_REQ_SIPI;
}

/* A stream is hostile: whatever later code takes for granted is checked. */
static bool state_sane(const X86CPU *c, Error **err)
{
    if (c->nmi_pending > 2) {
        return fail(err, "cpu: %u NMIs pending", c->nmi_pending);
    }
    if (c->fpu.top > 7) {
        return fail(err, "cpu: FPU stack top %u is out of range", c->fpu.top);
    }
    if (c->exc_vector < -1 || c->exc_vector > 256 || c->exc_old_vector < -1
        || c->exc_old_vector > 255 || (unsigned)c->exc_kind > EVENT_NMI
        || (unsigned)c->exc_old_kind > EVENT_NMI) {
        return fail(err, "cpu: impossible pending exception %d", c->exc_vector);
    }
    if ((c->cr0 & CR0_PG) && !(c->cr0 & CR0_PE)) {
        return fail(err, "cpu: CR0 %" G_GINT64_MODIFIER "x has paging without protection", c->cr0);
    }
    if (!c->smm && (c->cr4 & ~x86_cr4_valid(c))) {
        return fail(err, "cpu: CR4 %" G_GINT64_MODIFIER "x needs features that this CPU model "
                    "lacks", c->cr4);
    }
    if ((c->efer & EFER_LMA) && (!(c->cr0 & CR0_PG) || !(c->cr4 & CR4_PAE))) {
        return fail(err, "cpu: long mode without paging");
    }
    if ((c->xcr0 & ~x86_xcr0_valid(c)) || !(c->xcr0 & XCR0_X87)) {
        return fail(err, "cpu: XCR0 %" G_GINT64_MODIFIER "x needs features that this CPU model "
                    "lacks", c->xcr0);
    }
    return true;
}

static bool cpu_post_load(void *opaque, int version, Error **err)
{
    X86CPU *c = opaque;

    if (!state_sane(c, err)) {
        return false;
    }
    c->gdt.limit &= 0xffff;
    c->idt.limit &= 0xffff;
    c->r[16] = 0;
    x86_set_flags(c, (c->rflags & 0x3f7fd5) | FL_1);
    c->cpu.request = (c->cpu.request & (CPU_REQ_EXIT | CPU_REQ_TLB))
                     | (c->nmi_pending ? CPU_REQ_NMI : 0) | (c->smi_pending ? CPU_REQ_SMI : 0)
                     | (c->init_pending ? CPU_REQ_INIT : 0)
                     | (c->sipi_pending ? CPU_REQ_SIPI : 0) | CPU_REQ_IRQ;
    c->table_window.as = NULL;
    x86_psc_flush(c);
    x86_write_dr7(c, c->dr[7]);
    x86_update_mode(c);
    return state_changed(c, STATE_FULL, err);
}

/* Append at the end with a version; never reorder. */
static const VMField cpu_fields[] = {
    VM_UINTS(X86CPU, r),
    VM_UINT(X86CPU, rip),
    VM_UINT(X86CPU, rflags),
    VM_STRUCTS(X86CPU, seg, vm_segment),
    VM_STRUCT(X86CPU, ldt, vm_segment),
    VM_STRUCT(X86CPU, tr, vm_segment),
    VM_STRUCT(X86CPU, gdt, vm_table),
    VM_STRUCT(X86CPU, idt, vm_table),
    VM_UINT(X86CPU, cr0),
    VM_UINT(X86CPU, cr2),
    VM_UINT(X86CPU, cr3),
    VM_UINT(X86CPU, cr4),
    VM_UINT(X86CPU, cr8),
    VM_UINTS(X86CPU, dr),
    VM_UINT(X86CPU, efer),
    VM_UINT(X86CPU, pat),
    VM_UINT(X86CPU, tsc_offset),
    VM_UINT(X86CPU, tsc_adjust),
    VM_UINT(X86CPU, tsc_aux),
    VM_UINT(X86CPU, star),
    VM_UINT(X86CPU, lstar),
    VM_UINT(X86CPU, cstar),
    VM_UINT(X86CPU, fmask),
    VM_UINT(X86CPU, kernel_gs_base),
    VM_UINT(X86CPU, sysenter_cs),
    VM_UINT(X86CPU, sysenter_esp),
    VM_UINT(X86CPU, sysenter_eip),
    VM_UINT(X86CPU, apic_base),
    VM_UINT(X86CPU, misc_enable),
    VM_UINT(X86CPU, spec_ctrl),
    VM_UINT(X86CPU, mcg_status),
    VM_UINT(X86CPU, mcg_ctl),
    VM_UINTS(X86CPU, mce_banks),
    VM_UINTS(X86CPU, mtrr_physbase),
    VM_UINTS(X86CPU, mtrr_physmask),
    VM_UINTS(X86CPU, mtrr_fixed),
    VM_UINT(X86CPU, mtrr_deftype),
    VM_UINT(X86CPU, xcr0),
    VM_UINT(X86CPU, xss),
    VM_UINT(X86CPU, pkrs),
    VM_UINT(X86CPU, pkru),
    VM_UINT(X86CPU, tsc_deadline),
    VM_UINT(X86CPU, smbase),
    VM_UINT(X86CPU, feature_control),
    VM_UINTS(X86CPU, pdpte),
    VM_STRUCT(X86CPU, fpu, vm_fpu),
    VM_STRUCTS(X86CPU, v, vm_vec),
    VM_UINT(X86CPU, mxcsr),
    VM_UINT(X86CPU, debugctl),
    VM_UINT(X86CPU, perf_global_ctrl),
    VM_UINT(X86CPU, perf_fixed_ctrl),
    VM_BOOL(X86CPU, smm),
    VM_BOOL(X86CPU, nmi_masked),
    VM_UINT(X86CPU, nmi_pending),
    VM_BOOL(X86CPU, smi_pending),
    VM_BOOL(X86CPU, init_pending),
    VM_BOOL(X86CPU, sipi_pending),
    VM_BOOL(X86CPU, int_shadow),
    VM_BOOL(X86CPU, shadow_mov_ss),
    VM_BOOL(X86CPU, ferr),
    VM_BOOL(X86CPU, ignne),
    VM_BOOL(X86CPU, in_mwait),
    VM_BOOL(X86CPU, wait_sipi),
    VM_BOOL(X86CPU, cpu.halted),
    VM_UINT(X86CPU, sipi_vector),
    VM_UINT(X86CPU, mwait_addr),
    VM_BOOL(X86CPU, smm_halted),
    VM_BOOL(X86CPU, smm_nmi_masked),
    VM_UINT(X86CPU, smm_io_rip),
    VM_UINT(X86CPU, io_rip),
    VM_UINT(X86CPU, io_info),
    VM_UINT(X86CPU, exc_vector),
    VM_UINT(X86CPU, exc_kind),
    VM_BOOL(X86CPU, exc_has_error),
    VM_UINT(X86CPU, exc_error),
    VM_UINT(X86CPU, exc_next_rip),
    VM_UINT(X86CPU, exc_old_vector),
    VM_UINT(X86CPU, exc_old_kind),
    VM_UINT(X86CPU, pending_dbg),
    VM_BOOL(X86CPU, pic_line),
    VM_UINTS_V(X86CPU, kvm_msr, 2),
    VM_DONE
};

const VMState vm_x86_cpu = {
    .name = "cpu", .version = 2, .pre_save = cpu_pre_save, .post_load = cpu_post_load,
    .fields = cpu_fields,
};

/* ---- the architecture for generic code ------------------------------------------------------------ */

static bool ops_has_work(CPU *c)
{
    return x86_cpu_has_work(x86_cpu(c));
}

static void ops_dump(CPU *c, GString *out, bool fpu)
{
    fetch_state(x86_cpu(c));
    x86_cpu_dump(x86_cpu(c), out, fpu);
}

static bool ops_translate(CPU *c, uint64_t va, hwaddr *pa)
{
    return x86_debug_translate(x86_cpu(c), va, pa);
}

static uint64_t ops_pc(CPU *cpu)
{
    X86CPU *c = x86_cpu(cpu);
    return x86_code64(c) ? c->rip : (uint32_t)(c->seg[R_CS].base + c->rip);
}

static unsigned ops_code_bits(CPU *cpu)
{
    X86CPU *c = x86_cpu(cpu);
    return x86_code64(c) ? 64 : c->seg[R_CS].attr & DESC_B ? 32 : 16;
}

static const TargetOps x86_ops = {
    .arch = "x86_64", .has_work = ops_has_work, .dump = ops_dump, .translate = ops_translate,
    .pc = ops_pc, .code_bits = ops_code_bits,
};

/* ---- creation ----------------------------------------------------------------------------------------- */

static unsigned id_bits(unsigned n)
{
    return n <= 1 ? 0 : 32 - __builtin_clz(n - 1);
}

void x86_cpu_set_topology(X86CPU *c, unsigned cores, unsigned threads)
{
    unsigned n = c->cpu.index, thread_bits = id_bits(threads), core_bits = id_bits(cores);

    c->cores = cores;
    c->threads = threads;
    c->apic_id = n % threads | n / threads % cores << thread_bits
                 | n / (threads * cores) << (thread_bits + core_bits);
}

X86CPU *x86_cpu_new(const char *model_and_features, int index, Error **err)
{
    size_t size = (sizeof(X86CPU) + 63) & ~(size_t)63;
    X86CPU *c = aligned_alloc(64, size);

    if (!c) {
        fail(err, "out of memory for CPU %d", index);
        return NULL;
    }
    memset(c, 0, size);
    c->cpu.index = index;
    c->apic_id = index;
    if (!x86_model_apply(c, model_and_features, err)) {
        free(c);
        return NULL;
    }
    cpu_init(&c->cpu, index, &x86_ops);
    x86_cpu_reset(c);
    vmstate_register("cpu", index, &vm_x86_cpu, c);
    return c;
}

void x86_cpu_set_a20(X86CPU *c, bool on)
{
    uint64_t mask = on ? ~0ull : ~(1ull << 20);

    if (mask == x86_a20_mask) {
        return;
    }
    __atomic_store_n(&x86_a20_mask, mask, __ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < cpus->len; i++) {
        CPU *other = cpu_by_index(i);
        if (other == cpu_current() && other->engine) {
            x86_tlb_flush(x86_cpu(other));
        } else {
            tcg_flush_request(other);
        }
    }
}
