/* SPDX-License-Identifier: MIT */
/*
 * Consoles: what joins a display device to the front ends that show it.
 *
 * A device draws only when asked: by the refresh timer, which runs while some listener wants
 * it, or by somebody who needs one picture.  The timer slows down while nothing changes.
 */
#include "ui/console.h"

#include <string.h>

#include "util/timer.h"

#define QUIET_MAX_MS    250             /* the longest interval of a picture that stands still */
#define QUIET_AFTER     8               /* refreshes without a change before it slows down */
#define CURSOR_MAX      256
#define SURFACE_MAX     16384

typedef struct Listener {
    const DisplayListener *l;
    void *opaque;
    unsigned interval_ms;
} Listener;

typedef struct Cursor {
    int w, h, hot_x, hot_y;
    uint32_t *argb;                     /* w * h, NULL = none defined */
    int x, y;
    bool visible;
} Cursor;

struct Console {
    char *device;
    unsigned head;
    const ConsoleOps *ops;
    void *opaque;
    pixman_image_t *surface;            /* never NULL */
    GArray *listeners;                  /* of Listener */
    Timer timer;
    bool refreshing, changed;           /* changed: console_update was called since `frame` */
    bool still;                         /* told by console_blinks: nothing but blinking changed */
    int64_t next_blink;                 /* real time; INT64_MAX: nothing blinks */
    int64_t last;                       /* real time of the last refresh */
    unsigned quiet;                     /* refreshes without a change, one after the other */
    Cursor cursor;
};

static GPtrArray *consoles;             /* of Console*: graphic ones, then terminals */

/* ---- life ---------------------------------------------------------------------------- */

static void refresh_tick(void *opaque);

static pixman_image_t *blank_surface(unsigned w, unsigned h)
{
    /* pixman clears what it allocates */
    return pixman_image_create_bits(PIXMAN_x8r8g8b8, MAX(w, 1u), MAX(h, 1u), NULL, 0);
}

Console *console_new(const char *device, unsigned head, const ConsoleOps *ops, void *opaque)
{
    Console *c = g_new0(Console, 1);

    if (!consoles) {
        consoles = g_ptr_array_new();
    }
    c->device = g_strdup(device);
    c->head = head;
    c->ops = ops;
    c->opaque = opaque;
    c->surface = blank_surface(640, 480);
    c->next_blink = INT64_MAX;
    c->listeners = g_array_new(FALSE, FALSE, sizeof(Listener));
    timer_init(&c->timer, ORRERY_CLOCK_REAL, refresh_tick, c);
    guint at = consoles->len;
    while (at > 0 && !ops->keysym && console_is_terminal(consoles->pdata[at - 1])) {
        at--;
    }
    g_ptr_array_insert(consoles, at, c);
    return c;
}

void console_free(Console *c)
{
    g_ptr_array_remove(consoles, c);
    while (c->listeners->len) {
        Listener l = g_array_index(c->listeners, Listener, c->listeners->len - 1);
        g_array_set_size(c->listeners, c->listeners->len - 1);
        if (l.l->gone) {
            l.l->gone(l.opaque);
        }
    }
    timer_del(&c->timer);
    g_array_unref(c->listeners);
    pixman_image_unref(c->surface);
    g_free(c->cursor.argb);
    g_free(c->device);
    g_free(c);
}

Console *console_by_index(unsigned n)
{
    return consoles && n < consoles->len ? g_ptr_array_index(consoles, n) : NULL;
}

Console *console_find(const char *device, unsigned head)
{
    for (guint i = 0; consoles && i < consoles->len; i++) {
        Console *c = g_ptr_array_index(consoles, i);
        if (!strcmp(c->device, device) && c->head == head) {
            return c;
        }
    }
    return NULL;
}

unsigned console_index(const Console *c)
{
    guint at = 0;
    g_ptr_array_find(consoles, c, &at);
    return at;
}

const char *console_device(const Console *c)
{
    return c->device;
}

unsigned console_head(const Console *c)
{
    return c->head;
}

bool console_is_terminal(const Console *c)
{
    return c->ops->keysym != NULL;
}

bool console_can_resize(const Console *c)
{
    return c->ops->resize_hint != NULL;
}

/* ---- the device's side --------------------------------------------------------------- */

#define TELL(c, op, ...)                                                            \
    for (guint i_ = 0; i_ < (c)->listeners->len; i_++) {                            \
        const Listener *l_ = &g_array_index((c)->listeners, Listener, i_);          \
        if (l_->l->op) {                                                            \
            l_->l->op(l_->opaque, __VA_ARGS__);                                     \
        }                                                                           \
    }

pixman_image_t *console_surface(Console *c)
{
    return c->surface;
}

/* The listeners let go of the old surface while it is still there. */
static void replace_surface(Console *c, pixman_image_t *surface)
{
    pixman_image_t *old = c->surface;

    c->surface = surface;
    TELL(c, switch_surface, surface);
    pixman_image_unref(old);
}

void console_resize(Console *c, unsigned w, unsigned h)
{
    replace_surface(c, blank_surface(w, h));
}

void console_set_surface(Console *c, pixman_image_t *img)
{
    if (img != c->surface) {
        replace_surface(c, pixman_image_ref(img));
    }
}

void console_update(Console *c, int x, int y, int w, int h)
{
    int width = pixman_image_get_width(c->surface), height = pixman_image_get_height(c->surface);

    x = CLAMP(x, 0, width);
    y = CLAMP(y, 0, height);
    w = MIN(w, width - x);
    h = MIN(h, height - y);
    if (w > 0 && h > 0) {
        c->changed = true;
        TELL(c, update, x, y, w, h);
    }
}

