/* SPDX-License-Identifier: MIT */
/*
 * What all network cards have in common on this side of the hardware: address, back-end, queues.
 */
#ifndef NET_NIC_H
#define NET_NIC_H

#include "net/net.h"
#include "util/prop.h"
#include "util/timer.h"

typedef uint8_t MacAddr[6];

typedef struct NicConf {
    MacAddr mac;                        /* property; all zero: assigned at nic_init */
    NetClient *netdev;                  /* property; NULL: nothing behind the card */
    int32_t bootindex;
} NicConf;

#define NIC_PROPS(T, conf)                                                                     \
    PROP_MAC("mac", T, conf.mac, "Ethernet address (default: 52:54:00:12:34:56 and following)"), \
    PROP_NETDEV("netdev", T, conf.netdev, "back-end"),                                         \
    PROP_INT("bootindex", T, conf.bootindex, -1, "place in the boot order, -1: none")

/* Make the card's end, or its n ends, and connect them; assigns an address.  model is the
 * device type's name, id the device's id or NULL; opaque is set in each end.  false: the
 * back-end is in use. */
bool nic_init(NicConf *c, NetClient *ends, unsigned n, const NetOps *ops, const char *model,
              const char *id, void *opaque, Error **err);
void nic_exit(NicConf *c, NetClient *ends, unsigned n);
/* How many queues the back-end has; 1 without one. */
unsigned nic_peer_queues(const NicConf *c);
/* The guest changed the address: for info network. */
void nic_show_mac(NetClient *nc, const uint8_t *mac);
/* For query-rx-filter and its event (once until the next query). */
Json *nic_filter_json(NetClient *nc, const uint8_t *mac, bool promiscuous);
char *nic_mac_text(const uint8_t *mac);                 /* "52:54:00:12:34:56"; g_free */

static inline bool mac_is_group(const uint8_t *mac)
{
    return mac[0] & 1;
}
static inline bool mac_is_broadcast(const uint8_t *mac)
{
    return (mac[0] & mac[1] & mac[2] & mac[3] & mac[4] & mac[5]) == 0xff;
}
/* CRC-32 of an address as hash filters use it: most significant bit first, and least. */
uint32_t mac_crc_be(const uint8_t *mac);
uint32_t mac_crc_le(const uint8_t *mac);

/* For cards whose driver hands out buffers in memory without telling: can_receive returns what
 * nic_wait says about "there is a buffer".  Frames then wait, and the card is asked again, every
 * millisecond for a while; after that they are let through to be lost and counted. */
typedef struct NicWait {
    Timer timer;
    NetClient *nc;
    unsigned tries;
} NicWait;
void nic_wait_init(NicWait *w, NetClient *nc);
void nic_wait_exit(NicWait *w);         /* at reset as well */
bool nic_wait(NicWait *w, bool room);

/* Cards asked for by -nic, -net nic, or by default; the board makes them. */
typedef struct NicRequest {
    char *model;                        /* NULL: the board's default */
    char *name, *devaddr;
    MacAddr mac;
    NetClient *netdev;
    uint32_t vectors;                   /* UINT32_MAX: not given */
    bool made;
} NicRequest;
GPtrArray *nic_requests(void);          /* of NicRequest* */

#endif
