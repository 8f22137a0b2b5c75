/**
 * Points of a KPI that are older than what memory keeps: read from PostgreSQL by the KPI's own query,
 * through the cache.
 *
 * Key: "<class>:history:<kpi>:<points>"; the class is the KPI's freshness class where the cache has one of that name, else default.
 *
 * Loop: loop thread. An answer may come before history_reader_get() returns.
 */
#ifndef SOPHIA_HISTORY_READER_H
#define SOPHIA_HISTORY_READER_H

#include <stdbool.h>
#include <stddef.h>

#include "cache/cache.h"
#include "io/pg_pool.h"
#include "pipeline.h"

struct history_reader;

struct history_reader_options {
    const struct pipeline *pipeline; /* for the definitions in force */
    struct cache *cache;
    struct pg_pool *pool;
};

/** Owns: what is in options outlives the reader; the cache and the pool's queries end before it does. NULL when memory ran out. */
struct history_reader *history_reader_create(const struct history_reader_options *options);
/** After cache_destroy() and pg_pool_destroy(). NULL is allowed. */
void history_reader_destroy(struct history_reader *reader);

/**
 * The newest points, as many as asked for if there are so many: the answer's value is "[[as_of, v], ...]", oldest first.
 * points: 1 .. HISTORY_READ_POINTS_MAX. kpi has a history_query. answer exactly once.
 */
void history_reader_get(struct history_reader *reader, const struct kpi *kpi, size_t points,
                        cache_answer_fn *answer, void *context);

#endif
