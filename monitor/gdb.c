/* SPDX-License-Identifier: MIT */
/*
 * gdb's remote serial protocol.
 *
 * A vCPU is a thread of one process, number index + 1.  The debugger finds the machine stopped
 * when it connects.  Breakpoints are accel/debug.h's; a step runs one instruction of one vCPU,
 * during which interrupts wait.  vCPUs that a vCont does not name stand still.
 *
 * Not here: several processes, non-stop mode, reverse execution, file I/O, tracepoints.
 *
 * Source: the GDB manual, appendix "Remote Serial Protocol".
 */
#include "monitor/gdb.h"

#include <stdlib.h>
#include <string.h>

#include "accel/debug.h"
#include "monitor/internal.h"
#include "system/cpus.h"
#include "system/runstate.h"
#include "target-i386/gdb.h"
#include "util/log.h"

#define PACKET_MAX  0x4000              /* bytes of a packet's text */
#define MEMORY_MAX  (PACKET_MAX / 2 - 16)

enum { IDLE, IN_PACKET, CHECKSUM_1, CHECKSUM_2 };

static struct Gdb {
    CharFront *chr;
    bool attached;
    bool acks;                          /* packets are acknowledged */
    int state;
    char buf[PACKET_MAX + 1];           /* the packet being read */
    unsigned len;
    uint8_t sum;                        /* of what was read */
    char digit;                         /* first one of the checksum */
    bool too_long;
    GString *last;                      /* as sent, for '-' */
    bool reply_owed;                    /* a stop reply is due when the machine stops */
    int cpu_g, cpu_c;                   /* for registers and memory; for c and s (-1: all) */
    unsigned next_thread;               /* qsThreadInfo */
    bool physical;                      /* memory packets take physical addresses */
} g = { .acks = true };

/* ---- packets out --------------------------------------------------------------------------- */

static void transmit(void)
{
    char_write_all(g.chr, g.last->str, g.last->len);
}

/* '#', '$', '}' and '*' are escaped: binary data may have them. */
static void send_data(const void *data, size_t len)
{
    const uint8_t *p = data;
    uint8_t sum = 0;

    g_string_assign(g.last, "$");
    for (size_t n = 0; n < len; n++) {
        if (strchr("#$}*", p[n]) && p[n]) {
            g_string_append_c(g.last, '}');
            g_string_append_c(g.last, p[n] ^ 0x20);
            sum += '}' + (p[n] ^ 0x20);
        } else {
            g_string_append_c(g.last, p[n]);
            sum += p[n];
        }
    }
    g_string_append_printf(g.last, "#%02x", sum);
    transmit();
}

static void send_text(const char *text)
{
    send_data(text, strlen(text));
}

static void ok(void)
{
    send_text("OK");
}

static void error(unsigned code)
{
    char e[8];
    g_snprintf(e, sizeof(e), "E%02x", code);
    send_text(e);
}

#define E_BAD  0x16
#define E_MEM  0x0e

static void put_hex(GString *s, const uint8_t *b, size_t len)
{
    for (size_t n = 0; n < len; n++) {
        g_string_append_printf(s, "%02x", b[n]);
    }
}

/* ---- packets in: pieces --------------------------------------------------------------------- */

static bool get_number(const char **p, uint64_t *val)
{
    char *end;

    if (!g_ascii_isxdigit(**p)) {
        return false;
    }
    *val = g_ascii_strtoull(*p, &end, 16);
    *p = end;
    return true;
}

static bool skip(const char **p, char c)
{
    bool there = **p == c;
    *p += there;
    return there;
}

/* Pairs of digits; false: something else. */
static bool get_hex(const char *p, GByteArray *out)
{
    for (; g_ascii_isxdigit(p[0]) && g_ascii_isxdigit(p[1]); p += 2) {
        uint8_t b = g_ascii_xdigit_value(p[0]) << 4 | g_ascii_xdigit_value(p[1]);
        g_byte_array_append(out, &b, 1);
    }
    return !*p;
}

