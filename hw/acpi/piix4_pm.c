/* SPDX-License-Identifier: MIT */
/*
 * 82371AB (PIIX4), function 3: power management and SMBus, as the 440FX board carries it
 * beside its PIIX3.
 *
 * Source: Intel 82371AB data sheet (290562), chapter 7 (registers of function 3), 4.2.1
 * (APM control and status ports).
 *
 * Modelled: ACPI fixed registers, SMI by APM command, SMBus host, one GPE block at AFE0h
 * (where QEMU's board has it; the real chip's lies at PM base + 0Ch), PCI hot plugging at AE00h
 * (which the real chip has not).  Not modelled: device
 * monitors, clock throttling, burst and standby timers.
 */
#include "hw/acpi/piix4_pm.h"
#include "hw/acpi/pcihp.h"
#include "hw/acpi/pm1.h"
#include "hw/acpi/smbus_host.h"
#include "hw/core/sysctl.h"

#define PMBA        0x40
#define DEVACTB     0x58
#define DEVACTB_APMC_EN (1u << 25)
#define PMREGMISC   0x80
#define SMBBA       0x90
#define SMBHSTCFG   0xd2

typedef struct Piix4Pm {
    PCIDevice pci;                      /* always first */
    Piix4PmWires wires;
    Pm1 pm1;
    SMBusHost smb;
    PciHotplug hotplug;
    Region pm;                          /* 64 ports at PMBA */
    uint16_t pm_at, smb_at;             /* where mapped; 0 = not */
    Region apm;
    uint8_t apm_cmd, apm_sts;           /* ports B2h and B3h */
    uint8_t disable_s3, disable_s4, s4_type;
    uint32_t smb_base;
} Piix4Pm;

/* ---- where the registers lie --------------------------------------------------------- */

static void move_window(Piix4Pm *s, Region *r, uint16_t *at, uint16_t want)
{
    if (*at == want) {
        return;
    }
    if (*at) {
        region_unmap(r);
    }
    *at = want;
    if (want) {
        region_map(s->pci.bus->io, want, r, 1);
    }
}

static void update_windows(Piix4Pm *s)
{
    const uint8_t *c = s->pci.config;

    memory_begin();
    move_window(s, &s->pm, &s->pm_at,
                c[PMREGMISC] & 1 ? pci_get_word(c + PMBA) & 0xffc0 : 0);
    move_window(s, &s->smb.io, &s->smb_at,
                c[SMBHSTCFG] & 1 ? pci_get_word(c + SMBBA) & 0xfff0 : 0);
    memory_commit();
}

static void pm_config_written(PCIDevice *d, unsigned addr, unsigned len)
{
    update_windows((Piix4Pm *)d);
}

/* ---- events -------------------------------------------------------------------------- */

static void pm_smb_irq(void *opaque, int n, int level)
{
    Piix4Pm *s = opaque;

    if (s->pm1.sci_extra != !!level) {
        s->pm1.sci_extra = level;
        pm1_update(&s->pm1);
    }
}

static void pm_sleep(void *opaque, unsigned type)
{
    Piix4Pm *s = opaque;

    if (type == PIIX4_SLP_S3 && !s->disable_s3) {
        if (s->wires.suspended) {
            s->wires.suspended(s->wires.opaque);
        }
        machine_request_suspend();
    } else if (type == PIIX4_SLP_S5 || (type == s->s4_type && !s->disable_s4)) {
        machine_request_shutdown();
    }
}

static void pm_power_button(void *opaque)
{
    Piix4Pm *s = opaque;

    if (s->pm1.en & PM1_PWRBTN) {
        pm1_event(&s->pm1, PM1_PWRBTN);
    }
}

/* S3 ended: the reset on the way has cleared all, so say who woke us now. */
static void pm_wake(void *opaque)
{
    Piix4Pm *s = opaque;
    pm1_event(&s->pm1, PM1_WAK | PM1_PWRBTN);
}

static void pm_hotplug_event(void *opaque)
{
    Piix4Pm *s = opaque;

    s->pm1.gpe_sts |= 1u << PCIHP_GPE;
    pm1_update(&s->pm1);
}

static uint64_t apm_read(void *opaque, hwaddr addr, unsigned size)
{
    Piix4Pm *s = opaque;
    return addr ? s->apm_sts : s->apm_cmd;
}

static void apm_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    Piix4Pm *s = opaque;

    if (addr) {
        s->apm_sts = val;
        return;
    }
    s->apm_cmd = val;
    /* Firmware would switch ACPI on and off in its SMI handler: the chip does it for one that
     * has none (no SMM, or a kernel started without firmware) */
    if (val == PIIX4_ACPI_ON || val == PIIX4_ACPI_OFF) {
        pm1_set_acpi(&s->pm1, val == PIIX4_ACPI_ON);
    } else if (pci_get_long(s->pci.config + DEVACTB) & DEVACTB_APMC_EN) {
        irq_raise(&s->wires.smi);
    }
}

static const RegionOps apm_ops = {
    .read = apm_read, .write = apm_write, .min = 1, .max = 1,
};

/* The 64 ports beyond the modelled ones: nothing there to switch. */
static uint64_t pm_read(void *opaque, hwaddr addr, unsigned size)
{
    return 0;
}

static void pm_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
}

static const RegionOps pm_ops = {
    .read = pm_read, .write = pm_write, .min = 1, .max = 4, .unaligned = true,
};

/* ---- life ---------------------------------------------------------------------------- */

