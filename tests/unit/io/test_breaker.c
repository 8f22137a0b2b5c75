#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "io/breaker.h"

static struct breaker fresh(void)
{
    const struct breaker_options options = {.failures = 3, .open_ms = 60000, .probe_ms = 2000};
    struct breaker breaker;
    breaker_init(&breaker, &options);
    return breaker;
}

static struct breaker opened_at(uint64_t now_ms)
{
    struct breaker breaker = fresh();
    for (int i = 0; i < 3; i++) {
        breaker_fail(&breaker, now_ms);
    }
    assert_int_equal(breaker_state(&breaker, now_ms), BREAKER_OPEN);
    return breaker;
}

static void test_opens_after_failures_in_a_row_only(void **state)
{
    (void)state;
    struct breaker breaker = fresh();
    breaker_fail(&breaker, 1);
    breaker_fail(&breaker, 2);
    breaker_succeed(&breaker, 3);
    breaker_fail(&breaker, 4);
    breaker_fail(&breaker, 5);
    assert_int_equal(breaker_state(&breaker, 5), BREAKER_CLOSED);
    assert_true(breaker_allow(&breaker, 5));
    assert_int_equal(breaker_next_probe_ms(&breaker, 5), 0);
    breaker_fail(&breaker, 6);
    assert_int_equal(breaker_state(&breaker, 6), BREAKER_OPEN);
    assert_int_equal(breaker.opened_total, 1);
    assert_int_equal(breaker.failures, 3);
    assert_false(breaker_allow(&breaker, 6));
}

static void test_half_open_lets_one_probe_through(void **state)
{
    (void)state;
    struct breaker breaker = opened_at(1000);
    assert_false(breaker_allow(&breaker, 60999));
    assert_int_equal(breaker_next_probe_ms(&breaker, 60999), 1);
    assert_int_equal(breaker_state(&breaker, 61000), BREAKER_HALF_OPEN);
    assert_int_equal(breaker_next_probe_ms(&breaker, 61000), 0);
    assert_true(breaker_allow(&breaker, 61000));
    assert_false(breaker_allow(&breaker, 61001));
    assert_int_equal(breaker_state(&breaker, 61001), BREAKER_HALF_OPEN);
    breaker_succeed(&breaker, 61500);
    assert_int_equal(breaker_state(&breaker, 61500), BREAKER_CLOSED);
    assert_int_equal(breaker.failures, 0);
    assert_true(breaker_allow(&breaker, 61501));
}

static void test_failed_probe_opens_again(void **state)
{
    (void)state;
    struct breaker breaker = opened_at(0);
    assert_true(breaker_allow(&breaker, 60000));
    breaker_fail(&breaker, 60100);
    assert_int_equal(breaker_state(&breaker, 60100), BREAKER_OPEN);
    assert_int_equal(breaker.opened_total, 2);
    assert_int_equal(breaker_next_probe_ms(&breaker, 60100), 60000);
    assert_false(breaker_allow(&breaker, 120099));
    assert_true(breaker_allow(&breaker, 120100));
}

static void test_unanswered_probe_fails_at_its_deadline(void **state)
{
    (void)state;
    struct breaker breaker = opened_at(0);
    assert_true(breaker_allow(&breaker, 60000));
    assert_int_equal(breaker_next_probe_ms(&breaker, 60000), 62000);
    assert_int_equal(breaker_state(&breaker, 61999), BREAKER_HALF_OPEN);
    assert_int_equal(breaker_state(&breaker, 62000), BREAKER_OPEN);
    assert_false(breaker_allow(&breaker, 62000));
    assert_int_equal(breaker.opened_total, 2);
    assert_false(breaker_allow(&breaker, 121999)); /* open since the deadline, not since it was noticed */
    assert_true(breaker_allow(&breaker, 122000));
}

static void test_late_news_does_not_put_the_probe_off(void **state)
{
    (void)state;
    struct breaker breaker = opened_at(0);
    breaker_fail(&breaker, 50000);
    assert_int_equal(breaker_next_probe_ms(&breaker, 50000), 10000);
    assert_int_equal(breaker.opened_total, 1);
}

static void test_success_closes_an_open_one(void **state)
{
    (void)state;
    struct breaker breaker = opened_at(0);
    breaker_succeed(&breaker, 5);
    assert_int_equal(breaker_state(&breaker, 5), BREAKER_CLOSED);
}

static void test_states_have_names(void **state)
{
    (void)state;
    assert_string_equal(breaker_state_name(BREAKER_CLOSED), "closed");
    assert_string_equal(breaker_state_name(BREAKER_HALF_OPEN), "half_open");
    assert_string_equal(breaker_state_name(BREAKER_OPEN), "open");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_opens_after_failures_in_a_row_only),
        cmocka_unit_test(test_half_open_lets_one_probe_through),
        cmocka_unit_test(test_failed_probe_opens_again),
        cmocka_unit_test(test_unanswered_probe_fails_at_its_deadline),
        cmocka_unit_test(test_late_news_does_not_put_the_probe_off),
        cmocka_unit_test(test_success_closes_an_open_one),
        cmocka_unit_test(test_states_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
