/* SPDX-License-Identifier: MIT */
/*
 * The list of a debugger's breakpoints and watchpoints.
 */
#include "accel/debug.h"

unsigned debug_points;

static GArray *points;                  /* of Breakpoint */

Breakpoint *debug_point(unsigned n)
{
    return &g_array_index(points, Breakpoint, n);
}

static int find(BpType type, uint64_t addr, unsigned len)
{
    for (unsigned n = 0; n < debug_points; n++) {
        const Breakpoint *b = debug_point(n);
        if (b->type == type && b->addr == addr && b->len == len) {
            return n;
        }
    }
    return -1;
}

/* All vCPUs' accelerators, or none. */
static bool tell(BpOp op, const Breakpoint *b)
{
    for (guint n = 0; n < cpus->len; n++) {
        CPU *c = cpu_by_index(n);
        if (!c->accel->breakpoint || !c->accel->breakpoint(c, op, b->addr, b->len, b->type)) {
            return false;
        }
    }
    return true;
}

static void drop(unsigned n)
{
    Breakpoint b = *debug_point(n);

    tell(BP_REMOVE, &b);
    g_array_remove_index(points, n);
    debug_points = points->len;
}

bool debug_insert(BpType type, uint64_t addr, unsigned len, Error **err)
{
    Breakpoint b = { .type = type, .addr = addr, .len = len };

    if (find(type, addr, len) >= 0) {
        return true;
    }
    if (type >= BP_WRITE && (!len || len > 4096 || addr + len < addr)) {
        return fail(err, "a watchpoint has 1 to 4096 bytes");
    }
    if (!points) {
        points = g_array_new(FALSE, FALSE, sizeof(Breakpoint));
    }
    g_array_append_val(points, b);
    debug_points = points->len;
    if (!tell(BP_INSERT, &b)) {
        drop(points->len - 1);
        return fail(err, "the accelerator has no (further) breakpoint of this kind there");
    }
    return true;
}

bool debug_remove(BpType type, uint64_t addr, unsigned len)
{
    int n = find(type, addr, len);

    if (n >= 0) {
        drop(n);
    }
    return n >= 0;
}

void debug_remove_all(void)
{
    while (debug_points) {
        drop(debug_points - 1);
    }
}

static bool is_code(const Breakpoint *b)
{
    return b->type == BP_SOFT || b->type == BP_HARD;
}

bool debug_code_at(uint64_t pc)
{
    for (unsigned n = 0; n < debug_points; n++) {
        if (is_code(debug_point(n)) && debug_point(n)->addr == pc) {
            return true;
        }
    }
    return false;
}

bool debug_code_like(uint64_t pc)
{
    for (unsigned n = 0; n < debug_points; n++) {
        if (is_code(debug_point(n)) && !((debug_point(n)->addr ^ pc) & (GUEST_PAGE_SIZE - 1))) {
            return true;
        }
    }
    return false;
}

bool debug_data_hit(CPU *c, uint64_t va, unsigned len, bool write)
{
    for (unsigned n = 0; n < debug_points; n++) {
        const Breakpoint *b = debug_point(n);
        bool kind = b->type == BP_ACCESS || b->type == (write ? BP_WRITE : BP_READ);
        if (!is_code(b) && kind && va < b->addr + b->len && b->addr < va + len) {
            c->debug_hit = b->type;
            c->debug_hit_addr = MAX(va, b->addr);
            return true;
        }
    }
    return false;
}

bool debug_page_watched(uint64_t page)
{
    for (unsigned n = 0; n < debug_points; n++) {
        const Breakpoint *b = debug_point(n);
        if (!is_code(b) && page < b->addr + b->len && b->addr < page + GUEST_PAGE_SIZE) {
            return true;
        }
    }
    return false;
}
