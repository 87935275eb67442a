/* SPDX-License-Identifier: MIT */
/*
 * PCI: buses, functions, configuration space, BARs, interrupt lines.  A PCI device embeds
 * PCIDevice first and points DeviceType.info at its PCIInfo.
 *
 * Sources: PCI Local Bus Specification 3.0 (chapter 6 configuration space), PCI-to-PCI bridge 1.2.
 * All under the big lock, except pci_dma_* on RAM.
 */
#ifndef HW_PCI_PCI_H
#define HW_PCI_PCI_H

#include "hw/core/device.h"

#define PCI_CONFIG_SIZE 256
#define PCI_DEVFN(slot, fn) (((slot) << 3) | (fn))
#define PCI_SLOT(devfn)     ((devfn) >> 3)
#define PCI_FUNC(devfn)     ((devfn) & 7)

/* Configuration registers */
#define PCI_VENDOR_ID        0x00
#define PCI_DEVICE_ID        0x02
#define PCI_COMMAND          0x04
#define PCI_COMMAND_IO         0x001
#define PCI_COMMAND_MEMORY     0x002
#define PCI_COMMAND_MASTER     0x004
#define PCI_COMMAND_SERR       0x100
#define PCI_COMMAND_INTX_OFF   0x400
#define PCI_STATUS           0x06
#define PCI_STATUS_INTERRUPT   0x008
#define PCI_STATUS_CAP_LIST    0x010
#define PCI_REVISION         0x08
#define PCI_CLASS_PROG       0x09
#define PCI_CLASS_DEVICE     0x0a
#define PCI_CACHE_LINE_SIZE  0x0c
#define PCI_LATENCY_TIMER    0x0d
#define PCI_HEADER_TYPE      0x0e
#define PCI_BAR(n)           (0x10 + 4 * (n))
#define PCI_SUBSYS_VENDOR    0x2c
#define PCI_SUBSYS_ID        0x2e
#define PCI_ROM_BAR          0x30
#define PCI_CAP_PTR          0x34
#define PCI_INTERRUPT_LINE   0x3c
#define PCI_INTERRUPT_PIN    0x3d

enum { PCI_BAR_MEM32 = 0, PCI_BAR_IO = 1, PCI_BAR_MEM64 = 4, PCI_BAR_PREFETCH = 8 };

typedef struct PCIInfo {
    uint16_t vendor, device, class_id;      /* class_id: base class << 8 | subclass */
    uint8_t prog_if, revision, pin;         /* pin: 0 none, 1 INTA ... */
    uint16_t subsys_vendor, subsys;         /* 0: 1af4:1100, as QEMU's */
    bool multifunction;
    bool not_hotpluggable;
    const char *rom;                        /* option ROM file name, or NULL */
} PCIInfo;

struct PCIBus;

typedef struct PCIBar {
    Region *region;
    uint8_t type;
    uint64_t size;
    uint64_t addr;                          /* where mapped; PCI_BAR_UNMAPPED if not */
} PCIBar;
#define PCI_BAR_UNMAPPED UINT64_MAX

typedef struct PCIDevice {
    Device dev;                             /* always first */
    uint8_t config[PCI_CONFIG_SIZE];
    uint8_t wmask[PCI_CONFIG_SIZE];         /* bits the guest can write */
    uint8_t w1cmask[PCI_CONFIG_SIZE];       /* bits the guest clears by writing 1 */
    uint8_t used[PCI_CONFIG_SIZE];          /* bytes taken by capabilities (allocation) */
    int32_t addr_prop;                      /* property "addr": devfn or -1 */
    bool multifunction;
    char *romfile;                          /* property "romfile": NULL = the type's */
    uint32_t rombar;
    uint8_t devfn;
    struct PCIBus *bus;
    PCIBar bar[7];                          /* 6 = expansion ROM */
    bool pin_level;
    Region bus_master, bus_master_root;     /* DMA view: alias of memory, enabled by COMMAND.MASTER */
    AddressSpace dma;
    Region rom;
    uint8_t msi_cap, msix_cap;              /* offsets, 0 = none; the rest is hw/pci/msi.c's */
    uint8_t *msix_table, *msix_pba;         /* count * 16 bytes; a bit for each vector */
    uint32_t msix_count, msix_bytes, msix_pba_bytes;    /* vectors; sizes of the two */
    Region msix_table_io, msix_pba_io;
    struct IrqFd **msix_fds;                /* of each vector, made when it is first used; NULL: none */
    uint8_t *loading;                       /* config as it was before a load: vm_pci_device */
    /* Hooks; NULL = the default behaviour only */
    void (*config_written)(struct PCIDevice *d, unsigned addr, unsigned len);
    uint32_t (*config_read)(struct PCIDevice *d, unsigned addr, unsigned len, uint32_t val);
} PCIDevice;

