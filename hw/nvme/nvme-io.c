/* SPDX-License-Identifier: MIT */
/*
 * NVMe: commands of the NVM command set, and Format NVM, which works like one of them.
 *
 * Source: the specification, chapter 6 (NVM commands), 5.23 (Format NVM).
 *
 *   40 starting LBA   48 blocks - 1, bit 30 force unit access   dataset management: 40 ranges - 1,
 *   44 bit 2 deallocate; a range: 4 blocks, 8 starting LBA
 *
 * A command that failed while the machine's policy is to stop is carried out again from its
 * beginning.
 */
#include "hw/nvme/nvme.h"
#include "util/bits.h"
#include "util/iov.h"
#include "util/log.h"

#include <errno.h>

enum { IO_FLUSH = 0x00, IO_WRITE = 0x01, IO_READ = 0x02, IO_COMPARE = 0x05, IO_WRITE_ZEROES = 0x08,
       IO_DSM = 0x09, IO_VERIFY = 0x0c };

#define NSID            4
#define FUA             0x40000000u
#define WZ_DEALLOCATE   0x02000000u
#define PRINFO          0x3c000000u     /* protection information: there is none */
#define DSM_DEALLOCATE  4u
#define DSM_RANGE       16
#define NSID_ALL        0xffffffffu
#define FORMAT_BITS     0x00000e0fu     /* LBA format; secure erase */

uint64_t nvme_blocks(const NVMe *c)
{
    return blk_length(c->conf.blk) / c->conf.logical_block_size;
}

/* ---- endings ------------------------------------------------------------------------------------ */

static uint16_t status_of(int errnum, bool reads)
{
    switch (errnum) {
    case ENOSPC:
        return NVME_CAPACITY;
    case ECANCELED:
        return NVME_ABORTED;
    case EPERM:
        return NVME_READ_ONLY;
    default:
        return reads ? NVME_READ_ERROR : NVME_WRITE_FAULT;
    }
}

/* false: r is settled, or waits for the machine to go on. */
static bool went_well(NVMeRequest *r, int ret, bool reads)
{
    NVMe *c = r->c;

    r->blk = NULL;
    if (c->dropping) {
        return false;
    }
    if (ret >= 0) {
        return true;
    }
    if (ret == -ECANCELED) {
        nvme_complete(r, NVME_ABORTED);
        return false;
    }
    BlkAction action = blk_error(c->conf.blk, reads, -ret);
    if (action == BLK_ACTION_STOP) {
        nvme_unmap(r, false);
        g_clear_pointer(&r->buffer, g_free);
        r->next = c->failed;
        c->failed = r;
    } else if (action == BLK_ACTION_REPORT) {
        nvme_complete(r, status_of(-ret, reads));
    }
    return action == BLK_ACTION_IGNORE;
}

static void read_done(void *opaque, int ret)
{
    NVMeRequest *r = opaque;

    if (went_well(r, ret, true)) {
        nvme_unmap(r, true);
        nvme_complete(r, NVME_OK);
    }
}

static void write_done(void *opaque, int ret)
{
    NVMeRequest *r = opaque;

    if (went_well(r, ret, false)) {
        nvme_complete(r, NVME_OK);
    }
}

/* ---- data --------------------------------------------------------------------------------------- */

static struct iovec *iov(const NVMeRequest *r)
{
    return (struct iovec *)r->vec.iov->data;
}

/* Offset and length out of the command. */
static uint16_t fetch_range(NVMeRequest *r)
{
    uint64_t lba = ld64_le(r->cmd + 40), n = ld16_le(r->cmd + 48) + 1;
    uint64_t total = nvme_blocks(r->c), size = r->c->conf.logical_block_size;

    if (lba >= total || n > total - lba) {
        return NVME_LBA_RANGE;
    }
    if (ld32_le(r->cmd + 48) & PRINFO) {
        return NVME_INVALID_FIELD;
    }
    r->offset = lba * size;
    r->len = n * size;
    return NVME_OK;
}

