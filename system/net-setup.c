/* SPDX-License-Identifier: MIT */
/*
 * The network: options to back-ends, character devices behind guestfwd.
 */
#include "system/net-setup.h"

#include <string.h>

#include "chardev/char.h"
#include "net/netdev.h"
#include "net/user.h"
#include "system/cmdline.h"
#include "util/prop.h"

static bool is_default;                 /* nobody asked for these cards */

/* ---- streams for guestfwd ---------------------------------------------------------------- */

typedef struct Stream {
    CharDev *chr;
    CharFront *front;
    const NetStreamHandlers *handlers;
    void *opaque;
    bool own;                           /* the character device was made for it */
} Stream;

static int stream_can_read(void *opaque)
{
    Stream *s = opaque;
    size_t n = s->handlers->can_read(s->opaque);
    return MIN(n, G_MAXINT);
}

static void stream_read(void *opaque, const uint8_t *buf, int len)
{
    Stream *s = opaque;
    s->handlers->read(s->opaque, buf, len);
}

static const CharHandlers stream_handlers = { .can_read = stream_can_read, .read = stream_read };

static void *stream_open(const char *label, const char *spec, const NetStreamHandlers *h,
                         void *opaque, Error **err)
{
    bool own = !g_str_has_prefix(spec, "chardev:");
    Error *e = NULL;
    CharDev *c = chardev_from_spec(label, spec, NULL, &e);
    if (!c) {
        g_propagate_error(err, e ? e : g_error_new(error_quark(), ERR_GENERIC,
                                                   "guestfwd to '%s' leads nowhere", spec));
        return NULL;
    }
    Stream *s = g_new0(Stream, 1);
    *s = (Stream) { .chr = c, .handlers = h, .opaque = opaque, .own = own };
    s->front = char_attach(c, &stream_handlers, s, err);
    if (!s->front) {
        g_free(s);
        return NULL;
    }
    return s;
}

static size_t stream_write(void *stream, const void *buf, size_t len)
{
    Stream *s = stream;
    char_write_all(s->front, buf, MIN(len, G_MAXINT));
    return len;
}

static void stream_accept_input(void *stream)
{
    Stream *s = stream;
    char_accept_input(s->front);
}

static void stream_close(void *stream)
{
    Stream *s = stream;
    char_detach(s->front);
    if (s->own) {
        chardev_remove(chardev_id(s->chr), NULL);
    }
    g_free(s);
}

/* ---- options ----------------------------------------------------------------------------- */

static void *resolve_netdev(const char *id, Error **err)
{
    NetClient *nc = net_find_backend(id);

    if (nc && nc->peer) {
        fail(err, "netdev '%s' is in use", id);
        return NULL;
    }
    return nc;
}

static const char *name_netdev(const void *nc)
{
    return ((const NetClient *)nc)->name;
}

void network_init(void)
{
    prop_set_resolver(PROP_KIND_NETDEV, resolve_netdev, name_netdev);
    net_stream_hooks = (NetStreamHooks) {
        .open = stream_open, .write = stream_write, .accept_input = stream_accept_input,
        .close = stream_close,
    };
}

static bool add_all(const GPtrArray *list, const char *option,
                    bool (*add)(const char *text, Error **err), Error **err)
{
    for (guint i = 0; i < list->len; i++) {
        const Arg *a = list->pdata[i];
        if (!strcmp(a->option, option) && !add(a->text, err)) {
            arg_prefix(err, a->option, a->text);
            return false;
        }
    }
    return true;
}

bool network_add(const MachineType *type, Error **err)
{
    is_default = !config.netdevs->len && !config.nets->len && !config.nodefaults;
    if (is_default) {
        return !type->default_nic || net_add_default(err);
    }
    return add_all(config.netdevs, "-netdev", netdev_add, err)
           && add_all(config.nets, "-nic", net_add_nic, err)
           && add_all(config.nets, "-net", net_add_legacy, err);
}

void network_check(void)
{
    if (!is_default) {
        net_check();
    }
}
