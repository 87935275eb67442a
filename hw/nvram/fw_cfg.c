/* SPDX-License-Identifier: MIT */
/*
 * fw_cfg on a PC: selector at port 510h (16 bits), data at 511h (bytes), DMA at 514h.
 *
 * Source: QEMU documentation, "QEMU Firmware Configuration (fw_cfg) Device".
 *
 * The DMA register takes the big-endian address of a command in guest memory: writing its low
 * half starts the command.
 *
 *     +0 control  31..16 selector   4 write   3 select   2 skip   1 read   0 error
 *     +4 length
 *     +8 address of the data
 *
 * What the guest selects, counts and points to is unchecked input: a read beyond an item gives
 * zeros, a write beyond one is an error.
 */
#include "hw/nvram/fw_cfg.h"
#include "util/bits.h"
#include "util/log.h"

#include <string.h>

#define PORT_BASE     0x510
#define PORT_DMA      0x514

#define DMA_ERROR     0x01
#define DMA_READ      0x02
#define DMA_SKIP      0x04
#define DMA_SELECT    0x08
#define DMA_WRITE     0x10
#define DMA_SIGNATURE 0x51454d5520434647ull     /* "QEMU CFG" */

#define ID_TRADITIONAL 1
#define ID_DMA         2

#define GENERIC_ITEMS (FW_CFG_FILE_FIRST + FW_CFG_FILE_SLOTS)
#define ARCH_ITEMS    0x10
#define DIR_ENTRY     64

typedef struct Item {
    GBytes *data;                       /* NULL: no such item */
    bool writable;                      /* data is then ours alone */
    void (*select)(void *opaque);
    void (*written)(void *opaque);
    void *select_opaque, *written_opaque;
} Item;

typedef struct FWCfg {
    Device dev;                         /* always first */
    Region ports, dma_port;
    Item generic[GENERIC_ITEMS], arch[ARCH_ITEMS];
    char *names[FW_CFG_FILE_SLOTS];     /* file n is item FW_CFG_FILE_FIRST + n; NULL at the end */
    uint16_t key;
    uint32_t offset;                    /* in the selected item */
    uint64_t dma_addr;
} FWCfg;

static FWCfg *the_fw_cfg;

/* ---- items --------------------------------------------------------------------------- */

static Item *item(FWCfg *s, uint16_t key)
{
    unsigned n = key & 0x3fff;          /* bit 14 once meant "write" */

    if (key & FW_CFG_ARCH_LOCAL) {
        return n < ARCH_ITEMS ? &s->arch[n] : NULL;
    }
    return n < GENERIC_ITEMS ? &s->generic[n] : NULL;
}

/* Takes the reference. */
static void set_item(FWCfg *s, uint16_t key, GBytes *data)
{
    Item *i = item(s, key);

    g_assert(i && g_bytes_get_size(data) <= UINT32_MAX);
    if (i->data) {
        g_bytes_unref(i->data);
    }
    i->data = data;
}

void fw_cfg_set(Device *fw, uint16_t key, const void *data, size_t len)
{
    set_item((FWCfg *)fw, key, g_bytes_new(data, len));
}

void fw_cfg_set_bytes(Device *fw, uint16_t key, GBytes *data)
{
    set_item((FWCfg *)fw, key, g_bytes_ref(data));
}

void fw_cfg_set_u16(Device *fw, uint16_t key, uint16_t v)
{
    uint8_t le[2];
    st16_le(le, v);
    fw_cfg_set(fw, key, le, sizeof(le));
}

void fw_cfg_set_u32(Device *fw, uint16_t key, uint32_t v)
{
    uint8_t le[4];
    st32_le(le, v);
    fw_cfg_set(fw, key, le, sizeof(le));
}

void fw_cfg_set_u64(Device *fw, uint16_t key, uint64_t v)
{
    uint8_t le[8];
    st64_le(le, v);
    fw_cfg_set(fw, key, le, sizeof(le));
}

