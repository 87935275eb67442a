/* SPDX-License-Identifier: MIT */
/*
 * Finds each word of the command line in the tables of opt-*.c and calls its row's handler.
 * Options of QEMU that do not exist here are known by name too, so that the message can say
 * what to do instead; nothing is accepted and ignored.
 */
#include "system/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "system/cmdline.h"
#include "util/opts.h"
#include "util/parse.h"
#include "util/version.h"

static const OptionTopic *const topics[] = {
    &options_machine, &options_devices, &options_drives, &options_consoles, &options_running,
};

/* QEMU's options that this program lacks: does it take an argument, and what to say. */
static const struct {
    const char *name;
    bool has_arg;
    const char *hint;
} absent[] = {
    { "numa",              true,  "memory is one node" },
    { "set",               true,  "write the value into the option itself" },
    { "mem-path",          true,  "guest memory is always an anonymous memory file" },
    { "mem-prealloc",      false, "guest memory is allocated when touched" },
    { "audio-help",        false, "there is no sound card" },
    { "soundhw",           true,  "use -audio DRIVER,model=CARD" },
    { "sd",                true,  "there is no SD card controller; use -drive" },
    { "mtdblock",          true,  "there is no flash device; use -drive" },
    { "fsdev",             true,  "there is no shared folder device" },
    { "virtfs",            true,  "there is no shared folder device" },
    { "iscsi",             true,  "attach the disk on the host and use -drive" },
    { "spice",             true,  "use -vnc" },
    { "portrait",          false, "the picture is not turned" },
    { "rotate",            true,  "the picture is not turned" },
    { "win2k-hack",        false, "disk writes already complete as the drive's interrupts do" },
    { "tpmdev",            true,  "there is no TPM" },
    { "compat",            true,  "there are no deprecated commands" },
    { "singlestep",        false, "-d in_asm,exec shows what runs" },
    { "preconfig",         false, "use -S and device_add" },
    { "dfilter",           true,  "-d logs all addresses" },
    { "seed",              true,  "guest random numbers come from the host" },
    { "xen-domid",         true,  "there is no Xen support" },
    { "xen-attach",        false, "there is no Xen support" },
    { "xen-domid-restrict", false, "there is no Xen support" },
    { "loadvm",            true,  "start the guest from its disk" },
    { "incoming",          true,  "start the guest from its disk" },
    { "only-migratable",   false, "there is no migration" },
    { "icount",            true,  "the virtual clock follows the host's" },
    { "trace",             true,  "use -d (see -d help)" },
    { "plugin",            true,  "use -d (see -d help)" },
    { "async-teardown",    false, "" },
    { "dump-vmstate",      true,  "the monitor's 'info device' shows a device's state" },
    { "enable-sync-profile", false, "use perf on the host" },
    { "netdev",            true,  "there is no network device; -nic none says so" },
    { "watchdog",          true,  "use -device ib700 or -device i6300esb" },
};

/* ---- handlers for simple rows ------------------------------------------------------------ */

bool option_string(const Option *o, const char *arg, Error **err)
{
    char **where = o->where;
    g_free(*where);
    *where = g_strdup(arg);
    return true;
}

bool option_flag(const Option *o, const char *arg, Error **err)
{
    *(bool *)o->where = true;
    return true;
}

bool option_list(const Option *o, const char *arg, Error **err)
{
    char *name = g_strdup_printf("-%s", o->name);
    g_ptr_array_add(*(GPtrArray **)o->where, arg_new(name, arg));
    g_free(name);
    return true;
}

/* ---- look-up ----------------------------------------------------------------------------- */

void options_foreach(void (*fn)(const Option *o, void *opaque), void *opaque)
{
    for (size_t t = 0; t < G_N_ELEMENTS(topics); t++) {
        for (const Option *o = topics[t]->options; o->name; o++) {
            fn(o, opaque);
        }
    }
}

