/* SPDX-License-Identifier: MIT */
/*
 * Events: delivery in every mode, double faults, virtual-8086 extensions, and what happens
 * between instructions (interrupts, NMI, traps, breakpoints, INIT and SIPI).
 */
#include "tests/unit/x86-test.h"

#include "target-i386/seg.h"

/* ---- events --------------------------------------------------------------------------------------- */

static void test_exception_same_ring(void)
{
    x86_test_protected(0);
    x86_set_flags(cpu, FL_1 | FL_IF | FL_TF);
    TRY(x86_raise_err(cpu, EXC_GP, 0x18));
    g_assert_true(x86_test_deliver());
    g_assert_cmphex(cpu->rip, ==, 0x10000 + EXC_GP);
    g_assert_cmphex(cpu->r[R_ESP], ==, STACK0 - 16);
    g_assert_cmphex(mem32(STACK0 - 4), ==, FL_1 | FL_IF | FL_TF | FL_RF);   /* a fault */
    g_assert_cmphex(mem32(STACK0 - 8), ==, CODE0);
    g_assert_cmphex(mem32(STACK0 - 12), ==, 0x8000);
    g_assert_cmphex(mem32(STACK0 - 16), ==, 0x18);
    g_assert_cmphex(x86_get_flags(cpu), ==, FL_1);
}

static void test_exception_inner(void)
{
    x86_test_protected(3);
    TRY(x86_raise(cpu, EXC_DE));
    g_assert_true(x86_test_deliver());
    g_assert_cmpuint(x86_cpl(cpu), ==, 0);
    g_assert_cmphex(cpu->r[R_ESP], ==, STACK0 - 20);
    g_assert_cmphex(mem32(STACK0 - 4), ==, DATA3);
    g_assert_cmphex(mem32(STACK0 - 8), ==, STACK3);
    g_assert_cmphex(cpu->seg[R_DS].sel, ==, DATA3); /* untouched */
}

static void test_exception_v86(void)
{
    x86_test_protected(3);
    x86_set_flags(cpu, FL_1 | FL_VM | FL_IOPL);
    for (int i = 0; i < SEG_COUNT; i++) {
        seg_set_real(cpu, i, 0x100 * (i + 1));
    }
    cpu->r[R_ESP] = 0x100;
    cpu->rip = 0x20;
    TRY(x86_raise_err(cpu, EXC_GP, 0));
    g_assert_true(x86_test_deliver());
    g_assert_false(cpu->rflags & FL_VM);
    g_assert_cmphex(cpu->r[R_ESP], ==, STACK0 - 40);
    g_assert_cmphex(mem32(STACK0 - 4), ==, 0x600);          /* GS */
    g_assert_cmphex(mem32(STACK0 - 8), ==, 0x500);
    g_assert_cmphex(mem32(STACK0 - 12), ==, 0x400);         /* DS */
    g_assert_cmphex(mem32(STACK0 - 16), ==, 0x100);         /* ES */
    g_assert_cmphex(mem32(STACK0 - 20), ==, 0x300);         /* SS */
    g_assert_cmphex(mem32(STACK0 - 24), ==, 0x100);
    g_assert_cmphex(mem32(STACK0 - 28), ==, FL_1 | FL_VM | FL_IOPL | FL_RF);
    g_assert_cmphex(mem32(STACK0 - 32), ==, 0x200);         /* CS */
    g_assert_cmphex(mem32(STACK0 - 36), ==, 0x20);
    g_assert_cmphex(cpu->seg[R_GS].attr, ==, 0);
    /* ... and back. */
    cpu->r[R_ESP] += 4;
    g_assert_cmpint(TRY(x86_iret(cpu, 4, 0)), ==, -1);
    g_assert_true(cpu->rflags & FL_VM);
    g_assert_cmphex(cpu->seg[R_FS].sel, ==, 0x500);
}

