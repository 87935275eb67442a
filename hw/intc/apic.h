/* SPDX-License-Identifier: MIT */
/*
 * Local APICs (device "apic", one for each CPU) and the bus between them: interrupt messages
 * from the IO-APIC, from MSI, and from the ICR of other CPUs.
 *
 * Source: Intel SDM volume 3A, chapter "Advanced Programmable Interrupt Controller".
 * All under the big lock.
 */
#ifndef HW_INTC_APIC_H
#define HW_INTC_APIC_H

#include "hw/core/device.h"

struct X86CPU;

/* Delivery modes of ICR, LVT, redirection entries and MSI data, bits 10..8. */
enum { APIC_DM_FIXED, APIC_DM_LOWEST, APIC_DM_SMI, APIC_DM_RESERVED, APIC_DM_NMI, APIC_DM_INIT,
       APIC_DM_SIPI, APIC_DM_EXTINT };

/* Create, realize and reset the local APIC of a CPU; sets c->apic and c->apic_ops. */
Device *apic_create(struct X86CPU *c);

/* One message on the APIC bus. */
typedef struct ApicMessage {
    uint32_t dest;                      /* 8 bits (0xff = all), or 32 if wide (~0 = all) */
    bool wide;                          /* from an APIC in x2APIC mode */
    bool logical;                       /* destination mode */
    uint8_t delivery, vector;
    bool level;                         /* trigger mode: sets TMR */
} ApicMessage;
void apic_bus_deliver(const ApicMessage *m);
/* A PCI message-signalled interrupt: a write of data to FEEx_xxxxh. */
void apic_deliver_msi(uint64_t addr, uint32_t data);
/* LINT0/LINT1 pins of a CPU's APIC, for NMI and the like. */
void apic_set_lint(Device *apic, int pin, int level);
/* INTR of the 8259 pair for machines whose CPU has an APIC: passes it to the CPUs that take
 * ExtINT through LINT0.  Fits IRQ.set: irq_make(apic_pic_intr, NULL, 0). */
void apic_pic_intr(void *opaque, int n, int level);
/* The I/O APIC wants to hear of EOIs of level-triggered vectors. */
void apic_set_eoi_hook(void (*fn)(void *opaque, uint8_t vector), void *opaque);
/* `info lapic` */
void apic_info(Device *apic, GString *out);

#endif
