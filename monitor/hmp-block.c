/* SPDX-License-Identifier: MIT */
/*
 * Human monitor: jobs on disks, limits, external snapshots, the NBD server.  Each command is that
 * of the machine protocol with a person's arguments.
 */
#include <inttypes.h>
#include <string.h>

#include "block/job.h"
#include "monitor/hmp-args.h"

/* Runs it (args given away) and prints nothing. */
static void call(const char *name, Json *args, Error **err)
{
    json_free(qmp_call(name, args, err));
    json_free(args);
}

static Json *with_device(const Json *args)
{
    Json *o = json_object();
    json_set_str(o, "device", arg_str(args, "device"));
    return o;
}

static void set_optional(Json *o, const char *key, const Json *args, const char *from)
{
    if (arg_str(args, from)) {
        json_set_str(o, key, arg_str(args, from));
    }
}

static void copy_command(const char *name, const Json *args, Error **err)
{
    Json *o = with_device(args);
    json_set_str(o, "target", arg_str(args, "target"));
    set_optional(o, "format", args, "format");
    json_set_str(o, "sync", arg_flag(args, "full") ? "full" : "top");
    json_set_str(o, "mode", arg_flag(args, "reuse") ? "existing" : "absolute-paths");
    if (arg_flag(args, "compress")) {
        json_set_bool(o, "compress", true);
    }
    call(name, o, err);
}

static void cmd_mirror(Monitor *m, const Json *args, Error **err)
{
    copy_command("drive-mirror", args, err);
}

static void cmd_backup(Monitor *m, const Json *args, Error **err)
{
    copy_command("drive-backup", args, err);
}

static void cmd_stream(Monitor *m, const Json *args, Error **err)
{
    Json *o = with_device(args);
    set_optional(o, "base", args, "base");
    if (json_get(args, "speed")) {
        json_set_int(o, "speed", MAX(arg_int(args, "speed", 0), 0));
    }
    call("block-stream", o, err);
}

static void cmd_snapshot(Monitor *m, const Json *args, Error **err)
{
    Json *o = with_device(args);
    json_set_str(o, "snapshot-file", arg_str(args, "snapshot-file"));
    set_optional(o, "format", args, "format");
    if (arg_flag(args, "reuse")) {
        json_set_str(o, "mode", "existing");
    }
    call("blockdev-snapshot-sync", o, err);
}

static void cmd_job_cancel(Monitor *m, const Json *args, Error **err)
{
    Json *o = with_device(args);
    json_set_bool(o, "force", arg_flag(args, "force"));
    call("block-job-cancel", o, err);
}

static void cmd_job_complete(Monitor *m, const Json *args, Error **err)
{
    call("block-job-complete", with_device(args), err);
}

static void cmd_job_pause(Monitor *m, const Json *args, Error **err)
{
    call("block-job-pause", with_device(args), err);
}

static void cmd_job_resume(Monitor *m, const Json *args, Error **err)
{
    call("block-job-resume", with_device(args), err);
}

static void cmd_job_speed(Monitor *m, const Json *args, Error **err)
{
    Json *o = with_device(args);
    json_set_int(o, "speed", MAX(arg_int(args, "speed", 0), 0));
    call("block-job-set-speed", o, err);
}

static void cmd_throttle(Monitor *m, const Json *args, Error **err)
{
    static const char *const keys[] = { "bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr" };
    Json *o = with_device(args);
    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
        json_set_int(o, keys[i], MAX(arg_int(args, keys[i], 0), 0));
    }
    call("block_set_io_throttle", o, err);
}

/* "tcp:HOST:PORT", "HOST:PORT" or "unix:PATH" */
static void cmd_nbd_start(Monitor *m, const Json *args, Error **err)
{
    const char *uri = arg_str(args, "uri");
    Json *o = json_object(), *addr = json_object(), *data = json_object();
    if (g_str_has_prefix(uri, "unix:")) {
        json_set_str(addr, "type", "unix");
        json_set_str(data, "path", uri + strlen("unix:"));
    } else {
        uri += g_str_has_prefix(uri, "tcp:") ? strlen("tcp:") : 0;
        const char *colon = strrchr(uri, ':');
        g_autofree char *host = g_strndup(uri, colon ? colon - uri : 0);
        json_set_str(addr, "type", "inet");
        json_set_str(data, "host", host);
        json_set_str(data, "port", colon ? colon + 1 : uri);
    }
    json_set(addr, "data", data);
    json_set(o, "addr", addr);
    call("nbd-server-start", o, err);
}

