/* SPDX-License-Identifier: MIT */
/*
 * -accel kvm: opening /dev/kvm, what kind it is, and what it tells of itself.
 *
 * Two kinds.  With virtualization hardware (vmx or svm among the flags of /proc/cpuinfo) the
 * guest's instructions are the host's.  A kernel can also offer the interface without it; then
 * most guest code goes through the kernel's instruction emulator, and native code of -accel
 * tcg is faster.
 */
#include "accel/kvm/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "accel/tcg/exec.h"

typedef struct KvmOptions {
    int irqchip;
    int turns;
} KvmOptions;

#define IRQCHIP_AUTO 3                  /* else a KvmIrqchip */

static const char *const irqchips[] = { "off", "split", "on", "auto", NULL };

static const Prop kvm_props[] = {
    PROP_ENUM("kernel-irqchip", KvmOptions, irqchip, IRQCHIP_AUTO, irqchips,
              "interrupt controllers in the kernel: all, or the local APICs alone (split); auto: "
              "on, but off where the interpreter has turns"),
    PROP_ONOFFAUTO("turns", KvmOptions, turns, 2,
                   "let the interpreter have turns where the kernel would be slower; auto: with "
                   "software KVM"),
    PROP_DONE
};

KvmVm kvm = { .fd = -1, .vm = -1 };

int kvm_ioctl(int fd, unsigned long request, const void *arg)
{
    int res;
    do {
        res = ioctl(fd, request, arg);
    } while (res < 0 && errno == EINTR);
    return res < 0 ? -errno : res;
}

bool kvm_told(int res, const char *what)
{
    if (res < 0) {
        error_report("kvm: %s: %s", what, g_strerror(-res));
    }
    return res >= 0;
}

int kvm_cap(int cap)
{
    int res = kvm_ioctl(kvm.vm >= 0 ? kvm.vm : kvm.fd, KVM_CHECK_EXTENSION, (void *)(intptr_t)cap);
    return MAX(res, 0);
}

bool kvm_enable_cap(uint32_t cap, uint64_t arg)
{
    struct kvm_enable_cap c = { .cap = cap, .args = { arg } };
    return kvm_ioctl(kvm.vm, KVM_ENABLE_CAP, &c) >= 0;
}

static int open_device(Error **err)
{
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC), e = errno;

    if (fd >= 0) {
        return fd;
    }
    switch (e) {
    case ENOENT:
        fail(err, "there is no /dev/kvm: load the module kvm_intel or kvm_amd (in a virtual "
             "machine, switch nested virtualization on), or use -accel tcg");
        break;
    case EACCES: case EPERM:
        fail(err, "no permission to open /dev/kvm: become a member of its group (usually 'kvm'), "
             "or use -accel tcg");
        break;
    default:
        fail_errno(err, e, "can't open /dev/kvm (virtualization may be disabled in the "
                   "firmware; -accel tcg works without)");
    }
    return -1;
}

