/* SPDX-License-Identifier: MIT */
/*
 * -object filter-dump,id=ID,netdev=NETDEV,file=FILE[,maxlen=BYTES]: what goes through a network
 * back-end, as a pcap file.
 */
#include "system/objects.h"

#include "net/filter.h"

#include <string.h>

enum { QUEUE_ALL, QUEUE_RX, QUEUE_TX };
static const char *const queues[] = { "all", "rx", "tx", NULL };
static const char *const switches[] = { "off", "on", NULL };
static const char *const inserts[] = { "behind", "before", NULL };

typedef struct DumpObject {
    Object object;                      /* always first */
    char *netdev, *file, *position;
    uint32_t max_len;
    int status, queue, insert;
    NetDump *dump;
} DumpObject;

static const Prop dump_props[] = {
    PROP_STRING("netdev", DumpObject, netdev, NULL, "id of the back-end"),
    PROP_STRING("file", DumpObject, file, "qemu-vlan0.pcap", "where the frames go"),
    PROP_UINT_R("maxlen", DumpObject, max_len, 65536, 1, 1 << 20, "bytes kept of a frame"),
    PROP_ENUM("status", DumpObject, status, 1, switches, "at work"),
    PROP_ENUM("queue", DumpObject, queue, QUEUE_ALL, queues, "direction, as the back-end sees it"),
    PROP_STRING("position", DumpObject, position, "tail", "among the filters of the back-end: head, "
                "tail or id=FILTER"),
    PROP_ENUM("insert", DumpObject, insert, 0, inserts, "on which side of position=id=FILTER"),
    PROP_DONE
};

static const char *const dump_live[] = { "status", NULL };

static bool dump_complete(Object *o, Error **err)
{
    DumpObject *s = (DumpObject *)o;

    if (!s->netdev) {
        return fail(err, "Parameter 'netdev' is missing");
    }
    if (!net_find_backend(s->netdev)) {
        return fail(err, "netdev '%s' not found", s->netdev);
    }
    s->dump = net_dump_open(s->file, s->max_len, err);
    if (!s->dump) {
        return false;
    }
    NetFilter *f = &s->dump->filter;
    f->id = o->id;
    f->on = s->status;
    f->rx = s->queue != QUEUE_TX;
    f->tx = s->queue != QUEUE_RX;
    if (!net_filter_add(f, s->netdev, s->position, s->insert == 1, err)) {
        net_dump_close(s->dump);
        s->dump = NULL;
        return false;
    }
    return true;
}

static void dump_changed(Object *o)
{
    DumpObject *s = (DumpObject *)o;
    s->dump->filter.on = s->status;
}

static void dump_finish(Object *o)
{
    DumpObject *s = (DumpObject *)o;
    if (s->dump) {
        net_dump_close(s->dump);
    }
}

static const ObjectType filter_dump_type = {
    .name = "filter-dump", .desc = "frames of a network back-end to a pcap file",
    .size = sizeof(DumpObject), .props = dump_props, .complete = dump_complete,
    .finish = dump_finish, .live = dump_live, .changed = dump_changed, .late = true,
};
OBJECT_TYPE(filter_dump_type);
