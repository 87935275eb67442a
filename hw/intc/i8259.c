/* SPDX-License-Identifier: MIT */
/*
 * Two 8259A interrupt controllers, cascaded as in a PC: the slave's INT is input 2 of the
 * master.  Ports 20h-21h, A0h-A1h, and the edge/level registers 4D0h-4D1h of the PIIX3.
 *
 * Sources: Intel 8259A data sheet (231468); 82371SB (PIIX3) data sheet, section 2.5.7 (ELCR).
 *
 * An edge stays latched in IRR when the line falls again before the acknowledge (the real chip
 * would then answer with a spurious IRQ 7): devices here pulse their lines, and no tick may get
 * lost between two instructions.  Not modelled: 8080/85 mode (CALL sequences), buffered mode,
 * the LTIM bit of ICW1, which the PIIX3 ignores in favour of the ELCR.
 *
 * While the accelerator has the pair (target-i386/irqchip.h) the state here follows it, and
 * lines are told to it by the board.
 */
#include "hw/intc/i8259.h"
#include "hw/intc/delivered.h"
#include "target-i386/irqchip.h"
#include "util/log.h"

#define ICW1_IC4   0x01     /* ICW4 follows */
#define ICW1_SNGL  0x02     /* no cascade: ICW3 does not follow */
#define ICW1_LTIM  0x08
#define ICW1       0x10     /* tells ICW1 from OCW2 and OCW3 */
#define ICW4_UPM   0x01
#define ICW4_AEOI  0x02
#define ICW4_SFNM  0x10

/* OCW2, bits 7..5 */
enum { OCW2_ROT_AEOI_CLEAR, OCW2_EOI, OCW2_NOP, OCW2_EOI_SPECIFIC,
       OCW2_ROT_AEOI_SET, OCW2_ROT_EOI, OCW2_SET_PRIORITY, OCW2_ROT_EOI_SPECIFIC };

#define OCW3       0x08
#define OCW3_RIS   0x01
#define OCW3_RR    0x02
#define OCW3_POLL  0x04
#define OCW3_SMM   0x20
#define OCW3_ESMM  0x40

#define CASCADE    2
#define NO_IRQ     8        /* as a priority: lower than all */

typedef struct I8259 {
    Device dev;             /* always first */
    PicChip chip[2];        /* master, slave */
    IRQ intr;
    Region io[2], elcr;
} I8259;

static I8259 *the_pic;      /* for `info pic` */

/* Position of the most urgent bit of set, counted from the highest priority; NO_IRQ if none. */
static unsigned pic_rank(const PicChip *c, uint8_t set)
{
    unsigned first = (c->lowest + 1) & 7;
    uint8_t turned = set >> first | set << (8 - first);
    return turned ? __builtin_ctz(turned) : NO_IRQ;
}

static unsigned pic_at_rank(const PicChip *c, unsigned rank)
{
    return (c->lowest + 1 + rank) & 7;
}

/* The input that would be acknowledged now, -1 if INT is low. */
static int pic_winner(const PicChip *c)
{
    uint8_t busy = c->isr;
    unsigned rank = pic_rank(c, c->irr & ~c->imr);

    if (c->special_mask) {
        busy &= ~c->imr;
    }
    /* Special fully nested mode: the slave may interrupt its own service routine */
    if (c->sfnm && c->master) {
        busy &= ~(1 << CASCADE);
    }
    if (rank == NO_IRQ || rank >= pic_rank(c, busy)) {
        return -1;
    }
    return pic_at_rank(c, rank);
}

static void pic_chip_line(PicChip *c, unsigned n, int level)
{
    uint8_t bit = 1 << n;

    if (c->elcr & bit) {
        c->irr = level ? c->irr | bit : c->irr & ~bit;
    } else if (level && !(c->lines & bit)) {
        c->irr |= bit;
    }
    c->lines = level ? c->lines | bit : c->lines & ~bit;
}

static void pic_fetch(I8259 *s)
{
    if (x86_irqchip_all()) {
        x86_irqchip->get_pic(s->chip);
    }
}

