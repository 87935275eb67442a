/* SPDX-License-Identifier: MIT */
/*
 * Scanouts of the virtio graphics device: which part of which resource a console shows, and its
 * cursor.
 *
 * Source: VIRTIO 1.2, sections 5.7.6.7 (commands) and 5.7.6.9 (cursor).
 *
 * Resources whose pixels are the surface's as they are become the surface.  Others are
 * converted at the console's refresh, as far as they were flushed.
 */
#include "hw/display/virtio-gpu.h"
#include "util/bits.h"
#include "util/log.h"

#define SIDE_MIN        16
#define SIDE_MAX        16384

#define DAMAGE_MAX      32              /* rectangles; more become the one around them */

/* Not yet seen by anybody; a guest may flush pixel by pixel. */
static void add_damage(GPUScanout *o, int x, int y, unsigned w, unsigned h)
{
    pixman_region32_union_rect(&o->damage, &o->damage, x, y, w, h);
    if (pixman_region32_n_rects(&o->damage) > DAMAGE_MAX) {
        pixman_box32_t around = *pixman_region32_extents(&o->damage);
        pixman_region32_fini(&o->damage);
        pixman_region32_init_with_extents(&o->damage, &around);
    }
}

/* ---- the console ------------------------------------------------------------------------- */

static void wish(VirtIOGPU *s, unsigned n, uint32_t w, uint32_t h)
{
    GPUScanout *o = &s->scanout[n];

    if (o->connected && o->want_w == w && o->want_h == h) {
        return;
    }
    o->connected = true;
    o->want_w = w;
    o->want_h = h;
    s->events |= 1;                     /* EVENT_DISPLAY */
    virtio_config_changed(&s->vdev);
}

void virtio_gpu_resize_hint(void *opaque, unsigned w, unsigned h)
{
    GPUScanout *o = opaque;
    wish(o->gpu, o - o->gpu->scanout, w, h);
}

/* Monitors beyond the first are plugged in when somebody shows them. */
static void shown(void *opaque)
{
    GPUScanout *o = opaque;

    if (!o->connected) {
        wish(o->gpu, o - o->gpu->scanout, o->want_w, o->want_h);
    }
}

GPURect gpu_scanout_wish(const VirtIOGPU *s, unsigned n)
{
    GPURect r = { .w = s->scanout[n].want_w, .h = s->scanout[n].want_h };

    for (unsigned i = 0; i < n; i++) {
        r.x += s->scanout[i].connected ? s->scanout[i].want_w : 0;
    }
    return r;
}

void virtio_gpu_refresh(void *opaque)
{
    GPUScanout *o = opaque;
    pixman_image_t *to = console_surface(o->console);
    int n;
    pixman_box32_t *box = pixman_region32_rectangles(&o->damage, &n);

    for (int i = 0; i < n; i++) {
        int x = box[i].x1, y = box[i].y1, w = box[i].x2 - x, h = box[i].y2 - y;
        if (o->source) {
            pixman_image_composite32(PIXMAN_OP_SRC, o->source, NULL, to, x, y, 0, 0, x, y, w, h);
        }
        console_update(o->console, x, y, w, h);
    }
    pixman_region32_clear(&o->damage);
}

void virtio_gpu_invalidate(void *opaque)
{
    GPUScanout *o = opaque;

    if (o->resource) {
        add_damage(o, 0, 0, o->part.w, o->part.h);
    }
}

static const ConsoleOps gpu_console_ops = {
    .refresh = virtio_gpu_refresh, .invalidate = virtio_gpu_invalidate, .shown = shown,
    .resize_hint = virtio_gpu_resize_hint,
};

void gpu_scanout_init(VirtIOGPU *s, unsigned n, const char *name, Console *console)
{
    GPUScanout *o = &s->scanout[n];

    o->gpu = s;
    o->connected = n == 0;
    o->want_w = s->xres;
    o->want_h = s->yres;
    pixman_region32_init(&o->damage);
    o->own_console = !console;
    o->console = console ? console : console_new(name, n, &gpu_console_ops, o);
}

void gpu_scanout_exit(VirtIOGPU *s, unsigned n)
{
    GPUScanout *o = &s->scanout[n];

    if (o->own_console) {
        console_free(o->console);
    }
    g_clear_pointer(&o->source, pixman_image_unref);
    g_clear_pointer(&o->shadow, gpu_pixels_unref);
    g_clear_pointer(&o->cursor, g_free);
    pixman_region32_fini(&o->damage);
}

/* ---- what it shows ----------------------------------------------------------------------- */