/* A thread's number as a vCPU's index; -1: all (or "-1"); "0" is any: the first. */
static bool get_thread(const char **p, int *index)
{
    uint64_t n;

    if (skip(p, '-')) {
        *index = -1;
        return skip(p, '1');
    }
    if (!get_number(p, &n) || n > cpus->len) {
        return false;
    }
    *index = n ? (int)n - 1 : 0;
    return true;
}

/* ---- registers ------------------------------------------------------------------------------- */

static CPU *cpu(void)
{
    return cpu_by_index(g.cpu_g);
}

static void fetch_state(CPU *c)
{
    if (c->accel->get_state) {
        c->accel->get_state(c);
    }
}

static void changed(CPU *c)
{
    if (c->accel->put_state) {
        c->accel->put_state(c, STATE_RUNTIME, NULL);
    }
}

static void read_all(const char *p)
{
    GByteArray *b = g_byte_array_new();
    GString *s = g_string_new(NULL);

    fetch_state(cpu());
    for (unsigned n = 0; n < x86_gdb_core_count(cpu()); n++) {
        x86_gdb_read(cpu(), n, b);
    }
    put_hex(s, b->data, b->len);
    send_text(s->str);
    g_string_free(s, TRUE);
    g_byte_array_free(b, TRUE);
}

static void write_all(const char *p)
{
    GByteArray *b = g_byte_array_new();
    size_t at = 0, used = 1;
    bool good = get_hex(p, b);

    fetch_state(cpu());
    for (unsigned n = 0; good && used && n < x86_gdb_core_count(cpu()); n++) {
        used = x86_gdb_write(cpu(), n, b->data + at, b->len - at);
        at += used;
    }
    changed(cpu());
    g_byte_array_free(b, TRUE);
    good && used ? ok() : error(E_BAD);
}

static void read_one(const char *p)
{
    GByteArray *b = g_byte_array_new();
    GString *s = g_string_new(NULL);
    uint64_t n;

    fetch_state(cpu());
    if (get_number(&p, &n) && n < G_MAXUINT && x86_gdb_read(cpu(), n, b)) {
        put_hex(s, b->data, b->len);
        send_text(s->str);
    } else {
        error(E_BAD);
    }
    g_string_free(s, TRUE);
    g_byte_array_free(b, TRUE);
}

static void write_one(const char *p)
{
    GByteArray *b = g_byte_array_new();
    uint64_t n;
    bool good = get_number(&p, &n) && n < G_MAXUINT && skip(&p, '=') && get_hex(p, b);

    if (good) {
        fetch_state(cpu());
        good = x86_gdb_write(cpu(), n, b->data, b->len) == b->len;
        changed(cpu());
    }
    g_byte_array_free(b, TRUE);
    good ? ok() : error(E_BAD);
}

/* ---- memory ------------------------------------------------------------------------------------ */

/* Bytes moved: up to the first page that is not mapped. */
static size_t move_bytes(uint64_t addr, uint8_t *buf, size_t len, bool write)
{
    size_t done = 0;

    fetch_state(cpu());
    while (done < len) {
        uint64_t at = addr + done;
        size_t part = MIN(len - done, GUEST_PAGE_SIZE - (at & (GUEST_PAGE_SIZE - 1)));
        hwaddr pa = at;
        MemSection s;
        if (!g.physical && !cpu()->ops->translate(cpu(), at, &pa)) {
            break;
        }
        if (!address_space_lookup(cpu()->as, pa, &s) || !s.region->ram) {
            break;                      /* a look at a device's register may change it */
        }
        if (write) {
            address_space_write_rom(cpu()->as, pa, buf + done, part);
        } else {
            address_space_read(cpu()->as, pa, buf + done, part);
        }
        done += part;
    }
    return done;
}

static bool get_range(const char **p, uint64_t *addr, uint64_t *len)
{
    return get_number(p, addr) && skip(p, ',') && get_number(p, len);
}

static void read_memory(const char *p)
{
    uint64_t addr, len;

    if (!get_range(&p, &addr, &len) || len > MEMORY_MAX) {
        error(E_BAD);
        return;
    }
    uint8_t *buf = g_malloc(len + 1);
    size_t got = move_bytes(addr, buf, len, false);
    if (len && !got) {
        error(E_MEM);
    } else {
        GString *s = g_string_new(NULL);
        put_hex(s, buf, got);
        send_text(s->str);
        g_string_free(s, TRUE);
    }
    g_free(buf);
}

