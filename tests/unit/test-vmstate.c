/* SPDX-License-Identifier: MIT */
/*
 * State tables: every kind of field saved, loaded, dumped; versions; streams that were cut,
 * damaged or made up.
 */
#include "migration/vmstate.h"
#include "util/bql.h"
#include "util/mainloop.h"
#include "util/timer.h"

#include <string.h>
#include <zlib.h>

typedef struct Part {
    uint16_t a;
    bool b;
} Part;

typedef struct Whole {
    uint8_t u8;
    uint16_t u16;
    uint32_t u32;
    uint64_t u64;
    int32_t negative;
    bool flag, flags[3];
    uint16_t list[5];
    uint8_t bytes[7];
    char text[12];
    Timer timer, idle;
    Part part, parts[3];
    uint8_t *data;
    uint32_t data_len;
    uint32_t optional;
    bool has_optional;
    uint32_t late;                      /* since version 2 */
    uint32_t derived;                   /* not saved: rebuilt */
    int pre_saves, pre_loads;
} Whole;

static const VMField part_fields[] = { VM_UINT(Part, a), VM_BOOL(Part, b), VM_DONE };
static const VMState vm_part = { .name = "part", .version = 3, .oldest = 2, .fields = part_fields };

static bool has_optional(void *opaque)
{
    return ((Whole *)opaque)->has_optional;
}

static void pre_save(void *opaque)
{
    ((Whole *)opaque)->pre_saves++;
}

static void pre_load(void *opaque)
{
    ((Whole *)opaque)->pre_loads++;
}

static bool post_load(void *opaque, int version, Error **err)
{
    Whole *w = opaque;
    w->derived = w->u32 + version;
    return w->u8 != 0xee || fail(err, "u8 is out of range");
}

static const VMField whole_fields[] = {
    VM_UINT(Whole, u8), VM_UINT(Whole, u16), VM_UINT(Whole, u32), VM_UINT(Whole, u64),
    VM_UINT(Whole, negative), VM_BOOL(Whole, flag), VM_BOOLS(Whole, flags), VM_UINTS(Whole, list),
    VM_BUFFER(Whole, bytes), VM_STRING(Whole, text), VM_TIMER(Whole, timer), VM_TIMER(Whole, idle),
    VM_STRUCT(Whole, part, vm_part), VM_STRUCTS(Whole, parts, vm_part),
    VM_VBUFFER(Whole, data, data_len, 100),
    { .name = "gone", .kind = VMF_UNUSED, .size = 4 },
    { .name = "optional", .kind = VMF_UINT, .offset = offsetof(Whole, optional), .size = 4,
      .needed = has_optional },
    VM_UINT_V(Whole, late, 2),
    VM_DONE
};
static const VMState vm_whole = {
    .name = "whole", .version = 2, .oldest = 1, .pre_save = pre_save, .pre_load = pre_load,
    .post_load = post_load, .fields = whole_fields,
};

static void whole_init(Whole *w)
{
    memset(w, 0, sizeof(*w));
    timer_init(&w->timer, ORRERY_CLOCK_VIRTUAL, NULL, NULL);
    timer_init(&w->idle, ORRERY_CLOCK_VIRTUAL, NULL, NULL);
}

static void whole_fill(Whole *w)
{
    whole_init(w);
    w->u8 = 0x12;
    w->u16 = 0x3456;
    w->u32 = 0x789abcde;
    w->u64 = 0xfedcba9876543210;
    w->negative = -2;
    w->flag = w->flags[1] = true;
    for (int i = 0; i < 5; i++) {
        w->list[i] = 1000 + i;
    }
    memcpy(w->bytes, "\0binary", 7);
    strcpy(w->text, "hello");
    timer_mod(&w->timer, 123456789);
    w->part = (Part) { 7, true };
    w->parts[2] = (Part) { 9, false };
    w->data = (uint8_t *)g_strdup("payload");
    w->data_len = 7;
    w->optional = 55;
    w->late = 66;
}

static void whole_clear(Whole *w)
{
    timer_del(&w->timer);
    timer_del(&w->idle);
    g_clear_pointer(&w->data, g_free);
}

