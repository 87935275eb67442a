/* SPDX-License-Identifier: MIT */
/*
 * The window, through SDL 2: one window that shows one console, Ctrl-Alt-1 to 9 choose which.
 *
 *   Ctrl-Alt-G  give pointer and keyboard to the guest, or take them back
 *   Ctrl-Alt-F  full screen and back      Ctrl-Alt-U  the picture's own size again
 *
 * A guest with an absolute pointing device (tablet) needs no grab: its pointer is where the
 * window's is.  Without one a click into the window grabs the pointer; that click is not the
 * guest's.  A paused guest takes nothing.
 *
 * SDL is polled: it has no descriptor to wait for on all its video drivers.
 */
#include <stdlib.h>
#include <string.h>

#include "ui/clipboard.h"
#include "ui/display.h"
#include "ui/input.h"
#include "ui/keystate.h"
#include "ui/sdl-icon.h"
#include "ui/sdl-lib.h"
#include "util/timer.h"

#define REFRESH_MS      16
#define POLL_MS         15
#define POLL_IDLE_MS    50              /* while nobody can be typing */

enum { CLOSE_ON, CLOSE_OFF, CLOSE_POWERDOWN };
enum { GRAB_LCTRL_LALT, GRAB_LSHIFT_LCTRL_LALT, GRAB_RCTRL };

typedef struct SdlDisplay {
    SDL_Window *window;
    SDL_Renderer *renderer;
    SDL_Texture *texture;
    SDL_Cursor *hidden, *guest_cursor;
    Console *console;
    pixman_image_t *surface;            /* reference held */
    int w, h;                           /* of the surface */
    SDL_Rect dirty;                     /* not yet in the texture; w == 0: nothing */
    KeyState keys;
    Timer poll;
    bool grabbed, full_screen, scaled;  /* scaled: a person chose the window's size */
    bool focused, show_cursor, said_running, said_grabbed, chord_used;
    bool closing;                       /* the power button was pressed by closing the window */
    uint8_t buttons;                    /* pressed in the guest */
    int grab_mod, window_close;
} SdlDisplay;

static SdlDisplay sdl;
static SdlLib lib;

/* ---- the picture --------------------------------------------------------------------- */

static void add_dirty(int x, int y, int w, int h)
{
    SDL_Rect r = { x, y, w, h };

    if (sdl.dirty.w) {
        lib.UnionRect(&sdl.dirty, &r, &sdl.dirty);
    } else {
        sdl.dirty = r;
    }
}

static void present(void)
{
    if (!sdl.texture) {
        return;
    }
    if (sdl.dirty.w) {
        int stride = pixman_image_get_stride(sdl.surface);
        const uint8_t *p = (const uint8_t *)pixman_image_get_data(sdl.surface);
        lib.UpdateTexture(sdl.texture, &sdl.dirty,
                          p + (ptrdiff_t)sdl.dirty.y * stride + 4 * sdl.dirty.x, stride);
        sdl.dirty.w = 0;
    }
    lib.SetRenderDrawColor(sdl.renderer, 0, 0, 0, 255);
    lib.RenderClear(sdl.renderer);
    lib.RenderCopy(sdl.renderer, sdl.texture, NULL, NULL);
    lib.RenderPresent(sdl.renderer);
}

/* The window takes the picture's size unless a person gave it another. */
static void fit_window(void)
{
    if (!sdl.full_screen && !sdl.scaled) {
        lib.SetWindowSize(sdl.window, sdl.w, sdl.h);
    }
    /* what is scaled keeps its shape; the pointer's coordinates are the picture's */
    lib.RenderSetLogicalSize(sdl.renderer, sdl.w, sdl.h);
}

