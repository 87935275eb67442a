/* SPDX-License-Identifier: MIT */
/*
 * The VMware port, 5658h: a 32-bit IN (or OUT) with EAX = 564D5868h ("VMXh") and a command in CX
 * asks the hypervisor; the answer is in EAX and other registers.
 *
 *     10  version     EAX = 6, EBX = the magic number, ECX = kind of product
 *     19  BIOS UUID   its bytes in EAX, EBX, ECX, EDX
 *     20  RAM size    EAX = bytes, EBX = 1177h
 *     45  clocks      EBX:EAX = of the TSC, ECX = of the local APIC's timer, Hz
 *     68  vCPU        EAX bit 3: x2APIC without interrupt remapping is fine
 *     39-41           the mouse: vmmouse.c
 *
 * Source: VMware's open-vm-tools, backdoor_def.h, for the numbers; QEMU 7.2 for what the answers
 * are, and for its switches of older machines' behaviour.
 */
#include "hw/i386/vmport.h"
#include "hw/core/machine.h"
#include "target-i386/cpu.h"
#include "target-i386/cpuid.h"
#include "util/bits.h"
#include "util/log.h"

#define PORT  0x5658
#define MAGIC 0x564d5868u
#define APIC_HZ 1000000000u             /* hw/intc/apic-timer.c, and KVM's */

enum { CMD_VERSION = 10, CMD_UUID = 19, CMD_RAM_SIZE = 20, CMD_CLOCKS = 45, CMD_VCPU_INFO = 68 };

#define VCPU_LEGACY_X2APIC (1u << 3)

typedef struct VmPort {
    Device dev;                         /* always first */
    Region io;
    struct {
        VmportFn fn;
        void *opaque;
    } command[VMPORT_COMMANDS];
    /* Properties */
    uint32_t version;
    uint8_t type;
    bool set_eax, signal_unknown, report_type, more_commands;
} VmPort;

/* ---- commands ------------------------------------------------------------------------ */

static void cmd_version(void *opaque, VmportRegs *r)
{
    const VmPort *s = opaque;

    r->eax = s->version;
    r->ebx = MAGIC;
    if (s->report_type) {
        r->ecx = s->type;
    }
}

static void cmd_uuid(void *opaque, VmportRegs *r)
{
    const uint8_t *u = current_machine->uuid;

    r->eax = ld32_le(u);
    r->ebx = ld32_le(u + 4);
    r->ecx = ld32_le(u + 8);
    r->edx = ld32_le(u + 12);
}

static void cmd_ram_size(void *opaque, VmportRegs *r)
{
    r->eax = current_machine->ram_size;
    r->ebx = 0x1177;
}

static void cmd_clocks(void *opaque, VmportRegs *r)
{
    uint64_t hz = x86_cpu(cpu_current())->tsc_hz;

    r->eax = hz;
    r->ebx = hz >> 32;
    r->ecx = APIC_HZ;
}

static void cmd_vcpu_info(void *opaque, VmportRegs *r)
{
    r->eax = x86_has(x86_cpu(cpu_current()), CPUID_X2APIC) ? VCPU_LEGACY_X2APIC : 0;
}

void vmport_set_command(Device *vmport, unsigned n, VmportFn fn, void *opaque)
{
    VmPort *s = (VmPort *)vmport;

    g_assert(n < VMPORT_COMMANDS);
    s->command[n].fn = fn;
    s->command[n].opaque = opaque;
}

/* ---- the port ------------------------------------------------------------------------ */

static void perform(VmPort *s, VmportRegs *r)
{
    unsigned n = r->ecx & 0xffff;

    if (r->eax == MAGIC && n < VMPORT_COMMANDS && s->command[n].fn) {
        s->command[n].fn(s->command[n].opaque, r);
        return;
    }
    LOG_GUEST("vmport: EAX=%08xh, command %u: there is no such\n", r->eax, n);
    if (s->signal_unknown) {
        r->eax = UINT32_MAX;
    }
}