static void test_exception_long(void)
{
    x86_test_long(3);
    cpu->r[R_ESP] = 0x123456;
    TRY(x86_raise_pf(cpu, 0xdead000, 6));
    g_assert_true(x86_test_deliver());
    g_assert_cmphex(cpu->cr2, ==, 0xdead000);
    g_assert_cmphex(cpu->r[R_ESP], ==, STACK0 - 48);
    g_assert_cmphex(mem64(STACK0 - 8), ==, DATA3);
    g_assert_cmphex(mem64(STACK0 - 16), ==, 0x123456);
    g_assert_cmphex(mem64(STACK0 - 48), ==, 6);
    g_assert_cmphex(cpu->seg[R_SS].sel, ==, 0);

    /* An IST stack, from ring 0; the pointer is aligned on the way. */
    x86_test_long(0);
    st64_le(ram + TSS + 0x24, STACK1 + 9);
    put_gate64(IDT + EXC_DE * 16, CODE64, 0x4000, DESC_P | TYPE(SYS_INT32), 1);
    TRY(x86_raise(cpu, EXC_DE));
    g_assert_true(x86_test_deliver());
    g_assert_cmphex(cpu->r[R_ESP], ==, STACK1 - 40);
    g_assert_cmphex(cpu->seg[R_SS].sel, ==, DATA0); /* unchanged in the same ring */

    /* Same ring without IST: aligned too. */
    x86_test_long(0);
    cpu->r[R_ESP] = STACK0 - 3;
    TRY(x86_raise(cpu, EXC_DE));
    g_assert_true(x86_test_deliver());
    g_assert_cmphex(cpu->r[R_ESP], ==, STACK0 - 16 - 40);
    g_assert_cmphex(mem64(STACK0 - 16 - 16), ==, STACK0 - 3);
}

static void test_exception_real(void)
{
    x86_test_reset();
    st32_le(ram + 6 * 4, 0x12345678);
    cpu->r[R_ESP] = 0x100;
    x86_load_seg(cpu, R_SS, 0x900);
    cpu->rip = 0x42;
    x86_set_flags(cpu, FL_1 | FL_IF);
    TRY(x86_raise(cpu, EXC_UD));
    g_assert_true(x86_test_deliver());
    g_assert_cmphex(cpu->seg[R_CS].sel, ==, 0x1234);
    g_assert_cmphex(cpu->rip, ==, 0x5678);
    g_assert_cmphex(cpu->r[R_ESP], ==, 0xfa);
    g_assert_cmphex(mem16(0x90fa), ==, 0x42);
    g_assert_cmphex(mem16(0x90fe) & FL_IF, ==, FL_IF);
    g_assert_cmphex(x86_get_flags(cpu), ==, FL_1);
    /* A table too short for the vector: #GP, then #DF, then shutdown. */
    cpu->idt.limit = 0;
    TRY(x86_int_n(cpu, 0x80, 0));
    g_assert_false(x86_test_deliver());
}

static void test_soft_int(void)
{
    x86_test_protected(3);
    TRY(x86_int_n(cpu, 0x80, 0x8002));
    g_assert_true(x86_test_deliver());
    g_assert_cmphex(cpu->rip, ==, 0x10080);
    g_assert_cmphex(mem32(STACK0 - 20), ==, 0x8002);
    g_assert_cmphex(mem32(STACK0 - 12) & FL_RF, ==, 0);

    /* Gate of ring 0: INT n may not use it, the error names the IDT entry and not EXT. */
    x86_test_protected(3);
    put_gate(IDT + 0x80 * 8, CODE0, 0x1000, DESC_P | TYPE(SYS_INT32) | DPL(0), 0);
    TRY(x86_int_n(cpu, 0x80, 0x8002));
    g_assert_true(x86_test_deliver());
    g_assert_cmphex(cpu->rip, ==, 0x10000 + EXC_GP);
    g_assert_cmphex(mem32(STACK0 - 24), ==, 0x80 * 8 + 2);
    g_assert_cmphex(mem32(STACK0 - 20), ==, 0x8000);    /* the INT itself */

    /* The same gate is fine for a hardware event. */
    x86_test_protected(3);
    put_gate(IDT + EXC_DE * 8, CODE0, 0x1000, DESC_P | TYPE(SYS_INT32) | DPL(0), 0);
    TRY(x86_raise(cpu, EXC_DE));
    g_assert_true(x86_test_deliver());
    g_assert_cmphex(cpu->rip, ==, 0x1000);

    /* A gate that is not present: #NP with EXT for the exception. */
    x86_test_protected(3);
    put_gate(IDT + EXC_UD * 8, CODE0, 0x1000, TYPE(SYS_INT32) | DPL(0), 0);
    TRY(x86_raise(cpu, EXC_UD));
    g_assert_true(x86_test_deliver());
    g_assert_cmphex(cpu->rip, ==, 0x10000 + EXC_NP);
    g_assert_cmphex(mem32(STACK0 - 24), ==, EXC_UD * 8 + 2 + 1);
}

