/* SPDX-License-Identifier: MIT */
/*
 * PCI functions and the buses they sit on: configuration space, base address registers,
 * interrupt pins, bus mastering.
 *
 * Sources: PCI Local Bus Specification 3.0, chapter 6 (configuration space; 6.2.5 base
 * addresses, 6.2.5.2 expansion ROM, 6.7 capabilities), 2.2.6 (interrupt pins).
 *
 * Each function has an address space for its DMA: an alias of the system memory that the
 * command register's bus master bit switches on.  Not modelled: parity and system errors,
 * latency, bridges to further buses.
 */
#include "hw/pci/pci.h"
#include "hw/pci/msi.h"
#include "util/bits.h"
#include "util/log.h"

#define BAR_ROM 6
#define ROM_ENABLE 1u

static PCIBus *root_bus;

PCIBus *pci_root_bus(void)
{
    return root_bus;
}

/* ---- base address registers ---------------------------------------------------------- */

static unsigned bar_offset(int n)
{
    return n == BAR_ROM ? PCI_ROM_BAR : PCI_BAR(n);
}

static bool bar_decodes(const PCIDevice *d, int n)
{
    uint16_t command = pci_get_word(d->config + PCI_COMMAND);

    if (d->bar[n].type & PCI_BAR_IO) {
        return command & PCI_COMMAND_IO;
    }
    return (command & PCI_COMMAND_MEMORY)
           && (n != BAR_ROM || (d->config[PCI_ROM_BAR] & ROM_ENABLE));
}

/*
 * Where the guest wants the BAR.  Address 0 counts as "not set", and so does one that ends at
 * the top of its space: that is what a guest leaves there while it probes for the size.
 */
static uint64_t bar_address(const PCIDevice *d, int n)
{
    const PCIBar *b = &d->bar[n];
    const uint8_t *reg = d->config + bar_offset(n);
    bool wide = b->type & PCI_BAR_MEM64;
    uint64_t addr = pci_get_long(reg), last;

    if (!bar_decodes(d, n)) {
        return PCI_BAR_UNMAPPED;
    }
    if (wide) {
        addr |= (uint64_t)pci_get_long(reg + 4) << 32;
    }
    addr &= ~(b->size - 1);
    last = addr + b->size - 1;
    if (!addr || last < addr || last == UINT64_MAX || (!wide && last >= UINT32_MAX)) {
        return PCI_BAR_UNMAPPED;
    }
    if ((b->type & PCI_BAR_IO) && last > 0xffff) {
        return PCI_BAR_UNMAPPED;        /* a PC's CPU can't reach it */
    }
    return addr;
}

static void map_bar(PCIDevice *d, int n)
{
    PCIBar *b = &d->bar[n];
    uint64_t addr = bar_address(d, n);

    if (addr == b->addr) {
        return;
    }
    if (b->addr != PCI_BAR_UNMAPPED) {
        region_unmap(b->region);
    }
    b->addr = addr;
    if (addr != PCI_BAR_UNMAPPED) {
        region_map(b->type & PCI_BAR_IO ? d->bus->io : d->bus->mem, addr, b->region, 1);
    }
}

void pci_update_mappings(PCIDevice *d)
{
    memory_begin();
    for (int n = 0; n < 7; n++) {
        if (d->bar[n].region) {
            map_bar(d, n);
        }
    }
    region_enable(&d->bus_master, pci_get_word(d->config + PCI_COMMAND) & PCI_COMMAND_MASTER);
    memory_commit();
}

void pci_register_bar(PCIDevice *d, int n, uint8_t type, Region *r)
{
    uint64_t size = (uint64_t)r->size, mask = ~(size - 1);
    unsigned at = bar_offset(n);

    g_assert(n >= 0 && n <= BAR_ROM && is_pow2(size) && !d->bar[n].region);
    g_assert(type & PCI_BAR_IO ? size >= 4 && size <= 256 : size >= 16);
    d->bar[n] = (PCIBar) { .region = r, .type = type, .size = size, .addr = PCI_BAR_UNMAPPED };
    pci_set_long(d->config + at, n == BAR_ROM ? 0 : type);
    pci_set_long(d->wmask + at, n == BAR_ROM ? mask | ROM_ENABLE : mask);
    if (type & PCI_BAR_MEM64) {
        g_assert(n < 5);
        pci_set_long(d->wmask + at + 4, mask >> 32);
    }
}

