/* SPDX-License-Identifier: MIT */
/*
 * The BitBLT engine of the CL-GD5446.
 *
 * Source: manual, chapter 9 "Programming Notes: BitBLT engine", registers GR20 to GR39.
 *
 * A blit combines a destination with a source, byte by byte or pixel by pixel, by one of 16
 * operations.  The source is
 *
 *     video memory                          a rectangle, copied forwards or backwards
 *     the CPU                               what it writes to the apertures, line by line
 *     ... with COLOR_EXPAND                 bits, each a pixel of foreground or background colour
 *     ... with PATTERN                      8x8 pixels (or bits), repeated
 *     nothing, with SOLID_FILL              the foreground colour
 *
 * TRANSPARENT leaves out bits that are 0, or, without expansion, results of the key's colour.
 * With TO_CPU the source goes to the CPU, which reads the apertures.
 *
 * Addresses wrap at the end of the memory, as on the chip, so that nothing the guest says
 * leads out of it.  A blit is done when its start register has been written, or the last
 * byte of it came from the CPU: nobody finds the engine at work otherwise.
 */
#include "hw/display/cirrus.h"
#include "util/bits.h"
#include "util/log.h"

/* GR30 */
#define BACKWARDS       0x01
#define TO_CPU          0x02
#define FROM_CPU        0x04
#define TRANSPARENT     0x08
#define DEPTH(mode)     (((mode) >> 4 & 3) + 1)
#define PATTERN         0x40
#define COLOR_EXPAND    0x80
/* GR33 */
#define DWORD_LINES     0x01            /* each line of bits begins with a doubleword */
#define INVERT          0x02            /* bits that are 0 count, in the background colour */
#define SOLID_FILL      0x04
/* GR31 */
#define BUSY            0x01
#define START           0x02
#define FIFO_USED       0x10

/* ---- operations -------------------------------------------------------------------------- */

/* What becomes of source and destination bits, as bits of a number: 1 both, 2 the source's,
 * 4 the destination's alone, 8 neither. */
enum { BOTH = 1, SRC_ONLY = 2, DST_ONLY = 4, NEITHER = 8 };

static const struct { uint8_t code, table; } operations[] = {
    { 0x00, 0 },                                /* 0 */
    { 0x05, BOTH },                             /* s & d */
    { 0x06, BOTH | DST_ONLY },                  /* d */
    { 0x09, SRC_ONLY },                         /* s & ~d */
    { 0x0b, SRC_ONLY | NEITHER },               /* ~d */
    { 0x0d, BOTH | SRC_ONLY },                  /* s */
    { 0x0e, 15 },                               /* 1 */
    { 0x50, DST_ONLY },                         /* ~s & d */
    { 0x59, SRC_ONLY | DST_ONLY },              /* s ^ d */
    { 0x6d, BOTH | SRC_ONLY | DST_ONLY },       /* s | d */
    { 0x90, SRC_ONLY | DST_ONLY | NEITHER },    /* ~s | ~d */
    { 0x95, BOTH | NEITHER },                   /* ~(s ^ d) */
    { 0xad, BOTH | SRC_ONLY | NEITHER },        /* s | ~d */
    { 0xd0, DST_ONLY | NEITHER },               /* ~s */
    { 0xd6, BOTH | DST_ONLY | NEITHER },        /* ~s | d */
    { 0xda, NEITHER },                          /* ~s & ~d */
};
#define ROP_SRC (BOTH | SRC_ONLY)
#define ROP_DST (BOTH | DST_ONLY)

/* Others do nothing. */
static uint8_t operation(uint8_t code)
{
    for (size_t i = 0; i < G_N_ELEMENTS(operations); i++) {
        if (operations[i].code == code) {
            return operations[i].table;
        }
    }
    LOG_GUEST("cirrus: raster operation %02x", code);
    return ROP_DST;
}

static inline uint32_t combine(uint8_t table, uint32_t s, uint32_t d)
{
    return (table & BOTH ? s & d : 0) | (table & SRC_ONLY ? s & ~d : 0)
           | (table & DST_ONLY ? ~s & d : 0) | (table & NEITHER ? ~s & ~d : 0);
}

/* ---- memory ------------------------------------------------------------------------------ */

static inline uint8_t *at(Cirrus *s, uint32_t addr)
{
    return s->vga.mem + (addr & (s->vga.mem_size - 1));
}

