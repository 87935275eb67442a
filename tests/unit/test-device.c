/* SPDX-License-Identifier: MIT */
/*
 * The device model: types, buses, properties, globals, life, reset, -device, info qtree.
 */
#include "hw/core/device.h"
#include "tests/unit/common.h"
#include "util/bql.h"
#include "util/mainloop.h"
#include "util/opts.h"
#include "util/rcu.h"

#include <string.h>

static GString *trace;

/* ---- a bus and two types for it ------------------------------------------------------- */

typedef struct Shelf {
    Bus bus;
} Shelf;

typedef struct Book {
    Device dev;
    uint32_t place;                     /* bus property */
    uint32_t pages;
    bool broken;
    char *title;
    uint32_t read;                      /* state */
    int lines[4];
} Book;

static const Prop shelf_props[] = {
    PROP_UINT_R("place", Book, place, 0, 0, 9, "where on the shelf"),
    PROP_DONE
};

static bool shelf_add(Bus *bus, Device *dev, Error **err)
{
    g_string_append(trace, "add ");
    return ((Book *)dev)->place != 9 || fail(err, "place 9 is reserved");
}

static void shelf_remove(Bus *bus, Device *dev)
{
    g_string_append(trace, "remove ");
}

static bool shelf_added(Bus *bus, Device *dev, Error **err)
{
    g_string_append(trace, "added ");
    return ((Book *)dev)->place != 8 || fail(err, "place 8 is too narrow");
}

static void shelf_reset(Bus *bus, Device *dev)
{
    g_string_append(trace, "bus-reset ");
}

static void shelf_path(Bus *bus, Device *dev, GString *out)
{
    g_string_append_printf(out, "shelf:%u", ((Book *)dev)->place);
}

static void shelf_print(Bus *bus, Device *dev, GString *out, int indent)
{
    g_string_append_printf(out, "%*splace %u\n", indent, "", ((Book *)dev)->place);
}

static const BusType shelf_type = {
    .name = "shelf", .props = shelf_props, .add = shelf_add, .remove = shelf_remove,
    .added = shelf_added, .reset = shelf_reset, .path = shelf_path, .print = shelf_print,
};
BUS_TYPE(shelf_type);

static bool book_realize(Device *dev, Error **err)
{
    Book *b = (Book *)dev;
    g_string_append(trace, "realize ");
    b->read = 77;
    return !b->broken || fail(err, "the book is broken");
}

static void book_reset(Device *dev)
{
    g_string_append(trace, "reset ");
    ((Book *)dev)->read = 0;
}

static void book_unrealize(Device *dev)
{
    g_string_append(trace, "unrealize ");
}

static void book_irq(void *dev, int n, int level)
{
    ((Book *)dev)->lines[n] = level;
}

static const VMField book_fields[] = { VM_UINT(Book, read), VM_DONE };
static const VMState vm_book = { .name = "book", .version = 1, .fields = book_fields };
static const Prop book_props[] = {
    PROP_UINT("pages", Book, pages, 100, "how many"),
    PROP_BOOL("broken", Book, broken, false, "can't be realized"),
    PROP_STRING("title", Book, title, "untitled", "what it says in front"),
    PROP_DONE
};
static const DeviceType book = {
    .name = "book", .alias = "tome", .desc = "a book", .bus = "shelf", .category = "Misc",
    .size = sizeof(Book), .props = book_props, .vmstate = &vm_book, .realize = book_realize,
    .reset = book_reset, .unrealize = book_unrealize, .irq_in = book_irq, .irq_inputs = 4,
};
DEVICE_TYPE(book);

typedef struct Room {
    Device dev;
    Shelf shelf;
} Room;

static bool room_realize(Device *dev, Error **err)
{
    bus_init(&((Room *)dev)->shelf.bus, &shelf_type, dev, "shelf.0");
    ((Room *)dev)->shelf.bus.max_devices = 3;
    return true;
}

static const DeviceType room = { .name = "room", .size = sizeof(Room), .realize = room_realize };
DEVICE_TYPE(room);

static Room *new_room(void)
{
    Device *d = device_new("room");
    device_realize_or_die(d, NULL);
    g_string_truncate(trace, 0);
    return (Room *)d;
}

static Device *add(const char *options, Error **err)
{
    return device_add(opts_parse("-device", options, "driver", NULL, NULL), err);
}

static void count_section(const char *name, int instance, const VMState *vm, void *opaque, void *user)
{
    if (strcmp(name, "clock")) {
        g_string_append_printf(user, "%s#%d ", name, instance);
    }
}

static char *section_names(void)
{
    GString *s = g_string_new(NULL);
    vmstate_foreach(count_section, s);
    return g_string_free(s, FALSE);
}

