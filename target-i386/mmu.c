/* SPDX-License-Identifier: MIT */
/*
 * The page walk: no paging, 32-bit (with PSE and PSE-36), PAE, 4-level and 5-level, all their
 * rights (U/S, R/W, WP, NX, SMEP, SMAP, protection keys), reserved bits, accessed and dirty
 * bits, page-fault error codes; the A20 line; a walk without side effects for debuggers.
 *
 * Page tables are read and updated through host memory where they lie in RAM (a cached
 * section), with compare-and-swap for the A and D bits, since other vCPUs walk them too.
 * Below that sits a paging-structure cache: from a linear 2 MiB (4 MiB) region to its page
 * table with the rights collected on the way (SDM 3A 4.10.3).  A walk that starts there and
 * fails starts again from CR3, so that a stale entry never makes a fault.
 *
 * Sources: SDM 3A chapter 4; APM 2 chapter 5.
 */
#include "target-i386/seg.h"

#include "target-i386/cpuid.h"
#include "util/log.h"

#include <inttypes.h>

#define PTE_P    (1ull << 0)
#define PTE_W    (1ull << 1)
#define PTE_U    (1ull << 2)
#define PTE_A    (1ull << 5)
#define PTE_D    (1ull << 6)
#define PTE_PS   (1ull << 7)
#define PTE_G    (1ull << 8)
#define PTE_NX   (1ull << 63)
#define PTE_ADDR 0x000ffffffffff000ull
#define PTE_PKEY_SHIFT 59

/* #PF error code */
#define PF_P    (1u << 0)
#define PF_W    (1u << 1)
#define PF_U    (1u << 2)
#define PF_RSVD (1u << 3)
#define PF_I    (1u << 4)
#define PF_PK   (1u << 5)

uint64_t x86_a20_mask = ~0ull;

/* ---- page tables in physical memory ----------------------------------------------------- */

/* Host address of 8 bytes of RAM at pa, or NULL: not plain RAM. */
static uint8_t *table_host(X86CPU *c, hwaddr pa)
{
    X86TableWindow *w = &c->table_window;
    AddressSpace *as = c->smm ? c->cpu.as_smm : c->cpu.as;
    uint32_t gen = __atomic_load_n(&as->generation, __ATOMIC_ACQUIRE);

    if (unlikely(w->as != as || w->generation != gen || pa - w->start >= w->size)) {
        MemSection s;
        if (!address_space_lookup(as, pa, &s) || s.region->kind != REGION_RAM || s.readonly
            || s.size < 8) {
            w->as = NULL;
            return NULL;
        }
        w->as = as;
        w->generation = gen;
        w->start = s.start;
        w->size = (uint64_t)MIN(s.size, (unsigned __int128)1 << 63) - 7;
        w->ram = s.region->ram;
        w->off = s.off;
        if (pa - w->start >= w->size) {
            return NULL;
        }
    }
    return w->ram->host + w->off + (pa - w->start);
}

static uint64_t pte_read(X86CPU *c, hwaddr pa, unsigned size)
{
    uint8_t *p = table_host(c, pa);

    if (likely(p != NULL)) {
        return size == 8 ? LE_(64, __atomic_load_n((uint64_t *)(void *)p, __ATOMIC_RELAXED))
                         : LE_(32, __atomic_load_n((uint32_t *)(void *)p, __ATOMIC_RELAXED));
    }
    return address_space_ld(c->smm ? c->cpu.as_smm : c->cpu.as, pa, size);
}