static void reset_bars(PCIDevice *d)
{
    for (int n = 0; n < 7; n++) {
        if (d->bar[n].region) {
            pci_set_long(d->config + bar_offset(n), n == BAR_ROM ? 0 : d->bar[n].type);
            if (d->bar[n].type & PCI_BAR_MEM64) {
                pci_set_long(d->config + PCI_BAR(n + 1), 0);
            }
        }
    }
}

/* ---- capabilities -------------------------------------------------------------------- */

static unsigned free_config(const PCIDevice *d, unsigned size)
{
    for (unsigned at = 0x40, run = 0; at < PCI_CONFIG_SIZE; at++) {
        run = d->used[at] ? 0 : run + 1;
        if (run == size && (at + 1 - size) % 4 == 0) {
            return at + 1 - size;
        }
        if (run == size) {
            run--;
        }
    }
    return 0;
}

int pci_add_capability(PCIDevice *d, uint8_t id, uint8_t offset, uint8_t size, Error **err)
{
    if (!offset) {
        offset = free_config(d, size);
    }
    if (!offset || offset + size > PCI_CONFIG_SIZE) {
        fail(err, "%s: no room for a capability of %u bytes", d->dev.type->name, size);
        return 0;
    }
    for (unsigned i = offset; i < offset + size; i++) {
        if (d->used[i]) {
            fail(err, "%s: a capability overlaps another at %02x", d->dev.type->name, i);
            return 0;
        }
    }
    d->config[offset] = id;
    d->config[offset + 1] = d->config[PCI_CAP_PTR];
    d->config[PCI_CAP_PTR] = offset;
    d->config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
    memset(d->used + offset, 1, size);
    memset(d->wmask + offset, 0, size);
    return offset;
}

int pci_find_capability(const PCIDevice *d, uint8_t id)
{
    unsigned at = d->config[PCI_CAP_PTR];

    if (!(d->config[PCI_STATUS] & PCI_STATUS_CAP_LIST)) {
        return 0;
    }
    for (unsigned hops = 0; at >= 0x40 && hops < 48; hops++) {
        if (d->config[at] == id) {
            return at;
        }
        at = d->config[at + 1] & ~3u;
    }
    return 0;
}

/* ---- interrupt pins ------------------------------------------------------------------ */

static bool intx_asserted(const PCIDevice *d)
{
    return d->pin_level
           && !(pci_get_word(d->config + PCI_COMMAND) & PCI_COMMAND_INTX_OFF);
}

static int router_input(PCIDevice *d)
{
    return d->bus->map_irq(d, d->config[PCI_INTERRUPT_PIN] - 1);
}

bool pci_bus_irq_level(const PCIBus *b, int pirq)
{
    for (guint i = 0; i < b->bus.devices->len; i++) {
        PCIDevice *d = g_ptr_array_index(b->bus.devices, i);
        if (intx_asserted(d) && router_input(d) == pirq) {
            return true;
        }
    }
    return false;
}

/* The line is shared: its level is computed from everybody on it. */
static void update_intx(PCIDevice *d)
{
    if (d->config[PCI_INTERRUPT_PIN] && d->bus->set_irq) {
        int pirq = router_input(d);
        d->bus->set_irq(d->bus->irq_opaque, pirq,
                        intx_asserted(d) || pci_bus_irq_level(d->bus, pirq));
    }
}

void pci_set_irq(PCIDevice *d, int level)
{
    if (d->pin_level == !!level) {
        return;
    }
    d->pin_level = level;
    if (level) {
        d->config[PCI_STATUS] |= PCI_STATUS_INTERRUPT;
    } else {
        d->config[PCI_STATUS] &= ~PCI_STATUS_INTERRUPT;
    }
    update_intx(d);
}

static void pin_set(void *opaque, int n, int level)
{
    pci_set_irq(opaque, level);
}

IRQ pci_irq(PCIDevice *d)
{
    return irq_make(pin_set, d, 0);
}

void pci_bus_set_irq(PCIBus *b, void (*set)(void *opaque, int pirq, int level),
                     int (*map)(PCIDevice *d, int pin), void *opaque)
{
    b->set_irq = set;
    b->map_irq = map;
    b->irq_opaque = opaque;
}

/* ---- configuration cycles ------------------------------------------------------------ */

static bool overlaps(unsigned addr, unsigned len, unsigned from, unsigned to)
{
    return addr < to && addr + len > from;
}

static void write_header(PCIDevice *d, unsigned addr, unsigned len, uint16_t old_command)
{
    if (overlaps(addr, len, PCI_BAR(0), PCI_BAR(6)) || overlaps(addr, len, PCI_COMMAND, PCI_STATUS)
        || overlaps(addr, len, PCI_ROM_BAR, PCI_ROM_BAR + 4)) {
        pci_update_mappings(d);
    }
    if ((old_command ^ pci_get_word(d->config + PCI_COMMAND)) & PCI_COMMAND_INTX_OFF) {
        update_intx(d);
    }
}

