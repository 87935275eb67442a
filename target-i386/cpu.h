/* SPDX-License-Identifier: MIT */
/*
 * The x86 CPU: architectural state and what the machine may ask of it.  The state here is the
 * whole truth outside Accel.run(): every engine keeps its own shortcuts (lazy flags, cached
 * modes) beside it and writes them back through get_state.
 *
 * Sources: Intel SDM volumes 1-3, AMD APM volume 2 (for SYSCALL, long mode, SMM save state).
 */
#ifndef TARGET_I386_CPU_H
#define TARGET_I386_CPU_H

#include "accel/cpu.h"
#include "fpu/softfloat.h"
#include "accel/tcg/tcg.h"
#include "migration/vmstate.h"

enum { R_EAX, R_ECX, R_EDX, R_EBX, R_ESP, R_EBP, R_ESI, R_EDI,
       R_R8, R_R9, R_R10, R_R11, R_R12, R_R13, R_R14, R_R15 };
enum { R_ES, R_CS, R_SS, R_DS, R_FS, R_GS, SEG_COUNT };

/* RFLAGS */
#define FL_CF    0x00000001
#define FL_1     0x00000002
#define FL_PF    0x00000004
#define FL_AF    0x00000010
#define FL_ZF    0x00000040
#define FL_SF    0x00000080
#define FL_TF    0x00000100
#define FL_IF    0x00000200
#define FL_DF    0x00000400
#define FL_OF    0x00000800
#define FL_IOPL  0x00003000
#define FL_NT    0x00004000
#define FL_RF    0x00010000
#define FL_VM    0x00020000
#define FL_AC    0x00040000
#define FL_VIF   0x00080000
#define FL_VIP   0x00100000
#define FL_ID    0x00200000
#define FL_ARITH (FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF | FL_OF)

#define CR0_PE   0x00000001
#define CR0_MP   0x00000002
#define CR0_EM   0x00000004
#define CR0_TS   0x00000008
#define CR0_ET   0x00000010
#define CR0_NE   0x00000020
#define CR0_WP   0x00010000
#define CR0_AM   0x00040000
#define CR0_NW   0x20000000
#define CR0_CD   0x40000000
#define CR0_PG   0x80000000u

#define CR4_VME        (1 << 0)
#define CR4_PVI        (1 << 1)
#define CR4_TSD        (1 << 2)
#define CR4_DE         (1 << 3)
#define CR4_PSE        (1 << 4)
#define CR4_PAE        (1 << 5)
#define CR4_MCE        (1 << 6)
#define CR4_PGE        (1 << 7)
#define CR4_PCE        (1 << 8)
#define CR4_OSFXSR     (1 << 9)
#define CR4_OSXMMEXCPT (1 << 10)
#define CR4_UMIP       (1 << 11)
#define CR4_LA57       (1 << 12)
#define CR4_VMXE       (1 << 13)
#define CR4_FSGSBASE   (1 << 16)
#define CR4_PCIDE      (1 << 17)
#define CR4_OSXSAVE    (1 << 18)
#define CR4_SMEP       (1 << 20)
#define CR4_SMAP       (1 << 21)
#define CR4_PKE        (1 << 22)
#define CR4_PKS        (1 << 24)

#define EFER_SCE   (1 << 0)
#define EFER_LME   (1 << 8)
#define EFER_LMA   (1 << 10)
#define EFER_NXE   (1 << 11)
#define EFER_SVME  (1 << 12)
#define EFER_FFXSR (1 << 14)

/* DR6: why #DB came; the bits B0..B3 are 1 << n */
#define DB_B0    0x00000001
#define DB_BD    0x00002000     /* MOV DR with DR7.GD */
#define DB_BS    0x00004000     /* single step */
#define DB_BT    0x00008000     /* task switch with the TSS's T bit */
#define DR6_ONES 0xffff0ff0u    /* always read as one */
#define DR7_GD   0x00002000
#define DR7_ONE  0x00000400

#define XCR0_X87  (1 << 0)
#define XCR0_SSE  (1 << 1)
#define XCR0_AVX  (1 << 2)
#define XCR0_PKRU (1 << 9)

/* What DR7 makes necessary, kept in X86CPU.dr7_active */
#define DR7_ACTIVE_EXEC 1       /* look at code breakpoints before each instruction */
#define DR7_ACTIVE_DATA 2       /* look at data breakpoints at each access */
#define DR7_ACTIVE_IO   4

