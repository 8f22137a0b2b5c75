/* What is shown on one line stays on it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/one_line.h"

static void test_control_characters_become_question_marks(void **state)
{
    (void)state;
    char text[] = "a\nb\tc\x7f"
                  "d\x1f \xc3\xb6";
    assert_false(is_clean_text(text));
    make_one_line(text);
    assert_string_equal(text, "a?b?c?d? \xc3\xb6");
    assert_true(is_clean_text(text));
}

static void test_nothing_is_clean(void **state)
{
    (void)state;
    char text[] = "";
    make_one_line(text);
    assert_string_equal(text, "");
    assert_true(is_clean_text(text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_control_characters_become_question_marks),
        cmocka_unit_test(test_nothing_is_clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
