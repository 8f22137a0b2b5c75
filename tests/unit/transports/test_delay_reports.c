/* What viewers say about their delay, and how much one of them can say. */
#include "transports/delay_reports.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

enum { HELLO_MS = 5000 };

static struct metrics *metrics;
static struct delay_reports reports;
static uint64_t due_ms;

static int open_reports(void **state)
{
    (void)state;
    metrics = metrics_create();
    assert_non_null(metrics);
    delay_reports_init(&reports, metrics);
    due_ms = delay_reports_first_due_ms(HELLO_MS);
    return 0;
}

static int close_reports(void **state)
{
    (void)state;
    metrics_destroy(metrics);
    return 0;
}

static bool report(uint32_t count, double delay_ms, uint64_t at_ms)
{
    struct viewer_message message = {.type = VIEWER_REPORT, .delay_count = count};
    for (uint32_t i = 0; i < count; i++) {
        message.delays_ms[i] = delay_ms;
    }
    return delay_reports_take(&reports, &message, at_ms, &due_ms);
}

static void assert_counts(unsigned delays, unsigned counted, unsigned ignored)
{
    assert_int_equal(metric_read(metrics_find(metrics, "gw_client_delay_seconds", NULL)), delays);
    assert_int_equal(metric_read(metrics_find(metrics, "gw_client_reports_total", "result=\"counted\"")),
                     counted);
    assert_int_equal(metric_read(metrics_find(metrics, "gw_client_reports_total", "result=\"too_soon\"")),
                     ignored);
}

static void test_delays_are_counted_in_seconds(void **state)
{
    (void)state;
    assert_true(report(2, 40.0, HELLO_MS + REPORT_EVERY_MS));
    assert_counts(2, 1, 0);
    struct metric_buckets now;
    const struct metric_buckets nothing = {.bucket_count = METRICS_LATENCY_BOUND_COUNT + 1,
                                           .bounds = METRICS_LATENCY_BOUNDS};
    metric_buckets(reports.delays, &now);
    double median_s = metric_buckets_quantile(&now, &nothing, 0.5);
    assert_true(median_s > 0.02 && median_s <= 0.05);
}

static void test_a_connection_that_is_new_is_not_heard_yet(void **state)
{
    (void)state;
    assert_false(report(REPORT_DELAYS_MAX, 60000.0, HELLO_MS));
    assert_false(report(REPORT_DELAYS_MAX, 60000.0, HELLO_MS + REPORT_EVERY_MS / 2));
    assert_counts(0, 0, 2);
    assert_true(report(1, 5.0, HELLO_MS + REPORT_EVERY_MS));
    assert_counts(1, 1, 2);
}

static void test_one_who_reports_all_the_time_weighs_no_more_than_the_others(void **state)
{
    (void)state;
    for (uint64_t at_ms = HELLO_MS; at_ms < HELLO_MS + 60000; at_ms += 20) {
        (void)report(REPORT_DELAYS_MAX, 60000.0, at_ms);
    }
    double counted = metric_read(metrics_find(metrics, "gw_client_reports_total", "result=\"counted\""));
    assert_true(counted >= 5 && counted <= 7); /* in a minute; a little early each time */
    assert_int_equal(metric_read(reports.delays), (unsigned)counted * REPORT_DELAYS_MAX);
}

static void test_the_network_may_bring_two_reports_closer_together(void **state)
{
    (void)state;
    assert_true(report(1, 5.0, HELLO_MS + REPORT_EVERY_MS + 400));
    assert_true(report(1, 5.0, HELLO_MS + 2 * REPORT_EVERY_MS));
    assert_counts(2, 2, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_delays_are_counted_in_seconds, open_reports, close_reports),
        cmocka_unit_test_setup_teardown(test_a_connection_that_is_new_is_not_heard_yet, open_reports,
                                        close_reports),
        cmocka_unit_test_setup_teardown(test_one_who_reports_all_the_time_weighs_no_more_than_the_others,
                                        open_reports, close_reports),
        cmocka_unit_test_setup_teardown(test_the_network_may_bring_two_reports_closer_together, open_reports,
                                        close_reports),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
