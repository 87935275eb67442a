/* SPDX-License-Identifier: MIT */
/*
 * VGA registers: sequencer, CRT controller, graphics and attribute controllers, DAC, and the
 * Bochs VBE registers.  Memory: vga-mem.c; drawing: vga-draw.c and vga-text.c.
 *
 * Source: IBM PS/2 Hardware Interface Technical Reference, "Video Subsystem".
 *
 *     3C0  attribute index/data    3C6  DAC mask            3CC  misc. output (read)
 *     3C1  attribute data (read)   3C7  DAC read index      3CE  graphics index
 *     3C2  misc. output, status 0  3C8  DAC write index     3CF  graphics data
 *     3C4  sequencer index         3C9  DAC data            3x4  CRTC index
 *     3C5  sequencer data          3CA  feature (read)      3x5  CRTC data, 3xA status 1
 *
 * x is B or D by bit 0 of the miscellaneous output register.  Not modelled: the vertical
 * interrupt (no PCI card connects it), light pen, overscan border.
 */
#include "hw/display/vga.h"
#include "util/bits.h"
#include "util/timer.h"

#define PORT_DISPI      0x1ce

#define ST1_DISPLAY_OFF 0x01        /* in horizontal or vertical blanking */
#define ST1_RETRACE     0x08        /* vertical */
#define ST0_SENSE       0x10

#define MSR_COLOR       0x01        /* registers at 3Dx */
#define CR11_PROTECT    0x80

#define VBE_MAX_XRES    16000
#define VBE_MAX_YRES    12000

static const uint8_t sr_mask[SR_COUNT] = { 0x03, 0x3d, 0x0f, 0x3f, 0x0e, 0, 0, 0xff };
static const uint8_t gr_mask[GR_COUNT] = { 0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff };

/* ---- time on the screen -------------------------------------------------------------- */

typedef struct Raster {
    uint64_t clock_ns_x1000;        /* of a character, in picoseconds */
    unsigned chars, lines;          /* of a frame, blanking included */
    unsigned shown_chars, shown_lines, sync_start, sync_end;
} Raster;

static unsigned overflow_bits(const VGA *s, uint8_t low, unsigned bit8, unsigned bit9)
{
    uint8_t o = s->cr[CR_OVERFLOW];
    return low | (o >> bit8 & 1) << 8 | (o >> bit9 & 1) << 9;
}

/* What a monitor would see; nonsense in the registers is bounded, not obeyed. */
static Raster raster(const VGA *s)
{
    unsigned dots = s->sr[SR_CLOCKING] & SR1_8_DOTS ? 8 : 9;
    /* picoseconds of a dot: 25.175 and 28.322 MHz; the others have no crystal */
    uint64_t dot = (s->msr >> 2 & 3) == 1 ? 35308 : 39722;
    Raster r;

    if (s->sr[SR_CLOCKING] & SR1_HALF_CLOCK) {
        dot *= 2;
    }
    r.clock_ns_x1000 = dots * dot;
    r.shown_chars = s->cr[CR_HDISPLAY_END] + 1;
    r.chars = MAX(s->cr[CR_HTOTAL] + 5u, r.shown_chars + 4);
    r.shown_lines = overflow_bits(s, s->cr[CR_VDISPLAY_END], 1, 6) + 1;
    r.lines = MAX(overflow_bits(s, s->cr[CR_VTOTAL], 0, 5) + 2, r.shown_lines + 4);
    r.sync_start = overflow_bits(s, s->cr[CR_VSYNC_START], 2, 7);
    if (r.sync_start < r.shown_lines || r.sync_start >= r.lines) {
        r.sync_start = r.shown_lines + 1;
    }
    r.sync_end = r.sync_start + MAX((s->cr[CR_VSYNC_END] - r.sync_start) & 15, 2u);
    if (vga_vbe_on(s)) {
        /* VBE modes leave the timing registers alone: 60 Hz */
        r.chars = r.shown_chars * 5 / 4 + 4;
        r.clock_ns_x1000 = 1000000000000ull / 60 / r.lines / r.chars + 1;
    }
    return r;
}

static uint8_t status1(const VGA *s)
{
    Raster r = raster(s);
    uint64_t chars = (uint64_t)vclock_ns() * 1000 / r.clock_ns_x1000;
    unsigned line = chars / r.chars % r.lines;
    bool shown = line < r.shown_lines && chars % r.chars < r.shown_chars;

    return (shown ? 0 : ST1_DISPLAY_OFF)
           | (line >= r.sync_start && line < r.sync_end ? ST1_RETRACE : 0);
}

