/* Recent points: buckets, corrections, late values, redefinition, caps. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/allocations.h"
#include "protocol/limits.h"
#include "state/history.h"

static void assert_points(const struct history *history, const char *kpi, size_t max_points,
                          const char *expected)
{
    struct bytes text;
    bytes_init(&text, 65536);
    assert_true(history_print(history, kpi, max_points, &text));
    bytes_append_byte(&text, '\0');
    assert_false(bytes_failed(&text));
    assert_string_equal(text.at, expected);
    bytes_finish(&text);
}

static enum result record(struct history *history, int64_t as_of_ms, const char *text)
{
    return history_record(history, "k.value", as_of_ms, text, strlen(text));
}

static struct history *history_of(uint32_t points, uint64_t step_ms)
{
    struct history *history = history_create(4);
    assert_non_null(history);
    assert_int_equal(history_define(history, "k.value", points, step_ms), RESULT_OK);
    return history;
}

static void test_a_bucket_keeps_its_last_value(void **state)
{
    (void)state;
    struct history *history = history_of(3, 100);
    assert_points(history, "k.value", 9, "[]");
    assert_int_equal(record(history, 1000, "1"), RESULT_OK);
    assert_int_equal(record(history, 1099, "\"2.50\""), RESULT_OK);
    assert_int_equal(record(history, 1100, "3"), RESULT_OK);
    assert_points(history, "k.value", 9, "[[1099,\"2.50\"],[1100,3]]");
    assert_int_equal(record(history, 1100, "4"), RESULT_OK);    /* a correction of the same moment */
    assert_int_equal(record(history, 1050, "9"), RESULT_OLDER); /* its bucket holds a later value */
    assert_points(history, "k.value", 9, "[[1099,\"2.50\"],[1100,4]]");
    history_destroy(history);
}

static void test_late_values_find_their_place_or_are_too_old(void **state)
{
    (void)state;
    struct history *history = history_of(3, 100);
    assert_int_equal(record(history, 500, "5"), RESULT_OK);
    assert_int_equal(record(history, 300, "3"), RESULT_OK);
    assert_points(history, "k.value", 9, "[[300,3],[500,5]]");
    assert_int_equal(record(history, 400, "4"), RESULT_OK);
    assert_int_equal(record(history, 200, "2"), RESULT_OLDER);
    assert_int_equal(record(history, 310, "3.1"), RESULT_OK);
    assert_points(history, "k.value", 9, "[[310,3.1],[400,4],[500,5]]");
    assert_int_equal(record(history, 700, "7"), RESULT_OK);
    assert_int_equal(record(history, 600, "6"), RESULT_OK); /* pushes the oldest out from the middle */
    assert_points(history, "k.value", 9, "[[500,5],[600,6],[700,7]]");
    assert_points(history, "k.value", 2, "[[600,6],[700,7]]");
    assert_points(history, "k.value", 0, "[]");
    history_destroy(history);
}

static void test_times_before_1970_have_buckets_too(void **state)
{
    (void)state;
    struct history *history = history_of(3, 100);
    assert_int_equal(record(history, -1, "1"), RESULT_OK);
    assert_int_equal(record(history, 1, "2"), RESULT_OK);
    assert_int_equal(record(history, -100, "3"), RESULT_OLDER); /* the bucket of -1 */
    assert_points(history, "k.value", 9, "[[-1,1],[1,2]]");
    history_destroy(history);
}

