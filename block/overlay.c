/* SPDX-License-Identifier: MIT */
/*
 * snapshot=on: a node that keeps what is written in a nameless temporary file and reads the
 * rest from the image below, which is never touched.  One bit for each 4 KiB tells where a
 * block lives.  A block that is written in part is completed from below first.
 */
#include "block/node.h"
#include "util/iov.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CLUSTER 4096u

typedef struct Overlay {
    int fd;
    uint64_t length;                    /* multiple of a sector */
    GRWLock lock;                       /* writers complete blocks and set bits */
    unsigned long *own;                 /* [length / CLUSTER] block is in fd */
} Overlay;

static bool overlay_has(const Overlay *o, uint64_t cluster)
{
    return o->own[cluster / 64] >> (cluster % 64) & 1;
}

static int open_temporary(Error **err)
{
    const char *dir = getenv("TMPDIR");
    g_autofree char *name = g_build_filename(dir ? dir : "/var/tmp", "orrery-XXXXXX", NULL);
    int fd = g_mkstemp_full(name, O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0) {
        fail_errno(err, errno, "snapshot=on: temporary file '%s' (TMPDIR names its folder)", name);
        return -1;
    }
    unlink(name);
    return fd;
}

static bool overlay_driver_open(BlockNode *n, Json *options, Error **err)
{
    Overlay *o = n->state;
    int64_t length = -EINVAL;
    o->fd = -1;
    n->backing = node_open_child(n, options, "backing", err);
    if (!n->backing) {
        return false;
    }
    length = node_length(n->backing);
    if (length < 0) {
        return fail_errno(err, (int)-length, "snapshot=on: size of the image");
    }
    o->fd = open_temporary(err);
    if (o->fd < 0) {
        return false;
    }
    o->length = length;
    o->own = g_malloc0((o->length / CLUSTER / 64 + 1) * 8);
    g_rw_lock_init(&o->lock);
    n->flags.read_only = false;
    return true;
}

static void overlay_close(BlockNode *n)
{
    Overlay *o = n->state;
    close(o->fd);
    g_free(o->own);
    g_rw_lock_clear(&o->lock);
}

static int64_t overlay_length(BlockNode *n)
{
    return ((Overlay *)n->state)->length;
}

/* End of the run of blocks from off that live on the same side. */
static uint64_t run_end(const Overlay *o, uint64_t off, uint64_t end)
{
    uint64_t cluster = off / CLUSTER;
    bool own = overlay_has(o, cluster);
    do {
        cluster++;
    } while (cluster * CLUSTER < end && overlay_has(o, cluster) == own);
    return MIN(cluster * CLUSTER, end);
}

static int read_own(Overlay *o, uint64_t off, uint8_t *buf, size_t len)
{
    while (len) {
        ssize_t n = pread(o->fd, buf, len, off);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? -errno : -EIO;
        }
        buf += n;
        off += n;
        len -= n;
    }
    return 0;
}

static int write_own(Overlay *o, uint64_t off, const uint8_t *buf, size_t len)
{
    while (len) {
        ssize_t n = pwrite(o->fd, buf, len, off);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -errno;
        }
        buf += n;
        off += n;
        len -= n;
    }
    return 0;
}

static int read_run(BlockNode *n, bool own, uint64_t off, const struct iovec *iov, int niov)
{
    if (!own) {
        return node_read(n->backing, off, iov, niov);
    }
    int ret = 0;
    for (int i = 0; i < niov && !ret; i++) {
        ret = read_own(n->state, off, iov[i].iov_base, iov[i].iov_len);
        off += iov[i].iov_len;
    }
    return ret;
}

static int overlay_read(BlockNode *n, uint64_t off, const struct iovec *iov, int niov)
{
    Overlay *o = n->state;
    uint64_t end = off + iov_size(iov, niov), done = 0;
    g_autofree struct iovec *part = g_new(struct iovec, niov);
    int ret = 0;
    g_rw_lock_reader_lock(&o->lock);
    while (off < end && !ret) {
        uint64_t to = run_end(o, off, end);
        int count = iov_slice(part, iov, niov, done, to - off);
        ret = read_run(n, overlay_has(o, off / CLUSTER), off, part, count);
        done += to - off;
        off = to;
    }
    g_rw_lock_reader_unlock(&o->lock);
    return ret;
}

/* A block with data inside [off, off + len) laid over what is there.  Lock held. */
static int write_partial(BlockNode *n, uint64_t off, const uint8_t *data, size_t len)
{
    Overlay *o = n->state;
    uint8_t block[CLUSTER] = { 0 };
    uint64_t start = off / CLUSTER * CLUSTER;
    size_t size = MIN(CLUSTER, o->length - start);
    int ret = 0;
    if (!overlay_has(o, start / CLUSTER)) {
        ret = node_pread(n->backing, start, block, size);
        memcpy(block + (off - start), data, len);
        return ret < 0 ? ret : write_own(o, start, block, size);
    }
    return write_own(o, off, data, len);
}

static int overlay_write(BlockNode *n, uint64_t off, const struct iovec *iov, int niov)
{
    Overlay *o = n->state;
    size_t total = iov_size(iov, niov), done = 0;
    int ret = 0;
    g_autofree uint8_t *bounce = g_malloc(MIN(total, 64 * 1024) + CLUSTER);
    g_rw_lock_writer_lock(&o->lock);
    while (done < total && !ret) {
        uint64_t at = off + done;
        /* whole blocks together, a part of one by itself */
        size_t len = CLUSTER - at % CLUSTER;
        if (at % CLUSTER == 0 && total - done > CLUSTER) {
            len = MIN(total - done, 64 * 1024) / CLUSTER * CLUSTER;
        }
        len = MIN(len, total - done);
        iov_to_buf(iov, niov, done, bounce, len);
        bool whole = at % CLUSTER == 0 && (len % CLUSTER == 0 || at + len == o->length);
        ret = whole ? write_own(o, at, bounce, len) : write_partial(n, at, bounce, len);
        for (uint64_t c = at / CLUSTER; !ret && c * CLUSTER < at + len; c++) {
            o->own[c / 64] |= 1ul << (c % 64);
        }
        done += len;
    }
    g_rw_lock_writer_unlock(&o->lock);
    return ret;
}

static int overlay_status(BlockNode *n, uint64_t off, uint64_t len, BlockStatus *st)
{
    Overlay *o = n->state;
    g_rw_lock_reader_lock(&o->lock);
    st->len = run_end(o, off, off + len) - off;
    st->allocated = st->data = overlay_has(o, off / CLUSTER);
    g_rw_lock_reader_unlock(&o->lock);
    return 0;
}

static const char *overlay_file_name(BlockNode *n)
{
    return node_file_name(n->backing);
}

/* No flush: what is written here is meant to be lost. */
static const BlockDriver overlay_driver = {
    .name = "snapshot-overlay", .size = sizeof(Overlay), .open = overlay_driver_open,
    .close = overlay_close, .length = overlay_length, .read = overlay_read,
    .write = overlay_write, .file_name = overlay_file_name, .status = overlay_status,
};
BLOCK_DRIVER(overlay_driver);

BlockNode *overlay_open(BlockNode *base, Error **err)
{
    Json *options = json_object();
    json_set_str(options, "driver", "snapshot-overlay");
    json_set_str(options, "backing", base->name);
    /* read-only while it opens, so that a read-only image below is no contradiction */
    BlockNode *n = node_open(options, (BlockFlags) { .read_only = true }, err);
    node_unref(base);
    return n;
}
