/* SPDX-License-Identifier: MIT */
/*
 * ACPI machine language.
 *
 * Source: ACPI Specification 6.3, chapter 20: grammar (20.2), opcodes (20.3); resource
 * descriptors: 6.4.  Section numbers below are of that edition.
 */
#include "hw/acpi/aml.h"

#include <string.h>

/* Opcodes */
enum {
    OP_ZERO = 0x00, OP_ONE = 0x01, OP_NAME = 0x08, OP_BYTE = 0x0a, OP_WORD = 0x0b, OP_DWORD = 0x0c,
    OP_STRING = 0x0d, OP_QWORD = 0x0e, OP_SCOPE = 0x10, OP_BUFFER = 0x11, OP_PACKAGE = 0x12,
    OP_METHOD = 0x14, OP_DUAL_NAME = 0x2e, OP_MULTI_NAME = 0x2f, OP_EXT = 0x5b,
    OP_ARG0 = 0x68, OP_STORE = 0x70, OP_SHIFT_LEFT = 0x79, OP_AND = 0x7b, OP_OR = 0x7d, OP_NOTIFY = 0x86, OP_DWORD_FIELD = 0x8a,
    OP_IF = 0xa0, OP_ELSE = 0xa1, OP_RETURN = 0xa4,
    EXT_REGION = 0x80, EXT_FIELD = 0x81, EXT_DEVICE = 0x82, EXT_PROCESSOR = 0x83,
};

void aml_init(Aml *a, GByteArray *out)
{
    *a = (Aml) { .out = out };
}

static void put(Aml *a, uint64_t v, unsigned bytes)
{
    uint8_t le[8];

    for (unsigned i = 0; i < bytes; i++) {
        le[i] = v >> 8 * i;
    }
    g_byte_array_append(a->out, le, bytes);
}

static void put_byte(Aml *a, uint8_t v)
{
    put(a, v, 1);
}

static void put_ext(Aml *a, uint8_t op)
{
    put_byte(a, OP_EXT);
    put_byte(a, op);
}

static void insert(Aml *a, guint at, const uint8_t *bytes, guint n)
{
    guint len = a->out->len;

    g_byte_array_set_size(a->out, len + n);
    memmove(a->out->data + at + n, a->out->data + at, len - at);
    memcpy(a->out->data + at, bytes, n);
}

/* ---- names and values (20.2.2, 20.2.3) ------------------------------------------------- */

static void put_segment(Aml *a, const char *s, size_t len)
{
    g_assert(len >= 1 && len <= 4);
    for (size_t i = 0; i < 4; i++) {
        put_byte(a, i < len ? s[i] : '_');
    }
}

void aml_namestring(Aml *a, const char *path)
{
    unsigned segments = 1;

    while (*path == '\\' || *path == '^') {
        put_byte(a, *path++);
    }
    if (!*path) {
        put_byte(a, 0);
        return;
    }
    for (const char *p = path; *p; p++) {
        segments += *p == '.';
    }
    if (segments == 2) {
        put_byte(a, OP_DUAL_NAME);
    } else if (segments > 2) {
        put_byte(a, OP_MULTI_NAME);
        put_byte(a, segments);
    }
    for (;;) {
        size_t len = strcspn(path, ".");
        put_segment(a, path, len);
        if (!path[len]) {
            return;
        }
        path += len + 1;
    }
}

void aml_int(Aml *a, uint64_t v)
{
    if (v <= 1) {
        put_byte(a, v ? OP_ONE : OP_ZERO);
    } else if (v <= 0xff) {
        put_byte(a, OP_BYTE);
        put(a, v, 1);
    } else if (v <= 0xffff) {
        put_byte(a, OP_WORD);
        put(a, v, 2);
    } else if (v <= 0xffffffff) {
        put_byte(a, OP_DWORD);
        put(a, v, 4);
    } else {
        put_byte(a, OP_QWORD);
        put(a, v, 8);
    }
}

void aml_string(Aml *a, const char *s)
{
    put_byte(a, OP_STRING);
    g_byte_array_append(a->out, (const uint8_t *)s, strlen(s) + 1);
}

/* Three letters in five bits each, four hexadecimal digits; big-endian (19.3.4). */
void aml_eisaid(Aml *a, const char *id)
{
    uint32_t v = 0;

    g_assert(strlen(id) == 7);
    for (int i = 0; i < 3; i++) {
        v = v << 5 | (id[i] - '@');
    }
    for (int i = 3; i < 7; i++) {
        v = v << 4 | g_ascii_xdigit_value(id[i]);
    }
    put_byte(a, OP_DWORD);
    put(a, GUINT32_SWAP_LE_BE(v), 4);
}

void aml_name(Aml *a, const char *name)
{
    put_byte(a, OP_NAME);
    aml_namestring(a, name);
}

