/* SPDX-License-Identifier: MIT */
/*
 * orrery: the friendly front door.  `orrery run X` looks at X (run-guess.c), writes the command
 * line of the emulator that a person who knows all options would have written, and becomes
 * that emulator.  --print-command only prints it.
 */
#include "tools/run.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "block/node.h"
#include "util/bql.h"
#include "util/parse.h"
#include "util/version.h"

typedef struct Wish {
    const char *what;                   /* X */
    const char *memory, *initrd, *append, *cdrom, *name;
    unsigned cpus;                      /* 0: chosen here */
    GPtrArray *disks, *forwards;
    enum { SHOW_AUTO, SHOW_WINDOW, SHOW_VNC, SHOW_TERMINAL } show;
    bool virtio, compatible, no_kvm, no_network, no_sound, try_only, full_screen, print, background, uefi;
} Wish;

/* The command line as it grows, and what the person is told before it runs. */
typedef struct Plan {
    GPtrArray *args;                    /* of g_strdup'ed words */
    GString *notes;                     /* lines */
    RunGuess guess;
    bool virtio, has_cdrom, disk_is_first;
    int vnc;                            /* display number, -1: none */
} Plan;

static void add(Plan *p, const char *word)
{
    g_ptr_array_add(p->args, g_strdup(word));
}

static void G_GNUC_PRINTF(3, 4) add_option(Plan *p, const char *option, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    add(p, option);
    g_ptr_array_add(p->args, g_strdup_vprintf(fmt, ap));
    va_end(ap);
}

static void G_GNUC_PRINTF(2, 3) note(Plan *p, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    g_string_append_vprintf(p->notes, fmt, ap);
    g_string_append_c(p->notes, '\n');
    va_end(ap);
}

/* Commas are doubled inside an option's value. */
static char *escaped(const char *text)
{
    g_auto(GStrv) parts = g_strsplit(text, ",", -1);
    return g_strjoinv(",,", parts);
}

/* ---- the host ------------------------------------------------------------------------------------ */

static void choose_accelerator(Plan *p, const Wish *w)
{
    int fd = w->no_kvm ? -1 : open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (fd >= 0) {
        close(fd);                      /* the emulator finds out how fast it is (docs/kvm.md) */
        return;
    }
    add_option(p, "-accel", "tcg");
    if (!w->no_kvm) {
        note(p, "No KVM (/dev/kvm: %s%s): the processor is emulated, which is slower.", g_strerror(errno),
             errno == EACCES ? "; members of the group kvm may use it" : "");
    }
}

static uint64_t available_memory(void)
{
    g_autofree char *text = NULL;
    const char *line = g_file_get_contents("/proc/meminfo", &text, NULL, NULL)
                       ? strstr(text, "MemAvailable:") : NULL;
    return line ? g_ascii_strtoull(line + 13, NULL, 10) << 10 : (uint64_t)1 << 30;
}

/* Half of what is free, between 256 MiB and 2 GiB (4 GiB for Windows), in whole 256 MiB. */
static bool choose_memory(Plan *p, const Wish *w, Error **err)
{
    uint64_t bytes, most = p->guess.system == RUN_WINDOWS ? 4096 : 2048;
    if (w->memory) {
        if (!parse_size(w->memory, 1 << 20, &bytes) || bytes < 1 << 20) {
            return fail(err, "--memory %s: not a size (2G, 512M)", w->memory);
        }
        bytes >>= 20;
    } else {
        bytes = CLAMP((available_memory() >> 21) & ~255ull, 256, most);
    }
    add_option(p, "-m", "%" G_GUINT64_FORMAT, bytes);
    return true;
}

static void choose_cpus(Plan *p, const Wish *w)
{
    unsigned host = g_get_num_processors(), n = w->cpus ? w->cpus : MIN(host, 4);
    add_option(p, "-smp", "%u", n);
    add_option(p, "-cpu", "max");
    if (w->cpus > host) {
        note(p, "--cpus %u: more than this host has (%u), which makes the machine slower, not faster.",
             w->cpus, host);
    }
}

