/* SPDX-License-Identifier: MIT */
/*
 * PS/2 keyboard (scan code sets 1, 2, 3) and mouse (PS/2, IntelliMouse, Explorer).
 *
 * Sources: IBM PS/2 Hardware Interface Technical Reference, "Keyboard" and "Mouse"; Microsoft's
 * "Keyboard Scan Code Specification" 1.3a; the IntelliMouse and Explorer packet formats.
 *
 * Not modelled: typematic repeat (front ends repeat keys themselves), the mouse's sample rate
 * and resolution and 2:1 scaling, which are remembered and reported but would only put the
 * guest's pointer out of step with the host's.
 */
#include "hw/input/ps2.h"
#include "hw/core/sysctl.h"
#include "ui/input.h"
#include "util/log.h"

#define PS2_ACK      0xfa
#define PS2_RESEND   0xfe
#define PS2_BAT_OK   0xaa

/* ---- the cable ------------------------------------------------------------------------- */

int ps2_take(Ps2Port *p)
{
    if (p->reply_len) {
        p->last = p->reply[p->reply_head++];
        p->reply_len--;
    } else if (p->event_len) {
        p->last = p->event[p->event_head];
        p->event_head = (p->event_head + 1) % PS2_EVENTS;
        p->event_len--;
        input_room();
    } else {
        return -1;
    }
    return p->last;
}

static void ps2_reply(Ps2Port *p, uint8_t val)
{
    if (p->reply_head + p->reply_len < PS2_REPLIES) {
        p->reply[p->reply_head + p->reply_len++] = val;
    }
    p->ready(p->opaque);
}

static void ps2_forget_reply(Ps2Port *p)
{
    p->reply_head = p->reply_len = 0;
}

static void ps2_forget_events(Ps2Port *p)
{
    p->event_head = p->event_len = 0;
    input_room();
}

/* A report goes into the queue whole or not at all. */
static bool ps2_report(Ps2Port *p, const uint8_t *bytes, unsigned len)
{
    if (p->event_len + len > PS2_EVENTS) {
        return false;
    }
    for (unsigned i = 0; i < len; i++) {
        p->event[(p->event_head + p->event_len++) % PS2_EVENTS] = bytes[i];
    }
    p->ready(p->opaque);
    return true;
}

static void ps2_port_reset(Ps2Port *p)
{
    memset(p->reply, 0, sizeof(p->reply));
    memset(p->event, 0, sizeof(p->event));
    ps2_forget_reply(p);
    ps2_forget_events(p);
    p->last = 0;
}

static bool ps2_port_check(const Ps2Port *p)
{
    return p->reply_head + p->reply_len <= PS2_REPLIES && p->event_head < PS2_EVENTS
        && p->event_len <= PS2_EVENTS;
}

/* ---- keyboard -------------------------------------------------------------------------- */

enum {
    KBD_SET_LEDS = 0xed, KBD_ECHO = 0xee, KBD_SCANCODE_SET = 0xf0, KBD_GET_ID = 0xf2,
    KBD_SET_RATE = 0xf3, KBD_ENABLE = 0xf4, KBD_DISABLE = 0xf5, KBD_DEFAULTS = 0xf6,
    KBD_ALL_TYPEMATIC = 0xf7, KBD_ALL_MAKE_BREAK = 0xf8, KBD_ALL_MAKE = 0xf9,
    KBD_ALL_TYPEMATIC_MAKE_BREAK = 0xfa, KBD_KEY_TYPEMATIC = 0xfb, KBD_KEY_MAKE_BREAK = 0xfc,
    KBD_KEY_MAKE = 0xfd, KBD_RESEND_CMD = 0xfe, KBD_RESET = 0xff,
};

#define E0 0x100            /* set 2 code with the prefix E0h */

