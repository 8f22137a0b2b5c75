/*
 * The demo on a real pipeline: a whole day goes in, and what is on the boards afterwards
 * is what the story told.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "sources/demo_data.h"
#include "sources/demo_source.h"
#include "support/small_gateway.h"

static struct small_gateway gateway;
static struct loop *loop;
static struct source *demo;

static int setup(void **state)
{
    (void)state;
    small_gateway_init(&gateway, DEFINITIONS);
    loop = loop_create();
    assert_non_null(loop);
    const struct demo_source_options options = {
        .loop = loop,
        .pipeline = gateway.pipeline,
        .metrics = gateway.metrics,
        .seed = 7,
        .speed = 10,
        .now = small_gateway_now,
    };
    demo = demo_source_create(&options);
    assert_non_null(demo);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (demo) {
        demo->ops->stop(demo);
        demo->ops->destroy(demo);
    }
    loop_destroy(loop);
    small_gateway_finish(&gateway);
    return 0;
}

static void pass_seconds(unsigned seconds)
{
    for (unsigned i = 0; i < seconds; i++) {
        demo_source_step(demo);
        small_now.monotonic_ms += 1000;
        small_now.wall_ms += 1000;
    }
}

static double demo_count(const char *labels)
{
    return metric_read(metrics_find(gateway.metrics, "gw_demo_changes_total", labels));
}

static void test_a_day_passes_the_pipeline_with_one_refusal(void **state)
{
    (void)state;
    pass_seconds(DEMO_DAY_S);
    assert_true(demo_count("result=\"refused\"") == 1.0);
    assert_true(demo_count("result=\"told\"") > 2000.0);
}

static void test_invalid_value_marks_the_tile_and_keeps_the_last_one(void **state)
{
    (void)state;
    pass_seconds(DEMO_INVALID_S + 1);
    const char *during = small_gateway_value(&gateway, "executive", DEMO_INVALID_KPI);
    assert_non_null(strstr(during, "\"state\":\"invalid\""));
    assert_non_null(strstr(during, "\"v\":8"));
    pass_seconds(DEMO_INVALID_TO_S + 20 - DEMO_INVALID_S);
    assert_null(strstr(small_gateway_value(&gateway, "executive", DEMO_INVALID_KPI), "invalid"));
}

static void test_every_value_is_marked_as_demo(void **state)
{
    (void)state;
    static const char *const boards[] = {"executive", "competitive", "knowledge"};
    pass_seconds(DEMO_BREACH_TO_S);
    for (size_t i = 0; i < sizeof boards / sizeof *boards; i++) {
        const void *cursor = NULL;
        struct overlay_entry entry;
        size_t count = 0;
        while (board_next_field(topic_board(hub_topic(gateway.hub, boards[i])), &cursor, &entry)) {
            char field[FIELD_MAX_BYTES + 1];
            snprintf(field, sizeof field, "%.*s", (int)entry.field_length, entry.field);
            assert_non_null(strstr(small_gateway_value(&gateway, boards[i], field), "\"demo\":true"));
            count++;
        }
        assert_true(count > 30);
    }
}

static void test_derived_win_rate_follows(void **state)
{
    (void)state;
    pass_seconds(1);
    assert_non_null(small_gateway_value(&gateway, "competitive", "comp.win_rate"));
}

static void test_nothing_is_lost_while_the_journal_is_slow(void **state)
{
    (void)state;
    pass_seconds(1);
    small_gateway_hold();
    pass_seconds(5);
    small_gateway_release();
    assert_true(metric_read(metrics_find(gateway.metrics, "gw_demo_waits_total", NULL)) == 4.0);
    pass_seconds(61 - 2);
    assert_non_null(small_gateway_value(&gateway, "executive", "exec.alerts#0-A2")); /* told at second 60 */
}

static void test_destroying_it_leaves_a_waiting_second_alone(void **state)
{
    (void)state;
    small_gateway_hold();
    pass_seconds(1);
    demo->ops->stop(demo);
    demo->ops->destroy(demo);
    demo = NULL;
    small_gateway_release();
    assert_non_null(small_gateway_value(&gateway, "executive", "exec.revenue_mtd"));
}

static void stop_loop(void *context)
{
    loop_stop(context);
}

static void test_speed_sets_the_pace_on_the_loop(void **state)
{
    (void)state;
    struct loop_timer *enough = loop_timer_create(loop, stop_loop, loop);
    assert_int_equal(demo->ops->start(demo), RESULT_OK);
    loop_timer_arm(enough, 1000);
    loop_run(loop);
    demo->ops->stop(demo);
    loop_timer_destroy(enough);
    /* About ten demo seconds: a mention is told at second 4, none at 13 in time for a machine at rest. */
    assert_non_null(small_gateway_value(&gateway, "competitive", "comp.feed#0-004"));
    assert_null(small_gateway_value(&gateway, "competitive", "comp.feed#0-013"));
}

#define WITH_DEMO(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_DEMO(test_a_day_passes_the_pipeline_with_one_refusal),
        WITH_DEMO(test_invalid_value_marks_the_tile_and_keeps_the_last_one),
        WITH_DEMO(test_every_value_is_marked_as_demo),
        WITH_DEMO(test_derived_win_rate_follows),
        WITH_DEMO(test_nothing_is_lost_while_the_journal_is_slow),
        WITH_DEMO(test_destroying_it_leaves_a_waiting_second_alone),
        WITH_DEMO(test_speed_sets_the_pace_on_the_loop),
    };
    return cmocka_run_group_tests_name("demo_source", tests, NULL, NULL);
}
