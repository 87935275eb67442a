/* SPDX-License-Identifier: MIT */
/*
 * gdb's view of the registers.  Order and names are those of gdb's features
 * org.gnu.gdb.i386.core, .sse and .segments; control registers follow in a feature of ours with
 * QEMU's names.
 */
#include "target-i386/gdb.h"

#include <string.h>

#include "accel/accel.h"
#include "target-i386/cpuid.h"
#include "target-i386/helper.h"
#include "target-i386/sse-env.h"
#include "util/bits.h"

typedef enum { GDB_GPR, GDB_RIP, GDB_FLAGS, GDB_SEL, GDB_ST, GDB_FPU, GDB_XMM, GDB_MXCSR, GDB_BASE,
               GDB_CR } Kind;

typedef struct GdbReg {
    const char *name;
    uint8_t kind, n, size;              /* n: which of its kind; size in bytes */
    const char *type;
} GdbReg;

enum { FPU_FCTRL, FPU_FSTAT, FPU_FTAG, FPU_FISEG, FPU_FIOFF, FPU_FOSEG, FPU_FOOFF, FPU_FOP };
enum { BASE_FS, BASE_GS, BASE_KERNEL_GS };
enum { CR_0, CR_2, CR_3, CR_4, CR_8, CR_EFER };

#define MAX_REGS 80

typedef struct Layout {
    GdbReg reg[MAX_REGS];
    unsigned count, core, sse, segments;    /* all; up to the end of each feature */
    char *xml;
} Layout;

/* ---- the tables -------------------------------------------------------------------------------- */

static void add(Layout *l, const char *name, Kind kind, unsigned n, unsigned size, const char *type)
{
    g_assert(l->count < MAX_REGS);
    l->reg[l->count++] = (GdbReg) { name, kind, n, size, type };
}

static void add_core(Layout *l, bool wide)
{
    static const char *const names64[] = {
        "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12",
        "r13", "r14", "r15",
    };
    static const uint8_t place64[] = { R_EAX, R_EBX, R_ECX, R_EDX, R_ESI, R_EDI, R_EBP, R_ESP,
                                       8, 9, 10, 11, 12, 13, 14, 15 };
    static const char *const names32[] = { "eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi" };
    static const char *const sels[] = { "cs", "ss", "ds", "es", "fs", "gs" };
    static const uint8_t sel[] = { R_CS, R_SS, R_DS, R_ES, R_FS, R_GS };
    static const char *const fpu[] = { "fctrl", "fstat", "ftag", "fiseg", "fioff", "foseg", "fooff",
                                       "fop" };
    static const char *const st[] = { "st0", "st1", "st2", "st3", "st4", "st5", "st6", "st7" };
    const char *integer = wide ? "int64" : "int32";

    for (unsigned n = 0; n < (wide ? 16 : 8); n++) {
        unsigned r = wide ? place64[n] : n;
        add(l, wide ? names64[n] : names32[n], GDB_GPR, r, wide ? 8 : 4,
            r == R_ESP || r == R_EBP ? "data_ptr" : integer);
    }
    add(l, wide ? "rip" : "eip", GDB_RIP, 0, wide ? 8 : 4, "code_ptr");
    add(l, "eflags", GDB_FLAGS, 0, 4, "i386_eflags");
    for (unsigned n = 0; n < 6; n++) {
        add(l, sels[n], GDB_SEL, sel[n], 4, "int32");
    }
    for (unsigned n = 0; n < 8; n++) {
        add(l, st[n], GDB_ST, n, 10, "i387_ext");
    }
    for (unsigned n = 0; n < 8; n++) {
        add(l, fpu[n], GDB_FPU, n, 4, "int");
    }
    l->core = l->count;
}

static void add_others(Layout *l, bool wide)
{
    static const char *const xmm[] = {
        "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
        "xmm11", "xmm12", "xmm13", "xmm14", "xmm15",
    };
    static const char *const base[] = { "fs_base", "gs_base", "k_gs_base" };
    static const char *const cr[] = { "cr0", "cr2", "cr3", "cr4", "cr8", "efer" };

    for (unsigned n = 0; n < (wide ? 16 : 8); n++) {
        add(l, xmm[n], GDB_XMM, n, 16, "vec128");
    }
    add(l, "mxcsr", GDB_MXCSR, 0, 4, "int");
    l->sse = l->count;
    for (unsigned n = 0; wide && n < 2; n++) {
        add(l, base[n], GDB_BASE, n, 8, "int64");
    }
    l->segments = l->count;
    if (wide) {
        add(l, base[2], GDB_BASE, 2, 8, "int64");
    }
    for (unsigned n = 0; n < G_N_ELEMENTS(cr); n++) {
        add(l, cr[n], GDB_CR, n, wide ? 8 : 4, wide ? "int64" : "int32");
    }
}

