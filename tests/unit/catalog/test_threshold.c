/* Levels, directions, bases, hysteresis and the time a worse level must hold. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "catalog/threshold.h"

static const struct threshold up = {.is_set = true, .direction = GOOD_UP, .warn = 75, .crit = 60};
static const struct threshold down = {.is_set = true, .direction = GOOD_DOWN, .warn = 3, .crit = 6};

/** The level of a number that has no past. */
static enum threshold_level level_of(const struct threshold *threshold, double number, double target,
                                     double base)
{
    struct threshold_memory memory = {0};
    return threshold_evaluate(threshold, &memory, number, target, base, 0);
}

static void test_up_is_good_warns_below_the_limit_only(void **context)
{
    (void)context;
    assert_int_equal(level_of(&up, 75, NAN, NAN), LEVEL_OK);
    assert_int_equal(level_of(&up, 74.99, NAN, NAN), LEVEL_WARN);
    assert_int_equal(level_of(&up, 60, NAN, NAN), LEVEL_WARN);
    assert_int_equal(level_of(&up, 59.99, NAN, NAN), LEVEL_CRIT);
}

static void test_down_is_good_warns_at_the_limit(void **context)
{
    (void)context;
    assert_int_equal(level_of(&down, 2.99, NAN, NAN), LEVEL_OK);
    assert_int_equal(level_of(&down, 3, NAN, NAN), LEVEL_WARN);
    assert_int_equal(level_of(&down, 6, NAN, NAN), LEVEL_CRIT);
}

static void test_against_a_target(void **context)
{
    (void)context;
    const struct threshold pace = {
        .is_set = true, .basis = BASIS_VS_TARGET, .direction = GOOD_UP, .warn = 0.95, .crit = 0.85};
    assert_int_equal(level_of(&pace, 96, 100, NAN), LEVEL_OK);
    assert_int_equal(level_of(&pace, 94, 100, NAN), LEVEL_WARN);
    assert_int_equal(level_of(&pace, 84, 100, NAN), LEVEL_CRIT);
}

static void test_against_a_base_that_may_be_negative(void **context)
{
    (void)context;
    const struct threshold drop = {
        .is_set = true, .basis = BASIS_VS_BASE, .direction = GOOD_UP, .warn = -0.05, .crit = -0.10};
    assert_int_equal(level_of(&drop, 96, NAN, 100), LEVEL_OK);
    assert_int_equal(level_of(&drop, 94, NAN, 100), LEVEL_WARN);
    assert_int_equal(level_of(&drop, 89, NAN, 100), LEVEL_CRIT);
    assert_int_equal(level_of(&drop, -112, NAN, -100), LEVEL_CRIT);
}

static void test_a_missing_part_is_no_level(void **context)
{
    (void)context;
    const struct threshold pace = {
        .is_set = true, .basis = BASIS_VS_TARGET, .direction = GOOD_UP, .warn = 1, .crit = 1};
    const struct threshold drop = {
        .is_set = true, .basis = BASIS_VS_BASE, .direction = GOOD_UP, .warn = 1, .crit = 1};
    const struct threshold unset = {.direction = GOOD_DOWN};
    assert_int_equal(level_of(&up, NAN, NAN, NAN), LEVEL_OK);
    assert_int_equal(level_of(&pace, 0, NAN, NAN), LEVEL_OK);
    assert_int_equal(level_of(&pace, 5, 0, NAN), LEVEL_OK);
    assert_int_equal(level_of(&drop, 0, NAN, NAN), LEVEL_OK);
    assert_int_equal(level_of(&drop, -5, NAN, 0), LEVEL_OK);
    assert_int_equal(level_of(&unset, 1e9, NAN, NAN), LEVEL_OK);
}

static void test_a_missing_value_forgets_the_level_before(void **context)
{
    (void)context;
    struct threshold_memory memory = {0};
    assert_int_equal(threshold_evaluate(&up, &memory, 10, NAN, NAN, 0), LEVEL_CRIT);
    assert_int_equal(threshold_evaluate(&up, &memory, NAN, NAN, NAN, 1), LEVEL_OK);
    assert_int_equal(memory.level, LEVEL_OK);
}

static void test_a_level_is_left_only_beyond_the_hysteresis(void **context)
{
    (void)context;
    struct threshold slack = up;
    slack.hysteresis = 2;
    struct threshold_memory memory = {0};
    assert_int_equal(threshold_evaluate(&slack, &memory, 74, NAN, NAN, 0), LEVEL_WARN);
    assert_int_equal(threshold_evaluate(&slack, &memory, 76.9, NAN, NAN, 1), LEVEL_WARN);
    assert_int_equal(threshold_evaluate(&slack, &memory, 77, NAN, NAN, 2), LEVEL_OK);
    assert_int_equal(threshold_evaluate(&slack, &memory, 76, NAN, NAN, 3), LEVEL_OK);
    assert_int_equal(threshold_evaluate(&slack, &memory, 59, NAN, NAN, 4), LEVEL_CRIT);
    assert_int_equal(threshold_evaluate(&slack, &memory, 61, NAN, NAN, 5), LEVEL_CRIT);
    assert_int_equal(threshold_evaluate(&slack, &memory, 62, NAN, NAN, 6), LEVEL_WARN);
}

