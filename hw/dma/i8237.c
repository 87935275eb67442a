/* SPDX-License-Identifier: MIT */
/*
 * The two 8237A DMA controllers of a PC with their page registers, and the ISA bus's side of
 * DMA (isa_dma_* of hw/isa/isa.h).
 *
 * Sources: Intel 8237A data sheet (231466); 82371SB (PIIX3) data sheet for page registers.
 *
 * Ports of the first controller (8-bit, channels 0-3):     00h-0Fh
 *          second (16-bit, channels 4-7, 4 the cascade):   C0h-DEh, even ones
 *          page registers:   81h-83h 87h  and  89h-8Bh 8Fh; high pages (EISA) at 481h...
 *
 * A device that asserts DREQ is served from the main loop: its handler moves as much as it
 * likes and says where it got to.  Not modelled: memory-to-memory transfers, address hold,
 * compressed timing, rotating priority, sense of DREQ and DACK: the PC never used them, they
 * are remembered and logged.
 */
#include "hw/dma/i8237.h"
#include "util/log.h"
#include "util/mainloop.h"

#define CMD_MEM_TO_MEM  0x01
#define CMD_HOLD        0x02
#define CMD_OFF         0x04
#define CMD_TIMING      0x08
#define CMD_ROTATE      0x10
#define CMD_EXT_WRITE   0x20
#define CMD_DREQ_LOW    0x40
#define CMD_DACK_HIGH   0x80
#define CMD_NOT_HERE    (CMD_MEM_TO_MEM | CMD_HOLD | CMD_TIMING | CMD_ROTATE | CMD_EXT_WRITE \
                         | CMD_DREQ_LOW | CMD_DACK_HIGH)

#define MODE_TYPE(m)    ((m) >> 2 & 3)      /* 0 verify, 1 write to memory, 2 read from it */
#define MODE_AUTOINIT   0x10
#define MODE_DOWN       0x20
enum { TYPE_VERIFY, TYPE_WRITE, TYPE_READ };

typedef struct DmaChannel {
    uint16_t base_addr, base_count;         /* as written, for autoinit */
    uint16_t addr, count;                   /* current; count + 1 transfers are left */
    uint8_t mode, page, page_high;
} DmaChannel;

typedef struct I8237 {
    Device dev;                             /* always first */
    DmaChannel ch[4];
    uint8_t command, mask, terminal;        /* bit maps by channel: masked; TC reached */
    uint8_t request;                        /* software requests */
    uint8_t dreq;                           /* lines, as the devices hold them */
    bool flip_flop;                         /* the next byte is a high one */
    bool wide;                              /* property: 16-bit controller */
    ISADMAHandler handler[4];
    void *opaque[4];
    ISABus *bus;
    Region regs, page, page_high;
} I8237;

/* ---- transfers ------------------------------------------------------------------------- */

static unsigned dma_shift(const I8237 *s)
{
    return s->wide ? 1 : 0;
}

static bool dma_running, dma_again, dma_scheduled;

/* Bytes of the block, and how far it is. */
static int dma_size(const I8237 *s, const DmaChannel *c)
{
    return (c->base_count + 1) << dma_shift(s);
}

static int dma_pos(const I8237 *s, const DmaChannel *c)
{
    return (uint16_t)(c->base_count - c->count) << dma_shift(s);
}

/* Terminal count: the status bit; then begin anew, or mask the channel. */
static void dma_finish(I8237 *s, unsigned n)
{
    DmaChannel *c = &s->ch[n];

    s->terminal |= 1 << n;
    s->request &= ~(1 << n);
    if (c->mode & MODE_AUTOINIT) {
        c->addr = c->base_addr;
        c->count = c->base_count;
    } else {
        s->mask |= 1 << n;
    }
}

static void dma_set_pos(I8237 *s, unsigned n, int pos)
{
    DmaChannel *c = &s->ch[n];
    int units = pos >> dma_shift(s);

    c->addr = c->mode & MODE_DOWN ? c->base_addr - units : c->base_addr + units;
    c->count = c->base_count - units;       /* FFFFh when all is done */
    if (units > c->base_count) {
        dma_finish(s, n);
    }
}

/* Let the device of channel n move what it can; true if it moved something and wants more. */
static bool dma_run_channel(I8237 *s, unsigned n)
{
    DmaChannel *c = &s->ch[n];
    int pos = dma_pos(s, c), size = dma_size(s, c), end;

    end = s->handler[n](s->opaque[n], n + (s->wide ? 4 : 0), pos, size);
    end = CLAMP(end, pos, size);
    if (end == pos) {
        return false;
    }
    dma_set_pos(s, n, end);
    return true;
}

