/* SPDX-License-Identifier: MIT */
/*
 * KVM's share of accel/eventfd.h: doorbells as ioeventfds, interrupts as irqfds with a route
 * each in the table of global system interrupts.
 *
 * A doorbell is a place in a region; the kernel wants an address.  Whenever the list or the
 * flat view changes, the addresses are found again and the difference is told.
 *
 * Source: api.rst 4.52 KVM_SET_GSI_ROUTING, 4.59 KVM_IOEVENTFD, 4.75 KVM_IRQFD.
 */
#include "accel/kvm/kvm.h"

#include <inttypes.h>
#include <string.h>

#include "accel/eventfd.h"
#include "util/log.h"

/* ---- doorbells ------------------------------------------------------------------------------ */

static GArray *assigned;                /* of struct kvm_ioeventfd [bql] */

typedef struct Search {
    GArray *out;
    const MemSection *s;
    uint32_t flags;
} Search;

static void match_one(const Doorbell *d, void *opaque)
{
    const Search *f = opaque;

    if (d->fd >= 0 && d->region == f->s->region && d->off >= f->s->off && d->off - f->s->off < f->s->size) {
        struct kvm_ioeventfd e = {
            .addr = f->s->start + (d->off - f->s->off), .len = d->size, .fd = d->fd,
            .flags = f->flags | (d->match ? KVM_IOEVENTFD_FLAG_DATAMATCH : 0),
            .datamatch = d->match ? d->data : 0,
        };
        g_array_append_val(f->out, e);
    }
}

static void match_section(const MemSection *s, void *opaque)
{
    Search *f = opaque;

    if (s->region) {
        f->s = s;
        doorbell_foreach(match_one, f);
    }
}

static bool contains(const GArray *list, const struct kvm_ioeventfd *e)
{
    for (guint n = 0; n < list->len; n++) {
        if (!memcmp(&g_array_index(list, struct kvm_ioeventfd, n), e, sizeof(*e))) {
            return true;
        }
    }
    return false;
}

static void assign(struct kvm_ioeventfd e, uint32_t flag)
{
    e.flags |= flag;
    int res = kvm_ioctl(kvm.vm, KVM_IOEVENTFD, &e);
    if (res < 0) {
        LOG(LOG_UNIMP, "kvm: ioeventfd at %" PRIx64 ": %s\n", (uint64_t)e.addr, g_strerror(-res));
    }
}

static void find_doorbells(void)
{
    GArray *wanted = g_array_new(FALSE, FALSE, sizeof(struct kvm_ioeventfd));
    Search f = { wanted };

    address_space_foreach(&address_space_memory, match_section, &f);
    f.flags = KVM_IOEVENTFD_FLAG_PIO;
    address_space_foreach(&address_space_io, match_section, &f);
    for (guint n = 0; n < assigned->len; n++) {
        const struct kvm_ioeventfd *e = &g_array_index(assigned, struct kvm_ioeventfd, n);
        if (!contains(wanted, e)) {
            assign(*e, KVM_IOEVENTFD_FLAG_DEASSIGN);
        }
    }
    for (guint n = 0; n < wanted->len; n++) {
        const struct kvm_ioeventfd *e = &g_array_index(wanted, struct kvm_ioeventfd, n);
        if (!contains(assigned, e)) {
            assign(*e, 0);
        }
    }
    g_array_free(assigned, TRUE);
    assigned = wanted;
}

static void count_one(const Doorbell *d, void *opaque)
{
    ++*(unsigned *)opaque;
}

static void map_changed(void *opaque, bool changed)
{
    unsigned count = 0;

    doorbell_foreach(count_one, &count);
    if (changed && (count || assigned->len)) {
        find_doorbells();
    }
}

/* ---- the table of interrupts ------------------------------------------------------------------ */

/* The target's chips come first; messages follow.  An entry of type 0 is free. */
static GArray *routes;                  /* of struct kvm_irq_routing_entry [bql] */
static unsigned first_message, max_routes;

static bool set_routes(void)
{
    struct kvm_irq_routing *table = g_malloc0(sizeof(*table)
                                              + routes->len * sizeof(table->entries[0]));

    for (guint n = 0; n < routes->len; n++) {
        const struct kvm_irq_routing_entry *e = &g_array_index(routes, struct kvm_irq_routing_entry, n);
        if (e->type) {
            table->entries[table->nr++] = *e;
        }
    }
    int res = kvm_ioctl(kvm.vm, KVM_SET_GSI_ROUTING, table);
    g_free(table);
    return kvm_told(res, "interrupts can't be routed (KVM_SET_GSI_ROUTING)");
}

