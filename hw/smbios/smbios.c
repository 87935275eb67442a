/* SPDX-License-Identifier: MIT */
/*
 * SMBIOS structures.
 *
 * Source: DSP0134 3.4: entry points (5.2), structure layout (6.1), the types (7.x, by their
 * numbers below).
 *
 * A structure is a formatted area - type, length, handle, fields - and a list of strings that
 * fields refer to by number, ended by an empty one.  Fields a user may set come from -smbios;
 * a structure in a file (-smbios file=) takes the place of ours of that type.
 */
#include "hw/smbios/smbios.h"
#include "util/bits.h"
#include "util/opts.h"

#include <stdlib.h>
#include <string.h>

#define DIMM_SIZE       (16ull << 30)
#define UNKNOWN         2

typedef struct Builder {
    const SmbiosMachine *m;
    const GPtrArray *opts;
    GByteArray *out;
    unsigned structures, largest;
    guint start;                        /* of the structure being built */
    GPtrArray *strings;                 /* of char*, its strings */
    Opts *type_opts;                    /* -smbios type=N for it, or NULL */
    bool from_file[256];
} Builder;

/* ---- one structure --------------------------------------------------------------------- */

static void put(Builder *b, uint64_t v, unsigned bytes)
{
    uint8_t le[8];

    st64_le(le, v);
    g_byte_array_append(b->out, le, bytes);
}

static void put_text(Builder *b, const char *s)
{
    if (!s || !*s) {
        put(b, 0, 1);
        return;
    }
    g_ptr_array_add(b->strings, g_strdup(s));
    put(b, b->strings->len, 1);
}

/* Several -smbios type=N are one: later ones count for what they give. */
static const char *option(Builder *b, const char *key)
{
    return b->type_opts ? opts_get(b->type_opts, key) : NULL;
}

/* A string the user may set. */
static void put_option(Builder *b, const char *key, const char *def)
{
    const char *v = option(b, key);
    put_text(b, v ? v : def);
}

static void begin(Builder *b, uint8_t type, uint16_t handle)
{
    b->start = b->out->len;
    put(b, type, 1);
    put(b, 0, 1);                       /* length: at the end */
    put(b, handle, 2);
}

static void end(Builder *b)
{
    b->out->data[b->start + 1] = b->out->len - b->start;
    for (guint i = 0; i < b->strings->len; i++) {
        const char *s = g_ptr_array_index(b->strings, i);
        g_byte_array_append(b->out, (const uint8_t *)s, strlen(s) + 1);
    }
    put(b, 0, b->strings->len ? 1 : 2);
    g_ptr_array_set_size(b->strings, 0);
    b->structures++;
    b->largest = MAX(b->largest, b->out->len - b->start);
}

static bool number(Builder *b, const char *key, uint64_t def, uint64_t max, uint64_t *out, Error **err)
{
    *out = def;
    return !b->type_opts || opts_uint(b->type_opts, key, def, 0, max, out, err);
}

/* ---- the types ------------------------------------------------------------------------- */

/* 7.1 BIOS information: the firmware makes its own unless the user wants another. */
static bool type0(Builder *b, Error **err)
{
    const char *release = option(b, "release");
    unsigned major = 0xff, minor = 0xff;
    bool uefi = false;
    char *rest;

    if (!b->type_opts) {
        return true;
    }
    if (release) {
        major = strtoul(release, &rest, 10);
        minor = *rest == '.' ? strtoul(rest + 1, &rest, 10) : 256;
        if (*rest || major > 254 || minor > 254) {
            return fail(err, "-smbios: release=%s: two numbers up to 254 with a point between "
                        "them are needed", release);
        }
    }
    if (!opts_bool(b->type_opts, "uefi", false, &uefi, err)) {
        return false;
    }
    begin(b, 0, 0);
    put_option(b, "vendor", NULL);
    put_option(b, "version", NULL);
    put(b, 0xe800, 2);                  /* segment of the BIOS */
    put_option(b, "date", NULL);
    put(b, 0, 1);                       /* 64 KiB of ROM */
    put(b, 0x08, 8);                    /* characteristics: not supported */
    put(b, 0, 1);
    put(b, 0x14 | (uefi ? 0x08 : 0), 1);    /* targeted distribution, virtual machine */
    put(b, major, 1);
    put(b, minor, 1);
    put(b, 0xffff, 2);                  /* no embedded controller */
    end(b);
    return true;
}

