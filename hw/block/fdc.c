/* SPDX-License-Identifier: MIT */
/*
 * 82078 floppy disk controller: ports 3F0h-3F5h and 3F7h, IRQ 6, DMA channel 2.
 *
 * Source: Intel 82078 data sheet (290468); section 4 registers, 5 phases, 6 commands.
 *
 *   3F0 SRA  7 interrupt pending          3F4 MSR  7 RQM  6 DIO  5 non-DMA  4 busy  3..0 seeking
 *   3F1 SRB                               3F4 DSR  7 reset  6 power down  1..0 data rate
 *   3F2 DOR  7..4 motors  3 DMA gate      3F5 FIFO
 *            2 /reset  1..0 drive         3F7 DIR  7 disk changed;   CCR 1..0 data rate
 *   3F3 TDR
 *
 * Disks turn infinitely fast: a sector is there as soon as the image has delivered it; only
 * READ ID takes a moment.  Not modelled: gaps, CRCs, deleted data marks (no sector has one),
 * sector sizes other than 512 bytes, tape drives, the motors.
 */
#include "hw/block/fdc.h"
#include "hw/block/floppy.h"
#include "hw/isa/isa.h"
#include "util/log.h"
#include "util/timer.h"
#include <errno.h>

#define DOR_RESET_N    0x04
#define DOR_DMA        0x08
#define DOR_DRIVE      0x03
#define DSR_RESET      0x80
#define DSR_POWER_DOWN 0x40
#define DSR_RATE       0x03
#define MSR_RQM        0x80
#define MSR_DIO        0x40
#define MSR_NON_DMA    0x20
#define MSR_BUSY       0x10
#define DIR_CHANGED    0x80

#define ST0_ABNORMAL   0x40
#define ST0_INVALID    0x80
#define ST0_POLLED     0xc0
#define ST0_SEEK_END   0x20
#define ST0_EQUIPMENT  0x10
#define ST0_HEAD       0x04
#define ST1_END        0x80     /* end of cylinder, and no terminal count */
#define ST1_DATA       0x20
#define ST1_NO_DATA    0x04
#define ST1_PROTECTED  0x02
#define ST1_NO_MARK    0x01
#define ST2_DATA       0x20
#define ST2_CYLINDER   0x10
#define ST2_SCAN_EQUAL 0x08
#define ST2_SCAN_FAIL  0x04

#define CMD_MT         0x80
#define CONF_EIS       0x40     /* implied seek */
#define CONF_EFIFO     0x20     /* 1: no FIFO */
#define CONF_NO_POLL   0x10
#define SPECIFY_ND     0x01

#define SECTOR         512
#define READ_ID_NS     (NS_PER_SEC / 50)

enum { REG_SRA, REG_SRB, REG_DOR, REG_TDR, REG_MSR, REG_FIFO, REG_IDE, REG_DIR,
       REG_DSR = REG_MSR, REG_CCR = REG_DIR };

typedef enum {
    PH_COMMAND,             /* takes command and parameter bytes */
    PH_WAIT,                /* a block request or the READ ID timer runs */
    PH_TO_HOST,             /* a sector lies in the buffer for the host */
    PH_FROM_HOST,           /* the buffer waits for the host's bytes */
    PH_RESULT,              /* offers result bytes */
    PH_COUNT
} FdcPhase;

typedef enum { DO_NONE, DO_READ, DO_WRITE, DO_VERIFY, DO_SCAN, DO_FORMAT, DO_COUNT } FdcAction;

