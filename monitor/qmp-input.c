/* SPDX-License-Identifier: MIT */
/*
 * Machine protocol: keys and pointer.
 */
#include "monitor/internal.h"

#include <string.h>

#include "ui/console.h"
#include "ui/input.h"

#define MAX_KEYS 64

/* {"type": "qcode", "data": "ret"} or {"type": "number", "data": 28}; 0 and err if neither. */
static unsigned key_value(const Json *key, Error **err)
{
    const Json *type = json_get(key, "type"), *data = json_get(key, "data");
    if (type && type->type == JSON_STRING && data) {
        if (!strcmp(type->s, "qcode") && data->type == JSON_STRING) {
            unsigned hid = input_hid_from_qcode(data->s);
            if (!hid) {
                fail(err, "Parameter 'data' does not accept value '%s'", data->s);
            }
            return hid;
        }
        if (!strcmp(type->s, "number") && data->type == JSON_INT) {
            int64_t n = data->i;
            unsigned hid = input_hid_from_number(n);
            if (!hid) {
                fail(err, "%" G_GINT64_FORMAT " is not the number of a key", n);
            }
            return hid;
        }
    }
    fail(err, "a key is {\"type\": \"qcode\" or \"number\", \"data\": ...}");
    return 0;
}

static Json *cmd_send_key(const Json *args, Error **err)
{
    const Json *keys = json_get(args, "keys"), *hold = json_get(args, "hold-time");
    const char *names[MAX_KEYS];
    if (json_len(keys) > MAX_KEYS) {
        fail(err, "at most %d keys at once", MAX_KEYS);
        return NULL;
    }
    for (guint i = 0; i < json_len(keys); i++) {
        unsigned hid = json_at(keys, i)->type == JSON_OBJECT ? key_value(json_at(keys, i), err) : 0;
        names[i] = hid ? input_qcode_from_hid(hid) : NULL;
        if (!names[i]) {
            if (!*err) {
                fail(err, "Invalid parameter type for 'keys', expected: object");
            }
            return NULL;
        }
    }
    input_send_keys(names, json_len(keys), hold ? MIN(hold->i, 60000) : 100, err);
    return NULL;
}

/* ---- input-send-event -------------------------------------------------------------------------------- */

static const char *const button_names[] = {
    [BTN_LEFT] = "left", [BTN_MIDDLE] = "middle", [BTN_RIGHT] = "right",
    [BTN_WHEEL_UP] = "wheel-up", [BTN_WHEEL_DOWN] = "wheel-down", [BTN_SIDE] = "side",
    [BTN_EXTRA] = "extra", [BTN_WHEEL_LEFT] = "wheel-left", [BTN_WHEEL_RIGHT] = "wheel-right",
};

static int button_number(const char *name)
{
    for (int i = 0; i < BTN_COUNT; i++) {
        if (!strcmp(button_names[i], name)) {
            return i;
        }
    }
    return -1;
}

/* Pointer axes come one by one; a report moves both. */
typedef struct Motion {
    int rel[2], abs[2];
    bool has_rel, has_abs;
} Motion;

static bool take_axis(const Json *data, int out[2], Error **err)
{
    const char *axis = NULL;
    int64_t value;
    if (!json_get_str(data, "axis", JSON_REQUIRED, &axis, err)
        || !json_get_int(data, "value", JSON_REQUIRED, &value, err)) {
        return false;
    }
    if (strcmp(axis, "x") && strcmp(axis, "y")) {
        return fail(err, "Parameter 'axis' does not accept value '%s'", axis);
    }
    out[*axis == 'y'] = CLAMP(value, -INPUT_ABS_MAX - 1, INPUT_ABS_MAX);
    return true;
}

static bool send_button(const Json *data, bool apply, Error **err)
{
    const char *name = NULL;
    bool down;
    if (!json_get_bool(data, "down", JSON_REQUIRED, &down, err)
        || !json_get_str(data, "button", JSON_REQUIRED, &name, err)) {
        return false;
    }
    int button = button_number(name);
    if (button < 0) {
        return fail(err, "Parameter 'button' does not accept value '%s'", name);
    }
    if (apply) {
        input_button(button, down);
    }
    return true;
}

