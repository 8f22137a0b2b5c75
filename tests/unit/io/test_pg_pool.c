/* The pool: how queries share its connections, what waits, what is refused, and when its breaker opens. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "io/loop_handles.h"
#include "io/pg_pool.h"
#include "pg_server.h"
#include "../support/allocations.h"

struct fixture {
    struct loop *loop;
    struct metrics *metrics;
    struct loop_timer *tick;
    struct pg_server server;
    struct pg_pool_options options;
    struct pg_pool *pool;
    char conninfo[128];
    unsigned answers, failures;
    char text[64]; /* of the last answer */
    struct pg_failure failure;
};

static struct pg_server_process process;

static int start_server(void **state)
{
    (void)state;
    pg_server_start(&process);
    return 0;
}

static int stop_server(void **state)
{
    (void)state;
    pg_server_remove(&process);
    return 0;
}

static void on_tick(void *context)
{
    struct fixture *f = context;
    loop_timer_arm(f->tick, 5);
}

static int start(void **state)
{
    static struct fixture fixture;
    struct fixture *f = &fixture;
    *f = (struct fixture){.loop = loop_create(), .metrics = metrics_create()};
    f->tick = loop_timer_create(f->loop, on_tick, f);
    assert_non_null(f->tick);
    loop_timer_arm(f->tick, 0);
    (void)snprintf(f->conninfo, sizeof f->conninfo, "postgres://postgres@127.0.0.1:%u/postgres",
                   process.port);
    f->server = (struct pg_server){
        .conninfo = f->conninfo,
        .connect_timeout_ms = 2000,
        .statement_timeout_ms = 300,
        .reconnect_base_ms = 20,
        .reconnect_limit_ms = 100,
    };
    f->options = (struct pg_pool_options){
        .server = &f->server,
        .size = 2,
        .max_waiting = 2,
        .breaker = {.failures = 3, .open_ms = 200, .probe_ms = 500},
        .now_ms = clock_monotonic_ms,
    };
    *state = f;
    return 0;
}

static int stop(void **state)
{
    struct fixture *f = *state;
    pg_pool_destroy(f->pool);
    loop_timer_destroy(f->tick);
    loop_destroy(f->loop);
    metrics_destroy(f->metrics);
    return 0;
}

static void turn_for(struct fixture *f, unsigned ms)
{
    for (uint64_t end = clock_monotonic_ms() + ms; clock_monotonic_ms() < end;) {
        loop_run_once(f->loop, true);
    }
}

static bool turn_until(struct fixture *f, const unsigned *counter, unsigned at_least)
{
    for (uint64_t end = clock_monotonic_ms() + 3000; *counter < at_least && clock_monotonic_ms() < end;) {
        loop_run_once(f->loop, true);
    }
    return *counter >= at_least;
}

static bool turn_until_up(struct fixture *f, bool is_up, size_t links)
{
    for (uint64_t end = clock_monotonic_ms() + 5000; clock_monotonic_ms() < end;) {
        if (pg_pool_is_up(f->pool) == is_up && metrics_sum(f->metrics, "gw_pg_link_up") == (double)links) {
            return true;
        }
        loop_run_once(f->loop, true);
    }
    return false;
}

static void pool_up(struct fixture *f)
{
    f->pool = pg_pool_create(f->loop, f->metrics, &f->options);
    assert_non_null(f->pool);
    pg_pool_start(f->pool);
    assert_true(turn_until_up(f, true, f->options.size));
}

static void on_result(void *context, const struct pg_result *result, const struct pg_failure *failure)
{
    struct fixture *f = context;
    f->answers++;
    if (failure) {
        f->failures++;
        f->failure = *failure;
    } else {
        const char *text = pg_text(result, 0, 0, NULL);
        (void)snprintf(f->text, sizeof f->text, "%s", text ? text : "null");
    }
}

static enum result ask(struct fixture *f, const char *sql)
{
    const struct pg_query query = {.sql = sql};
    return pg_pool_query(f->pool, &query, on_result, f);
}

static double metric(const struct fixture *f, const char *name, const char *labels)
{
    return metric_read(metrics_find(f->metrics, name, labels));
}

static void test_queries_run_side_by_side_and_the_rest_waits(void **state)
{
    struct fixture *f = *state;
    pool_up(f);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(ask(f, "select pg_sleep(0.1), 1"), RESULT_OK);
    }
    assert_int_equal(f->answers, 0);
    assert_true(pg_pool_use(f->pool) == 1.0);
    assert_true(metric(f, "gw_pool_waiting", NULL) == 2);
    assert_int_equal(ask(f, "select 1"), RESULT_FULL);
    assert_true(metric(f, "gw_pool_refused_total", "reason=\"full\"") == 1);
    uint64_t since = clock_monotonic_ms();
    assert_true(turn_until(f, &f->answers, 4));
    assert_true(clock_monotonic_ms() - since < 390); /* two at a time */
    assert_int_equal(f->failures, 0);
    assert_true(pg_pool_use(f->pool) == 0.0);
    assert_true(metric(f, "gw_pool_use", NULL) == 0 && metric(f, "gw_pool_waiting", NULL) == 0);
    assert_true(metric_read(metrics_find(f->metrics, "gw_pg_query_seconds", NULL)) == 4);
}

