/* SPDX-License-Identifier: MIT */
/*
 * VNC: what changed, and how it goes out (RFC 6143, 7.6 and 7.8; rfbproto for the pseudo
 * encodings).
 */
#include "ui/vnc-int.h"

#include <string.h>

#include "ui/input.h"

#define PACE_MS         16
#define REFINE_MS       400             /* so long after JPEG the same comes without loss */
#define RECTS_MAX       60000           /* the count has 16 bits */
#define SCROLL_ROWS_MIN 64              /* fewer changed rows are not looked through */
#define SCROLL_MAX      128             /* rows a picture may move up by between two looks */

/* ---- a client's dirty tiles ---------------------------------------------------------- */

static void mark_bits(const VncClient *c, uint64_t *bits, int x, int y, int w, int h)
{
    const VncServer *s = c->server;
    int x2 = MIN(x + w, (int)s->w), y2 = MIN(y + h, (int)s->h);

    if (!bits || x >= x2 || y >= y2) {
        return;
    }
    for (int ty = y / TILE_H; ty <= (y2 - 1) / TILE_H; ty++) {
        for (int tx = x / TILE_W; tx <= (x2 - 1) / TILE_W; tx++) {
            bits[(size_t)ty * c->dirty_words + tx / 64] |= 1ull << tx % 64;
        }
    }
}

void vnc_mark(VncClient *c, int x, int y, int w, int h)
{
    mark_bits(c, c->dirty, x, y, w, h);
}

static bool is_dirty(const VncClient *c, unsigned tx, unsigned ty)
{
    return c->dirty[(size_t)ty * c->dirty_words + tx / 64] >> tx % 64 & 1;
}

static void clear_dirty(VncClient *c, unsigned tx, unsigned ty)
{
    c->dirty[(size_t)ty * c->dirty_words + tx / 64] &= ~(1ull << tx % 64);
}

static bool any_dirty(const VncClient *c)
{
    size_t n = (size_t)c->dirty_words * c->server->tiles_y;

    for (size_t i = 0; i < n; i++) {
        if (c->dirty[i]) {
            return true;
        }
    }
    return false;
}

void vnc_client_resized(VncClient *c)
{
    VncServer *s = c->server;

    g_free(c->dirty);
    g_clear_pointer(&c->lossy, g_free);
    c->dirty_words = (s->tiles_x + 63) / 64;
    c->dirty = g_new0(uint64_t, (size_t)c->dirty_words * s->tiles_y);
    c->copy = (pixman_box16_t) { 0, 0, 0, 0 };
    if (!c->initialized) {
        c->w = s->w;
        c->h = s->h;
    } else if (c->w != s->w || c->h != s->h) {
        c->send_size = c->features & (HAS_DESKTOP_SIZE | HAS_EXT_DESKTOP_SIZE);
        c->size_reason = c->size_status = 0;
    }
    vnc_mark(c, 0, 0, s->w, s->h);
}

/* ---- from the surface to the shadow -------------------------------------------------- */

static uint32_t *row_of(pixman_image_t *img, int y)
{
    return (uint32_t *)(void *)((uint8_t *)pixman_image_get_data(img)
                                + (ptrdiff_t)y * pixman_image_get_stride(img));
}

/* The surface's fourth byte means nothing and may be anything. */
static bool same_pixels(const uint32_t *surface, const uint32_t *shadow, unsigned n)
{
    uint32_t differ = 0;

    for (unsigned i = 0; i < n; i++) {
        differ |= surface[i] ^ shadow[i];
    }
    return !(differ & 0xffffff);
}

static void copy_pixels(const uint32_t *surface, uint32_t *shadow, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        shadow[i] = surface[i] & 0xffffff;
    }
}

static bool tile_differs(const VncServer *s, unsigned x, unsigned y, unsigned w, unsigned h)
{
    for (unsigned i = 0; i < h; i++) {
        if (!same_pixels(row_of(s->surface, y + i) + x, row_of(s->shadow, y + i) + x, w)) {
            return true;
        }
    }
    return false;
}

/* Tiles of the touched rows that differ are marked dirty for those clients for whom copying is
 * (or is not) the way, and copied if that is wanted. */
