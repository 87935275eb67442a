/* SPDX-License-Identifier: MIT */
/*
 * 82441FX (PMC), the 440FX host bridge.
 *
 * Source: Intel 82441FX/82442FX data sheet (290549): PAM (3.2.19), SMRAM control (3.2.27).
 *
 *     SMRAM 72h   6: open   5: closed   4: locked   3: enabled   2..0: base, always 010 = A0000h
 *
 * Modelled: configuration mechanism #1, shadow RAM, SMRAM.  DRAM timing, row boundaries, error
 * reporting, bursts: registers without effect (there is no DRAM to time).
 */
#include "hw/pci/i440fx.h"
#include "hw/pci/pam.h"
#include "hw/pci/pci_host.h"

#define PAM0        0x59
#define SMRAM       0x72
#define SMRAM_BASE    0x02
#define SMRAM_ENABLE  0x08
#define SMRAM_LOCK    0x10
#define SMRAM_CLOSED  0x20
#define SMRAM_OPEN    0x40

typedef struct I440FXHost {
    Device dev;                         /* always first */
    PCIBus bus;
    PCIHost conf;
} I440FXHost;

typedef struct I440FX {
    PCIDevice pci;                      /* always first */
    uint8_t ram_8m;                     /* size of RAM for the register DRB7 shows, in 8 MiB */
    bool smm;
    Region *system, *pci_memory, *ram;
    AddressSpace pci_space;
    PamWindow pam[PAM_WINDOWS];
    Region vga_window;                  /* A0000h: PCI, over the RAM that lies below it */
    Region smm_root, smm_system, smm_ram;
    AddressSpace smm_space;
} I440FX;

/* ---- memory windows ------------------------------------------------------------------ */

static void update_pam(I440FX *s)
{
    for (unsigned n = 0; n < PAM_WINDOWS; n++) {
        /* PAM0 has F0000h in its high nibble; PAM1..6 have two windows each, low nibble first */
        unsigned at = PAM0 + (n + 1) / 2, shift = n & 1 ? 0 : 4;
        pam_set(&s->pam[n], s->pci.config[at] >> shift);
    }
}

static void update_smram(I440FX *s)
{
    uint8_t smram = s->pci.config[SMRAM];
    bool enabled = s->smm && (smram & SMRAM_ENABLE);

    region_enable(&s->vga_window, !(enabled && (smram & SMRAM_OPEN)));
    /* D_CLS keeps data accesses of SMM out of SMRAM, code fetches go on: we have one view for
     * both, and the only thing lost is drawing to VGA from SMM */
    region_enable(&s->smm_ram, enabled);
}

static void update_memory(I440FX *s)
{
    memory_begin();
    update_pam(s);
    update_smram(s);
    memory_commit();
}

/* Once locked, only a reset opens SMRAM again; the other bits stay as they are. */
static void smram_written(I440FX *s)
{
    uint8_t *reg = &s->pci.config[SMRAM];

    *reg = (*reg & ~0x87) | SMRAM_BASE;
    if (*reg & SMRAM_LOCK) {
        *reg &= ~SMRAM_OPEN;
        s->pci.wmask[SMRAM] = SMRAM_CLOSED;
    }
}

static void i440fx_config_written(PCIDevice *d, unsigned addr, unsigned len)
{
    I440FX *s = (I440FX *)d;

    if (addr <= SMRAM && addr + len > SMRAM) {
        smram_written(s);
        update_memory(s);
    } else if (addr < PAM0 + 7 && addr + len > PAM0) {
        update_memory(s);
    }
}

static void init_smm_space(I440FX *s)
{
    region_init_container(&s->smm_root, "smm", REGION_WHOLE);
    region_init_alias(&s->smm_system, "smm-system", s->system, 0, REGION_WHOLE);
    region_map(&s->smm_root, 0, &s->smm_system, 0);
    region_init_alias(&s->smm_ram, "smram", s->ram, 0xa0000, 0x20000);
    region_enable(&s->smm_ram, false);
    region_map(&s->smm_root, 0xa0000, &s->smm_ram, 1);
    address_space_init(&s->smm_space, &s->smm_root, "smm");
}

/* ---- function 00:00.0 ---------------------------------------------------------------- */

static bool i440fx_realize(Device *dev, Error **err)
{
    I440FX *s = (I440FX *)dev;

    s->pci.config_written = i440fx_config_written;
    address_space_init(&s->pci_space, s->pci_memory, "pci");
    memory_begin();
    region_init_alias(&s->vga_window, "vga-window", s->pci_memory, 0xa0000, 0x20000);
    region_map(s->system, 0xa0000, &s->vga_window, 1);
    for (unsigned n = 0; n < PAM_WINDOWS; n++) {
        pam_init(&s->pam[n], n, s->system, s->ram, s->pci_memory, &s->pci_space);
    }
    init_smm_space(s);
    memory_commit();
    return true;
}

