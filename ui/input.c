/* SPDX-License-Identifier: MIT */
/*
 * Who gets the keys and the pointer: the device that registered (or was activated) last among
 * those that take the kind of event.  Chords from monitors are played here, one after another.
 */
#include "ui/input.h"

#include <glib.h>
#include <string.h>

#include "ui/console.h"
#include "util/parse.h"
#include "util/timer.h"

#define CHORD_MAX 16
#define CHORDS_WAITING_MAX 1024
#define KEYS_WAITING_MAX 256
#define KEY_PATIENCE (10 * NS_PER_SEC)

typedef struct Entry {
    const InputHandler *h;
    void *opaque;
    unsigned number;                    /* for the monitor; it keeps it */
    bool got;                           /* events since its last sync */
    char *device;                       /* bound to this screen; NULL: to none */
    unsigned head;
} Entry;

static GPtrArray *entries;              /* of Entry*, the preferred one first */
static unsigned registered;             /* so far */
static unsigned led_state;
static char *from_device;               /* where events come from; NULL: no screen */
static unsigned from_head;

/* ---- who wants to know --------------------------------------------------------------- */

typedef struct Watcher {
    void (*fn)(void *opaque);
    void *opaque;
} Watcher;

static GArray *watchers;                /* of Watcher */
static Timer change_timer;              /* they are told from the main loop, not from within a device */

void input_on_change(void (*fn)(void *opaque), void *opaque)
{
    Watcher w = { fn, opaque };

    if (!watchers) {
        watchers = g_array_new(FALSE, FALSE, sizeof(Watcher));
    }
    g_array_append_val(watchers, w);
}

void input_forget_change(void (*fn)(void *opaque), void *opaque)
{
    for (guint i = 0; watchers && i < watchers->len; i++) {
        const Watcher *w = &g_array_index(watchers, Watcher, i);
        if (w->fn == fn && w->opaque == opaque) {
            g_array_remove_index(watchers, i);
            return;
        }
    }
}

static void tell_watchers(void *opaque)
{
    for (guint i = 0; watchers && i < watchers->len; i++) {
        const Watcher *w = &g_array_index(watchers, Watcher, i);
        w->fn(w->opaque);
    }
}

static void changed(void)
{
    input_room();
    if (watchers && watchers->len) {
        if (!change_timer.cb) {
            timer_init(&change_timer, ORRERY_CLOCK_REAL, tell_watchers, NULL);
        }
        timer_mod(&change_timer, clock_ns(ORRERY_CLOCK_REAL));
    }
}

/* ---- handlers ------------------------------------------------------------------------ */

static int find_entry(const InputHandler *h, void *opaque)
{
    for (guint i = 0; entries && i < entries->len; i++) {
        Entry *e = g_ptr_array_index(entries, i);
        if (e->h == h && e->opaque == opaque) {
            return i;
        }
    }
    return -1;
}

static void free_entry(gpointer p)
{
    Entry *e = p;

    g_free(e->device);
    g_free(e);
}

void input_register(const InputHandler *h, void *opaque)
{
    Entry *e = g_new0(Entry, 1);

    if (!entries) {
        entries = g_ptr_array_new_with_free_func(free_entry);
    }
    e->h = h;
    e->opaque = opaque;
    e->number = ++registered;
    g_ptr_array_insert(entries, 0, e);
    changed();
}

void input_unregister(const InputHandler *h, void *opaque)
{
    int i = find_entry(h, opaque);

    if (i >= 0) {
        g_ptr_array_remove_index(entries, i);
        changed();
    }
}

void input_activate(const InputHandler *h, void *opaque)
{
    int i = find_entry(h, opaque);

    if (i >= 0) {
        g_ptr_array_insert(entries, 0, g_ptr_array_steal_index(entries, i));
        changed();
    }
}

void input_retire(const InputHandler *h, void *opaque)
{
    int i = find_entry(h, opaque);

    if (i >= 0) {
        g_ptr_array_add(entries, g_ptr_array_steal_index(entries, i));
        changed();
    }
}

