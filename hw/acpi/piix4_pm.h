/* SPDX-License-Identifier: MIT */
/*
 * The PIIX4's power management function, device "PIIX4_PM" at 00:01.3.  [bql]
 */
#ifndef HW_ACPI_PIIX4_PM_H
#define HW_ACPI_PIIX4_PM_H

#include "hw/pci/pci.h"

/* What the ACPI tables say about it. */
#define PIIX4_PM_BASE     0x600         /* where firmware is told to put the PM registers */
#define PIIX4_SMB_BASE    0xb100
#define PIIX4_GPE_BASE    0xafe0
#define PIIX4_GPE_LEN     4
#define PIIX4_SCI         9
#define PIIX4_SMI_CMD     0xb2
#define PIIX4_ACPI_ON     0xf1          /* values for the SMI command port */
#define PIIX4_ACPI_OFF    0xf0
/* SLP_TYP of PM1_CNT */
#define PIIX4_SLP_S5      0
#define PIIX4_SLP_S3      1

typedef struct Piix4PmWires {
    IRQ sci, smi;
    bool smm;                           /* the CPU has system management mode */
    void (*suspended)(void *opaque);    /* S3 was asked for: prepare the firmware's resume */
    void *opaque;
} Piix4PmWires;

Device *piix4_pm_create(PCIBus *bus, int devfn, const Piix4PmWires *wires);
/* Which sleep states the user left on, for tables and firmware. */
bool piix4_pm_s3(Device *pm);
bool piix4_pm_s4(Device *pm);
unsigned piix4_pm_s4_type(Device *pm);  /* its SLP_TYP */

#endif
