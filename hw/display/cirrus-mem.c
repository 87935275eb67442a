/* SPDX-License-Identifier: MIT */
/*
 * Apertures of the CL-GD5446: the banks at A0000h, the linear frame buffer, the windows for what
 * the CPU sends to the engine, and the engine's registers in memory.
 *
 * Source: manual, chapter 4 (GR9 to GRB, GR5), chapter 9; appendix on memory-mapped I/O.
 *
 *     A0000h  32 KiB of bank 0      A8000h  bank 1, or what follows bank 0
 *     B8000h  256 bytes of registers, in packed modes if SR17 says so (or at the linear frame
 *             buffer's end)
 *     BAR 0   0: linear frame buffer     16 MiB: window for the engine's data, 4 MiB
 *     BAR 1   000h ports 3C0h to 3DFh    100h registers of the engine
 *
 * Where an access is to memory as it is, the aperture is an alias of the video memory; else
 * (extended write modes, addresses that stand for 8 or 16 bytes, data for the engine) the
 * region below it, whose functions do what the graphics controller would.
 */
#include "hw/display/cirrus.h"
#include "util/bits.h"

#define BAR0_SIZE       (32u << 20)
#define WINDOW_AT       (16u << 20)
#define WINDOW_SIZE     (4u << 20)
#define BAR1_SIZE       0x1000
#define BANK_SIZE       0x8000
#define REGS_SIZE       0x100
#define LOW_REGS        0x18000         /* in A0000h-BFFFFh */

/* ---- one byte of video memory ------------------------------------------------------------ */

/* Where an address leads when it stands for 8 or 16 bytes. */
static uint32_t scale(const Cirrus *s, uint32_t addr)
{
    uint8_t e = s->gr[GR_EXTENSIONS];

    if ((e & (GRB_BY16 | GRB_EXTENDED_WRITE)) == (GRB_BY16 | GRB_EXTENDED_WRITE)) {
        addr <<= 4;
    } else if (e & GRB_BY8) {
        addr <<= 3;
    }
    return addr & (s->vga.mem_size - 1);
}

/* Write modes 4 and 5: each bit is a pixel in the foreground's or the background's colour, in
 * mode 4 bits that are 0 leave the pixel alone. */
static void write_expanded(Cirrus *s, uint32_t addr, uint8_t bits)
{
    unsigned size = s->gr[GR_EXTENSIONS] & GRB_BY16 ? 2 : 1;
    uint16_t fg = s->gr1 | s->gr[XGR_FG1] << 8, bg = s->gr0 | s->gr[XGR_BG1] << 8;

    for (unsigned n = 0; n < 8; n++) {
        bool on = bits >> (7 - n) & 1;
        uint32_t at = (addr + n * size) & (s->vga.mem_size - 1);
        uint16_t v = on ? fg : bg;
        if (!on && s->write_mode == 4) {
            continue;
        }
        s->vga.mem[at] = v;
        if (size == 2) {
            s->vga.mem[(at + 1) & (s->vga.mem_size - 1)] = v >> 8;
        }
        ram_written(s->vga.vram.ram, at & ~1u, 2);
    }
}

static void write_memory(Cirrus *s, uint32_t addr, uint8_t val)
{
    addr = scale(s, addr);
    if ((s->write_mode == 4 || s->write_mode == 5) && (s->gr[GR_EXTENSIONS] & GRB_EXTENDED_WRITE)) {
        write_expanded(s, addr, val);
    } else {
        s->vga.mem[addr] = val;
        ram_written(s->vga.vram.ram, addr, 1);
    }
}

static uint8_t read_memory(Cirrus *s, uint32_t addr)
{
    return s->vga.mem[scale(s, addr)];
}

/* ---- the linear frame buffer ------------------------------------------------------------- */

static uint64_t linear_read(void *opaque, hwaddr addr, unsigned size)
{
    Cirrus *s = opaque;
    return cirrus_blt_to_cpu(s) ? cirrus_blt_fetch(s) : read_memory(s, addr);
}

static void linear_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    Cirrus *s = opaque;

    if (cirrus_blt_from_cpu(s)) {
        cirrus_blt_feed(s, val);
    } else {
        write_memory(s, addr, val);
    }
}

