/* SPDX-License-Identifier: MIT */
/*
 * Compare and exchange of 16 bytes, where the host has an instruction for it that needs no
 * run-time library.  Elsewhere HOST_HAS_CMPXCHG16 is 0 and the caller stops the other vCPUs.
 */
#ifndef ACCEL_TCG_HOST_ATOMIC16_H
#define ACCEL_TCG_HOST_ATOMIC16_H

#include <stdbool.h>
#include <stdint.h>

#if defined(__x86_64__)
#define HOST_HAS_CMPXCHG16 1
/* p: 16-byte aligned.  Compares with hi:lo; equal: stores new_hi:new_lo, else loads into hi:lo. */
static inline bool host_cmpxchg16(void *p, uint64_t *lo, uint64_t *hi, uint64_t new_lo, uint64_t new_hi)
{
    bool equal;
    __asm__ volatile("lock cmpxchg16b %1"
                     : "=@ccz"(equal), "+m"(*(volatile unsigned __int128 *)p), "+a"(*lo), "+d"(*hi)
                     : "b"(new_lo), "c"(new_hi)
                     : "memory");
    return equal;
}
#else
#define HOST_HAS_CMPXCHG16 0
static inline bool host_cmpxchg16(void *p, uint64_t *lo, uint64_t *hi, uint64_t new_lo, uint64_t new_hi)
{
    return false;
}
#endif

#endif
