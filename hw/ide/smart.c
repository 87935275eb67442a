/* SPDX-License-Identifier: MIT */
/*
 * SMART: attributes, thresholds, logs and self-tests of a disk that is always well.
 *
 * Source: ATA/ATAPI-6, section 8.55; SFF-8035i for the layout of attributes.
 *
 * Self-tests complete at once without error: the medium is the host's.
 */
#include "hw/ide/internal.h"
#include "util/bits.h"
#include "util/log.h"
#include "util/timer.h"

enum {
    SMART_DATA = 0xd0, SMART_THRESHOLDS = 0xd1, SMART_AUTOSAVE = 0xd2, SMART_OFFLINE = 0xd4,
    SMART_READ_LOG = 0xd5, SMART_ENABLE = 0xd8, SMART_DISABLE = 0xd9,
    SMART_STATUS = 0xda,
};
enum { LOG_DIRECTORY = 0x00, LOG_ERRORS = 0x01, LOG_SELFTEST = 0x06 };

/* id, flags (1: its failing means trouble soon; 2: updated while running), value, threshold */
static const struct { uint8_t id, flags, value, threshold; } attributes[] = {
    {   1, 0x03, 100,  6 },         /* raw read error rate */
    {   3, 0x03, 100,  0 },         /* spin-up time */
    {   4, 0x02, 100, 20 },         /* start/stop count */
    {   5, 0x03, 100, 36 },         /* reallocated sectors */
    {   9, 0x03, 100,  0 },         /* power-on hours */
    {  12, 0x03, 100,  0 },         /* power cycles */
    { 190, 0x03,  69, 50 },         /* airflow temperature: 100 - degrees */
};
#define TEMPERATURE 31

static uint64_t attribute_raw(uint8_t id)
{
    switch (id) {
    case 4:
    case 12:
        return 1;
    case 9:
        return vclock_ns() / (3600 * NS_PER_SEC);
    case 190:
        return TEMPERATURE | TEMPERATURE << 16 | (uint64_t)TEMPERATURE << 24;
    default:
        return 0;
    }
}

/* The bytes of a sector add up to zero. */
static void add_checksum(uint8_t *out)
{
    uint8_t sum = 0;

    for (int i = 0; i < 511; i++) {
        sum += out[i];
    }
    out[511] = -sum;
}

static void smart_data(IDEDrive *d)
{
    uint8_t *out = d->buffer;

    memset(out, 0, 512);
    st16_le(out, 1);                                /* revision */
    for (unsigned i = 0; i < G_N_ELEMENTS(attributes); i++) {
        uint8_t *a = out + 2 + 12 * i;
        uint64_t raw = attribute_raw(attributes[i].id);
        a[0] = attributes[i].id;
        st16_le(a + 1, attributes[i].flags);
        a[3] = a[4] = attributes[i].value;          /* now, and worst */
        st32_le(a + 5, raw);
        st16_le(a + 9, raw >> 32);
    }
    out[362] = 0x02 | (d->smart_autosave ? 0x80 : 0);  /* offline collection: completed */
    out[363] = 0x00;                                /* the last self-test: no error */
    st16_le(out + 364, 10);                         /* seconds a collection takes */
    out[367] = 0x01 | 0x10;                         /* offline immediate, self-tests */
    st16_le(out + 368, 0x0003);                     /* saves attributes */
    out[370] = 0x01;                                /* error log */
    out[372] = 2;                                   /* minutes: short self-test */
    out[373] = 54;                                  /* ... extended */
    add_checksum(out);
}

static void smart_thresholds(IDEDrive *d)
{
    uint8_t *out = d->buffer;

    memset(out, 0, 512);
    st16_le(out, 1);
    for (unsigned i = 0; i < G_N_ELEMENTS(attributes); i++) {
        out[2 + 12 * i] = attributes[i].id;
        out[3 + 12 * i] = attributes[i].threshold;
    }
    add_checksum(out);
}

/* One entry: the self-test that was last asked for, if any. */
static void smart_selftest_log(IDEDrive *d)
{
    uint8_t *out = d->buffer;

    st16_le(out, 1);
    if (d->smart_selftest) {
        out[2] = d->smart_selftest;
        out[3] = 0x00;                              /* completed without error */
        st16_le(out + 4, vclock_ns() / (3600 * NS_PER_SEC));
        out[508] = 1;                               /* index of the latest entry */
    }
    add_checksum(out);
}

static void smart_read_log(IDEDrive *d)
{
    uint8_t *out = d->buffer;

    memset(out, 0, 512);
    switch (d->lba0) {
    case LOG_DIRECTORY:
        out[0] = 1;
        out[2 * LOG_ERRORS] = 1;                    /* sectors each of them has */
        out[2 * LOG_SELFTEST] = 1;
        break;
    case LOG_ERRORS:
        out[0] = 1;
        add_checksum(out);
        break;
    case LOG_SELFTEST:
        smart_selftest_log(d);
        break;
    default:
        ide_abort(d);
        return;
    }
    d->op = OP_BUFFER;
    ide_send_buffer(d, 512);
}

/* Subcommand in the LBA low register: 0 offline collection, 1 and 2 self-tests, 127 abort,
 * 129 and 130 self-tests in captive mode. */
static void smart_offline(IDEDrive *d)
{
    switch (d->lba0) {
    case 0:
    case 127:
        break;
    case 1: case 2: case 129: case 130:
        d->smart_selftest = d->lba0;
        break;
    default:
        ide_abort(d);
        return;
    }
    ide_done(d);
}

void ide_smart(IDEDrive *d)
{
    if (d->lba2 != 0xc2 || d->lba1 != 0x4f || (!d->smart_on && d->feature != SMART_ENABLE)) {
        ide_abort(d);
        return;
    }
    switch (d->feature) {
    case SMART_ENABLE:
    case SMART_DISABLE:
        d->smart_on = d->feature == SMART_ENABLE;
        ide_done(d);
        break;
    case SMART_AUTOSAVE:
        if (d->nsector != 0x00 && d->nsector != 0xf1) {
            ide_abort(d);
            return;
        }
        d->smart_autosave = d->nsector;
        ide_done(d);
        break;
    case SMART_STATUS:
        ide_done(d);                    /* 4Fh/C2h in place: no threshold exceeded */
        break;
    case SMART_DATA:
        smart_data(d);
        d->op = OP_BUFFER;
        ide_send_buffer(d, 512);
        break;
    case SMART_THRESHOLDS:
        smart_thresholds(d);
        d->op = OP_BUFFER;
        ide_send_buffer(d, 512);
        break;
    case SMART_READ_LOG:
        smart_read_log(d);
        break;
    case SMART_OFFLINE:
        smart_offline(d);
        break;
    default:
        LOG_GUEST("ide: SMART subcommand %02xh does not exist\n", d->feature);
        ide_abort(d);
    }
}