/* ---- files --------------------------------------------------------------------------- */

static int find_file(const FWCfg *s, const char *name)
{
    for (int n = 0; n < FW_CFG_FILE_SLOTS && s->names[n]; n++) {
        if (!strcmp(s->names[n], name)) {
            return n;
        }
    }
    return -1;
}

/* The directory: a count, then size, selector, two spare bytes and the name of each; all
 * big-endian. */
static void make_directory(FWCfg *s)
{
    uint8_t dir[4 + FW_CFG_FILE_SLOTS * DIR_ENTRY] = { 0 }, *e = dir + 4;
    unsigned n;

    for (n = 0; n < FW_CFG_FILE_SLOTS && s->names[n]; n++, e += DIR_ENTRY) {
        st32_be(e, g_bytes_get_size(s->generic[FW_CFG_FILE_FIRST + n].data));
        st16_be(e + 4, FW_CFG_FILE_FIRST + n);
        g_strlcpy((char *)e + 8, s->names[n], FW_CFG_MAX_NAME);
    }
    st32_be(dir, n);
    fw_cfg_set(&s->dev, FW_CFG_FILE_DIR, dir, e - dir);
}

/* Sorted by name, so that the order of making plays no part in what the guest sees. */
static int new_file(FWCfg *s, const char *name, Error **err)
{
    int at = 0, count = 0;

    if (strlen(name) >= FW_CFG_MAX_NAME) {
        fail(err, "fw_cfg: file name '%s' is longer than %d characters", name,
             FW_CFG_MAX_NAME - 1);
        return -1;
    }
    while (count < FW_CFG_FILE_SLOTS && s->names[count]) {
        at += strcmp(s->names[count], name) < 0;
        count++;
    }
    if (count == FW_CFG_FILE_SLOTS) {
        fail(err, "fw_cfg: no room for file '%s', there are %d already", name, count);
        return -1;
    }
    Item *files = s->generic + FW_CFG_FILE_FIRST;
    memmove(s->names + at + 1, s->names + at, (count - at) * sizeof(*s->names));
    memmove(files + at + 1, files + at, (count - at) * sizeof(*files));
    s->names[at] = g_strdup(name);
    files[at] = (Item) { 0 };
    return at;
}

bool fw_cfg_add_file_bytes(Device *fw, const char *name, GBytes *data, Error **err)
{
    FWCfg *s = (FWCfg *)fw;
    int n = find_file(s, name);

    if (n < 0) {
        n = new_file(s, name, err);
    }
    if (n < 0) {
        return false;
    }
    set_item(s, FW_CFG_FILE_FIRST + n, g_bytes_ref(data));
    make_directory(s);
    return true;
}

bool fw_cfg_add_file(Device *fw, const char *name, const void *data, size_t len, Error **err)
{
    GBytes *bytes = g_bytes_new(data, len);
    bool ok = fw_cfg_add_file_bytes(fw, name, bytes, err);

    g_bytes_unref(bytes);
    return ok;
}

bool fw_cfg_has_file(Device *fw, const char *name)
{
    return find_file((FWCfg *)fw, name) >= 0;
}

static Item *file_item(Device *fw, const char *name)
{
    FWCfg *s = (FWCfg *)fw;
    int n = find_file(s, name);

    g_assert(n >= 0);
    return &s->generic[FW_CFG_FILE_FIRST + n];
}

void fw_cfg_on_select(Device *fw, const char *name, void (*fn)(void *opaque), void *opaque)
{
    Item *i = file_item(fw, name);

    i->select = fn;
    i->select_opaque = opaque;
}

void fw_cfg_make_writable(Device *fw, const char *name, void (*fn)(void *opaque), void *opaque)
{
    Item *i = file_item(fw, name);
    gsize len;
    const void *data = g_bytes_get_data(i->data, &len);
    GBytes *own = g_bytes_new(data, len);

    g_bytes_unref(i->data);
    i->data = own;
    i->writable = true;
    i->written = fn;
    i->written_opaque = opaque;
}

