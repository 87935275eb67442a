/* SPDX-License-Identifier: MIT */
/*
 * Format driver "vdi" (VirtualBox disk image, version 1.1), dynamic and static, without parents.
 * A header, a table with one 32-bit number per MiB of the disk, then blocks of 1 MiB in the
 * order of their allocation.
 *
 * The table lives in memory and goes to the file on a flush, after the data it names.  A block
 * once given is never taken back, so nothing else has to be ordered.
 */
#include "block/block.h"
#include "block/node.h"
#include "util/bits.h"
#include "util/iov.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

enum {
    V_SIGNATURE = 0x40, V_VERSION = 0x44, V_HEADER_SIZE = 0x48, V_TYPE = 0x4c, V_MAP = 0x154,
    V_DATA = 0x158, V_SECTOR_SIZE = 0x168, V_DISK_SIZE = 0x170, V_BLOCK_SIZE = 0x178,
    V_BLOCKS = 0x180, V_ALLOCATED = 0x184, V_UUID = 0x188, V_LAST_SNAP = 0x198, V_LINK = 0x1a8,
    V_PARENT = 0x1b8, V_SIZE = 0x200,
};

#define SIGNATURE   0xbeda107fu
#define BLOCK       (1u << 20)
#define NONE        0xffffffffu         /* never written */
#define DISCARDED   0xfffffffeu         /* reads as zeroes */
#define MAX_BLOCKS  (16u << 20)         /* 16 TiB: a table of 64 MiB */

typedef struct Vdi {
    uint64_t size, data_at, map_at, virgin;
    uint32_t blocks;
    uint32_t *map;                      /* [blocks], host byte order */
    uint32_t allocated;                 /* blocks behind data_at */
    uint32_t dirty_from, dirty_to;      /* entries not in the file yet */
    GMutex lock;                        /* held while a block is being allocated */
} Vdi;

static int vdi_probe(const uint8_t *head, size_t len, const char *filename)
{
    return len >= V_VERSION && ld32_le(head + V_SIGNATURE) == SIGNATURE ? 100 : 0;
}

/* ---- opening --------------------------------------------------------------------------- */

static bool is_null(const uint8_t *uuid)
{
    static const uint8_t null[16];
    return !memcmp(uuid, null, 16);
}

static bool check_header(const uint8_t *h, Error **err)
{
    uint32_t type = ld32_le(h + V_TYPE), blocks = ld32_le(h + V_BLOCKS);
    uint64_t size = ld64_le(h + V_DISK_SIZE);
    if (ld32_le(h + V_SIGNATURE) != SIGNATURE) {
        return fail(err, "Image not in VDI format (bad signature)");
    }
    if (ld32_le(h + V_VERSION) != 0x10001) {
        return fail(err, "unsupported VDI image (version %u.%u)", ld32_le(h + V_VERSION) >> 16,
                    ld32_le(h + V_VERSION) & 0xffff);
    }
    if (type != 1 && type != 2) {
        return fail(err, "unsupported VDI image (type %u)", type);
    }
    if (ld32_le(h + V_SECTOR_SIZE) != 512 || ld32_le(h + V_BLOCK_SIZE) != BLOCK) {
        return fail(err, "unsupported VDI image (sector size %u, block size %u)",
                    ld32_le(h + V_SECTOR_SIZE), ld32_le(h + V_BLOCK_SIZE));
    }
    if (!is_null(h + V_LINK) || !is_null(h + V_PARENT)) {
        return fail(err, "unsupported VDI image (it has a parent)");
    }
    if (blocks > MAX_BLOCKS || size > (uint64_t)blocks * BLOCK) {
        return fail(err, "unsupported VDI image (disk size %" PRIu64 ", %u blocks)", size, blocks);
    }
    return ld32_le(h + V_MAP) % 512 == 0 && ld32_le(h + V_DATA) % 512 == 0
           && ld32_le(h + V_MAP) >= V_SIZE
           && ld32_le(h + V_DATA) >= ld32_le(h + V_MAP) + (uint64_t)blocks * 4
           ? true : fail(err, "unsupported VDI image (unaligned or overlapping parts)");
}

