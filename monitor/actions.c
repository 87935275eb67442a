/* SPDX-License-Identifier: MIT */
/*
 * What both kinds of monitor can do to the machine.
 */
#include "monitor/actions.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "block/block.h"
#include "hw/core/device.h"
#include "monitor/qom.h"
#include "system/runstate.h"
#include "target-i386/cpu.h"
#include "ui/console.h"
#include "ui/input.h"
#include "util/event.h"
#include "util/opts.h"

bool monitor_wakeup(Error **err)
{
    if (runstate_get() != RUN_STATE_SUSPENDED) {
        return fail(err, "Unable to wake up: guest is not in suspended state");
    }
    runstate_request_wakeup();
    return true;
}

bool monitor_inject_nmi(Error **err)
{
    return machine_inject_nmi() || fail(err, "machine does not provide NMIs");
}

/* ---- memory ------------------------------------------------------------------------------ */

typedef struct ReadJob {
    uint64_t addr;
    uint8_t *buf;
    size_t len;
    bool ok;
} ReadJob;

/* On the vCPU's thread: its paging state stands still. */
static void read_virtual(CPU *c, void *opaque)
{
    ReadJob *j = opaque;
    j->ok = true;
    while (j->len) {
        hwaddr pa;
        size_t n = MIN(j->len, GUEST_PAGE_SIZE - (j->addr & ~GUEST_PAGE_MASK));
        if (!c->ops->translate(c, j->addr, &pa)) {
            j->ok = false;
            return;
        }
        address_space_read(c->as, pa, j->buf, n);
        j->addr += n;
        j->buf += n;
        j->len -= n;
    }
}

bool monitor_read_virtual(CPU *c, uint64_t addr, void *buf, size_t len)
{
    ReadJob j = { addr, buf, len, false };
    cpu_run_on(c, read_virtual, &j);
    return j.ok;
}

static bool copy_memory(FILE *f, CPU *c, uint64_t addr, uint64_t len, Error **err)
{
    static uint8_t buf[64 * 1024];
    while (len) {
        size_t n = MIN(len, sizeof(buf));
        if (!c) {
            address_space_read(&address_space_memory, addr, buf, n);
        } else if (!monitor_read_virtual(c, addr, buf, n)) {
            return fail(err, "Invalid addr 0x%016" G_GINT64_MODIFIER "x/size %" G_GUINT64_FORMAT
                        " specified", addr, len);
        }
        if (fwrite(buf, 1, n, f) != n) {
            return fail_errno(err, errno, "An IO error has occurred");
        }
        addr += n;
        len -= n;
    }
    return true;
}

bool monitor_save_memory(CPU *c, uint64_t addr, uint64_t len, const char *path, Error **err)
{
    FILE *f = fopen(path, "wb");
    if (!f) {
        return fail_errno(err, errno, "Could not open '%s'", path);
    }
    bool ok = copy_memory(f, c, addr, len, err);
    if (fclose(f) && ok) {
        ok = fail_errno(err, errno, "Could not write '%s'", path);
    }
    return ok;
}

/* ---- screen and keyboard ------------------------------------------------------------------- */

bool monitor_screendump(const char *path, const char *device, unsigned head, const char *format,
                        Error **err)
{
    Console *c = device ? console_find(device, head) : console_by_index(head);
    if (!c && device && !device_find(device)) {
        return fail_class(err, ERR_DEVICE_NOT_FOUND, "Device '%s' not found", device);
    }
    if (!c && device) {
        return fail(err, "Device '%s' has no screen %u", device, head);
    }
    if (!c) {
        return fail(err, "There is no console to take a screendump from");
    }
    return console_screendump(c, path, format, err);
}

bool monitor_send_key_chord(const char *chord, unsigned hold_ms, Error **err)
{
    char **keys = g_strsplit(chord, "-", -1);
    unsigned n = g_strv_length(keys);
    /* "ctrl--" is Ctrl and the minus key */
    if (n >= 2 && !*keys[n - 1] && !*keys[n - 2]) {
        g_free(keys[--n]);
        keys[n] = NULL;
        g_free(keys[n - 1]);
        keys[n - 1] = g_strdup("minus");
    }
    bool ok = input_send_keys((const char *const *)keys, n, hold_ms, err);
    g_strfreev(keys);
    return ok;
}

/* ---- devices ------------------------------------------------------------------------------- */

static bool running(void)
{
    return runstate_get() != RUN_STATE_PRELAUNCH;
}

bool monitor_device_add(Opts *opts, Error **err)
{
    device_set_hotplug(running());
    bool ok = device_add(opts, err);
    device_set_hotplug(false);
    return ok;
}

bool monitor_device_del(const char *id, Error **err)
{
    Device *dev = device_find(id);
    if (!dev) {
        return fail_class(err, ERR_DEVICE_NOT_FOUND, "Device '%s' not found", id);
    }
    if (!dev->user_created) {
        return fail(err, "Device '%s' is part of the board", id);
    }
    if (running()) {
        return device_request_unplug(dev, err);
    }
    device_unplug(dev);
    return true;
}

/* ---- drives ---------------------------------------------------------------------------------- */

typedef struct Search {
    const BlockBackend *blk;
    const char *device_id;      /* of the device that holds blk */
    const char *id;
    BlockBackend *found;        /* drive of the device called id */
} Search;

static void look_at_device(Device *dev, void *opaque)
{
    Search *s = opaque;
    for (const Prop *p = dev->type->props; p && p->name; p++) {
        if (p->kind == PROP_KIND_DRIVE) {
            BlockBackend *b = *(BlockBackend **)((char *)dev + p->offset);
            if (b && b == s->blk && dev->id) {
                s->device_id = dev->id;
            }
            if (b && s->id && !g_strcmp0(dev->id, s->id)) {
                s->found = b;
            }
        }
    }
}

const char *monitor_drive_device(const BlockBackend *b)
{
    Search s = { .blk = b };
    device_foreach(look_at_device, &s);
    return s.device_id;
}

BlockBackend *monitor_find_drive(const char *device, const char *id, Error **err)
{
    if (!device == !id) {
        fail(err, "Need exactly one of 'device' and 'id'");
        return NULL;
    }
    Search s = { .id = id };
    if (id) {
        device_foreach(look_at_device, &s);
    } else {
        s.found = blk_find(device);
    }
    if (!s.found) {
        fail_class(err, ERR_DEVICE_NOT_FOUND, "Device '%s' not found", device ? device : id);
    }
    return s.found;
}
