/* SPDX-License-Identifier: MIT */
/*
 * bochs-display (1234:1111, class "other display"): the Bochs VBE registers and a linear frame
 * buffer without any VGA behind them.  Guests drive it with the driver of the standard card.
 *
 * Source: QEMU documentation, "QEMU Standard VGA", where registers in memory are told.
 *
 *     BAR 0   frame buffer
 *     BAR 2   000h EDID   500h dispi registers   600h extended registers (byte order)
 *
 * Not there: 8 and 24 bits a pixel, which no driver uses and QEMU's card does not show either.
 */
#include "hw/display/edid.h"
#include "hw/display/vga.h"
#include "hw/pci/pci.h"
#include "util/bits.h"

#define MMIO_SIZE       0x1000
#define MMIO_DISPI      0x500
#define MMIO_QEXT       0x600
#define QEXT_SIZE       8
#define QEXT_BIG        0xbebebebeu
#define QEXT_LITTLE     0x1e1e1e1eu
#define MEM_MIN         (1u << 20)
#define MEM_MAX         (256u << 20)
#define RES_MIN         64

typedef struct BochsDisplay {
    PCIDevice pci;                      /* always first */
    Region vram, mmio, edid_io, dispi_io, qext_io;
    uint64_t mem_size;
    bool with_edid;
    uint32_t pref_x, pref_y, max_x, max_y;
    uint8_t edid[EDID_SIZE];
    uint16_t vbe[VBE_COUNT];
    bool big_endian;

    /* Drawing; nothing of it is saved */
    Console *console;
    VGAMode mode;
    bool redraw;
    pixman_image_t *direct;             /* surface over VRAM, or NULL */
    unsigned long *dirty;
} BochsDisplay;

/* ---- the picture --------------------------------------------------------------------- */

/* false: what the registers say is no picture that lies inside the memory. */
static bool get_mode(const BochsDisplay *s, VGAMode *m)
{
    const uint16_t *r = s->vbe;
    uint64_t virt, pitch, start;

    memset(m, 0, sizeof(*m));           /* modes are compared as bytes */
    if (!(r[VBE_ENABLE] & VBE_ENABLED) || (r[VBE_BPP] != 16 && r[VBE_BPP] != 32)) {
        return false;
    }
    m->kind = VGA_LINEAR;
    m->bpp = r[VBE_BPP];
    m->width = r[VBE_XRES];
    m->height = r[VBE_YRES];
    virt = MAX(r[VBE_VIRT_WIDTH], r[VBE_XRES]);
    pitch = virt * m->bpp / 8;
    start = r[VBE_Y_OFFSET] * pitch + r[VBE_X_OFFSET] * m->bpp / 8;
    if (m->width < RES_MIN || m->height < RES_MIN
        || start + pitch * (m->height - 1) + m->width * m->bpp / 8 > s->mem_size) {
        return false;
    }
    m->start = start;
    m->offset = pitch;
    m->big_endian = s->big_endian;
    return true;
}

static void convert_line(const VGAMode *m, const uint8_t *src, uint32_t *dst)
{
    for (unsigned x = 0; x < m->width; x++) {
        if (m->bpp == 32) {
            dst[x] = (m->big_endian ? ld32_be(src + 4 * x) : ld32_le(src + 4 * x)) & 0xffffff;
        } else {
            unsigned v = m->big_endian ? ld16_be(src + 2 * x) : ld16_le(src + 2 * x);
            unsigned r = v >> 11, g = v >> 5 & 63, b = v & 31;
            dst[x] = (r << 3 | r >> 2) << 16 | (g << 2 | g >> 4) << 8 | (b << 3 | b >> 2);
        }
    }
}

/* The guest's pixels are the surface's as they are. */
static bool can_share(const VGAMode *m)
{
    return m->bpp == 32 && m->start % 4 == 0 && m->big_endian == (G_BYTE_ORDER == G_BIG_ENDIAN);
}

static void switch_mode(BochsDisplay *s, const VGAMode *m)
{
    g_clear_pointer(&s->direct, pixman_image_unref);
    if (can_share(m)) {
        uint8_t *mem = (uint8_t *)region_host(&s->vram) + m->start;
        s->direct = pixman_image_create_bits(PIXMAN_x8r8g8b8, m->width, m->height,
                                             (uint32_t *)(void *)mem, m->offset);
    }
    if (s->direct) {
        console_set_surface(s->console, s->direct);
    } else {
        console_resize(s->console, m->width, m->height);
    }
    s->mode = *m;
}