/* No two disk blocks may share one of the file. */
static bool check_map(Vdi *v, Error **err)
{
    g_autofree uint8_t *seen = g_malloc0(v->blocks / 8 + 1);
    for (uint32_t i = 0; i < v->blocks; i++) {
        uint32_t b = v->map[i];
        if (b >= DISCARDED) {
            continue;
        }
        if (b >= v->blocks || (seen[b / 8] >> (b % 8) & 1)) {
            return fail(err, "VDI block table is corrupt: entry %u is %u", i, b);
        }
        seen[b / 8] |= 1 << (b % 8);
        v->allocated = MAX(v->allocated, b + 1);
    }
    return true;
}

static bool load(BlockNode *n, Error **err)
{
    Vdi *v = n->state;
    uint8_t h[V_SIZE];
    int ret = node_pread(n->file, 0, h, sizeof(h));
    if (ret < 0) {
        return fail_errno(err, -ret, "Could not read the VDI header");
    }
    if (!check_header(h, err)) {
        return false;
    }
    v->size = ld64_le(h + V_DISK_SIZE);
    v->map_at = ld32_le(h + V_MAP);
    v->data_at = ld32_le(h + V_DATA);
    v->blocks = ld32_le(h + V_BLOCKS);
    v->virgin = node_length(n->file);
    v->map = g_try_new0(uint32_t, v->blocks + 1);
    ret = v->map ? node_pread(n->file, v->map_at, v->map, v->blocks * 4ull) : -ENOMEM;
    if (ret < 0) {
        return fail_errno(err, -ret, "Could not read the VDI block table");
    }
    for (uint32_t i = 0; i < v->blocks; i++) {
        v->map[i] = ld32_le(&v->map[i]);
    }
    if (!check_map(v, err)) {
        return false;
    }
    v->dirty_from = UINT32_MAX;
    if (v->blocks && ld32_le(h + V_ALLOCATED) != v->allocated) {
        v->dirty_from = 0;              /* not closed in order: the next flush tells the number */
        v->dirty_to = 1;
    }
    return true;
}

static bool vdi_open(BlockNode *n, Json *options, Error **err)
{
    Vdi *v = n->state;
    n->file = node_open_child(n, options, "file", err);
    if (!n->file) {
        return false;
    }
    if (!load(n, err)) {
        g_free(v->map);
        return false;
    }
    n->cluster_size = BLOCK;
    g_mutex_init(&v->lock);
    return true;
}

static int64_t vdi_length(BlockNode *n)
{
    return ((Vdi *)n->state)->size;
}

/* ---- requests ---------------------------------------------------------------------------- */

static uint64_t host_of(const Vdi *v, uint32_t entry, uint64_t off)
{
    return v->data_at + (uint64_t)entry * BLOCK + off % BLOCK;
}

static int vdi_read(BlockNode *n, uint64_t off, const struct iovec *iov, int niov)
{
    Vdi *v = n->state;
    size_t total = iov_size(iov, niov);
    g_autofree struct iovec *part = g_new(struct iovec, niov);
    int ret = 0;
    for (size_t done = 0; done < total && !ret;) {
        uint64_t at = off + done, len = MIN(BLOCK - at % BLOCK, total - done);
        uint32_t entry = __atomic_load_n(&v->map[at / BLOCK], __ATOMIC_ACQUIRE);
        int count = iov_slice(part, iov, niov, done, len);
        if (entry >= DISCARDED) {
            iov_memset(part, count, 0, 0, len);
        } else {
            ret = node_read(n->file, host_of(v, entry, at), part, count);
        }
        done += len;
    }
    return ret;
}

/* The first write to a block: it is named only when its content is there.  Lock held. */
static int allocate(BlockNode *n, uint64_t at, const struct iovec *iov, int niov)
{
    Vdi *v = n->state;
    uint32_t i = at / BLOCK, entry = v->allocated;
    uint64_t start = host_of(v, entry, 0);
    if (entry >= v->blocks) {
        return -ENOSPC;
    }
    int ret = 0;
    if (start < v->virgin) {            /* something may be left from before a crash */
        g_autofree uint8_t *zeroes = g_malloc0(BLOCK);
        ret = node_pwrite(n->file, start, zeroes, BLOCK);
    }
    ret = ret ? ret : node_write(n->file, host_of(v, entry, at), iov, niov);
    if (!ret && at % BLOCK + iov_size(iov, niov) < BLOCK && start >= v->virgin) {
        uint8_t last = 0;               /* whole blocks, as others expect */
        ret = node_pwrite(n->file, start + BLOCK - 1, &last, 1);
    }
    if (!ret) {
        v->allocated++;
        __atomic_store_n(&v->map[i], entry, __ATOMIC_RELEASE);
        v->dirty_from = MIN(v->dirty_from, i);
        v->dirty_to = MAX(v->dirty_to, i + 1);
    } else {
        v->virgin = MAX(v->virgin, start + BLOCK);
    }
    return ret;
}

