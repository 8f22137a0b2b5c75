/* Positions as text, by the vectors, and back again. */
#include "protocol/position.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "vectors.h"

static void check_parsed(const char *text, const json_t *expect, const struct position *position)
{
    const char *epoch = json_string_value(json_object_get(expect, "epoch"));
    const char *nonce = json_string_value(json_object_get(expect, "nonce"));
    assert_true(position->epoch == strtoull(epoch, NULL, 16));
    assert_int_equal(position->offset, json_integer_value(json_object_get(expect, "offset")));
    assert_int_equal(position->nonce, strtoul(nonce, NULL, 16));
    char printed[POSITION_TEXT_MAX_BYTES + 1];
    assert_int_equal(position_print(position, printed), strlen(text));
    assert_string_equal(printed, text);
}

static void test_vectors(void **state)
{
    (void)state;
    json_t *cases = vectors_cases("positions");
    size_t index;
    json_t *item;
    json_array_foreach(cases, index, item) {
        const char *text = json_string_value(json_object_get(item, "text"));
        const json_t *expect = json_object_get(item, "expect");
        const struct position untouched = {.epoch = 1, .offset = 2, .nonce = 3};
        struct position position = untouched;
        enum result result = position_parse(text, strlen(text), &position);
        print_message("  \"%s\"\n", text);
        assert_string_equal(result_name(result), json_string_value(json_object_get(expect, "result")));
        if (result == RESULT_OK) {
            check_parsed(text, expect, &position);
        } else {
            assert_true(position_equal(&position, &untouched));
        }
    }
    json_decref(cases);
}

static void test_parsing_reads_no_further_than_the_length(void **state)
{
    (void)state;
    const char text[] = "6f1c0d9e2b7a4455.1284.9f3a2b1c0000";
    struct position position;
    assert_int_equal(position_parse(text, sizeof text - 5, &position), RESULT_OK);
    assert_int_equal(position.nonce, 0x9f3a2b1c);
}

static void test_positions_differ_in_any_part(void **state)
{
    (void)state;
    const struct position a = {1, 2, 3};
    assert_true(position_equal(&a, &(struct position){1, 2, 3}));
    assert_false(position_equal(&a, &(struct position){9, 2, 3}));
    assert_false(position_equal(&a, &(struct position){1, 9, 3}));
    assert_false(position_equal(&a, &(struct position){1, 2, 9}));
}

static void test_what_is_no_position_prints_as_nothing(void **state)
{
    (void)state;
    char text[POSITION_TEXT_MAX_BYTES + 1];
    const struct position position = {.epoch = 1, .offset = UINT64_MAX, .nonce = 1};
    assert_int_equal(position_print(&position, text), 0);
    assert_string_equal(text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_parsing_reads_no_further_than_the_length),
        cmocka_unit_test(test_positions_differ_in_any_part),
        cmocka_unit_test(test_what_is_no_position_prints_as_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