typedef struct Fdc {
    Device dev;                 /* always first */
    FloppyBus bus;
    uint8_t dor, tdr, dsr, rate;
    uint8_t phase;              /* FdcPhase */
    uint8_t action;             /* FdcAction */
    uint8_t cmd[18];            /* command and parameters */
    uint8_t cmd_len;
    uint8_t result[16];
    uint8_t result_pos, result_len;
    bool irq_level;
    uint8_t seeking;            /* MSR bits 3..0: seek done, not yet asked for */
    uint8_t seek_st0[4];        /* what SENSE INTERRUPT STATUS will say of each drive */
    uint8_t polls;              /* bits: drives whose reset interrupt was not yet sensed */
    /* settings */
    uint8_t srt_hut, hlt_nd, config, precomp, perpendicular, last_eot, drive_spec[4], power;
    bool lock;
    /* data transfer */
    uint8_t sel, head;          /* drive and head of the command */
    uint8_t cyl, sec, eot;      /* sector under way */
    uint8_t step;               /* SCAN: sectors to go on by */
    uint16_t todo;              /* VERIFY with a count, FORMAT: sectors left */
    bool tc;                    /* the DMA controller said that was all */
    bool failed;                /* a request failed and the VM was stopped: to be repeated */
    uint16_t pos, len;          /* in buf */
    uint8_t buf[SECTOR];
    uint8_t disk[SECTOR];       /* SCAN: what the disk has */
    Timer timer;
    /* not saved */
    BlkRequest *req;
    bool dropping;
    struct iovec iov;
    /* properties and wires */
    uint32_t iobase, irq_no, dma_no;
    bool check_rate;
    int fallback;
    IRQ irq;
    ISABus *isa;
    Region io, io7;
} Fdc;

/* ---- drives and the interrupt ---------------------------------------------------------- */

/* NULL if nothing is connected. */
static Floppy *fdc_drive(Fdc *s, unsigned n)
{
    return n < FLOPPY_DRIVES ? s->bus.drive[n] : NULL;
}

static void fdc_irq(Fdc *s, bool level)
{
    s->irq_level = level;
    irq_set(&s->irq, level);
}

static bool fdc_uses_dma(const Fdc *s)
{
    return (s->dor & DOR_DMA) && !(s->hlt_nd & SPECIFY_ND);
}

static uint8_t fdc_st0(const Fdc *s)
{
    return s->sel | (s->head ? ST0_HEAD : 0);
}

/* ---- phases ---------------------------------------------------------------------------- */

static void fdc_idle(Fdc *s)
{
    s->phase = PH_COMMAND;
    s->action = DO_NONE;
    s->cmd_len = s->result_pos = s->result_len = 0;
}

static void fdc_offer(Fdc *s, unsigned len)
{
    s->phase = PH_RESULT;
    s->action = DO_NONE;
    s->result_pos = 0;
    s->result_len = len;
}

static void fdc_stop_request(Fdc *s)
{
    if (s->req) {
        s->dropping = true;
        blk_cancel(s->req);
        s->dropping = false;
        s->req = NULL;
    }
    timer_del(&s->timer);
    isa_dma_release(s->isa, s->dma_no);
    s->failed = false;
}

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

static void fdc_resume(void *opaque)
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
static void fdc_buffer_done(Fdc *s)
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

static int fdc_dma(void *opaque, int channel, int pos, int size)
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

static void fdc_select(Fdc *s)
{
    s->sel = s->cmd[1] & 3;
    s->head = s->cmd[1] >> 2 & 1;
    s->dor = (s->dor & ~DOR_DRIVE) | s->sel;
}

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

static void cmd_read(Fdc *s)
{
    fdc_transfer(s, DO_READ);
}

static void cmd_write(Fdc *s)
{
    fdc_transfer(s, DO_WRITE);
}

/* From the index hole on, whatever sector was named. */
static void cmd_read_track(Fdc *s)
{
    s->cmd[4] = 1;
    fdc_transfer(s, DO_READ);
}

static void cmd_verify(Fdc *s)
{
    fdc_transfer(s, DO_VERIFY);
}

static void cmd_scan(Fdc *s)
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

static void cmd_format(Fdc *s)
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

static void cmd_read_id(Fdc *s)
{
    fdc_select(s);
    s->phase = PH_WAIT;
    timer_mod(&s->timer, vclock_ns() + READ_ID_NS);
}

static void fdc_read_id_done(void *opaque)
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

/* ---- seeking --------------------------------------------------------------------------- */

