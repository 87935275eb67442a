/* SPDX-License-Identifier: MIT */
/*
 * Connects the hooks of the block layer, of the clock and of hot plugging to the monitor's events and to the
 * run state.
 */
#include "system/notify.h"

#include <errno.h>

#include "block/backend.h"
#include "block/block.h"
#include "block/node.h"
#include "hw/core/device.h"
#include "hw/timer/mc146818rtc.h"
#include "monitor/qom.h"
#include "system/runstate.h"
#include "util/event.h"

/* Id of the -device whose medium this is, or "" */
typedef struct Search {
    const BlockBackend *blk;
    const char *id;
} Search;

static void match_device(Device *dev, void *opaque)
{
    Search *s = opaque;
    for (const Prop *p = dev->type->props; p && p->name; p++) {
        if (p->kind == PROP_KIND_DRIVE && *(void **)((char *)dev + p->offset) == s->blk && dev->id) {
            s->id = dev->id;
        }
    }
}

static void io_error(BlockBackend *b, bool is_read, BlkAction action, int errnum)
{
    static const char *const actions[] = {
        [BLK_ACTION_REPORT] = "report", [BLK_ACTION_IGNORE] = "ignore", [BLK_ACTION_STOP] = "stop",
    };
    Json *data = json_object();
    json_set_str(data, "device", blk_name(b));
    json_set_str(data, "operation", is_read ? "read" : "write");
    json_set_str(data, "action", actions[action]);
    json_set_bool(data, "nospace", errnum == ENOSPC);
    json_set_str(data, "reason", g_strerror(errnum));
    event_emit("BLOCK_IO_ERROR", data);
}

static void tray_moved(BlockBackend *b, bool open)
{
    Search s = { b, "" };
    device_foreach(match_device, &s);
    Json *data = json_object();
    json_set_str(data, "device", blk_name(b));
    json_set_str(data, "id", s.id);
    json_set_bool(data, "tray-open", open);
    event_emit("DEVICE_TRAY_MOVED", data);
}

typedef struct Slot {
    const BlockNode *node;
    const char *name;
} Slot;

static void match_root(BlockBackend *b, void *opaque)
{
    Slot *s = opaque;
    if (blk_root(b) == s->node) {
        s->name = blk_name(b);
    }
}

static void image_corrupted(BlockNode *n, const char *what, uint64_t offset, uint64_t size)
{
    Slot s = { n, "" };
    blk_foreach(match_root, &s);
    Json *data = json_object();
    json_set_str(data, "device", s.name);
    json_set_str(data, "node-name", n->name);
    json_set_str(data, "msg", what);
    json_set_uint(data, "offset", offset);
    json_set_uint(data, "size", size);
    json_set_bool(data, "fatal", true);
    event_emit("BLOCK_IMAGE_CORRUPTED", data);
}

static void stop_vm(void)
{
    runstate_request_stop(RUN_STATE_IO_ERROR);
}

/* The guest set its clock: how far it is now from where it was started. */
static void rtc_changed(int64_t offset)
{
    Json *data = json_object();
    json_set_int(data, "offset", offset);
    event_emit("RTC_CHANGE", data);
}

static void device_unplugged(Device *dev)
{
    Json *data = json_object();
    char *path = qom_device_path(dev);

    if (dev->id) {
        json_set_str(data, "device", dev->id);
    }
    json_set_str(data, "path", path);
    g_free(path);
    event_emit("DEVICE_DELETED", data);
}

void notify_init(void)
{
    blk_hooks = (BlkHooks) { .io_error = io_error, .tray_moved = tray_moved,
                             .vm_stop_io_error = stop_vm, .image_corrupted = image_corrupted };
    rtc_change_hook = rtc_changed;
    device_unplugged_hook = device_unplugged;
}