static int write_part(BlockNode *n, uint64_t at, const struct iovec *iov, int niov)
{
    Vdi *v = n->state;
    uint32_t entry = __atomic_load_n(&v->map[at / BLOCK], __ATOMIC_ACQUIRE);
    if (entry < DISCARDED) {
        return node_write(n->file, host_of(v, entry, at), iov, niov);
    }
    g_mutex_lock(&v->lock);
    entry = v->map[at / BLOCK];         /* another writer may have been quicker */
    int ret = entry < DISCARDED ? node_write(n->file, host_of(v, entry, at), iov, niov)
                                : allocate(n, at, iov, niov);
    g_mutex_unlock(&v->lock);
    return ret;
}

static int vdi_write(BlockNode *n, uint64_t off, const struct iovec *iov, int niov)
{
    size_t total = iov_size(iov, niov);
    g_autofree struct iovec *part = g_new(struct iovec, niov);
    int ret = 0;
    for (size_t done = 0; done < total && !ret;) {
        uint64_t at = off + done, len = MIN(BLOCK - at % BLOCK, total - done);
        ret = write_part(n, at, part, iov_slice(part, iov, niov, done, len));
        done += len;
    }
    return ret;
}

/* Unallocated blocks are zero as they are. */
static int vdi_write_zeroes(BlockNode *n, uint64_t off, uint64_t len, bool may_unmap)
{
    Vdi *v = n->state;
    for (uint64_t b = off / BLOCK; b <= (off + len - 1) / BLOCK; b++) {
        if (__atomic_load_n(&v->map[b], __ATOMIC_ACQUIRE) < DISCARDED) {
            return -ENOTSUP;            /* written out by the caller */
        }
    }
    return 0;
}

static int write_map(BlockNode *n)
{
    Vdi *v = n->state;
    if (v->dirty_from >= v->dirty_to) {
        return 0;
    }
    uint32_t from = v->dirty_from & ~127u, to = MIN((v->dirty_to + 127) & ~127u, v->blocks);
    g_autofree uint32_t *raw = g_new(uint32_t, to - from);
    uint8_t count[4];
    for (uint32_t i = from; i < to; i++) {
        st32_le(&raw[i - from], v->map[i]);
    }
    /* others put their next block behind so many: too high a number loses space, too low a one data */
    st32_le(count, v->allocated);
    int ret = node_pwrite(n->file, V_ALLOCATED, count, 4);
    ret = ret ? ret : node_flush(n->file);      /* first what the table is going to name */
    ret = ret ? ret : node_pwrite(n->file, v->map_at + from * 4ull, raw, (to - from) * 4ull);
    if (!ret) {
        v->dirty_from = UINT32_MAX;
        v->dirty_to = 0;
    }
    return ret;
}

static int vdi_flush(BlockNode *n)
{
    Vdi *v = n->state;
    g_mutex_lock(&v->lock);
    int ret = write_map(n);
    g_mutex_unlock(&v->lock);
    return ret ? ret : node_flush(n->file);
}

static void vdi_close(BlockNode *n)
{
    Vdi *v = n->state;
    int ret = n->flags.read_only ? 0 : vdi_flush(n);
    if (ret < 0) {
        error_report("'%s': the last changes could not be written: %s", node_file_name(n),
                     g_strerror(-ret));
    }
    g_free(v->map);
    g_mutex_clear(&v->lock);
}

static int vdi_status(BlockNode *n, uint64_t off, uint64_t len, BlockStatus *st)
{
    Vdi *v = n->state;
    uint32_t entry = __atomic_load_n(&v->map[off / BLOCK], __ATOMIC_ACQUIRE);
    st->len = BLOCK - off % BLOCK;
    st->allocated = true;
    st->zero = entry >= DISCARDED;
    st->data = st->has_offset = !st->zero;
    st->offset = st->zero ? 0 : host_of(v, entry, off);
    st->file = n->file;
    return 0;
}