/* By HID usage (page 7): code in set 2 and in set 3; 0 = the keyboard has no such key. */
static const struct { uint16_t set2; uint8_t set3; } keys[256] = {
    [0x04] = { 0x1c, 0x1c }, { 0x32, 0x32 }, { 0x21, 0x21 }, { 0x23, 0x23 },    /* A B C D */
    [0x08] = { 0x24, 0x24 }, { 0x2b, 0x2b }, { 0x34, 0x34 }, { 0x33, 0x33 },    /* E F G H */
    [0x0c] = { 0x43, 0x43 }, { 0x3b, 0x3b }, { 0x42, 0x42 }, { 0x4b, 0x4b },    /* I J K L */
    [0x10] = { 0x3a, 0x3a }, { 0x31, 0x31 }, { 0x44, 0x44 }, { 0x4d, 0x4d },    /* M N O P */
    [0x14] = { 0x15, 0x15 }, { 0x2d, 0x2d }, { 0x1b, 0x1b }, { 0x2c, 0x2c },    /* Q R S T */
    [0x18] = { 0x3c, 0x3c }, { 0x2a, 0x2a }, { 0x1d, 0x1d }, { 0x22, 0x22 },    /* U V W X */
    [0x1c] = { 0x35, 0x35 }, { 0x1a, 0x1a },                                    /* Y Z */
    [0x1e] = { 0x16, 0x16 }, { 0x1e, 0x1e }, { 0x26, 0x26 }, { 0x25, 0x25 },    /* 1 2 3 4 */
    [0x22] = { 0x2e, 0x2e }, { 0x36, 0x36 }, { 0x3d, 0x3d }, { 0x3e, 0x3e },    /* 5 6 7 8 */
    [0x26] = { 0x46, 0x46 }, { 0x45, 0x45 },                                    /* 9 0 */
    [0x28] = { 0x5a, 0x5a }, { 0x76, 0x08 }, { 0x66, 0x66 }, { 0x0d, 0x0d },    /* Enter Esc BS Tab */
    [0x2c] = { 0x29, 0x29 }, { 0x4e, 0x4e }, { 0x55, 0x55 }, { 0x54, 0x54 },    /* space - = [ */
    [0x30] = { 0x5b, 0x5b }, { 0x5d, 0x5c }, { 0x5d, 0x53 }, { 0x4c, 0x4c },    /* ] \ # ; */
    [0x34] = { 0x52, 0x52 }, { 0x0e, 0x0e }, { 0x41, 0x41 }, { 0x49, 0x49 },    /* ' ` , . */
    [0x38] = { 0x4a, 0x4a }, { 0x58, 0x14 },                                    /* / Caps */
    [0x3a] = { 0x05, 0x07 }, { 0x06, 0x0f }, { 0x04, 0x17 }, { 0x0c, 0x1f },    /* F1.. */
    [0x3e] = { 0x03, 0x27 }, { 0x0b, 0x2f }, { 0x83, 0x37 }, { 0x0a, 0x3f },    /* F5.. */
    [0x42] = { 0x01, 0x47 }, { 0x09, 0x4f }, { 0x78, 0x56 }, { 0x07, 0x5e },    /* F9.. */
    [0x46] = { 0, 0x57 }, { 0x7e, 0x5f }, { 0, 0x62 },                          /* Print Scroll Pause */
    [0x49] = { E0 | 0x70, 0x67 }, { E0 | 0x6c, 0x6e }, { E0 | 0x7d, 0x6f },     /* Ins Home PgUp */
    [0x4c] = { E0 | 0x71, 0x64 }, { E0 | 0x69, 0x65 }, { E0 | 0x7a, 0x6d },     /* Del End PgDn */
    [0x4f] = { E0 | 0x74, 0x6a }, { E0 | 0x6b, 0x61 },                          /* right left */
    [0x51] = { E0 | 0x72, 0x60 }, { E0 | 0x75, 0x63 },                          /* down up */
    [0x53] = { 0x77, 0x76 }, { E0 | 0x4a, 0x77 }, { 0x7c, 0x7e },               /* Num KP/ KP* */
    [0x56] = { 0x7b, 0x84 }, { 0x79, 0x7c }, { E0 | 0x5a, 0x79 },               /* KP- KP+ KPEnter */
    [0x59] = { 0x69, 0x69 }, { 0x72, 0x72 }, { 0x7a, 0x7a }, { 0x6b, 0x6b },    /* KP1 2 3 4 */
    [0x5d] = { 0x73, 0x73 }, { 0x74, 0x74 }, { 0x6c, 0x6c }, { 0x75, 0x75 },    /* KP5 6 7 8 */
    [0x61] = { 0x7d, 0x7d }, { 0x70, 0x70 }, { 0x71, 0x71 },                    /* KP9 KP0 KP. */
    [0x64] = { 0x61, 0x13 }, { E0 | 0x2f, 0x8d }, { E0 | 0x37, 0 },             /* <> App Power */
    [0x67] = { 0x0f, 0 },                                                       /* KP= */
    [0x68] = { 0x08, 0 }, { 0x10, 0 }, { 0x18, 0 }, { 0x20, 0 },                /* F13.. */
    [0x6c] = { 0x28, 0 }, { 0x30, 0 }, { 0x38, 0 }, { 0x40, 0 },                /* F17.. */
    [0x70] = { 0x48, 0 }, { 0x50, 0 }, { 0x57, 0 }, { 0x5f, 0 },                /* F21.. */
    [0x7f] = { E0 | 0x23, 0 }, { E0 | 0x32, 0 }, { E0 | 0x21, 0 },              /* mute vol+ vol- */
    [0x85] = { 0x6d, 0x7b },                                                    /* KP, */
    [0x87] = { 0x51, 0x51 }, { 0x13, 0x87 }, { 0x6a, 0x5d },                    /* Ro Kana Yen */
    [0x8a] = { 0x64, 0x86 }, { 0x67, 0x85 }, { 0x27, 0 },                       /* Henkan Muhenkan KP, */
    [0x90] = { 0xf2, 0 }, { 0xf1, 0 }, { 0x63, 0 }, { 0x62, 0 },                /* Hangul Hanja .. */
    [0xe0] = { 0x14, 0x11 }, { 0x12, 0x12 }, { 0x11, 0x19 }, { E0 | 0x1f, 0x8b }, /* left C S A G */
    [0xe4] = { E0 | 0x14, 0x58 }, { 0x59, 0x59 }, { E0 | 0x11, 0x39 }, { E0 | 0x27, 0x8c },
};