static void let_go(VirtIOGPU *s, GPUScanout *o)
{
    g_clear_pointer(&o->source, pixman_image_unref);
    g_clear_pointer(&o->shadow, gpu_pixels_unref);
    s->hostmem -= o->charged;
    o->charged = 0;
    o->resource = 0;
    pixman_region32_clear(&o->damage);
}

/* Black, in the size that was. */
void gpu_scanout_clear(VirtIOGPU *s, unsigned n)
{
    GPUScanout *o = &s->scanout[n];

    if (!o->resource) {
        return;
    }
    console_resize(o->console, o->part.w, o->part.h);
    console_update(o->console, 0, 0, o->part.w, o->part.h);
    let_go(s, o);
}

static void surface_gone(pixman_image_t *image, void *pixels)
{
    gpu_pixels_unref(pixels);
}

/* A picture over part of p, which lives as long as the picture. */
static pixman_image_t *image_of(GPUPixels *p, uint32_t format, const GPURect *r, uint32_t pitch)
{
    uint8_t *at = p->data + (size_t)r->y * pitch + 4 * (size_t)r->x;
    pixman_format_code_t code = gpu_pixman_format(format);
    pixman_image_t *image;

    if (code == PIXMAN_a8r8g8b8) {
        code = PIXMAN_x8r8g8b8;
    }
    image = pixman_image_create_bits(code, r->w, r->h, (uint32_t *)(void *)at, pitch);
    if (image) {
        p->refs++;
        pixman_image_set_destroy_function(image, surface_gone, p);
    }
    return image;
}

/* Let the console show part of p. */
static void show(VirtIOGPU *s, GPUScanout *o, GPUPixels *p, uint32_t format, const GPURect *r,
                 uint32_t pitch)
{
    pixman_image_t *image = image_of(p, format, r, pitch);

    if (image && pixman_image_get_format(image) == PIXMAN_x8r8g8b8) {
        console_set_surface(o->console, image);
        pixman_image_unref(image);
    } else {
        console_resize(o->console, r->w, r->h);
        o->source = image;
    }
    add_damage(o, 0, 0, r->w, r->h);
    console_wake(o->console);
}

/* What the surface takes beside the resource. */
static uint64_t price(uint32_t format, const GPURect *r, bool blob)
{
    pixman_format_code_t code = gpu_pixman_format(format);
    bool converted = code != PIXMAN_x8r8g8b8 && code != PIXMAN_a8r8g8b8;

    return 4 * (uint64_t)r->w * r->h * (converted + blob);
}

static GPUResponse check_part(const GPURect *r, uint32_t w, uint32_t h)
{
    return r->w < SIDE_MIN || r->h < SIDE_MIN || r->w > SIDE_MAX || r->h > SIDE_MAX
           || !gpu_inside(r, w, h) ? GPU_ERR_PARAMETER : GPU_OK;
}

static void take_over(VirtIOGPU *s)
{
    if (!s->on && s->takes_over) {
        s->takes_over(s, true);
    }
    s->on = true;
}

static GPUResponse show_2d(VirtIOGPU *s, GPUScanout *o, const GPUResource *res, const GPURect *r)
{
    uint64_t cost = price(res->format, r, false);

    if (check_part(r, res->w, res->h) != GPU_OK) {
        return GPU_ERR_PARAMETER;
    }
    if (!gpu_charge(s, cost)) {
        return GPU_ERR_MEMORY;
    }
    take_over(s);
    let_go(s, o);
    o->charged = cost;
    o->resource = res->id;
    o->part = *r;
    o->format = res->format;
    o->stride = o->offset = 0;
    show(s, o, res->pixels, res->format, r, 4 * res->w);
    return GPU_OK;
}

GPUResponse gpu_set_scanout(VirtIOGPU *s, unsigned n, uint32_t id, const GPURect *r)
{
    GPUResource *res;

    if (n >= s->max_outputs) {
        return GPU_ERR_SCANOUT;
    }
    if (!id) {
        gpu_scanout_clear(s, n);
        return GPU_OK;
    }
    res = gpu_find(s, id);
    if (!res || !res->pixels) {
        return GPU_ERR_RESOURCE;
    }
    return show_2d(s, &s->scanout[n], res, r);
}

/* ---- blobs ------------------------------------------------------------------------------- */

/* A part of what the scanout shows comes in from guest memory. */
static void fetch(VirtIOGPU *s, GPUScanout *o, const GPUResource *res, const GPURect *r)
{
    size_t pitch = 4 * (size_t)o->part.w;

    gpu_copy_in(s, res, o->offset + (uint64_t)r->y * o->stride + 4 * (uint64_t)r->x, o->stride,
                o->shadow->data + (r->y - o->part.y) * pitch + 4 * (size_t)(r->x - o->part.x),
                pitch, r->w, r->h);
}

