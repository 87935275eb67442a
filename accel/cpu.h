/* SPDX-License-Identifier: MIT */
/*
 * A virtual CPU as the rest of the machine sees it: a thread, a set of requests from
 * outside, and an accelerator that runs it.  The architecture's state (struct X86CPU)
 * embeds this as its first member.  Nothing here knows x86.
 *
 * Threads: every field is owned by the vCPU's own thread while it runs guest code, except
 * those marked [atomic], which anybody may touch, and those marked [bql], which need the
 * big lock (util/bql.h).
 */
#ifndef ACCEL_CPU_H
#define ACCEL_CPU_H

#include <glib.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include "memory/memory.h"

struct Accel;
struct Machine;
struct CPU;

/* Reasons to leave guest code at the next instruction boundary, CPU.request [atomic]. */
enum {
    CPU_REQ_IRQ   = 1 << 0,   /* an interrupt line or a local interrupt is up (level: the
                                 target re-evaluates, and clears it when nothing is left) */
    CPU_REQ_NMI   = 1 << 1,
    CPU_REQ_SMI   = 1 << 2,
    CPU_REQ_INIT  = 1 << 3,
    CPU_REQ_SIPI  = 1 << 4,
    CPU_REQ_MCE   = 1 << 5,
    CPU_REQ_EXIT  = 1 << 8,   /* return from run(): stop, reset, queued work, quit */
    CPU_REQ_TLB   = 1 << 9,   /* TLB flush asked for by another thread */
    CPU_REQ_DEBUG = 1 << 10,  /* a breakpoint or a single step ended the run */
    CPU_REQ_STEP  = 1 << 12,  /* one instruction was to be run (accel/tcg; own thread only) */
    CPU_REQ_SYNC  = 1 << 11,  /* somebody wants to run alone (accel/tcg/exclusive.h) */
};

/* What the generic code asks of the architecture; target-i386 fills one. */
typedef struct TargetOps {
    const char *arch;                                   /* "x86_64" */
    /* Would it leave HLT now?  Also called for a CPU that is not halted. [own thread, bql] */
    bool (*has_work)(struct CPU *c);
    /* For monitors and debuggers; on the vCPU's thread or while it is stopped. */
    void (*dump)(struct CPU *c, GString *out, bool fpu);
    bool (*translate)(struct CPU *c, uint64_t va, hwaddr *pa);  /* no side effects */
    uint64_t (*pc)(struct CPU *c);                      /* linear address of the next instruction */
    unsigned (*code_bits)(struct CPU *c);               /* 16, 32 or 64: how to disassemble there */
} TargetOps;

/* Why Accel.run() came back. */
typedef enum {
    EXIT_KICKED,              /* somebody asked; look at CPU.request and the work queue */
    EXIT_HALTED,              /* HLT with nothing to do: sleep until cpu_has_work() */
    EXIT_RESET,               /* triple fault: reset (or shut down) the machine */
    EXIT_DEBUG,
    EXIT_ERROR,               /* the accelerator can't go on: state was logged, pause the VM */
} ExitReason;

/* Where a thread of vCPUs sleeps. */
typedef struct CPUSleep {
    GMutex lock;                      /* leaf lock: taken last, nothing taken inside */
    GCond cond;
    bool awake;                       /* [lock] somebody woke it: look at everything again */
} CPUSleep;

typedef struct CPU {
    int index;
    const struct Accel *accel;
    const TargetOps *ops;
    struct Machine *machine;

    AddressSpace *as;                 /* memory as this CPU sees it outside SMM */
    AddressSpace *as_smm;             /* ... and inside SMM */
    AddressSpace *as_io;              /* port space */

    uint32_t request;                 /* [atomic] CPU_REQ_* */
    bool halted;                      /* in HLT (or wait-for-SIPI): [own thread, bql] */
    bool sleeps_inside;               /* the accelerator's run() waits in HLT itself */
    bool stop, stopped;               /* [bql] wanted / reached: see system/cpus.h */
    bool created, unplug;             /* [bql] */
    GThread *thread;
    int thread_id;                    /* the kernel's, for query-cpus-fast; 0 before it starts */
    CPUSleep *sleep;                  /* its own, or the one of all vCPUs of its thread */
    CPUSleep own_sleep;
    GQueue work;                      /* [bql] of CPUWork, run by the vCPU's own thread */

    /* A debugger's (accel/debug.h), changed while all vCPUs stand */
    bool debug_step;                  /* stop after one instruction; interrupts wait */
    bool debug_hold;                  /* stand still though the machine runs */
    bool debug_stepped;               /* [own thread] the one instruction was begun */
    uint8_t debug_hit;                /* the kind of watchpoint that was hit (a BpType); 0: none */
    uint64_t debug_hit_addr;

    sigjmp_buf jmp;                   /* where a guest exception raised in C unwinds to */
    void *engine;                     /* private to accel/tcg (struct TcgCPU) */
    void *accel_cpu;                  /* private to an accelerator that has accel/tcg beside it */
} CPU;

/* Fill a zeroed CPU: the machine's address spaces, the current accelerator; appends it to
 * `cpus`, so index must be cpus->len.  Its thread starts after the board's init. [bql] */
void cpu_init(CPU *c, int index, const TargetOps *ops);

/* Set request bits and make run() notice soon.  Any thread, any lock. */
void cpu_request(CPU *c, uint32_t bits);
/* Let a halted or stopped vCPU look again whether it has work.  Any thread, any lock. */
void cpu_wake(CPU *c);
/* One thread runs all vCPUs, in turn (system/cpus.c).  The accelerator's init asks for it, before
 * the first thread starts. */
extern bool cpus_one_thread;
extern CPU *cpu_running;             /* [atomic] the one it runs now; NULL: none */
/* Sleep until the next cpu_wake or cpu_request; one that came since the last sleep counts.
 * [own thread, bql: released meanwhile] */
void cpu_sleep(CPU *c);
/* The guest spins, waiting for another vCPU: let others run. [own thread] */
void cpu_yield(CPU *c);
static inline void cpu_clear_request(CPU *c, uint32_t bits)
{
    __atomic_fetch_and(&c->request, ~bits, __ATOMIC_SEQ_CST);
}
static inline uint32_t cpu_pending(const CPU *c)
{
    return __atomic_load_n(&c->request, __ATOMIC_ACQUIRE);
}

/* Run fn(cpu, opaque) on the vCPU's thread at an instruction boundary.  cpu_run_on waits for
 * it (bql held, released meanwhile); cpu_run_async doesn't. */
void cpu_run_on(CPU *c, void (*fn)(CPU *c, void *opaque), void *opaque);
void cpu_run_async(CPU *c, void (*fn)(CPU *c, void *opaque), void *opaque);
/* Perform what is queued. [own thread, bql] */
void cpu_run_work(CPU *c);

/* The vCPU whose thread this is, or NULL. */
CPU *cpu_current(void);
void cpu_set_current(CPU *c);

/*
 * For a device that takes parameters in the CPU's registers: the vCPU whose instruction does the
 * access being served, its general registers brought into it.  What the device changes in them holds
 * when the access is over, but for the register that a port read loads.  NULL: it is no vCPU's
 * access (a monitor's, a test's). [within a device's read or write]
 */
CPU *cpu_of_access(void);

/* All vCPUs, by index; the array does not move once the machine runs. */
extern GPtrArray *cpus;
static inline CPU *cpu_by_index(unsigned n)
{
    return n < cpus->len ? g_ptr_array_index(cpus, n) : NULL;
}

#endif
