/* SPDX-License-Identifier: MIT */
/*
 * The collected command line: its empty state, and messages that begin with the option.
 */
#include "system/cmdline.h"

#include <string.h>

Config config;

void config_init(void)
{
    GPtrArray **lists[] = {
        &config.machine_props, &config.accels, &config.globals, &config.objects, &config.chardevs,
        &config.blockdevs, &config.netdevs, &config.nets, &config.audiodevs, &config.audios,
        &config.devices, &config.drives,
        &config.serials, &config.parallels, &config.debugcons, &config.monitors,
        &config.firmware_dirs, &config.vncs,
        &config.m.files, &config.m.smbios, &config.m.acpitables,
    };
    for (size_t i = 0; i < G_N_ELEMENTS(lists); i++) {
        *lists[i] = g_ptr_array_new();
    }
    config.m.smp_cpus = config.m.smp_max = 1;
    config.m.smp_sockets = config.m.smp_cores = config.m.smp_threads = 1;
    config.m.boot_splash_time = config.m.boot_reboot_timeout = -1;
    config.m.dump_guest_core = config.m.mem_merge = true;
    config.m.graphics = true;
}

Arg *arg_new(const char *option, const char *text)
{
    Arg *a = g_new(Arg, 1);
    *a = (Arg) { g_strdup(option), g_strdup(text) };
    return a;
}

void arg_prefix(Error **err, const char *option, const char *text)
{
    if (!err || !*err) {
        return;
    }
    const char *message = (*err)->message;
    size_t n = strlen(option);
    /* the parsers of option strings begin with the option's name themselves */
    if (g_str_has_prefix(message, option) && strchr(" :,", message[n])) {
        if (message[n] != ':' || !text) {
            return;
        }
        char *full = g_strdup_printf("%s %s%s", option, text, message + n);
        g_free((*err)->message);
        (*err)->message = full;
        return;
    }
    if (text) {
        g_prefix_error(err, "%s %s: ", option, text);
    } else {
        g_prefix_error(err, "%s: ", option);
    }
}
