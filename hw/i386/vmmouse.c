/* SPDX-License-Identifier: MIT */
/*
 * The mouse behind the VMware port: an absolute pointer (or a relative one) for guests whose
 * PS/2 mouse driver knows it.
 *
 *     39  data      BX (EBX 15:0) words, 1 to 6, out of the queue into EAX, EBX, ECX, EDX, ESI, EDI
 *     40  status    EAX 31:16 = FFFFh off or in error, 0 on; 15:0 words in the queue
 *     41  command   EBX: 45414552h on, 000000F5h off, 4C455252h relative, 53424152h absolute
 *
 * On: the queue has one word, the version 3442554Ah.  An event is four words: buttons (20h left,
 * 10h right, 08h middle; bit 16: x, y are movements, y upwards), x and y (0 to FFFFh over the
 * screen), wheel (down is positive).  With each the PS/2 mouse reports a movement, which has the
 * driver look here.
 *
 * Sources: the drivers, Linux' vmmouse.c and xf86-input-vmmouse; QEMU 7.2.
 */
#include "hw/i386/vmport.h"
#include "hw/core/sysctl.h"
#include "hw/input/i8042.h"
#include "ui/input.h"
#include "util/log.h"

enum { CMD_DATA = 39, CMD_STATUS = 40, CMD_COMMAND = 41 };
#define ON        0x45414552u
#define OFF       0x000000f5u
#define RELATIVE  0x4c455252u
#define ABSOLUTE  0x53424152u
#define VERSION   0x3442554au

#define STATUS_OFF 0xffff
#define PACKET     4u                   /* words */
#define QUEUE      (256 * PACKET)
#define DATA_MAX   6u

#define BUTTON_LEFT   0x20
#define BUTTON_RIGHT  0x10
#define BUTTON_MIDDLE 0x08
#define MOVEMENT      0x10000

typedef struct VmMouse {
    Device dev;                         /* always first */
    Device *vmport, *kbc;
    uint32_t queue[QUEUE];              /* a ring */
    uint16_t head, count;               /* in words */
    uint16_t status;                    /* 0: on; STATUS_OFF */
    bool absolute, listens;             /* the kind of pointer; the input core knows it */
    /* Being put together until the next sync */
    int32_t x, y, wheel;                /* y downwards */
    uint8_t buttons;
    bool news;
} VmMouse;

/* ---- events in ----------------------------------------------------------------------- */

static void put_word(VmMouse *s, uint32_t val)
{
    s->queue[(s->head + s->count++) % QUEUE] = val;
}

/* 0..7FFFh to 0..FFFFh. */
static uint32_t wide(int v)
{
    return (uint32_t)v << 1 | (uint32_t)v >> 14;
}

/* A guest that reads nothing finds the last place and buttons at the end. */
static void mouse_sync(void *opaque)
{
    VmMouse *s = opaque;

    if (!s->news) {
        return;
    }
    if (s->count + PACKET > QUEUE) {
        s->count -= PACKET;
    }
    put_word(s, s->buttons | (s->absolute ? 0 : MOVEMENT));
    put_word(s, s->absolute ? wide(s->x) : (uint32_t)s->x);
    put_word(s, s->absolute ? wide(s->y) : (uint32_t)-s->y);
    put_word(s, s->wheel);
    if (!s->absolute) {
        s->x = s->y = 0;
    }
    s->wheel = 0;
    s->news = false;
    machine_request_wakeup();
    i8042_nudge_mouse(s->kbc);
}

static void mouse_button(void *opaque, unsigned button, bool down)
{
    static const uint8_t bit[BTN_COUNT] = {
        [BTN_LEFT] = BUTTON_LEFT, [BTN_RIGHT] = BUTTON_RIGHT, [BTN_MIDDLE] = BUTTON_MIDDLE,
    };
    VmMouse *s = opaque;

    if (button == BTN_WHEEL_UP || button == BTN_WHEEL_DOWN) {
        if (down) {
            s->wheel = CLAMP(s->wheel + (button == BTN_WHEEL_UP ? -1 : 1), -127, 127);
            s->news = true;
        }
    } else if (button < BTN_COUNT && bit[button]) {
        s->buttons = down ? s->buttons | bit[button] : s->buttons & ~bit[button];
        s->news = true;
    }
}

static void mouse_rel(void *opaque, int dx, int dy)
{
    VmMouse *s = opaque;

    s->x = CLAMP(s->x + CLAMP(dx, -INPUT_ABS_MAX, INPUT_ABS_MAX), -INPUT_ABS_MAX, INPUT_ABS_MAX);
    s->y = CLAMP(s->y + CLAMP(dy, -INPUT_ABS_MAX, INPUT_ABS_MAX), -INPUT_ABS_MAX, INPUT_ABS_MAX);
    s->news = true;
}

static void mouse_abs(void *opaque, int x, int y)
{
    VmMouse *s = opaque;

    s->x = x;
    s->y = y;
    s->news = true;
}

static const InputHandler relative_input = {
    .name = "vmmouse", .mask = INPUT_POINTER_REL, .button = mouse_button, .rel = mouse_rel,
    .sync = mouse_sync,
};
static const InputHandler absolute_input = {
    .name = "vmmouse", .mask = INPUT_POINTER_ABS, .button = mouse_button, .abs = mouse_abs,
    .sync = mouse_sync,
};

/* ---- commands ------------------------------------------------------------------------ */

