/* SPDX-License-Identifier: MIT */
/*
 * x86 under KVM: registers to the kernel's formats and back.  Needs no /dev/kvm, but for the
 * last test, which says so when it is skipped.
 */
#include "target-i386/kvm.h"
#include "tests/unit/x86-test.h"

#include <string.h>

static void test_segments(void)
{
    static const uint32_t attrs[] = {
        DESC_P | DESC_S | DESC_W | DESC_A, DESC_P | DESC_S | DESC_CODE | DESC_R | DESC_L | DESC_G,
        DESC_P | 11 << DESC_TYPE_SHIFT, DESC_P | DESC_S | DESC_W | DESC_B | DESC_G | DESC_AVL
        | 3 << DESC_DPL_SHIFT, 3 << DESC_DPL_SHIFT, 0,
    };
    for (unsigned n = 0; n < G_N_ELEMENTS(attrs); n++) {
        Segment s = { .sel = 0x23, .attr = attrs[n], .limit = 0x12fff, .base = 0xffff800000001000 };
        Segment back = { 0 };
        struct kvm_segment k;
        x86_kvm_segment_put(&s, &k);
        g_assert_cmpuint(k.unusable, ==, !(attrs[n] & DESC_P));
        x86_kvm_segment_get(&back, &k);
        g_assert_cmphex(back.sel, ==, s.sel);
        g_assert_cmphex(back.attr, ==, s.attr);
        g_assert_cmphex(back.limit, ==, s.limit);
        g_assert_cmphex(back.base, ==, s.base);
    }
}

static void test_xsave(void)
{
    struct kvm_xsave x = { 0 };

    x86_test_reset();
    for (unsigned n = 0; n < 16; n++) {
        for (unsigned q = 0; q < 4; q++) {
            cpu->v[n].q[q] = 0x0101010101010101ull * (n * 4 + q + 1);
        }
    }
    for (unsigned n = 0; n < 8; n++) {
        cpu->fpu.st[n] = (F80) { .frac = 0x8000000000000000ull + n, .se = 0x3fff + n };
    }
    cpu->fpu.top = 5;
    cpu->fpu.empty = 0x1f;
    cpu->fpu.cw = 0x037f;
    cpu->mxcsr = 0x1f80;
    cpu->pkru = 0x55555554;
    x86_kvm_xsave_put(cpu, &x, true, true);
    X86CPU *was = g_memdup2(cpu, sizeof(*cpu));
    memset(cpu->v, 0xee, sizeof(cpu->v));
    memset(&cpu->fpu, 0, sizeof(cpu->fpu));
    cpu->pkru = 0;
    x86_kvm_xsave_get(cpu, &x, true, true);
    for (unsigned n = 0; n < 16; n++) {
        g_assert_cmpmem(cpu->v[n].q, 32, was->v[n].q, 32);
    }
    for (unsigned n = 0; n < 8; n++) {
        g_assert_cmphex(cpu->fpu.st[n].frac, ==, was->fpu.st[n].frac);
        g_assert_cmphex(cpu->fpu.st[n].se, ==, was->fpu.st[n].se);
    }
    g_assert_cmpuint(cpu->fpu.top, ==, 5);
    g_assert_cmphex(cpu->fpu.empty, ==, 0x1f);
    g_assert_cmphex(cpu->fpu.cw, ==, 0x037f);
    g_assert_cmphex(cpu->pkru, ==, 0x55555554);
    g_free(was);
}

/* Without AVX in the image the upper halves are empty, whatever bytes lie there. */
static void test_xsave_without_avx(void)
{
    struct kvm_xsave x;

    x86_test_reset();
    memset(&x, 0, sizeof(x));
    x86_kvm_xsave_put(cpu, &x, false, false);
    memset((uint8_t *)x.region + 576, 0xff, 256);
    x86_kvm_xsave_get(cpu, &x, true, false);
    g_assert_cmphex(cpu->v[3].q[2], ==, 0);
}

static void test_events(void)
{
    struct kvm_vcpu_events e = { 0 };

    x86_test_reset();
    cpu->int_shadow = cpu->shadow_mov_ss = true;
    cpu->nmi_masked = true;
    cpu->nmi_pending = 1;
    x86_kvm_events_put(cpu, &e);
    cpu->int_shadow = cpu->shadow_mov_ss = cpu->nmi_masked = false;
    cpu->nmi_pending = 0;
    x86_kvm_events_get(cpu, &e, false);
    g_assert_true(cpu->int_shadow && cpu->shadow_mov_ss && cpu->nmi_masked);
    g_assert_cmpuint(cpu->nmi_pending, ==, 1);
    g_assert_cmpint(cpu->exc_vector, ==, -1);

    e = (struct kvm_vcpu_events) { .exception = { .injected = 1, .nr = EXC_UD } };
    x86_kvm_events_get(cpu, &e, true);
    g_assert_cmpint(cpu->exc_vector, ==, -1);
    x86_kvm_events_get(cpu, &e, false);
    g_assert_cmpint(cpu->exc_vector, ==, EXC_UD);

    e = (struct kvm_vcpu_events) { .exception = { .injected = 1, .nr = EXC_PF, .has_error_code = 1,
                                                  .error_code = 6 } };
    x86_kvm_events_get(cpu, &e, true);
    g_assert_cmpint(cpu->exc_vector, ==, EXC_PF);
    g_assert_true(cpu->exc_has_error);
    g_assert_cmphex(cpu->exc_error, ==, 6);

    e = (struct kvm_vcpu_events) { .interrupt = { .injected = 1, .nr = 0x31 } };
    x86_kvm_events_get(cpu, &e, false);
    g_assert_cmpint(cpu->exc_vector, ==, 0x31);
    g_assert_cmpint(cpu->exc_kind, ==, EVENT_EXTERNAL);
    cpu->exc_vector = -1;
}

