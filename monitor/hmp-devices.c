/* SPDX-License-Identifier: MIT */
/*
 * Human commands: devices, media, keys, pointer, screen.
 */
#include "monitor/internal.h"

#include <string.h>

#include "block/block.h"
#include "hw/core/device.h"
#include "monitor/actions.h"
#include "monitor/hmp-args.h"
#include "system/objects.h"
#include "ui/input.h"
#include "ui/vnc.h"
#include "util/opts.h"
#include "util/parse.h"

static void cmd_eject(Monitor *m, const Json *args, Error **err)
{
    BlockBackend *b = monitor_find_drive(arg_str(args, "device"), NULL, err);
    if (b) {
        blk_user_eject(b, arg_flag(args, "force"), err);
    }
}

static void cmd_block_resize(Monitor *m, const Json *args, Error **err)
{
    BlockBackend *b = monitor_find_drive(arg_str(args, "device"), NULL, err);
    uint64_t size;
    if (!b) {
        return;
    }
    if (!parse_size(arg_str(args, "size"), 1 << 20, &size)) {
        fail(err, "'%s' is not a size (MiB without a suffix)", arg_str(args, "size"));
        return;
    }
    blk_resize(b, size, err);
}

/* change DEVICE [-f] FILE [FORMAT [retain|read-only|read-write]] */
/* "change vnc password TEXT" */
static void change_vnc(const char *what, const char *password, Error **err)
{
    if (strcmp(what, "password") && strcmp(what, "passwd")) {
        fail(err, "of a VNC server only the password can be changed ('change vnc password TEXT')");
    } else if (!password) {
        fail(err, "the password is missing: 'change vnc password TEXT'");
    } else {
        vnc_set_password(NULL, password, err);
    }
}

static void cmd_change(Monitor *m, const Json *args, Error **err)
{
    const char *mode = arg_str(args, "read-only-mode"), *device = arg_str(args, "device");
    if (!strcmp(device, "vnc")) {
        change_vnc(arg_str(args, "target"), arg_str(args, "arg"), err);
        return;
    }
    BlockBackend *b = monitor_find_drive(device, NULL, err);
    int readonly = -1;
    if (!b) {
        return;
    }
    if (mode && !strcmp(mode, "read-only")) {
        readonly = 1;
    } else if (mode && !strcmp(mode, "read-write")) {
        readonly = 0;
    } else if (mode && strcmp(mode, "retain")) {
        fail(err, "read-only-mode is retain, read-only or read-write");
        return;
    }
    blk_change_medium(b, arg_str(args, "target"), arg_str(args, "arg"), readonly,
                      arg_flag(args, "force"), err);
}

static void cmd_device_add(Monitor *m, const Json *args, Error **err)
{
    const char *text = arg_str(args, "device");
    Opts *opts = opts_parse("device_add", text, "driver", NULL, err);
    if (!opts) {
        return;
    }
    const char *driver = opts_get(opts, "driver");
    GString *s = g_string_new(NULL);
    if (!strcmp(text, "help") || !strcmp(text, "?")) {
        device_help(s);
        opts_free(opts);
    } else if (driver && opts_help(opts)) {
        device_type_help(s, driver, err);
        opts_free(opts);
    } else {
        monitor_device_add(opts, err);
    }
    monitor_puts(m, s->str);
    g_string_free(s, TRUE);
}

static void cmd_device_del(Monitor *m, const Json *args, Error **err)
{
    monitor_device_del(arg_str(args, "id"), err);
}

static void cmd_object_add(Monitor *m, const Json *args, Error **err)
{
    g_autoptr(Opts) opts = opts_parse("object_add", arg_str(args, "object"), "qom-type", NULL, err);
    if (opts) {
        object_add(opts, err);
    }
}

static void cmd_object_del(Monitor *m, const Json *args, Error **err)
{
    object_del(arg_str(args, "id"), err);
}

static void cmd_chardev_remove(Monitor *m, const Json *args, Error **err)
{
    chardev_remove(arg_str(args, "id"), err);
}

static void cmd_ringbuf_write(Monitor *m, const Json *args, Error **err)
{
    const char *data = arg_str(args, "data");
    chardev_ringbuf_write(arg_str(args, "device"), (const uint8_t *)data, strlen(data), err);
}

/* What can't be printed is shown as \xNN. */
static void cmd_ringbuf_read(Monitor *m, const Json *args, Error **err)
{
    GByteArray *bytes = g_byte_array_new();
    int64_t size = CLAMP(arg_int(args, "size", 0), 0, 1 << 20);
    if (chardev_ringbuf_read(arg_str(args, "device"), bytes, size, err)) {
        for (guint i = 0; i < bytes->len; i++) {
            uint8_t c = bytes->data[i];
            if (c == '\\') {
                monitor_puts(m, "\\\\");
            } else if ((c < 0x20 && c != '\n' && c != '\t') || c >= 0x7f) {
                monitor_printf(m, "\\x%02x", c);
            } else {
                monitor_printf(m, "%c", c);
            }
        }
        monitor_puts(m, "\n");
    }
    g_byte_array_unref(bytes);
}

