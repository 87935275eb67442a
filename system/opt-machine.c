/* SPDX-License-Identifier: MIT */
/*
 * Options about the machine itself: board, processor, memory, firmware, what to boot.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "system/cmdline.h"
#include "system/firmware.h"
#include "system/options.h"
#include "util/opts.h"
#include "util/parse.h"

/* ---- -machine, -accel ---------------------------------------------------------------- */

/* As in QEMU, names may be written with underscores. */
static void take_machine_prop(const char *written, const char *value, void *opaque)
{
    g_autofree char *name = g_strdelimit(g_strdup(written), "_", '-');

    if (!strcmp(name, "type")) {
        g_free(config.machine_type);
        config.machine_type = g_strdup(value);
    } else if (!strcmp(name, "memory-backend")) {
        g_free(config.memory_backend);
        config.memory_backend = g_strdup(value);
    } else if (!strcmp(name, "kernel-irqchip")) {
        g_free(config.kernel_irqchip);
        config.kernel_irqchip = g_strdup(value);
    } else {
        char *text = g_strdup_printf("%s=%s", name, value);
        g_ptr_array_add(config.machine_props, arg_new("-machine", text));
        g_free(text);
    }
}

static bool opt_machine(const Option *o, const char *arg, Error **err)
{
    if (!strcmp(arg, "help") || !strcmp(arg, "?")) {
        config.help_machines = true;
        return true;
    }
    g_autoptr(Opts) opts = opts_parse("-machine", arg, "type", NULL, err);
    if (!opts) {
        return false;
    }
    opts_foreach(opts, take_machine_prop, NULL);
    return true;
}

static bool opt_machine_prop(const Option *o, const char *arg, Error **err)
{
    g_ptr_array_add(config.machine_props, arg_new("-machine", o->with));
    return true;
}

static bool opt_enable_kvm(const Option *o, const char *arg, Error **err)
{
    g_ptr_array_add(config.accels, arg_new("-enable-kvm", "kvm"));
    return true;
}

static bool opt_cpu(const Option *o, const char *arg, Error **err)
{
    if (!strcmp(arg, "help") || !strcmp(arg, "?")) {
        config.help_cpus = true;
        return true;
    }
    return option_string(o, arg, err);
}

/* ---- -smp, -m ---------------------------------------------------------------------------- */

/*
 * What is not given follows from what is: threads and sockets default to one, and cores fill
 * up to maxcpus (QEMU's rule since 6.2: more cores are more likely meant than more sockets).
 */
static bool complete_topology(uint64_t cpus, uint64_t max, uint64_t sockets, uint64_t cores,
                              uint64_t threads, Error **err)
{
    uint64_t want = max ? max : cpus;
    if (!want) {
        sockets = sockets ? sockets : 1;
        cores = cores ? cores : 1;
        threads = threads ? threads : 1;
        want = sockets * cores * threads;
    } else if (!cores) {
        sockets = sockets ? sockets : 1;
        threads = threads ? threads : 1;
        cores = want / (sockets * threads);
    } else if (!sockets) {
        threads = threads ? threads : 1;
        sockets = want / (cores * threads);
    } else if (!threads) {
        threads = want / (sockets * cores);
    }
    cpus = cpus ? cpus : want;
    if (sockets * cores * threads != want) {
        return fail(err, "sockets (%" G_GUINT64_FORMAT ") * cores (%" G_GUINT64_FORMAT ") * threads (%"
                    G_GUINT64_FORMAT ") is not %s (%" G_GUINT64_FORMAT ")", sockets, cores, threads,
                    max ? "maxcpus" : "the number of CPUs", want);
    }
    if (cpus > want) {
        return fail(err, "maxcpus (%" G_GUINT64_FORMAT ") is below the number of CPUs (%"
                    G_GUINT64_FORMAT ")", want, cpus);
    }
    config.m.smp_cpus = cpus;
    config.m.smp_max = want;
    config.m.smp_sockets = sockets;
    config.m.smp_cores = cores;
    config.m.smp_threads = threads;
    return true;
}