static bool line_dirty(const BochsDisplay *s, uint64_t from, unsigned len)
{
    for (uint64_t page = from / GUEST_PAGE_SIZE; page <= (from + len - 1) / GUEST_PAGE_SIZE; page++) {
        if (s->dirty[page / (8 * sizeof(long))] >> page % (8 * sizeof(long)) & 1) {
            return true;
        }
    }
    return false;
}

static void draw_lines(BochsDisplay *s, bool all)
{
    const VGAMode *m = &s->mode;
    pixman_image_t *img = console_surface(s->console);
    uint8_t *out = (uint8_t *)pixman_image_get_data(img);
    const uint8_t *mem = region_host(&s->vram);
    unsigned stride = pixman_image_get_stride(img), len = m->width * m->bpp / 8;
    int first = -1;

    for (unsigned y = 0; y <= m->height; y++) {
        uint64_t at = m->start + (uint64_t)y * m->offset;
        bool changed = y < m->height && (all || line_dirty(s, at, len));
        if (changed && !s->direct) {
            convert_line(m, mem + at, (uint32_t *)(void *)(out + (size_t)y * stride));
        }
        if (changed && first < 0) {
            first = y;
        } else if (!changed && first >= 0) {
            console_update(s->console, 0, first, m->width, y - first);
            first = -1;
        }
    }
}

static void bochs_refresh(void *opaque)
{
    BochsDisplay *s = opaque;
    VGAMode m;
    bool all = s->redraw;

    if (!get_mode(s, &m)) {
        return;                         /* the last picture stays */
    }
    if (memcmp(&m, &s->mode, sizeof(m))) {
        switch_mode(s, &m);
        all = true;
    }
    if (dirty_snapshot(&s->vram, DIRTY_VGA, 0, s->mem_size, s->dirty) || all) {
        draw_lines(s, all);
    }
    s->redraw = false;
}

static void bochs_invalidate(void *opaque)
{
    ((BochsDisplay *)opaque)->redraw = true;
}

static const ConsoleOps bochs_console_ops = {
    .refresh = bochs_refresh, .invalidate = bochs_invalidate,
};

/* ---- registers ----------------------------------------------------------------------- */

static uint64_t edid_read(void *opaque, hwaddr addr, unsigned size)
{
    BochsDisplay *s = opaque;
    return addr < EDID_SIZE ? s->edid[addr] : 0;
}

static uint64_t dispi_read(void *opaque, hwaddr addr, unsigned size)
{
    BochsDisplay *s = opaque;
    unsigned index = addr >> 1;

    return index == VBE_ID ? VBE_ID5 : index == VBE_MEMORY_64K ? s->mem_size >> 16
           : index < VBE_COUNT ? s->vbe[index] : 0;
}

static void dispi_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    BochsDisplay *s = opaque;

    if (size == 2 && addr >> 1 < VBE_COUNT) {
        s->vbe[addr >> 1] = val;
    }
}

static uint64_t qext_read(void *opaque, hwaddr addr, unsigned size)
{
    BochsDisplay *s = opaque;
    return addr == 0 ? QEXT_SIZE : s->big_endian ? QEXT_BIG : QEXT_LITTLE;
}

static void qext_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    if (addr == 4 && (val == QEXT_BIG || val == QEXT_LITTLE)) {
        ((BochsDisplay *)opaque)->big_endian = val == QEXT_BIG;
    }
}

static const RegionOps edid_ops = { .read = edid_read, .min = 1, .max = 1 };
static const RegionOps dispi_ops = { .read = dispi_read, .write = dispi_write, .min = 2, .max = 2 };
static const RegionOps qext_ops = { .read = qext_read, .write = qext_write, .min = 4, .max = 4 };

/* ---- life ---------------------------------------------------------------------------- */

