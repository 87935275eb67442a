/* SPDX-License-Identifier: MIT */
/*
 * Back-end "ringbuf": keeps the last bytes of output for ringbuf-read, and takes input from
 * ringbuf-write.
 */
#include "chardev/backend.h"
#include "util/bits.h"

#include <string.h>

typedef struct RingBuf {
    uint8_t *bytes;
    uint64_t size;                      /* power of two */
    uint64_t produced, consumed;        /* ever; the difference is at most size */
} RingBuf;

static bool ringbuf_open(CharDev *c, Opts *o, Error **err)
{
    RingBuf *r = c->state;
    if (!opts_size(o, "size", 65536, &r->size, err)) {
        return false;
    }
    if (!is_pow2(r->size) || r->size > 1u << 30) {
        return fail(err, "-chardev: size of ringbuf chardev must be power of two (to 1G)");
    }
    r->bytes = g_malloc(r->size);
    c->open = true;
    return true;
}

static void ringbuf_close(CharDev *c)
{
    g_free(((RingBuf *)c->state)->bytes);
}

static int ringbuf_write(CharDev *c, const uint8_t *buf, int len)
{
    RingBuf *r = c->state;
    for (int i = 0; i < len; i++) {
        r->bytes[r->produced++ & (r->size - 1)] = buf[i];
    }
    r->consumed = MAX(r->consumed, r->produced - MIN(r->produced, r->size));
    return len;
}

static const CharBackend ringbuf_backend = {
    .name = "ringbuf", .desc = "memory, read through the monitor (size=)", .size = sizeof(RingBuf),
    .open = ringbuf_open, .close = ringbuf_close, .write = ringbuf_write,
};
CHAR_BACKEND(ringbuf_backend);

/* QEMU's other name for it. */
static const CharBackend memory_backend = {
    .name = "memory", .desc = "the same", .size = sizeof(RingBuf),
    .open = ringbuf_open, .close = ringbuf_close, .write = ringbuf_write,
};
CHAR_BACKEND(memory_backend);

static CharDev *find(const char *id, Error **err)
{
    CharDev *c = chardev_find(id);
    if (!c) {
        fail(err, "Device '%s' not found", id);
    } else if (c->backend->open != ringbuf_open) {
        fail(err, "%s is not a ringbuf device", id);
        c = NULL;
    }
    return c;
}

bool chardev_ringbuf_read(const char *id, GByteArray *out, size_t max, Error **err)
{
    CharDev *c = find(id, err);
    if (!c) {
        return false;
    }
    RingBuf *r = c->state;
    while (max-- && r->consumed < r->produced) {
        g_byte_array_append(out, &r->bytes[r->consumed++ & (r->size - 1)], 1);
    }
    return true;
}

bool chardev_ringbuf_write(const char *id, const uint8_t *buf, size_t len, Error **err)
{
    CharDev *c = find(id, err);
    if (!c) {
        return false;
    }
    ringbuf_write(c, buf, MIN(len, 1u << 30));
    return true;
}
