/* SPDX-License-Identifier: MIT */
/*
 * A vCPU under KVM: KVM_RUN, the exits that come back, kicks, and turns of the interpreter.
 *
 * Where the registers are: KvmCpu.here says that struct CPU holds them and the kernel's copy
 * is old.  They are fetched when somebody asks (get_state), when run() is left for good, and
 * for a turn of the interpreter; they are put back just before the next KVM_RUN.
 *
 * Kicks: whoever wants the vCPU back sets kvm_run.immediate_exit and sends a signal.  The
 * vCPU clears immediate_exit, then looks at CPU.request, then enters the kernel: a request
 * that comes after the look finds the flag clear, sets it, and KVM_RUN returns at once; one
 * that comes while the guest runs is brought by the signal.
 *
 * The interpreter's turn ("assist"): at least the instruction that the kernel could not do.
 * Fetching and putting costs tens of microseconds, and where one such instruction is there
 * are others near; so the turn lasts longer each time the kernel fails soon after it got the
 * vCPU back, and gets shorter when it does not.
 *
 * Under a software KVM the interpreter is the faster of the two, so there it also gets its
 * turn when the kernel has had the vCPU for KERNEL_TURN (-accel kvm,turns=off: only where the
 * kernel fails).
 */
#include "accel/kvm/kvm.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "accel/debug.h"
#include "accel/tcg/block.h"
#include "accel/tcg/exclusive.h"
#include "accel/tcg/exec.h"
#include "accel/tcg/slow.h"
#include "util/bql.h"
#include "util/log.h"

#define SIG_KICK    SIGUSR1

#define SLICE_MIN   50000ll             /* ns */
#define SLICE_MAX   20000000ll
#define KERNEL_TURN 1000000ll           /* of a software KVM, ns */
#define PULL_PERIOD 1000000ll           /* how often interrupts are asked of the kernel, ns */
/* The kernel ran at least this long before it failed again: it is worth its while. */
#define GOOD_RUN    4

static __thread KvmCpu *current;

KvmCpu *kvm_cpu(CPU *c)
{
    return c->accel_cpu;
}

/* ---- creation -------------------------------------------------------------------------- */

static void on_kick(int sig)
{
    if (current) {
        current->run->immediate_exit = 1;
    }
}

static void install_handler(void)
{
    struct sigaction sa = { .sa_handler = on_kick };
    sigset_t set;

    sigfillset(&sa.sa_mask);
    sigaction(SIG_KICK, &sa, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIG_KICK);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static bool open_vcpu(KvmCpu *k, Error **err)
{
    int n = k->cpu->index;

    k->fd = kvm_ioctl(kvm.vm, KVM_CREATE_VCPU, (void *)(uintptr_t)kvm_target.vcpu_id(k->cpu));
    if (k->fd < 0) {
        return fail_errno(err, -k->fd, "KVM has no CPU %d (it recommends up to %d; see -smp)", n,
                          kvm_cap(KVM_CAP_NR_VCPUS));
    }
    k->run = mmap(NULL, kvm.run_size, PROT_READ | PROT_WRITE, MAP_SHARED, k->fd, 0);
    if (k->run == MAP_FAILED) {
        int e = errno;
        close(k->fd);
        return fail_errno(err, e, "can't map the shared page of CPU %d", n);
    }
    return true;
}

/* Ends the kernel's turn by a kick. */
static void make_timer(KvmCpu *k)
{
    struct sigevent ev = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIG_KICK };

    ev._sigev_un._tid = k->cpu->thread_id;
    k->timed = kvm.turns && timer_create(CLOCK_MONOTONIC, &ev, &k->timer) == 0;
}

static void start_timer(KvmCpu *k)
{
    struct itimerspec t = { .it_value.tv_nsec = KERNEL_TURN };
    timer_settime(k->timer, 0, &t, NULL);
}

/* The kernel keeps a CPU as long as the machine lives, so it is kept here too while another
 * accelerator runs it. [bql] */
static GHashTable *parked;              /* CPU * to KvmCpu * */