static bool opt_smp(const Option *o, const char *arg, Error **err)
{
    g_autoptr(Opts) opts = opts_parse("-smp", arg, "cpus", NULL, err);
    uint64_t cpus, max, sockets, cores, threads, ones;
    /* 0 stands for "not given"; more than 4096 of anything no board takes */
    return opts && opts_uint(opts, "cpus", 0, 1, 4096, &cpus, err)
           && opts_uint(opts, "maxcpus", 0, 1, 4096, &max, err)
           && opts_uint(opts, "sockets", 0, 1, 4096, &sockets, err)
           && opts_uint(opts, "cores", 0, 1, 4096, &cores, err)
           && opts_uint(opts, "threads", 0, 1, 4096, &threads, err)
           && opts_uint(opts, "dies", 1, 1, 1, &ones, err)
           && opts_uint(opts, "clusters", 1, 1, 1, &ones, err)
           && opts_check_unused(opts, err)
           && complete_topology(cpus, max, sockets, cores, threads, err);
}

static bool memory_size(Opts *opts, const char *name, uint64_t def, uint64_t *out, Error **err)
{
    const char *text = opts_get(opts, name);
    *out = def;
    if (text && !parse_size(text, 1 << 20, out)) {
        return fail(err, "%s=%s: not a size (a number of MiB, or with suffix K, M, G or T)", name, text);
    }
    if (text && !*out) {
        return fail(err, "%s=%s: a machine needs memory", name, text);
    }
    if (*out > UINT64_MAX - GUEST_PAGE_SIZE) {
        return fail(err, "%s=%s: too much", name, text);
    }
    *out = (*out + GUEST_PAGE_SIZE - 1) & GUEST_PAGE_MASK;
    return true;
}

static bool opt_memory(const Option *o, const char *arg, Error **err)
{
    g_autoptr(Opts) opts = opts_parse("-m", arg, "size", NULL, err);
    uint64_t size, max, slots;
    if (!opts || !memory_size(opts, "size", config.m.ram_size, &size, err)
        || !memory_size(opts, "maxmem", 0, &max, err)
        || !opts_uint(opts, "slots", 0, 0, 256, &slots, err) || !opts_check_unused(opts, err)) {
        return false;
    }
    if (slots) {
        return fail(err, "slots=%" G_GUINT64_FORMAT ": memory can't be plugged in later (slots=0 works)",
                    slots);
    }
    config.m.ram_size = size;
    config.max_ram = max;
    return true;
}

/* ---- firmware and boot --------------------------------------------------------------- */

static bool opt_firmware_dir(const Option *o, const char *arg, Error **err)
{
    if (!strcmp(arg, "help")) {
        GString *s = g_string_new(NULL);
        firmware_list_dirs(s);
        fputs(s->str, stdout);
        exit(0);
    }
    g_ptr_array_add(config.firmware_dirs, g_strdup(arg));
    return true;
}

/* a, b floppies; c hard disk; d CD-ROM; n, o, p network */
static bool check_boot_letters(const char *key, const char *letters, Error **err)
{
    for (const char *p = letters; *p; p++) {
        if (!strchr("abcdnop", *p)) {
            return fail(err, "%s=%s: '%c' is not a boot device (a, b: floppy, c: disk, d: CD-ROM, "
                        "n: network)", key, letters, *p);
        }
        if (memchr(letters, *p, p - letters)) {
            return fail(err, "%s=%s: '%c' is there twice", key, letters, *p);
        }
    }
    return true;
}

static bool take_boot_letters(Opts *opts, const char *key, char **out, Error **err)
{
    const char *letters = opts_get(opts, key);
    if (letters) {
        if (!check_boot_letters(key, letters, err)) {
            return false;
        }
        g_free(*out);
        *out = g_strdup(letters);
    }
    return true;
}

static bool opt_boot(const Option *o, const char *arg, Error **err)
{
    g_autoptr(Opts) opts = opts_parse("-boot", arg, "order", NULL, err);
    Machine *m = &config.m;
    uint64_t splash_time, timeout;
    if (!opts || !take_boot_letters(opts, "order", &m->boot_order, err)
        || !take_boot_letters(opts, "once", &m->boot_once, err)
        || !opts_bool(opts, "menu", m->boot_menu, &m->boot_menu, err)
        || !opts_bool(opts, "strict", m->boot_strict, &m->boot_strict, err)
        || !opts_uint(opts, "splash-time", (uint64_t)-1, 0, 0xffff, &splash_time, err)) {
        return false;
    }
    const char *splash = opts_get(opts, "splash"), *never = opts_get(opts, "reboot-timeout");
    if (never && !strcmp(never, "-1")) {
        timeout = (uint64_t)-1;
    } else if (!opts_uint(opts, "reboot-timeout", m->boot_reboot_timeout, 0, 0xffff, &timeout, err)) {
        return false;
    }
    if (splash) {
        g_free(m->boot_splash);
        m->boot_splash = g_strdup(splash);
    }
    if (splash_time != (uint64_t)-1) {
        m->boot_splash_time = splash_time;
    }
    m->boot_reboot_timeout = (int)timeout;
    return opts_check_unused(opts, err);
}

