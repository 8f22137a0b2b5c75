/*
 * One row as a change: every type of column in every place it may go to, null, and what is refused with which words. What
 * passes also goes through the door (catalog_admit), so that a row and its definition are judged together.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "catalog/catalog.h"
#include "sources/postgres_row.h"

#define NOW_MS 1795254000000LL /* 2026-11-21 09:40:00 UTC */

enum {
    BOOL = 16,
    BYTEA = 17,
    INT8 = 20,
    INT4 = 23,
    TEXT = 25,
    JSON = 114,
    FLOAT8 = 701,
    MONEY = 790,
    TEXT_ARRAY = 1009,
    DATE = 1082,
    TIMESTAMP = 1114,
    TIMESTAMPTZ = 1184,
    INTERVAL = 1186,
    NUMERIC = 1700,
    JSONB = 3802,
    AN_ENUM = 16400,
};

static struct catalog *catalog;

static int load(void **context)
{
    (void)context;
    struct catalog_report report;
    catalog_report_init(&report);
    catalog = catalog_load(DEFINITIONS, &report);
    if (!catalog) {
        fail_msg("%.*s", (int)report.text.length, report.text.at);
    }
    catalog_report_finish(&report);
    return 0;
}

static int unload(void **context)
{
    (void)context;
    catalog_unref(catalog);
    return 0;
}

static const struct kpi *kpi_of(const char *id)
{
    const struct kpi *kpi = catalog_kpi(catalog, id, strlen(id));
    if (!kpi) {
        fail_msg("no KPI %s", id);
    }
    return kpi;
}

enum { CELLS_MAX = 12 };

struct cells {
    struct postgres_cell at[CELLS_MAX];
    size_t count;
};

#define CELLS(...)                 \
    ((struct cells){{__VA_ARGS__}, \
                    sizeof((struct postgres_cell[]){__VA_ARGS__}) / sizeof(struct postgres_cell)})
#define CELL(column, oid, value)                                                      \
    {                                                                                 \
        .name = (column), .type = (oid), .text = (value), .length = sizeof(value) - 1 \
    }
#define NOTHING(column, oid)            \
    {                                   \
        .name = (column), .type = (oid) \
    }

static enum result read_as(enum postgres_row_form form, const char *id, const struct cells *cells,
                           struct change *out_change, char *out_detail)
{
    return postgres_row_read(kpi_of(id), form, cells->at, cells->count, out_change, out_detail);
}

/** The row is read, admitted, and its wire text is this. */
static void assert_text_as(enum postgres_row_form form, const char *id, struct cells cells, const char *field,
                           const char *expected)
{
    struct change change;
    char detail[REASON_MAX_BYTES + 1] = "";
    enum result result = read_as(form, id, &cells, &change, detail);
    if (result != RESULT_OK) {
        fail_msg("%s: %s", result_name(result), detail);
    }
    assert_string_equal(change.field, field);
    struct bytes text;
    struct admitted_value value;
    bytes_init(&text, 65536);
    result = catalog_admit(kpi_of(id), &change, NOW_MS, &text, &value, detail);
    if (result != RESULT_OK) {
        fail_msg("not admitted, %s: %s", result_name(result), detail);
    }
    bytes_append_byte(&text, '\0');
    assert_string_equal(text.at, expected);
    bytes_finish(&text);
    change_finish(&change);
}

static void assert_text(const char *id, struct cells cells, const char *expected)
{
    assert_text_as(POSTGRES_ROW_OF_QUERY, id, cells, id, expected);
}

static void assert_refused(const char *id, struct cells cells, enum result expected, const char *words)
{
    struct change change;
    char detail[REASON_MAX_BYTES + 1] = "";
    enum result result = read_as(POSTGRES_ROW_OF_QUERY, id, &cells, &change, detail);
    assert_string_equal(result_name(result), result_name(expected));
    if (!strstr(detail, words)) {
        fail_msg("\"%s\" does not say \"%s\"", detail, words);
    }
    assert_null(change.value);
    assert_true(strncmp(change.field, id, strlen(id)) == 0); /* known even so */
}

