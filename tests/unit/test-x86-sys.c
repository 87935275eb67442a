/* SPDX-License-Identifier: MIT */
/*
 * Task switches, system management mode, system registers, saved state, the register dump.
 */
#include "tests/unit/x86-test.h"

#include "migration/vmstate.h"
#include "target-i386/seg.h"

static uint64_t rnd(void)
{
    return (uint64_t)(uint32_t)g_test_rand_int() << 32 | (uint32_t)g_test_rand_int();
}

/* ---- tasks ------------------------------------------------------------------------------------------ */

static void put_task32(uint32_t tss, uint32_t eip, uint32_t flags)
{
    st32_le(ram + tss + 0x20, eip);
    st32_le(ram + tss + 0x24, flags);
    for (unsigned i = 0; i < 8; i++) {
        st32_le(ram + tss + 0x28 + i * 4, 0x11110000 + i);
    }
    st32_le(ram + tss + 0x28 + R_ESP * 4, STACK1);
    static const uint16_t sel[6] = { DATA0, CODE0, DATA0, DATA0, 0, 0 };
    for (unsigned i = 0; i < 6; i++) {
        st32_le(ram + tss + 0x48 + i * 4, sel[i]);
    }
}

static void task_setup(void)
{
    x86_test_protected(0);
    put_desc(GDT + TSS_SEL, TSS, 0xfff, DESC_P | TYPE(SYS_TSS32_BUSY));
    put_desc(GDT + TSS2_SEL, TSS2, 0x67, DESC_P | TYPE(SYS_TSS32_AVAIL));
    put_task32(TSS2, 0x7000, FL_1 | FL_CF);
    for (unsigned i = 0; i < 8; i++) {
        if (i != R_ESP) {
            cpu->r[i] = 0x22220000 + i;
        }
    }
}

static unsigned tss_type(uint16_t sel)
{
    return mem32(GDT + sel + 4) >> 8 & 15;
}

static void test_task_call(void)
{
    task_setup();
    g_assert_cmpint(TRY(x86_far_call(cpu, TSS2_SEL, 0, 4, 0x8007)), ==, -1);
    g_assert_cmphex(cpu->tr.sel, ==, TSS2_SEL);
    g_assert_cmphex(cpu->rip, ==, 0x7000);
    g_assert_cmphex(cpu->r[R_EDX], ==, 0x11110002);
    g_assert_cmphex(x86_get_flags(cpu), ==, FL_1 | FL_CF | FL_NT);
    g_assert_true(cpu->cr0 & CR0_TS);
    g_assert_cmphex(mem16(TSS2), ==, TSS_SEL);          /* back link */
    g_assert_cmphex(mem32(TSS + 0x20), ==, 0x8007);
    g_assert_cmphex(mem32(TSS + 0x28 + R_EBX * 4), ==, 0x22220003);
    g_assert_cmpuint(tss_type(TSS_SEL), ==, SYS_TSS32_BUSY);
    g_assert_cmpuint(tss_type(TSS2_SEL), ==, SYS_TSS32_BUSY);
    /* IRET goes back through the link. */
    cpu->rip = 0x7100;
    g_assert_cmpint(TRY(x86_iret(cpu, 4, 0x7101)), ==, -1);
    g_assert_cmphex(cpu->tr.sel, ==, TSS_SEL);
    g_assert_cmphex(cpu->rip, ==, 0x8007);
    g_assert_cmphex(cpu->r[R_EBX], ==, 0x22220003);
    g_assert_cmphex(mem32(TSS2 + 0x20), ==, 0x7101);
    g_assert_cmphex(mem32(TSS2 + 0x24) & FL_NT, ==, 0);
    g_assert_cmpuint(tss_type(TSS2_SEL), ==, SYS_TSS32_AVAIL);
}

static void test_task_jmp(void)
{
    task_setup();
    st16_le(ram + TSS2 + 0x64, 1);                      /* T */
    put_gate(GDT + FREE, TSS2_SEL, 0, DESC_P | TYPE(SYS_TASK_GATE), 0);
    g_assert_cmpint(TRY(x86_far_jmp(cpu, FREE, 0, 4, 0x8007)), ==, -1);
    g_assert_cmphex(cpu->tr.sel, ==, TSS2_SEL);
    g_assert_cmpuint(tss_type(TSS_SEL), ==, SYS_TSS32_AVAIL);
    g_assert_cmphex(x86_get_flags(cpu) & FL_NT, ==, 0);
    g_assert_cmphex(cpu->pending_dbg, ==, DB_BT);
    cpu->pending_dbg = 0;
    TRY(x86_far_jmp(cpu, TSS2_SEL, 0, 4, 0x8007));      /* busy: not to itself */
    assert_raised(EXC_GP, TSS2_SEL);
}

