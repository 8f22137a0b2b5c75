/*
 * The GET routes with a fake connection and the real pipeline.
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

#include "support/fake_http.h"
#include "support/small_gateway.h"
#include "transports/http_endpoints.h"

static struct small_gateway gateway;
static struct access *access_rules;
static struct health health;
static struct upstreams upstreams;
static struct breaker breaker;
static bool is_link_up;
static struct http_endpoints *endpoints;

static void open_endpoints(const char *viewer_key, const char *definitions)
{
    const struct access_options access_options = {.keys.viewer = viewer_key};
    fake_http_reset();
    small_gateway_init(&gateway, definitions);
    access_rules = access_create(&access_options);
    assert_non_null(access_rules);
    health = (struct health){.is_listening = true};
    const struct http_endpoints_options options = {
        .pipeline = gateway.pipeline,
        .access = access_rules,
        .metrics = gateway.metrics,
        .health = &health,
        .node = "node-a",
        .build = "1.2.3",
        .is_demo = true,
        .max_viewers = 400,
        .heartbeat_ms = 15000,
        .now = small_gateway_now,
    };
    endpoints = http_endpoints_create(&options);
    assert_non_null(endpoints);
}

static int setup(void **state)
{
    (void)state;
    open_endpoints(NULL, DEFINITIONS);
    return 0;
}

static int setup_with_key(void **state)
{
    (void)state;
    open_endpoints("s3cret", DEFINITIONS);
    return 0;
}

static int setup_without_definitions(void **state)
{
    (void)state;
    open_endpoints(NULL, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    http_endpoints_destroy(endpoints);
    small_gateway_finish(&gateway);
    access_destroy(access_rules);
    return 0;
}

/* Sends, checks the status, and hands out the parsed body. */
static json_t *body_of(const char *pattern, struct http_exchange *exchange, int status)
{
    fake_http_send(pattern, exchange);
    assert_int_equal(exchange->answers, 1);
    if (exchange->status != status) {
        fail_msg("%s: status %d: %s", pattern, exchange->status, exchange->text);
    }
    assert_string_equal(exchange->type, "application/json");
    json_t *body = json_loadb(exchange->text, exchange->length, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(body);
    fake_http_finish(exchange);
    return body;
}

static void assert_problem(const char *pattern, struct http_exchange *exchange, int status, const char *code)
{
    fake_http_send(pattern, exchange);
    assert_int_equal(exchange->status, status);
    assert_string_equal(exchange->code, code);
    fake_http_finish(exchange);
}

static const char *text_of(const json_t *object, const char *member)
{
    const char *text = json_string_value(json_object_get(object, member));
    assert_non_null(text);
    return text;
}

static void ignore(void *context, struct submission_item *items, size_t count)
{
    (void)context;
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(items[i].outcome, RESULT_OK);
    }
}

static void publish(const char *field, double number)
{
    struct submission_item item = {.outcome = RESULT_OK};
    snprintf(item.change.field, sizeof item.change.field, "%s", field);
    item.change.value = json_real(number);
    pipeline_submit(gateway.pipeline, &item, 1, ignore, NULL);
    change_finish(&item.change);
}

static void test_board_list_names_every_board_and_says_demo(void **state)
{
    (void)state;
    struct http_exchange exchange = {0};
    json_auto_t *body = body_of("/api/v1/dashboards", &exchange, 200);
    const json_t *boards = json_object_get(body, "dashboards");
    assert_int_equal(json_array_size(boards), 4);
    assert_true(json_is_true(json_object_get(body, "demo")));
    assert_string_equal(text_of(body, "catalog"), catalog_hash(pipeline_catalog(gateway.pipeline)));
    for (size_t i = 0; i < 4; i++) {
        const json_t *board = json_array_get(boards, i);
        assert_true(strlen(text_of(board, "question")) > 0);
        assert_true(json_array_size(json_object_get(board, "kpis")) > 5);
    }
    assert_string_equal(fake_http_header(&exchange, "Cache-Control"), "private, no-cache");
}

