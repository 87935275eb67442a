/* SPDX-License-Identifier: MIT */
/*
 * VNC servers: -vnc and its options, listening, passwords, what the monitor asks.
 */
#include "ui/vnc.h"

#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ui/display.h"
#include "ui/input.h"
#include "ui/vnc-int.h"
#include "util/mainloop.h"
#include "util/parse.h"

#define PORT_BASE       5900
#define WS_PORT_BASE    5700
#define CLIENTS_DEFAULT 32
#define BACKLOG         128

static GPtrArray *servers;              /* of VncServer* */

/* ---- what the monitor asks ----------------------------------------------------------- */

const char *vnc_auth_name(const VncServer *s)
{
    if (s->auth != AUTH_VENCRYPT) {
        return s->auth == AUTH_VNC ? "vnc" : s->auth == AUTH_SASL ? "sasl" : "none";
    }
    switch (s->subauth) {
    case VENCRYPT_TLS_NONE: return "vencrypt+tls+none";
    case VENCRYPT_TLS_VNC: return "vencrypt+tls+vnc";
    case VENCRYPT_X509_NONE: return "vencrypt+x509+none";
    case VENCRYPT_TLS_SASL: return "vencrypt+tls+sasl";
    case VENCRYPT_X509_SASL: return "vencrypt+x509+sasl";
    default: return "vencrypt+x509+vnc";
    }
}

static void add_place(Json *o, const VncListener *l)
{
    json_set_str(o, "host", l ? l->host : "");
    json_set_str(o, "service", l ? l->service : "");
    json_set_str(o, "family", l ? l->family : "unknown");
}

static const VncListener *first_listener(const VncServer *s)
{
    return s->listeners->len ? s->listeners->pdata[0] : NULL;
}

Json *vnc_server_info(const VncServer *s, const VncListener *l)
{
    Json *o = json_object();

    l = l ? l : first_listener(s);
    add_place(o, l);
    json_set_bool(o, "websocket", l && l->websocket);
    json_set_str(o, "auth", vnc_auth_name(s));
    return o;
}

static Json *client_list(const VncServer *s)
{
    Json *list = json_array();

    for (guint i = 0; i < s->clients->len; i++) {
        json_append(list, vnc_client_info(s->clients->pdata[i]));
    }
    return list;
}

Json *vnc_query(void)
{
    Json *o = json_object();
    const VncServer *s = servers && servers->len ? servers->pdata[0] : NULL;

    json_set_bool(o, "enabled", s != NULL);
    if (s) {
        if (first_listener(s)) {
            add_place(o, first_listener(s));
        }
        json_set_str(o, "auth", vnc_auth_name(s));
        json_set(o, "clients", client_list(s));
    }
    return o;
}

/* auth and, of VeNCrypt, the rest of its name. */
static void add_auth(Json *o, const VncServer *s)
{
    static const struct {
        VncSubAuth sub;
        const char *name;
    } subs[] = {
        { VENCRYPT_TLS_NONE, "tls-none" }, { VENCRYPT_TLS_VNC, "tls-vnc" },
        { VENCRYPT_X509_NONE, "x509-none" }, { VENCRYPT_X509_VNC, "x509-vnc" },
        { VENCRYPT_TLS_SASL, "tls-sasl" }, { VENCRYPT_X509_SASL, "x509-sasl" },
    };
    json_set_str(o, "auth", s->auth == AUTH_VENCRYPT ? "vencrypt" : vnc_auth_name(s));
    for (size_t i = 0; s->auth == AUTH_VENCRYPT && i < G_N_ELEMENTS(subs); i++) {
        if (subs[i].sub == s->subauth) {
            json_set_str(o, "vencrypt", subs[i].name);
        }
    }
}

Json *vnc_query_servers(void)
{
    Json *list = json_array();

    for (guint i = 0; servers && i < servers->len; i++) {
        const VncServer *s = servers->pdata[i];
        Json *o = json_object(), *places = json_array();
        for (guint k = 0; k < s->listeners->len; k++) {
            const VncListener *l = s->listeners->pdata[k];
            Json *place = json_object();
            add_place(place, l);
            json_set_bool(place, "websocket", l->websocket);
            add_auth(place, s);
            json_append(places, place);
        }
        json_set_str(o, "id", s->id);
        json_set(o, "server", places);
        json_set(o, "clients", client_list(s));
        add_auth(o, s);
        if (s->fixed_console && s->console) {
            json_set_str(o, "display", console_device(s->console));
        }
        json_append(list, o);
    }
    return list;
}

