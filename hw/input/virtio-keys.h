/* SPDX-License-Identifier: MIT */
/*
 * Linux' events and codes (linux/input-event-codes.h), which virtio's input devices tell.
 */
#ifndef HW_INPUT_VIRTIO_KEYS_H
#define HW_INPUT_VIRTIO_KEYS_H

#include <stdint.h>

enum { EV_SYN = 0, EV_KEY, EV_REL, EV_ABS, EV_LED = 0x11, EV_REP = 0x14 };
enum { SYN_REPORT = 0 };
enum { REL_X = 0, REL_Y, REL_HWHEEL = 6, REL_WHEEL = 8 };
enum { ABS_X = 0, ABS_Y };
enum { LINUX_LED_NUM = 0, LINUX_LED_CAPS, LINUX_LED_SCROLL };
/* Linux calls them BTN_LEFT ..., as ui/input.h calls its own. */
enum { LINUX_BTN_LEFT = 0x110, LINUX_BTN_RIGHT, LINUX_BTN_MIDDLE, LINUX_BTN_SIDE, LINUX_BTN_EXTRA,
       LINUX_BTN_GEAR_DOWN = 0x150, LINUX_BTN_GEAR_UP };

/* The code of a key by its USB HID usage (ui/input.h); 0: it has none. */
unsigned virtio_key(unsigned hid);
/* Set the bits of all of them; codes are below 256. */
void virtio_key_bits(uint8_t *bits);

#endif
