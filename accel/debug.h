/* SPDX-License-Identifier: MIT */
/*
 * Breakpoints and watchpoints of a debugger outside of the guest, and what it wants of single
 * vCPUs.  The debugger (monitor/gdb.c) changes the list while all vCPUs stand; accelerators
 * look at it and leave run() with EXIT_DEBUG.
 *
 * All [bql, vCPUs stopped] unless said otherwise.
 */
#ifndef ACCEL_DEBUG_H
#define ACCEL_DEBUG_H

#include "accel/accel.h"

/* Numbered as gdb's Z packets.  Soft: the accelerator may store an instruction into the
 * guest's code.  For an accelerator without such limits the two are one. */
typedef enum { BP_SOFT, BP_HARD, BP_WRITE, BP_READ, BP_ACCESS } BpType;

typedef struct Breakpoint {
    BpType type;
    uint64_t addr;                      /* linear */
    unsigned len;                       /* of data; code: not looked at */
    uint8_t original;                   /* of the accelerator, see there */
} Breakpoint;

/* How many there are; 0: engines need not look.  Read by vCPU threads. */
extern unsigned debug_points;
Breakpoint *debug_point(unsigned n);

/* One that equals another in all fields is counted once. */
bool debug_insert(BpType type, uint64_t addr, unsigned len, Error **err);
/* false: there is none. */
bool debug_remove(BpType type, uint64_t addr, unsigned len);
void debug_remove_all(void);

/* Is the instruction at pc one to stop before?  [any vCPU] */
bool debug_code_at(uint64_t pc);
/* ... or one whose address in its page is the same?  Memory may be mapped at several places,
 * and what is made from it is found by where it really is. */
bool debug_code_like(uint64_t pc);
/* Does the access hit a watchpoint?  Then it is noted in c, and c shall stop after the
 * instruction. [own thread] */
bool debug_data_hit(CPU *c, uint64_t va, unsigned len, bool write);
bool debug_page_watched(uint64_t page);

#endif
