/* SPDX-License-Identifier: MIT */
/*
 * Virtio network device, apart from its transport.
 */
#ifndef HW_NET_VIRTIO_NET_H
#define HW_NET_VIRTIO_NET_H

#include "hw/virtio/virtio.h"
#include "net/nic.h"

#define VIRTIO_NET_MACS   64u           /* addresses in each of the two filter tables */
#define VIRTIO_NET_PAIRS  64u           /* of queues, at most */

struct VirtIONet;

/* A pair of queues whose packets the host's kernel moves (virtio-net-vhost.c) */
typedef struct VirtIONetVhost VirtIONetVhost;

/* Sending happens in the main loop, so that the vCPU goes on meanwhile. */
typedef struct VirtIONetTx {
    struct VirtIONet *n;                /* NULL: the device is gone, free this */
    unsigned pair;
    bool scheduled;                     /* on its way in the main loop */
    bool blocked;                       /* the back-end takes no more now */
    bool large;                         /* the last packet was */
    bool received;                      /* packets of which the driver hears at the batch's end */
} VirtIONetTx;

typedef struct VirtIONetTable {
    uint32_t count;
    bool overflow;                      /* the driver gave more than fit: all pass */
    uint8_t mac[VIRTIO_NET_MACS][6];
} VirtIONetTable;

typedef struct VirtIONet {
    VirtIODevice vdev;
    NicConf conf;
    NetClient *nc;                      /* [pairs] */
    VirtIONetTx **tx;                   /* [pairs] */
    unsigned pairs;                     /* what there is */
    uint16_t pairs_used;                /* what the driver wants */
    /* properties */
    bool csum, guest_csum, guest_tso4, guest_tso6, guest_ecn, host_tso4, host_tso6, host_ecn,
         mrg_rxbuf, status, ctrl_vq, ctrl_rx, ctrl_vlan, ctrl_rx_extra, ctrl_mac_addr,
         ctrl_guest_offloads, guest_announce, mq;
    uint32_t rx_queue_size, tx_queue_size, burst, mtu;
    int32_t speed;
    int tx_kind, duplex;
    /* filter */
    uint8_t mac[6];
    bool promisc, allmulti, alluni, nomulti, nouni, nobcast;
    VirtIONetTable uni, multi;
    uint32_t vlans[4096 / 32];
    uint64_t guest_offloads;            /* of the bits for the driver's side, those switched on */
    bool announce;                      /* the driver is asked to say where it is */
    bool told;                          /* NIC_RX_FILTER_CHANGED went out; quiet until queried */
    struct iovec iov[VIRTIO_QUEUE_MAX]; /* what is sent, without header */
    VirtIONetVhost **vhost;             /* [pairs]; NULL: packets come through here */
    bool vhost_off;                     /* the kernel refused: not again before a reset */
    bool vhost_listens;                 /* ... to changes of the memory map */
} VirtIONet;

extern const char *const virtio_net_tx_kinds[], *const virtio_net_duplex[];

