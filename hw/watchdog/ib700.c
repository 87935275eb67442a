/* SPDX-License-Identifier: MIT */
/*
 * The watchdog of the IB700 single-board computer, device "ib700".
 *
 * Source: IBASE IB700 user's manual, "Watchdog timer configuration".
 *
 *     441h   any write: the timer stands
 *     443h   a write (re)starts it; bits 3:0 choose the time: 0 is 30 seconds, 1 is 28 ... 15 is 0
 *
 * Reads of both ports find nothing.
 */
#include "hw/core/device.h"
#include "hw/core/sysctl.h"
#include "util/timer.h"

#define PORT_BASE   0x441
#define PORT_STOP   0
#define PORT_START  2
#define LONGEST_S   30
#define STEP_S      2

typedef struct IB700 {
    Device dev;                     /* always first */
    Region io;
    Timer timer;
} IB700;

static void ib700_expired(void *opaque)
{
    machine_watchdog_expired();
}

static uint64_t ib700_read(void *opaque, hwaddr addr, unsigned size)
{
    return 0xff;
}

static void ib700_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    IB700 *s = opaque;

    if (addr == PORT_STOP) {
        timer_del(&s->timer);
    } else if (addr == PORT_START) {
        timer_mod(&s->timer, vclock_ns() + (LONGEST_S - STEP_S * (int)(val & 15)) * NS_PER_SEC);
    }
}

static const RegionOps ib700_ops = { .read = ib700_read, .write = ib700_write, .min = 1, .max = 1 };

static bool ib700_realize(Device *dev, Error **err)
{
    IB700 *s = (IB700 *)dev;

    timer_init(&s->timer, ORRERY_CLOCK_VIRTUAL, ib700_expired, s);
    region_init_io(&s->io, "ib700", 3, &ib700_ops, s);
    region_map(dev->io, PORT_BASE, &s->io, 0);
    return true;
}

static void ib700_unrealize(Device *dev)
{
    IB700 *s = (IB700 *)dev;

    timer_del(&s->timer);
    region_destroy(&s->io);
}

static void ib700_reset(Device *dev)
{
    timer_del(&((IB700 *)dev)->timer);
}

static const VMField ib700_fields[] = { VM_TIMER(IB700, timer), VM_DONE };
static const VMState vm_ib700 = { .name = "ib700_wdt", .fields = ib700_fields };

static const DeviceType ib700 = {
    .name = "ib700", .desc = "iBASE 700", .bus = "isa", .category = "Watchdog",
    .size = sizeof(IB700), .vmstate = &vm_ib700,
    .realize = ib700_realize, .unrealize = ib700_unrealize, .reset = ib700_reset,
};
DEVICE_TYPE(ib700);
