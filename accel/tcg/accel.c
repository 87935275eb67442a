/* SPDX-License-Identifier: MIT */
/*
 * -accel tcg: the portable engine.  It needs nothing of the host.
 */
#include "accel/accel.h"

#include "accel/tcg/block.h"
#include "accel/tcg/exec.h"
#include "accel/tcg/exclusive.h"
#include "accel/tcg/slow.h"
#include "util/bql.h"

typedef struct TcgOptions {
    int engine;
    int thread;                     /* every vCPU has a thread of its own */
    uint32_t tb_size;               /* MiB */
    bool one_insn, host_fp;
} TcgOptions;

static const char *const engines[] = { "interp", NULL };
static const char *const threads[] = { "multi", NULL };

static const Prop tcg_props[] = {
    PROP_ENUM("engine", TcgOptions, engine, 0, engines, "how guest code is executed"),
    PROP_ENUM("thread", TcgOptions, thread, 0, threads, "one thread for each virtual CPU"),
    PROP_UINT_R("tb-size", TcgOptions, tb_size, 0, 0, 4096,
                "size of the cache of translated code in MiB, 0 = default"),
    PROP_BOOL("host-fp", TcgOptions, host_fp, true,
              "floating point on the host's unit where results are the same (x86 hosts)"),
    PROP_DONE
};

bool tcg_host_fp = true;

static bool tcg_available(Error **err)
{
    return true;
}

static AccelSpeed tcg_speed(const char **why)
{
    *why = "an interpreter";
    return SPEED_INTERPRETER;
}

void tcg_engine_init(size_t cache)
{
    static bool done;

    if (!done) {
        done = true;
        tcg_target.init();
        block_cache_init(cache);
        tlb_init_hooks();
    }
}

static bool tcg_init(struct Machine *m, void *opts, Error **err)
{
    const TcgOptions *o = opts;
    tcg_host_fp = !o || o->host_fp;
    tcg_engine_init(o ? (size_t)o->tb_size << 20 : 0);
    return true;
}

static bool tcg_cpu_create(CPU *c, Error **err)
{
    c->engine = tcg_target.state(c);
    tlb_init_cpu(c);
    tcg_follow_bql(c);
    return true;
}

static void tcg_cpu_destroy(CPU *c)
{
    bql_set_hooks(NULL, NULL, NULL);
    tlb_destroy_cpu(c);
    c->engine = NULL;
}

/* run() looks at CPU.request at every block boundary; nothing to do. */
static void tcg_kick(CPU *c)
{
}

static void tcg_get_state(CPU *c)
{
}

static bool tcg_put_state(CPU *c, StateLevel what, Error **err)
{
    if (what != STATE_RUNTIME) {
        tcg_tlb_flush(c);
    }
    return true;
}

static const Accel tcg_accel = {
    .name = "tcg",
    .desc = "runs guest code by interpretation, on any host",
    .size = sizeof(TcgOptions),
    .props = tcg_props,
    .available = tcg_available,
    .speed = tcg_speed,
    .init = tcg_init,
    .cpu_create = tcg_cpu_create,
    .cpu_destroy = tcg_cpu_destroy,
    .run = tcg_run,
    .kick = tcg_kick,
    .get_state = tcg_get_state,
    .put_state = tcg_put_state,
    .info = block_cache_info,
};
ACCEL(tcg_accel);
