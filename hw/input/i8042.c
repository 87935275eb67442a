/* SPDX-License-Identifier: MIT */
/*
 * 8042 keyboard controller with PS/2 keyboard and mouse: ports 60h and 64h, IRQ 1 and IRQ 12,
 * the A20 gate and the CPU reset line.
 *
 * Sources: IBM PS/2 Hardware Interface Technical Reference, "Keyboard and Auxiliary Device
 * Controller"; 82371SB (PIIX3) data sheet for the ports.
 *
 * Status, port 64h:    7 parity  6 timeout  5 aux data  4 unlocked  3 command  2 system  1 IBF  0 OBF
 * Command byte:        6 translate  5 aux off  4 kbd off  3 -  2 system  1 IRQ 12 on  0 IRQ 1 on
 * Output port:         7 kbd data  6 kbd clock  5 IRQ 12  4 IRQ 1  3 aux clock  2 aux data
 *                      1 A20  0 reset (low = reset)
 *
 * Not modelled: the keylock switch (open), parity and time-out errors, passwords.
 */
#include "hw/input/i8042.h"
#include "hw/core/sysctl.h"
#include "hw/input/ps2.h"
#include "hw/isa/isa.h"
#include "util/log.h"
#include "util/timer.h"

#define ST_OBF        0x01
#define ST_SYS        0x04
#define ST_COMMAND    0x08
#define ST_UNLOCKED   0x10
#define ST_AUX        0x20

#define MODE_KBD_INT  0x01
#define MODE_AUX_INT  0x02
#define MODE_SYS      0x04
#define MODE_KBD_OFF  0x10
#define MODE_AUX_OFF  0x20
#define MODE_XLATE    0x40

#define OUT_RESET     0x01      /* low resets the CPU */
#define OUT_A20       0x02
#define OUT_KBD_IRQ   0x10
#define OUT_AUX_IRQ   0x20
#define OUT_IDLE      0xcc      /* clock and data lines are high */

enum {
    CMD_READ_RAM = 0x20, CMD_WRITE_RAM = 0x60, CMD_TEST_PASSWORD = 0xa4, CMD_AUX_OFF = 0xa7,
    CMD_AUX_ON = 0xa8, CMD_TEST_AUX = 0xa9, CMD_SELF_TEST = 0xaa, CMD_TEST_KBD = 0xab,
    CMD_KBD_OFF = 0xad, CMD_KBD_ON = 0xae, CMD_READ_INPUT = 0xc0, CMD_READ_OUTPUT = 0xd0,
    CMD_WRITE_OUTPUT = 0xd1, CMD_WRITE_KBD_OBUF = 0xd2, CMD_WRITE_AUX_OBUF = 0xd3,
    CMD_WRITE_AUX = 0xd4, CMD_A20_OFF = 0xdd, CMD_A20_ON = 0xdf, CMD_READ_TEST = 0xe0,
    CMD_PULSE = 0xf0,
};

/* Where the byte in the output buffer came from. */
enum { FROM_NOBODY, FROM_CONTROLLER, FROM_KEYBOARD, FROM_MOUSE };

#define THROTTLE_NS   (1000 * NS_PER_US)    /* a PS/2 cable takes about 1 ms for a byte */
#define MODE          ram[0]                /* the command byte is the first byte of RAM */

typedef struct I8042 {
    Device dev;                 /* always first */
    Ps2Keyboard kbd;
    Ps2Mouse mouse;
    uint8_t ram[32];
    uint8_t status;             /* without OBF and AUX: those follow from `from` */
    uint8_t command;            /* waits for its byte at port 60h; 0 = none */
    uint8_t outport;            /* as written: RESET and A20 */
    uint8_t obuf;               /* output buffer; keeps its value after a read */
    uint8_t from;               /* whose it is; FROM_NOBODY = the guest has read it */
    bool obuf_aux;              /* ... and whether it counts as the mouse's (D3h) */
    uint8_t waiting;            /* controller's own byte that found the buffer full */
    uint8_t waiting_kind;       /* 0 none, 1 keyboard's, 2 mouse's */
    bool break_prefix;          /* translating: F0h was swallowed */
    bool throttled;             /* the next key code waits for the timer */
    Timer timer;
    bool throttle;              /* property */
    IRQ irq_kbd, irq_aux, a20;
    Region data, cmd;
} I8042;