static bool have_screen(void)
{
    const char *x = getenv("DISPLAY"), *wayland = getenv("WAYLAND_DISPLAY");
    return (x && *x) || (wayland && *wayland);
}

/* Somebody who plays sound: the host's driver, or a sound server of this user. */
static bool have_sound(void)
{
    const char *server = getenv("PULSE_SERVER"), *dir = getenv("XDG_RUNTIME_DIR");
    g_autofree char *socket = g_strdup_printf("%s/pulse/native", dir ? dir : "");
    return (server && *server) || (dir && g_file_test(socket, G_FILE_TEST_EXISTS))
           || getenv("SDL_AUDIODRIVER") || g_file_test("/dev/snd/controlC0", G_FILE_TEST_EXISTS);
}

/* The first VNC display of this host that nobody listens at; -1: none of a hundred. */
static int free_vnc_display(void)
{
    for (int d = 0; d < 100; d++) {
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(5900 + d),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        bool ok = bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(fd, 1) == 0;
        close(fd);
        if (ok) {
            return d;
        }
    }
    return -1;
}

static bool choose_display(Plan *p, const Wish *w, Error **err)
{
    int show = w->show ? w->show : have_screen() && !w->background ? SHOW_WINDOW : SHOW_VNC;
    if (show == SHOW_WINDOW && !have_screen()) {
        return fail(err, "--window: neither DISPLAY nor WAYLAND_DISPLAY names a display (use --vnc)");
    }
    if (w->full_screen && show != SHOW_WINDOW) {
        return fail(err, "--full-screen: needs a window, and there is no display for one");
    }
    if (show == SHOW_WINDOW) {
        add_option(p, "-display", "sdl,window-close=powerdown");
        if (w->full_screen) {
            add(p, "-full-screen");
        }
    } else if (show == SHOW_TERMINAL) {
        add(p, "-nographic");
        note(p, "The machine's first serial port is this terminal: Ctrl-a x leaves, Ctrl-a h helps.");
    } else if ((p->vnc = free_vnc_display()) < 0) {
        return fail(err, "--vnc: ports 5900 to 5999 of this host are all taken");
    } else {
        add_option(p, "-vnc", "127.0.0.1:%d", p->vnc);
        note(p, "Screen: VNC at 127.0.0.1:%d (vncviewer 127.0.0.1:%d)", 5900 + p->vnc, p->vnc);
    }
    if (show == SHOW_WINDOW && !w->no_sound && have_sound()) {
        add_option(p, "-audio", "sdl,model=hda");
    }
    return true;
}

/* ---- devices ------------------------------------------------------------------------------------- */

static void add_disk(Plan *p, const Wish *w, const char *file, const char *format)
{
    g_autofree char *name = escaped(file);
    add_option(p, "-drive", "file=%s,format=%s,if=%s%s%s", name, format, p->virtio ? "virtio" : "ide",
               strcmp(format, "raw") ? ",discard=unmap" : "", w->try_only ? ",snapshot=on" : "");
}

static void add_disc(Plan *p, const char *file, const char *format)
{
    g_autofree char *name = escaped(file);
    add_option(p, "-drive", "file=%s,format=%s,index=2,media=cdrom,readonly=on", name, format);
    p->has_cdrom = true;
}

static bool create_disk(const char *file, const char *size, Error **err)
{
    Error *e = NULL;
    uint64_t bytes;
    if (!parse_size(size, 1 << 30, &bytes) || bytes < 1 << 20) {
        return fail(err, "--disk %s,%s: '%s' is not a size (20G)", file, size, size);
    }
    Json *o = json_object();
    json_set_uint(o, "size", bytes & ~511ull);
    bool ok = node_create_image(block_driver_find("qcow2"), file, o, &e);
    json_free(o);
    return ok || fail(err, "--disk: can't make '%s': %s", file, e->message);
}

