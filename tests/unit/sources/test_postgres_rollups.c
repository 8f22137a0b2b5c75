/*
 * When queries are asked, and what becomes of their answers. The pool, its results and the timer are pretended here: the test
 * holds the clock and answers when it likes.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sources/postgres_rollup_result.h"
#include "sources/postgres_rollups.h"
#include "support/small_gateway.h"
#include "unit/catalog/definition_files.h"
#include "unit/support/allocations.h"

/* ---- a pretended timer ---- */

struct loop_timer {
    loop_fn *on_due;
    void *context;
    bool is_armed;
    uint64_t due_ms;
};

static struct loop_timer *the_timer;

struct loop_timer *loop_timer_create(struct loop *loop, loop_fn *on_due, void *context)
{
    (void)loop;
    the_timer = calloc(1, sizeof *the_timer);
    assert_non_null(the_timer);
    the_timer->on_due = on_due;
    the_timer->context = context;
    return the_timer;
}

void loop_timer_arm(struct loop_timer *timer, uint64_t delay_ms)
{
    timer->is_armed = true;
    timer->due_ms = small_now.monotonic_ms + delay_ms;
}

void loop_timer_disarm(struct loop_timer *timer)
{
    timer->is_armed = false;
}

void loop_timer_destroy(struct loop_timer *timer)
{
    free(timer);
    the_timer = NULL;
}

static void pass(uint64_t ms)
{
    uint64_t until = small_now.monotonic_ms + ms;
    for (unsigned turns = 0; the_timer && the_timer->is_armed && the_timer->due_ms <= until; turns++) {
        assert_true(turns < 100000); /* it would never rest */
        uint64_t step =
            the_timer->due_ms > small_now.monotonic_ms ? the_timer->due_ms - small_now.monotonic_ms : 0;
        small_now.monotonic_ms += step;
        small_now.wall_ms += (int64_t)step;
        the_timer->is_armed = false;
        the_timer->on_due(the_timer->context);
    }
    small_now.wall_ms += (int64_t)(until - small_now.monotonic_ms);
    small_now.monotonic_ms = until;
}

/* ---- a pretended pool ---- */

enum { CALLS_MAX = 64, CELLS_MAX = 64 };

struct call {
    char sql[512];
    pg_result_fn *on_result;
    void *context;
};

static struct call calls[CALLS_MAX];
static size_t call_count;
static size_t asked; /* reads of rows, in all */
static enum result pool_says;

enum result pg_pool_query(struct pg_pool *pool, const struct pg_query *query, pg_result_fn *on_result,
                          void *context)
{
    (void)pool;
    if (pool_says != RESULT_OK) {
        return pool_says;
    }
    assert_true(call_count < CALLS_MAX);
    struct call *call = &calls[call_count++];
    (void)snprintf(call->sql, sizeof call->sql, "%s", query->sql);
    call->on_result = on_result;
    call->context = context;
    asked += strstr(query->sql, "sophia_row") ? 1 : 0;
    return RESULT_OK;
}

/** Cells as text; the first row names the columns as name:oid. */
struct pg_result {
    size_t columns, rows;
    const char *const *cells; /* columns, then rows x columns; NULL = null */
};

size_t pg_row_count(const struct pg_result *result)
{
    return result->rows;
}

size_t pg_column_count(const struct pg_result *result)
{
    return result->columns;
}

const char *pg_column_name(const struct pg_result *result, size_t column)
{
    static char names[CELLS_MAX][32];
    (void)snprintf(names[column], sizeof names[column], "%.*s", (int)strcspn(result->cells[column], ":"),
                   result->cells[column]);
    return names[column];
}

uint32_t pg_column_type(const struct pg_result *result, size_t column)
{
    return (uint32_t)strtoul(strchr(result->cells[column], ':') + 1, NULL, 10);
}

