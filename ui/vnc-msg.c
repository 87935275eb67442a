/* SPDX-License-Identifier: MIT */
/*
 * VNC: the client's messages (RFC 6143, 7.5), and what they do to keyboard and pointer.
 */
#include "ui/vnc-int.h"

#include <string.h>

#include "ui/display.h"
#include "ui/input.h"

enum { /* message types */
    SET_PIXEL_FORMAT = 0, SET_ENCODINGS = 2, UPDATE_REQUEST = 3, KEY_EVENT = 4, POINTER_EVENT = 5,
    CUT_TEXT = 6, XVP = 250, SET_DESKTOP_SIZE = 251, QEMU_MESSAGE = 255,
};
enum { QEMU_EXT_KEY = 0, QEMU_AUDIO = 1 };
enum { XVP_INIT = 1, XVP_SHUTDOWN, XVP_REBOOT, XVP_RESET };

#define KEYS_WAITING_MAX 1024

typedef struct VncKey {
    unsigned hid;
    bool down;
} VncKey;

static VncHandler take_message;

static unsigned be16(const uint8_t *p)
{
    return p[0] << 8 | p[1];
}

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)be16(p) << 16 | be16(p + 2);
}

/* ---- keys ---------------------------------------------------------------------------- */

/* key-delay-ms apart, so that a guest that polls slowly sees each. */
void vnc_key_timer(void *opaque)
{
    VncServer *s = opaque;
    VncKey *k = g_queue_pop_head(&s->key_queue);

    if (k) {
        input_key(k->hid, k->down);
        input_sync();
        g_free(k);
    }
    if (s->key_queue.length) {
        timer_mod(&s->key_timer, clock_ns(ORRERY_CLOCK_REAL) + s->key_delay_ms * NS_PER_MS);
    }
}

static void send_key(VncServer *s, unsigned hid, bool down)
{
    if (!keystate_note(&s->keys, hid, down)) {
        return;
    }
    if (s->key_queue.length >= KEYS_WAITING_MAX && down) {
        return;
    }
    VncKey k = { hid, down };
    g_queue_push_tail(&s->key_queue, g_memdup2(&k, sizeof(k)));
    if (!timer_pending(&s->key_timer)) {
        vnc_key_timer(s);
        /* the next one waits even if this was the last */
        timer_mod(&s->key_timer, clock_ns(ORRERY_CLOCK_REAL) + s->key_delay_ms * NS_PER_MS);
    }
}

void vnc_release_keys(VncServer *s)
{
    for (unsigned hid = 1; hid < KEYSTATE_KEYS; hid++) {
        if (keystate_down(&s->keys, hid)) {
            send_key(s, hid, false);
        }
    }
}

static void tap(VncServer *s, unsigned hid)
{
    send_key(s, hid, true);
    send_key(s, hid, false);
}

/*
 * A client that sends keysyms has applied its own locks: when a letter's case or a digit of the
 * key pad contradicts the guest's lock, the guest's is switched.  What the guest's is, its LEDs
 * say; a guest that has none still toggles by the key.
 */
static void sync_locks(VncServer *s, uint32_t keysym)
{
    enum { LED_NUM = 2, LED_CAPS = 4 };
    unsigned leds = input_leds();

    if (leds != s->leds_seen) {
        s->locks = s->leds_seen = leds;
    }
    bool lower = keysym >= 'a' && keysym <= 'z', upper = keysym >= 'A' && keysym <= 'Z';
    if ((lower || upper) && !!(s->locks & LED_CAPS) != (upper != keystate_shift(&s->keys))) {
        s->locks ^= LED_CAPS;
        tap(s, HID_CAPS_LOCK);
    }
    bool digit = keysym >= 0xffb0 && keysym <= 0xffb9, arrow = keysym >= 0xff95 && keysym <= 0xff9f;
    if ((digit || arrow) && !!(s->locks & LED_NUM) != digit && !keystate_shift(&s->keys)) {
        s->locks ^= LED_NUM;
        tap(s, HID_NUM_LOCK);
    }
}

/* Keys the guest holds are let go where it loses the keyboard; the person still holds them. */
static void switch_console(VncServer *s, unsigned n)
{
    Console *con = console_by_index(n);

    if (con && con != s->console) {
        KeyState held = s->keys;
        vnc_release_keys(s);
        s->keys = held;
        vnc_show_console(s, con);
    }
}

