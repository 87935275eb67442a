/* SPDX-License-Identifier: MIT */
/*
 * What a disk does in a guest: guest-disk DEVICE KIND MILLISECONDS, for tests/bench/disks.py.
 * KIND: seq-read, seq-write (64 KiB), rand-read, rand-write (4 KiB), each past the page cache
 * with 8 requests under way.  Prints requests and nanoseconds.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define DEPTH 8

static uint64_t now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

typedef struct Load {
    int fd;
    int write, sequential;
    uint64_t block, blocks, at, seed;
} Load;

static uint64_t next_block(Load *l)
{
    if (l->sequential) {
        return l->at++ % l->blocks;
    }
    l->seed = l->seed * 6364136223846793005ull + 1442695040888963407ull;
    return (l->seed >> 33) % l->blocks;
}

static void submit(aio_context_t ctx, Load *l, struct iocb *cb)
{
    cb->aio_offset = next_block(l) * l->block;
    if (syscall(SYS_io_submit, ctx, 1, &cb) != 1) {
        die("io_submit");
    }
}

static void prepare(struct iocb *cb, const Load *l)
{
    void *buf;

    if (posix_memalign(&buf, 4096, l->block)) {
        die("memory");
    }
    memset(buf, 0x5a, l->block);
    memset(cb, 0, sizeof(*cb));
    cb->aio_fildes = l->fd;
    cb->aio_lio_opcode = l->write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD;
    cb->aio_buf = (uintptr_t)buf;
    cb->aio_nbytes = l->block;
    cb->aio_data = (uintptr_t)cb;
}

int main(int argc, char **argv)
{
    aio_context_t ctx = 0;
    struct iocb cb[DEPTH];
    struct io_event ev[DEPTH];
    Load l = { .seed = 1 };
    uint64_t size, done = 0, start, limit;

    if (argc != 4) {
        return 1;
    }
    l.write = strstr(argv[2], "write") != NULL;
    l.sequential = !strncmp(argv[2], "seq", 3);
    l.block = l.sequential ? 65536 : 4096;
    l.fd = open(argv[1], O_RDWR | O_DIRECT);
    if (l.fd < 0 || ioctl(l.fd, BLKGETSIZE64, &size)) {
        die(argv[1]);
    }
    l.blocks = size / l.block;
    if (syscall(SYS_io_setup, DEPTH, &ctx)) {
        die("io_setup");
    }
    start = now();
    limit = start + strtoull(argv[3], NULL, 10) * 1000000;
    for (int i = 0; i < DEPTH; i++) {
        prepare(&cb[i], &l);
        submit(ctx, &l, &cb[i]);
    }
    while (now() < limit) {
        long n = syscall(SYS_io_getevents, ctx, 1, DEPTH, ev, NULL);
        for (long i = 0; i < n; i++) {
            if (ev[i].res != (int64_t)l.block) {
                die("request");
            }
            submit(ctx, &l, (struct iocb *)(uintptr_t)ev[i].data);
        }
        done += n > 0 ? n : 0;
    }
    printf("requests %llu ns %llu\n", (unsigned long long)done, (unsigned long long)(now() - start));
    return 0;
}
