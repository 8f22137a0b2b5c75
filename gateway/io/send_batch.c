/*
 * A socket appears once per batch: the kernel runs the entries of one submission in order, but a short write of
 * the first would let the second overtake the rest of it.
 */
#include "io/send_batch.h"

#include <assert.h>
#include <errno.h>
#include <liburing.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/log.h"

enum { SEND_FLAGS = MSG_DONTWAIT | MSG_NOSIGNAL };

struct send_batch {
    struct io_uring ring;
    bool has_ring;
};

struct send_batch *send_batch_create(bool wants_uring)
{
    struct send_batch *batch = calloc(1, sizeof *batch);
    if (batch && wants_uring) {
        int failure = io_uring_queue_init(SEND_BATCH_MAX, &batch->ring, 0);
        batch->has_ring = failure == 0;
        if (batch->has_ring) {
            /* Saves a look-up per submission; older kernels lack it. */
            (void)io_uring_register_ring_fd(&batch->ring);
        } else {
            log_info("io_uring not available, using send", LOG_INT("errno", -failure));
        }
    }
    return batch;
}

static void ring_drop(struct send_batch *batch)
{
    if (batch->has_ring) {
        io_uring_queue_exit(&batch->ring);
        batch->has_ring = false;
    }
}

void send_batch_destroy(struct send_batch *batch)
{
    if (batch) {
        ring_drop(batch);
        free(batch);
    }
}

bool send_batch_uses_uring(const struct send_batch *batch)
{
    return batch->has_ring;
}

static void send_one(struct send_item *item)
{
    ssize_t taken = 0;
    do {
        taken = item->part_count == 1
                    ? send(item->fd, item->parts[0].iov_base, item->parts[0].iov_len, SEND_FLAGS)
                    : sendmsg(item->fd, &item->message, SEND_FLAGS);
    } while (taken < 0 && errno == EINTR);
    item->taken = taken < 0 ? -errno : taken;
}

static void queue_one(struct send_batch *batch, struct send_item *item)
{
    struct io_uring_sqe *entry = io_uring_get_sqe(&batch->ring);
    assert(entry); /* the ring has room for a whole batch, and is empty between runs */
    if (item->part_count == 1) {
        io_uring_prep_send(entry, item->fd, item->parts[0].iov_base, item->parts[0].iov_len, SEND_FLAGS);
    } else {
        io_uring_prep_sendmsg(entry, item->fd, &item->message, SEND_FLAGS);
    }
    io_uring_sqe_set_data(entry, item);
}

/* How many were submitted, in order; the others were not begun. */
static size_t submit(struct send_batch *batch, size_t count)
{
    size_t submitted = 0;
    while (submitted < count) {
        int more = io_uring_submit(&batch->ring);
        if (more == -EINTR) {
            continue;
        }
        if (more <= 0) {
            log_warn("io_uring failed, using send from now on", LOG_INT("errno", -more));
            break;
        }
        submitted += (size_t)more;
    }
    return submitted;
}

/* Sends that must not wait have completed by the time they are submitted: this reads memory. */
static void reap(struct send_batch *batch, size_t count)
{
    while (count > 0) {
        struct io_uring_cqe *done = NULL;
        int failure = io_uring_wait_cqe(&batch->ring, &done);
        if (failure == -EINTR || failure == -EAGAIN) {
            continue;
        }
        assert(failure == 0); /* nothing else can fail while completions are owed */
        struct send_item *item = io_uring_cqe_get_data(done);
        item->taken = done->res;
        io_uring_cqe_seen(&batch->ring, done);
        count--;
    }
}

void send_batch_run(struct send_batch *batch, struct send_item *items, size_t count)
{
    assert(count <= SEND_BATCH_MAX);
    for (size_t i = 0; i < count; i++) {
        if (items[i].part_count > 1) {
            items[i].message = (struct msghdr){.msg_iov = items[i].parts, .msg_iovlen = items[i].part_count};
        }
    }
    size_t done = 0;
    if (batch->has_ring && count > 1) { /* for one a system call is a system call */
        for (size_t i = 0; i < count; i++) {
            queue_one(batch, &items[i]);
        }
        done = submit(batch, count);
        reap(batch, done);
        if (done < count) {
            ring_drop(batch); /* with the entries that were not submitted */
        }
    }
    for (; done < count; done++) {
        send_one(&items[done]);
    }
}