static void test_snapshot_is_tagged_with_its_position(void **state)
{
    (void)state;
    publish("exec.customer_health", 81.5);
    struct http_exchange exchange = {.part = "executive"};
    json_auto_t *body = body_of("/api/v1/dashboards/{id}", &exchange, 200);
    char position[64];
    snprintf(position, sizeof position, "\"%s.%lld.%s\"", text_of(body, "epoch"),
             (long long)json_integer_value(json_object_get(body, "to")), text_of(body, "nonce"));
    assert_string_equal(fake_http_header(&exchange, "ETag"), position);
    assert_non_null(json_object_get(json_object_get(body, "set"), "exec.customer_health"));
}

static void test_same_position_is_304_until_the_board_changes(void **state)
{
    (void)state;
    publish("exec.customer_health", 81.5);
    struct http_exchange first = {.part = "executive"};
    json_decref(body_of("/api/v1/dashboards/{id}", &first, 200));
    char tags[300];
    snprintf(tags, sizeof tags, "\"other\", W/%s", fake_http_header(&first, "ETag"));
    struct http_exchange same = {.part = "executive", .if_none_match = tags};
    fake_http_send("/api/v1/dashboards/{id}", &same);
    assert_int_equal(same.status, 304);
    assert_int_equal(same.length, 0);
    assert_string_equal(fake_http_header(&same, "ETag"), fake_http_header(&first, "ETag"));
    fake_http_finish(&same);
    publish("exec.customer_health", 82);
    struct http_exchange changed = {.part = "executive", .if_none_match = tags};
    json_decref(body_of("/api/v1/dashboards/{id}", &changed, 200));
}

static void test_malformed_if_none_match_is_no_match(void **state)
{
    (void)state;
    static const char *const headers[] = {"", "\"", "W/", "abc", "\"\"", ",,,", "\"a\" \"b"};
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        struct http_exchange exchange = {.part = "executive", .if_none_match = headers[i]};
        json_decref(body_of("/api/v1/dashboards/{id}", &exchange, 200));
    }
    struct http_exchange any = {.part = "executive", .if_none_match = "*"};
    fake_http_send("/api/v1/dashboards/{id}", &any);
    assert_int_equal(any.status, 304);
    fake_http_finish(&any);
}

static void test_unknown_board_and_kpi_are_404(void **state)
{
    (void)state;
    struct http_exchange snapshot = {.part = "nothing"}, definition = {.part = "nothing"},
                         history = {.part = "no.kpi"};
    assert_problem("/api/v1/dashboards/{id}", &snapshot, 404, "unknown_board");
    assert_problem("/api/v1/dashboards/{id}/definition", &definition, 404, "unknown_board");
    assert_problem("/api/v1/kpis/{id}/history", &history, 404, "unknown_field");
}

static void test_definition_is_tagged_with_catalogue_and_view(void **state)
{
    (void)state;
    struct http_exchange exchange = {.part = "executive"};
    json_auto_t *body = body_of("/api/v1/dashboards/{id}/definition", &exchange, 200);
    char tag[32];
    snprintf(tag, sizeof tag, "\"%s-%s\"", catalog_hash(pipeline_catalog(gateway.pipeline)),
             json_string_value(json_object_get(body, "view")));
    assert_string_equal(fake_http_header(&exchange, "ETag"), tag);
    assert_true(json_object_size(body) > 0);
    struct http_exchange again = {.part = "executive", .if_none_match = tag};
    fake_http_send("/api/v1/dashboards/{id}/definition", &again);
    assert_int_equal(again.status, 304);
    fake_http_finish(&again);
}

static void test_history_holds_the_points_and_can_be_cut(void **state)
{
    (void)state;
    publish("exec.customer_health", 81.5);
    small_now.wall_ms += 86400000;
    publish("exec.customer_health", 82.5);
    struct http_exchange all = {.part = "exec.customer_health"};
    struct http_exchange one = {.part = "exec.customer_health", .query_name = "points", .query_value = "1"};
    json_auto_t *body = body_of("/api/v1/kpis/{id}/history", &all, 200);
    json_auto_t *cut = body_of("/api/v1/kpis/{id}/history", &one, 200);
    assert_int_equal(json_array_size(json_object_get(body, "points")), 2);
    assert_int_equal(json_array_size(json_object_get(cut, "points")), 1);
    assert_int_equal(json_integer_value(json_object_get(body, "step_ms")), 86400000);
}