static const Option *find_option(const char *name)
{
    for (size_t t = 0; t < G_N_ELEMENTS(topics); t++) {
        for (const Option *o = topics[t]->options; o->name; o++) {
            if (!strcmp(o->name, name)) {
                return o;
            }
        }
    }
    return NULL;
}

static void collect_name(const Option *o, void *opaque)
{
    g_ptr_array_add(opaque, (gpointer)o->name);
}

static bool fail_unknown(const char *word, const char *name, Error **err)
{
    for (size_t i = 0; i < G_N_ELEMENTS(absent); i++) {
        if (!strcmp(absent[i].name, name)) {
            return fail(err, "%s: this option of QEMU is not available here%s%s", word,
                        *absent[i].hint ? ": " : "", absent[i].hint);
        }
    }
    GPtrArray *names = g_ptr_array_new();
    options_foreach(collect_name, names);
    const char *near = nearest_name(name, (const char *const *)names->pdata, names->len);
    g_ptr_array_free(names, TRUE);
    if (near) {
        return fail(err, "%s: unknown option (did you mean -%s?)", word, near);
    }
    return fail(err, "%s: unknown option (-help lists all)", word);
}

static bool call(const Option *o, const char *word, const char *arg, Error **err)
{
    if (o->fn(o, arg, err)) {
        return true;
    }
    arg_prefix(err, word, arg);
    return false;
}

bool option_apply(const char *name, const char *arg, Error **err)
{
    const Option *o = find_option(name);
    char *word = g_strdup_printf("-%s", name);
    bool ok = o ? call(o, word, arg, err) : fail_unknown(word, name, err);
    g_free(word);
    return ok;
}

/* ---- -help, -version --------------------------------------------------------------------- */

static void print_version(void)
{
    printf("Orrery emulator version " ORRERY_VERSION
           " (compatible with QEMU emulator version " QEMU_COMPAT_VERSION ")\n");
}

static void print_help(void)
{
    print_version();
    printf("usage: %s [options] [disk_image]\n\n"
           "'disk_image' is a raw hard disk image, as -hda takes it\n", g_get_prgname());
    for (size_t t = 0; t < G_N_ELEMENTS(topics); t++) {
        printf("\n%s:\n", topics[t]->title);
        for (const Option *o = topics[t]->options; o->name; o++) {
            char *head = g_strdup_printf("-%s%s%s", o->name, o->arg ? " " : "", o->arg ? o->arg : "");
            if (strlen(head) < 24) {
                printf("%-24s%s\n", head, o->help);
            } else {
                printf("%s\n%-24s%s\n", head, "", o->help);
            }
            g_free(head);
        }
    }
    printf("\nWith -nographic or a multiplexed character device: Ctrl-a x ends the emulator,\n"
           "Ctrl-a c switches between the guest's console and the monitor, Ctrl-a h shows more.\n");
}

/* ---- the command line -------------------------------------------------------------------- */

static bool parse_word(int argc, char **argv, int *i, Error **err)
{
    const char *word = argv[*i];
    if (word[0] != '-' || !word[1]) {
        return option_apply("hda", word, err);
    }
    const char *name = word + (word[1] == '-' ? 2 : 1);
    if (!strcmp(name, "help") || !strcmp(name, "h")) {
        print_help();
        exit(0);
    }
    if (!strcmp(name, "version")) {
        print_version();
        exit(0);
    }
    const Option *o = find_option(name);
    if (!o) {
        return fail_unknown(word, name, err);
    }
    const char *arg = NULL;
    if (o->arg) {
        if (*i + 1 >= argc) {
            return fail(err, "%s: requires an argument (%s)", word, o->arg);
        }
        arg = argv[++*i];
    }
    return call(o, word, arg, err);
}

bool options_parse(int argc, char **argv, Error **err)
{
    for (int i = 1; i < argc; i++) {
        if (!parse_word(argc, argv, &i, err)) {
            return false;
        }
    }
    return true;
}
