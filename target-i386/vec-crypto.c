/* SPDX-License-Identifier: MIT */
/*
 * AES, SHA and PCMPxSTRx on 128-bit lanes.
 *
 * The AES S-boxes are computed at first use from their definition (inverse in GF(2^8), then
 * an affine map: FIPS 197, 5.1.1).  Look-ups in tables leak through the host's caches; a guest
 * that shares a host core with a spy should use a host whose engine has AES instructions.
 */
#include "target-i386/vec-crypto.h"

#include <glib.h>
#include <stdbool.h>

static uint8_t sbox[256], inv_sbox[256];

static uint8_t gf_mul(uint8_t a, uint8_t b)
{
    uint8_t r = 0;

    for (; b; b >>= 1) {
        if (b & 1) {
            r ^= a;
        }
        a = (a << 1) ^ (a & 0x80 ? 0x1b : 0);
    }
    return r;
}

static void aes_init(void)
{
    static gsize done;

    if (!g_once_init_enter(&done)) {
        return;
    }
    for (unsigned x = 0; x < 256; x++) {
        /* x^254 is the inverse of x (and 0 for 0) */
        uint8_t inv = 1, s;
        for (unsigned k = 0; k < 254; k++) {
            inv = gf_mul(inv, x);
        }
        s = inv;
        for (unsigned k = 1; k < 5; k++) {
            s ^= (uint8_t)(inv << k | inv >> (8 - k));
        }
        s ^= 0x63;
        sbox[x] = s;
        inv_sbox[s] = x;
    }
    g_once_init_leave(&done, 1);
}

/* State byte of row r, column c is element 4c + r.  ShiftRows moves row r left by r columns. */
static V128 sub_shift(V128 s)
{
    V128 r;

    aes_init();
    for (unsigned c = 0; c < 4; c++) {
        for (unsigned row = 0; row < 4; row++) {
            r.b[I8(4 * c + row)] = sbox[s.b[I8(4 * ((c + row) & 3) + row)]];
        }
    }
    return r;
}

static V128 inv_sub_shift(V128 s)
{
    V128 r;

    aes_init();
    for (unsigned c = 0; c < 4; c++) {
        for (unsigned row = 0; row < 4; row++) {
            r.b[I8(4 * c + row)] = inv_sbox[s.b[I8(4 * ((c - row) & 3) + row)]];
        }
    }
    return r;
}

static uint8_t twice(uint8_t a)
{
    return (a << 1) ^ (a & 0x80 ? 0x1b : 0);
}

static V128 mix_columns(V128 s)
{
    V128 r;

    for (unsigned c = 0; c < 4; c++) {
        uint8_t a[4], all = 0;
        for (unsigned k = 0; k < 4; k++) {
            a[k] = s.b[I8(4 * c + k)];
            all ^= a[k];
        }
        for (unsigned k = 0; k < 4; k++) {
            r.b[I8(4 * c + k)] = a[k] ^ all ^ twice(a[k] ^ a[(k + 1) & 3]);
        }
    }
    return r;
}

V128 lane_aesimc(V128 s)
{
    /* InvMixColumns = MixColumns after adding 4 * (x0 + x2), 4 * (x1 + x3) to each column */
    for (unsigned c = 0; c < 4; c++) {
        uint8_t u = twice(twice(s.b[I8(4 * c)] ^ s.b[I8(4 * c + 2)]));
        uint8_t v = twice(twice(s.b[I8(4 * c + 1)] ^ s.b[I8(4 * c + 3)]));
        s.b[I8(4 * c)] ^= u;
        s.b[I8(4 * c + 1)] ^= v;
        s.b[I8(4 * c + 2)] ^= u;
        s.b[I8(4 * c + 3)] ^= v;
    }
    return mix_columns(s);
}

V128 lane_aesenc(V128 s, V128 key)
{
    return lane_pxor(mix_columns(sub_shift(s)), key);
}

V128 lane_aesenclast(V128 s, V128 key)
{
    return lane_pxor(sub_shift(s), key);
}