/* --disk FILE[,SIZE] */
static bool add_more_disk(Plan *p, const Wish *w, const char *text, Error **err)
{
    const char *comma = strrchr(text, ',');
    g_autofree char *file = comma ? g_strndup(text, comma - text) : g_strdup(text);
    RunGuess g;
    if (!g_file_test(file, G_FILE_TEST_EXISTS) && comma) {
        if (w->print) {
            note(p, "'%s' would be made (qcow2, %s).", file, comma + 1);
            add_disk(p, w, file, "qcow2");
            return true;
        }
        if (!create_disk(file, comma + 1, err)) {
            return false;
        }
        note(p, "Made the disk '%s' (it grows to %s as it is filled).", file, comma + 1);
    }
    if (!run_guess(file, &g, err)) {
        g_prefix_error(err, "--disk ");
        return false;
    }
    bool ok = g.kind == RUN_DISK || g.kind == RUN_FLOPPY;
    if (ok) {
        add_disk(p, w, file, g.format);
    } else {
        g_autofree char *what = run_describe(&g);
        fail(err, "--disk %s: that is %s, not a disk", file, what);
    }
    run_guess_free(&g);
    return ok;
}

static bool add_media(Plan *p, const Wish *w, Error **err)
{
    RunGuess *g = &p->guess;
    g_autofree char *name = escaped(w->what);
    if (g->kind == RUN_DISC) {
        add_disc(p, w->what, g->format);
    } else if (g->kind == RUN_DISK) {
        add_disk(p, w, w->what, g->format);
    } else if (g->kind == RUN_FLOPPY) {
        add_option(p, "-drive", "file=%s,format=raw,if=floppy%s", name, w->try_only ? ",snapshot=on" : "");
    }
    for (guint i = 0; i < w->disks->len; i++) {
        if (!add_more_disk(p, w, w->disks->pdata[i], err)) {
            return false;
        }
    }
    if (w->cdrom) {
        RunGuess disc;
        if (p->has_cdrom) {
            return fail(err, "--cdrom: '%s' is in the drive already", w->what);
        }
        if (!run_guess(w->cdrom, &disc, err)) {
            g_prefix_error(err, "--cdrom ");
            return false;
        }
        add_disc(p, w->cdrom, disc.format ? disc.format : "raw");
        run_guess_free(&disc);
    }
    return true;
}

/* Which medium comes first: an installation disc once, so that what it installed starts then. */
static void choose_boot_order(Plan *p, const Wish *w)
{
    if (p->guess.kind == RUN_DISC) {
        add_option(p, "-boot", w->disks->len ? "once=d" : "order=d");
    } else if (p->guess.kind == RUN_FLOPPY) {
        add_option(p, "-boot", "order=a");
    } else if (p->guess.kind == RUN_DISK && p->guess.empty && w->cdrom) {
        add_option(p, "-boot", "once=d");
    }
}

/* /boot/vmlinuz-6.1.0 is at home beside /boot/initrd.img-6.1.0 or initramfs-6.1.0.img */
static char *initramfs_beside(const char *kernel)
{
    g_autofree char *dir = g_path_get_dirname(kernel), *base = g_path_get_basename(kernel);
    const char *version = strchr(base, '-');
    static const char *const forms[] = { "%s/initrd.img%s", "%s/initramfs%s.img", "%s/initrd%s" };
    if (!g_str_has_prefix(base, "vmlinuz") || !version) {
        return NULL;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(forms); i++) {
        g_auto(GStrv) parts = g_strsplit(forms[i], "%s", -1);
        char *path = g_strconcat(dir, parts[1], version, parts[2], NULL);
        if (g_file_test(path, G_FILE_TEST_IS_REGULAR)) {
            return path;
        }
        g_free(path);
    }
    return NULL;
}