const void *fw_cfg_file(Device *fw, const char *name, size_t *len)
{
    return g_bytes_get_data(file_item(fw, name)->data, len);
}

/* ---- the guest's side ---------------------------------------------------------------- */

static void select_item(FWCfg *s, uint16_t key)
{
    Item *i;

    s->key = key;
    s->offset = 0;
    i = item(s, key);
    if (i && i->select) {
        i->select(i->select_opaque);
    }
}

/* What is left of the selected item. */
static const uint8_t *rest_of_item(FWCfg *s, uint64_t *len)
{
    Item *i = item(s, s->key);
    gsize size = 0;
    const uint8_t *data = i && i->data ? g_bytes_get_data(i->data, &size) : NULL;

    *len = s->offset < size ? size - s->offset : 0;
    return data ? data + MIN(s->offset, size) : NULL;
}

static uint64_t ports_read(void *opaque, hwaddr addr, unsigned size)
{
    FWCfg *s = opaque;
    uint64_t left;
    const uint8_t *p = rest_of_item(s, &left);

    if (addr == 0 || !left) {
        return 0;
    }
    s->offset++;
    return *p;
}

/* A word at 510h selects; the data port was writable once and takes nothing any more. */
static void ports_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    if (addr == 0 && size == 2) {
        select_item(opaque, val);
    }
}

static bool dma_read(FWCfg *s, uint64_t addr, uint32_t len)
{
    static const uint8_t zeros[4096];
    uint64_t left, n;
    const uint8_t *p = rest_of_item(s, &left);
    MemResult res = MEM_OK;

    n = MIN(left, len);
    if (n) {
        res |= address_space_write(&address_space_memory, addr, p, n);
    }
    s->offset += n;
    for (len -= n, addr += n; len && res == MEM_OK; len -= n, addr += n) {
        n = MIN(len, sizeof(zeros));
        res |= address_space_write(&address_space_memory, addr, zeros, n);
    }
    return res == MEM_OK;
}

static bool dma_write(FWCfg *s, uint64_t addr, uint32_t len)
{
    Item *i = item(s, s->key);
    uint64_t left;
    uint8_t *p = (uint8_t *)rest_of_item(s, &left);

    if (!i || !i->writable || len > left) {
        LOG_GUEST("fw_cfg: write of %u bytes to item %04x refused", len, s->key);
        return false;
    }
    if (address_space_read(&address_space_memory, addr, p, len) != MEM_OK) {
        return false;
    }
    s->offset += len;
    if (i->written) {
        i->written(i->written_opaque);
    }
    return true;
}

static bool dma_skip(FWCfg *s, uint32_t len)
{
    uint64_t left;

    rest_of_item(s, &left);
    s->offset += MIN(left, len);
    return true;
}

static void dma_command(FWCfg *s, uint64_t at)
{
    uint8_t command[16], result[4];
    uint32_t control, len;
    uint64_t addr;
    bool ok = true;

    if (address_space_read(&address_space_memory, at, command, sizeof(command)) != MEM_OK) {
        st32_be(result, DMA_ERROR);
        address_space_write(&address_space_memory, at, result, sizeof(result));
        return;
    }
    control = ld32_be(command);
    len = ld32_be(command + 4);
    addr = ld64_be(command + 8);
    if (control & DMA_SELECT) {
        select_item(s, control >> 16);
    }
    if (control & DMA_READ) {
        ok = dma_read(s, addr, len);
    } else if (control & DMA_WRITE) {
        ok = dma_write(s, addr, len);
    } else if (control & DMA_SKIP) {
        ok = dma_skip(s, len);
    }
    st32_be(result, ok ? 0 : DMA_ERROR);
    address_space_write(&address_space_memory, at, result, sizeof(result));
}