static void write_memory(const char *p)
{
    GByteArray *b = g_byte_array_new();
    uint64_t addr, len;
    bool good = get_range(&p, &addr, &len) && skip(&p, ':') && get_hex(p, b) && b->len == len;

    if (!good) {
        error(E_BAD);
    } else if (move_bytes(addr, b->data, len, true) < len) {
        error(E_MEM);
    } else {
        ok();
    }
    g_byte_array_free(b, TRUE);
}

/* X addr,len:binary */
static void write_binary(const char *p)
{
    GByteArray *b = g_byte_array_new();
    uint64_t addr, len;
    bool good = get_range(&p, &addr, &len) && skip(&p, ':');

    for (const char *end = g.buf + g.len; good && p < end; p++) {
        uint8_t byte = *p == '}' && p + 1 < end ? *++p ^ 0x20 : *p;
        g_byte_array_append(b, &byte, 1);
    }
    if (!good || b->len != len) {
        error(E_BAD);
    } else if (len && move_bytes(addr, b->data, len, true) < len) {
        error(E_MEM);
    } else {
        ok();
    }
    g_byte_array_free(b, TRUE);
}

/* ---- breakpoints ----------------------------------------------------------------------------------- */

static void breakpoint(const char *p, bool insert)
{
    unsigned type = *p - '0';
    uint64_t addr, len;

    if (type > BP_ACCESS) {
        send_text("");
        return;
    }
    p++;
    if (!skip(&p, ',') || !get_range(&p, &addr, &len)) {
        error(E_BAD);
        return;
    }
    Error *err = NULL;
    if (insert ? debug_insert(type, addr, len, &err) : debug_remove(type, addr, len)) {
        ok();
    } else {
        error(E_BAD);
    }
    g_clear_error(&err);
}

static void insert_point(const char *p)
{
    breakpoint(p, true);
}

static void remove_point(const char *p)
{
    breakpoint(p, false);
}

/* ---- running ------------------------------------------------------------------------------------------ */

/* Signals of stop replies, as gdb numbers them. */
static unsigned signal_of(RunState s)
{
    switch (s) {
    case RUN_STATE_DEBUG:          return 5;    /* TRAP */
    case RUN_STATE_PAUSED:         return 2;    /* INT */
    case RUN_STATE_SHUTDOWN:       return 3;    /* QUIT */
    case RUN_STATE_IO_ERROR:       return 17;   /* STOP */
    case RUN_STATE_WATCHDOG:       return 14;   /* ALRM */
    case RUN_STATE_INTERNAL_ERROR: case RUN_STATE_GUEST_PANICKED: return 6;     /* ABRT */
    default:                       return 5;
    }
}

static void send_stop(void)
{
    static const char *const watch[] = { [BP_WRITE] = "watch", [BP_READ] = "rwatch",
                                         [BP_ACCESS] = "awatch" };
    GString *s = g_string_new(NULL);
    CPU *c = cpu();

    g_string_append_printf(s, "T%02xthread:%02x;", signal_of(runstate_get()), g.cpu_g + 1);
    if (runstate_get() == RUN_STATE_DEBUG && c->debug_hit) {
        g_string_append_printf(s, "%s:%" G_GINT64_MODIFIER "x;", watch[c->debug_hit],
                               c->debug_hit_addr);
    }
    send_text(s->str);
    g_string_free(s, TRUE);
}

/* runstate_stop_hook */
static void gdb_stopped(void)
{
    if (!g.chr || !g.attached || !g.reply_owed) {
        return;
    }
    g.reply_owed = false;
    if (cpu_debugged >= 0 && runstate_get() == RUN_STATE_DEBUG) {
        g.cpu_g = g.cpu_c = cpu_debugged;
    }
    send_stop();
}

typedef enum { HOLD, GO, STEP } Resume;

