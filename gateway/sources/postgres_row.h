/**
 * One row of a query, or of the state table, as a change.
 *
 * Columns carry the members of the change envelope by name (PROTOCOL.md, "Changes"); docs/definitions.md,
 * "Columns of a query", says which. A cell is judged by the type of its column and by what the KPI wants there: numeric stays
 * decimal text for money, a time needs its zone, nothing is guessed. Pure: cells are borrowed text, no server is needed.
 */
#ifndef SOPHIA_SOURCES_POSTGRES_ROW_H
#define SOPHIA_SOURCES_POSTGRES_ROW_H

#include <stddef.h>
#include <stdint.h>

#include "catalog/catalog.h"
#include "protocol/change.h"
#include "protocol/result.h"

/** One value as the server sends it in text form, with DateStyle ISO and in UTF-8. */
struct postgres_cell {
    const char *name; /* of the column */
    uint32_t type;    /* OID */
    const char *text; /* NULL: null */
    size_t length;
};

enum postgres_row_form {
    /**
     * A query of a definition: value | num and den, as_of, target, base, points, state, reason, version; key for
     * KPIs with rows; every other column is a column of the row or a part of the mix. A name that is a column or
     * part of the KPI is that, whatever else it could mean. kpi_id and names that begin with sophia_ are the caller's.
     */
    POSTGRES_ROW_OF_QUERY,
    /**
     * A row of the state table: the same members, `value` is the whole value (jsonb), and `field` instead
     * of key. `deleted` true makes it a deletion, and nothing else is read then. Other columns are the caller's.
     */
    POSTGRES_ROW_OF_STATE,
};

/**
 * Null means: value, num or den - no data (unless state says more); as_of - the time of the read; others - not told.
 *
 * Owns:   on RESULT_OK the caller calls change_finish(); otherwise out_change only has its field: the row's when it could
 *         be read, else the KPI's.
 * Result: WRONG_TYPE, OUT_OF_RANGE, MISSING_FIELD, UNKNOWN_FIELD, MALFORMED, INVALID_TEXT, TOO_BIG, TOO_DEEP, NO_MEMORY;
 *         out_detail then names the column, e.g. `column "value": NaN is not a number`.
 */
MUST_CHECK enum result postgres_row_read(const struct kpi *kpi, enum postgres_row_form form,
                                         const struct postgres_cell *cells, size_t count,
                                         struct change *out_change, char out_detail[REASON_MAX_BYTES + 1]);

/** "2026-11-21 10:00:00.123+00" to Unix milliseconds. Result: WRONG_TYPE when it is not a time with a zone. */
MUST_CHECK enum result postgres_time_parse(const char *text, int64_t *out_ms);

#endif
