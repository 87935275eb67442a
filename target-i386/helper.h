/* SPDX-License-Identifier: MIT */
/*
 * The system side of the x86 CPU, as the engines call it: what an instruction does that is
 * too long for an instruction handler, event delivery, the MMU.
 *
 * Convention for every helper that stands for an instruction, unless its comment differs:
 *   - on entry c->rip is the instruction's own address (offset in CS), c->r[], c->seg[],
 *     and the flags behind x86_get_flags() are those before the instruction;
 *   - operand sizes are in bytes: 2, 4 or 8; `next` is the offset of the next instruction;
 *   - it either commits everything and returns, or raises an exception through x86_raise*,
 *     which unwinds to c->cpu.jmp, with the architectural state as it was (memory may have
 *     been written part of the way, as on the real thing);
 *   - control transfers set c->rip themselves; all others leave it alone.  Whatever changes
 *     the mode (CS, SS, CR0, CR4, EFER, flags TF/VM/AC/IOPL ...) calls x86_update_mode, so
 *     the engine must end its block after the instruction and look c->mode up again;
 *   - the flags, where written, are written through x86_set_flags().
 * All run on the vCPU's own thread without the big lock.
 */
#ifndef TARGET_I386_HELPER_H
#define TARGET_I386_HELPER_H

#include "target-i386/cpu.h"

/* ---- what the engine provides (accel/tcg, interp) ------------------------------------ */

/*
 * MMU index of a linear access: as whom it is made.  KSMAP is a supervisor access for which
 * SMAP counts (if CR4.SMAP), KNOSMAP one under EFLAGS.AC.  Implicit supervisor accesses
 * (descriptor tables, TSS, stack of the inner ring) are always KSMAP: AC does not help them.
 */
enum { MMU_USER, MMU_KSMAP, MMU_KNOSMAP, MMU_COUNT };
#define MMU_IMPLICIT MMU_KSMAP

/* Read or write 1, 2, 4 or 8 bytes at a linear address (already masked to 32 bits outside
 * 64-bit code), any alignment, page crossing included; raises #PF.  No alignment check. */
uint64_t x86_ld(X86CPU *c, uint64_t la, unsigned size, int mmu);
void x86_st(X86CPU *c, uint64_t la, uint64_t val, unsigned size, int mmu);
/* Raise the #PF a write (or read) of [la, la+len) would; len <= 4096 */
void x86_probe(X86CPU *c, uint64_t la, unsigned len, bool write, int mmu);
/* Atomic or of bits into the 32-bit word at la (accessed and busy bits).  Returns the old one. */
uint32_t x86_fetch_or32(X86CPU *c, uint64_t la, uint32_t bits, int mmu);

/* Flags as one word: reading folds lazy bits in; setting makes the word the truth. */
void x86_set_flags(X86CPU *c, uint64_t flags);
/* EXC_SS or EXC_GP for an access of the present instruction to an address not canonical. */
int x86_noncanonical_vector(X86CPU *c, uint64_t va);
/* Recompute c->mode. */
void x86_update_mode(X86CPU *c);

/* Software TLB, own vCPU: everything; all but global entries; one page (all PCIDs that the
 * engine keeps for the current address space, globals too). */
void x86_tlb_flush(X86CPU *c);
/* CR3 (or CR4.PCIDE) was written.  keep: cached translations of its PCID are valid. */
void x86_tlb_switch(X86CPU *c, bool keep);
void x86_tlb_flush_nonglobal(X86CPU *c);
void x86_tlb_flush_page(X86CPU *c, uint64_t la);

/* MMU index of an ordinary data access now. */
static inline int x86_mmu_index(const X86CPU *c)
{
    return x86_cpl(c) == 3 ? MMU_USER
         : (c->cr4 & CR4_SMAP) && !(c->rflags & FL_AC) ? MMU_KSMAP : MMU_KNOSMAP;
}

/* ---- raising and delivering (helper-exc.c) ------------------------------------------- */

/* Begin an exception: fills c->exc_*, merges with one being delivered (double fault), and
 * unwinds to c->cpu.jmp.  c->rip must be the address to report. */
void x86_raise(X86CPU *c, int vector) G_GNUC_NORETURN;
void x86_raise_err(X86CPU *c, int vector, uint32_t error) G_GNUC_NORETURN;
/* #PF: also sets CR2 (and the DR6-independent rest). */
void x86_raise_pf(X86CPU *c, uint64_t la, uint32_t error) G_GNUC_NORETURN;
/* Shutdown: as a triple fault. */
void x86_raise_shutdown(X86CPU *c) G_GNUC_NORETURN;
/* #DB as a fault or trap with these DR6 bits (DB_B0.., DB_BD, DB_BS, DB_BT). */
void x86_raise_db(X86CPU *c, uint64_t dr6_bits) G_GNUC_NORETURN;