static void test_task_interrupt(void)
{
    task_setup();
    put_gate(IDT + EXC_GP * 8, TSS2_SEL, 0, DESC_P | TYPE(SYS_TASK_GATE), 0);
    TRY(x86_raise_err(cpu, EXC_GP, 0x1230));
    g_assert_true(x86_test_deliver());
    g_assert_cmphex(cpu->tr.sel, ==, TSS2_SEL);
    g_assert_cmphex(cpu->r[R_ESP], ==, STACK1 - 4);
    g_assert_cmphex(mem32(STACK1 - 4), ==, 0x1230);     /* the error code came along */
    g_assert_cmphex(mem32(TSS + 0x20), ==, 0x8000);
    g_assert_true(mem32(TSS + 0x24) & FL_RF);
}

static void test_task16(void)
{
    task_setup();
    put_desc(GDT + TSS2_SEL, TSS2, 0x2b, DESC_P | TYPE(SYS_TSS16_AVAIL));
    memset(ram + TSS2, 0, 0x80);
    st16_le(ram + TSS2 + 0x0e, 0x6000);
    st16_le(ram + TSS2 + 0x10, FL_1);
    st16_le(ram + TSS2 + 0x12, 0xabcd);
    st16_le(ram + TSS2 + 0x22, DATA0);
    st16_le(ram + TSS2 + 0x24, CODE0);
    st16_le(ram + TSS2 + 0x26, DATA0);
    st16_le(ram + TSS2 + 0x28, DATA0);
    g_assert_cmpint(TRY(x86_far_call(cpu, TSS2_SEL, 0, 4, 0x8007)), ==, -1);
    g_assert_cmphex(cpu->rip, ==, 0x6000);
    g_assert_cmphex(cpu->r[R_EAX] & 0xffff, ==, 0xabcd);
    g_assert_cmphex(cpu->seg[R_FS].attr, ==, 0);
    g_assert_cmpint(TRY(x86_iret(cpu, 4, 0x6001)), ==, -1);
    g_assert_cmphex(mem16(TSS2 + 0x0e), ==, 0x6001);
    g_assert_cmphex(cpu->rip, ==, 0x8007);
}

/* Faults before the switch leave the old task alone; after it they belong to the new one. */
static void test_task_faults(void)
{
    task_setup();
    put_desc(GDT + TSS2_SEL, TSS2, 0x66, DESC_P | TYPE(SYS_TSS32_AVAIL));
    TRY(x86_far_call(cpu, TSS2_SEL, 0, 4, 0x8007));
    assert_raised(EXC_TS, TSS2_SEL);
    g_assert_cmphex(cpu->tr.sel, ==, TSS_SEL);
    g_assert_cmphex(cpu->rip, ==, 0x8000);

    static const struct {
        unsigned at;
        uint16_t sel;
        int exc;
    } bad[] = {
        { 0x60, 0x3f8, EXC_TS },                        /* LDT */
        { 0x4c, DATA0, EXC_TS }, { 0x4c, 0, EXC_TS },   /* CS */
        { 0x50, CODE0, EXC_TS }, { 0x50, DATA3, EXC_TS },
        { 0x54, 0x3f8, EXC_TS }, { 0x48, TSS_SEL, EXC_TS },
        { 0x50, FREE, EXC_SS }, { 0x54, FREE, EXC_NP },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        task_setup();
        put_desc(GDT + FREE, 0, 0xfffff, DESC_DATA32 & ~DESC_P);
        st16_le(ram + TSS2 + bad[i].at, bad[i].sel);
        TRY(x86_far_call(cpu, TSS2_SEL, 0, 4, 0x8007));
        assert_raised(bad[i].exc, bad[i].sel & ~3);
        g_assert_cmphex(cpu->tr.sel, ==, TSS2_SEL);
        g_assert_cmphex(cpu->rip, ==, 0x7000);
    }

    task_setup();
    x86_set_flags(cpu, FL_1 | FL_NT);
    st16_le(ram + TSS, TSS2_SEL);                       /* not busy: not a caller */
    TRY(x86_iret(cpu, 4, 0));
    assert_raised(EXC_TS, TSS2_SEL);
}

