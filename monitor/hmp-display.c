/* SPDX-License-Identifier: MIT */
/*
 * Human commands: VNC servers, sound.
 */
#include "monitor/internal.h"

#include <string.h>

#include "audio/audio.h"
#include "monitor/hmp-args.h"
#include "ui/vnc.h"

static void cmd_set_password(Monitor *m, const Json *args, Error **err)
{
    Json *result = qmp_call("set_password", args, err);
    json_free(result);
}

static void cmd_expire_password(Monitor *m, const Json *args, Error **err)
{
    Json *result = qmp_call("expire_password", args, err);
    json_free(result);
}

static unsigned number(const Json *args, const char *key, unsigned otherwise)
{
    return CLAMP(arg_int(args, key, otherwise), 0, INT32_MAX);
}

static void cmd_wavcapture(Monitor *m, const Json *args, Error **err)
{
    audio_capture_start(arg_str(args, "path"), arg_str(args, "audiodev"), number(args, "freq", 44100),
                        number(args, "bits", 16), number(args, "nchannels", 2), err);
}

static void cmd_stopcapture(Monitor *m, const Json *args, Error **err)
{
    audio_capture_stop(number(args, "n", 0), err);
}

const HmpCommand hmp_display_commands[] = {
    { "set_password", "protocol:s,password:s,display:-ds,connected:s?", "vnc password [-d server] [keep]",
      "the password that VNC clients need", cmd_set_password },
    { "expire_password", "protocol:s,time:s,display:-ds", "vnc now|never|+seconds|seconds [-d server]",
      "when it stops being good", cmd_expire_password },
    { "wavcapture", "path:F,audiodev:s,freq:i?,bits:i?,nchannels:i?", "path audiodev [frequency [bits [channels]]]",
      "record into a file what a back-end plays", cmd_wavcapture },
    { "stopcapture", "n:i", "number", "end that ('info capture' tells numbers)", cmd_stopcapture },
    { NULL }
};

/* ---- info vnc ------------------------------------------------------------------------ */

static void print_place(Monitor *m, const Json *o, const char *what)
{
    monitor_printf(m, "  %s: %s:%s (%s%s)\n", what, json_get(o, "host")->s, json_get(o, "service")->s,
                   json_get(o, "family")->s, json_get(o, "websocket")->b ? ", websocket" : "");
}

static void print_auth(Monitor *m, const Json *o, const char *indent)
{
    const Json *sub = json_get(o, "vencrypt");
    monitor_printf(m, "%sAuth: %s (Sub: %s)\n", indent, json_get(o, "auth")->s, sub ? sub->s : "none");
}

static void print_name(Monitor *m, const Json *client, const char *what)
{
    const Json *name = json_get(client, what);
    if (name) {
        monitor_printf(m, "    %s: %s\n", what, name->s);
    }
}

static void info_vnc(Monitor *m, const Json *args, Error **err)
{
    Json *list = vnc_query_servers();

    if (!json_len(list)) {
        monitor_puts(m, "None\n");
    }
    for (guint i = 0; i < json_len(list); i++) {
        const Json *s = json_at(list, i), *places = json_get(s, "server"), *clients = json_get(s, "clients");
        monitor_printf(m, "%s:\n", json_get(s, "id")->s);
        for (guint k = 0; k < json_len(places); k++) {
            print_place(m, json_at(places, k), "Server");
            print_auth(m, json_at(places, k), "    ");
        }
        for (guint k = 0; k < json_len(clients); k++) {
            print_place(m, json_at(clients, k), "Client");
            print_name(m, json_at(clients, k), "x509_dname");
            print_name(m, json_at(clients, k), "sasl_username");
        }
        if (!json_len(places)) {
            print_auth(m, s, "  ");
        }
        if (json_get(s, "display")) {
            monitor_printf(m, "  Display: %s\n", json_get(s, "display")->s);
        }
    }
    json_free(list);
}

static void info_audio(Monitor *m, const Json *args, Error **err)
{
    GString *s = g_string_new(NULL);

    audio_info(s);
    monitor_puts(m, s->str);
    g_string_free(s, TRUE);
}

static void info_capture(Monitor *m, const Json *args, Error **err)
{
    GString *s = g_string_new(NULL);

    audio_capture_info(s);
    monitor_puts(m, s->str);
    g_string_free(s, TRUE);
}

const HmpCommand hmp_display_info_commands[] = {
    { "capture", NULL, "", "files that wavcapture records into", info_capture },
    { "audio", NULL, "", "sound: back-ends, voices, under-runs", info_audio },
    { "vnc", NULL, "", "VNC servers and their clients", info_vnc },
    { NULL }
};
