/* SPDX-License-Identifier: MIT */
/*
 * Code page 437, the characters of the PC's text modes.
 */
#ifndef UI_CP437_H
#define UI_CP437_H

#include <stdint.h>

/* '?' for what it lacks. */
uint8_t cp437_from_unicode(uint32_t unicode);
/* The character a glyph stands for; codes below 20h are pictures, too, 0 is a space. */
uint32_t cp437_to_unicode(uint8_t c);

#endif