static void display_switch(void *opaque, pixman_image_t *surface)
{
    if (sdl.surface) {
        pixman_image_unref(sdl.surface);
    }
    sdl.surface = pixman_image_ref(surface);
    int w = pixman_image_get_width(surface), h = pixman_image_get_height(surface);
    if (!sdl.texture || w != sdl.w || h != sdl.h) {
        if (sdl.texture) {
            lib.DestroyTexture(sdl.texture);
        }
        sdl.w = w;
        sdl.h = h;
        sdl.texture = lib.CreateTexture(sdl.renderer, SDL_PIXELFORMAT_RGB888,
                                        SDL_TEXTUREACCESS_STREAMING, w, h);
        fit_window();
    }
    sdl.dirty = (SDL_Rect) { 0, 0, w, h };
}

static void display_update(void *opaque, int x, int y, int w, int h)
{
    add_dirty(x, y, w, h);
}

static void display_frame(void *opaque)
{
    present();
}

/* ---- cursor and grab ----------------------------------------------------------------- */

static bool guest_runs(void)
{
    return ui_hooks.running();
}

static bool on_terminal(void)
{
    return sdl.console && console_is_terminal(sdl.console);
}

static void choose_cursor(void)
{
    bool own = sdl.show_cursor || on_terminal() || (!sdl.grabbed && !input_is_absolute());

    lib.SetCursor(sdl.guest_cursor && !on_terminal() ? sdl.guest_cursor
                  : own ? lib.GetDefaultCursor() : sdl.hidden);
}

static void display_cursor(void *opaque, int w, int h, int hot_x, int hot_y, const uint32_t *argb)
{
    SDL_Cursor *old = sdl.guest_cursor;

    sdl.guest_cursor = NULL;
    if (argb) {
        SDL_Surface *s = lib.CreateRGBSurfaceFrom((void *)argb, w, h, 32, 4 * w, 0xff0000, 0xff00,
                                                  0xff, 0xff000000);
        sdl.guest_cursor = s ? lib.CreateColorCursor(s, hot_x, hot_y) : NULL;
        lib.FreeSurface(s);
    }
    choose_cursor();
    if (old) {
        lib.FreeCursor(old);
    }
}

static const char *grab_keys(void)
{
    return sdl.grab_mod == GRAB_RCTRL ? "Right-Ctrl" : sdl.grab_mod == GRAB_LSHIFT_LCTRL_LALT
           ? "Left-Shift-Ctrl-Alt-G" : "Ctrl-Alt-G";
}

static void set_title(void)
{
    const char *guest = ui_hooks.guest_name();
    GString *s = g_string_new("Orrery");

    if (guest) {
        g_string_append_printf(s, " (%s)", guest);
    }
    if (on_terminal()) {
        g_string_append_printf(s, " - %s", console_device(sdl.console));
    }
    if (!guest_runs()) {
        g_string_append(s, " [Paused]");
    }
    if (sdl.closing) {
        g_string_append(s, " - Switching off (close again to pull the plug)");
    } else if (sdl.grabbed) {
        g_string_append_printf(s, " - Press %s to release the pointer", grab_keys());
    }
    lib.SetWindowTitle(sdl.window, s->str);
    g_string_free(s, TRUE);
    sdl.said_running = guest_runs();
    sdl.said_grabbed = sdl.grabbed;
}

static void set_grab(bool on)
{
    if (on == sdl.grabbed) {
        return;
    }
    sdl.grabbed = on;
    lib.SetRelativeMouseMode(on && !input_is_absolute());
    lib.SetWindowGrab(sdl.window, on);
    lib.SetWindowKeyboardGrab(sdl.window, on);
    choose_cursor();
    set_title();
}

/* A device came that makes a grab needless, or went. */
static void input_changed(void *opaque)
{
    if (sdl.grabbed) {
        lib.SetRelativeMouseMode(!input_is_absolute());
    }
    choose_cursor();
}

/* ---- consoles ------------------------------------------------------------------------ */

static void show_console(Console *c);

static void display_gone(void *opaque)
{
    sdl.console = NULL;
    show_console(console_by_index(0));
}

static const DisplayListener listener = {
    .name = "sdl", .update = display_update, .frame = display_frame,
    .switch_surface = display_switch, .cursor = display_cursor, .gone = display_gone,
    .interval_ms = REFRESH_MS,
};

