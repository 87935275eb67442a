/* SPDX-License-Identifier: MIT */
/*
 * Windows, through SDL 2: one for each screen of the guest.  The first shows text terminals, too:
 * Ctrl-Alt-1 to 9 choose.
 *
 *   Ctrl-Alt-G  give pointer and keyboard to the guest, or take them back
 *   Ctrl-Alt-F  full screen and back      Ctrl-Alt-U  the picture's own size again
 *
 * A guest with an absolute pointing device (tablet) needs no grab: its pointer is where the
 * window's is.  Without one a click into the window grabs the pointer; that click is not the
 * guest's.  A paused guest takes nothing.
 *
 * Events make the connection to the X server or compositor readable; but SDL and the libraries
 * below also read it while they draw, and keep time by being asked.  So SDL is polled, too: after
 * drawing, for a while after an event, and now and then.
 */
#include <stdlib.h>
#include <string.h>

#include "ui/clipboard.h"
#include "ui/display.h"
#include "ui/input.h"
#include "ui/keystate.h"
#include "ui/sdl-icon.h"
#include "ui/sdl-lib.h"
#include "util/mainloop.h"
#include "util/timer.h"

#define REFRESH_MS      16
#define POLL_MS         15
#define POLL_QUIET_MS   35              /* nothing came for QUIET_NS: the first event may wait a little */
#define POLL_IDLE_MS    60              /* while nobody can be typing */
#define POLL_WATCHED_MS 250             /* nothing came, and what comes wakes us */
#define QUIET_NS        (2 * NS_PER_SEC)

enum { CLOSE_ON, CLOSE_OFF, CLOSE_POWERDOWN };
enum { GRAB_LCTRL_LALT, GRAB_LSHIFT_LCTRL_LALT, GRAB_RCTRL };

#define WINDOWS_MAX     16

typedef struct SdlWindow {
    SDL_Window *window;
    SDL_Renderer *renderer;
    SDL_Texture *texture;
    SDL_Cursor *guest_cursor;
    Console *console;
    pixman_image_t *surface;            /* reference held */
    int w, h;                           /* of the surface */
    SDL_Rect dirty;                     /* not yet in the texture; w == 0: nothing */
    bool full_screen, scaled;           /* scaled: a person chose the window's size */
} SdlWindow;

typedef struct SdlDisplay {
    SdlWindow windows[WINDOWS_MAX];
    unsigned count;                     /* of windows */
    SDL_Cursor *hidden;
    KeyState keys;
    Timer poll;
    unsigned watch;                     /* on the descriptor events come from; 0: there is none */
    int64_t last_event;
    bool grabbed;                       /* by the window at hand */
    bool start_full_screen;             /* the first one */
    bool focused, show_cursor, said_running, said_grabbed, chord_used;
    bool closing;                       /* the power button was pressed by closing the window */
    uint8_t buttons;                    /* pressed in the guest */
    int grab_mod, window_close;
} SdlDisplay;

static SdlDisplay sdl;
static SdlWindow *win = sdl.windows;    /* at hand: events come from it */
static SdlLib lib;
/* SDL is at work.  Where the connection to the X server breaks Xlib calls exit() from within:
 * what runs at the exit must not ask that server again. */
static bool inside;

/* SDL did something: it may have read events, too. */
static void poll_soon(void)
{
    if (sdl.watch) {
        timer_mod(&sdl.poll, clock_ns(ORRERY_CLOCK_REAL));
    }
}

/* ---- the picture --------------------------------------------------------------------- */

static void add_dirty(SdlWindow *v, int x, int y, int w, int h)
{
    SDL_Rect r = { x, y, w, h };

    if (v->dirty.w) {
        lib.UnionRect(&v->dirty, &r, &v->dirty);
    } else {
        v->dirty = r;
    }
}

static void present(SdlWindow *v)
{
    if (!v->texture) {
        return;
    }
    if (v->dirty.w) {
        int stride = pixman_image_get_stride(v->surface);
        const uint8_t *p = (const uint8_t *)pixman_image_get_data(v->surface);
        lib.UpdateTexture(v->texture, &v->dirty,
                          p + (ptrdiff_t)v->dirty.y * stride + 4 * v->dirty.x, stride);
        v->dirty.w = 0;
    }
    bool was = inside;
    inside = true;
    lib.SetRenderDrawColor(v->renderer, 0, 0, 0, 255);
    lib.RenderClear(v->renderer);
    lib.RenderCopy(v->renderer, v->texture, NULL, NULL);
    lib.RenderPresent(v->renderer);
    inside = was;
    poll_soon();
}