/* Bring the cascade and INTR up to date after any change. */
static void pic_update(I8259 *s)
{
    PicChip *master = &s->chip[0];

    if (x86_irqchip_all()) {
        x86_irqchip->put_pic(s->chip);
        return;
    }
    bool slave = pic_winner(&s->chip[1]) >= 0;
    uint8_t bit = 1 << CASCADE;

    /* The cascade input follows the slave's INT, whatever the ELCR says (it is hardwired to
     * edge): a request withdrawn by the slave is withdrawn here too. */
    master->lines = slave ? master->lines | bit : master->lines & ~bit;
    master->irr = slave ? master->irr | bit : master->irr & ~bit;
    irq_set(&s->intr, pic_winner(master) >= 0);
}

static void pic_irq_in(void *dev, int n, int level)
{
    I8259 *s = dev;
    PicChip *c = &s->chip[n >> 3];
    uint8_t bit = 1 << (n & 7);

    if (n == CASCADE) {
        return;
    }
    if (x86_irqchip_all()) {
        c->lines = level ? c->lines | bit : c->lines & ~bit;
        return;
    }
    if (level && !(c->lines & bit) && !(c->imr & bit)) {
        irq_delivered_report(!(c->irr & bit));
    }
    pic_chip_line(c, n & 7, level);
    pic_update(s);
}

static void pic_rotate_to(PicChip *c, unsigned lowest)
{
    c->lowest = lowest & 7;
}

/* INTA reached this chip and it answers for input n. */
static void pic_chip_ack(PicChip *c, unsigned n)
{
    uint8_t bit = 1 << n;

    if (!c->auto_eoi) {
        c->isr |= bit;
    } else if (c->rotate_aeoi) {
        pic_rotate_to(c, n);
    }
    if (!(c->elcr & bit)) {
        c->irr &= ~bit;
    }
}

uint8_t i8259_ack(void *opaque)
{
    I8259 *s = opaque;
    PicChip *c = &s->chip[0];
    int n = pic_winner(c);

    if (n == CASCADE) {
        pic_chip_ack(c, CASCADE);
        c = &s->chip[1];
        n = pic_winner(c);
    }
    if (n >= 0) {
        pic_chip_ack(c, n);
    } else {
        n = 7;              /* spurious: the request went away before INTA */
    }
    pic_update(s);
    return c->base + n;
}

bool i8259_pending(Device *pic)
{
    return pic_winner(&((I8259 *)pic)->chip[0]) >= 0;
}

/* ICW1 begins initialisation: data sheet, "Initialization Command Words 1 and 2", a to f. */
static void pic_icw1(PicChip *c, uint8_t val)
{
    if (val & ICW1_LTIM) {
        LOG_GUEST("i8259: LTIM in ICW1 has no effect, the ELCR decides\n");
    }
    c->irr &= c->elcr;      /* edges must come anew, levels stay */
    c->isr = c->imr = 0;
    c->lowest = 7;
    c->special_mask = c->read_isr = c->poll = false;
    c->auto_eoi = c->rotate_aeoi = c->sfnm = false;
    c->want_icw4 = val & ICW1_IC4;
    c->single = val & ICW1_SNGL;
    c->init = 2;
}

static void pic_icw(PicChip *c, uint8_t val)
{
    switch (c->init) {
    case 2:
        c->base = val & 0xf8;
        c->init = !c->single ? 3 : c->want_icw4 ? 4 : 0;
        break;
    case 3:
        c->icw3 = val;
        c->init = c->want_icw4 ? 4 : 0;
        break;
    case 4:
        if (!(val & ICW4_UPM)) {
            LOG_GUEST("i8259: 8080/85 mode asked for, staying in 8086 mode\n");
        }
        c->auto_eoi = val & ICW4_AEOI;
        c->sfnm = val & ICW4_SFNM;
        c->init = 0;
        break;
    }
}

/* End of interrupt without a number: the one of highest priority in service.  In special mask
 * mode those that are masked don't count. */
static void pic_eoi(PicChip *c, bool rotate)
{
    uint8_t busy = c->special_mask ? c->isr & ~c->imr : c->isr;
    unsigned rank = pic_rank(c, busy);

    if (rank != NO_IRQ) {
        unsigned n = pic_at_rank(c, rank);
        c->isr &= ~(1 << n);
        if (rotate) {
            pic_rotate_to(c, n);
        }
    }
}

