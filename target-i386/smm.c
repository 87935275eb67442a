/* SPDX-License-Identifier: MIT */
/*
 * System management mode: entry on SMI, the state-save area, RSM.
 *
 * The save area lies at SMBASE + FE00h.  Its layout depends on the CPU: with long mode AMD's
 * 64-bit map (revision 20064h), without it the 32-bit map of Intel's P6 (revision 20000h);
 * SeaBIOS and OVMF know both.  Bit 17 of the revision: SMBASE can be changed in the area.
 * In SMM the CPU sees memory through cpu.as_smm.
 *
 * Not modelled: SMM dual-monitor treatment, SMRR, I/O trapping information beyond what the
 * restart of an I/O instruction needs.
 * Sources: APM 2 chapter 10 (table 10-1), SDM 3C chapter 31.
 */
#include "target-i386/seg.h"

#include "target-i386/cpuid.h"
#include "util/log.h"

#define SMM_REVISION_32 0x00020000
#define SMM_REVISION_64 0x00020064

static uint64_t sm_ld(X86CPU *c, unsigned off, unsigned size)
{
    return address_space_ld(c->cpu.as_smm, (uint32_t)(c->smbase + 0x8000 + off), size);
}

static void sm_st(X86CPU *c, unsigned off, unsigned size, uint64_t val)
{
    address_space_st(c->cpu.as_smm, (uint32_t)(c->smbase + 0x8000 + off), val, size);
}

/* ---- the two maps ------------------------------------------------------------------------ */

/* One plain register: where it is in X86CPU, and in the area. */
typedef struct SmReg {
    uint16_t off;
    uint8_t size;
    size_t field;             /* of a uint64_t in X86CPU */
} SmReg;

#define REG(o, s, f) { o, s, offsetof(X86CPU, f) }

static const SmReg regs64[] = {
    REG(0x7ed0, 8, efer), REG(0x7f48, 8, cr4), REG(0x7f50, 8, cr3), REG(0x7f58, 8, cr0),
    REG(0x7f60, 8, dr[7]), REG(0x7f68, 8, dr[6]), REG(0x7f70, 8, rflags), REG(0x7f78, 8, rip),
    REG(0x7f80, 8, r[R_R15]), REG(0x7f88, 8, r[R_R14]), REG(0x7f90, 8, r[R_R13]),
    REG(0x7f98, 8, r[R_R12]), REG(0x7fa0, 8, r[R_R11]), REG(0x7fa8, 8, r[R_R10]),
    REG(0x7fb0, 8, r[R_R9]), REG(0x7fb8, 8, r[R_R8]), REG(0x7fc0, 8, r[R_EDI]),
    REG(0x7fc8, 8, r[R_ESI]), REG(0x7fd0, 8, r[R_EBP]), REG(0x7fd8, 8, r[R_ESP]),
    REG(0x7fe0, 8, r[R_EBX]), REG(0x7fe8, 8, r[R_EDX]), REG(0x7ff0, 8, r[R_ECX]),
    REG(0x7ff8, 8, r[R_EAX]),
};

static const SmReg regs32[] = {
    REG(0x7f14, 4, cr4), REG(0x7fc8, 4, dr[7]), REG(0x7fcc, 4, dr[6]), REG(0x7fd0, 4, r[R_EAX]),
    REG(0x7fd4, 4, r[R_ECX]), REG(0x7fd8, 4, r[R_EDX]), REG(0x7fdc, 4, r[R_EBX]),
    REG(0x7fe0, 4, r[R_ESP]), REG(0x7fe4, 4, r[R_EBP]), REG(0x7fe8, 4, r[R_ESI]),
    REG(0x7fec, 4, r[R_EDI]), REG(0x7ff0, 4, rip), REG(0x7ff4, 4, rflags), REG(0x7ff8, 4, cr3),
    REG(0x7ffc, 4, cr0),
};

/* A segment: selector apart from the rest in the 32-bit map. */
typedef struct SmSeg {
    uint16_t sel, attr, limit, base;
    size_t field;
} SmSeg;

#define SEG64(o, f) { o, (o) + 2, (o) + 4, (o) + 8, offsetof(X86CPU, f) }
static const SmSeg segs64[] = {
    SEG64(0x7e00, seg[R_ES]), SEG64(0x7e10, seg[R_CS]), SEG64(0x7e20, seg[R_SS]),
    SEG64(0x7e30, seg[R_DS]), SEG64(0x7e40, seg[R_FS]), SEG64(0x7e50, seg[R_GS]),
    SEG64(0x7e70, ldt), SEG64(0x7e90, tr),
};