static bool dma_run_controller(I8237 *s)
{
    bool more = false;

    if (s->command & CMD_OFF) {
        return false;
    }
    for (unsigned n = 0; n < 4; n++) {
        uint8_t bit = 1 << n;
        if (((s->dreq & ~s->mask) | s->request) & bit && s->handler[n]) {
            more |= dma_run_channel(s, n);
        }
    }
    return more;
}

/* From the main loop.  A device that still asserts DREQ after it moved something is asked
 * again in the next round, so that no channel can hold the loop. */
static void dma_run(void *opaque)
{
    ISABus *b = opaque;
    bool more = false;

    dma_scheduled = false;
    if (dma_running) {
        dma_again = true;
        return;
    }
    dma_running = true;
    dma_again = false;
    for (int i = 0; i < 2; i++) {
        more |= dma_run_controller((I8237 *)b->dma[i]);
    }
    dma_running = false;
    if (more || dma_again) {
        isa_dma_schedule(b);
    }
}

/* ---- the ISA bus's side ---------------------------------------------------------------- */

static I8237 *dma_of(ISABus *b, int channel, unsigned *n)
{
    *n = channel & 3;
    return (I8237 *)b->dma[channel >> 2 & 1];
}

void isa_dma_schedule(ISABus *b)
{
    if (!dma_scheduled) {
        dma_scheduled = true;
        mainloop_defer(dma_run, b);
    }
}

void isa_dma_run(ISABus *b)
{
    bool scheduled = dma_scheduled;

    dma_run(b);
    dma_scheduled |= scheduled;         /* that one still comes */
}

void isa_dma_register(ISABus *b, int channel, ISADMAHandler fn, void *opaque)
{
    unsigned n;
    I8237 *s = dma_of(b, channel, &n);

    s->handler[n] = fn;
    s->opaque[n] = opaque;
}

void isa_dma_hold(ISABus *b, int channel)
{
    unsigned n;
    I8237 *s = dma_of(b, channel, &n);

    s->dreq |= 1 << n;
    isa_dma_schedule(b);
}

void isa_dma_release(ISABus *b, int channel)
{
    unsigned n;
    I8237 *s = dma_of(b, channel, &n);

    s->dreq &= ~(1 << n);
}

bool isa_dma_is_autoinit(ISABus *b, int channel)
{
    unsigned n;
    I8237 *s = dma_of(b, channel, &n);

    return s->ch[n].mode & MODE_AUTOINIT;
}

/*
 * Where byte pos of the block lies.  The 16-bit controller counts words and ignores bit 0 of
 * its page.  The page does not count along: an address wraps inside 64K (128K).
 */
static hwaddr dma_address(const I8237 *s, const DmaChannel *c, int pos)
{
    unsigned shift = dma_shift(s);
    uint16_t unit = pos >> shift;
    uint16_t at = c->mode & MODE_DOWN ? c->base_addr - unit : c->base_addr + unit;
    hwaddr page = (hwaddr)(c->page_high & 0x7f) << 24
                | (hwaddr)(s->wide ? c->page & 0xfe : c->page) << 16;

    return page + ((hwaddr)at << shift) + (pos & ((1 << shift) - 1));
}

/* Move len bytes of the block from pos on, in runs that neither wrap nor turn round. */
static int dma_move(I8237 *s, unsigned n, void *buf, int pos, int len, bool to_memory)
{
    const DmaChannel *c = &s->ch[n];
    uint8_t *p = buf;
    int done = 0, step;

    len = MIN(len, dma_size(s, c) - pos);
    while (done < len) {
        hwaddr at = dma_address(s, c, pos + done);
        hwaddr wrap = (hwaddr)0x10000 << dma_shift(s);
        step = c->mode & MODE_DOWN ? 1 << dma_shift(s) : MIN((hwaddr)(len - done), wrap - at % wrap);
        step = MIN(step, len - done);
        if (to_memory) {
            address_space_write(&address_space_memory, at, p + done, step);
        } else {
            address_space_read(&address_space_memory, at, p + done, step);
        }
        done += step;
    }
    return MAX(done, 0);
}

int isa_dma_read(ISABus *b, int channel, void *buf, int pos, int len)
{
    unsigned n;
    I8237 *s = dma_of(b, channel, &n);

    memset(buf, 0, len);
    return dma_move(s, n, buf, pos, len, false);
}

