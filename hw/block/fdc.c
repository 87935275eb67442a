/* SPDX-License-Identifier: MIT */
/*
 * 82078 floppy disk controller: ports 3F0h-3F5h and 3F7h, IRQ 6, DMA channel 2.
 *
 * Source: Intel 82078 data sheet (290468); section 4 registers, 5 phases, 6 commands.
 *
 *   3F0 SRA  7 interrupt pending          3F4 MSR  7 RQM  6 DIO  5 non-DMA  4 busy  3..0 seeking
 *   3F1 SRB                               3F4 DSR  7 reset  6 power down  1..0 data rate
 *   3F2 DOR  7..4 motors  3 DMA gate      3F5 FIFO
 *            2 /reset  1..0 drive         3F7 DIR  7 disk changed;   CCR 1..0 data rate
 *   3F3 TDR
 *
 * Disks turn infinitely fast: a sector is there as soon as the image has delivered it; only
 * READ ID takes a moment.  Not modelled: gaps, CRCs, deleted data marks (no sector has one),
 * sector sizes other than 512 bytes, tape drives, the motors.
 */
#include "hw/block/fdc.h"
#include "hw/block/fdc-internal.h"
#include "util/log.h"

enum { REG_SRA, REG_SRB, REG_DOR, REG_TDR, REG_MSR, REG_FIFO, REG_IDE, REG_DIR,
       REG_DSR = REG_MSR, REG_CCR = REG_DIR };

/* ---- the interrupt line, phases --------------------------------------------------------- */

void fdc_irq(Fdc *s, bool level)
{
    s->irq_level = level;
    irq_set(&s->irq, level);
}

void fdc_idle(Fdc *s)
{
    s->phase = PH_COMMAND;
    s->action = DO_NONE;
    s->cmd_len = s->result_pos = s->result_len = 0;
}

void fdc_offer(Fdc *s, unsigned len)
{
    s->phase = PH_RESULT;
    s->action = DO_NONE;
    s->result_pos = 0;
    s->result_len = len;
}

void fdc_stop_request(Fdc *s)
{
    if (s->req) {
        s->dropping = true;
        blk_cancel(s->req);
        s->dropping = false;
        s->req = NULL;
    }
    timer_del(&s->timer);
    isa_dma_release(s->isa, s->dma_no);
    s->failed = false;
}

/* ---- reset ----------------------------------------------------------------------------- */

/* Through DOR, DSR or the pin.  The locked settings survive a software reset. */
static void fdc_reset_chip(Fdc *s, bool hard)
{
    fdc_stop_request(s);
    fdc_irq(s, false);
    fdc_idle(s);
    s->seeking = s->polls = 0;
    s->perpendicular &= 0x3c;
    if (hard || !s->lock) {
        s->config = CONF_EFIFO;
        s->precomp = 0;
    }
    for (unsigned n = 0; n < FLOPPY_DRIVES; n++) {
        Floppy *f = fdc_drive(s, n);
        if (f) {
            f->track = 0;
        }
    }
}

/* Coming out of reset the chip polls its drives and reports each as changed. */
static void fdc_leave_reset(Fdc *s)
{
    if (!(s->config & CONF_NO_POLL)) {
        s->polls = 0x0f;
        fdc_irq(s, true);
    }
}

/* ---- registers ------------------------------------------------------------------------- */

static void fdc_write_dor(Fdc *s, uint8_t val)
{
    uint8_t changed = s->dor ^ val;

    s->dor = val;
    if (!(changed & DOR_RESET_N)) {
        return;
    }
    if (val & DOR_RESET_N) {
        fdc_leave_reset(s);
    } else {
        fdc_reset_chip(s, false);
    }
}

/* The reset bit of the DSR clears itself. */
static void fdc_write_dsr(Fdc *s, uint8_t val)
{
    s->dsr = val & ~DSR_RESET;
    s->rate = val & DSR_RATE;
    if (!(s->dor & DOR_RESET_N)) {
        return;
    }
    if (val & DSR_RESET) {
        fdc_reset_chip(s, false);
        fdc_leave_reset(s);
    }
}