static VncServer *find_server(const char *id, Error **err)
{
    for (guint i = 0; servers && i < servers->len; i++) {
        VncServer *s = servers->pdata[i];
        if (!id || !strcmp(s->id, id)) {
            return s;
        }
    }
    fail_class(err, ERR_DEVICE_NOT_ACTIVE, "%s", id ? "There is no VNC server of that id"
                                                    : "No VNC display is active");
    return NULL;
}

bool vnc_set_password(const char *id, const char *password, Error **err)
{
    VncServer *s = find_server(id, err);

    if (s && !s->wants_password) {
        return fail(err, "If you want use passwords please enable password auth using "
                    "'-vnc ${dpy},password'.");
    }
    if (s) {
        g_free(s->password);
        s->password = g_strdup(password);
    }
    return s;
}

bool vnc_expire_password(const char *id, const char *when, Error **err)
{
    VncServer *s = find_server(id, err);
    int64_t now = clock_ns(ORRERY_CLOCK_HOST) / NS_PER_SEC;
    uint64_t n;

    if (!s) {
        return false;
    }
    if (!strcmp(when, "now")) {
        s->expires = 0;
    } else if (!strcmp(when, "never")) {
        s->expires = INT64_MAX;
    } else if (!parse_uint(when + (*when == '+'), &n) || n > INT32_MAX * 1000ull) {
        return fail(err, "Parameter 'time' doesn't take value '%s' (now, never, +SECONDS, or seconds "
                    "since 1970)", when);
    } else {
        s->expires = n + (*when == '+' ? now : 0);
    }
    return true;
}

bool vnc_reload_certificates(const char *id, Error **err)
{
    VncServer *s = find_server(id, err);

    if (s && !s->tls) {
        return fail(err, "VNC server %s has no TLS", s->id);
    }
    return s && tls_creds_reload(s->tls, err);
}

/* ---- which console ------------------------------------------------------------------- */

void vnc_show_console(VncServer *s, Console *con)
{
    if (s->console) {
        console_unlisten(s->console, &vnc_display_listener, s);
    }
    s->console = con;
    if (con) {
        console_listen(con, &vnc_display_listener, s);
        console_refresh(con);
    } else {
        pixman_image_t *black = pixman_image_create_bits(PIXMAN_x8r8g8b8, 640, 480, NULL, 0);
        vnc_display_listener.switch_surface(s, black);
        pixman_image_unref(black);
    }
    vnc_display_listener.frame(s);
}

/* LEDs, or the kind of pointer: clients hear of it with the next update. */
static void input_changed(void *opaque)
{
    VncServer *s = opaque;

    g_autoptr(GPtrArray) clients = g_ptr_array_copy(s->clients, NULL, NULL);

    for (guint i = 0; i < clients->len; i++) {
        VncClient *c = clients->pdata[i];
        if (c->initialized) {
            c->send_leds |= c->features & HAS_LED_STATE && c->leds != input_leds();
            c->send_pointer_type |= c->features & HAS_POINTER_TYPE
                                    && c->was_absolute != input_is_absolute();
            vnc_try_update(c);
            vnc_flush(c);
        }
    }
}

/* ---- connections --------------------------------------------------------------------- */

/* Room for one more: of those that never got as far as a picture the oldest gives way. */
static bool make_room(VncServer *s)
{
    if (s->clients->len < s->max_clients) {
        return true;
    }
    for (guint i = 0; i < s->clients->len; i++) {
        VncClient *c = s->clients->pdata[i];
        if (!c->initialized) {
            vnc_client_close(c);
            return true;
        }
    }
    return false;
}

static void client_came(int fd, GIOCondition cond, void *opaque)
{
    VncListener *l = opaque;
    int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (client < 0) {
        return;
    }
    if (make_room(l->server)) {
        vnc_client_new(l->server, client, l, false);
    } else {
        close(client);
    }
}

