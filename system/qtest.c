/* SPDX-License-Identifier: MIT */
/*
 * One command a line, one answer a line, "OK ..." or "FAIL reason":
 *
 *   outb|outw|outl ADDR VALUE       inb|inw|inl ADDR                    -> OK 0xVALUE
 *   writeb|w|l|q ADDR VALUE         readb|w|l|q ADDR                    -> OK 0xVALUE
 *   write ADDR SIZE 0xHEX           read ADDR SIZE                      -> OK 0xHEX
 *   b64write ADDR SIZE BASE64       b64read ADDR SIZE                   -> OK BASE64
 *   memset ADDR SIZE VALUE          endianness                          -> OK little
 *   clock_step [NS]                 clock_set NS                        -> OK NOW
 *   irq_intercept_in DEVICE         irq_intercept_out DEVICE            -> OK, then at any time
 *                                   IRQ raise N | IRQ lower N
 *   set_irq_in DEVICE NAME N LEVEL
 *
 * and beyond QEMU's, for tests of saved state:
 *
 *   vmstate_save -> OK BASE64       vmstate_load BASE64 -> OK
 *   vmstate_dump -> OK BASE64       of the same as text
 *   unplug DEVICE -> OK             takes the device away, whatever the guest thinks of it
 *
 * DEVICE is an id, or the name of a type, "[n]" behind it for the n-th device of the type.
 * N of an output is the number of the input it is wired to (QEMU: of the output).
 *
 * Source: the comment at the head of QEMU's qtest server describes the protocol.
 */
#include "system/qtest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "accel/cpu.h"
#include "chardev/char.h"
#include "hw/core/device.h"
#include "migration/vmstate.h"
#include "util/parse.h"
#include "util/timer.h"

#define MAX_TRANSFER (64u << 20)
#define MAX_LINE (3 * MAX_TRANSFER)
#define MAX_LINES 1024          /* interrupt lines whose level is remembered */

static CharFront *chr;
static GString *input;
static FILE *log_file;

static Device *watched_in, *watched_out;
static uint8_t level_in[MAX_LINES], level_out[MAX_LINES];

/* ---- answers ----------------------------------------------------------------------------- */

static void reply(const char *fmt, ...) G_GNUC_PRINTF(1, 2);
static void reply(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    if (log_file) {
        fprintf(log_file, "[S] %s", text);
        fflush(log_file);
    }
    char_write_all(chr, text, strlen(text));
    g_free(text);
}

/* ---- arguments --------------------------------------------------------------------------- */

typedef struct Command {
    const char *name;
    unsigned min_args;
    void (*fn)(char **words, unsigned width);
    unsigned width;             /* bytes of one access */
} Command;

/* Octal and negative numbers too, as C reads them. */
static bool number(const char *text, uint64_t *out)
{
    char *end;
    errno = 0;
    *out = g_ascii_strtoull(text, &end, 0);
    return *text && !*end && !errno;
}

static bool numbers(char **words, unsigned n, uint64_t *out)
{
    for (unsigned i = 0; i < n; i++) {
        if (!number(words[i + 1], &out[i])) {
            reply("FAIL '%s' is not a number\n", words[i + 1]);
            return false;
        }
    }
    return true;
}

static bool address_and_size(char **words, uint64_t out[2])
{
    if (!numbers(words, 2, out)) {
        return false;
    }
    if (out[1] > MAX_TRANSFER) {
        reply("FAIL more than %u bytes at once\n", MAX_TRANSFER);
        return false;
    }
    return true;
}

/* ---- ports and memory ---------------------------------------------------------------------- */

static void cmd_out(char **words, unsigned width)
{
    uint64_t a[2];
    if (numbers(words, 2, a)) {
        address_space_st(&address_space_io, a[0] & 0xffff, a[1], width);
        reply("OK\n");
    }
}

static void cmd_in(char **words, unsigned width)
{
    uint64_t a;
    if (numbers(words, 1, &a)) {
        reply("OK 0x%04x\n", (unsigned)address_space_ld(&address_space_io, a & 0xffff, width));
    }
}

/* A single access is one of CPU 0's: its local APIC answers at FEE00000h. */
static void as_cpu0(bool on)
{
    cpu_set_current(on && cpus->len ? cpu_by_index(0) : NULL);
}