static bool kbc_has_data(const I8042 *s)
{
    return s->from != FROM_NOBODY;
}

static void kbc_update_irq(I8042 *s)
{
    bool full = kbc_has_data(s);

    irq_set(&s->irq_kbd, full && !s->obuf_aux && (s->MODE & MODE_KBD_INT)
                         && !(s->MODE & MODE_KBD_OFF));
    irq_set(&s->irq_aux, full && s->obuf_aux && (s->MODE & MODE_AUX_INT));
}

static void kbc_put(I8042 *s, uint8_t val, uint8_t from, bool aux)
{
    s->obuf = val;
    s->from = from;
    s->obuf_aux = aux;
    kbc_update_irq(s);
}

/* A byte of the keyboard, translated if so set; false if it only was a prefix. */
static bool kbc_from_keyboard(I8042 *s, uint8_t val)
{
    if (s->MODE & MODE_XLATE) {
        if (val == 0xf0) {
            s->break_prefix = true;
            return false;
        }
        val = ps2_translate(val) | (s->break_prefix ? 0x80 : 0);
        s->break_prefix = false;
    }
    kbc_put(s, val, FROM_KEYBOARD, false);
    return true;
}

/* Fill the output buffer if it is empty: own answers first, then keyboard, then mouse. */
static void kbc_fill(I8042 *s)
{
    int val;

    if (kbc_has_data(s)) {
        return;
    }
    if (s->waiting_kind) {
        bool aux = s->waiting_kind == 2;
        s->waiting_kind = 0;
        kbc_put(s, s->waiting, FROM_CONTROLLER, aux);
        return;
    }
    while (!(s->MODE & MODE_KBD_OFF) && !s->throttled && (val = ps2_take(&s->kbd.port)) >= 0) {
        if (kbc_from_keyboard(s, val)) {
            return;
        }
    }
    if (!(s->MODE & MODE_AUX_OFF)) {
        val = ps2_take(&s->mouse.port);
        if (val >= 0) {
            kbc_put(s, val, FROM_MOUSE, true);
            ps2_mouse_drained(&s->mouse);
        }
    }
}

static void kbc_port_ready(void *opaque)
{
    kbc_fill(opaque);
}

static void kbc_timer(void *opaque)
{
    I8042 *s = opaque;

    s->throttled = false;
    kbc_fill(s);
}

/* An answer of the controller itself. */
static void kbc_answer(I8042 *s, uint8_t val, bool aux)
{
    s->waiting = val;
    s->waiting_kind = aux ? 2 : 1;
    kbc_fill(s);
}

static void kbc_write_outport(I8042 *s, uint8_t val)
{
    s->outport = val & (OUT_RESET | OUT_A20);
    irq_set(&s->a20, !!(val & OUT_A20));
    if (!(val & OUT_RESET)) {
        machine_request_reset();
    }
}

static uint8_t kbc_read_outport(const I8042 *s)
{
    uint8_t val = s->outport | OUT_IDLE;

    if (kbc_has_data(s)) {
        val |= s->obuf_aux ? OUT_AUX_IRQ : OUT_KBD_IRQ;
    }
    return val;
}

static void kbc_write_mode(I8042 *s, uint8_t val)
{
    s->MODE = val;
    s->status = (s->status & ~ST_SYS) | (val & MODE_SYS ? ST_SYS : 0);
    s->break_prefix = false;
    kbc_update_irq(s);
    kbc_fill(s);
}

static void kbc_enable(I8042 *s, uint8_t off_bit, bool on)
{
    s->MODE = on ? s->MODE & ~off_bit : s->MODE | off_bit;
    kbc_update_irq(s);
    kbc_fill(s);
}

/* F0h-FFh: bits that are 0 pulse the output port's lines low.  Only the reset line matters
 * for so short a time. */
static void kbc_pulse(uint8_t val)
{
    if (!(val & OUT_RESET)) {
        machine_request_reset();
    }
}