static void show_console(Console *c)
{
    if (sdl.console) {
        console_unlisten(sdl.console, &listener, &sdl);
        display_cursor(NULL, 0, 0, 0, 0, NULL);
    }
    sdl.console = c;
    if (c) {
        console_listen(c, &listener, &sdl);
    } else {
        pixman_image_t *black = pixman_image_create_bits(PIXMAN_x8r8g8b8, 640, 480, NULL, 0);
        display_switch(NULL, black);
        pixman_image_unref(black);
    }
    if (on_terminal()) {
        set_grab(false);
    }
    choose_cursor();
    set_title();
    present();
}

/* ---- keyboard ------------------------------------------------------------------------ */

static bool grab_chord(void)
{
    const KeyState *k = &sdl.keys;

    switch (sdl.grab_mod) {
    case GRAB_RCTRL:
        return keystate_down(k, HID_CTRL_R);
    case GRAB_LSHIFT_LCTRL_LALT:
        return keystate_down(k, HID_CTRL) && keystate_alt(k) && keystate_down(k, HID_SHIFT);
    default:
        return keystate_down(k, HID_CTRL) && keystate_alt(k);
    }
}

static void toggle_full_screen(void)
{
    sdl.full_screen = !sdl.full_screen;
    lib.SetWindowFullscreen(sdl.window, sdl.full_screen ? SDL_WINDOW_FULLSCREEN_DESKTOP : 0);
    if (!sdl.full_screen) {
        fit_window();
    } else if (guest_runs() && !on_terminal()) {
        set_grab(true);
    }
    add_dirty(0, 0, sdl.w, sdl.h);
    present();
}

/* A key pressed together with the chord; true: it was ours. */
static bool chord_key(unsigned hid)
{
    int n = hid >= 0x1e && hid <= 0x26 ? (int)hid - 0x1e : -1;

    if (!grab_chord()) {
        return false;
    }
    if (n >= 0) {
        if (console_by_index(n)) {
            KeyState held = sdl.keys;
            keystate_release_all(&sdl.keys);
            sdl.keys = held;
            show_console(console_by_index(n));
        }
        return true;
    }
    switch (hid) {
    case SDL_SCANCODE_G:
        set_grab(!sdl.grabbed && !on_terminal() && guest_runs());
        return true;
    case SDL_SCANCODE_F:
        toggle_full_screen();
        return true;
    case SDL_SCANCODE_U:
        sdl.scaled = false;
        fit_window();
        add_dirty(0, 0, sdl.w, sdl.h);
        present();
        return true;
    default:
        return false;
    }
}

/* Keys that make no text, for terminals. */
static void terminal_key(unsigned hid)
{
    bool ctrl = keystate_ctrl(&sdl.keys), shift = keystate_shift(&sdl.keys);
    uint32_t keysym = keysym_from_hid(hid, shift);

    if (keysym >= 0xff00 ? keysym < 0xffe1 || keysym == 0xffff : ctrl && keysym) {
        console_keysym(sdl.console, keysym, ctrl, shift);
    }
}

static void key_event(const SDL_KeyboardEvent *e)
{
    unsigned hid = e->keysym.scancode;
    bool down = e->state == SDL_PRESSED;
    
    if (sdl.console) {
        console_wake(sdl.console);
    }
    if (down && !e->repeat && chord_key(hid)) {
        sdl.chord_used = true;
        return;
    }
    /* the right Ctrl alone, pressed and let go, is a whole chord */
    if (sdl.grab_mod == GRAB_RCTRL && hid == HID_CTRL_R) {
        sdl.chord_used = down ? false : sdl.chord_used;
        if (!down && !sdl.chord_used) {
            set_grab(!sdl.grabbed && !on_terminal() && guest_runs());
        }
    }
    if (on_terminal()) {
        keystate_note(&sdl.keys, hid, down);
        if (down) {
            terminal_key(hid);
        }
    } else if (guest_runs() || !down) {
        keystate_send(&sdl.keys, hid, down);
    } else {
        keystate_note(&sdl.keys, hid, down);
    }
}