/* what[index] for each vCPU. */
static void resume(const uint8_t *what)
{
    Error *err = NULL;

    for (guint n = 0; n < cpus->len; n++) {
        CPU *c = cpu_by_index(n);
        c->debug_step = what[n] == STEP;
        c->debug_hold = what[n] == HOLD;
        c->debug_stepped = false;
        c->debug_hit = 0;
    }
    cpu_debugged = -1;
    g.reply_owed = true;
    if (!vm_continue(&err)) {
        g_error_free(err);
        g.reply_owed = false;
        send_stop();                    /* it can't: a reset is needed */
    }
}

/* c [addr], s [addr], C sig[;addr], S sig[;addr] */
static void resume_all(const char *p, bool step)
{
    g_autofree uint8_t *what = g_malloc(cpus->len);
    uint64_t addr;

    if (get_number(&p, &addr)) {
        error(E_BAD);                   /* gdb sets the register instead */
        return;
    }
    memset(what, GO, cpus->len);
    if (step) {
        what[MAX(g.cpu_c, 0)] = STEP;
    }
    resume(what);
}

static void go_on(const char *p)
{
    resume_all(p, false);
}

static void step(const char *p)
{
    resume_all(p, true);
}

static void go_on_signal(const char *p)
{
    resume_all("", false);
}

static void step_signal(const char *p)
{
    resume_all("", true);
}

/* vCont;action[:thread];...: the first action that names a vCPU is its own. */
static bool get_actions(const char *p, uint8_t *what)
{
    g_autofree bool *told = g_new0(bool, cpus->len);

    while (skip(&p, ';')) {
        char action = g_ascii_tolower(*p);
        uint64_t signal;
        int index = -1;
        if (!*p || !strchr("cCsS", *p)) {
            return false;
        }
        if (g_ascii_isupper(*p++) && !get_number(&p, &signal)) {
            return false;
        }
        if (skip(&p, ':') && !get_thread(&p, &index)) {
            return false;
        }
        for (int n = 0; n < (int)cpus->len; n++) {
            if ((index < 0 || index == n) && !told[n]) {
                told[n] = true;
                what[n] = action == 's' ? STEP : GO;
            }
        }
    }
    return !*p;
}

static void resume_some(const char *p)
{
    g_autofree uint8_t *what = g_malloc0(cpus->len);

    if (get_actions(p, what)) {
        resume(what);
    } else {
        error(E_BAD);
    }
}

/* Nothing of the debugger's is left in the machine. */
static void forget(void)
{
    debug_remove_all();
    for (guint n = 0; n < cpus->len; n++) {
        CPU *c = cpu_by_index(n);
        c->debug_step = c->debug_hold = false;
        c->debug_hit = 0;
    }
    g.reply_owed = false;
}

static void detach(const char *p)
{
    forget();
    ok();
    g.attached = false;
    vm_continue(NULL);
}

static void kill_machine(const char *p)
{
    runstate_request_quit(CAUSE_HOST_SIGNAL, 0);
}

/* ---- questions ------------------------------------------------------------------------------------------ */

static void why_stopped(const char *p)
{
    send_stop();
}

static void set_thread(const char *p)
{
    char op = *p++;
    int index;

    if ((op != 'g' && op != 'c') || !get_thread(&p, &index)) {
        error(E_BAD);
        return;
    }
    if (op == 'g') {
        g.cpu_g = MAX(index, 0);
    } else {
        g.cpu_c = index;
    }
    ok();
}

static void thread_alive(const char *p)
{
    uint64_t n;

    get_number(&p, &n) && n >= 1 && n <= cpus->len ? ok() : error(E_BAD);
}

static void thread_list(void)
{
    if (g.next_thread >= cpus->len) {
        send_text("l");
        return;
    }
    GString *s = g_string_new("m");
    for (unsigned sent = 0; g.next_thread < cpus->len && sent < 64; sent++) {
        g_string_append_printf(s, "%s%02x", sent ? "," : "", ++g.next_thread);
    }
    send_text(s->str);
    g_string_free(s, TRUE);
}

static void first_threads(const char *p)
{
    g.next_thread = 0;
    thread_list();
}