static bool bochs_realize(Device *dev, Error **err)
{
    BochsDisplay *s = (BochsDisplay *)dev;

    if (!is_pow2(s->mem_size) || s->mem_size < MEM_MIN || s->mem_size > MEM_MAX) {
        return fail(err, "bochs-display: vgamem: a power of two from 1M to 256M is needed");
    }
    if (s->pref_x < 320 || s->pref_y < 200 || s->pref_x > 4095 || s->pref_y > 4095) {
        return fail(err, "bochs-display: xres=%u,yres=%u: sizes from 320x200 to 4095x4095 are possible",
                    s->pref_x, s->pref_y);
    }
    if (!region_init_ram(&s->vram, "bochs-display-vram", s->mem_size, err)) {
        return false;
    }
    s->dirty = g_malloc0(s->mem_size / GUEST_PAGE_SIZE / 8 + sizeof(long));
    dirty_start(&s->vram, DIRTY_VGA);
    region_init_container(&s->mmio, "bochs-display-mmio", MMIO_SIZE);
    if (s->with_edid) {
        edid_make(s->edid, s->pref_x, s->pref_y, s->max_x, s->max_y);
        region_init_io(&s->edid_io, "edid", 0x100, &edid_ops, s);
        region_map(&s->mmio, 0, &s->edid_io, 0);
    }
    region_init_io(&s->dispi_io, "bochs dispi", 2 * VBE_COUNT, &dispi_ops, s);
    region_map(&s->mmio, MMIO_DISPI, &s->dispi_io, 0);
    region_init_io(&s->qext_io, "vga extended regs", QEXT_SIZE, &qext_ops, s);
    region_map(&s->mmio, MMIO_QEXT, &s->qext_io, 0);
    pci_register_bar(&s->pci, 0, PCI_BAR_PREFETCH, &s->vram);
    pci_register_bar(&s->pci, 2, PCI_BAR_MEM32, &s->mmio);
    s->console = console_new(dev->id ? dev->id : "bochs-display", 0, &bochs_console_ops, s);
    return true;
}

static void bochs_unrealize(Device *dev)
{
    BochsDisplay *s = (BochsDisplay *)dev;

    console_free(s->console);
    g_clear_pointer(&s->direct, pixman_image_unref);
    region_destroy(&s->edid_io);
    region_destroy(&s->dispi_io);
    region_destroy(&s->qext_io);
    region_destroy(&s->mmio);
    dirty_stop(&s->vram, DIRTY_VGA);
    region_destroy(&s->vram);
    g_free(s->dirty);
}

static void bochs_reset(Device *dev)
{
    BochsDisplay *s = (BochsDisplay *)dev;

    memset(s->vbe, 0, sizeof(s->vbe));
    s->big_endian = false;
}

static bool bochs_post_load(void *opaque, int version, Error **err)
{
    ((BochsDisplay *)opaque)->redraw = true;
    return true;
}

static const VMField bochs_fields[] = {
    VM_STRUCT(BochsDisplay, pci, vm_pci_device), VM_UINTS(BochsDisplay, vbe),
    VM_BOOL(BochsDisplay, big_endian),
    VM_DONE
};
static const VMState vm_bochs = { .name = "bochs-display", .post_load = bochs_post_load,
                                  .fields = bochs_fields };

static const Prop bochs_props[] = {
    PROP_SIZE("vgamem", BochsDisplay, mem_size, 16 << 20, "video memory"),
    PROP_BOOL("edid", BochsDisplay, with_edid, true, "the monitor describes itself"),
    PROP_UINT("xres", BochsDisplay, pref_x, 1280, "width the monitor prefers"),
    PROP_UINT("yres", BochsDisplay, pref_y, 800, "height the monitor prefers"),
    PROP_UINT("xmax", BochsDisplay, max_x, 2560, "largest width the monitor offers"),
    PROP_UINT("ymax", BochsDisplay, max_y, 2048, "largest height the monitor offers"),
    PROP_DONE
};

static const PCIInfo bochs_info = {
    .vendor = 0x1234, .device = 0x1111, .class_id = 0x0380, .revision = 2,
    .rom = "vgabios-bochs-display.bin", .not_hotpluggable = true,
};

static const DeviceType bochs_display = {
    .name = "bochs-display", .desc = "Bochs VBE frame buffer without VGA", .bus = "PCI",
    .category = "Display", .size = sizeof(BochsDisplay), .props = bochs_props, .vmstate = &vm_bochs,
    .realize = bochs_realize, .unrealize = bochs_unrealize, .reset = bochs_reset,
    .info = &bochs_info,
};
DEVICE_TYPE(bochs_display);
