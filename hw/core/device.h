/* SPDX-License-Identifier: MIT */
/*
 * The device model.  A device is a struct whose first member is Device, described by one
 * static DeviceType that DEVICE_TYPE() puts into a linker section.  Life:
 *
 *   device_new -> set properties and wires -> device_realize -> reset <-> run -> unrealize
 *
 * realize maps regions and claims resources; reset writes the data sheet's power-on values
 * and is called once right after realize and at every system reset.  All under the big lock.
 */
#ifndef HW_CORE_DEVICE_H
#define HW_CORE_DEVICE_H

#include "hw/core/irq.h"
#include "util/prop.h"
#include "memory/memory.h"
#include "migration/vmstate.h"

struct Bus;
struct Device;
struct DeviceType;
struct Json;

/* A value that the machine protocol reads or sets by qom-get, qom-set while the device works;
 * either function may be NULL.  Tables end with a NULL name. */
typedef struct LiveProp {
    const char *name, *type;
    struct Json *(*get)(struct Device *dev);           /* given away */
    bool (*set)(struct Device *dev, const struct Json *value, Error **err);
} LiveProp;

typedef struct Device {
    const struct DeviceType *type;
    char *id;                         /* from -device id=, or NULL */
    struct Bus *bus;                  /* where it sits; NULL = on the board */
    GPtrArray *buses;                 /* of Bus* it offers */
    Region *io, *mem;                 /* the spaces it maps into (system_io(), system_memory());
                                         set by device_new, a bus may replace them */
    const LiveProp *live;             /* set by realize; or NULL */
    bool realized, hotplugged, user_created;
    int instance;                     /* n-th of its type: identifies it in a stream */
} Device;

typedef struct DeviceType {
    const char *name, *desc;          /* "isa-serial", "16550A serial port" */
    const char *alias;                /* another name QEMU knows it by, or NULL */
    const char *bus;                  /* bus type it plugs into ("isa", "PCI", "IDE"), NULL = board only */
    const char *category;             /* "Input", "Storage", ... for -device help */
    size_t size;                      /* of the struct that starts with Device */
    const Prop *props;
    const VMState *vmstate;           /* opaque is the Device */
    bool (*realize)(Device *dev, Error **err);
    void (*reset)(Device *dev);
    void (*unrealize)(Device *dev);
    void (*irq_in)(void *dev, int n, int level);   /* input lines, for device_irq_in() */
    unsigned irq_inputs;              /* how many */
    const void *info;                 /* constants of the bus: PCIInfo etc. */
    bool no_user;                     /* boards create it; -device refuses */
    const char *fw_name;              /* Open Firmware's name for such a device, or NULL */
    const char *fw_child;             /* ... and of what is to be booted below it, or NULL */
} DeviceType;

#define DEVICE_TYPE(var)                                                        \
    static const DeviceType *const var##_type_entry                             \
    __attribute__((used, section("orrery_devices"))) = &var

/*
 * A bus: where devices plug in.  Types are known by name ("isa", "PCI", "IDE", "SCSI", ...);
 * addressing is the bus's business (its add hook reads the device's own properties).
 */
typedef struct BusType {
    const char *name;
    /* props every device on this bus has beside its own, applied to the same struct */
    const Prop *props;
    /* before the device's realize: give it an address, set dev->io/mem.  false refuses it. */
    bool (*add)(struct Bus *bus, Device *dev, Error **err);
    void (*remove)(struct Bus *bus, Device *dev);
    /* after the device's realize; false: it is unrealized again */
    bool (*added)(struct Bus *bus, Device *dev, Error **err);
    /* A device is to go while the machine runs: do it (device_unplug), or ask the guest, which
     * does it later.  false: it can't.  NULL: nothing comes to or goes from such a bus then. */
    bool (*unplug)(struct Bus *bus, Device *dev, Error **err);
    /* before the device's own reset: the bus's part of its state */
    void (*reset)(struct Bus *bus, Device *dev);
    /* where on the bus, for names in a stream ("0000:00:03.0"); NULL: devices of a type are
     * told apart by number, in order of creation */
    void (*path)(struct Bus *bus, Device *dev, GString *out);
    /* the same for firmware, as Open Firmware names it ("/ide@1,1"); NULL: the type's fw_name */
    void (*fw_name)(struct Bus *bus, Device *dev, GString *out);
    /* one line of `info qtree` about the device's address */
    void (*print)(struct Bus *bus, Device *dev, GString *out, int indent);
} BusType;

