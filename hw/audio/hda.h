/* SPDX-License-Identifier: MIT */
/*
 * High Definition Audio: the link between the controller (intel-hda.c) and codecs (hda-codec.c),
 * a bus of the type "HDA".
 *
 * Source: Intel High Definition Audio Specification 1.0a ("the specification").  [bql]
 */
#ifndef HW_AUDIO_HDA_H
#define HW_AUDIO_HDA_H

#include "hw/core/device.h"

#define HDA_CODECS      15              /* addresses 0..14 */

struct HDACodec;

typedef struct HDABus {
    Bus bus;                            /* always first */
    /* Move up to len bytes of the stream with that tag (1..15): to a codec that plays them, or from
     * one that records.  The number moved; the stream's registers follow. */
    unsigned (*transfer)(struct HDABus *b, bool output, unsigned tag, uint8_t *buf, unsigned len);
    /* Does a stream of that tag run? */
    bool (*running)(struct HDABus *b, bool output, unsigned tag);
} HDABus;

/* A device on the bus; a codec's struct begins with it. */
typedef struct HDACodec {
    Device dev;                         /* always first */
    uint32_t cad;                       /* property: address; UINT32_MAX: the first free one */
    /* A command of 20 bits (3.7.2) to a node: the response. */
    uint32_t (*command)(struct HDACodec *c, unsigned nid, uint32_t verb);
    /* Streams began or ended. */
    void (*streams_changed)(struct HDACodec *c);
    void (*link_reset)(struct HDACodec *c);
} HDACodec;

void hda_bus_init(HDABus *b, Device *owner);
HDACodec *hda_codec_at(HDABus *b, unsigned cad);        /* NULL: none */

#endif
