/* SPDX-License-Identifier: MIT */
/*
 * qcow2: compressed clusters.  zlib ones are raw deflate streams with a window of 4 KiB; zstd
 * ones a frame.  The length in the table is rounded up to sectors, so rubbish follows.
 */
#include "block/qcow2.h"
#include "config.h"

#include <errno.h>
#include <zlib.h>
#ifdef CONFIG_ZSTD
#include <zstd.h>
#endif

#define WINDOW_BITS 12

static int64_t zlib_deflate(const Qcow2 *q, const uint8_t *in, uint8_t *out, size_t room)
{
    z_stream z = { 0 };
    if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -WINDOW_BITS, 9, Z_DEFAULT_STRATEGY)
        != Z_OK) {
        return -EIO;
    }
    z.next_in = (Bytef *)in;
    z.avail_in = q->cluster_size;
    z.next_out = out;
    z.avail_out = room;
    int ret = deflate(&z, Z_FINISH);
    int64_t size = room - z.avail_out;
    deflateEnd(&z);
    return ret == Z_STREAM_END ? size : ret == Z_OK || ret == Z_BUF_ERROR ? -ENOMEM : -EIO;
}

static int zlib_inflate(const Qcow2 *q, const uint8_t *in, size_t len, uint8_t *out)
{
    z_stream z = { 0 };
    z.next_in = (Bytef *)in;
    z.avail_in = len;
    z.next_out = out;
    z.avail_out = q->cluster_size;
    if (inflateInit2(&z, -MAX_WBITS) != Z_OK) {
        return -EIO;
    }
    int ret = inflate(&z, Z_FINISH);
    bool full = !z.avail_out;
    inflateEnd(&z);
    return full && (ret == Z_STREAM_END || ret == Z_BUF_ERROR || ret == Z_OK) ? 0 : -EIO;
}

#ifdef CONFIG_ZSTD
bool qcow2_have_zstd(void)
{
    return true;
}

static int64_t zstd_deflate(const Qcow2 *q, const uint8_t *in, uint8_t *out, size_t room)
{
    size_t n = ZSTD_compress(out, room, in, q->cluster_size, 3);
    return ZSTD_isError(n) ? -ENOMEM : (int64_t)n;
}

static int zstd_inflate(const Qcow2 *q, const uint8_t *in, size_t len, uint8_t *out)
{
    ZSTD_DCtx *d = ZSTD_createDCtx();
    ZSTD_inBuffer i = { in, len, 0 };
    ZSTD_outBuffer o = { out, q->cluster_size, 0 };
    size_t ret = d ? ZSTD_DCtx_setParameter(d, ZSTD_d_windowLogMax, 24) : (size_t)-1;
    while (d && o.pos < o.size && i.pos < i.size) {
        ret = ZSTD_decompressStream(d, &o, &i);
        if (ZSTD_isError(ret) || (!ret && o.pos < o.size)) {
            break;
        }
    }
    ZSTD_freeDCtx(d);
    return o.pos == o.size && !ZSTD_isError(ret) ? 0 : -EIO;
}
#else
bool qcow2_have_zstd(void)
{
    return false;
}

static int64_t zstd_deflate(const Qcow2 *q, const uint8_t *in, uint8_t *out, size_t room)
{
    return -ENOTSUP;
}

static int zstd_inflate(const Qcow2 *q, const uint8_t *in, size_t len, uint8_t *out)
{
    return -ENOTSUP;
}
#endif

int64_t qcow2_deflate(const Qcow2 *q, const uint8_t *in, uint8_t *out, size_t room)
{
    return q->compression ? zstd_deflate(q, in, out, room) : zlib_deflate(q, in, out, room);
}

int qcow2_inflate(const Qcow2 *q, const uint8_t *in, size_t len, uint8_t *out)
{
    return q->compression ? zstd_inflate(q, in, len, out) : zlib_inflate(q, in, len, out);
}