enum { HID_PRINT = 0x46, HID_PAUSE = 0x48, HID_HANGUL = 0x90, HID_HANJA = 0x91,
       HID_LEFT_CTRL = 0xe0 };
#define MOD_CTRL  0x11      /* left and right, in the HID modifier byte */
#define MOD_SHIFT 0x22
#define MOD_ALT   0x44

/* Set 2 to set 1, as the keyboard controller translates; 80h and more stays. */
static const uint8_t set1_of_set2[128] = {
    0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3e, 0x0f, 0x29, 0x59,
    0x65, 0x38, 0x2a, 0x70, 0x1d, 0x10, 0x02, 0x5a, 0x66, 0x71, 0x2c, 0x1f, 0x1e, 0x11, 0x03, 0x5b,
    0x67, 0x2e, 0x2d, 0x20, 0x12, 0x05, 0x04, 0x5c, 0x68, 0x39, 0x2f, 0x21, 0x14, 0x13, 0x06, 0x5d,
    0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5e, 0x6a, 0x72, 0x32, 0x24, 0x16, 0x08, 0x09, 0x5f,
    0x6b, 0x33, 0x25, 0x17, 0x18, 0x0b, 0x0a, 0x60, 0x6c, 0x34, 0x35, 0x26, 0x27, 0x19, 0x0c, 0x61,
    0x6d, 0x73, 0x28, 0x74, 0x1a, 0x0d, 0x62, 0x6e, 0x3a, 0x36, 0x1c, 0x1b, 0x75, 0x2b, 0x63, 0x76,
    0x55, 0x56, 0x77, 0x78, 0x79, 0x7a, 0x0e, 0x7b, 0x7c, 0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f, 0x6f,
    0x52, 0x53, 0x50, 0x4c, 0x4d, 0x48, 0x01, 0x45, 0x57, 0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46, 0x54,
};

uint8_t ps2_translate(uint8_t code)
{
    switch (code) {
    case 0x83:
        return 0x41;        /* F7 */
    case 0x84:
        return 0x54;        /* SysRq */
    default:
        return code < 0x80 ? set1_of_set2[code] : code;
    }
}

typedef struct Report {
    uint8_t byte[16];
    unsigned len;
} Report;

/* One code of set 1 or 2 with its prefix. */
static void report_code(Report *r, unsigned set, uint16_t code, bool down)
{
    if (code & E0) {
        r->byte[r->len++] = 0xe0;
    }
    if (set == 1) {
        r->byte[r->len++] = ps2_translate(code) | (down ? 0 : 0x80);
        return;
    }
    if (!down) {
        r->byte[r->len++] = 0xf0;
    }
    r->byte[r->len++] = code;
}

