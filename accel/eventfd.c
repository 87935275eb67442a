/* SPDX-License-Identifier: MIT */
/*
 * Doorbells and interrupts by eventfd: the lists, and the way without an accelerator's help.
 */
#include "accel/eventfd.h"

#include <unistd.h>

#include "util/mainloop.h"

struct IrqFd {
    int fd;
    void (*fire)(void *opaque);
    void *opaque;
    bool routed;
    uint64_t addr;
    uint32_t data;
    unsigned handle;                    /* the accelerator's; 0: the main loop's */
    guint watch;
};

static const EventfdOps *ops;
static GArray *doorbells;               /* of Doorbell */
static GPtrArray *irqfds;               /* of IrqFd * */

/* ---- doorbells ---------------------------------------------------------------------------- */

static bool same(const Doorbell *a, const Doorbell *b)
{
    return a->region == b->region && a->off == b->off && a->size == b->size
           && a->match == b->match && a->fd == b->fd && (!a->match || a->data == b->data);
}

static void tell(void)
{
    if (ops && ops->doorbells) {
        ops->doorbells();
    }
}

void doorbell_add(const Doorbell *d)
{
    if (!doorbells) {
        doorbells = g_array_new(FALSE, FALSE, sizeof(Doorbell));
    }
    g_array_append_val(doorbells, *d);
    tell();
}

void doorbell_del(const Doorbell *d)
{
    for (guint n = 0; doorbells && n < doorbells->len; n++) {
        if (same(&g_array_index(doorbells, Doorbell, n), d)) {
            g_array_remove_index(doorbells, n);
            tell();
            return;
        }
    }
}

void doorbell_foreach(void (*fn)(const Doorbell *d, void *opaque), void *opaque)
{
    for (guint n = 0; doorbells && n < doorbells->len; n++) {
        fn(&g_array_index(doorbells, Doorbell, n), opaque);
    }
}

/* ---- interrupts ----------------------------------------------------------------------------- */

static void rung(int fd, GIOCondition cond, void *opaque)
{
    IrqFd *f = opaque;
    uint64_t count;

    if (read(fd, &count, sizeof(count)) == sizeof(count)) {
        f->fire(f->opaque);
    }
}

/* By the accelerator if it can, else by the main loop.  An event that comes while it changes
 * hands stays in the eventfd and is found by the next one. */
static void settle(IrqFd *f)
{
    if (f->handle && !f->routed) {
        ops->irqfd_del(f->handle, f->fd);
        f->handle = 0;
    }
    if (!f->handle && f->routed && ops && ops->irqfd_add) {
        mainloop_unwatch(f->watch);
        f->watch = 0;
        f->handle = ops->irqfd_add(f->fd, f->addr, f->data);
    }
    if (!f->handle && !f->watch) {
        f->watch = mainloop_watch(f->fd, G_IO_IN, rung, f);
    }
}

IrqFd *irqfd_new(int fd, void (*fire)(void *opaque), void *opaque)
{
    IrqFd *f = g_new0(IrqFd, 1);

    *f = (IrqFd) { .fd = fd, .fire = fire, .opaque = opaque };
    if (!irqfds) {
        irqfds = g_ptr_array_new();
    }
    g_ptr_array_add(irqfds, f);
    settle(f);
    return f;
}

void irqfd_route(IrqFd *f, uint64_t addr, uint32_t data)
{
    bool changed = !f->routed || f->addr != addr || f->data != data;

    f->routed = true;
    f->addr = addr;
    f->data = data;
    if (f->handle && changed && !ops->irqfd_change(f->handle, addr, data)) {
        ops->irqfd_del(f->handle, f->fd);
        f->handle = 0;
    }
    settle(f);
}

void irqfd_unroute(IrqFd *f)
{
    f->routed = false;
    settle(f);
}

void irqfd_free(IrqFd *f)
{
    if (f->handle) {
        ops->irqfd_del(f->handle, f->fd);
    }
    mainloop_unwatch(f->watch);
    g_ptr_array_remove(irqfds, f);
    g_free(f);
}

bool irqfd_direct(const IrqFd *f)
{
    return f->handle != 0;
}

void eventfd_set_ops(const EventfdOps *new_ops)
{
    if (new_ops == ops) {
        return;
    }
    for (guint n = 0; irqfds && n < irqfds->len; n++) {
        IrqFd *f = g_ptr_array_index(irqfds, n);
        if (f->handle) {
            ops->irqfd_del(f->handle, f->fd);
            f->handle = 0;
        }
    }
    ops = new_ops;
    for (guint n = 0; irqfds && n < irqfds->len; n++) {
        settle(g_ptr_array_index(irqfds, n));
    }
    tell();
}
