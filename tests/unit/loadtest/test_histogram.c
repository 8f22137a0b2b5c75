/* The histogram against sorted samples: never better than the truth, never worse by more than a thousandth. */
#include "loadtest/load/histogram.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

static struct histogram histogram; /* too big for the stack */

static int by_size(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

static void test_nothing_recorded_is_zero(void **state)
{
    (void)state;
    histogram_clear(&histogram);
    assert_int_equal(histogram_quantile_us(&histogram, 0.5), 0);
    assert_int_equal(histogram.count, 0);
}

static void test_small_values_are_exact(void **state)
{
    (void)state;
    histogram_clear(&histogram);
    for (uint64_t i = 1; i <= 1000; i++) {
        histogram_record(&histogram, i, 1);
    }
    assert_int_equal(histogram_quantile_us(&histogram, 0), 1);
    assert_int_equal(histogram_quantile_us(&histogram, 0.5), 500);
    assert_int_equal(histogram_quantile_us(&histogram, 0.99), 990);
    assert_int_equal(histogram_quantile_us(&histogram, 1), 1000);
    assert_int_equal(histogram.sum_us, 500500);
}

static void test_one_value_many_times_is_that_value(void **state)
{
    (void)state;
    histogram_clear(&histogram);
    histogram_record(&histogram, 123456, 1000);
    assert_int_equal(histogram.count, 1000);
    assert_int_equal(histogram_quantile_us(&histogram, 0.001), 123456);
    assert_int_equal(histogram_quantile_us(&histogram, 1), 123456);
}

static void test_quantiles_are_right_to_a_thousandth(void **state)
{
    (void)state;
    enum { COUNT = 20000 };
    static uint64_t values[COUNT];
    uint64_t chance = 88172645463325252u;
    histogram_clear(&histogram);
    for (size_t i = 0; i < COUNT; i++) {
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        values[i] = (chance >> 40) % ((uint64_t)1 << (1 + i % 25)); /* all sizes up to 33 s */
        histogram_record(&histogram, values[i], 1);
    }
    qsort(values, COUNT, sizeof *values, by_size);
    for (size_t i = 1; i <= 1000; i++) {
        uint64_t truth = values[COUNT * i / 1000 - 1];
        uint64_t told = histogram_quantile_us(&histogram, (double)i / 1000);
        if (told < truth || told > truth + truth / 1000 + 1) {
            fail_msg("quantile %zu/1000: told %llu, is %llu", i, (unsigned long long)told,
                     (unsigned long long)truth);
        }
    }
}

static void test_beyond_the_end_the_maximum_is_told(void **state)
{
    (void)state;
    histogram_clear(&histogram);
    histogram_record(&histogram, 10, 99);
    histogram_record(&histogram, (uint64_t)HISTOGRAM_MAX_US * 5, 1);
    assert_int_equal(histogram_quantile_us(&histogram, 0.99), 10);
    assert_int_equal(histogram_quantile_us(&histogram, 1), (uint64_t)HISTOGRAM_MAX_US * 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_recorded_is_zero),
        cmocka_unit_test(test_small_values_are_exact),
        cmocka_unit_test(test_one_value_many_times_is_that_value),
        cmocka_unit_test(test_quantiles_are_right_to_a_thousandth),
        cmocka_unit_test(test_beyond_the_end_the_maximum_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
