/* SPDX-License-Identifier: MIT */
/*
 * The dirty log of a region: counts its users, tells the listeners of every address space that
 * shows it (KVM keeps its own log), and asks them to bring their bits in before a look.
 */
#include "memory/flatview.h"
#include "memory/ram.h"

enum { LOG_START, LOG_SYNC, LOG_STOP };

static void tell(AddressSpace *as, const FlatRange *fr, int what)
{
    MemSection s = flatview_section(fr);
    for (guint i = 0; i < as->listeners->len; i++) {
        const Listener *l = g_ptr_array_index(as->listeners, i);
        void (*fn)(void *opaque, const MemSection *s) =
            what == LOG_START ? l->ops->log_start :
            what == LOG_SYNC ? l->ops->log_sync : l->ops->log_stop;
        if (fn) {
            fn(l->opaque, &s);
        }
    }
}

static void tell_all(Region *r, int what, uint64_t off, uint64_t len)
{
    for (AddressSpace *as = address_spaces; as; as = as->next) {
        for (unsigned i = 0; as->listeners->len && i < as->view->n; i++) {
            const FlatRange *fr = &as->view->ranges[i];
            if (fr->region == r && fr->off < off + len && fr->off + (fr->last - fr->start) >= off) {
                tell(as, fr, what);
            }
        }
    }
}

static unsigned users(const Region *r)
{
    unsigned n = 0;
    for (int who = 0; who < DIRTY_CLIENTS; who++) {
        n += r->log[who];
    }
    return n;
}

void dirty_start(Region *r, DirtyClient who)
{
    if (r->log[who]++) {
        return;
    }
    if (!ram_log_start(r->ram, who)) {
        g_error("%s: no memory for the dirty bitmap", r->name);
    }
    if (users(r) == 1) {
        tell_all(r, LOG_START, 0, r->ram->size);
    }
}

void dirty_stop(Region *r, DirtyClient who)
{
    g_assert(r->log[who]);
    if (--r->log[who]) {
        return;
    }
    if (!users(r)) {
        tell_all(r, LOG_STOP, 0, r->ram->size);
    }
    ram_log_stop(r->ram, who);
}

static uint64_t clamp_len(const Region *r, uint64_t off, uint64_t len)
{
    return off >= r->ram->size ? 0 : MIN(len, r->ram->size - off);
}

bool dirty_snapshot(Region *r, DirtyClient who, uint64_t off, uint64_t len, unsigned long *bits)
{
    len = clamp_len(r, off, len);
    if (!len) {
        return false;
    }
    tell_all(r, LOG_SYNC, off, len);
    return ram_log_snapshot(r->ram, who, off, len, bits);
}

bool dirty_test(Region *r, DirtyClient who, uint64_t off, uint64_t len)
{
    len = clamp_len(r, off, len);
    if (len) {
        tell_all(r, LOG_SYNC, off, len);
    }
    return ram_log_test(r->ram, who, off, len);
}

void dirty_set(Region *r, uint64_t off, uint64_t len)
{
    ram_written(r->ram, off, clamp_len(r, off, len));
}
