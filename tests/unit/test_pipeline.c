/* From a producer's words to a viewer's screen: real catalogue, journal, boards and hub; pretended loop and viewers. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "journal/memory_journal.h"
#include "pipeline.h"
#include "support/allocations.h"
#include "support/board_copy.h"
#include "support/definition_set.h"
#include "support/fake_loop.h"
#include "support/fake_viewer.h"

enum { DEFAULT_COALESCE_MS = 50, ITEMS_MAX = INGEST_ITEMS_MAX };

static const struct row_limit limits[] = {
    {.kpi = "s.deals", .rule = ROWS_TABLE, .cap = TABLE_CAP},
    {.kpi = "s.events", .rule = ROWS_FEED, .cap = FEED_CAP},
    {.kpi = "s.line", .rule = ROWS_SERIES, .cap = SERIES_CAP},
};
enum { LIMIT_COUNT = sizeof limits / sizeof limits[0] };

static const struct board_text both_boards[] = {{"main", "s.total s.slow s.usual s.deals s.events s.line"},
                                                {"side", "s.total s.copy"},
                                                {NULL, NULL}};

static struct fake_loop *the_loop; /* pipeline_options.now has no context */

static struct moment loop_now(void)
{
    return the_loop->now;
}

struct fixture {
    struct fake_loop loop;
    struct journal *journal;
    struct pipeline *pipeline;
    struct submission_item *items; /* of the newest submission */
    size_t count;
    unsigned dones;
};

static void put_in_force(struct fixture *f, const char *kpis, const struct board_text *boards)
{
    struct catalog *catalog = catalog_of(kpis, boards);
    assert_int_equal(pipeline_set_catalog(f->pipeline, catalog), RESULT_OK);
    catalog_unref(catalog);
    fake_loop_turn(&f->loop);
}

static const char *const every_role[] = {"*", NULL};

static const struct pipeline_options usual_options = {
    .max_boards = 8,
    .max_kpis = 20,
    .max_fields_per_board = 2000,
    .max_tombstones_per_board = 100,
    .max_positions_per_board = 100,
    .audience = {.open_roles = every_role, .business_roles = every_role},
    .max_text_bytes_per_board = 1000000,
    .coalesce_ms = DEFAULT_COALESCE_MS,
    .now = loop_now,
};

static void fixture_open_bare(struct fixture *f, const struct pipeline_options *options)
{
    memset(f, 0, sizeof *f);
    fake_loop_open(&f->loop, 10, 10000);
    the_loop = &f->loop;
    f->pipeline = pipeline_create(options, f->loop.hub, f->loop.metrics);
    assert_non_null(f->pipeline);
    const struct journal_host host = pipeline_journal_host(f->pipeline);
    f->journal = memory_journal_create(&host, 8);
    assert_non_null(f->journal);
    pipeline_set_journals(f->pipeline, f->journal, f->journal);
}

static void fixture_open(struct fixture *f)
{
    fixture_open_bare(f, &usual_options);
    put_in_force(f, ALL_KPIS, both_boards);
}

static void items_forget(struct fixture *f)
{
    for (size_t i = 0; i < f->count; i++) {
        change_finish(&f->items[i].change);
    }
    free(f->items);
    f->items = NULL;
    f->count = 0;
}

static void fixture_close(struct fixture *f)
{
    items_forget(f);
    pipeline_destroy(f->pipeline);
    journal_destroy(f->journal);
    fake_loop_close(&f->loop);
}

static void on_done(void *context, struct submission_item *items, size_t count)
{
    struct fixture *f = context;
    assert_ptr_equal(items, f->items);
    assert_int_equal(count, f->count);
    f->dones++;
}

static void decode(struct fixture *f, const char *array)
{
    items_forget(f);
    json_error_t error;
    json_t *changes = json_loads(array, 0, &error);
    if (!changes) {
        fail_msg("%s in %s", error.text, array);
    }
    f->count = json_array_size(changes);
    f->items = calloc(f->count + 1, sizeof *f->items);
    for (size_t i = 0; i < f->count; i++) {
        const char *problem = NULL;
        enum result result = change_decode(json_array_get(changes, i), &f->items[i].change, &problem);
        if (result != RESULT_OK) {
            fail_msg("%s: %s", result_name(result), problem ? problem : "");
        }
    }
    json_decref(changes);
}

static void submit_decoded(struct fixture *f)
{
    unsigned dones = f->dones;
    pipeline_submit(f->pipeline, f->items, f->count, on_done, f);
    assert_int_equal(f->dones, dones + 1);
}

/* `expected`: the outcomes' names separated by blanks. */
static void submit(struct fixture *f, const char *array, const char *expected)
{
    decode(f, array);
    submit_decoded(f);
    char outcomes[1024] = "";
    for (size_t i = 0; i < f->count; i++) {
        size_t used = strlen(outcomes);
        snprintf(outcomes + used, sizeof outcomes - used, "%s%s", used ? " " : "",
                 result_name(f->items[i].outcome));
    }
    assert_string_equal(outcomes, expected);
}

static struct board_copy *join(struct fixture *f, struct fake_viewer *fake, const char *board)
{
    fake_viewer_open(fake, f->loop.hub, WIRE_WS);
    struct board_copy *copy = fake_viewer_watch(fake, board, limits, LIMIT_COUNT);
    const struct viewer_quality quality = {.has_max_rate = false};
    assert_int_equal(pipeline_join(f->pipeline, fake->viewer, board, NULL, &quality), RESULT_OK);
    fake_viewer_forget(fake);
    return copy;
}

/* ---- judging ---- */

static void test_each_item_has_its_own_outcome_and_refusals_hide_nothing(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    submit(
        &f,
        "[" CHANGE("s.slow", "1.5") "," CHANGE("s.unknown", "1") "," CHANGE("s.total", "2000") "," CHANGE(
            "s.total#row",
            "1") "," CHANGE("s.deals",
                            ROW) "," CHANGE("s.usual",
                                            "\"word\"") ","
                                                        "{\"field\":\"s.total\",\"value\":5,\"as_of\":9999999999999}," CHANGE(
                                                            "s.deals#a",
                                                            "{}") "," CHANGE("s.copy",
                                                                             "5") "," CHANGE("s.deals#a",
                                                                                             ROW) "]",
        "ok unknown_field out_of_range unknown_field unknown_field wrong_type future missing_field forbidden ok");
    assert_string_equal(fake_loop_value(&f.loop, "main", "s.slow"), "{\"as_of\":1000,\"v\":1.5}");
    assert_string_equal(fake_loop_value(&f.loop, "main", "s.deals#a"),
                        "{\"as_of\":1000,\"v\":{\"name\":\"x\"}}");
    assert_non_null(strstr(f.items[2].detail, "2000"));
    assert_string_equal(f.items[0].detail, "");
    assert_int_equal(fake_loop_metric(&f.loop, "gw_changes_total", "result=\"accepted\""), 2);
    assert_int_equal(fake_loop_metric(&f.loop, "gw_changes_total", "result=\"unknown_field\""), 3);
    submit(&f, "[]", "");
    fixture_close(&f);
}

