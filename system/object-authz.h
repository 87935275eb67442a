/* SPDX-License-Identifier: MIT */
/*
 * Who may do something: the objects authz-*.  [bql]
 */
#ifndef SYSTEM_OBJECT_AUTHZ_H
#define SYSTEM_OBJECT_AUTHZ_H

#include <stdbool.h>
#include "util/error.h"

/* There is one of this id, which from now on is in use. */
bool authz_object_find(const char *id, Error **err);
/* May whoever calls itself so?  false, too, if there is no such object. */
bool authz_object_allows(const char *id, const char *identity);

#endif
