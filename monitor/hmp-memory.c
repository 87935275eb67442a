/* SPDX-License-Identifier: MIT */
/*
 * Human commands: memory, ports, expressions.
 */
#include "config.h"
#include "monitor/internal.h"

#include <inttypes.h>
#include <string.h>

#include "hw/virtio/virtio-balloon.h"
#include "monitor/actions.h"
#include "monitor/expr.h"
#include "monitor/hmp-args.h"
#include "util/bits.h"

#ifdef CONFIG_CAPSTONE
#include "util/capstone-lib.h"
#endif

#define MAX_DUMP (1 << 20)              /* bytes one x command shows */

/* ---- x, xp: dumps ------------------------------------------------------------------------------- */

static bool read_guest(CPU *c, bool physical, uint64_t addr, void *buf, size_t len)
{
    if (physical) {
        return address_space_read(c ? c->as : &address_space_memory, addr, buf, len) == MEM_OK;
    }
    return monitor_read_virtual(c, addr, buf, len);
}

static uint64_t load(const uint8_t *p, int size)
{
    switch (size) {
    case 1: return *p;
    case 2: return ld16_le(p);
    case 4: return ld32_le(p);
    default: return ld64_le(p);
    }
}

static void print_char(Monitor *m, uint8_t c)
{
    switch (c) {
    case '\'': monitor_puts(m, "'\\''"); break;
    case '\\': monitor_puts(m, "'\\\\'"); break;
    case '\n': monitor_puts(m, "'\\n'"); break;
    case '\r': monitor_puts(m, "'\\r'"); break;
    default:
        monitor_printf(m, c >= 32 && c < 127 ? "'%c'" : "'\\x%02x'", c);
        break;
    }
}

/* Columns a value of size bytes takes */
static int digits(char format, int size)
{
    switch (format) {
    case 'o': return (size * 8 + 2) / 3;
    case 'u':
    case 'd': return (size * 8 * 10 + 32) / 33;
    default:  return size * 2;
    }
}

static void print_value(Monitor *m, char format, int size, uint64_t v)
{
    int width = digits(format, size), unused = 64 - size * 8;
    switch (format) {
    case 'o':
        monitor_printf(m, "#%*" PRIo64, width, v);
        break;
    case 'u':
        monitor_printf(m, "%*" PRIu64, width, v);
        break;
    case 'd':
        monitor_printf(m, "%*" PRId64, width, (int64_t)(v << unused) >> unused);
        break;
    case 'c':
        print_char(m, v);
        break;
    default:
        monitor_printf(m, "0x%0*" PRIx64, width, v);
        break;
    }
}

static void dump(Monitor *m, CPU *c, bool physical, uint64_t addr, int64_t count, char format, int size)
{
    uint8_t line[16];
    size_t per_line = size == 1 && format != 'c' ? 8 : format == 'c' ? 8 : 16;
    uint64_t left = MIN((uint64_t)count * size, MAX_DUMP);
    while (left) {
        size_t n = MIN(left, per_line);
        monitor_printf(m, "%016" PRIx64 ":", addr);
        if (!read_guest(c, physical, addr, line, n)) {
            monitor_puts(m, " Cannot access memory\n");
            return;
        }
        for (size_t i = 0; i < n; i += size) {
            monitor_puts(m, " ");
            print_value(m, format, size, load(line + i, size));
        }
        monitor_puts(m, "\n");
        addr += n;
        left -= n;
    }
}

/* ---- x/i: disassembly ------------------------------------------------------------------------------ */

#ifdef CONFIG_CAPSTONE
#define MAX_INSN 15

static void disassemble(Monitor *m, CPU *c, bool physical, uint64_t addr, int64_t count, Error **err)
{
    unsigned bits = c->ops->code_bits(c);
    const CapstoneLib *lib = capstone_lib(err);
    csh handle;
    cs_insn *insn;
    if (!lib) {
        return;
    }
    if (lib->open(CS_ARCH_X86, bits == 64 ? CS_MODE_64 : bits == 32 ? CS_MODE_32 : CS_MODE_16, &handle)) {
        fail(err, "the disassembler does not work");
        return;
    }
    lib->option(handle, CS_OPT_SYNTAX, CS_OPT_SYNTAX_ATT);
    for (count = MIN(count, 10000); count > 0; count--) {
        uint8_t code[MAX_INSN];
        size_t n = MAX_INSN;
        /* the last instruction before a hole is shorter than what is read */
        while (n && !read_guest(c, physical, addr, code, n)) {
            n--;
        }
        monitor_printf(m, "0x%08" PRIx64 ":  ", addr);
        if (!n) {
            monitor_puts(m, "Cannot access memory\n");
            break;
        }
        bool known = lib->disasm(handle, code, n, addr, 1, &insn) == 1;
        size_t len = known ? insn->size : 1;
        for (size_t i = 0; i < 8; i++) {
            monitor_printf(m, i < len ? "%02x " : "   ", code[i]);
        }
        if (known) {
            monitor_printf(m, " %-8s %s\n", insn->mnemonic, insn->op_str);
            lib->free(insn, 1);
        } else {
            monitor_printf(m, " .byte    0x%02x\n", code[0]);
        }
        addr += len;
    }
    lib->close(&handle);
}
#else
static void disassemble(Monitor *m, CPU *c, bool physical, uint64_t addr, int64_t count, Error **err)
{
    fail(err, "this build has no disassembler (configure --enable-capstone)");
}
#endif

