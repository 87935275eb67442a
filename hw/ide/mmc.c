/* SPDX-License-Identifier: MIT */
/*
 * Packet commands in which the CD-ROM drive describes itself and the disc in it.
 *
 * Sources: MMC-3 (T10/1363-D), SPC-2 for INQUIRY, SFF-8020i for the old place of fields.
 * Every disc is one session with one data track.
 */
#include "hw/ide/mmc.h"
#include "util/bits.h"

#include <glib.h>
#include <string.h>

enum { NOT_READY = 2, ILLEGAL_REQUEST = 5, UNIT_ATTENTION = 6 };
enum { INVALID_FIELD = 0x2400, MEDIUM_CHANGED = 0x2800, INCOMPATIBLE_FORMAT = 0x3000,
       SAVING_NOT_SUPPORTED = 0x3900, NO_MEDIUM = 0x3a00, REMOVAL_PREVENTED = 0x5302 };

static MMCResult refuse(uint8_t key, uint16_t asc)
{
    return (MMCResult) { .key = key, .asc = asc };
}

static MMCResult invalid_field(void)
{
    return refuse(ILLEGAL_REQUEST, INVALID_FIELD);
}

static MMCResult reply(uint32_t len, uint32_t max)
{
    return (MMCResult) { .len = len, .max = max };
}

uint32_t mmc_total(const MMCDrive *m)
{
    return m->sectors >> 2;
}

static bool is_dvd(const MMCDrive *d)
{
    return mmc_total(d) > CD_MAX_LBA;
}

/* ---- INQUIRY --------------------------------------------------------------------------- */

static void put_padded(uint8_t *out, unsigned size, const char *text)
{
    size_t len = strlen(text);

    memset(out, ' ', size);
    memcpy(out, text, MIN(len, size));
}

MMCResult mmc_vital_data(MMCDrive *d, const uint8_t *packet, uint8_t *out)
{
    unsigned len;

    memset(out, 0, 256);
    out[0] = 0x05;
    out[1] = packet[2];
    switch (packet[2]) {
    case 0x00:                              /* pages there are */
        out[4] = 0x00;
        out[5] = 0x80;
        out[6] = 0x83;
        len = 3;
        break;
    case 0x80:                              /* serial number */
        len = strlen(d->serial);
        memcpy(out + 4, d->serial, len);
        break;
    case 0x83:                              /* identification: vendor specific text, wwn */
        out[4] = 0x02;
        len = strlen(d->serial);
        out[7] = len;
        memcpy(out + 8, d->serial, len);
        len += 4;
        if (d->wwn) {
            uint8_t *p = out + 4 + len;
            p[0] = 0x01;
            p[1] = 0x03;
            p[3] = 8;
            st64_be(p + 4, d->wwn);
            len += 12;
        }
        break;
    default:
        return invalid_field();
    }
    out[3] = len;
    return reply(4 + len, packet[4]);
}

MMCResult mmc_inquiry(MMCDrive *d, const uint8_t *packet, uint8_t *out)
{
    if (packet[1] & 1) {
        return mmc_vital_data(d, packet, out);
    }
    if (packet[2]) {
        return invalid_field();
    }
    memset(out, 0, 36);
    out[0] = 0x05;                          /* CD/DVD */
    out[1] = 0x80;                          /* removable */
    out[3] = 0x21;                          /* ATAPI 2, response format 1 */
    out[4] = 31;                            /* bytes that follow */
    put_padded(out + 8, 8, "QEMU");
    put_padded(out + 16, 16, "QEMU DVD-ROM");
    put_padded(out + 32, 4, d->ver);
    return reply(36, packet[4]);
}

/* ---- GET CONFIGURATION ----------------------------------------------------------------- */

enum { PROFILE_NONE = 0x0000, PROFILE_CD_ROM = 0x0008, PROFILE_DVD_ROM = 0x0010 };

static uint16_t current_profile(const MMCDrive *d)
{
    if (!blk_inserted(d->blk)) {
        return PROFILE_NONE;
    }
    return is_dvd(d) ? PROFILE_DVD_ROM : PROFILE_CD_ROM;
}

/* Code, version and flags, length, contents.  Bit 0 of byte 2: current. */
static uint8_t *put_feature(uint8_t *p, uint16_t code, uint8_t flags, uint8_t len)
{
    memset(p, 0, 4 + len);
    st16_be(p, code);
    p[2] = flags;
    p[3] = len;
    return p + 4;
}

static void put_profile(uint8_t *p, uint16_t profile, uint16_t current)
{
    st16_be(p, profile);
    p[2] = profile == current;
}

