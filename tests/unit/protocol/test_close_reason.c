/* The table of codes against PROTOCOL.md, "Codes", and the range rule. */
#include "protocol/close_reason.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vectors.h"

static enum close_reason reason_of_code(unsigned code)
{
    for (int i = 0; i < CLOSE_REASON_COUNT; i++) {
        if (close_reason_code((enum close_reason)i) == code) {
            return (enum close_reason)i;
        }
    }
    fail_msg("code %u of PROTOCOL.md has no close reason", code);
    return CLOSE_REASON_COUNT;
}

static void test_the_table_equals_the_one_in_the_text(void **state)
{
    (void)state;
    char *text = source_file_read("protocol/PROTOCOL.md");
    char *line = strstr(text, "| code | name |");
    assert_non_null(line);
    int rows = 0;
    for (line = strchr(line, '\n'); line != NULL && line[1] == '|'; line = strchr(line + 1, '\n')) {
        unsigned code;
        char name[64];
        if (sscanf(line + 1, "| %u | %63[a-z_] |", &code, name) == 2) {
            assert_string_equal(close_reason_name(reason_of_code(code)), name);
            rows++;
        }
    }
    assert_int_equal(rows, CLOSE_REASON_COUNT);
    free(text);
}

static void test_codes_and_names_are_distinct_and_messages_are_sentences(void **state)
{
    (void)state;
    for (int i = 0; i < CLOSE_REASON_COUNT; i++) {
        enum close_reason reason = (enum close_reason)i;
        const char *message = close_reason_message(reason);
        assert_true(strlen(message) > 10 && message[strlen(message) - 1] == '.');
        assert_true(strlen(message) <= 123); /* what a close frame can carry */
        for (int j = 0; j < i; j++) {
            assert_int_not_equal(close_reason_code(reason), close_reason_code((enum close_reason)j));
            assert_string_not_equal(close_reason_name(reason), close_reason_name((enum close_reason)j));
        }
    }
}

static void test_the_range_says_whether_to_come_back(void **state)
{
    (void)state;
    for (int i = 0; i < CLOSE_REASON_COUNT; i++) {
        enum close_reason reason = (enum close_reason)i;
        unsigned code = close_reason_code(reason);
        bool expected = (code >= 1000 && code <= 1002) || code / 100 == 43 || code / 100 == 44;
        assert_int_equal(close_reason_may_retry(reason), expected);
    }
}

static void test_what_is_about_tokens(void **state)
{
    (void)state;
    for (int i = 0; i < CLOSE_REASON_COUNT; i++) {
        enum close_reason reason = (enum close_reason)i;
        bool expected = reason == CLOSE_TOKEN_REQUIRED || reason == CLOSE_TOKEN_INVALID ||
                        reason == CLOSE_TOKEN_EXPIRED || reason == CLOSE_FORBIDDEN;
        assert_int_equal(close_reason_is_about_token(reason), expected);
    }
}

static void test_every_result_means_something_to_the_peer(void **state)
{
    (void)state;
    assert_int_equal(close_reason_of_result(RESULT_TOO_BIG), CLOSE_TOO_BIG);
    assert_int_equal(close_reason_of_result(RESULT_MALFORMED), CLOSE_MALFORMED);
    assert_int_equal(close_reason_of_result(RESULT_TOO_DEEP), CLOSE_TOO_DEEP);
    assert_int_equal(close_reason_of_result(RESULT_UNKNOWN_TYPE), CLOSE_UNKNOWN_TYPE);
    assert_int_equal(close_reason_of_result(RESULT_MISSING_FIELD), CLOSE_INVALID_MESSAGE);
    assert_int_equal(close_reason_of_result(RESULT_WRONG_TYPE), CLOSE_INVALID_MESSAGE);
    assert_int_equal(close_reason_of_result(RESULT_OUT_OF_RANGE), CLOSE_INVALID_MESSAGE);
    assert_int_equal(close_reason_of_result(RESULT_UNKNOWN_BOARD), CLOSE_UNKNOWN_BOARD);
    assert_int_equal(close_reason_of_result(RESULT_NOT_SUBSCRIBED), CLOSE_NOT_SUBSCRIBED);
    assert_int_equal(close_reason_of_result(RESULT_TOO_MANY), CLOSE_TOO_MANY_SUBSCRIPTIONS);
    assert_int_equal(close_reason_of_result(RESULT_FORBIDDEN), CLOSE_FORBIDDEN);
    assert_int_equal(close_reason_of_result(RESULT_UNAUTHENTICATED), CLOSE_TOKEN_INVALID);
    assert_int_equal(close_reason_of_result(RESULT_FULL), CLOSE_OVERLOADED);
    assert_int_equal(close_reason_of_result(RESULT_NO_MEMORY), CLOSE_OVERLOADED);
    assert_int_equal(close_reason_of_result(RESULT_IO), CLOSE_INTERNAL);
    for (int i = 0; i < RESULT_COUNT; i++) {
        assert_in_range(close_reason_of_result((enum result)i), 0, CLOSE_REASON_COUNT - 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_table_equals_the_one_in_the_text),
        cmocka_unit_test(test_codes_and_names_are_distinct_and_messages_are_sentences),
        cmocka_unit_test(test_the_range_says_whether_to_come_back),
        cmocka_unit_test(test_what_is_about_tokens),
        cmocka_unit_test(test_every_result_means_something_to_the_peer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