/* For every pair of exceptions: the gate of the first is broken so that the second happens. */
static void test_double_fault_matrix(void)
{
    static const int first[] = { EXC_DE, EXC_DB, EXC_BP, EXC_UD, EXC_TS, EXC_NP, EXC_SS, EXC_GP,
                                 EXC_PF, EXC_AC, EXC_DF };

    for (unsigned i = 0; i < G_N_ELEMENTS(first); i++) {
        for (int second = 0; second < 4; second++) {
            int v = first[i];
            bool contributory = v == EXC_DE || (v >= EXC_TS && v <= EXC_GP);
            bool pf = v == EXC_PF;
            int fault;

            x86_test_protected(3);
            switch (second) {
            case 0:                                     /* #NP */
                put_gate(IDT + v * 8, CODE0, 0x1000, TYPE(SYS_INT32), 0);
                fault = EXC_NP;
                break;
            case 1:                                     /* #GP */
                put_gate(IDT + v * 8, CODE0, 0x1000, DESC_P | TYPE(SYS_LDT), 0);
                fault = EXC_GP;
                break;
            case 2:                                     /* #GP on the code segment */
                put_gate(IDT + v * 8, 0x3f8, 0x1000, DESC_P | TYPE(SYS_INT32), 0);
                fault = EXC_GP;
                break;
            default:                                    /* #TS on the inner stack */
                put_gate(IDT + v * 8, CODE1, 0x1000, DESC_P | TYPE(SYS_INT32), 0);
                st16_le(ram + TSS + 16, 0x3f8);
                fault = EXC_TS;
            }
            bool collide = fault == v;                  /* then its gate is broken as well */
            TRY(x86_raise_err(cpu, v, 0));
            bool alive = x86_test_deliver();
            if (v == EXC_DF) {
                g_assert_false(alive);
            } else if (contributory || pf) {
                g_assert_true(alive);
                g_assert_cmphex(cpu->rip, ==, 0x10000 + EXC_DF);
                g_assert_cmphex(mem32(STACK0 - 24), ==, 0);
            } else {
                g_assert_false(collide);
                g_assert_true(alive);
                g_assert_cmphex(cpu->rip, ==, 0x10000 + fault);
                g_assert_true(mem32(STACK0 - 24) & 1);  /* EXT */
            }
        }
    }
}

static void test_page_fault_in_delivery(void)
{
    /* The stack of ring 0 is not mapped: #PF while delivering #UD is a plain #PF, while
     * delivering #PF a double fault; without a stack for that it is the end. */
    x86_test_long(3);
    st64_le(ram + TSS + 4, 0x7fff00000000);
    put_gate64(IDT + EXC_PF * 16, CODE64, 0x4000, DESC_P | TYPE(SYS_INT32), 1);
    TRY(x86_raise(cpu, EXC_UD));
    g_assert_true(x86_test_deliver());
    g_assert_cmphex(cpu->rip, ==, 0x4000);
    g_assert_cmphex(cpu->cr2, ==, 0x7ffefffffff8);
    g_assert_cmphex(mem64(STACK1 - 48), ==, 2);         /* a supervisor write */

    x86_test_long(3);
    st64_le(ram + TSS + 4, 0x7fff00000000);
    put_gate64(IDT + EXC_DF * 16, CODE64, 0x4000, DESC_P | TYPE(SYS_INT32), 1);
    TRY(x86_raise_pf(cpu, 0x1000, 4));
    g_assert_true(x86_test_deliver());
    g_assert_cmphex(cpu->rip, ==, 0x4000);
    g_assert_cmphex(mem64(STACK1 - 48), ==, 0);

    x86_test_long(3);
    st64_le(ram + TSS + 4, 0x7fff00000000);
    TRY(x86_raise_pf(cpu, 0x1000, 4));
    g_assert_false(x86_test_deliver());

    x86_test_long(3);
    st64_le(ram + TSS + 4, 0x900000000000);             /* not canonical: #SS(EXT) */
    put_gate64(IDT + EXC_SS * 16, CODE64, 0x4000, DESC_P | TYPE(SYS_INT32), 1);
    TRY(x86_raise(cpu, EXC_UD));
    g_assert_true(x86_test_deliver());
    g_assert_cmphex(cpu->rip, ==, 0x4000);
    g_assert_cmphex(mem64(STACK1 - 48), ==, 1);
}

/* ---- virtual-8086 extensions --------------------------------------------------------------------- */

