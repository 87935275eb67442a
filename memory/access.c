/* SPDX-License-Identifier: MIT */
/*
 * Accesses to an address space.  RAM is reached inside an RCU read section without any lock.
 * What ends at a device is looked up again under the big lock, because only that keeps the
 * region alive.  Port I/O of a busy guest passes here millions of times a second: the common
 * case is two hint look-ups, the lock, and the device's function.
 */
#include "memory/flatview.h"
#include "util/bql.h"
#include "util/log.h"
#include "util/rcu.h"

#include <inttypes.h>

/* ---- the device's side -------------------------------------------------------------- */

/*
 * Who is being accessed by this thread, innermost last.  A device that programs its own DMA
 * engine to write its own registers would find itself in the middle of its own state change;
 * hardware has no such recursion, and emulators had many holes by it.
 */
#define MAX_NESTING 8
static __thread const void *active[MAX_NESTING];
static __thread unsigned active_count;

static bool enter_device(const Region *r)
{
    const void *who = r->opaque ? r->opaque : r;
    bool recursion = active_count == MAX_NESTING;
    for (unsigned i = 0; i < active_count && !r->ops->reentrant; i++) {
        recursion |= active[i] == who;
    }
    if (unlikely(recursion)) {
        LOG_GUEST("%s: access from within its own access refused", r->name);
        return false;
    }
    active[active_count++] = who;
    return true;
}

static void leave_device(void)
{
    active_count--;
}

bool memory_guard_enter(const void *opaque)
{
    if (active_count == MAX_NESTING) {
        return false;
    }
    active[active_count++] = opaque;
    return true;
}

void memory_guard_leave(void)
{
    leave_device();
}

static inline uint64_t ones(unsigned size)
{
    return ~0ull >> (64 - 8 * size);
}

static inline unsigned or_default(uint8_t v, unsigned def)
{
    return v ? v : def;
}

static bool valid_size(const Region *r, hwaddr off, unsigned size)
{
    const RegionOps *ops = r->ops;
    if (likely(size >= ops->valid_min && size <= or_default(ops->valid_max, 8))) {
        return true;
    }
    LOG_GUEST("%s: access of %u bytes at offset 0x%" PRIx64 ", takes %u to %u", r->name, size, off,
              or_default(ops->valid_min, 1), or_default(ops->valid_max, 8));
    return false;
}

/* The next piece of an access: as wide as the device takes, not across its natural alignment. */
static unsigned piece_size(const RegionOps *ops, hwaddr off, unsigned left)
{
    unsigned piece = or_default(ops->max, 4);
    while (piece > left || (!ops->unaligned && (off & (piece - 1)))) {
        piece /= 2;
    }
    return piece;
}

static uint64_t read_piece(const Region *r, hwaddr off, unsigned size)
{
    const RegionOps *ops = r->ops;
    if (size >= ops->min) {
        return ops->read(r->opaque, off, size) & ones(size);
    }
    unsigned shift = (off & (ops->min - 1)) * 8;
    return ops->read(r->opaque, off & ~(hwaddr)(ops->min - 1), ops->min) >> shift & ones(size);
}

static void write_piece(const Region *r, hwaddr off, uint64_t val, unsigned size)
{
    const RegionOps *ops = r->ops;
    if (size < ops->min && ops->merge) {
        unsigned shift = (off & (ops->min - 1)) * 8;
        hwaddr base = off & ~(hwaddr)(ops->min - 1);
        uint64_t old = ops->read(r->opaque, base, ops->min);
        val = (old & ~(ones(size) << shift)) | (val & ones(size)) << shift;
        ops->write(r->opaque, base, val & ones(ops->min), ops->min);
    } else {
        ops->write(r->opaque, off, val & ones(size), size);
    }
}

static MemResult device_read(const Region *r, hwaddr off, unsigned size, uint64_t *val)
{
    const RegionOps *ops = r->ops;
    *val = ones(size);
    if (!ops->read || !valid_size(r, off, size)) {
        return MEM_UNASSIGNED;
    }
    if (!enter_device(r)) {
        return MEM_REFUSED;
    }
    uint64_t v = 0;
    for (unsigned done = 0, n; done < size; done += n) {
        n = piece_size(ops, off + done, size - done);
        v |= read_piece(r, off + done, n) << (8 * done);
    }
    *val = v;
    leave_device();
    LOG(LOG_MMIO, "read  %s+0x%" PRIx64 " %u: 0x%" PRIx64 "\n", r->name, off, size, v);
    return MEM_OK;
}

