/* What a producer says, by the vectors; decimals, times and states. */
#include "protocol/change.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "vectors.h"

static void set(json_t *object, const char *name, json_t *value)
{
    assert_int_equal(json_object_set_new(object, name, value), 0);
}

static void set_shared(json_t *object, const char *name, json_t *value)
{
    if (value != NULL) {
        assert_int_equal(json_object_set(object, name, value), 0);
    }
}

/** The decoded change in the words of the vectors. */
static json_t *describe(const struct change *change)
{
    json_t *object = json_object();
    set(object, "result", json_string("ok"));
    set(object, "field", json_string(change->field));
    set(object, "state", json_string(value_state_name(change->state)));
    set_shared(object, "value", change->value);
    set_shared(object, "target", change->target);
    set_shared(object, "base", change->base);
    set_shared(object, "points", change->points);
    if (change->has_ratio) {
        set(object, "num", json_real(change->numerator));
        set(object, "den", json_real(change->denominator));
    }
    if (change->has_as_of) {
        set(object, "as_of", json_integer(change->as_of_ms));
    }
    if (change->has_version) {
        set(object, "version", json_integer((json_int_t)change->version));
    }
    if (change->is_delete) {
        set(object, "delete", json_true());
    }
    if (change->reason[0] != '\0') {
        set(object, "reason", json_string(change->reason));
    }
    return object;
}

/** 3 and 3.0 are one number to JSON but two to json_equal. */
static json_t *with_real_parts(const json_t *expect)
{
    json_t *copy = json_deep_copy(expect);
    if (json_object_get(copy, "num") != NULL) {
        set(copy, "num", json_real(json_number_value(json_object_get(copy, "num"))));
        set(copy, "den", json_real(json_number_value(json_object_get(copy, "den"))));
    }
    return copy;
}

static void check_change(const struct vector *vector, const struct change *change)
{
    json_t *found = describe(change);
    json_t *expected = with_real_parts(vector->expect);
    if (!json_equal(found, expected) || change->is_demo || (change->has_ratio && change->value != NULL)) {
        char *text = json_dumps(found, JSON_COMPACT);
        fail_msg("%s: decoded as %s", vector->file, text);
    }
    json_decref(found);
    json_decref(expected);
}