/* ---- making ------------------------------------------------------------------------------- */

static void new_uuid(uint8_t *p)
{
    for (int i = 0; i < 4; i++) {
        st32_le(p + i * 4, g_random_int());
    }
    p[7] = (p[7] & 0x0f) | 0x40;        /* version 4 */
    p[8] = (p[8] & 0x3f) | 0x80;
}

static bool vdi_create(const char *filename, Json *options, Error **err)
{
    uint64_t size = 0;
    bool preallocated = false;
    if (!block_take_uint(options, "size", &size, err)
        || !block_take_bool(options, "static", &preallocated, err)) {
        return false;
    }
    size = (size + BLK_SECTOR - 1) / BLK_SECTOR * BLK_SECTOR;
    uint64_t blocks = size / BLOCK + !!(size % BLOCK), map = (blocks * 4 + 511) & ~511ull;
    if (blocks > MAX_BLOCKS) {
        return fail(err, "Unsupported VDI image size (at most %u TiB)", MAX_BLOCKS >> 20);
    }
    BlockNode *file = node_create_file(filename, options, err);
    if (!file) {
        return false;
    }
    g_autofree uint8_t *h = g_malloc0(V_SIZE + map);
    strcpy((char *)h, "<<< Orrery VirtualBox Disk Image >>>\n");
    st32_le(h + V_SIGNATURE, SIGNATURE);
    st32_le(h + V_VERSION, 0x10001);
    st32_le(h + V_HEADER_SIZE, 0x180);
    st32_le(h + V_TYPE, preallocated ? 2 : 1);
    st32_le(h + V_MAP, V_SIZE);
    st32_le(h + V_DATA, V_SIZE + map);
    st32_le(h + V_SECTOR_SIZE, 512);
    st64_le(h + V_DISK_SIZE, size);
    st32_le(h + V_BLOCK_SIZE, BLOCK);
    st32_le(h + V_BLOCKS, blocks);
    new_uuid(h + V_UUID);
    new_uuid(h + V_LAST_SNAP);
    memset(h + V_SIZE, 0xff, map);
    for (uint32_t i = 0; preallocated && i < blocks; i++) {
        st32_le(h + V_SIZE + i * 4ull, i);
    }
    st32_le(h + V_ALLOCATED, preallocated ? blocks : 0);
    int ret = node_pwrite(file, 0, h, V_SIZE + map);
    bool ok = ret || !preallocated
              || node_truncate(file, V_SIZE + map + blocks * BLOCK, PREALLOC_OFF, err);
    ret = ret ? ret : node_flush(file);
    node_unref(file);
    return !ret ? ok : fail_errno(err, -ret, "Could not write '%s'", filename);
}

static const BlockCreateOption vdi_create_options[] = {
    { "size", "size", NULL, "Virtual disk size" },
    { "static", "bool", "off", "VDI static (pre-allocated) image" },
    { NULL }
};

/* Opening refuses tables that contradict themselves; here they are compared with the file. */
static bool vdi_check(BlockNode *n, int fix, BlockCheck *out, GString *log, Error **err)
{
    Vdi *v = n->state;
    *out = (BlockCheck) { 0 };
    int64_t length = node_length(n->file);
    for (uint32_t i = 0; i < v->blocks; i++) {
        if (v->map[i] < DISCARDED && host_of(v, v->map[i], 0) >= (uint64_t)MAX(length, 0)) {
            if (log && log->len < 1 << 20) {
                g_string_append_printf(log, "ERROR: block %u of the disk lies behind the end of the file\n", i);
            }
            out->corruptions++;
        }
    }
    return true;
}

static const BlockDriver vdi_driver = {
    .name = "vdi", .size = sizeof(Vdi), .grows_file = true, .open = vdi_open, .close = vdi_close,
    .length = vdi_length, .read = vdi_read, .write = vdi_write, .flush = vdi_flush,
    .write_zeroes = vdi_write_zeroes, .status = vdi_status, .probe = vdi_probe,
    .check = vdi_check, .create = vdi_create, .create_options = vdi_create_options,
};
BLOCK_DRIVER(vdi_driver);
