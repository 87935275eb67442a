/* SPDX-License-Identifier: MIT */
/*
 * The tree of regions.  Every function that changes what a guest can see calls
 * memory_changed, which marks the way up to the roots - through aliases too - so that a
 * commit rebuilds only the views concerned.
 */
#include "memory/flatview.h"
#include "memory/memory.h"

static void init(Region *r, const char *name, RegionKind kind, uint64_t size)
{
    *r = (Region) {
        .name = g_intern_string(name), .kind = kind, .enabled = true, .direct = true,
        .size = size == REGION_WHOLE ? (unsigned __int128)1 << 64 : size,
    };
}

void region_init_container(Region *r, const char *name, uint64_t size)
{
    init(r, name, REGION_CONTAINER, size);
}

void region_init_io(Region *r, const char *name, uint64_t size, const RegionOps *ops, void *opaque)
{
    init(r, name, REGION_IO, size);
    r->ops = ops;
    r->opaque = opaque;
}

void (*memory_coalesced_hook)(void);

void region_coalesce(Region *r, uint64_t off, uint64_t len)
{
    g_assert(r->kind == REGION_IO && !r->mapped);
    r->coalesced_off = off;
    r->coalesced_len = len;
}

static bool init_memory(Region *r, const char *name, RegionKind kind, uint64_t size, Error **err)
{
    init(r, name, kind, size);
    r->ram = ram_block_new(name, size, err);
    return r->ram != NULL;
}

bool region_init_ram(Region *r, const char *name, uint64_t size, Error **err)
{
    return init_memory(r, name, REGION_RAM, size, err);
}

bool region_init_rom(Region *r, const char *name, uint64_t size, Error **err)
{
    if (!init_memory(r, name, REGION_ROM, size, err)) {
        return false;
    }
    r->readonly = true;
    r->ram->readonly = true;
    return true;
}

bool region_init_flash(Region *r, const char *name, uint64_t size, const RegionOps *ops,
                       void *opaque, Error **err)
{
    if (!init_memory(r, name, REGION_FLASH, size, err)) {
        return false;
    }
    r->ops = ops;
    r->opaque = opaque;
    return true;
}

void region_init_alias(Region *r, const char *name, Region *target, hwaddr off, uint64_t size)
{
    init(r, name, REGION_ALIAS, size);
    r->target = target;
    r->target_off = off;
    if (!target->aliases) {
        target->aliases = g_ptr_array_new();
    }
    g_ptr_array_add(target->aliases, r);
}

static void drop_aliases(Region *r)
{
    for (guint i = 0; r->aliases && i < r->aliases->len; i++) {
        Region *alias = g_ptr_array_index(r->aliases, i);
        memory_changed(alias);
        alias->target = NULL;
    }
    g_clear_pointer(&r->aliases, g_ptr_array_unref);
}

void region_destroy(Region *r)
{
    if (!r->size && !r->name) {
        return;                         /* never initialised, or destroyed before */
    }
    memory_begin();
    region_unmap(r);
    while (r->children && r->children->len) {
        region_unmap(g_ptr_array_index(r->children, 0));
    }
    g_clear_pointer(&r->children, g_ptr_array_unref);
    if (r->kind == REGION_ALIAS && r->target) {
        g_ptr_array_remove(r->target->aliases, r);
    }
    drop_aliases(r);
    memory_commit();
    memory_forget(r);
    ram_block_free(r->ram);
    *r = (Region) { 0 };
}

/* ---- changes ------------------------------------------------------------------------ */

static void link_child(Region *parent, Region *child)
{
    guint i = 0;
    if (!parent->children) {
        parent->children = g_ptr_array_new();
    }
    while (i < parent->children->len
           && ((Region *)g_ptr_array_index(parent->children, i))->priority > child->priority) {
        i++;
    }
    g_ptr_array_insert(parent->children, i, child);
    child->parent = parent;
    child->mapped = true;
}

void region_map(Region *parent, hwaddr at, Region *child, int priority)
{
    g_assert(!child->mapped && child != parent);
    memory_begin();
    child->addr = at;
    child->priority = priority;
    link_child(parent, child);
    memory_changed(child);
    memory_commit();
}

void region_unmap(Region *child)
{
    if (!child->mapped) {
        return;
    }
    memory_begin();
    memory_changed(child);
    g_ptr_array_remove(child->parent->children, child);
    child->parent = NULL;
    child->mapped = false;
    child->priority = 0;            /* seen through an alias it tells nothing of the former place */
    memory_commit();
}

void region_move(Region *child, hwaddr at)
{
    if (child->addr == at) {
        return;
    }
    memory_begin();
    child->addr = at;
    memory_changed(child);
    memory_commit();
}

void region_enable(Region *r, bool on)
{
    if (r->enabled == on) {
        return;
    }
    memory_begin();
    r->enabled = on;
    memory_changed(r);
    memory_commit();
}

void region_set_readonly(Region *r, bool on)
{
    if (r->readonly == on) {
        return;
    }
    memory_begin();
    r->readonly = on;
    memory_changed(r);
    memory_commit();
}

void region_set_direct(Region *r, bool on)
{
    g_assert(r->kind == REGION_FLASH);
    if (r->direct == on) {
        return;
    }
    memory_begin();
    r->direct = on;
    memory_changed(r);
    memory_commit();
}

void region_set_alias_offset(Region *r, hwaddr off)
{
    g_assert(r->kind == REGION_ALIAS);
    if (r->target_off == off) {
        return;
    }
    memory_begin();
    r->target_off = off;
    memory_changed(r);
    memory_commit();
}

void region_set_size(Region *r, uint64_t size)
{
    unsigned __int128 wide = size == REGION_WHOLE ? (unsigned __int128)1 << 64 : size;
    /* RAM can't grow here: an alias of another size is the way to show more or less of it */
    g_assert(!r->ram);
    if (r->size == wide) {
        return;
    }
    memory_begin();
    r->size = wide;
    memory_changed(r);
    memory_commit();
}