static void test_life(void)
{
    Room *r = new_room();
    Error *err = NULL;
    Device *d = device_new("tome");
    g_assert_cmpstr(d->type->name, ==, "book");
    device_set_uint(d, "pages", 5);
    device_set_uint(d, "place", 3);
    device_set_str(d, "title", "Emma");
    g_assert_true(device_set(d, "broken", "off", &err));
    g_assert_true(device_realize(d, NULL, &err));
    g_assert_cmpstr(trace->str, ==, "add realize bus-reset reset added ");
    g_assert_true(d->bus == &r->shelf.bus && ((Book *)d)->read == 0);
    g_autofree char *names = section_names();
    g_assert_cmpstr(names, ==, "shelf:3/book#0 ");
    g_assert_false(device_set(d, "pages", "6", &err));
    assert_error(err, "Property 'book.pages' can't be changed once the device is realized");
    g_autofree char *title = device_get(d, "title");
    g_assert_cmpstr(title, ==, "Emma");

    IRQ line = device_irq_in(d, 2);
    irq_raise(&line);
    g_assert_cmpint(((Book *)d)->lines[2], ==, 1);

    /* the owner takes its bus and what is on it along */
    g_string_truncate(trace, 0);
    device_unrealize(&r->dev);
    g_assert_cmpstr(trace->str, ==, "unrealize remove ");
    g_assert_null(bus_find("shelf.0"));
    g_autofree char *none = section_names();
    g_assert_cmpstr(none, ==, "");
}

static void test_refusals(void)
{
    Error *err = NULL;
    Device *d = device_new("book");
    g_assert_false(device_realize(d, NULL, &err));
    assert_error(err, "No 'shelf' bus found for device 'book'");
    Room *r = new_room();
    device_set_uint(d, "place", 9);
    g_assert_false(device_realize(d, NULL, &err));
    assert_error(err, "place 9 is reserved");
    device_set_uint(d, "place", 8);
    g_string_truncate(trace, 0);
    g_assert_false(device_realize(d, NULL, &err));
    assert_error(err, "place 8 is too narrow");
    g_assert_cmpstr(trace->str, ==, "add realize bus-reset reset added unrealize remove ");
    device_set_uint(d, "place", 1);
    device_set_str(d, "broken", "on");
    g_string_truncate(trace, 0);
    g_assert_false(device_realize(d, NULL, &err));
    assert_error(err, "the book is broken");
    g_assert_cmpstr(trace->str, ==, "add realize remove ");
    g_assert_cmpuint(r->shelf.bus.devices->len, ==, 0);
    device_unrealize(d);

    for (int i = 0; i < 3; i++) {
        g_autofree char *text = g_strdup_printf("book,place=%d", i);
        g_assert_nonnull(add(text, &err));
    }
    g_assert_null(add("book,place=4", &err));
    assert_error(err, "-device: Bus 'shelf.0' is full");
    Device *d2 = device_new("room");
    g_assert_false(device_realize(d2, &r->shelf.bus, &err));
    assert_error(err, "Device 'room' can't go on a bus");
    device_unrealize(d2);
    device_unrealize(&r->dev);
}

