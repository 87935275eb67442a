/* SPDX-License-Identifier: MIT */
/*
 * KVM's memory slots: one for each section of the flat view that is RAM, ROM or flash in
 * array mode.  Stores to read-only ones come back as MMIO exits, and so does everything
 * without a slot; both go through the address space like any other access.
 *
 * The kernel maps guest RAM by the addresses of this process, so a slot is nothing but
 * { guest address, size, host address, flags }.  Slots can't overlap and can't be cut: the
 * listener hears deletions before additions, piece by piece.
 *
 * Dirty log: while a region is watched (display, migration) its slots carry
 * KVM_MEM_LOG_DIRTY_PAGES; log_sync fetches the kernel's bitmap and tells ram_written, as if
 * an engine of ours had done the stores.  With KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 the pages are
 * protected again by KVM_CLEAR_DIRTY_LOG, only those found dirty.
 *
 * Source: api.rst 4.35 KVM_SET_USER_MEMORY_REGION, 4.8 KVM_GET_DIRTY_LOG, 4.117
 * KVM_CLEAR_DIRTY_LOG.
 */
#include "accel/kvm/kvm.h"

#include <inttypes.h>
#include "util/log.h"

typedef struct Slot {
    hwaddr start;
    uint64_t size;                      /* 0: free */
    RamBlock *ram;
    uint64_t off;                       /* in ram */
    uint32_t flags;
} Slot;

static GArray *slots;                   /* of Slot, by slot number [bql] */
/* Pieces that the kernel has no slot for, or refused.  While there are any the kernel runs no
 * guest code: it would take them for devices, page tables and code among them. [bql] */
static GArray *homeless;

/* From the last one down: kvm_slots_drop_shadow, kvm_slots_own_page. */
#define OWN_SLOTS 2

static bool set_slot(unsigned n)
{
    const Slot *s = &g_array_index(slots, Slot, n);
    struct kvm_userspace_memory_region r = {
        .slot = n, .flags = s->flags, .guest_phys_addr = s->start, .memory_size = s->size,
        .userspace_addr = s->size ? (uintptr_t)(s->ram->host + s->off) : 0,
    };
    int res = kvm_ioctl(kvm.vm, KVM_SET_USER_MEMORY_REGION, &r);
    if (res < 0 && !s->size) {
        error_report("kvm: the kernel keeps memory slot %u: %s", n, g_strerror(-res));
    } else if (res < 0 && !homeless->len) {
        error_report("kvm: the kernel can't map %" PRIx64 "-%" PRIx64 " (slot %u): %s; the interpreter "
                     "runs the guest as long as it is so", s->start, s->start + s->size - 1, n,
                     g_strerror(-res));
    }
    return res >= 0;
}

/* -1: none is left. */
static int free_slot(void)
{
    for (unsigned n = 0; n < slots->len; n++) {
        if (!g_array_index(slots, Slot, n).size) {
            return n;
        }
    }
    if (slots->len >= kvm.max_slots - OWN_SLOTS) {
        if (!homeless->len) {
            error_report("kvm: the memory map needs more than the %u slots of this kernel: the "
                         "interpreter runs the guest as long as it is so; take devices away, or run "
                         "with -accel tcg", kvm.max_slots);
        }
        return -1;
    }
    g_array_set_size(slots, slots->len + 1);
    return slots->len - 1;
}

/* ---- pieces that have no slot ------------------------------------------------------------------ */

/* vCPUs in the kernel look at kvm.homeless again. */
static void homeless_changed(void)
{
    bool none = !homeless->len;

    if (__atomic_exchange_n(&kvm.homeless, homeless->len, __ATOMIC_SEQ_CST) && none) {
        LOG(LOG_UNIMP, "kvm: every piece of memory has a slot again\n");
    }
    for (guint n = 0; !none && n < cpus->len; n++) {
        kvm_cpu_kick(cpu_by_index(n));
    }
}

static bool find_home(const Slot *s)
{
    int n = free_slot();

    if (n < 0) {
        return false;
    }
    g_array_index(slots, Slot, n) = *s;
    if (!set_slot(n)) {
        g_array_index(slots, Slot, n).size = 0;
        return false;
    }
    return true;
}

