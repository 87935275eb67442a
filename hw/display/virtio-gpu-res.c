/* SPDX-License-Identifier: MIT */
/*
 * Resources of the virtio graphics device: pictures on the host and their guest memory.
 *
 * Source: VIRTIO 1.2, sections 5.7.5 and 5.7.6.8.
 *
 * Backing is kept as guest addresses and looked up at each transfer, so that memory which was
 * moved away meanwhile is simply not there.  Only RAM is read, never registers.
 */
#include "hw/display/virtio-gpu.h"
#include "util/bits.h"
#include "util/log.h"

#define RESOURCE_PRICE  512             /* hostmem of a resource beside its pixels */
#define SIDE_MAX        (1u << 20)

/* ---- formats ----------------------------------------------------------------------------- */

#if G_BYTE_ORDER == G_LITTLE_ENDIAN
#define MEMORY_ORDER(letters, reversed) PIXMAN_##reversed
#else
#define MEMORY_ORDER(letters, reversed) PIXMAN_##letters
#endif

/* Names tell the order of bytes in memory, pixman's that of bits in a word. */
static const struct { uint32_t format; pixman_format_code_t code; } formats[] = {
    { 1, MEMORY_ORDER(b8g8r8a8, a8r8g8b8) },    { 2, MEMORY_ORDER(b8g8r8x8, x8r8g8b8) },
    { 3, MEMORY_ORDER(a8r8g8b8, b8g8r8a8) },    { 4, MEMORY_ORDER(x8r8g8b8, b8g8r8x8) },
    { 67, MEMORY_ORDER(r8g8b8a8, a8b8g8r8) },   { 68, MEMORY_ORDER(x8b8g8r8, r8g8b8x8) },
    { 121, MEMORY_ORDER(a8b8g8r8, r8g8b8a8) },  { 134, MEMORY_ORDER(r8g8b8x8, x8b8g8r8) },
};

bool gpu_format_known(uint32_t format)
{
    for (size_t i = 0; i < G_N_ELEMENTS(formats); i++) {
        if (formats[i].format == format) {
            return true;
        }
    }
    return false;
}

pixman_format_code_t gpu_pixman_format(uint32_t format)
{
    for (size_t i = 0; i < G_N_ELEMENTS(formats); i++) {
        if (formats[i].format == format) {
            return formats[i].code;
        }
    }
    return PIXMAN_x8r8g8b8;
}

/* ---- memory ------------------------------------------------------------------------------ */

GPUPixels *gpu_pixels_new(uint64_t size)
{
    uint8_t *data = size <= G_MAXSIZE ? g_try_malloc0(size) : NULL;
    GPUPixels *p;

    if (!data) {
        return NULL;
    }
    p = g_new(GPUPixels, 1);
    *p = (GPUPixels) { 1, size, data };
    return p;
}

void gpu_pixels_unref(GPUPixels *p)
{
    if (p && !--p->refs) {
        g_free(p->data);
        g_free(p);
    }
}

bool gpu_charge(VirtIOGPU *s, uint64_t bytes)
{
    if (bytes > s->max_hostmem || s->hostmem > s->max_hostmem - bytes) {
        LOG_GUEST("virtio-gpu: max_hostmem does not allow %" G_GUINT64_FORMAT " bytes more", bytes);
        return false;
    }
    s->hostmem += bytes;
    return true;
}

/* ---- life -------------------------------------------------------------------------------- */

GPUResource *gpu_find(VirtIOGPU *s, uint32_t id)
{
    return g_hash_table_lookup(s->resources, GUINT_TO_POINTER(id));
}

static GPUResource *add(VirtIOGPU *s, const GPUResource *like)
{
    GPUResource *res = g_new(GPUResource, 1);

    *res = *like;
    g_hash_table_insert(s->resources, GUINT_TO_POINTER(res->id), res);
    return res;
}