static void text_event(const char *text)
{
    if (on_terminal() && !keystate_ctrl(&sdl.keys)) {
        for (const char *p = text; *p; p = g_utf8_next_char(p)) {
            gunichar c = g_utf8_get_char(p);
            console_keysym(sdl.console, c < 0x100 ? c : c + 0x1000000, false, false);
        }
    }
}

/* ---- pointer ------------------------------------------------------------------------- */

static bool pointer_is_guests(void)
{
    return guest_runs() && !on_terminal() && (sdl.grabbed || input_is_absolute());
}

static void motion_event(const SDL_MouseMotionEvent *e)
{
    if (!pointer_is_guests()) {
        return;
    }
    if (input_is_absolute()) {
        int x = CLAMP(e->x, 0, sdl.w - 1), y = CLAMP(e->y, 0, sdl.h - 1);
        input_abs((int64_t)x * INPUT_ABS_MAX / MAX(sdl.w - 1, 1),
                  (int64_t)y * INPUT_ABS_MAX / MAX(sdl.h - 1, 1));
    } else {
        input_rel(e->xrel, e->yrel);
    }
    input_sync();
}

static void press(unsigned button, bool down)
{
    input_button(button, down);
    input_sync();
}

static void button_event(const SDL_MouseButtonEvent *e)
{
    static const unsigned map[] = { [SDL_BUTTON_LEFT] = BTN_LEFT, [SDL_BUTTON_MIDDLE] = BTN_MIDDLE,
                                    [SDL_BUTTON_RIGHT] = BTN_RIGHT, [SDL_BUTTON_X1] = BTN_SIDE,
                                    [SDL_BUTTON_X2] = BTN_EXTRA };
    bool down = e->state == SDL_PRESSED;

    if (e->button >= G_N_ELEMENTS(map) || !e->button) {
        return;
    }
    if (down && !pointer_is_guests()) {
        if (e->button == SDL_BUTTON_LEFT && guest_runs() && !on_terminal()) {
            set_grab(true);             /* this click is not the guest's */
        }
        return;
    }
    if (down || sdl.buttons >> e->button & 1) {
        sdl.buttons = down ? sdl.buttons | 1 << e->button : sdl.buttons & ~(1 << e->button);
        press(map[e->button], down);
    }
}

static void wheel_event(const SDL_MouseWheelEvent *e)
{
    int steps[2] = { e->y, -e->x };
    static const unsigned buttons[2][2] = { { BTN_WHEEL_UP, BTN_WHEEL_DOWN },
                                            { BTN_WHEEL_LEFT, BTN_WHEEL_RIGHT } };
    if (on_terminal()) {
        console_keysym(sdl.console, e->y > 0 ? 0xff55 : 0xff56, false, true);
        return;
    }
    for (int axis = 0; axis < 2 && pointer_is_guests(); axis++) {
        for (int n = MIN(ABS(steps[axis]), 10); n; n--) {
            press(buttons[axis][steps[axis] < 0], true);
            press(buttons[axis][steps[axis] < 0], false);
        }
    }
}

static void release_buttons(void)
{
    static const unsigned map[] = { 0, BTN_LEFT, BTN_MIDDLE, BTN_RIGHT, BTN_SIDE, BTN_EXTRA };

    for (unsigned i = 1; i < G_N_ELEMENTS(map); i++) {
        if (sdl.buttons >> i & 1) {
            press(map[i], false);
        }
    }
    sdl.buttons = 0;
}

/* ---- clipboard ----------------------------------------------------------------------- */

static void clipboard_changed(void *opaque, const char *text, size_t len)
{
    lib.SetClipboardText(text);
}

static const ClipboardPeer clipboard_peer = { clipboard_changed };

static void clipboard_event(void)
{
    char *text = lib.GetClipboardText();

    if (text && *text) {
        clipboard_set(&clipboard_peer, NULL, text, strlen(text));
    }
    lib.free(text);
}

