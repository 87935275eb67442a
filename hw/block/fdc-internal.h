/* SPDX-License-Identifier: MIT */
/*
 * What the files of the floppy controller share: fdc.c (registers, reset, the device),
 * fdc-command.c (commands, the table of them), fdc-data.c (commands that move sectors).  [bql]
 */
#ifndef HW_BLOCK_FDC_INTERNAL_H
#define HW_BLOCK_FDC_INTERNAL_H

#include "hw/block/floppy.h"
#include "hw/isa/isa.h"
#include "util/timer.h"

#define DOR_RESET_N    0x04
#define DOR_DMA        0x08
#define DOR_DRIVE      0x03
#define DSR_RESET      0x80
#define DSR_POWER_DOWN 0x40
#define DSR_RATE       0x03
#define MSR_RQM        0x80
#define MSR_DIO        0x40
#define MSR_NON_DMA    0x20
#define MSR_BUSY       0x10
#define DIR_CHANGED    0x80

#define ST0_ABNORMAL   0x40
#define ST0_INVALID    0x80
#define ST0_POLLED     0xc0
#define ST0_SEEK_END   0x20
#define ST0_EQUIPMENT  0x10
#define ST0_HEAD       0x04
#define ST1_END        0x80     /* end of cylinder, and no terminal count */
#define ST1_DATA       0x20
#define ST1_NO_DATA    0x04
#define ST1_PROTECTED  0x02
#define ST1_NO_MARK    0x01
#define ST2_DATA       0x20
#define ST2_CYLINDER   0x10
#define ST2_SCAN_EQUAL 0x08
#define ST2_SCAN_FAIL  0x04

#define CMD_MT         0x80
#define CONF_EIS       0x40     /* implied seek */
#define CONF_EFIFO     0x20     /* 1: no FIFO */
#define CONF_NO_POLL   0x10
#define SPECIFY_ND     0x01

#define SECTOR         512
#define READ_ID_NS     (NS_PER_SEC / 50)

typedef enum {
    PH_COMMAND,             /* takes command and parameter bytes */
    PH_WAIT,                /* a block request or the READ ID timer runs */
    PH_TO_HOST,             /* a sector lies in the buffer for the host */
    PH_FROM_HOST,           /* the buffer waits for the host's bytes */
    PH_RESULT,              /* offers result bytes */
    PH_COUNT
} FdcPhase;

typedef enum { DO_NONE, DO_READ, DO_WRITE, DO_VERIFY, DO_SCAN, DO_FORMAT, DO_COUNT } FdcAction;

typedef struct Fdc {
    Device dev;                 /* always first */
    FloppyBus bus;
    uint8_t dor, tdr, dsr, rate;
    uint8_t phase;              /* FdcPhase */
    uint8_t action;             /* FdcAction */
    uint8_t cmd[18];            /* command and parameters */
    uint8_t cmd_len;
    uint8_t result[16];
    uint8_t result_pos, result_len;
    bool irq_level;
    uint8_t seeking;            /* MSR bits 3..0: seek done, not yet asked for */
    uint8_t seek_st0[4];        /* what SENSE INTERRUPT STATUS will say of each drive */
    uint8_t polls;              /* bits: drives whose reset interrupt was not yet sensed */
    /* settings */
    uint8_t srt_hut, hlt_nd, config, precomp, perpendicular, last_eot, drive_spec[4], power;
    bool lock;
    /* data transfer */
    uint8_t sel, head;          /* drive and head of the command */
    uint8_t cyl, sec, eot;      /* sector under way */
    uint8_t step;               /* SCAN: sectors to go on by */
    uint16_t todo;              /* VERIFY with a count, FORMAT: sectors left */
    bool tc;                    /* the DMA controller said that was all */
    bool failed;                /* a request failed and the VM was stopped: to be repeated */
    uint16_t pos, len;          /* in buf */
    uint8_t buf[SECTOR];
    uint8_t disk[SECTOR];       /* SCAN: what the disk has */
    Timer timer;
    /* not saved */
    BlkRequest *req;
    bool dropping;
    struct iovec iov;
    /* properties and wires */
    uint32_t iobase, irq_no, dma_no;
    bool check_rate;
    int fallback;
    IRQ irq;
    ISABus *isa;
    Region io, io7;
} Fdc;

/* NULL if nothing is connected. */
static inline Floppy *fdc_drive(Fdc *s, unsigned n)
{
    return n < FLOPPY_DRIVES ? s->bus.drive[n] : NULL;
}

static inline bool fdc_uses_dma(const Fdc *s)
{
    return (s->dor & DOR_DMA) && !(s->hlt_nd & SPECIFY_ND);
}

static inline uint8_t fdc_st0(const Fdc *s)
{
    return s->sel | (s->head ? ST0_HEAD : 0);
}

static inline void fdc_select(Fdc *s)
{
    s->sel = s->cmd[1] & 3;
    s->head = s->cmd[1] >> 2 & 1;
    s->dor = (s->dor & ~DOR_DRIVE) | s->sel;
}

/* Drive the interrupt line. */
void fdc_irq(Fdc *s, bool level);

/* The command is over, the next may come. */
void fdc_idle(Fdc *s);
/* ... and left `len` bytes in s->result, to be read first. */
void fdc_offer(Fdc *s, unsigned len);
/* Give up the block request or the timer that a command waits for. */
void fdc_stop_request(Fdc *s);

/* A byte in the command phase; the last one of a command carries it out. */
void fdc_take_command_byte(Fdc *s, uint8_t val);

/* The buffer is full or empty, as the phase has it: the host has done its part. */
void fdc_buffer_done(Fdc *s);
/* The DMA channel's: moves bytes, see isa_dma_register. */
int fdc_dma(void *opaque, int channel, int pos, int size);
/* The VM goes on: repeat a request that failed. */
void fdc_resume(void *opaque);
/* The timer of READ ID. */
void fdc_read_id_done(void *opaque);

void cmd_read(Fdc *s);
void cmd_write(Fdc *s);
void cmd_read_track(Fdc *s);
void cmd_verify(Fdc *s);
void cmd_scan(Fdc *s);
void cmd_format(Fdc *s);
void cmd_read_id(Fdc *s);

#endif
