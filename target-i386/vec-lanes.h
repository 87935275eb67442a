/* SPDX-License-Identifier: MIT */
/*
 * Integer SIMD, one 128-bit lane at a time.  AVX2 repeats each of these in its upper lane, and
 * MMX is the same arithmetic on a lane whose upper half is ignored, so one function serves
 * MMX, SSE and AVX; where the 64-bit form differs (packs, high interleaves, horizontal adds,
 * shuffles) it is derived in op-simd-int.c.
 *
 * Element k of a lane is r.b[I8(k)] and so on: element 0 is the least significant whatever
 * the host's byte order.  Operations that work element by element need no index macro.
 * Written as plain loops with constant bounds, which compilers turn into host SIMD.
 *
 * Source: Intel SDM volume 2, the operation sections.
 */
#ifndef TARGET_I386_VEC_LANES_H
#define TARGET_I386_VEC_LANES_H

#include <stdint.h>
#include <string.h>

typedef union V128 {
    uint8_t b[16];
    int8_t sb[16];
    uint16_t w[8];
    int16_t sw[8];
    uint32_t d[4];
    int32_t sd[4];
    uint64_t q[2];
    int64_t sq[2];
} V128;

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define I8(k)  (k)
#define I16(k) (k)
#define I32(k) (k)
#define I64(k) (k)
#else
#define I8(k)  ((k) ^ 7)
#define I16(k) ((k) ^ 3)
#define I32(k) ((k) ^ 1)
#define I64(k) (k)
#endif

/* r.W[k] = EXPR of x = a.W[k] and y = b.W[k], for all n elements */
#define LANE2(name, T, W, n, EXPR)                                                 \
    static inline V128 lane_##name(V128 a, V128 b)                                 \
    {                                                                              \
        V128 r;                                                                    \
        for (unsigned k = 0; k < (n); k++) {                                       \
            T x = a.W[k], y = b.W[k];                                              \
            (void)x;                                                               \
            r.W[k] = (EXPR);                                                       \
        }                                                                          \
        return r;                                                                  \
    }

#define SAT(v, lo, hi) ((v) < (lo) ? (lo) : (v) > (hi) ? (hi) : (v))
static inline int8_t sat_s8(int v)     { return SAT(v, -128, 127); }
static inline uint8_t sat_u8(int v)    { return SAT(v, 0, 255); }
static inline int16_t sat_s16(int v)   { return SAT(v, -32768, 32767); }
static inline uint16_t sat_u16(int v)  { return SAT(v, 0, 65535); }