V128 lane_aesdec(V128 s, V128 key)
{
    return lane_pxor(lane_aesimc(inv_sub_shift(s)), key);
}

V128 lane_aesdeclast(V128 s, V128 key)
{
    return lane_pxor(inv_sub_shift(s), key);
}

static uint32_t sub_word(uint32_t w)
{
    return sbox[w & 255] | sbox[(w >> 8) & 255] << 8 | sbox[(w >> 16) & 255] << 16
           | (uint32_t)sbox[w >> 24] << 24;
}

V128 lane_aeskeygenassist(V128 s, uint8_t rcon)
{
    V128 r;
    uint32_t x1, x3;

    aes_init();
    x1 = sub_word(s.d[I32(1)]);
    x3 = sub_word(s.d[I32(3)]);
    r.d[I32(0)] = x1;
    r.d[I32(1)] = (x1 >> 8 | x1 << 24) ^ rcon;
    r.d[I32(2)] = x3;
    r.d[I32(3)] = (x3 >> 8 | x3 << 24) ^ rcon;
    return r;
}

/* ---- SHA ---- */

static uint32_t rol(uint32_t x, unsigned n)
{
    return x << n | x >> (32 - n);
}

static uint32_t ror(uint32_t x, unsigned n)
{
    return x >> n | x << (32 - n);
}

static uint32_t choose(uint32_t x, uint32_t y, uint32_t z)
{
    return (x & y) ^ (~x & z);
}

static uint32_t majority(uint32_t x, uint32_t y, uint32_t z)
{
    return (x & y) ^ (x & z) ^ (y & z);
}

V128 lane_sha1rnds4(V128 v, V128 wv, unsigned func)
{
    static const uint32_t round_constant[4] = { 0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6 };
    uint32_t a = v.d[I32(3)], b = v.d[I32(2)], c = v.d[I32(1)], d = v.d[I32(0)], e = 0;

    for (unsigned k = 0; k < 4; k++) {
        uint32_t f = func == 0 ? choose(b, c, d) : func == 2 ? majority(b, c, d) : b ^ c ^ d;
        uint32_t next = f + rol(a, 5) + wv.d[I32(3 - k)] + e + round_constant[func];
        e = d;
        d = c;
        c = rol(b, 30);
        b = a;
        a = next;
    }
    v.d[I32(3)] = a;
    v.d[I32(2)] = b;
    v.d[I32(1)] = c;
    v.d[I32(0)] = d;
    return v;
}

V128 lane_sha1nexte(V128 a, V128 b)
{
    b.d[I32(3)] += rol(a.d[I32(3)], 30);
    return b;
}

V128 lane_sha1msg1(V128 a, V128 b)
{
    V128 r;

    r.d[I32(3)] = a.d[I32(3)] ^ a.d[I32(1)];
    r.d[I32(2)] = a.d[I32(2)] ^ a.d[I32(0)];
    r.d[I32(1)] = a.d[I32(1)] ^ b.d[I32(3)];
    r.d[I32(0)] = a.d[I32(0)] ^ b.d[I32(2)];
    return r;
}

V128 lane_sha1msg2(V128 a, V128 b)
{
    V128 r;

    r.d[I32(3)] = rol(a.d[I32(3)] ^ b.d[I32(2)], 1);
    r.d[I32(2)] = rol(a.d[I32(2)] ^ b.d[I32(1)], 1);
    r.d[I32(1)] = rol(a.d[I32(1)] ^ b.d[I32(0)], 1);
    r.d[I32(0)] = rol(a.d[I32(0)] ^ r.d[I32(3)], 1);
    return r;
}

