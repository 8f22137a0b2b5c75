/**
 * All viewers on one epoll: who arrives when, who goes away and comes back, what they hear, and how late.
 *
 * Latency is counted per viewer and value, from the moment the producer's schedule says to the moment the viewer has read it,
 * for values that were due in the window. Not counted, because somebody else is to blame: deliberately slow viewers, and the
 * first message after a viewer was away.
 */
#ifndef SOPHIA_LOADTEST_LOAD_LOAD_CROWD_H
#define SOPHIA_LOADTEST_LOAD_LOAD_CROWD_H

#include <stdbool.h>
#include <stdint.h>

#include "loadtest/load/histogram.h"
#include "loadtest/load/load_viewer.h"

enum load_error {
    LOAD_ERROR_CONNECT,  /* the connection was refused, or no descriptor or port is left */
    LOAD_ERROR_REFUSED,  /* the handshake was answered with something else */
    LOAD_ERROR_TIMEOUT,  /* no snapshot in time */
    LOAD_ERROR_CLOSED,   /* the gateway ended the connection */
    LOAD_ERROR_RESET,    /* the connection broke */
    LOAD_ERROR_MESSAGE,  /* an error message */
    LOAD_ERROR_WIRE,     /* bytes that are neither WebSocket nor SSE */
    LOAD_ERROR_PRODUCER, /* a change that was not accepted; counted by the producer */
    LOAD_ERROR_COUNT
};

const char *load_error_name(enum load_error error);

struct load_tally {
    uint64_t errors[LOAD_ERROR_COUNT];
    uint64_t connect_errors; /* of the above, by viewers that had not yet been ready */
    uint64_t snapshots, updates, merged, heartbeats;
    uint64_t resyncs;                   /* snapshots and subscriptions beyond the first of each connection */
    uint64_t resumed[RESUME_WHOLE + 1]; /* how those who came back were answered (WebSocket) */
    uint64_t returned;                  /* came back */
    uint64_t deliveries, delivered_bytes; /* updates within the window; with their headers */
    struct histogram latency;             /* of values that were due in the window, to the viewer's socket */
    struct histogram reading;             /* the same until they were read, which is our own doing */
    struct histogram connecting;          /* from SYN to snapshot, first time */
    uint64_t first_connect_us, all_ready_us; /* 0: not yet */
    uint64_t storm_us, storm_over_us;        /* when it began, and when all were back; 0: not yet */
};

struct load_crowd {
    const struct scenario *scenario; /* borrowed */
    struct load_verify *verify;      /* borrowed */
    struct load_wire wire;
    struct load_memo memo;
    struct load_viewer *viewers; /* owned, scenario->viewers of them */
    uint32_t gateways;
    uint32_t *watching; /* owned: viewers by board */
    int epoll;
    uint32_t arrived; /* have begun to connect */
    uint32_t connecting, ready;
    bool is_churning, is_quiet;
    bool has_no_memory;
    uint64_t arrivals_us, churned, churn_us, swept_us, slow_us;
    uint64_t window_from_us, window_to_us; /* 0, 0: none */
    bool is_counting;                      /* deliveries */
    uint64_t chance;
    struct load_tally tally;
};

/** addresses: borrowed, `gateways` of them. NULL: out of memory or no epoll. */
struct load_crowd *load_crowd_create(const struct scenario *scenario, struct load_verify *verify,
                                     const struct load_address *addresses, uint32_t gateways);
void load_crowd_destroy(struct load_crowd *crowd);

/** From now on viewers arrive. */
void load_crowd_arrive(struct load_crowd *crowd);
/** One turn: wait for something, read it, do what is due, rest. */
void load_crowd_turn(struct load_crowd *crowd);
/** Churn as the scenario says; false ends it. */
void load_crowd_churn(struct load_crowd *crowd, bool is_on);
/** scenario->storm_viewers go away at once and come back. */
void load_crowd_storm(struct load_crowd *crowd);
/** Nobody goes away any more, and slow viewers read what there is. */
void load_crowd_quiet(struct load_crowd *crowd);

/** Viewers that are not where `heads` (by board) are, by position. */
uint32_t load_crowd_behind(const struct load_crowd *crowd, const struct load_frame *heads);
/** Final values that viewers have not seen. */
uint64_t load_crowd_lost(const struct load_crowd *crowd, const struct load_frame *heads);
/** Compare the copies with the heads; how many were compared. */
uint32_t load_crowd_check_copies(struct load_crowd *crowd, const struct load_frame *heads);

#endif
