/* SPDX-License-Identifier: MIT */
/*
 * -accel kvm: what its files share, and what it asks of the architecture (struct KvmTarget,
 * filled by target-i386/kvm.c; nothing in accel/kvm knows x86).
 *
 * Every vCPU has the interpreter of accel/tcg beside its kernel half.  It takes over whenever
 * the kernel can't go on: an instruction that the kernel's emulator lacks, a mode of the CPU
 * that this kernel does not offer.  The registers are then fetched, some instructions run on
 * the same memory and the same devices, and the registers put back.
 *
 * Source: the kernel's Documentation/virt/kvm/api.rst (numbers of sections in comments are its).
 */
#ifndef ACCEL_KVM_KVM_H
#define ACCEL_KVM_KVM_H

#include <linux/kvm.h>
#include <pthread.h>
#include <time.h>
#include "accel/accel.h"

/* Interrupt controllers in the kernel: none, the local APICs, all and the interval timer. */
typedef enum { KVM_IRQCHIP_OFF, KVM_IRQCHIP_SPLIT, KVM_IRQCHIP_ON } KvmIrqchip;

/* The machine's half; one for the process. */
typedef struct KvmVm {
    int fd, vm;                     /* /dev/kvm; the machine made from it.  -1: none */
    size_t run_size;                /* of a vCPU's shared page(s) */
    bool turns;                     /* the interpreter gets turns though nothing failed */
    bool software;                  /* the kernel has no virtualization hardware under it */
    bool shadow;                    /* it shadows the guest's page tables: no EPT or NPT */
    bool late;                      /* another accelerator ran the machine before */
    unsigned max_slots;
    unsigned homeless;              /* [atomic] pieces of memory that have no slot: slots.c */
    bool readonly_mem, immediate_exit, emulation_exit;
    bool initially_set;             /* manual protection of the dirty log is on */
    KvmIrqchip irqchip;
    bool debug_interprets;          /* a debugger's breakpoint has no place in hardware */
    bool wide_apic_ids;             /* 32 bits in the local APICs' state */
} KvmVm;
extern KvmVm kvm;

/* One vCPU's half. */
typedef struct KvmCpu {
    CPU *cpu;
    int fd;
    pthread_t thread;               /* where kicks go */
    struct kvm_run *run;            /* shared with the kernel */
    bool here;                      /* the registers' truth is in CPU, put before running */
    StateLevel level;               /* ... and how much of it changed */
    bool stored;                    /* the interpreter may have stored to page tables */
    bool lent;                      /* the device that is asked now has the general registers in CPU */
    bool unfinished;                /* the last exit's access ends at the next KVM_RUN (5) */
    bool stepping;                  /* the kernel runs one instruction */
    bool debug_changed;             /* a debugger's breakpoints did */
    void *arch;                     /* the target's */
    timer_t timer;                  /* ends the kernel's turn, if timed */
    bool timed;
    /* The interpreter's turns */
    int64_t slice;                  /* how long the next one may last, ns */
    int64_t until;                  /* [atomic] when this one shall end; 0: now */
    int64_t left_at;                /* when the last one ended */
    uint64_t runs;                  /* [atomic] KVM_RUNs begun and ended: odd inside of one */
    uint64_t runs_seen;             /* ... of the machine when blocks were last dropped */
    uint64_t assists, insns;        /* turns, instructions in them; read by info without a lock */
    int64_t assist_ns;
    uint64_t exits, exits_io, exits_mmio, kicks;
} KvmCpu;

/* c's half, or NULL before cpu_create. */
KvmCpu *kvm_cpu(CPU *c);

typedef enum {
    KVM_GO_ON,                      /* dealt with: run on */
    KVM_INTERPRET,                  /* let the interpreter go on from here */
    KVM_UNKNOWN,
} KvmVerdict;