void input_bind(const InputHandler *h, void *opaque, const char *device, unsigned head)
{
    int i = find_entry(h, opaque);

    if (i >= 0) {
        Entry *e = g_ptr_array_index(entries, i);
        g_free(e->device);
        e->device = g_strdup(device);
        e->head = head;
        changed();
    }
}

void input_from(const Console *c)
{
    const char *device = c ? console_device(c) : NULL;

    if (g_strcmp0(device, from_device)) {
        g_free(from_device);
        from_device = g_strdup(device);
    }
    from_head = c ? console_head(c) : 0;
}

void input_pointer_foreach(void (*fn)(const InputHandler *h, unsigned number, bool current, void *opaque),
                           void *opaque)
{
    bool first = true;

    for (guint i = 0; entries && i < entries->len; i++) {
        Entry *e = g_ptr_array_index(entries, i);
        if (e->h->mask & (INPUT_POINTER_REL | INPUT_POINTER_ABS)) {
            fn(e->h, e->number, first, opaque);
            first = false;
        }
    }
}

bool input_pointer_activate(unsigned number)
{
    for (guint i = 0; entries && i < entries->len; i++) {
        Entry *e = g_ptr_array_index(entries, i);
        if ((e->h->mask & (INPUT_POINTER_REL | INPUT_POINTER_ABS)) && e->number == number) {
            input_activate(e->h, e->opaque);
            return true;
        }
    }
    return false;
}

static Entry *taker(unsigned mask)
{
    Entry *found = NULL;

    for (guint i = 0; entries && i < entries->len; i++) {
        Entry *e = g_ptr_array_index(entries, i);
        if (!(e->h->mask & mask)) {
            continue;
        }
        if (e->device && from_device && e->head == from_head && !strcmp(e->device, from_device)) {
            return e;
        }
        if (!e->device && !found) {
            found = e;
        }
    }
    return found;
}

/* ---- events -------------------------------------------------------------------------- */

/*
 * Keys that find no room.  A guest on a busy host reads its keyboard now and then only, and a
 * keyboard's queue holds a few keys; one whose release is lost would repeat for ever.  What has
 * waited too long is dropped, but for releases.
 */
typedef struct WaitingKey {
    unsigned hid;
    bool down;
    int64_t since;
} WaitingKey;

static GQueue waiting_keys = G_QUEUE_INIT;
static Timer room_timer;                /* keys go on from the main loop, not from within a device */

static bool no_room(const Entry *e)
{
    return e && e->h->busy && e->h->busy(e->opaque);
}

static void deliver_key(Entry *e, unsigned hid, bool down)
{
    if (e && e->h->key) {
        e->h->key(e->opaque, hid, down);
        e->got = true;
    }
}

static void deliver_waiting(void *opaque)
{
    int64_t now = clock_ns(ORRERY_CLOCK_REAL);
    Entry *e;

    while (waiting_keys.length && !no_room(e = taker(INPUT_KEYBOARD))) {
        WaitingKey *k = g_queue_pop_head(&waiting_keys);
        if (!k->down || now - k->since < KEY_PATIENCE) {
            deliver_key(e, k->hid, k->down);
            input_sync();
        }
        g_free(k);
    }
}

void input_room(void)
{
    if (waiting_keys.length) {
        timer_mod(&room_timer, clock_ns(ORRERY_CLOCK_REAL));
    }
}

void input_key(unsigned hid, bool down)
{
    Entry *e = hid ? taker(INPUT_KEYBOARD) : NULL;

    if (!waiting_keys.length && !no_room(e)) {
        deliver_key(e, hid, down);
    } else if (e && waiting_keys.length < (down ? KEYS_WAITING_MAX : 2 * KEYS_WAITING_MAX)) {
        WaitingKey k = { hid, down, clock_ns(ORRERY_CLOCK_REAL) };
        if (!room_timer.cb) {
            timer_init(&room_timer, ORRERY_CLOCK_REAL, deliver_waiting, NULL);
        }
        g_queue_push_tail(&waiting_keys, g_memdup2(&k, sizeof(k)));
    }
}