static MemResult device_write(const Region *r, hwaddr off, unsigned size, uint64_t val)
{
    const RegionOps *ops = r->ops;
    LOG(LOG_MMIO, "write %s+0x%" PRIx64 " %u: 0x%" PRIx64 "\n", r->name, off, size, val);
    if (!ops->write || !valid_size(r, off, size)) {
        return MEM_UNASSIGNED;
    }
    if (!enter_device(r)) {
        return MEM_REFUSED;
    }
    for (unsigned done = 0, n; done < size; done += n) {
        n = piece_size(ops, off + done, size - done);
        write_piece(r, off + done, val >> (8 * done), n);
    }
    leave_device();
    return MEM_OK;
}

/* ---- pieces of a transfer ----------------------------------------------------------- */

static uint64_t load_le(const void *p, unsigned size)
{
    switch (size) {
    case 1: return *(const uint8_t *)p;
    case 2: return ld16_le(p);
    case 4: return ld32_le(p);
    case 8: return ld64_le(p);
    }
    uint64_t v = 0;
    for (unsigned i = 0; i < size; i++) {
        v |= (uint64_t)((const uint8_t *)p)[i] << (8 * i);
    }
    return v;
}

static void store_le(void *p, uint64_t v, unsigned size)
{
    switch (size) {
    case 1: *(uint8_t *)p = v; return;
    case 2: st16_le(p, v); return;
    case 4: st32_le(p, v); return;
    case 8: st64_le(p, v); return;
    }
    for (unsigned i = 0; i < size; i++) {
        ((uint8_t *)p)[i] = v >> (8 * i);
    }
}

/* How much of [addr, addr+len) lies in r. */
static inline uint64_t within(const FlatRange *r, hwaddr addr, uint64_t len)
{
    uint64_t rest = r->last - addr;     /* less one: r may be 2^64 long */
    return len - 1 <= rest ? len : rest + 1;
}

/* How much of [addr, addr+len) lies in the hole at addr. */
static uint64_t within_hole(const FlatView *v, hwaddr addr, uint64_t len)
{
    bool found;
    unsigned next = flatview_search(v, addr, &found);
    return next < v->n && v->starts[next] - addr < len ? v->starts[next] - addr : len;
}

static inline FlatView *current_view(AddressSpace *as)
{
    return __atomic_load_n(&as->view, __ATOMIC_ACQUIRE);
}

/* Widest single access a transfer of len bytes at off uses on a device. */
static unsigned transfer_width(const RegionOps *ops, hwaddr off, uint64_t len)
{
    unsigned width = or_default(ops->valid_max, 4);
    while (width > len || (!ops->unaligned && (off & (width - 1)))) {
        width /= 2;
    }
    return width;
}

typedef enum { READ, WRITE, WRITE_ROM } Mode;

/* The part at the start of the transfer that needs no device: RAM, or nothing at all.
 * Returns its length, 0 if a device comes first. */
static uint64_t direct_part(FlatView *v, hwaddr addr, uint8_t *buf, uint64_t len, Mode mode,
                            MemResult *res)
{
    const FlatRange *r = flatview_find(v, addr);
    if (!r) {
        len = within_hole(v, addr, len);
        if (mode == READ) {
            memset(buf, 0xff, len);
        }
        *res |= MEM_UNASSIGNED;
        return len;
    }
    len = within(r, addr, len);
    if (mode == READ && r->direct) {
        memcpy(buf, r->ram->host + r->off + (addr - r->start), len);
        return len;
    }
    if ((mode == WRITE && r->direct_store) || (mode == WRITE_ROM && r->ram)) {
        uint64_t off = r->off + (addr - r->start);
        memcpy(r->ram->host + off, buf, len);
        ram_written(r->ram, off, len);
        return len;
    }
    return mode == WRITE_ROM || (mode == WRITE && r->readonly) ? len : 0;
}

/* One device access at the start of the transfer; the big lock is held. */
static uint64_t device_part(const FlatRange *r, hwaddr addr, uint8_t *buf, uint64_t len, Mode mode,
                            MemResult *res)
{
    hwaddr off = r->off + (addr - r->start);
    unsigned width = transfer_width(r->region->ops, off, within(r, addr, len));
    uint64_t val;
    if (mode == READ) {
        *res |= device_read(r->region, off, width, &val);
        store_le(buf, val, width);
    } else {
        *res |= device_write(r->region, off, width, load_le(buf, width));
    }
    return width;
}

