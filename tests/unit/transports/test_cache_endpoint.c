/* Who may clear the cache, and what is answered. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/clock.h"
#include "cache/cache.h"
#include "support/fake_http.h"
#include "transports/cache_endpoint.h"

#define ROUTE "/api/v1/data-flow/cache/clear"
#define KEY "Bearer 0perator"

static struct access *access_rules;
static struct loop *loop;
static struct metrics *metrics;
static struct cache *cache;
static struct cache_endpoint *endpoint;

static void open_endpoint(const char *admin_key)
{
    const struct access_options access_options = {
        .keys.viewer = "v", .keys.ingest = "i", .keys.admin = admin_key};
    const struct cache_options cache_options = {.budget_bytes = 1 << 20,
                                                .max_value_bytes = 1000,
                                                .max_loads = 8,
                                                .max_waiters = 8,
                                                .load_timeout_ms = 5000,
                                                .classes = cache_default_classes,
                                                .class_count = cache_default_class_count,
                                                .now_ms = clock_monotonic_ms};
    fake_http_reset();
    access_rules = access_create(&access_options);
    loop = loop_create();
    metrics = metrics_create();
    cache = cache_create(loop, metrics, &cache_options);
    const struct cache_endpoint_options options = {
        .access = access_rules, .metrics = metrics, .cache = cache};
    endpoint = cache_endpoint_create(&options);
    assert_true(access_rules && cache && endpoint);
}

static int setup(void **state)
{
    (void)state;
    open_endpoint("0perator");
    return 0;
}

static int setup_without_key(void **state)
{
    (void)state;
    open_endpoint(NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cache_endpoint_destroy(endpoint);
    cache_destroy(cache);
    metrics_destroy(metrics);
    loop_destroy(loop);
    access_destroy(access_rules);
    return 0;
}

static void put(const char *key)
{
    assert_int_equal(cache_put(cache, key, cache_value_create("1", 1, 1, 0)), RESULT_OK);
}

static void assert_answer(const char *authorization, const char *body, int status, const char *expected)
{
    struct http_exchange exchange = {.authorization = authorization, .body = body};
    fake_http_send(ROUTE, &exchange);
    assert_int_equal(exchange.answers, 1);
    if (exchange.status != status || strcmp(status == 200 ? exchange.text : exchange.code, expected) != 0) {
        fail_msg("%s: %d %s%s", body, exchange.status, exchange.code, exchange.text);
    }
    fake_http_finish(&exchange);
}

static void test_only_the_admin_key_opens(void **state)
{
    (void)state;
    put("default:a");
    assert_answer(NULL, "{\"class\":\"default\"}", 401, "unauthenticated");
    assert_answer("Basic 0perator", "{\"class\":\"default\"}", 401, "unauthenticated");
    assert_answer("Bearer v", "{\"class\":\"default\"}", 403, "forbidden");
    assert_answer("Bearer i", "{\"class\":\"default\"}", 403, "forbidden");
    assert_true(metrics_sum(metrics, "gw_admin_refused_total") == 4);
    assert_answer(KEY, "{\"class\":\"default\"}", 200, "{\"class\":\"default\",\"cleared\":1}");
}

static void test_without_an_admin_key_nobody_may(void **state)
{
    (void)state;
    assert_answer(NULL, "{\"class\":\"default\"}", 403, "forbidden");
    assert_answer("Bearer ", "{\"class\":\"default\"}", 403, "forbidden");
    assert_answer("Bearer x", "{\"class\":\"default\"}", 403, "forbidden");
}

static void test_keys_and_classes_are_cleared_and_counted(void **state)
{
    (void)state;
    put("default:a");
    put("default:b");
    put("gong_summaries:a");
    assert_answer(KEY, "{\"key\":\"default:a\"}", 200, "{\"key\":\"default:a\",\"cleared\":1}");
    assert_answer(KEY, "{\"key\":\"default:a\"}", 200, "{\"key\":\"default:a\",\"cleared\":0}");
    put("default:c");
    assert_answer(KEY, "{\"class\":\"default\"}", 200, "{\"class\":\"default\",\"cleared\":2}");
    assert_answer(KEY, "{\"class\":\"gong_summaries\"}", 200, "{\"class\":\"gong_summaries\",\"cleared\":1}");
    assert_true(metric_read(metrics_find(metrics, "gw_cache_clears_total", "what=\"class\"")) == 2);
    assert_true(metric_read(metrics_find(metrics, "gw_cache_clears_total", "what=\"key\"")) == 2);
}

static void test_odd_bodies_are_refused_by_name(void **state)
{
    (void)state;
    assert_answer(KEY, "", 400, "malformed");
    assert_answer(KEY, "[]", 400, "malformed");
    assert_answer(KEY, "{}", 400, "missing_field");
    assert_answer(KEY, "{\"class\":\"default\",\"key\":\"default:a\"}", 400, "missing_field");
    assert_answer(KEY, "{\"class\":7}", 400, "wrong_type");
    assert_answer(KEY, "{\"class\":\"default\",\"all\":true}", 400, "unknown_type");
    assert_answer(KEY, "{\"class\":\"none such\"}", 404, "unknown_field");
    assert_answer(KEY, "{\"key\":\"none such\"}", 404, "unknown_field");
    assert_answer(KEY, "{\"key\":\"odd \\\"text\\\" \\u0007:x\"}", 404, "unknown_field");
}

#define CLEAR_TEST(name, before) cmocka_unit_test_setup_teardown(name, before, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLEAR_TEST(test_only_the_admin_key_opens, setup),
        CLEAR_TEST(test_without_an_admin_key_nobody_may, setup_without_key),
        CLEAR_TEST(test_keys_and_classes_are_cleared_and_counted, setup),
        CLEAR_TEST(test_odd_bodies_are_refused_by_name, setup),
    };
    return cmocka_run_group_tests_name("cache_endpoint", tests, NULL, NULL);
}
