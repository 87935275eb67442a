/* SPDX-License-Identifier: MIT */
/*
 * The virtio graphics device, 2D: for its PCI cards, and among its own files.
 *
 * Source: VIRTIO 1.2, section 5.7 "GPU Device".
 *
 * The driver makes resources (pictures on the host), gives them backing (guest memory), copies
 * rectangles from there, lets a scanout (a monitor's socket, one Console each) show a part of a
 * resource, and tells which rectangles it wants to be seen.  A blob has no picture of its own:
 * its guest memory is copied when it is flushed, into the `shadow` of the scanouts that show it.
 *
 * What the guest can make the host allocate is counted in `hostmem`: pixels, backing lists and
 * a fixed price for each resource.  [bql]
 */
#ifndef HW_DISPLAY_VIRTIO_GPU_H
#define HW_DISPLAY_VIRTIO_GPU_H

#include "hw/virtio/virtio.h"
#include "ui/console.h"
#include "util/timer.h"

#define GPU_SCANOUTS_MAX    16
#define GPU_BACKING_MAX     16384           /* entries */
#define GPU_CURSOR_SIZE     64
#define GPU_CONFIG_SIZE     16

/* Answers (5.7.6.7) */
typedef enum GPUResponse {
    GPU_OK = 0x1100, GPU_OK_DISPLAY_INFO, GPU_OK_EDID = 0x1104,
    GPU_ERR = 0x1200, GPU_ERR_MEMORY, GPU_ERR_SCANOUT, GPU_ERR_RESOURCE, GPU_ERR_CONTEXT,
    GPU_ERR_PARAMETER,
} GPUResponse;

typedef struct GPURect {
    uint32_t x, y, w, h;
} GPURect;

/* Memory of pictures; surfaces over it keep it alive. */
typedef struct GPUPixels {
    int refs;
    size_t size;
    uint8_t *data;
} GPUPixels;

typedef struct GPUEntry {
    uint64_t addr;                          /* guest-physical */
    uint64_t at;                            /* where it begins in the resource */
    uint32_t len;
} GPUEntry;

typedef struct GPUResource {
    uint32_t id, format, w, h;              /* a blob has no format and no size of these */
    GPUPixels *pixels;                      /* w * h * 4 bytes; NULL: a blob */
    uint64_t blob_size;
    GPUEntry *backing;                      /* NULL: none is attached */
    uint32_t n_backing;
    uint64_t hostmem;                       /* its part of the device's */
} GPUResource;

typedef struct GPUScanout {
    Console *console;
    /* What it shows */
    uint32_t resource;                      /* id; 0: nothing */
    GPURect part;                           /* of the resource */
    uint32_t format, stride, offset;        /* of a blob's picture, in its memory */
    GPUPixels *shadow;                      /* the part, w * h * 4; NULL: not a blob */
    /* The cursor */
    uint32_t cursor_x, cursor_y, hot_x, hot_y;
    bool cursor_on;
    uint8_t *cursor;                        /* 64 * 64 pixels a8r8g8b8, little-endian */
    uint32_t cursor_len;                    /* 0: no shape yet */
    /* What the front end wishes; not saved */
    bool connected;
    uint32_t want_w, want_h;
    /* Drawing; not saved */
    pixman_image_t *source;                 /* to be converted into the surface; NULL: it is it */
    pixman_region32_t damage;               /* not yet converted */
    uint64_t charged;                       /* for shadow and converted surface */
    struct VirtIOGPU *gpu;
    bool own_console;
} GPUScanout;

typedef struct VirtIOGPU {
    VirtIODevice vdev;
    /* properties */
    uint32_t max_outputs, xres, yres;
    uint64_t max_hostmem;
    bool with_edid, with_blob;

    GHashTable *resources;                  /* id -> GPUResource */
    uint64_t hostmem;
    GPUScanout scanout[GPU_SCANOUTS_MAX];
    uint32_t events;
    Timer work;                             /* commands are waiting */
    uint64_t spent;                         /* in this turn, in about bytes copied */
    /* A card with another source of pictures for scanout 0: on tells which one shows. */
    void (*takes_over)(struct VirtIOGPU *s, bool on);
    bool on;
    uint8_t *saved;                         /* resources in saved state; freed soon after */
    uint32_t saved_len;
} VirtIOGPU;

#define VIRTIO_GPU_PROPS(T, m)                                                                 \
    PROP_UINT_R("max_outputs", T, m.max_outputs, 1, 1, GPU_SCANOUTS_MAX, "monitors at most"),  \
    PROP_SIZE("max_hostmem", T, m.max_hostmem, 256 << 20, "what the guest's pictures may take"), \
    PROP_BOOL("edid", T, m.with_edid, true, "the monitors describe themselves"),               \
    PROP_BOOL("blob", T, m.with_blob, false, "pictures that stay in guest memory"),            \
    PROP_UINT("xres", T, m.xres, 1280, "width the first monitor prefers"),                     \
    PROP_UINT("yres", T, m.yres, 800, "height the first monitor prefers"),                     \
    VIRTIO_RING_PROPS(T, m.vdev)