/* Bytes from addr on, wherever they wrap, were stored to. */
static void touched(Cirrus *s, uint32_t addr, uint32_t len)
{
    uint32_t from = addr & (s->vga.mem_size - 1), first = MIN(len, s->vga.mem_size - from);

    ram_written(s->vga.vram.ram, from, first);
    if (len > first) {
        ram_written(s->vga.vram.ram, 0, len - first);
    }
}

static uint32_t load_pixel(Cirrus *s, uint32_t addr, unsigned depth)
{
    uint32_t v = 0;

    for (unsigned i = 0; i < depth; i++) {
        v |= (uint32_t)*at(s, addr + i) << 8 * i;
    }
    return v;
}

static void store_pixel(Cirrus *s, uint32_t addr, unsigned depth, uint32_t v)
{
    for (unsigned i = 0; i < depth; i++) {
        *at(s, addr + i) = v >> 8 * i;
    }
}

/* A pixel at dst becomes what it and src make. */
static inline void put_pixel(Cirrus *s, uint32_t dst, uint32_t src)
{
    const CirrusBlt *b = &s->blt;
    uint32_t d = b->rop == ROP_SRC ? 0 : load_pixel(s, dst, b->depth);

    store_pixel(s, dst, b->depth, combine(b->rop, src, d));
}

/* ---- copies ------------------------------------------------------------------------------ */

static bool lines_overlap(const Cirrus *s, uint32_t a, uint32_t b, uint32_t len)
{
    uint32_t mask = s->vga.mem_size - 1;
    return ((a - b) & mask) < len || ((b - a) & mask) < len;
}

static bool line_wraps(const Cirrus *s, uint32_t addr, uint32_t len)
{
    return (addr & (s->vga.mem_size - 1)) + len > s->vga.mem_size;
}

/* step: 1 or -1.  src is memory that the CPU sent, or NULL: video memory at b->src. */
static void copy_line(Cirrus *s, const uint8_t *sent, int step)
{
    const CirrusBlt *b = &s->blt;
    uint32_t low = step > 0 ? b->dst : b->dst - (b->width - 1);
    uint32_t low_src = step > 0 ? b->src : b->src - (b->width - 1);

    if (b->rop == ROP_SRC && !line_wraps(s, low, b->width)
        && (sent || (!line_wraps(s, low_src, b->width) && !lines_overlap(s, low, low_src, b->width)))) {
        memcpy(at(s, low), sent ? sent : at(s, low_src), b->width);
    } else {
        /* one after the other: a line that overlaps itself repeats what it copied */
        for (uint32_t i = 0; i < b->width; i++) {
            uint8_t *d = at(s, b->dst + step * i);
            *d = combine(b->rop, sent ? sent[i] : *at(s, b->src + step * i), *d);
        }
    }
    touched(s, low, b->width);
}

/* Pixels whose result is the key stay as they are; 8 and 16 bits only. */
static void copy_line_keyed(Cirrus *s, const uint8_t *sent, int step)
{
    const CirrusBlt *b = &s->blt;
    uint32_t key = s->gr[BLT_KEY] | (b->depth == 2 ? s->gr[BLT_KEY + 1] << 8 : 0);
    uint32_t mask = b->depth == 2 ? 0xffff : 0xff;

    for (uint32_t i = 0; i + b->depth <= b->width; i += b->depth) {
        /* backwards, addresses are those of the last byte */
        uint32_t dst = step > 0 ? b->dst + i : b->dst - i - (b->depth - 1);
        uint32_t src = step > 0 ? b->src + i : b->src - i - (b->depth - 1);
        uint32_t v = sent ? (b->depth == 2 ? ld16_le(sent + i) : sent[i]) : load_pixel(s, src, b->depth);
        v = combine(b->rop, v, load_pixel(s, dst, b->depth)) & mask;
        if (v != key) {
            store_pixel(s, dst, b->depth, v);
        }
    }
    touched(s, step > 0 ? b->dst : b->dst - (b->width - 1), b->width);
}

/* ---- colour expansion, patterns, fills --------------------------------------------------- */

/* Bytes and pixels of the line's beginning that are left out. */
static unsigned skipped_bytes(const Cirrus *s)
{
    const CirrusBlt *b = &s->blt;
    return b->depth == 3 ? s->gr[BLT_CLIP] & 31 : (s->gr[BLT_CLIP] & 7) * b->depth;
}

