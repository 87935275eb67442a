/* SPDX-License-Identifier: MIT */
/*
 * The walker over state tables.  What it writes for a table:
 *
 *   uint32 version, then each field in order:
 *     UINT     size bytes an element          BOOL     one byte, 0 or 1
 *     BUFFER   the bytes                      UNUSED   as many zero bytes
 *     STRING   uint32 length, the bytes       VBUFFER  the same
 *     TIMER    pending (0 or 1), int64 expiry
 *     STRUCT   uint32 version of the sub-table, then the fields of each element
 *     VSTRUCTS the same after a uint32 with the number of elements
 *   A field with a `needed` function is preceded by one byte: 1 it follows, 0 it does not.
 *
 * All big-endian.  Loading trusts nothing: every length is checked against what is left and
 * against the field, every bool and flag must be 0 or 1.
 */
#include "migration/vmstate.h"
#include "util/bits.h"
#include "util/timer.h"

#include <inttypes.h>
#include <string.h>
#include <zlib.h>

static int table_version(const VMState *vm)
{
    return vm->version ? vm->version : 1;
}

static unsigned elements(const VMField *f)
{
    return f->count ? f->count : 1;
}

static uint64_t get_field(const void *p, size_t size)
{
    switch (size) {
    case 1: return *(const uint8_t *)p;
    case 2: return *(const uint16_t *)p;
    case 4: return *(const uint32_t *)p;
    case 8: return *(const uint64_t *)p;
    default: g_assert_not_reached();
    }
}

static void put_field(void *p, size_t size, uint64_t v)
{
    switch (size) {
    case 1: *(uint8_t *)p = v; break;
    case 2: *(uint16_t *)p = v; break;
    case 4: *(uint32_t *)p = v; break;
    case 8: *(uint64_t *)p = v; break;
    default: g_assert_not_reached();
    }
}

/* Of a VBUFFER; of VSTRUCTS the number of elements. */
static uint32_t *vbuffer_length(const VMField *f, void *opaque)
{
    return (uint32_t *)((char *)opaque + f->len_offset);
}

/* ---- saving ------------------------------------------------------------------------- */

static void put_be(GByteArray *out, uint64_t v, unsigned size)
{
    uint8_t bytes[8];
    st64_be(bytes, v);
    g_byte_array_append(out, bytes + 8 - size, size);
}

static void put_counted(GByteArray *out, const void *p, uint32_t len)
{
    put_be(out, len, 4);
    if (len) {
        g_byte_array_append(out, p, len);
    }
}

static void save_fields(const VMState *vm, void *opaque, GByteArray *out);

static void save_element(const VMField *f, void *opaque, void *p, GByteArray *out)
{
    switch (f->kind) {
    case VMF_UINT:
        put_be(out, get_field(p, f->size), f->size);
        break;
    case VMF_BOOL:
        put_be(out, *(bool *)p, 1);
        break;
    case VMF_BUFFER:
        g_byte_array_append(out, p, f->size);
        break;
    case VMF_STRUCT:
        save_fields(f->sub, p, out);
        break;
    case VMF_VSTRUCTS:
        put_be(out, *vbuffer_length(f, opaque), 4);
        for (uint32_t i = 0; i < *vbuffer_length(f, opaque); i++) {
            save_fields(f->sub, *(char **)p + i * f->size, out);
        }
        break;
    case VMF_TIMER:
        put_be(out, timer_pending(p), 1);
        put_be(out, timer_pending(p) ? ((Timer *)p)->expires : 0, 8);
        break;
    case VMF_VBUFFER:
        put_counted(out, *(uint8_t **)p, *vbuffer_length(f, opaque));
        break;
    case VMF_STRING:
        put_counted(out, p, strnlen(p, f->size));
        break;
    case VMF_UNUSED:
        g_byte_array_set_size(out, out->len + f->size);
        memset(out->data + out->len - f->size, 0, f->size);
        break;
    }
}

static void save_fields(const VMState *vm, void *opaque, GByteArray *out)
{
    if (vm->pre_save) {
        vm->pre_save(opaque);
    }
    for (const VMField *f = vm->fields; f->name; f++) {
        if (f->needed) {
            bool there = f->needed(opaque);
            put_be(out, there, 1);
            if (!there) {
                continue;
            }
        }
        if (f->kind == VMF_STRUCT || f->kind == VMF_VSTRUCTS) {
            put_be(out, table_version(f->sub), 4);
        }
        for (unsigned i = 0; i < elements(f); i++) {
            save_element(f, opaque, (char *)opaque + f->offset + i * f->size, out);
        }
    }
}

void vmstate_save(const VMState *vm, void *opaque, GByteArray *out)
{
    put_be(out, table_version(vm), 4);
    save_fields(vm, opaque, out);
}

/* ---- loading ------------------------------------------------------------------------ */

