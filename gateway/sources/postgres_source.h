/**
 * PostgreSQL as a source: the state table, queries of definitions, plain NOTIFY channels.
 *
 * Three kinds of connections: one that listens, one that follows the state table, and the pool for everything else, so that
 * neither a deaf listener nor slow queries hold up what is followed. LISTEN is asked for first, then everything is read.
 * The listening connection sends itself a notification every few seconds: nothing else finds one that is up and deaf.
 */
#ifndef SOPHIA_SOURCES_POSTGRES_SOURCE_H
#define SOPHIA_SOURCES_POSTGRES_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/metrics.h"
#include "cache/cache.h"
#include "io/loop.h"
#include "io/pg_pool.h"
#include "pipeline.h"
#include "sources/postgres_mapping.h"
#include "sources/source.h"

struct postgres_source_options {
    struct loop *loop;
    struct pipeline *pipeline;
    struct metrics *metrics;
    const struct pg_server *server; /* where the listening and the following connection go */
    struct pg_pool *pool;           /* the same server; started by its owner */
    struct cache *cache;            /* NULL: none */
    const char *table;              /* "sophia.kpi_state" */
    uint32_t poll_min_ms, poll_max_ms;
    const struct postgres_mapping *mappings;
    size_t mapping_count;
    bool has_rollups; /* read the queries of definitions */
    /** Does this process do what one does for all (queries, notifications)? Asked every second and at every change. NULL: always. */
    bool (*is_leader)(void *context);
    void *leader_context;
    uint32_t heartbeat_ms; /* a notification to itself; 0: POSTGRES_HEARTBEAT_MS */
    struct moment (*now)(void);
};

enum { POSTGRES_HEARTBEAT_MS = 5000, POSTGRES_HEARTBEAT_ANSWER_MS = 2000 };

/**
 * Owns:   everything in options outlives the source, except that pool and cache may answer after it is gone.
 * Metrics: gw_pg_listening, gw_pg_heartbeats_lost_total, and those of its parts. NULL when memory ran out.
 */
struct source *postgres_source_create(const struct postgres_source_options *options);
/** is_leader() says something else now. */
void postgres_source_leader_changed(struct source *source);
/** Borrowed, for whoever tells how upstreams are. */
struct pg_link *postgres_source_listener(struct source *source);
struct pg_link *postgres_source_follower(struct source *source);

#endif