static void note_place(VncListener *l)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    char host[NI_MAXHOST] = "", service[NI_MAXSERV] = "";

    if (l->addr.path) {
        l->host = g_strdup("");
        l->service = g_strdup(l->addr.path);
        l->family = g_strdup("unix");
        return;
    }
    if (getsockname(l->fd, (struct sockaddr *)&ss, &len) == 0) {
        getnameinfo((struct sockaddr *)&ss, len, host, sizeof(host), service, sizeof(service),
                    NI_NUMERICHOST | NI_NUMERICSERV);
    }
    l->host = g_strdup(host);
    l->service = g_strdup(service);
    l->family = g_strdup(ss.ss_family == AF_INET6 ? "ipv6" : "ipv4");
}

static bool listen_on(VncServer *s, const SocketAddress *a, bool websocket, Error **err)
{
    VncListener *l = g_new0(VncListener, 1);

    l->server = s;
    l->websocket = websocket;
    l->addr = *a;
    l->fd = socket_listen(&l->addr, err);
    if (l->fd < 0) {
        socket_address_clear(&l->addr);
        g_free(l);
        return false;
    }
    listen(l->fd, BACKLOG);             /* a flood of connections must not keep others out */
    note_place(l);
    l->watch = mainloop_watch(l->fd, G_IO_IN, client_came, l);
    g_ptr_array_add(s->listeners, l);
    return true;
}

/* ---- options ------------------------------------------------------------------------- */

typedef struct VncOptions {
    const char *address, *websocket, *password_secret, *tls, *display;
    uint64_t to, head, connections, key_delay;
    bool reverse, ipv4, ipv6;
} VncOptions;

/* Options that are refused, and the lists of who may come in. */
static bool take_lists(VncServer *s, Opts *o, Error **err)
{
    const char *sasl_authz = opts_get(o, "sasl-authz"), *tls_authz = opts_get(o, "tls-authz");
    bool non_adaptive;

    if (!opts_bool(o, "sasl", false, &s->wants_sasl, err)
        || !opts_bool(o, "non-adaptive", true, &non_adaptive, err)
        || (sasl_authz && !ui_hooks.authz_find(sasl_authz, err))
        || (tls_authz && !ui_hooks.authz_find(tls_authz, err))) {
        return false;
    }
    s->sasl_authz = g_strdup(sasl_authz);
    s->tls_authz = g_strdup(tls_authz);
    return (non_adaptive || fail(err, "-vnc: non-adaptive=off: encodings are never changed by what is "
                                 "on the screen"))
           && (!sasl_authz || s->wants_sasl || fail(err, "-vnc: sasl-authz=%s: sasl=on is needed", sasl_authz))
           && (!tls_authz || opts_has(o, "tls-creds")
               || fail(err, "-vnc: tls-authz=%s: tls-creds=ID is needed", tls_authz))
           && (!s->wants_sasl || !s->wants_password
               || fail(err, "-vnc: sasl=on: not together with password=on"));
}

static bool take_options(VncServer *s, VncOptions *v, Opts *o, Error **err)
{
    static const char *const policies[] = { "allow-exclusive", "force-shared", "ignore", NULL };
    int share;

    v->address = opts_get(o, "vnc");
    v->websocket = opts_get(o, "websocket");
    v->password_secret = opts_get(o, "password-secret");
    v->tls = opts_get(o, "tls-creds");
    v->display = opts_get(o, "display");
    const char *audio = opts_get(o, "audiodev");
    if (audio && !(s->audio = ui_hooks.audio_find(audio, err))) {
        return false;
    }
    bool v4 = opts_has(o, "ipv4"), v6 = opts_has(o, "ipv6"), v4_on, v6_on;
    if (!opts_bool(o, "password", v->password_secret, &s->wants_password, err)
        || !opts_bool(o, "reverse", false, &v->reverse, err)
        || !opts_bool(o, "lossy", false, &s->lossy, err)
        || !opts_bool(o, "power-control", false, &s->power_control, err)
        || !opts_bool(o, "lock-key-sync", true, &s->lock_key_sync, err)
        || !opts_enum(o, "share", policies, SHARE_ALLOW_EXCLUSIVE, &share, err)
        || !opts_uint(o, "to", 0, 0, 65535 - PORT_BASE, &v->to, err)
        || !opts_uint(o, "head", 0, 0, 255, &v->head, err)
        || !opts_uint(o, "connections", CLIENTS_DEFAULT, 1, 1024, &v->connections, err)
        || !opts_uint(o, "key-delay-ms", 10, 0, 10000, &v->key_delay, err)
        || !opts_bool(o, "ipv4", true, &v4_on, err) || !opts_bool(o, "ipv6", true, &v6_on, err)
        || !take_lists(s, o, err)) {
        return false;
    }
    if (opts_has(o, "head") && !v->display) {
        return fail(err, "-vnc: head=%s: of which device (display=ID)?", opts_get(o, "head"));
    }
    v->ipv4 = v4 ? v4_on : !(v6 && v6_on);
    v->ipv6 = v6 ? v6_on : !(v4 && v4_on);
    s->share = share;
    s->max_clients = v->connections;
    s->key_delay_ms = v->key_delay;
    return v->address || fail(err, "-vnc: the display is missing (HOST:D, unix:PATH or none)");
}