typedef struct Reader {
    const uint8_t *data;
    size_t len, pos;
    const VMState *vm;                  /* for messages */
    const VMField *field;
} Reader;

static bool bad(Reader *r, Error **err, const char *what)
{
    return fail(err, "%s%s%s: %s", r->vm->name, r->field ? "." : "", r->field ? r->field->name : "",
                what);
}

static bool need(Reader *r, size_t n, Error **err)
{
    return n <= r->len - r->pos || bad(r, err, "the data end too early");
}

static bool get_be(Reader *r, unsigned size, uint64_t *v, Error **err)
{
    if (!need(r, size, err)) {
        return false;
    }
    *v = 0;
    for (unsigned i = 0; i < size; i++) {
        *v = *v << 8 | r->data[r->pos++];
    }
    return true;
}

static bool get_flag(Reader *r, bool *v, Error **err)
{
    uint64_t byte;
    if (!get_be(r, 1, &byte, err)) {
        return false;
    }
    *v = byte;
    return byte <= 1 || bad(r, err, "a switch is neither on nor off");
}

static bool load_fields(Reader *r, const VMState *vm, void *opaque, int version, Error **err);

static bool load_timer(Reader *r, Timer *t, Error **err)
{
    bool pending;
    uint64_t expires;
    if (!get_flag(r, &pending, err) || !get_be(r, 8, &expires, err)) {
        return false;
    }
    if (expires > INT64_MAX) {
        return bad(r, err, "negative expiry time");
    }
    if (pending) {
        timer_mod(t, expires);
    } else {
        timer_del(t);
    }
    return true;
}

static bool load_vbuffer(Reader *r, const VMField *f, void *opaque, uint8_t **p, Error **err)
{
    uint64_t len;
    if (!get_be(r, 4, &len, err)) {
        return false;
    }
    if (len > f->max) {
        return bad(r, err, "longer than it can be");
    }
    if (!need(r, len, err)) {
        return false;
    }
    *p = g_realloc(*p, len);
    if (len) {
        memcpy(*p, r->data + r->pos, len);
    }
    *vbuffer_length(f, opaque) = len;
    r->pos += len;
    return true;
}

static bool load_vstructs(Reader *r, const VMField *f, void *opaque, char *elements,
                          int sub_version, Error **err)
{
    uint64_t n;
    if (!get_be(r, 4, &n, err)) {
        return false;
    }
    if (n != *vbuffer_length(f, opaque)) {
        return bad(r, err, "another number of elements");
    }
    for (uint64_t i = 0; i < n; i++) {
        if (!load_fields(r, f->sub, elements + i * f->size, sub_version, err)) {
            return false;
        }
    }
    return true;
}

static bool load_string(Reader *r, const VMField *f, char *p, Error **err)
{
    uint64_t len;
    if (!get_be(r, 4, &len, err)) {
        return false;
    }
    if (len >= f->size) {
        return bad(r, err, "longer than it can be");
    }
    if (!need(r, len, err)) {
        return false;
    }
    memset(p, 0, f->size);
    memcpy(p, r->data + r->pos, len);
    r->pos += len;
    return true;
}

static bool load_element(Reader *r, const VMField *f, void *opaque, void *p, int sub_version, Error **err)
{
    uint64_t v;
    switch (f->kind) {
    case VMF_UINT:
        if (!get_be(r, f->size, &v, err)) {
            return false;
        }
        put_field(p, f->size, v);
        return true;
    case VMF_BOOL:
        return get_flag(r, p, err);
    case VMF_BUFFER:
        if (!need(r, f->size, err)) {
            return false;
        }
        memcpy(p, r->data + r->pos, f->size);
        r->pos += f->size;
        return true;
    case VMF_STRUCT:
        return load_fields(r, f->sub, p, sub_version, err);
    case VMF_VSTRUCTS:
        return load_vstructs(r, f, opaque, *(char **)p, sub_version, err);
    case VMF_TIMER:
        return load_timer(r, p, err);
    case VMF_VBUFFER:
        return load_vbuffer(r, f, opaque, p, err);
    case VMF_STRING:
        return load_string(r, f, p, err);
    case VMF_UNUSED:
        if (!need(r, f->size, err)) {
            return false;
        }
        r->pos += f->size;
        return true;
    }
    g_assert_not_reached();
}

static bool get_version(Reader *r, const VMState *vm, int *version, Error **err)
{
    uint64_t v;
    if (!get_be(r, 4, &v, err)) {
        return false;
    }
    int oldest = vm->oldest ? vm->oldest : 1;
    if (v < (uint64_t)oldest || v > (uint64_t)table_version(vm)) {
        return fail(err, "%s: version %" PRIu64 " can't be read, only %d to %d", vm->name, v, oldest,
                    table_version(vm));
    }
    *version = v;
    return true;
}

