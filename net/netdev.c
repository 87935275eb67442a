/* SPDX-License-Identifier: MIT */
/*
 * Making back-ends from options.  -net connects everything to hub 0; -nic is a -netdev and a
 * card in one.
 */
#include "net/netdev.h"
#include "net/hub.h"
#include "net/nic.h"
#include "util/parse.h"
#include "util/prop.h"

#include <string.h>

/* Bounds of the section; the linker defines them. */
extern const NetBackend *const __start_orrery_netdevs[] __attribute__((weak));
extern const NetBackend *const __stop_orrery_netdevs[] __attribute__((weak));

static const char *const flags[] = { "restrict", "ipv4", "ipv6", "server", "reconnect", NULL };

static const NetBackend *find_backend(const char *name)
{
    const NetBackend *const *b;
    for (b = __start_orrery_netdevs; b < __stop_orrery_netdevs; b++) {
        if (!strcmp((*b)->name, name)) {
            return *b;
        }
    }
    return NULL;
}

static bool unknown_backend(const char *owner, const char *name, Error **err)
{
    /* what QEMU has and we have not */
    static const char *const others[] = { "vde", "l2tpv3", "netmap", "vhost-user", "vhost-vdpa",
                                          "user", "af-xdp", NULL };
    const char *names[32];
    unsigned n = 0;
    const NetBackend *const *b;
    for (b = __start_orrery_netdevs; b < __stop_orrery_netdevs && n < 31; b++) {
        names[n++] = (*b)->name;
    }
    names[n] = NULL;
    g_autofree char *all = g_strjoinv(", ", (char **)names);
    if (!strcmp(name, "user")) {
        return fail(err, "%s: network backend 'user' is not compiled into this binary: it was "
                    "built without libslirp (there are: %s)", owner, all);
    }
    if (g_strv_contains(others, name)) {
        return fail(err, "%s: network backend '%s' is not supported (there are: %s)", owner, name,
                    all);
    }
    const char *near = nearest_name(name, names, n);
    return near ? fail(err, "%s: Parameter 'type' does not accept value '%s' (did you mean '%s'?)",
                       owner, name, near)
                : fail(err, "%s: Parameter 'type' does not accept value '%s' (there are: %s)",
                       owner, name, all);
}

void netdev_help(GString *out)
{
    const NetBackend *const *b;
    g_string_append(out, "Available netdev backend types:\n");
    for (b = __start_orrery_netdevs; b < __stop_orrery_netdevs; b++) {
        g_string_append_printf(out, "  %-10s %s\n", (*b)->name, (*b)->desc);
    }
}

/* ---- lists among options -------------------------------------------------------------- */

GPtrArray *net_opts_list(Opts *o, const char *name)
{
    GPtrArray *values = g_ptr_array_new();
    size_t n = strlen(name);

    opts_get(o, name);                  /* known, though there may be none */
    for (guint i = 0; i < o->list->len; i++) {
        const Opt *opt = o->list->pdata[i];
        if (!strncmp(opt->name, name, n) && (!opt->name[n] || opt->name[n] == '.')) {
            opts_get(o, opt->name);     /* used */
            g_ptr_array_add(values, opt->value);
        }
    }
    return values;
}

/* ---- making and ending ---------------------------------------------------------------- */

static void close_queues(const char *name)
{
    for (unsigned i = NET_QUEUES_MAX; i-- > 0;) {
        NetClient *nc = net_find_queue(name, i);
        if (!nc) {
            continue;
        }
        if (nc->ops->close) {
            nc->ops->close(nc);
        }
        net_client_exit(nc);
        g_free(nc);
    }
}

static NetClient *open_backend(Opts *o, const char *name, bool is_netdev, Error **err)
{
    const char *type = opts_get(o, "type");
    const NetBackend *b = type ? find_backend(type) : NULL;

    if (!type) {
        fail(err, "%s: Parameter 'type' is missing", o->owner);
        return NULL;
    }
    if (!b) {
        unknown_backend(o->owner, type, err);
        return NULL;
    }
    Error *e = NULL;
    NetClient *nc = b->open(o, name, &e);
    if (nc && !opts_check_unused(o, &e)) {
        nc = NULL;
    }
    if (!nc) {
        close_queues(name);             /* also what a failed open left */
        if (!g_str_has_prefix(e->message, o->owner)) {
            g_prefix_error(&e, "%s: ", o->owner);
        }
        g_propagate_error(err, e);
        return NULL;
    }
    for (unsigned i = 0; (nc = net_find_queue(name, i)); i++) {
        nc->is_netdev = is_netdev;
    }
    return net_find_backend(name);
}

bool netdev_add_opts(Opts *o, Error **err)
{
    const char *id = opts_get(o, "id");

    if (!id || !*id) {
        return fail(err, "%s: Parameter 'id' is missing", o->owner);
    }
    if (!id_well_formed(id)) {
        return fail(err, "%s: Parameter 'id' expects an identifier (letters, digits, '-', '.' "
                    "and '_', beginning with a letter), not '%s'", o->owner, id);
    }
    if (net_find_backend(id)) {
        return fail(err, "%s: Duplicate ID '%s' for netdev", o->owner, id);
    }
    return open_backend(o, id, true, err);
}

bool netdev_add(const char *text, Error **err)
{
    g_autoptr(Opts) o = opts_parse("-netdev", text, "type", flags, err);
    return o && netdev_add_opts(o, err);
}

bool netdev_del(const char *id, Error **err)
{
    NetClient *nc = net_find_backend(id);

    if (!nc) {
        return fail_class(err, ERR_DEVICE_NOT_FOUND, "Device '%s' not found", id);
    }
    if (!nc->is_netdev) {
        return fail(err, "Device '%s' is not a netdev", id);
    }
    close_queues(id);
    return true;
}