static void examine(Monitor *m, const Json *args, bool physical, Error **err)
{
    CPU *c = monitor_cpu(m);
    char format = arg_int(args, "format", 0) ? arg_int(args, "format", 0) : 'x';
    int size = arg_int(args, "size", 0) ? arg_int(args, "size", 0) : 4;
    int64_t count = arg_int(args, "count", 1), addr = arg_int(args, "addr", 0);
    if (!c && (!physical || format == 'i')) {
        fail(err, "No CPU available");
    } else if (format == 'i') {
        disassemble(m, c, physical, addr, count, err);
    } else {
        dump(m, c, physical, addr, count, format, format == 'c' ? 1 : size);
    }
}

static void cmd_x(Monitor *m, const Json *args, Error **err)
{
    examine(m, args, false, err);
}

static void cmd_xp(Monitor *m, const Json *args, Error **err)
{
    examine(m, args, true, err);
}

static void cmd_print(Monitor *m, const Json *args, Error **err)
{
    int64_t v = arg_int(args, "val", 0);
    switch (arg_int(args, "format", 0)) {
    case 'o':
        monitor_printf(m, "%#" PRIo64, v);
        break;
    case 'x':
        monitor_printf(m, "%#" PRIx64, v);
        break;
    case 'u':
        monitor_printf(m, "%" PRIu64, v);
        break;
    case 'c':
        print_char(m, v);
        break;
    default:
        monitor_printf(m, "%" PRId64, v);
        break;
    }
    monitor_puts(m, "\n");
}

/* ---- ports -------------------------------------------------------------------------------------------- */

static int port_size(const Json *args)
{
    int size = arg_int(args, "size", 0);
    return size == 2 || size == 4 ? size : 1;
}

static char size_letter(int size)
{
    return size == 1 ? 'b' : size == 2 ? 'w' : 'l';
}

static void cmd_in(Monitor *m, const Json *args, Error **err)
{
    int size = port_size(args);
    unsigned port = arg_int(args, "addr", 0) & 0xffff;
    uint64_t v = address_space_ld(&address_space_io, port, size);
    monitor_printf(m, "port%c[0x%04x] = 0x%0*" PRIx64 "\n", size_letter(size), port, size * 2, v);
}

static void cmd_out(Monitor *m, const Json *args, Error **err)
{
    address_space_st(&address_space_io, arg_int(args, "addr", 0) & 0xffff, arg_int(args, "val", 0),
                     port_size(args));
}

/* ---- files, sums, translation ---------------------------------------------------------------------------- */

static void cmd_memsave(Monitor *m, const Json *args, Error **err)
{
    CPU *c = monitor_cpu_needed(m, err);
    if (c) {
        monitor_save_memory(c, arg_int(args, "val", 0), (uint64_t)arg_int(args, "size", 0),
                            arg_str(args, "filename"), err);
    }
}

static void cmd_pmemsave(Monitor *m, const Json *args, Error **err)
{
    monitor_save_memory(NULL, arg_int(args, "val", 0), (uint64_t)arg_int(args, "size", 0),
                        arg_str(args, "filename"), err);
}

/* The 16-bit rotating checksum of BSD's sum(1). */
static void cmd_sum(Monitor *m, const Json *args, Error **err)
{
    uint64_t start = arg_int(args, "start", 0), left = (uint32_t)arg_int(args, "size", 0);
    uint16_t sum = 0;
    uint8_t buf[4096];
    for (; left; left -= MIN(left, sizeof(buf)), start += sizeof(buf)) {
        size_t n = MIN(left, sizeof(buf));
        address_space_read(&address_space_memory, start, buf, n);
        for (size_t i = 0; i < n; i++) {
            sum = (sum >> 1 | sum << 15) + buf[i];
        }
    }
    monitor_printf(m, "%05d\n", sum);
}

typedef struct Translation {
    uint64_t va;
    hwaddr pa;
    bool ok;
} Translation;

static void translate(CPU *c, void *opaque)
{
    Translation *t = opaque;
    t->ok = c->ops->translate(c, t->va, &t->pa);
}

static void cmd_gva2gpa(Monitor *m, const Json *args, Error **err)
{
    CPU *c = monitor_cpu_needed(m, err);
    if (c) {
        Translation t = { .va = arg_int(args, "addr", 0) };
        cpu_run_on(c, translate, &t);
        if (t.ok) {
            monitor_printf(m, "gpa: %#" PRIx64 "\n", t.pa);
        } else {
            monitor_puts(m, "Unmapped\n");
        }
    }
}

static void cmd_balloon(Monitor *m, const Json *args, Error **err)
{
    balloon_set_target(MAX(arg_int(args, "value", 0), 0), err);
}

const HmpCommand hmp_memory_commands[] = {
    { "x", "fmt:/,addr:l", "/fmt addr", "dump memory at a virtual address (/8i: disassemble)", cmd_x },
    { "xp", "fmt:/,addr:l", "/fmt addr", "dump memory at a physical address", cmd_xp },
    { "print|p", "fmt:/,val:l", "/fmt expr", "value of an expression ($reg for registers)", cmd_print },
    { "i", "fmt:/,addr:i", "/fmt addr", "read an I/O port", cmd_in },
    { "o", "fmt:/,addr:i,val:i", "/fmt addr value", "write an I/O port", cmd_out },
    { "memsave", "val:l,size:i,filename:F", "addr size file", "save virtual memory to a file", cmd_memsave },
    { "pmemsave", "val:l,size:i,filename:F", "addr size file", "save physical memory to a file",
      cmd_pmemsave },
    { "sum", "start:l,size:i", "addr size", "checksum of physical memory", cmd_sum },
    { "balloon", "value:o", "size", "ask the guest to have so much memory (a number: MiB)", cmd_balloon },
    { "gva2gpa", "addr:l", "addr", "physical address of a virtual one", cmd_gva2gpa },
    { NULL }
};
