/* SPDX-License-Identifier: MIT */
/*
 * Values, option strings, -readconfig, properties, the log's options.
 */
#include "tests/unit/common.h"
#include "util/log.h"
#include "util/opts.h"
#include "util/parse.h"
#include "util/prop.h"

#include <string.h>
#include <unistd.h>

static void test_numbers(void)
{
    uint64_t u;
    int64_t i;
    bool b;
    uint8_t mac[6];
    g_assert_true(parse_uint("18446744073709551615", &u) && u == UINT64_MAX);
    g_assert_true(parse_uint("0x1F", &u) && u == 31);
    g_assert_true(parse_uint("010", &u) && u == 10);
    static const char *const no_uint[] = { "", " 1", "-1", "+1", "1 ", "0x", "0xg", "1e3", "abc",
                                           "18446744073709551616", "1.5" };
    for (size_t k = 0; k < G_N_ELEMENTS(no_uint); k++) {
        g_assert_false(parse_uint(no_uint[k], &u));
    }
    g_assert_true(parse_int("-9223372036854775808", &i) && i == INT64_MIN);
    g_assert_false(parse_int("9223372036854775808", &i));
    g_assert_false(parse_int("--1", &i));
    g_assert_true(parse_bool("yes", &b) && b);
    g_assert_true(parse_bool("off", &b) && !b);
    g_assert_false(parse_bool("1", &b));
    g_assert_false(parse_bool("", &b));
    g_assert_true(parse_mac("52:54:00:Ab-cd:ef", mac) && mac[3] == 0xab && mac[5] == 0xef);
    g_assert_false(parse_mac("52:54:00:12:34", mac));
    g_assert_false(parse_mac("52:54:00:12:34:5g", mac));
    g_assert_false(parse_mac("52:54:00:12:34:56:", mac));
}

static void check_size(const char *text, uint64_t unit, uint64_t want)
{
    uint64_t v = 1;
    g_assert_true(parse_size(text, unit, &v));
    g_assert_cmpuint(v, ==, want);
}

static void test_sizes(void)
{
    check_size("512", 1, 512);
    check_size("512", 1 << 20, 512ull << 20);
    check_size("512b", 1 << 20, 512);
    check_size("4k", 1, 4096);
    check_size("1.5G", 1, 3ull << 29);
    check_size("0.5k", 1, 512);
    check_size("0x100", 1, 256);
    check_size("15E", 1, 15ull << 60);
}

static void test_bad_sizes(void)
{
    uint64_t v;
    static const char *const bad[] = { "", "K", "5Q", "5KB", "5K ", "-5", "1.5", "1.5.5G", "1e3G",
                                       "16E", "99999999999999999999", "0x1K", ".5G", "1.G.", "20000000E" };
    for (size_t k = 0; k < G_N_ELEMENTS(bad); k++) {
        if (parse_size(bad[k], 1, &v)) {
            g_error("'%s' was taken for a size", bad[k]);
        }
    }
    g_autofree char *a = format_size(64 << 20), *b = format_size(3ull << 29), *c = format_size(0);
    g_assert_cmpstr(a, ==, "64 MiB");
    g_assert_cmpstr(b, ==, "1.5 GiB");
    g_assert_cmpstr(c, ==, "0 B");
}

static void test_nearest(void)
{
    static const char *const names[] = { "e1000", "rtl8139", "virtio-net", "isa-serial" };
    g_assert_cmpstr(nearest_name("e1001", names, 4), ==, "e1000");
    g_assert_cmpstr(nearest_name("e100", names, 4), ==, "e1000");
    g_assert_cmpstr(nearest_name("isa-seiral", names, 4), ==, "isa-serial");
    g_assert_null(nearest_name("floppy", names, 4));
    g_assert_null(nearest_name("x", names, 4));
    char huge[500];
    memset(huge, 'e', sizeof(huge));
    huge[499] = 0;
    g_assert_null(nearest_name(huge, names, 4));
}

/* ---- option strings ------------------------------------------------------------------ */

static void check_opts(const char *text, const char *implied, const char *want)
{
    static const char *const flags[] = { "wait", "delay", NULL };
    Error *err = NULL;
    g_autoptr(Opts) o = opts_parse("-x", text, implied, flags, &err);
    g_assert_no_error(err);
    g_autofree char *got = opts_to_string(o, NULL);
    g_assert_cmpstr(got, ==, want);
}