/* Does the picture lie in the blob's memory? */
static bool fits(const GPUResource *res, const GPUBlobPicture *b)
{
    uint64_t line = 4 * (uint64_t)b->w;

    return gpu_format_known(b->format) && b->w && b->h && b->stride >= line && b->stride % 4 == 0
           && b->offset + (uint64_t)b->stride * (b->h - 1) + line <= res->blob_size;
}

static GPUResponse show_blob(VirtIOGPU *s, GPUScanout *o, const GPUResource *res, const GPURect *r,
                             const GPUBlobPicture *b)
{
    uint64_t cost = price(b->format, r, true);
    GPUPixels *shadow;

    if (!fits(res, b) || check_part(r, b->w, b->h) != GPU_OK) {
        return GPU_ERR_PARAMETER;
    }
    if (!gpu_charge(s, cost)) {
        return GPU_ERR_MEMORY;
    }
    shadow = gpu_pixels_new(4 * (uint64_t)r->w * r->h);
    if (!shadow) {
        s->hostmem -= cost;
        return GPU_ERR_MEMORY;
    }
    take_over(s);
    let_go(s, o);
    o->charged = cost;
    o->shadow = shadow;
    o->resource = res->id;
    o->part = *r;
    o->format = b->format;
    o->stride = b->stride;
    o->offset = b->offset;
    fetch(s, o, res, r);
    show(s, o, shadow, b->format, &(GPURect) { 0, 0, r->w, r->h }, 4 * r->w);
    return GPU_OK;
}

GPUResponse gpu_set_scanout_blob(VirtIOGPU *s, unsigned n, uint32_t id, const GPURect *r,
                                 const GPUBlobPicture *b)
{
    GPUResource *res;

    if (n >= s->max_outputs) {
        return GPU_ERR_SCANOUT;
    }
    if (!id) {
        gpu_scanout_clear(s, n);
        return GPU_OK;
    }
    res = gpu_find(s, id);
    return !res || res->pixels ? GPU_ERR_RESOURCE : show_blob(s, &s->scanout[n], res, r, b);
}

/* ---- flush ------------------------------------------------------------------------------- */

/* The part of r that o shows, in the resource's coordinates; false: none. */
static bool clip(const GPUScanout *o, const GPURect *r, GPURect *out)
{
    uint64_t x2 = MIN((uint64_t)r->x + r->w, (uint64_t)o->part.x + o->part.w);
    uint64_t y2 = MIN((uint64_t)r->y + r->h, (uint64_t)o->part.y + o->part.h);

    out->x = MAX(r->x, o->part.x);
    out->y = MAX(r->y, o->part.y);
    if (x2 <= out->x || y2 <= out->y) {
        return false;
    }
    out->w = x2 - out->x;
    out->h = y2 - out->y;
    return true;
}

GPUResponse gpu_flush(VirtIOGPU *s, uint32_t id, const GPURect *r)
{
    GPUResource *res = gpu_find(s, id);
    GPURect part;

    if (!res) {
        return GPU_ERR_RESOURCE;
    }
    if (res->pixels && !gpu_inside(r, res->w, res->h)) {
        return GPU_ERR_PARAMETER;
    }
    for (unsigned n = 0; n < s->max_outputs; n++) {
        GPUScanout *o = &s->scanout[n];
        if (o->resource != id || !clip(o, r, &part)) {
            continue;
        }
        if (o->shadow) {
            fetch(s, o, res, &part);
        }
        add_damage(o, part.x - o->part.x, part.y - o->part.y, part.w, part.h);
        console_wake(o->console);
    }
    return GPU_OK;
}

/* ---- cursor ------------------------------------------------------------------------------ */

static void show_cursor(GPUScanout *o)
{
    uint32_t argb[GPU_CURSOR_SIZE * GPU_CURSOR_SIZE];

    if (o->cursor_len != sizeof(argb)) {
        console_set_cursor(o->console, 0, 0, 0, 0, NULL);
        return;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(argb); i++) {
        argb[i] = ld32_le(o->cursor + 4 * i);
    }
    console_set_cursor(o->console, GPU_CURSOR_SIZE, GPU_CURSOR_SIZE, o->hot_x, o->hot_y, argb);
}

void gpu_move_cursor(VirtIOGPU *s, unsigned n, uint32_t x, uint32_t y, bool on)
{
    GPUScanout *o = &s->scanout[n];

    o->cursor_x = x;
    o->cursor_y = y;
    o->cursor_on = on;
    console_move_cursor(o->console, x, y, on);
}

