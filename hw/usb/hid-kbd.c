/* SPDX-License-Identifier: MIT */
/*
 * usb-kbd: a keyboard whose reports are those of the boot protocol.
 *
 * Source: HID 1.11, appendix B.1 and C (boot keyboard):
 *
 *     IN   0  modifiers: right GUI, Alt, Shift, Ctrl, left GUI, Alt, Shift, Ctrl (bits 7..0)
 *          1  0
 *          2  up to six keys that are down, all 1 if there are more
 *     OUT  0  LEDs: Kana, Compose, Scroll, Caps, Num (bits 4..0)
 */
#include "hw/usb/hid.h"

#include <string.h>

#define QUEUE        32u
#define KEYS_DOWN    32u        /* known at a time: more than a report has room for */
#define REPORT_KEYS  6u
#define ROLLOVER     0x01
#define KEY_DOWN     0x100      /* in the queue: usage | KEY_DOWN */
enum { LED_NUM = 1, LED_CAPS = 2, LED_SCROLL = 4 };

typedef struct Keyboard {
    HID hid;                            /* always first */
    uint16_t queue[QUEUE];              /* what was not told yet, a ring */
    uint8_t head, count;
    uint8_t modifiers, leds;
    uint8_t keys[KEYS_DOWN];            /* in the order they were pressed */
    uint8_t nkeys;
} Keyboard;

/* Bring an event into the state; false: that changes nothing (a repeated key). */
static bool apply(Keyboard *k, uint16_t event)
{
    uint8_t usage = event, *at = memchr(k->keys, usage, k->nkeys);
    bool down = event & KEY_DOWN;

    if (usage >= 0xe0 && usage < 0xe8) {
        uint8_t bit = 1 << (usage - 0xe0), old = k->modifiers;
        k->modifiers = down ? old | bit : old & ~bit;
        return k->modifiers != old;
    }
    if (down == !!at || (down && k->nkeys == KEYS_DOWN)) {
        return false;
    }
    if (down) {
        k->keys[k->nkeys++] = usage;
    } else {
        memmove(at, at + 1, k->keys + k->nkeys - at - 1);
        k->keys[--k->nkeys] = 0;
    }
    return true;
}

static uint16_t take(Keyboard *k)
{
    uint16_t event = k->queue[k->head];

    k->head = (k->head + 1) % QUEUE;
    k->count--;
    return event;
}

static unsigned kbd_current(HID *h, uint8_t *out)
{
    const Keyboard *k = (Keyboard *)h;

    memset(out, 0, 8);
    out[0] = k->modifiers;
    if (k->nkeys > REPORT_KEYS) {
        memset(out + 2, ROLLOVER, REPORT_KEYS);
    } else {
        memcpy(out + 2, k->keys, k->nkeys);
    }
    return 8;
}

/* A report for each event, so that a short press is seen. */
static unsigned kbd_next(HID *h, uint8_t *out)
{
    Keyboard *k = (Keyboard *)h;

    while (k->count) {
        if (apply(k, take(k))) {
            return kbd_current(h, out);
        }
    }
    return 0;
}

static void kbd_forget(HID *h)
{
    Keyboard *k = (Keyboard *)h;

    memset(k->queue, 0, sizeof(k->queue));
    memset(k->keys, 0, sizeof(k->keys));
    k->head = k->count = k->nkeys = k->modifiers = k->leds = 0;
}

static void tell_leds(const Keyboard *k)
{
    input_set_leds((k->leds & LED_SCROLL ? 1 : 0) | (k->leds & LED_NUM ? 2 : 0)
                   | (k->leds & LED_CAPS ? 4 : 0));
}

static void kbd_output(HID *h, uint8_t val)
{
    Keyboard *k = (Keyboard *)h;

    k->leds = val;
    tell_leds(k);
}