/*
 * The engine's loop, after sigsetjmp(c->cpu.jmp):
 *
 *     for (;;) {
 *         if (c->exc_vector >= 0 && !x86_deliver(c)) return EXIT_RESET;      (may unwind)
 *         if (c->cpu.halted) return EXIT_HALTED unless x86_cpu_has_work(c)
 *         if (x86_boundary_wanted(c)) { if CPU_REQ_EXIT is up: return EXIT_KICKED
 *             switch (x86_boundary(c)) ... (may unwind) }
 *         run a block, or one instruction when x86_boundary said so or TF is set;
 *     }
 *
 * x86_deliver performs the event in c->exc_*: pushes, loads CS:RIP.  False: triple fault,
 * the CPU is in shutdown.
 */
bool x86_deliver(X86CPU *c);

typedef enum {
    BOUNDARY_RUN,        /* go on at c->rip (which may have changed), any number of instructions */
    BOUNDARY_ONE,        /* run exactly one instruction, then call x86_boundary again */
    BOUNDARY_HALTED,     /* c->cpu.halted (HLT, shutdown by SIPI wait): leave run() */
    BOUNDARY_RESET,      /* triple fault */
} Boundary;

/*
 * What happens between two instructions, in the order of SDM 3A table 6-2: INIT/SIPI, SMI,
 * debug traps of the previous instruction (c->pending_dbg), NMI, INTR, then instruction
 * breakpoints on the next one.  Consumes the STI/MOV SS shadow.  May unwind (a fault while
 * delivering); then the loop's x86_deliver goes on with it.
 */
Boundary x86_boundary(X86CPU *c);

/* INTA: the vector to deliver, or -1 when the request has gone away meanwhile; c->irq_waiting
 * tells whether there is another one. */
int x86_take_irq(X86CPU *c);

/* Must x86_boundary be called before the next instruction?  (TF, and code breakpoints, are in
 * c->mode: they make it necessary before every instruction.) */
static inline bool x86_boundary_wanted(X86CPU *c)
{
    return cpu_pending(&c->cpu) || c->pending_dbg || c->int_shadow || (c->rflags & FL_RF);
}
/* The same question for debugging only: single-step all instructions? */
static inline bool x86_single_step(const X86CPU *c)
{
    return (c->rflags & FL_TF) || (c->dr7_active & DR7_ACTIVE_EXEC);
}
/* Call after an instruction that began with TF set, before the next boundary.  (SYSCALL and
 * SYSRET count TF after themselves and say so through skip_tf or pending_dbg.) */
static inline void x86_trap_tf(X86CPU *c)
{
    if (c->skip_tf) {
        c->skip_tf = false;
    } else {
        c->pending_dbg |= DB_BS;
    }
}

/* Data breakpoints: an access of len bytes at la was done (SDM 3B 18.2.4).  Cheap when
 * !(c->dr7_active & DR7_ACTIVE_DATA): check that first.  Sets c->pending_dbg. */
void x86_data_breakpoint(X86CPU *c, uint64_t la, unsigned len, bool write);
void x86_io_breakpoint(X86CPU *c, uint16_t port, unsigned len);
/* DR7 and what follows from it (dr7_active, mode). */
void x86_write_dr7(X86CPU *c, uint64_t val);

/* INT n, INT3 (CC), INTO, ICEBP (F1); all with V86/IOPL/VME rules.  Do not return: they are
 * delivered by the loop. */
void x86_int_n(X86CPU *c, uint8_t vector, uint64_t next) G_GNUC_NORETURN;
void x86_int3(X86CPU *c, uint64_t next) G_GNUC_NORETURN;
void x86_into(X86CPU *c, uint64_t next);              /* returns if OF is clear */
void x86_int1(X86CPU *c, uint64_t next) G_GNUC_NORETURN;

/* FERR#/IGNNE# (CR0.NE = 0): a waiting x87 instruction found an unmasked exception.  Returns
 * if IGNNE# lets it pass; else raises #MF, or freezes until the board's IRQ 13 arrives. */
void x86_fpu_error(X86CPU *c);
/* The x87 status word's ES was cleared (FNCLEX, FNINIT, FLDENV, FRSTOR ...): FERR# goes down. */
void x86_fpu_error_gone(X86CPU *c);

/* ---- segments (helper-seg.c) ---------------------------------------------------------- */

/* MOV/POP/Lxx to ES, SS, DS, FS, GS in any mode.  Does not touch the interrupt shadow. */
void x86_load_seg(X86CPU *c, int reg, uint16_t sel);
/* After MOV SS or POP SS: interrupts and debug traps wait for one instruction. */
void x86_shadow_mov_ss(X86CPU *c);

