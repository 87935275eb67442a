/* SPDX-License-Identifier: MIT */
/*
 * The monitor's view of PCI: `info pci` and the device lines of `info qtree`, in the words of
 * QEMU's, because scripts read them.
 */
#include "hw/pci/pci.h"

#include <inttypes.h>

typedef struct ClassName {
    uint16_t class_id;
    const char *name, *fw_name;         /* for people; for firmware */
} ClassName;

static const ClassName class_names[] = {
    { 0x0100, "SCSI controller", "scsi" }, { 0x0101, "IDE controller", "ide" }, { 0x0102, "Floppy controller", "fdc" },
    { 0x0103, "IPI controller" }, { 0x0104, "RAID controller" }, { 0x0106, "SATA controller" },
    { 0x0107, "SAS controller" }, { 0x0108, "NVMe controller" }, { 0x0180, "Storage controller" },
    { 0x0200, "Ethernet controller", "ethernet" }, { 0x0201, "Token Ring controller" },
    { 0x0202, "FDDI controller" }, { 0x0203, "ATM controller" }, { 0x0280, "Network controller" },
    { 0x0300, "VGA controller", "display" }, { 0x0301, "XGA controller" }, { 0x0302, "3D controller" },
    { 0x0380, "Display controller" }, { 0x0400, "Video controller" },
    { 0x0401, "Audio controller" }, { 0x0402, "Phone" }, { 0x0403, "Audio controller" },
    { 0x0480, "Multimedia controller" }, { 0x0500, "RAM controller" },
    { 0x0501, "Flash controller" }, { 0x0580, "Memory controller" }, { 0x0600, "Host bridge", "host" },
    { 0x0601, "ISA bridge", "isa" }, { 0x0602, "EISA bridge" }, { 0x0603, "MC bridge" },
    { 0x0604, "PCI bridge", "pci-bridge" }, { 0x0605, "PCMCIA bridge" }, { 0x0680, "Bridge" },
    { 0x0700, "Serial port", "serial" }, { 0x0701, "Parallel port" }, { 0x0c00, "IEEE1394 controller" },
    { 0x0c03, "USB controller", "usb" }, { 0x0c05, "SMBus", "smbus" },
};

static uint16_t class_of(const PCIDevice *d)
{
    return pci_get_word(d->config + PCI_CLASS_DEVICE);
}

static const ClassName *find_class(uint16_t class_id)
{
    for (size_t i = 0; i < G_N_ELEMENTS(class_names); i++) {
        if (class_names[i].class_id == class_id) {
            return &class_names[i];
        }
    }
    return NULL;
}

static void print_class(const PCIDevice *d, GString *out)
{
    const ClassName *c = find_class(class_of(d));

    if (c) {
        g_string_append(out, c->name);
    } else {
        g_string_append_printf(out, "Class %04d", class_of(d));
    }
}

/* Where the guest's registers point, mapped or not. */
static void print_bar(const PCIDevice *d, int n, GString *out)
{
    const PCIBar *b = &d->bar[n];
    uint64_t addr = b->addr;

    if (!b->region) {
        return;
    }
    g_string_append_printf(out, "      BAR%d: ", n);
    if (b->type & PCI_BAR_IO) {
        g_string_append_printf(out, "I/O at 0x%04" PRIx64 " [0x%04" PRIx64 "].\n",
                               addr & 0xffff, (addr + b->size - 1) & 0xffff);
        return;
    }
    g_string_append_printf(out, "%d bit%s memory at 0x%08" PRIx64 " [0x%08" PRIx64 "].\n",
                           b->type & PCI_BAR_MEM64 ? 64 : 32,
                           b->type & PCI_BAR_PREFETCH ? " prefetchable" : "",
                           addr, addr + b->size - 1);
}

static void print_device(const PCIDevice *d, GString *out)
{
    g_string_append_printf(out, "  Bus %2d, device %3d, function %d:\n    ", d->bus->number,
                           PCI_SLOT(d->devfn), PCI_FUNC(d->devfn));
    print_class(d, out);
    g_string_append_printf(out, ": PCI device %04x:%04x\n", pci_get_word(d->config),
                           pci_get_word(d->config + PCI_DEVICE_ID));
    g_string_append_printf(out, "      PCI subsystem %04x:%04x\n",
                           pci_get_word(d->config + PCI_SUBSYS_VENDOR),
                           pci_get_word(d->config + PCI_SUBSYS_ID));
    if (d->config[PCI_INTERRUPT_PIN]) {
        g_string_append_printf(out, "      IRQ %d, pin %c\n", d->config[PCI_INTERRUPT_LINE],
                               'A' + d->config[PCI_INTERRUPT_PIN] - 1);
    }
    for (int n = 0; n < 7; n++) {
        print_bar(d, n, out);
    }
    g_string_append_printf(out, "      id \"%s\"\n", d->dev.id ? d->dev.id : "");
}

void pci_info(GString *out)
{
    PCIBus *b = pci_root_bus();

    if (!b) {
        g_string_append(out, "No PCI devices\n");
        return;
    }
    for (unsigned devfn = 0; devfn < 256; devfn++) {
        if (b->slot[devfn]) {
            print_device(b->slot[devfn], out);
        }
    }
}

void pci_print_function(Bus *bus, Device *dev, GString *out, int indent)
{
    const PCIDevice *d = (PCIDevice *)dev;

    g_string_append_printf(out, "%*sclass ", indent, "");
    print_class(d, out);
    g_string_append_printf(out, ", addr %02x:%02x.%x, pci id %04x:%04x (sub %04x:%04x)\n",
                           d->bus->number, PCI_SLOT(d->devfn), PCI_FUNC(d->devfn),
                           pci_get_word(d->config), pci_get_word(d->config + PCI_DEVICE_ID),
                           pci_get_word(d->config + PCI_SUBSYS_VENDOR),
                           pci_get_word(d->config + PCI_SUBSYS_ID));
    for (int n = 0; n < 7; n++) {
        const PCIBar *b = &d->bar[n];
        if (b->region) {
            g_string_append_printf(out, "%*sbar %d: %s at 0x%" PRIx64 " [0x%" PRIx64 "]\n", indent,
                                   "", n, b->type & PCI_BAR_IO ? "i/o" : "mem", b->addr,
                                   b->addr + b->size - 1);
        }
    }
}

void pci_fw_name(Bus *bus, Device *dev, GString *out)
{
    const PCIDevice *d = (PCIDevice *)dev;
    const ClassName *c = find_class(class_of(d));

    if (c && c->fw_name) {
        g_string_append_printf(out, "/%s@%x", c->fw_name, PCI_SLOT(d->devfn));
    } else {
        g_string_append_printf(out, "/pci%04x,%04x@%x", pci_get_word(d->config),
                               pci_get_word(d->config + PCI_DEVICE_ID), PCI_SLOT(d->devfn));
    }
    if (PCI_FUNC(d->devfn)) {
        g_string_append_printf(out, ",%x", PCI_FUNC(d->devfn));
    }
}