/* ... and the guest's memory for it. */
static uint16_t fetch_data(NVMeRequest *r, bool to_host)
{
    uint16_t status = fetch_range(r);

    if (!status && r->len > 4096ull << r->c->mdts) {
        status = NVME_INVALID_FIELD;
    }
    return status ? status : nvme_map(r, r->len, to_host);
}

static unsigned write_flags(const NVMeRequest *r)
{
    return ld32_le(r->cmd + 48) & FUA ? BLK_FUA : 0;
}

/* What the host has in memory is read at once. */
static uint16_t io_read(NVMeRequest *r)
{
    BlockBackend *blk = r->c->conf.blk;
    uint16_t status = fetch_data(r, true);

    if (status) {
        return status;
    }
    if (blk_try_read(blk, r->offset, iov(r), r->vec.iov->len)) {
        nvme_unmap(r, true);
        return NVME_OK;
    }
    r->blk = blk_read(blk, r->offset, iov(r), r->vec.iov->len, read_done, r);
    return NVME_PENDING;
}

static uint16_t io_write(NVMeRequest *r)
{
    uint16_t status = fetch_data(r, false);

    if (status) {
        return status;
    }
    r->blk = blk_write(r->c->conf.blk, r->offset, iov(r), r->vec.iov->len, write_flags(r), write_done, r);
    return NVME_PENDING;
}

/* Compare and verify read a piece at a time into the first half of the buffer; the guest's data
 * are copied to the other half.  pos: of the piece. */
#define PIECE 65536u

static void next_piece(NVMeRequest *r);

static void piece_done(void *opaque, int ret)
{
    NVMeRequest *r = opaque;

    if (!went_well(r, ret, true)) {
        return;
    }
    if (r->vec.iov) {
        iov_to_buf(iov(r), r->vec.iov->len, r->pos, r->buffer + PIECE, r->iov.iov_len);
        if (memcmp(r->buffer, r->buffer + PIECE, r->iov.iov_len)) {
            nvme_complete(r, NVME_COMPARE_FAILURE);
            return;
        }
    }
    r->pos += r->iov.iov_len;
    next_piece(r);
}

static void next_piece(NVMeRequest *r)
{
    if (r->pos == r->len) {
        nvme_complete(r, NVME_OK);
        return;
    }
    r->iov = (struct iovec) { r->buffer, MIN(r->len - r->pos, PIECE) };
    r->blk = blk_read(r->c->conf.blk, r->offset + r->pos, &r->iov, 1, piece_done, r);
}

static uint16_t io_compare(NVMeRequest *r)
{
    uint16_t status = fetch_data(r, false);

    if (status) {
        return status;
    }
    r->buffer = g_malloc(2 * PIECE);
    r->pos = 0;
    next_piece(r);
    return NVME_PENDING;
}

static uint16_t io_verify(NVMeRequest *r)
{
    uint16_t status = fetch_range(r);

    if (status) {
        return status;
    }
    r->buffer = g_malloc(PIECE);
    r->pos = 0;
    next_piece(r);
    return NVME_PENDING;
}

/* ---- without data --------------------------------------------------------------------------------- */

static uint16_t io_flush(NVMeRequest *r)
{
    r->blk = blk_flush(r->c->conf.blk, write_done, r);
    return NVME_PENDING;
}

static uint16_t io_write_zeroes(NVMeRequest *r)
{
    uint16_t status = fetch_range(r);
    unsigned flags = write_flags(r) | (ld32_le(r->cmd + 48) & WZ_DEALLOCATE ? BLK_MAY_UNMAP : 0);

    if (status) {
        return status;
    }
    r->blk = blk_write_zeroes(r->c->conf.blk, r->offset, r->len, flags, write_done, r);
    return NVME_PENDING;
}

/* ---- dataset management ------------------------------------------------------------------------------ */

static void next_deallocate(NVMeRequest *r);

static void deallocate_done(void *opaque, int ret)
{
    NVMeRequest *r = opaque;

    if (went_well(r, ret, false)) {
        next_deallocate(r);
    }
}

