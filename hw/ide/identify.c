/* SPDX-License-Identifier: MIT */
/*
 * IDENTIFY DEVICE and IDENTIFY PACKET DEVICE data, and the geometry that goes with them.
 *
 * Source: ATA/ATAPI-6, sections 8.15 and 8.16; ATA8-ACS for words 69, 105, 106, 169, 217.
 */
#include "hw/ide/internal.h"
#include "util/bits.h"

static void put(uint8_t *out, unsigned word, uint16_t val)
{
    st16_le(out + word * 2, val);
}

/* Text lies in words with the first character in the high byte, padded with blanks. */
static void put_text(uint8_t *out, unsigned word, unsigned words, const char *text)
{
    size_t len = strlen(text);

    for (unsigned i = 0; i < words * 2; i++) {
        out[word * 2 + (i ^ 1)] = i < len ? text[i] : ' ';
    }
}

static void put_dword(uint8_t *out, unsigned word, uint32_t val)
{
    st32_le(out + word * 2, val);
}

/* Supported modes in the low byte, the selected one in the high byte. */
static uint16_t modes(unsigned best, uint8_t selected)
{
    return ((2u << best) - 1) | (selected <= best ? 0x100u << selected : 0);
}

static void put_modes(const IDEDrive *d, uint8_t *out)
{
    put(out, 53, 0x0007);                   /* words 54-58, 64-70 and 88 are valid */
    put(out, 63, modes(2, d->mdma_mode));
    put(out, 64, 0x0003);                   /* PIO 3 and 4 */
    for (unsigned word = 65; word <= 68; word++) {
        put(out, word, 120);                /* ns: shortest cycles */
    }
    put(out, 88, modes(5, d->udma_mode));
    if (!d->bus->sata) {
        put(out, 93, 0x4000 | 0x2000 | 0x0001);         /* 80-wire cable */
    }
}

/* Words 75 to 79; the host bus adapter's side is CAP.SNCQ. */
static void put_sata(const IDEDrive *d, uint8_t *out)
{
    if (!d->bus->sata) {
        return;
    }
    put(out, 76, d->is_cd ? 0x0002 : 0x0102);           /* 1.5 Gbit/s, queued commands */
    if (!d->is_cd) {
        put(out, 75, IDE_NCQ_DEPTH - 1);
        put(out, 84, ld16_le(out + 84 * 2) | 0x0020);   /* general purpose logs */
        put(out, 87, ld16_le(out + 87 * 2) | 0x0020);
    }
}

static void put_wwn(const IDEDrive *d, uint8_t *out)
{
    for (unsigned i = 0; i < 4; i++) {
        put(out, 108 + i, d->wwn >> (48 - 16 * i));
    }
}

static void put_geometry(const IDEDrive *d, uint8_t *out)
{
    uint64_t per_cylinder = (uint64_t)d->heads * d->secs;
    uint64_t cylinders = MIN(d->sectors / per_cylinder, 65535);
    uint32_t now = cylinders * per_cylinder;

    put(out, 1, d->native.cylinders);
    put(out, 3, d->native.heads);
    put(out, 6, d->native.sectors);
    put(out, 4, 512 * d->native.sectors);   /* retired; old drivers read them */
    put(out, 5, 512);
    put(out, 54, cylinders);
    put(out, 55, d->heads);
    put(out, 56, d->secs);
    put_dword(out, 57, now);
    put_dword(out, 60, MIN(d->sectors, 0x0fffffffu));
    put_dword(out, 100, d->sectors);
    put_dword(out, 102, d->sectors >> 32);
}

/* Words 82-84 say what there is, 85-87 what is on. */
static void put_features(const IDEDrive *d, uint8_t *out)
{
    put(out, 82, 0x4000 | 0x1000 | 0x2000 | 0x0040 | 0x0020 | 0x0008 | 0x0001);
                /* NOP, READ/WRITE BUFFER, look-ahead, write cache, power management, SMART */
    put(out, 83, 0x4000 | 0x2000 | 0x1000 | 0x0400);        /* FLUSH CACHE (EXT), 48 bits */
    put(out, 84, 0x4000 | (d->wwn ? 0x0100 : 0) | 0x0040 | 0x0003);
                /* world wide name, FUA, SMART self-test and error log */
    put(out, 85, 0x4000 | 0x1000 | 0x2000 | 0x0008 | (d->look_ahead ? 0x0040 : 0)
                 | (d->write_cache ? 0x0020 : 0) | (d->smart_on ? 0x0001 : 0));
    put(out, 86, 0x2000 | 0x1000 | 0x0400);
    put(out, 87, 0x4000 | (d->wwn ? 0x0100 : 0) | 0x0040 | 0x0003);
}

static void put_sector_size(const IDEDrive *d, uint8_t *out)
{
    unsigned shift = 0;

    while ((d->logical_block_size << shift) < d->physical_block_size) {
        shift++;
    }
    put(out, 106, 0x4000 | (shift ? 0x2000 | shift : 0));
}

