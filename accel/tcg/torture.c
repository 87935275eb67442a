/* SPDX-License-Identifier: MIT */
/*
 * -accel tcg,kick=random: a thread that disturbs the vCPUs at random moments, as interrupts,
 * debuggers and changes of the memory map do.  Guests must not notice.
 *
 * The other switches for tests are one-line matters: tcg_max_insns, tlb_index_mask, the size of
 * the block cache.
 */
#include "accel/tcg/torture.h"

#include "accel/tcg/tcg.h"

#define LONGEST_US 1000

static GThread *kicker;
static bool quit;                   /* [atomic] */

/* Each of these may come at any time without a reason. */
static const uint32_t harmless[] = { CPU_REQ_SYNC, CPU_REQ_EXIT, CPU_REQ_IRQ, CPU_REQ_TLB };

static gpointer kick(gpointer opaque)
{
    g_autoptr(GRand) r = g_rand_new_with_seed(GPOINTER_TO_UINT(opaque));
    while (!__atomic_load_n(&quit, __ATOMIC_RELAXED)) {
        CPU *c = cpu_by_index(g_rand_int_range(r, 0, cpus->len));
        cpu_request(c, harmless[g_rand_int_range(r, 0, G_N_ELEMENTS(harmless))]);
        g_usleep(g_rand_int_range(r, 1, LONGEST_US));
    }
    return NULL;
}

void tcg_kick_at_random(void)
{
    if (!kicker) {
        kicker = g_thread_new("kicker", kick, GUINT_TO_POINTER(cpus->len));
    }
}

void tcg_kick_no_more(void)
{
    if (kicker) {
        __atomic_store_n(&quit, true, __ATOMIC_RELAXED);
        g_thread_join(kicker);
        kicker = NULL;
    }
}