/* Makes the bus's properties known before the first such bus exists. */
#define BUS_TYPE(var)                                                           \
    static const BusType *const var##_bus_entry                                 \
    __attribute__((used, section("orrery_buses"))) = &var

typedef struct Bus {
    const BusType *type;
    char *name;                       /* "pci.0", "isa.0", "ide.0" */
    Device *owner;
    GPtrArray *devices;               /* in order of realize */
    unsigned max_devices;             /* 0 = no limit */
} Bus;

/* The owner's unrealize destroys it again: devices on it are unrealized. */
void bus_init(Bus *bus, const BusType *type, Device *owner, const char *name);
void bus_destroy(Bus *bus);
void bus_foreach(void (*fn)(Bus *bus, void *opaque), void *opaque);
const BusType *bus_type_find(const char *name);
Bus *bus_find(const char *name_or_type);              /* first match by name, then by type */

const DeviceType *device_type_find(const char *name);  /* by name or alias; NULL */
void device_type_foreach(void (*fn)(const DeviceType *t, void *opaque), void *opaque);

/* New device with default properties, -global and machine compat values applied.  bus may be
 * NULL (board device, or the first bus of the right type at realize).  Dies on unknown type
 * when called by boards: use device_type_find first for user input. */
Device *device_new(const char *type);
bool device_set(Device *dev, const char *prop, const char *value, Error **err);
void device_set_uint(Device *dev, const char *prop, uint64_t v);      /* board code: asserts */
void device_set_str(Device *dev, const char *prop, const char *v);
void device_set_ptr(Device *dev, const char *prop, void *backend);    /* drive, chardev, netdev */
/* A realize that fails leaves nothing behind; the device is then still the caller's. */
bool device_realize(Device *dev, Bus *bus, Error **err);
/* Board shorthand: realize or die with the error. */
void device_realize_or_die(Device *dev, Bus *bus);
void device_unrealize(Device *dev);                   /* and free; also if never realized */
/* The machine runs (or has run since its last reset): devices from now on are hotplugged. */
void device_set_hotplug(bool on);
/* device_del: take the device out, or ask the guest to.  false: its bus is not made for that. */
bool device_request_unplug(Device *dev, Error **err);
/* The device goes, and all on its buses before it. */
void device_unplug(Device *dev);
/* Told of each device that device_unplug takes, before it goes; NULL = nobody. */
extern void (*device_unplugged_hook)(Device *dev);
char *device_get(Device *dev, const char *prop);      /* as text; NULL if unknown; g_free */
/* -device / device_add: OPTIONS are driver=, id=, bus= and the type's properties, in key=value
 * or JSON form.  opts is used up. */
struct Opts;
Device *device_add(struct Opts *opts, Error **err);
void device_help(GString *out);                       /* -device help: types by category */
bool device_type_help(GString *out, const char *type, Error **err);   /* -device X,help */
/* Calls fn for each property a device of this type has, its own first. */
void device_type_props(const DeviceType *t, void (*fn)(const Prop *p, void *opaque), void *opaque);
Device *device_find(const char *id);
/* Input line n of a device whose type has irq_in. */
IRQ device_irq_in(Device *dev, int n);
/* IRQ line to an arbitrary function. */
static inline IRQ irq_make(void (*set)(void *opaque, int n, int level), void *opaque, int n)
{
    IRQ irq = { set, opaque, n };
    return irq;
}

/* -global TYPE.prop=value rows and machine-version rows; applied by device_new in order. */
void device_add_global(const char *type, const char *prop, const char *value, bool user);
/* After the last row and before the machine: false for the first row with an unknown property
 * or a bad value; warnings for user rows of types that do not exist. */
bool device_check_globals(Error **err);

/* All realized devices in order of realize. */
void device_foreach(void (*fn)(Device *dev, void *opaque), void *opaque);
/* System reset: all devices, those realized last first, then the hooks. */
void devices_reset(void);
/* Something that is no device wants to hear of system reset (CPUs, loaders). */
void reset_register(void (*fn)(void *opaque), void *opaque);
void reset_unregister(void (*fn)(void *opaque), void *opaque);
void device_info_qtree(GString *out);

#endif
