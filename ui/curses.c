/* SPDX-License-Identifier: MIT */
/*
 * Text modes on the terminal the program was started from, through ncurses: -display curses.
 *
 * Escape and then a digit (Alt with it, on most terminals) chooses the console; Escape and then
 * another key is that key with Alt.  Pictures in graphics modes can't be shown: their size is.
 */
#include <curses.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ui/cp437.h"
#include "ui/display.h"
#include "ui/input.h"
#include "ui/keystate.h"
#include "util/mainloop.h"
#include "util/timer.h"

#define REFRESH_MS      50
#define ESCAPE_MS       60              /* a lone Escape waits so long for what follows it */
#define MAX_CELLS       (200 * 120)

typedef struct CursesDisplay {
    bool open, escape;                  /* escape: one came, and nothing after it yet */
    Console *console;
    guint watch;
    Timer escape_timer;
    KeyState keys;
    uint16_t cells[MAX_CELLS];
} CursesDisplay;

static CursesDisplay scr;

/* ---- the picture --------------------------------------------------------------------- */

/* The VGA counts blue in bit 0 and red in bit 2, terminals the other way round. */
static short terminal_color(unsigned vga)
{
    return (vga & 2) | (vga & 1) << 2 | (vga >> 2 & 1);
}

static void put_cell(int y, int x, uint16_t cell)
{
    wchar_t text[2] = { cp437_to_unicode(cell & 0xff), 0 };
    unsigned attr = cell >> 8;
    short pair = (attr >> 4 & 7) * 8 + (attr & 7);
    attr_t a = (attr & 8 ? A_BOLD : A_NORMAL) | (attr & 0x80 ? A_BLINK : A_NORMAL);
    cchar_t c;

    setcchar(&c, text, a, has_colors() ? pair : 0, NULL);
    mvadd_wch(y, x, &c);
}

static void show_size(void)
{
    pixman_image_t *img = scr.console ? console_surface(scr.console) : NULL;
    char text[40];

    erase();
    g_snprintf(text, sizeof(text), "%d x %d Graphic mode", img ? pixman_image_get_width(img) : 0,
               img ? pixman_image_get_height(img) : 0);
    mvaddstr(MAX(LINES / 2, 0), MAX((COLS - (int)strlen(text)) / 2, 0), text);
    curs_set(0);
}

static void show_text(unsigned cols, unsigned rows, unsigned cursor)
{
    erase();
    for (unsigned y = 0; y < rows && (int)y < LINES; y++) {
        for (unsigned x = 0; x < cols && (int)x < COLS && y * cols + x < MAX_CELLS; x++) {
            put_cell(y, x, scr.cells[y * cols + x]);
        }
    }
    if (cursor != ~0u && (int)(cursor / cols) < LINES && (int)(cursor % cols) < COLS) {
        move(cursor / cols, cursor % cols);
        curs_set(1);
    } else {
        curs_set(0);
    }
}

static void redraw(void)
{
    unsigned cols, rows, cursor;

    if (scr.console && console_text(scr.console, scr.cells, MAX_CELLS, &cols, &rows, &cursor) && cols) {
        show_text(cols, rows, cursor);
    } else {
        show_size();
    }
    refresh();
}

static void display_frame(void *opaque)
{
    redraw();
}

static void show_console(Console *c);

static void display_gone(void *opaque)
{
    scr.console = NULL;
    show_console(console_by_index(0));
}

static const DisplayListener listener = {
    .name = "curses", .frame = display_frame, .gone = display_gone, .interval_ms = REFRESH_MS,
};

static void show_console(Console *c)
{
    if (scr.console) {
        console_unlisten(scr.console, &listener, &scr);
    }
    scr.console = c;
    if (c) {
        console_listen(c, &listener, &scr);
        console_refresh(c);
    }
    redraw();
}

/* ---- keys ---------------------------------------------------------------------------- */

/* Of ncurses' numbers, X keysyms; 0: none. */
static uint32_t keysym_of(int key)
{
    static const struct {
        short key;
        uint16_t keysym;
    } keys[] = {
        { KEY_UP, 0xff52 }, { KEY_DOWN, 0xff54 }, { KEY_LEFT, 0xff51 }, { KEY_RIGHT, 0xff53 },
        { KEY_HOME, 0xff50 }, { KEY_END, 0xff57 }, { KEY_PPAGE, 0xff55 }, { KEY_NPAGE, 0xff56 },
        { KEY_IC, 0xff63 }, { KEY_DC, 0xffff }, { KEY_BACKSPACE, 0xff08 }, { KEY_ENTER, 0xff0d },
        { KEY_BTAB, 0xff09 },
    };
    if (key >= KEY_F(1) && key <= KEY_F(12)) {
        return 0xffbe + key - KEY_F(1);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
        if (keys[i].key == key) {
            return keys[i].keysym;
        }
    }
    return 0;
}