static void test_redefinition_keeps_the_newest_points_unless_the_step_changes(void **state)
{
    (void)state;
    struct history *history = history_of(4, 100);
    for (int i = 1; i <= 4; i++) {
        char text[8];
        snprintf(text, sizeof text, "%d", i);
        assert_int_equal(record(history, i * 100, text), RESULT_OK);
    }
    assert_int_equal(history_define(history, "k.value", 4, 100), RESULT_OK);
    assert_points(history, "k.value", 9, "[[100,1],[200,2],[300,3],[400,4]]");
    assert_int_equal(history_define(history, "k.value", 2, 100), RESULT_OK);
    assert_points(history, "k.value", 9, "[[300,3],[400,4]]");
    assert_int_equal(history_define(history, "k.value", 3, 100), RESULT_OK);
    assert_int_equal(record(history, 500, "5"), RESULT_OK);
    assert_points(history, "k.value", 9, "[[300,3],[400,4],[500,5]]");
    assert_int_equal(history_count(history, "k.value"), 3);
    assert_int_equal(history_step_ms(history, "k.value"), 100);
    assert_int_equal(history_define(history, "k.value", 3, 200), RESULT_OK);
    assert_points(history, "k.value", 9, "[]");
    assert_int_equal(history_step_ms(history, "k.value"), 200);
    history_destroy(history);
}

static void test_unknown_kpis_and_long_texts_are_refused(void **state)
{
    (void)state;
    struct history *history = history_of(HISTORY_POINTS_MAX, 1);
    assert_int_equal(history_record(history, "k.other", 1, "1", 1), RESULT_UNKNOWN_FIELD);
    assert_int_equal(history_step_ms(history, "k.other"), 0);
    assert_int_equal(history_count(history, "k.other"), 0);
    struct bytes text;
    bytes_init(&text, 100);
    assert_false(history_print(history, "k.other", 9, &text));
    assert_int_equal(text.length, 0);
    bytes_finish(&text);
    char longest[HISTORY_TEXT_MAX + 1];
    memset(longest, '1', sizeof longest);
    assert_int_equal(history_record(history, "k.value", 1, longest, HISTORY_TEXT_MAX - 1), RESULT_OK);
    assert_int_equal(history_record(history, "k.value", 2, longest, HISTORY_TEXT_MAX), RESULT_TOO_BIG);
    history_drop(history, "k.value");
    history_drop(history, "k.value");
    assert_int_equal(record(history, 1, "1"), RESULT_UNKNOWN_FIELD);
    history_destroy(history);
}

static void test_the_table_of_kpis_has_a_cap(void **state)
{
    (void)state;
    struct history *history = history_create(2);
    assert_int_equal(history_define(history, "k.a", 1, 1), RESULT_OK);
    assert_int_equal(history_define(history, "k.b", 1, 1), RESULT_OK);
    assert_int_equal(history_define(history, "k.c", 1, 1), RESULT_FULL);
    assert_int_equal(history_define(history, "k.a", 2, 1), RESULT_OK);
    history_drop(history, "k.b");
    assert_int_equal(history_define(history, "k.c", 1, 1), RESULT_OK);
    history_destroy(history);
}

static void test_every_failed_allocation_leaves_what_was_there(void **state)
{
    (void)state;
    bool has_failed = true;
    for (int i = 0; has_failed; i++) {
        allocations_fail_one_after(i);
        struct history *history = history_create(4);
        bool is_whole = history && history_define(history, "k.value", 2, 100) == RESULT_OK;
        has_failed = allocations_recover();
        assert_true(is_whole != has_failed);
        history_destroy(history);
    }
    struct history *history = history_of(2, 100);
    assert_int_equal(record(history, 100, "1"), RESULT_OK);
    allocations_fail_one_after(0);
    assert_int_equal(history_define(history, "k.value", 5, 100), RESULT_NO_MEMORY);
    assert_true(allocations_recover());
    assert_points(history, "k.value", 9, "[[100,1]]");
    history_destroy(history);
    history_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_bucket_keeps_its_last_value),
        cmocka_unit_test(test_late_values_find_their_place_or_are_too_old),
        cmocka_unit_test(test_times_before_1970_have_buckets_too),
        cmocka_unit_test(test_redefinition_keeps_the_newest_points_unless_the_step_changes),
        cmocka_unit_test(test_unknown_kpis_and_long_texts_are_refused),
        cmocka_unit_test(test_the_table_of_kpis_has_a_cap),
        cmocka_unit_test(test_every_failed_allocation_leaves_what_was_there),
    };
    return cmocka_run_group_tests_name("history", tests, NULL, NULL);
}
