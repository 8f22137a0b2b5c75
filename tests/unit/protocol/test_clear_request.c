/* What an operator may ask the cache to forget. */
#include "protocol/clear_request.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

static void assert_refused(const char *text, enum result expected)
{
    struct clear_request request;
    const char *problem = NULL;
    enum result result = clear_request_decode(text, strlen(text), &request, &problem);
    if (result != expected || !problem) {
        fail_msg("%s: %s instead of %s", text, result_name(result), result_name(expected));
    }
}

static void test_one_class_or_one_key_is_taken(void **state)
{
    (void)state;
    struct clear_request request;
    const char *problem = NULL;
    const char *class = "{\"class\":\"executive_kpis\"}";
    const char *key = " {\"key\": \"default:caf\\u00e9\"} ";
    assert_int_equal(clear_request_decode(class, strlen(class), &request, &problem), RESULT_OK);
    assert_true(request.is_class);
    assert_string_equal(request.name, "executive_kpis");
    assert_int_equal(clear_request_decode(key, strlen(key), &request, &problem), RESULT_OK);
    assert_false(request.is_class);
    assert_string_equal(request.name, "default:caf\xc3\xa9");
}

static void test_everything_else_is_refused_by_name(void **state)
{
    (void)state;
    assert_refused("", RESULT_MALFORMED);
    assert_refused("null", RESULT_MALFORMED);
    assert_refused("\"default\"", RESULT_MALFORMED);
    assert_refused("[{\"class\":\"default\"}]", RESULT_MALFORMED);
    assert_refused("{\"class\":\"a\",\"class\":\"b\"}", RESULT_MALFORMED);
    assert_refused("{\"key\":\"a\\u0000b\"}", RESULT_MALFORMED);
    assert_refused("{\"class\":[[[[[]]]]]}", RESULT_TOO_DEEP);
    assert_refused("{}", RESULT_MISSING_FIELD);
    assert_refused("{\"keys\":\"default:a\"}", RESULT_MISSING_FIELD);
    assert_refused("{\"class\":\"a\",\"key\":\"b\"}", RESULT_MISSING_FIELD);
    assert_refused("{\"class\":\"a\",\"force\":true}", RESULT_UNKNOWN_TYPE);
    assert_refused("{\"class\":null}", RESULT_WRONG_TYPE);
    assert_refused("{\"key\":{}}", RESULT_WRONG_TYPE);
    assert_refused("{\"key\":\"\"}", RESULT_OUT_OF_RANGE);
}

static void test_names_have_a_limit(void **state)
{
    (void)state;
    static char text[CACHE_NAME_MAX_BYTES + 32];
    struct clear_request request;
    const char *problem = NULL;
    (void)snprintf(text, sizeof text, "{\"key\":\"%0*d\"}", CACHE_NAME_MAX_BYTES, 0);
    assert_int_equal(clear_request_decode(text, strlen(text), &request, &problem), RESULT_OK);
    assert_int_equal(strlen(request.name), CACHE_NAME_MAX_BYTES);
    (void)snprintf(text, sizeof text, "{\"key\":\"%0*d\"}", CACHE_NAME_MAX_BYTES + 1, 0);
    assert_refused(text, RESULT_OUT_OF_RANGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_class_or_one_key_is_taken),
        cmocka_unit_test(test_everything_else_is_refused_by_name),
        cmocka_unit_test(test_names_have_a_limit),
    };
    return cmocka_run_group_tests_name("clear_request", tests, NULL, NULL);
}
