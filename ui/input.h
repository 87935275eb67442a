/* SPDX-License-Identifier: MIT */
/*
 * Keyboard and pointer events from front ends and monitor to input devices.  Keys are USB HID
 * usage numbers (page 7), as SDL's scancodes are; devices translate to their own codes.  [bql]
 */
#ifndef UI_INPUT_H
#define UI_INPUT_H

#include <stdbool.h>
#include <stdint.h>
#include "util/error.h"

enum { BTN_LEFT, BTN_MIDDLE, BTN_RIGHT, BTN_WHEEL_UP, BTN_WHEEL_DOWN, BTN_SIDE, BTN_EXTRA,
       BTN_WHEEL_LEFT, BTN_WHEEL_RIGHT, BTN_COUNT };
enum { INPUT_KEYBOARD = 1, INPUT_POINTER_REL = 2, INPUT_POINTER_ABS = 4 };
#define INPUT_ABS_MAX 0x7fff

typedef struct InputHandler {
    const char *name;
    unsigned mask;                              /* INPUT_* it takes */
    void (*key)(void *opaque, unsigned hid, bool down);
    /* It has no room for a key now and will call input_room when it has: the host keeps what is
     * typed meanwhile, for seconds.  NULL: it always has. */
    bool (*busy)(void *opaque);
    void (*button)(void *opaque, unsigned button, bool down);
    void (*rel)(void *opaque, int dx, int dy);
    void (*abs)(void *opaque, int x, int y);    /* 0..INPUT_ABS_MAX */
    void (*sync)(void *opaque);                 /* end of one report */
} InputHandler;

void input_register(const InputHandler *h, void *opaque);   /* the latest gets the events */
void input_unregister(const InputHandler *h, void *opaque);
void input_activate(const InputHandler *h, void *opaque);
/* The others come before it: a device whose guest does not listen. */
void input_retire(const InputHandler *h, void *opaque);
/* Let it get the events of this screen alone (a Console's device and head), before all that are
 * not bound; those of other screens, and of none, go to the others. */
void input_bind(const InputHandler *h, void *opaque, const char *device, unsigned head);
/* The following events come from this screen; NULL: from none, but the monitor. */
struct Console;
void input_from(const struct Console *c);
/* A device that was busy takes keys again. */
void input_room(void);
/* Pointers, the one that gets the events first, each with a number of its own; for the monitor. */
void input_pointer_foreach(void (*fn)(const InputHandler *h, unsigned number, bool current, void *opaque),
                           void *opaque);
/* Activate the one with this number; false if there is none. */
bool input_pointer_activate(unsigned number);

void input_key(unsigned hid, bool down);
void input_button(unsigned button, bool down);
void input_rel(int dx, int dy);
void input_abs(int x, int y);
void input_sync(void);
bool input_is_absolute(void);
/* Press and release a chord ("ctrl-alt-delete": QEMU's key names) for hold_ms. */
bool input_send_keys(const char *const *qcodes, unsigned n, unsigned hold_ms, Error **err);
/* QEMU's QKeyCode name -> HID usage, 0 if unknown; a PC "set 1" code -> HID. */
unsigned input_hid_from_qcode(const char *name);
unsigned input_hid_from_scancode1(unsigned code /* 0xe0xx for extended */);
unsigned input_hid_from_number(int64_t number);     /* as the monitor counts: 0x80 + code for extended */
const char *input_qcode_from_hid(unsigned hid);
/* fn is called, by the main loop, when LEDs have changed, or which devices get the events. */
void input_on_change(void (*fn)(void *opaque), void *opaque);
void input_forget_change(void (*fn)(void *opaque), void *opaque);
/* LED state told by the guest (bits: scroll, num, caps), for front ends. */
void input_set_leds(unsigned leds);
unsigned input_leds(void);

#endif