/* A UUID's first three fields are little-endian since SMBIOS 2.6. */
static void put_uuid(Builder *b, const uint8_t u[16])
{
    static const uint8_t order[16] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15 };

    for (int i = 0; i < 16; i++) {
        put(b, u ? u[order[i]] : 0, 1);
    }
}

static bool parse_uuid(const char *s, uint8_t out[16], Error **err)
{
    unsigned n = 0;

    for (const char *p = s; *p; p++) {
        bool dash = p - s == 8 || p - s == 13 || p - s == 18 || p - s == 23;
        if (dash ? *p != '-' : !g_ascii_isxdigit(*p) || n == 32) {
            n = 0;
            break;
        }
        if (!dash) {
            out[n / 2] = out[n / 2] << 4 | g_ascii_xdigit_value(*p);
            n++;
        }
    }
    return n == 32 || fail(err, "-smbios: uuid=%s is not a UUID", s);
}

/* 7.2 system */
static bool type1(Builder *b, Error **err)
{
    const char *text = option(b, "uuid");
    uint8_t uuid[16] = { 0 };

    if (text && !parse_uuid(text, uuid, err)) {
        return false;
    }
    begin(b, 1, 0x100);
    put_option(b, "manufacturer", "QEMU");
    put_option(b, "product", b->m->product);
    put_option(b, "version", b->m->version);
    put_option(b, "serial", NULL);
    put_uuid(b, text ? uuid : b->m->uuid);
    put(b, 6, 1);                       /* woken by the power switch */
    put_option(b, "sku", NULL);
    put_option(b, "family", NULL);
    end(b);
    return true;
}

/* 7.3 base board: only if described */
static bool type2(Builder *b, Error **err)
{
    if (!b->type_opts) {
        return true;
    }
    begin(b, 2, 0x200);
    put_option(b, "manufacturer", "QEMU");
    put_option(b, "product", b->m->product);
    put_option(b, "version", b->m->version);
    put_option(b, "serial", NULL);
    put_option(b, "asset", NULL);
    put(b, 0x01, 1);                    /* hosting board */
    put_option(b, "location", NULL);
    put(b, 0x300, 2);                   /* its chassis */
    put(b, 0x0a, 1);                    /* motherboard */
    put(b, 0, 1);
    end(b);
    return true;
}

/* 7.4 chassis */
static bool type3(Builder *b, Error **err)
{
    begin(b, 3, 0x300);
    put_option(b, "manufacturer", "QEMU");
    put(b, 0x01, 1);                    /* other */
    put_option(b, "version", b->m->version);
    put_option(b, "serial", NULL);
    put_option(b, "asset", NULL);
    put(b, 0x03, 1);                    /* states: safe */
    put(b, 0x03, 1);
    put(b, 0x03, 1);
    put(b, UNKNOWN, 1);                 /* security */
    put(b, 0, 4);
    put(b, 0, 1);
    put(b, 0, 1);
    put(b, 0, 1);
    put(b, 0, 1);                       /* no contained elements */
    put_option(b, "sku", NULL);
    end(b);
    return true;
}

/* 7.5 processor, one for each socket */
static bool one_socket(Builder *b, unsigned n, Error **err)
{
    const char *prefix = option(b, "sock_pfx");
    g_autofree char *socket = g_strdup_printf("%s%2x", prefix ? prefix : "CPU", n);
    uint64_t max, speed, id;
    unsigned cores = b->m->cores, threads = cores * b->m->threads;

    if (!number(b, "max-speed", 2000, 0xffff, &max, err)
        || !number(b, "current-speed", 2000, 0xffff, &speed, err)
        || !number(b, "processor-id", b->m->cpu_signature | (uint64_t)b->m->cpu_features << 32,
                   UINT64_MAX, &id, err)) {
        return false;
    }
    begin(b, 4, 0x400 + n);
    put_text(b, socket);
    put(b, 3, 1);                       /* central processor */
    put(b, 1, 1);                       /* family: other */
    put_option(b, "manufacturer", "QEMU");
    put(b, id, 8);
    put_option(b, "version", b->m->cpu_name);
    put(b, 0, 1);                       /* voltage */
    put(b, 0, 2);                       /* external clock */
    put(b, max, 2);
    put(b, speed, 2);
    put(b, 0x41, 1);                    /* populated, enabled */
    put(b, 1, 1);                       /* upgrade: other */
    put(b, 0xffff, 2);                  /* caches: not described */
    put(b, 0xffff, 2);
    put(b, 0xffff, 2);
    put_option(b, "serial", NULL);
    put_option(b, "asset", NULL);
    put_option(b, "part", NULL);
    put(b, MIN(cores, 255), 1);
    put(b, MIN(cores, 255), 1);
    put(b, MIN(threads, 255), 1);
    put(b, UNKNOWN, 2);                 /* characteristics */
    put(b, 1, 2);                       /* family 2 */
    put(b, cores, 2);
    put(b, cores, 2);
    put(b, threads, 2);
    end(b);
    return true;
}

