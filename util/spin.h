/* SPDX-License-Identifier: MIT */
/*
 * For loops that wait for another thread without sleeping.
 */
#ifndef UTIL_SPIN_H
#define UTIL_SPIN_H

/* Tells the processor that this is such a loop. */
static inline void spin_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

#endif