static void fdc_seek_done(Fdc *s, uint8_t st0)
{
    s->seek_st0[s->sel] = st0 | ST0_SEEK_END | fdc_st0(s);
    s->seeking |= 1 << s->sel;
    fdc_idle(s);
    fdc_irq(s, true);
}

static void cmd_seek(Fdc *s)
{
    Floppy *f;

    fdc_select(s);
    f = fdc_drive(s, s->sel);
    if (f) {
        floppy_step_to(f, s->cmd[2]);
    }
    fdc_seek_done(s, 0);
}

static void cmd_relative_seek(Fdc *s)
{
    Floppy *f;
    int to;

    fdc_select(s);
    f = fdc_drive(s, s->sel);
    if (f) {
        to = s->cmd[0] & 0x40 ? f->track + s->cmd[2] : f->track - s->cmd[2];
        floppy_step_to(f, MAX(to, 0));
    }
    fdc_seek_done(s, 0);
}

/* Without a drive track 0 is never reached. */
static void cmd_recalibrate(Fdc *s)
{
    Floppy *f;

    fdc_select(s);
    s->head = 0;
    f = fdc_drive(s, s->sel);
    if (f) {
        floppy_step_to(f, 0);
    }
    fdc_seek_done(s, f ? 0 : ST0_ABNORMAL | ST0_EQUIPMENT);
}

/* Seeks, and after a reset each drive, are asked about one by one. */
static void cmd_sense_interrupt(Fdc *s)
{
    uint8_t pending = s->polls ? s->polls : s->seeking;

    if (!pending) {
        s->result[0] = ST0_INVALID;
        fdc_offer(s, 1);
        return;
    }
    unsigned n = __builtin_ctz(pending);
    Floppy *f = fdc_drive(s, n);
    if (s->polls) {
        s->result[0] = ST0_POLLED | n;
        s->polls &= ~(1 << n);
    } else {
        s->result[0] = s->seek_st0[n];
        s->seeking &= ~(1 << n);
    }
    s->result[1] = f ? f->track : 0;
    fdc_irq(s, false);
    fdc_offer(s, 2);
}

static void cmd_sense_drive(Fdc *s)
{
    Floppy *f;

    fdc_select(s);
    f = fdc_drive(s, s->sel);
    s->result[0] = 0x28 | fdc_st0(s);       /* ready, two sides */
    if (f) {
        s->result[0] |= f->track == 0 ? 0x10 : 0;
        s->result[0] |= floppy_ready(f) && blk_readonly(f->blk) ? 0x40 : 0;
    }
    fdc_offer(s, 1);
}

/* ---- settings -------------------------------------------------------------------------- */

static void cmd_specify(Fdc *s)
{
    s->srt_hut = s->cmd[1];
    s->hlt_nd = s->cmd[2];
    fdc_idle(s);
}

static void cmd_configure(Fdc *s)
{
    s->config = s->cmd[2];
    s->precomp = s->cmd[3];
    fdc_idle(s);
}

static void cmd_perpendicular(Fdc *s)
{
    if (s->cmd[1] & 0x80) {                 /* OW: the drives' bits count */
        s->perpendicular = s->cmd[1] & 0x3f;
    } else {
        s->perpendicular = (s->perpendicular & 0x3c) | (s->cmd[1] & 0x03);
    }
    fdc_idle(s);
}

static void cmd_lock(Fdc *s)
{
    s->lock = s->cmd[0] & 0x80;
    s->result[0] = s->lock << 4;
    fdc_offer(s, 1);
}

static uint8_t fdc_track_of(Fdc *s, unsigned n)
{
    Floppy *f = fdc_drive(s, n);
    return f ? f->track : 0;
}

static void cmd_dumpreg(Fdc *s)
{
    for (unsigned n = 0; n < 4; n++) {
        s->result[n] = fdc_track_of(s, n);
    }
    s->result[4] = s->srt_hut;
    s->result[5] = s->hlt_nd;
    s->result[6] = s->last_eot;
    s->result[7] = s->lock << 7 | s->perpendicular;
    s->result[8] = s->config;
    s->result[9] = s->precomp;
    fdc_offer(s, 10);
}