/* HOST:NUMBER, [::1]:NUMBER; NULL: no such form. */
static char *split_host(const char *text, uint64_t *number)
{
    const char *colon = strrchr(text, ':');

    if (!colon || !parse_uint(colon + 1, number)) {
        return NULL;
    }
    size_t n = colon - text;
    return text[0] == '[' && n > 2 && text[n - 1] == ']' ? g_strndup(text + 1, n - 2)
                                                         : g_strndup(text, n);
}

static bool main_address(const VncOptions *v, SocketAddress *a, Error **err)
{
    uint64_t n, base = v->reverse ? 0 : PORT_BASE;

    *a = (SocketAddress) { .fd = -1, .ipv4 = v->ipv4, .ipv6 = v->ipv6 };
    if (g_str_has_prefix(v->address, "unix:")) {
        a->path = g_strdup(v->address + 5);
        return (strlen(a->path) > 0 && strlen(a->path) < 108)
               || fail(err, "-vnc: '%s': the path is missing or too long", v->address);
    }
    a->host = split_host(v->address, &n);
    if (!a->host || n + base > 65535) {
        return fail(err, "-vnc: '%s' is no display: it is written HOST:D (port %d + D), :D, unix:PATH "
                    "or none", v->address, PORT_BASE);
    }
    a->port = g_strdup_printf("%u", (unsigned)(n + base));
    a->to = v->to ? v->to + base : 0;
    return true;
}

/* websocket: on, PORT, HOST:PORT */
static bool websocket_address(const VncOptions *v, const SocketAddress *main, SocketAddress *a,
                              Error **err)
{
    uint64_t n;
    bool on;

    *a = (SocketAddress) { .fd = -1, .ipv4 = v->ipv4, .ipv6 = v->ipv6 };
    if (parse_uint(v->websocket, &n) && n > 1) {
        a->host = g_strdup(main->host ? main->host : "");
    } else if (parse_bool(v->websocket, &on) || !*v->websocket) {
        if (!main->port) {
            return fail(err, "-vnc: websocket=%s: a unix socket has no display number to derive the "
                        "port from (websocket=PORT)", v->websocket);
        }
        n = strtoul(main->port, NULL, 10) - PORT_BASE + WS_PORT_BASE;
        a->host = g_strdup(main->host);
        a->to = main->to ? main->to - PORT_BASE + WS_PORT_BASE : 0;
    } else {
        a->host = split_host(v->websocket, &n);
    }
    if (!a->host || n > 65535) {
        return fail(err, "-vnc: websocket=%s: on, PORT or HOST:PORT is needed", v->websocket);
    }
    a->port = g_strdup_printf("%u", (unsigned)n);
    return true;
}