static void compare(VncServer *s, bool copiers, bool everybody, bool copy)
{
    for (unsigned ty = 0; ty < s->tiles_y; ty++) {
        unsigned y = ty * TILE_H, h = MIN(TILE_H, s->h - y);
        for (unsigned x = 0; s->touched[ty] && x < s->w; x += TILE_W) {
            unsigned w = MIN(TILE_W, s->w - x);
            if (!tile_differs(s, x, y, w, h)) {
                continue;
            }
            for (guint i = 0; i < s->clients->len; i++) {
                VncClient *c = s->clients->pdata[i];
                if (everybody || c->copying == copiers) {
                    vnc_mark(c, x, y, w, h);
                }
            }
            for (unsigned i = 0; copy && i < h; i++) {
                copy_pixels(row_of(s->surface, y + i) + x, row_of(s->shadow, y + i) + x, w);
            }
        }
    }
}

/* ---- scrolling ----------------------------------------------------------------------- */

static uint64_t hash_row(const uint32_t *row, unsigned n)
{
    uint64_t h = 0x9e3779b97f4a7c15ull;

    for (unsigned i = 0; i < n; i++) {
        h = (h ^ (row[i] & 0xffffff)) * 0xff51afd7ed558ccdull;
        h ^= h >> 32;
    }
    return h;
}

/* Can this client be told to copy within rows y..y2 and then end with the new picture?  It must
 * have there what the shadow has. */
static bool may_copy(const VncClient *c, unsigned y, unsigned y2)
{
    const VncServer *s = c->server;

    if (!(c->features & HAS_COPYRECT) || c->w != s->w || c->h != s->h || c->send_size
        || c->copy.x2 || c->update.next < c->update.rects->len) {
        return false;
    }
    for (unsigned ty = y / TILE_H; ty <= (y2 - 1) / TILE_H; ty++) {
        for (unsigned tx = 0; tx < s->tiles_x; tx++) {
            if (is_dirty(c, tx, ty)) {
                return false;
            }
        }
    }
    return true;
}

/* By how many rows the picture moved up between y and y2 to explain most of what changed; 0: it
 * did something else. */
static unsigned find_scroll(const VncServer *s, unsigned y, unsigned y2)
{
    unsigned n = y2 - y, changed = 0, best = 0, best_count = 0;
    g_autofree uint64_t *before = g_new(uint64_t, n), *now = g_new(uint64_t, n);

    for (unsigned i = 0; i < n; i++) {
        before[i] = hash_row(row_of(s->shadow, y + i), s->w);
        now[i] = hash_row(row_of(s->surface, y + i), s->w);
        changed += before[i] != now[i];
    }
    for (unsigned d = 1; d <= SCROLL_MAX && d < n; d++) {
        unsigned count = 0;
        for (unsigned i = 0; i + d < n; i++) {
            count += now[i] == before[i + d] && now[i] != before[i];
        }
        if (count > best_count) {
            best_count = count;
            best = d;
        }
    }
    return changed >= SCROLL_ROWS_MIN / 2 && best_count * 2 > changed ? best : 0;
}

static bool touched_rows(const VncServer *s, unsigned *y, unsigned *y2)
{
    unsigned first = 0, last = s->tiles_y;

    while (first < last && !s->touched[first]) {
        first++;
    }
    while (last > first && !s->touched[last - 1]) {
        last--;
    }
    *y = first * TILE_H;
    *y2 = MIN(last * TILE_H, s->h);
    return *y < *y2;
}

/* The shadow scrolls for those clients that can; true: it did. */
static bool scroll(VncServer *s)
{
    unsigned y, y2, d, able = 0;

    if (!touched_rows(s, &y, &y2) || y2 - y < SCROLL_ROWS_MIN) {
        return false;
    }
    for (guint i = 0; i < s->clients->len; i++) {
        VncClient *c = s->clients->pdata[i];
        c->copying = c->initialized && may_copy(c, y, y2);
        able += c->copying;
    }
    d = able ? find_scroll(s, y, y2) : 0;
    if (!d) {
        return false;
    }
    memset(s->touched + y / TILE_H, 1, (y2 - 1) / TILE_H - y / TILE_H + 1);
    compare(s, false, false, false);
    for (unsigned i = y; i + d < y2; i++) {
        memcpy(row_of(s->shadow, i), row_of(s->shadow, i + d), 4 * s->w);
    }
    for (guint i = 0; i < s->clients->len; i++) {
        VncClient *c = s->clients->pdata[i];
        if (c->copying) {
            c->copy = (pixman_box16_t) { 0, y, s->w, y2 - d };
            c->copy_from_y = y + d;
        }
    }
    compare(s, true, false, true);
    return true;
}

