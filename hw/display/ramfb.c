/* SPDX-License-Identifier: MIT */
/*
 * ramfb: a picture in the guest's own memory.  Firmware writes a description of it into the
 * fw_cfg file "etc/ramfb", and that is all.
 *
 * Source: QEMU documentation, "fw_cfg", and firmware that uses it.  Big-endian:
 *
 *     0  address, 64 bits     12  flags, 0         20  height
 *     8  format (DRM fourcc)  16  width            24  bytes from line to line
 *
 * Stores into guest memory are not tracked for it: each refresh compares.
 */
#include "hw/core/device.h"
#include "hw/core/machine.h"
#include "hw/nvram/fw_cfg.h"
#include "memory/memory.h"
#include "migration/vmstate.h"
#include "ui/console.h"
#include "util/bits.h"
#include "util/log.h"

#define RAMFB_FILE      "etc/ramfb"
#define RAMFB_ROM       "vgabios-ramfb.bin"
#define CONFIG_SIZE     28
#define SIDE_MAX        8192

#define ROUND_UP4(n)    (((n) + 3) & ~3u)
#define FOURCC(a, b, c, d) ((uint32_t)(a) | (b) << 8 | (c) << 16 | (uint32_t)(d) << 24)

typedef struct RamFB {
    Device dev;                         /* always first */
    uint8_t config[CONFIG_SIZE];        /* as the guest wrote it last; what follows is taken from it */
    uint64_t addr;
    uint32_t width, height, stride, bytes;      /* bytes of a pixel; width 0 = no picture */
    pixman_format_code_t format;
    Console *console;
    bool redraw;
    uint8_t *line;
} RamFB;

/* ---- the description ----------------------------------------------------------------- */

static bool find_format(uint32_t fourcc, pixman_format_code_t *format, uint32_t *bytes)
{
    static const struct {
        uint32_t fourcc;
        pixman_format_code_t format;
        uint32_t bytes;
    } formats[] = {
        { FOURCC('X', 'R', '2', '4'), PIXMAN_x8r8g8b8, 4 },
        { FOURCC('A', 'R', '2', '4'), PIXMAN_x8r8g8b8, 4 },
        { FOURCC('X', 'B', '2', '4'), PIXMAN_x8b8g8r8, 4 },
        { FOURCC('R', 'G', '2', '4'), PIXMAN_r8g8b8, 3 },
        { FOURCC('B', 'G', '2', '4'), PIXMAN_b8g8r8, 3 },
        { FOURCC('R', 'G', '1', '6'), PIXMAN_r5g6b5, 2 },
        { FOURCC('X', 'R', '1', '5'), PIXMAN_x1r5g5b5, 2 },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(formats); i++) {
        if (formats[i].fourcc == fourcc) {
            *format = formats[i].format;
            *bytes = formats[i].bytes;
            return true;
        }
    }
    return false;
}

static void take_config(RamFB *s)
{
    const uint8_t *c = s->config;

    s->addr = (uint64_t)ld32_be(c) << 32 | ld32_be(c + 4);
    s->width = ld32_be(c + 16);
    s->height = ld32_be(c + 20);
    s->stride = ld32_be(c + 24);
    if (!find_format(ld32_be(c + 8), &s->format, &s->bytes) || !s->width || !s->height
        || s->width > SIDE_MAX || s->height > SIDE_MAX
        || (s->stride && s->stride < s->width * s->bytes) || s->stride > SIDE_MAX * 8) {
        s->width = 0;
        return;
    }
    s->stride = s->stride ? s->stride : s->width * s->bytes;
    s->line = g_realloc(s->line, ROUND_UP4(s->width * s->bytes));
    s->redraw = true;
    console_resize(s->console, s->width, s->height);
}

static void config_written(void *opaque)
{
    RamFB *s = opaque;
    size_t len;
    const void *data = fw_cfg_file(fw_cfg_device(), RAMFB_FILE, &len);

    g_assert(len == CONFIG_SIZE);
    memcpy(s->config, data, CONFIG_SIZE);
    take_config(s);
    if (!s->width) {
        LOG_GUEST("ramfb: no picture that can be shown: format %08x, %ux%u", ld32_be(s->config + 8),
                  ld32_be(s->config + 16), ld32_be(s->config + 20));
    }
}

/* ---- the picture --------------------------------------------------------------------- */