/* Print Screen: with Alt it is SysRq, with Shift or Ctrl it lacks its false shift. */
static void report_print(const Ps2Keyboard *k, Report *r, bool down)
{
    if (k->modifiers & MOD_ALT) {
        report_code(r, k->set, 0x84, down);
    } else if (k->modifiers & (MOD_SHIFT | MOD_CTRL)) {
        report_code(r, k->set, E0 | 0x7c, down);
    } else if (down) {
        report_code(r, k->set, E0 | 0x12, true);
        report_code(r, k->set, E0 | 0x7c, true);
    } else {
        report_code(r, k->set, E0 | 0x7c, false);
        report_code(r, k->set, E0 | 0x12, false);
    }
}

/* Pause: Ctrl+Num Lock (with E1), or Ctrl+Scroll Lock when Ctrl is held; all at the press. */
static void report_pause(const Ps2Keyboard *k, Report *r, bool down)
{
    if (!down) {
        return;
    }
    if (k->modifiers & MOD_CTRL) {
        report_code(r, k->set, E0 | 0x7e, true);
        report_code(r, k->set, E0 | 0x7e, false);
        return;
    }
    for (int half = 0; half < 2; half++) {
        r->byte[r->len++] = 0xe1;
        report_code(r, k->set, 0x14, !half);
        report_code(r, k->set, 0x77, !half);
    }
}

static void report_set3(const Ps2Keyboard *k, Report *r, unsigned hid, bool down)
{
    uint8_t code = keys[hid].set3;

    if (!code || (!down && (k->no_break[code >> 3] & 1 << (code & 7)))) {
        return;
    }
    if (!down) {
        r->byte[r->len++] = 0xf0;
    }
    r->byte[r->len++] = code;
}

static void keyboard_key(void *opaque, unsigned hid, bool down)
{
    Ps2Keyboard *k = opaque;
    Report r = { .len = 0 };

    if (hid >= G_N_ELEMENTS(keys)) {
        return;
    }
    if (hid >= HID_LEFT_CTRL && hid < HID_LEFT_CTRL + 8) {
        uint8_t bit = 1 << (hid - HID_LEFT_CTRL);
        k->modifiers = down ? k->modifiers | bit : k->modifiers & ~bit;
    }
    if (down) {
        machine_request_wakeup();
    }
    if (k->set == 3) {
        report_set3(k, &r, hid, down);
    } else if (hid == HID_PRINT) {
        report_print(k, &r, down);
    } else if (hid == HID_PAUSE) {
        report_pause(k, &r, down);
    } else if (hid == HID_HANGUL || hid == HID_HANJA) {
        if (down) {
            report_code(&r, 2, keys[hid].set2, true);   /* make only, same in both sets */
        }
    } else if (keys[hid].set2) {
        report_code(&r, k->set, keys[hid].set2, down);
    }
    if (k->scanning && r.len) {
        ps2_report(&k->port, r.byte, r.len);
    }
}

static void keyboard_all_breaks(Ps2Keyboard *k, bool on)
{
    memset(k->no_break, on ? 0 : 0xff, sizeof(k->no_break));
}

static void keyboard_set_leds(Ps2Keyboard *k, uint8_t leds)
{
    k->leds = leds & 7;
    input_set_leds(k->leds);
}

static void keyboard_defaults(Ps2Keyboard *k)
{
    k->set = 2;
    k->rate = 0x2b;         /* 10.9 characters a second after 500 ms */
    k->scanning = true;
    keyboard_all_breaks(k, true);
    ps2_forget_events(&k->port);
}

static void keyboard_scancode_set(Ps2Keyboard *k, uint8_t val)
{
    if (val > 3) {
        ps2_reply(&k->port, PS2_RESEND);
        return;
    }
    ps2_reply(&k->port, PS2_ACK);
    if (val == 0) {
        ps2_reply(&k->port, k->set);
    } else {
        k->set = val;
    }
}

