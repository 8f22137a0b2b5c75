#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "io/backoff.h"

static void test_ceiling_doubles_up_to_the_limit(void **state)
{
    (void)state;
    struct backoff backoff;
    backoff_init(&backoff, 100, 2000);
    const uint32_t ceilings[] = {100, 200, 400, 800, 1600, 2000, 2000};
    for (size_t i = 0; i < sizeof ceilings / sizeof *ceilings; i++) {
        struct backoff before = backoff;
        assert_int_equal(backoff_next_ms(&backoff, ceilings[i]), ceilings[i]);
        assert_int_equal(backoff_next_ms(&before, ceilings[i] + 1), 10); /* wraps to 0: the floor */
    }
}

static void test_wait_is_never_below_a_tenth_of_base(void **state)
{
    (void)state;
    struct backoff backoff;
    backoff_init(&backoff, 100, 2000);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(backoff_next_ms(&backoff, 0), 10);
    }
}

static void test_success_starts_afresh(void **state)
{
    (void)state;
    struct backoff backoff;
    backoff_init(&backoff, 100, 2000);
    for (int i = 0; i < 40; i++) {
        (void)backoff_next_ms(&backoff, 7);
    }
    assert_int_equal(backoff.attempts, 40);
    backoff_reset(&backoff);
    assert_int_equal(backoff_next_ms(&backoff, 100), 100);
    assert_int_equal(backoff.attempts, 1);
}

static void test_counts_attempts_without_wrapping(void **state)
{
    (void)state;
    struct backoff backoff;
    backoff_init(&backoff, 0, 0);
    backoff.attempts = UINT32_MAX;
    assert_int_equal(backoff_next_ms(&backoff, 12345), 0);
    assert_int_equal(backoff.attempts, UINT32_MAX);
}

static void test_a_base_above_the_limit_is_cut(void **state)
{
    (void)state;
    struct backoff backoff;
    backoff_init(&backoff, 5000, 2000);
    assert_int_equal(backoff_next_ms(&backoff, 2000), 2000);
    assert_int_equal(backoff_next_ms(&backoff, 2001), 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ceiling_doubles_up_to_the_limit),
        cmocka_unit_test(test_wait_is_never_below_a_tenth_of_base),
        cmocka_unit_test(test_success_starts_afresh),
        cmocka_unit_test(test_counts_attempts_without_wrapping),
        cmocka_unit_test(test_a_base_above_the_limit_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