static KvmCpu *new_vcpu(CPU *c, Error **err)
{
    KvmCpu *k = g_new0(KvmCpu, 1);

    k->cpu = c;
    k->thread = pthread_self();
    if (!open_vcpu(k, err)) {
        g_free(k);
        return NULL;
    }
    c->accel_cpu = k;                   /* the target's MSRs go this way */
    if (!kvm_target.cpu_create(k, err)) {
        c->accel_cpu = NULL;
        munmap(k->run, kvm.run_size);
        close(k->fd);
        g_free(k);
        return NULL;
    }
    make_timer(k);
    kvm_coalesced_cpu(k);
    return k;
}

bool kvm_cpu_create(CPU *c, Error **err)
{
    KvmCpu *k = parked ? g_hash_table_lookup(parked, c) : NULL;

    if (!k && !(k = new_vcpu(c, err))) {
        return false;
    }
    k->slice = SLICE_MIN;
    k->left_at = k->runs_seen = 0;
    k->unfinished = false;
    k->here = k->stored = true;
    k->level = STATE_FULL;
    c->engine = tcg_target.state(c);
    tlb_init_cpu(c);
    tcg_follow_bql();
    current = k;
    install_handler();
    kvm_target.thread_init(k);
    c->accel_cpu = k;
    c->sleeps_inside = kvm.irqchip != KVM_IRQCHIP_OFF;
    return true;
}

void kvm_cpu_destroy(CPU *c)
{
    KvmCpu *k = kvm_cpu(c);

    kvm_cpu_get_state(c);
    if (!parked) {
        parked = g_hash_table_new(NULL, NULL);
    }
    g_hash_table_insert(parked, c, k);
    c->accel_cpu = NULL;
    c->sleeps_inside = false;
    current = NULL;
    bql_set_hooks(NULL, NULL, NULL);
    tlb_destroy_cpu(c);
    c->engine = NULL;
}

/* Before a look at CPU.request.  A kick that comes after the look finds the flag clear, and it
 * stays set; so nothing need be ordered when it is clear already. */
