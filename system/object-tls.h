/* SPDX-License-Identifier: MIT */
/*
 * TLS credentials made by -object.
 */
#ifndef SYSTEM_OBJECT_TLS_H
#define SYSTEM_OBJECT_TLS_H

#include "util/tls.h"

/* Borrowed; the object can't be deleted from now on.  NULL and err: there is none. */
TlsCreds *tls_object_find(const char *id, Error **err);

#endif