static void test_add(void)
{
    Room *r = new_room();
    Error *err = NULL;
    Device *d = add("book,id=b0,pages=0x10,title=a,,b,place=1", &err);
    g_assert_no_error(err);
    g_assert_true(device_find("b0") == d && d->user_created && ((Book *)d)->pages == 16);
    g_assert_cmpstr(((Book *)d)->title, ==, "a,b");
    d = add("{\"driver\":\"book\",\"id\":\"b1\",\"pages\":7,\"bus\":\"shelf.0\",\"broken\":false,\"place\":2}", &err);
    g_assert_no_error(err);
    g_assert_cmpuint(((Book *)d)->pages, ==, 7);

    static const char *const bad[][2] = {
        { "bok", "-device: 'bok' is not a valid device model name (did you mean 'book'?)" },
        { "zzzzzz", "-device: 'zzzzzz' is not a valid device model name" },
        { "room", "-device: Parameter 'driver' expects a pluggable device type; 'room' is part of the board" },
        { "id=x", "-device: Parameter 'driver' is missing" },
        { "book,id=b0,place=3", "-device: Duplicate device ID 'b0'" },
        { "book,id=0b", "-device: Parameter 'id' expects an identifier (letters, digits, '-', '.' and "
                        "'_', beginning with a letter), not '0b'" },
        { "book,bus=nope", "-device: Bus 'nope' not found" },
        { "book,pgaes=1", "-device: Property 'book.pgaes' not found (did you mean 'pages'?)" },
        { "book,palce=1", "-device: Property 'book.palce' not found (did you mean 'place'?)" },
        { "book,pages=many", "-device: Property 'book.pages': 'many' is not a number (decimal, or hex with 0x)" },
        { "book,place=10", "-device: Property 'book.place': 10 is out of range (0 to 9)" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_assert_null(add(bad[i][0], &err));
        assert_error(err, bad[i][1]);
    }
    g_assert_cmpuint(r->shelf.bus.devices->len, ==, 2);

    g_autoptr(GString) help = g_string_new(NULL);
    device_help(help);
    g_assert_cmpstr(help->str, ==, "Misc devices:\nname \"book\", bus shelf, alias \"tome\", desc \"a book\"\n");
    g_string_truncate(help, 0);
    g_assert_true(device_type_help(help, "tome", &err));
    g_assert_true(g_str_has_prefix(help->str, "book options:\n  pages=<uint32> "));
    g_assert_nonnull(strstr(help->str, "\n  place=<uint32> "));
    g_assert_false(device_type_help(help, "room", &err));
    g_clear_error(&err);
    device_unrealize(&r->dev);
}

/* Numbers of devices are taken again, so that plugging back and forth ends at the same names. */
static void test_instances(void)
{
    Device *r[3];
    for (int i = 0; i < 3; i++) {
        r[i] = device_new("room");
        device_realize_or_die(r[i], NULL);
        g_assert_cmpint(r[i]->instance, ==, i);
    }
    device_unrealize(r[1]);
    r[1] = device_new("room");
    device_realize_or_die(r[1], NULL);
    g_assert_cmpint(r[1]->instance, ==, 1);
    for (int i = 0; i < 3; i++) {
        device_unrealize(r[i]);
    }
}

static void on_reset(void *opaque)
{
    g_string_append_printf(trace, "%s ", (const char *)opaque);
}

static void test_reset(void)
{
    static char hook1[] = "hook1", hook2[] = "hook2";
    Room *r = new_room();
    Device *d = add("book", NULL);
    reset_register(on_reset, hook1);
    reset_register(on_reset, hook2);
    ((Book *)d)->read = 5;
    g_string_truncate(trace, 0);
    devices_reset();
    g_assert_cmpstr(trace->str, ==, "bus-reset reset hook1 hook2 ");
    g_assert_cmpuint(((Book *)d)->read, ==, 0);
    reset_unregister(on_reset, hook1);
    g_string_truncate(trace, 0);
    devices_reset();
    g_assert_cmpstr(trace->str, ==, "bus-reset reset hook2 ");
    reset_unregister(on_reset, hook2);
    device_unrealize(&r->dev);
}

static void test_qtree(void)
{
    Room *r = new_room();
    add("book,id=b0,title=x,place=4", NULL);
    g_autoptr(GString) out = g_string_new(NULL);
    device_info_qtree(out);
    g_assert_cmpstr(out->str, ==,
        "bus: main-system-bus\n"
        "  type System\n"
        "  dev: room, id \"\"\n"
        "    bus: shelf.0\n"
        "      type shelf\n"
        "      dev: book, id \"b0\"\n"
        "        pages = 100 (0x64)\n"
        "        broken = false\n"
        "        title = \"x\"\n"
        "        place = 4 (0x4)\n"
        "        place 4\n");
    device_unrealize(&r->dev);
}

/* Machine versions first, then the user; this comes last as it can't be undone. */
static void test_globals(void)
{
    Room *r = new_room();
    device_add_global("book", "pages", "11", false);
    device_add_global("tome", "title", "old", false);
    device_add_global("book", "place", "5", true);
    device_add_global("book", "pages", "12", true);
    g_assert_true(device_check_globals(NULL));
    Device *d = add("book,title=new", NULL);
    Book *b = (Book *)d;
    g_assert_true(b->pages == 12 && b->place == 5 && !strcmp(b->title, "new"));
    device_unrealize(&r->dev);

    /* rows stay: what comes next is the error of the first bad one */
    Error *err = NULL;
    if (g_test_subprocess()) {
        device_add_global("scroll", "pages", "1", true);
        g_assert_true(device_check_globals(&err));
        exit(0);
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_passed();
    g_test_trap_assert_stderr("*warning: global scroll.pages=1 has no effect: there is no device "
                              "type 'scroll'*");
    device_add_global("book", "pages", "x", true);
    g_assert_false(device_check_globals(&err));
    assert_error(err, "can't apply global book.pages=x: Property 'book.pages': 'x' is not a number "
                 "(decimal, or hex with 0x)");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    mainloop_init();
    memory_init();
    trace = g_string_new(NULL);
    g_test_add_func("/device/life", test_life);
    g_test_add_func("/device/refusals", test_refusals);
    g_test_add_func("/device/add", test_add);
    g_test_add_func("/device/instances", test_instances);
    g_test_add_func("/device/reset", test_reset);
    g_test_add_func("/device/qtree", test_qtree);
    g_test_add_func("/device/globals", test_globals);
    int ret = g_test_run();
    rcu_drain();
    return ret;
}