/* ---- SMM -------------------------------------------------------------------------------------------- */

static void random_state(void)
{
    for (int i = 0; i < 16; i++) {
        cpu->r[i] = rnd();
    }
    for (int i = 0; i < SEG_COUNT; i++) {
        cpu->seg[i].sel = rnd();
        cpu->seg[i].base = rnd();
        cpu->seg[i].limit = rnd();
        cpu->seg[i].attr = rnd() & 0x00f0ff00;
    }
    cpu->seg[R_SS].attr &= ~DPL(3);
    cpu->gdt = (DescTable){ rnd(), rnd() & 0xffff };
    cpu->idt = (DescTable){ rnd(), rnd() & 0xffff };
    cpu->ldt.base = rnd();
    cpu->tr.base = rnd();
    cpu->cr3 = rnd() & 0xfffff000;
    cpu->rip = rnd();
}

static void low_half(X86CPU *c)
{
    for (int i = 0; i < 16; i++) {
        c->r[i] = i < 8 ? (uint32_t)c->r[i] : 0;
    }
    for (int i = 0; i < SEG_COUNT; i++) {
        c->seg[i].base = (uint32_t)c->seg[i].base;
    }
    c->gdt.base = (uint32_t)c->gdt.base;
    c->idt.base = (uint32_t)c->idt.base;
    c->ldt.base = (uint32_t)c->ldt.base;
    c->tr.base = (uint32_t)c->tr.base;
    c->rip = (uint32_t)c->rip;
    c->efer = 0;
}

static void test_smm(gconstpointer data)
{
    bool with_lm = GPOINTER_TO_INT(data);
    uint64_t lm = 1ull << (CPUID_LM & 63), word = cpu->features[FEAT_8000_0001_EDX];

    for (unsigned round = 0; round < 50; round++) {
        x86_test_long(0);
        if (!with_lm) {
            cpu->features[FEAT_8000_0001_EDX] &= ~lm;
            cpu->efer = 0;
            cpu->cr4 = 0;
        }
        random_state();
        if (!with_lm) {
            low_half(cpu);
        }
        cpu->cpu.halted = round & 1;
        cpu->nmi_masked = round & 2;
        X86CPU *before = g_memdup2(cpu, sizeof(*cpu));

        x86_cpu_smi(cpu);
        g_assert_cmpint(x86_boundary(cpu), ==, BOUNDARY_RUN);
        g_assert_true(cpu->smm && cpu->nmi_masked && !cpu->cpu.halted);
        g_assert_cmphex(cpu->rip, ==, 0x8000);
        g_assert_cmphex(cpu->seg[R_CS].base, ==, 0x30000);
        g_assert_cmphex(cpu->cr0 & (CR0_PE | CR0_PG), ==, 0);
        g_assert_cmphex(cpu->efer, ==, 0);
        g_assert_cmphex(mem32(0x3fefc), ==, with_lm ? 0x20064 : 0x20000);
        random_state();
        if (!with_lm) {
            low_half(cpu);
        }
        cpu->efer = 0;
        st32_le(ram + (with_lm ? 0x3ff00 : 0x3fef8), 0xa0000);      /* SMBASE */
        g_assert_cmpint(TRY(x86_rsm(cpu)), ==, -1);

        g_assert_false(cpu->smm);
        g_assert_cmphex(cpu->smbase, ==, 0xa0000);
        g_assert_cmpint(cpu->cpu.halted, ==, before->cpu.halted);
        g_assert_cmpint(cpu->nmi_masked, ==, before->nmi_masked);
        g_assert_cmpmem(cpu->r, 16 * 8, before->r, 16 * 8);
        g_assert_cmphex(cpu->rip, ==, before->rip);
        for (int i = 0; i < SEG_COUNT; i++) {
            g_assert_cmphex(cpu->seg[i].sel, ==, before->seg[i].sel);
            g_assert_cmphex(cpu->seg[i].base, ==, before->seg[i].base);
            g_assert_cmphex(cpu->seg[i].limit, ==, before->seg[i].limit);
            g_assert_cmphex(cpu->seg[i].attr, ==, before->seg[i].attr);
        }
        g_assert_cmphex(cpu->gdt.base, ==, before->gdt.base);
        g_assert_cmphex(cpu->idt.limit, ==, before->idt.limit);
        g_assert_cmphex(cpu->tr.base, ==, before->tr.base);
        g_assert_cmphex(cpu->ldt.attr, ==, before->ldt.attr);
        g_assert_cmphex(cpu->cr0, ==, before->cr0);
        g_assert_cmphex(cpu->cr3, ==, before->cr3);
        g_assert_cmphex(cpu->cr4, ==, before->cr4);
        g_assert_cmphex(cpu->efer, ==, before->efer);
        g_free(before);
        cpu->features[FEAT_8000_0001_EDX] = word;
    }
    /* RSM outside SMM; nonsense in the area is a shutdown. */
    x86_test_long(0);
    g_assert_cmpint(TRY(x86_rsm(cpu)), ==, EXC_UD);
    x86_cpu_smi(cpu);
    x86_boundary(cpu);
    st32_le(ram + 0x3ff58, CR0_PG);
    TRY(x86_rsm(cpu));
    g_assert_false(x86_test_deliver());
    x86_test_reset();
}