void console_blinks(Console *c, bool alone, int64_t next)
{
    c->still = alone;
    c->next_blink = next;
}

void console_set_cursor(Console *c, int w, int h, int hot_x, int hot_y, const uint32_t *argb)
{
    if (w <= 0 || h <= 0 || w > CURSOR_MAX || h > CURSOR_MAX) {
        argb = NULL;
    }
    g_free(c->cursor.argb);
    c->cursor.w = w;
    c->cursor.h = h;
    c->cursor.hot_x = hot_x;
    c->cursor.hot_y = hot_y;
    c->cursor.argb = argb ? g_memdup2(argb, (gsize)w * h * 4) : NULL;
    TELL(c, cursor, w, h, hot_x, hot_y, argb);
}

void console_move_cursor(Console *c, int x, int y, bool visible)
{
    c->cursor.x = x;
    c->cursor.y = y;
    c->cursor.visible = visible;
    TELL(c, mouse, x, y, visible);
}

/* ---- the front ends' side ------------------------------------------------------------ */

/* An update told outside a refresh is a frame of its own at the next tick.  A listener that asks
 * for a refresh while it hears of a frame has it already. */
void console_refresh(Console *c)
{
    if (c->refreshing) {
        return;
    }
    c->refreshing = true;
    c->still = false;
    c->next_blink = INT64_MAX;
    c->last = clock_ns(ORRERY_CLOCK_REAL);
    c->ops->refresh(c->opaque);
    c->quiet = c->changed && !c->still ? 0 : c->quiet + 1;
    for (guint i = 0; c->changed && i < c->listeners->len; i++) {
        const Listener *l = &g_array_index(c->listeners, Listener, i);
        if (l->l->frame) {
            l->l->frame(l->opaque);
        }
    }
    c->changed = c->refreshing = false;
}

/* The most impatient listener sets the pace; 0 = nobody wants to be kept up to date. */
static unsigned interval(const Console *c)
{
    unsigned best = 0;

    for (guint i = 0; i < c->listeners->len; i++) {
        unsigned ms = g_array_index(c->listeners, Listener, i).interval_ms;
        if (ms && (!best || ms < best)) {
            best = ms;
        }
    }
    if (best && c->quiet > QUIET_AFTER) {
        best = MAX(best, MIN(best * (c->quiet - QUIET_AFTER), QUIET_MAX_MS));
    }
    return best;
}

/* What blinks does so in time, even if nobody would look yet. */
static void rearm(Console *c)
{
    unsigned ms = interval(c);

    if (ms) {
        timer_mod(&c->timer, MIN(c->last + ms * NS_PER_MS, c->next_blink));     /* in the past: at once */
    } else {
        timer_del(&c->timer);
    }
}

static void refresh_tick(void *opaque)
{
    Console *c = opaque;

    console_refresh(c);
    rearm(c);
}

void console_wake(Console *c)
{
    if (c->quiet > QUIET_AFTER) {
        c->quiet = 0;
        rearm(c);
    }
}

static Listener *find_listener(Console *c, const DisplayListener *l, void *opaque)
{
    for (guint i = 0; i < c->listeners->len; i++) {
        Listener *e = &g_array_index(c->listeners, Listener, i);
        if (e->l == l && e->opaque == opaque) {
            return e;
        }
    }
    return NULL;
}

void console_set_interval(Console *c, const DisplayListener *l, void *opaque, unsigned ms)
{
    Listener *e = find_listener(c, l, opaque);

    if (e && e->interval_ms != ms) {
        e->interval_ms = ms;
        rearm(c);
    }
}

void console_listen(Console *c, const DisplayListener *l, void *opaque)
{
    Listener entry = { l, opaque, l->interval_ms };
    const Cursor *cur = &c->cursor;

    g_array_append_val(c->listeners, entry);
    if (c->ops->shown) {
        c->ops->shown(c->opaque);
    }
    if (l->switch_surface) {
        l->switch_surface(opaque, c->surface);
    }
    if (l->cursor && cur->argb) {
        l->cursor(opaque, cur->w, cur->h, cur->hot_x, cur->hot_y, cur->argb);
    }
    if (l->mouse) {
        l->mouse(opaque, cur->x, cur->y, cur->visible);
    }
    if (c->ops->invalidate) {
        c->ops->invalidate(c->opaque);
    }
    c->quiet = 0;
    rearm(c);
}

void console_unlisten(Console *c, const DisplayListener *l, void *opaque)
{
    Listener *e = find_listener(c, l, opaque);

    if (e) {
        g_array_remove_index(c->listeners, e - (Listener *)(void *)c->listeners->data);
    }
    rearm(c);
}

void console_resize_hint(Console *c, unsigned w, unsigned h)
{
    if (c->ops->resize_hint) {
        c->ops->resize_hint(c->opaque, CLAMP(w, 1, SURFACE_MAX), CLAMP(h, 1, SURFACE_MAX));
    }
}

void console_keysym(Console *c, uint32_t keysym, bool ctrl, bool shift)
{
    console_wake(c);
    if (c->ops->keysym) {
        c->ops->keysym(c->opaque, keysym, ctrl, shift);
    }
}

bool console_text(Console *c, uint16_t *cells, unsigned max, unsigned *cols, unsigned *rows,
                  unsigned *cursor)
{
    return c->ops->text && c->ops->text(c->opaque, cells, max, cols, rows, cursor);
}