static void cmd_store(char **words, unsigned width)
{
    uint64_t a[2];
    if (numbers(words, 2, a)) {
        as_cpu0(true);
        address_space_st(&address_space_memory, a[0], a[1], width);
        as_cpu0(false);
        reply("OK\n");
    }
}

static void cmd_load(char **words, unsigned width)
{
    uint64_t a;
    if (numbers(words, 1, &a)) {
        as_cpu0(true);
        uint64_t val = address_space_ld(&address_space_memory, a, width);
        as_cpu0(false);
        reply("OK 0x%016" G_GINT64_MODIFIER "x\n", val);
    }
}

static void cmd_read(char **words, unsigned width)
{
    uint64_t a[2];
    if (!address_and_size(words, a)) {
        return;
    }
    uint8_t *data = g_malloc(a[1] + 1);
    GString *hex = g_string_sized_new(2 * a[1] + 16);
    address_space_read(&address_space_memory, a[0], data, a[1]);
    for (uint64_t i = 0; i < a[1]; i++) {
        g_string_append_c(hex, "0123456789abcdef"[data[i] >> 4]);
        g_string_append_c(hex, "0123456789abcdef"[data[i] & 15]);
    }
    reply("OK 0x%s\n", hex->str);
    g_string_free(hex, TRUE);
    g_free(data);
}

/* Missing bytes of the data are zeroes. */
static void cmd_write(char **words, unsigned width)
{
    uint64_t a[2];
    if (!address_and_size(words, a)) {
        return;
    }
    const char *hex = words[3] + (g_str_has_prefix(words[3], "0x") ? 2 : 0);
    size_t len = strlen(hex);
    uint8_t *data = g_malloc0(a[1] + 1);
    for (uint64_t i = 0; i < a[1]; i++) {
        for (uint64_t k = 2 * i; k < 2 * i + 2; k++) {
            int digit = k < len ? g_ascii_xdigit_value(hex[k]) : 0;
            data[i] = data[i] << 4 | MAX(digit, 0);
        }
    }
    address_space_write(&address_space_memory, a[0], data, a[1]);
    g_free(data);
    reply("OK\n");
}

static void cmd_b64read(char **words, unsigned width)
{
    uint64_t a[2];
    if (address_and_size(words, a)) {
        uint8_t *data = g_malloc(a[1] + 1);
        address_space_read(&address_space_memory, a[0], data, a[1]);
        char *text = g_base64_encode(data, a[1]);
        reply("OK %s\n", text);
        g_free(text);
        g_free(data);
    }
}

static void cmd_b64write(char **words, unsigned width)
{
    uint64_t a[2];
    gsize len;
    if (!address_and_size(words, a)) {
        return;
    }
    guchar *data = g_base64_decode(words[3], &len);
    if (len != a[1]) {
        reply("FAIL %" G_GSIZE_FORMAT " bytes of data, not %" G_GUINT64_FORMAT "\n", len, a[1]);
    } else {
        address_space_write(&address_space_memory, a[0], data, len);
        reply("OK\n");
    }
    g_free(data);
}

static void cmd_memset(char **words, unsigned width)
{
    uint64_t a[3];
    if (!address_and_size(words, a) || !numbers(words, 3, a)) {
        return;
    }
    uint8_t *data = g_malloc(a[1] + 1);
    memset(data, (uint8_t)a[2], a[1]);
    address_space_write(&address_space_memory, a[0], data, a[1]);
    g_free(data);
    reply("OK\n");
}

static void cmd_endianness(char **words, unsigned width)
{
    reply("OK little\n");
}

/* ---- saved state ---------------------------------------------------------------------------- */

static void reply_base64(const void *data, size_t len)
{
    char *text = g_base64_encode(data, len);
    reply("OK %s\n", text);
    g_free(text);
}

static void cmd_vmstate_save(char **words, unsigned width)
{
    g_autoptr(GByteArray) out = g_byte_array_new();
    machine_state_save(out);
    reply_base64(out->data, out->len);
}

