/* SPDX-License-Identifier: MIT */
/*
 * The monitor's `info mtree`: the trees, and with -f the flat views, in the layout people
 * know from QEMU.
 */
#include "memory/flatview.h"

#include <inttypes.h>

static const char *kind_name(const Region *r)
{
    for (int i = 0; r->kind == REGION_ALIAS && r->target && i < 8; i++) {
        r = r->target;
    }
    switch (r->kind) {
    case REGION_RAM:   return r->readonly ? "rom" : "ram";
    case REGION_ROM:   return "rom";
    case REGION_FLASH: return r->direct ? "romd" : "i/o";
    default:           return "i/o";
    }
}

/* Last byte, as a number that may lie outside 64 bits while an alias hangs over the edge. */
static hwaddr last_byte(hwaddr start, unsigned __int128 size)
{
    return size ? (hwaddr)(start + (size - 1)) : start;
}

static void want_tree(GPtrArray *more, Region *r)
{
    while (r->parent) {
        r = r->parent;
    }
    if (!g_ptr_array_find(more, r, NULL)) {
        g_ptr_array_add(more, r);
    }
}

static void print_region(GString *out, Region *r, unsigned level, hwaddr base, GPtrArray *more)
{
    hwaddr at = base + r->addr;
    g_string_append_printf(out, "%*s%016" PRIx64 "-%016" PRIx64 " (prio %d, %s): ", level * 2, "",
                           at, last_byte(at, r->size), r->priority, kind_name(r));
    if (r->kind == REGION_ALIAS) {
        g_string_append_printf(out, "alias %s @%s %016" PRIx64 "-%016" PRIx64 "%s\n", r->name,
                               r->target ? r->target->name : "(gone)", r->target_off,
                               last_byte(r->target_off, r->size), r->enabled ? "" : " [disabled]");
        if (r->target) {
            want_tree(more, r->target);
        }
        return;
    }
    g_string_append_printf(out, "%s%s\n", r->name, r->enabled ? "" : " [disabled]");
}

static gint by_address(gconstpointer a, gconstpointer b)
{
    const Region *ra = *(Region *const *)a, *rb = *(Region *const *)b;
    return ra->addr != rb->addr ? (ra->addr < rb->addr ? -1 : 1) : rb->priority - ra->priority;
}

static void print_tree(GString *out, Region *r, unsigned level, hwaddr base, GPtrArray *more)
{
    print_region(out, r, level, base, more);
    if (!r->children) {
        return;
    }
    GPtrArray *sorted = g_ptr_array_copy(r->children, NULL, NULL);
    g_ptr_array_sort(sorted, by_address);
    for (guint i = 0; i < sorted->len; i++) {
        print_tree(out, g_ptr_array_index(sorted, i), level + 1, base + r->addr, more);
    }
    g_ptr_array_unref(sorted);
}

static void print_trees(GString *out)
{
    GPtrArray *more = g_ptr_array_new();    /* roots that aliases pointed at */
    for (AddressSpace *as = address_spaces; as; as = as->next) {
        g_string_append_printf(out, "address-space: %s\n", as->name);
        print_tree(out, as->root, 1, 0, more);
        g_string_append_c(out, '\n');
    }
    for (guint i = 0; i < more->len; i++) {     /* grows on the way */
        Region *r = g_ptr_array_index(more, i);
        bool shown = false;
        for (AddressSpace *as = address_spaces; as && !shown; as = as->next) {
            shown = as->root == r;
        }
        if (!shown) {
            g_string_append_printf(out, "memory-region: %s\n", r->name);
            print_tree(out, r, 1, 0, more);
            g_string_append_c(out, '\n');
        }
    }
    g_ptr_array_unref(more);
}

static void print_range(GString *out, const FlatRange *r)
{
    g_string_append_printf(out, "  %016" PRIx64 "-%016" PRIx64 " (prio %d, %s): %s", r->start,
                           r->last, r->region->priority,
                           r->direct && r->readonly ? "rom" : kind_name(r->region),
                           r->region->name);
    if (r->off) {
        g_string_append_printf(out, " @%016" PRIx64, r->off);
    }
    g_string_append_c(out, '\n');
}

static void print_views(GString *out)
{
    unsigned number = 0;
    for (AddressSpace *as = address_spaces; as; as = as->next) {
        bool before = false;
        for (AddressSpace *o = address_spaces; o != as; o = o->next) {
            before |= o->view == as->view;
        }
        if (before) {
            continue;
        }
        const FlatView *v = as->view;
        g_string_append_printf(out, "FlatView #%u\n", number++);
        for (AddressSpace *o = as; o; o = o->next) {
            if (o->view == v) {
                g_string_append_printf(out, " AS \"%s\", root: %s\n", o->name, o->root->name);
            }
        }
        g_string_append_printf(out, " Root memory region: %s\n", v->root ? v->root->name : "(none)");
        for (unsigned i = 0; i < v->n; i++) {
            print_range(out, &v->ranges[i]);
        }
        g_string_append(out, v->n ? "\n" : "  No rendered FlatView\n\n");
    }
}

void memory_info_mtree(GString *out, bool flat)
{
    if (flat) {
        print_views(out);
    } else {
        print_trees(out);
    }
}