/* ---- the window ---------------------------------------------------------------------- */

static void close_event(void)
{
    if (sdl.window_close == CLOSE_ON) {
        ui_hooks.quit();
    } else if (sdl.window_close == CLOSE_POWERDOWN && !sdl.closing) {
        ui_hooks.powerdown();
        sdl.closing = true;             /* a guest that does not listen must not keep the window */
        set_title();
    } else if (sdl.window_close == CLOSE_POWERDOWN) {
        ui_hooks.quit();
    }
}

static void resize_event(int w, int h)
{
    sdl.scaled = !sdl.full_screen && (w != sdl.w || h != sdl.h);
    if (sdl.scaled && sdl.console && console_can_resize(sdl.console)) {
        console_resize_hint(sdl.console, w, h);
        sdl.scaled = false;             /* the guest's new picture will fit */
    }
    present();
}

static void window_event(const SDL_WindowEvent *e)
{
    switch (e->event) {
    case SDL_WINDOWEVENT_EXPOSED:
        present();
        break;
    case SDL_WINDOWEVENT_RESIZED:
        resize_event(e->data1, e->data2);
        break;
    case SDL_WINDOWEVENT_FOCUS_GAINED:
        sdl.focused = true;
        break;
    case SDL_WINDOWEVENT_FOCUS_LOST:
        sdl.focused = false;
        keystate_release_all(&sdl.keys);
        release_buttons();
        set_grab(false);
        break;
    case SDL_WINDOWEVENT_MINIMIZED:
    case SDL_WINDOWEVENT_HIDDEN:
        if (sdl.console) {
            console_set_interval(sdl.console, &listener, &sdl, 0);
        }
        break;
    case SDL_WINDOWEVENT_RESTORED:
    case SDL_WINDOWEVENT_SHOWN:
        if (sdl.console) {
            console_set_interval(sdl.console, &listener, &sdl, REFRESH_MS);
        }
        break;
    case SDL_WINDOWEVENT_CLOSE:
        close_event();
        break;
    }
}

static void poll_events(void *opaque)
{
    SDL_Event e;

    while (lib.PollEvent(&e)) {
        input_from(sdl.console);
        switch (e.type) {
        case SDL_KEYDOWN: case SDL_KEYUP: key_event(&e.key); break;
        case SDL_TEXTINPUT: text_event(e.text.text); break;
        case SDL_MOUSEMOTION: motion_event(&e.motion); break;
        case SDL_MOUSEBUTTONDOWN: case SDL_MOUSEBUTTONUP: button_event(&e.button); break;
        case SDL_MOUSEWHEEL: wheel_event(&e.wheel); break;
        case SDL_WINDOWEVENT: window_event(&e.window); break;
        case SDL_CLIPBOARDUPDATE: clipboard_event(); break;
        }
    }
    if (sdl.said_running != guest_runs()) {
        if (!guest_runs()) {
            set_grab(false);            /* a paused guest has no use for it */
        }
        set_title();
    }
    timer_mod(&sdl.poll, clock_ns(ORRERY_CLOCK_REAL)
              + (sdl.focused ? POLL_MS : POLL_IDLE_MS) * NS_PER_MS);
}

/* ---- life ---------------------------------------------------------------------------- */

static bool take_options(Opts *o, Error **err)
{
    static const char *const closes[] = { "on", "off", "powerdown", NULL };
    static const char *const mods[] = { "lctrl-lalt", "lshift-lctrl-lalt", "rctrl", NULL };
    const char *gl_text = opts_get(o, "gl");

    if (gl_text && strcmp(gl_text, "off") && strcmp(gl_text, "no")) {
        return fail(err, "gl=%s: there is no OpenGL (gl=off)", gl_text);
    }
    return opts_enum(o, "window-close", closes, CLOSE_ON, &sdl.window_close, err)
           && opts_enum(o, "grab-mod", mods, GRAB_LCTRL_LALT, &sdl.grab_mod, err)
           && opts_bool(o, "show-cursor", false, &sdl.show_cursor, err)
           && opts_bool(o, "full-screen", false, &sdl.full_screen, err);
}