static void test_hysteresis_when_down_is_good(void **context)
{
    (void)context;
    struct threshold slack = down;
    slack.hysteresis = 1;
    struct threshold_memory memory = {0};
    assert_int_equal(threshold_evaluate(&slack, &memory, 6, NAN, NAN, 0), LEVEL_CRIT);
    assert_int_equal(threshold_evaluate(&slack, &memory, 5.1, NAN, NAN, 1), LEVEL_CRIT);
    assert_int_equal(threshold_evaluate(&slack, &memory, 5, NAN, NAN, 2), LEVEL_WARN);
    assert_int_equal(threshold_evaluate(&slack, &memory, 2.1, NAN, NAN, 3), LEVEL_WARN);
    assert_int_equal(threshold_evaluate(&slack, &memory, 2, NAN, NAN, 4), LEVEL_OK);
}

static void test_a_worse_level_is_told_after_it_has_held(void **context)
{
    (void)context;
    struct threshold patient = down;
    patient.for_ms = 1000;
    struct threshold_memory memory = {0};
    assert_int_equal(threshold_evaluate(&patient, &memory, 4, NAN, NAN, 5000), LEVEL_OK);
    assert_int_equal(threshold_evaluate(&patient, &memory, 4, NAN, NAN, 5999), LEVEL_OK);
    assert_int_equal(threshold_evaluate(&patient, &memory, 4, NAN, NAN, 6000), LEVEL_WARN);
    assert_int_equal(threshold_evaluate(&patient, &memory, 1, NAN, NAN, 6001), LEVEL_OK);
}

static void test_a_short_peak_is_never_told(void **context)
{
    (void)context;
    struct threshold patient = down;
    patient.for_ms = 1000;
    struct threshold_memory memory = {0};
    assert_int_equal(threshold_evaluate(&patient, &memory, 9, NAN, NAN, 0), LEVEL_OK);
    assert_int_equal(threshold_evaluate(&patient, &memory, 1, NAN, NAN, 900), LEVEL_OK);
    assert_int_equal(threshold_evaluate(&patient, &memory, 9, NAN, NAN, 1100), LEVEL_OK);
    assert_int_equal(threshold_evaluate(&patient, &memory, 9, NAN, NAN, 2099), LEVEL_OK);
    assert_int_equal(threshold_evaluate(&patient, &memory, 9, NAN, NAN, 2100), LEVEL_CRIT);
}

static void test_time_counts_for_the_milder_of_two_levels(void **context)
{
    (void)context;
    struct threshold patient = down;
    patient.for_ms = 1000;
    struct threshold_memory memory = {0};
    assert_int_equal(threshold_evaluate(&patient, &memory, 9, NAN, NAN, 0), LEVEL_OK);
    assert_int_equal(threshold_evaluate(&patient, &memory, 4, NAN, NAN, 500), LEVEL_OK);
    assert_int_equal(threshold_evaluate(&patient, &memory, 9, NAN, NAN, 1000), LEVEL_WARN);
    assert_int_equal(threshold_evaluate(&patient, &memory, 9, NAN, NAN, 1999), LEVEL_WARN);
    assert_int_equal(threshold_evaluate(&patient, &memory, 9, NAN, NAN, 2000), LEVEL_CRIT);
}

static void test_names(void **context)
{
    (void)context;
    assert_string_equal(threshold_level_name(LEVEL_OK), "ok");
    assert_string_equal(threshold_level_name(LEVEL_WARN), "warn");
    assert_string_equal(threshold_level_name(LEVEL_CRIT), "crit");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_up_is_good_warns_below_the_limit_only),
        cmocka_unit_test(test_down_is_good_warns_at_the_limit),
        cmocka_unit_test(test_against_a_target),
        cmocka_unit_test(test_against_a_base_that_may_be_negative),
        cmocka_unit_test(test_a_missing_part_is_no_level),
        cmocka_unit_test(test_a_missing_value_forgets_the_level_before),
        cmocka_unit_test(test_a_level_is_left_only_beyond_the_hysteresis),
        cmocka_unit_test(test_hysteresis_when_down_is_good),
        cmocka_unit_test(test_a_worse_level_is_told_after_it_has_held),
        cmocka_unit_test(test_a_short_peak_is_never_told),
        cmocka_unit_test(test_time_counts_for_the_milder_of_two_levels),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
