/* SPDX-License-Identifier: MIT */
/*
 * Memory for host code: an anonymous file mapped once writable and once executable.
 */
#include "accel/tcg/code.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "util/error.h"

ptrdiff_t code_rw_delta;
static uint8_t *rx;
static size_t size;
static int file = -1;

bool code_area_init(size_t bytes, Error **err)
{
    if (rx) {
        return true;
    }
    bytes = (bytes + 0xffff) & ~(size_t)0xffff;
    file = memfd_create("orrery-code", MFD_CLOEXEC);
    if (file < 0 || ftruncate(file, bytes) < 0) {
        return fail_errno(err, errno, "no memory for translated code");
    }
    uint8_t *x = mmap(NULL, bytes, PROT_READ | PROT_EXEC, MAP_SHARED, file, 0);
    uint8_t *w = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (x == MAP_FAILED || w == MAP_FAILED) {
        return fail_errno(err, errno, "can't map memory for translated code");
    }
    rx = x;
    size = bytes;
    code_rw_delta = w - x;
    return true;
}

uint8_t *code_area(void)
{
    return rx;
}

size_t code_area_size(void)
{
    return size;
}

void code_area_discard(uint8_t *at, size_t len)
{
    size_t page = 4096;
    uintptr_t from = ((uintptr_t)at + page - 1) & -page, to = ((uintptr_t)at + len) & -page;
    if (to > from) {
        madvise((uint8_t *)from + code_rw_delta, to - from, MADV_REMOVE);
    }
}