static bool pm_realize(Device *dev, Error **err)
{
    Piix4Pm *s = (Piix4Pm *)dev;

    pci_set_word(s->pci.config + PCI_STATUS, 0x0280);
    pci_set_long(s->pci.wmask + PMBA, 0xffc0);
    pci_set_long(s->pci.wmask + SMBBA, 0xfff0);
    s->pci.config_written = pm_config_written;
    region_init_io(&s->pm, "piix4-pm", 64, &pm_ops, s);
    s->pm1.sci = s->wires.sci;
    s->pm1.sleep = pm_sleep;
    s->pm1.opaque = s;
    pm1_init(&s->pm1, &s->pm, dev->io, PIIX4_GPE_BASE);
    smbus_host_init(&s->smb, irq_make(pm_smb_irq, s, 0));
    region_init_io(&s->apm, "apm-io", 2, &apm_ops, s);
    region_map(dev->io, PIIX4_SMI_CMD, &s->apm, 0);
    pcihp_init(&s->hotplug, s->pci.bus, dev->io, pm_hotplug_event, s);
    machine_set_powerbutton(pm_power_button, s);
    machine_set_wakeup(pm_wake, s);
    return true;
}

static void pm_unrealize(Device *dev)
{
    Piix4Pm *s = (Piix4Pm *)dev;

    machine_set_powerbutton(NULL, NULL);
    machine_set_wakeup(NULL, NULL);
    pcihp_exit(&s->hotplug);
    pm1_exit(&s->pm1);
    smbus_host_exit(&s->smb);
    region_destroy(&s->pm);
    region_destroy(&s->apm);
}

/* Device presence, for firmware: parallel port, COM1, COM2. */
static void set_presence(Piix4Pm *s)
{
    MemSection found;
    uint8_t *c = s->pci.config;

    c[0x5f] = 0x10 | (address_space_lookup(&address_space_io, 0x378, &found) ? 0x80 : 0);
    c[0x63] = 0x60;
    c[0x67] = (address_space_lookup(&address_space_io, 0x3f8, &found) ? 0x08 : 0)
            | (address_space_lookup(&address_space_io, 0x2f8, &found) ? 0x90 : 0);
}

static void pm_reset(Device *dev)
{
    Piix4Pm *s = (Piix4Pm *)dev;
    uint8_t *c = s->pci.config;

    memset(c + 0x40, 0, PCI_CONFIG_SIZE - 0x40);
    pci_set_long(c + PMBA, 1);
    pci_set_long(c + SMBBA, s->smb_base | 1);
    c[SMBHSTCFG] = 0x09;                /* on, interrupt 9 */
    if (!s->wires.smm) {
        c[DEVACTB + 3] = 0x02;          /* looks set up already: firmware keeps off SMM */
    }
    set_presence(s);
    s->apm_cmd = s->apm_sts = 0;
    smbus_host_reset(&s->smb);
    pm1_reset(&s->pm1);
    update_windows(s);
}

static bool pm_post_load(void *opaque, int version, Error **err)
{
    update_windows(opaque);
    return true;
}

static const VMField pm_fields[] = {
    VM_STRUCT(Piix4Pm, pci, vm_pci_device), VM_STRUCT(Piix4Pm, pm1, vm_pm1),
    VM_STRUCT(Piix4Pm, smb, vm_smbus_host), VM_UINT(Piix4Pm, apm_cmd), VM_UINT(Piix4Pm, apm_sts),
    VM_STRUCT_V(Piix4Pm, hotplug, vm_pcihp, 2),
    VM_DONE
};
static const VMState vm_piix4_pm = {
    .name = "PIIX4_PM", .version = 2, .post_load = pm_post_load, .fields = pm_fields,
};

static const Prop pm_props[] = {
    PROP_UINT_R("disable_s3", Piix4Pm, disable_s3, 0, 0, 1, "1: no suspend to RAM"),
    PROP_UINT_R("disable_s4", Piix4Pm, disable_s4, 0, 0, 1, "1: no suspend to disk"),
    PROP_UINT_R("s4_val", Piix4Pm, s4_type, 2, 2, 7, "SLP_TYP that means S4"),
    PROP_UINT_R("smb_io_base", Piix4Pm, smb_base, PIIX4_SMB_BASE, 0, 0xfff0,
                "first SMBus port after reset"),
    PROP_DONE
};

static const PCIInfo pm_info = {
    .vendor = 0x8086, .device = 0x7113, .class_id = 0x0680, .revision = 3, .pin = 1,
    .not_hotpluggable = true,
};

static const DeviceType piix4_pm = {
    .name = "PIIX4_PM", .desc = "PM", .bus = "PCI", .category = "Controller/Bridge/Hub",
    .size = sizeof(Piix4Pm), .props = pm_props, .vmstate = &vm_piix4_pm, .realize = pm_realize,
    .unrealize = pm_unrealize, .reset = pm_reset, .info = &pm_info, .no_user = true,
};
DEVICE_TYPE(piix4_pm);

Device *piix4_pm_create(PCIBus *bus, int devfn, const Piix4PmWires *wires)
{
    Piix4Pm *s = (Piix4Pm *)pci_create(bus, devfn, "PIIX4_PM");

    s->wires = *wires;
    pci_realize_or_die(&s->pci, bus);
    return &s->pci.dev;
}

bool piix4_pm_s3(Device *pm)
{
    return !((Piix4Pm *)pm)->disable_s3;
}

bool piix4_pm_s4(Device *pm)
{
    return !((Piix4Pm *)pm)->disable_s4;
}

unsigned piix4_pm_s4_type(Device *pm)
{
    return ((Piix4Pm *)pm)->s4_type;
}