/* Set bits in an entry that was read as old.  false: somebody changed it, walk again. */
static bool pte_set(X86CPU *c, hwaddr pa, unsigned size, uint64_t old, uint64_t bits)
{
    uint8_t *p = table_host(c, pa);
    bool ok;

    if (unlikely(p == NULL)) {
        address_space_st(c->smm ? c->cpu.as_smm : c->cpu.as, pa, old | bits, size);
        return true;
    }
    if (size == 8) {
        uint64_t expect = LE_(64, old), want = LE_(64, old | bits);
        ok = __atomic_compare_exchange_n((uint64_t *)(void *)p, &expect, want, false,
                                         __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
    } else {
        uint32_t expect = LE_(32, (uint32_t)old), want = LE_(32, (uint32_t)(old | bits));
        ok = __atomic_compare_exchange_n((uint32_t *)(void *)p, &expect, want, false,
                                         __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
    }
    if (ok) {
        RamBlock *ram = c->table_window.ram;
        uint64_t off = p - ram->host;
        if (__atomic_load_n(&ram->guard[off >> GUEST_PAGE_BITS], __ATOMIC_ACQUIRE)) {
            ram_written(ram, off, size);
        }
    }
    return ok;
}

/* ---- rights ------------------------------------------------------------------------------- */

/* What MMU_PROT_* a protection key leaves of a page; user: a user page (PKRU), else PKRS. */
static unsigned pkey_prot(const X86CPU *c, unsigned key, bool user, int mmu)
{
    uint32_t rights = user ? c->pkru : c->pkrs;
    bool wd_counts = (c->cr0 & CR0_WP) || mmu == MMU_USER;

    if (rights >> (2 * key) & 1) {
        return MMU_PROT_X;
    }
    if ((rights >> (2 * key + 1) & 1) && wd_counts) {
        return MMU_PROT_R | MMU_PROT_X;
    }
    return MMU_PROT_R | MMU_PROT_W | MMU_PROT_X;
}

/* What a mapping whose entries combine to U/W/NX lets an access as `mmu` do. */
static unsigned page_prot(const X86CPU *c, bool u, bool w, bool nx, int mmu)
{
    unsigned prot;

    if (mmu == MMU_USER) {
        prot = !u ? 0 : MMU_PROT_R | (w ? MMU_PROT_W : 0) | (nx ? 0 : MMU_PROT_X);
        return prot;
    }
    prot = MMU_PROT_R | (w || !(c->cr0 & CR0_WP) ? MMU_PROT_W : 0) | (nx ? 0 : MMU_PROT_X);
    if (u) {
        if (c->cr4 & CR4_SMEP) {
            prot &= ~MMU_PROT_X;
        }
        if ((c->cr4 & CR4_SMAP) && mmu == MMU_KSMAP) {
            prot &= ~(MMU_PROT_R | MMU_PROT_W);
        }
    }
    return prot;
}

static uint32_t fault_code(const X86CPU *c, MmuAccess acc, int mmu, uint32_t code)
{
    if (acc == MMU_WRITE) {
        code |= PF_W;
    }
    if (mmu == MMU_USER) {
        code |= PF_U;
    }
    if (acc == MMU_FETCH && (((c->cr4 & CR4_PAE) && (c->efer & EFER_NXE))
                             || (c->cr4 & CR4_SMEP))) {
        code |= PF_I;
    }
    return code;
}

/* ---- the walk ------------------------------------------------------------------------------- */

typedef struct Walk {
    X86CPU *c;
    uint64_t la;
    MmuAccess acc;
    int mmu;
    bool debug;               /* no rights, no accessed bits */
    /* state */
    hwaddr table;             /* of the level to come */
    unsigned shift;           /* la bits that index it */
    bool u, w, nx;            /* combined so far */
    X86PscEntry pt;           /* the page table, when one was reached from above; tag 0: none */
    unsigned npassed;         /* entries on the way that lack the A bit */
    struct {
        hwaddr pa;
        uint64_t entry;
    } passed[4];
    MmuPage *out;
} Walk;

typedef enum { WALK_OK, WALK_FAULT, WALK_AGAIN } WalkResult;

static WalkResult walk_fault(Walk *k, uint32_t code)
{
    k->out->error = fault_code(k->c, k->acc, k->mmu, code);
    return WALK_FAULT;
}

/*
 * A bits are set from the top down, when the access is known to be allowed: a translation
 * that faults leaves no trace (as the 386 does it; later processors may set the upper ones).
 */
static bool set_accessed(Walk *k, unsigned size)
{
    for (unsigned i = 0; i < k->npassed; i++) {
        if (!pte_set(k->c, k->passed[i].pa, size, k->passed[i].entry, PTE_A)) {
            return false;
        }
    }
    return true;
}

/* The leaf: rights, A and D, the result. */
static WalkResult walk_leaf(Walk *k, hwaddr pte_pa, unsigned pte_size, uint64_t pte, hwaddr base,
                            bool may_pkey)
{
    X86CPU *c = k->c;
    uint64_t page = 1ull << k->shift;
    unsigned want = 1u << k->acc;           /* MMU_PROT_R, _W, _X in the order of MmuAccess */
    unsigned prot = page_prot(c, k->u, k->w, k->nx, k->mmu);

    k->out->pa = ((base & ~(page - 1)) | (k->la & (page - 1))) & x86_a20_mask;
    k->out->size = page;
    k->out->global = (pte & PTE_G) && (c->cr4 & CR4_PGE);
    k->out->error = 0;
    k->out->writable = prot & MMU_PROT_W;
    if (k->debug) {
        k->out->prot = prot;
        return WALK_OK;
    }
    if (may_pkey && (c->cr4 & (k->u ? CR4_PKE : CR4_PKS))) {
        unsigned pk = pkey_prot(c, pte >> PTE_PKEY_SHIFT & 15, k->u, k->mmu);
        if (!(pk & want)) {
            return walk_fault(k, PF_P | PF_PK);
        }
        prot &= pk;
    }
    if (!(prot & want)) {
        return walk_fault(k, PF_P);
    }
    uint64_t bits = PTE_A | (k->acc == MMU_WRITE ? PTE_D : 0);
    if (unlikely(k->npassed) && !set_accessed(k, pte_size)) {
        return WALK_AGAIN;
    }
    if ((pte & bits) != bits) {
        if (!pte_set(c, pte_pa, pte_size, pte, bits)) {
            return WALK_AGAIN;
        }
        pte |= bits;
    }
    if (!(pte & PTE_D)) {
        prot &= ~MMU_PROT_W;                /* the first store must come back to set D */
    }
    k->out->prot = prot;
    return WALK_OK;
}

/* Follow a non-leaf entry. */
static void walk_down(Walk *k, hwaddr pa, unsigned size, uint64_t entry)
{
    if (!(entry & PTE_A)) {
        k->passed[k->npassed].pa = pa;
        k->passed[k->npassed++].entry = entry;
    }
    k->u &= !!(entry & PTE_U);
    k->w &= !!(entry & PTE_W);
    k->table = size == 8 ? entry & PTE_ADDR : entry & 0xfffff000;
}

#define PSC_MASK (X86_PSC_SIZE - 1)

/* The walk has come to a page table: worth remembering if it ends well. */
static void walk_reached_pt(Walk *k)
{
    k->pt = (X86PscEntry){
        .tag = (k->la >> 21) << 1 | 1, .gen = k->c->tcg.walk_gen,
        .table = k->table, .u = k->u, .w = k->w, .nx = k->nx,
    };
}

static bool psc_lookup(Walk *k)
{
    const X86PscEntry *e = &k->c->psc[k->la >> 21 & PSC_MASK];

    if (e->tag != ((k->la >> 21) << 1 | 1) || e->gen != k->c->tcg.walk_gen) {
        return false;
    }
    k->table = e->table;
    k->u = e->u;
    k->w = e->w;
    k->nx = e->nx;
    k->shift = 12;
    return true;
}

void x86_psc_flush(X86CPU *c)
{
    tcg_walks_forget(&c->tcg);
}

static WalkResult walk_32(Walk *k)
{
    X86CPU *c = k->c;

    if (k->shift == 22) {
        hwaddr pa = (k->table + (k->la >> 22 & 0x3ff) * 4) & x86_a20_mask;
        uint32_t pde = pte_read(c, pa, 4);
        if (!(pde & PTE_P)) {
            return walk_fault(k, 0);
        }
        if ((pde & PTE_PS) && (c->cr4 & CR4_PSE)) {
            /* PSE-36: bits 20..13 are address bits 39..32, 21 is reserved */
            uint64_t high = (uint64_t)(pde >> 13 & 0xff) << 32;
            if ((pde & 1 << 21) || high >> c->phys_bits
                || (!x86_has(c, CPUID_PSE36) && high)) {
                return walk_fault(k, PF_P | PF_RSVD);
            }
            k->u = pde & PTE_U;
            k->w = pde & PTE_W;
            return walk_leaf(k, pa, 4, pde, (pde & 0xffc00000) | high, false);
        }
        walk_down(k, pa, 4, pde);
        k->shift = 12;
        walk_reached_pt(k);
    }
    hwaddr pa = (k->table + (k->la >> 12 & 0x3ff) * 4) & x86_a20_mask;
    uint32_t pte = pte_read(c, pa, 4);
    if (!(pte & PTE_P)) {
        return walk_fault(k, 0);
    }
    k->u &= !!(pte & PTE_U);
    k->w &= !!(pte & PTE_W);
    return walk_leaf(k, pa, 4, pte, pte & 0xfffff000, false);
}

/* Bits that must be zero in a 64-bit entry that indexes by `shift`. */
static uint64_t reserved_bits(const X86CPU *c, unsigned shift, uint64_t entry)
{
    uint64_t rsvd = PTE_ADDR & ~((1ull << c->phys_bits) - 1);

    if (!(c->efer & EFER_NXE)) {
        rsvd |= PTE_NX;
    }
    if (!x86_long_mode(c)) {
        rsvd |= 0x7ff0000000000000ull;
    }
    if (shift > 30 || (shift == 30 && !x86_has(c, CPUID_PDPE1GB))) {
        rsvd |= PTE_PS;
    } else if (shift > 12 && (entry & PTE_PS)) {
        rsvd |= (1ull << shift) - (1ull << 13);
    }
    return rsvd;
}

/* PAE, 4-level, 5-level: k->table and k->shift say where to begin. */
static WalkResult walk_64(Walk *k)
{
    X86CPU *c = k->c;

    for (;;) {
        hwaddr pa = (k->table + (k->la >> k->shift & 0x1ff) * 8) & x86_a20_mask;
        uint64_t entry = pte_read(c, pa, 8);
        if (!(entry & PTE_P)) {
            return walk_fault(k, 0);
        }
        if (entry & reserved_bits(c, k->shift, entry)) {
            return walk_fault(k, PF_P | PF_RSVD);
        }
        k->nx |= entry >> 63;
        if (k->shift == 12 || (entry & PTE_PS)) {
            k->u &= !!(entry & PTE_U);
            k->w &= !!(entry & PTE_W);
            return walk_leaf(k, pa, 8, entry, entry & PTE_ADDR, x86_long_mode(c));
        }
        walk_down(k, pa, 8, entry);
        k->shift -= 9;
        if (k->shift == 12) {
            walk_reached_pt(k);
        }
    }
}

/* From CR3 (or the PDPTEs). */
static WalkResult walk_from_root(Walk *k)
{
    X86CPU *c = k->c;

    k->u = k->w = true;
    k->nx = false;
    k->npassed = 0;
    if (!(c->cr4 & CR4_PAE)) {
        k->table = c->cr3 & 0xfffff000;
        k->shift = 22;
        return walk_32(k);
    }
    if (x86_long_mode(c)) {
        k->table = c->cr3 & PTE_ADDR;
        k->shift = c->cr4 & CR4_LA57 ? 48 : 39;
    } else {
        uint64_t pdpte = c->pdpte[k->la >> 30 & 3];
        if (!(pdpte & PTE_P)) {
            return walk_fault(k, 0);
        }
        k->table = pdpte & PTE_ADDR;
        k->shift = 21;
    }
    return walk_64(k);
}

static bool translate(X86CPU *c, uint64_t la, MmuAccess acc, int mmu, bool debug, MmuPage *out)
{
    Walk k = { .c = c, .la = la, .acc = acc, .mmu = mmu, .debug = debug, .out = out };
    WalkResult r;

    out->canonical = true;
    if (!(c->cr0 & CR0_PG)) {
        out->pa = (uint32_t)la & x86_a20_mask;
        out->size = GUEST_PAGE_SIZE;
        out->prot = MMU_PROT_R | MMU_PROT_W | MMU_PROT_X;
        out->writable = true;
        out->global = false;
        out->error = 0;
        return true;
    }
    if (!x86_long_mode(c)) {
        k.la = la = (uint32_t)la;
    } else if (!x86_canonical(c, la)) {
        out->canonical = false;
        out->error = 0;
        return false;
    }
    if (psc_lookup(&k)) {
        r = c->cr4 & CR4_PAE ? walk_64(&k) : walk_32(&k);
        if (r == WALK_OK) {
            return true;
        }
        if (!debug) {
            c->psc[la >> 21 & PSC_MASK].tag = 0;
        }
    }
    do {
        r = walk_from_root(&k);
    } while (r == WALK_AGAIN);
    if (r == WALK_OK && k.pt.tag && !debug) {
        c->psc[la >> 21 & PSC_MASK] = k.pt;
    }
    return r == WALK_OK;
}

bool x86_mmu_translate(X86CPU *c, uint64_t la, MmuAccess acc, int mmu, MmuPage *out)
{
    return translate(c, la, acc, mmu, false, out);
}

bool x86_debug_translate(X86CPU *c, uint64_t va, hwaddr *pa)
{
    MmuPage page;

    if (!translate(c, va, MMU_READ, MMU_KNOSMAP, true, &page)) {
        return false;
    }
    *pa = page.pa;
    return true;
}

G_STATIC_ASSERT((int)MMU_READ == (int)TLB_READ && (int)MMU_WRITE == (int)TLB_WRITE
                && (int)MMU_FETCH == (int)TLB_FETCH);
G_STATIC_ASSERT((int)MMU_PROT_R == (int)TLB_PROT_R && (int)MMU_PROT_W == (int)TLB_PROT_W
                && (int)MMU_PROT_X == (int)TLB_PROT_X);

static void log_fill(uint64_t va, TlbAccess acc, int mode, bool found, const MmuPage *page)
{
    static const char *const accesses[] = { [TLB_READ] = "read", [TLB_WRITE] = "write",
                                            [TLB_FETCH] = "fetch" };
    if (found) {
        log_write("TLB: %s %016" PRIx64 " (mode %d): %016" PRIx64 ", page of %" PRIu64
                  " KiB, %c%c%c%s\n", accesses[acc], va, mode, (uint64_t)page->pa,
                  (uint64_t)page->size >> 10, page->prot & MMU_PROT_R ? 'r' : '-',
                  page->prot & MMU_PROT_W ? 'w' : '-', page->prot & MMU_PROT_X ? 'x' : '-',
                  page->global ? ", global" : "");
    } else if (page->canonical) {
        log_write("TLB: %s %016" PRIx64 " (mode %d): fault %04x\n", accesses[acc], va, mode,
                  page->error);
    } else {
        log_write("TLB: %s %016" PRIx64 ": not canonical\n", accesses[acc], va);
    }
}

bool x86_tlb_fill(CPU *cpu, uint64_t va, TlbAccess acc, int mode, bool raise, TlbPage *out)
{
    X86CPU *c = x86_cpu(cpu);
    MmuPage page;

    bool found = translate(c, va, (MmuAccess)acc, mode, false, &page);
    if (unlikely(log_on(LOG_MMU))) {
        log_fill(va, acc, mode, found, &page);
    }
    if (likely(found)) {
        out->pa = page.pa;
        out->size = page.size;
        out->prot = page.prot;
        out->global = page.global;
        out->writable = page.writable;
        return true;
    }
    if (!raise) {
        return false;
    }
    if (!page.canonical) {
        x86_raise_err(c, x86_noncanonical_vector(c, va), 0);
    }
    x86_raise_pf(c, x86_long_mode(c) ? va : (uint32_t)va, page.error);
}

/* ---- what else concerns translation ----------------------------------------------------- */

bool x86_load_pdptes(X86CPU *c, uint64_t cr3)
{
    uint64_t pdpte[4];
    hwaddr at = cr3 & 0xffffffe0;
    uint64_t rsvd = (~((1ull << c->phys_bits) - 1)) | 0x1e6;

    for (unsigned i = 0; i < 4; i++) {
        pdpte[i] = pte_read(c, (at + i * 8) & x86_a20_mask, 8);
        if ((pdpte[i] & PTE_P) && (pdpte[i] & rsvd)) {
            return false;
        }
    }
    memcpy(c->pdpte, pdpte, sizeof(pdpte));
    return true;
}