static void kbc_command(I8042 *s, uint8_t val)
{
    s->status |= ST_COMMAND;
    s->command = 0;
    if (val >= CMD_READ_RAM && val < CMD_READ_RAM + 0x20) {
        kbc_answer(s, s->ram[val & 0x1f], false);
        return;
    }
    if (val >= CMD_WRITE_RAM && val < CMD_WRITE_RAM + 0x20) {
        s->command = val;
        return;
    }
    if (val >= CMD_PULSE) {
        kbc_pulse(val);
        return;
    }
    switch (val) {
    case CMD_TEST_PASSWORD:
        kbc_answer(s, 0xf1, false);         /* none is installed */
        break;
    case CMD_AUX_OFF:
    case CMD_AUX_ON:
        kbc_enable(s, MODE_AUX_OFF, val == CMD_AUX_ON);
        break;
    case CMD_KBD_OFF:
    case CMD_KBD_ON:
        kbc_enable(s, MODE_KBD_OFF, val == CMD_KBD_ON);
        break;
    case CMD_TEST_AUX:
    case CMD_TEST_KBD:
        kbc_answer(s, 0x00, false);         /* no line is stuck */
        break;
    case CMD_SELF_TEST:
        s->status |= ST_SYS;
        kbc_answer(s, 0x55, false);
        break;
    case CMD_READ_INPUT:
        kbc_answer(s, 0x80, false);         /* keyboard not locked */
        break;
    case CMD_READ_OUTPUT:
        kbc_answer(s, kbc_read_outport(s), false);
        break;
    case CMD_READ_TEST:
        kbc_answer(s, 0x00, false);
        break;
    case CMD_WRITE_OUTPUT:
    case CMD_WRITE_KBD_OBUF:
    case CMD_WRITE_AUX_OBUF:
    case CMD_WRITE_AUX:
        s->command = val;
        break;
    case CMD_A20_OFF:
    case CMD_A20_ON:
        kbc_write_outport(s, val == CMD_A20_ON ? s->outport | OUT_A20 : s->outport & ~OUT_A20);
        break;
    default:
        LOG_GUEST("i8042: command %02xh does not exist\n", val);
    }
}

/* Port 60h: the byte belongs to the last command, or goes to the keyboard. */
static void kbc_write_data(I8042 *s, uint8_t val)
{
    uint8_t command = s->command;

    s->status &= ~ST_COMMAND;
    s->command = 0;
    switch (command) {
    case 0:
        /* talking to the keyboard turns its interface on */
        s->MODE &= ~MODE_KBD_OFF;
        ps2_keyboard_write(&s->kbd, val);
        break;
    case CMD_WRITE_RAM:
        kbc_write_mode(s, val);
        break;
    case CMD_WRITE_OUTPUT:
        kbc_write_outport(s, val);
        break;
    case CMD_WRITE_KBD_OBUF:
        kbc_answer(s, val, false);
        break;
    case CMD_WRITE_AUX_OBUF:
        kbc_answer(s, val, true);
        break;
    case CMD_WRITE_AUX:
        s->MODE &= ~MODE_AUX_OFF;
        ps2_mouse_write(&s->mouse, val);
        break;
    default:
        s->ram[command & 0x1f] = val;
    }
    kbc_update_irq(s);
    kbc_fill(s);
}

static uint64_t kbc_read_data(void *opaque, hwaddr addr, unsigned size)
{
    I8042 *s = opaque;
    uint8_t val = s->obuf, from = s->from;

    if (from == FROM_NOBODY) {
        return val;
    }
    /* The lines fall before the next byte raises them: the 8259 wants an edge for each */
    s->from = FROM_NOBODY;
    kbc_update_irq(s);
    if (s->throttle && from == FROM_KEYBOARD) {
        s->throttled = true;
        timer_mod(&s->timer, vclock_ns() + THROTTLE_NS);
    }
    kbc_fill(s);
    return val;
}

static uint64_t kbc_read_status(void *opaque, hwaddr addr, unsigned size)
{
    I8042 *s = opaque;
    uint8_t val = s->status | ST_UNLOCKED;

    if (kbc_has_data(s)) {
        val |= ST_OBF | (s->obuf_aux ? ST_AUX : 0);
    }
    return val;
}

static void kbc_data_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    kbc_write_data(opaque, val);
}