/* The register is big-endian, the bus little-endian: byte n of the register is its nth most
 * significant. */
static uint64_t dma_port_read(void *opaque, hwaddr addr, unsigned size)
{
    uint8_t be[8];

    st64_be(be, DMA_SIGNATURE);
    return size == 8 ? ld64_le(be) : size == 4 ? ld32_le(be + addr) : size == 2
         ? ld16_le(be + addr) : be[addr];
}

static void dma_port_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    FWCfg *s = opaque;
    uint64_t at;

    if (size == 8) {
        at = __builtin_bswap64(val);
    } else if (size == 4 && addr == 0) {
        s->dma_addr = (uint64_t)__builtin_bswap32(val) << 32;
        return;
    } else if (size == 4) {
        at = s->dma_addr | __builtin_bswap32(val);
    } else {
        return;
    }
    s->dma_addr = 0;
    dma_command(s, at);
}

static const RegionOps ports_ops = {
    .read = ports_read, .write = ports_write, .min = 1, .max = 2, .unaligned = true,
};
static const RegionOps dma_ops = {
    .read = dma_port_read, .write = dma_port_write, .min = 1, .max = 8,
};

/* ---- device -------------------------------------------------------------------------- */

static bool fw_cfg_realize(Device *dev, Error **err)
{
    FWCfg *s = (FWCfg *)dev;

    region_init_io(&s->ports, "fwcfg", 2, &ports_ops, s);
    region_map(dev->io, PORT_BASE, &s->ports, 0);
    region_init_io(&s->dma_port, "fwcfg.dma", 8, &dma_ops, s);
    region_map(dev->io, PORT_DMA, &s->dma_port, 0);
    fw_cfg_set(dev, FW_CFG_SIGNATURE, "QEMU", 4);
    fw_cfg_set_u32(dev, FW_CFG_ID, ID_TRADITIONAL | ID_DMA);
    make_directory(s);
    the_fw_cfg = s;
    return true;
}

static void fw_cfg_unrealize(Device *dev)
{
    FWCfg *s = (FWCfg *)dev;

    region_destroy(&s->ports);
    region_destroy(&s->dma_port);
    for (unsigned n = 0; n < GENERIC_ITEMS; n++) {
        g_clear_pointer(&s->generic[n].data, g_bytes_unref);
    }
    for (unsigned n = 0; n < ARCH_ITEMS; n++) {
        g_clear_pointer(&s->arch[n].data, g_bytes_unref);
    }
    for (unsigned n = 0; n < FW_CFG_FILE_SLOTS; n++) {
        g_free(s->names[n]);
    }
    the_fw_cfg = NULL;
}

static void fw_cfg_reset(Device *dev)
{
    FWCfg *s = (FWCfg *)dev;

    s->key = 0;
    s->offset = 0;
    s->dma_addr = 0;
}

/* An offset beyond the item reads as zeros, so it needs no check. */
static const VMField fw_cfg_fields[] = {
    VM_UINT(FWCfg, key), VM_UINT(FWCfg, offset), VM_UINT(FWCfg, dma_addr),
    VM_DONE
};
static const VMState vm_fw_cfg = { .name = "fw_cfg", .fields = fw_cfg_fields };

static const DeviceType fw_cfg_type = {
    .name = "fw_cfg_io", .desc = "firmware configuration", .size = sizeof(FWCfg),
    .vmstate = &vm_fw_cfg, .realize = fw_cfg_realize, .unrealize = fw_cfg_unrealize,
    .reset = fw_cfg_reset, .no_user = true,
};
DEVICE_TYPE(fw_cfg_type);

Device *fw_cfg_create(void)
{
    Device *dev = device_new("fw_cfg_io");

    device_realize_or_die(dev, NULL);
    return dev;
}

Device *fw_cfg_device(void)
{
    return the_fw_cfg ? &the_fw_cfg->dev : NULL;
}