static void find_any(NetClient *nc, void *opaque)
{
    if (!nc->is_nic) {
        *(NetClient **)opaque = nc;
    }
}

void netdev_cleanup(void)
{
    NetClient *nc;
    while (nc = NULL, net_foreach(find_any, &nc), nc) {
        g_autofree char *name = g_strdup(nc->name);
        close_queues(name);
    }
}

/* ---- -nic, -net ----------------------------------------------------------------------- */

static bool take_mac(Opts *o, const char *key, uint8_t *mac, Error **err)
{
    static const Prop row[] = { PROP_MAC("mac", NicRequest, mac, NULL), PROP_DONE };
    const char *v = opts_get(o, key);
    NicRequest r = { 0 };

    if (v && !prop_set_value(&r, row, o->owner, v, err)) {
        return false;
    }
    if (v && mac_is_group(r.mac)) {
        return fail(err, "%s: %s=%s: NIC cannot have multicast MAC address (odd 1st byte)",
                    o->owner, key, v);
    }
    memcpy(mac, r.mac, 6);
    return true;
}

static void free_request(NicRequest *r)
{
    g_free(r->model);
    g_free(r->name);
    g_free(r->devaddr);
    g_free(r);
}

/* What describes the card among the options of -nic. */
static NicRequest *take_request(Opts *o, Error **err)
{
    NicRequest *r = g_new0(NicRequest, 1);

    r->vectors = UINT32_MAX;
    r->model = g_strdup(opts_get(o, "model"));
    if (!take_mac(o, "mac", r->mac, err)) {
        free_request(r);
        return NULL;
    }
    return r;
}

bool net_add_nic(const char *text, Error **err)
{
    g_autoptr(Opts) o = opts_parse("-nic", text, "type", flags, err);
    const char *type = o ? opts_get(o, "type") : NULL;

    if (!o) {
        return false;
    }
    if (type && !strcmp(type, "none")) {
        return opts_check_unused(o, err);
    }
    if (!type) {
        opts_set(o, "type", "user");
    }
    NicRequest *r = take_request(o, err);
    if (!r) {
        return false;
    }
    r->name = g_strdup(opts_get(o, "id"));
    g_autofree char *name = net_new_name("net");
    r->netdev = open_backend(o, name, true, err);
    if (!r->netdev) {
        free_request(r);
        return false;
    }
    g_ptr_array_add(nic_requests(), r);
    return true;
}

static bool legacy_nic(Opts *o, Error **err)
{
    NicRequest *r = take_request(o, err);
    uint64_t vectors;

    if (!r) {
        return false;
    }
    const char *netdev = opts_get(o, "netdev");
    r->name = g_strdup(opts_get(o, "name"));
    r->devaddr = g_strdup(opts_get(o, "addr"));
    if ((opts_has(o, "macaddr") && !take_mac(o, "macaddr", r->mac, err))
        || !opts_uint(o, "vectors", UINT32_MAX, 0, UINT32_MAX, &vectors, err)
        || !opts_check_unused(o, err)) {
        free_request(r);
        return false;
    }
    r->vectors = vectors;
    r->netdev = netdev ? net_find_backend(netdev) : net_hub_add_port(0, NULL);
    if (!r->netdev) {
        fail(err, "-net: netdev '%s' not found", netdev);
        free_request(r);
        return false;
    }
    g_ptr_array_add(nic_requests(), r);
    return true;
}

static bool legacy_backend(Opts *o, const char *type, Error **err)
{
    g_autofree char *made = g_strdup_printf("#%s", type), *name = NULL;

    name = opts_has(o, "name") ? g_strdup(opts_get(o, "name")) : net_new_name(made);
    if (!strcmp(type, "hubport")) {
        return fail(err, "-net: hubport: use -netdev hubport");
    }
    if (net_find_backend(name)) {
        return fail(err, "-net: name=%s: there is such a back-end already", name);
    }
    NetClient *nc = open_backend(o, name, false, err);
    if (nc) {
        net_connect(nc, net_hub_add_port(0, NULL));
    }
    return nc;
}

bool net_add_legacy(const char *text, Error **err)
{
    g_autoptr(Opts) o = opts_parse("-net", text, "type", flags, err);
    const char *type = o ? opts_get(o, "type") : NULL;

    if (!o) {
        return false;
    }
    if (!type) {
        return fail(err, "-net: Parameter 'type' is missing");
    }
    if (!strcmp(type, "none")) {
        return opts_check_unused(o, err);
    }
    return !strcmp(type, "nic") ? legacy_nic(o, err) : legacy_backend(o, type, err);
}

bool net_add_default(Error **err)
{
    return net_add_legacy("nic", err)
           && (!find_backend("user") || net_add_legacy("user", err));
}

/* ---- warnings ------------------------------------------------------------------------- */

static void warn_alone(NetClient *nc, void *opaque)
{
    if (!nc->peer && !nc->index && net_hub_of(nc) == NET_HUB_NONE) {
        warn_report("%s %s has no peer", nc->is_nic ? "nic" : "netdev", nc->name);
    }
}

void net_check(void)
{
    GPtrArray *list = nic_requests();

    net_hub_check();
    net_foreach(warn_alone, NULL);
    for (guint i = 0; i < list->len; i++) {
        const NicRequest *r = list->pdata[i];
        if (!r->made) {
            warn_report("requested NIC (%s, model %s) was not created (not supported by this "
                        "machine?)", r->name ? r->name : "anonymous",
                        r->model ? r->model : "unspecified");
        }
    }
}