static void test_round_trip(void)
{
    for (int optional = 0; optional < 2; optional++) {
        Whole a, b;
        whole_fill(&a);
        a.has_optional = optional;
        whole_init(&b);
        timer_mod(&b.idle, 5);                  /* must be stopped by the load */
        b.optional = 1;
        g_autoptr(GByteArray) first = g_byte_array_new();
        vmstate_save(&vm_whole, &a, first);
        g_assert_cmpint(a.pre_saves, ==, 1);
        size_t pos = 0;
        Error *err = NULL;
        g_assert_true(vmstate_load(&vm_whole, &b, first->data, first->len, &pos, &err));
        g_assert_cmpuint(pos, ==, first->len);
        g_assert_cmpint(b.pre_loads, ==, 1);
        g_assert_cmphex(b.u64, ==, a.u64);
        g_assert_cmpint(b.negative, ==, -2);
        g_assert_true(b.flag && !b.flags[0] && b.flags[1]);
        g_assert_cmpuint(b.list[4], ==, 1004);
        g_assert_cmpstr(b.text, ==, "hello");
        g_assert_cmpint(b.timer.expires, ==, 123456789);
        g_assert_false(timer_pending(&b.idle));
        g_assert_true(b.part.b && b.parts[2].a == 9);
        g_assert_cmpmem(b.data, b.data_len, "payload", 7);
        g_assert_cmpuint(b.optional, ==, optional ? 55 : 1);
        g_assert_cmpuint(b.derived, ==, a.u32 + 2);
        b.has_optional = a.has_optional;
        g_autoptr(GByteArray) second = g_byte_array_new();
        vmstate_save(&vm_whole, &b, second);
        g_assert_cmpmem(first->data, first->len, second->data, second->len);
        whole_clear(&a);
        whole_clear(&b);
    }
}

/* The bytes are part of the promise: a file written today is read by later versions. */
static void test_format(void)
{
    Part p = { 0x1234, true };
    g_autoptr(GByteArray) out = g_byte_array_new();
    vmstate_save(&vm_part, &p, out);
    g_assert_cmpmem(out->data, out->len, "\0\0\0\3\x12\x34\1", 7);
}

static bool load_part(const void *bytes, size_t len, char **message)
{
    Part p = { 0 };
    size_t pos = 0;
    Error *err = NULL;
    bool ok = vmstate_load(&vm_part, &p, bytes, len, &pos, &err);
    g_clear_pointer(message, g_free);
    *message = err ? g_strdup(err->message) : NULL;
    g_clear_error(&err);
    return ok;
}

static void test_versions(void)
{
    g_autofree char *message = NULL;
    g_assert_true(load_part("\0\0\0\2\x12\x34\1", 7, &message));
    g_assert_false(load_part("\0\0\0\1\x12\x34\1", 7, &message));
    g_assert_cmpstr(message, ==, "part: version 1 can't be read, only 2 to 3");
    g_assert_false(load_part("\0\0\0\4\x12\x34\1", 7, &message));
    g_assert_false(load_part("\0\0\0\3\x12\x34\2", 7, &message));
    g_assert_cmpstr(message, ==, "part.b: a switch is neither on nor off");
    g_assert_false(load_part("\0\0\0\3\x12", 5, &message));
    g_assert_cmpstr(message, ==, "part.a: the data end too early");

    /* version 1 has no "late" */
    Whole a, b;
    whole_fill(&a);
    whole_init(&b);
    g_autoptr(GByteArray) out = g_byte_array_new();
    vmstate_save(&vm_whole, &a, out);
    out->data[3] = 1;
    b.late = 99;
    size_t pos = 0;
    g_assert_true(vmstate_load(&vm_whole, &b, out->data, out->len - 4, &pos, NULL));
    g_assert_cmpuint(b.late, ==, 99);
    g_assert_cmpuint(b.derived, ==, a.u32 + 1);
    whole_clear(&a);
    whole_clear(&b);
}

static void test_post_load_refuses(void)
{
    Whole a, b;
    whole_fill(&a);
    a.u8 = 0xee;
    whole_init(&b);
    g_autoptr(GByteArray) out = g_byte_array_new();
    vmstate_save(&vm_whole, &a, out);
    size_t pos = 0;
    Error *err = NULL;
    g_assert_false(vmstate_load(&vm_whole, &b, out->data, out->len, &pos, &err));
    g_assert_cmpstr(err->message, ==, "whole: u8 is out of range");
    g_clear_error(&err);
    whole_clear(&a);
    whole_clear(&b);
}

static void test_dump(void)
{
    Whole a;
    whole_fill(&a);
    g_autoptr(GString) out = g_string_new(NULL);
    vmstate_dump(&vm_whole, &a, out, 2);
    g_assert_nonnull(strstr(out->str, "  u16: 0x3456\n"));
    g_assert_nonnull(strstr(out->str, "  flags: off on off\n"));
    g_assert_nonnull(strstr(out->str, "  text: \"hello\"\n"));
    g_assert_nonnull(strstr(out->str, "  timer: 123456789 ns\n  idle: idle\n"));
    g_assert_nonnull(strstr(out->str, "  parts[2]:\n    a: 0x0009\n    b: off\n"));
    g_assert_nonnull(strstr(out->str, "  data: 70 61 79 6c 6f 61 64\n"));
    g_assert_null(strstr(out->str, "optional"));
    whole_clear(&a);
}

