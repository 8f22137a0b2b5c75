/* A list of links and a list of breakers; every answer is read from them when it is asked for. */
#include "upstreams.h"

#include <assert.h>
#include <stdio.h>

const char *upstream_name(enum upstream upstream)
{
    static const char *const names[UPSTREAM_COUNT] = {
        [UPSTREAM_POSTGRES] = "postgres",
        [UPSTREAM_REDIS] = "redis",
    };
    assert((unsigned)upstream < UPSTREAM_COUNT);
    return names[upstream];
}

const char *upstream_state_name(enum upstream_state state)
{
    static const char *const names[UPSTREAM_STATE_COUNT] = {
        [UPSTREAM_OFF] = "off",           [UPSTREAM_UP] = "up",
        [UPSTREAM_DEGRADED] = "degraded", [UPSTREAM_CONNECTING] = "connecting",
        [UPSTREAM_OPEN] = "open",
    };
    assert((unsigned)state < UPSTREAM_STATE_COUNT);
    return names[state];
}

void upstreams_init(struct upstreams *upstreams, struct metrics *metrics, uint64_t (*now_ms)(void))
{
    *upstreams = (struct upstreams){.now_ms = now_ms, .metrics = metrics};
    for (int upstream = 0; upstream < UPSTREAM_COUNT; upstream++) {
        char label[32];
        (void)snprintf(label, sizeof label, "upstream=\"%s\"", upstream_name((enum upstream)upstream));
        upstreams->states[upstream] =
            metrics_gauge(metrics, "gw_upstream_state", label,
                          "0 not used, 1 up, 2 some links down, 3 no link, 4 circuit open.");
    }
}

void upstreams_add_link(struct upstreams *upstreams, const struct upstream_link *link)
{
    assert(upstreams->link_count < UPSTREAM_LINKS_MAX);
    upstreams->links[upstreams->link_count++] = *link;
}

void upstreams_add_breaker(struct upstreams *upstreams, enum upstream upstream, const char *name,
                           const struct breaker *breaker)
{
    assert(upstreams->breaker_count < UPSTREAM_BREAKERS_MAX);
    char label[96];
    (void)snprintf(label, sizeof label, "upstream=\"%s\"", name); /* our own short names */
    struct metrics *metrics = upstreams->metrics;
    upstreams->breakers[upstreams->breaker_count++] = (struct upstream_breaker){
        .upstream = upstream,
        .name = name,
        .breaker = breaker,
        .state = metrics_gauge(metrics, "gw_breaker_state", label,
                               "Circuit breaker: 0 closed, 1 half open, 2 open."),
        .failures = metrics_gauge(metrics, "gw_breaker_failures", label, "Failures in a row."),
        .next_probe = metrics_gauge(metrics, "gw_breaker_next_probe_seconds", label,
                                    "Until an open breaker lets the next request through; 0 otherwise."),
    };
}

/** The worst a breaker of this upstream says. */
static enum breaker_state worst_breaker(const struct upstreams *upstreams, enum upstream upstream)
{
    enum breaker_state worst = BREAKER_CLOSED;
    for (size_t i = 0; i < upstreams->breaker_count; i++) {
        const struct upstream_breaker *breaker = &upstreams->breakers[i];
        enum breaker_state state = breaker_state(breaker->breaker, upstreams->now_ms());
        if (breaker->upstream == upstream && state > worst) {
            worst = state;
        }
    }
    return worst;
}

enum upstream_state upstream_state(const struct upstreams *upstreams, enum upstream upstream)
{
    size_t links = 0, up = 0;
    for (size_t i = 0; upstreams && i < upstreams->link_count; i++) {
        const struct upstream_link *link = &upstreams->links[i];
        links += link->upstream == upstream;
        up += link->upstream == upstream && link->is_up(link->link);
    }
    if (links == 0) {
        return UPSTREAM_OFF;
    }
    enum breaker_state breaker = worst_breaker(upstreams, upstream);
    if (breaker == BREAKER_OPEN) {
        return UPSTREAM_OPEN;
    }
    if (up == 0) {
        return UPSTREAM_CONNECTING;
    }
    return up < links || breaker == BREAKER_HALF_OPEN ? UPSTREAM_DEGRADED : UPSTREAM_UP;
}

const char *upstream_reason(const struct upstreams *upstreams, enum upstream upstream)
{
    for (size_t i = 0; upstreams && i < upstreams->link_count; i++) {
        const struct upstream_link *link = &upstreams->links[i];
        if (link->upstream == upstream && !link->is_up(link->link)) {
            const char *reason = link->reason(link->link);
            return reason[0] != '\0' ? reason : "not connected yet";
        }
    }
    enum upstream_state state = upstream_state(upstreams, upstream);
    return state == UPSTREAM_OPEN       ? "requests failed too often, the circuit is open"
           : state == UPSTREAM_DEGRADED ? "requests failed too often, one is tried"
                                        : "";
}

uint64_t upstream_rtt_us(const struct upstreams *upstreams, enum upstream upstream)
{
    for (size_t i = 0; upstreams && i < upstreams->link_count; i++) {
        const struct upstream_link *link = &upstreams->links[i];
        uint64_t rtt_us = link->upstream == upstream && link->rtt_us && link->is_up(link->link)
                              ? link->rtt_us(link->link)
                              : 0;
        if (rtt_us > 0) {
            return rtt_us;
        }
    }
    return 0;
}

void upstreams_publish(struct upstreams *upstreams)
{
    if (!upstreams) {
        return;
    }
    uint64_t now_ms = upstreams->now_ms();
    for (int upstream = 0; upstream < UPSTREAM_COUNT; upstream++) {
        metric_set(upstreams->states[upstream], upstream_state(upstreams, (enum upstream)upstream));
    }
    for (size_t i = 0; i < upstreams->breaker_count; i++) {
        const struct upstream_breaker *breaker = &upstreams->breakers[i];
        metric_set(breaker->state, breaker_state(breaker->breaker, now_ms));
        metric_set(breaker->failures, breaker->breaker->failures);
        metric_set(breaker->next_probe, (double)breaker_next_probe_ms(breaker->breaker, now_ms) / 1000.0);
    }
}