/* Exceptions */
enum { EXC_DE, EXC_DB, EXC_NMI, EXC_BP, EXC_OF, EXC_BR, EXC_UD, EXC_NM, EXC_DF, EXC_CSO,
       EXC_TS, EXC_NP, EXC_SS, EXC_GP, EXC_PF, EXC_MF = 16, EXC_AC, EXC_MC, EXC_XM };

/* Segment descriptor attributes as in bits 8..23 of the descriptor's second dword, in place. */
#define DESC_TYPE_SHIFT 8
#define DESC_A     (1 << 8)     /* accessed */
#define DESC_W     (1 << 9)     /* data: writable */
#define DESC_R     (1 << 9)     /* code: readable */
#define DESC_E     (1 << 10)    /* data: expand down */
#define DESC_C     (1 << 10)    /* code: conforming */
#define DESC_CODE  (1 << 11)
#define DESC_S     (1 << 12)    /* code or data, not system */
#define DESC_DPL_SHIFT 13
#define DESC_P     (1 << 15)
#define DESC_AVL   (1 << 20)
#define DESC_L     (1 << 21)
#define DESC_B     (1 << 22)    /* D/B */
#define DESC_G     (1 << 23)

typedef struct Segment {
    uint16_t sel;
    uint32_t attr;              /* DESC_* ; DESC_P clear = null/unusable */
    uint32_t limit;             /* in bytes, granularity already applied */
    uint64_t base;
} Segment;

typedef struct DescTable {
    uint64_t base;
    uint32_t limit;             /* 16 bits */
} DescTable;

/* 512-bit so that wider vectors fit later; engines use 128 or 256 bits today. Little-endian
 * element order by access macros in target-i386/interp.h, never by host layout. */
typedef union Vec {
    uint8_t  b[64];
    uint16_t w[32];
    uint32_t d[16];
    uint64_t q[8];
} __attribute__((aligned(64))) Vec;

typedef struct FpuState {
    F80 st[8];                  /* physical registers R0..R7, not ST(i) */
    uint16_t cw, sw;            /* sw without TOP: TOP lives in top */
    uint8_t top;
    uint8_t empty;              /* bit n set: physical register n is empty */
    uint16_t fop;               /* 11 bits */
    uint64_t fip, fdp;
    uint16_t fcs, fds;
} FpuState;

/* Feature words: the key of every CPUID leaf/register we know.  See target-i386/cpuid.h. */
enum {
    FEAT_1_EDX, FEAT_1_ECX, FEAT_7_0_EBX, FEAT_7_0_ECX, FEAT_7_0_EDX, FEAT_7_1_EAX,
    FEAT_8000_0001_EDX, FEAT_8000_0001_ECX, FEAT_8000_0007_EDX, FEAT_8000_0008_EBX,
    FEAT_8000_000A_EDX, FEAT_XSAVE, FEAT_6_EAX, FEAT_ARCH_CAPS, FEAT_CORE_CAPS, FEAT_KVM,
    FEAT_WORDS
};

struct CpuModel;
struct Device;

/* What an event is: decides about DPL checks, return address, EXT bit and double faults. */
typedef enum {
    EVENT_EXCEPTION,    /* fault or trap raised by the CPU */
    EVENT_SOFT_INT,     /* INT n: gate's DPL counts, VME redirection */
    EVENT_SOFT_EXC,     /* INT3, INTO: gate's DPL counts */
    EVENT_INT1,         /* ICEBP: no DPL check */
    EVENT_EXTERNAL,     /* INTR */
    EVENT_NMI,
} EventKind;

/* The local APIC as the CPU uses it; filled by hw/intc/apic.c, which sets X86CPU.apic too.
 * All [bql]. */
typedef struct X86ApicOps {
    /* INTA: the vector now in service.  -1: nothing (any more). */
    int (*ack)(struct Device *apic);
    /* Something deliverable above the processor priority? */
    bool (*pending)(struct Device *apic);
    /* Does LINT0 (or a disabled APIC) let the 8259's INTR through? */
    bool (*accepts_pic)(struct Device *apic);
    uint8_t (*get_tpr)(struct Device *apic);             /* bits 7..4 are CR8 */
    void (*set_tpr)(struct Device *apic, uint8_t tpr);
    void (*set_base)(struct Device *apic, uint64_t val); /* IA32_APIC_BASE, already checked */
    /* x2APIC register, MSR 800h + reg; false: #GP. */
    bool (*read)(struct Device *apic, unsigned reg, uint64_t *val);
    bool (*write)(struct Device *apic, unsigned reg, uint64_t val);
    uint64_t (*get_tsc_deadline)(struct Device *apic);
    void (*set_tsc_deadline)(struct Device *apic, uint64_t tsc);
    void (*init_reset)(struct Device *apic);             /* INIT: all but APIC ID */
} X86ApicOps;