static void cmd_vmstate_load(char **words, unsigned width)
{
    gsize len;
    Error *err = NULL;
    g_autofree guchar *data = g_base64_decode(words[1], &len);
    if (machine_state_load(data, len, &err)) {
        reply("OK\n");
    } else {
        reply("FAIL %s\n", err->message);
        g_error_free(err);
    }
}

static void dump_section(const char *name, int instance, const VMState *vm, void *opaque, void *user)
{
    g_string_append_printf(user, "%s[%d]:\n", name, instance);
    vmstate_dump(vm, opaque, user, 2);
}

static void cmd_vmstate_dump(char **words, unsigned width)
{
    g_autoptr(GString) out = g_string_new(NULL);
    vmstate_foreach(dump_section, out);
    reply_base64(out->str, out->len);
}

/* ---- the clock ------------------------------------------------------------------------------ */

static void move_clock(int64_t to)
{
    vclock_step_to(to);
    reply("OK %" G_GINT64_FORMAT "\n", vclock_ns());
}

static void cmd_clock_step(char **words, unsigned width)
{
    uint64_t ns;
    if (words[1]) {
        if (numbers(words, 1, &ns)) {
            move_clock(vclock_ns() + (int64_t)MIN(ns, INT64_MAX / 2));
        }
        return;
    }
    int64_t next = timers_deadline(ORRERY_CLOCK_VIRTUAL);
    move_clock(next == INT64_MAX ? vclock_ns() : next);
}

static void cmd_clock_set(char **words, unsigned width)
{
    uint64_t ns;
    if (numbers(words, 1, &ns)) {
        move_clock(MIN(ns, INT64_MAX));
    }
}

/* ---- interrupt lines ---------------------------------------------------------------------------- */

static void tell(uint8_t *levels, int n, int level)
{
    if (n >= 0 && n < MAX_LINES && levels[n] != !!level) {
        levels[n] = !!level;
        reply("IRQ %s %d\n", level ? "raise" : "lower", n);
    }
}

static bool within(const Device *dev, const IRQ *irq)
{
    const char *start = (const char *)dev, *p = (const char *)irq;
    return p >= start && p < start + dev->type->size;
}

/* Sees every irq_set: what goes into the one watched device, and what leaves the other. */
static void observe(const IRQ *irq, int level)
{
    if (watched_in && irq->opaque == watched_in && irq->set == watched_in->type->irq_in) {
        tell(level_in, irq->n, level);
    }
    if (watched_out && within(watched_out, irq)) {
        tell(level_out, irq->n, level);
    }
}

typedef struct Search {
    const char *type;
    unsigned n;
    Device *found;
} Search;

static void match(Device *dev, void *opaque)
{
    Search *s = opaque;
    if (!strcmp(dev->type->name, s->type) && !s->found && s->n-- == 0) {
        s->found = dev;
    }
}

static Device *find(const char *name)
{
    Device *dev = device_find(name);
    if (!dev) {
        char type[64] = "";
        unsigned n = 0;
        if (sscanf(name, "%63[^][][%u]", type, &n) >= 1) {
            Search s = { type, n, NULL };
            device_foreach(match, &s);
            dev = s.found;
        }
    }
    if (!dev) {
        reply("FAIL Unknown device\n");
    }
    return dev;
}

static void cmd_intercept_in(char **words, unsigned width)
{
    Device *dev = find(words[1]);
    if (dev && !dev->type->irq_in) {
        reply("FAIL the device has no inputs\n");
    } else if (dev) {
        watched_in = dev;
        irq_observer = observe;
        reply("OK\n");
    }
}

static void cmd_intercept_out(char **words, unsigned width)
{
    Device *dev = find(words[1]);
    if (dev) {
        watched_out = dev;
        irq_observer = observe;
        reply("OK\n");
    }
}

static void cmd_set_irq(char **words, unsigned width)
{
    uint64_t a[2];
    Device *dev = find(words[1]);
    if (!dev || !numbers(words + 2, 2, a)) {
        return;
    }
    if (!dev->type->irq_in || a[0] >= dev->type->irq_inputs) {
        reply("FAIL the device has no such input\n");
        return;
    }
    IRQ irq = device_irq_in(dev, a[0]);
    irq_set(&irq, a[1] != 0);
    reply("OK\n");
}