LANE2(paddb, uint8_t, b, 16, x + y)
LANE2(paddw, uint16_t, w, 8, x + y)
LANE2(paddd, uint32_t, d, 4, x + y)
LANE2(paddq, uint64_t, q, 2, x + y)
LANE2(psubb, uint8_t, b, 16, x - y)
LANE2(psubw, uint16_t, w, 8, x - y)
LANE2(psubd, uint32_t, d, 4, x - y)
LANE2(psubq, uint64_t, q, 2, x - y)
LANE2(paddsb, int8_t, sb, 16, sat_s8(x + y))
LANE2(paddsw, int16_t, sw, 8, sat_s16(x + y))
LANE2(paddusb, uint8_t, b, 16, sat_u8(x + y))
LANE2(paddusw, uint16_t, w, 8, sat_u16(x + y))
LANE2(psubsb, int8_t, sb, 16, sat_s8(x - y))
LANE2(psubsw, int16_t, sw, 8, sat_s16(x - y))
LANE2(psubusb, uint8_t, b, 16, x > y ? x - y : 0)
LANE2(psubusw, uint16_t, w, 8, x > y ? x - y : 0)
LANE2(pand, uint64_t, q, 2, x & y)
LANE2(pandn, uint64_t, q, 2, ~x & y)
LANE2(por, uint64_t, q, 2, x | y)
LANE2(pxor, uint64_t, q, 2, x ^ y)
LANE2(pcmpeqb, uint8_t, b, 16, x == y ? 0xff : 0)
LANE2(pcmpeqw, uint16_t, w, 8, x == y ? 0xffff : 0)
LANE2(pcmpeqd, uint32_t, d, 4, x == y ? ~0u : 0)
LANE2(pcmpeqq, uint64_t, q, 2, x == y ? ~0ull : 0)
LANE2(pcmpgtb, int8_t, sb, 16, x > y ? -1 : 0)
LANE2(pcmpgtw, int16_t, sw, 8, x > y ? -1 : 0)
LANE2(pcmpgtd, int32_t, sd, 4, x > y ? -1 : 0)
LANE2(pcmpgtq, int64_t, sq, 2, x > y ? -1 : 0)
LANE2(pminub, uint8_t, b, 16, x < y ? x : y)
LANE2(pminuw, uint16_t, w, 8, x < y ? x : y)
LANE2(pminud, uint32_t, d, 4, x < y ? x : y)
LANE2(pminsb, int8_t, sb, 16, x < y ? x : y)
LANE2(pminsw, int16_t, sw, 8, x < y ? x : y)
LANE2(pminsd, int32_t, sd, 4, x < y ? x : y)
LANE2(pmaxub, uint8_t, b, 16, x > y ? x : y)
LANE2(pmaxuw, uint16_t, w, 8, x > y ? x : y)
LANE2(pmaxud, uint32_t, d, 4, x > y ? x : y)
LANE2(pmaxsb, int8_t, sb, 16, x > y ? x : y)
LANE2(pmaxsw, int16_t, sw, 8, x > y ? x : y)
LANE2(pmaxsd, int32_t, sd, 4, x > y ? x : y)
LANE2(pavgb, uint8_t, b, 16, (x + y + 1) >> 1)
LANE2(pavgw, uint16_t, w, 8, (x + y + 1) >> 1)
LANE2(pmullw, uint16_t, w, 8, (uint32_t)x * y)
LANE2(pmulhw, int16_t, sw, 8, (x * y) >> 16)
LANE2(pmulhuw, uint16_t, w, 8, ((uint32_t)x * y) >> 16)
LANE2(pmulhrsw, int16_t, sw, 8, (((x * y) >> 14) + 1) >> 1)
LANE2(pmulld, uint32_t, d, 4, x * y)
LANE2(pmuludq, uint64_t, q, 2, (uint64_t)(uint32_t)x * (uint32_t)y)
LANE2(pmuldq, int64_t, sq, 2, (int64_t)(int32_t)x * (int32_t)y)
LANE2(psignb, int8_t, sb, 16, y < 0 ? -x : y ? x : 0)
LANE2(psignw, int16_t, sw, 8, y < 0 ? -x : y ? x : 0)
LANE2(psignd, int32_t, sd, 4, y < 0 ? (int32_t)(0u - (uint32_t)x) : y ? x : 0)
LANE2(pabsb, int8_t, sb, 16, y < 0 ? -y : y)
LANE2(pabsw, int16_t, sw, 8, y < 0 ? -y : y)
LANE2(pabsd, int32_t, sd, 4, y < 0 ? (int32_t)(0u - (uint32_t)y) : y)
LANE2(psllvd, uint32_t, d, 4, y < 32 ? x << y : 0)
LANE2(psrlvd, uint32_t, d, 4, y < 32 ? x >> y : 0)
LANE2(psravd, int32_t, sd, 4, x >> ((uint32_t)y < 32 ? y : 31))
LANE2(psllvq, uint64_t, q, 2, y < 64 ? x << y : 0)
LANE2(psrlvq, uint64_t, q, 2, y < 64 ? x >> y : 0)

/* Shifts of all elements by one count (any 64-bit value). */
#define LANE_SHIFT(name, W, n, bits, EXPR, OVER)                                   \
    static inline V128 lane_##name(V128 a, uint64_t count)                         \
    {                                                                              \
        V128 r;                                                                    \
        unsigned s = count < (bits) ? count : (bits);                              \
        for (unsigned k = 0; k < (n); k++) {                                       \
            r.W[k] = s < (bits) ? (EXPR) : (OVER);                                 \
        }                                                                          \
        return r;                                                                  \
    }
