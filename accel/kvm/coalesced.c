/* SPDX-License-Identifier: MIT */
/*
 * Coalesced stores: the kernel writes stores to regions that allow it (region_coalesce) into a
 * ring in memory shared with us and runs the guest on; an exit comes when the ring is full.
 *
 * Order: whatever a vCPU does next at any device comes after what lies in the ring, so the ring
 * is emptied before each exit is dealt with, before each access of the interpreter's to a
 * device, when run() ends, and when a device asks (memory_flush_coalesced) because it looks at
 * what the guest has stored.
 *
 * Source: api.rst 4.116 KVM_(UN)REGISTER_COALESCED_MMIO.
 */
#include "accel/kvm/kvm.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "util/bql.h"
#include "util/log.h"

typedef struct kvm_coalesced_mmio_zone Zone;

static GArray *zones;                   /* of Zone, as the kernel has them [bql] */
static struct kvm_coalesced_mmio_ring *ring;    /* NULL: none, or not mapped yet */
static bool emptying;                   /* [bql] */
static bool have_ports;
static uint64_t stores, rounds;         /* for info [bql] */

/* ---- the zones ------------------------------------------------------------------------------ */

typedef struct Search {
    GArray *out;
    bool ports;
} Search;

static void match(const MemSection *s, void *opaque)
{
    const Search *f = opaque;

    if (!s->region || !s->region->coalesced_len || s->direct) {
        return;
    }
    hwaddr first = s->region->coalesced_off, end = first + s->region->coalesced_len;
    hwaddr from = MAX(first, s->off), to = MIN(end, s->off + (hwaddr)s->size);
    if (from < to) {
        Zone z = { .addr = s->start + (from - s->off), .size = to - from };
        z.pio = f->ports;
        g_array_append_val(f->out, z);
    }
}

static bool contains(const GArray *list, const Zone *z)
{
    for (guint n = 0; n < list->len; n++) {
        if (!memcmp(&g_array_index(list, Zone, n), z, sizeof(*z))) {
            return true;
        }
    }
    return false;
}

static void tell(unsigned long request, const Zone *z)
{
    int res = kvm_ioctl(kvm.vm, request, z);

    if (res < 0) {
        LOG(LOG_UNIMP, "kvm: coalesced stores at %" PRIx64 ": %s\n", (uint64_t)z->addr,
            g_strerror(-res));
    }
}

static void map_changed(void *opaque, bool changed)
{
    if (!changed) {
        return;
    }
    GArray *wanted = g_array_new(FALSE, FALSE, sizeof(Zone));
    Search f = { wanted, false };
    address_space_foreach(&address_space_memory, match, &f);
    f.ports = true;
    if (have_ports) {
        address_space_foreach(&address_space_io, match, &f);
    }
    for (guint n = 0; n < zones->len; n++) {
        const Zone *z = &g_array_index(zones, Zone, n);
        if (!contains(wanted, z)) {
            tell(KVM_UNREGISTER_COALESCED_MMIO, z);
        }
    }
    for (guint n = 0; n < wanted->len; n++) {
        const Zone *z = &g_array_index(wanted, Zone, n);
        if (!contains(zones, z)) {
            tell(KVM_REGISTER_COALESCED_MMIO, z);
        }
    }
    g_array_free(zones, TRUE);
    zones = wanted;
}

/* ---- the ring ------------------------------------------------------------------------------- */

static bool empty(void)
{
    return !ring || ring->first == __atomic_load_n(&ring->last, __ATOMIC_ACQUIRE);
}

static void one(const struct kvm_coalesced_mmio *e)
{
    AddressSpace *as = e->pio ? &address_space_io : &address_space_memory;
    unsigned len = MIN(e->len, sizeof(e->data));
    uint64_t val = 0;

    if (len & (len - 1)) {
        address_space_write(as, e->phys_addr, e->data, len);
    } else if (len) {
        memcpy(&val, e->data, len);
        address_space_st(as, e->phys_addr, val, len);
    }
    stores++;
}

/* [bql] A store may change the map, which comes back here: one at a time. */
static void empty_ring(void)
{
    const unsigned count = (sysconf(_SC_PAGESIZE) - sizeof(*ring)) / sizeof(ring->coalesced_mmio[0]);

    if (emptying) {
        return;
    }
    emptying = true;
    rounds++;
    while (!empty()) {
        struct kvm_coalesced_mmio e = ring->coalesced_mmio[ring->first % count];
        one(&e);
        __atomic_store_n(&ring->first, (ring->first + 1) % count, __ATOMIC_RELEASE);
    }
    emptying = false;
}

void kvm_coalesced_flush(void)
{
    if (empty()) {
        return;
    }
    bool locked = bql_locked();
    if (!locked) {
        bql_lock();
    }
    empty_ring();
    if (!locked) {
        bql_unlock();
    }
}

static const MemListener listener = { .commit = map_changed };

/* The ring lies behind the vCPUs' shared pages, the same one behind all. */
void kvm_coalesced_cpu(KvmCpu *k)
{
    size_t at = kvm_cap(KVM_CAP_COALESCED_MMIO) * sysconf(_SC_PAGESIZE);

    if (ring || !at || at + sysconf(_SC_PAGESIZE) > kvm.run_size) {
        return;
    }
    ring = (void *)((uint8_t *)k->run + at);
    have_ports = kvm_cap(KVM_CAP_COALESCED_PIO) > 0;
    zones = g_array_new(FALSE, FALSE, sizeof(Zone));
    address_space_listen(&address_space_memory, &listener, NULL);
    address_space_listen(&address_space_io, &listener, NULL);
    map_changed(NULL, true);
}

void kvm_coalesced_active(bool on)
{
    memory_coalesced_hook = on ? kvm_coalesced_flush : NULL;
}

void kvm_coalesced_info(GString *out)
{
    if (ring) {
        g_string_append_printf(out, "coalesced stores: %" PRIu64 " in %" PRIu64 " rounds, %u zones\n",
                               stores, rounds, zones->len);
    }
}