static bool read_file(const char *path, GBytes **out, Error **err)
{
    char *data;
    gsize len;
    GError *e = NULL;
    if (!g_file_get_contents(path, &data, &len, &e)) {
        fail(err, "%s", e->message);
        g_error_free(e);
        return false;
    }
    *out = g_bytes_new_take(data, len);
    return true;
}

static void add_file(const char *name, GBytes *data)
{
    MachineFile *f = g_new(MachineFile, 1);
    *f = (MachineFile) { g_strdup(name), data };
    g_ptr_array_add(config.m.files, f);
}

static bool opt_fw_cfg(const Option *o, const char *arg, Error **err)
{
    g_autoptr(Opts) opts = opts_parse("-fw_cfg", arg, "name", NULL, err);
    if (!opts) {
        return false;
    }
    const char *name = opts_get(opts, "name"), *file = opts_get(opts, "file");
    const char *string = opts_get(opts, "string");
    GBytes *data;
    if (!opts_check_unused(opts, err)) {
        return false;
    }
    if (!name || !*name || !file == !string) {
        return fail(err, "name= and one of file= and string= are needed");
    }
    /* the directory of fw_cfg has room for 56 bytes with a NUL */
    if (strlen(name) > 55) {
        return fail(err, "the name has more than 55 characters");
    }
    if (!g_str_has_prefix(name, "opt/")) {
        warn_report("-fw_cfg %s: names given by the user should begin with \"opt/\"", arg);
    }
    if (string) {
        data = g_bytes_new(string, strlen(string));
    } else if (!read_file(file, &data, err)) {
        return false;
    }
    add_file(name, data);
    return true;
}

static bool opt_option_rom(const Option *o, const char *arg, Error **err)
{
    g_autoptr(Opts) opts = opts_parse("-option-rom", arg, "romfile", NULL, err);
    if (!opts) {
        return false;
    }
    const char *file = opts_get(opts, "romfile");
    GBytes *data;
    if (!opts_check_unused(opts, err)) {
        return false;
    }
    g_autofree char *path = file ? firmware_find(file) : NULL;
    if (!path) {
        return fail(err, "no such file (looked in the -L directories too)");
    }
    g_autofree char *base = g_path_get_basename(path);
    g_autofree char *name = g_strdup_printf("genroms/%s", base);
    if (strlen(name) > 55) {
        return fail(err, "the file's name has more than 47 characters");
    }
    if (!read_file(path, &data, err)) {
        return false;
    }
    add_file(name, data);
    return true;
}

/* The board reads these: only it knows the fields of its tables. */
static bool opt_table(const Option *o, const char *arg, Error **err)
{
    char *owner = g_strdup_printf("-%s", o->name);
    Opts *opts = opts_parse(owner, arg, NULL, NULL, err);
    g_free(owner);
    if (opts) {
        g_ptr_array_add(*(GPtrArray **)o->where, opts);
    }
    return opts;
}

/* ---- time and identity ------------------------------------------------------------------- */

static bool opt_rtc(const Option *o, const char *arg, Error **err)
{
    g_autoptr(Opts) opts = opts_parse("-rtc", arg, NULL, NULL, err);
    if (!opts) {
        return false;
    }
    char **where[] = { &config.rtc_base, &config.rtc_clock, &config.rtc_driftfix };
    static const char *const keys[] = { "base", "clock", "driftfix" };
    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
        const char *value = opts_get(opts, keys[i]);
        if (value) {
            g_free(*where[i]);
            *where[i] = g_strdup(value);
        }
    }
    return opts_check_unused(opts, err);
}

static bool opt_name(const Option *o, const char *arg, Error **err)
{
    g_autoptr(Opts) opts = opts_parse("-name", arg, "guest", NULL, err);
    bool threads;
    /* threads always have names, which is what debug-threads=on asks for */
    if (!opts || !opts_bool(opts, "debug-threads", true, &threads, err)) {
        return false;
    }
    const char *guest = opts_get(opts, "guest"), *process = opts_get(opts, "process");
    if (guest) {
        g_free(config.m.name);
        config.m.name = g_strdup(guest);
    }
    if (process) {
        g_free(config.process_name);
        config.process_name = g_strdup(process);
    }
    return opts_check_unused(opts, err);
}