static bool add_kernel(Plan *p, const Wish *w, Error **err)
{
    if (p->guess.kind != RUN_KERNEL) {
        const char *lonely = w->initrd ? "--initrd" : w->append ? "--append" : NULL;
        return !lonely || fail(err, "%s: goes with a kernel, which '%s' is not", lonely, w->what);
    }
    g_autofree char *beside = w->initrd ? NULL : initramfs_beside(w->what);
    const char *initrd = w->initrd ? w->initrd : beside;
    const char *console = w->show == SHOW_TERMINAL ? "console=ttyS0" : NULL;
    add_option(p, "-kernel", "%s", w->what);
    if (initrd) {
        if (access(initrd, R_OK) < 0) {
            return fail_errno(err, errno, "--initrd %s", initrd);
        }
        add_option(p, "-initrd", "%s", initrd);
    }
    if (console || w->append) {
        add_option(p, "-append", "%s%s%s", console ? console : "", console && w->append ? " " : "",
                   w->append ? w->append : "");
    }
    return true;
}

/* 2222:22 */
static bool forward_rule(const char *text, GString *out, Error **err)
{
    g_auto(GStrv) ports = g_strsplit(text, ":", -1);
    uint64_t host, guest;
    if (g_strv_length(ports) != 2 || !parse_uint(ports[0], &host) || !parse_uint(ports[1], &guest)
        || !host || !guest || host > 65535 || guest > 65535) {
        return fail(err, "--forward %s: not of the form HOSTPORT:GUESTPORT (2222:22)", text);
    }
    g_string_append_printf(out, ",hostfwd=tcp:127.0.0.1:%u-:%u", (unsigned)host, (unsigned)guest);
    return true;
}

static bool add_network(Plan *p, const Wish *w, Error **err)
{
    if (w->no_network) {
        add_option(p, "-nic", "none");
        return !w->forwards->len || fail(err, "--forward: not together with --no-network");
    }
    g_autoptr(GString) rules = g_string_new(NULL);
    for (guint i = 0; i < w->forwards->len; i++) {
        if (!forward_rule(w->forwards->pdata[i], rules, err)) {
            return false;
        }
    }
    add_option(p, "-nic", "user,model=%s%s", p->virtio ? "virtio-net-pci" : "e1000", rules->str);
    return true;
}

static void add_pointer(Plan *p)
{
    add(p, "-usb");                     /* no grab, no drift */
    add_option(p, "-device", "usb-tablet");
    if (p->guess.system == RUN_WINDOWS) {
        add_option(p, "-rtc", "base=localtime");
    }
}

/* ---- the plan ------------------------------------------------------------------------------------ */

static void warn_of_media(Plan *p, const Wish *w)
{
    const RunGuess *g = &p->guess;
    if (g->kind == RUN_KERNEL) {
        return;
    }
    if (g->kind == RUN_DISK && g->empty && !w->cdrom) {
        note(p, "Nothing is on this disk yet. To install something on it: orrery run INSTALLER.iso --disk %s",
             w->what);
    } else if (!g->bios && !g->uefi && !g->empty) {
        note(p, "It does not look as if it could boot.");
    }
}

/* ---- firmware ------------------------------------------------------------------------------------ */

/* The disk whose variables they are: what is installed on it is in them. */
static char *first_disk(const Plan *p, const Wish *w)
{
    if (p->guess.kind == RUN_DISK || !w->disks->len) {
        return p->guess.kind == RUN_DISK ? g_strdup(w->what) : NULL;
    }
    const char *text = w->disks->pdata[0], *comma = strrchr(text, ',');
    return comma ? g_strndup(text, comma - text) : g_strdup(text);
}

