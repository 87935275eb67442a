/* SPDX-License-Identifier: MIT */
/*
 * The machine seen as a tree of paths, as clients of the machine protocol expect it:
 *
 *   /machine                       the board's options
 *   /machine/peripheral/ID         devices of -device with id=
 *   /machine/peripheral-anon/...   ... without
 *   /machine/unattached/device[N]  CPUs, then the board's own devices
 *   /objects/ID  /chardevs/ID
 *
 * There is no such tree inside: paths are resolved over the device list when asked for. [bql]
 */
#ifndef MONITOR_QOM_H
#define MONITOR_QOM_H

#include "accel/cpu.h"
#include "hw/core/device.h"
#include "util/json.h"

char *qom_device_path(Device *dev);             /* g_free */
char *qom_cpu_path(CPU *c);                     /* g_free */
/* Children and properties of a path: [{"name":, "type":}, ...] */
Json *qom_list(const char *path, Error **err);
Json *qom_get(const char *path, const char *property, Error **err);
/* What can be set while the machine exists: the properties that devices have for it. */
bool qom_set(const char *path, const char *property, const Json *value, Error **err);
/* All type names, or those below `implements`: [{"name":, "parent":}, ...] */
Json *qom_types(const char *implements);
/* Properties of a type, by its name; an empty list for one that has none or does not exist. */
Json *qom_type_properties(const char *type);
/* ... of a device type. */
Json *qom_device_type_properties(const char *type, Error **err);
/* Value of a property field as JSON. */
Json *qom_prop_value(const void *obj, const Prop *p);
/* `info qom-tree`: the paths, indented */
void qom_print_tree(GString *out);

#endif