static void test_items_that_were_refused_before_are_passed_over(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    decode(&f, "[" CHANGE("s.slow", "1") "," CHANGE("s.usual", "2") "]");
    f.items[0].outcome = RESULT_MALFORMED;
    submit_decoded(&f);
    assert_int_equal(f.items[0].outcome, RESULT_MALFORMED);
    assert_int_equal(f.items[1].outcome, RESULT_OK);
    assert_string_equal(fake_loop_value(&f.loop, "main", "s.slow"), "(none)");
    fixture_close(&f);
}

static void test_repeated_and_older_changes_change_nothing(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    submit(&f, "[" CHANGE_V("s.slow", "1", "5") "," CHANGE("s.usual", "1") "]", "ok ok");
    struct position at = board_position(fake_loop_board(&f.loop, "main"));
    submit(&f,
           "[" CHANGE_V("s.slow", "2", "5") "," CHANGE_V("s.slow", "3", "4") "," CHANGE("s.usual", "1") "]",
           "unchanged older unchanged");
    struct position still = board_position(fake_loop_board(&f.loop, "main"));
    assert_true(position_equal(&at, &still));
    submit(&f,
           "[" CHANGE_V("s.slow", "4", "6") "," CHANGE_V("s.slow", "5", "6") "," CHANGE_V("s.slow", "6",
                                                                                          "2") "]",
           "ok unchanged older");
    assert_string_equal(fake_loop_value(&f.loop, "main", "s.slow"), "{\"as_of\":1000,\"v\":4,\"ver\":6}");
    submit(&f, "[" CHANGE("s.usual", "2") "," CHANGE("s.usual", "1") "]", "ok ok"); /* there and back again */
    assert_string_equal(fake_loop_value(&f.loop, "main", "s.usual"), "{\"as_of\":1000,\"v\":1}");
    fixture_close(&f);
}

/* A repeated mark has the text of the one before; its version must count all the same. */
static void test_a_newer_version_counts_even_when_its_text_is_known(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    static const char unreachable[] =
        "[{\"field\":\"s.slow\",\"state\":\"unreachable\",\"reason\":\"link down\",\"version\":%d}]";
    char text[200];
    submit(&f, "[" CHANGE_V("s.slow", "1", "1") "]", "ok");
    snprintf(text, sizeof text, unreachable, 3);
    submit(&f, text, "ok");
    struct position at = board_position(fake_loop_board(&f.loop, "main"));
    snprintf(text, sizeof text, unreachable, 5);
    submit(&f, text, "unchanged"); /* no viewer is bothered */
    struct position still = board_position(fake_loop_board(&f.loop, "main"));
    assert_true(position_equal(&at, &still));
    submit(&f, "[" CHANGE_V("s.slow", "2", "4") "]", "older");
    assert_non_null(strstr(fake_loop_value(&f.loop, "main", "s.slow"), "unreachable"));
    submit(&f, "[" CHANGE_V("s.slow", "2", "6") "]", "ok");
    fixture_close(&f);
}

/* ---- frames ---- */

static void test_one_submission_is_one_frame_per_board(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    struct fake_viewer main_viewer, side_viewer;
    struct board_copy *main_copy = join(&f, &main_viewer, "main");
    struct board_copy *side_copy = join(&f, &side_viewer, "side");
    submit(&f, "[" CHANGE("s.slow", "1") "," CHANGE("s.total", "7") "," CHANGE("s.events#1", ROW) "]",
           "ok ok ok");
    fake_loop_turn(&f.loop);
    assert_int_equal(fake_viewer_count(&main_viewer), 1);
    assert_int_equal(fake_viewer_count(&side_viewer), 1);
    assert_int_equal(json_object_size(json_object_get(fake_viewer_message(&main_viewer, 0), "set")), 3);
    board_copy_assert_equal(main_copy, fake_loop_board(&f.loop, "main"));
    board_copy_assert_equal(side_copy, fake_loop_board(&f.loop, "side"));
    assert_int_equal(json_object_size(side_copy->fields), 2);
    fake_viewer_close(&main_viewer);
    fake_viewer_close(&side_viewer);
    fixture_close(&f);
}

static void test_the_most_urgent_kpi_decides_how_long_changes_gather(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    struct fake_viewer fake;
    join(&f, &fake, "main");
    const struct {
        const char *changes;
        const char *outcomes;
        uint32_t wait_ms;
    } cases[] = {
        {"[" CHANGE("s.slow", "1") "]", "ok", 500},
        {"[" CHANGE("s.usual", "1") "]", "ok", DEFAULT_COALESCE_MS},
        {"[" CHANGE("s.usual", "2") "," CHANGE("s.slow", "2") "]", "ok ok", DEFAULT_COALESCE_MS},
        {"[" CHANGE("s.slow", "3") "," CHANGE("s.usual", "3") "]", "ok ok", DEFAULT_COALESCE_MS},
        {"[" CHANGE("s.slow", "4") "," CHANGE("s.total", "4") "," CHANGE("s.usual", "4") "]", "ok ok ok", 0},
        {"[" CHANGE("s.deals#a", ROW) "]", "ok", DEFAULT_COALESCE_MS},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        submit(&f, cases[i].changes, cases[i].outcomes);
        if (cases[i].wait_ms > 0) {
            fake_loop_pass(&f.loop, cases[i].wait_ms - 1);
            assert_int_equal(fake_viewer_count_of(&fake, "update"), i);
            fake_loop_pass(&f.loop, 5);
        } else {
            fake_loop_turn(&f.loop);
        }
        assert_int_equal(fake_viewer_count_of(&fake, "update"), i + 1);
    }
    fake_viewer_close(&fake);
    fixture_close(&f);
}

/* ---- refused values, levels, derived KPIs ---- */

