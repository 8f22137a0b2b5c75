/**
 * A few PostgreSQL connections for queries that anyone may ask, behind one
 * circuit breaker. The first free connection takes the query; while all are
 * busy it waits in order, with a cap.
 *
 * Loop: as pg_link.h.
 */
#ifndef SOPHIA_IO_PG_POOL_H
#define SOPHIA_IO_PG_POOL_H

#include "io/breaker.h"
#include "io/pg_link.h"

struct pg_pool;

struct pg_pool_options {
    const struct pg_server *server;
    size_t size;        /* connections, all kept open */
    size_t max_waiting; /* queries that found none free; one more is refused */
    struct breaker_options breaker;
    uint64_t (*now_ms)(void); /* clock_monotonic_ms; tests pass their own */
};

/** Metrics: gw_pool_use (0..1), gw_pool_waiting, gw_pool_refused_total{reason}, gw_pg_query_seconds. NULL when memory ran out. */
struct pg_pool *pg_pool_create(struct loop *loop, struct metrics *metrics,
                               const struct pg_pool_options *options);
void pg_pool_start(struct pg_pool *pool);
void pg_pool_destroy(struct pg_pool *pool);
bool pg_pool_is_up(const struct pg_pool *pool);
/** Borrowed, for metrics and tiles. A connection that comes up closes it; only UNAVAILABLE failures count. */
const struct breaker *pg_pool_breaker(const struct pg_pool *pool);
/** 0..1: connections at work. */
double pg_pool_use(const struct pg_pool *pool);

/** Result: UNAVAILABLE (no connection, or the breaker is open), FULL, NO_MEMORY; on_result is then not called. */
MUST_CHECK enum result pg_pool_query(struct pg_pool *pool, const struct pg_query *query,
                                     pg_result_fn *on_result, void *context);

#endif