/* ---- from the console ---------------------------------------------------------------- */

static void display_update(void *opaque, int x, int y, int w, int h)
{
    VncServer *s = opaque;

    memset(s->touched + y / TILE_H, 1, (y + h - 1) / TILE_H - y / TILE_H + 1);
}

static void update_all(VncServer *s)
{
    /* a client may close itself meanwhile; it is freed later */
    g_autoptr(GPtrArray) clients = g_ptr_array_copy(s->clients, NULL, NULL);

    for (guint i = 0; i < clients->len; i++) {
        vnc_try_update(clients->pdata[i]);
        vnc_flush(clients->pdata[i]);
    }
    vnc_adjust_pace(s);
}

static void display_frame(void *opaque)
{
    VncServer *s = opaque;

    if (!scroll(s)) {
        compare(s, false, true, true);
    }
    memset(s->touched, 0, s->tiles_y);
    update_all(s);
}

static void display_switch(void *opaque, pixman_image_t *surface)
{
    VncServer *s = opaque;
    unsigned w = pixman_image_get_width(surface), h = pixman_image_get_height(surface);

    if (s->surface) {
        pixman_image_unref(s->surface);
    }
    s->surface = pixman_image_ref(surface);
    if (!s->shadow || s->w != w || s->h != h) {
        if (s->shadow) {
            pixman_image_unref(s->shadow);
        }
        s->shadow = pixman_image_create_bits(PIXMAN_x8r8g8b8, w, h, NULL, 0);
        s->w = w;
        s->h = h;
        s->tiles_x = (w + TILE_W - 1) / TILE_W;
        s->tiles_y = (h + TILE_H - 1) / TILE_H;
        s->touched = g_renew(bool, s->touched, s->tiles_y);
        for (guint i = 0; i < s->clients->len; i++) {
            VncClient *c = s->clients->pdata[i];
            if (c->initialized) {
                vnc_client_resized(c);
            }
        }
    }
    memset(s->touched, 1, s->tiles_y);
}

static void display_cursor(void *opaque, int w, int h, int hot_x, int hot_y, const uint32_t *argb)
{
    VncServer *s = opaque;

    g_free(s->cursor);
    s->cursor = argb ? g_memdup2(argb, (gsize)w * h * 4) : NULL;
    s->cursor_w = w;
    s->cursor_h = h;
    s->hot_x = hot_x;
    s->hot_y = hot_y;
    for (guint i = 0; i < s->clients->len; i++) {
        ((VncClient *)s->clients->pdata[i])->send_cursor = true;
    }
}

static void display_gone(void *opaque)
{
    VncServer *s = opaque;

    s->console = NULL;
    vnc_show_console(s, console_by_index(0));
}

const DisplayListener vnc_display_listener = {
    .name = "vnc", .update = display_update, .frame = display_frame,
    .switch_surface = display_switch, .cursor = display_cursor, .gone = display_gone,
};

void vnc_adjust_pace(VncServer *s)
{
    bool wanted = false;

    for (guint i = 0; i < s->clients->len; i++) {
        const VncClient *c = s->clients->pdata[i];
        wanted |= c->initialized && c->update_wanted;
    }
    if (s->console) {
        console_set_interval(s->console, &vnc_display_listener, s, wanted ? PACE_MS : 0);
    }
}

/* ---- pseudo rectangles --------------------------------------------------------------- */

void vnc_rect_header(VncClient *c, int x, int y, int w, int h, int32_t encoding)
{
    vnc_send_u16(c, x);
    vnc_send_u16(c, y);
    vnc_send_u16(c, w);
    vnc_send_u16(c, h);
    vnc_send_u32(c, encoding);
}

