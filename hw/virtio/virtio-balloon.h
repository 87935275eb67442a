/* SPDX-License-Identifier: MIT */
/*
 * The memory balloon, for the monitor.  [bql]
 */
#ifndef HW_VIRTIO_BALLOON_H
#define HW_VIRTIO_BALLOON_H

#include <stdbool.h>
#include <stdint.h>
#include "util/error.h"

/* Asks the guest to have so many bytes of its memory left, at most all.  It follows if it can. */
bool balloon_set_target(uint64_t bytes, Error **err);
/* Bytes that it has left now.  false: there is no balloon. */
bool balloon_actual(uint64_t *bytes, Error **err);

#endif
