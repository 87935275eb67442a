/* SPDX-License-Identifier: MIT */
/*
 * JSON: reading, writing, streams, hostile input.
 */
#include "util/json.h"

#include <string.h>

static void round_trip(const char *text, const char *want)
{
    Error *err = NULL;
    g_autoptr(Json) j = json_parse(text, &err);
    g_assert_no_error(err);
    g_autofree char *out = json_to_string(j);
    g_assert_cmpstr(out, ==, want);
    g_autoptr(Json) again = json_parse(out, &err);
    g_assert_no_error(err);
    g_assert_true(json_equal(j, again));
    g_autoptr(Json) copy = json_copy(j);
    g_assert_true(json_equal(j, copy));
}

static void test_round_trip(void)
{
    round_trip("null", "null");
    round_trip(" true ", "true");
    round_trip("-0", "0");
    round_trip("9223372036854775807", "9223372036854775807");
    round_trip("-9223372036854775808", "-9223372036854775808");
    round_trip("18446744073709551615", "18446744073709551615");
    round_trip("1.5", "1.5");
    round_trip("1e3", "1000.0");
    round_trip("[]", "[]");
    round_trip("{}", "{}");
    round_trip("[1,[2,{\"a\":null}]]", "[1, [2, {\"a\": null}]]");
    round_trip("{\"z\":1,\"a\":2}", "{\"z\": 1, \"a\": 2}");
    round_trip("{'single': 'it\\'s'}", "{\"single\": \"it's\"}");
    round_trip("\"\\u00e9\\n\\t\\\\\\\"\\/\"", "\"\\u00E9\\n\\t\\\\\\\"/\"");
    round_trip("\"\xc3\xa9\"", "\"\\u00E9\"");
    round_trip("\"\\ud83d\\ude00\"", "\"\\uD83D\\uDE00\"");
    round_trip("{\"a\":1,\"b\":2,\"a\":3}", "{\"a\": 3, \"b\": 2}");
    /* numbers beyond 64 bits become doubles and stay readable */
    Error *err = NULL;
    g_autoptr(Json) j = json_parse("18446744073709551616", &err);
    g_assert_cmpint(j->type, ==, JSON_DOUBLE);
}

static void test_errors(void)
{
    static const char *const bad[] = {
        "", "  ", "{", "[", "{]", "[1,]", "[1 2]", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{1:2}", "tru",
        "truex", "01", "-", "1.", "1.e3", "1e", "+1", ".5", "\"", "\"\\x\"", "\"\\u12\"", "\"\\ud800\"",
        "\"\\udc00\"", "\"\\ud800\\u0041\"", "\"\\u0000\"", "\"\t\"", "\"\xff\"", "\"\xc0\x80\"", "1 2",
        "{} {}", "'a\"", "nul", "[1}", "\x01",
    };
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        Error *err = NULL;
        g_autoptr(Json) j = json_parse(bad[i], &err);
        if (j || !err) {
            g_error("'%s' was accepted", bad[i]);
        }
        g_assert_true(g_str_has_prefix(err->message, "JSON parse error"));
        g_clear_error(&err);
    }
    g_assert_null(json_parse_len("\"a\0b\"", 5, NULL));
}

static char *deep(unsigned n)
{
    char *text = g_malloc(2 * n + 1);
    memset(text, '[', n);
    memset(text + n, ']', n);
    text[2 * n] = 0;
    return text;
}

static void test_limits(void)
{
    g_autofree char *ok = deep(1000), *too_deep = deep(2000);
    g_autoptr(Json) j = json_parse(ok, NULL);
    g_assert_nonnull(j);
    Error *err = NULL;
    g_assert_null(json_parse(too_deep, &err));
    g_assert_nonnull(strstr(err->message, "nested too deep"));
    g_clear_error(&err);

    /* many keys must not cost their square */
    g_autoptr(GString) s = g_string_new("{");
    for (int i = 0; i < 200000; i++) {
        g_string_append_printf(s, "%s\"k%d\":%d", i ? "," : "", i, i);
    }
    g_string_append_c(s, '}');
    g_autoptr(Json) big = json_parse(s->str, &err);
    g_assert_no_error(err);
    g_assert_cmpuint(json_len(big), ==, 200000);
}