/* ---- attribute controller ------------------------------------------------------------ */

static void attribute_write(VGA *s, uint8_t val)
{
    static const uint8_t mask[5] = { 0xef, 0xff, 0x3f, 0x0f, 0x0f };
    unsigned n = s->ar_index & 31;

    if (!s->ar_data) {
        if ((s->ar_index ^ val) & AR_INDEX_ON) {
            s->redraw = true;
        }
        s->ar_index = val & 0x3f;
    } else if (n < 0x10) {
        s->ar[n] = val & 0x3f;
    } else if (n < AR_COUNT) {
        s->ar[n] = val & mask[n - 0x10];
    }
    s->redraw |= s->ar_data;
    s->ar_data = !s->ar_data;
}

/* ---- DAC ----------------------------------------------------------------------------- */

static void dac_write_data(VGA *s, uint8_t val)
{
    s->dac_cache[s->dac_part++] = val;
    if (s->dac_part == 3) {
        memcpy(s->dac + 3 * s->dac_write, s->dac_cache, 3);
        s->dac_part = 0;
        s->dac_write++;
        s->palette_dirty = true;
    }
}

static uint8_t dac_read_data(VGA *s)
{
    uint8_t val = s->dac[3 * s->dac_read + s->dac_part];

    if (++s->dac_part == 3) {
        s->dac_part = 0;
        s->dac_read++;
    }
    return val;
}

/* ---- CRT controller ------------------------------------------------------------------ */

static void crtc_write(VGA *s, uint8_t val)
{
    unsigned n = s->cr_index;

    if ((s->cr[CR_VSYNC_END] & CR11_PROTECT) && n <= CR_OVERFLOW) {
        if (n == CR_OVERFLOW) {
            s->cr[n] = (s->cr[n] & ~0x10) | (val & 0x10);   /* line compare alone is free */
        }
        return;
    }
    s->cr[n] = val;
}

/* ---- ports --------------------------------------------------------------------------- */

/* Does the card answer there, with its registers where bit 0 of the misc. register puts them? */
static bool wrong_block(const VGA *s, unsigned port)
{
    bool mono = port < 0x3c0, color = port >= 0x3d0;
    return s->msr & MSR_COLOR ? mono : color;
}

uint8_t vga_port_read(VGA *s, unsigned port)
{
    uint8_t val;

    if (wrong_block(s, port)) {
        return 0xff;
    }
    if (s->ext && s->ext->port_read && s->ext->port_read(s, port, &val)) {
        return val;
    }
    switch (port) {
    case 0x3c0: return s->ar_data ? 0 : s->ar_index;
    case 0x3c1: return (s->ar_index & 31) < AR_COUNT ? s->ar[s->ar_index & 31] : 0;
    case 0x3c2: return ST0_SENSE;
    case 0x3c4: return s->sr_index;
    case 0x3c5: return s->sr[s->sr_index];
    case 0x3c6: return s->dac_mask;
    case 0x3c7: return s->dac_reading ? 3 : 0;
    case 0x3c8: return s->dac_write;
    case 0x3c9: return dac_read_data(s);
    case 0x3ca: return s->fcr;
    case 0x3cc: return s->msr;
    case 0x3ce: return s->gr_index;
    case 0x3cf: return s->gr[s->gr_index];
    case 0x3b4:
    case 0x3d4: return s->cr_index;
    case 0x3b5:
    case 0x3d5: return s->cr[s->cr_index];
    case 0x3ba:
    case 0x3da:
        s->ar_data = false;
        return status1(s);
    default:    return 0;
    }
}

static void sequencer_write(VGA *s, uint8_t val)
{
    val &= sr_mask[s->sr_index];
    if (s->sr_index == SR_FONT_SELECT && s->sr[SR_FONT_SELECT] != val) {
        s->redraw = true;
    }
    s->sr[s->sr_index] = val;
    vga_update_window(s);
}

void vga_graphics_write(VGA *s, unsigned n, uint8_t val)
{
    s->gr[n] = val & gr_mask[n];
    vga_update_window(s);
}

