/* SPDX-License-Identifier: MIT */
/*
 * usb-mouse and usb-tablet: pointers that tell movements, and places.
 *
 * Source: HID 1.11, appendix B.2 (boot mouse).  Reports:
 *
 *     mouse    buttons, dx, dy, wheel (signed bytes; boot protocol: without the wheel)
 *     tablet   buttons, x, y (16 bits, 0 to 7FFFh over the picture), wheel
 *     buttons  extra, side, middle, right, left (bits 4..0)
 */
#include "hw/usb/hid.h"
#include "util/bits.h"

#include <string.h>

#define QUEUE       16u
#define MOTION_MAX  4096        /* of a mouse nobody asks: a hand's breadth, not a screen of it */
#define WHEEL_MAX   127

typedef struct Motion {
    int32_t x, y;                       /* tablet: the place; mouse: how far */
    int32_t wheel;                      /* up is positive */
    uint8_t buttons;
    bool click;                         /* buttons are not those of the one before */
} Motion;

typedef struct Pointer {
    HID hid;                            /* always first */
    Motion queue[QUEUE];                /* what was not told yet, a ring */
    uint8_t head, count;
    Motion now;                         /* being put together until the next sync */
    Motion told;                        /* place and buttons of the last report */
    bool news;                          /* in now */
} Pointer;

static bool absolute(const Pointer *p);

/* ---- events in ---------------------------------------------------------------------------------- */

static uint8_t last_buttons(const Pointer *p)
{
    return p->count ? p->queue[(p->head + p->count - 1) % QUEUE].buttons : p->told.buttons;
}

static void merge(const Pointer *p, Motion *m, const Motion *more)
{
    bool abs = absolute(p);

    m->x = abs ? more->x : CLAMP(m->x + more->x, -MOTION_MAX, MOTION_MAX);
    m->y = abs ? more->y : CLAMP(m->y + more->y, -MOTION_MAX, MOTION_MAX);
    m->wheel = CLAMP(m->wheel + more->wheel, -WHEEL_MAX, WHEEL_MAX);
    m->buttons = more->buttons;
}

/* Movements that wait are joined; clicks stay by themselves, in their places. */
static void flush(Pointer *p)
{
    Motion *last = &p->queue[(p->head + p->count + QUEUE - 1) % QUEUE];

    if (!p->news) {
        return;
    }
    p->now.click = p->now.buttons != last_buttons(p);
    if (p->count == QUEUE || (p->count && !p->now.click && !last->click)) {
        merge(p, last, &p->now);
    } else {
        p->queue[(p->head + p->count++) % QUEUE] = p->now;
    }
    if (!absolute(p)) {
        p->now.x = p->now.y = 0;
    }
    p->now.wheel = 0;
    p->news = false;
}

static void pointer_sync(void *opaque)
{
    Pointer *p = opaque;

    flush(p);
    if (p->count) {
        usb_notify(&p->hid.usb);
    }
}

static void pointer_button(void *opaque, unsigned button, bool down)
{
    static const uint8_t bit[BTN_COUNT] = {
        [BTN_LEFT] = 1, [BTN_RIGHT] = 2, [BTN_MIDDLE] = 4, [BTN_SIDE] = 8, [BTN_EXTRA] = 16,
    };
    Pointer *p = opaque;

    if (!hid_listens(&p->hid)) {
        input_button(button, down);
        return;
    }
    if (!p->hid.usb.config || button >= BTN_COUNT) {
        return;
    }
    if (bit[button]) {
        if (p->now.buttons != last_buttons(p)) {
            flush(p);                   /* the click before this one */
        }
        p->now.buttons = down ? p->now.buttons | bit[button] : p->now.buttons & ~bit[button];
        p->news = true;
    } else if (down && (button == BTN_WHEEL_UP || button == BTN_WHEEL_DOWN)) {
        p->now.wheel = CLAMP(p->now.wheel + (button == BTN_WHEEL_UP ? 1 : -1), -WHEEL_MAX, WHEEL_MAX);
        p->news = true;
    }
}

static void mouse_rel(void *opaque, int dx, int dy)
{
    Pointer *p = opaque;

    if (!hid_listens(&p->hid)) {
        input_rel(dx, dy);
    } else if (p->hid.usb.config) {
        p->now.x = CLAMP(p->now.x + CLAMP(dx, -MOTION_MAX, MOTION_MAX), -MOTION_MAX, MOTION_MAX);
        p->now.y = CLAMP(p->now.y + CLAMP(dy, -MOTION_MAX, MOTION_MAX), -MOTION_MAX, MOTION_MAX);
        p->news = true;
    }
}