static void test_a_refused_value_marks_the_last_good_one_until_the_next(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    submit(&f, "[" CHANGE("s.total", "7") "]", "ok");
    submit(&f, "[" CHANGE("s.total", "2000") "]", "out_of_range");
    const char *marked = fake_loop_value(&f.loop, "main", "s.total");
    assert_non_null(strstr(marked, "\"state\":\"invalid\""));
    assert_non_null(strstr(marked, "\"v\":7"));
    assert_non_null(strstr(marked, "\"as_of\":1000"));
    assert_non_null(strstr(marked, "2000"));
    assert_string_equal(fake_loop_value(&f.loop, "side", "s.total"), marked);
    struct position at = board_position(fake_loop_board(&f.loop, "main"));
    submit(&f, "[" CHANGE("s.total", "2000") "]", "out_of_range"); /* the same again is no news */
    struct position still = board_position(fake_loop_board(&f.loop, "main"));
    assert_true(position_equal(&at, &still));
    assert_int_equal(fake_loop_metric(&f.loop, "sophia_data_validation_failures_total", NULL),
                     2); /* and s.copy */
    submit(&f, "[" CHANGE("s.total", "7") "]", "ok");
    assert_string_equal(fake_loop_value(&f.loop, "main", "s.total"), "{\"as_of\":1000,\"v\":7}");
    submit(&f, "[" CHANGE("s.slow", "\"x\"") "]", "wrong_type"); /* there is no last good value */
    assert_non_null(strstr(fake_loop_value(&f.loop, "main", "s.slow"), "\"state\":\"invalid\""));
    assert_null(strstr(fake_loop_value(&f.loop, "main", "s.slow"), "\"v\":"));
    submit(&f, "[" CHANGE("s.deals#new", "{}") "]",
           "missing_field"); /* a row that never was leaves no trace */
    assert_string_equal(fake_loop_value(&f.loop, "main", "s.deals#new"), "(none)");
    fixture_close(&f);
}

static void test_a_source_that_loses_its_value_keeps_the_last_on_the_screen(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    submit(&f, "[" CHANGE("s.total", "7") "]", "ok");
    submit(&f, "[{\"field\":\"s.total\",\"state\":\"unreachable\",\"reason\":\"link down\"}]", "ok");
    assert_string_equal(fake_loop_value(&f.loop, "main", "s.total"),
                        "{\"as_of\":1000,\"state\":\"unreachable\",\"reason\":\"link down\",\"v\":7}");
    submit(&f, "[" CHANGE("s.total", "null") "]", "ok"); /* no data is no data: nothing is kept */
    assert_null(strstr(fake_loop_value(&f.loop, "main", "s.total"), "\"v\":"));
    fixture_close(&f);
}

static void test_a_refused_value_marks_the_good_one_of_its_own_submission(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    submit(&f, "[" CHANGE("s.total", "1") "]", "ok");
    submit(&f, "[" CHANGE("s.total", "2") "," CHANGE("s.total", "2000") "]", "ok out_of_range");
    assert_non_null(strstr(fake_loop_value(&f.loop, "main", "s.total"), "\"v\":2"));
    assert_non_null(strstr(fake_loop_value(&f.loop, "main", "s.total"), "invalid"));
    submit(&f, "[" CHANGE("s.total", "2000") "," CHANGE("s.total", "3") "]", "out_of_range ok");
    assert_string_equal(fake_loop_value(&f.loop, "main", "s.total"), "{\"as_of\":1000,\"v\":3}");
    submit(&f, "[" CHANGE("s.deals#a", ROW) "," CHANGE("s.deals#a", "{}") "]", "ok missing_field");
    assert_non_null(strstr(fake_loop_value(&f.loop, "main", "s.deals#a"), "invalid"));
    fixture_close(&f);
}

static void test_a_refused_change_may_be_sent_again_when_its_cause_is_cured(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    submit(&f, "[" CHANGE_V("s.total", "7", "4") "]", "ok");
    submit(&f, "[" CHANGE_V("s.total", "2000", "5") "]", "out_of_range");
    assert_non_null(strstr(fake_loop_value(&f.loop, "main", "s.total"), "invalid"));
    submit(&f, "[" CHANGE_V("s.total", "6", "3") "," CHANGE_V("s.total", "7", "4") "]", "older unchanged");
    submit(&f, "[" CHANGE_V("s.total", "20", "5") "]", "ok");
    assert_string_equal(fake_loop_value(&f.loop, "side", "s.total"), "{\"as_of\":1000,\"v\":20,\"ver\":5}");
    assert_string_equal(fake_loop_value(&f.loop, "side", "s.copy"), "{\"as_of\":1000,\"v\":20,\"ver\":5}");
    submit(&f, "[" CHANGE_V("s.total", "30", "8") "," CHANGE_V("s.total", "2000", "9") "]",
           "ok out_of_range");
    submit(&f, "[" CHANGE_V("s.total", "31", "8") "]", "unchanged"); /* the good one counts */
    submit(&f, "[" CHANGE_V("s.total", "40", "9") "]", "ok");
    submit(&f, "[" CHANGE_V("s.total", "2000", "10") "," CHANGE_V("s.total", "50", "12") "]",
           "out_of_range ok");
    submit(&f, "[" CHANGE_V("s.total", "51", "11") "]", "older"); /* the mark was not what it ended with */
    submit(&f, "[" CHANGE_V("s.total", "2000", "11") "," CHANGE_V("s.total", "2000", "13") "]",
           "older out_of_range");
    submit(&f, "[" CHANGE_V("s.total", "52", "13") "]", "ok");
    fixture_close(&f);
}

static void test_levels_are_part_of_the_value(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    submit(&f, "[" CHANGE("s.total", "99") "]", "ok");
    assert_string_equal(fake_loop_value(&f.loop, "main", "s.total"), "{\"as_of\":1000,\"v\":99}");
    submit(&f, "[" CHANGE("s.total", "100") "]", "ok");
    assert_string_equal(fake_loop_value(&f.loop, "main", "s.total"),
                        "{\"as_of\":1000,\"v\":100,\"level\":\"warn\"}");
    submit(&f, "[" CHANGE("s.total", "250") "]", "ok");
    assert_string_equal(fake_loop_value(&f.loop, "side", "s.total"),
                        "{\"as_of\":1000,\"v\":250,\"level\":\"crit\"}");
    submit(&f, "[" CHANGE("s.total", "5") "]", "ok");
    assert_string_equal(fake_loop_value(&f.loop, "main", "s.total"), "{\"as_of\":1000,\"v\":5}");
    fixture_close(&f);
}