static void cmd_nbd_add(Monitor *m, const Json *args, Error **err)
{
    Json *o = with_device(args);
    set_optional(o, "name", args, "name");
    json_set_bool(o, "writable", arg_flag(args, "writable"));
    call("nbd-server-add", o, err);
}

static void cmd_nbd_remove(Monitor *m, const Json *args, Error **err)
{
    Json *o = json_object();
    json_set_str(o, "name", arg_str(args, "name"));
    json_set_str(o, "mode", arg_flag(args, "force") ? "hard" : "safe");
    call("nbd-server-remove", o, err);
}

static void cmd_nbd_stop(Monitor *m, const Json *args, Error **err)
{
    call("nbd-server-stop", json_object(), err);
}

const HmpCommand hmp_block_commands[] = {
    { "block_stream", "device:s,speed:o?,base:s?", "device [speed [base]]",
      "copy what lies below a disk into it", cmd_stream },
    { "drive_mirror", "reuse:-n,full:-f,device:s,target:F,format:s?", "[-n] [-f] device target [format]",
      "copy a disk to a file and go on with the copy when told to (-n: the file is there, -f: all of it)",
      cmd_mirror },
    { "drive_backup", "reuse:-n,full:-f,compress:-c,device:s,target:F,format:s?",
      "[-n] [-f] [-c] device target [format]", "copy a disk as it is now (-c: compressed)", cmd_backup },
    { "snapshot_blkdev", "reuse:-n,device:s,snapshot-file:F,format:s?",
      "[-n] device new-image-file [format]", "go on in a new image over the disk", cmd_snapshot },
    { "block_job_cancel", "force:-f,device:s", "[-f] device", "end a block job without its result",
      cmd_job_cancel },
    { "block_job_complete", "device:s", "device", "let a mirror or commit take effect", cmd_job_complete },
    { "block_job_pause", "device:s", "device", "pause a block job", cmd_job_pause },
    { "block_job_resume", "device:s", "device", "go on with a paused block job", cmd_job_resume },
    { "block_job_set_speed", "device:s,speed:o", "device speed", "limit a block job (bytes a second)",
      cmd_job_speed },
    { "block_set_io_throttle", "device:s,bps:l,bps_rd:l,bps_wr:l,iops:l,iops_rd:l,iops_wr:l",
      "device bps bps_rd bps_wr iops iops_rd iops_wr", "limit a disk (0: no limit)", cmd_throttle },
    { "nbd_server_start", "uri:s", "tcp:host:port|unix:path", "let NBD clients connect", cmd_nbd_start },
    { "nbd_server_add", "writable:-w,device:s,name:s?", "[-w] device [name]",
      "export a disk to NBD clients (-w: they may write)", cmd_nbd_add },
    { "nbd_server_remove", "force:-f,name:s", "[-f] name", "end an export", cmd_nbd_remove },
    { "nbd_server_stop", NULL, "", "cut off all NBD clients", cmd_nbd_stop },
    { NULL }
};

static void print_job(Job *j, void *opaque)
{
    Monitor *m = opaque;
    if (!j->driver->block) {
        return;
    }
    Json *o = block_job_info(j);
    monitor_printf(m, "Type %s, device %s: Completed %" PRIu64 " of %" PRIu64 " bytes, speed limit %" PRIu64
                   " bytes/s%s\n", json_get(o, "type")->s, json_get(o, "device")->s,
                   json_get(o, "offset")->u, json_get(o, "len")->u, json_get(o, "speed")->u,
                   json_get(o, "ready")->b ? ", ready" : "");
    json_free(o);
}

static void info_jobs(Monitor *m, const Json *args, Error **err)
{
    gsize before = m->out->len;
    job_foreach(print_job, m);
    if (m->out->len == before) {
        monitor_puts(m, "No active jobs\n");
    }
}

const HmpCommand hmp_block_info_commands[] = {
    { "block-jobs", NULL, "", "block jobs and how far they are", info_jobs },
    { NULL }
};
