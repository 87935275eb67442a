/* SPDX-License-Identifier: MIT */
/*
 * Parallel NOR flash, 8 bits wide, Intel's command set.
 *
 * Loads come straight from memory until the guest writes a command; from then on until FFh the chip
 * answers itself.  What a command programs or erases is in the image before the command is done.
 *
 *     FF        read the array                     10, 40    program: data
 *     70        read the status register           E8        program a buffer: count - 1, data ..., D0
 *     50        clear it                           20        erase a block: D0
 *     90        read the identifier                60        lock or unlock a block: 01, D0
 *     98        read the CFI table
 *
 * Sources: Intel StrataFlash memory (J3) data sheet, 290667, "Flash Device Commands"; JEDEC JESD68.01
 * (Common Flash Interface).  As in QEMU 7.2, which firmware is made for: programming stores what it
 * is told (a real chip can only clear bits), and a status register that was cleared reads 00h.
 */
#include "hw/block/pflash-cfi01.h"

#include <string.h>

#include "block/block.h"
#include "util/bits.h"
#include "util/log.h"

enum {
    CMD_PROGRAM_ALT = 0x10, CMD_ERASE = 0x20, CMD_PROGRAM = 0x40, CMD_CLEAR_STATUS = 0x50,
    CMD_LOCK = 0x60, CMD_READ_STATUS = 0x70, CMD_READ_ID = 0x90, CMD_QUERY = 0x98,
    CMD_CONFIRM = 0xd0, CMD_BUFFER = 0xe8, CMD_RESET = 0xf0 /* AMD's: probed for */, CMD_READ_ARRAY = 0xff,
};

#define STATUS_READY    0x80
#define STATUS_ERASE    0x20            /* failed */
#define STATUS_PROGRAM  0x10            /* failed; both: commands in the wrong order */

#define BUFFER_LOG      8
#define CFI_SIZE        0x40

/* What the next write is, when it is no command */
enum { CYCLE_COMMAND, CYCLE_SECOND, CYCLE_BUFFER_DATA, CYCLE_BUFFER_CONFIRM };

typedef struct PFlash {
    Device dev;                         /* always first */
    Region mem;
    const char *name;
    bool (*trusted)(void);
    uint8_t cfi[CFI_SIZE];
    /* Properties */
    BlockBackend *blk;
    bool secure;
    uint8_t id[4];
    /* State */
    uint8_t cmd, cycle, status;
    uint8_t buffer[1 << BUFFER_LOG];
    uint16_t count, have;               /* bytes of the buffer: announced, there */
    uint32_t start;                     /* where they belong */
} PFlash;

/* ---- the contents ---------------------------------------------------------------------- */

/* [at, at + len) has changed; lies in the chip. */
static void save(PFlash *s, uint32_t at, uint32_t len, uint8_t error)
{
    ram_written(s->mem.ram, at, len);
    int ret = blk_pwrite(s->blk, at, region_host(&s->mem) + at, len);
    if (ret < 0) {
        error_report("%s: offset 0x%x: the image can't be written: %s", s->name, at, g_strerror(-ret));
        s->status |= error;
    }
}

static bool may_change(PFlash *s, uint8_t error)
{
    if (blk_readonly(s->blk)) {
        LOG_GUEST("%s: it is read-only", s->name);
        s->status |= error;
        return false;
    }
    return true;
}

static void program(PFlash *s, uint32_t at, const uint8_t *data, uint32_t len)
{
    len = MIN(len, (uint32_t)s->mem.size - at);
    if (may_change(s, STATUS_PROGRAM)) {
        memcpy(region_host(&s->mem) + at, data, len);
        save(s, at, len, STATUS_PROGRAM);
    }
    s->status |= STATUS_READY;
}

static void erase(PFlash *s, uint32_t at)
{
    at &= ~(PFLASH_BLOCK - 1);
    if (may_change(s, STATUS_ERASE)) {
        memset(region_host(&s->mem) + at, 0xff, PFLASH_BLOCK);
        save(s, at, PFLASH_BLOCK, STATUS_ERASE);
    }
    s->status |= STATUS_READY;
}

/* ---- commands ---------------------------------------------------------------------------- */

static void read_array(PFlash *s)
{
    s->cmd = CMD_READ_ARRAY;
    s->cycle = CYCLE_COMMAND;
    region_set_direct(&s->mem, true);
}

static void first_cycle(PFlash *s, uint8_t v)
{
    switch (v) {
    case CMD_PROGRAM: case CMD_PROGRAM_ALT: case CMD_ERASE: case CMD_LOCK:
        s->cycle = CYCLE_SECOND;
        break;
    case CMD_BUFFER:
        s->cycle = CYCLE_SECOND;
        s->status |= STATUS_READY;
        break;
    case CMD_READ_STATUS: case CMD_READ_ID: case CMD_QUERY:
        break;
    case CMD_CLEAR_STATUS:
        s->status = 0;
        read_array(s);
        return;
    default:
        LOG_GUEST("%s: command %02xh does not exist", s->name, v);
        /* fall through */
    case CMD_READ_ARRAY: case CMD_RESET:
        read_array(s);
        return;
    }
    s->cmd = v;
    region_set_direct(&s->mem, false);
}