/* In verify mode nothing is written: the addresses only count. */
int isa_dma_write(ISABus *b, int channel, const void *buf, int pos, int len)
{
    unsigned n;
    I8237 *s = dma_of(b, channel, &n);

    if (MODE_TYPE(s->ch[n].mode) == TYPE_VERIFY) {
        return MIN(len, dma_size(s, &s->ch[n]) - pos);
    }
    return dma_move(s, n, (void *)buf, pos, len, true);
}

/* ---- registers ------------------------------------------------------------------------- */

enum { REG_COMMAND = 8, REG_REQUEST, REG_MASK_ONE, REG_MODE, REG_CLEAR_FF, REG_MASTER_CLEAR,
       REG_CLEAR_MASK, REG_MASK_ALL };

static void dma_master_clear(I8237 *s)
{
    s->command = s->request = s->terminal = 0;
    s->mask = 0x0f;
    s->flip_flop = false;
}

static bool dma_next_high(I8237 *s)
{
    bool high = s->flip_flop;
    s->flip_flop = !high;
    return high;
}

/* Address and count: each write goes to the base and the current register. */
static void dma_write_channel(I8237 *s, unsigned reg, uint8_t val)
{
    DmaChannel *c = &s->ch[reg >> 1];
    uint16_t *base = reg & 1 ? &c->base_count : &c->base_addr;
    uint16_t *now = reg & 1 ? &c->count : &c->addr;

    if (dma_next_high(s)) {
        *base = (*base & 0x00ff) | val << 8;
    } else {
        *base = (*base & 0xff00) | val;
    }
    *now = *base;
    if (reg & 1) {
        c->addr = c->base_addr;             /* position and count go together */
    } else {
        c->count = c->base_count;
    }
}

static void dma_set_bit(uint8_t *map, uint8_t val)
{
    uint8_t bit = 1 << (val & 3);
    *map = val & 4 ? *map | bit : *map & ~bit;
}

static void dma_write_reg(I8237 *s, unsigned reg, uint8_t val)
{
    switch (reg) {
    case REG_COMMAND:
        if (val & CMD_NOT_HERE) {
            LOG_GUEST("i8237: command %02xh asks for what the PC does not use\n", val);
        }
        s->command = val;
        break;
    case REG_REQUEST:
        dma_set_bit(&s->request, val);
        break;
    case REG_MASK_ONE:
        dma_set_bit(&s->mask, val);
        break;
    case REG_MODE:
        s->ch[val & 3].mode = val;
        return;
    case REG_CLEAR_FF:
        s->flip_flop = false;
        return;
    case REG_MASTER_CLEAR:
        dma_master_clear(s);
        return;
    case REG_CLEAR_MASK:
        s->mask = 0;
        break;
    case REG_MASK_ALL:
        s->mask = val & 0x0f;
        break;
    default:
        dma_write_channel(s, reg, val);
        return;
    }
    if (s->dreq || s->request) {
        isa_dma_schedule(s->bus);
    }
}

static uint8_t dma_read_reg(I8237 *s, unsigned reg)
{
    uint16_t val;

    switch (reg) {
    case 0 ... 7:
        val = reg & 1 ? s->ch[reg >> 1].count : s->ch[reg >> 1].addr;
        return dma_next_high(s) ? val >> 8 : val;
    case REG_COMMAND:                       /* status: requests, and terminal counts once */
        val = s->dreq << 4 | s->terminal;
        s->terminal = 0;
        return val;
    case REG_MASK_ALL:
        return s->mask | 0xf0;
    default:                                /* the temporary register: only memory-to-memory */
        return 0;
    }
}

static uint64_t dma_read(void *opaque, hwaddr addr, unsigned size)
{
    I8237 *s = opaque;
    return dma_read_reg(s, addr >> dma_shift(s));
}

static void dma_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    I8237 *s = opaque;
    dma_write_reg(s, addr >> dma_shift(s), val);
}

static const RegionOps dma_ops = {
    .read = dma_read, .write = dma_write, .min = 1, .max = 1,
};

/* Which channel's page is at 80h + n (88h + n): the wiring of the AT.  The PIIX3 keeps what is
 * written to the others; here, as on QEMU, port 80h and they read FFh, as with nothing there. */
static const int8_t page_channel[8] = { -1, 2, 3, 1, -1, -1, -1, 0 };

