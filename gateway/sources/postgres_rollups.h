/**
 * Reads the KPIs whose definition has a query, and tells what they are now.
 *
 * A query is asked when one of its relations changed, and by the clock so that ages and sliding windows stay true: at
 * 80 % of the KPI's cadence_s, or 40 % of what its class calls fresh. One query is in flight at most once, and not asked more often than
 * every 50 ms or four times its own cost; the last change is always followed by a read. KPIs with the same query are read
 * together and told in one transaction. The version of a reading is the order of its snapshot, so two processes that read at
 * the same time agree on who saw more.
 *
 * A query that fails marks what it feeds (unreachable, or invalid) with the reason, and is tried again with backoff; the
 * others go on.
 *
 * Loop: loop thread; calls back from the pool, the pipeline and its timer.
 */
#ifndef SOPHIA_SOURCES_POSTGRES_ROLLUPS_H
#define SOPHIA_SOURCES_POSTGRES_ROLLUPS_H

#include "base/clock.h"
#include "base/metrics.h"
#include "io/loop.h"
#include "io/pg_pool.h"
#include "pipeline.h"

struct postgres_rollups;

struct postgres_rollups_options {
    struct loop *loop;
    struct pipeline *pipeline;
    struct pg_pool *pool;
    struct metrics *metrics;
    struct moment (*now)(void); /* clock_moment */
    /** A board refused a reading because it knows another lineage: pipeline_restart_source() is the owner's. May be NULL. */
    void (*on_other_lineage)(void *context);
    void *context;
};

/** Owns: everything in options outlives the reader. Begins inactive. NULL when memory ran out. */
struct postgres_rollups *postgres_rollups_create(const struct postgres_rollups_options *options);
/** What is in flight is forgotten; pool and pipeline may still answer. NULL is allowed. */
void postgres_rollups_destroy(struct postgres_rollups *rollups);

/**
 * Whether this process is the one that reads, and from which history of the database. Becoming active, or another
 * lineage, reads everything. lineage is copied; NULL only with false.
 */
void postgres_rollups_set_active(struct postgres_rollups *rollups, bool is_active, const char *lineage);
/** "schema.table" changed. While inactive nothing is remembered: becoming active reads everything. */
void postgres_rollups_relation_changed(struct postgres_rollups *rollups, const char *relation);
/** Read everything now: what was told may be lost. */
void postgres_rollups_refresh_all(struct postgres_rollups *rollups);

#endif