static uint8_t fdc_read_msr(const Fdc *s)
{
    uint8_t val = s->seeking;

    if (!(s->dor & DOR_RESET_N)) {
        return 0;
    }
    switch (s->phase) {
    case PH_COMMAND:
        return val | MSR_RQM | (s->cmd_len ? MSR_BUSY : 0);
    case PH_WAIT:
        return val | MSR_BUSY;
    case PH_RESULT:
        return val | MSR_BUSY | MSR_RQM | MSR_DIO;
    default:
        if (fdc_uses_dma(s)) {
            return val | MSR_BUSY;
        }
        return val | MSR_BUSY | MSR_RQM | MSR_NON_DMA | (s->phase == PH_TO_HOST ? MSR_DIO : 0);
    }
}

static uint8_t fdc_read_result(Fdc *s)
{
    uint8_t val = s->result[s->result_pos++];

    fdc_irq(s, false);
    if (s->result_pos == s->result_len) {
        fdc_idle(s);
    }
    return val;
}

static uint8_t fdc_read_fifo(Fdc *s)
{
    uint8_t val;

    if (s->phase == PH_RESULT) {
        return fdc_read_result(s);
    }
    if (s->phase == PH_TO_HOST && !fdc_uses_dma(s)) {
        val = s->buf[s->pos++];
        if (s->pos == s->len) {
            fdc_buffer_done(s);
        }
        return val;
    }
    LOG_GUEST("fdc: FIFO read in phase %u\n", s->phase);
    return 0;
}

static void fdc_write_fifo(Fdc *s, uint8_t val)
{
    if (!(s->dor & DOR_RESET_N)) {
        LOG_GUEST("fdc: FIFO written while the chip is in reset\n");
    } else if (s->phase == PH_COMMAND) {
        fdc_take_command_byte(s, val);
    } else if (s->phase == PH_FROM_HOST && !fdc_uses_dma(s)) {
        s->buf[s->pos++] = val;
        if (s->pos == s->len) {
            fdc_buffer_done(s);
        }
    } else {
        LOG_GUEST("fdc: FIFO written in phase %u\n", s->phase);
    }
}

static uint8_t fdc_read_sra(const Fdc *s)
{
    Floppy *f = fdc_drive((Fdc *)s, s->dor & DOR_DRIVE);
    uint8_t val = 0x40;                     /* no second drive answers */

    val |= s->irq_level ? 0x80 : 0;
    val |= f && f->track == 0 ? 0 : 0x10;   /* /TRK0 */
    val |= s->head ? 0x08 : 0;
    val |= floppy_ready(f) && blk_readonly(f->blk) ? 0 : 0x02;
    return val;
}

static uint8_t fdc_read_srb(const Fdc *s)
{
    return 0xc0 | (s->dor & 1) << 5 | (s->dor >> 4 & 3);
}

static uint8_t fdc_read_dir(Fdc *s)
{
    Floppy *f = fdc_drive(s, s->dor & DOR_DRIVE);

    return f && f->changed ? DIR_CHANGED : 0;
}

static uint64_t fdc_read(void *opaque, hwaddr addr, unsigned size)
{
    Fdc *s = opaque;

    switch (addr) {
    case REG_SRA:
        return fdc_read_sra(s);
    case REG_SRB:
        return fdc_read_srb(s);
    case REG_DOR:
        return s->dor;
    case REG_TDR:
        return s->tdr;
    case REG_MSR:
        return fdc_read_msr(s);
    case REG_FIFO:
        return fdc_read_fifo(s);
    default:
        return fdc_read_dir(s);
    }
}

static void fdc_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    Fdc *s = opaque;

    switch (addr) {
    case REG_DOR:
        fdc_write_dor(s, val);
        break;
    case REG_TDR:
        s->tdr = val & 3;
        break;
    case REG_DSR:
        fdc_write_dsr(s, val);
        break;
    case REG_FIFO:
        fdc_write_fifo(s, val);
        break;
    case REG_CCR:
        s->rate = val & DSR_RATE;
        break;
    }
}