static void test_a_derived_kpi_follows_its_original(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    submit(&f, "[" CHANGE_V("s.total", "7", "3") "]", "ok");
    assert_string_equal(fake_loop_value(&f.loop, "side", "s.copy"), "{\"as_of\":1000,\"v\":7,\"ver\":3}");
    assert_string_equal(fake_loop_value(&f.loop, "main", "s.copy"), "(none)");
    submit(&f, "[" CHANGE_V("s.total", "2000", "4") "]", "out_of_range");
    assert_non_null(strstr(fake_loop_value(&f.loop, "side", "s.copy"), "invalid"));
    assert_non_null(strstr(fake_loop_value(&f.loop, "side", "s.copy"), "\"v\":7"));
    submit(&f, "[" CHANGE_V("s.total", "8", "5") "," CHANGE_V("s.total", "6", "2") "]", "ok older");
    assert_string_equal(fake_loop_value(&f.loop, "side", "s.copy"), "{\"as_of\":1000,\"v\":8,\"ver\":5}");
    submit(&f, "[" CHANGE("s.copy", "5") "]", "forbidden");
    assert_non_null(strstr(f.items[0].detail, "s.total"));
    fixture_close(&f);
}

/* ---- rows ---- */

static void test_a_table_refuses_rows_beyond_its_cap(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    submit(&f, "[" CHANGE("s.deals#a", ROW) "," CHANGE("s.deals#b", ROW) "," CHANGE("s.deals#c", ROW) "]",
           "ok ok full");
    assert_string_equal(fake_loop_value(&f.loop, "main", "s.deals#c"), "(none)");
    assert_non_null(strstr(f.items[2].detail, "2 rows"));
    submit(&f, "[" CHANGE("s.deals#a", "{\"name\":\"y\"}") "," CHANGE("s.deals#c", ROW) "]", "ok full");
    submit(&f, "[" REMOVAL("s.deals#a") "]", "ok");
    submit(&f, "[" CHANGE("s.deals#c", ROW) "]", "ok");
    assert_int_equal(board_row_count(fake_loop_board(&f.loop, "main"), "s.deals", 7), 2);
    fixture_close(&f);
}

static void test_rows_may_be_exchanged_in_one_submission(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    submit(&f, "[" CHANGE("s.deals#a", ROW) "," CHANGE("s.deals#b", ROW) "]", "ok ok");
    submit(&f, "[" REMOVAL("s.deals#a") "," CHANGE("s.deals#c", ROW) "," CHANGE("s.deals#d", ROW) "]",
           "ok ok full");
    submit(&f,
           "[" REMOVAL("s.deals#b") "," REMOVAL("s.deals#b") "," CHANGE("s.deals#d",
                                                                        ROW) "," CHANGE("s.deals#e", ROW) "]",
           "ok unchanged ok full");
    assert_int_equal(board_row_count(fake_loop_board(&f.loop, "main"), "s.deals", 7), 2);
    submit(&f, "[" REMOVAL("s.deals#c") "," CHANGE("s.deals#c", ROW) "," CHANGE("s.deals#f", ROW) "]",
           "ok ok full");
    fixture_close(&f);
}

static void test_a_refused_row_takes_no_place(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    submit(&f,
           "[" CHANGE("s.deals#bad", "{}") "," CHANGE("s.deals#worse", "5") "," CHANGE(
               "s.deals#a", ROW) "," CHANGE("s.deals#b", ROW) "]",
           "missing_field wrong_type ok ok");
    fixture_close(&f);
}

static void test_only_rows_of_tables_can_be_deleted(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    submit(&f, "[" CHANGE("s.total", "1") "," CHANGE("s.events#1", ROW) "," CHANGE("s.line#1", ROW) "]",
           "ok ok ok");
    submit(&f,
           "[" REMOVAL("s.total") "," REMOVAL("s.events#1") "," REMOVAL("s.line#1") "," REMOVAL(
               "s.deals#none") "]",
           "wrong_type wrong_type wrong_type unchanged");
    assert_string_equal(fake_loop_value(&f.loop, "main", "s.total"), "{\"as_of\":1000,\"v\":1}");
    fixture_close(&f);
}

static void test_a_row_added_and_deleted_at_once_is_gone(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    struct fake_viewer fake;
    struct board_copy *copy = join(&f, &fake, "main");
    submit(&f,
           "[" CHANGE("s.deals#a", ROW) "," REMOVAL("s.deals#a") "," CHANGE("s.deals#b", ROW) "," CHANGE(
               "s.deals#c", ROW) "]",
           "ok ok ok ok");
    fake_loop_pass(&f.loop, 100);
    assert_string_equal(fake_loop_value(&f.loop, "main", "s.deals#a"), "(none)");
    board_copy_assert_equal(copy, fake_loop_board(&f.loop, "main"));
    assert_int_equal(copy->offset, 4);
    fake_viewer_close(&fake);
    fixture_close(&f);
}

static void test_a_versioned_delete_holds_against_the_row_it_overtook(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    submit(&f, "[" REMOVAL_V("s.deals#a", "9") "]", "ok");
    submit(&f, "[" CHANGE_V("s.deals#a", ROW, "8") "]", "older");
    submit(&f, "[" REMOVAL_V("s.deals#a", "9") "]", "unchanged");
    submit(&f, "[" REMOVAL_V("s.deals#a", "12") "]", "ok");
    submit(&f, "[" CHANGE_V("s.deals#a", ROW, "11") "]", "older");
    submit(&f, "[" CHANGE_V("s.deals#a", ROW, "13") "]", "ok");
    fixture_close(&f);
}

static void test_feeds_and_series_trim_alike_on_board_and_screen(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    struct fake_viewer fake;
    struct board_copy *copy = join(&f, &fake, "main");
    for (int i = 0; i < 30; i++) {
        char text[400];
        snprintf(text, sizeof text,
                 "[{\"field\":\"s.events#%d\",\"value\":{\"name\":\"x\"}},"
                 "{\"field\":\"s.line#%d\",\"value\":{\"name\":\"x\"}}]",
                 i * 7 % 10, i * 7 % 10);
        submit(&f, text, "ok ok");
        fake_loop_pass(&f.loop, i % 3 ? 100 : 10);
        if (i % 3) {
            board_copy_assert_equal(copy, fake_loop_board(&f.loop, "main"));
        }
    }
    assert_int_equal(board_row_count(fake_loop_board(&f.loop, "main"), "s.events", 8), FEED_CAP);
    assert_int_equal(board_row_count(fake_loop_board(&f.loop, "main"), "s.line", 6), SERIES_CAP);
    fake_viewer_close(&fake);
    fixture_close(&f);
}