static void test_history_refuses_odd_counts_and_answers_kpis_without_points(void **state)
{
    (void)state;
    static const char *const counts[] = {"0", "-1", "x", "", "1e3", "99999"};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        struct http_exchange odd = {
            .part = "exec.customer_health", .query_name = "points", .query_value = counts[i]};
        assert_problem("/api/v1/kpis/{id}/history", &odd, 400, "out_of_range");
    }
    struct http_exchange none = {.part = "exec.top_deals"};
    json_auto_t *body = body_of("/api/v1/kpis/{id}/history", &none, 200);
    assert_int_equal(json_array_size(json_object_get(body, "points")), 0);
}

static void test_viewer_key_guards_the_api_but_not_the_probes(void **state)
{
    (void)state;
    static const char *const guarded[] = {
        "/api/v1/dashboards",        "/api/v1/dashboards/{id}",  "/api/v1/dashboards/{id}/definition",
        "/api/v1/kpis/{id}/history", "/api/v1/data-flow/health", "/api/v1/data-flow/metrics"};
    static const char *const open[] = {"/health", "/health/live", "/health/ready", "/metrics"};
    for (size_t i = 0; i < sizeof guarded / sizeof *guarded; i++) {
        struct http_exchange none = {.part = "executive"};
        struct http_exchange right = {.part = "executive", .authorization = "Bearer s3cret"};
        assert_problem(guarded[i], &none, 401, "unauthenticated");
        assert_non_null(strstr(fake_http_header(&none, "WWW-Authenticate"), "Bearer"));
        fake_http_send(guarded[i], &right);
        assert_int_not_equal(right.status, 401);
        fake_http_finish(&right);
    }
    for (size_t i = 0; i < sizeof open / sizeof *open; i++) {
        struct http_exchange probe = {0};
        fake_http_send(open[i], &probe);
        assert_int_equal(probe.status, 200);
        assert_string_equal(fake_http_header(&probe, "Cache-Control"), "no-store");
        fake_http_finish(&probe);
    }
    struct http_exchange diagnostic = {.query_name = "level", .query_value = "diagnostic"};
    assert_problem("/health", &diagnostic, 401, "unauthenticated");
}

static void test_basic_health_tells_the_status_only(void **state)
{
    (void)state;
    struct http_exchange exchange = {0};
    json_auto_t *body = body_of("/health", &exchange, 200);
    assert_string_equal(text_of(body, "status"), "healthy");
    assert_int_equal(json_object_size(body), 1);
}

static void test_detailed_and_diagnostic_tell_more(void **state)
{
    (void)state;
    pipeline_report_source(gateway.pipeline, "crm", false, "connection refused");
    small_now.monotonic_ms += 5000;
    struct http_exchange detailed = {.query_name = "level", .query_value = "detailed"};
    struct http_exchange diagnostic = {.query_name = "level", .query_value = "diagnostic"};
    json_auto_t *details = body_of("/health", &detailed, 200);
    json_auto_t *diagnosis = body_of("/health", &diagnostic, 200);
    assert_string_equal(text_of(details, "status"), "degraded");
    const json_t *crm = json_object_get(json_object_get(details, "sources"), "crm");
    assert_string_equal(text_of(crm, "reason"), "connection refused");
    assert_true(json_integer_value(json_object_get(details, "uptime_s")) == 5);
    assert_true(json_integer_value(json_object_get(json_object_get(details, "freshness"), "nodata")) > 10);
    assert_null(json_object_get(details, "limits"));
    assert_string_equal(text_of(diagnosis, "build"), "1.2.3");
    assert_int_equal(json_integer_value(json_object_get(json_object_get(diagnosis, "limits"), "connections")),
                     500);
}

static bool link_is_up(const void *link)
{
    (void)link;
    return is_link_up;
}

static const char *link_reason(const void *link)
{
    (void)link;
    return is_link_up ? "" : "10.0.0.9:6379 refused the connection";
}

static uint64_t now_ms(void)
{
    return small_now.monotonic_ms;
}

static void add_redis(void)
{
    const struct breaker_options options = {.failures = 1, .open_ms = 60000, .probe_ms = 2000};
    const struct upstream_link link = {
        .upstream = UPSTREAM_REDIS, .name = "journal", .is_up = link_is_up, .reason = link_reason};
    breaker_init(&breaker, &options);
    upstreams_init(&upstreams, gateway.metrics, now_ms);
    upstreams_add_link(&upstreams, &link);
    upstreams_add_breaker(&upstreams, UPSTREAM_REDIS, "cache", &breaker);
    health.upstreams = &upstreams;
}