LANE_SHIFT(psllw, w, 8, 16, a.w[k] << s, 0)
LANE_SHIFT(pslld, d, 4, 32, a.d[k] << s, 0)
LANE_SHIFT(psllq, q, 2, 64, a.q[k] << s, 0)
LANE_SHIFT(psrlw, w, 8, 16, a.w[k] >> s, 0)
LANE_SHIFT(psrld, d, 4, 32, a.d[k] >> s, 0)
LANE_SHIFT(psrlq, q, 2, 64, a.q[k] >> s, 0)
LANE_SHIFT(psraw, sw, 8, 16, a.sw[k] >> s, a.sw[k] >> 15)
LANE_SHIFT(psrad, sd, 4, 32, a.sd[k] >> s, a.sd[k] >> 31)

/* Whole-lane byte shifts */
static inline V128 lane_pslldq(V128 a, uint64_t count)
{
    V128 r = { { 0 } };
    for (unsigned k = count < 16 ? count : 16; k < 16; k++) {
        r.b[I8(k)] = a.b[I8(k - count)];
    }
    return r;
}
static inline V128 lane_psrldq(V128 a, uint64_t count)
{
    V128 r = { { 0 } };
    for (unsigned k = 0; k + count < 16; k++) {
        r.b[I8(k)] = a.b[I8(k + count)];
    }
    return r;
}

/* Interleaves.  off: 0 = low half, n/2 = high half of the sources */
#define LANE_UNPACK(name, W, IX, n, off)                                           \
    static inline V128 lane_##name(V128 a, V128 b)                                 \
    {                                                                              \
        V128 r;                                                                    \
        for (unsigned k = 0; k < (n) / 2; k++) {                                   \
            r.W[IX(2 * k)] = a.W[IX((off) + k)];                                   \
            r.W[IX(2 * k + 1)] = b.W[IX((off) + k)];                               \
        }                                                                          \
        return r;                                                                  \
    }
LANE_UNPACK(punpcklbw, b, I8, 16, 0)
LANE_UNPACK(punpckhbw, b, I8, 16, 8)
LANE_UNPACK(punpcklwd, w, I16, 8, 0)
LANE_UNPACK(punpckhwd, w, I16, 8, 4)
LANE_UNPACK(punpckldq, d, I32, 4, 0)
LANE_UNPACK(punpckhdq, d, I32, 4, 2)
LANE_UNPACK(punpcklqdq, q, I64, 2, 0)
LANE_UNPACK(punpckhqdq, q, I64, 2, 1)

#define LANE_PACK(name, D, DX, S, SX, n, SATF)                                     \
    static inline V128 lane_##name(V128 a, V128 b)                                 \
    {                                                                              \
        V128 r;                                                                    \
        for (unsigned k = 0; k < (n); k++) {                                       \
            r.D[DX(k)] = SATF(a.S[SX(k)]);                                         \
            r.D[DX((n) + k)] = SATF(b.S[SX(k)]);                                   \
        }                                                                          \
        return r;                                                                  \
    }
LANE_PACK(packsswb, sb, I8, sw, I16, 8, sat_s8)
LANE_PACK(packuswb, b, I8, sw, I16, 8, sat_u8)
LANE_PACK(packssdw, sw, I16, sd, I32, 4, sat_s16)
LANE_PACK(packusdw, w, I16, sd, I32, 4, sat_u16)

/* Pairwise: the lower half of r comes from a, the upper from b */
#define LANE_PAIRS(name, T, W, IX, n, EXPR)                                        \
    static inline V128 lane_##name(V128 a, V128 b)                                 \
    {                                                                              \
        V128 r;                                                                    \
        for (unsigned k = 0; k < (n) / 2; k++) {                                   \
            T x = a.W[IX(2 * k)], y = a.W[IX(2 * k + 1)];                          \
            r.W[IX(k)] = (EXPR);                                                   \
            x = b.W[IX(2 * k)];                                                    \
            y = b.W[IX(2 * k + 1)];                                                \
            r.W[IX((n) / 2 + k)] = (EXPR);                                         \
        }                                                                          \
        return r;                                                                  \
    }
