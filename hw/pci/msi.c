/* SPDX-License-Identifier: MIT */
/*
 * The MSI and MSI-X capabilities.
 *
 * Source: PCI Local Bus Specification 3.0, section 6.8.
 *
 *   MSI capability           32-bit     64-bit          MSI-X capability
 *     message control         +2         +2               +2 message control
 *     message address         +4         +4               +4 table offset and BAR
 *     upper address            -         +8               +8 pending bits offset and BAR
 *     message data            +8         +12
 *     mask bits               +12        +16
 *     pending bits            +16        +20
 */
#include "hw/pci/msi.h"
#include "accel/eventfd.h"
#include "util/bits.h"
#include "util/log.h"

#define MSI_CTRL        2
#define MSI_ENABLE      0x0001
#define MSI_CAPABLE_SHIFT 1         /* log2 of vectors asked for */
#define MSI_ENABLED_SHIFT 4         /* ... and granted */
#define MSI_64BIT       0x0080
#define MSI_MASKING     0x0100

#define MSIX_CTRL       2
#define MSIX_ENABLE     0x8000
#define MSIX_MASK_ALL   0x4000
#define MSIX_ENTRY      16
#define MSIX_ENTRY_CTRL 12          /* bit 0: masked */

/* A message is a memory write: it needs bus mastering like any other. */
static bool may_send(const PCIDevice *d)
{
    if (!(pci_get_word(d->config + PCI_COMMAND) & PCI_COMMAND_MASTER)) {
        LOG_GUEST("%s: interrupt message while bus mastering is off", d->dev.type->name);
        return false;
    }
    return d->bus->msi != NULL;
}

static void send(PCIDevice *d, uint64_t addr, uint32_t data)
{
    if (may_send(d)) {
        d->bus->msi(addr, data);
    }
}

/* ---- MSI ----------------------------------------------------------------------------- */

static uint16_t msi_ctrl(const PCIDevice *d)
{
    return d->msi_cap ? pci_get_word(d->config + d->msi_cap + MSI_CTRL) : 0;
}

static unsigned msi_data_at(const PCIDevice *d)
{
    return d->msi_cap + (msi_ctrl(d) & MSI_64BIT ? 12 : 8);
}

/* Offset of the mask bits; the pending bits follow.  Only if MSI_MASKING. */
static unsigned msi_mask_at(const PCIDevice *d)
{
    return msi_data_at(d) + 4;
}

bool msi_init(PCIDevice *d, uint8_t offset, unsigned vectors, bool wide, bool maskable,
              Error **err)
{
    uint8_t size = 10 + (wide ? 4 : 0) + (maskable ? 10 : 0);
    unsigned log = __builtin_ctz(vectors);

    g_assert(is_pow2(vectors) && vectors <= 32 && !d->msi_cap);
    offset = pci_add_capability(d, PCI_CAP_ID_MSI, offset, size, err);
    if (!offset) {
        return false;
    }
    d->msi_cap = offset;
    pci_set_word(d->config + offset + MSI_CTRL, log << MSI_CAPABLE_SHIFT
                 | (wide ? MSI_64BIT : 0) | (maskable ? MSI_MASKING : 0));
    pci_set_word(d->wmask + offset + MSI_CTRL, MSI_ENABLE | 7 << MSI_ENABLED_SHIFT);
    pci_set_long(d->wmask + offset + 4, ~3u);
    if (wide) {
        pci_set_long(d->wmask + offset + 8, ~0u);
    }
    pci_set_word(d->wmask + msi_data_at(d), 0xffff);
    if (maskable) {
        pci_set_long(d->wmask + msi_mask_at(d), ~0u >> (32 - vectors));
    }
    return true;
}

bool msi_enabled(const PCIDevice *d)
{
    return msi_ctrl(d) & MSI_ENABLE;
}

unsigned msi_vectors(const PCIDevice *d)
{
    unsigned ctrl = msi_ctrl(d);

    return 1u << MIN(ctrl >> MSI_ENABLED_SHIFT & 7, ctrl >> MSI_CAPABLE_SHIFT & 7);
}

static void msi_send(PCIDevice *d, unsigned vector)
{
    const uint8_t *cap = d->config + d->msi_cap;
    uint64_t addr = pci_get_long(cap + 4);

    if (msi_ctrl(d) & MSI_64BIT) {
        addr |= (uint64_t)pci_get_long(cap + 8) << 32;
    }
    /* the low bits of the data number the vector */
    uint32_t data = pci_get_word(d->config + msi_data_at(d)) & ~(msi_vectors(d) - 1);
    send(d, addr, data | vector);
}