static void pic_ocw2(PicChip *c, uint8_t val)
{
    unsigned n = val & 7;

    switch (val >> 5) {
    case OCW2_ROT_AEOI_CLEAR:
    case OCW2_ROT_AEOI_SET:
        c->rotate_aeoi = val & 0x80;
        break;
    case OCW2_EOI:
        pic_eoi(c, false);
        break;
    case OCW2_ROT_EOI:
        pic_eoi(c, true);
        break;
    case OCW2_EOI_SPECIFIC:
        c->isr &= ~(1 << n);
        break;
    case OCW2_ROT_EOI_SPECIFIC:
        c->isr &= ~(1 << n);
        pic_rotate_to(c, n);
        break;
    case OCW2_SET_PRIORITY:
        pic_rotate_to(c, n);
        break;
    case OCW2_NOP:
        break;
    }
}

static void pic_ocw3(PicChip *c, uint8_t val)
{
    if (val & OCW3_POLL) {
        c->poll = true;
    }
    if (val & OCW3_RR) {
        c->read_isr = val & OCW3_RIS;
    }
    if (val & OCW3_ESMM) {
        c->special_mask = val & OCW3_SMM;
    }
}

static void pic_chip_write(PicChip *c, hwaddr addr, uint8_t val)
{
    if (addr) {
        if (c->init) {
            pic_icw(c, val);
        } else {
            c->imr = val;
        }
    } else if (val & ICW1) {
        pic_icw1(c, val);
    } else if (val & OCW3) {
        pic_ocw3(c, val);
    } else {
        pic_ocw2(c, val);
    }
}

/* The read after a poll command is the acknowledge; from either port. */
static uint8_t pic_poll(PicChip *c)
{
    int n = pic_winner(c);

    c->poll = false;
    if (n < 0) {
        return 0;
    }
    pic_chip_ack(c, n);
    return 0x80 | n;
}

static uint8_t pic_chip_read(PicChip *c, hwaddr addr)
{
    if (c->poll) {
        return pic_poll(c);
    }
    if (addr) {
        return c->imr;
    }
    return c->read_isr ? c->isr : c->irr;
}

static uint64_t pic_read(I8259 *s, unsigned chip, hwaddr addr)
{
    pic_fetch(s);
    uint8_t val = pic_chip_read(&s->chip[chip], addr);
    pic_update(s);
    return val;
}

static void pic_write(I8259 *s, unsigned chip, hwaddr addr, uint64_t val)
{
    pic_fetch(s);
    pic_chip_write(&s->chip[chip], addr, val);
    pic_update(s);
}

static uint64_t pic_master_read(void *opaque, hwaddr addr, unsigned size)
{
    return pic_read(opaque, 0, addr);
}
static uint64_t pic_slave_read(void *opaque, hwaddr addr, unsigned size)
{
    return pic_read(opaque, 1, addr);
}
static void pic_master_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    pic_write(opaque, 0, addr, val);
}
static void pic_slave_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    pic_write(opaque, 1, addr, val);
}

static const RegionOps pic_ops[2] = {
    { .read = pic_master_read, .write = pic_master_write, .min = 1, .max = 1 },
    { .read = pic_slave_read, .write = pic_slave_write, .min = 1, .max = 1 },
};

/* IRQ 0, 1, 2, 8 and 13 are always edge triggered. */
static const uint8_t elcr_writable[2] = { 0xf8, 0xde };

static uint64_t elcr_read(void *opaque, hwaddr addr, unsigned size)
{
    pic_fetch(opaque);
    return ((I8259 *)opaque)->chip[addr].elcr;
}

static void elcr_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    I8259 *s = opaque;
    PicChip *c = &s->chip[addr];

    pic_fetch(s);
    c->elcr = val & elcr_writable[addr];
    c->irr = (c->irr & ~c->elcr) | (c->lines & c->elcr);
    pic_update(s);
}

static const RegionOps elcr_ops = {
    .read = elcr_read, .write = elcr_write, .min = 1, .max = 1,
};