static void test_an_upstream_that_is_down_is_named_and_explained_to_those_who_may_know(void **state)
{
    (void)state;
    add_redis();
    is_link_up = false;
    struct http_exchange basic = {0}, ready = {0}, live = {0};
    struct http_exchange detailed = {.query_name = "level", .query_value = "detailed"};
    json_auto_t *word = body_of("/health", &basic, 200);
    assert_string_equal(text_of(word, "status"), "degraded");
    assert_string_equal(text_of(word, "reason"), "redis");
    json_auto_t *yes = body_of("/health/ready", &ready, 200);
    assert_string_equal(text_of(yes, "status"), "ready");
    assert_string_equal(text_of(yes, "degraded"), "redis");
    json_decref(body_of("/health/live", &live, 200));
    json_auto_t *details = body_of("/health", &detailed, 200);
    const json_t *redis = json_object_get(json_object_get(details, "upstreams"), "redis");
    assert_string_equal(text_of(redis, "state"), "connecting");
    assert_string_equal(text_of(redis, "reason"), "10.0.0.9:6379 refused the connection");
    const json_t *journal = json_object_get(json_object_get(redis, "links"), "journal");
    assert_true(json_is_false(json_object_get(journal, "up")));
    assert_string_equal(text_of(journal, "reason"), "10.0.0.9:6379 refused the connection");
    const json_t *cache = json_object_get(json_object_get(redis, "breakers"), "cache");
    assert_string_equal(text_of(cache, "state"), "closed");
    assert_null(json_object_get(json_object_get(details, "upstreams"), "postgres"));
}

static void test_an_open_breaker_is_told_with_its_next_probe(void **state)
{
    (void)state;
    add_redis();
    is_link_up = true;
    breaker_fail(&breaker, now_ms());
    small_now.monotonic_ms += 20000;
    struct http_exchange flow = {0};
    json_auto_t *body = body_of("/api/v1/data-flow/health", &flow, 200);
    const json_t *redis = json_object_get(json_object_get(body, "upstreams"), "redis");
    assert_string_equal(text_of(redis, "state"), "open");
    const json_t *cache = json_object_get(json_object_get(redis, "breakers"), "cache");
    assert_string_equal(text_of(cache, "state"), "open");
    assert_int_equal(json_integer_value(json_object_get(cache, "failures")), 1);
    assert_int_equal(json_integer_value(json_object_get(cache, "next_probe_ms")), 40000);
}

static void test_a_gateway_that_never_saw_the_shared_boards_is_not_ready(void **state)
{
    (void)state;
    const struct journal_host host = pipeline_journal_host(gateway.pipeline);
    host.on_attached(host.context, false, "10.0.0.9:6379 refused the connection");
    struct http_exchange first = {0}, live = {0}, whole = {0}, later = {0};
    assert_problem("/health/ready", &first, 503, "unavailable");
    json_decref(body_of("/health/live", &live, 200));
    json_auto_t *body = body_of("/health", &whole, 503);
    assert_string_equal(text_of(body, "status"), "initializing");
    assert_null(strstr(text_of(body, "reason"), "10.0.0.9"));
    host.on_attached(host.context, true, "");
    host.on_attached(host.context, false,
                     "10.0.0.9:6379 hung up"); /* at once: stale is better than nothing */
    json_decref(body_of("/health/ready", &later, 200));
}

static void test_unknown_level_is_refused(void **state)
{
    (void)state;
    struct http_exchange exchange = {.query_name = "level", .query_value = "everything"};
    assert_problem("/health", &exchange, 400, "out_of_range");
}

static void test_draining_is_not_ready_but_alive(void **state)
{
    (void)state;
    health.is_draining = true;
    struct http_exchange ready = {0}, live = {0}, whole = {0};
    assert_problem("/health/ready", &ready, 503, "unavailable");
    json_decref(body_of("/health/live", &live, 200));
    json_auto_t *body = body_of("/health", &whole, 503);
    assert_string_equal(text_of(body, "status"), "offline");
}

