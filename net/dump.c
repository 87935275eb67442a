/* SPDX-License-Identifier: MIT */
/*
 * filter-dump: frames to a file in pcap's format, as wireshark and tcpdump read it.
 *
 * Source: "PCAP Capture File Format" (draft-ietf-opsawg-pcap), sections 4 and 5.
 */
#include "net/filter.h"
#include "util/timer.h"
#include "util/iov.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define PCAP_MAGIC    0xa1b2c3d4        /* with microseconds; in the host's byte order */
#define PCAP_ETHERNET 1
#define PCAP_IOV_MAX  64

typedef struct FileHeader {
    uint32_t magic;
    uint16_t major, minor;
    int32_t zone;
    uint32_t sigfigs, snaplen, linktype;
} FileHeader;

typedef struct PacketHeader {
    uint32_t sec, usec, captured, length;
} PacketHeader;

static void dump_see(NetFilter *f, const struct iovec *iov, int n)
{
    NetDump *d = (NetDump *)f;
    size_t len = iov_size(iov, n), captured = MIN(len, d->max_len);
    int64_t now = clock_ns(ORRERY_CLOCK_HOST);
    PacketHeader h = { now / NS_PER_SEC, now % NS_PER_SEC / NS_PER_US, captured, len };
    struct iovec out[PCAP_IOV_MAX + 1] = { { &h, sizeof(h) } };
    g_autofree uint8_t *copy = NULL;
    int parts;

    if (d->failed) {
        return;
    }
    if (n > PCAP_IOV_MAX) {
        copy = g_malloc(len);
        iov_to_buf(iov, n, 0, copy, len);
        out[1] = (struct iovec) { copy, captured };
        parts = 1;
    } else {
        parts = iov_slice(out + 1, iov, n, 0, captured);
    }
    if (writev(d->fd, out, parts + 1) != (ssize_t)(sizeof(h) + captured)) {
        warn_report("filter-dump '%s': %s; it writes no more", f->id, g_strerror(errno));
        d->failed = true;
    }
}

NetDump *net_dump_open(const char *path, uint32_t max_len, Error **err)
{
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
    FileHeader h = { .magic = PCAP_MAGIC, .major = 2, .minor = 4, .snaplen = max_len,
                     .linktype = PCAP_ETHERNET };

    if (fd < 0 || write(fd, &h, sizeof(h)) != sizeof(h)) {
        fail_errno(err, errno, "filter-dump: can't write file '%s'", path);
        if (fd >= 0) {
            close(fd);
        }
        return NULL;
    }
    NetDump *d = g_new0(NetDump, 1);
    d->filter = (NetFilter) { .type = "filter-dump", .rx = true, .tx = true, .on = true,
                              .see = dump_see };
    d->fd = fd;
    d->max_len = max_len;
    return d;
}

void net_dump_close(NetDump *d)
{
    net_filter_remove(&d->filter);
    close(d->fd);
    g_free(d);
}