/* name: the card's, for consoles.  first: the console of scanout 0 if the card has it already
 * (it then calls virtio_gpu_refresh and virtio_gpu_resize_hint itself), else NULL. */
bool virtio_gpu_realize(VirtIOGPU *s, Device *dev, const char *name, Console *first, Error **err);
void virtio_gpu_unrealize(VirtIOGPU *s);
extern const VMState vm_virtio_gpu;         /* with the VirtIODevice in it */

/* Of scanout 0's console, for such a card: ConsoleOps with opaque = &s->scanout[0]. */
void virtio_gpu_refresh(void *opaque);
void virtio_gpu_invalidate(void *opaque);
void virtio_gpu_resize_hint(void *opaque, unsigned w, unsigned h);

/* ---- virtio-gpu-res.c: resources ------------------------------------------------------- */

GPUResource *gpu_find(VirtIOGPU *s, uint32_t id);
bool gpu_format_known(uint32_t format);
pixman_format_code_t gpu_pixman_format(uint32_t format);
GPUResponse gpu_create_2d(VirtIOGPU *s, uint32_t id, uint32_t format, uint32_t w, uint32_t h);
/* backing: n of them, taken over if all is well, else still the caller's. */
GPUResponse gpu_create_blob(VirtIOGPU *s, uint32_t id, uint64_t size, GPUEntry *backing, uint32_t n);
GPUResponse gpu_attach(VirtIOGPU *s, uint32_t id, GPUEntry *backing, uint32_t n);
GPUResponse gpu_detach(VirtIOGPU *s, uint32_t id);
GPUResponse gpu_transfer(VirtIOGPU *s, uint32_t id, const GPURect *r, uint64_t offset);
/* The scanouts that show it are cleared. */
GPUResponse gpu_unref(VirtIOGPU *s, uint32_t id);
void gpu_unref_all(VirtIOGPU *s);
/* Lines of w * 4 bytes from a resource's guest memory, `stride` apart there, to dst, dst_stride
 * apart; what is not there or no RAM is left out. */
void gpu_copy_in(VirtIOGPU *s, const GPUResource *res, uint64_t offset, uint64_t stride,
                 uint8_t *dst, size_t dst_stride, uint32_t w, uint32_t h);
/* May the guest have these bytes of ours?  Then they are counted. */
bool gpu_charge(VirtIOGPU *s, uint64_t bytes);
GPUPixels *gpu_pixels_new(uint64_t size);   /* NULL: no memory */
void gpu_pixels_unref(GPUPixels *p);
/* Does r lie in a picture of w * h? */
static inline bool gpu_inside(const GPURect *r, uint32_t w, uint32_t h)
{
    return r->x <= w && r->y <= h && r->w <= w - r->x && r->h <= h - r->y;
}
void gpu_save_resources(VirtIOGPU *s);
bool gpu_load_resources(VirtIOGPU *s, Error **err);

/* ---- virtio-gpu-scan.c: scanouts ------------------------------------------------------- */

void gpu_scanout_init(VirtIOGPU *s, unsigned n, const char *name, Console *console);
void gpu_scanout_exit(VirtIOGPU *s, unsigned n);
void gpu_scanout_clear(VirtIOGPU *s, unsigned n);
GPUResponse gpu_set_scanout(VirtIOGPU *s, unsigned n, uint32_t id, const GPURect *r);
typedef struct GPUBlobPicture {
    uint32_t w, h, format, stride, offset;
} GPUBlobPicture;
GPUResponse gpu_set_scanout_blob(VirtIOGPU *s, unsigned n, uint32_t id, const GPURect *r,
                                 const GPUBlobPicture *b);
GPUResponse gpu_flush(VirtIOGPU *s, uint32_t id, const GPURect *r);
void gpu_move_cursor(VirtIOGPU *s, unsigned n, uint32_t x, uint32_t y, bool on);
void gpu_update_cursor(VirtIOGPU *s, unsigned n, uint32_t id, uint32_t hot_x, uint32_t hot_y);
/* The other monitors' sockets lie to the right of the first. */
GPURect gpu_scanout_wish(const VirtIOGPU *s, unsigned n);
/* After a load: the pictures and cursors that the state tells.  false: impossible state. */
bool gpu_restore_scanout(VirtIOGPU *s, unsigned n, Error **err);
extern const VMState vm_gpu_scanout;

#endif
