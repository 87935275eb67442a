/* SPDX-License-Identifier: MIT */
/*
 * Cirrus Logic CL-GD5446: a VGA with packed modes, a cursor and a BitBLT engine.  Registers:
 * cirrus.c; apertures: cirrus-mem.c; engine: cirrus-blt.c; cursor: cirrus-cursor.c.  [bql]
 *
 * Source: CL-GD5446 Technical Reference Manual, second edition (Cirrus Logic, 1996); "manual"
 * below.  Where it is silent: what QEMU's card does.
 */
#ifndef HW_DISPLAY_CIRRUS_H
#define HW_DISPLAY_CIRRUS_H

#include "hw/display/vga.h"
#include "hw/pci/pci.h"

/* Sequencer extensions */
enum { SR_UNLOCK = 6, SR_MODE, SR_MEMORY = 0x0f, SR_CURSOR_X, SR_CURSOR_Y, SR_CURSOR_ATTR,
       SR_CURSOR_PATTERN, SR_SCRATCH3 = 0x15, SR_CONFIG = 0x17, SR_MCLK = 0x1f, XSR_COUNT = 32 };
#define SR7_PACKED          0x01
#define SR7_DEPTH           0x0e
#define SR12_CURSOR         0x01
#define SR12_CURSOR_DAC     0x02    /* 3C9h is the cursor's colours */
#define SR12_CURSOR_64      0x04
#define SR17_MMIO           0x04    /* the engine's registers in memory ... */
#define SR17_MMIO_LINEAR    0x40    /* ... at the frame buffer's end, not at B8000h */

/* Graphics controller extensions */
enum { GR_OFFSET0 = 9, GR_OFFSET1, GR_EXTENSIONS, XGR_BG1 = 0x10, XGR_FG1, XGR_BG2, XGR_FG2,
       XGR_BG3, XGR_FG3,
       BLT_WIDTH = 0x20, BLT_HEIGHT = 0x22, BLT_DST_PITCH = 0x24, BLT_SRC_PITCH = 0x26,
       BLT_DST = 0x28, BLT_SRC = 0x2c, BLT_CLIP = 0x2f, BLT_MODE, BLT_START, BLT_ROP,
       BLT_EXTENSIONS, BLT_KEY = 0x34, BLT_KEY_MASK = 0x38, XGR_COUNT = 0x40 };
#define GRB_TWO_BANKS       0x01
#define GRB_BY8             0x02    /* an address stands for 8 bytes */
#define GRB_EXTENDED_WRITE  0x04
#define GRB_BY16            0x10    /* ... for 16, with pixels of 16 bits */
#define GRB_BANKS_16K       0x20

#define CIRRUS_FIFO         8192    /* bytes of a line that the CPU sends, at most */

/* The engine between a start and the last byte from or to the CPU */
typedef struct CirrusBlt {
    uint32_t width, height;         /* bytes, lines */
    int32_t dst_pitch, src_pitch;
    uint32_t dst, src;              /* of the line at hand */
    uint8_t mode, depth, rop, ext;  /* depth: bytes a pixel; rop: a truth table */
    uint32_t fg, bg;
    uint32_t line;                  /* that is waited for */
    uint32_t fifo_len, fifo_used;   /* bytes of a line to come from (go to) the CPU; so far */
    bool from_cpu, to_cpu;
    uint8_t fifo[CIRRUS_FIFO];
} CirrusBlt;

typedef struct Cirrus {
    PCIDevice pci;                  /* always first */
    VGA vga;
    uint32_t mem_mb;
    bool blitter;

    /* Registers of the VGA's are in vga; index registers here are the whole ones. */
    uint8_t sr_index, gr_index;
    uint8_t sr[XSR_COUNT], gr[XGR_COUNT];
    uint8_t gr0, gr1;               /* all bits of colours */
    uint8_t write_mode;             /* GR5, 3 bits */
    uint8_t hidden_dac, hidden_reads;
    uint8_t cursor_dac[48];
    uint16_t cursor_x, cursor_y;
    CirrusBlt blt;

    Region bar0, linear, linear_io, linear_regs, blt_window, bar1;
    Region window, bank[2], low_regs;
    /* As drawn last; not saved */
    uint32_t cursor_seen;           /* a checksum of all that makes the cursor */
} Cirrus;

static inline Cirrus *cirrus_of(const VGA *v)
{
    return (Cirrus *)((char *)v - offsetof(Cirrus, vga));
}
static inline bool cirrus_packed(const Cirrus *s)
{
    return s->sr[SR_MODE] & SR7_PACKED;
}

/* cirrus.c: registers of the graphics controller, for those who have them in memory */
uint8_t cirrus_gr_read(Cirrus *s, unsigned n);
void cirrus_gr_write(Cirrus *s, unsigned n, uint8_t val);

/* cirrus-mem.c */
void cirrus_mem_init(Cirrus *s, Region *mem);
void cirrus_mem_exit(Cirrus *s);
/* A register changed that says what the apertures show. */
void cirrus_mem_update(Cirrus *s);

/* cirrus-blt.c */
void cirrus_blt_start(Cirrus *s);
void cirrus_blt_reset(Cirrus *s);
static inline bool cirrus_blt_from_cpu(const Cirrus *s)
{
    return s->blt.from_cpu;
}
static inline bool cirrus_blt_to_cpu(const Cirrus *s)
{
    return s->blt.to_cpu;
}
void cirrus_blt_feed(Cirrus *s, uint8_t byte);
uint8_t cirrus_blt_fetch(Cirrus *s);
/* false: state that no start leads to. */
bool cirrus_blt_check(const Cirrus *s);
extern const VMState vm_cirrus_blt;

/* cirrus-cursor.c: of VGAExtension */
bool cirrus_cursor_lines(VGA *v, unsigned *first, unsigned *end, bool *changed);
void cirrus_cursor_draw(VGA *v, unsigned y, uint32_t *line, unsigned width);

#endif
