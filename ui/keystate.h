/* SPDX-License-Identifier: MIT */
/*
 * The keys a front end holds down, where they go, and the front end's own chords.  [bql]
 */
#ifndef UI_KEYSTATE_H
#define UI_KEYSTATE_H

#include "ui/console.h"

#define KEYSTATE_KEYS 512

typedef struct KeyState {
    uint64_t down[KEYSTATE_KEYS / 64];
} KeyState;

/* HID usages of modifiers, as SDL's scancodes are. */
enum { HID_CTRL = 0xe0, HID_SHIFT, HID_ALT, HID_META, HID_CTRL_R, HID_SHIFT_R, HID_ALT_R, HID_META_R,
       HID_CAPS_LOCK = 0x39, HID_SCROLL_LOCK = 0x47, HID_NUM_LOCK = 0x53 };

bool keystate_down(const KeyState *k, unsigned hid);
bool keystate_ctrl(const KeyState *k);
bool keystate_shift(const KeyState *k);
bool keystate_alt(const KeyState *k);           /* the left one */
/* Note a key; false: nothing changed (a release of what was not down).  Repeats are changes. */
bool keystate_note(KeyState *k, unsigned hid, bool down);
/* ... and send it to the guest. */
void keystate_send(KeyState *k, unsigned hid, bool down);
/* Release all in the guest: the front end lost the keyboard. */
void keystate_release_all(KeyState *k);
/* Ctrl-Alt-1 to 9, the digit just pressed: index of a console, else -1. */
int keystate_console_chord(const KeyState *k, unsigned hid);

/* Keysyms of clients and terminals. */
/* HID usage of the key that makes a keysym on a keyboard of layout -k (US without), 0 unknown.
 * Of several, the one that fits the modifiers held down. */
unsigned keysym_to_hid(uint32_t keysym, const KeyState *k);
/* The same for one who types no modifiers: *level tells those it needs, bit 0 Shift, bit 1 AltGr. */
unsigned keysym_to_key(uint32_t keysym, unsigned *level);
/* What a key makes on a US keyboard, for terminals; 0: nothing. */
uint32_t keysym_from_hid(unsigned hid, bool shift);
/* Load a layout for keysym_to_hid; NULL and "en-us" are the built-in one.  Fails for unknown
 * layouts, and for any in a build without libxkbcommon. */
bool keysym_load_layout(const char *name, Error **err);

#endif
