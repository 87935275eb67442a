/* SPDX-License-Identifier: MIT */
/*
 * The PC's DSDT: what an operating system can't find out by itself - the PCI bus with its
 * windows and interrupt routing, the chips on the ISA bus, sleep states.
 *
 * Sources: ACPI Specification 6.3: 6.2.13 (_PRT), 6.1 (identification); PCI Firmware
 * Specification 3.2, 4.3 (_CRS of a host bridge); PNP ids of Microsoft's "Plug and Play
 * Vendor IDs and Device IDs".
 */
#include "hw/acpi/aml.h"
#include "hw/acpi/pcihp.h"
#include "hw/acpi/piix4_pm.h"
#include "hw/i386/acpi-pc.h"
#include "hw/misc/pvpanic.h"
#include "hw/timer/hpet.h"
#include "target-i386/cpu.h"

#include <stdlib.h>

#define PCI_HOLE_LAST 0xfebfffffu       /* the I/O APIC follows */

static const char *const link_names[4] = { "LNKA", "LNKB", "LNKC", "LNKD" };

/* ---- sleep states ------------------------------------------------------------------------ */

static void sleep_state(Aml *a, const char *name, unsigned type)
{
    aml_name(a, name);
    aml_package(a);
    for (int i = 0; i < 4; i++) {
        aml_element(a);
        aml_int(a, i < 2 ? type : 0);   /* PM1a, PM1b, two reserved */
    }
    aml_end(a);
}

static void sleep_states(PCMachine *pc, Aml *a)
{
    if (piix4_pm_s3(pc->pm)) {
        sleep_state(a, "\\_S3", PIIX4_SLP_S3);
    }
    if (piix4_pm_s4(pc->pm)) {
        sleep_state(a, "\\_S4", piix4_pm_s4_type(pc->pm));
    }
    sleep_state(a, "\\_S5", PIIX4_SLP_S5);
}

/* ---- PCI -------------------------------------------------------------------------------- */

/* The 64-bit BARs that firmware has placed above 4 GiB; false: none. */
static bool high_window(const PCMachine *pc, uint64_t *first, uint64_t *last)
{
    *first = UINT64_MAX;
    *last = 0;
    for (unsigned devfn = 0; devfn < 256; devfn++) {
        PCIDevice *d = pci_find_device(pc->pci, devfn);
        for (int n = 0; d && n < 6; n++) {
            const PCIBar *b = &d->bar[n];
            if (b->region && b->addr != PCI_BAR_UNMAPPED && b->addr >= 4 * GIB) {
                *first = MIN(*first, b->addr);
                *last = MAX(*last, b->addr + b->size - 1);
            }
        }
    }
    return *last;
}

static void pci_windows(PCMachine *pc, Aml *a)
{
    uint64_t first, last;

    aml_crs(a);
    aml_crs_bus(a, 0, 0xff);
    aml_crs_io(a, 0xcf8, 0xcf8, 1, 8);
    aml_crs_io_window(a, 0, 0xcf7);
    aml_crs_io_window(a, 0xd00, 0xffff);
    aml_crs_memory_window(a, 0xa0000, 0xbffff, true);
    aml_crs_memory_window(a, pc->below_4g, PCI_HOLE_LAST, false);
    if (high_window(pc, &first, &last)) {
        aml_crs_memory_window64(a, first, last, true);
    }
    aml_end(a);
}

/* Slot and pin to a link: the south bridge's rotation.  The south bridge itself has its INTA
 * wired to the SCI. */
static void pci_routing(Aml *a)
{
    aml_name(a, "_PRT");
    aml_package(a);
    for (unsigned slot = 0; slot < 32; slot++) {
        for (unsigned pin = 0; pin < 4; pin++) {
            const char *link = slot == 1 && pin == 0 ? "LNKS" : link_names[(slot + pin - 1) & 3];
            aml_element(a);
            aml_package(a);
            aml_element(a);
            aml_int(a, slot << 16 | 0xffff);
            aml_element(a);
            aml_int(a, pin);
            aml_element(a);
            aml_namestring(a, link);
            aml_element(a);
            aml_int(a, 0);
            aml_end(a);
        }
    }
    aml_end(a);
}

/* ---- interrupt links ---------------------------------------------------------------------- */

/* IQST(route): _STA of a link; IQCR(route): its _CRS. */
static void link_helpers(Aml *a)
{
    const uint32_t none = 0;

    aml_method(a, "IQST", 1, false);
    aml_if(a);
    aml_and(a), aml_arg(a, 0), aml_int(a, 0x80), aml_null(a);
    aml_return(a), aml_int(a, 0x09);    /* there, working, not routed */
    aml_end(a);
    aml_return(a), aml_int(a, 0x0b);
    aml_end(a);

    aml_method(a, "IQCR", 1, true);
    aml_resources(a, "PRR0");
    aml_crs_interrupts(a, &none, 1);
    aml_end(a);
    aml_dword_field(a, "PRR0", 5, "PRRI");
    aml_if(a);
    aml_and(a), aml_arg(a, 0), aml_int(a, 0x80), aml_null(a);
    aml_end(a);
    aml_else(a);
    aml_store(a), aml_arg(a, 0), aml_namestring(a, "PRRI");
    aml_end(a);
    aml_return(a), aml_namestring(a, "PRR0");
    aml_end(a);
}