static void print_regs(GString *s, const Layout *l, unsigned first, unsigned last)
{
    for (unsigned n = first; n < last; n++) {
        const GdbReg *r = &l->reg[n];
        g_string_append_printf(s, "<reg name=\"%s\" bitsize=\"%u\" type=\"%s\" regnum=\"%u\"/>",
                               r->name, r->size * 8, r->type, n);
    }
}

static void print_flags(GString *s)
{
    static const struct {
        const char *name;
        unsigned bit;
    } flags[] = {
        { "CF", 0 }, { "", 1 }, { "PF", 2 }, { "AF", 4 }, { "ZF", 6 }, { "SF", 7 }, { "TF", 8 },
        { "IF", 9 }, { "DF", 10 }, { "OF", 11 }, { "NT", 14 }, { "RF", 16 }, { "VM", 17 },
        { "AC", 18 }, { "VIF", 19 }, { "VIP", 20 }, { "ID", 21 },
    };
    g_string_append(s, "<flags id=\"i386_eflags\" size=\"4\">");
    for (unsigned n = 0; n < G_N_ELEMENTS(flags); n++) {
        g_string_append_printf(s, "<field name=\"%s\" start=\"%u\" end=\"%u\"/>", flags[n].name,
                               flags[n].bit, flags[n].bit);
    }
    g_string_append(s, "</flags>");
}

static void print_vectors(GString *s)
{
    static const struct {
        const char *id, *type, *field;
        unsigned count;
    } v[] = {
        { "v4f", "ieee_single", "v4_float", 4 }, { "v2d", "ieee_double", "v2_double", 2 },
        { "v16i8", "int8", "v16_int8", 16 }, { "v8i16", "int16", "v8_int16", 8 },
        { "v4i32", "int32", "v4_int32", 4 }, { "v2i64", "int64", "v2_int64", 2 },
    };
    for (unsigned n = 0; n < G_N_ELEMENTS(v); n++) {
        g_string_append_printf(s, "<vector id=\"%s\" type=\"%s\" count=\"%u\"/>", v[n].id, v[n].type,
                               v[n].count);
    }
    g_string_append(s, "<union id=\"vec128\">");
    for (unsigned n = 0; n < G_N_ELEMENTS(v); n++) {
        g_string_append_printf(s, "<field name=\"%s\" type=\"%s\"/>", v[n].field, v[n].id);
    }
    g_string_append(s, "<field name=\"uint128\" type=\"uint128\"/></union>");
}

static char *make_xml(const Layout *l, bool wide)
{
    GString *s = g_string_new("<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\">"
                              "<target>");

    g_string_append_printf(s, "<architecture>%s</architecture>"
                           "<feature name=\"org.gnu.gdb.i386.core\">", wide ? "i386:x86-64" : "i386");
    print_flags(s);
    print_regs(s, l, 0, l->core);
    g_string_append(s, "</feature><feature name=\"org.gnu.gdb.i386.sse\">");
    print_vectors(s);
    print_regs(s, l, l->core, l->sse);
    if (l->segments > l->sse) {
        g_string_append(s, "</feature><feature name=\"org.gnu.gdb.i386.segments\">");
        print_regs(s, l, l->sse, l->segments);
    }
    g_string_append(s, "</feature><feature name=\"org.orrery.gdb.i386.system\">");
    print_regs(s, l, l->segments, l->count);
    g_string_append(s, "</feature></target>");
    return g_string_free(s, FALSE);
}

static Layout *layout(CPU *c)
{
    static Layout both[2];
    bool wide = x86_has(x86_cpu(c), CPUID_LM);
    Layout *l = &both[wide];

    if (!l->count) {
        add_core(l, wide);
        add_others(l, wide);
        l->xml = make_xml(l, wide);
    }
    return l;
}

const char *x86_gdb_xml(CPU *c)
{
    return layout(c)->xml;
}

unsigned x86_gdb_count(CPU *c)
{
    return layout(c)->count;
}

unsigned x86_gdb_core_count(CPU *c)
{
    return layout(c)->sse;
}

/* ---- values ---------------------------------------------------------------------------------------- */

/* The full tag word: two bits per physical register; 3: empty. */
static unsigned tag_word(const X86CPU *c)
{
    unsigned tags = 0;

    for (unsigned n = 0; n < 8; n++) {
        const F80 *f = &c->fpu.st[n];
        unsigned exp = f->se & 0x7fff;
        unsigned tag = c->fpu.empty >> n & 1 ? 3 : !exp && !f->frac ? 1
                       : !exp || exp == 0x7fff || !(f->frac >> 63) ? 2 : 0;
        tags |= tag << 2 * n;
    }
    return tags;
}

