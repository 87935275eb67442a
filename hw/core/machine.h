/* SPDX-License-Identifier: MIT */
/*
 * Machine types: boards with their options.  A board is one file (hw/i386/pc.c) with one
 * static MachineType in a linker section; versioned names are rows of property values.
 */
#ifndef HW_CORE_MACHINE_H
#define HW_CORE_MACHINE_H

#include "accel/cpu.h"
#include "hw/core/device.h"
#include "util/prop.h"

typedef struct CompatProp {
    const char *type, *prop, *value;
} CompatProp;

struct MachineType;

/* -fw_cfg and -option-rom: a file the firmware shall find; the board hands it to its fw_cfg. */
typedef struct MachineFile {
    char *name;                         /* "opt/org.example/x", "genroms/foo.rom" */
    GBytes *data;
} MachineFile;

/* What the command line asked for; embedded first in a board's own struct. */
typedef struct Machine {
    const struct MachineType *type;
    uint64_t ram_size;                  /* bytes */
    unsigned smp_cpus, smp_max, smp_sockets, smp_cores, smp_threads;
    char *cpu_model;                    /* "qemu64,+avx2" */
    char *firmware;                     /* -bios, NULL = the board's default */
    char *kernel, *initrd, *append, *dtb;
    char *boot_order, *boot_once, *boot_splash;   /* "cad" letters */
    bool boot_menu, boot_strict;
    int boot_splash_time, boot_reboot_timeout;    /* ms, -1 = not given */
    char *vga;                          /* "std", "cirrus", "none" ...; NULL: the board's default */
    char *name;                         /* -name */
    uint8_t uuid[16];
    bool uuid_set;
    bool nodefaults;
    bool usb, graphics;
    int smm;                            /* on/off/auto as PROP_KIND_ONOFFAUTO */
    int acpi, hpet;                     /* on/off */
    int vmport;
    GPtrArray *files;                   /* of MachineFile* */
    GPtrArray *smbios, *acpitables;     /* of Opts*: -smbios, -acpitable, as given; the board
                                           names what it does not know (opts_check_unused) */
    bool no_fd_bootchk;                 /* -no-fd-bootchk: boot floppies without 55 AA */
    bool dump_guest_core, mem_merge;    /* -machine; carried out by system/ */
    Region ram;                         /* "pc.ram", made by board */
} Machine;

typedef struct MachineType {
    const char *name, *alias, *desc;    /* "pc-i440fx-1.0", "pc" */
    bool is_default;
    size_t size;
    const Prop *props;                  /* -machine x=y, applied to the board's struct */
    const CompatProp *compat;           /* ends with a NULL type */
    unsigned max_cpus;
    uint64_t default_ram;               /* bytes */
    const char *default_cpu;
    const char *default_nic;            /* model of a network card; NULL: it has no place for one */
    bool (*init)(Machine *m, Error **err);         /* create, set, wire */
    /* After -device: everything is plugged in; build the tables that describe it.  May be NULL. */
    bool (*ready)(Machine *m, Error **err);
    void (*reset)(Machine *m);          /* after the devices' reset; may be NULL */
    /* What the next boot tries, letters as of -boot order=.  May be NULL. [bql] */
    bool (*set_boot_order)(Machine *m, const char *letters, Error **err);
    bool no_serial, no_parallel, no_floppy, no_cdrom;   /* default devices it has no place for */
} MachineType;

#define MACHINE_TYPE(var)                                                       \
    static const MachineType *const var##_machine_entry                         \
    __attribute__((used, section("orrery_machines"))) = &var

const MachineType *machine_type_find(const char *name);     /* NULL = the default one */
void machine_type_foreach(void (*fn)(const MachineType *t, void *opaque), void *opaque);
extern Machine *current_machine;

/* Back-ends the command line made for the board's default devices, by number (may be NULL). */
struct CharDev *machine_serial(unsigned n);        /* -serial */
struct CharDev *machine_parallel(unsigned n);      /* -parallel */
/* -drive if=ide,index=n / -hda.. / -cdrom; if=floppy; NULL if not given */
struct BlockBackend *machine_drive(const char *interface, unsigned bus, unsigned unit);
/* Firmware and option ROM search: -L directories, then the built-in list.  g_free; NULL if absent. */
char *firmware_find(const char *name);

#endif