static void key(VncClient *c, unsigned hid, uint32_t keysym, bool down, bool by_code)
{
    VncServer *s = c->server;

    input_from(s->console);
    if (s->console) {
        console_wake(s->console);
    }
    int chord = down && !s->fixed_console ? keystate_console_chord(&s->keys, hid) : -1;
    if (chord >= 0) {
        switch_console(s, chord);
    } else if (s->console && console_is_terminal(s->console)) {
        keystate_note(&s->keys, hid, down);
        bool shift = keystate_shift(&s->keys);
        if (down) {
            console_keysym(s->console, keysym ? keysym : keysym_from_hid(hid, shift),
                           keystate_ctrl(&s->keys), shift);
        }
    } else {
        if (down && !by_code && s->lock_key_sync) {
            sync_locks(s, keysym);
        }
        send_key(s, hid, down);
    }
}

static void keysym_event(VncClient *c, uint32_t keysym, bool down)
{
    key(c, keysym_to_hid(keysym, &c->server->keys), keysym, down, false);
}

/* An XT code, bit 7 for the prefix E0h. */
static void code_event(VncClient *c, uint32_t keysym, uint32_t code, bool down)
{
    unsigned hid = code > 0xff ? 0 : input_hid_from_scancode1(code & 0x80 ? 0xe000 | (code & 0x7f) : code);

    if (hid) {
        key(c, hid, keysym, down, true);
    } else {
        keysym_event(c, keysym, down);
    }
}

/* ---- pointer ------------------------------------------------------------------------- */

static void move_pointer(VncClient *c, int x, int y)
{
    if (input_is_absolute()) {
        input_abs(c->w > 1 ? (int64_t)x * INPUT_ABS_MAX / (c->w - 1) : 0,
                  c->h > 1 ? (int64_t)y * INPUT_ABS_MAX / (c->h - 1) : 0);
    } else if (c->features & HAS_POINTER_TYPE) {
        input_rel(x - 0x7fff, y - 0x7fff);
    } else if (c->last_x >= 0) {
        input_rel(x - c->last_x, y - c->last_y);
    }
    c->last_x = x;
    c->last_y = y;
}

static void pointer(VncClient *c, uint8_t buttons, int x, int y)
{
    static const unsigned map[8] = { BTN_LEFT, BTN_MIDDLE, BTN_RIGHT, BTN_WHEEL_UP, BTN_WHEEL_DOWN,
                                     BTN_WHEEL_LEFT, BTN_WHEEL_RIGHT, BTN_SIDE };
    VncServer *s = c->server;

    input_from(s->console);
    if (s->console) {
        console_wake(s->console);
    }
    if (s->console && console_is_terminal(s->console)) {
        uint8_t pressed = buttons & ~c->buttons;
        if (pressed & 0x18) {           /* the wheel looks back at what scrolled away */
            console_keysym(s->console, pressed & 8 ? 0xff55 : 0xff56, false, true);
        }
        c->buttons = buttons;
        return;
    }
    move_pointer(c, x, y);
    for (int i = 0; i < 8; i++) {
        if ((buttons ^ c->buttons) >> i & 1) {
            input_button(map[i], buttons >> i & 1);
        }
    }
    c->buttons = buttons;
    input_sync();
}

/* ---- formats and encodings ----------------------------------------------------------- */

static void take_pixel_format(VncClient *c, const uint8_t *p)
{
    PixelFormat pf = {
        .bpp = p[0], .depth = p[1], .big_endian = p[2], .true_color = p[3],
        .max = { be16(p + 4), be16(p + 6), be16(p + 8) }, .shift = { p[10], p[11], p[12] },
    };

    if (!vnc_check_format(&pf)) {
        vnc_client_close(c);
        return;
    }
    vnc_set_format(c, &pf);
    vnc_mark(c, 0, 0, c->server->w, c->server->h);
    c->send_cursor = true;
}

static unsigned feature_of(int32_t encoding)
{
    switch (encoding) {
    case ENC_COPYRECT: return HAS_COPYRECT;
    case ENC_DESKTOP_SIZE: return HAS_DESKTOP_SIZE;
    case ENC_EXT_DESKTOP_SIZE: return HAS_EXT_DESKTOP_SIZE;
    case ENC_CURSOR: return HAS_CURSOR;
    case ENC_ALPHA_CURSOR: return HAS_ALPHA_CURSOR;
    case ENC_POINTER_TYPE: return HAS_POINTER_TYPE;
    case ENC_EXT_KEY: return HAS_EXT_KEY;
    case ENC_LED_STATE: return HAS_LED_STATE;
    case ENC_WMVI: return HAS_WMVI;
    case ENC_XVP: return HAS_XVP;
    case ENC_EXT_CLIPBOARD: return HAS_CLIPBOARD;
    case ENC_AUDIO: return HAS_AUDIO;
    default: return 0;
    }
}

