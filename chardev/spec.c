/* SPDX-License-Identifier: MIT */
/*
 * The shorthands of -serial, -parallel, -monitor, -debugcon, turned into -chardev options.
 */
#include "chardev/backend.h"

#include <stdio.h>
#include <string.h>

static const char *after(const char *spec, const char *prefix)
{
    return g_str_has_prefix(spec, prefix) ? spec + strlen(prefix) : NULL;
}

/* Options behind the address: "server=on,wait=off", "nowait", "reconnect=1". */
static bool add_socket_options(Opts *o, const char *text, Error **err)
{
    static const char *const flags[] = { "wait", "delay", "nodelay", "server", "ipv4", "ipv6",
                                         "telnet", NULL };
    g_autoptr(Opts) extra = opts_parse("-serial", text, NULL, flags, err);
    if (!extra) {
        return false;
    }
    for (guint i = 0; i < extra->list->len; i++) {
        Opt *opt = extra->list->pdata[i];
        opts_set(o, opt->name, opt->value);
    }
    return true;
}

/* HOST:PORT[,options]; [::1]:PORT for IPv6 */
static bool add_tcp(Opts *o, const char *spec, const char *address, Error **err)
{
    size_t len = strcspn(address, ",");
    g_autofree char *place = g_strndup(address, len);
    char *colon = strrchr(place, ':'), *host = place;
    if (!colon || !colon[1]) {
        return fail(err, "'%s': an address is written HOST:PORT", spec);
    }
    *colon = '\0';
    if (host[0] == '[' && colon[-1] == ']') {
        colon[-1] = '\0';
        host++;
    }
    opts_set(o, "backend", "socket");
    opts_set(o, "host", host);
    opts_set(o, "port", colon + 1);
    return !address[len] || add_socket_options(o, address + len + 1, err);
}

static bool add_unix(Opts *o, const char *spec, const char *address, Error **err)
{
    size_t len = strcspn(address, ",");
    g_autofree char *path = g_strndup(address, len);
    if (!len) {
        return fail(err, "'%s': the path is missing", spec);
    }
    opts_set(o, "backend", "socket");
    opts_set(o, "path", path);
    return !address[len] || add_socket_options(o, address + len + 1, err);
}

static void add_path(Opts *o, const char *backend, const char *path)
{
    opts_set(o, "backend", backend);
    opts_set(o, "path", path);
}

/* WIDTHxHEIGHT in pixels, or COLSCxROWSC */
static bool add_vc(Opts *o, const char *spec, const char *size, Error **err)
{
    unsigned w, h;
    char c1, c2, end;
    bool cells = sscanf(size, "%5u%cx%5u%c%c", &w, &c1, &h, &c2, &end) == 4 && c1 == 'C' && c2 == 'C';
    if (!cells && sscanf(size, "%5ux%5u%c", &w, &h, &end) != 2) {
        return fail(err, "'%s': the size is written WIDTHxHEIGHT (pixels) or COLSCxROWSC "
                    "(characters, as in 80Cx24C)", spec);
    }
    g_autofree char *width = g_strdup_printf("%u", w), *height = g_strdup_printf("%u", h);
    opts_set(o, "backend", "vc");
    opts_set(o, cells ? "cols" : "width", width);
    opts_set(o, cells ? "rows" : "height", height);
    return true;
}

static bool translate(Opts *o, const char *spec, Error **err)
{
    static const char *const plain[] = { "null", "pty", "stdio", "ringbuf", "vc", NULL };
    static const char *const missing[] = { "udp", "msmouse", "wctablet", "braille", "testdev",
                                           "con", "parallel", "pipe", "file", NULL };
    const char *rest;
    if (g_strv_contains(plain, spec)) {
        opts_set(o, "backend", spec);
        return true;
    }
    if ((rest = after(spec, "file:"))) {
        add_path(o, "file", rest);
        return true;
    }
    if ((rest = after(spec, "pipe:"))) {
        add_path(o, "pipe", rest);
        return true;
    }
    if (after(spec, "/dev/")) {
        add_path(o, "serial", spec);
        return true;
    }
    if ((rest = after(spec, "unix:"))) {
        return add_unix(o, spec, rest, err);
    }
    if ((rest = after(spec, "tcp:"))) {
        return add_tcp(o, spec, rest, err);
    }
    if ((rest = after(spec, "telnet:"))) {
        opts_set(o, "telnet", "on");
        return add_tcp(o, spec, rest, err);
    }
    if ((rest = after(spec, "vc:"))) {
        return add_vc(o, spec, rest, err);
    }
    g_autofree char *word = g_strndup(spec, strcspn(spec, ":"));
    return g_strv_contains(missing, word)
           ? fail(err, "'%s' is not supported (use stdio, pty, file:PATH, pipe:PATH, unix:PATH or "
                  "tcp:HOST:PORT)", spec)
           : fail(err, "'%s' is no character device (use none, null, stdio, mon:stdio, pty, vc, file:PATH, "
                  "unix:PATH, tcp:HOST:PORT, telnet:HOST:PORT or chardev:ID)", spec);
}

CharDev *chardev_from_spec(const char *label, const char *spec, bool *with_monitor, Error **err)
{
    const char *rest;
    bool mux = (rest = after(spec, "mon:")) != NULL;
    if (with_monitor) {
        *with_monitor = mux;
    }
    spec = mux ? rest : spec;
    if (!strcmp(spec, "none")) {
        return NULL;
    }
    if ((rest = after(spec, "chardev:"))) {
        CharDev *c = chardev_find(rest);
        if (!c) {
            fail(err, "chardev '%s' not found", rest);
        }
        return c;
    }
    g_autoptr(Opts) o = opts_new("-chardev");
    if (!translate(o, spec, err)) {
        return NULL;
    }
    opts_set(o, "id", label);
    if (mux) {
        opts_set(o, "mux", "on");
        if (!strcmp(spec, "stdio")) {
            opts_set(o, "signal", "off");   /* Ctrl-c is the guest's */
        }
    }
    return chardev_open(o, err);
}