int pg_column(const struct pg_result *result, const char *name)
{
    for (size_t i = 0; i < result->columns; i++) {
        if (strcmp(pg_column_name(result, i), name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

const char *pg_text(const struct pg_result *result, size_t row, size_t column, size_t *out_length)
{
    const char *text = result->cells[(row + 1) * result->columns + column];
    if (text && out_length) {
        *out_length = strlen(text);
    }
    return text;
}

/** Takes the call whose statement contains this; fails when there is none. */
static struct call call_take(const char *part)
{
    for (size_t i = 0; i < call_count; i++) {
        if (strstr(calls[i].sql, part)) {
            struct call call = calls[i];
            memmove(&calls[i], &calls[i + 1], (call_count - i - 1) * sizeof *calls);
            call_count--;
            return call;
        }
    }
    fail_msg("nobody asks %s", part);
    return (struct call){0};
}

static size_t calls_with(const char *part)
{
    size_t count = 0;
    for (size_t i = 0; i < call_count; i++) {
        count += strstr(calls[i].sql, part) ? 1 : 0;
    }
    return count;
}

static void grant_ids(void)
{
    static const char *const cells[] = {"id:20", "1"};
    const struct pg_result result = {1, 1, cells};
    while (calls_with("pg_current_xact_id()") > 0) {
        struct call call = call_take("pg_current_xact_id()");
        call.on_result(call.context, &result, NULL);
    }
}

#define ANSWER(part, column_count, ...)                                      \
    answer_cells((part), (column_count), (const char *const[]){__VA_ARGS__}, \
                 sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void answer_cells(const char *part, size_t columns, const char *const *cells, size_t count)
{
    const struct pg_result result = {columns, count / columns - 1, cells};
    struct call call = call_take(part);
    call.on_result(call.context, &result, NULL);
}

static void refuse(const char *part, enum result why, const char *sqlstate, const char *message)
{
    struct pg_failure failure = {.result = why, .message = message};
    (void)snprintf(failure.sqlstate, sizeof failure.sqlstate, "%s", sqlstate);
    struct call call = call_take(part);
    call.on_result(call.context, NULL, &failure);
}

/* ---- the scene: three queries for four KPIs ---- */

#define KPI(id, members)                                                                                       \
    "{\"id\":\"" id                                                                                            \
    "\",\"title\":\"T\",\"about\":\"A\",\"roles\":[\"s\"],\"privacy\":\"public\",\"class\":\"quick\"," members \
    "}"
#define SOURCE(relation, query) \
    "\"source\":{\"kind\":\"pg\",\"relations\":[\"" relation "\"],\"query\":\"" query "\"}"
#define GAUGE "\"type\":\"gauge\",\"unit\":\"integer\",\"range\":[0,1000],\"cadence_s\":300,"
#define ROWS \
    "\"type\":\"table\",\"cap\":3,\"columns\":[{\"key\":\"n\",\"title\":\"N\",\"unit\":\"integer\",\"required\":true}],"
#define DEFINITIONS_TEXT                                                                                   \
    "{\"kpis\":[" KPI("t.a", GAUGE SOURCE("s.one", "select both")) "," KPI(                                \
        "t.b",                                                                                             \
        GAUGE SOURCE(                                                                                      \
            "s.one",                                                                                       \
            "select both")) "," KPI("t.rows",                                                              \
                                    ROWS SOURCE(                                                           \
                                        "s.two",                                                           \
                                        "select rows")) "," KPI("t.lone",                                  \
                                                                GAUGE SOURCE(                              \
                                                                    "s.three",                             \
                                                                    "select lone")) "," KPI("t.fed", GAUGE \
                                                                                            "\"source\":{\"kind\":\"pg\"}") "]}"
#define BOARD(tiles) \
    "{\"id\":\"t\",\"title\":\"T\",\"question\":\"?\",\"roles\":[\"s\"],\"layout\":[{\"row\":[" tiles "]}]}"
#define TILE(id) "{\"kpi\":\"" id "\",\"span\":3}"

#define HEAD2 "sophia_snapshot:25", "sophia_row:16"
#define SEEN(xmax) "1:" xmax ":", "t"

struct scene {
    struct small_gateway gateway;
    char *directory;
    struct postgres_rollups *rollups;
    unsigned other_lineage;
};

static void on_other_lineage(void *context)
{
    ((struct scene *)context)->other_lineage++;
}

static int scene_open(void **state)
{
    struct scene *scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    small_now = (struct moment){.monotonic_ms = 1000000, .wall_ms = 1795258800000};
    call_count = asked = 0;
    pool_says = RESULT_OK;
    scene->directory = definitions_create();
    definitions_write(scene->directory, "kpis/sales.json", DEFINITIONS_TEXT);
    definitions_write(scene->directory, "boards/sales.json",
                      BOARD(TILE("t.a") "," TILE("t.b") "," TILE("t.rows") "," TILE("t.lone")));
    definitions_write(
        scene->directory, "boards/more.json",
        "{\"id\":\"u\",\"title\":\"U\",\"question\":\"?\",\"roles\":[\"s\"],\"layout\":[{\"row\":[" TILE(
            "t.fed") "]}]}");
    small_gateway_init(&scene->gateway, scene->directory);
    const struct postgres_rollups_options options = {.pipeline = scene->gateway.pipeline,
                                                     .metrics = scene->gateway.metrics,
                                                     .now = small_gateway_now,
                                                     .on_other_lineage = on_other_lineage,
                                                     .context = scene};
    scene->rollups = postgres_rollups_create(&options);
    assert_non_null(scene->rollups);
    *state = scene;
    return 0;
}

static int scene_close(void **state)
{
    struct scene *scene = *state;
    postgres_rollups_destroy(scene->rollups);
    while (call_count > 0) { /* the pool answers whoever still waits */
        refuse("select", RESULT_UNAVAILABLE, "", "it closes");
    }
    small_gateway_finish(&scene->gateway);
    definitions_remove(scene->directory);
    free(scene);
    return 0;
}

static void activate(struct scene *scene)
{
    postgres_rollups_set_active(scene->rollups, true, "7/1");
    pass(0);
    grant_ids();
}

static void answer_both(const char *xmax_a, const char *a, const char *b)
{
    char snapshot[32];
    (void)snprintf(snapshot, sizeof snapshot, "1:%s:", xmax_a);
    ANSWER("select both", 4, HEAD2, "kpi_id:25", "value:20", snapshot, "t", "t.a", a, snapshot, "t", "t.b",
           b);
}

static void answer_all(void)
{
    answer_both("100", "1", "2");
    ANSWER("select rows", 4, HEAD2, "key:25", "n:20", SEEN("100"), "x", "7", SEEN("100"), "y", "8");
    ANSWER("select lone", 3, HEAD2, "value:20", SEEN("100"), "3");
}

static void assert_shows(const struct scene *scene, const char *field, const char *part)
{
    const char *text = small_gateway_value(&scene->gateway, "t", field);
    if (!text || !strstr(text, part)) {
        fail_msg("%s is %s, without %s", field, text ? text : "not there", part);
    }
}

/* ---- reading ---- */

static void test_becoming_active_asks_every_query_once(void **state)
{
    struct scene *scene = *state;
    pass(5000);
    assert_int_equal(call_count, 0); /* inactive */
    postgres_rollups_set_active(scene->rollups, true, "7/1");
    pass(0);
    assert_int_equal(calls_with("pg_current_xact_id()"), 3); /* by the clock: a version of its own */
    grant_ids();
    assert_int_equal(calls_with("select both"), 1);
    answer_all();
    assert_shows(scene, "t.a", "\"v\":1");
    assert_shows(scene, "t.b", "\"v\":2");
    assert_shows(scene, "t.lone", "\"v\":3");
    assert_shows(scene, "t.rows#x", "\"v\":{\"n\":7}");
    assert_null(
        strstr(small_gateway_value(&scene->gateway, "t", "t.a"), "\"ver\"")); /* it orders readings only */
    pass(1000);
    assert_int_equal(call_count, 0);
    postgres_rollups_set_active(scene->rollups, true, "7/1"); /* nothing new */
    pass(1000);
    assert_int_equal(asked, 3);
}

static void test_a_change_is_read_at_once_and_without_an_id(void **state)
{
    struct scene *scene = *state;
    activate(scene);
    answer_all();
    pass(60);
    postgres_rollups_relation_changed(scene->rollups, "s.three");
    postgres_rollups_relation_changed(scene->rollups, "s.nobody");
    pass(0);
    assert_int_equal(call_count, 1);
    ANSWER("select lone", 3, HEAD2, "value:20", SEEN("101"), "4");
    assert_shows(scene, "t.lone", "\"v\":4");
}

static void test_many_changes_during_a_reading_make_one_more(void **state)
{
    struct scene *scene = *state;
    activate(scene);
    answer_all();
    pass(60);
    postgres_rollups_relation_changed(scene->rollups, "s.three");
    pass(0);
    for (int i = 0; i < 10; i++) {
        postgres_rollups_relation_changed(scene->rollups, "s.three");
        pass(1);
    }
    assert_int_equal(calls_with("select lone"), 1);
    ANSWER("select lone", 3, HEAD2, "value:20", SEEN("101"), "4");
    assert_int_equal(calls_with("select lone"), 0); /* 50 ms from the last one's beginning */
    pass(39);
    assert_int_equal(calls_with("select lone"), 0);
    pass(1);
    assert_int_equal(calls_with("select lone"), 1);
    ANSWER("select lone", 3, HEAD2, "value:20", SEEN("111"), "14");
    assert_shows(scene, "t.lone", "\"v\":14");
    pass(3000);
    assert_int_equal(call_count, 0);
}

static void test_a_slow_query_is_asked_less_often(void **state)
{
    struct scene *scene = *state;
    activate(scene);
    answer_all();
    pass(60);
    postgres_rollups_relation_changed(scene->rollups, "s.three");
    pass(100);
    postgres_rollups_relation_changed(scene->rollups, "s.three");
    ANSWER("select lone", 3, HEAD2, "value:20", SEEN("101"), "4"); /* took 100 ms: again after 400 */
    pass(299);
    assert_int_equal(calls_with("select lone"), 0);
    pass(1);
    assert_int_equal(calls_with("select lone"), 1);
}

static void test_the_clock_asks_at_80_percent_of_the_cadence(void **state)
{
    struct scene *scene = *state;
    activate(scene);
    answer_all();
    pass(215000);                                                           /* 240 s, 10 % around */
    assert_int_equal(calls_with("select lone") + calls_with("xact_id"), 1); /* t.rows: 40 % of 10 s */
    pass(50000);
    assert_int_equal(calls_with("xact_id"), 3);
}

static void test_no_more_than_three_are_in_flight(void **state)
{
    struct scene *scene = *state;
    definitions_write(
        scene->directory, "kpis/sales.json",
        "{\"kpis\":[" KPI("t.a", GAUGE SOURCE("s.one", "select 1")) "," KPI(
            "t.b",
            GAUGE SOURCE(
                "s.one",
                "select 2")) "," KPI("t.c",
                                     GAUGE SOURCE(
                                         "s.one",
                                         "select 3")) "," KPI("t.d",
                                                              GAUGE SOURCE(
                                                                  "s.one",
                                                                  "select 4")) "," KPI("t.fed", GAUGE
                                                                                       "\"source\":{"
                                                                                       "\"kind\":\"pg\"}") "]}");
    definitions_write(scene->directory, "boards/sales.json",
                      BOARD(TILE("t.a") "," TILE("t.b") "," TILE("t.c") "," TILE("t.d")));
    struct catalog_report report;
    catalog_report_init(&report);
    struct catalog *catalog = catalog_load(scene->directory, &report);
    assert_non_null(catalog);
    assert_int_equal(pipeline_set_catalog(scene->gateway.pipeline, catalog), RESULT_OK);
    catalog_unref(catalog);
    catalog_report_finish(&report);
    postgres_rollups_set_active(scene->rollups, true, "7/1");
    pass(100);
    assert_int_equal(call_count, 3);
    grant_ids();
    ANSWER("(\nselect 2", 3, HEAD2, "value:20", SEEN("100"), "3");
    pass(0);
    assert_int_equal(call_count, 3); /* the fourth has its turn */
    grant_ids();
    assert_int_equal(calls_with("(\nselect 4"), 1);
}

/* ---- what answers mean ---- */

static void test_a_reading_that_saw_less_does_not_win(void **state)
{
    struct scene *scene = *state;
    activate(scene);
    answer_all();
    pass(60);
    postgres_rollups_relation_changed(scene->rollups, "s.one");
    pass(0);
    answer_both("99", "77", "78"); /* as another process's late answer would be */
    assert_shows(scene, "t.a", "\"v\":1");
    pass(60);
    postgres_rollups_relation_changed(scene->rollups, "s.one");
    pass(0);
    answer_both("101", "5", "6");
    assert_shows(scene, "t.a", "\"v\":5");
}

static void test_no_row_and_null_are_no_data(void **state)
{
    struct scene *scene = *state;
    activate(scene);
    answer_all();
    pass(60);
    postgres_rollups_relation_changed(scene->rollups, "s.one");
    postgres_rollups_relation_changed(scene->rollups, "s.three");
    pass(0);
    ANSWER("select both", 4, HEAD2, "kpi_id:25", "value:20", SEEN("101"), "t.a", NULL);
    ANSWER("select lone", 3, HEAD2, "value:20", "1:101:", NULL, NULL);
    assert_shows(scene, "t.a", "\"state\":\"nodata\"");
    assert_shows(scene, "t.b", "\"state\":\"nodata\",\"reason\":\"the query returned no row\"");
    assert_shows(scene, "t.lone", "\"reason\":\"the query returned no row\"");
    assert_true(metrics_sum(scene->gateway.metrics, "sophia_empty_results_total") == 1);
}

static void test_rows_that_are_gone_are_deleted(void **state)
{
    struct scene *scene = *state;
    activate(scene);
    answer_all();
    pass(60);
    postgres_rollups_relation_changed(scene->rollups, "s.two");
    pass(0);
    /* the table holds three: the one that goes makes room */
    ANSWER("select rows", 4, HEAD2, "key:25", "n:20", SEEN("101"), "y", "9", SEEN("101"), "z", "10",
           SEEN("101"), "w", "11");
    assert_null(small_gateway_value(&scene->gateway, "t", "t.rows#x"));
    assert_shows(scene, "t.rows#y", "\"v\":{\"n\":9}");
    assert_shows(scene, "t.rows#z", "\"v\":{\"n\":10}");
    assert_shows(scene, "t.rows#w", "\"v\":{\"n\":11}");
    pass(60);
    postgres_rollups_relation_changed(scene->rollups, "s.two");
    pass(0);
    ANSWER("select rows", 4, HEAD2, "key:25", "n:20", "1:102:", NULL, NULL, NULL);
    assert_null(small_gateway_value(&scene->gateway, "t", "t.rows#y"));
    assert_null(small_gateway_value(&scene->gateway, "t", "t.rows#w"));
}

static void test_more_rows_than_the_cap_are_said(void **state)
{
    struct scene *scene = *state;
    activate(scene);
    ANSWER("select rows", 4, HEAD2, "key:25", "n:20", SEEN("101"), "a", "1", SEEN("101"), "b", "2",
           SEEN("101"), "c", "3", SEEN("101"), "d", "4");
    assert_shows(scene, "t.rows#c", "\"v\":{\"n\":3}");
    assert_null(small_gateway_value(&scene->gateway, "t", "t.rows#d"));
    assert_true(metrics_sum(scene->gateway.metrics, "gw_rollups_failing") == 1);
}

static void test_a_row_that_cannot_be_read_is_marked_and_the_others_go_on(void **state)
{
    struct scene *scene = *state;
    activate(scene);
    answer_all();
    pass(60);
    postgres_rollups_relation_changed(scene->rollups, "s.one");
    postgres_rollups_relation_changed(scene->rollups, "s.two");
    pass(0);
    ANSWER("select both", 4, HEAD2, "kpi_id:25", "value:1700", SEEN("101"), "t.a", "NaN", SEEN("101"), "t.b",
           "4");
    assert_shows(
        scene, "t.a",
        "\"state\":\"invalid\",\"reason\":\"column \\\"value\\\": NaN is not a number that can be shown\"");
    assert_shows(scene, "t.a", "\"v\":1"); /* the last good value stays */
    assert_shows(scene, "t.b", "\"v\":4");
    ANSWER("select rows", 4, HEAD2, "key:25", "n:1700", SEEN("101"), "x", "1.5", SEEN("101"), "y", "9",
           SEEN("101"), "new", "NaN");
    assert_shows(scene, "t.rows#x", "\"state\":\"invalid\"");
    assert_shows(scene, "t.rows#x", "\"v\":{\"n\":7}");
    assert_shows(scene, "t.rows#y", "\"v\":{\"n\":9}");
    assert_null(small_gateway_value(&scene->gateway, "t", "t.rows#new"));
    assert_true(metrics_sum(scene->gateway.metrics, "gw_rollups_failing") == 2);
    assert_true(metrics_sum(scene->gateway.metrics, "gw_rollup_rows_refused_total") == 3);
    /* cured with the same number: a mark is not a version */
    pass(60);
    postgres_rollups_relation_changed(scene->rollups, "s.one");
    pass(0);
    answer_both("102", "1", "4");
    assert_shows(scene, "t.a", "\"v\":1");
    assert_null(strstr(small_gateway_value(&scene->gateway, "t", "t.a"), "invalid"));
    assert_true(metrics_sum(scene->gateway.metrics, "gw_rollups_failing") == 1);
}

static void test_a_value_out_of_range_is_the_doors_business_and_told(void **state)
{
    struct scene *scene = *state;
    activate(scene);
    answer_both("100", "1", "2");
    pass(60);
    postgres_rollups_relation_changed(scene->rollups, "s.one");
    pass(0);
    answer_both("101", "1001", "3");
    assert_shows(scene, "t.a", "\"state\":\"invalid\",\"reason\":\"value 1001 is above 1000\"");
    assert_true(metrics_sum(scene->gateway.metrics, "gw_rollups_failing") == 1);
}

static void test_two_rows_for_one_value_are_one_too_many(void **state)
{
    struct scene *scene = *state;
    activate(scene);
    ANSWER("select lone", 3, HEAD2, "value:20", SEEN("101"), "4", SEEN("101"), "5");
    assert_shows(scene, "t.lone", "\"v\":4");
    assert_true(metrics_sum(scene->gateway.metrics, "gw_rollups_failing") == 1);
}

/* ---- failures ---- */

static void test_a_failing_query_marks_what_it_feeds_and_is_tried_again(void **state)
{
    struct scene *scene = *state;
    activate(scene);
    answer_all();
    pass(60);
    postgres_rollups_relation_changed(scene->rollups, "s.one");
    postgres_rollups_relation_changed(scene->rollups, "s.two");
    pass(0);
    refuse("select both", RESULT_UNKNOWN_TYPE, "42P01", "relation \"s.one\" does not exist");
    refuse("select rows", RESULT_FORBIDDEN, "42501", "permission denied for table two");
    assert_shows(
        scene, "t.a",
        "\"state\":\"unreachable\",\"reason\":\"relation \\\"s.one\\\" does not exist; run deploy/sql/install.sql");
    assert_shows(scene, "t.a", "\"v\":1");
    assert_shows(scene, "t.b", "\"state\":\"unreachable\"");
    assert_shows(scene, "t.rows#x", "permission denied for table two; grant select");
    assert_shows(scene, "t.lone", "\"v\":3");
    assert_true(metrics_sum(scene->gateway.metrics, "gw_rollups_failing") == 2);
    pass(1000);
    grant_ids();
    assert_int_equal(calls_with("select both"), 1);
    answer_both("101", "1", "2");
    assert_null(strstr(small_gateway_value(&scene->gateway, "t", "t.a"), "unreachable"));
    assert_true(metrics_sum(scene->gateway.metrics, "gw_rollups_failing") == 1);
}

/** Until the query is asked again; returns how long that took. */
static uint64_t wait_for(const char *part)
{
    uint64_t waited = 0;
    for (; calls_with(part) == 0 && waited < 60000; waited += 10) {
        pass(10);
        grant_ids();
    }
    return waited;
}

static void test_retries_grow_rare_and_a_change_tries_at_once(void **state)
{
    struct scene *scene = *state;
    activate(scene);
    answer_both("100", "1", "2");
    uint64_t first = 0;
    uint64_t later = 0;
    for (int i = 0; i < 20; i++) {
        refuse("select lone", RESULT_MALFORMED, "42601", "syntax error");
        uint64_t waited = wait_for("select lone");
        assert_true(waited >= 100 && waited <= 30010);
        first += i < 3 ? waited : 0;
        later += i >= 10 ? waited : 0;
    }
    assert_true(first <= 7030);  /* at most 1, 2 and 4 s */
    assert_true(later >= 30000); /* ten waits of up to 30 s each */
    size_t before = asked;
    refuse("select lone", RESULT_MALFORMED, "42601", "syntax error");
    for (int i = 0; i < 4; i++) {
        pass(60);
        postgres_rollups_relation_changed(scene->rollups, "s.three");
        pass(0);
        grant_ids();
        refuse("select lone", RESULT_MALFORMED, "42601", "syntax error");
    }
    assert_int_equal(asked, before + 4);
}

static void test_wrong_sql_is_invalid_and_a_timeout_unreachable(void **state)
{
    struct scene *scene = *state;
    activate(scene);
    answer_all();
    pass(60);
    postgres_rollups_relation_changed(scene->rollups, "s.one");
    postgres_rollups_relation_changed(scene->rollups, "s.three");
    pass(0);
    refuse("select both", RESULT_MALFORMED, "22012", "division by zero");
    refuse("select lone", RESULT_UNAVAILABLE, "57014", "canceling statement due to statement timeout");
    assert_shows(scene, "t.a", "\"state\":\"invalid\",\"reason\":\"division by zero; correct source.query\"");
    assert_shows(
        scene, "t.lone",
        "\"state\":\"unreachable\",\"reason\":\"canceling statement due to statement timeout; see the server");
}

static void test_a_lost_connection_is_not_the_querys_fault(void **state)
{
    struct scene *scene = *state;
    activate(scene);
    answer_all();
    pass(60);
    postgres_rollups_relation_changed(scene->rollups, "s.three");
    pass(0);
    refuse("select lone", RESULT_UNAVAILABLE, "", "the connection was lost");
    assert_shows(scene, "t.lone", "\"v\":3");
    assert_null(strstr(small_gateway_value(&scene->gateway, "t", "t.lone"), "state"));
    pool_says = RESULT_UNAVAILABLE;
    pass(30000);
    pool_says = RESULT_OK;
    pass(500);
    grant_ids();
    ANSWER("select lone", 3, HEAD2, "value:20", SEEN("105"), "9");
    assert_shows(scene, "t.lone", "\"v\":9");
}

static void test_an_answer_that_is_none_is_refused(void **state)
{
    struct scene *scene = *state;
    activate(scene);
    ANSWER("select lone", 1, "value:20", "5");
    assert_shows(scene, "t.lone", "\"state\":\"invalid\",\"reason\":\"the answer cannot be read");
}

/* ---- reloads, generations, and the end ---- */

static void test_a_reload_is_noticed_and_old_answers_are_not_wanted(void **state)
{
    struct scene *scene = *state;
    activate(scene);
    answer_both("100", "1", "2");
    definitions_write(scene->directory, "kpis/sales.json",
                      "{\"kpis\":[" KPI("t.a", GAUGE SOURCE("s.other", "select other")) "," KPI(
                          "t.fed", GAUGE "\"source\":{\"kind\":\"pg\"}") "]}");
    definitions_write(scene->directory, "boards/sales.json", BOARD(TILE("t.a")));
    struct catalog_report report;
    catalog_report_init(&report);
    struct catalog *catalog = catalog_load(scene->directory, &report);
    assert_non_null(catalog);
    assert_int_equal(pipeline_set_catalog(scene->gateway.pipeline, catalog), RESULT_OK);
    catalog_unref(catalog);
    catalog_report_finish(&report);
    pass(600);
    ANSWER("select lone", 3, HEAD2, "value:20", SEEN("100"), "3"); /* its KPI is gone */
    grant_ids();
    ANSWER("select other", 3, HEAD2, "value:20", SEEN("101"), "42");
    assert_shows(scene, "t.a", "\"v\":42");
    assert_null(small_gateway_value(&scene->gateway, "t", "t.lone"));
}

static void test_inactive_forgets_and_active_again_reads_everything(void **state)
{
    struct scene *scene = *state;
    activate(scene);
    postgres_rollups_set_active(scene->rollups, false, NULL);
    answer_all(); /* nobody's any more */
    assert_null(small_gateway_value(&scene->gateway, "t", "t.a"));
    postgres_rollups_relation_changed(scene->rollups, "s.one");
    pass(600000);
    assert_int_equal(call_count, 0);
    activate(scene);
    answer_all();
    assert_shows(scene, "t.a", "\"v\":1");
}

static void test_another_lineage_reads_everything_again(void **state)
{
    struct scene *scene = *state;
    activate(scene);
    answer_all();
    postgres_rollups_set_active(scene->rollups, true, "7/2");
    pass(0);
    grant_ids();
    assert_int_equal(call_count, 3);
    answer_both("50", "5", "6"); /* the board knows 7/1 */
    assert_int_equal(scene->other_lineage, 1);
    assert_shows(scene, "t.a", "\"v\":1");
    pass(500);
    assert_int_equal(calls_with("xact_id"), 1); /* until the owner has restarted the source */
}

static void test_what_could_not_be_ordered_is_read_again(void **state)
{
    struct scene *scene = *state;
    activate(scene);
    answer_all();
    postgres_rollups_refresh_all(scene->rollups);
    pass(60);
    grant_ids();
    assert_int_equal(call_count, 3);
}

static void test_answers_after_the_end_find_nobody(void **state)
{
    struct scene *scene = *state;
    activate(scene);
    small_gateway_hold();
    ANSWER("select lone", 3, HEAD2, "value:20", SEEN("100"), "3");
    postgres_rollups_destroy(scene->rollups);
    scene->rollups = NULL;
    small_gateway_release();      /* a submission, */
    answer_both("100", "1", "2"); /* and an answer of the pool */
    assert_shows(scene, "t.lone", "\"v\":3");
    assert_null(small_gateway_value(&scene->gateway, "t", "t.a"));
}

static void *allocate(size_t size)
{
    return malloc(size);
}

/** Answers whatever is asked for a while. */
static void serve(const char *xmax)
{
    char head[32];
    (void)snprintf(head, sizeof head, "1:%s:", xmax);
    for (int i = 0; i < 40; i++) {
        pass(50);
        grant_ids();
        if (calls_with("select both") > 0) {
            answer_both(xmax, "1", "2");
        }
        if (calls_with("select rows") > 0) {
            ANSWER("select rows", 4, HEAD2, "key:25", "n:20", head, "t", "x", "7", head, "t", "y", "8");
        }
        if (calls_with("select lone") > 0) {
            refuse("select lone", RESULT_UNKNOWN_TYPE, "42P01", "relation \"s.three\" does not exist");
        }
    }
}

/** Each allocation fails once, in turn; afterwards everything is as if nothing had happened. */
static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    json_set_alloc_funcs(allocate, free);
    bool has_failed = true;
    for (int count = 0; has_failed; count++) {
        void *fresh = NULL;
        assert_int_equal(scene_open(&fresh), 0);
        struct scene *scene = fresh;
        allocations_fail_one_after(count);
        postgres_rollups_set_active(scene->rollups, true, "7/1");
        serve("100");
        has_failed = allocations_recover();
        postgres_rollups_set_active(scene->rollups, true, "7/1");
        postgres_rollups_refresh_all(scene->rollups);
        serve("101");
        assert_shows(scene, "t.a", "\"v\":1");
        assert_shows(scene, "t.b", "\"v\":2");
        assert_shows(scene, "t.rows#x", "\"v\":{\"n\":7}");
        assert_shows(scene, "t.rows#y", "\"v\":{\"n\":8}");
        assert_shows(scene, "t.lone", "\"state\":\"unreachable\"");
        assert_true(has_failed || count > 50);
        scene_close(&fresh);
    }
}

static void test_a_reader_that_cannot_be_made_leaves_nothing_behind(void **state)
{
    struct scene *scene = *state;
    const struct postgres_rollups_options options = {
        .pipeline = scene->gateway.pipeline, .metrics = scene->gateway.metrics, .now = small_gateway_now};
    struct loop_timer *before = the_timer;
    allocations_fail_one_after(0);
    assert_null(postgres_rollups_create(&options));
    assert_true(allocations_recover());
    assert_ptr_equal(the_timer, before);
}

/* ---- the order of snapshots ---- */

static uint64_t order_of(const char *snapshot)
{
    uint64_t order = 0;
    assert_true(rollup_snapshot_order(snapshot, &order));
    return order;
}

static void test_who_saw_more_comes_later(void **state)
{
    (void)state;
    assert_true(order_of("100:100:") < order_of("100:101:"));
    assert_true(order_of("100:200:") <
                order_of("100:201:100,150,199"));                  /* a higher xmax saw what began later */
    assert_true(order_of("90:100:90,95") < order_of("90:100:90")); /* one of them has ended */
    assert_true(order_of("90:100:90") < order_of("100:100:"));
    assert_true(order_of("5000000000:5000000001:") > order_of("4294967295:4294967296:"));
    uint64_t order = 0;
    assert_false(rollup_snapshot_order("", &order));
    assert_false(rollup_snapshot_order("100", &order));
    assert_false(rollup_snapshot_order("100:", &order));
    assert_false(rollup_snapshot_order("100:101", &order));
    assert_false(rollup_snapshot_order("100:99999999999999999999:", &order));
}

int main(void)
{
#define SCENE(test) cmocka_unit_test_setup_teardown(test, scene_open, scene_close)
    const struct CMUnitTest tests[] = {
        SCENE(test_becoming_active_asks_every_query_once),
        SCENE(test_a_change_is_read_at_once_and_without_an_id),
        SCENE(test_many_changes_during_a_reading_make_one_more),
        SCENE(test_a_slow_query_is_asked_less_often),
        SCENE(test_the_clock_asks_at_80_percent_of_the_cadence),
        SCENE(test_no_more_than_three_are_in_flight),
        SCENE(test_a_reading_that_saw_less_does_not_win),
        SCENE(test_no_row_and_null_are_no_data),
        SCENE(test_rows_that_are_gone_are_deleted),
        SCENE(test_more_rows_than_the_cap_are_said),
        SCENE(test_a_row_that_cannot_be_read_is_marked_and_the_others_go_on),
        SCENE(test_a_value_out_of_range_is_the_doors_business_and_told),
        SCENE(test_two_rows_for_one_value_are_one_too_many),
        SCENE(test_a_failing_query_marks_what_it_feeds_and_is_tried_again),
        SCENE(test_retries_grow_rare_and_a_change_tries_at_once),
        SCENE(test_wrong_sql_is_invalid_and_a_timeout_unreachable),
        SCENE(test_a_lost_connection_is_not_the_querys_fault),
        SCENE(test_an_answer_that_is_none_is_refused),
        SCENE(test_a_reload_is_noticed_and_old_answers_are_not_wanted),
        SCENE(test_inactive_forgets_and_active_again_reads_everything),
        SCENE(test_another_lineage_reads_everything_again),
        SCENE(test_what_could_not_be_ordered_is_read_again),
        SCENE(test_answers_after_the_end_find_nobody),
        cmocka_unit_test(test_every_allocation_may_fail),
        SCENE(test_a_reader_that_cannot_be_made_leaves_nothing_behind),
        cmocka_unit_test(test_who_saw_more_comes_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
