/* SPDX-License-Identifier: MIT */
/*
 * -object rng-builtin and rng-random: where virtio-rng devices get their bytes.
 */
#include "system/objects.h"

#include "util/entropy.h"

typedef struct RngObject {
    Object object;                      /* always first */
    char *filename;
    EntropySource *source;
} RngObject;

static const Prop no_props[] = { PROP_DONE };
static const Prop random_props[] = {
    PROP_STRING("filename", RngObject, filename, "/dev/urandom", "file or device to read"),
    PROP_DONE
};

static bool complete(Object *o, Error **err)
{
    RngObject *r = (RngObject *)o;
    r->source = entropy_new(o->id, r->filename, err);
    return r->source;
}

static void finish(Object *o)
{
    entropy_unref(((RngObject *)o)->source);
}

static const ObjectType rng_builtin_type = {
    .name = "rng-builtin", .desc = "random bytes of the host's kernel", .size = sizeof(RngObject),
    .props = no_props, .complete = complete, .finish = finish,
};
OBJECT_TYPE(rng_builtin_type);

static const ObjectType rng_random_type = {
    .name = "rng-random", .desc = "random bytes from a file", .size = sizeof(RngObject),
    .props = random_props, .complete = complete, .finish = finish,
};
OBJECT_TYPE(rng_random_type);
