/* SPDX-License-Identifier: MIT */
/*
 * Checksums and segmentation for ends that can't do them, and for the cards that can.
 */
#ifndef NET_OFFLOAD_H
#define NET_OFFLOAD_H

#include "net/net.h"

/* Internet checksum (RFC 1071): add bytes to a sum; fold and complement it. */
uint32_t net_sum(uint32_t sum, const void *data, size_t len);
uint16_t net_sum_done(uint32_t sum);
/* Sum of addresses, protocol and length that TCP and UDP checksums begin with.  ip: IPv4 or IPv6
 * header; len: TCP or UDP header and data. */
uint32_t net_sum_pseudo(const uint8_t *ip, bool v6, uint8_t proto, uint32_t len);

/* Where things are in a frame; false: not IP, or the headers are cut off or nonsense. */
typedef struct NetHeaders {
    bool v6, fragment;
    uint16_t vlan_len;                  /* 4 bytes of tag, or 0 */
    uint16_t l3;                        /* IP header */
    uint16_t l4;                        /* what follows it (and IPv6's extensions) */
    uint16_t payload;                   /* behind TCP or UDP header; 0: another protocol */
    uint8_t proto;                      /* 6 TCP, 17 UDP ... */
    uint32_t end;                       /* of the IP packet; the frame may be longer (padding) */
} NetHeaders;
bool net_parse(const uint8_t *frame, size_t len, NetHeaders *h);

/* Is there work on the frame that an end does not take? */
bool net_offload_needed(const NetOffload *off, uint32_t takes);
/* Do it: fn gets the frame, or the frames, that result.  Frames with impossible offload are
 * passed as they are. */
void net_finish(const struct iovec *iov, int n, size_t len, const NetOffload *off, uint32_t takes,
                void (*fn)(void *opaque, const struct iovec *iov, int n, const NetOffload *off),
                void *opaque);
/* A large TCP segment from a card's driver, which leaves lengths and checksums to the card: IP
 * lengths, IP checksum, and the pseudo header's sum in TCP's, as NetOffload has them. */
void net_prepare_large(uint8_t *frame, size_t len);
/* Fill in the checksum that off asks for; false: it points outside the frame. */
bool net_fill_checksum(uint8_t *frame, size_t len, const NetOffload *off);

#endif