/* The window takes the picture's size unless a person gave it another. */
static void fit_window(SdlWindow *v)
{
    if (!v->full_screen && !v->scaled) {
        lib.SetWindowSize(v->window, v->w, v->h);
    }
    /* what is scaled keeps its shape; the pointer's coordinates are the picture's */
    lib.RenderSetLogicalSize(v->renderer, v->w, v->h);
}

static void display_switch(void *opaque, pixman_image_t *surface)
{
    SdlWindow *v = opaque;

    if (v->surface) {
        pixman_image_unref(v->surface);
    }
    v->surface = pixman_image_ref(surface);
    int w = pixman_image_get_width(surface), h = pixman_image_get_height(surface);
    if (!v->texture || w != v->w || h != v->h) {
        if (v->texture) {
            lib.DestroyTexture(v->texture);
        }
        v->w = w;
        v->h = h;
        v->texture = lib.CreateTexture(v->renderer, SDL_PIXELFORMAT_RGB888,
                                        SDL_TEXTUREACCESS_STREAMING, w, h);
        fit_window(v);
    }
    v->dirty = (SDL_Rect) { 0, 0, w, h };
}

static void display_update(void *opaque, int x, int y, int w, int h)
{
    add_dirty(opaque, x, y, w, h);
}

static void display_frame(void *opaque)
{
    present(opaque);
}

/* ---- cursor and grab ----------------------------------------------------------------- */

static bool guest_runs(void)
{
    return ui_hooks.running();
}

static bool on_terminal(void)
{
    return win->console && console_is_terminal(win->console);
}

static void choose_cursor(void)
{
    bool own = sdl.show_cursor || on_terminal() || (!sdl.grabbed && !input_is_absolute());

    lib.SetCursor(win->guest_cursor && !on_terminal() ? win->guest_cursor
                  : own ? lib.GetDefaultCursor() : sdl.hidden);
}

static void display_cursor(void *opaque, int w, int h, int hot_x, int hot_y, const uint32_t *argb)
{
    SdlWindow *v = opaque;
    SDL_Cursor *old = v->guest_cursor;

    v->guest_cursor = NULL;
    if (argb) {
        SDL_Surface *s = lib.CreateRGBSurfaceFrom((void *)argb, w, h, 32, 4 * w, 0xff0000, 0xff00,
                                                  0xff, 0xff000000);
        v->guest_cursor = s ? lib.CreateColorCursor(s, hot_x, hot_y) : NULL;
        lib.FreeSurface(s);
    }
    choose_cursor();
    if (old) {
        lib.FreeCursor(old);
    }
    poll_soon();
}

static const char *grab_keys(void)
{
    return sdl.grab_mod == GRAB_RCTRL ? "Right-Ctrl" : sdl.grab_mod == GRAB_LSHIFT_LCTRL_LALT
           ? "Left-Shift-Ctrl-Alt-G" : "Ctrl-Alt-G";
}

static void set_title_of(SdlWindow *v)
{
    const char *guest = ui_hooks.guest_name();
    GString *s = g_string_new("Orrery");

    if (guest) {
        g_string_append_printf(s, " (%s)", guest);
    }
    if (v->console && (v != sdl.windows || console_is_terminal(v->console))) {
        g_string_append_printf(s, " - %s", console_device(v->console));
        if (console_head(v->console)) {
            g_string_append_printf(s, ", screen %u", console_head(v->console) + 1);
        }
    }
    if (!guest_runs()) {
        g_string_append(s, " [Paused]");
    }
    if (sdl.closing) {
        g_string_append(s, " - Switching off (close again to pull the plug)");
    } else if (sdl.grabbed && v == win) {
        g_string_append_printf(s, " - Press %s to release the pointer", grab_keys());
    }
    lib.SetWindowTitle(v->window, s->str);
    g_string_free(s, TRUE);
}

static void set_title(void)
{
    for (unsigned i = 0; i < sdl.count; i++) {
        set_title_of(&sdl.windows[i]);
    }
    sdl.said_running = guest_runs();
    sdl.said_grabbed = sdl.grabbed;
    poll_soon();
}

static void set_grab(bool on)
{
    if (on == sdl.grabbed) {
        return;
    }
    sdl.grabbed = on;
    lib.SetRelativeMouseMode(on && !input_is_absolute());
    lib.SetWindowGrab(win->window, on);
    lib.SetWindowKeyboardGrab(win->window, on);
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
    poll_soon();
}

/* ---- consoles ------------------------------------------------------------------------ */

static void show_console(SdlWindow *v, Console *c);

static void display_gone(void *opaque)
{
    SdlWindow *v = opaque;

    v->console = NULL;
    show_console(v, v == sdl.windows ? console_by_index(0) : NULL);
}