void ide_identify(IDEDrive *d, uint8_t *out)
{
    memset(out, 0, 512);
    put(out, 0, 0x0040);                    /* fixed disk */
    put_geometry(d, out);
    put_text(out, 10, 10, d->serial_text);
    put(out, 20, 3);                        /* dual-ported buffer with cache (retired) */
    put(out, 21, 512);                      /* of 256 KiB */
    put(out, 22, 4);
    put_text(out, 23, 4, d->ver);
    put_text(out, 27, 20, d->model);
    put(out, 47, 0x8000 | IDE_MAX_MULT);
    put(out, 48, 1);                        /* 32-bit access to the data port works */
    put(out, 49, 0x0800 | 0x0200 | 0x0100); /* IORDY, LBA, DMA */
    put(out, 51, 0x0200);
    put(out, 52, 0x0200);
    put_modes(d, out);
    put(out, 59, d->mult ? 0x0100 | d->mult : 0);
    put(out, 80, 0x00f0);                   /* ATA-4 to ATA-7 */
    put(out, 81, 0x0016);
    put_features(d, out);
    put_sata(d, out);
    put_sector_size(d, out);
    if (d->wwn) {
        put_wwn(d, out);
    }
    if (blk_discard_enabled(d->blk)) {
        put(out, 105, IDE_BUFFER / 512);    /* most sectors of ranges in a TRIM */
        put(out, 169, 1);
    }
    put(out, 217, d->rotation_rate);
}

void ide_identify_packet(IDEDrive *d, uint8_t *out)
{
    memset(out, 0, 512);
    put(out, 0, 0x8000 | 5 << 8 | 0x0080 | 2 << 5);
                            /* packet device, CD-ROM, removable, DRQ within 50 us, 12 bytes */
    put_text(out, 10, 10, d->serial_text);
    put(out, 20, 3);
    put(out, 21, 512);
    put(out, 22, 4);
    put_text(out, 23, 4, d->ver);
    put_text(out, 27, 20, d->model);
    put(out, 48, 1);
    put(out, 49, 0x0800 | 0x0200 | 0x0100);
    put_modes(d, out);
    put_sata(d, out);
    put(out, 71, 30);                       /* ns */
    put(out, 72, 30);
    put(out, 80, 0x001e);                   /* ATA-1 to ATA/ATAPI-4 */
    put(out, 82, 0x4000 | 0x0200 | 0x0010); /* NOP, DEVICE RESET, PACKET */
    put(out, 83, 0x4000);
    put(out, 84, 0x4000 | (d->wwn ? 0x0100 : 0));
    put(out, 85, 0x4000 | 0x0200 | 0x0010);
    put(out, 87, 0x4000 | (d->wwn ? 0x0100 : 0));
    if (d->wwn) {
        put_wwn(d, out);
    }
}

/* ---- geometry -------------------------------------------------------------------------- */

enum { TRANSLATION_NONE, TRANSLATION_LBA, TRANSLATION_LARGE };

/* What ATA itself prescribes for LBA drives: 16 heads, 63 sectors. */
static void standard_geometry(IDEDrive *d)
{
    uint64_t cylinders = d->sectors / (16 * 63);

    d->native.cylinders = CLAMP(cylinders, 2, 16383);
    d->native.heads = 16;
    d->native.sectors = 63;
}

/* The end of a partition in the MBR tells how many heads and sectors the system that made it
 * counted with. */
static bool partitioned_geometry(IDEDrive *d, unsigned *heads, unsigned *secs, uint64_t *cyls)
{
    uint8_t mbr[512];

    if (d->sectors < 1 || blk_pread(d->blk, 0, mbr, sizeof(mbr)) < 0 || mbr[510] != 0x55
        || mbr[511] != 0xaa) {
        return false;
    }
    for (const uint8_t *p = mbr + 0x1be; p < mbr + 0x1fe; p += 16) {
        unsigned end_head = p[5], end_sec = p[6] & 63;
        if (ld32_le(p + 12) && end_head) {
            *heads = end_head + 1;
            *secs = end_sec;
            if (!*secs) {
                continue;
            }
            *cyls = d->sectors / (*heads * *secs);
            return *cyls >= 1 && *cyls <= 16383;
        }
    }
    return false;
}

static unsigned auto_translation(const IDEGeometry *g)
{
    return g->cylinders <= 1024 && g->heads <= 16 && g->sectors <= 63 ? TRANSLATION_NONE
                                                                      : TRANSLATION_LBA;
}

void ide_guess_geometry(IDEDrive *d)
{
    unsigned heads = 0, secs = 0;
    uint64_t cyls = 0;

    standard_geometry(d);
    if (d->cyls_prop) {
        d->native = (IDEGeometry) { d->cyls_prop, d->heads_prop, d->secs_prop, 0 };
    } else if (partitioned_geometry(d, &heads, &secs, &cyls)) {
        if (heads > 16) {
            /* A translated geometry: the drive's own stays as it is */
            d->native.bios_translation = d->native.cylinders * 16 <= 131072 ? TRANSLATION_LARGE
                                                                             : TRANSLATION_LBA;
            return;
        }
        d->native = (IDEGeometry) { cyls, heads, secs, 0 };
        d->native.bios_translation = TRANSLATION_NONE;
        return;
    }
    d->native.bios_translation = auto_translation(&d->native);
}