static bool open_window(Error **err)
{
    if (!sdl_lib_load(&lib, err)) {
        return false;
    }
    lib.SetHint(SDL_HINT_NO_SIGNAL_HANDLERS, "1");
    lib.SetHint(SDL_HINT_VIDEO_ALLOW_SCREENSAVER, "1");
    lib.SetHint(SDL_HINT_VIDEO_X11_NET_WM_BYPASS_COMPOSITOR, "0");
    lib.SetHint(SDL_HINT_GRAB_KEYBOARD, "1");
    lib.SetHint(SDL_HINT_FRAMEBUFFER_ACCELERATION, "0");    /* no detour through OpenGL */
    lib.SetHint(SDL_HINT_RENDER_SCALE_QUALITY, "linear");
    if (lib.Init(SDL_INIT_VIDEO) < 0) {
        return fail(err, "SDL can't open a display: %s", lib.GetError());
    }
    sdl.window = lib.CreateWindow("Orrery", SDL_WINDOWPOS_UNDEFINED, SDL_WINDOWPOS_UNDEFINED, 640, 480,
                                  SDL_WINDOW_RESIZABLE
                                  | (sdl.full_screen ? SDL_WINDOW_FULLSCREEN_DESKTOP : 0));
    sdl.renderer = sdl.window ? lib.CreateRenderer(sdl.window, -1, SDL_RENDERER_SOFTWARE) : NULL;
    if (!sdl.renderer) {
        return fail(err, "SDL can't open a window: %s", lib.GetError());
    }
    return true;
}

static void make_cursor_and_icon(void)
{
    static const uint8_t nothing[8];
    static uint32_t pixels[SDL_ICON_SIZE * SDL_ICON_SIZE];
    SDL_Surface *icon;

    sdl.hidden = lib.CreateCursor(nothing, nothing, 8, 8, 0, 0);
    sdl_icon_draw(pixels);
    icon = lib.CreateRGBSurfaceFrom(pixels, SDL_ICON_SIZE, SDL_ICON_SIZE, 32, 4 * SDL_ICON_SIZE,
                                    0xff0000, 0xff00, 0xff, 0xff000000);
    lib.SetWindowIcon(sdl.window, icon);
    lib.FreeSurface(icon);
}

static void sdl_stop(void)
{
    if (!sdl.window) {
        return;
    }
    timer_del(&sdl.poll);
    if (sdl.console) {
        console_unlisten(sdl.console, &listener, &sdl);
        sdl.console = NULL;
    }
    input_forget_change(input_changed, NULL);
    clipboard_leave(&clipboard_peer, NULL);
    g_clear_pointer(&sdl.surface, pixman_image_unref);
    lib.Quit();                         /* takes window, renderer, cursors along */
    sdl.window = NULL;
}

static bool sdl_start(Opts *o, Error **err)
{
    if (!take_options(o, err) || !opts_check_unused(o, err) || !open_window(err)) {
        return false;
    }
    atexit(sdl_stop);                   /* before the libraries that SDL loaded end */
    make_cursor_and_icon();
    timer_init(&sdl.poll, ORRERY_CLOCK_REAL, poll_events, NULL);
    sdl.focused = true;
    show_console(console_by_index(0));
    input_on_change(input_changed, NULL);
    clipboard_join(&clipboard_peer, NULL);
    lib.StartTextInput();
    poll_events(NULL);
    return true;
}

static bool sdl_possible(void)
{
    static const char *const names[] = { "DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER" };

    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        const char *v = getenv(names[i]);
        if (v && *v) {
            return true;
        }
    }
    return false;
}

static const DisplayType sdl_display = {
    .name = "sdl", .desc = "window (gl=off, grab-mod=, show-cursor=, window-close=on|off|powerdown, "
    "full-screen=)", .possible = sdl_possible, .start = sdl_start, .stop = sdl_stop,
};
DISPLAY_TYPE(sdl_display);
