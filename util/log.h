/* SPDX-License-Identifier: MIT */
/*
 * The log of `-d items[,...] [-D file]`: what the guest did wrong, what the CPU does.  Costs
 * one load and branch when off.  Any thread; lines are written whole.
 */
#ifndef UTIL_LOG_H
#define UTIL_LOG_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include "util/error.h"

enum {
    LOG_IN_ASM      = 1 << 0,   /* guest instructions of each block made */
    LOG_OP          = 1 << 1,   /* decoded form */
    LOG_OUT_ASM     = 1 << 2,   /* host code */
    LOG_INT         = 1 << 3,   /* interrupts and exceptions */
    LOG_EXEC        = 1 << 4,   /* each block entered */
    LOG_CPU         = 1 << 5,   /* registers before each block */
    LOG_CPU_RESET   = 1 << 6,
    LOG_GUEST_ERROR = 1 << 7,   /* the guest programmed a device wrongly */
    LOG_UNIMP       = 1 << 8,   /* the guest used what we don't have */
    LOG_PCALL       = 1 << 9,   /* far calls, task switches */
    LOG_MMU         = 1 << 10,
    LOG_PAGE        = 1 << 11,
    LOG_FPU         = 1 << 12,
    LOG_NOCHAIN     = 1 << 13,
    LOG_MMIO        = 1 << 14,  /* device accesses */

    LOG_UNCHAINED   = LOG_EXEC | LOG_CPU | LOG_NOCHAIN,     /* blocks are not chained */
};
extern uint32_t log_mask;

static inline bool log_on(uint32_t mask)
{
    return __builtin_expect((log_mask & mask) != 0, 0);
}
/* Called by log_set_items after it changed log_mask, with what it was; NULL: nobody listens. */
extern void (*log_changed)(uint32_t before);
/* Writes its text as it is: the caller ends the line. */
void log_write(const char *fmt, ...) G_GNUC_PRINTF(1, 2);
#define LOG(mask, ...) do { if (log_on(mask)) { log_write(__VA_ARGS__); } } while (0)
#define LOG_GUEST_LINE_(fmt, ...) log_write("guest error: " fmt "\n", ##__VA_ARGS__)
/* LOG_GUEST("ide: sector count %u", n): "guest error: ..." with a newline added */
#define LOG_GUEST(...) do { if (log_on(LOG_GUEST_ERROR)) { LOG_GUEST_LINE_(__VA_ARGS__); } } while (0)

/* "in_asm,int"; "help" is the caller's business: log_help lists the items. */
bool log_set_items(const char *items, Error **err);
bool log_set_file(const char *path, Error **err);     /* "%d" is the pid */
void log_help(GString *out);

#endif