static void tablet_abs(void *opaque, int x, int y)
{
    Pointer *p = opaque;

    if (!hid_listens(&p->hid)) {
        input_abs(x, y);
    } else if (p->hid.usb.config) {
        p->now.x = CLAMP(x, 0, INPUT_ABS_MAX);
        p->now.y = CLAMP(y, 0, INPUT_ABS_MAX);
        p->news = true;
    }
}

/* ---- reports out -------------------------------------------------------------------------------- */

static unsigned tablet_report(uint8_t *out, const Motion *m, int wheel)
{
    out[0] = m->buttons;
    st16_le(out + 1, m->x);
    st16_le(out + 3, m->y);
    out[5] = wheel;
    return 6;
}

static unsigned mouse_report(const Pointer *p, uint8_t *out, uint8_t buttons, int dx, int dy, int wheel)
{
    out[0] = buttons;
    out[1] = dx;
    out[2] = dy;
    out[3] = wheel;
    return p->hid.protocol ? 4 : 3;
}

static void drop_head(Pointer *p)
{
    p->head = (p->head + 1) % QUEUE;
    p->count--;
}

static unsigned tablet_next(HID *h, uint8_t *out)
{
    Pointer *p = (Pointer *)h;

    if (!p->count) {
        return 0;
    }
    p->told = p->queue[p->head];
    drop_head(p);
    return tablet_report(out, &p->told, p->told.wheel);
}

/* Movements too long for a byte take several reports. */
static unsigned mouse_next(HID *h, uint8_t *out)
{
    Pointer *p = (Pointer *)h;
    Motion *m = &p->queue[p->head];

    if (!p->count) {
        return 0;
    }
    int dx = CLAMP(m->x, -127, 127), dy = CLAMP(m->y, -127, 127), wheel = m->wheel;
    m->x -= dx;
    m->y -= dy;
    m->wheel = 0;
    p->told.buttons = m->buttons;
    unsigned len = mouse_report(p, out, m->buttons, dx, dy, wheel);
    if (!m->x && !m->y) {
        drop_head(p);
    }
    return len;
}

static unsigned tablet_current(HID *h, uint8_t *out)
{
    return tablet_report(out, &((Pointer *)h)->told, 0);
}

static unsigned mouse_current(HID *h, uint8_t *out)
{
    const Pointer *p = (Pointer *)h;

    return mouse_report(p, out, p->told.buttons, 0, 0, 0);
}

static void pointer_forget(HID *h)
{
    Pointer *p = (Pointer *)h;

    memset(p->queue, 0, sizeof(p->queue));
    p->now = p->told = (Motion) { 0 };
    p->head = p->count = 0;
    p->news = false;
}

/* ---- descriptors ------------------------------------------------------------------------------ */

#define FIVE_BUTTONS                                                                           \
    0x05, 0x01, 0x09, 0x02, 0xa1, 0x01, 0x09, 0x01, 0xa1, 0x00,  /* mouse: pointer */           \
    0x05, 0x09, 0x19, 0x01, 0x29, 0x05, 0x15, 0x00, 0x25, 0x01,  /* buttons 1 to 5, a bit each */ \
    0x95, 0x05, 0x75, 0x01, 0x81, 0x02, 0x95, 0x01, 0x75, 0x03, 0x81, 0x01

static const uint8_t mouse_report_desc[] = {
    FIVE_BUTTONS,
    0x05, 0x01, 0x09, 0x30, 0x09, 0x31, 0x09, 0x38,     /* x, y, wheel: relative bytes */
    0x15, 0x81, 0x25, 0x7f, 0x75, 0x08, 0x95, 0x03, 0x81, 0x06,
    0xc0, 0xc0,
};
static const uint8_t tablet_report_desc[] = {
    FIVE_BUTTONS,
    0x05, 0x01, 0x09, 0x30, 0x09, 0x31, 0x15, 0x00,     /* x, y: absolute, 0 to 7FFFh */
    0x26, 0xff, 0x7f, 0x35, 0x00, 0x46, 0xff, 0x7f, 0x75, 0x10, 0x95, 0x02, 0x81, 0x02,
    0x05, 0x01, 0x09, 0x38, 0x15, 0x81, 0x25, 0x7f,     /* wheel: a relative byte */
    0x35, 0x00, 0x45, 0x00, 0x75, 0x08, 0x95, 0x01, 0x81, 0x06,
    0xc0, 0xc0,
};
static const uint8_t mouse_config[] = {
    HID_CONFIG(HID_STR_MOUSE_CONFIG, 1, 2, 0x0001, sizeof(mouse_report_desc), 4)
};
static const uint8_t tablet_config[] = {
    HID_CONFIG(HID_STR_TABLET_CONFIG, 0, 0, 0x0001, sizeof(tablet_report_desc), 8)
};
static const USBDesc mouse_desc = HID_DESC(HID_STR_MOUSE, HID_STR_MOUSE_SERIAL, mouse_config);
static const USBDesc tablet_desc = HID_DESC(HID_STR_TABLET, HID_STR_TABLET_SERIAL, tablet_config);

