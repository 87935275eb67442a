/* SPDX-License-Identifier: MIT */
/*
 * The filters of an end.  A back-end that goes away leaves its filters with netdev NULL.
 */
#include "net/filter.h"
#include "net/offload.h"
#include "net/queue.h"
#include "util/iov.h"

#include <string.h>

static GPtrArray *all;                  /* of NetFilter* */

/* Where in the list; -1: at its end.  false: no such position. */
static bool find_place(const NetClient *nc, const char *position, bool before, int *at, Error **err)
{
    *at = strcmp(position, "head") ? -1 : 0;
    if (!strcmp(position, "head") || !strcmp(position, "tail")) {
        return true;
    }
    if (!g_str_has_prefix(position, "id=")) {
        return fail(err, "position=%s: use head, tail or id=FILTER", position);
    }
    for (guint i = 0; nc->filters && i < nc->filters->len; i++) {
        if (!strcmp(((NetFilter *)nc->filters->pdata[i])->id, position + 3)) {
            *at = i + !before;
            return true;
        }
    }
    return fail(err, "position=%s: netdev '%s' has no such filter", position, nc->name);
}

bool net_filter_add(NetFilter *f, const char *netdev, const char *position, bool before, Error **err)
{
    NetClient *nc = net_find_backend(netdev);

    if (!nc) {
        return fail(err, "netdev '%s' not found", netdev);
    }
    if (net_find_queue(netdev, 1)) {
        return fail(err, "netdev '%s' has several queues: filters work on one", netdev);
    }
    if (nc->has_vhost) {
        return fail(err, "netdev '%s' has vhost=on: no filter sees its frames", netdev);
    }
    int at;
    if (!find_place(nc, position, before, &at, err)) {
        return false;
    }
    if (!nc->filters) {
        nc->filters = g_ptr_array_new();
    }
    g_ptr_array_insert(nc->filters, at, f);
    f->netdev = nc;
    if (!all) {
        all = g_ptr_array_new();
    }
    g_ptr_array_add(all, f);
    return true;
}

void net_filter_remove(NetFilter *f)
{
    NetClient *nc = all && g_ptr_array_remove(all, f) ? f->netdev : NULL;

    if (nc && nc->filters) {
        g_ptr_array_remove(nc->filters, f);
    }
}

void net_filters_orphan(NetClient *nc)
{
    for (guint i = 0; nc->filters && i < nc->filters->len; i++) {
        ((NetFilter *)nc->filters->pdata[i])->netdev = NULL;
    }
    g_clear_pointer(&nc->filters, g_ptr_array_unref);
}

static void see(const NetClient *nc, bool tx, const struct iovec *iov, int n)
{
    for (guint i = 0; nc->filters && i < nc->filters->len; i++) {
        NetFilter *f = nc->filters->pdata[i];
        if (f->on && (tx ? f->tx : f->rx)) {
            f->see(f, iov, n);
        }
    }
}

static void see_frame(void *opaque, const struct iovec *iov, int n, const NetOffload *off)
{
    NetClient *from = opaque;

    see(from, true, iov, n);
    see(from->peer, false, iov, n);
}

/* As on a real wire: with checksums, in segments. */
void net_filters_see(NetClient *from, const struct iovec *iov, int n, const NetOffload *off)
{
    if (off && net_offload_needed(off, 0)) {
        net_finish(iov, n, iov_size(iov, n), off, 0, see_frame, from);
    } else {
        see_frame(from, iov, n, NULL);
    }
}

void net_filters_info(const NetClient *nc, GString *out)
{
    if (!nc->filters || !nc->filters->len) {
        return;
    }
    g_string_append(out, "filters:\n");
    for (guint i = 0; i < nc->filters->len; i++) {
        const NetFilter *f = nc->filters->pdata[i];
        g_string_append_printf(out, "  - %s: type=%s,status=%s\n", f->id, f->type,
                               f->on ? "on" : "off");
    }
}