static void test_slow_loop_is_degraded_then_unhealthy(void **state)
{
    (void)state;
    health.loop_lag_p99_s = 0.2;
    struct http_exchange slow = {0}, stuck = {0}, ready = {0};
    json_auto_t *degraded = body_of("/health", &slow, 200);
    assert_string_equal(text_of(degraded, "status"), "degraded");
    health.loop_lag_p99_s = 2;
    json_auto_t *unhealthy = body_of("/health", &stuck, 503);
    assert_string_equal(text_of(unhealthy, "status"), "unhealthy");
    json_decref(body_of("/health/ready", &ready, 200));
}

static void test_without_definitions_nothing_is_ready(void **state)
{
    (void)state;
    struct http_exchange ready = {0}, boards = {0}, snapshot = {.part = "executive"}, whole = {0};
    assert_problem("/health/ready", &ready, 503, "unavailable");
    assert_problem("/api/v1/dashboards", &boards, 503, "unavailable");
    assert_problem("/api/v1/dashboards/{id}", &snapshot, 404, "unknown_board");
    json_auto_t *body = body_of("/health", &whole, 503);
    assert_string_equal(text_of(body, "status"), "initializing");
}

static void test_data_flow_views_are_json(void **state)
{
    (void)state;
    publish("exec.customer_health", 81.5);
    struct http_exchange flow = {0}, counters = {0};
    json_auto_t *body = body_of("/api/v1/data-flow/health", &flow, 200);
    json_auto_t *metrics = body_of("/api/v1/data-flow/metrics", &counters, 200);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(body, "freshness"), "fresh")), 1);
    assert_true(json_array_size(json_object_get(body, "not_fresh")) > 10);
    assert_true(json_object_size(json_object_get(metrics, "metrics")) > 10);
}

static void test_metrics_are_prometheus_text(void **state)
{
    (void)state;
    struct http_exchange exchange = {0};
    fake_http_send("/metrics", &exchange);
    assert_int_equal(exchange.status, 200);
    assert_string_equal(exchange.type, "text/plain; version=0.0.4; charset=utf-8");
    assert_non_null(strstr(exchange.text, "# TYPE gw_changes_total counter"));
    fake_http_finish(&exchange);
}

#define WITH_ENDPOINTS(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_ENDPOINTS(test_board_list_names_every_board_and_says_demo),
        WITH_ENDPOINTS(test_snapshot_is_tagged_with_its_position),
        WITH_ENDPOINTS(test_same_position_is_304_until_the_board_changes),
        WITH_ENDPOINTS(test_malformed_if_none_match_is_no_match),
        WITH_ENDPOINTS(test_unknown_board_and_kpi_are_404),
        WITH_ENDPOINTS(test_definition_is_tagged_with_catalogue_and_view),
        WITH_ENDPOINTS(test_history_holds_the_points_and_can_be_cut),
        WITH_ENDPOINTS(test_history_refuses_odd_counts_and_answers_kpis_without_points),
        cmocka_unit_test_setup_teardown(test_viewer_key_guards_the_api_but_not_the_probes, setup_with_key,
                                        teardown),
        WITH_ENDPOINTS(test_basic_health_tells_the_status_only),
        WITH_ENDPOINTS(test_detailed_and_diagnostic_tell_more),
        WITH_ENDPOINTS(test_an_upstream_that_is_down_is_named_and_explained_to_those_who_may_know),
        WITH_ENDPOINTS(test_an_open_breaker_is_told_with_its_next_probe),
        WITH_ENDPOINTS(test_a_gateway_that_never_saw_the_shared_boards_is_not_ready),
        WITH_ENDPOINTS(test_unknown_level_is_refused),
        WITH_ENDPOINTS(test_draining_is_not_ready_but_alive),
        WITH_ENDPOINTS(test_slow_loop_is_degraded_then_unhealthy),
        cmocka_unit_test_setup_teardown(test_without_definitions_nothing_is_ready, setup_without_definitions,
                                        teardown),
        WITH_ENDPOINTS(test_data_flow_views_are_json),
        WITH_ENDPOINTS(test_metrics_are_prometheus_text),
    };
    return cmocka_run_group_tests_name("http_endpoints", tests, NULL, NULL);
}
