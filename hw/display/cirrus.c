/* SPDX-License-Identifier: MIT */
/*
 * The PCI graphics card with a CL-GD5446, device "cirrus-vga" (1013:00B8): registers and modes.
 *
 * Source: manual, chapters 4 to 8.
 *
 *     sequencer    06 unlock  07 packed modes  0F memory  10-13 cursor  17 configuration
 *     graphics     00,01,10-15 colours  05 write modes  09-0B banks  20-39 engine (cirrus-blt.c)
 *     CRTC         1A,1B,1D bits of start address and pitch  24,26 attribute index  27 chip
 *     3C6h         the hidden DAC register, after four reads
 *
 * Not there: video overlay and capture, interlace (an interlaced picture is shown whole), clock
 * synthesizers (their registers hold what is written), DDC.
 */
#include "hw/display/cirrus.h"
#include "util/bits.h"
#include "util/log.h"

#define CHIP_ID         0xb8
#define UNLOCKED        0x12
#define LOCKED          0x0f
#define CR_EXT          0x1b            /* bit 0, 2, 3: start address 16-18; 4: pitch 8 */
#define CR_EXT2         0x1d            /* bit 7: start address 19 */
#define CR_MISC         0x1a
#define CR1A_INTERLACE  0x01

/* ---- sequencer --------------------------------------------------------------------------- */

/* Registers below 5 are the VGA's; SR10 and SR11 have three more bits in the index. */
static void sequencer_write(Cirrus *s, uint8_t val)
{
    unsigned n = s->sr_index & 31;

    if (n <= SR_MEMORY_MODE || n >= XSR_COUNT) {
        return;
    }
    switch (n) {
    case SR_UNLOCK:
        s->sr[n] = (val & 0x17) == UNLOCKED ? UNLOCKED : LOCKED;
        return;
    case SR_CURSOR_X:
        s->cursor_x = val << 3 | s->sr_index >> 5;
        break;
    case SR_CURSOR_Y:
        s->cursor_y = val << 3 | s->sr_index >> 5;
        break;
    case SR_CONFIG:
        val = (s->sr[n] & 0x38) | (val & 0xc7);
        break;
    }
    s->sr[n] = val;
    if (n == SR_MODE || n == SR_CONFIG) {
        cirrus_mem_update(s);
    }
}

static uint8_t sequencer_read(const Cirrus *s)
{
    unsigned n = s->sr_index & 31;

    switch (n) {
    case SR_CURSOR_X: return s->cursor_x >> 3;
    case SR_CURSOR_Y: return s->cursor_y >> 3;
    default:          return s->sr[n];
    }
}

/* ---- graphics controller ----------------------------------------------------------------- */

/* Bits that registers of the engine have. */
static uint8_t gr_mask(unsigned n)
{
    switch (n) {
    case BLT_WIDTH + 1: case BLT_DST_PITCH + 1: case BLT_SRC_PITCH + 1: return 0x1f;
    case BLT_HEIGHT + 1:                                                return 0x07;
    case BLT_DST + 2: case BLT_SRC + 2:                                 return 0x3f;
    default:                                                            return 0xff;
    }
}

/* Blits begin when START goes on, and when the destination's last byte is written, with
 * AUTOSTART; they end early when RESET goes off. */
static void write_start(Cirrus *s, uint8_t val)
{
    enum { START = 0x02, RESET = 0x04 };
    uint8_t old = s->gr[BLT_START];

    s->gr[BLT_START] = val;
    if ((old & RESET) && !(val & RESET)) {
        cirrus_blt_reset(s);
    } else if (!(old & START) && (val & START)) {
        cirrus_blt_start(s);
    }
}