static const DisplayListener listener = {
    .name = "sdl", .update = display_update, .frame = display_frame,
    .switch_surface = display_switch, .cursor = display_cursor, .gone = display_gone,
    .interval_ms = REFRESH_MS,
};

static void show_console(SdlWindow *v, Console *c)
{
    if (v->console) {
        console_unlisten(v->console, &listener, v);
        display_cursor(v, 0, 0, 0, 0, NULL);
    }
    v->console = c;
    if (c) {
        console_listen(c, &listener, v);
    } else {
        pixman_image_t *black = pixman_image_create_bits(PIXMAN_x8r8g8b8, 640, 480, NULL, 0);
        display_switch(v, black);
        pixman_image_unref(black);
    }
    if (on_terminal()) {
        set_grab(false);
    }
    choose_cursor();
    set_title();
    present(v);
}

/* In the window that shows it, or else in the first. */
static void bring_up(Console *c)
{
    SdlWindow *v = sdl.windows;

    for (unsigned i = 0; i < sdl.count; i++) {
        if (sdl.windows[i].console == c) {
            v = &sdl.windows[i];
        }
    }
    if (v->console != c) {
        show_console(v, c);
    }
    if (v != win) {
        lib.RaiseWindow(v->window);
    }
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
    win->full_screen = !win->full_screen;
    lib.SetWindowFullscreen(win->window, win->full_screen ? SDL_WINDOW_FULLSCREEN_DESKTOP : 0);
    if (!win->full_screen) {
        fit_window(win);
    } else if (guest_runs() && !on_terminal()) {
        set_grab(true);
    }
    add_dirty(win, 0, 0, win->w, win->h);
    present(win);
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
            bring_up(console_by_index(n));
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
        win->scaled = false;
        fit_window(win);
        add_dirty(win, 0, 0, win->w, win->h);
        present(win);
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
        console_keysym(win->console, keysym, ctrl, shift);
    }
}

