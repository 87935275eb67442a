/* SPDX-License-Identifier: MIT */
/*
 * The PC: 440FX host bridge, PIIX3 south bridge with IDE, PIIX4 power management, and the
 * chips of an AT behind the ISA bus.  This file is the schematic; hw/i386/README draws it.
 *
 * Interrupts: a global system interrupt (GSI) below 16 goes to the 8259 pair and to the I/O
 * APIC, the others to the I/O APIC alone.  PCI interrupts come out of the PIIX3's router as
 * ISA interrupts.  IRQ 0 is input 2 of the I/O APIC.
 */
#include "block/block.h"
#include "block/drive.h"
#include "hw/acpi/piix4_pm.h"
#include "hw/block/fdc.h"
#include "hw/dma/i8237.h"
#include "hw/i386/loader.h"
#include "hw/i386/pc.h"
#include "hw/i386/port92.h"
#include "hw/i386/vmport.h"
#include "hw/ide/ide.h"
#include "hw/input/i8042.h"
#include "hw/intc/apic.h"
#include "hw/intc/delivered.h"
#include "hw/intc/i8259.h"
#include "hw/intc/ioapic.h"
#include "hw/isa/piix3.h"
#include "hw/net/nics.h"
#include "hw/pci/i440fx.h"
#include "hw/timer/hpet.h"
#include "hw/timer/i8254.h"
#include "hw/timer/mc146818rtc.h"
#include "target-i386/cpu.h"
#include "target-i386/cpuid.h"
#include "target-i386/irqchip.h"

#include <string.h>

#define SMM_AUTO 2

/* ---- lines --------------------------------------------------------------------------- */

static void gsi_set(void *opaque, int n, int level)
{
    PCMachine *pc = opaque;

    if (n < 16) {
        IRQ pic = device_irq_in(pc->pic, n);
        irq_set(&pic, level);
    }
    if (pc->ioapic) {
        IRQ pin = device_irq_in(pc->ioapic, n ? n : 2);
        irq_set(&pin, level);
    }
    if (x86_irqchip_all()) {
        int taken = x86_irqchip->set_gsi(n, level);
        if (level && taken >= 0) {
            irq_delivered_report(taken);
        }
    }
}

static IRQ gsi(PCMachine *pc, int n)
{
    return irq_make(gsi_set, pc, n);
}

/* INTR of the 8259 pair when no CPU has an APIC. */
static void pic_intr(void *opaque, int n, int level)
{
    x86_cpu_set_pic_line(x86_cpu(cpu_by_index(0)), level);
}

static void a20_set(void *opaque, int n, int level)
{
    for (guint i = 0; i < cpus->len; i++) {
        x86_cpu_set_a20(x86_cpu(cpu_by_index(i)), level);
    }
}

static void smi_set(void *opaque, int n, int level)
{
    if (level) {
        x86_cpu_smi(x86_cpu(cpu_by_index(0)));
    }
}

/* FERR# of an FPU whose errors go the way of the 80287: through IRQ 13. */
static void ferr_changed(X86CPU *c, bool level)
{
    gsi_set(current_machine, 13, level);
}

static void legacy_timers_replaced(void *opaque, bool legacy)
{
    PCMachine *pc = opaque;

    if (pc->pit) {
        i8254_enable_irq0(pc->pit, !legacy);
    }
}

static void s3_entered(void *opaque)
{
    PCMachine *pc = opaque;
    rtc_set_cmos(pc->rtc, 0x0f, 0xfe);  /* shutdown code: the firmware's S3 resume path */
}

/* ---- a port without a chip ----------------------------------------------------------- */

static uint64_t dead_read(void *opaque, hwaddr addr, unsigned size)
{
    return ~0ull;
}

/* F0h: the handler of IRQ 13 acknowledges it here, which raises IGNNE# until FERR# falls. */
static void port_f0_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    gsi_set(opaque, 13, 0);
    CPU *c = cpu_current();
    x86_cpu_ignne(x86_cpu(c ? c : cpu_by_index(0)));
}

