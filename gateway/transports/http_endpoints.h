/**
 * What is read by plain GET: boards and their definitions, recent points, health, metrics.
 *
 * Everything below /api/v1/ and the health levels beyond basic need the viewer key or a token where viewers
 * do; /health (basic), /health/live, /health/ready and /metrics never do and name no peer.
 * Spec: PROTOCOL.md, "HTTP".
 */
#ifndef SOPHIA_TRANSPORTS_HTTP_ENDPOINTS_H
#define SOPHIA_TRANSPORTS_HTTP_ENDPOINTS_H

#include <stdbool.h>
#include <stdint.h>

#include "access/access.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "cache/cache.h"
#include "health.h"
#include "history_reader.h"
#include "io/listener.h"
#include "pipeline.h"

struct http_endpoints;

struct http_endpoints_options {
    struct listener *listener;
    struct listener *admin_listener; /* what is for operators is only there; NULL: it is on the other one */
    struct pipeline *pipeline;
    const struct access *access;
    struct metrics *metrics;
    const struct health *health;
    const char *node;  /* name of this process */
    const char *build; /* version */
    bool is_demo;
    uint32_t max_viewers; /* told by the diagnostic level, as is the next */
    uint32_t heartbeat_ms;
    struct history_reader *history; /* for points that memory does not keep; NULL: none */
    struct cache *cache;            /* to clear; NULL: switched off */
    struct moment (*now)(void);     /* clock_moment; tests pass their own */
};

/** Adds the routes. Owns: everything in options outlives it. NULL when memory ran out. */
struct http_endpoints *http_endpoints_create(const struct http_endpoints_options *options);
/** After the listener is gone. NULL is allowed. */
void http_endpoints_destroy(struct http_endpoints *endpoints);

#endif
