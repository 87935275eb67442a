/* SPDX-License-Identifier: MIT */
/*
 * The memory window of the VGA: where an address goes, and what the graphics controller does
 * to a byte on its way.
 *
 * Source: IBM PS/2 Hardware Interface Technical Reference, "Video Subsystem": graphics
 * controller registers, memory mode register.
 *
 *     write mode 0   rotate, set/reset, logical function, bit mask
 *                1   the latches
 *                2   bits 0-3 of the byte are the colours of the planes; function, bit mask
 *                3   set/reset is the colour; the rotated byte narrows the bit mask
 *     read mode  0   one plane          1   where all planes that count match a colour
 *
 * All four planes are handled at once in a 32-bit word, plane 0 in the low byte.
 */
#include "hw/display/vga.h"
#include "util/bits.h"

/* One bit for each plane, spread to bytes of 00h or FFh */
static const uint32_t spread[16] = {
    0x00000000, 0x000000ff, 0x0000ff00, 0x0000ffff, 0x00ff0000, 0x00ff00ff, 0x00ffff00, 0x00ffffff,
    0xff000000, 0xff0000ff, 0xff00ff00, 0xff00ffff, 0xffff0000, 0xffff00ff, 0xffffff00, 0xffffffff,
};

/* Where GR6 puts the window, as offsets in A0000h-BFFFFh. */
static const struct { uint32_t from, len; } placement[4] = {
    { 0, 0x20000 }, { 0, 0x10000 }, { 0x10000, 0x8000 }, { 0x18000, 0x8000 },
};

typedef struct Place {
    uint32_t word;                  /* index of the four planes' word */
    unsigned planes;                /* that a write reaches, before the map mask */
    unsigned plane;                 /* that a read in mode 0 gets */
} Place;

/* false: nobody answers at this address. */
static bool locate(const VGA *s, hwaddr addr, bool write, Place *p)
{
    unsigned n = s->gr[GR_MISC] >> 2 & 3;
    bool odd_even = write ? !(s->sr[SR_MEMORY_MODE] & SR4_SEQUENTIAL)
                          : s->gr[GR_MODE] & GR5_ODD_EVEN;
    uint32_t at = addr - placement[n].from;

    if (addr < placement[n].from || at >= placement[n].len) {
        return false;
    }
    at += s->vbe_bank;
    if (s->sr[SR_MEMORY_MODE] & SR4_CHAIN4) {
        *p = (Place) { at >> 2, 1 << (at & 3), at & 3 };
    } else if (odd_even) {
        *p = (Place) { at >> 1, 5 << (at & 1), (s->gr[GR_READ_MAP] & 2) | (at & 1) };
    } else {
        *p = (Place) { at, 15, s->gr[GR_READ_MAP] };
    }
    return p->word < s->mem_size / 4;
}

static uint8_t read_byte(VGA *s, hwaddr addr)
{
    Place p;

    if (!locate(s, addr, false, &p)) {
        return 0xff;
    }
    s->latch = ld32_le(s->mem + 4 * p.word);
    if (!(s->gr[GR_MODE] & GR5_READ_MODE1)) {
        return s->latch >> (8 * p.plane);
    }
    uint32_t differs = (s->latch ^ spread[s->gr[GR_COLOR_COMPARE]]) & spread[s->gr[GR_DONT_CARE]];
    differs |= differs >> 16;
    differs |= differs >> 8;
    return ~differs;
}

static uint32_t combine(const VGA *s, uint32_t val)
{
    switch (s->gr[GR_ROTATE] >> 3 & 3) {
    case 0:  return val;
    case 1:  return val & s->latch;
    case 2:  return val | s->latch;
    default: return val ^ s->latch;
    }
}

/* What the graphics controller makes of a byte: the four planes' new bytes. */
static uint32_t process(const VGA *s, uint8_t byte)
{
    unsigned turn = s->gr[GR_ROTATE] & 7;
    uint8_t rotated = byte >> turn | byte << (8 - turn), mask = s->gr[GR_BIT_MASK];
    uint32_t val, set, mask4;

    switch (s->gr[GR_MODE] & GR5_WRITE_MODE) {
    case 0:
        set = spread[s->gr[GR_SR_ENABLE]];
        val = (rotated * 0x01010101u & ~set) | (spread[s->gr[GR_SET_RESET]] & set);
        break;
    case 1:
        return s->latch;
    case 2:
        val = spread[byte & 15];
        break;
    default:
        val = spread[s->gr[GR_SET_RESET]];
        mask &= rotated;
    }
    mask4 = mask * 0x01010101u;
    return (combine(s, val) & mask4) | (s->latch & ~mask4);
}

static void write_byte(VGA *s, hwaddr addr, uint8_t byte)
{
    Place p;

    if (!locate(s, addr, true, &p)) {
        return;
    }
    uint32_t planes = spread[p.planes & s->sr[SR_MAP_MASK]], old = ld32_le(s->mem + 4 * p.word);
    st32_le(s->mem + 4 * p.word, (process(s, byte) & planes) | (old & ~planes));
    ram_written(s->vram.ram, 4 * p.word, 4);
    s->font_dirty |= (planes & spread[1 << 2]) != 0;
}

static uint64_t window_read(void *opaque, hwaddr addr, unsigned size)
{
    uint64_t val = 0;

    for (unsigned i = 0; i < size; i++) {
        val |= (uint64_t)read_byte(opaque, addr + i) << (8 * i);
    }
    return val;
}

static void window_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    for (unsigned i = 0; i < size; i++) {
        write_byte(opaque, addr + i, val >> (8 * i));
    }
}

const RegionOps vga_window_ops = {
    .read = window_read, .write = window_write, .min = 1, .max = 8,
};

/* In chain-4 mode with nothing to process, the window is memory like any other; in packed VBE
 * modes it always is. */
static bool is_plain(const VGA *s)
{
    if (vga_vbe_on(s) && s->vbe[VBE_BPP] > 4 && (s->sr[SR_MEMORY_MODE] & SR4_CHAIN4)) {
        return (s->gr[GR_MISC] >> 2 & 3) < 2;
    }
    return (s->sr[SR_MEMORY_MODE] & SR4_CHAIN4) && s->sr[SR_MAP_MASK] == 15
           && (s->gr[GR_MISC] >> 2 & 3) < 2
           && !(s->gr[GR_MODE] & (GR5_WRITE_MODE | GR5_READ_MODE1))
           && !s->gr[GR_ROTATE] && !s->gr[GR_SR_ENABLE] && s->gr[GR_BIT_MASK] == 0xff;
}

void vga_update_window(VGA *s)
{
    bool plain = is_plain(s);

    if (!s->chained.mapped || (!plain && !s->chained.enabled)) {
        return;
    }
    memory_begin();
    if (plain) {
        region_set_alias_offset(&s->chained, MIN(s->vbe_bank, s->mem_size - 0x10000));
    }
    region_enable(&s->chained, plain);
    memory_commit();
}
