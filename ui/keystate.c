/* SPDX-License-Identifier: MIT */
/*
 * Keys held down by a front end.
 */
#include "ui/keystate.h"

#include "ui/input.h"

bool keystate_down(const KeyState *k, unsigned hid)
{
    return hid < KEYSTATE_KEYS && k->down[hid / 64] >> hid % 64 & 1;
}

bool keystate_ctrl(const KeyState *k)
{
    return keystate_down(k, HID_CTRL) || keystate_down(k, HID_CTRL_R);
}

bool keystate_shift(const KeyState *k)
{
    return keystate_down(k, HID_SHIFT) || keystate_down(k, HID_SHIFT_R);
}

bool keystate_alt(const KeyState *k)
{
    return keystate_down(k, HID_ALT);
}

bool keystate_note(KeyState *k, unsigned hid, bool down)
{
    if (!hid || hid >= KEYSTATE_KEYS || (!down && !keystate_down(k, hid))) {
        return false;
    }
    if (down) {
        k->down[hid / 64] |= 1ull << hid % 64;
    } else {
        k->down[hid / 64] &= ~(1ull << hid % 64);
    }
    return true;
}

void keystate_send(KeyState *k, unsigned hid, bool down)
{
    if (keystate_note(k, hid, down)) {
        input_key(hid, down);
        input_sync();
    }
}

void keystate_release_all(KeyState *k)
{
    for (unsigned hid = 1; hid < KEYSTATE_KEYS; hid++) {
        keystate_send(k, hid, false);
    }
}

int keystate_console_chord(const KeyState *k, unsigned hid)
{
    /* HID usages of the digits run 1..9, 0 */
    return keystate_ctrl(k) && keystate_alt(k) && hid >= 0x1e && hid <= 0x26 ? (int)hid - 0x1e : -1;
}
