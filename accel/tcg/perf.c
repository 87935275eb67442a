/* SPDX-License-Identifier: MIT */
/*
 * perf's two interfaces for generated code.
 *
 * The map is lines "start size name" (hexadecimal) in /tmp/perf-PID.map.  jit-PID.dump in the
 * present folder is a header and records as of tools/perf/Documentation/
 * jitdump-specification.txt of Linux; a page of it is mapped executable, which is how perf
 * record (with -k mono) learns of the file.  If a file can't be written, that interface is off.
 */
#include "accel/tcg/perf.h"

#include <errno.h>
#include <glib.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include "util/error.h"

bool perf_map, perf_dump;

static GMutex lock;
static FILE *map_file, *dump_file;
static uint64_t dumped;

#define DUMP_MAGIC 0x4a695444
#define MACHINE_X86_64 62

typedef struct DumpHeader {
    uint32_t magic, version, size, machine, pad, pid;
    uint64_t time, flags;
} DumpHeader;

typedef struct DumpCode {
    uint32_t id, size;                  /* 0: code was made; of the whole record */
    uint64_t time;
    uint32_t pid, tid;
    uint64_t vma, address, code_size, index;
} DumpCode;

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static FILE *open_file(const char *format, const char *mode)
{
    g_autofree char *path = g_strdup_printf(format, (int)getpid());
    FILE *f = fopen(path, mode);
    if (!f) {
        warn_report("can't write '%s': %s", path, g_strerror(errno));
    }
    return f;
}

static void open_dump(void)
{
    dump_file = open_file("jit-%d.dump", "w+e");
    perf_dump = dump_file != NULL;
    if (!dump_file) {
        return;
    }
    DumpHeader h = { .magic = DUMP_MAGIC, .version = 1, .size = sizeof(h),
                     .machine = MACHINE_X86_64, .pid = getpid(), .time = now() };
    fwrite(&h, sizeof(h), 1, dump_file);
    fflush(dump_file);
    if (mmap(NULL, sysconf(_SC_PAGESIZE), PROT_READ | PROT_EXEC, MAP_PRIVATE, fileno(dump_file), 0)
        == MAP_FAILED) {
        warn_report("perf won't find the jitdump file: %s", g_strerror(errno));
    }
}

static void put_dump(const void *code, size_t size, const char *name)
{
    DumpCode r = {
        .size = sizeof(r) + strlen(name) + 1 + size, .time = now(), .pid = getpid(),
        .tid = gettid(), .vma = (uintptr_t)code, .address = (uintptr_t)code, .code_size = size,
        .index = dumped++,
    };
    fwrite(&r, sizeof(r), 1, dump_file);
    fwrite(name, strlen(name) + 1, 1, dump_file);
    fwrite(code, size, 1, dump_file);
    fflush(dump_file);
}

void perf_note(const void *code, size_t size, const char *name)
{
    g_mutex_lock(&lock);
    if (perf_map && !map_file) {
        map_file = open_file("/tmp/perf-%d.map", "we");
        perf_map = map_file != NULL;
    }
    if (perf_dump && !dump_file) {
        open_dump();
    }
    if (perf_map) {
        fprintf(map_file, "%zx %zx %s\n", (size_t)(uintptr_t)code, size, name);
        fflush(map_file);
    }
    if (perf_dump) {
        put_dump(code, size, name);
    }
    g_mutex_unlock(&lock);
}
