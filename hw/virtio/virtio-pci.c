/* SPDX-License-Identifier: MIT */
/*
 * Virtio over PCI: the registers of version 1 in BAR 4, found through capabilities, and the
 * legacy ones in BAR 0.
 *
 * Source: VIRTIO 1.2, section 4.1 (4.1.4 structures, 4.1.4.10 legacy interface).
 *
 *     BAR 0   legacy registers, device configuration behind them
 *     BAR 1   MSI-X table, pending bits
 *     BAR 4   0000h common configuration    1000h interrupt status
 *             2000h device configuration    3000h notifications, 4 bytes (or a page) a queue
 *
 * A device that needs these BARs for something else has a layout of its own.
 */
#include "hw/virtio/virtio-pci.h"
#include "hw/pci/msi.h"
#include "util/bits.h"
#include "util/log.h"

#define CAP_VENDOR      0x09
enum { CFG_COMMON = 1, CFG_NOTIFY, CFG_ISR, CFG_DEVICE, CFG_WINDOW };

#define DEVICE_SIZE     0x1000
static const VirtIOPCILayout default_layout = { .bar = 4, .msix_bar = 1, .at = 0, .small = 0x1000 };

/* Vendor capability (4.1.4) */
#define CAP_LEN         2
#define CAP_TYPE        3
#define CAP_BAR         4
#define CAP_OFFSET      8
#define CAP_LENGTH      12
#define CAP_EXTRA       16              /* notify: multiplier; window: data */

/* Common configuration (4.1.4.3) */
#define COMMON_DFSELECT     0x00
#define COMMON_DF           0x04
#define COMMON_GFSELECT     0x08
#define COMMON_GF           0x0c
#define COMMON_MSIX         0x10
#define COMMON_QUEUES       0x12
#define COMMON_STATUS       0x14
#define COMMON_GENERATION   0x15
#define COMMON_Q_SELECT     0x16
#define COMMON_Q_SIZE       0x18
#define COMMON_Q_MSIX       0x1a
#define COMMON_Q_ENABLE     0x1c
#define COMMON_Q_NOFF       0x1e
#define COMMON_Q_DESC       0x20
#define COMMON_Q_DRIVER     0x28
#define COMMON_Q_DEVICE     0x30
#define COMMON_Q_NDATA      0x38
#define COMMON_Q_RESET      0x3a
#define COMMON_SIZE         0x3c

/* Legacy registers (4.1.4.10) */
#define LEGACY_DF           0
#define LEGACY_GF           4
#define LEGACY_Q_PFN        8
#define LEGACY_Q_SIZE       12
#define LEGACY_Q_SELECT     14
#define LEGACY_NOTIFY       16
#define LEGACY_STATUS       18
#define LEGACY_ISR          19
#define LEGACY_MSIX         20          /* only while MSI-X is enabled */
#define LEGACY_Q_MSIX       22
#define LEGACY_CONFIG       20          /* ... which moves this to 24 */

static VirtIOPCI *proxy_of(VirtIODevice *v)
{
    return (VirtIOPCI *)v->dev;
}

/* ---- places ------------------------------------------------------------------------------- */

static uint32_t isr_at(const VirtIOPCI *s)
{
    return s->layout->at + s->layout->small;
}

static uint32_t device_at(const VirtIOPCI *s)
{
    return isr_at(s) + s->layout->small;
}

static uint32_t notify_at(const VirtIOPCI *s)
{
    return device_at(s) + DEVICE_SIZE;
}

static unsigned notify_multiplier(const VirtIOPCI *s)
{
    return s->page_per_vq ? 0x1000 : 4;
}

/* ---- doorbells ------------------------------------------------------------------------------ */

static void bell_rang(void *opaque, unsigned queue)
{
    VirtIOPCI *s = opaque;
    virtio_queue_kick(s->v, queue);
}

/* Where the driver notifies a queue: by the place, or by the number that it writes. */
static Doorbell bell_of(VirtIOPCI *s, unsigned queue)
{
    Doorbell d = { .rang = bell_rang, .opaque = s, .number = queue };

    if (virtio_is_modern(s->v)) {
        d.region = &s->notify;
        d.off = queue * notify_multiplier(s);
    } else {
        d.region = &s->io;
        d.off = LEGACY_NOTIFY;
        d.size = 2;
        d.match = true;
        d.data = queue;
    }
    return d;
}