static void next_threads(const char *p)
{
    thread_list();
}

static void thread_info(const char *p)
{
    uint64_t n;

    if (!get_number(&p, &n) || n < 1 || n > cpus->len) {
        error(E_BAD);
        return;
    }
    CPU *c = cpu_by_index(n - 1);
    fetch_state(c);
    g_autofree char *text = g_strdup_printf("CPU#%d [%s]", c->index, c->halted ? "halted" : "running");
    GString *s = g_string_new(NULL);
    put_hex(s, (uint8_t *)text, strlen(text));
    send_text(s->str);
    g_string_free(s, TRUE);
}

static void this_thread(const char *p)
{
    char t[16];
    g_snprintf(t, sizeof(t), "QC%02x", g.cpu_g + 1);
    send_text(t);
}

static void supported(const char *p)
{
    char t[160];
    g_snprintf(t, sizeof(t), "PacketSize=%x;qXfer:features:read+;vContSupported+;"
               "QStartNoAckMode+;hwbreak-;swbreak-;multiprocess-", PACKET_MAX);
    send_text(t);
}

static void no_acks(const char *p)
{
    ok();
    g.acks = false;
}

/* qXfer:features:read:target.xml:offset,length */
static void description(const char *p)
{
    uint64_t at, len;

    if (!g_str_has_prefix(p, "target.xml:")) {
        error(0);
        return;
    }
    p += strlen("target.xml:");
    if (!get_range(&p, &at, &len)) {
        error(E_BAD);
        return;
    }
    const char *xml = x86_gdb_xml(cpu());
    size_t all = strlen(xml);
    at = MIN(at, all);
    len = MIN(MIN(len, all - at), MEMORY_MAX);
    g_autofree char *part = g_strdup_printf("%c%.*s", at + len < all ? 'm' : 'l', (int)len, xml + at);
    send_text(part);
}

/* qRcmd: a line for the monitor; what it says comes back as console output. */
static void command(const char *p)
{
    GByteArray *line = g_byte_array_new();

    if (!get_hex(p, line)) {
        error(E_BAD);
        g_byte_array_free(line, TRUE);
        return;
    }
    g_byte_array_append(line, (const uint8_t *)"", 1);
    Monitor m;
    monitor_init(&m);
    m.cpu_index = g.cpu_g;
    hmp_execute(&m, (const char *)line->data);
    for (size_t at = 0; at < m.out->len; at += MEMORY_MAX) {
        GString *s = g_string_new("O");
        put_hex(s, (uint8_t *)m.out->str + at, MIN(m.out->len - at, MEMORY_MAX));
        send_text(s->str);
        g_string_free(s, TRUE);
    }
    g_string_free(m.out, TRUE);
    g_byte_array_free(line, TRUE);
    ok();
}

static void attached(const char *p)
{
    send_text("1");
}

static void vcont_what(const char *p)
{
    send_text("vCont;c;C;s;S");
}

static void physical(const char *p)
{
    send_text(g.physical ? "1" : "0");
}

static void set_physical(const char *p)
{
    g.physical = *p == '1';
    ok();
}

/* The longest names first among those that begin alike. */
static const struct {
    const char *name;
    void (*fn)(const char *args);
} packets[] = {
    { "?", why_stopped }, { "g", read_all }, { "G", write_all }, { "p", read_one },
    { "P", write_one }, { "m", read_memory }, { "M", write_memory }, { "X", write_binary },
    { "Z", insert_point }, { "z", remove_point }, { "c", go_on }, { "C", go_on_signal },
    { "s", step }, { "S", step_signal }, { "vCont?", vcont_what }, { "vCont", resume_some },
    { "vKill", kill_machine }, { "k", kill_machine }, { "D", detach }, { "H", set_thread },
    { "T", thread_alive }, { "qfThreadInfo", first_threads }, { "qsThreadInfo", next_threads },
    { "qThreadExtraInfo,", thread_info }, { "qSupported", supported }, { "qAttached", attached },
    { "qXfer:features:read:", description }, { "qRcmd,", command }, { "qC", this_thread },
    { "QStartNoAckMode", no_acks }, { "qqemu.PhyMemMode", physical },
    { "Qqemu.PhyMemMode:", set_physical },
};