/* ---- large submissions ---- */

static const struct pipeline_options roomy_options = {
    .max_boards = 8,
    .max_kpis = 20,
    .max_fields_per_board = 4000,
    .max_tombstones_per_board = 100,
    .max_positions_per_board = 100,
    .audience = {.open_roles = every_role, .business_roles = every_role},
    .max_text_bytes_per_board = 1000000,
    .coalesce_ms = DEFAULT_COALESCE_MS,
    .now = loop_now,
};

#define BIG "{\"id\": \"s.big\", \"type\": \"table\", \"cap\": 1000, " COLUMNS ", " HTTP_KPI "}"

static void draw_up_a_thousand_rows(struct fixture *f, const char *kpi)
{
    items_forget(f);
    f->count = ITEMS_MAX;
    f->items = calloc(f->count, sizeof *f->items);
    for (size_t i = 0; i < f->count; i++) {
        json_t *change =
            json_pack("{s:o,s:{s:s}}", "field", json_sprintf("%s#%zu", kpi, i), "value", "name", "x");
        const char *problem = NULL;
        assert_int_equal(change_decode(change, &f->items[i].change, &problem), RESULT_OK);
        json_decref(change);
    }
}

static void test_a_board_at_its_limit_of_bytes_takes_only_what_does_not_grow(void **state)
{
    (void)state;
    struct pipeline_options tight = usual_options;
    tight.max_text_bytes_per_board = 80;
    struct fixture f;
    fixture_open_bare(&f, &tight);
    put_in_force(&f, ALL_KPIS, both_boards);
    submit(&f, "[" CHANGE("s.total", "7") "]", "ok");
    submit(&f, "[" CHANGE("s.deals#a", ROW) "]", "ok");
    submit(&f, "[" CHANGE("s.deals#b", ROW) "]", "full");
    assert_string_equal(fake_loop_value(&f.loop, "main", "s.deals#b"), "(none)");
    submit(&f, "[" CHANGE("s.total", "8") "]", "ok");
    submit(&f, "[" REMOVAL("s.deals#a") "," CHANGE("s.total", "9") "]", "ok ok");
    submit(&f, "[" CHANGE("s.deals#b", ROW) "]", "ok");
    fixture_close(&f);
}

static void test_a_thousand_items_on_six_boards_are_all_accepted(void **state)
{
    (void)state;
    static const struct board_text six[] = {{"a", "s.big"}, {"b", "s.big"}, {"c", "s.big"}, {"d", "s.big"},
                                            {"e", "s.big"}, {"f", "s.big"}, {NULL, NULL}};
    struct fixture f;
    fixture_open_bare(&f, &roomy_options);
    put_in_force(&f, BIG, six);
    draw_up_a_thousand_rows(&f, "s.big");
    submit_decoded(&f);
    for (size_t i = 0; i < f.count; i++) {
        assert_int_equal(f.items[i].outcome, RESULT_OK);
    }
    for (size_t i = 0; six[i].id; i++) {
        assert_int_equal(board_row_count(fake_loop_board(&f.loop, six[i].id), "s.big", 5), 1000);
        assert_int_equal(board_position(fake_loop_board(&f.loop, six[i].id)).offset, 1000);
    }
    fixture_close(&f);
}

/* ---- reloads ---- */

static const struct board_text main_only[] = {{"main", "s.total s.usual"}, {NULL, NULL}};

static void test_a_reload_removes_what_left_and_tells_viewers(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    submit(&f,
           "[" CHANGE("s.total", "1") "," CHANGE("s.slow", "2") "," CHANGE("s.usual", "3") "," CHANGE(
               "s.deals#a", ROW) "," CHANGE("s.events#a", ROW) "]",
           "ok ok ok ok ok");
    fake_loop_pass(&f.loop, 600);
    struct fake_viewer main_viewer, side_viewer;
    struct board_copy *copy = join(&f, &main_viewer, "main");
    join(&f, &side_viewer, "side");
    char before[17];
    snprintf(before, sizeof before, "%s", catalog_hash(pipeline_catalog(f.pipeline)));
    put_in_force(&f, TOTAL "," USUAL, main_only);
    fake_loop_pass(&f.loop, 600);
    assert_int_equal(json_object_size(copy->fields), 2);
    board_copy_assert_equal(copy, fake_loop_board(&f.loop, "main"));
    assert_int_equal(copy->snapshots, 2); /* it sees other KPIs than before */
    assert_int_equal(fake_viewer_count_of(&main_viewer, "heartbeat"), 1);
    assert_string_not_equal(message_text(fake_viewer_message(&main_viewer, 0), "catalog"), before);
    assert_null(hub_topic(f.loop.hub, "side"));
    assert_string_equal(message_text(fake_viewer_message(&side_viewer, 0), "name"), "unknown_board");
    const struct viewer_quality quality = {.has_max_rate = false};
    assert_int_equal(pipeline_join(f.pipeline, side_viewer.viewer, "side", NULL, &quality),
                     RESULT_UNKNOWN_BOARD);
    submit(&f, "[" CHANGE("s.slow", "2") "," CHANGE("s.total", "9") "]", "unknown_field ok");
    fake_viewer_close(&main_viewer);
    fake_viewer_close(&side_viewer);
    fixture_close(&f);
}

static void test_a_reload_that_removes_more_fields_than_tombstones_is_whole(void **state)
{
    (void)state;
    struct fixture f;
    struct pipeline_options options = usual_options;
    options.max_tombstones_per_board = 5;
    fixture_open_bare(&f, &options);
    put_in_force(&f, ALL_KPIS "," BIG,
                 (const struct board_text[]){
                     {"main", "s.total s.usual s.big"}, {"side", "s.copy s.total"}, {NULL, NULL}});
    submit(&f, "[" CHANGE("s.usual", "3") "]", "ok");
    for (int i = 0; i < 600; i++) {
        char text[100];
        snprintf(text, sizeof text, "[{\"field\":\"s.big#%d\",\"value\":{\"name\":\"x\"}}]", i);
        submit(&f, text, "ok");
    }
    fake_loop_pass(&f.loop, 600);
    struct fake_viewer fake;
    struct board_copy *copy = join(&f, &fake, "main");
    put_in_force(&f, TOTAL "," USUAL, main_only);
    fake_loop_pass(&f.loop, 600);
    assert_int_equal(json_object_size(copy->fields), 1);
    board_copy_assert_equal(copy, fake_loop_board(&f.loop, "main"));
    fake_viewer_close(&fake);
    fixture_close(&f);
}