static void drop_bells(VirtIOPCI *s)
{
    for (unsigned q = 0; s->bell && q < s->v->n_queues; q++) {
        if (s->bell[q]) {
            doorbell_del(s->bell[q]);
        }
    }
    if (s->bell) {
        g_clear_pointer(&s->bell, g_free);
        doorbells_commit();
    }
}

/* While the driver is ready. */
static void update_bells(VirtIODevice *v)
{
    VirtIOPCI *s = proxy_of(v);

    if (!s->ioeventfd || !(v->status & VIRTIO_STATUS_DRIVER_OK)) {
        drop_bells(s);
        return;
    }
    if (s->bell) {
        return;
    }
    s->bell = g_new0(Doorbell *, v->n_queues);
    for (unsigned q = 0; q < v->n_queues; q++) {
        if (virtio_queue_size(v, q)) {
            Doorbell d = bell_of(s, q);
            s->bell[q] = doorbell_add(&d);
        }
    }
    doorbells_commit();
}

static void pci_loaded(VirtIODevice *v)
{
    drop_bells(proxy_of(v));            /* they may be at the other interface */
    update_bells(v);
}

/* ---- interrupts --------------------------------------------------------------------------- */

static void update_pin(VirtIOPCI *s)
{
    pci_set_irq(&s->pci, s->v->isr && !msix_enabled(&s->pci));
}

static void pci_notify(VirtIODevice *v, uint16_t vector, uint8_t isr)
{
    VirtIOPCI *s = proxy_of(v);

    if (!msix_enabled(&s->pci)) {
        v->isr |= isr;
        update_pin(s);
        return;
    }
    v->isr |= isr & 2;
    if (vector != VIRTIO_NO_VECTOR) {
        msix_notify(&s->pci, vector);
    }
}

/* Reading acknowledges. */
static uint8_t read_isr(VirtIOPCI *s)
{
    uint8_t isr = s->v->isr;

    s->v->isr = 0;
    update_pin(s);
    return isr;
}

/* A vector there is, or none (4.1.5.1.2). */
static uint16_t valid_vector(const VirtIOPCI *s, uint16_t vector)
{
    return vector < s->pci.msix_count ? vector : VIRTIO_NO_VECTOR;
}

static void set_status(VirtIOPCI *s, uint8_t status)
{
    virtio_set_status(s->v, status);
    update_bells(s->v);
    if (!status) {
        s->device_select = s->driver_select = s->queue_select = 0;
        s->driver_features[0] = s->driver_features[1] = 0;
        update_pin(s);
    }
}

/* ---- common configuration ----------------------------------------------------------------- */

static uint64_t area_read(VirtIOPCI *s, unsigned at)
{
    VirtQueueArea a = (at - COMMON_Q_DESC) / 8;
    return virtio_queue_area(s->v, s->queue_select, a) >> (at & 4) * 8;
}

static void area_write(VirtIOPCI *s, unsigned at, uint32_t val)
{
    VirtQueueArea a = (at - COMMON_Q_DESC) / 8;
    uint64_t addr = virtio_queue_area(s->v, s->queue_select, a);

    virtio_queue_set_area(s->v, s->queue_select, a, deposit64(addr, (at & 4) * 8, 32, val));
}

static uint64_t common_read(void *opaque, hwaddr addr, unsigned size)
{
    VirtIOPCI *s = opaque;
    VirtIODevice *v = s->v;
    unsigned q = s->queue_select;

    switch (addr) {
    case COMMON_DFSELECT:
        return s->device_select;
    case COMMON_DF:
        return s->device_select > 1 ? 0 : virtio_offered(v, true) >> 32 * s->device_select;
    case COMMON_GFSELECT:
        return s->driver_select;
    case COMMON_GF:
        return s->driver_select > 1 ? 0 : s->driver_features[s->driver_select];
    case COMMON_MSIX:
        return v->config_vector;
    case COMMON_QUEUES:
        return v->n_queues;
    case COMMON_STATUS:
        return v->status;
    case COMMON_GENERATION:
        return v->generation;
    case COMMON_Q_SELECT:
        return q;
    case COMMON_Q_SIZE:
        return virtio_queue_size(v, q);
    case COMMON_Q_MSIX:
        return virtio_queue_vector(v, q);
    case COMMON_Q_ENABLE:
        return virtio_queue_enabled(v, q);
    case COMMON_Q_NOFF:
        return q;
    case COMMON_Q_DESC ... COMMON_Q_DEVICE + 7:
        return addr & 3 ? 0 : area_read(s, addr);
    default:
        return 0;                       /* queue_reset: done as soon as it is asked for */
    }
}