void x86_far_jmp(X86CPU *c, uint16_t sel, uint64_t off, unsigned opsize, uint64_t next);
void x86_far_call(X86CPU *c, uint16_t sel, uint64_t off, unsigned opsize, uint64_t next);
void x86_far_ret(X86CPU *c, unsigned opsize, uint16_t pop_bytes);
void x86_iret(X86CPU *c, unsigned opsize, uint64_t next);

/* LAR/LSL: true sets *out and means ZF = 1.  The caller writes ZF.  #UD in real/V86 mode. */
bool x86_lar(X86CPU *c, uint16_t sel, uint32_t *out);
bool x86_lsl(X86CPU *c, uint16_t sel, uint32_t *out);
bool x86_verr(X86CPU *c, uint16_t sel);               /* value for ZF */
bool x86_verw(X86CPU *c, uint16_t sel);
/* ARPL: returns the new destination, *zf the flag.  #UD in real/V86 mode. */
uint16_t x86_arpl(X86CPU *c, uint16_t dst, uint16_t src, bool *zf);

void x86_lldt(X86CPU *c, uint16_t sel);
void x86_ltr(X86CPU *c, uint16_t sel);
/* SLDT/STR value after the mode and UMIP checks. */
uint16_t x86_sldt(X86CPU *c);
uint16_t x86_str(X86CPU *c);
/* LGDT/LIDT: la is the linear address of the operand; opsize 2 keeps 24 bits of base. */
void x86_lgdt(X86CPU *c, uint16_t limit, uint64_t base, unsigned opsize);
void x86_lidt(X86CPU *c, uint16_t limit, uint64_t base, unsigned opsize);
/* The UMIP check of SGDT/SIDT/SLDT/STR/SMSW: #GP(0) at CPL > 0 with CR4.UMIP. */
void x86_check_umip(X86CPU *c);

void x86_syscall(X86CPU *c, uint64_t next);
void x86_sysret(X86CPU *c, unsigned opsize);          /* 8: REX.W */
void x86_sysenter(X86CPU *c, uint64_t next);
void x86_sysexit(X86CPU *c, unsigned opsize);
void x86_swapgs(X86CPU *c);
/* RD/WR FS/GS BASE; reg is R_FS or R_GS.  All checks (64-bit, CR4.FSGSBASE, canonical). */
uint64_t x86_rdsegbase(X86CPU *c, int reg, unsigned opsize);
void x86_wrsegbase(X86CPU *c, int reg, uint64_t val, unsigned opsize);

/* ---- flags, ports, idling (helper-sys.c) ---------------------------------------------- */

/* The image PUSHF pushes (VM and RF clear, VIF for IF under VME), after its check. */
uint64_t x86_pushf(X86CPU *c, unsigned opsize);
/* POPF of an image already read from the stack; commit SP before: it raises only where
 * x86_popf_check does. */
void x86_popf_check(X86CPU *c, unsigned opsize);      /* the V86 #GP, before the stack read */
void x86_popf(X86CPU *c, uint64_t image, unsigned opsize);   /* #GP for VIP && TF under VME */
void x86_cli(X86CPU *c);
void x86_sti(X86CPU *c);                              /* sets the shadow */

/* #GP(0) unless IOPL or the TSS bitmap allows size bytes at port (IN/OUT/INS/OUTS). */
void x86_check_io(X86CPU *c, uint16_t port, unsigned size);
/* The access itself, with I/O breakpoints and SMI I/O restart bookkeeping; no check.  Takes
 * the big lock. */
uint32_t x86_in(X86CPU *c, uint16_t port, unsigned size);
void x86_out(X86CPU *c, uint16_t port, uint32_t val, unsigned size);
/* Up to n of them in one go, to and from host memory, in rising order; how many were done.  0: do
 * them one by one. */
unsigned x86_in_run(X86CPU *c, uint16_t port, unsigned size, void *buf, unsigned n);
unsigned x86_out_run(X86CPU *c, uint16_t port, unsigned size, const void *buf, unsigned n);

void x86_hlt(X86CPU *c, uint64_t next);               /* sets rip = next and cpu.halted */
void x86_monitor(X86CPU *c, uint64_t la);             /* after the operand was read at la */
void x86_mwait(X86CPU *c, uint64_t next);
void x86_pause(X86CPU *c, uint64_t next);             /* lets other vCPUs run; sets rip */

/* ---- control registers, MSRs, identification (helper-sys.c, msr.c, cpuid.c) ----------- */

