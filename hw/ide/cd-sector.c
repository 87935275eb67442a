/* SPDX-License-Identifier: MIT */
/*
 * Raw sectors of a data CD: 12 bytes of sync, 4 of header, 2048 of data, 4 of error detection,
 * 8 of zero, 276 of error correction.  An image holds the data only; the rest is made here.
 *
 * Source: ECMA-130 (the "Yellow Book"), section 14 and annexes A (scrambling is not seen by
 * the host), EDC and ECC.
 */
#include "hw/ide/mmc.h"
#include <string.h>
#include "util/bits.h"

#define EDC_AT     2064
#define P_AT       2076
#define Q_AT       2248

static uint8_t to_bcd(unsigned v)
{
    return v / 10 << 4 | v % 10;
}

/* Minute, second, frame: 75 frames a second; LBA 0 is two seconds into the disc. */
void cd_lba_to_msf(uint8_t *msf, uint32_t lba)
{
    lba += 150;
    msf[0] = lba / 75 / 60;
    msf[1] = lba / 75 % 60;
    msf[2] = lba % 75;
}

/* CRC with x^32+x^31+x^16+x^15+x^4+x^3+x+1, least significant bit first. */
static uint32_t edc(const uint8_t *p, unsigned len)
{
    uint32_t crc = 0;

    while (len--) {
        crc ^= *p++;
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? 0xd8018001 : 0);
        }
    }
    return crc;
}

/* Multiply by 2, and divide by 3, in GF(256) with x^8+x^4+x^3+x^2+1. */
static uint8_t gf_double(uint8_t v)
{
    return v << 1 ^ (v & 0x80 ? 0x1d : 0);
}

static uint8_t gf_third(uint8_t v)
{
    static uint8_t table[256];

    if (!table[1]) {
        for (unsigned i = 0; i < 256; i++) {
            table[(uint8_t)(i ^ gf_double(i))] = i;
        }
    }
    return table[v];
}

/*
 * Two parity bytes for each of `words` code words.  Word n takes the bytes of column n/2 (even
 * and odd bytes apart) along a diagonal: begin at (n/2)*first + n%2, go on by `next`, round
 * the area of words*len bytes.
 */
static void parity(const uint8_t *area, unsigned words, unsigned len, unsigned first,
                   unsigned next, uint8_t *out)
{
    unsigned size = words * len;

    for (unsigned n = 0; n < words; n++) {
        unsigned at = (n >> 1) * first + (n & 1);
        uint8_t sum = 0, weighted = 0;

        for (unsigned i = 0; i < len; i++) {
            uint8_t v = area[at];
            at += next;
            if (at >= size) {
                at -= size;
            }
            weighted = gf_double(weighted ^ v);
            sum ^= v;
        }
        out[n] = gf_third(gf_double(weighted) ^ sum);
        out[n + words] = out[n] ^ sum;
    }
}

void cd_make_raw_sector(uint8_t *out, const uint8_t *data, uint32_t lba)
{
    uint8_t msf[3];

    memmove(out + 16, data, CD_SECTOR);
    out[0] = out[11] = 0x00;
    memset(out + 1, 0xff, 10);
    cd_lba_to_msf(msf, lba);
    for (int i = 0; i < 3; i++) {
        out[12 + i] = to_bcd(msf[i]);
    }
    out[15] = 1;                            /* mode 1 */
    st32_le(out + EDC_AT, edc(out, EDC_AT));
    memset(out + EDC_AT + 4, 0, 8);
    parity(out + 12, 86, 24, 2, 86, out + P_AT);
    parity(out + 12, 52, 43, 86, 88, out + Q_AT);
}