void cirrus_gr_write(Cirrus *s, unsigned n, uint8_t val)
{
    enum { AUTOSTART = 0x80 };

    switch (n) {
    case GR_SET_RESET:
        s->gr0 = val;
        break;
    case GR_SR_ENABLE:
        s->gr1 = val;
        break;
    case GR_MODE:
        s->write_mode = val & 7;
        break;
    case BLT_START:
        write_start(s, val);
        return;
    }
    if (n >= XGR_COUNT) {
        return;
    }
    s->gr[n] = val & gr_mask(n);
    if (n <= GR_BIT_MASK) {             /* the VGA's, too */
        vga_graphics_write(&s->vga, n, val);
    }
    if (n == BLT_DST + 2 && (s->gr[BLT_START] & AUTOSTART)) {
        cirrus_blt_start(s);
    } else if (n == GR_MODE || (n >= GR_OFFSET0 && n <= GR_EXTENSIONS)) {
        cirrus_mem_update(s);
    }
}

uint8_t cirrus_gr_read(Cirrus *s, unsigned n)
{
    switch (n) {
    case GR_SET_RESET: return s->gr0;
    case GR_SR_ENABLE: return s->gr1;
    case GR_MODE:      return s->vga.gr[GR_MODE] | (s->write_mode & 4);
    default:           break;
    }
    return n <= GR_BIT_MASK ? s->vga.gr[n] : n < XGR_COUNT ? s->gr[n] : 0xff;
}

/* ---- DAC --------------------------------------------------------------------------------- */

/* The colours of the cursor, in place of the palette; as the VGA's dac_* otherwise. */
static void cursor_dac_write(Cirrus *s, uint8_t val)
{
    VGA *v = &s->vga;

    v->dac_cache[v->dac_part++] = val;
    if (v->dac_part == 3) {
        memcpy(s->cursor_dac + 3 * (v->dac_write & 15), v->dac_cache, 3);
        v->dac_part = 0;
        v->dac_write++;
    }
}

static uint8_t cursor_dac_read(Cirrus *s)
{
    VGA *v = &s->vga;
    uint8_t val = s->cursor_dac[3 * (v->dac_read & 15) + v->dac_part];

    if (++v->dac_part == 3) {
        v->dac_part = 0;
        v->dac_read++;
    }
    return val;
}

/* The fifth access in a row is to the hidden register. */
static uint8_t mask_read(Cirrus *s)
{
    if (s->hidden_reads == 4) {
        s->hidden_reads = 0;
        return s->hidden_dac;
    }
    s->hidden_reads++;
    return s->vga.dac_mask;
}

static void mask_write(Cirrus *s, uint8_t val)
{
    if (s->hidden_reads == 4) {
        s->hidden_dac = val;
    } else {
        s->vga.dac_mask = val;
        s->vga.palette_dirty = true;
    }
    s->hidden_reads = 0;
}

/* ---- ports ------------------------------------------------------------------------------- */

static bool crtc_read(const Cirrus *s, uint8_t *val)
{
    switch (s->vga.cr_index) {
    case 0x22:                          /* a byte of the latches */
        *val = s->vga.latch >> 8 * (s->vga.gr[GR_READ_MAP] & 3);
        return true;
    case 0x24:
        *val = s->vga.ar_data << 7;
        return true;
    case 0x26:
        *val = s->vga.ar_index & 0x3f;
        return true;
    case 0x27:
        *val = CHIP_ID;
        return true;
    default:
        return false;
    }
}

static bool port_read(VGA *v, unsigned port, uint8_t *val)
{
    Cirrus *s = cirrus_of(v);

    if (port != 0x3c6) {
        s->hidden_reads = 0;
    }
    switch (port) {
    case 0x3c4:
        *val = s->sr_index;
        return true;
    case 0x3c5:
        *val = sequencer_read(s);
        return (s->sr_index & 31) > SR_MEMORY_MODE;
    case 0x3c6:
        *val = mask_read(s);
        return true;
    case 0x3c9:
        if (!(s->sr[SR_CURSOR_ATTR] & SR12_CURSOR_DAC)) {
            return false;
        }
        *val = cursor_dac_read(s);
        return true;
    case 0x3ce:
        *val = s->gr_index;
        return true;
    case 0x3cf:
        *val = cirrus_gr_read(s, s->gr_index);
        return true;
    case 0x3b5:
    case 0x3d5:
        return crtc_read(s, val);
    default:
        return false;
    }
}