static void enter_v86(uint32_t flags)
{
    x86_test_protected(3);
    x86_set_flags(cpu, FL_1 | FL_VM | flags);
    for (int i = 0; i < SEG_COUNT; i++) {
        seg_set_real(cpu, i, 0x900);
    }
    cpu->r[R_ESP] = 0x100;
    cpu->rip = 0x20;
    x86_update_mode(cpu);
}

static void test_vme(void)
{
    /* Without VME, IOPL < 3: #GP(0). */
    enter_v86(0);
    TRY(x86_int_n(cpu, 0x21, 0x22));
    g_assert_true(x86_test_deliver());
    g_assert_cmphex(cpu->rip, ==, 0x10000 + EXC_GP);
    g_assert_cmphex(mem32(STACK0 - 40), ==, 0);

    /* IOPL 3: through the IDT. */
    enter_v86(FL_IOPL);
    TRY(x86_int_n(cpu, 0x21, 0x22));
    g_assert_true(x86_test_deliver());
    g_assert_cmphex(cpu->rip, ==, 0x10021);

    /* VME, bit clear: through the 8086 table, the image shows VIF as IF and IOPL 3. */
    enter_v86(FL_VIF);
    cpu->cr4 |= CR4_VME;
    st32_le(ram + 0x21 * 4, 0x05000123);
    TRY(x86_int_n(cpu, 0x21, 0x22));
    g_assert_true(x86_test_deliver());
    g_assert_cmphex(cpu->seg[R_CS].sel, ==, 0x500);
    g_assert_cmphex(cpu->rip, ==, 0x123);
    g_assert_cmphex(mem16(0x90fe), ==, FL_1 | FL_IF | FL_IOPL);
    g_assert_false(cpu->rflags & FL_VIF);
    /* IRET gives VIF back. */
    g_assert_cmpint(TRY(x86_iret(cpu, 2, 0)), ==, -1);
    g_assert_true(cpu->rflags & FL_VIF);
    g_assert_cmphex(cpu->rip, ==, 0x22);
    g_assert_cmphex(cpu->rflags & FL_IOPL, ==, 0);

    /* VME, bit set, IOPL < 3: #GP(0). */
    enter_v86(0);
    cpu->cr4 |= CR4_VME;
    ram[TSS + 0x88 - 32 + 0x21 / 8] = 1 << (0x21 & 7);
    TRY(x86_int_n(cpu, 0x21, 0x22));
    g_assert_true(x86_test_deliver());
    g_assert_cmphex(cpu->rip, ==, 0x10000 + EXC_GP);

    /* CLI and STI work on VIF; STI with VIP faults. */
    enter_v86(FL_VIF | FL_IF);
    cpu->cr4 |= CR4_VME;
    g_assert_cmpint(TRY(x86_cli(cpu)), ==, -1);
    g_assert_cmphex(cpu->rflags & (FL_VIF | FL_IF), ==, FL_IF);
    g_assert_cmphex(x86_pushf(cpu, 2) & (FL_IF | FL_IOPL), ==, FL_IOPL);
    g_assert_cmpint(TRY(x86_sti(cpu)), ==, -1);
    g_assert_true(cpu->rflags & FL_VIF);
    cpu->rflags |= FL_VIP;
    TRY(x86_sti(cpu));
    assert_raised(EXC_GP, 0);
    TRY(x86_popf(cpu, FL_1 | FL_IF, 2));
    assert_raised(EXC_GP, 0);
    TRY(x86_popf(cpu, FL_1 | FL_TF, 2));
    assert_raised(EXC_GP, 0);
    TRY((void)x86_pushf(cpu, 4));                       /* only the 16-bit forms */
    assert_raised(EXC_GP, 0);
    g_assert_cmpint(TRY(x86_popf(cpu, FL_1 | FL_CF, 2)), ==, -1);
    g_assert_false(cpu->rflags & FL_VIF);

    /* PVI: the same for ring 3 in protected mode. */
    x86_test_protected(3);
    TRY(x86_cli(cpu));
    assert_raised(EXC_GP, 0);
    cpu->cr4 |= CR4_PVI;
    x86_set_flags(cpu, FL_1 | FL_IF);
    g_assert_cmpint(TRY(x86_sti(cpu)), ==, -1);
    g_assert_true(cpu->rflags & FL_VIF);
    g_assert_cmpint(TRY(x86_cli(cpu)), ==, -1);
    g_assert_cmphex(cpu->rflags & (FL_VIF | FL_IF), ==, FL_IF);
}