/* When the queue is full the oldest event is not told by itself, but what it did stays. */
static void kbd_key(void *opaque, unsigned usage, bool down)
{
    Keyboard *k = opaque;

    if (!hid_listens(&k->hid)) {
        input_key(usage, down);
        return;
    }
    if (!k->hid.usb.config || usage < 4 || usage > 0xff) {
        return;
    }
    if (k->count == QUEUE) {
        apply(k, take(k));
    }
    k->queue[(k->head + k->count++) % QUEUE] = usage | (down ? KEY_DOWN : 0);
    usb_notify(&k->hid.usb);
}

/* ---- descriptors ------------------------------------------------------------------------------ */

static const uint8_t kbd_report[] = {
    0x05, 0x01, 0x09, 0x06, 0xa1, 0x01,             /* generic desktop: keyboard */
    0x75, 0x01, 0x95, 0x08, 0x05, 0x07,             /* 8 bits: keys E0h to E7h */
    0x19, 0xe0, 0x29, 0xe7, 0x15, 0x00, 0x25, 0x01, 0x81, 0x02,
    0x95, 0x01, 0x75, 0x08, 0x81, 0x01,             /* a byte of nothing */
    0x95, 0x05, 0x75, 0x01, 0x05, 0x08,             /* out: 5 LEDs, 3 bits of nothing */
    0x19, 0x01, 0x29, 0x05, 0x91, 0x02, 0x95, 0x01, 0x75, 0x03, 0x91, 0x01,
    0x95, 0x06, 0x75, 0x08, 0x15, 0x00, 0x25, 0xff, /* six keys */
    0x05, 0x07, 0x19, 0x00, 0x29, 0xff, 0x81, 0x00,
    0xc0,
};
static const uint8_t kbd_config[] = {
    HID_CONFIG(HID_STR_KEYBOARD_CONFIG, 1, 1, 0x0111, sizeof(kbd_report), 8)
};
static const USBDesc kbd_desc = HID_DESC(HID_STR_KEYBOARD, HID_STR_KEYBOARD_SERIAL, kbd_config);

static const InputHandler kbd_input = {
    .name = "QEMU HID Keyboard", .mask = INPUT_KEYBOARD, .key = kbd_key,
};

static const HIDInfo kbd_info = {
    .usb = HID_USB_INFO(kbd_desc), .report = kbd_report, .report_len = sizeof(kbd_report),
    .boot = true, .input = &kbd_input, .next = kbd_next, .current = kbd_current,
    .forget = kbd_forget, .output = kbd_output,
};

/* ---- state and type --------------------------------------------------------------------------- */

static bool kbd_post_load(void *opaque, int version, Error **err)
{
    const Keyboard *k = opaque;

    if (k->head >= QUEUE || k->count > QUEUE || k->nkeys > KEYS_DOWN) {
        return fail(err, "usb-kbd: %u events from %u, %u keys down: out of range", k->count,
                    k->head, k->nkeys);
    }
    if (k->hid.usb.config) {
        tell_leds(k);
    }
    return true;
}

static const VMField kbd_fields[] = {
    VM_STRUCT(Keyboard, hid, vm_hid), VM_UINTS(Keyboard, queue), VM_UINT(Keyboard, head),
    VM_UINT(Keyboard, count), VM_UINT(Keyboard, modifiers), VM_UINT(Keyboard, leds),
    VM_BUFFER(Keyboard, keys), VM_UINT(Keyboard, nkeys),
    VM_DONE
};
static const VMState vm_kbd = {
    .name = "usb-kbd", .post_load = kbd_post_load, .fields = kbd_fields,
};

static const Prop kbd_props[] = {
    PROP_UINT_R("usb_version", Keyboard, hid.usb.version, 2, 1, 2, "which USB it says it speaks"),
    PROP_DONE
};

static const DeviceType usb_kbd = {
    .name = "usb-kbd", .desc = "USB keyboard", .bus = "usb-bus", .category = "Input",
    .size = sizeof(Keyboard), .props = kbd_props, .vmstate = &vm_kbd, .realize = hid_realize,
    .unrealize = hid_unrealize, .info = &kbd_info,
};
DEVICE_TYPE(usb_kbd);
