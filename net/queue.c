/* SPDX-License-Identifier: MIT */
/*
 * The way of a frame from one end to the other: link, filters, offload, back-pressure.
 */
#include "net/queue.h"
#include "net/offload.h"
#include "util/iov.h"

#include <string.h>

/* A frame that waits */
typedef struct Frame {
    NetOffload off;
    bool has_off;
    size_t len;
    uint8_t data[];
} Frame;

static bool stopped;                    /* cards get nothing */

static bool can_receive(NetClient *nc)
{
    if (nc->delivering || (stopped && nc->is_nic)) {
        return false;
    }
    return nc->link_down || !nc->ops->can_receive || nc->ops->can_receive(nc);
}

static bool call_receive(NetClient *to, const struct iovec *iov, int n, const NetOffload *off)
{
    if (to->link_down) {
        return true;                    /* lost on the way */
    }
    to->delivering = true;
    bool taken = to->ops->receive(to, iov, n, off);
    to->delivering = false;
    return taken;
}

static void keep(NetClient *to, const struct iovec *iov, int n, const NetOffload *off)
{
    NetClient *from = to->peer;
    size_t len = iov_size(iov, n);

    if (to->waiting.length >= NET_QUEUE_FRAMES) {
        if (from) {
            from->sent.dropped++;
        }
        return;
    }
    Frame *f = g_malloc(sizeof(*f) + len);
    f->len = len;
    f->has_off = off != NULL;
    if (off) {
        f->off = *off;
    }
    iov_to_buf(iov, n, 0, f->data, len);
    g_queue_push_tail(&to->waiting, f);
}

bool net_deliver(NetClient *to, const struct iovec *iov, int n, const NetOffload *off)
{
    if (to->waiting.length || !can_receive(to) || !call_receive(to, iov, n, off)) {
        keep(to, iov, n, off);
        if (to->peer) {
            to->peer->blocked = true;
        }
        return false;
    }
    if (to->waiting.length) {
        net_flush(to);                  /* what came while it was at work */
    }
    return true;
}

/* Called by net_finish for each of the frames that one becomes. */
typedef struct Delivery {
    NetClient *to;
    bool taken;
} Delivery;

static void deliver_part(void *opaque, const struct iovec *iov, int n, const NetOffload *off)
{
    Delivery *d = opaque;
    d->taken = net_deliver(d->to, iov, n, off);
}

bool net_send(NetClient *from, const struct iovec *iov, int n, const NetOffload *off)
{
    NetClient *to = from->peer;
    size_t len = iov_size(iov, n);

    if (len > NET_MAX_FRAME || !len) {
        from->sent.dropped++;
        return true;
    }
    from->sent.frames++;
    from->sent.bytes += len;
    if (!to || from->link_down) {
        return true;
    }
    if (from->filters || to->filters) {
        net_filters_see(from, iov, n, off);
    }
    if (!off || !net_offload_needed(off, to->takes)) {
        return net_deliver(to, iov, n, off);
    }
    Delivery d = { to, true };
    net_finish(iov, n, len, off, to->takes, deliver_part, &d);
    return d.taken;
}

bool net_send_buf(NetClient *from, const void *buf, size_t len)
{
    struct iovec iov = { (void *)buf, len };
    return net_send(from, &iov, 1, NULL);
}

static void set_batch(NetClient *to, bool on)
{
    bool over = to->batch && !on;

    to->batch = on;
    if (over) {
        to->ops->batch_over(to);
    }
}

void net_batch(NetClient *from, bool on)
{
    if (from->peer && from->peer->ops->batch_over) {
        set_batch(from->peer, on);
    }
}

bool net_can_send(NetClient *from)
{
    NetClient *to = from->peer;

    if (!to || from->link_down || (!to->waiting.length && can_receive(to))) {
        return true;
    }
    from->blocked = true;
    return false;
}

void net_flush(NetClient *nc)
{
    while (nc->waiting.length && can_receive(nc)) {
        Frame *f = g_queue_pop_head(&nc->waiting);
        struct iovec iov = { f->data, f->len };
        if (!call_receive(nc, &iov, 1, f->has_off ? &f->off : NULL)) {
            g_queue_push_head(&nc->waiting, f);
            return;
        }
        g_free(f);
    }
    NetClient *from = nc->peer;
    if (from && from->blocked && !nc->waiting.length) {
        from->blocked = false;
        if (from->ops->writable) {
            from->ops->writable(from);
        }
    }
}

void net_purge(NetClient *nc)
{
    g_queue_clear_full(&nc->waiting, g_free);
    if (nc->peer && nc->peer->blocked) {
        nc->peer->blocked = false;
        if (nc->peer->ops->writable) {
            nc->peer->ops->writable(nc->peer);
        }
    }
}

bool net_running(void)
{
    return !stopped;
}

static void flush_one(NetClient *nc, void *opaque)
{
    net_flush(nc);
    if (nc->is_nic && nc->ops->writable) {
        nc->blocked = false;
        nc->ops->writable(nc);
    }
}

static void tell_running(NetClient *nc, void *opaque)
{
    if (nc->ops->running_changed) {
        nc->ops->running_changed(nc);
    }
}

void net_set_running(bool running)
{
    stopped = !running;
    net_foreach(tell_running, NULL);
    if (running) {
        net_foreach(flush_one, NULL);
    }
}