static void test_history_survives_a_reload_of_its_kpi_only(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    submit(&f, "[" CHANGE("s.total", "1") "]", "ok");
    put_in_force(&f, TOTAL "," USUAL, main_only);
    struct bytes text;
    bytes_init(&text, 1000);
    uint64_t step_ms = 0;
    assert_true(pipeline_history(f.pipeline, "s.total", 9, &text, &step_ms));
    assert_int_equal(step_ms, 1000);
    assert_int_equal(text.length, 10);
    assert_memory_equal(text.at, "[[1000,1]]", 10);
    put_in_force(&f, USUAL, (const struct board_text[]){{"main", "s.usual"}, {NULL, NULL}});
    assert_false(pipeline_history(f.pipeline, "s.total", 9, &text, &step_ms));
    bytes_finish(&text);
    fixture_close(&f);
}

static void test_a_kpi_that_moves_to_another_board_brings_its_values(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    submit(&f,
           "[" CHANGE_V("s.total", "7", "4") "," CHANGE("s.deals#a", ROW) "," CHANGE("s.deals#b", ROW) "]",
           "ok ok ok");
    /* "early" sorts before "main"; s.deals leaves main for it, s.total is on both. */
    put_in_force(
        &f, TOTAL "," USUAL "," DEALS,
        (const struct board_text[]){{"early", "s.total s.deals"}, {"main", "s.total s.usual"}, {NULL, NULL}});
    assert_string_equal(fake_loop_value(&f.loop, "early", "s.total"), "{\"as_of\":1000,\"v\":7,\"ver\":4}");
    assert_int_equal(board_row_count(fake_loop_board(&f.loop, "early"), "s.deals", 7), 2);
    assert_string_equal(fake_loop_value(&f.loop, "main", "s.deals#a"), "(none)");
    submit(
        &f,
        "[" CHANGE_V("s.total", "7", "4") "," CHANGE_V("s.total", "3", "3") "," CHANGE("s.deals#c", ROW) "]",
        "unchanged older full");
    submit(&f, "[" CHANGE("s.total", "2000") "," REMOVAL("s.deals#a") "]", "out_of_range ok");
    assert_non_null(strstr(fake_loop_value(&f.loop, "early", "s.total"), "\"v\":7"));
    assert_non_null(strstr(fake_loop_value(&f.loop, "main", "s.total"), "\"v\":7"));
    fixture_close(&f);
}

static void test_a_kpi_that_returns_accepts_the_version_it_had(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    submit(&f, "[" CHANGE_V("s.slow", "7", "4") "]", "ok");
    put_in_force(&f, TOTAL "," USUAL, main_only);
    put_in_force(&f, ALL_KPIS, both_boards);
    assert_string_equal(fake_loop_value(&f.loop, "main", "s.slow"), "(none)");
    submit(&f, "[" CHANGE_V("s.slow", "7", "4") "]", "ok");
    assert_string_equal(fake_loop_value(&f.loop, "main", "s.slow"), "{\"as_of\":1000,\"v\":7,\"ver\":4}");
    fixture_close(&f);
}

static void test_a_board_that_returns_is_another_history(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    submit(&f, "[" CHANGE("s.total", "7") "]", "ok");
    struct position before = board_position(fake_loop_board(&f.loop, "side"));
    put_in_force(&f, TOTAL "," USUAL, main_only);
    put_in_force(&f, TOTAL "," USUAL "," COPY,
                 (const struct board_text[]){{"main", "s.total s.usual"}, {"side", "s.copy"}, {NULL, NULL}});
    struct fake_viewer fake;
    fake_viewer_open(&fake, f.loop.hub, WIRE_WS);
    const struct viewer_quality quality = {.has_max_rate = false};
    assert_int_equal(pipeline_join(f.pipeline, fake.viewer, "side", &before, &quality), RESULT_OK);
    assert_string_equal(message_text(fake_viewer_message(&fake, 0), "resume"), "snapshot");
    fake_viewer_close(&fake);
    fixture_close(&f);
}

static void test_definitions_that_do_not_fit_change_nothing(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    submit(&f, "[" CHANGE("s.total", "7") "]", "ok");
    const struct catalog *before = pipeline_catalog(f.pipeline);
    struct catalog *too_many = catalog_of(ALL_KPIS, (const struct board_text[]){{"main", "s.total"},
                                                                                {"side", "s.total"},
                                                                                {"c", "s.total"},
                                                                                {"d", "s.total"},
                                                                                {"e", "s.total"},
                                                                                {"f", "s.total"},
                                                                                {"g", "s.total"},
                                                                                {"h", "s.total"},
                                                                                {"i", "s.total"},
                                                                                {NULL, NULL}});
    assert_int_not_equal(pipeline_set_catalog(f.pipeline, too_many),
                         RESULT_OK); /* the hub takes eight boards */
    catalog_unref(too_many);
    assert_ptr_equal(pipeline_catalog(f.pipeline), before);
    assert_null(hub_topic(f.loop.hub, "c"));
    assert_string_equal(fake_loop_value(&f.loop, "side", "s.total"), "{\"as_of\":1000,\"v\":7}");
    submit(&f, "[" CHANGE("s.slow", "7") "]", "ok");
    fixture_close(&f);
}

static void test_many_different_catalogues_do_not_fill_the_pipeline(void **state)
{
    (void)state;
    struct fixture f;
    struct pipeline_options options = usual_options;
    options.max_kpis = 4;
    fixture_open_bare(&f, &options);
    for (int i = 0; i < 20; i++) {
        char kpi[600];
        char name[16];
        snprintf(name, sizeof name, "s.k%d", i);
        snprintf(kpi, sizeof kpi,
                 "{\"id\": \"%s\", \"type\": \"gauge\", \"unit\": \"integer\", \"good\": \"down\","
                 "\"history\": {\"points\": 3, \"step\": \"1s\"},"
                 "\"threshold\": {\"basis\": \"value\", \"warn\": 100, \"crit\": 200}, " HTTP_KPI "}",
                 name);
        put_in_force(&f, kpi, (const struct board_text[]){{"main", name}, {NULL, NULL}});
        char text[100];
        snprintf(text, sizeof text, "[{\"field\":\"%s\",\"value\":150,\"as_of\":1000}]", name);
        submit(&f, text, "ok");
        assert_string_equal(fake_loop_value(&f.loop, "main", name),
                            "{\"as_of\":1000,\"v\":150,\"level\":\"warn\"}");
    }
    fixture_close(&f);
}