static bool type4(Builder *b, Error **err)
{
    for (unsigned n = 0; n < b->m->sockets; n++) {
        if (!one_socket(b, n, err)) {
            return false;
        }
    }
    return true;
}

typedef struct OemStrings {
    Builder *b;
    unsigned n;
    Error *err;
} OemStrings;

static void oem_string(const char *name, const char *value, void *opaque)
{
    OemStrings *o = opaque;
    g_autofree char *file = NULL;

    if (o->err) {
        return;
    }
    if (!strcmp(name, "path")) {
        if (!g_file_get_contents(value, &file, NULL, &o->err)) {
            return;
        }
        value = file;
    } else if (strcmp(name, "value")) {
        return;
    }
    if (*value) {
        g_ptr_array_add(o->b->strings, g_strdup(value));
        o->n++;
    }
}

/* 7.12 OEM strings: as many as the user gives */
static bool type11(Builder *b, Error **err)
{
    OemStrings o = { b, 0, NULL };

    if (!b->type_opts) {
        return true;
    }
    opts_get(b->type_opts, "value");
    opts_get(b->type_opts, "path");
    begin(b, 11, 0xe00);
    opts_foreach(b->type_opts, oem_string, &o);
    if (o.err) {
        fail(err, "-smbios: %s", o.err->message);
        g_error_free(o.err);
        return false;
    }
    if (o.n > 255) {
        return fail(err, "-smbios: %u OEM strings, 255 are possible", o.n);
    }
    put(b, o.n, 1);
    end(b);
    return true;
}

static uint64_t total_ram(const Builder *b)
{
    return b->m->below_4g + b->m->above_4g;
}

static unsigned dimms(const Builder *b)
{
    return (total_ram(b) + DIMM_SIZE - 1) / DIMM_SIZE;
}

/* 7.17 memory array */
static bool type16(Builder *b, Error **err)
{
    uint64_t kib = total_ram(b) >> 10;

    begin(b, 16, 0x1000);
    put(b, 1, 1);                       /* location: other */
    put(b, 3, 1);                       /* system memory */
    put(b, 6, 1);                       /* multi-bit ECC */
    put(b, kib < 0x80000000 ? kib : 0x80000000, 4);
    put(b, 0xfffe, 2);                  /* no error information */
    put(b, dimms(b), 2);
    put(b, kib < 0x80000000 ? 0 : total_ram(b), 8);
    end(b);
    return true;
}

/* 7.18 memory device: sizes from 32 GiB - 1 MiB on stand in another field, but 16 is our most */
static bool one_dimm(Builder *b, unsigned n, Error **err)
{
    uint64_t size = MIN(total_ram(b) - n * DIMM_SIZE, DIMM_SIZE), speed;
    const char *prefix = option(b, "loc_pfx");
    g_autofree char *locator = g_strdup_printf("%s %d", prefix ? prefix : "DIMM", n);

    if (!number(b, "speed", 0, 0xffff, &speed, err)) {
        return false;
    }
    begin(b, 17, 0x1100 + n);
    put(b, 0x1000, 2);                  /* its array */
    put(b, 0xfffe, 2);
    put(b, 0xffff, 2);                  /* width unknown */
    put(b, 0xffff, 2);
    put(b, size >= 1 << 20 ? size >> 20 : 0x8000 | size >> 10, 2);
    put(b, 9, 1);                       /* DIMM */
    put(b, 0, 1);
    put_text(b, locator);
    put_option(b, "bank", NULL);
    put(b, 7, 1);                       /* RAM */
    put(b, 2, 2);
    put(b, speed, 2);
    put_option(b, "manufacturer", "QEMU");
    put_option(b, "serial", NULL);
    put_option(b, "asset", NULL);
    put_option(b, "part", NULL);
    put(b, 0, 1);
    put(b, 0, 4);
    put(b, speed, 2);
    put(b, 0, 2);                       /* voltages unknown */
    put(b, 0, 2);
    put(b, 0, 2);
    end(b);
    return true;
}