static void send_size(VncClient *c)
{
    const VncServer *s = c->server;

    c->w = s->w;
    c->h = s->h;
    if (!(c->features & HAS_EXT_DESKTOP_SIZE)) {
        vnc_rect_header(c, 0, 0, c->w, c->h, ENC_DESKTOP_SIZE);
        return;
    }
    vnc_rect_header(c, c->size_reason, c->size_status, c->w, c->h, ENC_EXT_DESKTOP_SIZE);
    vnc_send_u32(c, 1u << 24);          /* one screen, padding */
    vnc_send_u32(c, 0);                 /* its id, place, size, flags */
    vnc_send_u32(c, 0);
    vnc_send_u16(c, c->w);
    vnc_send_u16(c, c->h);
    vnc_send_u32(c, 0);
    c->size_reason = c->size_status = 0;
}

static void send_format(VncClient *c)
{
    const PixelFormat *f = &c->pf;

    vnc_rect_header(c, 0, 0, c->w, c->h, ENC_WMVI);
    vnc_send_u8(c, f->bpp);
    vnc_send_u8(c, f->depth);
    vnc_send_u8(c, f->big_endian);
    vnc_send_u8(c, f->true_color);
    for (int i = 0; i < 3; i++) {
        vnc_send_u16(c, f->max[i]);
    }
    vnc_send(c, f->shift, 3);
    vnc_send(c, "\0\0\0", 3);
}

/* Red, green, blue, alpha, the colours multiplied by alpha already. */
static void send_alpha_cursor(VncClient *c)
{
    const VncServer *s = c->server;
    unsigned n = s->cursor ? s->cursor_w * s->cursor_h : 1;

    vnc_rect_header(c, s->cursor ? s->hot_x : 0, s->cursor ? s->hot_y : 0,
                    s->cursor ? s->cursor_w : 1, s->cursor ? s->cursor_h : 1, ENC_ALPHA_CURSOR);
    vnc_send_u32(c, ENC_RAW);
    for (unsigned i = 0; i < n; i++) {
        uint32_t p = s->cursor ? s->cursor[i] : 0, a = p >> 24;
        for (int shift = 16; shift >= 0; shift -= 8) {
            vnc_send_u8(c, (p >> shift & 0xff) * a / 255);
        }
        vnc_send_u8(c, a);
    }
}

/* Pixels, then a bit mask of those that are there. */
static void send_cursor(VncClient *c)
{
    const VncServer *s = c->server;
    int w = s->cursor ? s->cursor_w : 1, h = s->cursor ? s->cursor_h : 1;
    static const uint32_t none;
    const uint32_t *argb = s->cursor ? s->cursor : &none;

    if (c->features & HAS_ALPHA_CURSOR) {
        send_alpha_cursor(c);
        return;
    }
    vnc_rect_header(c, s->cursor ? s->hot_x : 0, s->cursor ? s->hot_y : 0, w, h, ENC_CURSOR);
    vnc_put_pixels(c, c->out, argb, w * h);
    for (int y = 0; y < h; y++) {
        for (int x = 0; x < w; x += 8) {
            uint8_t byte = 0;
            for (int i = x; i < MIN(x + 8, w); i++) {
                byte |= (argb[y * w + i] >> 31) << (7 - (i - x));
            }
            vnc_send_u8(c, byte);
        }
    }
}

/* What changed beside pixels. */
static void notice_changes(VncClient *c)
{
    if (c->features & HAS_POINTER_TYPE && c->was_absolute != input_is_absolute()) {
        c->send_pointer_type = true;
    }
    if (c->features & HAS_LED_STATE && c->leds != input_leds()) {
        c->send_leds = true;
    }
    if (!(c->features & (HAS_CURSOR | HAS_ALPHA_CURSOR))) {
        c->send_cursor = false;
    }
}

static unsigned count_pseudo(const VncClient *c)
{
    return c->send_cursor + c->send_pointer_type + c->send_leds + c->send_ext_key + c->send_audio_ack;
}