static void handle_packet(void)
{
    LOG(LOG_UNIMP, "gdb: %.80s\n", g.buf);
    for (unsigned n = 0; n < G_N_ELEMENTS(packets); n++) {
        if (g_str_has_prefix(g.buf, packets[n].name)) {
            packets[n].fn(g.buf + strlen(packets[n].name));
            return;
        }
    }
    send_text("");
}

/* ---- bytes in ---------------------------------------------------------------------------------------- */

static void end_packet(char second)
{
    bool good = !g.too_long && g_ascii_isxdigit(g.digit) && g_ascii_isxdigit(second)
                && (g_ascii_xdigit_value(g.digit) << 4 | g_ascii_xdigit_value(second)) == g.sum;

    g.state = IDLE;
    if (g.acks) {
        char_write_all(g.chr, good ? "+" : "-", 1);
    }
    if (good) {
        g.buf[g.len] = 0;
        handle_packet();
    }
}

static void take_byte(char c)
{
    switch (g.state) {
    case IDLE:
        if (c == '$') {
            g.state = IN_PACKET;
            g.len = g.sum = 0;
            g.too_long = false;
        } else if (c == '-') {
            transmit();
        } else if (c == 3) {
            vm_stop(RUN_STATE_PAUSED);
        }
        break;
    case IN_PACKET:
        if (c == '#') {
            g.state = CHECKSUM_1;
        } else if (c == '$') {
            g.len = g.sum = 0;          /* the end was lost */
        } else {
            g.sum += c;
            g.too_long |= g.len == PACKET_MAX;
            g.buf[g.len] = c;
            g.len += !g.too_long;
        }
        break;
    case CHECKSUM_1:
        g.digit = c;
        g.state = CHECKSUM_2;
        break;
    case CHECKSUM_2:
        end_packet(c);
        break;
    }
}

/* A packet that comes while the guest runs stops it: gdb sends none but Ctrl-C then. */
static void on_read(void *opaque, const uint8_t *buf, int len)
{
    if (runstate_running() && *buf != '+' && *buf != 3) {
        vm_stop(RUN_STATE_PAUSED);
    }
    for (int n = 0; n < len && g.chr; n++) {
        take_byte(buf[n]);
    }
}

static int can_read(void *opaque)
{
    return 4096;
}

static void on_event(void *opaque, CharEvent e)
{
    if (e == CHAR_OPENED) {
        g.attached = g.acks = true;
        g.state = IDLE;
        g.cpu_g = 0;
        g.cpu_c = -1;
        g.physical = false;
        vm_stop(RUN_STATE_PAUSED);
    } else if (e == CHAR_CLOSED && g.attached) {
        g.attached = false;
        vm_stop(RUN_STATE_PAUSED);
        forget();
    }
}

static const CharHandlers handlers = { .can_read = can_read, .read = on_read, .event = on_event };

bool gdb_serve(const char *spec, Error **err)
{
    /* as QEMU: a TCP port is served, and nobody is waited for */
    g_autofree char *full = g_str_has_prefix(spec, "tcp:") && !strchr(spec, ',')
                            ? g_strconcat(spec, ",server=on,wait=off", NULL) : g_strdup(spec);
    Error *e = NULL;

    if (g.chr) {
        char *id = g_strdup("gdb");
        char_detach(g.chr);
        g.chr = NULL;
        forget();
        chardev_remove(id, NULL);
        g_free(id);
    }
    if (!strcmp(spec, "none")) {
        return true;
    }
    CharDev *c = chardev_from_spec("gdb", full, NULL, &e);
    if (!c) {
        if (e) {
            g_propagate_error(err, e);
            return false;
        }
        return fail(err, "'%s' is no device a debugger could connect to", spec);
    }
    if (!g.last) {
        g.last = g_string_new(NULL);
    }
    runstate_stop_hook = gdb_stopped;
    g.chr = char_attach(c, &handlers, NULL, err);
    return g.chr != NULL;
}