static bool choose_firmware(Plan *p, const Wish *w, Error **err)
{
    const RunGuess *g = &p->guess;
    bool needed = g->kind != RUN_KERNEL && g->uefi && !g->bios;
    g_autofree char *disk = first_disk(p, w);
    Error *e = NULL;
    RunFirmware f;

    if (!w->uefi && !needed) {
        return true;
    }
    if (!run_firmware(&f, disk, w->print, w->try_only, &e)) {
        if (w->uefi) {
            g_propagate_error(err, e);
            return false;
        }
        note(p, "It seems to boot by UEFI only; this machine begins with a BIOS (%s).", e->message);
        g_error_free(e);
        return true;
    }
    g_autofree char *vars = escaped(f.vars);
    if (!w->uefi) {
        note(p, "It boots by UEFI only: so does this machine.");
    }
    if (f.made) {
        note(p, w->print ? "'%s' would be made (UEFI variables)." : "Made '%s' (UEFI variables).", f.vars);
    }
    add_option(p, "-drive", "if=pflash,format=raw,unit=0,readonly=on,file=%s", f.code);
    add_option(p, "-drive", "if=pflash,format=raw,unit=1,file=%s%s", vars,
               f.kept && !w->try_only ? "" : ",snapshot=on");
    g_free(f.vars);
    return true;
}

static bool add_background(Plan *p, const Wish *w, Error **err)
{
    g_autofree char *folder = run_folder(err);
    if (!folder) {
        return false;
    }
    g_autofree char *qmp = g_strdup_printf("%s/%s.qmp", folder, w->name), *name = escaped(qmp);
    if (strchr(w->name, '/')) {
        return fail(err, "--name %s: no slash may be in it", w->name);
    }
    if (strlen(qmp) > 100) {
        return fail(err, "--name %s: too long", w->name);
    }
    add_option(p, "-qmp", "unix:%s,server=on,wait=off", name);
    add_option(p, "-pidfile", "%s/%s.pid", folder, w->name);
    add(p, "-daemonize");
    note(p, "It goes to the background; `orrery stop %s` ends it, `orrery list` shows such machines.",
         w->name);
    return true;
}

static bool make_plan(Plan *p, const Wish *w, Error **err)
{
    if (!run_guess(w->what, &p->guess, err)) {
        return false;
    }
    g_autofree char *what = run_describe(&p->guess), *title = escaped(w->name);
    note(p, "%s: %s", w->what, what);
    p->virtio = w->virtio || (!w->compatible && p->guess.system == RUN_LINUX);
    warn_of_media(p, w);
    choose_accelerator(p, w);
    add_option(p, "-name", "%s", title);
    choose_cpus(p, w);
    if (!choose_memory(p, w, err) || !add_kernel(p, w, err) || !add_media(p, w, err)
        || !choose_firmware(p, w, err)) {
        return false;
    }
    choose_boot_order(p, w);
    if (!add_network(p, w, err) || !choose_display(p, w, err)) {
        return false;
    }
    if (w->show != SHOW_TERMINAL) {
        add_pointer(p);
    }
    return !w->background || add_background(p, w, err);
}

/* Quoted only where a shell would not take it as it is. */
static void print_command(const GPtrArray *args)
{
    for (guint i = 0; i < args->len && args->pdata[i]; i++) {
        const char *a = args->pdata[i];
        bool plain = *a && !a[strspn(a, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                        "0123456789-_=+,./:@%")];
        g_autofree char *quoted = plain ? g_strdup(a) : g_shell_quote(a);
        printf("%s%s", i ? " " : "", quoted);
    }
    printf("\n");
}

