/* SPDX-License-Identifier: MIT */
/*
 * A disk in memory for tests.
 */
#include "tests/unit/memdisk.h"
#include "block/block.h"
#include "util/iov.h"

#include <errno.h>
#include <string.h>

#define LIMIT (64u << 20)

MemDisk mem = { .fail_in = -1 };

static bool mem_fails(void)
{
    if (mem.fail_in < 0) {
        return false;
    }
    if (mem.fail_in > 0) {
        mem.fail_in--;
        return false;
    }
    mem.fail_in = mem.fail_on ? 0 : -1;
    mem.failed = true;
    return true;
}

static bool mem_open(BlockNode *n, Json *options, Error **err)
{
    return true;
}

static void mem_close(BlockNode *n)
{
}

static int64_t mem_length(BlockNode *n)
{
    return mem.bytes->len;
}

static int mem_read(BlockNode *n, uint64_t off, const struct iovec *iov, int niov)
{
    size_t len = iov_size(iov, niov);
    g_mutex_lock(&mem.lock);
    size_t have = off >= mem.bytes->len ? 0 : MIN(len, mem.bytes->len - off);
    iov_from_buf(iov, niov, 0, mem.bytes->data + off, have);
    iov_memset(iov, niov, have, 0, len - have);
    g_mutex_unlock(&mem.lock);
    return 0;
}

static void put(uint64_t off, const struct iovec *iov, int niov, size_t len)
{
    size_t old = mem.bytes->len;
    if (off + len > old) {
        g_byte_array_set_size(mem.bytes, off + len);
        memset(mem.bytes->data + old, 0, off + len - old);
    }
    iov_to_buf(iov, niov, 0, mem.bytes->data + off, len);
}

static int mem_write(BlockNode *n, uint64_t off, const struct iovec *iov, int niov)
{
    size_t len = iov_size(iov, niov);
    int ret = 0;
    g_mutex_lock(&mem.lock);
    if (mem_fails()) {
        ret = -mem.fail_errno;
    } else if (off + len > LIMIT) {
        ret = -EFBIG;
    } else {
        put(off, iov, niov, len);
        if (mem.log) {
            MemLogEntry e = { off, len, g_memdup2(mem.bytes->data + off, len) };
            g_array_append_val(mem.log, e);
        }
    }
    g_mutex_unlock(&mem.lock);
    return ret;
}

/* Only inside the file, as holes are. */
static int mem_write_zeroes(BlockNode *n, uint64_t off, uint64_t len, bool may_unmap)
{
    if (len > LIMIT) {
        return -EFBIG;
    }
    g_autofree uint8_t *zeroes = g_malloc0(len);
    struct iovec iov = { zeroes, len };
    return mem_write(n, off, &iov, 1);
}

static int mem_discard(BlockNode *n, uint64_t off, uint64_t len)
{
    uint64_t length = mem.bytes->len;
    return off >= length ? 0 : mem_write_zeroes(n, off, MIN(len, length - off), true);
}

static int mem_flush(BlockNode *n)
{
    int ret = 0;
    g_mutex_lock(&mem.lock);
    if (mem_fails()) {
        ret = -mem.fail_errno;
    } else if (mem.log) {
        MemLogEntry e = { 0 };
        g_array_append_val(mem.log, e);
    }
    g_mutex_unlock(&mem.lock);
    return ret;
}

static bool mem_truncate(BlockNode *n, uint64_t length, BlockPrealloc prealloc, Error **err)
{
    size_t old = mem.bytes->len;
    if (length > LIMIT) {
        return fail(err, "too long");
    }
    g_byte_array_set_size(mem.bytes, length);
    if (length > old) {
        memset(mem.bytes->data + old, 0, length - old);
    }
    return true;
}

static const BlockDriver mem_driver = {
    .name = "mem", .protocol = true, .open = mem_open, .close = mem_close, .length = mem_length,
    .read = mem_read, .write = mem_write, .write_zeroes = mem_write_zeroes, .discard = mem_discard,
    .flush = mem_flush, .truncate = mem_truncate,
};
BLOCK_DRIVER(mem_driver);

void memdisk_clear_log(void)
{
    for (guint i = 0; mem.log && i < mem.log->len; i++) {
        g_free(g_array_index(mem.log, MemLogEntry, i).data);
    }
    g_clear_pointer(&mem.log, g_array_unref);
}

void memdisk_start_log(void)
{
    memdisk_clear_log();
    mem.log = g_array_new(FALSE, FALSE, sizeof(MemLogEntry));
}

static void set_bytes(const uint8_t *data, size_t len)
{
    mem.bytes = mem.bytes ? mem.bytes : g_byte_array_new();
    g_byte_array_set_size(mem.bytes, 0);
    g_byte_array_append(mem.bytes, data, len);
    mem.fail_in = -1;
    mem.fail_on = mem.failed = false;
}

void memdisk_set(const uint8_t *data, size_t len)
{
    memdisk_clear_log();
    set_bytes(data, len);
}

BlockNode *memdisk_open(const char *format, bool read_only, bool check, Error **err)
{
    Json *o = json_object(), *file = json_object();
    json_set_str(file, "driver", "mem");
    json_set_str(o, "driver", format);
    json_set(o, "file", file);
    if (block_driver_find(format)->has_backing) {
        json_set(o, "backing", json_null());
    }
    return node_open(o, (BlockFlags) { .read_only = read_only, .check = check, .unmap = true }, err);
}

void memdisk_drop(BlockNode *n)
{
    GArray *log = g_steal_pointer(&mem.log);
    n->flags.read_only = true;          /* closing does not even try, and says nothing */
    mem.fail_in = 0;
    mem.fail_on = true;
    mem.fail_errno = EIO;
    node_unref(n);
    mem.log = log;
    mem.fail_in = -1;
    mem.fail_on = false;
}

void memdisk_cut(const uint8_t *start, size_t len, guint cut)
{
    guint barrier = 0;
    set_bytes(start, len);
    for (guint i = 0; i < cut; i++) {
        barrier = g_array_index(mem.log, MemLogEntry, i).len ? barrier : i;
    }
    for (guint i = 0; i < cut; i++) {
        MemLogEntry *e = &g_array_index(mem.log, MemLogEntry, i);
        bool all = i < barrier || g_test_rand_int() % 3 == 0, none = !all && g_test_rand_int() % 2;
        for (uint32_t done = 0, part; !none && done < e->len; done += part) {
            /* sectors are written whole or not at all, each by itself */
            part = MIN(BLK_SECTOR - (e->off + done) % BLK_SECTOR, e->len - done);
            struct iovec iov = { e->data + done, part };
            if (all || g_test_rand_int() % 2) {
                put(e->off + done, &iov, 1, part);
            }
        }
    }
}