static void pirq_link(Aml *a, unsigned n)
{
    static const uint32_t lines[] = PC_PIRQ_LINES;
    g_autofree char *route = g_strdup_printf("\\_SB.PCI0.ISA.PRQ%u", n);

    aml_device(a, link_names[n]);
    aml_name_eisaid(a, "_HID", "PNP0C0F");
    aml_name_int(a, "_UID", n);
    aml_resources(a, "_PRS");
    aml_crs_interrupts(a, lines, G_N_ELEMENTS(lines));
    aml_end(a);
    aml_method(a, "_STA", 0, false);
    aml_return(a), aml_namestring(a, "IQST"), aml_namestring(a, route);
    aml_end(a);
    aml_method(a, "_DIS", 0, false);
    aml_or(a), aml_namestring(a, route), aml_int(a, 0x80), aml_namestring(a, route);
    aml_end(a);
    aml_method(a, "_CRS", 0, false);
    aml_return(a), aml_namestring(a, "IQCR"), aml_namestring(a, route);
    aml_end(a);
    aml_method(a, "_SRS", 1, true);
    aml_dword_field(a, "Arg0", 5, "PRRI");
    aml_store(a), aml_namestring(a, "PRRI"), aml_namestring(a, route);
    aml_end(a);
    aml_end(a);
}

/* Its interrupt is what it is. */
static void sci_link(Aml *a)
{
    const uint32_t sci = PIIX4_SCI;

    aml_device(a, "LNKS");
    aml_name_eisaid(a, "_HID", "PNP0C0F");
    aml_name_int(a, "_UID", 4);
    aml_resources(a, "_PRS");
    aml_crs_interrupts(a, &sci, 1);
    aml_end(a);
    aml_crs(a);
    aml_crs_interrupts(a, &sci, 1);
    aml_end(a);
    aml_name_int(a, "_STA", 0x0b);
    aml_method(a, "_DIS", 0, false);
    aml_end(a);
    aml_method(a, "_SRS", 1, false);
    aml_end(a);
    aml_end(a);
}

/* ---- ISA ---------------------------------------------------------------------------------- */

static void begin_isa_device(Aml *a, const char *name, const char *pnp)
{
    aml_device(a, name);
    aml_name_eisaid(a, "_HID", pnp);
    aml_name_int(a, "_STA", 0x0f);
}

static void input_devices(PCMachine *pc, Aml *a)
{
    if (!pc->kbc) {
        return;
    }
    begin_isa_device(a, "KBD", "PNP0303");
    aml_crs(a);
    aml_crs_io(a, 0x60, 0x60, 1, 1);
    aml_crs_io(a, 0x64, 0x64, 1, 1);
    aml_crs_irq(a, 1);
    aml_end(a);
    aml_end(a);
    begin_isa_device(a, "MOU", "PNP0F13");
    aml_crs(a);
    aml_crs_irq(a, 12);
    aml_end(a);
    aml_end(a);
}

static void floppy_device(PCMachine *pc, Aml *a)
{
    if (!pc->fdc) {
        return;
    }
    begin_isa_device(a, "FDC0", "PNP0700");
    aml_crs(a);
    aml_crs_io(a, 0x3f2, 0x3f2, 1, 4);
    aml_crs_io(a, 0x3f7, 0x3f7, 1, 1);
    aml_crs_irq(a, 6);
    aml_crs_dma(a, 2);
    aml_end(a);
    aml_end(a);
}

static void clock_device(Aml *a)
{
    begin_isa_device(a, "RTC", "PNP0B00");
    aml_crs(a);
    aml_crs_io(a, 0x70, 0x70, 1, 8);
    aml_crs_irq(a, 8);
    aml_end(a);
    aml_end(a);
}

static unsigned number_prop(Device *dev, const char *prop)
{
    g_autofree char *text = device_get(dev, prop);
    return text ? strtoul(text, NULL, 0) : 0;
}

typedef struct PortWalk {
    Aml *a;
    unsigned serial, parallel;
} PortWalk;

static void port_device(Device *dev, void *opaque)
{
    PortWalk *w = opaque;
    bool serial = !g_strcmp0(dev->type->name, "isa-serial");
    unsigned *count = serial ? &w->serial : &w->parallel;
    char name[5];

    if ((!serial && g_strcmp0(dev->type->name, "isa-parallel")) || *count == 4) {
        return;
    }
    g_snprintf(name, sizeof(name), "%s%u", serial ? "COM" : "LPT", ++*count);
    begin_isa_device(w->a, name, serial ? "PNP0501" : "PNP0400");
    aml_name_int(w->a, "_UID", *count);
    aml_crs(w->a);
    unsigned base = number_prop(dev, "iobase");
    aml_crs_io(w->a, base, base, 1, 8);
    aml_crs_irq(w->a, number_prop(dev, "irq"));
    aml_end(w->a);
    aml_end(w->a);
}

