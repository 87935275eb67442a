/* SPDX-License-Identifier: MIT */
/*
 * What only an x86 CPU has to tell: registers by name, page tables, local APIC.
 *
 * Page tables: Intel SDM volume 3A, chapter 4.
 */
#include "monitor/internal.h"

#include <inttypes.h>
#include <string.h>

#include "hw/intc/apic.h"
#include "monitor/expr.h"
#include "monitor/hmp-args.h"
#include "target-i386/cpu.h"

/* ---- registers by name -------------------------------------------------------------------------- */

#define REG(name, field) { name, offsetof(X86CPU, field), sizeof(((X86CPU *)0)->field) }

static const struct {
    const char *name;
    size_t offset, size;
} registers[] = {
    REG("rax", r[R_EAX]), REG("rcx", r[R_ECX]), REG("rdx", r[R_EDX]), REG("rbx", r[R_EBX]),
    REG("rsp", r[R_ESP]), REG("rbp", r[R_EBP]), REG("rsi", r[R_ESI]), REG("rdi", r[R_EDI]),
    REG("eax", r[R_EAX]), REG("ecx", r[R_ECX]), REG("edx", r[R_EDX]), REG("ebx", r[R_EBX]),
    REG("esp", r[R_ESP]), REG("sp", r[R_ESP]),  REG("ebp", r[R_EBP]), REG("fp", r[R_EBP]),
    REG("esi", r[R_ESI]), REG("edi", r[R_EDI]),
    REG("r8", r[8]),   REG("r9", r[9]),   REG("r10", r[10]), REG("r11", r[11]),
    REG("r12", r[12]), REG("r13", r[13]), REG("r14", r[14]), REG("r15", r[15]),
    REG("cs", seg[R_CS].sel), REG("ds", seg[R_DS].sel), REG("es", seg[R_ES].sel),
    REG("ss", seg[R_SS].sel), REG("fs", seg[R_FS].sel), REG("gs", seg[R_GS].sel),
    REG("cs.base", seg[R_CS].base), REG("ds.base", seg[R_DS].base), REG("es.base", seg[R_ES].base),
    REG("ss.base", seg[R_SS].base), REG("fs.base", seg[R_FS].base), REG("gs.base", seg[R_GS].base),
    REG("cs.limit", seg[R_CS].limit), REG("ds.limit", seg[R_DS].limit),
    REG("es.limit", seg[R_ES].limit), REG("ss.limit", seg[R_SS].limit),
    REG("fs.limit", seg[R_FS].limit), REG("gs.limit", seg[R_GS].limit),
    REG("gdt", gdt.base), REG("idt", idt.base), REG("tr", tr.sel), REG("ldt", ldt.sel),
    REG("cr0", cr0), REG("cr2", cr2), REG("cr3", cr3), REG("cr4", cr4),
    REG("dr0", dr[0]), REG("dr1", dr[1]), REG("dr2", dr[2]), REG("dr3", dr[3]), REG("dr6", dr[6]),
    REG("dr7", dr[7]), REG("efer", efer), REG("mxcsr", mxcsr),
};

typedef struct Lookup {
    const char *name;
    uint64_t value;
    bool found;
} Lookup;

/* On the vCPU's thread. */
static void look_up(CPU *c, void *opaque)
{
    Lookup *l = opaque;
    X86CPU *x = x86_cpu(c);
    l->found = true;
    if (!strcmp(l->name, "rip") || !strcmp(l->name, "eip") || !strcmp(l->name, "pc")) {
        /* what can be dumped: the linear address */
        l->value = x86_code64(x) ? x->rip : x->seg[R_CS].base + x->rip;
        return;
    }
    if (!strcmp(l->name, "rflags") || !strcmp(l->name, "eflags")) {
        l->value = x86_get_flags(x);
        return;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(registers); i++) {
        if (!strcmp(registers[i].name, l->name)) {
            const void *p = (const char *)x + registers[i].offset;
            l->value = registers[i].size == 2 ? *(const uint16_t *)p
                     : registers[i].size == 4 ? *(const uint32_t *)p : *(const uint64_t *)p;
            return;
        }
    }
    l->found = false;
}

bool x86_register(CPU *c, const char *name, uint64_t *out)
{
    Lookup l = { .name = name };
    cpu_run_on(c, look_up, &l);
    *out = l.value;
    return l.found;
}

/* ---- info registers -------------------------------------------------------------------------------- */

static void dump_registers(CPU *c, void *opaque)
{
    c->ops->dump(c, opaque, true);
}