static void kbc_command_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    kbc_command(opaque, val);
}

static const RegionOps kbc_data_ops = {
    .read = kbc_read_data, .write = kbc_data_write, .min = 1, .max = 1,
};
static const RegionOps kbc_command_ops = {
    .read = kbc_read_status, .write = kbc_command_write, .min = 1, .max = 1,
};

void i8042_connect_a20(Device *kbc, IRQ a20)
{
    ((I8042 *)kbc)->a20 = a20;
}

void i8042_nudge_mouse(Device *kbc)
{
    ps2_mouse_nudge(&((I8042 *)kbc)->mouse);
}

static bool kbc_realize(Device *dev, Error **err)
{
    I8042 *s = (I8042 *)dev;

    s->irq_kbd = isa_irq(dev, 1);
    s->irq_aux = isa_irq(dev, 12);
    timer_init(&s->timer, ORRERY_CLOCK_VIRTUAL, kbc_timer, s);
    /* the latest registered gets the input: the keyboard's port is the one to have it */
    ps2_mouse_init(&s->mouse, kbc_port_ready, s);
    ps2_keyboard_init(&s->kbd, kbc_port_ready, s);
    region_init_io(&s->data, "i8042-data", 1, &kbc_data_ops, s);
    region_map(dev->io, 0x60, &s->data, 0);
    region_init_io(&s->cmd, "i8042-cmd", 1, &kbc_command_ops, s);
    region_map(dev->io, 0x64, &s->cmd, 0);
    return true;
}

static void kbc_unrealize(Device *dev)
{
    I8042 *s = (I8042 *)dev;

    timer_del(&s->timer);
    ps2_keyboard_exit(&s->kbd);
    ps2_mouse_exit(&s->mouse);
    region_destroy(&s->data);
    region_destroy(&s->cmd);
}

static void kbc_reset(Device *dev)
{
    I8042 *s = (I8042 *)dev;

    memset(s->ram, 0, sizeof(s->ram));
    s->MODE = MODE_KBD_INT | MODE_AUX_INT;
    s->status = ST_COMMAND;
    s->command = s->obuf = s->waiting = s->waiting_kind = 0;
    s->from = FROM_NOBODY;
    s->obuf_aux = s->break_prefix = s->throttled = false;
    s->outport = OUT_RESET | OUT_A20;
    timer_del(&s->timer);
    ps2_keyboard_reset(&s->kbd);
    ps2_mouse_reset(&s->mouse);
    irq_raise(&s->a20);
    kbc_update_irq(s);
}

static bool kbc_post_load(void *opaque, int version, Error **err)
{
    I8042 *s = opaque;

    if (s->from > FROM_MOUSE || s->waiting_kind > 2) {
        return fail(err, "i8042: impossible state of the output buffer");
    }
    return true;
}

static const VMField kbc_fields[] = {
    VM_STRUCT(I8042, kbd, vm_ps2_keyboard), VM_STRUCT(I8042, mouse, vm_ps2_mouse),
    VM_BUFFER(I8042, ram), VM_UINT(I8042, status), VM_UINT(I8042, command),
    VM_UINT(I8042, outport), VM_UINT(I8042, obuf), VM_UINT(I8042, from),
    VM_BOOL(I8042, obuf_aux), VM_UINT(I8042, waiting), VM_UINT(I8042, waiting_kind),
    VM_BOOL(I8042, break_prefix), VM_BOOL(I8042, throttled), VM_TIMER(I8042, timer),
    VM_DONE
};
static const VMState vm_i8042 = {
    .name = "i8042", .post_load = kbc_post_load, .fields = kbc_fields,
};

static const Prop kbc_props[] = {
    PROP_BOOL("kbd-throttle", I8042, throttle, false,
              "1 ms between key codes, for guests that read one twice"),
    PROP_DONE
};

static const DeviceType i8042 = {
    .name = "i8042", .desc = "PS/2 keyboard controller", .bus = "isa", .category = "Input",
    .size = sizeof(I8042), .props = kbc_props, .vmstate = &vm_i8042, .realize = kbc_realize,
    .reset = kbc_reset, .unrealize = kbc_unrealize, .no_user = true,
};
DEVICE_TYPE(i8042);