static void send_pseudo(VncClient *c)
{
    if (c->send_ext_key) {
        vnc_rect_header(c, 0, 0, c->w, c->h, ENC_EXT_KEY);
    }
    if (c->send_audio_ack) {
        vnc_rect_header(c, 0, 0, c->w, c->h, ENC_AUDIO);
        c->send_audio_ack = false;
    }
    if (c->send_pointer_type) {
        c->was_absolute = input_is_absolute();
        vnc_rect_header(c, c->was_absolute, 0, c->w, c->h, ENC_POINTER_TYPE);
    }
    if (c->send_leds) {
        c->leds = input_leds();
        vnc_rect_header(c, 0, 0, 1, 1, ENC_LED_STATE);
        vnc_send_u8(c, c->leds);
    }
    if (c->send_cursor) {
        send_cursor(c);
    }
    c->send_ext_key = c->send_pointer_type = c->send_leds = c->send_cursor = false;
}

/* ---- rectangles of an update --------------------------------------------------------- */

static void add_rect(VncClient *c, unsigned tx, unsigned tx2, unsigned ty)
{
    GArray *rects = c->update.rects;
    pixman_box16_t box = {
        tx * TILE_W, ty * TILE_H, MIN(tx2 * TILE_W, MIN(c->w, c->server->w)),
        MIN((ty + 1) * TILE_H, MIN(c->h, c->server->h)),
    };

    if (box.x1 >= box.x2 || box.y1 >= box.y2) {
        return;                         /* beyond what the client has */
    }
    /* below one of the same width: one rectangle */
    for (guint i = rects->len; i-- > 0 && i + 64 > rects->len;) {
        pixman_box16_t *above = &g_array_index(rects, pixman_box16_t, i);
        if (above->x1 == box.x1 && above->x2 == box.x2 && above->y2 == box.y1
            && (box.x2 - box.x1) * (box.y2 - above->y1) <= RECT_PIXELS) {
            above->y2 = box.y2;
            return;
        }
    }
    g_array_append_val(rects, box);
}

static bool is_wanted(const VncClient *c, unsigned tx, unsigned ty)
{
    const pixman_box16_t *r = &c->wanted;

    return (int)(tx * TILE_W) < r->x2 && (int)((tx + 1) * TILE_W) > r->x1
           && (int)(ty * TILE_H) < r->y2 && (int)((ty + 1) * TILE_H) > r->y1;
}

/* Dirty tiles of the wanted region become rectangles, and are clean. */
static void collect_rects(VncClient *c)
{
    const VncServer *s = c->server;

    g_array_set_size(c->update.rects, 0);
    c->update.next = 0;
    for (unsigned ty = 0; ty < s->tiles_y && c->update.rects->len < RECTS_MAX; ty++) {
        for (unsigned tx = 0; tx < s->tiles_x; tx++) {
            unsigned end = tx;
            while (end < s->tiles_x && end - tx < RECT_WIDTH / TILE_W && is_dirty(c, end, ty)
                   && is_wanted(c, end, ty)) {
                clear_dirty(c, end++, ty);
            }
            if (end > tx) {
                add_rect(c, tx, end, ty);
                tx = end - 1;
            }
        }
    }
}

static void begin_message(VncClient *c, unsigned rects)
{
    vnc_send_u8(c, 0);                  /* FramebufferUpdate */
    vnc_send_u8(c, 0);
    vnc_send_u16(c, rects);
    c->update_wanted = c->full_wanted = false;
}

static void start_update(VncClient *c)
{
    unsigned pseudo = count_pseudo(c), copy = c->copy.x2 > 0;

    collect_rects(c);
    if (!pseudo && !copy && !c->update.rects->len) {
        if (c->full_wanted) {           /* asked for an empty region: an empty answer */
            begin_message(c, 0);
        }
        return;
    }
    begin_message(c, pseudo + copy + c->update.rects->len);
    send_pseudo(c);
    if (copy) {
        vnc_rect_header(c, c->copy.x1, c->copy.y1, c->copy.x2 - c->copy.x1, c->copy.y2 - c->copy.y1,
                        ENC_COPYRECT);
        vnc_send_u16(c, c->copy.x1);
        vnc_send_u16(c, c->copy_from_y);
        c->copy = (pixman_box16_t) { 0, 0, 0, 0 };
    }
    c->update.picture = pixman_image_ref(c->server->shadow);
}

