/* SPDX-License-Identifier: MIT */
/*
 * The register dump of `info registers`, -d cpu, -d int and -d cpu_reset, laid out as QEMU
 * does, because scripts read it.
 */
#include "target-i386/cpu.h"

#include <inttypes.h>

static void put_general_32(const X86CPU *c, GString *out)
{
    static const char names[8][4] = { "EAX", "EBX", "ECX", "EDX", "ESI", "EDI", "EBP", "ESP" };
    static const int order[8] = { R_EAX, R_EBX, R_ECX, R_EDX, R_ESI, R_EDI, R_EBP, R_ESP };

    for (int i = 0; i < 8; i++) {
        g_string_append_printf(out, "%s=%08x%c", names[i], (uint32_t)c->r[order[i]],
                               i % 4 == 3 ? '\n' : ' ');
    }
}

static void put_general_64(const X86CPU *c, GString *out)
{
    static const char names[16][4] = {
        "RAX", "RBX", "RCX", "RDX", "RSI", "RDI", "RBP", "RSP",
        "R8 ", "R9 ", "R10", "R11", "R12", "R13", "R14", "R15",
    };
    static const int order[16] = {
        R_EAX, R_EBX, R_ECX, R_EDX, R_ESI, R_EDI, R_EBP, R_ESP,
        R_R8, R_R9, R_R10, R_R11, R_R12, R_R13, R_R14, R_R15,
    };

    for (int i = 0; i < 16; i++) {
        g_string_append_printf(out, "%s=%016" PRIx64 "%c", names[i], c->r[order[i]],
                               i % 4 == 3 ? '\n' : ' ');
    }
}

static void put_flags(const X86CPU *c, GString *out, uint32_t flags)
{
    g_string_append_printf(out, "%08x [%c%c%c%c%c%c%c] CPL=%u II=%d A20=%d SMM=%d HLT=%d\n",
                           flags, flags & FL_DF ? 'D' : '-', flags & FL_OF ? 'O' : '-',
                           flags & FL_SF ? 'S' : '-', flags & FL_ZF ? 'Z' : '-',
                           flags & FL_AF ? 'A' : '-', flags & FL_PF ? 'P' : '-',
                           flags & FL_CF ? 'C' : '-', x86_cpl(c), c->int_shadow,
                           (int)(x86_a20_mask >> 20 & 1), c->smm, c->cpu.halted);
}

static void put_system_type(const X86CPU *c, GString *out, unsigned type)
{
    static const char *const legacy[16] = {
        "Reserved", "TSS16-avl", "LDT", "TSS16-busy", "CallGate16", "TaskGate", "IntGate16",
        "TrapGate16", "Reserved", "TSS32-avl", "Reserved", "TSS32-busy", "CallGate32",
        "Reserved", "IntGate32", "TrapGate32",
    };
    static const char *const in_long[16] = {
        "<hiword>", "Reserved", "LDT", "Reserved", "Reserved", "Reserved", "Reserved",
        "Reserved", "Reserved", "TSS64-avl", "Reserved", "TSS64-busy", "CallGate64",
        "Reserved", "IntGate64", "TrapGate64",
    };

    g_string_append(out, (x86_long_mode(c) ? in_long : legacy)[type]);
}