/* MOV from/to CRn, DRn: n as encoded with REX.R; bad n is #UD, CPL is checked here. */
uint64_t x86_read_cr(X86CPU *c, unsigned n);
void x86_write_cr(X86CPU *c, unsigned n, uint64_t val);
uint64_t x86_read_dr(X86CPU *c, unsigned n);
void x86_write_dr(X86CPU *c, unsigned n, uint64_t val);
void x86_clts(X86CPU *c);
void x86_lmsw(X86CPU *c, uint16_t val);
uint64_t x86_smsw(X86CPU *c);                         /* CR0 after the UMIP check */
void x86_invlpg(X86CPU *c, uint64_t la);
void x86_invpcid(X86CPU *c, uint64_t type, uint64_t desc_lo, uint64_t desc_hi);
void x86_wbinvd(X86CPU *c);                           /* INVD too: checks only */
void x86_clac(X86CPU *c);
/* VMCALL, VMMCALL: registers as the hypervisor's, #UD without one. */
void x86_hypercall(X86CPU *c);
extern void (*x86_hypercall_hook)(X86CPU *c);         /* the hypervisor; NULL: none */
void x86_stac(X86CPU *c);
void x86_rdmsr(X86CPU *c);                            /* ECX -> EDX:EAX */
void x86_wrmsr(X86CPU *c);
void x86_rdtsc(X86CPU *c);                            /* -> EDX:EAX */
void x86_rdtscp(X86CPU *c);                           /* -> EDX:EAX, ECX */
uint64_t x86_rdpid(X86CPU *c);
void x86_rdpmc(X86CPU *c);
void x86_xgetbv(X86CPU *c);
void x86_xsetbv(X86CPU *c);
void x86_rdpkru(X86CPU *c);
void x86_wrpkru(X86CPU *c);
void x86_insn_cpuid(X86CPU *c);                       /* EAX, ECX -> EAX..EDX */
void x86_rsm(X86CPU *c);
/* #UD outside CPL 0 etc.: the common check of privileged instructions, #GP(0) if CPL > 0. */
static inline void x86_check_cpl0(X86CPU *c)
{
    if (x86_cpl(c)) {
        x86_raise_err(c, EXC_GP, 0);
    }
}

/* PKRU, by WRPKRU and XRSTOR. */
void x86_set_pkru(X86CPU *c, uint32_t val);
/* XCR0 bits this CPU has; bits of XCR0 whose state differs from its initial one. */
uint64_t x86_xcr0_valid(const X86CPU *c);
uint64_t x86_xinuse(const X86CPU *c);
uint64_t x86_cr4_valid(const X86CPU *c);

/* CR0/CR3/CR4/EFER to a value known to be legal, with TLB and mode consequences. */
void x86_set_cr0(X86CPU *c, uint64_t val);
void x86_set_cr3(X86CPU *c, uint64_t val);
void x86_set_cr4(X86CPU *c, uint64_t val);
void x86_set_efer(X86CPU *c, uint64_t val);
/* Read the PAE page-directory pointers cr3 names; false: a reserved bit is set (#GP(0)). */
bool x86_load_pdptes(X86CPU *c, uint64_t cr3);

/* ---- MMU (mmu.c) ---------------------------------------------------------------------- */

typedef enum { MMU_READ, MMU_WRITE, MMU_FETCH } MmuAccess;
enum { MMU_PROT_R = 1, MMU_PROT_W = 2, MMU_PROT_X = 4 };

typedef struct MmuPage {
    hwaddr pa;                /* of the address asked for, A20 mask applied */
    uint64_t size;            /* of the guest's page: 4 KiB .. 1 GiB */
    uint8_t prot;             /* MMU_PROT_* for the mmu index asked for; W only if D is set */
    bool writable;            /* W or not, a store may be allowed */
    bool global;
    uint32_t error;           /* #PF error code, when the walk failed */
    bool canonical;           /* false: not a page fault but #GP(0)/#SS(0) */
} MmuPage;

/* Translate la for an access.  Sets accessed (and for MMU_WRITE dirty) bits.  False: fault,
 * out->error says which; nothing raised. */
bool x86_mmu_translate(X86CPU *c, uint64_t la, MmuAccess acc, int mmu, MmuPage *out);

/* The same as TcgTarget.tlb_fill: raises #PF (or #GP(0), #SS(0): address not canonical). */
bool x86_tlb_fill(CPU *c, uint64_t va, TlbAccess acc, int mode, bool raise, TlbPage *out);
/* Does a data breakpoint lie in the page at la? */
bool x86_page_watched(const X86CPU *c, uint64_t la);
/* Forget cached page-table pointers; goes with every TLB flush, whatever its extent. */
void x86_psc_flush(X86CPU *c);

/* ---- system management mode (smm.c) --------------------------------------------------- */
void x86_enter_smm(X86CPU *c);

#endif