static void wrong_order(PFlash *s)
{
    LOG_GUEST("%s: command %02xh is not finished as it should be", s->name, s->cmd);
    s->status |= STATUS_READY | STATUS_ERASE | STATUS_PROGRAM;
    s->cycle = CYCLE_COMMAND;
}

static void second_cycle(PFlash *s, uint32_t at, uint64_t val, unsigned size)
{
    uint8_t data[8];

    s->cycle = CYCLE_COMMAND;
    switch (s->cmd) {
    case CMD_PROGRAM: case CMD_PROGRAM_ALT:
        st64_le(data, val);
        program(s, at, data, size);
        break;
    case CMD_BUFFER:
        s->count = (val & 0xff) + 1;
        s->have = 0;
        s->cycle = CYCLE_BUFFER_DATA;
        break;
    case CMD_ERASE:
        if ((uint8_t)val == CMD_CONFIRM) {
            erase(s, at);
        } else {
            wrong_order(s);
        }
        break;
    case CMD_LOCK:                      /* there are no locks */
        if ((uint8_t)val == CMD_CONFIRM || (uint8_t)val == 1) {
            s->status |= STATUS_READY;
        } else {
            read_array(s);
        }
        break;
    }
}

/* All of it belongs into as many bytes from where the first goes; an order is not needed. */
static void buffer_data(PFlash *s, uint32_t at, uint64_t val, unsigned size)
{
    s->start = s->have ? s->start : at;
    for (unsigned i = 0; i < size && s->have < s->count; i++, s->have++) {
        if (at + i < s->start || at + i - s->start >= s->count) {
            wrong_order(s);
            return;
        }
        s->buffer[at + i - s->start] = val >> 8 * i;
    }
    if (s->have == s->count) {
        s->cycle = CYCLE_BUFFER_CONFIRM;
    }
}

static bool deaf(const PFlash *s)
{
    return s->secure && !(s->trusted && s->trusted());
}

static void pflash_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    PFlash *s = opaque;

    if (deaf(s)) {
        LOG_GUEST("%s: store from outside of system management mode", s->name);
        return;
    }
    switch (s->cycle) {
    case CYCLE_COMMAND:
        first_cycle(s, val);
        break;
    case CYCLE_SECOND:
        second_cycle(s, addr, val, size);
        break;
    case CYCLE_BUFFER_DATA:
        buffer_data(s, addr, val, size);
        break;
    case CYCLE_BUFFER_CONFIRM:
        if ((uint8_t)val == CMD_CONFIRM) {
            program(s, s->start, s->buffer, s->count);
            s->cycle = CYCLE_COMMAND;
        } else {
            wrong_order(s);
        }
        break;
    }
}

static uint8_t read_byte(const PFlash *s, uint32_t at)
{
    unsigned n = at & 0xff;

    switch (s->cmd) {
    case CMD_READ_ID:
        return n < G_N_ELEMENTS(s->id) ? s->id[n] : 0;
    case CMD_QUERY:
        return n < CFI_SIZE ? s->cfi[n] : 0;
    }
    return s->status;
}

/* Loads while the chip answers itself */
static uint64_t pflash_read(void *opaque, hwaddr addr, unsigned size)
{
    PFlash *s = opaque;
    uint64_t val = 0;

    for (unsigned i = 0; i < size; i++) {
        uint8_t b = deaf(s) || s->cmd == CMD_READ_ARRAY ? region_host(&s->mem)[addr + i] : read_byte(s, addr + i);
        val |= (uint64_t)b << 8 * i;
    }
    return val;
}

static const RegionOps pflash_ops = { .read = pflash_read, .write = pflash_write, .min = 1, .max = 8 };

/* ---- the CFI table: JESD68.01, 3 ---------------------------------------------------------- */

static void make_cfi(PFlash *s)
{
    uint32_t size = (uint32_t)s->mem.size, blocks = size / PFLASH_BLOCK;
    uint8_t *t = s->cfi;

    memcpy(t + 0x10, "QRY", 3);
    st16_le(t + 0x13, 0x0001);          /* Intel's extended command set */
    st16_le(t + 0x15, 0x31);            /* ... and where its own table is */
    t[0x1b] = 0x45;                     /* Vcc from 4.5 */
    t[0x1c] = 0x55;                     /* to 5.5 V; no Vpp */
    t[0x1f] = 7;                        /* typical: a byte 2^7 us */
    t[0x20] = 7;                        /* a buffer 2^7 us */
    t[0x21] = 10;                       /* a block erased 2^10 ms; the whole chip: can't be */
    t[0x23] = t[0x24] = t[0x25] = 4;    /* at most 2^4 times that */
    t[0x27] = g_bit_storage(size - 1);  /* 2^n bytes, rounded up */
    st16_le(t + 0x28, 0);               /* 8 bits wide */
    st16_le(t + 0x2a, BUFFER_LOG);
    t[0x2c] = 1;                        /* regions of equal blocks: */
    st16_le(t + 0x2d, blocks - 1);
    st16_le(t + 0x2f, PFLASH_BLOCK / 256);
    memcpy(t + 0x31, "PRI10", 5);       /* version 1.0, no optional features */
    t[0x3f] = 1;                        /* fields of protection registers */
}