static const char usage[] =
    "usage: orrery run [OPTION...] X [-- EMULATOR OPTION...]\n"
    "Run a machine from X: an ISO, a disk image (qcow2, raw, vmdk, vdi, vhdx, ...), a floppy image,\n"
    "a kernel, or the URL of one (https://, nbd://).\n\n"
    "  -m, --memory SIZE        RAM (default: half of what is free, at most 2G)\n"
    "  -c, --cpus N             processors (default: the host's, at most 4)\n"
    "      --disk FILE[,SIZE]   one more disk; made as qcow2 if it is not there and a SIZE is given\n"
    "      --cdrom FILE         what is in the CD drive\n"
    "      --initrd FILE, --append TEXT   of a kernel\n"
    "      --forward HOST:GUEST a TCP port of this host that leads to one of the machine's (2222:22)\n"
    "      --no-network, --no-sound, --no-kvm\n"
    "      --virtio, --compatible   fast devices, which Linux knows, or those every system knows\n"
    "                           (default: by what seems to be on the medium)\n"
    "      --window, --vnc, --terminal   where to see it (default: a window if there is a display);\n"
    "                           --terminal: the serial port on this terminal\n"
    "      --full-screen        the window fills the screen\n"
    "      --background         go on without this terminal (with VNC; see orrery stop, orrery list)\n"
    "      --try                changes to disks are forgotten at the end\n"
    "      --uefi               UEFI firmware (default: if the medium boots by nothing else); its variables\n"
    "                           are kept in DISK.uefi-vars\n"
    "      --name NAME          in the window's title (default: the file's)\n"
    "      --print-command      only print the emulator's command line\n"
    "  -h, --help\n"
    "What stands behind -- goes to the emulator as it is (orrery-system-x86_64 -help).\n";

enum { RUN_DISK_OPT = 256, RUN_CDROM, RUN_INITRD, RUN_APPEND, RUN_FORWARD, RUN_NAME };

static bool take(Wish *w, int c)
{
    uint64_t n;
    switch (c) {
    case 'm': w->memory = optarg; return true;
    case 'c':
        if (!parse_uint(optarg, &n) || !n || n > 255) {
            error_report("--cpus %s: not a number from 1 to 255", optarg);
            return false;
        }
        w->cpus = n;
        return true;
    case RUN_DISK_OPT: g_ptr_array_add(w->disks, optarg); return true;
    case RUN_FORWARD: g_ptr_array_add(w->forwards, optarg); return true;
    case RUN_CDROM: w->cdrom = optarg; return true;
    case RUN_INITRD: w->initrd = optarg; return true;
    case RUN_APPEND: w->append = optarg; return true;
    case RUN_NAME: w->name = optarg; return true;
    case 0: return true;                /* a flag */
    default: return false;              /* getopt has said what is wrong */
    }
}

/* Flags that getopt writes, where Wish has bools. */
typedef struct Flags {
    int virtio, compatible, no_kvm, no_network, no_sound, try_only, full_screen, print, background, uefi, show;
} Flags;

static bool take_flags(Wish *w, const Flags *f)
{
    w->virtio = f->virtio;
    w->compatible = f->compatible;
    w->no_kvm = f->no_kvm;
    w->no_network = f->no_network;
    w->no_sound = f->no_sound;
    w->try_only = f->try_only;
    w->full_screen = f->full_screen;
    w->print = f->print;
    w->background = f->background;
    w->uefi = f->uefi;
    w->show = f->show;
    if (w->virtio && w->compatible) {
        error_report("--virtio and --compatible are two answers to one question");
        return false;
    }
    if (w->background && (w->show == SHOW_TERMINAL || w->show == SHOW_WINDOW)) {
        error_report("--background: not together with --%s",
                     w->show == SHOW_TERMINAL ? "terminal" : "window");
        return false;
    }
    return true;
}

/* 0: go on, else 1 + the exit status */
static int parse(Wish *w, int argc, char **argv)
{
    Flags f = { 0 };
    const struct option longs[] = {
        { "memory", 1, 0, 'm' }, { "cpus", 1, 0, 'c' }, { "help", 0, 0, 'h' },
        { "disk", 1, 0, RUN_DISK_OPT }, { "cdrom", 1, 0, RUN_CDROM }, { "initrd", 1, 0, RUN_INITRD },
        { "append", 1, 0, RUN_APPEND }, { "forward", 1, 0, RUN_FORWARD }, { "name", 1, 0, RUN_NAME },
        { "virtio", 0, &f.virtio, 1 }, { "compatible", 0, &f.compatible, 1 },
        { "no-kvm", 0, &f.no_kvm, 1 }, { "no-network", 0, &f.no_network, 1 },
        { "no-sound", 0, &f.no_sound, 1 }, { "try", 0, &f.try_only, 1 },
        { "full-screen", 0, &f.full_screen, 1 }, { "print-command", 0, &f.print, 1 },
        { "background", 0, &f.background, 1 }, { "uefi", 0, &f.uefi, 1 }, { "window", 0, &f.show, SHOW_WINDOW },
        { "vnc", 0, &f.show, SHOW_VNC }, { "terminal", 0, &f.show, SHOW_TERMINAL }, { 0 } };
    for (int c; (c = getopt_long(argc, argv, "m:c:h", longs, NULL)) != -1;) {
        if (c == 'h') {
            fputs(usage, stdout);
            return 1;
        }
        if (!take(w, c)) {
            return 2;
        }
    }
    return take_flags(w, &f) ? 0 : 2;
}