static void test_opts(void)
{
    check_opts("a=b,c=d", NULL, "a=b,c=d");
    check_opts("", "driver", "");
    check_opts("e1000,netdev=n0,mac=1", "driver", "driver=e1000,netdev=n0,mac=1");
    check_opts("file=/tmp/a,,b=c,if=ide", NULL, "file=/tmp/a,,b=c,if=ide");
    check_opts("a,,b,c", "first", "first=a,,b,c=on");
    check_opts("server,nowait,noble", NULL, "server=on,wait=off,noble=on");
    check_opts("a=,b", NULL, "a=,b=on");
    check_opts("{\"driver\": \"e1000\", \"addr\": 3, \"on\": true, \"sub\": {\"x\": [1, null]}}", "driver",
               "driver=e1000,addr=3,on=on,sub.x.0=1,sub.x.1=");
    Error *err = NULL;
    g_assert_null(opts_parse("-x", "=b", NULL, NULL, &err));
    assert_error(err, "-x: '=b': no name in front of '='");
    g_assert_null(opts_parse("-x", "{\"a\": ", NULL, NULL, &err));
    g_assert_true(g_str_has_prefix(err->message, "-x: JSON parse error"));
    g_clear_error(&err);
    g_assert_null(opts_parse("-x", "{}x", NULL, NULL, &err));
    g_clear_error(&err);
}

static void test_lookups(void)
{
    static const char *const colours[] = { "red", "green", NULL };
    Error *err = NULL;
    bool b;
    uint64_t u;
    int e;
    g_autoptr(Opts) o = opts_parse("-drive", "a=1,a=2,b=maybe,n=70,size=2M,c=blue,chace=none", NULL,
                                   NULL, &err);
    g_assert_cmpstr(opts_get(o, "a"), ==, "2");
    g_assert_true(opts_bool(o, "absent", true, &b, &err) && b);
    g_assert_false(opts_bool(o, "b", true, &b, &err));
    assert_error(err, "-drive: b=maybe: 'maybe' is not on or off");
    g_assert_false(opts_uint(o, "n", 0, 1, 64, &u, &err));
    assert_error(err, "-drive: n=70 is out of range (1 to 64)");
    g_assert_true(opts_uint(o, "n", 0, 1, 70, &u, &err) && u == 70);
    g_assert_true(opts_size(o, "size", 0, &u, &err) && u == 2 << 20);
    g_assert_false(opts_size(o, "c", 0, &u, &err));
    assert_error(err, "-drive: c=blue: 'blue' is not a size (a number with K, M, G or T)");
    g_assert_false(opts_enum(o, "c", colours, 0, &e, &err));
    assert_error(err, "-drive: c=blue: 'blue' is none of: red, green");
    opts_get(o, "cache");
    g_assert_false(opts_check_unused(o, &err));
    assert_error(err, "-drive: unknown option 'chace' (did you mean 'cache'?)");
    g_assert_false(opts_help(o));
    g_autoptr(Opts) help = opts_parse("-device", "e1000,help", "driver", NULL, NULL);
    g_assert_true(opts_help(help));
    g_autoptr(Opts) help2 = opts_parse("-device", "help", "driver", NULL, NULL);
    g_assert_true(opts_help(help2));
}

static void test_to_json(void)
{
    Error *err = NULL;
    g_autoptr(Opts) o = opts_parse("-x", "driver=raw,file.driver=file,file.filename=a,,b,cache.direct=on",
                                   NULL, NULL, NULL);
    g_autoptr(Json) j = opts_to_json(o, &err);
    g_autofree char *text = json_to_string(j);
    g_assert_cmpstr(text, ==, "{\"driver\": \"raw\", \"file\": {\"driver\": \"file\", \"filename\": "
                    "\"a,b\"}, \"cache\": {\"direct\": \"on\"}}");
    g_autoptr(Opts) bad = opts_parse("-x", "file=a,file.driver=b", NULL, NULL, NULL);
    g_assert_null(opts_to_json(bad, &err));
    assert_error(err, "-x: 'file' is both a value and a group");
    g_autoptr(Opts) bad2 = opts_parse("-x", "file.driver=b,file=a", NULL, NULL, NULL);
    g_assert_null(opts_to_json(bad2, &err));
    g_clear_error(&err);
    g_autoptr(Opts) nameless = opts_parse("-x", ",", NULL, NULL, NULL);
    g_assert_nonnull(nameless);
    g_assert_null(opts_to_json(nameless, &err));
    assert_error(err, "-x: an option without a name");
}

/* ---- -readconfig --------------------------------------------------------------------- */

static bool note_group(void *opaque, const char *group, const char *id, Opts *opts, Error **err)
{
    g_autofree char *text = opts_to_string(opts, NULL);
    g_string_append_printf(opaque, "%s(%s)%s;", group, id ? id : "", text);
    opts_free(opts);
    return strcmp(group, "stop") != 0 || fail(err, "stopped");
}