#define AT CELL("as_of", TIMESTAMPTZ, "2026-11-21 09:39:58.250+00")
#define AS_OF "{\"as_of\":1795253998250"

/* ---- values ---- */

static void test_numbers_of_every_type_become_numbers(void **context)
{
    (void)context;
    assert_text("exec.customer_health", CELLS(CELL("value", NUMERIC, "78.1"), AT), AS_OF ",\"v\":78.1");
    assert_text("exec.customer_health", CELLS(CELL("value", NUMERIC, "78.100"), AT), AS_OF ",\"v\":78.1");
    assert_text("exec.customer_health", CELLS(CELL("value", FLOAT8, "7.81e1"), AT), AS_OF ",\"v\":78.1");
    assert_text("exec.customer_health", CELLS(CELL("value", INT4, "78"), AT), AS_OF ",\"v\":78");
    assert_text("exec.customer_health", CELLS(CELL("value", BOOL, "t"), AT), AS_OF ",\"v\":1");
    assert_text("exec.customer_health", CELLS(CELL("value", JSONB, "78.1"), AT), AS_OF ",\"v\":78.1");
    assert_text("know.documents", CELLS(CELL("value", INT8, "8200"), AT), AS_OF ",\"v\":8200");
    assert_text("know.documents", CELLS(CELL("value", NUMERIC, "8200"), AT), AS_OF ",\"v\":8200");
    assert_text("exec.sentiment_avg", CELLS(CELL("value", NUMERIC, "-0.3150"), AT), AS_OF ",\"v\":-0.315");
}

static void test_numbers_that_cannot_be_shown_are_refused(void **context)
{
    (void)context;
    const char *id = "exec.customer_health";
    assert_refused(id, CELLS(CELL("value", NUMERIC, "NaN")), RESULT_OUT_OF_RANGE,
                   "column \"value\": NaN is not");
    assert_refused(id, CELLS(CELL("value", FLOAT8, "Infinity")), RESULT_OUT_OF_RANGE,
                   "column \"value\": Infinity");
    assert_refused(id, CELLS(CELL("value", NUMERIC, "-Infinity")), RESULT_OUT_OF_RANGE, "-Infinity");
    assert_refused("know.documents", CELLS(CELL("value", INT8, "9007199254740993")), RESULT_OUT_OF_RANGE,
                   "9007199254740993 is beyond the integers that stay exact");
    assert_refused(id, CELLS(CELL("value", TEXT, "78")), RESULT_WRONG_TYPE,
                   "a number is wanted; cast it to numeric");
    assert_refused(id, CELLS(CELL("value", INTERVAL, "01:00:00")), RESULT_WRONG_TYPE, "extract(epoch from");
    assert_refused(id, CELLS(CELL("value", TIMESTAMPTZ, "2026-11-21 09:39:58+00")), RESULT_WRONG_TYPE,
                   "it is a time");
    assert_refused(id, CELLS(CELL("value", TEXT_ARRAY, "{a}")), RESULT_WRONG_TYPE, "it is an array");
    assert_refused(id, CELLS(CELL("value", BYTEA, "\\x00")), RESULT_WRONG_TYPE, "bytes cannot be shown");
    assert_refused(id, CELLS(CELL("value", JSONB, "[1]")), RESULT_WRONG_TYPE, "column \"value\": wrong_type");
    assert_refused(id, CELLS(CELL("value", JSON, "{")), RESULT_MALFORMED, "column \"value\": not JSON");
    assert_refused(id, CELLS(CELL("value", JSON, "[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]")), RESULT_TOO_DEEP,
                   "nested more than");
}