static void print_registers(Monitor *m, CPU *c)
{
    GString *s = g_string_new(NULL);
    cpu_run_on(c, dump_registers, s);
    monitor_printf(m, "\nCPU#%d\n%s", c->index, s->str);
    g_string_free(s, TRUE);
}

static void info_registers(Monitor *m, const Json *args, Error **err)
{
    int64_t n = arg_int(args, "vcpu", m->cpu_index);
    if (arg_flag(args, "all")) {
        for (guint i = 0; i < cpus->len; i++) {
            print_registers(m, cpu_by_index(i));
        }
        return;
    }
    CPU *c = n < 0 || n > G_MAXINT ? NULL : cpu_by_index(n);
    if (!c) {
        fail(err, cpus->len ? "no CPU of that number" : "No CPU available");
        return;
    }
    print_registers(m, c);
}

static void info_lapic(Monitor *m, const Json *args, Error **err)
{
    CPU *c = monitor_cpu_needed(m, err);
    int64_t id = arg_int(args, "apic-id", -1);
    for (guint i = 0; id >= 0 && i < cpus->len; i++) {
        if (x86_cpu(cpu_by_index(i))->apic_id == id) {
            c = cpu_by_index(i);
        }
    }
    if (!c) {
        return;
    }
    if (!x86_cpu(c)->apic || (id >= 0 && x86_cpu(c)->apic_id != id)) {
        fail(err, "no local APIC");
        return;
    }
    GString *s = g_string_new(NULL);
    apic_info(x86_cpu(c)->apic, s);
    monitor_puts(m, s->str);
    g_string_free(s, TRUE);
}

/* ---- page tables ------------------------------------------------------------------------------------- */

/* Page-table entry bits, SDM 3A tables 4-4 to 4-19 */
#define PTE_P    (1ull << 0)
#define PTE_W    (1ull << 1)
#define PTE_U    (1ull << 2)
#define PTE_PWT  (1ull << 3)
#define PTE_PCD  (1ull << 4)
#define PTE_A    (1ull << 5)
#define PTE_D    (1ull << 6)
#define PTE_PS   (1ull << 7)
#define PTE_G    (1ull << 8)
#define PTE_NX   (1ull << 63)
#define PTE_ADDR 0x000ffffffffff000ull

/* Tables a guest made point anywhere, at themselves too: an end to the walk in any case. */
#define MAX_ENTRIES (8 << 20)

typedef struct Paging {
    uint64_t cr0, cr3, cr4, efer;
    AddressSpace *as;
} Paging;

typedef struct PageWalk {
    Paging p;
    unsigned entries;           /* read so far */
    unsigned entry_size;
    /* A mapping: flags are those of its last entry, access the W, U and NX of all levels. */
    void (*page)(struct PageWalk *w, uint64_t va, uint64_t pa, uint64_t size, uint64_t flags,
                 uint64_t access);
    Monitor *mon;
    struct {
        uint64_t start, end, access;
    } range;                    /* of info mem: [start, end) not yet printed */
} PageWalk;

static void copy_paging(CPU *c, void *opaque)
{
    X86CPU *x = x86_cpu(c);
    *(Paging *)opaque = (Paging) { x->cr0, x->cr3, x->cr4, x->efer, x->smm ? c->as_smm : c->as };
}

static uint64_t sign_extend(const PageWalk *w, uint64_t va)
{
    if (!(w->p.efer & EFER_LMA)) {
        return va;
    }
    unsigned unused = w->p.cr4 & CR4_LA57 ? 64 - 57 : 64 - 48;
    return (uint64_t)((int64_t)(va << unused) >> unused);
}

/* A 4 MiB page of 2-level paging keeps address bits 39..32 in bits 20..13 (PSE-36). */
static uint64_t large_page_address(const PageWalk *w, uint64_t pte, uint64_t size)
{
    if (w->entry_size == 4) {
        return (pte & 0xffc00000) | (pte & 0x1fe000) << 19;
    }
    return pte & PTE_ADDR & ~(size - 1);
}

