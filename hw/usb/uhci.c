/* SPDX-License-Identifier: MIT */
/*
 * UHCI host controllers: piix3-usb-uhci and piix4-usb-uhci.  Registers, root ports, time.
 *
 * Sources: UHCI Design Guide 1.1, chapter 2 (registers, global and port suspend); 82371SB
 * (PIIX3) data sheet, function 2.  The schedule is in uhci-sched.c.
 *
 *     00 USBCMD   02 USBSTS   04 USBINTR   06 FRNUM   08 FLBASEADD   0C SOFMOD   10, 12 PORTSC
 *
 * Time.  A frame lasts 1 ms, and is walked at its end.  Drivers leave the schedule running with
 * nothing in it but questions nobody answers (interrupt pipes); that must not cost a thousand
 * wake-ups a second.  So after AWAKE frames in which nothing moved the timer comes only once in
 * QUIET frames and then walks all that passed.  Data of a device, and a write to a register, bring
 * it back to every frame; a driver that only puts a descriptor into memory waits for at most
 * QUIET ms.  A register access first walks what is due, so the guest sees the frames pass.
 *
 * Not modelled: legacy keyboard emulation by SMI (LEGSUP), software debug mode, the length of
 * frames (SOFMOD).
 */
#include "hw/usb/uhci.h"
#include "util/log.h"

#include <inttypes.h>

#define FRAME_NS    NS_PER_MS
#define AWAKE       64u
#define QUIET       16

#define CFG_SBRN    0x60
#define CFG_LEGSUP  0xc0

#define PORT_WRITABLE (PORT_ENABLED | PORT_RESUME | PORT_RESET | PORT_SUSPEND)
#define PORT_CHANGES  (PORT_CONNECT_CHANGE | PORT_ENABLE_CHANGE)

/* ---- interrupts --------------------------------------------------------------------------------- */

void uhci_update_irq(UHCI *s)
{
    bool level = (s->cause & CAUSE_COMPLETE && s->intr & INTR_COMPLETE)
                 || (s->cause & CAUSE_SHORT && s->intr & INTR_SHORT)
                 || (s->status & STS_ERROR && s->intr & INTR_ERROR)
                 || (s->status & STS_RESUME && s->intr & INTR_RESUME)
                 || s->status & (STS_SYSTEM | STS_PROCESS);

    pci_set_irq(&s->pci, level);
}

void uhci_halt(UHCI *s, uint16_t why)
{
    s->cmd &= ~CMD_RUN;
    s->status |= STS_HALTED | why;
    timer_del(&s->timer);
    uhci_update_irq(s);
}

/* ---- time ----------------------------------------------------------------------------------------- */

static void one_frame(UHCI *s)
{
    s->moved = false;
    uhci_walk(s);
    if (s->moved) {
        s->awake = AWAKE;
    } else if (s->awake) {
        s->awake--;
    }
    s->frame = (s->frame + 1) & 0x7ff;
}

/* Walk the frames that have ended; true: there were some.  Of a long absence only the last ones
 * are walked. */
static bool catch_up(UHCI *s)
{
    if (!(s->cmd & CMD_RUN) || s->walking) {
        return false;
    }
    int64_t due = (vclock_ns() - s->frame_start) / FRAME_NS;
    if (due > s->max_frames) {
        s->frame = (s->frame + (due - s->max_frames)) & 0x7ff;
        s->frame_start += (due - s->max_frames) * FRAME_NS;
        due = s->max_frames;
    }
    bool any = due > 0;
    for (; due > 0 && s->cmd & CMD_RUN; due--) {
        s->frame_start += FRAME_NS;
        one_frame(s);
    }
    return any;
}

static void set_timer(UHCI *s)
{
    if (s->cmd & CMD_RUN) {
        timer_mod(&s->timer, s->frame_start + (s->awake ? 1 : QUIET) * FRAME_NS);
    } else {
        timer_del(&s->timer);
    }
}

static void frames_end(void *opaque)
{
    UHCI *s = opaque;

    catch_up(s);
    set_timer(s);
}

/* Something is about to happen: every frame counts again. */
static void wake(UHCI *s)
{
    if (!s->awake && s->cmd & CMD_RUN && !s->walking) {
        catch_up(s);
        s->awake = AWAKE;
        set_timer(s);
    }
    s->awake = AWAKE;
}

static void start(UHCI *s)
{
    s->status &= ~STS_HALTED;
    s->frame_start = vclock_ns();
    s->awake = AWAKE;
}

/* ---- ports ---------------------------------------------------------------------------------------- */

static void resume_detected(UHCI *s)
{
    s->status |= STS_RESUME;
    uhci_update_irq(s);
}

static void set_connected(UHCIPort *p)
{
    const USBInfo *info = p->port.device->dev.type->info;

    p->status |= PORT_CONNECTED | PORT_CONNECT_CHANGE;
    if (info->speed == USB_SPEED_LOW) {
        p->status |= PORT_LOW_SPEED;
    }
}

/* Coming and going wakes a suspended bus, too. */
static void connection_changed(UHCI *s)
{
    wake(s);
    if (s->cmd & CMD_EGSM) {
        resume_detected(s);
    }
}