static bool is_homeless(const Slot *part, guint *at)
{
    for (guint n = 0; n < homeless->len; n++) {
        const Slot *s = &g_array_index(homeless, Slot, n);
        if (s->start == part->start && s->size == part->size) {
            *at = n;
            return true;
        }
    }
    return false;
}

/* A slot became free. */
static void house_one(void)
{
    if (homeless->len && find_home(&g_array_index(homeless, Slot, homeless->len - 1))) {
        g_array_set_size(homeless, homeless->len - 1);
        homeless_changed();
    }
}

/* The part of a section that is whole pages; the rest goes through MMIO exits. */
static bool page_part(const MemSection *s, Slot *out)
{
    if (!s->region || !s->region->ram || !s->direct) {
        return false;
    }
    hwaddr first = (s->start + GUEST_PAGE_SIZE - 1) & GUEST_PAGE_MASK;
    hwaddr end = (s->start + (hwaddr)s->size) & GUEST_PAGE_MASK;
    uint64_t off = s->off + (first - s->start);
    if (end <= first || (off & (GUEST_PAGE_SIZE - 1))) {
        return false;
    }
    *out = (Slot) { .start = first, .size = end - first, .ram = s->region->ram, .off = off };
    return true;
}

static bool logged(const Region *r)
{
    for (int who = 0; who < DIRTY_CLIENTS; who++) {
        if (r->log[who]) {
            return true;
        }
    }
    return false;
}

static uint32_t slot_flags(const MemSection *s)
{
    return (section_direct_store(s) || !kvm.readonly_mem ? 0 : KVM_MEM_READONLY)
           | (logged(s->region) ? KVM_MEM_LOG_DIRTY_PAGES : 0);
}

static void slot_add(void *opaque, const MemSection *s)
{
    Slot part;

    if (!page_part(s, &part) || (!section_direct_store(s) && !kvm.readonly_mem)) {
        return;
    }
    part.flags = slot_flags(s);
    if (!find_home(&part)) {
        g_array_append_val(homeless, part);
        homeless_changed();
    }
}

static int slot_find(const MemSection *s)
{
    Slot part;

    if (!page_part(s, &part)) {
        return -1;
    }
    for (unsigned n = 0; n < slots->len; n++) {
        const Slot *have = &g_array_index(slots, Slot, n);
        if (have->size && have->start == part.start && have->size == part.size) {
            return n;
        }
    }
    return -1;
}

/* ---- the dirty log ----------------------------------------------------------------------- */

static void tell_dirty(const Slot *s, const unsigned long *bits)
{
    uint64_t pages = s->size / GUEST_PAGE_SIZE;
    const unsigned word = 8 * sizeof(*bits);

    for (uint64_t p = 0; p < pages; p++) {
        if (p % word == 0 && !bits[p / word]) {
            p += word - 1;
        } else if (bits[p / word] >> (p % word) & 1) {
            ram_written(s->ram, s->off + p * GUEST_PAGE_SIZE, GUEST_PAGE_SIZE);
        }
    }
}

static void slot_sync(unsigned n)
{
    const Slot *s = &g_array_index(slots, Slot, n);
    uint64_t pages = s->size / GUEST_PAGE_SIZE;

    if (!(s->flags & KVM_MEM_LOG_DIRTY_PAGES)) {
        return;
    }
    unsigned long *bits = g_malloc0((pages + 63) / 64 * 8);
    struct kvm_dirty_log log = { .slot = n, .dirty_bitmap = bits };
    int res = kvm_ioctl(kvm.vm, KVM_GET_DIRTY_LOG, &log);
    if (res < 0) {
        LOG(LOG_UNIMP, "kvm: dirty log of slot %u: %s\n", n, g_strerror(-res));
        memset(bits, 0xff, (pages + 63) / 64 * 8);
    } else if (kvm.initially_set) {
        struct kvm_clear_dirty_log clear = { .slot = n, .dirty_bitmap = bits };
        clear.num_pages = pages;
        kvm_ioctl(kvm.vm, KVM_CLEAR_DIRTY_LOG, &clear);
    }
    tell_dirty(s, bits);
    g_free(bits);
}