/* A 32-bit value in a register, if it is a new one: bits 63:32 then are 0. */
static void put(X86CPU *c, unsigned reg, uint32_t val)
{
    if ((uint32_t)c->r[reg] != val) {
        c->r[reg] = val;
    }
}

/* EAX of the answer; all others are in the vCPU then. */
static uint32_t ask(VmPort *s)
{
    CPU *cpu = cpu_of_access();

    if (!cpu) {
        return UINT32_MAX;
    }
    X86CPU *c = x86_cpu(cpu);
    VmportRegs r = {
        .eax = c->r[R_EAX], .ebx = c->r[R_EBX], .ecx = c->r[R_ECX], .edx = c->r[R_EDX],
        .esi = c->r[R_ESI], .edi = c->r[R_EDI],
    };
    perform(s, &r);
    put(c, R_EBX, r.ebx);
    put(c, R_ECX, r.ecx);
    put(c, R_EDX, r.edx);
    put(c, R_ESI, r.esi);
    put(c, R_EDI, r.edi);
    return r.eax;
}

static uint64_t vmport_read(void *opaque, hwaddr addr, unsigned size)
{
    VmPort *s = opaque;

    if (addr) {
        return UINT32_MAX;
    }
    uint32_t eax = ask(s);
    CPU *cpu = s->set_eax ? cpu_of_access() : NULL;
    if (cpu) {
        put(x86_cpu(cpu), R_EAX, eax);  /* whole, though AL or AX alone may be read */
    }
    return eax;
}

static void vmport_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    CPU *cpu = addr ? NULL : cpu_of_access();

    if (cpu) {
        put(x86_cpu(cpu), R_EAX, ask(opaque));
    }
}

static const RegionOps vmport_ops = {
    .read = vmport_read, .write = vmport_write, .min = 1, .max = 4,
};

/* ---- the device ---------------------------------------------------------------------- */

static bool vmport_realize(Device *dev, Error **err)
{
    VmPort *s = (VmPort *)dev;

    vmport_set_command(dev, CMD_VERSION, cmd_version, s);
    vmport_set_command(dev, CMD_RAM_SIZE, cmd_ram_size, s);
    if (s->more_commands) {
        vmport_set_command(dev, CMD_UUID, cmd_uuid, s);
        vmport_set_command(dev, CMD_CLOCKS, cmd_clocks, s);
        vmport_set_command(dev, CMD_VCPU_INFO, cmd_vcpu_info, s);
    }
    region_init_io(&s->io, "vmport", 4, &vmport_ops, s);
    region_map(dev->io, PORT, &s->io, 0);
    return true;
}

static void vmport_unrealize(Device *dev)
{
    region_destroy(&((VmPort *)dev)->io);
}

static const Prop vmport_props[] = {
    PROP_UINT("vmware-vmx-version", VmPort, version, 6, "the version it tells"),
    PROP_UINT("vmware-vmx-type", VmPort, type, 2, "the product it tells"),
    PROP_BOOL("x-read-set-eax", VmPort, set_eax, true, "reads of fewer than 32 bits set all of EAX"),
    PROP_BOOL("x-signal-unsupported-cmd", VmPort, signal_unknown, true,
              "EAX = FFFFFFFFh for commands that do not exist"),
    PROP_BOOL("x-report-vmx-type", VmPort, report_type, true, "command 10 tells the product"),
    PROP_BOOL("x-cmds-v2", VmPort, more_commands, true, "commands 19, 45 and 68"),
    PROP_DONE
};

static const DeviceType vmport = {
    .name = "vmport", .desc = "VMware I/O port", .bus = "isa", .size = sizeof(VmPort),
    .props = vmport_props, .realize = vmport_realize, .unrealize = vmport_unrealize,
    .no_user = true,
};
DEVICE_TYPE(vmport);