static void port_attached(USBPort *port)
{
    set_connected((UHCIPort *)port);
    connection_changed((UHCI *)port->owner);
}

static void port_detached(USBPort *port)
{
    UHCIPort *p = (UHCIPort *)port;

    if (p->status & PORT_CONNECTED) {
        p->status |= PORT_CONNECT_CHANGE;
    }
    if (p->status & PORT_ENABLED) {
        p->status |= PORT_ENABLE_CHANGE;
    }
    p->status &= ~(PORT_CONNECTED | PORT_ENABLED | PORT_LOW_SPEED | PORT_SUSPEND | PORT_RESUME);
    connection_changed((UHCI *)port->owner);
}

static void port_notify(USBPort *port, bool resume)
{
    UHCIPort *p = (UHCIPort *)port;
    UHCI *s = (UHCI *)port->owner;

    wake(s);
    if (!resume || !(p->status & PORT_ENABLED)) {
        return;
    }
    if (p->status & PORT_SUSPEND && !(p->status & PORT_RESUME)) {
        p->status |= PORT_RESUME;
        resume_detected(s);
    } else if (s->cmd & CMD_EGSM && !(s->status & STS_RESUME)) {
        resume_detected(s);
    }
}

static void write_port(UHCI *s, unsigned n, uint16_t val)
{
    UHCIPort *p = &s->ports[n];

    if (val & PORT_RESET && !(p->status & PORT_RESET)) {
        if (p->port.device && p->port.device->dev.realized) {
            usb_reset_device(p->port.device);
        }
    }
    if (!(p->status & PORT_CONNECTED) || val & PORT_RESET) {
        val &= ~PORT_ENABLED;
    }
    p->status = (p->status & ~PORT_WRITABLE) | (val & PORT_WRITABLE);
    p->status &= ~(val & PORT_CHANGES);
}

/* ---- registers ------------------------------------------------------------------------------------ */

/* Registers and ports, and with the ports what is plugged into them. */
static void reset_controller(UHCI *s)
{
    s->cmd = s->intr = s->frame = 0;
    s->status = STS_HALTED;
    s->cause = 0;
    s->base = 0;
    s->sof = 64;
    s->frame_start = 0;
    s->awake = 0;
    for (unsigned i = 0; i < UHCI_PORTS; i++) {
        UHCIPort *p = &s->ports[i];
        p->status = PORT_ALWAYS;
        if (p->port.device && p->port.device->dev.realized) {
            usb_reset_device(p->port.device);
            set_connected(p);
        }
    }
    timer_del(&s->timer);
    uhci_update_irq(s);
}

static void write_command(UHCI *s, uint16_t val)
{
    if (val & CMD_GRESET && !(s->cmd & CMD_GRESET)) {
        reset_controller(s);
    }
    if (val & CMD_HCRESET) {
        reset_controller(s);            /* the bit reads 0: it is over */
        return;
    }
    if (val & CMD_RUN && !(s->cmd & CMD_RUN)) {
        start(s);
    } else if (!(val & CMD_RUN)) {
        s->status |= STS_HALTED;
    }
    s->cmd = val & 0xff;
}

static void write_status(UHCI *s, uint16_t val)
{
    s->status &= ~(val & (STS_INT | STS_ERROR | STS_RESUME | STS_SYSTEM | STS_PROCESS));
    if (val & STS_INT) {
        s->cause = 0;
    }
}

static void uhci_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    UHCI *s = opaque;

    if (addr & 1) {
        LOG_GUEST("uhci: write to %02x, in the middle of a register", (unsigned)addr);
        return;
    }
    catch_up(s);
    wake(s);
    switch (addr) {
    case 0x00:
        write_command(s, val);
        break;
    case 0x02:
        write_status(s, val);
        break;
    case 0x04:
        s->intr = val & 0x0f;
        break;
    case 0x06:
        if (s->status & STS_HALTED) {
            s->frame = val & 0x7ff;
        }
        break;
    case 0x08:
        s->base = (s->base & 0xffff0000) | (val & 0xf000);
        break;
    case 0x0a:
        s->base = (s->base & 0xf000) | (uint32_t)val << 16;
        break;
    case 0x0c:
        s->sof = val & 0x7f;
        break;
    case 0x10:
    case 0x12:
        write_port(s, (addr - 0x10) / 2, val);
        break;
    default:
        LOG_GUEST("uhci: write of %04x to %02x, where there is no register", (unsigned)val,
                  (unsigned)addr);
    }
    uhci_update_irq(s);
    set_timer(s);
}

static uint64_t uhci_read(void *opaque, hwaddr addr, unsigned size)
{
    UHCI *s = opaque;

    if (catch_up(s)) {
        set_timer(s);
    }
    switch (addr) {
    case 0x00:
        return s->cmd;
    case 0x02:
        return s->status;
    case 0x04:
        return s->intr;
    case 0x06:
        return s->frame;
    case 0x08:
        return s->base & 0xffff;
    case 0x0a:
        return s->base >> 16;
    case 0x0c:
        return s->sof;
    case 0x10:
    case 0x12:
        return s->ports[(addr - 0x10) / 2].status;
    default:
        return 0xff7f;                  /* bit 7 is 0: no port; drivers count them so */
    }
}