/* Splits argv at "--": getopt would mix what is behind with X. */
static int own_arguments(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--")) {
            return i;
        }
    }
    return argc;
}

int run_main(int argc, char **argv)
{
    Wish w = { .disks = g_ptr_array_new(), .forwards = g_ptr_array_new() };
    Plan p = { .args = g_ptr_array_new(), .notes = g_string_new(NULL), .vnc = -1 };
    Error *err = NULL;
    int own = own_arguments(argc, argv), status = parse(&w, own, argv);
    if (status) {
        return status - 1;
    }
    if (optind != own - 1) {
        error_report(optind < own ? "run: one thing at a time ('%s' is a second one; other disks: --disk)"
                                  : "run: what? Give an ISO, a disk image or a kernel (orrery run --help)",
                     optind < own ? argv[optind + 1] : "");
        return EXIT_FAILURE;
    }
    w.what = argv[optind];
    g_autofree char *base = g_path_get_basename(w.what);
    w.name = w.name ? w.name : base;
    char *emulator = run_program("orrery-system-x86_64", &err);
    g_ptr_array_add(p.args, emulator);
    if (!emulator || !make_plan(&p, &w, &err)) {
        error_report("%s", err->message);
        return EXIT_FAILURE;
    }
    for (int i = own + 1; i < argc; i++) {
        add(&p, argv[i]);
    }
    g_ptr_array_add(p.args, NULL);
    if (w.print) {
        fputs(p.notes->str, stderr);
        print_command(p.args);
        return EXIT_SUCCESS;
    }
    fputs(p.notes->str, stdout);
    fflush(stdout);
    execv(emulator, (char **)p.args->pdata);
    error_report("%s: %s", emulator, g_strerror(errno));
    return EXIT_FAILURE;
}

/* ---- orrery ---------------------------------------------------------------------------------------- */

static void help(void)
{
    printf("orrery version %s\n"
           "  orrery run X         a machine from an ISO, a disk image or a kernel (orrery run --help)\n"
           "  orrery list          the machines in the background\n"
           "  orrery stop NAME     press the power button of one, or --now: pull its plug\n"
           "The emulator itself is orrery-system-x86_64, the tool for disk images orrery-img.\n",
           ORRERY_VERSION);
}

int main(int argc, char **argv)
{
    g_set_prgname("orrery");
    bql_lock();                         /* images are opened under it */
    const char *command = argc > 1 ? argv[1] : "--help";
    if (!strcmp(command, "run")) {
        return run_main(argc - 1, argv + 1);
    }
    if (!strcmp(command, "stop")) {
        return run_stop_main(argc - 1, argv + 1);
    }
    if (!strcmp(command, "list")) {
        return run_list_main(argc - 1, argv + 1);
    }
    if (!strcmp(command, "--version") || !strcmp(command, "-V")) {
        printf("orrery version %s\n", ORRERY_VERSION);
        return EXIT_SUCCESS;
    }
    if (!strcmp(command, "--help") || !strcmp(command, "-h") || !strcmp(command, "help")) {
        help();
        return argc > 1 ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    error_report("'%s' is no command (run, list, stop); to run a machine: orrery run %s", command, command);
    return EXIT_FAILURE;
}
