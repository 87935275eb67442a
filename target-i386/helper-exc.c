/* SPDX-License-Identifier: MIT */
/*
 * Events: exceptions, software interrupts, INTR, NMI, INIT, SIPI, SMI - raised, prioritized
 * and delivered through the vector table of the current mode.
 *
 * An event is put into c->exc_* by x86_raise* or x86_boundary and performed by x86_deliver.
 * While that runs, exc_old_vector remembers it, so that a fault in the middle becomes a second
 * exception, a double fault, or the end (SDM 3A 6.15, "Interrupt 8").
 *
 * Sources: SDM 3A chapter 6 (protected and long mode), 3B 20 and 21 (real, virtual-8086, VME),
 * 3B 18 (debug).
 */
#include "target-i386/seg.h"

#include <inttypes.h>

#include "util/bql.h"
#include "util/log.h"

#define VECTOR_TRIPLE 256       /* exc_vector of a fault while a double fault was delivered */

void (*x86_ferr_hook)(X86CPU *c, bool level);

/* ---- raising -------------------------------------------------------------------------- */

/* The classes of the double-fault table */
typedef enum { CLASS_BENIGN, CLASS_CONTRIBUTORY, CLASS_PAGE_FAULT, CLASS_DOUBLE_FAULT } ExcClass;

static ExcClass exc_class(int vector)
{
    switch (vector) {
    case EXC_DE: case EXC_TS: case EXC_NP: case EXC_SS: case EXC_GP:
        return CLASS_CONTRIBUTORY;
    case EXC_PF:
        return CLASS_PAGE_FAULT;
    case EXC_DF:
        return CLASS_DOUBLE_FAULT;
    default:
        return CLASS_BENIGN;
    }
}

/* What comes of `vector` when it happens while c->exc_old_vector is being delivered. */
static int combine(const X86CPU *c, int vector)
{
    if (c->exc_old_vector < 0 || c->exc_old_kind != EVENT_EXCEPTION) {
        return vector;
    }
    ExcClass old = exc_class(c->exc_old_vector), new = exc_class(vector);
    if (new == CLASS_BENIGN) {
        return vector;
    }
    switch (old) {
    case CLASS_DOUBLE_FAULT:
        return VECTOR_TRIPLE;
    case CLASS_CONTRIBUTORY:
        return new == CLASS_CONTRIBUTORY ? EXC_DF : vector;
    case CLASS_PAGE_FAULT:
        return EXC_DF;
    default:
        return vector;
    }
}

/* EXT: the fault belongs to an event the program did not ask for (SDM 3A 6.13). */
static bool external_event(const X86CPU *c)
{
    return c->exc_old_vector >= 0 && c->exc_old_kind != EVENT_SOFT_INT
           && c->exc_old_kind != EVENT_SOFT_EXC;
}

static G_NORETURN void raise_event(X86CPU *c, int vector, bool has_error, uint32_t error)
{
    int final = combine(c, vector);

    LOG(LOG_INT, "check_exception old: 0x%x new 0x%x\n", c->exc_old_vector, vector);
    if (has_error && exc_class(vector) == CLASS_CONTRIBUTORY && external_event(c)) {
        error |= 1;
    }
    c->exc_vector = final;
    c->exc_kind = EVENT_EXCEPTION;
    c->exc_has_error = final == EXC_DF || (has_error && final == vector);
    c->exc_error = final == vector ? error : 0;
    /* What the instruction did before it faulted happens again when it is restarted. */
    c->pending_dbg = 0;
    c->skip_tf = false;
    siglongjmp(c->cpu.jmp, 1);
}

void x86_raise(X86CPU *c, int vector)
{
    raise_event(c, vector, false, 0);
}

void x86_raise_err(X86CPU *c, int vector, uint32_t error)
{
    raise_event(c, vector, true, error);
}

void x86_raise_pf(X86CPU *c, uint64_t la, uint32_t error)
{
    c->cr2 = la;
    raise_event(c, EXC_PF, true, error);
}