#define VIRTIO_NET_PROPS(T, f)                                                                 \
    NIC_PROPS(T, f.conf),                                                                      \
    PROP_BOOL("csum", T, f.csum, true, "the driver may leave checksums to the device"),        \
    PROP_BOOL("guest_csum", T, f.guest_csum, true, "... and the device to the driver"),        \
    PROP_BOOL("guest_tso4", T, f.guest_tso4, true, "large TCP segments to the driver"),        \
    PROP_BOOL("guest_tso6", T, f.guest_tso6, true, "... in IPv6"),                             \
    PROP_BOOL("guest_ecn", T, f.guest_ecn, true, "... with ECN"),                              \
    PROP_BOOL("host_tso4", T, f.host_tso4, true, "large TCP segments from the driver"),        \
    PROP_BOOL("host_tso6", T, f.host_tso6, true, "... in IPv6"),                               \
    PROP_BOOL("host_ecn", T, f.host_ecn, true, "... with ECN"),                                \
    PROP_BOOL("mrg_rxbuf", T, f.mrg_rxbuf, true, "a packet may take several buffers"),         \
    PROP_BOOL("status", T, f.status, true, "link state"),                                      \
    PROP_BOOL("ctrl_vq", T, f.ctrl_vq, true, "control queue"),                                 \
    PROP_BOOL("ctrl_rx", T, f.ctrl_rx, true, "modes of reception"),                            \
    PROP_BOOL("ctrl_vlan", T, f.ctrl_vlan, true, "VLAN filter"),                               \
    PROP_BOOL("ctrl_rx_extra", T, f.ctrl_rx_extra, true, "more modes of reception"),           \
    PROP_BOOL("ctrl_mac_addr", T, f.ctrl_mac_addr, true, "the driver may set the address"),    \
    PROP_BOOL("ctrl_guest_offloads", T, f.ctrl_guest_offloads, true,                           \
              "offloads can be switched while running"),                                       \
    PROP_BOOL("guest_announce", T, f.guest_announce, true,                                     \
              "the driver says itself where it is, when asked"),                               \
    PROP_BOOL("mq", T, f.mq, false, "as many pairs of queues as the back-end has"),            \
    PROP_UINT_R("rx_queue_size", T, f.rx_queue_size, 256, 64, VIRTIO_QUEUE_MAX, "entries"),    \
    PROP_UINT_R("tx_queue_size", T, f.tx_queue_size, 256, 64, VIRTIO_QUEUE_MAX, "entries"),    \
    PROP_UINT_R("x-txburst", T, f.burst, 256, 1, 65536, "packets sent in one go"),             \
    PROP_ENUM("tx", T, f.tx_kind, 0, virtio_net_tx_kinds, "when packets are sent"),            \
    PROP_UINT_R("host_mtu", T, f.mtu, 0, 0, 65535, "MTU to tell the driver, 0: none"),         \
    PROP_INT("speed", T, f.speed, -1, "Mbit/s to tell the driver, -1: unknown"),               \
    PROP_ENUM("duplex", T, f.duplex, 0, virtio_net_duplex, "to tell the driver"),              \
    VIRTIO_RING_PROPS(T, f.vdev)

bool virtio_net_realize(VirtIONet *n, Device *dev, Error **err);
void virtio_net_unrealize(VirtIONet *n);
extern const VMState vm_virtio_net;     /* the device and its vdev */

/* ---- between virtio-net.c and virtio-net-ctrl.c ---------------------------------------- */

enum { NET_F_CSUM = 0, NET_F_GUEST_CSUM = 1, NET_F_CTRL_GUEST_OFFLOADS = 2, NET_F_MTU = 3,
       NET_F_MAC = 5, NET_F_GUEST_TSO4 = 7, NET_F_GUEST_TSO6 = 8, NET_F_GUEST_ECN = 9,
       NET_F_HOST_TSO4 = 11, NET_F_HOST_TSO6 = 12, NET_F_HOST_ECN = 13, NET_F_MRG_RXBUF = 15,
       NET_F_STATUS = 16, NET_F_CTRL_VQ = 17, NET_F_CTRL_RX = 18, NET_F_CTRL_VLAN = 19,
       NET_F_CTRL_RX_EXTRA = 20, NET_F_GUEST_ANNOUNCE = 21, NET_F_MQ = 22, NET_F_CTRL_MAC_ADDR = 23, NET_F_SPEED_DUPLEX = 63 };

void virtio_net_control(VirtQueue *vq);
/* Does a frame pass the filter? */
bool virtio_net_wanted(VirtIONet *n, const uint8_t *frame, size_t len);
void virtio_net_filter_reset(VirtIONet *n);
Json *virtio_net_rx_filter(NetClient *nc);
/* n->guest_offloads or the features changed. */
void virtio_net_apply_offloads(VirtIONet *n);
/* What may be switched: the driver's offloads among the features. */
uint64_t virtio_net_guest_features(const VirtIONet *n);
void virtio_net_set_pairs(VirtIONet *n, uint16_t pairs);
unsigned virtio_net_header(const VirtIONet *n);         /* bytes before each packet */
/* The pair's packets come through here again: look at both queues. */
void virtio_net_go_on(VirtIONet *n, unsigned pair);

/* ---- virtio-net-vhost.c ----------------------------------------------------------------- */

/* Something changed on which it depends who moves the packets: start or stop the kernel. */
void virtio_net_vhost_update(VirtIONet *n);
/* Let go of all; the queues are about to be reset. */
void virtio_net_vhost_reset(VirtIONet *n);
/* One of the pair's queues is about to be reset. */
void virtio_net_vhost_pause(VirtIONet *n, unsigned pair);
/* Before the transport goes; more than once does no harm. */
void virtio_net_vhost_exit(VirtIONet *n);
/* New buffers in a queue of a pair that the kernel has. */
void virtio_net_vhost_kick(VirtIONet *n, unsigned pair, bool tx);

static inline VirtIONet *virtio_net_of(VirtIODevice *v)
{
    return (VirtIONet *)((char *)v - offsetof(VirtIONet, vdev));
}

#endif