static bool type17(Builder *b, Error **err)
{
    for (unsigned n = 0; n < dimms(b); n++) {
        if (!one_dimm(b, n, err)) {
            return false;
        }
    }
    return true;
}

/* 7.20 where the array's memory lies */
static void one_range(Builder *b, unsigned n, uint64_t start, uint64_t size)
{
    uint64_t last = start + size - 1;
    bool wide = last >> 10 >= 0xffffffff;

    begin(b, 19, 0x1300 + n);
    put(b, wide ? 0xffffffff : start >> 10, 4);
    put(b, wide ? 0xffffffff : last >> 10, 4);
    put(b, 0x1000, 2);
    put(b, 1, 1);
    put(b, wide ? start : 0, 8);
    put(b, wide ? last : 0, 8);
    end(b);
}

static bool type19(Builder *b, Error **err)
{
    one_range(b, 0, 0, b->m->below_4g);
    if (b->m->above_4g) {
        one_range(b, 1, 1ull << 32, b->m->above_4g);
    }
    return true;
}

/* 7.33 boot information: no error */
static bool type32(Builder *b, Error **err)
{
    begin(b, 32, 0x2000);
    put(b, 0, 6);
    put(b, 0, 1);
    end(b);
    return true;
}

static bool type127(Builder *b, Error **err)
{
    begin(b, 127, 0x7f00);
    end(b);
    return true;
}

static const struct { uint8_t type; bool (*build)(Builder *b, Error **err); } types[] = {
    { 0, type0 }, { 1, type1 }, { 2, type2 }, { 3, type3 }, { 4, type4 }, { 11, type11 },
    { 16, type16 }, { 17, type17 }, { 19, type19 }, { 32, type32 }, { 127, type127 },
};

/* ---- -smbios ----------------------------------------------------------------------------- */

static bool has_fields(unsigned type)
{
    return type <= 4 || type == 11 || type == 17;
}

static void merge(const char *name, const char *value, void *opaque)
{
    opts_set(opaque, name, value);
}

/* All options of one type as one. */
static bool collect_type(Builder *b, unsigned type, Error **err)
{
    g_clear_pointer(&b->type_opts, opts_free);
    for (guint i = 0; b->opts && i < b->opts->len; i++) {
        Opts *o = g_ptr_array_index(b->opts, i);
        uint64_t n;
        if (opts_has(o, "file")) {
            continue;
        }
        if (!opts_uint(o, "type", 256, 0, 255, &n, err)) {
            return false;
        }
        if (n == type) {
            if (!b->type_opts) {
                b->type_opts = opts_new("-smbios");
            }
            opts_foreach(o, merge, b->type_opts);
        }
    }
    return true;
}

static bool check_options(Builder *b, Error **err)
{
    for (guint i = 0; b->opts && i < b->opts->len; i++) {
        Opts *o = g_ptr_array_index(b->opts, i);
        uint64_t n;
        if (opts_has(o, "file")) {
            continue;
        }
        if (!opts_has(o, "type")) {
            return fail(err, "-smbios: type= or file= is needed");
        }
        if (!opts_uint(o, "type", 0, 0, 255, &n, err)) {
            return false;
        }
        if (!has_fields(n)) {
            return fail(err, "-smbios: fields of type %u can't be set (those of 0 to 4, 11 and "
                        "17 can; file= takes a whole structure)", (unsigned)n);
        }
    }
    return true;
}

/* End of the structure at `at`: behind its strings and their empty last one.  0: cut short. */
static size_t structure_end(const uint8_t *d, size_t len, size_t at)
{
    if (len - at < 4 || d[at + 1] < 4 || d[at + 1] > len - at) {
        return 0;
    }
    for (size_t p = at + d[at + 1]; p + 1 < len; p++) {
        if (!d[p] && !d[p + 1]) {
            return p + 2;
        }
    }
    return 0;
}

