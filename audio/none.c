/* SPDX-License-Identifier: MIT */
/*
 * -audiodev none: sound is taken from the guest at its pace and thrown away.
 */
#include "audio/driver.h"

static bool none_open(AudioSpec *spec, uint64_t buffer_us, Opts *o, void **state, Error **err)
{
    return true;
}

static const AudioDriver none = { .name = "none", .desc = "plays nothing", .open = none_open };
AUDIO_DRIVER(none);