static uint64_t fpu_value(const X86CPU *c, unsigned n)
{
    switch (n) {
    case FPU_FCTRL: return c->fpu.cw;
    case FPU_FSTAT: return (c->fpu.sw & ~0x3800u) | (unsigned)c->fpu.top << 11;
    case FPU_FTAG:  return tag_word(c);
    case FPU_FISEG: return c->fpu.fcs;
    case FPU_FIOFF: return c->fpu.fip;
    case FPU_FOSEG: return c->fpu.fds;
    case FPU_FOOFF: return c->fpu.fdp;
    default:        return c->fpu.fop;
    }
}

static uint64_t value(X86CPU *c, const GdbReg *r)
{
    switch ((Kind)r->kind) {
    case GDB_GPR:   return c->r[r->n];
    case GDB_RIP:   return c->rip;
    case GDB_FLAGS: return x86_get_flags(c);
    case GDB_SEL:   return c->seg[r->n].sel;
    case GDB_FPU:   return fpu_value(c, r->n);
    case GDB_MXCSR: return x86_get_mxcsr(c);
    case GDB_BASE:
        return r->n == BASE_KERNEL_GS ? c->kernel_gs_base : c->seg[r->n == BASE_FS ? R_FS : R_GS].base;
    case GDB_CR:
        return r->n == CR_0 ? c->cr0 : r->n == CR_2 ? c->cr2 : r->n == CR_3 ? c->cr3
               : r->n == CR_4 ? c->cr4 : r->n == CR_8 ? c->cr8 : c->efer;
    case GDB_ST: case GDB_XMM:
        break;
    }
    return 0;
}

static const GdbReg *find(CPU *c, unsigned n)
{
    const Layout *l = layout(c);
    return n < l->count ? &l->reg[n] : NULL;
}

bool x86_gdb_read(CPU *cpu, unsigned n, GByteArray *out)
{
    X86CPU *c = x86_cpu(cpu);
    const GdbReg *r = find(cpu, n);
    uint8_t b[16] = { 0 };

    if (!r) {
        return false;
    }
    if (r->kind == GDB_XMM) {
        st64_le(b, c->v[r->n].q[0]);
        st64_le(b + 8, c->v[r->n].q[1]);
    } else if (r->kind == GDB_ST) {
        const F80 *f = &c->fpu.st[(c->fpu.top + r->n) & 7];
        st64_le(b, f->frac);
        st16_le(b + 8, f->se);
    } else {
        st64_le(b, value(c, r));
    }
    g_byte_array_append(out, b, r->size);
    return true;
}

/* false: it can't be set. */
static bool set_value(X86CPU *c, const GdbReg *r, uint64_t val)
{
    switch ((Kind)r->kind) {
    case GDB_GPR:
        c->r[r->n] = val;
        return true;
    case GDB_RIP:
        c->rip = val;
        return true;
    case GDB_FLAGS:
        x86_set_flags(c, (val & 0x3f7fd5) | FL_1);
        x86_update_mode(c);
        return true;
    case GDB_MXCSR:
        if (val & ~0xffffull) {
            return false;
        }
        x86_set_mxcsr(c, val);
        return true;
    case GDB_FPU:
        if (r->n == FPU_FCTRL) {
            c->fpu.cw = val;
            return true;
        }
        return val == value(c, r);
    case GDB_BASE:
        *(r->n == BASE_KERNEL_GS ? &c->kernel_gs_base : &c->seg[r->n == BASE_FS ? R_FS : R_GS].base) = val;
        x86_update_mode(c);
        return true;
    default:
        return val == (r->size == 4 ? (uint32_t)value(c, r) : value(c, r));
    }
}

size_t x86_gdb_write(CPU *cpu, unsigned n, const uint8_t *buf, size_t len)
{
    X86CPU *c = x86_cpu(cpu);
    const GdbReg *r = find(cpu, n);

    if (!r || len < r->size) {
        return 0;
    }
    if (r->kind == GDB_XMM) {
        c->v[r->n].q[0] = ld64_le(buf);
        c->v[r->n].q[1] = ld64_le(buf + 8);
    } else if (r->kind == GDB_ST) {
        c->fpu.st[(c->fpu.top + r->n) & 7] = (F80) { .frac = ld64_le(buf), .se = ld16_le(buf + 8) };
    } else if (!set_value(c, r, r->size == 8 ? ld64_le(buf) : ld32_le(buf))) {
        return 0;
    }
    return r->size;
}
