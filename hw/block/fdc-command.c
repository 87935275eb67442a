/* SPDX-License-Identifier: MIT */
/*
 * 82078 floppy controller: the table of commands; those that seek, ask and set.
 *
 * Source: Intel 82078 data sheet (290468), section 6.
 */
#include "hw/block/fdc-internal.h"
#include "util/log.h"

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

void fdc_take_command_byte(Fdc *s, uint8_t val)
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