static void test_money_is_never_a_double(void **context)
{
    (void)context;
    const char *id = "exec.revenue_mtd";
    assert_text(id, CELLS(CELL("value", NUMERIC, "999999999999.99"), AT), AS_OF ",\"v\":\"999999999999.99\"");
    assert_text(id, CELLS(CELL("value", NUMERIC, "1284300.5000"), AT), AS_OF ",\"v\":\"1284300.50\"");
    assert_text(id, CELLS(CELL("value", INT8, "1284300"), AT), AS_OF ",\"v\":\"1284300.00\"");
    assert_text(id, CELLS(CELL("value", TEXT, "1284300.5"), AT), AS_OF ",\"v\":\"1284300.50\"");
    assert_text(id, CELLS(CELL("value", FLOAT8, "1284300.5"), AT), AS_OF ",\"v\":\"1284300.50\"");
    assert_text(id, CELLS(CELL("value", JSONB, "\"1284300.50\""), AT), AS_OF ",\"v\":\"1284300.50\"");
    assert_text(id,
                CELLS(CELL("value", NUMERIC, "1.50"), CELL("target", NUMERIC, "2.00"),
                      CELL("base", NUMERIC, "1.25"), AT),
                AS_OF ",\"v\":\"1.50\",\"target\":\"2.00\",\"base\":\"1.25\"");
    assert_refused(id, CELLS(CELL("value", MONEY, "$1,284,300.50")), RESULT_WRONG_TYPE, "cast it to numeric");
}

static void test_a_ratio_travels_as_its_parts(void **context)
{
    (void)context;
    const char *id = "know.embedding_coverage";
    assert_text(id, CELLS(CELL("num", INT8, "98"), CELL("den", INT8, "100"), AT),
                AS_OF ",\"v\":0.98,\"num\":98,\"den\":100");
    assert_text(id, CELLS(CELL("num", INT8, "0"), CELL("den", INT8, "0"), AT),
                AS_OF ",\"state\":\"nodata\",\"reason\":\"the denominator is 0\",\"num\":0,\"den\":0");
    assert_text(id, CELLS(NOTHING("num", NUMERIC), CELL("den", INT8, "0"), AT),
                AS_OF ",\"state\":\"nodata\",\"reason\":\"the source has no value\"");
    assert_refused(id,
                   CELLS(CELL("value", NUMERIC, "0.98"), CELL("num", INT8, "98"), CELL("den", INT8, "100")),
                   RESULT_MALFORMED, "column \"num\"");
}

static void test_null_is_no_data(void **context)
{
    (void)context;
    assert_text("exec.customer_health", CELLS(NOTHING("value", NUMERIC), AT),
                AS_OF ",\"state\":\"nodata\",\"reason\":\"the source has no value\"");
    assert_text("exec.customer_health",
                CELLS(NOTHING("value", NUMERIC), CELL("reason", TEXT, "nobody counted"), AT),
                AS_OF ",\"state\":\"nodata\",\"reason\":\"nobody counted\"");
    assert_text("exec.customer_health", CELLS(CELL("value", JSONB, "null"), AT),
                AS_OF ",\"state\":\"nodata\",\"reason\":\"the source has no value\"");
    assert_text("exec.customer_health", CELLS(AT),
                AS_OF ",\"state\":\"nodata\",\"reason\":\"the source has no value\"");
    assert_text("exec.customer_health",
                CELLS(CELL("value", INT4, "78"), NOTHING("target", NUMERIC), NOTHING("base", NUMERIC),
                      NOTHING("points", JSONB), NOTHING("state", TEXT), NOTHING("reason", TEXT),
                      NOTHING("version", INT8), AT),
                AS_OF ",\"v\":78");
}

static void test_a_state_says_more(void **context)
{
    (void)context;
    const char *id = "exec.customer_health";
    assert_text(id,
                CELLS(CELL("value", INT4, "78"), CELL("state", TEXT, "partial"),
                      CELL("reason", TEXT, "without the CRM"), AT),
                AS_OF ",\"state\":\"partial\",\"reason\":\"without the CRM\",\"v\":78");
    assert_text(id,
                CELLS(NOTHING("value", INT4), CELL("state", TEXT, "unreachable"),
                      CELL("reason", TEXT, "the CRM is down"), AT),
                AS_OF ",\"state\":\"unreachable\",\"reason\":\"the CRM is down\"");
    assert_refused(id, CELLS(CELL("value", INT4, "78"), CELL("state", TEXT, "fine")), RESULT_OUT_OF_RANGE,
                   "column \"state\"");
    assert_refused(id, CELLS(CELL("value", INT4, "78"), CELL("state", TEXT, "nodata")), RESULT_MALFORMED,
                   "column \"state\"");
}