static unsigned skipped_pixels(const Cirrus *s)
{
    const CirrusBlt *b = &s->blt;
    return b->depth == 3 ? (s->gr[BLT_CLIP] & 31) / 3 : s->gr[BLT_CLIP] & 7;
}

static inline void expand_bit(Cirrus *s, uint32_t dst, bool bit)
{
    const CirrusBlt *b = &s->blt;

    if (!(b->mode & TRANSPARENT)) {
        put_pixel(s, dst, bit ? b->fg : b->bg);
    } else if (b->ext & INVERT) {
        if (!bit) {
            put_pixel(s, dst, b->bg);
        }
    } else if (bit) {
        put_pixel(s, dst, b->fg);
    }
}

/* Bytes of bits that one line takes. */
static uint32_t bits_length(const Cirrus *s)
{
    const CirrusBlt *b = &s->blt;
    uint32_t skip = skipped_bytes(s), pixels = b->width > skip ? (b->width - skip + b->depth - 1) / b->depth : 0;

    return (skipped_pixels(s) + pixels + 7) / 8;
}

/* Bits of a line, sent by the CPU or in video memory at b->src. */
static void expand_line(Cirrus *s, const uint8_t *sent, uint32_t sent_len)
{
    const CirrusBlt *b = &s->blt;
    unsigned n = skipped_pixels(s);

    for (uint32_t x = skipped_bytes(s); x < b->width; x += b->depth, n++) {
        if (sent && n / 8 >= sent_len) {
            break;
        }
        uint8_t bits = sent ? sent[n / 8] : *at(s, b->src + n / 8);
        expand_bit(s, b->dst + x, bits >> (7 - n % 8) & 1);
    }
    touched(s, b->dst, b->width + b->depth);
}

/* The pattern: 8 bytes of bits, or 8 lines of 8 pixels (24 bits: 32 bytes apart). */
static unsigned pattern_pitch(const CirrusBlt *b)
{
    return b->mode & COLOR_EXPAND ? 1 : b->depth == 3 ? 32 : 8 * b->depth;
}

static void pattern_line(Cirrus *s, const uint8_t *line)
{
    const CirrusBlt *b = &s->blt;
    unsigned n = skipped_pixels(s);

    for (uint32_t x = skipped_bytes(s); x < b->width; x += b->depth, n++) {
        if (b->mode & COLOR_EXPAND) {
            expand_bit(s, b->dst + x, *line >> (7 - n % 8) & 1);
            continue;
        }
        uint32_t v = 0;
        for (unsigned i = 0; i < b->depth; i++) {
            v |= (uint32_t)line[n % 8 * b->depth + i] << 8 * i;
        }
        put_pixel(s, b->dst + x, v);
    }
    touched(s, b->dst, b->width + b->depth);
}

static void fill_line(Cirrus *s)
{
    const CirrusBlt *b = &s->blt;

    for (uint32_t x = 0; x < b->width; x += b->depth) {
        put_pixel(s, b->dst + x, b->fg);
    }
    touched(s, b->dst, b->width + b->depth);
}

/* ---- whole blits ------------------------------------------------------------------------- */

static void next_line(Cirrus *s)
{
    CirrusBlt *b = &s->blt;

    b->dst += b->dst_pitch;
    b->src += b->src_pitch;
    b->line++;
}

/* The pattern begins with the line that the low bits of its address tell. */
static void pattern_fill(Cirrus *s, const uint8_t *sent)
{
    CirrusBlt *b = &s->blt;
    unsigned pitch = pattern_pitch(b), row = b->src & 7;
    uint32_t base = b->src & ~(8 * pitch - 1);
    uint8_t pattern[8 * 32];

    for (unsigned i = 0; i < 8 * pitch; i++) {
        pattern[i] = sent ? sent[i] : *at(s, base + i);
    }
    while (b->line < b->height) {
        pattern_line(s, pattern + row * pitch);
        row = (row + 1) & 7;
        next_line(s);
    }
}

static void copy_rectangle(Cirrus *s)
{
    CirrusBlt *b = &s->blt;
    int step = b->mode & BACKWARDS ? -1 : 1;

    while (b->line < b->height) {
        if (b->mode & TRANSPARENT) {
            copy_line_keyed(s, NULL, step);
        } else {
            copy_line(s, NULL, step);
        }
        next_line(s);
    }
}

