/* SPDX-License-Identifier: MIT */
/*
 * Segment loads with all their checks, far transfers, call gates, IRET, SYSCALL and SYSENTER.
 * Helpers are called directly, as the interpreter calls them.
 */
#include "tests/unit/x86-test.h"

#include "target-i386/seg.h"

static uint64_t rnd(void)
{
    return (uint64_t)(uint32_t)g_test_rand_int() << 32 | (uint32_t)g_test_rand_int();
}

/* ---- segment loads -------------------------------------------------------------------------- */

/* What MOV to a data segment register must do with this descriptor: -1 or the exception. */
static int expect_data(uint32_t attr, unsigned rpl, unsigned cpl)
{
    bool s = attr & DESC_S, code = attr & DESC_CODE, readable = attr & DESC_R;
    bool conforming = code && (attr & DESC_C);
    unsigned dpl = attr >> DESC_DPL_SHIFT & 3;

    if (!s || (code && !readable)) {
        return EXC_GP;
    }
    if (!conforming && MAX(rpl, cpl) > dpl) {
        return EXC_GP;
    }
    return attr & DESC_P ? -1 : EXC_NP;
}

static int expect_ss(uint32_t attr, unsigned rpl, unsigned cpl)
{
    unsigned dpl = attr >> DESC_DPL_SHIFT & 3;
    bool writable = (attr & DESC_S) && !(attr & DESC_CODE) && (attr & DESC_W);

    if (rpl != cpl || dpl != cpl || !writable) {
        return EXC_GP;
    }
    return attr & DESC_P ? -1 : EXC_SS;
}

static void test_load_segments(void)
{
    for (unsigned i = 0; i < 6000; i++) {
        unsigned cpl = g_test_rand_int_range(0, 2) * 3, rpl = g_test_rand_int_range(0, 4);
        int reg = g_test_rand_bit() ? R_DS : R_SS;
        uint32_t attr = rnd() & 0x0000ff00;
        uint32_t base = rnd(), limit = rnd() & 0xfffff;
        uint16_t sel = FREE | rpl;

        if (i % 512 == 0) {
            x86_test_protected(0);
        }
        if (x86_cpl(cpu) != cpl) {
            x86_test_protected(cpl);
        }
        uint32_t g = rnd() & DESC_G;
        Segment old = cpu->seg[reg];
        put_desc(GDT + FREE, base, limit, attr | g);
        int want = reg == R_SS ? expect_ss(attr, rpl, cpl) : expect_data(attr, rpl, cpl);
        int got = TRY(x86_load_seg(cpu, reg, sel));
        g_assert_cmpint(got, ==, want);
        if (got >= 0) {
            g_assert_cmphex(cpu->exc_error, ==, FREE);
            g_assert_cmpint(memcmp(&old, &cpu->seg[reg], sizeof(old)), ==, 0);
            g_assert_cmphex(mem32(GDT + FREE + 4) & DESC_A, ==, attr & DESC_A);
        } else {
            const Segment *s = &cpu->seg[reg];
            g_assert_cmphex(s->sel, ==, sel);
            g_assert_cmphex(s->base, ==, base);
            g_assert_cmphex(s->limit, ==, g ? limit << 12 | 0xfff : limit);
            g_assert_cmphex(s->attr & 0xff00, ==, attr | DESC_A);
            g_assert_true(mem32(GDT + FREE + 4) & DESC_A);
            cpu->seg[reg] = old;
        }
    }
}

static void test_null_and_limit(void)
{
    x86_test_protected(0);
    g_assert_cmpint(TRY(x86_load_seg(cpu, R_DS, 3)), ==, -1);
    g_assert_false(cpu->seg[R_DS].attr & DESC_P);
    TRY(x86_load_seg(cpu, R_SS, 0));
    assert_raised(EXC_GP, 0);
    TRY(x86_load_seg(cpu, R_ES, 0x7fb));
    assert_raised(EXC_GP, 0x7f8);
    TRY(x86_load_seg(cpu, R_ES, 0x0c));             /* no LDT */
    assert_raised(EXC_GP, 0x0c);
    put_desc(LDT + 8, 0x1234, 0xff, DESC_DATA32);
    g_assert_cmpint(TRY(x86_lldt(cpu, LDT_SEL); x86_load_seg(cpu, R_ES, 0x0c)), ==, -1);
    g_assert_cmphex(cpu->seg[R_ES].base, ==, 0x1234);

    /* 64-bit code may have a null SS below ring 3, with the RPL of its ring. */
    x86_test_long(0);
    g_assert_cmpint(TRY(x86_load_seg(cpu, R_SS, 0)), ==, -1);
    g_assert_cmpuint(x86_cpl(cpu), ==, 0);
    TRY(x86_load_seg(cpu, R_SS, 1));
    assert_raised(EXC_GP, 0);
    x86_test_long(3);
    TRY(x86_load_seg(cpu, R_SS, 3));
    assert_raised(EXC_GP, 0);
}

