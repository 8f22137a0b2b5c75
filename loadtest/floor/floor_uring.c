/*
 * The same sends, BATCH of them for one system call. MSG_DONTWAIT makes the kernel answer each of them while it takes
 * them in, so a batch is reaped as soon as it was submitted and no kernel thread is involved.
 */
#include "loadtest/floor/floor_ways.h"

#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { BATCH = 256 };

static enum floor_result uring_open(size_t viewers, void **out_state)
{
    (void)viewers;
    struct io_uring *ring = calloc(1, sizeof *ring);
    if (!ring) {
        fprintf(stderr, "floor: out of memory\n");
        return FLOOR_FAILED;
    }
    /* Both spare the kernel work that only several threads would need; older ones (before 6.1) refuse them. */
    int status = io_uring_queue_init(BATCH, ring, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
    if (status != 0) {
        status = io_uring_queue_init(BATCH, ring, 0);
    }
    if (status != 0) {
        fprintf(stderr, "floor: io_uring: %s\n", strerror(-status));
        free(ring);
        return FLOOR_UNAVAILABLE;
    }
    *out_state = ring;
    return FLOOR_OK;
}

static bool uring_reap(struct io_uring *ring, const int *fds, size_t count, const void *message,
                       size_t length, uint64_t *partial)
{
    for (size_t i = 0; i < count; i++) {
        struct io_uring_cqe *answer = NULL;
        int status = io_uring_wait_cqe(ring, &answer);
        if (status != 0) {
            fprintf(stderr, "floor: io_uring: %s\n", strerror(-status));
            return false;
        }
        int sent = answer->res;
        int fd = fds[io_uring_cqe_get_data64(answer)];
        io_uring_cqe_seen(ring, answer);
        if (sent == (int)length) {
            continue;
        }
        ++*partial;
        size_t taken = sent > 0 ? (size_t)sent : 0;
        /* When the send failed for good, finishing it says why. */
        if (!floor_finish(fd, (const char *)message + taken, length - taken)) {
            return false;
        }
    }
    return true;
}

static bool uring_batch(struct io_uring *ring, const int *fds, size_t count, const void *message,
                        size_t length, uint64_t *partial)
{
    for (size_t i = 0; i < count; i++) {
        struct io_uring_sqe *entry = io_uring_get_sqe(ring); /* the ring is as long as a batch, and empty */
        io_uring_prep_send(entry, fds[i], message, length, MSG_DONTWAIT | MSG_NOSIGNAL);
        io_uring_sqe_set_data64(entry, i);
    }
    int taken = io_uring_submit(ring);
    if (taken != (int)count) {
        fprintf(stderr, "floor: io_uring took %d of %zu sends\n", taken, count);
        return false;
    }
    return uring_reap(ring, fds, count, message, length, partial);
}

static bool uring_round(void *state, const int *fds, size_t viewers, const void *message, size_t length,
                        uint64_t *partial)
{
    for (size_t at = 0; at < viewers; at += BATCH) {
        size_t count = viewers - at < BATCH ? viewers - at : BATCH;
        if (!uring_batch(state, fds + at, count, message, length, partial)) {
            return false;
        }
    }
    return true;
}

static void uring_close(void *state)
{
    if (state) {
        io_uring_queue_exit(state);
        free(state);
    }
}

const struct floor_way floor_uring = {
    .name = "uring",
    .open = uring_open,
    .round = uring_round,
    .wire_bytes = floor_plain_bytes,
    .close = uring_close,
};