LANE_PAIRS(phaddw, uint16_t, w, I16, 8, x + y)
LANE_PAIRS(phaddd, uint32_t, d, I32, 4, x + y)
LANE_PAIRS(phaddsw, int16_t, sw, I16, 8, sat_s16(x + y))
LANE_PAIRS(phsubw, uint16_t, w, I16, 8, x - y)
LANE_PAIRS(phsubd, uint32_t, d, I32, 4, x - y)
LANE_PAIRS(phsubsw, int16_t, sw, I16, 8, sat_s16(x - y))

static inline V128 lane_pmaddwd(V128 a, V128 b)
{
    V128 r;
    for (unsigned k = 0; k < 4; k++) {
        r.d[k] = (uint32_t)(a.sw[2 * k] * b.sw[2 * k])
                 + (uint32_t)(a.sw[2 * k + 1] * b.sw[2 * k + 1]);
    }
    return r;
}
static inline V128 lane_pmaddubsw(V128 a, V128 b)
{
    V128 r;
    for (unsigned k = 0; k < 8; k++) {
        r.sw[k] = sat_s16(a.b[2 * k] * b.sb[2 * k] + a.b[2 * k + 1] * b.sb[2 * k + 1]);
    }
    return r;
}
static inline V128 lane_psadbw(V128 a, V128 b)
{
    V128 r;
    for (unsigned h = 0; h < 2; h++) {
        unsigned sum = 0;
        for (unsigned k = 0; k < 8; k++) {
            int diff = a.b[8 * h + k] - b.b[8 * h + k];
            sum += diff < 0 ? -diff : diff;
        }
        r.q[h] = sum;
    }
    return r;
}
static inline V128 lane_pshufb(V128 a, V128 b)
{
    V128 r;
    for (unsigned k = 0; k < 16; k++) {
        uint8_t sel = b.b[I8(k)];
        r.b[I8(k)] = sel & 0x80 ? 0 : a.b[I8(sel & 15)];
    }
    return r;
}
/* (a:b) >> 8 * count, as PALIGNR: a is the destination (high half), b the source */
static inline V128 lane_palignr(V128 a, V128 b, unsigned count)
{
    V128 r;
    for (unsigned k = 0; k < 16; k++) {
        unsigned at = k + count;
        r.b[I8(k)] = at < 16 ? b.b[I8(at)] : at < 32 ? a.b[I8(at - 16)] : 0;
    }
    return r;
}
static inline V128 lane_pshufd(V128 b, unsigned imm)
{
    V128 r;
    for (unsigned k = 0; k < 4; k++) {
        r.d[I32(k)] = b.d[I32((imm >> 2 * k) & 3)];
    }
    return r;
}
/* base 0: PSHUFLW (and MMX PSHUFW), base 4: PSHUFHW */
static inline V128 lane_pshufw(V128 b, unsigned imm, unsigned base)
{
    V128 r = b;
    for (unsigned k = 0; k < 4; k++) {
        r.w[I16(base + k)] = b.w[I16(base + ((imm >> 2 * k) & 3))];
    }
    return r;
}
static inline V128 lane_shufps(V128 a, V128 b, unsigned imm)
{
    V128 r;
    r.d[I32(0)] = a.d[I32(imm & 3)];
    r.d[I32(1)] = a.d[I32((imm >> 2) & 3)];
    r.d[I32(2)] = b.d[I32((imm >> 4) & 3)];
    r.d[I32(3)] = b.d[I32((imm >> 6) & 3)];
    return r;
}
static inline V128 lane_shufpd(V128 a, V128 b, unsigned imm)
{
    V128 r;
    r.q[I64(0)] = a.q[I64(imm & 1)];
    r.q[I64(1)] = b.q[I64((imm >> 1) & 1)];
    return r;
}
/* Per element: from b where the mask bit of imm is set */
static inline V128 lane_blendw(V128 a, V128 b, unsigned imm)
{
    V128 r;
    for (unsigned k = 0; k < 8; k++) {
        r.w[I16(k)] = ((imm >> k) & 1) ? b.w[I16(k)] : a.w[I16(k)];
    }
    return r;
}
static inline V128 lane_blendd(V128 a, V128 b, unsigned imm)
{
    V128 r;
    for (unsigned k = 0; k < 4; k++) {
        r.d[I32(k)] = ((imm >> k) & 1) ? b.d[I32(k)] : a.d[I32(k)];
    }
    return r;
}
static inline V128 lane_blendq(V128 a, V128 b, unsigned imm)
{
    V128 r;
    for (unsigned k = 0; k < 2; k++) {
        r.q[I64(k)] = ((imm >> k) & 1) ? b.q[I64(k)] : a.q[I64(k)];
    }
    return r;
}
/* Per element: from b where the sign bit of the mask element is set */
static inline V128 lane_blendvb(V128 a, V128 b, V128 m)
{
    V128 r;
    for (unsigned k = 0; k < 16; k++) {
        r.b[k] = m.sb[k] < 0 ? b.b[k] : a.b[k];
    }
    return r;
}
static inline V128 lane_blendvd(V128 a, V128 b, V128 m)
{
    V128 r;
    for (unsigned k = 0; k < 4; k++) {
        r.d[k] = m.sd[k] < 0 ? b.d[k] : a.d[k];
    }
    return r;
}
static inline V128 lane_blendvq(V128 a, V128 b, V128 m)
{
    V128 r;
    for (unsigned k = 0; k < 2; k++) {
        r.q[k] = m.sq[k] < 0 ? b.q[k] : a.q[k];
    }
    return r;
}
static inline V128 lane_phminposuw(V128 b)
{
    V128 r = { { 0 } };
    unsigned best = 0;
    for (unsigned k = 1; k < 8; k++) {
        if (b.w[I16(k)] < b.w[I16(best)]) {
            best = k;
        }
    }
    r.w[I16(0)] = b.w[I16(best)];
    r.w[I16(1)] = best;
    return r;
}
/* Eight sums of four absolute differences; imm of this lane: bits 0-1 block of b, bit 2 of a */
static inline V128 lane_mpsadbw(V128 a, V128 b, unsigned imm)
{
    V128 r;
    unsigned ao = imm & 4, bo = (imm & 3) * 4;
    for (unsigned k = 0; k < 8; k++) {
        unsigned sum = 0;
        for (unsigned j = 0; j < 4; j++) {
            int diff = a.b[I8(ao + k + j)] - b.b[I8(bo + j)];
            sum += diff < 0 ? -diff : diff;
        }
        r.w[I16(k)] = sum;
    }
    return r;
}
/* Carry-less 64 x 64 -> 128 */
static inline V128 lane_clmul(uint64_t a, uint64_t b)
{
    V128 r = { { 0 } };
    uint64_t lo = 0, hi = 0;
    for (unsigned k = 0; k < 64; k++) {
        uint64_t take = 0 - ((b >> k) & 1);
        lo ^= (a << k) & take;
        hi ^= (k ? a >> (64 - k) : 0) & take;
    }
    r.q[I64(0)] = lo;
    r.q[I64(1)] = hi;
    return r;
}

