/*
 * The judgement, worst news first. A source that is down never makes the
 * gateway unhealthy: it still serves what it has, marked with its age.
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

enum health_state health_judge(const struct health *health, struct pipeline *pipeline,
                               const char **out_reason)
{
    if (health->is_draining) {
        *out_reason = "draining";
        return HEALTH_OFFLINE;
    }
    if (!pipeline_catalog(pipeline) || !health->is_listening) {
        *out_reason = pipeline_catalog(pipeline) ? "not listening yet" : "no definitions yet";
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
    const char *down = source_that_is_down(pipeline);
    *out_reason = down ? down : "";
    return down ? HEALTH_DEGRADED : HEALTH_HEALTHY;
}