static uint8_t *put_features(const MMCDrive *d, uint8_t *p, uint16_t code)
{
    uint16_t now = current_profile(d);
    bool disc = now != PROFILE_NONE;
    uint8_t *body;

    switch (code) {
    case 0x0000:                            /* profile list */
        body = put_feature(p, code, 0x03, 8);
        put_profile(body, PROFILE_DVD_ROM, now);
        put_profile(body + 4, PROFILE_CD_ROM, now);
        return body + 8;
    case 0x0001:                            /* core: ATAPI */
        body = put_feature(p, code, 0x0b, 8);
        st32_be(body, 2);
        body[4] = 0x01;                     /* device busy events */
        return body + 8;
    case 0x0003:                            /* removable medium: tray, eject, lock */
        body = put_feature(p, code, 0x03, 4);
        body[0] = 0x29;
        return body + 4;
    case 0x0010:                            /* random readable */
        body = put_feature(p, code, disc, 8);
        st32_be(body, CD_SECTOR);
        st16_be(body + 4, 1);
        return body + 8;
    case 0x001e:                            /* CD read */
        return put_feature(p, code, 0x08 | (now == PROFILE_CD_ROM), 4) + 4;
    case 0x001f:                            /* DVD read */
        return put_feature(p, code, now == PROFILE_DVD_ROM, 4) + 4;
    }
    return p;
}

MMCResult mmc_get_configuration(MMCDrive *d, const uint8_t *packet, uint8_t *out)
{
    static const uint16_t codes[] = { 0x0000, 0x0001, 0x0003, 0x0010, 0x001e, 0x001f };
    unsigned kind = packet[1] & 3, first = ld16_be(packet + 2);
    uint8_t *p = out + 8;

    if (kind == 3) {
        return invalid_field();
    }
    memset(out, 0, 8);
    st16_be(out + 6, current_profile(d));
    for (unsigned i = 0; i < G_N_ELEMENTS(codes); i++) {
        /* 0: from the first on; 1: those that are current; 2: the one asked for */
        if (codes[i] < first || (kind == 2 && codes[i] != first)) {
            continue;
        }
        uint8_t *end = put_features(d, p, codes[i]);
        if (kind != 1 || (p[2] & 1)) {
            p = end;
        }
    }
    st32_be(out, p - out - 4);
    return reply(p - out, ld16_be(packet + 7));
}

/* ---- GET EVENT STATUS NOTIFICATION ----------------------------------------------------- */

enum { EVENT_NONE, EVENT_EJECT_REQUEST, EVENT_NEW_MEDIUM };

MMCResult mmc_get_event_status(MMCDrive *d, const uint8_t *packet, uint8_t *out)
{
    uint8_t event = EVENT_NONE;

    if (!(packet[1] & 1)) {              /* only polling */
        return invalid_field();
    }
    memset(out, 0, 8);
    out[3] = 0x10;                          /* classes there are: media */
    if (!(packet[4] & 0x10)) {
        st16_be(out, 2);
        out[2] = 0x80;                      /* none of those asked for */
        return reply(4, ld16_be(packet + 7));
    }
    if (d->event_new) {
        event = EVENT_NEW_MEDIUM;
        d->event_new = false;
    } else if (d->event_eject) {
        event = EVENT_EJECT_REQUEST;
        d->event_eject = false;
    }
    st16_be(out, 6);
    out[2] = 4;                             /* media class */
    out[4] = event;
    out[5] = (d->tray_open ? 0x01 : 0) | (blk_inserted(d->blk) ? 0x02 : 0);
    return reply(8, ld16_be(packet + 7));
}

/* ---- MODE SENSE ------------------------------------------------------------------------ */

static uint8_t *put_page(uint8_t *p, uint8_t code, uint8_t len)
{
    memset(p, 0, 2 + len);
    p[0] = code;
    p[1] = len;
    return p + 2;
}

static uint8_t *mode_page(const MMCDrive *d, uint8_t *p, unsigned code)
{
    uint8_t *b;

    switch (code) {
    case 0x01:                              /* error recovery */
        b = put_page(p, code, 6);
        b[1] = 5;                           /* retries */
        return b + 6;
    case 0x0e:                              /* audio control: two channels at full volume */
        b = put_page(p, code, 14);
        b[0] = 0x04;
        b[6] = 0x01;
        b[7] = 0xff;
        b[8] = 0x02;
        b[9] = 0xff;
        return b + 14;
    case 0x2a:                              /* capabilities */
        b = put_page(p, code, 20);
        b[0] = 0x3b;                        /* reads CD-R, CD-RW, DVD-ROM, DVD-R, DVD-RAM */
        b[2] = 0x70;                        /* multisession, mode 2 forms 1 and 2 */
        b[3] = 0x60;                        /* subchannels */
        b[4] = 0x29 | (d->tray_locked ? 0x02 : 0);      /* tray, eject, lock */
        st16_be(b + 6, 706);                /* kB/s: 4x */
        st16_be(b + 8, 2);                  /* volume levels */
        st16_be(b + 10, 512);               /* KiB of buffer */
        st16_be(b + 12, 706);
        return b + 20;
    }
    return NULL;
}

