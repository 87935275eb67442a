/* SPDX-License-Identifier: MIT */
/*
 * 82078 floppy controller: the commands that move sectors, and READ ID.  A sector goes between
 * image and buffer by a block request, between buffer and guest by DMA or byte by byte.
 *
 * Source: Intel 82078 data sheet (290468), sections 5.2, 6.1 and 6.2.
 */
#include "hw/block/fdc-internal.h"
#include "util/log.h"

/* ---- end of a command ------------------------------------------------------------------ */

/*
 * Where the command stopped, as the data sheet's result phase table has it: the sector after
 * the last one; after the end of the track the next head (MT) or cylinder.
 */
static void fdc_next_id(Fdc *s)
{
    if (s->sec < s->eot) {
        s->sec++;
        return;
    }
    s->sec = 1;
    if ((s->cmd[0] & CMD_MT) && !s->head) {
        s->head = 1;
    } else {
        s->cyl++;
        s->head = s->cmd[0] & CMD_MT ? 0 : s->head;
    }
}

static void fdc_finish(Fdc *s, uint8_t st0, uint8_t st1, uint8_t st2)
{
    isa_dma_release(s->isa, s->dma_no);
    s->result[0] = fdc_st0(s) | st0;
    s->result[1] = st1;
    s->result[2] = st2;
    s->result[3] = s->cyl;
    s->result[4] = s->head;
    s->result[5] = s->sec;
    s->result[6] = 2;               /* 512 bytes */
    fdc_offer(s, 7);
    fdc_irq(s, true);
}

static void fdc_fail(Fdc *s, uint8_t st1, uint8_t st2)
{
    fdc_finish(s, ST0_ABNORMAL, st1, st2);
}

/* ---- the sector under way -------------------------------------------------------------- */

static void fdc_sector_done(Fdc *s);

/* With DMA the channel is asked for; without, every byte is announced by an interrupt. */
static void fdc_exchange(Fdc *s, FdcPhase phase, unsigned len)
{
    s->phase = phase;
    s->pos = 0;
    s->len = len;
    if (fdc_uses_dma(s)) {
        isa_dma_hold(s->isa, s->dma_no);
    } else {
        fdc_irq(s, true);
    }
}

/* The image has done its part: the sector is in the buffer, or was written. */
static void fdc_sector_read(Fdc *s)
{
    switch (s->action) {
    case DO_READ:
        fdc_exchange(s, PH_TO_HOST, SECTOR);
        break;
    case DO_SCAN:
        memcpy(s->disk, s->buf, SECTOR);
        fdc_exchange(s, PH_FROM_HOST, SECTOR);
        break;
    default:
        fdc_sector_done(s);
    }
}

static void fdc_block_done(void *opaque, int ret)
{
    Fdc *s = opaque;
    bool reads = s->action != DO_WRITE && s->action != DO_FORMAT;

    s->req = NULL;
    if (s->dropping) {
        return;
    }
    if (ret < 0) {
        switch (blk_error(fdc_drive(s, s->sel)->blk, reads, -ret)) {
        case BLK_ACTION_STOP:
            s->failed = true;
            return;
        case BLK_ACTION_REPORT:
            fdc_fail(s, ST1_DATA, ST2_DATA);
            return;
        default:
            break;
        }
    }
    fdc_sector_read(s);
}

/* Images are often shorter than the disk they stand for: the rest reads as zeroes. */
static void fdc_submit(Fdc *s)
{
    Floppy *f = fdc_drive(s, s->sel);
    uint64_t at = floppy_offset(f, s->cyl, s->head, s->sec);

    s->phase = PH_WAIT;
    s->iov = (struct iovec) { s->buf, SECTOR };
    if (s->action == DO_WRITE || s->action == DO_FORMAT) {
        s->req = blk_write(f->blk, at, &s->iov, 1, 0, fdc_block_done, s);
    } else if (at + SECTOR <= blk_length(f->blk)) {
        s->req = blk_read(f->blk, at, &s->iov, 1, fdc_block_done, s);
    } else {
        memset(s->buf, 0, SECTOR);
        fdc_sector_read(s);
    }
}

void fdc_resume(void *opaque)
{
    Fdc *s = opaque;

    if (s->failed) {
        s->failed = false;
        fdc_submit(s);
    }
}

/* The rate the controller is set to must be the disk's. */
static bool fdc_rate_ok(const Fdc *s, const Floppy *f)
{
    return !s->check_rate || f->rate == s->rate;
}