static void test_real_mode_segments(void)
{
    x86_test_reset();
    cpu->seg[R_DS].limit = 0xffffffff;              /* as left by protected mode */
    x86_load_seg(cpu, R_DS, 0x1234);
    g_assert_cmphex(cpu->seg[R_DS].base, ==, 0x12340);
    g_assert_cmphex(cpu->seg[R_DS].limit, ==, 0xffffffff);
    x86_far_jmp(cpu, 0xf000, 0x12345, 2, 0);
    g_assert_cmphex(cpu->rip, ==, 0x2345);
    g_assert_cmphex(cpu->seg[R_CS].base, ==, 0xf0000);
}

static void test_lar_lsl_ver(void)
{
    uint32_t val;
    bool zf;

    x86_test_protected(3);
    g_assert_true(x86_lar(cpu, DATA3, &val));
    g_assert_cmphex(val, ==, DESC_DATA32 | DPL(3) | 0xf0000 * 0);
    g_assert_true(x86_lsl(cpu, DATA3, &val));
    g_assert_cmphex(val, ==, 0xffffffff);
    g_assert_false(x86_lar(cpu, DATA0, &val));      /* not visible from ring 3 */
    g_assert_false(x86_lsl(cpu, 0, &val));
    g_assert_true(x86_verr(cpu, CODE3));
    g_assert_false(x86_verw(cpu, CODE3));
    g_assert_true(x86_verw(cpu, DATA3));
    g_assert_false(x86_verr(cpu, DATA0));
    g_assert_cmphex(x86_arpl(cpu, 0x10, 0x23, &zf), ==, 0x13);
    g_assert_true(zf);
    g_assert_cmphex(x86_arpl(cpu, 0x13, 0x21, &zf), ==, 0x13);
    g_assert_false(zf);

    x86_test_protected(0);
    g_assert_true(x86_lar(cpu, TSS_SEL, &val));
    put_gate(GDT + FREE, CODE0, 0, DESC_P | TYPE(SYS_INT32), 0);
    g_assert_false(x86_lar(cpu, FREE, &val));
    put_gate(GDT + FREE, CODE0, 0, DESC_P | TYPE(SYS_CALL32), 0);
    g_assert_true(x86_lar(cpu, FREE, &val));
    g_assert_false(x86_lsl(cpu, FREE, &val));
    x86_test_reset();
    g_assert_cmpint(TRY(x86_verr(cpu, 8)), ==, EXC_UD);
}

/* ---- far transfers ----------------------------------------------------------------------------- */

