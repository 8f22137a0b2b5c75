/* The byte buffer: caps, growth, failure, and JSON strings. */
#include "protocol/bytes.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "vectors.h"

static void assert_content(const struct bytes *bytes, const char *expected)
{
    assert_int_equal(bytes->length, strlen(expected));
    assert_memory_equal(bytes->at, expected, bytes->length);
}

static void test_appends_follow_each_other(void **state)
{
    (void)state;
    struct bytes bytes;
    bytes_init(&bytes, 1000);
    bytes_append_text(&bytes, "a=");
    bytes_append_u64(&bytes, 0);
    bytes_append_byte(&bytes, ' ');
    bytes_append_u64(&bytes, UINT64_MAX);
    bytes_append_byte(&bytes, ' ');
    bytes_append_i64(&bytes, INT64_MIN);
    bytes_append_byte(&bytes, ' ');
    bytes_append_i64(&bytes, 7);
    bytes_append_format(&bytes, " %s-%.15g", "x", 0.1);
    bytes_append(&bytes, NULL, 0);
    assert_content(&bytes, "a=0 18446744073709551615 -9223372036854775808 7 x-0.1");
    assert_false(bytes_failed(&bytes));
    bytes_finish(&bytes);
}

static void test_it_grows_up_to_the_cap_and_not_past_it(void **state)
{
    (void)state;
    struct bytes bytes;
    bytes_init(&bytes, 1000);
    for (int i = 0; i < 1000; i++) {
        bytes_append_byte(&bytes, 'x');
    }
    assert_false(bytes_failed(&bytes));
    assert_int_equal(bytes.length, 1000);
    assert_true(bytes.capacity <= 1000);
    bytes_append_byte(&bytes, 'y');
    assert_true(bytes_failed(&bytes));
    assert_int_equal(bytes.length, 1000);
    bytes_finish(&bytes);
}

static void test_a_failed_append_changes_nothing_and_stays_failed(void **state)
{
    (void)state;
    struct bytes bytes;
    bytes_init(&bytes, 10);
    bytes_append_text(&bytes, "12345678");
    bytes_append_text(&bytes, "abc");
    assert_true(bytes_failed(&bytes));
    bytes_append_text(&bytes, "z");
    assert_content(&bytes, "12345678");
    bytes_clear(&bytes);
    assert_false(bytes_failed(&bytes));
    bytes_append_format(&bytes, "%s", "exactly10!");
    assert_content(&bytes, "exactly10!");
    bytes_clear(&bytes);
    bytes_append_format(&bytes, "%s", "eleven byte");
    assert_true(bytes_failed(&bytes));
    assert_int_equal(bytes.length, 0);
    bytes_finish(&bytes);
}

static void test_numbers_and_strings_are_whole_or_absent(void **state)
{
    (void)state;
    struct bytes bytes;
    bytes_init(&bytes, 4);
    bytes_append_text(&bytes, "1");
    bytes_append_i64(&bytes, -1234);
    assert_true(bytes_failed(&bytes));
    assert_content(&bytes, "1");
    bytes_clear(&bytes);
    bytes_append_text(&bytes, "1");
    bytes_append_json_string(&bytes, "ab", 2);
    assert_true(bytes_failed(&bytes));
    assert_content(&bytes, "1");
    bytes_finish(&bytes);
}

static void test_take_moves_the_memory_out(void **state)
{
    (void)state;
    struct bytes bytes;
    bytes_init(&bytes, 100);
    bytes_append_text(&bytes, "hello");
    size_t length = 0;
    char *taken = bytes_take(&bytes, &length);
    assert_int_equal(length, 5);
    assert_memory_equal(taken, "hello", 5);
    assert_null(bytes.at);
    bytes_append_text(&bytes, "again");
    assert_content(&bytes, "again");
    free(taken);
    bytes_finish(&bytes);
    bytes_finish(&bytes);
    bytes_finish(NULL);
}

static void test_json_strings_are_escaped(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t length;
        const char *expected;
    } cases[] = {
        {"", 0, "\"\""},
        {"plain", 5, "\"plain\""},
        {"q\"b\\s/", 6, "\"q\\\"b\\\\s/\""},
        {"\b\f\n\r\t", 5, "\"\\b\\f\\n\\r\\t\""},
        {"\x01\x1f\x7f", 3, "\"\\u0001\\u001f\x7f\""},
        {"a\0b", 3, "\"a\\u0000b\""},
        {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 9, "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
        {"a\xff"
         "b",
         3,
         "\"a\xef\xbf\xbd"
         "b\""},
        {"\xc0\xaf", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\""},
        {"\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
        {"\xf4\x90\x80\x80", 4, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
        {"\xe2\x82", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\""},
        {"\xe2\x82\xac", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bytes bytes;
        bytes_init(&bytes, 100);
        bytes_append_json_string(&bytes, cases[i].text, cases[i].length);
        assert_content(&bytes, cases[i].expected);
        bytes_finish(&bytes);
    }
}

static void test_running_out_of_memory_is_a_failure_not_a_crash(void **state)
{
    (void)state;
    struct bytes bytes;
    bytes_init(&bytes, 100000);
    allocations_fail_after(1);
    bytes_append_text(&bytes, "fits");
    for (int i = 0; i < 1000; i++) {
        bytes_append_text(&bytes, "0123456789");
    }
    allocations_fail_after(-1);
    assert_true(bytes_failed(&bytes));
    assert_true(bytes.length < 1000);
    assert_memory_equal(bytes.at, "fits0123456789", 14);
    bytes_finish(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_appends_follow_each_other),
        cmocka_unit_test(test_it_grows_up_to_the_cap_and_not_past_it),
        cmocka_unit_test(test_a_failed_append_changes_nothing_and_stays_failed),
        cmocka_unit_test(test_numbers_and_strings_are_whole_or_absent),
        cmocka_unit_test(test_take_moves_the_memory_out),
        cmocka_unit_test(test_json_strings_are_escaped),
        cmocka_unit_test(test_running_out_of_memory_is_a_failure_not_a_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