static void listen(VmMouse *s, bool on)
{
    const InputHandler *h = s->absolute ? &absolute_input : &relative_input;

    if (on && !s->listens) {
        input_register(h, s);
    } else if (!on && s->listens) {
        input_unregister(h, s);
    }
    s->listens = on;
}

static void forget(VmMouse *s)
{
    memset(s->queue, 0, sizeof(s->queue));
    s->head = s->count = 0;
    s->x = s->y = s->wheel = 0;
    s->buttons = 0;
    s->news = false;
}

static void switch_off(VmMouse *s)
{
    listen(s, false);
    forget(s);
    s->status = STATUS_OFF;
}

static void switch_on(VmMouse *s)
{
    forget(s);
    put_word(s, VERSION);
    s->status = 0;
}

static void choose(VmMouse *s, bool absolute)
{
    if (s->status) {
        LOG_GUEST("vmmouse: it is off\n");
        return;
    }
    if (s->absolute != absolute) {
        listen(s, false);
        s->absolute = absolute;
        s->x = s->y = 0;
    }
    listen(s, true);
}

static void cmd_command(void *opaque, VmportRegs *r)
{
    VmMouse *s = opaque;

    switch (r->ebx) {
    case ON:
        switch_on(s);
        break;
    case OFF:
        switch_off(s);
        break;
    case RELATIVE:
    case ABSOLUTE:
        choose(s, r->ebx == ABSOLUTE);
        break;
    default:
        LOG_GUEST("vmmouse: command %08xh does not exist\n", r->ebx);
    }
}

static void cmd_status(void *opaque, VmportRegs *r)
{
    const VmMouse *s = opaque;

    r->eax = (uint32_t)s->status << 16 | s->count;
}

static void cmd_data(void *opaque, VmportRegs *r)
{
    VmMouse *s = opaque;
    uint32_t *const to[DATA_MAX] = { &r->eax, &r->ebx, &r->ecx, &r->edx, &r->esi, &r->edi };
    unsigned n = r->ebx & 0xffff;

    if (n == 0 || n > DATA_MAX || n > s->count) {
        LOG_GUEST("vmmouse: %u words are wanted, %u are there\n", n, s->count);
        switch_off(s);                  /* the driver switches it on again */
        return;
    }
    for (unsigned i = 0; i < n; i++) {
        *to[i] = s->queue[s->head];
        s->head = (s->head + 1) % QUEUE;
    }
    s->count -= n;
}

void vmmouse_connect(Device *vmmouse, Device *vmport, Device *kbc)
{
    VmMouse *s = (VmMouse *)vmmouse;

    s->vmport = vmport;
    s->kbc = kbc;
}

/* ---- the device ---------------------------------------------------------------------- */

static bool vmmouse_realize(Device *dev, Error **err)
{
    VmMouse *s = (VmMouse *)dev;

    s->status = STATUS_OFF;
    vmport_set_command(s->vmport, CMD_DATA, cmd_data, s);
    vmport_set_command(s->vmport, CMD_STATUS, cmd_status, s);
    vmport_set_command(s->vmport, CMD_COMMAND, cmd_command, s);
    return true;
}

static void vmmouse_unrealize(Device *dev)
{
    VmMouse *s = (VmMouse *)dev;

    listen(s, false);
    for (unsigned n = CMD_DATA; n <= CMD_COMMAND; n++) {
        vmport_set_command(s->vmport, n, NULL, NULL);
    }
}

static void vmmouse_reset(Device *dev)
{
    VmMouse *s = (VmMouse *)dev;

    switch_off(s);
    s->absolute = false;
}

static void vmmouse_pre_load(void *opaque)
{
    listen(opaque, false);
}

/* Whether the input core knows it is said by the stream, in wanted. */
static bool vmmouse_post_load(void *opaque, int version, Error **err)
{
    VmMouse *s = opaque;
    bool wanted = s->listens;
    int lo = s->absolute ? 0 : -INPUT_ABS_MAX;

    s->listens = false;
    if (s->head >= QUEUE || s->count > QUEUE || (s->status && s->status != STATUS_OFF)
        || (s->status && wanted) || s->x < lo || s->x > INPUT_ABS_MAX || s->y < lo
        || s->y > INPUT_ABS_MAX || s->wheel < -127 || s->wheel > 127) {
        return fail(err, "vmmouse: impossible state of the queue or a movement");
    }
    listen(s, wanted);
    return true;
}

static const VMField vmmouse_fields[] = {
    VM_UINTS(VmMouse, queue), VM_UINT(VmMouse, head), VM_UINT(VmMouse, count),
    VM_UINT(VmMouse, status), VM_BOOL(VmMouse, absolute), VM_BOOL(VmMouse, listens),
    VM_UINT(VmMouse, x), VM_UINT(VmMouse, y), VM_UINT(VmMouse, wheel), VM_UINT(VmMouse, buttons),
    VM_BOOL(VmMouse, news),
    VM_DONE
};
static const VMState vm_vmmouse = {
    .name = "vmmouse", .pre_load = vmmouse_pre_load, .post_load = vmmouse_post_load,
    .fields = vmmouse_fields,
};

static const DeviceType vmmouse = {
    .name = "vmmouse", .desc = "mouse behind the VMware port", .bus = "isa", .category = "Input",
    .size = sizeof(VmMouse), .vmstate = &vm_vmmouse, .realize = vmmouse_realize,
    .reset = vmmouse_reset, .unrealize = vmmouse_unrealize, .no_user = true,
};
DEVICE_TYPE(vmmouse);
