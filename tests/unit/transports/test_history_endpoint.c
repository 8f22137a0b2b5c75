/*
 * History through the cache: the real endpoint, reader, cache (without Redis), pipeline and definitions; connection and
 * database are the test's.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "cache/cache.h"
#include "history_reader.h"
#include "support/fake_http.h"
#include "support/fake_pg.h"
#include "support/small_gateway.h"
#include "transports/history_endpoint.h"

#define ROUTE "/api/v1/kpis/{id}/history"
#define KPI "exec.revenue_mtd" /* money, 30 points of a day, with a query */

static struct small_gateway gateway;
static struct access *access_rules;
static struct loop *loop;
static struct cache *cache;
static struct history_reader *reader;
static struct history_endpoint *endpoint;
static uint64_t now_ms;

static uint64_t clock_ms(void)
{
    return now_ms;
}

static const char *const newest_first[][FAKE_PG_COLUMNS] = {{"1795219200000", "1284300.5"},
                                                            {"1795132800000", "1200000"},
                                                            {"1795046400000", "999.999"}};

static int setup(void **state)
{
    (void)state;
    const struct access_options access_options = {.keys.viewer = NULL};
    now_ms = 1000000;
    fake_http_reset();
    fake_pg_reset();
    small_gateway_init(&gateway, DEFINITIONS);
    access_rules = access_create(&access_options);
    loop = loop_create();
    const struct cache_options cache_options = {.budget_bytes = 1 << 20,
                                                .max_value_bytes = 1 << 18,
                                                .max_loads = 8,
                                                .max_waiters = 100,
                                                .load_timeout_ms = 5000,
                                                .classes = cache_default_classes,
                                                .class_count = cache_default_class_count,
                                                .now_ms = clock_ms};
    cache = cache_create(loop, gateway.metrics, &cache_options);
    const struct history_reader_options reader_options = {
        .pipeline = gateway.pipeline, .cache = cache, .pool = fake_pg_pool()};
    reader = history_reader_create(&reader_options);
    const struct history_endpoint_options options = {
        .pipeline = gateway.pipeline, .access = access_rules, .metrics = gateway.metrics, .reader = reader};
    endpoint = history_endpoint_create(&options);
    assert_true(access_rules && cache && reader && endpoint);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    history_endpoint_destroy(endpoint);
    cache_destroy(cache);
    if (fake_pg.on_result) {
        fake_pg_fail(RESULT_UNAVAILABLE); /* as the pool's end does */
    }
    history_reader_destroy(reader);
    loop_destroy(loop);
    small_gateway_finish(&gateway);
    access_destroy(access_rules);
    return 0;
}

static struct http_exchange asking(const char *name, const char *value)
{
    return (struct http_exchange){.part = KPI, .query_name = name, .query_value = value};
}

