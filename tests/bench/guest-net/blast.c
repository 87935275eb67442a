/* SPDX-License-Identifier: MIT */
/*
 * TCP traffic for tests/bench/net.py, in the guest:
 *
 *     blast send ADDRESS PORT BYTES       blast receive ADDRESS PORT
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char buf[128 * 1024];

int main(int argc, char **argv)
{
    struct sockaddr_in sa = { .sin_family = AF_INET };
    unsigned long long left, total = 0;
    ssize_t n;

    if (argc < 4 || inet_pton(AF_INET, argv[2], &sa.sin_addr) != 1) {
        return 2;
    }
    sa.sin_port = htons(atoi(argv[3]));
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
        perror("blast");
        return 1;
    }
    if (!strcmp(argv[1], "send") && argc > 4) {
        for (left = strtoull(argv[4], NULL, 10); left; left -= n, total += n) {
            n = write(fd, buf, left < sizeof(buf) ? left : sizeof(buf));
            if (n <= 0) {
                perror("blast");
                return 1;
            }
        }
        shutdown(fd, SHUT_WR);
        n = read(fd, buf, 1);           /* the other side has it all */
    } else {
        while ((n = read(fd, buf, sizeof(buf))) > 0) {
            total += n;
        }
    }
    printf("%llu bytes\n", total);
    return 0;
}
