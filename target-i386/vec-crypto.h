/* SPDX-License-Identifier: MIT */
/*
 * AES, SHA and string-compare steps on 128-bit lanes, for the SIMD instruction handlers.
 * Pure functions, any thread.
 */
#ifndef TARGET_I386_VEC_CRYPTO_H
#define TARGET_I386_VEC_CRYPTO_H

#include "target-i386/vec-lanes.h"

/* AESENC etc.: state, round key (FIPS 197; SDM volume 1, 12.13). */
V128 lane_aesenc(V128 state, V128 key);
V128 lane_aesenclast(V128 state, V128 key);
V128 lane_aesdec(V128 state, V128 key);
V128 lane_aesdeclast(V128 state, V128 key);
V128 lane_aesimc(V128 state);
V128 lane_aeskeygenassist(V128 src, uint8_t rcon);

/* SHA extensions (FIPS 180-4; SDM volume 2). */
V128 lane_sha1rnds4(V128 a, V128 b, unsigned func);
V128 lane_sha1nexte(V128 a, V128 b);
V128 lane_sha1msg1(V128 a, V128 b);
V128 lane_sha1msg2(V128 a, V128 b);
V128 lane_sha256rnds2(V128 a, V128 b, V128 wk);
V128 lane_sha256msg1(V128 a, V128 b);
V128 lane_sha256msg2(V128 a, V128 b);

/*
 * PCMPxSTRx (SDM volume 2, 4.1).  la, lb: valid elements of each operand (explicit lengths
 * already saturated); lane_str_length finds the implicit one.  Returns IntRes2 in the low
 * 8 or 16 bits.
 */
unsigned lane_str_length(V128 v, unsigned imm);
unsigned lane_str_compare(V128 a, V128 b, unsigned la, unsigned lb, unsigned imm);

#endif