void x86_raise_shutdown(X86CPU *c)
{
    c->exc_vector = VECTOR_TRIPLE;
    siglongjmp(c->cpu.jmp, 1);
}

/* DR6 collects; B0..B3 always tell of this time only (SDM 3B 18.2.3). */
static void note_debug(X86CPU *c, uint64_t bits)
{
    c->dr[6] = (c->dr[6] & ~0xfull) | bits;
}

void x86_raise_db(X86CPU *c, uint64_t dr6_bits)
{
    note_debug(c, dr6_bits);
    raise_event(c, EXC_DB, false, 0);
}

static G_NORETURN void software_event(X86CPU *c, EventKind kind, int vector, uint64_t next)
{
    c->exc_vector = vector;
    c->exc_kind = kind;
    c->exc_has_error = false;
    c->exc_error = 0;
    c->exc_next_rip = next;
    c->skip_tf = false;
    siglongjmp(c->cpu.jmp, 1);
}

void x86_int_n(X86CPU *c, uint8_t vector, uint64_t next)
{
    software_event(c, EVENT_SOFT_INT, vector, next);
}

void x86_int3(X86CPU *c, uint64_t next)
{
    software_event(c, EVENT_SOFT_EXC, EXC_BP, next);
}

void x86_into(X86CPU *c, uint64_t next)
{
    if (x86_get_flags(c) & FL_OF) {
        software_event(c, EVENT_SOFT_EXC, EXC_OF, next);
    }
}

void x86_int1(X86CPU *c, uint64_t next)
{
    software_event(c, EVENT_INT1, EXC_DB, next);
}

/* ---- delivery ------------------------------------------------------------------------- */

/* The event while it is performed; c->exc_* may be filled again by a fault. */
typedef struct Event {
    int vector;
    EventKind kind;
    bool has_error;
    uint32_t error;
    uint64_t rip;             /* to return to */
} Event;

static bool event_is_soft(const Event *e)
{
    return e->kind == EVENT_SOFT_INT || e->kind == EVENT_SOFT_EXC;
}

/*
 * Faults are pushed with RF so that returning does not meet the same instruction breakpoint
 * again.  Traps and aborts are not, nor is #DB: for an instruction breakpoint the handler has
 * to set RF itself.
 */
uint64_t x86_event_flags(X86CPU *c)
{
    uint64_t flags = x86_get_flags(c);

    if (c->exc_old_kind == EVENT_EXCEPTION) {
        switch (c->exc_old_vector) {
        case EXC_DB: case EXC_DF: case EXC_MC:
            break;
        default:
            flags |= FL_RF;
        }
    }
    return flags;
}

static void finish_flags(X86CPU *c, uint64_t clear)
{
    x86_set_flags(c, x86_get_flags(c) & ~clear);
}

static void deliver_real(X86CPU *c, const Event *e)
{
    Stack s = stack_current(c);

    if (e->vector * 4 + 3 > c->idt.limit) {
        x86_raise_err(c, EXC_GP, e->vector * 8 + 2);
    }
    uint32_t entry = x86_ld(c, (c->idt.base + e->vector * 4) & linear_mask(c), 4, MMU_IMPLICIT);
    stack_push(&s, x86_get_flags(c), 2);
    stack_push(&s, c->seg[R_CS].sel, 2);
    stack_push(&s, e->rip, 2);
    stack_commit(c, &s);
    finish_flags(c, FL_IF | FL_TF | FL_AC | FL_RF);
    seg_set_real(c, R_CS, entry >> 16);
    c->rip = entry & 0xffff;
}

static G_NORETURN void bad_vector(X86CPU *c, const Event *e, int exception)
{
    x86_raise_err(c, exception, e->vector * 8 + 2);
}

/*
 * INT n in virtual-8086 mode (SDM 3B 21.3).  true: done, through the 8086 table at linear 0;
 * false: goes through the protected-mode IDT.
 */