static void test_a_long_reason_is_cut_between_characters(void **context)
{
    (void)context;
    char text[400];
    struct cells cells = CELLS(NOTHING("value", INT4), {.name = "reason", .type = TEXT, .text = text});
    memset(text, 'x', REASON_MAX_BYTES - 1);
    strcpy(text + REASON_MAX_BYTES - 1, "\xc3\xa9 and more");
    cells.at[1].length = strlen(text);
    struct change change;
    char detail[REASON_MAX_BYTES + 1];
    assert_int_equal(read_as(POSTGRES_ROW_OF_QUERY, "exec.customer_health", &cells, &change, detail),
                     RESULT_OK);
    assert_int_equal(strlen(change.reason), REASON_MAX_BYTES - 1);
    change_finish(&change);
}

/* ---- times ---- */

static void test_times_need_their_zone(void **context)
{
    (void)context;
    const char *id = "know.documents";
    struct cells one =
        CELLS(CELL("value", INT8, "1"), CELL("as_of", TIMESTAMPTZ, "2026-11-21 15:09:58.25+05:30"));
    assert_text(id, one, AS_OF ",\"v\":1");
    assert_text(id, CELLS(CELL("value", INT8, "1"), CELL("as_of", TIMESTAMPTZ, "2026-11-21 04:39:58.25-05")),
                AS_OF ",\"v\":1");
    assert_text(id, CELLS(CELL("value", INT8, "1"), CELL("as_of", INT8, "1795253998250")), AS_OF ",\"v\":1");
    assert_text(id, CELLS(CELL("value", INT8, "1"), CELL("as_of", TEXT, "2026-11-21T09:39:58.250Z")),
                AS_OF ",\"v\":1");
    /* without one, the time of the read */
    assert_text(id, CELLS(CELL("value", INT8, "1"), NOTHING("as_of", TIMESTAMPTZ)),
                "{\"as_of\":1795254000000,\"v\":1");
    assert_refused(id, CELLS(CELL("value", INT8, "1"), CELL("as_of", TIMESTAMP, "2026-11-21 09:39:58")),
                   RESULT_WRONG_TYPE, "column \"as_of\": it has no time zone; cast it to timestamptz");
    assert_refused(id, CELLS(CELL("value", INT8, "1"), CELL("as_of", DATE, "2026-11-21")), RESULT_WRONG_TYPE,
                   "cast it to timestamptz");
    assert_refused(id, CELLS(CELL("value", INT8, "1"), CELL("as_of", TIMESTAMPTZ, "infinity")),
                   RESULT_WRONG_TYPE, "\"infinity\" is not a time");
    assert_refused(id,
                   CELLS(CELL("value", INT8, "1"), CELL("as_of", TIMESTAMPTZ, "0044-03-15 00:00:00+00 BC")),
                   RESULT_WRONG_TYPE, "is not a time");
    assert_refused(id, CELLS(CELL("value", INT8, "1"), CELL("as_of", NUMERIC, "1795253998.25")),
                   RESULT_WRONG_TYPE, "column \"as_of\": a time is wanted");
}

static void test_a_time_of_the_server_in_milliseconds(void **context)
{
    (void)context;
    int64_t ms = 0;
    assert_int_equal(postgres_time_parse("1970-01-01 00:00:00.001999+00", &ms), RESULT_OK);
    assert_int_equal(ms, 1);
    assert_int_equal(postgres_time_parse("2026-11-21 09:39:58+00", &ms), RESULT_OK);
    assert_int_equal(ms, 1795253998000);
    assert_int_equal(postgres_time_parse("2026-11-21 09:39:58", &ms), RESULT_WRONG_TYPE);
    assert_int_equal(postgres_time_parse("2026-11-21", &ms), RESULT_WRONG_TYPE);
    assert_int_equal(postgres_time_parse("21/11/2026 09:39:58 UTC", &ms), RESULT_WRONG_TYPE);
    assert_int_equal(postgres_time_parse("", &ms), RESULT_WRONG_TYPE);
    assert_int_equal(postgres_time_parse("12026-11-21 09:39:58+00", &ms), RESULT_WRONG_TYPE);
    assert_int_equal(postgres_time_parse("1834-11-21 09:39:58+00:53:28", &ms), RESULT_WRONG_TYPE);
}