static MemResult transfer(AddressSpace *as, hwaddr addr, uint8_t *buf, uint64_t len, Mode mode)
{
    MemResult res = MEM_OK;
    bool locked = bql_locked(), took = false;
    while (len) {
        rcu_read_lock();
        uint64_t n = direct_part(current_view(as), addr, buf, len, mode, &res);
        rcu_read_unlock();
        if (!n && !locked && !took) {
            bql_lock();
            took = true;
            continue;                   /* the map may have changed on the way */
        }
        if (!n) {
            n = device_part(flatview_find(current_view(as), addr), addr, buf, len, mode, &res);
        }
        if (took) {
            bql_unlock();
            took = false;
        }
        addr += n;
        buf += n;
        len -= n;
    }
    return res;
}

MemResult address_space_read(AddressSpace *as, hwaddr addr, void *buf, uint64_t len)
{
    return transfer(as, addr, buf, len, READ);
}

MemResult address_space_write(AddressSpace *as, hwaddr addr, const void *buf, uint64_t len)
{
    return transfer(as, addr, (uint8_t *)buf, len, WRITE);
}

void address_space_write_rom(AddressSpace *as, hwaddr addr, const void *buf, uint64_t len)
{
    transfer(as, addr, (uint8_t *)buf, len, WRITE_ROM);
}

/* ---- single accesses ---------------------------------------------------------------- */

/* All of [addr, addr+size) lies in r. */
static inline bool whole(const FlatRange *r, hwaddr addr, unsigned size)
{
    return r && r->last - addr >= size - 1;
}

/* An access that begins in one range and ends in another: as the bus would cut it, piece by
 * piece in rising order. */
static uint64_t ld_across(AddressSpace *as, hwaddr addr, unsigned size)
{
    uint8_t buf[8];
    transfer(as, addr, buf, size, READ);
    return load_le(buf, size);
}

static bool ld_direct(AddressSpace *as, hwaddr addr, unsigned size, uint64_t *val)
{
    rcu_read_lock();
    const FlatRange *r = flatview_find(current_view(as), addr);
    bool ok = whole(r, addr, size) && r->direct;
    if (ok) {
        *val = load_le(r->ram->host + r->off + (addr - r->start), size);
    }
    rcu_read_unlock();
    return ok;
}

uint64_t address_space_ld(AddressSpace *as, hwaddr addr, unsigned size)
{
    uint64_t val;
    if (ld_direct(as, addr, size, &val)) {
        return val;
    }
    bool took = !bql_locked();
    if (took) {
        bql_lock();
    }
    const FlatRange *r = flatview_find(current_view(as), addr);
    if (whole(r, addr, size) && !r->direct) {
        device_read(r->region, r->off + (addr - r->start), size, &val);
    } else if (r) {
        val = ld_across(as, addr, size);
    } else {
        LOG(LOG_MMIO, "read  %s 0x%" PRIx64 " %u: nobody\n", as->name, addr, size);
        val = ld_across(as, addr, size);
    }
    if (took) {
        bql_unlock();
    }
    return val;
}

static bool st_direct(AddressSpace *as, hwaddr addr, uint64_t val, unsigned size)
{
    rcu_read_lock();
    const FlatRange *r = flatview_find(current_view(as), addr);
    bool ok = whole(r, addr, size) && (r->direct_store || r->readonly);
    if (ok && r->direct_store) {
        uint64_t off = r->off + (addr - r->start);
        store_le(r->ram->host + off, val, size);
        ram_written(r->ram, off, size);
    }
    rcu_read_unlock();
    return ok;
}

void address_space_st(AddressSpace *as, hwaddr addr, uint64_t val, unsigned size)
{
    if (st_direct(as, addr, val, size)) {
        return;
    }
    bool took = !bql_locked();
    if (took) {
        bql_lock();
    }
    const FlatRange *r = flatview_find(current_view(as), addr);
    if (whole(r, addr, size) && !r->direct_store && !r->readonly) {
        device_write(r->region, r->off + (addr - r->start), size, val);
    } else {
        uint8_t buf[8];
        if (!r) {
            LOG(LOG_MMIO, "write %s 0x%" PRIx64 " %u: 0x%" PRIx64 " nobody\n", as->name, addr,
                size, val);
        }
        store_le(buf, val, size);
        transfer(as, addr, buf, size, WRITE);
    }
    if (took) {
        bql_unlock();
    }
}

