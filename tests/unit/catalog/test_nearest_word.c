/* Which misspelt words find their neighbour, and which find none. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "catalog/nearest_word.h"

static const char *nearest(const char *word)
{
    static const char *const known[] = {"port", "host", "threshold", "money", "to"};
    struct nearest_word choice = {.word = word};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        nearest_word_offer(&choice, known[i]);
    }
    return choice.nearest ? choice.nearest : "";
}

static void test_one_edit_is_near(void **context)
{
    (void)context;
    assert_string_equal(nearest("prot"), "port");
    assert_string_equal(nearest("pport"), "port");
    assert_string_equal(nearest("por"), "port");
    assert_string_equal(nearest("pert"), "port");
}

static void test_long_words_may_differ_more(void **context)
{
    (void)context;
    assert_string_equal(nearest("treshhold"), "threshold");
    assert_string_equal(nearest("thrshld"), "threshold");
}

static void test_strangers_are_not_suggested(void **context)
{
    (void)context;
    assert_string_equal(nearest("banana"), "");
    assert_string_equal(nearest(""), "");
    assert_string_equal(nearest("poem"), "");
}

static void test_the_nearest_wins(void **context)
{
    (void)context;
    assert_string_equal(nearest("hort"), "port");
    assert_string_equal(nearest("post"), "port");
    assert_string_equal(nearest("mone"), "money");
}

static void test_words_too_long_to_compare_are_left_alone(void **context)
{
    (void)context;
    char endless[4096];
    memset(endless, 'a', sizeof endless - 1);
    endless[sizeof endless - 1] = '\0';
    assert_string_equal(nearest(endless), "");
    struct nearest_word choice = {.word = "aaaa"};
    nearest_word_offer(&choice, endless);
    assert_null(choice.nearest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_edit_is_near),
        cmocka_unit_test(test_long_words_may_differ_more),
        cmocka_unit_test(test_strangers_are_not_suggested),
        cmocka_unit_test(test_the_nearest_wins),
        cmocka_unit_test(test_words_too_long_to_compare_are_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