void aml_name_int(Aml *a, const char *name, uint64_t v)
{
    aml_name(a, name);
    aml_int(a, v);
}

void aml_name_string(Aml *a, const char *name, const char *s)
{
    aml_name(a, name);
    aml_string(a, s);
}

void aml_name_eisaid(Aml *a, const char *name, const char *id)
{
    aml_name(a, name);
    aml_eisaid(a, id);
}

/* ---- blocks (20.2.4, 20.2.5) ----------------------------------------------------------- */

static void begin(Aml *a, int kind)
{
    g_assert(a->depth < AML_DEPTH);
    a->open[a->depth].at = a->out->len;
    a->open[a->depth].kind = kind;
    a->open[a->depth].count = 0;
    a->depth++;
}

/* PkgLength counts itself: one byte holds up to 63, each further one brings eight bits. */
static void insert_length(Aml *a, guint at)
{
    uint32_t len = a->out->len - at;
    uint8_t bytes[4];
    unsigned n = len + 1 < 1 << 6 ? 1 : len + 2 < 1 << 12 ? 2 : len + 3 < 1 << 20 ? 3 : 4;

    len += n;
    if (n == 1) {
        bytes[0] = len;
    } else {
        bytes[0] = (n - 1) << 6 | (len & 15);
        for (unsigned i = 1; i < n; i++) {
            bytes[i] = len >> (4 + 8 * (i - 1));
        }
    }
    insert(a, at, bytes, n);
}

/* The resource template in its buffer: an end tag, and in front its length (19.6.38). */
static void end_resources(Aml *a, guint at)
{
    guint len;
    uint8_t head[5];
    Aml size = { .out = g_byte_array_new() };

    put_byte(a, 0x79);                  /* end tag; checksum 0 = none */
    put_byte(a, 0);
    len = a->out->len - at;
    aml_int(&size, len);
    memcpy(head, size.out->data, size.out->len);
    insert(a, at, head, size.out->len);
    g_byte_array_unref(size.out);
    insert_length(a, at);
}

void aml_end(Aml *a)
{
    g_assert(a->depth);
    a->depth--;
    guint at = a->open[a->depth].at;
    switch (a->open[a->depth].kind) {
    case AML_COUNTED:
        a->out->data[a->open[a->depth].count_at] = a->open[a->depth].count;
        insert_length(a, at);
        break;
    case AML_CRS:
        end_resources(a, at);
        break;
    default:
        insert_length(a, at);
    }
}

void aml_scope(Aml *a, const char *path)
{
    put_byte(a, OP_SCOPE);
    begin(a, AML_BLOCK);
    aml_namestring(a, path);
}

void aml_device(Aml *a, const char *name)
{
    put_ext(a, EXT_DEVICE);
    begin(a, AML_BLOCK);
    aml_namestring(a, name);
}

void aml_method(Aml *a, const char *name, unsigned args, bool serialized)
{
    put_byte(a, OP_METHOD);
    begin(a, AML_BLOCK);
    aml_namestring(a, name);
    put_byte(a, args | (serialized ? 8 : 0));
}

void aml_processor(Aml *a, const char *name, uint8_t id, uint32_t pblk, uint8_t pblk_len)
{
    put_ext(a, EXT_PROCESSOR);
    begin(a, AML_BLOCK);
    aml_namestring(a, name);
    put_byte(a, id);
    put(a, pblk, 4);
    put_byte(a, pblk_len);
}

void aml_package(Aml *a)
{
    put_byte(a, OP_PACKAGE);
    begin(a, AML_COUNTED);
    a->open[a->depth - 1].count_at = a->out->len;
    put_byte(a, 0);
}

void aml_element(Aml *a)
{
    g_assert(a->depth && a->open[a->depth - 1].kind == AML_COUNTED);
    a->open[a->depth - 1].count++;
    g_assert(a->open[a->depth - 1].count <= 255);
}

void aml_if(Aml *a)
{
    put_byte(a, OP_IF);
    begin(a, AML_BLOCK);
}

void aml_else(Aml *a)
{
    put_byte(a, OP_ELSE);
    begin(a, AML_BLOCK);
}

void aml_resources(Aml *a, const char *name)
{
    aml_name(a, name);
    put_byte(a, OP_BUFFER);
    begin(a, AML_CRS);
}

void aml_crs(Aml *a)
{
    aml_resources(a, "_CRS");
}

/* ---- resource descriptors (6.4.2, 6.4.3) ------------------------------------------------ */

void aml_crs_io(Aml *a, uint16_t from, uint16_t to, uint8_t align, uint8_t len)
{
    put_byte(a, 0x47);
    put_byte(a, 1);                     /* decodes 16 bits */
    put(a, from, 2);
    put(a, to, 2);
    put_byte(a, align);
    put_byte(a, len);
}

