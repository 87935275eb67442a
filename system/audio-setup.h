/* SPDX-License-Identifier: MIT */
/*
 * Sound back-ends of the command line.
 */
#ifndef SYSTEM_AUDIO_SETUP_H
#define SYSTEM_AUDIO_SETUP_H

#include <stdbool.h>
#include "util/error.h"

/* Back-ends of -audiodev and -audio; the cards that -audio names join those of -device. */
bool audio_add(Error **err);

#endif