static void cmd_save(Fdc *s)
{
    memset(s->result, 0, sizeof(s->result));
    for (unsigned n = 0; n < 4; n++) {
        s->result[2 + n] = fdc_track_of(s, n);
    }
    s->result[6] = s->srt_hut;
    s->result[7] = s->hlt_nd;
    s->result[8] = s->last_eot;
    s->result[9] = s->lock << 7 | s->perpendicular;
    s->result[10] = s->config;
    s->result[11] = s->precomp;
    s->result[12] = s->power;
    fdc_offer(s, 16);
}

static void cmd_restore(Fdc *s)
{
    const uint8_t *in = s->cmd + 1;

    for (unsigned n = 0; n < FLOPPY_DRIVES; n++) {
        Floppy *f = fdc_drive(s, n);
        if (f) {
            floppy_step_to(f, in[2 + n]);
        }
    }
    s->srt_hut = in[6];
    s->hlt_nd = in[7];
    s->last_eot = in[8];
    s->lock = in[9] & 0x80;
    s->perpendicular = in[9] & 0x3f;
    s->config = in[10];
    s->precomp = in[11];
    s->power = in[12];
    fdc_idle(s);
}

static void cmd_drive_spec(Fdc *s)
{
    uint8_t last = s->cmd[s->cmd_len - 1];

    for (unsigned i = 1; i < s->cmd_len; i++) {
        s->drive_spec[s->cmd[i] >> 5 & 3] = s->cmd[i] & 0x1f;
    }
    if (last & 0x40) {                      /* NRP: no result phase */
        fdc_idle(s);
        return;
    }
    memcpy(s->result, s->drive_spec, 4);
    fdc_offer(s, 4);
}

static void cmd_power_down_mode(Fdc *s)
{
    s->power = s->cmd[1];
    s->result[0] = s->power;
    fdc_offer(s, 1);
}

static void cmd_option(Fdc *s)
{
    fdc_idle(s);                            /* ISO formats leave no trace in an image */
}

static void cmd_version(Fdc *s)
{
    s->result[0] = 0x90;
    fdc_offer(s, 1);
}

static void cmd_part_id(Fdc *s)
{
    s->result[0] = 0x41;
    fdc_offer(s, 1);
}

static void cmd_invalid(Fdc *s)
{
    LOG_GUEST("fdc: command %02xh does not exist\n", s->cmd[0]);
    s->result[0] = ST0_INVALID;
    fdc_offer(s, 1);
}

/* ---- the table ------------------------------------------------------------------------- */

typedef struct FdcCommand {
    uint8_t mask, code;         /* opcode & mask == code; bits 7 MT, 6 MFM, 5 SK are free */
    uint8_t len;                /* bytes with the opcode */
    void (*fn)(Fdc *s);
} FdcCommand;