static uint64_t page_read(void *opaque, hwaddr addr, unsigned size)
{
    I8237 *s = opaque;
    int n = page_channel[addr & 7];
    return n >= 0 ? s->ch[n].page : 0xff;
}

static void page_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    I8237 *s = opaque;
    int n = page_channel[addr & 7];

    if (n >= 0) {
        s->ch[n].page = val;
        s->ch[n].page_high = 0;             /* EISA: the low page clears the high one */
    }
}

static const RegionOps page_ops = {
    .read = page_read, .write = page_write, .min = 1, .max = 1,
};

static uint64_t page_high_read(void *opaque, hwaddr addr, unsigned size)
{
    int n = page_channel[addr & 7];
    return n >= 0 ? ((I8237 *)opaque)->ch[n].page_high : 0;
}

static void page_high_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    int n = page_channel[addr & 7];

    if (n >= 0) {
        ((I8237 *)opaque)->ch[n].page_high = val & 0x7f;
    }
}

static const RegionOps page_high_ops = {
    .read = page_high_read, .write = page_high_write, .min = 1, .max = 1,
};

/* ---- device ---------------------------------------------------------------------------- */

/* Port 80h (with 84h-86h) takes POST codes: bytes anybody may write and read. */
static bool dma_realize(Device *dev, Error **err)
{
    I8237 *s = (I8237 *)dev;

    region_init_io(&s->regs, "dma-regs", s->wide ? 0x20 : 0x10, &dma_ops, s);
    region_map(dev->io, s->wide ? 0xc0 : 0x00, &s->regs, 0);
    region_init_io(&s->page, "dma-page", 8, &page_ops, s);
    region_map(dev->io, s->wide ? 0x88 : 0x80, &s->page, 0);
    region_init_io(&s->page_high, "dma-pageh", 8, &page_high_ops, s);
    region_map(dev->io, s->wide ? 0x488 : 0x480, &s->page_high, 0);
    return true;
}

static void dma_unrealize(Device *dev)
{
    I8237 *s = (I8237 *)dev;

    region_destroy(&s->regs);
    region_destroy(&s->page);
    region_destroy(&s->page_high);
}

/* dreq belongs to the devices. */
static void dma_reset(Device *dev)
{
    I8237 *s = (I8237 *)dev;

    dma_master_clear(s);
    memset(s->ch, 0, sizeof(s->ch));
}

void i8237_create(ISABus *b)
{
    for (int i = 0; i < 2; i++) {
        Device *dev = device_new("i8237");
        device_set_uint(dev, "wide", i);
        ((I8237 *)dev)->bus = b;
        device_realize_or_die(dev, NULL);
        b->dma[i] = dev;
    }
}

static bool dma_post_load(void *opaque, int version, Error **err)
{
    I8237 *s = opaque;

    s->mask &= 0x0f;
    s->dreq &= 0x0f;
    s->request &= 0x0f;
    if (s->bus && (s->dreq || s->request)) {
        isa_dma_schedule(s->bus);
    }
    return true;
}

static const VMField dma_channel_fields[] = {
    VM_UINT(DmaChannel, base_addr), VM_UINT(DmaChannel, base_count), VM_UINT(DmaChannel, addr),
    VM_UINT(DmaChannel, count), VM_UINT(DmaChannel, mode), VM_UINT(DmaChannel, page),
    VM_UINT(DmaChannel, page_high),
    VM_DONE
};
static const VMState vm_dma_channel = { .name = "i8237-channel", .fields = dma_channel_fields };

static const VMField dma_fields[] = {
    VM_STRUCTS(I8237, ch, vm_dma_channel), VM_UINT(I8237, command), VM_UINT(I8237, mask),
    VM_UINT(I8237, terminal), VM_UINT(I8237, request), VM_UINT(I8237, dreq),
    VM_BOOL(I8237, flip_flop),
    VM_DONE
};
static const VMState vm_dma = {
    .name = "i8237", .post_load = dma_post_load, .fields = dma_fields,
};

static const Prop dma_props[] = {
    PROP_BOOL("wide", I8237, wide, false, "the 16-bit controller, channels 4 to 7"),
    PROP_DONE
};

static const DeviceType i8237 = {
    .name = "i8237", .desc = "DMA controller", .size = sizeof(I8237), .props = dma_props,
    .vmstate = &vm_dma, .realize = dma_realize, .reset = dma_reset, .unrealize = dma_unrealize,
    .no_user = true,
};
DEVICE_TYPE(i8237);
