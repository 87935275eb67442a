/* SPDX-License-Identifier: MIT */
/*
 * Elementary functions on 128-bit significands: relative error below 2^-120 for any argument
 * in the stated range, however small.  Results that cannot be exact have their lowest bit
 * set, so that rounding sees them as inexact.  Inside of fpu/ only.
 */
#ifndef FPU_ELEMENTARY_H
#define FPU_ELEMENTARY_H

#include "fpu/parts.h"

/* Sine and cosine of r, 0 <= |r| <= pi/4.  r may be zero for the cosine only. */
Wide wide_sin(Wide r);
Wide wide_cos(Wide r);
Wide wide_div(Wide a, Wide b);          /* b not zero */
Wide wide_mul(Wide a, Wide b);

/* 2^x - 1 for 0 < |x| < 1. */
Wide wide_exp2m1(Wide x);
/* log2(x) for x > 0; zero for x = 1, exact for powers of two. */
Wide wide_log2(Wide x);
/* log2(1 + x) for 0 < |x|, 1 + x > 0. */
Wide wide_log2p1(Wide x);
/* The angle of the point (x, y) for x, y > 0, between 0 and pi/2; the quotient itself if that
 * is tiny (maybe exact). */
Wide wide_atan2(Wide y, Wide x);

extern const Wide wide_const_pi, wide_const_pi_2, wide_const_pi_4, wide_const_3pi_4;

#endif
