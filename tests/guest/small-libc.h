/* SPDX-License-Identifier: MIT */
/*
 * As much of a C library as tone.c needs, for 32-bit guests: hosts have none to link with.
 *
 * Source: Linux' system call convention of i386 (int 80h; EAX, then EBX ECX EDX).
 */
#include <stdarg.h>
#include <stddef.h>

static int small_errno;

static long call3(long n, long a, long b, long c)
{
    long ret;

    __asm__ volatile("int $0x80" : "=a"(ret) : "a"(n), "b"(a), "c"(b), "d"(c) : "memory");
    small_errno = ret < 0 ? -ret : small_errno;
    return ret < 0 ? -1 : ret;
}

void *memset(void *p, int v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        ((volatile char *)p)[i] = v;
    }
    return p;
}

void *memcpy(void *to, const void *from, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        ((volatile char *)to)[i] = ((const char *)from)[i];
    }
    return to;
}

size_t strlen(const char *s)
{
    size_t n = 0;

    while (s[n]) {
        n++;
    }
    return n;
}

char *strstr(const char *s, const char *part)
{
    for (; *s; s++) {
        size_t n = 0;
        while (part[n] && s[n] == part[n]) {
            n++;
        }
        if (!part[n]) {
            return (char *)s;
        }
    }
    return NULL;
}

int open(const char *path, int flags, ...)
{
    return call3(5, (long)path, flags, 0);
}

int close(int fd)
{
    return call3(6, fd, 0, 0);
}

int ioctl(int fd, unsigned long request, ...)
{
    va_list args;

    va_start(args, request);
    long arg = va_arg(args, long);
    va_end(args);
    return call3(54, fd, request, arg);
}

void exit(int status)
{
    for (;;) {
        call3(1, status, 0, 0);
    }
}

int puts(const char *s)
{
    call3(4, 1, (long)s, strlen(s));
    return call3(4, 1, (long)"\n", 1);
}

void perror(const char *what)
{
    char number[] = ": error 000";

    for (int i = 10, e = small_errno; i > 7; i--, e /= 10) {
        number[i] = '0' + e % 10;
    }
    call3(4, 1, (long)what, strlen(what));
    puts(number);
}

int main(void);

void _start(void)
{
    exit(main());
}
