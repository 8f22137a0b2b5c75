/*
 * Deletions go first, so that a table that is full has room for the rows that follow. A row that cannot be read
 * leaves its field as it is, marked, when there is one: a field that nobody has seen yet needs no mark.
 */
#include "sources/postgres_rollup_result.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "sources/postgres_row.h"

enum { COLUMNS_MAX = 128 };

/* ---- the statement ---- */

char *rollup_statement(const char *query)
{
    static const char form[] =
        "select pg_catalog.pg_current_snapshot()::text as sophia_snapshot, q.*\n"
        "from (select 1) as one left join (select true as sophia_row, r.* from (\n%s\n) as r) as q "
        "on true";
    size_t size = sizeof form + strlen(query);
    char *statement = malloc(size);
    if (statement) {
        (void)snprintf(statement, size, form, query);
    }
    return statement;
}

enum { ORDER_BITS = 12, ORDER_MAX = (1 << ORDER_BITS) - 1 };

bool rollup_snapshot_order(const char *snapshot, uint64_t *out_order)
{
    const char *colon = strchr(snapshot, ':');
    char *end = NULL;
    unsigned long long xmax = colon ? strtoull(colon + 1, &end, 10) : 0;
    if (!colon || end == colon + 1 || *end != ':' || xmax > UINT64_MAX >> ORDER_BITS) {
        return false;
    }
    uint64_t running = end[1] == '\0' ? 0 : 1;
    for (const char *at = end + 1; *at != '\0'; at++) {
        running += *at == ',' ? 1 : 0;
    }
    *out_order = ((uint64_t)xmax << ORDER_BITS) + (ORDER_MAX - (running < ORDER_MAX ? running : ORDER_MAX));
    return true;
}

/* ---- reading an answer ---- */

/** One KPI's share of an answer. */
struct share {
    const struct kpi *kpi;
    const struct pipeline *pipeline;
    const struct pg_result *result;
    int kpi_column; /* of the rows' KPI; -1: every row is for it */
    uint64_t version;
    struct map fields; /* of the rows in the answer; values are not used */
    size_t rows;
    struct rollup_items *out;
};

static bool is_own_row(const struct share *share, size_t row)
{
    if (share->kpi_column < 0) {
        return true;
    }
    const char *id = pg_text(share->result, row, (size_t)share->kpi_column, NULL);
    return id && strcmp(id, share->kpi->id) == 0;
}

static size_t cells_of(const struct pg_result *result, size_t row, struct postgres_cell *out_cells)
{
    size_t count = pg_column_count(result);
    for (size_t i = 0; i < count; i++) {
        struct postgres_cell *cell = &out_cells[i];
        cell->name = pg_column_name(result, i);
        cell->type = pg_column_type(result, i);
        cell->length = 0;
        cell->text = pg_text(result, row, i, &cell->length);
    }
    return count;
}

static void problem_say(struct rollup_items *items, const char *field, const char *detail)
{
    if (items->refused++ == 0) {
        (void)snprintf(items->problem, sizeof items->problem, "%.60s: %.96s", field, detail);
    }
}

struct search {
    const char *field;
    size_t length;
    bool is_found;
};

static void search_visit(void *context, const char *field, size_t length)
{
    struct search *search = context;
    search->is_found |= length == search->length && memcmp(field, search->field, length) == 0;
}

static bool is_shown(const struct share *share, const char *field)
{
    struct search search = {.field = field, .length = strlen(field)};
    /* Not shown: not found. */
    (void)pipeline_each_field(share->pipeline, share->kpi->id, search_visit, &search);
    return search.is_found;
}

static bool mark_add(struct rollup_items *items, const char *field, size_t length, enum value_state state,
                     const char *reason)
{
    struct submission_item *item = batch_add_item(&items->batch);
    if (!item || length >= sizeof item->change.field) {
        return false;
    }
    memcpy(item->change.field, field, length);
    item->change.state = state;
    (void)snprintf(item->change.reason, sizeof item->change.reason, "%s", reason);
    return true;
}