static bool set_up_tls(VncServer *s, const char *id, Error **err)
{
    TlsCreds *creds = ui_hooks.tls_creds(id, err);

    if (!creds) {
        return false;
    }
    if (!tls_creds_is_server(creds)) {
        return fail(err, "-vnc: tls-creds=%s: these are a client's (endpoint=server is needed)", id);
    }
    if (s->tls_authz && tls_creds_is_anon(creds)) {
        return fail(err, "-vnc: tls-authz=%s: clients have no names without certificates", s->tls_authz);
    }
    s->tls = tls_creds_ref(creds);
    s->auth = AUTH_VENCRYPT;
    if (tls_creds_is_anon(creds)) {
        s->subauth = s->wants_password ? VENCRYPT_TLS_VNC : s->wants_sasl ? VENCRYPT_TLS_SASL : VENCRYPT_TLS_NONE;
    } else {
        s->subauth = s->wants_password ? VENCRYPT_X509_VNC : s->wants_sasl ? VENCRYPT_X509_SASL : VENCRYPT_X509_NONE;
    }
    return true;
}

static bool set_up_auth(VncServer *s, const VncOptions *v, Error **err)
{
    if (v->password_secret) {
        s->wants_password = true;
        s->password = ui_hooks.secret(v->password_secret, err);
        if (!s->password) {
            return false;
        }
    }
    if (s->wants_password && !tls_has_des()) {
        return fail(err, "-vnc: password=on: this build has no cipher for it (configure "
                    "--enable-gnutls)");
    }
    s->auth = s->wants_password ? AUTH_VNC : s->wants_sasl ? AUTH_SASL : AUTH_NONE;
    return (!v->tls || set_up_tls(s, v->tls, err))
           && (!s->wants_sasl || vnc_sasl_usable(s, g_str_has_prefix(v->address, "unix:"), err));
}

static bool choose_console(VncServer *s, const VncOptions *v, Error **err)
{
    Console *con = console_by_index(0);

    if (v->display) {
        con = console_find(v->display, v->head);
        s->fixed_console = true;
        if (!con) {
            return fail(err, "-vnc: display=%s,head=%u: there is no such screen", v->display,
                        (unsigned)v->head);
        }
    }
    vnc_show_console(s, con);
    return true;
}

static bool open_sockets(VncServer *s, const VncOptions *v, Error **err)
{
    SocketAddress a, ws;

    if (!main_address(v, &a, err)) {
        socket_address_clear(&a);
        return false;
    }
    if (v->reverse) {
        if (v->websocket) {
            return fail(err, "-vnc: websocket: not together with reverse=on");
        }
        int fd = socket_connect(&a, true, NULL, err);
        socket_address_clear(&a);
        return fd >= 0 && vnc_client_new(s, fd, NULL, false);
    }
    if (v->websocket && !websocket_address(v, &a, &ws, err)) {
        socket_address_clear(&a);
        socket_address_clear(&ws);
        return false;
    }
    bool ok = listen_on(s, &a, false, err);
    if (v->websocket && ok) {
        return listen_on(s, &ws, true, err);
    }
    if (v->websocket) {
        socket_address_clear(&ws);
    }
    return ok;
}

/* ---- life ---------------------------------------------------------------------------- */

static void free_listener(VncListener *l)
{
    mainloop_unwatch(l->watch);
    close(l->fd);
    socket_forget(&l->addr);
    socket_address_clear(&l->addr);
    g_free(l->host);
    g_free(l->service);
    g_free(l->family);
    g_free(l);
}

/* The first `keep` listeners stay. */
static void drop_listeners(VncServer *s, guint keep)
{
    while (s->listeners->len > keep) {
        free_listener(g_ptr_array_steal_index(s->listeners, keep));
    }
}

static void free_server(VncServer *s)
{
    while (s->clients->len) {
        vnc_client_close(s->clients->pdata[s->clients->len - 1]);
    }
    drop_listeners(s, 0);
    if (s->console) {
        console_unlisten(s->console, &vnc_display_listener, s);
    }
    input_forget_change(input_changed, s);
    timer_del(&s->key_timer);
    g_queue_clear_full(&s->key_queue, g_free);
    g_clear_pointer(&s->surface, pixman_image_unref);
    g_clear_pointer(&s->shadow, pixman_image_unref);
    tls_creds_unref(s->tls);
    g_ptr_array_unref(s->clients);
    g_ptr_array_unref(s->listeners);
    g_free(s->touched);
    g_free(s->cursor);
    g_free(s->password);
    g_free(s->sasl_authz);
    g_free(s->tls_authz);
    g_free(s->id);
    g_free(s);
}

