/* What links and breakers add up to. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "upstreams.h"

struct fake_link {
    bool is_up;
    const char *reason;
    uint64_t rtt_us;
};

static uint64_t now_ms;
static struct metrics *metrics;
static struct upstreams upstreams;
static struct fake_link journal, cache, pool;
static struct breaker breaker;

static uint64_t fake_now_ms(void)
{
    return now_ms;
}

static bool is_up(const void *link)
{
    return ((const struct fake_link *)link)->is_up;
}

static const char *reason(const void *link)
{
    return ((const struct fake_link *)link)->reason;
}

static uint64_t rtt_us(const void *link)
{
    return ((const struct fake_link *)link)->rtt_us;
}

static void add(enum upstream upstream, const char *name, const struct fake_link *fake)
{
    const struct upstream_link link = {
        .upstream = upstream, .name = name, .link = fake, .is_up = is_up, .reason = reason, .rtt_us = rtt_us};
    upstreams_add_link(&upstreams, &link);
}

static int setup(void **context)
{
    (void)context;
    const struct breaker_options options = {.failures = 2, .open_ms = 60000, .probe_ms = 2000};
    now_ms = 1000;
    metrics = metrics_create();
    breaker_init(&breaker, &options);
    upstreams_init(&upstreams, metrics, fake_now_ms);
    journal = (struct fake_link){.is_up = true, .reason = "", .rtt_us = 0};
    cache = (struct fake_link){.is_up = true, .reason = "", .rtt_us = 250};
    pool = (struct fake_link){.is_up = true, .reason = ""};
    return metrics ? 0 : -1;
}

static int teardown(void **context)
{
    (void)context;
    metrics_destroy(metrics);
    return 0;
}

static void add_all(void)
{
    add(UPSTREAM_REDIS, "journal", &journal);
    add(UPSTREAM_REDIS, "cache", &cache);
    add(UPSTREAM_POSTGRES, "pool", &pool);
    upstreams_add_breaker(&upstreams, UPSTREAM_POSTGRES, "postgres", &breaker);
}

static double metric(const char *name, const char *labels)
{
    const struct metric *found = metrics_find(metrics, name, labels);
    assert_non_null(found);
    return metric_read(found);
}

static void assert_metric(const char *name, const char *labels, double expected)
{
    double found = metric(name, labels);
    if (found < expected - 0.0001 || found > expected + 0.0001) {
        fail_msg("%s{%s} is %g, not %g", name, labels, found, expected);
    }
}

static void test_what_is_not_configured_is_off(void **context)
{
    (void)context;
    for (int i = 0; i < UPSTREAM_COUNT; i++) {
        assert_int_equal(upstream_state(&upstreams, (enum upstream)i), UPSTREAM_OFF);
        assert_int_equal(upstream_state(NULL, (enum upstream)i), UPSTREAM_OFF);
        assert_string_equal(upstream_reason(&upstreams, (enum upstream)i), "");
        assert_string_equal(upstream_reason(NULL, (enum upstream)i), "");
        assert_int_equal(upstream_rtt_us(NULL, (enum upstream)i), 0);
    }
    upstreams_publish(NULL);
    upstreams_publish(&upstreams);
    assert_metric("gw_upstream_state", "upstream=\"redis\"", 0);
}

static void test_links_add_up(void **context)
{
    (void)context;
    add_all();
    assert_int_equal(upstream_state(&upstreams, UPSTREAM_REDIS), UPSTREAM_UP);
    assert_string_equal(upstream_reason(&upstreams, UPSTREAM_REDIS), "");
    assert_int_equal(upstream_rtt_us(&upstreams, UPSTREAM_REDIS), 250); /* the journal's is not known */
    cache = (struct fake_link){.is_up = false, .reason = "refused", .rtt_us = 250};
    assert_int_equal(upstream_state(&upstreams, UPSTREAM_REDIS), UPSTREAM_DEGRADED);
    assert_string_equal(upstream_reason(&upstreams, UPSTREAM_REDIS), "refused");
    assert_int_equal(upstream_rtt_us(&upstreams, UPSTREAM_REDIS), 0); /* of a link that is gone */
    journal = (struct fake_link){.is_up = false, .reason = ""};
    assert_int_equal(upstream_state(&upstreams, UPSTREAM_REDIS), UPSTREAM_CONNECTING);
    assert_string_equal(upstream_reason(&upstreams, UPSTREAM_REDIS), "not connected yet");
    assert_int_equal(upstream_state(&upstreams, UPSTREAM_POSTGRES), UPSTREAM_UP);
}

static void test_a_breaker_opens_its_upstream(void **context)
{
    (void)context;
    add_all();
    breaker_fail(&breaker, now_ms);
    assert_int_equal(upstream_state(&upstreams, UPSTREAM_POSTGRES), UPSTREAM_UP);
    breaker_fail(&breaker, now_ms);
    assert_int_equal(upstream_state(&upstreams, UPSTREAM_POSTGRES), UPSTREAM_OPEN);
    assert_int_equal(upstream_state(&upstreams, UPSTREAM_REDIS), UPSTREAM_UP);
    assert_non_null(strstr(upstream_reason(&upstreams, UPSTREAM_POSTGRES), "open"));
    now_ms += 15000;
    upstreams_publish(&upstreams);
    assert_metric("gw_upstream_state", "upstream=\"postgres\"", 4);
    assert_metric("gw_breaker_state", "upstream=\"postgres\"", 2);
    assert_metric("gw_breaker_failures", "upstream=\"postgres\"", 2);
    assert_metric("gw_breaker_next_probe_seconds", "upstream=\"postgres\"", 45);
    now_ms += 45000;
    assert_int_equal(upstream_state(&upstreams, UPSTREAM_POSTGRES), UPSTREAM_DEGRADED);
    assert_non_null(strstr(upstream_reason(&upstreams, UPSTREAM_POSTGRES), "tried"));
    upstreams_publish(&upstreams);
    assert_metric("gw_breaker_state", "upstream=\"postgres\"", 1);
    assert_metric("gw_breaker_next_probe_seconds", "upstream=\"postgres\"", 0);
    assert_true(breaker_allow(&breaker, now_ms));
    breaker_succeed(&breaker, now_ms);
    upstreams_publish(&upstreams);
    assert_metric("gw_upstream_state", "upstream=\"postgres\"", 1);
    assert_metric("gw_breaker_state", "upstream=\"postgres\"", 0);
}

static void test_names_are_those_of_the_operations_board(void **context)
{
    (void)context;
    static const char *const words[UPSTREAM_STATE_COUNT] = {"off", "up", "degraded", "connecting", "open"};
    for (int i = 0; i < UPSTREAM_STATE_COUNT; i++) {
        assert_string_equal(upstream_state_name((enum upstream_state)i), words[i]);
    }
    assert_string_equal(upstream_name(UPSTREAM_REDIS), "redis");
    assert_string_equal(upstream_name(UPSTREAM_POSTGRES), "postgres");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_is_not_configured_is_off, setup, teardown),
        cmocka_unit_test_setup_teardown(test_links_add_up, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_breaker_opens_its_upstream, setup, teardown),
        cmocka_unit_test(test_names_are_those_of_the_operations_board),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
