/**
 * Many small writes to many sockets at once: one io_uring submission where the kernel allows it, send() one after the
 * other where not. Both take what the socket takes now and never wait.
 *
 * Cost: with io_uring about 0.7 times the processor time of as many send() calls.
 * Loop: loop thread. Everything has completed when a call returns: nothing is in flight between loop turns, so a descriptor
 * may be closed at any other time.
 */
#ifndef SOPHIA_IO_SEND_BATCH_H
#define SOPHIA_IO_SEND_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum {
    SEND_BATCH_MAX = 128, /* more per submission gains little, and holds the loop longer */
    SEND_PARTS_MAX = 8,
};

/** What one socket is to take, in one write. */
struct send_item {
    int fd;
    unsigned part_count; /* >= 1 */
    struct iovec parts[SEND_PARTS_MAX];
    struct msghdr message; /* scratch of send_batch_run */
    ssize_t taken; /* set by send_batch_run: bytes of all parts together, or -errno; -EAGAIN: not one */
    void *owner;   /* the caller's */
};

struct send_batch;

/** wants_uring: use io_uring if the kernel lets us; if not, that is no failure. NULL when memory ran out. */
struct send_batch *send_batch_create(bool wants_uring);
/** NULL is allowed. */
void send_batch_destroy(struct send_batch *batch);
/** It may turn false at any run: a ring that fails is given up for good, after a log line. */
bool send_batch_uses_uring(const struct send_batch *batch);
/** count: at most SEND_BATCH_MAX. */
void send_batch_run(struct send_batch *batch, struct send_item *items, size_t count);

#endif
