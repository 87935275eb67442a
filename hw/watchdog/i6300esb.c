/* SPDX-License-Identifier: MIT */
/*
 * The watchdog timer of Intel's 6300ESB I/O controller hub, device "i6300esb" (8086:25ab).
 *
 * Source: Intel 6300ESB I/O Controller Hub datasheet (300641), chapter "Watchdog Timer".
 *
 * Two stages, one after the other, each with a time of its own.  The end of the first may
 * interrupt, the end of the second pulls the board's reset; here it is machine_watchdog_expired().
 * The interrupt of the first stage goes to an input of an I/O APIC that a PC of this kind does not
 * have: its status bit can be read, nothing else comes of it.
 *
 * Configuration space
 *     60h 16 bits   1:0 what stage 1 does (0 interrupt, 2 SMI, 3 nothing)   2 fast clock
 *                   5 stage 2 pulls no pin
 *     68h  8 bits   0 locked: 1 and 2 are fixed until reset   1 runs   2 starts over, no pin
 * Memory (BAR 0)
 *     00h 04h       20 bits: length of stage 1, 2 in the clock's ticks
 *     08h  8 bits   0 stage 1 has ended (write 1 to clear)
 *     0ch 16 bits   8 back to stage 1's start   9 stage 2 has ended (write 1 to clear)
 *
 * A write to memory counts only behind 80h and 86h written to 0ch.
 */
#include "hw/core/sysctl.h"
#include "hw/pci/pci.h"
#include "util/timer.h"

#define CONFIG_REG      0x60
#define   CONFIG_INT_TYPE   0x03
#define   CONFIG_INT_NONE   3
#define   CONFIG_FAST       0x04
#define   CONFIG_NO_PIN     0x20
#define LOCK_REG        0x68
#define   LOCK_LOCKED       0x01
#define   LOCK_ENABLE       0x02
#define   LOCK_FREE_RUN     0x04

#define REG_TIMER1      0x00
#define REG_TIMER2      0x04
#define REG_STATUS      0x08
#define REG_RELOAD      0x0c
#define   RELOAD_RELOAD     0x100
#define   RELOAD_TIMEOUT    0x200
#define PRELOAD_MAX     0xfffff
#define UNLOCK_1        0x80
#define UNLOCK_2        0x86

/* The PCI clock, 33 MHz, divided by 2^15 or 2^5: 1 kHz or 1 MHz */
#define PCI_CLOCK_HZ    33000000
#define SLOW_SHIFT      15
#define FAST_SHIFT      5

typedef struct I6300ESB {
    PCIDevice pci;                  /* always first */
    Region io;
    Timer timer;
    uint32_t preload[2];            /* ticks of the two stages */
    uint8_t lock;                   /* config 68h as it counts: config_written may refuse changes */
    uint8_t stage;                  /* 0 first, 1 second */
    uint8_t unlocked;               /* how much of 80h, 86h has come */
    bool stage1_ended;
    bool timed_out;                 /* stage 2 ended: the one thing a reset does not clear */
} I6300ESB;

static void start_stage(I6300ESB *s, unsigned stage)
{
    unsigned shift = s->pci.config[CONFIG_REG] & CONFIG_FAST ? FAST_SHIFT : SLOW_SHIFT;
    uint64_t clocks = ((uint64_t)s->preload[stage] + 1) << shift;

    s->stage = stage;
    if (s->lock & LOCK_ENABLE) {
        timer_mod(&s->timer, vclock_ns() + muldiv64(clocks, NS_PER_SEC, PCI_CLOCK_HZ));
    }
}

static void i6300esb_expired(void *opaque)
{
    I6300ESB *s = opaque;

    if (s->stage == 0) {
        s->stage1_ended = (s->pci.config[CONFIG_REG] & CONFIG_INT_TYPE) != CONFIG_INT_NONE;
        start_stage(s, 1);
    } else if (s->lock & LOCK_FREE_RUN) {
        start_stage(s, 0);
    } else {
        s->timed_out = true;
        if (!(s->pci.config[CONFIG_REG] & CONFIG_NO_PIN)) {
            machine_watchdog_expired();
        }
    }
}

/* ---- registers ----------------------------------------------------------------------- */

static uint64_t i6300esb_read(void *opaque, hwaddr addr, unsigned size)
{
    I6300ESB *s = opaque;

    switch (addr) {
    case REG_STATUS: return s->stage1_ended;
    case REG_RELOAD: return s->timed_out ? RELOAD_TIMEOUT : 0;
    default:         return 0;          /* the preloads can't be read */
    }
}