void vga_port_write(VGA *s, unsigned port, uint8_t val)
{
    if (wrong_block(s, port)
        || (s->ext && s->ext->port_write && s->ext->port_write(s, port, val))) {
        return;
    }
    switch (port) {
    case 0x3c0: attribute_write(s, val); break;
    case 0x3c2: s->msr = val & ~0x10; break;
    case 0x3c4: s->sr_index = val & (SR_COUNT - 1); break;
    case 0x3c5: sequencer_write(s, val); break;
    case 0x3c6:
        s->dac_mask = val;
        s->palette_dirty = true;
        break;
    case 0x3c7:
        s->dac_read = val;
        s->dac_part = 0;
        s->dac_reading = true;
        break;
    case 0x3c8:
        s->dac_write = val;
        s->dac_part = 0;
        s->dac_reading = false;
        break;
    case 0x3c9: dac_write_data(s, val); break;
    case 0x3ce: s->gr_index = val & (GR_COUNT - 1); break;
    case 0x3cf: vga_graphics_write(s, s->gr_index, val); break;
    case 0x3b4:
    case 0x3d4: s->cr_index = val; break;
    case 0x3b5:
    case 0x3d5: crtc_write(s, val); break;
    case 0x3ba:
    case 0x3da: s->fcr = val & 0x10; break;
    }
}

static uint64_t ports_read(void *opaque, hwaddr addr, unsigned size)
{
    VGAPorts *p = opaque;
    return vga_port_read(p->vga, p->base + addr);
}

static void ports_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    VGAPorts *p = opaque;
    vga_port_write(p->vga, p->base + addr, val);
}

static const RegionOps ports_ops = {
    .read = ports_read, .write = ports_write, .min = 1, .max = 1,
};

/* ---- Bochs VBE ----------------------------------------------------------------------- */

bool vga_vbe_on(const VGA *s)
{
    return s->vbe[VBE_ENABLE] & VBE_ENABLED;
}

static unsigned vbe_bits(const VGA *s)
{
    return s->vbe[VBE_BPP] == 15 ? 16 : s->vbe[VBE_BPP];
}

uint32_t vga_vbe_pitch(const VGA *s)
{
    return s->vbe[VBE_VIRT_WIDTH] * vbe_bits(s) / 8;
}

/* Registers are put right so that whatever they say, the picture lies inside the memory. */
static void vbe_fix(VGA *s)
{
    uint16_t *r = s->vbe;
    uint32_t lines, offset;
    uint64_t end;

    switch (r[VBE_BPP]) {
    case 4: case 8: case 15: case 16: case 24: case 32: break;
    default: r[VBE_BPP] = 8;
    }
    r[VBE_XRES] = CLAMP(r[VBE_XRES] & ~7, 8, VBE_MAX_XRES);
    r[VBE_VIRT_WIDTH] = CLAMP(r[VBE_VIRT_WIDTH] & ~7, r[VBE_XRES], VBE_MAX_XRES);
    lines = s->mem_size / vga_vbe_pitch(s);
    if (!lines) {
        r[VBE_VIRT_WIDTH] = r[VBE_XRES];
        lines = MAX(s->mem_size / vga_vbe_pitch(s), 1u);
    }
    r[VBE_YRES] = CLAMP(r[VBE_YRES], 1, MIN(lines, VBE_MAX_YRES));
    r[VBE_VIRT_HEIGHT] = MIN(lines, 0xffff);
    offset = r[VBE_X_OFFSET] * vbe_bits(s) / 8;
    end = (uint64_t)(r[VBE_Y_OFFSET] + r[VBE_YRES]) * vga_vbe_pitch(s) + offset;
    if (end > s->mem_size) {
        r[VBE_Y_OFFSET] = MIN(r[VBE_Y_OFFSET], lines - r[VBE_YRES]);
        r[VBE_X_OFFSET] = 0;
    }
}

/* Software that looks at VGA registers shall find a graphics mode of that size. */
static void vbe_set_vga(VGA *s)
{
    unsigned h = s->vbe[VBE_YRES] - 1, pitch = vga_vbe_pitch(s);
    bool planar = s->vbe[VBE_BPP] == 4;

    s->gr[GR_MISC] = (s->gr[GR_MISC] & ~0x0c) | 0x04 | GR6_GRAPHICS;
    s->cr[CR_MODE] |= CR17_ROW0_A13 | CR17_ROW1_A14;
    s->cr[CR_OFFSET] = pitch >> 3;
    s->cr[CR_HDISPLAY_END] = (s->vbe[VBE_XRES] >> 3) - 1;
    s->cr[CR_VDISPLAY_END] = h;
    s->cr[CR_OVERFLOW] = (s->cr[CR_OVERFLOW] & ~0x42) | (h >> 7 & 0x02) | (h >> 3 & 0x40) | 0x10;
    s->cr[CR_LINE_COMPARE] = 0xff;
    s->cr[CR_MAX_SCAN] = (s->cr[CR_MAX_SCAN] & ~0x9f) | 0x40;
    s->gr[GR_MODE] = (s->gr[GR_MODE] & ~(GR5_256 | GR5_INTERLEAVE)) | (planar ? 0 : GR5_256);
    if (planar) {
        s->sr[SR_CLOCKING] &= ~SR1_HALF_CLOCK;
        s->sr[SR_MEMORY_MODE] &= ~SR4_CHAIN4;
    } else {
        s->sr[SR_MEMORY_MODE] |= SR4_CHAIN4;
        s->sr[SR_MAP_MASK] = 0x0f;
    }
}