GPUResponse gpu_create_2d(VirtIOGPU *s, uint32_t id, uint32_t format, uint32_t w, uint32_t h)
{
    uint64_t size = (uint64_t)w * h * 4;
    GPUResource res = { .id = id, .format = format, .w = w, .h = h, .hostmem = size + RESOURCE_PRICE };

    if (!id || gpu_find(s, id)) {
        return GPU_ERR_RESOURCE;
    }
    if (!gpu_format_known(format) || !w || !h || w > SIDE_MAX || h > SIDE_MAX) {
        return GPU_ERR_PARAMETER;
    }
    if (!gpu_charge(s, res.hostmem)) {
        return GPU_ERR_MEMORY;
    }
    res.pixels = gpu_pixels_new(size);
    if (!res.pixels) {
        s->hostmem -= res.hostmem;
        return GPU_ERR_MEMORY;
    }
    add(s, &res);
    return GPU_OK;
}

static void unref(VirtIOGPU *s, GPUResource *res)
{
    for (unsigned n = 0; n < s->max_outputs; n++) {
        if (s->scanout[n].resource == res->id) {
            gpu_scanout_clear(s, n);
        }
    }
    s->hostmem -= res->hostmem;
    gpu_pixels_unref(res->pixels);
    g_free(res->backing);
    g_free(res);
}

GPUResponse gpu_unref(VirtIOGPU *s, uint32_t id)
{
    GPUResource *res = gpu_find(s, id);

    if (!res) {
        return GPU_ERR_RESOURCE;
    }
    g_hash_table_remove(s->resources, GUINT_TO_POINTER(id));
    unref(s, res);
    return GPU_OK;
}

void gpu_unref_all(VirtIOGPU *s)
{
    GHashTableIter iter;
    gpointer res;

    g_hash_table_iter_init(&iter, s->resources);
    while (g_hash_table_iter_next(&iter, NULL, &res)) {
        g_hash_table_iter_remove(&iter);
        unref(s, res);
    }
}

/* ---- backing ----------------------------------------------------------------------------- */

static uint64_t backing_price(uint32_t n)
{
    return (uint64_t)n * sizeof(GPUEntry);
}

/* Is there RAM everywhere? */
static bool backing_is_ram(VirtIOGPU *s, const GPUEntry *b, uint32_t n)
{
    AddressSpace *as = s->vdev.transport.dma;

    for (uint32_t i = 0; i < n; i++) {
        for (uint64_t done = 0, len; done < b[i].len; done += len) {
            len = b[i].len - done;
            void *host = b[i].addr + done < done ? NULL
                         : address_space_map(as, b[i].addr + done, &len, false);
            if (!host) {
                LOG_GUEST("virtio-gpu: no RAM at %" G_GINT64_MODIFIER "x", b[i].addr + done);
                return false;
            }
            address_space_unmap(as, host, len, false, 0);
        }
    }
    return true;
}

static GPUResponse set_backing(VirtIOGPU *s, GPUResource *res, GPUEntry *b, uint32_t n)
{
    uint64_t at = 0;

    if (!backing_is_ram(s, b, n)) {
        return GPU_ERR;
    }
    if (!gpu_charge(s, backing_price(n))) {
        return GPU_ERR_MEMORY;
    }
    for (uint32_t i = 0; i < n; i++) {
        b[i].at = at;
        at += b[i].len;
    }
    res->hostmem += backing_price(n);
    res->backing = b;
    res->n_backing = n;
    return GPU_OK;
}

GPUResponse gpu_attach(VirtIOGPU *s, uint32_t id, GPUEntry *backing, uint32_t n)
{
    GPUResource *res = gpu_find(s, id);

    if (!res) {
        return GPU_ERR_RESOURCE;
    }
    return res->backing ? GPU_ERR : set_backing(s, res, backing, n);
}

GPUResponse gpu_detach(VirtIOGPU *s, uint32_t id)
{
    GPUResource *res = gpu_find(s, id);

    if (!res) {
        return GPU_ERR_RESOURCE;
    }
    if (!res->backing) {
        return GPU_ERR;
    }
    s->hostmem -= backing_price(res->n_backing);
    res->hostmem -= backing_price(res->n_backing);
    g_clear_pointer(&res->backing, g_free);
    res->n_backing = 0;
    return GPU_OK;
}

