/* SPDX-License-Identifier: MIT */
/*
 * The VGA core that VGA-compatible cards embed: registers, planar memory, Bochs VBE ("dispi")
 * extension, drawing.  [bql]
 *
 * Sources: IBM PS/2 Hardware Interface Technical Reference, "Video Subsystem" (1992); VGADOC;
 * the Bochs VBE interface as vgabios and Linux' bochs driver use it.
 *
 * Video memory is kept as the VBE frame buffer sees it: byte n of the linear frame buffer is
 * byte n of `mem`.  Plane p of planar offset o is mem[4 * o + p], so that one 32-bit load gets
 * all planes, and chain-4 memory is linear.  (Real chips leave three of four bytes of a plane
 * unused in chain-4 mode; programs that switch between chained and unchained addressing
 * without clearing the memory would see the difference, and nobody else.)
 */
#ifndef HW_DISPLAY_VGA_H
#define HW_DISPLAY_VGA_H

#include "memory/memory.h"
#include "migration/vmstate.h"
#include "ui/console.h"
#include "util/error.h"

/* Sequencer */
enum { SR_RESET, SR_CLOCKING, SR_MAP_MASK, SR_FONT_SELECT, SR_MEMORY_MODE, SR_COUNT = 8 };
#define SR1_8_DOTS      0x01
#define SR1_HALF_CLOCK  0x08
#define SR1_SCREEN_OFF  0x20
#define SR4_SEQUENTIAL  0x04        /* odd/even addressing of writes off */
#define SR4_CHAIN4      0x08

/* Graphics controller */
enum { GR_SET_RESET, GR_SR_ENABLE, GR_COLOR_COMPARE, GR_ROTATE, GR_READ_MAP, GR_MODE, GR_MISC,
       GR_DONT_CARE, GR_BIT_MASK, GR_COUNT = 16 };
#define GR5_WRITE_MODE  0x03
#define GR5_READ_MODE1  0x08
#define GR5_ODD_EVEN    0x10        /* ... of reads on */
#define GR5_INTERLEAVE  0x20        /* CGA 4 colours */
#define GR5_256         0x40
#define GR6_GRAPHICS    0x01

/* Attribute controller */
enum { AR_MODE = 0x10, AR_OVERSCAN, AR_PLANES, AR_PANNING, AR_COLOR_SELECT, AR_COUNT };
#define AR10_GRAPHICS   0x01
#define AR10_LINE_CHARS 0x04        /* 9th dot of box drawing characters repeats the 8th */
#define AR10_BLINK      0x08
#define AR10_PAN_TOP    0x20        /* panning stops at the split line */
#define AR10_8BIT       0x40
#define AR10_PALETTE_HI 0x80        /* bits 5, 4 of the colour come from AR14 */
#define AR_INDEX_ON     0x20        /* of the index register: display memory feeds the screen */

/* CRT controller */
enum { CR_HTOTAL, CR_HDISPLAY_END, CR_HBLANK_START, CR_HBLANK_END, CR_HSYNC_START, CR_HSYNC_END,
       CR_VTOTAL, CR_OVERFLOW, CR_PRESET_ROW, CR_MAX_SCAN, CR_CURSOR_START, CR_CURSOR_END,
       CR_START_HI, CR_START_LO, CR_CURSOR_HI, CR_CURSOR_LO, CR_VSYNC_START, CR_VSYNC_END,
       CR_VDISPLAY_END, CR_OFFSET, CR_UNDERLINE, CR_VBLANK_START, CR_VBLANK_END, CR_MODE,
       CR_LINE_COMPARE, CR_COUNT = 256 };
#define CR17_ROW0_A13   0x01        /* 0: row scan counter's bit 0 is address bit 13 (CGA) */
#define CR17_ROW1_A14   0x02        /* 0: its bit 1 is address bit 14 (Hercules) */
#define CR17_HALF_LINES 0x04        /* vertical timing counts every other line */
#define CR17_BYTE_MODE  0x40
#define CR14_DWORD_MODE 0x40

/* Bochs VBE */
enum { VBE_ID, VBE_XRES, VBE_YRES, VBE_BPP, VBE_ENABLE, VBE_BANK, VBE_VIRT_WIDTH,
       VBE_VIRT_HEIGHT, VBE_X_OFFSET, VBE_Y_OFFSET, VBE_MEMORY_64K, VBE_COUNT };
#define VBE_ID5         0xb0c5
#define VBE_ENABLED     0x01
#define VBE_GETCAPS     0x02
#define VBE_8BIT_DAC    0x20
#define VBE_LFB         0x40
#define VBE_NOCLEAR     0x80

typedef enum { VGA_BLANK, VGA_TEXT, VGA_PLANAR, VGA_CGA, VGA_256, VGA_LINEAR } VGAKind;

/* What the registers amount to, for drawing. */
typedef struct VGAMode {
    VGAKind kind;
    unsigned width, height;         /* of the picture in pixels */
    unsigned bpp;                   /* LINEAR: 8, 15, 16, 24, 32 */
    unsigned chars;                 /* character clocks of a line */
    unsigned dots;                  /* text: pixels of a character, 8, 9 or 16; else of a clock */
    unsigned start;                 /* LINEAR: byte, below the memory's size; else planar offset of the first character */
    unsigned offset;                /* ... from row to row */
    unsigned max_scan;              /* scan lines of a row, less one */
    unsigned preset;                /* row scan of the first line */
    bool doubled;                   /* each scan line is shown twice */
    unsigned line_compare;
    unsigned pan;                   /* pixels */
    bool big_endian;
    uint32_t wrap;                  /* mask of planar offsets; LINEAR: of bytes */
} VGAMode;

