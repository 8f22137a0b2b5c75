/**
 * POST /api/v1/data-flow/cache/clear: an operator has the cache forget one key or one class, in every process.
 *
 * Spec: PROTOCOL.md, "Clearing the cache".
 */
#ifndef SOPHIA_TRANSPORTS_CACHE_ENDPOINT_H
#define SOPHIA_TRANSPORTS_CACHE_ENDPOINT_H

#include "access/access.h"
#include "base/metrics.h"
#include "cache/cache.h"
#include "io/listener.h"

struct cache_endpoint;

struct cache_endpoint_options {
    struct listener *listener;
    const struct access *access;
    struct metrics *metrics;
    struct cache *cache; /* NULL: it is switched off, and says so */
};

/** Adds its route. Owns: everything in options outlives it. NULL when memory ran out. */
struct cache_endpoint *cache_endpoint_create(const struct cache_endpoint_options *options);
/** After the listener is gone. NULL is allowed. */
void cache_endpoint_destroy(struct cache_endpoint *endpoint);

#endif