static void function_write(PCIDevice *d, unsigned addr, uint32_t val, unsigned len)
{
    uint16_t command = pci_get_word(d->config + PCI_COMMAND);

    for (unsigned i = 0; i < len; i++, val >>= 8) {
        uint8_t *reg = &d->config[addr + i], mask = d->wmask[addr + i];
        *reg = (*reg & ~mask) | (val & mask);
        *reg &= ~(val & d->w1cmask[addr + i]);
    }
    write_header(d, addr, len, command);
    msi_config_written(d, addr, len);
    if (d->config_written) {
        d->config_written(d, addr, len);
    }
}

static uint32_t function_read(PCIDevice *d, unsigned addr, unsigned len)
{
    uint32_t val = 0;

    for (unsigned i = 0; i < len; i++) {
        val |= (uint32_t)d->config[addr + i] << (8 * i);
    }
    return d->config_read ? d->config_read(d, addr, len, val) : val;
}

static PCIDevice *addressed(PCIBus *root, uint32_t addr)
{
    return (addr >> 16 & 0xff) == root->number ? root->slot[addr >> 8 & 0xff] : NULL;
}

uint32_t pci_config_read(PCIBus *root, uint32_t addr, unsigned len)
{
    PCIDevice *d = addressed(root, addr);

    if (!d || (addr & 0xff) + len > PCI_CONFIG_SIZE) {
        return ~0u >> (32 - 8 * len);       /* nobody answers: master abort */
    }
    return function_read(d, addr & 0xff, len);
}

void pci_config_write(PCIBus *root, uint32_t addr, uint32_t val, unsigned len)
{
    PCIDevice *d = addressed(root, addr);

    if (d && (addr & 0xff) + len <= PCI_CONFIG_SIZE) {
        function_write(d, addr & 0xff, val, len);
    }
}

PCIDevice *pci_find_device(PCIBus *b, uint8_t devfn)
{
    return b->slot[devfn];
}

/* ---- bus mastering ------------------------------------------------------------------- */

static bool is_master(const PCIDevice *d)
{
    if (pci_get_word(d->config + PCI_COMMAND) & PCI_COMMAND_MASTER) {
        return true;
    }
    LOG_GUEST("%s: DMA while bus mastering is off", d->dev.type->name);
    return false;
}

MemResult pci_dma_read(PCIDevice *d, hwaddr addr, void *buf, uint64_t len)
{
    if (!is_master(d)) {
        memset(buf, 0xff, len);
        return MEM_REFUSED;
    }
    return address_space_read(&d->dma, addr, buf, len);
}

MemResult pci_dma_write(PCIDevice *d, hwaddr addr, const void *buf, uint64_t len)
{
    return is_master(d) ? address_space_write(&d->dma, addr, buf, len) : MEM_REFUSED;
}

static void init_dma(PCIDevice *d)
{
    region_init_container(&d->bus_master_root, "bus master container", REGION_WHOLE);
    region_init_alias(&d->bus_master, "bus master", system_memory(), 0, REGION_WHOLE);
    region_enable(&d->bus_master, false);
    region_map(&d->bus_master_root, 0, &d->bus_master, 0);
    address_space_init(&d->dma, &d->bus_master_root, d->dev.type->name);
}

/* ---- a function comes and goes ------------------------------------------------------- */

static void set_masks(PCIDevice *d)
{
    pci_set_word(d->wmask + PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER
                 | PCI_COMMAND_INTX_OFF | PCI_COMMAND_SERR);
    /* parity error, signalled system error, master and target aborts */
    pci_set_word(d->w1cmask + PCI_STATUS, 0xf900);
    d->wmask[PCI_CACHE_LINE_SIZE] = 0xff;
    d->wmask[PCI_INTERRUPT_LINE] = 0xff;
    memset(d->wmask + 0x40, 0xff, PCI_CONFIG_SIZE - 0x40);
}