static void cmd_unplug(char **words, unsigned width)
{
    Device *dev = find(words[1]);
    if (dev) {
        watched_in = watched_in == dev ? NULL : watched_in;
        watched_out = watched_out == dev ? NULL : watched_out;
        device_unrealize(dev);
        reply("OK\n");
    }
}

/* ---- lines -------------------------------------------------------------------------------------- */

static const Command commands[] = {
    { "outb", 2, cmd_out, 1 },      { "outw", 2, cmd_out, 2 },      { "outl", 2, cmd_out, 4 },
    { "inb", 1, cmd_in, 1 },        { "inw", 1, cmd_in, 2 },        { "inl", 1, cmd_in, 4 },
    { "writeb", 2, cmd_store, 1 },  { "writew", 2, cmd_store, 2 },  { "writel", 2, cmd_store, 4 },
    { "writeq", 2, cmd_store, 8 },  { "readb", 1, cmd_load, 1 },    { "readw", 1, cmd_load, 2 },
    { "readl", 1, cmd_load, 4 },    { "readq", 1, cmd_load, 8 },    { "read", 2, cmd_read },
    { "write", 3, cmd_write },      { "b64read", 2, cmd_b64read },  { "b64write", 3, cmd_b64write },
    { "memset", 3, cmd_memset },    { "endianness", 0, cmd_endianness },
    { "clock_step", 0, cmd_clock_step }, { "clock_set", 1, cmd_clock_set },
    { "irq_intercept_in", 1, cmd_intercept_in }, { "irq_intercept_out", 1, cmd_intercept_out },
    { "set_irq_in", 4, cmd_set_irq },
    { "vmstate_save", 0, cmd_vmstate_save }, { "vmstate_load", 1, cmd_vmstate_load },
    { "vmstate_dump", 0, cmd_vmstate_dump }, { "unplug", 1, cmd_unplug },
};

static void run_line(char *line)
{
    if (log_file) {
        fprintf(log_file, "[R] %s\n", line);
    }
    g_auto(GStrv) words = g_strsplit(g_strstrip(line), " ", -1);
    for (size_t i = 0; words[0] && i < G_N_ELEMENTS(commands); i++) {
        if (!strcmp(commands[i].name, words[0])) {
            if (g_strv_length(words) <= commands[i].min_args) {
                reply("FAIL %s takes %u arguments\n", words[0], commands[i].min_args);
            } else {
                commands[i].fn(words, commands[i].width);
            }
            return;
        }
    }
    reply("FAIL Unknown command '%s'\n", words[0] ? words[0] : "");
}

static int can_read(void *opaque)
{
    return 64 * 1024;
}

static void read_input(void *opaque, const uint8_t *buf, int len)
{
    g_string_append_len(input, (const char *)buf, len);
    char *start = input->str, *end = input->str + input->len, *newline;
    while ((newline = memchr(start, '\n', end - start))) {
        *newline = 0;
        run_line(start);
        start = newline + 1;
    }
    g_string_erase(input, 0, start - input->str);
    if (input->len > MAX_LINE) {
        reply("FAIL the line is too long\n");
        g_string_truncate(input, 0);
    }
}

static void event(void *opaque, CharEvent e)
{
    if (e == CHAR_OPENED || e == CHAR_CLOSED) {
        g_string_truncate(input, 0);
        irq_observer = NULL;
        watched_in = watched_out = NULL;
        memset(level_in, 0, sizeof(level_in));
        memset(level_out, 0, sizeof(level_out));
    }
}

bool qtest_start(const char *spec, const char *log, Error **err)
{
    static const CharHandlers handlers = { .can_read = can_read, .read = read_input, .event = event };
    Error *e = NULL;
    CharDev *c = chardev_from_spec("qtest", spec, NULL, &e);
    if (!c) {
        if (e) {
            g_propagate_prefixed_error(err, e, "-qtest %s: ", spec);
            return false;
        }
        return fail(err, "-qtest %s: needs a character device", spec);
    }
    if (log && strcmp(log, "none")) {
        log_file = fopen(log, "we");
        if (!log_file) {
            return fail_errno(err, errno, "-qtest-log %s", log);
        }
    }
    input = g_string_new(NULL);
    chr = char_attach(c, &handlers, NULL, err);
    return chr;
}