static void expand_rectangle(Cirrus *s)
{
    CirrusBlt *b = &s->blt;
    uint32_t len = bits_length(s);

    while (b->line < b->height) {
        uint32_t src = b->src;
        expand_line(s, NULL, 0);
        next_line(s);
        b->src = src + len;             /* lines of bits lie one behind the other */
    }
}

static void fill_rectangle(Cirrus *s)
{
    CirrusBlt *b = &s->blt;

    while (b->line < b->height) {
        fill_line(s);
        next_line(s);
    }
}

void cirrus_blt_reset(Cirrus *s)
{
    s->gr[BLT_START] &= ~(START | BUSY | FIFO_USED);
    memset(&s->blt, 0, sizeof(s->blt));
    cirrus_mem_update(s);
}

/* ---- from and to the CPU ----------------------------------------------------------------- */

/* A line (or the pattern) of the CPU's is complete. */
static void sent_line(Cirrus *s)
{
    CirrusBlt *b = &s->blt;

    if (b->mode & PATTERN) {
        pattern_fill(s, b->fifo);
    } else {
        if (b->mode & COLOR_EXPAND) {
            expand_line(s, b->fifo, b->fifo_len);
        } else if (b->mode & TRANSPARENT) {
            copy_line_keyed(s, b->fifo, 1);
        } else {
            copy_line(s, b->fifo, 1);
        }
        next_line(s);
    }
    b->fifo_used = 0;
    if (b->line >= b->height) {
        cirrus_blt_reset(s);
    }
}

void cirrus_blt_feed(Cirrus *s, uint8_t byte)
{
    CirrusBlt *b = &s->blt;

    b->fifo[b->fifo_used++] = byte;
    if (b->fifo_used >= b->fifo_len) {
        sent_line(s);
    }
}

static void read_line(Cirrus *s)
{
    CirrusBlt *b = &s->blt;

    memset(b->fifo, 0, sizeof(b->fifo));
    for (uint32_t i = 0; i < b->width; i++) {
        b->fifo[i] = *at(s, b->src + i);
    }
}

uint8_t cirrus_blt_fetch(Cirrus *s)
{
    CirrusBlt *b = &s->blt;
    uint8_t byte = b->fifo[b->fifo_used++];

    if (b->fifo_used >= b->fifo_len) {
        b->fifo_used = 0;
        next_line(s);
        if (b->line < b->height) {
            read_line(s);
        } else {
            cirrus_blt_reset(s);
        }
    }
    return byte;
}

/* Lines come as whole doublewords; lines of bits as bytes unless DWORD_LINES. */
static uint32_t line_from_cpu(const Cirrus *s)
{
    const CirrusBlt *b = &s->blt;
    uint32_t pixels = b->width / b->depth;

    if (b->mode & PATTERN) {
        return 8 * pattern_pitch(b);
    }
    if (b->mode & COLOR_EXPAND) {
        return b->ext & DWORD_LINES ? (pixels + 31) / 32 * 4 : (pixels + 7) / 8;
    }
    return (b->width + 3) & ~3u;
}

static void begin_cpu(Cirrus *s)
{
    CirrusBlt *b = &s->blt;

    b->from_cpu = b->mode & FROM_CPU;
    b->to_cpu = !b->from_cpu;
    b->fifo_len = b->to_cpu ? (b->width + 3) & ~3u : line_from_cpu(s);
    b->fifo_used = 0;
    if (!b->fifo_len) {
        cirrus_blt_reset(s);
        return;
    }
    if (b->to_cpu) {
        read_line(s);
    }
    cirrus_mem_update(s);
}

/* ---- start ------------------------------------------------------------------------------- */

static uint32_t color(const Cirrus *s, uint8_t low, unsigned first)
{
    uint32_t v = low | s->gr[first] << 8 | s->gr[first + 2] << 16 | (uint32_t)s->gr[first + 4] << 24;
    return s->blt.depth == 4 ? v : v & ((1u << 8 * s->blt.depth) - 1);
}