/* The byte after a command that has a parameter. */
static void keyboard_parameter(Ps2Keyboard *k, uint8_t val)
{
    uint8_t command = k->command;

    k->command = 0;
    switch (command) {
    case KBD_SET_LEDS:
        keyboard_set_leds(k, val);
        ps2_reply(&k->port, PS2_ACK);
        break;
    case KBD_SET_RATE:
        k->rate = val;
        ps2_reply(&k->port, PS2_ACK);
        break;
    case KBD_SCANCODE_SET:
        keyboard_scancode_set(k, val);
        break;
    default:                /* a list of keys, ended by the next command */
        if (command == KBD_KEY_MAKE_BREAK) {
            k->no_break[val >> 3] &= ~(1 << (val & 7));
        } else {
            k->no_break[val >> 3] |= 1 << (val & 7);
        }
        k->command = command;
        ps2_reply(&k->port, PS2_ACK);
    }
}

static void keyboard_command(Ps2Keyboard *k, uint8_t val)
{
    Ps2Port *p = &k->port;

    switch (val) {
    case KBD_ECHO:
        ps2_reply(p, KBD_ECHO);
        return;
    case KBD_RESEND_CMD:
        ps2_reply(p, p->last);
        return;
    case KBD_SET_LEDS:
    case KBD_SCANCODE_SET:
    case KBD_SET_RATE:
    case KBD_KEY_TYPEMATIC:
    case KBD_KEY_MAKE_BREAK:
    case KBD_KEY_MAKE:
        k->command = val;
        break;
    case KBD_ENABLE:
        k->scanning = true;
        break;
    case KBD_DISABLE:
        keyboard_defaults(k);
        k->scanning = false;
        break;
    case KBD_DEFAULTS:
        keyboard_defaults(k);
        break;
    case KBD_ALL_TYPEMATIC:
    case KBD_ALL_MAKE:
        keyboard_all_breaks(k, false);
        break;
    case KBD_ALL_MAKE_BREAK:
    case KBD_ALL_TYPEMATIC_MAKE_BREAK:
        keyboard_all_breaks(k, true);
        break;
    case KBD_GET_ID:
    case KBD_RESET:
    case 0x00:
    case 0x05:              /* old keyboards take these; guests probe with them */
        break;
    default:
        LOG_GUEST("ps2: keyboard command %02xh does not exist\n", val);
        ps2_reply(p, PS2_RESEND);
        return;
    }
    ps2_reply(p, PS2_ACK);
    if (val == KBD_GET_ID) {
        ps2_reply(p, 0xab);
        ps2_reply(p, 0x83);
    } else if (val == KBD_RESET) {
        keyboard_defaults(k);
        keyboard_set_leds(k, 0);
        ps2_reply(p, PS2_BAT_OK);
    }
}

void ps2_keyboard_write(Ps2Keyboard *k, uint8_t val)
{
    bool list = k->command >= KBD_KEY_TYPEMATIC;

    ps2_forget_reply(&k->port);
    if (k->command && !(list && val >= KBD_SET_LEDS)) {
        keyboard_parameter(k, val);
    } else {
        k->command = 0;
        keyboard_command(k, val);
    }
}

/* A key takes up to eight bytes (Pause). */
static bool keyboard_busy(void *opaque)
{
    const Ps2Keyboard *k = opaque;

    return k->scanning && k->port.event_len > PS2_EVENTS - 8;
}

static const InputHandler keyboard_handler = {
    .name = "QEMU PS/2 Keyboard", .mask = INPUT_KEYBOARD, .key = keyboard_key, .busy = keyboard_busy,
};

void ps2_keyboard_init(Ps2Keyboard *k, void (*ready)(void *opaque), void *opaque)
{
    k->port.ready = ready;
    k->port.opaque = opaque;
    input_register(&keyboard_handler, k);
}

void ps2_keyboard_exit(Ps2Keyboard *k)
{
    input_unregister(&keyboard_handler, k);
}

/* modifiers stay: they tell which keys are down now. */
void ps2_keyboard_reset(Ps2Keyboard *k)
{
    ps2_port_reset(&k->port);
    k->command = 0;
    keyboard_defaults(k);
    keyboard_set_leds(k, 0);
}

/* ---- mouse ----------------------------------------------------------------------------- */

