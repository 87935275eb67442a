/* SPDX-License-Identifier: MIT */
/*
 * KVM's paths that no host at hand takes, on a KVM that does as the test says (fake-kvm.h): exits
 * that end a machine or are the interpreter's, kicks, accesses in pieces, errors, the dirty log with
 * manual protection, slots that run out, MSRs, eventfds, nested state.
 */
#include "target-i386/kvm.h"
#include "tests/unit/fake-kvm.h"
#include "tests/unit/x86-test.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "accel/eventfd.h"
#include "migration/vmstate.h"
#include "target-i386/cpuid.h"

#define c (&cpu->cpu)

static void code(const void *bytes, size_t len)
{
    x86_test_protected(0);
    memcpy(ram + 0x8000, bytes, len);
    kvm_cpu_put_state(c, STATE_FULL, NULL);
    fake.runs = 0;
    fake.fail_count = 0;
    fake.refused_msr = 0;
}

/* KVM_RUN: somebody wants the vCPU. */
static int kicked(void)
{
    cpu_request(c, CPU_REQ_EXIT);
    kvm_cpu_kick(c);
    return -EINTR;
}

static gpointer kick_it(gpointer opaque)
{
    kicked();
    return NULL;
}

static ExitReason run(int (*on_run)(unsigned n))
{
    fake.on_run = on_run;
    ExitReason why = kvm_cpu_run(c);
    cpu_clear_request(c, CPU_REQ_EXIT);
    return why;
}

/* ---- exits ------------------------------------------------------------------------------------ */

static int fail_emulation(unsigned n)
{
    if (n) {
        return kicked();
    }
    fake.run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
    fake.run->internal.suberror = KVM_INTERNAL_ERROR_EMULATION;
    return 0;
}

/* mov eax, 1234h; jmp . */
static const uint8_t mov_and_spin[] = { 0xb8, 0x34, 0x12, 0, 0, 0xeb, 0xfe };

static void test_assist(void)
{
    uint64_t before = kvm_cpu(c)->assists;

    code(mov_and_spin, sizeof(mov_and_spin));
    g_assert_cmpint(run(fail_emulation), ==, EXIT_KICKED);
    g_assert_cmpuint(kvm_cpu(c)->assists, ==, before + 1);
    g_assert_cmpuint(fake.runs, ==, 2);
    g_assert_cmphex(fake.regs.rax, ==, 0x1234);         /* put back for the second KVM_RUN */
    g_assert_cmphex(fake.regs.rip, ==, 0x8005);
}

static int fail_otherwise(unsigned n)
{
    fake.run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
    fake.run->internal.suberror = KVM_INTERNAL_ERROR_DELIVERY_EV;
    fake.run->internal.ndata = 1000;                    /* of which 16 can be there */
    return 0;
}

static int refuse_entry(unsigned n)
{
    fake.run->exit_reason = KVM_EXIT_FAIL_ENTRY;
    fake.run->fail_entry.hardware_entry_failure_reason = 0x80000021;
    return 0;
}

static int exit_nobody_knows(unsigned n)
{
    fake.run->exit_reason = 999;
    return 0;
}

static int run_fails(unsigned n)
{
    return -EFAULT;
}

typedef struct FatalCase {
    const char *path;
    int (*on_run)(unsigned n);
    const char *line;
} FatalCase;
static const FatalCase fatal[] = {
    { "/kvm/fatal/delivery", fail_otherwise,
      "*KVM internal error, suberror 3; the machine is paused*Code=*<b8> 34 12*" },
    { "/kvm/fatal/entry", refuse_entry,
      "*the hardware refused to run the guest, reason 2147483681; the machine is paused*" },
    { "/kvm/fatal/unknown", exit_nobody_knows, "*unknown exit reason 999; the machine is paused*" },
    { "/kvm/fatal/run", run_fails, "*KVM_RUN failed, error 14; the machine is paused*" },
};

