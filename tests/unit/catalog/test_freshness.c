/* The shared vectors, and what they cannot say: names and ages beyond the range of the type. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "catalog/freshness.h"
#include "vectors.h"

static struct freshness_class limits_of(const json_t *vector)
{
    const json_t *fresh = json_object_get(vector, "fresh_s");
    return (struct freshness_class){
        .never_ages = json_is_null(fresh),
        .fresh_ms = json_integer_value(fresh) * 1000,
        .stale_ms = json_integer_value(json_object_get(vector, "stale_s")) * 1000,
        .expired_ms = json_integer_value(json_object_get(vector, "expired_s")) * 1000,
    };
}

static void test_every_shared_vector(void **context)
{
    (void)context;
    json_t *cases = vectors_cases("freshness");
    size_t index;
    json_t *vector;
    assert_true(json_array_size(cases) > 20);
    json_array_foreach(cases, index, vector) {
        struct freshness_class limits = limits_of(vector);
        enum value_state state = VALUE_OK;
        assert_int_equal(value_state_parse(json_string_value(json_object_get(vector, "state")), &state),
                         RESULT_OK);
        enum freshness freshness =
            freshness_of(&limits, state, json_integer_value(json_object_get(vector, "as_of")),
                         json_is_true(json_object_get(vector, "source_up")),
                         json_integer_value(json_object_get(vector, "now")));
        const char *expected = json_string_value(json_object_get(vector, "expect"));
        print_message("%s\n", json_string_value(json_object_get(vector, "name")));
        assert_string_equal(freshness_name(freshness), expected);
    }
    json_decref(cases);
}

static void test_an_age_beyond_the_type_is_expired_or_fresh(void **context)
{
    (void)context;
    const struct freshness_class limits = {.fresh_ms = 1, .stale_ms = 2, .expired_ms = 3};
    assert_int_equal(freshness_of(&limits, VALUE_OK, INT64_MIN, true, INT64_MAX), FRESHNESS_EXPIRED);
    assert_int_equal(freshness_of(&limits, VALUE_OK, INT64_MAX, true, INT64_MIN), FRESHNESS_FRESH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_shared_vector),
        cmocka_unit_test(test_an_age_beyond_the_type_is_expired_or_fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