MMCResult mmc_mode_sense(MMCDrive *d, const uint8_t *packet, uint8_t *out)
{
    static const uint8_t codes[] = { 0x01, 0x0e, 0x2a };
    unsigned control = packet[2] >> 6, code = packet[2] & 0x3f;
    uint8_t *p = out + 8;

    if (control == 3) {
        return refuse(ILLEGAL_REQUEST, SAVING_NOT_SUPPORTED);
    }
    memset(out, 0, 8);
    for (unsigned i = 0; i < G_N_ELEMENTS(codes); i++) {
        if (code == codes[i] || code == 0x3f) {
            uint8_t *end = mode_page(d, p, codes[i]);
            if (control == 1) {
                memset(p + 2, 0, end - p - 2);      /* nothing can be changed */
            }
            p = end;
        }
    }
    if (p == out + 8) {
        return invalid_field();
    }
    st16_be(out, p - out - 2);
    out[2] = 0x70;                          /* medium type: see GET CONFIGURATION */
    return reply(p - out, ld16_be(packet + 7));
}

/* ---- READ TOC -------------------------------------------------------------------------- */

#define DATA_TRACK 0x14     /* position is an address; data, uninterrupted */
#define LEAD_OUT   0xaa

static void put_address(uint8_t *p, bool msf, uint32_t lba)
{
    if (msf) {
        p[0] = 0;
        cd_lba_to_msf(p + 1, lba);
    } else {
        st32_be(p, lba);
    }
}

static uint8_t *put_track(uint8_t *p, uint8_t track, bool msf, uint32_t lba)
{
    p[0] = 0;
    p[1] = DATA_TRACK;
    p[2] = track;
    p[3] = 0;
    put_address(p + 4, msf, lba);
    return p + 8;
}

/* An entry of the lead-in as it is recorded. */
static uint8_t *put_raw_entry(uint8_t *p, uint8_t point, uint8_t m, uint8_t s, uint8_t f)
{
    memset(p, 0, 11);
    p[0] = 1;               /* session */
    p[1] = DATA_TRACK;
    p[3] = point;
    p[8] = m;
    p[9] = s;
    p[10] = f;
    return p + 11;
}

static uint8_t *put_raw_toc(MMCDrive *d, uint8_t *p)
{
    uint8_t msf[3];

    p = put_raw_entry(p, 0xa0, 1, 0, 0);            /* first track, kind of disc */
    p = put_raw_entry(p, 0xa1, 1, 0, 0);            /* last track */
    cd_lba_to_msf(msf, mmc_total(d));
    p = put_raw_entry(p, 0xa2, msf[0], msf[1], msf[2]);
    cd_lba_to_msf(msf, 0);
    return put_raw_entry(p, 1, msf[0], msf[1], msf[2]);
}

MMCResult mmc_read_toc(MMCDrive *d, const uint8_t *packet, uint8_t *out)
{
    bool msf = packet[1] & 2;
    unsigned format = packet[2] & 0x0f, start = packet[6];
    uint8_t *p = out + 4;

    if (!format) {
        format = packet[9] >> 6;         /* where SFF-8020i had it */
    }
    out[2] = out[3] = 1;                    /* first and last track (session) */
    switch (format) {
    case 0:
        if (start > 1 && start != LEAD_OUT) {
            return invalid_field();
        }
        if (start <= 1) {
            p = put_track(p, 1, msf, 0);
        }
        p = put_track(p, LEAD_OUT, msf, mmc_total(d));
        break;
    case 1:                                 /* sessions */
        p = put_track(p, 1, msf, 0);
        break;
    case 2:
        p = put_raw_toc(d, p);
        break;
    default:
        return invalid_field();
    }
    st16_be(out, p - out - 2);
    return reply(p - out, ld16_be(packet + 7));
}

/* ---- discs ----------------------------------------------------------------------------- */

