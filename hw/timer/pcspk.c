/* SPDX-License-Identifier: MIT */
/*
 * System control port B, 61h: gate of the 8254's counter 2, speaker, refresh toggle.
 *
 * Source: 82371SB (PIIX3) data sheet, NMI status and control register.
 *
 *     7      6       5      4        3       2       1        0
 *   SERR#  IOCHK#   OUT2  refresh  IOCHK#   SERR#  speaker  GATE2
 *   status status         toggle   disable  disable  data
 *
 * No NMI source is connected, so bits 7 and 6 read 0.  Sound is not made (there is no audio
 * back-end), but everything a guest can read is right.
 */
#include "hw/timer/i8254.h"
#include "util/timer.h"

#define P61_GATE2     0x01
#define P61_SPEAKER   0x02
#define P61_SERR_OFF  0x04
#define P61_IOCHK_OFF 0x08
#define P61_REFRESH   0x10
#define P61_OUT2      0x20
#define P61_WRITABLE  0x0f

/* Refresh requests come every 15 us: DOS software counts them to measure time. */
#define REFRESH_NS    15085

typedef struct PcSpk {
    Device dev;                     /* always first */
    Device *pit;
    uint8_t control;                /* the writable bits */
    Region io;
} PcSpk;

static uint64_t pcspk_read(void *opaque, hwaddr addr, unsigned size)
{
    PcSpk *s = opaque;
    uint8_t val = s->control;

    if (vclock_ns() / REFRESH_NS & 1) {
        val |= P61_REFRESH;
    }
    if (i8254_get_out(s->pit, 2)) {
        val |= P61_OUT2;
    }
    return val;
}

static void pcspk_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    PcSpk *s = opaque;

    s->control = val & P61_WRITABLE;
    i8254_set_gate(s->pit, 2, val & P61_GATE2);
}

static const RegionOps pcspk_ops = {
    .read = pcspk_read, .write = pcspk_write, .min = 1, .max = 1,
};

void pcspk_connect(Device *spk, Device *pit)
{
    ((PcSpk *)spk)->pit = pit;
}

static bool pcspk_realize(Device *dev, Error **err)
{
    PcSpk *s = (PcSpk *)dev;

    if (!s->pit) {
        return fail(err, "isa-pcspk: no timer is connected");
    }
    region_init_io(&s->io, "pcspk", 1, &pcspk_ops, s);
    region_map(dev->io, 0x61, &s->io, 0);
    return true;
}

static void pcspk_unrealize(Device *dev)
{
    region_destroy(&((PcSpk *)dev)->io);
}

static void pcspk_reset(Device *dev)
{
    PcSpk *s = (PcSpk *)dev;

    s->control = 0;
    i8254_set_gate(s->pit, 2, false);
}

static const VMField pcspk_fields[] = {
    VM_UINT(PcSpk, control),
    VM_DONE
};
static const VMState vm_pcspk = { .name = "pcspk", .fields = pcspk_fields };

static const DeviceType pcspk = {
    .name = "isa-pcspk", .desc = "PC speaker and port 61h", .size = sizeof(PcSpk),
    .vmstate = &vm_pcspk, .realize = pcspk_realize, .reset = pcspk_reset,
    .unrealize = pcspk_unrealize, .no_user = true,
};
DEVICE_TYPE(pcspk);