/* ---- history, snapshots, ages ---- */

static void assert_history(struct fixture *f, const char *expected)
{
    struct bytes text;
    bytes_init(&text, 1000);
    uint64_t step_ms = 0;
    assert_true(pipeline_history(f->pipeline, "s.total", 120, &text, &step_ms));
    bytes_append_byte(&text, '\0');
    assert_string_equal(text.at, expected);
    bytes_finish(&text);
}

static void test_values_and_points_feed_the_history(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    submit(&f,
           "[{\"field\":\"s.total\",\"value\":3,\"as_of\":30000,"
           "\"points\":[[10000,1],[20000,2],[20500,2.5]]}]",
           "ok");
    assert_history(&f, "[[10000,1],[20500,2.5],[30000,3]]");
    submit(&f, "[{\"field\":\"s.total\",\"value\":4,\"as_of\":40000}]", "ok");
    assert_history(&f, "[[20500,2.5],[30000,3],[40000,4]]");
    submit(&f, "[{\"field\":\"s.total\",\"value\":2000,\"as_of\":50000}]", "out_of_range");
    submit(&f, "[{\"field\":\"s.total\",\"value\":null,\"as_of\":60000}]", "ok");
    submit(&f, "[{\"field\":\"s.total\",\"value\":6,\"state\":\"partial\",\"reason\":\"r\",\"as_of\":70000}]",
           "ok");
    assert_history(&f, "[[20500,2.5],[30000,3],[40000,4]]");
    const char *text = NULL;
    size_t length = 0;
    struct position position;
    assert_int_equal(pipeline_snapshot(f.pipeline, NULL, "main", &text, &length, &position), RESULT_OK);
    json_t *snapshot = json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL);
    assert_string_equal(message_text(json_object_get(snapshot, "history"), "s.total"),
                        "[[20500,2.5],[30000,3],[40000,4]]");
    struct position at = board_position(fake_loop_board(&f.loop, "main"));
    assert_true(position.epoch == at.epoch && position.offset == at.offset);
    assert_int_equal(position.nonce,
                     strtoul(message_text(snapshot, "nonce"), NULL, 16)); /* as viewers are told */
    assert_int_equal(pipeline_snapshot(f.pipeline, NULL, "none", &text, &length, &position),
                     RESULT_UNKNOWN_BOARD);
    json_decref(snapshot);
    fixture_close(&f);
}

struct ages {
    enum freshness total, deals, slow, copy;
    int64_t deals_as_of_ms;
    unsigned visits;
};

static void on_age(void *context, const struct kpi_age *age)
{
    struct ages *ages = context;
    ages->visits++;
    if (strcmp(age->kpi->id, "s.total") == 0) {
        ages->total = age->freshness;
    } else if (strcmp(age->kpi->id, "s.copy") == 0) {
        ages->copy = age->freshness;
    } else if (strcmp(age->kpi->id, "s.slow") == 0) {
        ages->slow = age->freshness;
    } else if (strcmp(age->kpi->id, "s.deals") == 0) {
        ages->deals = age->freshness;
        ages->deals_as_of_ms = age->as_of_ms;
    }
}

static struct ages ages_of(struct fixture *f)
{
    struct ages ages = {.visits = 0};
    pipeline_each_age(f->pipeline, on_age, &ages);
    return ages;
}

static void test_ages_follow_the_newest_value_and_the_source(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    struct ages ages = ages_of(&f);
    assert_int_equal(ages.visits, 7);
    assert_int_equal(ages.total, FRESHNESS_NO_DATA);
    char text[400];
    long long now_ms = (long long)f.loop.now.wall_ms;
    snprintf(
        text, sizeof text,
        "[{\"field\":\"s.total\",\"value\":1},{\"field\":\"s.deals#old\",\"value\":{\"name\":\"x\"},\"as_of\":%lld},"
        "{\"field\":\"s.deals#new\",\"value\":{\"name\":\"x\"},\"as_of\":%lld},"
        "{\"field\":\"s.slow\",\"value\":null}]",
        now_ms - 50000, now_ms - 15000);
    submit(&f, text, "ok ok ok ok");
    ages = ages_of(&f);
    assert_int_equal(ages.total, FRESHNESS_FRESH);
    assert_int_equal(ages.copy, FRESHNESS_FRESH);
    assert_int_equal(ages.deals, FRESHNESS_AGEING);
    assert_int_equal(ages.deals_as_of_ms, now_ms - 15000);
    assert_int_equal(ages.slow, FRESHNESS_NO_DATA);
    fake_loop_pass(&f.loop, 25000);
    assert_int_equal(ages_of(&f).total, FRESHNESS_STALE);
    fake_loop_pass(&f.loop, 25000);
    assert_int_equal(ages_of(&f).total, FRESHNESS_EXPIRED);
    pipeline_report_source(f.pipeline, "http", false, "gone");
    assert_int_equal(ages_of(&f).total, FRESHNESS_UNREACHABLE);
    submit(&f, "[" CHANGE("s.total", "2000") "]", "out_of_range");
    assert_int_equal(ages_of(&f).total, FRESHNESS_INVALID);
    fixture_close(&f);
}

/* ---- memory ---- */

