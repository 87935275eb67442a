/* SPDX-License-Identifier: MIT */
/*
 * The monitor's `info block` and `info blockstats`, in QEMU's layout.
 */
#include "block/backend.h"

#include <inttypes.h>

static const char *cache_mode(const BlockBackend *b)
{
    const BlockFlags *f = &blk_root(b)->flags;
    bool wce = blk_write_cache(b);
    return f->no_flush ? "writeback, ignore flushes"
           : f->direct ? (wce ? "writeback, direct" : "writethrough, direct")
           : wce ? "writeback" : "writethrough";
}

typedef struct InfoWalk {
    GString *out;
    bool verbose;
} InfoWalk;

static void print_backend(BlockBackend *b, void *opaque)
{
    InfoWalk *w = opaque;
    BlockNode *n = blk_root(b);
    g_string_append(w->out, w->out->len ? "\n" : "");
    g_string_append(w->out, blk_name(b));
    if (n) {
        g_string_append_printf(w->out, "%s%s%s: %s (%s%s)\n", *blk_name(b) ? " (" : "", n->name,
                               *blk_name(b) ? ")" : "", blk_file_name(b), n->driver->name,
                               blk_readonly(b) ? ", read-only" : "");
    } else {
        g_string_append(w->out, ": [not inserted]\n");
    }
    if (*blk_attached_to(b)) {
        g_string_append_printf(w->out, "    Attached to:      %s\n", blk_attached_to(b));
    }
    if (*blk_attached_to(b) && blk_removable(b)) {
        g_string_append_printf(w->out, "    Removable device: %slocked, tray %s\n",
                               blk_medium_locked(b) ? "" : "not ",
                               blk_tray_open(b) ? "open" : "closed");
    }
    if (g_strcmp0(blk_io_status(b), "ok")) {
        g_string_append_printf(w->out, "    I/O status:       %s\n", blk_io_status(b));
    }
    if (n) {
        g_string_append_printf(w->out, "    Cache mode:       %s\n", cache_mode(b));
    }
    if (n && w->verbose) {
        g_string_append_printf(w->out, "\nImages:\nimage: %s\nfile format: %s\nvirtual size: %" PRIu64
                               " bytes\n", blk_file_name(b), n->driver->name, blk_length(b));
    }
}

void blk_info(GString *out, bool verbose)
{
    InfoWalk w = { out, verbose };
    blk_foreach(print_backend, &w);
}

static void print_stats(BlockBackend *b, void *opaque)
{
    const BlkStats *s = blk_stats(b);
    if (!*blk_name(b) && !blk_root(b)) {
        return;
    }
    g_string_append_printf(opaque, "%s: rd_bytes=%" PRIu64 " wr_bytes=%" PRIu64 " rd_operations=%"
                           PRIu64 " wr_operations=%" PRIu64 " flush_operations=%" PRIu64
                           " wr_total_time_ns=%" PRIu64 " rd_total_time_ns=%" PRIu64
                           " flush_total_time_ns=%" PRIu64 "\n",
                           *blk_name(b) ? blk_name(b) : blk_root(b)->name, s->rd_bytes, s->wr_bytes,
                           s->rd_ops, s->wr_ops, s->flush_ops, s->wr_ns, s->rd_ns, s->flush_ns);
}

void blk_info_stats(GString *out)
{
    blk_foreach(print_stats, out);
}