static void vbe_enable(VGA *s, uint16_t val)
{
    bool was_on = vga_vbe_on(s);

    s->vbe[VBE_ENABLE] = val;
    if ((val & VBE_ENABLED) && !was_on) {
        s->vbe[VBE_VIRT_WIDTH] = 0;
        s->vbe[VBE_X_OFFSET] = s->vbe[VBE_Y_OFFSET] = 0;
        vbe_fix(s);
        vbe_set_vga(s);
        if (!(val & VBE_NOCLEAR)) {
            uint32_t len = s->vbe[VBE_YRES] * vga_vbe_pitch(s);
            memset(s->mem, 0, len);
            dirty_set(&s->vram, 0, len);
        }
    } else if (!(val & VBE_ENABLED)) {
        s->vbe_bank = 0;
    }
    s->palette_dirty = true;
}

uint16_t vga_dispi_read(VGA *s, unsigned index)
{
    bool caps = s->vbe[VBE_ENABLE] & VBE_GETCAPS;

    switch (index) {
    case VBE_XRES:        return caps ? VBE_MAX_XRES : s->vbe[index];
    case VBE_YRES:        return caps ? VBE_MAX_YRES : s->vbe[index];
    case VBE_BPP:         return caps ? 32 : s->vbe[index];
    case VBE_MEMORY_64K:  return s->mem_size >> 16;
    default:              return index < VBE_COUNT ? s->vbe[index] : 0;
    }
}

void vga_dispi_write(VGA *s, unsigned index, uint16_t val)
{
    switch (index) {
    case VBE_ID:
        if (val >= 0xb0c0 && val <= VBE_ID5) {
            s->vbe[VBE_ID] = val;
        }
        break;
    case VBE_XRES: case VBE_YRES: case VBE_BPP: case VBE_VIRT_WIDTH: case VBE_X_OFFSET:
    case VBE_Y_OFFSET:
        s->vbe[index] = val;
        if (vga_vbe_on(s)) {
            vbe_fix(s);
            vbe_set_vga(s);
        }
        break;
    case VBE_BANK:
        s->vbe[VBE_BANK] = val;
        s->vbe_bank = (uint32_t)val << 16 & (s->mem_size - 1);
        break;
    case VBE_ENABLE:
        vbe_enable(s, val);
        break;
    }
    vga_update_window(s);
}

static uint64_t dispi_read(void *opaque, hwaddr addr, unsigned size)
{
    VGA *s = opaque;
    return addr ? vga_dispi_read(s, s->vbe_index) : s->vbe_index;
}

/* A word at 1CEh selects; data may be a word at 1CFh or 1D0h. */
static void dispi_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    VGA *s = opaque;

    if (size == 1) {
        return;
    }
    if (addr == 0) {
        s->vbe_index = val;
    } else {
        vga_dispi_write(s, s->vbe_index, val);
    }
}

static const RegionOps dispi_ops = {
    .read = dispi_read, .write = dispi_write, .min = 1, .max = 2, .unaligned = true,
};

void vga_set_endian(VGA *s, bool big)
{
    s->big_endian = big;
}

/* ---- life ---------------------------------------------------------------------------- */

bool vga_init(VGA *s, const char *name, uint32_t mem_size, Error **err)
{
    static const struct { uint16_t base, len; } blocks[5] = {
        { 0x3b4, 2 }, { 0x3ba, 1 }, { 0x3c0, 16 }, { 0x3d4, 2 }, { 0x3da, 1 },
    };

    g_assert(is_pow2(mem_size) && mem_size >= 256 << 10);
    if (!region_init_ram(&s->vram, "vga.vram", mem_size, err)) {
        return false;
    }
    s->mem = region_host(&s->vram);
    s->mem_size = mem_size;
    s->dirty = g_malloc0(mem_size / GUEST_PAGE_SIZE / 8 + sizeof(long));
    dirty_start(&s->vram, DIRTY_VGA);
    region_init_io(&s->window, "vga-lowmem", 0x20000, &vga_window_ops, s);
    region_coalesce(&s->window, 0, 0x20000);
    region_init_alias(&s->chained, "vga.chain4", &s->vram, 0, 0x10000);
    region_init_io(&s->dispi, "vbe", 4, &dispi_ops, s);
    for (unsigned i = 0; i < G_N_ELEMENTS(blocks); i++) {
        s->ports[i].vga = s;
        s->ports[i].base = blocks[i].base;
        region_init_io(&s->ports[i].region, "vga", blocks[i].len, &ports_ops, &s->ports[i]);
    }
    s->shared_console = s->console;
    if (!s->console) {
        s->console = console_new(name, 0, &vga_console_ops, s);
    }
    return true;
}

