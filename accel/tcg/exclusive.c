/* SPDX-License-Identifier: MIT */
/*
 * Stopping the other vCPUs.  A vCPU announces with in_guest that it runs guest code; whoever
 * wants to be alone sets `wanted`, asks every vCPU out through CPU.request, and waits until
 * none is in.  A vCPU that comes in checks `wanted` after setting its flag, so one of the two
 * always sees the other.
 *
 * A vCPU leaves while it waits for the big lock (tcg_follow_bql), so the holder of the big lock
 * may wait for all vCPUs.  The order is therefore: first the big lock,
 * then being alone; whoever is alone must not ask for the big lock.
 */
#include "accel/tcg/exclusive.h"

#include "util/bql.h"

static GMutex lock;
static GCond changed;
static bool wanted;                 /* [atomic; lock to change] somebody is or will be alone */
static __thread unsigned nested;    /* for threads that are no vCPU */

static void wait_turn(CPU *c)
{
    TcgCPU *t = tcg_cpu(c);
    g_mutex_lock(&lock);
    __atomic_store_n(&t->in_guest, false, __ATOMIC_SEQ_CST);
    g_cond_broadcast(&changed);
    while (wanted) {
        g_cond_wait(&changed, &lock);
    }
    __atomic_store_n(&t->in_guest, true, __ATOMIC_SEQ_CST);
    g_mutex_unlock(&lock);
}

void tcg_enter_guest(CPU *c)
{
    TcgCPU *t = tcg_cpu(c);
    if (t->exclusive) {
        t->in_guest = true;
        return;
    }
    __atomic_store_n(&t->in_guest, true, __ATOMIC_SEQ_CST);
    if (unlikely(__atomic_load_n(&wanted, __ATOMIC_SEQ_CST))) {
        wait_turn(c);
    }
}

void tcg_leave_guest(CPU *c)
{
    TcgCPU *t = tcg_cpu(c);
    __atomic_store_n(&t->in_guest, false, __ATOMIC_SEQ_CST);
    if (unlikely(__atomic_load_n(&wanted, __ATOMIC_SEQ_CST)) && !t->exclusive) {
        g_mutex_lock(&lock);
        g_cond_broadcast(&changed);
        g_mutex_unlock(&lock);
    }
}

static bool anybody_in(const CPU *but)
{
    for (unsigned k = 0; cpus && k < cpus->len; k++) {
        CPU *c = cpu_by_index(k);
        if (c != but && tcg_cpu(c) && __atomic_load_n(&tcg_cpu(c)->in_guest, __ATOMIC_SEQ_CST)) {
            return true;
        }
    }
    return false;
}

void tcg_exclusive_begin(CPU *c)
{
    TcgCPU *t = c ? tcg_cpu(c) : NULL;
    if ((*(t ? &t->exclusive : &nested))++) {
        return;
    }
    bool was_in = t && t->in_guest;
    g_mutex_lock(&lock);
    while (wanted) {
        if (was_in) {
            __atomic_store_n(&t->in_guest, false, __ATOMIC_SEQ_CST);
            g_cond_broadcast(&changed);
        }
        g_cond_wait(&changed, &lock);
    }
    __atomic_store_n(&wanted, true, __ATOMIC_SEQ_CST);
    for (unsigned k = 0; cpus && k < cpus->len; k++) {
        CPU *o = cpu_by_index(k);
        if (o != c && tcg_cpu(o) && __atomic_load_n(&tcg_cpu(o)->in_guest, __ATOMIC_SEQ_CST)) {
            __atomic_fetch_or(&o->request, CPU_REQ_SYNC, __ATOMIC_SEQ_CST);
        }
    }
    while (anybody_in(c)) {
        g_cond_wait(&changed, &lock);
    }
    if (was_in) {
        __atomic_store_n(&t->in_guest, true, __ATOMIC_SEQ_CST);
    }
    g_mutex_unlock(&lock);
}

void tcg_exclusive_end(CPU *c)
{
    TcgCPU *t = c ? tcg_cpu(c) : NULL;
    if (--*(t ? &t->exclusive : &nested)) {
        return;
    }
    g_mutex_lock(&lock);
    __atomic_store_n(&wanted, false, __ATOMIC_SEQ_CST);
    g_cond_broadcast(&changed);
    g_mutex_unlock(&lock);
}

void tcg_atomic_begin(CPU *c)
{
    TcgCPU *t = tcg_cpu(c);
    if (!bql_locked()) {
        bql_lock();
        t->atomic_bql = true;
    }
    tcg_exclusive_begin(c);
}

void tcg_atomic_end(CPU *c)
{
    TcgCPU *t = tcg_cpu(c);
    tcg_exclusive_end(c);
    if (t->atomic_bql) {
        t->atomic_bql = false;
        bql_unlock();
    }
}

void tcg_exclusive_unwind(CPU *c)
{
    TcgCPU *t = tcg_cpu(c);
    if (t->exclusive) {
        t->exclusive = 1;
        tcg_atomic_end(c);
    }
}

static void leave_for_bql(void *opaque)
{
    CPU *c = cpu_current();
    TcgCPU *t = tcg_cpu(c);
    t->left_for_bql = t->in_guest && !t->exclusive;
    if (t->left_for_bql) {
        tcg_leave_guest(c);
    }
}

static void enter_after_bql(void *opaque)
{
    CPU *c = cpu_current();
    TcgCPU *t = tcg_cpu(c);
    if (t->left_for_bql) {
        t->left_for_bql = false;
        tcg_enter_guest(c);
    }
}

void tcg_follow_bql(void)
{
    bql_set_hooks(leave_for_bql, enter_after_bql, NULL);
}