void msi_notify(PCIDevice *d, unsigned vector)
{
    if (!msi_enabled(d)) {
        return;
    }
    vector &= msi_vectors(d) - 1;
    if (msi_ctrl(d) & MSI_MASKING) {
        uint8_t *mask = d->config + msi_mask_at(d), *pending = mask + 4;
        if (pci_get_long(mask) & 1u << vector) {
            pci_set_long(pending, pci_get_long(pending) | 1u << vector);
            return;
        }
    }
    msi_send(d, vector);
}

static void msi_send_pending(PCIDevice *d)
{
    if (!msi_enabled(d) || !(msi_ctrl(d) & MSI_MASKING)) {
        return;
    }
    uint8_t *mask = d->config + msi_mask_at(d), *pending = mask + 4;
    uint32_t go = pci_get_long(pending) & ~pci_get_long(mask);
    pci_set_long(pending, pci_get_long(pending) & ~go);
    for (; go; go &= go - 1) {
        msi_send(d, __builtin_ctz(go) & (msi_vectors(d) - 1));
    }
}

/* ---- MSI-X --------------------------------------------------------------------------- */

static uint16_t msix_ctrl(const PCIDevice *d)
{
    return d->msix_cap ? pci_get_word(d->config + d->msix_cap + MSIX_CTRL) : 0;
}

static bool msix_masked(const PCIDevice *d, unsigned v)
{
    return (msix_ctrl(d) & MSIX_MASK_ALL) || (d->msix_table[v * MSIX_ENTRY + MSIX_ENTRY_CTRL] & 1);
}

void msix_use_eventfds(PCIDevice *d)
{
    d->msix_fds = g_new0(IrqFd *, d->msix_count);
}

static void drop_eventfds(PCIDevice *d)
{
    for (unsigned v = 0; d->msix_fds && v < d->msix_count; v++) {
        if (d->msix_fds[v]) {
            irqfd_free(d->msix_fds[v]);
            d->msix_fds[v] = NULL;
        }
    }
}

static bool send_by_eventfd(PCIDevice *d, unsigned v, uint64_t addr, uint32_t data)
{
    if (!d->msix_fds) {
        return false;
    }
    if (!d->msix_fds[v]) {
        d->msix_fds[v] = irqfd_new();
    }
    return irqfd_send(d->msix_fds[v], addr, data);
}

static void msix_send(PCIDevice *d, unsigned v)
{
    const uint8_t *entry = d->msix_table + v * MSIX_ENTRY;
    uint64_t addr = ld64_le(entry);
    uint32_t data = ld32_le(entry + 8);

    d->msix_pba[v / 8] &= ~(1 << v % 8);
    if (may_send(d) && !send_by_eventfd(d, v, addr, data)) {
        d->bus->msi(addr, data);
    }
}

static void msix_send_pending(PCIDevice *d, unsigned v)
{
    if ((d->msix_pba[v / 8] & 1 << v % 8) && msix_enabled(d) && !msix_masked(d, v)) {
        msix_send(d, v);
    }
}

bool msix_enabled(const PCIDevice *d)
{
    return msix_ctrl(d) & MSIX_ENABLE;
}

void msix_notify(PCIDevice *d, unsigned vector)
{
    if (vector >= d->msix_count || !msix_enabled(d)) {
        return;
    }
    if (msix_masked(d, vector)) {
        d->msix_pba[vector / 8] |= 1 << vector % 8;
    } else {
        msix_send(d, vector);
    }
}

static uint64_t msix_table_read(void *opaque, hwaddr addr, unsigned size)
{
    PCIDevice *d = opaque;
    return size == 8 ? ld64_le(d->msix_table + addr) : ld32_le(d->msix_table + addr);
}

static void msix_table_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    PCIDevice *d = opaque;

    if (size == 8) {
        st64_le(d->msix_table + addr, val);
    } else {
        st32_le(d->msix_table + addr, val);
    }
    msix_send_pending(d, addr / MSIX_ENTRY);
}

static uint64_t msix_pba_read(void *opaque, hwaddr addr, unsigned size)
{
    PCIDevice *d = opaque;
    return size == 8 ? ld64_le(d->msix_pba + addr) : ld32_le(d->msix_pba + addr);
}

static void msix_pba_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    LOG_GUEST("MSI-X pending bits are read-only");
}