/* Only pictures of 64x64 make a cursor; others, and a missing resource, leave the shape alone. */
void gpu_update_cursor(VirtIOGPU *s, unsigned n, uint32_t id, uint32_t hot_x, uint32_t hot_y)
{
    GPUScanout *o = &s->scanout[n];
    GPUResource *res = gpu_find(s, id);
    uint32_t argb[GPU_CURSOR_SIZE * GPU_CURSOR_SIZE];
    pixman_image_t *from, *to;
    bool blob = res && !res->pixels;

    if (!res || (blob ? res->blob_size < sizeof(argb) : res->w != GPU_CURSOR_SIZE || res->h != GPU_CURSOR_SIZE)) {
        LOG_GUEST("virtio-gpu: resource %u is no cursor", id);
        return;
    }
    memset(argb, 0, sizeof(argb));
    if (blob) {                         /* blobs have no format: a8r8g8b8 */
        gpu_copy_in(s, res, 0, 4 * GPU_CURSOR_SIZE, (uint8_t *)argb, 4 * GPU_CURSOR_SIZE,
                    GPU_CURSOR_SIZE, GPU_CURSOR_SIZE);
    } else {
        from = pixman_image_create_bits(gpu_pixman_format(res->format), res->w, res->h,
                                        (uint32_t *)(void *)res->pixels->data, 4 * res->w);
        to = pixman_image_create_bits(PIXMAN_a8r8g8b8, res->w, res->h, argb, 4 * res->w);
        pixman_image_composite32(PIXMAN_OP_SRC, from, NULL, to, 0, 0, 0, 0, 0, 0, res->w, res->h);
        pixman_image_unref(from);
        pixman_image_unref(to);
    }
    o->hot_x = MIN(hot_x, GPU_CURSOR_SIZE - 1);
    o->hot_y = MIN(hot_y, GPU_CURSOR_SIZE - 1);
    o->cursor = g_realloc(o->cursor, sizeof(argb));
    o->cursor_len = sizeof(argb);
    for (size_t i = 0; i < G_N_ELEMENTS(argb); i++) {
        st32_le(o->cursor + 4 * i, argb[i]);
    }
    show_cursor(o);
}

/* ---- saved state ------------------------------------------------------------------------- */

static bool restore_picture(VirtIOGPU *s, GPUScanout *o)
{
    GPUResource *res = gpu_find(s, o->resource);
    GPURect part = o->part;
    /* any size that holds the part does: the rest is checked by its place in memory */
    uint64_t right = (uint64_t)part.x + part.w, bottom = (uint64_t)part.y + part.h;
    GPUBlobPicture b = { right, bottom, o->format, o->stride, o->offset };

    o->resource = 0;
    if (!res || right > UINT32_MAX || bottom > UINT32_MAX) {
        return false;
    }
    return (res->pixels ? show_2d(s, o, res, &part) : show_blob(s, o, res, &part, &b)) == GPU_OK;
}

bool gpu_restore_scanout(VirtIOGPU *s, unsigned n, Error **err)
{
    GPUScanout *o = &s->scanout[n];

    if (o->cursor_len && (n >= s->max_outputs || o->cursor_len != 4 * GPU_CURSOR_SIZE * GPU_CURSOR_SIZE)) {
        return fail(err, "a cursor of %u bytes", o->cursor_len);
    }
    o->hot_x = MIN(o->hot_x, GPU_CURSOR_SIZE - 1);
    o->hot_y = MIN(o->hot_y, GPU_CURSOR_SIZE - 1);
    if (o->resource && (n >= s->max_outputs || !restore_picture(s, o))) {
        return fail(err, "scanout %u shows what is not there", n);
    }
    if (n < s->max_outputs) {
        show_cursor(o);
        console_move_cursor(o->console, o->cursor_x, o->cursor_y, o->cursor_on);
    }
    return true;
}

static const VMField scanout_fields[] = {
    VM_UINT(GPUScanout, resource), VM_UINT(GPUScanout, part.x), VM_UINT(GPUScanout, part.y),
    VM_UINT(GPUScanout, part.w), VM_UINT(GPUScanout, part.h), VM_UINT(GPUScanout, format),
    VM_UINT(GPUScanout, stride), VM_UINT(GPUScanout, offset),
    VM_UINT(GPUScanout, cursor_x), VM_UINT(GPUScanout, cursor_y), VM_UINT(GPUScanout, hot_x),
    VM_UINT(GPUScanout, hot_y), VM_BOOL(GPUScanout, cursor_on),
    VM_VBUFFER(GPUScanout, cursor, cursor_len, 4 * GPU_CURSOR_SIZE * GPU_CURSOR_SIZE),
    VM_DONE
};
const VMState vm_gpu_scanout = { .name = "virtio-gpu-scanout", .fields = scanout_fields };