void input_button(unsigned button, bool down)
{
    Entry *e = button < BTN_COUNT ? taker(INPUT_POINTER_REL | INPUT_POINTER_ABS) : NULL;

    if (e && e->h->button) {
        e->h->button(e->opaque, button, down);
        e->got = true;
    }
}

void input_rel(int dx, int dy)
{
    Entry *e = taker(INPUT_POINTER_REL);

    if (e && e->h->rel) {
        e->h->rel(e->opaque, dx, dy);
        e->got = true;
    }
}

void input_abs(int x, int y)
{
    Entry *e = taker(INPUT_POINTER_ABS);

    if (e && e->h->abs) {
        e->h->abs(e->opaque, CLAMP(x, 0, INPUT_ABS_MAX), CLAMP(y, 0, INPUT_ABS_MAX));
        e->got = true;
    }
}

void input_sync(void)
{
    for (guint i = 0; entries && i < entries->len; i++) {
        Entry *e = g_ptr_array_index(entries, i);
        if (e->got && e->h->sync) {
            e->h->sync(e->opaque);
        }
        e->got = false;
    }
}

bool input_is_absolute(void)
{
    Entry *e = taker(INPUT_POINTER_REL | INPUT_POINTER_ABS);
    return e && (e->h->mask & INPUT_POINTER_ABS);
}

void input_set_leds(unsigned leds)
{
    if (led_state != leds) {
        led_state = leds;
        changed();
    }
}

unsigned input_leds(void)
{
    return led_state;
}

/* ---- chords -------------------------------------------------------------------------- */

/*
 * One at a time: pressed in order, held, released in reverse order, and the next only after a
 * pause as long, so that a guest that polls slowly sees each.  Time is the VM's.
 */
typedef struct Chord {
    unsigned key[CHORD_MAX], n, hold_ms;
} Chord;

static GQueue chords = G_QUEUE_INIT;    /* of Chord*; the head is being played */
static bool chord_down;
static Timer chord_timer;

static void press(const Chord *c, bool down)
{
    input_from(NULL);
    for (unsigned i = 0; i < c->n; i++) {
        input_key(c->key[down ? i : c->n - 1 - i], down);
        input_sync();
    }
}

static void play(void *opaque)
{
    Chord *c = g_queue_peek_head(&chords);
    unsigned pause;

    if (!c) {
        return;
    }
    chord_down = !chord_down;
    press(c, chord_down);
    pause = c->hold_ms;
    if (!chord_down) {
        g_free(g_queue_pop_head(&chords));
    }
    timer_mod(&chord_timer, vclock_ns() + pause * NS_PER_MS);
}

bool input_send_keys(const char *const *qcodes, unsigned n, unsigned hold_ms, Error **err)
{
    Chord c = { .n = n, .hold_ms = hold_ms };

    if (n > CHORD_MAX) {
        return fail(err, "too many keys at once, at most %d", CHORD_MAX);
    }
    for (unsigned i = 0; i < n; i++) {
        uint64_t number;
        c.key[i] = g_str_has_prefix(qcodes[i], "0x") && parse_uint(qcodes[i], &number)
                   ? input_hid_from_number(number) : input_hid_from_qcode(qcodes[i]);
        if (!c.key[i]) {
            return fail(err, "unknown key: '%s'", qcodes[i]);
        }
    }
    if (chords.length >= CHORDS_WAITING_MAX) {
        return fail(err, "too many keys are waiting to be sent");
    }
    if (!chord_timer.cb) {
        timer_init(&chord_timer, ORRERY_CLOCK_VIRTUAL, play, NULL);
    }
    g_queue_push_tail(&chords, g_memdup2(&c, sizeof(c)));
    if (chords.length == 1 && !timer_pending(&chord_timer)) {
        play(NULL);
    }
    return true;
}
