/**
 * One word for how the gateway is, and why: what /health answers and the
 * operations board shows.
 *
 *   initializing -> healthy <-> degraded <-> unhealthy, and offline from any of them (draining)
 *
 * Loop: loop thread.
 */
#ifndef SOPHIA_HEALTH_H
#define SOPHIA_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

#include "access/token_door.h"
#include "pipeline.h"
#include "upstreams.h"

enum health_state {
    HEALTH_INITIALIZING, /* nothing true to serve: no definitions yet, not listening yet, shared boards never seen */
    HEALTH_HEALTHY,
    HEALTH_DEGRADED,  /* serving; a source or an upstream is down, or the loop is slow */
    HEALTH_UNHEALTHY, /* the loop is so slow that viewers notice */
    HEALTH_OFFLINE,   /* draining: it answers, but nobody new should come */
    HEALTH_STATE_COUNT
};

/** Loop lag p99 from which the gateway is called degraded, and unhealthy. */
#define HEALTH_LAG_DEGRADED_S 0.1
#define HEALTH_LAG_UNHEALTHY_S 1.0

/** What the judgement rests on beside the pipeline. Zeroed at start. */
struct health {
    bool is_listening;               /* set by gateway.c once the listener has started */
    bool is_draining;                /* set by gateway.c at the first SIGTERM */
    double loop_lag_p99_s;           /* set by the internal source, each second */
    struct upstreams *upstreams;     /* NULL: none */
    const struct token_door *tokens; /* NULL: none */
};

/** The word as it is told: "healthy". */
const char *health_state_name(enum health_state state);

/** out_reason: static text, or the name of the source or upstream that is down, never a host; "" when healthy. */
enum health_state health_judge(const struct health *health, struct pipeline *pipeline,
                               const char **out_reason);

#endif
