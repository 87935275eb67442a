/* SPDX-License-Identifier: MIT */
/*
 * Machine protocol: character devices.
 */
#include "monitor/internal.h"

#include <string.h>

static void add_chardev(CharDev *c, void *list)
{
    Json *o = json_object();
    char *name = chardev_filename(c);
    json_set_bool(o, "frontend-open", chardev_front_open(c));
    json_set_str(o, "filename", name);
    json_set_str(o, "label", chardev_id(c));
    json_append(list, o);
    g_free(name);
}

static Json *cmd_chardev(const Json *args, Error **err)
{
    Json *list = json_array();
    chardev_foreach(add_chardev, list);
    return list;
}

static Json *cmd_chardev_remove(const Json *args, Error **err)
{
    chardev_remove(json_get(args, "id")->s, err);
    return NULL;
}

static bool wants_base64(const Json *args, bool *out, Error **err)
{
    const Json *format = json_get(args, "format");
    *out = format && !strcmp(format->s, "base64");
    return !format || *out || !strcmp(format->s, "utf8")
           || fail(err, "Parameter 'format' does not accept value '%s'", format->s);
}

static Json *cmd_ringbuf_write(const Json *args, Error **err)
{
    const char *data = json_get(args, "data")->s;
    bool base64;
    if (!wants_base64(args, &base64, err)) {
        return NULL;
    }
    gsize len = strlen(data);
    guchar *bytes = base64 ? g_base64_decode(data, &len) : NULL;
    chardev_ringbuf_write(json_get(args, "device")->s, bytes ? bytes : (const uint8_t *)data, len, err);
    g_free(bytes);
    return NULL;
}

static Json *cmd_ringbuf_read(const Json *args, Error **err)
{
    int64_t size = json_get(args, "size")->i;
    bool base64;
    if (!wants_base64(args, &base64, err)) {
        return NULL;
    }
    if (size <= 0) {
        fail(err, "Parameter 'size' expects a value greater than zero");
        return NULL;
    }
    Json *result = NULL;
    GByteArray *bytes = g_byte_array_new();
    if (chardev_ringbuf_read(json_get(args, "device")->s, bytes, size, err)) {
        if (base64) {
            char *text = g_base64_encode(bytes->data, bytes->len);
            result = json_str(text);
            g_free(text);
        } else {
            g_byte_array_append(bytes, (const guint8 *)"", 1);
            result = json_str((const char *)bytes->data);
        }
    }
    g_byte_array_unref(bytes);
    return result;
}

const QmpCommand qmp_char_commands[] = {
    { "query-chardev", NULL, cmd_chardev },
    { "chardev-remove", "id:s", cmd_chardev_remove },
    { "ringbuf-write", "device:s data:s format:s?", cmd_ringbuf_write },
    { "ringbuf-read", "device:s size:i format:s?", cmd_ringbuf_read },
    { NULL }
};