static const FdcCommand commands[] = {
    { 0x1f, 0x06, 9, cmd_read },                /* READ DATA */
    { 0x1f, 0x0c, 9, cmd_read },                /* READ DELETED DATA */
    { 0x3f, 0x05, 9, cmd_write },               /* WRITE DATA */
    { 0x3f, 0x09, 9, cmd_write },               /* WRITE DELETED DATA */
    { 0x9f, 0x02, 9, cmd_read_track },          /* READ TRACK */
    { 0x1f, 0x16, 9, cmd_verify },              /* VERIFY */
    { 0x1f, 0x11, 9, cmd_scan },                /* SCAN EQUAL */
    { 0x1f, 0x19, 9, cmd_scan },                /* SCAN LOW OR EQUAL */
    { 0x1f, 0x1d, 9, cmd_scan },                /* SCAN HIGH OR EQUAL */
    { 0xbf, 0x0d, 6, cmd_format },              /* FORMAT TRACK */
    { 0xbf, 0x0a, 2, cmd_read_id },             /* READ ID */
    { 0xff, 0x03, 3, cmd_specify },             /* SPECIFY */
    { 0xff, 0x04, 2, cmd_sense_drive },         /* SENSE DRIVE STATUS */
    { 0xff, 0x07, 2, cmd_recalibrate },         /* RECALIBRATE */
    { 0xff, 0x08, 1, cmd_sense_interrupt },     /* SENSE INTERRUPT STATUS */
    { 0xff, 0x0e, 1, cmd_dumpreg },             /* DUMPREG */
    { 0xff, 0x0f, 3, cmd_seek },                /* SEEK */
    { 0xbf, 0x8f, 3, cmd_relative_seek },       /* RELATIVE SEEK: CFh in, 8Fh out */
    { 0xff, 0x10, 1, cmd_version },             /* VERSION */
    { 0xff, 0x12, 2, cmd_perpendicular },       /* PERPENDICULAR MODE */
    { 0xff, 0x13, 4, cmd_configure },           /* CONFIGURE */
    { 0x7f, 0x14, 1, cmd_lock },                /* LOCK 94h, UNLOCK 14h */
    { 0xff, 0x17, 2, cmd_power_down_mode },     /* POWERDOWN MODE */
    { 0xff, 0x18, 1, cmd_part_id },             /* PART ID */
    { 0xff, 0x2e, 1, cmd_save },                /* SAVE */
    { 0xff, 0x33, 2, cmd_option },              /* OPTION */
    { 0xff, 0x4e, 17, cmd_restore },            /* RESTORE */
    { 0xff, 0x8e, 5, cmd_drive_spec },          /* DRIVE SPECIFICATION: 1 to 4 bytes */
    { 0x00, 0x00, 1, cmd_invalid },
};

static const FdcCommand *fdc_find(uint8_t opcode)
{
    const FdcCommand *c = commands;

    while ((opcode & c->mask) != c->code) {
        c++;
    }
    return c;
}

static void fdc_take_command_byte(Fdc *s, uint8_t val)
{
    const FdcCommand *c;

    s->cmd[s->cmd_len++] = val;
    c = fdc_find(s->cmd[0]);
    if (s->cmd_len < c->len && !(c->fn == cmd_drive_spec && s->cmd_len > 1 && (val & 0x80))) {
        return;
    }
    if (c->fn != cmd_sense_interrupt) {
        fdc_irq(s, false);
    }
    c->fn(s);
}

/* ---- reset ----------------------------------------------------------------------------- */

/* Through DOR, DSR or the pin.  The locked settings survive a software reset. */
static void fdc_reset_chip(Fdc *s, bool hard)
{
    fdc_stop_request(s);
    fdc_irq(s, false);
    fdc_idle(s);
    s->seeking = s->polls = 0;
    s->perpendicular &= 0x3c;
    if (hard || !s->lock) {
        s->config = CONF_EFIFO;
        s->precomp = 0;
    }
    for (unsigned n = 0; n < FLOPPY_DRIVES; n++) {
        Floppy *f = fdc_drive(s, n);
        if (f) {
            f->track = 0;
        }
    }
}

/* Coming out of reset the chip polls its drives and reports each as changed. */
static void fdc_leave_reset(Fdc *s)
{
    if (!(s->config & CONF_NO_POLL)) {
        s->polls = 0x0f;
        fdc_irq(s, true);
    }
}

/* ---- registers ------------------------------------------------------------------------- */

static void fdc_write_dor(Fdc *s, uint8_t val)
{
    uint8_t changed = s->dor ^ val;

    s->dor = val;
    if (!(changed & DOR_RESET_N)) {
        return;
    }
    if (val & DOR_RESET_N) {
        fdc_leave_reset(s);
    } else {
        fdc_reset_chip(s, false);
    }
}

/* The reset bit of the DSR clears itself. */
static void fdc_write_dsr(Fdc *s, uint8_t val)
{
    s->dsr = val & ~DSR_RESET;
    s->rate = val & DSR_RATE;
    if (!(s->dor & DOR_RESET_N)) {
        return;
    }
    if (val & DSR_RESET) {
        fdc_reset_chip(s, false);
        fdc_leave_reset(s);
    }
}

