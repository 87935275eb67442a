/* SPDX-License-Identifier: MIT */
/*
 * Which front ends show the machine.
 *
 * Without -display, -vnc and -nographic the choice is QEMU's: a window if there is a display to
 * open it on, else a VNC server on this host, whose address is printed.  A machine driven by
 * qtest has no display of its own accord.
 */
#include "system/display.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audio/audio.h"
#include "hw/core/machine.h"
#include "system/cmdline.h"
#include "system/object-authz.h"
#include "system/object-tls.h"
#include "system/objects.h"
#include "system/runstate.h"
#include "ui/display.h"
#include "ui/keystate.h"
#include "ui/vnc.h"
#include "util/parse.h"

static Opts *options;                   /* of -display, with "type" */
static bool announce;                   /* nobody asked for the VNC server: say where it is */
static const DisplayType *chosen;       /* NULL: none */

/* QEMU's others, so that the message can say more than "unknown". */
static const char *const others[] = { "gtk", "egl-headless", "spice-app", "dbus", "cocoa", "curses",
                                      "sdl", "vnc", NULL };

static bool pick(const char *type, Error **err)
{
    chosen = display_type_find(type);
    if (chosen || !strcmp(type, "none")) {
        return true;
    }
    GString *names = g_string_new("none");
    static const char *const ours[] = { "sdl", "curses", "vnc" };
    for (size_t i = 0; i < G_N_ELEMENTS(ours); i++) {
        if (display_type_find(ours[i])) {
            g_string_append_printf(names, ", %s", ours[i]);
        }
    }
    fail(err, g_strv_contains(others, type) ? "this build has no display '%s' (there are: %s)"
                                            : "'%s' is no kind of display (there are: %s)",
         type, names->str);
    arg_prefix(err, "-display", type);
    g_string_free(names, TRUE);
    return false;
}

static bool given(Error **err)
{
    options = opts_parse("-display", config.display, "type", NULL, err);
    if (!options) {
        return false;
    }
    const char *type = opts_get(options, "type");
    if (!type) {
        fail(err, "the kind of display is missing (-display help lists them)");
        arg_prefix(err, "-display", config.display);
        return false;
    }
    if (!strcmp(type, "help") || !strcmp(type, "?")) {
        GString *s = g_string_new(NULL);
        display_type_help(s);
        fputs(s->str, stdout);
        exit(0);
    }
    return pick(type, err);
}

static void by_default(void)
{
    const DisplayType *sdl = display_type_find("sdl");
    options = opts_new("-display");
    if (config.nographic || config.vncs->len || config.vnc_none || config.qtest) {
        return;
    }
    if (sdl && sdl->possible()) {
        chosen = sdl;
    } else if (display_type_find("vnc")) {
        g_ptr_array_add(config.vncs, arg_new("-vnc", "localhost:0,to=99,id=default"));
        announce = true;
    }
}

bool display_choose(Error **err)
{
    if (!config.display) {
        by_default();
    } else if (!given(err)) {
        return false;
    }
    if (config.nographic && chosen) {
        return fail(err, "-nographic: not together with -display %s (use -display none, or leave "
                    "-nographic out)", chosen->name);
    }
    if (config.full_screen && (!chosen || strcmp(chosen->name, "sdl"))) {
        return fail(err, "-full-screen: needs -display sdl");
    }
    if (chosen && chosen->possible && !chosen->possible()) {
        return fail(err, "-display %s: there is no %s to open it on", chosen->name,
                    !strcmp(chosen->name, "sdl") ? "X or Wayland display" : "terminal");
    }
    if (config.daemonize && chosen && !strcmp(chosen->name, "curses")) {
        return fail(err, "-daemonize: not together with -display curses, which needs this terminal");
    }
    return true;
}

bool display_shows_terminals(void)
{
    return chosen || config.vncs->len;
}

/* ---- what front ends ask for --------------------------------------------------------- */

static void hook_powerdown(void)
{
    runstate_request_powerdown();
}

static void hook_reset(void)
{
    runstate_request_reset(CAUSE_HOST_UI);
}

static void hook_quit(void)
{
    runstate_request_quit(CAUSE_HOST_UI, 0);
}

static const char *hook_guest_name(void)
{
    return config.m.name;
}

static void *hook_audio_find(const char *id, Error **err)
{
    AudioDev *dev = audiodev_find(id);
    if (!dev) {
        fail(err, "audiodev=%s: there is no -audiodev of that id", id);
    }
    return dev;
}

static void *hook_audio_tap(void *dev, unsigned rate, unsigned channels, unsigned format,
                            const UiAudioListener *l, void *opaque)
{
    const AudioTapOps ops = { l->frames, l->running };
    AudioSpec spec = { rate, channels, (AudioFormat)format };
    return audio_tap_new(dev, &spec, &ops, opaque);
}

static void hook_audio_untap(void *tap)
{
    audio_tap_free(tap);
}

/* ---- starting ------------------------------------------------------------------------ */

static bool start_vncs(Error **err)
{
    const DisplayType *vnc = display_type_find("vnc");
    for (guint i = 0; i < config.vncs->len; i++) {
        const Arg *a = config.vncs->pdata[i];
        if (!vnc) {
            return fail(err, "-vnc %s: this build has no VNC server", a->text);
        }
        g_autoptr(Opts) o = opts_parse("-vnc", a->text, "vnc", NULL, err);
        if (!o || !vnc->start(o, err) || !opts_check_unused(o, err)) {
            arg_prefix(err, a->option, a->text);
            return false;
        }
    }
    return true;
}

static void announce_vnc(void)
{
    Json *info = vnc_query();
    printf("VNC server running on %s:%s\n", json_get(info, "host")->s, json_get(info, "service")->s);
    fflush(stdout);
    json_free(info);
}

bool display_start(Error **err)
{
    ui_hooks.powerdown = hook_powerdown;
    ui_hooks.reset = hook_reset;
    ui_hooks.quit = hook_quit;
    ui_hooks.running = runstate_running;
    ui_hooks.guest_name = hook_guest_name;
    ui_hooks.tls_creds = tls_object_find;
    ui_hooks.secret = secret_find;
    ui_hooks.authz_find = authz_object_find;
    ui_hooks.authorized = authz_object_allows;
    ui_hooks.audio_find = hook_audio_find;
    ui_hooks.audio_tap = hook_audio_tap;
    ui_hooks.audio_untap = hook_audio_untap;
    ui_keymap = config.keymap;
    if (!keysym_load_layout(config.keymap, err) || !start_vncs(err)) {
        return false;
    }
    if (announce) {
        announce_vnc();
    }
    if (chosen && config.full_screen) {
        opts_set(options, "full-screen", "on");
    }
    opts_get(options, "type");
    if ((chosen && !chosen->start(options, err)) || !opts_check_unused(options, err)) {
        arg_prefix(err, "-display", config.display);
        return false;
    }
    return true;
}

Json *display_query(void)
{
    static const char *const flags[] = { "full-screen", "window-close", "show-cursor" };
    Json *o = json_object();
    bool on;

    json_set_str(o, "type", chosen ? chosen->name : "none");
    for (size_t i = 0; i < G_N_ELEMENTS(flags); i++) {
        const char *v = options ? opts_get(options, flags[i]) : NULL;
        if (v && parse_bool(v, &on)) {
            json_set_bool(o, flags[i], on);
        }
    }
    return o;
}

void display_stop(void)
{
    static const char *const names[] = { "curses", "sdl", "vnc" };
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        const DisplayType *d = display_type_find(names[i]);
        if (d && d->stop) {
            d->stop();
        }
    }
}