static bool deliver_v86_soft(X86CPU *c, const Event *e)
{
    bool iopl3 = (c->rflags & FL_IOPL) == FL_IOPL;

    if (!(c->cr4 & CR4_VME)) {
        if (!iopl3) {
            x86_raise_err(c, EXC_GP, 0);
        }
        return false;
    }
    /* One bit a vector, in the 32 bytes below the I/O permission map. */
    if (c->tr.limit < 0x67) {
        x86_raise_err(c, EXC_GP, 0);
    }
    uint32_t map = x86_ld(c, (c->tr.base + 0x66) & linear_mask(c), 2, MMU_IMPLICIT);
    uint32_t at = map - 32 + e->vector / 8;
    if (map < 32 || at > c->tr.limit) {
        x86_raise_err(c, EXC_GP, 0);
    }
    uint8_t bits = x86_ld(c, (c->tr.base + at) & linear_mask(c), 1, MMU_IMPLICIT);
    if (bits >> (e->vector & 7) & 1) {
        if (!iopl3) {
            x86_raise_err(c, EXC_GP, 0);
        }
        return false;
    }

    Stack s = stack_current(c);
    uint64_t flags = x86_get_flags(c), image = flags;
    if (!iopl3) {
        image = (image & ~(uint64_t)FL_IF) | FL_IOPL | (flags & FL_VIF ? FL_IF : 0);
    }
    uint32_t entry = x86_ld(c, e->vector * 4, 4, MMU_USER);
    stack_push(&s, image, 2);
    stack_push(&s, c->seg[R_CS].sel, 2);
    stack_push(&s, e->rip, 2);
    stack_commit(c, &s);
    finish_flags(c, FL_TF | FL_NT | FL_RF | (iopl3 ? FL_IF : FL_VIF));
    seg_set_real(c, R_CS, entry >> 16);
    c->rip = entry & 0xffff;
    return true;
}

/* The gate of an event, and the code segment behind it. */
typedef struct IntGate {
    unsigned type, ist;
    uint16_t sel;
    uint64_t off;
    Desc code;
    bool inner;               /* to a lower ring: stack switch */
    unsigned cpl;             /* after */
} IntGate;

/* Read and check the gate itself. */
static void read_gate(X86CPU *c, const Event *e, IntGate *g)
{
    bool lm = x86_long_mode(c);
    unsigned size = lm ? 16 : 8;
    Desc d;

    if ((uint32_t)(e->vector + 1) * size - 1 > c->idt.limit) {
        bad_vector(c, e, EXC_GP);
    }
    uint64_t la = (c->idt.base + e->vector * size) & linear_mask(c);
    uint64_t raw = x86_ld(c, la, 8, MMU_IMPLICIT);
    d.lo = raw;
    d.hi = raw >> 32;
    g->type = desc_type(&d);
    g->ist = lm ? d.hi & 7 : 0;
    g->sel = d.lo >> 16;
    g->off = (d.lo & 0xffff) | (d.hi & 0xffff0000);
    if (lm) {
        g->off |= (x86_ld(c, la + 8, 8, MMU_IMPLICIT) & 0xffffffff) << 32;
    }

    bool ok = !(d.hi & DESC_S);
    switch (g->type) {
    case SYS_TASK_GATE:
        ok &= !lm;
        break;
    case SYS_INT16: case SYS_TRAP16:
        ok &= !lm;
        g->off &= 0xffff;
        break;
    case SYS_INT32: case SYS_TRAP32:
        break;
    default:
        ok = false;
    }
    if (!ok || (event_is_soft(e) && desc_dpl(&d) < x86_cpl(c))) {
        bad_vector(c, e, EXC_GP);
    }
    if (!(d.hi & DESC_P)) {
        bad_vector(c, e, EXC_NP);
    }
}