/* ---- keys, pointer, screen --------------------------------------------------------------------- */

static void cmd_sendkey(Monitor *m, const Json *args, Error **err)
{
    int64_t hold = arg_int(args, "hold-time", 100);
    monitor_send_key_chord(arg_str(args, "keys"), CLAMP(hold, 1, 60000), err);
}

static void cmd_mouse_move(Monitor *m, const Json *args, Error **err)
{
    int dx = CLAMP(arg_int(args, "dx", 0), -INPUT_ABS_MAX, INPUT_ABS_MAX);
    int dy = CLAMP(arg_int(args, "dy", 0), -INPUT_ABS_MAX, INPUT_ABS_MAX);
    int64_t dz = arg_int(args, "dz", 0);
    input_from(NULL);
    if (input_is_absolute()) {
        input_abs(MAX(dx, 0), MAX(dy, 0));
    } else {
        input_rel(dx, dy);
    }
    if (dz) {
        unsigned wheel = dz > 0 ? BTN_WHEEL_UP : BTN_WHEEL_DOWN;
        input_button(wheel, true);
        input_sync();
        input_button(wheel, false);
    }
    input_sync();
}

/* Bits of the state: 1 left, 2 middle, 4 right */
static void cmd_mouse_button(Monitor *m, const Json *args, Error **err)
{
    static int64_t before;
    int64_t now = arg_int(args, "button_state", 0);
    static const unsigned buttons[] = { BTN_LEFT, BTN_MIDDLE, BTN_RIGHT };
    input_from(NULL);
    for (int i = 0; i < 3; i++) {
        if ((now ^ before) & (1 << i)) {
            input_button(buttons[i], now & (1 << i));
        }
    }
    before = now;
    input_sync();
}

static void cmd_mouse_set(Monitor *m, const Json *args, Error **err)
{
    int64_t n = arg_int(args, "index", 0);
    if (n < 0 || n > G_MAXINT || !input_pointer_activate(n)) {
        fail(err, "there is no pointing device of that number ('info mice')");
    }
}

static void cmd_screendump(Monitor *m, const Json *args, Error **err)
{
    monitor_screendump(arg_str(args, "filename"), arg_str(args, "device"), arg_int(args, "head", 0),
                       arg_str(args, "format"), err);
}

const HmpCommand hmp_device_commands[] = {
    { "block_resize", "device:B,size:s", "device size", "give a disk another length (MiB, or with K, "
      "M, G, T)", cmd_block_resize },
    { "eject", "force:-f,device:B", "[-f] device", "take the medium out (-f: even if the guest locked it)",
      cmd_eject },
    { "change", "device:B,force:-f,target:F,arg:s?,read-only-mode:s?",
      "device [-f] filename [format [retain|read-only|read-write]]", "put another medium in", cmd_change },
    { "device_add", "device:T", "driver[,prop=value][,...]", "add a device",
      cmd_device_add },
    { "device_del", "id:D", "device", "remove a device, or ask the guest to let it go", cmd_device_del },
    { "object_add", "object:S", "type,id=str[,prop=value][,...]", "create an object", cmd_object_add },
    { "object_del", "id:s", "id", "destroy an object", cmd_object_del },
    { "chardev-remove", "id:s", "id", "remove a character device", cmd_chardev_remove },
    { "ringbuf_write", "device:s,data:S", "device data", "write to a ring buffer", cmd_ringbuf_write },
    { "ringbuf_read", "device:s,size:i", "device size", "read from a ring buffer", cmd_ringbuf_read },
    { "sendkey", "keys:s,hold-time:i?", "keys [hold_ms]", "press keys ('sendkey ctrl-alt-delete')",
      cmd_sendkey },
    { "mouse_move", "dx:n,dy:n,dz:n?", "dx dy [dz]", "move the pointer, or turn its wheel",
      cmd_mouse_move },
    { "mouse_button", "button_state:i", "state", "press or release buttons (1 left, 2 middle, 4 right)",
      cmd_mouse_button },
    { "mouse_set", "index:i", "index", "the pointing device that gets the events", cmd_mouse_set },
    { "screendump", "filename:F,format:-fs,device:s?,head:i?",
      "filename [-f ppm|png] [device [head]]", "write the screen to a file", cmd_screendump },
    { NULL }
};