/* ---- the device ---------------------------------------------------------------------------- */

static bool open_chip(PFlash *s, Error **err)
{
    uint64_t size = blk_length(s->blk);

    if (!region_init_flash(&s->mem, s->name, size, &pflash_ops, s, err)) {
        return false;
    }
    int ret = blk_pread(s->blk, 0, region_host(&s->mem), size);
    if (ret < 0) {
        region_destroy(&s->mem);
        return fail_errno(err, -ret, "%s: the image '%s' can't be read", s->name, blk_file_name(s->blk));
    }
    make_cfi(s);
    read_array(s);
    return true;
}

static bool pflash_realize(Device *dev, Error **err)
{
    PFlash *s = (PFlash *)dev;

    if (!blk_attach(s->blk, s->name, NULL, s, err)) {
        return false;
    }
    if (!open_chip(s, err)) {
        blk_detach(s->blk);
        return false;
    }
    return true;
}

static void pflash_unrealize(Device *dev)
{
    PFlash *s = (PFlash *)dev;

    region_destroy(&s->mem);
    blk_detach(s->blk);
}

static void pflash_reset(Device *dev)
{
    PFlash *s = (PFlash *)dev;

    s->status = 0;
    read_array(s);
}

/* The contents came as memory does.  An image that is another one than they were saved beside gets
 * them, too. */
static bool contents_to_image(PFlash *s, Error **err)
{
    uint64_t size = s->mem.size;
    g_autofree uint8_t *old = g_malloc(PFLASH_BLOCK);

    for (uint64_t at = 0; at < size && !blk_readonly(s->blk); at += PFLASH_BLOCK) {
        const uint8_t *now = region_host(&s->mem) + at;
        int ret = blk_pread(s->blk, at, old, PFLASH_BLOCK);
        if (!ret && memcmp(old, now, PFLASH_BLOCK)) {
            ret = blk_pwrite(s->blk, at, now, PFLASH_BLOCK);
        }
        if (ret < 0) {
            return fail_errno(err, -ret, "%s: the image can't be written", s->name);
        }
    }
    return true;
}

static bool pflash_post_load(void *opaque, int version, Error **err)
{
    PFlash *s = opaque;

    if (s->cycle > CYCLE_BUFFER_CONFIRM || s->count > sizeof(s->buffer) || s->have > s->count
        || s->start >= s->mem.size) {
        return fail(err, "%s: impossible state of a command", s->name);
    }
    region_set_direct(&s->mem, s->cmd == CMD_READ_ARRAY);
    return contents_to_image(s, err);
}

static const VMField pflash_fields[] = {
    VM_UINT(PFlash, cmd), VM_UINT(PFlash, cycle), VM_UINT(PFlash, status), VM_BUFFER(PFlash, buffer),
    VM_UINT(PFlash, count), VM_UINT(PFlash, have), VM_UINT(PFlash, start),
    VM_DONE
};
static const VMState vm_pflash = {
    .name = "pflash_cfi01", .post_load = pflash_post_load, .fields = pflash_fields,
};

static const Prop pflash_props[] = {
    PROP_DRIVE("drive", PFlash, blk, "the -drive or -blockdev with the contents"),
    PROP_BOOL("secure", PFlash, secure, false, "commands are heard in system management mode only"),
    PROP_UINT("id0", PFlash, id[0], 0, "first byte of the identifier"),
    PROP_UINT("id1", PFlash, id[1], 0, "second byte"),
    PROP_UINT("id2", PFlash, id[2], 0, "third byte"),
    PROP_UINT("id3", PFlash, id[3], 0, "fourth byte"),
    PROP_DONE
};

static const DeviceType pflash = {
    .name = "cfi.pflash01", .desc = "parallel flash chip, Intel's command set", .category = "Storage",
    .size = sizeof(PFlash), .props = pflash_props, .vmstate = &vm_pflash, .realize = pflash_realize,
    .reset = pflash_reset, .unrealize = pflash_unrealize, .no_user = true,
};
DEVICE_TYPE(pflash);

/* ---- for boards ---------------------------------------------------------------------------- */

Device *pflash_cfi01_new(const char *name, BlockBackend *blk)
{
    PFlash *s = (PFlash *)device_new(pflash.name);

    s->name = name;
    device_set_ptr(&s->dev, "drive", blk);
    return &s->dev;
}

void pflash_cfi01_set_trusted(Device *dev, bool (*trusted)(void))
{
    ((PFlash *)dev)->trusted = trusted;
}

Region *pflash_cfi01_region(Device *dev)
{
    return &((PFlash *)dev)->mem;
}
