/* SPDX-License-Identifier: MIT */
/*
 * EDID: what a monitor tells the guest about itself.
 */
#ifndef HW_DISPLAY_EDID_H
#define HW_DISPLAY_EDID_H

#include <stdint.h>

#define EDID_SIZE 128
#define EDID_SIDE_MAX 4095              /* of a size that it can tell */

/* One base block (EDID 1.4) with the preferred size and the usual ones up to max_x, max_y. */
void edid_make(uint8_t out[EDID_SIZE], unsigned pref_x, unsigned pref_y, unsigned max_x,
               unsigned max_y);
/* The same for sizes up to 16384: larger ones are told in a second block.  The bytes used. */
#define EDID_LARGE_SIZE (2 * EDID_SIZE)
unsigned edid_make_large(uint8_t out[EDID_LARGE_SIZE], unsigned pref_x, unsigned pref_y,
                         unsigned max_x, unsigned max_y);

#endif
