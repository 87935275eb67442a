/* SPDX-License-Identifier: MIT */
/*
 * The log file.  A record is formatted first and then written by one fwrite, whose stdio lock
 * keeps records of several threads apart.  The stream is line buffered: after a crash the file
 * holds everything up to the last whole line.
 */
#include "util/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

uint32_t log_mask;
void (*log_changed)(uint32_t before);

static FILE *log_file;      /* NULL: stderr */

static const struct {
    const char *name;
    uint32_t mask;
    const char *help;
} log_items[] = {
    { "out_asm",      LOG_OUT_ASM,     "generated host code of each block" },
    { "in_asm",       LOG_IN_ASM,      "guest instructions of each block" },
    { "op",           LOG_OP,          "decoded form of each block" },
    { "int",          LOG_INT,         "interrupts and exceptions" },
    { "exec",         LOG_EXEC,        "each block entered; none is chained then" },
    { "cpu",          LOG_CPU,         "CPU registers before each block" },
    { "fpu",          LOG_FPU,         "FPU registers too, with cpu" },
    { "mmu",          LOG_MMU,         "translations that miss the TLB, its flushes" },
    { "pcall",        LOG_PCALL,       "protected-mode far calls, returns, task switches" },
    { "cpu_reset",    LOG_CPU_RESET,   "CPU registers before each CPU reset" },
    { "unimp",        LOG_UNIMP,       "functions the guest used that do not exist here" },
    { "guest_errors", LOG_GUEST_ERROR, "what the guest programmed wrongly" },
    { "page",         LOG_PAGE,        "guest memory layout at start" },
    { "nochain",      LOG_NOCHAIN,     "do not chain blocks" },
    { "mmio",         LOG_MMIO,        "accesses to devices" },
};

void log_write(const char *fmt, ...)
{
    char small[256];
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(small, sizeof(small), fmt, ap);
    if (n >= 0 && n < (int)sizeof(small)) {
        fwrite(small, 1, n, log_file ? log_file : stderr);
    } else if (n >= 0) {
        char *text = g_strdup_vprintf(fmt, again);
        fwrite(text, 1, n, log_file ? log_file : stderr);
        g_free(text);
    }
    va_end(again);
    va_end(ap);
}

bool log_set_items(const char *items, Error **err)
{
    uint32_t mask = 0;
    char **words = g_strsplit(items, ",", -1);
    bool ok = true;
    for (char **w = words; *w && ok; w++) {
        ok = false;
        for (size_t i = 0; i < G_N_ELEMENTS(log_items); i++) {
            if (!strcmp(*w, log_items[i].name) || !strcmp(*w, "all")) {
                mask |= log_items[i].mask;
                ok = true;
            }
        }
        if (!strcmp(*w, "all")) {
            mask &= ~LOG_NOCHAIN;       /* changes behaviour, so it must be named */
        }
        if (!strcmp(*w, "none")) {
            mask = 0;
            ok = true;
        }
        if (!ok) {
            fail(err, "-d %s: '%s' is not a log item (see -d help)", items, *w);
        }
    }
    g_strfreev(words);
    if (ok) {
        uint32_t before = __atomic_exchange_n(&log_mask, mask, __ATOMIC_RELAXED);
        if (log_changed && mask != before) {
            log_changed(before);
        }
    }
    return ok;
}

/* One "%d" in path stands for the process id; any other conversion is refused. */
static char *expand_pid(const char *path, Error **err)
{
    const char *percent = strchr(path, '%');
    if (!percent) {
        return g_strdup(path);
    }
    if (percent[1] != 'd' || strchr(percent + 1, '%')) {
        fail(err, "log file '%s': only one '%%d' (the process id) may stand in the name", path);
        return NULL;
    }
    return g_strdup_printf("%.*s%d%s", (int)(percent - path), path, (int)getpid(), percent + 2);
}

bool log_set_file(const char *path, Error **err)
{
    char *name = expand_pid(path, err);
    if (!name) {
        return false;
    }
    FILE *f = fopen(name, "we");
    if (!f) {
        fail_errno(err, errno, "log file '%s'", name);
        g_free(name);
        return false;
    }
    g_free(name);
    setvbuf(f, NULL, _IOLBF, 64 * 1024);
    FILE *old = log_file;
    log_file = f;
    if (old) {
        fclose(old);
    }
    return true;
}

void log_help(GString *out)
{
    g_string_append(out, "Log items (comma separated):\n");
    for (size_t i = 0; i < G_N_ELEMENTS(log_items); i++) {
        g_string_append_printf(out, "%-15s %s\n", log_items[i].name, log_items[i].help);
    }
    g_string_append(out, "all             everything above but nochain\nnone            nothing\n");
}
