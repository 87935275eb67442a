/* SPDX-License-Identifier: MIT */
/*
 * The state of the whole machine but its RAM: the registry of sections and the stream.
 *
 *   "ORRERYVM", uint32 format (1)
 *   section:  byte 1, uint16 length and bytes of the name, uint32 instance,
 *             uint64 length, that many bytes as migration/vmstate.c writes them
 *   end:      byte 0, uint32 CRC-32 of everything before it
 *
 * The first section is the virtual clock.  Each section of the stream must find its device and
 * each device its section, so that two machines that differ are told apart by name and not by
 * what happens later.
 */
#include "migration/vmstate.h"
#include "util/bits.h"
#include "util/timer.h"

#include <inttypes.h>
#include <string.h>
#include <zlib.h>

#define MAGIC "ORRERYVM"
#define FORMAT 1
enum { MARK_END = 0, MARK_SECTION = 1 };

typedef struct Section {
    char *name;
    int instance;
    const VMState *vm;
    void *opaque;
    bool seen;                          /* in the stream being loaded */
} Section;

static GPtrArray *sections;             /* of Section*, in order of registration */

/* ---- the virtual clock, as everybody's first section ---------------------------------- */

static struct { uint64_t now; } clock_state;

static void clock_pre_save(void *opaque)
{
    clock_state.now = vclock_save();
}

static bool clock_post_load(void *opaque, int version, Error **err)
{
    if (clock_state.now > INT64_MAX) {
        return fail(err, "negative time");
    }
    vclock_restore(clock_state.now);
    return true;
}

static const VMField clock_fields[] = {
    { .name = "now", .kind = VMF_UINT, .size = sizeof(clock_state.now) },
    VM_DONE
};
static const VMState vm_clock = {
    .name = "clock", .version = 1, .pre_save = clock_pre_save, .post_load = clock_post_load,
    .fields = clock_fields,
};

/* ---- registry ----------------------------------------------------------------------- */

static void free_section(gpointer p)
{
    Section *s = p;
    g_free(s->name);
    g_free(s);
}

static Section *find_section(const char *name, size_t len, int instance)
{
    for (guint i = 0; sections && i < sections->len; i++) {
        Section *s = g_ptr_array_index(sections, i);
        if (strlen(s->name) == len && !memcmp(s->name, name, len) && s->instance == instance) {
            return s;
        }
    }
    return NULL;
}

static void add_section(const char *name, int instance, const VMState *vm, void *opaque)
{
    Section *s = g_new0(Section, 1);
    *s = (Section) { g_strdup(name), instance, vm, opaque, false };
    g_ptr_array_add(sections, s);
}

static void make_list(void)
{
    if (!sections) {
        sections = g_ptr_array_new_with_free_func(free_section);
        add_section("clock", 0, &vm_clock, &clock_state);
    }
}

void vmstate_register(const char *name, int instance, const VMState *vm, void *opaque)
{
    make_list();
    g_assert(!find_section(name, strlen(name), instance));
    add_section(name, instance, vm, opaque);
}

void vmstate_unregister(const VMState *vm, void *opaque)
{
    for (guint i = 0; sections && i < sections->len; i++) {
        Section *s = g_ptr_array_index(sections, i);
        if (s->vm == vm && s->opaque == opaque) {
            g_ptr_array_remove_index(sections, i);
            return;
        }
    }
}

void vmstate_foreach(void (*fn)(const char *name, int instance, const VMState *vm, void *opaque,
                                void *user), void *user)
{
    for (guint i = 0; sections && i < sections->len; i++) {
        Section *s = g_ptr_array_index(sections, i);
        fn(s->name, s->instance, s->vm, s->opaque, user);
    }
}

bool machine_state_can_save(Error **err)
{
    for (guint i = 0; sections && i < sections->len; i++) {
        Section *s = g_ptr_array_index(sections, i);
        if (s->vm->unmigratable) {
            return fail(err, "The state of '%s' can't be saved: %s", s->name, s->vm->unmigratable);
        }
    }
    return true;
}

/* ---- saving ------------------------------------------------------------------------- */

static void put_be(GByteArray *out, uint64_t v, unsigned size)
{
    uint8_t bytes[8];
    st64_be(bytes, v);
    g_byte_array_append(out, bytes + 8 - size, size);
}

static void save_section(GByteArray *out, const Section *s)
{
    size_t name_len = strlen(s->name);
    g_assert(name_len <= UINT16_MAX);
    put_be(out, MARK_SECTION, 1);
    put_be(out, name_len, 2);
    g_byte_array_append(out, (const uint8_t *)s->name, name_len);
    put_be(out, s->instance, 4);
    guint at = out->len;
    put_be(out, 0, 8);
    vmstate_save(s->vm, s->opaque, out);
    st64_be(out->data + at, out->len - at - 8);
}