static void write_driver_features(VirtIOPCI *s, uint32_t val)
{
    if (s->driver_select > 1) {
        return;
    }
    s->driver_features[s->driver_select] = val;
    virtio_set_features(s->v, s->driver_features[0] | (uint64_t)s->driver_features[1] << 32, false);
}

static void common_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    VirtIOPCI *s = opaque;
    VirtIODevice *v = s->v;
    unsigned q = s->queue_select;

    switch (addr) {
    case COMMON_DFSELECT:
        s->device_select = val;
        break;
    case COMMON_GFSELECT:
        s->driver_select = val;
        break;
    case COMMON_GF:
        write_driver_features(s, val);
        break;
    case COMMON_MSIX:
        v->config_vector = valid_vector(s, val);
        break;
    case COMMON_STATUS:
        set_status(s, val);
        break;
    case COMMON_Q_SELECT:
        s->queue_select = val;
        break;
    case COMMON_Q_SIZE:
        virtio_queue_set_size(v, q, val);
        break;
    case COMMON_Q_MSIX:
        virtio_queue_set_vector(v, q, valid_vector(s, val));
        break;
    case COMMON_Q_ENABLE:
        if (val == 1) {
            virtio_queue_enable(v, q);
        }
        break;
    case COMMON_Q_DESC ... COMMON_Q_DEVICE + 7:
        if (!(addr & 3)) {
            area_write(s, addr, val);
        }
        break;
    case COMMON_Q_RESET:
        if (val == 1) {
            virtio_queue_reset(v, q);
        }
        break;
    default:
        LOG_GUEST("%s: write to %02x of the common configuration", v->type->name, (unsigned)addr);
    }
}

static const RegionOps common_ops = {
    .read = common_read, .write = common_write, .min = 1, .max = 4,
};

/* ---- the other structures ------------------------------------------------------------------ */

static uint64_t isr_read(void *opaque, hwaddr addr, unsigned size)
{
    return addr ? 0 : read_isr(opaque);
}

static void isr_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
}

static const RegionOps isr_ops = { .read = isr_read, .write = isr_write, .min = 1, .max = 4 };

static uint64_t config_read(void *opaque, hwaddr addr, unsigned size)
{
    VirtIOPCI *s = opaque;
    return virtio_config_read(s->v, addr, size);
}

static void config_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    VirtIOPCI *s = opaque;
    virtio_config_write(s->v, addr, val, size);
}

static const RegionOps config_ops = { .read = config_read, .write = config_write, .min = 1, .max = 4 };

static uint64_t notify_read(void *opaque, hwaddr addr, unsigned size)
{
    return 0;
}

/* The place tells the queue; the value written is the same number. */
static void notify_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    VirtIOPCI *s = opaque;
    virtio_queue_kick(s->v, addr / notify_multiplier(s));
}

static const RegionOps notify_ops = { .read = notify_read, .write = notify_write, .min = 1, .max = 4 };

/* ---- legacy registers ---------------------------------------------------------------------- */

static unsigned legacy_config_at(const VirtIOPCI *s)
{
    return LEGACY_CONFIG + (msix_enabled(&s->pci) ? 4 : 0);
}

static uint64_t legacy_read(void *opaque, hwaddr addr, unsigned size)
{
    VirtIOPCI *s = opaque;
    VirtIODevice *v = s->v;
    unsigned q = s->queue_select;

    if (addr >= legacy_config_at(s)) {
        return virtio_config_read(v, addr - legacy_config_at(s), size);
    }
    switch (addr) {
    case LEGACY_DF:
        return virtio_offered(v, false);
    case LEGACY_GF:
        return v->features;
    case LEGACY_Q_PFN:
        return virtio_queue_enabled(v, q) ? virtio_queue_area(v, q, VQ_DESC) >> 12 : 0;
    case LEGACY_Q_SIZE:
        return virtio_queue_size(v, q);
    case LEGACY_Q_SELECT:
        return q;
    case LEGACY_STATUS:
        return v->status;
    case LEGACY_ISR:
        return read_isr(s);
    case LEGACY_MSIX:
        return v->config_vector;
    case LEGACY_Q_MSIX:
        return virtio_queue_vector(v, q);
    default:
        return ~0ull;
    }
}