#define SEG32(s, o, f) { s, o, (o) + 4, (o) + 8, offsetof(X86CPU, f) }
static const SmSeg segs32[] = {
    SEG32(0x7fa8, 0x7f84, seg[R_ES]), SEG32(0x7fac, 0x7f90, seg[R_CS]),
    SEG32(0x7fb0, 0x7f9c, seg[R_SS]), SEG32(0x7fb4, 0x7f2c, seg[R_DS]),
    SEG32(0x7fb8, 0x7f38, seg[R_FS]), SEG32(0x7fbc, 0x7f44, seg[R_GS]),
    SEG32(0x7fc0, 0x7f78, ldt), SEG32(0x7fc4, 0x7f5c, tr),
};

typedef struct SmMap {
    uint32_t revision;
    const SmReg *regs;
    unsigned nregs;
    const SmSeg *segs;
    unsigned nsegs, attr_size, base_size;
    uint16_t gdt_base, gdt_limit, idt_base, idt_limit;
    uint16_t smbase, io_restart, halt_restart;
} SmMap;

static const SmMap map64 = {
    .revision = SMM_REVISION_64, .regs = regs64, .nregs = G_N_ELEMENTS(regs64),
    .segs = segs64, .nsegs = G_N_ELEMENTS(segs64), .attr_size = 2, .base_size = 8,
    .gdt_base = 0x7e68, .gdt_limit = 0x7e64, .idt_base = 0x7e88, .idt_limit = 0x7e84,
    .smbase = 0x7f00, .io_restart = 0x7ec8, .halt_restart = 0x7ec9,
};
static const SmMap map32 = {
    .revision = SMM_REVISION_32, .regs = regs32, .nregs = G_N_ELEMENTS(regs32),
    .segs = segs32, .nsegs = G_N_ELEMENTS(segs32), .attr_size = 4, .base_size = 4,
    .gdt_base = 0x7f74, .gdt_limit = 0x7f70, .idt_base = 0x7f58, .idt_limit = 0x7f54,
    .smbase = 0x7ef8, .io_restart = 0x7f00, .halt_restart = 0x7f02,
};
#define SM_REVISION     0x7efc      /* in both */
/* 64-bit map only: the I/O instruction to restart, and NMI mask */
#define SM64_IO_RIP     0x7ea0
#define SM64_IO_INFO    0x7ec0
#define SM64_NMI_MASK   0x7eca

static const SmMap *map_of(const X86CPU *c)
{
    return x86_has(c, CPUID_LM) ? &map64 : &map32;
}

static uint64_t *reg_field(X86CPU *c, const SmReg *r)
{
    return (uint64_t *)(void *)((char *)c + r->field);
}

static Segment *seg_field(X86CPU *c, const SmSeg *s)
{
    return (Segment *)(void *)((char *)c + s->field);
}

/* ---- entry ----------------------------------------------------------------------------------- */

static void save_state(X86CPU *c, const SmMap *m)
{
    for (unsigned i = 0; i < m->nregs; i++) {
        sm_st(c, m->regs[i].off, m->regs[i].size, *reg_field(c, &m->regs[i]));
    }
    for (unsigned i = 0; i < m->nsegs; i++) {
        const SmSeg *at = &m->segs[i];
        const Segment *s = seg_field(c, at);
        sm_st(c, at->sel, m->attr_size, s->sel);
        sm_st(c, at->attr, m->attr_size, s->attr >> 8 & 0xf0ff);
        sm_st(c, at->limit, 4, s->limit);
        sm_st(c, at->base, m->base_size, s->base);
    }
    sm_st(c, m->gdt_base, m->base_size, c->gdt.base);
    sm_st(c, m->gdt_limit, 4, c->gdt.limit);
    sm_st(c, m->idt_base, m->base_size, c->idt.base);
    sm_st(c, m->idt_limit, 4, c->idt.limit);
    sm_st(c, SM_REVISION, 4, m->revision);
    sm_st(c, m->smbase, 4, c->smbase);
    sm_st(c, m->io_restart, 1, 0);
    sm_st(c, m->halt_restart, 1, c->cpu.halted);
}

/* Was the SMI answered right behind the I/O instruction that caused it? */
static bool after_io(const X86CPU *c)
{
    return c->io_info && c->rip - c->io_rip <= 15;
}

static void set_smm_segments(X86CPU *c)
{
    for (int i = 0; i < SEG_COUNT; i++) {
        seg_set_flat(&c->seg[i], 0, FLAT_DATA & ~DESC_B);
    }
    c->seg[R_CS].sel = c->smbase >> 4;
    c->seg[R_CS].base = c->smbase;
}