static void write_register(I6300ESB *s, hwaddr addr, uint32_t val)
{
    switch (addr) {
    case REG_TIMER1:
    case REG_TIMER2:
        s->preload[addr / 4] = val & PRELOAD_MAX;
        break;
    case REG_STATUS:
        s->stage1_ended &= !(val & 1);
        break;
    case REG_RELOAD:
        s->timed_out &= !(val & RELOAD_TIMEOUT);
        if (val & RELOAD_RELOAD) {
            start_stage(s, 0);
        }
        break;
    }
}

static void i6300esb_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    I6300ESB *s = opaque;

    if (s->unlocked == 2) {
        s->unlocked = 0;
        write_register(s, addr, val);
    } else if (addr == REG_RELOAD && val == (s->unlocked ? UNLOCK_2 : UNLOCK_1)) {
        s->unlocked++;
    } else {
        s->unlocked = addr == REG_RELOAD && val == UNLOCK_1;
    }
}

static const RegionOps i6300esb_ops = {
    .read = i6300esb_read, .write = i6300esb_write, .min = 1, .max = 4,
};

static void i6300esb_config_written(PCIDevice *d, unsigned addr, unsigned len)
{
    I6300ESB *s = (I6300ESB *)d;
    uint8_t was = s->lock, now = d->config[LOCK_REG];

    if (was & LOCK_LOCKED) {
        d->config[LOCK_REG] = was;
        return;
    }
    s->lock = now;
    if (!(now & LOCK_ENABLE)) {
        timer_del(&s->timer);
    } else if (!(was & LOCK_ENABLE)) {
        start_stage(s, 0);
    }
}

/* ---- life ---------------------------------------------------------------------------- */

static bool i6300esb_realize(Device *dev, Error **err)
{
    I6300ESB *s = (I6300ESB *)dev;

    timer_init(&s->timer, ORRERY_CLOCK_VIRTUAL, i6300esb_expired, s);
    region_init_io(&s->io, "i6300esb", 0x10, &i6300esb_ops, s);
    pci_register_bar(&s->pci, 0, PCI_BAR_MEM32, &s->io);
    s->pci.wmask[CONFIG_REG] = CONFIG_INT_TYPE | CONFIG_FAST | CONFIG_NO_PIN;
    s->pci.wmask[LOCK_REG] = LOCK_LOCKED | LOCK_ENABLE | LOCK_FREE_RUN;
    s->pci.config_written = i6300esb_config_written;
    return true;
}

static void i6300esb_unrealize(Device *dev)
{
    I6300ESB *s = (I6300ESB *)dev;

    timer_del(&s->timer);
    region_destroy(&s->io);
}

static void i6300esb_reset(Device *dev)
{
    I6300ESB *s = (I6300ESB *)dev;

    timer_del(&s->timer);
    s->pci.config[CONFIG_REG] = s->pci.config[LOCK_REG] = 0;
    s->preload[0] = s->preload[1] = PRELOAD_MAX;
    s->lock = s->stage = s->unlocked = 0;
    s->stage1_ended = false;
}

static bool i6300esb_post_load(void *opaque, int version, Error **err)
{
    I6300ESB *s = opaque;

    if (s->stage > 1 || s->unlocked > 2 || s->preload[0] > PRELOAD_MAX || s->preload[1] > PRELOAD_MAX) {
        return fail(err, "i6300esb: a stage or a time that there is not");
    }
    return true;
}

static const VMField i6300esb_fields[] = {
    VM_STRUCT(I6300ESB, pci, vm_pci_device), VM_TIMER(I6300ESB, timer), VM_UINTS(I6300ESB, preload),
    VM_UINT(I6300ESB, lock), VM_UINT(I6300ESB, stage), VM_UINT(I6300ESB, unlocked),
    VM_BOOL(I6300ESB, stage1_ended), VM_BOOL(I6300ESB, timed_out),
    VM_DONE
};
static const VMState vm_i6300esb = { .name = "i6300esb_wdt", .post_load = i6300esb_post_load,
                                     .fields = i6300esb_fields };

static const PCIInfo i6300esb_info = {
    .vendor = 0x8086, .device = 0x25ab, .class_id = 0x0880,
};

static const DeviceType i6300esb = {
    .name = "i6300esb", .desc = "Intel 6300ESB", .bus = "PCI", .category = "Watchdog",
    .size = sizeof(I6300ESB), .vmstate = &vm_i6300esb, .info = &i6300esb_info,
    .realize = i6300esb_realize, .unrealize = i6300esb_unrealize, .reset = i6300esb_reset,
};
DEVICE_TYPE(i6300esb);