void machine_state_save(GByteArray *out)
{
    guint start = out->len;
    make_list();
    g_byte_array_append(out, (const uint8_t *)MAGIC, strlen(MAGIC));
    put_be(out, FORMAT, 4);
    for (guint i = 0; i < sections->len; i++) {
        save_section(out, g_ptr_array_index(sections, i));
    }
    put_be(out, MARK_END, 1);
    put_be(out, crc32(0, out->data + start, out->len - start), 4);
}

/* ---- loading ------------------------------------------------------------------------ */

typedef struct Reader {
    const uint8_t *data;
    size_t len, pos;
} Reader;

static bool get_be(Reader *r, unsigned size, uint64_t *v)
{
    if (r->len - r->pos < size) {
        return false;
    }
    *v = 0;
    for (unsigned i = 0; i < size; i++) {
        *v = *v << 8 | r->data[r->pos++];
    }
    return true;
}

static bool truncated(Error **err)
{
    return fail(err, "The machine state ends too early");
}

/* The next section's header; *s is NULL at the end mark. */
static bool next_section(Reader *r, Section **s, size_t *length, Error **err)
{
    uint64_t mark, name_len, instance, len;
    *s = NULL;
    if (!get_be(r, 1, &mark)) {
        return truncated(err);
    }
    if (mark == MARK_END) {
        return r->len - r->pos == 0 || fail(err, "The machine state goes on after its end mark");
    }
    if (mark != MARK_SECTION) {
        return fail(err, "The machine state has a section of an unknown kind (%" PRIu64 ")", mark);
    }
    if (!get_be(r, 2, &name_len) || name_len > r->len - r->pos) {
        return truncated(err);
    }
    const char *name = (const char *)r->data + r->pos;
    r->pos += name_len;
    if (!get_be(r, 4, &instance) || !get_be(r, 8, &len) || len > r->len - r->pos) {
        return truncated(err);
    }
    *s = find_section(name, name_len, (int32_t)instance);
    if (!*s) {
        char *copy = g_strndup(name, MIN(name_len, 200)), *printable = g_strescape(copy, NULL);
        fail(err, "The machine state is of a machine with '%s' (number %d), which this one has not",
             printable, (int32_t)instance);
        g_free(printable);
        g_free(copy);
        return false;
    }
    *length = len;
    return true;
}

/* First pass: the stream as a whole and its table of contents, before anything is changed. */
static bool check_contents(Reader r, Error **err)
{
    Section *s;
    size_t len;
    for (guint i = 0; i < sections->len; i++) {
        ((Section *)g_ptr_array_index(sections, i))->seen = false;
    }
    for (;;) {
        if (!next_section(&r, &s, &len, err)) {
            return false;
        }
        if (!s) {
            break;
        }
        if (s->seen) {
            return fail(err, "The machine state has '%s' (number %d) twice", s->name, s->instance);
        }
        s->seen = true;
        r.pos += len;
    }
    for (guint i = 0; i < sections->len; i++) {
        s = g_ptr_array_index(sections, i);
        if (!s->seen) {
            return fail(err, "The machine state is of a machine without '%s' (number %d)", s->name,
                        s->instance);
        }
    }
    return true;
}

static bool load_sections(Reader r, Error **err)
{
    Section *s;
    size_t len;
    while (next_section(&r, &s, &len, err)) {
        if (!s) {
            return true;
        }
        size_t end = r.pos + len;
        if (!vmstate_load(s->vm, s->opaque, r.data, end, &r.pos, err)) {
            if (err) {
                g_prefix_error(err, "Loading '%s' (number %d): ", s->name, s->instance);
            }
            return false;
        }
        if (r.pos != end) {
            return fail(err, "Loading '%s' (number %d): %zu bytes more than it has state", s->name,
                        s->instance, end - r.pos);
        }
    }
    return false;
}

bool machine_state_load(const uint8_t *data, size_t len, Error **err)
{
    Reader r = { data, len, strlen(MAGIC) };
    uint64_t format;
    if (len < strlen(MAGIC) || memcmp(data, MAGIC, strlen(MAGIC))) {
        return fail(err, "This is no machine state");
    }
    if (!get_be(&r, 4, &format) || len - r.pos < 5) {
        return truncated(err);
    }
    if (format != FORMAT) {
        return fail(err, "The machine state has format %" PRIu64 ", only %d can be read", format,
                    FORMAT);
    }
    if (ld32_be(data + len - 4) != crc32(0, data, len - 4)) {
        return fail(err, "The machine state is damaged (wrong checksum)");
    }
    r.len -= 4;
    make_list();
    return check_contents(r, err) && load_sections(r, err);
}