static void take_registers(Cirrus *s)
{
    const uint8_t *r = s->gr;
    CirrusBlt *b = &s->blt;

    memset(b, 0, sizeof(*b));
    b->width = (ld16_le(r + BLT_WIDTH) & 0x1fff) + 1;
    b->height = (ld16_le(r + BLT_HEIGHT) & 0x7ff) + 1;
    b->dst_pitch = ld16_le(r + BLT_DST_PITCH) & 0x1fff;
    b->src_pitch = ld16_le(r + BLT_SRC_PITCH) & 0x1fff;
    b->dst = ld32_le(r + BLT_DST) & 0x3fffff;
    b->src = ld32_le(r + BLT_SRC) & 0x3fffff;
    b->mode = r[BLT_MODE];
    b->ext = r[BLT_EXTENSIONS];
    b->depth = DEPTH(b->mode);
    b->rop = operation(r[BLT_ROP]);
    b->fg = color(s, s->gr1, XGR_FG1);
    b->bg = color(s, s->gr0, XGR_BG1);
}

/* Is this a fill with one colour?  The source then does not matter. */
static bool is_solid(const CirrusBlt *b)
{
    return (b->ext & SOLID_FILL)
           && (b->mode & (TO_CPU | TRANSPARENT | PATTERN | COLOR_EXPAND)) == (PATTERN | COLOR_EXPAND);
}

static bool makes_sense(const CirrusBlt *b)
{
    bool expands = b->mode & (COLOR_EXPAND | PATTERN);

    if ((b->mode & FROM_CPU) && (b->mode & TO_CPU)) {
        return false;
    }
    if ((b->mode & TO_CPU) && (expands || (b->mode & TRANSPARENT))) {
        return false;
    }
    /* keys have 16 bits */
    return expands || !(b->mode & TRANSPARENT) || b->depth <= 2;
}

void cirrus_blt_start(Cirrus *s)
{
    CirrusBlt *b = &s->blt;

    take_registers(s);
    if (!s->blitter || !makes_sense(b)) {
        LOG_GUEST("cirrus: blit mode %02x", b->mode);
        cirrus_blt_reset(s);
        return;
    }
    s->gr[BLT_START] |= BUSY;
    if ((b->mode & BACKWARDS) && !(b->mode & (COLOR_EXPAND | PATTERN))) {
        b->dst_pitch = -b->dst_pitch;
        b->src_pitch = -b->src_pitch;
    }
    if (is_solid(b)) {
        fill_rectangle(s);
    } else if (b->mode & (FROM_CPU | TO_CPU)) {
        begin_cpu(s);
        return;
    } else if (b->mode & PATTERN) {
        pattern_fill(s, NULL);
    } else if (b->mode & COLOR_EXPAND) {
        expand_rectangle(s);
    } else {
        copy_rectangle(s);
    }
    cirrus_blt_reset(s);
}

/* ---- saved state ------------------------------------------------------------------------- */

bool cirrus_blt_check(const Cirrus *s)
{
    const CirrusBlt *b = &s->blt;

    if (!b->from_cpu && !b->to_cpu) {
        return true;
    }
    return !(b->from_cpu && b->to_cpu) && b->depth >= 1 && b->depth <= 4 && b->rop <= 15
           && b->width >= 1 && b->width <= 0x2000 && b->height <= 0x800 && b->line < b->height
           && b->depth == DEPTH(b->mode) && makes_sense(b)
           && b->fifo_len == (b->to_cpu ? (b->width + 3) & ~3u : line_from_cpu(s))
           && b->fifo_used < b->fifo_len;
}

static const VMField blt_fields[] = {
    VM_UINT(CirrusBlt, width), VM_UINT(CirrusBlt, height), VM_UINT(CirrusBlt, dst_pitch),
    VM_UINT(CirrusBlt, src_pitch), VM_UINT(CirrusBlt, dst), VM_UINT(CirrusBlt, src),
    VM_UINT(CirrusBlt, mode), VM_UINT(CirrusBlt, depth), VM_UINT(CirrusBlt, rop),
    VM_UINT(CirrusBlt, ext), VM_UINT(CirrusBlt, fg), VM_UINT(CirrusBlt, bg),
    VM_UINT(CirrusBlt, line), VM_UINT(CirrusBlt, fifo_len), VM_UINT(CirrusBlt, fifo_used),
    VM_BOOL(CirrusBlt, from_cpu), VM_BOOL(CirrusBlt, to_cpu), VM_BUFFER(CirrusBlt, fifo),
    VM_DONE
};
const VMState vm_cirrus_blt = { .name = "cirrus-blt", .fields = blt_fields };