void x86_enter_smm(X86CPU *c)
{
    const SmMap *m = map_of(c);
    uint64_t flags = x86_get_flags(c);

    LOG(LOG_INT, "SMM: enter, smbase %08x\n", c->smbase);
    c->rflags = flags;
    save_state(c, m);
    c->smm_io_rip = after_io(c) ? c->io_rip : c->rip;
    if (m == &map64) {
        sm_st(c, SM64_IO_RIP, 8, c->smm_io_rip);
        sm_st(c, SM64_IO_INFO, 4, after_io(c) ? c->io_info : 0);
        sm_st(c, SM64_NMI_MASK, 1, c->nmi_masked);
    }
    c->smm_halted = c->cpu.halted;
    c->smm_nmi_masked = c->nmi_masked;
    c->cpu.halted = c->in_mwait = false;
    c->nmi_masked = true;
    c->smm = true;

    c->efer = 0;
    x86_set_flags(c, FL_1);
    c->rip = 0x8000;
    set_smm_segments(c);
    x86_set_cr4(c, 0);
    x86_set_cr0(c, c->cr0 & ~(uint64_t)(CR0_PE | CR0_EM | CR0_TS | CR0_PG));
    x86_write_dr7(c, 0);
    x86_tlb_flush(c);                   /* another address space */
    x86_update_mode(c);
}

/* ---- RSM ------------------------------------------------------------------------------------- */

/* The CPU shuts down when it finds nonsense in the area. */
static bool area_valid(X86CPU *c, const SmMap *m)
{
    bool m64 = m == &map64;
    uint64_t cr0 = sm_ld(c, m64 ? 0x7f58 : 0x7ffc, 4);
    uint64_t cr4 = m64 ? sm_ld(c, 0x7f48, 4) : sm_ld(c, 0x7f14, 4);
    uint64_t efer = m64 ? sm_ld(c, 0x7ed0, 8) : 0;

    if (((cr0 & CR0_PG) && !(cr0 & CR0_PE)) || ((cr0 & CR0_NW) && !(cr0 & CR0_CD))
        || (cr4 & ~x86_cr4_valid(c))) {
        return false;
    }
    if ((efer & EFER_LMA) && (!(cr4 & CR4_PAE) || !(cr0 & CR0_PG))) {
        return false;
    }
    return true;
}

static void load_state(X86CPU *c, const SmMap *m)
{
    for (unsigned i = 0; i < m->nregs; i++) {
        *reg_field(c, &m->regs[i]) = sm_ld(c, m->regs[i].off, m->regs[i].size);
    }
    for (unsigned i = 0; i < m->nsegs; i++) {
        const SmSeg *at = &m->segs[i];
        Segment *s = seg_field(c, at);
        s->sel = sm_ld(c, at->sel, 2);
        s->attr = (sm_ld(c, at->attr, 2) & 0xf0ff) << 8;
        s->limit = sm_ld(c, at->limit, 4);
        s->base = sm_ld(c, at->base, m->base_size);
    }
    c->gdt.base = sm_ld(c, m->gdt_base, m->base_size);
    c->gdt.limit = sm_ld(c, m->gdt_limit, 2);
    c->idt.base = sm_ld(c, m->idt_base, m->base_size);
    c->idt.limit = sm_ld(c, m->idt_limit, 2);
    if (m == &map32) {
        c->efer = 0;
    }
}

void x86_rsm(X86CPU *c)
{
    const SmMap *m = map_of(c);

    if (!c->smm) {
        x86_raise(c, EXC_UD);
    }
    if (!area_valid(c, m)) {
        LOG_GUEST("RSM: invalid state in the save area at %08x, shutdown\n", c->smbase + 0xfe00);
        x86_raise_shutdown(c);
    }
    bool restart_io = (sm_ld(c, m->io_restart, 1) & 0xff) == 0xff;
    bool restart_halt = sm_ld(c, m->halt_restart, 1) & 1;
    bool nmi_masked = m == &map64 ? sm_ld(c, SM64_NMI_MASK, 1) & 1 : c->smm_nmi_masked;
    uint32_t smbase = sm_ld(c, m->smbase, 4);

    load_state(c, m);
    c->smbase = smbase;
    c->smm = false;
    x86_set_flags(c, (c->rflags & 0x3f7fd5) | FL_1);
    c->cr0 |= CR0_ET;
    c->dr[6] = (c->dr[6] & 0xe00f) | DR6_ONES;
    x86_tlb_flush(c);
    if ((c->cr0 & CR0_PG) && (c->cr4 & CR4_PAE) && !(c->efer & EFER_LMA)
        && !x86_load_pdptes(c, c->cr3)) {
        x86_raise_shutdown(c);
    }
    x86_write_dr7(c, c->dr[7]);
    if (restart_io) {
        c->rip = c->smm_io_rip;
    }
    c->cpu.halted = c->smm_halted && restart_halt;
    c->io_info = 0;
    x86_update_mode(c);
    LOG(LOG_INT, "SMM: resume, smbase %08x\n", c->smbase);

    c->nmi_masked = nmi_masked;
    if (!nmi_masked) {
        x86_unmask_nmi(c);
    }
    if (c->smi_pending) {
        __atomic_fetch_or(&c->cpu.request, CPU_REQ_SMI, __ATOMIC_SEQ_CST);
    }
    c->irq_waiting = true;
    x86_recheck_irq(c);
}