/* Hypercalls of a guest that the interpreter runs. */
static void test_hypercalls(void)
{
    x86_test_reset();
    x86_test_long(0);
    g_assert_cmpint(TRY(x86_hypercall(cpu)), ==, EXC_UD);
    x86_kvm_pv_active(true);
    cpu->r[R_EAX] = 11;                                 /* SCHED_YIELD */
    g_assert_cmpint(TRY(x86_hypercall(cpu)), ==, -1);
    g_assert_cmphex(cpu->r[R_EAX], ==, 0);
    cpu->r[R_EAX] = 9;                                  /* CLOCK_PAIRING: no such clock */
    x86_hypercall(cpu);
    g_assert_cmpint((int64_t)cpu->r[R_EAX], ==, -95);
    cpu->r[R_EAX] = 0x1234;
    x86_hypercall(cpu);
    g_assert_cmpint((int64_t)cpu->r[R_EAX], ==, -1000);
    x86_test_protected(0);                              /* 32 bits: the upper half is not looked at */
    cpu->r[R_EAX] = 0x100000000ull | 11;
    x86_hypercall(cpu);
    g_assert_cmphex(cpu->r[R_EAX], ==, 0);
    x86_test_protected(3);
    cpu->r[R_EAX] = 11;
    x86_hypercall(cpu);
    g_assert_cmphex(cpu->r[R_EAX], ==, 0xffffffff);     /* EPERM */
    x86_kvm_pv_active(false);
    g_assert_cmpint(TRY(x86_hypercall(cpu)), ==, EXC_UD);
    cpu->exc_vector = -1;
}

static unsigned ipis;
static uint64_t ipi_to[4];
static uint32_t ipi_data[4];

static void note_msi(uint64_t addr, uint32_t data)
{
    ipi_to[ipis % 4] = addr;
    ipi_data[ipis++ % 4] = data;
}

/* SEND_IPI with the local APICs in the kernel: a message to each CPU that exists. */
static void test_hypercall_ipi(void)
{
    static const X86Irqchip chip = { .msi = note_msi };

    x86_test_reset();
    x86_test_long(0);
    x86_kvm_pv_active(true);
    x86_irqchip = &chip;
    ipis = 0;
    cpu->r[R_EAX] = 10;
    cpu->r[R_EBX] = 7;                                  /* CPUs 0 to 2, of which one exists */
    cpu->r[R_ECX] = cpu->r[R_EDX] = 0;
    cpu->r[R_ESI] = 0x41;
    x86_hypercall(cpu);
    g_assert_cmphex(cpu->r[R_EAX], ==, 1);
    g_assert_cmpuint(ipis, ==, 1);
    g_assert_cmphex(ipi_to[0], ==, 0xfee00000);
    g_assert_cmphex(ipi_data[0], ==, 0x41);
    cpu->r[R_EAX] = 10;
    cpu->r[R_ESI] = 0x541;                              /* INIT can't be sent this way */
    x86_hypercall(cpu);
    g_assert_cmpint((int64_t)cpu->r[R_EAX], ==, -95);
    cpu->r[R_EAX] = 5;                                  /* KICK_CPU 0 */
    cpu->r[R_ECX] = 0;
    x86_hypercall(cpu);
    g_assert_cmphex(cpu->r[R_EAX], ==, 0);
    g_assert_cmphex(ipi_data[1], ==, 0x300);
    x86_irqchip = NULL;
    x86_kvm_pv_active(false);
}

/* The steal-time page: a vCPU of the interpreter's is not preempted. */
static void test_steal_time(void)
{
    KvmCpu k = { .cpu = &cpu->cpu };

    x86_test_reset();
    ram[0x5010] = 3;
    x86_kvm_pv_awake(&k);
    g_assert_cmphex(ram[0x5010], ==, 3);
    cpu->kvm_msr[X86_KVM_STEAL_TIME] = 0x5001;
    x86_kvm_pv_awake(&k);
    g_assert_cmphex(ram[0x5010], ==, 0);
}

/* /dev/kvm is looked at without side effects, and an error tells what to do. */
static void test_available(void)
{
    const Accel *a = accel_find("kvm");
    Error *err = NULL;

    g_assert_nonnull(a);
    if (!a->available(&err)) {
        g_assert_nonnull(strstr(err->message, "-accel tcg"));
        g_test_skip(err->message);
        g_error_free(err);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    x86_test_init();
    g_test_add_func("/x86/kvm/segments", test_segments);
    g_test_add_func("/x86/kvm/xsave", test_xsave);
    g_test_add_func("/x86/kvm/xsave-without-avx", test_xsave_without_avx);
    g_test_add_func("/x86/kvm/events", test_events);
    g_test_add_func("/x86/kvm/hypercalls", test_hypercalls);
    g_test_add_func("/x86/kvm/hypercall-ipi", test_hypercall_ipi);
    g_test_add_func("/x86/kvm/steal-time", test_steal_time);
    g_test_add_func("/x86/kvm/available", test_available);
    return g_test_run();
}