static void set_identity(PCIDevice *d)
{
    const PCIInfo *info = d->dev.type->info;

    pci_set_word(d->config + PCI_VENDOR_ID, info->vendor);
    pci_set_word(d->config + PCI_DEVICE_ID, info->device);
    d->config[PCI_REVISION] = info->revision;
    d->config[PCI_CLASS_PROG] = info->prog_if;
    pci_set_word(d->config + PCI_CLASS_DEVICE, info->class_id);
    pci_set_word(d->config + PCI_SUBSYS_VENDOR, info->subsys_vendor ? info->subsys_vendor : 0x1af4);
    pci_set_word(d->config + PCI_SUBSYS_ID, info->subsys_vendor ? info->subsys : 0x1100);
    d->config[PCI_INTERRUPT_PIN] = info->pin;
    d->multifunction |= info->multifunction;
    if (d->multifunction) {
        d->config[PCI_HEADER_TYPE] |= 0x80;
    }
}

/* Functions of one slot must agree that there are several. */
static bool check_multifunction(PCIBus *b, PCIDevice *d, Error **err)
{
    unsigned slot = PCI_SLOT(d->devfn), fn = PCI_FUNC(d->devfn);
    PCIDevice *first = b->slot[PCI_DEVFN(slot, 0)];

    if (fn) {
        return !first || first->multifunction
               || fail(err, "%s: slot %x is taken by the single-function device %s (give that one "
                       "multifunction=on)", d->dev.type->name, slot, first->dev.type->name);
    }
    for (unsigned n = 1; n < 8 && !d->multifunction; n++) {
        PCIDevice *other = b->slot[PCI_DEVFN(slot, n)];
        if (other) {
            return fail(err, "%s: slot %x has a function %u (%s) already: multifunction=on is "
                        "needed", d->dev.type->name, slot, n, other->dev.type->name);
        }
    }
    return true;
}

static bool choose_devfn(PCIBus *b, PCIDevice *d, Error **err)
{
    int devfn = d->addr_prop;

    for (unsigned slot = 0; devfn < 0 && slot < 32; slot++) {
        if (!b->slot[PCI_DEVFN(slot, 0)]) {
            devfn = PCI_DEVFN(slot, 0);
        }
    }
    if (devfn < 0) {
        return fail(err, "%s: no free slot on %s", d->dev.type->name, b->bus.name);
    }
    if (b->slot[devfn]) {
        return fail(err, "%s: slot %x function %x is in use by %s", d->dev.type->name,
                    PCI_SLOT(devfn), PCI_FUNC(devfn), b->slot[devfn]->dev.type->name);
    }
    d->devfn = devfn;
    return check_multifunction(b, d, err);
}

static void function_exit(PCIBus *b, PCIDevice *d)
{
    for (int n = 0; n < 7; n++) {
        if (d->bar[n].region && d->bar[n].addr != PCI_BAR_UNMAPPED) {
            region_unmap(d->bar[n].region);
        }
    }
    msi_exit(d);
    address_space_destroy(&d->dma);
    region_destroy(&d->bus_master);
    region_destroy(&d->bus_master_root);
    region_destroy(&d->rom);
    g_clear_pointer(&d->loading, g_free);
    b->slot[d->devfn] = NULL;
}

static bool pci_bus_add(Bus *bus, Device *dev, Error **err)
{
    PCIBus *b = (PCIBus *)bus;
    PCIDevice *d = (PCIDevice *)dev;

    if (dev->hotplugged && !b->hotplug) {
        return fail(err, "Bus '%s' does not support hotplugging", bus->name);
    }
    if (dev->hotplugged && ((const PCIInfo *)dev->type->info)->not_hotpluggable) {
        return fail(err, "Device '%s' does not support hotplugging", dev->type->name);
    }
    if (!choose_devfn(b, d, err)) {
        return false;
    }
    d->bus = b;
    set_masks(d);
    set_identity(d);
    init_dma(d);
    b->slot[d->devfn] = d;
    return true;
}

/* The ROM names the ids, which are settled by now.  A slot is announced when its function 0
 * comes: the others must be there before. */
static bool pci_bus_added(Bus *bus, Device *dev, Error **err)
{
    PCIBus *b = (PCIBus *)bus;
    PCIDevice *d = (PCIDevice *)dev;

    if (!pci_load_rom(d, err)) {
        return false;
    }
    if (dev->hotplugged && !PCI_FUNC(d->devfn)) {
        b->hotplug->plugged(b->hotplug_opaque, d);
    }
    return true;
}

static bool pci_bus_unplug(Bus *bus, Device *dev, Error **err)
{
    PCIBus *b = (PCIBus *)bus;

    if (!b->hotplug) {
        return fail(err, "Bus '%s' does not support hotplugging", bus->name);
    }
    return b->hotplug->unplug(b->hotplug_opaque, (PCIDevice *)dev, err);
}

static void pci_bus_remove(Bus *bus, Device *dev)
{
    PCIDevice *d = (PCIDevice *)dev;

    pci_set_irq(d, 0);
    function_exit((PCIBus *)bus, d);
}