/* ---- points, versions, columns that are not meant ---- */

static void test_points_and_versions_are_those_of_the_envelope(void **context)
{
    (void)context;
    struct change change;
    char detail[REASON_MAX_BYTES + 1];
    struct cells cells = CELLS(CELL("value", INT4, "78"),
                               CELL("points", JSONB, "[[1795167600000, 77.5], [1795171200000, 78]]"),
                               CELL("version", INT8, "17"));
    assert_int_equal(read_as(POSTGRES_ROW_OF_QUERY, "exec.customer_health", &cells, &change, detail),
                     RESULT_OK);
    assert_int_equal(json_array_size(change.points), 2);
    assert_true(change.has_version);
    assert_int_equal(change.version, 17);
    change_finish(&change);
    assert_refused("exec.customer_health", CELLS(CELL("value", INT4, "78"), CELL("points", TEXT, "[[1,2]]")),
                   RESULT_WRONG_TYPE, "column \"points\": points are json");
    assert_refused("exec.customer_health",
                   CELLS(CELL("value", INT4, "78"), CELL("points", JSONB, "[[1.5,2]]")), RESULT_WRONG_TYPE,
                   "column \"points\"");
    assert_refused("exec.customer_health", CELLS(CELL("value", INT4, "78"), CELL("version", INT8, "0")),
                   RESULT_OUT_OF_RANGE, "column \"version\"");
}

static void test_a_column_that_means_nothing_is_refused(void **context)
{
    (void)context;
    assert_refused("exec.customer_health", CELLS(CELL("valu", INT4, "78")), RESULT_UNKNOWN_FIELD,
                   "column \"valu\": exec.customer_health has no such column");
    assert_refused("exec.customer_health", CELLS(CELL("value", INT4, "78"), CELL("key", TEXT, "a")),
                   RESULT_UNKNOWN_FIELD, "only a table, feed or series has one");
    /* the reader's own */
    assert_text("exec.customer_health",
                CELLS(CELL("kpi_id", TEXT, "exec.customer_health"), CELL("sophia_snapshot", TEXT, "1:2:"),
                      CELL("sophia_row", BOOL, "t"), CELL("value", INT4, "78"), AT),
                AS_OF ",\"v\":78");
}

/* ---- mixes and rows ---- */

static void test_columns_are_the_parts_of_a_mix(void **context)
{
    (void)context;
    const char *id = "exec.customer_health_mix";
    assert_text(
        id,
        CELLS(CELL("at_risk", INT4, "28"), CELL("healthy", INT4, "312"), CELL("attention", INT4, "60"), AT),
        AS_OF ",\"v\":{\"healthy\":312,\"attention\":60,\"at_risk\":28}");
    assert_text(id, CELLS(CELL("value", JSONB, "{\"healthy\":1,\"attention\":2,\"at_risk\":3}"), AT),
                AS_OF ",\"v\":{\"healthy\":1,\"attention\":2,\"at_risk\":3}");
    assert_text(id, CELLS(NOTHING("healthy", INT4), NOTHING("attention", INT4), NOTHING("at_risk", INT4), AT),
                AS_OF ",\"state\":\"nodata\",\"reason\":\"the source has no value\"");
}