static const RegionOps uhci_ops = {
    .read = uhci_read, .write = uhci_write, .min = 2, .max = 2,
};

/* ---- life ----------------------------------------------------------------------------------------- */

static bool uhci_realize(Device *dev, Error **err)
{
    UHCI *s = (UHCI *)dev;

    timer_init(&s->timer, ORRERY_CLOCK_VIRTUAL, frames_end, s);
    region_init_io(&s->io, "uhci", 0x20, &uhci_ops, s);
    pci_register_bar(&s->pci, 4, PCI_BAR_IO, &s->io);
    s->pci.config[CFG_SBRN] = 0x10;     /* USB 1.0, as the data sheet has it */
    s->pci.wmask[CFG_SBRN] = 0;
    usb_bus_init(&s->bus, dev);
    for (unsigned i = 0; i < UHCI_PORTS; i++) {
        USBPort *p = &s->ports[i].port;
        p->bus = &s->bus;
        p->owner = dev;
        p->index = i;
        p->attached = port_attached;
        p->detached = port_detached;
        p->notify = port_notify;
        usb_port_register(p, NULL);
    }
    return true;
}

static void uhci_unrealize(Device *dev)
{
    UHCI *s = (UHCI *)dev;

    timer_del(&s->timer);
    usb_bus_exit(&s->bus);
    region_destroy(&s->io);
}

static void uhci_reset(Device *dev)
{
    UHCI *s = (UHCI *)dev;

    memset(s->pci.config + 0x40, 0, PCI_CONFIG_SIZE - 0x40);
    s->pci.config[CFG_SBRN] = 0x10;
    pci_set_word(s->pci.config + CFG_LEGSUP, 0x2000);
    pci_set_word(s->pci.config + PCI_STATUS, 0x0280);   /* medium DEVSEL, back-to-back */
    reset_controller(s);
}

/* ---- state ---------------------------------------------------------------------------------------- */

static bool uhci_post_load(void *opaque, int version, Error **err)
{
    UHCI *s = opaque;

    s->frame &= 0x7ff;
    s->base &= 0xfffff000;
    s->awake = MIN(s->awake, AWAKE);
    s->cmd &= 0xff;
    if (s->frame_start < 0 || s->frame_start > INT64_MAX / 2) {
        return fail(err, "uhci: a frame that began at %" PRId64 " ns", s->frame_start);
    }
    set_timer(s);
    return true;
}

static const VMField port_fields[] = { VM_UINT(UHCIPort, status), VM_DONE };
static const VMState vm_port = { .name = "uhci-port", .fields = port_fields };

static const VMField uhci_fields[] = {
    VM_STRUCT(UHCI, pci, vm_pci_device), VM_STRUCTS(UHCI, ports, vm_port), VM_UINT(UHCI, cmd),
    VM_UINT(UHCI, status), VM_UINT(UHCI, intr), VM_UINT(UHCI, frame), VM_UINT(UHCI, cause),
    VM_UINT(UHCI, sof), VM_UINT(UHCI, base), VM_UINT(UHCI, frame_start), VM_UINT(UHCI, awake),
    VM_DONE
};
static const VMState vm_uhci = {
    .name = "uhci", .post_load = uhci_post_load, .fields = uhci_fields,
};

/* ---- types ---------------------------------------------------------------------------------------- */

static const Prop uhci_props[] = {
    PROP_UINT_R("bandwidth", UHCI, bandwidth, 1280, 1, 1280, "bytes of data in a frame"),
    PROP_UINT_R("maxframes", UHCI, max_frames, 128, QUIET, 1024, "frames to walk after a delay"),
    PROP_DONE
};

static const PCIInfo piix3_info = {
    .vendor = 0x8086, .device = 0x7020, .class_id = 0x0c03, .revision = 1, .pin = 4,
};
static const PCIInfo piix4_info = {
    .vendor = 0x8086, .device = 0x7112, .class_id = 0x0c03, .revision = 1, .pin = 4,
};

static const DeviceType piix3_uhci = {
    .name = "piix3-usb-uhci", .desc = "PIIX3 USB controller", .bus = "PCI", .category = "USB",
    .size = sizeof(UHCI), .props = uhci_props, .vmstate = &vm_uhci, .realize = uhci_realize,
    .unrealize = uhci_unrealize, .reset = uhci_reset, .info = &piix3_info,
};
DEVICE_TYPE(piix3_uhci);

static const DeviceType piix4_uhci = {
    .name = "piix4-usb-uhci", .desc = "PIIX4 USB controller", .bus = "PCI", .category = "USB",
    .size = sizeof(UHCI), .props = uhci_props, .vmstate = &vm_uhci, .realize = uhci_realize,
    .unrealize = uhci_unrealize, .reset = uhci_reset, .info = &piix4_info,
};
DEVICE_TYPE(piix4_uhci);
