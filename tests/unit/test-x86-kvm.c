/* SPDX-License-Identifier: MIT */
/*
 * x86 under KVM: registers to the kernel's formats and back.  Needs no /dev/kvm, but for the
 * last test, which says so when it is skipped.
 */
#include "target-i386/kvm.h"
#include "tests/unit/x86-test.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

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
    g_test_add_func("/x86/kvm/available", test_available);
    return g_test_run();
}