static enum result row_refused(struct share *share, const char *field, const char *detail)
{
    problem_say(share->out, field, detail);
    bool leaves_trace = !kpi_has_rows(share->kpi) || is_shown(share, field);
    return !leaves_trace || mark_add(share->out, field, strlen(field), VALUE_INVALID, detail)
               ? RESULT_OK
               : RESULT_NO_MEMORY;
}

/** A reading's version orders readings; a row that brings its own keeps it. */
static void version_give(const struct share *share, struct change *change)
{
    if (!change->has_version) {
        change->has_version = true;
        change->is_version_hidden = true;
        change->version = share->version;
    }
}

static enum result row_read(struct share *share, size_t row)
{
    struct postgres_cell cells[COLUMNS_MAX];
    char detail[REASON_MAX_BYTES + 1];
    struct change change;
    size_t count = cells_of(share->result, row, cells);
    enum result result = postgres_row_read(share->kpi, POSTGRES_ROW_OF_QUERY, cells, count, &change, detail);
    if (result == RESULT_NO_MEMORY) {
        return result;
    }
    if (result != RESULT_OK) {
        enum result kept = map_put(&share->fields, change.field, strlen(change.field), share);
        return kept == RESULT_OK ? row_refused(share, change.field, detail) : kept;
    }
    struct submission_item *item = batch_add_item(&share->out->batch);
    if (!item || map_put(&share->fields, change.field, strlen(change.field), share) != RESULT_OK) {
        change_finish(&change);
        return RESULT_NO_MEMORY;
    }
    item->change = change;
    version_give(share, &item->change);
    return RESULT_OK;
}

static enum result nothing_read(struct share *share)
{
    struct submission_item *item = batch_add_item(&share->out->batch);
    if (!item) {
        return RESULT_NO_MEMORY;
    }
    (void)snprintf(item->change.field, sizeof item->change.field, "%s", share->kpi->id);
    item->change.state = VALUE_NO_DATA;
    (void)snprintf(item->change.reason, sizeof item->change.reason, "the query returned no row");
    version_give(share, &item->change);
    return RESULT_OK;
}

static enum result rows_read(struct share *share)
{
    size_t most = kpi_has_rows(share->kpi) ? share->kpi->cap : 1;
    enum result result = RESULT_OK;
    for (size_t row = 0; row < pg_row_count(share->result) && result == RESULT_OK; row++) {
        if (!is_own_row(share, row)) {
            continue;
        }
        if (share->rows++ < most) {
            result = row_read(share, row);
        }
    }
    if (result == RESULT_OK && share->rows > most) {
        char detail[REASON_MAX_BYTES + 1];
        (void)snprintf(detail, sizeof detail, "the query returned %zu rows, %zu are shown; limit it",
                       share->rows, most);
        problem_say(share->out, share->kpi->id, detail);
    }
    return result;
}

/* ---- rows that are gone ---- */

struct sweep {
    struct share *share;
    bool failed;
};

static void sweep_visit(void *context, const char *field, size_t length)
{
    struct sweep *sweep = context;
    if (sweep->failed || map_get(&sweep->share->fields, field, length)) {
        return;
    }
    struct submission_item *item = batch_add_item(&sweep->share->out->batch);
    if (!item || length >= sizeof item->change.field) {
        sweep->failed = true;
        return;
    }
    memcpy(item->change.field, field, length);
    item->change.is_delete = true;
    version_give(sweep->share, &item->change);
}