static bool opt_uuid(const Option *o, const char *arg, Error **err)
{
    unsigned n = 0;
    const char *p = arg;
    for (; *p && n < 32; p++) {
        if (*p == '-' && (p - arg == 8 || p - arg == 13 || p - arg == 18 || p - arg == 23)) {
            continue;
        }
        if (!g_ascii_isxdigit(*p)) {
            break;
        }
        uint8_t *byte = &config.m.uuid[n / 2];
        *byte = (*byte << 4) | g_ascii_xdigit_value(*p);
        n++;
    }
    if (n != 32 || *p || (p - arg != 36 && p - arg != 32)) {
        return fail(err, "not a UUID (12345678-1234-1234-1234-123456789abc)");
    }
    config.m.uuid_set = true;
    return true;
}

static bool opt_overcommit(const Option *o, const char *arg, Error **err)
{
    g_autoptr(Opts) opts = opts_parse("-overcommit", arg, NULL, NULL, err);
    bool pm;
    if (!opts || !opts_bool(opts, "mem-lock", config.mem_lock, &config.mem_lock, err)
        || !opts_bool(opts, "cpu-pm", false, &pm, err) || !opts_check_unused(opts, err)) {
        return false;
    }
    return !pm || fail(err, "cpu-pm=on: a guest can't idle on the host's CPU by itself here");
}

static const Option table[] = {
    { "machine", "[type=]NAME[,PROP=VALUE...]", "the board and its properties (-machine help)",
      opt_machine },
    { "M", "NAME[,PROP=VALUE...]", "same as -machine", opt_machine },
    { "cpu", "MODEL[,+FEATURE][,-FEATURE]", "processor model (-cpu help)", opt_cpu,
      &config.m.cpu_model },
    { "accel", "[accel=]NAME[,PROP=VALUE...]",
      "how guest code runs (-accel help); given again: what to try next", option_list,
      &config.accels },
    { "enable-kvm", NULL, "same as -accel kvm", opt_enable_kvm },
    { "smp", "[cpus=]N[,maxcpus=N][,sockets=N][,cores=N][,threads=N]",
      "number and arrangement of CPUs", opt_smp },
    { "m", "[size=]MIB", "guest memory in MiB, or with a suffix K, M, G, T", opt_memory },
    { "bios", "FILE", "firmware image", option_string, &config.m.firmware },
    { "L", "DIR", "look here for firmware first (-L help)", opt_firmware_dir },
    { "kernel", "FILE", "boot this kernel directly", option_string, &config.m.kernel },
    { "initrd", "FILE", "initial RAM disk of -kernel", option_string, &config.m.initrd },
    { "append", "TEXT", "command line of -kernel", option_string, &config.m.append },
    { "dtb", "FILE", "device tree of -kernel", option_string, &config.m.dtb },
    { "boot", "[order=LETTERS][,once=LETTERS][,menu=on|off][,splash=FILE][,splash-time=MS]"
      "[,reboot-timeout=MS][,strict=on|off]", "where to boot from: a, b floppy, c disk, d CD-ROM, n network",
      opt_boot },
    { "option-rom", "FILE", "option ROM for the firmware to run", opt_option_rom },
    { "no-fd-bootchk", NULL, "boot floppies without a boot signature", option_flag,
      &config.m.no_fd_bootchk },
    { "fw_cfg", "[name=]NAME,file=FILE | string=TEXT", "a file the guest can read through fw_cfg",
      opt_fw_cfg },
    { "smbios", "file=FILE | type=N[,FIELD=VALUE...]", "fields of the SMBIOS tables", opt_table,
      &config.m.smbios },
    { "acpitable", "[sig=TEXT][,rev=N][,oem_id=TEXT]...,data=FILE | file=FILE", "an ACPI table more",
      opt_table, &config.m.acpitables },
    { "no-acpi", NULL, "same as -machine acpi=off", opt_machine_prop, .with = "acpi=off" },
    { "no-hpet", NULL, "same as -machine hpet=off", opt_machine_prop, .with = "hpet=off" },
    { "rtc", "[base=utc|localtime|DATETIME][,clock=host|rt|vm][,driftfix=none|slew]",
      "start and pace of the guest's calendar clock", opt_rtc },
    { "name", "[guest=]NAME[,process=NAME]", "name of the guest, and of this process", opt_name },
    { "uuid", "UUID", "identity of the machine", opt_uuid },
    { "overcommit", "[mem-lock=on|off]", "keep guest memory out of swap", opt_overcommit },
    { NULL }
};

const OptionTopic options_machine = { "The machine", table };