/* Check the code segment a gate names, and find out what ring that leads to. */
static void read_gate_code(X86CPU *c, IntGate *g)
{
    unsigned cpl = x86_cpl(c);

    if (sel_is_null(g->sel)) {
        x86_raise_err(c, EXC_GP, 0);
    }
    if (!desc_read(c, g->sel, &g->code) || !desc_is_code(&g->code)
        || desc_dpl(&g->code) > cpl
        || (x86_long_mode(c) && (g->code.hi & (DESC_L | DESC_B)) != DESC_L)) {
        x86_raise_err(c, EXC_GP, g->sel & 0xfffc);
    }
    if (!(g->code.hi & DESC_P)) {
        x86_raise_err(c, EXC_NP, g->sel & 0xfffc);
    }
    g->inner = !desc_conforming(&g->code) && desc_dpl(&g->code) < cpl;
    g->cpl = g->inner ? desc_dpl(&g->code) : cpl;
    if ((c->rflags & FL_VM) && g->cpl != 0) {
        x86_raise_err(c, EXC_GP, g->sel & 0xfffc);
    }
}

static void check_gate_target(X86CPU *c, const IntGate *g)
{
    if (x86_long_mode(c) ? !x86_canonical(c, g->off) : g->off > desc_limit(&g->code)) {
        x86_raise_err(c, EXC_GP, 0);
    }
}

static void enter_gate(X86CPU *c, const IntGate *g)
{
    bool keep_if = g->type & 1;

    seg_set(c, &c->seg[R_CS], (g->sel & 0xfffc) | g->cpl, &g->code);
    c->rip = g->off;
    finish_flags(c, FL_TF | FL_NT | FL_RF | FL_VM | (keep_if ? 0 : FL_IF));
}

static void deliver_protected(X86CPU *c, const Event *e)
{
    bool v86 = c->rflags & FL_VM;
    Segment new_ss;
    IntGate g;
    Desc ssd;
    Stack s;

    read_gate(c, e, &g);
    if (g.type == SYS_TASK_GATE) {
        x86_task_gate(c, g.sel, TASK_INT, e->rip, e->has_error, e->error);
        return;
    }
    read_gate_code(c, &g);
    unsigned size = g.type & 8 ? 4 : 2;
    if (g.inner) {
        uint16_t sel;
        uint32_t sp;
        tss_inner_stack(c, g.cpl, &sel, &sp);
        check_inner_ss(c, sel, g.cpl, &ssd);
        seg_set(c, &new_ss, sel, &ssd);
        s = stack_inner(c, &new_ss, sp, g.cpl, false);
        if (v86) {
            stack_push(&s, c->seg[R_GS].sel, size);
            stack_push(&s, c->seg[R_FS].sel, size);
            stack_push(&s, c->seg[R_DS].sel, size);
            stack_push(&s, c->seg[R_ES].sel, size);
        }
        stack_push(&s, c->seg[R_SS].sel, size);
        stack_push(&s, c->r[R_ESP], size);
    } else {
        s = stack_current(c);
    }
    stack_push(&s, x86_event_flags(c), size);
    stack_push(&s, c->seg[R_CS].sel, size);
    stack_push(&s, e->rip, size);
    if (e->has_error) {
        stack_push(&s, e->error, size);
    }
    check_gate_target(c, &g);
    if (g.inner) {
        desc_set_accessed(c, &ssd);
        desc_set_accessed(c, &g.code);
        seg_set(c, &c->seg[R_SS], (new_ss.sel & 0xfffc) | g.cpl, &ssd);
        if (v86) {
            seg_set_null(&c->seg[R_GS], 0);
            seg_set_null(&c->seg[R_FS], 0);
            seg_set_null(&c->seg[R_DS], 0);
            seg_set_null(&c->seg[R_ES], 0);
        }
    } else {
        desc_set_accessed(c, &g.code);
    }
    stack_commit(c, &s);
    enter_gate(c, &g);
}