static void test_call_gate(void)
{
    x86_test_protected(3);
    put_gate(GDT + FREE, CODE0, 0x22334455, DESC_P | TYPE(SYS_CALL32) | DPL(3), 3);
    for (unsigned i = 0; i < 3; i++) {
        st32_le(ram + STACK3 + i * 4, 0xa0 + i);
    }
    g_assert_cmpint(TRY(x86_far_call(cpu, FREE | 3, 0x999, 4, 0x8007)), ==, -1);
    g_assert_cmpuint(x86_cpl(cpu), ==, 0);
    g_assert_cmphex(cpu->rip, ==, 0x22334455);
    g_assert_cmphex(cpu->seg[R_CS].sel, ==, CODE0);
    g_assert_cmphex(cpu->seg[R_SS].sel, ==, DATA0);
    g_assert_cmphex(cpu->r[R_ESP], ==, STACK0 - 28);
    g_assert_cmphex(mem32(STACK0 - 4), ==, DATA3);
    g_assert_cmphex(mem32(STACK0 - 8), ==, STACK3);
    g_assert_cmphex(mem32(STACK0 - 12), ==, 0xa2);
    g_assert_cmphex(mem32(STACK0 - 16), ==, 0xa1);
    g_assert_cmphex(mem32(STACK0 - 20), ==, 0xa0);
    g_assert_cmphex(mem32(STACK0 - 24), ==, CODE3);
    g_assert_cmphex(mem32(STACK0 - 28), ==, 0x8007);
    /* RETF 12 goes back and drops the parameters from both stacks. */
    x86_load_seg(cpu, R_DS, DATA0);
    g_assert_cmpint(TRY(x86_far_ret(cpu, 4, 12)), ==, -1);
    g_assert_cmpuint(x86_cpl(cpu), ==, 3);
    g_assert_cmphex(cpu->rip, ==, 0x8007);
    g_assert_cmphex(cpu->r[R_ESP], ==, STACK3 + 12);
    g_assert_cmphex(cpu->seg[R_DS].attr, ==, 0);    /* ring 0 data is taken away */

    put_gate(GDT + FREE, CODE0, 0x100, DESC_P | TYPE(SYS_CALL32) | DPL(2), 0);
    TRY(x86_far_call(cpu, FREE | 3, 0, 4, 0x8007));
    assert_raised(EXC_GP, FREE);
    put_gate(GDT + FREE, CODE0, 0x100, TYPE(SYS_CALL32) | DPL(3), 0);
    TRY(x86_far_call(cpu, FREE | 3, 0, 4, 0x8007));
    assert_raised(EXC_NP, FREE);
    put_gate(GDT + FREE, CODE0, 0x100, DESC_P | TYPE(SYS_CALL32) | DPL(3), 0);
    TRY(x86_far_jmp(cpu, FREE | 3, 0, 4, 0x8007));  /* JMP can't change the ring */
    assert_raised(EXC_GP, CODE0);
    st16_le(ram + TSS + 8, DATA3);
    TRY(x86_far_call(cpu, FREE | 3, 0, 4, 0x8007));
    assert_raised(EXC_TS, DATA3 & ~3);
}

static void test_call_gate16(void)
{
    x86_test_protected(3);
    put_gate(GDT + FREE, CODE0, 0x77774455, DESC_P | TYPE(SYS_CALL16) | DPL(3), 1);
    st16_le(ram + STACK3, 0xbeef);
    g_assert_cmpint(TRY(x86_far_call(cpu, FREE | 3, 0, 4, 0x18007)), ==, -1);
    g_assert_cmphex(cpu->rip, ==, 0x4455);
    g_assert_cmphex(cpu->r[R_ESP], ==, STACK0 - 10);
    g_assert_cmphex(mem16(STACK0 - 6), ==, 0xbeef);
    g_assert_cmphex(mem16(STACK0 - 10), ==, 0x8007);
}

static void test_call_gate64(void)
{
    x86_test_long(3);
    put_gate64(GDT + FREE, CODE64, 0xffff800000001000ull, DESC_P | TYPE(SYS_CALL32) | DPL(3), 0);
    g_assert_cmpint(TRY(x86_far_call(cpu, FREE | 3, 0, 4, 0x8007)), ==, -1);
    g_assert_cmphex(cpu->rip, ==, 0xffff800000001000ull);
    g_assert_cmphex(cpu->r[R_ESP], ==, STACK0 - 32);
    g_assert_cmphex(cpu->seg[R_SS].sel, ==, 0);
    g_assert_cmphex(mem64(STACK0 - 8), ==, DATA3);
    g_assert_cmphex(mem64(STACK0 - 32), ==, 0x8007);
    g_assert_cmpint(TRY(x86_far_ret(cpu, 8, 0)), ==, -1);
    g_assert_cmpuint(x86_cpl(cpu), ==, 3);
    /* The second half's type must be zero. */
    st32_le(ram + GDT + FREE + 12, 0x1000);
    TRY(x86_far_call(cpu, FREE | 3, 0, 4, 0x8007));
    assert_raised(EXC_GP, FREE);
}

static void test_conforming(void)
{
    x86_test_protected(3);
    put_desc(GDT + FREE, 0, 0xfffff, DESC_CODE32 | DESC_C | DPL(0));
    g_assert_cmpint(TRY(x86_far_jmp(cpu, FREE, 0x1234, 4, 0)), ==, -1);
    g_assert_cmphex(cpu->seg[R_CS].sel, ==, FREE | 3);
    g_assert_cmpuint(x86_cpl(cpu), ==, 3);
    TRY(x86_far_jmp(cpu, CODE0, 0, 4, 0));
    assert_raised(EXC_GP, CODE0);
    TRY(x86_far_jmp(cpu, 0, 0, 4, 0));
    assert_raised(EXC_GP, 0);
    put_desc(GDT + FREE, 0, 0xff, (DESC_CODE32 & ~DESC_G) | DESC_C | DPL(0));
    TRY(x86_far_jmp(cpu, FREE, 0x100, 4, 0));       /* beyond the limit */
    assert_raised(EXC_GP, 0);
}