/* The window for the engine alone; without a blit under way nobody is there. */
static uint64_t blt_window_read(void *opaque, hwaddr addr, unsigned size)
{
    Cirrus *s = opaque;
    return cirrus_blt_to_cpu(s) ? cirrus_blt_fetch(s) : 0xff;
}

static void blt_window_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    Cirrus *s = opaque;

    if (cirrus_blt_from_cpu(s)) {
        cirrus_blt_feed(s, val);
    }
}

static const RegionOps linear_ops = {
    .read = linear_read, .write = linear_write, .min = 1, .max = 1,
};
static const RegionOps blt_window_ops = {
    .read = blt_window_read, .write = blt_window_write, .min = 1, .max = 1,
};

/* ---- banks ------------------------------------------------------------------------------- */

/* Where a bank begins in video memory; false: beyond its end. */
static bool bank_base(const Cirrus *s, unsigned n, uint32_t *base)
{
    bool two = s->gr[GR_EXTENSIONS] & GRB_TWO_BANKS;
    uint8_t offset = s->gr[two && n ? GR_OFFSET1 : GR_OFFSET0];

    *base = (uint32_t)offset << (s->gr[GR_EXTENSIONS] & GRB_BANKS_16K ? 14 : 12);
    *base += two || !n ? 0 : BANK_SIZE;
    return *base < s->vga.mem_size;
}

static uint64_t window_read(void *opaque, hwaddr addr, unsigned size)
{
    Cirrus *s = opaque;
    uint32_t base;

    if (cirrus_blt_to_cpu(s)) {
        return cirrus_blt_fetch(s);
    }
    if (!cirrus_packed(s)) {
        return vga_window_ops.read(&s->vga, addr, size);
    }
    if (addr >= 2 * BANK_SIZE || !bank_base(s, addr / BANK_SIZE, &base)) {
        return 0xff;
    }
    return read_memory(s, base + addr % BANK_SIZE);
}

static void window_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    Cirrus *s = opaque;
    uint32_t base;

    if (cirrus_blt_from_cpu(s)) {
        cirrus_blt_feed(s, val);
    } else if (!cirrus_packed(s)) {
        vga_window_ops.write(&s->vga, addr, val, size);
    } else if (addr < 2 * BANK_SIZE && bank_base(s, addr / BANK_SIZE, &base)) {
        write_memory(s, base + addr % BANK_SIZE, val);
    }
}

static const RegionOps window_ops = {
    .read = window_read, .write = window_write, .min = 1, .max = 1,
};

/* ---- registers in memory ----------------------------------------------------------------- */

/* The engine's registers, in the order of their addresses: numbers of graphics registers. */
static const uint8_t blt_registers[] = {
    /* 00 */ 0x00, 0x10, 0x12, 0x14,    0x01, 0x11, 0x13, 0x15,
    /* 08 */ 0x20, 0x21, 0x22, 0x23,    0x24, 0x25, 0x26, 0x27,
    /* 10 */ 0x28, 0x29, 0x2a, 0xff,    0x2c, 0x2d, 0x2e, 0x2f,
    /* 18 */ 0x30, 0xff, 0x32, 0x33,    0x34, 0x35, 0xff, 0xff,
    /* 20 */ 0x38, 0x39, 0xff, 0xff,
};
#define BLT_STATUS  0x40

static unsigned blt_register(hwaddr addr)
{
    return addr < sizeof(blt_registers) ? blt_registers[addr] : addr == BLT_STATUS ? BLT_START : 0xff;
}

static uint64_t regs_read(void *opaque, hwaddr addr, unsigned size)
{
    unsigned n = blt_register(addr);
    return n == 0xff ? 0xff : cirrus_gr_read(opaque, n);
}

static void regs_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    unsigned n = blt_register(addr);

    if (n != 0xff) {
        cirrus_gr_write(opaque, n, val);
    }
}

static uint64_t bar1_read(void *opaque, hwaddr addr, unsigned size)
{
    Cirrus *s = opaque;

    if (addr >= 0x100) {
        return regs_read(s, addr - 0x100, size);
    }
    return addr < 0x20 ? vga_port_read(&s->vga, 0x3c0 + addr) : 0xff;
}

static void bar1_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    Cirrus *s = opaque;

    if (addr >= 0x100) {
        regs_write(s, addr - 0x100, val, size);
    } else if (addr < 0x20) {
        vga_port_write(&s->vga, 0x3c0 + addr, val);
    }
}

