/**
 * The statements that read the state table, and their rows as changes. Only postgres_state.c includes this.
 */
#ifndef SOPHIA_SOURCES_POSTGRES_STATE_ROWS_H
#define SOPHIA_SOURCES_POSTGRES_STATE_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "catalog/catalog.h"
#include "io/pg_link.h"
#include "protocol/change.h"

enum {
    STATE_PAGE_ROWS = 1000, /* of a full read */
    STATE_NEWS_ROWS = 5000, /* of a read of what is new; more of them: everything is read, page by page */
};

struct state_sql {
    char *page; /* $1: the field before, "" for the first page */
    char *news; /* $1: the snapshot before */
};

/** table becomes part of the statements. false: memory ran out. */
bool state_sql_init(struct state_sql *sql, const char *table);
void state_sql_finish(struct state_sql *sql);

/** Which history the server is in; and where that may not be read, something that changes at least as often. */
extern const char state_lineage_sql[];
extern const char state_lineage_fallback_sql[];

enum state_row_kind {
    STATE_HEADER,   /* the first row of every answer: snapshot, newest version drawn */
    STATE_RELATION, /* a relation that changed */
    STATE_VALUE,
};
enum state_row_kind state_row_kind(const struct pg_result *result, size_t row);
/** Of a value, or the relation's name. */
const char *state_row_field(const struct pg_result *result, size_t row);
/** Which transaction wrote it. */
uint64_t state_row_transaction(const struct pg_result *result, size_t row);
bool state_row_is_deleted(const struct pg_result *result, size_t row);
/** Of the header: the snapshot, or the newest version that was drawn. */
const char *state_header_snapshot(const struct pg_result *result);
uint64_t state_header_version(const struct pg_result *result);

/**
 * A value as a change of this KPI. A deletion of what has no rows becomes "no data", and a row that
 * cannot be read becomes a mark on the value that is known, with its version.
 *
 * Owns:   the caller calls change_finish().
 * Result: OK, or why it could not be read (postgres_row_read); the mark is to be submitted all the same.
 */
MUST_CHECK enum result state_row_read(const struct pg_result *result, size_t row, const struct kpi *kpi,
                                      struct change *out_change, char out_detail[REASON_MAX_BYTES + 1]);

/** What a snapshot's text says of transactions: all below out_lowest had ended, none from out_next on had begun. */
bool state_snapshot_parse(const char *text, uint64_t *out_lowest, uint64_t *out_next);

#endif