static bool add_file(Builder *b, const char *path, Error **err)
{
    g_autofree char *data = NULL;
    gsize len;
    GError *e = NULL;

    if (!g_file_get_contents(path, &data, &len, &e)) {
        fail(err, "-smbios: %s", e->message);
        g_error_free(e);
        return false;
    }
    const uint8_t *d = (const uint8_t *)data;
    for (size_t at = 0, next; at < len; at = next) {
        next = structure_end(d, len, at);
        if (!next) {
            return fail(err, "-smbios: '%s' is not a list of SMBIOS structures", path);
        }
        g_byte_array_append(b->out, d + at, next - at);
        b->from_file[d[at]] = true;
        b->structures++;
        b->largest = MAX(b->largest, next - at);
    }
    return true;
}

static bool add_files(Builder *b, Error **err)
{
    for (guint i = 0; b->opts && i < b->opts->len; i++) {
        Opts *o = g_ptr_array_index(b->opts, i);
        const char *path = opts_get(o, "file");
        if (path && (!add_file(b, path, err) || !opts_check_unused(o, err))) {
            return false;
        }
    }
    return true;
}

static bool build_types(Builder *b, Error **err)
{
    for (size_t i = 0; i < G_N_ELEMENTS(types); i++) {
        if (!collect_type(b, types[i].type, err)) {
            return false;
        }
        if (b->from_file[types[i].type]) {
            if (b->type_opts) {
                return fail(err, "-smbios: type %u comes from a file, its fields can't be set",
                            types[i].type);
            }
            continue;
        }
        if (b->type_opts) {
            opts_get(b->type_opts, "type");
        }
        if (!types[i].build(b, err) || (b->type_opts && !opts_check_unused(b->type_opts, err))) {
            return false;
        }
    }
    return true;
}

/* ---- entry points -------------------------------------------------------------------------- */

static uint8_t sum(const uint8_t *p, size_t n)
{
    uint8_t s = 0;

    while (n--) {
        s += *p++;
    }
    return -s;
}

/* 5.2.1, 31 bytes; the firmware fills in the address and completes the sums. */
static void entry32(const Builder *b, GByteArray *out)
{
    uint8_t e[31] = "_SM_";

    e[5] = sizeof(e);
    e[6] = 2;                           /* 2.8 */
    e[7] = 8;
    st16_le(e + 8, b->largest);
    memcpy(e + 16, "_DMI_", 5);
    st16_le(e + 22, b->out->len);
    st16_le(e + 28, b->structures);
    e[30] = 0x28;
    e[21] = sum(e + 16, 15);
    e[4] = sum(e, sizeof(e));
    g_byte_array_append(out, e, sizeof(e));
}

/* 5.2.2, 24 bytes */
static void entry64(const Builder *b, GByteArray *out)
{
    uint8_t e[24] = "_SM3_";

    e[6] = sizeof(e);
    e[7] = 3;
    e[10] = 1;
    st32_le(e + 12, b->out->len);
    e[5] = sum(e, sizeof(e));
    g_byte_array_append(out, e, sizeof(e));
}

bool smbios_build(const SmbiosMachine *m, const GPtrArray *opts, SmbiosTables *out, Error **err)
{
    Builder b = {
        .m = m, .opts = opts, .out = g_byte_array_new(),
        .strings = g_ptr_array_new_with_free_func(g_free),
    };
    bool ok = check_options(&b, err) && add_files(&b, err) && build_types(&b, err);

    if (ok && !m->entry64 && (b.out->len > 0xffff || b.largest > 0xffff)) {
        ok = fail(err, "-smbios: %u bytes of tables, 64 KiB are possible with a 32-bit entry "
                  "point (-machine smbios-entry-point-type=64)", b.out->len);
    }
    *out = (SmbiosTables) { b.out, g_byte_array_new() };
    if (ok) {
        (m->entry64 ? entry64 : entry32)(&b, out->anchor);
    } else {
        g_byte_array_unref(out->tables);
        g_byte_array_unref(out->anchor);
    }
    g_ptr_array_unref(b.strings);
    g_clear_pointer(&b.type_opts, opts_free);
    return ok;
}