static const RegionOps regs_ops = { .read = regs_read, .write = regs_write, .min = 1, .max = 1 };
static const RegionOps bar1_ops = { .read = bar1_read, .write = bar1_write, .min = 1, .max = 1 };

/* ---- what is mapped ---------------------------------------------------------------------- */

/* Accesses to video memory are what they seem. */
static bool is_plain(const Cirrus *s)
{
    uint8_t e = s->gr[GR_EXTENSIONS];

    return !s->blt.from_cpu && !s->blt.to_cpu && !(e & GRB_BY8)
           && (e & (GRB_BY16 | GRB_EXTENDED_WRITE)) != (GRB_BY16 | GRB_EXTENDED_WRITE)
           && !((e & GRB_EXTENDED_WRITE) && (s->write_mode == 4 || s->write_mode == 5));
}

static void update_bank(Cirrus *s, unsigned n, bool plain)
{
    uint32_t base;
    bool there = bank_base(s, n, &base) && base + BANK_SIZE <= s->vga.mem_size;

    if (there) {
        region_set_alias_offset(&s->bank[n], base);
    }
    region_enable(&s->bank[n], plain && there && cirrus_packed(s));
}

void cirrus_mem_update(Cirrus *s)
{
    bool plain = is_plain(s);
    uint8_t mmio = s->sr[SR_CONFIG] & (SR17_MMIO | SR17_MMIO_LINEAR);

    memory_begin();
    region_enable(&s->linear, plain);
    region_enable(&s->window, cirrus_packed(s) || s->blt.from_cpu || s->blt.to_cpu);
    update_bank(s, 0, plain);
    update_bank(s, 1, plain);
    region_enable(&s->low_regs, mmio == SR17_MMIO && cirrus_packed(s));
    region_enable(&s->linear_regs, mmio == (SR17_MMIO | SR17_MMIO_LINEAR));
    memory_commit();
}

static void init_bar0(Cirrus *s)
{
    uint32_t size = s->vga.mem_size;

    region_init_container(&s->bar0, "cirrus-pci-bar0", BAR0_SIZE);
    region_init_io(&s->linear_io, "cirrus-linear-io", size, &linear_ops, s);
    region_map(&s->bar0, 0, &s->linear_io, 0);
    region_init_alias(&s->linear, "cirrus-linear", &s->vga.vram, 0, size);
    region_map(&s->bar0, 0, &s->linear, 1);
    region_init_io(&s->linear_regs, "cirrus-linear-mmio", REGS_SIZE, &regs_ops, s);
    region_map(&s->bar0, size - REGS_SIZE, &s->linear_regs, 2);
    region_init_io(&s->blt_window, "cirrus-bitblt-mmio", WINDOW_SIZE, &blt_window_ops, s);
    region_map(&s->bar0, WINDOW_AT, &s->blt_window, 0);
}

void cirrus_mem_init(Cirrus *s, Region *mem)
{
    memory_begin();
    init_bar0(s);
    region_init_io(&s->bar1, "cirrus-mmio", BAR1_SIZE, &bar1_ops, s);
    region_init_io(&s->window, "cirrus-low-memory", 0x20000, &window_ops, s);
    region_enable(&s->window, false);
    region_map(mem, 0xa0000, &s->window, 3);
    for (unsigned n = 0; n < 2; n++) {
        region_init_alias(&s->bank[n], n ? "cirrus.bank1" : "cirrus.bank0", &s->vga.vram, 0, BANK_SIZE);
        region_enable(&s->bank[n], false);
        region_map(mem, 0xa0000 + n * BANK_SIZE, &s->bank[n], 4);
    }
    region_init_io(&s->low_regs, "cirrus-low-mmio", REGS_SIZE, &regs_ops, s);
    region_enable(&s->low_regs, false);
    region_map(mem, 0xa0000 + LOW_REGS, &s->low_regs, 5);
    memory_commit();
}

void cirrus_mem_exit(Cirrus *s)
{
    Region *all[] = { &s->low_regs, &s->bank[0], &s->bank[1], &s->window, &s->bar1, &s->linear_regs,
                      &s->linear, &s->linear_io, &s->blt_window, &s->bar0 };

    for (size_t i = 0; i < G_N_ELEMENTS(all); i++) {
        region_destroy(all[i]);
    }
}