static uint64_t fdc_read7(void *opaque, hwaddr addr, unsigned size)
{
    return fdc_read(opaque, REG_DIR, size);
}

static void fdc_write7(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    fdc_write(opaque, REG_CCR, val, size);
}

/* 3F6h in the middle belongs to the IDE controller. */
static const RegionOps fdc_ops = { .read = fdc_read, .write = fdc_write, .min = 1, .max = 1 };
static const RegionOps fdc_ops7 = { .read = fdc_read7, .write = fdc_write7, .min = 1, .max = 1 };

/* ---- for boards ------------------------------------------------------------------------ */

void fdc_plug_drive(Device *fdc, unsigned unit, struct BlockBackend *blk)
{
    Device *dev = device_new("floppy");

    if (blk) {
        device_set_ptr(dev, "drive", blk);
    }
    device_set_uint(dev, "unit", unit);
    device_realize_or_die(dev, &((Fdc *)fdc)->bus.bus);
}

unsigned fdc_cmos_type(Device *fdc, unsigned unit)
{
    static const uint8_t cmos[] = { [FLOPPY_120] = 2, [FLOPPY_144] = 4, [FLOPPY_288] = 5 };
    Floppy *f = fdc_drive((Fdc *)fdc, unit);

    return f && f->type < FLOPPY_NONE ? cmos[f->type] : 0;
}

/* ---- device ---------------------------------------------------------------------------- */

static bool fdc_realize(Device *dev, Error **err)
{
    Fdc *s = (Fdc *)dev;

    if (s->irq_no > 15 || s->dma_no > 3 || s->iobase > 0xfff8) {
        return fail(err, "isa-fdc: iobase=0x%x,irq=%u,dma=%u: lines are 0 to 15, channels 0 to 3, "
                    "ports end at 0xffff", s->iobase, s->irq_no, s->dma_no);
    }
    s->isa = (ISABus *)dev->bus;
    s->irq = isa_irq(dev, s->irq_no);
    isa_dma_register(s->isa, s->dma_no, fdc_dma, s);
    timer_init(&s->timer, ORRERY_CLOCK_VIRTUAL, fdc_read_id_done, s);
    floppy_bus_init(&s->bus, dev);
    s->bus.fallback = s->fallback == FLOPPY_AUTO ? FLOPPY_288 : s->fallback;
    s->bus.resume = fdc_resume;
    s->bus.opaque = s;
    region_init_io(&s->io, "fdc", 6, &fdc_ops, s);
    region_map(dev->io, s->iobase, &s->io, 0);
    region_init_io(&s->io7, "fdc-dir", 1, &fdc_ops7, s);
    region_map(dev->io, s->iobase + 7, &s->io7, 0);
    return true;
}

static void fdc_unrealize(Device *dev)
{
    Fdc *s = (Fdc *)dev;

    fdc_stop_request(s);
    isa_dma_register(s->isa, s->dma_no, NULL, NULL);
    region_destroy(&s->io);
    region_destroy(&s->io7);
}

static void fdc_reset(Device *dev)
{
    Fdc *s = (Fdc *)dev;

    s->dor = DOR_RESET_N | DOR_DMA;
    s->tdr = s->dsr = s->power = 0;
    s->rate = RATE_250K;
    s->lock = false;
    s->srt_hut = s->last_eot = s->perpendicular = s->sel = s->head = 0;
    s->hlt_nd = 0;
    s->cyl = s->sec = s->eot = s->step = 0;
    s->todo = s->pos = s->len = 0;
    s->tc = false;
    memset(s->cmd, 0, sizeof(s->cmd));
    memset(s->result, 0, sizeof(s->result));
    memset(s->drive_spec, 0, sizeof(s->drive_spec));
    memset(s->seek_st0, 0, sizeof(s->seek_st0));
    fdc_reset_chip(s, true);
}