static void deliver_long(X86CPU *c, const Event *e)
{
    uint64_t rsp = c->r[R_ESP];
    Segment new_ss = c->seg[R_SS];
    IntGate g;

    read_gate(c, e, &g);
    read_gate_code(c, &g);
    if (g.ist) {
        rsp = tss_rsp(c, 3 + g.ist);
    } else if (g.inner) {
        rsp = tss_rsp(c, g.cpl);
    }
    if (g.inner) {
        seg_set_null(&new_ss, g.cpl);
        new_ss.attr = g.cpl << DESC_DPL_SHIFT;
    }
    Stack s = stack_inner(c, &new_ss, rsp & ~15ull, g.cpl, true);
    if (!g.inner) {
        s.err = 0;
    }
    stack_push(&s, c->seg[R_SS].sel, 8);
    stack_push(&s, c->r[R_ESP], 8);
    stack_push(&s, x86_event_flags(c), 8);
    stack_push(&s, c->seg[R_CS].sel, 8);
    stack_push(&s, e->rip, 8);
    if (e->has_error) {
        stack_push(&s, e->error, 8);
    }
    check_gate_target(c, &g);
    desc_set_accessed(c, &g.code);
    c->seg[R_SS] = new_ss;
    stack_commit(c, &s);
    enter_gate(c, &g);
}

static void log_event(X86CPU *c, const Event *e)
{
    static unsigned count;
    GString *regs = g_string_new(NULL);

    x86_cpu_dump(c, regs, false);
    log_write("%6u: v=%02x e=%04x i=%d cpl=%u IP=%04x:%016" PRIx64 " pc=%016" PRIx64
              " SP=%04x:%016" PRIx64 " %s=%016" PRIx64 "\n%s",
              count++, e->vector, e->has_error ? e->error : 0, event_is_soft(e), x86_cpl(c),
              c->seg[R_CS].sel, c->rip, c->seg[R_CS].base + c->rip, c->seg[R_SS].sel,
              c->r[R_ESP], e->vector == EXC_PF ? "CR2" : "env->regs[R_EAX]",
              e->vector == EXC_PF ? c->cr2 : c->r[R_EAX], regs->str);
    g_string_free(regs, true);
}

bool x86_deliver(X86CPU *c)
{
    Event e = {
        .vector = c->exc_vector, .kind = c->exc_kind, .has_error = c->exc_has_error,
        .error = c->exc_error, .rip = c->rip,
    };

    c->exc_vector = -1;
    if (e.vector == VECTOR_TRIPLE) {
        LOG(LOG_INT | LOG_CPU_RESET, "Triple fault\n");
        c->exc_old_vector = -1;
        c->cpu.halted = true;           /* until somebody carries out the reset */
        return false;
    }
    if (event_is_soft(&e) || e.kind == EVENT_INT1) {
        e.rip = c->exc_next_rip;
    }
    if (log_on(LOG_INT)) {
        log_event(c, &e);
    }
    if (e.kind == EVENT_INT1) {
        /* A #DB itself: what MOV SS held back is told of by the same one. */
        note_debug(c, c->pending_dbg);
        c->pending_dbg = 0;
    }
    c->exc_old_vector = e.vector;
    c->exc_old_kind = e.kind;
    c->int_shadow = c->shadow_mov_ss = false;

    if (!(c->cr0 & CR0_PE)) {
        deliver_real(c, &e);
    } else if (x86_long_mode(c)) {
        deliver_long(c, &e);
    } else if (!(c->rflags & FL_VM) || e.kind != EVENT_SOFT_INT || !deliver_v86_soft(c, &e)) {
        deliver_protected(c, &e);
    }
    c->exc_old_vector = -1;
    if (e.vector == EXC_DB) {
        c->dr[7] &= ~(uint64_t)DR7_GD;
    }
    x86_update_mode(c);
    return true;
}

/* ---- debug registers ------------------------------------------------------------------ */

static bool dr_enabled(const X86CPU *c, int n)
{
    return c->dr[7] >> (2 * n) & 3;
}

/* R/W field: 0 execute, 1 write, 2 I/O, 3 read or write */
static unsigned dr_type(const X86CPU *c, int n)
{
    return c->dr[7] >> (16 + 4 * n) & 3;
}