static bool read_config(const char *text, GString *out, Error **err)
{
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("orrery-config-XXXXXX", &path, NULL);
    g_assert_cmpint(write(fd, text, strlen(text)), ==, (ssize_t)strlen(text));
    close(fd);
    bool ok = readconfig_parse(path, note_group, out, err);
    if (err && *err) {
        char *base = strstr((*err)->message, path);     /* the name changes from run to run */
        if (base) {
            memmove(base, base + strlen(path), strlen(base + strlen(path)) + 1);
        }
    }
    unlink(path);
    return ok;
}

static void test_readconfig(void)
{
    GString *out = g_string_new(NULL);
    Error *err = NULL;
    g_assert_true(read_config("# comment\n\n[machine]\n  type = \"pc\"\n[drive \"d0\"]\nfile = \"a,b = c\"\n"
                              "if=\"ide\"\n; more\n[empty]\n", out, &err));
    g_assert_cmpstr(out->str, ==, "machine()type=pc;drive(d0)file=a,,b = c,if=ide;empty();");
    g_assert_false(read_config("x = \"1\"\n", out, &err));
    assert_error(err, ":1: 'x' stands in front of the first [group]");
    g_assert_false(read_config("[a]\nx = 1\n", out, &err));
    assert_error(err, ":2: a setting is written key = \"value\"");
    g_assert_false(read_config("[a \"b]\n", out, &err));
    assert_error(err, ":1: a group is written [group] or [group \"id\"]");
    g_assert_false(read_config("[stop]\n[next]\n", out, &err));
    assert_error(err, "stopped");
    g_assert_false(readconfig_parse("/nonexistent/file", note_group, out, &err));
    assert_error(err, "'/nonexistent/file': No such file or directory");
    g_string_free(out, TRUE);
}

/* ---- properties ---------------------------------------------------------------------- */

typedef struct Thing {
    bool flag;
    uint8_t byte;
    uint16_t port;
    int32_t level, devfn, mode, autoflag;
    uint64_t size;
    char *text;
    uint8_t mac[6];
    void *chr;
} Thing;

static const char *const modes[] = { "slow", "fast", NULL };
static const Prop thing_props[] = {
    PROP_BOOL("flag", Thing, flag, true, "a switch"),
    PROP_UINT("byte", Thing, byte, 7, "a byte"),
    PROP_UINT_R("port", Thing, port, 0x3f8, 0x100, 0x3ff, "a port"),
    PROP_INT("level", Thing, level, -1, "a level"),
    PROP_SIZE("size", Thing, size, 1 << 20, "a size"),
    PROP_STRING("text", Thing, text, "hello", "a text"),
    PROP_ENUM("mode", Thing, mode, 1, modes, "a mode"),
    PROP_MAC("mac", Thing, mac, "an address"),
    PROP_DEVFN("addr", Thing, devfn, "a place"),
    PROP_ONOFFAUTO("auto", Thing, autoflag, 2, "maybe"),
    PROP_CHARDEV("chardev", Thing, chr, "a back-end"),
    PROP_DONE
};

static void check_prop(Thing *t, const char *name, const char *value, const char *shown)
{
    Error *err = NULL;
    prop_set(t, thing_props, "thing", name, value, &err);
    g_assert_no_error(err);
    g_autofree char *got = prop_get_string(t, prop_find(thing_props, name));
    g_assert_cmpstr(got, ==, shown);
}

static void check_bad_prop(const char *name, const char *value, const char *message)
{
    Thing t = { 0 }, before;
    Error *err = NULL;
    props_set_defaults(&t, thing_props);
    before = t;
    g_assert_false(prop_set(&t, thing_props, "thing", name, value, &err));
    assert_error(err, message);
    g_assert_cmpmem(&t, sizeof(t), &before, sizeof(t));
    props_free(&t, thing_props);
}

