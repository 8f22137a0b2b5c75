/* The token bucket, with the clock as an argument. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/token_bucket.h"

static unsigned take_all(struct token_bucket *bucket, uint64_t now_us)
{
    unsigned taken = 0;
    while (token_bucket_take(bucket, now_us)) {
        assert_true(++taken <= 1000000);
    }
    return taken;
}

static void test_burst_and_then_the_rate(void **state)
{
    (void)state;
    struct token_bucket bucket;
    token_bucket_init(&bucket, 1000, 50, 7000000);
    assert_int_equal(take_all(&bucket, 7000000), 50);
    assert_false(token_bucket_take(&bucket, 7000999));
    assert_true(token_bucket_take(&bucket, 7001000));
    assert_int_equal(take_all(&bucket, 7021000), 20);
}

static void test_no_fraction_is_lost_however_often_it_is_asked(void **state)
{
    (void)state;
    struct token_bucket bucket;
    token_bucket_init(&bucket, 3, 1, 0);
    unsigned taken = 0;
    for (uint64_t now_us = 0; now_us <= 10000000; now_us += 7) {
        taken += token_bucket_take(&bucket, now_us) ? 1 : 0;
    }
    assert_in_range(taken, 30, 31); /* one at once, and three in each of ten seconds */
}

static void test_rest_fills_it_no_further_than_the_burst(void **state)
{
    (void)state;
    struct token_bucket bucket;
    token_bucket_init(&bucket, 1000000, 100000, 0);
    assert_int_equal(take_all(&bucket, 0), 100000);
    assert_int_equal(take_all(&bucket, UINT64_MAX), 100000); /* no overflow on the way */
    assert_false(
        token_bucket_take(&bucket, 5)); /* a clock that went back takes nothing away and gives nothing */
}

static void test_wait_is_exact(void **state)
{
    (void)state;
    struct token_bucket bucket;
    token_bucket_init(&bucket, 3, 10, 0);
    assert_int_equal(token_bucket_wait_us(&bucket, 10, 0), 0);
    assert_int_equal(take_all(&bucket, 0), 10);
    uint64_t wait_us = token_bucket_wait_us(&bucket, 2, 0);
    assert_int_equal(wait_us, 666667);
    assert_int_equal(token_bucket_wait_us(&bucket, 2, wait_us - 1), 1);
    assert_int_equal(token_bucket_wait_us(&bucket, 2, wait_us), 0);
    assert_int_equal(take_all(&bucket, wait_us), 2);
    assert_int_equal(token_bucket_wait_us(&bucket, 1000, wait_us),
                     3333333); /* for the burst: more never comes */
}

static void test_rate_of_zero_is_no_limit(void **state)
{
    (void)state;
    struct token_bucket bucket;
    token_bucket_init(&bucket, 0, 1, 0);
    for (int i = 0; i < 100000; i++) {
        assert_true(token_bucket_take(&bucket, 0));
    }
    assert_int_equal(token_bucket_wait_us(&bucket, 1, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_burst_and_then_the_rate),
        cmocka_unit_test(test_no_fraction_is_lost_however_often_it_is_asked),
        cmocka_unit_test(test_rest_fills_it_no_further_than_the_burst),
        cmocka_unit_test(test_wait_is_exact),
        cmocka_unit_test(test_rate_of_zero_is_no_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
