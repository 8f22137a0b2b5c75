/*
 * One statement per read: its first row tells the snapshot that all its rows were seen with. Rows come in the order
 * of their transactions, so that those of one can be submitted together.
 */
#include "sources/postgres_state_rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sources/postgres_row.h"

enum { OID_TEXT = 25, MAX_CELLS = 16 };

/* In passing, and with the fallback too: the statement that is asked all the time is planned once, for any snapshot. */
#define PLAN_ONCE ", set_config('plan_cache_mode', 'force_generic_plan', false)"

const char state_lineage_sql[] = "select (select system_identifier from pg_control_system()) || '/' || "
                                 "substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) || '/' || "
                                 "(select oid from pg_database where datname = current_database())" PLAN_ONCE;

const char state_lineage_fallback_sql[] =
    "select 'started/' || (extract(epoch from pg_postmaster_start_time()) * 1000000)::bigint || '/' || "
    "(select oid from pg_database where datname = current_database())" PLAN_ONCE;

/* Columns behind these are members of the change, by name. */
enum {
    COLUMN_KIND,
    COLUMN_CHG,
    COLUMN_SNAPSHOT,
    COLUMN_DRAWN,
    COLUMN_FIELD,
    COLUMN_DELETED,
    COLUMN_VER,
    COLUMN_AS_OF
};

#define HEADER                                                                                      \
    "select 0 as kind, null::xid8 as chg, pg_current_snapshot()::text as snapshot, "                \
    "(select last_value from %s_version) as drawn, null::text as field, null::boolean as deleted, " \
    "null::bigint as ver, null::timestamptz as as_of, null::jsonb as value, null::numeric as num, " \
    "null::numeric as den, null::numeric as target, null::numeric as base, null::jsonb as points, " \
    "null::text as state, null::text as reason"
#define VALUES                                                                                               \
    "select 2, k.chg, null::text, null::bigint, k.field, k.deleted, k.ver, k.as_of, k.value, k.num, k.den, " \
    "k.target, k.base, k.points, k.state, k.reason from %s k "
/* The members of a value that this row does not have. */
#define NO_MEMBERS                                                                                       \
    "null::jsonb, null::numeric, null::numeric, null::numeric, null::numeric, null::jsonb, null::text, " \
    "null::text"
#define PAGE_SQL \
    HEADER " union all (" VALUES "where k.field > $1::text order by k.field limit %d) order by 1, 5"

/* A stamp that is not before this snapshot's end is another cluster's: only a full read sees such a row. */
#define IS_NEW(table)                                                                            \
    table ".chg >= pg_snapshot_xmin($1::pg_snapshot) and " table                                 \
          ".chg < pg_snapshot_xmax(pg_current_snapshot()) and not pg_visible_in_snapshot(" table \
          ".chg, $1::pg_snapshot)"
#define RELATIONS                                                                          \
    "select distinct 1, null::xid8, null::text, null::bigint, r.relation, null::boolean, " \
    "null::bigint, null::timestamptz, " NO_MEMBERS " from sophia.relation_change r where " IS_NEW("r")
#define DELETIONS                                                                           \
    "select 2, g.chg, null::text, null::bigint, g.field, true, g.ver, g.as_of, " NO_MEMBERS \
    " from %s_gone g where " IS_NEW("g") " order by g.chg limit %d"
#define NEWS_SQL                                                                     \
    HEADER " union all (" RELATIONS ") union all (" DELETIONS ") union all (" VALUES \
           "where " IS_NEW("k") " order by k.chg, k.ver limit %d) order by 1, 2, 7"

bool state_sql_init(struct state_sql *sql, const char *table)
{
    *sql = (struct state_sql){0};
    if (asprintf(&sql->page, PAGE_SQL, table, table, STATE_PAGE_ROWS) < 0) {
        sql->page = NULL; /* what asprintf() leaves there is not ours */
    }
    if (asprintf(&sql->news, NEWS_SQL, table, table, STATE_NEWS_ROWS + 1, table, STATE_NEWS_ROWS + 1) < 0) {
        sql->news = NULL;
    }
    return sql->page && sql->news;
}

void state_sql_finish(struct state_sql *sql)
{
    free(sql->page);
    free(sql->news);
    *sql = (struct state_sql){0};
}

static uint64_t number(const struct pg_result *result, size_t row, size_t column)
{
    const char *text = pg_text(result, row, column, NULL);
    return text ? strtoull(text, NULL, 10) : 0;
}