/* Every cut and every flipped bit: no crash, and no read outside (the sanitizers watch). */
static void test_hostile(void)
{
    Whole a;
    whole_fill(&a);
    g_autoptr(GByteArray) out = g_byte_array_new();
    vmstate_save(&vm_whole, &a, out);
    for (guint len = 0; len < out->len; len++) {
        Whole b;
        whole_init(&b);
        size_t pos = 0;
        g_autofree uint8_t *copy = g_memdup2(out->data, len);
        g_assert_false(vmstate_load(&vm_whole, &b, copy, len, &pos, NULL));
        whole_clear(&b);
    }
    for (guint bit = 0; bit < out->len * 8; bit++) {
        Whole b;
        whole_init(&b);
        size_t pos = 0;
        g_autofree uint8_t *copy = g_memdup2(out->data, out->len);
        copy[bit / 8] ^= 1 << bit % 8;
        if (vmstate_load(&vm_whole, &b, copy, out->len, &pos, NULL)) {
            g_assert_cmpuint(pos, <=, out->len);
            g_assert_cmpuint(b.data_len, <=, 100);
            g_assert_cmpuint(strnlen(b.text, sizeof(b.text)), <, sizeof(b.text));
        }
        whole_clear(&b);
    }
    whole_clear(&a);
}

/* ---- the whole machine ---------------------------------------------------------------- */

static bool load_machine(const GByteArray *in, guint len, char **message)
{
    Error *err = NULL;
    g_autofree uint8_t *copy = g_memdup2(in->data, len);
    bool ok = machine_state_load(copy, len, &err);
    g_clear_pointer(message, g_free);
    *message = err ? g_strdup(err->message) : NULL;
    g_assert_true(ok == !err);
    g_clear_error(&err);
    return ok;
}

static void refresh_crc(GByteArray *b)
{
    uint32_t crc = GUINT32_TO_BE(crc32(0, b->data, b->len - 4));
    memcpy(b->data + b->len - 4, &crc, 4);
}

static void test_machine(void)
{
    Part a = { 1, true }, b = { 2, false };
    Whole w;
    g_autofree char *message = NULL;
    whole_fill(&w);
    vmstate_register("part", 0, &vm_part, &a);
    vmstate_register("part", 1, &vm_part, &b);
    vmstate_register("whole", 0, &vm_whole, &w);
    vclock_restore(777);
    g_autoptr(GByteArray) out = g_byte_array_new();
    machine_state_save(out);

    a.a = b.a = 100;
    w.u32 = 0;
    vclock_restore(999);
    g_assert_true(load_machine(out, out->len, &message));
    g_assert_true(a.a == 1 && b.a == 2 && w.u32 == 0x789abcde && vclock_ns() == 777);

    /* damage is found before anything is changed */
    a.a = 100;
    for (guint len = 0; len < out->len; len++) {
        g_assert_false(load_machine(out, len, &message));
    }
    for (guint i = 0; i < out->len; i++) {
        out->data[i] ^= 0x10;
        g_assert_false(load_machine(out, out->len, &message));
        out->data[i] ^= 0x10;
    }
    g_assert_cmpstr(message, ==, "The machine state is damaged (wrong checksum)");
    g_assert_cmpuint(a.a, ==, 100);

    /* damage with a good checksum */
    for (guint i = 12; i < out->len - 4; i++) {
        g_autoptr(GByteArray) bad = g_byte_array_new();
        g_byte_array_append(bad, out->data, out->len);
        bad->data[i] ^= 1 << g_test_rand_int_range(0, 8);
        refresh_crc(bad);
        load_machine(bad, bad->len, &message);
    }

    /* other machines */
    vmstate_unregister(&vm_part, &b);
    g_assert_false(load_machine(out, out->len, &message));
    g_assert_cmpstr(message, ==, "The machine state is of a machine with 'part' (number 1), which this one has not");
    vmstate_register("part", 1, &vm_part, &b);
    vmstate_register("extra", 0, &vm_part, &b);
    g_assert_false(load_machine(out, out->len, &message));
    g_assert_cmpstr(message, ==, "The machine state is of a machine without 'extra' (number 0)");

    static const VMState stuck = { .name = "stuck", .fields = part_fields, .unmigratable = "it is stuck" };
    Error *err = NULL;
    g_assert_true(machine_state_can_save(&err));
    vmstate_register("stuck", 0, &stuck, &a);
    g_assert_false(machine_state_can_save(&err));
    g_assert_cmpstr(err->message, ==, "The state of 'stuck' can't be saved: it is stuck");
    g_clear_error(&err);
    whole_clear(&w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    mainloop_init();
    vclock_set_manual(true);
    g_test_add_func("/vmstate/round-trip", test_round_trip);
    g_test_add_func("/vmstate/format", test_format);
    g_test_add_func("/vmstate/versions", test_versions);
    g_test_add_func("/vmstate/post-load", test_post_load_refuses);
    g_test_add_func("/vmstate/dump", test_dump);
    g_test_add_func("/vmstate/hostile", test_hostile);
    g_test_add_func("/vmstate/machine", test_machine);
    return g_test_run();
}