/* The RAM section that page tables were last found in. */
typedef struct X86TableWindow {
    AddressSpace *as;                   /* NULL: none */
    uint32_t generation;
    hwaddr start;
    uint64_t size, off;                 /* off: of start in ram */
    RamBlock *ram;
} X86TableWindow;

/* Paging-structure cache: the page table of a linear 2 MiB region, with the rights so far. */
#define X86_PSC_SIZE 256
typedef struct X86PscEntry {
    uint64_t tag;                       /* (linear >> 21) << 1 | 1 */
    uint64_t gen;                       /* TcgCPU.walk_gen */
    hwaddr table;
    bool u, w, nx;
} X86PscEntry;

/* KVM's own MSRs, 4B564D00h + n. */
enum {
    X86_KVM_WALL_CLOCK, X86_KVM_SYSTEM_TIME, X86_KVM_ASYNC_PF_EN, X86_KVM_STEAL_TIME,
    X86_KVM_PV_EOI_EN, X86_KVM_POLL_CONTROL, X86_KVM_ASYNC_PF_INT, X86_KVM_MSRS,
};

/* X86CPU.lazy_flags */
enum {
    LAZY_NONE,                          /* rflags: outside of run() */
    LAZY_FIELDS,                        /* fl_res, fl_x, fl_cf: the interpreter's form */
    LAZY_IMAGE,                         /* fl_image: native code runs, or has been left */
};

/* A page that native code has an access in: see jit-loop.c. */
typedef struct JitMemo {
    uint64_t page, room;                /* in it while address - page < room; 0: not known */
    uintptr_t addend;                   /* as in TlbEntry */
} JitMemo;
#define JIT_MEMOS 4
#define JIT_SHARED 4
/* Bits of jit_holds: for reading, for writing; of jit_shared[n], of jit_memo[n]; and JIT_FIRST_FAILED. */
#define JIT_HOLDS_SHARED(n, write) (1u << ((n) + 4 * (write)))
#define JIT_HOLDS_MEMO(n, write)   (0x100u << ((n) + 4 * (write)))
#define JIT_FIRST_FAILED 0x10000u

