#ifndef SOPHIA_LOADTEST_FLOOR_FLOOR_RECEIVERS_H
#define SOPHIA_LOADTEST_FLOOR_FLOOR_RECEIVERS_H

#include "loadtest/floor/floor_ways.h"

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/** What the receiving process has counted, in memory that both processes see. */
struct floor_received {
    _Atomic uint64_t bytes; /* of all viewers; written after `each` */
    uint64_t each[];        /* of one viewer; may be read once `bytes` says that all have come */
};

/** A process of its own that connects `viewers` times and counts what arrives. */
struct floor_receivers {
    pid_t pid;
    size_t viewers;
    struct floor_received *received;
};

/**
 * Forks it. The connections come one after the other, each whole (`way->meet`) before the next.
 *
 * Loop:   the new process ends with its parent, or by floor_receivers_finish().
 * Result: false when there is no memory or no process; said on stderr.
 */
bool floor_receivers_init(struct floor_receivers *receivers, size_t viewers, const struct floor_way *way,
                          void *state, const struct sockaddr_in *address);

/** Does the process still run? It does not end by itself as long as its connections are open. */
bool floor_receivers_run(const struct floor_receivers *receivers);

/** Waits until `bytes` have come in all; false when none came for a while before that, or the process ended. */
bool floor_receivers_wait(const struct floor_receivers *receivers, uint64_t bytes);

void floor_receivers_finish(struct floor_receivers *receivers);

#endif
