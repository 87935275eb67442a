/* SPDX-License-Identifier: MIT */
/*
 * The PC board: its chips and its memory map, for the files that build it and describe it to
 * firmware.  [bql]
 */
#ifndef HW_I386_PC_H
#define HW_I386_PC_H

#include "hw/core/machine.h"
#include "hw/isa/isa.h"
#include "hw/pci/pci_host.h"

#define PC_GSIS 24                      /* global system interrupts: inputs of the I/O APIC */
#define GIB (1ull << 30)
#define PC_FLASHES 2                    /* for firmware and its variables */

typedef struct PCMachine {
    Machine m;                          /* always first */

    /* Properties (-machine) */
    uint64_t max_ram_below_4g;          /* 0 = the board's rule */
    int smbios_entry_point;             /* 0: 32 bit, 1: 64 bit */
    bool with_i8042, with_pit;
    bool with_hpet, with_usb;
    char *pcspk_audiodev;
    char *pflash[PC_FLASHES];           /* names of their -blockdev; or NULL */
    uint64_t max_fw_size;               /* of both together */
    char *oem_id, *oem_table_id;        /* of ACPI tables */

    /* Memory: RAM up to the hole below 4 GiB, the rest from 4 GiB on */
    uint64_t below_4g, above_4g;
    Region ram_below, ram_above;
    Region pci_memory;                  /* behind the host bridge, below everything else */
    Region unclaimed;                   /* where no card answers between A0000h and FFFFFh */
    Region bios, isa_bios;              /* bios: unused if the firmware is in flash[0] */
    Region port_f0;

    /* Chips */
    Device *host, *piix3, *pm, *ide;
    Device *pic, *ioapic, *pit, *pcspk, *rtc, *hpet, *kbc, *vmport, *vmmouse, *port92, *fdc;
    Device *fw_cfg;
    Device *flash[PC_FLASHES];          /* NULL: firmware is in bios, and there are no variables */
    PCIBus *pci;
    ISABus *isa;
    bool smm, acpi, apic;               /* what there is of them */

    bool once_done;                     /* -boot once: that boot is over */
} PCMachine;

/* pc-memory.c */
bool pc_memory_init(PCMachine *pc, Error **err);
bool pc_firmware_init(PCMachine *pc, Error **err);
/* Rows of the BIOS memory map: type 1 RAM, 2 reserved.  Firmware adds its own. */
typedef struct E820Entry {
    uint64_t start, length;
    uint32_t type;
} E820Entry;
unsigned pc_e820(const PCMachine *pc, E820Entry *rows, unsigned max);

/* pc-cmos.c: what firmware reads from the clock's RAM. */
bool pc_cmos_init(PCMachine *pc, Error **err);      /* memory size, boot order */
void pc_cmos_drives(PCMachine *pc);                 /* once every drive is plugged in */
/* From now on; the next reset keeps to it. */
bool pc_change_boot_order(Machine *m, const char *letters, Error **err);
bool pc_boot_letters_ok(const char *letters, Error **err);

/* pc-fwcfg.c */
bool pc_fw_cfg_init(PCMachine *pc, Error **err);    /* before devices are plugged in */
bool pc_fw_cfg_ready(PCMachine *pc, Error **err);   /* after */

#endif