void vnc_try_update(VncClient *c)
{
    if (c->closing || !c->initialized || !c->update_wanted || !c->server->shadow
        || c->update.next < c->update.rects->len || vnc_pending(c) >= OUT_HIGH) {
        return;
    }
    if (c->full_wanted && c->server->console) {
        /* nobody may have looked for long; this comes back here when something changed */
        console_refresh(c->server->console);
        if (c->closing || !c->update_wanted) {
            return;
        }
    }
    notice_changes(c);
    if (c->send_size) {
        /* alone: what the client's picture holds from here on is undefined */
        bool format = c->features & HAS_WMVI;
        c->send_size = false;
        begin_message(c, 1 + format);
        if (format) {
            send_format(c);
        }
        send_size(c);
        vnc_mark(c, 0, 0, c->server->w, c->server->h);
    } else if (any_dirty(c) || count_pseudo(c) || c->copy.x2 || c->full_wanted) {
        start_update(c);
        vnc_continue_update(c);
    }
    vnc_adjust_pace(c->server);
}

void vnc_note_loss(VncClient *c, int x, int y, int w, int h)
{
    if (!c->lossy) {
        c->lossy = g_new0(uint64_t, (size_t)c->dirty_words * c->server->tiles_y);
    }
    mark_bits(c, c->lossy, x, y, w, h);
    timer_mod(&c->refine_timer, clock_ns(ORRERY_CLOCK_REAL) + REFINE_MS * NS_PER_MS);
}

/* No picture with loss went out for a while. */
void vnc_refine_timer(void *opaque)
{
    VncClient *c = opaque;
    size_t n = (size_t)c->dirty_words * c->server->tiles_y;

    if (c->closing || !c->lossy) {
        return;
    }
    if (!c->update_wanted || c->update.next < c->update.rects->len) {
        timer_mod(&c->refine_timer, clock_ns(ORRERY_CLOCK_REAL) + REFINE_MS * NS_PER_MS);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        c->dirty[i] |= c->lossy[i];
    }
    g_clear_pointer(&c->lossy, g_free);
    c->refining = true;
    vnc_try_update(c);
    vnc_flush(c);
}

static void encode(VncClient *c, const pixman_box16_t *b)
{
    pixman_image_t *img = c->update.picture;
    VncRect r = {
        b->x1, b->y1, b->x2 - b->x1, b->y2 - b->y1,
        (const uint8_t *)(row_of(img, b->y1) + b->x1), pixman_image_get_stride(img),
    };

    switch (c->encoding) {
    case ENC_RRE: vnc_encode_rre(c, &r); break;
    case ENC_HEXTILE: vnc_encode_hextile(c, &r); break;
    case ENC_ZLIB: vnc_encode_zlib(c, &r); break;
    case ENC_TIGHT: vnc_encode_tight(c, &r); break;
    case ENC_ZRLE: vnc_encode_zrle(c, &r); break;
    default: vnc_encode_raw(c, &r); break;
    }
}

void vnc_drop_update(VncClient *c)
{
    g_array_set_size(c->update.rects, 0);
    c->update.next = 0;
    g_clear_pointer(&c->update.picture, pixman_image_unref);
}

void vnc_continue_update(VncClient *c)
{
    VncUpdate *u = &c->update;

    while (!c->closing && u->next < u->rects->len && vnc_pending(c) < OUT_HIGH) {
        encode(c, &g_array_index(u->rects, pixman_box16_t, u->next));
        u->next++;
        if (vnc_pending(c) >= OUT_HIGH || u->next == u->rects->len) {
            vnc_flush(c);
        }
    }
    if (!c->closing && u->picture && u->next == u->rects->len) {
        vnc_drop_update(c);
        vnc_send(c, c->aside->data, c->aside->len);
        g_byte_array_set_size(c->aside, 0);
        c->refining = false;
        if (c->update_wanted) {
            vnc_try_update(c);
        }
    }
}