typedef struct X86CPU {
    CPU cpu;                            /* always first */

    /*
     * General registers; r[16] always reads 0 ("no base / no index"), r[17] is the RIP of the
     * first instruction of the running block, so that RIP-relative operands are base + disp.
     */
    uint64_t r[18];
    uint64_t rip;                       /* exact only outside a block, and when an exception is raised */
    uint64_t rflags;                    /* without the lazily kept arithmetic bits while in a
                                           block: use x86_get_flags() there */
    uint64_t fl_res, fl_x;              /* lazy arithmetic flags: see interp.h */
    uint32_t fl_cf;
    uint16_t fl_image;                  /* the flags as native code keeps them: jit-int.h */
    bool rep_open;                      /* a repeated instruction returned before its end: once
                                           more, after the loop has looked at requests */
    uint64_t jit_tmp[3];                /* native code's own */
    uintptr_t jit_rsp, jit_rsp_low;     /* ... where its stack begins, and below what no more frames
                                           go on it: jit-flow.c */
    struct {
        uint64_t page, room, room_run;
        uintptr_t addend;
    } jit_stack;                        /* ... the stack's page, as JitMemo: jit-mem.c */
    JitMemo jit_memo[JIT_MEMOS];        /* see jit-loop.c ... */
    struct {
        uint64_t page;
        uintptr_t addend;
    } jit_shared[JIT_SHARED];           /* see jit-share.c */
    uint32_t jit_holds;                 /* which of both must hold behind a slow path; JIT_HOLDS_* */
    const void *jit_memo_of;            /* ... and the block whose they are; NULL: of none */
    const uint8_t *jit_resume;          /* ... where a slow path wants it to go on */
    int32_t jit_heat;                   /* ... counts down to the next sample */
    uint32_t jit_random;

    Segment seg[SEG_COUNT];
    Segment ldt, tr;
    DescTable gdt, idt;

    uint64_t cr0, cr2, cr3, cr4, cr8;   /* cr8: the TPR's copy, see helper-sys.c */
    uint64_t dr[8];
    uint64_t efer, pat, tsc_offset, tsc_adjust, tsc_aux;
    uint64_t star, lstar, cstar, fmask, kernel_gs_base;
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
    uint64_t apic_base, misc_enable, spec_ctrl, mcg_status, mcg_ctl, mce_banks[4 * 10];
    uint64_t mtrr_physbase[8], mtrr_physmask[8], mtrr_fixed[11], mtrr_deftype;
    uint64_t xcr0, xss, pkrs;
    uint64_t tsc_deadline;
    uint32_t pkru;
    uint32_t smbase;
    uint64_t feature_control, arch_capabilities;
    uint64_t pdpte[4];                  /* PAE: loaded with CR3 */
    uint64_t kvm_msr[X86_KVM_MSRS];     /* of guests that know KVM (kvm-pv.c) */

    FpuState fpu;
    Vec v[32];
    uint32_t mxcsr;                     /* without the flags still in the host: sse-env.h */
    uint8_t sse_mode;                   /* SSE_*: sse-env.h; 0 after any change from outside */

    uint64_t debugctl, perf_global_ctrl, perf_fixed_ctrl;

    /* Event delivery state */
    bool smm;                           /* in system management mode */
    bool nmi_masked;
    uint8_t nmi_pending;                /* latched: two while open (one to come back for), one
                                           while masked */
    uint32_t nmi_queued;                /* [atomic] came since the last boundary */
    bool smi_pending;
    bool init_pending, sipi_pending;    /* only in saved state: else they are CPU.request bits */
    bool int_shadow;                    /* STI or MOV SS just ran: interrupts wait one instruction */
    bool shadow_mov_ss;                 /* ... by MOV/POP SS: #DB waits too */
    bool ferr;                          /* FERR# asserted (CR0.NE = 0) */
    bool ignne;                         /* IGNNE# asserted: errors are let pass until cleared */
    bool in_mwait;
    bool saw_tsc;               /* since the last PAUSE: x86_pause */
    bool wait_sipi;                     /* INIT done, waiting for SIPI (also CPU.halted) */
    uint8_t sipi_vector;                /* [bql] of the SIPI that CPU_REQ_SIPI announces */
    uint64_t mwait_addr;
    bool smm_halted, smm_nmi_masked;    /* as they were when SMM was entered */
    uint64_t smm_io_rip;                /* where RSM restarts an I/O instruction */
    uint64_t io_rip;                    /* the last IN/OUT ... */
    uint32_t io_info;                   /* ... as in the save area: port << 16 | size << 4 | 2 | in */
    uint8_t dr7_active;                 /* DR7_ACTIVE_*, derived from DR7 and CR4.DE */
    bool irq_waiting;                   /* an interrupt was seen with IF = 0: ask again at IF = 1 */
    bool skip_tf;                       /* this instruction began with TF but does not trap */

    /*
     * An event on its way to delivery: set by x86_raise* and x86_boundary, performed by
     * x86_deliver (helper.h).
     */
    int exc_vector;                     /* -1 = none */
    EventKind exc_kind;
    bool exc_has_error;
    uint32_t exc_error;
    uint64_t exc_next_rip;              /* return address of the software kinds */
    int exc_old_vector;                 /* being delivered: for double faults; -1 = none */
    EventKind exc_old_kind;
    uint64_t pending_dbg;               /* DR6 bits to raise as #DB after this instruction */

    /* Identity; reset clears everything from r[] to here */
    const struct CpuModel *model;
    uint64_t features[FEAT_WORDS];
    uint32_t cpuid_level, cpuid_xlevel, family, model_no, stepping;
    char vendor[13], brand[49];
    unsigned phys_bits, virt_bits;
    uint32_t apic_id;
    unsigned cores, threads;            /* of a socket, of a core; 0 means 1 */
    bool hypervisor_leaf;               /* CPUID 4000_0000h answers (-cpu tcg-cpuid, kvm) */
    bool l3_cache;                      /* an L3 cache is told of */
    uint64_t tsc_hz;
    uint64_t ucode_rev;

    struct Device *apic;                /* the local APIC, or NULL */
    const X86ApicOps *apic_ops;         /* set where apic is */
    uint8_t (*pic_ack)(void *opaque);   /* [bql] INTA cycle of the 8259 pair */
    void *pic_opaque;
    bool pic_line;                      /* [bql] INTR from the 8259 pair */

    uint32_t mode;                      /* translation mode word, kept by x86_update_mode() */

    X86TableWindow table_window;        /* mmu.c */
    X86PscEntry psc[X86_PSC_SIZE];      /* mmu.c */

    /* The interpreter's */
    uint64_t *jit_calls;                /* times handlers were called from native code, by row */
    uint64_t jit_enters, jit_loads, jit_stores;     /* ... and it was entered, and slow paths */
    bool x87_host;                      /* fpu.st, sw, top, empty are in the host's x87: x87.h */
    uint8_t lazy_flags;                 /* LAZY_*: who holds the arithmetic flags */
    bool run_one, running_one;          /* next / this pass of the loop runs one instruction */
    bool began_with_tf;
    uint8_t vtmp[64];                   /* a memory operand put together by a slow path */
    TcgCPU tcg;                         /* last: the TLB and look-up tables of accel/tcg, not
                                           architectural; reset must not clear it */
} X86CPU;