MMCResult mmc_read_disc_info(MMCDrive *d, const uint8_t *packet, uint8_t *out)
{
    if (packet[1] & 7) {                 /* standard information only */
        return invalid_field();
    }
    memset(out, 0, 34);
    st16_be(out, 32);
    out[2] = 0x0e;                          /* last session complete, disc finalized */
    out[3] = out[4] = out[5] = out[6] = 1;  /* first track, sessions, their tracks */
    out[7] = 0x20;                          /* unrestricted use */
    return reply(34, ld16_be(packet + 7));
}

/* Formats by number; NULL text: not here.  Data begin at out + 4. */
static int dvd_structure(MMCDrive *d, const uint8_t *packet, uint8_t *out)
{
    uint32_t first = 0x30000;

    switch (packet[7]) {
    case 0x00:                              /* physical format */
        memset(out, 0, 2052);
        out[4] = 0x01;                      /* DVD-ROM, version 1 */
        out[5] = 0x0f;                      /* 120 mm, any rate */
        out[6] = 0x01;                      /* one layer, embossed */
        st32_be(out + 8, first);
        st32_be(out + 12, first + mmc_total(d) - 1);
        return 2052;
    case 0x01:                              /* copyright: none */
        memset(out, 0, 8);
        return 8;
    case 0x04:                              /* manufacturing: nothing */
        memset(out, 0, 2052);
        return 2052;
    case 0xff:                              /* the list of these */
        memset(out, 0, 16);
        for (int i = 0; i < 3; i++) {
            static const struct { uint8_t format; uint16_t size; } known[] = {
                { 0x00, 2052 }, { 0x01, 8 }, { 0x04, 2052 },
            };
            uint8_t *p = out + 4 + 4 * i;
            p[0] = known[i].format;
            p[1] = 0x40;                    /* can be read */
            st16_be(p + 2, known[i].size);
        }
        return 16;
    }
    return -1;
}

MMCResult mmc_read_dvd_structure(MMCDrive *d, const uint8_t *packet, uint8_t *out)
{
    int len;

    if (!is_dvd(d)) {
        return refuse(ILLEGAL_REQUEST, INCOMPATIBLE_FORMAT);
    }
    len = packet[6] ? -1 : dvd_structure(d, packet, out);     /* layer 0 is all there is */
    if (len < 0) {
        return invalid_field();
    }
    st16_be(out, len - 2);
    return reply(len, ld16_be(packet + 8));
}

MMCResult mmc_mechanism_status(MMCDrive *d, const uint8_t *packet, uint8_t *out)
{
    memset(out, 0, 8);
    out[5] = 1;
    return reply(8, ld16_be(packet + 8));
}

MMCResult mmc_read_capacity(MMCDrive *d, const uint8_t *packet, uint8_t *out)
{
    st32_be(out, mmc_total(d) - 1);
    st32_be(out + 4, CD_SECTOR);
    return reply(8, 8);
}

/* ---- the tray -------------------------------------------------------------------------- */

MMCResult mmc_start_stop(MMCDrive *d, const uint8_t *packet, uint8_t *out)
{
    bool load_eject = packet[4] & 2, start = packet[4] & 1;

    if (packet[4] & 0xf0) {                 /* power conditions: nothing to do */
        return reply(0, 0);
    }
    if (load_eject && d->tray_open == start) {
        if (!start && d->tray_locked) {
            return refuse(blk_has_medium(d->blk) ? NOT_READY : ILLEGAL_REQUEST, REMOVAL_PREVENTED);
        }
        d->tray_open = !start;
        blk_eject(d->blk, d->tray_open);
    }
    return reply(0, 0);
}

MMCResult mmc_prevent_removal(MMCDrive *d, const uint8_t *packet, uint8_t *out)
{
    d->tray_locked = packet[4] & 1;
    blk_lock_medium(d->blk, d->tray_locked);
    return reply(0, 0);
}

void mmc_media_changed(MMCDrive *d, bool load)
{
    d->tray_open = !load;
    d->sectors = load ? blk_length(d->blk) / 512 : 0;
    d->event_new = load;
    d->event_eject = false;
    d->changed = load ? 2 : 0;
}

void mmc_eject_request(MMCDrive *d, bool force)
{
    d->event_eject = true;
    if (force) {
        d->tray_locked = false;
    }
}

MMCResult mmc_tell_change(MMCDrive *d)
{
    if (!d->changed || !blk_inserted(d->blk)) {
        return reply(0, 0);
    }
    return d->changed-- == 2 ? refuse(NOT_READY, NO_MEDIUM) : refuse(UNIT_ATTENTION, MEDIUM_CHANGED);
}