/* Whatever fails, the answer is given once, the boards stay in step with the journal, and viewers equal them. */
static void test_a_submission_survives_every_failed_allocation(void **state)
{
    (void)state;
    for (int for_good = 0; for_good < 2; for_good++) {
        bool has_failed = true;
        for (int i = 0; has_failed; i++) {
            struct fixture f;
            fixture_open(&f);
            struct fake_viewer fake;
            struct board_copy *copy = join(&f, &fake, "side");
            submit(&f, "[" CHANGE("s.total", "1") "," CHANGE("s.deals#a", ROW) "]", "ok ok");
            decode(&f, "[" CHANGE("s.total", "2") "," CHANGE("s.total", "2000") "," REMOVAL(
                           "s.deals#a") "," CHANGE("s.deals#b", ROW) "," CHANGE("s.slow", "2") "]");
            if (for_good) {
                allocations_fail_all_after(i);
            } else {
                allocations_fail_one_after(i);
            }
            submit_decoded(&f);
            has_failed = allocations_recover();
            submit(&f, "[" CHANGE("s.total", "150") "," CHANGE("s.slow", "9") "]", "ok ok");
            assert_string_equal(fake_loop_value(&f.loop, "main", "s.total"),
                                "{\"as_of\":1000,\"v\":150,\"level\":\"warn\"}");
            assert_string_equal(fake_loop_value(&f.loop, "side", "s.total"),
                                "{\"as_of\":1000,\"v\":150,\"level\":\"warn\"}");
            assert_string_equal(fake_loop_value(&f.loop, "main", "s.slow"), "{\"as_of\":1000,\"v\":9}");
            fake_loop_pass(&f.loop, 600);
            board_copy_assert_equal(copy, fake_loop_board(&f.loop, "side"));
            fake_viewer_close(&fake);
            fixture_close(&f);
        }
    }
}

/* What a board could not be rid of, for want of memory, its viewers do not see any more. */
static void assert_usual_is_shown(struct board_copy *copy, const struct board *board, bool may_hold_more)
{
    if (may_hold_more && json_object_size(copy->fields) < board_field_count(board)) {
        assert_int_equal(json_object_size(copy->fields), 1);
        assert_non_null(json_object_get(copy->fields, "s.usual"));
    } else {
        board_copy_assert_equal(copy, board);
    }
}

static void test_a_reload_survives_every_failed_allocation(void **state)
{
    (void)state;
    struct catalog *other = catalog_of(
        TOTAL "," USUAL "," COPY,
        (const struct board_text[]){{"early", "s.total s.copy"}, {"main", "s.usual"}, {NULL, NULL}});
    bool has_failed = true;
    for (int i = 0; has_failed; i++) {
        struct fixture f;
        fixture_open(&f);
        struct fake_viewer fake;
        struct board_copy *copy = join(&f, &fake, "main");
        submit(&f, "[" CHANGE("s.total", "1") "," CHANGE("s.usual", "2") "," CHANGE("s.events#a", ROW) "]",
               "ok ok ok");
        allocations_fail_one_after(i);
        enum result result = pipeline_set_catalog(f.pipeline, other);
        has_failed = allocations_recover();
        assert_true(result == RESULT_OK || has_failed);
        assert_true((hub_topic(f.loop.hub, "early") != NULL) == (result == RESULT_OK));
        assert_true((hub_topic(f.loop.hub, "side") != NULL) == (result != RESULT_OK));
        bool may_hold_more = has_failed && result == RESULT_OK;
        fake_loop_pass(&f.loop, 600);
        assert_true(!fake.is_closed || has_failed); /* its view could not be made: it comes back */
        if (!fake.is_closed) {
            assert_usual_is_shown(copy, fake_loop_board(&f.loop, "main"), may_hold_more);
        }
        submit(&f, "[" CHANGE("s.usual", "5") "]", "ok");
        fake_loop_pass(&f.loop, 600);
        if (!fake.is_closed) {
            assert_usual_is_shown(copy, fake_loop_board(&f.loop, "main"), may_hold_more);
        }
        fake_viewer_close(&fake);
        fixture_close(&f);
    }
    catalog_unref(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_item_has_its_own_outcome_and_refusals_hide_nothing),
        cmocka_unit_test(test_items_that_were_refused_before_are_passed_over),
        cmocka_unit_test(test_repeated_and_older_changes_change_nothing),
        cmocka_unit_test(test_a_newer_version_counts_even_when_its_text_is_known),
        cmocka_unit_test(test_one_submission_is_one_frame_per_board),
        cmocka_unit_test(test_the_most_urgent_kpi_decides_how_long_changes_gather),
        cmocka_unit_test(test_a_refused_value_marks_the_last_good_one_until_the_next),
        cmocka_unit_test(test_a_source_that_loses_its_value_keeps_the_last_on_the_screen),
        cmocka_unit_test(test_a_refused_value_marks_the_good_one_of_its_own_submission),
        cmocka_unit_test(test_a_refused_change_may_be_sent_again_when_its_cause_is_cured),
        cmocka_unit_test(test_levels_are_part_of_the_value),
        cmocka_unit_test(test_a_derived_kpi_follows_its_original),
        cmocka_unit_test(test_a_table_refuses_rows_beyond_its_cap),
        cmocka_unit_test(test_rows_may_be_exchanged_in_one_submission),
        cmocka_unit_test(test_a_refused_row_takes_no_place),
        cmocka_unit_test(test_only_rows_of_tables_can_be_deleted),
        cmocka_unit_test(test_a_row_added_and_deleted_at_once_is_gone),
        cmocka_unit_test(test_a_versioned_delete_holds_against_the_row_it_overtook),
        cmocka_unit_test(test_feeds_and_series_trim_alike_on_board_and_screen),
        cmocka_unit_test(test_a_board_at_its_limit_of_bytes_takes_only_what_does_not_grow),
        cmocka_unit_test(test_a_thousand_items_on_six_boards_are_all_accepted),
        cmocka_unit_test(test_a_reload_removes_what_left_and_tells_viewers),
        cmocka_unit_test(test_a_reload_that_removes_more_fields_than_tombstones_is_whole),
        cmocka_unit_test(test_history_survives_a_reload_of_its_kpi_only),
        cmocka_unit_test(test_a_kpi_that_moves_to_another_board_brings_its_values),
        cmocka_unit_test(test_a_kpi_that_returns_accepts_the_version_it_had),
        cmocka_unit_test(test_a_board_that_returns_is_another_history),
        cmocka_unit_test(test_definitions_that_do_not_fit_change_nothing),
        cmocka_unit_test(test_many_different_catalogues_do_not_fill_the_pipeline),
        cmocka_unit_test(test_values_and_points_feed_the_history),
        cmocka_unit_test(test_ages_follow_the_newest_value_and_the_source),
        cmocka_unit_test(test_a_submission_survives_every_failed_allocation),
        cmocka_unit_test(test_a_reload_survives_every_failed_allocation),
    };
    return cmocka_run_group_tests_name("pipeline", tests, NULL, NULL);
}