/* The south bridge, with the registers that route PCI interrupts. */
static void isa_bridge(PCMachine *pc, Aml *a)
{
    static const char *const names[] = { "PRQ0", "PRQ1", "PRQ2", "PRQ3" };
    static const unsigned bits[] = { 8, 8, 8, 8 };
    PortWalk w = { a, 0, 0 };

    aml_device(a, "ISA");
    aml_name_int(a, "_ADR", 1 << 16);
    aml_region(a, "P40C", AML_PCI_CONFIG, 0x60, 4);
    aml_field(a, "P40C", names, bits, 4);
    input_devices(pc, a);
    floppy_device(pc, a);
    clock_device(a);
    device_foreach(port_device, &w);
    aml_end(a);
}

/* ---- the rest ------------------------------------------------------------------------------ */

/* Ports that belong to no device an operating system drives by them. */
static void motherboard(PCMachine *pc, Aml *a)
{
    unsigned base = pci_get_word(((PCIDevice *)pc->pm)->config + 0x40) & 0xffc0;

    base = base ? base : PIIX4_PM_BASE;
    aml_device(a, "MRES");
    aml_name_eisaid(a, "_HID", "PNP0C02");
    aml_name_int(a, "_UID", 1);
    aml_crs(a);
    aml_crs_io(a, base, base, 1, 0x40);
    aml_crs_io(a, PIIX4_SMB_BASE, PIIX4_SMB_BASE, 1, 0x10);
    aml_crs_io(a, PIIX4_GPE_BASE, PIIX4_GPE_BASE, 1, PIIX4_GPE_LEN);
    aml_crs_io(a, PCIHP_BASE, PCIHP_BASE, 1, PCIHP_LEN);
    aml_crs_io(a, PIIX4_SMI_CMD, PIIX4_SMI_CMD, 1, 2);
    aml_end(a);
    aml_end(a);
}

static void fw_cfg_device_aml(Aml *a)
{
    aml_device(a, "FWCF");
    aml_name_string(a, "_HID", "QEMU0002");
    aml_name_int(a, "_STA", 0x0b);      /* not shown to users */
    aml_crs(a);
    aml_crs_io(a, 0x510, 0x510, 1, 0x0c);
    aml_end(a);
    aml_end(a);
}

static void panic_device(Aml *a)
{
    unsigned port = pvpanic_port();
    static const char *const names[] = { "PEPT" };
    static const unsigned bits[] = { 8 };

    if (!port) {
        return;
    }
    aml_device(a, "PEVT");
    aml_name_string(a, "_HID", "QEMU0001");
    aml_name_int(a, "_STA", 0x0f);
    aml_crs(a);
    aml_crs_io(a, port, port, 1, 1);
    aml_end(a);
    aml_region(a, "PEOR", AML_IO, port, 1);
    aml_field(a, "PEOR", names, bits, 1);
    aml_method(a, "RDPT", 0, false);
    aml_return(a), aml_namestring(a, "PEPT");
    aml_end(a);
    aml_method(a, "WRPT", 1, false);
    aml_store(a), aml_arg(a, 0), aml_namestring(a, "PEPT");
    aml_end(a);
    aml_end(a);
}

static void hpet_device(PCMachine *pc, Aml *a)
{
    if (!pc->hpet) {
        return;
    }
    aml_device(a, "HPET");
    aml_name_eisaid(a, "_HID", "PNP0103");
    aml_name_int(a, "_UID", 0);
    aml_name_int(a, "_STA", 0x0f);
    aml_crs(a);
    aml_crs_memory(a, HPET_BASE, 0x400, false);
    aml_end(a);
    aml_end(a);
}

static void processors(Aml *a)
{
    char name[5];

    for (guint n = 0; n < cpus->len; n++) {
        g_snprintf(name, sizeof(name), "C%03X", n & 0xfff);
        aml_processor(a, name, n, 0, 0);
        aml_end(a);
    }
}

void pc_dsdt(PCMachine *pc, GByteArray *out)
{
    Aml aml, *a = &aml;

    aml_init(a, out);
    sleep_states(pc, a);
    aml_scope(a, "\\_SB");
    processors(a);
    hpet_device(pc, a);
    aml_device(a, "PCI0");
    aml_name_eisaid(a, "_HID", "PNP0A03");
    aml_name_int(a, "_ADR", 0);
    aml_name_int(a, "_UID", 0);
    aml_name_int(a, "_BBN", 0);
    pci_windows(pc, a);
    isa_bridge(pc, a);
    link_helpers(a);
    for (unsigned n = 0; n < 4; n++) {
        pirq_link(a, n);
    }
    sci_link(a);
    pci_routing(a);
    pcihp_aml_bus(a, pc->pci);
    motherboard(pc, a);
    fw_cfg_device_aml(a);
    panic_device(a);
    aml_end(a);
    aml_end(a);
    pcihp_aml_event(a, "\\_SB.PCI0");
    g_assert(a->depth == 0);
}