typedef struct VGA VGA;

/* A chip that is more than a VGA.  Members may be NULL. */
typedef struct VGAExtension {
    /* Ports 3B0h-3DFh; false: the VGA does it. */
    bool (*port_read)(VGA *s, unsigned port, uint8_t *val);
    bool (*port_write)(VGA *s, unsigned port, uint8_t val);
    /* A mode of its own (kind VGA_LINEAR, in any place: it wraps); false: it is a VGA mode. */
    bool (*get_mode)(const VGA *s, VGAMode *m);
    /* A cursor drawn over VGA_LINEAR modes: its lines now, and whether it (or its picture) changed
     * since the last call; false: there is none, and was none. */
    bool (*cursor_lines)(VGA *s, unsigned *first, unsigned *end, bool *changed);
    void (*draw_cursor)(VGA *s, unsigned y, uint32_t *line, unsigned width);
} VGAExtension;

typedef struct VGAPorts {
    Region region;
    VGA *vga;
    uint16_t base;
} VGAPorts;

struct VGA {
    Region vram;                    /* the linear frame buffer */
    Region window, chained;         /* A0000h-BFFFFh; over it, chain-4 memory as plain RAM */
    Region dispi;
    VGAPorts ports[5];
    uint8_t *mem;
    uint32_t mem_size;              /* a power of two, at least 256 KiB */

    uint8_t sr_index, gr_index, ar_index, cr_index;
    uint8_t sr[SR_COUNT], gr[GR_COUNT], ar[AR_COUNT], cr[CR_COUNT];
    uint8_t msr, fcr;               /* miscellaneous output, feature control */
    bool ar_data;                   /* next write to 3C0h is data */
    uint32_t latch;
    uint8_t dac[768], dac_mask, dac_write, dac_read, dac_part, dac_cache[3];
    bool dac_reading;
    uint16_t vbe_index, vbe[VBE_COUNT];
    uint32_t vbe_bank;              /* byte offset of the window */
    bool big_endian;                /* frame buffer, extended register of the PCI card */

    /* Drawing; nothing of it is saved */
    Console *console;
    const VGAExtension *ext;        /* set before vga_init, or NULL */
    bool shared_console;            /* the card's, which shows other pictures in it, too */
    VGAMode mode;
    bool redraw;                    /* all of it, at the next refresh */
    uint32_t palette[256];          /* DAC as x8r8g8b8 */
    bool palette_dirty, font_dirty; /* font: plane 2 was written through the window */
    pixman_image_t *direct;         /* surface over VRAM, or NULL */
    uint32_t *cells;                /* text: what each row of the screen showed */
    uint32_t *line;                 /* one scan line before panning */
    unsigned long *dirty;           /* pages of the frame buffer */
    bool phase_cursor, phase_blink; /* as drawn last */
    unsigned cursor_first, cursor_end;  /* lines with the extension's cursor, as drawn last */
};

extern const VMState vm_vga;

/* Registers and memory; name is the card's, for the console.  mem_size as above.  A card that
 * shares the console sets s->console before; it refreshes by vga_console_ops. */
bool vga_init(VGA *s, const char *name, uint32_t mem_size, Error **err);
void vga_exit(VGA *s);
void vga_reset(VGA *s);
/* The console showed something else meanwhile. */
void vga_show_again(VGA *s);
/* Map legacy ports, dispi ports (not with an extension), and the window at A0000h of mem. */
void vga_map_legacy(VGA *s, Region *io, Region *mem);
/* For cards that show registers in memory too. */
uint8_t vga_port_read(VGA *s, unsigned port);           /* 3B0h-3DFh */
void vga_port_write(VGA *s, unsigned port, uint8_t val);
void vga_graphics_write(VGA *s, unsigned n, uint8_t val);   /* register n, below GR_COUNT */
uint16_t vga_dispi_read(VGA *s, unsigned index);
void vga_dispi_write(VGA *s, unsigned index, uint16_t val);
void vga_set_endian(VGA *s, bool big);

/* Among the files of the core */
bool vga_vbe_on(const VGA *s);
uint32_t vga_vbe_pitch(const VGA *s);                   /* bytes from line to line */
/* The addressing changed: is the window plain RAM now? */
void vga_update_window(VGA *s);
extern const RegionOps vga_window_ops;
extern const ConsoleOps vga_console_ops;
void vga_get_mode(const VGA *s, VGAMode *m);
void vga_draw_text(VGA *s, const VGAMode *m, bool all);
bool vga_text_cells(void *opaque, uint16_t *cells, unsigned max, unsigned *cols, unsigned *rows,
                    unsigned *cursor);
/* Scan lines top to bottom: fn gets each with its place in memory. */
typedef struct VGALine {
    unsigned y, row, row_scan, pan;
    unsigned base;                  /* planar offset of the row's first character */
} VGALine;
void vga_for_lines(const VGAMode *m, void (*fn)(void *opaque, const VGALine *l), void *opaque);
/* The colour behind an attribute controller palette index 0..15. */
uint32_t vga_color16(const VGA *s, unsigned n);

#endif