static void put_segment(const X86CPU *c, GString *out, const char *name, const Segment *s)
{
    if (x86_code64(c)) {
        g_string_append_printf(out, "%-3s=%04x %016" PRIx64 " %08x %08x", name, s->sel, s->base,
                               s->limit, s->attr & 0x00ffff00);
    } else {
        g_string_append_printf(out, "%-3s=%04x %08x %08x %08x", name, s->sel,
                               (uint32_t)s->base, s->limit, s->attr & 0x00ffff00);
    }
    if ((c->cr0 & CR0_PE) && (s->attr & DESC_P)) {
        g_string_append_printf(out, " DPL=%u ", s->attr >> DESC_DPL_SHIFT & 3);
        if (!(s->attr & DESC_S)) {
            put_system_type(c, out, s->attr >> DESC_TYPE_SHIFT & 15);
        } else if (s->attr & DESC_CODE) {
            g_string_append_printf(out, "%s [%c%c%c]",
                                   s->attr & DESC_L ? "CS64" : s->attr & DESC_B ? "CS32" : "CS16",
                                   s->attr & DESC_C ? 'C' : '-', s->attr & DESC_R ? 'R' : '-',
                                   s->attr & DESC_A ? 'A' : '-');
        } else {
            g_string_append_printf(out, "%s [%c%c%c]",
                                   s->attr & DESC_B || x86_long_mode(c) ? "DS  " : "DS16",
                                   s->attr & DESC_E ? 'E' : '-', s->attr & DESC_W ? 'W' : '-',
                                   s->attr & DESC_A ? 'A' : '-');
        }
    }
    g_string_append_c(out, '\n');
}

static void put_control(const X86CPU *c, GString *out)
{
    int w = x86_long_mode(c) ? 16 : 8;

    g_string_append_printf(out, "GDT=     %0*" PRIx64 " %08x\nIDT=     %0*" PRIx64 " %08x\n",
                           w, c->gdt.base, c->gdt.limit, w, c->idt.base, c->idt.limit);
    g_string_append_printf(out, "CR0=%08x CR2=%0*" PRIx64 " CR3=%0*" PRIx64 " CR4=%08x\n",
                           (uint32_t)c->cr0, w, c->cr2, w, c->cr3, (uint32_t)c->cr4);
    for (int i = 0; i < 4; i++) {
        g_string_append_printf(out, "DR%d=%016" PRIx64 " ", i, c->dr[i]);
    }
    g_string_append_printf(out, "\nDR6=%016" PRIx64 " DR7=%016" PRIx64 "\nEFER=%016" PRIx64 "\n",
                           c->dr[6], c->dr[7], c->efer);
}

static void put_fpu(const X86CPU *c, GString *out)
{
    int n = x86_code64(c) ? 16 : 8;

    g_string_append_printf(out, "FCW=%04x FSW=%04x [ST=%d] FTW=%02x MXCSR=%08x\n", c->fpu.cw,
                           (c->fpu.sw & ~0x3800) | (c->fpu.top & 7) << 11, c->fpu.top,
                           (uint8_t)~c->fpu.empty, c->mxcsr);
    for (int i = 0; i < 8; i++) {
        g_string_append_printf(out, "FPR%d=%016" PRIx64 " %04x%c", i, c->fpu.st[i].frac,
                               c->fpu.st[i].se, i & 1 ? '\n' : ' ');
    }
    for (int i = 0; i < n; i++) {
        const uint64_t *q = c->v[i].q;
        if (c->xcr0 & XCR0_AVX) {
            g_string_append_printf(out, "YMM%02d=%016" PRIx64 " %016" PRIx64 " %016" PRIx64
                                   " %016" PRIx64 "\n", i, q[3], q[2], q[1], q[0]);
        } else {
            g_string_append_printf(out, "XMM%02d=%016" PRIx64 " %016" PRIx64 "%c", i, q[1], q[0],
                                   i & 1 ? '\n' : ' ');
        }
    }
}

void x86_cpu_dump(X86CPU *c, GString *out, bool fpu)
{
    static const char names[SEG_COUNT][3] = { "ES", "CS", "SS", "DS", "FS", "GS" };

    if (x86_code64(c)) {
        put_general_64(c, out);
        g_string_append_printf(out, "RIP=%016" PRIx64 " RFL=", c->rip);
    } else {
        put_general_32(c, out);
        g_string_append_printf(out, "EIP=%08x EFL=", (uint32_t)c->rip);
    }
    put_flags(c, out, x86_get_flags(c));
    for (int i = 0; i < SEG_COUNT; i++) {
        put_segment(c, out, names[i], &c->seg[i]);
    }
    put_segment(c, out, "LDT", &c->ldt);
    put_segment(c, out, "TR", &c->tr);
    put_control(c, out);
    if (fpu) {
        put_fpu(c, out);
    }
}
