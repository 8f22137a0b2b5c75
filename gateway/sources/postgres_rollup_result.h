/**
 * The answer to a roll-up query as items of one submission.
 */
#ifndef SOPHIA_SOURCES_POSTGRES_ROLLUP_RESULT_H
#define SOPHIA_SOURCES_POSTGRES_ROLLUP_RESULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "catalog/catalog.h"
#include "io/pg_link.h"
#include "pipeline.h"
#include "sources/batch.h"

struct rollup_items {
    struct batch batch;                 /* owned */
    size_t rows;                        /* of the answer */
    size_t refused;                     /* rows that could not be read */
    char problem[REASON_MAX_BYTES + 1]; /* the first of them, with its KPI; "" when there is none */
};

/**
 * The statement that is asked: the query's rows in order, each with sophia_snapshot and sophia_row; one row of nulls beside
 * the snapshot when there are none. To be freed; NULL when memory ran out.
 */
char *rollup_statement(const char *query);

/**
 * "xmin:xmax:xip,xip" as a number that is greater for whoever saw more: by xmax, then by how few were in progress below
 * it - for one xmax that set only shrinks. false when it is no snapshot.
 */
bool rollup_snapshot_order(const char *snapshot, uint64_t *out_order);

/**
 * What these KPIs are after this answer: values, rows, deletions of a table's rows that are gone, marks for what could not be read.
 * Result: NO_MEMORY, or MALFORMED when the answer is not one of rollup_statement().
 */
MUST_CHECK enum result rollup_items_read(const struct pg_result *result, const struct kpi *const *kpis,
                                         size_t kpi_count, const struct pipeline *pipeline,
                                         struct rollup_items *out_items);

/** Marks for everything these KPIs show: a single value, each row of a table. Feeds and series say what happened, and keep saying it. */
MUST_CHECK enum result rollup_items_mark(const struct kpi *const *kpis, size_t kpi_count,
                                         const struct pipeline *pipeline, enum value_state state,
                                         const char *reason, struct rollup_items *out_items);

#endif