static void key_event(const SDL_KeyboardEvent *e)
{
    unsigned hid = e->keysym.scancode;
    bool down = e->state == SDL_PRESSED;
    
    if (win->console) {
        console_wake(win->console);
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
            console_keysym(win->console, c < 0x100 ? c : c + 0x1000000, false, false);
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
        int x = CLAMP(e->x, 0, win->w - 1), y = CLAMP(e->y, 0, win->h - 1);
        input_abs((int64_t)x * INPUT_ABS_MAX / MAX(win->w - 1, 1),
                  (int64_t)y * INPUT_ABS_MAX / MAX(win->h - 1, 1));
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
        console_keysym(win->console, e->y > 0 ? 0xff55 : 0xff56, false, true);
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
    poll_soon();
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
    win->scaled = !win->full_screen && (w != win->w || h != win->h);
    if (win->scaled && win->console && console_can_resize(win->console)) {
        console_resize_hint(win->console, w, h);
        win->scaled = false;             /* the guest's new picture will fit */
    }
    present(win);
}

static void window_event(const SDL_WindowEvent *e)
{
    switch (e->event) {
    case SDL_WINDOWEVENT_EXPOSED:
        present(win);
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
        if (win->console) {
            console_set_interval(win->console, &listener, win, 0);
        }
        break;
    case SDL_WINDOWEVENT_RESTORED:
    case SDL_WINDOWEVENT_SHOWN:
        if (win->console) {
            console_set_interval(win->console, &listener, win, REFRESH_MS);
        }
        break;
    case SDL_WINDOWEVENT_CLOSE:
        close_event();
        break;
    }
}

static void take_window(const SDL_Event *e)
{
    uint32_t id = e->type == SDL_KEYDOWN || e->type == SDL_KEYUP ? e->key.windowID
                  : e->type == SDL_TEXTINPUT ? e->text.windowID
                  : e->type == SDL_MOUSEMOTION ? e->motion.windowID
                  : e->type == SDL_MOUSEBUTTONDOWN || e->type == SDL_MOUSEBUTTONUP ? e->button.windowID
                  : e->type == SDL_MOUSEWHEEL ? e->wheel.windowID
                  : e->type == SDL_WINDOWEVENT ? e->window.windowID : 0;
    SDL_Window *window = id ? lib.GetWindowFromID(id) : NULL;

    for (unsigned i = 0; i < sdl.count; i++) {
        if (sdl.windows[i].window == window && win != &sdl.windows[i]) {
            win = &sdl.windows[i];
            choose_cursor();
        }
    }
}

static unsigned poll_interval(int64_t now)
{
    bool quiet = now - sdl.last_event > QUIET_NS;

    return quiet && sdl.watch ? POLL_WATCHED_MS : !sdl.focused ? POLL_IDLE_MS : quiet ? POLL_QUIET_MS : POLL_MS;
}

static void poll_events(void *opaque)
{
    SDL_Event e;
    int64_t now = clock_ns(ORRERY_CLOCK_REAL);

    inside = true;
    while (lib.PollEvent(&e)) {
        sdl.last_event = now;
        take_window(&e);
        input_from(win->console);
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
    inside = false;
    timer_mod(&sdl.poll, now + poll_interval(now) * NS_PER_MS);
    if (sdl.said_running != guest_runs()) {
        if (!guest_runs()) {
            set_grab(false);            /* a paused guest has no use for it */
        }
        set_title();
    }
}

static void events_came(int fd, GIOCondition cond, void *opaque)
{
    poll_events(NULL);
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
           && opts_bool(o, "full-screen", false, &sdl.start_full_screen, err);
}

static bool open_sdl(Error **err)
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
    return lib.Init(SDL_INIT_VIDEO) >= 0 || fail(err, "SDL can't open a display: %s", lib.GetError());
}

/* One more. */
static bool open_window(bool full_screen, Error **err)
{
    SdlWindow *v = &sdl.windows[sdl.count];

    v->full_screen = full_screen;
    v->window = lib.CreateWindow("Orrery", SDL_WINDOWPOS_UNDEFINED, SDL_WINDOWPOS_UNDEFINED, 640, 480,
                                 SDL_WINDOW_RESIZABLE | (full_screen ? SDL_WINDOW_FULLSCREEN_DESKTOP : 0));
    v->renderer = v->window ? lib.CreateRenderer(v->window, -1, SDL_RENDERER_SOFTWARE) : NULL;
    if (!v->renderer) {
        return fail(err, "SDL can't open a window: %s", lib.GetError());
    }
    sdl.count++;
    return true;
}

/* The guest's other screens. */
static bool open_more_windows(Error **err)
{
    Console *c;

    for (unsigned n = 1; n < WINDOWS_MAX && (c = console_by_index(n)) && !console_is_terminal(c); n++) {
        if (!open_window(false, err)) {
            return false;
        }
        show_console(&sdl.windows[sdl.count - 1], c);
    }
    return true;
}

static void make_cursor_and_icons(void)
{
    static const uint8_t nothing[8];
    static uint32_t pixels[SDL_ICON_SIZE * SDL_ICON_SIZE];
    SDL_Surface *icon;

    sdl.hidden = lib.CreateCursor(nothing, nothing, 8, 8, 0, 0);
    sdl_icon_draw(pixels);
    icon = lib.CreateRGBSurfaceFrom(pixels, SDL_ICON_SIZE, SDL_ICON_SIZE, 32, 4 * SDL_ICON_SIZE,
                                    0xff0000, 0xff00, 0xff, 0xff000000);
    for (unsigned i = 0; i < sdl.count; i++) {
        lib.SetWindowIcon(sdl.windows[i].window, icon);
    }
    lib.FreeSurface(icon);
}

static void sdl_stop(void)
{
    if (!sdl.count || inside) {
        return;
    }
    inside = true;
    timer_del(&sdl.poll);
    mainloop_unwatch(sdl.watch);
    sdl.watch = 0;
    for (unsigned i = 0; i < sdl.count; i++) {
        SdlWindow *v = &sdl.windows[i];
        if (v->console) {
            console_unlisten(v->console, &listener, v);
            v->console = NULL;
        }
        g_clear_pointer(&v->surface, pixman_image_unref);
    }
    input_forget_change(input_changed, NULL);
    clipboard_leave(&clipboard_peer, NULL);
    lib.Quit();                         /* takes windows, renderers, cursors along */
    sdl.count = 0;
    inside = false;
}

static bool sdl_start(Opts *o, Error **err)
{
    if (!take_options(o, err) || !opts_check_unused(o, err) || !open_sdl(err)
        || !open_window(sdl.start_full_screen, err)) {
        return false;
    }
    atexit(sdl_stop);                   /* before the libraries that SDL loaded end */
    show_console(sdl.windows, console_by_index(0));
    if (!open_more_windows(err)) {
        return false;
    }
    make_cursor_and_icons();
    choose_cursor();
    timer_init(&sdl.poll, ORRERY_CLOCK_REAL, poll_events, NULL);
    sdl.focused = true;
    input_on_change(input_changed, NULL);
    clipboard_join(&clipboard_peer, NULL);
    lib.StartTextInput();
    int fd = sdl_lib_descriptor(sdl.windows[0].window);
    sdl.watch = fd >= 0 ? mainloop_watch(fd, G_IO_IN | G_IO_HUP | G_IO_ERR, events_came, NULL) : 0;
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