static uint8_t fdc_read_msr(const Fdc *s)
{
    uint8_t val = s->seeking;

    if (!(s->dor & DOR_RESET_N)) {
        return 0;
    }
    switch (s->phase) {
    case PH_COMMAND:
        return val | MSR_RQM | (s->cmd_len ? MSR_BUSY : 0);
    case PH_WAIT:
        return val | MSR_BUSY;
    case PH_RESULT:
        return val | MSR_BUSY | MSR_RQM | MSR_DIO;
    default:
        if (fdc_uses_dma(s)) {
            return val | MSR_BUSY;
        }
        return val | MSR_BUSY | MSR_RQM | MSR_NON_DMA | (s->phase == PH_TO_HOST ? MSR_DIO : 0);
    }
}

static uint8_t fdc_read_result(Fdc *s)
{
    uint8_t val = s->result[s->result_pos++];

    fdc_irq(s, false);
    if (s->result_pos == s->result_len) {
        fdc_idle(s);
    }
    return val;
}

static uint8_t fdc_read_fifo(Fdc *s)
{
    uint8_t val;

    if (s->phase == PH_RESULT) {
        return fdc_read_result(s);
    }
    if (s->phase == PH_TO_HOST && !fdc_uses_dma(s)) {
        val = s->buf[s->pos++];
        if (s->pos == s->len) {
            fdc_buffer_done(s);
        }
        return val;
    }
    LOG_GUEST("fdc: FIFO read in phase %u\n", s->phase);
    return 0;
}

static void fdc_write_fifo(Fdc *s, uint8_t val)
{
    if (!(s->dor & DOR_RESET_N)) {
        LOG_GUEST("fdc: FIFO written while the chip is in reset\n");
    } else if (s->phase == PH_COMMAND) {
        fdc_take_command_byte(s, val);
    } else if (s->phase == PH_FROM_HOST && !fdc_uses_dma(s)) {
        s->buf[s->pos++] = val;
        if (s->pos == s->len) {
            fdc_buffer_done(s);
        }
    } else {
        LOG_GUEST("fdc: FIFO written in phase %u\n", s->phase);
    }
}

static uint8_t fdc_read_sra(const Fdc *s)
{
    Floppy *f = fdc_drive((Fdc *)s, s->dor & DOR_DRIVE);
    uint8_t val = 0x40;                     /* no second drive answers */

    val |= s->irq_level ? 0x80 : 0;
    val |= f && f->track == 0 ? 0 : 0x10;   /* /TRK0 */
    val |= s->head ? 0x08 : 0;
    val |= floppy_ready(f) && blk_readonly(f->blk) ? 0 : 0x02;
    return val;
}

static uint8_t fdc_read_srb(const Fdc *s)
{
    return 0xc0 | (s->dor & 1) << 5 | (s->dor >> 4 & 3);
}

static uint8_t fdc_read_dir(Fdc *s)
{
    Floppy *f = fdc_drive(s, s->dor & DOR_DRIVE);

    return f && f->changed ? DIR_CHANGED : 0;
}

static uint64_t fdc_read(void *opaque, hwaddr addr, unsigned size)
{
    Fdc *s = opaque;

    switch (addr) {
    case REG_SRA:
        return fdc_read_sra(s);
    case REG_SRB:
        return fdc_read_srb(s);
    case REG_DOR:
        return s->dor;
    case REG_TDR:
        return s->tdr;
    case REG_MSR:
        return fdc_read_msr(s);
    case REG_FIFO:
        return fdc_read_fifo(s);
    default:
        return fdc_read_dir(s);
    }
}

static void fdc_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    Fdc *s = opaque;

    switch (addr) {
    case REG_DOR:
        fdc_write_dor(s, val);
        break;
    case REG_TDR:
        s->tdr = val & 3;
        break;
    case REG_DSR:
        fdc_write_dsr(s, val);
        break;
    case REG_FIFO:
        fdc_write_fifo(s, val);
        break;
    case REG_CCR:
        s->rate = val & DSR_RATE;
        break;
    }
}