/* ---- between instructions ------------------------------------------------------------------------- */

static uint8_t test_ack(void *opaque)
{
    x86_cpu_set_pic_line(cpu, 0);
    return 0x33;
}

static void raise_pic(void)
{
    bql_lock();
    cpu->pic_ack = test_ack;
    x86_cpu_set_pic_line(cpu, 1);
    bql_unlock();
}

static void test_intr(void)
{
    x86_test_protected(0);
    raise_pic();
    g_assert_true(x86_boundary_wanted(cpu));
    g_assert_cmpint(x86_boundary(cpu), ==, BOUNDARY_RUN);
    g_assert_cmphex(cpu->rip, ==, 0x8000);              /* IF is clear */
    g_assert_false(x86_boundary_wanted(cpu));           /* and nobody asks again until STI */
    x86_sti(cpu);
    g_assert_true(x86_boundary_wanted(cpu));
    g_assert_cmpint(x86_boundary(cpu), ==, BOUNDARY_ONE);   /* the shadow */
    g_assert_cmphex(cpu->rip, ==, 0x8000);
    g_assert_cmpint(x86_boundary(cpu), ==, BOUNDARY_RUN);
    g_assert_cmphex(cpu->rip, ==, 0x10033);
    g_assert_false(cpu->rflags & FL_IF);

    /* HLT: woken only with IF set. */
    x86_test_protected(0);
    x86_hlt(cpu, 0x8001);
    raise_pic();
    bql_lock();
    g_assert_false(x86_cpu_has_work(cpu));
    cpu->rflags |= FL_IF;
    g_assert_true(x86_cpu_has_work(cpu));
    bql_unlock();
    g_assert_cmpint(x86_boundary(cpu), ==, BOUNDARY_RUN);
    g_assert_false(cpu->cpu.halted);
    g_assert_cmphex(mem32(STACK0 - 12), ==, 0x8001);
}

static void test_nmi(void)
{
    x86_test_protected(0);
    x86_cpu_nmi(cpu);
    x86_boundary(cpu);
    g_assert_cmphex(cpu->rip, ==, 0x10002);
    g_assert_true(cpu->nmi_masked);
    x86_cpu_nmi(cpu);
    x86_boundary(cpu);
    g_assert_cmphex(cpu->rip, ==, 0x10002);             /* held */
    g_assert_false(x86_boundary_wanted(cpu));
    g_assert_cmpint(TRY(x86_iret(cpu, 4, 0)), ==, -1);
    g_assert_true(x86_boundary_wanted(cpu));
    x86_boundary(cpu);
    g_assert_cmphex(cpu->rip, ==, 0x10002);
}

/* A trap of the previous instruction comes before NMI, and both before INTR. */
static void test_priorities(void)
{
    x86_test_protected(0);
    cpu->rflags |= FL_IF;
    raise_pic();
    x86_cpu_nmi(cpu);
    cpu->pending_dbg = DB_BS;
    x86_boundary(cpu);
    g_assert_cmphex(cpu->rip, ==, 0x10001);
    g_assert_cmphex(cpu->dr[6], ==, DR6_ONES | DB_BS);
    x86_boundary(cpu);
    g_assert_cmphex(cpu->rip, ==, 0x10002);
    x86_boundary(cpu);
    g_assert_cmphex(cpu->rip, ==, 0x10002);             /* IF is clear by now */
    /* MOV SS keeps all of them away for one instruction; its own single step is lost. */
    x86_test_protected(0);
    x86_cpu_nmi(cpu);
    cpu->pending_dbg = DB_BS | 2;
    x86_shadow_mov_ss(cpu);
    g_assert_cmpint(x86_boundary(cpu), ==, BOUNDARY_ONE);
    g_assert_cmphex(cpu->rip, ==, 0x8000);
    x86_boundary(cpu);
    g_assert_cmphex(cpu->rip, ==, 0x10001);
    g_assert_cmphex(cpu->dr[6], ==, DR6_ONES | 2);
}

