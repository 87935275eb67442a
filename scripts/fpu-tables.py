#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes fpu/elementary-tables.h: the constants of fpu/elementary.c to 128 bits.

Integer arithmetic only, so that the output is the same everywhere:
    scripts/fpu-tables.py > fpu/elementary-tables.h
"""

GUARD = 64                      # extra bits kept while computing
ONE = 1 << (128 + GUARD)


def atan_inverse(n):
    """atan(1/n), scaled by ONE."""
    total, power, k, sign = 0, ONE // n, 1, 1
    while power:
        total += sign * (power // k)
        power //= n * n
        k += 2
        sign = -sign
    return total


def atan_ratio(num, den):
    """atan(num/den) for 0 < num/den <= 1, scaled by ONE (Euler's series)."""
    term = ONE * num * den // (num * num + den * den)
    total, k = 0, 1
    while term:
        total += term
        term = term * 2 * k * num * num // ((2 * k + 1) * (num * num + den * den))
        k += 1
    return total


def atanh_inverse(n):
    total, power, k = 0, ONE // n, 1
    while power:
        total += power // k
        power //= n * n
        k += 2
    return total


def row(value, comment, last=False):
    """A fixed-point number below 1: value / 2^128."""
    v = (value + (1 << (GUARD - 1))) >> GUARD
    assert 0 <= v < 1 << 128
    print(f"    {{ 0x{v >> 64:016x}, 0x{v & (1 << 64) - 1:016x} }},{'':4}/* {comment} */")


def wide(name, value, comment):
    """A floating-point number: significand of 128 bits and exponent."""
    exp = value.bit_length() - 1 - (128 + GUARD)
    shift = value.bit_length() - 128
    v = (value + (1 << (shift - 1))) >> shift
    text = f"{{ .sig = {{ 0x{v >> 64:016x}, 0x{v & (1 << 64) - 1:016x} }}, .exp = {exp} }}"
    if name:
        linkage = "" if name.startswith("wide_") else "static "
        print(f"/* {comment} */\n{linkage}const Wide {name} = {text};")
    else:
        print(f"    {text},{'':2}/* {comment} */")


def main():
    print("""/* SPDX-License-Identifier: MIT */
/* Constants of fpu/elementary.c; written by scripts/fpu-tables.py. */
#ifndef FPU_ELEMENTARY_TABLES_H
#define FPU_ELEMENTARY_TABLES_H

#include "fpu/elementary.h"
""")
    pi = 4 * (4 * atan_inverse(5) - atan_inverse(239))
    ln2 = 18 * atanh_inverse(26) - 2 * atanh_inverse(4801) + 8 * atanh_inverse(8749)
    wide("wide_const_pi", pi, "pi")
    wide("wide_const_pi_2", pi // 2, "pi / 2")
    wide("wide_const_pi_4", pi // 4, "pi / 4")
    wide("wide_const_3pi_4", 3 * pi // 4, "3 pi / 4")
    wide("c_ln2", ln2, "ln 2")
    wide("c_2_ln2", 2 * ONE * ONE // ln2, "2 / ln 2")
    print("\n/* 1/n! as fractions of 2^128, from n = 2 */\nstatic const U128 inverse_factorial[] = {")
    f = 1
    for n in range(2, 35):
        f *= n
        row(ONE // f, f"1/{n}!")
    print("};\n\n/* 1/n for odd n from 3 */\nstatic const U128 inverse_odd[] = {")
    for n in range(3, 58, 2):
        row(ONE // n, f"1/{n}")
    print("};\n\n/* atan(n/16) */\nstatic const Wide atan_sixteenths[17] = {\n    { .exp = 0 },")
    for n in range(1, 17):
        wide(None, atan_ratio(n, 16), f"{n}/16")
    print("};\n\n#endif")


main()