static void test_members(void)
{
    Error *err = NULL;
    const char *str = NULL;
    int64_t i = 0;
    uint64_t u = 0;
    bool b = false;
    double d = 0;
    g_autoptr(Json) j = json_parse("{\"s\":\"x\",\"i\":-5,\"u\":18446744073709551615,\"b\":true,\"d\":2.5}",
                                   NULL);
    g_assert_true(json_get_str(j, "s", JSON_REQUIRED, &str, &err) && !strcmp(str, "x"));
    g_assert_true(json_get_int(j, "i", JSON_REQUIRED, &i, &err) && i == -5);
    g_assert_true(json_get_uint(j, "u", JSON_REQUIRED, &u, &err) && u == UINT64_MAX);
    g_assert_true(json_get_bool(j, "b", JSON_REQUIRED, &b, &err) && b);
    g_assert_true(json_get_double(j, "d", JSON_REQUIRED, &d, &err) && d == 2.5);
    g_assert_true(json_get_double(j, "i", JSON_REQUIRED, &d, &err) && d == -5);
    g_assert_false(json_get_uint(j, "i", JSON_OPTIONAL, &u, &err));
    g_assert_cmpstr(err->message, ==, "Invalid parameter type for 'i', expected: uint64");
    g_clear_error(&err);
    g_assert_false(json_get_int(j, "u", JSON_OPTIONAL, &i, &err));
    g_clear_error(&err);
    g_assert_false(json_get_str(j, "none", JSON_OPTIONAL, &str, &err));
    g_assert_no_error(err);
    g_assert_false(json_get_str(j, "none", JSON_REQUIRED, &str, &err));
    g_assert_cmpstr(err->message, ==, "Parameter 'none' is missing");
    g_clear_error(&err);
    g_assert_true(json_remove(j, "i"));
    g_assert_false(json_remove(j, "i"));
    g_autoptr(Json) s = json_steal(j, "s");
    g_assert_cmpstr(s->s, ==, "x");
    g_assert_cmpuint(json_len(j), ==, 3);

    g_autoptr(Json) o = json_object();
    json_set_str(o, "bytes", "a\xff" "b");      /* not UTF-8: replaced, never passed on */
    json_set_int(o, "n", 1);
    json_set_int(o, "n", 2);
    Json *list = json_array();
    json_append(list, json_uint(UINT64_MAX));
    json_append(list, json_double(0.0 / 0.0));
    json_set(o, "list", list);
    g_autoptr(GString) out = g_string_new(NULL);
    json_write(out, o, true);
    g_assert_cmpstr(out->str, ==, "{\n    \"bytes\": \"a\\uFFFDb\",\n    \"n\": 2,\n    \"list\": [\n"
                    "        18446744073709551615,\n        null\n    ]\n}");
}

/* ---- streams ------------------------------------------------------------------------- */

static void note(void *opaque, Json *value, const Error *err)
{
    GString *out = opaque;
    g_assert_true(!value != !err);
    if (err) {
        g_string_append(out, "E;");
        return;
    }
    json_write(out, value, false);
    g_string_append_c(out, ';');
    json_free(value);
}

/* However the bytes are cut, the values are the same. */
static void check_stream(const char *text, const char *want)
{
    size_t len = strlen(text);
    for (size_t chunk = 1; chunk <= len; chunk++) {
        g_autoptr(GString) out = g_string_new(NULL);
        JsonStream *s = json_stream_new(note, out);
        for (size_t at = 0; at < len; at += chunk) {
            json_stream_feed(s, text + at, MIN(chunk, len - at));
        }
        g_assert_cmpstr(out->str, ==, want);
        json_stream_free(s);
    }
}

static void test_stream(void)
{
    check_stream("{\"a\":1}{\"b\":2}\n[3]", "{\"a\": 1};{\"b\": 2};[3];");
    check_stream("{\"a\": \"}{\\\"]\"} {}", "{\"a\": \"}{\\\"]\"};{};");
    check_stream("1 2\n\"x\"'y' true[]", "1;2;\"x\";\"y\";true;[];");
    check_stream("{\"a\":}\n{\"b\":1}\n", "E;{\"b\": 1};");
    check_stream("]\n{}\n", "E;{};");
    check_stream("{]junk{}\n{}\n", "E;{};");
    check_stream("{\"open\": [\xff{\"b\":1}", "{\"b\": 1};");
    check_stream("bogus\n{}\n", "E;{};");
    check_stream("{'execute':'qmp_capabilities'}\r\n", "{\"execute\": \"qmp_capabilities\"};");
}

static void test_stream_limits(void)
{
    g_autoptr(GString) out = g_string_new(NULL);
    JsonStream *s = json_stream_new(note, out);
    for (int i = 0; i < 5000; i++) {
        json_stream_feed(s, "[", 1);
    }
    g_assert_cmpstr(out->str, ==, "E;");
    json_stream_feed(s, "\n{}", 3);
    g_assert_cmpstr(out->str, ==, "E;{};");
    g_string_truncate(out, 0);
    g_autofree char *blank = g_strnfill(1 << 20, 'x');
    json_stream_feed(s, "\"", 1);
    for (int i = 0; i < 65; i++) {
        json_stream_feed(s, blank, 1 << 20);
    }
    g_assert_cmpstr(out->str, ==, "E;");
    json_stream_free(s);
}

static void test_random(void)
{
    static const char letters[] = "{}[]\",:'\\u0d8 1-.eE+tfnrulasb\n\t\xff\x80\xc3\xa9";
    for (int round = 0; round < (g_test_slow() ? 200000 : 20000); round++) {
        char text[64];
        int len = g_test_rand_int_range(0, sizeof(text));
        for (int i = 0; i < len; i++) {
            text[i] = letters[g_test_rand_int_range(0, sizeof(letters) - 1)];
        }
        Error *err = NULL;
        g_autoptr(Json) j = json_parse_len(text, len, &err);
        g_assert_true(!j != !err);
        g_clear_error(&err);
        if (j) {
            g_autofree char *out = json_to_string(j);
            g_autoptr(Json) again = json_parse(out, NULL);
            g_assert_true(again && json_equal(j, again));
        }
        g_autoptr(GString) got = g_string_new(NULL);
        JsonStream *s = json_stream_new(note, got);
        json_stream_feed(s, text, len);
        json_stream_free(s);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/json/round-trip", test_round_trip);
    g_test_add_func("/json/errors", test_errors);
    g_test_add_func("/json/limits", test_limits);
    g_test_add_func("/json/members", test_members);
    g_test_add_func("/json/stream", test_stream);
    g_test_add_func("/json/stream-limits", test_stream_limits);
    g_test_add_func("/json/random", test_random);
    return g_test_run();
}