/* Sign or zero extension of n low elements of b to wider ones */
#define LANE_EXTEND(name, D, DX, S, SX, n)                                         \
    static inline V128 lane_##name(V128 b)                                         \
    {                                                                              \
        V128 r;                                                                    \
        for (unsigned k = 0; k < (n); k++) {                                       \
            r.D[DX(k)] = b.S[SX(k)];                                               \
        }                                                                          \
        return r;                                                                  \
    }
LANE_EXTEND(pmovsxbw, sw, I16, sb, I8, 8)
LANE_EXTEND(pmovsxbd, sd, I32, sb, I8, 4)
LANE_EXTEND(pmovsxbq, sq, I64, sb, I8, 2)
LANE_EXTEND(pmovsxwd, sd, I32, sw, I16, 4)
LANE_EXTEND(pmovsxwq, sq, I64, sw, I16, 2)
LANE_EXTEND(pmovsxdq, sq, I64, sd, I32, 2)
LANE_EXTEND(pmovzxbw, w, I16, b, I8, 8)
LANE_EXTEND(pmovzxbd, d, I32, b, I8, 4)
LANE_EXTEND(pmovzxbq, q, I64, b, I8, 2)
LANE_EXTEND(pmovzxwd, d, I32, w, I16, 4)
LANE_EXTEND(pmovzxwq, q, I64, w, I16, 2)
LANE_EXTEND(pmovzxdq, q, I64, d, I32, 2)

#endif
