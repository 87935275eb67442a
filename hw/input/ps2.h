/* SPDX-License-Identifier: MIT */
/*
 * PS/2 keyboard and mouse: what hangs on the keyboard controller's two connectors.  [bql]
 */
#ifndef HW_INPUT_PS2_H
#define HW_INPUT_PS2_H

#include "migration/vmstate.h"

#define PS2_EVENTS  16      /* bytes of key or motion reports kept, as real keyboards do */
#define PS2_REPLIES 8

/*
 * The device's end of the cable.  Replies to commands go before reports, and a new command
 * throws away what is left of the last one's reply.
 */
typedef struct Ps2Port {
    uint8_t reply[PS2_REPLIES], event[PS2_EVENTS];
    uint8_t reply_head, reply_len, event_head, event_len;
    uint8_t last;                               /* sent last, for the command "resend" */
    void (*ready)(void *opaque);                /* there are bytes where there were none */
    void *opaque;
} Ps2Port;

static inline bool ps2_has_data(const Ps2Port *p)
{
    return p->reply_len || p->event_len;
}
/* Next byte, -1 = none. */
int ps2_take(Ps2Port *p);
/* Scan code set 2 to set 1, as the keyboard controller does it byte by byte (F0h aside). */
uint8_t ps2_translate(uint8_t code);

typedef struct Ps2Keyboard {
    Ps2Port port;
    uint8_t command;            /* waits for its parameter; 0 = none */
    uint8_t set;                /* scan code set 1..3 */
    uint8_t leds, rate;
    bool scanning;
    uint8_t no_break[32];       /* set 3: bit map of codes that send no release */
    uint8_t modifiers;          /* held down: HID modifier byte */
} Ps2Keyboard;

typedef struct Ps2Mouse {
    Ps2Port port;
    uint8_t command;
    uint8_t id;                 /* 0 PS/2, 3 IntelliMouse, 4 Explorer */
    uint8_t rate, resolution;
    uint8_t knock[2];           /* the last two rates set: the way to the other ids */
    bool remote, wrap, scaling21, reporting;
    uint8_t buttons;            /* bit 0 left, 1 right, 2 middle, 3 side, 4 extra */
    uint8_t sent_buttons;
    int32_t dx, dy, dz;         /* moved since the last report; dy up, dz down */
} Ps2Mouse;

/* Register with the input core.  ready is called when data become available. */
void ps2_keyboard_init(Ps2Keyboard *k, void (*ready)(void *opaque), void *opaque);
void ps2_keyboard_exit(Ps2Keyboard *k);
void ps2_keyboard_reset(Ps2Keyboard *k);
void ps2_keyboard_write(Ps2Keyboard *k, uint8_t val);
extern const VMState vm_ps2_keyboard;

void ps2_mouse_init(Ps2Mouse *m, void (*ready)(void *opaque), void *opaque);
void ps2_mouse_exit(Ps2Mouse *m);
void ps2_mouse_reset(Ps2Mouse *m);
void ps2_mouse_write(Ps2Mouse *m, uint8_t val);
/* The controller took bytes out of the mouse's queue: motion that waited may follow. */
void ps2_mouse_drained(Ps2Mouse *m);
/* Report a movement as short as can be. */
void ps2_mouse_nudge(Ps2Mouse *m);
extern const VMState vm_ps2_mouse;

#endif
