/*
 * A bare send() for each viewer: the portable floor, and what the other ways share. Nothing is merged, framed, or
 * remembered for anybody; the only state is the list of sockets.
 */
#include "loadtest/floor/floor_ways.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum { SHUT_MS = 10000 };

bool floor_wait_writable(int fd)
{
    struct pollfd wanted = {.fd = fd, .events = POLLOUT};
    if (poll(&wanted, 1, SHUT_MS) == 1) {
        return true;
    }
    fprintf(stderr, "floor: a receiver took nothing for %d ms\n", SHUT_MS);
    return false;
}

bool floor_finish(int fd, const char *rest, size_t length)
{
    while (length > 0) {
        ssize_t sent = send(fd, rest, length, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent > 0) {
            rest += sent;
            length -= (size_t)sent;
        } else if (errno != EAGAIN) {
            fprintf(stderr, "floor: send: %s\n", strerror(errno));
            return false;
        } else if (!floor_wait_writable(fd)) {
            return false;
        }
    }
    return true;
}

size_t floor_plain_bytes(size_t length)
{
    return length;
}

static enum floor_result send_open(size_t viewers, void **out_state)
{
    (void)viewers;
    *out_state = NULL;
    return FLOOR_OK;
}

static bool send_round(void *state, const int *fds, size_t viewers, const void *message, size_t length,
                       uint64_t *partial)
{
    (void)state;
    for (size_t i = 0; i < viewers; i++) {
        ssize_t sent = send(fds[i], message, length, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent == (ssize_t)length) {
            continue;
        }
        ++*partial;
        size_t taken = sent > 0 ? (size_t)sent : 0;
        if (!floor_finish(fds[i], (const char *)message + taken, length - taken)) {
            return false;
        }
    }
    return true;
}

static void send_close(void *state)
{
    (void)state;
}

const struct floor_way floor_send = {
    .name = "send",
    .open = send_open,
    .round = send_round,
    .wire_bytes = floor_plain_bytes,
    .close = send_close,
};
