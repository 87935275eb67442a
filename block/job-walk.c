/* SPDX-License-Identifier: MIT */
/*
 * Block jobs that go over a disk once, from its beginning to its end: commit of a middle layer, stream.
 */
#include "block/jobs.h"

#include <errno.h>

#define STRIDE (1u << 30)               /* is looked at in one go */

int job_walk(Job *j, BlockNode *top, BlockNode *base, BlockNode *target,
             int (*copy)(Job *j, uint64_t off, BlockStatus *st, uint8_t *buf, bool *reading))
{
    g_autofree uint8_t *buf = g_malloc(JOB_PIECE);
    uint64_t length = node_length(top);
    job_set_total(j, length);
    for (uint64_t off = 0; off < length;) {
        BlockStatus st = { 0 };
        bool reading = true, ignore = false;
        if (!job_pause_point(j)) {
            return -ECANCELED;
        }
        graph_read_lock();
        int ret = node_status_above(top, base, off, MIN(length - off, STRIDE), &st, NULL);
        uint64_t part = ret ? JOB_PIECE / 16 : st.len;
        if (!ret && st.allocated) {
            ret = copy(j, off, &st, buf, &reading);
            part = st.len;
        }
        graph_read_unlock();
        if (ret < 0 && !job_error(j, reading, -ret, &ignore)) {
            return ret;
        }
        if (!ret || ignore) {
            part = MIN(part, length - off);
            off += part;
            job_progress(j, part);
        }
    }
    graph_read_lock();
    int ret = node_flush(target);
    graph_read_unlock();
    return ret;
}
