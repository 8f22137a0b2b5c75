/*
 * The judgement, worst news first. A source or upstream that is down never makes the
 * gateway unhealthy: it still serves what it has, marked with its age. Only a gateway that never had
 * anything to serve is not ready: all others share its upstreams, and sending viewers away would take stale
 * values from them and give them none.
 */
#include "health.h"

#include <assert.h>

#include "fanout/hub.h"

const char *health_state_name(enum health_state state)
{
    static const char *const names[HEALTH_STATE_COUNT] = {
        [HEALTH_INITIALIZING] = "initializing", [HEALTH_HEALTHY] = "healthy", [HEALTH_DEGRADED] = "degraded",
        [HEALTH_UNHEALTHY] = "unhealthy",       [HEALTH_OFFLINE] = "offline",
    };
    assert((unsigned)state < HEALTH_STATE_COUNT);
    return names[state];
}

static const char *source_that_is_down(struct pipeline *pipeline)
{
    const struct source_health *sources = NULL;
    size_t count = hub_sources(pipeline_hub(pipeline), &sources);
    for (size_t i = 0; i < count; i++) {
        if (!sources[i].is_up) {
            return sources[i].name;
        }
    }
    return NULL;
}

static const char *upstream_that_is_down(const struct health *health)
{
    for (int upstream = 0; upstream < UPSTREAM_COUNT; upstream++) {
        enum upstream_state state = upstream_state(health->upstreams, (enum upstream)upstream);
        if (state != UPSTREAM_OFF && state != UPSTREAM_UP) {
            return upstream_name((enum upstream)upstream);
        }
    }
    return NULL;
}

/* Nothing here is sampled: once it was ready, it stays so, however soon the journal goes again. */
static const char *missing_at_start(const struct health *health, const struct pipeline *pipeline)
{
    if (!pipeline_catalog(pipeline)) {
        return "no definitions yet";
    }
    if (!health->is_listening) {
        return "not listening yet";
    }
    if (health->tokens && !token_door_has_keys(health->tokens)) {
        return "the keys of tokens were not fetched yet";
    }
    return pipeline_has_been_attached(pipeline) ? NULL : "the shared journal was not reached yet";
}

enum health_state health_judge(const struct health *health, struct pipeline *pipeline,
                               const char **out_reason)
{
    if (health->is_draining) {
        *out_reason = "draining";
        return HEALTH_OFFLINE;
    }
    const char *missing = missing_at_start(health, pipeline);
    if (missing) {
        *out_reason = missing;
        return HEALTH_INITIALIZING;
    }
    if (health->loop_lag_p99_s > HEALTH_LAG_UNHEALTHY_S) {
        *out_reason = "event loop lag";
        return HEALTH_UNHEALTHY;
    }
    if (health->loop_lag_p99_s > HEALTH_LAG_DEGRADED_S) {
        *out_reason = "event loop lag";
        return HEALTH_DEGRADED;
    }
    const char *down = upstream_that_is_down(health);
    if (!down) {
        down = source_that_is_down(pipeline);
    }
    if (!down && health->tokens && token_door_is_late(health->tokens)) {
        down = "token keys";
    }
    *out_reason = down ? down : "";
    return down ? HEALTH_DEGRADED : HEALTH_HEALTHY;
}