static const RegionOps msix_table_ops = {
    .read = msix_table_read, .write = msix_table_write, .min = 4, .max = 8, .merge = true,
};
static const RegionOps msix_pba_ops = {
    .read = msix_pba_read, .write = msix_pba_write, .min = 4, .max = 8,
};

bool msix_init(PCIDevice *d, unsigned vectors, Region *table, int table_bar, uint32_t table_off,
               Region *pba, int pba_bar, uint32_t pba_off, Error **err)
{
    g_assert(vectors && vectors <= MSIX_MAX && !d->msix_cap);
    uint8_t at = pci_add_capability(d, PCI_CAP_ID_MSIX, 0, 12, err);
    if (!at) {
        return false;
    }
    d->msix_cap = at;
    pci_set_word(d->config + at + MSIX_CTRL, vectors - 1);
    pci_set_word(d->wmask + at + MSIX_CTRL, MSIX_ENABLE | MSIX_MASK_ALL);
    pci_set_long(d->config + at + 4, table_off | table_bar);
    pci_set_long(d->config + at + 8, pba_off | pba_bar);
    d->msix_count = vectors;
    d->msix_bytes = vectors * MSIX_ENTRY;
    d->msix_pba_bytes = (vectors + 63) / 64 * 8;
    d->msix_table = g_malloc0(d->msix_bytes);
    d->msix_pba = g_malloc0(d->msix_pba_bytes);
    region_init_io(&d->msix_table_io, "msix-table", d->msix_bytes, &msix_table_ops, d);
    region_map(table, table_off, &d->msix_table_io, 0);
    region_init_io(&d->msix_pba_io, "msix-pba", d->msix_pba_bytes, &msix_pba_ops, d);
    region_map(pba, pba_off, &d->msix_pba_io, 0);
    return true;
}

/* ---- both ---------------------------------------------------------------------------- */

void msi_update(PCIDevice *d)
{
    msi_send_pending(d);
    for (unsigned v = 0; v < d->msix_count; v++) {
        msix_send_pending(d, v);
    }
}

void msi_config_written(PCIDevice *d, unsigned addr, unsigned len)
{
    bool msi = d->msi_cap && addr + len > d->msi_cap && addr < d->msi_cap + 24u;
    bool msix = d->msix_cap && addr + len > d->msix_cap && addr < d->msix_cap + 4u;

    if (msi || msix) {
        msi_update(d);
    }
}

void msi_reset(PCIDevice *d)
{
    for (unsigned i = 0; d->msi_cap && i < 24 && d->msi_cap + i < PCI_CONFIG_SIZE; i++) {
        if (d->used[d->msi_cap + i]) {
            d->config[d->msi_cap + i] &= ~d->wmask[d->msi_cap + i];
        }
    }
    if (d->msi_cap && (msi_ctrl(d) & MSI_MASKING)) {
        pci_set_long(d->config + msi_mask_at(d) + 4, 0);
    }
    drop_eventfds(d);
    if (d->msix_cap) {
        pci_set_word(d->config + d->msix_cap + MSIX_CTRL, d->msix_count - 1);
        memset(d->msix_table, 0, d->msix_bytes);
        memset(d->msix_pba, 0, d->msix_pba_bytes);
        for (unsigned v = 0; v < d->msix_count; v++) {
            d->msix_table[v * MSIX_ENTRY + MSIX_ENTRY_CTRL] = 1;
        }
    }
}

void msi_exit(PCIDevice *d)
{
    drop_eventfds(d);
    g_clear_pointer(&d->msix_fds, g_free);
    region_destroy(&d->msix_table_io);
    region_destroy(&d->msix_pba_io);
    g_clear_pointer(&d->msix_table, g_free);
    g_clear_pointer(&d->msix_pba, g_free);
    d->msix_count = d->msix_bytes = d->msix_pba_bytes = 0;
    d->msi_cap = d->msix_cap = 0;
}

/* The loader replaced the buffers by what the stream held: make them safe before refusing. */
bool msi_check_loaded(PCIDevice *d, Error **err)
{
    uint32_t table = d->msix_count * MSIX_ENTRY, pba = (d->msix_count + 63) / 64 * 8;

    if (d->msix_bytes == table && d->msix_pba_bytes == pba) {
        return true;
    }
    d->msix_table = g_realloc(d->msix_table, table);
    d->msix_pba = g_realloc(d->msix_pba, pba);
    d->msix_bytes = table;
    d->msix_pba_bytes = pba;
    msi_reset(d);
    return fail(err, "%s: the stream is of a device with another number of MSI-X vectors",
                d->dev.type->name);
}