/* Push a frame by hand and IRET from it. */
static void push32(uint32_t v)
{
    cpu->r[R_ESP] -= 4;
    st32_le(ram + cpu->r[R_ESP], v);
}

static void test_iret(void)
{
    /* To ring 3: ring 0 may set IOPL and IF. */
    x86_test_protected(0);
    push32(DATA3);
    push32(0x5550);
    push32(FL_1 | FL_IF | FL_IOPL | FL_CF);
    push32(CODE3);
    push32(0x1234);
    g_assert_cmpint(TRY(x86_iret(cpu, 4, 0)), ==, -1);
    g_assert_cmpuint(x86_cpl(cpu), ==, 3);
    g_assert_cmphex(cpu->r[R_ESP], ==, 0x5550);
    g_assert_cmphex(x86_get_flags(cpu), ==, FL_1 | FL_IF | FL_IOPL | FL_CF);

    /* Ring 3 with IOPL 0 can change neither. */
    x86_test_protected(3);
    cpu->nmi_masked = true;
    push32(FL_1 | FL_IF | FL_IOPL | FL_VIP | FL_ID);
    push32(CODE3);
    push32(0x1234);
    g_assert_cmpint(TRY(x86_iret(cpu, 4, 0)), ==, -1);
    g_assert_cmphex(x86_get_flags(cpu), ==, FL_1 | FL_ID);
    g_assert_false(cpu->nmi_masked);

    /* Ring 3 can't return to ring 0; NMIs are let in again all the same. */
    cpu->nmi_masked = true;
    push32(FL_1);
    push32(CODE0);
    push32(0x1234);
    TRY(x86_iret(cpu, 4, 0));
    assert_raised(EXC_GP, CODE0);
    g_assert_false(cpu->nmi_masked);

    /* To virtual-8086 mode. */
    x86_test_protected(0);
    for (unsigned i = 0; i < 4; i++) {
        push32(0x1003 - i);                         /* GS FS DS ES */
    }
    push32(0x2000);
    push32(0xfffe);
    push32(FL_1 | FL_VM | FL_IF);
    push32(0x3000);
    push32(0x10);
    g_assert_cmpint(TRY(x86_iret(cpu, 4, 0)), ==, -1);
    g_assert_true(cpu->rflags & FL_VM);
    g_assert_cmpuint(x86_cpl(cpu), ==, 3);
    g_assert_cmphex(cpu->seg[R_CS].base, ==, 0x30000);
    g_assert_cmphex(cpu->seg[R_ES].sel, ==, 0x1000);
    g_assert_cmphex(cpu->seg[R_GS].base, ==, 0x10030);
    g_assert_cmphex(cpu->seg[R_SS].limit, ==, 0xffff);
    g_assert_cmphex(cpu->r[R_ESP], ==, 0xfffe);
}

static void test_iret_long(void)
{
    x86_test_long(0);
    uint64_t frame[5] = { 0x7fffffff0000, CODE3, FL_1 | FL_IF, 0x7ffffffe0000, DATA3 };
    cpu->r[R_ESP] = STACK0 - sizeof(frame);
    memcpy(ram + STACK0 - sizeof(frame), frame, sizeof(frame));
    g_assert_cmpint(TRY(x86_iret(cpu, 8, 0)), ==, -1);
    g_assert_cmphex(cpu->rip, ==, frame[0]);
    g_assert_cmphex(cpu->r[R_ESP], ==, frame[3]);
    g_assert_cmpuint(x86_cpl(cpu), ==, 3);

    x86_test_long(0);
    frame[0] = 0x800000000000;                      /* not canonical */
    cpu->r[R_ESP] = STACK0 - sizeof(frame);
    memcpy(ram + STACK0 - sizeof(frame), frame, sizeof(frame));
    TRY(x86_iret(cpu, 8, 0));
    assert_raised(EXC_GP, 0);
    cpu->rflags |= FL_NT;
    TRY(x86_iret(cpu, 8, 0));
    assert_raised(EXC_GP, 0);
}

