/* SPDX-License-Identifier: MIT */
/*
 * vhdx: requests.
 */
#include "block/vhdx.h"
#include "util/iov.h"

#include <errno.h>

/* Where off is in the file; false: nowhere, zeroes. */
static bool locate(const Vhdx *v, uint64_t off, uint64_t *host)
{
    uint64_t e = __atomic_load_n(&v->bat[vhdx_bat_index(v, off / v->block_size)], __ATOMIC_ACQUIRE);
    *host = (e >> 20 << 20) + off % v->block_size;
    return (e & 7) == BLOCK_PRESENT;
}

static uint64_t piece(const Vhdx *v, uint64_t off, uint64_t len)
{
    return MIN(len, v->block_size - off % v->block_size);
}

int vhdx_read(BlockNode *n, uint64_t off, const struct iovec *iov, int niov)
{
    const Vhdx *v = n->state;
    size_t total = iov_size(iov, niov);
    g_autofree struct iovec *part = g_new(struct iovec, niov);
    int ret = 0;
    for (size_t done = 0; done < total && !ret;) {
        uint64_t host, len = piece(v, off + done, total - done);
        int count = iov_slice(part, iov, niov, done, len);
        if (!locate(v, off + done, &host)) {
            iov_memset(part, count, 0, 0, len);
        } else {
            ret = host + len > (uint64_t)node_length(n->file) ? -EIO : node_read(n->file, host, part, count);
        }
        done += len;
    }
    return ret;
}

/* ---- writing ------------------------------------------------------------------------------------ */

/* The first write after opening: others see by the header's numbers that the disk changes. */
static int announce(BlockNode *n)
{
    Vhdx *v = n->state;
    vhdx_new_guid(v->header + H_FILE_GUID);
    vhdx_new_guid(v->header + H_DATA_GUID);
    int ret = vhdx_write_header(n);
    __atomic_store_n(&v->announced, !ret, __ATOMIC_RELEASE);
    return ret;
}

/* A block at the end of the file, which grows over it.  Lock held. */
static int add_block(BlockNode *n, uint64_t block)
{
    static const uint8_t zeroes[BLK_SECTOR];
    Vhdx *v = n->state;
    uint64_t at = (v->end + VHDX_MB - 1) / VHDX_MB * VHDX_MB, index = vhdx_bat_index(v, block);
    int ret = node_pwrite(n->file, at + v->block_size - sizeof(zeroes), zeroes, sizeof(zeroes));
    if (!ret) {
        v->end = at + v->block_size;
        __atomic_store_n(&v->bat[index], at | BLOCK_PRESENT, __ATOMIC_RELEASE);
        v->dirty[index * 8 / VHDX_SECTOR] = MAX(v->dirty[index * 8 / VHDX_SECTOR], VHDX_CHANGED);
        v->any_dirty = true;
    }
    return ret;
}

/* Where off can be written. */
static int prepare(BlockNode *n, uint64_t off, uint64_t *host)
{
    Vhdx *v = n->state;
    int ret = 0;
    if (__atomic_load_n(&v->announced, __ATOMIC_ACQUIRE) && locate(v, off, host)) {
        return 0;
    }
    g_mutex_lock(&v->lock);
    ret = v->announced ? 0 : announce(n);
    if (!ret && !locate(v, off, host)) {
        ret = add_block(n, off / v->block_size);
        locate(v, off, host);
    }
    g_mutex_unlock(&v->lock);
    return ret;
}

int vhdx_write(BlockNode *n, uint64_t off, const struct iovec *iov, int niov)
{
    const Vhdx *v = n->state;
    size_t total = iov_size(iov, niov);
    g_autofree struct iovec *part = g_new(struct iovec, niov);
    int ret = 0;
    for (size_t done = 0; done < total && !ret;) {
        uint64_t host, len = piece(v, off + done, total - done);
        ret = prepare(n, off + done, &host);
        ret = ret ? ret : node_write(n->file, host, part, iov_slice(part, iov, niov, done, len));
        done += len;
    }
    return ret;
}

typedef int RangeFn(BlockNode *file, uint64_t host, uint64_t len, bool may_unmap);

/* Blocks that are not there are zero as they are; the others keep their place. */
static int each_present(BlockNode *n, uint64_t off, uint64_t len, RangeFn *fn, bool may_unmap)
{
    const Vhdx *v = n->state;
    int ret = 0;
    for (uint64_t at = off, end = off + len, part; at < end && !ret; at += part) {
        uint64_t host;
        part = piece(v, at, end - at);
        if (locate(v, at, &host)) {
            ret = prepare(n, at, &host);
            ret = ret ? ret : fn(n->file, host, part, may_unmap);
        }
    }
    return ret;
}

int vhdx_write_zeroes(BlockNode *n, uint64_t off, uint64_t len, bool may_unmap)
{
    return each_present(n, off, len, node_write_zeroes, may_unmap);
}

static int discard_range(BlockNode *file, uint64_t host, uint64_t len, bool may_unmap)
{
    return node_discard(file, host, len);
}

int vhdx_discard(BlockNode *n, uint64_t off, uint64_t len)
{
    return each_present(n, off, len, discard_range, true);
}

int vhdx_flush(BlockNode *n)
{
    Vhdx *v = n->state;
    g_mutex_lock(&v->lock);
    bool logged = v->any_dirty;
    int ret = vhdx_write_bat(n);
    g_mutex_unlock(&v->lock);
    /* what was in the file before the log was waited for, is there */
    return ret || logged ? ret : node_flush(n->file);
}

int vhdx_status(BlockNode *n, uint64_t off, uint64_t len, BlockStatus *st)
{
    const Vhdx *v = n->state;
    st->len = piece(v, off, len);
    st->allocated = true;
    st->data = st->has_offset = locate(v, off, &st->offset);
    st->offset = st->data ? st->offset : 0;
    st->zero = !st->data;
    st->file = n->file;
    return 0;
}
