/* Names of results: complete, distinct, and total over bad input. */
#include "protocol/result.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

static void test_every_result_has_its_own_name(void **state)
{
    (void)state;
    for (int i = 0; i < RESULT_COUNT; i++) {
        const char *name = result_name((enum result)i);
        assert_string_not_equal(name, "unknown_result");
        assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz_"), strlen(name));
        for (int j = 0; j < i; j++) {
            assert_string_not_equal(name, result_name((enum result)j));
        }
    }
}

static void test_a_value_outside_the_enum_still_has_a_name(void **state)
{
    (void)state;
    assert_string_equal(result_name(RESULT_COUNT), "unknown_result");
    assert_string_equal(result_name((enum result) - 1), "unknown_result");
}

static void test_what_is_held_or_superfluous_is_settled(void **state)
{
    (void)state;
    for (int i = 0; i < RESULT_COUNT; i++) {
        bool is_settled = i == RESULT_OK || i == RESULT_UNCHANGED || i == RESULT_OLDER;
        assert_int_equal(result_is_settled((enum result)i), is_settled);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_result_has_its_own_name),
        cmocka_unit_test(test_a_value_outside_the_enum_still_has_a_name),
        cmocka_unit_test(test_what_is_held_or_superfluous_is_settled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