static bool load_field(Reader *r, const VMField *f, void *opaque, Error **err)
{
    bool there = true;
    int sub_version = 0;
    if (f->needed && !get_flag(r, &there, err)) {
        return false;
    }
    if (!there) {
        return true;
    }
    if ((f->kind == VMF_STRUCT || f->kind == VMF_VSTRUCTS) && !get_version(r, f->sub, &sub_version, err)) {
        return false;
    }
    for (unsigned i = 0; i < elements(f); i++) {
        if (!load_element(r, f, opaque, (char *)opaque + f->offset + i * f->size, sub_version, err)) {
            return false;
        }
    }
    return true;
}

static bool load_fields(Reader *r, const VMState *vm, void *opaque, int version, Error **err)
{
    Reader outer = *r;
    r->vm = vm;
    r->field = NULL;
    if (vm->pre_load) {
        vm->pre_load(opaque);
    }
    for (const VMField *f = vm->fields; f->name; f++) {
        r->field = f;
        if (f->since <= version && !load_field(r, f, opaque, err)) {
            return false;
        }
    }
    r->field = NULL;
    if (vm->post_load && !vm->post_load(opaque, version, err)) {
        if (err) {
            g_prefix_error(err, "%s: ", vm->name);
        }
        return false;
    }
    r->vm = outer.vm;
    r->field = outer.field;
    return true;
}

bool vmstate_load(const VMState *vm, void *opaque, const uint8_t *data, size_t len, size_t *pos,
                  Error **err)
{
    Reader r = { .data = data, .len = len, .pos = *pos, .vm = vm };
    int version;
    if (*pos > len) {
        return bad(&r, err, "the data end too early");
    }
    if (!get_version(&r, vm, &version, err) || !load_fields(&r, vm, opaque, version, err)) {
        return false;
    }
    *pos = r.pos;
    return true;
}

/* ---- dump --------------------------------------------------------------------------- */

static void dump_bytes(const uint8_t *p, size_t len, GString *out)
{
    for (size_t i = 0; i < MIN(len, 32); i++) {
        g_string_append_printf(out, "%s%02x", i ? " " : "", p[i]);
    }
    if (len > 32) {
        g_string_append_printf(out, " ... (%zu bytes, crc %08lx)", len, crc32(0, p, len));
    }
}

static void dump_value(const VMField *f, void *opaque, void *p, GString *out)
{
    switch (f->kind) {
    case VMF_UINT:
        g_string_append_printf(out, "0x%0*" PRIx64, (int)f->size * 2, get_field(p, f->size));
        break;
    case VMF_BOOL:
        g_string_append(out, *(bool *)p ? "on" : "off");
        break;
    case VMF_BUFFER:
        dump_bytes(p, f->size, out);
        break;
    case VMF_TIMER:
        if (timer_pending(p)) {
            g_string_append_printf(out, "%" PRId64 " ns", ((Timer *)p)->expires);
        } else {
            g_string_append(out, "idle");
        }
        break;
    case VMF_VBUFFER:
        dump_bytes(*(uint8_t **)p, *vbuffer_length(f, opaque), out);
        break;
    case VMF_STRING:
        g_string_append_printf(out, "\"%.*s\"", (int)f->size, (char *)p);
        break;
    default:
        break;
    }
}

static void dump_field(const VMField *f, void *opaque, GString *out, int indent)
{
    char *base = (char *)opaque + f->offset;
    if (f->kind == VMF_STRUCT || f->kind == VMF_VSTRUCTS) {
        bool array = f->kind == VMF_VSTRUCTS;
        unsigned n = array ? *vbuffer_length(f, opaque) : elements(f);
        base = array ? *(char **)base : base;
        for (unsigned i = 0; i < n; i++) {
            g_string_append_printf(out, "%*s%s", indent, "", f->name);
            if (array || n > 1) {
                g_string_append_printf(out, "[%u]", i);
            }
            g_string_append(out, ":\n");
            vmstate_dump(f->sub, base + i * f->size, out, indent + 2);
        }
        return;
    }
    g_string_append_printf(out, "%*s%s: ", indent, "", f->name);
    for (unsigned i = 0; i < MIN(elements(f), 64); i++) {
        if (i) {
            g_string_append_c(out, ' ');
        }
        dump_value(f, opaque, base + i * f->size, out);
    }
    if (elements(f) > 64) {
        g_string_append_printf(out, " ... (%u)", elements(f));
    }
    g_string_append_c(out, '\n');
}

void vmstate_dump(const VMState *vm, void *opaque, GString *out, int indent)
{
    if (vm->pre_save) {
        vm->pre_save(opaque);
    }
    for (const VMField *f = vm->fields; f->name; f++) {
        if (f->kind != VMF_UNUSED && (!f->needed || f->needed(opaque))) {
            dump_field(f, opaque, out, indent);
        }
    }
}