static unsigned dr_len(const X86CPU *c, int n)
{
    static const uint8_t len[4] = { 1, 2, 8, 4 };
    return len[c->dr[7] >> (18 + 4 * n) & 3];
}

void x86_write_dr7(X86CPU *c, uint64_t val)
{
    c->dr[7] = (val & 0xffff2bff) | DR7_ONE;
    c->dr7_active = 0;
    for (int n = 0; n < 4; n++) {
        if (!dr_enabled(c, n)) {
            continue;
        }
        switch (dr_type(c, n)) {
        case 0:
            c->dr7_active |= DR7_ACTIVE_EXEC;
            break;
        case 2:
            if (c->cr4 & CR4_DE) {
                c->dr7_active |= DR7_ACTIVE_IO;
            }
            break;
        default:
            c->dr7_active |= DR7_ACTIVE_DATA;
        }
    }
    x86_update_mode(c);
}

/* Which of the breakpoints of these types does [addr, addr+len) touch? */
static uint64_t dr_match(const X86CPU *c, uint64_t addr, unsigned len, unsigned types)
{
    uint64_t hit = 0;

    for (int n = 0; n < 4; n++) {
        if (!dr_enabled(c, n) || !(types >> dr_type(c, n) & 1)) {
            continue;
        }
        unsigned bp_len = dr_type(c, n) == 0 ? 1 : dr_len(c, n);
        uint64_t at = c->dr[n] & ~(uint64_t)(bp_len - 1);
        if (addr < at + bp_len && at < addr + len) {
            hit |= 1u << n;
        }
    }
    return hit;
}

bool x86_page_watched(const X86CPU *c, uint64_t la)
{
    return (c->dr7_active & DR7_ACTIVE_DATA)
           && dr_match(c, la & GUEST_PAGE_MASK, GUEST_PAGE_SIZE, 1 << 1 | 1 << 3);
}

void x86_data_breakpoint(X86CPU *c, uint64_t la, unsigned len, bool write)
{
    c->pending_dbg |= dr_match(c, la, len, write ? 1 << 1 | 1 << 3 : 1 << 3);
}

void x86_io_breakpoint(X86CPU *c, uint16_t port, unsigned len)
{
    c->pending_dbg |= dr_match(c, port, len, 1 << 2);
}

/* ---- between instructions ------------------------------------------------------------- */

static Boundary inject(X86CPU *c, EventKind kind, int vector)
{
    c->cpu.halted = c->in_mwait = false;
    c->exc_vector = vector;
    c->exc_kind = kind;
    c->exc_has_error = false;
    c->exc_error = 0;
    return x86_deliver(c) ? BOUNDARY_RUN : BOUNDARY_RESET;
}

void x86_unmask_nmi(X86CPU *c)
{
    c->nmi_masked = false;
    if (c->nmi_pending) {
        __atomic_fetch_or(&c->cpu.request, CPU_REQ_NMI, __ATOMIC_SEQ_CST);
    }
}

/* Is an interrupt line up that IF alone holds back? [bql] */
static bool irq_up(X86CPU *c)
{
    if (c->apic && c->apic_ops->pending(c->apic)) {
        return true;
    }
    return c->pic_line && (!c->apic || c->apic_ops->accepts_pic(c->apic));
}

/* INTA: the vector, or -1 when the request has gone away meanwhile. */
int x86_take_irq(X86CPU *c)
{
    int vector = -1;

    bql_lock();
    cpu_clear_request(&c->cpu, CPU_REQ_IRQ);
    if (c->apic && c->apic_ops->pending(c->apic)) {
        vector = c->apic_ops->ack(c->apic);
    } else if (c->pic_line && (!c->apic || c->apic_ops->accepts_pic(c->apic))) {
        vector = c->pic_ack ? c->pic_ack(c->pic_opaque) : -1;
    }
    c->irq_waiting = irq_up(c);
    bql_unlock();
    return vector;
}