/* ---- registers ---------------------------------------------------------------------------------------- */

static void test_control_registers(void)
{
    x86_test_protected(0);
    TRY(x86_write_cr(cpu, 0, CR0_PG));                  /* without PE */
    assert_raised(EXC_GP, 0);
    TRY(x86_write_cr(cpu, 0, CR0_PE | CR0_NW));         /* without CD */
    assert_raised(EXC_GP, 0);
    TRY(x86_write_cr(cpu, 4, 1u << 31));
    assert_raised(EXC_GP, 0);
    TRY(x86_write_cr(cpu, 4, CR4_PCIDE));               /* outside long mode */
    assert_raised(EXC_GP, 0);
    g_assert_cmpint(TRY(x86_write_cr(cpu, 1, 0)), ==, EXC_UD);
    g_assert_cmpint(TRY(x86_read_cr(cpu, 7)), ==, EXC_UD);
    x86_lmsw(cpu, 0);                                   /* can't clear PE */
    g_assert_true(cpu->cr0 & CR0_PE);

    /* Long mode comes with paging: LME, PAE, then PG. */
    cpu->efer = EFER_LME;
    TRY(x86_write_cr(cpu, 0, cpu->cr0 | CR0_PG));       /* no PAE */
    assert_raised(EXC_GP, 0);
    x86_write_cr(cpu, 4, CR4_PAE);
    x86_write_cr(cpu, 3, 0x100000);
    g_assert_cmpint(TRY(x86_write_cr(cpu, 0, cpu->cr0 | CR0_PG)), ==, -1);
    g_assert_true(cpu->efer & EFER_LMA);
    g_assert_false(x86_msr_write(cpu, MSR_EFER, 0));    /* LME can't change now */
    TRY(x86_write_cr(cpu, 4, 0));
    assert_raised(EXC_GP, 0);
    g_assert_cmpint(TRY(x86_write_cr(cpu, 0, cpu->cr0 & ~(uint64_t)CR0_PG)), ==, -1);
    g_assert_false(cpu->efer & EFER_LMA);

    x86_test_long(0);
    TRY(x86_write_cr(cpu, 0, cpu->cr0 & ~(uint64_t)CR0_PG));
    assert_raised(EXC_GP, 0);                           /* from 64-bit code */
    TRY(x86_write_cr(cpu, 3, 1ull << 50));
    assert_raised(EXC_GP, 0);
    TRY(x86_write_cr(cpu, 8, 16));
    assert_raised(EXC_GP, 0);
    cpu->cr3 |= 1;
    TRY(x86_write_cr(cpu, 4, cpu->cr4 | CR4_PCIDE));    /* CR3[11:0] must be 0 */
    assert_raised(EXC_GP, 0);
    cpu->cr3 &= ~1ull;
    g_assert_cmpint(TRY(x86_write_cr(cpu, 4, cpu->cr4 | CR4_PCIDE)), ==, -1);
    x86_write_cr(cpu, 3, 1ull << 63 | 0x100005);
    g_assert_cmphex(cpu->cr3, ==, 0x100005);

    x86_test_protected(3);
    TRY(x86_read_cr(cpu, 0));
    assert_raised(EXC_GP, 0);
    cpu->cr4 |= CR4_UMIP;
    TRY(x86_smsw(cpu));
    assert_raised(EXC_GP, 0);
    cpu->cr4 |= CR4_TSD;
    TRY(x86_rdtsc(cpu));
    assert_raised(EXC_GP, 0);
}

