/* SPDX-License-Identifier: MIT */
/*
 * Interrupt controllers and the interval timer that run in the accelerator (KVM's are in the
 * host's kernel).  The devices stay the owners of the saved state: they fetch it from there
 * before a save or a look, and put it there after a load or a reset.
 *
 * The structs here are the chips as the devices know them.  Which chips an accelerator has:
 * the local APICs always, the 8259 pair, the I/O APIC and the 8254 all together or not at all.
 *
 * While it has them no other path leads to a chip than the guest's own accesses; where the
 * interpreter runs in an accelerator's place, such an access either goes back to the
 * accelerator (Region.chip), or the device fetches, changes and puts the state.  An interrupt
 * that arrives in between may be lost in that last case.
 *
 * All [bql], local APICs only of CPUs that stand still or are the caller's.
 */
#ifndef TARGET_I386_IRQCHIP_H
#define TARGET_I386_IRQCHIP_H

#include <stdbool.h>
#include <stdint.h>

struct X86CPU;

/* One 8259A. */
typedef struct PicChip {
    uint8_t lines;          /* levels of the inputs; the devices', not fetched */
    uint8_t irr, isr, imr;
    uint8_t elcr;           /* 1 = level triggered */
    uint8_t lowest;         /* input of lowest priority; 7 unless rotated */
    uint8_t base;           /* ICW2: vector of input 0 */
    uint8_t icw3;           /* kept for the record: the wiring is fixed */
    uint8_t init;           /* ICW expected next at the odd port: 0 none, 2, 3 or 4 */
    bool want_icw4, single;
    bool auto_eoi, rotate_aeoi, sfnm, special_mask;
    bool read_isr, poll;
    bool master;            /* fixed */
} PicChip;

#define IOAPIC_PINS 24

typedef struct IoApicImage {
    uint64_t base;
    uint8_t index, id;
    uint32_t lines;         /* levels of the inputs; the devices', not fetched */
    uint64_t table[IOAPIC_PINS];
} IoApicImage;

/* The 8254; names as in hw/timer/i8254.c. */
typedef struct PitImage {
    struct PitImageChannel {
        uint8_t mode, rw;
        bool bcd, gate, counting, write_msb, read_msb;
        uint8_t write_lsb, latched;
        uint16_t latch;
        bool status_latched;
        uint8_t status;
        uint32_t count;             /* 1..65536 */
        int64_t age;                /* ns since the count was loaded; putting begins anew */
    } ch[3];
    bool irq0_off;                  /* the HPET has IRQ 0 */
} PitImage;

/* A local APIC's registers, as numbered in memory: [n] is at offset 16 * n. */
typedef struct LapicImage {
    uint32_t reg[64];
    uint64_t deadline;              /* IA32_TSC_DEADLINE */
} LapicImage;

typedef struct X86Irqchip {
    bool all;                       /* not the local APICs alone */
    bool ext_dest;                  /* guests know KVM_FEATURE_MSI_EXT_DEST_ID: x86_msi_dest */
    /* A global system interrupt: > 0 somebody took it, 0 it was pending already, < 0 masked. */
    int (*set_gsi)(unsigned gsi, bool level);
    /* As a write of data to FEEx_xxxxh; destination bits 8 and up are bits 40 and up. */
    void (*msi)(uint64_t addr, uint32_t data);
    /* The I/O APIC outside changed: its entries as messages, whose level-triggered ones want
     * their EOI reported. */
    void (*ioapic_changed)(const uint64_t table[IOAPIC_PINS]);
    void (*get_pic)(PicChip chip[2]);
    void (*put_pic)(const PicChip chip[2]);
    void (*get_ioapic)(IoApicImage *io);
    void (*put_ioapic)(const IoApicImage *io);
    void (*get_pit)(PitImage *pit);
    void (*put_pit)(const PitImage *pit);
    void (*pit_reinject)(bool on);      /* hand out ticks that were lost */
    void (*get_lapic)(struct X86CPU *c, LapicImage *l);
    void (*put_lapic)(struct X86CPU *c, const LapicImage *l);
    /* IA32_APIC_BASE, IA32_TSC_DEADLINE, x2APIC registers; false: refused. [own thread] */
    bool (*lapic_msr)(struct X86CPU *c, uint32_t msr, bool write, uint64_t *val);
} X86Irqchip;

/* Set while the machine's accelerator has the chips; NULL: they are the devices. */
extern const X86Irqchip *x86_irqchip;
static inline bool x86_irqchip_all(void)
{
    return x86_irqchip && x86_irqchip->all;
}
/*
 * Who a message to this address is for.  Bits 19..12, as ever; KVM_FEATURE_MSI_EXT_DEST_ID makes
 * 11..5 bits 14..8 of it, unless bit 4 says that the message is in the format of interrupt
 * remapping.  An I/O APIC's entry has the same in its bits 63..48.  Source: the kernel's
 * Documentation/virt/kvm/x86/cpuid.rst.
 */
static inline uint32_t x86_msi_dest(uint64_t addr)
{
    bool ext = x86_irqchip && x86_irqchip->ext_dest && !(addr & 0x10);
    return (addr >> 12 & 0xff) | (ext ? (addr >> 5 & 0x7f) << 8 : 0);
}
/* A local APIC's EOI of a level-triggered vector, for the I/O APIC outside.  Set by hw/intc. */
extern void (*x86_eoi_hook)(uint8_t vector);

#endif