static void test_props(void)
{
    Thing t = { 0 };
    props_set_defaults(&t, thing_props);
    g_assert_true(t.flag && t.byte == 7 && t.port == 0x3f8 && t.level == -1 && t.devfn == -1
                  && t.mode == 1 && t.autoflag == 2 && t.size == 1 << 20 && !t.chr);
    g_assert_cmpstr(t.text, ==, "hello");
    check_prop(&t, "flag", "no", "false");
    check_prop(&t, "byte", "0xff", "255");
    check_prop(&t, "port", "0x2f8", "760");
    check_prop(&t, "level", "-2147483648", "-2147483648");
    check_prop(&t, "size", "1G", "1073741824");
    check_prop(&t, "text", "", "");
    check_prop(&t, "mode", "slow", "slow");
    check_prop(&t, "mac", "52:54:00:12:34:56", "52:54:00:12:34:56");
    check_prop(&t, "addr", "1f.7", "1f.7");
    check_prop(&t, "addr", "0x1.0x2", "01.2");
    check_prop(&t, "addr", "a", "0a.0");
    check_prop(&t, "auto", "on", "on");
    check_prop(&t, "chardev", "", "");
    props_free(&t, thing_props);
    g_assert_null(t.text);

    check_bad_prop("flag", "2", "Property 'thing.flag': '2' is not on or off");
    check_bad_prop("byte", "256", "Property 'thing.byte': 256 is out of range (0 to 255)");
    check_bad_prop("byte", "x", "Property 'thing.byte': 'x' is not a number (decimal, or hex with 0x)");
    check_bad_prop("port", "0x80", "Property 'thing.port': 0x80 is out of range (256 to 1023)");
    check_bad_prop("level", "2147483648",
                   "Property 'thing.level': 2147483648 is out of range (-2147483648 to 2147483647)");
    check_bad_prop("size", "5Q", "Property 'thing.size': '5Q' is not a size (a number with K, M, G or T)");
    check_bad_prop("mode", "medium", "Property 'thing.mode': 'medium' is none of: slow, fast");
    check_bad_prop("addr", "20", "Property 'thing.addr': '20' is not a PCI address (SLOT or "
                   "SLOT.FUNCTION in hex, to 1f.7)");
    check_bad_prop("addr", "1.8", "Property 'thing.addr': '1.8' is not a PCI address (SLOT or "
                   "SLOT.FUNCTION in hex, to 1f.7)");
    check_bad_prop("mac", "1", "Property 'thing.mac': '1' is not a MAC address (as 52:54:00:12:34:56)");
    check_bad_prop("auto", "x", "Property 'thing.auto': 'x' is not on, off or auto");
    check_bad_prop("chardev", "c9", "Property 'thing.chardev': there is no chardev 'c9'");
    check_bad_prop("prot", "1", "Property 'thing.prot' not found (did you mean 'port'?)");
    check_bad_prop("zzz", "1", "Property 'thing.zzz' not found");

    g_autoptr(GString) help = g_string_new(NULL);
    props_help(help, "thing", thing_props);
    g_assert_nonnull(strstr(help->str, "  port=<uint16>          - a port (default: 1016 (0x3f8))\n"));
    g_assert_nonnull(strstr(help->str, "  mode=<enum>            - a mode (slow/fast) (default: fast)\n"));
}

static void test_log(void)
{
    Error *err = NULL;
    g_assert_true(log_set_items("in_asm,int", &err));
    g_assert_cmphex(log_mask, ==, LOG_IN_ASM | LOG_INT);
    g_assert_false(log_set_items("in_asm,itn", &err));
    assert_error(err, "-d in_asm,itn: 'itn' is not a log item (see -d help)");
    g_assert_false(log_set_file("/nonexistent/x", &err));
    assert_error(err, "log file '/nonexistent/x': No such file or directory");
    g_assert_false(log_set_file("/tmp/%s", &err));
    g_clear_error(&err);

    g_autofree char *dir = g_dir_make_tmp("orrery-log-XXXXXX", NULL);
    g_autofree char *pattern = g_build_filename(dir, "log-%d.txt", NULL);
    g_autofree char *name = g_strdup_printf("%s/log-%d.txt", dir, getpid());
    g_assert_true(log_set_file(pattern, &err));
    g_assert_true(log_set_items("guest_errors", &err));
    LOG_GUEST("bad %d", 5);
    LOG(LOG_INT, "not shown\n");
    log_write("%0300d\n", 7);           /* longer than the fast path's buffer */
    g_assert_true(log_set_items("none", &err));
    g_autofree char *text = NULL;
    g_assert_true(g_file_get_contents(name, &text, NULL, NULL));
    g_assert_true(g_str_has_prefix(text, "guest error: bad 5\n000"));
    g_assert_cmpuint(strlen(text), ==, strlen("guest error: bad 5\n") + 301);
    unlink(name);
    rmdir(dir);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/parse/numbers", test_numbers);
    g_test_add_func("/parse/sizes", test_sizes);
    g_test_add_func("/parse/bad-sizes", test_bad_sizes);
    g_test_add_func("/parse/nearest", test_nearest);
    g_test_add_func("/opts/strings", test_opts);
    g_test_add_func("/opts/lookups", test_lookups);
    g_test_add_func("/opts/json", test_to_json);
    g_test_add_func("/opts/readconfig", test_readconfig);
    g_test_add_func("/props", test_props);
    g_test_add_func("/log", test_log);
    return g_test_run();
}