static void test_xsetbv(void)
{
    x86_test_protected(0);
    g_assert_cmpint(TRY(x86_xgetbv(cpu)), ==, EXC_UD);
    cpu->cr4 |= CR4_OSXSAVE;
    cpu->r[R_ECX] = 0;
    static const uint32_t bad[] = { 0, 2, 5, 0x100 | 3 };
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        cpu->r[R_EAX] = bad[i];
        cpu->r[R_EDX] = 0;
        TRY(x86_xsetbv(cpu));
        assert_raised(EXC_GP, 0);
    }
    cpu->r[R_EAX] = 7;
    g_assert_cmpint(TRY(x86_xsetbv(cpu)), ==, -1);
    g_assert_cmphex(cpu->xcr0, ==, 7);
    uint32_t out[4];
    x86_cpuid(cpu, 0xd, 0, out);
    g_assert_cmpuint(out[1], ==, 832);
    x86_cpuid(cpu, 1, 0, out);
    g_assert_true(out[2] & 1u << 27);                   /* OSXSAVE */
}

static void test_io_map(void)
{
    x86_test_protected(3);
    TRY(x86_check_io(cpu, 0x80, 1));                    /* all-zero map: allowed */
    g_assert_cmpint(cpu->exc_vector, ==, -1);
    ram[TSS + 0x88 + 0x10] = 1 << 1;
    g_assert_cmpint(TRY(x86_check_io(cpu, 0x80, 1)), ==, -1);
    TRY(x86_check_io(cpu, 0x81, 1));
    assert_raised(EXC_GP, 0);
    TRY(x86_check_io(cpu, 0x80, 2));
    assert_raised(EXC_GP, 0);
    cpu->tr.limit = 0x88 + 0x10;                        /* the second byte lies outside */
    TRY(x86_check_io(cpu, 0x80, 1));
    assert_raised(EXC_GP, 0);
    x86_set_flags(cpu, FL_1 | FL_IOPL);
    g_assert_cmpint(TRY(x86_check_io(cpu, 0x81, 1)), ==, -1);
    x86_set_flags(cpu, FL_1 | FL_IOPL | FL_VM);         /* V86: IOPL does not help */
    TRY(x86_check_io(cpu, 0x81, 1));
    assert_raised(EXC_GP, 0);
}

static void test_msrs(void)
{
    uint64_t val;

    x86_test_protected(0);
    g_assert_false(x86_msr_read(cpu, 0x12345678, &val));
    g_assert_false(x86_msr_write(cpu, 0xc0000085, 0));
    g_assert_true(x86_msr_read(cpu, MSR_PAT, &val));
    g_assert_cmphex(val, ==, 0x0007040600070406ull);
    g_assert_false(x86_msr_write(cpu, MSR_PAT, 2));     /* reserved memory type */
    g_assert_false(x86_msr_write(cpu, MSR_LSTAR, 1ull << 63));
    g_assert_true(x86_msr_write(cpu, MSR_LSTAR, 0xffffffff81000000ull));
    g_assert_false(x86_msr_write(cpu, MSR_EFER, 1ull << 20));
    g_assert_false(x86_msr_write(cpu, MSR_MTRR_DEFTYPE, 7));
    g_assert_true(x86_msr_write(cpu, MSR_MTRR_PHYSBASE0 + 14, 0xe0000001));
    g_assert_true(x86_msr_write(cpu, MSR_MTRR_PHYSBASE0 + 15, 0xfffffff800ull & ~0x7ffull));
    g_assert_cmphex(cpu->mtrr_physbase[7], ==, 0xe0000001);
    g_assert_false(x86_msr_write(cpu, MSR_APIC_BASE, 0xfee00000 | APIC_BASE_EXTD));
    g_assert_true(x86_msr_write(cpu, MSR_APIC_BASE, 0xfee00000 | APIC_BASE_EXTD
                                                    | APIC_BASE_ENABLE));
    g_assert_false(x86_msr_write(cpu, MSR_APIC_BASE, 0xfee00000 | APIC_BASE_ENABLE));
    g_assert_true(x86_msr_write(cpu, MSR_APIC_BASE, 0xfee00000));
    uint32_t out[4];
    x86_cpuid(cpu, 1, 0, out);
    g_assert_false(out[3] & 1 << 9);                    /* the APIC hides when off */
    /* Writing the TSC moves TSC_ADJUST along, and the other way round. */
    g_assert_true(x86_msr_write(cpu, MSR_TSC, 1000000));
    g_assert_true(x86_msr_read(cpu, MSR_TSC, &val));
    g_assert_cmpuint(val, >=, 1000000);
    uint64_t adjust = cpu->tsc_adjust;
    g_assert_true(x86_msr_write(cpu, MSR_TSC_ADJUST, adjust + 5000));
    g_assert_true(x86_msr_read(cpu, MSR_TSC, &val));
    g_assert_cmpuint(val, >=, 1005000);
    /* RDMSR of an unknown one by the instruction. */
    cpu->r[R_ECX] = 0x4b564d00;
    TRY(x86_rdmsr(cpu));
    assert_raised(EXC_GP, 0);
}