static void listen_for_kicks(KvmCpu *k)
{
    if (__atomic_load_n(&k->run->immediate_exit, __ATOMIC_RELAXED)) {
        __atomic_store_n(&k->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
    }
}

/* Never when the vCPU was already told and has not looked yet. */
void kvm_cpu_kick(CPU *c)
{
    KvmCpu *k = kvm_cpu(c);

    if (k && !__atomic_exchange_n(&k->run->immediate_exit, 1, __ATOMIC_SEQ_CST)) {
        pthread_kill(k->thread, SIG_KICK);
    }
}

/* ---- registers ------------------------------------------------------------------------- */

/*
 * Registers are those of an instruction boundary only when the kernel has taken the outcome of the
 * access it came back for.  A string instruction, or an access in pieces, then comes back with the
 * next one, a thousand times at most.  do_it: this one is as real as the first was.
 */
static void finish_access(KvmCpu *k, bool do_it)
{
    const struct kvm_run *run = k->run;

    while (k->unfinished) {
        k->unfinished = false;
        __atomic_store_n(&k->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
        if (ioctl(k->fd, KVM_RUN, 0) < 0
            || (run->exit_reason != KVM_EXIT_IO && run->exit_reason != KVM_EXIT_MMIO)) {
            return;
        }
        kvm_coalesced_flush();
        if (!do_it) {
            k->unfinished = true;
        } else if (run->exit_reason == KVM_EXIT_IO) {
            kvm_do_io(k);
        } else {
            kvm_do_mmio(k);
        }
    }
}

static bool fetch(KvmCpu *k)
{
    Error *err = NULL;

    if (k->here) {
        return true;
    }
    finish_access(k, true);
    if (!kvm_target.get(k, &err)) {
        error_report("kvm: CPU %d: %s", k->cpu->index, err->message);
        g_error_free(err);
        return false;
    }
    k->here = true;
    k->level = STATE_RUNTIME;
    return true;
}

static bool put(KvmCpu *k, Error **err)
{
    if (!k->here) {
        return true;
    }
    if (kvm.shadow && k->stored) {
        k->stored = false;
        kvm_slots_drop_shadow();
    }
    if (!kvm_target.put(k, k->level, err)) {
        return false;
    }
    k->here = false;
    return true;
}

void kvm_cpu_get_state(CPU *c)
{
    KvmCpu *k = kvm_cpu(c);
    if (k) {
        fetch(k);
    }
}

bool kvm_cpu_put_state(CPU *c, StateLevel what, Error **err)
{
    KvmCpu *k = kvm_cpu(c);

    if (!k) {
        return true;                    /* not made yet: everything is put when it is */
    }
    if (!k->here) {
        finish_access(k, false);        /* of a guest that is no more */
    }
    k->here = true;
    k->level = MAX(k->level, what);
    tcg_tlb_flush(c);
    return true;                        /* the next run puts it, or lets the interpreter go on */
}

/* ---- the interpreter's turn -------------------------------------------------------------- */

static int64_t now_ns(void)
{
    return g_get_monotonic_time() * 1000;
}

static void adapt(KvmCpu *k, int64_t now)
{
    int64_t kernel_had = now - k->left_at;

    if (k->timed || kernel_had < GOOD_RUN * k->slice) {
        k->slice = MIN(k->slice * 2, SLICE_MAX);
    } else {
        k->slice = MAX(k->slice / 2, SLICE_MIN);
    }
}

/*
 * The kernel's stores tell nobody that they hit code which blocks were made from (the software
 * TLB goes when registers are fetched).  Nothing is stale if no vCPU was in the kernel since.
 */
static void drop_stale_blocks(KvmCpu *k)
{
    uint64_t runs = 0;
    bool inside = false;

    for (guint n = 0; n < cpus->len; n++) {
        const KvmCpu *other = kvm_cpu(cpu_by_index(n));
        uint64_t had = other ? __atomic_load_n(&other->runs, __ATOMIC_SEQ_CST) : 0;
        inside |= had & 1;
        runs += had;
    }
    if (runs != k->runs_seen || inside) {
        block_flush_all();
        k->runs_seen = runs;
    }
}

/* A chip that the kernel has? */
static bool kernels_chip(AddressSpace *as, hwaddr addr)
{
    MemSection s;

    return kvm.irqchip && address_space_lookup(as, addr, &s) && s.region && s.region->chip
           && (s.region->chip != REGION_CHIP_BOARD || kvm.irqchip == KVM_IRQCHIP_ON);
}

bool kvm_io_hook(CPU *c, AddressSpace *as, hwaddr addr, unsigned size, bool write, uint64_t *val)
{
    KvmCpu *k = kvm_cpu(c);

    kvm_coalesced_flush();
    if (!kernels_chip(as, addr) || !k || !k->here
        || !kvm_target.chip_access(k, as == c->as_io, addr, size, write, val)) {
        return false;
    }
    if (write) {
        kvm_poke();                     /* it may have been an EOI, or have sent an interrupt */
    }
    return true;
}

void kvm_poke(void)
{
    for (guint n = 0; kvm.irqchip && n < cpus->len; n++) {
        KvmCpu *k = kvm_cpu(cpu_by_index(n));
        int64_t until = k ? __atomic_load_n(&k->until, __ATOMIC_RELAXED) : 0;
        if (until > 0) {
            __atomic_compare_exchange_n(&k->until, &until, 0, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
        }
    }
}

static ExitReason assist(KvmCpu *k)
{
    CPU *c = k->cpu;
    int64_t start = now_ns();

    if (!fetch(k)) {
        return EXIT_ERROR;
    }
    adapt(k, start);
    drop_stale_blocks(k);
    k->assists++;
    k->stored = true;
    int64_t slice = c->sleeps_inside ? MIN(k->slice, PULL_PERIOD) : k->slice;
    __atomic_store_n(&k->until, start + slice, __ATOMIC_RELAXED);
    ExitReason why = tcg_run_slice(c, &k->until, &k->insns);
    __atomic_store_n(&k->until, 0, __ATOMIC_RELAXED);
    k->left_at = now_ns();
    k->assist_ns += k->left_at - start;
    if (why == EXIT_HALTED && c->sleeps_inside) {
        why = EXIT_KICKED;              /* the kernel wakes it */
    }
    if (k->timed && why == EXIT_KICKED) {
        start_timer(k);
    }
    return why;
}

/* ---- exits ----------------------------------------------------------------------------- */

bool kvm_access_registers(CPU *c)
{
    KvmCpu *k = kvm_cpu(c);
    Error *err = NULL;

    if (k->here || k->lent) {
        return true;
    }
    k->lent = kvm_target.get_general(k, &err);
    if (!k->lent) {
        error_report("kvm: CPU %d: %s", c->index, err->message);
        g_error_free(err);
    }
    return k->lent;
}

/* What a device left in them goes to the kernel, which only now finishes the instruction. */
static void take_registers_back(KvmCpu *k)
{
    Error *err = NULL;

    if (k->lent && !kvm_target.put_general(k, &err)) {
        error_report("kvm: CPU %d: %s", k->cpu->index, err->message);
        g_error_free(err);
    }
    k->lent = false;
}

void kvm_do_io(KvmCpu *k)
{
    const struct kvm_run *run = k->run;
    uint8_t *data = (uint8_t *)run + run->io.data_offset;
    unsigned size = run->io.size, port = run->io.port;
    AddressSpace *as = k->cpu->as_io;

    k->exits_io++;
    for (uint32_t n = 0; n < run->io.count; n++, data += size) {
        uint32_t val = 0;
        if (run->io.direction == KVM_EXIT_IO_IN) {
            val = address_space_ld(as, port, size);
            memcpy(data, &val, size);
        } else {
            memcpy(&val, data, size);
            address_space_st(as, port, val, size);
        }
    }
    take_registers_back(k);
    k->unfinished = true;
}

/* Lengths are 1 to 8; odd ones come from accesses that cross pages. */
void kvm_do_mmio(KvmCpu *k)
{
    struct kvm_run *run = k->run;
    unsigned len = MIN(run->mmio.len, 8u);
    hwaddr at = run->mmio.phys_addr;
    AddressSpace *as = kvm_target.as(k);
    uint64_t val = 0;

    k->exits_mmio++;
    if (len & (len - 1)) {
        if (run->mmio.is_write) {
            address_space_write(as, at, run->mmio.data, len);
        } else {
            address_space_read(as, at, run->mmio.data, len);
        }
    } else if (run->mmio.is_write) {
        memcpy(&val, run->mmio.data, len);
        address_space_st(as, at, val, len);
    } else {
        val = address_space_ld(as, at, len);
        memcpy(run->mmio.data, &val, len);
    }
    take_registers_back(k);
    k->unfinished = true;
}

static void report_state(KvmCpu *k)
{
    GString *s = g_string_new(NULL);

    k->cpu->ops->dump(k->cpu, s, false);
    g_string_append(s, "Code=");
    uint64_t pc = k->cpu->ops->pc(k->cpu);
    for (int n = -16; n < 32; n++) {
        hwaddr pa;
        if (k->cpu->ops->translate(k->cpu, pc + n, &pa)) {
            unsigned byte = address_space_ld(kvm_target.as(k), pa, 1);
            g_string_append_printf(s, n ? "%02x " : "<%02x> ", byte);
        } else {
            g_string_append(s, "?? ");
        }
    }
    fprintf(stderr, "%s\n", s->str);
    g_string_free(s, TRUE);
}

static ExitReason give_up(KvmCpu *k, const char *what, uint64_t code)
{
    error_report("kvm: CPU %d: %s %" PRIu64 "; the machine is paused", k->cpu->index, what, code);
    if (fetch(k)) {
        bql_lock();
        report_state(k);
        bql_unlock();
    }
    return EXIT_ERROR;
}

static ExitReason do_halt(KvmCpu *k)
{
    bql_lock();
    kvm_target.halted(k);
    bql_unlock();
    return EXIT_HALTED;
}

/* The interpreter does what the kernel could not, and goes on. */
static bool do_assist(KvmCpu *k, ExitReason *why)
{
    *why = kvm_target.kernels_alone(k)
           ? give_up(k, "the kernel can't emulate an instruction of a nested guest, suberror",
                     k->run->internal.suberror) : assist(k);
    return *why == EXIT_KICKED;
}

/*
 * A triple fault.  Software KVMs were seen to report one where the guest did nothing wrong
 * (32-bit paging): the interpreter does the instruction again, and if it is a triple fault
 * there too, it is one.
 */
static bool do_shutdown(KvmCpu *k, ExitReason *why)
{
    if (!kvm.software || !fetch(k) || !kvm_target.doubt(k)) {
        *why = EXIT_RESET;
        return false;
    }
    return do_assist(k, why);
}

static bool do_debug(KvmCpu *k, ExitReason *why)
{
    switch (kvm_target.debug_exit(k)) {
    case KVM_GO_ON:
        return true;
    case KVM_INTERPRET:
        return do_assist(k, why);
    default:
        *why = EXIT_DEBUG;
        return false;
    }
}

/* false: leave run() with *why */
static bool handle_exit(KvmCpu *k, ExitReason *why)
{
    const struct kvm_run *run = k->run;

    kvm_coalesced_flush();
    switch (run->exit_reason) {
    case KVM_EXIT_IO:
        kvm_do_io(k);
        return true;
    case KVM_EXIT_MMIO:
        kvm_do_mmio(k);
        return true;
    case KVM_EXIT_INTR: case KVM_EXIT_IRQ_WINDOW_OPEN:
        return true;
    case KVM_EXIT_DEBUG:
        if (k->stepping) {
            k->stepping = false;
            return true;
        }
        return do_debug(k, why);
    case KVM_EXIT_HLT:
        *why = do_halt(k);
        return false;
    case KVM_EXIT_SHUTDOWN:
        return do_shutdown(k, why);
    case KVM_EXIT_INTERNAL_ERROR:
        if (run->internal.suberror != KVM_INTERNAL_ERROR_EMULATION) {
            for (unsigned n = 0; n < MIN(run->internal.ndata, 16u); n++) {
                error_report("kvm: extra data[%u]: %#018" PRIx64, n, (uint64_t)run->internal.data[n]);
            }
            *why = give_up(k, "KVM internal error, suberror", run->internal.suberror);
            return false;
        }
        return do_assist(k, why);
    case KVM_EXIT_FAIL_ENTRY:
        *why = give_up(k, "the hardware refused to run the guest, reason",
                       run->fail_entry.hardware_entry_failure_reason);
        return false;
    }
    switch (kvm_target.exit(k)) {
    case KVM_GO_ON:
        return true;
    case KVM_INTERPRET:
        *why = assist(k);
        return *why == EXIT_KICKED;
    default:
        *why = give_up(k, "unknown exit reason", run->exit_reason);
        return false;
    }
}

/* ---- the loop -------------------------------------------------------------------------- */

static bool enter_kernel(KvmCpu *k, ExitReason *why)
{
    Error *err = NULL;

    if (!put(k, &err)) {
        error_report("kvm: CPU %d: %s", k->cpu->index, err->message);
        g_error_free(err);
        *why = EXIT_ERROR;
        return false;
    }
    kvm_target.before_run(k);
    k->unfinished = false;
    __atomic_store_n(&k->runs, k->runs + 1, __ATOMIC_RELEASE);
    int res = ioctl(k->fd, KVM_RUN, 0), e = errno;
    __atomic_store_n(&k->runs, k->runs + 1, __ATOMIC_RELEASE);
    k->exits++;
    kvm_target.after_run(k);
    if (res >= 0) {
        return handle_exit(k, why);
    }
    if (e == EINTR || e == EAGAIN) {
        k->kicks++;
        return true;
    }
    *why = give_up(k, "KVM_RUN failed, error", e);
    return false;
}

/* Out of HLT, if there is a reason to. */
static bool woken(CPU *c)
{
    bql_lock();
    c->halted = !c->ops->has_work(c);
    bql_unlock();
    return !c->halted;
}

/*
 * The interpreter keeps the vCPU though the kernel has its local APIC.  Nobody tells when an
 * interrupt comes there, but by kvm_poke: asked once in a PULL_PERIOD.
 */
static ExitReason keep(KvmCpu *k)
{
    CPU *c = k->cpu;
    Error *err = NULL;

    if (!fetch(k)) {
        return EXIT_ERROR;
    }
    if (!c->debug_step) {
        bool ok = kvm_target.pull(k, &err), sleeps = ok && c->halted && !woken(c);
        if (!ok || (sleeps && !kvm_target.wait(k, &err))) {
            error_report("kvm: CPU %d: %s", c->index, err->message);
            g_error_free(err);
            return EXIT_ERROR;
        }
        if (sleeps) {
            return EXIT_KICKED;
        }
    }
    return assist(k);
}

/* One instruction by the kernel, after whatever it waits for first.  The registers are fetched
 * after it, or when somebody else wants the vCPU. */
static ExitReason step_in_kernel(KvmCpu *k)
{
    ExitReason why = EXIT_KICKED;
    Error *err = NULL;

    if (!put(k, &err) || !kvm_target.step(k, true)) {
        error_report("kvm: CPU %d: can't single-step%s%s", k->cpu->index, err ? ": " : "",
                     err ? err->message : "");
        g_clear_error(&err);
        return EXIT_ERROR;
    }
    k->stepping = true;
    while (k->stepping && enter_kernel(k, &why) && !(cpu_pending(k->cpu) & CPU_REQ_EXIT)) {
        listen_for_kicks(k);
    }
    k->stepping = false;
    kvm_target.step(k, false);
    return fetch(k) ? why : EXIT_ERROR;
}

/* Steps of a debugger's are the interpreter's; so are its breakpoints where it has turns, and
 * where the CPU has no register for one. */
static bool kvm_debug_interprets(const CPU *c)
{
    return unlikely(c->debug_step || (debug_points && (kvm.turns || kvm.debug_interprets)));
}

/* The list changed. [bql, vCPUs stopped] */
bool kvm_breakpoint(CPU *c, BpOp op, uint64_t addr, unsigned len, int type)
{
    KvmCpu *k = kvm_cpu(c);

    if (!k) {
        return false;
    }
    k->debug_changed = true;
    block_flush_all();
    return kvm.turns || kvm_target.breakpoint(k, op, addr, type);
}

/* Whatever the registers are. */
static bool interpreter_is_due(KvmCpu *k)
{
    return (kvm_debug_interprets(k->cpu) || unlikely(__atomic_load_n(&kvm.homeless, __ATOMIC_RELAXED))
            || (k->timed && k->left_at && now_ns() - k->left_at >= KERNEL_TURN))
           && !kvm_target.kernels_alone(k);
}

static ExitReason loop(KvmCpu *k)
{
    CPU *c = k->cpu;
    ExitReason why = EXIT_KICKED;

    for (;;) {
        listen_for_kicks(k);
        uint32_t req = cpu_pending(c);
        if (req & CPU_REQ_EXIT) {
            return EXIT_KICKED;
        }
        cpu_clear_request(c, req & (CPU_REQ_TLB | CPU_REQ_SYNC | CPU_REQ_STEP));
        if (unlikely(k->debug_changed)) {
            k->debug_changed = false;
            kvm_target.step(k, false);
            tcg_tlb_flush(c);           /* watched pages have marks there */
        }
        if (kvm_target.starts_in_kernel(k)) {
            why = step_in_kernel(k);
            if (why != EXIT_KICKED) {
                return why;
            }
        } else if (kvm_target.wants_interpreter(k, req) || interpreter_is_due(k)) {
            why = c->sleeps_inside ? keep(k) : assist(k);
            if (why != EXIT_KICKED) {
                return why;
            }
        } else if (c->halted && !c->sleeps_inside && !woken(c)) {
            return EXIT_HALTED;
        } else if (!enter_kernel(k, &why)) {
            return why;
        }
    }
}

ExitReason kvm_cpu_run(CPU *c)
{
    KvmCpu *k = kvm_cpu(c);
    ExitReason why = loop(k);

    kvm_coalesced_flush();
    /* A machine that stands still is looked at by everybody. */
    if (why == EXIT_DEBUG || why == EXIT_ERROR || c->stop) {
        fetch(k);
        k->level = STATE_FULL;          /* clocks too, which stand still meanwhile */
    }
    return why;
}