static void take_encodings(VncClient *c, const uint8_t *p, unsigned n)
{
    bool chosen = false;
    unsigned old = c->features;

    c->features = 0;
    c->encoding = ENC_RAW;
    c->quality = c->compress = -1;
    for (unsigned i = 0; i < n; i++) {
        int32_t e = be32(p + 4 * i);
        c->features |= feature_of(e);
        switch (e) {
        case ENC_RAW: case ENC_RRE: case ENC_HEXTILE: case ENC_ZLIB: case ENC_TIGHT: case ENC_ZRLE:
            if (!chosen) {              /* the first is the one it likes best */
                c->encoding = e;
                chosen = true;
            }
            break;
        case ENC_JPEG_QUALITY_0 ... ENC_JPEG_QUALITY_0 + 9:
            c->quality = e - ENC_JPEG_QUALITY_0;
            break;
        case ENC_COMPRESS_0 ... ENC_COMPRESS_0 + 9:
            c->compress = e - ENC_COMPRESS_0;
            break;
        }
    }
    unsigned fresh = c->features & ~old;
    c->send_ext_key |= fresh & HAS_EXT_KEY;
    c->send_pointer_type |= fresh & HAS_POINTER_TYPE;
    c->send_leds |= fresh & HAS_LED_STATE;
    c->send_audio_ack |= (fresh & HAS_AUDIO) && c->server->audio;
    c->send_cursor |= fresh & (HAS_CURSOR | HAS_ALPHA_CURSOR);
    if (fresh & HAS_EXT_DESKTOP_SIZE) {
        c->send_size = true;            /* tells the client that it may ask for sizes */
    }
    if (c->features & (HAS_DESKTOP_SIZE | HAS_EXT_DESKTOP_SIZE)
        && (c->w != c->server->w || c->h != c->server->h)) {
        c->send_size = true;
    }
    if ((fresh & HAS_XVP) && c->server->power_control) {
        static const uint8_t init[4] = { XVP, 0, 1, XVP_INIT };
        vnc_send_message(c, init, sizeof(init));
    }
    if (fresh & HAS_CLIPBOARD) {
        vnc_clipboard_announce(c);
    }
}

/* ---- the rest ------------------------------------------------------------------------ */

static void take_update_request(VncClient *c, const uint8_t *p)
{
    VncServer *s = c->server;
    unsigned x = be16(p + 1), y = be16(p + 3), w = be16(p + 5), h = be16(p + 7);

    c->wanted = (pixman_box16_t) { MIN(x, 32767u), MIN(y, 32767u), MIN(x + w, 32767u), MIN(y + h, 32767u) };
    if (!p[0]) {
        vnc_mark(c, x, y, w, h);
        c->full_wanted = true;
    }
    c->update_wanted = true;
    vnc_adjust_pace(s);
}

static void take_xvp(VncClient *c, unsigned version, unsigned code)
{
    static const uint8_t failed[4] = { XVP, 0, 1, 0 };

    if (!c->server->power_control || version != 1) {
        vnc_send_message(c, failed, sizeof(failed));
    } else if (code == XVP_SHUTDOWN) {
        ui_hooks.powerdown();
    } else if (code == XVP_REBOOT || code == XVP_RESET) {
        ui_hooks.reset();
    } else {
        vnc_send_message(c, failed, sizeof(failed));
    }
}

static void take_desktop_size(VncClient *c, unsigned w, unsigned h)
{
    enum { PROHIBITED = 1, FORWARDED = 4 };
    bool can = c->server->console && console_can_resize(c->server->console);

    if (can && w && h) {
        console_resize_hint(c->server->console, w, h);
    }
    c->size_reason = 1;                 /* this client asked */
    c->size_status = can ? FORWARDED : PROHIBITED;
    c->send_size = true;
}

static size_t take_qemu_message(VncClient *c, const uint8_t *p, size_t len)
{
    if (len < 2) {
        return 2;
    }
    if (p[1] == QEMU_AUDIO) {
        return len < 4 ? 4 : vnc_audio_message(c, p, len);
    }
    if (p[1] != QEMU_EXT_KEY) {
        vnc_client_close(c);
        return 0;
    }
    if (len < 12) {
        return 12;
    }
    code_event(c, be32(p + 4), be32(p + 8), be16(p + 2));
    return 0;
}