static const RegionOps port_f0_ops = { .read = dead_read, .write = port_f0_write, .min = 1, .max = 1 };

static void create_port_f0(PCMachine *pc)
{
    region_init_io(&pc->port_f0, "ioportF0", 1, &port_f0_ops, pc);
    region_map(system_io(), 0xf0, &pc->port_f0, 0);
    x86_ferr_hook = ferr_changed;
}

/* ---- processors and interrupt controllers -------------------------------------------- */

static void cpu_reset(void *opaque)
{
    x86_cpu_reset(opaque);
}

static bool create_cpus(PCMachine *pc, Error **err)
{
    for (unsigned i = 0; i < pc->m.smp_cpus; i++) {
        X86CPU *c = x86_cpu_new(pc->m.cpu_model, i, err);
        if (!c) {
            return false;
        }
        x86_cpu_set_topology(c, MAX(pc->m.smp_cores, 1u), MAX(pc->m.smp_threads, 1u));
        reset_register(cpu_reset, c);
        pc->apic = x86_has(c, CPUID_APIC);
        if (pc->apic) {
            apic_create(c);
        } else if (pc->m.smp_cpus > 1) {
            return fail(err, "-smp %u: CPU model '%s' has no APIC", pc->m.smp_cpus,
                        pc->m.cpu_model);
        }
    }
    return true;
}

static void create_interrupt_controllers(PCMachine *pc)
{
    pc->pic = device_new("isa-i8259");
    i8259_connect(pc->pic, irq_make(pc->apic ? apic_pic_intr : pic_intr, NULL, 0));
    device_realize_or_die(pc->pic, NULL);
    for (guint i = 0; i < cpus->len; i++) {
        X86CPU *c = x86_cpu(cpu_by_index(i));
        c->pic_ack = i8259_ack;
        c->pic_opaque = pc->pic;
    }
    if (pc->apic) {
        pc->ioapic = device_new("ioapic");
        device_realize_or_die(pc->ioapic, NULL);
    }
}

/* ---- bridges ------------------------------------------------------------------------- */

static void create_bridges(PCMachine *pc)
{
    pc->host = i440fx_create(system_memory(), &pc->pci_memory, &pc->m.ram, pc->m.ram_size, pc->smm);
    pc->pci = i440fx_bus(pc->host);
    pc->pci->msi = pc->apic ? apic_deliver_msi : NULL;
    for (guint i = 0; i < cpus->len; i++) {
        cpu_by_index(i)->as_smm = i440fx_smm_space(pc->host);
    }
    pc->piix3 = piix3_create(pc->pci, i440fx_host(pc->host));
    pc->isa = piix3_isa(pc->piix3);
    for (int n = 0; n < 16; n++) {
        piix3_connect(pc->piix3, n, gsi(pc, n));
    }
}

static void create_pm(PCMachine *pc)
{
    Piix4PmWires wires = {
        .sci = gsi(pc, PIIX4_SCI), .smi = irq_make(smi_set, pc, 0), .smm = pc->smm,
        .suspended = s3_entered, .opaque = pc,
    };

    pc->acpi = pc->m.acpi != 0;
    if (pc->acpi) {
        pc->pm = piix4_pm_create(pc->pci, PCI_DEVFN(1, 3), &wires);
    }
}

/* ---- timers and the ISA chips -------------------------------------------------------- */