static bool vnc_start(Opts *o, Error **err)
{
    VncServer *s = g_new0(VncServer, 1);
    VncOptions v = { 0 };
    const char *id = opts_get(o, "id");

    s->id = g_strdup(id ? id : "default");
    s->clients = g_ptr_array_new();
    s->listeners = g_ptr_array_new();
    s->expires = INT64_MAX;
    g_queue_init(&s->key_queue);
    timer_init(&s->key_timer, ORRERY_CLOCK_REAL, vnc_key_timer, s);
    if (find_server(s->id, NULL)) {
        g_free(s->id);
        s->id = g_strdup_printf("vnc%u", servers->len + 1);
        if (id) {
            fail(err, "-vnc: id=%s: there is a server of that id already", id);
            free_server(s);
            return false;
        }
    }
    if (!take_options(s, &v, o, err) || !opts_check_unused(o, err) || !set_up_auth(s, &v, err)
        || !choose_console(s, &v, err) || !open_sockets(s, &v, err)) {
        free_server(s);
        return false;
    }
    input_on_change(input_changed, s);
    if (!servers) {
        servers = g_ptr_array_new();
    }
    g_ptr_array_add(servers, s);
    return true;
}

/* ---- from the monitor ----------------------------------------------------------------- */

bool vnc_add_client(int fd, bool skip_auth, Error **err)
{
    VncServer *s = find_server(NULL, err);

    if (!s || !make_room(s)) {
        close(fd);
        return s && fail(err, "the VNC server has %u clients already", s->clients->len);
    }
    vnc_client_new(s, fd, NULL, skip_auth);
    return true;
}

static bool address_of(const Json *j, SocketAddress *a, Error **err)
{
    const char *type, *host, *port, *path;

    *a = (SocketAddress) { .fd = -1, .ipv4 = true, .ipv6 = true };
    if (!json_get_str(j, "type", JSON_REQUIRED, &type, err)) {
        return false;
    }
    if (!strcmp(type, "unix")) {
        if (!json_get_str(j, "path", JSON_REQUIRED, &path, err)) {
            return false;
        }
        a->path = g_strdup(path);
        return strlen(path) < 108 || fail(err, "path '%s' is too long", path);
    }
    if (strcmp(type, "inet")) {
        return fail(err, "Parameter 'type' does not accept value '%s' (inet, unix)", type);
    }
    if (!json_get_str(j, "host", JSON_REQUIRED, &host, err)
        || !json_get_str(j, "port", JSON_REQUIRED, &port, err)) {
        return false;
    }
    a->host = g_strdup(host);
    a->port = g_strdup(port);
    return true;
}

bool vnc_listen_at(const Json *addresses, Error **err)
{
    VncServer *s = find_server(NULL, err);
    SocketAddress a;

    if (!s) {
        return false;
    }
    guint old = s->listeners->len;
    for (guint i = 0; i < json_len(addresses); i++) {
        bool ok = address_of(json_at(addresses, i), &a, err);
        if (!ok) {
            socket_address_clear(&a);
        }
        if (!ok || !listen_on(s, &a, false, err)) {
            drop_listeners(s, old);
            return false;
        }
    }
    for (guint i = 0; i < old; i++) {           /* WebSockets stay where they are */
        VncListener *l = s->listeners->pdata[0];
        g_ptr_array_steal_index(s->listeners, 0);
        if (l->websocket) {
            g_ptr_array_add(s->listeners, l);
            continue;
        }
        for (guint k = 0; k < s->clients->len; k++) {
            VncClient *c = s->clients->pdata[k];
            c->listener = c->listener == l ? NULL : c->listener;
        }
        free_listener(l);
    }
    return true;
}

static void vnc_stop(void)
{
    while (servers && servers->len) {
        VncServer *s = servers->pdata[servers->len - 1];
        g_ptr_array_remove(servers, s);
        free_server(s);
    }
}

static const DisplayType vnc_display = {
    .name = "vnc", .desc = "VNC server (vnc=HOST:D; as -vnc)", .start = vnc_start, .stop = vnc_stop,
};
DISPLAY_TYPE(vnc_display);