bool x86_cpu_has_work(X86CPU *c)
{
    uint32_t req = cpu_pending(&c->cpu);

    if (c->wait_sipi) {
        return req & (CPU_REQ_SIPI | CPU_REQ_INIT);
    }
    return c->pending_dbg || c->exc_vector >= 0 || (req & (CPU_REQ_INIT | CPU_REQ_MCE))
           || ((req & CPU_REQ_SMI || c->smi_pending) && !c->smm)
           || ((req & CPU_REQ_NMI || c->nmi_pending) && !c->nmi_masked)
           || ((c->rflags & FL_IF) && irq_up(c));
}

/* INIT and SIPI; true: something changed. */
static bool boundary_init(X86CPU *c, uint32_t req)
{
    if ((req & CPU_REQ_INIT) && !c->smm) {
        bql_lock();
        cpu_clear_request(&c->cpu, CPU_REQ_INIT);
        x86_cpu_init_ipi(c);
        bql_unlock();
        return true;
    }
    if (req & CPU_REQ_SIPI) {
        bql_lock();
        cpu_clear_request(&c->cpu, CPU_REQ_SIPI);
        if (c->wait_sipi) {
            c->wait_sipi = c->cpu.halted = false;
            seg_set_real(c, R_CS, c->sipi_vector << 8);
            c->rip = 0;
            x86_update_mode(c);
        }
        bql_unlock();
        return true;
    }
    return false;
}

/* SMI and NMI latch: the request bit moves into the CPU, where masking holds it. */
static void latch_requests(X86CPU *c, uint32_t req)
{
    if (req & CPU_REQ_SMI) {
        cpu_clear_request(&c->cpu, CPU_REQ_SMI);
        c->smi_pending = true;
    }
    if (req & CPU_REQ_NMI) {
        cpu_clear_request(&c->cpu, CPU_REQ_NMI);
        unsigned n = __atomic_exchange_n(&c->nmi_queued, 0, __ATOMIC_ACQ_REL);
        c->nmi_pending = MIN(c->nmi_pending + n, c->nmi_masked ? 1u : 2u);
    }
}

/* An instruction breakpoint on the next instruction is a fault, unless RF. */
static void boundary_code_breakpoint(X86CPU *c)
{
    if ((c->dr7_active & DR7_ACTIVE_EXEC) && !(c->rflags & FL_RF)) {
        uint64_t la = x86_code64(c) ? c->rip : (uint32_t)(c->seg[R_CS].base + c->rip);
        uint64_t hit = dr_match(c, la, 1, 1 << 0);
        if (hit) {
            x86_raise_db(c, hit);
        }
    }
}

/* A debugger's step keeps interrupts out.  One that would end HLT ends it, or the step would
 * not come to an end. */
static void step_out_of_hlt(X86CPU *c)
{
    bql_lock();
    if (x86_cpu_has_work(c)) {
        c->cpu.halted = c->in_mwait = false;
    }
    bql_unlock();
}