static uint64_t fdc_read7(void *opaque, hwaddr addr, unsigned size)
{
    return fdc_read(opaque, REG_DIR, size);
}

static void fdc_write7(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    fdc_write(opaque, REG_CCR, val, size);
}

/* 3F6h in the middle belongs to the IDE controller. */
static const RegionOps fdc_ops = { .read = fdc_read, .write = fdc_write, .min = 1, .max = 1 };
static const RegionOps fdc_ops7 = { .read = fdc_read7, .write = fdc_write7, .min = 1, .max = 1 };

/* ---- for boards ------------------------------------------------------------------------ */

void fdc_plug_drive(Device *fdc, unsigned unit, struct BlockBackend *blk)
{
    Device *dev = device_new("floppy");

    if (blk) {
        device_set_ptr(dev, "drive", blk);
    }
    device_set_uint(dev, "unit", unit);
    device_realize_or_die(dev, &((Fdc *)fdc)->bus.bus);
}

unsigned fdc_cmos_type(Device *fdc, unsigned unit)
{
    static const uint8_t cmos[] = { [FLOPPY_120] = 2, [FLOPPY_144] = 4, [FLOPPY_288] = 5 };
    Floppy *f = fdc_drive((Fdc *)fdc, unit);

    return f && f->type < FLOPPY_NONE ? cmos[f->type] : 0;
}

/* ---- device ---------------------------------------------------------------------------- */

static bool fdc_realize(Device *dev, Error **err)
{
    Fdc *s = (Fdc *)dev;

    if (s->irq_no > 15 || s->dma_no > 3 || s->iobase > 0xfff8) {
        return fail(err, "isa-fdc: iobase=0x%x,irq=%u,dma=%u: lines are 0 to 15, channels 0 to 3, "
                    "ports end at 0xffff", s->iobase, s->irq_no, s->dma_no);
    }
    s->isa = (ISABus *)dev->bus;
    s->irq = isa_irq(dev, s->irq_no);
    isa_dma_register(s->isa, s->dma_no, fdc_dma, s);
    timer_init(&s->timer, ORRERY_CLOCK_VIRTUAL, fdc_read_id_done, s);
    floppy_bus_init(&s->bus, dev);
    s->bus.fallback = s->fallback == FLOPPY_AUTO ? FLOPPY_288 : s->fallback;
    s->bus.resume = fdc_resume;
    s->bus.opaque = s;
    region_init_io(&s->io, "fdc", 6, &fdc_ops, s);
    region_map(dev->io, s->iobase, &s->io, 0);
    region_init_io(&s->io7, "fdc-dir", 1, &fdc_ops7, s);
    region_map(dev->io, s->iobase + 7, &s->io7, 0);
    return true;
}

static void fdc_unrealize(Device *dev)
{
    Fdc *s = (Fdc *)dev;

    fdc_stop_request(s);
    isa_dma_register(s->isa, s->dma_no, NULL, NULL);
    region_destroy(&s->io);
    region_destroy(&s->io7);
}

static void fdc_reset(Device *dev)
{
    Fdc *s = (Fdc *)dev;

    s->dor = DOR_RESET_N | DOR_DMA;
    s->tdr = s->dsr = s->power = 0;
    s->rate = RATE_250K;
    s->lock = false;
    s->srt_hut = s->last_eot = s->perpendicular = s->sel = s->head = 0;
    s->hlt_nd = 0;
    s->cyl = s->sec = s->eot = s->step = 0;
    s->todo = s->pos = s->len = 0;
    s->tc = false;
    memset(s->cmd, 0, sizeof(s->cmd));
    memset(s->result, 0, sizeof(s->result));
    memset(s->drive_spec, 0, sizeof(s->drive_spec));
    memset(s->seek_st0, 0, sizeof(s->seek_st0));
    fdc_reset_chip(s, true);
}