static bool port_write(VGA *v, unsigned port, uint8_t val)
{
    Cirrus *s = cirrus_of(v);

    if (port != 0x3c6) {
        s->hidden_reads = 0;
    }
    switch (port) {
    case 0x3c4:
        s->sr_index = val;
        return false;
    case 0x3c5:
        sequencer_write(s, val);
        return (s->sr_index & 31) > SR_MEMORY_MODE;
    case 0x3c6:
        mask_write(s, val);
        return true;
    case 0x3c9:
        if (!(s->sr[SR_CURSOR_ATTR] & SR12_CURSOR_DAC)) {
            return false;
        }
        cursor_dac_write(s, val);
        return true;
    case 0x3ce:
        s->gr_index = val;
        return true;
    case 0x3cf:
        cirrus_gr_write(s, s->gr_index, val);
        return true;
    default:
        return false;
    }
}

/* ---- modes ------------------------------------------------------------------------------- */

static unsigned depth(const Cirrus *s)
{
    switch (s->sr[SR_MODE] & SR7_DEPTH) {
    case 0x00: return 8;
    case 0x04: return 24;
    case 0x08: return 32;
    default:   return s->hidden_dac & 1 ? 16 : 15;     /* 5-6-5, 5-5-5 */
    }
}

static bool get_mode(const VGA *v, VGAMode *m)
{
    const Cirrus *s = cirrus_of(v);
    const uint8_t *cr = v->cr;
    uint32_t start;
    unsigned lines;

    if (!cirrus_packed(s)) {
        return false;
    }
    lines = (cr[CR_VDISPLAY_END] | (cr[CR_OVERFLOW] & 0x02) << 7 | (cr[CR_OVERFLOW] & 0x40) << 3) + 1;
    start = cr[CR_START_HI] << 8 | cr[CR_START_LO] | (cr[CR_EXT] & 0x01) << 16
            | (cr[CR_EXT] & 0x0c) << 15 | (cr[CR_EXT2] & 0x80) << 12;
    m->kind = VGA_LINEAR;
    m->bpp = depth(s);
    m->width = (cr[CR_HDISPLAY_END] + 1) * 8;
    m->height = cr[CR_MISC] & CR1A_INTERLACE ? 2 * lines : lines;
    m->wrap = v->mem_size - 1;
    m->start = (start << 2) & m->wrap;
    m->offset = (cr[CR_OFFSET] | (cr[CR_EXT] & 0x10) << 4) << 3;
    m->line_compare = ~0u;
    return true;
}

static const VGAExtension cirrus_extension = {
    .port_read = port_read, .port_write = port_write, .get_mode = get_mode,
    .cursor_lines = cirrus_cursor_lines, .draw_cursor = cirrus_cursor_draw,
};

/* ---- life -------------------------------------------------------------------------------- */

static bool cirrus_realize(Device *dev, Error **err)
{
    Cirrus *s = (Cirrus *)dev;

    if (s->mem_mb != 4 && s->mem_mb != 8 && s->mem_mb != 16) {
        return fail(err, "cirrus-vga: vgamem_mb=%u: 4, 8 or 16 are possible", s->mem_mb);
    }
    s->vga.ext = &cirrus_extension;
    if (!vga_init(&s->vga, dev->id ? dev->id : "cirrus-vga", s->mem_mb << 20, err)) {
        return false;
    }
    vga_map_legacy(&s->vga, s->pci.bus->io, s->pci.bus->mem);
    cirrus_mem_init(s, s->pci.bus->mem);
    pci_register_bar(&s->pci, 0, PCI_BAR_PREFETCH, &s->bar0);
    pci_register_bar(&s->pci, 1, PCI_BAR_MEM32, &s->bar1);
    return true;
}