static bool create_timers(PCMachine *pc, Error **err)
{
    pc->rtc = device_new("mc146818rtc");
    if (pc->with_hpet && pc->apic) {
        pc->hpet = device_new("hpet");
        for (int n = 0; n < PC_GSIS; n++) {
            hpet_connect(pc->hpet, n, gsi(pc, n));
        }
        hpet_set_legacy_hook(pc->hpet, legacy_timers_replaced, pc);
        device_realize_or_die(pc->hpet, NULL);
        rtc_connect(pc->rtc, device_irq_in(pc->hpet, 0));
    }
    device_realize_or_die(pc->rtc, &pc->isa->bus);
    if (pc->with_pit) {
        pc->pit = device_new("isa-pit");
        i8254_connect(pc->pit, gsi(pc, 0));
        device_realize_or_die(pc->pit, NULL);
        pc->pcspk = device_new("isa-pcspk");
        pcspk_connect(pc->pcspk, pc->pit);
        if (pc->pcspk_audiodev && !device_set(pc->pcspk, "audiodev", pc->pcspk_audiodev, err)) {
            return false;
        }
        device_realize_or_die(pc->pcspk, NULL);
    }
    i8237_create(pc->isa);
    return true;
}

static void create_serial_ports(PCMachine *pc)
{
    for (unsigned n = 0; n < 4; n++) {
        if (machine_serial(n)) {
            Device *d = device_new("isa-serial");
            device_set_uint(d, "index", n);
            device_set_ptr(d, "chardev", machine_serial(n));
            device_realize_or_die(d, &pc->isa->bus);
        }
    }
    for (unsigned n = 0; n < 3; n++) {
        if (machine_parallel(n)) {
            Device *d = device_new("isa-parallel");
            device_set_uint(d, "index", n);
            device_set_ptr(d, "chardev", machine_parallel(n));
            device_realize_or_die(d, &pc->isa->bus);
        }
    }
}

static void create_floppies(PCMachine *pc)
{
    pc->fdc = device_new("isa-fdc");
    device_realize_or_die(pc->fdc, &pc->isa->bus);
    for (int unit = 0; unit < 2; unit++) {
        DriveInfo *d = drive_get(DRIVE_IF_FLOPPY, 0, unit);
        if (d) {
            fdc_plug_drive(pc->fdc, unit, d->blk);
        }
    }
}

static void create_input(PCMachine *pc)
{
    IRQ a20 = irq_make(a20_set, pc, 0);

    if (pc->with_i8042) {
        pc->kbc = device_new("i8042");
        i8042_connect_a20(pc->kbc, a20);
        device_realize_or_die(pc->kbc, &pc->isa->bus);
    }
    if (pc->m.vmport) {
        pc->vmport = device_new("vmport");
        device_realize_or_die(pc->vmport, &pc->isa->bus);
    }
    if (pc->vmport && pc->kbc) {
        pc->vmmouse = device_new("vmmouse");
        vmmouse_connect(pc->vmmouse, pc->vmport, pc->kbc);
        device_realize_or_die(pc->vmmouse, &pc->isa->bus);
    }
    pc->port92 = device_new("port92");
    port92_connect_a20(pc->port92, a20);
    device_realize_or_die(pc->port92, &pc->isa->bus);
}

/* ---- PCI functions of the board ------------------------------------------------------ */

static void create_ide(PCMachine *pc)
{
    PCIDevice *ide = pci_create(pc->pci, PCI_DEVFN(1, 1), "piix3-ide");

    pci_realize_or_die(ide, pc->pci);
    pc->ide = &ide->dev;
    for (int unit = 0; unit < 4; unit++) {
        DriveInfo *d = drive_get(DRIVE_IF_IDE, unit / 2, unit % 2);
        if (d) {
            ide_plug_drive(pc->ide, unit, d->blk, d->cdrom);
        }
    }
}

static bool create_vga(PCMachine *pc, Error **err)
{
    static const struct { const char *name, *type; } cards[] = {
        { "std", "VGA" }, { "cirrus", "cirrus-vga" }, { "virtio", "virtio-vga" },
    };
    const char *vga = pc->m.vga ? pc->m.vga : "none";

    if (!strcmp(vga, "none")) {
        return true;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(cards); i++) {
        if (!strcmp(cards[i].name, vga)) {
            PCIDevice *d = pci_create(pc->pci, -1, cards[i].type);
            return device_realize(&d->dev, &pc->pci->bus, err);
        }
    }
    return fail(err, "-vga %s: this board has std, cirrus, virtio or none", vga);
}