/* Does the sector s->cyl/head/sec exist under the heads?  If not, the command has failed. */
static bool fdc_sector_ok(Fdc *s)
{
    Floppy *f = fdc_drive(s, s->sel);

    if (!floppy_ready(f) || !fdc_rate_ok(s, f) || s->head >= f->heads || f->track >= f->tracks) {
        fdc_fail(s, ST1_NO_MARK, 0);
        return false;
    }
    if (s->cyl != f->track) {
        fdc_fail(s, ST1_NO_DATA, ST2_CYLINDER);
        return false;
    }
    if (s->sec < 1 || s->sec > f->sectors) {
        fdc_fail(s, ST1_NO_DATA, 0);
        return false;
    }
    return true;
}

static void fdc_begin_sector(Fdc *s)
{
    if (!fdc_sector_ok(s)) {
        return;
    }
    if (s->action == DO_WRITE) {
        fdc_exchange(s, PH_FROM_HOST, SECTOR);
    } else {
        fdc_submit(s);
    }
}

/* Compare what the host sent with the disk: FFh matches everything. */
static bool fdc_scan_hit(Fdc *s, bool *equal)
{
    *equal = true;
    for (int i = 0; i < SECTOR; i++) {
        if (s->buf[i] == s->disk[i] || s->buf[i] == 0xff || s->disk[i] == 0xff) {
            continue;
        }
        *equal = false;
        switch (s->cmd[0] & 0x1f) {
        case 0x19:
            return s->disk[i] < s->buf[i];
        case 0x1d:
            return s->disk[i] > s->buf[i];
        default:
            return false;
        }
    }
    return true;
}

/* Track at its end: go on with the other side if the command says so; false: it is over. */
static bool fdc_next_sector(Fdc *s)
{
    if (s->sec + s->step <= s->eot) {
        s->sec += s->step;
        return true;
    }
    if ((s->cmd[0] & CMD_MT) && !s->head) {
        s->head = 1;
        s->sec = 1;
        return true;
    }
    return false;
}

static void fdc_format_next(Fdc *s);
static void fdc_format_sector(Fdc *s);

/* A whole sector went through. */
static void fdc_sector_done(Fdc *s)
{
    Floppy *f = fdc_drive(s, s->sel);
    bool equal;

    f->sector = s->sec;
    if (s->action == DO_FORMAT) {
        fdc_format_next(s);
        return;
    }
    if (s->action == DO_SCAN && fdc_scan_hit(s, &equal)) {
        fdc_finish(s, 0, 0, equal ? ST2_SCAN_EQUAL : 0);
        return;
    }
    if (s->action == DO_VERIFY && s->todo && --s->todo == 0) {
        s->tc = true;
    }
    if (s->tc) {
        fdc_next_id(s);
        fdc_finish(s, 0, 0, s->action == DO_SCAN ? ST2_SCAN_FAIL : 0);
    } else if (fdc_next_sector(s)) {
        fdc_begin_sector(s);
    } else if (s->action == DO_VERIFY || s->action == DO_SCAN) {
        fdc_next_id(s);
        fdc_finish(s, 0, 0, s->action == DO_SCAN ? ST2_SCAN_FAIL : 0);
    } else {
        fdc_next_id(s);
        fdc_fail(s, ST1_END, 0);
    }
}

/* The host has exchanged the whole buffer, or terminal count came before: the rest of a
 * sector that is written is zero (data sheet, 5.2.2). */
void fdc_buffer_done(Fdc *s)
{
    isa_dma_release(s->isa, s->dma_no);
    if (!fdc_uses_dma(s)) {
        fdc_irq(s, false);
    }
    if (s->action == DO_WRITE) {
        memset(s->buf + s->pos, 0, SECTOR - s->pos);
        fdc_submit(s);
    } else if (s->action == DO_FORMAT) {
        fdc_format_sector(s);
    } else {
        fdc_sector_done(s);
    }
}

int fdc_dma(void *opaque, int channel, int pos, int size)
{
    Fdc *s = opaque;
    int n = MIN(s->len - s->pos, size - pos);

    if (s->phase != PH_TO_HOST && s->phase != PH_FROM_HOST) {
        return pos;
    }
    if (s->phase == PH_TO_HOST) {
        n = isa_dma_write(s->isa, channel, s->buf + s->pos, pos, n);
    } else {
        n = isa_dma_read(s->isa, channel, s->buf + s->pos, pos, n);
    }
    if (n <= 0) {
        return pos;
    }
    s->pos += n;
    s->tc = pos + n >= size;
    if (s->tc || s->pos == s->len) {
        fdc_buffer_done(s);
    }
    return pos + n;
}