/* Power-on state: everything the guest can write is zero. */
void pci_device_reset(PCIDevice *d)
{
    pci_set_irq(d, 0);
    for (unsigned i = PCI_COMMAND; i < PCI_COMMAND + 4; i++) {
        d->config[i] &= ~(d->wmask[i] | d->w1cmask[i]);
    }
    d->config[PCI_CACHE_LINE_SIZE] = 0;
    d->config[PCI_INTERRUPT_LINE] = 0;
    reset_bars(d);
    pci_update_mappings(d);
    msi_reset(d);
}

static void pci_bus_reset(Bus *bus, Device *dev)
{
    pci_device_reset((PCIDevice *)dev);
}

static void pci_bus_path(Bus *bus, Device *dev, GString *out)
{
    uint8_t devfn = ((PCIDevice *)dev)->devfn;

    g_string_append_printf(out, "0000:%02x:%02x.%x", ((PCIBus *)bus)->number, PCI_SLOT(devfn),
                           PCI_FUNC(devfn));
}

static const Prop pci_props[] = {
    PROP_DEVFN("addr", PCIDevice, addr_prop, "slot[.function], hexadecimal (default: first free)"),
    PROP_BOOL("multifunction", PCIDevice, multifunction, false, "function 0 of several"),
    PROP_STRING("romfile", PCIDevice, romfile, NULL, "option ROM image, \"\" for none"),
    PROP_UINT_R("rombar", PCIDevice, rombar, 1, 0, 1, "0: no expansion ROM"),
    PROP_DONE
};

const BusType pci_bus_type = {
    .name = "PCI", .props = pci_props, .add = pci_bus_add, .remove = pci_bus_remove,
    .added = pci_bus_added, .unplug = pci_bus_unplug,
    .reset = pci_bus_reset, .path = pci_bus_path, .print = pci_print_function,
    .fw_name = pci_fw_name,
};
BUS_TYPE(pci_bus_type);

void pci_bus_init(PCIBus *b, Device *owner, const char *name, Region *mem, Region *io)
{
    bus_init(&b->bus, &pci_bus_type, owner, name);
    b->mem = mem;
    b->io = io;
    if (!root_bus) {
        root_bus = b;
    }
}

PCIDevice *pci_create(PCIBus *b, int devfn, const char *type)
{
    PCIDevice *d = (PCIDevice *)device_new(type);

    d->addr_prop = devfn;
    return d;
}

void pci_realize_or_die(PCIDevice *d, PCIBus *b)
{
    device_realize_or_die(&d->dev, &b->bus);
}

/* ---- state --------------------------------------------------------------------------- */

static void pci_pre_load(void *opaque)
{
    PCIDevice *d = opaque;

    g_free(d->loading);
    d->loading = g_memdup2(d->config, PCI_CONFIG_SIZE);
}

/* The header's constants must be ours: a stream from another device is refused, and what the
 * guest can't have written is not taken from it. */
static bool pci_post_load(void *opaque, int version, Error **err)
{
    PCIDevice *d = opaque;

    for (unsigned i = 0; i < 0x40; i++) {
        uint8_t fixed = ~(d->wmask[i] | d->w1cmask[i]);
        bool status = i == PCI_STATUS;
        if (!status && ((d->config[i] ^ d->loading[i]) & fixed)) {
            return fail(err, "%s: configuration byte %02x is %02x in the stream, %02x here",
                        d->dev.type->name, i, d->config[i], d->loading[i]);
        }
    }
    d->config[PCI_STATUS] = d->loading[PCI_STATUS] & ~PCI_STATUS_INTERRUPT;
    if (d->pin_level) {
        d->config[PCI_STATUS] |= PCI_STATUS_INTERRUPT;
    }
    g_clear_pointer(&d->loading, g_free);
    if (!msi_check_loaded(d, err)) {
        return false;
    }
    pci_update_mappings(d);
    msi_update(d);
    return true;
}

static const VMField pci_fields[] = {
    VM_BUFFER(PCIDevice, config),
    VM_BOOL(PCIDevice, pin_level),
    VM_VBUFFER(PCIDevice, msix_table, msix_bytes, MSIX_MAX * 16),
    VM_VBUFFER(PCIDevice, msix_pba, msix_pba_bytes, MSIX_MAX / 8),
    VM_DONE
};

const VMState vm_pci_device = {
    .name = "pci", .pre_load = pci_pre_load, .post_load = pci_post_load, .fields = pci_fields,
};