static bool fdc_post_load(void *opaque, int version, Error **err)
{
    Fdc *s = opaque;
    Floppy *f = s->sel < FLOPPY_DRIVES ? s->bus.drive[s->sel] : NULL;

    if (s->phase >= PH_COUNT || s->action >= DO_COUNT || s->cmd_len >= sizeof(s->cmd)
        || s->result_len > sizeof(s->result) || s->result_pos > s->result_len
        || (s->phase == PH_RESULT && s->result_pos == s->result_len) || s->sel > 3
        || s->head > 1 || s->len > SECTOR || s->pos > s->len
        || ((s->phase == PH_TO_HOST || s->phase == PH_FROM_HOST) && s->pos == s->len)) {
        return fail(err, "isa-fdc: impossible state of a command");
    }
    if (s->action != DO_NONE && !f) {
        return fail(err, "isa-fdc: a command for drive %u, which does not exist", s->sel);
    }
    if (s->phase == PH_WAIT && !s->failed && !timer_pending(&s->timer)) {
        return fail(err, "isa-fdc: a request was under way when the state was saved");
    }
    return true;
}

static const VMField fdc_fields[] = {
    VM_UINT(Fdc, dor), VM_UINT(Fdc, tdr), VM_UINT(Fdc, dsr), VM_UINT(Fdc, rate),
    VM_UINT(Fdc, phase), VM_UINT(Fdc, action), VM_BUFFER(Fdc, cmd), VM_UINT(Fdc, cmd_len),
    VM_BUFFER(Fdc, result), VM_UINT(Fdc, result_pos), VM_UINT(Fdc, result_len),
    VM_BOOL(Fdc, irq_level), VM_UINT(Fdc, seeking), VM_BUFFER(Fdc, seek_st0),
    VM_UINT(Fdc, polls), VM_UINT(Fdc, srt_hut), VM_UINT(Fdc, hlt_nd), VM_UINT(Fdc, config),
    VM_UINT(Fdc, precomp), VM_UINT(Fdc, perpendicular), VM_UINT(Fdc, last_eot),
    VM_BUFFER(Fdc, drive_spec), VM_UINT(Fdc, power), VM_BOOL(Fdc, lock), VM_UINT(Fdc, sel),
    VM_UINT(Fdc, head), VM_UINT(Fdc, cyl), VM_UINT(Fdc, sec), VM_UINT(Fdc, eot),
    VM_UINT(Fdc, step), VM_UINT(Fdc, todo), VM_BOOL(Fdc, tc), VM_BOOL(Fdc, failed),
    VM_UINT(Fdc, pos), VM_UINT(Fdc, len), VM_BUFFER(Fdc, buf), VM_BUFFER(Fdc, disk),
    VM_TIMER(Fdc, timer),
    VM_DONE
};
static const VMState vm_fdc = {
    .name = "fdc", .post_load = fdc_post_load, .fields = fdc_fields,
};

static const Prop fdc_props[] = {
    PROP_UINT("iobase", Fdc, iobase, 0x3f0, "first of its ports"),
    PROP_UINT("irq", Fdc, irq_no, 6, "ISA interrupt line"),
    PROP_UINT("dma", Fdc, dma_no, 2, "DMA channel, 0 to 3"),
    PROP_BOOL("check_media_rate", Fdc, check_rate, true, "disks answer only at their data rate"),
    PROP_ENUM("fallback", Fdc, fallback, FLOPPY_288, floppy_type_names,
              "type of a drive that is empty at start"),
    PROP_DONE
};

static const DeviceType isa_fdc = {
    .name = "isa-fdc", .desc = "82078 floppy disk controller", .bus = "isa",
    .category = "Storage", .size = sizeof(Fdc), .props = fdc_props, .vmstate = &vm_fdc,
    .realize = fdc_realize, .reset = fdc_reset, .unrealize = fdc_unrealize,
    .fw_name = "fdc@03f0",
};
DEVICE_TYPE(isa_fdc);