static inline X86CPU *x86_cpu(CPU *c)
{
    return (X86CPU *)c;
}
static inline unsigned x86_cpl(const X86CPU *c)
{
    if (!(c->cr0 & CR0_PE)) {
        return 0;
    }
    return (c->rflags & FL_VM) ? 3 : (c->seg[R_SS].attr >> DESC_DPL_SHIFT) & 3;
}
static inline bool x86_long_mode(const X86CPU *c)
{
    return c->efer & EFER_LMA;
}
static inline bool x86_code64(const X86CPU *c)
{
    return (c->efer & EFER_LMA) && (c->seg[R_CS].attr & DESC_L);
}

/* Generic code's way to the functions below; x86_cpu_new hands it to cpu_init. */
extern const TargetOps x86_target_ops;

/* The place of every vCPU in sockets, cores and threads: APIC ids and CPUID leaves follow.
 * Before the APICs are made. [bql] */
void x86_cpu_set_topology(X86CPU *c, unsigned cores, unsigned threads);
/* `-cpu help`: models and feature names. */
void x86_cpu_help(GString *out);
/* The same for query-cpu-definitions and the properties of CPU types. */
void x86_cpu_model_foreach(void (*fn)(const char *name, const char *desc, void *opaque), void *opaque);
void x86_feature_foreach(void (*fn)(const char *name, void *opaque), void *opaque);

/* Create vCPU n of a model ("qemu64,+avx2", QEMU's -cpu syntax).  Not yet running. [bql] */
X86CPU *x86_cpu_new(const char *model_and_features, int index, Error **err);
/* Power-on or INIT# state.  The boot CPU starts at F000:FFF0, others wait for SIPI. [bql or own thread] */
void x86_cpu_reset(X86CPU *c);
void x86_cpu_init_ipi(X86CPU *c);                 /* INIT: as reset, keeps what SDM 3A 9.1.1 keeps */
void x86_cpu_sipi(X86CPU *c, uint8_t vector);
extern const VMState vm_x86_cpu;

/* Is there anything that would wake it from HLT?  [own thread, bql] */
bool x86_cpu_has_work(X86CPU *c);

/* The 8259 pair's INTR, the local APIC's request, NMI, SMI, A20: from devices. [bql] */
void x86_cpu_set_pic_line(X86CPU *c, int level);
void x86_cpu_apic_changed(X86CPU *c);             /* APIC has (or no longer has) something for us */
void x86_cpu_nmi(X86CPU *c);
void x86_cpu_smi(X86CPU *c);
void x86_cpu_set_a20(X86CPU *c, bool on);
extern uint64_t x86_a20_mask;                     /* ~0 or ~(1 << 20) */

/* FERR# output (CR0.NE = 0) and IGNNE#: the board wires them to IRQ 13 and port F0h. [bql] */
extern void (*x86_ferr_hook)(X86CPU *c, bool level);
void x86_cpu_ignne(X86CPU *c);

/* Guest-virtual to guest-physical without side effects, for debuggers; false if unmapped. */
bool x86_debug_translate(X86CPU *c, uint64_t va, hwaddr *pa);
void x86_cpu_dump(X86CPU *c, GString *out, bool fpu);   /* `info registers`, QEMU's layout */

/* EFLAGS whole, whatever engine runs (engines install their lazy-flag hooks). */
uint64_t x86_get_flags(X86CPU *c);

/* The TSC as the guest reads it now. */
uint64_t x86_read_tsc(X86CPU *c);
/* When (virtual clock, ns) the TSC will have reached a value. */
int64_t x86_tsc_to_vclock(X86CPU *c, uint64_t tsc);

#endif