void vga_map_legacy(VGA *s, Region *io, Region *mem)
{
    memory_begin();
    for (unsigned i = 0; i < G_N_ELEMENTS(s->ports); i++) {
        region_map(io, s->ports[i].base, &s->ports[i].region, 0);
    }
    if (!s->ext) {
        region_map(io, PORT_DISPI, &s->dispi, 0);
    }
    region_map(mem, 0xa0000, &s->window, 1);
    region_enable(&s->chained, false);
    region_map(mem, 0xa0000, &s->chained, 2);
    memory_commit();
}

void vga_exit(VGA *s)
{
    if (!s->shared_console) {
        console_free(s->console);
    }
    g_clear_pointer(&s->direct, pixman_image_unref);
    region_destroy(&s->dispi);
    for (unsigned i = 0; i < G_N_ELEMENTS(s->ports); i++) {
        region_destroy(&s->ports[i].region);
    }
    region_destroy(&s->chained);
    region_destroy(&s->window);
    dirty_stop(&s->vram, DIRTY_VGA);
    region_destroy(&s->vram);
    g_free(s->dirty);
    g_free(s->cells);
    g_free(s->line);
}

void vga_reset(VGA *s)
{
    s->sr_index = s->gr_index = s->ar_index = s->cr_index = 0;
    memset(s->sr, 0, sizeof(s->sr));
    memset(s->gr, 0, sizeof(s->gr));
    memset(s->ar, 0, sizeof(s->ar));
    memset(s->cr, 0, sizeof(s->cr));
    s->msr = s->fcr = 0;
    s->ar_data = s->dac_reading = false;
    s->latch = 0;
    memset(s->dac, 0, sizeof(s->dac));
    memset(s->dac_cache, 0, sizeof(s->dac_cache));
    s->dac_mask = s->dac_write = s->dac_read = s->dac_part = 0;
    s->vbe_index = 0;
    memset(s->vbe, 0, sizeof(s->vbe));
    s->vbe[VBE_ID] = VBE_ID5;
    s->vbe_bank = 0;
    s->big_endian = false;
    s->palette_dirty = s->redraw = true;
    vga_update_window(s);
}

static bool vga_post_load(void *opaque, int version, Error **err)
{
    VGA *s = opaque;

    s->sr_index &= SR_COUNT - 1;
    s->gr_index &= GR_COUNT - 1;
    s->ar_index &= 0x3f;
    s->dac_part %= 3;
    s->vbe_bank = (uint32_t)s->vbe[VBE_BANK] << 16 & (s->mem_size - 1);
    if (vga_vbe_on(s)) {
        vbe_fix(s);
    } else {
        s->vbe_bank = 0;
    }
    s->palette_dirty = s->redraw = true;
    vga_update_window(s);
    return true;
}

static const VMField vga_fields[] = {
    VM_UINT(VGA, sr_index), VM_UINT(VGA, gr_index), VM_UINT(VGA, ar_index), VM_UINT(VGA, cr_index),
    VM_BUFFER(VGA, sr), VM_BUFFER(VGA, gr), VM_BUFFER(VGA, ar), VM_BUFFER(VGA, cr),
    VM_UINT(VGA, msr), VM_UINT(VGA, fcr), VM_BOOL(VGA, ar_data), VM_UINT(VGA, latch),
    VM_BUFFER(VGA, dac), VM_UINT(VGA, dac_mask), VM_UINT(VGA, dac_write), VM_UINT(VGA, dac_read),
    VM_UINT(VGA, dac_part), VM_BUFFER(VGA, dac_cache), VM_BOOL(VGA, dac_reading),
    VM_UINT(VGA, vbe_index), VM_UINTS(VGA, vbe), VM_BOOL(VGA, big_endian),
    VM_DONE
};
const VMState vm_vga = { .name = "vga", .post_load = vga_post_load, .fields = vga_fields };