Boundary x86_boundary(X86CPU *c)
{
    uint32_t req = cpu_pending(&c->cpu);
    bool shadow = c->int_shadow, mov_ss = c->shadow_mov_ss;

    c->int_shadow = c->shadow_mov_ss = false;
    if (boundary_init(c, req)) {
        return c->cpu.halted ? BOUNDARY_HALTED : BOUNDARY_RUN;
    }
    if (c->wait_sipi) {
        return BOUNDARY_HALTED;
    }
    latch_requests(c, req);
    if (mov_ss) {
        c->pending_dbg &= ~(uint64_t)DB_BS;     /* its own trap is lost, not late */
    } else {
        if (req & CPU_REQ_MCE) {
            cpu_clear_request(&c->cpu, CPU_REQ_MCE);
            return c->cr4 & CR4_MCE ? inject(c, EVENT_EXCEPTION, EXC_MC) : BOUNDARY_RESET;
        }
        if (c->pending_dbg) {
            note_debug(c, c->pending_dbg);
            c->pending_dbg = 0;
            return inject(c, EVENT_EXCEPTION, EXC_DB);
        }
        if (c->smi_pending && !c->smm && !shadow) {
            c->smi_pending = false;
            x86_enter_smm(c);
            return BOUNDARY_RUN;
        }
        if (c->nmi_pending && !c->nmi_masked && !shadow) {
            c->nmi_pending--;
            c->nmi_masked = true;
            return inject(c, EVENT_NMI, EXC_NMI);
        }
    }
    if ((req & CPU_REQ_IRQ) && !shadow && !c->cpu.debug_step) {
        if (c->rflags & FL_IF) {
            int vector = x86_take_irq(c);
            if (vector >= 0) {
                return inject(c, EVENT_EXTERNAL, vector);
            }
        } else {
            cpu_clear_request(&c->cpu, CPU_REQ_IRQ);
            c->irq_waiting = true;
        }
    }
    if (unlikely(c->cpu.debug_step && c->cpu.halted)) {
        step_out_of_hlt(c);
    }
    if (c->cpu.halted) {
        return BOUNDARY_HALTED;
    }
    if (!mov_ss || !is_intel(c)) {
        boundary_code_breakpoint(c);
    }
    c->rflags &= ~(uint64_t)FL_RF;
    if (!shadow) {
        return BOUNDARY_RUN;
    }
    /* What the shadow held back asks again after the next instruction. */
    uint32_t again = (c->smi_pending && !c->smm ? CPU_REQ_SMI : 0)
                     | (c->nmi_pending && !c->nmi_masked ? CPU_REQ_NMI : 0);
    if (again) {
        __atomic_fetch_or(&c->cpu.request, again, __ATOMIC_SEQ_CST);
    }
    return cpu_pending(&c->cpu) || c->pending_dbg ? BOUNDARY_ONE : BOUNDARY_RUN;
}

/* ---- lines from outside --------------------------------------------------------------- */

void x86_cpu_set_pic_line(X86CPU *c, int level)
{
    c->pic_line = level;
    if (level) {
        cpu_request(&c->cpu, CPU_REQ_IRQ);
    }
}

void x86_cpu_apic_changed(X86CPU *c)
{
    if (irq_up(c)) {
        cpu_request(&c->cpu, CPU_REQ_IRQ);
    }
}

/* A second NMI that comes before the first was taken is not lost, as it would not have been
 * on a processor that takes the first at once. */
void x86_cpu_nmi(X86CPU *c)
{
    __atomic_fetch_add(&c->nmi_queued, 1, __ATOMIC_ACQ_REL);
    cpu_request(&c->cpu, CPU_REQ_NMI);
}

void x86_cpu_smi(X86CPU *c)
{
    cpu_request(&c->cpu, CPU_REQ_SMI);
}

void x86_cpu_sipi(X86CPU *c, uint8_t vector)
{
    c->sipi_vector = vector;
    cpu_request(&c->cpu, CPU_REQ_SIPI);
}

/* ---- FERR# ---------------------------------------------------------------------------- */

/*
 * With CR0.NE clear the error leaves through FERR# and comes back as IRQ 13.  The real CPU
 * stops before the waiting instruction until that interrupt; here the instruction is started
 * again when the interrupt can be taken, and goes ahead when it cannot.
 */
void x86_fpu_error(X86CPU *c)
{
    if (c->cr0 & CR0_NE) {
        x86_raise(c, EXC_MF);
    }
    if (c->ignne || !x86_ferr_hook) {
        return;
    }
    bql_lock();
    c->ferr = true;
    x86_ferr_hook(c, true);
    bool taken = (c->rflags & FL_IF) && irq_up(c);
    bql_unlock();
    if (taken) {
        siglongjmp(c->cpu.jmp, 1);
    }
}

void x86_fpu_error_gone(X86CPU *c)
{
    if (c->ferr || c->ignne) {
        bql_lock();
        c->ferr = c->ignne = false;
        if (x86_ferr_hook) {
            x86_ferr_hook(c, false);
        }
        bql_unlock();
    }
}

void x86_cpu_ignne(X86CPU *c)
{
    if (c->ferr) {
        c->ignne = true;
    }
}