static void test_columns_are_the_cells_of_a_row(void **context)
{
    (void)context;
    assert_text_as(
        POSTGRES_ROW_OF_QUERY, "exec.top_deals",
        CELLS(CELL("key", TEXT, "D001"), CELL("name", TEXT, "Halden Freight, platform roll-out"),
              CELL("amount", NUMERIC, "450000.00"), CELL("stage", AN_ENUM, "Negotiation"),
              CELL("probability", NUMERIC, "0.85"), CELL("close_date", DATE, "2026-12-03"),
              CELL("idle_days", INT4, "1"), AT),
        "exec.top_deals#D001",
        AS_OF
        ",\"v\":{\"name\":\"Halden Freight, platform roll-out\",\"amount\":\"450000.00\",\"stage\":\"Negotiation\","
        "\"probability\":0.85,\"close_date\":\"2026-12-03\",\"idle_days\":1}");
    assert_text_as(POSTGRES_ROW_OF_QUERY, "exec.sources",
                   CELLS(CELL("key", TEXT, "crm"), CELL("status", TEXT, "up"),
                         CELL("last_sync", TIMESTAMPTZ, "2026-11-21 09:39:58.25+00"),
                         NOTHING("cadence_s", INT4), AT),
                   "exec.sources#crm", AS_OF ",\"v\":{\"status\":\"up\",\"last_sync\":1795253998250}");
}

/** exec.revenue_series has a column named value: there it is that column. */
static void test_a_column_of_the_kpi_comes_before_the_envelope(void **context)
{
    (void)context;
    assert_text_as(POSTGRES_ROW_OF_QUERY, "exec.revenue_series",
                   CELLS(CELL("key", TEXT, "2026-11-21"), CELL("value", NUMERIC, "2797777.46"),
                         CELL("pace", NUMERIC, "2940000.00"), AT),
                   "exec.revenue_series#2026-11-21",
                   AS_OF ",\"v\":{\"value\":\"2797777.46\",\"pace\":\"2940000.00\"}");
}

static void test_lists_are_joined_for_people(void **context)
{
    (void)context;
#define LEAGUE(array)                                                       \
    CELLS(CELL("key", TEXT, "Pelligant"), CELL("mentions_7d", INT8, "118"), \
          CELL("sources", TEXT_ARRAY, array), AT)
#define LEAGUE_TEXT(text) AS_OF ",\"v\":{\"mentions_7d\":118,\"sources\":\"" text "\"}"
    const char *field = "comp.league#Pelligant";
    assert_text_as(POSTGRES_ROW_OF_QUERY, "comp.league", LEAGUE("{calls,crm}"), field,
                   LEAGUE_TEXT("calls, crm"));
    assert_text_as(POSTGRES_ROW_OF_QUERY, "comp.league", LEAGUE("{\"a \\\"b\\\"\",\"c,d\",e}"), field,
                   LEAGUE_TEXT("a \\\"b\\\", c,d, e"));
    assert_text_as(POSTGRES_ROW_OF_QUERY, "comp.league", LEAGUE("{}"), field, LEAGUE_TEXT(""));
    assert_refused("comp.league", LEAGUE("{{a},{b}}"), RESULT_WRONG_TYPE,
                   "column \"sources\": not a plain list");
    assert_refused("comp.league", LEAGUE("[2:3]={a,b}"), RESULT_WRONG_TYPE, "not a plain list");
    assert_refused("comp.league", LEAGUE("{\"a"), RESULT_WRONG_TYPE, "not a plain list");
    assert_refused("comp.league", LEAGUE("{\"a\\"), RESULT_WRONG_TYPE, "not a plain list");
    assert_refused("comp.league", LEAGUE("{a"), RESULT_WRONG_TYPE, "not a plain list");
}

