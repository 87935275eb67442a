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
struct TargetOps;

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
};

/* Why Accel.run() came back. */
typedef enum {
    EXIT_KICKED,              /* somebody asked; look at CPU.request and the work queue */
    EXIT_HALTED,              /* HLT with nothing to do: sleep until cpu_has_work() */
    EXIT_RESET,               /* triple fault: reset (or shut down) the machine */
    EXIT_DEBUG,
    EXIT_ERROR,               /* the accelerator can't go on: state was logged, pause the VM */
} ExitReason;

typedef struct CPU {
    int index;
    const struct Accel *accel;
    const struct TargetOps *ops;      /* what the generic code needs of the architecture */
    struct Machine *machine;

    AddressSpace *as;                 /* memory as this CPU sees it outside SMM */
    AddressSpace *as_smm;             /* ... and inside SMM */
    AddressSpace *as_io;              /* port space */

    uint32_t request;                 /* [atomic] CPU_REQ_* */
    bool halted;                      /* in HLT (or wait-for-SIPI): [own thread, bql] */
    bool stop, stopped;               /* [bql] wanted / reached: see system/cpus.h */
    bool created, unplug;             /* [bql] */
    GThread *thread;
    GCond cond;                       /* [bql] wakes a halted or stopped vCPU */
    GQueue work;                      /* [bql] of CPUWork, run by the vCPU's own thread */

    sigjmp_buf jmp;                   /* where a guest exception raised in C unwinds to */
    void *engine;                     /* private to the accelerator (struct TcgCPU, KvmCPU) */
} CPU;

/* Set request bits and make run() notice soon.  Any thread, any lock. */
void cpu_request(CPU *c, uint32_t bits);
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

/* The vCPU whose thread this is, or NULL. */
CPU *cpu_current(void);
void cpu_set_current(CPU *c);

/* All vCPUs, by index; the array does not move once the machine runs. */
extern GPtrArray *cpus;
static inline CPU *cpu_by_index(unsigned n)
{
    return n < cpus->len ? g_ptr_array_index(cpus, n) : NULL;
}

#endif