GPUResponse gpu_create_blob(VirtIOGPU *s, uint32_t id, uint64_t size, GPUEntry *backing, uint32_t n)
{
    GPUResource res = { .id = id, .blob_size = size, .hostmem = RESOURCE_PRICE };
    GPUResponse r;

    if (!id || gpu_find(s, id)) {
        return GPU_ERR_RESOURCE;
    }
    if (!size) {
        return GPU_ERR_PARAMETER;
    }
    if (!gpu_charge(s, res.hostmem)) {
        return GPU_ERR_MEMORY;
    }
    r = set_backing(s, &res, backing, n);
    if (r == GPU_OK) {
        add(s, &res);
    } else {
        s->hostmem -= RESOURCE_PRICE;
    }
    return r;
}

/* ---- transfer ---------------------------------------------------------------------------- */

/* The last entry that begins at `offset` or before. */
static uint32_t entry_at(const GPUResource *res, uint64_t offset)
{
    uint32_t low = 0, high = res->n_backing;

    while (high - low > 1) {
        uint32_t mid = low + (high - low) / 2;
        if (res->backing[mid].at <= offset) {
            low = mid;
        } else {
            high = mid;
        }
    }
    return low;
}

/* Guest memory from offset of the resource on; what is missing stays as it is. */
static void copy_bytes(VirtIOGPU *s, const GPUResource *res, uint64_t offset, uint8_t *dst, uint64_t len)
{
    AddressSpace *as = s->vdev.transport.dma;

    for (uint32_t i = entry_at(res, offset); i < res->n_backing && len; i++) {
        const GPUEntry *e = &res->backing[i];
        uint64_t skip = offset - e->at;
        uint64_t here = skip < e->len ? MIN(e->len - skip, len) : 0;
        for (uint64_t done = 0, part; done < here; done += part) {
            part = here - done;
            void *host = address_space_map(as, e->addr + skip + done, &part, false);
            if (!host) {
                break;
            }
            memcpy(dst + done, host, part);
            address_space_unmap(as, host, part, false, 0);
        }
        offset += here;
        dst += here;
        len -= here;
    }
}

void gpu_copy_in(VirtIOGPU *s, const GPUResource *res, uint64_t offset, uint64_t stride,
                 uint8_t *dst, size_t dst_stride, uint32_t w, uint32_t h)
{
    size_t line = 4 * (size_t)w;

    if (!res->backing) {
        return;
    }
    s->spent += line * h;
    if (stride == line && dst_stride == line) {
        copy_bytes(s, res, offset, dst, (uint64_t)line * h);
        return;
    }
    for (uint32_t y = 0; y < h; y++) {
        if (y * stride > UINT64_MAX - offset) {
            return;
        }
        copy_bytes(s, res, offset + y * stride, dst + y * dst_stride, line);
    }
}

GPUResponse gpu_transfer(VirtIOGPU *s, uint32_t id, const GPURect *r, uint64_t offset)
{
    GPUResource *res = gpu_find(s, id);

    if (!res) {
        return GPU_ERR_RESOURCE;
    }
    if (!res->pixels) {
        return GPU_OK;                  /* a blob needs none */
    }
    if (!res->backing) {
        return GPU_ERR;
    }
    if (!gpu_inside(r, res->w, res->h)) {
        return GPU_ERR_PARAMETER;
    }
    size_t stride = 4 * (size_t)res->w;
    gpu_copy_in(s, res, offset, stride, res->pixels->data + r->y * stride + 4 * (size_t)r->x, stride,
                r->w, r->h);
    return GPU_OK;
}

/* ---- saved state ------------------------------------------------------------------------- */

/*
 * One after the other:  id, format, w, h (32 bits each), blob size (64), number of backing
 * entries (32), these (address 64, length 32), w * h * 4 bytes of pixels if there is a format.
 * All big-endian but the pixels, which are as the guest has them; in the order of ids.
 */