static void run_vector(const struct vector *vector, void *context)
{
    (void)context;
    json_t *envelope =
        json_loadb(vector->text, vector->length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
    if (envelope == NULL) {
        assert_string_equal(vector->result, "malformed"); /* refused by the parser, before us */
        return;
    }
    struct change change = {.version = 77};
    const char *problem = "untouched";
    enum result result = change_decode(envelope, &change, &problem);
    if (strcmp(result_name(result), vector->result) != 0) {
        fail_msg("%s: %s (%s), expected %s", vector->file, result_name(result), problem ? problem : "-",
                 vector->result);
    }
    if (result == RESULT_OK) {
        assert_null(problem);
        check_change(vector, &change);
        change_finish(&change);
        assert_null(change.value);
    } else {
        assert_int_equal(change.version, 77); /* outputs are written only on success */
        const char *expected = json_string_value(json_object_get(vector->expect, "problem"));
        if ((problem == NULL) != (expected == NULL) || (problem != NULL && strcmp(problem, expected) != 0)) {
            fail_msg("%s: blames %s", vector->file, problem ? problem : "nothing");
        }
    }
    assert_int_equal(envelope->refcount, 1);
    json_decref(envelope);
}

static void test_vectors(void **state)
{
    (void)state;
    assert_true(vectors_each("change", run_vector, NULL) >= 90);
}

static void test_a_change_outlives_its_envelope(void **state)
{
    (void)state;
    json_t *envelope = json_pack("{s:s, s:{s:i}, s:i, s:s, s:[[i,i]]}", "field", "a.b#1", "value", "x", 5,
                                 "target", 9, "base", "1.50", "points", 1, 2);
    struct change change;
    const char *problem;
    assert_int_equal(change_decode(envelope, &change, &problem), RESULT_OK);
    json_decref(envelope);
    assert_int_equal(json_integer_value(json_object_get(change.value, "x")), 5);
    assert_int_equal(json_integer_value(change.target), 9);
    assert_string_equal(json_string_value(change.base), "1.50");
    assert_int_equal(json_array_size(change.points), 1);
    change_finish(&change);
    change_finish(&change);
    change_finish(NULL);
}

static void test_decimals(void **state)
{
    (void)state;
    json_t *cases = vectors_cases("decimals");
    size_t index;
    json_t *item;
    json_array_foreach(cases, index, item) {
        const json_t *expect = json_object_get(item, "expect");
        int decimals = (int)json_integer_value(json_object_get(item, "decimals"));
        char text[64] = "untouched";
        enum result result = decimal_normalise(json_object_get(item, "value"), decimals, text, sizeof text);
        print_message("  case %zu: %s\n", index, text);
        assert_string_equal(result_name(result), json_string_value(json_object_get(expect, "result")));
        const char *expected = json_string_value(json_object_get(expect, "text"));
        assert_string_equal(text, expected != NULL ? expected : "untouched");
    }
    json_decref(cases);
}

static void test_a_decimal_that_does_not_fit_is_too_big(void **state)
{
    (void)state;
    json_t *value = json_string("-12.5");
    char text[7];
    assert_int_equal(decimal_normalise(value, 2, text, 6), RESULT_TOO_BIG);
    assert_int_equal(decimal_normalise(value, 2, text, 7), RESULT_OK);
    assert_string_equal(text, "-12.50");
    json_decref(value);
}

static void test_normalising_twice_changes_nothing(void **state)
{
    (void)state;
    json_t *cases = vectors_cases("decimals");
    size_t index;
    json_t *item;
    json_array_foreach(cases, index, item) {
        int decimals = (int)json_integer_value(json_object_get(item, "decimals"));
        char once[64];
        char twice[64];
        if (decimal_normalise(json_object_get(item, "value"), decimals, once, sizeof once) == RESULT_OK) {
            json_t *again = json_string(once);
            assert_int_equal(decimal_normalise(again, decimals, twice, sizeof twice), RESULT_OK);
            assert_string_equal(once, twice);
            json_decref(again);
        }
    }
    json_decref(cases);
}

static void test_times(void **state)
{
    (void)state;
    json_t *cases = vectors_cases("times");
    size_t index;
    json_t *item;
    json_array_foreach(cases, index, item) {
        const json_t *expect = json_object_get(item, "expect");
        const char *text = json_string_value(json_object_get(item, "text"));
        int64_t ms = 77;
        enum result result = time_parse(text, &ms);
        print_message("  \"%s\"\n", text);
        assert_string_equal(result_name(result), json_string_value(json_object_get(expect, "result")));
        const json_t *expected = json_object_get(expect, "ms");
        assert_int_equal(ms, expected != NULL ? json_integer_value(expected) : 77);
    }
    json_decref(cases);
}

static void test_each_day_of_900_years_follows_the_one_before(void **state)
{
    (void)state;
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t previous = -86400000LL * 25567 - 86400000LL; /* 1899-12-31 */
    for (int year = 1900; year < 2800; year++) {
        bool is_leap = year % 400 == 0 || (year % 4 == 0 && year % 100 != 0);
        for (int month = 1; month <= 12; month++) {
            int last = days[month - 1] + (month == 2 && is_leap ? 1 : 0);
            for (int day = 1; day <= last; day++) {
                char text[64];
                (void)snprintf(text, sizeof text, "%04d-%02d-%02dT00:00:00Z", year, month, day);
                int64_t ms;
                assert_int_equal(time_parse(text, &ms), RESULT_OK);
                assert_int_equal(ms, previous + 86400000);
                previous = ms;
            }
        }
    }
}

static void test_states_have_names_and_back(void **state)
{
    (void)state;
    for (int i = 0; i < VALUE_STATE_COUNT; i++) {
        enum value_state found = VALUE_STATE_COUNT;
        assert_int_equal(value_state_parse(value_state_name((enum value_state)i), &found), RESULT_OK);
        assert_int_equal(found, i);
    }
    enum value_state found = VALUE_PARTIAL;
    assert_int_equal(value_state_parse("OK", &found), RESULT_OUT_OF_RANGE);
    assert_int_equal(value_state_parse("", &found), RESULT_OUT_OF_RANGE);
    assert_int_equal(found, VALUE_PARTIAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_a_change_outlives_its_envelope),
        cmocka_unit_test(test_decimals),
        cmocka_unit_test(test_a_decimal_that_does_not_fit_is_too_big),
        cmocka_unit_test(test_normalising_twice_changes_nothing),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_each_day_of_900_years_follows_the_one_before),
        cmocka_unit_test(test_states_have_names_and_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