/* ---- commands that move data ----------------------------------------------------------- */

static void fdc_transfer(Fdc *s, FdcAction action)
{
    Floppy *f;

    fdc_select(s);
    f = fdc_drive(s, s->sel);
    s->action = action;
    s->cyl = s->cmd[2];
    s->sec = s->cmd[4];
    s->eot = s->last_eot = s->cmd[6];
    s->step = action == DO_SCAN && s->cmd[8] == 2 ? 2 : 1;
    s->todo = 0;
    if (action == DO_VERIFY && (s->cmd[1] & 0x80)) {
        s->todo = s->cmd[8] ? s->cmd[8] : 256;  /* EC: the last parameter counts sectors */
    }
    s->tc = false;
    if (!floppy_ready(f)) {
        fdc_fail(s, ST1_NO_MARK, 0);
        return;
    }
    if (s->config & CONF_EIS) {
        floppy_step_to(f, s->cyl);
    }
    if (s->cmd[3] != s->head || s->cmd[5] != 2) {
        LOG_GUEST("fdc: head %u, size code %u: no sector has such an id\n", s->cmd[3], s->cmd[5]);
        fdc_fail(s, ST1_NO_DATA, 0);
        return;
    }
    if (action == DO_WRITE && blk_readonly(f->blk)) {
        fdc_fail(s, ST1_PROTECTED, 0);
        return;
    }
    fdc_begin_sector(s);
}

void cmd_read(Fdc *s)
{
    fdc_transfer(s, DO_READ);
}

void cmd_write(Fdc *s)
{
    fdc_transfer(s, DO_WRITE);
}

/* From the index hole on, whatever sector was named. */
void cmd_read_track(Fdc *s)
{
    s->cmd[4] = 1;
    fdc_transfer(s, DO_READ);
}

void cmd_verify(Fdc *s)
{
    fdc_transfer(s, DO_VERIFY);
}

void cmd_scan(Fdc *s)
{
    fdc_transfer(s, DO_SCAN);
}

/* Four bytes for each sector come from the host: its id.  Its data are the fill byte. */
static void fdc_format_next(Fdc *s)
{
    if (s->todo && !s->tc) {
        s->todo--;
        fdc_exchange(s, PH_FROM_HOST, 4);
    } else {
        fdc_finish(s, 0, 0, 0);
    }
}

static void fdc_format_sector(Fdc *s)
{
    s->cyl = s->buf[0];
    s->sec = s->buf[2];
    if (s->buf[1] != s->head || s->buf[3] != 2) {
        LOG_GUEST("fdc: format with head %u, size code %u\n", s->buf[1], s->buf[3]);
        fdc_fail(s, ST1_NO_DATA, 0);
        return;
    }
    if (fdc_sector_ok(s)) {
        memset(s->buf, s->cmd[5], SECTOR);
        fdc_submit(s);
    }
}

void cmd_format(Fdc *s)
{
    Floppy *f;

    fdc_select(s);
    f = fdc_drive(s, s->sel);
    s->action = DO_FORMAT;
    s->todo = s->cmd[3];
    s->eot = s->cmd[3];
    s->tc = false;
    s->cyl = f ? f->track : 0;
    s->sec = 1;
    if (!floppy_ready(f) || !fdc_rate_ok(s, f)) {
        fdc_fail(s, ST1_NO_MARK, 0);
    } else if (blk_readonly(f->blk)) {
        fdc_fail(s, ST1_PROTECTED, 0);
    } else {
        fdc_format_next(s);
    }
}

/* ---- READ ID --------------------------------------------------------------------------- */

void cmd_read_id(Fdc *s)
{
    fdc_select(s);
    s->phase = PH_WAIT;
    timer_mod(&s->timer, vclock_ns() + READ_ID_NS);
}

void fdc_read_id_done(void *opaque)
{
    Fdc *s = opaque;
    Floppy *f = fdc_drive(s, s->sel);

    s->cyl = f ? f->track : 0;
    s->sec = 1;
    if (!floppy_ready(f) || !fdc_rate_ok(s, f) || s->head >= f->heads || f->track >= f->tracks) {
        fdc_fail(s, ST1_NO_MARK, 0);
        return;
    }
    f->sector = f->sector % f->sectors + 1;
    s->sec = f->sector;
    fdc_finish(s, 0, 0, 0);
}