/* ---- many accesses at one address ---------------------------------------------------- */

/* The device that is all there is at addr, in view v; NULL: something else. */
static const FlatRange *repeat_device(FlatView *v, hwaddr addr, unsigned size)
{
    const FlatRange *r = flatview_find(v, addr);
    return whole(r, addr, size) && !r->ram ? r : NULL;
}

/* One of them.  false: the device does not take it so. */
static bool repeat_one(const FlatRange *r, hwaddr off, unsigned size, uint8_t *buf, bool write)
{
    uint64_t val;

    if (write) {
        return device_write(r->region, off, size, load_le(buf, size)) == MEM_OK;
    }
    MemResult res = device_read(r->region, off, size, &val);
    store_le(buf, val, size);
    return res == MEM_OK;
}

static unsigned repeat(AddressSpace *as, hwaddr addr, unsigned size, uint8_t *buf, unsigned n,
                       const uint32_t *stop, bool write)
{
    bool took = !bql_locked(), go_on = true;
    unsigned done = 0;

    if (took) {
        bql_lock();
    }
    FlatView *v = current_view(as);
    const FlatRange *r = repeat_device(v, addr, size);
    while (r && go_on && done < n) {
        go_on = repeat_one(r, r->off + (addr - r->start), size, buf + done * size, write)
                && current_view(as) == v && !__atomic_load_n(stop, __ATOMIC_ACQUIRE);
        done++;
    }
    if (took) {
        bql_unlock();
    }
    return done;
}

unsigned address_space_ld_repeat(AddressSpace *as, hwaddr addr, unsigned size, void *buf, unsigned n,
                                 const uint32_t *stop)
{
    return repeat(as, addr, size, buf, n, stop, false);
}

unsigned address_space_st_repeat(AddressSpace *as, hwaddr addr, unsigned size, const void *buf,
                                 unsigned n, const uint32_t *stop)
{
    return repeat(as, addr, size, (uint8_t *)buf, n, stop, true);
}

/* ---- mapping and look-up ------------------------------------------------------------ */

void *address_space_map(AddressSpace *as, hwaddr addr, uint64_t *len, bool write)
{
    void *host = NULL;
    if (!*len) {
        return NULL;
    }
    rcu_read_lock();
    const FlatRange *r = flatview_find(current_view(as), addr);
    if (r && (write ? r->direct_store : r->direct)) {
        host = r->ram->host + r->off + (addr - r->start);
        *len = within(r, addr, *len);
    }
    rcu_read_unlock();
    return host;
}

void address_space_unmap(AddressSpace *as, void *host, uint64_t len, bool write, uint64_t written)
{
    uint64_t off;
    RamBlock *b = write && written ? ram_block_from_host(host, &off) : NULL;
    if (b) {
        ram_written(b, off, MIN(written, len));
    }
}

bool address_space_lookup(AddressSpace *as, hwaddr addr, MemSection *out)
{
    rcu_read_lock();
    FlatView *v = current_view(as);
    const FlatRange *r = flatview_find(v, addr);
    if (r) {
        *out = flatview_section(r);
    } else {
        bool found;
        unsigned next = flatview_search(v, addr, &found);
        hwaddr start = next ? v->ranges[next - 1].last + 1 : 0;
        hwaddr last = next < v->n ? v->starts[next] - 1 : UINT64_MAX;
        *out = (MemSection) { .start = start, .size = (unsigned __int128)last - start + 1 };
    }
    rcu_read_unlock();
    return r != NULL;
}

/* ---- the machine's spaces ----------------------------------------------------------- */

AddressSpace address_space_memory, address_space_io;
static Region memory_root, io_root;

void memory_init(void)
{
    if (!memory_root.name) {
        region_init_container(&memory_root, "system", REGION_WHOLE);
        region_init_container(&io_root, "io", 0x10000);
        address_space_init(&address_space_memory, &memory_root, "memory");
        address_space_init(&address_space_io, &io_root, "I/O");
    }
}

Region *system_memory(void)
{
    memory_init();
    return &memory_root;
}

Region *system_io(void)
{
    memory_init();
    return &io_root;
}
