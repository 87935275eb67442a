/* SPDX-License-Identifier: MIT */
/*
 * Doorbells and interrupts by eventfd: the lists, and the files behind them.
 */
#include "accel/eventfd.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include "util/mainloop.h"

struct IrqFd {
    int fd;
    uint64_t addr;
    uint32_t data;
    unsigned handle;                    /* the accelerator's; 0: none */
    bool refused;                       /* ... and not to be had for this message */
};

static const EventfdOps *ops;
static GPtrArray *bells;                /* of Doorbell * */
static GPtrArray *gone;                 /* deleted, the accelerator does not know yet */
static GPtrArray *irqfds;               /* of IrqFd * */
static unsigned open_bells;
static uint64_t rung;

static bool clear(int fd)
{
    uint64_t count;
    return read(fd, &count, sizeof(count)) == sizeof(count);
}

/* ---- doorbells ---------------------------------------------------------------------------- */

static void heard(int fd, GIOCondition cond, void *opaque)
{
    Doorbell *d = opaque;

    if (clear(fd)) {
        rung++;
        d->rang(d->opaque, d->number);
    }
}

static void open_bell(Doorbell *d)
{
    if (d->fd >= 0 || open_bells >= DOORBELLS_MAX) {
        return;
    }
    d->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (d->fd >= 0) {
        open_bells++;
        d->watch = mainloop_watch(d->fd, G_IO_IN, heard, d);
    }
}

static void close_bell(Doorbell *d)
{
    if (d->fd >= 0) {
        mainloop_unwatch(d->watch);
        close(d->fd);
        d->fd = -1;
        open_bells--;
    }
}

Doorbell *doorbell_add(const Doorbell *from)
{
    Doorbell *d = g_new(Doorbell, 1);

    *d = *from;
    d->fd = -1;
    if (!bells) {
        bells = g_ptr_array_new();
        gone = g_ptr_array_new();
    }
    g_ptr_array_add(bells, d);
    if (ops) {
        open_bell(d);
    }
    return d;
}

void doorbell_del(Doorbell *d)
{
    g_ptr_array_remove(bells, d);
    g_ptr_array_add(gone, d);
    if (d->fd >= 0) {
        mainloop_unwatch(d->watch);
        d->watch = 0;
    }
}

void doorbells_commit(void)
{
    if (ops && ops->doorbells) {
        ops->doorbells();
    }
    for (guint n = 0; gone && n < gone->len; n++) {
        Doorbell *d = g_ptr_array_index(gone, n);
        close_bell(d);
        g_free(d);
    }
    if (gone) {
        g_ptr_array_set_size(gone, 0);
    }
}

void doorbells_settle(void)
{
    for (guint n = 0; bells && n < bells->len; n++) {
        Doorbell *d = g_ptr_array_index(bells, n);
        if (d->fd >= 0) {
            heard(d->fd, G_IO_IN, d);
        }
    }
}

uint64_t doorbells_rung(void)
{
    return rung;
}

void doorbell_foreach(void (*fn)(const Doorbell *d, void *opaque), void *opaque)
{
    for (guint n = 0; bells && n < bells->len; n++) {
        fn(g_ptr_array_index(bells, n), opaque);
    }
}

/* ---- interrupts ----------------------------------------------------------------------------- */

IrqFd *irqfd_new(void)
{
    IrqFd *f = g_new0(IrqFd, 1);

    f->fd = -1;
    if (!irqfds) {
        irqfds = g_ptr_array_new();
    }
    g_ptr_array_add(irqfds, f);
    return f;
}

static void leave(IrqFd *f)
{
    if (f->handle) {
        ops->irqfd_del(f->handle, f->fd);
        f->handle = 0;
    }
    if (f->fd >= 0) {
        close(f->fd);
        f->fd = -1;
    }
}

static void join(IrqFd *f)
{
    f->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    f->handle = f->fd >= 0 ? ops->irqfd_add(f->fd, f->addr, f->data) : 0;
    f->refused = !f->handle;
    if (f->refused) {
        leave(f);
    }
}

bool irqfd_send(IrqFd *f, uint64_t addr, uint32_t data)
{
    const uint64_t one = 1;

    if (!ops || !ops->irqfd_add) {
        return false;
    }
    if (f->addr != addr || f->data != data) {
        f->addr = addr;
        f->data = data;
        f->refused = false;
        if (f->handle && !ops->irqfd_change(f->handle, addr, data)) {
            leave(f);
        }
    }
    if (!f->handle && !f->refused) {
        join(f);
    }
    if (!f->handle || write(f->fd, &one, sizeof(one)) != sizeof(one)) {
        return false;
    }
    if (ops->irqfd_sent) {
        ops->irqfd_sent();
    }
    return true;
}

void irqfd_free(IrqFd *f)
{
    leave(f);
    g_ptr_array_remove(irqfds, f);
    g_free(f);
}

/* ---- accelerators ----------------------------------------------------------------------------- */

void eventfd_set_ops(const EventfdOps *new_ops)
{
    GPtrArray *kept = bells;

    if (new_ops == ops) {
        return;
    }
    doorbells_settle();
    if (ops && ops->doorbells) {
        bells = NULL;                   /* it lets go of them all */
        ops->doorbells();
        bells = kept;
    }
    for (guint n = 0; irqfds && n < irqfds->len; n++) {
        IrqFd *f = g_ptr_array_index(irqfds, n);
        leave(f);
        f->refused = false;
    }
    for (guint n = 0; bells && n < bells->len; n++) {
        Doorbell *d = g_ptr_array_index(bells, n);
        new_ops ? open_bell(d) : close_bell(d);
    }
    ops = new_ops;
    doorbells_commit();
}