bool kvm_routes_init(const struct kvm_irq_routing_entry *e, unsigned count)
{
    unsigned last = 0;

    if (!routes) {
        routes = g_array_new(FALSE, TRUE, sizeof(*e));
    }
    for (unsigned n = 0; n < count; n++) {
        last = MAX(last, e[n].gsi);
    }
    g_array_append_vals(routes, e, count);
    first_message = last + 1;
    max_routes = kvm_cap(KVM_CAP_IRQ_ROUTING);
    return set_routes();
}

struct kvm_irq_routing_entry *kvm_route(unsigned gsi, unsigned type)
{
    for (guint n = 0; routes && n < routes->len; n++) {
        struct kvm_irq_routing_entry *e = &g_array_index(routes, struct kvm_irq_routing_entry, n);
        if (e->gsi == gsi && e->type == type) {
            return e;
        }
    }
    return NULL;
}

bool kvm_routes_changed(void)
{
    return set_routes();
}

void kvm_route_message(struct kvm_irq_routing_entry *e, uint64_t addr, uint32_t data)
{
    addr = kvm_target.message ? kvm_target.message(addr) : addr;
    e->u.msi.address_lo = addr;
    e->u.msi.address_hi = addr >> 32;
    e->u.msi.data = data;
}

/* A number that no entry has, above those of the chips. */
static unsigned free_gsi(void)
{
    unsigned gsi = first_message;

    while (kvm_route(gsi, KVM_IRQ_ROUTING_MSI)) {
        gsi++;
    }
    return gsi;
}

static unsigned irqfd_add(int fd, uint64_t addr, uint32_t data)
{
    struct kvm_irq_routing_entry e = { .type = KVM_IRQ_ROUTING_MSI };

    if (routes->len >= max_routes) {
        return 0;
    }
    e.gsi = free_gsi();
    kvm_route_message(&e, addr, data);
    g_array_append_val(routes, e);
    struct kvm_irqfd irq = { .fd = fd, .gsi = e.gsi };
    if (set_routes() && kvm_ioctl(kvm.vm, KVM_IRQFD, &irq) >= 0) {
        return e.gsi;
    }
    g_array_set_size(routes, routes->len - 1);
    set_routes();
    return 0;
}

static bool irqfd_change(unsigned gsi, uint64_t addr, uint32_t data)
{
    struct kvm_irq_routing_entry *e = kvm_route(gsi, KVM_IRQ_ROUTING_MSI);

    kvm_route_message(e, addr, data);
    return set_routes();
}

static void irqfd_del(unsigned gsi, int fd)
{
    struct kvm_irqfd irq = { .fd = fd, .gsi = gsi, .flags = KVM_IRQFD_FLAG_DEASSIGN };
    struct kvm_irq_routing_entry *e = kvm_route(gsi, KVM_IRQ_ROUTING_MSI);

    kvm_ioctl(kvm.vm, KVM_IRQFD, &irq);
    g_array_remove_index(routes, e - (struct kvm_irq_routing_entry *)(void *)routes->data);
    set_routes();
}

static EventfdOps eventfd_ops = {
    .doorbells = find_doorbells, .irqfd_add = irqfd_add, .irqfd_change = irqfd_change,
    .irqfd_del = irqfd_del, .irqfd_sent = kvm_poke,
};

static const MemListener map_listener = { .commit = map_changed };

void kvm_eventfd_init(void)
{
    if (!kvm_cap(KVM_CAP_IOEVENTFD) || !kvm_cap(KVM_CAP_IOEVENTFD_ANY_LENGTH)) {
        return;
    }
    if (!kvm.irqchip || !kvm_cap(KVM_CAP_IRQFD)) {
        eventfd_ops.irqfd_add = NULL;
    }
    assigned = g_array_new(FALSE, FALSE, sizeof(struct kvm_ioeventfd));
    address_space_listen(&address_space_memory, &map_listener, NULL);
    address_space_listen(&address_space_io, &map_listener, NULL);
}

void kvm_eventfd_active(bool on)
{
    if (assigned) {
        eventfd_set_ops(on ? &eventfd_ops : NULL);
    }
}

void kvm_eventfd_info(GString *out)
{
    unsigned messages = 0;

    for (guint n = 0; routes && n < routes->len; n++) {
        const struct kvm_irq_routing_entry *e = &g_array_index(routes, struct kvm_irq_routing_entry, n);
        messages += e->type == KVM_IRQ_ROUTING_MSI && e->gsi >= first_message;
    }
    g_string_append_printf(out, "doorbells: %u (rung %" PRIu64 " times), interrupts by eventfd: %u\n",
                           assigned ? assigned->len : 0, doorbells_rung(), messages);
}
