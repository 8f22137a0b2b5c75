/*
 * The gateway watching itself: what reaches the operations board, sample by sample, with the clock
 * in the test's hands. The loop is real but never runs.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/process_stats.h"
#include "sources/internal_source.h"
#include "support/small_gateway.h"

static struct small_gateway gateway;
static struct loop *loop;
static struct health health;
static struct upstreams upstreams;
static struct source *internal;

static int setup(void **state)
{
    (void)state;
    small_gateway_init(&gateway, DEFINITIONS);
    loop = loop_create();
    assert_non_null(loop);
    health = (struct health){.is_listening = true};
    const struct internal_source_options options = {
        .loop = loop,
        .pipeline = gateway.pipeline,
        .metrics = gateway.metrics,
        .health = &health,
        .build = "1.2.3",
        .node = "node-a",
        .max_connections = 500,
        .now = small_gateway_now,
    };
    internal = internal_source_create(&options);
    assert_non_null(internal);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (internal) {
        internal->ops->stop(internal);
        internal->ops->destroy(internal);
    }
    loop_destroy(loop);
    small_gateway_finish(&gateway);
    return 0;
}

static void pass_seconds(unsigned seconds)
{
    for (unsigned i = 0; i < seconds; i++) {
        small_now.monotonic_ms += 1000;
        small_now.wall_ms += 1000;
        internal_source_sample(internal);
    }
}

static json_t *value_of(const char *field)
{
    const char *text = small_gateway_value(&gateway, "operations", field);
    if (!text) {
        fail_msg("%s is not on the board", field);
    }
    json_t *value = json_loads(text, 0, NULL);
    assert_non_null(value);
    return value;
}

static double number_of(const char *field)
{
    json_auto_t *value = value_of(field);
    const json_t *number = json_object_get(value, "v");
    if (!json_is_number(number)) {
        fail_msg("%s has no number: %s", field, small_gateway_value(&gateway, "operations", field));
    }
    return json_number_value(number);
}

static void assert_text(const char *field, const char *member, const char *expected)
{
    json_auto_t *value = value_of(field);
    const char *text = json_string_value(json_object_get(value, member));
    assert_non_null(text);
    assert_string_equal(text, expected);
}

static struct metric *counter(const char *name, const char *labels)
{
    struct metric *metric = metrics_find(gateway.metrics, name, labels);
    return metric ? metric : metrics_counter(gateway.metrics, name, labels, "test");
}

static double own_refusals(void)
{
    return metric_read(metrics_find(gateway.metrics, "gw_internal_refused_total", NULL));
}

static void test_one_sample_fills_every_internal_kpi_without_refusals(void **state)
{
    (void)state;
    static const char *const need_rows[] = {"ops.breakers", "ops.alerts", "ops.audit", "ops.sources",
                                            "ops.freshness"};
    const struct catalog *catalog = pipeline_catalog(gateway.pipeline);
    pass_seconds(1);
    for (size_t i = 0; i < catalog_kpi_count(catalog); i++) {
        const struct kpi *kpi = catalog_kpi_at(catalog, i);
        bool has_rows = false;
        for (size_t j = 0; j < sizeof need_rows / sizeof *need_rows; j++) {
            has_rows = has_rows || strcmp(need_rows[j], kpi->id) == 0;
        }
        if (strcmp(kpi->source_kind, "internal") == 0 && !has_rows) {
            json_decref(value_of(kpi->id));
        }
    }
    assert_true(own_refusals() == 0.0);
}

static void test_two_minutes_bring_no_refusals_and_no_demo_mark(void **state)
{
    (void)state;
    pass_seconds(120);
    assert_true(own_refusals() == 0.0);
    json_auto_t *value = value_of("ops.deltas");
    assert_null(json_object_get(value, "demo"));
}

static void test_what_does_not_exist_says_so(void **state)
{
    (void)state;
    pass_seconds(1);
    assert_text("ops.l1_hit", "state", "nodata");
    assert_text("ops.l1_hit", "reason", "not configured");
    assert_text("ops.cert_days", "state", "nodata");
    assert_text("ops.redis", "v", "off");
    assert_text("ops.postgres", "v", "off");
    assert_text("ops.redis_rtt", "reason", "not configured");
    assert_text("ops.postgres_lag", "reason", "not configured");
    assert_text("ops.postgres_pool", "reason", "not configured");
    assert_text("ops.l1_bytes", "reason", "not configured");
}

struct fake_link {
    bool is_up;
    uint64_t rtt_us;
};

static uint64_t now_ms(void)
{
    return small_now.monotonic_ms;
}

static bool link_is_up(const void *link)
{
    return ((const struct fake_link *)link)->is_up;
}

static const char *link_reason(const void *link)
{
    return link_is_up(link) ? "" : "10.0.0.9 refused the connection";
}

static uint64_t link_rtt_us(const void *link)
{
    return ((const struct fake_link *)link)->rtt_us;
}

static void add_upstream(enum upstream upstream, const struct fake_link *fake)
{
    const struct upstream_link link = {.upstream = upstream,
                                       .name = "only",
                                       .link = fake,
                                       .is_up = link_is_up,
                                       .reason = link_reason,
                                       .rtt_us = link_rtt_us};
    upstreams_add_link(&upstreams, &link);
}

static void test_upstreams_are_told(void **state)
{
    (void)state;
    struct fake_link redis = {.is_up = true, .rtt_us = 1500}, postgres = {.is_up = true};
    upstreams_init(&upstreams, gateway.metrics, now_ms);
    health.upstreams = &upstreams;
    add_upstream(UPSTREAM_REDIS, &redis);
    add_upstream(UPSTREAM_POSTGRES, &postgres);
    metric_add(counter("gw_redis_reconnects_total", "link=\"journal\""), 2);
    metric_add(counter("gw_redis_reconnects_total", "link=\"cache\""), 1);
    metric_set(metrics_gauge(gateway.metrics, "gw_pool_use", NULL, "test"), 0.75);
    pass_seconds(1);
    assert_text("ops.redis", "v", "up");
    assert_true(number_of("ops.redis_rtt") == 1.5);
    assert_true(number_of("ops.redis_reconnects") == 3);
    assert_text("ops.postgres", "v", "up");
    assert_true(number_of("ops.postgres_pool") == 0.75);
    assert_text("ops.postgres_lag", "reason", "nothing changed in the last minute");
    redis = (struct fake_link){.is_up = false};
    pass_seconds(1);
    assert_text("ops.redis", "v", "connecting");
    assert_text("ops.redis_rtt", "state", "nodata");
    assert_text("ops.state", "v", "degraded");
    assert_true(metric_read(metrics_find(gateway.metrics, "gw_upstream_state", "upstream=\"redis\"")) == 3);
    assert_true(own_refusals() == 0.0);
}

static void test_listen_lag_is_a_quantile(void **state)
{
    (void)state;
    struct fake_link postgres = {.is_up = true};
    upstreams_init(&upstreams, gateway.metrics, now_ms);
    health.upstreams = &upstreams;
    add_upstream(UPSTREAM_POSTGRES, &postgres);
    struct metric *lag = metrics_histogram(gateway.metrics, "gw_listen_lag_seconds", NULL, "test",
                                           METRICS_LATENCY_BOUNDS, METRICS_LATENCY_BOUND_COUNT);
    pass_seconds(1);
    for (int i = 0; i < 100; i++) {
        metric_observe(lag, 0.004);
    }
    pass_seconds(1);
    assert_true(number_of("ops.postgres_lag") > 1 && number_of("ops.postgres_lag") <= 5);
}

static void test_breakers_have_rows(void **state)
{
    (void)state;
    const struct breaker_options options = {.failures = 2, .open_ms = 60000, .probe_ms = 2000};
    struct fake_link postgres = {.is_up = true};
    struct breaker breaker;
    breaker_init(&breaker, &options);
    upstreams_init(&upstreams, gateway.metrics, now_ms);
    health.upstreams = &upstreams;
    add_upstream(UPSTREAM_POSTGRES, &postgres);
    upstreams_add_breaker(&upstreams, UPSTREAM_POSTGRES, "postgres", &breaker);
    pass_seconds(1);
    json_auto_t *closed = value_of("ops.breakers#postgres");
    assert_string_equal(json_string_value(json_object_get(json_object_get(closed, "v"), "state")), "closed");
    assert_null(json_object_get(json_object_get(closed, "v"), "next_probe"));
    breaker_fail(&breaker, now_ms());
    breaker_fail(&breaker, now_ms());
    int64_t opened_at_ms = small_now.wall_ms;
    pass_seconds(1);
    json_auto_t *open = value_of("ops.breakers#postgres");
    const json_t *row = json_object_get(open, "v");
    assert_string_equal(json_string_value(json_object_get(row, "state")), "open");
    assert_int_equal(json_integer_value(json_object_get(row, "failures")), 2);
    assert_int_equal(json_integer_value(json_object_get(row, "next_probe")), opened_at_ms + 60000);
    assert_text("ops.postgres", "v", "open");
    assert_true(own_refusals() == 0.0);
}

static void test_the_cache_is_told_when_there_is_one(void **state)
{
    (void)state;
    pass_seconds(1);
    struct metric *fresh = counter("gw_cache_lookups_total", "class=\"default\",result=\"fresh\"");
    struct metric *miss = counter("gw_cache_lookups_total", "class=\"default\",result=\"miss\"");
    metric_set(metrics_gauge(gateway.metrics, "gw_cache_budget_bytes", NULL, "test"), 1000);
    metric_set(metrics_gauge(gateway.metrics, "gw_cache_bytes", "class=\"default\"", "test"), 250);
    pass_seconds(1);
    assert_text("ops.l1_hit", "reason", "no lookups in the last minute");
    metric_add(fresh, 3);
    metric_add(miss, 1);
    pass_seconds(1);
    assert_true(number_of("ops.l1_hit") == 0.75);
    assert_true(number_of("ops.l1_bytes") == 250);
    assert_true(number_of("ops.l1_evictions") == 0);
}

static void test_rate_is_the_growth_over_ten_seconds(void **state)
{
    (void)state;
    struct metric *frames = counter("gw_frames_total", "kind=\"update\"");
    pass_seconds(20);
    metric_add(frames, 50);
    pass_seconds(1);
    assert_true(number_of("ops.deltas") == 5.0);
    pass_seconds(10);
    assert_true(number_of("ops.deltas") == 0.0);
}

static void test_own_samples_are_not_counted_as_changes_in(void **state)
{
    (void)state;
    pass_seconds(20);
    assert_true(number_of("ops.ingest") == 0.0);
    assert_text("ops.ingest_success", "state", "nodata");
}

static void test_share_of_refused_changes(void **state)
{
    (void)state;
    pass_seconds(2);
    metric_add(counter("gw_changes_total", "result=\"accepted\""), 30);
    metric_add(counter("gw_changes_total", "result=\"out_of_range\""), 10);
    pass_seconds(1);
    assert_true(number_of("ops.ingest_success") == 0.75);
    assert_text("ops.ingest_success", "level", "crit");
}

static void test_push_quantile_comes_from_the_last_minute_only(void **state)
{
    (void)state;
    struct metric *push = metrics_find(gateway.metrics, "gw_push_seconds", NULL);
    assert_non_null(push);
    pass_seconds(1);
    metric_observe_n(push, 2.0, 1000);
    pass_seconds(1);
    assert_true(number_of("ops.push_p99") > 1000.0);
    assert_text("ops.push_p99", "level", "crit");
    pass_seconds(61);
    assert_text("ops.push_p99", "state", "nodata");
}

static void test_what_pages_report_is_their_delay_until_they_stop(void **state)
{
    (void)state;
    pass_seconds(1);
    assert_text("ops.client_delay_p95", "state", "nodata");
    assert_text("ops.client_delay_p95", "reason", "no page reported in the last minute");
    struct metric *delay =
        metrics_histogram(gateway.metrics, "gw_client_delay_seconds", NULL,
                          "From a change to the screen, as a sample of the viewers' updates says.",
                          METRICS_LATENCY_BOUNDS, METRICS_LATENCY_BOUND_COUNT);
    metric_observe_n(delay, 0.4, 100);
    pass_seconds(1);
    assert_true(number_of("ops.client_delay_p95") > 300.0 && number_of("ops.client_delay_p95") < 1000.0);
    assert_text("ops.client_delay_p95", "level", "warn");
    pass_seconds(61);
    assert_text("ops.client_delay_p95", "state", "nodata");
}

static void test_connections_are_measured_against_the_limit(void **state)
{
    (void)state;
    metric_set(metrics_gauge(gateway.metrics, "gw_connections", "kind=\"ws\"", "test"), 480);
    pass_seconds(1);
    assert_true(number_of("ops.connections") == 480.0);
    assert_text("ops.connections", "level", "crit");
    assert_true(number_of("ops.connection_bytes") > 0.0);
}

static void test_state_follows_health(void **state)
{
    (void)state;
    pass_seconds(1);
    assert_text("ops.state", "v", "healthy");
    pipeline_report_source(gateway.pipeline, "crm", false, "connection refused");
    pass_seconds(1);
    assert_text("ops.state", "v", "degraded");
    health.is_draining = true;
    pass_seconds(1);
    assert_text("ops.state", "v", "offline");
}

static void test_sources_are_listed_with_their_age(void **state)
{
    (void)state;
    pipeline_report_source(gateway.pipeline, "crm", false, "connection refused");
    pass_seconds(1);
    json_auto_t *up = value_of("ops.sources#internal");
    json_auto_t *down = value_of("ops.sources#crm");
    assert_string_equal(json_string_value(json_object_get(json_object_get(up, "v"), "status")), "up");
    assert_string_equal(json_string_value(json_object_get(json_object_get(down, "v"), "status")), "down");
}

static void ignore(void *context, struct submission_item *items, size_t count)
{
    (void)context;
    (void)count;
    assert_int_equal(items[0].outcome, RESULT_OK);
}

static void test_freshness_lists_what_is_not_fresh_until_it_is(void **state)
{
    (void)state;
    static const char row[] = "ops.freshness#exec.customer_health";
    pass_seconds(1);
    json_auto_t *before = value_of(row);
    assert_string_equal(json_string_value(json_object_get(json_object_get(before, "v"), "state")), "nodata");
    struct submission_item item = {.change = {.field = "exec.customer_health"}};
    item.change.value = json_integer(80);
    pipeline_submit(gateway.pipeline, &item, 1, ignore, NULL);
    pass_seconds(1);
    assert_null(small_gateway_value(&gateway, "operations", row));
    pass_seconds(500);
    json_auto_t *after = value_of(row);
    assert_string_equal(json_string_value(json_object_get(json_object_get(after, "v"), "state")), "ageing");
    change_finish(&item.change);
    assert_true(own_refusals() == 0.0);
}

static void test_skips_while_the_last_sample_is_unanswered(void **state)
{
    (void)state;
    struct metric *skipped = metrics_find(gateway.metrics, "gw_internal_skipped_total", NULL);
    small_gateway_hold();
    pass_seconds(3);
    assert_true(metric_read(skipped) == 2.0);
    small_gateway_release();
    pass_seconds(1);
    assert_true(metric_read(skipped) == 2.0);
}

static void test_destroying_it_leaves_a_waiting_sample_alone(void **state)
{
    (void)state;
    small_gateway_hold();
    pass_seconds(1);
    internal->ops->stop(internal);
    internal->ops->destroy(internal);
    internal = NULL;
    small_gateway_release();
    assert_non_null(small_gateway_value(&gateway, "operations", "ops.state"));
}

static void stop_loop(void *context)
{
    loop_stop(context);
}

static void test_runs_on_the_loop_and_measures_its_lag(void **state)
{
    (void)state;
    struct loop_timer *enough = loop_timer_create(loop, stop_loop, loop);
    assert_int_equal(internal->ops->start(internal), RESULT_OK);
    loop_timer_arm(enough, 350);
    loop_run(loop);
    internal->ops->stop(internal);
    loop_timer_destroy(enough);
    double probes = metric_read(metrics_find(gateway.metrics, "gw_loop_lag_seconds", NULL));
    assert_true(probes >= 1.0 && probes <= 4.0);
    assert_non_null(small_gateway_value(&gateway, "operations", "ops.state"));
}

static void test_process_figures_are_plausible(void **state)
{
    (void)state;
    struct process_stats stats = process_stats_read();
    assert_true(stats.resident_bytes > 1000000);
    assert_true(stats.limit_bytes > stats.resident_bytes);
    assert_true(stats.open_fds >= 3);
    assert_true(stats.cpu_us > 0);
}

#define WITH_SOURCE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SOURCE(test_one_sample_fills_every_internal_kpi_without_refusals),
        WITH_SOURCE(test_two_minutes_bring_no_refusals_and_no_demo_mark),
        WITH_SOURCE(test_what_does_not_exist_says_so),
        WITH_SOURCE(test_upstreams_are_told),
        WITH_SOURCE(test_listen_lag_is_a_quantile),
        WITH_SOURCE(test_breakers_have_rows),
        WITH_SOURCE(test_the_cache_is_told_when_there_is_one),
        WITH_SOURCE(test_rate_is_the_growth_over_ten_seconds),
        WITH_SOURCE(test_own_samples_are_not_counted_as_changes_in),
        WITH_SOURCE(test_share_of_refused_changes),
        WITH_SOURCE(test_push_quantile_comes_from_the_last_minute_only),
        WITH_SOURCE(test_what_pages_report_is_their_delay_until_they_stop),
        WITH_SOURCE(test_connections_are_measured_against_the_limit),
        WITH_SOURCE(test_state_follows_health),
        WITH_SOURCE(test_sources_are_listed_with_their_age),
        WITH_SOURCE(test_freshness_lists_what_is_not_fresh_until_it_is),
        WITH_SOURCE(test_skips_while_the_last_sample_is_unanswered),
        WITH_SOURCE(test_destroying_it_leaves_a_waiting_sample_alone),
        WITH_SOURCE(test_runs_on_the_loop_and_measures_its_lag),
        cmocka_unit_test(test_process_figures_are_plausible),
    };
    return cmocka_run_group_tests_name("internal_source", tests, NULL, NULL);
}