/* ---- saved state ---------------------------------------------------------------------------------------- */

static void test_vmstate(void)
{
    GByteArray *a = g_byte_array_new(), *b = g_byte_array_new();
    Error *err = NULL;
    size_t pos = 0;

    x86_test_long(3);
    for (int i = 0; i < 16; i++) {
        cpu->r[i] = rnd();
        cpu->v[i].q[3] = rnd();
    }
    cpu->fpu.st[5].frac = rnd();
    cpu->fpu.top = 6;
    cpu->nmi_pending = 1;
    bql_lock();
    vmstate_save(&vm_x86_cpu, cpu, a);
    x86_cpu_reset(cpu);
    g_assert_true(vmstate_load(&vm_x86_cpu, cpu, a->data, a->len, &pos, &err));
    g_assert_no_error(err);
    vmstate_save(&vm_x86_cpu, cpu, b);
    g_assert_cmpmem(a->data, a->len, b->data, b->len);
    g_assert_true(cpu_pending(&cpu->cpu) & CPU_REQ_NMI);

    /* Hostile values are refused. */
    cpu->fpu.top = 200;
    g_byte_array_set_size(b, 0);
    vmstate_save(&vm_x86_cpu, cpu, b);
    pos = 0;
    g_assert_false(vmstate_load(&vm_x86_cpu, cpu, b->data, b->len, &pos, &err));
    g_assert_nonnull(err);
    g_clear_error(&err);
    bql_unlock();
    x86_test_reset();
    g_byte_array_free(a, true);
    g_byte_array_free(b, true);
}

/* Layout as QEMU prints it. */
static void test_dump(void)
{
    GString *s = g_string_new(NULL);

    x86_test_reset();
    x86_cpu_dump(cpu, s, true);
    g_assert_true(g_str_has_prefix(s->str,
        "EAX=00000000 EBX=00000000 ECX=00000000 EDX="));
    g_assert_nonnull(strstr(s->str,
        "EIP=0000fff0 EFL=00000002 [-------] CPL=0 II=0 A20=1 SMM=0 HLT=0\n"
        "ES =0000 00000000 0000ffff 00009300\n"
        "CS =f000 ffff0000 0000ffff 00009b00\n"));
    g_assert_nonnull(strstr(s->str, "GDT=     00000000 0000ffff\n"));
    g_assert_nonnull(strstr(s->str, "CR0=60000010 CR2=00000000 CR3=00000000 CR4=00000000\n"));
    g_string_truncate(s, 0);
    x86_test_long(0);
    x86_cpu_dump(cpu, s, false);
    g_assert_true(g_str_has_prefix(s->str, "RAX=0000000000000000 RBX="));
    g_assert_nonnull(strstr(s->str, "DPL=0 CS64 [-RA]\n"));
    g_assert_nonnull(strstr(s->str, "TR =0028 0000000000004000 00000fff 00008b00 DPL=0 TSS64-busy\n"));
    g_string_free(s, true);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    x86_test_init();
    g_test_add_func("/x86/task/call", test_task_call);
    g_test_add_func("/x86/task/jmp", test_task_jmp);
    g_test_add_func("/x86/task/interrupt", test_task_interrupt);
    g_test_add_func("/x86/task/16-bit", test_task16);
    g_test_add_func("/x86/task/faults", test_task_faults);
    g_test_add_data_func("/x86/smm/64-bit", GINT_TO_POINTER(1), test_smm);
    g_test_add_data_func("/x86/smm/32-bit", GINT_TO_POINTER(0), test_smm);
    g_test_add_func("/x86/sys/control", test_control_registers);
    g_test_add_func("/x86/sys/xsetbv", test_xsetbv);
    g_test_add_func("/x86/sys/io-map", test_io_map);
    g_test_add_func("/x86/sys/msr", test_msrs);
    g_test_add_func("/x86/cpu/vmstate", test_vmstate);
    g_test_add_func("/x86/cpu/dump", test_dump);
    return g_test_run();
}