void aml_crs_memory(Aml *a, uint32_t at, uint32_t len, bool writable)
{
    put_byte(a, 0x86);
    put(a, 9, 2);
    put_byte(a, writable);
    put(a, at, 4);
    put(a, len, 4);
}

void aml_crs_irq(Aml *a, unsigned irq)
{
    put_byte(a, 0x22);
    put(a, 1u << irq, 2);
}

void aml_crs_dma(Aml *a, unsigned channel)
{
    put_byte(a, 0x2a);
    put_byte(a, 1 << channel);
    put_byte(a, 0);
}

void aml_crs_interrupts(Aml *a, const uint32_t *irq, unsigned n)
{
    put_byte(a, 0x89);
    put(a, 2 + 4 * n, 2);
    put_byte(a, 0x09);                  /* consumer, level, active high, shared */
    put_byte(a, n);
    for (unsigned i = 0; i < n; i++) {
        put(a, irq[i], 4);
    }
}

/* Address spaces: kind 0 memory, 1 I/O, 2 bus numbers.  Range fixed at both ends. */
static void put_window(Aml *a, uint8_t tag, unsigned width, uint8_t kind, uint8_t flags,
                       uint64_t first, uint64_t last)
{
    put_byte(a, tag);
    put(a, 3 + 5 * width, 2);
    put_byte(a, kind);
    put_byte(a, 0x0c);
    put_byte(a, flags);
    put(a, 0, width);                   /* granularity */
    put(a, first, width);
    put(a, last, width);
    put(a, 0, width);                   /* translation */
    put(a, last - first + 1, width);
}

void aml_crs_bus(Aml *a, uint16_t first, uint16_t last)
{
    put_window(a, 0x88, 2, 2, 0, first, last);
}

void aml_crs_io_window(Aml *a, uint16_t first, uint16_t last)
{
    put_window(a, 0x88, 2, 1, 0x03, first, last);       /* the whole range, not ISA's parts */
}

void aml_crs_memory_window(Aml *a, uint32_t first, uint32_t last, bool cacheable)
{
    put_window(a, 0x87, 4, 0, cacheable ? 0x03 : 0x01, first, last);
}

void aml_crs_memory_window64(Aml *a, uint64_t first, uint64_t last, bool cacheable)
{
    put_window(a, 0x8a, 8, 0, cacheable ? 0x03 : 0x01, first, last);
}

/* ---- methods' statements (20.2.5) ------------------------------------------------------ */

void aml_region(Aml *a, const char *name, uint8_t space, uint32_t offset, uint32_t len)
{
    put_ext(a, EXT_REGION);
    aml_namestring(a, name);
    put_byte(a, space);
    aml_int(a, offset);
    aml_int(a, len);
}

void aml_field(Aml *a, const char *region, const char *const *names, const unsigned *bits,
               unsigned n)
{
    put_ext(a, EXT_FIELD);
    begin(a, AML_BLOCK);
    aml_namestring(a, region);
    put_byte(a, 0x01);                  /* byte accesses, no lock, other bits preserved */
    for (unsigned i = 0; i < n; i++) {
        if (names[i]) {
            put_segment(a, names[i], strlen(names[i]));
        } else {
            put_byte(a, 0);
        }
        g_assert(bits[i] < 64);
        put_byte(a, bits[i]);
    }
    aml_end(a);
}

void aml_dword_fields(Aml *a, const char *region, const char *const *names, unsigned n)
{
    put_ext(a, EXT_FIELD);
    begin(a, AML_BLOCK);
    aml_namestring(a, region);
    put_byte(a, 0x03);                  /* double word accesses, no lock, other bits preserved */
    for (unsigned i = 0; i < n; i++) {
        put_segment(a, names[i], strlen(names[i]));
        put_byte(a, 32);
    }
    aml_end(a);
}

void aml_return(Aml *a)
{
    put_byte(a, OP_RETURN);
}

void aml_arg(Aml *a, unsigned n)
{
    put_byte(a, OP_ARG0 + n);
}

void aml_store(Aml *a)
{
    put_byte(a, OP_STORE);
}

void aml_and(Aml *a)
{
    put_byte(a, OP_AND);
}

void aml_or(Aml *a)
{
    put_byte(a, OP_OR);
}

void aml_shift_left(Aml *a)
{
    put_byte(a, OP_SHIFT_LEFT);
}

void aml_notify(Aml *a)
{
    put_byte(a, OP_NOTIFY);
}

void aml_null(Aml *a)
{
    put_byte(a, 0);
}

void aml_dword_field(Aml *a, const char *buffer, unsigned byte, const char *name)
{
    put_byte(a, OP_DWORD_FIELD);
    if (g_str_has_prefix(buffer, "Arg")) {
        aml_arg(a, buffer[3] - '0');
    } else {
        aml_namestring(a, buffer);
    }
    aml_int(a, byte);
    aml_namestring(a, name);
}