/* Pressed and released, with the modifiers the keysym needs. */
static void tap(uint32_t keysym, bool ctrl, bool alt)
{
    unsigned level = 0, hid = keysym_to_key(keysym, &level);
    const unsigned mods[] = { ctrl ? HID_CTRL : 0, alt ? HID_ALT : 0, level & 1 ? HID_SHIFT : 0,
                              level & 2 ? HID_ALT_R : 0, hid };

    for (size_t i = 0; i < G_N_ELEMENTS(mods); i++) {
        keystate_send(&scr.keys, mods[i], true);
    }
    for (size_t i = G_N_ELEMENTS(mods); i-- > 0;) {
        keystate_send(&scr.keys, mods[i], false);
    }
}

static void send_key(uint32_t keysym, bool ctrl, bool alt)
{
    if (!keysym || !scr.console) {
        return;
    }
    console_wake(scr.console);
    if (console_is_terminal(scr.console)) {
        console_keysym(scr.console, keysym, ctrl, false);
    } else {
        tap(keysym, ctrl, alt);
    }
}

/* A character: control characters are keys with Ctrl, but for those that have keys. */
static void character(wint_t c, bool alt)
{
    if (alt && c >= '1' && c <= '9' && console_by_index(c - '1')) {
        show_console(console_by_index(c - '1'));
    } else if (c == '\r' || c == '\n' || c == '\t' || c == '\b' || c == 127 || c == 27) {
        send_key(c == 127 || c == '\b' ? 0xff08 : c == 27 ? 0xff1b : c == '\t' ? 0xff09 : 0xff0d,
                 false, alt);
    } else if (c < 32) {
        send_key(c ? c + (c < 27 ? 'a' - 1 : '@') : ' ', true, alt);
    } else {
        send_key(c < 0x100 ? c : c + 0x1000000, false, alt);
    }
}

static void lone_escape(void *opaque)
{
    if (scr.escape) {
        scr.escape = false;
        send_key(0xff1b, false, false);
    }
}

static void take_keys(int fd, GIOCondition cond, void *opaque)
{
    wint_t c;
    int kind;

    if (cond & (G_IO_HUP | G_IO_ERR)) {
        mainloop_unwatch(scr.watch);
        scr.watch = 0;
        ui_hooks.quit();
        return;
    }
    while ((kind = get_wch(&c)) != ERR) {
        bool alt = scr.escape;
        scr.escape = false;
        if (kind == KEY_CODE_YES) {
            if (c == KEY_RESIZE) {
                clear();
                redraw();
            } else {
                send_key(keysym_of(c), false, alt);
            }
        } else if (c == 27 && !alt) {
            scr.escape = true;
            timer_mod(&scr.escape_timer, clock_ns(ORRERY_CLOCK_REAL) + ESCAPE_MS * NS_PER_MS);
        } else {
            character(c, alt);
        }
    }
}

/* ---- life ---------------------------------------------------------------------------- */

static void curses_stop(void)
{
    if (!scr.open) {
        return;
    }
    scr.open = false;
    mainloop_unwatch(scr.watch);
    timer_del(&scr.escape_timer);
    if (scr.console) {
        console_unlisten(scr.console, &listener, &scr);
        scr.console = NULL;
    }
    endwin();
}

static void make_colors(void)
{
    start_color();
    for (short pair = 1; pair < 64 && pair < COLOR_PAIRS; pair++) {
        init_pair(pair, terminal_color(pair & 7), terminal_color(pair >> 3));
    }
}

static bool curses_start(Opts *o, Error **err)
{
    const char *charset = opts_get(o, "charset");

    if (charset && g_ascii_strcasecmp(charset, "CP437")) {
        return fail(err, "charset=%s: the guest's characters are taken as CP437", charset);
    }
    if (!opts_check_unused(o, err)) {
        return false;
    }
    SCREEN *s = newterm(NULL, stdout, stdin);
    if (!s) {
        const char *term = getenv("TERM");
        return fail(err, "ncurses does not know this terminal (TERM=%s)", term ? term : "");
    }
    scr.open = true;
    atexit(curses_stop);
    raw();
    noecho();
    nonl();
    keypad(stdscr, TRUE);
    nodelay(stdscr, TRUE);
    set_escdelay(25);
    if (has_colors()) {
        make_colors();
    }
    timer_init(&scr.escape_timer, ORRERY_CLOCK_REAL, lone_escape, NULL);
    scr.watch = mainloop_watch(STDIN_FILENO, G_IO_IN | G_IO_HUP | G_IO_ERR, take_keys, NULL);
    show_console(console_by_index(0));
    return true;
}

static bool curses_possible(void)
{
    return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
}

static const DisplayType curses_display = {
    .name = "curses", .desc = "text modes on this terminal (charset=CP437)",
    .possible = curses_possible, .start = curses_start, .stop = curses_stop,
};
DISPLAY_TYPE(curses_display);
