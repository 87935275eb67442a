/* SPDX-License-Identifier: MIT */
/*
 * Removable media: trays, locks, and what the user takes out or puts in.
 */
#include "block/backend-int.h"

void blk_eject(BlockBackend *b, bool open)
{
    if (blk_hooks.tray_moved) {
        blk_hooks.tray_moved(b, open);
    }
}

void blk_lock_medium(BlockBackend *b, bool locked)
{
    b->locked = locked;
}

bool blk_medium_locked(const BlockBackend *b)
{
    return b->ops && b->ops->medium_locked ? b->ops->medium_locked(b->ops_opaque) : b->locked;
}

static void tell_device(BlockBackend *b, bool load)
{
    if (b->ops && b->ops->media_changed) {
        b->ops->media_changed(b->ops_opaque, load);
    }
}

/* May the user take the medium out?  If the guest locked it, its button is pressed instead. */
static bool may_remove(BlockBackend *b, bool force, Error **err)
{
    if (!blk_removable(b)) {
        return fail(err, "Device '%s' is not removable", b->name);
    }
    if (!blk_medium_locked(b) || blk_tray_open(b)) {
        return true;
    }
    if (b->ops->eject_request) {
        b->ops->eject_request(b->ops_opaque, force);
    }
    return force || fail(err, "Device '%s' is locked and force was not specified, wait for tray "
                         "to open and try again", b->name);
}

static void take_out(BlockBackend *b)
{
    if (!b->root) {
        return;
    }
    blk_drain(b);
    tell_device(b, false);
    blk_drain(b);
    node_unref(g_steal_pointer(&b->root));
}

bool blk_user_eject(BlockBackend *b, bool force, Error **err)
{
    if (!may_remove(b, force, err)) {
        return false;
    }
    take_out(b);
    return true;
}

bool blk_change_medium(BlockBackend *b, const char *file, const char *format, int readonly,
                       bool force, Error **err)
{
    BlockFlags flags = b->flags;
    flags.read_only = readonly < 0 ? blk_readonly(b) : readonly;
    if (!may_remove(b, force, err)) {
        return false;
    }
    /* The same file may go in again: its lock must be free.  A bad name leaves the tray empty,
     * so check first what can be checked. */
    BlockNode *old = b->root ? node_ref(b->root) : NULL;
    take_out(b);
    node_unref(old);
    BlockNode *node = node_open_file(file, format, NULL, flags, err);
    if (!node) {
        return false;
    }
    if (!node_usable_medium(node, err)) {
        node_unref(node);
        return false;
    }
    b->root = node;
    tell_device(b, true);
    return true;
}

bool blk_user_tray(BlockBackend *b, bool open, bool force, Error **err)
{
    if (!blk_removable(b)) {
        return fail(err, "Device '%s' is not removable", b->name);
    }
    if (blk_tray_open(b) == open) {
        return true;
    }
    if (open && !may_remove(b, force, err)) {
        return false;
    }
    blk_drain(b);
    b->user_opened = open && !(b->ops && b->ops->tray_open);
    tell_device(b, !open);
    blk_eject(b, open);
    return true;
}

static bool tray_is_open(const BlockBackend *b, Error **err)
{
    if (!blk_removable(b)) {
        return fail(err, "Device '%s' is not removable", b->name);
    }
    return !b->ops || !b->ops->tray_open || blk_tray_open(b)
           || fail(err, "Tray of device '%s' is not open", b->name);
}

bool blk_remove_medium(BlockBackend *b, Error **err)
{
    if (!tray_is_open(b, err)) {
        return false;
    }
    blk_drain(b);
    if (!blk_tray_open(b)) {
        tell_device(b, false);          /* a floppy drive: nothing to open */
    }
    node_unref(g_steal_pointer(&b->root));
    return true;
}

bool blk_insert_medium(BlockBackend *b, BlockNode *n, Error **err)
{
    if (!tray_is_open(b, err)) {
        return false;
    }
    if (b->root) {
        return fail(err, "There already is a medium in device '%s'", b->name);
    }
    if (!node_usable_medium(n, err)) {
        return false;
    }
    b->root = node_ref(n);
    if (!blk_tray_open(b)) {
        tell_device(b, true);
    }
    return true;
}