enum state_row_kind state_row_kind(const struct pg_result *result, size_t row)
{
    return (enum state_row_kind)number(result, row, COLUMN_KIND);
}

const char *state_row_field(const struct pg_result *result, size_t row)
{
    const char *field = pg_text(result, row, COLUMN_FIELD, NULL);
    return field ? field : "";
}

uint64_t state_row_transaction(const struct pg_result *result, size_t row)
{
    return number(result, row, COLUMN_CHG);
}

bool state_row_is_deleted(const struct pg_result *result, size_t row)
{
    const char *text = pg_text(result, row, COLUMN_DELETED, NULL);
    return text && *text == 't';
}

const char *state_header_snapshot(const struct pg_result *result)
{
    return pg_row_count(result) > 0 ? pg_text(result, 0, COLUMN_SNAPSHOT, NULL) : NULL;
}

uint64_t state_header_version(const struct pg_result *result)
{
    return number(result, 0, COLUMN_DRAWN);
}

static struct postgres_cell cell_at(const struct pg_result *result, size_t row, size_t column)
{
    struct postgres_cell cell = {.name = pg_column_name(result, column),
                                 .type = pg_column_type(result, column)};
    cell.text = pg_text(result, row, column, &cell.length);
    return cell;
}

static struct postgres_cell text_cell(const char *name, const char *text)
{
    return (struct postgres_cell){.name = name, .type = OID_TEXT, .text = text, .length = strlen(text)};
}

static struct postgres_cell *find_cell(struct postgres_cell *cells, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(cells[i].name, name) == 0) {
            return &cells[i];
        }
    }
    return NULL;
}

/* num without den is the value itself: numbers need no detour through JSON. */
static void use_num_as_value(struct postgres_cell *cells, size_t count)
{
    struct postgres_cell *value = find_cell(cells, count, "value");
    struct postgres_cell *num = find_cell(cells, count, "num");
    const struct postgres_cell *den = find_cell(cells, count, "den");
    if (value && num && den && !value->text && num->text && !den->text) {
        *value = *num;
        value->name = "value";
        num->text = NULL;
    }
}

/* The value keeps what it was; the screen says that it is no longer the newest. */
static void mark(const struct pg_result *result, size_t row, const char *detail, struct change *out_change)
{
    change_finish(out_change);
    *out_change = (struct change){.state = VALUE_INVALID, .has_version = true};
    out_change->version = number(result, row, COLUMN_VER);
    (void)snprintf(out_change->field, sizeof out_change->field, "%s", state_row_field(result, row));
    (void)snprintf(out_change->reason, sizeof out_change->reason, "%s", detail);
}

enum result state_row_read(const struct pg_result *result, size_t row, const struct kpi *kpi,
                           struct change *out_change, char out_detail[REASON_MAX_BYTES + 1])
{
    struct postgres_cell cells[MAX_CELLS];
    size_t count = 0;
    if (state_row_is_deleted(result, row) && !kpi_has_rows(kpi)) {
        cells[count++] = cell_at(result, row, COLUMN_FIELD);
        cells[count++] = cell_at(result, row, COLUMN_VER);
        cells[count++] = cell_at(result, row, COLUMN_AS_OF);
        cells[count++] = text_cell("state", value_state_name(VALUE_NO_DATA));
        cells[count++] = text_cell("reason", "its row was deleted");
    } else {
        for (size_t i = COLUMN_FIELD; i < pg_column_count(result) && count < MAX_CELLS; i++) {
            cells[count++] = cell_at(result, row, i);
        }
        use_num_as_value(cells, count);
    }
    enum result outcome = postgres_row_read(kpi, POSTGRES_ROW_OF_STATE, cells, count, out_change, out_detail);
    if (outcome != RESULT_OK) {
        mark(result, row, out_detail, out_change);
    }
    return outcome;
}

bool state_snapshot_parse(const char *text, uint64_t *out_lowest, uint64_t *out_next)
{
    char *end = NULL;
    uint64_t lowest = strtoull(text, &end, 10);
    if (end == text || *end != ':') {
        return false;
    }
    const char *second = end + 1;
    uint64_t next = strtoull(second, &end, 10);
    if (end == second || *end != ':') {
        return false;
    }
    *out_lowest = lowest;
    *out_next = next;
    return true;
}