/* Drivers of old do not switch bus mastering on; the device worked nevertheless. */
static void legacy_bus_master(VirtIOPCI *s)
{
    uint8_t *command = s->pci.config + PCI_COMMAND;

    if (!(*command & PCI_COMMAND_MASTER)) {
        *command |= PCI_COMMAND_MASTER;
        pci_update_mappings(&s->pci);
    }
}

static void legacy_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    VirtIOPCI *s = opaque;
    VirtIODevice *v = s->v;
    unsigned q = s->queue_select;

    if (addr >= legacy_config_at(s)) {
        virtio_config_write(v, addr - legacy_config_at(s), val, size);
        return;
    }
    switch (addr) {
    case LEGACY_GF:
        virtio_set_features(v, (uint32_t)val, true);
        break;
    case LEGACY_Q_PFN:
        if (val) {
            virtio_queue_set_legacy(v, q, val << 12);
        } else {
            set_status(s, 0);           /* the driver leaves; all its requests with it */
        }
        break;
    case LEGACY_Q_SELECT:
        s->queue_select = val;
        break;
    case LEGACY_NOTIFY:
        virtio_queue_kick(v, val);
        break;
    case LEGACY_STATUS:
        if (val & VIRTIO_STATUS_DRIVER_OK) {
            legacy_bus_master(s);
        }
        set_status(s, val);
        break;
    case LEGACY_MSIX:
        v->config_vector = valid_vector(s, val);
        break;
    case LEGACY_Q_MSIX:
        virtio_queue_set_vector(v, q, valid_vector(s, val));
        break;
    default:
        LOG_GUEST("%s: write to legacy register %u", v->type->name, (unsigned)addr);
    }
}

static const RegionOps legacy_ops = { .read = legacy_read, .write = legacy_write, .min = 1, .max = 4 };

/* ---- configuration space -------------------------------------------------------------------- */

/* What the window capability points at; false: not at something. */
static bool window_target(VirtIOPCI *s, hwaddr *at, unsigned *size)
{
    const uint8_t *cap = s->pci.config + s->window_cap;

    *at = pci_get_long(cap + CAP_OFFSET);
    *size = pci_get_long(cap + CAP_LENGTH);
    return cap[CAP_BAR] == s->layout->bar && (*size == 1 || *size == 2 || *size == 4)
           && !(*at & (*size - 1)) && *at + *size <= s->mem.size;
}

static bool touches_window(const VirtIOPCI *s, unsigned addr, unsigned len)
{
    unsigned data = s->window_cap + CAP_EXTRA;
    return s->window_cap && addr < data + 4 && addr + len > data;
}

static void pci_config_was_written(PCIDevice *d, unsigned addr, unsigned len)
{
    VirtIOPCI *s = (VirtIOPCI *)d;
    hwaddr at;
    unsigned size;

    if (touches_window(s, addr, len) && window_target(s, &at, &size)) {
        address_space_st(&s->window, at, pci_get_long(d->config + s->window_cap + CAP_EXTRA), size);
    }
    update_pin(s);                      /* MSI-X may have been switched */
}

static uint32_t pci_config_is_read(PCIDevice *d, unsigned addr, unsigned len, uint32_t val)
{
    VirtIOPCI *s = (VirtIOPCI *)d;
    hwaddr at;
    unsigned size;

    if (!touches_window(s, addr, len) || !window_target(s, &at, &size)) {
        return val;
    }
    pci_set_long(d->config + s->window_cap + CAP_EXTRA, address_space_ld(&s->window, at, size));
    val = 0;
    for (unsigned i = 0; i < len; i++) {
        val |= (uint32_t)d->config[addr + i] << 8 * i;
    }
    return val;
}

static int add_cap(VirtIOPCI *s, uint8_t type, uint8_t len, uint32_t offset, uint32_t length,
                   Error **err)
{
    int at = pci_add_capability(&s->pci, CAP_VENDOR, 0, len, err);
    uint8_t *cap = s->pci.config + at;

    if (!at) {
        return 0;
    }
    cap[CAP_LEN] = len;
    cap[CAP_TYPE] = type;
    cap[CAP_BAR] = length ? s->layout->bar : 0;
    pci_set_long(cap + CAP_OFFSET, offset);
    pci_set_long(cap + CAP_LENGTH, length);
    return at;
}