/* ---- the board ----------------------------------------------------------------------- */

static bool pc_init(Machine *m, Error **err)
{
    PCMachine *pc = (PCMachine *)m;

    pc->smm = m->smm != 0;
    if (!pc_memory_init(pc, err) || !pc_firmware_init(pc, err) || !create_cpus(pc, err)) {
        return false;
    }
    create_interrupt_controllers(pc);
    create_bridges(pc);
    create_port_f0(pc);
    if (!create_vga(pc, err)) {
        return false;
    }
    if (!create_timers(pc, err)) {
        return false;
    }
    create_input(pc);
    create_serial_ports(pc);
    create_floppies(pc);
    if (!nics_create(m->type->default_nic, err)) {
        return false;
    }
    create_ide(pc);
    if (pc->with_usb) {
        pci_realize_or_die(pci_create(pc->pci, PCI_DEVFN(1, 2), "piix3-usb-uhci"), pc->pci);
    }
    create_pm(pc);
    return pc_cmos_init(pc, err) && pc_fw_cfg_init(pc, err);
}

static bool pc_ready(Machine *m, Error **err)
{
    PCMachine *pc = (PCMachine *)m;

    pc_cmos_drives(pc);
    return (!m->kernel || pc_load_kernel(pc, err)) && pc_fw_cfg_ready(pc, err);
}

static const char *const smbios_entry_points[] = { "32", "64", NULL };

static const Prop pc_props[] = {
    PROP_ONOFFAUTO("smm", PCMachine, m.smm, SMM_AUTO, "system management mode"),
    PROP_ONOFFAUTO("acpi", PCMachine, m.acpi, 2, "power management chip and ACPI tables"),
    PROP_ONOFFAUTO("vmport", PCMachine, m.vmport, 2, "the VMware I/O port"),
    PROP_BOOL("hpet", PCMachine, with_hpet, true, "high precision event timer"),
    PROP_BOOL("i8042", PCMachine, with_i8042, true, "PS/2 keyboard controller"),
    PROP_BOOL("pit", PCMachine, with_pit, true, "8254 interval timer"),
    PROP_STRING("pcspk-audiodev", PCMachine, pcspk_audiodev, NULL,
                "id of the -audiodev that plays the speaker"),
    PROP_STRING("pflash0", PCMachine, pflash[0], NULL,
                "node-name of the -blockdev with the firmware"),
    PROP_STRING("pflash1", PCMachine, pflash[1], NULL,
                "node-name of the -blockdev with the firmware's variables"),
    PROP_SIZE("max-fw-size", PCMachine, max_fw_size, 8 << 20, "of both flash chips together"),
    PROP_BOOL("usb", PCMachine, with_usb, false, "USB controller"),
    PROP_SIZE("max-ram-below-4g", PCMachine, max_ram_below_4g, 0,
              "RAM that may lie below the PCI hole (0: up to 3.5 GiB)"),
    PROP_ENUM("smbios-entry-point-type", PCMachine, smbios_entry_point, 0, smbios_entry_points,
              "SMBIOS 2.8 or 3.0 entry point"),
    PROP_STRING("x-oem-id", PCMachine, oem_id, NULL, "OEM id of ACPI tables, up to 6 characters"),
    PROP_STRING("x-oem-table-id", PCMachine, oem_table_id, NULL,
                "OEM table id of ACPI tables, up to 8 characters"),
    PROP_DONE
};

static const MachineType pc_type = {
    .name = "pc-i440fx-7.2", .alias = "pc", .desc = "Standard PC (i440FX + PIIX, 1996)",
    .is_default = true, .size = sizeof(PCMachine), .props = pc_props, .max_cpus = 255,
    .default_ram = 128 << 20, .default_cpu = "qemu64", .default_nic = "e1000",
    .init = pc_init, .ready = pc_ready, .set_boot_order = pc_change_boot_order,
};
MACHINE_TYPE(pc_type);