static void log_sync(void *opaque, const MemSection *s)
{
    int n = slot_find(s);
    if (n >= 0) {
        slot_sync(n);
    }
}

static void log_switch(void *opaque, const MemSection *s)
{
    int n = slot_find(s);
    if (n < 0) {
        return;
    }
    Slot *have = &g_array_index(slots, Slot, n);
    uint32_t flags = slot_flags(s);
    if (flags != have->flags) {
        have->flags = flags;
        set_slot(n);
    }
}

/* Called before the last user is counted off, or after: what counts is Region.log. */
static void log_stop(void *opaque, const MemSection *s)
{
    log_sync(opaque, s);
    log_switch(opaque, s);
}

static void slot_del(void *opaque, const MemSection *s)
{
    Slot part;
    guint at;
    int n = slot_find(s);

    if (n >= 0) {
        slot_sync(n);                   /* its bits go with it */
        g_array_index(slots, Slot, n).size = 0;
        set_slot(n);
        house_one();
    } else if (page_part(s, &part) && is_homeless(&part, &at)) {
        g_array_remove_index(homeless, at);
        homeless_changed();
    }
}

static const MemListener listener = {
    .region_add = slot_add, .region_del = slot_del,
    .log_start = log_switch, .log_sync = log_sync, .log_stop = log_stop,
};

/*
 * With shadow paging the kernel keeps copies of the guest's page tables and hears of changes
 * because the guest can't store to them unseen; we can.  Taking any slot away makes it drop
 * every copy, so a page of our own comes and goes.
 */
#define PASSING_PAGE 0xfeffb000ull      /* below the pages of KVM_SET_TSS_ADDR: nothing is there */

bool kvm_slots_own_page(hwaddr at, const void *host)
{
    struct kvm_userspace_memory_region r = {
        .slot = kvm.max_slots - 2, .guest_phys_addr = at, .memory_size = GUEST_PAGE_SIZE,
        .userspace_addr = (uintptr_t)host, .flags = kvm.readonly_mem ? KVM_MEM_READONLY : 0,
    };
    return kvm_ioctl(kvm.vm, KVM_SET_USER_MEMORY_REGION, &r) >= 0;
}

void kvm_slots_drop_shadow(void)
{
    static uint8_t page[GUEST_PAGE_SIZE] __attribute__((aligned(GUEST_PAGE_SIZE)));
    struct kvm_userspace_memory_region r = {
        .slot = kvm.max_slots - 1, .guest_phys_addr = PASSING_PAGE, .memory_size = sizeof(page),
        .userspace_addr = (uintptr_t)page, .flags = kvm.readonly_mem ? KVM_MEM_READONLY : 0,
    };
    static GMutex lock;                 /* several vCPUs may come at once */

    g_mutex_lock(&lock);
    if (kvm_ioctl(kvm.vm, KVM_SET_USER_MEMORY_REGION, &r) >= 0) {
        r.memory_size = 0;
        kvm_ioctl(kvm.vm, KVM_SET_USER_MEMORY_REGION, &r);
    }
    g_mutex_unlock(&lock);
}

void kvm_slots_probe(void)
{
    kvm.max_slots = MAX(kvm_cap(KVM_CAP_NR_MEMSLOTS), 32);
    kvm.readonly_mem = kvm_cap(KVM_CAP_READONLY_MEM) > 0;
}

void kvm_slots_init(void)
{
    slots = g_array_new(FALSE, TRUE, sizeof(Slot));
    homeless = g_array_new(FALSE, TRUE, sizeof(Slot));
    kvm.initially_set = (kvm_cap(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2) & KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE)
                        && kvm_enable_cap(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
                                          KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE);
    memory_init();
    address_space_listen(&address_space_memory, &listener, NULL);
}

void kvm_slots_info(GString *out)
{
    unsigned used = 0;
    for (unsigned n = 0; n < slots->len; n++) {
        used += g_array_index(slots, Slot, n).size != 0;
    }
    g_string_append_printf(out, "memory slots: %u of %u\n", used, kvm.max_slots);
    if (homeless->len) {
        g_string_append_printf(out, "pieces of memory without a slot: %u, so the interpreter runs the "
                               "guest\n", homeless->len);
    }
}