/* What nothing can be done without. */
static const struct {
    int cap;
    const char *name;
} needed[] = {
    { KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY" }, { KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID" },
    { KVM_CAP_SYNC_MMU, "KVM_CAP_SYNC_MMU" }, { KVM_CAP_VCPU_EVENTS, "KVM_CAP_VCPU_EVENTS" },
    { KVM_CAP_DEBUGREGS, "KVM_CAP_DEBUGREGS" }, { KVM_CAP_MP_STATE, "KVM_CAP_MP_STATE" },
    { KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT" },
};

static bool check_device(int fd, Error **err)
{
    int version = ioctl(fd, KVM_GET_API_VERSION, 0);

    if (version < 0) {
        return fail(err, "/dev/kvm is there, but no KVM answers: load kvm_intel or kvm_amd, or use "
                    "-accel tcg");
    }
    if (version != KVM_API_VERSION) {
        return fail(err, "/dev/kvm speaks version %d, not %d; use -accel tcg", version,
                    KVM_API_VERSION);
    }
    for (unsigned n = 0; n < G_N_ELEMENTS(needed); n++) {
        if (ioctl(fd, KVM_CHECK_EXTENSION, needed[n].cap) <= 0) {
            return fail_class(err, ERR_KVM_MISSING_CAP, "this kernel's KVM lacks %s: take a "
                              "newer kernel, or -accel tcg", needed[n].name);
        }
    }
    return true;
}

static bool kvm_available(Error **err)
{
    int fd = open_device(err);
    bool ok = fd >= 0 && check_device(fd, err);

    if (fd >= 0) {
        close(fd);
    }
    return ok;
}

/* No virtualization hardware among the host's CPU flags? */
static bool is_software(void)
{
    char *text;
    bool hardware = false;

    if (g_file_get_contents("/proc/cpuinfo", &text, NULL, NULL)) {
        const char *flags = strstr(text, "\nflags");
        const char *end = flags ? strchr(flags + 1, '\n') : NULL;
        if (end) {
            g_autofree char *line = g_strndup(flags, end - flags);
            g_strdelimit(line, "\n\t", ' ');
            g_autofree char *words = g_strconcat(line, " ", NULL);
            hardware = strstr(words, " vmx ") || strstr(words, " svm ");
        }
        g_free(text);
    }
    return !hardware;
}

/* Does the hardware walk the guest's page tables itself? */
static bool nested_paging(void)
{
    static const char *const switches[] = {
        "/sys/module/kvm_intel/parameters/ept", "/sys/module/kvm_amd/parameters/npt",
    };
    for (unsigned n = 0; n < G_N_ELEMENTS(switches); n++) {
        char *text;
        if (g_file_get_contents(switches[n], &text, NULL, NULL)) {
            bool on = *text == 'Y' || *text == '1';
            g_free(text);
            return on;
        }
    }
    return true;
}

static AccelSpeed kvm_speed(const char **why)
{
    if (is_software()) {
        *why = "software KVM";
        return SPEED_SOFTWARE_KVM;
    }
    *why = "hardware virtualization";
    return SPEED_HARDWARE;
}

static bool create_vm(Error **err)
{
    kvm.fd = open_device(err);
    if (kvm.fd < 0 || !check_device(kvm.fd, err)) {
        return false;
    }
    kvm.vm = kvm_ioctl(kvm.fd, KVM_CREATE_VM, NULL);
    if (kvm.vm < 0) {
        int e = -kvm.vm;
        kvm.vm = -1;
        return fail_errno(err, e, e == EBUSY ? "KVM can't make a virtual machine (another "
                          "hypervisor has the CPU)" : "KVM can't make a virtual machine");
    }
    kvm_slots_probe();
    kvm.run_size = MAX(kvm_ioctl(kvm.fd, KVM_GET_VCPU_MMAP_SIZE, NULL), 0);
    return true;
}

static void close_all(void)
{
    if (kvm.vm >= 0) {
        close(kvm.vm);
    }
    if (kvm.fd >= 0) {
        close(kvm.fd);
    }
    kvm.fd = kvm.vm = -1;
}

static bool kvm_init(struct Machine *m, void *opts, Error **err)
{
    kvm.software = is_software();
    const KvmOptions *o = opts;
    kvm.shadow = kvm.software || !nested_paging();
    int irqchip = o ? o->irqchip : IRQCHIP_AUTO;
    kvm.turns = o && o->turns != 2 ? o->turns : kvm.software;
    /* The interpreter gets at interrupts and chips of the kernel's only by way of the kernel. */
    kvm.irqchip = irqchip != IRQCHIP_AUTO ? irqchip : kvm.turns ? KVM_IRQCHIP_OFF : KVM_IRQCHIP_ON;
    if (!create_vm(err) || !kvm_target.init(err)) {
        close_all();
        return false;
    }
#ifdef KVM_CAP_EXIT_ON_EMULATION_FAILURE
    kvm.emulation_exit = kvm_cap(KVM_CAP_EXIT_ON_EMULATION_FAILURE)
                         && kvm_enable_cap(KVM_CAP_EXIT_ON_EMULATION_FAILURE, 1);
#endif
    if (!tcg_engine_init(0, TCG_INTERP, err)) {
        close_all();
        return false;
    }
    kvm.late = cpus->len > 0;
    kvm_slots_init();
    kvm_eventfd_init();
    return true;
}

static void kvm_active(bool on)
{
    kvm_target.active(on);
    kvm_eventfd_active(on);
    kvm_coalesced_active(on);
    tcg_io_hook = on ? kvm_io_hook : NULL;
}

static void kvm_info(GString *out)
{
    g_string_append_printf(out, "kind: %s\n", kvm.software
        ? "software (no vmx or svm in /proc/cpuinfo: the kernel emulates guest code)"
        : "hardware virtualization");
    static const char *const where[] = {
        "in the emulator (kernel-irqchip=off)",
        "local APICs in the kernel, others in the emulator (kernel-irqchip=split)",
        "in the kernel (kernel-irqchip=on)",
    };
    g_string_append_printf(out, "interrupt controllers: %s\n", where[kvm.irqchip]);
    kvm_slots_info(out);
    kvm_coalesced_info(out);
    kvm_eventfd_info(out);
    for (guint n = 0; n < cpus->len; n++) {
        const KvmCpu *k = kvm_cpu(cpu_by_index(n));
        if (k) {
            g_string_append_printf(out, "CPU %u: exits %" PRIu64 " (ports %" PRIu64 ", memory %"
                PRIu64 ", kicks %" PRIu64 "), assists %" PRIu64 ": %" PRIu64
                " instructions in %.3f s\n", n, k->exits, k->exits_io, k->exits_mmio, k->kicks,
                k->assists, k->insns, k->assist_ns / 1e9);
        }
    }
    if (kvm_target.info) {
        kvm_target.info(out);
    }
}

static const Accel kvm_accel = {
    .name = "kvm",
    .desc = "runs guest code by the host's kernel (/dev/kvm)",
    .size = sizeof(KvmOptions),
    .props = kvm_props,
    .available = kvm_available,
    .speed = kvm_speed,
    .init = kvm_init,
    .active = kvm_active,
    .cpu_create = kvm_cpu_create,
    .cpu_destroy = kvm_cpu_destroy,
    .run = kvm_cpu_run,
    .kick = kvm_cpu_kick,
    .get_state = kvm_cpu_get_state,
    .put_state = kvm_cpu_put_state,
    .access_registers = kvm_access_registers,
    .breakpoint = kvm_breakpoint,
    .info = kvm_info,
};
ACCEL(kvm_accel);