static bool add_window(VirtIOPCI *s, Error **err)
{
    int at = add_cap(s, CFG_WINDOW, CAP_EXTRA + 4, 0, 0, err);

    s->window_cap = at;
    if (at) {
        s->pci.wmask[at + CAP_BAR] = 0xff;
        memset(s->pci.wmask + at + CAP_OFFSET, 0xff, CAP_EXTRA + 4 - CAP_OFFSET);
    }
    return at;
}

static bool add_modern_caps(VirtIOPCI *s, Error **err)
{
    uint32_t notify = notify_multiplier(s) * VIRTIO_QUEUE_MAX;
    int at;

    if (!add_cap(s, CFG_COMMON, CAP_EXTRA, s->layout->at, s->layout->small, err)
        || !add_cap(s, CFG_ISR, CAP_EXTRA, isr_at(s), s->layout->small, err)
        || !add_cap(s, CFG_DEVICE, CAP_EXTRA, device_at(s), DEVICE_SIZE, err)) {
        return false;
    }
    at = add_cap(s, CFG_NOTIFY, CAP_EXTRA + 4, notify_at(s), notify, err);
    if (at) {
        pci_set_long(s->pci.config + at + CAP_EXTRA, notify_multiplier(s));
    }
    return at && add_window(s, err);
}

/* ---- BARs ----------------------------------------------------------------------------------- */

static uint64_t pow2_at_least(uint64_t n)
{
    uint64_t p = 1;

    while (p < n) {
        p *= 2;
    }
    return p;
}

static void map_part(VirtIOPCI *s, Region *r, const char *name, hwaddr at, uint64_t size,
                     const RegionOps *ops)
{
    region_init_io(r, name, size, ops, s);
    region_map(&s->mem, at, r, 0);
}

static void make_modern(VirtIOPCI *s)
{
    uint64_t notify = (uint64_t)notify_multiplier(s) * VIRTIO_QUEUE_MAX;

    region_init_container(&s->mem, "virtio-pci", pow2_at_least(notify_at(s) + notify));
    map_part(s, &s->common, "virtio-pci-common", s->layout->at, s->layout->small, &common_ops);
    map_part(s, &s->isr, "virtio-pci-isr", isr_at(s), s->layout->small, &isr_ops);
    map_part(s, &s->config, "virtio-pci-device", device_at(s), DEVICE_SIZE, &config_ops);
    map_part(s, &s->notify, "virtio-pci-notify", notify_at(s), notify, &notify_ops);
    address_space_init(&s->window, &s->mem, "virtio-pci-window");
    pci_register_bar(&s->pci, s->layout->bar, PCI_BAR_MEM64 | PCI_BAR_PREFETCH, &s->mem);
}

static void make_legacy(VirtIOPCI *s)
{
    region_init_io(&s->io, "virtio-pci-legacy", pow2_at_least(LEGACY_CONFIG + 4 + s->v->config_len),
                   &legacy_ops, s);
    pci_register_bar(&s->pci, 0, PCI_BAR_IO, &s->io);
}

static bool make_msix(VirtIOPCI *s, unsigned vectors, Error **err)
{
    uint32_t pba = MAX(vectors * 16, 0x800);
    uint64_t size = pow2_at_least(MAX(pba + (vectors + 63) / 64 * 8, 0x1000));

    region_init_container(&s->msix, "virtio-pci-msix", size);
    pci_register_bar(&s->pci, s->layout->msix_bar, PCI_BAR_MEM32, &s->msix);
    return msix_init(&s->pci, vectors, &s->msix, s->layout->msix_bar, 0, &s->msix,
                     s->layout->msix_bar, pba, err);
}

/* ---- life ------------------------------------------------------------------------------------ */

/* Device ids of before version 1, by virtio device id; others begin with version 1. */
static const uint16_t legacy_ids[] = {
    [VIRTIO_ID_NET] = 0x1000, [VIRTIO_ID_BLOCK] = 0x1001, [VIRTIO_ID_CONSOLE] = 0x1003,
    [VIRTIO_ID_RNG] = 0x1005, [VIRTIO_ID_BALLOON] = 0x1002, [VIRTIO_ID_SCSI] = 0x1004,
    [VIRTIO_ID_9P] = 0x1009,
};