/* Takes the answer's text; the caller's reference. */
static json_t *body_of(struct http_exchange *exchange)
{
    assert_int_equal(exchange->answers, 1);
    assert_int_equal(exchange->status, 200);
    json_t *body = json_loadb(exchange->text, exchange->length, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(body);
    fake_http_finish(exchange);
    return body;
}

static const char *cache_text(const json_t *body, const char *member)
{
    const char *text = json_string_value(json_object_get(json_object_get(body, "cache"), member));
    return text ? text : "";
}

static void test_points_beyond_memory_are_read_once_and_printed_like_values(void **state)
{
    (void)state;
    struct http_exchange exchange = asking("points", "3");
    fake_http_send(ROUTE, &exchange);
    assert_int_equal(exchange.answers, 0);
    assert_string_equal(fake_pg.param, "3");
    assert_non_null(strstr(fake_pg.sql, "rollup_history($1)"));
    fake_pg_answer(newest_first, 3);
    json_auto_t *body = body_of(&exchange);
    json_auto_t *expected = json_loads(
        "[[1795046400000,\"1000.00\"],[1795132800000,\"1200000.00\"],[1795219200000,\"1284300.50\"]]", 0,
        NULL);
    char *points = json_dumps(json_object_get(body, "points"), JSON_COMPACT);
    print_message("%s\n", points);
    free(points);
    assert_true(json_equal(json_object_get(body, "points"), expected));
    assert_int_equal(json_integer_value(json_object_get(body, "step_ms")), 86400000);
    assert_string_equal(cache_text(body, "status"), "fresh");
    assert_string_equal(cache_text(body, "tier"), "l3");
    assert_string_equal(fake_http_header(&exchange, "Age"), "0");
    assert_string_equal(fake_http_header(&exchange, "Cache-Status"),
                        "sophia-gateway; fwd=uri-miss; detail=fresh/l3");

    now_ms += 2500;
    struct http_exchange again = asking("points", "3");
    fake_http_send(ROUTE, &again);
    json_auto_t *second = body_of(&again);
    assert_true(json_equal(json_object_get(second, "points"), expected));
    assert_string_equal(cache_text(second, "tier"), "l1");
    assert_int_equal(json_integer_value(json_object_get(json_object_get(second, "cache"), "age_ms")), 2500);
    assert_string_equal(fake_http_header(&again, "Age"), "2");
    assert_string_equal(fake_http_header(&again, "Cache-Status"), "sophia-gateway; hit; detail=fresh/l1");
    assert_int_equal(fake_pg.asked, 1);
}

static void test_days_are_turned_into_points_of_the_kpis_step(void **state)
{
    (void)state;
    struct http_exchange exchange = asking("days", "90");
    fake_http_send(ROUTE, &exchange);
    assert_string_equal(fake_pg.param, "90");
    fake_pg_answer(newest_first, 0);
    json_auto_t *body = body_of(&exchange);
    assert_int_equal(json_array_size(json_object_get(body, "points")), 0);
}

static void test_most_points_that_can_be_asked_for_have_a_limit(void **state)
{
    (void)state;
    struct http_exchange exchange = asking("points", "9999");
    fake_http_send(ROUTE, &exchange);
    assert_string_equal(fake_pg.param, "4000");
    fake_pg_answer(newest_first, 3);
    fake_http_finish(&exchange);
}

static void test_stale_points_say_so_while_they_are_read_again(void **state)
{
    (void)state;
    struct http_exchange first = asking("points", "3"), stale = asking("points", "3");
    fake_http_send(ROUTE, &first);
    fake_pg_answer(newest_first, 3);
    fake_http_finish(&first);
    now_ms += 301000; /* executive_kpis: 300 s */
    fake_http_send(ROUTE, &stale);
    json_auto_t *body = body_of(&stale);
    assert_string_equal(cache_text(body, "status"), "stale");
    assert_string_equal(fake_http_header(&stale, "Age"), "301");
    assert_int_equal(fake_pg.asked, 2);
    fake_pg_fail(RESULT_UNAVAILABLE);
    struct http_exchange failing = asking("points", "3");
    fake_http_send(ROUTE, &failing);
    json_auto_t *marked = body_of(&failing);
    assert_string_equal(cache_text(marked, "status"), "stale_error");
    assert_string_equal(cache_text(marked, "reason"), "unavailable");
    assert_int_equal(json_array_size(json_object_get(marked, "points")), 3);
}

static void on_submitted(void *context, struct submission_item *items, size_t count)
{
    (void)context;
    assert_int_equal(count, 1);
    assert_int_equal(items[0].outcome, RESULT_OK);
}

static void publish(const char *as_of)
{
    struct submission_item item = {.outcome = RESULT_OK};
    json_auto_t *envelope = json_pack("{s:s, s:s, s:s}", "field", KPI, "value", "42.00", "as_of", as_of);
    const char *problem = NULL;
    assert_int_equal(change_decode(envelope, &item.change, &problem), RESULT_OK);
    pipeline_submit(gateway.pipeline, &item, 1, on_submitted, NULL);
    change_finish(&item.change);
}

static void test_without_a_database_memory_answers_and_says_why(void **state)
{
    (void)state;
    publish("2026-11-21T10:00:00Z");
    fake_pg.refusal = RESULT_UNAVAILABLE;
    struct http_exchange exchange = asking("points", "3");
    fake_http_send(ROUTE, &exchange);
    json_auto_t *body = body_of(&exchange);
    assert_int_equal(json_array_size(json_object_get(body, "points")), 1);
    assert_string_equal(cache_text(body, "status"), "failed");
    assert_string_equal(cache_text(body, "tier"), "memory");
    assert_string_equal(cache_text(body, "reason"), "unavailable");
    assert_string_equal(fake_http_header(&exchange, "Age"), "");
}

static void test_memory_answers_alone_when_it_holds_enough(void **state)
{
    (void)state;
    publish("2026-11-20T10:00:00Z");
    publish("2026-11-21T10:00:00Z");
    struct http_exchange exchange = asking("points", "2");
    fake_http_send(ROUTE, &exchange);
    json_auto_t *body = body_of(&exchange);
    assert_int_equal(json_array_size(json_object_get(body, "points")), 2);
    assert_null(json_object_get(body, "cache"));
    assert_int_equal(fake_pg.asked, 0);
}

static void test_a_hundred_readers_cause_one_query(void **state)
{
    (void)state;
    static struct http_exchange exchanges[101];
    for (size_t i = 0; i < 101; i++) {
        exchanges[i] = asking("points", "30");
        fake_http_send(ROUTE, &exchanges[i]);
    }
    assert_int_equal(fake_pg.asked, 1);
    assert_int_equal(exchanges[100].answers, 1); /* one too many: what memory has */
    json_auto_t *refused = body_of(&exchanges[100]);
    assert_string_equal(cache_text(refused, "reason"), "too_many");
    fake_pg_answer(newest_first, 3);
    for (size_t i = 0; i < 100; i++) {
        json_auto_t *body = body_of(&exchanges[i]);
        assert_int_equal(json_array_size(json_object_get(body, "points")), 3);
    }
}

static void test_peer_that_leaves_is_not_answered(void **state)
{
    (void)state;
    struct http_exchange exchange = asking("points", "3");
    fake_http_send(ROUTE, &exchange);
    fake_http_leave(&exchange);
    fake_pg_answer(newest_first, 3);
    assert_int_equal(exchange.answers, 0);
}

static void test_rows_that_are_no_points_are_passed_over(void **state)
{
    (void)state;
    static const char *const rows[][FAKE_PG_COLUMNS] = {
        {"1795219200000", "nan"},       {"1795132800000", "12"}, {"1795132800000", NULL}, {NULL, "12"},
        {"1795132800000", "12 apples"}, {"yesterday", "12"}};
    struct http_exchange exchange = asking("points", "6");
    fake_http_send(ROUTE, &exchange);
    fake_pg_answer(rows, 6);
    json_auto_t *body = body_of(&exchange);
    assert_int_equal(json_array_size(json_object_get(body, "points")), 1);
}

static void test_end_of_the_gateway_finds_reads_under_way(void **state)
{
    (void)state;
    struct http_exchange exchange = asking("points", "3");
    fake_http_send(ROUTE, &exchange);
    fake_http_leave(&exchange); /* the listener goes first; the rest is teardown's, under the sanitizers */
    assert_non_null(fake_pg.on_result);
}

#define HISTORY_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HISTORY_TEST(test_points_beyond_memory_are_read_once_and_printed_like_values),
        HISTORY_TEST(test_days_are_turned_into_points_of_the_kpis_step),
        HISTORY_TEST(test_most_points_that_can_be_asked_for_have_a_limit),
        HISTORY_TEST(test_stale_points_say_so_while_they_are_read_again),
        HISTORY_TEST(test_without_a_database_memory_answers_and_says_why),
        HISTORY_TEST(test_memory_answers_alone_when_it_holds_enough),
        HISTORY_TEST(test_a_hundred_readers_cause_one_query),
        HISTORY_TEST(test_peer_that_leaves_is_not_answered),
        HISTORY_TEST(test_rows_that_are_no_points_are_passed_over),
        HISTORY_TEST(test_end_of_the_gateway_finds_reads_under_way),
    };
    return cmocka_run_group_tests_name("history_endpoint", tests, NULL, NULL);
}