static void i440fx_unrealize(Device *dev)
{
    I440FX *s = (I440FX *)dev;

    address_space_destroy(&s->smm_space);
    region_destroy(&s->smm_ram);
    region_destroy(&s->smm_system);
    region_destroy(&s->smm_root);
    for (unsigned n = 0; n < PAM_WINDOWS; n++) {
        pam_exit(&s->pam[n]);
    }
    region_destroy(&s->vga_window);
    address_space_destroy(&s->pci_space);
}

/*
 * PAM outlives a reset, unlike the data sheet's: firmware that shadowed itself finds out from
 * there that it is not the first start, and resumes from suspend (SeaBIOS counts on it, and
 * copies the ROM back by itself before an ordinary reset).
 */
static void i440fx_reset(Device *dev)
{
    I440FX *s = (I440FX *)dev;
    uint8_t pam[7];

    memcpy(pam, s->pci.config + PAM0, sizeof(pam));
    memset(s->pci.config + 0x40, 0, PCI_CONFIG_SIZE - 0x40);
    memcpy(s->pci.config + PAM0, pam, sizeof(pam));
    s->pci.config[0x57] = s->ram_8m;
    s->pci.config[SMRAM] = SMRAM_BASE;
    s->pci.wmask[SMRAM] = 0xff;
    update_memory(s);
}

static bool i440fx_post_load(void *opaque, int version, Error **err)
{
    I440FX *s = opaque;

    s->pci.wmask[SMRAM] = 0xff;
    smram_written(s);
    update_memory(s);
    return true;
}

static const VMField i440fx_fields[] = {
    VM_STRUCT(I440FX, pci, vm_pci_device),
    VM_DONE
};
static const VMState vm_i440fx = {
    .name = "i440FX", .post_load = i440fx_post_load, .fields = i440fx_fields,
};

static const PCIInfo i440fx_info = {
    .vendor = 0x8086, .device = 0x1237, .class_id = 0x0600, .revision = 2,
    .not_hotpluggable = true,
};

static const DeviceType i440fx = {
    .name = "i440FX", .desc = "Host bridge", .bus = "PCI", .category = "Controller/Bridge/Hub",
    .size = sizeof(I440FX), .vmstate = &vm_i440fx, .realize = i440fx_realize,
    .unrealize = i440fx_unrealize, .reset = i440fx_reset, .info = &i440fx_info, .no_user = true,
};
DEVICE_TYPE(i440fx);

/* ---- the bridge's CPU side ----------------------------------------------------------- */

static bool host_realize(Device *dev, Error **err)
{
    I440FXHost *s = (I440FXHost *)dev;

    pci_host_init(&s->conf, &s->bus, dev->io);
    return true;
}

static void host_unrealize(Device *dev)
{
    pci_host_exit(&((I440FXHost *)dev)->conf);
}

static void host_reset(Device *dev)
{
    pci_host_reset(&((I440FXHost *)dev)->conf);
}

static const VMField host_fields[] = {
    VM_STRUCT(I440FXHost, conf, vm_pci_host),
    VM_DONE
};
static const VMState vm_host = { .name = "i440FX-pcihost", .fields = host_fields };

static const DeviceType i440fx_host_type = {
    .name = "i440FX-pcihost", .desc = "440FX PCI host", .size = sizeof(I440FXHost),
    .vmstate = &vm_host, .realize = host_realize, .unrealize = host_unrealize,
    .reset = host_reset, .no_user = true, .fw_name = "pci@i0cf8",
};
DEVICE_TYPE(i440fx_host_type);

Device *i440fx_create(Region *system, Region *pci, Region *ram, uint64_t ram_size, bool smm)
{
    I440FXHost *h = (I440FXHost *)device_new("i440FX-pcihost");
    pci_bus_init(&h->bus, &h->dev, "pci.0", pci, h->dev.io);
    device_realize_or_die(&h->dev, NULL);

    I440FX *s = (I440FX *)pci_create(&h->bus, 0, "i440FX");
    s->system = system;
    s->pci_memory = pci;
    s->ram = ram;
    s->ram_8m = MIN(ram_size >> 23, 255);
    s->smm = smm;
    pci_realize_or_die(&s->pci, &h->bus);
    return &h->dev;
}

PCIBus *i440fx_bus(Device *host)
{
    return &((I440FXHost *)host)->bus;
}

PCIHost *i440fx_host(Device *host)
{
    return &((I440FXHost *)host)->conf;
}

AddressSpace *i440fx_smm_space(Device *host)
{
    return &((I440FX *)pci_find_device(i440fx_bus(host), 0))->smm_space;
}