static bool choose_interfaces(VirtIOPCI *s, Error **err)
{
    const VirtIOPCIInfo *info = s->pci.dev.type->info;
    uint16_t id = s->v->type->id;
    bool has_legacy = id < G_N_ELEMENTS(legacy_ids) && legacy_ids[id];

    s->legacy = info->kind == VIRTIO_PCI_TRANSITIONAL
                || (info->kind == VIRTIO_PCI_ADAPTS && s->disable_legacy != 1 && has_legacy);
    s->modern = !s->disable_modern;
    if (info->kind == VIRTIO_PCI_ADAPTS && s->disable_legacy == 0 && !has_legacy) {
        return fail(err, "%s: disable-legacy=off: the device began with version 1",
                    s->pci.dev.type->name);
    }
    if (!s->legacy && !s->modern) {
        return fail(err, "%s: device cannot work as neither modern nor legacy mode is enabled "
                    "(disable-legacy, disable-modern)", s->pci.dev.type->name);
    }
    s->v->modern_only = !s->legacy;
    return true;
}

static void set_ids(VirtIOPCI *s)
{
    uint8_t *config = s->pci.config;

    if (s->legacy) {
        pci_set_word(config + PCI_DEVICE_ID, legacy_ids[s->v->type->id]);
        pci_set_word(config + PCI_SUBSYS_VENDOR, 0x1af4);
        pci_set_word(config + PCI_SUBSYS_ID, s->v->type->id);
    } else {
        pci_set_word(config + PCI_DEVICE_ID, 0x1040 + s->v->type->id);
        config[PCI_REVISION] = 1;
    }
}

bool virtio_pci_realize(VirtIOPCI *s, VirtIODevice *v, unsigned vectors, Error **err)
{
    s->v = v;
    s->layout = s->layout ? s->layout : &default_layout;
    v->transport = (VirtIOTransport) { .notify = pci_notify, .loaded = pci_loaded,
                                      .dma = &s->pci.dma };
    if (!choose_interfaces(s, err)) {
        return false;
    }
    vectors = s->vectors == VIRTIO_PCI_VECTORS_AUTO ? vectors : s->vectors;
    if (vectors > MSIX_MAX) {
        return fail(err, "%s: vectors=%u: at most %u", s->pci.dev.type->name, vectors, MSIX_MAX);
    }
    set_ids(s);
    if ((s->modern && !add_modern_caps(s, err)) || (vectors && !make_msix(s, vectors, err))) {
        virtio_pci_unrealize(s);
        return false;
    }
    if (vectors) {
        msix_use_eventfds(&s->pci);
    }
    if (s->modern) {
        make_modern(s);
    }
    if (s->legacy) {
        make_legacy(s);
    }
    s->pci.config_written = pci_config_was_written;
    s->pci.config_read = pci_config_is_read;
    return true;
}

void virtio_pci_unrealize(VirtIOPCI *s)
{
    drop_bells(s);
    if (s->mem.name) {
        address_space_destroy(&s->window);
    }
    Region *all[] = { &s->common, &s->isr, &s->config, &s->notify, &s->mem, &s->msix, &s->io };
    for (unsigned i = 0; i < G_N_ELEMENTS(all); i++) {
        if (all[i]->name) {
            region_destroy(all[i]);
        }
    }
    s->pci.config_written = NULL;
    s->pci.config_read = NULL;
}

void virtio_pci_reset(Device *dev)
{
    VirtIOPCI *s = (VirtIOPCI *)dev;

    set_status(s, 0);
    if (s->window_cap) {
        uint8_t *cap = s->pci.config + s->window_cap;
        cap[CAP_BAR] = 0;
        memset(cap + CAP_OFFSET, 0, CAP_EXTRA + 4 - CAP_OFFSET);
    }
}

static const VMField virtio_pci_fields[] = {
    VM_STRUCT(VirtIOPCI, pci, vm_pci_device),
    VM_UINT(VirtIOPCI, device_select), VM_UINT(VirtIOPCI, driver_select),
    VM_UINTS(VirtIOPCI, driver_features), VM_UINT(VirtIOPCI, queue_select),
    VM_DONE
};
const VMState vm_virtio_pci = { .name = "virtio-pci", .fields = virtio_pci_fields };