typedef struct KvmTarget {
    /* After KVM_CREATE_VM, before the first vCPU: what the architecture must set up. */
    bool (*init)(Error **err);
    unsigned (*vcpu_id)(const CPU *c);
    bool (*cpu_create)(KvmCpu *k, Error **err);
    /* All vCPUs stand still; KVM is, or is no longer, what runs them. [bql] */
    void (*active)(bool on);
    /* Registers from and to the kernel. */
    bool (*get)(KvmCpu *k, Error **err);
    bool (*put)(KvmCpu *k, StateLevel level, Error **err);
    /* The general registers, RIP and flags alone. */
    bool (*get_general)(KvmCpu *k, Error **err);
    bool (*put_general)(KvmCpu *k, Error **err);
    /* Something is wanted of the CPU that the kernel can't do; asked before each run. */
    bool (*wants_interpreter)(KvmCpu *k, uint32_t request);
    /* Interrupts in, just before KVM_RUN.  May take the big lock. */
    void (*before_run)(KvmCpu *k);
    void (*after_run)(KvmCpu *k);
    /* An access of the interpreter's, by the kernel, to a port or to memory where the kernel has
     * a chip.  false: it can't do this one. [own thread, during a turn] */
    bool (*chip_access)(KvmCpu *k, bool port, hwaddr addr, unsigned size, bool write,
                        uint64_t *val);
    /* The vCPU waits for a start that the kernel will see, and is then to be run by the
     * interpreter. */
    bool (*starts_in_kernel)(KvmCpu *k);
    /* What runs now only the kernel can run. */
    bool (*kernels_alone)(KvmCpu *k);
    /* A thread that vCPUs run in has begun: once, before the others of it. */
    void (*thread_init)(KvmCpu *k);
    /* The interpreter keeps the vCPU while the kernel has its local APIC: take an interrupt
     * from there if one is due. */
    bool (*pull)(KvmCpu *k, Error **err);
    /* It is halted: sleep until there may be something to pull, or a kick. */
    bool (*wait)(KvmCpu *k, Error **err);
    /* From the next KVM_RUN on: single-step the guest (it ends with KVM_EXIT_DEBUG), and have
     * the debugger's breakpoints. */
    bool (*step)(KvmCpu *k, bool on);
    /* One of accel/debug.h comes or goes. [bql, vCPUs stopped] */
    bool (*breakpoint)(KvmCpu *k, BpOp op, uint64_t addr, int type);
    /* KVM_EXIT_DEBUG outside of a step.  KVM_UNKNOWN: it is the debugger's. */
    KvmVerdict (*debug_exit)(KvmCpu *k);
    /* The kernel reports a triple fault, the registers are fetched.  May it be wrong?  Then make
     * the CPU ready to execute the instruction once more. */
    bool (*doubt)(KvmCpu *k);
    /* HLT was executed: note it in CPU. [bql] */
    void (*halted)(KvmCpu *k);
    /* The kernel's form of a message's address; NULL: as it is. */
    uint64_t (*message)(uint64_t addr);
    /* An exit that generic code does not know. */
    KvmVerdict (*exit)(KvmCpu *k);
    /* The address space that memory exits belong to. */
    AddressSpace *(*as)(KvmCpu *k);
    void (*info)(GString *out);
} KvmTarget;
extern const KvmTarget kvm_target;

/* ioctl that starts again when a signal interrupts it; -errno instead of -1. */
int kvm_ioctl(int fd, unsigned long request, const void *arg);
/* res >= 0; if not, a line on stderr: what could not be done. */
bool kvm_told(int res, const char *what);
/* What KVM_CHECK_EXTENSION says of the machine (of /dev/kvm before there is one). */
int kvm_cap(int cap);
bool kvm_enable_cap(uint32_t cap, uint64_t arg);

/* run.c */
bool kvm_cpu_create(CPU *c, Error **err);
void kvm_cpu_destroy(CPU *c);
ExitReason kvm_cpu_run(CPU *c);
bool kvm_breakpoint(CPU *c, BpOp op, uint64_t addr, unsigned len, int type);
void kvm_cpu_kick(CPU *c);
void kvm_cpu_get_state(CPU *c);
bool kvm_cpu_put_state(CPU *c, StateLevel what, Error **err);
/* Accel.access_registers */
bool kvm_access_registers(CPU *c);

/* The kernel's interrupt controllers were told something: vCPUs that the interpreter runs shall
 * pull.  Any thread, any lock. */
void kvm_poke(void);

/* tcg_io_hook */
bool kvm_io_hook(CPU *c, AddressSpace *as, hwaddr addr, unsigned size, bool write, uint64_t *val);
/* KVM_EXIT_IO, KVM_EXIT_MMIO: by the devices. [own thread] */
void kvm_do_io(KvmCpu *k);
void kvm_do_mmio(KvmCpu *k);

/* slots.c: memory of the machine, kept in step with address_space_memory. */
void kvm_slots_probe(void);             /* how many there are; the machine is made */
void kvm_slots_init(void);
/* A page of guest-physical memory with code of ours, 4 KiB; once, before the first run. */
bool kvm_slots_own_page(hwaddr at, const void *host);
/* Make the kernel forget what it derived from the guest's page tables. */
void kvm_slots_drop_shadow(void);
void kvm_slots_info(GString *out);

/* coalesced.c: stores that the kernel keeps in a ring for a while. */
void kvm_coalesced_cpu(KvmCpu *k);      /* the first vCPU was made [bql] */
void kvm_coalesced_active(bool on);
/* Any thread, with or without the big lock. */
void kvm_coalesced_flush(void);
void kvm_coalesced_info(GString *out);

/* eventfd.c: what accel/eventfd.h asks of KVM, and the table of global system interrupts. */
void kvm_eventfd_init(void);
void kvm_eventfd_active(bool on);
void kvm_eventfd_info(GString *out);
/* The chips' entries, once; messages get the numbers above theirs. [bql] */
bool kvm_routes_init(const struct kvm_irq_routing_entry *e, unsigned count);
/* An entry to be changed, then told; NULL if there is none. [bql] */
struct kvm_irq_routing_entry *kvm_route(unsigned gsi, unsigned type);
void kvm_route_message(struct kvm_irq_routing_entry *e, uint64_t addr, uint32_t data);
bool kvm_routes_changed(void);

#endif