static bool send_key(const Json *data, bool apply, Error **err)
{
    const Json *key = json_get(data, "key");
    bool down;
    if (!json_get_bool(data, "down", JSON_REQUIRED, &down, err)) {
        return false;
    }
    if (!key || key->type != JSON_OBJECT) {
        return fail(err, "Parameter 'key' is missing");
    }
    unsigned hid = key_value(key, err);
    if (hid && apply) {
        input_key(hid, down);
    }
    return hid;
}

/* Checked without effect first (apply false), so that a list is carried out whole or not at all. */
static bool send_event(const Json *event, Motion *m, bool apply, Error **err)
{
    const char *type = NULL;
    const Json *data = json_get(event, "data");
    if (!json_get_str(event, "type", JSON_REQUIRED, &type, err)) {
        return false;
    }
    if (!data || data->type != JSON_OBJECT) {
        return fail(err, "Parameter 'data' is missing");
    }
    if (!strcmp(type, "key")) {
        return send_key(data, apply, err);
    }
    if (!strcmp(type, "btn")) {
        return send_button(data, apply, err);
    }
    if (!strcmp(type, "rel")) {
        m->has_rel = true;
        return take_axis(data, m->rel, err);
    }
    if (!strcmp(type, "abs")) {
        m->has_abs = true;
        return take_axis(data, m->abs, err);
    }
    return fail(err, "Parameter 'type' does not accept value '%s'", type);
}

/* The screen that events are to come from. */
static bool take_source(const Json *args, Error **err)
{
    const Json *device = json_get(args, "device"), *head = json_get(args, "head");
    Console *c = NULL;

    if (device) {
        c = console_find(device->s, head ? head->i : 0);
        if (!c && console_find(device->s, 0)) {
            return fail(err, "Device '%s' has no screen %d", device->s, (int)head->i);
        } else if (!c) {
            return fail_class(err, ERR_DEVICE_NOT_FOUND, "Device '%s' not found", device->s);
        }
    }
    input_from(c);
    return true;
}

static Json *cmd_send_event(const Json *args, Error **err)
{
    const Json *events = json_get(args, "events");
    static int last_abs[2];
    if (!take_source(args, err)) {
        return NULL;
    }
    for (int apply = 0; apply < 2; apply++) {
        Motion m = { .abs = { last_abs[0], last_abs[1] } };
        for (guint i = 0; i < json_len(events); i++) {
            if (json_at(events, i)->type != JSON_OBJECT) {
                fail(err, "Invalid parameter type for 'events', expected: object");
                return NULL;
            }
            if (!send_event(json_at(events, i), &m, apply, err)) {
                return NULL;
            }
        }
        if (apply && m.has_rel) {
            input_rel(m.rel[0], m.rel[1]);
        }
        if (apply && m.has_abs) {
            memcpy(last_abs, m.abs, sizeof(last_abs));
            input_abs(m.abs[0], m.abs[1]);
        }
    }
    input_sync();
    return NULL;
}

static void add_pointer(const InputHandler *h, unsigned number, bool is_current, void *list)
{
    Json *o = json_object();
    json_set_str(o, "name", h->name);
    json_set_int(o, "index", number);
    json_set_bool(o, "current", is_current);
    json_set_bool(o, "absolute", h->mask & INPUT_POINTER_ABS);
    json_append(list, o);
}

static Json *cmd_mice(const Json *args, Error **err)
{
    Json *list = json_array();
    input_pointer_foreach(add_pointer, list);
    return list;
}

const QmpCommand qmp_input_commands[] = {
    { "send-key", "keys:a hold-time:i?", cmd_send_key },
    { "input-send-event", "device:s? head:i? events:a", cmd_send_event },
    { "query-mice", NULL, cmd_mice },
    { NULL }
};