#define SAVED_HEAD  28
#define SAVED_ENTRY 12

static void save_one(const GPUResource *res, GByteArray *out)
{
    uint8_t head[SAVED_HEAD], entry[SAVED_ENTRY];

    st32_be(head, res->id);
    st32_be(head + 4, res->format);
    st32_be(head + 8, res->w);
    st32_be(head + 12, res->h);
    st64_be(head + 16, res->blob_size);
    st32_be(head + 24, res->n_backing);
    g_byte_array_append(out, head, sizeof(head));
    for (uint32_t i = 0; i < res->n_backing; i++) {
        st64_be(entry, res->backing[i].addr);
        st32_be(entry + 8, res->backing[i].len);
        g_byte_array_append(out, entry, sizeof(entry));
    }
    if (res->pixels) {
        g_byte_array_append(out, res->pixels->data, res->pixels->size);
    }
}

static int by_id(gconstpointer a, gconstpointer b)
{
    const GPUResource *ra = a, *rb = b;
    return ra->id < rb->id ? -1 : ra->id > rb->id;
}

void gpu_save_resources(VirtIOGPU *s)
{
    GByteArray *out = g_byte_array_new();
    GList *all = g_list_sort(g_hash_table_get_values(s->resources), by_id);

    for (GList *l = all; l; l = l->next) {
        save_one(l->data, out);
    }
    g_list_free(all);
    g_free(s->saved);
    s->saved_len = out->len;
    s->saved = g_byte_array_free(out, FALSE);
}

static GPUEntry *load_backing(const uint8_t *p, uint32_t n)
{
    GPUEntry *b = g_new0(GPUEntry, n);
    uint64_t at = 0;

    for (uint32_t i = 0; i < n; i++, p += SAVED_ENTRY) {
        b[i] = (GPUEntry) { .addr = ld64_be(p), .at = at, .len = ld32_be(p + 8) };
        at += b[i].len;
    }
    return b;
}

/* Bytes used, 0: the stream makes no sense. */
static size_t load_one(VirtIOGPU *s, const uint8_t *p, size_t len, bool blob)
{
    uint32_t id = ld32_be(p), n = ld32_be(p + 24);
    uint64_t list = (uint64_t)n * SAVED_ENTRY, size = 4 * (uint64_t)ld32_be(p + 8) * ld32_be(p + 12);
    GPUResource *res;

    if (n > GPU_BACKING_MAX || list > len - SAVED_HEAD) {
        return 0;
    }
    if (blob) {
        if (!id || gpu_find(s, id) || !ld64_be(p + 16) || !gpu_charge(s, RESOURCE_PRICE)) {
            return 0;
        }
        res = add(s, &(GPUResource) { .id = id, .blob_size = ld64_be(p + 16), .hostmem = RESOURCE_PRICE });
        size = 0;
    } else if (size > len - SAVED_HEAD - list
               || gpu_create_2d(s, id, ld32_be(p + 4), ld32_be(p + 8), ld32_be(p + 12)) != GPU_OK) {
        return 0;
    } else {
        res = gpu_find(s, id);
        memcpy(res->pixels->data, p + SAVED_HEAD + list, size);
    }
    if (n) {
        if (!gpu_charge(s, backing_price(n))) {
            return 0;
        }
        res->backing = load_backing(p + SAVED_HEAD, n);
        res->n_backing = n;
        res->hostmem += backing_price(n);
    }
    return SAVED_HEAD + list + size;
}

bool gpu_load_resources(VirtIOGPU *s, Error **err)
{
    for (size_t pos = 0, used; pos < s->saved_len; pos += used) {
        const uint8_t *p = s->saved + pos;
        size_t left = s->saved_len - pos;
        bool blob = left >= SAVED_HEAD && !ld32_be(p + 4);
        used = left < SAVED_HEAD || (blob && !s->with_blob) ? 0 : load_one(s, p, left, blob);
        if (!used) {
            return fail(err, "an impossible resource at byte %zu", pos);
        }
    }
    return true;
}