static void test_syscall(void)
{
    x86_test_long(3);
    cpu->star = 0x0013000800000000ull;
    cpu->lstar = 0xffffffff81000000ull;
    cpu->fmask = FL_IF | FL_TF;
    cpu->rflags = FL_1 | FL_IF | FL_CF;
    x86_set_flags(cpu, cpu->rflags);
    g_assert_cmpint(TRY(x86_syscall(cpu, 0x8002)), ==, -1);
    g_assert_cmphex(cpu->rip, ==, cpu->lstar);
    g_assert_cmphex(cpu->r[R_ECX], ==, 0x8002);
    g_assert_cmphex(cpu->r[R_R11], ==, FL_1 | FL_IF | FL_CF);
    g_assert_cmphex(x86_get_flags(cpu), ==, FL_1 | FL_CF);
    g_assert_cmpuint(x86_cpl(cpu), ==, 0);
    g_assert_cmphex(cpu->seg[R_SS].sel, ==, 0x10);
    g_assert_cmpint(TRY(x86_sysret(cpu, 8)), ==, -1);
    g_assert_cmphex(cpu->rip, ==, 0x8002);
    g_assert_cmphex(cpu->seg[R_CS].sel, ==, 0x23);
    g_assert_cmphex(cpu->seg[R_SS].sel, ==, 0x1b);
    g_assert_true(cpu->seg[R_CS].attr & DESC_L);
    TRY(x86_sysret(cpu, 8));                        /* only ring 0 */
    assert_raised(EXC_GP, 0);
    cpu->efer &= ~(uint64_t)EFER_SCE;
    g_assert_cmpint(TRY(x86_syscall(cpu, 0)), ==, EXC_UD);

    /* Stepping: no trap into a kernel that masks TF, one on the way out. */
    x86_test_long(3);
    cpu->fmask = FL_TF;
    x86_set_flags(cpu, FL_1 | FL_TF);
    x86_syscall(cpu, 0x8002);
    x86_trap_tf(cpu);
    g_assert_cmphex(cpu->pending_dbg, ==, 0);
    x86_sysret(cpu, 8);
    g_assert_cmphex(cpu->pending_dbg, ==, DB_BS);
}

static void test_sysenter(void)
{
    x86_test_protected(3);
    TRY(x86_sysenter(cpu, 0));
    assert_raised(EXC_GP, 0);                       /* SYSENTER_CS is null */
    cpu->sysenter_cs = CODE0;
    cpu->sysenter_esp = 0x1234;
    cpu->sysenter_eip = 0x5678;
    g_assert_cmpint(TRY(x86_sysenter(cpu, 0)), ==, -1);
    g_assert_cmpuint(x86_cpl(cpu), ==, 0);
    g_assert_cmphex(cpu->r[R_ESP], ==, 0x1234);
    g_assert_cmphex(cpu->rip, ==, 0x5678);
    cpu->r[R_ECX] = 0xaaaa;
    cpu->r[R_EDX] = 0xbbbb;
    g_assert_cmpint(TRY(x86_sysexit(cpu, 4)), ==, -1);
    g_assert_cmpuint(x86_cpl(cpu), ==, 3);
    g_assert_cmphex(cpu->rip, ==, 0xbbbb);
    g_assert_cmphex(cpu->r[R_ESP], ==, 0xaaaa);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    x86_test_init();
    g_test_add_func("/x86/seg/load", test_load_segments);
    g_test_add_func("/x86/seg/null-limit", test_null_and_limit);
    g_test_add_func("/x86/seg/real", test_real_mode_segments);
    g_test_add_func("/x86/seg/lar-lsl", test_lar_lsl_ver);
    g_test_add_func("/x86/far/call-gate", test_call_gate);
    g_test_add_func("/x86/far/call-gate16", test_call_gate16);
    g_test_add_func("/x86/far/call-gate64", test_call_gate64);
    g_test_add_func("/x86/far/conforming", test_conforming);
    g_test_add_func("/x86/far/iret", test_iret);
    g_test_add_func("/x86/far/iret-long", test_iret_long);
    g_test_add_func("/x86/far/syscall", test_syscall);
    g_test_add_func("/x86/far/sysenter", test_sysenter);
    return g_test_run();
}