static void test_rows_need_a_key(void **context)
{
    (void)context;
    assert_refused("comp.league", CELLS(CELL("mentions_7d", INT8, "118")), RESULT_MISSING_FIELD,
                   "column \"key\": it is missing");
    assert_refused("comp.league", CELLS(NOTHING("key", TEXT), CELL("mentions_7d", INT8, "118")),
                   RESULT_MISSING_FIELD, "column \"key\": it is null");
    assert_refused("comp.league", CELLS(CELL("key", TEXT, "a\nb"), CELL("mentions_7d", INT8, "118")),
                   RESULT_OUT_OF_RANGE, "column \"key\": it cannot name a row");
    char key[400];
    memset(key, 'k', sizeof key);
    key[sizeof key - 1] = '\0';
    assert_refused("comp.league", CELLS({.name = "key", .type = TEXT, .text = key, .length = sizeof key - 1}),
                   RESULT_TOO_BIG, "longer than 96 bytes");
    assert_refused("comp.league", CELLS(CELL("key", TEXT, "\xff"), CELL("mentions_7d", INT8, "118")),
                   RESULT_INVALID_TEXT, "column \"key\": not valid UTF-8");
    assert_refused("comp.league", CELLS(CELL("key", TEXT, "a"), CELL("sources", TEXT, "\xc3")),
                   RESULT_INVALID_TEXT, "column \"sources\": not valid UTF-8");
}

/* ---- the state table ---- */

static void test_a_row_of_the_state_table_carries_the_whole_value(void **context)
{
    (void)context;
    assert_text_as(POSTGRES_ROW_OF_STATE, "exec.revenue_series",
                   CELLS(CELL("field", TEXT, "exec.revenue_series#2026-11-21"),
                         CELL("value", JSONB, "{\"value\": 12.5, \"note\": \"x\"}"), NOTHING("num", NUMERIC),
                         NOTHING("state", TEXT), CELL("deleted", BOOL, "f"), CELL("ver", INT8, "9"),
                         CELL("chg", 5069, "731"), AT),
                   "exec.revenue_series#2026-11-21",
                   AS_OF ",\"v\":{\"value\":\"12.50\",\"note\":\"x\"},\"ver\":9");
    assert_text_as(POSTGRES_ROW_OF_STATE, "exec.revenue_mtd",
                   CELLS(CELL("field", TEXT, "exec.revenue_mtd"), CELL("value", JSONB, "\"12.50\""),
                         CELL("target", NUMERIC, "20"), AT),
                   "exec.revenue_mtd", AS_OF ",\"v\":\"12.50\",\"target\":\"20.00\"");
}

static void test_a_deleted_row_is_a_deletion_and_nothing_else(void **context)
{
    (void)context;
    struct change change;
    char detail[REASON_MAX_BYTES + 1];
    struct cells cells =
        CELLS(CELL("field", TEXT, "exec.top_deals#D001"), CELL("value", JSONB, "{\"name\":\"x\"}"),
              CELL("deleted", BOOL, "t"), CELL("ver", INT8, "11"), AT);
    assert_int_equal(read_as(POSTGRES_ROW_OF_STATE, "exec.top_deals", &cells, &change, detail), RESULT_OK);
    assert_true(change.is_delete);
    assert_null(change.value);
    assert_int_equal(change.version, 11);
    assert_true(change.has_as_of);
    change_finish(&change);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_of_every_type_become_numbers),
        cmocka_unit_test(test_numbers_that_cannot_be_shown_are_refused),
        cmocka_unit_test(test_money_is_never_a_double),
        cmocka_unit_test(test_a_ratio_travels_as_its_parts),
        cmocka_unit_test(test_null_is_no_data),
        cmocka_unit_test(test_a_state_says_more),
        cmocka_unit_test(test_a_long_reason_is_cut_between_characters),
        cmocka_unit_test(test_times_need_their_zone),
        cmocka_unit_test(test_a_time_of_the_server_in_milliseconds),
        cmocka_unit_test(test_points_and_versions_are_those_of_the_envelope),
        cmocka_unit_test(test_a_column_that_means_nothing_is_refused),
        cmocka_unit_test(test_columns_are_the_parts_of_a_mix),
        cmocka_unit_test(test_columns_are_the_cells_of_a_row),
        cmocka_unit_test(test_a_column_of_the_kpi_comes_before_the_envelope),
        cmocka_unit_test(test_lists_are_joined_for_people),
        cmocka_unit_test(test_rows_need_a_key),
        cmocka_unit_test(test_a_row_of_the_state_table_carries_the_whole_value),
        cmocka_unit_test(test_a_deleted_row_is_a_deletion_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