static void test_parameters_of_a_waiting_query_are_kept(void **state)
{
    struct fixture *f = *state;
    f->options.size = 1;
    pool_up(f);
    assert_int_equal(ask(f, "select pg_sleep(0.05)"), RESULT_OK);
    char text[] = "kept";
    const char *const params[] = {text, NULL};
    const struct pg_query query = {
        .sql = "select $1::text || coalesce($2::text, '!')", .param_count = 2, .params = params};
    assert_int_equal(pg_pool_query(f->pool, &query, on_result, f), RESULT_OK);
    memset(text, 'x', sizeof text - 1);
    assert_true(turn_until(f, &f->answers, 2));
    assert_string_equal(f->text, "kept!");
}

static void test_a_pool_without_connections_refuses(void **state)
{
    struct fixture *f = *state;
    f->pool = pg_pool_create(f->loop, f->metrics, &f->options);
    assert_non_null(f->pool);
    pg_pool_start(f->pool);
    assert_false(pg_pool_is_up(f->pool));
    assert_int_equal(ask(f, "select 1"), RESULT_UNAVAILABLE);
    assert_true(metric(f, "gw_pool_refused_total", "reason=\"down\"") == 1);
}

static void test_time_outs_open_the_breaker_and_a_probe_closes_it(void **state)
{
    struct fixture *f = *state;
    pool_up(f);
    for (unsigned i = 1; i <= 3; i++) {
        assert_int_equal(ask(f, "select pg_sleep(3)"), RESULT_OK);
        assert_true(turn_until(f, &f->answers, i));
        assert_string_equal(f->failure.sqlstate, "57014");
    }
    assert_int_equal(breaker_state(pg_pool_breaker(f->pool), clock_monotonic_ms()), BREAKER_OPEN);
    assert_int_equal(ask(f, "select 1"), RESULT_UNAVAILABLE);
    assert_true(metric(f, "gw_pool_refused_total", "reason=\"breaker\"") == 1);
    turn_for(f, 250);
    assert_int_equal(ask(f, "select 'probe'"), RESULT_OK);
    assert_int_equal(ask(f, "select 1"), RESULT_UNAVAILABLE); /* one at a time */
    assert_true(turn_until(f, &f->answers, 4));
    assert_string_equal(f->text, "probe");
    assert_int_equal(breaker_state(pg_pool_breaker(f->pool), clock_monotonic_ms()), BREAKER_CLOSED);
}

static void test_bad_queries_do_not_open_the_breaker(void **state)
{
    struct fixture *f = *state;
    pool_up(f);
    for (unsigned i = 1; i <= 6; i++) {
        assert_int_equal(ask(f, "select nothing"), RESULT_OK);
        assert_true(turn_until(f, &f->failures, i));
        assert_int_equal(f->failure.result, RESULT_UNKNOWN_TYPE);
    }
    assert_int_equal(breaker_state(pg_pool_breaker(f->pool), clock_monotonic_ms()), BREAKER_CLOSED);
}

static void test_a_dead_server_opens_the_breaker_and_its_return_closes_it(void **state)
{
    struct fixture *f = *state;
    f->options.breaker.open_ms = 60000;
    pool_up(f);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(ask(f, "select pg_sleep(0.2)"), RESULT_OK);
    }
    pg_server_halt(&process);
    assert_true(turn_until(f, &f->failures, 4)); /* at work and waiting */
    assert_int_equal(f->failure.result, RESULT_UNAVAILABLE);
    turn_for(f, 600);
    assert_false(pg_pool_is_up(f->pool));
    assert_int_equal(breaker_state(pg_pool_breaker(f->pool), clock_monotonic_ms()), BREAKER_OPEN);
    pg_server_resume(&process);
    assert_true(turn_until_up(f, true, 2)); /* long before open_ms */
    assert_int_equal(breaker_state(pg_pool_breaker(f->pool), clock_monotonic_ms()), BREAKER_CLOSED);
    assert_int_equal(ask(f, "select 'back'"), RESULT_OK);
    assert_true(turn_until(f, &f->answers, 5));
    assert_string_equal(f->text, "back");
}

static void test_destroying_the_pool_answers_all_queries(void **state)
{
    struct fixture *f = *state;
    pool_up(f);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(ask(f, "select pg_sleep(0.2)"), RESULT_OK);
    }
    pg_pool_destroy(f->pool);
    f->pool = NULL;
    assert_int_equal(f->failures, 4);
    assert_int_equal(f->failure.result, RESULT_UNAVAILABLE);
}

static void test_memory_may_run_out_at_any_allocation(void **state)
{
    struct fixture *f = *state;
    bool failed = true;
    for (int i = 0; failed; i++) {
        allocations_fail_one_after(i);
        struct pg_pool *pool = pg_pool_create(f->loop, f->metrics, &f->options);
        failed = allocations_recover();
        assert_true(failed || pool);
        pg_pool_destroy(pool);
        assert_true(i < 200);
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        CASE(test_queries_run_side_by_side_and_the_rest_waits),
        CASE(test_parameters_of_a_waiting_query_are_kept),
        CASE(test_a_pool_without_connections_refuses),
        CASE(test_time_outs_open_the_breaker_and_a_probe_closes_it),
        CASE(test_bad_queries_do_not_open_the_breaker),
        CASE(test_a_dead_server_opens_the_breaker_and_its_return_closes_it),
        CASE(test_destroying_the_pool_answers_all_queries),
        CASE(test_memory_may_run_out_at_any_allocation),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