static size_t take_text(VncClient *c, const uint8_t *p, size_t len)
{
    size_t n = c->want;

    c->skip -= n;
    if (c->skip) {
        vnc_expect(c, take_text, MIN(c->skip, (uint32_t)IN_CHUNK));
    } else {
        vnc_expect(c, take_message, 1);
    }
    vnc_clipboard_bytes(c, p, n, !c->skip);
    return 0;
}

/* A negative length is the extended clipboard's. */
static size_t take_cut_text(VncClient *c, const uint8_t *p)
{
    int32_t len = be32(p + 4);
    uint32_t n = len < 0 ? -(uint32_t)len : (uint32_t)len;

    c->skip = n;
    if (n > CUT_TEXT_MAX || (len < 0 && !(c->features & HAS_CLIPBOARD))) {
        vnc_client_close(c);
        return 0;
    }
    vnc_clipboard_begin(c, len < 0, n);
    if (n) {
        vnc_expect(c, take_text, MIN(n, (uint32_t)IN_CHUNK));
    } else {
        vnc_clipboard_bytes(c, p, 0, true);
    }
    return 0;
}

static size_t take_size_message(VncClient *c, const uint8_t *p, size_t len)
{
    if (len < 8) {
        return 8;
    }
    size_t n = 8 + 16u * p[6];
    if (len < n) {
        return n;
    }
    take_desktop_size(c, be16(p + 2), be16(p + 4));
    return 0;
}

/* Like VncHandler, but len is what was asked for. */
static size_t take_by_type(VncClient *c, const uint8_t *p, size_t len)
{
    static const uint8_t lengths[] = {
        [SET_PIXEL_FORMAT] = 20, [SET_ENCODINGS] = 4, [UPDATE_REQUEST] = 10, [KEY_EVENT] = 8,
        [POINTER_EVENT] = 6, [CUT_TEXT] = 8,
    };
    if (p[0] < sizeof(lengths) && len < lengths[p[0]]) {
        return lengths[p[0]];
    }
    switch (p[0]) {
    case SET_PIXEL_FORMAT:
        take_pixel_format(c, p + 4);
        return 0;
    case SET_ENCODINGS:
        if (len < 4 + 4 * be16(p + 2)) {
            return 4 + 4 * be16(p + 2);
        }
        take_encodings(c, p + 4, be16(p + 2));
        return 0;
    case UPDATE_REQUEST:
        take_update_request(c, p + 1);
        return 0;
    case KEY_EVENT:
        keysym_event(c, be32(p + 4), p[1]);
        return 0;
    case POINTER_EVENT:
        pointer(c, p[1], be16(p + 2), be16(p + 4));
        return 0;
    case CUT_TEXT:
        return take_cut_text(c, p);
    case XVP:
        if (len < 4) {
            return 4;
        }
        take_xvp(c, p[2], p[3]);
        return 0;
    case SET_DESKTOP_SIZE:
        return take_size_message(c, p, len);
    case QEMU_MESSAGE:
        return take_qemu_message(c, p, len);
    default:
        vnc_client_close(c);
        return 0;
    }
}

static size_t take_message(VncClient *c, const uint8_t *p, size_t len)
{
    size_t more = take_by_type(c, p, c->want);

    if (!more && c->handler == take_message) {
        c->want = 1;                    /* of the next one */
    }
    return more;
}

/* ---- ServerInit ---------------------------------------------------------------------- */

void vnc_start_protocol(VncClient *c)
{
    VncServer *s = c->server;
    const char *guest = ui_hooks.guest_name ? ui_hooks.guest_name() : NULL;
    g_autofree char *name = guest ? g_strdup_printf("Orrery (%s)", guest) : g_strdup("Orrery");
    const PixelFormat *f = &c->pf;
    static const uint8_t padding[3];

    if (c->closing) {
        return;
    }
    if (s->console) {
        console_refresh(s->console);    /* nobody may have looked for long */
    }
    vnc_client_resized(c);
    vnc_send_u16(c, c->w);
    vnc_send_u16(c, c->h);
    vnc_send_u8(c, f->bpp);
    vnc_send_u8(c, f->depth);
    vnc_send_u8(c, f->big_endian);
    vnc_send_u8(c, f->true_color);
    for (int i = 0; i < 3; i++) {
        vnc_send_u16(c, f->max[i]);
    }
    vnc_send(c, f->shift, 3);
    vnc_send(c, padding, 3);
    vnc_send_u32(c, strlen(name));
    vnc_send(c, name, strlen(name));
    c->initialized = true;
    vnc_client_event(c, "VNC_INITIALIZED");
    vnc_expect(c, take_message, 1);
    vnc_adjust_pace(s);
}