/* Lines that differ are converted into the surface. */
static void ramfb_refresh(void *opaque)
{
    RamFB *s = opaque;
    int first = -1;

    if (!s->width) {
        return;
    }
    pixman_image_t *img = console_surface(s->console);
    uint8_t *out = (uint8_t *)pixman_image_get_data(img);
    unsigned stride = pixman_image_get_stride(img);
    g_autofree uint32_t *now = g_new0(uint32_t, s->width);
    pixman_image_t *to = pixman_image_create_bits(PIXMAN_x8r8g8b8, s->width, 1, now, 4 * s->width);
    pixman_image_t *from = pixman_image_create_bits(s->format, s->width, 1, (uint32_t *)(void *)s->line,
                                                    ROUND_UP4(s->width * s->bytes));

    for (unsigned y = 0; y <= s->height; y++) {
        bool changed = false;
        if (y < s->height) {
            address_space_read(&address_space_memory, s->addr + (uint64_t)y * s->stride, s->line,
                               s->width * s->bytes);
            pixman_image_composite32(PIXMAN_OP_SRC, from, NULL, to, 0, 0, 0, 0, 0, 0, s->width, 1);
            changed = s->redraw || memcmp(now, out + (size_t)y * stride, 4 * s->width);
            memcpy(out + (size_t)y * stride, now, 4 * s->width);
        }
        if (changed && first < 0) {
            first = y;
        } else if (!changed && first >= 0) {
            console_update(s->console, 0, first, s->width, y - first);
            first = -1;
        }
    }
    s->redraw = false;
    pixman_image_unref(from);
    pixman_image_unref(to);
}

static void ramfb_invalidate(void *opaque)
{
    ((RamFB *)opaque)->redraw = true;
}

static const ConsoleOps ramfb_console_ops = {
    .refresh = ramfb_refresh, .invalidate = ramfb_invalidate,
};

/* ---- life ---------------------------------------------------------------------------- */

/* SeaBIOS shows VGA text on it by a ROM of its own. */
static bool add_bios(Device *fw, Error **err)
{
    g_autofree char *path = firmware_find(RAMFB_ROM), *data = NULL;
    gsize len;

    if (!path || !g_file_get_contents(path, &data, &len, NULL)) {
        warn_report("ramfb: %s not found in the firmware folders", RAMFB_ROM);
        return true;
    }
    return fw_cfg_add_file(fw, "vgaroms/" RAMFB_ROM, data, len, err);
}

static bool ramfb_realize(Device *dev, Error **err)
{
    RamFB *s = (RamFB *)dev;
    Device *fw = fw_cfg_device();
    static const uint8_t zeros[CONFIG_SIZE];

    if (!fw) {
        return fail(err, "ramfb: this machine has no fw_cfg");
    }
    if (fw_cfg_has_file(fw, RAMFB_FILE)) {
        return fail(err, "ramfb: there is one already");
    }
    if (!add_bios(fw, err) || !fw_cfg_add_file(fw, RAMFB_FILE, zeros, CONFIG_SIZE, err)) {
        return false;
    }
    fw_cfg_make_writable(fw, RAMFB_FILE, config_written, s);
    s->console = console_new(dev->id ? dev->id : "ramfb", 0, &ramfb_console_ops, s);
    return true;
}

static void ramfb_unrealize(Device *dev)
{
    RamFB *s = (RamFB *)dev;

    fw_cfg_make_writable(fw_cfg_device(), RAMFB_FILE, NULL, NULL);
    console_free(s->console);
    g_free(s->line);
}

static void ramfb_reset(Device *dev)
{
    RamFB *s = (RamFB *)dev;

    memset(s->config, 0, sizeof(s->config));
    s->width = 0;
}

static bool ramfb_post_load(void *opaque, int version, Error **err)
{
    take_config(opaque);
    return true;
}

static const VMField ramfb_fields[] = {
    VM_BUFFER(RamFB, config),
    VM_DONE
};
static const VMState vm_ramfb = { .name = "ramfb", .post_load = ramfb_post_load,
                                  .fields = ramfb_fields };

static const DeviceType ramfb = {
    .name = "ramfb", .desc = "picture in guest memory, for firmware", .bus = "isa",
    .category = "Display", .size = sizeof(RamFB), .vmstate = &vm_ramfb, .realize = ramfb_realize,
    .unrealize = ramfb_unrealize, .reset = ramfb_reset,
};
DEVICE_TYPE(ramfb);