void i8259_info(GString *out)
{
    if (the_pic) {
        pic_fetch(the_pic);
    }
    for (int i = 0; the_pic && i < 2; i++) {
        const PicChip *c = &the_pic->chip[i];
        g_string_append_printf(out, "pic%d: irr=%02x imr=%02x isr=%02x hprio=%d irq_base=%02x "
                               "rr_sel=%d elcr=%02x fnm=%d\n", i, c->irr, c->imr, c->isr,
                               (c->lowest + 1) & 7, c->base, c->read_isr, c->elcr, c->sfnm);
    }
}

void i8259_connect(Device *pic, IRQ intr)
{
    ((I8259 *)pic)->intr = intr;
}

static bool pic_realize(Device *dev, Error **err)
{
    static const uint16_t io_at[2] = { 0x20, 0xa0 };
    static const char *const names[2] = { "pic", "pic2" };
    I8259 *s = (I8259 *)dev;

    for (int i = 0; i < 2; i++) {
        region_init_io(&s->io[i], names[i], 2, &pic_ops[i], s);
        s->io[i].chip = REGION_CHIP_BOARD;
        region_map(dev->io, io_at[i], &s->io[i], 0);
    }
    region_init_io(&s->elcr, "elcr", 2, &elcr_ops, s);
    s->elcr.chip = REGION_CHIP_BOARD;
    region_map(dev->io, 0x4d0, &s->elcr, 0);
    s->chip[0].master = true;
    the_pic = s;
    return true;
}

static void pic_unrealize(Device *dev)
{
    I8259 *s = (I8259 *)dev;

    for (int i = 0; i < 2; i++) {
        region_destroy(&s->io[i]);
    }
    region_destroy(&s->elcr);
    the_pic = NULL;
}

static void pic_reset(Device *dev)
{
    I8259 *s = (I8259 *)dev;

    for (int i = 0; i < 2; i++) {
        PicChip *c = &s->chip[i];
        uint8_t lines = c->lines;       /* belong to the devices */
        *c = (PicChip) { .lines = lines, .lowest = 7, .master = i == 0 };
    }
    pic_update(s);
}

static void pic_pre_save(void *opaque)
{
    pic_fetch(opaque);
}

static bool pic_post_load(void *opaque, int version, Error **err)
{
    I8259 *s = opaque;

    for (int i = 0; i < 2; i++) {
        PicChip *c = &s->chip[i];
        c->lowest &= 7;
        c->master = i == 0;
        if (c->init == 1 || c->init > 4) {
            return fail(err, "i8259: initialisation step %u does not exist", c->init);
        }
    }
    pic_update(s);
    return true;
}

static const VMField pic_chip_fields[] = {
    VM_UINT(PicChip, lines), VM_UINT(PicChip, irr), VM_UINT(PicChip, isr),
    VM_UINT(PicChip, imr), VM_UINT(PicChip, elcr), VM_UINT(PicChip, lowest),
    VM_UINT(PicChip, base), VM_UINT(PicChip, icw3), VM_UINT(PicChip, init),
    VM_BOOL(PicChip, want_icw4), VM_BOOL(PicChip, single), VM_BOOL(PicChip, auto_eoi),
    VM_BOOL(PicChip, rotate_aeoi), VM_BOOL(PicChip, sfnm), VM_BOOL(PicChip, special_mask),
    VM_BOOL(PicChip, read_isr), VM_BOOL(PicChip, poll),
    VM_DONE
};
static const VMState vm_pic_chip = { .name = "i8259-chip", .fields = pic_chip_fields };

static const VMField pic_fields[] = {
    VM_STRUCTS(I8259, chip, vm_pic_chip),
    VM_DONE
};
static const VMState vm_pic = {
    .name = "i8259", .pre_save = pic_pre_save, .post_load = pic_post_load, .fields = pic_fields,
};

static const DeviceType i8259 = {
    .name = "isa-i8259", .desc = "8259A interrupt controllers", .size = sizeof(I8259),
    .vmstate = &vm_pic, .realize = pic_realize, .reset = pic_reset, .unrealize = pic_unrealize,
    .irq_in = pic_irq_in, .irq_inputs = 16, .no_user = true,
};
DEVICE_TYPE(i8259);