enum {
    MOUSE_SCALE11 = 0xe6, MOUSE_SCALE21 = 0xe7, MOUSE_RESOLUTION = 0xe8, MOUSE_STATUS = 0xe9,
    MOUSE_STREAM = 0xea, MOUSE_POLL = 0xeb, MOUSE_RESET_WRAP = 0xec, MOUSE_WRAP = 0xee,
    MOUSE_REMOTE = 0xf0, MOUSE_GET_ID = 0xf2, MOUSE_RATE = 0xf3, MOUSE_ENABLE = 0xf4,
    MOUSE_DISABLE = 0xf5, MOUSE_DEFAULTS = 0xf6, MOUSE_RESEND = 0xfe, MOUSE_RESET = 0xff,
};
enum { MOUSE_ID_PS2 = 0, MOUSE_ID_WHEEL = 3, MOUSE_ID_EXPLORER = 4 };

/* Motion the guest never fetches is bounded: a hand's breadth, not a screen of it. */
#define MOTION_MAX 4096

static int clamp(int v, int lo, int hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

/* One movement packet; takes what it tells out of the sums. */
static unsigned mouse_packet(Ps2Mouse *m, uint8_t *b)
{
    int dx = clamp(m->dx, -127, 127), dy = clamp(m->dy, -127, 127), dz = 0;

    b[0] = 0x08 | (dx < 0) << 4 | (dy < 0) << 5 | (m->buttons & 7);
    b[1] = dx;
    b[2] = dy;
    m->dx -= dx;
    m->dy -= dy;
    m->sent_buttons = m->buttons;
    switch (m->id) {
    case MOUSE_ID_WHEEL:
        dz = clamp(m->dz, -127, 127);
        b[3] = dz;
        break;
    case MOUSE_ID_EXPLORER:
        dz = clamp(m->dz, -7, 7);
        b[3] = (dz & 15) | (m->buttons & 0x18) << 1;
        break;
    default:
        m->dz = 0;          /* nobody will ask for it */
        return 3;
    }
    m->dz -= dz;
    return 4;
}

static bool mouse_has_news(const Ps2Mouse *m)
{
    return m->dx || m->dy || m->dz || m->buttons != m->sent_buttons;
}

static void mouse_send(Ps2Mouse *m)
{
    uint8_t b[4];

    while (mouse_has_news(m) && m->port.event_len + 4 <= PS2_EVENTS) {
        unsigned len = mouse_packet(m, b);
        ps2_report(&m->port, b, len);
    }
}

/* Explorer's side buttons don't exist on the simpler mice. */
static uint8_t mouse_button_mask(const Ps2Mouse *m)
{
    return m->id == MOUSE_ID_EXPLORER ? 0x1f : 0x07;
}

static void mouse_button(void *opaque, unsigned button, bool down)
{
    static const uint8_t bit[BTN_COUNT] = {
        [BTN_LEFT] = 1, [BTN_RIGHT] = 2, [BTN_MIDDLE] = 4, [BTN_SIDE] = 8, [BTN_EXTRA] = 16,
    };
    Ps2Mouse *m = opaque;

    if (button >= BTN_COUNT) {
        return;
    }
    if (button == BTN_WHEEL_UP || button == BTN_WHEEL_DOWN) {
        m->dz = clamp(m->dz + (!down ? 0 : button == BTN_WHEEL_UP ? -1 : 1), -127, 127);
        return;
    }
    m->buttons = down ? m->buttons | bit[button] : m->buttons & ~bit[button];
    m->buttons &= mouse_button_mask(m);
}

static void mouse_rel(void *opaque, int dx, int dy)
{
    Ps2Mouse *m = opaque;

    m->dx = clamp(m->dx + clamp(dx, -MOTION_MAX, MOTION_MAX), -MOTION_MAX, MOTION_MAX);
    m->dy = clamp(m->dy - clamp(dy, -MOTION_MAX, MOTION_MAX), -MOTION_MAX, MOTION_MAX);
}

static void mouse_forget_motion(Ps2Mouse *m)
{
    m->dx = m->dy = m->dz = 0;
    m->sent_buttons = m->buttons;
}

static void mouse_sync(void *opaque)
{
    Ps2Mouse *m = opaque;

    if (m->reporting && !m->remote && !m->wrap) {
        if (mouse_has_news(m)) {
            machine_request_wakeup();
        }
        mouse_send(m);
    } else if (!m->remote) {
        mouse_forget_motion(m);
    }
}

void ps2_mouse_nudge(Ps2Mouse *m)
{
    mouse_rel(m, 1, 0);
    mouse_sync(m);
}

void ps2_mouse_drained(Ps2Mouse *m)
{
    if (m->reporting && !m->remote && !m->wrap && !m->port.event_len) {
        mouse_send(m);
    }
}

static void mouse_defaults(Ps2Mouse *m)
{
    m->rate = 100;
    m->resolution = 2;
    m->remote = m->scaling21 = m->reporting = false;
    ps2_forget_events(&m->port);
    mouse_forget_motion(m);
}

/* Setting the rates 200, 100, 80 in a row makes an IntelliMouse, 200, 200, 80 an Explorer. */
static void mouse_set_rate(Ps2Mouse *m, uint8_t rate)
{
    if (rate == 80 && m->knock[0] == 200) {
        if (m->knock[1] == 100) {
            m->id = MOUSE_ID_WHEEL;
        } else if (m->knock[1] == 200) {
            m->id = MOUSE_ID_EXPLORER;
        }
    }
    m->knock[0] = m->knock[1];
    m->knock[1] = rate;
    m->rate = rate;
}

static void mouse_status(Ps2Mouse *m)
{
    uint8_t b = m->buttons;

    ps2_reply(&m->port, (b & 1) << 2 | (b & 4) >> 1 | (b & 2) >> 1 | m->scaling21 << 4
                        | m->reporting << 5 | m->remote << 6);
    ps2_reply(&m->port, m->resolution);
    ps2_reply(&m->port, m->rate);
}

static void mouse_poll(Ps2Mouse *m)
{
    uint8_t b[4];
    unsigned len = mouse_packet(m, b);

    for (unsigned i = 0; i < len; i++) {
        ps2_reply(&m->port, b[i]);
    }
}

static void mouse_parameter(Ps2Mouse *m, uint8_t val)
{
    if (m->command == MOUSE_RATE) {
        mouse_set_rate(m, val);
    } else {
        m->resolution = val & 3;
    }
    m->command = 0;
    ps2_reply(&m->port, PS2_ACK);
}

static void mouse_reset_command(Ps2Mouse *m)
{
    mouse_defaults(m);
    m->id = MOUSE_ID_PS2;
    m->knock[0] = m->knock[1] = 0;
    ps2_reply(&m->port, PS2_BAT_OK);
    ps2_reply(&m->port, m->id);
}

static bool mouse_known(uint8_t val)
{
    return (val >= MOUSE_SCALE11 && val <= MOUSE_RESET_WRAP) || val == MOUSE_WRAP
        || val == MOUSE_REMOTE || (val >= MOUSE_GET_ID && val <= MOUSE_DEFAULTS)
        || val == MOUSE_RESET;
}

static void mouse_command(Ps2Mouse *m, uint8_t val)
{
    Ps2Port *p = &m->port;

    if (val == MOUSE_RESEND) {
        ps2_reply(p, p->last);
        return;
    }
    if (!mouse_known(val)) {
        LOG_GUEST("ps2: mouse command %02xh does not exist\n", val);
        ps2_reply(p, PS2_RESEND);
        return;
    }
    ps2_reply(p, PS2_ACK);
    switch (val) {
    case MOUSE_SCALE11:
    case MOUSE_SCALE21:
        m->scaling21 = val == MOUSE_SCALE21;
        break;
    case MOUSE_RESOLUTION:
    case MOUSE_RATE:
        m->command = val;
        break;
    case MOUSE_STATUS:
        mouse_status(m);
        break;
    case MOUSE_STREAM:
    case MOUSE_REMOTE:
        m->remote = val == MOUSE_REMOTE;
        ps2_forget_events(p);
        mouse_forget_motion(m);
        break;
    case MOUSE_POLL:
        mouse_poll(m);
        break;
    case MOUSE_WRAP:
        m->wrap = true;
        break;
    case MOUSE_GET_ID:
        ps2_reply(p, m->id);
        break;
    case MOUSE_ENABLE:
        m->reporting = true;
        break;
    case MOUSE_DISABLE:
        m->reporting = false;
        ps2_forget_events(p);
        break;
    case MOUSE_DEFAULTS:
        mouse_defaults(m);
        break;
    case MOUSE_RESET:
        mouse_reset_command(m);
        break;
    }
}

void ps2_mouse_write(Ps2Mouse *m, uint8_t val)
{
    ps2_forget_reply(&m->port);
    if (m->wrap && val != MOUSE_RESET_WRAP && val != MOUSE_RESET) {
        ps2_reply(&m->port, val);
        return;
    }
    m->wrap = false;
    if (m->command) {
        mouse_parameter(m, val);
    } else {
        mouse_command(m, val);
    }
}

static const InputHandler mouse_handler = {
    .name = "QEMU PS/2 Mouse", .mask = INPUT_POINTER_REL, .button = mouse_button,
    .rel = mouse_rel, .sync = mouse_sync,
};

void ps2_mouse_init(Ps2Mouse *m, void (*ready)(void *opaque), void *opaque)
{
    m->port.ready = ready;
    m->port.opaque = opaque;
    input_register(&mouse_handler, m);
}

void ps2_mouse_exit(Ps2Mouse *m)
{
    input_unregister(&mouse_handler, m);
}

void ps2_mouse_reset(Ps2Mouse *m)
{
    ps2_port_reset(&m->port);
    m->command = 0;
    m->wrap = false;
    m->id = MOUSE_ID_PS2;
    m->knock[0] = m->knock[1] = 0;
    mouse_defaults(m);
}

/* ---- state ----------------------------------------------------------------------------- */

static bool ps2_port_post_load(void *opaque, int version, Error **err)
{
    return ps2_port_check(opaque) || fail(err, "ps2: impossible queue position");
}

static const VMField ps2_port_fields[] = {
    VM_BUFFER(Ps2Port, reply), VM_BUFFER(Ps2Port, event), VM_UINT(Ps2Port, reply_head),
    VM_UINT(Ps2Port, reply_len), VM_UINT(Ps2Port, event_head), VM_UINT(Ps2Port, event_len),
    VM_UINT(Ps2Port, last),
    VM_DONE
};
static const VMState vm_ps2_port = {
    .name = "ps2-port", .post_load = ps2_port_post_load, .fields = ps2_port_fields,
};

static bool keyboard_post_load(void *opaque, int version, Error **err)
{
    Ps2Keyboard *k = opaque;

    if (k->set < 1 || k->set > 3) {
        return fail(err, "ps2: there is no scan code set %u", k->set);
    }
    keyboard_set_leds(k, k->leds);
    return true;
}

static const VMField keyboard_fields[] = {
    VM_STRUCT(Ps2Keyboard, port, vm_ps2_port), VM_UINT(Ps2Keyboard, command),
    VM_UINT(Ps2Keyboard, set), VM_UINT(Ps2Keyboard, leds), VM_UINT(Ps2Keyboard, rate),
    VM_BOOL(Ps2Keyboard, scanning), VM_BUFFER(Ps2Keyboard, no_break),
    VM_UINT(Ps2Keyboard, modifiers),
    VM_DONE
};
const VMState vm_ps2_keyboard = {
    .name = "ps2-keyboard", .post_load = keyboard_post_load, .fields = keyboard_fields,
};

static bool mouse_post_load(void *opaque, int version, Error **err)
{
    Ps2Mouse *m = opaque;

    m->buttons &= mouse_button_mask(m);
    m->dx = clamp(m->dx, -MOTION_MAX, MOTION_MAX);
    m->dy = clamp(m->dy, -MOTION_MAX, MOTION_MAX);
    m->dz = clamp(m->dz, -127, 127);
    return true;
}

static const VMField mouse_fields[] = {
    VM_STRUCT(Ps2Mouse, port, vm_ps2_port), VM_UINT(Ps2Mouse, command), VM_UINT(Ps2Mouse, id),
    VM_UINT(Ps2Mouse, rate), VM_UINT(Ps2Mouse, resolution), VM_UINTS(Ps2Mouse, knock),
    VM_BOOL(Ps2Mouse, remote), VM_BOOL(Ps2Mouse, wrap), VM_BOOL(Ps2Mouse, scaling21),
    VM_BOOL(Ps2Mouse, reporting), VM_UINT(Ps2Mouse, buttons), VM_UINT(Ps2Mouse, sent_buttons),
    VM_UINT(Ps2Mouse, dx), VM_UINT(Ps2Mouse, dy), VM_UINT(Ps2Mouse, dz),
    VM_DONE
};
const VMState vm_ps2_mouse = {
    .name = "ps2-mouse", .post_load = mouse_post_load, .fields = mouse_fields,
};
