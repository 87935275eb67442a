/* SPDX-License-Identifier: MIT */
/*
 * Devices: ports, and the first disk read and written past the page cache.
 *
 * The driver fills the disk: sector n begins with n as 64 little-endian bits.  Writes go to
 * its second half; the driver looks at them when the guest is gone.
 */
#define _GNU_SOURCE
#include "tests/bench/guest/bench.h"
#include <fcntl.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    PORT_STATUS = 0x64,             /* the keyboard controller's: reading it does nothing */
    PORT_DELAY = 0x80,              /* nobody listens to writes there but POST cards */
    CHUNK = 64 * 1024,
    CHUNKS = 16,
    HALF = 8 << 20,
};

static void port_setup(void)
{
    if (iopl(3)) {
        die("iopl");
    }
}

static uint64_t port_in_round(void)
{
    for (int i = 0; i < 500; i++) {
        inb(PORT_STATUS);
    }
    return 0;
}

static uint64_t port_out_round(void)
{
    for (int i = 0; i < 500; i++) {
        outb(i, PORT_DELAY);
    }
    return 0;
}

static int disk = -1;
static uint8_t *buffer;

static void disk_setup(void)
{
    /* the kernel finds disks while init runs already */
    for (int i = 0; i < 200 && disk < 0; i++) {
        disk = open("/dev/sda", O_RDWR | O_DIRECT);
        if (disk < 0) {
            usleep(50000);
        }
    }
    if (disk < 0) {
        die("/dev/sda");
    }
    buffer = map(CHUNK, PROT_READ | PROT_WRITE);
}

static uint64_t read_round(void)
{
    uint64_t sum = 0, first;
    for (int i = 0; i < CHUNKS; i++) {
        if (pread(disk, buffer, CHUNK, (off_t)i * CHUNK * 7 % HALF) != CHUNK) {
            die("disk read");
        }
        for (int k = 0; k < CHUNK; k += 512) {
            memcpy(&first, buffer + k, 8);
            sum = sum * 3 + first;
        }
    }
    return sum;
}

static uint64_t write_round(void)
{
    for (int i = 0; i < CHUNKS; i++) {
        memset(buffer, 0xa0 + i, CHUNK);
        if (pwrite(disk, buffer, CHUNK, HALF + (off_t)i * CHUNK) != CHUNK) {
            die("disk write");
        }
    }
    return 0;
}

const Workload io_workloads[] = {
    { "port-in",    "reads",  500,            port_in_round,  port_setup, GUEST_ONLY },
    { "port-out",   "writes", 500,            port_out_round, port_setup, GUEST_ONLY },
    { "disk-read",  "bytes",  CHUNK * CHUNKS, read_round,     disk_setup, GUEST_ONLY },
    { "disk-write", "bytes",  CHUNK * CHUNKS, write_round,    disk_setup, GUEST_ONLY },
    { NULL }
};
