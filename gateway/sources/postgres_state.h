/**
 * Follows the state table and the list of changed relations (deploy/sql/10_state.sql).
 *
 * New is what is visible now and was not in the snapshot of the read before: nothing is missed, whatever
 * transactions are open, and nothing waits for them. Everything is read at the start, after a change of lineage, and
 * whenever the order may have lost something (pipeline_generation). Rows that left the table without a tombstone are
 * removed then; KPIs without rows show "no data".
 *
 * It never reports health itself: its owner does, with what on_problem says.
 *
 * Loop: loop thread. Callbacks may come from postgres_state_wake() and _link_up().
 */
#ifndef SOPHIA_SOURCES_POSTGRES_STATE_H
#define SOPHIA_SOURCES_POSTGRES_STATE_H

#include "base/clock.h"
#include "base/metrics.h"
#include "io/loop.h"
#include "io/pg_link.h"
#include "pipeline.h"

struct postgres_state;

struct postgres_state_options {
    struct loop *loop;
    struct pipeline *pipeline;
    struct metrics *metrics;
    const char *table; /* "sophia.kpi_state"; checked by the configuration, it becomes SQL */
    uint32_t poll_min_ms, poll_max_ms;
    struct moment (*now)(void);
    void *context; /* of the callbacks */
    /** Which history the server is in; "" while it is not known. */
    void (*on_lineage)(void *context, const char *lineage);
    /** Rows of "schema.table" changed. */
    void (*on_relation)(void *context, const char *relation);
    /** Any relation may have changed: everything was read. */
    void (*on_all_relations)(void *context);
    /** Why the table cannot be followed, or NULL again. Told when it changes. */
    void (*on_problem)(void *context, const char *reason);
    /** May the table be the only one that feeds this KPI? Then fields it does not have are removed. */
    bool (*owns)(void *context, const struct kpi *kpi);
};

/** Metrics: gw_pg_polls_total{kind}, gw_pg_rows_total{result}, gw_pg_horizon_age_seconds, gw_pg_horizon_stalled, gw_listen_lag_seconds. NULL when memory ran out. */
struct postgres_state *postgres_state_create(const struct postgres_state_options *options);
/** The connection it reads through; borrowed. Before the first _link_up(). */
void postgres_state_set_link(struct postgres_state *state, struct pg_link *link);
void postgres_state_link_up(struct postgres_state *state);
void postgres_state_link_down(struct postgres_state *state);
/** Something changed, or may have: read now. */
void postgres_state_wake(struct postgres_state *state);
/** Somebody else who reads this database was told OTHER_LINEAGE: boards are started afresh after the next full read. */
void postgres_state_restart_boards(struct postgres_state *state);
/** No submission begins after this. */
void postgres_state_stop(struct postgres_state *state);
/** Before its link. NULL is allowed. */
void postgres_state_destroy(struct postgres_state *state);

#endif