/* shift: address bits below what an entry of this table maps */
static void walk_table(PageWalk *w, uint64_t table, unsigned count, unsigned shift, uint64_t va,
                       uint64_t access)
{
    unsigned bits = w->entry_size == 4 ? 10 : 9;
    for (unsigned i = 0; i < count && w->entries < MAX_ENTRIES; i++) {
        uint64_t pte = address_space_ld(w->p.as, table + (uint64_t)i * w->entry_size, w->entry_size);
        uint64_t here = va | (uint64_t)i << shift;
        w->entries++;
        if (!(pte & PTE_P)) {
            continue;
        }
        /* the four entries of PAE's top level have no rights */
        bool no_rights = count == 4;
        uint64_t sum = no_rights ? access : (access & pte & (PTE_W | PTE_U)) | ((access | pte) & PTE_NX);
        bool large = shift > 12 && (pte & PTE_PS) && !no_rights && shift <= 30
                     && (w->entry_size == 8 || (w->p.cr4 & CR4_PSE));
        if (shift == 12) {
            w->page(w, sign_extend(w, here), pte & (w->entry_size == 4 ? 0xfffff000 : PTE_ADDR), 4096,
                    pte, sum);
        } else if (large) {
            w->page(w, sign_extend(w, here), large_page_address(w, pte, 1ull << shift), 1ull << shift,
                    pte, sum);
        } else {
            walk_table(w, pte & (w->entry_size == 4 ? 0xfffff000 : PTE_ADDR), 1 << bits, shift - bits,
                       here, sum);
        }
    }
}

static bool walk_all(PageWalk *w, CPU *c)
{
    uint64_t all = PTE_W | PTE_U;
    cpu_run_on(c, copy_paging, &w->p);
    if (!(w->p.cr0 & CR0_PG)) {
        return false;
    }
    w->entry_size = 8;
    if (w->p.efer & EFER_LMA) {
        walk_table(w, w->p.cr3 & PTE_ADDR, 512, w->p.cr4 & CR4_LA57 ? 48 : 39, 0, all);
    } else if (w->p.cr4 & CR4_PAE) {
        walk_table(w, w->p.cr3 & 0xffffffe0, 4, 30, 0, all);
    } else {
        w->entry_size = 4;
        walk_table(w, w->p.cr3 & 0xfffff000, 1024, 22, 0, all);
    }
    return true;
}

static void walk(Monitor *m, PageWalk *w, Error **err)
{
    CPU *c = monitor_cpu_needed(m, err);
    w->mon = m;
    if (c && !walk_all(w, c)) {
        monitor_puts(m, "PG disabled\n");
    }
    if (w->entries >= MAX_ENTRIES) {
        monitor_printf(m, "(stopped after %d entries)\n", MAX_ENTRIES);
    }
}

static void print_mapping(PageWalk *w, uint64_t va, uint64_t pa, uint64_t size, uint64_t pte,
                          uint64_t access)
{
    monitor_printf(w->mon, "%016" PRIx64 ": %016" PRIx64 " %c%c%c%c%c%c%c%c%c\n", va, pa,
                   pte & PTE_NX && w->entry_size == 8 ? 'X' : '-', pte & PTE_G ? 'G' : '-',
                   size > 4096 ? 'P' : '-', pte & PTE_D ? 'D' : '-', pte & PTE_A ? 'A' : '-',
                   pte & PTE_PCD ? 'C' : '-', pte & PTE_PWT ? 'T' : '-', pte & PTE_U ? 'U' : '-',
                   pte & PTE_W ? 'W' : '-');
}

static void info_tlb(Monitor *m, const Json *args, Error **err)
{
    PageWalk w = { .page = print_mapping };
    walk(m, &w, err);
}

static void print_range(PageWalk *w)
{
    if (w->range.end != w->range.start) {
        monitor_printf(w->mon, "%016" PRIx64 "-%016" PRIx64 " %016" PRIx64 " %cr%c\n", w->range.start,
                       w->range.end, w->range.end - w->range.start,
                       w->range.access & PTE_U ? 'u' : '-', w->range.access & PTE_W ? 'w' : '-');
    }
}

static void join_range(PageWalk *w, uint64_t va, uint64_t pa, uint64_t size, uint64_t pte,
                       uint64_t access)
{
    access &= PTE_U | PTE_W;
    if (w->range.end != va || w->range.access != access) {
        print_range(w);
        w->range.start = va;
        w->range.access = access;
    }
    w->range.end = va + size;
}

static void info_mem(Monitor *m, const Json *args, Error **err)
{
    PageWalk w = { .page = join_range };
    walk(m, &w, err);
    print_range(&w);
}

const HmpCommand hmp_x86_info_commands[] = {
    { "registers", "all:-a,vcpu:i?", "[-a|vcpu]", "CPU registers (-a: of all CPUs)", info_registers },
    { "lapic", "apic-id:i?", "[apic-id]", "local APIC", info_lapic },
    { "tlb", NULL, "", "virtual to physical mappings", info_tlb },
    { "mem", NULL, "", "ranges of virtual memory and their rights", info_mem },
    { NULL }
};
