/* SPDX-License-Identifier: MIT */
/*
 * Bits and bytes: bit fields, and loads/stores of a given byte order at any alignment.
 */
#ifndef UTIL_BITS_H
#define UTIL_BITS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

static inline uint64_t extract64(uint64_t v, unsigned pos, unsigned len)
{
    return (v >> pos) & (~0ull >> (64 - len));
}
static inline uint32_t extract32(uint32_t v, unsigned pos, unsigned len)
{
    return (v >> pos) & (~0u >> (32 - len));
}
static inline uint32_t deposit32(uint32_t v, unsigned pos, unsigned len, uint32_t field)
{
    uint32_t mask = (~0u >> (32 - len)) << pos;
    return (v & ~mask) | ((field << pos) & mask);
}
static inline uint64_t deposit64(uint64_t v, unsigned pos, unsigned len, uint64_t field)
{
    uint64_t mask = (~0ull >> (64 - len)) << pos;
    return (v & ~mask) | ((field << pos) & mask);
}
static inline bool is_pow2(uint64_t v)
{
    return v && !(v & (v - 1));
}

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define LE_(n, v) (v)
#define BE_(n, v) __builtin_bswap##n(v)
#else
#define LE_(n, v) LE_SWAP##n##_(v)
#define LE_SWAP8_(v) (v)
#define LE_SWAP16_(v) __builtin_bswap16(v)
#define LE_SWAP32_(v) __builtin_bswap32(v)
#define LE_SWAP64_(v) __builtin_bswap64(v)
#define BE_(n, v) (v)
#endif
#define LDST_(n)                                                                   \
    static inline uint##n##_t ld##n##_le(const void *p)                            \
    { uint##n##_t v; memcpy(&v, p, sizeof(v)); return LE_(n, v); }                 \
    static inline uint##n##_t ld##n##_be(const void *p)                            \
    { uint##n##_t v; memcpy(&v, p, sizeof(v)); return BE_(n, v); }                 \
    static inline void st##n##_le(void *p, uint##n##_t v)                          \
    { v = LE_(n, v); memcpy(p, &v, sizeof(v)); }                                   \
    static inline void st##n##_be(void *p, uint##n##_t v)                          \
    { v = BE_(n, v); memcpy(p, &v, sizeof(v)); }
LDST_(16)
LDST_(32)
LDST_(64)
#undef LDST_

#endif