/* offset: next range; len: end of them, in buffer. */
static void next_deallocate(NVMeRequest *r)
{
    uint64_t size = r->c->conf.logical_block_size;

    while (r->offset < r->len) {
        const uint8_t *p = r->buffer + r->offset;
        uint64_t n = ld32_le(p + 4), lba = ld64_le(p + 8);
        r->offset += DSM_RANGE;
        if (n) {
            r->blk = blk_discard(r->c->conf.blk, lba * size, n * size, deallocate_done, r);
            return;
        }
    }
    nvme_complete(r, NVME_OK);
}

static uint16_t io_dsm(NVMeRequest *r)
{
    uint32_t ranges = (ld32_le(r->cmd + 40) & 0xff) + 1;
    uint64_t total = nvme_blocks(r->c);
    uint16_t status;

    if (!(ld32_le(r->cmd + 44) & DSM_DEALLOCATE)) {
        return NVME_OK;                 /* the rest are hints */
    }
    r->buffer = g_malloc(ranges * DSM_RANGE);
    status = nvme_fetch(r, r->buffer, ranges * DSM_RANGE);
    if (status) {
        return status;
    }
    for (uint32_t at = 0; at < ranges * DSM_RANGE; at += DSM_RANGE) {
        uint64_t n = ld32_le(r->buffer + at + 4), lba = ld64_le(r->buffer + at + 8);
        if (lba > total || n > total - lba) {
            return NVME_LBA_RANGE;
        }
    }
    r->offset = 0;
    r->len = ranges * DSM_RANGE;
    next_deallocate(r);
    return NVME_PENDING;
}

/* ---- Format NVM ---------------------------------------------------------------------------------------- */

uint16_t nvme_format(NVMeRequest *r)
{
    uint32_t nsid = ld32_le(r->cmd + NSID), what = ld32_le(r->cmd + 40), erase = what >> 9 & 7;

    if (nsid != NVME_NSID && nsid != NSID_ALL) {
        return NVME_INVALID_NAMESPACE;
    }
    if (what & 0xf) {
        return NVME_INVALID_FORMAT;     /* there is one LBA format */
    }
    if ((what & ~FORMAT_BITS) || erase > 1) {
        return NVME_INVALID_FIELD;
    }
    if (blk_readonly(r->c->conf.blk)) {
        return NVME_READ_ONLY;
    }
    r->blk = blk_write_zeroes(r->c->conf.blk, 0, blk_length(r->c->conf.blk), BLK_MAY_UNMAP, write_done, r);
    return NVME_PENDING;
}

/* ---- the table ------------------------------------------------------------------------------------------- */

static bool writes(uint8_t opcode)
{
    return opcode == IO_WRITE || opcode == IO_WRITE_ZEROES || opcode == IO_DSM;
}

uint16_t nvme_io(NVMeRequest *r)
{
    uint32_t nsid = ld32_le(r->cmd + NSID);
    uint8_t opcode = r->cmd[0];

    if (nsid != NVME_NSID && !(opcode == IO_FLUSH && nsid == NSID_ALL)) {
        return NVME_INVALID_NAMESPACE;
    }
    if (r->cmd[1] & 3) {
        return NVME_INVALID_FIELD;      /* fused */
    }
    if (writes(opcode) && blk_readonly(r->c->conf.blk)) {
        return NVME_READ_ONLY;
    }
    switch (opcode) {
    case IO_FLUSH:
        return io_flush(r);
    case IO_WRITE:
        return io_write(r);
    case IO_READ:
        return io_read(r);
    case IO_COMPARE:
        return io_compare(r);
    case IO_WRITE_ZEROES:
        return io_write_zeroes(r);
    case IO_DSM:
        return io_dsm(r);
    case IO_VERIFY:
        return io_verify(r);
    default:
        LOG_GUEST("nvme: command %02xh does not exist\n", opcode);
        return NVME_INVALID_OPCODE;
    }
}
