/**
 * PostgreSQL and Redis as this process sees them: which links there are, whether they are up and why not,
 * and what the circuit breakers let through. Filled once by whoever makes the links; read by health, the
 * operations board and /metrics.
 *
 * Loop: loop thread. Reads links, never changes them.
 */
#ifndef SOPHIA_UPSTREAMS_H
#define SOPHIA_UPSTREAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/metrics.h"
#include "io/breaker.h"

enum upstream { UPSTREAM_POSTGRES, UPSTREAM_REDIS, UPSTREAM_COUNT };

/** The words and numbers of ops.redis and gw_upstream_state. */
enum upstream_state {
    UPSTREAM_OFF,        /* not configured */
    UPSTREAM_UP,         /* every link */
    UPSTREAM_DEGRADED,   /* some links, or a breaker is trying */
    UPSTREAM_CONNECTING, /* no link */
    UPSTREAM_OPEN,       /* a breaker is open: it is not asked for now */
    UPSTREAM_STATE_COUNT
};

enum { UPSTREAM_LINKS_MAX = 16, UPSTREAM_BREAKERS_MAX = 8 };

/** One connection, or a few that are used as one. */
struct upstream_link {
    enum upstream upstream;
    const char *name; /* "journal", "pool"; borrowed */
    const void *link;
    bool (*is_up)(const void *link);
    const char *(*reason)(const void *link); /* one line that may name hosts; "" while up */
    uint64_t (*rtt_us)(const void *link);    /* 0: not known; NULL: it is not measured */
};

struct upstream_breaker {
    enum upstream upstream;
    const char *name; /* label and row key: "postgres", "cache"; borrowed */
    const struct breaker *breaker;
    struct metric *state, *failures, *next_probe;
};

struct upstreams {
    uint64_t (*now_ms)(void); /* monotonic */
    struct metrics *metrics;
    struct upstream_link links[UPSTREAM_LINKS_MAX];
    size_t link_count;
    struct upstream_breaker breakers[UPSTREAM_BREAKERS_MAX];
    size_t breaker_count;
    struct metric *states[UPSTREAM_COUNT];
};

/**
 * Without links: both upstreams are off.
 * Metrics: gw_upstream_state{upstream}, gw_breaker_state{upstream} (0 closed, 1 half open, 2 open),
 *          gw_breaker_failures{upstream}, gw_breaker_next_probe_seconds{upstream}.
 */
void upstreams_init(struct upstreams *upstreams, struct metrics *metrics, uint64_t (*now_ms)(void));
/** The link outlives its use here. At most UPSTREAM_LINKS_MAX. */
void upstreams_add_link(struct upstreams *upstreams, const struct upstream_link *link);
/** At most UPSTREAM_BREAKERS_MAX. */
void upstreams_add_breaker(struct upstreams *upstreams, enum upstream upstream, const char *name,
                           const struct breaker *breaker);

/** upstreams NULL: off. */
enum upstream_state upstream_state(const struct upstreams *upstreams, enum upstream upstream);
/** Why it is not up, as its first link that is down says it; "" when it is up or off. May name hosts. */
const char *upstream_reason(const struct upstreams *upstreams, enum upstream upstream);
/** Round trip of the first link that knows one, in microseconds; 0: none does. */
uint64_t upstream_rtt_us(const struct upstreams *upstreams, enum upstream upstream);

/** "postgres", "redis" */
const char *upstream_name(enum upstream upstream);
/** "off", "up", "degraded", "connecting", "open" */
const char *upstream_state_name(enum upstream_state state);

/** Bring the metrics up to date. upstreams NULL: nothing. */
void upstreams_publish(struct upstreams *upstreams);

#endif