/* What a board does about functions that come and go while the machine runs. */
typedef struct PCIHotplugOps {
    void (*plugged)(void *opaque, PCIDevice *d);        /* it is there: tell the guest */
    /* The guest is asked to let it go; device_unplug is called when it has.  false: can't be. */
    bool (*unplug)(void *opaque, PCIDevice *d, Error **err);
} PCIHotplugOps;

typedef struct PCIBus {
    Bus bus;                                /* always first */
    PCIDevice *slot[256];
    Region *mem, *io;                       /* where BARs are mapped */
    void (*set_irq)(void *opaque, int pirq, int level);   /* router input 0..3 */
    int (*map_irq)(PCIDevice *d, int pin);                /* pin 0..3 -> input of the router */
    void *irq_opaque;
    /* A message-signalled interrupt: the board takes it to the local APICs.  NULL: lost. */
    void (*msi)(uint64_t addr, uint32_t data);
    const PCIHotplugOps *hotplug;           /* NULL: nothing comes or goes */
    void *hotplug_opaque;
    unsigned number;                        /* bus number, 0 for the root */
} PCIBus;

extern const BusType pci_bus_type;
extern const VMState vm_pci_device;         /* embed with VM_STRUCT(T, pci, vm_pci_device) */

void pci_bus_init(PCIBus *b, Device *owner, const char *name, Region *mem, Region *io);
void pci_bus_set_irq(PCIBus *b, void (*set)(void *opaque, int pirq, int level),
                     int (*map)(PCIDevice *d, int pin), void *opaque);
/* Does any function assert this input of the router?  For a router that was re-programmed. */
bool pci_bus_irq_level(const PCIBus *b, int pirq);
/* Called by the bus before the device's realize: fills config from PCIInfo. After it, in the
 * device's realize: */
/* type: PCI_BAR_*; the region's size is the BAR's: a power of two, memory 16 bytes at least,
 * I/O 4 to 256.  A 64-bit BAR takes n and n + 1. */
void pci_register_bar(PCIDevice *d, int n, uint8_t type, Region *r);
/* Appends to the list; returns the offset, 0 and err if there is no room. */
int pci_add_capability(PCIDevice *d, uint8_t id, uint8_t offset /* 0 = anywhere */, uint8_t size,
                       Error **err);
int pci_find_capability(const PCIDevice *d, uint8_t id);                /* 0 = none */
/* Map BARs, follow COMMAND: after config bytes were changed behind the guest's back. */
void pci_update_mappings(PCIDevice *d);
void pci_set_irq(PCIDevice *d, int level);  /* INTx pin; honours INTX_OFF, updates STATUS */
IRQ pci_irq(PCIDevice *d);                  /* the pin as an IRQ line */
/* Power-on values of the header; called for each function at system reset before its own reset. */
void pci_device_reset(PCIDevice *d);

/* DMA as bus master: fails (MEM_REFUSED) when mastering is off. */
MemResult pci_dma_read(PCIDevice *d, hwaddr addr, void *buf, uint64_t len);
MemResult pci_dma_write(PCIDevice *d, hwaddr addr, const void *buf, uint64_t len);

/* Host bridges: type-1 configuration cycles. addr = bus << 16 | devfn << 8 | register. */
uint32_t pci_config_read(PCIBus *root, uint32_t addr, unsigned len);
void pci_config_write(PCIBus *root, uint32_t addr, uint32_t val, unsigned len);
PCIDevice *pci_find_device(PCIBus *b, uint8_t devfn);
/* For boards: a new device for a given devfn (-1 = first free slot), not yet realized. */
PCIDevice *pci_create(PCIBus *b, int devfn, const char *type);
void pci_realize_or_die(PCIDevice *d, PCIBus *b);
PCIBus *pci_root_bus(void);                 /* the machine's, NULL without PCI */
void pci_info(GString *out);                /* `info pci`, in QEMU's words */
/* "/ethernet@3": BusType.fw_name */
void pci_fw_name(Bus *bus, Device *dev, GString *out);
/* One line of `info qtree`. */
void pci_print_function(Bus *bus, Device *dev, GString *out, int indent);
/* hw/pci/pci-rom.c: the option ROM of a device, property romfile or the type's. */
bool pci_load_rom(PCIDevice *d, Error **err);

static inline uint16_t pci_get_word(const uint8_t *p) { return p[0] | p[1] << 8; }
static inline uint32_t pci_get_long(const uint8_t *p) { return pci_get_word(p) | (uint32_t)pci_get_word(p + 2) << 16; }
static inline void pci_set_word(uint8_t *p, uint16_t v) { p[0] = v; p[1] = v >> 8; }
static inline void pci_set_long(uint8_t *p, uint32_t v) { pci_set_word(p, v); pci_set_word(p + 2, v >> 16); }

#endif
