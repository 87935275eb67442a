/* SPDX-License-Identifier: MIT */
/*
 * Hot plugging of PCI functions through ACPI.
 *
 * Source: ACPI Specification 6.3, 6.3.3 (_EJx), 5.6.6 (notifications), 5.6.4.1 (GPE methods).
 */
#include "hw/acpi/pcihp.h"
#include "util/log.h"

enum { REG_UP = 0, REG_DOWN = 4, REG_EJECT = 8, REG_REMOVABLE = 12, REG_SELECT = 16 };

static const PCIInfo *info_of(const PCIDevice *d)
{
    return d->dev.type->info;
}

/* Slots where everything can go (or nothing is). */
static uint32_t removable_slots(PCIBus *b)
{
    uint32_t slots = ~0u;

    for (unsigned devfn = 0; devfn < 256; devfn++) {
        PCIDevice *d = pci_find_device(b, devfn);
        if (d && info_of(d)->not_hotpluggable) {
            slots &= ~(1u << PCI_SLOT(devfn));
        }
    }
    return slots;
}

/* ---- registers -------------------------------------------------------------------------- */

static void eject(PciHotplug *h, uint32_t slots)
{
    slots &= removable_slots(h->bus);
    h->up &= ~slots;
    h->down &= ~slots;
    for (unsigned devfn = 256; devfn-- > 0;) {
        PCIDevice *d = pci_find_device(h->bus, devfn);
        if (d && slots >> PCI_SLOT(devfn) & 1) {
            device_unplug(&d->dev);
        }
    }
}

static uint64_t pcihp_read(void *opaque, hwaddr addr, unsigned size)
{
    PciHotplug *h = opaque;
    uint32_t up = h->up;

    if (addr == REG_SELECT) {
        return h->select;
    }
    if (h->select) {
        return 0;
    }
    switch (addr) {
    case REG_UP:
        h->up = 0;
        return up;
    case REG_DOWN:
        return h->down;
    case REG_REMOVABLE:
        return removable_slots(h->bus);
    default:
        return 0;
    }
}

static void pcihp_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    PciHotplug *h = opaque;

    if (addr == REG_SELECT) {
        h->select = val;
    } else if (addr == REG_EJECT && !h->select) {
        eject(h, val);
    }
}

static const RegionOps pcihp_ops = { .read = pcihp_read, .write = pcihp_write, .min = 4, .max = 4 };

/* ---- the bus -------------------------------------------------------------------------------- */

static void plugged(void *opaque, PCIDevice *d)
{
    PciHotplug *h = opaque;

    h->up |= 1u << PCI_SLOT(d->devfn);
    h->event(h->opaque);
}

static bool unplug(void *opaque, PCIDevice *d, Error **err)
{
    PciHotplug *h = opaque;
    unsigned slot = PCI_SLOT(d->devfn);

    if (!(removable_slots(h->bus) >> slot & 1)) {
        return fail(err, "%s: slot %x has a device that can't be unplugged", d->dev.type->name, slot);
    }
    h->down |= 1u << slot;
    h->event(h->opaque);
    return true;
}

static const PCIHotplugOps hotplug_ops = { .plugged = plugged, .unplug = unplug };

/* A system that starts anew does not know what was asked of the old one. */
static void system_reset(void *opaque)
{
    PciHotplug *h = opaque;

    h->select = 0;
    eject(h, h->down);
    h->up = 0;
}

void pcihp_init(PciHotplug *h, PCIBus *bus, Region *io, void (*event)(void *opaque), void *opaque)
{
    h->bus = bus;
    h->event = event;
    h->opaque = opaque;
    region_init_io(&h->io, "acpi-pci-hotplug", PCIHP_LEN, &pcihp_ops, h);
    region_map(io, PCIHP_BASE, &h->io, 0);
    bus->hotplug = &hotplug_ops;
    bus->hotplug_opaque = h;
    reset_register(system_reset, h);
}

void pcihp_exit(PciHotplug *h)
{
    reset_unregister(system_reset, h);
    h->bus->hotplug = NULL;
    region_destroy(&h->io);
}

static const VMField pcihp_fields[] = {
    VM_UINT(PciHotplug, up), VM_UINT(PciHotplug, down), VM_UINT(PciHotplug, select),
    VM_DONE
};
const VMState vm_pcihp = { .name = "acpi-pci-hotplug", .fields = pcihp_fields };

/* ---- tables ----------------------------------------------------------------------------------- */

static void slot_name(char *out, unsigned slot)
{
    g_snprintf(out, 5, "S%02X_", slot);
}

static void slot_device(Aml *a, unsigned slot)
{
    char name[5];

    slot_name(name, slot);
    aml_device(a, name);
    aml_name_int(a, "_ADR", slot << 16);
    aml_name_int(a, "_SUN", slot);
    aml_method(a, "_EJ0", 1, false);
    aml_namestring(a, "PCEJ"), aml_int(a, slot);
    aml_end(a);
    aml_end(a);
}

/* DVNT(slots, what): notify the devices of these slots. */
static void notify_method(Aml *a, uint32_t slots)
{
    char name[5];

    aml_method(a, "DVNT", 2, false);
    for (unsigned slot = 0; slot < 32; slot++) {
        if (slots >> slot & 1) {
            slot_name(name, slot);
            aml_if(a);
            aml_and(a), aml_arg(a, 0), aml_int(a, 1u << slot), aml_null(a);
            aml_notify(a), aml_namestring(a, name), aml_arg(a, 1);
            aml_end(a);
        }
    }
    aml_end(a);
}

void pcihp_aml_bus(Aml *a, PCIBus *bus)
{
    static const char *const names[] = { "PCIU", "PCID", "B0EJ", "B0RM", "BNUM" };
    uint32_t slots = removable_slots(bus);

    aml_region(a, "PCST", AML_IO, PCIHP_BASE, PCIHP_LEN);
    aml_dword_fields(a, "PCST", names, G_N_ELEMENTS(names));
    aml_method(a, "PCEJ", 1, true);
    aml_store(a), aml_int(a, 0), aml_namestring(a, "BNUM");
    aml_shift_left(a), aml_int(a, 1), aml_arg(a, 0), aml_namestring(a, "B0EJ");
    aml_end(a);
    for (unsigned slot = 0; slot < 32; slot++) {
        if (slots >> slot & 1) {
            slot_device(a, slot);
        }
    }
    notify_method(a, slots);
    aml_method(a, "PCNT", 0, true);
    aml_store(a), aml_int(a, 0), aml_namestring(a, "BNUM");
    aml_namestring(a, "DVNT"), aml_namestring(a, "PCIU"), aml_int(a, 1);    /* device check */
    aml_namestring(a, "DVNT"), aml_namestring(a, "PCID"), aml_int(a, 3);    /* eject request */
    aml_end(a);
}

void pcihp_aml_event(Aml *a, const char *pci)
{
    g_autofree char *method = g_strdup_printf("%s.PCNT", pci);

    aml_scope(a, "\\_GPE");
    aml_method(a, "_E01", 0, false);
    aml_namestring(a, method);
    aml_end(a);
    aml_end(a);
}