static const InputHandler mouse_input = {
    .name = "QEMU HID Mouse", .mask = INPUT_POINTER_REL, .button = pointer_button,
    .rel = mouse_rel, .sync = pointer_sync,
};
static const InputHandler tablet_input = {
    .name = "QEMU HID Tablet", .mask = INPUT_POINTER_ABS, .button = pointer_button,
    .abs = tablet_abs, .sync = pointer_sync,
};

static const HIDInfo mouse_info = {
    .usb = HID_USB_INFO(mouse_desc), .report = mouse_report_desc,
    .report_len = sizeof(mouse_report_desc), .boot = true, .input = &mouse_input,
    .next = mouse_next, .current = mouse_current, .forget = pointer_forget,
};
static const HIDInfo tablet_info = {
    .usb = HID_USB_INFO(tablet_desc), .report = tablet_report_desc,
    .report_len = sizeof(tablet_report_desc), .input = &tablet_input,
    .next = tablet_next, .current = tablet_current, .forget = pointer_forget,
};

static bool absolute(const Pointer *p)
{
    return p->hid.usb.dev.type->info == &tablet_info;
}

/* ---- state and types ---------------------------------------------------------------------------- */

static bool check_motion(const Pointer *p, const Motion *m)
{
    int lo = absolute(p) ? 0 : -MOTION_MAX, hi = absolute(p) ? INPUT_ABS_MAX : MOTION_MAX;

    return m->x >= lo && m->x <= hi && m->y >= lo && m->y <= hi && m->wheel >= -WHEEL_MAX
           && m->wheel <= WHEEL_MAX;
}

static bool pointer_post_load(void *opaque, int version, Error **err)
{
    const Pointer *p = opaque;
    bool ok = p->head < QUEUE && p->count <= QUEUE && check_motion(p, &p->now)
              && check_motion(p, &p->told);

    for (unsigned i = 0; i < QUEUE; i++) {
        ok = ok && check_motion(p, &p->queue[i]);
    }
    return ok || fail(err, "%s: a movement or the queue is out of range", p->hid.usb.dev.type->name);
}

static const VMField motion_fields[] = {
    VM_UINT(Motion, x), VM_UINT(Motion, y), VM_UINT(Motion, wheel), VM_UINT(Motion, buttons),
    VM_BOOL(Motion, click),
    VM_DONE
};
static const VMState vm_motion = { .name = "usb-motion", .fields = motion_fields };

static const VMField pointer_fields[] = {
    VM_STRUCT(Pointer, hid, vm_hid), VM_STRUCTS(Pointer, queue, vm_motion),
    VM_UINT(Pointer, head), VM_UINT(Pointer, count), VM_STRUCT(Pointer, now, vm_motion),
    VM_STRUCT(Pointer, told, vm_motion), VM_BOOL(Pointer, news),
    VM_DONE
};
static const VMState vm_pointer = {
    .name = "usb-pointer", .post_load = pointer_post_load, .fields = pointer_fields,
};

static const Prop pointer_props[] = {
    PROP_UINT_R("usb_version", Pointer, hid.usb.version, 2, 1, 2, "which USB it says it speaks"),
    PROP_DONE
};

static const DeviceType usb_mouse = {
    .name = "usb-mouse", .desc = "USB mouse", .bus = "usb-bus", .category = "Input",
    .size = sizeof(Pointer), .props = pointer_props, .vmstate = &vm_pointer,
    .realize = hid_realize, .unrealize = hid_unrealize, .info = &mouse_info,
};
DEVICE_TYPE(usb_mouse);

static const DeviceType usb_tablet = {
    .name = "usb-tablet", .desc = "USB tablet: an absolute pointer", .bus = "usb-bus",
    .category = "Input", .size = sizeof(Pointer), .props = pointer_props, .vmstate = &vm_pointer,
    .realize = hid_realize, .unrealize = hid_unrealize, .info = &tablet_info,
};
DEVICE_TYPE(usb_tablet);