static void cirrus_unrealize(Device *dev)
{
    Cirrus *s = (Cirrus *)dev;

    cirrus_mem_exit(s);
    vga_exit(&s->vga);
}

static void cirrus_reset(Device *dev)
{
    Cirrus *s = (Cirrus *)dev;

    vga_reset(&s->vga);
    memset(s->sr, 0, sizeof(s->sr));
    memset(s->gr, 0, sizeof(s->gr));
    s->sr_index = s->gr_index = s->gr0 = s->gr1 = s->write_mode = 0;
    s->sr[SR_UNLOCK] = LOCKED;
    s->sr[SR_MEMORY] = 0x98;            /* 4 MiB: four times 1 MiB, 64 bits wide */
    s->sr[SR_SCRATCH3] = 0x04;          /* the same, for the BIOS */
    s->sr[SR_CONFIG] = 0x20;            /* PCI */
    s->sr[SR_MCLK] = 0x2d;
    s->gr[0x18] = 0x0f;                 /* memory timing */
    s->hidden_dac = s->hidden_reads = 0;
    memset(s->cursor_dac, 0, sizeof(s->cursor_dac));
    s->cursor_x = s->cursor_y = 0;
    cirrus_blt_reset(s);
}

static bool cirrus_post_load(void *opaque, int version, Error **err)
{
    Cirrus *s = opaque;

    s->hidden_reads = MIN(s->hidden_reads, 4);
    s->cursor_x &= 0x7ff;
    s->cursor_y &= 0x7ff;
    s->write_mode &= 7;
    if (!cirrus_blt_check(s)) {
        return fail(err, "a blit that cannot be under way");
    }
    cirrus_mem_update(s);
    return true;
}

static const VMField cirrus_fields[] = {
    VM_STRUCT(Cirrus, pci, vm_pci_device), VM_STRUCT(Cirrus, vga, vm_vga),
    VM_UINT(Cirrus, sr_index), VM_UINT(Cirrus, gr_index), VM_BUFFER(Cirrus, sr), VM_BUFFER(Cirrus, gr),
    VM_UINT(Cirrus, gr0), VM_UINT(Cirrus, gr1), VM_UINT(Cirrus, write_mode),
    VM_UINT(Cirrus, hidden_dac), VM_UINT(Cirrus, hidden_reads), VM_BUFFER(Cirrus, cursor_dac),
    VM_UINT(Cirrus, cursor_x), VM_UINT(Cirrus, cursor_y), VM_STRUCT(Cirrus, blt, vm_cirrus_blt),
    VM_DONE
};
static const VMState vm_cirrus = {
    .name = "cirrus-vga", .post_load = cirrus_post_load, .fields = cirrus_fields,
};

static const Prop cirrus_props[] = {
    PROP_UINT("vgamem_mb", Cirrus, mem_mb, 4, "video memory in MiB"),
    PROP_BOOL("blitter", Cirrus, blitter, true, "the BitBLT engine works"),
    PROP_DONE
};

static const PCIInfo cirrus_info = {
    .vendor = 0x1013, .device = 0x00b8, .class_id = 0x0300, .rom = "vgabios-cirrus.bin",
    .not_hotpluggable = true,
};

static const DeviceType cirrus_vga = {
    .name = "cirrus-vga", .desc = "Cirrus CLGD 54xx VGA", .bus = "PCI", .category = "Display",
    .size = sizeof(Cirrus), .props = cirrus_props, .vmstate = &vm_cirrus,
    .realize = cirrus_realize, .unrealize = cirrus_unrealize, .reset = cirrus_reset,
    .info = &cirrus_info,
};
DEVICE_TYPE(cirrus_vga);