static void test_breakpoints(void)
{
    x86_test_protected(0);
    x86_write_dr(cpu, 0, 0x8000);
    x86_write_dr(cpu, 7, 1);
    g_assert_true(x86_single_step(cpu));
    g_assert_cmpint(TRY(x86_boundary(cpu)), ==, EXC_DB);
    g_assert_cmphex(cpu->dr[6], ==, DR6_ONES | 1);
    g_assert_true(x86_test_deliver());
    g_assert_cmphex(mem32(STACK0 - 4) & FL_RF, ==, 0);
    /* With RF it is passed over once. */
    x86_test_protected(0);
    x86_write_dr(cpu, 0, 0x8000);
    x86_write_dr(cpu, 7, 1);
    cpu->rflags |= FL_RF;
    g_assert_cmpint(TRY(x86_boundary(cpu)), ==, -1);
    g_assert_false(cpu->rflags & FL_RF);
    g_assert_cmpint(TRY(x86_boundary(cpu)), ==, EXC_DB);

    /* Data: four bytes at 1004h, writes only. */
    x86_test_protected(0);
    x86_write_dr(cpu, 1, 0x1004);
    x86_write_dr(cpu, 7, 1 << 2 | 0xd << 20);
    g_assert_cmphex(cpu->dr7_active, ==, DR7_ACTIVE_DATA);
    g_assert_true(x86_page_watched(cpu, 0x1ff0));
    g_assert_false(x86_page_watched(cpu, 0x2000));
    x86_data_breakpoint(cpu, 0x1004, 4, false);
    x86_data_breakpoint(cpu, 0x1008, 4, true);
    x86_data_breakpoint(cpu, 0x1000, 4, true);
    g_assert_cmphex(cpu->pending_dbg, ==, 0);
    x86_data_breakpoint(cpu, 0x1007, 2, true);
    g_assert_cmphex(cpu->pending_dbg, ==, 2);
    cpu->pending_dbg = 0;

    /* General detect. */
    x86_write_dr(cpu, 7, DR7_GD);
    g_assert_cmpint(TRY(x86_read_dr(cpu, 0)), ==, EXC_DB);
    g_assert_true(cpu->dr[6] & DB_BD);
    g_assert_true(x86_test_deliver());
    g_assert_false(cpu->dr[7] & DR7_GD);
    /* DR4 and DR5 are names of DR6 and DR7 until CR4.DE. */
    g_assert_cmphex(x86_read_dr(cpu, 5), ==, cpu->dr[7]);
    cpu->cr4 |= CR4_DE;
    g_assert_cmpint(TRY(x86_read_dr(cpu, 5)), ==, EXC_UD);
}

static void test_init_sipi(void)
{
    x86_test_protected(0);
    cpu->apic_base &= ~(uint64_t)APIC_BASE_BSP;
    cpu->mxcsr = 0x1234;
    cpu->tsc_aux = 7;
    cpu_request(&cpu->cpu, CPU_REQ_INIT);
    g_assert_cmpint(x86_boundary(cpu), ==, BOUNDARY_HALTED);
    g_assert_true(cpu->wait_sipi);
    g_assert_cmphex(cpu->cr0 & CR0_PE, ==, 0);
    g_assert_cmphex(cpu->mxcsr, ==, 0x1234);
    g_assert_cmphex(cpu->tsc_aux, ==, 7);
    bql_lock();
    g_assert_false(x86_cpu_has_work(cpu));
    x86_cpu_sipi(cpu, 0x9f);
    g_assert_true(x86_cpu_has_work(cpu));
    bql_unlock();
    g_assert_cmpint(x86_boundary(cpu), ==, BOUNDARY_RUN);
    g_assert_cmphex(cpu->seg[R_CS].sel, ==, 0x9f00);
    g_assert_cmphex(cpu->seg[R_CS].base, ==, 0x9f000);
    g_assert_cmphex(cpu->rip, ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    x86_test_init();
    g_test_add_func("/x86/exc/same-ring", test_exception_same_ring);
    g_test_add_func("/x86/exc/inner", test_exception_inner);
    g_test_add_func("/x86/exc/v86", test_exception_v86);
    g_test_add_func("/x86/exc/long", test_exception_long);
    g_test_add_func("/x86/exc/real", test_exception_real);
    g_test_add_func("/x86/exc/soft-int", test_soft_int);
    g_test_add_func("/x86/exc/double-fault", test_double_fault_matrix);
    g_test_add_func("/x86/exc/page-fault", test_page_fault_in_delivery);
    g_test_add_func("/x86/exc/vme", test_vme);
    g_test_add_func("/x86/boundary/intr", test_intr);
    g_test_add_func("/x86/boundary/nmi", test_nmi);
    g_test_add_func("/x86/boundary/priorities", test_priorities);
    g_test_add_func("/x86/boundary/breakpoints", test_breakpoints);
    g_test_add_func("/x86/boundary/init-sipi", test_init_sipi);
    return g_test_run();
}