/* a holds C D G H (high to low: C in element 3), b holds A B E F */
V128 lane_sha256rnds2(V128 v, V128 u, V128 wk)
{
    uint32_t a = u.d[I32(3)], b = u.d[I32(2)], e = u.d[I32(1)], f = u.d[I32(0)];
    uint32_t c = v.d[I32(3)], d = v.d[I32(2)], g = v.d[I32(1)], h = v.d[I32(0)];
    V128 r;

    for (unsigned k = 0; k < 2; k++) {
        uint32_t t = h + choose(e, f, g) + (ror(e, 6) ^ ror(e, 11) ^ ror(e, 25)) + wk.d[I32(k)];
        uint32_t next = t + majority(a, b, c) + (ror(a, 2) ^ ror(a, 13) ^ ror(a, 22));
        h = g;
        g = f;
        f = e;
        e = d + t;
        d = c;
        c = b;
        b = a;
        a = next;
    }
    r.d[I32(3)] = a;
    r.d[I32(2)] = b;
    r.d[I32(1)] = e;
    r.d[I32(0)] = f;
    return r;
}

static uint32_t sigma0(uint32_t x)
{
    return ror(x, 7) ^ ror(x, 18) ^ x >> 3;
}

static uint32_t sigma1(uint32_t x)
{
    return ror(x, 17) ^ ror(x, 19) ^ x >> 10;
}

V128 lane_sha256msg1(V128 a, V128 b)
{
    V128 r;

    for (unsigned k = 0; k < 4; k++) {
        r.d[I32(k)] = a.d[I32(k)] + sigma0(k < 3 ? a.d[I32(k + 1)] : b.d[I32(0)]);
    }
    return r;
}

V128 lane_sha256msg2(V128 a, V128 b)
{
    V128 r;

    r.d[I32(0)] = a.d[I32(0)] + sigma1(b.d[I32(2)]);
    r.d[I32(1)] = a.d[I32(1)] + sigma1(b.d[I32(3)]);
    r.d[I32(2)] = a.d[I32(2)] + sigma1(r.d[I32(0)]);
    r.d[I32(3)] = a.d[I32(3)] + sigma1(r.d[I32(1)]);
    return r;
}

/* ---- PCMPxSTRx ---- */

/* imm: bit 0 words, bit 1 signed, bits 2-3 aggregation, bits 4-5 polarity */
static int element(V128 v, unsigned k, unsigned imm)
{
    switch (imm & 3) {
    case 0:
        return v.b[I8(k)];
    case 1:
        return v.w[I16(k)];
    case 2:
        return v.sb[I8(k)];
    default:
        return v.sw[I16(k)];
    }
}

unsigned lane_str_length(V128 v, unsigned imm)
{
    unsigned n = imm & 1 ? 8 : 16, k;

    for (k = 0; k < n && element(v, k, imm); k++) {
    }
    return k;
}

unsigned lane_str_compare(V128 a, V128 b, unsigned la, unsigned lb, unsigned imm)
{
    unsigned n = imm & 1 ? 8 : 16, res = 0;

    for (unsigned j = 0; j < n; j++) {
        bool bit = false;
        switch ((imm >> 2) & 3) {
        case 0:     /* equal any: is b[j] one of a? */
            for (unsigned k = 0; j < lb && k < la; k++) {
                bit |= element(a, k, imm) == element(b, j, imm);
            }
            break;
        case 1:     /* ranges: pairs of a */
            for (unsigned k = 0; j < lb && k + 1 < la; k += 2) {
                bit |= element(b, j, imm) >= element(a, k, imm)
                       && element(b, j, imm) <= element(a, k + 1, imm);
            }
            break;
        case 2:     /* equal each: both past the end counts as equal */
            bit = j < la && j < lb ? element(a, j, imm) == element(b, j, imm)
                                   : j >= la && j >= lb;
            break;
        case 3:     /* equal ordered: does a stand in b at j? (as far as b reaches) */
            bit = true;
            for (unsigned k = 0; k < la && j + k < n; k++) {
                bit &= j + k < lb && element(a, k, imm) == element(b, j + k, imm);
            }
            break;
        }
        res |= (unsigned)bit << j;
    }
    if (imm & 0x10) {
        unsigned mask = imm & 0x20 ? (1u << lb) - 1 : (1u << n) - 1;
        res ^= mask & ((1u << n) - 1);
    }
    return res;
}