static bool fdc_post_load(void *opaque, int version, Error **err)
{
    Fdc *s = opaque;
    Floppy *f = s->sel < FLOPPY_DRIVES ? s->bus.drive[s->sel] : NULL;

    if (s->phase >= PH_COUNT || s->action >= DO_COUNT || s->cmd_len >= sizeof(s->cmd)
        || s->result_len > sizeof(s->result) || s->result_pos > s->result_len
        || (s->phase == PH_RESULT && s->result_pos == s->result_len) || s->sel > 3
        || s->head > 1 || s->len > SECTOR || s->pos > s->len
        || ((s->phase == PH_TO_HOST || s->phase == PH_FROM_HOST) && s->pos == s->len)) {
        return fail(err, "isa-fdc: impossible state of a command");
    }
    if (s->action != DO_NONE && !f) {
        return fail(err, "isa-fdc: a command for drive %u, which does not exist", s->sel);
    }
    if (s->phase == PH_WAIT && !s->failed && !timer_pending(&s->timer)) {
        return fail(err, "isa-fdc: a request was under way when the state was saved");
    }
    return true;
}

static const VMField fdc_fields[] = {
    VM_UINT(Fdc, dor), VM_UINT(Fdc, tdr), VM_UINT(Fdc, dsr), VM_UINT(Fdc, rate),
    VM_UINT(Fdc, phase), VM_UINT(Fdc, action), VM_BUFFER(Fdc, cmd), VM_UINT(Fdc, cmd_len),
    VM_BUFFER(Fdc, result), VM_UINT(Fdc, result_pos), VM_UINT(Fdc, result_len),
    VM_BOOL(Fdc, irq_level), VM_UINT(Fdc, seeking), VM_BUFFER(Fdc, seek_st0),
    VM_UINT(Fdc, polls), VM_UINT(Fdc, srt_hut), VM_UINT(Fdc, hlt_nd), VM_UINT(Fdc, config),
    VM_UINT(Fdc, precomp), VM_UINT(Fdc, perpendicular), VM_UINT(Fdc, last_eot),
    VM_BUFFER(Fdc, drive_spec), VM_UINT(Fdc, power), VM_BOOL(Fdc, lock), VM_UINT(Fdc, sel),
    VM_UINT(Fdc, head), VM_UINT(Fdc, cyl), VM_UINT(Fdc, sec), VM_UINT(Fdc, eot),
    VM_UINT(Fdc, step), VM_UINT(Fdc, todo), VM_BOOL(Fdc, tc), VM_BOOL(Fdc, failed),
    VM_UINT(Fdc, pos), VM_UINT(Fdc, len), VM_BUFFER(Fdc, buf), VM_BUFFER(Fdc, disk),
    VM_TIMER(Fdc, timer),
    VM_DONE
};
static const VMState vm_fdc = {
    .name = "fdc", .post_load = fdc_post_load, .fields = fdc_fields,
};

static const Prop fdc_props[] = {
    PROP_UINT("iobase", Fdc, iobase, 0x3f0, "first of its ports"),
    PROP_UINT("irq", Fdc, irq_no, 6, "ISA interrupt line"),
    PROP_UINT("dma", Fdc, dma_no, 2, "DMA channel, 0 to 3"),
    PROP_BOOL("check_media_rate", Fdc, check_rate, true, "disks answer only at their data rate"),
    PROP_ENUM("fallback", Fdc, fallback, FLOPPY_288, floppy_type_names,
              "type of a drive that is empty at start"),
    PROP_DONE
};

static const DeviceType isa_fdc = {
    .name = "isa-fdc", .desc = "82078 floppy disk controller", .bus = "isa",
    .category = "Storage", .size = sizeof(Fdc), .props = fdc_props, .vmstate = &vm_fdc,
    .realize = fdc_realize, .reset = fdc_reset, .unrealize = fdc_unrealize,
    .fw_name = "fdc@03f0",
};
DEVICE_TYPE(isa_fdc);