static void test_fatal(const void *opaque)
{
    const FatalCase *f = opaque;

    if (g_test_subprocess()) {
        code(mov_and_spin, sizeof(mov_and_spin));
        g_assert_cmpint(run(f->on_run), ==, EXIT_ERROR);
        g_assert_cmphex(cpu->rip, ==, 0x8000);          /* fetched, for whoever looks */
        return;
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_passed();
    g_test_trap_assert_stderr(f->line);
}

static int shut_down(unsigned n)
{
    fake.run->exit_reason = KVM_EXIT_SHUTDOWN;
    return 0;
}

static void test_shutdown(void)
{
    code(mov_and_spin, sizeof(mov_and_spin));
    g_assert_cmpint(run(shut_down), ==, EXIT_RESET);
}

/* An ioctl that fails when registers are put: told, and the machine is paused. */
static void test_put_fails(void)
{
    if (g_test_subprocess()) {
        code(mov_and_spin, sizeof(mov_and_spin));
        fake.fails = KVM_SET_SREGS;
        fake.fail_count = -1;
        fake.fail_errno = EINVAL;
        g_assert_cmpint(run(exit_nobody_knows), ==, EXIT_ERROR);
        g_assert_cmpuint(fake.runs, ==, 0);
        return;
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_passed();
    g_test_trap_assert_stderr("*kvm: CPU 0: KVM_SET_SREGS: Invalid argument*");
}

/* ---- kicks ------------------------------------------------------------------------------------- */

/* As the kernel does it: immediate_exit is looked at on the way in. */
static int enter_or_not(unsigned n)
{
    if (n == 0) {
        kicked();                       /* after the look at CPU.request, before the guest */
    }
    g_assert_true(fake.run->immediate_exit);
    return -EINTR;
}

static int signal_of_somebody(unsigned n)
{
    return n < 3 ? (n & 1 ? -EAGAIN : -EINTR) : kicked();
}

static void test_kicks(void)
{
    code(mov_and_spin, sizeof(mov_and_spin));
    cpu_request(c, CPU_REQ_EXIT);       /* before run: the guest is not entered */
    kvm_cpu_kick(c);
    g_assert_cmpint(run(exit_nobody_knows), ==, EXIT_KICKED);
    g_assert_cmpuint(fake.runs, ==, 0);

    g_assert_cmpint(run(enter_or_not), ==, EXIT_KICKED);
    g_assert_cmpuint(fake.runs, ==, 1);

    fake.runs = 0;                      /* the flag of the last kick does not stay */
    g_assert_cmpint(run(signal_of_somebody), ==, EXIT_KICKED);
    g_assert_cmpuint(fake.runs, ==, 4);
}

static uint8_t acknowledge(void *opaque)
{
    cpu->pic_line = 0;
    return 0x33;
}

static int take_interrupt(unsigned n)
{
    switch (n) {
    case 0:                             /* it asks to be told when the window opens */
        g_assert_true(fake.run->request_interrupt_window);
        g_assert_cmpuint(fake.interrupts, ==, 0);
        fake.run->exit_reason = KVM_EXIT_IRQ_WINDOW_OPEN;
        fake.run->ready_for_interrupt_injection = 1;
        return 0;
    case 1:
        g_assert_cmpuint(fake.interrupts, ==, 1);
        g_assert_cmpuint(fake.interrupt.irq, ==, 0x33);
        return kicked();
    }
    g_assert_not_reached();
}

static void test_interrupt(void)
{
    struct X86CPU *x = cpu;
    void *apic = x->apic;

    code(mov_and_spin, sizeof(mov_and_spin));
    x->apic = NULL;
    x->pic_ack = acknowledge;
    x86_cpu_set_pic_line(x, 1);
    g_assert_cmpint(run(take_interrupt), ==, EXIT_KICKED);
    g_assert_cmpuint(fake.runs, ==, 2);
    x->apic = apic;
    x->pic_ack = NULL;
}

/* ---- accesses that go on ------------------------------------------------------------------------- */

#define DEVICE 0x70000000ull

static unsigned stored[4], stores;

static uint64_t device_read(void *opaque, hwaddr off, unsigned size)
{
    return 0x5a + off;
}

static void device_write(void *opaque, hwaddr off, uint64_t val, unsigned size)
{
    stored[stores++ % G_N_ELEMENTS(stored)] = val;
}

static const RegionOps device_ops = { .read = device_read, .write = device_write, .min = 1, .max = 1 };

static int access_byte(hwaddr off, bool write, uint8_t val)
{
    fake.run->exit_reason = KVM_EXIT_MMIO;
    fake.run->mmio.phys_addr = DEVICE + off;
    fake.run->mmio.is_write = write;
    fake.run->mmio.len = 1;
    fake.run->mmio.data[0] = val;
    return 0;
}

/* REP MOVSB within the device: as the kernel's emulator does it. */
static int move_string(unsigned n)
{
    if (n == 0) {
        kicked();
    } else {
        g_assert_true(fake.run->immediate_exit);
    }
    if (n == 4) {
        fake.regs.rip = 0x8005;
        return -EINTR;
    }
    return access_byte(n, n & 1, fake.run->mmio.data[0]);
}

/* Registers are fetched when the last piece is done, and no piece is left out. */
static void test_access_goes_on(void)
{
    static Region r;

    region_init_io(&r, "device", GUEST_PAGE_SIZE, &device_ops, NULL);
    bql_lock();
    region_map(system_memory(), DEVICE, &r, 0);
    bql_unlock();
    code(mov_and_spin, sizeof(mov_and_spin));
    g_assert_cmpint(run(move_string), ==, EXIT_KICKED);
    g_assert_cmpuint(fake.runs, ==, 1);
    kvm_cpu_get_state(c);
    g_assert_cmpuint(fake.runs, ==, 5);
    g_assert_cmphex(cpu->rip, ==, 0x8005);
    g_assert_cmpuint(stores, ==, 2);
    g_assert_cmphex(stored[0], ==, 0x5a);
    g_assert_cmphex(stored[1], ==, 0x5c);

    code(mov_and_spin, sizeof(mov_and_spin));
    g_assert_cmpint(run(move_string), ==, EXIT_KICKED);
    kvm_cpu_put_state(c, STATE_FULL, NULL);             /* another guest: the old one stores no more */
    g_assert_cmpuint(fake.runs, ==, 5);
    g_assert_cmpuint(stores, ==, 2);
    bql_lock();
    region_unmap(&r);
    bql_unlock();
}

/* ---- a port that takes parameters in registers ------------------------------------------------- */

static uint64_t backdoor_read(void *opaque, hwaddr addr, unsigned size)
{
    X86CPU *of = x86_cpu(cpu_of_access());

    g_assert_true(of == cpu);
    g_assert_cmphex(of->r[R_ECX], ==, 0x77);
    of->r[R_EBX] = 0x4242;
    return 0x1111;
}
static const RegionOps backdoor_ops = { .read = backdoor_read, .min = 1, .max = 4 };

/* The guest's registers are the kernel's; the device's come back to it before the next KVM_RUN. */
static int ask_backdoor(unsigned n)
{
    struct kvm_run *r = fake.run;

    if (n) {
        return kicked();
    }
    fake.regs.rcx = 0x77;
    fake.regs.rbx = 5;
    r->exit_reason = KVM_EXIT_IO;
    r->io.direction = KVM_EXIT_IO_IN;
    r->io.port = 0x5658;
    r->io.size = 4;
    r->io.count = 1;
    r->io.data_offset = 2048;
    return 0;
}

static void test_registers_in_access(void)
{
    static Region r;
    uint32_t val;

    region_init_io(&r, "backdoor", 4, &backdoor_ops, NULL);
    bql_lock();
    region_map(system_io(), 0x5658, &r, 0);
    bql_unlock();
    code(mov_and_spin, sizeof(mov_and_spin));
    g_assert_cmpint(run(ask_backdoor), ==, EXIT_KICKED);
    g_assert_cmpuint(fake.runs, ==, 2);
    g_assert_cmphex(fake.regs.rbx, ==, 0x4242);
    g_assert_cmphex(fake.regs.rcx, ==, 0x77);
    memcpy(&val, (uint8_t *)fake.run + 2048, sizeof(val));
    g_assert_cmphex(val, ==, 0x1111);
    g_assert_false(kvm_cpu(c)->here || kvm_cpu(c)->lent);
    bql_lock();
    region_unmap(&r);
    bql_unlock();
}

/* ---- MSRs ---------------------------------------------------------------------------------------- */

static int just_kicked(unsigned n)
{
    return kicked();
}

/* KVM's own (clock, asynchronous page faults, steal time, PV EOI) are kept like the others, and
 * one that the kernel refuses does not stop the rest. */
static void test_msrs(void)
{
    code(mov_and_spin, sizeof(mov_and_spin));
    for (unsigned n = 0; n < X86_KVM_MSRS; n++) {
        cpu->kvm_msr[n] = 0x1000 * (n + 1) + 1;
    }
    cpu->kvm_msr[X86_KVM_STEAL_TIME] = 0;               /* its page would be written to */
    cpu->lstar = 0xffff800000001234;
    cpu->star = 0x1111;
    fake.refused_msr = MSR_STAR;
    g_assert_cmpint(run(just_kicked), ==, EXIT_KICKED);
    g_assert_cmphex(fake_msr(MSR_LSTAR), ==, 0xffff800000001234);
    g_assert_cmphex(fake_msr(MSR_STAR), ==, 0);
    for (unsigned n = 1; n < X86_KVM_MSRS; n++) {       /* 0 is an order to write the time */
        g_assert_cmphex(fake_msr(MSR_KVM_FIRST + n), ==, cpu->kvm_msr[n]);
    }
    fake.refused_msr = 0;
    uint64_t apf = cpu->kvm_msr[2] + 0x100;
    g_hash_table_insert(fake.msrs, GUINT_TO_POINTER(MSR_KVM_FIRST + 2), (void *)(uintptr_t)apf);
    kvm_cpu_get_state(c);
    g_assert_cmphex(cpu->kvm_msr[2], ==, apf);
    g_assert_cmphex(cpu->lstar, ==, 0xffff800000001234);
}

/* One that can't be read any more: an error, not values of somewhere else. */
static void test_msrs_unreadable(void)
{
    if (g_test_subprocess()) {
        code(mov_and_spin, sizeof(mov_and_spin));
        run(just_kicked);
        fake.refused_msr = MSR_LSTAR;
        kvm_cpu_get_state(c);
        return;
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_passed();
    g_test_trap_assert_stderr("*KVM_GET_MSRS: MSR c0000082 can't be read any more*");
}

/* ---- memory --------------------------------------------------------------------------------------- */

static unsigned used_slots(void)
{
    unsigned used = 0;

    for (unsigned n = 0; n < FAKE_SLOTS; n++) {
        used += fake.slot[n].memory_size != 0;
    }
    return used;
}

static void test_dirty_log(void)
{
    static Region r;
    Error *err = NULL;
    unsigned long bits[1] = { 0 };
    const unsigned pages = 8;

    bql_lock();
    region_init_ram(&r, "logged", pages * GUEST_PAGE_SIZE, &err);
    g_assert_no_error(err);
    memory_begin();
    region_map(system_memory(), 0x50000000, &r, 1);
    memory_commit();
    dirty_start(&r, DIRTY_MIGR);
    dirty_snapshot(&r, DIRTY_MIGR, 0, pages * GUEST_PAGE_SIZE, bits);
    fake.dirty = 1 << 3 | 1 << 6;
    bits[0] = 0;
    g_assert_true(dirty_snapshot(&r, DIRTY_MIGR, 0, pages * GUEST_PAGE_SIZE, bits));
    g_assert_cmphex(bits[0], ==, 1 << 3 | 1 << 6);
    g_assert_cmphex(fake.cleared_bits, ==, 1 << 3 | 1 << 6);    /* protected again, only those */
    g_assert_cmpuint(fake.cleared.num_pages, ==, pages);
    g_assert_cmphex(fake.slot[fake.cleared.slot].guest_phys_addr, ==, 0x50000000);

    fake.fails = KVM_GET_DIRTY_LOG;     /* what is not known is dirty */
    fake.fail_count = 1;
    fake.fail_errno = EIO;
    dirty_snapshot(&r, DIRTY_MIGR, 0, pages * GUEST_PAGE_SIZE, bits);
    g_assert_cmphex(bits[0], ==, 0xff);
    fake.dirty = 0;
    dirty_stop(&r, DIRTY_MIGR);
    region_unmap(&r);
    bql_unlock();
}

/* More pieces than slots, and one the kernel refuses: told once, the interpreter runs the guest, and
 * the kernel again when there is room. */
static void test_slots_run_out(void)
{
    static Region piece[40];
    Error *err = NULL;

    if (!g_test_subprocess()) {
        g_test_trap_subprocess(NULL, 0, 0);
        g_test_trap_assert_passed();
        g_test_trap_assert_stderr("*kvm: the memory map needs more than the 32 slots of this kernel: the "
                                  "interpreter runs the guest as long as it is so; take devices away, or "
                                  "run with -accel tcg\n");
        g_test_trap_assert_stderr_unmatched("*slots*slots*");
        return;
    }
    bql_lock();
    memory_begin();
    for (unsigned n = 0; n < G_N_ELEMENTS(piece); n++) {
        region_init_ram(&piece[n], "piece", GUEST_PAGE_SIZE, &err);
        region_map(system_memory(), 0x40000000 + 2 * GUEST_PAGE_SIZE * n, &piece[n], 0);
    }
    memory_commit();
    bql_unlock();
    g_assert_cmpuint(used_slots(), ==, 30);             /* two of 32 are KVM's own */
    g_assert_cmpuint(kvm.homeless, ==, 11);             /* with the RAM there were 41 */
    code(mov_and_spin, sizeof(mov_and_spin));
    uint64_t before = kvm_cpu(c)->assists;
    kvm_cpu(c)->slice = 1000;
    fake.on_run = exit_nobody_knows;                    /* the kernel is not to run it */
    GThread *t = g_thread_new("kick", kick_it, NULL);
    while (kvm_cpu(c)->assists == before) {
        kvm_cpu_run(c);
        cpu_clear_request(c, CPU_REQ_EXIT);
        g_thread_join(t);
        t = g_thread_new("kick", kick_it, NULL);
    }
    g_thread_join(t);
    g_assert_cmpuint(fake.runs, ==, 0);
    bql_lock();
    memory_begin();
    for (unsigned n = 0; n < 11; n++) {
        region_unmap(&piece[n]);
    }
    memory_commit();
    bql_unlock();
    g_assert_cmpuint(kvm.homeless, ==, 0);
    g_assert_cmpuint(used_slots(), ==, 30);
}

static void test_slot_refused(void)
{
    static Region r;
    Error *err = NULL;

    if (!g_test_subprocess()) {
        g_test_trap_subprocess(NULL, 0, 0);
        g_test_trap_assert_passed();
        g_test_trap_assert_stderr("*kvm: the kernel can't map 60000000-60000fff (slot *): Cannot allocate "
                                  "memory; the interpreter runs the guest as long as it is so\n");
        return;
    }
    bql_lock();
    region_init_ram(&r, "refused", GUEST_PAGE_SIZE, &err);
    fake.fails = KVM_SET_USER_MEMORY_REGION;
    fake.fail_count = 1;
    fake.fail_errno = ENOMEM;
    region_map(system_memory(), 0x60000000, &r, 0);
    g_assert_cmpuint(kvm.homeless, ==, 1);
    region_unmap(&r);
    g_assert_cmpuint(kvm.homeless, ==, 0);
    bql_unlock();
}

/* ---- nested state ------------------------------------------------------------------------------ */

static struct kvm_nested_state *nested(void)
{
    return (struct kvm_nested_state *)(void *)fake.nested;
}

static int enter_vmx(unsigned n)
{
    fake.sregs.cr4 |= 1 << 13;
    nested()->size = FAKE_NESTED;
    nested()->hdr.vmx.vmxon_pa = 0x7000;
    nested()->hdr.vmx.vmcs12_pa = 0x8000;
    fake.nested[200] = 0x5a;
    return kicked();
}

/* What VMX operation left in the kernel is saved, loaded, and gone after a reset. */
static void test_nested(void)
{
    GByteArray *saved = g_byte_array_new();
    Error *err = NULL;

    g_assert_true(x86_has(cpu, CPUID_VMX));
    code(mov_and_spin, sizeof(mov_and_spin));
    g_assert_cmpint(run(enter_vmx), ==, EXIT_KICKED);
    kvm_cpu_get_state(c);
    bql_lock();
    machine_state_save(saved);
    bql_unlock();

    code(mov_and_spin, sizeof(mov_and_spin));           /* resets the CPU */
    run(just_kicked);
    g_assert_cmpuint(nested()->size, ==, sizeof(struct kvm_nested_state));
    g_assert_cmphex(nested()->hdr.vmx.vmxon_pa, ==, ~0ull);

    memset(fake.nested, 0, sizeof(fake.nested));
    kvm_cpu_get_state(c);
    bql_lock();
    machine_state_load(saved->data, saved->len, &err);
    g_assert_no_error(err);
    bql_unlock();
    kvm_cpu_put_state(c, STATE_FULL, NULL);
    run(just_kicked);
    g_assert_cmpuint(nested()->size, ==, FAKE_NESTED);
    g_assert_cmphex(nested()->hdr.vmx.vmxon_pa, ==, 0x7000);
    g_assert_cmphex(fake.nested[200], ==, 0x5a);
    g_byte_array_free(saved, TRUE);
}

static int fail_in_nested_guest(unsigned n)
{
    enter_vmx(n);
    cpu_clear_request(c, CPU_REQ_EXIT);
    nested()->flags = KVM_STATE_NESTED_GUEST_MODE;
    return fail_emulation(0);
}

/* The interpreter can't help a guest's guest; an event that was under way there is given back. */
static void test_nested_guest(void)
{
    if (g_test_subprocess()) {
        code(mov_and_spin, sizeof(mov_and_spin));
        g_assert_cmpint(run(fail_in_nested_guest), ==, EXIT_ERROR);
        fake.events.interrupt.injected = 1;
        fake.events.interrupt.nr = 0x41;
        kvm_cpu(c)->here = false;
        kvm_cpu_get_state(c);
        g_assert_cmpint(cpu->exc_vector, ==, 0x41);
        fake.events.interrupt.injected = 0;
        uint64_t before = kvm_cpu(c)->assists;
        g_assert_cmpint(run(just_kicked), ==, EXIT_KICKED);
        g_assert_cmpuint(kvm_cpu(c)->assists, ==, before);
        g_assert_cmpuint(fake.events.interrupt.injected, ==, 1);
        g_assert_cmphex(fake.events.interrupt.nr, ==, 0x41);
        return;
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_passed();
    g_test_trap_assert_stderr("*can't emulate an instruction of a nested guest, suberror 1; the machine*");
}

/* ---- the interpreter beside a local APIC in the kernel -------------------------------------------- */

static void chips(bool there)
{
    kvm.irqchip = there ? KVM_IRQCHIP_SPLIT : KVM_IRQCHIP_OFF;
    x86_kvm_irqchip_active(true);
    if (!there) {
        x86_irqchip = NULL;
    }
    memset(&fake.lapic, 0, sizeof(fake.lapic));
    memset(&fake.events, 0, sizeof(fake.events));
    fake.mp_state.mp_state = KVM_MP_STATE_RUNNABLE;
}

/* A timer has run out: one visit makes a request of it, the next takes that. */
static int late_timer(unsigned n)
{
    g_assert_cmpuint(fake.mp_state.mp_state, ==, KVM_MP_STATE_RUNNABLE);
    if (n == 0) {
        fake.lapic.regs[0x200 + 16 * 7 + 1] = 1 << 4;   /* vector 236 */
    } else {
        fake.lapic.regs[0x200 + 16 * 7 + 1] = 0;
        fake.events.interrupt.injected = 1;
        fake.events.interrupt.nr = 236;
    }
    return -EINTR;
}

static void test_pull(void)
{
    KvmCpu *k = kvm_cpu(c);
    Error *err = NULL;

    chips(true);
    code(mov_and_spin, sizeof(mov_and_spin));
    cpu->rflags |= FL_IF;
    fake.on_run = late_timer;
    g_assert_true(x86_kvm_pull(k, &err));
    g_assert_cmpuint(fake.runs, ==, 2);
    g_assert_cmpint(cpu->exc_vector, ==, 236);
    g_assert_cmpint(cpu->exc_kind, ==, EVENT_EXTERNAL);
    g_assert_true(k->here);
    cpu->exc_vector = -1;
    chips(false);
}

/* Without a local APIC in the kernel a halted vCPU stays so through a visit. */
static int only_signal(unsigned n)
{
    return -EINTR;
}

static void test_visit_halted(void)
{
    code(mov_and_spin, sizeof(mov_and_spin));
    c->halted = true;
    fake.on_run = only_signal;
    g_assert_true(x86_kvm_visit(kvm_cpu(c), NULL));
    g_assert_cmpuint(fake.runs, ==, 1);
    g_assert_true(c->halted);
    c->halted = false;
}

/* The kernel's half makes a step at an instruction that does the access. */
static int step_done(unsigned n)
{
    g_assert_cmphex(fake.sregs.cs.base, ==, 0xfeffa000);
    g_assert_cmphex(fake.sregs.cr0 & (CR0_PE | CR0_PG), ==, 0);
    g_assert_true(fake.debug.control & KVM_GUESTDBG_SINGLESTEP);
    g_assert_cmphex(fake.regs.rflags & FL_IF, ==, 0);
    g_assert_cmphex(fake.regs.rdi, ==, 0xfee00300);
    if (n == 0) {
        return -EINTR;                  /* a kick: once more */
    }
    fake.regs.rax = 0xffffffff12345678;
    fake.run->exit_reason = KVM_EXIT_DEBUG;
    return 0;
}

static int init_instead(unsigned n)
{
    fake.mp_state.mp_state = KVM_MP_STATE_INIT_RECEIVED;
    return -EINTR;
}

static void test_chip_access(void)
{
    KvmCpu *k = kvm_cpu(c);
    uint64_t val = 0;

    chips(true);
    code(mov_and_spin, sizeof(mov_and_spin));
    fake.on_run = step_done;
    g_assert_true(x86_kvm_chip_access(k, false, 0xfee00300, 4, false, &val));
    g_assert_cmphex(val, ==, 0x12345678);
    g_assert_cmphex(cpu->rip, ==, 0x8000);
    val = 0xc4610;
    fake.on_run = step_done;
    g_assert_true(x86_kvm_chip_access(k, false, 0xfee00300, 4, true, &val));
    g_assert_false(x86_kvm_chip_access(k, false, 0xfee00300, 8, true, &val));

    fake.on_run = only_signal;          /* the true registers are back for a visit */
    k->level = STATE_RUNTIME;
    g_assert_true(x86_kvm_visit(k, NULL));
    g_assert_cmphex(fake.sregs.cs.base, ==, 0);
    g_assert_cmphex(fake.regs.rip, ==, 0x8000);
    g_assert_false(fake.debug.control & KVM_GUESTDBG_SINGLESTEP);

    fake.on_run = init_instead;
    g_assert_true(x86_kvm_chip_access(k, false, 0xfee00300, 4, true, &val));
    g_assert_true(x86_kvm_pull(k, NULL));
    g_assert_true(cpu->wait_sipi);
    cpu->wait_sipi = c->halted = false;
    chips(false);
}

/* KVM_FEATURE_MSI_EXT_DEST_ID: 15 bits of a destination in a message, for guests that know it. */
static void test_wide_messages(void)
{
    uint64_t *word = &cpu->features[CPUID_KVM_MSI_EXT_DEST_ID >> 6], old = *word;

    chips(true);
    *word &= ~(1ull << (CPUID_KVM_MSI_EXT_DEST_ID & 63));
    x86_kvm_irqchip_guest(cpu);
    g_assert_cmphex(x86_msi_dest(0xfee12fe4), ==, 0x12);
    g_assert_cmphex(x86_kvm_message(0xfee12fe4), ==, 0xfee12fe4);
    *word |= 1ull << (CPUID_KVM_MSI_EXT_DEST_ID & 63);
    x86_kvm_irqchip_guest(cpu);
    g_assert_cmphex(x86_msi_dest(0xfee12024), ==, 0x112);
    g_assert_cmphex(x86_kvm_message(0xfee12024), ==, 0x100fee12004);
    g_assert_cmphex(x86_kvm_message(0xfee12fe0), ==, 0x7f00fee12000);
    g_assert_cmphex(x86_kvm_message(0xfee12ff0), ==, 0xfee12ff0);       /* another format */
    g_assert_cmphex(x86_kvm_message(0x300fee12000), ==, 0x300fee12000);
    *word = old;
    x86_kvm_irqchip_guest(cpu);
    chips(false);
}

/* ---- eventfds ---------------------------------------------------------------------------------- */

static unsigned rung[2];

static void bell_rang(void *opaque, unsigned number)
{
    rung[number]++;
}

static void ring(unsigned n)
{
    const uint64_t one = 1;
    g_assert_cmpint(write(fake.bell[n].fd, &one, sizeof(one)), ==, sizeof(one));
}

/* The kernel knows where the doorbells are while it runs the guest, and what was rung is not lost when
 * the vCPUs stop. */
static void test_doorbells(void)
{
    static Region r;
    Doorbell d = { .region = &r, .size = 2, .rang = bell_rang }, *bell[2];

    bql_lock();
    region_init_io(&r, "device", GUEST_PAGE_SIZE, &device_ops, NULL);
    region_map(system_memory(), DEVICE, &r, 0);
    for (unsigned n = 0; n < 2; n++) {
        d.off = 4 * n;
        d.number = n;
        bell[n] = doorbell_add(&d);
    }
    g_assert_cmpuint(fake.bells, ==, 0);
    doorbells_commit();
    g_assert_cmpuint(fake.bells, ==, 2);
    g_assert_cmphex(fake.bell[1].addr, ==, DEVICE + 4);
    g_assert_cmpuint(fake.bell[1].len, ==, 2);
    ring(1);
    ring(1);
    doorbells_settle();
    g_assert_cmpuint(rung[0], ==, 0);
    g_assert_cmpuint(rung[1], ==, 1);

    region_unmap(&r);
    g_assert_cmpuint(fake.bells, ==, 0);
    region_map(system_memory(), DEVICE + 0x10000, &r, 0);
    g_assert_cmpuint(fake.bells, ==, 2);
    g_assert_cmphex(fake.bell[0].addr, ==, DEVICE + 0x10000);

    ring(0);
    kvm_eventfd_active(false);          /* another accelerator */
    g_assert_cmpuint(rung[0], ==, 1);
    g_assert_cmpuint(fake.bells, ==, 0);
    g_assert_cmpint(bell[0]->fd, ==, -1);
    kvm_eventfd_active(true);
    g_assert_cmpuint(fake.bells, ==, 2);
    doorbell_del(bell[0]);
    doorbells_commit();
    g_assert_cmpuint(fake.bells, ==, 1);
    doorbell_del(bell[1]);
    doorbells_commit();
    g_assert_cmpuint(fake.bells, ==, 0);
    region_unmap(&r);
    bql_unlock();
}

/* A message has a route and an eventfd; with another message the route changes. */
static void test_irqfds(void)
{
    uint64_t count;

    bql_lock();
    IrqFd *f = irqfd_new();
    g_assert_true(irqfd_send(f, 0xfee01000, 0x41));
    g_assert_cmpuint(fake.irqfds, ==, 1);
    g_assert_cmpuint(fake.routes, ==, 2);
    g_assert_cmpuint(fake.route[1].gsi, ==, fake.irqfd[0].gsi);
    g_assert_cmphex(fake.route[1].u.msi.address_lo, ==, 0xfee01000);
    g_assert_cmphex(fake.route[1].u.msi.data, ==, 0x41);
    unsigned calls = fake.route_calls;
    g_assert_true(irqfd_send(f, 0xfee01000, 0x41));
    g_assert_cmpuint(fake.route_calls, ==, calls);
    g_assert_cmpint(read(fake.irqfd[0].fd, &count, sizeof(count)), ==, sizeof(count));
    g_assert_cmpuint(count, ==, 2);
    g_assert_true(irqfd_send(f, 0xfee02000, 0x42));
    g_assert_cmpuint(fake.irqfds, ==, 1);
    g_assert_cmphex(fake.route[1].u.msi.data, ==, 0x42);

    kvm_eventfd_active(false);
    g_assert_cmpuint(fake.irqfds, ==, 0);
    g_assert_cmpuint(fake.routes, ==, 1);
    g_assert_false(irqfd_send(f, 0xfee02000, 0x42));
    kvm_eventfd_active(true);
    fake.fails = KVM_IRQFD;             /* asked for once, not for each interrupt */
    fake.fail_count = -1;
    fake.fail_errno = ENOSPC;
    g_assert_false(irqfd_send(f, 0xfee02000, 0x42));
    calls = fake.route_calls;
    g_assert_false(irqfd_send(f, 0xfee02000, 0x42));
    g_assert_cmpuint(fake.route_calls, ==, calls);
    fake.fail_count = 0;
    g_assert_true(irqfd_send(f, 0xfee02000, 0x43));
    irqfd_free(f);
    g_assert_cmpuint(fake.irqfds, ==, 0);
    g_assert_cmpuint(fake.routes, ==, 1);
    bql_unlock();
}

static void start_eventfds(void)
{
    const struct kvm_irq_routing_entry chip = { .gsi = 5, .type = KVM_IRQ_ROUTING_IRQCHIP };

    fake.caps[KVM_CAP_IOEVENTFD] = fake.caps[KVM_CAP_IOEVENTFD_ANY_LENGTH] = 1;
    fake.caps[KVM_CAP_IRQFD] = 1;
    fake.caps[KVM_CAP_IRQ_ROUTING] = FAKE_ROUTES;
    kvm.irqchip = KVM_IRQCHIP_ON;
    g_assert_true(kvm_routes_init(&chip, 1));
    kvm_eventfd_init();
    kvm.irqchip = KVM_IRQCHIP_OFF;
    kvm_eventfd_active(true);
}

static void start(void)
{
    Error *err = NULL;

    fake_kvm_init();
    fake.caps[KVM_CAP_NESTED_STATE] = FAKE_NESTED;
    fake.caps[KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2] = KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE;
    kvm.fd = fake.dev;
    kvm.vm = fake.vm;
    kvm.run_size = 4096;
    kvm.immediate_exit = true;
    kvm_slots_probe();
    g_assert_true(kvm_target.init(&err));
    bql_lock();
    kvm_slots_init();
    accel_current->cpu_destroy(c);
    accel_current = c->accel = accel_find("kvm");
    cpu->features[CPUID_VMX >> 6] |= 1ull << (CPUID_VMX & 63);
    g_assert_true(kvm_cpu_create(c, &err));
    start_eventfds();
    c->stop = false;
    bql_unlock();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    x86_test_init();
    start();
    g_test_add_func("/kvm/assist", test_assist);
    for (unsigned n = 0; n < G_N_ELEMENTS(fatal); n++) {
        g_test_add_data_func(fatal[n].path, &fatal[n], test_fatal);
    }
    g_test_add_func("/kvm/shutdown", test_shutdown);
    g_test_add_func("/kvm/put-fails", test_put_fails);
    g_test_add_func("/kvm/kicks", test_kicks);
    g_test_add_func("/kvm/interrupt", test_interrupt);
    g_test_add_func("/kvm/access-goes-on", test_access_goes_on);
    g_test_add_func("/kvm/registers-in-access", test_registers_in_access);
    g_test_add_func("/kvm/msrs", test_msrs);
    g_test_add_func("/kvm/msrs-unreadable", test_msrs_unreadable);
    g_test_add_func("/kvm/dirty-log", test_dirty_log);
    g_test_add_func("/kvm/slots-run-out", test_slots_run_out);
    g_test_add_func("/kvm/slot-refused", test_slot_refused);
    g_test_add_func("/kvm/pull", test_pull);
    g_test_add_func("/kvm/visit-halted", test_visit_halted);
    g_test_add_func("/kvm/chip-access", test_chip_access);
    g_test_add_func("/kvm/wide-messages", test_wide_messages);
    g_test_add_func("/kvm/doorbells", test_doorbells);
    g_test_add_func("/kvm/irqfds", test_irqfds);
    g_test_add_func("/kvm/nested", test_nested);
    g_test_add_func("/kvm/nested-guest", test_nested_guest);
    return g_test_run();
}