/** The rows' items are moved behind the deletions. */
static enum result gone_read(struct share *share, size_t first)
{
    size_t rows = share->out->batch.count - first;
    struct sweep sweep = {.share = share};
    /* Not shown: nothing to delete. */
    (void)pipeline_each_field(share->pipeline, share->kpi->id, sweep_visit, &sweep);
    size_t gone = share->out->batch.count - first - rows;
    if (sweep.failed || gone == 0 || rows == 0) {
        return sweep.failed ? RESULT_NO_MEMORY : RESULT_OK;
    }
    struct submission_item *aside = malloc(gone * sizeof *aside);
    if (!aside) {
        return RESULT_NO_MEMORY;
    }
    struct submission_item *items = &share->out->batch.items[first];
    memcpy(aside, items + rows, gone * sizeof *aside);
    memmove(items + gone, items, rows * sizeof *items);
    memcpy(items, aside, gone * sizeof *aside);
    free(aside);
    return RESULT_OK;
}

static enum result share_read(struct share *share)
{
    size_t first = share->out->batch.count;
    map_init(&share->fields, TABLE_ROWS_MAX);
    enum result result = rows_read(share);
    if (result == RESULT_OK && share->rows == 0 && !kpi_has_rows(share->kpi)) {
        result = nothing_read(share);
    }
    if (result == RESULT_OK && share->kpi->type == KPI_TABLE) {
        result = gone_read(share, first);
    }
    map_finish(&share->fields);
    share->out->rows += share->rows;
    return result;
}

static bool is_answer(const struct pg_result *result, int *out_snapshot, int *out_mark)
{
    *out_snapshot = pg_column(result, "sophia_snapshot");
    *out_mark = pg_column(result, "sophia_row");
    return *out_snapshot >= 0 && *out_mark >= 0 && pg_row_count(result) > 0 &&
           pg_column_count(result) <= COLUMNS_MAX;
}

enum result rollup_items_read(const struct pg_result *result, const struct kpi *const *kpis, size_t kpi_count,
                              const struct pipeline *pipeline, struct rollup_items *out_items)
{
    int snapshot = -1;
    int mark = -1;
    uint64_t version = 0;
    *out_items = (struct rollup_items){0};
    if (!is_answer(result, &snapshot, &mark)) {
        return RESULT_MALFORMED;
    }
    const char *seen = pg_text(result, 0, (size_t)snapshot, NULL);
    if (!seen || !rollup_snapshot_order(seen, &version)) {
        return RESULT_MALFORMED;
    }
    bool is_empty = pg_text(result, 0, (size_t)mark, NULL) == NULL;
    for (size_t i = 0; i < kpi_count; i++) {
        struct share share = {.kpi = kpis[i],
                              .pipeline = pipeline,
                              .result = result,
                              .kpi_column = pg_column(result, "kpi_id"),
                              .version = version,
                              .out = out_items};
        enum result outcome = RESULT_OK;
        if (is_empty) {
            share.kpi_column = mark; /* null in the only row: it is nobody's */
        }
        outcome = share_read(&share);
        if (outcome != RESULT_OK) {
            batch_finish(&out_items->batch);
            return outcome;
        }
    }
    return RESULT_OK;
}

/* ---- marks ---- */

struct marking {
    struct rollup_items *out;
    enum value_state state;
    const char *reason;
    bool failed;
};

static void mark_visit(void *context, const char *field, size_t length)
{
    struct marking *marking = context;
    marking->failed |= !mark_add(marking->out, field, length, marking->state, marking->reason);
}

enum result rollup_items_mark(const struct kpi *const *kpis, size_t kpi_count,
                              const struct pipeline *pipeline, enum value_state state, const char *reason,
                              struct rollup_items *out_items)
{
    struct marking marking = {.out = out_items, .state = state, .reason = reason};
    *out_items = (struct rollup_items){0};
    for (size_t i = 0; i < kpi_count; i++) {
        if (kpis[i]->type == KPI_TABLE) {
            /* Not shown: nothing to mark. */
            (void)pipeline_each_field(pipeline, kpis[i]->id, mark_visit, &marking);
        } else if (!kpi_has_rows(kpis[i])) {
            mark_visit(&marking, kpis[i]->id, strlen(kpis[i]->id));
        }
    }
    if (marking.failed) {
        batch_finish(&out_items->batch);
        return RESULT_NO_MEMORY;
    }
    return RESULT_OK;
}
